"""Blocking calls off the event loop, in threads that never hold up the end of the program."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import queue
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


class Worker:
    """One daemon thread that makes calls in the order they are asked for.

    An executor's threads are joined when the interpreter ends, so a handler that sleeps would keep the program alive;
    these are not. Giving a generator to one thread for its whole life also spares it from hopping between threads.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def call(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Call `function` in the thread and wait for what it returns or raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()
        in_context = partial(contextvars.copy_context().run, function, *arguments)
        self._jobs.put(partial(_call_and_report, in_context, loop, future))
        return await future

    def close(self, last: Callable[[], object] | None = None) -> None:
        """End the thread after the calls it already has, and after `last`, whose errors are dropped."""
        if last is not None:
            self._jobs.put(last)
        self._jobs.put(None)

    def join(self, seconds: float) -> None:
        """Wait, at most so long, for the thread to end."""
        self._thread.join(seconds)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            with contextlib.suppress(Exception):
                job()


def _call_and_report(function: Callable[[], _T], loop: asyncio.AbstractEventLoop, future: asyncio.Future[_T]) -> None:
    try:
        report = partial(_settle, future, function())
    except BaseException as error:  # noqa: BLE001 - whoever awaits the call must hear of it, whatever it is
        report = partial(_settle_error, future, error)
    # RuntimeError: the loop has been closed, so nobody waits any more.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(report)


def _settle(future: asyncio.Future[_T], result: _T) -> None:
    if not future.done():
        future.set_result(result)


def _settle_error(future: asyncio.Future[_T], error: BaseException) -> None:
    if future.done():
        return
    if isinstance(error, StopIteration):  # a future refuses it
        error = RuntimeError("the function raised StopIteration")
    future.set_exception(error)
