"""Differences of two workflows: what counts, what does not, where it is, and how it is shown."""

import copy
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scout import Difference, StoredWorkflow, WorkflowFileError, diff, load_workflow, save_workflow
from scout.cli._differences import lines, titles

PROMPTS = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "{{ inputs.user_message }}"},
    {"role": "user", "content": "Answer in one sentence, please."},
]


def block(block_id: str, **more: Any) -> dict[str, Any]:
    return {
        "block_id": block_id,
        "block_archetype_id": "com.scoutos.llm",
        "block_display_name": block_id.title(),
        **more,
    }


def workflow(*blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"workflow_display_name": "W", **more, "blocks": list(blocks)}


def with_inputs(**inputs: Any) -> dict[str, Any]:
    return workflow(block("llm", block_inputs=inputs))


def short(differences: list[Difference]) -> list[tuple[object, ...]]:
    return [(each.kind, each.place, each.before, each.after) for each in differences]


# --- What does not count ------------------------------------------------------------------------------------------

A, B = (
    block("a", is_output=False),
    block("b", is_output=True, dependencies=[{"block_id": "a", "ui": {"edge_type": "x"}}]),
)
SAME = {
    "order of keys": dict(reversed(workflow(A, B).items())),
    "wrapper": {"workflow_key": "k", "workflow_config": workflow(A, B)},
    "order of blocks": workflow(B, A),
    "old name of the mark": workflow(A, {**block("b"), "block_is_output": True, "dependencies": B["dependencies"]}),
    "mark that is missing": workflow(block("a"), B),
    "ui of a block": workflow({**A, "ui": {"position": {"x": 1, "y": 2}}}, B),
    "ui of a dependency": workflow(A, {**B, "dependencies": [{"block_id": "a"}]}),
    "placeholders": workflow(A, B, placeholders=[{"block_id": "p", "type": "blockPlaceholder"}]),
}
ON_THE_CANVAS = {"ui of a block", "ui of a dependency", "placeholders"}


@pytest.mark.parametrize("what", SAME)
def test_what_means_the_same_is_no_difference(what: str) -> None:
    assert diff(workflow(A, B), SAME[what]) == []
    assert bool(diff(workflow(A, B), SAME[what], ui=True)) == (what in ON_THE_CANVAS)


def test_numbers_are_compared_as_json_and_notes_without_their_place() -> None:
    note = {"id": "n", "bgColor": "red", "content": "Hi", "ui": {"position": {"x": 1, "y": 1}}}
    moved = {**note, "bgColor": "blue", "ui": {}}

    assert diff(with_inputs(temperature=1), with_inputs(temperature=1.0)) == []
    assert len(diff(with_inputs(temperature=1), with_inputs(temperature=True))) == 1
    assert diff(workflow(notes=[note]), workflow(notes=[moved])) == []
    assert short(diff(workflow(notes=[note]), workflow(notes=[{**note, "content": "Ho"}]))) == [
        ("changed", ("notes", 0, "content"), "Hi", "Ho")
    ]
    assert [each.place for each in diff(workflow(notes=[note]), workflow(notes=[moved]), ui=True)] == [
        ("notes", 0, "bgColor"),
        ("notes", 0, "ui", "position"),
    ]


def test_comments_and_quotes_do_not_count_and_a_stored_workflow_can_be_compared(tmp_path: Path) -> None:
    file = tmp_path / "w.yml"
    save_workflow(workflow(A, B), file, key="k")
    changed = tmp_path / "changed.yml"
    changed.write_text("# a comment\n" + file.read_text().replace("block_id: b", 'block_id: "b" # its id'))
    stored = StoredWorkflow("wf_1", "other", "rev_1", None, None, None, workflow(A, B))

    assert diff(file, changed) == diff(stored, str(changed)) == []


# --- What counts --------------------------------------------------------------------------------------------------


def test_blocks_are_compared_by_id() -> None:
    renamed = {**B, "block_id": "c"}

    found = diff(workflow(A, B), workflow(renamed, {**A, "block_display_name": "New"}))

    assert found == [
        Difference("changed", ("blocks", 1, "block_display_name"), "a", "A", "New"),
        Difference("removed", ("blocks", 1), "b", {**B, "dependencies": [{"block_id": "a"}]}, None),
        Difference("added", ("blocks", 0), "c", None, {**renamed, "dependencies": [{"block_id": "a"}]}),
    ]


def test_a_missing_field_differs_from_null() -> None:
    assert short(diff(with_inputs(), with_inputs(x=None))) == [
        ("added", ("blocks", 0, "block_inputs", "x"), None, None)
    ]


def test_the_mark_counts_under_the_name_that_it_has() -> None:
    old = workflow({**block("a"), "block_is_output": False})

    assert short(diff(old, workflow({**block("a"), "block_is_output": True}))) == [
        ("changed", ("blocks", 0, "block_is_output"), False, True)
    ]
    assert short(diff(old, workflow(block("a", is_output=True)))) == [
        ("changed", ("blocks", 0, "is_output"), False, True)
    ]
    assert short(diff(old, workflow(block("a", is_output="true"))))[1:] == [
        ("added", ("blocks", 0, "is_output"), None, "true")
    ]


def test_the_order_of_blocks_counts_where_it_decides_which_is_the_output() -> None:
    marked = [block(name, is_output=True) for name in "ab"]

    assert diff(workflow(*marked), workflow(*reversed(marked))) == [
        Difference("changed", ("blocks",), None, ["a", "b"], ["b", "a"])
    ]


def test_blocks_with_the_same_id_are_compared_in_their_order() -> None:
    twice = [block("a", ignore_error=True), block("a", ignore_error=False)]

    assert diff(workflow(*twice), workflow(*twice)) == []
    assert len(diff(workflow(*twice), workflow(*reversed(twice)))) == 2


PLACE = ("blocks", 0, "block_inputs", "prompt_items")


@pytest.mark.parametrize("index", range(4))
def test_a_prompt_that_is_inserted_is_one_addition(index: int) -> None:
    new = {"role": "user", "content": "Be brief."}
    after = [*PROMPTS[:index], new, *PROMPTS[index:]]

    assert short(diff(with_inputs(prompt_items=PROMPTS), with_inputs(prompt_items=after))) == [
        ("added", (*PLACE, index), None, new)
    ]
    assert short(diff(with_inputs(prompt_items=after), with_inputs(prompt_items=PROMPTS))) == [
        ("removed", (*PLACE, index), new, None)
    ]


def test_a_prompt_that_is_inserted_beside_a_changed_one_is_one_addition() -> None:
    changed = {"role": "system", "content": "You are a helpful assistant named Scout."}
    new = {"role": "user", "content": "Be brief."}

    found = diff(with_inputs(prompt_items=PROMPTS), with_inputs(prompt_items=[new, changed, *PROMPTS[1:]]))

    assert short(found) == [
        ("added", (*PLACE, 0), None, new),
        ("changed", (*PLACE, 1, "content"), PROMPTS[0]["content"], changed["content"]),
    ]


def test_the_order_of_prompts_counts() -> None:
    assert diff(with_inputs(prompt_items=PROMPTS), with_inputs(prompt_items=PROMPTS[::-1])) != []


def test_items_are_compared_by_their_key() -> None:
    items = [{"key": name, "input_type": "short_text"} for name in "abc"]
    after = [items[0], {"key": "new", "input_type": "short_text"}, {**items[1], "input_type": "long_text"}, items[2]]

    assert short(diff(with_inputs(items=items), with_inputs(items=after))) == [
        ("added", ("blocks", 0, "block_inputs", "items", 1), None, after[1]),
        ("changed", ("blocks", 0, "block_inputs", "items", 2, "input_type"), "short_text", "long_text"),
    ]


def test_the_place_leads_to_the_line_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "w.yml"
    file.write_text(
        "blocks:\n"
        "  - {block_id: b, block_archetype_id: x, block_display_name: B}\n"
        "  - block_id: a\n    block_archetype_id: x\n    block_display_name: New\n"
    )
    after = load_workflow(file)
    before = workflow(
        *({"block_id": name, "block_archetype_id": "x", "block_display_name": name.upper()} for name in "ab")
    )

    places = [each.place for each in diff({"blocks": before["blocks"]}, after)]

    assert [after.locate(place) for place in places] == [(5, 5)]


def test_the_place_of_what_was_removed_leads_to_it_in_the_workflow_before() -> None:
    prompts: list[Any] = [{"role": "user", "content": text} for text in ("first", "second")]
    before = workflow(block("a"), block("b", block_inputs={"prompt_items": [*prompts, {"role": "x", "name": "n"}]}))
    after = workflow(block("b", block_inputs={"prompt_items": [prompts[1], {"role": "x"}]}), block("a"))

    found = [each for each in diff(before, after) if each.kind == "removed"]

    for each in found:
        value: Any = before
        for step in each.place:
            value = value[step]
        assert value == each.before
    assert {each.place[-1] for each in found} == {0, "name"}


# --- Any JSON, any size -------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([1.0, 0.5, "", "a", "b"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "key", "a"]), inner, max_size=3),
    max_leaves=12,
)


@given(JSON, JSON)
def test_there_are_differences_if_and_only_if_the_values_differ(one: Any, other: Any) -> None:
    def typed(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: typed(each) for name, each in value.items()}
        return [*map(typed, value)] if isinstance(value, list) else (isinstance(value, bool), value)

    found = diff(with_inputs(x=one), with_inputs(x=other))

    assert bool(found) == (typed(one) != typed(other))
    assert list(lines(found)) == list(lines(copy.deepcopy(found)))
    assert all(each.place[:3] == ("blocks", 0, "block_inputs") for each in found)


def test_a_value_that_is_no_json_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)

    for value in (circle, float("nan"), {1, 2}):
        with pytest.raises(WorkflowFileError):
            diff(with_inputs(), with_inputs(x=value))


@pytest.mark.timing
def test_large_workflows_are_compared_quickly() -> None:
    def inputs(number: int) -> dict[str, Any]:
        return {"prompt_items": [{"role": "user", "content": f"{number} {line} " + "word " * 100} for line in range(4)]}

    before = workflow(*(block(f"b{number}", block_inputs=inputs(number)) for number in range(300)))
    after = copy.deepcopy(before)
    for each in after["blocks"]:
        each["block_inputs"]["prompt_items"].insert(1, {"role": "user", "content": "new"})
    start = time.perf_counter()
    assert len(diff(before, after)) == 300
    assert time.perf_counter() - start < 1

    start = time.perf_counter()
    hostile = [with_inputs(x=[*pattern] * 1000) for pattern in ("ab", "ba", "aab")]
    assert all(diff(one, other) for one in hostile for other in hostile if one is not other)
    assert time.perf_counter() - start < 5


# --- Text ---------------------------------------------------------------------------------------------------------


def test_the_text_is_grouped_by_block() -> None:
    before = workflow(A, block("llm", block_inputs={"model": "gpt-4o", "text": "1\n2\n3\n4\n5\nsix"}))
    after = workflow(
        block("llm", block_inputs={"model": "gpt-4o-mini", "text": "1\n2\n3\n4\n5\nSIX\n", "m": {"n": 1}}),
        block("c", block_inputs={"prompt_items": [{"role": "user", "content": "one\ntwo"}]}),
        workflow_description="Long " * 14,
    )

    text = lines(diff(before, after), names=titles(load_workflow(before), load_workflow(after)))

    assert "\n".join(text) == (
        """\
workflow
  + workflow_description: "Long Long Long Long Long Long Long Long Long Long Long Long Long Long "
- block a "A"
block llm "Llm"
  ~ block_inputs.model: "gpt-4o" -> "gpt-4o-mini"
  ~ block_inputs.text:
    @@ -4,4 +4,4 @@
     4
     5
    -six
    -\\ no newline at the end
    +SIX
    +\\ a newline at the end
  + block_inputs.m: {"n": 1}
+ block c "C"
  + block_archetype_id: "com.scoutos.llm"
  + block_inputs.prompt_items[0].role: "user"
  + block_inputs.prompt_items[0].content:
  +   one
  +   two"""
    )  # fmt: skip


def test_a_long_line_shows_the_part_that_has_changed() -> None:
    first, last = "One sentence. " * 30, " Another one." * 30

    found = diff(with_inputs(text=f"{first}Be brief.{last}"), with_inputs(text=f"{first}Be kind.{last}"))

    assert list(lines(found))[1:] == [
        "  ~ block_inputs.text:",
        '    - ..."entence. One sentence. One sentence. Be brief. Another one. Another one. Another one."...',
        '    + ..."entence. One sentence. One sentence. Be kind. Another one. Another one. Another one."...',
    ]


@pytest.mark.parametrize(
    ("before", "after", "old", "new"),
    [
        ("a" * 200, "a" * 199, '..."' + "a" * 41 + '"', '..."' + "a" * 40 + '"'),
        ("a" * 200, "", '"' + "a" * 200 + '"', '""'),
        ("x" + "a" * 200, "y" + "a" * 200, '"x' + "a" * 40 + '"...', '"y' + "a" * 40 + '"...'),
        ("x" * 70, "y" * 70, '"' + "x" * 70 + '"', '"' + "y" * 70 + '"'),
    ],
)
def test_the_ends_of_a_long_line(before: str, after: str, old: str, new: str) -> None:
    assert list(lines(diff(with_inputs(text=before), with_inputs(text=after))))[-2:] == [f"    - {old}", f"    + {new}"]


def test_a_name_that_could_be_two_is_quoted() -> None:
    (_, line) = lines(diff(with_inputs(a={"b.c": 1, "d": 1}), with_inputs(a={"b.c": 2, "d": 1})))
    assert line == '  ~ block_inputs.a."b.c": 1 -> 2'


def test_colours_are_added_on_request_and_control_characters_never() -> None:
    found = diff(with_inputs(text="a\nb"), with_inputs(text="a\n\x1b[31m\u202e", key="\x1b\x9b"))

    plain, coloured = "\n".join(lines(found)), "\n".join(lines(found, colour=True))

    assert "\x1b" not in plain
    assert "\u202e" not in plain
    assert "\x9b" not in coloured
    assert "\x1b[32m    +\\x1b[31m\\u202e\x1b[0m" in coloured
