"""Every exception that `scout` raises.

```
ScoutError
├── ConfigurationError           an argument, option or environment variable that cannot work; nothing was sent
├── WorkflowFileError            a workflow that cannot be read; nothing was sent
├── APIError                     something went wrong on the way to the API, or there
│   ├── APIConnectionError       no complete answer arrived
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
│   └── APIResponseError         a 2xx answer that cannot be understood
├── StreamError                  a stream of events that went wrong after it had begun
│   ├── StreamInterruptedError         it ended before the run did
│   └── StreamDecodeError              an event that is not JSON, or too large
├── RunFailedError               the run itself failed; the API did its part
└── RunOutputError               the output of a run is not the JSON that was asked for (also a `ValueError`)
```

Catch `ScoutError` for everything, and ask `run_may_have_started` before running again: a run costs money and may
write to the world. All of these survive `pickle` and `copy`. None of them holds the API key,
but what a run itself says (`run`, `last_event`) is given as it came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .results import Run

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
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "RunFailedError",
    "RunOutputError",
    "ScoutError",
    "StreamDecodeError",
    "StreamError",
    "StreamInterruptedError",
    "UnprocessableEntityError",
    "WorkflowFileError",
]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request of a call that failed, for reading afterwards.

    Attributes:
        number: Which request of the call it was, from 1.
        started: Seconds from the beginning of the call to the beginning of this request.
        seconds: How long the request took.
        outcome: What happened, in words.
        run_may_have_started: Whether this request may have started a run.
        wait: Seconds waited afterwards before the next request; `None` when there was no next one.
    """

    number: int
    started: float
    seconds: float
    outcome: str
    run_may_have_started: bool
    wait: float | None = None


class ScoutError(Exception):
    """The base of every exception that `scout` raises.

    Attributes:
        message: What was wrong, where, and what to do.
        run_may_have_started: `False` only when it is certain that no run was started, so that running again cannot
            run twice. `True` means yes or unknown. For a request that stores something anew (`create`,
            `create_revision`, `deploy`) it says the same of that: whether it may have been done.
        attempts: What was tried, in order; empty when nothing was sent.
    """

    message: str
    run_may_have_started: bool = True
    attempts: tuple[Attempt, ...] = ()

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


class ConfigurationError(ScoutError):
    """An argument, option or environment variable that cannot work. Nothing was sent."""

    run_may_have_started = False


class WorkflowFileError(ScoutError):
    """A workflow that cannot be read or is not a workflow. Nothing was sent.

    Attributes:
        path: The file, as it was given; `None` when the workflow came as a mapping.
        line: Where in the file, from 1; `None` when there is no place to name.
        column: Where in that line, from 1.
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
        self.path = path
        self.line = line
        self.column = column


class APIError(ScoutError):
    """Something went wrong on the way to the API, or there."""


class APIConnectionError(APIError):
    """No complete answer arrived: no connection, or one that broke.

    `__cause__` is the operating system's own error (`ConnectionRefusedError`, `ssl.SSLError`, ...) where there was one.
    """

    def __init__(self, message: str, *, run_may_have_started: bool = True) -> None:
        super().__init__(message)
        self.run_may_have_started = run_may_have_started


class APITimeoutError(APIConnectionError):
    """No complete answer arrived in time.

    Attributes:
        limit: Which limit was reached: `"connect"` (no connection within `connect_timeout`), `"timeout"` (the server
            was silent for `timeout`) or `"deadline"` (the whole call took longer than `deadline`).
        seconds: That limit, in seconds.
        run: In a stream, what the events told of the run until then; `None` otherwise.
        last_event: In a stream, the last event that was understood; `None` when there was none.
    """

    run: Run | None = None
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
    """The API answered with a status other than 2xx. Raised itself for the statuses that have no class of their own.

    Attributes:
        status: The HTTP status, any number from 100 to 999.
        body: The body, parsed when it is JSON, as text when it is not.
        request_id: What the server calls this request, for a question to its operators; `None` when it did not say.
        headers: The headers of the answer, names in lower case.
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
    """400: the request as a whole was refused."""


class AuthenticationError(APIStatusError):
    """401: the API key is missing, wrong or revoked."""


class PermissionDeniedError(APIStatusError):
    """403: the key is known but may not do this."""


class NotFoundError(APIStatusError):
    """404: there is no such workflow, revision or address."""


class ConflictError(APIStatusError):
    """409: what was to be made exists already."""


class UnprocessableEntityError(APIStatusError):
    """422: the request was understood and found wrong.

    Attributes:
        details: One mapping for each fault, with `loc` (the path into the request), `msg` and `type` where the server
            gave them; empty when it answered in another form, which `body` then holds.
    """

    def __init__(self, message: str, *, details: list[Mapping[str, Any]], **rest: Any) -> None:
        super().__init__(message, **rest)
        self.details: list[Mapping[str, Any]] = details


class RateLimitError(APIStatusError):
    """429: too many requests; this one was not carried out.

    Attributes:
        retry_after: Seconds that the server asked to wait; `None` when it did not say.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.retry_after = retry_after


class InternalServerError(APIStatusError):
    """500 and above: the API or something before it failed. The run may have started."""


class APIResponseError(APIError):
    """A 2xx answer that cannot be understood: not JSON, cut short, or not the shape of a run.

    Attributes:
        status: The HTTP status.
        body: The body as it arrived.
        damaged: Whether it looks cut short or garbled on its way, rather than foreign.
    """

    def __init__(self, message: str, *, status: int, body: bytes, damaged: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.body = body
        self.damaged = damaged


class StreamError(ScoutError):
    """A stream of events that went wrong after it had begun.

    Attributes:
        run: What the events told of the run until then.
        last_event: The last event that was understood; `None` when there was none.
    """

    def __init__(self, message: str, *, run: Run, last_event: Any = None) -> None:
        super().__init__(message)
        self.run = run
        self.last_event = last_event


class StreamInterruptedError(StreamError):
    """The stream ended before the run did. The run may go on, on the server."""


class StreamDecodeError(StreamError):
    """An event that is not JSON, or is too large.

    Attributes:
        data: The bytes of the event, as they arrived.
    """

    def __init__(self, message: str, *, data: bytes, run: Run, last_event: Any = None) -> None:
        super().__init__(message, run=run, last_event=last_event)
        self.data = data


class RunFailedError(ScoutError):
    """The run itself failed; the API did its part.

    Attributes:
        run: The run, with its `errors`, `state` and what the blocks gave before.
    """

    def __init__(self, message: str, *, run: Run) -> None:
        super().__init__(message)
        self.run = run


class RunOutputError(ScoutError, ValueError):
    """The output of a run is not JSON although JSON was asked for.

    Attributes:
        run: The run; its `output` is what could not be read.
    """

    def __init__(self, message: str, *, run: Run) -> None:
        super().__init__(message)
        self.run = run
