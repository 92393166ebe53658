"""Cassettes: what is recorded is given again, byte by byte and error by error, without a network and without a key."""

import asyncio
import base64
import gzip
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import (
    KEY,
    WORKFLOW,
    Behaviour,
    Received,
    Server,
    answer,
    chunked,
    close_unanswered,
    corrupt_gzip,
    good_gzip,
    half_body,
    html,
    json_answer,
    redirect,
    refused_url,
    route,
    run_answer,
    silent,
    truncated_gzip,
)

from scout import (
    APIConnectionError,
    APITimeoutError,
    AsyncScout,
    ConfigurationError,
    InternalServerError,
    Scout,
    ScoutError,
    StreamInterruptedError,
)
from scout.local import LocalScout, record, replay

pytestmark = pytest.mark.usefixtures("no_waiting")

NOWHERE = "http://127.0.0.1:9"  # a replay must not ask anybody


def event(name: str, **data: Any) -> bytes:
    text = json.dumps({"name": name, "data": {"workflow_run_id": "run_1", **data}}, ensure_ascii=False)
    return f"event: {name}\ndata: {text}\n\n".encode()


FRAMES = [
    event("workflow_run_started", session_id="s", workflow_id="wf_1", inputs={}, state={}, workflow_config={}),
    b": a comment\n\n",
    event("block_state_updated", block_id="answer", update_data={"output": "Hel\u2028\u0085"}, update_type="partial"),
    event("block_state_updated", block_id="answer", update_data={"output": "lo é"}, update_type="partial"),
    event("workflow_run_completed", output={"answer": {"output": "Hel\u2028\u0085lo é"}}),
]
SSE = "text/event-stream"


class Both:
    """One way to use a client for both kinds; what comes of it, error or result, as something to compare."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return self.kind

    def execute(self, url: str, transport: Any, *workflows: Any, api_key: str = KEY, **options: Any) -> list[Any]:
        def told(error: ScoutError) -> Any:
            outcomes = [re.sub(r"127\.0\.0\.1:\d+", "host", each.outcome) for each in error.attempts]
            return type(error), error.run_may_have_started, outcomes

        def sync_execute() -> list[Any]:
            found: list[Any] = []
            with Scout(api_key, base_url=url, transport=transport, **options) as scout:
                for workflow in workflows or (WORKFLOW,):
                    try:
                        found.append(scout.execute(workflow).raw)
                    except ScoutError as error:
                        found.append(told(error))
            return found

        async def async_execute() -> list[Any]:
            found: list[Any] = []
            async with AsyncScout(api_key, base_url=url, transport=transport, **options) as scout:
                for workflow in workflows or (WORKFLOW,):
                    try:
                        found.append((await scout.execute(workflow)).raw)
                    except ScoutError as error:
                        found.append(told(error))
            return found

        return sync_execute() if self.kind == "sync" else asyncio.run(async_execute())

    def stream(self, url: str, transport: Any, most: int | None = None, **options: Any) -> tuple[list[Any], Any]:
        """The events and the run or the error's type."""
        events: list[Any] = []

        def sync_stream() -> Any:
            with (
                Scout(KEY, base_url=url, transport=transport, **options) as scout,
                scout.stream(WORKFLOW) as stream,
            ):
                for each in stream:
                    events.append(each)
                    if len(events) == most:
                        break
                return stream.run

        async def async_stream() -> Any:
            async with (
                AsyncScout(KEY, base_url=url, transport=transport, **options) as scout,
                scout.stream(WORKFLOW) as stream,
            ):
                async for each in stream:
                    events.append(each)
                    if len(events) == most:
                        break
                return stream.run

        try:
            return events, (sync_stream() if self.kind == "sync" else asyncio.run(async_stream()))
        except ScoutError as error:
            return events, type(error)


@pytest.fixture(params=["sync", "async"])
def both(request: pytest.FixtureRequest) -> Both:
    return Both(request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


OUTCOMES: dict[str, list[Behaviour]] = {
    "a run": [json_answer(run_answer("Hello"))],
    "a failed run": [json_answer(run_answer(None, stop_reason="workflow_run_failed", errors=["no"]))],
    "429 twice": [answer(429, headers={"Retry-After": "0"}), answer(429), json_answer(run_answer())],
    "422": [json_answer({"detail": [{"loc": ["body"], "msg": "m", "type": "t"}]}, 422)],
    "500": [json_answer({"detail": "no"}, 500)],
    "HTML": [html("<title>Bad gateway</title>", 502)],
    "nothing": [answer(200)],
    "not UTF-8": [answer(200, b'{"a": "\xff\xfe"}')],
    "hangs up": [close_unanswered],
    "half a body": [half_body(json.dumps(run_answer()).encode())],
    "unsolicited stream": [chunked(FRAMES, content_type=SSE)],
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_every_outcome_is_given_again(name: str, both: Both, path: Path) -> None:
    with Server(OUTCOMES[name]) as server:
        recorded = both.execute(server.url, record(path))
        hits = server.hits
    assert sum(line["kind"] == "request" for line in lines(path)) == hits
    assert both.execute(NOWHERE, replay(path)) == recorded


def test_a_failure_to_connect_is_given_again(both: Both, path: Path) -> None:
    with refused_url() as url:
        (recorded,) = both.execute(url, record(path))
    kind, may_have_started, outcomes = recorded
    assert (kind, may_have_started, len(outcomes)) == (APIConnectionError, False, 3)
    ((kind, may_have_started, outcomes),) = both.execute(NOWHERE, replay(path))
    assert (kind, may_have_started, len(outcomes)) == (APIConnectionError, False, 3)


def test_a_timeout_is_given_again(both: Both, path: Path) -> None:
    with Server(silent()) as server:
        (recorded,) = both.execute(server.url, record(path), timeout=0.3)
    assert recorded[0] is APITimeoutError
    began = time.monotonic()
    assert both.execute(NOWHERE, replay(path))[0][:2] == recorded[:2]
    assert time.monotonic() - began < 0.25


def test_deadlines_hold_while_recording(both: Both, path: Path) -> None:
    with Server(silent()) as server:
        began = time.monotonic()
        (recorded,) = both.execute(server.url, record(path), deadline=0.4, timeout=None)
    assert recorded[0] is APITimeoutError
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("cut", [0, 1, 7, 10_000])
def test_a_stream_is_given_again_frame_by_frame(cut: int, both: Both, path: Path) -> None:
    whole = b"".join(FRAMES)
    pieces = [whole[place : place + cut] for place in range(0, len(whole), cut)] if cut else FRAMES
    with Server(chunked(pieces, content_type=SSE)) as server:
        recorded = both.stream(server.url, record(path))
    events, run = recorded
    assert len(events) == 4
    assert run.text == "Hel\u2028\u0085lo é"
    assert [line["text"].encode() for line in lines(path) if line["kind"] == "part"] == FRAMES
    assert both.stream(NOWHERE, replay(path)) == recorded


@pytest.mark.parametrize("finish", [True, False])
def test_a_stream_that_broke_breaks_again(finish: bool, both: Both, path: Path) -> None:
    with Server(chunked(FRAMES[:3], content_type=SSE, finish=finish)) as server:
        events, error = both.stream(server.url, record(path))
    assert error is StreamInterruptedError
    assert both.stream(NOWHERE, replay(path)) == (events, error)


def test_a_client_that_left_ends_the_recording_there(both: Both, path: Path) -> None:
    with Server(chunked([*FRAMES[:2], 5.0, *FRAMES[2:]], content_type=SSE)) as server:
        both.stream(server.url, record(path), most=1)
    assert lines(path)[-1]["how"] == "the client left"
    assert both.stream(NOWHERE, replay(path))[1] is StreamInterruptedError


def test_real_time(both: Both, path: Path) -> None:
    with Server(chunked([FRAMES[0], 0.3, *FRAMES[1:]], content_type=SSE)) as server:
        recorded = both.stream(server.url, record(path))
    times = [line["at"] for line in lines(path) if line["kind"] == "part"]
    assert times[0] < 0.25 < times[1]

    for real_time, least, most in ((False, 0.0, 0.25), (True, 0.28, 2.0)):
        began = time.monotonic()
        assert both.stream(NOWHERE, replay(path, real_time=real_time)) == recorded
        assert least <= time.monotonic() - began < most


def test_in_real_time_a_timeout_holds(both: Both, path: Path) -> None:
    with Server(chunked([FRAMES[0], 1.5, *FRAMES[1:]], content_type=SSE)) as server:
        both.stream(server.url, record(path))
    began = time.monotonic()
    assert both.stream(NOWHERE, replay(path, real_time=True), timeout=0.3)[1] is APITimeoutError
    assert time.monotonic() - began < 1.0


def test_a_big_event_in_many_pieces_is_kept_in_time(path: Path) -> None:
    big = event("x", said="y" * 20_000_000)
    with Server(chunked([big, *FRAMES], content_type=SSE)) as server:
        began = time.monotonic()
        recorded = Both("sync").stream(server.url, record(path))
        assert time.monotonic() - began < 5  # 27 when each piece was searched together with all before it
    assert len(recorded[0]) == 5
    assert Both("sync").stream(NOWHERE, replay(path)) == recorded


def test_frames_and_headers_that_are_not_utf_8_are_given_again(both: Both, path: Path) -> None:
    odd = b'event: \xff\ndata: {"a":1}\n\n'
    with Server(chunked([odd, *FRAMES], content_type=SSE)) as server:
        recorded = both.stream(server.url, record(path))
    assert len(recorded[0]) == 5
    assert both.stream(NOWHERE, replay(path)) == recorded
    with Server(answer(500, b"{}", {"X-Request-Id": "r\xe9q"})) as server:
        failed = both.execute(server.url, record(path, overwrite=True))
    assert both.execute(NOWHERE, replay(path)) == failed


def test_a_big_answer_is_given_again(both: Both, path: Path) -> None:
    big = run_answer("x" * 5_000_000)
    with Server(json_answer(big)) as server:
        assert both.execute(server.url, record(path)) == [big]
    assert both.execute(NOWHERE, replay(path)) == [big]


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1.10}',
        b'{"a":1.5}',
        b'{"a":1,"a":2}',
        b"[1e400]",
        b"\xff\x00",
        "é\u2028".encode(),
        b"",
        b"null",
        b"\r\n\r",
        b'{"a":NaN}',
    ],
)
def test_a_body_is_kept_byte_by_byte(body: bytes, path: Path) -> None:
    with Server(answer(400, body)) as server:
        Both("sync").execute(server.url, record(path))
    request = lines(path)[1]
    content = json.dumps(request["json"], separators=(",", ":"))
    response = replay(path).handle_request(httpx.Request("POST", NOWHERE + request["url"], content=content))
    assert response.read() == body
    if body == b'{"a":1.5}':
        assert lines(path)[3]["json"] == {"a": 1.5}


# --- Which answer -------------------------------------------------------------------------------------------------


def config(number: int) -> dict[str, Any]:
    return {"number": number}


def numbered(request: Received) -> Behaviour:
    body: Any = request.json()
    return json_answer(run_answer(body["workflow_config"]["number"]))


def test_answers_are_found_in_any_order(both: Both, path: Path) -> None:
    with Server(route(numbered)) as server:
        recorded = both.execute(server.url, record(path), *map(config, [1, 2, 3]))
    assert both.execute(NOWHERE, replay(path), *map(config, [3, 1, 2])) == [recorded[2], recorded[0], recorded[1]]


def test_the_same_request_gets_its_answers_in_turn(both: Both, path: Path) -> None:
    with Server([json_answer(run_answer(number)) for number in range(3)]) as server:
        recorded = both.execute(server.url, record(path), *[WORKFLOW] * 3)
    again = both.execute(NOWHERE, replay(path), *[WORKFLOW] * 4)
    assert again[:3] == recorded
    assert again[3][0] is ConfigurationError


@pytest.mark.parametrize(
    ("workflow", "options", "said"),
    [
        ({"number": 2}, {}, "another body.workflow_config.number, 1 where this request has 2"),
        ({}, {}, "another body.workflow_config.number, 1 where this request has nothing"),
        ({"number": True}, {}, "1 where this request has true"),
        ({"number": 1}, {"environment": "staging"}, "environment=production"),
        ({"number": 1}, {"session_id": "s"}, "session_id=s"),
    ],
)
def test_a_request_that_is_not_there(workflow: Any, options: Any, said: str, path: Path) -> None:
    with Server(route(numbered)) as server:
        Both("sync").execute(server.url, record(path), config(1))
    with Scout(KEY, base_url=NOWHERE, transport=replay(path)) as scout:
        with pytest.raises(ConfigurationError, match="has no answer") as raised:
            scout.execute(workflow, **options)
        assert said in str(raised.value)
        assert str(path) in str(raised.value)
        assert KEY not in str(raised.value)
        assert scout.execute(config(1)).output == 1  # what was there is there still


def test_many_at_once(both: Both, path: Path) -> None:
    def sync_outputs(url: str, transport: Any) -> list[Any]:
        outputs: list[Any] = []
        with Scout(KEY, base_url=url, transport=transport) as scout:
            threads = [
                threading.Thread(target=lambda n=n: outputs.append((n, scout.execute(config(n)).output)))
                for n in range(20)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
        return sorted(outputs)

    async def async_outputs(url: str, transport: Any) -> list[Any]:
        async with AsyncScout(KEY, base_url=url, transport=transport) as scout:
            runs = await asyncio.gather(*(scout.execute(config(n)) for n in range(20)))
            return [(n, run.output) for n, run in enumerate(runs)]

    def outputs(url: str, transport: Any) -> list[Any]:
        return sync_outputs(url, transport) if both.kind == "sync" else asyncio.run(async_outputs(url, transport))

    with Server(route(numbered), keep_alive=True) as server:
        assert outputs(server.url, record(path)) == [(n, n) for n in range(20)]
    assert outputs(NOWHERE, replay(path)) == [(n, n) for n in range(20)]
    assert len({line["exchange"] for line in lines(path)[1:]}) == 20


def test_a_recording_allows_as_much_at_once_as_the_client(path: Path) -> None:
    everybody = threading.Barrier(150)

    def together(request: Received) -> Behaviour:
        everybody.wait(20)
        return json_answer(run_answer())

    async def work(url: str) -> list[Any]:
        async with AsyncScout(KEY, base_url=url, transport=record(path)) as scout:
            return await asyncio.gather(*(scout.execute(WORKFLOW) for _ in range(150)))

    with Server(route(together)) as server:
        assert all(run.ok for run in asyncio.run(work(server.url)))


# --- Secrets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["secret_planted_key", 'secret_"quoted\\key'])
def test_no_key_is_kept(key: str, path: Path) -> None:
    told = run_answer({"mine": key, "nested": json.dumps({"deep": key})})
    headers = {"Set-Cookie": f"session={key}", "X-Echo": key, "X-Request-Id": f"req_{key}"}
    client: dict[str, Any] = {"headers": {"X-Api-Key": key, "Cookie": key}}
    script = [json_answer(told, headers=headers), chunked([event("x", said=key)], content_type=SSE), answer(400, key)]
    with Server(script) as server, Scout(key, base_url=server.url, transport=record(path), **client) as scout:
        run = scout.execute(WORKFLOW, {"key": key})
        assert run.output["mine"] == key  # the client itself gets what the server sent
        for _ in range(2):
            with pytest.raises(ScoutError):
                scout.execute(WORKFLOW, session_id=key)

    text = path.read_text(encoding="utf-8")
    assert key not in text
    assert json.dumps(key)[1:-1] not in text
    assert "planted" not in text
    assert "quoted" not in text
    with Scout("secret_another_key", base_url=NOWHERE, transport=replay(path)) as scout:
        assert scout.execute(WORKFLOW, {"key": "[key]"}).output["mine"] == "[key]"


def test_the_same_key_finds_its_answer(path: Path) -> None:
    with Server(json_answer(run_answer())) as server, Scout(KEY, base_url=server.url, transport=record(path)) as scout:
        scout.execute(WORKFLOW, {"key": KEY})
    for key in (KEY, "secret_another_key"):
        with Scout(key, base_url=NOWHERE, transport=replay(path)) as scout:
            assert scout.execute(WORKFLOW, {"key": key}).ok


ECHOES: dict[str, Callable[[str], Behaviour]] = {
    "packed": lambda key: good_gzip(run_answer(key)),
    "packed stream": lambda key: answer(
        200, gzip.compress(event("x", said=key)), {"Content-Encoding": "gzip"}, content_type=SSE
    ),
    "escaped slash": lambda key: answer(200, json.dumps(run_answer(key)).replace("/", "\\/")),
    "escaped letter": lambda key: answer(200, json.dumps(run_answer(key)).replace("planted", "\\u0070lanted")),
    "not UTF-8": lambda key: answer(400, b"\xff" + key.encode()),
    "address": lambda key: redirect("/?key=" + key.replace("/", "%2f")),
}


@pytest.mark.parametrize("name", ECHOES)
def test_no_key_is_kept_in_any_form(name: str, both: Both, path: Path) -> None:
    key = "secret/planted/key"
    with Server(ECHOES[name](key)) as server:
        both.execute(server.url, record(path), api_key=key)
    kept = path.read_bytes()
    for line in lines(path):
        kept += base64.b64decode(line.get("base64", ""))
    assert b"lanted" not in kept
    assert b"[key]" in kept


@pytest.mark.parametrize("behaviour", [good_gzip, corrupt_gzip, truncated_gzip])
def test_packed_answers_are_given_again(behaviour: Callable[[object], Behaviour], both: Both, path: Path) -> None:
    with Server(behaviour(run_answer("Hello"))) as server:
        recorded = both.execute(server.url, record(path))
    again = both.execute(NOWHERE, replay(path))
    assert [each[:2] if isinstance(each, tuple) else each for each in again] == [
        each[:2] if isinstance(each, tuple) else each for each in recorded
    ]


def test_an_old_key_is_not_kept_either(path: Path) -> None:
    keys = iter(["secret_first_key", "secret_second_key"])
    script = [json_answer(run_answer("a")), json_answer(run_answer("before it was secret_first_key"))]
    with (
        Server(script) as server,
        Scout(lambda: next(keys), base_url=server.url, transport=record(path)) as scout,
    ):
        scout.execute(WORKFLOW)
        scout.execute(WORKFLOW)
    assert "secret_first_key" not in path.read_text()


def test_a_word_that_is_the_key_of_a_test_is_found(path: Path) -> None:
    with Server(json_answer(run_answer())) as server, Scout(KEY, base_url=server.url, transport=record(path)) as scout:
        scout.execute(WORKFLOW, {"user_message": "I replayed it"})
    with Scout("replayed", base_url=NOWHERE, transport=replay(path)) as scout:
        assert scout.execute(WORKFLOW, {"user_message": "I replayed it"}).ok


# --- Files --------------------------------------------------------------------------------------------------------


def test_a_file_that_exists_is_kept(path: Path) -> None:
    path.write_text("mine")
    with pytest.raises(ConfigurationError, match="overwrite=True"):
        record(path)
    assert path.read_text() == "mine"
    with Server(json_answer(run_answer())) as server:
        Both("sync").execute(server.url, record(path, overwrite=True))
    assert lines(path)[0]["kind"] == "cassette"


def test_places_that_cannot_be_written_or_read(tmp_path: Path) -> None:
    for act in (record, replay):
        for place in (tmp_path / "no" / "where.jsonl", tmp_path, "a\0b"):
            with pytest.raises(ConfigurationError):
                act(place)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: "", "empty"),
        (lambda text: text.split("\n", 1)[1], "line 1"),
        (lambda text: text.replace('"version": 1', '"version": 2'), "line 1"),
        (lambda text: text.replace('"status"', '"statis"'), "line 3"),
        (lambda text: text.replace('"kind": "part"', '"kind": "pert"'), "line 4: it is no line of a cassette .*'pert'"),
        (lambda text: text.replace('{"kind": "end"', 'x{"kind": "end"'), "line 5"),
        (lambda text: text.replace('"exchange": 1, "at": 0', '"exchange": 7, "at": 0', 1), "line 3"),
        (lambda text: "\udcff", "line 1"),
        (lambda text: text.replace('"url"', '"uri"'), "line 2"),
        (lambda text: text.replace('"application/json"}, "', '5}, "').replace('"application/json"}}', "5}}"), "line 3"),
        (lambda text: text + text.split("\n", 1)[1], "line 6: .* begins a second time"),
    ],
)
def test_a_damaged_file_says_where(damage: Callable[[str], str], said: str, path: Path) -> None:
    with Server(json_answer(run_answer())) as server:
        Both("sync").execute(server.url, record(path))
    path.write_text(damage(path.read_text()), errors="surrogateescape")
    with pytest.raises(ConfigurationError, match=said) as raised:
        replay(path)
    assert str(path) in str(raised.value)


def test_a_program_that_is_killed_leaves_what_came(path: Path) -> None:
    program = f"""
import os, signal
from scout import Scout
from scout.local import record
with Scout({KEY!r}, base_url=os.environ["URL"], transport=record({str(path)!r})) as scout:
    with scout.stream({WORKFLOW!r}) as stream:
        for number, event in enumerate(stream):
            if number == 1:
                os.kill(os.getpid(), signal.SIGKILL)
"""
    with Server(chunked([*FRAMES[:3], 20.0], content_type=SSE)) as server:
        done = subprocess.run([sys.executable, "-c", program], env={"URL": server.url}, timeout=30)
    assert done.returncode == -9
    with path.open("a") as file:
        file.write('{"kind": "par')  # as if killed in the middle of a line
    assert replay(path)
    with path.open("ab") as file:
        file.write('t", "text": "é'.encode()[:-1])  # and in the middle of a character
    events, error = Both("sync").stream(NOWHERE, replay(path))
    assert len(events) == 2
    assert error is StreamInterruptedError


def test_a_last_line_without_an_end_counts(path: Path) -> None:
    with Server(json_answer(run_answer())) as server:
        recorded = Both("sync").execute(server.url, record(path))
    path.write_text(path.read_text().rstrip("\n"))  # as some editors leave a file
    assert Both("sync").execute(NOWHERE, replay(path)) == recorded


def test_what_sends_nothing_touches_no_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("mine")
    with Scout(KEY, transport=record(path, overwrite=True)) as scout, pytest.raises(ScoutError):
        scout.execute("nowhere.yml")
    assert path.read_text() == "mine"
    monkeypatch.setenv("SSL_CERT_FILE", str(path.with_name("nowhere.pem")))
    with pytest.raises(ConfigurationError, match="certificates"):
        record(path.with_name("new.jsonl"))
    assert not path.with_name("new.jsonl").exists()


def test_a_file_that_cannot_hold_the_request_means_that_nothing_is_sent(both: Both) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Server(json_answer(run_answer())) as server:
        (recorded,) = both.execute(server.url, record("/dev/full", overwrite=True))
    assert recorded[:2] == (ConfigurationError, False)
    assert server.hits == 0


def test_a_full_disk_costs_no_answer(path: Path) -> None:
    pytest.importorskip("resource")
    program = f"""
import os, resource, signal
from scout import ConfigurationError, Scout
from scout.local import record
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
with Scout({KEY!r}, base_url=os.environ["URL"], transport=record({str(path)!r})) as scout:
    print(len(scout.execute({WORKFLOW!r}).output))
    try:
        scout.execute({WORKFLOW!r})
    except ConfigurationError as error:
        print(error)
"""
    with Server(json_answer(run_answer("x" * 20_000))) as server:
        run = [sys.executable, "-c", program]
        done = subprocess.run(run, env={"URL": server.url}, capture_output=True, text=True, timeout=30)
    assert server.hits == 1
    assert done.stdout.startswith("20000\n"), done.stderr
    assert "nothing was sent" in done.stdout
    assert done.stderr.strip() == f"{path} cannot be written, and ends here: File too large"
    assert Both("sync").execute(NOWHERE, replay(path))[0][0] is APIConnectionError


def test_a_recording_is_over_with_its_client(both: Both, path: Path) -> None:
    transport = record(path)
    with Server(json_answer(run_answer())) as server:
        assert both.execute(server.url, transport) == [run_answer()]
        ((kind, may_have_started, _),) = both.execute(server.url, transport)
    assert (kind, may_have_started, server.hits) == (ConfigurationError, False, 1)


# --- With the local Scout -----------------------------------------------------------------------------------------


def test_a_failing_run_becomes_a_test(both: Both, path: Path) -> None:
    with LocalScout() as server:
        server.fail_next(500)
        recorded = both.execute(server.url, record(path))
    assert recorded[0][0] is InternalServerError
    assert both.execute(NOWHERE, replay(path)) == recorded


def test_a_stream_of_compact_json_is_kept_readable(both: Both, path: Path) -> None:
    with LocalScout() as server:
        recorded = both.stream(server.url, record(path))
    parts = [line for line in lines(path) if line["kind"] == "part"]
    assert [part["event"] for part in parts] == [part["data"]["name"] for part in parts]
    assert parts[-1]["event"] == "workflow_run_failed"
    assert both.stream(NOWHERE, replay(path)) == recorded


def test_stored_workflows_are_kept_too(path: Path) -> None:
    def work(scout: Scout) -> list[Any]:
        done = scout.workflows.deploy(WORKFLOW, key="mine")
        listed = [each.to_dict() for each in scout.workflows.list()]
        return [done.workflow_id, listed, scout.workflows.get(done.workflow_id).to_dict()]

    with LocalScout() as server, Scout(KEY, base_url=server.url, transport=record(path)) as scout:
        recorded = work(scout)
    with Scout(KEY, base_url=NOWHERE, transport=replay(path)) as scout:
        assert work(scout) == recorded


def test_neither_needs_the_server_s_packages() -> None:
    program = """
import sys
from scout.local import record, replay
print({"starlette", "uvicorn", "jinja2", "jsonschema", "scout.local.server"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.stdout == "set()\n", done.stderr
