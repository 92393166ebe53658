from ..api.workflows.create_workflow_revision import get_kwargs as get_kwargs
