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
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Generator, Mapping
from dataclasses import dataclass
from functools import partial
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
    from collections.abc import Callable

    from scout._requests import Request

__all__ = ["AsyncBatch", "Batch", "Settings"]

_Rows = Generator[Mapping[str, Any]] | AsyncGenerator[Mapping[str, Any]]

_KEY = "key:"
_STOPPED = "stop() was called"
_CLOSED = "it was closed"
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
        self._outgoing: deque[BatchItem] = deque()
        self._counted: BatchItem | None = None

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

    def take(self, item: BatchItem) -> None:
        """Take in an item; it waits until it can be handed out."""
        if not self._ordered:
            self._outgoing.append(item)
            return
        self._early[item.index] = item
        while (early := self._early.pop(self._next, None)) is not None:
            self._next += 1
            self._outgoing.append(early)

    def take_rest(self) -> None:
        """Let the items go that wait for others, which will not come any more."""
        for index in sorted(self._early):
            self._outgoing.append(self._early.pop(index))

    def out(self) -> BatchItem | None:
        """Return the next item that can be handed out, and count it; `None` when there is none.

        Ctrl-C while the progress is shown must not lose the item: the next call returns it.
        """
        if not self._outgoing:
            return None
        item = self._outgoing[0]
        if item is not self._counted:
            self._counted = item
            self._inside -= 1
            self.tally.add(item)
            if self._on_progress is not None:
                self._on_progress(self.tally)
        return self._outgoing.popleft()

    def discard(self) -> None:
        """Hand out nothing more."""
        self._outgoing.clear()
        self._early.clear()

    def end(self, reason: str | None) -> None:
        """Stop the clock, with the reason why rows are missing, if any are, and show the numbers once more."""
        self.tally.stopped = self.tally.stopped or reason
        self.tally.end()
        if self._on_progress is not None:
            self._on_progress(self.tally)

    def refused(self) -> None:
        """Count a 429."""
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
                return await dispatcher.run()
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

    def __init__(self, work: _Work, exchange: _Exchange, control: _Control) -> None:
        self.mail: queue.SimpleQueue[BatchItem | _Ready | _End] = queue.SimpleQueue()
        self._work = work
        self._exchange = exchange
        self._control = control
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._dispatcher: Dispatcher | None = None
        # Held while the loop is called, so that it does not close in between. Garbage collection may close a batch in
        # any thread, also in one that holds it.
        self._lock = threading.RLock()
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
        self._control.attach(partial(self.call, "stop"))
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
        if threading.current_thread() is not self._thread:
            self._thread.join()


class _Reader:
    """The side of the caller: it asks for rows, and takes in items.

    An exception that interrupts it, such as `KeyboardInterrupt`, leaves it as it is: the next call goes on.
    """

    def __init__(self, work: _Work, exchange: _Exchange, rows: Generator[Mapping[str, Any]], control: _Control) -> None:
        self._exchange = exchange
        self._rows = rows
        self._numbered = enumerate(rows)
        self._has_more = self._is_quick = True
        self._is_ready = False
        self._has_ended = self._is_counted = False
        self._stopped: str | None = None
        self._problem: BaseException | None = None
        self._thread = _Thread(work, exchange, control)

    def next(self) -> BatchItem | None:
        """Return the next item; `None` at the end.

        Raises:
            ScoutError: the batch has ended with this error.
        """
        while (item := self._exchange.out()) is None and not self._has_ended:
            if self._is_ready:
                self._ask()
            self._receive(self._thread.mail.get())
        if item is None:
            self._end()
        return item

    def _end(self) -> None:
        """Count the end, once, and raise the error, if there is one."""
        if not self._is_counted:
            self._is_counted = True
            self._exchange.end(self._stopped if self._problem is None else _reason(self._problem))
        problem, self._problem = self._problem, None
        if problem is not None:
            raise problem

    def _receive(self, letter: BatchItem | _Ready | _End) -> None:
        if self._has_ended:
            return  # it was closed meanwhile
        if isinstance(letter, BatchItem):
            self._exchange.take(letter)
        elif isinstance(letter, _Ready):
            self._is_ready = True
        else:
            self._has_ended = True
            self._problem = letter.error or self._problem
            self._exchange.take_rest()
            self._rows.close()

    def _ask(self) -> None:
        """Ask for rows. A slow source must not keep items that are there from the caller."""
        room = self._exchange
        while self._has_more and (
            (room.has_much_room and self._is_quick) or (room.has_room and self._thread.mail.empty())
        ):
            chunk: list[tuple[int, Any]] = []
            try:
                self._pull(chunk)
            except BaseException as error:
                # It is raised again when what runs has ended, because the source may have ended with it.
                self._has_more, self._problem = False, error
                if not isinstance(error, Exception):
                    raise
            finally:
                self._thread.call("put", chunk)
                if not self._has_more:
                    self._thread.call("end")

    def _pull(self, chunk: list[tuple[int, Any]]) -> None:
        """Add rows to a list, as many as there is room for, but no longer than a moment."""
        began = time.monotonic()
        while self._exchange.has_room:
            row = next(self._numbered, None)
            if row is None:
                self._has_more = False
                return
            chunk.append(row)
            self._exchange.put()
            if time.monotonic() - began > _CHUNK:
                self._is_quick = False
                return
        self._is_quick = True

    def close(self) -> None:
        """Cancel what runs, and release everything."""
        if not self._has_ended:
            self._stopped = _CLOSED
        self._has_ended, self._problem = True, None
        self._thread.close()
        self._exchange.discard()
        with contextlib.suppress(ValueError):  # another thread waits for a row, and finds that there is no use for it
            self._rows.close()
        self._end()


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


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
        self._work = _Work(settings, target, http, blocking)
        self._rows: Generator[Mapping[str, Any]] | None = rows
        self._reader: _Reader | None = None
        self._lock = threading.Lock()  # several threads may share the items

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> BatchItem:
        with self._lock:
            if self._rows is not None:
                self._reader = _Reader(self._work, self._exchange, self._rows, self._control)
                self._rows = None
                weakref.finalize(self, self._reader.close)
            item = None if self._reader is None else self._reader.next()
        if item is None:
            raise StopIteration
        return item

    def close(self) -> None:
        """Cancel what runs, and release everything. What had been sent may go on, on the server."""
        self._rows = None
        if self._reader is not None:
            self._reader.close()

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

    def end(self, worker: asyncio.Task[Any]) -> None:
        """Note that no more items come."""
        _error_of(worker)  # asyncio complains about errors at which nobody has looked, but the batch may be forgotten
        self.changed.set()


class _AsyncReader:
    """The side of the caller, as `_Reader`. A wait that is cancelled leaves it as it is."""

    def __init__(self, work: _Work, exchange: _Exchange, rows: _Rows, control: _Control) -> None:
        self._exchange = exchange
        self._mail = mail = _Mail()
        self._has_ended = False
        self._problem: BaseException | None = None
        self._loop = loop = asyncio.get_running_loop()
        self._tasks: list[asyncio.Task[Any]] = []
        tasks = self._tasks

        def ready(dispatcher: Dispatcher) -> None:
            control.attach(partial(_in_loop, loop, dispatcher))
            tasks.append(loop.create_task(_feed(rows, dispatcher, exchange, mail)))

        http = cast("AsyncHttp", work.client_http)
        self._worker: asyncio.Task[str | None] = loop.create_task(work.run(http, mail.put, exchange.refused, ready))
        self._worker.add_done_callback(mail.end)
        tasks.append(self._worker)

    async def next(self) -> BatchItem | None:
        """Return the next item; `None` at the end. Raises as `_Reader.next`."""
        while True:
            while self._mail.items:
                self._exchange.take(self._mail.items.popleft())
            if self._worker.done():
                self._exchange.take_rest()
            item = self._exchange.out()
            if item is not None:
                self._mail.room.set()
                return item
            if self._worker.done():
                await self._end()
                return None
            self._mail.changed.clear()
            await self._mail.changed.wait()

    async def _end(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._problem = next((error for task in self._tasks if (error := _error_of(task)) is not None), None)
            stopped = self._worker.result() if self._problem is None else _reason(self._problem)
            self._exchange.end(stopped)
        await self._cancel()
        if self._problem is not None:
            problem, self._problem = self._problem, None
            raise problem

    async def _cancel(self) -> None:
        await asyncio.gather(*_cancel_all(self._tasks), return_exceptions=True)

    async def close(self) -> None:
        """Cancel what runs, and release everything."""
        self._discard()
        await self._cancel()

    def forget(self) -> None:
        """Cancel what runs, from whichever thread, because nobody holds the batch any more."""
        with contextlib.suppress(RuntimeError):  # the loop has ended, and what ran in it has, too
            self._loop.call_soon_threadsafe(_cancel_all, self._tasks)
        self._discard()

    def _discard(self) -> None:
        self._mail.items.clear()
        self._exchange.discard()
        if not self._has_ended:
            self._has_ended = True
            self._exchange.end(_CLOSED)


def _error_of(task: asyncio.Task[Any]) -> BaseException | None:
    """Return the error with which a task has ended; `None` when it has none, or has not ended."""
    if not task.done():
        return None
    return asyncio.CancelledError() if task.cancelled() else task.exception()


def _cancel_all(tasks: list[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    """Cancel tasks, return them, and forget them: the frames of a cancelled one hold the list, and it holds them."""
    cancelled = tasks.copy()
    tasks.clear()
    for task in cancelled:
        task.cancel()
    return cancelled


def _in_loop(loop: asyncio.AbstractEventLoop, dispatcher: Dispatcher, reason: str) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended, and the batch with it
        loop.call_soon_threadsafe(dispatcher.stop, reason)


async def _feed(rows: _Rows, dispatcher: Dispatcher, exchange: _Exchange, mail: _Mail) -> None:
    """Pass on rows for as long as there is room, and close them."""
    index = 0
    try:
        async with contextlib.aclosing(_as_async(rows)) as source:
            async for row in source:
                exchange.put()
                dispatcher.put([(index, row)])
                index += 1
                while not exchange.has_room:
                    mail.room.clear()
                    await mail.room.wait()
    finally:
        dispatcher.end()
        if isinstance(rows, Generator):
            rows.close()
        else:
            await rows.aclose()


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
        self._work = _Work(settings, target, http, None)
        self._rows: _Rows | None = rows
        self._reader: _AsyncReader | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BatchItem:
        if self._rows is not None:
            self._reader = _AsyncReader(self._work, self._exchange, self._rows, self._control)
            self._rows = None
            weakref.finalize(self, self._reader.forget).atexit = False
        item = None if self._reader is None else await self._reader.next()
        if item is None:
            raise StopAsyncIteration
        return item

    async def close(self) -> None:
        """Cancel what runs, and release everything. As `Batch.close`."""
        self._rows = None
        if self._reader is not None:
            await self._reader.close()

    aclose = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
