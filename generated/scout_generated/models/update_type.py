from typing import Literal

UpdateType = Literal["complete", "partial"] | str

UPDATE_TYPE_VALUES: set[UpdateType] = {
    "complete",
    "partial",
}


def check_update_type(value: str) -> UpdateType:
    """Return the value as it is: values that are newer than this package are kept."""
    return value
