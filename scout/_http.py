"""Send and receive: pools, transports, deadlines, and what httpx's errors mean.

The only module of the core that imports httpx. The two classes at the end differ only in their awaits; every decision
stands once, in `Call`.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import socket
import ssl
import threading
import time
import weakref
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import httpcore
import httpx

from . import __version__
from ._answers import Answer, is_stream, status_error
from ._config import route
from ._retry import REFUSED, pause
from .errors import (
    APIConnectionError,
    APIError,
    APIResponseError,
    APITimeoutError,
    Attempt,
    ConfigurationError,
    ScoutError,
    StreamError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable

    from ._config import Config, Secret
    from ._requests import Request

# Without a handler of its own Python would print stamina's note of every repetition; an application's handlers see it.
logging.getLogger("stamina").addHandler(logging.NullHandler())

__all__ = ["AsyncHttp", "AsyncTransport", "Call", "Http", "Transport"]

T = TypeVar("T")
ClientT = TypeVar("ClientT", httpx.Client, httpx.AsyncClient)
ScoutErrorT = TypeVar("ScoutErrorT", bound=ScoutError)

_HEADERS = {
    "user-agent": f"scout-workflows/{__version__}",
    # Both, because either is understood as the answer to a run, whichever was asked for.
    "accept": "application/json, text/event-stream",
    "accept-encoding": "gzip, deflate",
}
_OF_A_BODY = {"content-type": "application/json"}

# As the SDKs of other APIs do: many at once, and few kept open.
_LIMITS = httpx.Limits(max_connections=1000, max_keepalive_connections=100)


class Transport(Protocol):
    """What `Scout(transport=...)` takes, such as `httpx.HTTPTransport` or `httpx.MockTransport`."""

    def handle_request(self, request: Any, /) -> Any:
        """Send a request, and return its response."""
        ...

    def close(self) -> None:
        """Release the connections."""
        ...


class AsyncTransport(Protocol):
    """What `AsyncScout(transport=...)` takes, such as `httpx.AsyncHTTPTransport` or `httpx.MockTransport`."""

    async def handle_async_request(self, request: Any, /) -> Any:
        """Send a request, and return its response."""
        ...

    async def aclose(self) -> None:
        """Release the connections."""
        ...


# --- Time ---------------------------------------------------------------------------------------------------------
#
# httpx knows how long one read may take, not how long a call may. So the deadline travels with the request, in the
# timeouts that httpx hands down to every read and write, and the network streams below look at it there.


class _Limit(float):
    """A timeout of one network operation that also knows when something larger has to be over.

    Attributes:
        ends_at: That moment, on the monotonic clock: of the whole call, or, in a stream, of the wait for an event.
    """

    ends_at: float

    def left(self, error: type[Exception]) -> float | None:
        left = min(float(self), self.ends_at - time.monotonic())
        if left <= 0:
            raise error("the time has passed")
        return left if math.isfinite(left) else None


def _left(timeout: float | None, error: type[Exception]) -> float | None:
    return timeout.left(error) if isinstance(timeout, _Limit) else timeout


def _addresses(host: str, port: int) -> list[Any]:
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(str(error)) from error


_PIECE = 65536  # a write is bounded piece by piece, because one that is taken slowly is many


class _Backend(httpcore.NetworkBackend):
    def __init__(self, inner: httpcore.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        # One address after the other, because the timeout of a name would count anew for each of its addresses.
        hosts = [str(info[4][0]) for info in _addresses(host, port)]
        while True:
            address = hosts.pop(0)
            try:
                left = _left(timeout, httpcore.ConnectTimeout)
                return _Stream(self._inner.connect_tcp(address, port, left, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if not hosts:
                    raise

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.connect_unix_socket(path, left, socket_options))

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner
        self._process = os.getpid()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not isinstance(timeout, _Limit):
            self._inner.write(buffer, timeout)
            return
        for start in range(0, len(buffer), _PIECE):
            self._inner.write(buffer[start : start + _PIECE], timeout.left(httpcore.WriteTimeout))

    def close(self) -> None:
        # A thread that waits for this socket would not notice that it is closed; in the child of a fork the connection
        # is the parent's.
        if self._process == os.getpid():
            with contextlib.suppress(OSError):
                self._inner.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _AsyncBackend(httpcore.AsyncNetworkBackend):
    def __init__(self, inner: httpcore.AsyncNetworkBackend) -> None:
        self._inner = inner

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _AsyncStream(await self._inner.connect_tcp(host, port, left, local_address, socket_options))

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _AsyncStream(await self._inner.connect_unix_socket(path, left, socket_options))

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class _AsyncStream(httpcore.AsyncNetworkStream):
    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # In one piece: the async backends bound the whole of a write, not each part of it.
        await self._inner.write(buffer, _left(timeout, httpcore.WriteTimeout))

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _AsyncStream(await self._inner.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _inner_pools(client: httpx.Client | httpx.AsyncClient) -> list[Any]:
    """The pools of httpcore beneath a client.

    httpx has no public way to them; the private names are held by a test.
    """
    transports: list[Any] = [client._transport, *client._mounts.values()]  # pyright: ignore[reportPrivateUsage]
    # A recorder is between the client and what sends.
    transports += [inner for each in transports for inner in getattr(each, "inner_transports", ())]
    return [pool for each in transports if (pool := getattr(each, "_pool", None)) is not None]


def _watch(client: httpx.Client | httpx.AsyncClient) -> None:
    """Let a client's transports look at deadlines, by way of private names that a test holds."""
    for pool in _inner_pools(client):
        inner = getattr(pool, "_network_backend", None)
        if isinstance(inner, httpcore.NetworkBackend) and not isinstance(inner, _Backend):
            pool._network_backend = _Backend(inner)
        elif isinstance(inner, httpcore.AsyncNetworkBackend) and not isinstance(inner, _AsyncBackend):
            pool._network_backend = _AsyncBackend(inner)


# --- Pools --------------------------------------------------------------------------------------------------------

_pools: weakref.WeakSet[_Connections] = weakref.WeakSet()
_inherited: list[object] = []


def _forget_pools() -> None:
    # In the child of a fork: the parent goes on using these connections. They are kept from the garbage collector,
    # because closing them would be I/O on sockets that belong to another process.
    for pool in _pools:
        _inherited.append((pool.clients, pool.abandoned))
        pool.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pools)


def _is_httpx_own(transport: object, method: str) -> bool:
    """Whether a transport sends as httpx does, so that its word on what was not sent can be believed."""
    inner = getattr(transport, "inner_transports", None)
    if inner is not None:
        return all(_is_httpx_own(each, method) for each in inner if hasattr(each, method))
    own = (httpx.HTTPTransport, httpx.AsyncHTTPTransport, httpx.MockTransport)
    sends = getattr(type(transport), method, None)
    return sends is not None and any(sends is getattr(kind, method, None) for kind in own)


def _make(kind: Callable[..., ClientT], transport: Any, base_url: str) -> ClientT:
    secure, here = route(base_url)
    settings: dict[str, Any] = {"transport": transport, "limits": _LIMITS}
    if here:
        settings["trust_env"] = False  # a proxy has no business with what stays on this machine
    try:
        # Loading the certificates of all authorities takes longer than a call to this machine. Without them nothing is
        # trusted, so a connection with TLS would fail.
        settings["verify"] = httpx.create_ssl_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client = kind(**settings)
    except (OSError, ValueError, ImportError, httpx.InvalidURL) as error:
        reason = str(error)
    else:
        _watch(client)
        return client
    raise ConfigurationError(f"the environment's settings for proxies or certificates cannot be used: {reason}")


class _Connections:
    """What the pools of both clients have in common."""

    def __init__(self, transport: Any, method: str) -> None:
        self.transport = transport
        self.trusted: bool = transport is None or _is_httpx_own(transport, method)
        self.closed = False
        self.reset()
        _pools.add(self)

    def reset(self) -> None:
        self._lock = threading.Lock()
        self.clients: dict[Any, Any] = {}
        self.abandoned: deque[Body] = deque()

    def _get(self, kind: Callable[..., ClientT], base_url: str, *owner: object) -> ClientT:
        key = (None if self.transport is not None else route(base_url), *owner)
        client = self.clients.get(key)
        if client is None or self.closed:
            with self._lock:
                if self.closed:
                    raise ConfigurationError("this client is closed; make a new one")
                client = self.clients.get(key) or _make(kind, self.transport, base_url)
                self.clients[key] = client
        found: ClientT = client
        return found


class _Pool(_Connections):
    """The connections of one client and its copies: made when first needed, anew after a fork."""

    def __init__(self, transport: Transport | None) -> None:
        super().__init__(transport, "handle_request")

    def client(self, base_url: str) -> httpx.Client:
        self._bury()
        return self._get(httpx.Client, base_url)

    def _bury(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self.abandoned.popleft().close()

    def close(self) -> None:
        with self._lock:
            self.closed = True
            clients = self.clients.copy()
            self.clients.clear()
        self._bury()
        for client in clients.values():
            client.close()


class _AsyncPool(_Connections):
    """The same for `AsyncScout`: one set of connections for each event loop."""

    def __init__(self, transport: AsyncTransport | None) -> None:
        super().__init__(transport, "handle_async_request")

    def client(self, base_url: str) -> httpx.AsyncClient:
        loop = _running_loop()
        if len(self.clients) > 1:
            self._bury_closed_loops()
        return self._get(httpx.AsyncClient, base_url, loop)

    def _bury_closed_loops(self) -> None:
        # Nobody can await the closing of what they hold; forgotten, it is closed by the garbage collector.
        with self._lock:
            for key in [key for key in self.clients if key[1].is_closed()]:
                del self.clients[key]

    def drop_phantoms(self, client: httpx.AsyncClient) -> None:
        """Take connections out of httpcore's pool that a cancelled request has left there, new and for nobody.

        httpcore never uses or closes them, and they count against its limit: https://github.com/encode/httpcore/issues/1093.
        The private names are held by a test.
        """
        for pool in _inner_pools(client):
            if not hasattr(pool, "handle_async_request"):
                continue  # that of a recorder for the other client
            wanted = [request.connection for request in pool._requests]
            for connection in pool.connections:
                if connection not in wanted and ", NEW," in connection.info():
                    pool._connections.remove(connection)
                    _soon(_running_loop(), connection.aclose())

    async def aclose(self) -> None:
        loop = _running_loop()
        with self._lock:
            self.closed = True
            clients = self.clients.copy()
            self.clients.clear()
        for (_, owner), client in clients.items():
            if owner is loop:
                await client.aclose()


_closing: set[Any] = set()  # tasks, which a loop itself does not keep


def _soon(loop: Any, closing: Coroutine[Any, Any, None]) -> None:
    task = loop.create_task(closing)
    _closing.add(task)
    task.add_done_callback(_closing.discard)


def _running_loop() -> object:
    import asyncio  # not for Scout, which has no use for it

    return asyncio.get_running_loop()


# --- Calls --------------------------------------------------------------------------------------------------------


def _finite(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None


class Call:
    """One call of a user: what is sent, its limits, and what has happened so far. All decisions, and no I/O."""

    def __init__(
        self, request: Request, config: Config, begun: float, *, trusted: bool, streaming: bool = False
    ) -> None:
        self.streaming = streaming
        self.request = request
        self.config = config
        self.trusted = trusted
        self.attempts: list[Attempt] = []
        self.begun = begun
        self.ends_at: float = self.begun + config.deadline if config.deadline is not None else math.inf
        self.silence: _Limit = _Limit(math.inf)
        self.attempt_begun: float = self.begun
        self.secret: Secret
        self.status: int | None = None
        self.received: int = 0
        self.cut_wait: float | None = None

    def next_request(self) -> httpx.Request:
        """The request of the next attempt.

        Raises:
            ConfigurationError: there is no key, or an argument is too long for an address.
            APITimeoutError: the deadline has passed before it.
        """
        self.secret = self.config.secret()
        self.attempt_begun = time.monotonic()
        self.status, self.received = None, 0
        request, config = self.request, self.config
        try:
            sent = httpx.Request(
                request.method,
                config.base_url + request.path,
                params=request.query or None,
                headers={**_HEADERS, **(_OF_A_BODY if request.body else {}), **config.headers, **request.headers},
                content=request.body,
                extensions={"timeout": self._timeouts()},
            )
        except httpx.InvalidURL as error:
            raise ConfigurationError(f"an argument cannot be a part of an address: {error}; nothing was sent") from None
        self.secret.authorize(sent.headers)
        return sent

    def _timeouts(self) -> dict[str, float | None]:
        now = time.monotonic()
        left = self.ends_at - now
        if left <= 0:
            raise self._deadline_error("before the next attempt could begin", run_may_have_started=False)
        connect, silence = self.config.connect_timeout, self.config.timeout
        connecting = self._limit(connect, left, now + (math.inf if connect is None else connect))
        timeouts: dict[str, float | None] = {"connect": connecting, "pool": _finite(connecting)}
        if math.isfinite(left) or self.streaming:
            self.silence = self._limit(silence, left, math.inf)
            return {**timeouts, "read": self.silence, "write": self.silence}
        return {**timeouts, "read": silence, "write": silence}

    def _limit(self, seconds: float | None, left: float, ends_at: float) -> _Limit:
        limit = _Limit(left if seconds is None else min(seconds, left))
        limit.ends_at = min(self.ends_at, ends_at)
        return limit

    def await_event(self, seconds: float | None = None) -> None:
        """From now on, the next event has this long to come whole; without `seconds` as long as `timeout` says."""
        longest = self.config.timeout if seconds is None else seconds
        self.silence.ends_at = min(self.ends_at, time.monotonic() + (math.inf if longest is None else longest))

    def answer(self, response: httpx.Response, body: bytes) -> Answer:
        """The answer, as far as it came."""
        return Answer(response.status_code, dict(response.headers), body, self.request.unknown_outcome)

    def clean(self, failure: ScoutErrorT) -> ScoutErrorT:
        """An error without foreign frames, and without the key, should the server have echoed it."""
        failure.__traceback__ = failure.__context__ = None
        for name in ("message", "args", "body", "data", "headers", "details", "request_id"):
            if name in failure.__dict__ or name == "args":
                setattr(failure, name, self.secret.redact(getattr(failure, name)))
        return failure

    def translated(self, error: Exception) -> ScoutError:
        """An error in our own terms."""
        return self.clean(error if isinstance(error, ScoutError) else self._translate(error))

    def ended(self, error: ScoutError) -> ScoutError:
        """The error for the caller of a stream that went wrong after it had been opened."""
        failure = self.failed(error)
        failure.attempts = tuple(self.attempts)
        failure.run_may_have_started = True
        return failure

    def failed(self, error: Exception) -> ScoutError:
        """Record how an attempt failed, in our own terms."""
        failure = self.translated(error)
        if self.request.repeatable:
            failure.run_may_have_started = False
        now = time.monotonic()
        self.attempts.append(
            Attempt(
                number=len(self.attempts) + 1,
                started=self.attempt_begun - self.begun,
                seconds=now - self.attempt_begun,
                outcome=f"{type(failure).__name__}: {failure.message}",
                run_may_have_started=failure.run_may_have_started,
            )
        )
        return failure

    def _translate(self, error: Exception) -> ScoutError:
        cause = _system_error(error)
        unsent = self._certainly_unsent(error, cause)
        failure: ScoutError
        if isinstance(error, httpx.DecodingError):
            failure = APIResponseError(
                self._doubtful(f"the answer with status {self.status} cannot be decompressed: {error}"),
                status=self.status or 0,
                body=b"",
                damaged=True,
            )
        elif isinstance(error, httpx.TimeoutException) and self._is_over():
            failure = self._deadline_error(self._progress(), run_may_have_started=not unsent)
        elif isinstance(error, httpx.TimeoutException):
            failure = self._timeout_error(error, run_may_have_started=not unsent)
        else:
            why = _words(cause or error)
            failure = APIConnectionError(
                f"no connection to {self.config.base_url}: {why}"
                if unsent
                else self._doubtful(f"the connection to {self.config.base_url} broke: {why} ({self._progress()})"),
                run_may_have_started=not unsent,
            )
        failure.__cause__ = cause
        return failure

    def _timeout_error(self, error: httpx.TimeoutException, *, run_may_have_started: bool) -> APITimeoutError:
        limit: Literal["connect", "timeout"]
        if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
            limit, seconds = "connect", self.config.connect_timeout or 0.0
            what = "free connection" if isinstance(error, httpx.PoolTimeout) else "connection"
            message = f"no {what} to {self.config.base_url} within {seconds:g} s (connect_timeout)"
        else:
            limit, seconds = "timeout", self.config.timeout or 0.0
            silent = "the server sent no event" if self.streaming and self.status else "the server was silent"
            message = f"{silent} for {seconds:g} s (timeout): {self._progress()}"
        if run_may_have_started:
            message = self._doubtful(message)
        return APITimeoutError(message, limit=limit, seconds=seconds, run_may_have_started=run_may_have_started)

    def _deadline_error(self, progress: str, *, run_may_have_started: bool) -> APITimeoutError:
        seconds = self.config.deadline or 0.0
        message = f"the call was not done within {seconds:g} s (deadline): {progress}"
        return APITimeoutError(
            self._doubtful(message) if run_may_have_started else message,
            limit="deadline",
            seconds=seconds,
            run_may_have_started=run_may_have_started,
        )

    def _doubtful(self, message: str) -> str:
        return f"{message}; {self.request.unknown_outcome}" if self.request.unknown_outcome else message

    def _is_over(self) -> bool:
        return time.monotonic() >= self.ends_at - _CLOCK

    def _progress(self) -> str:
        if self.status is None:
            return "no answer had begun"
        return f"the answer had begun, with status {self.status} and {self.received} bytes of its body"

    def _certainly_unsent(self, error: Exception, cause: OSError | None) -> bool:
        """Whether it is proved that the server has not taken the request.

        Only httpx's own transports are believed when they say "connect": others (aiohttp's) say so as well when the
        server took the request and then hung up. From those, only the operating system's own word counts.
        """
        if self.status is not None:
            return self.status in REFUSED
        if isinstance(error, httpx.PoolTimeout | httpx.ConnectTimeout | httpx.ConnectError | httpx.ProxyError):
            return self.trusted or isinstance(cause, ConnectionRefusedError | socket.gaierror)
        return False

    def took(self, piece: bytes) -> None:
        """Count a piece of the body.

        Raises:
            APITimeoutError: the deadline has passed, or the time for the next event has. (Own transports of httpx see
                to both themselves, while they wait; others may not.)
        """
        self.received += len(piece)
        now = time.monotonic()
        if now >= self.ends_at:
            raise self._deadline_error(self._progress(), run_may_have_started=self.status not in REFUSED)
        if self.streaming and self.is_accepted and now >= self.silence.ends_at:
            raise self._timeout_error(httpx.ReadTimeout(""), run_may_have_started=True)

    @property
    def is_accepted(self) -> bool:
        """Whether the status is a 2xx."""
        return 200 <= (self.status or 0) < 300

    def has_enough(self) -> bool:
        """Whether the rest of the body does not matter: an error says enough in its first megabyte."""
        return not self.is_accepted and self.received > _LONGEST_ERROR

    def may_do_without_the_rest(self) -> bool:
        """Whether a body that breaks off does not matter: an error status says enough by itself."""
        return not self.is_accepted and not self._is_over()

    def may_repeat(self, error: ScoutError) -> bool:
        """Whether there is any use in waiting for another attempt."""
        return self._pause(error) is not None

    def _pause(self, error: ScoutError) -> float | None:
        return pause(
            error,
            len(self.attempts),
            retries=self.config.retries,
            repeat_unknown=self.config.at_least_once or self.request.repeatable,
        )

    def wait(self, error: Exception) -> bool | float:
        """For stamina: the seconds to wait before the next attempt, or `False`."""
        seconds = self._pause(error) if isinstance(error, ScoutError) else None
        if seconds is None:
            return False
        if time.monotonic() + seconds >= self.ends_at:
            self.cut_wait = seconds
            return False
        self.attempts[-1] = replace(self.attempts[-1], wait=seconds)
        return seconds

    def final(self, error: ScoutError) -> ScoutError:
        """The error for the caller: the last one, or that the deadline leaves no time for another attempt."""
        failure = error
        if self.cut_wait is not None:
            failure = self._deadline_error(
                f"the next attempt would have been {self.cut_wait:.1f} s later, after: {error.message}",
                run_may_have_started=False,
            )
            failure.__cause__ = error
        failure.attempts = tuple(self.attempts)
        failure.run_may_have_started = any(attempt.run_may_have_started for attempt in self.attempts)
        return failure


_LONGEST_ERROR = 1024 * 1024  # bytes

_CLOCK = 0.01  # seconds by which a timer may be early

_FAILURES = (APIError, StreamError, httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError)


def _system_error(error: BaseException) -> OSError | None:
    """The operating system's own error under one of httpx, alone: without frames, which would hold the headers sent."""
    chain: list[BaseException] = [error]
    found: list[OSError] = []
    for each in chain:
        if isinstance(each, OSError):
            found.append(each)
        # A group: one error for each address of a host, when none could be reached.
        under: list[Any] = [each.__cause__ or each.__context__, *getattr(each, "exceptions", ())]
        chain += [below for below in under if below is not None and below not in chain]
    if not found:
        return None
    # One with a number came from the system; one without is a library's summary of several.
    alone = next((each for each in found if each.errno is not None), found[0]).with_traceback(None)
    alone.__cause__ = alone.__context__ = None
    return alone


def _words(error: Exception) -> str:
    # asyncio puts words of its own where the system's are clearer.
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror | ssl.SSLError):
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__


class _KeyAuth(httpx.Auth):
    """The facade's key for the raw client, asked for anew with each request."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        self._config.secret().authorize(request.headers)
        yield request


class _Borrowed(httpx.BaseTransport):
    """A pool's connections for the raw client, which must not close them."""

    def __init__(self, pool: _Pool, base_url: str) -> None:
        self._pool = pool
        self._base_url = base_url

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        client = self._pool.client(self._base_url)
        return client._transport_for_url(request.url).handle_request(request)  # pyright: ignore[reportPrivateUsage]


class _AsyncBorrowed(httpx.AsyncBaseTransport):
    def __init__(self, pool: _AsyncPool, base_url: str) -> None:
        self._pool = pool
        self._base_url = base_url

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        client = self._pool.client(self._base_url)
        return await client._transport_for_url(request.url).handle_async_request(request)  # pyright: ignore[reportPrivateUsage]


def _raw_settings(config: Config) -> dict[str, Any]:
    return {
        "base_url": config.base_url,
        "headers": {"user-agent": _HEADERS["user-agent"], **config.headers},
        "timeout": httpx.Timeout(config.timeout, connect=config.connect_timeout),
        "auth": _KeyAuth(config),
    }


class Body:
    """The body of a stream's answer, as it comes."""

    def __init__(self, call: Call, response: httpx.Response, pool: _Pool) -> None:
        self.call = call
        self.response = response
        self.is_stream: bool = is_stream(response.headers)
        self._pool = pool
        self._pieces = response.iter_bytes()

    def read(self) -> bytes:
        """The next piece; nothing at the end.

        Raises:
            APIError: the connection broke, or the next event did not come in time.
        """
        try:
            piece = next(self._pieces, b"")
            self.call.took(piece)
            return piece
        except _FAILURES as error:
            failure = self.call.translated(error)
        raise failure

    def drain(self) -> None:
        """Read what little may be left, so that the connection can be used again, and let go of it."""
        if self.call.trusted:
            self.call.await_event(_DRAIN)
            # Whatever is wrong with the end of a body whose events have all come costs no more than the connection.
            with contextlib.suppress(*_FAILURES):
                for _ in self._pieces:
                    pass
        self.close()

    def read_whole(self) -> Answer:
        """The answer, where it is no stream after all. Raises as `read`."""
        return self.call.answer(self.response, b"".join(iter(self.read, b"")))

    def close(self) -> None:
        """Let go of the connection, whatever state it is in."""
        with contextlib.suppress(*_FAILURES):
            self.response.close()

    def abandon(self) -> None:
        """Let go of the connection of a stream that was forgotten; called by the garbage collector, so at any moment.

        The socket is closed at once. The pool's own books are closed at its next call, because its lock may be held by
        the very code that the garbage collector interrupted.
        """
        stream = self.response.extensions.get("network_stream")
        if stream is not None:
            stream.close()
        self._pool.abandoned.append(self)


class AsyncBody:
    """The same for `AsyncScout`."""

    def __init__(self, call: Call, response: httpx.Response) -> None:
        self.call = call
        self.response = response
        self.is_stream: bool = is_stream(response.headers)
        self._pieces = response.aiter_bytes()
        self._loop: Any = _running_loop()

    async def read(self) -> bytes:
        """The next piece; nothing at the end.

        Raises:
            APIError: the connection broke, or the next event did not come in time.
        """
        try:
            piece = await anext(self._pieces, b"")
            self.call.took(piece)
            return piece
        except _FAILURES as error:
            failure = self.call.translated(error)
        raise failure

    async def drain(self) -> None:
        """Read what little may be left, so that the connection can be used again, and let go of it."""
        if self.call.trusted:
            self.call.await_event(_DRAIN)
            # As in Body.drain.
            with contextlib.suppress(*_FAILURES):
                async for _ in self._pieces:
                    pass
        await self.close()

    async def read_whole(self) -> Answer:
        """The answer, where it is no stream after all. Raises as `read`."""
        pieces: list[bytes] = []
        while piece := await self.read():
            pieces.append(piece)
        return self.call.answer(self.response, b"".join(pieces))

    async def close(self) -> None:
        """Let go of the connection, whatever state it is in."""
        with contextlib.suppress(*_FAILURES):
            await self.response.aclose()

    def abandon(self) -> None:
        """Let go of the connection of a stream that was forgotten; called by the garbage collector, in any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, and its connections with it
            self._loop.call_soon_threadsafe(lambda: _soon(self._loop, self.close()))


_DRAIN = 0.1  # seconds


class Http:
    """Sends calls over the connections that a client and its copies share."""

    def __init__(self, transport: Transport | None) -> None:
        self.pool: _Pool = _Pool(transport)

    @property
    def closed(self) -> bool:
        """Whether it can no longer be used."""
        return self.pool.closed

    def call(self, request: Request, config: Config, read: Callable[[Answer], T], begun: float) -> T:
        """Send a request, and again where that is safe, and read its answer; `begun` is when the call began.

        Raises:
            APIError: what became of it.
            ConfigurationError: there is no key.
        """
        call = Call(request, config, begun, trusted=self.pool.trusted)
        return self._try(call, lambda: read(self._read(call, self._open(call))))

    def stream(self, request: Request, config: Config, begun: float) -> Body:
        """Send a request, again where that is safe, and return the body of a 2xx answer unread. Raises as `call`."""
        call = Call(request, config, begun, trusted=self.pool.trusted, streaming=True)
        return self._try(call, lambda: Body(call, self._open(call), self.pool))

    def _try(self, call: Call, attempt: Callable[[], T]) -> T:
        try:
            return self._attempt(call, attempt)
        except (APIError, StreamError) as error:
            failure: ScoutError = error
        if call.may_repeat(failure):
            try:
                return self._repeat(call, attempt, failure)
            except ScoutError as error:
                failure = error
        raise call.final(failure)

    def _repeat(self, call: Call, attempt: Callable[[], T], failure: ScoutError | None) -> T:
        import stamina  # not before something fails: a call that goes well has no use for it

        for again in stamina.retry_context(on=call.wait, attempts=call.config.retries + 1, timeout=None):
            with again:
                if failure is not None:  # stamina's first attempt is the one that has failed already
                    first, failure = failure, None
                    raise first
                return self._attempt(call, attempt)
        raise AssertionError  # the loop returns or raises

    def _attempt(self, call: Call, attempt: Callable[[], T]) -> T:
        try:
            return attempt()
        except _FAILURES as error:
            failure = call.failed(error)
        # Outside of the handler, so that no foreign exception hangs on ours: its frames hold the key.
        raise failure

    def _open(self, call: Call) -> httpx.Response:
        request = call.next_request()
        client = self.pool.client(call.config.base_url)
        try:
            response = client.send(request, auth=None, stream=True)
        except RuntimeError:
            if not client.is_closed:
                raise
            raise ConfigurationError("this client was closed while it was in use") from None
        call.status = response.status_code
        if call.is_accepted:
            return response
        raise status_error(self._read(call, response))

    def _read(self, call: Call, response: httpx.Response) -> Answer:
        pieces: list[bytes] = []
        try:
            for piece in response.iter_bytes():
                call.took(piece)
                pieces.append(piece)
                if call.has_enough():
                    break
        except httpx.HTTPError:
            if not call.may_do_without_the_rest():
                raise
        finally:
            response.close()
        return call.answer(response, b"".join(pieces))

    def raw(self, config: Config) -> httpx.Client:
        """An httpx client with the facade's settings on the facade's connections."""
        return httpx.Client(transport=_Borrowed(self.pool, config.base_url), **_raw_settings(config))

    def close(self) -> None:
        """Release the connections."""
        self.pool.close()


class AsyncHttp:
    """The same for `AsyncScout`."""

    def __init__(self, transport: AsyncTransport | None) -> None:
        self.pool: _AsyncPool = _AsyncPool(transport)

    @property
    def closed(self) -> bool:
        """Whether it can no longer be used."""
        return self.pool.closed

    async def call(self, request: Request, config: Config, read: Callable[[Answer], T], begun: float) -> T:
        """Send a request, and again where that is safe, and read its answer. As `Http.call`."""
        call = Call(request, config, begun, trusted=self.pool.trusted)

        async def attempt() -> T:
            return read(await self._read(call, await self._open(call)))

        return await self._try(call, attempt)

    async def stream(self, request: Request, config: Config, begun: float) -> AsyncBody:
        """Send a request, and return the body of a 2xx answer unread. As `Http.stream`."""
        call = Call(request, config, begun, trusted=self.pool.trusted, streaming=True)

        async def attempt() -> AsyncBody:
            return AsyncBody(call, await self._open(call))

        return await self._try(call, attempt)

    async def _try(self, call: Call, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            return await self._attempt(call, attempt)
        except (APIError, StreamError) as error:
            failure: ScoutError = error
        if call.may_repeat(failure):
            try:
                return await self._repeat(call, attempt, failure)
            except ScoutError as error:
                failure = error
        raise call.final(failure)

    async def _repeat(self, call: Call, attempt: Callable[[], Awaitable[T]], failure: ScoutError | None) -> T:
        import stamina  # not before something fails: a call that goes well has no use for it

        async for again in stamina.retry_context(on=call.wait, attempts=call.config.retries + 1, timeout=None):
            with again:
                if failure is not None:  # stamina's first attempt is the one that has failed already
                    first, failure = failure, None
                    raise first
                return await self._attempt(call, attempt)
        raise AssertionError  # the loop returns or raises

    async def _attempt(self, call: Call, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            return await attempt()
        except _FAILURES as error:
            failure = call.failed(error)
        # Outside of the handler, so that no foreign exception hangs on ours: its frames hold the key.
        raise failure

    async def _open(self, call: Call) -> httpx.Response:
        request = call.next_request()
        client = self.pool.client(call.config.base_url)
        try:
            response = await client.send(request, auth=None, stream=True)
        except RuntimeError:
            if not client.is_closed:
                raise
            raise ConfigurationError("this client was closed while it was in use") from None
        except BaseException as error:
            if not isinstance(error, Exception):  # cancelled
                self.pool.drop_phantoms(client)
            raise
        call.status = response.status_code
        if call.is_accepted:
            return response
        raise status_error(await self._read(call, response))

    async def _read(self, call: Call, response: httpx.Response) -> Answer:
        pieces: list[bytes] = []
        try:
            async for piece in response.aiter_bytes():
                call.took(piece)
                pieces.append(piece)
                if call.has_enough():
                    break
        except httpx.HTTPError:
            if not call.may_do_without_the_rest():
                raise
        finally:
            await response.aclose()
        return call.answer(response, b"".join(pieces))

    def raw(self, config: Config) -> httpx.AsyncClient:
        """An httpx client with the facade's settings on the facade's connections."""
        return httpx.AsyncClient(transport=_AsyncBorrowed(self.pool, config.base_url), **_raw_settings(config))

    async def close(self) -> None:
        """Release the connections of this event loop."""
        await self.pool.aclose()
