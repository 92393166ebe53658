from ..api.workflows.list_workflow_environments import get_kwargs as get_kwargs
