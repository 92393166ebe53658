"""`Batch`: the iterator of `Scout`. It asks for rows and hands out items where the caller is, and sends in a thread.

Rows are asked for where the caller is, because many sources, such as the cursor of a database, belong to a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
import time
import weakref
from collections.abc import Generator, Mapping
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from scout._config import Config
from scout._http import AsyncHttp, Http
from scout._options import RunOptions
from scout.errors import ConfigurationError
from scout.workflow_files import WorkflowSource

from ._arguments import Settings
from ._items import BatchItem, RowSource
from ._work import BatchIterator, Control, Exchange, Work, reason_of

if TYPE_CHECKING:
    from ._engine import Dispatcher

__all__ = ["Batch"]

_QUICK = 0.001  # seconds; a source that needs longer may keep the caller from items that are there
_LOOK = 0.5  # seconds


class _Thread:
    """A thread with the event loop of one batch.

    Attributes:
        takes_rows: True when the dispatcher is there.
        has_ended: True when all items have come that will come.
        stopped: Why rows are left, when it has ended.
        error: The error with which it has ended.
    """

    def __init__(self, work: Work, exchange: Exchange, control: Control) -> None:
        self.takes_rows = self.has_ended = False
        self.stopped: str | None = None
        self.error: BaseException | None = None
        self._work = work
        self._exchange = exchange
        self._control = control
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()  # holds something when the caller should look
        self._is_started = self._is_closing = False
        self._process: int | None = None
        self._only_one = threading.Lock()
        self._thread: threading.Thread | None = None
        self._context = copy_context()  # such as the span of OpenTelemetry in which the batch was made
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._dispatcher: Dispatcher | None = None
        self._rows: list[tuple[int, Mapping[str, Any]]] = []  # that the dispatcher has not taken yet
        # Held while the loop is called, so that it does not close in between. Garbage collection may close a batch in
        # any thread, also in one that holds it.
        self._lock = threading.RLock()

    # --- Where the caller is ---

    def start(self) -> None:
        """Start it, if it does not run."""
        if not self._is_started:
            self._process = os.getpid()
            self._exchange.tally.begin()
            # When Ctrl-C comes in between, a second thread is started, which ends at once.
            target = partial(self._context.copy().run, self._run)
            threading.Thread(target=target, name="scout-batch", daemon=True).start()
            self._is_started = True

    def wait(self) -> None:
        """Wait until something has changed, or half a second: Python may notice Ctrl-C only when it does not wait."""
        with contextlib.suppress(queue.Empty):
            self._bell.get(timeout=_LOOK)

    @property
    def is_of_the_parent(self) -> bool:
        """True when this process was forked from the one in which the batch was begun."""
        return self._process not in (None, os.getpid())

    def call(self, name: str, *args: object) -> None:
        """Call a method of the dispatcher, unless it has ended."""
        dispatcher = self._dispatcher
        with self._lock:
            if self._loop is not None and dispatcher is not None:
                self._loop.call_soon_threadsafe(getattr(dispatcher, name), *args)

    def put(self, row: tuple[int, Mapping[str, Any]]) -> None:
        """Pass a row on to the dispatcher, with its index. The next one may be long in coming, so it does not wait."""
        with self._lock:
            self._rows.append(row)
            if len(self._rows) == 1:  # else the dispatcher has been called already
                self.call_for_rows()

    def call_for_rows(self) -> None:
        """Have the dispatcher take the rows that wait for it."""
        with self._lock:
            if self._loop is not None and self._rows:
                self._loop.call_soon_threadsafe(self._hand_over)

    def close(self) -> None:
        """Cancel what runs, and wait for the thread."""
        with self._lock:
            self._is_closing = True
            if self._loop is not None and self._task is not None:
                self._loop.call_soon_threadsafe(self._task.cancel)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    # --- In the thread ---

    def _run(self) -> None:
        if not self._only_one.acquire(blocking=False):
            return
        self._thread = threading.current_thread()
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001 - it is raised where the caller is
            self.error = error
        self.has_ended = True
        self._ring()

    async def _main(self) -> None:
        with self._lock:
            if self._is_closing:
                return
            self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        http = AsyncHttp(None, self._work.config.max_connections)
        try:
            self.stopped = await self._work.run(http, self._emit, self._exchange.refused, self._ready)
        finally:
            with self._lock:
                self._loop = None
            await http.close()

    def _ready(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._control.attach(partial(self.call, "stop"))
        self.takes_rows = True
        self._ring()

    def _hand_over(self) -> None:
        with self._lock:
            rows, self._rows = self._rows, []
        if self._dispatcher is not None:
            self._dispatcher.put(rows)

    def _emit(self, item: BatchItem) -> None:
        self._exchange.put(item)
        self._ring()

    def _ring(self) -> None:
        if self._bell.empty():  # else the caller has not looked yet, and will see this as well
            self._bell.put(None)


class _Reader:
    """The side of the caller: it asks for rows, and hands out items.

    An exception that interrupts it, such as `KeyboardInterrupt`, leaves it as it is: the next call goes on.
    """

    def __init__(self, work: Work, exchange: Exchange, rows: Generator[Mapping[str, Any]], control: Control) -> None:
        self._exchange = exchange
        self._rows = rows
        self._numbered = enumerate(rows)
        self._has_more = self._is_quick = True
        self._is_closed = False
        self._problem: BaseException | None = None
        self._thread = _Thread(work, exchange, control)

    def next(self) -> BatchItem | None:
        """Return the next item; `None` at the end.

        Raises:
            ScoutError: the batch has ended with this error.
            ConfigurationError: this process was forked from the one in which the batch was begun.
        """
        thread = self._thread
        if thread.is_of_the_parent:
            raise ConfigurationError("this batch belongs to the parent process; make one in each process")
        if not self._is_closed:
            thread.start()
        while not self._is_closed:
            has_ended = thread.has_ended  # before looking for items, which may come until then
            item = self._exchange.out(is_all=has_ended)
            if item is not None:
                return item
            if has_ended:
                self._end()
                return None
            if thread.takes_rows:
                self._ask()
            thread.wait()
        return None

    def _end(self) -> None:
        """Count the end, and raise the error, once, if there is one."""
        self._rows.close()
        problem = self._thread.error or self._problem
        self._exchange.end(self._thread.stopped if problem is None else reason_of(problem))
        self._thread.error = self._problem = None
        if problem is not None:
            raise problem

    def _ask(self) -> None:
        """Ask for rows. A slow source must not keep items that are there from the caller."""
        room = self._exchange
        self._thread.call_for_rows()  # again, when Ctrl-C came before
        while self._has_more and ((room.has_much_room and self._is_quick) or (room.has_room and not room.has_items)):
            try:
                self._pull()
            except BaseException as error:
                # It is raised again when what runs has ended, because the source may have ended with it.
                self._has_more, self._problem = False, error
                if not isinstance(error, Exception):
                    raise
        if not self._has_more:
            self._thread.call("end")

    def _pull(self) -> None:
        """Pass on rows from their source, as many as there is room for, but no longer than a moment."""
        began = time.monotonic()
        while self._exchange.has_room:
            row = next(self._numbered, None)
            if row is None:
                self._has_more = False
                return
            self._exchange.count_row()
            self._thread.put(row)
            if time.monotonic() - began > _QUICK:
                self._is_quick = False
                return
        self._is_quick = True

    def close(self) -> None:
        """Cancel what runs, and release everything."""
        if self._thread.is_of_the_parent:
            return
        self._is_closed = True
        self._thread.close()
        with contextlib.suppress(ValueError):  # another thread waits for a row, and finds that there is no use for it
            self._rows.close()
        self._exchange.close()


class Batch(BatchIterator):
    """Iterator over the items of a batch, which `Scout.batch` returns.

    Nothing is opened or sent before the first item is asked for. Rows are asked for a little ahead, in the thread that
    asks for an item, and they run while the program works on an item. Leaving the `with` block, `close` and forgetting
    the batch cancel what runs; `stop` does not. Threads may share a batch, processes may not. When Ctrl-C interrupts
    the wait for an item, the batch goes on, and so can the iteration.
    """

    def __init__(
        self,
        config: Config,
        http: Http,
        workflow: WorkflowSource,
        rows: RowSource,
        settings: Settings,
        options: RunOptions,
        *,
        has_transport: bool,
    ) -> None:
        super().__init__(config, http, workflow, rows, settings, options, has_transport=has_transport)
        if not isinstance(self._rows, Generator):
            raise ConfigurationError("the rows are asynchronous; they need AsyncScout.batch")
        self._reader = _Reader(self._work, self._exchange, self._rows, self._control)
        self._lock = threading.Lock()  # several threads may share the items
        self._closes: weakref.finalize[..., Batch] | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> BatchItem:
        with self._lock:
            self._closes = self._closes or weakref.finalize(self, self._reader.close)
            item = self._reader.next()
        if item is None:
            raise StopIteration
        return item

    def close(self) -> None:
        """Cancel what runs, and release everything. What had been sent may go on, on the server."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
