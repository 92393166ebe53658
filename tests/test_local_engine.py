"""The local Scout without HTTP: plans, templates, what keeps hostile ones in bounds, and the order of events."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from scout.local.blocks import BlockFailedError, builtin_handlers, resolve_inputs
from scout.local.engine import Call, Engine
from scout.local.plan import InvalidRequestError, make_plan
from scout.local.renderer import Renderer
from scout.local.templates import TemplateFailedError, is_harmless, render

Config = dict[str, Any]
Event = dict[str, Any]

STATE = {
    "inputs": {"name": "Ada", "items": ["a", "b"], "nothing": None},
    "text": {"output": "hello"},
    "facts": {"output": {"title": "T", "list": [1, 2]}, "note": "n"},
}


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


@pytest.fixture
async def impatient() -> AsyncIterator[Renderer]:
    renderer = Renderer(seconds=1.0)
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

    def test_required(self) -> None:
        for item in ({}, {"is_optional": False}, {"default_value": None}):
            with pytest.raises(BlockFailedError, match='"k" is missing'):
                self.resolve({}, input_type="short_text", **item)

    def test_undeclared_inputs_stay(self) -> None:
        assert self.resolve({"k": "v", "other": 1}, input_type="short_text") == {"k": "v", "other": 1}

    def test_odd_settings_do_no_harm(self) -> None:
        for items in (None, "x", [None, {}, {"key": 3}]):
            assert resolve_inputs({"items": items}, {"a": 1}) == {"a": 1}


class TestTemplates:
    @pytest.mark.parametrize(
        ("template", "text"),
        [
            ("Hi {{inputs.name}}!\n", "Hi Ada!\n"),
            ("{{ inputs['name'] }} {{- inputs.name -}} .", "AdaAda."),
            ("{{text}} {{ text.output }}", "hello hello"),
            ("{{facts.output.title}} {{facts.title}} {{facts.note}} {{facts['title']}}", "T T n T"),
            ("{{facts.output.list[1]}}{{facts.list.0}}", "21"),
            ("{{inputs.items.0}}", "a"),
            ("{{inputs.nothing}}|", "|"),
            ("{{ text|upper }}", "HELLO"),
            ("{% for item in inputs['items'] %}{{ loop.index }}{{ item }}{% endfor %}", "1a2b"),
            ("{% if tone is defined %}x{% else %}y{% endif %}{# gone #}", "y"),
            ("{{ tone|default('calm') }}", "calm"),
            ("{{ facts.output | tojson }}", '{"list": [1, 2], "title": "T"}'),
            ("{{ text ~ '!' }} {{ 2 * 3 }}", "hello! 6"),
            ("no template } { % here", "no template } { % here"),
        ],
    )
    async def test_forms(self, template: str, text: str, renderer: Renderer) -> None:
        assert await renderer.render(template, STATE, block_ids=set(), most=1000) == text

    @pytest.mark.parametrize(
        ("template", "message", "line"),
        [
            ("a\n{{tone}}", '"tone" is not defined', 2),
            ("{{inputs.tone}}", '"tone" is not in "inputs", which has: name, items, nothing', 1),
            ("{{facts.output.tone}}", '"tone" is not in a value of type dict', 1),
            ("{{text.output.title}}", '"title" is a method', None),
            ("{{text.title.first}}", '"title" is not in "text"', 1),
            ("\n\n{{ tone|upper }}", '"tone" is not defined', 3),
            ("{{ later.output }}", '"later" has not run before this block', 1),
            ("{{", "unexpected", 1),
            ("{% if x %}", "endif", 1),
            ("{{ 1 // 0 }}", "ZeroDivisionError", 1),
            ("{{ text.output.nope() }}", '"nope" is not in a value of type str', 1),
        ],
    )
    async def test_failures_name_what_is_missing_and_the_line(
        self, template: str, message: str, line: int | None, renderer: Renderer
    ) -> None:
        with pytest.raises(TemplateFailedError) as caught:
            await renderer.render(template, STATE, block_ids={"later"}, most=1000)

        assert message in caught.value.message
        assert line is None or caught.value.line == line

    @pytest.mark.parametrize(
        "template",
        [
            "{{ inputs.__class__ }}",
            "{{ ''.__class__.__mro__[1].__subclasses__() }}",
            "{{ inputs['__class__'] }}",
            "{{ self.__init__.__globals__ }}",
            "{{ cycler.__init__.__globals__.os.environ }}",
            "{{ namespace.__init__.__globals__ }}",
            "{{ '{0.__class__}'.format(text) }}",
            "{{ inputs | attr('__class__') }}",
            "{% include 'etc' %}",
            "{% set _ = inputs.update({'a': 1}) %}",
        ],
    )
    async def test_the_sandbox_holds(self, template: str, renderer: Renderer) -> None:
        with pytest.raises(TemplateFailedError):
            await renderer.render(template, STATE, block_ids=set(), most=1000)

    @pytest.mark.parametrize(
        "template",
        ["{{a}}", "x {{ a.b[0]['c d'].e }} y", "{{-a-}}", "{{ a }}{{ b }}", "plain { } text", "{{ größe.maß }}"],
    )
    def test_lookups_are_harmless(self, template: str) -> None:
        assert is_harmless(template)

    @pytest.mark.parametrize(
        "template",
        [
            "{{ a() }}",
            "{{ a|b }}",
            "{{ a + b }}",
            "{{ 9**9 }}",
            "{{ a['b' ~ 'c'] }}",
            "{% for x in y %}{% endfor %}",
            "{# c #}",
            "{{ a }}{{ b",
            "{{ a[b] }}",
            "{{ a" + ".b" * 40_000 + " }}",
            "{{a}}" * 1000,
        ],
    )
    def test_everything_else_is_not(self, template: str) -> None:
        assert not is_harmless(template)

    def test_the_check_itself_takes_linear_time(self) -> None:
        began = time.perf_counter()
        for piece in ("{{ ", "{{a.", "{{a" + " " * 50, "{", "{{a['", "{{a[1]"):
            is_harmless((piece * 64_000)[:64_000])
        assert time.perf_counter() - began < 2

    def test_the_length_of_the_text_is_limited(self) -> None:
        with pytest.raises(TemplateFailedError, match="longer than 9"):
            render("{{text}}{{text}}", STATE, most=9)

    @pytest.mark.parametrize(
        "template",
        [
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "{{ 9 ** (9 ** 9) }}",
            "{{ 'x' * 9999999999 }}",
            "{{ 'x'.ljust(9999999999) }}",
            "{{ 1|round(999999999, 'floor') }}",
            "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
            "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
            "{% for a in range(99999) %}{% for b in range(99999) %}xxxxxxxxxxxxxxxx{% endfor %}{% endfor %}",
            "{{ " + "(" * 500 + ")" * 500 + " }}",
            "{% if x %}" * 5000,
            "{{ x }}" * 1_000_000,
        ],
        ids=range(12),
    )
    async def test_hostile_templates_end_and_leave_the_loop_free(self, template: str, impatient: Renderer) -> None:
        longest_pause = 0.0

        async def watch() -> None:
            nonlocal longest_pause
            while True:
                before = time.perf_counter()
                await asyncio.sleep(0.01)
                longest_pause = max(longest_pause, time.perf_counter() - before)

        watching = asyncio.create_task(watch())
        began = time.perf_counter()
        with pytest.raises(TemplateFailedError):
            await impatient.render(template, STATE, block_ids=set(), most=100_000)
        watching.cancel()

        assert time.perf_counter() - began < 5
        assert longest_pause < 1
        assert await impatient.render("{{ text|upper }}", STATE, block_ids=set(), most=100) == "HELLO"

    async def test_more_hostile_templates_than_processes(self, impatient: Renderer) -> None:
        forever = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
        hostile = [asyncio.create_task(impatient.render(forever, STATE, block_ids=set(), most=100)) for _ in range(5)]

        assert await impatient.render("{{ text }}", STATE, block_ids=set(), most=100) == "hello"
        problems = await asyncio.gather(*hostile, return_exceptions=True)
        assert [str(problem.message) for problem in problems if isinstance(problem, TemplateFailedError)] == [
            "it took longer than 1 seconds"
        ] * 5

    async def test_the_process_knows_no_environment(self, renderer: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PLANTED", "secret_planted")
        await renderer.render("{{ text|upper }}", STATE, block_ids=set(), most=100)

        (process,) = renderer._idle
        assert process._child is not None
        try:
            environ = await asyncio.to_thread(Path(f"/proc/{process._child.pid}/environ").read_bytes)
        except FileNotFoundError:
            pytest.skip("there is no /proc here")
        assert environ == b""

    async def test_a_cancelled_template_is_ended(self, renderer: Renderer) -> None:
        task = asyncio.create_task(
            renderer.render(
                "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
                STATE,
                block_ids=set(),
                most=100,
            )
        )
        await asyncio.sleep(0.3)
        (process,) = renderer._all
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        process.join(2)

        assert process._child is not None
        assert process._child.returncode is not None


async def collect(
    workflow: Config, renderer: Renderer, handlers: dict[str, Any] | None = None, **call: Any
) -> list[Event]:
    engine = Engine({**builtin_handlers(0), **(handlers or {})}, renderer)
    return [event async for event in engine.run(Call(workflow, **call), partials=True).events()]


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
        def words(inputs: dict[str, Any], context: Any) -> Iterator[str]:
            yield from "abcdefghij"

        async def other_words(inputs: dict[str, Any], context: Any) -> AsyncIterator[str]:
            for letter in "abcdefghij":
                yield letter

        for handler in (words, other_words):
            workflow = config(block("x", "say"), block("y", "say"))
            events = await collect(workflow, renderer, {"com.scoutos.say": handler})
            partials = [e["data"] for e in events if e["data"].get("update_type") == "partial"]
            order = "".join(data["block_id"] for data in partials)

            assert "".join(d["update_data"]["output"] for d in partials if d["block_id"] == "x") == "abcdefghij"
            assert order not in ("x" * 10 + "y" * 10, "y" * 10 + "x" * 10)

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

        run = Engine({"com.scoutos.endless": endless}, renderer).run(Call(config(block("a", "endless"))), partials=True)
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

        many = [block("b0", settings={"text": "x" * 4_000_000})]
        many += [block(f"b{n}", "text", "b0", settings={"text": "{{b0}}"}) for n in range(1, 40)]
        events = await collect(config(*many), renderer)

        assert events[-1]["name"] == "workflow_run_failed"
        assert "the run holds more than" in events[-1]["data"]["message"] or "longer" in events[-1]["data"]["message"]
