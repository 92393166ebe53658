from typing import Literal

ActorType = Literal["external", "scoutos"] | str

ACTOR_TYPE_VALUES: set[ActorType] = {
    "external",
    "scoutos",
}


def check_actor_type(value: str) -> ActorType:
    """Return the value as it is: values that are newer than this package are kept."""
    return value
