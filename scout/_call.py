"""`Call`: every decision of one call of a user. What is sent, its limits, and what each failure means. No I/O.

| what fails                                   | becomes                                                        |
|----------------------------------------------|----------------------------------------------------------------|
| an exception of httpx                        | `APIConnectionError`, `APITimeoutError`, `APIResponseError`    |
| an answer that is an error, or no run        | the `APIError` that `_answers` has raised                      |
| a stream, after it has begun                 | `StreamInterruptedError`, or `APITimeoutError` with the run    |
| somebody else, such as a signal handler      | nothing else: it stays what it is, and nothing is repeated     |

Each failure passes through `Call.failed` (before a stream begins) or `Call.stream_failed` (after that). There the error
is put into our terms, freed from the API key and foreign frames, and completed with the attempts.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import socket
import ssl
import sys
import time
from _thread import start_new_thread
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import httpx

from . import __version__, _config
from ._answers import Answer
from ._requests import OWN_SESSION
from ._retry import REFUSED, Retries, foreign
from .errors import (
    APIConnectionError,
    APIError,
    APIResponseError,
    APITimeoutError,
    Attempt,
    ConfigurationError,
    ScoutError,
    StreamError,
    StreamInterruptedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._config import Config, Secret
    from ._observers import Observers
    from ._requests import Request
    from .results import Run

__all__ = [
    "FAILURES",
    "LIMITS",
    "AsyncTransport",
    "Call",
    "Limits",
    "OwnTransport",
    "StreamState",
    "Transport",
    "use_stand_in",
]

_log = logging.getLogger("scout")

FAILURES = (APIError, StreamError, httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)
"""The exceptions that mean that an attempt has failed. Every other exception passes through untouched.

None is an `OSError`: where a socket or a transport of the caller raises one, it becomes one of httpx. All others are
somebody else's, such as the `TimeoutError` with which a signal handler ends a job.
"""

USER_AGENT = f"scout-workflows/{__version__}"

_HEADERS = {
    "user-agent": USER_AGENT,
    # Both, because a run is read from either, whichever was requested.
    "accept": "application/json, text/event-stream",
    "accept-encoding": "gzip, deflate",
}
_HEADERS_OF_A_BODY = {"content-type": "application/json"}


class Transport(Protocol):
    """An object that `Scout(transport=...)` takes, such as `httpx.HTTPTransport` or `httpx.MockTransport`."""

    def handle_request(self, request: Any, /) -> Any:
        """Send a request, and return its response."""
        ...

    def close(self) -> None:
        """Release the connections."""
        ...


class AsyncTransport(Protocol):
    """An object that `AsyncScout(transport=...)` takes, such as `httpx.AsyncHTTPTransport` or `httpx.MockTransport`."""

    async def handle_async_request(self, request: Any, /) -> Any:
        """Send a request, and return its response."""
        ...

    async def aclose(self) -> None:
        """Release the connections."""
        ...


@runtime_checkable
class OwnTransport(Protocol):
    """Properties that a transport of this package declares to the client.

    Attributes:
        needs_key: True when it sends the API key; False when it answers without a network.
        proves_unsent: True when its connect errors prove that no byte of the request was sent.
        enforces_limits: True when it looks at `Limits` while it waits.
    """

    needs_key: bool
    proves_unsent: bool
    enforces_limits: bool


LIMITS = "scout.limits"
"""The name of the `Limits` among the extensions of an httpx request."""


class Limits:
    """Time limits of the network operations of one call. Moments are on the monotonic clock.

    They are an extension of the request (`request.extensions[LIMITS]`), which the connections and recordings of this
    package read.

    Attributes:
        connect: Seconds for making a connection; `None` for no limit.
        silence: Seconds for one read or write; `None` for no limit.
        ends_at: The time by which the whole call must end.
        event_ends_at: The time by which the next event of a stream must be complete.
    """

    __slots__ = ("connect", "ends_at", "event_ends_at", "silence")

    def __init__(self, connect: float | None, silence: float | None, ends_at: float) -> None:
        self.connect = connect
        self.silence = silence
        self.ends_at = ends_at
        self.event_ends_at: float = math.inf


def use_stand_in(request: httpx.Request) -> None:
    """Change the address of a request, when a test has put a server in place of the API. Called for each request."""
    if _config.stand_in is not None:
        request.url = httpx.URL(_config.url_with_stand_in(str(request.url)))
        request.headers["host"] = request.url.netloc.decode("ascii")


class StreamState(Protocol):
    """State of a stream, for the error that ends it."""

    last_event: Any

    def run(self) -> Run:
        """Return the run so far."""
        ...

    def interrupted(self, reason: str) -> StreamInterruptedError:
        """Return the error of a stream that ends before its run does."""
        ...


class Call:
    """One call of a user: what is sent, its limits, and what has happened so far.

    Args:
        request: The request.
        config: The settings of the call.
        begun: The time when the call began, on the monotonic clock.
        proves_unsent: True when connect errors of the transport prove that nothing was sent.
        streaming: True when `timeout` applies to events instead of reads.

    Attributes:
        status: The status of the answer to the current attempt; `None` before it.
        failure: The last error; that for the caller, once `failed` has returned `None`.
        observers: The observers; `None` when there are none, or when the call has ended.
        stream: The state of the stream, once there is one.
    """

    failure: BaseException
    _headers: dict[str, str]  # of the answer to the current attempt

    def __init__(
        self, request: Request, config: Config, begun: float, *, proves_unsent: bool, streaming: bool = False
    ) -> None:
        self.config = config
        self.proves_unsent = proves_unsent
        self.status: int | None = None
        self._streaming = streaming
        self._request = request
        self._begun = begun
        self._attempts: list[Attempt] = []
        self._attempt_begun = begun
        self._received = 0
        self._secret: Secret | None = None
        self.stream: StreamState | None = None
        self._retries = Retries(
            config.retries,
            config.rate_limit_timeout,
            repeat_unknown=config.at_least_once or request.repeatable,
        )
        self._handled = sys.exception()  # by the caller; it is the context of the errors of this call
        ends_at = begun + config.deadline if config.deadline is not None else math.inf
        self._limits = Limits(config.connect_timeout, config.timeout, ends_at)
        self.observers: Observers | None = None
        if config.is_observed or _log.isEnabledFor(logging.INFO):
            self.observers = _observe()(request, config, self._redact, streaming=streaming)

    # --- One attempt ---

    def begin_attempt(self) -> None:
        """Begin the next attempt, with the key of this moment.

        Raises:
            ConfigurationError: the API key is missing.
            Exception: whatever a function that returns the key raises.
        """
        self._secret = self.config.secret()
        self._attempt_begun = time.monotonic()
        self.status, self._received = None, 0

    def request(self) -> httpx.Request:
        """Return the request of this attempt.

        Raises:
            ConfigurationError: the URL is too long.
            APITimeoutError: the deadline has passed before it.
        """
        request, config = self._request, self.config
        timeouts = self._timeouts()
        try:
            url = _url(config.base_url + request.path, str(httpx.QueryParams(request.query)))
        except httpx.InvalidURL as error:
            raise ConfigurationError(f"an argument cannot be a part of an address: {error}; nothing was sent") from None
        sent = httpx.Request(
            request.method,
            url,
            headers={
                **_HEADERS,
                **(_HEADERS_OF_A_BODY if request.body else {}),
                **({} if self.observers is None else self.observers.request(self.attempts, url)),
                **config.headers,
                **request.headers,
            },
            content=request.body,
            extensions={"timeout": timeouts, LIMITS: self._limits},
        )
        assert self._secret is not None  # since the attempt has begun
        self._secret.authorize(sent.headers)
        return sent

    def answered(self, response: httpx.Response) -> None:
        """Take the head of the response to this attempt."""
        self.status = response.status_code
        self._headers = dict(response.headers.items())
        if self.observers is not None:
            self.observers.response(self.status, self._headers, time.monotonic() - self._attempt_begun)

    def _timeouts(self) -> dict[str, float | None]:
        """Return the limits as httpx's own transports understand them. They bound each operation alone."""
        left = self._limits.ends_at - self._attempt_begun
        if left <= 0:
            raise self._deadline_error("before the next attempt could begin", run_may_have_started=False)
        self._limits.event_ends_at = math.inf
        connect, silence = self.config.connect_timeout, self.config.timeout
        if left < math.inf:
            connect = left if connect is None else min(connect, left)
            silence = left if silence is None else min(silence, left)
        return {"connect": connect, "pool": connect, "read": silence, "write": silence}

    @property
    def is_accepted(self) -> bool:
        """True for a 2xx status."""
        return 200 <= (self.status or 0) < 300

    def await_event(self, seconds: float | None = None) -> None:
        """Start the time limit of the next event: `seconds`, by default `timeout`."""
        self._handled = sys.exception()
        longest = self.config.timeout if seconds is None else seconds
        self._limits.event_ends_at = math.inf if longest is None else time.monotonic() + longest

    def received(self, piece: bytes) -> None:
        """Count a piece of the body.

        Raises:
            APITimeoutError: the deadline has passed, or the time for the next event has. (The connections of this
                package see to both while they wait; other transports may not.)
        """
        self._received += len(piece)
        now = time.monotonic()
        if now >= self._limits.ends_at:
            raise self._deadline_error(self._progress(), run_may_have_started=self.status not in REFUSED)
        if self._streaming and self.is_accepted and now >= self._limits.event_ends_at:
            raise self._silence_error(run_may_have_started=True)

    def has_enough(self) -> bool:
        """Return True when the rest of an error body can be skipped: after its first megabyte."""
        return not self.is_accepted and self._received > _LONGEST_ERROR

    def may_do_without_the_rest(self, error: Exception) -> bool:
        """Return True when an error leaves an acceptable body: that of an error status, before the deadline."""
        return not self.is_accepted and not self._is_over() and foreign(*self._chain(error)) is None

    def answer(self, body: bytes) -> Answer:
        """Return the answer to this attempt, with its body as far as it has arrived."""
        assert self.status is not None  # since its head has arrived
        # Only an error names the address, so that a call that succeeds does not pay for it.
        address = (
            "" if self.is_accepted else f"{self._request.method.upper()} {self.config.base_url}{self._request.path}"
        )
        sent = self._request
        return Answer(
            self.status,
            self._headers,
            body,
            sent.unknown_outcome,
            address,
            self.attempts,
            sent.workflow_id,
            sent.session_id,
        )

    @property
    def attempts(self) -> int:
        """The number of requests that were sent."""
        return len(self._attempts) + 1

    def end(self, error: BaseException | None = None, result: object = None) -> None:
        """End the call for its observers. Further calls do nothing.

        Args:
            error: The exception for the caller.
            result: The result; for a stream, its state is asked.
        """
        observers, self.observers = self.observers, None
        if observers is not None:
            result = result if self.stream is None else self.stream.run()
            observers.end(time.monotonic() - self._begun, result, error)

    def forget(self) -> None:
        """End the call as `end`. The garbage collector may call this at any moment."""
        if self.observers is not None:
            # In a thread of its own, because this one may hold a lock that an observer needs. (Python starts none when
            # it is about to exit.)
            with contextlib.suppress(RuntimeError):
                start_new_thread(self.end, ())

    def _redact(self, value: Any) -> Any:
        # For every call that is observed, and `redact` takes longer than the look. Before the first attempt, what a
        # function will return as the key is not known, and nothing of a server is there.
        secret = self._secret or self.config.api_key
        return value if secret is None or not secret.may_be_in(value) else secret.redact(value)

    # --- Failures ---

    def failed(self, error: Exception) -> float | None:
        """Decide whether a failed attempt is repeated.

        Returns:
            The seconds to wait before the next attempt; `None` when `failure` has to be raised.
        """
        other = foreign(*self._chain(error))
        if other is not None:
            self.failure = other
            return None
        failure = self._own(error)
        seconds = self._retries.pause(failure)
        fits = seconds is None or time.monotonic() + seconds < self._limits.ends_at
        self._note(failure, seconds if fits else None)
        if seconds is not None and fits:
            self.failure = failure
            return seconds
        if seconds is not None:
            reason = f"the next attempt would have been {seconds:.1f} s later, after: {failure.message}"
            failure, cause = self._deadline_error(reason, run_may_have_started=False), failure
            failure.__cause__ = cause
        self.failure = self._complete(failure, any(attempt.run_may_have_started for attempt in self._attempts))
        return None

    def waits(self, seconds: float) -> None:
        """Notify the observers of the wait before the next attempt; not while an exception of httpx is handled."""
        if self.observers is not None:
            assert isinstance(self.failure, ScoutError)  # any other is not repeated
            self.observers.retry(self.failure, seconds)

    def stream_failed(self, error: Exception, stream: StreamState | None = None) -> BaseException:
        """Return the error for the caller of a stream that fails after it has been opened.

        Args:
            error: The exception.
            stream: The state of the stream; `None` when the response is not a stream of events.
        """
        other = foreign(*self._chain(error))
        if other is not None:
            return other
        failure = self._own(error)
        if stream is not None and isinstance(failure, APITimeoutError):
            failure.run, failure.last_event = stream.run(), stream.last_event
        elif stream is not None and isinstance(failure, APIError):
            failure, cause = stream.interrupted(failure.message), failure.__cause__
            failure.__cause__ = cause
        self._note(failure, None)
        return self._complete(failure, True)

    def _note(self, failure: ScoutError, wait: float | None) -> None:
        self._attempts.append(
            Attempt(
                number=len(self._attempts) + 1,
                started=self._attempt_begun - self._begun,
                seconds=time.monotonic() - self._attempt_begun,
                outcome=f"{type(failure).__name__}: {failure.message}",
                run_may_have_started=failure.run_may_have_started,
                wait=wait,
            )
        )

    def _complete(self, failure: ScoutError, run_may_have_started: bool) -> ScoutError:
        failure.attempts = tuple(self._attempts)
        failure.run_may_have_started = run_may_have_started
        run: Run | None = getattr(failure, "run", None)
        failure.session_id = (run and run.session_id) or self._request.session_id
        failure.workflow_id = (run and run.workflow_id) or self._request.workflow_id
        return failure

    def _own(self, error: Exception) -> ScoutError:
        """Return an error as a `ScoutError`, without its traceback, and without the key if the server has echoed it."""
        failure = error if isinstance(error, ScoutError) else self._translate(error)
        failure.__traceback__ = failure.__context__ = None
        if self._secret is not None:
            for name in ("message", "args", "body", "data", "headers", "details", "request_id"):
                if name in failure.__dict__ or name == "args":
                    setattr(failure, name, self._secret.redact(getattr(failure, name)))
        if self._request.repeatable:
            failure.run_may_have_started = False
        return failure

    def _translate(self, error: Exception) -> ScoutError:
        cause = _system_error(self._chain(error))
        unsent = self._is_certainly_unsent(error, cause)
        failure: ScoutError
        if isinstance(error, httpx.DecodingError):
            failure = APIResponseError(
                self._unknown(f"the answer with status {self.status} cannot be decompressed: {error}"),
                status=self.status or 0,
                body=b"",
                damaged=True,
            )
        elif isinstance(error, httpx.TimeoutException) and self._is_over():
            failure = self._deadline_error(self._progress(), run_may_have_started=not unsent)
        elif isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
            failure = self._connect_error(error, run_may_have_started=not unsent)
        elif isinstance(error, httpx.TimeoutException):
            failure = self._silence_error(run_may_have_started=not unsent)
        else:
            why = _words(cause or error) + _advice(cause)
            failure = APIConnectionError(
                f"no connection to {self.config.base_url}: {why}"
                if unsent
                else self._unknown(f"the connection to {self.config.base_url} broke: {why} ({self._progress()})"),
                run_may_have_started=not unsent,
            )
        failure.__cause__ = cause
        return failure

    def _chain(self, error: BaseException) -> list[BaseException]:
        """Return an error and those from which it was made, but no other that the caller may be handling."""
        chain = [error]
        for each in chain:
            # A group: one error for each address of a host, when none could be reached.
            under: list[Any] = [each.__cause__ or each.__context__, *getattr(each, "exceptions", ())]
            chain += [below for below in under if below not in (None, *chain) and below is not self._handled]
        return chain

    def _connect_error(self, error: httpx.TimeoutException, *, run_may_have_started: bool) -> APITimeoutError:
        seconds = self.config.connect_timeout or 0.0
        what = "free connection" if isinstance(error, httpx.PoolTimeout) else "connection"
        message = f"no {what} to {self.config.base_url} within {seconds:g} s (connect_timeout)"
        return self._timeout_error(message, "connect", seconds, run_may_have_started)

    def _silence_error(self, *, run_may_have_started: bool) -> APITimeoutError:
        seconds = self.config.timeout or 0.0
        silent = "the server sent no event" if self._streaming and self.status else "the server was silent"
        message = f"{silent} for {seconds:g} s (timeout): {self._progress()}"
        return self._timeout_error(message, "timeout", seconds, run_may_have_started)

    def _deadline_error(self, progress: str, *, run_may_have_started: bool) -> APITimeoutError:
        seconds = self.config.deadline or 0.0
        message = f"the call was not done within {seconds:g} s (deadline): {progress}"
        return self._timeout_error(message, "deadline", seconds, run_may_have_started)

    def _timeout_error(
        self, message: str, limit: Literal["connect", "timeout", "deadline"], seconds: float, unknown: bool
    ) -> APITimeoutError:
        message = self._unknown(message) if unknown else message
        return APITimeoutError(message, limit=limit, seconds=seconds, run_may_have_started=unknown)

    def _unknown(self, message: str) -> str:
        return f"{message}; {self._request.unknown_outcome}" if self._request.unknown_outcome else message

    def _is_over(self) -> bool:
        return time.monotonic() >= self._limits.ends_at - _CLOCK

    def _progress(self) -> str:
        if self.status is None:
            return "no answer had begun"
        return f"the answer had begun, with status {self.status} and {self._received} bytes of its body"

    def _is_certainly_unsent(self, error: Exception, cause: OSError | None) -> bool:
        """Return True when it is certain that the server has not accepted the request.

        A connect error counts only from our own and httpx's transports: others (aiohttp's) also raise it after the
        server has read the request. From those, only an error of the operating system counts.
        """
        if self.status is not None:
            return self.status in REFUSED
        if isinstance(error, httpx.PoolTimeout | httpx.ConnectTimeout | httpx.ConnectError | httpx.ProxyError):
            return self.proves_unsent or isinstance(cause, ConnectionRefusedError | socket.gaierror)
        return False


def _parsed(address: str, query: str) -> httpx.URL:
    return httpx.URL(f"{address}?{query}" if query else address)


# Because httpx takes longer to parse a URL than to make the rest of a request.
_parsed_before = lru_cache(maxsize=256)(_parsed)


def _url(address: str, query: str) -> httpx.URL:
    # A session of ours occurs once: in the cache it would take the place of an address that is used again. (To put a
    # query into a parsed URL, with `copy_with`, takes httpx longer than to parse the whole.)
    return (_parsed if OWN_SESSION in query else _parsed_before)(address, query)


@cache
def _observe() -> Callable[..., Observers | None]:
    from ._observers import observe  # most programs observe nothing, which costs them nothing

    return observe


_LONGEST_ERROR = 1024 * 1024  # bytes

_CLOCK = 0.01  # seconds by which a timer may be early


def _system_error(chain: list[BaseException]) -> OSError | None:
    """Return the operating system's own error under one of httpx, alone: its frames would hold the headers sent."""
    found = [each for each in chain if isinstance(each, OSError)]
    if not found:
        return None
    # An error with a number is from the system; one without is a library's summary of several.
    alone = next((each for each in found if each.errno is not None), found[0]).with_traceback(None)
    alone.__cause__ = alone.__context__ = None
    return alone


# OpenSSL's numbers for certificates whose authority is not known.
_UNKNOWN_AUTHORITY = {2, 18, 19, 20, 21}


def _advice(error: OSError | None) -> str:
    """Return what helps when a certificate is not trusted."""
    if not isinstance(error, ssl.SSLCertVerificationError) or error.verify_code not in _UNKNOWN_AUTHORITY:
        return ""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if place := os.environ.get(name):
            return f"; {name} is {place!r}, which does not hold the certificate of its authority"
    return "; if its authority is one of your own, set SSL_CERT_FILE to a file with the certificate of that authority"


def _words(error: Exception) -> str:
    # The messages of asyncio are less clear than those of the system.
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror | ssl.SSLError):
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__
