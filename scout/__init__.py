"""Run Scout AI workflows from Python: one call, one answer, never twice.

from scout import Scout

with Scout() as scout:                       # the key comes from SCOUT_API_KEY
    print(scout.execute("workflow.yml", {"user_message": "Hi"}).output)
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ._wire import WorkflowConfig
    from .client import AsyncScout, RunOptions, Scout
    from .environments import Environment
    from .errors import (
        APIConnectionError,
        APIError,
        APIResponseError,
        APIStatusError,
        APITimeoutError,
        Attempt,
        AuthenticationError,
        BadRequestError,
        ConfigurationError,
        ConflictError,
        InternalServerError,
        NotFoundError,
        PermissionDeniedError,
        RateLimitError,
        RunFailedError,
        RunOutputError,
        ScoutError,
        StreamDecodeError,
        StreamError,
        StreamInterruptedError,
        UnprocessableEntityError,
        WorkflowFileError,
    )
    from .results import BlockRun, Run, RunStatus

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIResponseError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncScout",
    "Attempt",
    "AuthenticationError",
    "BadRequestError",
    "BlockRun",
    "ConfigurationError",
    "ConflictError",
    "Environment",
    "InternalServerError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "Run",
    "RunFailedError",
    "RunOptions",
    "RunOutputError",
    "RunStatus",
    "Scout",
    "ScoutError",
    "StreamDecodeError",
    "StreamError",
    "StreamInterruptedError",
    "UnprocessableEntityError",
    "WorkflowConfig",
    "WorkflowFileError",
    "__version__",
]

_ROOMS = {
    "AsyncScout": "client",
    "BlockRun": "results",
    "Environment": "environments",
    "Run": "results",
    "RunOptions": "client",
    "RunStatus": "results",
    "Scout": "client",
    "WorkflowConfig": "_wire",
}


def __getattr__(name: str) -> object:
    # PEP 562: a name is imported when it is first used, so that `import scout` costs next to nothing.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value: object = getattr(importlib.import_module(f".{_ROOMS.get(name, 'errors')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
