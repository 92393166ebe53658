"""`scout run --stream`: the answer as it comes on stdout, the blocks on stderr, and every way in which it can end."""

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

import commands
import pyte
import pytest
from commands import PATIENCE, Done, run_here
from servers import Behaviour, Server, answer, chunked, json_answer, run_answer

from scout.cli import main

KEY = "secret_planted_key"
ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*/workflow.yml"))

NASTY = "\x1b[31mred\x1b[0m \x07 \r \x7f \x9b2J \u202eevil \u2066\ttab\nline"
VISIBLE = "\\x1b[31mred\\x1b[0m \\x07 \\x0d \\x7f \\x9b2J \\u202eevil \\u2066\ttab\nline"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[D78]")

ASKS = {"model": "gpt-4o", "prompt_items": [{"role": "user", "content": "Hi"}]}
LLM = {"block_display_name": "B", "block_archetype_id": "com.scoutos.llm", "block_inputs": ASKS}
CONFIG = {
    "blocks": [
        {**LLM, "block_id": "side", "block_archetype_id": "com.scoutos.serp", "block_inputs": {"query": "x"}},
        {**LLM, "block_id": "answer", "is_output": True},
    ]
}


# --- Events, as the API sends them ---------------------------------------------------------------------------


def event(name: str, number: int = 0, **data: Any) -> bytes:
    payload = {
        "name": name,
        "organization_id": "org_1",
        "id": f"evt_{name}_{number}_{data.get('block_id')}",
        "environment": "production",
        "timestamp": f"2026-03-02T10:00:{number:02d}+00:00",
        "event_type": name,
        "version": "1.0",
        "data": {"workflow_id": "wf_1", "workflow_run_id": "run_1", **data},
    }
    return f"event: {name}\ndata: {json.dumps(payload, ensure_ascii=False)}\n\n".encode()


FIND = "to find out what became of it: scout runs find wf_1 sess_1"


def begins() -> bytes:
    return event("workflow_run_started", session_id="sess_1", inputs={}, state={}, price=0)


def block_begins(block: str, number: int = 0) -> bytes:
    return event("block_run_started", number, block_id=block, session_id="sess_1", config={}, state={})


def block_ends(block: str, number: int = 0, output: Any = None, price: float = 0.00004) -> bytes:
    state = {} if output is None else {"output": output}
    rest = {"session_id": "sess_1", "config": {}, "state": state, "price": price}
    return event("block_run_completed", number, block_id=block, **rest)


def block_fails(block: str, number: int, message: str) -> bytes:
    rest = {"session_id": "sess_1", "config": {}, "state": {}, "message": message}
    return event("block_run_failed", number, block_id=block, **rest)


def says(block: str | None, number: int, output: Any, kind: str = "partial") -> bytes:
    named = {} if block is None else {"block_id": block}
    return event(
        "block_state_updated", number, **named, block_type="x", update_type=kind, update_data={"output": output}
    )


def ends(output: Any = "Hello there") -> bytes:
    return event("workflow_run_completed", 9, session_id="sess_1", output={"answer": {"output": output}})


def fails(message: str) -> bytes:
    return event("workflow_run_failed", 9, session_id="sess_1", message=message)


HELLO = [
    begins(),
    block_begins("side", 1),
    block_begins("answer", 1),
    says("answer", 2, "Hel"),
    says("side", 2, "not the answer"),
    says("answer", 3, "lo"),
    block_fails("side", 4, "no \x1b[31mnetwork\x1b[0m"),
    says("answer", 5, " there"),
    block_ends("answer", 6, "Hello there"),
    ends(),
]


def events(*frames: bytes | float, finish: bool = True) -> Behaviour:
    return chunked(frames, content_type="text/event-stream", finish=finish)


# --- The command ------------------------------------------------------------------------------------------------


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    path = tmp_path / "workflow.json"
    path.write_text(json.dumps(CONFIG))
    return path


def command(*args: object) -> list[str]:
    return commands.command("run", *args)


def environment(url: str | None = None, **more: str) -> dict[str, str]:
    to_server = {} if url is None else {"SCOUT_BASE_URL": url, "SCOUT_API_KEY": KEY}
    return {**os.environ, **to_server, **more}


def scout(*args: object, url: str | None = None, **more: str) -> Done:
    return run_here("run", *args, env=environment(url, **more))


def streamed(workflow: Path, *frames: bytes | float, finish: bool = True) -> Done:
    with Server(events(*frames, finish=finish)) as server:
        return scout(workflow, "--stream", url=server.url)


def talk(done: Done) -> list[str]:
    return [line.removeprefix("scout: ") for line in done.stderr.splitlines()]


class TestText:
    @pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
    def test_it_is_what_run_prints_without_it(self, path: Path) -> None:
        options = [path, "--inputs", path.parent / "inputs" / "default.json", "--local"]

        plain, live = scout(*options), scout(*options, "--stream")

        assert plain.stdout.strip()
        assert (live.returncode, live.stdout) == (0, plain.stdout)
        assert "completed in" in live.stderr

    def test_it_is_that_of_the_output_block_alone(self, workflow: Path) -> None:
        done = streamed(workflow, *HELLO)

        assert (done.returncode, done.stdout) == (0, "Hello there\n")

    @pytest.mark.parametrize(
        ("frames", "text"),
        [
            ([says("answer", 1, "Hello there", "complete"), ends()], "Hello there"),
            ([says("answer", 1, "Hello"), says("answer", 2, "Hello there", "complete"), ends()], "Hello there"),
            ([says("answer", 1, "Hello"), says("answer", 1, "Hello"), ends("Hello")], "Hello"),
            ([says(None, 1, "Hello"), says(None, 2, " there"), ends()], "Hello there"),
            ([block_ends("answer", 1, "Hello there"), ends()], "Hello there"),
            ([ends()], "Hello there"),
            ([says("answer", 1, {"a": 1}, "complete"), ends({"a": 1})], '{"a": 1}'),
            ([ends("ends itself\n")], "ends itself"),
            ([says("answer", 1, "ü😀\u2028"), ends("ü😀\u2028")], "ü😀\u2028"),
            ([b'event: news\ndata: {"name": "news"}\n\n', ends()], "Hello there"),
        ],
        ids=["complete", "both", "twice", "unnamed", "block", "run", "json", "newline", "unicode", "unknown"],
    )
    def test_however_it_comes_it_is_printed_once(self, frames: list[bytes], text: str, workflow: Path) -> None:
        done = streamed(workflow, begins(), block_begins("answer"), *frames)

        assert (done.returncode, done.stdout) == (0, f"{text}\n")
        assert "replaced" not in done.stderr

    def test_an_answer_that_is_replaced_is_not_passed_over_in_silence(self, workflow: Path) -> None:
        done = streamed(workflow, begins(), block_begins("answer"), says("answer", 1, "Hello"), ends("Good day"))

        assert (done.returncode, done.stdout) == (0, "Hello\n")
        assert "replaced" in done.stderr

    def test_without_an_output_block_there_is_none(self, tmp_path: Path) -> None:
        path = tmp_path / "two.json"
        text = {**LLM, "block_archetype_id": "com.scoutos.text", "block_inputs": {"text": "Hello"}}
        path.write_text(json.dumps({"blocks": [{**text, "block_id": "left"}, {**text, "block_id": "right"}]}))
        options = [path, "--local"]

        plain, live = scout(*options), scout(*options, "--stream")

        assert (live.returncode, live.stdout) == (plain.returncode, plain.stdout) == (0, "")
        assert "left, right" in live.stderr

    def test_an_output_block_that_the_events_tell_of_is_followed_from_there(self, tmp_path: Path) -> None:
        path = tmp_path / "none.json"
        path.write_text(json.dumps({"blocks": []}))
        tells = event("workflow_run_started", 1, session_id="sess_1", inputs={}, workflow_config=CONFIG, price=0)

        frames = [tells, block_begins("answer"), says("answer", 2, "Hello"), says("answer", 3, " there"), ends()]
        done = streamed(path, begins(), says("answer", 1, ""), *frames)

        assert (done.returncode, done.stdout) == (0, "Hello there\n")

    def test_an_answer_that_comes_as_json_is_printed_all_the_same(self, workflow: Path) -> None:
        with Server(json_answer({**run_answer("Hello"), "output_block_id": None})) as server:
            plain, live = scout(workflow, url=server.url), scout(workflow, "--stream", url=server.url)

        assert (live.returncode, live.stdout) == (plain.returncode, plain.stdout)

    def test_each_piece_is_there_before_the_next_is_sent(self, workflow: Path) -> None:
        go_on = threading.Event()

        def behave(peer: Any) -> None:
            peer.request()
            peer.keep_alive = False
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
            peer.send(begins() + block_begins("answer") + says("answer", 1, "Hel"))
            assert go_on.wait(PATIENCE)
            peer.send(says("answer", 2, "lo") + ends("Hello"))

        with Server(behave) as server, running(workflow, "--stream", url=server.url) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.read(3) == b"Hel"
            assert process.stderr.readline() == b"scout: block answer started\n"
            go_on.set()
            assert process.stdout.read() == b"lo\n"
            assert process.wait(PATIENCE) == 0


class TestProgress:
    def test_each_block_is_told_of_with_seconds_and_price(self, workflow: Path) -> None:
        said = talk(streamed(workflow, *HELLO))

        assert said[:4] == [
            "block side started",
            "block answer started",
            "block side failed after 3.00 s: no \\x1b[31mnetwork\\x1b[0m",
            "block answer completed in 5.00 s, price 0.00004",
        ]
        assert re.fullmatch(r"run run_1 completed in \d+\.\d\d s", said[4])
        assert len(said) == 5

    def test_an_event_that_comes_twice_is_told_once(self, workflow: Path) -> None:
        said = talk(streamed(workflow, begins(), *[block_begins("answer")] * 2, *[block_ends("answer", 1)] * 2, ends()))

        assert [line.split()[:3] for line in said[:-1]] == [
            ["block", "answer", "started"],
            ["block", "answer", "completed"],
        ]

    @pytest.mark.parametrize("calm", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=lambda calm: next(iter(calm)))
    def test_a_terminal_that_must_not_move_gets_lines(self, workflow: Path, calm: dict[str, str]) -> None:
        with Server(events(*HELLO)) as server:
            shown = on_a_terminal(workflow, "--stream", url=server.url, **calm)

        assert "scout: block answer completed in 5.00 s, price 0.00004\n" in shown
        assert not CONTROL.search(shown)


class TestTerminal:
    def test_text_is_escaped_and_whole_and_blocks_have_their_own_lines(self, workflow: Path) -> None:
        with Server(events(begins(), block_begins("answer"), says("answer", 1, NASTY), ends(NASTY))) as server:
            shown = on_a_terminal(workflow, "--stream", url=server.url)

        assert not CONTROL.search(COLOUR.sub("", shown).replace("\r", ""))
        lines = on_the_screen(shown)
        first, second = VISIBLE.expandtabs().split("\n")
        assert lines[lines.index(first) + 1] == second
        assert lines[-1].startswith("scout: run run_1 completed")

    def test_blocks_that_end_meanwhile_do_not_interrupt_the_text(self, workflow: Path) -> None:
        with Server(events(*HELLO)) as server:
            shown = on_a_terminal(workflow, "--stream", url=server.url)

        *lines, end = on_the_screen(shown)
        assert lines == [
            "Hello there",
            "x side failed after 3.00 s: no \\x1b[31mnetwork\\x1b[0m",
            "+ answer completed in 5.00 s, price 0.00004",
        ]
        assert end.startswith("scout: run run_1 completed in")
        assert shown.rpartition("\x1b[?25")[2].startswith("h")  # the cursor is visible

    @pytest.mark.timing
    def test_while_a_block_runs_its_seconds_are_shown(self, workflow: Path) -> None:
        with Server(events(begins(), block_begins("answer"), 0.5, says("answer", 1, "Hi"), ends("Hi"))) as server:
            shown = on_a_terminal(workflow, "--stream", url=server.url)

        assert re.search(r"… answer 0\.[1-5] s", shown)

    def test_nothing_of_it_is_in_a_pipe(self, workflow: Path) -> None:
        with Server(events(*HELLO)) as server:
            shown, out = on_a_terminal_but_stdout(workflow, "--stream", url=server.url)

        assert out == "Hello there\n"
        assert "answer completed in 5.00 s" in shown
        assert COLOUR.search(shown) is None  # the reader may write to the terminal as well, as `tee` does

    def test_events_as_json_are_lines_that_read_back(self, workflow: Path) -> None:
        with Server(events(begins(), says("answer", 1, NASTY), ends(NASTY))) as server:
            shown = on_a_terminal(workflow, "--stream", "--json", url=server.url)

        lines = [json.loads(line) for line in shown.splitlines() if line.startswith("{")]
        assert [line["name"] for line in lines] == [
            "workflow_run_started",
            "block_state_updated",
            "workflow_run_completed",
        ]
        assert lines[1]["data"]["update_data"] == {"output": NASTY}


class TestJson:
    def test_each_event_is_one_line_as_it_was_sent(self, workflow: Path) -> None:
        with Server(events(*HELLO)) as server:
            done = scout(workflow, "--stream", "--json", url=server.url)

        sent = [json.loads(frame.partition(b"data: ")[2]) for frame in HELLO]
        assert done.returncode == 0
        assert [json.loads(line) for line in done.stdout.splitlines()] == sent
        assert "block answer completed" in done.stderr

    def test_an_unknown_event_is_not_left_out(self, workflow: Path) -> None:
        news = {"name": "weather", "data": ["\u2028", None, 1.5]}
        frames = [f"data: {json.dumps(each)}\n\n".encode() for each in (news, [1, 2])]
        with Server(events(begins(), *frames, ends())) as server:
            done = scout(workflow, "--stream", "--json", url=server.url)

        assert [json.loads(line) for line in done.stdout.split("\n")[1:3]] == [news, [1, 2]]

    def test_a_ping_is_an_object_as_well(self, workflow: Path) -> None:
        with Server(events(begins(), b"event: ping\ndata: now\n\n", ends())) as server:
            done = scout(workflow, "--stream", "--json", url=server.url)

        assert json.loads(done.stdout.split("\n")[1]) == {"name": "ping", "data": "now"}

    @pytest.mark.parametrize("options", [[], ["--stream"]], ids=["whole", "stream"])
    def test_an_answer_of_one_event_is_an_interrupted_run(self, workflow: Path, options: list[str]) -> None:
        started = {"name": "workflow_run_started", "data": {"workflow_run_id": "run_1"}}
        with Server(json_answer(started)) as server:
            done = scout(workflow, *options, url=server.url)

        assert (done.returncode, done.stdout) == (3, "")
        assert "run_1 has not ended" in done.stderr

    def test_a_run_that_failed_exits_1(self, workflow: Path) -> None:
        with Server(events(begins(), fails("out of order"))) as server:
            done = scout(workflow, "--stream", "--json", url=server.url)

        assert done.returncode == 1
        assert json.loads(done.stdout.splitlines()[-1])["name"] == "workflow_run_failed"
        assert talk(done)[-1] == "out of order"


class TestEnds:
    def test_a_run_that_failed_exits_1_and_keeps_what_came(self, workflow: Path) -> None:
        done = streamed(workflow, begins(), says("answer", 1, "Hel"), fails("the \x1b[31mmodel\x1b[0m is out of order"))

        assert (done.returncode, done.stdout) == (1, "Hel\n")
        assert talk(done)[-1] == "the \\x1b[31mmodel\\x1b[0m is out of order"

    @pytest.mark.parametrize(
        ("frames", "finish", "words"),
        [
            ([], True, "ended before the run did"),
            ([], False, "ended before the run did"),
            ([b'data: {"half'], True, "bytes of an unfinished event"),
            ([b"data: {oops\n\n"], True, "not JSON"),
            (
                [b'event: error\ndata: {"detail": "no more \x1b money"}\n\n'.replace(b"\x1b", b"\\u001b")],
                True,
                "no more",
            ),
        ],
        ids=["closed", "cut", "half an event", "malformed", "error"],
    )
    def test_a_stream_that_breaks_exits_3_and_keeps_what_came(
        self, frames: list[bytes], finish: bool, words: str, workflow: Path
    ) -> None:
        with Server(events(begins(), says("answer", 1, "Hel"), *frames, finish=finish)) as server:
            done = scout(workflow, "--stream", url=server.url)

        assert (done.returncode, done.stdout) == (3, "Hel\n")
        assert words in done.stderr
        assert "the run may go on" in talk(done)[-2]
        assert talk(done)[-1] == FIND
        assert "\x1b" not in done.stderr
        assert "Traceback" not in done.stderr
        assert server.hits == 1

    @pytest.mark.parametrize("limit", ["--timeout", "--deadline"])
    def test_a_stream_that_falls_silent_exits_3(self, limit: str, workflow: Path) -> None:
        with Server(events(begins(), says("answer", 1, "Hel"), 5.0)) as server:
            begun = time.monotonic()
            done = scout(workflow, "--stream", limit, "0.4", url=server.url)
            seconds = time.monotonic() - begun
            server.stopping = True

        assert (done.returncode, done.stdout) == (3, "Hel\n")
        assert "the run may go on" in talk(done)[-2]
        assert talk(done)[-1] == FIND
        assert seconds < 4

    def test_a_status_before_the_stream_is_the_same_as_without(self, workflow: Path) -> None:
        with Server([answer(401, b'{"detail": "wrong key"}'), answer(500)]) as server:
            refused = scout(workflow, "--stream", url=server.url)
            broken = scout(workflow, "--stream", url=server.url)

        assert (refused.returncode, refused.stdout, broken.returncode, broken.stdout) == (2, "", 3, "")
        assert "may" not in refused.stderr
        assert "the run may have started" in broken.stderr

    def test_a_file_that_is_no_workflow_exits_2(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["run", str(tmp_path / "missing.yml"), "--stream", "--local"]) == 2
        assert capsys.readouterr().out == ""

    def test_a_reader_that_left_ends_it_quietly_and_frees_the_connection(self, workflow: Path) -> None:
        pieces = [says("answer", 1 + number % 50, f"{number} " * 200) for number in range(400)]
        with Server(events(begins(), *pieces, 5.0)) as server:
            with running(workflow, "--stream", url=server.url) as process:
                assert process.stdout is not None
                process.stdout.read(10)
                process.stdout.close()
                assert process.wait(PATIENCE) == 141
                assert process.stderr is not None
                said = process.stderr.read().decode()
            server.stopping = True

        assert "Traceback" not in said
        assert "Broken" not in said

    @pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
    @pytest.mark.timing
    def test_ctrl_c_exits_130_and_closes_the_connection(self, workflow: Path) -> None:
        with Server(events(begins(), says("answer", 1, "Hel"), 30.0)) as server:
            with running(workflow, "--stream", url=server.url) as process:
                assert process.stdout is not None
                assert process.stderr is not None
                assert process.stdout.read(3) == b"Hel"
                process.send_signal(signal.SIGINT)
                interrupted = time.monotonic()
                rest, said = process.communicate(timeout=PATIENCE)
                seconds = time.monotonic() - interrupted
            server.stopping = True

        assert (process.returncode, rest) == (130, b"\n")
        assert said.decode().endswith(
            "scout: interrupted; if the run had started, it may go on, so make sure before you run it again\n"
            f"scout: {FIND}\n"
        )
        assert "Traceback" not in said.decode()
        assert seconds < 1.5


def test_help_names_it_and_loads_nothing_for_it() -> None:
    program = """
import sys
from scout.cli import main
assert main(["run", "--help"]) == 0
heavy = ("rich", "httpx", "scout.streaming", "scout.cli._stream", "scout.cli._display")
print("loaded:", [name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)

    assert "--stream" in done.stdout
    assert "loaded: []" in done.stdout


@contextlib.contextmanager
def running(*args: object, url: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        command(*args), env=environment(url), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        stop = threading.Timer(PATIENCE, process.kill)
        stop.start()
        try:
            yield process
        finally:
            stop.cancel()
            process.kill()


def on_a_terminal(*args: object, url: str, **more: str) -> str:
    """What the command shows on a terminal that has both its stdout and its stderr, with plain line ends."""
    return _on_a_terminal(args, environment(url, **{"TERM": "xterm", **more}), stdout=None)[0]


def on_the_screen(shown: str) -> list[str]:
    """The lines of a terminal of 120 columns after what the command wrote, without empty ones."""
    screen = pyte.Screen(120, 24)
    pyte.Stream(screen).feed(shown.replace("\r\n", "\n").replace("\n", "\r\n"))
    return [line.rstrip() for line in screen.display if line.strip()]


def on_a_terminal_but_stdout(*args: object, url: str) -> tuple[str, str]:
    return _on_a_terminal(args, environment(url, TERM="xterm"), stdout=subprocess.PIPE)


def _on_a_terminal(args: tuple[object, ...], variables: dict[str, str], stdout: int | None) -> tuple[str, str]:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            command(*args), env=variables, stdin=subprocess.DEVNULL, stdout=stdout or theirs, stderr=theirs
        ) as process:
            os.close(theirs)
            stop = threading.Timer(PATIENCE, process.kill)
            stop.start()
            shown = b""
            with contextlib.suppress(OSError):  # how Linux says that the other side is closed
                while more := os.read(ours, 65536):
                    shown += more
            out = process.stdout.read() if process.stdout else b""
            process.wait(PATIENCE)
            stop.cancel()
    finally:
        os.close(ours)
    return shown.decode().replace("\r\n", "\n"), out.decode()
