"""`--save`, `--timeline` and `scout show`: a run that was paid for is kept, drawn, and shown again."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from commands import Done, run_here
from servers import Server, json_answer, run_answer
from test_cli_stream import CONFIG, HELLO, begins, block_begins, block_fails, events, fails, says

from scout import Run
from scout.cli._display import PlainDisplay

META = {"model": "gpt-4o", "input_tokens": 21, "output_tokens": 96, "cost": 0.0025}
PLAIN: dict[str, Any] = run_answer("Hello there")
PLAIN["run"]["state"]["answer"]["meta"] = META


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "workflow.json").write_text(json.dumps(CONFIG))
    return tmp_path


def scout(folder: Path, *args: object, url: str = "http://127.0.0.1:9", stdin: bytes = b"") -> Done:
    env = {"SCOUT_BASE_URL": url, "SCOUT_API_KEY": "secret_planted_key", "PATH": os.environ["PATH"], "COLUMNS": "72"}
    return run_here(*args, env=env, cwd=folder, stdin=stdin)


def run(folder: Path, *args: object, behaviour: Any = None) -> tuple[Done, int]:
    with Server(events(*HELLO) if behaviour is None else behaviour) as server:
        done = scout(folder, "run", "workflow.json", *args, url=server.url)
    return done, server.hits


def saved(folder: Path) -> Run:
    return Run.from_dict(json.loads((folder / "run.json").read_text()))


# --- Save ---------------------------------------------------------------------------------------------------------


def test_a_run_is_saved_and_the_output_is_the_same(folder: Path) -> None:
    done, _ = run(folder, "--save", "run.json", "--stream")

    assert (done.returncode, done.stdout) == (0, "Hello there\n")
    assert (saved(folder).output, [block.id for block in saved(folder).blocks]) == ("Hello there", ["side", "answer"])
    assert [each.name for each in folder.iterdir() if each.name.endswith(".tmp")] == []


def test_the_key_is_in_no_file(folder: Path) -> None:
    run(folder, "--save", "run.json", behaviour=json_answer(run_answer("the key is secret_planted_key")))

    assert "secret_planted_key" not in (folder / "run.json").read_text()
    assert saved(folder).output == "the key is [redacted]"

    said = block_fails("answer", 2, "secret_planted_key is not known")
    run(folder, "--timeline", "out.svg", behaviour=events(begins(), block_begins("answer"), said, fails("so")))

    assert "secret_planted_key" not in (folder / "out.svg").read_text()
    assert "[redacted] is not known" in (folder / "out.svg").read_text()


def test_a_plain_run_is_saved_with_what_its_answer_tells(folder: Path) -> None:
    done, _ = run(folder, "--save", "run.json", "--json", behaviour=json_answer(PLAIN))

    (block,) = saved(folder).blocks
    assert (block.model, block.input_tokens, block.price, block.status) == ("gpt-4o", 21, 0.0025, "completed")
    assert json.loads(done.stdout) == json.loads((folder / "run.json").read_text()) == saved(folder).to_dict()


@pytest.mark.parametrize(
    ("frames", "code", "status"),
    [([fails("out of order")], 1, "failed"), ([], 3, "started")],
    ids=["failed", "interrupted"],
)
def test_a_run_without_a_result_is_saved_as_well(folder: Path, frames: list[bytes], code: int, status: str) -> None:
    begin = [begins(), block_begins("answer"), says("answer", 1, "Hel")]
    done, _ = run(folder, "--save", "run.json", "--stream", "--timeline", behaviour=events(*begin, *frames))

    assert (done.returncode, saved(folder).status) == (code, status)
    assert saved(folder).blocks[0].first_token is not None
    assert "critical path: answer" in done.stderr


@pytest.mark.parametrize("error", [KeyboardInterrupt, BrokenPipeError])
def test_what_ends_the_command_loses_nothing(folder: Path, monkeypatch: Any, error: type[BaseException]) -> None:
    def leave(*_: object) -> None:
        raise error

    monkeypatch.setattr(PlainDisplay, "text", leave)
    monkeypatch.setattr("scout.cli._command._drop_output", lambda: None)

    done, _ = run(folder, "--save", "run.json", "--stream")

    assert done.returncode in (130, 141)
    assert saved(folder).id == "run_1"


def test_an_existing_file_is_refused_before_anything_is_sent(folder: Path) -> None:
    (folder / "run.json").write_text("mine")

    done, hits = run(folder, "--save", "run.json")

    assert (done.returncode, hits, (folder / "run.json").read_text()) == (2, 0, "mine")
    assert "exists already" in done.stderr


@pytest.mark.parametrize("option", ["--save", "--timeline"])
@pytest.mark.parametrize("name", ["nowhere/run.svg", "workflow.json/run.svg", "folder.svg", "n\0l.svg"])
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_sent(folder: Path, option: str, name: str) -> None:
    (folder / "folder.svg").mkdir()

    done, hits = run(folder, option, name)

    assert (done.returncode, hits, done.stdout) == (2, 0, "")
    assert f"scout: {option} " in done.stderr


@pytest.mark.parametrize("options", [[], ["--json"], ["--stream"]], ids=["text", "json", "stream"])
def test_a_run_that_cannot_be_saved_after_all_is_printed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("scout._files.write_whole", full)

    done, _ = run(folder, "--save", "run.json", *options)

    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    start = done.stdout.index("{\n")
    assert Run.from_dict(json.loads(done.stdout[start:])).output == "Hello there"


def test_a_file_that_appears_meanwhile_is_not_replaced(folder: Path) -> None:
    answer = json_answer(PLAIN)

    def and_another_program_writes(*request: Any) -> Any:
        (folder / "run.json").write_text("mine")
        return answer(*request)

    done, _ = run(folder, "--save", "run.json", "--json", behaviour=and_another_program_writes)

    assert (done.returncode, (folder / "run.json").read_text()) == (2, "mine")
    assert "it exists already; so the run is printed" in done.stderr
    assert Run.from_dict(json.loads(done.stdout)).output == "Hello there"
    assert [each.name for each in folder.iterdir() if each.name.endswith(".tmp")] == []


# --- Timeline -----------------------------------------------------------------------------------------------------


def test_a_timeline_follows_the_output_on_stderr(folder: Path) -> None:
    done, _ = run(folder, "--timeline")

    assert (done.returncode, done.stdout) == (0, "Hello there\n")
    assert "\nanswer * " in done.stderr
    assert "side: no \\x1b[31mnetwork" in done.stderr
    assert "block answer started" not in done.stderr  # the stream is underneath
    assert max(map(len, done.stderr.splitlines())) <= 72


def test_a_timeline_as_a_picture_replaces_the_last_one(folder: Path) -> None:
    (folder / "out.svg").write_text("old")

    done, _ = run(folder, "--timeline", "out.svg", "--json")

    assert json.loads(done.stdout)["output"] == "Hello there"
    assert (folder / "out.svg").read_text().startswith("<svg ")
    assert "the timeline is in out.svg" in done.stderr


def test_an_answer_without_times_is_drawn_as_a_table(folder: Path) -> None:
    done, _ = run(folder, "--timeline", behaviour=json_answer(PLAIN))

    assert "only a stream" in done.stderr
    assert "gpt-4o; 21 tokens read" in done.stderr


def test_the_workflow_is_not_taken_for_the_name_of_a_picture(folder: Path) -> None:
    done = scout(folder, "run", "--timeline", "workflow.json")

    assert done.returncode == 2
    assert "ends in .svg" in done.stderr
    assert "give --timeline last" in done.stderr
    assert "File" not in (folder / "workflow.json").read_text()


# --- Show ---------------------------------------------------------------------------------------------------------


def test_a_saved_run_is_shown(folder: Path) -> None:
    run(folder, "--save", "run.json", "--stream")

    done = scout(folder, "show", "run.json")

    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[0] == "Hello there"
    assert lines[2].startswith("run run_1 completed, price 0.00004, 5.00 s")
    assert any(line.startswith("answer * ") for line in lines)


def test_a_saved_run_is_drawn_and_printed_as_json(folder: Path) -> None:
    run(folder, "--save", "run.json", "--stream")

    drawn = scout(folder, "show", "run.json", "--timeline", "out.svg")
    printed = scout(folder, "show", "-", "--json", stdin=(folder / "run.json").read_bytes())

    assert (drawn.returncode, drawn.stdout) == (0, "")
    assert (folder / "out.svg").exists()
    assert Run.from_dict(json.loads(printed.stdout)).blocks == saved(folder).blocks


def test_a_failed_run_shows_why(folder: Path) -> None:
    run(folder, "--save", "run.json", "--stream", behaviour=events(begins(), fails("out of \x1b order")))

    done = scout(folder, "show", "run.json")

    assert done.returncode == 0
    assert done.stdout.startswith("out of \\x1b order\n")


def test_an_answer_of_the_api_is_shown(folder: Path) -> None:
    (folder / "answer.json").write_text(json.dumps({**PLAIN, "output_block_id": None}))

    done = scout(folder, "show", "answer.json")

    assert done.returncode == 0
    assert "gpt-4o" in done.stdout
    assert "no output block" in done.stderr


def test_the_json_of_a_run_that_was_interrupted_is_shown(folder: Path) -> None:
    begin = [begins(), block_begins("answer"), says("answer", 1, "Hel")]
    done, _ = run(folder, "--timeline", "--json", behaviour=events(*begin))

    shown = scout(folder, "show", "-", stdin=done.stdout.encode())

    assert done.returncode == 3
    assert shown.returncode == 0
    assert "run run_1 started" in shown.stdout


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not JSON"),
        (b"blocks: []", "is not JSON"),
        (b"\xff", "is not UTF-8"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "this is list"),
        (b'{"workflow_config": {}}', "no status and state"),
        (b'{"status": "completed", "state": {}, "blocks": [{"id": 5}]}', "blocks[0]"),
        (b'{"status": "completed", "state": {}, "blocks": [{"id": "a", "price": 1' + b"0" * 400 + b"}]}", ".price"),
        (b'{"error": {"run": null}}', "this is null"),
        (b'{"name": "workflow_run_started"}\n{"name": "block_run_started"}\n', "write that with --save"),
    ],
)
def test_a_file_that_is_no_run_is_refused(folder: Path, content: bytes, words: str) -> None:
    (folder / "run.json").write_bytes(content)

    done = scout(folder, "show", "run.json")

    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "run.json" in done.stderr
    assert scout(folder, "show", "missing.json").returncode == 2
