"""A scripted HTTP server on the loopback interface that can misbehave as networks do, and its caller.

A *behaviour* is a function that takes a `Peer` (one accepted connection) and writes bytes, waits, closes or
resets. A `Server` plays a script of behaviours, one for each time a client comes, and repeats the last one:

    with Server([answer(429), json_answer(RUN)]) as server:
        Scout("key", base_url=server.url).execute(...)
    assert server.hits == 2

`hits` counts how often a client came, also when it was thrown out before its request was read; `requests`
holds what was read. The server counts in threads of its own. Once its `with` block is left it has counted all that had
arrived by then; inside the block, what the client did not wait for is awaited with `wait_until` (or `settled`).
A `Caller` is `Scout` or `AsyncScout` with one face: each test is written once for both.
"""

import asyncio
import contextlib
import gzip
import json
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

# No test waits longer than this for anything; it only bounds what is already broken.
PATIENCE = 20.0


def settled(condition: Callable[[], object], seconds: float = PATIENCE) -> bool:
    """Wait until something holds that happens in another thread or process; return whether it does."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return bool(condition())


Behaviour = Callable[["Peer"], None]
Headers = Mapping[str, str]


@dataclass(frozen=True)
class Received:
    """One request as the server read it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    time: float

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        return dict(httpx.QueryParams(self.target.partition("?")[2]))

    def json(self) -> object:
        return json.loads(self.body)


class Peer:
    """One accepted connection, as a behaviour sees it."""

    def __init__(self, server: "Server", sock: socket.socket, number: int) -> None:
        self.server = server
        self.number = number
        self.keep_alive = False
        self._socket = sock
        self._buffer = b""
        self._request: Received | None = None

    def request(self) -> Received:
        """Return the current request; read and record it if that has not been done yet."""
        if self._request is None:
            self._request = self._read_request()
            self.server.requests.append(self._request)
        return self._request

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def wait(self, seconds: float) -> None:
        """Wait, but not longer than the server lives or the client stays."""
        end = time.monotonic() + seconds
        while not self.server.stopping and time.monotonic() < end:
            self._socket.settimeout(max(0.001, min(0.05, end - time.monotonic())))
            try:
                if self._socket.recv(1, socket.MSG_PEEK) == b"":
                    self.server.hangups.append(time.monotonic())
                    raise ConnectionAbortedError("the client hung up")
                time.sleep(0.01)  # the client sent more than one request; leave it for later
            except TimeoutError:
                pass
            finally:
                self._socket.settimeout(PATIENCE)
        if self.server.stopping:
            raise ConnectionAbortedError("the server stops")

    def reset(self) -> None:
        """End the connection with RST instead of FIN."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def next_request_arrives(self) -> bool:
        """Wait for the first byte of a request without reading it."""
        self._request = None
        if self._buffer:
            return True
        while True:
            stopping = self.server.stopping  # read first: what had arrived by then still counts
            self._socket.settimeout(0.001 if stopping else 0.1)
            try:
                return self._socket.recv(1, socket.MSG_PEEK) != b""
            except TimeoutError:
                if stopping:
                    return False
            finally:
                self._socket.settimeout(PATIENCE)

    def _read_request(self) -> Received:
        head = self._read_until(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = self._read_chunks()
        else:
            body = self._read_exactly(int(headers.get("content-length", "0")))
        return Received(method, target, headers, body, self.number, time.monotonic())

    def _read_chunks(self) -> bytes:
        body = b""
        while size := int(self._read_until(b"\r\n").partition(b";")[0], 16):
            body += self._read_exactly(size)
            self._read_until(b"\r\n")
        self._read_until(b"\r\n")
        return body

    def _read_until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._receive()
        found, _, self._buffer = self._buffer.partition(mark)
        return found

    def _read_exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._receive()
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def _receive(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionAbortedError("the client hung up in the middle of its request")
        self._buffer += data


@dataclass
class Server:
    """Plays a script of behaviours to whoever comes; leaves no thread and no socket behind."""

    script: Behaviour | Sequence[Behaviour]
    keep_alive: bool = False
    hits: int = 0
    connections: int = 0
    requests: list[Received] = field(default_factory=list)
    hangups: list[float] = field(default_factory=list)
    stopping: bool = False

    def __post_init__(self) -> None:
        self._script = [self.script] if callable(self.script) else list(self.script)
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._failures: list[Exception] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self._wake, self._woken = socket.socketpair()
        self.port = self._listener.getsockname()[1]
        self._start(self._accept_all)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stopping = True
        self._wake.close()
        self._threads[0].join(PATIENCE)  # it accepts what still waits in the queue
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # wakes a blocked recv
        for thread in list(self._threads):
            thread.join(PATIENCE)
        self._listener.close()
        self._woken.close()
        assert not any(thread.is_alive() for thread in self._threads), "a server thread did not stop"
        if exc_info[0] is None and self._failures:
            raise self._failures[0]

    @property
    def open_connections(self) -> int:
        with self._lock:
            return len(self._sockets)

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait until the server has counted what a test is about to check."""
        assert settled(condition), f"{self.hits} hits, {self.connections} connections, {len(self.requests)} requests"

    def wait_for_hits(self, number: int) -> None:
        """Wait until a client has come this often."""
        self.wait_until(lambda: self.hits >= number)

    def stop(self) -> None:
        """Close everything; whoever waits for an answer gets none."""
        self.__exit__(None, None, None)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _accept_all(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                selector.select()
                stopping = self.stopping  # read first: who had connected by then still counts
                with contextlib.suppress(BlockingIOError):
                    while True:
                        self._accept(self._listener.accept()[0])
                if stopping:
                    return

    def _accept(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._sockets.append(sock)
            self.connections += 1
            number = self.connections
        self._start(self._serve, sock, number)

    def _serve(self, sock: socket.socket, number: int) -> None:
        peer = Peer(self, sock, number)
        try:
            if self._peek_at_accept():
                self._next()(peer)
                return
            while peer.next_request_arrives():
                peer.keep_alive = self.keep_alive
                self._next()(peer)
                if not peer.keep_alive:
                    return
        except OSError:
            pass  # the client left, or the server stops: both are part of the game
        except Exception as failure:  # noqa: BLE001 - handed to the thread that runs the test
            self._failures.append(failure)
        finally:
            self._say_goodbye(sock)
            with self._lock:
                self._sockets.remove(sock)

    @staticmethod
    def _say_goodbye(sock: socket.socket) -> None:
        """Close with FIN: unread bytes would turn it into RST, so read what is there first."""
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
            sock.setblocking(False)
            while sock.recv(65536):
                pass
        sock.close()

    def _peek_at_accept(self) -> bool:
        with self._lock:
            return getattr(self._current(), "at_accept", False)

    def _next(self) -> Behaviour:
        with self._lock:
            behaviour = self._current()
            self.hits += 1
            return behaviour

    def _current(self) -> Behaviour:
        return self._script[min(self.hits, len(self._script) - 1)]


# --- Behaviours: whole answers ---------------------------------------------------------------------------


def head(status: int, headers: Headers, reason: str = "Whatever") -> bytes:
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def answer(
    status: int = 200,
    body: bytes | str = b"",
    headers: Headers | None = None,
    *,
    content_type: str | None = "application/json",
) -> Behaviour:
    """Answer properly, with the right content length."""
    data = body.encode() if isinstance(body, str) else body

    def behave(peer: Peer) -> None:
        peer.request()
        fields = {"Content-Type": content_type} if content_type else {}
        if status not in (204, 304):
            fields["Content-Length"] = str(len(data))
        fields["Connection"] = "keep-alive" if peer.keep_alive else "close"
        peer.send(head(status, fields | dict(headers or {})) + data)

    return behave


def json_answer(value: object, status: int = 200, headers: Headers | None = None) -> Behaviour:
    return answer(status, json.dumps(value), headers)


def html(text: str, status: int = 200, headers: Headers | None = None) -> Behaviour:
    return answer(status, text, headers, content_type="text/html; charset=utf-8")


def redirect(location: str, status: int = 302) -> Behaviour:
    return answer(status, b"", {"Location": location}, content_type=None)


def raw(data: bytes) -> Behaviour:
    """Read the request, write these bytes, close."""

    def behave(peer: Peer) -> None:
        peer.request()
        peer.keep_alive = False
        peer.send(data)

    return behave


def good_gzip(value: object) -> Behaviour:
    return answer(200, gzip.compress(json.dumps(value).encode()), {"Content-Encoding": "gzip"})


def corrupt_gzip(value: object) -> Behaviour:
    data = bytearray(gzip.compress(json.dumps(value).encode()))
    data[12:20] = b"\xff" * 8
    return answer(200, bytes(data), {"Content-Encoding": "gzip"})


def truncated_gzip(value: object) -> Behaviour:
    data = gzip.compress(json.dumps(value).encode())
    return answer(200, data[: len(data) // 2], {"Content-Encoding": "gzip"})


# --- Behaviours: bodies in pieces ------------------------------------------------------------------------


def stream(
    steps: Iterable[bytes | float],
    headers: Headers | None = None,
    *,
    status: int = 200,
    content_type: str = "application/json",
) -> Behaviour:
    """Send the pieces in turn and wait where a number stands; the end of the connection ends the body."""
    pieces = list(steps)

    def behave(peer: Peer) -> None:
        peer.request()
        peer.keep_alive = False
        peer.send(head(status, {"Content-Type": content_type, "Connection": "close"} | dict(headers or {})))
        _play(peer, pieces)

    return behave


def chunked(
    steps: Iterable[bytes | float],
    *,
    status: int = 200,
    content_type: str = "application/json",
    finish: bool = True,
) -> Behaviour:
    """The same with chunked framing; `finish=False` closes without the last chunk."""
    pieces: list[bytes | float] = [
        step if isinstance(step, float) else b"%x\r\n%s\r\n" % (len(step), step) for step in steps
    ]
    end = [b"0\r\n\r\n"] if finish else []
    return stream([*pieces, *end], {"Transfer-Encoding": "chunked"}, status=status, content_type=content_type)


def wrong_length(body: bytes, declared: int, *, status: int = 200) -> Behaviour:
    """Declare another length than that of the body, send the body, close."""
    return raw(head(status, {"Content-Type": "application/json", "Content-Length": str(declared)}) + body)


def half_body(body: bytes) -> Behaviour:
    """Promise the whole body, send half of it, close."""
    half = body[: len(body) // 2]
    return wrong_length(half, len(body))


def trickle_head(pause: float, size: int = 1) -> Behaviour:
    """Answer so slowly that not even the headers ever end, but never fall silent for long."""

    def behave(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            peer.wait(pause)
            peer.send(b"a" * size)

    return behave


def trickle_body(pause: float, size: int = 1) -> Behaviour:
    """Send the headers at once and then an endless slow body."""

    def behave(peer: Peer) -> None:
        peer.request()
        peer.send(head(200, {"Content-Type": "application/json", "Content-Length": "100000000"}))
        while True:
            peer.wait(pause)
            peer.send(b" " * size)

    return behave


def silent(start: bytes = b"") -> Behaviour:
    """Read the request, perhaps write the start of an answer, and never say anything again."""

    def behave(peer: Peer) -> None:
        peer.request()
        peer.send(start)
        peer.wait(PATIENCE * 2)

    return behave


def delayed(seconds: float, behaviour: Behaviour) -> Behaviour:
    def behave(peer: Peer) -> None:
        peer.request()
        peer.wait(seconds)
        behaviour(peer)

    return behave


def route(choose: Callable[[Received], Behaviour]) -> Behaviour:
    """Let a function of the request choose the behaviour."""
    return lambda peer: choose(peer.request())(peer)


def _play(peer: Peer, steps: Iterable[bytes | float]) -> None:
    for step in steps:
        if isinstance(step, float):
            peer.wait(step)
        else:
            peer.send(step)


# --- Behaviours: no answer -------------------------------------------------------------------------------


def close_unanswered(peer: Peer) -> None:
    """Take the request and hang up."""
    peer.request()
    peer.keep_alive = False


def reset_after_request(peer: Peer) -> None:
    """Take the request and reset the connection."""
    peer.request()
    peer.keep_alive = False
    peer.reset()


def reset_unread(peer: Peer) -> None:
    """Reset the connection when the request arrives, without reading it."""
    peer.keep_alive = False
    peer.reset()


def at_accept(behaviour: Behaviour) -> Behaviour:
    """Mark a behaviour that acts as soon as the connection stands, before any byte of a request."""

    def behave(peer: Peer) -> None:
        behaviour(peer)

    behave.at_accept = True  # type: ignore[attr-defined]
    return behave


reset_at_accept = at_accept(reset_unread)


def not_tls(peer: Peer) -> None:
    """Answer a TLS greeting in plain HTTP, as a plain-text port does."""
    peer.keep_alive = False
    peer.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


# --- Places where nobody answers -------------------------------------------------------------------------


@contextlib.contextmanager
def refused_url() -> Iterator[str]:
    """A port that stays reserved but refuses every connection: bound, never listening."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


@contextlib.contextmanager
def full_backlog_url() -> Iterator[str]:
    """A port on which connecting never ends: it listens, nobody accepts, and the queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


# --- Transports that are not httpx's own -----------------------------------------------------------------


class ForeignTransport:
    """Sends the request, then reports a failure to connect, as the aiohttp transport does on a disconnect."""

    def __init__(self, failure: type[httpx.HTTPError] = httpx.ConnectTimeout) -> None:
        self.failure = failure
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._inner.handle_request(request).read()
        raise self.failure("Server disconnected")

    def close(self) -> None:
        self._inner.close()


class ForeignTransportAsync:
    """The same for the asynchronous client."""

    def __init__(self, failure: type[httpx.HTTPError] = httpx.ConnectTimeout) -> None:
        self.failure = failure
        self._inner = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await (await self._inner.handle_async_request(request)).aread()
        raise self.failure("Server disconnected")

    async def aclose(self) -> None:
        await self._inner.aclose()


# --- The client's side -----------------------------------------------------------------------------------

KEY = "secret_test_key"

WORKFLOW: dict[str, Any] = {
    "blocks": [
        {
            "block_id": "answer",
            "block_archetype_id": "com.scoutos.text",
            "block_display_name": "Answer",
            "block_config": [],
            "dependencies": [],
        }
    ]
}


def run_answer(output: object = "Hello", **run: Any) -> dict[str, Any]:
    """The body of an ordinary answer, with `output` as the output of its only block."""
    return {
        "run": {
            "stop_reason": "workflow_run_completed",
            "state": {"answer": {"output": output}},
            "errors": [],
            "session_id": "sess_1",
            "workflow_run_id": "run_1",
        }
        | run,
        "workflow_id": "wf_1",
        "output_block_id": "answer",
    }


@dataclass(frozen=True)
class Outcome:
    """What came of one call."""

    run: Any
    error: Any
    seconds: float


class Caller:
    """Calls `execute` of `Scout` or `AsyncScout`, so that a test is written once for both."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return self.kind

    @property
    def is_async(self) -> bool:
        return self.kind == "async"

    @property
    def client_class(self) -> Any:
        import scout

        return scout.AsyncScout if self.is_async else scout.Scout

    def __call__(
        self,
        url: str,
        inputs: Any = None,
        *,
        workflow: Any = None,
        client: dict[str, Any] | None = None,
        **options: Any,
    ) -> Outcome:
        """Make a client, execute once, close; `client` holds options of the constructor."""
        settings = {"api_key": KEY, "base_url": url, "connect_timeout": 5.0, "timeout": 10.0} | (client or {})
        arguments = (WORKFLOW if workflow is None else workflow, inputs)

        def sync_call() -> Outcome:
            with self.client_class(**settings) as scout:
                started = time.monotonic()
                try:
                    run, error = scout.execute(*arguments, **options), None
                except Exception as raised:  # noqa: BLE001 - the test judges it
                    run, error = None, raised
                return Outcome(run, error, time.monotonic() - started)

        async def async_call() -> Outcome:
            async with self.client_class(**settings) as scout:
                started = time.monotonic()
                try:
                    run, error = await scout.execute(*arguments, **options), None
                except Exception as raised:  # noqa: BLE001 - the test judges it
                    run, error = None, raised
                return Outcome(run, error, time.monotonic() - started)

        return asyncio.run(async_call()) if self.is_async else sync_call()

    def error(self, url: str, *args: Any, **options: Any) -> Any:
        """Call, and return the error that must come; it must be one of ours."""
        from scout import ScoutError

        outcome = self(url, *args, **options)
        assert outcome.error is not None, f"an error was expected, not {outcome.run!r}"
        assert isinstance(outcome.error, ScoutError), f"a foreign exception: {outcome.error!r}"
        return outcome.error

    def run(self, url: str, *args: Any, **options: Any) -> Any:
        """Call, and return the run that must come."""
        outcome = self(url, *args, **options)
        if outcome.error is not None:
            raise outcome.error
        return outcome.run

    def drive(self, program: Callable[..., Any]) -> Any:
        """Run a generator function that yields what the client's methods return; await it if need be.

        A test with several calls in one client is written as a generator: `run = yield scout.execute(...)`.
        """
        steps = program(self.client_class)

        def sync_drive() -> Any:
            result = None
            while True:
                try:
                    result = steps.send(result)  # what fails, fails inside the generator
                except StopIteration as end:
                    return end.value

        async def async_drive() -> Any:
            result, error = None, None
            while True:
                try:
                    pending = steps.throw(error) if error else steps.send(result)
                except StopIteration as end:
                    return end.value
                try:
                    result, error = (await pending if hasattr(pending, "__await__") else pending), None
                except Exception as raised:  # noqa: BLE001 - the test judges it
                    result, error = None, raised

        return asyncio.run(async_drive()) if self.is_async else sync_drive()
