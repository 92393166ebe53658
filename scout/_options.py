"""Options of one call: their names and types, and how they change the client's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from ._config import check_headers

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ._config import Config
    from .environments import Environment

__all__ = ["CALL_OPTIONS", "RUN_OPTIONS", "CallOptions", "RunOptions", "apply_options"]


class CallOptions(TypedDict, total=False):
    """Options of any call, beside its arguments.

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
    """Options of a run, beside the workflow and its inputs: those of `CallOptions`, and these.

    Attributes:
        environment: Instead of the client's: the environment whose deployed revision is meant; `None` sends none.
        revision_id: Exactly this revision.
        session_id: The session to join; the server makes one up without it.
        workflow_key: The key under which the run is attributed; without it the one in the file. Not for a stored
            workflow, which has its own.
    """

    environment: Environment | str | None
    revision_id: str | None
    session_id: str | None
    workflow_key: str | None


CALL_OPTIONS = CallOptions.__optional_keys__
RUN_OPTIONS = RunOptions.__optional_keys__

# Of these, settings are the client's as well; the others are parts of the request.
_SETTINGS = ("environment", "timeout", "deadline", "retries")


def apply_options(
    config: Config, options: RunOptions | CallOptions, known: Collection[str]
) -> tuple[Config, dict[str, Any]]:
    """Return the settings of one call, and the other options for its request.

    Args:
        config: The client's settings.
        options: Those of the call.
        known: The names of the options that the call takes.

    Raises:
        TypeError: there is no such option.
        ConfigurationError: a setting cannot work.
    """
    unknown = options.keys() - known
    if unknown:
        raise TypeError(f"there is no option {min(unknown)!r}; there are {', '.join(sorted(known))}")
    given: dict[str, Any] = dict(options)
    settings = {name: given.pop(name) for name in _SETTINGS if name in given}
    check_headers("extra_headers", given.get("extra_headers") or {})
    return config.changed(**settings) if settings else config, given
