"""Transports of the caller, and what the raw client does with the connections of a client."""

import asyncio
import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from scout_generated.api.workflows import execute_workflow_config as operation
from scout_generated.models import ExecuteWorkflowConfigRequest
from servers import (
    KEY,
    WORKFLOW,
    Caller,
    Server,
    answer,
    delayed,
    json_answer,
    run_answer,
    settled,
    silent,
)

from scout import APITimeoutError, AsyncScout, ConfigurationError, Scout
from scout.cassettes import record, replay

OK = json_answer(run_answer())
BODY = ExecuteWorkflowConfigRequest.from_dict({"workflow_config": WORKFLOW, "streaming": False})


# --- A unix socket ------------------------------------------------------------------------------------------------


@pytest.fixture
def unix_socket(tmp_path: Path) -> Iterator[str]:
    """A server behind a unix socket: it answers the first request, and stays silent after that."""
    if not hasattr(socket, "AF_UNIX"):
        pytest.skip("this system has no unix sockets")
    path = str(tmp_path / "api.sock")
    is_over = threading.Event()
    body = json.dumps(run_answer()).encode()

    def serve() -> None:
        with listener.accept()[0] as accepted:
            accepted.recv(65536)
            accepted.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            )
            accepted.sendall(body)
            is_over.wait(20)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        yield path
        is_over.set()
        thread.join()


def test_a_unix_socket(call: Caller, unix_socket: str) -> None:
    """And the deadline holds there."""
    kind = httpx.AsyncHTTPTransport if call.is_async else httpx.HTTPTransport

    def program(client_class: Any) -> Any:
        scout = client_class(KEY, base_url="http://localhost", transport=kind(uds=unix_socket), retries=0)
        assert (yield scout.execute(WORKFLOW, deadline=5.0)).output == "Hello"
        began = time.monotonic()
        with pytest.raises(APITimeoutError) as caught:
            yield scout.execute(WORKFLOW, deadline=0.3)
        assert time.monotonic() - began < 2.0
        assert caught.value.limit == "deadline"
        yield scout.close()

    call.drive(program)


# --- Transports that know no deadline -----------------------------------------------------------------------------


class Slow:
    """Answers late, whatever the limits are; tells whether its answer was closed."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.is_closed = False

    def response(self) -> httpx.Response:
        owner = self

        class Stream(httpx.SyncByteStream, httpx.AsyncByteStream):
            def __iter__(self) -> Iterator[bytes]:
                yield json.dumps(run_answer()).encode()

            async def __aiter__(self) -> Any:
                yield json.dumps(run_answer()).encode()

            def close(self) -> None:
                owner.is_closed = True

            async def aclose(self) -> None:
                owner.is_closed = True

        return httpx.Response(200, headers={"content-type": "application/json"}, stream=Stream())

    def handle_request(self, request: Any) -> httpx.Response:
        time.sleep(self.seconds)
        return self.response()

    async def handle_async_request(self, request: Any) -> httpx.Response:
        await asyncio.sleep(self.seconds)
        return self.response()

    def close(self) -> None: ...

    async def aclose(self) -> None: ...


def test_a_slow_transport_of_the_caller(call: Caller) -> None:
    assert call.run("http://localhost", client={"transport": Slow(0.05)}, deadline=5.0).output == "Hello"
    assert call.run("http://localhost", client={"transport": Slow(0.05)}).output == "Hello"
    error = call.error("http://localhost", client={"transport": Slow(0.5)}, deadline=0.1)
    assert isinstance(error, APITimeoutError)
    assert (error.limit, error.run_may_have_started) == ("deadline", True)


def test_an_answer_that_comes_too_late_is_closed() -> None:
    """In a loop around the moment at which the time is over: it is either used or closed."""
    for number in range(20):
        transport = Slow(0.02 + number % 5 * 0.001)
        with Scout(KEY, base_url="http://localhost", transport=transport) as scout:
            with contextlib.suppress(APITimeoutError):
                assert scout.execute(WORKFLOW, deadline=0.022).output == "Hello"
            assert settled(lambda: transport.is_closed, 2.0)  # noqa: B023


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer signals")
def test_an_answer_that_comes_after_a_signal_is_closed() -> None:
    class Interrupt(Exception):  # noqa: N818 - the exception of a signal handler of somebody else
        pass

    def handler(*_: object) -> None:
        raise Interrupt

    transport = Slow(0.3)
    before = signal.signal(signal.SIGALRM, handler)
    try:
        with Scout(KEY, base_url="http://localhost", transport=transport) as scout:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(Interrupt):
                scout.execute(WORKFLOW, deadline=5.0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert settled(lambda: transport.is_closed, 2.0)


def test_an_error_of_a_slow_transport_is_the_callers(call: Caller) -> None:
    class Broken(Slow):
        def response(self) -> httpx.Response:
            raise ZeroDivisionError("its own")

    outcome = call("http://localhost", client={"transport": Broken(0.01)}, deadline=5.0)
    assert isinstance(outcome.error, ZeroDivisionError)


# --- The raw client -----------------------------------------------------------------------------------------------


def ask(raw: Any) -> Any:
    return operation.sync_detailed(client=raw, body=BODY)


DERIVED: dict[str, Any] = {
    "raw": lambda raw: raw,
    "with_headers": lambda raw: raw.with_headers({"X-One": "1"}),
    "with_cookies": lambda raw: raw.with_cookies({"taste": "sweet"}),
    "with_timeout": lambda raw: raw.with_timeout(httpx.Timeout(5.0)),
    "all": lambda raw: (
        raw.with_timeout(httpx.Timeout(5.0)).with_cookies({"taste": "sweet"}).with_headers({"X-One": "1"})
    ),
}


@pytest.mark.parametrize("what", DERIVED)
def test_what_is_derived_from_raw_goes_the_same_way(what: str) -> None:
    """The same connection, key and user agent; twice each."""
    with Server(OK, keep_alive=True) as server, Scout(KEY, base_url=server.url, headers={"X-Mine": "m"}) as scout:
        assert scout.execute(WORKFLOW).output == "Hello"
        raw = DERIVED[what](scout.raw)
        for _ in range(2):
            assert ask(raw).status_code == 200
        assert scout.execute(WORKFLOW).output == "Hello"

    assert server.connections == 1
    for request in server.requests:
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["x-mine"] == "m"
        assert request.headers["user-agent"].startswith("scout-workflows/")
    for request in server.requests[1:3]:
        assert request.headers.get("x-one") == ("1" if what in ("with_headers", "all") else None)
        assert request.headers.get("cookie") == ("taste=sweet" if what in ("with_cookies", "all") else None)


async def test_what_is_derived_from_the_raw_of_an_async_client_goes_the_same_way() -> None:
    with Server(OK, keep_alive=True) as server:
        async with AsyncScout(KEY, base_url=server.url) as scout:
            await scout.execute(WORKFLOW)
            for derive in DERIVED.values():
                raw = derive(scout.raw)
                for _ in range(2):
                    assert (await operation.asyncio_detailed(client=raw, body=BODY)).status_code == 200

    assert server.connections == 1
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}


def test_leaving_the_block_of_raw_does_not_close_the_client() -> None:
    with Server(OK, keep_alive=True) as server, Scout(KEY, base_url=server.url) as scout:
        with scout.raw as raw:
            assert ask(raw).status_code == 200
        assert scout.execute(WORKFLOW).output == "Hello"
        with scout.raw as raw:
            assert ask(raw).status_code == 200

    assert server.connections == 1


async def test_leaving_the_async_block_of_raw_does_not_close_the_client() -> None:
    with Server(OK, keep_alive=True) as server:
        async with AsyncScout(KEY, base_url=server.url) as scout:
            async with scout.raw as raw:
                assert (await operation.asyncio_detailed(client=raw, body=BODY)).status_code == 200
            assert (await scout.execute(WORKFLOW)).output == "Hello"

    assert server.connections == 1


@pytest.mark.parametrize("what", DERIVED)
async def test_the_other_kind_of_function_is_refused(what: str) -> None:
    with Server(OK) as server:
        with Scout(KEY, base_url=server.url) as scout, pytest.raises(ConfigurationError, match="AsyncScout"):
            await operation.asyncio_detailed(client=DERIVED[what](scout.raw), body=BODY)
        async with AsyncScout(KEY, base_url=server.url) as other:
            with pytest.raises(ConfigurationError, match="AsyncScout"):
                ask(DERIVED[what](other.raw))

    assert server.connections == 0


@pytest.mark.parametrize("what", DERIVED)
def test_behind_a_replay_raw_sends_nothing(what: str, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with Server(OK) as server, Scout(KEY, base_url=server.url, transport=record(path)) as scout:
        assert ask(DERIVED[what](scout.raw)).status_code == 200
    with Server(OK) as server, Scout("another_key", base_url=server.url, transport=replay(path)) as scout:
        assert ask(DERIVED[what](scout.raw)).status_code == 200
        with pytest.raises(ConfigurationError):
            asyncio.run(operation.asyncio_detailed(client=DERIVED[what](scout.raw), body=BODY))

    assert server.connections == 0


def test_cookies_of_the_server_stay_with_the_raw_client_that_got_them() -> None:
    with (
        Server([answer(200, json.dumps(run_answer()), {"Set-Cookie": "seen=1"}), OK], keep_alive=True) as server,
        Scout(KEY, base_url=server.url) as scout,
    ):
        raw = scout.raw
        ask(raw)
        ask(raw)
        scout.execute(WORKFLOW)

    assert [request.headers.get("cookie") for request in server.requests] == [None, "seen=1", None]


def test_a_key_function_is_asked_for_each_raw_request() -> None:
    keys = iter(f"key_{number}" for number in range(100))
    with Server(OK, keep_alive=True) as server, Scout(lambda: next(keys), base_url=server.url) as scout:
        raw = scout.raw
        ask(raw)
        ask(raw.with_headers({"X-One": "1"}))
        scout.execute(WORKFLOW)

    used = [request.headers["authorization"] for request in server.requests]
    assert len(set(used)) == len(used) == 3
    assert used == sorted(used)


def test_raw_keeps_to_the_timeouts() -> None:
    with Server(silent()) as server, Scout(KEY, base_url=server.url, timeout=0.2) as scout:
        with pytest.raises(httpx.ReadTimeout):
            ask(scout.raw)
        with pytest.raises(httpx.ReadTimeout):
            ask(Scout(KEY, base_url=server.url).raw.with_timeout(httpx.Timeout(0.2)))


def test_raw_requests_wait_in_the_same_queue() -> None:
    with (
        Server(delayed(0.1, OK), keep_alive=True) as server,
        Scout(KEY, base_url=server.url, max_connections=1) as scout,
    ):
        threads = [threading.Thread(target=ask, args=(scout.raw,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert scout.execute(WORKFLOW).output == "Hello"
        for thread in threads:
            thread.join()

    assert server.hits == 4
    assert server.connections == 1


def test_raw_of_a_closed_client() -> None:
    with Server(OK) as server:
        scout = Scout(KEY, base_url=server.url)
        raw = scout.raw
        scout.close()
        with pytest.raises(ConfigurationError, match="closed"):
            ask(raw)

    assert server.connections == 0
