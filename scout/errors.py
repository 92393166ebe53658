"""Exceptions that `scout` raises.

```
ScoutError
├── ConfigurationError           an argument, option or environment variable is invalid; nothing was sent
├── WorkflowFileError            a workflow cannot be read; nothing was sent
├── APIError                     the connection to the API failed, or the API did
│   ├── APIConnectionError       no complete response arrived
│   │   └── APITimeoutError      ... within `timeout`, `connect_timeout` or `deadline`
│   ├── APIStatusError           the API answered with a status other than 2xx
│   │   ├── BadRequestError            400
│   │   ├── AuthenticationError        401
│   │   ├── PermissionDeniedError      403
│   │   ├── NotFoundError              404
│   │   ├── ConflictError              409
│   │   ├── UnprocessableEntityError   422
│   │   ├── RateLimitError             429
│   │   └── InternalServerError        500 and above
│   └── APIResponseError         a 2xx response that cannot be understood
├── StreamError                  a stream of events failed after it had begun
│   ├── StreamInterruptedError         it ended before the run did
│   └── StreamDecodeError              an event is not JSON, or is too large
├── RunFailedError               the run failed; the request itself succeeded
├── RunNotFinishedError          the answer is a run that has not ended
├── RunUnknownError              a batch was interrupted while the run of this row may have been under way
├── JournalError                 the journal of a batch cannot be read or written
└── RunOutputError               the output of a run is not JSON, which was asked for (also a `ValueError`)
```

Catch `ScoutError` for all of them. Check `run_may_have_started` before running again: a run costs money and may have
lasting effects. All of them survive `pickle` and `copy`. The API key is redacted in all of them, except in `run` and
`last_event`, which hold what the server sent, unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import scout  # its names are imported when they are first used, which only `typing.get_type_hints` does here

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIResponseError",
    "APIStatusError",
    "APITimeoutError",
    "Attempt",
    "AuthenticationError",
    "BadRequestError",
    "ConfigurationError",
    "ConflictError",
    "InternalServerError",
    "JournalError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "RunFailedError",
    "RunNotFinishedError",
    "RunOutputError",
    "RunUnknownError",
    "ScoutError",
    "StreamDecodeError",
    "StreamError",
    "StreamInterruptedError",
    "UnprocessableEntityError",
    "WorkflowFileError",
]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One failed request of a call.

    Attributes:
        number: The position of the request in the call, from 1.
        started: Seconds from the beginning of the call to the beginning of this request.
        seconds: The duration of the request, in seconds.
        outcome: The error, as text.
        run_may_have_started: True when this request may have started a run.
        wait: Seconds waited afterwards before the next request; `None` when there was no next one.
    """

    number: int
    started: float
    seconds: float
    outcome: str
    run_may_have_started: bool
    wait: float | None = None


class ScoutError(Exception):
    """Base class of every exception that `scout` raises.

    Attributes:
        message: The problem, its place, and what to do about it.
        run_may_have_started: `False` only when it is certain that no run was started, so that running again cannot
            start a second run. `True` means yes or unknown. For `create`, `create_revision` and `deploy`: `False` only
            when it is certain that nothing was stored.
        attempts: The requests that failed, in order; empty when nothing was sent.
        session_id: The session of the run: the one that the server told, else the one that was sent. Every run of a
            stored workflow has one, which is made by this package unless the caller names one.
        workflow_id: The workflow of the run: the stored one, or the one that the server told. With this and with
            `session_id`, the log of the run can be found (`Scout.runs.find`).
    """

    message: str
    run_may_have_started: bool = True
    attempts: tuple[Attempt, ...] = ()
    session_id: str | None = None
    workflow_id: str | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        if len(self.attempts) < 2:
            return self.message
        last = self.attempts[-1]
        return f"{self.message} [{len(self.attempts)} attempts in {last.started + last.seconds:.1f} s]"

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are rebuilt from their positional arguments alone by default, which loses required keyword
        # arguments; see "exceptions that cannot be unpickled hang multiprocessing.Pool".
        return _rebuild, (type(self), self.args, self.__dict__.copy())


def _rebuild(kind: type[ScoutError], args: tuple[Any, ...], state: dict[str, Any]) -> ScoutError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


def _take_ids(error: ScoutError, run: scout.Run) -> None:
    error.session_id = run.session_id
    error.workflow_id = run.workflow_id


class ConfigurationError(ScoutError):
    """An argument, option or environment variable is invalid. Nothing was sent."""

    run_may_have_started = False


class WorkflowFileError(ScoutError):
    """A workflow cannot be read, or is not a workflow. Nothing was sent.

    Attributes:
        problem: The message without the place.
        path: The path of the file, as it was given; `None` when the workflow was given as a mapping.
        line: The line in the file, from 1; `None` when it is not known.
        column: The column in that line, from 1; `None` when it is not known.
    """

    run_may_have_started = False

    def __init__(
        self, message: str, *, path: str | None = None, line: int | None = None, column: int | None = None
    ) -> None:
        place = ", ".join(
            [path or "workflow"]
            + ([f"line {line}"] if line is not None else [])
            + ([f"column {column}"] if column is not None else [])
        )
        super().__init__(f"{place}: {message}")
        self.problem = message
        self.path = path
        self.line = line
        self.column = column


class APIError(ScoutError):
    """The connection to the API failed, or the API did."""


class APIConnectionError(APIError):
    """No complete response arrived: the connection could not be made, or it broke.

    `__cause__` is the error of the operating system (`ConnectionRefusedError`, `ssl.SSLError`, ...), if there was one.
    """

    def __init__(self, message: str, *, run_may_have_started: bool = True) -> None:
        super().__init__(message)
        self.run_may_have_started = run_may_have_started


class APITimeoutError(APIConnectionError):
    """No complete response arrived in time.

    Attributes:
        limit: The limit that was reached: `"connect"` (no connection within `connect_timeout`), `"timeout"` (the server
            was silent for `timeout`) or `"deadline"` (the whole call was not finished within `deadline`).
        seconds: That limit, in seconds.
        run: For a stream, the run as reported by the events so far; `None` otherwise.
        last_event: For a stream, the last event that was decoded; `None` when there was none.
    """

    run: scout.Run | None = None
    last_event: Any = None

    def __init__(
        self,
        message: str,
        *,
        limit: Literal["connect", "timeout", "deadline"],
        seconds: float,
        run_may_have_started: bool = True,
    ) -> None:
        super().__init__(message, run_may_have_started=run_may_have_started)
        self.limit = limit
        self.seconds = seconds


class APIStatusError(APIError):
    """The API answered with a status other than 2xx. This class is raised for statuses without a class of their own.

    Attributes:
        status: The HTTP status, any number from 100 to 999.
        body: The body of the response: parsed if it is JSON, else text.
        request_id: The server's id of this request, for support; `None` when the response has none.
        headers: The headers of the response, with names in lower case.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        body: Any,
        headers: Mapping[str, str],
        request_id: str | None = None,
        run_may_have_started: bool = True,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = body
        self.headers: dict[str, str] = dict(headers)
        self.request_id = request_id
        self.run_may_have_started = run_may_have_started


class BadRequestError(APIStatusError):
    """400: the request is invalid as a whole."""


class AuthenticationError(APIStatusError):
    """401: the API key is missing, wrong or revoked."""


class PermissionDeniedError(APIStatusError):
    """403: the API key is valid but lacks the permission."""


class NotFoundError(APIStatusError):
    """404: the workflow, revision or address does not exist.

    Also raised for `key:NAME` when no workflow in the lists of the server has the key. No response says so, so that
    `body` is `None` and `headers` is empty.
    """


class ConflictError(APIStatusError):
    """409: the thing to be created exists already."""


class UnprocessableEntityError(APIStatusError):
    """422: the request was understood, but its content is invalid.

    Attributes:
        details: One mapping for each problem, with `loc` (the path into the request), `msg` and `type`, if the server
            gave them; empty when the response has another form, which `body` then holds.
    """

    def __init__(self, message: str, *, details: list[Mapping[str, Any]], **rest: Any) -> None:
        super().__init__(message, **rest)
        self.details: list[Mapping[str, Any]] = details


class RateLimitError(APIStatusError):
    """429: too many requests; this one was not processed.

    Attributes:
        retry_after: The seconds that the server asked to wait; `None` when it gave none.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.retry_after = retry_after


class InternalServerError(APIStatusError):
    """500 and above: the API, or a proxy in front of it, failed. The run may have started."""


class APIResponseError(APIError):
    """A 2xx response cannot be understood: it is not JSON, is cut short, or does not have the form of a run.

    Attributes:
        status: The HTTP status.
        body: The body as received.
        damaged: True when the body looks cut short or corrupted; `False` when it looks like that of another server.
    """

    def __init__(self, message: str, *, status: int, body: bytes, damaged: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.body = body
        self.damaged = damaged


class StreamError(ScoutError):
    """A stream of events failed after it had begun.

    Attributes:
        run: The run as reported by the events so far.
        last_event: The last event that was decoded; `None` when there was none.
    """

    def __init__(self, message: str, *, run: scout.Run, last_event: Any = None) -> None:
        super().__init__(message)
        self.run = run
        _take_ids(self, run)
        self.last_event = last_event


class StreamInterruptedError(StreamError):
    """The stream ended before the run did. The run may continue on the server."""


class StreamDecodeError(StreamError):
    """An event is not JSON, or is too large.

    Attributes:
        data: The data of the event, as received; the first 1,000 bytes of one that is too large.
    """

    def __init__(self, message: str, *, data: bytes, run: scout.Run, last_event: Any = None) -> None:
        super().__init__(message, run=run, last_event=last_event)
        self.data = data


class RunFailedError(ScoutError):
    """The run failed; the request itself succeeded.

    Attributes:
        run: The run, with its `errors`, and in `state` the results of the blocks that completed before.
    """

    def __init__(self, message: str, *, run: scout.Run) -> None:
        super().__init__(message)
        self.run = run
        _take_ids(self, run)


class RunNotFinishedError(ScoutError):
    """The answer is a run that has not ended. The run may continue on the server.

    Attributes:
        run: The run so far.
    """

    def __init__(self, message: str, *, run: scout.Run) -> None:
        super().__init__(message)
        self.run = run
        _take_ids(self, run)


class RunOutputError(ScoutError, ValueError):
    """The output of a run is not JSON, which was asked for.

    Attributes:
        run: The run; its `output` is the text that could not be parsed.
    """

    def __init__(self, message: str, *, run: scout.Run) -> None:
        super().__init__(message)
        self.run = run
        _take_ids(self, run)


class RunUnknownError(ScoutError):
    """A batch was interrupted, or lost its Dask worker, while the run of a row was under way. It may have started.

    For a stored workflow, `session_id` and `workflow_id` say where to look it up (`Scout.runs.find`).
    """

    def __init__(self, message: str, *, session_id: str | None = None, workflow_id: str | None = None) -> None:
        super().__init__(message)
        self.session_id = session_id
        self.workflow_id = workflow_id


class JournalError(ScoutError):
    """The journal of a batch cannot be read or written, or another process uses it.

    Attributes:
        problem: The message without the place.
        path: The path of the journal, as it was given.
        line: The line in it, from 1; `None` when the error is not of one line.
    """

    def __init__(self, message: str, *, path: str, line: int | None = None, run_may_have_started: bool = False) -> None:
        super().__init__(f"{path}{'' if line is None else f', line {line}'}: {message}")
        self.problem = message
        self.path = path
        self.line = line
        self.run_may_have_started = run_may_have_started
