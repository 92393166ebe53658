"""Every block of the README and of docs/ runs and prints what the page shows; every table is true.

A page is Markdown with fenced blocks:

| fence | what happens to it |
|---|---|
| `python` | is executed in this process, in a namespace and a folder of its own |
| `console` | each line after `$ ` is a command; the other lines are what it prints |
| `text` | is what the block above it prints |
| any language and a file name | is written to that file, for the other blocks of the page |

A command exits with 0, or with what a comment says after it: `# exits with 1`.
On a page in `SESSIONS` the `console` blocks are one session in one folder; elsewhere each block runs by itself.
In what a page shows, `...` stands for any text, and a line `...` for any number of lines.
SCOUT_BASE_URL and SCOUT_API_KEY lead to one local Scout.
"""

import inspect
import json
import logging
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from servers import Server, chunked, refused_url

import scout
from scout import AsyncScout, Scout
from scout.cli import main
from scout.local import Fault, LocalScout

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
README = PAGES[0].read_text(encoding="utf-8")
ALL = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
KEY = "secret_docs"


# --- Blocks -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `shown` is what it prints, where the page shows that."""

    place: str
    language: str
    file: str
    text: str
    shown: str | None = None


_FENCED = re.compile(
    r"^```(?P<language>\w+)(?: (?P<file>\S+))?\n(?P<text>.*?)^```$(?:\n\n```text\n(?P<shown>.*?)^```$)?",
    re.DOTALL | re.MULTILINE,
)


def blocks_of(text: str, name: str) -> list[Block]:
    return [
        Block(
            f"{name}:{text.count(chr(10), 0, found.start()) + 1}", **{**found.groupdict(), "file": found["file"] or ""}
        )
        for found in _FENCED.finditer(text)
    ]


def not_run(text: str) -> list[str]:
    """Whatever looks like code in a page and is no block that a test runs."""
    blocks = blocks_of(text, "page")
    named = [block for block in blocks if block.file]
    left = re.sub(r"^\|.*$", "", _FENCED.sub("", text), flags=re.MULTILINE)
    return [
        *re.findall(r"^\s*(?:```|~~~).*$|^(?: {4}|\t).*$", left, re.MULTILINE),
        *(block.place for block in blocks if not block.file and block.language not in RUN),
        *(block.place for block in named if not is_used(block, blocks)),
    ]


def is_used(file: Block, blocks: list[Block]) -> bool:
    if re.fullmatch(r"sw\d{3}_\w+\.(yml|json)", file.file):
        return True  # an example of a rule, which tests/test_checks.py checks
    if file.file == "release.yml":
        return True  # a job, whose commands are run below
    name = {"conftest.py": "$ pytest "}.get(file.file, file.file)  # pytest finds it by itself
    return any(name in block.text for block in blocks if not block.file)


SESSIONS = {"production.md", "workflows-as-code.md"}


def blocks_to_run(page: Path) -> list[Block]:
    blocks = blocks_of(page.read_text(encoding="utf-8"), page.name)
    if page.name not in SESSIONS:
        return blocks
    files = [block for block in blocks if block.file]
    session = [block for block in blocks if not block.file]
    assert {block.language for block in session} == {"console"}
    return [*files, replace(session[0], text="".join(block.text for block in session))]


BLOCKS = [block for page in PAGES for block in blocks_to_run(page)]


def the_block(part: str) -> Block:
    (block,) = (block for block in BLOCKS if part in block.text and block.language == "python")
    return block


# --- How each kind of block runs ----------------------------------------------------------------------------------


def run_python(block: Block, _: pytest.MonkeyPatch) -> None:
    exec(compile(block.text, block.place, "exec", dont_inherit=True), {"__name__": "__main__"})


def run_console(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", sys.stdout)  # a terminal shows both
    for command in commands(block):
        program, *args = shlex.split(command, comments=True)
        while "=" in program:
            monkeypatch.setenv(*program.split("=", 1))
            program, *args = args
        expected = re.findall(r"# exits with (\d+)$", command) or ["0"]
        code = PROGRAMS[program.removeprefix("./")](args) or 0
        assert [str(code)] == expected, command


def commands(block: Block) -> list[str]:
    return [line.removeprefix("$ ") for line in block.text.splitlines() if line.startswith("$ ")]


def shown_by(block: Block) -> str | None:
    if block.language != "console":
        return block.shown
    return "".join(line for line in block.text.splitlines(keepends=True) if not line.startswith("$ ")) or None


def pattern(shown: str) -> str:
    lines = [re.escape(line).replace(r"\.\.\.", ".*") for line in shown.splitlines(keepends=True)]
    return "".join("(?:.*\n)*?" if line == ".*\\\n" else line for line in lines)


def call_scout(args: list[str]) -> int:
    return serve(args) if args[0] == "local" else main(args)


def edit(args: list[str]) -> None:
    """Edit a file as `sed -i s/OLD/NEW/ FILE` does, for texts without special characters."""
    option, script, name = args
    command, old, new, options = script.split("/")
    text = Path(name).read_text(encoding="utf-8")
    assert (option, command, options) == ("-i", "s", "")
    assert old in text
    Path(name).write_text(text.replace(old, new), encoding="utf-8")


def serve(args: list[str]) -> int:
    """Start the server of `scout local` on a free port, and stop it when it has said all."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    process = subprocess.Popen(
        [sys.executable, "-m", "scout", *(arg.replace("8787", port) for arg in args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("export "):
            break
    process.send_signal(signal.SIGINT)
    said += process.communicate(timeout=30)[0]
    print(said.replace(port, "8787"))
    assert process.returncode in (0, 130)  # 130: it was stopped before it began to wait
    return 0


def call_pytest(args: list[str]) -> None:
    if (ROOT / "pyproject.toml").is_file():
        # It counts for whoever follows the page at the root of the repository.
        Path("pyproject.toml").symlink_to(ROOT / "pyproject.toml")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *OTHER_PLUGINS_OFF, *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    print(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr


def check_pip(args: list[str]) -> None:
    """Installing is for scripts/setup; the extras that a page names exist."""
    assert args[0] == "install"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for wanted in args[1:]:
        name, extras = re.fullmatch(r"(.[\w-]*)(?:\[([\w,]+)\])?", wanted).groups()
        assert name in (".", "pytest"), name
        assert set((extras or "all").split(",")) <= project["optional-dependencies"].keys()


def check_script(name: str) -> Callable[[list[str]], None]:
    """A script makes an environment and takes minutes; CI runs it."""

    def check(_: list[str]) -> None:
        if not (ROOT / "scripts").is_dir():
            pytest.skip("there are no scripts here")
        assert os.access(ROOT / name, os.X_OK)

    return check


RUN = {"python": run_python, "console": run_console}
PROGRAMS = {
    "scout": call_scout,
    "sed": edit,
    "pytest": call_pytest,
    "pip": check_pip,
    **{name: check_script(name) for name in ("scripts/demo", "scripts/test", "scripts/regenerate")},
}


# As for a reader, who has pytest and this package alone. (Hypothesis takes two seconds to import.)
OTHER_PLUGINS_OFF = [
    word for name in ("asyncio", "timeout", "hypothesispytest", "xdist") for word in ("-p", f"no:{name}")
]


# --- Tests of the blocks ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[LocalScout]:
    with LocalScout(api_key=KEY) as local:
        yield local


@pytest.fixture(autouse=True)
def logger_as_it_was() -> Iterator[None]:
    logger = logging.getLogger("scout")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The working directory: it has the examples, as the root of the repository has, and files may be left in it."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCOUT_API_KEY", KEY)
    return tmp_path


@pytest.mark.packaging
@pytest.mark.parametrize("block", [block for block in BLOCKS if not block.file], ids=lambda block: block.place)
def test_every_block_runs_and_prints_what_the_page_shows(
    block: Block,
    folder: Path,
    server: LocalScout,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.reset()
    monkeypatch.setenv("SCOUT_BASE_URL", server.url)
    for other in BLOCKS:
        if other.file and other.place.partition(":")[0] == block.place.partition(":")[0]:
            (folder / other.file).write_text(other.text, encoding="utf-8")

    with monkeypatch.context() as patch:
        RUN[block.language](block, patch)

    printed, shown = capsys.readouterr().out, shown_by(block)
    if shown is not None:
        assert re.fullmatch(pattern(shown), printed), printed
    elif "print(" in block.text or "$ scout " in block.text:
        assert printed.strip()


def test_the_job_that_releases_does_what_the_page_says(
    folder: Path, server: LocalScout, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = (block for block in BLOCKS if block.file == "release.yml")
    jobs = YAML(typ="safe").load(job.text)["jobs"]
    server.reset()
    monkeypatch.setenv("SCOUT_BASE_URL", server.url)
    assert main(["init", "hello"]) == 0

    def released() -> dict[str, str | None]:
        """Carry out both jobs, and return the revision that each environment runs."""
        for name in ("staging", "production"):
            commands = [step["run"] for step in jobs[name]["steps"] if "run" in step]
            assert [main(shlex.split(command)[1:]) for command in commands[1:]] == [0] * len(commands[1:])
        with Scout() as client:
            return {each.name: each.revision_id for each in client.workflows.environments("key:hello")}

    first = released()
    edit(["-i", "s/model: gpt-4o/model: gpt-4o-mini/", "hello/workflow.yml"])
    second = released()
    assert first["production"] is None  # it follows the newest revision, which is the first
    assert second["development"] == first["staging"]
    assert second["production"] == second["staging"] not in (None, first["staging"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_has_a_block_that_is_not_run(page: Path) -> None:
    assert not_run(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "page",
    [
        "```sh\nls\n```\n",
        "```\nls\n```\n",
        "~~~python\nls\n~~~\n",
        "- a list\n\n  ```python\n  ls\n  ```\n",
        "Some words\n\n    ls\n",
        "```text\nwhat nothing prints\n```\n",
        "```yaml stubs.yml\nanswer: 42\n```\n",
        "```python\nprint()\n",
    ],
)
def test_a_block_that_is_not_run_is_found(page: str) -> None:
    assert not_run(page)


def test_a_page_of_blocks_that_are_run_is_fine() -> None:
    page = (
        "```python\nprint(1)\n```\n\n```text\n1\n```\n\n```yaml a.yml\nx: 1\n```\n\n```console\n$ scout run a.yml\n```"
    )
    assert not_run(page) == []
    assert [block.shown for block in blocks_of(page, "page")] == ["1\n", None, None]


def test_the_pages_that_the_readme_promises_are_there_with_blocks() -> None:
    pages = {block.place.partition(":")[0] for block in BLOCKS}
    assert {path.name for path in PAGES} == pages
    assert len(PAGES) >= 9


def test_the_demo_runs_what_it_shows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = ROOT / "scripts" / "demo"
    if not script.is_file():
        pytest.skip("there are no scripts here")
    (command,) = re.findall(r"^exec .venv/bin/(scout .*)$", script.read_text(), re.MULTILINE)
    assert f"'$ {command}'" in script.read_text()
    assert main(shlex.split(command)[1:]) == 0
    assert capsys.readouterr().out.strip()


@pytest.mark.usefixtures("folder", "no_waiting")
def test_the_block_about_errors_says_that_nothing_ran(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with refused_url() as url:
        monkeypatch.setenv("SCOUT_BASE_URL", url)
        run_python(the_block("it did not run"), monkeypatch)

    assert capsys.readouterr().out.endswith("(it did not run)\n")


@pytest.mark.usefixtures("folder")
def test_the_block_about_broken_streams_shows_what_arrived(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"workflow_run_id": "run_1", "block_id": "answer", "update_data": {"output": "Half an"}}
    event = json.dumps({"name": "block_state_updated", "data": data})
    with Server(chunked([f"data: {event}\n\n".encode()], content_type="text/event-stream")) as broken:
        monkeypatch.setenv("SCOUT_BASE_URL", broken.url)
        run_python(the_block("received so far"), monkeypatch)

    assert capsys.readouterr().out.startswith("received so far: Half an\nthe stream ended before the run did")


# --- Tests of the text --------------------------------------------------------------------------------------------


def test_the_readme_is_short_and_begins_with_the_two_commands() -> None:
    lines = README.splitlines()
    assert len(lines) <= 200
    shown = [line for line in lines if line.startswith(("$ ", "```python"))]
    assert shown[:3] == ["$ ./scripts/demo", "$ ./scripts/test", "```python"]
    first = next(block for block in blocks_of(README, "README.md") if block.language == "python")
    assert len([line for line in first.text.splitlines() if line]) <= 10
    assert "Scout.local()" in first.text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_of_prose_have_less_than_100_columns(page: Path) -> None:
    prose = _FENCED.sub("", page.read_text(encoding="utf-8")).splitlines()
    assert [line for line in prose if len(line) >= 100 and not line.startswith("|")] == []


def test_the_scripts_exist() -> None:
    if not (ROOT / "scripts").is_dir():
        pytest.skip("there are no scripts here")
    text = ALL + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b(scripts/\w+)", text))
    assert {name for name in named if not (ROOT / name).is_file()} == set()


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor:
            titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, link


def test_every_page_is_linked_from_the_readme() -> None:
    assert {f"docs/{page.name}" for page in PAGES[1:]} <= set(re.findall(r"\]\((docs/[\w-]+\.md)\)", README))


def test_every_error_named_is_public_and_every_public_error_is_named() -> None:
    named = set(re.findall(r"`(\w+Error)\b", ALL))
    public = {
        name
        for name in dir(scout)
        if isinstance(getattr(scout, name), type) and issubclass(getattr(scout, name), scout.ScoutError)
    }
    assert named == public


@pytest.mark.parametrize(("title", "kind"), [("argument of `LocalScout`", LocalScout), ("what goes wrong", Fault)])
def test_the_tables_of_the_local_scout_are_whole(title: str, kind: Any) -> None:
    page = (ROOT / "docs" / "local-scout.md").read_text(encoding="utf-8")
    assert f"| {title} |" in page
    named = set(re.findall(r"`(\w+)`", page[page.index(f"| {title} |") :]))
    assert inspect.signature(kind).parameters.keys() - named == set()


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "batch",
        "check",
        "init",
        "stubs",
        "local",
        "diff",
        "fmt",
        "deploy",
        "promote",
        "doctor",
        "completion",
        *(f"workflows {name}" for name in ("list", "pull", "deploy", "run", "revisions", "environments")),
        *(f"workflows {name}" for name in ("rename-revision", "delete-revision", "promote", "set-environment")),
        *(f"runs {name}" for name in ("list", "show", "find")),
    ],
)
def test_every_option_of_the_command_line_is_named(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert options - set(re.findall(r"--[a-z-]+", ALL)) == set()


def test_the_members_of_the_fixture_that_are_named_exist() -> None:
    (table,) = re.findall(r"^\| member of `scout_local`.*?\n\n", ALL, re.DOTALL | re.MULTILINE)
    named = {name for row in table.strip().splitlines()[2:] for name in re.findall(r"`(\w+)", row.split("|")[1])}
    assert {"stub", "fail_next", "requests", "runs", "deploy", "workflow_ids", "url", "reset"} == named
    assert all(hasattr(LocalScout, name) for name in named)


@pytest.mark.parametrize("client", [Scout, AsyncScout])
def test_the_configuration_table_names_every_argument_with_its_default(client: Any) -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (`\w+`)? ?\| (.*?) ?\|", page, re.MULTILINE)
    shown = {name: default.strip("`") for name, _, default in rows}
    parameters = inspect.signature(client).parameters

    assert set(shown) == set(parameters)
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    for name, default in defaults.items():
        if isinstance(default, bool):
            assert shown[name] == str(default)
        elif isinstance(default, int | float):
            assert float(shown[name]) == default


def test_the_variables_of_the_table_are_those_that_the_client_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCOUT_API_KEY", "secret_x")
    monkeypatch.setenv("SCOUT_BASE_URL", "https://scout.example")
    assert set(re.findall(r"`(SCOUT_\w+)`", ALL)) == {
        "SCOUT_API_KEY",
        "SCOUT_BASE_URL",
        "SCOUT_ENVIRONMENT",
        "SCOUT_LOG",  # of the command
    }
    with Scout() as client:
        assert client.base_url == "https://scout.example"
