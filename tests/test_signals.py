"""Exceptions of somebody else: those of signal handlers pass through every part of a call, and repeat nothing."""

import asyncio
import contextlib
import ctypes
import functools
import gc
import json
import os
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
from connections import Relay, Tls, drive, straight
from scout_generated.api.workflows import list_workflows
from servers import (
    KEY,
    WORKFLOW,
    Behaviour,
    Caller,
    ForeignTransport,
    ForeignTransportAsync,
    Peer,
    Server,
    answer,
    at_accept,
    chunked,
    close_unanswered,
    full_backlog_url,
    json_answer,
    refused_url,
    run_answer,
    silent,
)
from test_events import DONE, STARTED

import scout
from scout import APIConnectionError, APITimeoutError, Scout, WorkflowRunStarted
from scout.cassettes import record, replay

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer signals"),
    # A signal may come between the making of a socket and its naming, in the standard library's own code.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

OK = json_answer(run_answer())
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"


@pytest.fixture(autouse=True)
def leave_no_sockets() -> Iterator[None]:
    """Collect the sockets that Python's own functions left open, here, where their warnings are expected."""
    yield
    gc.collect()


class JobTimeLimit(TimeoutError):  # noqa: N818 - not ours to name
    """The time limit of a job, as runners of tasks have it."""


# What a handler may raise; the last ones come from calls of its own.
RAISED: dict[str, Callable[[], Exception]] = {
    "subclass": lambda: JobTimeLimit("the job has had its time"),
    "TimeoutError": lambda: TimeoutError("the job has had its time"),
    "ConnectionResetError": ConnectionResetError,
    "BrokenPipeError": lambda: BrokenPipeError(32, "Broken pipe"),
    "httpx": lambda: httpx.ConnectError("another server"),
    "scout": lambda: APIConnectionError("another server", run_may_have_started=False),
}
every_kind = pytest.mark.parametrize("kind", [*RAISED])
RAISED["ValueError"] = lambda: ValueError("the job has had its time")  # as parsers have it


@contextlib.contextmanager
def handler(kind: str) -> Iterator[list[Exception]]:
    """Let SIGALRM raise an exception, which is then in the list."""
    raised: list[Exception] = []

    def ring(*_: object) -> None:
        raised.append(RAISED[kind]())
        raise raised[-1]

    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield raised
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def check(caught: object, raised: list[Exception]) -> None:
    """It is the same object, as it was."""
    (own,) = raised
    assert caught is own, repr(caught)
    assert own.__cause__ is None
    assert own.__context__ is None
    assert own.args == RAISED["subclass"]().args or isinstance(own, type(own))


# --- While a thread waits -----------------------------------------------------------------------------------------


def ring() -> None:
    """Interrupt the main thread, from another one."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)


def rings(start: bytes = b"", *, reads: bool = True) -> Behaviour:
    """Interrupt the client once its request is there and a part of the response has been sent."""

    def behave(peer: Peer) -> None:
        if reads:
            peer.request()
        peer.send(start)
        time.sleep(0.03)
        ring()
        peer.wait(10)

    return behave


@contextlib.contextmanager
def nobody() -> Iterator[str]:
    with full_backlog_url() as url:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        yield url


REFUSAL = b"HTTP/1.1 429 Slow\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n"

# Where the call waits when the signal comes.
PLACES: dict[str, Any] = {
    "connecting": nobody,
    "TLS handshake": at_accept(rings(reads=False)),
    "sending": rings(reads=False),
    "reading": rings(),
    "reading a body": rings(HEAD),
    "reading an error": rings(HEAD.replace(b"200", b"500")),
    "between attempts": rings(REFUSAL),
}


@contextlib.contextmanager
def at(place: str) -> Iterator[str]:
    if place == "connecting":
        with nobody() as url:
            yield url
        return
    with Server(PLACES[place]) as server:
        yield server.url.replace("http:", "https:") if "TLS" in place else server.url


@pytest.mark.parametrize("place", PLACES)
@every_kind
def test_a_signal_while_a_thread_waits(place: str, kind: str) -> None:
    """The exception comes at once, nothing is sent again, and the only connection is free for the next call."""
    with Server(OK) as good, handler(kind) as raised, at(place) as url:
        client = Scout(KEY, base_url=url, max_connections=1, at_least_once=True, connect_timeout=5.0, timeout=5.0)
        inputs = {"text": "x" * 12_000_000} if place == "sending" else None
        began = time.monotonic()
        with pytest.raises(Exception) as caught:  # noqa: PT011 - checked below
            client.execute(WORKFLOW, inputs)
        check(caught.value, raised)
        assert time.monotonic() - began < 4.0
        assert client.with_options(base_url=good.url).execute(WORKFLOW, deadline=5.0).output == "Hello"
        client.close()


WAYS: dict[str, Callable[[Scout], Any]] = {
    "execute": lambda client: client.execute(WORKFLOW),
    "stream": lambda client: client.stream(WORKFLOW),
    "stored": lambda client: client.workflows.execute("wf_1"),
    "list": lambda client: list(client.workflows.list()),
    "create": lambda client: client.workflows.create(WORKFLOW),
    "raw": lambda client: list_workflows.sync_detailed(client=client.raw),
    "transport of the caller": lambda client: client.with_options(
        transport=httpx.HTTPTransport(), at_least_once=True
    ).execute(WORKFLOW),
    "the same with a deadline": lambda client: client.with_options(
        transport=httpx.HTTPTransport(), at_least_once=True
    ).execute(WORKFLOW, deadline=5.0),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["subclass", "TimeoutError", "httpx"])
def test_a_signal_in_any_call(way: str, kind: str) -> None:
    with (
        handler(kind) as raised,
        Server([rings(), OK], keep_alive=True) as server,
        Scout(KEY, base_url=server.url, max_connections=1, timeout=5.0) as client,
    ):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - checked below
            WAYS[way](client)
        check(caught.value, raised)
    assert server.hits == 1


@every_kind
def test_a_signal_while_a_stream_is_read(kind: str) -> None:
    events = chunked([STARTED, 5.0, DONE], content_type="text/event-stream")
    with (
        Server([events, OK]) as server,
        Scout(KEY, base_url=server.url, max_connections=1) as client,
    ):
        stream = client.stream(WORKFLOW)
        assert next(stream).name == "workflow_run_started"
        with handler(kind) as raised:
            signal.setitimer(signal.ITIMER_REAL, 0.04)
            with pytest.raises(Exception) as caught:  # noqa: PT011 - checked below
                next(stream)
        check(caught.value, raised)
        assert client.execute(WORKFLOW, deadline=5.0).output == "Hello"


@every_kind
def test_a_signal_while_a_thread_waits_for_a_connection(kind: str) -> None:
    with (
        Server([silent(), OK]) as server,
        Scout(KEY, base_url=server.url, max_connections=1, timeout=0.3) as client,
    ):

        def occupy() -> None:
            with contextlib.suppress(APITimeoutError):
                client.execute(WORKFLOW)

        busy = threading.Thread(target=occupy)
        busy.start()
        server.wait_for_hits(1)
        with handler(kind) as raised:
            signal.setitimer(signal.ITIMER_REAL, 0.04)
            with pytest.raises(Exception) as caught:  # noqa: PT011 - checked below
                client.with_options(at_least_once=True).execute(WORKFLOW)
        check(caught.value, raised)
        busy.join()
        assert client.execute(WORKFLOW, deadline=5.0).output == "Hello"
    assert server.hits == 2


# --- In the middle of an operation --------------------------------------------------------------------------------


@pytest.fixture
def ring_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[type, str], None]:
    """Send SIGALRM when the main thread calls a method for the first time."""

    def arrange(owner: type, name: str) -> None:
        real = getattr(owner, name)
        is_armed = True

        def method(self: Any, *args: Any, **options: Any) -> Any:
            nonlocal is_armed
            is_ours = getattr(self, "family", socket.AF_INET) == socket.AF_INET  # and not a pipe of asyncio
            if is_armed and is_ours and threading.current_thread() is threading.main_thread():
                is_armed = False
                signal.raise_signal(signal.SIGALRM)
            return real(self, *args, **options)

        monkeypatch.setattr(owner, name, method)

    return arrange


STEPS: dict[str, Callable[[Caller], tuple[type, str]]] = {
    "connect": lambda _: (socket.socket, "connect"),
    "handshake": lambda _: (ssl.SSLSocket, "do_handshake"),
    "send": lambda _: (socket.socket, "send"),
    "receive": lambda _: (socket.socket, "recv"),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("several", [False, True], ids=["one address", "two addresses"])
@pytest.mark.parametrize("kind", ["subclass", "TimeoutError", "BrokenPipeError"])
def test_a_signal_in_the_middle_of_an_operation(
    call: Caller,
    step: str,
    several: bool,
    kind: str,
    tls: Tls,
    ring_in: Callable[[type, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In tasks as well, where asyncio ends the connection with whatever is raised."""
    if call.is_async and step == "handshake":
        pytest.skip("asyncio itself reports what is raised there, and tells nobody")
    known = socket.getaddrinfo
    if several:
        both = [each for place in ("127.0.0.1", "127.0.0.1") for each in known(place, 1, type=socket.SOCK_STREAM)]
        second = [(*each[:4], ("127.0.0.2", 1)) for each in both[1:]]
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda host, *a, **o: [both[0], *second] if "localhost" in str(host) else known(host, *a, **o),
        )

    def program(client_class: Any) -> Any:
        client = client_class(KEY, base_url=url, max_connections=1, at_least_once=True)
        try:
            yield client.execute(WORKFLOW)
        except Exception as error:  # noqa: BLE001 - checked below
            caught.append(error)
        yield client.close()

    caught: list[Exception] = []
    with (
        Server(OK) as server,
        Relay(straight, server.port, tls=tls.server("localhost") if step == "handshake" else None) as front,
        handler(kind) as raised,
    ):
        url = f"{'https' if step == 'handshake' else 'http'}://localhost:{front.port}"
        ring_in(*STEPS[step](call))
        drive(call, program)

    check(caught[0], raised)
    assert front.connections <= 1
    assert server.hits <= 1


def test_a_signal_while_a_connection_is_closed(ring_in: Callable[[type, str], None]) -> None:
    with Server(OK, keep_alive=True) as server, handler("subclass") as raised:
        client = Scout(KEY, base_url=server.url)
        client.execute(WORKFLOW)
        ring_in(socket.socket, "shutdown")
        with pytest.raises(JobTimeLimit) as caught:
            client.close()
        check(caught.value, raised)
        client.close()


EVENTS = answer(200, STARTED + DONE, content_type="text/event-stream")
# The answer, and a method that is called while it is read, or while the request is written.
TEXTS: dict[str, tuple[Behaviour, type, str]] = {
    "the request": (OK, json.JSONEncoder, "encode"),
    "an answer": (OK, json.JSONDecoder, "raw_decode"),
    "an error": (json_answer({"detail": "no"}, 500), json.JSONDecoder, "raw_decode"),
    "an event": (EVENTS, json.JSONDecoder, "raw_decode"),
    "the fields of an event": (EVENTS, WorkflowRunStarted, "from_dict"),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("recorded", [False, True], ids=["", "recorded"])
def test_a_signal_while_json_is_read_or_written(
    call: Caller, name: str, recorded: bool, ring_in: Callable[[type, str], None], tmp_path: Path
) -> None:
    """A `ValueError` of a handler does not say that the text is damaged."""
    behaviour, *place = TEXTS[name]

    def program(client_class: Any) -> Any:
        transport = {"transport": record(tmp_path / "run.jsonl")} if recorded else {}
        client = client_class(KEY, base_url=server.url, at_least_once=True, **transport)
        ring_in(*place)
        try:
            yield client.execute(WORKFLOW)
        except Exception as error:  # noqa: BLE001 - checked below
            caught.append(error)
        yield client.close()

    caught: list[Exception] = []
    with Server(behaviour) as server, handler("ValueError") as raised:
        drive(call, program)

    check(caught[0], raised)
    assert server.hits <= 1


def test_a_signal_while_a_recording_waits_for_its_reader(tmp_path: Path) -> None:
    """A `TimeoutError` of a handler does not say that the file cannot be written, or read."""
    os.mkfifo(tmp_path / "pipe")
    with (
        Server(OK) as server,
        Scout(KEY, base_url=server.url, transport=record(tmp_path / "pipe", overwrite=True)) as client,
    ):
        for wait in (lambda: client.execute(WORKFLOW), lambda: replay(tmp_path / "pipe")):
            with handler("TimeoutError") as raised:
                signal.setitimer(signal.ITIMER_REAL, 0.03)
                with pytest.raises(TimeoutError) as caught:
                    wait()
            check(caught.value, raised)
    assert server.hits == 0


async def test_a_time_limit_of_the_caller_is_the_callers() -> None:
    with Server(silent()) as server:
        async with scout.AsyncScout(KEY, base_url=server.url, at_least_once=True) as client:
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(0.05):
                    await client.execute(WORKFLOW)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert server.hits == 1


# --- From another thread ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [JobTimeLimit, TimeoutError, ConnectionResetError])
def test_an_exception_that_another_thread_raises_here(kind: type[Exception]) -> None:
    """As libraries do it that limit the time of a thread."""
    has_come = threading.Event()

    def interrupts(peer: Peer) -> None:
        peer.request()
        has_come.set()
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(kind))
        peer.send(HEAD)
        peer.wait(5.0)

    def run() -> None:
        try:
            client.with_options(at_least_once=True).execute(WORKFLOW, timeout=3.0)
        except BaseException as error:  # noqa: BLE001 - checked below
            caught.append(error)

    caught: list[BaseException] = []
    thread = threading.Thread(target=run)
    with Server([interrupts, OK]) as server, Scout(KEY, base_url=server.url, max_connections=1) as client:
        thread.start()
        thread.join(10)
        assert [type(error) for error in caught] == [kind]
        assert client.execute(WORKFLOW, deadline=5.0).output == "Hello"
    assert server.hits == 2


# --- What is not somebody else's ----------------------------------------------------------------------------------


def test_a_call_while_such_an_exception_is_handled(call: Caller, no_waiting: None) -> None:
    """As when a job says that its time is over: the failures of that call are its own."""
    with Server(close_unanswered) as server, handler("subclass") as raised:
        with contextlib.suppress(JobTimeLimit):
            try:
                signal.raise_signal(signal.SIGALRM)
            except JobTimeLimit:
                error = call.error(server.url, client={"at_least_once": True})
                raise
        assert len(raised) == 1

    assert type(error) is APIConnectionError
    assert server.hits == 3


def test_an_exception_that_the_caller_handles_proves_nothing(call: Caller, no_waiting: None) -> None:
    """A connection refused to somebody else does not say that this request was not sent."""
    with Server(OK) as server:
        transport = (ForeignTransportAsync if call.is_async else ForeignTransport)(httpx.ConnectTimeout)
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except ConnectionRefusedError:
            error = call.error(server.url, client={"transport": transport})

    assert server.hits == 1
    assert error.run_may_have_started is True
    assert error.__cause__ is None


class ProxyError(OSError):
    """As libraries have it that replace the sockets."""


def test_an_error_of_replaced_sockets_is_an_ordinary_failure(
    call: Caller, monkeypatch: pytest.MonkeyPatch, no_waiting: None
) -> None:
    def connect(_: socket.socket, address: Any) -> None:
        raise ProxyError(f"the proxy does not reach {address[0]}")

    monkeypatch.setattr(socket.socket, "connect", connect)
    error = call.error("http://127.0.0.1:9")
    assert type(error) is APIConnectionError
    assert "the proxy does not reach 127.0.0.1" in str(error)
    assert (len(error.attempts), error.run_may_have_started) == (3, False)


def decorated(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


class Watching(httpx.HTTPTransport):
    """Notes who has called it, as programs do that measure or trace."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        caller = sys._getframe(1)
        assert caller.f_code.co_name
        return super().handle_request(request)


class Decorated(httpx.HTTPTransport):
    """By the decorator that a handler has as well."""

    handle_request = decorated(httpx.HTTPTransport.handle_request)


class Mocked(httpx.HTTPTransport):
    """By a mock, as a handler may be."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response: httpx.Response = Mock(side_effect=super().handle_request)(request)
        return response


@pytest.mark.parametrize("transport", [Watching, Decorated, Mocked])
def test_an_ordinary_failure_is_not_taken_for_that_of_a_handler(
    transport: type[httpx.HTTPTransport], no_waiting: None
) -> None:
    before = signal.signal(signal.SIGUSR1, Mock() if transport is Mocked else decorated(lambda *_: None))
    try:
        with (
            refused_url() as url,
            Scout(KEY, base_url=url, transport=transport()) as client,
            pytest.raises(APIConnectionError, match="connection refused") as caught,
        ):
            client.execute(WORKFLOW)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(caught.value.attempts) == 3


@pytest.mark.parametrize("shape", ["function", "forgets its arguments", "method", "partial", "object"])
def test_any_shape_of_handler(shape: str) -> None:
    class Job:
        def ring(self, number: int, frame: object) -> None:
            raise TimeoutError("method")

        def __call__(self, number: int, frame: object) -> None:
            del number, frame
            raise TimeoutError("object")

    def ring(number: int, frame: object) -> None:
        raise TimeoutError("function")

    def forgets(number: int, frame: object) -> None:
        del number, frame
        raise TimeoutError("forgets")

    from functools import partial

    handlers: dict[str, Any] = {
        "function": ring,
        "forgets its arguments": forgets,
        "method": Job().ring,
        "partial": partial(lambda word, *_: forgets(1, None), "more"),
        "object": Job(),
    }
    before = signal.signal(signal.SIGALRM, handlers[shape])
    try:
        with (
            Server(rings()) as server,
            Scout(KEY, base_url=server.url, timeout=5.0) as client,
            pytest.raises(TimeoutError) as caught,
        ):
            client.execute(WORKFLOW)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert type(caught.value) is TimeoutError
