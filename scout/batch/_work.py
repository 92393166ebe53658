"""What `Batch` and `AsyncBatch` share: the work in an event loop, and the count of what goes in and comes out."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Generator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from scout._config import Config, Secret
from scout._http import AsyncHttp, Http
from scout._json import redact
from scout._options import RunOptions
from scout.errors import JournalError
from scout.workflow_files import WorkflowSource

from ._arguments import Settings, Target, identity_of
from ._engine import Dispatcher, Plan
from ._items import BatchItem, BatchSummary, RowSource, Tally
from ._job import HttpRunner, Job, Runner, ThreadRunner
from ._journal import Journal
from ._pace import Pace
from ._rows import rows_of, total_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BatchIterator", "Control", "Exchange", "Rows", "Work", "reason_of"]

Rows = Generator[Mapping[str, Any]] | AsyncGenerator[Mapping[str, Any]]

_CLOSED = "it was closed"
_STOPPED = "stop() was called"
_AHEAD = 2  # rows per row under way that are asked for ahead, so that the next is there when one ends
_AHEAD_IN_ORDER = 16  # ... where those that are done wait for one before them
_LEAST_IN_ORDER = 1000


def reason_of(error: BaseException) -> str:
    """Return the words for a batch that has ended with an error."""
    return f"{type(error).__name__}: {error}"


class Exchange:
    """Counts what goes in and comes out: how far ahead rows are asked for, and in which order items are handed out.

    All but `put` happens where the caller is, and Ctrl-C may interrupt it anywhere: an item stays until it is returned.
    """

    def __init__(self, settings: Settings, total: int | None) -> None:
        self.tally = Tally(total)
        self._ordered = settings.ordered
        self._on_progress = settings.on_progress
        self._most = settings.concurrency * _AHEAD
        if settings.ordered:
            self._most = max(settings.concurrency * _AHEAD_IN_ORDER, _LEAST_IN_ORDER)
        self._inside = 0
        self._items: deque[BatchItem] = deque()
        self._early: dict[int, BatchItem] = {}  # where the order counts, all that have come
        self._next = 0
        self._counted: BatchItem | None = None
        self._has_ended = False

    @property
    def has_room(self) -> bool:
        """True when a further row may be asked for."""
        return self._inside < self._most

    @property
    def has_much_room(self) -> bool:
        """True when so many rows may be asked for that it is worth while to pass them on."""
        return self._inside <= self._most * 3 // 4

    @property
    def has_items(self) -> bool:
        """True when items have come in at which nobody has looked."""
        return bool(self._items)

    def count_row(self) -> None:
        """Count a row that goes in."""
        self._inside += 1

    def put(self, item: BatchItem) -> None:
        """Take in an item, from any thread."""
        self._items.append(item)

    def out(self, *, is_all: bool) -> BatchItem | None:
        """Return the next item that can be handed out, and count it; `None` when there is none.

        Args:
            is_all: True when no more items come, so that none waits for those before it.
        """
        item = self._first(is_all=is_all)
        if item is not None and item is not self._counted:
            self._counted = item
            self._inside -= 1
            self.tally.add(item)
            if self._on_progress is not None:
                self._on_progress(self.tally)  # when this is interrupted, the next call returns the item
        if item is not None:
            self._remove(item)
        return item

    def _first(self, *, is_all: bool) -> BatchItem | None:
        if not self._ordered:
            return self._items[0] if self._items else None
        self._early.pop(self._next - 1, None)  # it has been handed out
        while self._items:
            self._early[self._items[0].index] = self._items[0]
            self._items.popleft()
        if is_all and self._early and self._next not in self._early:
            self._next = min(self._early)
        return self._early.get(self._next)

    def _remove(self, item: BatchItem) -> None:
        if self._ordered:
            self._next = item.index + 1
        elif self._items:  # else on_progress has closed the batch
            self._items.popleft()

    def end(self, reason: str | None) -> None:
        """Stop the clock, once, with the reason why rows are missing, if any are, and show the numbers once more."""
        if self._has_ended:
            return
        self._has_ended = True
        self.tally.stopped = reason
        self.tally.end()
        if self._on_progress is not None:
            self._on_progress(self.tally)

    def close(self) -> None:
        """Hand out nothing more."""
        self._items.clear()
        self._early.clear()
        self.end(None if self.tally.rows == self.tally.total else _CLOSED)

    def refused(self) -> None:
        """Count a 429."""
        self.tally.refused += 1


_MOST_KEYS = 1000  # of a function that returns another key each time


class UsedKeys:
    """The API keys that the calls of a batch have used, none of which may be in its journal: keys may rotate."""

    def __init__(self, key: Secret) -> None:
        self._key = key
        self._used: dict[str, None] = {}  # the oldest first; calls may be made by several threads
        self.current()

    def current(self) -> str:
        """Return the key for the next request."""
        secret = self._key.now()
        self._used[secret.reveal()] = None
        if len(self._used) > _MOST_KEYS:
            self._used.pop(next(iter(self._used)), None)
        return secret.reveal()

    def redact(self, value: Any) -> Any:
        """Return text, bytes or JSON without the keys."""
        return redact(value, tuple(self._used))


class Work:
    """The part of a batch that runs in an event loop.

    Args:
        settings: The arguments of the batch.
        target: What it runs.
        client_http: The connections of the client. They are held as long as the batch, because the local Scout that
            they may have stops with them.
        blocking: The same, when rows must be sent over them in threads.
    """

    def __init__(
        self, settings: Settings, target: Target, client_http: Http | AsyncHttp, blocking: Http | None
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
        identity = identity_of(job)
        keys: UsedKeys | None = None
        if settings.journal is not None and job.config.api_key is not None:
            keys = UsedKeys(job.config.api_key)
            job = replace(job, config=job.config.changed(api_key=Secret(keys.current)))
        journal = await self._journal(identity, keys)
        try:
            plan = Plan(
                identity,
                settings.key,
                settings.unknown,
                self._target.chooses_session,
                settings.stop_after_failures,
                job.template.workflow_id,
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

    async def _journal(self, identity: str, keys: UsedKeys | None) -> Journal | None:
        """Open the journal, in a thread, because a long one takes time to read."""
        path = self.settings.journal
        if path is None:
            return None
        opening = asyncio.ensure_future(
            asyncio.to_thread(
                Journal,
                path,
                resume=self.settings.resume,
                scope=identity,
                redact=None if keys is None else keys.redact,
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


class Control:
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


class BatchIterator:
    """What `Batch` and `AsyncBatch` share."""

    def __init__(
        self,
        config: Config,
        http: Http | AsyncHttp,
        workflow: WorkflowSource,
        rows: RowSource,
        settings: Settings,
        options: RunOptions,
        *,
        has_transport: bool,
    ) -> None:
        settings.check_transport(has_transport=has_transport)
        target = Target(config, workflow, options, streaming=settings.stream)
        self._rows: Rows = rows_of(rows)
        self._exchange = Exchange(settings, total_of(rows))
        self._control = Control()
        self._work = Work(settings, target, http, http if has_transport and isinstance(http, Http) else None)

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
