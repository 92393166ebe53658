from ..api.workflows.rename_workflow_revision import get_kwargs as get_kwargs
