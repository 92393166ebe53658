"""Run Scout AI workflows from Python. One call returns the result; no workflow runs twice unless you allow it.

from scout import Scout

with Scout() as scout:                       # reads the key from SCOUT_API_KEY
    print(scout.execute("workflow.yml", {"user_message": "Hi"}).output)

PYTEST_DONT_REWRITE: this package brings a pytest plugin, and pytest would warn where it is imported before pytest.
"""

__version__ = "0.1.0"

TYPE_CHECKING = False  # type checkers take this name for true; to import `typing` would take longer than all the rest

if TYPE_CHECKING:
    from ._call import AsyncTransport, Transport
    from ._observers import RequestInfo, ResponseInfo, RetryInfo
    from ._options import CallOptions, RunOptions
    from ._requests import WorkflowConfig
    from .batch import AsyncBatch, Batch, BatchEngine, BatchItem, BatchSummary, DaskEngine, ProgressBar, RowSource
    from .checks import Problem, Rule, Severity, check, check_rules
    from .client import AsyncScout, Scout
    from .differences import Difference, diff
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
        JournalError,
        NotFoundError,
        PermissionDeniedError,
        RateLimitError,
        RunFailedError,
        RunNotFinishedError,
        RunOutputError,
        RunUnknownError,
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
    from .formatting import format_workflow
    from .graph import Graph, GraphNode
    from .results import (
        BlockRun,
        Deployment,
        EnvironmentDeployment,
        Run,
        RunRecord,
        RunRecordPage,
        RunStatus,
        StoredWorkflow,
        WorkflowEnvironment,
        WorkflowPage,
    )
    from .runs import AsyncRunList, AsyncRuns, RunList, Runs
    from .streaming import AsyncRunStream, RunStream
    from .timeline import Bar, Timeline
    from .workflow_files import LoadedWorkflow, WorkflowSource, is_workflow_id, load_workflow, save_workflow
    from .workflows import AsyncWorkflowList, AsyncWorkflows, WorkflowList, Workflows

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIResponseError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncBatch",
    "AsyncRunList",
    "AsyncRunStream",
    "AsyncRuns",
    "AsyncScout",
    "AsyncTransport",
    "AsyncWorkflowList",
    "AsyncWorkflows",
    "Attempt",
    "AuthenticationError",
    "BadRequestError",
    "Bar",
    "Batch",
    "BatchEngine",
    "BatchItem",
    "BatchSummary",
    "BlockRun",
    "BlockRunCompleted",
    "BlockRunFailed",
    "BlockRunStarted",
    "BlockStateUpdated",
    "CallOptions",
    "ConfigurationError",
    "ConflictError",
    "DaskEngine",
    "Deployment",
    "Difference",
    "Environment",
    "EnvironmentDeployment",
    "Event",
    "Graph",
    "GraphNode",
    "InternalServerError",
    "JournalError",
    "LoadedWorkflow",
    "NotFoundError",
    "PermissionDeniedError",
    "Problem",
    "ProgressBar",
    "RateLimitError",
    "RequestInfo",
    "ResponseInfo",
    "RetryInfo",
    "RowSource",
    "Rule",
    "Run",
    "RunFailedError",
    "RunList",
    "RunNotFinishedError",
    "RunOptions",
    "RunOutputError",
    "RunRecord",
    "RunRecordPage",
    "RunStatus",
    "RunStream",
    "RunUnknownError",
    "Runs",
    "Scout",
    "ScoutError",
    "Severity",
    "StoredWorkflow",
    "StreamDecodeError",
    "StreamError",
    "StreamInterruptedError",
    "Timeline",
    "Transport",
    "UnknownEvent",
    "UnprocessableEntityError",
    "WorkflowConfig",
    "WorkflowEnvironment",
    "WorkflowFileError",
    "WorkflowList",
    "WorkflowPage",
    "WorkflowRunCompleted",
    "WorkflowRunFailed",
    "WorkflowRunStarted",
    "WorkflowSource",
    "Workflows",
    "__version__",
    "check",
    "check_rules",
    "diff",
    "format_workflow",
    "is_workflow_id",
    "load_workflow",
    "save_workflow",
]


def __getattr__(name: str) -> object:
    # PEP 562: a name is imported when it is first used, so that `import scout` is fast.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(_home_of(name), name)
    globals()[name] = value
    return value


def _home_of(name: str) -> object:
    """Import the module of a public name. Each import is written out, so that a freezer such as PyInstaller sees it."""
    match name:
        case "Scout" | "AsyncScout":
            from . import client

            return client
        case "Transport" | "AsyncTransport":
            from . import _call

            return _call
        case "RequestInfo" | "ResponseInfo" | "RetryInfo":
            from . import _observers

            return _observers
        case "CallOptions" | "RunOptions":
            from . import _options

            return _options
        case "WorkflowConfig":
            from . import _requests

            return _requests
        case (
            "AsyncBatch" | "Batch" | "BatchEngine" | "BatchItem" | "BatchSummary" | "DaskEngine" | "ProgressBar"
            | "RowSource"
        ):  # fmt: skip
            from . import batch

            return batch
        case "Problem" | "Rule" | "Severity" | "check" | "check_rules":
            from . import checks

            return checks
        case "Difference" | "diff":
            from . import differences

            return differences
        case "Environment":
            from . import environments

            return environments
        case "Graph" | "GraphNode":
            from . import graph

            return graph
        case "format_workflow":
            from . import formatting

            return formatting
        case (
            "BlockRun" | "Deployment" | "EnvironmentDeployment" | "Run" | "RunRecord" | "RunRecordPage" | "RunStatus"
            | "StoredWorkflow" | "WorkflowEnvironment" | "WorkflowPage"
        ):  # fmt: skip
            from . import results

            return results
        case "Runs" | "AsyncRuns" | "RunList" | "AsyncRunList":
            from . import runs

            return runs
        case "RunStream" | "AsyncRunStream":
            from . import streaming

            return streaming
        case "Bar" | "Timeline":
            from . import timeline

            return timeline
        case "LoadedWorkflow" | "WorkflowSource" | "is_workflow_id" | "load_workflow" | "save_workflow":
            from . import workflow_files

            return workflow_files
        case "Workflows" | "AsyncWorkflows" | "WorkflowList" | "AsyncWorkflowList":
            from . import workflows

            return workflows
        case (
            "BlockRunCompleted" | "BlockRunFailed" | "BlockRunStarted" | "BlockStateUpdated" | "Event" | "UnknownEvent"
            | "WorkflowRunCompleted" | "WorkflowRunFailed" | "WorkflowRunStarted"
        ):  # fmt: skip
            from . import events

            return events
        case _:
            from . import errors

            return errors


def __dir__() -> list[str]:
    return __all__
