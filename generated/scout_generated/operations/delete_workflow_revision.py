from ..api.workflows.delete_workflow_revision import get_kwargs as get_kwargs
