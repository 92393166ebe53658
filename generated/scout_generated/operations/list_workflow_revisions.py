from ..api.workflows.list_workflow_revisions import get_kwargs as get_kwargs
