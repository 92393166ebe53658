"""The local Scout over real HTTP, asked with a bare HTTP client: a misreading of ours must not agree with itself."""

import asyncio
import contextlib
import functools
import gc
import json
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from ruamel.yaml import YAML

import scout.local.server
from scout.errors import ConfigurationError
from scout.local import Access, BlockContext, LocalScout
from scout.local.http_server import _SilentProtocol
from scout.local.renderer import Renderer

Json = dict[str, Any]

EXECUTE = "/v2/workflows/execute"
KEY = {"authorization": "Bearer key"}
EXAMPLES: Json = {"short_text": "some text", "long_text": "some text", "number": 1, "checkbox": True, "json": {}}
REAL_CONFIGS = Path(__file__).parents[2] / "shared" / "real-configs"
SPEC = json.loads((resources.files("scout_generated") / "openapi.json").read_text("utf-8"))


def block(block_id: str, archetype: str, *needs: str, inputs: Json | None = None, **more: Any) -> Json:
    return {
        "block_id": block_id,
        "block_archetype_id": archetype,
        "block_display_name": block_id,
        "block_inputs": inputs or {},
        "dependencies": [{"block_id": needed} for needed in needs],
        **more,
    }


def text(block_id: str, template: str, *needs: str, **more: Any) -> Json:
    return block(block_id, "com.scoutos.text", *needs, inputs={"text": template}, **more)


def ask(block_id: str, prompt: str, *needs: str, **inputs: Any) -> Json:
    prompts = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": prompt}]
    return block(block_id, "com.scoutos.llm", *needs, inputs={"model": "gpt-4o", "prompt_items": prompts, **inputs})


def form(block_id: str = "inputs", **types: str) -> Json:
    items = [{"key": key, "display_name": key, "input_type": kind} for key, kind in types.items()]
    return block(block_id, "com.scoutos.input", inputs={"items": items})


HELLO = [form(user_message="long_text"), ask("answer", "{{inputs.user_message}}", "inputs")]


class Unusual(BaseException):
    """No `Exception`, as those with which a test framework stops a test."""


class Client:
    """Asks one local Scout."""

    def __init__(self, local: LocalScout) -> None:
        self.local = local
        self.http = httpx.Client(base_url=local.url, headers=KEY, timeout=20)

    def post(self, blocks: list[Json] | None = None, inputs: Json | None = None, **more: Any) -> httpx.Response:
        body = {"workflow_config": {} if blocks is None else {"blocks": blocks}, **more.pop("body", {})}
        if inputs is not None:
            body["inputs"] = inputs
        return self.http.post(EXECUTE, json=body, **more)

    def run(self, blocks: list[Json], inputs: Json | None = None, **more: Any) -> Json:
        """A run that is fine by HTTP, whether or not it failed."""
        response = self.post(blocks, inputs, **more)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/json"
        answer = response.json()
        check("WorkflowRunResponse", answer)
        return answer

    def state(self, blocks: list[Json], inputs: Json | None = None) -> Json:
        """The state of a run that succeeded."""
        run = self.run(blocks, inputs)["run"]
        assert run["errors"] == []
        assert run["stop_reason"] == "workflow_run_completed"
        return run["state"]

    def error(self, blocks: list[Json], inputs: Json | None = None) -> str:
        """The one error of a run that failed."""
        run = self.run(blocks, inputs)["run"]
        assert run["stop_reason"] == "workflow_run_failed"
        (message,) = run["errors"]
        return message

    def details(self, blocks: list[Json] | None = None, **more: Any) -> list[Json]:
        return details(self.post(blocks, **more))

    @contextlib.contextmanager
    def streaming(self, blocks: list[Json], inputs: Json | None = None) -> Iterator[httpx.Response]:
        body = {"workflow_config": {"blocks": blocks}, "inputs": inputs or {}, "streaming": True}
        with self.http.stream("POST", EXECUTE, json=body) as response:
            assert response.status_code == 200
            yield response

    def events(self, blocks: list[Json], inputs: Json | None = None) -> list[Json]:
        with self.streaming(blocks, inputs) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            stream = response.read().decode()
        assert stream.endswith("\n\n")
        found = []
        for frame in stream[:-2].split("\n\n"):
            event_line, data_line = frame.split("\n")
            event = json.loads(data_line.removeprefix("data: "))
            assert event_line == f"event: {event['name']}"
            check("WorkflowEvent", event)
            found.append(event)
        return found


def check(schema: str, value: Any) -> None:
    """The specification itself says whether the server keeps to it."""
    reference = {"$ref": f"#/components/schemas/{schema}", "components": SPEC["components"]}
    jsonschema.Draft202012Validator(reference).validate(value)


def details(response: httpx.Response) -> list[Json]:
    assert response.status_code == 422, response.text
    check("HTTPValidationError", response.json())
    return response.json()["detail"]


@contextlib.contextmanager
def serving(**options: Any) -> Iterator[Client]:
    with LocalScout(**options) as local:
        client = Client(local)
        with client.http:
            yield client


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving() as client:
        yield client


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """The limit of 5 seconds has its test in test_local_templates."""
    monkeypatch.setattr("scout.local.renderer.Renderer", functools.partial(Renderer, seconds=1.0))
    with serving() as client:
        yield client


class TestRuns:
    def test_the_smallest_request(self, client: Client) -> None:
        answer = client.post().json()

        assert answer["run"]["stop_reason"] == "workflow_run_completed"
        assert set(answer["run"]["state"]) == {"inputs", "__exp_global"}
        assert "output_block_id" not in answer

    def test_hello(self, client: Client) -> None:
        answer = client.run(HELLO, {"user_message": "Hi"})

        assert answer["output_block_id"] == "answer"
        assert answer["run"]["state"]["inputs"] == {"user_message": "Hi"}
        assert answer["run"]["state"]["answer"] == {"output": "[gpt-4o stand-in] Hi"}
        assert answer["workflow_id"].startswith("wf_")
        assert answer["run"]["workflow_run_id"].startswith("run_")
        assert answer["run"]["session_id"].startswith("sess_")

    def test_ids(self, client: Client) -> None:
        first, second = (client.run(HELLO, {"user_message": "Hi"}) for _ in range(2))
        other = client.run([text("a", "b")])

        assert first["workflow_id"] == second["workflow_id"] != other["workflow_id"]
        assert first["run"]["workflow_run_id"] != second["run"]["workflow_run_id"]
        assert first["run"]["session_id"] != second["run"]["session_id"]

    def test_a_session_is_joined(self, client: Client) -> None:
        response = client.post([], params={"session_id": "sess_mine"})

        assert response.json()["run"]["session_id"] == "sess_mine"

    def test_a_key_decides_the_workflow_id(self, client: Client) -> None:
        ids = {client.run([text("a", t)], body={"workflow_key": "mine"})["workflow_id"] for t in ("x", "y")}

        assert len(ids) == 1

    def test_an_input_block_by_another_name(self, client: Client) -> None:
        state = client.state(
            [form("blog", article="long_text"), text("t", "{{blog.article}}", "blog")], {"article": "A"}
        )

        assert state["blog"] == {"article": "A"}
        assert state["inputs"] == {"article": "A"}
        assert state["t"] == {"output": "A"}

    def test_undeclared_inputs_stay(self, client: Client) -> None:
        state = client.state([form(a="short_text")], {"a": "x", "more": [1, {"b": None}], "big": 2**80})

        assert state["inputs"] == {"a": "x", "more": [1, {"b": None}], "big": 2**80}

    def test_a_trigger_is_an_input(self, client: Client) -> None:
        trigger = form(message="long_text") | {"block_archetype_id": "com.scoutos.triggers.slack.message"}

        assert (
            client.state([trigger, text("t", "{{inputs.message}}", "inputs")], {"message": "x"})["t"]["output"] == "x"
        )

    @pytest.mark.parametrize(
        ("inputs", "words"),
        [({}, '"user_message" is missing'), ({"user_message": 3}, '"user_message" must be text, not a number')],
    )
    def test_wrong_inputs_fail_the_run(self, inputs: Json, words: str, client: Client) -> None:
        message = client.error(HELLO, inputs)

        assert words in message
        assert '"inputs"' in message

    def test_templates_see_blocks_and_globals(self, client: Client) -> None:
        json_answer = ask("facts", "Q", response_format="json_object")
        template = (
            "{{facts.output.model}} {{facts.model}} {{facts.output['prompt']}} "
            "{{__exp_global.workflow.workflow_id}} {{__exp_global.organization.id}} {{__exp_global.current_date}}"
        )
        state = client.state([json_answer, text("t", template, "facts")])

        assert state["facts"] == {"output": {"model": "gpt-4o", "prompt": "Q"}}
        known = state["__exp_global"]
        assert state["t"]["output"] == (
            f"gpt-4o gpt-4o Q {known['workflow']['workflow_id']} {known['organization']['id']} {known['current_date']}"
        )
        for name in ("current_date", "current_time", "current_datetime"):
            assert {name, f"{name}_utc", f"{name}_pacific"} <= set(known)

    @pytest.mark.parametrize(
        ("prompts", "echo"),
        [
            ([("user", "a"), ("system", "b")], "a"),
            ([("user", "a"), ("assistant", "b"), ("user", "c")], "c"),
            ([("system", "a"), ("assistant", "b")], "b"),
        ],
    )
    def test_the_stand_in_echoes_the_last_prompt_of_the_user(
        self, prompts: list[tuple[str, str]], echo: str, client: Client
    ) -> None:
        items = [{"role": role, "content": content} for role, content in prompts]
        state = client.state([ask("a", "", prompt_items=items, model="o1")])

        assert state["a"]["output"] == f"[o1 stand-in] {echo}"

    def test_a_missing_name_says_where(self, client: Client) -> None:
        message = client.error([form(), ask("answer", "Hello\n{{tone}}", "inputs")])

        for words in ('"answer"', "prompt_items[1].content", "line 2", '"tone"'):
            assert words in message

    def test_a_block_that_is_not_waited_for_is_explained(self, client: Client) -> None:
        slow = block("slow", "com.scoutos.triggers.x")
        assert '"slow" has not run before' in client.error(
            [text("t", "{{slow}}"), text("s", ""), slow | {"dependencies": [{"block_id": "s"}]}]
        )

    def test_a_failed_run_has_the_state_so_far(self, client: Client) -> None:
        answer = client.run([text("good", "x"), text("bad", "{{y}}", "good"), text("never", "z", "bad")])

        assert answer["run"]["stop_reason"] == "workflow_run_failed"
        assert answer["run"]["state"]["good"] == {"output": "x"}
        assert not {"bad", "never"} & set(answer["run"]["state"])
        assert answer["output_block_id"] == "never"

    def test_ignored_errors(self, client: Client) -> None:
        state = client.state(
            [text("bad", "{{y}}", ignore_error=True), text("t", "[{{bad.output}}] {{bad.error}}", "bad")]
        )

        assert state["bad"]["output"] is None
        assert '"y" is not defined' in state["bad"]["error"]
        assert state["t"]["output"] == f"[] {state['bad']['error']}"

    def test_unknown_fields_are_fine(self, client: Client) -> None:
        odd = text("t", "x") | {"future": {"deep": [1]}}

        assert client.run([odd], body={"future": 1})["run"]["errors"] == []

    def test_text_of_all_kinds_arrives(self, client: Client) -> None:
        odd = '\u2028\u2029\u0085\x00\r\n\u00e9\U0001f600\ufeff"\\'
        state = client.state([form(t="long_text"), text("out", "{{inputs.t}}", "inputs")], {"t": odd})

        assert state["out"]["output"] == odd


class TestHandlers:
    def run(self, handler: Any, inputs: Json | None = None) -> Json:
        with serving(blocks={"com.scoutos.serp": handler}) as client:
            return client.run([block("b", "com.scoutos.serp", inputs=inputs)], {"q": "Q"})["run"]

    def test_every_kind_of_function(self) -> None:
        async def coroutine(inputs: Json, context: BlockContext) -> str:
            await asyncio.sleep(0)
            return "abc"

        def generator(inputs: Json, context: BlockContext) -> Iterator[str]:
            yield from "abc"

        async def async_generator(inputs: Json, context: BlockContext) -> AsyncIterator[str]:
            for letter in "abc":
                yield letter

        async def returns_iterator(inputs: Json, context: BlockContext) -> Iterator[str]:
            return iter("abc")

        class WithCall:
            async def __call__(self, inputs: Json, context: BlockContext) -> str:
                return "abc"

        handlers: list[Any] = [
            lambda inputs, context: "abc",
            lambda inputs, context: iter("abc"),
            lambda inputs, context: coroutine(inputs, context),
            lambda inputs, context: async_generator(inputs, context),
            coroutine,
            generator,
            async_generator,
            returns_iterator,
            WithCall(),
        ]
        for handler in handlers:
            assert self.run(handler)["state"]["b"] == {"output": "abc"}

    def test_any_json(self) -> None:
        for output in (None, False, 1.5, [1, [2]], {"a": {"b": None}}, 2**100, ""):
            assert self.run(lambda inputs, context, output=output: output)["state"]["b"] == {"output": output}
        assert self.run(lambda inputs, context: (1, 2))["state"]["b"] == {"output": [1, 2]}

    @pytest.mark.parametrize("output", [float("nan"), {1, 2}, b"x", pytest.param(object(), id="object()")], ids=repr)
    def test_what_json_cannot_carry(self, output: Any) -> None:
        (error,) = self.run(lambda inputs, context: output)["errors"]

        assert '"b"' in error
        assert "does not fit into JSON" in error

    def test_an_endless_list_inside_itself(self) -> None:
        endless: list[Any] = []
        endless.append(endless)
        deep: list[Any] = []
        for _ in range(500):
            deep = [deep]

        for output in (endless, deep):
            assert "JSON" in self.run(lambda inputs, context, output=output: output)["errors"][0]

    def test_what_a_handler_is_given(self) -> None:
        seen: list[Any] = []

        def handler(inputs: Json, context: BlockContext) -> str:
            seen.append((inputs, context))
            return ""

        self.run(handler, {"query": "{{inputs.q}}?", "deep": [{"x": "{{inputs.q}}"}], "n": 5, "flag": True})

        ((inputs, context),) = seen
        assert inputs == {"query": "Q?", "deep": [{"x": "Q"}], "n": 5, "flag": True}
        assert (context.block_id, context.archetype) == ("b", "com.scoutos.serp")
        assert context.state["inputs"] == context.inputs == {"q": "Q"}
        assert context.session_id.startswith("sess_")

    @pytest.mark.parametrize(
        "error",
        [
            *(ValueError("no luck"), KeyError("k"), SystemExit(3), StopIteration(), GeneratorExit()),
            *(pytest.fail.Exception("no search here"), pytest.skip.Exception("not today"), Unusual("odd")),
        ],
        ids=repr,
    )
    def test_errors_fail_the_run_not_the_server(self, error: BaseException) -> None:
        def handler(inputs: Json, context: BlockContext) -> str:
            raise error

        async def async_handler(inputs: Json, context: BlockContext) -> str:
            raise error

        def pieces(inputs: Json, context: BlockContext) -> Iterator[str]:
            yield "a"
            raise error

        async def async_pieces(inputs: Json, context: BlockContext) -> AsyncIterator[str]:
            yield "a"
            raise error

        for function in (handler, async_handler, pieces, async_pieces):
            (message,) = self.run(function)["errors"]
            assert '"b"' in message

    @pytest.mark.parametrize(
        "error", [SystemExit(3), KeyboardInterrupt(), RuntimeError("late"), Unusual("odd")], ids=repr
    )
    def test_an_error_while_the_run_is_stopped_harms_nobody(
        self, error: BaseException, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def slow(inputs: Json, context: BlockContext) -> str:
            try:
                await asyncio.sleep(30)
            finally:
                raise error

        async def fails(inputs: Json, context: BlockContext) -> str:
            await asyncio.sleep(0.1)
            raise ValueError("the first")

        with serving(blocks={"slow": slow, "fails": fails}) as client:
            assert "the first" in client.error([block("a", "slow"), block("b", "fails")])
            with client.streaming([block("a", "slow")]) as response:
                next(response.iter_raw())
            time.sleep(0.2)
            assert client.state([text("t", "still here")])["t"]["output"] == "still here"
        gc.collect()
        assert "never retrieved" not in caplog.text

    def test_an_error_that_cannot_say_what_it_is(self) -> None:
        class MuteError(Exception):
            def __str__(self) -> str:
                raise ValueError

        def handler(inputs: Json, context: BlockContext) -> str:
            raise MuteError

        assert "MuteError" in self.run(handler)["errors"][0]

    @pytest.mark.parametrize(
        ("output", "expected"),
        [
            (["a", "\ud83c", "\udf89", "b"], "a\U0001f389b"),
            (["a\ud83c", "", "\udf89b"], "a\U0001f389b"),
            (["a", "\ud83c", "b", "\udf89", "\ud83c"], "a\ufffdb\ufffd\ufffd"),
            ("\ud83c\udf89", "\U0001f389"),
            ({"\ud83c": ["\ud83c\udf89", "\udf89"]}, {"\ufffd": ["\U0001f389", "\ufffd"]}),
        ],
        ids=ascii,
    )
    def test_halves_of_surrogate_pairs_are_joined(self, output: Any, expected: Any) -> None:
        def handler(inputs: Json, context: BlockContext) -> Any:
            return iter(output) if isinstance(output, list) else output

        with serving(blocks={"half": handler}) as client:
            events = client.events([block("a", "half")])

        outputs = [each["data"]["update_data"]["output"] for each in events if each["name"] == "block_state_updated"]
        assert outputs[-1] == events[-1]["data"]["output"]["a"]["output"] == expected
        assert not isinstance(output, list) or "".join(outputs[:-1]) == expected

    @pytest.mark.parametrize("archetype", ["com.scoutos.llm", "stub"])
    def test_a_stub_may_have_halves_as_well(self, archetype: str) -> None:
        with serving(stubs={"a": "x \ud83c \ud83c\udf89"}) as client:
            assert client.state([block("a", archetype)])["a"]["output"] == "x \ufffd \U0001f389"

    def test_a_template_may_make_half_a_surrogate_pair(self) -> None:
        with serving() as client:
            assert client.state([text("a", "{{ '\\ud83c' }}")])["a"]["output"] == "\ufffd"

    def test_a_handler_that_cancels_itself(self) -> None:
        async def handler(inputs: Json, context: BlockContext) -> str:
            raise asyncio.CancelledError

        assert "cancelled" in self.run(handler)["errors"][0]

    def test_only_text_streams(self) -> None:
        assert "int" in self.run(lambda inputs, context: iter(["a", 1]))["errors"][0]

    def test_one_thread_iterates_a_generator_and_closes_it(self) -> None:
        threads: set[int] = set()
        closed = threading.Event()

        def handler(inputs: Json, context: BlockContext) -> Iterator[Any]:
            try:
                for piece in ("a", "b", 3):
                    threads.add(threading.get_ident())
                    yield piece
            finally:
                closed.set()

        self.run(handler)
        assert closed.wait(5)
        assert len(threads) == 1

    def test_a_builtin_block_can_be_replaced(self) -> None:
        with serving(blocks={"com.scoutos.llm": lambda inputs, context: inputs["model"]}) as client:
            assert client.state([ask("a", "x")])["a"]["output"] == "gpt-4o"

    def test_a_block_nobody_can_run(self, client: Client) -> None:
        message = client.error([block("find", "com.scoutos.serp")])

        assert '"find"' in message
        assert 'blocks={"com.scoutos.serp":' in message


class TestStreams:
    def test_the_events_of_hello(self, client: Client) -> None:
        events = client.events(HELLO, {"user_message": "Hi there"})

        assert [(event["name"], event["data"].get("block_id")) for event in events] == [
            ("workflow_run_started", None),
            ("block_run_started", "inputs"),
            ("block_run_completed", "inputs"),
            ("block_run_started", "answer"),
            *[("block_state_updated", "answer")] * 5,
            ("block_run_completed", "answer"),
            ("workflow_run_completed", None),
        ]
        updates = [event["data"] for event in events if event["name"] == "block_state_updated"]
        assert [update["update_type"] for update in updates] == ["partial"] * 4 + ["complete"]
        whole = "[gpt-4o stand-in] Hi there"
        assert "".join(update["update_data"]["output"] for update in updates[:-1]) == whole
        assert updates[-1]["update_data"] == events[-2]["data"]["state"] == {"output": whole}
        assert events[-1]["data"]["output"]["answer"] == {"output": whole}
        assert events[1]["data"]["config"] == HELLO[0]

    def test_envelopes(self, client: Client) -> None:
        events = client.events(HELLO, {"user_message": "Hi"})

        for event in events:
            assert event["id"].startswith("evt_")
            assert event["event_type"] == event["name"]
            assert event["environment"] == "production"
            assert event["data"]["workflow_run_id"] == events[0]["data"]["workflow_run_id"]
            assert datetime.fromisoformat(event["timestamp"]).utcoffset() is not None
        assert float(events[-1]["price"]) == pytest.approx(events[-2]["data"]["price"])
        assert events[-2]["data"]["price"] > 0

    def test_the_same_run_as_json(self, client: Client) -> None:
        blocks = [*HELLO, text("bad", "{{x}}", "answer", ignore_error=True), text("t", "{{answer}}!", "bad")]
        plain = client.run(blocks, {"user_message": "Hi"})
        last = client.events(blocks, {"user_message": "Hi"})[-1]["data"]

        del plain["run"]["state"]["__exp_global"], last["output"]["__exp_global"]
        assert last["output"] == plain["run"]["state"]
        assert last["workflow_id"] == plain["workflow_id"]

    def test_a_failed_run_ends_with_its_failure(self, client: Client) -> None:
        events = client.events([text("a", "x"), text("bad", "{{y}}", "a")])

        assert [event["name"] for event in events[-2:]] == ["block_run_failed", "workflow_run_failed"]
        assert '"y" is not defined' in events[-1]["data"]["message"]

    def test_text_of_all_kinds_is_one_frame(self, client: Client) -> None:
        odd = "a\u2028b\u0085c\r\n\n\nd\u00e9"
        events = client.events([form(t="long_text"), text("out", "{{inputs.t}}", "inputs")], {"t": odd})

        assert events[-1]["data"]["output"]["out"]["output"] == odd

    def test_events_arrive_as_they_happen(self) -> None:
        with serving(token_delay=0.15) as client, client.streaming(HELLO, {"user_message": "Hi"}) as response:
            arrivals = [time.perf_counter() for line in response.iter_lines() if "partial" in line]

        assert len(arrivals) == 3
        assert arrivals[-1] - arrivals[0] > 0.2

    @pytest.mark.parametrize("streaming", [True, False])
    def test_a_client_that_leaves_stops_its_run(self, streaming: bool) -> None:
        running, stopped = threading.Event(), threading.Event()

        async def endless(inputs: Json, context: BlockContext) -> AsyncIterator[str]:
            try:
                while True:
                    running.set()
                    yield "x"
                    await asyncio.sleep(0.01)
            finally:
                stopped.set()

        with serving(blocks={"endless": endless}) as client:
            body = {"workflow_config": {"blocks": [block("a", "endless")]}, "streaming": streaming}
            if streaming:
                with client.http.stream("POST", EXECUTE, json=body) as response:
                    next(response.iter_lines())
                    running.wait(5)
            else:
                with pytest.raises(httpx.ReadTimeout):
                    client.http.post(EXECUTE, json=body, timeout=0.5)
            assert running.is_set()
            assert stopped.wait(2)

    def test_a_slow_reader_slows_its_run(self) -> None:
        made = 0

        async def flood(inputs: Json, context: BlockContext) -> AsyncIterator[str]:
            nonlocal made
            for _ in range(3000):
                made += 1
                yield "x" * 10_000

        with serving(blocks={"flood": flood}) as client, client.streaming([block("a", "flood")]) as response:
            next(response.iter_raw())
            time.sleep(0.5)
            assert made < 1500


class TestRequests:
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"authorization": ""},
            {"authorization": "Bearer"},
            {"authorization": "Basic a2V5"},
            {"authorization": "key"},
        ],
    )
    def test_a_key_is_needed(self, headers: Json, client: Client) -> None:
        response = httpx.post(client.local.url + EXECUTE, json={"workflow_config": {}}, headers=headers)

        assert response.status_code == 401
        assert isinstance(response.json()["detail"], str)
        assert response.headers["www-authenticate"] == "Bearer"

    def test_any_key_will_do_unless_one_is_set(self, client: Client) -> None:
        assert client.post(headers={"authorization": "bearer anything"}).status_code == 200

        with serving(api_key="secret_right") as strict:
            assert strict.post(headers={"authorization": "Bearer secret_right"}).status_code == 200
            response = strict.post(headers={"authorization": "Bearer secret_wrong"})
            assert response.status_code == 401
            assert "secret" not in response.text
            assert "secret" not in repr(strict.local)

    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"{'a': 1}",
            b"\xff",
            b'{"a": NaN}',
            b'{"a": Infinity}',
            b'"\\ud800"',
            b"[" * 100_000,
            b"[" * 300 + b"]" * 300,
            b'{"a":' * 900 + b"1" + b"}" * 900,
        ],
    )
    def test_a_body_that_is_not_json(self, body: bytes, client: Client) -> None:
        response = client.http.post(EXECUTE, content=body, headers={"content-type": "application/json"})
        (detail,) = details(response)

        assert detail["type"] == "json_invalid"
        assert detail["loc"][0] == "body"
        assert client.post().status_code == 200

    def test_no_body(self, client: Client) -> None:
        (detail,) = details(client.http.post(EXECUTE))

        assert (detail["type"], detail["loc"]) == ("missing", ["body"])

    def test_another_content_type(self, client: Client) -> None:
        response = client.http.post(EXECUTE, content=b"{}", headers={"content-type": "text/plain"})

        assert details(response)[0]["loc"] == ["body"]
        for good in ("application/json; charset=utf-8", "application/vnd.x+json"):
            response = client.http.post(EXECUTE, content=b'{"workflow_config": {}}', headers={"content-type": good})
            assert response.status_code == 200

    @pytest.mark.parametrize(
        ("body", "kind", "loc"),
        [
            ([], "dict_type", []),
            (None, "dict_type", []),
            ({}, "missing", ["workflow_config"]),
            ({"workflow_config": None}, "dict_type", ["workflow_config"]),
            ({"workflow_config": {}, "streaming": "yes"}, "bool_type", ["streaming"]),
            ({"workflow_config": {}, "inputs": []}, "dict_type", ["inputs"]),
            ({"workflow_config": {}, "workflow_key": 3}, "string_type", ["workflow_key"]),
            ({"workflow_config": {"blocks": {}}}, "list_type", ["workflow_config", "blocks"]),
            ({"workflow_config": {"blocks": [3]}}, "dict_type", ["workflow_config", "blocks", 0]),
        ],
    )
    def test_bodies_that_break_the_specification(
        self, body: Any, kind: str, loc: list[str | int], client: Client
    ) -> None:
        (detail,) = details(client.http.post(EXECUTE, content=json.dumps(body)))

        assert (detail["type"], detail["loc"]) == (kind, ["body", *loc])

    def test_every_missing_field_is_named(self, client: Client) -> None:
        found = client.details([text("a", "x"), {"block_id": 5}])

        assert {(detail["type"], detail["loc"][-1]) for detail in found} == {
            ("missing", "block_archetype_id"),
            ("missing", "block_display_name"),
            ("string_type", "block_id"),
        }
        assert {tuple(detail["loc"][:-1]) for detail in found} == {("body", "workflow_config", "blocks", 1)}

    def test_nullable_objects_and_tagged_items_are_explained(self, client: Client) -> None:
        wrong = text("a", "x") | {
            "ui": {"position": {"x": "left", "y": 1}},
            "block_config": [{"type": "number", "id": "i", "display_name": "d", "minimum_value": "low"}],
            "block_inputs": 3,
        }
        found = {tuple(detail["loc"][4:]): detail["type"] for detail in client.details([wrong])}

        assert found == {
            ("ui", "position", "x"): "float_type",
            ("block_config", 0, "minimum_value"): "float_type",
            ("block_inputs",): "dict_type",
        }

    def test_a_thousand_mistakes_are_not_all_told(self, client: Client) -> None:
        assert 0 < len(client.details([{} for _ in range(1000)])) <= 300

    def test_long_values_are_not_sent_back(self, client: Client) -> None:
        assert len(client.post(body={"workflow_config": "x" * 300_000}).content) < 1000

    @pytest.mark.parametrize(
        ("blocks", "loc"),
        [
            ([text("a", ""), text("b", "", "a"), text("c", "", "nowhere")], [2, "dependencies", 0, "block_id"]),
            ([text("a", ""), text("a", "")], [1, "block_id"]),
            ([text("a", "", "b"), text("b", "", "a")], [0, "dependencies", 0, "block_id"]),
        ],
    )
    def test_blocks_that_cannot_be_ordered(self, blocks: list[Json], loc: list[Any], client: Client) -> None:
        for streaming in (False, True):
            (detail,) = client.details(blocks, body={"streaming": streaming})
            assert detail["loc"] == ["body", "workflow_config", "blocks", *loc]

    def test_environments(self, client: Client) -> None:
        for name in ("production", "staging", "development", "console"):
            assert client.post(params={"environment": name}).status_code == 200
        for name in ("", "prod", "Production"):
            (detail,) = client.details(params={"environment": name})
            assert detail["loc"] == ["query", "environment"]
            assert "'staging'" in detail["msg"]

    def test_query_and_body_are_told_together(self, client: Client) -> None:
        found = details(client.http.post(EXECUTE, params={"environment": "x"}, json={}))

        assert [detail["loc"] for detail in found] == [["query", "environment"], ["body", "workflow_config"]]

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("PATCH", EXECUTE, 405),
            ("GET", "/v2", 404),
            ("POST", EXECUTE + "/", 404),
            ("POST", "/v2/workflows/a/b/execute", 404),
            ("DELETE", "/v2/nothing", 404),
        ],
    )
    def test_other_doors_are_closed(self, method: str, path: str, status: int, client: Client) -> None:
        response = client.http.request(method, path)

        assert response.status_code == status
        assert isinstance(response.json()["detail"], str)
        if status == 405:
            assert response.headers["allow"] == "POST"

    @pytest.mark.parametrize("chunked", [False, True])
    def test_a_body_that_is_too_large(self, chunked: bool, client: Client) -> None:
        content = b'"' + b"x" * (21 * 1024 * 1024) + b'"'

        def chunks() -> Iterator[bytes]:
            yield content

        response = client.http.post(
            EXECUTE, content=chunks() if chunked else content, headers={"content-type": "application/json"}
        )
        assert response.status_code == 413
        assert "20971520" in response.json()["detail"]
        assert client.post().status_code == 200

    def test_a_large_body_that_is_fine(self, client: Client) -> None:
        long = "x" * 3_000_000

        assert (
            client.state([form(t="long_text"), text("o", "{{inputs.t}}", "inputs")], {"t": long})["o"]["output"] == long
        )

    def test_garbage_instead_of_http(self, client: Client, caplog: pytest.LogCaptureFixture) -> None:
        port = int(client.local.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
            assert b"400" in connection.recv(1000)
        assert client.post().status_code == 200

    def test_a_client_that_leaves_in_the_middle_of_its_request(
        self, client: Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        port = int(client.local.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            head = f"POST {EXECUTE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\ncontent-length: 100\r\n\r\n{{"
            connection.sendall(head.encode())
            time.sleep(0.1)
        time.sleep(0.1)
        assert client.post().status_code == 200
        assert not [record for record in caplog.records if record.levelname == "ERROR"]

    def test_a_hostile_template_does_not_touch_other_runs(self, impatient: Client) -> None:
        forever = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
        errors: list[str] = []
        thread = threading.Thread(target=lambda: errors.append(impatient.error([text("bad", forever)])))
        thread.start()
        time.sleep(0.3)
        began = time.perf_counter()
        other = httpx.post(
            impatient.local.url + EXECUTE, json={"workflow_config": {"blocks": [text("a", "b")]}}, headers=KEY
        )
        assert other.json()["run"]["state"]["a"]["output"] == "b"
        assert time.perf_counter() - began < 2
        thread.join(20)
        assert "longer than 1 seconds" in errors[0]

    def test_the_environment_of_the_process_is_out_of_reach(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PLANTED", "secret_planted")
        for template in ("{{_env.PLANTED}}", "{{ os.environ }}", "{{ self._TemplateReference__context }}"):
            assert "secret_planted" not in client.error([text("t", template)])


class TestLife:
    def test_close_is_quick_with_open_streams_and_runs(self) -> None:
        async def sleeps(inputs: Json, context: BlockContext) -> str:
            await asyncio.sleep(60)
            return ""

        def blocks(inputs: Json, context: BlockContext) -> str:
            time.sleep(3)
            return ""

        local = LocalScout(blocks={"async": sleeps, "sync": blocks}).start()
        client = Client(local)
        outcomes: list[Any] = []

        def execute(archetype: str) -> None:
            try:
                outcomes.append(client.post([block("a", archetype)]))
            except httpx.TransportError as error:
                outcomes.append(error)

        threads = [threading.Thread(target=execute, args=[kind]) for kind in ("async", "sync")]
        for thread in threads:
            thread.start()
        with client.streaming([block("a", "async")]) as response:
            lines = response.iter_lines()
            next(lines)
            time.sleep(0.2)
            began = time.perf_counter()
            local.close()
            assert time.perf_counter() - began < 2
            with pytest.raises(httpx.TransportError):
                list(lines)
            for thread in threads:
                thread.join(5)
        client.http.close()
        assert all(isinstance(outcome, httpx.TransportError) for outcome in outcomes)
        assert len(outcomes) == 2

    def test_close_stops_template_processes(self) -> None:
        def threads() -> set[threading.Thread]:
            return {thread for thread in threading.enumerate() if thread.name.startswith("scout-local")}

        before = threads()
        with serving() as client:
            client.state([text("t", "{{ 'a'|upper }}")])
            assert threads() > before
        assert threads() <= before

    def test_close_may_be_repeated_and_come_early(self) -> None:
        local = LocalScout()
        local.close()
        local.close()
        with pytest.raises(ConfigurationError, match="closed"):
            local.start()

        with LocalScout() as local:
            assert local.start() is local
        local.close()
        with pytest.raises(httpx.ConnectError):
            httpx.get(local.url)

    def test_the_address(self) -> None:
        local = LocalScout()
        with pytest.raises(ConfigurationError, match="started"):
            _ = local.url
        with local:
            assert local.url.startswith("http://127.0.0.1:")
            assert local.url in repr(local)

    def test_a_port_of_choice(self) -> None:
        with LocalScout() as first:
            port = int(first.url.rpartition(":")[2])
            with pytest.raises(ConfigurationError, match=f"port {port}"):
                LocalScout(port=port).start()
        with serving(port=port) as second:
            assert second.local.url == first.url
            assert second.post().status_code == 200

    @pytest.mark.parametrize(
        "options",
        [
            {"port": -1},
            {"port": 70_000},
            {"api_key": ""},
            {"api_key": " "},
            {"token_delay": -1},
            {"token_delay": float("nan")},
            {"blocks": {"a": "not a function"}},
        ],
    )
    def test_options_that_cannot_work(self, options: Json) -> None:
        with pytest.raises(ConfigurationError):
            LocalScout(**options)

    def test_a_missing_package_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = scout.local.server.importlib.util.find_spec
        monkeypatch.setattr(
            scout.local.server.importlib.util, "find_spec", lambda name: None if name == "jinja2" else found(name)
        )
        with pytest.raises(ConfigurationError, match=r"jinja2: pip install 'scout-workflows\[local\]'"):
            LocalScout().start()

    def test_access_reports(self) -> None:
        reports: list[Access] = []
        with serving(on_access=reports.append) as client:
            client.post()
            client.http.get("/a%0Ab?secret=1")
            client.events(HELLO, {"user_message": "x"})

        assert [(report.method, report.path, report.status) for report in reports] == [
            ("POST", EXECUTE, 200),
            ("GET", "/a%0Ab", 404),
            ("POST", EXECUTE, 200),
        ]
        assert all(report.seconds > 0 for report in reports)

    def test_a_report_has_the_errors_of_a_failed_run_without_secrets(self) -> None:
        def fail(inputs: Json, context: BlockContext) -> None:
            raise ValueError("the token is my-private-token")

        reports: list[Access] = []
        with serving(on_access=reports.append, blocks={"x": fail}, env={"TOKEN": "my-private-token"}) as client:
            client.post([block("bad", "x")])
            client.events([block("bad", "x")])
            client.post()

        (error,) = reports[0].errors
        assert error == 'Block "bad" failed: its handler raised ValueError: the token is [redacted]'
        assert [report.errors for report in reports] == [(error,), (error,), ()]

    def test_a_reporter_that_fails_harms_nobody(self, caplog: pytest.LogCaptureFixture) -> None:
        def fail(access: Access) -> None:
            raise ValueError("reporter")

        with serving(on_access=fail) as client:
            assert client.post().status_code == 200
            assert client.post().status_code == 200
        assert "on_access failed" in caplog.text

    def test_silence(self, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("DEBUG")
        with serving() as client:
            client.post(headers={"authorization": "Bearer secret_planted"})
            for garbage in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
                with socket.create_connection(("127.0.0.1", client.http.base_url.port or 0), 5) as connection:
                    connection.sendall(garbage)
                    assert connection.recv(100).startswith(b"HTTP/1.1 400")
        assert capfd.readouterr() == ("", "")
        assert "secret_planted" not in caplog.text
        assert not [record for record in caplog.records if record.name == "uvicorn.access"]

    def test_nothing_is_left_behind(self) -> None:
        def descriptors() -> int:
            gc.collect()
            return len(list(Path("/proc/self/fd").iterdir()))

        if not Path("/proc/self/fd").exists():
            pytest.skip("there is no /proc here")
        with serving() as client:
            client.events(HELLO, {"user_message": "x"})
        before = descriptors()
        for _ in range(2):
            with serving() as client:
                client.events(HELLO, {"user_message": "x"})
                client.state([text("t", "{{ 1 + 1 }}")])
        assert descriptors() <= before

    def test_a_connection_that_was_reset_is_forgotten(self) -> None:
        body = json.dumps({"workflow_config": {"blocks": HELLO}, "inputs": {"user_message": "x"}, "streaming": True})
        head = f"POST {EXECUTE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer x\r\ncontent-length: {len(body)}\r\n\r\n"
        with serving() as client:
            address = ("127.0.0.1", client.http.base_url.port or 0)
            for _ in range(20):
                with socket.create_connection(address, 5) as connection:
                    connection.sendall((head + body).encode())
                    assert connection.recv(100)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            ends_at = time.monotonic() + 10
            while [each for each in gc.get_objects() if isinstance(each, _SilentProtocol) and each.server == address]:
                assert time.monotonic() < ends_at, "the server still holds connections that are gone"
                time.sleep(0.05)

    def test_it_can_start_after_it_could_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*args: Any, **options: Any) -> Any:
            raise ConfigurationError("not now")

        local = LocalScout()
        with monkeypatch.context() as patch:
            patch.setattr("scout.local.app.build_app", fail)
            with pytest.raises(ConfigurationError, match="not now"):
                local.start()
        serving_it = threading.Thread(target=local.serve_forever)
        serving_it.start()
        serving_it.join(0.3)
        assert serving_it.is_alive()
        local.close()
        serving_it.join(5)
        assert not serving_it.is_alive()

    def test_a_level_that_was_set_is_kept(self) -> None:
        program = """
import logging
logging.getLogger("scout.local.http").setLevel(logging.INFO)
from scout.local import LocalScout
with LocalScout():
    print(logging.getLogger("scout.local.http").level)
"""
        assert run_python(program) == "20"

    def test_serving_in_the_foreground_until_interrupted(self) -> None:
        program = """
import _thread, threading, time
import httpx
from scout.local import LocalScout
local = LocalScout()
def interrupt():
    while True:
        try:
            httpx.get(local.url)
            break
        except Exception:
            time.sleep(0.05)
    import os, signal
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
local.serve_forever()
print(repr(local))
"""
        result = run_python(program)
        assert result == "<LocalScout closed>"

    def test_a_program_that_forgets_to_close_ends_silently(self) -> None:
        program = """
import httpx
from scout.local import LocalScout
import time
local = LocalScout(blocks={"sleep": lambda inputs, context: time.sleep(60)}).start()
for block, seconds in (({"text": "{{ 'a'|upper }}"}, 20), (None, 0.5)):
    archetype = "com.scoutos.text" if block else "sleep"
    one = {"block_id": "a", "block_archetype_id": archetype, "block_display_name": "a", "block_inputs": block or {}}
    body, key = {"workflow_config": {"blocks": [one]}}, {"authorization": "Bearer k"}
    try:
        httpx.post(local.url + "/v2/workflows/execute", json=body, headers=key, timeout=seconds)
    except httpx.ReadTimeout:
        print("left")
"""
        assert run_python(program) == "left"

    def test_the_client_never_needs_it(self) -> None:
        program = """
import sys, scout, scout.local
heavy = {"jinja2", "jsonschema", "starlette", "uvicorn", "httpx",
         "scout._requests", "scout._answers", "scout_generated"}
print(sorted(heavy & set(sys.modules)))
from scout.local import LocalScout
with LocalScout():
    pass
print("scout._requests" in sys.modules, "scout_generated.models" in sys.modules)
print("scout.local.page.app" in sys.modules)
"""
        assert run_python(program) == "[]\nFalse False\nFalse"


def run_python(program: str) -> str:
    """Run a program, with warnings as errors; it must be silent but for its answer, and end by itself."""
    began = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert result.stderr == ""
    assert result.returncode == 0
    assert time.perf_counter() - began < 15
    return result.stdout.strip()


@pytest.mark.skipif(not REAL_CONFIGS.is_dir(), reason="the collection of real configs is not on this machine")
class TestRealConfigs:
    @staticmethod
    def files() -> list[Path]:
        return sorted(REAL_CONFIGS.iterdir()) if REAL_CONFIGS.is_dir() else []

    @staticmethod
    def load(path: Path) -> Json:
        content = YAML(typ="safe").load(path)
        return content.get("data", content)["workflow_config"]

    @pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
    def test_runs_or_names_the_block_without_a_handler(self, path: Path, client: Client) -> None:
        config = self.load(path)
        inputs = {
            item["key"]: EXAMPLES[item["input_type"]]
            for one in config["blocks"]
            if one["block_archetype_id"] == "com.scoutos.input"
            for item in one["block_inputs"]["items"]
        }
        answer = client.run(config["blocks"], inputs)

        builtin = ("com.scoutos.input", "com.scoutos.text", "com.scoutos.llm", "com.scoutos.triggers.")
        foreign = [one for one in config["blocks"] if not one["block_archetype_id"].startswith(builtin)]
        if foreign:
            (message,) = answer["run"]["errors"]
            assert f'"{foreign[0]["block_id"]}"' in message
            assert foreign[0]["block_archetype_id"] in message
            handlers: dict[str, Callable[..., Any]] = {
                one["block_archetype_id"]: lambda inputs, context: "a stub" for one in foreign
            }
            with serving(blocks=handlers) as helped:
                answer = helped.run(config["blocks"], inputs)
        assert answer["run"]["errors"] == []
        assert {one["block_id"] for one in config["blocks"]} <= set(answer["run"]["state"])
