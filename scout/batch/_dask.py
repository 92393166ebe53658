"""`DaskEngine`: the rows of a batch run on the workers of a Dask cluster.

The dispatcher of the batch decides as it always does: which row is sent when, what a 429 means, what the journal says.
Here a row that it sends takes another way:

1. Rows that are sent at about the same moment become a partition, which is put into a queue of the scheduler.
2. Each partition is one task. Dask chooses the worker. `_dask_worker` takes the rows out of the queue and runs them.
3. Results come back through one queue for all partitions, each as soon as it is there.
4. When a task has ended, a row that is still in its queue never started. One that was taken and has no result was lost
   with its worker: its run may have started, and nothing sends it again.

Everything that concerns Dask happens in the event loop of its client, which may be that of the batch or another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import pickle
import uuid
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from scout import __version__
from scout._json import json_fault, shorten
from scout.errors import APIConnectionError, ConfigurationError, RunUnknownError, ScoutError

from ._dask_worker import Result, end_batch, run_partition
from ._job import Job, Outcome, Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

__all__ = ["DaskEngine"]

_T = TypeVar("_T")

_logger = logging.getLogger("scout")

_WINDOW = 0.01  # seconds for which rows are collected; a run takes longer
_MOST_ROWS = 100  # of a partition
_PATIENCE = 10.0  # seconds for a cluster that does not answer
_MOMENT = 2.0  # seconds for what it says of its rows when a batch is closed
_LOOK = 1.0  # seconds between two looks at the cluster
_LONELY = 10.0  # seconds without workers after which a warning is logged
_END = ""  # the mark behind the last results
_GRACE = 0.5  # seconds for results that a worker sent just before it died


class DaskEngine:
    """Runs the rows of a batch on the workers of a Dask cluster: `scout.batch(..., engine=DaskEngine(client))`.

    The workers need this package, in the same version, and `SCOUT_API_KEY` in their environment: the key is never sent
    to them. `concurrency`, `rate` and the pauses after a 429 hold for all workers together, and the journal is written
    where the batch was started. A row that was lost with its worker is not sent again: its error is a
    `RunUnknownError`.

    Args:
        client: A `distributed.Client`, which stays open. An asynchronous one is for `AsyncScout.batch`.

    Raises:
        ConfigurationError: it is not a client of Dask, or the extra `dask` is not installed.
    """

    def __init__(self, client: Any) -> None:
        if not isinstance(client, _distributed().Client):
            raise ConfigurationError(f"client must be a distributed.Client, not {type(client).__name__}")
        self._client: Any = client
        self._is_owner = False

    @classmethod
    def connect(cls, address: str) -> DaskEngine:
        """Return an engine with a client of its own, which `close` closes; it is a context manager.

        Args:
            address: The address of the scheduler, such as `"tcp://127.0.0.1:8786"`.

        Raises:
            ConfigurationError: there is no scheduler at that address, or the extra `dask` is not installed.
        """
        try:
            client = _distributed().Client(address, timeout=_PATIENCE, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise ConfigurationError(f"there is no Dask scheduler at {address!r}: {error}") from None
        engine = cls(client)
        engine._is_owner = True
        return engine

    def runner(self, job: Job) -> Runner:
        """Return what runs the rows of a job. The batch calls this."""
        return _DaskRunner(self._client, job)

    def close(self) -> None:
        """Close the client that `connect` made."""
        if self._is_owner:
            self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"DaskEngine({_address(self._client)})"


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise ConfigurationError(
            f"a batch on a Dask cluster needs the extra `dask`: pip install 'scout-workflows[dask]' ({error})"
        ) from None
    return distributed


def _address(client: Any) -> str:
    return str(getattr(client.scheduler, "address", "not connected"))


# --- Rows ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Row:
    number: int
    session_id: str | None
    parcel: bytes  # a `Row` of `_dask_worker`
    outcome: asyncio.Future[Outcome]
    partition: str = ""  # empty before it is sent

    def fail(self, error: ScoutError) -> None:
        if not self.outcome.done():
            self.outcome.set_result(Outcome(None, error, 0, 0.0))

    def lose(self, why: str) -> None:
        """End the row after `why`: its run may have started if the row was sent, and has not otherwise."""
        if self.partition:
            message = f"{why} while this row ran; its run may have started"
            self.fail(RunUnknownError(message, session_id=self.session_id))
        else:
            self.fail(_not_started(why))


def _not_started(why: str) -> ScoutError:
    return APIConnectionError(f"{why} before this row was sent; its run has not started", run_may_have_started=False)


def _pickled(job: Job) -> bytes:
    try:
        return pickle.dumps(job)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            "a batch on a Dask cluster sends the settings of the client to its workers, and these cannot be pickled: "
            f"{error}; a hook must be a function of a module"
        ) from None


# --- The runner ---------------------------------------------------------------------------------------------------


class _DaskRunner:
    """Sends rows to the workers, from the event loop of the batch."""

    def __init__(self, client: Any, job: Job) -> None:
        self._name = f"scout-batch-{uuid.uuid4().hex}"
        self._cluster = _Cluster(client, self._name, _pickled(job))
        self._rows: dict[int, _Row] = {}  # those without an outcome
        self._waiting: list[_Row] = []
        self._rows_so_far = self._partitions_so_far = 0
        self._workers = 1
        self._carrying: set[asyncio.Task[None]] = set()
        self._marks: dict[str, asyncio.Event] = {}
        self._taken_back: dict[str, asyncio.Future[list[int]]] = {}
        self._lost: str | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._cluster.check()
        try:
            async with asyncio.timeout(_PATIENCE):  # asyncio.wait_for of Python 3.11 may swallow that this is cancelled
                self._workers = await self._on_cluster(self._cluster.open)
        except TimeoutError:
            raise ConfigurationError(
                f"the Dask client does not answer within {_PATIENCE:g} s; one whose event loop is that of this program "
                "(asynchronous=True) is for AsyncScout.batch"
            ) from None
        except OSError as error:
            raise APIConnectionError(
                f"the Dask scheduler does not answer: {error}", run_may_have_started=False
            ) from None
        self._reading = self._begin(self._read())
        self._watching = self._begin(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None and self._carrying:  # their rows are done, and their tasks are about to end
            await asyncio.wait(self._carrying, timeout=_GRACE)
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)
        if self._lost is None:
            # A cluster that does not answer must not keep the batch; its workers close idle connections by themselves.
            with contextlib.suppress(OSError, RuntimeError, ConfigurationError):
                async with asyncio.timeout(_PATIENCE):
                    self._cluster.check()
                    await self._on_cluster(self._cluster.end)
                    await asyncio.wait([self._reading])
                    await self._on_cluster(self._cluster.close)
        for task in (self._reading, self._watching):
            task.cancel()
        await asyncio.gather(self._reading, self._watching, return_exceptions=True)

    async def run(self, inputs: Mapping[str, Any], session_id: str | None) -> Outcome:
        """Run one row once, on a worker."""
        if self._lost is not None:
            raise _not_started(self._lost)
        number = self._rows_so_far
        self._rows_so_far += 1
        try:
            parcel = pickle.dumps((number, dict(inputs), session_id))
        except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
            fault = json_fault(dict(inputs), ("inputs",)) or f"the inputs cannot be sent to a worker: {error}"
            return Outcome(None, ConfigurationError(str(fault)), 0, 0.0)
        row = self._rows[number] = _Row(number, session_id, parcel, self._loop.create_future())
        if not self._waiting:
            self._loop.call_later(_WINDOW, self._send)
        self._waiting.append(row)
        try:
            return await row.outcome
        except asyncio.CancelledError:  # the batch is closed
            if not row.partition or number in await self._take_back(row.partition):
                raise _not_started("the batch was closed") from None
            raise
        finally:
            self._rows.pop(number, None)

    # --- Partitions ---

    def _send(self) -> None:
        """Send the rows that wait, to as many workers as have to share all that are under way."""
        rows = [row for row in self._waiting if not row.outcome.done()]
        self._waiting.clear()
        share = math.ceil(len(self._rows) / max(self._workers, 1))
        most = min(max(share, 1), _MOST_ROWS)
        for first in range(0, len(rows), most):
            task = self._begin(self._carry(rows[first : first + most]))
            self._carrying.add(task)
            task.add_done_callback(self._carrying.discard)

    async def _carry(self, rows: Sequence[_Row]) -> None:
        """Have a partition run, and see to it that each of its rows has an outcome afterwards."""
        self._partitions_so_far += 1
        name = f"{self._name}-{self._partitions_so_far}"
        for row in rows:
            row.partition = name
        left, error = await self._on_cluster(lambda: self._cluster.run(name, [row.parcel for row in rows]))
        for number in left:
            if number in self._rows:
                self._rows[number].fail(error)
        # Results may still be on their way: some in front of the mark, and those of a worker that died a little behind.
        for seconds in (0.0, _GRACE):
            if all(row.outcome.done() for row in rows):
                return
            await asyncio.sleep(seconds)
            await self._pass_results(name)
        for row in rows:
            row.lose("the Dask worker was lost")

    async def _pass_results(self, name: str) -> None:
        """Wait until all results that the scheduler has by now are here."""
        mark = self._marks[name] = asyncio.Event()
        await self._on_cluster(lambda: self._cluster.mark(name))
        await mark.wait()

    async def _take_back(self, name: str) -> list[int]:
        """Return the numbers of the rows of a partition that no worker took, and none can take any more."""
        try:
            self._cluster.check()
            if name not in self._taken_back:
                self._taken_back[name] = self._on_cluster(lambda: self._cluster.take_back(name))
            async with asyncio.timeout(_MOMENT):
                return await asyncio.shield(self._taken_back[name])
        except (OSError, RuntimeError, ConfigurationError):  # as in __aexit__
            return []

    # --- Results ---

    async def _read(self) -> None:
        while True:
            for piece in await self._on_cluster(self._cluster.read):
                if piece == _END:
                    return
                if isinstance(piece, str):
                    self._marks.pop(piece).set()
                else:
                    self._take(pickle.loads(piece))

    def _take(self, results: list[Result]) -> None:
        for number, result in results:
            row = self._rows.get(number)
            if row is None or row.outcome.done():
                continue
            if isinstance(result, str):
                row.outcome.set_exception(RuntimeError(f"on a Dask worker: {result}"))
            else:
                row.outcome.set_result(result)

    # --- The state of the cluster ---

    async def _watch(self) -> None:
        """Notice that the client is closed, or has lost its scheduler, or that there are no workers."""
        lonely = 0.0
        while True:
            await asyncio.sleep(_LOOK)
            self._cluster.check()
            with contextlib.suppress(TimeoutError):  # a scheduler that is busy
                async with asyncio.timeout(_PATIENCE):
                    self._workers = await self._on_cluster(self._cluster.count)
            lonely = 0.0 if self._workers or not self._rows else lonely + _LOOK
            if _LONELY <= lonely < _LONELY + _LOOK:
                _logger.warning(
                    "the Dask cluster at %s has no workers; %d rows of a batch wait for one",
                    self._cluster.address,
                    len(self._rows),
                )

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None or self._lost is not None:
            return
        self._lost = f"the Dask cluster at {self._cluster.address} was lost ({shorten(str(error) or repr(error), 200)})"
        for row in list(self._rows.values()):
            row.lose(self._lost)
        for each in self._carrying:
            each.cancel()

    def _on_cluster(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> asyncio.Future[_T]:
        """Run a coroutine in the event loop of the client."""
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), self._cluster.loop))


# --- The cluster --------------------------------------------------------------------------------------------------


class _Cluster:
    """The calls of Dask. All coroutines run in the event loop of its client."""

    def __init__(self, client: Any, batch: str, job: bytes) -> None:
        self._client = client
        self._batch = batch
        self._job = job
        self._results: Any = None
        self._runs: set[asyncio.Task[Any] | None] = set()
        self.address = _address(client)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the client."""
        loop: asyncio.AbstractEventLoop = self._client.loop.asyncio_loop
        return loop

    def check(self) -> None:
        """Raise `ConfigurationError` when the client has no connection to its scheduler."""
        if self._client.status != "running":
            raise ConfigurationError(f"the Dask client is {self._client.status}")

    async def open(self) -> int:
        """Make the queue of the results, and return the number of workers."""
        self._results = await _queue(self._batch, self._client)
        return await self.count()

    async def count(self) -> int:
        """Return the number of workers."""
        return len(await self._client.nthreads())

    async def run(self, name: str, parcels: list[bytes]) -> tuple[list[int], ScoutError]:
        """Run a partition, and return the numbers of the rows that no worker took, and why."""
        self._runs.add(current := asyncio.current_task())
        queue = task = None
        try:
            queue = await _queue(name, self._client)
            await queue.put(parcels)
            order = (__version__, self._batch, self._job, name)
            task = self._client.submit(run_partition, *order, pure=False, retries=0)
            problem = await self._problem_of(task, queue)
            self.check()
            return await _rest(queue), _reason(problem)
        finally:
            if task is not None and not task.done():
                await task.cancel()
            if queue is not None:
                queue.close()
            self._runs.discard(current)

    async def take_back(self, name: str) -> list[int]:
        """Take the rows of a partition that are still in its queue, and return their numbers."""
        queue = await _queue(name, self._client)
        try:
            return await _rest(queue)
        finally:
            queue.close()

    async def _problem_of(self, task: Any, queue: Any) -> BaseException | None:
        """Wait until a task has ended, or until its rows were taken and no worker is left; return its error."""
        ended: asyncio.Future[BaseException | None] = asyncio.ensure_future(task.exception())
        try:
            while not ended.done():
                await asyncio.wait([ended], timeout=_LONELY)
                if not ended.done() and not await self.count() and not await queue.qsize():
                    return None
            return await ended
        finally:
            ended.cancel()

    async def read(self) -> list[bytes | str]:
        """Wait for results, and return all that are there."""
        first = await self._results.get()
        return [first, *await self._results.get(batch=True)]

    async def mark(self, name: str) -> None:
        """Put a mark behind the results that are there by now."""
        await self._results.put(name)

    async def end(self) -> None:
        """Cancel what still runs on the workers, and put the last mark behind the results."""
        if runs := [each for each in self._runs if each is not None]:  # they have been cancelled
            await asyncio.wait(runs)
        await self._client.run(end_batch, self._batch, on_error="ignore")
        await self.mark(_END)

    async def close(self) -> None:
        """Remove the queue of the results."""
        self._results.close()


async def _queue(name: str, client: Any) -> Any:
    """Return a queue of the scheduler.

    A new queue registers itself in a task of its own, and once more when it is awaited. So the task is awaited: nobody
    else would notice that it failed, and to be removed the queue would have to be closed twice.
    """
    others = asyncio.all_tasks()
    queue = _distributed().Queue(name, client=client)
    await asyncio.gather(*(asyncio.all_tasks() - others))
    return queue


async def _rest(queue: Any) -> list[int]:
    """Take what is left out of the queue of a partition, so that no worker can, and return the numbers of the rows."""
    left: list[list[bytes]] = await queue.get(batch=True)
    return [pickle.loads(row)[0] for part in left for row in part]


def _reason(problem: BaseException | None) -> ScoutError:
    """Return the error of the rows that no worker took."""
    if isinstance(problem, ScoutError):
        return problem
    if problem is None:
        return _not_started("the task of this row was cancelled")
    if isinstance(problem, _distributed().KilledWorker):
        return _not_started("the Dask workers that were to run this row died")
    said = f"{type(problem).__name__}: {shorten(str(problem), 200)}"
    if isinstance(problem, OSError):  # a timeout is one, too
        return _not_started(f"a Dask worker has lost its scheduler ({said})")
    return ConfigurationError(
        f"the Dask workers cannot run rows; they need scout-workflows[dask] {__version__} ({said})"
    )
