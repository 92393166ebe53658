"""Run Scout AI workflows from Python: one call, one answer, never twice.

from scout import Scout

with Scout() as scout:                       # the key comes from SCOUT_API_KEY
    print(scout.execute("workflow.yml", {"user_message": "Hi"}).output)
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ._http import AsyncTransport, Transport
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
    from .events import (
        BlockRunCompleted,
        BlockRunFailed,
        BlockRunStarted,
        BlockStateUpdated,
        Event,
        UnknownEvent,
        WorkflowRunCompleted,
        WorkflowRunFailed,
        WorkflowRunStarted,
    )
    from .results import BlockRun, Run, RunStatus
    from .streaming import AsyncRunStream, RunStream
    from .workflow_files import WorkflowSource

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIResponseError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncRunStream",
    "AsyncScout",
    "AsyncTransport",
    "Attempt",
    "AuthenticationError",
    "BadRequestError",
    "BlockRun",
    "BlockRunCompleted",
    "BlockRunFailed",
    "BlockRunStarted",
    "BlockStateUpdated",
    "ConfigurationError",
    "ConflictError",
    "Environment",
    "Event",
    "InternalServerError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "Run",
    "RunFailedError",
    "RunOptions",
    "RunOutputError",
    "RunStatus",
    "RunStream",
    "Scout",
    "ScoutError",
    "StreamDecodeError",
    "StreamError",
    "StreamInterruptedError",
    "Transport",
    "UnknownEvent",
    "UnprocessableEntityError",
    "WorkflowConfig",
    "WorkflowFileError",
    "WorkflowRunCompleted",
    "WorkflowRunFailed",
    "WorkflowRunStarted",
    "WorkflowSource",
    "__version__",
]

_ROOMS = {
    "AsyncRunStream": "streaming",
    "AsyncScout": "client",
    "AsyncTransport": "_http",
    "BlockRun": "results",
    "BlockRunCompleted": "events",
    "BlockRunFailed": "events",
    "BlockRunStarted": "events",
    "BlockStateUpdated": "events",
    "Environment": "environments",
    "Event": "events",
    "Run": "results",
    "RunOptions": "client",
    "RunStatus": "results",
    "RunStream": "streaming",
    "Scout": "client",
    "Transport": "_http",
    "UnknownEvent": "events",
    "WorkflowConfig": "_wire",
    "WorkflowRunCompleted": "events",
    "WorkflowRunFailed": "events",
    "WorkflowRunStarted": "events",
    "WorkflowSource": "workflow_files",
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
