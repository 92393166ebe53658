"""`execute` and `stream` of the same run give equal `Run`s: any workflow, on the local Scout."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers import KEY, Caller

from scout import AsyncScout, Run, RunFailedError, RunStatus, Scout
from scout.local import BlockContext, LocalScout

Json = dict[str, Any]


# --- The local Scout -------------------------------------------------------------------------------------


def custom(inputs: Json, context: BlockContext) -> Any:
    return inputs.get("value")


def chatty(inputs: Json, context: BlockContext) -> Iterator[str]:
    yield from inputs["pieces"]


def failing(inputs: Json, context: BlockContext) -> Any:
    raise RuntimeError(f"no luck with {inputs.get('value')}")


def failing_late(inputs: Json, context: BlockContext) -> Iterator[str]:
    yield "so far "
    yield "so good"
    raise RuntimeError("then not")


HANDLERS = {"x.custom": custom, "x.chatty": chatty, "x.failing": failing, "x.failing_late": failing_late}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with LocalScout(blocks=HANDLERS) as local:
        yield local.url


def masked(run: Run) -> Run:
    """Without what two runs of one workflow may differ in: their ids, and the time."""
    assert run.id
    state = {key: value for key, value in run.state.items() if key != "__exp_global"}
    return replace(run, id="run", state=state)


def check(executed: Run, streamed: Run, text: str) -> None:
    one, other = masked(executed), masked(streamed)
    assert one == other
    for name in ("status", "ok", "output", "text", "errors", "session_id", "workflow_id", "output_block_id"):
        assert getattr(one, name) == getattr(other, name), name
    assert one.outputs == other.outputs
    assert executed.raw is not None
    assert streamed.raw is None
    assert ("__exp_global" in executed.state) == ("__exp_global" in streamed.state)
    failed = {block.id for block in streamed.blocks if block.status == RunStatus.FAILED}
    if streamed.ok and streamed.output_block_id not in {None, *failed}:
        assert text == streamed.text


# --- Workflows -------------------------------------------------------------------------------------------


WORDS = st.text(st.sampled_from('ab é😀\u2028\u0085\n\t"\\[DONE]:'), max_size=20)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(-5, 5), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=6,
)


def safe(text: str) -> str:
    """Text that no template engine takes for a template."""
    return text.replace("{", "(").replace("}", ")").replace("%", "-")


@st.composite
def workflows(draw: Callable[..., Any]) -> tuple[Json, Json]:
    """A workflow that always goes the same way, and its inputs.

    When a block fails the run, what its neighbours had got to by then is chance: so only a chain may have such blocks.
    """
    count = draw(st.integers(1, 6))
    is_chain = draw(st.booleans())
    blocks: list[Json] = []
    for number in range(count):
        earlier = [block["block_id"] for block in blocks]
        kinds = ["input", "text", "llm", "json", "x.custom", "x.chatty", "x.failing", "x.failing_late", "x.unknown"]
        kind = draw(st.sampled_from(kinds))
        can_fail = kind in ("x.failing", "x.failing_late", "x.unknown")
        needs = earlier[-1:] if is_chain else draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        said = safe(draw(WORDS))
        refers = bool(needs) and draw(st.booleans())
        if refers:  # and may fail: not every block has an output
            said += " {{ " + needs[-1] + ".output }}"
        if draw(st.booleans()):
            said += " {{ inputs.question }}"
        prompts = [{"role": "user", "content": said}]
        settings: Json = {
            "input": {},
            "text": {"text": said},
            "llm": {"model": "m", "prompt_items": prompts},
            "json": {"model": "m", "prompt_items": prompts, "response_format": "json_object"},
            "x.chatty": {"pieces": [said, "", *map(safe, draw(st.lists(WORDS, max_size=3)))]},
            "x.custom": {"value": json.loads(safe_json(draw(VALUES)))},
        }.get(kind, {"value": said})
        archetype = {"json": "llm"}.get(kind, kind)
        block: Json = {
            "block_id": f"b{number}"
            if not draw(st.booleans())
            else draw(st.sampled_from(["output", "data"])) + str(number),
            "block_archetype_id": archetype if "." in archetype else f"com.scoutos.{archetype}",
            "block_display_name": kind,
            "block_inputs": settings,
            "dependencies": [{"block_id": needed} for needed in needs],
        }
        if ((can_fail or refers) and not is_chain) or draw(st.booleans()):
            block["ignore_error"] = True
        if draw(st.integers(0, 3)) == 0:
            block[draw(st.sampled_from(["is_output", "block_is_output"]))] = True
        blocks.append(block)
    inputs = {"question": safe(draw(WORDS)), "more": draw(VALUES)}
    return {"blocks": blocks}, inputs


def safe_json(value: Any) -> str:
    """JSON whose texts hold no template."""
    if isinstance(value, str):
        return json.dumps(safe(value))
    if isinstance(value, list):
        return "[" + ",".join(map(safe_json, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{safe_json(each)}" for key, each in value.items()) + "}"
    return json.dumps(value)


OPTIONS: Json = {"session_id": "sess_fixed", "check": False}


@settings(suppress_health_check=list(HealthCheck))
@given(workflows())
def test_any_run_is_the_same_executed_and_streamed(url: str, case: tuple[Json, Json]) -> None:
    with Scout(KEY, base_url=url) as client:
        executed = client.execute(*case, **OPTIONS)
        with client.stream(*case, **OPTIONS) as stream:
            text = "".join(stream.text())
        check(executed, stream.run, text)
        assert [block.id for block in stream.run.blocks if block.status == RunStatus.STARTED] == []


@settings(max_examples=settings.default.max_examples // 3, suppress_health_check=list(HealthCheck))
@given(workflows())
def test_any_run_is_the_same_executed_and_streamed_async(url: str, case: tuple[Json, Json]) -> None:
    async def both() -> None:
        async with AsyncScout(KEY, base_url=url) as client:
            executed = await client.execute(*case, **OPTIONS)
            async with client.stream(*case, **OPTIONS) as stream:
                text = "".join([piece async for piece in stream.text()])
            check(executed, stream.run, text)

    asyncio.run(both())


# --- By hand ---------------------------------------------------------------------------------------------


def block(block_id: str, archetype: str, inputs: Json, *needs: str, **more: Any) -> Json:
    return {
        "block_id": block_id,
        "block_archetype_id": archetype,
        "block_display_name": block_id,
        "block_inputs": inputs,
        "dependencies": [{"block_id": needed} for needed in needs],
        **more,
    }


CASES: dict[str, list[Json]] = {
    "text": [block("answer", "com.scoutos.text", {"text": "Hello {{inputs.name}}"})],
    "a failing block": [block("a", "com.scoutos.text", {"text": "x"}), block("b", "x.failing", {}, "a")],
    "a block that fails late": [block("answer", "x.failing_late", {})],
    "a late failure that is ignored": [
        block("a", "x.failing_late", {}, ignore_error=True),
        block("answer", "com.scoutos.text", {"text": "{{a.error}}"}, "a"),
    ],
    "no output block": [block("a", "com.scoutos.text", {"text": "x"}), block("b", "com.scoutos.text", {"text": "y"})],
    "a block called output": [block("output", "com.scoutos.text", {"text": "x"})],
    "a block called inputs": [block("inputs", "com.scoutos.input", {}), block("a", "x.custom", {"value": 1}, "inputs")],
    "an empty text": [block("answer", "com.scoutos.text", {"text": ""})],
    "nothing": [block("answer", "x.custom", {})],
    "an object with a key called output": [block("answer", "x.custom", {"value": {"output": 1, "answer": 2}})],
    "the first of several marks": [
        block("a", "com.scoutos.text", {"text": "x"}, block_is_output=True),
        block("b", "com.scoutos.text", {"text": "y"}, "a", is_output=True),
    ],
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_run_by_hand(call: Caller, url: str, name: str) -> None:
    case = ({"blocks": CASES[name]}, {"name": "you"})

    def program(client_class: Any) -> Any:
        client = client_class(KEY, base_url=url)
        executed = yield client.execute(*case, **OPTIONS)
        stream = yield client.stream(*case, **OPTIONS)
        streamed = yield stream.until_done()
        yield client.close()
        return executed, streamed

    executed, streamed = call.drive(program)
    assert masked(executed) == masked(streamed)
    assert [each.id for each in streamed.blocks] == [each["block_id"] for each in CASES[name]]


def test_a_failed_run_raises_the_same(call: Caller, url: str) -> None:
    def program(client_class: Any) -> Any:
        client = client_class(KEY, base_url=url)
        errors = []
        case = ({"blocks": CASES["a failing block"]}, {})
        with pytest.raises(RunFailedError) as executed:
            yield client.execute(*case, session_id="s")
        stream = yield client.stream(*case, session_id="s")
        with pytest.raises(RunFailedError) as streamed:
            yield stream.until_done()
        errors += [executed.value, streamed.value]
        yield client.close()
        return errors

    one, other = call.drive(program)
    assert masked(one.run) == masked(other.run)
    assert one.run.errors[0] in str(other)


def test_prices_and_times_are_in_the_streamed_run(url: str) -> None:
    prompts = [{"role": "user", "content": "one two three"}]
    config = {"blocks": [block("answer", "com.scoutos.llm", {"model": "m", "prompt_items": prompts})]}
    with Scout(KEY, base_url=url) as client:
        run = client.stream(config).until_done()
    assert run.price == run.blocks[0].price
    assert run.price is not None
    assert run.price > 0
    assert run.blocks[0].duration is not None
    assert run.blocks[0].duration >= 0
