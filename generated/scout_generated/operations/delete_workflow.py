from ..api.workflows.delete_workflow import get_kwargs as get_kwargs
