"""What a crash leaves of a batch: no row is lost, none runs twice, and what may have run is listed.

The batch is a process of its own that is killed, or whose disk is full; the server counts the runs. By hand,
`SCOUT_TEST_KILLS=50` kills 50 batches of 2,000 rows instead of 2 of 120, and `SCOUT_TEST_PROFILE=deep` cuts a journal
at every byte.
"""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from batch_server import BatchServer, Reply
from servers import KEY, PATIENCE, WORKFLOW

from scout import JournalError, RunUnknownError, Scout

KILLS = int(os.environ.get("SCOUT_TEST_KILLS", "2"))
ROWS = 2000 if KILLS > 2 else 120
STEP = 1 if os.environ.get("SCOUT_TEST_PROFILE") == "deep" else 23

# A batch as a program has it: it prints each item that it was given.
PROGRAM = """
import json, os, sys
from scout import JournalError, Scout

settings = json.loads(sys.argv[1])
if settings["limit"]:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (settings["limit"], resource.RLIM_INFINITY))
with Scout(settings["key"], base_url=settings["url"]) as scout:
    rows = ({"n": n} for n in range(settings["rows"]))
    try:
        for item in scout.batch(settings["workflow"], rows, journal=settings["journal"], concurrency=16):
            os.write(1, b"%d %s\\n" % (item.index, item.outcome.encode()))
    except JournalError as error:
        os.write(1, f"{error.problem}\\n".encode())
        sys.exit(3)
"""


def start(
    server: BatchServer, journal: Path, *, rows: int = ROWS, limit: int = 0, program: str = PROGRAM
) -> subprocess.Popen[bytes]:
    settings = {
        "key": KEY, "url": server.url, "journal": str(journal), "rows": rows, "limit": limit, "workflow": WORKFLOW,
    }  # fmt: skip
    return subprocess.Popen([sys.executable, "-c", program, json.dumps(settings)], stdout=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> tuple[int, list[str]]:
    out, _ = process.communicate(timeout=PATIENCE * 3)
    return process.returncode, out.decode().splitlines()


def printed(lines: list[str]) -> set[int]:
    """Return the rows that the program was given as done, without a line that the kill has torn."""
    return {int(line.split()[0]) for line in lines if line.endswith(" done")}


def resumed(server: BatchServer, journal: Path, *, rows: int = ROWS, **options: Any) -> dict[int, Any]:
    """Run the batch again in this process; return its items by row."""
    with Scout(KEY, base_url=server.url) as scout:
        items = list(scout.batch(WORKFLOW, ({"n": n} for n in range(rows)), journal=journal, concurrency=16, **options))
    by_row = {item.inputs["n"]: item for item in items}
    assert len(by_row) == len(items), "a row was yielded twice"
    return by_row


def states(journal: Path) -> dict[str, str]:
    """Return the last word of the journal about each key, read without any code of the package."""
    words: dict[str, str] = {}
    for line in journal.read_bytes().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # torn
        words |= {entry[word]: word for word in ("started", "finished", "refused", "skipped") if word in entry}
    return words


# --- Killed -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(KILLS))
def test_after_a_kill_no_row_is_lost_and_none_runs_twice(tmp_path: Path, number: int) -> None:
    journal = tmp_path / "journal"
    # After a number of runs, spread over the whole of the batch, and some milliseconds more.
    chance = random.Random(os.urandom(8)) if KILLS > 2 else random.Random(number)
    runs = max(1, int(ROWS * (number + chance.random()) / KILLS))
    with BatchServer(lambda asked: Reply(delay=chance.random() * 0.01)) as server:
        process = start(server, journal)
        server.wait_for_runs(runs)
        time.sleep(chance.random() * 0.02)
        process.kill()
        _, lines = finish(process)
        before, left = dict(server.runs), states(journal)

        again = resumed(server, journal)
        unknown = {n for n, item in again.items() if item.outcome == "unknown"}
        print(f"killed after {len(before)} runs, {len(printed(lines))} items: {len(unknown)} unknown")

        assert set(again) == set(range(ROWS)), "a row was lost"
        assert not server.repeated(), "a row ran twice"
        assert all(again[n].ok for n in printed(lines)), "a result that was shown was lost"
        assert {again[n].key for n in unknown} == {key for key, word in left.items() if word == "started"}
        assert all(again[n].ok and again[n].run.output == n for n in again.keys() - unknown)
        assert all(isinstance(again[n].error, RunUnknownError) for n in unknown)
        assert set(server.runs) | unknown == set(range(ROWS))
        assert len(unknown) <= 16

        last = resumed(server, journal, unknown="rerun")
        assert all(item.ok for item in last.values())
        assert {n for n, item in last.items() if not item.resumed} == unknown
        assert server.repeated() <= unknown


def test_the_batch_after_a_kill_may_be_killed_as_well(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with BatchServer(lambda asked: Reply(delay=0.005)) as server:
        for part in (1, 2):
            process = start(server, journal)
            server.wait_for_runs(ROWS * part // 3)
            process.kill()
            finish(process)
        again = resumed(server, journal)

    assert set(again) == set(range(ROWS))
    assert not server.repeated()
    unknown = {n for n, item in again.items() if item.outcome == "unknown"}
    assert all(again[n].ok for n in again.keys() - unknown)
    assert set(server.runs) | unknown == set(range(ROWS))
    assert len(unknown) <= 2 * 16


def test_a_program_that_ends_in_the_middle_of_a_batch_ends(tmp_path: Path) -> None:
    # The interpreter ends its thread pools first, and closes the batch after the last thread of the program.
    program = """
import itertools, json, sys, threading, time
from scout import Scout

settings = json.loads(sys.argv[1])
batch = Scout(settings["key"], base_url=settings["url"]).batch(
    settings["workflow"], ({"n": n} for n in itertools.count()), journal=settings["journal"], concurrency=4
)
print(next(batch).index, "done")
threading.Thread(target=time.sleep, args=(0.2,)).start()
"""
    journal = tmp_path / "journal"
    with BatchServer(lambda asked: Reply(delay=0.01)) as server:
        code, lines = finish(start(server, journal, program=program))

    assert (code, len(lines)) == (0, 1)
    finished = [word for word in states(journal).values() if word == "finished"]
    assert len(server.runs) - 4 <= len(finished), "a result was lost"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_has_no_part_in_a_batch(tmp_path: Path) -> None:
    program = """
import itertools, json, os, sys, warnings
from scout import ConfigurationError, Scout

warnings.simplefilter("ignore")  # threads and forks
settings = json.loads(sys.argv[1])
rows = ({"n": n} for n in range(settings["rows"]))
batch = Scout(settings["key"], base_url=settings["url"]).batch(settings["workflow"], rows, concurrency=4)
next(batch)
if os.fork() == 0:
    try:
        next(batch)
    except ConfigurationError as error:
        os.write(1, f"{error}\\n".encode())
    sys.exit()
os.wait()
os.write(1, b"%d\\n" % len(list(batch)))
"""
    with BatchServer() as server:
        code, lines = finish(start(server, tmp_path / "journal", rows=40, program=program))

    assert code == 0
    assert "parent" in lines[0]
    assert lines[1:] == ["39"]
    assert server.runs == dict.fromkeys(range(40), 1)


def test_a_second_process_is_refused_while_the_first_runs(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with BatchServer(lambda asked: Reply(delay=0.02)) as server:
        process = start(server, journal, rows=60)
        server.wait_for_runs(5)
        with pytest.raises(JournalError) as caught:
            resumed(server, journal, rows=60)
        code, lines = finish(process)

    assert "process" in str(caught.value)
    assert code == 0
    assert printed(lines) == set(range(60))
    assert server.runs == dict.fromkeys(range(60), 1)


# --- A full disk --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit of the size of files")
def test_a_full_disk_stops_the_batch_with_nothing_lost(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with BatchServer(lambda asked: Reply(delay=0.002)) as server:
        code, lines = finish(start(server, journal, limit=8000))
        assert code == 3, lines
        ran = set(server.runs)
        assert 0 < len(ran) < ROWS
        assert journal.read_bytes().endswith(b"}\n")
        assert journal.stat().st_size <= 8000
        assert printed(lines) == ran, "what ran was not shown"

        again = resumed(server, journal)

    unknown = {n for n, item in again.items() if item.outcome == "unknown"}
    assert set(again) == set(range(ROWS))
    assert not server.repeated()
    assert len(unknown) <= 16
    assert all(again[n].ok for n in again.keys() - unknown)


# --- A torn journal -----------------------------------------------------------------------------------------------


def journal_of(lines: list[bytes], tmp_path: Path) -> Path:
    path = tmp_path / "journal"
    path.write_bytes(b"".join(lines))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The lines of the journal of a batch of three rows, one after the other."""
    path = tmp_path_factory.mktemp("journal") / "journal"
    with BatchServer() as server, Scout(KEY, base_url=server.url) as scout:
        list(scout.batch(WORKFLOW, ({"n": n} for n in range(3)), journal=path, concurrency=1))
    lines = path.read_bytes().splitlines(keepends=True)
    assert [next(iter(json.loads(line))) for line in lines[-2:]] == ["started", "finished"]
    return lines


@pytest.mark.parametrize("word", ["started", "finished"])
def test_a_journal_cut_in_its_last_line_goes_on(tmp_path: Path, whole: list[bytes], word: str) -> None:
    lines = whole if word == "finished" else whole[:-1]
    last = lines[-1]
    cuts = sorted({*range(0, len(last), STEP), 1, len(last) - 2, len(last) - 1, len(last)})
    with BatchServer() as server, Scout(KEY, base_url=server.url) as scout:
        for cut in cuts:
            server.runs.clear()
            path = journal_of([*lines[:-1], last[:cut]], tmp_path)
            given = ({"n": n} for n in range(3))
            items = list(scout.batch(WORKFLOW, given, journal=path, ordered=True, concurrency=1))

            is_whole = cut >= len(last) - 1  # only the end of the line may be missing
            outcome = {("finished", True): "done", ("started", False): "done"}.get((word, is_whole), "unknown")
            assert [item.outcome for item in items] == ["done", "done", outcome], cut
            assert server.runs == ({2: 1} if (word, is_whole) == ("started", False) else {}), cut
            assert all(line.endswith(b"}\n") for line in path.read_bytes().splitlines(keepends=True))
