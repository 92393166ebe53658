"""The journal of a batch: what it says after a crash at any moment, its lock, and disks that are full."""

import asyncio
import copy
import os
import pickle
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from scout import (
    APIConnectionError,
    APIResponseError,
    APITimeoutError,
    Attempt,
    BadRequestError,
    BlockRun,
    ConfigurationError,
    InternalServerError,
    JournalError,
    RateLimitError,
    Run,
    RunFailedError,
    RunNotFinishedError,
    RunStatus,
    RunUnknownError,
    ScoutError,
    StreamDecodeError,
    StreamInterruptedError,
    UnprocessableEntityError,
    WorkflowFileError,
)
from scout._config import Secret
from scout._json import parse_json, write_json
from scout.batch import _journal_file
from scout.batch._items import BatchItem
from scout.batch._journal import Journal

HEADER = b'{"scout_batch":1,"created":"2026-01-01T00:00:00Z"}\n'
RUN = Run(
    "run_1",
    "sess_1",
    "wf_1",
    RunStatus.COMPLETED,
    state={"answer": {"output": "H\xe9llo\u2028 \U0001d4b3", "meta": {"cost": 0.5}}},
    output_block_id="answer",
    blocks=[BlockRun("answer", status=RunStatus.COMPLETED, price=0.5)],
)
STATUS: dict[str, Any] = {"status": 500, "body": {"detail": ["no", Decimal("1e400")]}, "headers": {}, "request_id": "r"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "batch.journal"


def content(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def remove(path: Path) -> None:
    path.unlink()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def done(key: str, index: int = 0) -> BatchItem:
    return BatchItem(index, key, {}, RUN, None, 1, 0.25)


def state(journal: Journal, key: str) -> str:
    _, past = journal.claim(key, unique=True)
    if past is None:
        return "never"
    item = journal.item(past, 0, {})
    assert past.is_unknown or item.outcome in ("done", "failed") or isinstance(item.error, ScoutError)
    return "unknown" if past.is_unknown else "finished"


async def states(path: Path, keys: str) -> dict[str, str]:
    journal = Journal(path, resume=True)
    found = {key: state(journal, key) for key in keys}
    await journal.close()
    return found


def refusal(path: Any, *, resume: bool = True) -> str:
    with pytest.raises(JournalError) as caught:
        Journal(path, resume=resume)
    assert caught.value.run_may_have_started is False
    return str(caught.value)


def records(*given: dict[str, Any]) -> bytes:
    return HEADER + b"".join(write_json(record).encode() + b"\n" for record in given)


def finished(key: str, error: dict[str, Any] | None = None) -> dict[str, Any]:
    run = RUN.to_dict() if error is None else None
    return {"finished": key, "attempts": 1, "seconds": 1, "session_id": None, "run": run, "error": error}


LOST = {"class": "APIConnectionError", "message": "it broke", "run_may_have_started": True}
UNSENT = {"class": "APIConnectionError", "message": "refused", "run_may_have_started": False}


# --- Opening ------------------------------------------------------------------------------------------------------


async def test_a_new_journal_is_private_and_has_a_header(path: Path) -> None:
    await Journal(path, resume=False).close()

    assert content(path).startswith(b'{"scout_batch":1,"created":"20')
    assert len(content(path)) == len(HEADER)
    if sys.platform != "win32":
        assert mode(path) == 0o600


async def test_an_empty_file_becomes_a_journal(path: Path) -> None:
    write(path, b"")

    await Journal(str(path), resume=False).close()

    assert content(path).startswith(b'{"scout_batch":1')


@pytest.mark.parametrize(
    "data",
    [
        b"\n",
        b"{}\n",
        b"[1]\n",
        b"city,count\nOslo,3\n",
        b'{"scout_batch":true}\n',
        b'{"scout_batch":0}\n',
        b'{"scout_batch":"1"}\n',
        b'{"city": "Oslo"}\n{"scout_batch":1}\n',
        b'{"scout_batch":1,\n',
        b'{"scout_batch":1,' + 100 * b"x",
        b"\xff\xfe{\0",
        100 * b"\0",
        10_000 * b"x",
    ],
    ids=str,
)
def test_a_file_that_is_not_a_journal_is_not_changed(path: Path, data: bytes) -> None:
    write(path, data)

    assert "it is not a journal" in refusal(path)
    assert content(path) == data


def test_a_newer_journal_is_not_changed(path: Path) -> None:
    write(path, b'{"scout_batch":2}\n{"begun":1}')

    assert "a newer version of this package wrote it (its form is 2)" in refusal(path)
    assert content(path) == b'{"scout_batch":2}\n{"begun":1}'


async def test_without_resume_a_journal_with_records_is_refused(path: Path) -> None:
    write(path, records({"refused": "a"}) + b"torn")

    assert "resume it, use another journal, or delete this one" in refusal(path, resume=False)
    assert content(path).endswith(b"torn")
    assert await states(path, "a") == {"a": "never"}


def test_a_path_that_cannot_be_a_file_is_refused(tmp_path: Path) -> None:
    assert "it is a folder or a device, and not a file" in refusal(tmp_path)
    assert "does not exist; make it first" in refusal(tmp_path / "no" / "such")
    assert "the path is empty" in refusal("")
    assert "it cannot be opened: embedded null" in refusal("a\0b")
    with pytest.raises(ConfigurationError, match="journal is the path of a file, not int"):
        Journal(5, resume=True)  # type: ignore[arg-type]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no mkfifo")
def test_a_pipe_is_refused_and_does_not_block(path: Path) -> None:
    os.mkfifo(path)

    assert "it is a folder or a device" in refusal(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(path: Path) -> None:
    path.touch(mode=0)

    assert "it cannot be opened: Permission denied" in refusal(path)


# --- The lock -----------------------------------------------------------------------------------------------------


def program(text: str, *arguments: object) -> subprocess.Popen[str]:
    code = f"import asyncio, os, sys\nfrom scout.batch._journal import Journal\n{textwrap.dedent(text)}"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def test_two_batches_of_one_process_do_not_share_a_journal(path: Path) -> None:
    journal = Journal(path, resume=True)

    assert "another process has this journal open" in refusal(path)
    await journal.close()
    await Journal(path, resume=True).close()


async def test_another_process_is_refused_until_this_one_is_killed(path: Path) -> None:
    with program("journal = Journal(sys.argv[1], resume=True); print('open', flush=True); input()", path) as other:
        assert line_of(other) == "open"
        before = content(path)
        assert "another process has this journal open" in refusal(path)
        assert content(path) == before
        other.kill()
        other.wait(10)

        await Journal(path, resume=True).close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
async def test_a_forked_process_does_not_keep_the_lock(path: Path) -> None:
    text = """
        journal = Journal(sys.argv[1], resume=True)
        journal.skipped("a")
        if os.fork() == 0:
            try:
                journal.claim("a", unique=True)
            except Exception as error:
                print(error, flush=True)
            asyncio.run(journal.close())
            input()
        else:
            sys.stdout.close()
            os._exit(0)
        """
    with program(text, path) as other:
        assert "the journal is closed, or was opened by the parent process" in line_of(other)
        other.wait(10)

        await Journal(path, resume=True).close()  # while the child lives

        assert content(path).count(b"\n") == 1
        other.communicate("")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_process_that_is_forked_while_another_thread_reads_goes_on(path: Path) -> None:
    text = """
        import signal, threading
        from scout.batch._journal_file import JournalFile

        file = JournalFile(sys.argv[1])
        stop = threading.Event()

        def read():
            while not stop.is_set():
                file.record_at(51)

        reader = threading.Thread(target=read)
        reader.start()
        signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
        ends = []
        for _ in range(5):
            child = os.fork()
            if child == 0:
                os._exit(0)
            signal.alarm(5)
            ends.append(os.waitpid(child, 0)[1])
            if ends[-1]:
                break
        stop.set()
        reader.join()
        print(*ends)
        """
    write(path, HEADER + write_json({"skipped": "k" * 1_000_000}).encode() + b"\n")
    with program(text, path) as other:
        output, _ = other.communicate(timeout=20)

    assert output.split() == ["0"] * 5


async def test_a_journal_is_neither_pickled_nor_copied(path: Path) -> None:
    journal = Journal(path, resume=True)
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be copied or pickled: it holds the lock of its file"):
            way(journal)
    await journal.close()


# --- After a crash ------------------------------------------------------------------------------------------------


async def test_a_journal_cut_at_every_byte_says_what_is_left(path: Path) -> None:
    journal = Journal(path, resume=True)
    await journal.started([("a", 0, None), ("b", 1, "sess_b")])
    small = Run("run_1", None, None, RunStatus.COMPLETED, {"a": "\xe9"})
    await journal.finished(BatchItem(0, "a", {}, small))
    await journal.finished(BatchItem(1, "b", {}, None, APIConnectionError("it broke")))
    await journal.started([("c", 2, None)])
    await journal.finished(BatchItem(2, "c", {}, small))
    journal.refused("c")
    await journal.close()
    lines = content(path).splitlines(keepends=True)
    # What is known when so many of the lines are whole.
    expected = {
        5: {"a": "finished", "b": "unknown", "c": "never"},
        6: {"a": "finished", "b": "unknown", "c": "unknown"},
        7: {"a": "finished", "b": "unknown", "c": "finished"},
        8: {"a": "finished", "b": "unknown", "c": "finished"},
    }
    assert len(lines) == 8

    data = b"".join(lines)
    for end in range(len(b"".join(lines[:5])), len(data) + 1):
        whole = data[: end + 1].count(b"\n") if data[end : end + 1] == b"\n" else data[:end].count(b"\n")
        write(path, data[:end])

        assert await states(path, "abc") == expected[whole], end
        assert content(path) == b"".join(lines[:whole])


async def test_a_header_cut_at_every_byte_is_written_anew(path: Path) -> None:
    for end in range(len(HEADER)):
        for tail in (b"", bytes(len(HEADER) - 1 - end))[: 2 if end % 8 == 0 else 1]:
            write(path, HEADER[:end] + tail)
            await Journal(path, resume=False).close()

            assert len(content(path)) == len(HEADER)
            assert content(path).startswith(b'{"scout_batch":1,"created":"20')


@pytest.mark.parametrize(
    "tail",
    [b"\0" * 5000, b"\0" * 10 + b"\n", b'{"finis\n\0\0', b"[]\n", b"{}\n", b'{"started": 1}\n', b'{"other": "a"}\n',
     b'{"finished": "a"}\n', b'{"finished": "a", "run": 1, "error": null}\n', b"\xff\n\n\n", b'{"started": "b\xf0'],
    ids=str,
)  # fmt: skip
async def test_bad_bytes_at_the_end_are_cut(path: Path, tail: bytes) -> None:
    good = records({"started": "a"})
    write(path, good + tail)

    assert await states(path, "ab") == {"a": "unknown", "b": "never"}
    assert content(path) == good


def test_a_bad_line_in_the_middle_is_named_and_nothing_changed(path: Path) -> None:
    data = records({"started": "a"}) + b'{"finis\n\n{"started": "b"}\n{"torn'
    write(path, data)

    with pytest.raises(JournalError, match="line 3: it is not a record of a batch, and good ones follow") as caught:
        Journal(path, resume=True)
    assert caught.value.line == 3
    assert content(path) == data


async def test_acknowledged_records_survive_kill(path: Path) -> None:
    text = """
        async def row(journal, number):
            await journal.started([(str(number), number, None)])
            print(number, flush=True)

        async def main():
            journal = Journal(sys.argv[1], resume=True)
            for number in range(0, 10**9, 7):
                await asyncio.gather(*(row(journal, number + more) for more in range(7)))

        asyncio.run(main())
        """
    with program(text, path) as other:
        seen = [line_of(other) for _ in range(100)]
        other.kill()
        seen += [line.strip() for line in other.stdout or () if line.endswith("\n")]
    journal = Journal(path, resume=True)

    assert {state(journal, key) for key in seen} == {"unknown"}
    await journal.close()


# --- What is known of a row ---------------------------------------------------------------------------------------

START: dict[str, Any] = {"started": "a", "session_id": "sess_1"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([START], "unknown"),
        ([START, finished("a")], "finished"),
        ([START, finished("a", LOST)], "unknown"),
        ([START, finished("a", UNSENT)], "never"),
        ([START, finished("a", LOST | {"class": "RunFailedError"})], "finished"),
        ([finished("a", UNSENT)], "never"),
        ([START, {"refused": "a"}], "never"),
        ([START, {"refused": "a"}, START], "unknown"),
        ([START, {"refused": "a"}, START, finished("a")], "finished"),
        ([START, {"skipped": "a"}], "finished"),
        ([START, finished("a", LOST), {"skipped": "a"}], "finished"),
        ([{"skipped": "a"}], "never"),
        # Sent again, and refused: the first run is as unknown as before.
        ([START, START, {"refused": "a"}], "unknown"),
        ([START, START, {"refused": "a"}, {"refused": "a"}], "unknown"),
        ([START, finished("a", LOST), START, {"refused": "a"}], "unknown"),
        ([START, finished("a", LOST), START, finished("a", UNSENT)], "unknown"),
        ([START, finished("a", LOST), START, finished("a")], "finished"),
        ([START, finished("a"), {"refused": "a"}], "finished"),
        ([START, finished("a"), START, {"refused": "a"}], "finished"),
        ([START, finished("b")], "unknown"),
    ],
    ids=str,
)
async def test_what_is_known_of_a_row(path: Path, given: list[dict[str, Any]], expected: str) -> None:
    write(path, records(*given))

    assert await states(path, "a") == {"a": expected}


async def test_an_interrupted_row_can_be_looked_up_by_its_session(path: Path) -> None:
    write(path, records(START, {"skipped": "a"}))
    journal = Journal(path, resume=True)
    _, past = journal.claim("a", unique=True)
    assert past is not None
    assert not past.is_unknown
    item = journal.item(past, 7, {"x": 1})
    await journal.close()

    assert isinstance(item.error, RunUnknownError)
    assert item.error.session_id == item.session_id == "sess_1"
    assert (item.index, item.key, item.inputs, item.resumed, item.outcome) == (7, "a", {"x": 1}, True, "unknown")
    assert 'its session is sess_1; unknown="rerun" sends it again' in item.error.message


async def test_equal_rows_are_told_apart(path: Path) -> None:
    write(path, records(finished("a-2"), finished("b")))
    journal = Journal(path, resume=True)

    claims = [journal.claim("a", unique=False) for _ in range(3)]
    assert [(name, past is not None) for name, past in claims] == [("a", False), ("a-2", True), ("a-3", False)]
    assert journal.claim("b", unique=True)[1] is not None
    with pytest.raises(ConfigurationError, match="an earlier row of the batch has the key 'b' too"):
        journal.claim("b", unique=True)
    await journal.close()


async def test_keys_are_any_text(path: Path) -> None:
    keys = ["", "é", "\ud800", 'a"\n', "x" * 100_000, "a", "A"]
    journal = Journal(path, resume=True)
    for key in keys:
        await journal.started([(key, 0, None)])
    await journal.close()

    journal = Journal(path, resume=True)
    assert {state(journal, key) for key in keys} == {"unknown"}
    await journal.close()


# --- Items --------------------------------------------------------------------------------------------------------


async def read_back(path: Path, item: BatchItem, **options: Any) -> BatchItem:
    journal = Journal(path, resume=True, **options)
    await journal.finished(item)
    await journal.close()
    journal = Journal(path, resume=True)
    _, past = journal.claim(item.key, unique=True)
    assert past is not None
    again = journal.item(past, item.index, item.inputs)
    await journal.close()
    return again


async def test_a_finished_row_is_read_back(path: Path) -> None:
    item = BatchItem(3, "k", {"a": 1}, RUN, None, 4, 1.5, "sess_9")

    again = await read_back(path, item)

    assert again == BatchItem(3, "k", {"a": 1}, RUN, None, 4, 1.5, "sess_9", resumed=True)
    assert again.run is not None
    assert again.run.blocks == RUN.blocks
    assert again.run.price == RUN.price


@pytest.mark.parametrize("text", ["9" * 5000, "1e400", "1e-400", "-0.0", "12345678901234567890", '"\\ud800"', '"NaN"'])
async def test_numbers_of_any_size_survive(path: Path, text: str) -> None:
    run = Run(None, None, None, RunStatus.COMPLETED, state={"a": [parse_json(text)], "decimals": "1"})

    again = await read_back(path, BatchItem(0, "k", {}, run))

    assert again.run == run
    assert repr(again.run and again.run.state) == repr(run.state)


ERRORS: list[ScoutError] = [
    ScoutError("it broke"),
    APIConnectionError("it broke"),
    APITimeoutError("late", limit="deadline", seconds=2.5),
    InternalServerError("no", **STATUS),
    RateLimitError("no", retry_after=1.5, **STATUS),
    UnprocessableEntityError("no", details=[{"loc": ["body", 0], "msg": "x"}], **STATUS),
    APIResponseError("what", status=200, body=b"\xff<html>", damaged=True),
    StreamInterruptedError("cut", run=RUN),
    StreamDecodeError("cut", run=RUN, data=b"{\xff"),
    RunFailedError("failed", run=RUN),
    RunNotFinishedError("goes on", run=RUN),
    RunUnknownError("who knows", session_id="sess_1"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("attempts", [(), (Attempt(1, 0.0, 0.5, "no", True, 1.0), Attempt(2, 1.5, 1, "no", True))])
async def test_an_error_is_read_back(path: Path, error: ScoutError, attempts: tuple[Attempt, ...]) -> None:
    error = copy.copy(error)
    error.attempts = attempts
    run = getattr(error, "run", None)

    again = await read_back(path, BatchItem(0, "k", {}, run, error))

    assert type(again.error) is type(error)
    assert str(again.error) == str(error)
    assert again.error is not None
    assert again.error.args == error.args
    assert vars(again.error) == vars(error) | {"run_may_have_started": True}
    assert again.run == run


async def test_an_error_of_its_own_run_keeps_that(path: Path) -> None:
    error = APITimeoutError("late", limit="timeout", seconds=1)
    error.run = RUN

    again = await read_back(path, BatchItem(0, "k", {}, None, error))

    assert isinstance(again.error, APITimeoutError)
    assert again.error.run == RUN
    assert again.run is None


@pytest.mark.parametrize(
    "error",
    [BadRequestError("no", **STATUS | {"run_may_have_started": False}), WorkflowFileError("no", path="w.yml", line=3)],
)
async def test_a_row_that_was_never_sent_is_sent_again(path: Path, error: ScoutError) -> None:
    journal = Journal(path, resume=True)
    await journal.started([("k", 0, None)])
    await journal.finished(BatchItem(0, "k", {}, None, error))
    await journal.close()

    assert await states(path, "k") == {"k": "never"}


class MyError(InternalServerError):
    """A class of the caller's."""


async def test_a_class_of_the_callers_is_read_back_as_the_nearest_of_ours(path: Path) -> None:
    again = await read_back(path, BatchItem(0, "k", {}, None, MyError("no", **STATUS)))

    assert type(again.error) is InternalServerError


@pytest.mark.parametrize(
    "change",
    [
        {"class": "system"},
        {"class": "os.system"},
        {"class": "Attempt"},
        {"class": ["ScoutError"]},
        {"class": "RateLimitError", "status": "429"},
        {"class": "APIResponseError", "status": 1, "damaged": True, "body": {"base64": "%"}},
        {"class": "StreamError"},
        {"class": "APITimeoutError", "limit": "timeout"},
    ],
    ids=str,
)
async def test_an_error_that_is_not_known_is_one_of_ours(path: Path, change: dict[str, Any]) -> None:
    write(path, records(finished("k", LOST | {"attempts": [[1]]} | change)))
    journal = Journal(path, resume=True)
    _, past = journal.claim("k", unique=True)
    assert past is not None
    item = journal.item(past, 0, {})
    await journal.close()

    assert type(item.error) is ScoutError
    assert (item.error.message, item.error.attempts) == ("it broke", ())


@pytest.mark.parametrize(
    "change",
    [
        {"run": {}},
        {"session_id": 1},
        {"attempts": None},
        {"seconds": "1"},
        {"seconds": 10**400},
        {"error": {"message": 1}},
    ],
    ids=lambda change: str(change)[:30],
)
async def test_a_record_that_does_not_hold_what_it_should_is_named(path: Path, change: dict[str, Any]) -> None:
    write(path, records({"started": "b"}, finished("k") | change))
    journal = Journal(path, resume=True)
    _, past = journal.claim("k", unique=True)
    assert past is not None
    with pytest.raises(JournalError, match="line 3: "):
        journal.item(past, 0, {})
    await journal.close()


async def test_the_key_is_not_in_the_file(path: Path) -> None:
    secret = 'sk-"/secret'
    state = {"inputs": {"key": secret, secret: [secret]}, "finished": f"<{secret}>"}
    run = Run("run_1", None, None, RunStatus.FAILED, state=state, errors=[secret], output_block_id="finished")
    error = RunFailedError(f"no: {secret}", run=run)

    again = await read_back(path, BatchItem(0, "k", {}, run, error), redact=Secret(secret).redact)

    assert secret not in content(path).decode()
    assert "secret" not in content(path).decode()
    assert again.run is not None
    assert again.run.output == "<[redacted]>"
    assert again.error is not None
    assert again.error.message == "no: [redacted]"


async def test_a_key_deep_in_a_result_does_no_harm(path: Path) -> None:
    output: Any = "a-secret-key"
    for _ in range(600):
        output = [output]
    run = Run("run_1", None, None, RunStatus.COMPLETED, {"a": {"output": output, "more": "a-secret-key"}})

    again = await read_back(path, BatchItem(0, "k", {}, run), redact=Secret("a-secret-key").redact)

    assert "a-secret-key" not in content(path).decode()
    assert again.run is not None
    assert again.run.state["a"]["more"] == "[redacted]"


async def test_a_key_that_is_a_word_of_the_format_does_no_harm(path: Path) -> None:
    for secret in ("finished", "attempts", "run_may_have_started"):
        again = await read_back(path.with_name(secret), done("k"), redact=Secret(secret).redact)
        assert again.run == RUN


async def test_cookies_are_not_in_the_file(path: Path) -> None:
    error = InternalServerError("no", **STATUS | {"headers": {"set-cookie": "sesame"}})

    await read_back(path, BatchItem(0, "k", {}, None, error))

    assert "sesame" not in content(path).decode()


async def test_a_result_that_json_cannot_carry_is_refused(path: Path) -> None:
    journal = Journal(path, resume=True)
    for value in (object(), 10**10_000):
        with pytest.raises(JournalError, match="the result of row 0 cannot be written as JSON") as caught:
            await journal.finished(BatchItem(0, "k", {}, Run(None, None, None, RunStatus.COMPLETED, {"a": value})))
        assert caught.value.run_may_have_started
    await journal.close()


# --- Group commit -------------------------------------------------------------------------------------------------


class Disk:
    """Counts the fsyncs, and fails them when told to."""

    def __init__(self, sync: Callable[[int], None]) -> None:
        self.count = 0
        self.failing = False
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()
        self._sync = sync

    def sync(self, number: int) -> None:
        self.count += 1
        self.reached.set()
        assert self.gate.wait(10)
        if self.failing:
            raise OSError(5, "Input/output error")
        self._sync(number)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk(_journal_file._sync)
    monkeypatch.setattr(_journal_file, "_sync", disk.sync)
    yield disk
    disk.gate.set()


async def test_many_rows_share_one_fsync(path: Path, disk: Disk) -> None:
    journal = Journal(path, resume=True)
    before = disk.count

    await asyncio.gather(*(journal.started([(str(number), number, None)]) for number in range(100)))
    assert disk.count == before + 1

    await journal.close()
    assert disk.count == before + 1
    assert content(path).count(b"\n") == 101


async def test_what_nobody_waits_for_goes_with_the_next_record(path: Path, disk: Disk) -> None:
    journal = Journal(path, resume=True)
    await journal.started([])
    await journal.started([(key, 0, None) for key in "abc"])
    before = disk.count
    journal.skipped("b")
    await asyncio.sleep(0)
    assert disk.count == before
    await journal.started([("d", 0, None)])
    assert disk.count == before + 1
    journal.skipped("a")
    await journal.close()

    assert await states(path, "abcd") == {"a": "finished", "b": "finished", "c": "unknown", "d": "unknown"}


async def test_a_refusal_is_written_although_nobody_waits_for_it(path: Path, disk: Disk) -> None:
    journal = Journal(path, resume=True)
    await journal.started([(key, 0, None) for key in "abc"])
    before = disk.count
    disk.reached.clear()
    for key in "abc":
        journal.refused(key)
    await asyncio.sleep(0)
    assert await asyncio.to_thread(disk.reached.wait, 10)
    assert disk.count == before + 1
    await journal.close()
    assert disk.count == before + 1

    assert await states(path, "abc") == {"a": "never", "b": "never", "c": "never"}


async def test_many_records_that_nobody_waits_for_do_not_wait_for_ever(path: Path, disk: Disk) -> None:
    journal = Journal(path, resume=True)
    before = disk.count
    disk.reached.clear()
    for _ in range(1000):
        journal.skipped("a")
    await asyncio.sleep(0)
    assert await asyncio.to_thread(disk.reached.wait, 10)
    assert disk.count == before + 1
    await journal.close()

    assert content(path).count(b"\n") == 1001


async def test_callers_that_are_cancelled_disturb_nobody(path: Path, disk: Disk) -> None:
    journal = Journal(path, resume=True)
    disk.gate.clear()
    rows = [asyncio.create_task(journal.started([(str(number), number, None)])) for number in range(8)]
    await asyncio.sleep(0.01)
    more = [asyncio.create_task(journal.finished(done(str(number)))) for number in range(8)]
    await asyncio.sleep(0.01)
    for task in (*rows[::2], *more[::2]):
        task.cancel()
    await asyncio.sleep(0)
    disk.gate.set()

    await asyncio.wait_for(asyncio.gather(*rows[1::2], *more[1::2]), 10)
    await journal.close()

    assert set((await states(path, "01234567")).values()) == {"finished"}


async def test_closing_writes_what_is_left_also_when_it_is_cancelled(path: Path, disk: Disk) -> None:
    journal = Journal(path, resume=True)
    disk.gate.clear()
    first = asyncio.create_task(journal.started([("a", 0, None)]))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(journal.started([("b", 0, None)]))
    await asyncio.sleep(0)
    journal.refused("a")
    closing = asyncio.create_task(journal.close())
    await asyncio.sleep(0)
    closing.cancel()
    threading.Timer(0.05, disk.gate.set).start()

    with pytest.raises(asyncio.CancelledError):
        await closing
    await asyncio.wait_for(asyncio.gather(first, second), 10)

    assert await states(path, "ab") == {"a": "never", "b": "unknown"}


async def test_a_closed_journal_refuses(path: Path) -> None:
    journal = Journal(path, resume=True)
    await journal.close()
    await journal.close()

    with pytest.raises(JournalError, match="the journal is closed"):
        await journal.started([("a", 0, None)])
    with pytest.raises(JournalError, match="the journal is closed"):
        journal.refused("a")


async def test_another_thread_may_use_it(path: Path) -> None:
    journal = Journal(path, resume=True)

    async def use() -> str:
        name, _ = journal.claim("a", unique=True)
        await journal.started([(name, 0, None)])
        await journal.close()
        return name

    assert await asyncio.to_thread(asyncio.run, use()) == "a"
    assert await states(path, "a") == {"a": "unknown"}


# --- Failing disks ------------------------------------------------------------------------------------------------


async def test_a_failing_disk_ends_the_starts_and_lets_results_try_again(path: Path, disk: Disk) -> None:
    journal = Journal(path, resume=True)
    await journal.started([("a", 0, None), ("b", 1, None)])
    before = content(path)
    disk.failing = True
    outcomes = await asyncio.gather(
        journal.started([("c", 2, None)]),
        journal.finished(done("a")),
        journal.finished(done("b")),
        return_exceptions=True,
    )

    assert [type(outcome) for outcome in outcomes] == [JournalError] * 3
    assert len(set(map(id, outcomes))) == 3
    assert [outcome.run_may_have_started for outcome in outcomes if isinstance(outcome, JournalError)] == [0, 1, 1]
    assert "it cannot be written; no further rows are sent" in str(outcomes[0])
    assert content(path) == before
    count = disk.count
    with pytest.raises(JournalError, match="Input/output error"):
        await journal.started([("d", 3, None)])
    assert disk.count == count

    disk.failing = False
    await journal.finished(done("a"))
    with pytest.raises(JournalError):
        await journal.started([("d", 3, None)])
    await journal.close()
    assert await states(path, "abcd") == {"a": "finished", "b": "unknown", "c": "never", "d": "never"}


async def test_a_write_that_ends_with_any_exception_leaves_whole_lines(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(number: int) -> None:
        os.write(number, b'{"fini')
        raise MemoryError

    journal = Journal(path, resume=True)
    with monkeypatch.context() as patch:
        patch.setattr(_journal_file, "_sync", fail)
        with pytest.raises(JournalError, match="MemoryError"):
            await journal.finished(done("a"))
    await journal.finished(done("b"))
    await journal.close()

    assert await states(path, "ab") == {"a": "never", "b": "finished"}


async def test_closing_says_that_what_was_left_could_not_be_written(path: Path, disk: Disk) -> None:
    journal = Journal(path, resume=True)
    await journal.started([("a", 0, None)])
    journal.refused("a")
    disk.failing = True
    with pytest.raises(JournalError, match="Input/output error"):
        await journal.close()
    disk.failing = False

    assert await states(path, "a") == {"a": "unknown"}


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be deleted there")
async def test_a_journal_that_is_deleted_ends_the_starts(path: Path) -> None:
    journal = Journal(path, resume=True)
    await journal.started([("a", 0, None)])
    remove(path)

    with pytest.raises(JournalError, match=r"no further rows are sent.*: it was deleted, or replaced by another"):
        await journal.started([("b", 1, None)])
    with pytest.raises(JournalError, match="it was deleted") as caught:
        await journal.finished(done("a"))
    assert caught.value.run_may_have_started
    await journal.close()


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be renamed there")
async def test_a_journal_whose_folder_is_renamed_goes_on(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    journal = Journal(tmp_path / "old" / "journal", resume=True)
    await journal.started([("a", 0, None)])
    (tmp_path / "old").rename(tmp_path / "new")
    await journal.finished(done("a"))
    await journal.close()

    assert await states(tmp_path / "new" / "journal", "a") == {"a": "finished"}


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits of file sizes")
async def test_a_full_disk_leaves_whole_lines(path: Path) -> None:
    text = """
        import resource
        from scout import JournalError, Run, RunStatus
        from scout.batch._items import BatchItem

        async def attempt(record):
            try:
                await record
            except JournalError as error:
                return str(error)

        async def main():
            resource.setrlimit(resource.RLIMIT_FSIZE, (6000, resource.RLIM_INFINITY))
            journal = Journal(sys.argv[1], resume=True)
            errors = []
            for round in range(1000):
                keys = [f"{round}-{number}" for number in range(5)]
                errors = await asyncio.gather(*(attempt(journal.started([(key, 0, None)])) for key in keys))
                if any(errors):
                    break
                print("started", *keys, flush=True)
            assert all(errors) and "File too large" in errors[0]
            run = Run(None, None, None, RunStatus.COMPLETED, {"a": "x" * 100})
            ended = [attempt(journal.finished(BatchItem(0, f"{number}-0", {}, run))) for number in range(5)]
            for number, error in enumerate(await asyncio.gather(*ended)):
                if error is None:
                    print("finished", f"{number}-0", flush=True)
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            await journal.finished(BatchItem(0, "1-1", {}, run))
            print("finished", "1-1", flush=True)
            await journal.close()

        asyncio.run(main())
        """
    with program(text, path) as other:
        output, _ = other.communicate(timeout=30)
    assert other.returncode == 0
    lines = [line.split() for line in output.splitlines()]
    started = {key for word, *keys in lines if word == "started" for key in keys}
    ended = {key for word, *keys in lines if word == "finished" for key in keys}
    assert content(path).endswith(b"}\n")
    assert content(path).count(b"\n") == 1 + len(started) + len(ended)

    journal = Journal(path, resume=True)
    assert {key: state(journal, key) for key in started} == {
        key: "finished" if key in ended else "unknown" for key in started
    }
    await journal.close()


def claim_many(journal: Journal) -> None:
    for number in range(1000):
        journal.claim(str(number), unique=True)


async def test_a_full_disk_of_the_index_is_an_error_of_the_journal(path: Path) -> None:
    journal = Journal(path, resume=True)
    index = journal._index
    assert index is not None
    index._database.execute("PRAGMA max_page_count = 1")
    with pytest.raises(JournalError, match=r"the index of its keys, .*: database or disk is full") as caught:
        claim_many(journal)
    assert caught.value.run_may_have_started is False
    await journal.close()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no timers")
async def test_an_exception_of_a_signal_handler_passes_through(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(*_: object) -> None:
        raise TimeoutError("the job has no time left")

    def slow(*_: object) -> None:
        signal.raise_signal(signal.SIGALRM)

    previous = signal.signal(signal.SIGALRM, handler)
    monkeypatch.setattr(_journal_file, "_lock", slow)
    try:
        with pytest.raises(TimeoutError, match="the job has no time left"):
            Journal(path, resume=True)
    finally:
        signal.signal(signal.SIGALRM, previous)


def test_it_is_not_imported_before_it_is_used() -> None:
    code = "import scout, sys; print([name for name in sys.modules if 'sqlite3' in name or 'scout.batch' in name])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)

    assert found.stdout.strip() == "[]"


def test_the_same_key_of_another_workflow_is_another_row(path: Path) -> None:
    async def run(scope: str) -> list[bool]:
        journal = Journal(path, resume=True, scope=scope)
        key, past = journal.claim("a", unique=True)
        await journal.started([(key, 0, None)])
        await journal.finished(BatchItem(0, key, {}, run=Run("run_1", None, None, RunStatus.COMPLETED)))
        await journal.close()
        return [past is not None]

    seen = [asyncio.run(run(scope)) for scope in ("one", "two", "one", "two")]

    assert seen == [[False], [False], [True], [True]]
