"""`Dispatcher`: sends the rows of a batch in one event loop, and hands on an item for each.

A row goes through these steps. All decisions are here and in `_pace`; the runner only runs.

1. It is known to the journal already, and becomes an item at once; or it waits for its turn.
2. As many rows as the pace allows are noted in the journal as started, together.
3. Each is sent in a task of its own. A 429 puts it back in front of all that wait, and pauses all of them.
4. Its item is noted in the journal as finished, and then handed on.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

from scout._json import json_fault, write_json
from scout._requests import new_session_id
from scout.errors import ConfigurationError, JournalError, RateLimitError, ScoutError

from ._items import BatchItem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ._job import Outcome, Runner
    from ._journal import Journal
    from ._pace import Pace

__all__ = ["Dispatcher", "Plan", "Unknown"]

Unknown = Literal["ask", "skip", "rerun"]


@dataclass(frozen=True, slots=True)
class Plan:
    """The decisions of the caller that concern each row.

    Attributes:
        identity: What all rows share, as a hash: the server, the workflow and the options.
        key: The column whose value is the key of a row; `None` for a hash of the inputs.
        unknown: What becomes of a row whose run may have started in an earlier batch.
        chooses_session: True when each run gets a session of its own, chosen here.
        stop_after_failures: The number of rows that are not done after which nothing more is sent; `None` for no such
            number.
        workflow_id: The id of the stored workflow; `None` when the workflow is sent along.
    """

    identity: str
    key: str | None
    unknown: Unknown
    chooses_session: bool
    stop_after_failures: int | None
    workflow_id: str | None


@dataclass(order=True, slots=True)
class _Row:
    index: int
    inputs: Mapping[str, Any] = field(compare=False)
    key: str = field(compare=False, default="")
    session_id: str | None = field(compare=False, default=None)
    attempts: int = field(compare=False, default=0)


class Dispatcher:
    """Sends rows, and hands on their items. Everything but `emit` happens in the event loop in which it runs.

    Args:
        runner: What runs a row.
        pace: How many rows may be under way, and when the next may be sent.
        journal: The journal; `None` for none.
        plan: The decisions of the caller.
        emit: A function that is called with each item, as soon as it is there.
        refused: A function that is called for each 429.
    """

    def __init__(
        self,
        runner: Runner,
        pace: Pace,
        journal: Journal | None,
        plan: Plan,
        emit: Callable[[BatchItem], None],
        refused: Callable[[], None],
    ) -> None:
        self._runner = runner
        self._pace = pace
        self._journal = journal
        self._plan = plan
        self._emit = emit
        self._note_refusal = refused
        self._new: deque[_Row] = deque()
        self._again: list[_Row] = []  # refused by a 429, the first row first
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way = 0
        self._failures = 0
        self._has_all = False
        self._changed = asyncio.Event()
        self._problem: BaseException | None = None
        self._stopped: str | None = None

    # --- From outside ---

    def put(self, rows: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        """Take more rows, with their indexes."""
        self._new.extend(_Row(index, inputs) for index, inputs in rows)
        self._changed.set()

    def end(self) -> None:
        """Expect no more rows."""
        self._has_all = True
        self._changed.set()

    def stop(self, reason: str) -> None:
        """Send nothing more, and finish what runs."""
        self._stopped = self._stopped or reason
        self._changed.set()

    # --- The loop ---

    async def run(self) -> str | None:
        """Send the rows until all are done, or it is stopped; return why rows are left, `None` when none are.

        Raises:
            JournalError: the journal could not be written. All that ran has been handed on.
            RateLimitError: the server refuses for too long. All that ran has been handed on.
        """
        try:
            while not self._is_ending():
                self._changed.clear()
                now = time.monotonic()
                rows = self._take(self._pace.allowance(self._under_way, now))
                if rows:
                    await self._send(rows)
                elif self._has_all and not (self._new or self._again or self._tasks):
                    break
                else:
                    await self._wait_for_change(self._pace.wait(now) if self._new or self._again else 0)
            while self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._problem is not None:
            raise self._problem
        return self._stopped if self._new or self._again or not self._has_all else None

    async def _wait_for_change(self, seconds: float) -> None:
        """Wait until something has happened, or the given seconds; 0 for as long as it takes."""
        if seconds <= 0:
            await self._changed.wait()
            return
        handle = asyncio.get_running_loop().call_later(seconds, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            handle.cancel()

    def _take(self, number: int) -> list[_Row]:
        rows: list[_Row] = []
        while len(rows) < number and (self._again or self._new):
            if self._again:
                rows.append(heapq.heappop(self._again))
            elif (row := self._prepared(self._new.popleft())) is not None:
                rows.append(row)
        return rows

    async def _send(self, rows: list[_Row]) -> None:
        """Note rows as started, and send each when its turn comes."""
        self._under_way += len(rows)
        left, is_noted = deque(rows), True
        try:
            if self._journal is not None:
                await self._journal.started([(row.key, row.index, row.session_id) for row in rows])
            while left and not self._is_ending():
                now = time.monotonic()
                if (seconds := self._pace.wait(now)) > 0:
                    self._changed.clear()
                    await self._wait_for_change(seconds)
                    continue
                self._pace.sent(now)
                task = asyncio.create_task(self._run(left.popleft()))
                self._tasks.add(task)
                task.add_done_callback(self._ended)
        except JournalError as error:
            is_noted = False
            self._fail(error)
        finally:
            # Also when this was cancelled: the journal must not say of a row that was not sent that it may have run.
            self._under_way -= len(left)
            for row in left:
                self._send_later(row, is_noted=is_noted)

    def _send_later(self, row: _Row, *, is_noted: bool = True) -> None:
        """Take back a row that did not start."""
        heapq.heappush(self._again, row)
        if is_noted and self._journal is not None:
            self._journal.refused(row.key)

    def _is_ending(self) -> bool:
        return self._stopped is not None or self._problem is not None

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)
        self._changed.set()

    def _fail(self, error: BaseException) -> None:
        self._problem = self._problem or error
        self._changed.set()

    # --- One row ---

    def _prepared(self, row: _Row) -> _Row | None:
        """Return a row that has to be sent; `None` for one that has its item already."""
        try:
            row.key = self._key_of(row)
            item = None if self._journal is None else self._earlier(row, self._journal)
        except JournalError as error:
            self._fail(error)
            return None
        except ScoutError as error:
            self._hand_on(BatchItem(row.index, row.key, row.inputs, error=error))
            return None
        if item is not None:
            self._emit(item)
            return None
        if self._plan.chooses_session:
            row.session_id = new_session_id()
        return row

    def _earlier(self, row: _Row, journal: Journal) -> BatchItem | None:
        """Give a row its name in the journal, and return its item when it must not be sent again."""
        row.key, past = journal.claim(row.key, unique=self._plan.key is not None)
        if past is None or (past.is_unknown and self._plan.unknown == "rerun"):
            return None
        if past.is_unknown and self._plan.unknown == "skip":
            journal.skipped(row.key)
        item = journal.item(past, row.index, row.inputs)
        self._name_workflow(item.error)
        return item

    def _name_workflow(self, error: ScoutError | None) -> None:
        """Note the workflow in an error that comes from the journal or from another process."""
        if error is not None and error.workflow_id is None:
            error.workflow_id = self._plan.workflow_id

    def _key_of(self, row: _Row) -> str:
        name = self._plan.key
        if name is None:
            return hash_of(self._plan.identity, row.inputs)
        value: Any = row.inputs.get(name)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise ConfigurationError(
                f"rows[{row.index}] has no key: its column {name!r} must hold text or a whole number, not {value!r}"
            )
        return str(value)

    async def _run(self, row: _Row) -> None:
        sent = time.monotonic()
        try:
            outcome = await self._runner.run(row.inputs, row.session_id)
        except ScoutError as problem:
            if self._journal is not None and not problem.run_may_have_started:
                self._journal.refused(row.key)  # the batch ends, and this row was not sent
            raise
        finally:
            self._under_way -= 1
            self._changed.set()
        row.attempts += outcome.attempts
        error = outcome.error
        if isinstance(error, RateLimitError):
            self._refuse(row, error, sent)
            return
        self._pace.accepted(outcome.seconds)
        await self._finish(row, outcome)

    def _refuse(self, row: _Row, error: RateLimitError, sent: float) -> None:
        self._note_refusal()
        # With at_least_once, a request before the one that was refused may have started a run.
        self._send_later(row, is_noted=not error.run_may_have_started)
        if not self._pace.refused(sent, error.retry_after, time.monotonic()):
            self._fail(error)

    async def _finish(self, row: _Row, outcome: Outcome) -> None:
        self._name_workflow(outcome.error)
        item = BatchItem(
            row.index,
            row.key,
            row.inputs,
            outcome.run,
            outcome.error,
            row.attempts,
            outcome.seconds,
            row.session_id,
        )
        if self._journal is not None:
            try:
                await self._journal.finished(item)
            except JournalError as error:
                self._fail(error)  # the item is handed on nevertheless
        self._hand_on(item)

    def _hand_on(self, item: BatchItem) -> None:
        if item.error is not None:
            self._failures += 1
            if self._failures == self._plan.stop_after_failures:
                self.stop(f"{self._failures} rows are not done")
        self._emit(item)


def hash_of(identity: str, inputs: Mapping[str, Any]) -> str:
    """Return the key of a row: a hash of what all rows share, and of its inputs in any order.

    Raises:
        ConfigurationError: the inputs are not JSON.
    """
    try:
        text = write_json(dict(inputs), compact=True, sort_keys=True, strict=True)
    except (TypeError, ValueError, RecursionError) as error:
        fault = json_fault(dict(inputs), ("inputs",))
        raise ConfigurationError(str(fault or f"the inputs are not JSON: {error}")) from None
    return sha256(f"{identity}\n{text}".encode(errors="surrogatepass")).hexdigest()[:32]
