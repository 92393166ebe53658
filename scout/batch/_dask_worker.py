"""What a Dask worker does for a batch: it takes the rows of a partition, and runs them over its own connections."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import threading
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TYPE_CHECKING, Any, TypeAlias

from scout import __version__
from scout._http import AsyncHttp
from scout.errors import ConfigurationError

from ._job import HttpRunner, Job, Outcome

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

__all__ = ["Result", "Row", "end_batch", "run_partition"]

_IDLE = 30.0
"""Seconds after which unused connections of a batch are closed, because its driver may have died."""

Row: TypeAlias = "tuple[int, Mapping[str, Any], str | None]"
"""A row on its way: its number in the batch, its inputs, and the session of its run."""

Result: TypeAlias = "tuple[int, Outcome | str]"
"""The number of a row and its outcome; text is an exception that is not of this package, which may not pickle."""


def run_partition(version: str, batch: str, job: bytes, name: str) -> int:
    """Run the rows of a partition, all at once, and send each result as soon as it is there.

    Dask runs a task again when its worker dies, or when its result is lost. So the task does not hold the rows: it
    takes them from a queue of the scheduler, in one step, and a second run of the task finds none.

    Args:
        version: The version of this package that the driver has.
        batch: The name of the batch, and of the queue for the results of all its partitions.
        job: The job, pickled.
        name: The name of the queue that holds the rows of the partition.

    Returns:
        The number of rows that were run.

    Raises:
        ConfigurationError: this worker cannot run rows. It has taken none.
    """
    import distributed  # of the extra `dask`

    dask: Any = distributed
    worker = f"the Dask worker at {dask.get_worker().address}"
    if version != __version__:
        raise ConfigurationError(
            f"{worker} has version {__version__} of scout-workflows, and this batch comes from version {version}; "
            "install the same version on the workers and where the batch is started"
        )
    client = dask.get_client()
    dask.secede()  # waiting needs no slot of the worker; the batch decides how many rows run at once
    with _pool(batch, job, worker) as pool, contextlib.closing(dask.Queue(batch, client=client)) as results:
        with contextlib.closing(dask.Queue(name, client=client)) as queue:
            taken: list[list[bytes]] = queue.get(batch=True)
        rows: list[Row] = [pickle.loads(row) for part in taken for row in part]
        for ended in pool.run(rows):
            results.put(pickle.dumps(ended))
    return len(rows)


async def end_batch(batch: str) -> None:
    """Cancel the rows of a batch that run in this process, and close its connections."""
    with _lock:
        _ended.append(batch)
        pool = _pools.pop(batch, None)
    if pool is not None:
        await asyncio.to_thread(pool.stop)


# --- The pool of a batch in this process --------------------------------------------------------------------------

_lock = threading.Lock()
_pools: dict[str, _Pool] = {}
_ended: deque[str] = deque(maxlen=1000)  # so that a task that comes late starts nothing


@contextlib.contextmanager
def _pool(batch: str, job: bytes, worker: str) -> Generator[_Pool]:
    """Lend the pool that all partitions of a batch share in this process; the first one opens it."""
    with _lock:
        if batch in _ended:
            raise ConfigurationError("the batch has ended")  # nobody waits for this
        pool = _pools.get(batch)
        if pool is None:
            pool = _pools[batch] = _Pool(batch, _unpickled(job, worker))
        pool.partitions += 1
    try:
        yield pool
    finally:
        with _lock:
            pool.partitions -= 1


def _unpickled(job: bytes, worker: str) -> Job:
    found: Job = pickle.loads(job)
    if found.config.api_key is None:  # the pickle has none, and the environment of this process neither
        raise ConfigurationError(
            f"{worker} has no API key: set SCOUT_API_KEY in the environment of the workers before they are started; "
            "a batch does not send the key to them"
        )
    return found


class _Pool:
    """An event loop in a thread, with the connections of one batch."""

    def __init__(self, batch: str, job: Job) -> None:
        self.partitions = 0
        self._batch = batch
        self._http = AsyncHttp(None, job.config.max_connections)
        self._runner = HttpRunner(job, self._http)
        self._loop = asyncio.new_event_loop()
        self._must_stop = asyncio.Event()
        self._is_ended = False
        self._thread = threading.Thread(target=self._work, name="scout-batch", daemon=True)
        self._thread.start()

    def run(self, rows: Sequence[Row]) -> Iterator[list[Result]]:
        """Run rows at the same time, and yield their results as they come; those that are cancelled have none."""
        pending = self._begin(rows)
        try:
            while pending:
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                ended = [(pending.pop(each), each) for each in done]
                results = [(number, _outcome(each)) for number, each in ended if not each.cancelled()]
                if results:
                    yield results
        finally:
            for each in pending:  # nobody gets their results any more
                each.cancel()

    def _begin(self, rows: Sequence[Row]) -> dict[Future[Outcome], int]:
        with _lock:  # so that `stop` comes before, and nothing begins, or after, and cancels it
            if self._is_ended:
                return {}
            begin = asyncio.run_coroutine_threadsafe
            return {begin(self._runner.run(inputs, session), self._loop): number for number, inputs, session in rows}

    def stop(self) -> None:
        """Cancel what runs, and return when the connections are closed."""
        with _lock:
            if not self._is_ended:
                self._is_ended = True
                self._loop.call_soon_threadsafe(self._must_stop.set)
        self._thread.join()

    def _work(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._live())

    async def _live(self) -> None:
        async with self._runner:
            while not await self._is_over():
                pass
            rows = asyncio.all_tasks() - {asyncio.current_task()}
            for row in rows:
                row.cancel()
            await asyncio.gather(*rows, return_exceptions=True)
        await self._http.close()

    async def _is_over(self) -> bool:
        """Wait until the batch has ended, or a while; return True when the pool is not needed any more."""
        try:
            await asyncio.wait_for(self._must_stop.wait(), _IDLE)
        except TimeoutError:
            with _lock:
                if not self.partitions:
                    self._is_ended = True
                    _pools.pop(self._batch, None)  # the next partition opens another one
        return self._is_ended


def _outcome(ended: Future[Outcome]) -> Outcome | str:
    error = ended.exception()
    return ended.result() if error is None else f"{type(error).__name__}: {error}"
