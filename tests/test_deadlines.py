"""`timeout` bounds the silence of the server, `deadline` the whole call: attempts, waits and the body."""

import json
import pickle
import socket
import time
from typing import Any

import httpx
import pytest
from servers import (
    KEY,
    WORKFLOW,
    Behaviour,
    Caller,
    Server,
    answer,
    close_unanswered,
    delayed,
    full_backlog_url,
    json_answer,
    refused_url,
    run_answer,
    silent,
    stream,
    trickle_body,
    trickle_head,
)

from scout import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    ConfigurationError,
    RateLimitError,
    ScoutError,
)

OK = json_answer(run_answer())
BODY = json.dumps(run_answer()).encode()
pytestmark = pytest.mark.timing
# A deadline holds to within a quarter of a second.
SLACK = 0.25

ENDLESS: dict[str, Behaviour] = {
    "trickle in the headers": trickle_head(0.2),
    "trickle in the body": trickle_body(0.2),
    "fast trickle in the body": trickle_body(0.001, 100),
    "silent": silent(),
    "silent in the headers": silent(b"HTTP/1.1 200 OK\r\nContent-"),
    "silent in the body": silent(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"),
    "silent in a chunk": silent(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"),
}


def check_deadline(error: Any, seconds: float, elapsed: float) -> None:
    assert isinstance(error, APITimeoutError), repr(error)
    assert (error.limit, error.seconds) == ("deadline", seconds)
    assert "deadline" in str(error)
    assert f"{seconds:g}" in str(error)
    assert seconds - 0.02 <= elapsed <= seconds + SLACK
    twin = pickle.loads(pickle.dumps(error))
    assert (twin.limit, twin.seconds, str(twin)) == (error.limit, error.seconds, str(error))


@pytest.mark.parametrize(
    ("what", "deadline"),
    [(what, 0.6 if what in ("trickle in the headers", "trickle in the body", "silent") else 0.3) for what in ENDLESS],
)
def test_the_deadline_ends_any_answer(call: Caller, what: str, deadline: float) -> None:
    with Server(ENDLESS[what]) as server:
        outcome = call(server.url, deadline=deadline)

    check_deadline(outcome.error, deadline, outcome.seconds)
    assert outcome.error.run_may_have_started is True
    assert server.hits == 1
    assert [attempt.number for attempt in outcome.error.attempts] == [1]
    assert outcome.error.attempts[0].seconds == pytest.approx(deadline, abs=SLACK)


def test_the_deadline_may_stand_in_the_client(call: Caller) -> None:
    with Server(silent()) as server:
        outcome = call(server.url, client={"deadline": 0.3})

    check_deadline(outcome.error, 0.3, outcome.seconds)


def test_the_deadline_of_a_call_comes_before_that_of_the_client(call: Caller) -> None:
    with Server(silent()) as server:
        outcome = call(server.url, client={"deadline": 30.0}, deadline=0.3)

    check_deadline(outcome.error, 0.3, outcome.seconds)


def test_none_lifts_the_deadline_of_the_client(call: Caller) -> None:
    with Server(delayed(0.3, OK)) as server:
        assert call.run(server.url, client={"deadline": 0.2}, deadline=None).output == "Hello"


def test_what_arrives_in_time_is_an_answer(call: Caller) -> None:
    with Server(delayed(0.4, stream([BODY[:20], 0.2, BODY[20:]]))) as server:
        assert call.run(server.url, deadline=2.0).output == "Hello"


def test_the_client_hangs_up_at_the_deadline(call: Caller) -> None:
    """Nobody goes on reading in the background."""
    with Server(silent()) as server:
        outcome = call(server.url, deadline=0.3)
        server.wait_until(lambda: server.hangups)

        check_deadline(outcome.error, 0.3, outcome.seconds)
        assert len(server.hangups) == 1


@pytest.mark.parametrize("what", ["trickle in the body", "silent"])
def test_the_client_works_on_after_a_deadline(call: Caller, what: str) -> None:
    """The next call gets its own answer, not the rest of the one that was given up."""

    def program(client_class: Any) -> Any:
        scout = client_class(KEY, base_url=server.url)
        try:
            with pytest.raises(APITimeoutError):
                yield scout.execute(WORKFLOW, deadline=0.3)
            return (yield scout.execute(WORKFLOW, deadline=5.0))
        finally:
            yield scout.close()

    with Server([ENDLESS[what], OK], keep_alive=True) as server:
        assert call.drive(program).output == "Hello"
        assert server.connections == 2


# --- Attempts and waits -----------------------------------------------------------------------------------


def test_the_deadline_bounds_many_attempts(call: Caller) -> None:
    """429 again and again, 0.2 s apart: the call ends at the first wait that would outlast the deadline."""
    with Server(answer(429, b"", {"Retry-After": "0.2"})) as server:
        outcome = call(server.url, deadline=0.7, retries=50)

    error = outcome.error
    assert isinstance(error, APITimeoutError)
    assert (error.limit, error.seconds) == ("deadline", 0.7)
    assert outcome.seconds <= 0.7 + SLACK
    assert 3 <= server.hits <= 4
    assert len(error.attempts) == server.hits
    assert isinstance(error.__cause__, RateLimitError)
    assert error.run_may_have_started is False


@pytest.mark.parametrize("seconds", ["30", "1.2", "60"])
def test_a_wait_beyond_the_deadline_is_not_begun(call: Caller, seconds: str) -> None:
    with Server(json_answer({"detail": "slow down"}, 429, {"Retry-After": seconds})) as server:
        outcome = call(server.url, deadline=1.0)

    assert server.hits == 1
    assert isinstance(outcome.error, APITimeoutError)
    assert outcome.error.limit == "deadline"
    assert outcome.error.run_may_have_started is False
    assert outcome.seconds < 0.5
    assert isinstance(outcome.error.__cause__, RateLimitError)
    assert outcome.error.__cause__.retry_after == float(seconds)
    assert "slow down" in str(outcome.error)


def test_a_retry_after_beyond_the_limit_stays_a_rate_limit(call: Caller) -> None:
    """The caller asked for a deadline, but no wait was cut short by it: such a wait is never begun."""
    with Server(answer(429, b"", {"Retry-After": "3600"})) as server:
        outcome = call(server.url, deadline=1.0)

    assert isinstance(outcome.error, RateLimitError)
    assert outcome.error.retry_after == 3600
    assert outcome.seconds < 0.5


def test_without_retries_the_deadline_changes_no_error(call: Caller) -> None:
    with Server(answer(429, b"", {"Retry-After": "30"})) as server:
        client = {"rate_limit_timeout": 0}
        assert isinstance(call.error(server.url, client=client, deadline=1.0, retries=0), RateLimitError)


def test_the_deadline_bounds_refused_connections(call: Caller) -> None:
    with refused_url() as url:
        outcome = call(url, deadline=1.0, retries=50)

    assert isinstance(outcome.error, APITimeoutError)
    assert outcome.error.limit == "deadline"
    assert outcome.error.run_may_have_started is False
    assert outcome.seconds <= 1.0 + SLACK
    assert isinstance(outcome.error.__cause__, APIConnectionError)


def test_the_deadline_bounds_the_second_attempt(call: Caller) -> None:
    """It counts from the beginning of the call, not of the attempt."""
    with Server([answer(429, b"", {"Retry-After": "0.3"}), trickle_head(0.05)]) as server:
        outcome = call(server.url, deadline=0.6)

    check_deadline(outcome.error, 0.6, outcome.seconds)
    assert server.hits == 2
    assert outcome.error.run_may_have_started is True


def test_the_deadline_bounds_at_least_once(call: Caller) -> None:
    with Server(close_unanswered) as server:
        outcome = call(server.url, client={"at_least_once": True, "retries": 50}, deadline=1.0)

    assert isinstance(outcome.error, APITimeoutError)
    assert outcome.error.limit == "deadline"
    assert outcome.error.run_may_have_started is True
    assert outcome.seconds <= 1.0 + SLACK


def test_a_refusal_before_the_deadline_is_a_refusal(call: Caller) -> None:
    with Server(answer(401)) as server:
        assert isinstance(call.error(server.url, deadline=5.0), AuthenticationError)


# --- Connecting -------------------------------------------------------------------------------------------


def test_the_deadline_bounds_connecting(call: Caller) -> None:
    with full_backlog_url() as url:
        outcome = call(url, client={"connect_timeout": 10.0}, deadline=0.5)

    check_deadline(outcome.error, 0.5, outcome.seconds)
    assert outcome.error.run_may_have_started is False


def test_the_deadline_bounds_tls(call: Caller) -> None:
    """A port that takes the connection and never greets back."""
    with Server(silent_from_the_start) as server:
        outcome = call(server.url.replace("http", "https"), deadline=0.5)

    check_deadline(outcome.error, 0.5, outcome.seconds)
    assert outcome.error.run_may_have_started is False


def silent_from_the_start(peer: Any) -> None:
    """Hold the connection and neither read nor write."""
    while not peer.server.stopping:
        time.sleep(0.02)


def test_connect_timeout_before_the_deadline(call: Caller) -> None:
    with full_backlog_url() as url:
        outcome = call(url, client={"connect_timeout": 0.3}, deadline=5.0, retries=0)

    assert isinstance(outcome.error, APITimeoutError)
    assert (outcome.error.limit, outcome.error.seconds) == ("connect", 0.3)
    assert outcome.seconds == pytest.approx(0.3, abs=SLACK)


def test_the_deadline_bounds_a_request_that_nobody_reads(call: Caller) -> None:
    """A large body fills the buffers between the two ends, and the sender waits."""
    with Server(silent_from_the_start) as server:
        outcome = call(server.url, {"text": "x" * 16_000_000}, deadline=0.5)

    assert isinstance(outcome.error, APITimeoutError), repr(outcome.error)
    assert outcome.error.limit == "deadline"
    assert outcome.error.run_may_have_started is True
    assert outcome.seconds <= 0.5 + SLACK


def test_the_deadline_bounds_a_slow_name_server(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the operating system cannot be asked to stop cannot hold up the asynchronous client.

    The synchronous one has no thread to spare for it and comes back when the name server does.
    """

    def slow(*args: Any, **options: Any) -> Any:
        time.sleep(0.6)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    outcome = call("https://slow.invalid", deadline=0.2)

    assert isinstance(outcome.error, APITimeoutError), repr(outcome.error)
    assert outcome.error.limit == "deadline"
    assert outcome.error.run_may_have_started is False
    assert outcome.seconds <= (0.2 if call.is_async else 0.6) + SLACK


# --- Transports of the caller -----------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["trickle in the headers", "trickle in the body", "silent"])
def test_the_deadline_holds_on_a_transport_of_the_caller(call: Caller, what: str) -> None:
    transport = httpx.AsyncHTTPTransport() if call.is_async else httpx.HTTPTransport()
    with Server(ENDLESS[what]) as server:
        outcome = call(server.url, client={"transport": transport}, deadline=0.3)

    check_deadline(outcome.error, 0.3, outcome.seconds)


# --- timeout ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [name for name in ENDLESS if "silent" in name])
def test_silence_reaches_the_timeout(call: Caller, what: str) -> None:
    with Server(ENDLESS[what]) as server:
        outcome = call(server.url, timeout=0.3)

    error = outcome.error
    assert isinstance(error, APITimeoutError)
    assert (error.limit, error.seconds) == ("timeout", 0.3)
    assert "timeout" in str(error)
    assert "0.3" in str(error)
    assert error.run_may_have_started is True
    assert outcome.seconds == pytest.approx(0.3, abs=SLACK)
    assert server.hits == 1


def test_the_timeout_may_stand_in_the_client(call: Caller) -> None:
    with Server(silent()) as server:
        error = call.error(server.url, client={"timeout": 0.3})

    assert (error.limit, error.seconds) == ("timeout", 0.3)


def test_a_slow_but_steady_answer_never_reaches_the_timeout(call: Caller) -> None:
    pieces: list[bytes | float] = []
    for start in range(0, len(BODY), 20):
        pieces += [0.07, BODY[start : start + 20]]
    with Server(stream(pieces)) as server:
        outcome = call(server.url, timeout=0.3)

    assert outcome.run.output == "Hello"
    assert outcome.seconds > 0.5


@pytest.mark.parametrize(("timeout", "deadline", "limit"), [(0.3, 5.0, "timeout"), (5.0, 0.3, "deadline")])
def test_the_shorter_limit_wins(call: Caller, timeout: float, deadline: float, limit: str) -> None:
    with Server(silent()) as server:
        outcome = call(server.url, timeout=timeout, deadline=deadline)

    assert (outcome.error.limit, outcome.error.seconds) == (limit, 0.3)
    assert outcome.seconds == pytest.approx(0.3, abs=SLACK)


def test_what_was_reached_is_told(call: Caller) -> None:
    with Server([silent(), ENDLESS["silent in the body"]]) as server:
        nothing = call.error(server.url, timeout=0.2)
        status = call.error(server.url, timeout=0.2)

    assert "200" not in str(nothing)
    assert "200" in str(status)


def test_none_is_no_limit(call: Caller) -> None:
    with Server(delayed(0.3, OK)) as server:
        assert call.run(server.url, client={"timeout": None, "connect_timeout": None}).output == "Hello"
        assert call.run(server.url, client={"timeout": 0.1}, timeout=None).output == "Hello"


@pytest.mark.parametrize("option", ["timeout", "connect_timeout", "deadline"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "5", True])
def test_what_is_no_time_is_refused(call: Caller, option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=option):
        call.client_class(KEY, **{option: value})


@pytest.mark.parametrize("option", ["timeout", "deadline"])
def test_what_is_no_time_is_refused_in_a_call(call: Caller, option: str) -> None:
    with Server(OK) as server:
        error = call.error(server.url, **{option: -1})

    assert isinstance(error, ConfigurationError)
    assert isinstance(error, ScoutError)
    assert server.hits == 0
