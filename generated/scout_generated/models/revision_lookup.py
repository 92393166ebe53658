from typing import Literal

RevisionLookup = Literal["latest", "revision_id"] | str

REVISION_LOOKUP_VALUES: set[RevisionLookup] = {
    "latest",
    "revision_id",
}


def check_revision_lookup(value: str) -> RevisionLookup:
    """Return the value as it is: values that are newer than this package are kept."""
    return value
