from typing import Literal

PromptRole = Literal["assistant", "system", "user"] | str

PROMPT_ROLE_VALUES: set[PromptRole] = {
    "assistant",
    "system",
    "user",
}


def check_prompt_role(value: str) -> PromptRole:
    """Return the value as it is: values that are newer than this package are kept."""
    return value
