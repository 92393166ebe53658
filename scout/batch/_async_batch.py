"""`AsyncBatch`: the iterator of `AsyncScout`. Rows, requests and items are all in the event loop of the caller."""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from collections.abc import AsyncGenerator, Generator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from scout.errors import ConfigurationError

from ._items import BatchItem
from ._work import BatchIterator, Control, Exchange, Rows, Work, reason_of

if TYPE_CHECKING:
    from scout._http import AsyncHttp

    from ._engine import Dispatcher

__all__ = ["AsyncBatch"]

_AT_ONCE = 0.001  # seconds for which rows may keep the event loop


class _Reader:
    """The side of the caller, and its tasks. A wait that is cancelled leaves it as it is."""

    def __init__(self, work: Work, exchange: Exchange, rows: Rows, control: Control) -> None:
        self._exchange = exchange
        self._rows = rows
        self._control = control
        self._changed = changed = asyncio.Event()  # set when the caller should look
        self._room = asyncio.Event()
        self._has_ended = False
        self._problem: BaseException | None = None
        self._loop = asyncio.get_running_loop()
        self._tasks: list[asyncio.Task[Any]] = []

        def emit(item: BatchItem) -> None:  # no method, so that what a stop needs does not hold the rows
            exchange.put(item)
            changed.set()

        http = cast("AsyncHttp", work.client_http)
        self._worker = self._start(work.run(http, emit, exchange.refused, self._ready))

    def _start(self, work: Any) -> asyncio.Task[Any]:
        task = self._loop.create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        _error_of(task)  # asyncio complains about errors at which nobody has looked, but the batch may be forgotten
        self._changed.set()

    def _ready(self, dispatcher: Dispatcher) -> None:
        loop = self._loop

        def stop(reason: str) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the batch with it
                loop.call_soon_threadsafe(dispatcher.stop, reason)

        self._control.attach(stop)
        self._start(self._feed(dispatcher))

    async def _feed(self, dispatcher: Dispatcher) -> None:
        """Pass on rows for as long as there is room, and close them."""
        index = 0
        try:
            async with contextlib.aclosing(_as_async(self._rows)) as source:
                async for row in source:
                    self._exchange.count_row()
                    dispatcher.put([(index, row)])
                    index += 1
                    while not self._exchange.has_room:
                        self._room.clear()
                        await self._room.wait()
        finally:
            dispatcher.end()
            if isinstance(self._rows, Generator):
                self._rows.close()
            else:
                await self._rows.aclose()

    async def next(self) -> BatchItem | None:
        """Return the next item; `None` at the end.

        Raises:
            ScoutError: the batch has ended with this error.
        """
        if asyncio.get_running_loop() is not self._loop:
            raise ConfigurationError("this batch belongs to another event loop, in which its first item was asked for")
        while True:
            is_all = self._worker.done()
            item = self._exchange.out(is_all=is_all)
            if item is not None:
                self._room.set()
                return item
            if is_all:
                await self._end()
                return None
            self._changed.clear()
            await self._changed.wait()

    async def _end(self) -> None:
        """Count the end, and raise the error, once, if there is one."""
        if not self._has_ended:
            self._has_ended = True
            self._problem = next((error for task in self._tasks if (error := _error_of(task)) is not None), None)
            self._exchange.end(self._worker.result() if self._problem is None else reason_of(self._problem))
        await self._cancel()
        problem, self._problem = self._problem, None
        if problem is not None:
            raise problem

    async def _cancel(self) -> None:
        await asyncio.gather(*_cancel_all(self._tasks), return_exceptions=True)

    async def close(self) -> None:
        """Cancel what runs, and release everything."""
        self._has_ended = True
        self._exchange.close()
        if asyncio.get_running_loop() is self._loop:  # else that has ended, and what ran in it has, too
            await self._cancel()

    def forget(self) -> None:
        """Cancel what runs, from whichever thread, because nobody holds the batch any more."""
        with contextlib.suppress(RuntimeError):  # as in close
            self._loop.call_soon_threadsafe(_cancel_all, self._tasks)
        self._has_ended = True
        self._exchange.close()


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


async def _as_async(rows: Rows) -> AsyncGenerator[Mapping[str, Any]]:
    if not isinstance(rows, Generator):
        async for row in rows:
            yield row
        return
    began = time.monotonic()
    for row in rows:
        yield row
        if time.monotonic() - began > _AT_ONCE:
            await asyncio.sleep(0)  # the loop has other work
            began = time.monotonic()


class AsyncBatch(BatchIterator):
    """Asynchronous iterator over the items of a batch, which `AsyncScout.batch` returns. As `Batch`.

    Rows are asked for in a task of the batch. Tasks may share a batch, event loops may not.
    """

    _reader: _Reader | None = None
    _is_closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BatchItem:
        if self._reader is None and not self._is_closed:
            self._exchange.tally.begin()
            self._reader = _Reader(self._work, self._exchange, self._rows, self._control)
            weakref.finalize(self, self._reader.forget).atexit = False
        item = None if self._reader is None else await self._reader.next()
        if item is None:
            raise StopAsyncIteration
        return item

    async def close(self) -> None:
        """Cancel what runs, and release everything. As `Batch.close`."""
        self._is_closed = True
        self._exchange.close()
        if self._reader is not None:
            await self._reader.close()

    aclose = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
