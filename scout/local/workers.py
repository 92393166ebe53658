"""Worker threads for blocking calls. They do not delay the end of the program."""

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
    """One daemon thread that makes calls in their order.

    The interpreter joins the threads of an executor when it ends, so that a handler that sleeps would keep the program
    alive; it does not join these. Also, all steps of a generator run in the same thread.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def call(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Call a function in the thread, and wait for its result or exception."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()
        in_context = partial(contextvars.copy_context().run, function, *arguments)
        self._jobs.put(partial(_call_and_report, in_context, loop, future))
        return await future

    def close(self, last: Callable[[], object] | None = None) -> None:
        """End the thread after the pending calls and after `last`, whose errors are ignored."""
        if last is not None:
            self._jobs.put(last)
        self._jobs.put(None)

    def join(self, seconds: float) -> None:
        """Wait at most so many seconds for the thread to end."""
        self._thread.join(seconds)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            with contextlib.suppress(Exception):
                job()


async def call_in_thread(name: str, function: Callable[..., _T], *arguments: Any) -> _T:
    """Call a function in a thread of its own, and return its result."""
    worker = Worker(name)
    try:
        return await worker.call(function, *arguments)
    finally:
        worker.close()


def _call_and_report(function: Callable[[], _T], loop: asyncio.AbstractEventLoop, future: asyncio.Future[_T]) -> None:
    try:
        report = partial(_settle, future, function())
    except BaseException as error:  # noqa: BLE001 - raised in the task that awaits the call
        report = partial(_settle_error, future, error)
    # RuntimeError: the loop is closed, so that no task waits.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(report)


def _settle(future: asyncio.Future[_T], result: _T) -> None:
    if not future.done():
        future.set_result(result)


def _settle_error(future: asyncio.Future[_T], error: BaseException) -> None:
    if future.done():
        return
    if isinstance(error, StopIteration):  # a future does not accept it
        error = RuntimeError("the function raised StopIteration")
    future.set_exception(error)
