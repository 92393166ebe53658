"""What the README shows works: its Python runs in order, its commands exist, its tables are true."""

import inspect
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import stamina
from commands import run_here
from servers import Server, chunked, refused_url

import scout
from scout import AsyncScout, Scout
from scout.local import LocalScout

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    return [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]


@pytest.fixture
def at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a folder with the examples, as at the root of the repository, but where files may be left."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)


def test_every_fence_is_python_or_console() -> None:
    assert set(re.findall(r"^```(\w*)$", README, re.MULTILINE)) == {"", "python", "console", "yaml"}


@pytest.mark.usefixtures("at_home")
@pytest.mark.packaging  # all that the README promises to who installs it
def test_the_python_blocks_run_in_order(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, Any] = {"__name__": "readme"}
    printed = []
    with LocalScout(api_key="secret_readme") as server:
        monkeypatch.setenv("SCOUT_API_KEY", "secret_readme")
        monkeypatch.setenv("SCOUT_BASE_URL", server.url)
        for number, block in enumerate(blocks("python"), 1):
            exec(compile(block, f"README.md, block {number}", "exec", dont_inherit=True), namespace)
            printed.append(capsys.readouterr().out)

    eight_lines, local, in_async, chat, chat_in_async, events, in_stream, stored, saved, test, kept, errors, raw = (
        printed
    )
    assert eight_lines.strip()
    assert "the run failed" not in eight_lines
    assert local.startswith("completed # Harbour")
    assert in_async.count("sentiment: ") == 2
    for said in (chat, chat_in_async):
        assert [line.partition("  [")[2][:9] for line in said.splitlines()] == ["completed"] * 2
    assert "price None" not in chat
    assert events.index("topic begins") < events.index("sentiment is done")
    assert "sentiment says " in events
    assert "the answer: sentiment: " in events
    assert "unknown" not in events
    assert in_stream.strip()
    assert "all that came" not in in_stream
    assert stored.startswith("created\n")
    assert stored.endswith("hello has blocks ['inputs', 'answer']\n")
    assert saved == "unchanged\n"
    assert test == ""
    assert len(set(kept.splitlines())) == 1
    assert len(kept.splitlines()) == 2
    assert errors.strip()
    assert "run)" not in errors
    assert "Hello, world" in raw


@pytest.mark.usefixtures("at_home")
def test_the_block_about_errors_tells_that_nothing_ran(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCOUT_API_KEY", "secret_readme")
    with refused_url() as url, stamina.set_testing(True, attempts=1000, cap=True):
        monkeypatch.setenv("SCOUT_BASE_URL", url)
        (block,) = (block for block in blocks("python") if "it did not run" in block)
        exec(compile(block, "README.md, errors", "exec"), {"Scout": Scout})

    assert capsys.readouterr().out.endswith("(it did not run)\n")


@pytest.mark.usefixtures("at_home")
def test_the_block_about_broken_streams_shows_what_came(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"workflow_run_id": "run_1", "block_id": "answer", "update_data": {"output": "Half an"}}
    event = json.dumps({"name": "block_state_updated", "data": data})
    monkeypatch.setenv("SCOUT_API_KEY", "secret_readme")
    with Server(chunked([f"data: {event}\n\n".encode()], content_type="text/event-stream")) as server:
        monkeypatch.setenv("SCOUT_BASE_URL", server.url)
        (block,) = (block for block in blocks("python") if "all that came" in block)
        exec(compile(block, "README.md, streams", "exec"), {"Scout": Scout, "RunFailedError": scout.RunFailedError})

    assert capsys.readouterr().out.startswith("all that came: Half an\nthe stream ended before the run did")


def test_the_first_block_has_eight_lines() -> None:
    assert len([line for line in blocks("python")[0].splitlines() if line]) <= 8


@pytest.mark.usefixtures("at_home")
@pytest.mark.packaging  # the command
def test_the_scout_commands_run(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [shlex.split(line) for line in commands() if line.startswith("scout ")]
    shown = [words for words in shown if words[1] != "local"]  # goes on until it is stopped
    assert shown
    with LocalScout(api_key="secret_readme") as server:
        monkeypatch.setenv("SCOUT_API_KEY", "secret_readme")
        monkeypatch.setenv("SCOUT_BASE_URL", server.url)
        for program, *args in shown:
            assert program == "scout"
            done = run_here(*args, env=os.environ)
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip()


@pytest.mark.usefixtures("at_home")
@pytest.mark.packaging  # the pytest plugin, as a user meets it
def test_the_test_of_an_application_passes() -> None:
    (block,) = (block for block in blocks("python") if "scout_local" in block)
    assert len([line for line in block.splitlines() if line]) + 2 < 15  # with the two commands
    Path("test_app.py").write_text(block)
    if (ROOT / "pyproject.toml").is_file():
        # It counts for whoever follows the README at the root.
        Path("pyproject.toml").symlink_to(ROOT / "pyproject.toml")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "-p", "no:timeout", "-p", "no:xdist", "test_app.py"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.usefixtures("at_home")
def test_the_server_of_the_readme_starts_and_its_stubs_are_some(tmp_path: Path) -> None:
    (line,) = (line for line in commands() if line.startswith("scout local"))
    program, *args = shlex.split(line.replace("8787", "0"))
    process = subprocess.Popen([sys.executable, "-m", program, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"export SCOUT_BASE_URL=")
    finally:
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)[1]
    assert b"workflow example-hello is wf_" in said

    (stubs,) = blocks("yaml")
    (tmp_path / "stubs.yml").write_text(stubs)
    with Scout.local(stubs=tmp_path / "stubs.yml") as client:
        texts = [client.execute("examples/hello/workflow.yml", {"user_message": "Hi"}).text for _ in range(2)]
    assert texts == ["first", "second"]


def test_the_members_of_the_fixture_that_are_named_exist() -> None:
    (table,) = re.findall(r"^\| member of `scout_local`.*?\n\n", README, re.DOTALL | re.MULTILINE)
    named = {name for row in table.strip().splitlines()[2:] for name in re.findall(r"`(\w+)", row.split("|")[1])}
    assert {"stub", "fail_next", "requests", "runs", "workflow_ids", "reset"} == named
    assert all(hasattr(LocalScout, name) for name in named)


def test_the_scripts_exist() -> None:
    if not (ROOT / "scripts").is_dir():
        pytest.skip("the sdist has no scripts")
    named = {word for line in commands() for word in line.split() if word.startswith("scripts/")}
    text = README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named |= set(re.findall(r"`(scripts/\w+)", text))
    assert {name for name in named if not (ROOT / name).is_file()} == set()


def test_linked_files_exist() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    headings = {"#" + title.lower().replace(" ", "-") for title in re.findall(r"^## (.*)$", README, re.MULTILINE)}
    assert links
    assert [link for link in links if link not in headings and not (ROOT / link).exists()] == []


def test_every_error_named_is_public_and_every_public_error_is_named() -> None:
    named = set(re.findall(r"`(\w+Error)\b", README))
    public = {
        name
        for name in dir(scout)
        if isinstance(getattr(scout, name), type) and issubclass(getattr(scout, name), scout.ScoutError)
    }
    assert named - public == set()
    assert public - named == {"APIError"}  # the base of several


@pytest.mark.parametrize("client", [Scout, AsyncScout])
def test_the_configuration_table_names_every_argument_with_its_default(client: Any) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (`\w+`)? ?\| (.*?) ?\|", README, re.MULTILINE)
    shown = {name: default.strip("`") for name, _, default in rows}
    parameters = inspect.signature(client).parameters

    assert set(shown) == set(parameters)
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    for name in ("timeout", "connect_timeout", "retries"):
        assert float(shown[name]) == defaults[name]
    for name in ("at_least_once", "allow_http"):
        assert shown[name] == str(defaults[name])


def test_the_variables_of_the_table_are_those_that_the_client_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCOUT_API_KEY", "secret_x")
    monkeypatch.setenv("SCOUT_BASE_URL", "https://scout.example")
    assert set(re.findall(r"`(SCOUT_\w+)`", README)) == {
        "SCOUT_API_KEY",
        "SCOUT_BASE_URL",
        "SCOUT_ENVIRONMENT",
    }
    with Scout() as client:
        assert client.base_url == "https://scout.example"
