"""The `scout` command: what goes to stdout, what goes to stderr, and what the exit code says."""

import contextlib
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

import pytest
from commands import PATIENCE, Done, command, run_here, run_process
from servers import Server, answer, close_unanswered, html, json_answer, refused_url, silent

from scout.cli import main
from scout.cli._inputs import gather, pair
from scout.cli._terminal import escape
from scout.local import LocalScout

KEY = "secret_planted_key"

NASTY = "\x1b[31mred\x1b[0m \x07 \r \x7f \x9b2J \u202eevil \u2066\ttab\nline"
VISIBLE = "\\x1b[31mred\\x1b[0m \\x07 \\x0d \\x7f \\x9b2J \\u202eevil \\u2066\ttab\nline"

ECHO = """\
workflow_display_name: Echo
blocks:
  - block_id: inputs
    block_display_name: Inputs
    block_archetype_id: com.scoutos.input
    block_inputs:
      items:
        - {key: text, display_name: Text, input_type: long_text, is_optional: true}
        - {key: other, display_name: Other, input_type: long_text, is_optional: true}
  - block_id: echo
    block_display_name: Echo
    block_archetype_id: com.scoutos.text
    is_output: true
    dependencies: [{block_id: inputs}]
    block_inputs: {text: "{{ inputs.text }}|{{ inputs.other }}"}
"""


def run_body(output: Any, **run: Any) -> dict[str, Any]:
    return {
        "workflow_id": "wf_1",
        "output_block_id": "echo",
        "run": {
            "stop_reason": "workflow_run_completed",
            "state": {"inputs": {"output": {}}, "echo": {"output": output}},
            "errors": [],
            "session_id": "sess_1",
            "workflow_run_id": "run_1",
            **run,
        },
    }


FAILED = run_body(
    None, stop_reason="workflow_run_failed", state={}, errors=["the \x1b[31mmodel\x1b[0m is out of order"]
)


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    path = tmp_path / "echo.yml"
    path.write_text(ECHO)
    return path


@pytest.fixture(scope="module")
def local_scout() -> Iterator[LocalScout]:
    with LocalScout(api_key=KEY) as server:
        yield server


def environment(url: str | None = None, **more: str) -> dict[str, str]:
    with_key = {} if url is None else {"SCOUT_BASE_URL": url, "SCOUT_API_KEY": KEY}
    return {**os.environ, **with_key, **more}


def scout(*args: object, url: str | None = None, stdin: bytes = b"", **more: str) -> Done:
    return run_here(*args, env=environment(url, **more), stdin=stdin)


def scout_process(*args: object, url: str | None = None, stdin: bytes = b"", **more: str) -> Done:
    return run_process(*args, env=environment(url, **more), stdin=stdin)


def wait_for_line(stream: Any, pattern: str) -> str:
    """Read lines until one fits. The test's own timeout bounds the wait."""
    for line in stream:
        if re.search(pattern, line):
            return str(line)
    raise AssertionError(f"the stream ended without {pattern!r}")


class TestDoors:
    @pytest.mark.packaging  # lazy imports of the command
    def test_help_loads_nothing_heavy(self) -> None:
        heavy = "httpx rich starlette uvicorn attr ruamel.yaml scout.client scout.local"
        program = f"""
import sys
from scout.cli import main
for argv in (["--help"], ["run", "--help"], ["local", "--help"]):
    assert main(argv) == 0
print("loaded:", [name for name in {heavy.split()} if name in sys.modules])
"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)

        assert done.stderr == ""
        assert "loaded: []" in done.stdout

    @pytest.mark.packaging  # metadata of the distribution
    def test_version_is_the_distribution_s(self) -> None:
        from importlib.metadata import version

        done = scout_process("--version")

        assert (done.returncode, done.stdout) == (0, f"scout-workflows {version('scout-workflows')}\n")

    @pytest.mark.packaging  # the console script
    def test_the_installed_command_is_the_same(self) -> None:
        from importlib.metadata import entry_points

        (entry,) = entry_points(group="console_scripts", name="scout")

        assert entry.load() is main

    @pytest.mark.parametrize(
        ("argv", "words"),
        [
            ([], "COMMAND"),
            (["walk"], "walk"),
            (["run"], "FILE"),
            (["run", "w.yml", "--input", "novalue"], "'novalue' is neither NAME=TEXT nor NAME:=JSON"),
            (["run", "w.yml", "--input", "=x"], "'=x' is neither"),
            (["run", "w.yml", "--input", ":=1"], "':=1' is neither"),
            (["run", "w.yml", "--input", "k:={oops"], "what follows k:= is not JSON"),
            (["run", "w.yml", "--input", "k:=" + "[" * 100_000], "nested too deeply"),
            (["run", "w.yml", "--timeout", "soon"], "--timeout"),
            (["run", "w.yml", "--retries", "1.5"], "--retries"),
            (["run", "w.yml", "--local", "--base-url", "http://127.0.0.1"], "--base-url is for Scout, and --local"),
            (["run", "w.yml", "--local", "--allow-http"], "--allow-http is for Scout, and --local"),
            (["run", "w.yml", "--set", "novalue"], "'novalue' is neither BLOCK.FIELD=TEXT nor BLOCK.FIELD:=JSON"),
            (["run", "w.yml", "--retries", "some"], "argument --retries: 'some' is not a whole number (see"),
            (["doctor", "--timeout", "0"], "'0' is not a number of seconds, more than 0 and at most 3600"),
            (["run", "w.yml", "--loc"], "--loc"),
            (["run", "w.yml", "--inputs", "nowhere.json"], "cannot read the inputs from nowhere.json"),
            (["local", "--port", "http"], "--port"),
            (["local", "--api-key-env", "SCOUT_UNSET"], "SCOUT_UNSET, which is not set"),
        ],
    )
    def test_usage_errors_are_one_line_and_exit_2(
        self, argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code = main(argv)

        out, err = capsys.readouterr()
        assert (code, out) == (2, "")
        assert err.startswith("scout: ")
        assert words in err
        assert err.count("\n") == 1

    def test_without_a_key_both_ways_out_are_named(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["run", "w.yml"]) == 2

        err = capsys.readouterr().err
        assert "SCOUT_API_KEY" in err
        assert "--local" in err


class TestInputs:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ("k=v", ("k", "v")),
            ("k=", ("k", "")),
            ("k=a=b:=c", ("k", "a=b:=c")),
            ("k=5", ("k", "5")),
            ("k:=5", ("k", 5)),
            ("k:=123456789012345678901234567890", ("k", 123456789012345678901234567890)),
            ('k:={"a": [true, null]}', ("k", {"a": [True, None]})),
            ('k:="text"', ("k", "text")),
            ("a:b=c", ("a:b", "c")),
            ("key with spaces=ü", ("key with spaces", "ü")),
        ],
    )
    def test_one_input(self, given: str, expected: tuple[str, Any]) -> None:
        parsed = pair(given)

        assert (parsed.name, parsed.read()) == expected

    def test_single_inputs_win_over_the_file_and_the_last_one_over_the_first(self, tmp_path: Path) -> None:
        path = tmp_path / "inputs.json"
        path.write_text('\ufeff{"a": 1, "b": 2}', encoding="utf-8")

        given = map(pair, ["b=x", "c=y", "b=z"])

        assert gather(given, str(path)) == {"a": 1, "b": "z", "c": "y"}

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "not JSON"),
            (b"{", "line 1, column 2"),
            (b"\xff\xfe", "line 1, column 1: is not UTF-8"),
            (b"[1]", "must be one JSON object"),
            (b"null", "must be one JSON object"),
        ],
    )
    def test_a_file_that_is_not_an_object_is_refused(
        self, content: bytes, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "inputs.json"
        path.write_bytes(content)

        assert main(["run", "w.yml", "--inputs", str(path)]) == 2
        assert words in capsys.readouterr().err

    def test_no_option_means_no_inputs(self) -> None:
        assert gather([], None) == {}

    def test_what_json_cannot_carry_names_the_input(self, workflow: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["run", str(workflow), "--input", "text:=[1, NaN]", "--local"]) == 2
        assert "text[1]" in capsys.readouterr().err


class TestRun:
    @pytest.mark.packaging  # `python -m scout`
    def test_answer_on_stdout_and_talk_on_stderr(self, workflow: Path) -> None:
        done = scout_process("run", workflow, "--input", "text=Hi", "--input", 'other:="7"', "--local")

        assert (done.returncode, done.stdout) == (0, "Hi|7\n")
        assert re.fullmatch(r"scout: run \S+ completed in \d+\.\d\d s on the local Scout.*\n", done.stderr)

    def test_inputs_from_stdin_against_a_server_that_checks_the_key(
        self, workflow: Path, local_scout: LocalScout
    ) -> None:
        stdin = json.dumps({"text": "from stdin", "other": "lost"}).encode()

        done = scout_process(
            *("run", workflow, "--inputs", "-", "--input", "other=won"), url=local_scout.url, stdin=stdin
        )

        assert (done.returncode, done.stdout) == (0, "from stdin|won\n")
        assert "local Scout" not in done.stderr

    def test_json_is_the_whole_run(self, workflow: Path, local_scout: LocalScout) -> None:
        done = scout("run", workflow, "--input", "text=ü😀", "--session-id", "sess_7", "--json", url=local_scout.url)

        run = json.loads(done.stdout)
        assert done.returncode == 0
        assert done.stdout.count("\n") == 1
        assert list(run) == [
            "id",
            "session_id",
            "workflow_id",
            "status",
            "output",
            "outputs",
            "errors",
            "price",
            "output_block_id",
            "blocks",
            "state",
            "scout_run",
        ]
        assert (run["status"], run["session_id"], run["errors"]) == ("completed", "sess_7", [])
        assert run["output"].startswith("ü😀|")
        assert run["outputs"]["echo"] == run["output"]
        assert run["output_block_id"] == "echo"
        assert run["id"] in done.stderr

    def test_options_reach_the_request(self, workflow: Path) -> None:
        with Server(json_answer(run_body("ok"))) as server:
            code = scout(
                *("run", workflow, "--environment", "staging", "--session-id", "s 1", "--revision-id", "r1"),
                *("--workflow-key", "my-key", "--timeout", "9.5", "--deadline", "12", "--retries", "0"),
                *("--base-url", server.url, "--input", "big:=12345678901234567890123"),
                SCOUT_API_KEY=KEY,
            ).returncode

        (request,) = server.requests
        body = json.loads(request.body)
        assert code == 0
        assert request.headers["authorization"] == f"Bearer {KEY}"
        for part in ("environment=staging", "session_id=s", "revision_id=r1"):
            assert part in request.target
        assert body["workflow_key"] == "my-key"
        assert body["inputs"] == {"big": 12345678901234567890123}
        assert body["workflow_config"]["workflow_display_name"] == "Echo"

    def test_a_failed_run_exits_1_with_the_reason_on_stderr(self, workflow: Path) -> None:
        with Server(json_answer(FAILED)) as server:
            done = scout_process("run", workflow, url=server.url)

        assert (done.returncode, done.stdout) == (1, "")
        assert "the \\x1b[31mmodel\\x1b[0m is out of order" in done.stderr
        assert server.hits == 1

    def test_a_run_that_ended_in_an_unknown_way_is_not_a_success(self, workflow: Path) -> None:
        with Server(json_answer(run_body("half", stop_reason="workflow_run_paused"))) as server:
            done = scout("run", workflow, url=server.url)

        assert (done.returncode, done.stdout) == (1, "")
        assert "paused" in done.stderr

    def test_a_failed_run_as_json_is_still_printed(self, workflow: Path) -> None:
        with Server(json_answer(FAILED)) as server:
            done = scout("run", workflow, "--json", url=server.url)

        run = json.loads(done.stdout)
        assert (done.returncode, run["status"]) == (1, "failed")
        assert run["errors"] == FAILED["run"]["errors"]
        assert "out of order" in done.stderr

    def test_a_block_that_nobody_can_run_fails_on_the_local_scout(self, tmp_path: Path) -> None:
        path = tmp_path / "unknown.yml"
        path.write_text(ECHO.replace("com.scoutos.text", "com.example.unheard"))

        done = scout("run", path, "--local")

        assert (done.returncode, done.stdout) == (1, "")
        assert "com.example.unheard" in done.stderr

    def test_no_output_block_is_said_and_prints_nothing(self, tmp_path: Path) -> None:
        blocks = "blocks:\n" + "".join(
            f"  - {{block_id: {name}, block_display_name: T, block_archetype_id: com.scoutos.text,"
            f" block_inputs: {{text: {name}}}}}\n"
            for name in ("left", "right")
        )
        path = tmp_path / "two.yml"
        path.write_text(blocks)

        done = scout("run", path, "--local")

        assert (done.returncode, done.stdout) == (0, "")
        assert "left, right" in done.stderr

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (None, "missing.yml"),
            ("blocks: [", "line 1"),
            ("- a list", "missing.yml"),
            ("blocks:\n  - block_id: a\n", "block_archetype_id"),
        ],
    )
    def test_a_file_that_is_no_workflow_exits_2(
        self, content: str | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "missing.yml"
        if content is not None:
            path.write_text(content)

        assert main(["run", str(path), "--local"]) == 2

        out, err = capsys.readouterr()
        assert out == ""
        assert words in err
        assert "Traceback" not in err

    @pytest.mark.parametrize(
        "argv",
        [
            ["--environment", "prodution"],
            ["--timeout", "nan"],
            ["--deadline", "-1"],
            ["--retries", "-1"],
            ["--base-url", "http://example.com"],
            ["--base-url", "nonsense"],
        ],
    )
    def test_settings_that_cannot_work_exit_2_and_send_nothing(
        self,
        argv: list[str],
        workflow: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("SCOUT_API_KEY", KEY)
        with Server(json_answer(run_body("ok"))) as server:
            monkeypatch.setenv("SCOUT_BASE_URL", server.url)
            assert main(["run", str(workflow), *argv]) == 2

        out, err = capsys.readouterr()
        assert (out, server.hits) == ("", 0)
        assert err.startswith("scout: ")
        assert KEY not in err

    def test_a_key_with_a_line_break_is_not_printed(
        self, workflow: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("SCOUT_API_KEY", f"{KEY}\n")

        assert main(["run", str(workflow)]) == 2
        assert KEY not in capsys.readouterr().err


class TestApiErrors:
    def test_a_wrong_key_exits_2_once(self, workflow: Path, local_scout: LocalScout) -> None:
        done = scout("run", workflow, url=local_scout.url, SCOUT_API_KEY="secret_wrong_key")

        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("scout: ")
        assert "401" in done.stderr
        assert "may have started" not in done.stderr
        assert "secret_wrong_key" not in done.stderr

    def test_nobody_there_exits_3_and_nothing_can_have_started(
        self, workflow: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("SCOUT_API_KEY", KEY)
        with refused_url() as url:
            assert main(["run", str(workflow), "--base-url", url, "--retries", "0"]) == 3

        assert "may have started" not in capsys.readouterr().err

    @pytest.mark.parametrize(
        "behaviour",
        [answer(500), answer(503, b'{"detail": "busy"}'), html("<h1>Hi</h1>"), close_unanswered],
        ids=["500", "503", "html", "hang up"],
    )
    def test_what_may_have_started_is_said_and_not_repeated(
        self,
        behaviour: Any,
        workflow: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("SCOUT_API_KEY", KEY)
        with Server(behaviour) as server:
            assert main(["run", str(workflow), "--base-url", server.url]) == 3

        out, err = capsys.readouterr()
        assert (out, server.hits) == ("", 1)
        assert err.endswith(
            "\nscout: not repeated, because the run may have started; make sure before you run it again\n"
        )
        assert KEY not in err

    def test_a_deadline_exits_3(
        self, workflow: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("SCOUT_API_KEY", KEY)
        with Server(silent()) as server:
            assert main(["run", str(workflow), "--base-url", server.url, "--deadline", "0.3"]) == 3

        assert "may have started" in capsys.readouterr().err

    def test_what_a_server_says_cannot_drive_the_terminal(
        self, workflow: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("SCOUT_API_KEY", KEY)
        with Server(json_answer({"detail": "\x1b[2Jgone\u202e"}, status=400)) as server:
            assert main(["run", str(workflow), "--base-url", server.url]) == 2

        err = capsys.readouterr().err
        assert "gone" in err
        assert not re.search("[\x1b\u202e]", err)


class TestOutput:
    def test_control_characters_are_made_visible(self) -> None:
        assert escape(NASTY) == VISIBLE
        assert escape("plain ü 😀 \u2028\n\t") == "plain ü 😀 \u2028\n\t"

    def test_escaped_json_reads_back_the_same(self) -> None:
        text = json.dumps({"a": NASTY}, ensure_ascii=False)

        assert json.loads(escape(text, json=True)) == {"a": NASTY}
        assert escape(escape(text, json=True)) == escape(text, json=True)

    def test_a_pipe_gets_the_answer_untouched(self, workflow: Path) -> None:
        with Server(json_answer(run_body(NASTY))) as server:
            done = scout_process("run", workflow, url=server.url)

        assert done.stdout == NASTY + "\n"

    @pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
    @pytest.mark.parametrize("as_json", [False, True])
    def test_a_terminal_gets_it_escaped(self, workflow: Path, as_json: bool) -> None:
        with Server(json_answer(run_body(NASTY))) as server:
            shown = on_a_terminal("run", workflow, *(["--json"] if as_json else []), url=server.url)

        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
        if as_json:
            assert json.loads(shown)["output"] == NASTY
        else:
            assert shown == VISIBLE + "\n"

    def test_an_answer_ends_with_one_newline(self, workflow: Path) -> None:
        with Server([json_answer(run_body("a\n")), json_answer(run_body({"a": 1}))]) as server:
            assert scout("run", workflow, url=server.url).stdout == "a\n"
            assert scout("run", workflow, url=server.url).stdout == '{"a": 1}\n'

    def test_what_the_encoding_lacks_is_printed_all_the_same(self, workflow: Path) -> None:
        with Server(json_answer(run_body("ü€😀\ud800"))) as server:
            text = scout_process("run", workflow, url=server.url, PYTHONIOENCODING="ascii")
            as_json = run_here("run", workflow, "--json", env=environment(server.url), encoding="ascii")
            as_utf8 = run_here("run", workflow, "--json", env=environment(server.url))

        assert text.stdout == "\\xfc\\u20ac\\U0001f600\\ufffd\n"
        assert json.loads(as_json.stdout)["output"] == "ü€😀\ufffd"
        assert json.loads(as_utf8.stdout)["output"] == "ü€😀\ufffd"

    def test_a_reader_that_left_is_no_reason_to_complain(self, workflow: Path) -> None:
        with Server(json_answer(run_body("x" * 1_000_000))) as server:
            process = subprocess.Popen(
                command("run", workflow),
                env=environment(server.url),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            with process:
                assert process.stdout is not None
                assert process.stderr is not None
                process.stdout.close()
                said = process.stderr.read().decode()

        assert process.returncode == 141
        assert re.fullmatch(r"scout: run run_1 completed .*\n", said)

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_a_full_disk_is_one_line(self, workflow: Path) -> None:
        with Server(json_answer(run_body("ok"))) as server, Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                command("run", workflow),
                env=environment(server.url),
                stdout=full,
                stderr=subprocess.PIPE,
                timeout=PATIENCE,
            )

        assert done.returncode == 2
        assert done.stderr.decode().endswith("scout: cannot write: No space left on device\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
class TestInterrupt:
    @pytest.mark.timing
    def test_ctrl_c_ends_a_run_at_once_with_130(self, workflow: Path) -> None:
        with Server(silent()) as server:
            process = subprocess.Popen(
                command("run", workflow),
                env=environment(server.url),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            with process:
                while not server.requests:
                    time.sleep(0.01)
                interrupted = time.monotonic()
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=PATIENCE)
                seconds = time.monotonic() - interrupted

        assert (process.returncode, out) == (130, b"")
        assert (
            err.decode()
            == "scout: interrupted; if the run had started, it may go on, so make sure before you run it again\n"
        )
        assert seconds < 1.5


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
class TestLocal:
    @pytest.mark.timing
    def test_it_prints_where_it_is_serves_and_stops_within_a_second(self, workflow: Path) -> None:
        with serving("local", "--port", "0") as process:
            export = wait_for_line(process.stdout, "^export ")
            found = re.fullmatch(r"export SCOUT_BASE_URL=(http://127\.0\.0\.1:\d+) SCOUT_API_KEY=(\S+)\n", export)
            assert found, export
            done = scout("run", workflow, "--input", "text=served", SCOUT_BASE_URL=found[1], SCOUT_API_KEY=found[2])
            interrupted = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=PATIENCE)
            seconds = time.monotonic() - interrupted

        assert done.stdout.startswith("served|")
        assert process.returncode == 0
        assert seconds < 1.0
        assert found[1] in err
        assert err.endswith("scout: local Scout stopped\n")
        assert "Traceback" not in err

    def test_a_key_from_the_environment_is_asked_for_and_not_printed(self, workflow: Path) -> None:
        with serving("local", "--port", "0", "--api-key-env", "MY_KEY", MY_KEY=KEY) as process:
            export = wait_for_line(process.stdout, "^export ")
            url = export.split()[1].removeprefix("SCOUT_BASE_URL=")
            right = scout("run", workflow, url=url)
            wrong = scout("run", workflow, url=url, SCOUT_API_KEY="other")
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=PATIENCE)

        assert export.endswith(' SCOUT_API_KEY="$MY_KEY"\n')
        assert KEY not in export + err
        assert (right.returncode, wrong.returncode) == (0, 2)

    def test_a_port_in_use_is_said(self, local_scout: LocalScout, capsys: pytest.CaptureFixture[str]) -> None:
        port = local_scout.url.rpartition(":")[2]

        assert main(["local", "--port", port]) == 2

        out, err = capsys.readouterr()
        assert out == ""
        assert f"port {port}: Address already in use" in err
        assert "--port 0" in err

    @pytest.mark.parametrize("port", ["-1", "70000"])
    def test_an_impossible_port_is_said(self, port: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["local", "--port", port]) == 2
        assert port in capsys.readouterr().err


@contextlib.contextmanager
def serving(*args: object, **more: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command(*args),
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    stop = threading.Timer(PATIENCE, process.kill)
    stop.start()
    try:
        with process:
            try:
                yield process
            finally:
                process.kill()
    finally:
        stop.cancel()


def on_a_terminal(*args: object, url: str) -> str:
    """Return what the command shows on a terminal, with plain line ends."""
    import pty

    ours, theirs = pty.openpty()
    try:
        subprocess.run(command(*args), env=environment(url), stdout=theirs, stderr=subprocess.DEVNULL, timeout=PATIENCE)
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # how Linux says that the other side is closed
            while more := os.read(ours, 65536):
                shown += more
    finally:
        os.close(ours)
    return shown.decode().replace("\r\n", "\n")
