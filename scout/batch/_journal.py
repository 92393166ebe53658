"""`Journal`: a file that knows of each row of a batch whether it was sent and how it ended, also after a crash.

Each line is an object. The first one is a header, each other one a record:

| record | meaning |
|---|---|
| `{"batch": HASH, "at"}` | a batch begins: what follows is of its server, workflow and options |
| `{"started": KEY, "index", "at", "session_id"}` | the run was about to be sent |
| `{"finished": KEY, "index", "at", "attempts", "seconds", "session_id", "run", "error"}` | the call ended |
| `{"refused": KEY}` | the run that was about to be sent certainly did not start |
| `{"skipped": KEY}` | it is not known whether the run started, and nobody asks any more |
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from scout._json import shorten
from scout.errors import ConfigurationError, JournalError

from ._journal_file import JournalFile
from ._records import Kind, as_line, batch_record, finished_record, item_in, redacted, started_record

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from typing import Any

    from ._items import BatchItem
    from ._records import Record

__all__ = ["Journal", "Past"]

_MOST_PENDING = 1000
"""Records for which nobody waits are written when there are so many, such as of a million rows that are skipped."""


@dataclass(frozen=True, slots=True)
class Past:
    """What an earlier batch did with a row.

    Attributes:
        key: The name of the row.
        is_unknown: True when its run may have started and nothing says how it ended. `False` when it is finished, or
            was skipped: it is not sent again.
        place: The place of its record in the journal.
    """

    key: str
    is_unknown: bool
    place: int


_Work = asyncio.Future[list[OSError | None]]
"""The errors of some entries, once they are written."""


class _Entry(NamedTuple):
    """Lines that wait for being written."""

    lines: bytes
    is_start: bool
    waiter: asyncio.Future[None] | None


class Journal:
    """The journal of a batch. It is used by one thread at a time; its writing happens in a thread of its own.

    Args:
        path: The path of the file, which is made if it does not exist.
        resume: Go on with a journal that has records. `False` refuses one.
        scope: A hash of what all rows of the batch share. Rows of another batch are other rows, also with the same key.
        redact: A function that takes the API key out of texts and JSON. A server may echo it.

    Raises:
        JournalError: the file cannot be opened or repaired, another process has it open, it is not a journal, or it has
            records and `resume` is `False`.
        ConfigurationError: the path is not a path.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        resume: bool,
        scope: str = "",
        redact: Callable[[Any], Any] | None = None,
    ) -> None:
        self._redact = redact
        self._pending: list[_Entry] = []
        self._is_writing = False
        self._is_closed = False
        self._failure: BaseException | None = None
        self._file = JournalFile(path)
        self._index: _Index | None = None
        try:
            if not resume and any(record.kind != Kind.BATCH for _, record in self._file.records()):
                raise JournalError(
                    "it has the records of an earlier batch; resume it, use another journal, or delete this one",
                    path=self._file.path,
                )
            with self._index_errors():
                self._index = _Index(scope)
                if resume:
                    self._index.read(self._file.records())
            self._begin(scope)
        except BaseException:
            self._release()
            raise
        self._writer = ThreadPoolExecutor(1, "scout-journal")

    def _begin(self, scope: str) -> None:
        if not scope:
            return
        try:
            self._file.append(as_line(batch_record(scope)))
        except OSError as error:
            raise self._cannot_write(error, is_start=True) from error

    # --- Rows -----------------------------------------------------------------------------------------------------

    def claim(self, key: str, *, unique: bool) -> tuple[str, Past | None]:
        """Return the name of the next row, and what an earlier batch did with it; `None` when it was never sent.

        Args:
            key: The key of the row. The second row with the key has the name `KEY-2`, the third `KEY-3`.
            unique: Refuse a second row with the key.

        Raises:
            ConfigurationError: `unique` refuses it.
            JournalError: the index of the keys cannot be written, or the journal is closed.
        """
        index = self._open_index()
        with self._index_errors():
            count, past = index.claim(key)
            if count == 1:
                return key, past
            if unique:
                raise ConfigurationError(
                    f"an earlier row of the batch has the key {shorten(key, 100)!r} too, and the key of a row is the "
                    "name by which the journal finds it; give each row another"
                )
            name = f"{key}-{count}"
            return name, index.find(name)

    def item(self, past: Past, index: int, inputs: Mapping[str, Any]) -> BatchItem:
        """Return the item of a row from its record: its run and error as recorded, or a `RunUnknownError`.

        Raises:
            JournalError: the record cannot be read, or does not hold what it should.
        """
        self._open_index()
        record = self._file.record_at(past.place)
        if record.key != past.key:
            self._file.refuse_record(past.place, "it is not the record that was there when the batch began")
        try:
            return item_in(record, index, inputs)
        except (ConfigurationError, OverflowError) as error:
            self._file.refuse_record(past.place, str(error))

    # --- Writing --------------------------------------------------------------------------------------------------

    async def started(self, rows: Sequence[tuple[str, int, str | None]]) -> None:
        """Record that some rows, each a key, an index and a session, are about to be sent.

        The records are durable when this returns.

        Raises:
            JournalError: they could not be written, or an earlier record could not, or the journal is closed.
        """
        self._open_index()
        if self._failure is not None:
            raise self._cannot_write(self._failure, is_start=True)
        await self._append(b"".join(as_line(started_record(*row)) for row in rows), is_start=True)

    async def finished(self, item: BatchItem) -> None:
        """Record what became of a row. The record is durable when this returns.

        It is tried also after an earlier record could not be written, because it was paid for.

        Raises:
            JournalError: it could not be written, or the journal is closed.
        """
        self._open_index()
        await self._append(self._finished_line(item), is_start=False)

    def refused(self, key: str) -> None:
        """Record that a row whose start is recorded certainly did not start. Nobody waits for it.

        It is written at once, because a pause may follow in which nothing else is.
        """
        self._add_later({"refused": key})
        self._begin_writing(asyncio.get_running_loop())

    def skipped(self, key: str) -> None:
        """Record that nobody asks any more whether the run of a row started. It goes with the next record."""
        self._add_later({"skipped": key})

    async def close(self) -> None:
        """Write what is left, and release the lock. Closing it twice does nothing.

        Raises:
            JournalError: what was left could not be written.
        """
        if self._is_closed:
            return
        self._is_closed = True
        if not self._file.is_open:  # in a forked process, where nothing of this is its own
            return
        before = self._failure
        try:
            if self._pending or self._is_writing:
                await self._append(b"", is_start=False)  # all others are written when it is
        finally:
            self._writer.shutdown()  # waits for what is being written when this was cancelled
            left, self._pending = self._pending, []
            self._settle(left, self._write(left))
            self._release()
        if self._failure is not None and self._failure is not before:
            raise self._cannot_write(self._failure, is_start=False)

    def _finished_line(self, item: BatchItem) -> bytes:
        try:
            record = finished_record(item)
            line = as_line(record)
            if self._redact is not None and self._redact(line) != line:
                line = as_line(redacted(record, self._redact))
        except (TypeError, ValueError, RecursionError) as error:
            raise self._file.failure(
                f"the result of row {item.index} cannot be written as JSON", error, run_may_have_started=True
            ) from error
        return line

    def _add_later(self, record: dict[str, str]) -> None:
        self._open_index()
        self._pending.append(_Entry(as_line(record), is_start=False, waiter=None))
        if len(self._pending) >= _MOST_PENDING:
            self._begin_writing(asyncio.get_running_loop())

    # Who waits has a future of its own, so that one who is cancelled disturbs nobody. There is no task, because the end
    # of an event loop cancels all tasks, and what is left has to be written then.

    def _append(self, lines: bytes, *, is_start: bool) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._pending.append(_Entry(lines, is_start, waiter))
        self._begin_writing(loop)
        return waiter

    def _begin_writing(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._is_writing:
            self._is_writing = True
            loop.call_soon(self._write_pending, loop)  # with the records of all who are ready to run now

    def _write_pending(self, loop: asyncio.AbstractEventLoop) -> None:
        entries, self._pending = self._pending, []
        if not entries or not self._file.is_open:
            self._is_writing = False
            return
        try:
            work: _Work = loop.run_in_executor(self._writer, self._write, entries)
        except RuntimeError:  # the interpreter ends and its threads have ended, but what was paid for is still written
            work = loop.create_future()
            work.set_result(self._write(entries))
        work.add_done_callback(partial(self._written, loop, entries))

    def _written(self, loop: asyncio.AbstractEventLoop, entries: list[_Entry], work: _Work) -> None:
        error = work.exception()
        self._settle(entries, work.result() if error is None else [error] * len(entries))
        if self._pending:
            loop.call_soon(self._write_pending, loop)  # after those who were waiting, who may have more to write
        else:
            self._is_writing = False

    def _write(self, entries: list[_Entry]) -> list[OSError | None]:
        """Write some entries, with one fsync; return the error of each."""
        try:
            self._file.append(b"".join(entry.lines for entry in entries))
        except OSError as error:
            # On a full disk some of what is finished may have room where all of it together has not.
            return [error if entry.is_start else self._write_alone(entry) for entry in entries]
        return [None] * len(entries)

    def _write_alone(self, entry: _Entry) -> OSError | None:
        try:
            self._file.append(entry.lines)
        except OSError as error:
            return error
        return None

    def _settle(self, entries: Sequence[_Entry], errors: Sequence[BaseException | None]) -> None:
        for entry, error in zip(entries, errors, strict=True):
            if error is not None:
                self._failure = error
            if entry.waiter is None or entry.waiter.done():
                continue
            if error is None:
                entry.waiter.set_result(None)
            else:
                entry.waiter.set_exception(self._cannot_write(error, is_start=entry.is_start))

    # --- Errors and closing ---------------------------------------------------------------------------------------

    def _cannot_write(self, error: BaseException, *, is_start: bool) -> JournalError:
        problem = "it cannot be written; no further rows are sent, and it can be resumed when that is mended"
        return self._file.failure(problem, error, run_may_have_started=not is_start)

    @contextmanager
    def _index_errors(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            problem = (
                "the index of its keys, a temporary file of SQLite, cannot be used (SQLITE_TMPDIR names its folder)"
            )
            raise self._file.failure(problem, error) from error

    def _open_index(self) -> _Index:
        """Return the index; refuse to go on when the journal is closed."""
        if self._index is None or self._is_closed or not self._file.is_open:
            raise JournalError("the journal is closed, or was opened by the parent process", path=self._file.path)
        return self._index

    def _release(self) -> None:
        self._file.close()
        if self._index is not None:
            self._index.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a journal cannot be copied or pickled: it holds the lock of its file")


# --- The index ----------------------------------------------------------------------------------------------------

_NEW, _STARTED, _UNKNOWN, _SETTLED = 0, 1, 2, 3

_State = tuple[int, int, int]
"""What is known of a row, the place of the record that says so, and that of the record that said so before the last
start: negative when the row was settled then, 0 when there was none."""


def _after(state: _State, kind: Kind, place: int) -> _State:
    """Return the state of a row after one more record of it."""
    known, here, older = state
    match kind:
        case Kind.STARTED:
            # When this start is refused, what was known before is still true: a row that was unknown stays so.
            before = {_NEW: 0, _STARTED: older or here, _UNKNOWN: here, _SETTLED: -here}
            return _STARTED, place, before[known]
        case Kind.ENDED:
            return _SETTLED, place, 0
        case Kind.LOST:
            return _UNKNOWN, place, 0
        case Kind.UNSENT if known == _STARTED:
            return (_UNKNOWN if older > 0 else _SETTLED if older else _NEW), abs(older), 0
        case Kind.SKIPPED if known != _NEW:
            return _SETTLED, here, 0
        case _:
            return state


class _Index:
    """The keys of a batch, with what is known of each: in a file, so that memory stays the same for millions of them.

    SQLite keeps a database without a name in memory while it is small, and deletes its file. A key is a row of 16 bytes
    of hash, whatever its length.
    """

    def __init__(self, scope: str) -> None:
        self._scope = scope
        # One thread uses it at a time, not always the same one.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.executescript(
            """
            PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16384;
            CREATE TABLE rows (
                key BLOB PRIMARY KEY, claims INTEGER, known INTEGER, place INTEGER, older INTEGER
            ) WITHOUT ROWID;
            BEGIN;
            """
        )

    def read(self, records: Iterator[tuple[int, Record]]) -> None:
        """Note the records of a journal, of which later ones count more."""
        scope = ""
        for place, record in records:
            if record.kind == Kind.BATCH:
                scope = record.key
            elif scope == self._scope:
                key = _hashed(record.key)
                found = self._database.execute("SELECT known, place, older FROM rows WHERE key = ?", (key,)).fetchone()
                state = _after(found or (_NEW, 0, 0), record.kind, place)
                self._database.execute("REPLACE INTO rows VALUES (?, 0, ?, ?, ?)", (key, *state))

    def claim(self, key: str) -> tuple[int, Past | None]:
        """Count a key; return how many rows of this batch have had it now, and what is known of it."""
        hashed = _hashed(key)
        added = self._database.execute("INSERT OR IGNORE INTO rows VALUES (?, 1, 0, 0, 0)", (hashed,)).rowcount
        if added:
            return 1, None
        self._database.execute("UPDATE rows SET claims = claims + 1 WHERE key = ?", (hashed,))
        claims: int
        (claims,) = self._database.execute("SELECT claims FROM rows WHERE key = ?", (hashed,)).fetchone()
        return claims, self.find(key)

    def find(self, key: str) -> Past | None:
        """Return what is known of a row; `None` when it was never sent."""
        query = "SELECT known, place FROM rows WHERE key = ?"
        known, place = self._database.execute(query, (_hashed(key),)).fetchone() or (_NEW, 0)
        return None if known == _NEW else Past(key, known != _SETTLED, place)

    def close(self) -> None:
        """Delete it."""
        self._database.close()


def _hashed(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
