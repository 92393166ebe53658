from ..api.workflows.execute_workflow import get_kwargs as get_kwargs
