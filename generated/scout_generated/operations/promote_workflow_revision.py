from ..api.workflows.promote_workflow_revision import get_kwargs as get_kwargs
