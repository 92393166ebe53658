from typing import Literal

RunLogStatus = Literal["completed", "failed", "running"] | str

RUN_LOG_STATUS_VALUES: set[RunLogStatus] = {
    "completed",
    "failed",
    "running",
}


def check_run_log_status(value: str) -> RunLogStatus:
    """Return the value as it is: values that are newer than this package are kept."""
    return value
