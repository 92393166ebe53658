"""What makes the command comfortable: files, stdin, variants, blocks, errors as JSON, help, completion, doctor."""

import importlib
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import PATIENCE, Done, run_here
from servers import Server, answer, json_answer, refused_url, run_answer, silent, stream

from scout.cli import _exits, main
from scout.cli._command import COMMANDS, make_parser
from scout.local import LocalScout

KEY = "secret_planted_key"

# Two leaves, so no output block; an id with a dot; a number, a list and a nested text to replace.
TWO = """\
blocks:
  - block_id: left
    block_display_name: Left
    block_archetype_id: com.scoutos.text
    block_inputs:
      text: "{{ inputs.text }}"
      temperature: 0.7
      strict: true
      items: [{content: "old", role: user}]
  - block_id: left.over
    block_display_name: Over
    block_archetype_id: com.scoutos.text
    block_inputs: {text: over, "a.b": 1}
"""


@pytest.fixture(scope="module")
def local_scout() -> Iterator[LocalScout]:
    with LocalScout(api_key=KEY) as server:
        yield server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "two.yml"
    path.write_text(TWO)
    return path


def scout(*args: object, url: str, stdin: bytes = b"", cwd: Path | None = None, **more: str) -> Done:
    env = {**os.environ, "SCOUT_API_KEY": KEY, "SCOUT_BASE_URL": url, **more}
    return run_here(*args, env=env, stdin=stdin, cwd=cwd)


def sent(*args: object, stdin: bytes = b"", cwd: Path | None = None) -> tuple[Done, dict[str, Any]]:
    """Run a command against a server that answers every run, and return the body that it got."""
    with Server(json_answer(run_answer("Hello"))) as server:
        done = scout(*args, url=server.url, stdin=stdin, cwd=cwd)
    (request,) = server.requests
    return done, json.loads(request.body)


def refused(*args: object, stdin: bytes = b"", cwd: Path | None = None) -> str:
    """Return the message of a command that is refused, and sends nothing."""
    with Server(json_answer(run_answer("Hello"))) as server:
        done = scout(*args, url=server.url, stdin=stdin, cwd=cwd)
    assert (done.returncode, done.stdout, server.hits) == (2, "", 0), done
    return done.stderr.removeprefix("scout: ").rstrip("\n")


# --- Inputs from files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("text=@letter.txt", "Dear ü,\n\n@you\n"),
        ("text:=@data.json", {"a": [1, 2.5, None]}),
        ("text:=@data.yaml", {"a": "2026-01-01", "b": "no"}),
        ('text:="@letter.txt"', "@letter.txt"),
        ("text=a@letter.txt", "a@letter.txt"),
    ],
)
def test_an_input_comes_from_a_file(given: str, expected: object, file: Path) -> None:
    (file.parent / "letter.txt").write_text("\ufeffDear ü,\n\n@you\n", encoding="utf-8")
    (file.parent / "data.json").write_text('{"a": [1, 2.5, null]}')
    (file.parent / "data.yaml").write_text("a: 2026-01-01\nb: no\n")

    done, body = sent("run", file, "--input", given, cwd=file.parent)

    assert body["inputs"] == {"text": expected}, done


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("text=@gone.txt", "cannot read the file of text=@gone.txt: No such file or directory; for a text that begins"),
        ("text=@gone.txt", "begins with @ write text:='\"@...\"'"),
        ("text=@latin.txt", "latin.txt, line 2, column 3: is not UTF-8: byte 0xfc"),
        ("text:=@latin.txt", "latin.txt, line 2, column 3: is not UTF-8"),
        ("text:=@bad.json", "bad.json, line 2, column 8: is not JSON: "),
        ("text:=@bad.yml", 'bad.yml, line 2, column 1: found duplicate key "a"'),
        ("text=@", "'text=@' names no file after the @; for the text @ write text:='\"@\"'"),
    ],
)
def test_a_file_that_is_no_input_is_named_with_its_place(given: str, words: str, file: Path) -> None:
    (file.parent / "latin.txt").write_bytes("ok\nf\xe9\xfc".encode("latin-1").replace(b"\xe9", b"e"))
    (file.parent / "bad.json").write_text('{\n  "a": oops}')
    (file.parent / "bad.yml").write_text("a: 1\na: 2\n")

    message = refused("run", file, "--input", given, cwd=file.parent)

    assert words in message.replace("is not YAML: ", "")


@pytest.mark.parametrize("name", ["inputs.yml", "inputs.YAML"])
def test_inputs_may_be_yaml(name: str, file: Path) -> None:
    path = file.with_name(name)
    path.write_text("text: no  # as in workflow files\nn: 012\nlist: [1, {a: ~}]\n")

    _, body = sent("run", file, "--inputs", path, "--input", "n=5")

    assert body["inputs"] == {"text": "no", "n": "5", "list": [1, {"a": None}]}


def test_yaml_inputs_that_are_wrong_have_line_and_column(file: Path) -> None:
    path = file.with_name("inputs.yml")
    path.write_text("a: 1\nb: {{ c }}\n")

    assert refused("run", file, "--inputs", path).startswith(f"{path}, line 2, column 4: is not YAML: ")


# --- stdin ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [TWO, json.dumps({"blocks": []}), "\ufeff" + TWO])
def test_a_workflow_comes_from_stdin(text: str, tmp_path: Path) -> None:
    done, body = sent("run", "-", "--input", "text=Hi", stdin=text.encode(), cwd=tmp_path)

    assert done.returncode == 0
    assert len(body["workflow_config"]["blocks"]) == (0 if text[0] == "{" else 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"blocks:\n  - {block_id: a}\n", "stdin, line 2, column 5: blocks[0]: a block needs block_archetype_id"),
        (b"blocks: [\n", "stdin, line 2, column 1: is not YAML: "),
        (b"- a list", "stdin, line 1, column 1: a workflow is a mapping"),
        (b"x: \xff", "stdin, line 1, column 4: is not UTF-8: byte 0xff"),
        (b"", "stdin, line 1, column 1: a workflow is a mapping, and this is nothing"),
    ],
)
def test_a_mistake_on_stdin_is_named_so(text: bytes, words: str, tmp_path: Path) -> None:
    assert refused("run", "-", stdin=text, cwd=tmp_path).startswith(words)


def test_a_422_about_stdin_has_line_and_column(tmp_path: Path) -> None:
    detail = [{"loc": ["body", "workflow_config", "blocks", 1, "block_inputs", "text"], "msg": "too dull", "type": "x"}]
    with Server(json_answer({"detail": detail}, 422)) as server:
        done = scout("run", "-", "--json", url=server.url, stdin=TWO.encode(), cwd=tmp_path)

    assert "scout: stdin, line 13, column 20: blocks.1.block_inputs.text: too dull\n" in done.stderr
    error = json.loads(done.stdout)["error"]
    assert (error["path"], error["line"], error["column"]) == ("stdin", 13, 20)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--inputs", "-"], "FILE and --inputs cannot both be stdin"),
        (["--input", "text=@-"], "FILE and the file of --input text cannot both be stdin"),
        (["--set", "left.text=@-"], "FILE and the file of --set left.text cannot both be stdin"),
    ],
)
def test_stdin_is_read_once(args: list[str], words: str) -> None:
    assert refused("run", "-", *args, stdin=TWO.encode()).startswith(words)


def test_an_input_comes_from_stdin(file: Path) -> None:
    _, body = sent("run", file, "--input", "text=@-", stdin="piped ü".encode())

    assert body["inputs"] == {"text": "piped ü"}


# --- Other blocks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [[], ["--stream"]])
@pytest.mark.parametrize(("block", "output"), [("left", "Hi"), ("left.over", "over")])
def test_the_output_of_any_block_is_printed(
    block: str, output: str, more: list[str], file: Path, local_scout: LocalScout
) -> None:
    done = scout("run", file, "--input", "text=Hi", "--block", block, *more, url=local_scout.url)

    assert (done.returncode, done.stdout) == (0, f"{output}\n")
    assert "no output block" not in done.stderr


def test_the_block_is_the_output_of_the_json_as_well(file: Path, local_scout: LocalScout) -> None:
    done = scout("run", file, "--input", "text=Hi", "--block", "left", "--json", url=local_scout.url)

    run = json.loads(done.stdout)
    assert (run["output"], run["output_block_id"], run["outputs"]["left.over"]) == ("Hi", "left", "over")


def test_an_unknown_block_is_refused_before_the_run(file: Path) -> None:
    message = refused("run", file, "--block", "lefd")

    assert message == (
        "--block lefd: there is no such block; did you mean left?; the blocks of the workflow are left, left.over"
    )


def test_a_workflow_without_an_output_block_says_how_to_choose(file: Path, local_scout: LocalScout) -> None:
    done = scout("run", file, "--input", "text=Hi", url=local_scout.url)

    assert (done.returncode, done.stdout) == (0, "")
    assert "choose a block with --block, or mark one with is_output: " in done.stderr
    assert "left, left.over" in done.stderr


@pytest.mark.parametrize("more", [[], ["--stream"], ["--json"]])
def test_the_blocks_of_a_stored_workflow_are_known_after_the_run(more: list[str], file: Path) -> None:
    with LocalScout(workflows={"two": {"blocks": [block("a"), block("b")]}}) as server:
        workflow = server.workflow_ids["two"]
        right = scout("workflows", "run", workflow, "--block", "b", *more, url=server.url)
        wrong = scout("workflows", "run", workflow, "--block", "bb", *more, url=server.url)

    assert right.returncode == 0
    assert (json.loads(right.stdout)["output"] if more == ["--json"] else right.stdout) in ("b", "b\n")
    assert wrong.returncode == 2
    assert "did you mean b?" in wrong.stderr
    assert "a, b" in wrong.stderr
    if more == ["--json"]:  # the run is paid for, so it is there
        assert json.loads(wrong.stdout)["error"]["run"]["outputs"]["a"] == "a"


def block(name: str) -> dict[str, Any]:
    text = {"block_archetype_id": "com.scoutos.text", "block_inputs": {"text": name}}
    return {"block_id": name, "block_display_name": name, **text}


# --- Variants ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "place", "value"),
    [
        ("left.temperature=0.2", [0, "block_inputs", "temperature"], 0.2),
        ("left.temperature=1", [0, "block_inputs", "temperature"], 1),
        ("left.temperature:=null", [0, "block_inputs", "temperature"], None),
        ("left.strict=false", [0, "block_inputs", "strict"], False),
        ("left.text=5", [0, "block_inputs", "text"], "5"),
        ("left.text=@prompt.txt", [0, "block_inputs", "text"], "from a file\n"),
        ("left.items.0.content=new", [0, "block_inputs", "items", 0, "content"], "new"),
        ("left.items:=[]", [0, "block_inputs", "items"], []),
        ("left.over.text=new", [1, "block_inputs", "text"], "new"),
        ("left.over.a.b=2", [1, "block_inputs", "a.b"], 2),
        ("left..block_display_name=Other", [0, "block_display_name"], "Other"),
        ("left..is_output:=true", [0, "is_output"], True),
    ],
)
def test_a_variant_is_sent_and_the_file_stays(change: str, place: list[Any], value: object, file: Path) -> None:
    file.with_name("prompt.txt").write_text("from a file\n")

    done, body = sent("run", file, "--set", change, cwd=file.parent)

    found = body["workflow_config"]["blocks"]
    for step in place:
        found = found[step]
    assert found == value
    assert type(found) is type(value)
    assert file.read_text() == TWO
    assert ("is a new field of" in done.stderr) == ("is_output" in change)


def test_variants_add_up_and_the_last_one_wins(file: Path) -> None:
    _, body = sent("run", file, *("--set", "left.text=a", "--set", "left.top_p:=0.5", "--set", "left.text=b"))

    inputs = body["workflow_config"]["blocks"][0]["block_inputs"]
    assert (inputs["text"], inputs["top_p"], inputs["temperature"]) == ("b", 0.5, 0.7)


def test_what_yaml_shares_is_changed_in_one_place(file: Path) -> None:
    file.write_text(TWO.replace("{text: over,", "{text: over, items: *i,").replace("items: [", "items: &i ["))

    _, body = sent("run", file, "--set", "left.items.0.content=new")

    blocks = body["workflow_config"]["blocks"]
    assert [each["block_inputs"]["items"][0]["content"] for each in blocks] == ["new", "old"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("lft.text=x", "there is no block lft; did you mean left?"),
        ("nothing=x", "there is no block nothing; the blocks are left, left.over"),
        ("left=x", "name a field of the block as well, such as left.temperature"),
        ("left.temperature.x=1", "temperature in block_inputs of left is a number, and has no fields"),
        ("left.items.1.content=x", "items in block_inputs of left is a list; give the number of an item (0 to 0)"),
        ("left.items.first=x", "is a list; give the number of an item"),
        ("left.itmes.0.content=x", "block_inputs of left has no field 'itmes'; did you mean items?"),
        ("left.temperature=hot", "this replaces a number, and 'hot' is none; write left.temperature:=JSON"),
        ("left.strict=1", "this replaces true or false, and '1' is none"),
        ("left.items=x", "this replaces a list, and 'x' is none"),
        ("left.block_inputs.text=x", "block_inputs is meant anyway; write left.text"),
        ("left.block_display_name=x", "is a field of the block, beside its block_inputs; write left..block_display"),
        ("left..block_id:=5", "with --set this is not a workflow: blocks[0].block_id: must be text"),
        ("left.text=@gone", "cannot read the file of left.text=@gone: No such file"),
    ],
)
def test_a_variant_that_fits_nothing_is_refused(change: str, words: str, file: Path) -> None:
    assert words in refused("run", file, "--set", change, cwd=file.parent)


def test_a_new_field_is_told_with_the_nearest_name(file: Path) -> None:
    done, _ = sent("run", file, "--set", "left.temprature=1")

    assert (
        "scout: --set left.temprature: temprature is a new field of block_inputs of left, with text (for another kind "
        "of value write left.temprature:=JSON); did you mean temperature?\n"
    ) in done.stderr


# --- Errors as JSON ---------------------------------------------------------------------------------------------------


def error_of(done: Done) -> dict[str, Any]:
    """Return the error in the last line of the output, which holds what is always there."""
    error: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])["error"]
    assert error["exit_code"] == done.returncode
    assert error["message"] in done.stderr.replace("\n", " ") or error["message"].split("\n")[0] in done.stderr
    assert KEY not in done.stdout.splitlines()[-1]
    return error


@pytest.mark.parametrize(
    "args",
    [["run", "FILE"], ["run", "FILE", "--stream"], ["workflows", "list"], ["workflows", "get", "wf_1"],
     ["workflows", "deploy", "FILE", "--key", "k"], ["workflows", "delete", "wf_1", "--yes"]],
    ids=" ".join,
)  # fmt: skip
def test_an_error_of_the_api_is_json_in_each_command(args: list[str], file: Path) -> None:
    body = {"detail": {"code": "nope", "message": f"not with {KEY}"}}
    with Server(json_answer(body, 403, {"X-Request-Id": "req_1"})) as server:
        done = scout(*[str(file) if word == "FILE" else word for word in args], "--json", url=server.url)

    error = error_of(done)
    assert done.stdout.count("\n") == 1
    assert (error["type"], error["status"], error["code"]) == ("PermissionDeniedError", 403, "nope")
    assert (error["run_may_have_started"], error["exit_code"]) == (False, 2)
    assert "run" not in error


@pytest.mark.parametrize("content", [b"a: 1\nb: ]\n", b"a: 1\nb: \xff\n"])
def test_an_error_in_a_file_of_inputs_has_its_place(content: bytes, file: Path) -> None:
    file.with_name("inputs.yml").write_bytes(content)
    error = error_of(scout("run", file, "--inputs", "inputs.yml", "--json", url="", cwd=file.parent))

    assert (error["path"], error["line"], error["column"] is not None) == ("inputs.yml", 2, True)


def test_what_may_have_started_and_when_to_come_back_is_told(file: Path) -> None:
    with Server([answer(500), answer(429, headers={"Retry-After": "7"})]) as server:
        started = error_of(scout("run", file, "--json", url=server.url))
        busy = error_of(scout("run", file, "--json", "--rate-limit-timeout", "1", url=server.url))
    with refused_url() as url:
        away = error_of(scout("run", file, "--json", "--retries", "0", url=url))

    assert (started["type"], started["run_may_have_started"]) == ("InternalServerError", True)
    assert (busy["type"], busy["retry_after"], busy["run_may_have_started"]) == ("RateLimitError", 7, False)
    assert (away["type"], away["run_may_have_started"]) == ("APIConnectionError", False)


@pytest.mark.parametrize(
    ("args", "kind", "words"),
    [
        (["run", "FILE", "--jsn", "--json"], "UsageError", "there is no option --jsn; did you mean --json?"),
        (["run", "--json"], "UsageError", "the following arguments are required: FILE"),
        (["run", "FILE", "--block", "x", "--json"], "UsageError", "there is no such block"),
        (["run", "nowhere.yml", "--json"], "WorkflowFileError", "cannot be read"),
        (["run", "FILE", "--timeout", "-1", "--json"], "ConfigurationError", "--timeout must be"),
        (["run", "FILE", "--json", "--local", "--replay", "x"], "UsageError", "--replay answers"),
        (["workflows", "delete", "wf_1", "--json"], "UsageError", "it needs --yes"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_of_the_user_is_json(args: list[str], kind: str, words: str, file: Path) -> None:
    done = scout(*[str(file) if word == "FILE" else word for word in args], url="http://127.0.0.1:9")

    error = error_of(done)
    assert (error["type"], error["exit_code"], error["run_may_have_started"]) == (kind, 2, False)
    assert words in error["message"]


def test_the_place_in_a_file_is_in_the_error(file: Path) -> None:
    file.write_text("blocks:\n  - {block_id: a}\n")

    error = error_of(scout("run", file, "--json", "--local", url="http://127.0.0.1:9"))

    assert (error["path"], error["line"], error["column"]) == (str(file), 2, 5)


STARTED = {"workflow_id": "wf_1", "workflow_run_id": "run_1", "session_id": "sess_1"}


def events(*names: str) -> list[bytes]:
    told: list[dict[str, Any]] = [
        {"name": name, "data": {**STARTED, "block_id": "left", "update_type": "delta", "update_data": {"value": "Hel"}}}
        for name in names
    ]
    return [f"event: {each['name']}\ndata: {json.dumps(each)}\n\n".encode() for each in told]


def test_an_interrupted_stream_ends_with_an_error_that_holds_the_run(file: Path) -> None:
    parts = events("workflow_run_started", "block_run_started")
    parts[0] = parts[0].replace(b"sess_1", KEY.encode())  # a server that echoes it
    with Server(stream(parts)) as server:
        done = scout("run", file, "--json", "--stream", url=server.url)

    error = error_of(done)
    assert [json.loads(line).get("name") for line in done.stdout.splitlines()] == [
        "workflow_run_started", "block_run_started", None
    ]  # fmt: skip
    assert (error["type"], error["exit_code"]) == ("StreamInterruptedError", 3)
    assert error["run"]["session_id"] == "[redacted]"
    assert (error["run"]["id"], error["run"]["blocks"][0]["id"]) == ("run_1", "left")
    assert error["run_may_have_started"] is True


def test_a_run_that_has_not_ended_is_an_error_that_holds_it(file: Path) -> None:
    (event,) = events("workflow_run_started")
    with Server(json_answer(json.loads(event.split(b"data: ")[1]))) as server:
        done = scout("run", file, "--json", url=server.url)

    assert done.stdout.count("\n") == 1
    assert (error_of(done)["type"], error_of(done)["run"]["status"]) == ("RunNotFinishedError", "started")


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_is_json_with_what_is_known_of_the_run(file: Path) -> None:
    def stop(peer: Any) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        peer.send(events("workflow_run_started")[0])
        os.kill(os.getpid(), signal.SIGINT)
        peer.request()

    with Server(stop) as server:
        done = scout("run", file, "--json", "--stream", url=server.url)

    assert done.returncode == 130
    error = error_of(done)
    assert (error["type"], error["run_may_have_started"]) == ("Interrupted", True)


def test_a_result_can_hold_the_errors_itself(capsys: pytest.CaptureFixture[str]) -> None:
    _exits.begin(as_json=True)
    _exits.hold_in_result()
    assert _exits.refuse("one") == 2
    _exits.begin(as_json=False)

    assert capsys.readouterr() == ("", "scout: one\n")


def test_without_json_stdout_has_no_error(file: Path) -> None:
    with Server(answer(500)) as server:
        assert scout("run", file, "--stream", url=server.url).stdout == ""


def test_an_error_whose_reader_has_gone_is_quiet(file: Path) -> None:
    program = [sys.executable, "-m", "scout", "run", str(file), "--jsn", "--json"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read().decode()

    assert process.returncode == 141
    assert said.count("\n") == 1


# --- The same twice ---------------------------------------------------------------------------------------------------

TWICE = """
import sys
from scout.cli import _exits, main
for options in {}:
    main(["run", "bad.yml", *options])
"""
FAILING = "blocks:\n" + "".join(
    f"""\
  - block_id: block{number}
    block_display_name: B
    block_archetype_id: com.{"scoutos.text" if number else "example.unheard"}
    block_inputs: {{text: "{{{{ nothing.{number} }}}} {{{{ inputs.text }}}}"}}
"""
    for number in range(5)
)


def test_what_fails_looks_the_same_each_time(tmp_path: Path) -> None:
    (tmp_path / "bad.yml").write_text(FAILING)
    detail = [{"loc": ["body", "workflow_config", "blocks", 1], "msg": "no", "type": "x"}]
    behaviours = [json_answer({"detail": detail}, 422), json_answer({"detail": "broken"}, 500)]
    with Server(behaviours * 2) as server:
        calls = [["--local"], ["--set", "blok.x=1", "--local"], ["--base-url", server.url], ["--base-url", server.url]]
        # This process has another seed, and has run other workflows before.
        here = [scout("run", "bad.yml", *options, url=server.url, cwd=tmp_path) for options in calls]
        env = {**os.environ, "SCOUT_API_KEY": KEY, "PYTHONHASHSEED": "4711"}
        program = [sys.executable, "-c", TWICE.format(calls)]
        done = subprocess.run(program, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)

    assert done.stderr == "".join(each.stderr for each in here)
    assert [each.returncode for each in here] == [1, 2, 2, 3]
    assert "the run failed on the local Scout\nscout: " in done.stderr
    assert "bad.yml, line 6, column 5: blocks.1: no" in done.stderr
    assert server.hits == 4


# --- Help, and the start ----------------------------------------------------------------------------------------------

ACTIONS = [
    *(f"workflows {action}" for action in ("list", "get", "pull", "deploy", "delete", "run")),
    *(f"workflows {action}" for action in ("revisions", "rename-revision", "delete-revision")),
    *(f"workflows {action}" for action in ("promote", "environments", "set-environment")),
    *(f"runs {action}" for action in ("list", "show", "find")),
]


def shown(*args: str, columns: int = 80) -> list[str]:
    done = run_here(*args, "--help", env={**os.environ, "COLUMNS": str(columns)})
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_the_help_shows_each_command_in_its_group() -> None:
    lines = shown()

    assert lines[0] == "usage: scout COMMAND [options]"
    for name, (_, about) in COMMANDS.items():
        assert any(line.startswith(f"  {name} ") and about.split()[0] in line for line in lines), name


@pytest.mark.parametrize("name", [*COMMANDS, *ACTIONS])
def test_the_help_of_a_command_begins_with_what_it_does_and_examples(name: str) -> None:
    lines = shown(*name.split())
    examples = lines.index("examples:")

    assert lines[0].startswith(f"usage: scout {name}")
    assert len(lines[0]) < 80
    assert lines[2][0].isupper()
    assert 2 <= lines.index("", examples) - examples - 1 <= 5
    assert all(line.startswith("  ") and "scout " in line for line in lines[examples + 1 : lines.index("", examples)])
    assert lines.index("options:") > examples


@pytest.mark.parametrize("columns", [80, 50, 20])
def test_the_help_fits_the_terminal(columns: int) -> None:
    for name in ([], ["run"], ["workflows", "list"]):
        lines = shown(*name, columns=columns)
        prose = [line for line in lines if not line.startswith("  scout ")]  # examples are for copying
        assert max(map(len, prose)) < max(columns, 60), name


def test_the_examples_of_the_help_can_be_parsed() -> None:
    # What belongs to the shell: comments, redirections, substitutions.
    of_the_shell = re.compile(r" #.*| [<>] .*|^  eval \"\$\(|\)\"(?= |$)")
    for name in [[], *(each.split() for each in (*COMMANDS, *ACTIONS))]:
        for line in shown(*name):
            words = of_the_shell.sub("", re.sub(r"<\(.*?\)", "file.yml", line)).strip()
            if line.startswith("  ") and words.startswith("scout "):
                args = shlex.split(words)[1:]
                assert make_parser().parse_args(args).handler, line


def test_the_help_imports_no_command() -> None:
    program = """
import sys
from scout.cli import _exits, main
assert main(["--help"]) == 0
commands = ["scout.cli.run", "scout.cli.workflows", "scout.cli.doctor", "scout.cli._execution", "scout._json"]
print("loaded:", [name for name in (*commands, "typing", "pathlib", "dataclasses") if name in sys.modules])
assert main(["run", "--help"]) == 0
print("loaded by run:", [name for name in ("dataclasses", "inspect", "httpx", "scout.client") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path}\n{program}"],
                          capture_output=True, text=True, timeout=PATIENCE)  # fmt: skip

    assert "loaded: []" in done.stdout, done.stderr
    assert "loaded by run: []" in done.stdout, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("args", ["--help", "run --help", "--version"])
def test_help_that_cannot_be_written_is_an_error(args: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        monkeypatch.setattr(sys, "stderr", said)
        assert main(args.split()) == 2
    assert said.getvalue() == "scout: cannot write: No space left on device\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_a_module_of_its_name(name: str) -> None:
    module = importlib.import_module(f"scout.cli.{name}")

    assert module.DESCRIPTION
    assert getattr(module, "HELP", COMMANDS[name][1]) == COMMANDS[name][1]


# --- Completion -------------------------------------------------------------------------------------------------------

BASH = """
source ./script
complete -p scout
try() {
  COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
  _shtab_scout scout "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
  echo "$*: ${COMPREPLY[*]}"
}
try scout wor
try scout run --st
try scout workflows pu
try scout run tw
try scout run --inputs tw
try scout check --format s
try scout completion z
try scout runs list --status f
try scout promote hello st
try scout promote hello staging pr
try scout deploy --to de
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_options_and_files(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab")
    assert main(["completion", "bash"]) == 0
    file.with_name("script").write_text(capsys.readouterr().out)

    done = subprocess.run(
        ["bash", "--norc", "-c", BASH], cwd=file.parent, capture_output=True, text=True, timeout=PATIENCE
    )

    assert done.stderr == ""
    assert done.stdout.splitlines()[0].endswith("-F _shtab_scout scout")
    assert done.stdout.splitlines()[1:] == [
        "scout wor: workflows",
        "scout run --st: --stream --stubs",
        "scout workflows pu: pull",
        "scout run tw: two.yml",
        "scout run --inputs tw: two.yml",
        "scout check --format s: sarif",
        "scout completion z: zsh",
        "scout runs list --status f: failed",
        "scout promote hello st: staging",
        "scout promote hello staging pr: production",
        "scout deploy --to de: development",
    ]


@pytest.mark.parametrize("shell", ["zsh", "fish", "tcsh"])
def test_other_shells_get_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab")

    assert main(["completion", shell]) == 0

    script = capsys.readouterr().out
    for word in ("workflows", "completion", "stream", "overwrite"):
        assert word in script


def test_without_shtab_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)

    assert main(["completion", "bash"]) == 2
    assert capsys.readouterr() == ("", "scout: completion needs shtab: pip install 'scout-workflows[cli]'\n")


def test_an_unknown_shell_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bsh"]) == 2
    assert "'bsh' is none of bash, zsh, fish, tcsh; did you mean bash?" in capsys.readouterr().err


# --- Doctor -----------------------------------------------------------------------------------------------------------


def findings(*args: str, url: str, key: str | None = KEY, **more: str) -> tuple[int, dict[str, dict[str, Any]]]:
    done = scout("doctor", "--json", *args, url=url, **{"SCOUT_API_KEY": key or "", **more})
    report = json.loads(done.stdout)
    assert done.stderr == ""
    assert report["exit_code"] == done.returncode
    assert report["ok"] == (done.returncode == 0)
    assert not key or key not in done.stdout
    return done.returncode, {each["name"]: each for each in report["findings"]}


def test_a_healthy_patient(local_scout: LocalScout) -> None:
    code, found = findings(url=local_scout.url)

    assert code == 0
    assert {name: each["status"] for name, each in found.items()} == dict.fromkeys(
        ["versions", "extras", "settings", "key", "address", "name", "connection", "answer", "time", "key works"], "ok"
    )
    assert found["address"]["message"] == f"{local_scout.url} from SCOUT_BASE_URL"
    assert found["key"]["message"] == "from SCOUT_API_KEY"


def test_the_report_is_for_people(local_scout: LocalScout) -> None:
    done = scout("doctor", url=local_scout.url, SCOUT_API_KEY="")

    assert done.returncode == 2
    assert "\nproblem  key: SCOUT_API_KEY is empty\n         set it to a key from Scout's studio" in done.stdout
    assert "\nok       answer: 401: it asks for a key, as Scout does\n" in done.stdout


def test_the_key_of_a_local_scout_is_short_and_good() -> None:
    with LocalScout() as server:
        assert findings(url=server.url, key="qzx")[1]["key"]["status"] == "ok"


@pytest.mark.parametrize("key", ["secret_wrong_key", "spaced secret_key", "ü_secret_key"])
def test_a_key_that_is_wrong(key: str, local_scout: LocalScout) -> None:
    code, found = findings(url=local_scout.url, key=key)

    assert code == 2
    assert found["key works" if key == "secret_wrong_key" else "key"]["status"] == "problem"


@pytest.mark.parametrize(
    ("behaviour", "name", "words", "code"),
    [
        (silent(), "answer", "no answer within 0.2 s", 3),
        (answer(404), "answer", "404: this is not Scout", 2),
        (answer(302, headers={"Location": "https://elsewhere.example"}), "answer", "302: a redirect", 2),
        (answer(503), "answer", "503: Scout or a proxy before it fails", 3),
        (answer(401, headers={"Date": "Mon, 01 Jan 2024 00:00:00 GMT"}), "time", " s ahead of that of the server", 2),
        (answer(401, headers={"Date": "nonsense"}), "answer", "401", 2),
    ],
    ids=["silent", "404", "302", "503", "skew", "bad date"],
)
def test_a_server_that_is_ill(behaviour: Any, name: str, words: str, code: int) -> None:
    with Server(behaviour) as server:
        found_code, found = findings("--timeout", "0.2", url=server.url)

    assert words in found[name]["message"]
    assert found_code == code


def test_nobody_there_and_no_name() -> None:
    with refused_url() as url:
        code, found = findings(url=url)
    assert (code, found["connection"]["message"].partition(": ")[2]) == (3, "Connection refused")

    code, found = findings("--base-url", "https://nothing.invalid", url="")
    assert (code, found["name"]["status"]) == (3, "problem")
    assert found["address"]["message"] == "https://nothing.invalid from --base-url"


@pytest.mark.parametrize("url", ["nonsense", "http://scout.example", "https://user:secret_pw@scout.example"])
def test_an_address_that_cannot_be_used(url: str) -> None:
    code, found = findings(url=url)

    assert (code, found["address"]["status"]) == (2, "problem")
    assert "secret_pw" not in str(found)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HTTPS_PROXY", "http://127.0.0.1:abc"),
        ("HTTPS_PROXY", "http://[::1"),
        ("HTTPS_PROXY", "http://"),
        ("HTTPS_PROXY", "carrier://pigeon"),
        ("SSL_CERT_FILE", "nowhere.pem"),
    ],
)
def test_settings_of_the_environment_that_cannot_be_used(variable: str, value: str) -> None:
    code, found = findings(url="https://scout.invalid", key=None, **{variable: value})

    assert (code, found["environment"]["status"]) == (2, "problem")
    assert variable in found["environment"]["message"]
    assert "name" not in found


def test_the_settings_of_the_project_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.scout\n")
    with refused_url() as url:
        done = scout("doctor", url=url, cwd=tmp_path)

    assert f"problem  settings: {tmp_path}/pyproject.toml is not TOML: " in done.stdout
    assert done.returncode == 2


def test_the_settings_are_those_that_check_uses(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.scout]\nignore = ["SW051"]\n')
    (tmp_path / "package").mkdir()
    (tmp_path / "package/pyproject.toml").write_text("[project]\n")
    with refused_url() as url:
        done = scout("doctor", url=url, cwd=tmp_path / "package")

    assert f"ok       settings: [tool.scout] in {tmp_path}/pyproject.toml\n" in done.stdout
    assert "ok       extras: cli, dask, graph, local, otel\n" in done.stdout
