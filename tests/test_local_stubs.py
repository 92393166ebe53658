"""Stubs of the local Scout: outputs that stand in for blocks, from a file or a mapping."""

import asyncio
import functools
import json
import threading
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from scout.errors import ConfigurationError
from scout.local import can_run
from scout.local.blocks import BlockContext, builtin_handlers
from scout.local.engine import Engine, RunRequest
from scout.local.renderer import Renderer
from scout.local.stubs import Stubs

GROWN: Any = functools.reduce(lambda part, _: [part] * 10, range(9), "x")  # 10^9 values when it is written out

Json = dict[str, Any]


def block(block_id: str, archetype: str = "com.scoutos.serp", *needs: str, **more: Any) -> Json:
    return {
        "block_id": block_id,
        "block_archetype_id": archetype,
        "block_display_name": block_id,
        "block_inputs": {},
        "dependencies": [{"block_id": needed} for needed in needs],
        **more,
    }


def llm(block_id: str, *needs: str) -> Json:
    prompts = [{"role": "user", "content": "Hi"}]
    return block(block_id, "com.scoutos.llm", *needs, block_inputs={"model": "m", "prompt_items": prompts})


def text(block_id: str, template: str, *needs: str) -> Json:
    return block(block_id, "com.scoutos.text", *needs, block_inputs={"text": template})


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    renderer = Renderer()
    yield renderer
    renderer.close()


class Runner:
    """Runs workflows with stubs."""

    def __init__(self, renderer: Renderer, stubs: Stubs, handlers: Json | None = None) -> None:
        self.stubs = stubs
        self.engine = Engine({**builtin_handlers(0), **(handlers or {})}, renderer, stubs=stubs)

    async def events(self, *blocks: Json, inputs: Json | None = None) -> list[Json]:
        run = self.engine.run(RunRequest({"blocks": list(blocks)}, inputs or {}), partials=True)
        return [event async for event in run.events()]

    async def state(self, *blocks: Json, inputs: Json | None = None) -> Json:
        last = (await self.events(*blocks, inputs=inputs))[-1]
        assert last["name"] == "workflow_run_completed", last["data"]["message"]
        return last["data"]["output"]

    async def error(self, *blocks: Json) -> str:
        last = (await self.events(*blocks))[-1]
        assert last["name"] == "workflow_run_failed"
        return last["data"]["message"]

    async def outputs(self, times: int, *blocks: Json) -> list[Any]:
        """What the first block gives, run after run."""
        states = [await self.state(*blocks) for _ in range(times)]
        return [state[blocks[0]["block_id"]]["output"] for state in states]


# --- What they do --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["text", "", 3, 1.5, True, None, [], ["a", 1], {}, {"title": "T"}])
async def test_an_output_is_any_json(output: Any, renderer: Renderer) -> None:
    for name in ("search", "com.scoutos.serp"):
        for stub in [[output], *([] if isinstance(output, list) else [output])]:  # a list has to stand in another
            assert await Runner(renderer, Stubs({name: stub})).outputs(2, block("search")) == [output, output]


async def test_a_function_gives_the_output(renderer: Renderer) -> None:
    async def later(inputs: Json, context: BlockContext) -> str:
        return f"later {inputs['query']}"

    functions: dict[str, Any] = {
        "a q": lambda inputs, context: f"{context.block_id} {inputs['query']}",
        "later q": later,
    }
    runner = Runner(renderer, Stubs())
    for output, function in functions.items():
        runner.stubs.set("com.scoutos.serp", function)
        assert await runner.outputs(1, block("a", block_inputs={"query": "q"})) == [output]

    def pieces(inputs: Json, context: BlockContext) -> Any:
        yield from ("one ", "two")

    runner.stubs.set("a", pieces)
    assert await runner.outputs(2, block("a")) == ["one two"] * 2
    runner.stubs.reset()
    assert "cannot run" in await runner.error(block("a"))


async def test_a_handler_may_be_of_one_block(renderer: Renderer) -> None:
    handlers = {"a": lambda inputs, context: "of a", "com.scoutos.serp": lambda inputs, context: "of all"}
    state = await Runner(renderer, Stubs(), handlers).state(block("a"), block("b"))

    assert (state["a"]["output"], state["b"]["output"]) == ("of a", "of all")


async def test_the_id_of_a_block_comes_before_its_archetype(renderer: Renderer) -> None:
    runner = Runner(renderer, Stubs({"com.scoutos.serp": "by archetype", "a": "by id"}))
    state = await runner.state(block("a"), block("b"))

    assert (state["a"]["output"], state["b"]["output"]) == ("by id", "by archetype")


async def test_stubs_come_before_handlers_and_built_in_blocks(renderer: Renderer) -> None:
    def never(inputs: Json, context: BlockContext) -> None:
        raise AssertionError

    stubs = Stubs({"com.scoutos.serp": 1, "com.scoutos.text": 2, "com.scoutos.llm": 3})
    state = await Runner(renderer, stubs, {"com.scoutos.serp": never}).state(block("a"), text("b", "x"), llm("c"))

    assert [state[name]["output"] for name in "abc"] == [1, 2, 3]


async def test_the_next_blocks_use_them(renderer: Renderer) -> None:
    runner = Runner(renderer, Stubs({"search": {"hits": [{"title": "T"}]}}))
    state = await runner.state(block("search"), text("out", "{{search.output.hits[0].title}}", "search"))

    assert state["out"]["output"] == "T"


async def test_a_sequence_gives_one_after_another_and_repeats_the_last(renderer: Renderer) -> None:
    runner = Runner(renderer, Stubs({"a": [1, None, [3]]}))

    assert await runner.outputs(5, block("a")) == [1, None, [3], [3], [3]]


async def test_a_block_that_fails_before_it_takes_nothing_from_a_sequence(renderer: Renderer) -> None:
    runner = Runner(renderer, Stubs({"a": ["one", "two"]}))

    events = await runner.events(block("a", block_inputs={"query": "{{ nothing }}"}))

    assert events[-1]["name"] == "workflow_run_failed"
    assert await runner.outputs(2, block("a")) == ["one", "two"]


async def test_a_sequence_by_archetype_goes_from_block_to_block(renderer: Renderer) -> None:
    runner = Runner(renderer, Stubs({"com.scoutos.serp": ["first", "second"]}))
    state = await runner.state(block("a"), block("b", "com.scoutos.serp", "a"), block("c", "com.scoutos.serp", "b"))

    assert [state[name]["output"] for name in "abc"] == ["first", "second", "second"]


async def test_text_of_a_language_model_is_streamed(renderer: Renderer) -> None:
    events = await Runner(renderer, Stubs({"answer": "one two  three"})).events(llm("answer"))
    updates = [event["data"] for event in events if event["name"] == "block_state_updated"]

    assert [(u["update_type"], u["update_data"]["output"]) for u in updates] == [
        ("partial", "one "),
        ("partial", "two  "),
        ("partial", "three"),
        ("complete", "one two  three"),
    ]


async def test_other_outputs_come_at_once(renderer: Renderer) -> None:
    for stubs, what in (({"a": "one two"}, block("a")), ({"a": {"x": 1}}, llm("a"))):
        events = await Runner(renderer, Stubs(stubs)).events(what)
        assert [e["data"]["update_type"] for e in events if e["name"] == "block_state_updated"] == ["complete"]


async def test_an_input_block_gets_its_inputs_from_a_stub(renderer: Renderer) -> None:
    items = [{"key": "message", "input_type": "short_text"}]
    for archetype in ("com.scoutos.input", "com.scoutos.triggers.slack.message"):
        form = block("inputs", archetype, block_inputs={"items": items, "more": "{{ not rendered"})
        state = await Runner(renderer, Stubs({archetype: {"message": "Hi"}})).state(
            form, text("out", "{{inputs.message}}", "inputs")
        )
        assert (state["inputs"], state["out"]["output"]) == ({"message": "Hi"}, "Hi")


async def test_a_stub_does_not_hide_a_wrong_template(renderer: Renderer) -> None:
    message = await Runner(renderer, Stubs({"a": 1})).error(block("a", block_inputs={"query": "{{nothing}}"}))

    assert message == ('Block "a" failed: the template in query, line 1 cannot be rendered: "nothing" is not defined')


async def test_what_is_set_holds_until_a_reset(renderer: Renderer) -> None:
    runner = Runner(renderer, Stubs({"a": [1, 2]}))
    assert await runner.outputs(1, block("a")) == [1]

    runner.stubs.set("a", ["x", "y"])
    assert await runner.outputs(2, block("a")) == ["x", "y"]
    runner.stubs.set("a", ["x", "y"])
    assert await runner.outputs(1, block("a")) == ["x"]
    runner.stubs.set("b", "new")
    assert await runner.outputs(1, block("b")) == ["new"]

    runner.stubs.reset()
    assert await runner.outputs(3, block("a")) == [1, 2, 2]
    assert "cannot run" in await runner.error(block("b"))


async def test_what_is_in_force_can_be_seen(renderer: Renderer) -> None:
    def function(inputs: Json, context: BlockContext) -> str:
        return "x"

    runner = Runner(renderer, Stubs({"a": [1, 2], "com.scoutos.serp": None, "f": function}))
    runner.stubs.set("late", [["x"]])

    def seen() -> list[tuple[Any, ...]]:
        return [(each.name, each.outputs, each.given, each.is_used) for each in runner.stubs.in_force()]

    new = [("a", [1, 2], 0, False), ("com.scoutos.serp", [None], 0, False), ("f", None, None, False)]
    assert seen() == [*new, ("late", [["x"]], 0, False)]
    await runner.outputs(3, block("a"), block("f"))
    used = [("a", [1, 2], 3, True), new[1], ("f", None, None, True)]
    assert seen() == [*used, ("late", [["x"]], 0, False)]
    runner.stubs.set("a", 5)
    assert seen()[0] == ("a", [5], 0, True)
    runner.stubs.in_force()[0].outputs.append(6)  # type: ignore[union-attr]
    assert seen()[0] == ("a", [5], 0, True)
    runner.stubs.reset()
    assert seen() == new


async def test_replaced_stubs_leave_nothing_of_the_old(renderer: Renderer, tmp_path: Path) -> None:
    runner = Runner(renderer, Stubs({"a": [1, 2], "b": 1}))
    runner.stubs.set("c", 1)
    assert await runner.outputs(1, block("a")) == [1]
    before = runner.stubs.generation

    path = tmp_path / "stubs.yml"
    path.write_text("a: [1, 2, 3]\n")
    runner.stubs.replace(path)
    assert [(each.name, each.given, each.is_used) for each in runner.stubs.in_force()] == [("a", 0, False)]
    assert runner.stubs.generation is not before
    assert await runner.outputs(4, block("a")) == [1, 2, 3, 3]
    assert "cannot run" in await runner.error(block("b"))
    assert "cannot run" in await runner.error(block("c"))

    runner.stubs.set("a", "later")
    with pytest.raises(ConfigurationError, match="without any output"):
        runner.stubs.replace({"b": 1, "a": []})
    assert await runner.outputs(1, block("a")) == ["later"]
    runner.stubs.reset()
    assert await runner.outputs(2, block("a")) == [1, 2]


async def test_what_is_given_cannot_be_changed_afterwards(renderer: Renderer) -> None:
    given = {"a": {"list": [1]}}
    runner = Runner(renderer, Stubs(given))
    given["a"]["list"].append(2)
    state = await runner.state(block("a"))
    state["a"]["output"]["list"].append(3)

    assert await runner.outputs(1, block("a")) == [{"list": [1]}]


async def test_a_sequence_is_counted_right_by_many_threads() -> None:
    stubs = Stubs({"a": list(range(1000))})
    context = BlockContext(block_id="a", archetype="x", state={}, session_id="s", inputs={})
    handlers: list[Any] = []

    def take() -> None:
        handlers.extend([stubs.handler("a", "x") for _ in range(100)])

    threads = [threading.Thread(target=take) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted([await handler({}, context) for handler in handlers]) == list(range(1000))


async def test_a_block_with_neither_says_how_to_add_one(renderer: Renderer) -> None:
    message = await Runner(renderer, Stubs({"other": 1})).error(block("search"))

    for words in ('"search"', '"com.scoutos.serp"', "blocks=", "stubs.yml", "--stubs", "search: ..."):
        assert words in message


async def test_an_ignored_error_needs_no_stub(renderer: Renderer) -> None:
    state = await Runner(renderer, Stubs()).state(block("a", ignore_error=True), text("b", "{{a.error}}", "a"))

    assert "stubs.yml" in state["b"]["output"]


# --- What they are made of -----------------------------------------------------------------------------------------


async def test_a_file_is_yaml_or_json(renderer: Renderer, tmp_path: Path) -> None:
    yaml = tmp_path / "stubs.yml"
    yaml.write_text(
        "# of the search\ncom.scoutos.serp: &hits\n  title: Grüße\n  on: 2024-01-31\nb: *hits\nc: [yes, 0x10]\n",
        "utf-8",
    )
    as_json = tmp_path / "stubs.json"
    hits = {"title": "Grüße", "on": "2024-01-31"}
    as_json.write_text(json.dumps({"com.scoutos.serp": hits, "b": hits, "c": ["yes", 16]}, indent="\t"))

    for path in (yaml, str(as_json)):
        runner = Runner(renderer, Stubs(path))
        assert await runner.outputs(1, block("a"), block("b")) == [hits]
        assert await runner.outputs(1, block("b")) == [hits]
        assert await runner.outputs(3, block("c")) == ["yes", 16, 16]


async def test_a_mapping_does_as_well(renderer: Renderer) -> None:
    assert await Runner(renderer, Stubs({"a": 1})).outputs(1, block("a")) == [1]


@pytest.mark.parametrize("content", ["", "\n# nothing yet\n", "---\n", "{}"])
async def test_a_file_may_be_empty(content: str, renderer: Renderer, tmp_path: Path) -> None:
    path = tmp_path / "stubs.yml"
    path.write_text(content)

    assert "cannot run" in await Runner(renderer, Stubs(path)).error(block("a"))


@pytest.mark.parametrize(
    ("content", "line", "column", "words"),
    [
        ("a: 1\nb: [1\n", 3, 1, "is not YAML"),
        ("a: 1\na: 2\n", 2, 1, "duplicate key"),
        ("- a\n- b\n", 1, 1, "mapping of block ids or archetypes"),
        ("just text", 1, 1, "mapping"),
        ("a: 1\n\n404: x\n", 1, 1, "the key 404 is not text"),
        ("a: 1\n'': x\n", 2, 1, "name"),
        ("a: 1\n  \nb:\n  []\n", 3, 1, '"b" is a sequence without any output'),
        ("a: 1\nb: .nan\n", 2, 1, "b: nan is not JSON"),
        ("a: 1\nb: !!binary aGk=\n", 2, 1, "JSON cannot carry a bytes"),
        ("a: 1\nb: &x [*x]\n", 2, 4, "b[0]: the value holds itself"),
        ("a: !!python/object:os.system x\n", 1, 4, "is not YAML"),
        ("a: *nobody\n", 1, 4, "is not YAML"),
        ("a: '\x07'\n", 1, 5, "is not YAML"),
    ],
)
def test_a_wrong_file_is_told_with_its_place(
    content: str, line: int | None, column: int | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "stubs.yml"
    path.write_text(content)

    with pytest.raises(ConfigurationError) as caught:
        Stubs(path)

    place = f"{path}, line {line}, column {column}: " if line else f"{path}: "
    assert str(caught.value).startswith(place)
    assert words in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yml"
    latin.write_bytes(b"a: \xe9")
    for path in (tmp_path / "missing.yml", tmp_path, latin, f"{tmp_path}/nul\0"):
        with pytest.raises(ConfigurationError) as caught:
            Stubs(path)
        assert str(caught.value).startswith(f"{path}: the stubs cannot be read")


@pytest.mark.parametrize(
    ("stubs", "words"),
    [
        ({"a": date(2024, 1, 1)}, r'"a" does not fit into JSON: JSON cannot carry a date; pass text'),
        ({"a": {"b": {1: "one", "1": "uno"}}}, r'"a" does not fit into JSON: b: the key 1 is not text'),
        ({"a": GROWN}, "grow to more than 5,000,000 values"),
        ({"a": []}, "without any output"),
        ({3: 1}, "not 3"),
        ({"": 1}, "name"),
        (5, "not int"),
        (None, "not NoneType"),
    ],
)
def test_wrong_stubs_are_refused(stubs: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Stubs(stubs)


def test_a_wrong_stub_changes_nothing() -> None:
    stubs = Stubs({"a": 1})
    with pytest.raises(ConfigurationError):
        stubs.set("a", {1, 2})

    assert stubs.handler("a", "x") is not None


def test_a_run_from_before_a_reset_takes_nothing_from_those_that_follow() -> None:
    stubs = Stubs({"a": ["one", "two"]})
    before = stubs.generation
    stubs.reset()

    def taken(generation: object) -> Any:
        stand_in = stubs.handler("a", "any", generation=generation)
        assert stand_in is not None
        return asyncio.run(stand_in({}, None))  # type: ignore[arg-type]

    assert [taken(before), taken(stubs.generation), taken(before), taken(stubs.generation)] == [
        "one",
        "one",
        "two",
        "two",
    ]


@pytest.mark.parametrize(
    ("archetype", "expected"),
    [
        *((f"com.scoutos.{name}", True) for name in ("input", "text", "llm", "triggers.slack.message")),
        *((name, False) for name in ("com.scoutos.serp", "com.scoutos.inputs", "")),
    ],
)
def test_it_is_told_which_blocks_need_a_stub(archetype: str, expected: bool) -> None:
    assert can_run(archetype) is expected
