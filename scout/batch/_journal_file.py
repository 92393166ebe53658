"""The file of a journal: its lock, its header, its repair after a crash, and writing that is durable or undone."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import weakref
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from scout._json import NOT_JSON, is_dict, parse_json
from scout._retry import foreign
from scout.errors import ConfigurationError, JournalError

from ._records import Record, read_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["JournalFile"]

# --- What differs between operating systems -----------------------------------------------------------------------

if sys.platform == "win32":
    import msvcrt

    def _lock(number: int) -> None:
        os.lseek(number, _LOCKED_BYTE, os.SEEK_SET)  # Windows also refuses to read a byte that another process locks
        msvcrt.locking(number, msvcrt.LK_NBLCK, 1)

    def _unlock(number: int) -> None:
        os.lseek(number, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(number, msvcrt.LK_UNLCK, 1)

    _LOCKED_BYTE = 2**31 - 2  # beyond the end of most journals, and the last one that `locking` reaches
    _sync = os.fsync
else:
    import fcntl

    def _lock(number: int) -> None:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(number: int) -> None:
        fcntl.flock(number, fcntl.LOCK_UN)

    if sys.platform == "darwin":

        def _sync(number: int) -> None:
            try:
                fcntl.fcntl(number, fcntl.F_FULLFSYNC)  # fsync leaves the data in the cache of the disk
            except OSError:  # a file system that does not have it, such as one over a network
                os.fsync(number)
    else:
        _sync = getattr(os, "fdatasync", os.fsync)

_LOCKED_BY_OTHERS = errno.EAGAIN, errno.EACCES, errno.EDEADLK

_VERSION = 1
_BEGINNING = b'{"scout_batch":%d,' % _VERSION
_LONGEST_HEADER = 4096


def _new_header() -> bytes:
    return b'%s"created":"%s"}\n' % (_BEGINNING, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}".encode())


class JournalFile:
    """The file of a journal, locked for this process.

    Args:
        path: The path. The file is made if it does not exist.

    Raises:
        JournalError: it cannot be opened, another process has it open, or it is not a journal.
        ConfigurationError: the path is not a path.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        given: Any = os.fspath(path) if isinstance(path, os.PathLike) else path
        if not isinstance(given, str):
            raise ConfigurationError(f"journal is the path of a file, not {type(path).__name__}")
        self.path = given
        self._is_torn = False
        self._size = 0  # of what is whole and durable
        with contextlib.ExitStack() as stack:
            try:
                self._check_kind()
                self._out = stack.enter_context(open(self.path, "ab", buffering=0, opener=_open_privately))
                self._take_lock()
                # Another handle, because reading moves the position, on some systems also that of writing in a thread.
                self._in = stack.enter_context(Path(self.path).open("rb"))
                if not os.path.samestat(os.fstat(self._in.fileno()), os.fstat(self._out.fileno())):
                    self._fail("another file was put in its place while it was opened; try again")
                self._check_header()
            except (OSError, ValueError) as error:
                self._translate(error, "it cannot be opened")
            stack.pop_all()
        _OPEN.add(self)

    # --- Opening --------------------------------------------------------------------------------------------------

    def _check_kind(self) -> None:
        if not self.path:
            self._fail("the path is empty")
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(Path(self.path).stat().st_mode):
                self._fail("it is a folder or a device, and not a file")

    def _take_lock(self) -> None:
        try:
            _lock(self._out.fileno())
        except OSError as error:
            if error.errno in _LOCKED_BY_OTHERS:
                self._fail(
                    "another process has this journal open, or another batch of this one; wait until that has ended, "
                    "or use another journal"
                )
            self._translate(error, "its file system cannot lock it, so that two batches could write to it")

    def _check_header(self) -> None:
        """Check that this is a journal that can be read. A new file becomes one."""
        first = self._in.readline(_LONGEST_HEADER)
        header = _object(first)
        if header is None and _is_torn_header(first, self._in):
            self._out.truncate(0)
            first = _new_header()
            self.append(first)
            _sync_folder(self.path)
            self._in.seek(len(first))
            return
        version = None if header is None else header.get("scout_batch")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            self._fail("it is not a journal: its first line says nothing of one; nothing was changed in it", 1)
        if version > _VERSION:
            self._fail(f"a newer version of this package wrote it (its form is {version}); update the package", 1)
        self._size = len(first)
        if not first.endswith(b"\n"):
            self.append(b"\n")
            self._in.seek(self._size)

    def records(self) -> Iterator[tuple[int, Record]]:
        """Yield every record with its place in the file, and at last repair the end of the file.

        Raises:
            JournalError: a line in the middle is not a record, or the file cannot be read or repaired.
        """
        end = place = self._size
        whole = True
        bad: int | None = None
        try:
            for number, line in enumerate(self._in, 2):
                record = read_record(line)
                if record is None:
                    bad = bad or number
                elif bad is not None:
                    self._fail("it is not a record of a batch, and good ones follow; mend or delete this line", bad)
                else:
                    end = place + len(line)
                    whole = line.endswith(b"\n")
                    yield place, record
                place += len(line)
            self._size = end
            if bad is not None:
                self._cut()
            if not whole:
                self.append(b"\n")
        except OSError as error:
            self._translate(error, "it cannot be read and repaired")

    # --- Reading and writing --------------------------------------------------------------------------------------

    def record_at(self, place: int) -> Record:
        """Return the record at a place that `records` named.

        Raises:
            JournalError: it cannot be read, or is not there any more.
        """
        try:
            self._in.seek(place)
            record = read_record(self._in.readline())
        except OSError as error:
            self._translate(error, "it cannot be read")
        if record is None:
            self.refuse_record(place, "it is not the record that was there when the batch began")
        return record

    def refuse_record(self, place: int, reason: str) -> NoReturn:
        """Raise the error of a record that cannot be used."""
        number, left = 1, place
        try:
            self._in.seek(0)
            while left and (part := self._in.read(min(left, 2**20))):
                number += part.count(b"\n")
                left -= len(part)
        except OSError as error:
            self._translate(error, "it cannot be read")
        self._fail(reason, number)

    def append(self, data: bytes) -> None:
        """Write whole lines at the end. They are durable when this returns; if it fails, the file is as it was before.

        Raises:
            OSError: it is not possible, or the file is not there any more.
        """
        if self._is_torn:
            self._cut()
        self._is_torn = True  # until all of it is there, whatever happens
        try:
            left = memoryview(data)
            while left:
                left = left[self._out.write(left) :]
            if data:
                _sync(self._out.fileno())
            if not os.fstat(self._out.fileno()).st_nlink:
                raise FileNotFoundError(errno.ENOENT, "it was deleted, or replaced by another file")
        except OSError:
            with contextlib.suppress(OSError):  # tried again before the next writing, and when it is opened again
                self._cut()
            raise
        self._is_torn = False
        self._size += len(data)

    def _cut(self) -> None:
        self._out.truncate(self._size)
        self._is_torn = False

    # --- Closing --------------------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """True until it is closed. In a process that was forked from the one that opened it, it is closed."""
        return not self._out.closed

    def close(self) -> None:
        """Release the lock and close the file."""
        if self.is_open:
            # A process that was forked has the same lock, and would keep it; so closing does not suffice.
            with contextlib.suppress(OSError):
                _unlock(self._out.fileno())
        self.abandon()

    def abandon(self) -> None:
        """Close the file, and leave the lock to the other process that has it."""
        _OPEN.discard(self)
        self._out.close()
        self._in.raw.close()  # not the buffer: another thread may have been reading at the fork, and holds its lock

    # --- Errors ---------------------------------------------------------------------------------------------------

    def failure(self, problem: str, error: BaseException, *, run_may_have_started: bool = False) -> JournalError:
        """Return the error of this journal for an error of the operating system."""
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        failure = JournalError(f"{problem}: {reason}", path=self.path, run_may_have_started=run_may_have_started)
        failure.__cause__ = error
        return failure

    def _translate(self, error: Exception, problem: str) -> NoReturn:
        if foreign(error) is not None:
            raise error
        if isinstance(error, FileNotFoundError) and not (folder := Path(self.path).parent).exists():
            problem = f"the folder {str(folder)!r} does not exist; make it first"
        raise self.failure(problem, error) from error

    def _fail(self, problem: str, line: int | None = None) -> NoReturn:
        raise JournalError(problem, path=self.path, line=line)


def _open_privately(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)  # it holds results


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = parse_json(line.decode())
    except NOT_JSON:
        return None
    return value if is_dict(value) else None


def _is_torn_header(first: bytes, rest: Any) -> bool:
    """Return True for an empty file, and for one in which a crash has left only a part of the header."""
    if len(first) >= len(_new_header()) or rest.read(1):
        return False
    known = first.rstrip(b"\0")  # some file systems make a file longer before they write to it
    return b"\n" not in known and (_BEGINNING.startswith(known) or known.startswith(_BEGINNING))


def _sync_folder(path: str) -> None:
    """Make the name of a new file durable."""
    if sys.platform == "win32":
        return  # there it is, and a folder cannot be opened
    with contextlib.suppress(OSError):  # a folder that may not be read, or a file system that does not do this
        number = os.open(Path(path).resolve().parent, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


# --- Forks --------------------------------------------------------------------------------------------------------

_OPEN: weakref.WeakSet[JournalFile] = weakref.WeakSet()


def _abandon_all() -> None:
    """Close the journals of the parent in a forked process, which would keep them locked when the parent is killed."""
    for file in list(_OPEN):
        file.abandon()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_abandon_all)
