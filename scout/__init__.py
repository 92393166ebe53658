"""Run Scout AI workflows from Python: one call, one answer, never twice.

from scout import Scout

with Scout() as scout:                       # the key comes from SCOUT_API_KEY
    print(scout.execute("workflow.yml", {"user_message": "Hi"}).output)
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ._call import AsyncTransport, Transport
    from ._runs import CallOptions, RunOptions
    from ._wire import Identity, ListWorkflowsResponse, Workflow, WorkflowConfig
    from .client import AsyncScout, Scout
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
    from .workflow_files import LoadedWorkflow, WorkflowSource, load_workflow, save_workflow
    from .workflows import AsyncWorkflowList, AsyncWorkflows, Deployment, WorkflowList, Workflows

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIResponseError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncRunStream",
    "AsyncScout",
    "AsyncTransport",
    "AsyncWorkflowList",
    "AsyncWorkflows",
    "Attempt",
    "AuthenticationError",
    "BadRequestError",
    "BlockRun",
    "BlockRunCompleted",
    "BlockRunFailed",
    "BlockRunStarted",
    "BlockStateUpdated",
    "CallOptions",
    "ConfigurationError",
    "ConflictError",
    "Deployment",
    "Environment",
    "Event",
    "Identity",
    "InternalServerError",
    "ListWorkflowsResponse",
    "LoadedWorkflow",
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
    "Workflow",
    "WorkflowConfig",
    "WorkflowFileError",
    "WorkflowList",
    "WorkflowRunCompleted",
    "WorkflowRunFailed",
    "WorkflowRunStarted",
    "WorkflowSource",
    "Workflows",
    "__version__",
    "load_workflow",
    "save_workflow",
]

_ROOMS = {
    "AsyncRunStream": "streaming",
    "AsyncScout": "client",
    "AsyncTransport": "_call",
    "AsyncWorkflowList": "workflows",
    "AsyncWorkflows": "workflows",
    "BlockRun": "results",
    "BlockRunCompleted": "events",
    "BlockRunFailed": "events",
    "BlockRunStarted": "events",
    "BlockStateUpdated": "events",
    "CallOptions": "_runs",
    "Deployment": "workflows",
    "Environment": "environments",
    "Event": "events",
    "Identity": "_wire",
    "ListWorkflowsResponse": "_wire",
    "Run": "results",
    "RunOptions": "_runs",
    "RunStatus": "results",
    "RunStream": "streaming",
    "Scout": "client",
    "Transport": "_call",
    "UnknownEvent": "events",
    "Workflow": "_wire",
    "WorkflowConfig": "_wire",
    "WorkflowList": "workflows",
    "WorkflowRunCompleted": "events",
    "WorkflowRunFailed": "events",
    "WorkflowRunStarted": "events",
    "WorkflowSource": "workflow_files",
    "LoadedWorkflow": "workflow_files",
    "load_workflow": "workflow_files",
    "Workflows": "workflows",
    "save_workflow": "workflow_files",
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
