"""`Batch` and `AsyncBatch`: the iterators that a caller has. They take in rows, and hand out items.

Both send from an event loop, by the same `Dispatcher`: that of the caller, or one in a thread of the batch. Rows are
always asked for where the caller is, because many sources, such as the cursor of a database, belong to a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import queue
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Generator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast
from urllib.parse import urlsplit

from scout._config import Config, check_flag, is_loopback
from scout._http import AsyncHttp, Http
from scout._json import is_mapping, parse_json, write_json
from scout._options import RUN_OPTIONS, CallOptions, RunOptions, apply_options
from scout._requests import execute_request, execute_stored_request
from scout.errors import ConfigurationError, JournalError
from scout.workflow_files import LoadedWorkflow, WorkflowSource, is_workflow_id, load_workflow
from scout.workflows import AsyncWorkflows, Workflows

from ._engine import Dispatcher, Plan, Unknown
from ._items import BatchItem, BatchSummary, Tally
from ._job import BatchEngine, HttpRunner, Job, Runner, ThreadRunner
from ._journal import Journal
from ._pace import Pace
from ._rows import rows_of, total_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scout._requests import Request

__all__ = ["AsyncBatch", "Batch", "Settings"]

_Rows = Generator[Mapping[str, Any]] | AsyncGenerator[Mapping[str, Any]]

_KEY = "key:"
_STOPPED = "stop() was called"
_CHUNK = 0.001  # seconds for which rows are collected before they are passed on
_AHEAD = 2  # rows per row under way that are asked for ahead, so that the next is there when one ends
_AHEAD_IN_ORDER = 16  # ... where those that are done wait for one before them
_LEAST_IN_ORDER = 1000


@dataclass(frozen=True, slots=True)
class Settings:
    """The arguments of `Scout.batch`. See there."""

    rows: Any
    concurrency: int
    journal: str | os.PathLike[str] | None
    resume: bool
    unknown: Unknown
    ordered: bool
    stop_after_failures: int | None
    rate: float | None
    key: str | None
    stream: bool
    engine: BatchEngine | None
    on_progress: Callable[[BatchSummary], object] | None

    def __post_init__(self) -> None:
        _check_number("concurrency", self.concurrency)
        if self.stop_after_failures is not None:
            _check_number("stop_after_failures", self.stop_after_failures)
        for name in ("resume", "ordered", "stream"):
            check_flag(name, getattr(self, name))
        rate: Any = self.rate
        if rate is not None and (
            isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf
        ):
            raise ConfigurationError(f"rate must be a number of requests per second, more than 0, not {rate!r}")
        if self.unknown not in ("ask", "skip", "rerun"):
            raise ConfigurationError(f"unknown must be 'ask', 'skip' or 'rerun', not {self.unknown!r}")
        key: Any = self.key
        if key is not None and (not isinstance(key, str) or not key):
            raise ConfigurationError(f"key must be the name of a column, not {key!r}")
        journal: Any = self.journal
        if journal is not None and not isinstance(journal, str | os.PathLike):
            raise ConfigurationError(f"journal must be a path, not {type(journal).__name__}")
        engine: Any = self.engine
        if engine is not None and not callable(getattr(engine, "runner", None)):
            raise ConfigurationError(f"engine must be one such as DaskEngine(client), not {type(engine).__name__}")
        if self.on_progress is not None and not callable(self.on_progress):
            raise ConfigurationError("on_progress must be a function that takes a BatchSummary")

    def check_transport(self, *, has_transport: bool) -> None:
        """Refuse an engine for a client that sends over a transport of the caller, which cannot travel."""
        if has_transport and self.engine is not None:
            raise ConfigurationError(
                "a client with transport= sends from this process; make it without, or leave engine away"
            )


def _check_number(name: str, number: object) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ConfigurationError(f"{name} must be a whole number, 1 or more, not {number!r}")


# --- What is sent -------------------------------------------------------------------------------------------------


class _Target:
    """The workflow of a batch, with the options of its runs.

    Raises:
        WorkflowFileError: the workflow cannot be read.
        ConfigurationError: an option is invalid.
    """

    def __init__(self, config: Config, workflow: WorkflowSource, options: RunOptions, *, streaming: bool) -> None:
        self.config, self._parts = apply_options(config, options, RUN_OPTIONS)
        self._streaming = streaming
        body: Any = self._parts.get("extra_body")
        if is_mapping(body) and "inputs" in body:
            raise ConfigurationError("extra_body must not hold inputs, which are those of each row")
        query: Any = self._parts.get("extra_query")
        has_session = self._parts.get("session_id") or (is_mapping(query) and "session_id" in query)
        self._loaded: LoadedWorkflow | None = None
        self._stored = ""
        if isinstance(workflow, str) and (workflow.startswith(_KEY) or is_workflow_id(workflow)):
            self._stored = workflow
        else:
            self._loaded = load_workflow(workflow)
        self.chooses_session = bool(self._stored) and not has_session
        self._template(self._stored)  # so that what cannot be sent is refused now

    async def job(self, http: AsyncHttp, blocking: Http | None) -> Job:
        """Return what the rows share. A key is looked up, once for all of them.

        Raises:
            NotFoundError: no workflow has the key.
        """
        stored = self._stored
        if stored.startswith(_KEY):
            options: CallOptions = {"extra_headers": self._parts.get("extra_headers") or {}}
            if blocking is None:
                found = await AsyncWorkflows(http, lambda: self.config).get(stored, **options)
            else:
                found = await asyncio.to_thread(Workflows(blocking, lambda: self.config).get, stored, **options)
            stored = found.id
        config = self.config.changed(rate_limit_timeout=0)  # a 429 concerns all rows, so the batch waits
        return Job(self._template(stored), config, self._loaded, self._streaming)

    def _template(self, stored: str) -> Request:
        options: dict[str, Any] = {"environment": self.config.environment, "streaming": self._streaming, **self._parts}
        if self._loaded is None:
            return execute_stored_request(stored, None, **options)
        return execute_request(self._loaded, None, **options)


def _identity(job: Job) -> str:
    """Return a hash of what decides a run besides its inputs: the server, the workflow and the options.

    The form of the file does not count, nor whether the run is streamed. Of a server on this machine the port does
    not count, because a local Scout has another one each time.
    """
    host = urlsplit(job.config.base_url).hostname or ""
    server = "local" if is_loopback(host) else job.config.base_url
    body = parse_json(job.template.body)
    del body["streaming"]
    shared = [server, job.template.path, dict(job.template.query), body]
    return sha256(write_json(shared, sort_keys=True, compact=True).encode(errors="surrogatepass")).hexdigest()


# --- The part without I/O -----------------------------------------------------------------------------------------


class _Exchange:
    """Counts what goes in and comes out: how far ahead rows are asked for, and in which order items are handed out."""

    def __init__(self, settings: Settings) -> None:
        self.tally = Tally(total_of(settings.rows))
        self._ordered = settings.ordered
        self._on_progress = settings.on_progress
        self._most = settings.concurrency * _AHEAD
        if settings.ordered:
            self._most = max(settings.concurrency * _AHEAD_IN_ORDER, _LEAST_IN_ORDER)
        self._inside = 0
        self._next = 0
        self._early: dict[int, BatchItem] = {}

    @property
    def has_room(self) -> bool:
        """True when a further row may be asked for."""
        return self._inside < self._most

    @property
    def has_much_room(self) -> bool:
        """True when so many rows may be asked for that it is worth while to pass them on."""
        return self._inside <= self._most * 3 // 4

    def put(self) -> None:
        """Count a row that goes in."""
        self._inside += 1

    def take(self, item: BatchItem) -> Iterator[BatchItem]:
        """Return the items that can be handed out now that this one is there."""
        if not self._ordered:
            yield self._out(item)
            return
        self._early[item.index] = item
        while (early := self._early.pop(self._next, None)) is not None:
            self._next += 1
            yield self._out(early)

    def rest(self) -> Iterator[BatchItem]:
        """Return the items that wait for others, which will not come any more."""
        for index in sorted(self._early):
            yield self._out(self._early.pop(index))

    def _out(self, item: BatchItem) -> BatchItem:
        self._inside -= 1
        self.tally.add(item)
        if self._on_progress is not None:
            self._on_progress(self.tally)
        return item

    def refused(self) -> None:
        self.tally.refused += 1


class _Work:
    """The part of a batch that runs in an event loop.

    Args:
        settings: The arguments of the batch.
        target: What it runs.
        client_http: The connections of the client. They are held as long as the batch, because the local Scout that
            they may have stops with them.
        blocking: The same, when rows must be sent over them in threads.
    """

    def __init__(
        self, settings: Settings, target: _Target, client_http: Http | AsyncHttp, blocking: Http | None
    ) -> None:
        self.settings = settings
        self.client_http = client_http
        self._target = target
        self._blocking = blocking

    @property
    def config(self) -> Config:
        """The settings of the calls."""
        return self._target.config

    async def run(
        self,
        http: AsyncHttp,
        emit: Callable[[BatchItem], None],
        refused: Callable[[], None],
        ready: Callable[[Dispatcher], None],
    ) -> str | None:
        """Send the rows that the dispatcher gets which is passed to `ready`, and return why it was stopped."""
        settings = self.settings
        job = await self._target.job(http, self._blocking)
        identity = _identity(job)
        journal = await self._journal(identity)
        try:
            plan = Plan(
                identity,
                settings.key,
                settings.unknown,
                self._target.chooses_session,
                settings.stop_after_failures,
            )
            config = self._target.config
            most = settings.concurrency
            if settings.engine is None:
                most = min(most, config.max_connections)  # a row that waits for a connection is not started
            pace = Pace(most, settings.rate, config.rate_limit_timeout)
            async with self._runner(job, http, most) as runner:
                dispatcher = Dispatcher(runner, pace, journal, plan, emit, refused)
                ready(dispatcher)
                await dispatcher.run()
                return dispatcher.stopped
        finally:
            if journal is not None:
                await journal.close()

    async def _journal(self, identity: str) -> Journal | None:
        """Open the journal, in a thread, because a long one takes time to read."""
        path, key = self.settings.journal, self.config.api_key
        if path is None:
            return None
        opening = asyncio.ensure_future(
            asyncio.to_thread(
                Journal,
                path,
                resume=self.settings.resume,
                scope=identity,
                redact=None if key is None else key.now().redact,
            )
        )
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            with contextlib.suppress(JournalError):
                await (await opening).close()
            raise

    def _runner(self, job: Job, http: AsyncHttp, most: int) -> Runner:
        if self.settings.engine is not None:
            return self.settings.engine.runner(job)
        return HttpRunner(job, http) if self._blocking is None else ThreadRunner(job, self._blocking, most)


# --- Sync ---------------------------------------------------------------------------------------------------------


class _Ready:
    """The message that the dispatcher takes rows."""


@dataclass(frozen=True, slots=True)
class _End:
    """The last message: the batch has ended, with an error or not."""

    error: BaseException | None


class _Thread:
    """A thread with the event loop of one batch."""

    def __init__(self, work: _Work, exchange: _Exchange) -> None:
        self.mail: queue.SimpleQueue[BatchItem | _Ready | _End] = queue.SimpleQueue()
        self._work = work
        self._exchange = exchange
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._dispatcher: Dispatcher | None = None
        self._lock = threading.Lock()  # held while the loop is called, so that it does not close in between
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scout-batch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            asyncio.run(self._main())
        except BaseException as problem:  # noqa: BLE001 - it is raised where the caller is
            error = problem
        self._begun.set()
        self.mail.put(_End(error))

    async def _main(self) -> None:
        with self._lock:
            self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._begun.set()
        http = AsyncHttp(None, self._work.config.max_connections)
        try:
            tally = self._exchange.tally
            tally.stopped = await self._work.run(http, self.mail.put, self._exchange.refused, self._ready)
        finally:
            with self._lock:
                self._loop = None
            await http.close()

    def _ready(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self.mail.put(_Ready())

    def call(self, name: str, *args: object) -> None:
        """Call a method of the dispatcher, unless it has ended."""
        dispatcher = self._dispatcher
        with self._lock:
            if self._loop is not None and dispatcher is not None:
                self._loop.call_soon_threadsafe(getattr(dispatcher, name), *args)

    def close(self) -> None:
        """Cancel what runs, and wait for the thread."""
        self._begun.wait()
        with self._lock:
            if self._loop is not None and self._task is not None:
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()


def _iterate(
    work: _Work, exchange: _Exchange, rows: Generator[Mapping[str, Any]], control: _Control
) -> Generator[BatchItem]:
    thread = _Thread(work, exchange)
    control.attach(lambda reason: thread.call("stop", reason))
    try:
        letter = thread.mail.get()
        numbered = enumerate(rows)
        has_more, is_quick = True, True
        problem: BaseException | None = None
        while not isinstance(letter, _End):
            if isinstance(letter, BatchItem):
                yield from exchange.take(letter)
            # A slow source must not keep items that are there from the caller.
            while has_more and ((exchange.has_much_room and is_quick) or (exchange.has_room and thread.mail.empty())):
                chunk, has_more, is_quick, problem = _pull(numbered, exchange)
                thread.call("put", chunk)
                if not has_more:
                    thread.call("end")
            letter = thread.mail.get()
        yield from exchange.rest()
        error = letter.error or problem
        if error is not None:
            raise error
    finally:
        thread.close()
        rows.close()
        exchange.tally.end()


def _pull(
    numbered: Iterator[tuple[int, Any]], exchange: _Exchange
) -> tuple[list[tuple[int, Any]], bool, bool, Exception | None]:
    """Ask for rows, as many as there is room for, but no longer than a moment.

    Returns:
        The rows; whether there may be more; whether they came quickly; and the error of their source.
    """
    chunk: list[tuple[int, Any]] = []
    began = time.monotonic()
    while exchange.has_room:
        try:
            chunk.append(next(numbered))
        except StopIteration:
            return chunk, False, True, None
        except Exception as error:  # noqa: BLE001 - it is raised when what runs has ended
            return chunk, False, True, error
        exchange.put()
        if time.monotonic() - began > _CHUNK:
            return chunk, True, False, None
    return chunk, True, True, None


class _Control:
    """What `stop` does: before the batch has begun, while it runs, and after it."""

    def __init__(self) -> None:
        self.is_stopped = False
        self._stop: Callable[[str], None] | None = None

    def attach(self, stop: Callable[[str], None]) -> None:
        """Set what stops the batch that has begun."""
        self._stop = stop
        if self.is_stopped:
            stop(_STOPPED)

    def stop(self) -> None:
        """Stop the batch, or what will be one."""
        self.is_stopped = True
        if self._stop is not None:
            self._stop(_STOPPED)


class _Iterator:
    """What `Batch` and `AsyncBatch` share."""

    _exchange: _Exchange
    _control: _Control

    @property
    def summary(self) -> BatchSummary:
        """The numbers so far; those of all rows when the iteration has ended."""
        return self._exchange.tally

    def stop(self) -> None:
        """Send nothing more, and finish what runs; then the iteration ends. Any thread may call this."""
        self._control.stop()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.summary!r}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be pickled; its items and its summary can")


class Batch(_Iterator):
    """Iterator over the items of a batch, which `Scout.batch` returns.

    Nothing is sent before the first item is asked for. Rows are asked for a little ahead; they run while the program
    works on an item. Leaving the `with` block, `close` and forgetting the batch cancel what runs; `stop` does not.
    """

    def __init__(
        self,
        config: Config,
        http: Http,
        workflow: WorkflowSource,
        settings: Settings,
        options: RunOptions,
        *,
        has_transport: bool,
    ) -> None:
        settings.check_transport(has_transport=has_transport)
        target = _Target(config, workflow, options, streaming=settings.stream)
        blocking = http if has_transport else None
        rows = rows_of(settings.rows)
        if not isinstance(rows, Generator):
            raise ConfigurationError("the rows are asynchronous; they need AsyncScout.batch")
        self._exchange = _Exchange(settings)
        self._control = _Control()
        self._items = _iterate(_Work(settings, target, http, blocking), self._exchange, rows, self._control)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> BatchItem:
        return next(self._items)

    def close(self) -> None:
        """Cancel what runs, and release everything. What had been sent may go on, on the server."""
        self._items.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


# --- Async --------------------------------------------------------------------------------------------------------


class _Mail:
    """Items for the task of the caller, and room for more rows."""

    def __init__(self) -> None:
        self.items: deque[BatchItem] = deque()
        self.changed = asyncio.Event()
        self.room = asyncio.Event()

    def put(self, item: BatchItem) -> None:
        """Take an item."""
        self.items.append(item)
        self.changed.set()


async def _iterate_async(work: _Work, exchange: _Exchange, rows: _Rows, control: _Control) -> AsyncGenerator[BatchItem]:
    mail = _Mail()
    loop = asyncio.get_running_loop()
    feeders: list[asyncio.Task[None]] = []

    def ready(dispatcher: Dispatcher) -> None:
        control.attach(lambda reason: _in_loop(loop, dispatcher, reason))
        feeders.append(asyncio.create_task(_feed(rows, dispatcher, exchange, mail)))

    http = cast("AsyncHttp", work.client_http)
    worker = asyncio.create_task(work.run(http, mail.put, exchange.refused, ready))
    worker.add_done_callback(lambda _: mail.changed.set())
    try:
        while not (worker.done() and not mail.items):
            await mail.changed.wait()
            mail.changed.clear()
            while mail.items:
                for item in exchange.take(mail.items.popleft()):
                    yield item
                    mail.room.set()
            if worker.done():
                mail.changed.set()
        for item in exchange.rest():
            yield item
        exchange.tally.stopped = worker.result()
        for feeder in feeders:
            if feeder.done():
                feeder.result()
    finally:
        for task in (worker, *feeders):
            task.cancel()
        await asyncio.gather(worker, *feeders, return_exceptions=True)
        if isinstance(rows, Generator):
            rows.close()
        else:
            await rows.aclose()
        exchange.tally.end()


def _in_loop(loop: asyncio.AbstractEventLoop, dispatcher: Dispatcher, reason: str) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended, and the batch with it
        loop.call_soon_threadsafe(dispatcher.stop, reason)


async def _feed(rows: _Rows, dispatcher: Dispatcher, exchange: _Exchange, mail: _Mail) -> None:
    """Pass on rows for as long as there is room."""
    index = 0
    try:
        async for row in _as_async(rows):
            exchange.put()
            dispatcher.put([(index, row)])
            index += 1
            while not exchange.has_room:
                mail.room.clear()
                await mail.room.wait()
    finally:
        dispatcher.end()


async def _as_async(rows: _Rows) -> AsyncGenerator[Mapping[str, Any]]:
    if not isinstance(rows, Generator):
        async for row in rows:
            yield row
        return
    began = time.monotonic()
    for row in rows:
        yield row
        if time.monotonic() - began > _CHUNK:
            await asyncio.sleep(0)  # the loop has other work
            began = time.monotonic()


class AsyncBatch(_Iterator):
    """Asynchronous iterator over the items of a batch, which `AsyncScout.batch` returns. As `Batch`."""

    def __init__(
        self,
        config: Config,
        http: AsyncHttp,
        workflow: WorkflowSource,
        settings: Settings,
        options: RunOptions,
        *,
        has_transport: bool,
    ) -> None:
        settings.check_transport(has_transport=has_transport)
        target = _Target(config, workflow, options, streaming=settings.stream)
        rows = rows_of(settings.rows)
        self._exchange = _Exchange(settings)
        self._control = _Control()
        self._items = _iterate_async(_Work(settings, target, http, None), self._exchange, rows, self._control)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BatchItem:
        return await anext(self._items)

    async def close(self) -> None:
        """Cancel what runs, and release everything. As `Batch.close`."""
        await self._items.aclose()

    aclose = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
