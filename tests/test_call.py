"""`Call`: limits, attempts, and the one error that tells of them all."""

import logging
import math
import time
from typing import Any

import pytest
from servers import (
    KEY,
    WORKFLOW,
    Caller,
    Server,
    answer,
    close_unanswered,
    corrupt_gzip,
    full_backlog_url,
    half_body,
    json_answer,
    raw,
    refused_url,
    reset_after_request,
    run_answer,
    silent,
    stream,
    truncated_gzip,
)
from test_events import STARTED

from scout import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    InternalServerError,
    RateLimitError,
    ScoutError,
    StreamInterruptedError,
)
from scout._call import Limits

OK = json_answer(run_answer())


# --- Its log ------------------------------------------------------------------------------------------------------


def test_each_wait_is_logged(call: Caller, caplog: pytest.LogCaptureFixture, no_waiting: None) -> None:
    caplog.set_level(logging.INFO, logger="scout")
    script = [answer(429, "", {"Retry-After": "1.5"}), answer(429, "", {"Retry-After": "0.25"}), OK]
    with Server(script) as server:
        assert call.run(server.url).output == "Hello"

    first, second = [record for record in caplog.records if record.name == "scout"]
    assert first.levelno == second.levelno == logging.INFO
    assert first.getMessage().startswith("attempt 1 failed: ")
    assert first.getMessage().endswith(f"; waiting {first.wait:.1f} s")  # type: ignore[attr-defined]
    assert "429" in first.getMessage()
    assert second.getMessage().startswith("attempt 2 failed: ")
    assert second.getMessage().endswith("; waiting 0.3 s")
    facts = [(each.attempt, type(each.error), each.error.retry_after) for each in (first, second)]  # type: ignore[attr-defined]
    assert facts == [(1, RateLimitError, 1.5), (2, RateLimitError, 0.25)]
    assert 1.5 <= first.wait <= 1.9  # type: ignore[attr-defined]
    assert KEY not in caplog.text


def test_a_wait_for_a_connection_is_logged_with_its_cause(
    call: Caller, caplog: pytest.LogCaptureFixture, no_waiting: None
) -> None:
    caplog.set_level(logging.INFO, logger="scout")
    with refused_url() as url:
        error = call.error(url)

    messages = [record.getMessage() for record in caplog.records if record.name == "scout"]
    assert len(messages) == 2
    assert all("connection refused" in message for message in messages)
    assert [each.wait is None for each in error.attempts] == [False, False, True]


@pytest.mark.parametrize("what", ["fine", "500", "no time for the next attempt"])
def test_without_a_wait_nothing_is_logged(call: Caller, what: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="scout")
    behaviours = {"fine": OK, "500": answer(500), "no time for the next attempt": answer(429, "", {"Retry-After": "9"})}
    with Server(behaviours[what]) as server:
        call(server.url, deadline=2.0)

    assert [record for record in caplog.records if record.name == "scout"] == []


# --- Its error ----------------------------------------------------------------------------------------------------

FAULTS: dict[str, tuple[Any, type[Exception], bool]] = {
    "refused": (None, APIConnectionError, False),
    "no name": (None, APIConnectionError, False),
    "connect timeout": (None, APITimeoutError, False),
    "429": (answer(429, "", {"Retry-After": "500"}), RateLimitError, False),
    "500": (answer(500), InternalServerError, True),
    "unanswered": (close_unanswered, APIConnectionError, True),
    "reset": (reset_after_request, APIConnectionError, True),
    "half a body": (half_body(b"{" + b" " * 500 + b"}"), APIConnectionError, True),
    "silent": (silent(), APITimeoutError, True),
    "not http": (raw(b"\x00\x01\x02 what?\r\n\r\n"), APIConnectionError, True),
    "corrupt gzip": (corrupt_gzip(run_answer()), APIError, True),
    "truncated gzip": (truncated_gzip(run_answer()), APIError, True),
    "not json": (answer(200, "Hello"), APIError, True),
    "not a run": (answer(200, "[1]"), APIError, True),
}


@pytest.mark.parametrize("what", FAULTS)
def test_an_error_is_whole(
    call: Caller, what: str, unresolvable_url: str, no_waiting: None, request: pytest.FixtureRequest
) -> None:
    """It has its attempts, says what may have happened, and nothing of another library hangs on it."""
    behaviour, kind, may_have_started = FAULTS[what]
    options: dict[str, Any] = {"retries": 1, "timeout": 0.2, "client": {"connect_timeout": 0.2}}
    if what == "refused":
        with refused_url() as url:
            error = call.error(url, **options)
    elif what == "connect timeout":
        with full_backlog_url() as url:
            error = call.error(url, **options)
    elif what == "no name":
        error = call.error(unresolvable_url, **options)
    else:
        with Server(behaviour) as server:
            error = call.error(server.url, **options)

    assert isinstance(error, kind), repr(error)
    check(error, may_have_started)
    if not may_have_started and what != "429":
        assert len(error.attempts) == 2


def check(error: Any, may_have_started: bool) -> None:
    assert error.run_may_have_started is may_have_started
    assert [each.number for each in error.attempts] == list(range(1, len(error.attempts) + 1))
    last = error.attempts[-1]
    assert last.run_may_have_started is may_have_started
    assert last.outcome == f"{type(error).__name__}: {error.message}"
    assert last.wait is None
    assert last.seconds >= 0
    assert isinstance(error.__cause__, OSError | ScoutError | None), repr(error.__cause__)
    assert error.__context__ is None or isinstance(error.__context__, OSError | ScoutError), repr(error.__context__)
    if isinstance(error.__cause__, OSError):
        assert error.__cause__.__traceback__ is None
        assert error.__cause__.__cause__ is error.__cause__.__context__ is None


def test_the_error_of_a_stream_is_whole(call: Caller) -> None:
    def program(client_class: Any) -> Any:
        scout = client_class(KEY, base_url=server.url)
        opened = yield scout.stream(WORKFLOW)
        try:
            while True:
                yield anext(aiter(opened)) if call.is_async else next(iter(opened))
        finally:
            yield scout.close()

    with (
        Server(stream([STARTED], content_type="text/event-stream")) as server,
        pytest.raises(StreamInterruptedError) as caught,
    ):
        call.drive(program)

    assert caught.value.run_may_have_started is True
    assert [each.number for each in caught.value.attempts] == [1]
    assert caught.value.run.id


def test_an_attempt_that_may_have_started_marks_the_whole_call(call: Caller, no_waiting: None) -> None:
    """The last attempt was certainly refused, and the first was not."""
    with Server([close_unanswered, answer(422)]) as server:
        error = call.error(server.url, client={"at_least_once": True})

    assert error.run_may_have_started is True
    assert [each.run_may_have_started for each in error.attempts] == [True, False]


def test_an_exception_of_somebody_else_passes_untouched(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as that of a key function: it is neither wrapped nor repeated."""
    asked = 0

    class Own(Exception):  # noqa: N818 - not ours to name
        pass

    def key() -> str:
        nonlocal asked
        asked += 1
        raise Own("mine")

    with Server(OK) as server:
        outcome = call(server.url, client={"api_key": key})

    assert isinstance(outcome.error, Own)
    assert asked == 1
    assert server.hits == 0


# --- Its limits ---------------------------------------------------------------------------------------------------


def test_limits_of_a_call() -> None:
    limits = Limits(1.0, 2.0, math.inf)
    assert (limits.connect, limits.silence, limits.ends_at, limits.event_ends_at) == (1.0, 2.0, math.inf, math.inf)
    with pytest.raises(AttributeError):
        limits.ends = 5.0  # type: ignore[attr-defined]


class Watching:
    """A transport that notes with which limits it is called."""

    def __init__(self) -> None:
        self.seen: list[tuple[Limits, dict[str, Any]]] = []

    def note(self, request: Any) -> Any:
        import httpx

        self.seen.append((request.extensions["scout.limits"], request.extensions["timeout"]))
        return httpx.Response(200, json=run_answer())

    def handle_request(self, request: Any) -> Any:
        return self.note(request)

    async def handle_async_request(self, request: Any) -> Any:
        return self.note(request)

    def close(self) -> None: ...

    async def aclose(self) -> None: ...


def test_limits_travel_with_the_request(call: Caller) -> None:
    """A transport finds the deadline as a moment, and httpx's own timeouts shortened to it."""
    transport = Watching()
    began = time.monotonic()
    call.run("http://localhost", client={"transport": transport, "connect_timeout": 3.0}, timeout=50.0, deadline=20.0)
    call.run("http://localhost", client={"transport": transport, "connect_timeout": 3.0}, timeout=50.0)
    call.run("http://localhost", client={"transport": transport, "connect_timeout": None}, timeout=None)
    (limits, timeouts), (endless, whole), (_, none) = transport.seen

    assert (limits.connect, limits.silence) == (3.0, 50.0)
    assert began + 20.0 <= limits.ends_at <= time.monotonic() + 20.0
    assert timeouts["connect"] == 3.0
    assert 15.0 < timeouts["read"] <= 20.0
    assert endless.ends_at == math.inf
    assert (whole["read"], whole["connect"]) == (50.0, 3.0)
    assert none == dict.fromkeys(["connect", "read", "write", "pool"])


def test_a_long_error_is_not_read_to_its_end(call: Caller) -> None:
    """Its first megabyte says enough; the connection is given up, and the next call has another one."""

    def endless(peer: Any) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 500 No\r\nContent-Length: 900000000\r\n\r\n")
        while True:
            peer.send(b"x" * 65536)

    def program(client_class: Any) -> Any:
        scout = client_class(KEY, base_url=server.url, max_connections=1)
        with pytest.raises(InternalServerError):
            yield scout.execute(WORKFLOW, deadline=10.0)
        run = yield scout.execute(WORKFLOW, deadline=10.0)
        yield scout.close()
        return run

    with Server([endless, OK]) as server:
        assert call.drive(program).output == "Hello"


def test_a_system_error_keeps_its_number(call: Caller) -> None:
    with refused_url() as url:
        error = call.error(url, retries=0)
    assert isinstance(error.__cause__, ConnectionRefusedError)
    assert error.__cause__.errno
