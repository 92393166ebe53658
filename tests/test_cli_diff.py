"""`scout diff`: files and stored workflows, what it prints, and its exit codes."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Done, run_here

from scout import Scout
from scout.cli._terminal import wants_colour
from scout.local import LocalScout

KEY = "secret_planted_key"
BEFORE = """\
workflow_key: greeting
workflow_config:
  blocks:
    - block_id: greeting
      block_display_name: Greeting
      block_archetype_id: com.scoutos.text
      block_inputs: {text: "Good\\nmorning", n: 1}
      ui: {position: {x: 1, y: 2}}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[LocalScout]:
    with LocalScout(api_key=KEY) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.yml").write_text(BEFORE)
    (tmp_path / "b.yml").write_text(BEFORE.replace("morning", "evening").replace("n: 1", "n: 1.0"))
    (tmp_path / "moved.yml").write_text(BEFORE.replace("x: 1", "x: 7"))
    return tmp_path


def diff(*args: object, cwd: Path, url: str | None = None, stdin: bytes = b"") -> Done:
    env = {name: value for name, value in os.environ.items() if name != "SCOUT_API_KEY"}
    env |= {} if url is None else {"SCOUT_BASE_URL": url, "SCOUT_API_KEY": KEY}
    return run_here("diff", *args, env=env, cwd=cwd, stdin=stdin)


def test_files_that_differ(folder: Path) -> None:
    result = diff("a.yml", "b.yml", cwd=folder)

    assert (result.returncode, result.stderr) == (1, "")
    assert result.stdout == (
        'block greeting "Greeting"\n'
        "  ~ block_inputs.text:\n    @@ -1,2 +1,2 @@\n     Good\n    -morning\n    +evening\n"
    )


def test_files_that_mean_the_same(folder: Path) -> None:
    for args in (("a.yml", "a.yml"), ("a.yml", "moved.yml")):
        result = diff(*args, cwd=folder)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert diff("a.yml", "a.yml", "--json", cwd=folder).stdout == "[]\n"
    moved = diff("a.yml", "moved.yml", "--ui", cwd=folder)
    assert (moved.returncode, moved.stdout.splitlines()[1]) == (1, "  ~ ui.position.x: 1 -> 7")


def test_a_workflow_from_stdin(folder: Path) -> None:
    assert diff("-", "b.yml", cwd=folder, stdin=BEFORE.encode()).stdout == diff("a.yml", "b.yml", cwd=folder).stdout
    assert diff("b.yml", "-", cwd=folder, stdin=b"blocks: [").stderr.startswith("scout: stdin, line 1")
    assert diff("-", "-", cwd=folder, stdin=BEFORE.encode()).returncode == 2


def test_json(folder: Path) -> None:
    (folder / "c.yml").write_text("blocks: []\ntags:\n")

    result = diff("a.yml", "c.yml", "--json", cwd=folder)

    [added, removed] = json.loads(result.stdout)
    assert result.returncode == 1
    assert added == {"kind": "added", "place": ["tags"], "block_id": None, "after": None}
    assert (removed["kind"], removed["place"], removed["block_id"]) == ("removed", ["blocks", 0], "greeting")
    assert removed["before"]["block_archetype_id"] == "com.scoutos.text"
    assert "after" not in removed


def test_a_stored_workflow_and_a_file(server: LocalScout, folder: Path) -> None:
    server.reset()
    with Scout(KEY, base_url=server.url) as client:
        workflow_id = client.workflows.deploy(folder / "a.yml").workflow_id

    same = diff("key:greeting", "a.yml", cwd=folder, url=server.url)
    other = diff("b.yml", workflow_id, cwd=folder, url=server.url)
    missing = diff("a.yml", "key:nobody", cwd=folder, url=server.url)

    assert (same.returncode, same.stdout) == (0, "")
    assert (other.returncode, "    +morning" in other.stdout) == (1, True)
    assert missing.returncode == 2
    assert "nobody" in missing.stderr


def test_trouble(folder: Path) -> None:
    for words, message in (
        (("a.yml", "no.yml"), "scout: no.yml: cannot be read"),
        (("a.yml", "key:greeting"), "no API key: set SCOUT_API_KEY"),
        (("a.yml",), "the following arguments are required: B"),
    ):
        result = diff(*words, cwd=folder)
        assert (result.returncode, result.stdout) == (2, "")
        assert message in result.stderr


class Terminal:
    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    stream: object = Terminal()
    assert wants_colour(stream)  # type: ignore[arg-type]
    monkeypatch.setenv("TERM", "dumb")
    assert not wants_colour(stream)  # type: ignore[arg-type]
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colour(stream)  # type: ignore[arg-type]
