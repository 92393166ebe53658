"""Workflow files: what they may look like, and where exactly they are wrong.

In the texts below `▶` marks the place that the error has to name; it is taken out before the file is written.
"""

import copy
import json
import os
import textwrap
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from servers import PATIENCE, Caller, Server, json_answer, settled

from scout import WorkflowConfig, WorkflowFileError, workflow_files
from scout._json import json_fault, write_json
from scout._sources import read_source
from scout.workflow_files import load_unchanged, load_workflow

Write = Callable[..., Path]

YAML_BLOCK = "- block_id: inputs\n  block_archetype_id: com.scoutos.input\n  block_display_name: Inputs\n"
JSON_BLOCK = '{"block_id": "inputs", "block_archetype_id": "com.scoutos.input", "block_display_name": "Inputs"}'


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def error_of(source: Any) -> WorkflowFileError:
    with pytest.raises(WorkflowFileError) as caught:
        load_workflow(source)
    assert caught.value.run_may_have_started is False
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


def place_of_mark(text: str) -> tuple[str, int, int]:
    """The text without its mark, and the line and column of the mark, from 1."""
    before, mark, after = text.partition("▶")
    assert mark, "no mark in this text"
    return before + after, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def assert_fault(write: Write, name: str, text: str, *words: str) -> None:
    content, line, column = place_of_mark(text)
    path = write(name, content)

    error = error_of(path)

    assert (error.path, error.line, error.column) == (str(path), line, column)
    assert str(error).startswith(f"{path}, line {line}, column {column}: ")
    for word in words:
        assert word in str(error)


# --- Files that are right -----------------------------------------------------------------------------------------

CONFIG = {
    "workflow_display_name": "Größe 😀",
    "blocks": [
        {
            "block_id": "inputs",
            "block_archetype_id": "com.scoutos.input",
            "block_display_name": "Inputs",
            "block_inputs": {"items": [{"key": "when", "default_value": "2025-01-15"}], "b": True, "n": None, "f": 0.5},
            "ui": {"position": {"x": -4, "y": 120}},
            "dependencies": [],
        }
    ],
}

YAML_CONFIG = """\
workflow_display_name: Größe 😀
blocks:
  - block_id: inputs
    block_archetype_id: com.scoutos.input
    block_display_name: Inputs
    block_inputs:
      items:
        - key: when
          default_value: 2025-01-15
      b: true
      n:
      f: 0.5
    ui:
      position:
        x: -4
        y: 120
    dependencies: []
"""

SHAPES = {"bare": (), "wrapped": ("workflow_config",), "stored": ("data", "workflow_config")}


def in_shape(shape: str, config: Any) -> Any:
    if shape == "bare":
        return config
    wrapper = {"workflow_key": "my_key", "workflow_config": config}
    return wrapper if shape == "wrapped" else {"data": wrapper | {"revision_id": "r", "is_draft": True}}


def yaml_in_shape(shape: str, text: str) -> str:
    match shape:
        case "bare":
            return text
        case "wrapped":
            return "workflow_key: my_key\nworkflow_config:\n" + textwrap.indent(text, "  ")
        case _:
            head = "data:\n  workflow_key: my_key\n  revision_id: r\n  workflow_config:\n"
            return head + textwrap.indent(text, "    ")


def json_in_shape(shape: str, text: str) -> str:
    match shape:
        case "bare":
            return text
        case "wrapped":
            return '{"workflow_key": "my_key", "workflow_config":\n' + text + "}"
        case _:
            return '{"data": {"workflow_key": "my_key",\n "workflow_config": ' + text + "}}"


def spelled(shape: str, place: str) -> str:
    return ".".join((*SHAPES[shape], place))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", ["yaml", "yaml crlf", "yaml bom", "json", "json bom", "json tabs", "mapping"])
def test_every_form_gives_the_same_config(write: Write, shape: str, form: str) -> None:
    kind, _, way = form.partition(" ")
    if kind == "mapping":
        source = in_shape(shape, CONFIG)
    elif kind == "json":
        text = json.dumps(in_shape(shape, CONFIG), indent="\t" if way == "tabs" else 2, ensure_ascii=False)
        source = write("w.json", ("\ufeff" if way == "bom" else "") + text)
    else:
        text = yaml_in_shape(shape, YAML_CONFIG)
        source = write("w.yml", ("\ufeff" if way == "bom" else "") + text.replace("\n", "\r\n" if way else "\n"))

    loaded = load_workflow(source)

    assert loaded.config == CONFIG
    assert json.dumps(loaded.config) == json.dumps(CONFIG)  # the order of the keys, and true is not 1
    assert loaded.key == (None if shape == "bare" else "my_key")


@pytest.mark.parametrize("name", ["w.yml", "w.yaml", "w.YML", "w.workflow", "w"])
def test_everything_but_json_is_read_as_yaml(write: Write, name: str) -> None:
    assert load_workflow(write(name, "blocks: []\n")).config == {"blocks": []}


def test_json_is_known_by_its_name_in_any_case(write: Write) -> None:
    assert "is not JSON" in str(error_of(write("W.JSON", "blocks: []\n")))


def test_a_path_may_be_text_or_any_path_like(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    class Somewhere(os.PathLike[str]):
        def __fspath__(self) -> str:
            return "w.yml"

    path = write("w.yml", YAML_CONFIG)
    monkeypatch.chdir(path.parent)

    for source in (path, str(path), "w.yml", Somewhere()):
        assert load_workflow(source).config == CONFIG


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2025-01-15", "2025-01-15"),
        ("2025-01-15T10:00:00Z", "2025-01-15T10:00:00Z"),
        ("!!timestamp 2025-01-15", "2025-01-15"),
        ("no", "no"),
        ("off", "off"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("017", 17),
        ("0o17", 15),
        ("1.0", 1.0),
        ("'5'", "5"),
        ("~", None),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("1e3", 1000.0),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("'{{inputs.a}}'", "{{inputs.a}}"),
    ],
)
def test_yaml_values_are_those_of_json(write: Write, text: str, value: object) -> None:
    found = load_workflow(write("w.yml", f"a: {text}\n")).config["a"]

    assert (found, type(found)) == (value, type(value))


def test_keys_that_yaml_1_1_takes_for_booleans_stay_text(write: Write) -> None:
    text = "y: 1\nn: 2\nyes: 3\nno: 4\non: 5\noff: 6\n"

    assert list(load_workflow(write("w.yml", text)).config) == ["y", "n", "yes", "no", "on", "off"]


def test_anchors_and_merges(write: Write) -> None:
    text = "a: &x\n  k: 1\n  l: 2\nb: *x\nc:\n  <<: *x\n  k: 3\n"

    config = load_workflow(write("w.yml", text)).config

    assert config == {"a": {"k": 1, "l": 2}, "b": {"k": 1, "l": 2}, "c": {"k": 3, "l": 2}}


@pytest.mark.parametrize("config", [{}, {"blocks": None}, {"blocks": []}, {"blocks": ()}, {"anything": 1}])
def test_what_the_server_can_tell_as_well_is_left_to_it(config: dict[str, Any]) -> None:
    assert load_workflow(config).config is config


def test_a_mapping_is_not_touched() -> None:
    wrapped = in_shape("stored", {"z": 1, **copy.deepcopy(CONFIG), "a": 2})
    before = copy.deepcopy(wrapped)

    loaded = load_workflow(wrapped)

    assert wrapped == before
    assert loaded.config is wrapped["data"]["workflow_config"]
    assert list(loaded.config) == ["z", "workflow_display_name", "blocks", "a"]


def test_any_mapping_will_do() -> None:
    class Odd(Mapping[str, Any]):
        def __getitem__(self, key: str) -> Any:
            return CONFIG[key]

        def __iter__(self) -> Any:
            return iter(CONFIG)

        def __len__(self) -> int:
            return len(CONFIG)

    assert dict(load_workflow(Odd()).config) == CONFIG


def test_a_generated_config() -> None:
    loaded = load_workflow(WorkflowConfig.from_dict(CONFIG))

    assert loaded.config == CONFIG
    assert loaded.key is None


def test_what_was_loaded_already_is_taken_as_it_is() -> None:
    loaded = load_workflow({"workflow_key": "k", "workflow_config": {"blocks": []}})
    assert load_workflow(loaded) == loaded


def test_a_field_called_data_stays_where_it_is() -> None:
    config = {"blocks": [], "data": {"workflow_config": {"note": "a field of its author's"}}}
    assert load_workflow(config).config == config
    assert load_workflow({"workflow_config": config}).config == config
    assert load_workflow(WorkflowConfig.from_dict(config)).config == config


def test_a_name_may_be_empty() -> None:
    block = {"block_id": "a", "block_archetype_id": "t", "block_display_name": ""}
    assert load_workflow({"blocks": [block]}).config == {"blocks": [block]}


def test_an_equals_sign_is_text(write: Write) -> None:
    assert load_workflow(write("w.yml", "a: =\nb: [=, x]\n")).config == {"a": "=", "b": ["=", "x"]}


def test_a_block_called_data_is_no_stored_workflow() -> None:
    config = {"data": {"anything": 1}, "blocks": []}

    assert load_workflow(config).config is config


# --- Faults of a workflow, by line and column ---------------------------------------------------------------------

TWICE = "holds another workflow_config: the file is wrapped twice; keep one wrapper"

# name -> (text, how the message goes on after the place, and further words of it)
YAML_FAULTS = {
    "no id": (
        "blocks:\n  - ▶block_archetype_id: t\n    block_display_name: d\n",
        ("blocks[0]: a block needs block_id",),
    ),
    "no archetype": (
        "blocks:\n- ▶block_id: a\n  block_display_name: d\n",
        ("blocks[0]: a block needs block_archetype_id",),
    ),
    "no name": (
        f"blocks:\n{YAML_BLOCK}- ▶block_id: b\n  block_archetype_id: t\n",
        ("blocks[1]: a block needs block_display_name",),
    ),
    "empty block": (f"blocks:\n{YAML_BLOCK}- ▶{{}}\n", ("blocks[1]: a block needs block_id",)),
    "empty id": (
        "blocks:\n- block_archetype_id: t\n  ▶block_id: ''\n  block_display_name: d\n",
        ("blocks[0].block_id: must be text that is not empty, not empty text",),
    ),
    "number as id": (
        "blocks:\n- block_archetype_id: t\n  ▶block_id: 5\n  block_display_name: d\n",
        ("blocks[0].block_id: must be text", "not a number"),
    ),
    "null as name": (
        "blocks:\n- block_archetype_id: t\n  block_id: a\n  ▶block_display_name:\n",
        ("blocks[0].block_display_name: must be text", "not nothing"),
    ),
    "list as archetype": (
        "blocks:\n- ▶block_archetype_id: [t]\n  block_id: a\n  block_display_name: d\n",
        ("blocks[0].block_archetype_id: must be text", "not a list"),
    ),
    "text as block": (f"blocks:\n{YAML_BLOCK}- ▶text\n", ("blocks[1]: a block is a mapping, and this is text",)),
    "null as block": ("blocks:\n  - ▶~\n", ("blocks[0]: a block is a mapping, and this is nothing",)),
    "mapping as blocks": ("x: 1\n▶blocks:\n  a: b\n", ("blocks: must be a list, not a mapping",)),
    "boolean as blocks": ("x: 1\n▶blocks: true\n", ("blocks: must be a list, not true or false",)),
    "a wrapper inside": ("x: 1\n▶workflow_config: {}\n", (f"workflow_config: {TWICE}",)),
    "not a number": (f"blocks:\n{YAML_BLOCK}x:\n  - 1\n  - ▶.nan\n", ("x[1]: nan is not JSON",)),
    "infinity": ("a:\n  ▶x: -.inf\n", ("a.x: -inf is not JSON",)),
    "a set": ("a:\n  ▶x: !!set\n    ? b\n    ? c\n", ("a.x: JSON cannot carry a set; pass a list",)),
    "binary": ("a:\n  ▶x: !!binary aGVsbG8=\n", ("a.x: JSON cannot carry a bytes", "base64")),
    "a number as key": ("x: 1\n▶a:\n  5: x\n", ("a: the key 5 is not text; put it in quotes",)),
    "a circle": ("a: &x\n  ▶b: *x\n", ("a.b: the value holds itself",)),
}

JSON_FAULTS = {
    "no id": (
        '{"blocks": [\n  ▶{"block_archetype_id": "t", "block_display_name": "d"}]}',
        ("blocks[0]: a block needs block_id",),
    ),
    "no name": (
        '{"blocks": [\n' + JSON_BLOCK + ',\n ▶{"block_id": "b", "block_archetype_id": "t"}]}',
        ("blocks[1]: a block needs block_display_name",),
    ),
    "empty block": ('{"blocks": [▶{}]}', ("blocks[0]: a block needs block_id",)),
    "tabs": (
        '{\n\t"blocks":\t[\n\t\t{\t▶"block_id":\t1,\t"block_archetype_id":\t"t", "block_display_name": ""}]}',
        ("blocks[0].block_id: must be text", "not a number"),
    ),
    "empty archetype": (
        '{"blocks": [{"block_id": "😀", ▶"block_archetype_id": "", "block_display_name": "d"}]}',
        ("blocks[0].block_archetype_id: must be text that is not empty",),
    ),
    "object as blocks": ('{"x": "a: b # c",\n ▶"blocks": {}}', ("blocks: must be a list, not a mapping",)),
    "no space after the colon": ('{"x":1,▶"blocks":5}', ("blocks: must be a list, not a number",)),
    "escapes before it": ('{"a\\/b": "\\ud83d\\ude00\\"", ▶"blocks": 5}', ("blocks: must be a list",)),
    "an escape in the key": ('{"x": 1, ▶"blo\\u0063ks": 5}', ("blocks: must be a list",)),
    "a wrapper inside": ('{"x": 1,\n▶"workflow_config": {}}', (f"workflow_config: {TWICE}",)),
    "not a number": ('{"x":\n[1, ▶NaN]}', ("x[1]: nan is not JSON",)),
    "infinity": ('{"x": {▶"y": -Infinity}}', ("x.y: -inf is not JSON",)),
    "half a character": ('{▶"x": "\\ud800"}', ("x: the text holds half of a surrogate pair",)),
}


def cases(faults: dict[str, Any]) -> list[Any]:
    """Each fault in each shape; in a bare file a wrapper inside is just a wrapper."""
    return [
        pytest.param(shape, *fault, id=f"{name}, {shape}")
        for name, fault in faults.items()
        for shape in SHAPES
        if (name, shape) != ("a wrapper inside", "bare")
    ]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\ufeff"], ids=["lf", "crlf", "bom"])
@pytest.mark.parametrize(("shape", "text", "words"), cases(YAML_FAULTS))
def test_a_fault_in_yaml(write: Write, shape: str, text: str, words: tuple[str, ...], ending: str) -> None:
    content, line, column = place_of_mark(yaml_in_shape(shape, text))
    path = write("w.yml", "\ufeff" + content if ending == "\ufeff" else content.replace("\n", ending))

    error = error_of(path)

    assert (error.path, error.line, error.column) == (str(path), line, column)
    assert str(error).startswith(f"{path}, line {line}, column {column}: {spelled(shape, words[0])}")
    assert all(word in str(error) for word in words)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\ufeff"], ids=["lf", "crlf", "bom"])
@pytest.mark.parametrize(("shape", "text", "words"), cases(JSON_FAULTS))
def test_a_fault_in_json(write: Write, shape: str, text: str, words: tuple[str, ...], ending: str) -> None:
    content, line, column = place_of_mark(json_in_shape(shape, text))
    path = write("w.json", "\ufeff" + content if ending == "\ufeff" else content.replace("\n", ending))

    error = error_of(path)

    assert (error.path, error.line, error.column) == (str(path), line, column)
    assert str(error).startswith(f"{path}, line {line}, column {column}: {spelled(shape, words[0])}")
    assert all(word in str(error) for word in words)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"blocks": 5}, "workflow: blocks: must be a list, not a number"),
        ({"blocks": Decimal("0.10")}, "workflow: blocks: must be a list, not a number"),
        (
            {"blocks": [{"block_id": "a"}]},
            "workflow: blocks[0]: a block needs block_archetype_id, and this one has none",
        ),
        ({"blocks": ({},)}, "workflow: blocks[0]: a block needs block_id, and this one has none"),
        ({"workflow_config": None}, "workflow: workflow_config: must be a mapping, not nothing"),
        ({"workflow_config": {}, "workflow_key": 5}, "workflow: workflow_key: must be text, not a number"),
        (
            {"data": {"workflow_config": {"blocks": [5]}}},
            "workflow: data.workflow_config.blocks[0]: a block is a mapping, and this is a number",
        ),
        (
            {"workflow_config": {"workflow_config": {}}},
            f"workflow: workflow_config.workflow_config: {TWICE}",
        ),
    ],
)
def test_a_fault_in_a_mapping_has_no_line(source: Any, text: str) -> None:
    error = error_of(source)

    assert str(error) == text
    assert (error.path, error.line, error.column) == (None, None, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x: 1\n▶workflow_config: text\n", "workflow_config: must be a mapping, not text"),
        ("x: 1\n▶workflow_config:\n", "workflow_config: must be a mapping, not nothing"),
        ("workflow_config: {}\n▶workflow_key: [a]\n", "workflow_key: must be text, not a list"),
        ("data:\n  workflow_config: {}\n  ▶workflow_key: 5\n", "data.workflow_key: must be text, not a number"),
        ("▶- a\n- b\n", "a workflow is a mapping, and this is a list"),
        ("# nothing here\n\n▶hello\n", "a workflow is a mapping, and this is text"),
        ("▶", "a workflow is a mapping, and this is nothing"),
        ("▶\n# only a comment\n", "a workflow is a mapping, and this is nothing"),
        ("▶null\n", "a workflow is a mapping, and this is nothing"),
        ("▶? [a]\n: b\n", "is not text"),
    ],
)
def test_a_fault_of_the_whole_yaml_file(write: Write, text: str, words: str) -> None:
    assert_fault(write, "w.yml", text, words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("blocks:\n▶\t- a\n", "is not YAML"),
        ("a: b▶: c\n", "mapping values are not allowed here"),
        ("a: 1\nb: 2\n▶a: 3\n", 'duplicate key "a"'),
        ("blocks:\n  - block_id: a\n    ▶block_id: b\n", 'duplicate key "block_id"'),
        ("a: 1\n▶---\nb: 2\n", "another document"),
        ("a: ▶*nope\n", "undefined alias"),
        ("a: ▶!!python/object:os.system x\n", "could not determine a constructor"),
        ("a: ▶!mine x\n", "could not determine a constructor"),
        ("a: [1, 2\n▶", "expected ',' or ']'"),
        ("a: 'x\n▶", "unexpected end of stream"),
        ("a: &x\n  k: 1\nb:\n  <<: ▶5\n", "expected a mapping"),
    ],
)
def test_a_file_that_is_not_yaml(write: Write, text: str, words: str) -> None:
    assert_fault(write, "w.yml", text, "is not YAML", words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("▶", "Expecting value"),
        ("{▶'a': 1}", "Expecting property name"),
        ('{"a": 1,\n "b": ▶}', "Expecting value"),
        ('{"a": 1} ▶x', "Extra data"),
        ('{"a": "x▶\ty"}', "Invalid control character"),
        ('{"a": ▶"x', "Unterminated string"),
        ("▶blocks: []\n", "Expecting value"),
    ],
)
def test_a_file_that_is_not_json(write: Write, text: str, words: str) -> None:
    assert_fault(write, "w.json", text, "is not JSON", words)


@pytest.mark.parametrize(
    ("text", "words"), [("▶[1]", "a list"), ("▶null", "nothing"), ("\n ▶5", "a number"), ('▶"x"', "text")]
)
def test_json_that_is_no_mapping(write: Write, text: str, words: str) -> None:
    assert_fault(write, "w.json", text, f"a workflow is a mapping, and this is {words}")


@pytest.mark.parametrize("text", ['{\n  "a": 1,\n\t▶"a": 2}', '{"x": {"a": 1, ▶"a": 1}}', '{"a": 1, ▶"\\u0061": 2}'])
def test_a_key_that_stands_twice_in_json(write: Write, text: str) -> None:
    assert_fault(write, "w.json", text, 'duplicate key "a"')


def test_a_key_that_stands_twice_in_json_is_not_a_matter_of_yaml(write: Write) -> None:
    assert "YAML" not in str(error_of(write("w.json", '{"a": 1, "a": 2}')))


@pytest.mark.parametrize(
    ("data", "line", "column", "byte"),
    [
        (b"a: \xff\n", 1, 4, "0xff"),
        (b"a: 1\nbb: \x80", 2, 5, "0x80"),
        (b"\xff\xfea\x00", 1, 1, "0xff"),
        ("größe: ".encode("latin-1"), 1, 3, "0xf6"),
    ],
)
@pytest.mark.parametrize("name", ["w.yml", "w.json"])
def test_a_file_that_is_not_utf_8(write: Write, name: str, data: bytes, line: int, column: int, byte: str) -> None:
    path = write(name, data)

    error = error_of(path)

    assert (error.path, error.line, error.column) == (str(path), line, column)
    assert f"is not UTF-8: byte {byte}" in str(error)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("w.json", '{"a": ' + "[" * 500 + "]" * 500 + "}"),
        ("w.json", '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"),
        ("w.json", '{"a": ' * 100_000),
        ("w.yml", "a: " + "[" * 500 + "]" * 500),
        ("w.yml", "".join("  " * depth + "a:\n" for depth in range(600))),
    ],
    ids=["json", "json, very", "json, unclosed", "yaml", "yaml, by indentation"],
)
def test_a_file_nested_too_deeply(write: Write, name: str, text: str) -> None:
    path = write(name, text)

    error = error_of(path)

    assert error.path == str(path)
    assert "nested" in str(error) or "recursion" in str(error)
    assert len(str(error)) < 400


@pytest.mark.parametrize("name", ["w.json", "w.yml"])
def test_a_file_nested_deeply_enough_for_anyone(write: Write, name: str) -> None:
    deep = load_workflow(write(name, '{"a": ' + "[" * 100 + "]" * 100 + "}")).config

    assert json.dumps(deep["a"]) == "[" * 100 + "]" * 100


@pytest.mark.parametrize("name", ["w.json", "w.yml"])
@pytest.mark.parametrize("number", ["1" * 5000, "-1E+400", "1E-400", "0.5"], ids=lambda text: text[:6])
def test_a_number_beyond_those_of_python_is_read_whole(write: Write, name: str, number: str) -> None:
    config = load_workflow(write(name, f'{{"a": {number}}}')).config

    assert write_json(config) == f'{{"a": {number}}}'


@pytest.mark.parametrize("number", ["1" * 5000, "1e400"], ids=["digits", "size"])
def test_a_fault_after_such_a_number_has_its_place(write: Write, number: str) -> None:
    error = error_of(write("w.json", f'{{"a": [{number},\n {{"b": NaN}}]}}'))

    assert (error.line, error.column) == (2, 3)
    assert "a[1].b: nan is not JSON" in str(error)


def test_a_yaml_tag_that_does_not_fit_its_value(write: Write) -> None:
    assert "is not YAML" in str(error_of(write("w.yml", "a: !!bool perhaps\n")))


@pytest.mark.parametrize("text", ["a: !!int ▶x\n", 'a: "x▶\x07"\n'], ids=["tag", "control character"])
def test_a_fault_that_the_yaml_reader_does_not_place(write: Write, text: str) -> None:
    content, line, _ = place_of_mark(text)

    assert error_of(write("w.yml", content)).line == line


@pytest.mark.parametrize(
    "text",
    [
        '{"x": "\x7f", ▶"blocks": 5}',
        '{"x": "\uffff", ▶"blocks": 5}',
        '{▶"blocks"\n: 5}',
        '{"' + "k" * 2000 + '": 1,\n▶"blocks": 5}',
    ],
    ids=["delete", "noncharacter", "colon on the next line", "long key"],
)
def test_a_place_in_json_that_is_not_yaml(write: Write, text: str) -> None:
    assert_fault(write, "w.json", text, "blocks: must be a list")


def test_a_key_with_half_a_character(write: Write) -> None:
    assert "surrogate" in str(error_of(write("w.json", '{"a": {"\\ud800": 1}}')))


# --- No file at all -----------------------------------------------------------------------------------------------


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    relative = error_of("missing.yml")
    absolute = error_of(tmp_path / "missing.yml")

    assert str(relative) == f"missing.yml: cannot be read: No such file or directory (looked in {tmp_path})"
    assert relative.path == "missing.yml"
    assert str(absolute) == f"{tmp_path}/missing.yml: cannot be read: No such file or directory"
    assert (absolute.line, absolute.column) == (None, None)


def test_a_directory_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(error_of(tmp_path)) == f"{tmp_path}: cannot be read: Is a directory; give a file in it"
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    assert str(error_of("folder")) == "folder: cannot be read: Is a directory; give a file in it"


def test_an_empty_name_is_not_the_working_folder() -> None:
    assert str(error_of("")) == "workflow: the name of a file must not be empty"


@pytest.mark.parametrize("name", ["wf_12345", "key:hello"])
def test_the_name_of_a_stored_workflow_is_no_file(name: str) -> None:
    assert "; for a stored workflow use scout.workflows.execute, or `scout workflows run`" in str(error_of(name))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user who may not read everything")
def test_a_file_that_may_not_be_read(write: Write) -> None:
    path = write("w.yml", "a: 1\n")
    path.chmod(0)

    assert "Permission denied" in str(error_of(path))


@pytest.mark.parametrize("name", ["a\0b.yml", "x" * 5000, "{'blocks': []}"])
def test_names_that_no_file_can_have(name: str) -> None:
    error = error_of(name)

    assert "cannot be read" in str(error)
    assert error.path == name


@pytest.mark.parametrize("text", [YAML_CONFIG, "blocks: []\n", json.dumps(CONFIG, indent=1)])
def test_the_text_of_a_workflow_is_not_taken_for_a_path(text: str) -> None:
    error = error_of(text)

    assert "this looks like the text of a workflow" in str(error)
    assert error.path is None


@pytest.mark.parametrize("source", [None, 5, b"w.yml", [CONFIG], {"w.yml"}, object()])
def test_what_is_no_workflow(source: Any) -> None:
    assert f"not {type(source).__name__}" in str(error_of(source))


# --- Files that have not changed ----------------------------------------------------------------------------------


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let calls take the time for later, so that they trust files that a test has just written."""
    monkeypatch.setattr(workflow_files, "_unchanged", {})
    monkeypatch.setattr(workflow_files, "time", SimpleNamespace(time_ns=lambda: time.time_ns() + 3_000_000_000))


def named(name: str) -> str:
    return f"workflow_display_name: {name}\nblocks: []\n"


def name_in(path: Path | str) -> str:
    name: str = load_unchanged(path).config["workflow_display_name"]
    return name


@pytest.mark.usefixtures("later")
def test_a_file_that_has_not_changed_is_parsed_once(
    write: Write, monkeypatch: pytest.MonkeyPatch, call: Caller
) -> None:
    path = write("w.yml", YAML_CONFIG)
    parsed: list[str] = []

    def count(name: str, *args: Any, **options: Any) -> Any:
        parsed.append(name)
        return read_source(name, *args, **options)

    monkeypatch.setattr(workflow_files, "read_source", count)
    with Server(json_answer({"run": {"stop_reason": "workflow_run_completed", "state": {}}})) as server:
        for number in range(3):
            assert call(server.url, {"number": number}, workflow=path if number else str(path)).error is None

    assert parsed == [str(path)]
    assert [json.loads(request.body)["workflow_config"] for request in server.requests] == [CONFIG] * 3


@pytest.mark.usefixtures("later")
def test_what_users_load_is_theirs(write: Write) -> None:
    path = write("w.yml", named("before"))
    assert load_unchanged(path) is load_unchanged(path)

    loaded = load_workflow(path)
    loaded.config["workflow_display_name"] = "mine"  # type: ignore[index]

    assert name_in(path) == "before"
    assert load_workflow(path).config["workflow_display_name"] == "before"


def replace_file(path: Path, text: str) -> None:
    path.with_name("new").write_text(text, "utf-8")
    path.with_name("new").replace(path)


def rewrite_with_the_old_time(path: Path, text: str) -> None:
    old = path.stat()
    path.write_text(text, "utf-8")
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("change", [Path.write_text, replace_file, rewrite_with_the_old_time])
def test_a_change_is_seen(write: Write, change: Callable[[Path, str], object]) -> None:
    path = write("w.yml", named("before"))
    signature = workflow_files._Signature.of
    assert name_in(path) == "before"
    with path.open("rb", buffering=0) as file:
        old = signature(file)

    def is_another() -> bool:  # the file system may count time in steps of some milliseconds
        change(path, named("after!"))
        with path.open("rb", buffering=0) as file:
            return signature(file) != old

    assert settled(is_another)

    assert name_in(path) == "after!"


def test_a_change_right_after_another_is_seen(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    signature_of = workflow_files._Signature.of
    step = 2_000_000_000  # of the file system's time

    def coarse(file: Any) -> Any:
        found = signature_of(file)
        return found._replace(modified=found.modified // step * step, changed=found.changed // step * step)

    monkeypatch.setattr(workflow_files._Signature, "of", coarse)
    path = write("w.yml", "")
    for number in range(50):
        path.write_text(named(f"n{number:03}"), "utf-8")

        assert name_in(path) == f"n{number:03}"


@pytest.mark.usefixtures("later")
def test_errors_are_found_again(write: Write) -> None:
    path = write("w.yml", named("before"))
    assert name_in(path) == "before"
    replace_file(path, "blocks: 5\n")
    for _ in range(2):
        with pytest.raises(WorkflowFileError, match="line 1, column 1: blocks: must be a list"):
            load_unchanged(path)
    path.unlink()
    with pytest.raises(WorkflowFileError, match="cannot be read: No such file"):
        load_unchanged(path)
    write("w.yml", named("again"))

    assert name_in(path) == "again"


@pytest.mark.usefixtures("later")
def test_a_relative_name_means_another_file_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("here", "there", "here"):
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / folder)
        Path("w.yml").write_text(named(folder), "utf-8")

        assert (name_in("w.yml"), load_unchanged("w.yml").path) == (folder, "w.yml")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.usefixtures("later")
def test_a_pipe_is_another_file_each_time(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yml"
    os.mkfifo(pipe)
    for name in ("first", "later"):
        writer = threading.Thread(target=pipe.write_text, args=(named(name), "utf-8"))
        writer.start()

        assert name_in(pipe) == name

        writer.join(PATIENCE)


@pytest.mark.usefixtures("later")
def test_few_files_are_kept_and_threads_may_share_them(write: Write) -> None:
    paths = [write(f"{number}.yml", named(f"n{number}")) for number in range(40)]

    def load(number: int) -> bool:
        return name_in(paths[number % 40]) == f"n{number % 40}"

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(load, range(800)))
    assert 0 < len(workflow_files._unchanged) <= 16


# --- What JSON can carry ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, True, 0, -(10**30), 0.5, "é😀", [], (1, [2]), {"a": {"b": [None]}}])
def test_what_json_can_carry(value: Any) -> None:
    assert json_fault(value) is None


def test_one_value_in_two_places_is_no_circle() -> None:
    shared = {"a": [1]}

    assert json_fault([shared, shared, {"again": shared}]) is None


def test_the_first_fault_is_named_by_its_path() -> None:
    fault = json_fault({"rows": [{"when": 1}, {"when": {1, 2}}, {"when": b""}]}, ("inputs",))

    assert str(fault) == "inputs.rows[1].when: JSON cannot carry a set; pass a list"


def test_a_circle_through_a_list() -> None:
    rows: list[Any] = [1]
    rows.append({"rows": rows})

    assert str(json_fault({"rows": rows}, ("inputs",))) == (
        "inputs.rows[1].rows: the value holds itself (a circular reference)"
    )
