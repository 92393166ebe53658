"""Deadlines at the socket: `httpcore` network backends, one for each connection.

httpcore bounds each read and write of a connection, and knows nothing of the call that uses the connection. So each
connection has a backend of its own, in which the pool puts the `Limits` of that call. They are looked at before every
read and write.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import socket
import time
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import httpcore

from ._retry import foreign

if TYPE_CHECKING:
    import asyncio
    import ssl
    from collections.abc import AsyncGenerator, Callable, Iterable

    from ._call import Limits

__all__ = ["AsyncBackend", "Backend"]

T = TypeVar("T")

_HEAD_START = 0.25
"""Seconds after which the next address of a name is tried as well. Source: RFC 8305, section 5."""

_PIECE = 65536
"""Bytes of one write. A long body is written piece by piece, so that a server that reads slowly is noticed."""

_READ_AHEAD = 262144
"""Bytes that asyncio may receive before they are read."""


class _Deadlines:
    """The part of a backend that needs no I/O.

    Args:
        handshakes: The number of TLS handshakes before the request can be sent: one for the API, one for a
            proxy that is reached by TLS.
        socks: True when a SOCKS proxy has to open a tunnel, which is one more.

    Attributes:
        limits: The limits of the call that uses the connection; `None` for a request of the raw client.
        opens_socks: True until a SOCKS proxy has opened the tunnel. Until then httpcore has to call `trace`.
    """

    def __init__(self, handshakes: int, *, socks: bool) -> None:
        self.limits: Limits | None = None
        self.opens_socks = socks
        self._is_closed = False
        self._handshakes = handshakes + socks
        self._connected_by = math.inf

    @property
    def is_connecting(self) -> bool:
        """True while it is certain that no byte of a request has been sent."""
        return self._handshakes > 0

    def handshake_done(self) -> None:
        """Count a handshake."""
        self._handshakes -= 1

    def note(self, event: str) -> None:
        """Count the handshake with a SOCKS proxy, which httpcore makes by ordinary reads and writes."""
        if self.opens_socks and event == "socks.setup_socks5_connection.complete":
            self.opens_socks = False
            self.handshake_done()

    def check_open(self) -> None:
        """Refuse to go on with a connection that was closed while it was made.

        Raises:
            httpcore.ConnectError: it was.
        """
        if self._is_closed:
            raise httpcore.ConnectError("the client was closed")

    def begin(self, timeout: float | None) -> float | None:
        """Start the time of `connect_timeout`, and return its seconds."""
        seconds = self.limits.connect if self.limits is not None else timeout
        self._connected_by = math.inf if seconds is None else time.monotonic() + seconds
        return self.left_to_connect()

    def left_to_connect(self) -> float | None:
        """Return the seconds that are left for making the connection.

        Raises:
            httpcore.ConnectTimeout: no time is left.
        """
        ends_at = self._connected_by if self.limits is None else min(self._connected_by, self.limits.ends_at)
        return _seconds_until(ends_at, httpcore.ConnectTimeout)

    def left(self, timeout: float | None, error: type[Exception]) -> float | None:
        """Return the seconds that one read or write may take; raise `error` when none are left."""
        if self._handshakes:  # a proxy is asked to open the tunnel
            return self.left_to_connect()
        limits = self.limits
        if limits is None:
            return timeout
        ends_at = min(limits.ends_at, limits.event_ends_at)
        if ends_at == math.inf:
            return limits.silence
        left = _seconds_until(ends_at, error)
        return left if left is None or limits.silence is None else min(left, limits.silence)


def _seconds_until(moment: float, error: type[Exception]) -> float | None:
    if moment == math.inf:
        return None
    left = moment - time.monotonic()
    if left <= 0:
        raise error("the time has passed")
    return left


@lru_cache(maxsize=64)
def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _distinct(found: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def _stranger(error: BaseException | None) -> BaseException | None:
    """Return the exception of somebody else that was raised instead of one of the operating system, if it was.

    Besides those of signal handlers these are the time limits that one thread sets for another, which are often a
    `TimeoutError` of their own. Other kinds of `OSError` come from libraries that replace the sockets (PySocks).
    """
    if isinstance(error, TimeoutError) and type(error) is not TimeoutError:
        return error
    return None if error is None else foreign(error)


# --- Sync ---------------------------------------------------------------------------------------------------------


class Backend(_Deadlines, httpcore.NetworkBackend):
    """The network of one connection of `Scout`."""

    def __init__(self, handshakes: int = 0, *, socks: bool = False) -> None:
        super().__init__(handshakes, socks=socks)
        self._inner = httpcore.SyncBackend()
        self._stream: _Stream | None = None

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a name that answers.

        No address may use up the time of the others: each has a short turn, and a longer one in the next round.
        """
        self.begin(timeout)
        addresses = _addresses(host, port)
        turn = _HEAD_START
        while True:
            for address in addresses.copy():
                left = self.left_to_connect()
                if len(addresses) > 1:
                    left = turn if left is None else min(turn, left)
                try:
                    stream = _system_call(self._inner.connect_tcp, address, port, left, local_address, socket_options)
                except (httpcore.ConnectTimeout, httpcore.ConnectError) as error:
                    # The operating system's own ETIMEDOUT is final, as a refusal is; the end of a turn is not.
                    if isinstance(error, httpcore.ConnectTimeout) and not getattr(error.__cause__, "errno", None):
                        continue
                    addresses.remove(address)
                    if not addresses:
                        raise httpcore.ConnectError(str(error)) from error.__cause__
                else:
                    return self._opened(stream)
            turn *= 4

    def _opened(self, stream: httpcore.NetworkStream) -> httpcore.NetworkStream:
        self._stream = _Stream(self, stream)
        if self._is_closed:
            self._stream.close()
        self.check_open()
        return self._stream

    def start_tls(
        self, stream: httpcore.NetworkStream, ssl_context: ssl.SSLContext, server_hostname: str | None
    ) -> httpcore.NetworkStream:
        """Upgrade the connection to TLS."""
        secure = _system_call(stream.start_tls, ssl_context, server_hostname, self.left_to_connect())
        self.handshake_done()
        return self._opened(secure)

    def trace(self, event: str, _info: object) -> None:
        """Note a step of httpcore; its extension `trace` calls this."""
        self.note(event)

    def close(self) -> None:
        """Close the connection, in whatever state it is."""
        self._is_closed = True
        if self._stream is not None:
            self._stream.close()


def _addresses(host: str, port: int) -> list[str]:
    if _is_address(host):
        return [host]
    try:
        return _distinct(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:
        if _stranger(error) is not None:
            raise
        raise httpcore.ConnectError(str(error)) from error


def _system_call(operation: Callable[..., T], *arguments: Any) -> T:
    """Call a function of httpcore, which takes each `OSError` that is raised meanwhile for one of the socket."""
    try:
        return operation(*arguments)
    except (httpcore.NetworkError, httpcore.TimeoutException) as error:
        stranger = _stranger(error.__cause__)
        # The exceptions of the operating system hold at least a text.
        if stranger is None and isinstance(error.__cause__, OSError) and not error.__cause__.args:
            stranger = error.__cause__
        if stranger is None:
            raise
    # Outside of the handler, so that it does not get an error of httpcore as context.
    raise stranger


class _Stream(httpcore.NetworkStream):
    def __init__(self, backend: Backend, inner: httpcore.NetworkStream) -> None:
        self._backend = backend
        self._inner = inner
        self._process = os.getpid()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return _system_call(self._inner.read, max_bytes, self._backend.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE):
            left = self._backend.left(timeout, httpcore.WriteTimeout)
            _system_call(self._inner.write, buffer[start : start + _PIECE], left)

    def close(self) -> None:
        # A thread that waits for this socket would not notice that it is closed. In the child of a fork the connection
        # belongs to the parent, which goes on using it.
        try:
            if self._process == os.getpid():
                # Not by `SSLSocket.shutdown`, which first makes it a plain socket: another thread may be writing.
                socket.socket.shutdown(self._inner.get_extra_info("socket"), socket.SHUT_RDWR)
        except OSError as error:
            if _stranger(error) is not None:
                raise
        finally:
            self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return self._backend.start_tls(self._inner, ssl_context, server_hostname)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


# --- Async --------------------------------------------------------------------------------------------------------
#
# On asyncio's own transports, which cost a call half of what anyio's streams cost. asyncio is imported inside the
# functions: `Scout` has no use for it.


class AsyncBackend(_Deadlines, httpcore.AsyncNetworkBackend):
    """The network of one connection of `AsyncScout`."""

    def __init__(self, handshakes: int = 0, *, socks: bool = False) -> None:
        super().__init__(handshakes, socks=socks)
        self._stream: _AsyncStream | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of a name that answers. The next one is tried while the first is silent."""
        import asyncio

        loop = asyncio.get_running_loop()
        stream = self._stream = _AsyncStream(self, loop)
        async with _connecting(self.begin(timeout)):
            found = [] if _is_address(host) else await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = _distinct(found) or [host]
            if len(addresses) == 1:
                await loop.create_connection(stream.as_protocol, addresses[0], port)
            else:
                await loop.create_connection(stream.as_protocol, sock=await _first_to_connect(loop, addresses, port))
        self.check_open()
        return stream

    async def start_tls(
        self, transport: Any, ssl_context: ssl.SSLContext, server_hostname: str | None
    ) -> httpcore.AsyncNetworkStream:
        """Upgrade the connection to TLS."""
        import asyncio

        loop = asyncio.get_running_loop()
        stream = self._stream = _AsyncStream(self, loop)
        stream.connection_made(transport)
        left = self.left_to_connect()
        async with _connecting(left):
            secure = await loop.start_tls(
                transport,
                stream.as_protocol(),
                ssl_context,
                server_hostname=server_hostname,
                ssl_handshake_timeout=_FOREVER if left is None else left + 1,  # ours is first
            )
            if secure is None:
                raise ConnectionResetError("the connection was closed during the TLS handshake")
        stream.connection_made(secure)
        self.check_open()
        self.handshake_done()
        return stream

    async def trace(self, event: str, _info: object) -> None:
        """Note a step of httpcore. As `Backend.trace`."""
        self.note(event)

    def close(self) -> None:
        """Close the connection at once, in whatever state it is, without waiting: its call may have been cancelled."""
        self._is_closed = True
        if self._stream is not None:
            self._stream.close()


_FOREVER = 10.0**9  # seconds


@contextlib.asynccontextmanager
async def _connecting(seconds: float | None) -> AsyncGenerator[None]:
    """Bound what makes a connection, in httpcore's terms."""
    import asyncio

    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except (OSError, UnicodeError) as error:
        if _stranger(error) is not None:
            raise
        if isinstance(error, TimeoutError) and limit.expired():  # and not the operating system's own
            raise httpcore.ConnectTimeout("no connection in time") from error
        raise httpcore.ConnectError(str(error)) from error


async def _first_to_connect(loop: asyncio.AbstractEventLoop, addresses: list[str], port: int) -> socket.socket:
    import asyncio

    waiting = addresses.copy()
    racing: set[asyncio.Task[socket.socket]] = set()
    failure: BaseException = OSError("the name has no address")
    try:
        while waiting or racing:
            if waiting:
                racing.add(loop.create_task(_connected(loop, waiting.pop(0), port)))
            done, _ = await asyncio.wait(
                racing, timeout=_HEAD_START if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                error = task.exception()
                if error is None:
                    racing.discard(task)
                    return task.result()
                racing.discard(task)
                failure = error
                if _stranger(error) is not None:
                    raise error
        raise failure
    finally:
        for task in racing:
            task.cancel()
            task.add_done_callback(_close_result)


async def _connected(loop: asyncio.AbstractEventLoop, address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, (address, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _close_result(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


class _AsyncStream(httpcore.AsyncNetworkStream):
    """One connection. asyncio calls it as a protocol and httpcore as a stream."""

    def __init__(self, backend: AsyncBackend, loop: asyncio.AbstractEventLoop) -> None:
        self._backend = backend
        self._loop = loop
        self._transport: Any = None
        self._received = bytearray()
        self._is_closed = False  # by us
        self._has_ended = False  # nothing more will be received
        self._is_lost = False  # nothing more can be sent
        self._error: Exception | None = None  # why, when it was not in order
        self._is_strange = False  # because of an exception of somebody else
        self._is_full = False  # the transport takes no more for now
        self._is_paused = False  # the transport receives no more for now
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    def as_protocol(self) -> Any:
        """Return itself, as the protocol that asyncio asks for."""
        return self

    # The calls of asyncio.

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        if self._is_closed:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > _READ_AHEAD and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> bool:
        self._has_ended = True
        _wake(self._reader)
        return self._transport.get_extra_info("ssl_object") is None  # what is half closed stays open; TLS cannot

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_ended = self._is_lost = True
        self._error = exc
        self._is_strange = _stranger(exc) is not None
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        _wake(self._writer)

    # The calls of httpcore.

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = self._backend.left(timeout, httpcore.ReadTimeout)
        received = self._received
        if not received and not self._has_ended:
            self._reader = self._loop.create_future()
            await self._until(self._reader, left, httpcore.ReadTimeout)
        if self._error is not None and (self._is_strange or not received):
            self._raise_error(httpcore.ReadError)
        data = bytes(received[:max_bytes])
        del received[:max_bytes]
        if self._is_paused and len(received) <= _READ_AHEAD // 2:
            self._is_paused = False
            self._transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE):
            left = self._backend.left(timeout, httpcore.WriteTimeout)
            if self._is_lost:
                break
            self._transport.write(buffer[start : start + _PIECE])
            if self._is_full:
                self._writer = self._loop.create_future()
                await self._until(self._writer, left, httpcore.WriteTimeout)
        if self._is_lost:
            self._raise_error(httpcore.WriteError)

    def _raise_error(self, kind: type[Exception]) -> NoReturn:
        """Raise the error with which the connection was lost: asyncio ends it with whatever is raised meanwhile."""
        if self._error is not None and self._is_strange:
            raise self._error
        raise kind(str(self._error or "the connection is closed")) from self._error

    async def _until(self, future: asyncio.Future[None], seconds: float | None, error: type[Exception]) -> None:
        timer = None if seconds is None else self._loop.call_later(seconds, _expire, future, error)
        try:
            await future
        finally:
            if timer is not None:
                timer.cancel()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return await self._backend.start_tls(self._transport, ssl_context, server_hostname)

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        self._is_closed = True
        if self._transport is not None:
            self._transport.abort()

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            if self._is_closed or self._has_ended or self._received:
                return True
            # The event loop may not yet have come to what the socket has received.
            return _is_readable(self._transport.get_extra_info("socket"))
        return self._transport.get_extra_info(info)


def _is_readable(sock: Any) -> bool:
    if sock is None or (number := sock.fileno()) < 0:  # asyncio has given it up
        return True
    if not hasattr(select, "poll"):  # on Windows
        return bool(select.select([number], [], [], 0)[0])
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


def _expire(future: asyncio.Future[None], error: type[Exception]) -> None:
    if not future.done():
        future.set_exception(error("the time has passed"))
