from ..api.workflows.create_workflow import get_kwargs as get_kwargs
