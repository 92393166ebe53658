"""What both doors to a run have in common, that of a config and that of a stored workflow: options in, a run out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from ._config import check_headers
from ._wire import is_stream, read_run
from .errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ._config import Config
    from ._wire import Answer
    from .environments import Environment
    from .results import Run
    from .streaming import Progress
    from .workflow_files import LoadedWorkflow

__all__ = ["CALL_OPTIONS", "RUN_OPTIONS", "CallOptions", "RunOptions", "new_progress", "read_any_run", "sorted_out"]


class CallOptions(TypedDict, total=False):
    """What may be said about one call, beside its arguments.

    Attributes:
        timeout: Instead of the client's, in seconds; `None` for no limit.
        deadline: Instead of the client's, in seconds; `None` for no limit.
        retries: Instead of the client's.
        extra_headers: Sent as well.
        extra_query: Query parameters sent as well; they win over those made from the other arguments.
        extra_body: Top-level members of the body sent as well; they win likewise.
    """

    timeout: float | None
    deadline: float | None
    retries: int
    extra_headers: Mapping[str, str]
    extra_query: Mapping[str, Any]
    extra_body: Mapping[str, Any]


class RunOptions(CallOptions, total=False):
    """What may be said about one run, beside the workflow and its inputs.

    Attributes:
        environment: Instead of the client's: which deployed revision is meant; `None` sends none.
        revision_id: Exactly this revision.
        session_id: The session to join; the server makes one up without it.
        workflow_key: The key under which the run is attributed; without it the one in the file. Not for a stored
            workflow, which has its own.
        timeout: Instead of the client's, in seconds; `None` for no limit.
        deadline: Instead of the client's, in seconds; `None` for no limit.
        retries: Instead of the client's.
        extra_headers: Sent as well.
        extra_query: Query parameters sent as well; they win over those made from the other arguments.
        extra_body: Top-level members of the body sent as well; they win likewise.
    """

    environment: Environment | str | None
    revision_id: str | None
    session_id: str | None
    workflow_key: str | None


# Of these, settings are the client's as well; the others are parts of the request.
_SETTINGS = ("environment", "timeout", "deadline", "retries")
CALL_OPTIONS = ("timeout", "deadline", "retries", "extra_headers", "extra_query", "extra_body")
RUN_OPTIONS = ("environment", "revision_id", "session_id", "workflow_key", *CALL_OPTIONS)


def sorted_out(
    config: Config, options: RunOptions | CallOptions, known: Collection[str]
) -> tuple[Config, dict[str, Any]]:
    """The settings of one call, and what else was given for its request.

    Args:
        config: The client's settings.
        options: Those of the call.
        known: The options that there are.

    Raises:
        TypeError: there is no such option.
        ConfigurationError: a setting cannot work.
    """
    unknown = options.keys() - {*known}
    if unknown:
        raise TypeError(f"there is no option {min(unknown)!r}; there are {', '.join(known)}")
    given: dict[str, Any] = dict(options)
    settings = {name: given.pop(name) for name in _SETTINGS if name in given}
    check_headers("extra_headers", given.get("extra_headers") or {})
    return config.changed(**settings) if settings else config, given


def read_any_run(answer: Answer, workflow: LoadedWorkflow | None) -> Run:
    """The run that a 2xx answer tells of, as JSON or as a stream of events. Raises as `read_run`."""
    if is_stream(answer.headers):
        from .streaming import run_from_events  # rare: only servers that stream unasked

        return run_from_events(answer, workflow)
    return read_run(answer, workflow)


def new_progress(workflow: LoadedWorkflow | None, *, check: bool, max_event_bytes: int | None) -> Progress:
    """The beginning of a stream.

    Raises:
        ConfigurationError: `max_event_bytes` is no number of bytes.
    """
    from .streaming import MAX_EVENT_BYTES, Progress  # the classes of the events take a while to make

    limit: Any = MAX_EVENT_BYTES if max_event_bytes is None else max_event_bytes
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ConfigurationError(f"max_event_bytes must be a whole number, 1 or more, not {max_event_bytes!r}")
    return Progress(workflow, check=check, max_event_bytes=limit)
