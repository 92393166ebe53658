"""Sockets: the addresses of a name, TLS, and limits while a connection is made and used."""

import contextlib
import errno
import json
import os
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from connections import Relay, Tls, drive, hang_up, http_proxy, silent_link, straight
from servers import (
    KEY,
    WORKFLOW,
    Caller,
    Peer,
    Server,
    at_accept,
    chunked,
    delayed,
    full_backlog_url,
    json_answer,
    not_tls,
    refused_url,
    run_answer,
    silent,
)
from test_events import DONE, STARTED

from scout import APIConnectionError, APITimeoutError, ConfigurationError, Scout

OK = json_answer(run_answer())
SLACK = 0.25


# --- Addresses ----------------------------------------------------------------------------------------------------


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Names and their addresses, as the name server of the test knows them."""
    known: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in known:
            return real(host, *args, **options)
        return [each for address in known[name] for each in real(address, *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


@contextlib.contextmanager
def dead_address(address: str, port: int) -> Iterator[None]:
    """An address on which connecting to a port never ends."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((address, port))
        yield


# Linux answers on all of 127.0.0.0/8; nobody listens on 127.0.0.3 and 127.0.0.4, and nobody answers on 127.0.0.2.
ADDRESSES = {
    "dead first": ["127.0.0.2", "127.0.0.1"],
    "refused first": ["127.0.0.3", "127.0.0.1"],
    "both first": ["127.0.0.2", "127.0.0.3", "127.0.0.1"],
    "refused, dead": ["127.0.0.3", "127.0.0.2", "127.0.0.1"],
    "good first": ["127.0.0.1", "127.0.0.2"],
    "named twice": ["127.0.0.3", "127.0.0.3", "127.0.0.1"],
    "IPv6 refused": ["::1", "127.0.0.1"],
}


@pytest.mark.parametrize("what", ADDRESSES)
def test_the_first_address_that_answers(call: Caller, what: str, names: dict[str, list[str]]) -> None:
    with Server(OK) as server, dead_address("127.0.0.2", server.port):
        names["many.localhost"] = ADDRESSES[what]
        outcome = call(f"http://many.localhost:{server.port}", retries=0, client={"connect_timeout": 3.0})

    assert outcome.error is None, outcome.error
    assert outcome.seconds < 2.0
    assert server.connections == 1


def test_all_addresses_refuse(call: Caller, names: dict[str, list[str]]) -> None:
    with refused_url() as url:
        names["many.localhost"] = ["127.0.0.3", "127.0.0.1", "127.0.0.4"]
        error = call.error(url.replace("127.0.0.1", "many.localhost"), retries=0)

    assert isinstance(error, APIConnectionError)
    assert error.run_may_have_started is False
    assert isinstance(error.__cause__, ConnectionRefusedError)
    assert "connection refused" in str(error)


@pytest.mark.timing
@pytest.mark.parametrize("addresses", [["127.0.0.2", "127.0.0.1"], ["127.0.0.3", "127.0.0.2", "127.0.0.1"]], ids=len)
@pytest.mark.parametrize("limit", ["connect", "deadline"])
def test_no_address_answers_in_time(
    call: Caller, addresses: list[str], limit: str, names: dict[str, list[str]]
) -> None:
    with full_backlog_url() as url, dead_address("127.0.0.2", int(url.rpartition(":")[2])):
        names["many.localhost"] = addresses
        client = {"connect_timeout": 0.7 if limit == "connect" else 30.0}
        outcome = call(
            url.replace("127.0.0.1", "many.localhost"),
            client=client,
            retries=0,
            deadline=0.7 if limit == "deadline" else None,
        )

    assert isinstance(outcome.error, APITimeoutError), repr(outcome.error)
    assert (outcome.error.limit, outcome.error.run_may_have_started) == (limit, False)
    assert 0.65 <= outcome.seconds <= 0.7 + SLACK


def test_the_operating_system_gives_up(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a limit of ours, the system's own (ETIMEDOUT, after some two minutes) ends the attempt."""
    times = 0

    def give_up(*_: Any, **__: Any) -> Any:
        nonlocal times
        times += 1
        if times > 5:
            pytest.fail("it never ends")
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    monkeypatch.setattr(socket, "create_connection", give_up)
    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.create_connection", give_up)
    error = call.error("http://127.0.0.1:9", client={"connect_timeout": None}, retries=0)

    assert type(error) is APIConnectionError, repr(error)
    assert error.run_may_have_started is False
    assert times == 1


needs_ipv6 = pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")


@needs_ipv6
def test_ipv6(call: Caller) -> None:
    def program(client_class: Any) -> Any:
        scout = client_class(KEY, base_url=f"http://[::1]:{relay.port}")
        for _ in range(2):
            assert (yield scout.execute(WORKFLOW, deadline=5.0)).output == "Hello"
        yield scout.close()

    with Server(OK, keep_alive=True) as server, Relay(straight, server.port, host="::1") as relay:
        drive(call, program)

    assert server.requests[0].headers["host"] == f"[::1]:{relay.port}"
    assert relay.connections == 1


@needs_ipv6
@pytest.mark.parametrize("addresses", [["::1", "127.0.0.2"], ["127.0.0.3", "::1"]], ids=["IPv6 first", "IPv4 first"])
def test_a_name_with_both_kinds_of_addresses(call: Caller, addresses: list[str], names: dict[str, list[str]]) -> None:
    names["both.localhost"] = addresses
    with Server(OK) as server, Relay(straight, server.port, host="::1") as relay:
        assert call.run(f"http://both.localhost:{relay.port}").output == "Hello"

    assert relay.connections == 1


# --- TLS ----------------------------------------------------------------------------------------------------------


def test_tls(call: Caller, tls: Tls) -> None:
    """Two calls and a stream, over one connection."""

    def program(client_class: Any) -> Any:
        scout = client_class(KEY, base_url=f"https://localhost:{front.port}")
        for _ in range(2):
            assert (yield scout.execute(WORKFLOW, {"text": "x" * 300_000}, deadline=10.0)).output == "Hello"
        yield scout.close()

    with Server(OK, keep_alive=True) as server, Relay(straight, server.port, tls=tls.server("localhost")) as front:
        drive(call, program)

    assert server.hits == 2
    assert server.connections == 1


def test_a_stream_over_tls(call: Caller, tls: Tls) -> None:
    with (
        Server(chunked([STARTED, 0.05, DONE], content_type="text/event-stream")) as server,
        Relay(straight, server.port, tls=tls.server("127.0.0.1")) as front,
    ):
        assert call.run(f"https://127.0.0.1:{front.port}", check=False).ok
        assert watched(call, f"https://127.0.0.1:{front.port}") == ["workflow_run_started", "workflow_run_completed"]


def watched(call: Caller, url: str) -> list[str]:
    def program(client_class: Any) -> Any:
        scout = client_class(KEY, base_url=url)
        stream = yield scout.stream(WORKFLOW)
        seen = []
        while True:
            event = yield anext(aiter(stream), None) if call.is_async else next(iter(stream), None)
            if event is None:
                break
            seen.append(event.name)
        yield scout.close()
        return seen

    result: list[str] = drive(call, program)
    return result


@pytest.mark.parametrize("what", ["wrong name", "untrusted", "not tls", "hangs up"])
def test_tls_that_cannot_be_trusted(call: Caller, what: str, tls: Tls, no_waiting: None) -> None:
    """Nothing was sent."""
    with Server(OK) as server, Server(at_accept(not_tls)) as plain:
        context = Tls().server("127.0.0.1") if what == "untrusted" else tls.server("example.test")
        front = Relay(hang_up) if what == "hangs up" else Relay(straight, server.port, tls=context)
        with front:
            port = plain.port if what == "not tls" else front.port
            error = call.error(f"https://127.0.0.1:{port}", retries=1)

    assert type(error) is APIConnectionError, repr(error)
    assert error.run_may_have_started is False
    assert len(error.attempts) == (1 if what in ("wrong name", "untrusted") else 2)
    assert ("SSL_CERT_FILE" in str(error)) is (what == "untrusted")
    assert server.requests == []
    assert isinstance(error.__cause__, OSError)
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError) is (what in ("wrong name", "untrusted"))


@pytest.mark.parametrize("at_least_once", [False, True])
@pytest.mark.parametrize("by", ["directly", "proxy", "TLS proxy"])
def test_an_untrusted_certificate_is_asked_for_once(
    call: Caller, by: str, at_least_once: bool, tls: Tls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It would be the same the next time. The error says which variable would help, or how it is set."""
    other = Tls()
    with Server(OK) as server, Relay(straight, server.port, tls=other.server("scout.test")) as front:
        secure = other.server("127.0.0.1") if by == "TLS proxy" else None
        with Relay(straight if by == "directly" else http_proxy, front.port, tls=secure) as relay:
            url = f"https://127.0.0.1:{relay.port}"
            if by != "directly":
                monkeypatch.setenv("HTTPS_PROXY", f"{'https' if secure else 'http'}://127.0.0.1:{relay.port}")
                url = "https://scout.test"
            error = call.error(url, client={"at_least_once": at_least_once})
            monkeypatch.delenv("SSL_CERT_FILE")
            without = call.error(url)

    for each in (error, without):
        assert isinstance(each.__cause__, ssl.SSLCertVerificationError), repr(each)
        assert len(each.attempts) == 1
        assert each.run_may_have_started is False
    assert f"; SSL_CERT_FILE is '{tmp_path / 'authority.pem'}', which does not hold the certificate" in str(error)
    assert "set SSL_CERT_FILE to a file with the certificate of that authority" in str(without)
    assert server.hits == 0


UNUSABLE: dict[str, tuple[str, str]] = {
    "no file": ("SSL_CERT_FILE", "nothing.pem"),
    "a folder": ("SSL_CERT_FILE", ""),
    "no certificates": ("SSL_CERT_FILE", "empty.pem"),
    "no folder": ("SSL_CERT_DIR", "nothing"),
    "no folders": ("SSL_CERT_DIR", f"nothing{os.pathsep}nowhere"),
    "no place for keys": ("SSLKEYLOGFILE", "nothing/keys"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_certificates_that_cannot_be_read(
    call: Caller, what: str, tls: Tls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The error names the variable and its value, and nothing is sent."""
    if "folder" in what:
        monkeypatch.delenv("SSL_CERT_FILE")
    (tmp_path / "empty.pem").write_text("# none\n")
    name, place = UNUSABLE[what]
    value = str(tmp_path / place)
    monkeypatch.setenv(name, value)
    with Relay(hang_up) as front:
        error = call.error(f"https://127.0.0.1:{front.port}")

    assert isinstance(error, ConfigurationError)
    assert f"the environment's settings for certificates cannot be used: {name} is {value!r}: " in str(error)
    assert front.connections == 0


def test_one_of_several_folders_is_enough(
    call: Caller, tls: Tls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path / 'nothing'}{os.pathsep}{tmp_path}")
    with Relay(straight, 0, tls=tls.server("127.0.0.1")) as front:
        error = call.error(f"https://127.0.0.1:{front.port}")

    assert isinstance(error, APIConnectionError)  # no file there has the name that OpenSSL looks for
    assert "SSL_CERT_DIR is" in str(error)


def test_closing_does_not_end_the_encryption_first(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    """`SSLSocket.shutdown` makes a plain socket of it first: a thread that writes would send plain text."""
    monkeypatch.setattr(ssl.SSLSocket, "shutdown", lambda *_: pytest.fail("this is not safe among threads"))
    with Server(OK, keep_alive=True) as server, Relay(straight, server.port, tls=tls.server("127.0.0.1")) as front:
        with Scout(KEY, base_url=f"https://127.0.0.1:{front.port}") as scout:
            assert scout.execute(WORKFLOW).output == "Hello"
        server.wait_until(lambda: server.open_connections == 0)


@pytest.mark.timing
@pytest.mark.parametrize("limit", ["connect", "deadline"])
def test_a_silent_handshake(call: Caller, limit: str) -> None:
    with Relay(silent_link) as front:
        outcome = call(
            f"https://127.0.0.1:{front.port}",
            client={"connect_timeout": 0.3 if limit == "connect" else 10.0},
            deadline=0.3 if limit == "deadline" else None,
            retries=0,
        )

    assert isinstance(outcome.error, APITimeoutError), repr(outcome.error)
    assert (outcome.error.limit, outcome.error.run_may_have_started) == (limit, False)
    assert 0.25 <= outcome.seconds <= 0.3 + SLACK


@pytest.mark.timing
@pytest.mark.parametrize("limit", ["timeout", "deadline"])
def test_limits_within_tls(call: Caller, limit: str, tls: Tls) -> None:
    answer = silent(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
    with Server(answer) as server, Relay(straight, server.port, tls=tls.server("127.0.0.1")) as front:
        outcome = call(f"https://127.0.0.1:{front.port}", **{limit: 0.3})

    assert isinstance(outcome.error, APITimeoutError), repr(outcome.error)
    assert (outcome.error.limit, outcome.error.run_may_have_started) == (limit, True)
    assert 0.25 <= outcome.seconds <= 0.4 + SLACK


# --- Reads and writes ---------------------------------------------------------------------------------------------


@pytest.mark.timing
def test_a_server_that_reads_slowly_but_steadily(call: Caller) -> None:
    """`timeout` is about silence: a long body takes as long as it takes."""

    def reads_slowly(peer: Peer) -> None:
        peer._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        head = peer._read_until(b"\r\n\r\n")
        left = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]) - len(peer._buffer)
        peer._buffer = b""
        while left:
            left -= len(peer._socket.recv(min(left, 300_000)))
            time.sleep(0.009)
        body = json.dumps(run_answer()).encode()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with Server(reads_slowly) as server:
        outcome = call(server.url, {"text": "x" * 16_000_000}, timeout=1.0, retries=0)

    assert outcome.error is None, outcome.error
    assert outcome.seconds > 1.1


def test_a_long_answer_that_is_read_slowly(call: Caller) -> None:
    """More than is read ahead arrives whole."""
    text = "x" * 3_000_000
    with Server(json_answer(run_answer(text))) as server:
        assert call.run(server.url).output == text


def test_what_comes_before_a_reset_is_read(call: Caller) -> None:
    """An error of the connection after a whole answer does not take the answer away."""

    def answers_and_resets(peer: Peer) -> None:
        peer.request()
        body = json.dumps(run_answer()).encode()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        peer.wait(0.1)
        peer.keep_alive = False
        peer.reset()

    with Server(answers_and_resets) as server:
        assert call.run(server.url).output == "Hello"


def test_two_limits_of_one_connection(call: Caller) -> None:
    """A connection keeps nothing of the limits of the call that had it before."""

    def program(client_class: Any) -> Any:
        scout = client_class(KEY, base_url=server.url)
        yield scout.execute(WORKFLOW, deadline=0.25, timeout=0.2)
        yield 0.3
        run = yield scout.execute(WORKFLOW)
        yield scout.close()
        return run

    with Server([OK, delayed(0.4, OK)], keep_alive=True) as server:
        assert drive(call, program).output == "Hello"

    assert server.connections == 1
