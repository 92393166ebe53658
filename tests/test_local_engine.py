"""The local Scout without HTTP: plans, inputs, handlers, the order of events, and what keeps runs in bounds."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from scout.local.blocks import BlockContext, BlockFailedError, builtin_handlers, resolve_inputs
from scout.local.engine import Engine, RunRequest
from scout.local.plan import InvalidRequestError, make_plan
from scout.local.renderer import Renderer

Config = dict[str, Any]
Event = dict[str, Any]


def block(block_id: str, archetype: str = "text", *needs: str, **more: Any) -> Config:
    settings = more.pop("settings", {"text": block_id})
    return {
        "block_id": block_id,
        "block_archetype_id": f"com.scoutos.{archetype}",
        "block_display_name": block_id,
        "block_inputs": settings,
        "dependencies": [{"block_id": needed} for needed in needs],
        **more,
    }


def config(*blocks: Config) -> Config:
    return {"blocks": list(blocks)}


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    renderer = Renderer()
    yield renderer
    renderer.close()


class TestPlan:
    def test_empty(self) -> None:
        assert make_plan({}).output_block_id is None

    def test_a_marked_block_gives_the_output(self) -> None:
        for mark in ("is_output", "block_is_output"):
            assert make_plan(config(block("a", **{mark: True}), block("b", "text", "a"))).output_block_id == "a"

    def test_else_the_only_leaf(self) -> None:
        assert make_plan(config(block("b", "text", "a"), block("a"))).output_block_id == "b"

    def test_two_leaves_give_none(self) -> None:
        assert make_plan(config(block("a"), block("b"))).output_block_id is None

    def test_nulls_are_as_good_as_nothing(self) -> None:
        plan = make_plan(config(block("a", settings=None) | {"dependencies": None, "is_output": None}))

        assert plan.blocks["a"].settings == {}

    @pytest.mark.parametrize(
        ("blocks", "loc", "words"),
        [
            ([block("a"), block("a")], [1, "block_id"], ["taken", '"a"']),
            ([block("a"), block("b", "text", "a", "x")], [1, "dependencies", 1, "block_id"], ['"x"', '"b"']),
            ([block("a", "text", "a")], [0, "dependencies", 0, "block_id"], ['"a" -> "a"']),
            (
                [
                    block("after", "text", "a"),
                    block("a", "text", "c"),
                    block("b", "text", "a"),
                    block("c", "text", "b"),
                ],
                [1, "dependencies", 0, "block_id"],
                ['"a" -> "c" -> "b" -> "a"'],
            ),
        ],
    )
    def test_what_cannot_be_ordered_is_refused(self, blocks: list[Config], loc: list[Any], words: list[str]) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            make_plan(config(*blocks))

        (detail,) = caught.value.details
        assert detail["loc"] == ["body", "workflow_config", "blocks", *loc]
        for word in words:
            assert word in detail["msg"]

    def test_ten_thousand_blocks_in_a_row(self) -> None:
        chain = [block("0"), *(block(str(n), "text", str(n - 1)) for n in range(1, 10_000))]
        assert make_plan(config(*chain)).output_block_id == "9999"

        chain[0]["dependencies"] = [{"block_id": "9999"}]
        with pytest.raises(InvalidRequestError, match="circle"):
            make_plan(config(*chain))


class TestInputs:
    @staticmethod
    def resolve(given: dict[str, Any], **item: Any) -> dict[str, Any]:
        return resolve_inputs({"items": [{"key": "k", **item}]}, given)

    @pytest.mark.parametrize(
        ("input_type", "good", "bad"),
        [
            ("short_text", ["", "x"], [1, True, [], {}]),
            ("long_text", ["x\ny"], [1.5]),
            ("number", [0, 1.5, 2**70], ["1", True]),
            ("checkbox", [True, False], [0, "true"]),
            ("json", [{}, [], "x", 1, False], []),
            ("a type of the future", [{}, "x"], []),
        ],
    )
    def test_types(self, input_type: str, good: list[Any], bad: list[Any]) -> None:
        for value in good:
            assert self.resolve({"k": value}, input_type=input_type) == {"k": value}
        for value in bad:
            with pytest.raises(BlockFailedError, match='"k" must be'):
                self.resolve({"k": value}, input_type=input_type)

    def test_defaults_and_optional(self) -> None:
        assert self.resolve({}, input_type="short_text", default_value="d") == {"k": "d"}
        assert self.resolve({"k": None}, input_type="short_text", default_value="d") == {"k": "d"}
        assert self.resolve({"k": "v"}, input_type="short_text", default_value="d") == {"k": "v"}
        assert self.resolve({}, input_type="checkbox", default_value=False) == {"k": False}
        assert self.resolve({}, input_type="short_text", is_optional=True) == {"k": None}

    @pytest.mark.parametrize(
        ("input_type", "typed", "value"),
        [
            ("number", "5", 5),
            ("number", " 1.5 ", 1.5),
            ("checkbox", "true", True),
            ("json", '{"a": [1]}', {"a": [1]}),
            ("json", "just text", "just text"),
            ("short_text", "5", "5"),
            ("long_text", "", ""),
        ],
    )
    def test_a_default_that_was_typed_into_a_form_is_read_as_its_type(
        self, input_type: str, typed: str, value: Any
    ) -> None:
        assert self.resolve({}, input_type=input_type, default_value=typed) == {"k": value}

    def test_a_default_of_the_wrong_type_is_an_error_of_its_own(self) -> None:
        for input_type, default in (("number", "five"), ("number", True), ("checkbox", 1), ("short_text", 3)):
            with pytest.raises(BlockFailedError, match='the default of the input "k" must be'):
                self.resolve({}, input_type=input_type, default_value=default)

    def test_required(self) -> None:
        for item in ({}, {"is_optional": False}, {"default_value": None}):
            with pytest.raises(BlockFailedError, match='"k" is missing'):
                self.resolve({}, input_type="short_text", **item)
        for input_type in ("number", "checkbox", "json"):
            with pytest.raises(BlockFailedError, match='"k" is missing'):
                self.resolve({}, input_type=input_type, default_value=" ")

    def test_all_problems_are_told_together(self) -> None:
        items = [{"key": "a"}, {"key": "b", "input_type": "number"}]
        with pytest.raises(
            BlockFailedError, match='"a" is missing, and it is required; the input "b" must be a number'
        ):
            resolve_inputs({"items": items}, {"b": "x"})

    def test_undeclared_inputs_stay(self) -> None:
        assert self.resolve({"k": "v", "other": 1}, input_type="short_text") == {"k": "v", "other": 1}

    def test_odd_settings_do_no_harm(self) -> None:
        for items in (None, "x", [None, {}, {"key": 3}]):
            assert resolve_inputs({"items": items}, {"a": 1}) == {"a": 1}


async def collect(
    workflow: Config, renderer: Renderer, handlers: dict[str, Any] | None = None, **call: Any
) -> list[Event]:
    engine = Engine({**builtin_handlers(0), **(handlers or {})}, renderer)
    return [event async for event in engine.run(RunRequest(workflow, **call), partials=True).events()]


async def final_state(workflow: Config, renderer: Renderer, handlers: dict[str, Any] | None = None, **call: Any) -> Any:
    last = (await collect(workflow, renderer, handlers, **call))[-1]
    assert last["name"] == "workflow_run_completed", last["data"]["message"]
    return last["data"]["output"]


async def error(workflow: Config, renderer: Renderer, handlers: dict[str, Any] | None = None, **call: Any) -> str:
    last = (await collect(workflow, renderer, handlers, **call))[-1]
    assert last["name"] == "workflow_run_failed"
    return str(last["data"]["message"])


def names(events: list[Event]) -> list[str]:
    return [f"{event['name']} {event['data'].get('block_id', '')}".strip() for event in events]


class TestEvents:
    async def test_one_block(self, renderer: Renderer) -> None:
        events = await collect(config(block("a")), renderer)

        assert names(events) == [
            "workflow_run_started",
            "block_run_started a",
            "block_state_updated a",
            "block_run_completed a",
            "workflow_run_completed",
        ]
        assert len({event["id"] for event in events}) == 5
        assert {event["correlation_id"] for event in events} == {events[0]["id"]}
        assert [event["timestamp"] for event in events] == sorted(event["timestamp"] for event in events)
        assert events[3]["data"]["state"] == {"output": "a"}
        assert events[4]["data"]["output"]["a"] == {"output": "a"}

    async def test_a_diamond(self, renderer: Renderer) -> None:
        workflow = config(block("d", "text", "b", "c"), block("b", "text", "a"), block("c", "text", "a"), block("a"))
        found = names(await collect(workflow, renderer))

        def at(name: str) -> int:
            return found.index(name)

        assert at("block_run_completed a") < at("block_run_started b")
        assert at("block_run_started c") < at("block_run_completed b")
        assert max(at("block_run_completed b"), at("block_run_completed c")) < at("block_run_started d")
        assert found[-1] == "workflow_run_completed"

    async def test_independent_blocks_run_at_the_same_time(self, renderer: Renderer) -> None:
        barrier = threading.Barrier(3, timeout=5)
        meet = {"com.scoutos.meet": lambda inputs, context: barrier.wait() >= 0}
        workflow = config(*(block(name, "meet") for name in "abc"))

        assert names(await collect(workflow, renderer, meet))[-1] == "workflow_run_completed"

    async def test_parallel_streams_interleave(self, renderer: Renderer) -> None:
        """Neither stream makes a letter before both have handed over the one before, so they take turns or fail."""
        threads, tasks = threading.Barrier(2, timeout=10), asyncio.Barrier(2)

        def words(inputs: dict[str, Any], context: Any) -> Iterator[str]:
            for letter in "abcdefghij":
                threads.wait()
                yield letter

        async def other_words(inputs: dict[str, Any], context: Any) -> AsyncIterator[str]:
            for letter in "abcdefghij":
                await asyncio.wait_for(tasks.wait(), 10)
                yield letter

        for handler in (words, other_words):
            workflow = config(block("x", "say"), block("y", "say"))
            events = await collect(workflow, renderer, {"com.scoutos.say": handler})
            partials = [e["data"] for e in events if e["data"].get("update_type") == "partial"]
            turns = [data["block_id"] for data in partials]

            for name in "xy":
                text = "".join(d["update_data"]["output"] for d in partials if d["block_id"] == name)
                assert text == "abcdefghij"
            assert all(set(turn) == {"x", "y"} for turn in zip(turns[::2], turns[1::2], strict=True)), turns

    async def test_a_failure_cancels_what_still_runs(self, renderer: Renderer) -> None:
        cancelled = asyncio.Event()

        async def slow(inputs: dict[str, Any], context: Any) -> str:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.set()
                raise
            return "never"

        workflow = config(block("slow", "slow"), block("bad", "text", settings={"text": "{{x}}"}))
        events = await collect(workflow, renderer, {"com.scoutos.slow": slow})

        assert cancelled.is_set()
        assert names(events)[-2:] == ["block_run_failed bad", "workflow_run_failed"]
        assert events[-1]["data"]["message"] == events[-2]["data"]["message"]

    async def test_a_handler_that_will_not_be_cancelled_holds_nothing_up(self, renderer: Renderer) -> None:
        release = asyncio.Event()

        async def stubborn(inputs: dict[str, Any], context: Any) -> str:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue
            return "late"

        workflow = config(block("stubborn", "stubborn"), block("bad", "none"))
        began = time.perf_counter()
        events = await collect(workflow, renderer, {"com.scoutos.stubborn": stubborn})
        release.set()
        await asyncio.sleep(0)

        assert events[-1]["name"] == "workflow_run_failed"
        assert time.perf_counter() - began < 2

    async def test_closing_early_cancels_the_run(self, renderer: Renderer) -> None:
        ended = asyncio.Event()

        async def endless(inputs: dict[str, Any], context: Any) -> AsyncIterator[str]:
            try:
                while True:
                    yield "x"
            finally:
                ended.set()

        run = Engine({"com.scoutos.endless": endless}, renderer).run(
            RunRequest(config(block("a", "endless"))), partials=True
        )
        events = run.events()
        for _ in range(5):
            await anext(events)
        await events.aclose()

        assert ended.is_set()
        assert len(asyncio.all_tasks()) == 1

    async def test_a_thousand_blocks_at_once(self, renderer: Renderer) -> None:
        events = await collect(config(*(block(f"b{n}") for n in range(1000))), renderer)

        assert names(events).count("workflow_run_completed") == 1
        assert sum(event["name"] == "block_run_completed" for event in events) == 1000

    async def test_a_run_cannot_fill_the_memory(self, renderer: Renderer) -> None:
        doubling = [block("b0", settings={"text": "x" * 1000})]
        doubling += [
            block(f"b{n}", "text", f"b{n - 1}", settings={"text": f"{{{{b{n - 1}}}}}{{{{b{n - 1}}}}}"})
            for n in range(1, 40)
        ]
        events = await collect(config(*doubling), renderer)

        assert events[-1]["name"] == "workflow_run_failed"
        assert "longer than" in events[-1]["data"]["message"]

    async def test_ignored_errors_do_not_keep_a_full_run_busy(self, renderer: Renderer) -> None:
        calls = 0

        async def large(inputs: dict[str, Any], context: BlockContext) -> str:
            nonlocal calls
            calls += 1
            return "x" * 4_000_000

        full = [block(f"b{n}", "large", ignore_error=True) for n in range(200)]
        state = await final_state(config(*full), renderer, {"com.scoutos.large": large})

        assert "the run holds more than" in state["b199"]["error"]
        assert calls < 25

    async def test_a_run_cannot_fill_the_memory_from_one_source(self, renderer: Renderer) -> None:
        many = [block("b0", settings={"text": "x" * 4_000_000})]
        many += [block(f"b{n}", "text", "b0", settings={"text": "{{b0}}"}) for n in range(1, 40)]
        events = await collect(config(*many), renderer)

        assert events[-1]["name"] == "workflow_run_failed"
        assert "the run holds more than" in events[-1]["data"]["message"] or "longer" in events[-1]["data"]["message"]


class TestState:
    async def test_it_is_what_real_runs_have(self, renderer: Renderer) -> None:
        form = block("form", "input", settings={"items": [{"key": "name", "default_value": "Ada"}]})
        state = await final_state(config(form, block("a", "text", "form")), renderer, inputs={"more": 1})

        assert list(state) == ["inputs", "__exp_global", "form", "a"]
        assert state["inputs"] == {"more": 1}
        assert state["form"] == {"more": 1, "name": "Ada"}
        assert state["a"] == {"output": "a"}
        assert state["__exp_global"]["workflow"]["workflow_id"].startswith("wf_")
        assert state["__exp_global"]["organization"] == {"id": "org_local"}
        for name in ("date", "time", "datetime"):
            for zone in ("", "_utc", "_pacific"):
                assert isinstance(state["__exp_global"][f"current_{name}{zone}"], str)

    async def test_a_stored_workflow_keeps_its_id(self, renderer: Renderer) -> None:
        engine = Engine(builtin_handlers(0), renderer)
        answer = await engine.run(RunRequest(config(block("a")), workflow_id="wf_stored"), partials=False).finish()

        assert answer["workflow_id"] == "wf_stored"
        assert answer["run"]["state"]["__exp_global"]["workflow"]["workflow_id"] == "wf_stored"

    async def test_variables_are_for_templates_and_not_in_the_state(self) -> None:
        renderer = Renderer({"TOKEN": "secret_of_mine"})
        try:
            state = await final_state(
                config(block("a", settings={"text": "{{_env.TOKEN|length}}"})), renderer, {}, inputs={"x": 1}
            )
        finally:
            renderer.close()

        assert state["a"] == {"output": "14"}
        assert "secret_of_mine" not in str(state)

    async def test_an_ignored_error_leaves_an_entry_and_the_run_goes_on(self, renderer: Renderer) -> None:
        bad = block("bad", "text", settings={"text": "{{x}}"}, ignore_error=True)
        after = block("after", "text", "bad", settings={"text": "{{bad.error|length > 10}} {{bad.output is none}}"})
        state = await final_state(config(bad, after), renderer)

        assert state["bad"]["output"] is None
        assert state["bad"]["error"].startswith('Block "bad" failed')
        assert state["after"]["output"] == "True True"


class TestTemplatesInBlocks:
    async def test_all_texts_are_rendered_and_all_else_stays(self, renderer: Renderer) -> None:
        settings = {
            "query": "{{inputs.x}}",
            "list": ["{{inputs.x}}", 1, None, {"deep": ["{{inputs.x|upper}}", True]}],
            "number": 1.5,
            "{{key}}": "",
        }
        seen = {"com.scoutos.seen": lambda inputs, context: inputs}
        state = await final_state(config(block("a", "seen", settings=settings)), renderer, seen, inputs={"x": "hi"})

        assert state["a"]["output"] == {
            "query": "hi",
            "list": ["hi", 1, None, {"deep": ["HI", True]}],
            "number": 1.5,
            "{{key}}": "",
        }

    @pytest.mark.parametrize(
        ("settings", "where"),
        [
            ({"query": "{{x}}"}, "query, line 1"),
            ({"ok": "{{inputs}}", "list": [{"a.b": "1\n2\n{{x|upper}}"}]}, "list[0].a.b, line 3"),
            ({"prompt_items": [{"content": "fine"}, {"content": "{% if %}"}]}, "prompt_items[1].content, line 1"),
        ],
    )
    async def test_an_error_names_block_field_and_line(self, settings: Config, where: str, renderer: Renderer) -> None:
        message = await error(config(block("a", "seen", settings=settings)), renderer, {"com.scoutos.seen": print})

        assert message.startswith(f'Block "a" failed: the template in {where} cannot be rendered: ')

    async def test_the_line_where_memory_ran_out(self, renderer: Renderer) -> None:
        template = "one\ntwo\n{{ 'x' * (10 ** inputs|length) }}"
        message = await error(
            config(block("a", settings={"text": template})), renderer, inputs=dict.fromkeys("abcdefghij")
        )

        assert "the template in text, line 3 cannot be rendered: it needs too much memory" in message

    @pytest.mark.timing
    async def test_a_run_of_hostile_blocks_ends_and_others_do_not_wait_for_it(self) -> None:
        renderer = Renderer(seconds=0.5, seconds_of_a_run=2.0)
        forever = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
        hostile = config(*(block(f"b{n}", settings={"text": forever}, ignore_error=True) for n in range(1000)))
        began = time.perf_counter()
        attack = asyncio.create_task(collect(hostile, renderer))
        try:
            for _ in range(3):
                await asyncio.sleep(0.2)
                asked = time.perf_counter()
                good = config(block("a", settings={"text": "{{ 'x'|upper }}"}))
                assert (await final_state(good, renderer))["a"]["output"] == "X"
                assert time.perf_counter() - asked < 1
            events = await attack
        finally:
            renderer.close()

        assert events[-1]["name"] == "workflow_run_completed"
        assert "templates of this run took longer than" in events[-1]["data"]["output"]["b999"]["error"]
        assert time.perf_counter() - began < 10


class TestHandlers:
    async def test_a_handler_sees_the_state_so_far_and_cannot_change_it(self, renderer: Renderer) -> None:
        seen: list[Any] = []

        def look(inputs: dict[str, Any], context: BlockContext) -> None:
            seen.append((context.block_id, context.archetype, list(context.state), context.inputs))
            context.state["b"] = context.state["planted"] = 1

        workflow = config(block("b", "look", "a"), block("a"), block("c", "look", "b"))
        state = await final_state(workflow, renderer, {"com.scoutos.look": look}, inputs={"x": 1})

        assert seen == [
            ("b", "com.scoutos.look", ["inputs", "__exp_global", "a"], {"x": 1}),
            ("c", "com.scoutos.look", ["inputs", "__exp_global", "a", "b"], {"x": 1}),
        ]
        assert "planted" not in state

    async def test_a_sync_generator_runs_off_the_loop_and_an_async_one_on_it(self, renderer: Renderer) -> None:
        threads: dict[str, set[int]] = {"sync": set(), "async": set()}

        def off(inputs: dict[str, Any], context: BlockContext) -> Iterator[str]:
            for letter in "abc":
                threads["sync"].add(threading.get_ident())
                time.sleep(0.05)
                yield letter

        async def on(inputs: dict[str, Any], context: BlockContext) -> AsyncIterator[str]:
            for letter in "abc":
                threads["async"].add(threading.get_ident())
                await asyncio.sleep(0)
                yield letter

        handlers = {"com.scoutos.off": off, "com.scoutos.on": on}
        state = await final_state(config(block("a", "off"), block("b", "on")), renderer, handlers)

        assert (state["a"]["output"], state["b"]["output"]) == ("abc", "abc")
        assert threads["async"] == {threading.get_ident()}
        assert len(threads["sync"]) == 1
        assert threads["sync"] != threads["async"]

    @pytest.mark.parametrize("kind", ["function", "coroutine", "generator", "async generator"])
    async def test_every_exception_is_the_error_of_its_block(self, kind: str, renderer: Renderer) -> None:
        def function(inputs: dict[str, Any], context: BlockContext) -> str:
            raise ValueError("it broke")

        async def coroutine(inputs: dict[str, Any], context: BlockContext) -> str:
            raise ValueError("it broke")

        def generator(inputs: dict[str, Any], context: BlockContext) -> Iterator[str]:
            yield "begun"
            raise ValueError("it broke")

        async def async_generator(inputs: dict[str, Any], context: BlockContext) -> AsyncIterator[str]:
            yield "begun"
            raise ValueError("it broke")

        kinds = {"function": function, "coroutine": coroutine, "generator": generator}
        handler = kinds.get(kind, async_generator)
        message = await error(config(block("a", "bad")), renderer, {"com.scoutos.bad": handler})

        assert message == 'Block "a" failed: its handler raised ValueError: it broke'

    async def test_an_input_block_may_have_a_handler_too(self, renderer: Renderer) -> None:
        form = block("inputs", "input", settings={"items": [{"key": "x", "default_value": "{{ as it is"}]})
        given = {"com.scoutos.input": lambda inputs, context: {"x": inputs["items"][0]["default_value"]}}
        state = await final_state(config(form), renderer, given)

        assert state["inputs"] == {"x": "{{ as it is"}

    async def test_the_status_of_another_server_is_in_the_event(self, renderer: Renderer) -> None:
        def refused(inputs: dict[str, Any], context: BlockContext) -> None:
            raise BlockFailedError("the other server refused", 403)

        events = await collect(config(block("a", "bad")), renderer, {"com.scoutos.bad": refused})

        assert events[-2]["data"]["status_code"] == 403
        assert events[-1]["data"]["message"] == 'Block "a" failed: the other server refused'

    async def test_an_endless_generator_of_nothing_fills_nothing(self, renderer: Renderer) -> None:
        made = 0

        async def nothing(inputs: dict[str, Any], context: BlockContext) -> AsyncIterator[str]:
            nonlocal made
            while True:
                made += 1
                yield ""

        run = Engine({"com.scoutos.nothing": nothing}, renderer).run(
            RunRequest(config(block("a", "nothing"))), partials=True
        )
        task = asyncio.create_task(run.finish())
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert made > 1000

    async def test_a_run_has_a_limited_number_of_threads(self, renderer: Renderer) -> None:
        most = 0
        many = threading.Event()

        def slow(inputs: dict[str, Any], context: BlockContext) -> None:
            nonlocal most
            most = max(most, sum(thread.name == "scout-local-block" for thread in threading.enumerate()))
            if most > 50:
                many.set()
            many.wait(10)  # a busy machine starts threads slowly
            time.sleep(0.02)

        workflow = config(*(block(f"b{n}", "slow") for n in range(500)))
        state = await final_state(workflow, renderer, {"com.scoutos.slow": slow})

        assert len(state) == 502
        assert 50 < most <= 110


class TestSize:
    @staticmethod
    async def seconds(workflow: Config, renderer: Renderer) -> float:
        began = time.process_time()
        state = await final_state(workflow, renderer)
        assert len(state) == len(workflow["blocks"]) + 2
        return time.process_time() - began

    @staticmethod
    def chain(length: int) -> Config:
        row = [block("b0"), *(block(f"b{n}", "text", f"b{n - 1}") for n in range(1, length))]
        return config(*reversed(row))

    @staticmethod
    def fan(length: int) -> Config:
        return config(block("b0"), *(block(f"b{n}", "text", "b0") for n in range(1, length)))

    @staticmethod
    def funnel(length: int) -> Config:
        many = [block(f"b{n}") for n in range(1, length)]
        return config(block("end", "text", *(each["block_id"] for each in many)), *many)

    @pytest.mark.parametrize("shape", ["chain", "fan", "funnel"])
    async def test_ten_times_the_blocks_take_ten_times_as_long(self, shape: str, renderer: Renderer) -> None:
        make = getattr(self, shape)
        await self.seconds(make(200), renderer)
        small = min([await self.seconds(make(200), renderer) for _ in range(3)])
        large = await self.seconds(make(2_000), renderer)

        assert large / small < 25  # a hundred times as long, if something were quadratic
