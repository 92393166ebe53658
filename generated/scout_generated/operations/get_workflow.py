from ..api.workflows.get_workflow import get_kwargs as get_kwargs
