"""Observers of a call: hooks of the caller, log records and traces. None of them can make a call fail."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ._answers import request_id_in
from ._retry import foreign
from .errors import ScoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._config import Config
    from ._requests import Request

__all__ = [
    "CallEnd",
    "CallInfo",
    "CallObserver",
    "Observers",
    "RequestInfo",
    "ResponseInfo",
    "RetryInfo",
    "Tracing",
    "observe",
]

_log = logging.getLogger("scout")

_LONG = 10.0
"""The seconds after which a call is long, so that its end is logged as information."""


# --- What hooks are told ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """An HTTP request that is about to be sent, without the API key and the body.

    Attributes:
        method: The HTTP method, in capitals.
        url: The URL, with its query.
        attempt: The position of the request in its call, from 1.
        operation: The name of the operation of the API, such as `execute_workflow`.
        workflow_id: The id of the stored workflow; `None` when there is none, or not one.
        session_id: The session of the run; `None` when the server makes one, or there is no run.
        environment: The environment that is asked for; `None` when none is.
        streaming: True when the answer is read as a stream of events.
    """

    method: str
    url: str
    attempt: int
    operation: str
    workflow_id: str | None
    session_id: str | None
    environment: str | None
    streaming: bool


@dataclass(frozen=True, slots=True)
class ResponseInfo:
    """The head of an HTTP response, whose body has not been read. The API key is redacted.

    Attributes:
        request: The request.
        status: The HTTP status.
        headers: The headers, with names in lower case.
        seconds: The time from the beginning of the attempt to the head of the response.
        request_id: The id that the server gave to the request; `None` when it gave none.
    """

    request: RequestInfo
    status: int
    headers: Mapping[str, str] = field(repr=False)
    seconds: float
    request_id: str | None


@dataclass(frozen=True, slots=True)
class RetryInfo:
    """A failed request that will be repeated.

    Attributes:
        request: The request that failed.
        error: Its error.
        wait: The seconds until the next request.
    """

    request: RequestInfo
    error: ScoutError
    wait: float


# --- What observers are told --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallInfo:
    """A call that begins.

    Attributes:
        request: The request, as it was built.
        config: The settings of the call.
        streaming: As in `RequestInfo`.
        redact: A function that returns text or JSON without the API key, once a request was made.
    """

    request: Request
    config: Config
    streaming: bool
    redact: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class CallEnd:
    """The end of a call.

    Attributes:
        attempts: The number of requests that were made.
        seconds: The time from the beginning of the call to its end.
        result: The result, such as a `Run`; of a stream the run so far. `None` when there is none.
        error: The exception for the caller; `None` when there is none.
    """

    attempts: int
    seconds: float
    result: Any
    error: BaseException | None


class CallObserver(Protocol):
    """Observes one call."""

    def request(self, info: RequestInfo) -> Mapping[str, str]:
        """Take a request that is about to be sent, and return headers to add to it."""
        ...

    def response(self, info: ResponseInfo) -> object:
        """Take the head of a response."""
        ...

    def retry(self, info: RetryInfo) -> object:
        """Take a failure after which the request will be repeated."""
        ...

    def event(self, event: Any) -> object:
        """Take an event of a stream, which the caller gets next."""
        ...

    def end(self, end: CallEnd) -> object:
        """Take the end of the call; a stream may have been closed before its run was over."""
        ...


class Tracing(Protocol):
    """An object that `Scout(tracing=...)` takes: `scout.otel.Tracing`."""

    def begin(self, call: CallInfo) -> CallObserver:
        """Return the observer of a call that begins."""
        ...


# --- Observers ----------------------------------------------------------------------------------------------------


def _guarded(name: str, function: Callable[..., Any], *args: object) -> Any:
    """Call a function of somebody else. What it raises is logged, because it must not cost a run that is paid for."""
    try:
        return function(*args)
    except Exception as error:
        if foreign(error) is not None:
            raise
        _log.error("%s raised %s; the call goes on", name, type(error).__name__, exc_info=error)
        return None


class _Hooks:
    """Calls the hooks."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def request(self, info: RequestInfo) -> Mapping[str, str]:
        self._call("on_request", info)
        return {}

    def response(self, info: ResponseInfo) -> None:
        self._call("on_response", info)

    def retry(self, info: RetryInfo) -> None:
        self._call("on_retry", info)

    def event(self, event: Any) -> None:
        self._call("on_event", event)

    def end(self, end: CallEnd) -> None:
        pass

    def _call(self, name: str, what: object) -> None:
        hook = getattr(self._config, name)
        if hook is not None:
            _guarded(f"the hook {name}", hook, what)


class _Log:
    """Writes the log records of a call."""

    def __init__(self, call: CallInfo) -> None:
        self._call = call

    def request(self, info: RequestInfo) -> Mapping[str, str]:
        path = self._call.request.path
        _log.debug(
            "%s %s: attempt %d of %s",
            *(info.method, path, info.attempt, info.operation),
            extra={**self._facts(), "method": info.method, "path": path, "attempt": info.attempt},
        )
        return {}

    def response(self, info: ResponseInfo) -> None:
        about = "" if info.request_id is None else f" (request id {info.request_id})"
        _log.debug(
            "%d after %.3f s%s",
            *(info.status, info.seconds, about),
            extra={
                **self._facts(),
                "attempt": info.request.attempt,
                "status": info.status,
                "seconds": info.seconds,
                "request_id": info.request_id,
            },
        )

    def retry(self, info: RetryInfo) -> None:
        number = info.request.attempt
        _log.info(
            "attempt %d failed: %s; waiting %.1f s",
            *(number, info.error.message, info.wait),
            extra={**self._facts(), "error": info.error, "attempt": number, "wait": info.wait},
        )

    def event(self, event: Any) -> None:
        pass

    def end(self, end: CallEnd) -> None:
        how = "done" if end.error is None else f"failed with {type(end.error).__name__}"
        _log.log(
            logging.INFO if end.seconds > _LONG else logging.DEBUG,
            "%s: %s after %.3f s, requests: %d",
            *(self._call.request.operation, how, end.seconds, end.attempts),
            extra={**self._facts(), "error": end.error, "attempts": end.attempts, "seconds": end.seconds},
        )

    def _facts(self) -> dict[str, object]:
        request = self._call.request
        return {
            "operation": request.operation,
            "workflow_id": request.workflow_id,
            "session_id": request.session_id,
        }


class Observers:
    """All observers of one call."""

    def __init__(self, call: CallInfo, observers: list[CallObserver]) -> None:
        self._call = call
        self._observers = observers
        self._info: RequestInfo | None = None

    def request(self, url: str, attempt: int) -> dict[str, str]:
        """Notify them of a request, and return the headers that they add to it."""
        request = self._call.request
        self._info = info = RequestInfo(
            method=request.method.upper(),
            url=self._call.redact(url),
            attempt=attempt,
            operation=request.operation,
            workflow_id=request.workflow_id,
            session_id=request.session_id,
            environment=request.query.get("environment"),
            streaming=self._call.streaming,
        )
        headers: dict[str, str] = {}
        for each in self._observers:
            headers.update(_guarded(type(each).__name__, each.request, info) or {})
        return headers

    def response(self, status: int, headers: Mapping[str, str], seconds: float) -> None:
        """Notify them of the head of a response."""
        if self._info is not None:
            headers = self._call.redact(dict(headers))
            info = ResponseInfo(self._info, status, headers, seconds, request_id_in(headers))
            self._notify("response", info)

    def retry(self, error: ScoutError, wait: float) -> None:
        """Notify them of a failure after which the request will be repeated."""
        if self._info is not None:
            self._notify("retry", RetryInfo(self._info, error, wait))

    def event(self, event: Any) -> None:
        """Notify them of an event that the caller gets next."""
        self._notify("event", event)

    def end(self, begun: float, result: Any, error: BaseException | None) -> None:
        """Notify them of the end of the call, which began at a time on the monotonic clock."""
        attempts = 0 if self._info is None else self._info.attempt
        self._notify("end", CallEnd(attempts, time.monotonic() - begun, result, error))

    def _notify(self, name: str, what: object) -> None:
        for each in self._observers:
            _guarded(type(each).__name__, getattr(each, name), what)


def observe(request: Request, config: Config, redact: Callable[[Any], Any], *, streaming: bool) -> Observers | None:
    """Return the observers of a call that begins; `None` when there are none, so that it costs nothing."""
    is_logged = _log.isEnabledFor(logging.INFO)
    if not is_logged and not config.is_observed:
        return None
    call = CallInfo(request, config, streaming, redact)
    observers: list[CallObserver] = []
    if config.tracing is not None and (trace := _guarded("Tracing", config.tracing.begin, call)) is not None:
        observers.append(trace)
    if is_logged:
        observers.append(_Log(call))
    if config.has_hooks:
        observers.append(_Hooks(config))
    return Observers(call, observers)
