"""The one form of workflow files: what it looks like, that data and comments stay, and that it is a fixed point."""

import json
import random
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scout import WorkflowFileError, format_workflow, load_workflow, save_workflow
from scout import formatting as room
from scout._layout import write_yaml
from scout._sources import read_source

REAL = Path(__file__).parent.parent.parent / "shared" / "real-configs"
REAL_FILES = sorted(path.name for path in REAL.glob("*.*")) or ["(none)"]

FIELDS = {"block_id": "b", "block_archetype_id": "x", "block_display_name": "X"}


def data_of(text: str) -> str:
    return json.dumps(read_source("w.yml", text, is_json=False).data, sort_keys=True)


def formatted(text: str, **options: Any) -> str:
    """Format a text, and check what holds for every text."""
    result = format_workflow(text, **options)
    assert format_workflow(result, **options) == result
    if not options.get("drop_ui"):
        assert data_of(result) == data_of(text.removeprefix("\ufeff"))
    return result


# --- The form -----------------------------------------------------------------------------------------------------

LICENSED = """\
# Copyright of somebody
# All rights reserved

# for people
workflow_display_name: "Greeting" # shown in lists
unknown: 1

# the steps
blocks:
    # the first step
  - block_id: inputs # scout: ignore SW012
    # its kind
    block_archetype_id: 'com.scoutos.input'
    block_display_name: >
      Folded
      text

    block_inputs: { items: [ {key: a, input_type: x}, # first item
        # the second one
        {key: b} # b
        # no more
        ] } # after all
    version: !!str 1.10
    # the end of the first step
  # between two steps
  - # behind the dash
    block_display_name: L


    # its kind
    block_archetype_id:
      # before the value
      "x" # after the value
    block_id: b
    block_inputs:
      text: | # behind the bar
        a
         # not a comment

      lines: "one\\ntwo\\n\\n"
      n:
      - - 1
        - 0x10 # sixteen
      - ~
      -
        # deep
        - 'x': yes
          'y': [] # empty
  # the end of the steps

tags: [a, "1.0", no]
# the end of the file
"""
FORM = """\
# Copyright of somebody
# All rights reserved

# for people
workflow_display_name: Greeting  # shown in lists

# the steps
blocks:
  # the first step
  # its kind
  - block_archetype_id: com.scoutos.input
    block_display_name: |
      Folded text
    block_id: inputs  # scout: ignore SW012

    block_inputs:  # after all
      items:
        -  # first item
          key: a
          input_type: x
        # the second one
        -  # b
          key: b
        # no more
    version: '1.10'
    # the end of the first step
  # between two steps
  -  # behind the dash
    # its kind
    # before the value
    block_archetype_id: x  # after the value
    block_display_name: L
    block_id: b
    block_inputs:
      text: |  # behind the bar
        a
         # not a comment

      lines: |+
        one
        two

      n:
        - - 1
          - 16  # sixteen
        - null
        # deep
        - - x: 'yes'
            y: []  # empty
  # the end of the steps

tags:
  - a
  - '1.0'
  - 'no'
unknown: 1
# the end of the file
"""


def test_the_form() -> None:
    assert formatted(LICENSED) == FORM


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--- # c\nblocks: []\n... # end\n# more\n", "# c\nblocks: []  # end\n# more\n"),
        ("\ufeffblocks: []\r\nis_tool: yes\r\n", "blocks: []\nis_tool: 'yes'\n"),
        ("blocks: [] # \ta\n\n\n\n# end", "blocks: []  # \ta\n\n# end\n"),
        (
            "tags: 1\nx:\n  - {a: 1, b: [2]} # scout: ignore\n",
            "tags: 1\nx:\n  - a: 1  # scout: ignore\n    b:  # scout: ignore\n      - 2  # scout: ignore\n",
        ),
        ("? blocks # c\n: []\n", "blocks: []  # c\n"),
        ("blocks: # c\n  [] # d\ntags:\n", "blocks: []  # c  # d\ntags: null\n"),
        ("blocks:\n  # inside\n  []\n", "# inside\nblocks: []\n"),
        ("blocks: [\n  # inside\n  ]\n", "# inside\nblocks: []\n"),
        (
            "x:\n - 1\n\n # one\n\n # two\n\n\n# z\ntags: # é\n - 2",
            "# z\ntags:  # é\n  - 2\nx:\n  - 1\n\n  # one\n\n  # two\n",
        ),
        ("tags: ['1', \"it's\", 'a\"b', '{{x}}']", "tags:\n  - '1'\n  - it's\n  - a\"b\n  - '{{x}}'\n"),
        ('tags: ["a\\tb", \'a # b\', a#b, "\\u2028"]', 'tags:\n  - "a\\tb"\n  - \'a # b\'\n  - a#b\n  - "\\u2028"\n'),
        ("tags: [1.0, 1e-7, 0o17, .5]", "tags:\n  - 1.0\n  - 1.0e-07\n  - 15\n  - 0.5\n"),
        # A missing value has no place of its own in the text, and a comment below it belongs to the next key.
        (
            "x:  # c\n\n# of z\nz:\n  - {a: }\nblocks: []\n",
            "blocks: []\nx: null  # c\n\n# of z\nz:\n  - a: null\n",
        ),
        ("{x: 1, # c\ntags: [a]\n# d\n} # e\n# f\n", "tags:\n  - a\nx: 1  # c\n# d\n# e\n# f\n"),
        ("&all # c\ntags: &a []\nblocks: *a\n", "# c\ntags: &a []\nblocks: *a\n"),
        ("&all # c\ntags: []\nblocks: []\n", "blocks: []\n# c\ntags: []\n"),
        ('{"workflow_display_name": "x",\n"blocks": []}', '{\n  "workflow_display_name": "x",\n  "blocks": []\n}\n'),
    ],
)
def test_a_short_text(text: str, expected: str) -> None:
    assert formatted(text) == expected


def test_the_order_is_that_of_the_specification() -> None:
    text = """\
{"workflow_config": {"blocks": [{"zzz": 1, "ui": {"position": {"y": 1, "x": 2}}, "dependencies":
[{"ui": {}, "block_id": "a"}], "block_config": [{"value": 1, "type": "number", "minimum_value": 0,
"display_name": "N", "id": "n"}], "block_inputs": {"b": 1, "a": 2},
"block_id": "b", "block_display_name": "B", "block_archetype_id": "x"}],
"workflow_display_name": "W"}, "workflow_key": "k"}"""

    def names(value: Any) -> Any:
        return [(name, names(each)) for name, each in value.items()] if isinstance(value, dict) else [
            names(each) for each in value] if isinstance(value, list) else None  # fmt: skip

    found = names(json.loads(formatted(text, path="w.json")))

    assert [name for name, _ in found] == ["workflow_key", "workflow_config"]
    assert [name for name, _ in found[1][1]] == ["workflow_display_name", "blocks"]
    block = dict(found[1][1][1][1][0])
    assert list(block) == [
        *("block_archetype_id", "block_display_name", "block_id", "block_config", "block_inputs", "dependencies", "ui"),
        "zzz",
    ]
    assert block["ui"] == [("position", [("x", None), ("y", None)])]
    assert [name for name, _ in block["block_config"][0]] == ["id", "display_name", "type", "minimum_value", "value"]
    assert [name for name, _ in block["block_inputs"]] == ["b", "a"]
    assert [name for name, _ in block["dependencies"][0]] == ["block_id", "ui"]


def test_anchors_stay_and_so_does_the_order() -> None:
    text = """\
x: &a {z: 1, b: [1, &s two]} # anchor
blocks:
  - &b
    block_id: a
    block_archetype_id: x
    block_display_name: A
    block_inputs: *a
  - <<: *b # merge
    block_id: b
    l: [*s]
workflow_display_name: W
"""

    result = formatted(text)

    assert result.startswith("x: &a  # anchor\n  z: 1\n  b:\n    - 1\n    - &s two\nblocks:\n  - &b\n    block_id: a\n")
    assert "block_inputs: *a\n  - <<: *b  # merge\n    block_id: b\n    l:\n      - *s\nworkflow" in result
    with pytest.raises(WorkflowFileError, match="anchors"):
        format_workflow(text, drop_ui=True)


def test_the_canvas_can_be_dropped() -> None:
    block = {**FIELDS, "block_inputs": {"ui": 1}, "ui": {"position": {"x": 1, "y": 2}}}
    block |= {"dependencies": [{"block_id": "a", "ui": {}}, {"ui": {}}]}
    config = {"blocks": [block], "notes": [{"id": "n", "ui": {}}], "placeholders": [{"block_id": "p", "ui": None}]}

    for text in (write_yaml(config) + "# a comment\n", json.dumps({"data": {"workflow_config": config}})):
        data = json.loads(data_of(formatted(text, drop_ui=True)))
        assert data.get("data", {"workflow_config": data})["workflow_config"] == {
            "blocks": [{**FIELDS, "block_inputs": {"ui": 1}, "dependencies": [{"block_id": "a"}, {}]}],
            "notes": [{"id": "n"}],
            "placeholders": [{"block_id": "p"}],
        }


# --- What is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# c\n%YAML 1.2\n---\nblocks: []\n", "line 2: has a directive"),
        ("blocks: []\n---\nblocks: []\n", "line 2, column 1: is not YAML: expected a single document"),
        ("blocks: []\nblocks: []\n", 'line 2, column 1: is not YAML: found duplicate key "blocks"'),
        ("services: {}\n", "this is not a workflow"),
        ("blocks:\n\t- a\n", "is not YAML"),
        ("blocks: !!set {a}\n", "JSON cannot carry a set"),
        (b"\xff\xfe", "is not UTF-8"),
        ("", "a workflow is a mapping, and this is nothing"),
    ],
)
def test_what_is_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(WorkflowFileError, match=re.escape(message)):
        format_workflow(text)


@pytest.mark.parametrize("fault", ["is_tool: false\n# c\n", "is_tool: true\n", "is_tool: [\n"])
def test_a_fault_of_the_writer_changes_no_file(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    monkeypatch.setattr(room, "write_layout", lambda _: (fault, []))

    with pytest.raises(WorkflowFileError, match=r"cannot be formatted: .*; the file stays as it is"):
        format_workflow("is_tool: true # c")


# --- Every text ---------------------------------------------------------------------------------------------------


def with_comments(text: str, chance: random.Random, number: int) -> tuple[str, dict[str, str]]:
    """Insert comments where they are comments; return the text, and the key of each that stands beside one."""
    lines, wanted, keys = text.split("\n"), data_of(text), dict[str, str]()
    for count in range(number):
        comment = f'# c{count}: it\'s [a] "test"'
        index = chance.randrange(len(lines))
        key = re.match(r"( *)(?:- )*([a-z_]+:)", lines[index])
        match chance.choice(["aside", "above", "anywhere", "blank"]):
            case "aside":
                new = [f"{lines[index]} {comment}"]
                simple = re.fullmatch(r"[ -]*[a-z_]+: [^|>&\[{].*", lines[index])
                found = key[2] if key and simple and "#" not in lines[index] else ""
            case "above":
                new = [f"{key[1] if key else ''}{comment}", lines[index]]
                found = key[2] if key and "- " not in key[0] and "- " not in lines[index] else ""
            case "anywhere":
                new, found = [" " * chance.randrange(9) + comment, lines[index]], ""
            case _:
                new, found, comment = ["", lines[index]], "", ""
        candidate = [*lines[:index], *new, *lines[index + 1 :]]
        try:
            is_comment = data_of("\n".join(candidate)) == wanted
        except WorkflowFileError:
            is_comment = False
        if is_comment:
            lines = candidate
            if comment:
                keys[comment] = found
    return "\n".join(lines), keys


def assert_comments_stay(text: str, keys: dict[str, str]) -> None:
    lines = formatted(text).split("\n")
    for comment, key in keys.items():
        [index] = [index for index, line in enumerate(lines) if comment in line]
        if key:
            beside = next(line for line in lines[index:] if line.strip() and not line.lstrip().startswith("#"))
            assert beside.lstrip(" -").startswith(key), (comment, key, beside)


@pytest.mark.skipif(not REAL.is_dir(), reason="the folder shared/real-configs is not beside this repository")
@pytest.mark.parametrize("name", REAL_FILES)
def test_a_real_file_keeps_its_data_and_comments(name: str) -> None:
    text = (REAL / name).read_text(encoding="utf-8")
    keys: dict[str, str] = {}
    if not name.endswith(".json"):
        text, keys = with_comments(text, random.Random(name), 20)
        assert len(keys) > 5

    assert_comments_stay(text, keys)


TEXTS = st.sampled_from(
    ["a", "a b", "1", "1.0", "no", "a\nb", "a\nb\n", "x\n\n", " a\nb", "a\n  ", "\n", "", "# a", "a #b", "- a", "k: v",
     "{{a}}", "é", "\u2028", "a\tb", "'", '"', "a\n\n\n# b\n", "|", "null"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.just(1.5) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b_c", "ui"]), inner, max_size=3),
    max_leaves=10,
)
BLOCKS = st.permutations([*FIELDS.items(), ("block_inputs", None), ("zz", None)]).flatmap(
    lambda fields: st.fixed_dictionaries({name: VALUES if value is None else st.just(value) for name, value in fields})
)
CONFIGS = st.fixed_dictionaries({"extra": VALUES, "blocks": st.lists(BLOCKS, max_size=2), "tags": VALUES})


@given(CONFIGS, st.integers(0, 2**32), st.integers(0, 8))
@settings(max_examples=15)
def test_generated_workflows_keep_their_data_and_comments(config: Any, seed: int, number: int) -> None:
    text, keys = with_comments(write_yaml(config), random.Random(seed), number)

    assert_comments_stay(text, keys)
    # Plain YAML is read in another way than all of it.
    assert formatted(f"{text}\nzz:\n  a: 1") == formatted(f"{text}\nzz: {{a: 1}}")


@pytest.mark.parametrize("name", ["w.yml", "w.json"])
def test_a_saved_file_has_the_form(tmp_path: Path, name: str) -> None:
    config = json.loads(data_of(LICENSED))

    save_workflow(config, tmp_path / name, key="k", formatted=True)

    text = (tmp_path / name).read_text(encoding="utf-8")
    assert format_workflow(text, path=name) == text
    assert text.index("block_archetype_id") < text.index("block_display_name") < text.index("block_id")
    assert load_workflow(tmp_path / name).config == config


@pytest.mark.timing
def test_a_hundred_blocks_are_formatted_in_seconds() -> None:
    block = {**FIELDS, "block_inputs": {"prompt_items": [{"role": "user", "content": "a\nb\n"}] * 2, "model": "m"}}
    text = write_yaml({"blocks": [block] * 100})
    start = time.perf_counter()
    plain = format_workflow(text)
    assert time.perf_counter() - start < 1
    assert format_workflow(plain) == plain
    start = time.perf_counter()
    format_workflow(text.replace("model: m", "model: m # c"))
    assert time.perf_counter() - start < 4
