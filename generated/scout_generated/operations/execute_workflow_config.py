from ..api.workflows.execute_workflow_config import get_kwargs as get_kwargs
