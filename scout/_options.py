"""Options of one call: names, types, and their effect on the client's settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypedDict

from ._config import Config, check_headers
from .environments import Environment
from .errors import ConfigurationError

__all__ = ["CALL_OPTIONS", "RUN_OPTIONS", "CallOptions", "RunOptions", "apply_options"]


class CallOptions(TypedDict, total=False):
    """Options of any call, in addition to its arguments.

    Attributes:
        timeout: The longest silence from the server, in seconds, instead of the client's; `None` for no limit.
        deadline: The longest time for the whole call, in seconds, instead of the client's; `None` for no limit.
        retries: The number of times that a failed request is repeated, instead of the client's. Repeating after a 429
            does not count.
        extra_headers: Additional headers.
        extra_query: Additional query parameters; they replace those made from other arguments.
        extra_body: Additional top-level fields of the body; they replace those made from other arguments.
    """

    timeout: float | None
    deadline: float | None
    retries: int
    extra_headers: Mapping[str, str]
    extra_query: Mapping[str, Any]
    extra_body: Mapping[str, Any]


class RunOptions(CallOptions, total=False):
    """Options of a run: those of `CallOptions`, and these.

    Attributes:
        environment: The environment whose deployed revision runs, instead of the client's; `None` sends none.
        revision_id: The revision to run.
        session_id: The session to join. By default the run of a stored workflow gets one of its own, which is made
            here, and that of a config one that the server makes.
        workflow_key: The key of the workflow to which the run is attributed; by default the one in the file. Not for
            stored workflows, which have their own.
    """

    environment: Environment | str | None
    revision_id: str | None
    session_id: str | None
    workflow_key: str | None


CALL_OPTIONS = CallOptions.__optional_keys__
RUN_OPTIONS = RunOptions.__optional_keys__

# Where the options are that a run does not have.
_ELSEWHERE = (
    (("max_event_bytes",), "of stream"),
    (("resolve",), "of Scout.workflows.execute, because the run logs have the runs of stored workflows"),
    (("key", "force"), "of deploy, create or create_revision in Scout.workflows"),
    (
        ("api_key", "base_url", "connect_timeout", "at_least_once", "rate_limit_timeout", "max_connections", "headers",
         "transport", "allow_http", "on_request", "on_response", "on_retry", "on_event", "tracing"),
        "a setting of the client; pass it to the client or to with_options",
    ),
)  # fmt: skip

# The options that replace a setting of the client; all others are parts of the request.
_SETTINGS = ("environment", "timeout", "deadline", "retries")


def apply_options(
    config: Config, options: RunOptions | CallOptions, known: Collection[str]
) -> tuple[Config, dict[str, Any]]:
    """Return the settings of one call, and the remaining options, which are for its request.

    Args:
        config: The client's settings.
        options: The options of the call.
        known: The names of the options that the call accepts.

    Raises:
        TypeError: there is no such option.
        ConfigurationError: a setting is invalid, or an option of a run belongs elsewhere.
    """
    unknown = options.keys() - known
    if unknown:
        name = min(unknown)
        there_are = f"the options here are {', '.join(sorted(known))}"
        for names, place in _ELSEWHERE if known == RUN_OPTIONS else ():
            if name in names:
                raise ConfigurationError(f"{name} is not an option of this call, but {place}; {there_are}")
        raise TypeError(f"there is no option {name!r}; {there_are}")
    given: dict[str, Any] = dict(options)
    settings = {name: given.pop(name) for name in _SETTINGS if name in given}
    check_headers("extra_headers", given.get("extra_headers") or {})
    return config.changed(**settings) if settings else config, given
