"""What may be repeated, row by row, counted at the server; nothing that could have started is sent twice."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from servers import (
    KEY,
    WORKFLOW,
    Behaviour,
    Caller,
    ForeignTransport,
    ForeignTransportAsync,
    Server,
    answer,
    chunked,
    close_unanswered,
    delayed,
    full_backlog_url,
    half_body,
    html,
    json_answer,
    not_tls,
    raw,
    redirect,
    refused_url,
    reset_after_request,
    reset_at_accept,
    reset_unread,
    run_answer,
    settled,
    silent,
    stream,
    trickle_head,
    truncated_gzip,
    wrong_length,
)

from scout import (
    APIConnectionError,
    APITimeoutError,
    ConfigurationError,
    RateLimitError,
    ScoutError,
    WorkflowFileError,
)

OK = json_answer(run_answer())
BODY = json.dumps(run_answer()).encode()


@dataclass(frozen=True)
class Way:
    """One way of asking for repetitions."""

    name: str
    options: dict[str, Any]
    retries: int
    at_least_once: bool

    def __str__(self) -> str:
        return self.name


WAYS = [
    Way("default", {}, 2, at_least_once=False),
    Way("retries=0", {"retries": 0}, 0, at_least_once=False),
    Way("retries=2", {"retries": 2}, 2, at_least_once=False),
    Way("at_least_once", {"at_least_once": True}, 2, at_least_once=True),
    Way("at_least_once,retries=0", {"at_least_once": True, "retries": 0}, 0, at_least_once=True),
]
every_way = pytest.mark.parametrize("way", WAYS, ids=str)


def check_attempts(error: ScoutError, number: int) -> None:
    """The error tells of every request: what happened and when."""
    assert [each.number for each in error.attempts] == list(range(1, number + 1))
    assert all(each.outcome and isinstance(each.outcome, str) for each in error.attempts)
    assert all(each.seconds >= 0 for each in error.attempts)
    starts = [each.started for each in error.attempts]
    assert starts == sorted(starts)
    assert all(each.wait is not None and each.wait >= 0 for each in error.attempts[:-1])
    assert error.attempts[-1].wait is None


# --- Nothing was sent: repeated --------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Somewhere no request can be delivered."""

    url: str
    transport: Any = None
    connections: Callable[[], int] | None = None
    connect_timeout: float = 10.0


@contextlib.contextmanager
def dns(call: Caller, request: pytest.FixtureRequest) -> Iterator[Place]:
    yield Place(request.getfixturevalue("unresolvable_url"))


@contextlib.contextmanager
def refused(call: Caller, request: pytest.FixtureRequest) -> Iterator[Place]:
    with refused_url() as url:
        yield Place(url)


@contextlib.contextmanager
def tls(call: Caller, request: pytest.FixtureRequest) -> Iterator[Place]:
    with Server(not_tls) as server:
        yield Place(server.url.replace("http:", "https:"), connections=lambda: server.connections)


@contextlib.contextmanager
def connect_timeout(call: Caller, request: pytest.FixtureRequest) -> Iterator[Place]:
    with full_backlog_url() as url:
        yield Place(url, connect_timeout=0.1)


@pytest.mark.parametrize("place", [dns, refused, tls, connect_timeout])
@every_way
def test_what_was_never_sent_is_repeated(
    call: Caller, place: Any, way: Way, request: pytest.FixtureRequest, no_waiting: None
) -> None:
    with place(call, request) as there:
        error = call.error(there.url, client={"connect_timeout": there.connect_timeout, **way.options})

        assert isinstance(error, APIConnectionError)
        assert error.run_may_have_started is False
        check_attempts(error, way.retries + 1)
        connections = there.connections
        if connections:
            assert settled(lambda: connections() >= way.retries + 1)
            assert connections() == way.retries + 1


def test_a_connect_timeout_says_so(call: Caller, no_waiting: None) -> None:
    with full_backlog_url() as url:
        error = call.error(url, client={"connect_timeout": 0.2}, retries=0)

    assert isinstance(error, APITimeoutError)
    assert (error.limit, error.seconds) == ("connect", 0.2)


@every_way
def test_no_free_connection_is_repeated(call: Caller, way: Way, no_waiting: None) -> None:
    """The only connection of the pool is busy; the waiting call never gets one, so it was not sent."""
    with Server(silent()) as server:
        limits = httpx.Limits(max_connections=1)
        transport = (httpx.AsyncHTTPTransport if call.is_async else httpx.HTTPTransport)(limits=limits)
        client = call.client_class(
            KEY, base_url=server.url, transport=transport, connect_timeout=0.1, timeout=10.0, **way.options
        )
        error = _second_of_two_calls(call, client, server)

        assert server.hits == 1
    assert isinstance(error, APIConnectionError)
    assert error.run_may_have_started is False
    check_attempts(error, way.retries + 1)


def _second_of_two_calls(call: Caller, client: Any, server: Server) -> ScoutError:
    """Start a call that occupies the server, make another, and return its error."""
    if call.is_async:

        async def both() -> ScoutError:
            busy = asyncio.create_task(client.execute(WORKFLOW))
            await asyncio.to_thread(server.wait_for_hits, 1)
            with pytest.raises(ScoutError) as caught:
                await client.execute(WORKFLOW)
            busy.cancel()
            await asyncio.gather(busy, return_exceptions=True)
            await client.close()
            return caught.value

        return asyncio.run(both())

    def occupy() -> None:
        with contextlib.suppress(ScoutError):
            client.execute(WORKFLOW, timeout=3.0, retries=0)

    busy = threading.Thread(target=occupy)
    busy.start()
    server.wait_for_hits(1)
    with pytest.raises(ScoutError) as caught:
        client.execute(WORKFLOW)
    server.stop()  # ends the silence
    busy.join()
    client.close()
    return caught.value


def test_a_call_succeeds_after_the_way_is_free(call: Caller, no_waiting: None) -> None:
    """The first connection fails in TLS terms, the second is served: one run, no error."""
    with Server([answer(429), OK]) as server:
        assert call.run(server.url).output == "Hello"
        assert server.hits == 2


# --- 429: repeated after Retry-After ---------------------------------------------------------------------


@every_way
@pytest.mark.parametrize(("asked", "limit"), [(None, 30.0), (None, 0), ("1", 10.0), ("1", 0)])
def test_429_is_repeated_for_a_time_and_not_a_number(
    call: Caller, way: Way, asked: str | None, limit: float, no_waiting: None
) -> None:
    """`retries` does not count here; the last wait is the last one that would not have gone beyond the limit."""
    headers = {} if asked is None else {"Retry-After": asked}
    with Server(json_answer({"detail": "slow down"}, 429, headers)) as server:
        error = call.error(server.url, client={**way.options, "rate_limit_timeout": limit})

    assert isinstance(error, RateLimitError)
    assert error.run_may_have_started is False
    assert error.retry_after == (None if asked is None else 1.0)
    check_attempts(error, server.hits)
    waited = sum(each.wait or 0.0 for each in error.attempts)
    assert waited <= limit
    assert waited > limit - (8.0 if asked is None else 1.25) or limit == 0
    assert (server.hits == 1) is (limit == 0)


def test_by_default_429_is_waited_for_two_minutes(call: Caller, no_waiting: None) -> None:
    with Server(answer(429, b"", {"Retry-After": "10"})) as server:
        error = call.error(server.url)

    assert server.hits == 12
    assert sum(each.wait or 0.0 for each in error.attempts) <= 120.0


def test_none_lifts_the_limit(call: Caller, no_waiting: None) -> None:
    busy = answer(429, b"", {"Retry-After": "3600"})
    with Server([*[busy] * 3, OK]) as server:
        assert call.run(server.url, client={"rate_limit_timeout": None}).output == "Hello"


@pytest.mark.parametrize("asked", ["1e10", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_wait_of_centuries_is_not_begun(call: Caller, asked: str) -> None:
    with Server(answer(429, b"", {"Retry-After": asked})) as server:
        error = call.error(server.url, client={"rate_limit_timeout": None})

    assert isinstance(error, RateLimitError)
    assert error.retry_after is not None
    assert error.retry_after > 1e9
    assert server.hits == 1


def test_429_uses_up_no_retries(call: Caller, no_waiting: None) -> None:
    """And failures use up nothing of the time for it."""
    busy, broken = answer(429, b"", {"Retry-After": "1"}), answer(503)
    with Server([busy, busy, broken, busy, broken, busy, busy, OK]) as server:
        client = {"at_least_once": True, "retries": 2}
        assert call.run(server.url, client=client).output == "Hello"
    with Server([busy, broken, busy, broken, broken, OK]) as server:
        error = call.error(server.url, client=client)

    assert error.status == 503
    assert len(error.attempts) == server.hits == 5


def test_retries_of_one_call_override_the_client(call: Caller, no_waiting: None) -> None:
    with refused_url() as url:
        assert len(call.error(url, client={"retries": 5}, retries=1).attempts) == 2


def in_two_seconds() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        pytest.param(lambda: {"Retry-After": "1"}, 1.0, 1.6, id="seconds"),
        pytest.param(lambda: {"Retry-After": "0.3"}, 0.3, 0.49, id="fraction"),
        pytest.param(lambda: {"Retry-After": "0"}, 0.5, 1.0, id="zero"),
        pytest.param(lambda: {"Retry-After": in_two_seconds()}, 0.9, 2.6, id="date"),
        pytest.param(lambda: {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.5, 1.0, id="past date"),
        pytest.param(
            lambda: {"Date": "Wed, 21 Oct 2015 07:28:00 GMT", "Retry-After": "Wed, 21 Oct 2015 07:28:01 GMT"},
            1.0,
            1.3,
            id="date by the clock of the server",
        ),
        pytest.param(lambda: {"retry-after-ms": "250"}, 0.25, 0.49, id="milliseconds"),
    ],
)
def test_retry_after_is_honoured(
    call: Caller,
    headers: Callable[[], dict[str, str]],
    least: float,
    most: float,
    no_waiting: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO", "scout"), Server([answer(429, b"", headers()), OK]) as server:
        assert call.run(server.url, retries=1).output == "Hello"

    (wait,) = [vars(record)["wait"] for record in caplog.records if "wait" in vars(record)]
    assert least <= wait <= most


def test_the_time_of_a_wait_passes(call: Caller) -> None:
    with Server([answer(429, b"", {"retry-after-ms": "200"}), OK]) as server:
        assert call.run(server.url).output == "Hello"

        first, second = server.requests
        assert 0.18 <= second.time - first.time <= 0.6


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param(lambda: {"Retry-After": "3600"}, 3600, id="an hour"),
        pytest.param(lambda: {"Retry-After": "121"}, 121, id="121"),
        pytest.param(lambda: {"Retry-After": "120.5"}, 120.5, id="120.5"),
        pytest.param(lambda: {"retry-after-ms": "3600000"}, 3600, id="milliseconds"),
        pytest.param(
            lambda: {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=3600), usegmt=True)},
            pytest.approx(3600, abs=5),
            id="date",
        ),
    ],
)
@pytest.mark.timing
def test_a_long_retry_after_is_raised_at_once(
    call: Caller, headers: Callable[[], dict[str, str]], seconds: float
) -> None:
    with Server(answer(429, b"", headers())) as server:
        outcome = call(server.url, client={"retries": 5, "at_least_once": True})

    assert server.hits == 1
    assert isinstance(outcome.error, RateLimitError)
    assert outcome.error.retry_after == seconds
    assert outcome.seconds < 0.5


@pytest.mark.parametrize("text", ["soon", "-5", "nan", "inf", "-inf", "1e999", "", "5 apples", "12:00", "٣"])
def test_an_unreadable_retry_after_is_an_ordinary_back_off(call: Caller, text: str, no_waiting: None) -> None:
    head = b"HTTP/1.1 429 Slow\r\nConnection: close\r\nContent-Length: 0\r\nRetry-After: %b\r\n\r\n" % text.encode()
    with Server([raw(head), OK]) as server:
        outcome = call(server.url, deadline=5.0)

    assert outcome.error is None, outcome.error
    assert server.hits == 2
    assert outcome.seconds < 2.5


@pytest.mark.parametrize("text", ["soon", "-5", "nan", "inf"])
def test_an_unreadable_retry_after_is_no_number(call: Caller, text: str) -> None:
    with Server(answer(429, b"", {"Retry-After": text})) as server:
        assert call.error(server.url, client={"rate_limit_timeout": 0}).retry_after in (None, 0)


def test_the_first_back_off_is_about_half_a_second(call: Caller) -> None:
    with refused_url() as url:
        error = call.error(url, retries=1)

    assert 0.25 <= error.attempts[0].wait <= 1.6
    assert error.attempts[1].started - error.attempts[0].started >= error.attempts[0].wait - 0.02


# --- Refused: raised -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 413, 422])
@every_way
def test_a_refusal_is_raised(call: Caller, status: int, way: Way, no_waiting: None) -> None:
    with Server(json_answer({"detail": "no"}, status, {"Retry-After": "0"})) as server:
        error = call.error(server.url, client=way.options)

    assert server.hits == 1
    assert error.status == status
    assert error.run_may_have_started is False
    check_attempts(error, 1)


# --- Unknown: raised, never repeated, unless the caller says at_least_once -------------------------------


UNKNOWN: dict[str, Behaviour] = {
    "408": answer(408),
    "500": json_answer({"detail": "oops"}, 500),
    "502": html("<h1>Bad Gateway</h1>", 502),
    "503": answer(503),
    "503 with Retry-After": answer(503, b"", {"Retry-After": "0"}),
    "504": html("<h1>Gateway Time-out</h1>", 504),
    "520": html("error code: 520", 520),
    "529": json_answer({"error": "overloaded"}, 529),
    "reset, request unread": reset_unread,
    "reset after the request": reset_after_request,
    "closed without an answer": close_unanswered,
    "no HTTP": raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "headers cut": raw(b"HTTP/1.1 200 OK\r\nContent-"),
    "half a body": half_body(BODY),
    "half a chunked body": chunked([BODY[:40]], finish=False),
    "body too short for its length": wrong_length(BODY, len(BODY) + 10),
    "body cut without a length": stream([BODY[:40]]),
    "gzip cut": truncated_gzip(run_answer("x" * 500)),
    "silence": silent(),
    "silence in the body": silent(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"),
}
ONCE: dict[str, Behaviour] = {
    "302": redirect("https://elsewhere.example/"),
    "304": answer(304),
    "418": answer(418),
    "999": answer(999),
    "HTML": html("<h1>Welcome</h1>"),
    "empty": answer(200, b""),
    "204": answer(204),
}


@pytest.mark.parametrize("what", UNKNOWN | ONCE)
@pytest.mark.parametrize("way", [way for way in WAYS if not way.at_least_once], ids=str)
def test_what_may_have_started_is_never_repeated(call: Caller, what: str, way: Way, no_waiting: None) -> None:
    with Server([(UNKNOWN | ONCE)[what], OK]) as server:
        error = call.error(server.url, client={"timeout": 0.2, **way.options})

    assert server.hits == 1
    assert error.run_may_have_started is True
    check_attempts(error, 1)


@pytest.mark.parametrize("what", UNKNOWN)
@pytest.mark.parametrize("way", [way for way in WAYS if way.at_least_once], ids=str)
def test_at_least_once_repeats_it(call: Caller, what: str, way: Way, no_waiting: None) -> None:
    with Server(UNKNOWN[what]) as server:
        error = call.error(server.url, client={"timeout": 0.2, **way.options})

    assert server.hits == way.retries + 1
    assert error.run_may_have_started is True
    check_attempts(error, way.retries + 1)


@pytest.mark.parametrize("what", ["302", "304", "418", "204"])
def test_at_least_once_repeats_no_answer_that_stays_the_same(call: Caller, what: str, no_waiting: None) -> None:
    with Server(ONCE[what]) as server:
        call.error(server.url, client={"at_least_once": True})

    assert server.hits == 1


def test_a_reset_at_accept_is_repeated_only_if_nothing_was_sent(call: Caller, no_waiting: None) -> None:
    """The reset races with the request: it may come while connecting (unsent) or after sending (unknown)."""
    for _ in range(20):
        with Server(reset_at_accept) as server:
            error = call.error(server.url)

        assert type(error) is APIConnectionError
        assert error.run_may_have_started is any(each.run_may_have_started for each in error.attempts)
        assert not any(each.run_may_have_started for each in error.attempts[:-1])
        check_attempts(error, server.hits)
        assert len(error.attempts) == 3 or error.run_may_have_started


def test_at_least_once_may_succeed(call: Caller, no_waiting: None) -> None:
    with Server([close_unanswered, answer(503), OK]) as server:
        assert call.run(server.url, client={"at_least_once": True}).output == "Hello"
        assert server.hits == 3
        bodies = {request.body for request in server.requests}
        assert len(bodies) == 1, "every repetition sends the same request"


@pytest.mark.parametrize("at_least_once", [False, True])
def test_a_deadline_is_never_repeated(call: Caller, at_least_once: bool) -> None:
    with Server(trickle_head(0.05)) as server:
        error = call.error(server.url, client={"at_least_once": at_least_once}, deadline=0.3)

    assert server.hits == 1
    assert isinstance(error, APITimeoutError)
    assert error.limit == "deadline"
    assert error.run_may_have_started is True
    check_attempts(error, 1)


def test_a_failed_run_is_never_repeated(call: Caller) -> None:
    from scout import RunFailedError

    failed = run_answer(stop_reason="workflow_run_failed", errors=["no such model"])
    with Server([json_answer(failed), OK]) as server:
        error = call.error(server.url, client={"at_least_once": True})

    assert server.hits == 1
    assert isinstance(error, RunFailedError)
    assert error.run_may_have_started is True


# --- Mixed calls -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", ["500", "reset after the request", "closed without an answer", "half a body"])
def test_the_repetition_of_a_429_is_not_repeated_once_it_may_have_started(
    call: Caller, second: str, no_waiting: None
) -> None:
    with Server([answer(429), UNKNOWN[second], OK]) as server:
        error = call.error(server.url, client={"retries": 5})

    assert server.hits == 2
    assert error.run_may_have_started is True
    check_attempts(error, 2)


@pytest.mark.parametrize("last", [429, 401, 422])
def test_an_earlier_request_may_have_started(call: Caller, last: int, no_waiting: None) -> None:
    """With at_least_once the last answer alone does not decide: the first request may be running."""
    with Server([close_unanswered, answer(last)]) as server:
        error = call.error(server.url, client={"at_least_once": True})

    assert error.status == last
    assert error.run_may_have_started is True


def test_a_kept_connection_that_closes_on_the_second_request_is_not_resent(call: Caller) -> None:
    """A reused connection is no proof of "not sent": the server took the request before it hung up."""

    def program(client_class: Any) -> Any:
        scout = client_class(KEY, base_url=server.url)
        try:
            yield scout.execute(WORKFLOW)
            try:
                yield scout.execute(WORKFLOW)
            except ScoutError as error:
                return error
        finally:
            yield scout.close()

    with Server([OK, close_unanswered, OK], keep_alive=True) as server:
        error = call.drive(program)

    assert error.run_may_have_started is True
    assert server.hits == 2
    assert server.connections == 1


def test_a_kept_connection_that_closed_in_the_meantime_is_replaced(call: Caller) -> None:
    """Servers close idle connections; the next call must neither fail nor be sent twice."""

    def close_soon(peer: Any) -> None:
        OK(peer)
        peer.keep_alive = False

    def program(client_class: Any) -> Any:
        scout = client_class(KEY, base_url=server.url)
        try:
            yield scout.execute(WORKFLOW)
            time.sleep(0.1)
            return (yield scout.execute(WORKFLOW))
        finally:
            yield scout.close()

    with Server([close_soon, OK], keep_alive=True) as server:
        assert call.drive(program).output == "Hello"

    assert server.hits == 2
    assert len(server.requests) == 2


# --- Foreign transports: their word about connecting proves nothing --------------------------------------


class BaseForeign(ForeignTransport, httpx.BaseTransport):
    """One that follows httpx's own base class."""


class BaseForeignAsync(ForeignTransportAsync, httpx.AsyncBaseTransport):
    """One that follows httpx's own base class."""


class DerivedForeign(httpx.HTTPTransport):
    """One derived from httpx's transport, with a method of its own."""

    def __init__(self, failure: type[httpx.HTTPError]) -> None:
        super().__init__()
        self.failure = failure

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        super().handle_request(request).read()
        raise self.failure("Server disconnected")


class DerivedForeignAsync(httpx.AsyncHTTPTransport):
    """One derived from httpx's transport, with a method of its own."""

    def __init__(self, failure: type[httpx.HTTPError]) -> None:
        super().__init__()
        self.failure = failure

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await (await super().handle_async_request(request)).aread()
        raise self.failure("Server disconnected")


@pytest.mark.parametrize(
    "classes",
    [
        pytest.param((ForeignTransport, ForeignTransportAsync), id="duck"),
        pytest.param((BaseForeign, BaseForeignAsync), id="base"),
        pytest.param((DerivedForeign, DerivedForeignAsync), id="derived"),
    ],
)
@pytest.mark.parametrize("failure", [httpx.ConnectTimeout, httpx.ConnectError, httpx.PoolTimeout])
@pytest.mark.parametrize("at_least_once", [False, True])
def test_a_foreign_transport_proves_nothing(
    call: Caller,
    classes: tuple[type, type],
    failure: type[httpx.HTTPError],
    at_least_once: bool,
    no_waiting: None,
) -> None:
    """The request was taken, then the transport says that it could not connect: unknown."""
    with Server(OK) as server:
        transport = classes[call.is_async](failure)
        error = call.error(server.url, client={"transport": transport, "at_least_once": at_least_once})

    assert server.hits == (3 if at_least_once else 1)
    assert isinstance(error, APIConnectionError)
    assert error.run_may_have_started is True


def test_an_own_transport_of_httpx_is_believed(call: Caller, no_waiting: None) -> None:
    transport = httpx.AsyncHTTPTransport() if call.is_async else httpx.HTTPTransport()
    with refused_url() as url:
        error = call.error(url, client={"transport": transport})

    assert error.run_may_have_started is False
    check_attempts(error, 3)


class Wrapper:
    """A wrapper around a method as wrapt makes it: a descriptor, which gives another object each time it is asked."""

    def __init__(self, wrapped: Any) -> None:
        self.__wrapped__ = wrapped
        self.calls = 0

    def __get__(self, instance: Any, owner: type) -> Any:
        bound = Wrapper(self.__wrapped__.__get__(instance, owner))
        bound.__dict__["parent"] = self
        return bound

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.__dict__.get("parent", self).calls += 1
        return self.__wrapped__(*args, **options)


@pytest.mark.parametrize("place", ["class", "object", "derived class"])
def test_a_watched_transport_of_httpx_is_believed(
    call: Caller, place: str, no_waiting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenTelemetry wraps the methods of httpx's transports, in their classes or in one object."""
    kind: Any = httpx.AsyncHTTPTransport if call.is_async else httpx.HTTPTransport
    name = "handle_async_request" if call.is_async else "handle_request"
    wrapper = Wrapper(vars(kind)[name])
    if place != "object":
        monkeypatch.setattr(kind, name, wrapper)
    transport = (type("Derived", (kind,), {}) if place == "derived class" else kind)()
    if place == "object":
        wrapper = Wrapper(getattr(transport, name))
        setattr(transport, name, wrapper)
    with full_backlog_url() as url:
        error = call.error(url, client={"transport": transport, "connect_timeout": 0.05})

    assert wrapper.calls == 3
    assert error.run_may_have_started is False
    check_attempts(error, 3)


def test_a_function_in_the_place_of_the_method_proves_nothing(call: Caller, no_waiting: None) -> None:
    transport: Any = httpx.AsyncHTTPTransport() if call.is_async else httpx.HTTPTransport()
    foreign = (ForeignTransportAsync if call.is_async else ForeignTransport)(httpx.ConnectTimeout)
    name = "handle_async_request" if call.is_async else "handle_request"
    setattr(transport, name, getattr(foreign, name))
    with Server(OK) as server:
        error = call.error(server.url, client={"transport": transport})

    assert server.hits == 1
    assert error.run_may_have_started is True


# --- Nothing leaves the house ----------------------------------------------------------------------------


class Circle(list[Any]):
    """A list that holds itself."""

    def __init__(self) -> None:
        super().__init__()
        self.append(self)


@pytest.mark.parametrize(
    ("inputs", "where"),
    [
        ({"limit": float("nan")}, "limit"),
        ({"limit": float("inf")}, "limit"),
        ({"data": b"bytes"}, "data"),
        ({"tags": {"a", "b"}}, "tags"),
        ({"rows": [{}, {}, {}, {"when": datetime(2024, 1, 1, tzinfo=UTC)}]}, "rows[3].when"),
        ({"loop": Circle()}, "loop"),
        ({"number": 10**5000}, "number"),
        ({"deep": {"er": object()}}, "deep.er"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_inputs_that_json_cannot_carry_are_not_sent(call: Caller, inputs: Any, where: str) -> None:
    with Server(OK) as server:
        error = call.error(server.url, inputs)

    assert server.hits == 0
    assert isinstance(error, ConfigurationError)
    assert f"inputs.{where}" in str(error)
    assert error.run_may_have_started is False
    assert error.attempts == ()


def test_a_workflow_that_cannot_be_read_is_not_sent(call: Caller) -> None:
    with Server(OK) as server:
        error = call.error(server.url, workflow={"blocks": [{"block_id": "only"}]})

    assert server.hits == 0
    assert isinstance(error, WorkflowFileError)
    assert error.run_may_have_started is False


def test_an_unknown_environment_is_not_sent(call: Caller) -> None:
    with Server(OK) as server:
        error = call.error(server.url, environment="prodution")

    assert server.hits == 0
    assert isinstance(error, ConfigurationError)
    assert "prodution" in str(error)


def test_a_slow_answer_is_one_request(call: Caller) -> None:
    with Server(delayed(0.3, OK)) as server:
        assert call.run(server.url).output == "Hello"

    assert server.hits == 1
