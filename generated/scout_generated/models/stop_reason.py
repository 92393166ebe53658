from typing import Literal

StopReason = Literal["workflow_run_completed", "workflow_run_failed"] | str

STOP_REASON_VALUES: set[StopReason] = {
    "workflow_run_completed",
    "workflow_run_failed",
}


def check_stop_reason(value: str) -> StopReason:
    """Return the value as it is: values that are newer than this package are kept."""
    return value
