"""`scout check`: which files it looks at, what it selects, how it reports, and the check before a run and a deploy."""

import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import scout
from scout import Problem, Severity, check_rules
from scout.cli import main
from scout.cli._reports import REPORTS
from scout.local import LocalScout

GOOD = """\
workflow_display_name: Echo
blocks:
  - block_id: inputs
    block_display_name: Inputs
    block_archetype_id: com.scoutos.input
    block_inputs:
      items:
        - {key: text, display_name: Text, input_type: long_text, is_optional: true}
  - block_id: echo
    block_display_name: Echo
    block_archetype_id: com.scoutos.text
    is_output: true
    dependencies: [{block_id: inputs}]
    block_inputs: {text: "{{ inputs.text }}"}
"""
BROKEN = "blocks:\n  - block_id: a\n    notes: {{ inputs.text }}\n"
SEVERITIES = {
    "SW001": Severity.ERROR,
    "SW004": Severity.WARNING,
    "SW013": Severity.WARNING,
    "SW050": Severity.WARNING,
    "SW014": Severity.INFO,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(*names: str, text: str = BROKEN) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the check find problems of these codes in every workflow, in place of what it would find."""

    def find(*codes: str) -> None:
        def check(workflow: Any) -> list[Problem]:
            path = workflow if isinstance(workflow, str) else workflow.path
            return [
                Problem(code, f"problem {code}", path, line, 5, SEVERITIES[code], f"mend {code}")
                for line, code in enumerate(codes, 1)
            ]

        monkeypatch.setattr(scout, "check", check)

    return find


class Checked:
    """The result of `scout check`; `files` are those with problems, in the order of the report."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *args: str) -> None:
        self.code = main(["check", *args])
        self.out, self.err = capsys.readouterr()
        self.files = list(dict.fromkeys(re.findall(r"^(.+?):\d+:\d+: SW", self.out, re.MULTILINE)))
        self.codes = list(dict.fromkeys(re.findall(r"\bSW\d+\b", self.out)))


# --- Which files --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("folder")
class TestFiles:
    def test_a_broken_file_is_told_by_place_and_code(self, capsys: pytest.CaptureFixture[str]) -> None:
        write("a b.yml")

        done = Checked(capsys, "a b.yml")

        assert done.code == 1
        assert re.match(r"a b\.yml:3:12: SW001 \S", done.out)
        assert done.err == "scout: found 1 problem (1 error) in 1 file\n"

    def test_a_good_file_is_silent_on_stdout(self, capsys: pytest.CaptureFixture[str]) -> None:
        write("w.yml", text=GOOD)
        write("crlf.yml", text=GOOD.replace("\n", "\r\n"))

        done = Checked(capsys, "w.yml", "crlf.yml")

        assert (done.code, done.out, done.err) == (0, "", "scout: no problems in 2 files\n")

    def test_a_folder_is_searched_for_workflows_alone(self, capsys: pytest.CaptureFixture[str]) -> None:
        write("b/workflow.yml", "a/one.yaml", "a/TWO.YML", "z.yml", "sub/venv/x.yml", "sub/node_modules/x/y.yml")
        write(".venv/x.yml", ".github/workflows/x.yml", "note.txt")
        write("sub/venv/pyvenv.cfg", text="home = /usr\n")
        write("docker-compose.yml", text="services:\n  blocks: {image: block_id}\n")
        write("package.json", text='{"name": "block_id", "dependencies": {}}')
        write("openapi.yaml", text="openapi: 3.1.0\ntags: []\npaths:\n  x: {properties: {block_id: {type: string}}}\n")
        write("list.json", text='[{"workflow_config": {}}]')
        write("cassette.json", text='{"kind": "cassette"}\n{"kind": "request", "json": {"workflow_config": {}}}\n')
        write("stubs.yml", text="search: [a, b]\n")
        write("a/inputs/default.json", text='{"blocks": "no"}')
        write("misspelt.yml", text="bloks:\n  - block_id: a\n")
        write("broken.json", text='{"blocks": [{"block_id": ]}')
        write("wrapped.json", text='{"data": {"workflow_config": {"blocks": 1}}}')
        Path("binary.yml").write_bytes(b"\xff\xfe\x00")

        files = ["a/TWO.YML", "a/one.yaml", "b/workflow.yml", "broken.json", "misspelt.yml", "wrapped.json", "z.yml"]
        assert Checked(capsys, ".").files == files
        assert Checked(capsys, "b", "z.yml", "a/", "b/workflow.yml").files == [
            *("a/TWO.YML", "a/one.yaml", "b/workflow.yml", "z.yml")
        ]
        assert Checked(capsys, ".venv").files == [".venv/x.yml"]

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("docker-compose.yml", b"services: {}\n"),
            ("no_suffix", b"services: {}\n"),
            ("binary.yml", b"\xff\xfe\x00"),
            ("list.json", b"[1]"),
        ],
    )
    def test_a_file_that_is_named_is_always_checked(
        self, name: str, text: bytes, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path(name).write_bytes(text)

        done = Checked(capsys, name)

        assert (done.code, done.files) == (1, [name])

    def test_a_pattern_is_expanded_where_the_shell_does_not(self, capsys: pytest.CaptureFixture[str]) -> None:
        write("b.yml", "a.yml", "c/d.yml", "[x].yml")

        assert Checked(capsys, "*.yml").files == ["[x].yml", "a.yml", "b.yml"]
        assert Checked(capsys, "**/*.yml", "a.yml").files == ["[x].yml", "a.yml", "b.yml", "c/d.yml"]
        assert Checked(capsys, "[x].yml").files == ["[x].yml"]
        assert Checked(capsys, "*.json").err == "scout: no file matches *.json\n"

    def test_a_file_that_is_named_twice_is_checked_once(self, capsys: pytest.CaptureFixture[str]) -> None:
        write("a/w.yml")

        done = Checked(capsys, "a/w.yml", "a", "./a/../a/w.yml", str(Path("a/w.yml").absolute()))

        assert done.files == ["a/w.yml"]
        assert done.err.endswith("in 1 file\n")

    def test_nothing_there_is_an_error_and_no_workflows_are_not(self, capsys: pytest.CaptureFixture[str]) -> None:
        Path("empty").mkdir()

        assert Checked(capsys, "nowhere").err == "scout: nowhere is neither a file nor a folder\n"
        assert Checked(capsys, "").code == 2
        done = Checked(capsys, "empty")
        assert (done.code, done.out) == (0, "")
        assert "no workflow files were found" in done.err

    @pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links")
    def test_links_do_not_lead_in_circles(self, capsys: pytest.CaptureFixture[str]) -> None:
        write("a/w.yml")
        Path("a/again").symlink_to(Path("a").absolute())
        Path("a/loop.yml").symlink_to("loop.yml")
        Path("a/gone.yml").symlink_to("nowhere.yml")

        assert Checked(capsys, "a").files == ["a/w.yml"]
        assert Checked(capsys, "a/**/*.yml", "a/again/w.yml").files == ["a/w.yml"]
        assert Checked(capsys, "a/loop.yml").code != 0

    @pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links")
    def test_a_file_that_cannot_be_read_is_not_without_problems(self, capsys: pytest.CaptureFixture[str]) -> None:
        Path("gone.yml").symlink_to("nowhere.yml")

        done = Checked(capsys, "gone.yml")

        assert (done.code, done.out) == (2, "")
        assert done.err.endswith("scout: 1 file could not be read\n")
        write("good.yml", text=GOOD)
        assert "no problems in 1 file\n" in Checked(capsys, ".", "gone.yml").err

    def test_a_file_that_vanishes_does_not_hide_the_problems_of_others(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write("a.yml", "b.yml")

        def check(path: str) -> list[Problem]:
            if path == "a.yml":
                raise scout.WorkflowFileError("cannot be read: No such file or directory", path=path)
            return [Problem("SW001", "is broken", path, 1, 1)]

        monkeypatch.setattr(scout, "check", check)
        done = Checked(capsys, ".")

        assert (done.code, done.files) == (2, ["b.yml"])
        assert "a.yml: cannot be read" in done.err

    def test_stdin_is_checked_as_a_file(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(BROKEN.encode())))

        done = Checked(capsys, "-")

        assert (done.code, done.files) == (1, ["stdin"])
        assert "/" not in done.out

    def test_the_same_files_give_the_same_bytes(self, capsys: pytest.CaptureFixture[str]) -> None:
        write("b/w.yml", "a/w.yml", "c.json")

        for form in REPORTS:
            first, second = (Checked(capsys, ".", "--format", form) for _ in range(2))
            assert (first.out, first.err) == (second.out, second.err)
            assert first.out


# --- Which problems -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("folder")
class TestSelection:
    ALL = ("SW001", "SW013", "SW014", "SW050")

    @pytest.mark.parametrize(
        ("args", "codes"),
        [
            ("", "SW001 SW013 SW014 SW050"),
            ("--select SW05", "SW001 SW050"),
            ("--select SW05,SW014", "SW001 SW014 SW050"),
            ("--select SW05 --select SW014", "SW001 SW014 SW050"),
            ("--ignore SW0", ""),
            ("--ignore SW01", "SW001 SW050"),
            ("--ignore SW01 --select SW013", "SW001 SW013"),
            ("--ignore SW013 --select SW01", "SW001 SW014"),
            ("--ignore SW01 --select SW01", "SW001"),
            ("--select ALL --ignore SW001", "SW013 SW014 SW050"),
            ("--select SW05 --ignore ALL", "SW050"),
            ("--select= --ignore=SW001", ""),
        ],
    )
    def test_of_two_prefixes_the_longer_one_counts(
        self, args: str, codes: str, found: Callable[..., None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        write("w.yml")
        found(*self.ALL)

        assert Checked(capsys, "w.yml", "--format", "github", *args.split()).codes == codes.split()

    def test_a_file_that_was_not_checked_is_always_reported(
        self, found: Callable[..., None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        write("w.yml")
        found("SW004", "SW013")

        assert Checked(capsys, "w.yml", "--format=github", "--select=SW05").codes == ["SW004"]

    @pytest.mark.parametrize(
        ("codes", "exit_code", "numbers"),
        [
            ((), 0, None),
            (("SW014", "SW014"), 0, "2 problems (2 infos)"),
            (("SW013",), 1, "1 problem (1 warning)"),
            (("SW014", "SW013", "SW001", "SW050"), 1, "4 problems (1 error, 2 warnings, 1 info)"),
        ],
    )
    def test_warnings_fail_and_infos_do_not(
        self,
        codes: tuple[str, ...],
        exit_code: int,
        numbers: str | None,
        found: Callable[..., None],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        write("w.yml")
        found(*codes)

        done = Checked(capsys, "w.yml")

        assert done.code == exit_code
        assert (f"found {numbers} in 1 file" if numbers else "no problems") in done.err

    @pytest.mark.parametrize(
        ("args", "said"),
        [
            ("--select SW999", "'SW999' is not the code of a problem"),
            ("--ignore sw013", "did you mean SW013?"),
            ("--ignore SW013,SW0133", "did you mean SW013?"),
            ("--select E501", "codes are SW001 to SW"),
            ("--format xml", "'xml' is none of text, json, github, sarif"),
        ],
    )
    def test_an_unknown_code_is_a_usage_error(self, args: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
        write("w.yml")

        done = Checked(capsys, "w.yml", *args.split())

        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert said in done.err

    def test_settings_are_those_of_the_nearest_project(
        self, folder: Path, found: Callable[..., None], capsys: pytest.CaptureFixture[str], monkeypatch: Any
    ) -> None:
        write("pyproject.toml", text='[tool.scout]\nignore = ["SW01"]\n')
        write("a/pyproject.toml", text='[project]\nname = "scout-bot"\n')
        write("a/b/pyproject.toml", text='[tool.scout]\nselect = ["SW05", "SW01"]\nignore = ["SW014"]\n')
        write("a/w.yml", "a/b/w.yml")
        found(*self.ALL)

        monkeypatch.chdir(folder / "a")
        assert Checked(capsys, "w.yml", "--format=github").codes == ["SW001", "SW050"]
        monkeypatch.chdir(folder / "a" / "b")
        assert Checked(capsys, "w.yml", "--format=github").codes == ["SW001", "SW013", "SW050"]
        # What is ignored on the command line is added; what is selected there replaces all of it.
        assert Checked(capsys, "w.yml", "--format=github", "--ignore=SW05").codes == ["SW001", "SW013"]
        assert Checked(capsys, "w.yml", "--format=github", "--select=SW014").codes == ["SW001", "SW014"]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("[tool.scout\n", "pyproject.toml is not TOML: "),
            ("[tool]\nscout = 1\n", "tool.scout must be a table, not a number"),
            ("[tool.scout]\nslect = []\n", "tool.scout.slect is not a setting; did you mean select?"),
            ("[tool.scout]\nformat = 'x'\n", "tool.scout.format is not a setting; the settings are select and ignore"),
            ("[tool.scout]\nignore = 'SW001'\n", "tool.scout.ignore must be a list of codes, not text"),
            ("[tool.scout]\nignore = [1]\n", "tool.scout.ignore must be a list of codes, and holds a number"),
            ("[tool.scout]\nignore = ['SW99']\n", "tool.scout.ignore: 'SW99' is not the code of a problem"),
        ],
    )
    def test_a_wrong_setting_is_told_by_file_and_key(
        self, text: str, said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write("w.yml", text=GOOD)
        write("pyproject.toml", text=text)

        done = Checked(capsys, "w.yml")

        assert (done.code, done.out) == (2, "")
        assert said in done.err
        assert "pyproject.toml" in done.err

    def test_a_project_that_is_not_ours_does_not_matter(self, capsys: pytest.CaptureFixture[str]) -> None:
        write("w.yml", text=GOOD)
        write("pyproject.toml", text='[tool.ruff]\nselect = ["E501"]\n')

        assert Checked(capsys, "w.yml").code == 0


# --- Reports ------------------------------------------------------------------------------------------------------

AWKWARD = "a b:c%d,e\nf.yml"
PROBLEMS = [
    Problem("SW013", "an unknown field, 100% wrong:\r\nx", AWKWARD, 3, 7, Severity.WARNING, "did you mean `model`?"),
    Problem("SW001", "is not UTF-8", "sub/ü.yml"),
    Problem("SW014", "\x1b[31mred", "w.yml", 1, 1, Severity.INFO),
]


class Terminal(io.StringIO):
    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


class TestReports:
    def test_text_has_one_line_for_a_problem_and_one_for_its_hint(self, capsys: pytest.CaptureFixture[str]) -> None:
        REPORTS["text"](PROBLEMS)

        assert capsys.readouterr().out.splitlines() == [
            r"a b:c%d,e\nf.yml:3:7: SW013 an unknown field, 100% wrong:\x0d\nx",
            "    did you mean `model`?",
            "sub/ü.yml: SW001 is not UTF-8",
            r"w.yml:1:1: SW014 \x1b[31mred",
        ]

    def test_colours_are_for_terminals(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("TERM", "xterm")

        def shown() -> str:
            terminal = Terminal()
            monkeypatch.setattr(sys, "stdout", terminal)
            REPORTS["text"](PROBLEMS[2:])
            return terminal.getvalue()

        assert shown() == "\x1b[1mw.yml:1:1: \x1b[0m\x1b[36mSW014\x1b[0m \\x1b[31mred\n"
        monkeypatch.setenv("NO_COLOR", "1")
        assert shown() == "w.yml:1:1: SW014 \\x1b[31mred\n"

    def test_json_is_the_problems_as_they_are(self, capsys: pytest.CaptureFixture[str]) -> None:
        REPORTS["json"](PROBLEMS)
        found = json.loads(capsys.readouterr().out)

        assert [Problem(**{**each, "severity": Severity(each["severity"])}) for each in found] == PROBLEMS
        REPORTS["json"]([])
        assert json.loads(capsys.readouterr().out) == []

    def test_annotations_are_escaped_by_the_rules_of_github(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
        REPORTS["github"](PROBLEMS)

        message = "an unknown field, 100%25 wrong:%0D%0Ax; did you mean `model`?"
        assert capsys.readouterr().out.splitlines() == [
            f"::warning file=a b%3Ac%25d%2Ce%0Af.yml,line=3,col=7,title=scout check (SW013)::{message}",
            "::error file=sub/ü.yml,title=scout check (SW001)::is not UTF-8",
            "::notice file=w.yml,line=1,col=1,title=scout check (SW014)::\x1b[31mred",
        ]

    def test_annotations_name_files_from_the_top_of_the_repository(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folder / "sub").mkdir()
        monkeypatch.chdir(folder / "sub")
        monkeypatch.setenv("GITHUB_WORKSPACE", str(folder))
        REPORTS["github"]([Problem("SW001", "m", "a.yml"), Problem("SW001", "m", str(folder / "b.yml"))])

        assert re.findall(r"file=(.*?),", capsys.readouterr().out) == ["sub/a.yml", "b.yml"]

    def test_sarif_has_what_its_standard_and_github_require(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
        REPORTS["sarif"](PROBLEMS)
        document = json.loads(capsys.readouterr().out)

        # Section by section of SARIF 2.1.0: 3.13, 3.14, 3.18, 3.19, 3.49, 3.27, 3.28, 3.29, 3.4, 3.30.
        assert document["version"] == "2.1.0"
        assert document["$schema"].endswith("sarif-2.1.0.json")
        (run,) = document["runs"]
        assert run["columnKind"] == "unicodeCodePoints"
        driver = run["tool"]["driver"]
        assert driver["name"]
        assert [rule["id"] for rule in driver["rules"]] == list(check_rules())
        for rule in driver["rules"]:
            assert all(rule[name]["text"] for name in ("shortDescription", "fullDescription", "help"))
            assert rule["defaultConfiguration"]["level"] in ("error", "warning", "note")
        for result, problem in zip(run["results"], PROBLEMS, strict=True):
            assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == problem.code
            assert problem.message in result["message"]["text"]
            assert len(result["locations"]) == 1
            region = result["locations"][0]["physicalLocation"]["region"]
            assert region["endLine"] == region["startLine"] >= 1
            assert region["endColumn"] > region["startColumn"] >= 1
        assert [result["level"] for result in run["results"]] == ["warning", "error", "note"]
        places = [result["locations"][0]["physicalLocation"]["artifactLocation"] for result in run["results"]]
        assert [place["uri"] for place in places] == ["a%20b%3Ac%25d%2Ce%0Af.yml", "sub/%C3%BC.yml", "w.yml"]
        assert {place["uriBaseId"] for place in places} == {"%SRCROOT%"}

    def test_sarif_without_problems_is_a_run_without_results(self, capsys: pytest.CaptureFixture[str]) -> None:
        REPORTS["sarif"]([])

        assert json.loads(capsys.readouterr().out)["runs"][0]["results"] == []

    def test_a_problem_without_a_place_is_reported_in_every_form(self, capsys: pytest.CaptureFixture[str]) -> None:
        for report in REPORTS.values():
            report([Problem("SW001", "is broken")])
            assert "is broken" in capsys.readouterr().out


# --- Before a run and a deploy ------------------------------------------------------------------------------------


@pytest.fixture
def workflow(folder: Path) -> str:
    write("w.yml", text=GOOD)
    return "w.yml"


@pytest.fixture(scope="module")
def local_scout() -> Iterator[LocalScout]:
    with LocalScout() as server:
        yield server


@pytest.fixture
def server(local_scout: LocalScout, monkeypatch: pytest.MonkeyPatch) -> LocalScout:
    local_scout.reset()
    monkeypatch.setenv("SCOUT_BASE_URL", local_scout.url)
    monkeypatch.setenv("SCOUT_API_KEY", "any")
    return local_scout


class TestBeforeItIsSent:
    @pytest.mark.parametrize("command", ["run w.yml", "workflows deploy w.yml --key k"])
    def test_errors_stop_it_and_warnings_are_printed(
        self,
        command: str,
        workflow: str,
        server: LocalScout,
        found: Callable[..., None],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        found("SW013", "SW014")
        assert main(command.split()) == 0
        err = capsys.readouterr().err
        assert "scout: warning: w.yml:1:5: SW013 problem SW013; mend SW013\n" in err
        assert "SW014" not in err

        found("SW013", "SW001")
        sent = len(server.requests)
        assert main(command.split()) == 2
        assert capsys.readouterr().err.splitlines() == [
            "scout: warning: w.yml:1:5: SW013 problem SW013; mend SW013",
            "scout: error: w.yml:2:5: SW001 problem SW001; mend SW001",
            "scout: w.yml has 1 error, and nothing was sent; --no-check sends it all the same",
        ]
        assert len(server.requests) == sent

        assert main([*command.split(), "--no-check"]) == 0
        assert "SW0" not in capsys.readouterr().err
        assert len(server.requests) > sent

    def test_settings_hold_for_it(
        self, workflow: str, server: LocalScout, found: Callable[..., None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        write("pyproject.toml", text='[tool.scout]\nignore = ["SW0"]\n')
        found("SW001", "SW013")

        assert main(["run", workflow]) == 0
        assert "SW0" not in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("inputs", "said"),
        [
            ("--input text=a", None),
            ("--input txt=a --input text=b", "has no input txt; did you mean text?"),
            ("--input other:=1", "has no input other; it has text"),
            ("--inputs inputs.json", "has no input texts; did you mean text?"),
            ("--input other=1 --no-check", None),
        ],
    )
    def test_an_unknown_input_is_a_warning(
        self, inputs: str, said: str | None, workflow: str, server: LocalScout, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write("inputs.json", text='{"texts": "a"}')

        assert main(["run", workflow, *inputs.split()]) == 0
        warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
        assert warnings == ([] if said is None else [f"scout: warning: the workflow {said}"])

    @pytest.mark.parametrize("archetype", ["com.scoutos.text", "com.scoutos.triggers.slack.message"])
    def test_a_workflow_that_declares_no_inputs_or_has_a_trigger_takes_any(
        self, archetype: str, folder: Path, server: LocalScout, capsys: pytest.CaptureFixture[str]
    ) -> None:
        block = f"{{block_id: a, block_display_name: A, block_archetype_id: {archetype}, block_inputs: {{text: x}}}}"
        write("w.yml", text=f"blocks:\n  - {block}\n")

        main(["run", "w.yml", "--input", "other=1"])

        assert "no input" not in capsys.readouterr().err

    def test_a_local_run_is_checked_and_a_replay_is_not(
        self, workflow: str, found: Callable[..., None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["run", workflow, "--local", "--input", "text=a", "--record", "r.jsonl"]) == 0
        found("SW001")
        assert main(["run", workflow, "--local"]) == 2
        assert "nothing was sent" in capsys.readouterr().err
        assert main(["run", workflow, "--input", "text=a", "--replay", "r.jsonl"]) == 0
