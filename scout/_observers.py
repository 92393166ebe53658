"""Observers of a call: hooks of the caller, log records and traces. None of them can make a call fail."""

from __future__ import annotations

import logging
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


@dataclass(slots=True)
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


class CallObserver(Protocol):
    """Observes one call. What it raises is logged, and the call goes on."""

    def request(self, attempt: int, url: object) -> Mapping[str, str] | None:
        """Take a request that is about to be sent, and return headers for it, with names in lower case.

        Args:
            attempt: Its position in the call, from 1.
            url: The URL, with its query; `str` makes text of it.
        """
        ...

    def response(self, status: int, headers: Mapping[str, str], seconds: float) -> object:
        """Take the head of a response, `seconds` after the beginning of the attempt. The headers may hold the key."""
        ...

    def retry(self, attempt: int, error: ScoutError, wait: float) -> object:
        """Take the failure of an attempt, after which the request will be repeated in `wait` seconds."""
        ...

    def event(self, event: Any) -> object:
        """Take an event of a stream, which the caller gets next."""
        ...

    def end(self, attempts: int, seconds: float, result: Any, error: BaseException | None) -> object:
        """Take the end of the call.

        Args:
            attempts: The number of requests that were made.
            seconds: The time since the call began.
            result: The result, such as a `Run`, or `None`; of a stream the run so far, which may not be over.
            error: The exception for the caller; `None` when there is none.
        """
        ...


class Tracing(Protocol):
    """An object that `Scout(tracing=...)` takes: `scout.otel.Tracing`."""

    def begin(self, call: CallInfo) -> CallObserver:
        """Return the observer of a call that begins."""
        ...


# --- Observers ----------------------------------------------------------------------------------------------------


class _Hooks:
    """Calls the hooks."""

    _info: RequestInfo  # the current request

    def __init__(self, call: CallInfo) -> None:
        self._call = call

    def request(self, attempt: int, url: object) -> None:
        request = self._call.request
        self._info = RequestInfo(
            method=request.method.upper(),
            url=self._call.redact(str(url)),
            attempt=attempt,
            operation=request.operation,
            workflow_id=request.workflow_id,
            session_id=request.session_id,
            environment=request.query.get("environment"),
            streaming=self._call.streaming,
        )
        self._notify("on_request", self._info)

    def response(self, status: int, headers: Mapping[str, str], seconds: float) -> None:
        headers = self._call.redact(headers)
        self._notify("on_response", ResponseInfo(self._info, status, headers, seconds, request_id_in(headers)))

    def retry(self, attempt: int, error: ScoutError, wait: float) -> None:  # noqa: ARG002 - the request has it
        self._notify("on_retry", RetryInfo(self._info, error, wait))

    def event(self, event: Any) -> None:
        self._notify("on_event", event)

    def end(self, attempts: int, seconds: float, result: Any, error: BaseException | None) -> None:
        pass

    def _notify(self, name: str, what: object) -> None:
        hook = getattr(self._call.config, name)
        if hook is not None:
            try:
                hook(what)
            except Exception as error:  # noqa: BLE001 - it is logged
                _pass_over(f"the hook {name}", error)


class _Log:
    """Writes the log records of a call."""

    def __init__(self, call: CallInfo) -> None:
        self._call = call

    def request(self, attempt: int, url: object) -> None:  # noqa: ARG002 - a query may hold what is not for a log
        method, path = self._call.request.method.upper(), self._call.request.path
        facts = self._facts(method=method, path=path, attempt=attempt)
        _log.debug("%s %s: attempt %d of %s", method, path, attempt, facts["operation"], extra=facts)

    def response(self, status: int, headers: Mapping[str, str], seconds: float) -> None:
        request_id = self._call.redact(request_id_in(headers))
        about = "" if request_id is None else f" (request id {request_id})"
        facts = self._facts(status=status, seconds=seconds, request_id=request_id)
        _log.debug("%d after %.3f s%s", status, seconds, about, extra=facts)

    def retry(self, attempt: int, error: ScoutError, wait: float) -> None:
        facts = self._facts(error=error, attempt=attempt, wait=wait)
        _log.info("attempt %d failed: %s; waiting %.1f s", attempt, error.message, wait, extra=facts)

    def event(self, event: Any) -> None:
        pass

    def end(self, attempts: int, seconds: float, result: Any, error: BaseException | None) -> None:  # noqa: ARG002
        level = logging.INFO if seconds > _LONG else logging.DEBUG
        how = "done" if error is None else f"failed with {type(error).__name__}"
        facts = self._facts(error=error, attempts=attempts, seconds=seconds)
        _log.log(level, "%s: %s after %.3f s, requests: %d", facts["operation"], how, seconds, attempts, extra=facts)

    def _facts(self, **facts: Any) -> dict[str, Any]:
        request = self._call.request
        known = {"workflow_id": request.workflow_id, "session_id": request.session_id}
        return {"operation": request.operation, **known, **facts}


class Observers:
    """All observers of one call."""

    def __init__(self, observers: list[CallObserver]) -> None:
        self._observers = observers
        self._attempt = 0

    def request(self, attempt: int, url: object) -> dict[str, str]:
        """Notify them of a request, and return the headers that they add to it."""
        self._attempt = attempt
        headers: dict[str, str] = {}
        for each in self._observers:
            try:
                headers |= each.request(attempt, url) or {}
            except Exception as error:  # noqa: BLE001 - it is logged
                _pass_over(type(each).__name__, error)
        return headers

    def response(self, status: int, headers: Mapping[str, str], seconds: float) -> None:
        """Notify them of the head of a response."""
        self._notify("response", status, headers, seconds)

    def retry(self, error: ScoutError, wait: float) -> None:
        """Notify them of a failure after which the request will be repeated."""
        self._notify("retry", self._attempt, error, wait)

    def event(self, event: Any) -> None:
        """Notify them of an event that the caller gets next."""
        self._notify("event", event)

    def end(self, seconds: float, result: Any, error: BaseException | None) -> None:
        """Notify them of the end of the call."""
        self._notify("end", self._attempt, seconds, result, error)

    def _notify(self, name: str, *facts: object) -> None:
        for each in self._observers:
            try:
                getattr(each, name)(*facts)
            except Exception as error:  # noqa: BLE001 - it is logged
                _pass_over(type(each).__name__, error)


def _pass_over(name: str, error: Exception) -> None:
    """Log what an observer has raised, which must not cost a run; raise what a signal handler has."""
    if foreign(error) is not None:
        raise error
    _log.error("%s raised %s; the call goes on", name, type(error).__name__, exc_info=error)


def observe(request: Request, config: Config, redact: Callable[[Any], Any], *, streaming: bool) -> Observers | None:
    """Return the observers of a call that begins; `None` when there are none, so that it costs nothing."""
    is_logged = _log.isEnabledFor(logging.INFO)
    if not is_logged and not config.is_observed:
        return None
    call = CallInfo(request, config, streaming, redact)
    observers: list[CallObserver] = []
    if config.tracing is not None:
        try:
            observers.append(config.tracing.begin(call))
        except Exception as error:  # noqa: BLE001 - it is logged
            _pass_over(type(config.tracing).__name__, error)
    if is_logged:
        observers.append(_Log(call))
    if config.has_hooks:
        observers.append(_Hooks(call))
    return Observers(observers)
