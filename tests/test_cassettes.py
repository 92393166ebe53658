"""Cassettes: what is recorded is given again, byte by byte and error by error, without a network and without a key."""

import asyncio
import base64
import copy
import gzip
import json
import os
import pickle
import re
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
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


def sent(transport: Any, content: bytes = b"", *, url: str = "/", key: str = KEY, **headers: str) -> bytes:
    """The answer to one request, of a transport without a client."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    authorization = {"Authorization": f"Bearer {key}", **named}
    response = transport.handle_request(httpx.Request("POST", NOWHERE + url, content=content, headers=authorization))
    body: bytes = response.read()
    transport.close()
    return body


def pretend(content: Any, content_type: str = "application/json") -> httpx.MockTransport:
    """A transport that gives this answer."""
    return httpx.MockTransport(lambda _: httpx.Response(200, headers={"content-type": content_type}, content=content))


OUTCOMES: dict[str, list[Behaviour]] = {
    "a run": [json_answer(run_answer("Hello"))],
    "a failed run": [json_answer(run_answer(None, stop_reason="workflow_run_failed", errors=["no"]))],
    "429 twice": [answer(429, headers={"Retry-After": "0.01"}), answer(429), json_answer(run_answer())],
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
@pytest.mark.packaging  # record and replay
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


@pytest.mark.timing
def test_a_timeout_is_given_again(both: Both, path: Path) -> None:
    with Server(silent()) as server:
        (recorded,) = both.execute(server.url, record(path), timeout=0.3)
    assert recorded[0] is APITimeoutError
    began = time.monotonic()
    assert both.execute(NOWHERE, replay(path))[0][:2] == recorded[:2]
    assert time.monotonic() - began < 0.25


@pytest.mark.timing
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


LATE = 0.2


def with_comments() -> Iterator[bytes]:
    yield FRAMES[0]
    for _ in range(100):
        time.sleep(LATE / 4)
        yield b": ka\n\n"


async def with_comments_async() -> AsyncIterator[bytes]:
    yield FRAMES[0]
    for _ in range(100):
        await asyncio.sleep(LATE / 4)
        yield b": ka\n\n"


def test_a_timeout_that_the_client_notices_at_a_comment_is_given_again(both: Both, path: Path) -> None:
    pieces = with_comments() if both.kind == "sync" else with_comments_async()
    recorded = both.stream(NOWHERE, record(path, transport=pretend(pieces, SSE)), timeout=LATE)
    assert recorded[1] is APITimeoutError
    assert lines(path)[-1]["how"] == "ReadTimeout"
    assert both.stream(NOWHERE, replay(path), timeout=LATE) == recorded


def test_a_client_that_takes_its_time_and_leaves_has_left(path: Path) -> None:
    transport = record(path, transport=pretend(with_comments(), SSE))
    with Scout(KEY, base_url=NOWHERE, transport=transport, timeout=LATE) as scout, scout.stream(WORKFLOW) as stream:
        next(stream)
        time.sleep(LATE * 1.5)
    assert lines(path)[-1]["how"] == "the client left"


@pytest.mark.parametrize("cut", [1, 2, 3, 1000])
@pytest.mark.parametrize("ends", ["\n \n", "\n \r", "\n \r\n", "\r \r", "\r \r\n", "\r\n \n", "\r\n \r", "\r\n \r\n"])
def test_a_frame_is_kept_as_soon_as_it_came_whatever_ends_it(ends: str, cut: int, path: Path) -> None:
    end, blank = ends.split(" ")
    frames = [f"event: x{end}data: {number}{end}{blank}".encode() for number in range(5)]
    pieces = [frame[place : place + cut] for frame in frames for place in range(0, len(frame), cut)]
    request = httpx.Request("POST", NOWHERE)
    transport = record(path, transport=pretend(iter(pieces), SSE))
    came = b""
    for piece in transport.handle_request(request).stream:
        came += piece
        ended = [number for number in range(1, 6) if came.startswith(b"".join(frames[:number]))]
        parts = [json.dumps(line) for line in lines(path) if line["kind"] == "part"]
        assert [part.count("data") for part in parts] == [1] * len(parts)
        assert len(parts) >= len(ended)
    transport.close()
    assert replay(path).handle_request(request).read() == came == b"".join(frames)


@pytest.mark.timing
def test_real_time(both: Both, path: Path) -> None:
    with Server(chunked([FRAMES[0], 0.3, *FRAMES[1:]], content_type=SSE)) as server:
        recorded = both.stream(server.url, record(path))
    times = [line["at"] for line in lines(path) if line["kind"] == "part"]
    assert times[0] < 0.25 < times[1]

    for real_time, least, most in ((False, 0.0, 0.25), (True, 0.28, 2.0)):
        began = time.monotonic()
        assert both.stream(NOWHERE, replay(path, real_time=real_time)) == recorded
        assert least <= time.monotonic() - began < most


@pytest.mark.timing
def test_in_real_time_a_timeout_holds(both: Both, path: Path) -> None:
    with Server(chunked([FRAMES[0], 1.2, *FRAMES[1:]], content_type=SSE)) as server:
        both.stream(server.url, record(path))
    began = time.monotonic()
    assert both.stream(NOWHERE, replay(path, real_time=True), timeout=0.3)[1] is APITimeoutError
    assert time.monotonic() - began < 1.0


@pytest.mark.timing
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


def test_a_body_is_kept_however_deep_it_is(path: Path) -> None:
    # In a few of these there is just enough of the stack for the body, but not for its line.
    for depth in range(800, 1000, 3):
        body = b"[" * depth + b"]" * depth
        assert sent(record(path, overwrite=True, transport=pretend(body)), body) == body
        assert sent(replay(path), body) == body


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


@pytest.mark.parametrize("spaces", [True, False])
@pytest.mark.parametrize("key", ["12345678", "response", "exchange"])
def test_a_key_that_is_a_number_or_a_word_of_the_file(key: str, spaces: bool, both: Both, path: Path) -> None:
    answered = json.dumps(run_answer({"n": 12345678, key: key}), separators=None if spaces else (",", ":"))
    workflow = {"number": 12345678, "said": key}
    with Server(answer(200, answered)) as server:
        both.execute(server.url, record(path), workflow, api_key=key)
    for other in (key, "secret_another_key"):
        again = both.execute(NOWHERE, replay(path), workflow | {"said": other}, api_key=other)
        assert again == [run_answer({"n": 12345678, "[key]": "[key]"})]


@pytest.mark.parametrize(
    ("key", "body", "kept"),
    [
        ("12345678", '{"n":12345678,"12345678":[" 12345678"]}', '{"n":12345678,"[key]":[" [key]"]}'),
        ("event_key", 'event: event_key\ndata: {"n":1.5}\n\n', 'event: [key]\ndata: {"n":1.5}\n\n'),
        ("planted/key", "the key planted/key, or planted%2Fkey", "the key [key], or [key]"),
        ("12345678", "12345678", "12345678"),  # a number in JSON is not a credential
        ("complete", '{"a":"it is complete"}', '{"a":"it is [key]"}'),
        ("no_escape", '{"a":"\\no_escape"}', '{"a":"\\no_escape"}'),  # a line end, and what is not the key
        ('quotes""""', r'{"a":"quotes\"\"\"\""}', '{"a":"[key]"}'),
        ("backslash\\", r'{"a":"backslash\\\""}', '{"a":"[key]\\""}'),
        ("deep_key", r'{"a":"{\"b\":\"deep_key\"}"}', r'{"a":"{\"b\":\"[key]\"}"}'),
        ("half_key", r'{"a":"\ud83d half_key"}', r'{"a":"\ud83d [key]"}'),
    ],
)
def test_what_is_removed_leaves_json_as_json(key: str, body: str, kept: str, path: Path) -> None:
    sent(record(path, transport=pretend(body, SSE)), body.encode(), key=key)
    assert sent(replay(path), body.encode(), key=key).decode() == kept
    assert sent(replay(path), kept.encode(), key="secret_another_key").decode() == kept


def test_other_credentials_are_not_kept_either(path: Path) -> None:
    def echo(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=[*request.headers.multi_items(), str(request.url)])

    def ask(transport: Any, one: str) -> str:
        return sent(
            transport,
            url=f"/?token=planted%2Bquery{one}&workflow_key=my_workflow&Api-Key=planted%20{one}&session_id=session_1",
            cookie=f'lang=en; sid=planted_cookie{one}; quoted="planted_quoted{one}"; planted_alone{one}',
            proxy_authorization=f"Basic planted_proxy{one}",
            x_api_key=f"planted header {one}",
            x_session_token=f"token planted_token{one}",
            client_secret=f"planted_secret{one}",
            x_token="short",
            x_name="a name that stays",
        ).decode()

    ask(record(path, transport=httpx.MockTransport(echo)), "1")
    assert "planted" not in path.read_text()
    again = ask(replay(path), "2")
    assert again.count("[key]") == 10  # the API key, three of the cookies, four headers, two of the address
    for stays in ("lang=en", "short", "a name that stays", "my_workflow", "session_1"):
        assert stays in again


ECHOES: dict[str, Callable[[str], Behaviour]] = {
    "packed": lambda key: good_gzip(run_answer(key)),
    "packed twice": lambda key: answer(
        200, gzip.compress(gzip.compress(json.dumps(run_answer(key)).encode())), {"Content-Encoding": "gzip, gzip"}
    ),
    "packed in two ways": lambda key: answer(
        200, zlib.compress(gzip.compress(json.dumps(run_answer(key)).encode())), {"Content-Encoding": "GZIP,deflate"}
    ),
    "packed once of two": lambda key: answer(
        200, gzip.compress(json.dumps(run_answer(key)).encode()), {"Content-Encoding": "gzip, identity"}
    ),
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


def test_of_two_that_overwrite_the_last_is_kept_whole(path: Path) -> None:
    path.write_text("mine")
    link = path.with_name("link.jsonl")
    link.symlink_to(path)
    with (
        Server([json_answer(run_answer(number)) for number in range(6)]) as server,
        Scout(KEY, base_url=server.url, transport=record(path, overwrite=True)) as one,
        Scout(KEY, base_url=server.url, transport=record(link, overwrite=True)) as other,
    ):
        for scout in (one, one, one, other, one, other):
            scout.execute(WORKFLOW)
    assert link.is_symlink()
    assert Both("sync").execute(NOWHERE, replay(path), WORKFLOW, WORKFLOW) == [run_answer(3), run_answer(5)]


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has such modes")
def test_only_the_owner_may_read_a_recording(path: Path) -> None:
    path.write_text("mine")
    path.chmod(0o644)
    sent(record(path, overwrite=True, transport=pretend(b"1")))
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_a_pipe_may_have_it(path: Path) -> None:
    os.mkfifo(path)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(path.read_text()))
    reader.start()
    sent(record(path, overwrite=True, transport=pretend(b"1")))
    reader.join(10)
    assert json.loads(read[0].splitlines()[-1])["how"] == "complete"

    program = (
        "from scout.local import record; import httpx; t = record('/dev/stdout', overwrite=True, transport={}); {}"
    )
    transport = "httpx.MockTransport(lambda _: httpx.Response(200))"
    ask = "t.handle_request(httpx.Request('GET', 'http://127.0.0.1/')).read(); t.close()"
    done = subprocess.run(
        [sys.executable, "-c", program.format(transport, ask)], capture_output=True, text=True, timeout=30, check=True
    )
    assert len(done.stdout.splitlines()) == 4


def test_a_folder_that_allows_no_new_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError  # as for everybody but root, whom a folder's mode does not stop

    path.write_text("mine" * 1000)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        sent(record(path, overwrite=True, transport=pretend(b"1")))
    assert sent(replay(path)) == b"1"


@pytest.mark.parametrize("body", [b" " * 200_000, b"event: x" + b"\n" * 40_000, b"id: 1\n" * 50_000], ids=range(3))
def test_looking_for_keys_takes_linear_time(body: bytes, path: Path) -> None:
    began = time.monotonic()
    sent(record(path, transport=pretend(body + b"then " + KEY.encode())))
    assert time.monotonic() - began < 5
    assert KEY not in path.read_text()


def test_a_token_of_any_length_finds_its_answer(path: Path) -> None:
    sent(record(path, transport=pretend(b"1")), url="/y?a=b&token=0123456789&c=d")
    assert "0123456789" not in path.read_text()
    for token in ("any", "another-of-some-length", ""):
        assert sent(replay(path), url=f"/y?a=b&token={token or 'x'}&c=d") == b"1"
    with pytest.raises(ConfigurationError, match="another url"):
        sent(replay(path), url="/y?a=b&token=any&c=e")


@pytest.mark.parametrize(
    ("token", "form"),
    [("\U0001f600" * 9, json.dumps("\U0001f600" * 9)), ("abc\tdefghij", '"abc\\tdefghij"'), ("äöüßäöüß", '"äöüßäöüß"')],
)
def test_a_token_in_the_escapes_of_json(token: str, form: str, path: Path) -> None:
    url = str(httpx.URL("/", params={"token": token}))
    sent(record(path, transport=pretend(form.encode())), url=url)
    kept = path.read_text()
    assert token not in kept
    assert form.strip('"') not in kept
    assert json.loads(kept.splitlines()[-2])["json"] == "[key]"


def test_a_frame_of_any_other_form_is_redacted_as_text(path: Path) -> None:
    body = b'\xef\xbb\xbfid: 1\r\nevent: x\r\ndata: {"n": 1,\r\ndata: "s": "secret_key"}\r\n\r\n'
    sent(record(path, overwrite=True, transport=pretend(body, "text/event-stream")), key="secret_key")
    assert sent(replay(path), key="secret_key") == body.replace(b"secret_key", b"[key]")


def test_a_transport_is_closed_by_a_with_block(path: Path) -> None:
    with record(path, transport=pretend(b"1")) as recorder, Scout(KEY, base_url=NOWHERE, transport=recorder) as scout:
        assert scout.raw.get_httpx_client().get("/").content == b"1"
    with pytest.raises(ConfigurationError, match="closed"):
        recorder.handle_request(httpx.Request("GET", NOWHERE + "/"))
    with replay(path) as replayer:
        assert replayer.handle_request(httpx.Request("GET", NOWHERE + "/")).read() == b"1"

    async def both() -> None:
        async with record(path, overwrite=True, transport=pretend(b"2")) as recorder:
            request = httpx.Request("GET", NOWHERE + "/")
            assert await (await recorder.handle_async_request(request)).aread() == b"2"
        with pytest.raises(ConfigurationError, match="closed"):
            await recorder.handle_async_request(request)
        async with replay(path) as replayer:
            assert await (await replayer.handle_async_request(request)).aread() == b"2"

    asyncio.run(both())


@pytest.mark.parametrize("value", [None, ""])
def test_a_replay_needs_no_key(value: str | None, both: Both, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(json_answer(run_answer("Hello"))) as server:
        both.execute(server.url, record(path), WORKFLOW)
    monkeypatch.delenv("SCOUT_API_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("SCOUT_API_KEY", value)
    with Scout(transport=replay(path)) as scout:
        assert scout.execute(WORKFLOW).output == "Hello"
    AsyncScout(transport=replay(path))
    with pytest.raises(ConfigurationError, match="SCOUT_API_KEY"):
        Scout(transport=pretend(b"1"))


def test_a_recording_stays_in_the_folder_that_was_meant(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    transport = record(path.name, transport=pretend(b"1"))
    path.with_name("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    sent(transport)
    assert path.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_recording_is_for_one_process(path: Path) -> None:
    program = f"""
import os
from scout import ConfigurationError, Scout
from scout.local import record
with Scout({KEY!r}, base_url=os.environ["URL"], transport=record({str(path)!r})) as scout:
    scout.execute({WORKFLOW!r})
    child = os.fork()
    try:
        scout.execute({WORKFLOW!r})
    except ConfigurationError as error:
        print(error)
    if child:
        os.waitpid(child, 0)
        scout.execute({WORKFLOW!r})
"""
    with Server([json_answer(run_answer(number)) for number in range(3)]) as server:
        run = [sys.executable, "-c", program]
        done = subprocess.run(run, env={"URL": server.url}, capture_output=True, text=True, timeout=30)
    said = f"a recording is for one process, and {path} is that of another; make a new one; nothing was sent\n"
    assert (done.stdout, done.stderr) == (said, "")
    assert server.hits == 3
    again = Both("sync").execute(NOWHERE, replay(path), WORKFLOW, WORKFLOW, WORKFLOW)
    assert again == [run_answer(number) for number in range(3)]


def test_places_that_cannot_be_written_or_read(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for act in (record, replay):
        for place in (tmp_path / "no" / "where.jsonl", tmp_path, "a\0b", loop):
            with pytest.raises(ConfigurationError):
                act(place)


def test_arguments_that_mean_nothing(path: Path) -> None:
    nothing: Any = None
    for act in (record, replay):
        with pytest.raises(ConfigurationError, match="its path is wanted, not None"):
            act(nothing)
    with pytest.raises(ConfigurationError, match=r"a transport .* is wanted, .* not <object"):
        record(path, transport=object())


@pytest.mark.parametrize("travel", [pickle.dumps, copy.deepcopy, copy.copy])
def test_a_recording_cannot_travel(travel: Callable[[Any], Any], path: Path) -> None:
    recorder = record(path, transport=pretend(b"1"))
    sent(recorder)
    for transport in (recorder, replay(path)):
        with pytest.raises(TypeError, match="a recording cannot travel to another process; make it there"):
            travel(transport)
    with pytest.raises(TypeError, match="a recording cannot travel"):
        pickle.dumps(Scout(KEY, transport=recorder))


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
        (
            lambda text: text.replace('"exchange": 1', '"exchange": 7', 3).replace("7", "1", 1),
            "exchange 7 has not begun",
        ),
        (
            lambda text: text.replace('"exchange": 1', '"exchange": 1e999999999', 1),
            r"line 2: .* exchange cannot be 1E\+999999999",
        ),
        (lambda text: text.replace('"status": 200', '"status": Infinity'), "line 3: .*Infinity is not JSON"),
        (lambda text: text.replace('"at": 0', '"at": 1e999, "was": 0', 1), r"line 3: .*the field at cannot be 1E\+999"),
        (lambda text: text.replace('"at": ', '"at": -1', 1), "line 3: .*the field at cannot be -1"),
        (lambda text: text.replace('"at": ', '"ta": ', 1), "line 3: .*the field at is missing"),
        (lambda text: text.replace('"text": ', '"base64": 5, "text": ', 1), "line 4: .*field base64 cannot be 5"),
        (lambda text: text.replace("\n", "\n5\n", 1), "line 2: .*it is no object of JSON"),
        (lambda text: text.replace("\n", "\n{]\n", 1), r"line 2: .*\(Expecting property name.*, column 2\)"),
        (lambda text: "\n \n", "empty"),
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


def test_blank_lines_are_nothing(path: Path) -> None:
    with Server(json_answer(run_answer())) as server:
        recorded = Both("sync").execute(server.url, record(path))
    path.write_text("\n" + path.read_text().replace("\n", "\r\n \n\n"))
    assert Both("sync").execute(NOWHERE, replay(path)) == recorded


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
    with (
        Scout(KEY, base_url="https://scout.invalid", transport=record(path, overwrite=True)) as scout,
        pytest.raises(ConfigurationError, match="certificates"),
    ):
        scout.execute(WORKFLOW)
    assert path.read_text() == "mine"


def test_in_a_test_with_a_stand_in_only_what_is_sent_to_it_is_recorded(
    both: Both, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(path))  # not there, and not needed
    with Server(json_answer(run_answer())) as server:
        monkeypatch.setattr("scout._config.stand_in", (server.url, None))
        ((kind, *_),) = both.execute("https://other.example", record(path))
        assert kind is ConfigurationError
        assert not path.exists()
        assert both.execute("https://api.scoutos.com", record(path)) == [run_answer()]


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
        listed = [each.raw for each in scout.workflows.list()]
        return [done.workflow_id, listed, scout.workflows.get(done.workflow_id).raw]

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


def test_a_client_that_replays_has_no_key_for_a_network(path: Path) -> None:
    with Server(json_answer(run_answer())) as server:
        Both("sync").execute(server.url, record(path))
    with Scout(base_url=NOWHERE, transport=replay(path)) as scout, pytest.raises(ConfigurationError, match="API key"):
        scout.with_options(transport=None)


def test_threads_with_changing_keys_record_none(path: Path) -> None:
    keys = count()
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        echo = httpx.MockTransport(lambda request: httpx.Response(400, text=request.headers["authorization"]))
        with Scout(lambda: f"secret_planted_{next(keys)}", transport=record(path, transport=echo)) as scout:

            def fail(number: int) -> None:
                with pytest.raises(ScoutError):
                    scout.execute(WORKFLOW, {"n": number})

            with ThreadPoolExecutor(8) as pool:
                list(pool.map(fail, range(200)))
    finally:
        sys.setswitchinterval(before)
    assert "planted" not in path.read_text()
