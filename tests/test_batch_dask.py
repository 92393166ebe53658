"""Batches on a Dask cluster: no row runs twice, whichever worker dies, and the key stays where it is.

The processes of one cluster serve all tests that need processes; the others have their workers in threads.
"""

import asyncio
import contextlib
import copyreg
import importlib.util
import json
import os
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from servers import KEY, WORKFLOW, Received, Server, answer, delayed, json_answer, route, run_answer, settled

from scout import APIConnectionError, AsyncScout, ConfigurationError, RunUnknownError, Scout
from scout.batch import DaskEngine

if importlib.util.find_spec("distributed") is None:
    pytest.skip("Dask is not installed", allow_module_level=True)

distributed: Any = None


@pytest.fixture(scope="module", autouse=True)
def dask() -> Iterator[None]:
    """Import Dask for these tests only, because it changes how exceptions are pickled in the whole process."""
    global distributed
    before = dict(copyreg.dispatch_table)
    distributed = importlib.import_module("distributed")
    yield
    copyreg.dispatch_table.clear()
    copyreg.dispatch_table.update(before)


@pytest.fixture(scope="module")
def processes() -> Iterator[Any]:
    """A cluster of two worker processes that have the key."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", env={"SCOUT_API_KEY": KEY}
    ) as cluster:
        yield cluster


@contextlib.contextmanager
def threads(number: int = 2) -> Iterator[Any]:
    """A client of a cluster whose workers are threads of this process."""
    with (
        distributed.LocalCluster(
            n_workers=number, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("SCOUT_API_KEY", KEY)
    with threads() as client:
        yield client


def rows(number: int) -> list[dict[str, int]]:
    return [{"n": n} for n in range(number)]


def number_of(request: Received) -> int:
    body: Any = request.json()
    return int(body["inputs"]["n"])


def runs(server: Server) -> Counter[int]:
    """How often each row ran."""
    return Counter(number_of(request) for request in server.requests)


def slow(seconds: float) -> Any:
    return delayed(seconds, json_answer(run_answer()))


def noted(journal: Path, event: str) -> set[str]:
    """Return the keys of the rows of which the journal says this."""
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    return {line[event] for line in lines if event in line}


def has_no_pools(client: Any) -> bool:
    found = client.run(lambda: [each.name for each in threading.enumerate() if each.name == "scout-batch"])
    return not any(found.values())


def has_no_queues(client: Any) -> bool:
    """Return whether the scheduler forgets all queues; the message that it should is on its way."""
    return settled(lambda: not queues_of(client))


def queues_of(client: Any) -> Any:
    return client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.extensions["queues"].queues))


# --- Worker processes ---------------------------------------------------------------------------------------------


def test_rows_run_in_all_processes_over_connections_that_are_kept(processes: Any) -> None:
    with Server(slow(0.02), keep_alive=True) as server, distributed.Client(processes) as client:
        with Scout(KEY, base_url=server.url).batch(
            WORKFLOW, rows(60), concurrency=10, engine=DaskEngine(client)
        ) as batch:
            items = list(batch)
        assert has_no_pools(client)
        assert has_no_queues(client)
        agents = Counter(request.connection for request in server.requests)
    assert sorted(item.index for item in items) == list(range(60))
    assert all(item.ok and item.run.output == "Hello" and item.attempts == 1 for item in items)
    assert runs(server) == Counter(range(60))
    assert 2 <= len(agents) <= 20


def test_the_key_is_in_none_of_the_bytes_that_are_sent_to_the_cluster(
    processes: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        Tap(processes.scheduler_address) as tap,
        Server(json_answer(run_answer()), keep_alive=True) as server,
        DaskEngine.connect(tap.address) as engine,
        Scout(KEY, base_url=server.url) as scout,
    ):
        items = list(scout.batch(WORKFLOW, rows(5), engine=engine))
    assert [item.outcome for item in items] == ["done"] * 5
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert b"run_partition" in tap.bytes
    assert b"workflow_run_id" in tap.bytes or b"run_1" in tap.bytes
    assert KEY.encode() not in tap.bytes
    assert KEY not in caplog.text


def test_a_killed_worker_loses_only_what_it_was_running(processes: Any, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    may_end = threading.Event()

    def choose(request: Received) -> Any:
        return json_answer(run_answer()) if number_of(request) < 12 or may_end.is_set() else slow(1)

    with Server(route(choose), keep_alive=True) as server, distributed.Client(processes) as client:
        engine = DaskEngine(client)
        with Scout(KEY, base_url=server.url) as scout:

            def kill_the_busiest() -> None:
                server.wait_until(lambda: len(server.requests) >= 22)
                may_end.set()
                busy: Any = client.run(rows_under_way())
                os.kill(max(busy.values())[1], signal.SIGKILL)

            killer = threading.Thread(target=kill_the_busiest)
            killer.start()
            options = {"engine": engine, "journal": journal}
            items = list(scout.batch(WORKFLOW, rows(60), concurrency=10, stop_after_failures=1, **options))
            killer.join()
            ran = runs(server)
            again = list(scout.batch(WORKFLOW, rows(60), concurrency=20, **options))
    first = {item.index: item for item in items}
    unknown = {index for index, item in first.items() if item.outcome == "unknown"}
    assert unknown
    assert all(isinstance(first[index].error, RunUnknownError) for index in unknown)
    assert {item.outcome for item in items} == {"done", "unknown"}
    assert set(ran) <= set(first)  # what was never handed out was never started
    assert len(first) < 60
    assert {item.index for item in again} == set(range(60))
    assert {item.index for item in again if not item.ok} == unknown
    assert {item.index for item in again if not item.resumed} == set(range(60)) - set(first)
    assert set(runs(server).values()) == {1}
    assert set(runs(server)) >= set(range(60)) - unknown


def rows_under_way() -> Any:
    """Return a function for the workers, which returns the number of its partitions, and its process."""

    def count() -> tuple[int, int]:
        from scout.batch import _dask_worker

        return sum(pool.partitions for pool in _dask_worker._pools.values()), os.getpid()

    return count


class Tap:
    """Passes bytes to the scheduler and back, and keeps them."""

    def __init__(self, scheduler: str) -> None:
        host, _, port = scheduler.removeprefix("tcp://").rpartition(":")
        self._target = (host, int(port))
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._pieces: list[bytes] = []

    @property
    def bytes(self) -> bytes:
        return b"".join(self._pieces)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for each in (self._listener, *self._sockets):
            each.close()

    def _start(self, target: Any, *args: Any) -> None:
        self._threads.append(threading.Thread(target=target, args=args, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._sockets += [near, far]
                self._start(self._pass, near, far)
                self._start(self._pass, far, near)

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 20):
                self._pieces.append(piece)
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_RDWR)


# --- One cluster, many rows ---------------------------------------------------------------------------------------


def test_a_429_of_one_worker_pauses_all(client: Any) -> None:
    refusals = [answer(429, "{}", {"Retry-After": "0.3"})]

    def choose(request: Received) -> Any:
        return refusals.pop() if number_of(request) == 3 and refusals else json_answer(run_answer())

    with Server(route(choose), keep_alive=True) as server:
        batch = Scout(KEY, base_url=server.url).batch(WORKFLOW, rows(40), concurrency=4, engine=DaskEngine(client))
        items = list(batch)
        times = [request.time for request in server.requests]
    assert batch.summary.done == 40
    assert batch.summary.refused == 1
    assert next(item for item in items if item.index == 3).attempts == 2
    assert max(late - early for early, late in pairwise(times)) > 0.25
    assert sum(runs(server).values()) == 41


async def test_an_asynchronous_client_runs_the_rows_of_an_async_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOUT_API_KEY", KEY)
    with Server(json_answer(run_answer()), keep_alive=True) as server:
        async with (
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0", asynchronous=True
            ) as cluster,
            distributed.Client(cluster, asynchronous=True) as client,
            AsyncScout(KEY, base_url=server.url) as scout,
        ):
            engine = DaskEngine(client)
            items = [item async for item in scout.batch(WORKFLOW, rows(20), engine=engine, ordered=True)]
            monkeypatch.setattr("scout.batch._dask._PATIENCE", 0.1)
            with pytest.raises(ConfigurationError, match="for AsyncScout"):
                list(Scout(KEY, base_url=server.url).batch(WORKFLOW, rows(1), engine=engine))
    assert [item.index for item in items] == list(range(20))
    assert all(item.ok for item in items)
    assert runs(server) == Counter(range(20))


def test_an_error_of_a_row_comes_back_as_it_was_raised(client: Any) -> None:
    def choose(request: Received) -> Any:
        return answer(404, '{"detail": "gone"}') if number_of(request) == 1 else json_answer(run_answer())

    with Server(route(choose), keep_alive=True) as server:
        items = list(Scout(KEY, base_url=server.url).batch(WORKFLOW, rows(3), engine=DaskEngine(client), ordered=True))
    assert [item.outcome for item in items] == ["done", "failed", "done"]
    assert items[1].error.status == 404
    assert items[1].error.body == {"detail": "gone"}


async def test_closing_a_batch_cancels_what_runs_on_the_workers(client: Any, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    with Server(slow(20), keep_alive=True) as server:
        async with AsyncScout(KEY, base_url=server.url) as scout:
            batch = scout.batch(WORKFLOW, rows(4), engine=DaskEngine(client), key="n", journal=journal)
            taking = asyncio.create_task(anext(batch))
            await asyncio.to_thread(server.wait_for_hits, 4)
            taking.cancel()
            await asyncio.wait([taking])
            await batch.close()
        server.wait_until(lambda: len(server.hangups) == 4)
    assert noted(journal, "started") == {"0", "1", "2", "3"}
    assert noted(journal, "refused") == set()  # their runs may have started
    assert await asyncio.to_thread(has_no_pools, client)
    assert await asyncio.to_thread(has_no_queues, client)


def test_a_task_that_dask_runs_again_finds_no_rows(client: Any) -> None:
    from scout.batch._dask_worker import run_partition

    sent: list[bytes | str] = []
    submit = client.submit

    def submit_twice(function: Any, *order: Any, **options: Any) -> Any:
        assert options == {"pure": False, "retries": 0}
        sent.extend(order)
        # As Dask does when a result is lost: the task runs twice, and only the first one may run the rows.
        return submit(lambda: [run_partition(*order), run_partition(*order)], **options)

    with Server(json_answer(run_answer()), keep_alive=True) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "submit", submit_twice)
        items = list(Scout(KEY, base_url=server.url).batch(WORKFLOW, rows(10), engine=DaskEngine(client)))
    assert all(item.ok for item in items)
    assert len(items) == 10
    assert sent
    assert all(KEY not in str(part) for part in sent)
    assert runs(server) == Counter(range(10))


def test_workers_close_idle_connections_when_the_driver_is_gone(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def lost(batch: str) -> None:
        """Stand in for the message of a driver that died."""

    monkeypatch.setattr("scout.batch._dask.end_batch", lost)
    monkeypatch.setattr("scout.batch._dask_worker._IDLE", 0.05)
    with Server(json_answer(run_answer()), keep_alive=True) as server:
        items = list(Scout(KEY, base_url=server.url).batch(WORKFLOW, rows(4), engine=DaskEngine(client)))
        assert settled(lambda: has_no_pools(client))
        server.wait_until(lambda: server.open_connections == 0)
    assert all(item.ok for item in items)


# --- What goes wrong ----------------------------------------------------------------------------------------------


def test_workers_without_a_key_send_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(json_answer(run_answer())) as server, threads(1) as client:
        items = list(Scout(KEY, base_url=server.url).batch(WORKFLOW, rows(3), engine=DaskEngine(client)))
    assert server.hits == 0
    assert [type(item.error) for item in items] == [ConfigurationError] * 3
    assert "SCOUT_API_KEY in the environment of the workers" in str(items[0].error)


def test_workers_with_another_version_send_nothing(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scout.batch._dask.__version__", "0.0.7")
    with Server(json_answer(run_answer())) as server:
        items = list(Scout(KEY, base_url=server.url).batch(WORKFLOW, rows(2), engine=DaskEngine(client)))
    assert server.hits == 0
    assert all("from version 0.0.7" in str(item.error) and not item.error.run_may_have_started for item in items)


@pytest.mark.parametrize(
    ("problem", "kind", "message"),
    [
        (ModuleNotFoundError("No module named 'scout'"), ConfigurationError, "they need scout-workflows[dask]"),
        (OSError("Stream is closed"), APIConnectionError, "has lost its scheduler (OSError: Stream is closed)"),
    ],
)
def test_workers_that_cannot_begin_say_why(
    client: Any, monkeypatch: pytest.MonkeyPatch, problem: Exception, kind: type[Exception], message: str
) -> None:
    def fail(*order: object) -> int:
        raise problem

    monkeypatch.setattr("scout.batch._dask.run_partition", fail)
    (item,) = Scout(KEY, base_url="http://127.0.0.1:9").batch(WORKFLOW, rows(1), engine=DaskEngine(client))
    assert isinstance(item.error, kind)
    assert message in str(item.error)
    assert not item.error.run_may_have_started


def test_a_cluster_without_workers_is_reported_and_left_without_a_row_that_is_unknown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    for name, seconds in (("_LOOK", 0.02), ("_LONELY", 0.04)):
        monkeypatch.setattr(f"scout.batch._dask.{name}", seconds)
    journal = tmp_path / "journal.jsonl"

    async def wait_and_leave(client: Any) -> None:
        async with AsyncScout(KEY, base_url="http://127.0.0.1:9") as scout:
            batch = scout.batch(WORKFLOW, rows(3), engine=DaskEngine(client), key="n", journal=journal)
            taking = asyncio.create_task(anext(batch))
            assert await asyncio.to_thread(settled, lambda: "has no workers" in caplog.text)
            taking.cancel()
            await asyncio.wait([taking])
            await batch.close()

    with threads(0) as client:
        asyncio.run(wait_and_leave(client))
        assert has_no_queues(client)
    assert noted(journal, "started") == {"0", "1", "2"}
    assert noted(journal, "refused") == {"0", "1", "2"}


def test_a_client_that_is_closed_ends_the_batch(client: Any, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    items = []
    with Server(slow(0.5), keep_alive=True) as server, Scout(KEY, base_url=server.url) as scout:
        engine = DaskEngine(client)
        batch = scout.batch(WORKFLOW, rows(9), concurrency=3, engine=engine, journal=journal)

        def close() -> None:
            server.wait_for_hits(3)
            client.close()

        closer = threading.Thread(target=close)
        closer.start()
        with pytest.raises(APIConnectionError, match="was lost"):
            items.extend(batch)
        closer.join()
        with pytest.raises(ConfigurationError, match="the Dask client is closed"):
            list(scout.batch(WORKFLOW, rows(1), engine=engine))
        again = list(scout.batch(WORKFLOW, rows(9), journal=journal, ordered=True))
    assert [item.outcome for item in again] == ["unknown"] * 3 + ["done"] * 6
    assert runs(server) == Counter(range(9))


def test_an_engine_is_made_of_a_client_or_an_address(client: Any) -> None:
    address = client.scheduler.address
    assert repr(DaskEngine(client)) == f"DaskEngine({address})"
    with DaskEngine.connect(address) as engine:
        assert repr(engine) == f"DaskEngine({address})"
    with pytest.raises(ConfigurationError, match=r"must be a distributed.Client, not str"):
        DaskEngine("tcp://127.0.0.1:8786")
    with pytest.raises(ConfigurationError, match="no Dask scheduler at 'nonsense://'"):
        DaskEngine.connect("nonsense://")


def test_inputs_that_are_not_json_are_an_error_of_their_row(client: Any) -> None:
    with Server(json_answer(run_answer()), keep_alive=True) as server:
        given: list[dict[str, Any]] = [{"n": 0}, {"n": 1, "bad": threading.Lock()}]
        batch = Scout(KEY, base_url=server.url).batch(WORKFLOW, given, key="n", engine=DaskEngine(client), ordered=True)
        items = list(batch)
    assert [item.outcome for item in items] == ["done", "failed"]
    assert isinstance(items[1].error, ConfigurationError)


def test_a_client_with_a_transport_cannot_send_from_elsewhere(client: Any) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200))
    with (
        Scout(KEY, transport=transport) as scout,
        pytest.raises(ConfigurationError, match="transport="),
    ):
        list(scout.batch(WORKFLOW, rows(1), engine=DaskEngine(client)))


def test_the_engine_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'scout-workflows\[dask\]'"):
        DaskEngine.connect("tcp://127.0.0.1:8786")


def test_a_hook_that_cannot_be_pickled_is_refused(client: Any) -> None:
    with (
        Server(json_answer(run_answer())) as server,
        Scout(KEY, base_url=server.url, on_request=lambda _: None) as scout,
        pytest.raises(ConfigurationError, match="a hook must be a function of a module"),
    ):
        list(scout.batch(WORKFLOW, [{"n": 1}], engine=DaskEngine(client)))

    assert server.hits == 0


_heard: list[object] = []


def _hear(info: object) -> None:
    _heard.append(info)


def test_hooks_run_in_the_workers(client: Any) -> None:
    _heard.clear()
    with Server(json_answer(run_answer())) as server, Scout(KEY, base_url=server.url, on_request=_hear) as scout:
        items = list(scout.batch(WORKFLOW, rows(3), engine=DaskEngine(client)))

    assert [item.ok for item in items] == [True] * 3
    assert len(_heard) == 3  # whose workers are threads of this process
