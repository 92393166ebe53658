from typing import Literal

ExecutionEnvironment = Literal["console", "development", "production", "staging"] | str

EXECUTION_ENVIRONMENT_VALUES: set[ExecutionEnvironment] = {
    "console",
    "development",
    "production",
    "staging",
}


def check_execution_environment(value: str) -> ExecutionEnvironment:
    """Return the value as it is: values that are newer than this package are kept."""
    return value
