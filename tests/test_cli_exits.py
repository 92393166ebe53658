"""The exit codes of the `scout` command, as the documentation has them, and the places in files that a 422 names."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import PATIENCE, Done, command, run_here
from servers import Behaviour, Peer, Server, answer, chunked, close_unanswered, html, json_answer, refused_url, silent
from servers import run_answer as run_body

from scout import Scout
from scout.cli import main
from scout.local import LocalScout

ROOT = Path(__file__).parent.parent
WORKFLOW = """\
workflow_key: hello
workflow_config:
  blocks:
    - block_id: answer
      block_display_name: Answer
      block_archetype_id: com.scoutos.text
      is_output: true
      block_inputs:
        text: Hello
"""

FAILED = run_body(stop_reason="workflow_run_failed", errors=["out of order"])
STARTED = run_body(stop_reason="workflow_run_started", state={})


def environment(url: str) -> dict[str, str]:
    return {**os.environ, "SCOUT_API_KEY": "secret_planted_key", "SCOUT_BASE_URL": url}


def scout(*args: object, url: str) -> Done:
    return run_here(*args, env=environment(url))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "workflow.yml"
    path.write_text(WORKFLOW)
    return path


def ctrl_c(peer: Peer) -> None:
    """Interrupt the main thread, which waits for the answer, and never answer."""
    peer.request()
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    peer.wait(PATIENCE)


# --- The table in the documentation -----------------------------------------------------------------------------------

Scenario = Callable[[Path], int]


def answered(behaviour: Behaviour, *options: object) -> Scenario:
    def scenario(file: Path) -> int:
        with Server(behaviour) as server:
            return scout("run", file, "--retries", 0, *options, url=server.url).returncode

    return scenario


def batch_of_one(file: Path) -> int:
    rows = file.with_name("rows.csv")
    rows.write_text("a\n1\n")
    with Server(json_answer(FAILED)) as server:
        return scout("batch", file, rows, url=server.url).returncode


def not_sent(*args: object, base_url: str = "https://nothing.invalid") -> Scenario:
    return lambda file: scout("run", *(args or [file]), url=base_url).returncode


def planned(*options: object) -> Scenario:
    def scenario(file: Path) -> int:
        with Server(json_answer({"data": [], "has_more": False})) as server:
            return scout("deploy", file, "--dry-run", *options, url=server.url).returncode

    return scenario


def promoted(_: Path) -> int:
    with LocalScout() as server, Scout("any", base_url=server.url) as client:
        made = client.workflows.create({"blocks": []}, key="k")
        client.workflows.set_environment(made.id, "production", revision_id=made.revision_id)
        client.workflows.create_revision({"blocks": [], "tags": ["new"]}, id=made.id)
        words = ("staging", "production", "--dry-run", "--exit-code")
        return scout("promote", "k", *words, url=server.url).returncode


def refused(file: Path) -> int:
    with refused_url() as url:
        return scout("run", file, "--retries", 0, url=url).returncode


def written_to(open_output: Callable[[], int]) -> Scenario:
    def scenario(file: Path) -> int:
        with Server(json_answer(run_body())) as server:
            out = open_output()
            try:
                return subprocess.run(
                    command("run", file), env=environment(server.url), stdout=out, stderr=subprocess.DEVNULL
                ).returncode
            finally:
                os.close(out)

    return scenario


def pipe_without_reader() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def full_disk() -> int:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    return os.open("/dev/full", os.O_WRONLY)


def asked_log(behaviour: Behaviour) -> Scenario:
    def scenario(_: Path) -> int:
        with Server(behaviour) as server:
            return scout("runs", "find", "wf_1", "sess_1", "--within", 0.1, url=server.url).returncode

    return scenario


CUT = chunked([b'data: {"name": "workflow_run_started"}\n\n'], content_type="text/event-stream")

ROWS: dict[str, list[Scenario]] = {
    "0 done": [answered(json_answer(run_body()))],
    "1 the run failed": [answered(json_answer(FAILED)), answered(json_answer(FAILED), "--json"), batch_of_one],
    "1 problems or differences were found": [
        lambda file: scout("check", ROOT / "LICENSE", url="").returncode,
        lambda file: scout("diff", file, ROOT / "examples/classify/workflow.yml", url="").returncode,
    ],
    "1 `scout deploy` or `scout promote` with `--dry-run --exit-code` would change something": [
        planned("--exit-code"),
        promoted,
    ],
    "2 the command line or a variable of the environment is wrong": [
        not_sent("--steam", "workflow.yml"),
        not_sent(base_url="api.scoutos.com"),
    ],
    "2 a file cannot be read, or is not a workflow": [not_sent("missing.yml"), not_sent(ROOT / "LICENSE")],
    "2 the API refused the request": [
        answered(answer(status)) for status in (302, 400, 401, 402, 403, 404, 405, 409, 413, 418, 422)
    ],
    "2 the output cannot be written": [written_to(full_disk)],
    "3 429": [answered(answer(429, headers={"Retry-After": "900"}))],
    "3 408, or 500 and above": [answered(answer(status)) for status in (408, 500, 502, 503, 504, 529)],
    "3 no connection, or it broke": [refused, answered(close_unanswered)],
    "3 a time limit was reached": [answered(silent(), "--timeout", 0.1), answered(silent(), "--deadline", 0.1)],
    "3 the answer cannot be understood": [answered(html("<h1>Hi</h1>"))],
    "3 the answer ended before the run did": [
        answered(CUT, "--stream"),
        answered(json_answer(STARTED)),
        answered(json_answer(STARTED), "--json"),
    ],
    "3 `scout runs find` did not find the run in time, or it still runs": [
        asked_log(answer(404)),
        asked_log(json_answer({"workflow_run_id": "run_1", "status": "running"})),
    ],
    "130 Ctrl-C": [answered(ctrl_c), answered(ctrl_c, "--stream")],
    "141 the reader of the output has gone": [written_to(pipe_without_reader)],
}


def documented() -> list[str]:
    table = (
        (ROOT / "docs/command-line.md").read_text(encoding="utf-8").partition("| exit code |")[2].partition("\n\n")[0]
    )
    return [f"{code} {what}" for code, what in re.findall(r"^\| (\d+) \| (.*) \|$", table, re.MULTILINE)]


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and pipes")
@pytest.mark.parametrize("row", documented(), ids=lambda row: row[:40])
def test_each_row_of_the_table_is_true(row: str, file: Path) -> None:
    (scenarios,) = [found for begins, found in ROWS.items() if row.startswith(begins)]

    assert [scenario(file) for scenario in scenarios] == [int(row.split()[0])] * len(scenarios)


def test_the_table_has_every_row() -> None:
    assert len(documented()) == len(ROWS)


def test_help_has_the_same_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0

    epilog = capsys.readouterr().out.partition("exit codes:\n")[2].partition("\n\n")[0]
    assert re.findall(r"^ +(\d+) ", epilog, re.MULTILINE) == list(dict.fromkeys(row.split()[0] for row in documented()))


def test_a_run_that_has_not_ended_may_go_on(file: Path) -> None:
    with Server(json_answer(STARTED)) as server:
        done = scout("run", file, url=server.url)

    ids = f"{STARTED['workflow_id']} {STARTED['run']['session_id']}"
    assert done.stderr.splitlines()[-2:] == [
        "scout: this is not the whole answer; the run may go on, so make sure before you run it again",
        f"scout: to find out what became of it: scout runs find {ids}",
    ]


# --- What is refused before it is sent --------------------------------------------------------------------------------

FOREIGN = {
    "docker-compose.yml": ("services:\n  web: {image: nginx}\n", "line 1, column 1: this is not a workflow"),
    "package.json": ('{"name": "app", "version": "1.0.0"}', "line 1, column 1: this is not a workflow"),
    "tasks.yml": ("nodes: []\nedges: []\n", "line 1, column 1: this is not a workflow"),
    "bloks.yml": ("x: 1\nbloks: []\n", "line 2, column 1: bloks: this is not a workflow"),
    "empty.yml": ("{}", "line 1, column 1: this is not a workflow"),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize(
    "action", ["run FILE", "run FILE --stream", "run FILE --local", "workflows deploy FILE --key k", "local --port 0"]
)
def test_a_file_of_another_program_is_not_sent(action: str, name: str, tmp_path: Path) -> None:
    text, words = FOREIGN[name]
    path = tmp_path / name
    path.write_text(text)
    argv = [str(path) if word == "FILE" else word for word in action.split()]
    with Server(json_answer({})) as server:
        done = scout(*argv, *(["--workflows", tmp_path] if argv[0] == "local" else []), url=server.url)

    assert (done.returncode, done.stdout, server.hits) == (2, "", 0)
    assert done.stderr.startswith(f"scout: {path}, {words}")
    assert ("did you mean 'blocks'?" if name == "bloks.yml" else "give a workflow file, or add blocks") in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("json", "words"),
    [
        ('["\\ud83d"]', "inputs.x[0]: the text holds half of a surrogate pair"),
        ('{"\\udc00": 1}', "inputs.x: the key '\\udc00' holds half of a surrogate pair"),
        ("[1, NaN]", "inputs.x[1]: nan is not JSON"),
        ('{"y": -Infinity}', "inputs.x.y: -inf is not JSON"),
        ('{"y": 1, "y": 2}', 'an object has the duplicate key "y"'),
    ],
)
@pytest.mark.parametrize("option", ["--input", "--inputs"])
@pytest.mark.parametrize("action", ["run FILE", "run FILE --stream", "workflows run wf_1"])
def test_inputs_that_are_not_json_are_not_sent(action: str, option: str, json: str, words: str, file: Path) -> None:
    value: object = f"x:={json}"
    if option == "--inputs":
        value = file.with_name("inputs.json")
        value.write_text(f'{{"x": {json}}}')
        words = words.removeprefix("inputs.")  # line and column say where
    argv = [str(file) if word == "FILE" else word for word in action.split()]
    with Server(json_answer({})) as server:
        done = scout(*argv, option, value, url=server.url)

    assert (done.returncode, done.stdout, server.hits) == (2, "", 0)
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_input_in_another_encoding_is_not_sent(file: Path) -> None:
    with Server(json_answer({})) as server:
        done = scout("run", file, "--input", os.fsdecode(b"x=caf\xe9"), url=server.url)

    assert (done.returncode, server.hits) == (2, 0)
    assert "inputs.x: the text holds half of a surrogate pair" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit for the length of a name")
@pytest.mark.parametrize(
    "action",
    [
        "run LONG/w.yml --local",
        "run FILE --local --record LONG",
        "local --port 0 --workflows LONG",
        "workflows pull wf_1 -o LONG",
    ],
)
def test_a_name_that_cannot_be_looked_up_is_named(action: str, file: Path) -> None:
    long = "n" * 300
    with Server(json_answer({})) as server:
        done = scout(*action.replace("LONG", long).replace("FILE", str(file)).split(), url=server.url)

    assert (done.returncode, done.stdout, server.hits) == (2, "", 0)
    assert re.fullmatch(rf"scout: {long}(/stubs\.yml)? cannot be used: File name too long\n", done.stderr)


# --- The place in the file --------------------------------------------------------------------------------------------

AS_JSON = """\
{"data": {"workflow_key": "hello", "workflow_config": {"blocks": [
  {"block_id": "answer", "block_display_name": "Answer", "block_archetype_id": "com.scoutos.text",
   "block_inputs": {"text": "Hello"}}
]}}}
"""
BARE = 'blocks: [{block_id: a, block_display_name: A, block_archetype_id: b, block_inputs: {text: ""}}]\n'
TEXT = ["blocks", 0, "block_inputs", "text"]


def problem(*loc: Any) -> Behaviour:
    return json_answer({"detail": [{"loc": ["body", *loc], "msg": "must be shorter", "type": "x"}]}, 422)


@pytest.mark.parametrize(
    ("name", "text", "loc", "place"),
    [
        ("w.yml", WORKFLOW, TEXT, "line 9, column 9: blocks.0.block_inputs.text: "),
        ("w.yml", WORKFLOW, [*TEXT[:3], "missing", "deeper"], "line 8, column 7: blocks.0.block_inputs.missing: "),
        ("w.yml", WORKFLOW, ["blocks", "0", "block_id"], "line 4, column 7: blocks.0.block_id: "),
        ("w.yml", WORKFLOW, ["blocks", 7], "line 3, column 3: blocks.7: "),
        ("w.yml", WORKFLOW, [], "line 2, column 1: "),
        ("w.json", AS_JSON, TEXT, "line 3, column 21: blocks.0.block_inputs.text: "),
        ("w.yaml", BARE, TEXT, "line 1, column 85: blocks.0.block_inputs.text: "),
    ],
)
@pytest.mark.parametrize("action", ["run", "run --stream", "workflows deploy --key k"])
def test_a_422_names_the_place_in_the_file(
    name: str, text: str, loc: list[Any], place: str, action: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(text)
    in_body = loc if "deploy" in action else ["workflow_config", *loc]
    with Server(problem(*in_body)) as server:
        done = scout(*action.split(), path, url=server.url)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[1:] == [f"scout: {path}, {place}must be shorter"]


@pytest.mark.parametrize(
    "detail",
    [[{"loc": ["body", "inputs", "text"], "msg": "no"}], [{"loc": "body", "msg": "no"}], [{"msg": "no"}], "no", None],
)
def test_what_names_no_place_in_the_file_is_one_line(detail: Any, file: Path) -> None:
    with Server(json_answer({"detail": detail}, 422)) as server:
        done = scout("run", file, url=server.url)

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_a_file_that_is_gone_by_then_has_no_place(file: Path) -> None:
    def behave(peer: Peer) -> None:
        file.unlink()
        problem("workflow_config", *TEXT)(peer)

    with Server(behave) as server:
        done = scout("run", file, url=server.url)

    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_a_stored_workflow_has_no_file() -> None:
    with Server(problem("workflow_config", *TEXT)) as server:
        done = scout("workflows", "run", "wf_1", url=server.url)

    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
