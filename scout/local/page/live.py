"""Streams of the page: messages that say that something has changed, and the events of a run as they come.

They ask for changes a few times per second: a run that sent notices would do work also when nobody looks.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from scout.local.run_logs import RUNNING
from scout.local.text import json_bytes

from .run_view import event_views

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from scout.local.run_logs import LoggedRun

    from .app import PageData

_PAUSE = 0.25  # seconds between two looks
_QUIET = 60  # looks without a message, after which one is sent that says nothing, so that a dead connection is noticed
_MOST_EVENTS = 200  # in one message
_TICK = 2  # seconds after which the page of a run that goes on shows its times again


async def changes(data: PageData) -> AsyncIterator[bytes]:
    """Yield a message whenever something has changed: runs, requests, workflows or faults."""
    history = data.history
    before: Any = None
    quiet = 0
    while True:
        now = (history.logs, history.logs.changes, history.requests.added, data.faults.in_force())
        if now != before:
            before, quiet = now, 0
            yield _message("changed", b"{}")
        elif (quiet := quiet + 1) % _QUIET == 0:
            yield b":\n\n"
        await asyncio.sleep(_PAUSE)


async def of_run(data: PageData, run: LoggedRun, first: int, plain: Callable[[str], str]) -> AsyncIterator[bytes]:
    """Yield the events of a run from a number on, a message whenever its state has changed, and one at its end."""
    trace = data.history.traces.of(run.run_id)
    before: Any = None
    quiet = 0
    while True:
        is_over = run.status != RUNNING and (trace is None or trace.seconds is not None)
        while trace is not None and (views := event_views(trace, first, _MOST_EVENTS)):
            first, quiet = first + len(views), 0
            views = [
                {name: plain(each) if isinstance(each, str) else each for name, each in view.items()} for view in views
            ]
            yield _message("events", json_bytes(views), first)
        now = (run.status, run.size, run.seconds // _TICK, [block.status for block in list(run.blocks.values())])
        if now != before:
            before, quiet = now, 0
            yield _message("changed", b"{}")
        elif (quiet := quiet + 1) % _QUIET == 0:
            yield b":\n\n"
        if is_over:
            yield _message("end", b"{}")
            return
        await asyncio.sleep(_PAUSE)


def _message(name: str, data: bytes, number: int | None = None) -> bytes:
    line = b"" if number is None else b"id: %d\n" % number
    return b"%bevent: %b\ndata: %b\n\n" % (line, name.encode(), data)
