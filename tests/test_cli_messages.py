"""What the `scout` command says on stderr: waits, stand-ins, Ctrl-C, fresh lines, and advice in terms of options."""

import ast
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
from unittest.mock import patch

import pytest
from commands import PATIENCE, Done, run_here
from servers import Behaviour, Peer, Server, answer, chunked, json_answer, refused_url, run_answer, silent
from test_cli_exits import ctrl_c

import scout as package
from scout.cli import main
from scout.cli._advice import about_option, in_options

HOUSE = Path(package.__file__).parent
KEY = "secret_planted_key"
BLOCK = {"block_id": "answer", "block_display_name": "Answer", "is_output": True}
TEXT = {"blocks": [{**BLOCK, "block_archetype_id": "com.scoutos.text", "block_inputs": {"text": "Hello"}}]}
PROMPTS = {"prompt_items": [{"role": "user", "content": "Hi"}]}
LLM = {"blocks": [{**BLOCK, "block_archetype_id": "com.scoutos.llm", "block_inputs": PROMPTS}]}
OK = json_answer(run_answer())


def environment(url: str | None = None, **more: str) -> dict[str, str]:
    return {**os.environ, "SCOUT_API_KEY": KEY, **({} if url is None else {"SCOUT_BASE_URL": url}), **more}


def scout(*args: object, url: str | None = None, **more: str) -> Done:
    return run_here(*args, env=environment(url, **more))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "workflow.json"
    path.write_text(json.dumps(TEXT))
    return path


# --- Which language model -------------------------------------------------------------------------------------------

MODEL = {"choices": [{"message": {"role": "assistant", "content": "from the model"}, "finish_reason": "stop"}]}


@pytest.mark.parametrize("options", [[], ["--stream"], ["--json"]])
@pytest.mark.parametrize(
    ("config", "stubs", "has_model", "is_said"),
    [
        (LLM, "", False, True),
        (LLM, "answer: fixed", False, True),
        (LLM, "", True, False),
        (TEXT, "", False, False),
        ({"blocks": []}, "", False, False),
    ],
    ids=["stand-in", "stub", "model", "no model needed", "no blocks"],
)
def test_a_stand_in_is_told_of_where_one_has_answered(
    config: Any, stubs: str, has_model: bool, is_said: bool, options: list[str], file: Path
) -> None:
    file.write_text(json.dumps(config))
    file.with_name("stubs.yml").write_text(stubs)
    with Server(json_answer(MODEL)) as server:
        model = ["--llm-base-url", f"{server.url}/v1"] if has_model else []
        done = scout("run", file, "--local", *model, *options)

    assert done.returncode == 0
    assert " on the local Scout" in done.stderr
    assert ("a stand-in plays the language model" in done.stderr) is is_said


# --- Fresh lines ----------------------------------------------------------------------------------------------------


def event(name: str, **data: Any) -> bytes:
    ids = {"workflow_id": "wf_1", "workflow_run_id": "run_1", "session_id": "sess_1"}
    rest = {"id": name, "organization_id": "o", "environment": "production", "version": "1.0", "event_type": name}
    value = {"name": name, "timestamp": "2026-03-02T10:00:00+00:00", **rest, "data": {**ids, **data}}
    return f"event: {name}\ndata: {json.dumps(value)}\n\n".encode()


BEGIN = event("workflow_run_started", inputs={}, state={}, price=0)
HEL = event(
    "block_state_updated", block_id="answer", block_type="x", update_type="partial", update_data={"output": "Hel"}
)
LO = event(
    "block_state_updated", block_id="answer", block_type="x", update_type="partial", update_data={"output": "lo"}
)
OTHER = event("block_run_started", block_id="other", config={}, state={})
END = event("workflow_run_completed", output={"answer": {"output": "Hello"}})


def streamed(*frames: bytes) -> Behaviour:
    return chunked(frames, content_type="text/event-stream")


def interrupted_stream(peer: Peer) -> None:
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + BEGIN + HEL)
    peer.server.wait_until(lambda: b"Hel" in log_of(peer.server))
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    peer.wait(PATIENCE)


def log_of(server: Server) -> bytes:
    return Path(os.environ["LOG"]).read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize(
    ("behaviour", "lines"),
    [
        (streamed(BEGIN, HEL, LO, END), ["Hello", "scout: run run_1 completed in "]),
        (
            streamed(BEGIN, HEL, OTHER, LO, END),
            ["Hel", "scout: block other started", "lo", "scout: run run_1 completed in "],
        ),
        (
            streamed(BEGIN, HEL),
            [
                "Hel",
                "scout: the stream ended before the run did",
                "scout: this is not the whole",
                "scout: to find out what became of it: scout runs find wf_1 sess_1",
            ],
        ),
        (
            interrupted_stream,
            [
                "Hel",
                "scout: interrupted; if the run had started, it may go on",
                "scout: to find out what became of it: scout runs find wf_1 sess_1",
            ],
        ),
    ],
    ids=["whole", "progress", "broken", "Ctrl-C"],
)
def test_messages_begin_a_line_where_both_streams_go_to_one_file(
    behaviour: Behaviour, lines: list[str], file: Path
) -> None:
    log = file.with_name("log")
    with Server(behaviour) as server, log.open("a", encoding="utf-8") as out, log.open("a", encoding="utf-8") as err:
        variables = environment(server.url, LOG=str(log))
        with patch.multiple(sys, stdout=out, stderr=err), patch.dict(os.environ, variables, clear=True):
            main(["run", str(file), "--stream"])

    found = log.read_text(encoding="utf-8").splitlines()
    assert len(found) == len(lines), found
    assert all(line.startswith(begins) for line, begins in zip(found, lines, strict=True)), found


# --- Waits ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("options", [[], ["--json"], ["--stream"]])
def test_each_wait_for_a_429_is_told(options: list[str], file: Path) -> None:
    with Server([answer(429, headers={"Retry-After": "4"}), answer(429, headers={"Retry-After": "1.5"}), OK]) as server:
        done = scout("run", file, *options, url=server.url)

    assert done.returncode == 0
    # The client adds up to half a second, so that many clients do not come back at the same moment.
    assert re.match(
        r"scout: 429, waiting 4(\.\d)? s, attempt 2\nscout: 429, waiting (1\.[5-9]|2) s, attempt 3\n", done.stderr
    )
    assert "waiting" not in done.stdout
    if options == ["--json"]:
        assert json.loads(done.stdout)["output"] == "Hello"


@pytest.mark.parametrize("command", ["run", "run --stream", "workflows get"])
def test_the_waits_for_a_429_can_be_limited(command: str, file: Path) -> None:
    with Server(answer(429, headers={"Retry-After": "4"})) as server:
        done = scout(
            *command.split(), "hello" if "get" in command else file, "--rate-limit-timeout", "3", url=server.url
        )

    assert (done.returncode, server.hits) == (3, 1)
    assert "waiting" not in done.stderr
    assert "retry after 4 s" in done.stderr


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("command", ["run", "workflows get"])
def test_each_wait_for_a_connection_is_told(command: str, file: Path) -> None:
    with refused_url() as url:
        done = scout(*command.split(), "hello" if "get" in command else file, url=url)

    assert done.returncode == 3
    assert re.match(rf"scout: no connection to {url}, waiting [01](\.\d)? s, attempt 2\n", done.stderr)
    assert done.stderr.count("waiting") == 2


@pytest.mark.usefixtures("no_waiting")
def test_a_read_that_fails_tells_its_status(file: Path) -> None:
    with Server([answer(503), json_answer({"detail": "gone"}, 404)]) as server:
        done = scout("workflows", "get", "wf_1", url=server.url)

    assert re.match(r"scout: 503, waiting [01](\.\d)? s, attempt 2\n", done.stderr)


# --- Ctrl-C ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["run", "FILE"], "if the run had started, it may go on, so make sure before you run it again"),
        (["run", "FILE", "--stream"], "if the run had started, it may go on, so make sure before you run it again"),
        (["workflows", "run", "wf_1"], "if the run had started, it may go on, so make sure before you run it again"),
        (
            ["workflows", "deploy", "FILE", "--key", "k"],
            "it may have been done all the same; look before you do it again",
        ),
        (["workflows", "delete", "wf_1", "--yes"], "it may have been done all the same; look before you do it again"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_ctrl_c_says_what_may_have_happened(argv: list[str], words: str, file: Path) -> None:
    with Server(ctrl_c) as server:
        done = scout(*[str(file) if word == "FILE" else word for word in argv], url=server.url)

    assert (done.returncode, done.stdout) == (130, "")
    first, *rest = done.stderr.splitlines()
    assert first == f"scout: interrupted; {words}"
    assert len(rest) == (argv[:2] == ["workflows", "run"])
    assert all("to find out what became of it: scout runs find wf_1 scout-cli-" in line for line in rest)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_while_nothing_was_sent_says_no_more() -> None:
    with Server(ctrl_c) as server:
        done = scout("workflows", "list", url=server.url)

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "scout: interrupted\n")


PROCESS = """
import os, signal, sys
{}
from scout.cli import main
sys.argv[1:] = {!r}
sys.exit(main())
"""
WHEN_IMPORTED = """
class Finder:
    def find_spec(self, name, *rest):
        if name == {!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""
# A mutex that is locked twice: like a look-up of a host name, it waits in C and is not ended by a signal.
STUCK = """
import ctypes, socket
def stuck(*_, **__):
    mutex, library = ctypes.create_string_buffer(64), ctypes.CDLL(None)
    print("stuck", flush=True)
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)
socket.getaddrinfo = stuck
"""


def process(begin: str, *argv: object) -> subprocess.Popen[str]:
    program = PROCESS.format(begin, list(map(str, argv)))
    pipe = subprocess.PIPE
    # Ctrl-C is ignored in the background jobs of a script, of which the tests may be one.
    allow = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n{program}"
    return subprocess.Popen(
        [sys.executable, "-c", allow], env=environment("https://nothing.invalid"), stdout=pipe, stderr=pipe, text=True
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("module", ["argparse", "httpx"])
def test_ctrl_c_while_it_is_imported_prints_no_traceback(module: str, file: Path) -> None:
    running = process(WHEN_IMPORTED.format(module), "run", file)
    out, err = running.communicate(timeout=PATIENCE)

    assert (running.returncode, out) == (130, "")
    assert err in ("", "scout: interrupted\n")


@pytest.mark.skipif(sys.platform != "linux", reason="needs the mutex of glibc")
def test_a_second_ctrl_c_ends_it_at_once_wherever_it_is(file: Path) -> None:
    running = process(STUCK, "run", file)
    assert running.stdout is not None
    try:
        assert running.stdout.readline() == "stuck\n"
        ends_at = time.monotonic() + 5
        while running.poll() is None and time.monotonic() < ends_at:
            running.send_signal(signal.SIGINT)
            time.sleep(0.05)
        # By the signal itself, for which shells say 130, when the first one came before it was stuck.
        assert running.poll() in (130, -signal.SIGINT)
    finally:
        running.kill()
        running.communicate()


# --- Advice in terms of options ---------------------------------------------------------------------------------------

# Messages that no command can cause, by a part of each.
NOT_OF_THE_COMMAND = (
    "this raw client",
    "this test uses scout_local",
    "a name in extra_query",
    "from_dict(...)",
    "max_connections must",
    "extra_body is not for",
    "extra_query[",
    "workflow_key is not for a stored workflow",
    "give either id= or key=",
    "give either revision_id= or latest=True",
    "with set_environment(revision_id=...), and deploy again",
    "max_event_bytes must",
    "token_delay must",
    "on_access",
    "load_workflow(path).config",
    "X must be True or False",
    "the key belongs into api_key=",
    "the fixture scout_local_options",
    "this test uses scout_local",
    "a name in extra_query",
    "inside a frozen program",
    "Each part of it must be an object of its generated class",
    "on_progress must be a function",
    "X must be a function or None",  # the hooks
    "tracing must be",
    "engine must be one such",
    "a client with transport= sends from this process",
    "extra_body must not hold inputs",
    "the Dask client does not answer within",
    "give either run_id= or session_id=",
    "give either revision_id= or latest=True",
    "summary_only must be True or False",
    "X must have a time zone",
    "resolve= is not possible together with a session_id",
)
# Words of files, of answers and of `--fault`, which look like arguments.
NOT_ARGUMENTS = re.compile(
    r"workflow_key|workflow_config|workflow_id|block_\w+|_env|prompt_items|finish_reason|content_filter|next_cursor|has_more|update_data|status=429"
    r"|stop_reason|stall_after|cut_after|retry_after|create_string|is_output|api\.scoutos\.com|stubs\.yml|run\.state"
    r"|finish_reason|content_filter|the session_id is not text"
)
PYTHON = re.compile(
    r"\b[a-z]+(_[a-z]+)+\b|\b[a-z_]+=|\b[A-Za-z_.]+\((?!s\))\S|\bNone\b|\bTrue\b|(?<![\w.])\.[a-z]+\b|\((timeout|deadline)\)"
)


def messages() -> Iterator[str]:
    """Yield the texts in calls that make errors, and in functions of a part of one, with `X` for what is filled in."""
    for path in sorted(HOUSE.rglob("*.py")):
        if path.parent.name == "cli":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        spots = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and is_error(node)]
        spots += [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) and each.name in ADVICE]
        for spot in spots:
            for node in ast.walk(spot):
                if isinstance(node, ast.JoinedStr):
                    values = [part.value if isinstance(part, ast.Constant) else "X" for part in node.values]
                    yield "".join(map(str, values))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
                    yield node.value


ADVICE = (
    "_advice",
    "_connect_error",
    "_silence_error",
    "_deadline_error",
    "_quoted",
    "_not_understood",
    "_no_key",
    "_name",
)


def is_error(call: ast.Call) -> bool:
    return ast.unparse(call.func).endswith(("Error", "_garbled", "_reword", "_failure"))


def test_no_message_advises_arguments_of_python() -> None:
    found = [text for text in dict.fromkeys(messages()) if " " in text]
    assert len(found) > 100
    assert sum(about_option(in_options(text)) != text for text in found) > 15

    bad = []
    for text in found:
        said = about_option(in_options(text))
        if PYTHON.search(NOT_ARGUMENTS.sub("", said)) and not any(part in text for part in NOT_OF_THE_COMMAND):
            bad.append(said)
    assert bad == []


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["run", "FILE", "--base-url", "http://api.example.com"], "give --allow-http if that network is yours"),
        (["run", "FILE", "--timeout", "-1"], "--timeout must be more than 0 seconds, not -1.0"),
        (["run", "FILE", "--retries", "-1"], "--retries must be a whole number"),
        (["run", "wf_0011223344556677"], "for a stored workflow use `scout workflows run`"),
        (["workflows", "get", ""], "WORKFLOW must not be empty"),
        (["workflows", "list", "--limit", "0"], "--limit must be a whole number"),
        (["workflows", "deploy", "FILE"], "give --key, or put workflow_key into the file"),
        (
            ["local", "--llm-api-key-env", "SCOUT_API_KEY"],
            "--llm-api-key-env is for the server that --llm-base-url names",
        ),
        (["local", "--store", ""], "--store must name a file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_told_by_the_name_of_the_option(argv: list[str], said: str, file: Path) -> None:
    done = scout(*[str(file) if word == "FILE" else word for word in argv], url="https://nothing.invalid")

    assert done.returncode == 2
    assert said in done.stderr


def test_a_limit_that_is_reached_is_told_by_its_option(file: Path) -> None:
    with Server(silent()) as server:
        done = scout("run", file, "--timeout", "0.1", url=server.url)

    assert "the server was silent for 0.1 s (--timeout): " in done.stderr


def test_words_of_a_server_stay(file: Path) -> None:
    words = "timeout must be (timeout) None and base_url=x"
    with Server(json_answer({"detail": words}, 400)) as server:
        done = scout("run", file, url=server.url)

    assert words in done.stderr


def test_allow_http_is_passed_on(file: Path) -> None:
    with refused_url() as proxy:
        done = scout("run", file, "--retries", "0", "--allow-http", url="http://api.example.com", HTTP_PROXY=proxy)

    assert done.returncode == 3
    assert "without TLS" not in done.stderr


# --- Misspelt ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ("run w.yml --steam", "there is no option --steam; did you mean --stream? (see `scout run --help`)"),
        ("run --steam", "there is no option --steam; did you mean --stream? (see `scout run --help`)"),
        ("run --tiemout=5 w.yml", "there is no option --tiemout; did you mean --timeout? (see `scout run --help`)"),
        ("run w.yml -stream", "there is no option -stream; did you mean --stream? (see `scout run --help`)"),
        ("run w.yml --colour", "there is no option --colour (see `scout run --help`)"),
        (
            "workflows deploy --kye k w.yml",
            "no option --kye; did you mean --key? (see `scout workflows deploy --help`)",
        ),
        ("workflows pull w --ouput f", "did you mean --output? (see `scout workflows pull --help`)"),
        ("--verison", "there is no option --verison; did you mean --version? (see `scout --help`)"),
        ("rnu w.yml", "there is no command rnu; did you mean run? (see `scout --help`)"),
        ("workflows lst", "there is no command lst; did you mean list? (see `scout workflows --help`)"),
        ("run w.yml --environment stagin", "'stagin' is none of production, staging, "),
        ("run w.yml --environment stagin", "; did you mean staging? (see `scout run --help`)"),
        ("run w.yml other.yml", "unrecognized arguments: other.yml (see `scout run --help`)"),
    ],
)
def test_the_nearest_name_is_suggested(argv: str, said: str) -> None:
    done = scout(*argv.split())

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr


@pytest.mark.parametrize("value", ["-5", "--not an option", "-"])
def test_a_value_that_begins_with_a_dash_is_no_option(value: str, file: Path) -> None:
    done = scout("run", file, "--inputs", value, "--local", "--timeout", "soon")

    assert "argument --timeout: 'soon' is not a number (see" in done.stderr


# --- The address that was asked ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 405])
def test_a_wrong_address_is_named(status: int, file: Path) -> None:
    with Server(answer(status)) as server:
        done = scout("run", file, "--session-id", "secret_session", url=f"{server.url}/wrong")

    assert done.returncode == 2
    assert f"; the request was POST {server.url}/wrong/v2/workflows/execute\n" in done.stderr
    assert "secret_session" not in done.stderr


def test_the_words_of_a_server_and_the_advice_are_one_sentence(file: Path) -> None:
    with Server(json_answer({"detail": "Nothing here."}, status=404)) as server:
        done = scout("run", file, url=server.url)

    assert "404 Not Found: Nothing here; the request was POST " in done.stderr
