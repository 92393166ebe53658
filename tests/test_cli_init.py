"""`scout init` and `scout stubs`: what they write works, and nothing is overwritten."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import PATIENCE

from scout.cli import main
from scout.cli._shapes import shapes

FILES = ["workflow.yml", "inputs/default.json", "test_workflow.py", ".github/workflows/scout.yml"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# --- scout init ---------------------------------------------------------------------------------------------------


class TestInit:
    @pytest.mark.packaging  # the files are data of the package
    def test_what_it_makes_passes_as_it_says(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["init", "new flow/hello"]) == 0
        out = capsys.readouterr().out
        assert written(folder / "new flow" / "hello") == set(FILES)
        assert out.startswith("".join(f"{Path('new flow/hello', name)}\n" for name in FILES))

        commands = [shlex.split(line) for line in out.splitlines() if line.startswith("  ")]
        check, run, test, deploy = commands
        assert main(check[1:]) == 0
        assert main(["fmt", "--check", check[-1]]) == 0
        assert main(run[1:]) == 0
        assert capsys.readouterr().out == "[gpt-4o stand-in] Why is the sky blue?\n"
        assert [deploy[:2], test[0]] == [["scout", "deploy"], "pytest"]
        # As for a user, who has pytest and this package alone.
        off = [word for name in ("asyncio", "hypothesispytest", "xdist") for word in ("-p", f"no:{name}")]
        done = subprocess.run(
            [sys.executable, "-m", *test, "-q", *off], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stdout
        assert "2 passed" in done.stdout

    def test_the_working_folder_will_do(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "README.md").write_text("mine")

        assert main(["init", "."]) == 0
        assert written(folder) == {"README.md", *FILES}
        assert "\n  scout check .\n" in capsys.readouterr().out

    @pytest.mark.parametrize("name", FILES)
    def test_an_existing_file_is_named_and_nothing_is_written(
        self, name: str, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = folder / "d" / name
        path.parent.mkdir(parents=True)
        path.write_text("mine")

        assert main(["init", "d"]) == 2
        assert capsys.readouterr().err == f"scout: {Path('d', name)} exists already; nothing was written\n"
        assert written(folder) == {f"d/{name}"}
        assert path.read_text() == "mine"

    @pytest.mark.parametrize(("file", "argument"), [("d", "d"), ("d", "d/e"), ("d/inputs", "d"), ("d/.github", "d")])
    def test_a_file_where_a_folder_is_needed_is_named(
        self, file: str, argument: str, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text("mine")

        assert main(["init", argument]) == 2
        assert f"{Path(file)} is not a folder; nothing was written" in capsys.readouterr().err
        assert written(folder) == {file}

    def test_the_ci_job_runs_what_the_issue_is_about(self, folder: Path) -> None:
        assert main(["init", "d"]) == 0

        job = (folder / "d/.github/workflows/scout.yml").read_text()
        assert [line.partition("run: ")[2] for line in job.splitlines() if "run: " in line] == [
            "pip install 'scout-workflows[all]' pytest",
            "scout check . --format github",
            "scout fmt --check .",
            "pytest --import-mode=importlib",
        ]

    def test_below_the_top_of_a_repository_it_says_where_the_job_belongs(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / ".git").mkdir()

        assert main(["init", "d"]) == 0
        assert "so move d/.github there" in capsys.readouterr().out
        assert main(["init", "."]) == 0
        assert "so move" not in capsys.readouterr().out


# --- scout stubs --------------------------------------------------------------------------------------------------

SEARCH = """\
blocks:
  - block_id: search
    block_display_name: "The search\\n# of all"
    block_archetype_id: com.scoutos.serp
    block_inputs: {query: "{{ inputs.topic }}"}
  - {block_id: "yes", block_display_name: "", block_archetype_id: com.scoutos.http, block_inputs: {}}
  - block_id: rate
    block_display_name: Rate
    block_archetype_id: com.scoutos.llm
    dependencies: [{block_id: search}]
    block_inputs: {response_format: json_object, prompt_items: [{role: user, content: "{{ search }}"}]}
  - block_id: answer
    block_display_name: Answer
    block_archetype_id: com.scoutos.text
    dependencies: [{block_id: rate}, {block_id: "yes"}]
    block_inputs:
      text: |-
        {% for hit in search.output.hits[:3] %}{{ hit.title }}: {{ hit["url"] }}{% endfor %}
        {% if rate.output.score < 3 %}{{ rate.reason }}{% endif %} {{ yes }}
"""


class TestStubs:
    def test_with_what_it_writes_the_run_completes(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        Path("w.yml").write_text(SEARCH)
        run = ["run", "w.yml", "--local", "--no-check", "--input", "topic=x"]
        assert main(run) == 1

        assert main(["stubs", "w.yml", "-o", "my.yml"]) == 0
        assert main([*run, "--stubs", "my.yml"]) == 0

        assert Path("my.yml").read_text().partition("\n\n")[2] == (
            "# The search # of all (com.scoutos.serp)\n"
            "search:\n  hits:\n    - title: '...'\n      url: '...'\n\n"
            "# yes (com.scoutos.http)\n'yes': '...'\n\n"
            "# Rate (com.scoutos.llm)\nrate:\n  score: 1\n  reason: '...'\n"
        )
        assert capsys.readouterr().out == "my.yml\n...: ...\n... ...\n"

    def test_the_items_of_a_list_are_written_out(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        Path("w.yml").write_text(SEARCH.replace("{% if rate", "{{ search.output.hits[1].title }}{% if rate"))

        assert main(["stubs", "w.yml", "-o", "-"]) == 0
        item = "    - title: '...'\n      url: '...'\n"
        assert f"search:\n  hits:\n{item}{item}" in capsys.readouterr().out

    def test_by_default_it_stands_where_a_local_run_finds_it(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path("sub").mkdir()
        block = "{block_id: a, block_display_name: A, block_archetype_id: com.scoutos.http, block_inputs: {}}"
        Path("sub/w.yml").write_text(f"blocks: [{block}]\n")

        assert main(["stubs", "sub/w.yml"]) == 0
        assert main(["run", "sub/w.yml", "--local"]) == 0
        capsys.readouterr()
        before = Path("sub/stubs.yml").read_bytes()
        assert main(["stubs", "sub/w.yml"]) == 2
        assert capsys.readouterr().err == f"scout: {Path('sub/stubs.yml')} exists already; -o names another file\n"
        assert Path("sub/stubs.yml").read_bytes() == before
        assert main(["stubs", "sub/w.yml", "-o", "-"]) == 0
        assert capsys.readouterr().out.encode() == before

    def test_where_every_block_can_be_run_it_says_so(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["init", "d"]) == 0
        capsys.readouterr()

        assert main(["stubs", "d/workflow.yml"]) == 0
        done = capsys.readouterr()
        assert (done.out, done.err) == ("", "scout: the local Scout can run every block, so no stubs are needed\n")
        assert not Path("d/stubs.yml").exists()

    def test_what_is_no_workflow_is_told_as_elsewhere(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        Path("w.yml").write_text("blocks: [{block_id: 1}]")

        assert main(["stubs", "w.yml"]) == 2
        assert "w.yml, line 1" in capsys.readouterr().err
        assert main(["stubs", "nowhere.yml"]) == 2

    @pytest.mark.parametrize(
        ("template", "expected"),
        [
            ("plain text, {not a template}", "..."),
            ("{{ a }}{{ a.output }}", "..."),
            ("{{ a.output.title }}{{ a.text }}", {"title": "...", "text": "..."}),
            ("{{ a.output.splitlines() }}{{ a.output | upper }}{{ a | length }}", "..."),
            ("{{ a.output[1].x }}", [{"x": "..."}, {"x": "..."}]),
            ("{% for x in a.output | sort %}{{ x }}{% endfor %}", ["..."]),
            (
                "{% for x in a.output %}{% for y in x.list %}{{ y.z }}{% endfor %}{% endfor %}",
                [{"list": [{"z": "..."}]}],
            ),
            ("{% set b = a.output %}{{ b.c.d }}", {"c": {"d": "..."}}),
            ("{% set a = 1 %}{{ a.c }}", "..."),
            ("{% for k, v in a.output.items() %}{{ v.x }}{% endfor %}", {"name": {"x": "..."}}),
            ("{{ a.output | map(attribute='x.y') | list }}", [{"x": "..."}]),
            ("{{ (a.output | first).x }}{{ a.output.get('q') }}", {"q": "..."}),
            ("{{ a.output.n + 1 }}{% if a.m >= 2 %}{% endif %}", {"n": 1, "m": 1}),
            ("{{ a.output.x", "..."),
        ],
    )
    def test_an_output_has_what_templates_use(self, template: str, expected: Any) -> None:
        assert shapes([{"text": [template]}], ["a"]) == {"a": expected}
