"""Everything in `examples/` runs on the local Scout, as it stands there."""

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from commands import call_here

from scout import Run, Scout
from scout.local import LocalScout

EXAMPLES = Path(__file__).parent.parent / "examples"
WORKFLOWS = sorted(path.parent.name for path in EXAMPLES.glob("*/workflow.yml"))
PROGRAMS = sorted(path.name for path in EXAMPLES.glob("*.py"))


@pytest.fixture(scope="module")
def scout() -> Iterator[Scout]:
    with Scout.local() as client:
        yield client


def run_example(scout: Scout, name: str, **changes: Any) -> Run:
    inputs = json.loads((EXAMPLES / name / "inputs" / "default.json").read_text())
    return scout.execute(EXAMPLES / name / "workflow.yml", inputs | changes)


def run_program(name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        input="Who are you?\nAnd what can you do?\n",
        capture_output=True,
        text=True,
        timeout=30,
    )


def run_program_here(name: str, *args: str, **environment: str) -> str:
    """Run an example in this process, on the local Scout unless there is a key; return what it prints."""

    def program() -> int:
        with patch.object(sys, "argv", [name, *args]):
            runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return 0

    done = call_here(program, env={**os.environ, **environment}, stdin=b"Who are you?\nAnd what can you do?\n")
    assert done.returncode == 0
    assert (done.stderr == "") is ("SCOUT_API_KEY" in environment), done.stderr
    return done.stdout


def test_there_are_three_workflows_and_four_programs() -> None:
    assert WORKFLOWS == ["classify", "hello", "summary"]
    assert PROGRAMS == ["chat_sync.py", "run_async.py", "run_sync.py", "watch_async.py"]


@pytest.mark.parametrize("name", WORKFLOWS)
@pytest.mark.packaging  # the local Scout and the package's data
def test_every_workflow_completes_with_an_answer(scout: Scout, name: str) -> None:
    run = run_example(scout, name)

    assert run.ok
    assert run.text.strip()
    assert run.output_block_id


def test_hello_asks_what_it_was_given(scout: Scout) -> None:
    first = run_example(scout, "hello")
    same = run_example(scout, "hello")
    other = run_example(scout, "hello", user_message="Why is grass green?")

    assert first.text == same.text
    assert first.text != other.text


def test_classify_joins_both_branches(scout: Scout) -> None:
    run = run_example(scout, "classify")

    lines = run.text.lower()
    assert lines.startswith("sentiment: ")
    assert "\ntopic: " in lines
    assert run.outputs["sentiment"].strip().lower() in lines
    assert run.outputs["topic"].strip().lower() in lines


def test_summary_fills_its_templates(scout: Scout) -> None:
    run = run_example(scout, "summary")

    assert run.outputs["brief"].startswith(
        "Summarise these notes in three sentences for the people who could not come.\n\n1. The crane"
    )
    assert "\n3. Ana" in run.outputs["brief"]
    days = [date.today() + timedelta(days=shift) for shift in (-1, 0, 1)]
    assert any(run.text.startswith(f"# Harbour meeting ({day})\n\n") for day in days)
    assert run.text.endswith(run.outputs["summary"])


def test_summary_needs_no_audience(scout: Scout) -> None:
    run = scout.execute(EXAMPLES / "summary" / "workflow.yml", {"title": "T", "notes": "one"})

    assert run.outputs["brief"].startswith("Summarise these notes in three sentences.\n")


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.packaging  # both clients, streams
def test_a_program_without_a_key_uses_the_local_scout_and_says_so(program: str) -> None:
    done = run_program(program)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert done.stderr == "SCOUT_API_KEY is not set: running on the local Scout\n"


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_with_a_key_goes_where_the_environment_says(program: str) -> None:
    with LocalScout(api_key="secret_example") as server:
        shown = run_program_here(program, SCOUT_API_KEY="secret_example", SCOUT_BASE_URL=server.url)
        assert server.runs

    assert shown.strip()


def test_the_question_of_run_sync_comes_from_its_arguments() -> None:
    assert run_program_here("run_sync.py", "Who", "are", "you?") != run_program_here("run_sync.py")


def test_run_async_answers_in_order() -> None:
    answers = run_program_here("run_async.py").split("\n\n")

    assert [answer.partition("\n")[0][:7] for answer in answers if answer] == [
        "It came",
        "The han",
        "Fine, b",
    ]


def test_chat_answers_each_line() -> None:
    first, second = run_program_here("chat_sync.py").splitlines()

    assert "Who are you?" in first
    assert "And what can you do?" in second


def test_watch_shows_two_blocks_side_by_side_and_the_answer() -> None:
    blocks, _, answer = run_program_here("watch_async.py", "It came early.").partition("\n\n")

    lines = blocks.splitlines()
    assert lines.index("topic: begins") < next(i for i, line in enumerate(lines) if line.startswith("sentiment: done"))
    assert answer.startswith("sentiment: ")
