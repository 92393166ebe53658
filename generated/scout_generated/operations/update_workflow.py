from ..api.workflows.update_workflow import get_kwargs as get_kwargs
