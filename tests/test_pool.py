"""Connections: which one a call takes, how long it waits for it, and that none is ever lost. Proxies are at the end."""

import asyncio
import contextlib
import gc
import inspect
import linecache
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from connections import (
    AtOnce,
    Handler,
    Relay,
    Start,
    Tls,
    Wait,
    basic,
    drive,
    hang_up,
    http_proxy,
    says,
    silent_link,
    socks_proxy,
    straight,
)
from servers import (
    KEY,
    WORKFLOW,
    Behaviour,
    Caller,
    Peer,
    Server,
    answer,
    close_unanswered,
    delayed,
    half_body,
    json_answer,
    refused_url,
    reset_after_request,
    route,
    run_answer,
    settled,
    silent,
)
from test_events import DONE, STARTED

from scout import APIConnectionError, APITimeoutError, AsyncScout, ConfigurationError, InternalServerError, Scout

OK = json_answer(run_answer())
BODY = b'{"run": {"stop_reason": "workflow_run_completed", "state": {}}}'


def gate(is_open: threading.Event) -> Behaviour:
    """Answer once a test allows it."""

    def behave(peer: Peer) -> None:
        peer.request()
        while not is_open.is_set():
            peer.wait(0.01)
        OK(peer)

    return behave


def name_of(request: Any) -> Any:
    return (request.json().get("inputs") or {}).get("name")


def by_name(behaviours: dict[str, Behaviour], other: Behaviour = OK) -> Behaviour:
    """Let the input `name` of a call choose the behaviour."""
    return route(lambda request: behaviours.get(name_of(request), other))


def names(server: Server) -> list[Any]:
    return [name_of(request) for request in server.requests]


class Meeting:
    """Answers only once so many calls are there at the same time."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.present = 0
        self.most = 0
        self._lock = threading.Lock()

    def __call__(self, peer: Peer) -> None:
        peer.request()
        with self._lock:
            self.present += 1
            self.most = max(self.most, self.present)
        settled(lambda: self.most >= self.number, 5.0)
        OK(peer)


def proof(scout: Any, number: int) -> AtOnce:
    """So many calls at once, none of which is answered before all are there."""
    return AtOnce(*[lambda: scout.execute(WORKFLOW, {"name": "proof"}, deadline=10.0)] * number)


# --- Which connection ---------------------------------------------------------------------------------------------


def test_the_newest_idle_connection_is_used(call: Caller) -> None:
    is_open = threading.Event()

    def program(client_class: Any) -> Any:
        scout = client_class(KEY, base_url=server.url)
        slow = yield Start(lambda: scout.execute(WORKFLOW, {"name": "slow"}))
        yield scout.execute(WORKFLOW, {"name": "quick"})
        is_open.set()
        yield Wait(slow)
        for _ in range(3):
            yield scout.execute(WORKFLOW, {"name": "last"})
        yield scout.close()

    with Server(by_name({"slow": gate(is_open)}), keep_alive=True) as server:
        drive(call, program)

    used = {name_of(request): request.connection for request in server.requests}
    assert used["slow"] != used["quick"]
    assert used["last"] == used["slow"]
    assert server.connections == 2


def test_an_old_idle_connection_is_closed_and_not_used(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scout._pool._IDLE_SECONDS", 0.1)

    def program(client_class: Any) -> Any:
        scout = client_class(KEY, base_url=server.url)
        yield scout.execute(WORKFLOW)
        yield 0.15
        yield scout.execute(WORKFLOW)
        server.wait_until(lambda: server.open_connections == 1)
        yield scout.close()

    with Server(OK, keep_alive=True) as server:
        drive(call, program)

    assert [request.connection for request in server.requests] == [1, 2]


def test_an_old_connection_to_another_server_is_closed(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scout._pool._IDLE_SECONDS", 0.1)

    def program(client_class: Any) -> Any:
        scout = client_class(KEY, base_url=first.url)
        yield scout.execute(WORKFLOW)
        yield 0.15
        yield scout.with_options(base_url=second.url).execute(WORKFLOW)
        first.wait_until(lambda: first.open_connections == 0)
        yield scout.close()

    with Server(OK, keep_alive=True) as first, Server(OK, keep_alive=True) as second:
        drive(call, program)


def test_a_connection_that_the_server_has_closed_is_not_used(call: Caller) -> None:
    """The server promises to keep it, and closes it: the next call must not be the one to find out."""

    def says_kept(peer: Peer) -> None:
        peer.keep_alive = True
        OK(peer)
        peer.keep_alive = False

    def program(client_class: Any) -> Any:
        scout = client_class(KEY, base_url=server.url, retries=0)
        for _ in range(5):
            yield scout.execute(WORKFLOW)
            server.wait_until(lambda: server.open_connections == 0)
        yield scout.close()

    with Server(says_kept) as server:
        drive(call, program)

    assert server.hits == 5


# --- How many -----------------------------------------------------------------------------------------------------


def test_never_more_connections_than_allowed(call: Caller) -> None:
    """Also over several servers, and idle ones included."""
    excess: list[int] = []

    def open_connections() -> int:
        return first.open_connections + second.open_connections

    def behave(peer: Peer) -> None:
        peer.request()
        # The server sees a little late that one was closed.
        if not settled(lambda: open_connections() <= 3, 1.0):
            excess.append(open_connections())
        OK(peer)

    def program(client_class: Any) -> Any:
        scout = client_class(KEY, base_url=first.url, max_connections=3)
        other = scout.with_options(base_url=second.url)
        calls = [lambda: scout.execute(WORKFLOW), lambda: other.execute(WORKFLOW)] * 12
        results = yield AtOnce(*calls)
        for _ in range(3):  # those to `first` are idle now, and have to make place
            results += yield AtOnce(*[lambda: other.execute(WORKFLOW)] * 3)
            results += yield AtOnce(*[lambda: scout.execute(WORKFLOW)] * 3)
        assert [result.output for result in results] == ["Hello"] * 42
        yield scout.close()

    with Server(behave, keep_alive=True) as first, Server(behave, keep_alive=True) as second:
        drive(call, program)

    assert excess == []


def test_who_comes_later_waits_in_order(call: Caller) -> None:
    is_open = threading.Event()
    order = list(range(8))

    def program(client_class: Any) -> Any:
        scout = client_class(KEY, base_url=server.url, max_connections=1)
        handles = [(yield Start(lambda: scout.execute(WORKFLOW, {"name": "slow"})))]
        for number in order:
            handles.append((yield Start(lambda number=number: scout.execute(WORKFLOW, {"name": number}))))
        is_open.set()
        results = yield Wait(*handles)
        assert [result.output for result in results] == ["Hello"] * 9
        yield scout.close()

    with Server(by_name({"slow": gate(is_open)}), keep_alive=True) as server:
        drive(call, program)

    assert names(server) == ["slow", *order]
    assert server.connections == 1


def test_waiting_does_not_count_against_the_connect_timeout(call: Caller) -> None:
    is_open = threading.Event()

    def program(client_class: Any) -> Any:
        scout = client_class(KEY, base_url=server.url, max_connections=1, connect_timeout=0.1, retries=0)
        slow = yield Start(lambda: scout.execute(WORKFLOW, {"name": "slow"}))
        waiting = yield Start(lambda: scout.execute(WORKFLOW, deadline=10.0))
        yield 0.4
        is_open.set()
        results = yield Wait(slow, waiting)
        assert [result.output for result in results] == ["Hello", "Hello"]
        yield scout.close()

    # Not kept, so that the second call makes a connection of its own after its wait.
    with Server(by_name({"slow": gate(is_open)})) as server:
        drive(call, program)

    assert server.connections == 2


def test_a_deadline_that_passes_in_the_queue(call: Caller) -> None:
    """Nothing was sent, and the place in the queue is given up."""
    is_open = threading.Event()

    def program(client_class: Any) -> Any:
        scout = client_class(KEY, base_url=server.url, max_connections=3)
        slow = []
        for _ in range(3):
            slow.append((yield Start(lambda: scout.execute(WORKFLOW, {"name": "slow"}))))
        late = yield AtOnce(*[lambda: scout.execute(WORKFLOW, {"name": "late"}, deadline=0.1)] * 5)
        for error in late:
            assert isinstance(error, APITimeoutError), repr(error)
            assert (error.limit, error.seconds, error.run_may_have_started) == ("deadline", 0.1, False)
            assert [each.run_may_have_started for each in error.attempts] == [False]
        is_open.set()
        assert [result.output for result in (yield Wait(*slow))] == ["Hello"] * 3
        assert [result.output for result in (yield proof(scout, 3))] == ["Hello"] * 3
        yield scout.close()

    meeting = Meeting(3)
    with Server(by_name({"slow": gate(is_open), "proof": meeting}), keep_alive=True) as server:
        drive(call, program)

    assert meeting.most == 3
    assert "late" not in names(server)


async def test_cancelled_waiters_lose_no_turn() -> None:
    """Also those that are cancelled in the moment in which they are given the turn."""
    meeting = Meeting(2)
    with Server(by_name({"proof": meeting}, delayed(0.005, OK)), keep_alive=True) as server:
        async with AsyncScout(KEY, base_url=server.url, max_connections=2) as scout:
            for number in range(60):
                tasks = [asyncio.create_task(scout.execute(WORKFLOW)) for _ in range(5)]
                # One of those that have begun ends, and the first that waits is given the turn and cancelled.
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks[number % 3 :]:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            async with asyncio.timeout(10):
                runs = await asyncio.gather(*(scout.execute(WORKFLOW, {"name": "proof"}) for _ in range(2)))

    assert [run.output for run in runs] == ["Hello", "Hello"]
    assert meeting.most == 2


async def test_a_turn_of_a_cancelled_waiter_is_passed_on() -> None:
    is_open = threading.Event()
    with Server(by_name({"slow": gate(is_open)}), keep_alive=True) as server:
        async with AsyncScout(KEY, base_url=server.url, max_connections=1) as scout:
            slow = asyncio.create_task(scout.execute(WORKFLOW, {"name": "slow"}))
            await asyncio.sleep(0.02)
            waiting = [asyncio.create_task(scout.execute(WORKFLOW, {"name": number})) for number in range(3)]
            await asyncio.sleep(0.02)
            slow.add_done_callback(lambda _: waiting[0].cancel())  # after it was given the turn, before it runs
            is_open.set()
            results = await asyncio.gather(slow, *waiting, return_exceptions=True)

    assert isinstance(results[1], asyncio.CancelledError)
    assert [result.output for result in (results[0], *results[2:])] == ["Hello"] * 3  # type: ignore[union-attr]
    assert names(server) in (["slow", 1, 2], ["slow", 0, 1, 2])


class Interrupt(Exception):  # noqa: N818 - the exception of a signal handler of somebody else
    pass


@contextlib.contextmanager
def alarms() -> Iterator[Callable[[float], None]]:
    """Let a signal handler raise `Interrupt` in the main thread after so many seconds."""

    def handler(*_: object) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGALRM, handler)
    try:
        yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds) and None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


needs_alarms = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer signals")


@needs_alarms
def test_a_signal_in_a_waiting_thread_loses_no_turn() -> None:
    is_open = threading.Event()
    meeting = Meeting(2)
    with (
        Server(by_name({"slow": gate(is_open), "proof": meeting}), keep_alive=True) as server,
        Scout(KEY, base_url=server.url, max_connections=2) as scout,
    ):
        slow = [threading.Thread(target=scout.execute, args=(WORKFLOW, {"name": "slow"})) for _ in range(2)]
        for thread in slow:
            thread.start()
        server.wait_for_hits(2)
        for _ in range(3):
            with alarms() as after:
                after(0.05)
                with pytest.raises(Interrupt):
                    scout.execute(WORKFLOW, {"name": "interrupted"})
        is_open.set()
        for thread in slow:
            thread.join()
        results = drive(Caller("sync"), lambda _: (yield proof(scout, 2)))

    assert [result.output for result in results] == ["Hello", "Hello"]
    assert "interrupted" not in names(server)


@needs_alarms
# A signal may come between the making of a socket and its naming, in the standard library's own code.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_signals_at_any_moment_lose_no_turn_that_waits() -> None:
    """The main thread waits for its turn again and again, and is interrupted around the moment when it comes."""
    meeting = Meeting(1)
    with (
        Server(by_name({"proof": meeting}, delayed(0.004, OK)), keep_alive=True) as server,
        Scout(KEY, base_url=server.url, max_connections=1) as scout,
    ):
        scout.execute(WORKFLOW)  # CPython 3.11 leaves a module locked whose import a signal interrupts
        for number in range(80):
            other = threading.Thread(target=scout.execute, args=(WORKFLOW,))
            other.start()
            with alarms() as after, contextlib.suppress(Interrupt):
                after(0.002 + number % 20 * 0.0004)
                scout.execute(WORKFLOW)
            other.join(10)
            assert not other.is_alive()
        assert scout.execute(WORKFLOW, {"name": "proof"}, deadline=5.0).output == "Hello"


@contextlib.contextmanager
def interrupted_at(step: int) -> Iterator[list[str]]:
    """Raise `Interrupt` at one step of the pool or its driver; the value is where, once it was."""
    places: list[str] = []
    left = step

    def trace(frame: Any, event: str, _: object) -> Any:
        nonlocal left
        code = frame.f_code
        if not code.co_filename.endswith(("/scout/_pool.py", "/scout/_http.py")):
            return None
        # Python handles no signal between the end of a `with` block and its exit. What a trace function raises as a
        # coroutine goes on would pass by its handlers, which a signal's exception does not.
        goes_on = event == "call" and code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR)
        if goes_on or event == "return" or "with " in linecache.getline(code.co_filename, frame.f_lineno):
            return trace
        left -= 1
        if left >= 0:
            return trace
        sys.settrace(None)
        places.append(f"{code.co_qualname}:{frame.f_lineno} ({event})")
        raise Interrupt

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield places
    finally:
        sys.settrace(before)


class Both:
    """Two calls and a server that answers the one, `main`, once the other waits for its turn, or does nothing more."""

    def __init__(self) -> None:
        self.part: Any = None  # of the pool
        self.has_begun = threading.Event()
        self.other_is_done = False

    def again(self) -> None:
        self.has_begun.clear()
        self.other_is_done = False

    def server(self) -> Server:
        return Server(by_name({"main": self._answer}), keep_alive=True)

    def _answer(self, peer: Peer) -> None:
        peer.request()
        self.has_begun.set()
        settled(lambda: self.part._state._waiting or self.other_is_done, 5.0)
        OK(peer)


def test_a_signal_at_any_step_of_a_thread_loses_no_turn() -> None:
    """A call is interrupted at each of its steps once, while another one waits for its turn in another thread."""
    both, step, places = Both(), 0, ["before"]
    with both.server() as server, Scout(KEY, base_url=server.url, max_connections=1) as scout:

        def wait_and_call(outcome: list[Any]) -> None:
            both.has_begun.wait(5.0)
            outcome.append(scout.execute(WORKFLOW, deadline=10.0).output)

        scout.execute(WORKFLOW)
        both.part = next(iter(scout._http._transport._parts.values()))
        while places:
            both.again()
            outcome: list[Any] = []
            other = threading.Thread(target=wait_and_call, args=(outcome,))
            other.start()
            with interrupted_at(step) as places, contextlib.suppress(Interrupt):
                scout.execute(WORKFLOW, {"name": "main"})
            both.has_begun.set()
            other.join(15)
            assert outcome == ["Hello"], places
            step += 1

    assert step > 100


async def test_a_signal_at_any_step_of_a_task_loses_no_turn() -> None:
    """As above, for tasks, of which the one or the other is interrupted."""
    both, step, places = Both(), 0, ["before"]
    with both.server() as server:
        async with AsyncScout(KEY, base_url=server.url, max_connections=1) as scout:

            async def output(inputs: dict[str, Any] | None = None) -> Any:
                with contextlib.suppress(Interrupt):  # whose frames are gone then
                    return (await scout.execute(WORKFLOW, inputs, deadline=10.0)).output

            async def wait_and_call() -> Any:
                while not both.has_begun.is_set() and not main.done():  # noqa: ASYNC110 - a thread sets it
                    await asyncio.sleep(0.0005)
                try:
                    return await output()
                finally:
                    both.other_is_done = True

            await scout.execute(WORKFLOW)
            both.part = next(iter(scout._http._transport._parts.values()))
            while places:
                both.again()
                with interrupted_at(step) as places:
                    main = asyncio.create_task(output({"name": "main"}))
                    results = await asyncio.gather(main, wait_and_call())
                assert results.count("Hello") == 2 - len(places), places
                step += 1
            assert await output() == "Hello"

    assert step > 100


def test_a_forgotten_response_of_the_raw_client_ends_its_turn() -> None:
    with (
        Server([half_body(BODY), OK], keep_alive=True) as server,
        Scout(KEY, base_url=server.url, max_connections=1) as scout,
    ):
        client = scout.raw.get_httpx_client()
        forgotten = client.send(client.build_request("GET", "/v2/workflows"), stream=True)
        assert forgotten.status_code == 200
        del forgotten
        gc.collect()
        assert scout.execute(WORKFLOW, deadline=5.0).output == "Hello"


async def test_a_forgotten_response_of_the_raw_async_client_ends_its_turn() -> None:
    with Server([half_body(BODY), OK], keep_alive=True) as server:
        async with AsyncScout(KEY, base_url=server.url, max_connections=1) as scout:
            client = scout.raw.get_async_httpx_client()
            forgotten = await client.send(client.build_request("GET", "/v2/workflows"), stream=True)
            assert forgotten.status_code == 200
            del forgotten
            gc.collect()
            assert (await scout.execute(WORKFLOW, deadline=5.0)).output == "Hello"


# --- Closing ------------------------------------------------------------------------------------------------------


def test_closing_while_calls_wait_and_run(call: Caller) -> None:
    def program(client_class: Any) -> Any:
        scout = client_class(KEY, base_url=server.url, max_connections=1)
        running = yield Start(lambda: scout.execute(WORKFLOW))
        waiting = []
        for _ in range(3):
            waiting.append((yield Start(lambda: scout.execute(WORKFLOW))))
        server.wait_for_hits(1)
        yield scout.close()
        return (yield Wait(running, *waiting))

    with Server(silent()) as server:
        error, *refusals = drive(call, program)

    assert isinstance(error, APIConnectionError), repr(error)
    assert error.run_may_have_started is True
    for refusal in refusals:
        assert isinstance(refusal, ConfigurationError), repr(refusal)
        assert "closed" in str(refusal)
    assert server.hits == 1


def test_closing_while_a_connection_is_made(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that stands after the client was closed is closed, and nothing is sent over it."""
    is_asked, may_answer = threading.Event(), threading.Event()
    known = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        if host in ("slow.localhost", b"slow.localhost"):
            is_asked.set()
            assert may_answer.wait(10)
            host = "127.0.0.1"
        return known(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    def program(client_class: Any) -> Any:
        scout = client_class(KEY, base_url=f"http://slow.localhost:{server.port}", retries=0)
        running = yield Start(lambda: scout.execute(WORKFLOW))
        assert is_asked.wait(10)
        yield scout.close()
        may_answer.set()
        return (yield Wait(running))

    with Server(OK, keep_alive=True) as server:
        (error,) = drive(call, program)
        server.wait_until(lambda: server.open_connections == 0)

    assert isinstance(error, APIConnectionError | ConfigurationError), repr(error)
    assert error.run_may_have_started is False
    assert server.requests == []


def test_closing_while_an_answer_is_read_leaves_no_connection() -> None:
    """The connection of a call that ends after `close` is not kept."""
    with Server(OK, keep_alive=True) as server:
        for _ in range(20):
            scout = Scout(KEY, base_url=server.url, retries=0)
            threads = [threading.Thread(target=scout.execute, args=(WORKFLOW,)) for _ in range(3)]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(threading, "excepthook", lambda _: None)  # most calls are cut off
                for thread in threads:
                    thread.start()
                scout.close()
                for thread in threads:
                    thread.join(10)
            server.wait_until(lambda: server.open_connections == 0)


# --- Turns are never lost -----------------------------------------------------------------------------------------

FAULTS: dict[str, Behaviour] = {
    "status": json_answer({"detail": "no"}, 500),
    "unanswered": close_unanswered,
    "reset": reset_after_request,
    "half": half_body(BODY),
    "not json": answer(200, b"Hello"),
    "fine": OK,
}


def test_failures_never_lose_a_turn(call: Caller) -> None:
    kinds = list(FAULTS)
    meeting = Meeting(4)

    def program(client_class: Any) -> Any:
        scout = client_class(KEY, base_url=server.url, max_connections=4, retries=0)
        results = []
        for _ in range(5):
            calls = [lambda kind=kind: scout.execute(WORKFLOW, {"name": kind}) for kind in kinds * 4]
            results += yield AtOnce(*calls)
        assert sum(isinstance(each, InternalServerError) for each in results) == 20
        assert sum(isinstance(each, Exception) for each in results) == 100
        assert [result.output for result in (yield proof(scout, 4))] == ["Hello"] * 4
        yield scout.close()

    with Server(by_name({**FAULTS, "proof": meeting}), keep_alive=True) as server:
        drive(call, program)

    assert meeting.most == 4


def begins(peer: Peer) -> None:
    """Begin a stream and stay silent."""
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + STARTED)
    peer.wait(20)


def test_forgotten_streams_never_lose_a_turn() -> None:
    meeting = Meeting(2)
    with (
        Server(by_name({"stream": begins, "proof": meeting})) as server,
        Scout(KEY, base_url=server.url, max_connections=2) as scout,
    ):
        for _ in range(60):
            stream = scout.stream(WORKFLOW, {"name": "stream"}, deadline=10.0)
            next(iter(stream))
            del stream
        results = drive(Caller("sync"), lambda _: (yield proof(scout, 2)))

    assert [result.output for result in results] == ["Hello", "Hello"]


async def test_forgotten_async_streams_never_lose_a_turn() -> None:
    meeting = Meeting(2)
    with Server(by_name({"stream": begins, "proof": meeting})) as server:
        async with AsyncScout(KEY, base_url=server.url, max_connections=2) as scout:
            for _ in range(60):
                stream = await scout.stream(WORKFLOW, {"name": "stream"}, deadline=10.0)
                await anext(aiter(stream))
                del stream
            runs = await asyncio.gather(*(scout.execute(WORKFLOW, {"name": "proof"}, deadline=10.0) for _ in "ab"))

    assert [run.output for run in runs] == ["Hello", "Hello"]


async def test_cancelled_calls_never_lose_a_turn() -> None:
    """Cancelled while connecting, while waiting for the answer, in the middle of the body."""
    meeting = Meeting(3)
    slow = by_name({"proof": meeting}, delayed(0.002, half_open()))
    with Server(slow, keep_alive=True) as server:
        async with AsyncScout(KEY, base_url=server.url, max_connections=3) as scout:
            for number in range(100):
                tasks = [asyncio.create_task(scout.execute(WORKFLOW)) for _ in range(3)]
                await asyncio.sleep(number % 10 * 0.0006)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            async with asyncio.timeout(10):
                runs = await asyncio.gather(*(scout.execute(WORKFLOW, {"name": "proof"}) for _ in range(3)))

    assert [run.output for run in runs] == ["Hello"] * 3


def half_open() -> Behaviour:
    """Send half of the body, and stay silent."""
    return silent(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"run"')


# --- Many ---------------------------------------------------------------------------------------------------------


async def test_two_thousand_calls_at_once() -> None:
    with Server(OK, keep_alive=True) as server:
        async with AsyncScout(KEY, base_url=server.url, max_connections=50) as scout:
            runs = await asyncio.gather(*(scout.execute(WORKFLOW) for _ in range(2000)))

    assert [run.output for run in runs] == ["Hello"] * 2000
    # Each was used again and again: nobody closes one for which somebody waits.
    assert server.connections == 50


def test_uvloop() -> None:
    """Another event loop than that of asyncio."""
    uvloop = pytest.importorskip("uvloop")

    async def program() -> None:
        with Server(by_name({"stream": begins, "half": half_body(BODY)}), keep_alive=True) as server:
            async with AsyncScout(KEY, base_url=server.url, max_connections=3, retries=0) as scout:
                runs = await asyncio.gather(*(scout.execute(WORKFLOW) for _ in range(20)))
                assert [run.output for run in runs] == ["Hello"] * 20
                assert (await scout.execute(WORKFLOW)).output == "Hello"
                with pytest.raises(APIConnectionError):
                    await scout.execute(WORKFLOW, {"name": "half"})
                async with await scout.stream(WORKFLOW, {"name": "stream"}) as stream:
                    assert (await anext(aiter(stream))).name == "workflow_run_started"
        with refused_url() as url:
            async with AsyncScout(KEY, base_url=url, retries=0) as scout:
                with pytest.raises(APIConnectionError):
                    await scout.execute(WORKFLOW)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(program())


# --- Processes ----------------------------------------------------------------------------------------------------


def run_program(source: str, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(source), url],
        env=os.environ | {"SCOUT_API_KEY": KEY},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


FORK_WHILE_IN_USE = """
    import os, sys, threading
    from scout import Scout

    scout = Scout(base_url=sys.argv[1], max_connections=3)

    def ask(name, times=1):
        for _ in range(times):
            assert scout.execute({"blocks": []}, {"name": name}).output == "Hello"

    ask("before")
    stream = scout.stream({"blocks": []}, {"name": "stream"})
    events = iter(stream)
    next(events)
    ask("before")
    child = os.fork()
    if not child:
        code = 1
        try:
            ask("child", 2)
            events.close()
            stream.close()  # its connection is the parent's
            del events, stream
            scout.close()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    ask("parent")
    assert len(list(events)) == 1 and stream.run.ok
    ask("parent")
    scout.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_connections_of_the_parent_stay_with_the_parent() -> None:
    """Idle or in use: a child that uses and closes the client and an open stream takes nothing away."""

    def streams(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        peer.send(b"%x\r\n%s\r\n" % (len(STARTED), STARTED))
        peer.server.wait_until(lambda: "parent" in names(peer.server))
        peer.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(DONE), DONE))

    with Server(by_name({"stream": streams}), keep_alive=True) as server:
        done = run_program(FORK_WHILE_IN_USE, server.url)

    assert (done.returncode, done.stderr) == (0, "")
    used: dict[str, set[int]] = {}
    for request, name in zip(server.requests, names(server), strict=True):
        used.setdefault(name, set()).add(request.connection)
    assert used["before"] == used["parent"]
    assert not used["child"] & (used["before"] | used["stream"])


FORK_WHILE_LOCKED = """
    import os, sys, threading
    from scout import Scout

    scout = Scout(base_url=sys.argv[1], max_connections=2)
    scout.execute({"blocks": []})  # imports what it needs, for which Python holds locks of its own
    is_over = threading.Event()

    def ask():
        while not is_over.is_set():
            scout.execute({"blocks": []})

    threads = [threading.Thread(target=ask) for _ in range(6)]
    sys.setswitchinterval(1e-5)  # so that a thread is often stopped while it holds a lock
    for thread in threads:
        thread.start()
    codes = []
    for _ in range(15):
        child = os.fork()
        if not child:
            code = 1
            try:
                code = 0 if scout.execute({"blocks": []}, deadline=20.0).ok else 1
            finally:
                os._exit(code)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    is_over.set()
    for thread in threads:
        thread.join()
    scout.close()
    assert codes == [0] * 15, codes
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_fork_while_another_thread_holds_a_lock() -> None:
    with Server(OK, keep_alive=True) as server:
        done = run_program(FORK_WHILE_LOCKED, server.url)

    assert (done.returncode, done.stderr) == (0, "")


# --- Proxies of the environment -----------------------------------------------------------------------------------

HOST = "api.scout.test"


@pytest.fixture(autouse=True)
def no_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only names of this machine are known: nothing leaves it, and a proxy has to find the name of the API."""
    known = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name.endswith(".test"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.fixture
def tls_server(tls: Tls) -> Iterator[tuple[Server, Relay]]:
    """The API behind TLS."""
    with Server(OK, keep_alive=True) as server, Relay(straight, server.port, tls=tls.server(HOST)) as origin:
        yield server, origin


def test_a_plain_request_goes_through_a_proxy(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(OK, keep_alive=True) as server, Relay(http_proxy, server.port) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://us%40er:pass%3Aword@127.0.0.1:{proxy.port}")
        assert call.run(f"http://{HOST}", client={"allow_http": True}).output == "Hello"

    (head,) = proxy.heads
    assert head.startswith(f"POST http://{HOST}/v2/workflows/execute?")
    assert basic("us@er", "pass:word") in head
    assert server.requests[0].headers["host"] == HOST


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_tunnel_through_a_proxy(
    call: Caller, scheme: str, tls: Tls, tls_server: tuple[Server, Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream and two calls, over one connection; the proxy sees neither the key nor the request."""

    def program(client_class: Any) -> Any:
        scout = client_class(KEY, base_url=f"https://{HOST}")
        for _ in range(3):
            assert (yield scout.execute(WORKFLOW, deadline=10.0)).output == "Hello"
        yield scout.close()

    server, origin = tls_server
    secure = tls.server("127.0.0.1") if scheme == "https" else None
    with Relay(http_proxy, origin.port, tls=secure) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://user:password@127.0.0.1:{proxy.port}")
        drive(call, program)

    (head,) = proxy.heads
    assert head.startswith(f"CONNECT {HOST}:443 HTTP/1.1\r\n")
    assert basic("user", "password") in head
    assert KEY not in head
    assert "roxy" not in str(server.requests[0].headers)
    assert server.connections == 1
    assert server.hits == 3


def test_a_plain_request_goes_through_a_proxy_with_tls(call: Caller, tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(OK) as server, Relay(http_proxy, server.port, tls=tls.server("127.0.0.1")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"https://127.0.0.1:{proxy.port}")
        assert call.run(f"http://{HOST}", client={"allow_http": True}).output == "Hello"

    assert len(proxy.heads) == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("user", ["", "user"])
@pytest.mark.parametrize("name", ["socks5", "socks5h"])
def test_a_socks_proxy(
    call: Caller,
    scheme: str,
    user: str,
    name: str,
    tls_server: tuple[Server, Relay],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, origin = tls_server
    target = origin.port if scheme == "https" else server.port
    with Relay(socks_proxy(user, "password" if user else ""), target) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"{name}://{'user:password@' if user else ''}127.0.0.1:{proxy.port}")
        assert call.run(f"{scheme}://{HOST}", client={"allow_http": True}).output == "Hello"

    assert proxy.heads == [f"{HOST}:{443 if scheme == 'https' else 80}"]
    assert server.hits == 1


def test_socks_needs_its_package(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scout._pool.find_spec", lambda name: None)
    monkeypatch.setenv("ALL_PROXY", "socks5://user:secret-word@127.0.0.1:9")
    error = call.error(f"https://{HOST}")

    assert isinstance(error, ConfigurationError)
    assert "pip install socksio" in str(error)
    assert "secret-word" not in str(error)


@pytest.mark.parametrize("hosts", [HOST, ".scout.test", "*"])
def test_no_proxy(call: Caller, hosts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Relay(hang_up) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", hosts)
        error = call.error(f"https://{HOST}", retries=0)

    assert "not known" in str(error)
    assert proxy.connections == 0


# NO_PROXY, the address of the API, whether the proxy is left out.
RANGES = [
    ("10.0.0.0/8", "10.1.2.3", True),
    ("10.0.0.0/8", "11.1.2.3", False),
    ("localhost, 192.168.0.0/16,10.0.0.0/8", "192.168.7.7:8080", True),
    ("10.0.0.0/255.0.0.0", "10.1.2.3", True),
    ("10.1.2.3", "10.1.2.3", True),
    ("10.1.2.3:8080", "10.1.2.3:8080", True),
    ("10.1.2.3:8080", "10.1.2.3:9090", False),
    ("10.0.0.0/8:8080", "10.1.2.3:8080", True),
    ("fd00::/8", "[fd12::1]", True),
    ("fd00::/8", "[fe80::1]", False),
    ("[fd12:0:0::1]", "[fd12::1]:8080", True),
    ("[fd12::1]:8080", "[fd12::1]:9090", False),
    ("::/0", "10.1.2.3", False),
    ("10.0.0.0/8", HOST, False),
    ("10.0.0.0/99,[,],[]:1,:::,/8,10.1.0.0/16", "10.1.2.3", True),
]


@pytest.mark.parametrize(("hosts", "host", "is_left_out"), RANGES)
def test_no_proxy_may_name_ranges_of_addresses(
    call: Caller, hosts: str, host: str, is_left_out: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a name as well as for an address, nothing is looked up."""

    def connect(self: Any, address: Any) -> None:
        raise ConnectionRefusedError(111, "Connection refused")  # instead of leaving this machine

    real = socket.socket.connect
    monkeypatch.setattr(
        socket.socket,
        "connect",
        lambda sock, address: real(sock, address) if address[0] == "127.0.0.1" else connect(sock, address),
    )
    with Server(OK) as server, Relay(http_proxy, server.port) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", hosts)
        outcome = call(f"http://{host}", client={"allow_http": True}, retries=0)

    assert proxy.connections == (not is_left_out)
    assert (outcome.error is None) is not is_left_out


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_never_a_proxy_for_this_machine(call: Caller, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(OK) as server, Relay(hang_up) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert call.run(f"http://{host}:{server.port}").output == "Hello"

    assert proxy.connections == 0


PROXY_FAULTS: dict[str, tuple[str, Handler, str]] = {
    "407": ("http", says(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"), "407"),
    "502": ("http", says(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"), "502"),
    "hangs up": ("http", hang_up, "no connection"),
    "garbage": ("http", says(b"\x15\x03\x01\x00\x02\x02\x28"), "no connection"),
    "no tls": ("http", says(b"HTTP/1.1 200 OK\r\n\r\n"), "no connection"),
    "silent": ("http", silent_link, "0.3 s (connect_timeout)"),
    "socks refuses": ("socks5", says(b"\x05\xff"), "no connection"),
    "socks hangs up": ("socks5", hang_up, "no connection"),
    "socks garbage": ("socks5", says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "no connection"),
    "socks short": ("socks5", says(b"\x05"), "no connection"),
    "socks silent": ("socks5", silent_link, "0.3 s (connect_timeout)"),
    "socks wrong password": ("socks5", socks_proxy("user", "another"), "no connection"),
}


# A plain request is sent to an HTTP proxy itself.
NO_TUNNELS = [(what, "https") for what in PROXY_FAULTS] + [(what, "http") for what in PROXY_FAULTS if "socks" in what]


@pytest.mark.parametrize(("what", "scheme"), NO_TUNNELS)
def test_a_proxy_that_opens_no_tunnel(
    call: Caller, what: str, scheme: str, tls: Tls, monkeypatch: pytest.MonkeyPatch, no_waiting: None
) -> None:
    """Nothing was sent, so it is repeated."""
    kind, handler, words = PROXY_FAULTS[what]
    with Relay(handler) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"{kind}://user:secret-word@127.0.0.1:{proxy.port}")
        client = {"allow_http": True, "connect_timeout": 0.3}
        outcome = call(f"{scheme}://{HOST}", client=client, retries=1)

    error = outcome.error
    assert isinstance(error, APIConnectionError), repr(error)
    assert error.run_may_have_started is False
    assert words in str(error)
    assert len(error.attempts) == 2
    assert proxy.connections == 2
    assert outcome.seconds < 3.0
    while error is not None:
        assert "secret-word" not in f"{error} {error!r} {vars(error)}"
        assert type(error).__module__.split(".")[0] in ("scout", "builtins", "ssl", "socket"), repr(error)
        error = error.__cause__ or error.__context__


# --- Found by reviewers -----------------------------------------------------------------------------------


def test_no_proxy_may_name_a_port(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(json_answer(run_answer())) as server:
        address = f"scout.internal:{server.port}"
        known = socket.getaddrinfo
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda host, *rest, **named: known("127.0.0.1" if "internal" in str(host) else host, *rest, **named),
        )
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("NO_PROXY", address)
        assert call(f"http://{address}", client={"allow_http": True}).error is None


def test_the_password_of_a_bad_proxy_is_in_no_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://user:planted_password@proxy.example:1")
    with Scout(KEY, base_url="https://scout.invalid") as client, pytest.raises(ConfigurationError) as caught:
        client.execute(WORKFLOW)
    assert "planted" not in str(caught.value)
    traceback = caught.value.__traceback__
    while traceback is not None:
        if "scout" in traceback.tb_frame.f_code.co_filename and "tests" not in traceback.tb_frame.f_code.co_filename:
            assert "planted" not in repr(traceback.tb_frame.f_locals)
        traceback = traceback.tb_next
