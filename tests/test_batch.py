"""Batches from end to end: each row becomes an item, none runs twice, and every way to end one leaves nothing behind.

`test_batch_crashes.py` has what a crash leaves.
"""

import asyncio
import contextlib
import gc
import json
import linecache
import os
import pickle
import signal
import sqlite3
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import pytest
from batch_server import Asked, BatchServer, Bucket, Reply, refusal, run_of
from servers import KEY, PATIENCE, WORKFLOW, Caller, refused_url, settled

import scout as package
from scout import (
    APIConnectionError,
    APIResponseError,
    APITimeoutError,
    AsyncScout,
    ConfigurationError,
    InternalServerError,
    JournalError,
    NotFoundError,
    RateLimitError,
    RunFailedError,
    RunUnknownError,
    Scout,
    UnprocessableEntityError,
)
from scout.batch import _batch, _journal_file, _work
from scout.cassettes import record, replay
from scout.local import LocalScout

LINES = 1 if os.environ.get("SCOUT_TEST_PROFILE") == "deep" else 9
"""Ctrl-C interrupts at each line of so many."""


def rows(number: int, start: int = 0) -> list[dict[str, Any]]:
    return [{"n": n} for n in range(start, number)]


class Break(Exception):  # noqa: N818 - an instruction, not an error
    """Leave the loop."""


@dataclass
class Result:
    """What came of a batch."""

    items: list[Any] = field(default_factory=list)
    error: Any = None
    summary: Any = None

    @property
    def outcomes(self) -> dict[Any, str]:
        return {item.inputs["n"]: item.outcome for item in self.items}

    def the(self, n: Any) -> Any:
        """Return the item of a row."""
        (item,) = (item for item in self.items if item.inputs["n"] == n)
        return item

    def checked(self) -> "Result":
        """Return this, or raise the error."""
        if self.error is not None:
            raise self.error
        return self


def run_batch(
    call: Caller,
    url: str,
    rows: Any,
    *,
    first: Callable[[Any], object] = lambda batch: None,
    each: Callable[[Any, Any], object] = lambda batch, item: None,
    meanwhile: Callable[[Any], object] | None = None,
    client: dict[str, Any] | None = None,
    workflow: Any = WORKFLOW,
    **options: Any,
) -> Result:
    """Run a batch with either client.

    `first` is called with the batch before the first item is asked for, `each` with the batch and each item, and may
    raise `Break`; `meanwhile` is called in another thread.
    """
    result = Result()
    settings: dict[str, Any] = {"api_key": KEY, "base_url": url, "retries": 0, "timeout": 10.0} | (client or {})

    def begin(batch: Any) -> None:
        result.summary = batch.summary
        first(batch)
        if meanwhile is not None:
            threading.Thread(target=meanwhile, args=(batch,)).start()

    def sync_batch() -> None:
        with Scout(**settings) as scout, scout.batch(workflow, rows, **options) as batch:
            begin(batch)
            for item in batch:
                result.items.append(item)
                each(batch, item)

    async def async_batch() -> None:
        async with AsyncScout(**settings) as scout, scout.batch(workflow, rows, **options) as batch:
            begin(batch)
            async for item in batch:
                result.items.append(item)
                each(batch, item)

    try:
        if call.is_async:
            asyncio.run(asyncio.wait_for(async_batch(), PATIENCE))
        else:
            sync_batch()
    except Break:
        pass
    except Exception as error:  # noqa: BLE001 - the test judges it
        result.error = error
    return result


def break_after(number: int) -> Callable[[Any, Any], None]:
    """Return what leaves the loop after so many items."""
    seen: list[Any] = []

    def each(batch: Any, item: Any) -> None:
        seen.append(item)
        if len(seen) == number:
            raise Break

    return each


async def until(condition: Callable[[], object]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what happens elsewhere has no event
            await asyncio.sleep(0.005)


def slow(seconds: float) -> Callable[[Asked], Reply]:
    return lambda asked: Reply(delay=seconds)


def by_row(replies: dict[Any, Reply], other: Reply | None = None) -> Callable[[Asked], Reply]:
    return lambda asked: replies.get(asked.n, other or Reply())


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """After each test there are no more threads than before, and nothing has warned."""
    before = set(threading.enumerate())
    yield
    assert settled(lambda: set(threading.enumerate()) <= before, 5.0), threading.enumerate()
    gc.collect()  # an object that was not closed warns here, and a warning is an error


# --- Rows and items -----------------------------------------------------------------------------------------------


def test_each_row_becomes_an_item_with_its_run(call: Caller) -> None:
    with BatchServer() as server:
        result = run_batch(call, server.url, rows(20)).checked()

    assert server.runs == dict.fromkeys(range(20), 1)
    assert sorted(item.index for item in result.items) == list(range(20))
    assert len({item.key for item in result.items}) == 20
    for item in result.items:
        assert item.inputs == {"n": item.index}
        assert (item.run.output, item.ok, item.error, item.outcome) == (item.index, True, None, "done")
        assert (item.attempts, item.session_id, item.resumed) == (1, None, False)
        assert 0 < item.seconds < PATIENCE
    summary = result.summary
    assert (summary.rows, summary.total, summary.done, summary.failed, summary.unknown) == (20, 20, 20, 0, 0)
    assert (summary.ok, summary.stopped, summary.refused, summary.causes) == (True, None, 0, {})
    assert 0 < summary.percentile(50) <= summary.percentile(99) < summary.seconds < PATIENCE


def test_rows_come_as_they_end_or_in_their_order(call: Caller) -> None:
    with BatchServer(by_row({0: Reply(delay=0.15)})) as server:
        as_they_end = run_batch(call, server.url, rows(6), concurrency=3)
        in_order = run_batch(call, server.url, rows(6), concurrency=3, ordered=True)

    assert as_they_end.items[-1].index == 0
    assert [item.index for item in in_order.items] == list(range(6))


def test_no_rows_are_no_items(call: Caller) -> None:
    with BatchServer() as server:
        result = run_batch(call, server.url, []).checked()

    assert (result.items, result.summary.rows, result.summary.ok, server.asked) == ([], 0, True, [])


def test_rows_come_from_a_csv_file(call: Caller, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('n,text\n1,one\n2,"two, or more"\n')
    with BatchServer() as server:
        result = run_batch(call, server.url, path, ordered=True).checked()

    assert [item.inputs for item in result.items] == [{"n": "1", "text": "one"}, {"n": "2", "text": "two, or more"}]
    assert [asked.body["inputs"] for asked in sorted(server.asked, key=lambda asked: asked.n)] == [
        item.inputs for item in result.items
    ]


def test_rows_come_from_json_lines(call: Caller, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"n": 1, "deep": {"list": [1, null]}}\n\n{"n": 2}\n')
    with BatchServer() as server:
        result = run_batch(call, server.url, str(path), ordered=True).checked()

    assert [item.inputs for item in result.items] == [{"n": 1, "deep": {"list": [1, None]}}, {"n": 2}]


async def test_rows_come_from_an_async_iterator() -> None:
    async def source() -> AsyncIterator[dict[str, Any]]:
        for n in range(5):
            await asyncio.sleep(0.001)
            yield {"n": n}

    with BatchServer() as server:
        async with AsyncScout(KEY, base_url=server.url) as scout:
            items = [item async for item in scout.batch(WORKFLOW, source(), ordered=True)]

    assert [item.run.output for item in items] == [0, 1, 2, 3, 4]


def test_rows_come_from_a_cursor_of_this_thread() -> None:
    with BatchServer() as server, Scout(KEY, base_url=server.url) as scout:
        database = sqlite3.connect(":memory:")
        database.row_factory = lambda cursor, values: {"n": values[0]}
        database.execute("CREATE TABLE t (n)")
        database.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(50)])
        items = list(scout.batch(WORKFLOW, database.execute("SELECT n FROM t"), concurrency=4))
        database.close()

    assert sorted(item.run.output for item in items) == list(range(50))


def test_nothing_is_opened_or_sent_before_the_first_item_is_asked_for(tmp_path: Path) -> None:
    begun = []

    def source() -> Iterator[dict[str, Any]]:
        begun.append(1)
        yield {"n": 1}

    before = set(threading.enumerate())
    with BatchServer() as server, Scout(KEY, base_url=server.url) as scout:
        batch = scout.batch(WORKFLOW, source(), journal=tmp_path / "journal")
        assert set(threading.enumerate()) - before == {server._thread}
        assert not begun
        assert not (tmp_path / "journal").exists()
        assert (batch.summary.rows, batch.summary.total) == (0, None)
        batch.close()
        assert list(batch) == []
        assert not begun

    assert not server.asked


def test_endless_rows_are_pulled_as_they_are_needed(call: Caller) -> None:
    pulled = []

    def source() -> Iterator[dict[str, Any]]:
        for n in count():
            pulled.append(n)
            yield {"n": n}

    most = []
    with BatchServer() as server:
        result = run_batch(
            call,
            server.url,
            source(),
            concurrency=4,
            each=lambda batch, item: (most.append(len(pulled) - batch.summary.rows), break_(batch, item)),
        )

    assert (len(result.items), result.error) == (100, None)
    assert max(most) < 100
    assert len(pulled) < 200
    assert not server.repeated()


def break_(batch: Any, item: Any) -> None:
    if batch.summary.rows >= 100:
        raise Break


def test_a_slow_consumer_holds_the_rows_back(call: Caller) -> None:
    pulled = []

    def source() -> Iterator[dict[str, Any]]:
        for n in range(5000):
            pulled.append(n)
            yield {"n": n}

    def each(batch: Any, item: Any) -> None:
        time.sleep(0.15)
        raise Break

    with BatchServer() as server:
        run_batch(call, server.url, source(), concurrency=4, each=each)

    assert len(pulled) < 500


def test_a_row_is_sent_before_the_next_one_comes() -> None:
    with BatchServer() as server, Scout("key", base_url=server.url) as scout:

        def source() -> Iterator[dict[str, Any]]:
            for n in range(6):
                yield {"n": n}
                if n >= 3:  # after a burst
                    server.wait_for_runs(n + 1)

        items = list(scout.batch(WORKFLOW, source()))

    assert len(items) == 6
    assert server.repeated() == set()


@pytest.mark.parametrize("concurrency", [1, 3])
def test_never_more_runs_are_under_way_than_allowed(call: Caller, concurrency: int) -> None:
    with BatchServer(slow(0.01)) as server:
        run_batch(call, server.url, rows(12), concurrency=concurrency).checked()

    assert server.most == concurrency
    assert len(server.runs) == 12


def test_more_runs_than_connections_are_no_error(call: Caller) -> None:
    with BatchServer(slow(0.01)) as server:
        result = run_batch(call, server.url, rows(12), concurrency=12, client={"max_connections": 3}).checked()

    assert result.summary.done == 12
    assert server.most <= 12


def test_the_options_of_a_run_go_with_every_row(call: Caller) -> None:
    with BatchServer() as server:
        run_batch(
            call,
            server.url,
            rows(2),
            environment="staging",
            revision_id="rev_1",
            session_id="sess_9",
            workflow_key="name",
            extra_headers={"X-Team": "green"},
            extra_query={"more": "1"},
            extra_body={"field": 2},
        ).checked()

    assert len(server.asked) == 2
    for asked in server.asked:
        sent = {"environment": "staging", "revision_id": "rev_1", "session_id": "sess_9", "more": "1"}
        assert asked.query == sent
        assert asked.headers["x-team"] == "green"
        assert asked.headers["authorization"] == f"Bearer {KEY}"
        assert (asked.body["workflow_key"], asked.body["field"]) == ("name", 2)
        assert asked.body["workflow_config"] == WORKFLOW


def test_rows_may_be_changed_after_they_were_given(call: Caller) -> None:
    def source() -> Iterator[dict[str, Any]]:
        row: dict[str, Any] = {}
        for n in range(10):
            row["n"] = n
            yield row

    with BatchServer() as server:
        result = run_batch(call, server.url, source(), concurrency=2).checked()

    assert server.runs == dict.fromkeys(range(10), 1)
    assert all(item.inputs == {"n": item.index} for item in result.items)


def test_progress_is_told_as_it_is_made(call: Caller) -> None:
    seen = []
    with BatchServer() as server:
        result = run_batch(call, server.url, rows(9), on_progress=lambda summary: seen.append(summary.rows)).checked()

    assert seen == sorted(seen)
    assert seen[-1] == 9
    assert result.summary.rows == 9


def test_an_error_of_on_progress_reaches_the_caller(call: Caller) -> None:
    def fail(summary: Any) -> None:
        raise LookupError("mine")

    with BatchServer() as server:
        result = run_batch(call, server.url, rows(9), on_progress=fail)

    assert isinstance(result.error, LookupError)


def test_an_interrupted_display_loses_no_item() -> None:
    shown: list[int] = []

    def interrupted(summary: Any) -> None:
        shown.append(summary.rows)
        if len(shown) in (1, 4):
            raise KeyboardInterrupt

    with BatchServer() as server, Scout(KEY, base_url=server.url) as scout:
        batch = scout.batch(WORKFLOW, rows(9), on_progress=interrupted)
        items: list[Any] = []
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                items.extend(iter(batch.__next__, None))
        items.extend(batch)

    assert sorted(item.index for item in items) == list(range(9))
    assert batch.summary.rows == 9


def test_items_pickle(call: Caller) -> None:
    replies = {1: Reply(500), 2: Reply(body=run_of(2, stop_reason="workflow_run_failed"))}
    with BatchServer(by_row(replies)) as server:
        result = run_batch(call, server.url, rows(3)).checked()

    for item in result.items:
        again = pickle.loads(pickle.dumps(item))
        assert (again.index, again.key, again.inputs, again.outcome) == (
            item.index,
            item.key,
            item.inputs,
            item.outcome,
        )
        assert again.run == item.run
        assert type(again.error) is type(item.error)
        assert str(again.error) == str(item.error)
    assert [result.the(n).outcome for n in range(3)] == ["done", "unknown", "failed"]


# --- Arguments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 0},
        {"concurrency": -1},
        {"concurrency": 1.5},
        {"concurrency": "8"},
        {"concurrency": True},
        {"rate": 0},
        {"rate": -1},
        {"rate": "10"},
        {"rate": float("nan")},
        {"stop_after_failures": 0},
        {"stop_after_failures": 1.5},
        {"unknown": "maybe"},
        {"journal": 7},
        {"key": 7},
        {"on_progress": 7},
        {"ordered": "no"},
        {"resume": "no"},
        {"stream": 1},
        {"engine": 7},
        {"rows": {"n": 1}},
        {"rows": "some text"},
        {"rows": 7},
        {"rows": b"n\n1\n"},
        {"rows": "no_such_file.csv"},
        {"timeout": -1},
        {"environment": "nowhere"},
        {"api_key": "another"},
    ],
    ids=str,
)
@pytest.mark.parametrize("client", [Scout, AsyncScout])
def test_wrong_arguments_are_refused_at_once(client: Any, wrong: dict[str, Any]) -> None:
    with refused_url() as url:
        scout = client(KEY, base_url=url)
        given = {"rows": rows(1)} | wrong
        with pytest.raises(ConfigurationError) as caught:
            scout.batch(WORKFLOW, **given)

    (name,) = wrong
    assert name in str(caught.value) or "no_such_file.csv" in str(caught.value)
    assert not caught.value.run_may_have_started


@pytest.mark.parametrize("client", [Scout, AsyncScout])
def test_an_option_that_there_is_not_is_a_type_error(client: Any) -> None:
    with refused_url() as url, pytest.raises(TypeError, match="concurency"):
        client(KEY, base_url=url).batch(WORKFLOW, rows(1), concurency=3)


@pytest.mark.parametrize("client", [Scout, AsyncScout])
def test_a_workflow_that_is_not_there_is_refused_at_once(client: Any) -> None:
    with refused_url() as url, pytest.raises(package.WorkflowFileError, match=r"nowhere\.yml"):
        client(KEY, base_url=url).batch("nowhere.yml", rows(1))


# --- Rows that fail -----------------------------------------------------------------------------------------------

BROKEN = {
    "failed": (Reply(body=run_of(2, stop_reason="workflow_run_failed")), RunFailedError, "failed"),
    "422": (Reply(422, {"detail": "no"}), UnprocessableEntityError, "failed"),
    "500": (Reply(500, {"detail": "no"}), InternalServerError, "unknown"),
    "reset": (Reply(ends="reset"), APIConnectionError, "unknown"),
    "cut": (Reply(ends="cut"), (APIConnectionError, APIResponseError), "unknown"),
    "silent": (Reply(ends="silent"), APITimeoutError, "unknown"),
    "nonsense": (Reply(body="a text"), APIResponseError, "unknown"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_row_that_fails_is_an_item_like_the_others(call: Caller, name: str) -> None:
    reply, kind, outcome = BROKEN[name]
    with BatchServer(by_row({2: reply})) as server:
        result = run_batch(call, server.url, rows(5), client={"timeout": 0.3}).checked()

    item = result.the(2)
    assert isinstance(item.error, kind)
    assert (item.ok, item.outcome, item.attempts) == (False, outcome, 1)
    assert (item.run is not None) is (name == "failed")
    assert result.outcomes == dict.fromkeys(range(5), "done") | {2: outcome}
    assert not server.repeated()
    summary = result.summary
    assert (summary.done, getattr(summary, outcome), summary.ok, summary.stopped) == (4, 1, False, None)
    assert list(summary.causes.values()) == [1]


def test_a_server_that_is_not_there_fails_every_row(call: Caller) -> None:
    with refused_url() as url:
        result = run_batch(call, url, rows(5)).checked()

    assert result.outcomes == dict.fromkeys(range(5), "failed")
    assert all(isinstance(item.error, APIConnectionError) for item in result.items)


def test_a_row_that_cannot_be_sent_is_an_item_like_the_others(call: Caller) -> None:
    with BatchServer() as server:
        result = run_batch(call, server.url, [{"n": 0}, {"n": 1, "x": {1, 2}}, {"n": 2}]).checked()

    assert result.outcomes == {0: "done", 1: "failed", 2: "done"}
    item = result.the(1)
    assert isinstance(item.error, ConfigurationError)
    assert "x" in str(item.error)
    assert item.attempts == 0
    assert server.runs == {0: 1, 2: 1}


class SourceError(Exception):
    """An error of a program."""


def test_an_error_of_the_rows_is_raised_after_what_runs_has_ended(call: Caller) -> None:
    def source() -> Iterator[dict[str, Any]]:
        yield from rows(6)
        raise SourceError("the database is gone")

    with BatchServer(slow(0.03)) as server:
        result = run_batch(call, server.url, source(), concurrency=4)

    assert isinstance(result.error, SourceError)
    assert result.outcomes == dict.fromkeys(range(6), "done")
    assert server.runs == dict.fromkeys(range(6), 1)
    assert result.summary.rows == 6


def test_a_row_that_is_no_mapping_ends_the_batch(call: Caller) -> None:
    with BatchServer() as server:
        result = run_batch(call, server.url, [{"n": 0}, {"n": 1}, "text", {"n": 3}])

    assert isinstance(result.error, ConfigurationError)
    assert result.outcomes == {0: "done", 1: "done"}
    assert 3 not in server.runs


def test_a_bad_line_of_a_file_ends_the_batch_with_its_place(call: Caller, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"n": 0}\n{"n": \n')
    with BatchServer() as server:
        result = run_batch(call, server.url, path)

    assert isinstance(result.error, ConfigurationError)
    assert "rows.jsonl" in str(result.error)
    assert "line 2" in str(result.error)
    assert result.outcomes == {0: "done"}


def test_a_generator_of_rows_is_closed_when_the_batch_ends_early(call: Caller) -> None:
    closed = threading.Event()

    def source() -> Iterator[dict[str, Any]]:
        try:
            yield from ({"n": n} for n in count())
        finally:
            closed.set()

    with BatchServer() as server:
        run_batch(call, server.url, source(), each=break_after(3))
        gc.collect()  # the exception that left the loop holds its frames

    assert closed.is_set()


# --- Ends before the last row -------------------------------------------------------------------------------------


def test_stop_finishes_what_runs_and_sends_no_more(call: Caller) -> None:
    def each(batch: Any, item: Any) -> None:
        batch.stop()

    with BatchServer(slow(0.03)) as server:
        result = run_batch(call, server.url, rows(500), concurrency=4, each=each).checked()

    assert len(result.items) == len(server.runs) < 20
    assert all(item.ok for item in result.items)
    assert result.summary.stopped
    assert not result.summary.ok


def test_a_stop_that_leaves_no_row_is_none(call: Caller) -> None:
    with BatchServer(slow(0.05)) as server:
        result = run_batch(call, server.url, rows(4), each=lambda batch, item: batch.stop()).checked()
    assert (len(result.items), result.summary.stopped, result.summary.ok) == (4, None, True)

    with BatchServer(by_row({}, Reply(422, delay=0.05))) as server:
        result = run_batch(call, server.url, rows(4), stop_after_failures=4).checked()
    assert (result.summary.failed, result.summary.stopped, result.summary.ok) == (4, None, False)


def test_another_thread_may_stop_it(call: Caller) -> None:
    def stop(batch: Any) -> None:
        server.wait_for_runs(20)
        batch.stop()

    with BatchServer(slow(0.01)) as server:
        endless = ({"n": n} for n in count())
        result = run_batch(call, server.url, endless, concurrency=4, meanwhile=stop).checked()

    assert len(result.items) == len(server.runs)
    assert not server.repeated()


def test_stop_before_the_first_item_sends_nothing(call: Caller) -> None:
    with BatchServer() as server:
        result = run_batch(call, server.url, rows(50), first=lambda batch: batch.stop()).checked()

    assert (result.items, server.asked) == ([], [])
    assert result.summary.stopped


def test_it_stops_after_so_many_failures(call: Caller) -> None:
    with BatchServer(by_row({5: Reply(500), 7: Reply(422), 9: Reply(500)}, Reply(delay=0.002))) as server:
        result = run_batch(call, server.url, rows(500), concurrency=2, stop_after_failures=2).checked()

    assert len(result.items) == len(server.runs) + 1  # the 422 is no run
    assert 8 <= len(result.items) < 30
    assert result.summary.failed + result.summary.unknown in (2, 3)
    assert "2" in result.summary.stopped


def test_fewer_failures_do_not_stop_it(call: Caller) -> None:
    with BatchServer(by_row({1: Reply(500)})) as server:
        result = run_batch(call, server.url, rows(30), stop_after_failures=2).checked()

    assert (len(result.items), result.summary.stopped) == (30, None)


def test_leaving_the_loop_cancels_what_runs(call: Caller) -> None:
    with BatchServer(lambda asked: Reply(delay=0.0 if asked.n == 0 else 30.0)) as server:
        begun = time.monotonic()
        result = run_batch(call, server.url, rows(100), concurrency=8, each=break_after(1))
        assert time.monotonic() - begun < 5
        server.wait_for(lambda: server.under_way == 0)

    assert result.outcomes == {0: "done"}
    assert len(server.runs) <= 10


def test_close_ends_the_iteration(call: Caller) -> None:
    def each(batch: Any, item: Any) -> None:
        if not call.is_async:
            batch.close()
            batch.close()

    async def program() -> None:
        async with AsyncScout(KEY, base_url=server.url) as scout:
            batch = scout.batch(WORKFLOW, rows(100), concurrency=4)
            assert (await anext(batch)).ok
            await batch.aclose()
            await batch.aclose()
            with pytest.raises(StopAsyncIteration):
                await anext(batch)

    with BatchServer(lambda asked: Reply(delay=0.0 if asked.n == 0 else 30.0)) as server:
        if call.is_async:
            asyncio.run(program())
        else:
            result = run_batch(call, server.url, rows(100), concurrency=4, each=each).checked()
            assert result.outcomes == {0: "done"}
        server.wait_for(lambda: server.under_way == 0)


def test_what_is_told_of_the_progress_may_close_it() -> None:
    with BatchServer() as server, Scout(KEY, base_url=server.url) as scout:
        batch = scout.batch(WORKFLOW, rows(50), on_progress=lambda summary: summary.rows == 3 and batch.close())
        assert len(list(batch)) == batch.summary.rows == 3


@pytest.mark.parametrize(("items", "stopped"), [(0, "it was closed"), (2, "it was closed"), (3, None)])
def test_a_batch_that_is_closed_before_its_last_row_was_stopped(call: Caller, items: int, stopped: str | None) -> None:
    async def program() -> Any:
        async with AsyncScout(KEY, base_url=server.url) as scout, scout.batch(WORKFLOW, rows(3)) as batch:
            for _ in range(items):
                await anext(batch)
        return batch.summary

    with BatchServer() as server:
        if call.is_async:
            summary = asyncio.run(program())
        else:
            with Scout(KEY, base_url=server.url) as scout, scout.batch(WORKFLOW, rows(3)) as batch:
                for _ in range(items):
                    next(batch)
            summary = batch.summary

    assert (summary.rows, summary.stopped) == (items, stopped)


def test_an_async_batch_belongs_to_its_event_loop() -> None:
    async def first(batch: Any) -> Any:
        async with asyncio.timeout(PATIENCE):
            return await anext(batch)

    with BatchServer(lambda asked: Reply(delay=0.0 if asked.n == 0 else 30.0)) as server:
        batch = AsyncScout(KEY, base_url=server.url).batch(WORKFLOW, rows(50), concurrency=4)
        assert asyncio.run(first(batch)).ok
        with pytest.raises(ConfigurationError, match="event loop"):
            asyncio.run(first(batch))
        asyncio.run(batch.close())


def test_another_thread_may_close_it() -> None:
    def close(batch: Any) -> None:
        server.wait_for_runs(4)
        batch.close()

    with BatchServer(slow(30.0)) as server:
        result = run_batch(Caller("sync"), server.url, rows(100), concurrency=4, meanwhile=close).checked()
        server.wait_for(lambda: server.under_way == 0)

    assert (result.items, result.summary.stopped) == ([], "it was closed")


def test_a_batch_that_nobody_holds_any_more_ends() -> None:
    before = set(threading.enumerate())
    with BatchServer(lambda asked: Reply(delay=0.0 if asked.n == 0 else 30.0)) as server:
        scout = Scout(KEY, base_url=server.url)
        batch = scout.batch(WORKFLOW, rows(100), concurrency=4)
        assert next(batch).ok
        del batch
        gc.collect()
        server.wait_for(lambda: server.under_way == 0)
        assert settled(lambda: set(threading.enumerate()) - before == {server._thread}, 5.0)
        scout.close()


async def test_an_async_batch_that_nobody_holds_any_more_ends() -> None:
    with BatchServer(lambda asked: Reply(delay=0.0 if asked.n == 0 else 30.0)) as server:
        async with AsyncScout(KEY, base_url=server.url) as scout:
            async for item in scout.batch(WORKFLOW, rows(100), concurrency=4):
                assert item.ok
                break
            gc.collect()
            await until(lambda: server.under_way == 0 and len(asyncio.all_tasks()) == 1)


def test_an_exception_in_the_loop_passes_through(call: Caller) -> None:
    def each(batch: Any, item: Any) -> None:
        raise SourceError("mine")

    with BatchServer(slow(0.001)) as server:
        result = run_batch(call, server.url, rows(100), each=each)
        assert isinstance(result.error, SourceError)
        server.wait_for(lambda: server.under_way == 0)


def interrupt_after(server: BatchServer, runs: int) -> None:
    server.wait_for_runs(runs)
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def test_ctrl_c_interrupts_the_wait_for_an_item() -> None:
    with BatchServer(slow(30.0)) as server, Scout(KEY, base_url=server.url) as scout:
        thread = threading.Thread(target=interrupt_after, args=(server, 4))
        thread.start()
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt), scout.batch(WORKFLOW, rows(100), concurrency=4) as batch:
            next(batch)
        assert time.monotonic() - begun < 5
        thread.join(PATIENCE)
        server.wait_for(lambda: server.under_way == 0)


def test_ctrl_c_may_be_caught_and_the_batch_finished() -> None:
    with BatchServer(slow(0.2)) as server, Scout(KEY, base_url=server.url) as scout:
        thread = threading.Thread(target=interrupt_after, args=(server, 4))
        thread.start()
        with scout.batch(WORKFLOW, rows(100), concurrency=4) as batch:
            with pytest.raises(KeyboardInterrupt):
                next(batch)
            batch.stop()
            items = list(batch)
        thread.join(PATIENCE)

    assert {item.inputs["n"] for item in items if item.ok} == set(server.runs)
    assert len(items) < 20


def test_ctrl_c_in_the_source_of_rows_is_not_taken_for_its_end() -> None:
    def source() -> Iterator[dict[str, Any]]:
        yield from rows(3)
        raise KeyboardInterrupt

    with BatchServer() as server, Scout(KEY, base_url=server.url) as scout:
        batch = scout.batch(WORKFLOW, source())
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                list(batch)

    assert set(server.runs) <= {0, 1, 2}
    assert batch.summary.stopped


@pytest.mark.parametrize("ordered", [False, True])
def test_ctrl_c_anywhere_hangs_nothing_and_repeats_nothing(ordered: bool) -> None:
    with BatchServer() as server, Scout(KEY, base_url=server.url) as scout:
        for number in range(1 + ordered * LINES // 2, 250, LINES):
            server.runs.clear()
            batch = scout.batch(WORKFLOW, iter(rows(6)), concurrency=2, ordered=ordered)
            items: list[Any] = []
            try:
                with interrupted_at(number):
                    items.extend(iter(batch.__next__, None))
            except (KeyboardInterrupt, StopIteration):
                with contextlib.suppress(KeyboardInterrupt):  # again, when it interrupted the asking for rows
                    items.extend(batch)

            assert not server.repeated()
            assert len({item.index for item in items}) == len(items)
            assert len(server.runs) - len(items) in (0, 1)  # one that was about to be returned can be missing
            assert len(server.runs) == 6 or batch.summary.stopped
            batch.close()


@contextlib.contextmanager
def interrupted_at(number: int) -> Iterator[None]:
    """Raise `KeyboardInterrupt` where this thread comes to a line of the iterator, the given number of lines from here.

    Not where it leaves a `with` block, which a signal cannot interrupt.
    """
    left = number

    def step(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and not line.lstrip().startswith("with "):
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return step

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        return step if frame.f_code.co_filename in (_batch.__file__, _work.__file__) else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


async def test_a_cancelled_task_leaves_nothing_behind() -> None:
    with BatchServer(slow(30.0)) as server:

        async def consume() -> None:
            async with AsyncScout(KEY, base_url=server.url) as scout, scout.batch(WORKFLOW, rows(50)) as batch:
                async for _ in batch:
                    pass

        task = asyncio.create_task(consume())
        await until(lambda: server.under_way >= 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) == 1
        server.wait_for(lambda: server.under_way == 0)


async def test_a_wait_that_was_cut_short_loses_no_item() -> None:
    with BatchServer(slow(0.1)) as server:
        async with AsyncScout(KEY, base_url=server.url) as scout, scout.batch(WORKFLOW, rows(4)) as batch:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await anext(batch)
            items = [item async for item in batch]

    assert sorted(item.index for item in items) == [0, 1, 2, 3]
    assert not server.repeated()


def test_the_end_stays_the_end() -> None:
    with BatchServer() as server, Scout(KEY, base_url=server.url) as scout:
        batch = scout.batch(WORKFLOW, rows(2))
        assert iter(batch) is batch
        assert len(list(batch)) == 2
        assert list(batch) == []
        with pytest.raises(StopIteration):
            next(batch)


def test_a_closed_client_cannot_begin_a_batch(call: Caller) -> None:
    with refused_url() as url:
        scout = call.client_class(KEY, base_url=url)
        closing = scout.close()
        if call.is_async:
            asyncio.run(closing)
        with pytest.raises(ConfigurationError, match="closed"):
            scout.batch(WORKFLOW, rows(1))


def test_closing_the_client_in_the_middle_hangs_nothing_and_repeats_nothing(call: Caller) -> None:
    async def program() -> list[Any]:
        scout = AsyncScout(KEY, base_url=server.url)
        batch = scout.batch(WORKFLOW, rows(30), concurrency=4)
        items = [await anext(batch)]
        await scout.close()
        async with batch:
            with contextlib.suppress(ConfigurationError):
                items += [item async for item in batch]
        return items

    with BatchServer(slow(0.02)) as server:
        if call.is_async:
            items = asyncio.run(asyncio.wait_for(program(), PATIENCE))
        else:
            scout = Scout(KEY, base_url=server.url)
            with scout.batch(WORKFLOW, rows(30), concurrency=4) as batch:
                items = [next(batch)]
                scout.close()
                with contextlib.suppress(ConfigurationError):
                    items += list(batch)

    assert not server.repeated()
    assert len({item.index for item in items}) == len(items)


# --- Several at once ----------------------------------------------------------------------------------------------


def test_two_batches_of_one_client_run_side_by_side() -> None:
    with BatchServer() as server, Scout(KEY, base_url=server.url) as scout:
        first = scout.batch(WORKFLOW, rows(20), ordered=True)
        second = scout.batch(WORKFLOW, rows(40, 20), ordered=True)
        pairs = [(one.run.output, other.run.output) for one, other in zip(first, second, strict=True)]

    assert pairs == [(n, n + 20) for n in range(20)]
    assert server.runs == dict.fromkeys(range(40), 1)


def test_a_batch_may_run_inside_the_loop_of_another() -> None:
    with BatchServer() as server, Scout(KEY, base_url=server.url) as scout:
        for item in scout.batch(WORKFLOW, rows(3)):
            inner = [{"n": 100 + 10 * item.index + n} for n in range(3)]
            assert len(list(scout.batch(WORKFLOW, inner))) == 3

    assert server.runs.total() == 12


async def test_two_async_batches_of_one_client_run_side_by_side() -> None:
    with BatchServer(slow(0.01)) as server:
        async with AsyncScout(KEY, base_url=server.url) as scout:

            async def outputs(start: int) -> list[Any]:
                return [item.run.output async for item in scout.batch(WORKFLOW, rows(start + 10, start), ordered=True)]

            first, second = await asyncio.gather(outputs(0), outputs(10))

    assert first + second == list(range(20))


async def test_a_sync_batch_works_in_a_running_event_loop() -> None:
    with BatchServer() as server, Scout(KEY, base_url=server.url) as scout:
        assert sorted(item.index for item in scout.batch(WORKFLOW, rows(10))) == list(range(10))


def test_a_batch_works_in_another_thread() -> None:
    items: list[Any] = []
    with BatchServer() as server, Scout(KEY, base_url=server.url) as scout:
        batch = scout.batch(WORKFLOW, rows(10))
        thread = threading.Thread(target=lambda: items.extend(batch))
        thread.start()
        thread.join(PATIENCE)

    assert len(items) == 10


def test_threads_may_share_the_items() -> None:
    items: list[Any] = []
    with BatchServer() as server, Scout(KEY, base_url=server.url) as scout:
        batch = scout.batch(WORKFLOW, ({"n": n} for n in range(200)), concurrency=4)
        threads = [threading.Thread(target=lambda: items.extend(batch)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)

    assert sorted(item.index for item in items) == list(range(200))


async def test_tasks_may_share_the_items() -> None:
    with BatchServer() as server:
        async with AsyncScout(KEY, base_url=server.url) as scout:
            batch = scout.batch(WORKFLOW, rows(50), concurrency=4)

            async def some() -> list[Any]:
                return [item.index async for item in batch]

            shares = await asyncio.wait_for(asyncio.gather(some(), some(), some()), PATIENCE)

    assert sorted(index for share in shares for index in share) == list(range(50))


# --- Limits of rate -----------------------------------------------------------------------------------------------


def test_one_429_pauses_the_whole_batch_for_as_long_as_it_asks(call: Caller) -> None:
    refused_at: list[float] = []

    def reply(asked: Asked) -> Reply:
        if asked.n == 10 and asked.number == 1:
            refused_at.append(asked.time)
            return refusal(0.4)
        return Reply(delay=0.01)

    with BatchServer(reply) as server:
        result = run_batch(call, server.url, rows(40), concurrency=4).checked()

    times = [asked.time for asked in server.asked]
    pause, number = max((later - earlier, i) for i, (earlier, later) in enumerate(pairwise(times)))
    assert pause > 0.3
    assert times[number + 1] - refused_at[0] >= 0.4
    assert times.index(refused_at[0]) <= number <= times.index(refused_at[0]) + 8  # those that were on their way
    assert result.outcomes == dict.fromkeys(range(40), "done")
    assert server.runs == dict.fromkeys(range(40), 1)
    assert (result.the(10).attempts, result.summary.refused) == (2, 1)
    assert result.the(10).seconds < 0.4  # the pause is not a part of its run


@pytest.mark.parametrize("seconds", [None, 0.02])
def test_no_row_is_lost_to_a_storm_of_refusals(call: Caller, seconds: float | None) -> None:
    refused = {n: n % 3 for n in range(30)} if seconds else {3: 1}
    with BatchServer(
        lambda asked: refusal(seconds) if asked.number <= refused.get(asked.n, 0) else Reply(delay=0.002)
    ) as server:
        result = run_batch(call, server.url, rows(30), concurrency=8, ordered=True).checked()

    assert [item.index for item in result.items] == list(range(30))
    assert all(item.ok for item in result.items)
    assert server.runs == dict.fromkeys(range(30), 1)
    assert result.summary.refused == sum(refused.values())
    assert [item.attempts for item in result.items] == [1 + refused.get(n, 0) for n in range(30)]


def test_no_row_is_lost_to_a_refusal_after_a_failure_where_runs_may_repeat(call: Caller, tmp_path: Path) -> None:
    def reply(asked: Asked) -> Reply:
        return {1: Reply(500), 2: refusal(0.01)}.get(asked.number, Reply())

    with BatchServer(reply) as server:
        options = {"client": {"retries": 1, "at_least_once": True}, "journal": tmp_path / "journal"}
        (item,) = run_batch(call, server.url, rows(1), **options).checked().items

    assert (item.outcome, item.attempts) == ("done", 3)
    assert b"refused" not in (tmp_path / "journal").read_bytes()  # the first request may have started a run


def test_concurrency_falls_after_a_refusal_and_rises_again(call: Caller) -> None:
    refused: list[float] = []

    def reply(asked: Asked) -> Reply:
        if not refused and asked.under_way == 16:
            refused.append(asked.time)
            return refusal(0.1)
        return Reply(delay=0.04)

    with BatchServer(reply) as server:
        run_batch(call, server.url, rows(400), concurrency=16).checked()

    after = [asked.under_way for asked in server.asked if asked.time > refused[0] + 0.1]
    # It falls to 12. Since then, the 15 others that were under way and the first ones after the pause count as well.
    assert max(after[:16]) <= 14
    assert max(after) == 16


def test_a_bucket_of_tokens_is_used_up_but_not_hammered(call: Caller) -> None:
    with BatchServer(Bucket(rate=400.0, burst=20)) as server:
        begun = time.monotonic()
        result = run_batch(call, server.url, rows(100), concurrency=16).checked()
        took = time.monotonic() - begun

    assert result.summary.done == 100
    assert server.runs == dict.fromkeys(range(100), 1)
    assert took >= 80 / 400 * 0.9
    assert len(server.asked) < 400


@pytest.mark.timing
def test_the_rate_is_kept(call: Caller) -> None:
    with BatchServer() as server:
        run_batch(call, server.url, rows(25), rate=100).checked()

    times = [asked.time for asked in server.asked]
    # Up to five may come at once, at the beginning and, where the machine is late, to make up for that.
    assert times[-1] - times[0] >= (24 - 10) / 100
    for first, last in zip(times, times[18:], strict=False):
        assert last - first > 0.04  # not all in one burst


def test_a_rate_below_one_a_second_is_kept() -> None:
    with BatchServer() as server, Scout(KEY, base_url=server.url) as scout:
        batch = scout.batch(WORKFLOW, rows(5), rate=0.5)
        assert next(batch).ok
        time.sleep(0.1)
        batch.close()

    assert len(server.asked) == 1


def test_refusals_without_end_end_the_batch_and_a_later_one_goes_on(call: Caller, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with BatchServer(lambda asked: refusal(0.05) if asked.n >= 5 else Reply()) as server:
        options = {"client": {"rate_limit_timeout": 0.2}, "journal": journal, "concurrency": 4}
        result = run_batch(call, server.url, rows(30), **options)
        assert isinstance(result.error, RateLimitError)
        assert not result.error.run_may_have_started
        done = {n for n, outcome in result.outcomes.items() if outcome == "done"}
        assert done == set(server.runs) == set(range(5))
        assert result.summary.stopped

        server.reply = lambda asked: Reply()
        again = run_batch(call, server.url, rows(30), **options).checked()

    assert again.outcomes == dict.fromkeys(range(30), "done")
    assert again.summary.resumed == 5
    assert server.runs == dict.fromkeys(range(30), 1)


def test_a_long_pause_can_be_stopped(call: Caller) -> None:
    def stop(batch: Any) -> None:
        server.wait_for(lambda: server.asked and not server.under_way)  # the pause may begin before all are sent
        batch.stop()

    with BatchServer(lambda asked: refusal(50.0)) as server:
        begun = time.monotonic()
        result = run_batch(call, server.url, rows(5), meanwhile=stop).checked()
        assert time.monotonic() - begun < 5

    assert (result.items, server.runs.total()) == ([], 0)
    assert result.summary.stopped


# --- The journal --------------------------------------------------------------------------------------------------


def test_a_batch_that_is_run_again_sends_nothing_and_yields_the_same(call: Caller, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    replies = {1: Reply(body=run_of(1, stop_reason="workflow_run_failed", errors=[{"message": "no"}]))}
    with BatchServer(by_row(replies)) as server:
        first = run_batch(call, server.url, rows(6), journal=journal, ordered=True).checked()
        again = run_batch(call, server.url, rows(6), journal=journal, ordered=True).checked()

    assert server.runs == dict.fromkeys(range(6), 1)
    for one, other in zip(first.items, again.items, strict=True):
        assert (one.index, one.key, one.inputs, one.run) == (other.index, other.key, other.inputs, other.run)
        assert (one.attempts, one.outcome) == (other.attempts, other.outcome)
        assert one.seconds == pytest.approx(other.seconds, abs=0.001)
        assert type(one.error) is type(other.error)
        assert str(one.error) == str(other.error)
        assert (one.resumed, other.resumed) == (False, True)
    assert (again.summary.resumed, again.summary.done, again.summary.failed) == (6, 5, 1)


def test_a_batch_goes_on_where_it_was_left(call: Caller, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with BatchServer(slow(0.005)) as server:
        first = run_batch(
            call, server.url, rows(60), journal=journal, concurrency=4, each=lambda batch, item: batch.stop()
        ).checked()
        again = run_batch(call, server.url, rows(60), journal=journal, concurrency=4).checked()

    assert 0 < len(first.items) < 60
    assert again.outcomes == dict.fromkeys(range(60), "done")
    assert {item.index for item in again.items if item.resumed} == {item.index for item in first.items}
    assert server.runs == dict.fromkeys(range(60), 1)


def test_failures_that_started_nothing_are_sent_again(call: Caller, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with BatchServer(by_row({2: Reply(422, {"detail": "no"})})) as server:
        first = run_batch(call, server.url, rows(4), journal=journal).checked()
        server.reply = lambda asked: Reply()
        again = run_batch(call, server.url, rows(4), journal=journal).checked()

    assert first.outcomes[2] == "failed"
    assert again.outcomes == dict.fromkeys(range(4), "done")
    assert again.summary.resumed == 3
    assert server.runs == dict.fromkeys(range(4), 1)


def unknown_rows(call: Caller, server: BatchServer, journal: Path) -> Result:
    """Leave two rows of six whose outcome is unknown."""
    server.reply = by_row({1: Reply(500), 4: Reply(ends="reset")})
    result = run_batch(call, server.url, rows(6), journal=journal).checked()
    server.reply = lambda asked: Reply()
    assert [n for n, outcome in result.outcomes.items() if outcome == "unknown"] in ([1, 4], [4, 1])
    return result


def test_unknown_rows_are_listed_each_time_and_never_sent_by_themselves(call: Caller, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with BatchServer() as server:
        first = unknown_rows(call, server, journal)
        for _ in range(2):
            again = run_batch(call, server.url, rows(6), journal=journal).checked()
            assert again.summary.unknown == 2
            for n in (1, 4):
                item = again.the(n)
                assert (item.outcome, item.resumed) == ("unknown", True)
                assert type(item.error) is type(first.the(n).error)
                assert item.error.run_may_have_started

    assert server.runs == dict.fromkeys(range(6), 1)


def test_unknown_rows_can_be_settled(call: Caller, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with BatchServer() as server:
        unknown_rows(call, server, journal)
        skipped = run_batch(call, server.url, rows(6), journal=journal, unknown="skip").checked()
        assert skipped.summary.unknown == 2
        # Settled is settled, also when it is asked for later.
        later = run_batch(call, server.url, rows(6), journal=journal, unknown="rerun").checked()
        assert later.summary.resumed == 6

    assert server.runs == dict.fromkeys(range(6), 1)


def test_unknown_rows_can_be_run_again(call: Caller, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with BatchServer() as server:
        unknown_rows(call, server, journal)
        again = run_batch(call, server.url, rows(6), journal=journal, unknown="rerun").checked()
        last = run_batch(call, server.url, rows(6), journal=journal, unknown="rerun").checked()

    assert again.outcomes == last.outcomes == dict.fromkeys(range(6), "done")
    assert (again.summary.resumed, last.summary.resumed) == (4, 6)
    assert server.runs == {0: 1, 1: 2, 2: 1, 3: 1, 4: 2, 5: 1}


def test_rows_that_were_cancelled_are_unknown_afterwards(call: Caller, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with BatchServer(lambda asked: Reply(delay=0.0 if asked.n == 0 else 30.0)) as server:
        run_batch(call, server.url, rows(6), journal=journal, concurrency=3, each=break_after(1))
        server.wait_for(lambda: server.under_way == 0)
        begun = set(server.runs)
        server.reply = lambda asked: Reply()
        again = run_batch(call, server.url, rows(6), journal=journal).checked()

    unknown = {n for n, outcome in again.outcomes.items() if outcome == "unknown"}
    assert begun - {0} <= unknown
    assert all(isinstance(again.the(n).error, RunUnknownError) for n in unknown)
    assert len(again.items) == 6
    assert not server.repeated()


def test_a_journal_with_records_is_not_begun_anew(call: Caller, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with BatchServer() as server:
        run_batch(call, server.url, rows(2), journal=journal).checked()
        before = journal.read_bytes()
        result = run_batch(call, server.url, rows(2), journal=journal, resume=False)

    assert isinstance(result.error, JournalError)
    assert journal.read_bytes() == before
    assert server.runs == {0: 1, 1: 1}


def test_no_key_of_those_that_a_function_returns_is_in_the_journal(call: Caller, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    numbers = count()

    def echo(asked: Any) -> Reply:
        return Reply(body=run_of(asked.n, state={"answer": {"output": asked.headers["authorization"]}}))

    with BatchServer(echo) as server:
        client = {"api_key": lambda: f"a-rotating-key-{next(numbers) // 3}"}
        result = run_batch(call, server.url, rows(9), journal=journal, concurrency=2, client=client).checked()

    assert len({item.run.output for item in result.items}) > 2
    text = journal.read_text("utf-8")
    assert "Bearer [redacted]" in text
    assert "rotating" not in text


@pytest.mark.parametrize(
    "change",
    [
        {"workflow": {"blocks": [{**WORKFLOW["blocks"][0], "block_display_name": "Another"}]}},
        {"environment": "staging"},
        {"extra_body": {"field": 1}},
    ],
    ids=["workflow", "environment", "body"],
)
def test_another_workflow_or_option_is_another_row(call: Caller, tmp_path: Path, change: dict[str, Any]) -> None:
    journal = tmp_path / "journal"
    with BatchServer() as server:
        run_batch(call, server.url, rows(3), journal=journal).checked()
        again = run_batch(call, server.url, rows(3), journal=journal, **change).checked()
        same = run_batch(call, server.url, rows(3), journal=journal, **change).checked()

    assert (again.summary.resumed, same.summary.resumed) == (0, 3)
    assert server.runs == dict.fromkeys(range(3), 2)


def test_how_a_row_is_sent_does_not_make_it_another_one(call: Caller, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    ways: Any = {"stream": True, "timeout": 5, "extra_headers": {"x-team": "harbour"}, "concurrency": 2}
    with BatchServer() as server:
        run_batch(call, server.url, rows(3), journal=journal).checked()
        again = run_batch(call, server.url, rows(3), journal=journal, **ways).checked()

    assert again.summary.resumed == 3
    assert server.runs == dict.fromkeys(range(3), 1)


def test_rows_may_be_added_moved_and_left_out(call: Caller, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with BatchServer() as server:
        run_batch(call, server.url, rows(5), journal=journal).checked()
        again = run_batch(call, server.url, [{"n": 7}, *reversed(rows(5, 1))], journal=journal, ordered=True).checked()

    assert [(item.index, item.inputs["n"], item.run.output) for item in again.items] == [
        (0, 7, 7), (1, 4, 4), (2, 3, 3), (3, 2, 2), (4, 1, 1),
    ]  # fmt: skip
    assert server.runs == dict.fromkeys((0, 1, 2, 3, 4, 7), 1)


def test_equal_rows_run_as_often_as_they_are_given(call: Caller, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with BatchServer() as server:
        first = run_batch(call, server.url, [{"n": 1}] * 3, journal=journal).checked()
        again = run_batch(call, server.url, [{"n": 1}] * 4, journal=journal).checked()

    keys = [item.key for item in sorted(first.items, key=lambda item: item.index)]
    assert keys == [keys[0], f"{keys[0]}-2", f"{keys[0]}-3"]
    assert (again.summary.resumed, len(again.items)) == (3, 4)
    assert server.runs == {1: 4}


def test_a_column_can_be_the_key(call: Caller, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    given = [{"n": n, "id": identity} for n, identity in enumerate(["a", "b", 7])]
    with BatchServer() as server:
        first = run_batch(call, server.url, given, journal=journal, key="id", ordered=True).checked()
        changed = [{**row, "more": 1} for row in given]
        again = run_batch(call, server.url, changed, journal=journal, key="id", ordered=True).checked()

    assert [item.key for item in first.items] == ["a", "b", "7"]
    assert [item.key for item in again.items] == ["a", "b", "7"]
    assert again.summary.resumed == 3
    assert server.runs == dict.fromkeys(range(3), 1)


def test_a_key_counts_once_and_has_to_be_there(call: Caller, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    given = [{"n": 0, "id": "a"}, {"n": 1, "id": "a"}, {"n": 2}, {"n": 3, "id": None}, {"n": 4, "id": "b"}]
    with BatchServer() as server:
        result = run_batch(call, server.url, given, key="id", journal=journal).checked()

    assert result.outcomes == {0: "done", 1: "failed", 2: "failed", 3: "failed", 4: "done"}
    for n in (1, 2, 3):
        assert isinstance(result.the(n).error, ConfigurationError)
        assert "key" in str(result.the(n).error)
    assert server.runs == {0: 1, 4: 1}


def test_a_row_is_in_the_journal_before_it_is_sent(call: Caller, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    seen: list[str] = []

    def reply(asked: Asked) -> Reply:
        lines = [json.loads(line) for line in journal.read_text().splitlines()]
        seen.append(asked.n if any(line.get("index") == asked.n and "started" in line for line in lines) else "late")
        return Reply()

    with BatchServer(reply) as server:
        run_batch(call, server.url, rows(10), journal=journal).checked()

    assert sorted(seen, key=str) == list(range(10))
    assert not server.repeated()


def test_a_row_that_is_not_sent_any_more_is_not_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[float] = []
    reached = threading.Event()

    def sync(number: int) -> None:
        writes.append(time.monotonic())
        if len(writes) == 3:  # after the header and the batch: the first rows
            reached.set()
            time.sleep(0.2)

    def close(batch: Any) -> None:
        reached.wait(PATIENCE)
        batch.close()

    monkeypatch.setattr(_journal_file, "_sync", sync)
    with BatchServer() as server:
        run_batch(Caller("sync"), server.url, rows(8), journal=tmp_path / "j", meanwhile=close).checked()
        assert b'"started"' in (tmp_path / "j").read_bytes()
        assert server.asked == []
        result = run_batch(Caller("sync"), server.url, rows(8), journal=tmp_path / "j").checked()

    assert set(result.outcomes.values()) == {"done"}
    assert server.runs == dict.fromkeys(range(8), 1)


def test_a_row_is_in_the_journal_before_its_item_comes(call: Caller, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    finished: list[bool] = []

    def each(batch: Any, item: Any) -> None:
        finished.append(any('"finished"' in line and item.key in line for line in journal.read_text().splitlines()))

    with BatchServer() as server:
        run_batch(call, server.url, rows(10), journal=journal, each=each).checked()

    assert finished == [True] * 10


def test_two_batches_cannot_share_a_journal(call: Caller, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    others: list[Any] = []

    def each(batch: Any, item: Any) -> None:
        if not others:
            with Scout(KEY, base_url=server.url) as scout, pytest.raises(JournalError) as caught:
                list(scout.batch(WORKFLOW, rows(3), journal=journal))
            others.append(caught.value)

    with BatchServer() as server:
        result = run_batch(call, server.url, rows(30), journal=journal, each=each, concurrency=2).checked()

    assert "journal" in str(others[0])
    assert not others[0].run_may_have_started
    assert result.outcomes == dict.fromkeys(range(30), "done")
    assert server.runs == dict.fromkeys(range(30), 1)


def test_a_file_that_is_no_journal_is_left_alone(call: Caller, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("n\n1\n2\n")
    with BatchServer() as server:
        result = run_batch(call, server.url, path, journal=path)

    assert isinstance(result.error, JournalError)
    assert path.read_text() == "n\n1\n2\n"
    assert not server.asked


@pytest.mark.parametrize("where", ["nowhere/journal", "."])
def test_a_journal_that_cannot_be_opened_sends_nothing(call: Caller, tmp_path: Path, where: str) -> None:
    with BatchServer() as server:
        result = run_batch(call, server.url, rows(3), journal=tmp_path / where)

    assert isinstance(result.error, JournalError)
    assert (result.items, server.asked) == ([], [])


def test_the_key_is_in_no_journal(call: Caller, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    replies = {
        0: Reply(422, {"detail": f"the key {KEY} is wrong"}),
        1: Reply(500, {"detail": KEY}, {"X-Echo": KEY}),
        2: Reply(body=f"Bearer {KEY}"),
    }
    with BatchServer(by_row(replies)) as server:
        run_batch(call, server.url, rows(4), journal=journal).checked()

    assert "finished" in journal.read_text()
    assert KEY not in journal.read_text()


# --- Stored workflows, streams, transports, the fixture -----------------------------------------------------------

HELLO = Path(__file__).parent.parent / "examples" / "hello" / "workflow.yml"
MESSAGES = [{"user_message": f"message {n}"} for n in range(5)]


@pytest.fixture(scope="module")
def local() -> Iterator[LocalScout]:
    with LocalScout(api_key=KEY) as server:
        yield server


@pytest.fixture
def server(local: LocalScout) -> LocalScout:
    local.reset()
    return local


@pytest.mark.parametrize("stream", [False, True])
def test_a_file_runs_on_the_local_scout(call: Caller, server: LocalScout, stream: bool) -> None:
    result = run_batch(call, server.url, MESSAGES, workflow=HELLO, stream=stream, ordered=True).checked()

    assert [item.run.text for item in result.items] == [f"[gpt-4o stand-in] message {n}" for n in range(5)]
    assert [request.json["streaming"] for request in server.requests] == [stream] * 5
    assert len(server.runs) == 5
    assert all(item.attempts == 1 for item in result.items)


def test_a_stream_that_breaks_off_is_a_row_that_is_unknown(call: Caller, server: LocalScout) -> None:
    server.fail_next(cut_after=5)
    result = run_batch(call, server.url, MESSAGES[:2], workflow=HELLO, stream=True, concurrency=1).checked()

    assert [item.outcome for item in result.items] == ["unknown", "done"]
    assert result.items[0].run.blocks  # what had arrived


def test_a_stream_that_is_refused_is_sent_again(call: Caller, server: LocalScout) -> None:
    server.fail_next(429)
    result = run_batch(call, server.url, MESSAGES, workflow=HELLO, stream=True).checked()

    assert result.summary.done == 5
    assert result.summary.refused == 1


@pytest.mark.parametrize("by_key", [False, True])
def test_a_stored_workflow_runs_in_a_session_of_ours(
    call: Caller, server: LocalScout, tmp_path: Path, by_key: bool
) -> None:
    with Scout(KEY, base_url=server.url) as scout:
        workflow_id = scout.workflows.deploy(HELLO, key="hello").workflow_id
    already = len(server.requests)

    result = run_batch(
        call,
        server.url,
        MESSAGES,
        workflow="key:hello" if by_key else workflow_id,
        journal=tmp_path / "journal",
        ordered=True,
    ).checked()

    assert [item.run.text for item in result.items] == [f"[gpt-4o stand-in] message {n}" for n in range(5)]
    sent = [request for request in server.requests[already:] if request.path.endswith("/execute")]
    assert {request.path for request in sent} == {f"/v2/workflows/{workflow_id}/execute"}
    sessions = {request.json["inputs"]["user_message"]: request.query["session_id"] for request in sent}
    assert len(set(sessions.values())) == 5
    for item in result.items:
        assert item.session_id == sessions[item.inputs["user_message"]]
        assert item.run.session_id == item.session_id
        assert item.session_id in (tmp_path / "journal").read_text()


def test_a_session_of_the_caller_stays(call: Caller, server: LocalScout) -> None:
    with Scout(KEY, base_url=server.url) as scout:
        workflow_id = scout.workflows.deploy(HELLO, key="hello").workflow_id

    result = run_batch(call, server.url, MESSAGES, workflow=workflow_id, session_id="sess_mine").checked()

    runs = [request for request in server.requests if request.path.endswith("/execute")]
    assert {request.query["session_id"] for request in runs} == {"sess_mine"}
    assert {item.session_id for item in result.items} <= {"sess_mine", None}


def test_a_stored_workflow_that_is_deployed_anew_has_the_same_rows(
    call: Caller, server: LocalScout, tmp_path: Path
) -> None:
    options = {"workflow": "key:hello", "journal": tmp_path / "journal"}
    with Scout(KEY, base_url=server.url) as scout:
        first = scout.workflows.deploy(HELLO, key="hello")
        run_batch(call, server.url, MESSAGES, **options).checked()
        scout.workflows.deploy({**first.workflow.config, "workflow_display_name": "Another"}, key="hello")

    again = run_batch(call, server.url, MESSAGES, **options).checked()
    other = run_batch(call, server.url, MESSAGES, revision_id=first.revision_id, **options).checked()

    assert (again.summary.resumed, other.summary.resumed) == (len(MESSAGES), 0)


def test_a_key_that_no_workflow_has_is_an_error_before_anything_runs(call: Caller, server: LocalScout) -> None:
    result = run_batch(call, server.url, MESSAGES, workflow="key:nobody")

    assert isinstance(result.error, NotFoundError)
    assert not result.error.run_may_have_started
    assert (result.items, server.runs) == ([], [])


def test_a_stored_workflow_that_was_fetched_is_sent(call: Caller, server: LocalScout) -> None:
    with Scout(KEY, base_url=server.url) as scout:
        scout.workflows.deploy(HELLO, key="hello")
        stored = scout.workflows.get("key:hello")
    result = run_batch(call, server.url, MESSAGES, workflow=stored).checked()

    assert result.summary.done == 5
    assert server.requests[-1].path == "/v2/workflows/execute"


def test_the_fixture_stands_in_for_scout(scout_local: Any) -> None:
    scout_local.stub("answer", "stubbed")
    with Scout() as scout:
        assert [item.run.text for item in scout.batch(HELLO, MESSAGES)] == ["stubbed"] * 5
    assert len(scout_local.runs) == 5


def test_a_transport_of_the_caller_is_used(call: Caller) -> None:
    sent: list[Any] = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content)["inputs"]["n"])
        return httpx.Response(200, json=run_of(sent[-1]))

    result = run_batch(
        call, "http://127.0.0.1:1", rows(10), client={"transport": httpx.MockTransport(handle)}, concurrency=3
    ).checked()

    assert sorted(item.run.output for item in result.items) == list(range(10))
    assert sorted(sent) == list(range(10))


def test_a_batch_is_recorded_and_replayed(call: Caller, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with BatchServer() as server:
        recorded = run_batch(call, server.url, rows(6), client={"transport": record(path)}, ordered=True).checked()
    replayed = run_batch(call, server.url, rows(6), client={"transport": replay(path)}, ordered=True).checked()

    assert server.runs == dict.fromkeys(range(6), 1)
    assert [item.run for item in replayed.items] == [item.run for item in recorded.items]
    assert [item.error for item in recorded.items] == [None] * 6


def test_a_key_is_looked_up_over_the_same_transport(call: Caller, server: LocalScout, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with Scout(KEY, base_url=server.url) as scout:
        scout.workflows.deploy(HELLO, key="hello")
    recorded = run_batch(
        call, server.url, MESSAGES, workflow="key:hello", client={"transport": record(path)}, session_id="sess_mine"
    ).checked()
    server.reset()
    replayed = run_batch(
        call, server.url, MESSAGES, workflow="key:hello", client={"transport": replay(path)}, session_id="sess_mine"
    ).checked()

    assert recorded.summary.done == replayed.summary.done == 5
    assert server.requests == []


# --- What is light ------------------------------------------------------------------------------------------------


def test_batches_close_without_a_word_when_warnings_are_shown(call: Caller) -> None:
    with warnings.catch_warnings(record=True) as caught, BatchServer(slow(0.001)) as server:
        warnings.simplefilter("always")
        run_batch(call, server.url, rows(20), each=break_after(5))
        gc.collect()

    assert [str(warning.message) for warning in caught] == []
