"""The command `scout batch`: rows in, results out, and what happens when it is interrupted."""

import asyncio
import contextlib
import csv
import io
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from commands import PATIENCE, Done, run_here
from servers import (
    Behaviour,
    Peer,
    Received,
    Server,
    answer,
    close_unanswered,
    json_answer,
    refused_url,
    route,
    run_answer,
)

from scout import ConfigurationError, Scout
from scout.batch._journal import Journal
from scout.cli import _batch_job, _batch_rows
from scout.local import LocalScout

KEY = "secret_planted_key"
INPUTS = [
    {"key": "question", "input_type": "short_text"},
    {"key": "tone", "input_type": "short_text", "default_value": "kind"},
    {"key": "depth", "input_type": "number", "is_optional": True},
]
BLOCKS: list[dict[str, Any]] = [
    {"block_id": "inputs", "block_display_name": "Inputs", "block_archetype_id": "com.scoutos.input",
     "block_inputs": {"items": INPUTS}},
    {"block_id": "answer", "block_display_name": "Answer", "block_archetype_id": "com.scoutos.text", "is_output": True,
     "block_inputs": {"text": "{{ inputs.question }}, {{ inputs.tone }} {{ inputs.depth }}"},
     "dependencies": [{"block_id": "inputs"}]},
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "workflow.json").write_text(json.dumps({"blocks": BLOCKS}))
    write_rows(tmp_path, 3)
    return tmp_path


def write_rows(folder: Path, number: int) -> None:
    rows = [{"question": f"q{place}", "note": 'a "quoted",\nnote'} for place in range(number)]
    with (folder / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["question", "note"])
        writer.writeheader()
        writer.writerows(rows)


def question(request: Received) -> str:
    body: Any = request.json()
    return str(body["inputs"].get("question"))


def echo(request: Received) -> Behaviour:
    return json_answer(run_answer(f"to {question(request)}"))


ECHO = route(echo)


def scout(folder: Path, *args: object, url: str = "https://nothing.invalid", stdin: bytes = b"") -> Done:
    env = {**os.environ, "SCOUT_API_KEY": KEY, "SCOUT_BASE_URL": url}
    return run_here("batch", *args, env=env, cwd=folder, stdin=stdin)


def batch(
    folder: Path, *args: object, rows: object = "rows.csv", behaviour: Behaviour = ECHO, stdin: bytes = b""
) -> tuple[Done, Server]:
    with Server(behaviour) as server:
        done = scout(folder, "workflow.json", rows, *args, url=server.url, stdin=stdin)
    return done, server


def asked(server: Server) -> list[Any]:
    return [json.loads(request.body)["inputs"] for request in server.requests]


def refused(folder: Path, *args: object, rows: object = "rows.csv", stdin: bytes = b"") -> str:
    """Return the message of a command that is refused, and sends nothing."""
    done, server = batch(folder, *args, rows=rows, stdin=stdin)
    assert (done.returncode, server.hits) == (2, 0), done
    return done.stderr.splitlines()[-1].removeprefix("scout: ")


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def cells(table: str, name: str) -> list[str]:
    """The numbers in a row of the table at the end."""
    (row,) = [row for row in table.splitlines() if row.startswith(name)]
    return re.split(r"  +", row.removeprefix(name).strip())


# --- Results --------------------------------------------------------------------------------------------------------


def test_without_a_file_each_result_is_a_line_in_the_order_of_the_rows(folder: Path) -> None:
    first_has_to_wait = threading.Event()

    def choose(request: Received) -> Behaviour:
        if question(request) == "q0":
            first_has_to_wait.wait(PATIENCE)
        if question(request) == "q2":
            first_has_to_wait.set()
        return json_answer(run_answer(f"to {question(request)}"))

    done, _ = batch(folder, behaviour=route(choose))

    records = lines(done.stdout)
    assert done.returncode == 0
    assert [record["output"] for record in records] == ["to q0", "to q1", "to q2"]
    assert records[1].pop("seconds") > 0
    assert len(records[1].pop("key")) == 32
    assert records[1] == {
        "index": 1,
        "row": {"question": "q1", "note": 'a "quoted",\nnote'},
        "status": "done",
        "output": "to q1",
        "error": None,
        "price": None,
        "attempts": 1,
        "run_id": "run_1",
        "session_id": "sess_1",
    }
    assert cells(done.stderr, "done") == ["3"]
    assert sorted(path.name for path in folder.iterdir()) == ["rows.csv", "workflow.json"]  # no journal


def test_a_csv_file_has_the_columns_of_the_rows_and_the_results(folder: Path) -> None:
    def choose(request: Received) -> Behaviour:
        if question(request) == "q1":
            return json_answer(run_answer(None, stop_reason="workflow_run_failed", errors=['no "luck", today']))
        return json_answer(run_answer({"text": "a\nb", "n": 1.50} if question(request) == "q2" else 'x, "y"\n'))

    done, _ = batch(folder, "-o", "out.csv", behaviour=route(choose))

    assert done.returncode == 1
    with (folder / "out.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["question", "note", "output", "status", "error", "price", "seconds", "run_id"]
    assert [row[:4] for row in rows[1:]] == [
        ["q0", 'a "quoted",\nnote', 'x, "y"\n', "done"],
        ["q1", 'a "quoted",\nnote', "", "failed"],
        ["q2", 'a "quoted",\nnote', '{"text": "a\\nb", "n": 1.5}', "done"],
    ]
    assert rows[2][4] == 'run run_1 failed: no "luck", today'
    assert cells(done.stdout, "failed") == ["1"]
    assert '  1  RunFailedError: the run failed: no "luck", today\n' in done.stdout
    assert done.stderr.endswith("scout: 3 results in out.csv\n")


def test_rows_that_have_columns_of_our_names_keep_them(folder: Path) -> None:
    rows = b'{"question": "q", "status": 1, "output": null}\n{"question": "r", "more": [true]}\n'
    batch(folder, "-o", "out.csv", rows="-", stdin=rows)

    head, first, second = csv.reader(io.StringIO((folder / "out.csv").read_text()))
    assert head[:6] == ["question", "status", "output", "more", "scout_output", "scout_status"]
    assert first[:6] == ["q", "1", "", "", "to q", "done"]
    assert second[:4] == ["r", "", "", "[true]"]


def test_whole_runs_are_in_the_results_where_that_was_asked_for(folder: Path) -> None:
    done, _ = batch(folder, "--runs")

    assert lines(done.stdout)[0]["run"]["state"] == {"answer": {"output": "to q0"}}


def test_a_parquet_file_has_typed_columns(folder: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    batch(folder, "-o", "out.parquet", rows="-", stdin=b'{"question": "q", "n": 1, "x": [1]}\n{"question": "r"}\n')

    table = parquet.read_table(folder / "out.parquet").to_pylist()
    assert [(row["n"], row["x"], row["output"]) for row in table] == [(1, "[1]", "to q"), (None, None, "to r")]


def test_parquet_without_pyarrow_is_refused_before_anything_is_sent(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)

    assert refused(folder, "-o", "out.parquet").startswith("a .parquet file needs pyarrow: pip install pyarrow")


def test_the_numbers_can_be_one_json_object(folder: Path) -> None:
    done, _ = batch(folder, "-o", "out.jsonl", "--json")

    (document,) = lines(done.stdout)
    (numbers,) = document.pop("batches")
    assert document == {
        "workflow": "workflow.json",
        "rows": "rows.csv",
        "results": "out.jsonl",
        "interrupted": False,
        "exit_code": 0,
        "error": None,
    }
    assert (numbers["variant"], numbers["journal"], numbers["agreement"]) == (None, "out.jsonl.journal", None)
    assert (numbers["total"], numbers["done"], numbers["stopped"]) == (3, 3, None)
    assert len(lines((folder / "out.jsonl").read_text())) == 3


def test_the_key_is_not_in_any_file(folder: Path) -> None:
    batch(folder, "-o", "out.jsonl", "--runs", behaviour=json_answer(run_answer(f"your key is {KEY}")))

    for path in folder.iterdir():
        assert KEY not in path.read_text(), path


# --- What is sent ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sent", "said"),
    [
        ([], {"question": "q", "tone": "7"}, "not inputs: n, data"),
        (["--column", "depth=n"], {"question": "q", "tone": "7", "depth": "7"}, "not inputs: data"),
        (["--column", "depth:=n"], {"question": "q", "tone": "7", "depth": 7}, "not inputs: data"),
        (["--column", "question:=data"], {"question": {"a": [1]}, "tone": "7"}, "not inputs: question, n"),
        (["--input", "tone=dry", "--input", "depth:=3"], {"question": "q", "tone": "dry", "depth": 3}, "n, data"),
        (["--key", "n"], {"question": "q", "tone": "7", "n": "7"}, "not inputs: data"),
    ],
)
def test_columns_become_inputs(options: list[str], sent: object, said: str, folder: Path) -> None:
    rows = b'question,n,tone,data\nq,7,7,"{""a"": [1]}"\n'
    done, server = batch(folder, *options, rows="-", stdin=rows)

    assert asked(server) == [sent]
    assert f"{said}\n" in done.stderr
    assert lines(done.stdout)[0]["row"] == {"question": "q", "n": "7", "tone": "7", "data": '{"a": [1]}'}


def test_json_lines_are_sent_as_they_are(folder: Path) -> None:
    rows = [{"question": ["a", None], "depth": 10**30}, {"question": "Ü"}]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    _, server = batch(folder, "--column", "depth:=depth", "--concurrency", 1, rows="rows.jsonl")

    assert asked(server) == rows


def test_only_the_first_rows_are_run(folder: Path) -> None:
    done, server = batch(folder, "--limit", 2)

    assert (server.hits, cells(done.stderr, "rows")) == (2, ["2"])


def test_an_input_that_no_column_has_is_said(folder: Path) -> None:
    done, _ = batch(folder, rows="-", stdin=b"tone\ndry\n")

    assert (
        "scout: inputs that the first row of stdin has no column for: question, depth; --column question=COLUMN sends"
        in done.stderr
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--column", "tone=queston"], "--column queston: rows.csv has no such column; did you mean question?"),
        (["--column", "tone=x"], "--column x: rows.csv has no such column; it has question, note"),
        (["--key", "nota"], "--key nota: rows.csv has no such column; did you mean note?"),
        (["--column", "tone"], "argument --column: 'tone' is neither INPUT=COLUMN nor INPUT:=COLUMN"),
        (["--column", "tone:=note"], "row 1: the cell note is not JSON: Expecting value"),
        (["--limit", "0"], "--limit must be a whole number, 1 or more, not 0"),
        (["--concurrency", "0"], "--concurrency must be a whole number, 1 or more, not 0"),
        (["--rate", "-1"], "--rate must be a number of requests per second, more than 0"),
        (["--stop-after-failures", "0"], "--stop-after-failures must be a whole number, 1 or more"),
        (["--unknown", "aks"], "argument --unknown: 'aks' is none of ask, skip, rerun; did you mean ask?"),
        (["--json"], "--json prints the numbers at the end, and stdout has the results; give --output"),
        (["--resume"], "--resume needs a journal; give --output or --journal"),
        (["-o", "x.csv", "--resume", "--overwrite"], "--overwrite begins anew, and --resume goes on"),
        (["-o", "x.csv", "--runs"], "--runs is for results of JSON Lines, and --output has another form"),
        (["-o", "x.txt"], "--output x.txt: the name of a file of results ends in .jsonl, .csv or .parquet"),
        (["-o", "no/x.csv"], "--output no/x.csv: cannot be written: No such file or directory"),
        (["-o", "rows.csv", "--overwrite"], "ROWS and --output are the same file, rows.csv"),
        (["--journal", "rows.csv", "--resume"], "ROWS and the journal are the same file, rows.csv"),
        (["--stubs", "s.yml"], "--stubs is for the local Scout; give --local as well"),
        (["--local", "--dask", "tcp://x:1"], "--dask runs on other machines, and --local on this one"),
        (["--variant", "x"], "argument --variant: 'x' is not NAME=FILE"),
        (["--variant", "a/b="], "argument --variant: 'a/b=' is not NAME=FILE"),
        (["--variant", "a=", "--variant", "a="], "--variant a is given twice; give each another name"),
        (["--variant", "a=no.yml"], "cannot read the patch of --variant a: No such file or directory"),
    ],
)
def test_a_mistake_in_the_command_line_is_explained(options: list[str], said: str, folder: Path) -> None:
    assert refused(folder, *options).startswith(said)


def test_the_first_line_tells_the_format_where_the_name_does_not(folder: Path) -> None:
    (folder / "rows.txt").write_bytes(b'\xef\xbb\xbfquestion;n\r\n"a\r\nb";1\r\n')
    _, server = batch(folder, rows="rows.txt")

    assert asked(server) == [{"question": "a\r\nb"}]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.csv", "a,b\n1,2\n", "no column of x.csv is an input of the workflow: it has a, b, and the workflow has"),
        (
            "x.csv",
            "Question\n1\n",
            "say which column is which input, such as --column question=Question (Question; did",
        ),
        ("x.csv", "my text\n1\n", "such as --column 'question=my text'"),
        ("x.csv", "question\na\nb,c\n", "x.csv, line 3: the row has 2 fields"),
        ("x.jsonl", '{"question": 1}\n{oops}\n', "x.jsonl, line 2, column 2: "),
        ("x.csv", "", "x.csv: is empty"),
        ("x.json", "[]", "x.json, line 1: is a list; each line is an object"),
        (".", None, "cannot read the rows: .: Is a directory"),
        ("no.csv", None, "cannot read the rows: no.csv: No such file or directory"),
    ],
)
def test_rows_that_cannot_be_run_are_refused_as_a_whole(name: str, text: str | None, said: str, folder: Path) -> None:
    if text is not None:
        (folder / name).write_text(text)

    assert said in refused(folder, rows=name)


def test_no_rows_are_no_mistake(folder: Path) -> None:
    (folder / "rows.csv").write_text("question\n")
    done, server = batch(folder, "-o", "out.csv")

    assert (done.returncode, server.hits) == (0, 0)
    assert done.stderr.startswith("scout: rows.csv has no rows\n")
    assert (folder / "out.csv").read_text().startswith("output,status")


def test_a_workflow_with_mistakes_is_not_run(folder: Path) -> None:
    blocks = [*BLOCKS, {**BLOCKS[1], "dependencies": [{"block_id": "nothing"}]}]
    (folder / "workflow.json").write_text(json.dumps({"blocks": blocks}))

    assert "has 2 errors, and nothing was sent" in refused(folder)
    done, server = batch(folder, "--no-check")
    assert (done.returncode, server.hits) == (0, 3)


def test_rows_that_do_not_end_are_read_as_far_as_they_are_needed(folder: Path) -> None:
    reader, writer = os.pipe()

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(writer, "wb", buffering=0) as end:
            for number in itertools.count():
                end.write(b'{"question": "q%d"}\n' % number)

    thread = threading.Thread(target=write)
    thread.start()
    with Server(ECHO) as server, os.fdopen(reader, "rb") as begin, patch.object(_batch_rows, "_stdin", lambda: begin):
        done = scout(folder, "workflow.json", "-", "--limit", 5, url=server.url)
    thread.join(PATIENCE)

    assert [record["output"] for record in lines(done.stdout)] == [f"to q{number}" for number in range(5)]
    assert not thread.is_alive()


# --- Going on -------------------------------------------------------------------------------------------------------


def test_a_batch_goes_on_where_it_ended(folder: Path) -> None:
    first, one = batch(folder, "-o", "out.jsonl", "--limit", 2)
    write_rows(folder, 4)
    second, two = batch(folder, "-o", "out.jsonl", "--resume")

    assert (first.returncode, second.returncode) == (0, 0)
    assert (one.hits, sorted(sent["question"] for sent in asked(two))) == (2, ["q2", "q3"])
    assert [record["output"] for record in lines((folder / "out.jsonl").read_text())] == [f"to q{n}" for n in range(4)]
    assert cells(second.stdout, "from the journal") == ["2"]


@pytest.mark.parametrize("there", ["out.jsonl", "out.jsonl.journal"])
def test_what_is_there_is_not_replaced_by_itself(there: str, folder: Path) -> None:
    (folder / there).write_text("mine\n")

    assert refused(folder, "-o", "out.jsonl") == (
        f"{there} exists already; --resume goes on with that batch, --overwrite begins anew"
    )
    assert (folder / there).read_text() == "mine\n"


def test_a_batch_can_begin_anew(folder: Path) -> None:
    batch(folder, "-o", "out.jsonl", "--limit", 2)
    done, server = batch(folder, "-o", "out.jsonl", "--overwrite")

    assert (done.returncode, server.hits) == (0, 3)
    assert len(lines((folder / "out.jsonl").read_text())) == 3


@pytest.mark.parametrize("option", ["--overwrite", "--resume"])
def test_a_file_that_is_not_a_journal_is_kept(option: str, folder: Path) -> None:
    (folder / "notes").write_text("mine\n")
    done, server = batch(folder, "--journal", "notes", option)

    assert (done.returncode, server.hits, done.stdout) == (2, 0, "")
    assert done.stderr.splitlines()[-1].startswith("scout: notes, line 1: it is not a journal")
    assert "rows " not in done.stderr.replace("rows.csv", "")  # no table of zeros, and no advice to go on
    assert (folder / "notes").read_text() == "mine\n"


def test_a_batch_that_runs_is_not_overwritten(folder: Path) -> None:
    batch(folder, "-o", "out.jsonl", "--limit", 1)
    journal = Journal(folder / "out.jsonl.journal", resume=True)

    assert "another process has this journal open" in refused(folder, "-o", "out.jsonl", "--overwrite")
    asyncio.run(journal.close())
    assert b'"finished"' in (folder / "out.jsonl.journal").read_bytes()


def test_a_batch_that_takes_nothing_from_its_journal_says_so(folder: Path) -> None:
    batch(folder, "-o", "out.jsonl", "--limit", 1)
    again, _ = batch(folder, "-o", "out.jsonl", "--resume")
    other, server = batch(folder, "-o", "out.jsonl", "--resume", "--input", "tone=dry")

    warning = "scout: warning: the first rows have no result in out.jsonl.journal, so they are sent; if you expected"
    assert warning not in again.stderr
    assert (other.stderr.count(warning), server.hits) == (1, 3)


def test_results_of_an_earlier_batch_are_not_replaced_by_fewer(folder: Path) -> None:
    batch(folder, "-o", "out.jsonl")
    before = (folder / "out.jsonl").read_text()
    (folder / "out.jsonl.journal").unlink()
    done, _ = batch(folder, "-o", "out.jsonl", "--resume", "--concurrency", 1, behaviour=answer(401))

    assert done.returncode == 2
    assert "out.jsonl stays as it is, with more results than there are now" in done.stderr
    assert (folder / "out.jsonl").read_text() == before


# --- Rows that may have run -----------------------------------------------------------------------------------------


@pytest.fixture
def interrupted(folder: Path) -> Path:
    """A folder with a batch in which it is not known how the run of the second row ended."""
    lost = route(lambda request: close_unanswered if question(request) == "q1" else echo(request))
    done, _ = batch(folder, "-o", "out.jsonl", behaviour=lost)
    assert done.returncode == 1
    assert [record["status"] for record in lines((folder / "out.jsonl").read_text())] == ["done", "unknown", "done"]
    assert "scout: 1 row may have run, and nothing says how that ended; --resume asks about it" in done.stderr
    return folder


OPEN = """\
scout: 1 row may have run in an earlier batch, and nothing says how that ended:
scout:   row 2, {"question": "q1"}
"""


def test_rows_that_may_have_run_are_not_sent_again_by_themselves(interrupted: Path) -> None:
    for _ in range(2):
        done, server = batch(interrupted, "-o", "out.jsonl", "--resume")

        assert (done.returncode, server.hits, cells(done.stdout, "unknown")) == (1, 0, ["1"])
        assert OPEN in done.stderr
        assert (
            "scout: --resume --unknown rerun sends it again, and --resume --unknown skip leaves it for good\n"
            in done.stderr
        )


def test_rows_that_may_have_run_are_sent_again_where_that_was_asked_for(interrupted: Path) -> None:
    done, server = batch(interrupted, "-o", "out.jsonl", "--resume", "--unknown", "rerun")

    assert (done.returncode, [sent["question"] for sent in asked(server)]) == (0, ["q1"])
    assert "may have run" not in done.stderr


def test_rows_that_may_have_run_can_be_settled(interrupted: Path) -> None:
    batch(interrupted, "-o", "out.jsonl", "--resume", "--unknown", "skip")
    done, server = batch(interrupted, "-o", "out.jsonl", "--resume", "--unknown", "rerun")

    assert (done.returncode, server.hits, cells(done.stdout, "unknown")) == (1, 0, ["1"])


@pytest.mark.parametrize(("reply", "code", "hits"), [("y\n", 0, 1), ("\n", 1, 0), ("", 1, 0)])
def test_on_a_terminal_it_asks_once(reply: str, code: int, hits: int, interrupted: Path) -> None:
    with patch.object(_batch_job, "can_ask", lambda: True):
        done, server = batch(interrupted, "-o", "out.jsonl", "--resume", stdin=reply.encode())

    assert (done.returncode, server.hits) == (code, hits)
    assert f"{OPEN}scout: run it again? [y/N] " in done.stderr
    assert cells(done.stdout[done.stdout.rindex("rows") :], "from the journal") == [str(3 - hits)]
    outputs = [record["output"] for record in lines((interrupted / "out.jsonl").read_text())]
    assert outputs == ["to q0", "to q1" if hits else None, "to q2"]


def test_rows_that_can_be_read_once_are_not_asked_about(interrupted: Path) -> None:
    with patch.object(_batch_job, "can_ask", lambda: True):
        rows = (interrupted / "rows.csv").read_bytes()
        done, server = batch(interrupted, "-o", "out.jsonl", "--resume", rows="-", stdin=rows)

    assert (done.returncode, server.hits) == (1, 0)
    assert "[y/N]" not in done.stderr


# --- Variants -------------------------------------------------------------------------------------------------------


def text_sent(request: Received) -> str:
    body: Any = request.json()
    return str(body["workflow_config"]["blocks"][1]["block_inputs"]["text"])


VARIANTS: Behaviour = route(
    lambda request: json_answer(run_answer("same" if question(request) == "q0" else text_sent(request)))
)


def test_variants_stand_side_by_side(folder: Path) -> None:
    (folder / "short.yml").write_text("answer:\n  text: '{{ inputs.question }}'\n")
    (folder / "long.json").write_text('{"answer.text": "{{ inputs.tone }}", "answer..block_display_name": "Long"}')
    options = ["--variant", "now=", "--variant", "short=short.yml", "--variant", "long=long.json", "--limit", 2]
    done, server = batch(folder, "-o", "out.csv", *options, behaviour=VARIANTS)

    assert (done.returncode, server.hits) == (0, 6)
    assert done.stdout.splitlines()[0].split() == ["now", "short", "long"]
    assert cells(done.stdout, "same output as now") == ["50%", "50%"]
    with (folder / "out.csv").open(newline="") as file:
        found = [(row["question"], row["variant"], row["output"]) for row in csv.DictReader(file)]
    assert found == [
        *(("q0", name, "same") for name in ("now", "short", "long")),
        ("q1", "now", "{{ inputs.question }}, {{ inputs.tone }} {{ inputs.depth }}"),
        ("q1", "short", "{{ inputs.question }}"),
        ("q1", "long", "{{ inputs.tone }}"),
    ]
    again, more = batch(folder, "-o", "out.csv", *options, "--resume", "--json", behaviour=VARIANTS)
    assert (again.returncode, more.hits) == (0, 0)
    numbers = json.loads(again.stdout)["batches"]
    assert [(each["variant"], each["resumed"], each["agreement"]) for each in numbers] == [
        ("now", 2, None),
        ("short", 2, 0.5),
        ("long", 2, 0.5),
    ]


def test_each_variant_has_its_own_journal(folder: Path) -> None:
    done, server = batch(folder, "-o", "out.jsonl", "--variant", "a=", "--variant", "b=", "--key", "question")

    assert (server.hits, cells(done.stdout, "same output as a")) == (6, ["100%"])
    assert sorted(path.name for path in folder.glob("*journal*")) == ["out.jsonl.journal.a", "out.jsonl.journal.b"]


def test_rows_from_stdin_are_there_for_every_variant(folder: Path) -> None:
    (folder / "short.yml").write_text("answer.text: '{{ inputs.question }}'\n")
    done, server = batch(folder, "--variant", "a=", "--variant", "b=short.yml", rows="-", stdin=b"question\nq0\nq1\n")

    assert (server.hits, cells(done.stderr, "same output as a")) == (4, ["100%"])
    assert [(record["variant"], record["index"]) for record in lines(done.stdout)] == [
        ("a", 0), ("a", 1), ("b", 0), ("b", 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("patch_text", "said"),
    [
        ("answr.text: x", "--variant a: answr.text: there is no block answr; did you mean answer?"),
        ("answer: {text: {a: 1}, dependencies: 1}", "--variant a: answer.dependencies: dependencies is a field of"),
        ("- 1", "--variant a: patch.yml must be a mapping, such as answer.temperature: 0.2"),
        ("{}", "--variant a: patch.yml must be a mapping"),
        ("answer: 5", "--variant a: answer: name a field of the block as well, such as answer.temperature"),
        ("a: [", "patch.yml, line 1, column 5"),
        ("answer..dependencies: [{block_id: nothing}]", "has 1 error, and nothing was sent"),
    ],
)
def test_a_patch_that_does_not_fit_is_explained(patch_text: str, said: str, folder: Path) -> None:
    (folder / "patch.yml").write_text(patch_text)

    assert said in refused(folder, "--variant", "a=patch.yml")


def test_what_is_wrong_with_all_variants_is_said_once(folder: Path) -> None:
    (folder / "workflow.json").write_text(json.dumps({"blocks": [*BLOCKS, {**BLOCKS[1], "block_id": "other"}]}))
    done, _ = batch(folder, "--variant", "a=", "--variant", "b=", "--limit", 1)

    warnings = [line for line in done.stderr.splitlines() if "warning" in line]
    assert warnings
    assert len(warnings) == len(set(warnings))


# --- Stored workflows, and the local Scout --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def local_scout() -> Iterator[LocalScout]:
    with LocalScout(api_key=KEY) as server:
        yield server


def test_a_stored_workflow_gets_all_columns(folder: Path, local_scout: LocalScout) -> None:
    with Scout(KEY, base_url=local_scout.url) as client:
        stored = client.workflows.deploy({"blocks": BLOCKS}, key="greet").workflow
    for name in ("key:greet", stored.id):
        done = scout(folder, name, "rows.csv", "--limit", 1, url=local_scout.url)

        (record,) = lines(done.stdout)
        assert (done.returncode, record["output"].split(",")[0]) == (0, "q0")
        body: Any = local_scout.requests[-1].json
        assert body["inputs"].keys() == {"question", "note"}
        assert re.fullmatch("scout-py-[0-9a-f]{32}", record["session_id"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--local"], "a stored workflow is run as it is stored; --local, --set and --variant are for files"),
        (["--set", "a.b=c"], "a stored workflow is run as it is stored"),
        (["--workflow-key", "x"], "--workflow-key is for a file, and a stored workflow has its own"),
    ],
)
def test_options_of_files_are_not_for_stored_workflows(options: list[str], said: str, folder: Path) -> None:
    done = scout(folder, "key:x", "rows.csv", *options)

    assert (done.returncode, done.stderr.removeprefix("scout: ").startswith(said)) == (2, True), done


def test_it_runs_on_the_local_scout(folder: Path) -> None:
    done = scout(folder, "workflow.json", "rows.csv", "--local", "--set", "answer.text={{ inputs.question }}!")

    assert [record["output"] for record in lines(done.stdout)] == ["q0!", "q1!", "q2!"]


def test_a_cluster_that_is_not_there_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(address: str) -> None:
        raise ConfigurationError(f"there is no Dask scheduler at {address!r}: refused")

    monkeypatch.setattr("scout.batch._dask.DaskEngine.connect", connect)

    assert refused(folder, "--dask", "tcp://x:1") == "there is no Dask scheduler at 'tcp://x:1': refused"


# --- How it ends ----------------------------------------------------------------------------------------------------


def test_failures_can_stop_it(folder: Path) -> None:
    write_rows(folder, 20)
    failing = json_answer(run_answer(stop_reason="workflow_run_failed"))
    done, server = batch(folder, "-o", "o.csv", "--stop-after-failures", 2, "--concurrency", 1, behaviour=failing)

    assert (done.returncode, server.hits < 6) == (1, True)
    assert "scout: stopped: 2 rows are not done\n" in done.stderr
    assert done.stderr.endswith("scout: the same command with --resume goes on\n")
    assert re.fullmatch(r"\d of 20", *cells(done.stdout, "rows"))


def test_a_server_that_refuses_every_row_stops_it(folder: Path) -> None:
    write_rows(folder, 50)
    done, server = batch(folder, "--concurrency", 2, behaviour=answer(401))

    assert (done.returncode, server.hits < 12) == (2, True)
    assert "scout: stopped, because the other rows would fail as well:\nscout: 401 Unauthorized" in done.stderr


def test_rows_that_never_started_are_sent_when_it_goes_on(folder: Path) -> None:
    with refused_url() as url:
        first = scout(folder, "workflow.json", "rows.csv", "-o", "o.csv", "--retries", 0, url=url)
    second, server = batch(folder, "-o", "o.csv", "--resume")

    assert first.returncode == 1
    assert first.stderr.endswith("scout: 3 rows never started\nscout: the same command with --resume goes on\n")
    assert (second.returncode, server.hits) == (0, 3)


def test_a_key_that_stands_twice_fails_its_second_row(folder: Path) -> None:
    (folder / "rows.csv").write_text("question,id\na,1\nb,2\nc,1\n")
    done, server = batch(folder, "-o", "o.jsonl", "--key", "id")

    assert (done.returncode, server.hits) == (1, 2)
    records = lines((folder / "o.jsonl").read_text())
    assert [(record["key"], record["status"]) for record in records] == [("1", "done"), ("2", "done"), ("1", "failed")]
    assert "never started" not in done.stderr  # to go on would not help


@pytest.mark.usefixtures("no_waiting")
def test_a_network_that_fails_stops_it(folder: Path) -> None:
    write_rows(folder, 90)
    with refused_url() as url:
        done = scout(folder, "workflow.json", "rows.csv", "--concurrency", 4, url=url)

    assert (done.returncode, len(lines(done.stdout)) < 50) == (3, True)
    assert done.stderr.count("so rows wait and are tried again") == 1


def test_rate_limits_that_last_stop_it(folder: Path) -> None:
    busy = answer(429, headers={"Retry-After": "60"})
    done, _ = batch(folder, "-o", "o.csv", "--rate-limit-timeout", 1, behaviour=busy)

    assert (done.returncode, (folder / "o.csv").exists()) == (3, False)
    assert "retry after 60 s" in done.stderr


def test_the_error_that_ended_it_is_in_the_json(folder: Path) -> None:
    done, _ = batch(folder, "-o", "o.csv", "--json", behaviour=answer(401))

    document = json.loads(done.stdout)
    assert (document["exit_code"], document["error"]["type"]) == (2, "AuthenticationError")


def test_a_stream_of_rows_that_breaks_keeps_what_has_ended(folder: Path) -> None:
    done, _ = batch(folder, "-o", "o.jsonl", rows="-", stdin=b"question\nq0\nq1,extra\n")

    assert done.returncode == 2
    assert "scout: stdin, line 3: the row has 2 fields" in done.stderr
    assert [record["output"] for record in lines((folder / "o.jsonl").read_text())] == ["to q0"]


def ctrl_c() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_finishes_what_runs(folder: Path) -> None:
    write_rows(folder, 40)

    def behave(peer: Peer) -> None:
        request = peer.request()
        if question(request) == "q1":
            ctrl_c()
            peer.wait(0.1)
        echo(request)(peer)

    done, server = batch(folder, "-o", "o.jsonl", "--concurrency", 2, "--json", behaviour=behave)

    assert done.returncode == 130
    assert "scout: finishing the runs that are under way; Ctrl-C again stops at once\n" in done.stderr
    records = lines((folder / "o.jsonl").read_text())
    assert {record["status"] for record in records} == {"done"}
    assert 2 <= len(records) == server.hits < 40
    assert json.loads(done.stdout)["interrupted"] is True
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_second_ctrl_c_stops_at_once(folder: Path) -> None:
    write_rows(folder, 40)
    again = threading.Event()

    def behave(peer: Peer) -> None:
        request = peer.request()
        if question(request) == "q0":
            echo(request)(peer)
        elif not again.is_set():
            again.set()
            ctrl_c()
            peer.wait(0.1)
            ctrl_c()
            peer.wait(PATIENCE)
        else:
            peer.wait(PATIENCE)

    done, _ = batch(folder, "-o", "o.jsonl", "--concurrency", 2, behaviour=behave)

    assert done.returncode == 130
    assert "scout: interrupted; what was under way may have run\n" in done.stderr
    assert [record["output"] for record in lines((folder / "o.jsonl").read_text())] == ["to q0"]
    resumed, _ = batch(folder, "-o", "o.jsonl", "--resume", "--limit", 6)
    assert cells(resumed.stdout, "from the journal")[0] >= "2"
    assert int(cells(resumed.stdout, "unknown")[0]) in (1, 2)


PROCESS = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored in the background jobs of a script
from scout.cli import main
sys.exit(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_process_of_its_own_is_stopped_by_a_second_ctrl_c(folder: Path) -> None:
    def behave(peer: Peer) -> None:
        request = peer.request()
        if question(request) != "q0":
            peer.wait(PATIENCE)
        echo(request)(peer)

    argv = ["batch", "workflow.json", "rows.csv", "-o", "o.jsonl"]
    with Server(behave) as server:
        env = {**os.environ, "SCOUT_API_KEY": KEY, "SCOUT_BASE_URL": server.url}
        running = subprocess.Popen(
            [sys.executable, "-c", PROCESS, *argv], cwd=folder, env=env, stderr=subprocess.PIPE, text=True
        )
        assert running.stderr is not None
        try:
            server.wait_until(lambda: b'"finished"' in journal_of(folder) and server.hits == 3)
            time.sleep(0.1)  # the item of q0 is on its way to the results
            running.send_signal(signal.SIGINT)
            assert any("finishing the runs" in line for line in running.stderr)
            time.sleep(0.1)  # a signal that arrives just before Python waits is noticed when it has waited
            running.send_signal(signal.SIGINT)
            _, err = running.communicate(timeout=PATIENCE)
        finally:
            running.kill()
            running.wait()

    assert (running.returncode, "interrupted" in err) == (130, True)
    assert [record["output"] for record in lines((folder / "o.jsonl").read_text())] == ["to q0"]


def journal_of(folder: Path) -> bytes:
    path = folder / "o.jsonl.journal"
    return path.read_bytes() if path.exists() else b""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX pipes")
def test_a_reader_that_leaves_ends_it(folder: Path) -> None:
    write_rows(folder, 40)

    def leave(*_: object, **__: object) -> None:
        raise BrokenPipeError

    with patch.object(_batch_job, "answer", leave), patch("scout.cli._command._drop_output"):
        done, server = batch(folder, "--concurrency", 2)

    assert (done.returncode, server.hits < 40) == (141, True)


# --- Progress -------------------------------------------------------------------------------------------------------


def test_a_log_has_lines_that_begin_as_all_messages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scout.batch._progress._Lines.show", lambda self: self._print())
    done, _ = batch(folder, "--variant", "now=", "-o", "o.csv")

    assert re.search(r"^scout: now 3 of 3 rows", done.stderr, re.MULTILINE)


def test_help_has_examples_that_can_be_parsed(folder: Path) -> None:
    done = scout(folder, "--help")

    assert "examples:\n  scout batch workflow.yml rows.csv -o results.csv --local\n" in done.stdout
