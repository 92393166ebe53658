"""What tests of connections share: several calls at once for both clients, and servers that stand before a `Server`.

`drive` runs a generator that yields what has to be done. A test is written once, for `Scout` in threads and for
`AsyncScout` in tasks:

    def program(client_class):
        scout = client_class(KEY, base_url=server.url, max_connections=1)
        first = yield Start(lambda: scout.execute(WORKFLOW))    # goes on at once
        (outcome,) = yield Wait(first)                          # a result, or the exception
        yield scout.close()

A `Relay` accepts connections on the loopback interface and joins them to a `Server`: behind TLS, as a proxy, or not.
"""

import asyncio
import base64
import contextlib
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from servers import PATIENCE, Caller, settled


@dataclass(frozen=True)
class Start:
    """Begin a call, and go on once it waits; the result of the `yield` is a handle for `Wait`."""

    call: Callable[[], Any]


class Wait:
    """Wait for calls that were begun; the result of the `yield` lists their results or exceptions."""

    def __init__(self, *handles: Any) -> None:
        self.handles = handles


class AtOnce:
    """Make calls at once, and wait for them all. As `Wait`."""

    def __init__(self, *calls: Callable[[], Any]) -> None:
        self.calls = calls


class _Thread(threading.Thread):
    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.outcome: Any = None

    def run(self) -> None:
        try:
            self.outcome = self._call()
        except BaseException as error:  # noqa: BLE001 - the test judges it
            self.outcome = error

    def waits(self) -> bool:
        """Whether it waits for something, or is done."""
        places = []
        for _ in range(3):
            frame = sys._current_frames().get(self.ident or 0)
            places.append((id(frame), frame.f_lasti) if frame else None)
            time.sleep(0.003)
        return not self.is_alive() or (places[0] is not None and len(set(places)) == 1)

    def result(self) -> Any:
        self.join(PATIENCE)
        assert not self.is_alive(), "the call has not ended"
        return self.outcome


def drive(call: Caller, program: Callable[[Any], Iterator[Any]]) -> Any:
    """Run the steps of a program with the client of a caller, each in its turn."""
    return asyncio.run(_drive_async(call, program)) if call.is_async else _drive_sync(call, program)


def _drive_sync(call: Caller, program: Callable[[Any], Any]) -> Any:
    def begun(made: Callable[[], Any]) -> _Thread:
        thread = _Thread(made)
        thread.start()
        return thread

    def step(wanted: Any) -> Any:
        if isinstance(wanted, Start):
            thread = begun(wanted.call)
            assert settled(thread.waits)
            return thread
        if isinstance(wanted, Wait):
            return [handle.result() for handle in wanted.handles]
        if isinstance(wanted, AtOnce):
            return [thread.result() for thread in [begun(each) for each in wanted.calls]]
        if isinstance(wanted, float):
            time.sleep(wanted)
            return None
        return wanted

    steps = program(call.client_class)
    result = None
    while True:
        try:
            result = step(steps.send(result))  # a call that fails does so inside the generator
        except StopIteration as end:
            return end.value


async def _drive_async(call: Caller, program: Callable[[Any], Any]) -> Any:
    async def step(wanted: Any) -> Any:
        if isinstance(wanted, Start):
            task = asyncio.ensure_future(wanted.call())
            await asyncio.sleep(0.01)
            return task
        if isinstance(wanted, Wait):
            return await asyncio.wait_for(asyncio.gather(*wanted.handles, return_exceptions=True), PATIENCE)
        if isinstance(wanted, AtOnce):
            calls = asyncio.gather(*(each() for each in wanted.calls), return_exceptions=True)
            return await asyncio.wait_for(calls, PATIENCE)
        if isinstance(wanted, float):
            await asyncio.sleep(wanted)
            return None
        return await wanted if hasattr(wanted, "__await__") else wanted

    steps = program(call.client_class)
    result, error = None, None
    while True:
        try:
            wanted = steps.throw(error) if error else steps.send(result)
        except StopIteration as end:
            return end.value
        try:
            result, error = await step(wanted), None
        except Exception as raised:  # noqa: BLE001 - raised in the program
            result, error = None, raised


# --- Certificates -------------------------------------------------------------------------------------------------


class Tls:
    """A certificate authority of the tests."""

    def __init__(self) -> None:
        import trustme  # not there when the installed wheel is tested

        self.authority = trustme.CA()

    def server(self, *names: str) -> ssl.SSLContext:
        """Return the context of a server with a certificate for these names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*names).configure_cert(context)
        return context


# --- Relays -------------------------------------------------------------------------------------------------------

Handler = Callable[["Link"], Awaitable[None]]


class Link:
    """One connection that a relay has accepted."""

    def __init__(self, relay: "Relay", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.relay = relay
        self.reader = reader
        self.writer = writer

    async def head(self) -> str:
        """Read the head of an HTTP request, and note it."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.relay.heads.append(head)
        return head

    async def join(self, start: bytes = b"") -> None:
        """Pass everything on, in both directions, to the relay's target."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.relay.target)
        writer.write(start)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pass_on(self.reader, writer))
                group.create_task(_pass_on(reader, self.writer))
        finally:
            writer.transport.abort()

    async def upgrade(self, context: ssl.SSLContext) -> None:
        """Go on with TLS, as the server."""
        await self.writer.start_tls(context)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    raise ConnectionAbortedError  # which ends the other direction


class Relay:
    """Accepts connections in a thread of its own, and plays a handler to each.

    Args:
        handler: What happens to a connection.
        target: The port of the `Server` behind it.
        tls: The context, when clients have to come by TLS.
        host: The address at which it listens.
    """

    def __init__(
        self, handler: Handler, target: int = 0, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.target = target
        self.connections = 0
        self.heads: list[str] = []
        self._handler = handler
        self._tls = tls
        self._socket = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._is_ready = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_ready.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the relay did not stop"

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(lambda loop, context: None)  # clients that do not finish a handshake
        tasks: set[asyncio.Task[None]] = set()

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            task = self._loop.create_task(self._handle(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(accepted, sock=self._socket, ssl=self._tls)
        self._is_ready.set()
        await self._stop.wait()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # in which asyncio closes the sockets

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._handler(Link(self, reader, writer))
        except (OSError, asyncio.IncompleteReadError, ExceptionGroup):
            pass  # one of the sides has left
        finally:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                if not writer.is_closing() and writer.can_write_eof():
                    writer.write_eof()
                await asyncio.wait_for(writer.drain(), 1)
            writer.close()


async def straight(link: Link) -> None:
    """Pass everything on."""
    await link.join()


async def silent_link(link: Link) -> None:
    """Accept, and never say anything."""
    await asyncio.sleep(PATIENCE * 2)


async def hang_up(link: Link) -> None:
    """Read what comes first, and close."""
    await link.reader.read(65536)


def says(data: bytes) -> Handler:
    """Read what comes first, send these bytes, and close."""

    async def handler(link: Link) -> None:
        link.relay.heads.append((await link.reader.read(65536)).decode("latin-1"))
        link.writer.write(data)

    return handler


async def http_proxy(link: Link) -> None:
    """An HTTP proxy: opens a tunnel, or passes a plain request on."""
    head = await link.head()
    if head.startswith("CONNECT "):
        link.writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await link.join()
    else:
        await link.join(head.encode("latin-1"))


def basic(user: str, password: str) -> str:
    """The header by which a proxy is given a user and a password."""
    return "Proxy-Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def socks_proxy(user: str = "", password: str = "") -> Handler:
    """A SOCKS5 proxy; it notes the places to which it was asked to connect."""

    async def handler(link: Link) -> None:
        reader, writer = link.reader, link.writer
        _, number = await reader.readexactly(2)
        offered = await reader.readexactly(number)
        wanted = b"\x02" if user else b"\x00"
        writer.write(b"\x05" + (wanted if wanted in offered else b"\xff"))
        if user:
            _, length = await reader.readexactly(2)
            name = await reader.readexactly(length)
            (length,) = await reader.readexactly(1)
            word = await reader.readexactly(length)
            is_right = (name.decode(), word.decode()) == (user, password)
            writer.write(b"\x01" + (b"\x00" if is_right else b"\x01"))
            if not is_right:
                return
        kind = (await reader.readexactly(4))[3]
        length = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
        host = await reader.readexactly(length)
        (port,) = struct.unpack(">H", await reader.readexactly(2))
        link.relay.heads.append(f"{host.decode('latin-1')}:{port}")
        writer.write(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
        await link.join()

    return handler
