from ..api.workflows.list_workflows import get_kwargs as get_kwargs
