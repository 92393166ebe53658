from ..api.workflows.update_workflow_environment import get_kwargs as get_kwargs
