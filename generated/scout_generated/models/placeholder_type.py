from typing import Literal

PlaceholderType = Literal["blockPlaceholder", "triggerPlaceholder"] | str

PLACEHOLDER_TYPE_VALUES: set[PlaceholderType] = {
    "blockPlaceholder",
    "triggerPlaceholder",
}


def check_placeholder_type(value: str) -> PlaceholderType:
    """Return the value as it is: values that are newer than this package are kept."""
    return value
