"""Connections of our own: a stack of idle ones for each origin, and a queue when there are too many.

A call takes the newest idle connection to its origin, or makes one, and gives it back. The cost of that does not depend
on how many calls are under way. `Pool` and `AsyncPool` are transports in httpx's sense, over the public connections of
httpcore. Each process and each event loop has connections of its own, so that nothing has to be done after a fork.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import OrderedDict, deque
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from ._call import LIMITS, Limits
from ._config import is_loopback
from ._network import AsyncBackend, Backend
from .errors import ConfigurationError

if TYPE_CHECKING:
    import asyncio
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterator

__all__ = ["CLOSED", "AsyncPool", "Pool"]

_IDLE_SECONDS = 4.5
"""Seconds that an idle connection is kept: a little less than the 5 s after which common servers close it."""


# --- Routes -------------------------------------------------------------------------------------------------------


class _Origin(NamedTuple):
    """The server of a request, as its address names it."""

    scheme: bytes
    host: bytes
    port: int | None


class _Route:
    """The route to an origin: directly, or by a proxy of the environment.

    Raises:
        ConfigurationError: the settings for proxies or certificates cannot be used.
    """

    def __init__(self, origin: _Origin) -> None:
        is_secure = origin.scheme == b"https"
        self._origin = httpcore.Origin(origin.scheme, origin.host, origin.port or (443 if is_secure else 80))
        self._proxy = _proxy_for(origin)
        self._is_socks = self._proxy is not None and self._proxy.url.scheme == b"socks5"
        has_secure_proxy = self._proxy is not None and self._proxy.url.scheme == b"https"
        self._handshakes = is_secure + has_secure_proxy
        # Loading the certificates of all authorities takes longer than a call to this machine.
        self._tls = _tls() if self._handshakes else None
        self._proxy_tls = self._tls if has_secure_proxy else None

    def connection(self) -> tuple[httpcore.ConnectionInterface, Backend]:
        """Return a connection that has yet to be made, and its backend."""
        backend = Backend(self._handshakes, socks=self._is_socks)
        if self._proxy is None:
            return httpcore.HTTPConnection(self._origin, self._tls, network_backend=backend), backend
        url, auth = self._proxy
        proxy: httpcore.ConnectionPool
        if self._is_socks:
            proxy = httpcore.SOCKSProxy(url, auth, self._tls, network_backend=backend)
        else:
            proxy = httpcore.HTTPProxy(url, auth, None, self._tls, self._proxy_tls, network_backend=backend)
        return proxy.create_connection(self._origin), backend

    def async_connection(self) -> tuple[httpcore.AsyncConnectionInterface, AsyncBackend]:
        """Return a connection for asyncio that has yet to be made, and its backend."""
        backend = AsyncBackend(self._handshakes, socks=self._is_socks)
        if self._proxy is None:
            return httpcore.AsyncHTTPConnection(self._origin, self._tls, network_backend=backend), backend
        url, auth = self._proxy
        proxy: httpcore.AsyncConnectionPool
        if self._is_socks:
            proxy = httpcore.AsyncSOCKSProxy(url, auth, self._tls, network_backend=backend)
        else:
            proxy = httpcore.AsyncHTTPProxy(url, auth, None, self._tls, self._proxy_tls, network_backend=backend)
        return proxy.create_connection(self._origin), backend


class _Proxy(NamedTuple):
    url: httpcore.URL
    auth: tuple[bytes, bytes] | None


def _proxy_for(origin: _Origin) -> _Proxy | None:
    """Return the proxy of the environment for an origin, as Python's standard library reads the variables."""
    found = _read_proxy(origin)
    if not isinstance(found, str):
        return found
    # Raised here and without the value, because the value may hold a password.
    scheme = origin.scheme.decode()
    raise ConfigurationError(
        f"the environment's settings for proxies cannot be used: that for {scheme}:// ({scheme.upper()}_PROXY or "
        f"ALL_PROXY): {found}"
    )


def _read_proxy(origin: _Origin) -> _Proxy | str | None:
    """Return the proxy for an origin, or the reason why it cannot be used; `None` when there is none."""
    scheme, host = origin.scheme.decode(), origin.host.decode()
    if is_loopback(host):
        return None  # a request to this machine uses no proxy
    proxies = getproxies()
    found = proxies.get(scheme) or proxies.get("all")
    port = origin.port or (443 if scheme == "https" else 80)
    if not found or proxy_bypass(host if ":" in host else f"{host}:{port}"):
        return None
    try:
        url = urlsplit(found if "://" in found else f"http://{found}")
        kind = "socks5" if url.scheme == "socks5h" else url.scheme
        if kind not in _PROXY_PORTS or not url.hostname:
            return "it should look like http://proxy.example:3128 (or https://, socks5://)"
        proxy_port = url.port or _PROXY_PORTS[kind]
    except ValueError:
        return "it is not a URL"
    if kind == "socks5" and find_spec("socksio") is None:
        return "a SOCKS proxy needs the package socksio (pip install socksio)"
    auth = None
    if url.username is not None:
        auth = unquote(url.username).encode(), unquote(url.password or "").encode()
    return _Proxy(httpcore.URL(scheme=kind, host=url.hostname, port=proxy_port, target="/"), auth)


_PROXY_PORTS = {"http": 80, "https": 443, "socks5": 1080}


def _tls() -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except (OSError, ValueError) as error:
        reason = str(error)
    raise ConfigurationError(f"the environment's settings for certificates cannot be used: {reason}")


def _route(routes: dict[_Origin, _Route], origin: _Origin) -> _Route:
    return routes.get(origin) or routes.setdefault(origin, _Route(origin))


# --- Bookkeeping --------------------------------------------------------------------------------------------------


class _Waiter(Protocol):
    """A call that waits for its turn."""

    def wake(self) -> bool:
        """Give it the turn; return `False` when it does not wait any more."""
        ...


WaiterT = TypeVar("WaiterT", bound=_Waiter)
WireT = TypeVar("WireT", httpcore.ConnectionInterface, httpcore.AsyncConnectionInterface)


class _Connection(Generic[WireT]):
    """A connection to an origin, with the backend that knows its limits."""

    __slots__ = ("backend", "idle_until", "origin", "wire")

    def __init__(self, origin: _Origin, made: tuple[WireT, Backend | AsyncBackend]) -> None:
        self.origin = origin
        self.wire: WireT = made[0]
        self.backend = made[1]
        self.idle_until = 0.0

    def close(self) -> None:
        """Close it, in whatever state it is, without waiting."""
        self.backend.close()


class _PoolState(Generic[WireT]):
    """Which connections are idle, how many calls have a turn, and which wait for one. No I/O and no lock."""

    def __init__(self, limit: int) -> None:
        self.is_closed = False
        self._limit = limit
        self._turns = 0
        self._waiting: OrderedDict[_Waiter, None] = OrderedDict()
        self._used: set[_Connection[WireT]] = set()
        self._idle: dict[_Origin, deque[_Connection[WireT]]] = {}
        self._idle_count = 0

    def begin(self) -> bool:
        """Take a turn, if there is one."""
        if self.is_closed:
            raise ConfigurationError(CLOSED)
        if self._turns >= self._limit:
            return False
        self._turns += 1
        return True

    def queue(self, waiter: WaiterT) -> WaiterT:
        """Add a call to the queue."""
        self._waiting[waiter] = None
        return waiter

    def leave(self, waiter: _Waiter, *, has_turn: bool) -> None:
        """End the waiting of a call that has given up, and the turn that it may have been given in the meantime."""
        self._waiting.pop(waiter, None)
        if has_turn:
            self.end()

    def end(self) -> None:
        """Pass a turn on to the first call that waits."""
        while self._waiting:
            if self._waiting.popitem(last=False)[0].wake():
                return
        self._turns -= 1

    def take(
        self,
        origin: _Origin,
        make: Callable[[], tuple[WireT, Backend | AsyncBackend]],
        unused: list[_Connection[WireT]],
    ) -> _Connection[WireT]:
        """Take the usable connection to an origin that became idle last, or a new one.

        Collects in `unused` those that have to be closed before the new one is opened.

        Raises:
            ConfigurationError: the client was closed in the meantime.
        """
        if self.is_closed:
            raise ConfigurationError(CLOSED)
        now = time.monotonic()
        stack = self._idle.get(origin)
        found: _Connection[WireT] | None = None
        while stack and found is None:
            self._idle_count -= 1
            found = stack.pop()
            if found.idle_until <= now or found.wire.has_expired():
                unused.append(found)
                found = None
        is_new = found is None
        for each in self._idle.values():
            while each and (
                each[0].idle_until <= now or (is_new and len(self._used) + self._idle_count >= self._limit)
            ):
                self._idle_count -= 1
                unused.append(each.popleft())
        if found is None:
            found = _Connection(origin, make())
        self._used.add(found)
        return found

    def put(self, connection: _Connection[WireT], *, keep: bool) -> None:
        """Take a connection back, and end the turn of its call."""
        self._used.discard(connection)
        if self.is_closed:
            connection.close()
        elif keep:
            connection.backend.limits = None
            connection.idle_until = time.monotonic() + _IDLE_SECONDS
            self._idle.setdefault(connection.origin, deque()).append(connection)
            self._idle_count += 1
        self.end()

    def close(self) -> list[_Connection[WireT]]:
        """Remove all connections, and wake all waiting calls."""
        self.is_closed = True
        connections = list(self._used)
        for stack in self._idle.values():
            connections += stack
        self._idle.clear()
        self._idle_count = 0
        while self._waiting:
            if self._waiting.popitem(last=False)[0].wake():
                self._turns += 1
        return connections


CLOSED = "this client is closed; make a new one"


def _origin_of(request: httpx.Request) -> _Origin:
    url = request.url
    return _Origin(url.raw_scheme, url.raw_host, url.port)


def _to_httpcore(request: httpx.Request, origin: _Origin, backend: Backend | AsyncBackend) -> httpcore.Request:
    extensions = {**request.extensions, "trace": backend.trace} if backend.opens_socks else request.extensions
    url = httpcore.URL(scheme=origin.scheme, host=origin.host, port=origin.port, target=request.url.raw_path)
    return httpcore.Request(
        request.method, url, headers=request.headers.raw, content=request.stream, extensions=extensions
    )


def _extensions(response: Any) -> Any:
    return response.extensions  # whose type httpcore does not fully declare


_NAMES = (
    *("ConnectError", "ConnectTimeout", "LocalProtocolError", "NetworkError", "PoolTimeout", "ProtocolError"),
    *("ProxyError", "ReadError", "ReadTimeout", "RemoteProtocolError", "TimeoutException", "UnsupportedProtocol"),
    *("WriteError", "WriteTimeout"),
)
_KINDS: dict[type[BaseException], type[httpx.TransportError]] = {
    getattr(httpcore, name): getattr(httpx, name) for name in _NAMES
}


def _raise_as_httpx(error: BaseException, connection: _Connection[Any]) -> None:
    """Raise an error of httpcore as one of httpx; return for any other."""
    kind = _KINDS.get(type(error))
    if kind is None and type(error).__module__.startswith("socksio."):
        kind = httpx.ProtocolError  # httpcore passes on what the reader of SOCKS answers says
    if kind is None:
        return
    if connection.backend.is_connecting:  # a proxy was asked for a tunnel: the request itself was not sent
        if issubclass(kind, httpx.TimeoutException):
            kind = httpx.ConnectTimeout
        elif issubclass(kind, httpx.NetworkError | httpx.ProtocolError):
            kind = httpx.ConnectError
    raise kind(str(error)) from error


def _seconds_to_wait(request: httpx.Request) -> float | None:
    """Return how long a request may wait for its turn: as long as its deadline allows; httpx's `pool` for raw ones."""
    limits: Limits | None = request.extensions.get(LIMITS)
    if limits is None:
        seconds: float | None = request.extensions.get("timeout", {}).get("pool")
        return seconds
    left = limits.ends_at - time.monotonic()
    return max(0.0, left) if left < threading.TIMEOUT_MAX else None


# --- Sync ---------------------------------------------------------------------------------------------------------

_Sync: TypeAlias = _Connection[httpcore.ConnectionInterface]


class _ThreadWaiter:
    """A thread that waits for its turn."""

    def __init__(self) -> None:
        self.has_turn = False
        self._turn = threading.Lock()
        self._turn.acquire()

    def wake(self) -> bool:
        self.has_turn = True
        self._turn.release()
        return True

    def wait(self, seconds: float | None) -> None:
        if not self.has_turn and not self._turn.acquire(timeout=-1 if seconds is None else seconds):
            raise httpx.PoolTimeout("no free connection in time")


class _ProcessConnections:
    """The connections of one process, for all of its threads."""

    def __init__(self, limit: int) -> None:
        self._state: _PoolState[httpcore.ConnectionInterface] = _PoolState(limit)
        # Used as `with self._lock`, which a signal cannot leave locked, and then comes `_settle`.
        self._lock = threading.Lock()
        self._returned: deque[tuple[_Sync, bool]] = deque()

    def take(self, origin: _Origin, route: _Route, seconds: float | None) -> _Sync:
        """Wait for a turn, and return a connection, idle or new.

        Raises:
            httpx.PoolTimeout: there was no turn within so many seconds.
            ConfigurationError: the client is closed.
        """
        waiter = _ThreadWaiter()
        unused: list[_Sync] = []
        try:
            with self._lock:
                waiter.has_turn = self._state.begin()
                if not waiter.has_turn:
                    self._state.queue(waiter)
            self._settle()
            waiter.wait(seconds)
            with self._lock:
                found = self._state.take(origin, route.connection, unused)
            self._settle()
            for each in unused:
                each.close()
        except BaseException:  # a signal handler's as well, which may come just after the turn
            with self._lock:
                self._state.leave(waiter, has_turn=waiter.has_turn)
            self._settle()
            raise
        return found

    def give_back(self, connection: _Sync, *, keep: bool) -> None:
        """Take a connection back. The garbage collector may call this at any moment, also while the lock is held."""
        self._returned.append((connection, keep))
        self._settle()

    def _settle(self) -> None:
        # Whoever holds the lock comes here after releasing it, so that what could not be entered now is entered then.
        # A finalizer that interrupts the holder finds it locked, and leaves.
        while self._returned and not self._lock.locked():
            with self._lock:
                while self._returned:
                    connection, keep = self._returned.popleft()
                    self._state.put(connection, keep=keep)

    def close(self) -> None:
        with self._lock:
            connections = self._state.close()
        self._settle()
        for each in connections:
            each.close()


class Pool(httpx.BaseTransport):
    """The connections of a `Scout` and its copies.

    Args:
        limit: The number of connections at one time; further calls wait in order.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._is_closed = False
        self._parts: dict[int, _ProcessConnections] = {}  # by process: those of a parent stay open, and unused
        self._routes: dict[_Origin, _Route] = {}

    def prepare(self, request: httpx.Request) -> None:
        """Find the route to the server of a request.

        Raises:
            ConfigurationError: the settings for proxies or certificates cannot be used.
        """
        _route(self._routes, _origin_of(request))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return its response with the body unread."""
        process = os.getpid()
        part = self._parts.get(process) or self._parts.setdefault(process, _ProcessConnections(self._limit))
        if self._is_closed:  # checked after the part was made, so that `close` either closes it or is seen here
            raise ConfigurationError(CLOSED)
        origin = _origin_of(request)
        connection = part.take(origin, _route(self._routes, origin), _seconds_to_wait(request))
        try:
            connection.backend.limits = request.extensions.get(LIMITS)
            response = connection.wire.handle_request(_to_httpcore(request, origin, connection.backend))
        except BaseException as error:
            connection.close()
            part.give_back(connection, keep=False)
            _raise_as_httpx(error, connection)
            raise
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Body(part, connection, response),
            extensions=_extensions(response),
        )

    def close(self) -> None:
        """Close all connections of this process."""
        self._is_closed = True
        if part := self._parts.get(os.getpid()):
            part.close()


class _Body(httpx.SyncByteStream):
    """The body of a response, which returns the connection to the pool."""

    def __init__(self, part: _ProcessConnections, connection: _Sync, response: httpcore.Response) -> None:
        self._part = part
        self._connection = connection
        self._response = response
        self._is_whole = False
        self._held = [connection]  # until it is given back, which only one thread can do: `pop` is atomic

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._response.iter_stream()
        except Exception as error:
            _raise_as_httpx(error, self._connection)
            raise
        self._is_whole = True

    def close(self) -> None:
        try:
            connection = self._held.pop()
        except IndexError:
            return
        keep = False
        try:
            if self._is_whole:
                self._response.close()
                keep = connection.wire.is_available()
        finally:
            if not keep:
                connection.close()
            self._part.give_back(connection, keep=keep)


# --- Async --------------------------------------------------------------------------------------------------------

_Async: TypeAlias = _Connection[httpcore.AsyncConnectionInterface]


class _TaskWaiter:
    """A task that waits for its turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.turn: asyncio.Future[None] = loop.create_future()

    def wake(self) -> bool:
        if self.turn.done():  # cancelled, or out of time
            return False
        self.turn.set_result(None)
        return True

    def give_up(self) -> None:
        """Stop waiting."""
        if not self.turn.done():
            self.turn.set_exception(httpx.PoolTimeout("no free connection in time"))

    def has_turn(self) -> bool:
        """Return True when it has the turn."""
        return self.turn.done() and not self.turn.cancelled() and self.turn.exception() is None


class _LoopConnections:
    """The connections of one event loop, all of which is one thread."""

    def __init__(self, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._state: _PoolState[httpcore.AsyncConnectionInterface] = _PoolState(limit)

    async def take(self, origin: _Origin, route: _Route, seconds: float | None) -> _Async:
        """Wait for a turn, and return a connection. As `_ProcessConnections.take`."""
        state = self._state
        if not state.begin():
            await self._wait(state.queue(_TaskWaiter(self.loop)), seconds)
        unused: list[_Async] = []
        try:
            found = state.take(origin, route.async_connection, unused)
            for each in unused:
                each.close()
        except BaseException:
            state.end()
            raise
        return found

    async def _wait(self, waiter: _TaskWaiter, seconds: float | None) -> None:
        timer = None if seconds is None else self.loop.call_later(seconds, waiter.give_up)
        try:
            await waiter.turn
        except BaseException:
            # It may have been cancelled at the moment when it was given the turn.
            self._state.leave(waiter, has_turn=waiter.has_turn())
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def give_back(self, connection: _Async, *, keep: bool) -> None:
        """Take a connection back."""
        self._state.put(connection, keep=keep)

    def close(self) -> None:
        for each in self._state.close():
            each.close()


class AsyncPool(httpx.AsyncBaseTransport):
    """The connections of an `AsyncScout` and its copies. As `Pool`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._is_closed = False
        self._parts: dict[tuple[int, asyncio.AbstractEventLoop], _LoopConnections] = {}  # by process and event loop
        self._routes: dict[_Origin, _Route] = {}

    def prepare(self, request: httpx.Request) -> None:
        """Find the route to the server of a request. As `Pool.prepare`."""
        _route(self._routes, _origin_of(request))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return its response with the body unread."""
        if self._is_closed:
            raise ConfigurationError(CLOSED)
        part = self._part()
        origin = _origin_of(request)
        connection = await part.take(origin, _route(self._routes, origin), _seconds_to_wait(request))
        try:
            connection.backend.limits = request.extensions.get(LIMITS)
            sent = _to_httpcore(request, origin, connection.backend)
            response = await connection.wire.handle_async_request(sent)
        except BaseException as error:
            connection.close()
            part.give_back(connection, keep=False)
            _raise_as_httpx(error, connection)
            raise
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_AsyncBody(part, connection, response),
            extensions=_extensions(response),
        )

    def _part(self) -> _LoopConnections:
        import asyncio  # not for Scout, which has no use for it

        loop = asyncio.get_running_loop()
        key = os.getpid(), loop
        part = self._parts.get(key)
        if part is None:
            for each in [each for each in list(self._parts) if each[1].is_closed()]:
                self._parts.pop(each, None)
            part = self._parts.setdefault(key, _LoopConnections(self._limit, loop))
        return part

    async def aclose(self) -> None:
        """Close all connections of this process."""
        import asyncio

        self._is_closed = True
        for (process, loop), part in list(self._parts.items()):
            if process != os.getpid():
                continue
            if loop is asyncio.get_running_loop():
                part.close()
            else:
                with contextlib.suppress(RuntimeError):  # it is closed, and its connections with it
                    loop.call_soon_threadsafe(part.close)
        await _next_step()  # in which asyncio closes the sockets


class _AsyncBody(httpx.AsyncByteStream):
    """The body of a response, which returns the connection to the pool."""

    def __init__(self, part: _LoopConnections, connection: _Async, response: httpcore.Response) -> None:
        self._part = part
        self._connection: _Async | None = connection
        self._response = response
        self._is_whole = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        connection = self._connection  # which another task may give back meanwhile
        try:
            async for piece in self._response.aiter_stream():
                yield piece
        except Exception as error:
            if connection is not None:
                _raise_as_httpx(error, connection)
            raise
        self._is_whole = True

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        keep = False
        try:
            if self._is_whole:
                await self._response.aclose()
                keep = connection.wire.is_available()
        finally:
            if not keep:
                connection.close()
            self._part.give_back(connection, keep=keep)
        if not keep:
            await _next_step()  # in which asyncio closes the socket


async def _next_step() -> None:
    import asyncio

    await asyncio.sleep(0)
