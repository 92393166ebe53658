from ..api.runs.list_run_logs import get_kwargs as get_kwargs
