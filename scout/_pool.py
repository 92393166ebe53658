"""Connections of our own: a stack of idle ones for each origin, and a queue when there are too many.

A call takes the newest idle connection to its origin, or makes one, and gives it back. The cost of that does not depend
on how many calls are under way. `Pool` and `AsyncPool` are transports in httpx's sense, over the public connections of
httpcore. Each process and each event loop has connections of its own, so that nothing has to be done after a fork.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import time
import weakref
from collections import OrderedDict, deque
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from ._call import LIMITS, Limits, use_stand_in
from ._config import is_loopback
from ._network import AsyncBackend, Backend
from ._retry import foreign
from .errors import ConfigurationError

if TYPE_CHECKING:
    import asyncio
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterator

__all__ = ["CLOSED", "AsyncPool", "Pool"]

_log = logging.getLogger("scout")

_IDLE_SECONDS = 4.5
"""Seconds that an idle connection is kept: a little less than the 5 s after which common servers close it."""

_LONG = 1.0
"""Seconds of a wait for a free connection after which it is logged."""


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
    if not found or proxy_bypass(host if ":" in host else f"{host}:{port}") or _is_in(proxies.get("no"), host, port):
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


def _is_in(entries: str | None, host: str, port: int) -> bool:
    """Return True when a host is an address that `NO_PROXY` names, alone or by its range (`10.0.0.0/8`).

    The standard library knows neither ranges nor the other spellings of an IPv6 address.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return False
    for entry in (entries or "").split(","):
        found = _ENTRY.fullmatch(entry.strip())
        if found is None or found["port"] not in (None, str(port)):
            continue
        with contextlib.suppress(ValueError):  # a name, or what nobody can read
            if address in ip_network(found["bare"] or found["bracketed"] + (found["bits"] or ""), strict=False):
                return True
    return False


# Only an IPv6 address holds more than one colon; with a port, it stands in brackets.
_ENTRY = re.compile(r"(?:\[(?P<bracketed>[^]]*)\](?P<bits>/\d+)?|(?P<bare>[^:]+|[^]]*:[^]]*:[^]]*))(?::(?P<port>\d+))?")

_PROXY_PORTS = {"http": 80, "https": 443, "socks5": 1080}


def _tls() -> ssl.SSLContext:
    """Return the settings for TLS: the authorities of certifi, or those that the environment names.

    Raises:
        ConfigurationError: what the environment names cannot be used.
    """
    reason = "no folder that can be read"
    name = next((each for each in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(each)), None)
    place = os.environ.get(name or "", "")
    try:
        # OpenSSL takes several folders, and says nothing when there are none.
        if name != "SSL_CERT_DIR" or any(os.access(each, os.R_OK | os.X_OK) for each in place.split(os.pathsep)):
            return httpx.create_ssl_context()
    except (OSError, ValueError) as error:
        if foreign(error) is not None:
            raise
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        keys = os.environ.get("SSLKEYLOGFILE")  # to which Python writes the keys of the sessions
        if keys and getattr(error, "filename", None) == keys:
            name, place = "SSLKEYLOGFILE", keys
    what = f"{name} is {place!r}: " if name else ""
    raise ConfigurationError(f"the environment's settings for certificates cannot be used: {what}{reason}")


def _route(routes: dict[_Origin, _Route], origin: _Origin) -> _Route:
    return routes.get(origin) or routes.setdefault(origin, _Route(origin))


# --- Bookkeeping --------------------------------------------------------------------------------------------------


class _Turn(Protocol):
    """The turn of one call, which it waits for and then has."""

    def wake(self) -> bool:
        """End the waiting, which may have ended already; return `False` when the call has given up."""
        ...


TurnT = TypeVar("TurnT", bound=_Turn)
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


class _PoolState(Generic[TurnT, WireT]):
    """Which connections are idle, which calls have a turn, and which wait for one. No I/O and no lock.

    The handler of a signal may raise an exception between any two steps of these methods. So their order matters, and
    `put` can be called again: what it has done already is left as it is.
    """

    def __init__(self, limit: int) -> None:
        self.is_closed = False
        self._limit = limit
        self._turns: set[TurnT] = set()
        self._waiting: OrderedDict[TurnT, None] = OrderedDict()
        self._used: dict[TurnT, _Connection[WireT]] = {}
        self._idle: dict[_Origin, deque[_Connection[WireT]]] = {}

    def ask(self, turn: TurnT) -> None:
        """Ask for a turn, which wakes it at once if one is free.

        Raises:
            ConfigurationError: the client is closed.
        """
        if self.is_closed:
            raise ConfigurationError(CLOSED)
        self._waiting[turn] = None
        self._pass_on()

    def _pass_on(self) -> None:
        """Give the free turns to the calls that wait, in order."""
        while self._waiting:
            turn = next(iter(self._waiting))
            if turn not in self._turns and len(self._turns) >= self._limit:
                return
            self._turns.add(turn)
            if not turn.wake():
                self._turns.discard(turn)
            self._waiting.pop(turn, None)

    def take(
        self,
        turn: TurnT,
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
        while stack and turn not in self._used:
            newest = stack[-1]
            if newest.idle_until <= now or newest.wire.has_expired():
                unused.append(newest)
            else:
                self._used[turn] = newest
            stack.pop()
        is_new = turn not in self._used
        for each in self._idle.values():
            while each and (each[0].idle_until <= now or (is_new and self._count() >= self._limit)):
                unused.append(each[0])
                each.popleft()
        if is_new:
            self._used[turn] = _Connection(origin, make())
        return self._used[turn]

    def _count(self) -> int:
        return len(self._used) + sum(map(len, self._idle.values()))

    def put(self, turn: TurnT, *, keep: bool) -> None:
        """End the turn of a call, or its waiting, and take back its connection: keep it, or close it."""
        connection = self._used.get(turn)
        try:
            if self._used.pop(turn, None) is not None and connection is not None:
                if keep and not self.is_closed:
                    connection.backend.limits = None
                    connection.idle_until = time.monotonic() + _IDLE_SECONDS
                    self._idle.setdefault(connection.origin, deque()).append(connection)
                else:
                    connection.close()
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        finally:
            self._waiting.pop(turn, None)
            self._turns.discard(turn)
            self._pass_on()

    def close(self) -> list[_Connection[WireT]]:
        """Remove all connections, and wake all calls that wait."""
        self.is_closed = True
        connections = list(self._used.values())
        for stack in self._idle.values():
            connections += stack
        self._idle.clear()
        while self._waiting:
            self._waiting.popitem(last=False)[0].wake()
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


def _raise_as_httpx(error: BaseException, connection: _Connection[Any] | None) -> None:
    """Raise an error of httpcore as one of httpx; return for any other."""
    kind = _KINDS.get(type(error))
    if kind is None and type(error).__module__.startswith("socksio."):
        kind = httpx.ProtocolError  # httpcore passes on what the reader of SOCKS answers says
    if kind is None:
        return
    if connection is not None and connection.backend.is_connecting:
        # A proxy was asked for a tunnel: the request itself was not sent.
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


def _log_wait(begun: float) -> None:
    seconds = time.monotonic() - begun
    if seconds > _LONG:
        _log.info("waited %.1f s for a free connection (max_connections)", seconds, extra={"seconds": seconds})


# --- Sync ---------------------------------------------------------------------------------------------------------

_Sync: TypeAlias = _Connection[httpcore.ConnectionInterface]


class _ThreadTurn:
    """The turn of a call in a thread."""

    def __init__(self) -> None:
        self._waits = threading.Lock()
        self._waits.acquire()

    def wake(self) -> bool:
        if self._waits.locked():
            self._waits.release()
        return True

    def wait(self, seconds: float | None) -> None:
        if self._waits.acquire(blocking=False):
            return
        begun = time.monotonic()
        if not self._waits.acquire(timeout=-1 if seconds is None else seconds):
            raise httpx.PoolTimeout("no free connection in time")
        _log_wait(begun)


class _ProcessConnections:
    """The connections of one process, for all of its threads."""

    def __init__(self, limit: int) -> None:
        self._state: _PoolState[_ThreadTurn, httpcore.ConnectionInterface] = _PoolState(limit)
        # Used as `with self._lock`, which a signal cannot leave locked, and then comes `_settle`.
        self._lock = threading.Lock()
        self._returned: deque[tuple[_ThreadTurn, bool]] = deque()

    def take(self, turn: _ThreadTurn, origin: _Origin, route: _Route, seconds: float | None) -> _Sync:
        """Wait for a turn, and return a connection, idle or new. The caller ends the turn, also after an error.

        Raises:
            httpx.PoolTimeout: there was no turn within so many seconds.
            ConfigurationError: the client is closed.
        """
        unused: list[_Sync] = []
        try:
            with self._lock:
                self._state.ask(turn)
            self._settle()
            turn.wait(seconds)
            with self._lock:
                found = self._state.take(turn, origin, route.connection, unused)
            self._settle()
        finally:
            for each in unused:
                each.close()
        return found

    def end(self, turn: _ThreadTurn, *, keep: bool = False) -> None:
        """End a turn, and take back its connection; nothing happens when it has ended already.

        The garbage collector may call this at any moment, also while the lock is held.
        """
        try:
            self._returned.append((turn, keep))
            self._settle()
        except BaseException:  # a signal handler's
            self._returned.append((turn, False))
            self._settle()
            raise

    def _settle(self) -> None:
        # Whoever holds the lock comes here after releasing it, so that what could not be entered now is entered then.
        # A finalizer that interrupts the holder finds it locked, and leaves.
        while self._returned and not self._lock.locked():
            with self._lock:
                while self._returned:
                    turn, keep = self._returned[0]
                    self._state.put(turn, keep=keep)
                    self._returned.popleft()

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
            ConfigurationError: the settings for proxies or certificates cannot be used, or a test lets nothing be sent
                there.
        """
        use_stand_in(request)
        _route(self._routes, _origin_of(request))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return its response with the body unread."""
        process = os.getpid()
        part = self._parts.get(process) or self._parts.setdefault(process, _ProcessConnections(self._limit))
        if self._is_closed:  # checked after the part was made, so that `close` either closes it or is seen here
            raise ConfigurationError(CLOSED)
        use_stand_in(request)
        origin = _origin_of(request)
        route, seconds = _route(self._routes, origin), _seconds_to_wait(request)
        turn = _ThreadTurn()
        connection: _Sync | None = None
        try:
            connection = part.take(turn, origin, route, seconds)
            connection.backend.limits = request.extensions.get(LIMITS)
            response = connection.wire.handle_request(_to_httpcore(request, origin, connection.backend))
            return httpx.Response(
                response.status,
                headers=response.headers,
                stream=_Body(part, turn, connection, response),
                extensions=_extensions(response),
            )
        except BaseException as error:
            part.end(turn)
            _raise_as_httpx(error, connection)
            raise

    def close(self) -> None:
        """Close all connections of this process."""
        self._is_closed = True
        if part := self._parts.get(os.getpid()):
            part.close()


class _Body(httpx.SyncByteStream):
    """The body of a response, which returns the connection to the pool when it is closed or forgotten."""

    def __init__(
        self, part: _ProcessConnections, turn: _ThreadTurn, connection: _Sync, response: httpcore.Response
    ) -> None:
        self._part = part
        self._turn = turn
        self._connection = connection
        self._response = response
        self._is_whole = False
        self._forgotten = weakref.finalize(self, part.end, turn)

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._response.iter_stream()
        except Exception as error:
            _raise_as_httpx(error, self._connection)
            raise
        self._is_whole = True

    def close(self) -> None:
        keep = False
        try:
            if self._forgotten.detach() is None:
                return  # it is closed, or another thread is closing it
            if self._is_whole:
                self._response.close()
                keep = self._connection.wire.is_available()
            self._part.end(self._turn, keep=keep)
        except BaseException:
            self._part.end(self._turn)
            raise


# --- Async --------------------------------------------------------------------------------------------------------

_Async: TypeAlias = _Connection[httpcore.AsyncConnectionInterface]


class _TaskTurn:
    """The turn of a call in a task."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._begins: asyncio.Future[None] = loop.create_future()

    def wake(self) -> bool:
        if not self._begins.done():
            self._begins.set_result(None)
        return not self._begins.cancelled() and self._begins.exception() is None

    async def wait(self, seconds: float | None) -> None:
        if self._begins.done():
            await self._begins  # without a step of the loop
            return
        begun = time.monotonic()
        timer: asyncio.TimerHandle | None = None
        try:
            if seconds is not None:
                timer = self._loop.call_later(seconds, self._give_up)
            await self._begins
        finally:
            if timer is not None:
                timer.cancel()
        _log_wait(begun)

    def _give_up(self) -> None:
        if not self._begins.done():
            self._begins.set_exception(httpx.PoolTimeout("no free connection in time"))
            self._begins.exception()  # or asyncio would log it, should nobody wait any more


class _LoopConnections:
    """The connections of one event loop, all of which is one thread."""

    def __init__(self, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._state: _PoolState[_TaskTurn, httpcore.AsyncConnectionInterface] = _PoolState(limit)

    async def take(self, turn: _TaskTurn, origin: _Origin, route: _Route, seconds: float | None) -> _Async:
        """Wait for a turn, and return a connection. As `_ProcessConnections.take`."""
        unused: list[_Async] = []
        try:
            self._state.ask(turn)
            await turn.wait(seconds)
            return self._state.take(turn, origin, route.async_connection, unused)
        finally:
            for each in unused:
                each.close()

    def end(self, turn: _TaskTurn, *, keep: bool = False) -> None:
        """End a turn, and take back its connection; nothing happens when it has ended already."""
        try:
            self._state.put(turn, keep=keep)
        except BaseException:  # a signal handler's
            self._state.put(turn, keep=False)
            raise

    def end_soon(self, turn: _TaskTurn) -> None:
        """End a turn; the garbage collector may call this at any moment, in any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, and its connections with it
            self.loop.call_soon_threadsafe(self.end, turn)

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
        use_stand_in(request)
        _route(self._routes, _origin_of(request))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return its response with the body unread."""
        if self._is_closed:
            raise ConfigurationError(CLOSED)
        use_stand_in(request)
        part = self._part()
        origin = _origin_of(request)
        route, seconds = _route(self._routes, origin), _seconds_to_wait(request)
        turn = _TaskTurn(part.loop)
        connection: _Async | None = None
        try:
            connection = await part.take(turn, origin, route, seconds)
            connection.backend.limits = request.extensions.get(LIMITS)
            sent = _to_httpcore(request, origin, connection.backend)
            response = await connection.wire.handle_async_request(sent)
            return httpx.Response(
                response.status,
                headers=response.headers,
                stream=_AsyncBody(part, turn, connection, response),
                extensions=_extensions(response),
            )
        except BaseException as error:
            part.end(turn)
            _raise_as_httpx(error, connection)
            raise

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
    """The body of a response, which returns the connection to the pool when it is closed or forgotten."""

    def __init__(
        self, part: _LoopConnections, turn: _TaskTurn, connection: _Async, response: httpcore.Response
    ) -> None:
        self._part = part
        self._turn = turn
        self._connection = connection
        self._response = response
        self._is_whole = False
        self._forgotten = weakref.finalize(self, part.end_soon, turn)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._response.aiter_stream():
                yield piece
        except Exception as error:
            _raise_as_httpx(error, self._connection)
            raise
        self._is_whole = True

    async def aclose(self) -> None:
        keep = False
        try:
            if self._forgotten.detach() is None:
                return
            if self._is_whole:
                await self._response.aclose()
                keep = self._connection.wire.is_available()
            self._part.end(self._turn, keep=keep)
        except BaseException:
            self._part.end(self._turn)
            raise
        if not keep:
            await _next_step()  # in which asyncio closes the socket


async def _next_step() -> None:
    import asyncio

    await asyncio.sleep(0)
