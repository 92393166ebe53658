"""Language models behind the local Scout: the stand-in, and real ones, played by a small server of their protocol."""

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import servers
from servers import Behaviour, Peer, Server

from scout.errors import ConfigurationError
from scout.local.blocks import builtin_handlers
from scout.local.engine import Engine, RunRequest
from scout.local.llm import ChatCompletions
from scout.local.renderer import Renderer

Json = dict[str, Any]

KEY = "sk-very-secret-0123456789"
SSE = "text/event-stream; charset=utf-8"
DONE = b"data: [DONE]\n\n"


def llm(block_id: str = "answer", *needs: str, prompts: Any = None, **settings: Any) -> Json:
    prompts = [{"role": "user", "content": "Hi"}] if prompts is None else prompts
    return {
        "block_id": block_id,
        "block_archetype_id": "com.scoutos.llm",
        "block_display_name": block_id,
        "block_inputs": {"model": "gpt-4o", "prompt_items": prompts, "items": [], **settings},
        "dependencies": [{"block_id": needed} for needed in needs],
    }


def event(delta: Json | None = None, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    chunk = {"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **more}
    return b"data: %s\n\n" % json.dumps(chunk, ensure_ascii=False).encode()


def says(*pieces: str, end: bytes = event(finish="stop") + DONE) -> Behaviour:
    """Stream these pieces of text, as a server of chat completions does."""
    events = [event({"role": "assistant", "content": ""}), *(event({"content": piece}) for piece in pieces), end]
    return servers.chunked(events, content_type=SSE)


def says_at_once(message: Any, status: int = 200) -> Behaviour:
    return servers.json_answer({"object": "chat.completion", "choices": [{"index": 0, "message": message}]}, status)


def refuses(status: int, body: Any, headers: dict[str, str] | None = None) -> Behaviour:
    return servers.json_answer(body, status, headers)


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    renderer = Renderer()
    yield renderer
    renderer.close()


class Asked:
    """What came of asking a model: the events of a run, and the request that the server got."""

    def __init__(self, events: list[Json], request: servers.Received | None) -> None:
        self.events = events
        self.request = request

    @property
    def sent(self) -> Any:
        assert self.request is not None
        return self.request.json()

    @property
    def output(self) -> Any:
        assert self.events[-1]["name"] == "workflow_run_completed", self.events[-1]["data"]
        return self.events[-1]["data"]["output"]["answer"]["output"]

    @property
    def partials(self) -> list[str]:
        updates = [each["data"] for each in self.events if each["name"] == "block_state_updated"]
        return [update["update_data"]["output"] for update in updates if update["update_type"] == "partial"]

    @property
    def failure(self) -> Json:
        assert self.events[-1]["name"] == "workflow_run_failed"
        return self.events[-2]["data"]

    @property
    def error(self) -> str:
        assert KEY not in json.dumps(self.events)
        return self.failure["message"]


async def run(handler: Any, *blocks: Json, inputs: Json | None = None) -> list[Json]:
    renderer = Renderer()
    try:
        engine = Engine({**builtin_handlers(0), "com.scoutos.llm": handler}, renderer)
        call = RunRequest({"blocks": list(blocks)}, inputs or {})
        return [each async for each in engine.run(call, partials=True).events()]
    finally:
        renderer.close()


async def ask_at(url: str, *blocks: Json, key: str | None = KEY, timeout: float = 10, **call: Any) -> list[Json]:
    model = ChatCompletions(url, key, timeout=timeout)
    try:
        return await run(model.answer, *(blocks or [llm()]), **call)
    finally:
        await model.aclose()


async def ask(behaviour: Behaviour, *blocks: Json, path: str = "/v1", **options: Any) -> Asked:
    with Server(behaviour) as server:
        events = await ask_at(server.url + path, *blocks, **options)
        return Asked(events, server.requests[0] if server.requests else None)


# --- The stand-in --------------------------------------------------------------------------------------------------


async def test_the_stand_in_names_its_model_and_echoes_the_prompt() -> None:
    prompts = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi, {{inputs.name}}"}]
    asked = Asked(await run(builtin_handlers(0)["com.scoutos.llm"], llm(prompts=prompts), inputs={"name": "Ada"}), None)

    assert asked.output == "[gpt-4o stand-in] Hi, Ada"
    assert "".join(asked.partials) == asked.output
    assert len(asked.partials) == 4


@pytest.mark.parametrize("response_format", ["json_object", {"type": "json_object"}])
async def test_the_stand_in_answers_json_when_it_is_asked_for(response_format: Any) -> None:
    asked = Asked(await run(builtin_handlers(0)["com.scoutos.llm"], llm(response_format=response_format)), None)

    assert asked.output == {"model": "gpt-4o", "prompt": "Hi"}
    assert asked.partials == []


# --- What a server is asked ----------------------------------------------------------------------------------------


async def test_the_request() -> None:
    prompts = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi {{inputs.name}}"},
        {"content": "And?"},
    ]
    settings = {
        "temperature": 0.7,
        "max_tokens": 300,
        "response_format": "text",
        "top_p": 0.5,
        "stop": ["x"],
        "reasoning_effort": "low",
        "max_completion_tokens": 5000,
        "seed": None,
        "something_of_scouts": 1,
    }
    asked = await ask(says("Hello"), llm(prompts=prompts, **settings), inputs={"name": "Ada"})

    assert asked.request is not None
    assert (asked.request.method, asked.request.target) == ("POST", "/v1/chat/completions")
    assert asked.request.headers["authorization"] == f"Bearer {KEY}"
    assert asked.request.headers["content-type"] == "application/json"
    assert asked.sent == {
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi Ada"},
            {"role": "user", "content": "And?"},
        ],
        "stream": True,
        "temperature": 0.7,
        "max_tokens": 300,
        "top_p": 0.5,
        "stop": ["x"],
        "reasoning_effort": "low",
        "max_completion_tokens": 5000,
    }


async def test_a_format_is_passed_on() -> None:
    assert (await ask(says("{}"), llm(response_format="json_object"))).sent["response_format"] == {
        "type": "json_object"
    }
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    assert (await ask(says("{}"), llm(response_format=schema))).sent["response_format"] == schema


async def test_without_a_key_none_is_sent() -> None:
    asked = await ask(says("Hello"), key=None)

    assert asked.request is not None
    assert "authorization" not in asked.request.headers
    assert asked.output == "Hello"


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("", "/chat/completions"),
        ("/", "/chat/completions"),
        ("/v1/", "/v1/chat/completions"),
        ("/openai/v1?api-version=2024-06-01", "/openai/v1/chat/completions?api-version=2024-06-01"),
    ],
)
async def test_the_address(path: str, target: str) -> None:
    asked = await ask(says("Hello"), path=path)

    assert asked.request is not None
    assert asked.request.target == target


async def test_a_name_and_password_in_the_address_log_in_and_are_not_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with Server([says("Hello"), refuses(500, {"error": {"message": "no hunter2 here"}})]) as server:
        url = server.url.replace("//", "//ada:hunter2@")
        model = ChatCompletions(url)
        try:
            assert Asked(await run(model.answer, llm()), None).output == "Hello"
            error = Asked(await run(model.answer, llm()), None).error
        finally:
            await model.aclose()

    assert server.requests[0].headers["authorization"] == "Basic YWRhOmh1bnRlcjI="
    for text in (error, repr(model), caplog.text):
        assert "hunter2" not in text
        assert "ada:" not in text
    assert f"{server.url}/chat/completions" in error


async def test_a_proxy_of_the_machine_is_not_asked_for_a_server_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with servers.refused_url() as nobody:
        monkeypatch.setenv("HTTP_PROXY", nobody)
        assert (await ask(says("Hello"))).output == "Hello"


# --- What it answers -----------------------------------------------------------------------------------------------


async def test_text_arrives_piece_by_piece() -> None:
    asked = await ask(says("Hel", "lo ", "Grüße \u2028\x85", "", "!"))

    assert asked.partials == ["Hel", "lo ", "Grüße \u2028\x85", "!"]
    assert asked.output == "Hello Grüße \u2028\x85!"


async def test_pieces_are_passed_on_at_once() -> None:
    behaviour = servers.chunked([event({"content": "a"}), 0.4, event({"content": "b"}), DONE], content_type=SSE)
    times = []
    with Server(behaviour) as server:
        model = ChatCompletions(server.url)
        engine = Engine({"com.scoutos.llm": model.answer}, Renderer())
        async for each in engine.run(RunRequest({"blocks": [llm()]}), partials=True).events():
            if each["data"].get("update_type") == "partial":
                times.append(time.perf_counter())
        await model.aclose()

    assert times[1] - times[0] > 0.2


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_a_stream_may_be_cut_anywhere(size: int) -> None:
    events = b": hello\n\nevent: x\r\n" + event({"content": "é\u2028"}).replace(b"\n", b"\r\n")
    events += b"data:" + event({"content": "x"})[len(b"data: ") :] + b"id: 3\n\n" + event(finish="stop") + DONE
    pieces = [events[at : at + size] for at in range(0, len(events), size)]

    assert (await ask(servers.chunked(pieces, content_type=SSE))).output == "é\u2028x"


@pytest.mark.parametrize(
    "end",
    [
        DONE,
        event(finish="stop"),
        event({"content": None}, finish="length") + event(choices=[], usage={"total_tokens": 3}) + DONE,
        event({"reasoning_content": "hm"}) + event(choices=None) + b"data: [DONE]",
        DONE + b"data: what comes after the end does not matter\n\n",
    ],
)
async def test_every_way_to_end_well(end: bytes) -> None:
    assert (await ask(says("Hello", end=end))).output == "Hello"


async def test_a_server_that_does_not_stream_is_understood() -> None:
    asked = await ask(says_at_once({"role": "assistant", "content": "Hello"}))

    assert asked.output == "Hello"
    assert asked.partials == ["Hello"]


@pytest.mark.parametrize("behaviour", [says('{"a"', ": [1]}"), says_at_once({"content": ' {"a": [1]}\n'})])
async def test_json_is_an_object_and_not_text(behaviour: Behaviour) -> None:
    asked = await ask(behaviour, llm(response_format="json_object"))

    assert asked.output == {"a": [1]}
    assert asked.partials == []


async def test_two_blocks_ask_at_the_same_time_and_the_third_reads_both() -> None:
    barrier = threading.Barrier(2, timeout=5)

    def meet(peer: Peer) -> None:
        prompt = peer.request().json()["messages"][-1]["content"]  # type: ignore[index]
        if len(prompt) == 1:
            barrier.wait()
        says(f"<{prompt}>")(peer)

    asked = await ask(
        meet,
        llm("one", prompts=[{"content": "1"}]),
        llm("two", prompts=[{"content": "2"}]),
        llm("answer", "one", "two", prompts=[{"content": "{{one}} {{two}}"}]),
    )

    assert asked.output == "<<1> <2>>"


async def test_a_run_that_is_cancelled_hangs_up() -> None:
    with Server(servers.chunked([event({"content": "a"}), 20.0], content_type=SSE)) as server:
        model = ChatCompletions(server.url)
        events = Engine({"com.scoutos.llm": model.answer}, Renderer()).run(
            RunRequest({"blocks": [llm()]}), partials=True
        )
        async with contextlib.aclosing(events.events()) as stream:
            async for each in stream:
                if each["data"].get("update_type") == "partial":
                    break
        deadline = time.monotonic() + 5
        while not server.hangups and time.monotonic() < deadline:  # noqa: ASYNC110 - the server is in other threads
            await asyncio.sleep(0.01)
        await model.aclose()

    assert server.hangups


# --- What else it may send -----------------------------------------------------------------------------------------


def both_ways(message: Any, finish: str | None = "stop", **choice: Any) -> list[Behaviour]:
    """The same reply of a model, streamed and not."""
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": finish, **choice}]}
    chunk = {"choices": [{"index": 0, "delta": message, "finish_reason": None, **choice}]}
    streamed = [b"data: %s\n\n" % json.dumps(chunk).encode(), event(finish=finish), DONE]
    return [servers.json_answer(whole), servers.chunked(streamed, content_type=SSE)]


PARTS = [
    {"type": "text", "text": "Hel"},
    {"type": "output_text", "text": "lo"},
    "!",
    {"type": "thinking", "thinking": []},
]


@pytest.mark.parametrize(
    ("message", "finish", "output"),
    [
        ({"content": PARTS}, "stop", "Hello!"),
        ({"content": {"type": "text", "text": "Hello"}}, "stop", "Hello"),
        ({"content": "Hel"}, "length", "Hel"),
        ({"content": "Hello"}, None, "Hello"),
        ({"content": "Hello", "refusal": None, "tool_calls": [], "function_call": None}, "eos", "Hello"),
        ({"content": "Hello", "reasoning_content": "hm"}, "stop", "Hello"),
        ({"content": ""}, "stop", ""),
        ({"content": "ok \ud83c\udf89"}, "stop", "ok \U0001f389"),
        ({"content": "ok \ud83c"}, "stop", "ok \ufffd"),
    ],
)
async def test_text_is_joined_streamed_or_not(message: Any, finish: str | None, output: str) -> None:
    for behaviour in both_ways(message, finish):
        asked = await ask(behaviour)
        assert asked.output == output
        assert "".join(asked.partials) == output


CALL = {"id": "c", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("message", "finish", "reason"),
    [
        ({"content": None, "refusal": f"No, {KEY}"}, "stop", "sent a refusal: No, ***"),
        ({"content": "Well", "refusal": "no"}, "stop", "sent a refusal: no"),
        ({"content": [{"type": "refusal", "refusal": "no"}]}, "stop", "sent a refusal: no"),
        ({"content": None, "tool_calls": [CALL]}, "tool_calls", "wants to call look_up, but the local Scout gives"),
        ({"content": "", "function_call": {"name": "old", "arguments": ""}}, "function_call", "wants to call old"),
        ({"content": "Let me see"}, "tool_calls", "wants to call a tool"),
        ({"content": "Hel"}, "content_filter", "held its answer back (finish_reason content_filter)"),
        ({"content": "Hel"}, "error", "finish_reason error"),
        ({"content": 42}, "stop", "sent content that is not text: 42"),
        ({"content": {"a": 1}}, "stop", 'sent content that is not text: {"a": 1}'),
        ({"content": [{"type": "image_url", "image_url": {}}]}, "stop", 'not text: {"type": "image_url"'),
        ({"content": [{"type": "text", "text": 1}]}, "stop", "sent content that is not text"),
        ({"content": None}, "stop", "sent no text (finish_reason stop)"),
        ({"content": []}, "stop", "sent no text"),
        ({"content": ""}, None, "sent no text (finish_reason none)"),
        ({"content": ""}, "length", "sent no text (finish_reason length)"),
        ({"content": "", "reasoning_content": "hm"}, "stop", "sent its reasoning, but no text"),
        ({"content": [{"type": "thinking", "thinking": []}]}, "stop", "sent its reasoning, but no text"),
        ({}, "stop", "sent no text"),
    ],
)
async def test_what_is_not_text_fails_the_block_streamed_or_not(message: Any, finish: str | None, reason: str) -> None:
    errors = [(await ask(behaviour)).error for behaviour in both_ways(message, finish)]

    for error in errors:
        assert reason in error
        assert "the model server at http://127.0.0.1:" in error


async def test_an_error_in_a_choice() -> None:
    for behaviour in both_ways({"content": "Hel"}, "stop", error={"code": 502, "message": "upstream is gone"}):
        assert "failed: upstream is gone" in (await ask(behaviour)).error


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'event: error\ndata: {"message": "overloaded"}\n\n', "failed: overloaded"),
        (b"event: error\ndata: overloaded\n\n", "failed: overloaded"),
        (b'data: {"object": "error", "message": "out of memory"}\n\n', "failed: out of memory"),
        (b'data: {"choices": [{"delta": "text"}]}\n\n', 'sent content that is not text: "text"'),
    ],
)
async def test_an_error_among_the_pieces_is_no_end_of_the_answer(data: bytes, reason: str) -> None:
    assert reason in (await ask(says("Hel", end=data + event(finish="stop") + DONE))).error


@pytest.mark.parametrize("end", [DONE, event(choices=[], usage={}) + DONE, b": ping\n\n" + DONE])
async def test_a_stream_without_any_text(end: bytes) -> None:
    asked = await ask(servers.chunked([end], content_type=SSE))

    assert "sent no text (finish_reason none)" in asked.error


@pytest.mark.parametrize(
    ("content_type", "body", "output"),
    [
        ("application/json", event({"content": "Hi"}, "stop") + DONE, "Hi"),
        ("text/plain", b": hello\n\n" + event({"content": "Hi"}, "stop") + DONE, "Hi"),
        ("Text/Event-Stream", b"\xef\xbb\xbf\n" + event({"content": "Hi"}, "stop") + DONE, "Hi"),
        (SSE, b' \n{"choices": [{"message": {"content": "Hi"}}]}', "Hi"),
    ],
)
@pytest.mark.parametrize("size", [1, 5, 1000])
async def test_the_beginning_of_a_body_decides_what_it_is(
    content_type: str, body: bytes, output: str, size: int
) -> None:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]

    assert (await ask(servers.chunked(pieces, content_type=content_type))).output == output


async def test_a_page_under_the_name_of_a_stream() -> None:
    asked = await ask(servers.chunked([b"<html>welcome</html>"], content_type=SSE))

    assert "sent something that is not a JSON object: <html>welcome" in asked.error


async def test_the_halves_of_an_emoji_in_three_pieces() -> None:
    pieces = [event({"content": piece}).decode() for piece in ("ok ",)]
    halves = [b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\n' % half for half in (rb"\ud83c", b"", rb"\udf89")]
    end = event(finish="stop") + DONE
    asked = await ask(servers.chunked([pieces[0].encode(), *halves, end], content_type=SSE))

    assert asked.output == "ok \U0001f389"
    assert asked.partials == ["ok ", "\U0001f389"]


async def test_json_that_was_cut_off() -> None:
    for behaviour in both_ways({"content": '{"a": '}, "length"):
        asked = await ask(behaviour, llm(response_format="json_object"))
        assert 'answered {"a":, cut off at its longest length' in asked.error


# --- How it fails --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, {"error": {"message": f"Incorrect API key: {KEY}"}}, ["refused the key", "Incorrect API key: ***"]),
        (403, {"detail": "not yours"}, ["refused the key", "not yours"]),
        (404, {"error": {"message": "The model does not exist"}}, ['no model "gpt-4o"', "The model does not exist"]),
        (404, {"error": 'model "gpt-4o" not found, try pulling it first'}, ["try pulling it first"]),
        (400, {"object": "error", "message": "max_tokens is too large"}, ["max_tokens is too large"]),
        (422, {"detail": [{"loc": ["body"], "msg": "wrong"}]}, ['"msg": "wrong"']),
        (500, {}, ["did not answer", "{}"]),
        (503, None, ["null"]),
    ],
)
async def test_a_refusal_says_what_the_server_said(status: int, body: Any, words: list[str]) -> None:
    asked = await ask(refuses(status, body))

    assert asked.failure["status_code"] == status
    assert asked.error.startswith('Block "answer" failed: the model server at http://127.0.0.1:')
    for word in ["/v1/chat/completions ", f"(status {status})", *words]:
        assert word in asked.error


async def test_a_missing_key_is_explained() -> None:
    assert "--llm-api-key-env" in (await ask(refuses(401, {}), key=None)).error


async def test_too_many_requests() -> None:
    asked = await ask(refuses(429, {"error": {"message": "slow down"}}, {"Retry-After": "7"}))

    assert "too many requests and wants a pause of 7 seconds (status 429): slow down" in asked.error


@pytest.mark.parametrize("when", [KEY, "Tue, 24 Nov 2026 18:00:00 GMT", "-1"])
async def test_a_pause_that_is_no_number_of_seconds(when: str) -> None:
    asked = await ask(refuses(429, {"error": {"message": "slow down"}}, {"Retry-After": when}))

    assert "too many requests (status 429): slow down" in asked.error


@pytest.mark.parametrize("head", ["HTTP/1.1 %s\r\n\r\n", "HTTP/1.1 200 OK\r\nbad header %s\r\n\r\n"])
async def test_a_key_is_hidden_where_http_itself_is_broken(head: str) -> None:
    asked = await ask(servers.raw((head % f"Bearer {KEY}").encode()))

    assert "broke off before it answered" in asked.error


async def test_a_stream_with_other_line_ends_is_no_answer() -> None:
    asked = await ask(servers.chunked([(event({"content": "a"}) + DONE).replace(b"\n", b"\r")], content_type=SSE))

    assert "broke off in the middle of its answer" in asked.error


async def test_a_last_line_without_an_end_counts() -> None:
    assert (await ask(says("a", end=b"data: [DONE]"))).output == "a"


async def test_a_list_is_no_json_object() -> None:
    asked = await ask(says("[1, 2]"), llm(response_format="json_object"))

    assert "asked for a JSON object and answered [1, 2]" in asked.error


async def test_a_refusal_that_is_not_json() -> None:
    page = "<html>" + "gone  \n\n" * 100_000
    for behaviour in (servers.html(page, 502), servers.answer(502, b"\xff\xfe")):
        asked = await ask(behaviour)
        assert "(status 502): " in asked.error
        assert len(asked.error) < 600
    assert "said nothing" in (await ask(servers.answer(500, b""))).error.replace(
        "(status 500): nothing", "said nothing"
    )


async def test_a_key_is_hidden_also_where_a_quote_is_cut() -> None:
    for length in range(270, 310):
        asked = await ask(servers.answer(500, "x" * length + KEY))
        assert "sk-" not in asked.error
        assert "secret" not in asked.error


async def test_a_redirect_is_not_followed() -> None:
    with Server(says("Hello")) as elsewhere:
        asked = await ask(servers.redirect(elsewhere.url, 307))

    assert "another address, which is not followed (status 307)" in asked.error
    assert elsewhere.hits == 0


async def test_nobody_there() -> None:
    with servers.refused_url() as url:
        asked = Asked(await ask_at(url), None)

    assert f"{url}/chat/completions cannot be reached" in asked.error
    assert "status_code" not in asked.failure


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (servers.close_unanswered, "broke off before it answered"),
        (servers.reset_after_request, "broke off before it answered"),
        (says("a", end=b""), "broke off in the middle of its answer"),
        (servers.chunked([event({"content": "a"})], content_type=SSE, finish=False), "in the middle of its answer"),
        (servers.half_body(json.dumps({"choices": []}).encode()), "broke off"),
        (says("a", end=b"data: {broken\n\n"), "not a JSON object: {broken"),
        (says("a", end=b"data: [1]\n\n"), "not a JSON object: [1]"),
        (says("a", end=b"data: \xff\n\n"), "not a JSON object"),
        (says("a", end=b"data: %s\n\n" % (b"[" * 100_000)), "not a JSON object"),
        (says("a", end=b'data: {"error": {"message": "out of memory", "code": 500}}\n\n'), "failed: out of memory"),
        (servers.json_answer({"error": "no"}), "failed: no"),
        (servers.answer(200, "<html>"), "not a JSON object: <html>"),
        (servers.answer(200, ""), "not a JSON object: nothing"),
        (servers.json_answer({"choices": []}), "not a chat completion"),
        (servers.json_answer({"choices": {"message": 1}}), "not a chat completion"),
        (servers.json_answer([]), "not a JSON object"),
        (servers.corrupt_gzip({"choices": []}), "broke off"),
    ],
)
async def test_a_broken_answer_is_an_error_and_not_half_an_answer(behaviour: Behaviour, words: str) -> None:
    asked = await ask(behaviour)

    assert words in asked.error
    assert "/v1/chat/completions" in asked.error


async def test_silence() -> None:
    began = time.monotonic()
    for behaviour in (servers.silent(), servers.chunked([event({"content": "a"}), 20.0], content_type=SSE)):
        assert "was silent for 0.3 seconds" in (await ask(behaviour, timeout=0.3)).error
    with servers.full_backlog_url() as url:
        assert "no connection in time" in Asked(await ask_at(url, timeout=0.3), None).error
    assert time.monotonic() - began < 5


async def test_text_instead_of_json() -> None:
    asked = await ask(says("Sure! ", "Here it is"), llm(response_format="json_object"))

    assert "was asked for a JSON object and answered Sure! Here it is" in asked.error


async def test_a_flood_ends() -> None:
    def flood(peer: Peer) -> None:
        peer.request()
        peer.send(servers.head(200, {"Content-Type": SSE, "Connection": "close"}))
        while True:
            peer.send(event({"content": "x" * 1_000_000}))

    def line_without_end(peer: Peer) -> None:
        peer.request()
        peer.send(servers.head(200, {"Content-Type": SSE, "Connection": "close"}) + b"data: ")
        while True:
            peer.send(b"x" * 1_000_000)

    assert "answered more than" in (await ask(flood, llm(response_format="json_object"))).error
    assert "sent a line of more than" in (await ask(line_without_end)).error


async def test_no_prompt_asks_nobody() -> None:
    asked = await ask(says("Hello"), llm(prompts=[]))

    assert "no prompt" in asked.error
    assert asked.request is None


# --- Settings that cannot work -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["", "localhost:11434", "/v1", "ftp://127.0.0.1/v1", "http://", "http://[::1", 5, "http://x:y"],
)
def test_an_address_that_cannot_work(url: Any) -> None:
    with pytest.raises(ConfigurationError, match="llm_base_url"):
        ChatCompletions(url)


@pytest.mark.parametrize("key", ["", " ", "two words", "line\nbreak", "nul\0", "schlüssel", "\x7f"])
def test_a_key_that_cannot_work_is_not_shown(key: str) -> None:
    with pytest.raises(ConfigurationError, match="llm_api_key") as caught:
        ChatCompletions("http://127.0.0.1/v1", key)
    assert not key.strip() or key not in str(caught.value)


def test_a_key_is_in_no_repr() -> None:
    model = ChatCompletions("http://127.0.0.1:1/v1?key=abcdefgh", f" {KEY}\n")

    assert repr(model) == "<ChatCompletions http://127.0.0.1:1/v1/chat/completions>"


@pytest.fixture(autouse=True)
def no_key_in_any_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert KEY not in caplog.text
