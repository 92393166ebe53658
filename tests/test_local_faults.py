"""What goes wrong when it is asked to: seen by a bare HTTP client, and by the facade, which has to cope with it."""

import asyncio
import dataclasses
import json
import threading
import time
from collections.abc import Iterator
from functools import partial, reduce
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scout import (
    APIConnectionError,
    APIResponseError,
    APITimeoutError,
    AsyncScout,
    ConfigurationError,
    InternalServerError,
    RateLimitError,
    Scout,
    StreamDecodeError,
    StreamInterruptedError,
    UnknownEvent,
)
from scout.local import Access, Fault, LocalScout, parse_fault
from scout.local.faults import EVENT_FAULTS, FAULT_FIELDS, Faults, fault_as_text, read_fault

GROWN: Any = reduce(lambda part, _: [part] * 10, range(9), "x")  # 10^9 values when it is written out

KEY = {"authorization": "Bearer key"}
EXECUTE = "/v2/workflows/execute"
BLOCK = {"block_id": "a", "block_archetype_id": "com.scoutos.llm", "block_display_name": "A", "is_output": True}
PROMPTS = {"model": "gpt-4o", "prompt_items": [{"role": "user", "content": "one two three"}]}
CONFIG = {"blocks": [{**BLOCK, "block_inputs": PROMPTS}]}

pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.fixture(scope="module")
def shared() -> Iterator[LocalScout]:
    with LocalScout() as server:
        yield server


@pytest.fixture
def server(shared: LocalScout) -> LocalScout:
    shared.reset()
    return shared


@pytest.fixture
def http(server: LocalScout) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers=KEY, timeout=5) as http:
        yield http


@pytest.fixture
def scout(server: LocalScout) -> Iterator[Scout]:
    with Scout("any", base_url=server.url, timeout=5) as scout:
        yield scout


def run(http: httpx.Client, *, streaming: bool = False) -> httpx.Response:
    return http.post(EXECUTE, json={"workflow_config": CONFIG, "streaming": streaming})


def frames(text: str) -> list[str]:
    return [frame for frame in text.split("\n\n") if frame]


def names(text: str) -> list[str]:
    return [frame.splitlines()[0].removeprefix("event: ") for frame in frames(text)]


WHOLE = [
    "workflow_run_started",
    "block_run_started",
    *["block_state_updated"] * 6,
    "block_run_completed",
    "workflow_run_completed",
]


@st.composite
def faults(draw: st.DrawFn) -> Fault:
    """All faults that text can express."""
    seconds = st.floats(0, 1e6)
    whole = st.integers(1, 10**6)
    texts = st.text("a .0=:/\"'\té\N{GRINNING FACE}", min_size=1)
    kinds = (
        {"status": st.integers(400, 599), "retry_after": seconds | st.none(), "delay": seconds},
        {"rate": st.floats(1e-6, 1e6) | whole | whole.map(lambda each: each / 60), "retry_after": st.none() | seconds},
        {"delay": st.floats(1e-6, 1e6), **dict.fromkeys(EVENT_FAULTS[1:], st.none() | whole)},
        {"stall_after": st.integers(0, 9)},
    )
    which = {"times": st.none() | whole, "match": st.none() | texts.map(str.strip).filter(bool)}
    return draw(st.one_of([st.builds(Fault, **kind, **which) for kind in kinds]))


def test_without_a_fault_the_stream_is_whole(http: httpx.Client) -> None:
    assert names(run(http, streaming=True).text) == WHOLE


class Clock:
    """A clock that goes on by `step` with each look at it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.step = 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


class TestAnswers:
    def test_a_status_with_headers_and_a_body(self, server: LocalScout, http: httpx.Client) -> None:
        server.fail_next(429, retry_after=1.5, headers={"x-mine": "a"}, body={"detail": "slower"})
        response = run(http)

        assert (response.status_code, response.json()) == (429, {"detail": "slower"})
        assert response.headers["retry-after"] == "1.5"
        assert response.headers["x-mine"] == "a"
        assert run(http).status_code == 200

    @pytest.mark.parametrize("status", [400, 404, 418, 500, 503, 529, 599])
    def test_any_status(self, status: int, server: LocalScout, http: httpx.Client) -> None:
        server.fail_next(status)
        for path, method in ((EXECUTE, "POST"), ("/v2/workflows", "GET"), ("/nowhere", "GET")):
            server.fail_next(status)
            assert http.request(method, path).status_code == status

    def test_a_number_of_times(self, server: LocalScout, http: httpx.Client) -> None:
        server.fail_next(503, times=3)
        assert [run(http).status_code for _ in range(4)] == [503, 503, 503, 200]

    def test_those_that_fail_are_noted_and_do_not_run(self, server: LocalScout, http: httpx.Client) -> None:
        server.fail_next()
        assert run(http).status_code == 500
        assert [request.path for request in server.requests] == [EXECUTE]
        assert server.runs == []

    def test_a_delay(self, server: LocalScout, http: httpx.Client) -> None:
        server.fail_next(delay=0.4)
        began = time.monotonic()
        assert run(http).status_code == 200
        assert time.monotonic() - began >= 0.4

    def test_a_client_that_leaves_while_it_is_delayed(self, server: LocalScout, http: httpx.Client) -> None:
        server.fail_next(delay=30)
        with pytest.raises(httpx.ReadTimeout):
            http.post(EXECUTE, json={"workflow_config": CONFIG}, timeout=0.2)
        assert run(http).status_code == 200
        assert len(server.runs) == 1  # what nobody waits for is not done, neither then nor later


class TestWhich:
    def test_by_number(self) -> None:
        faults = [Fault(status=500, request=2), Fault(status=503, request=4)]
        with LocalScout(faults=faults) as server, httpx.Client(base_url=server.url, headers=KEY) as http:
            assert [run(http).status_code for _ in range(5)] == [200, 500, 200, 503, 200]
            server.reset()
            assert [run(http).status_code for _ in range(2)] == [200, 500]

    def test_by_match(self) -> None:
        faults = [Fault(status=500, match="GET /v2"), Fault(status=503, match='"special"')]
        with LocalScout(faults=faults) as server, httpx.Client(base_url=server.url, headers=KEY) as http:
            assert http.get("/v2/workflows").status_code == 500
            assert run(http).status_code == 200
            assert http.post(EXECUTE, json={"workflow_config": {"special": 1}}).status_code == 503

    def test_for_ever_and_those_that_were_added_first_in_turn(self) -> None:
        fault = Fault(status=500)
        with LocalScout(faults=[fault]) as server, httpx.Client(base_url=server.url, headers=KEY) as http:
            server.fail_next(503, times=2)
            server.fail_next(429)
            assert [run(http).status_code for _ in range(5)] == [503, 503, 429, 500, 500]
            server.fail_next(418)
            assert [run(http).status_code for _ in range(2)] == [418, 500]
            server.fail_next(404)
            server.reset()
            assert run(http).status_code == 500

    def test_a_fault_of_events_waits_for_a_run(self, server: LocalScout, http: httpx.Client) -> None:
        server.fail_next(cut_after=1)
        assert http.get("/v2/workflows").status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            run(http, streaming=True)

    def test_each_of_many_at_once_meets_its_own(self, server: LocalScout) -> None:
        server.fail_next(503, times=10)
        statuses: list[int] = []

        def ask() -> None:
            with httpx.Client(base_url=server.url, headers=KEY, timeout=20) as http:
                statuses.append(run(http).status_code)

        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(statuses) == [200] * 10 + [503] * 10


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("scout.local.faults.monotonic", clock)
    return clock


class TestRates:
    """Under a clock that goes only when the test says so, or by as much with each request."""

    @staticmethod
    def ask(faults: Faults, first_line: str = "GET /") -> float | None:
        """Send a request, and return the seconds that it is asked to wait; `None` when it is let through."""
        fault = faults.next(first_line, b"", is_run=False)
        return None if fault is None else fault.retry_after

    @pytest.mark.parametrize(
        ("rate", "at_once", "wait"), [(2, 2, 0.5), (40, 40, 0.025), (0.25, 1, 4), (1.6, 1, 0.25), (3.5, 3, 0.143)]
    )
    def test_who_waits_as_long_as_asked_is_let_through(
        self, rate: float, at_once: int, wait: float, clock: Clock
    ) -> None:
        faults = Faults([Fault(rate=rate)])
        for _ in range(2):
            assert [self.ask(faults) for _ in range(at_once)] == [None] * at_once
            assert [self.ask(faults) for _ in range(3)] == [wait] * 3  # those that are refused do not count
            clock.now += wait - 0.01
            assert self.ask(faults) == pytest.approx(0.01, abs=0.001)
            clock.now += 0.01
            assert self.ask(faults) is None
            assert self.ask(faults) == pytest.approx(1 / rate, abs=0.001)
            clock.now += 1000  # nobody asks for a while: no more than before are let through at once

    @given(st.floats(0.2, 50), st.lists(st.floats(0, 1), min_size=1, max_size=60))
    def test_never_more_than_the_rate_and_a_second_s_worth(self, rate: float, gaps: list[float]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            clock = Clock()
            patch.setattr("scout.local.faults.monotonic", clock)
            faults = Faults([Fault(rate=rate)])
            passed: list[float] = []
            for gap in gaps:
                clock.now += gap
                if (wait := self.ask(faults)) is not None:
                    clock.now += wait
                    assert self.ask(faults) is None
                passed.append(clock.now)
            for first, began in enumerate(passed):
                for last, ended in enumerate(passed[first:], 1):
                    assert last <= max(1, rate) + rate * (ended - began) + 1e-3
            clock.now += 1000
            for _ in gaps:  # as fast as the rate, all are let through
                assert self.ask(faults) is None
                clock.now += 1 / rate

    def test_only_what_matches_counts(self, clock: Clock) -> None:
        faults = Faults([Fault(rate=1, match="POST"), Fault(status=503, match="POST", retry_after=7)])
        assert [self.ask(faults) for _ in range(3)] == [None] * 3
        # What the rate lets through meets the next fault; so does all, when the rate has been used up.
        assert [self.ask(faults, "POST /") for _ in range(3)] == [7, 1, 1]

    def test_how_often_and_with_what(self, clock: Clock) -> None:
        fault = Fault(rate=1, status=503, retry_after=9, headers={"x-mine": "a"}, body=[1], times=2)
        faults = Faults([fault])
        got = [faults.next("GET /", b"", is_run=False) for _ in range(4)]
        assert got == [None, fault, fault, None]
        assert faults.in_force() == []
        faults.reset()
        assert self.ask(faults) is None
        assert faults.in_force() == [(fault, 2)]
        assert self.ask(faults) == 9
        assert faults.in_force() == [(fault, 1)]

    def test_a_reset_fills_it(self, clock: Clock) -> None:
        faults = Faults([Fault(rate=1)])
        assert [self.ask(faults), self.ask(faults)] == [None, 1]
        faults.reset()
        assert [self.ask(faults), self.ask(faults)] == [None, 1]

    def test_many_at_once(self, clock: Clock) -> None:
        faults = Faults([Fault(rate=50)])
        waits: list[float | None] = []

        def ask() -> None:
            waits.extend([self.ask(faults) for _ in range(20)])

        threads = [threading.Thread(target=ask) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert waits.count(None) == 50
        assert waits.count(0.02) == 150

    def test_over_http_all_requests_count(self, server: LocalScout, http: httpx.Client, clock: Clock) -> None:
        server.fail_next(rate=3)
        server.fail_next(503)
        assert [run(http).status_code, run(http).status_code, http.get("/v2/workflows").status_code] == [503, 200, 200]
        for response in (run(http), run(http, streaming=True), http.get("/nowhere")):
            assert (response.status_code, response.headers["retry-after"]) == (429, "0.334")
        assert len(server.runs) == 1
        server.reset()
        assert [run(http).status_code for _ in range(4)] == [200] * 4

    @pytest.mark.parametrize(
        ("options", "last"),
        [
            ({"rate": 1}, 429),
            ({"rate": 1, "times": 2}, 200),
            ({"status": Fault(rate=1)}, 429),
            ({"status": Fault(rate=1), "times": 2}, 200),
            ({"status": Fault(rate=1, times=2)}, 200),
        ],
        ids=str,
    )
    def test_fail_next_holds_until_a_reset(
        self, options: Any, last: int, server: LocalScout, http: httpx.Client, clock: Clock
    ) -> None:
        server.fail_next(**options)
        assert [http.get("/v2/workflows").status_code for _ in range(4)] == [200, 429, 429, last]
        server.reset()
        assert [http.get("/v2/workflows").status_code for _ in range(4)] == [200] * 4

    def test_calls_come_through(self, server: LocalScout, scout: Scout, clock: Clock) -> None:
        server.fail_next(rate=2)
        clock.step = 0.1
        assert all(scout.execute(CONFIG).ok for _ in range(10))
        assert len(server.requests) > 20

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_a_batch_loses_no_row(self, asynchronous: bool, server: LocalScout) -> None:
        server.fail_next(rate=100)
        rows = [{"row": number} for number in range(120)]
        began = time.monotonic()
        if asynchronous:

            async def results() -> list[Any]:
                async with AsyncScout("any", base_url=server.url) as scout:
                    return [row async for row in scout.batch(CONFIG, rows, concurrency=16)]

            done = asyncio.run(results())
        else:
            with Scout("any", base_url=server.url) as scout:
                done = list(scout.batch(CONFIG, rows, concurrency=16))
        took = time.monotonic() - began
        assert all(row.ok for row in done)
        assert sorted(run.inputs["row"] for run in server.runs) == list(range(120))  # each once
        assert took > 0.19  # 100 at once, and 20 more


class TestInForce:
    def test_in_order_with_what_is_left(self) -> None:
        first, second = Fault(status=500), Fault(status=501, times=2)
        faults = Faults([first, second])
        added = [Fault(status=503, times=2), Fault(status=504, times=1)]
        for each in added:
            faults.add(each)
        assert faults.in_force() == [(added[0], 2), (added[1], 1), (first, None), (second, 2)]
        assert faults.next("GET /", b"", is_run=False) is added[0]
        assert faults.in_force() == [(added[0], 1), (added[1], 1), (first, None), (second, 2)]
        faults.next("GET /", b"", is_run=False)
        faults.add(added[0])
        assert faults.in_force() == [(added[1], 1), (added[0], 2), (first, None), (second, 2)]

    def test_withdraw_keeps_what_the_server_was_created_with(self) -> None:
        fault = Fault(status=500, times=2)
        faults = Faults([fault])
        faults.next("GET /", b"", is_run=False)
        faults.add(Fault(status=503))
        faults.withdraw()
        assert faults.in_force() == [(fault, 1)]
        faults.withdraw()
        assert faults.next("GET /", b"", is_run=False) == fault
        assert faults.in_force() == []
        faults.reset()
        assert faults.in_force() == [(fault, 2)]


class TestStreams:
    def received(self, http: httpx.Client) -> tuple[str, Exception | None]:
        text = ""
        try:
            with http.stream("POST", EXECUTE, json={"workflow_config": CONFIG, "streaming": True}) as response:
                for piece in response.iter_text():
                    text += piece
        except httpx.HTTPError as error:
            return text, error
        return text, None

    @pytest.mark.parametrize("count", [0, 1, 4, 10])
    def test_cut(self, count: int, server: LocalScout, http: httpx.Client) -> None:
        server.fail_next(cut_after=count)
        text, error = self.received(http)
        assert names(text) == WHOLE[:count]
        assert isinstance(error, httpx.RemoteProtocolError)

    def test_a_cut_beyond_the_end_is_none(self, server: LocalScout, http: httpx.Client) -> None:
        server.fail_next(cut_after=11)
        text, error = self.received(http)
        assert (names(text), error) == (WHOLE, None)

    @pytest.mark.parametrize("count", [0, 3])
    def test_stall(self, count: int, server: LocalScout) -> None:
        server.fail_next(stall_after=count)
        with httpx.Client(base_url=server.url, headers=KEY, timeout=0.4) as http:
            text, error = self.received(http)
        assert names(text) == WHOLE[:count]
        assert isinstance(error, httpx.ReadTimeout)

    def test_malformed_and_drift(self, server: LocalScout, http: httpx.Client) -> None:
        server.fail_next(malformed=3, drift=4)
        found = frames(self.received(http)[0])
        assert len(found) == 10
        with pytest.raises(ValueError):  # noqa: PT011 - json's own
            json.loads(found[2].partition("data: ")[2])
        assert json.loads(found[3].partition("data: ")[2])["data"] == "not what it was: block_state_updated"

    def test_duplicate_and_unknown(self, server: LocalScout, http: httpx.Client) -> None:
        server.fail_next(duplicate=3, unknown_event=1)
        text, _ = self.received(http)
        assert names(text) == [WHOLE[0], "local_scout_fault", *WHOLE[1:3], *WHOLE[2:]]
        found = frames(text)
        assert found[3] == found[4]


class TestPlainRuns:
    def test_cut_before_and_in_the_body(self, server: LocalScout, http: httpx.Client) -> None:
        server.fail_next(cut_after=0)
        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
            run(http)
        server.fail_next(cut_after=1)
        with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete message body|without sending complete"):
            run(http)

    def test_stall(self, server: LocalScout) -> None:
        server.fail_next(stall_after=0)
        server.fail_next(stall_after=1)
        with httpx.Client(base_url=server.url, headers=KEY, timeout=0.3) as http:
            for _ in range(2):
                with pytest.raises(httpx.ReadTimeout):
                    run(http)

    def test_malformed_and_drift(self, server: LocalScout, http: httpx.Client) -> None:
        server.fail_next(drift=1)
        assert run(http).json()["run"].startswith("not what it was")
        server.fail_next(malformed=1)
        with pytest.raises(ValueError):  # noqa: PT011 - json's own
            run(http).json()


class TestFacade:
    """What the faults are for: an application sees what it would see of Scout itself."""

    def test_429_is_repeated(self, server: LocalScout, scout: Scout) -> None:
        server.fail_next(429, retry_after=0.01, times=2)
        assert scout.execute(CONFIG).ok
        assert len(server.requests) == 3
        server.fail_next(429, retry_after=500)
        with pytest.raises(RateLimitError):
            scout.execute(CONFIG)

    def test_500_and_a_hangup_are_not(self, server: LocalScout, scout: Scout) -> None:
        for fault, error in (({"status": 500}, InternalServerError), ({"cut_after": 0}, APIConnectionError)):
            server.reset()
            server.fail_next(**fault)
            with pytest.raises(error) as raised:
                scout.execute(CONFIG)
            assert raised.value.run_may_have_started is True
            assert len(server.requests) == 1

    def test_a_hangup_comes_after_the_run(self, server: LocalScout, scout: Scout) -> None:
        server.fail_next(cut_after=0)
        with pytest.raises(APIConnectionError):
            scout.execute(CONFIG)
        assert [each.ok for each in server.runs] == [True]

    def test_broken_and_wrong_bodies(self, server: LocalScout, scout: Scout) -> None:
        for fault in ({"cut_after": 1}, {"malformed": 1}, {"drift": 1}):
            server.fail_next(**fault)
            with pytest.raises((APIResponseError, APIConnectionError)):
                scout.execute(CONFIG)

    def test_streams(self, server: LocalScout, scout: Scout) -> None:
        def follow(**fault: Any) -> Any:
            server.fail_next(**fault)
            with scout.stream(CONFIG, timeout=0.5) as stream:
                return [*stream], stream.run

        with pytest.raises(StreamInterruptedError) as interrupted:
            follow(cut_after=5)
        assert interrupted.value.run.text.startswith("[gpt-4o")
        with pytest.raises(APITimeoutError):
            follow(stall_after=4)
        with pytest.raises(StreamDecodeError):
            follow(malformed=4)
        events, run = follow(unknown_event=3)
        assert [type(event) for event in events].count(UnknownEvent) == 1
        assert run.ok
        events, run = follow(drift=4)
        assert [type(event) for event in events].count(UnknownEvent) == 1
        assert run.text == "[gpt-4o stand-in] one two three"
        _, run = follow(duplicate=4)
        assert run.text == "[gpt-4o stand-in] one two three"


class TestWords:
    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("status=429,retry_after=1,times=2", Fault(status=429, retry_after=1.0, times=2)),
            (" status = 500 ", Fault(status=500)),
            ("delay=0.5", Fault(delay=0.5)),
            ("cut_after=0,match=POST /v2", Fault(cut_after=0, match="POST /v2")),
            ("stall_after=2,request=3", Fault(stall_after=2, request=3)),
            (
                "malformed=1,duplicate=2,unknown_event=0,drift=4",
                Fault(malformed=1, duplicate=2, unknown_event=0, drift=4),
            ),
            ("rate=40/s", Fault(rate=40)),
            ("rate = 0.5", Fault(rate=0.5)),
            ("rate=90 / min,status=503,retry_after=2,times=3", Fault(rate=1.5, status=503, retry_after=2, times=3)),
            ("rate=1800/h,match=POST /v2", Fault(rate=0.5, match="POST /v2")),
        ],
    )
    def test_a_fault_from_text(self, text: str, fault: Fault) -> None:
        assert parse_fault(text) == fault

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "no part of a fault"),
            ("status", "no part of a fault"),
            ("colour=red", "no part of a fault; there are status"),
            ("status=many", "must be a whole number"),
            ("status=1.5", "must be a whole number"),
            ("status=200", "^the fault 'status=200': status must be from 400 to 599"),
            ("status=600", "from 400 to 599"),
            ("times=2", "something that goes wrong"),
            ("delay=-1", "0 or more"),
            ("delay=inf", "0 or more"),
            ("malformed=0", "1 or more"),
            ("cut_after=-1", "0 or more"),
            ("retry_after=1", "with a status"),
            ("status=500,status=501", "twice"),
            ("cut_after=1,stall_after=1", "not both"),
            ("status=500,match=", "not empty"),
            ("status=500,cut_after=1", "nothing else to spoil"),
            ("delay=soon", "delay must be a number, not 'soon'"),
            *(
                (f"rate={text}", f"rate must be a rate such as 40/s or 100/min, not '{text}'")
                for text in ("many", "", "/s", "40/", "40/day")
            ),
            *((f"rate={text}", "above 0") for text in ("0", "-1/s", "nan", "inf", "1e-20/h", "1e300")),
            *((f"rate=40/s,{more}", "a fault of their own") for more in ("delay=1", "cut_after=1", "stall_after=0")),
            ("rate=40/s,request=3", "rate or request"),
        ],
    )
    def test_what_is_none(self, text: str, said: str) -> None:
        with pytest.raises(ConfigurationError, match=said):
            parse_fault(text)

    @given(faults())
    def test_text_and_back(self, fault: Fault) -> None:
        assert parse_fault(fault_as_text(fault)) == fault

    @pytest.mark.parametrize(
        ("fault", "text"),
        [
            (Fault(status=429, retry_after=1.0, times=2), "status=429,retry_after=1,times=2"),
            (Fault(delay=0.5, match="v1.0"), "delay=0.5,match=v1.0"),
            (Fault(rate=40), "rate=40/s"),
            (Fault(rate=100 / 60), "rate=100/min"),
            (Fault(rate=5 / 3600), "rate=5/h"),
            (Fault(rate=1 / 7), "rate=0.14285714285714285/s"),
        ],
    )
    def test_as_text(self, fault: Fault, text: str) -> None:
        assert fault_as_text(fault) == text

    @pytest.mark.parametrize(
        ("fault", "text"),
        [
            (
                Fault(status=503, headers={"x-mine": "a=b"}, body={"detail": "é", "no": [1]}),
                'status=503,headers: {"x-mine": "a=b"},body: {"detail": "é", "no": [1]}',
            ),
            (Fault(status=500, body=False), "status=500,body: false"),
            (Fault(status=500, match="a,times=1"), 'status=500,match: "a,times=1"'),
            (Fault(status=500, match=" a"), 'status=500,match: " a"'),
        ],
    )
    def test_what_text_cannot_express_is_shown_and_not_read(self, fault: Fault, text: str) -> None:
        assert fault_as_text(fault) == text
        with pytest.raises(ConfigurationError, match="no part of a fault"):
            parse_fault(text)

    def test_fields(self) -> None:
        assert {each.name for each in FAULT_FIELDS} == {each.name for each in dataclasses.fields(Fault)} - {
            "headers",
            "body",
        }
        assert read_fault({"status": "503", "match": "a, b"}) == Fault(status=503, match="a, b")
        with pytest.raises(ConfigurationError, match="'body' is no part of a fault"):
            read_fault({"status": "503", "body": "x"})

    @pytest.mark.parametrize(
        "options",
        [
            *({"body": {1, 2}}, {"body": b"x"}, {"body": float("nan")}, {"body": "\ud800"}, {"headers": {"x": "€"}}),
            {"body": {1: "one", "1": "uno"}},
            pytest.param({"body": GROWN}, id="grown"),
            *({"headers": {"x": 1}}, {"headers": None}, {"headers": {"x": "a\r\nb"}}, {"headers": {"a b": "c"}}),
            *({"headers": {"Content-Length": "3"}}, {"headers": {"transfer-encoding": "chunked"}}, {"delay": 10**30}),
            *({"match": 5}, {"match": "\udcff"}, {"retry_after": True}),
        ],
        ids=ascii,
    )
    def test_what_http_cannot_carry(self, options: Any) -> None:
        with pytest.raises(ConfigurationError):
            Fault(status=500, **options)

    def test_what_is_meant_without_a_status(self, server: LocalScout, http: httpx.Client) -> None:
        server.fail_next(retry_after=1_209_600)
        server.fail_next(body={"detail": "mine"})
        first, second = run(http), run(http)
        assert (first.status_code, first.headers["retry-after"]) == (429, "1209600")
        assert (second.status_code, second.json()) == (500, {"detail": "mine"})

    def test_a_whole_fault(self, server: LocalScout, http: httpx.Client) -> None:
        server.fail_next(Fault(status=418, headers={"x-pot": "tea"}))
        server.fail_next(Fault(status=503, times=2))
        assert [run(http).status_code for _ in range(4)] == [418, 503, 503, 200]
        with pytest.raises(ConfigurationError, match="delay"):
            server.fail_next(Fault(status=503), delay=1)

    def test_wrong_types(self, server: LocalScout) -> None:
        for options in ({"status": True}, {"status": "500"}, {"delay": "1"}, {"malformed": 1.5}, {"times": 0}):
            with pytest.raises(ConfigurationError):
                server.fail_next(**{"status": 500, **options})
        with pytest.raises(TypeError):
            server.fail_next(nonsense=1)


class TestHistory:
    def test_requests_are_noted_without_their_key(self, server: LocalScout) -> None:
        headers = {"authorization": "Bearer secret_planted", "cookie": "secret_cookie", "x-mine": "kept"}
        httpx.post(server.url + EXECUTE + "?environment=staging&a=%20", headers=headers, json={"workflow_config": {}})
        httpx.get(server.url + "/v2/workflows/a%2Fb")

        first, second = server.requests
        assert (first.method, first.path, first.query) == ("POST", EXECUTE, {"environment": "staging", "a": " "})
        assert first.json == {"workflow_config": {}}
        assert first.headers["x-mine"] == "kept"
        assert "secret" not in repr(first) + str(first.headers)
        assert (second.method, second.path, second.json) == ("GET", "/v2/workflows/a%2Fb", None)

    def test_runs_are_noted_before_the_client_has_them(self, server: LocalScout, scout: Scout) -> None:
        run = scout.execute(
            {**CONFIG, "blocks": [*CONFIG["blocks"]]}, {"x": 1}, environment="staging", workflow_key="k"
        )
        with scout.stream(CONFIG) as stream:
            for _ in stream:
                pass
        with pytest.raises(Exception, match="nobody"):
            scout.execute({"blocks": [{**BLOCK, "block_archetype_id": "nobody"}]})

        plain, streamed, failed = server.runs
        assert (plain.id, plain.output, plain.outputs) == (run.id, run.output, {"a": run.output})
        assert (plain.inputs, plain.environment, plain.workflow_key, plain.ok) == ({"x": 1}, "staging", "k", True)
        assert plain.answer == run.raw
        assert streamed.output == run.output
        assert (failed.ok, failed.output) == (False, None)
        assert "nobody" in failed.errors[0]

    def test_it_is_bounded(self, server: LocalScout) -> None:
        with httpx.Client(base_url=server.url, headers=KEY) as http:
            for number in range(1_010):
                http.get(f"/{number}")
            assert len(server.requests) == 1_000
            assert server.requests[0].path == "/10"
            for _ in range(4):
                http.post(EXECUTE, content=b" " * (19 * 1024 * 1024))
        assert sum(len(request.content) for request in server.requests) <= 64 * 1024 * 1024
        assert server.requests[-1].path == EXECUTE

    def test_a_reset_forgets_what_is_under_way(self, server: LocalScout) -> None:
        server.fail_next(delay=0.3)
        with httpx.Client(base_url=server.url, headers=KEY) as http:
            thread = threading.Thread(target=run, args=(http,))
            thread.start()
            time.sleep(0.1)
            server.reset()
            thread.join(10)
        assert server.requests == []

    def test_access_tells_of_faults_too(self) -> None:
        seen: list[Access] = []
        with LocalScout(on_access=seen.append) as server, httpx.Client(base_url=server.url, headers=KEY) as http:
            server.fail_next(503)
            run(http)
            server.fail_next(cut_after=0)
            with pytest.raises(httpx.RemoteProtocolError):
                run(http)
            run(http)
        assert [each.status for each in seen] == [503, None, 200]


def test_workflows_from_the_start(tmp_path: Any) -> None:
    options: dict[str, Any] = {"workflows": {"mine": CONFIG, "other": {}}, "store": tmp_path / "s.db"}
    with LocalScout(**options) as server, Scout("any", base_url=server.url) as scout:
        ids = server.workflow_ids
        assert list(ids) == ["mine", "other"]
        assert "one two" in scout.workflows.execute(ids["mine"]).text
        scout.workflows.delete(ids["other"])
        scout.workflows.create({}, key="more")
        server.reset()  # what is in a file stays
        assert list(server.workflow_ids) == ["mine", "more", "other"]
        kept = server.workflow_ids
    with LocalScout(**options) as server:
        assert server.workflow_ids == kept
    with LocalScout(**{**options, "workflows": {"mine": {}}}) as server, Scout("any", base_url=server.url) as scout:
        assert server.workflow_ids == kept
        assert scout.workflows.get(kept["mine"]).config == {}


@pytest.mark.parametrize(
    ("workflows", "said"),
    [
        ({"": {}}, "is no key"),
        ({5: {}}, "is no key"),
        ({"a": 5}, "must be a config"),
        ({"a": None}, "must be a config"),
        ({"a": {"b": object()}}, "b: JSON cannot carry a object"),
        ({"a": {"b": float("nan")}}, "b: nan is not JSON"),
        ({"a": {"b": {1: "one", "1": "uno"}}}, "b: the key 1 is not text"),
        ({"a": {"b": "\ud800"}}, "b: the text holds half of a surrogate pair"),
        ({"a": {"b": GROWN}}, "b.*grow to more than 5,000,000"),
    ],
)
def test_workflows_that_are_none(workflows: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^workflows.*{said}"):
        LocalScout(workflows=workflows)


@pytest.mark.parametrize(
    ("config", "said"),
    [({"tags": 5}, "tags: "), ({"blocks": "x"}, "blocks: "), ({"blocks": [{"block_id": "x"}]}, "blocks.0.block_")],
)
def test_workflows_that_do_not_fit_the_specification(config: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=f'workflows\\["a"\\] is no config: {said}'):
        LocalScout(workflows={"a": config}).start()


def test_a_workflow_is_deployed_while_the_server_runs(tmp_path: Any) -> None:
    changed = {**CONFIG, "tags": ["changed"]}
    options: dict[str, Any] = {"workflows": {"mine": CONFIG}, "store": tmp_path / "s.db"}
    with LocalScout(**options) as server, Scout("any", base_url=server.url) as scout:
        ids = server.workflow_ids
        first = scout.workflows.get(ids["mine"]).revision_id
        assert server.deploy("mine", CONFIG) == first
        second = server.deploy("mine", changed)
        assert (server.workflow_ids, second != first) == (ids, True)
        assert [each.revision_id for each in scout.workflows.revisions(ids["mine"])] == [second, first]
        scout.workflows.update(ids["mine"], {})  # a draft, which no environment runs
        assert server.deploy("mine", changed) == second
        assert server.deploy("mine", CONFIG) not in (first, second)
        new = server.deploy("more", {})
        assert scout.workflows.get(server.workflow_ids["more"]).revision_id == new


def test_a_deployed_workflow_stays_until_the_reset() -> None:
    with LocalScout(workflows={"mine": CONFIG}) as server, Scout("any", base_url=server.url) as scout:
        server.deploy("mine", {})
        server.deploy("more", {})
        server.replace_stubs({"summary": "from now on"})
        server.reset()
        assert list(server.workflow_ids) == ["mine"]
        assert scout.workflows.get("key:mine").config == CONFIG
        assert server.unused_stubs() == ["summary"]  # as if the server had been created with it


def test_true_is_not_the_number_one() -> None:
    with LocalScout() as server:
        one, true = ({"flag": value} for value in (1, True))
        assert server.deploy("a", one) != server.deploy("a", true)


@pytest.mark.parametrize(
    ("key", "config", "said"),
    [("", {}, "is no key"), ("a", 5, "must be a config"), ("a", {"tags": 5}, "is no config: tags: ")],
)
def test_what_cannot_be_deployed(key: str, config: Any, said: str) -> None:
    with LocalScout() as server:
        with pytest.raises(ConfigurationError, match=said):
            server.deploy(key, config)
        assert server.workflow_ids == {}


def test_nothing_is_deployed_to_a_server_that_does_not_run() -> None:
    server = LocalScout()
    with pytest.raises(ConfigurationError, match="while it runs, and it does not"):
        server.deploy("a", {})
    with server:
        server.deploy("a", {})
    with pytest.raises(ConfigurationError, match="while it runs, and it does not"):
        server.deploy("a", {})


def test_a_reset_forgets_what_is_not_in_a_file() -> None:
    with LocalScout(workflows={"mine": CONFIG}) as server, Scout("any", base_url=server.url) as scout:
        scout.workflows.create({}, key="more")
        server.reset()
        assert list(server.workflow_ids) == ["mine"]


def test_resets_and_closes_at_the_same_time() -> None:
    for _ in range(20):
        server = LocalScout(workflows={"mine": CONFIG}).start()
        acts = [
            server.reset,
            server.reset,
            partial(getattr, server, "workflow_ids"),
            server.close,
            server.close,
            server.close,
        ]
        problems: list[BaseException] = []

        def do(act: Any, problems: list[BaseException] = problems) -> None:
            try:
                act()
            except BaseException as error:  # noqa: BLE001 - the test judges it
                problems.append(error)

        threads = [threading.Thread(target=do, args=(act,)) for act in acts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert problems == []


@pytest.mark.parametrize(
    "options",
    [
        *({"port": "8787"}, {"port": True}, {"port": -1}, {"api_key": ""}, {"api_key": "a b"}, {"api_key": "a\n"}),
        *(
            {"api_key": 5},
            {"token_delay": "x"},
            {"token_delay": -1},
            {"env": "A=B"},
            {"env": {"A": 5}},
            {"blocks": ["x"]},
        ),
        *({"blocks": {"x": 5}}, {"workflows": ["x"]}, {"faults": [{"status": 429}]}, {"faults": "status=429"}),
        *({"faults": Fault(status=429)}, {"llm_api_key": "x"}, {"faults": 5}, {"blocks": {1: print}}),
        *({"token_delay": True}, {"on_access": 3}, {"llm_base_url": "http://127.0.0.1:99999/v1"}),
        {"llm_base_url": "http://127.0.0.1:0/v1"},
        {"llm_base_url": "http://127.0.0.1:1/v1", "llm_api_key": 5},
    ],
    ids=str,
)
def test_options_that_cannot_work(options: Any) -> None:
    with pytest.raises(ConfigurationError):
        LocalScout(**options)


@pytest.mark.parametrize("store", ["", 5, "a\0b"])
def test_a_store_that_is_none(store: Any) -> None:
    with pytest.raises(ConfigurationError, match="store"):
        LocalScout(store=store).start()


def test_looking_at_one_that_was_closed() -> None:
    with LocalScout() as server, Scout("any", base_url=server.url) as scout:
        scout.workflows.create({}, key="mine")
    assert len(server.requests) == 1
    assert server.workflow_ids == {}
    server.reset()
    assert server.requests == []
