from ..api.runs.get_run_log import get_kwargs as get_kwargs
