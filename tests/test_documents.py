"""The text of files: plain values by YAML 1.2's core schema, JSON under any name, aliases, templates without quotes."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from scout import ConfigurationError, WorkflowFileError, save_workflow
from scout._documents import parse_json_text, parse_yaml
from scout.workflow_files import load_workflow


def bomb(depth: int) -> str:
    lines = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}' if i else 'x'] * 10)}]\n" for i in range(depth)]
    return "".join(lines)


# https://yaml.org/spec/1.2.2/#103-core-schema
CORE: dict[str, Any] = {
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    "0": 0,
    "-0": 0,
    "+12": 12,
    "-19": -19,
    "0777": 777,
    "08": 8,
    "0o17": 15,
    "0x3A": 58,
    "0xff": 255,
    "0.": 0.0,
    "-0.0": -0.0,
    ".5": 0.5,
    "+.5": 0.5,
    "-.5e2": -50.0,
    "1e5": 1e5,
    "12e03": 12000.0,
    "1.e-2": 0.01,
    "+12.3": 12.3,
    "-2E+05": -200000.0,
    "685.230_15e+03": "685.230_15e+03",
    **{
        text: text
        for text in (
            *(
                "12:30",
                "12:30:00",
                "190:20:30.15",
                "1_000",
                "0b11",
                "-0o17",
                "+0x1F",
                "0o8",
                "0xg",
                "1e",
                "e5",
                ".",
                "-",
            ),
            *("yes", "No", "on", "OFF", "y", "n", "tRUE", "nULL", "NaN", "inf", "Infinity", "+", "_1", "1.2.3", "="),
            *("2001-12-14", "2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43.10 -5", "1__0", "0x", "0o"),
        )
        if text != "-"
    },
}


@pytest.mark.parametrize("text", CORE)
def test_a_plain_scalar_has_the_type_of_the_core_schema(text: str) -> None:
    found = parse_yaml("w.yml", f"a: {text}\n")["a"]

    assert (found, type(found), str(found)) == (CORE[text], type(CORE[text]), str(CORE[text]))


@pytest.mark.parametrize("text", [".inf", "-.Inf", "+.INF", ".nan", ".NaN"])
def test_what_json_has_no_number_for_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(WorkflowFileError, match=r"line 2, column 3: a\.b: .*(inf|nan) is not JSON"):
        parse_yaml("w.yml", f"a:\n  b: {text}\n")


JSON_TEXTS = [
    '{\t"a":\t1,\n\t"b": "x\\/y"}',
    '{"a":1,"b":[1e5,-0,"0o17",1.5E+3,"no"]}',
    '["\\ud83c\\udf89", "\\u2028"]',
    '{"' + "k" * 3000 + '": {"a"\n:\n1}}',
    '"a\\/b"',
    "1e5",
    '{"x": "\x7f\uffff"}',
]


@pytest.mark.parametrize("text", JSON_TEXTS, ids=lambda text: ascii(text)[:20])
def test_json_is_the_same_under_any_name(text: str) -> None:
    assert json.dumps(parse_yaml("w.yml", text)) == json.dumps(json.loads(text))


def test_an_emoji_in_two_escapes_is_one_character_inside_yaml_as_well() -> None:
    assert parse_yaml("w.yml", 'a: "\\ud83c\\udf89"\n') == {"a": "\U0001f389"}


def test_a_key_that_stands_twice_in_json_under_a_yaml_name() -> None:
    with pytest.raises(WorkflowFileError, match='line 1, column 10: an object has the duplicate key "a"'):
        parse_yaml("w.yml", '{"a": 1, "a": 2}')


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ('{"a": {"b": 1,\n\t"b": 2}, "a": 3}', 2, 2),
        ('{"a": 1, "a": {"b": 1,\n "b": 2}}', 2, 2),
        ('{"x": "{\\"a\\": }", "a" : 1,\n"\\u0061": [{"a": 2}]}', 2, 1),
        ('[{"a": 1}, {"a": 1}, "a",\n {"": 1, "": 2}]', 2, 10),
    ],
)
def test_the_place_of_a_key_that_stands_twice_in_json(text: str, line: int, column: int) -> None:
    with pytest.raises(WorkflowFileError, match="duplicate key") as caught:
        parse_json_text("x.json", text)
    assert (caught.value.line, caught.value.column) == (line, column)


def test_a_key_that_stands_twice_beside_a_merge() -> None:
    with pytest.raises(WorkflowFileError, match="duplicate key"):
        parse_yaml("w.yml", "x: &x {k: 1}\nb:\n  <<: *x\n  a: 1\n  a: 2\n")


# --- Aliases ------------------------------------------------------------------------------------------------------

BOMBS = {
    "lists": bomb(9),
    "in a duplicate key": bomb(9) + "a: *l8\na: *l8\n",
    "merges": "a0: &a0 {x: &l [*z, *z]}\n".replace("*z", "1")
    + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}], k{i}: *a{i - 1}}}\n" for i in range(1, 9))
    + bomb(9),
    "one long text": "t: &t " + "y" * 100_000 + "\nl:\n" + "  - *t\n" * 6_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_aliases_that_grow_are_refused_at_once(name: str) -> None:
    begun = time.process_time()

    with pytest.raises(WorkflowFileError, match=r"line \d+") as caught:
        parse_yaml("w.yml", BOMBS[name])

    assert "duplicate key" in str(caught.value) or "grow to more than 5,000,000 values" in str(caught.value)
    assert len(str(caught.value)) < 400
    assert time.process_time() - begun < 5


def test_aliases_that_grow_a_little_are_not() -> None:
    assert len(parse_yaml("w.yml", bomb(6))["l5"]) == 10


# --- Templates without quotes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "column", "advice"),
    [
        ("a: 1\ntext: {{ x }}\n", 2, 7, 'text: "{{ x }}"'),
        ("- {{ x }}\n", 1, 3, '- "{{ x }}"'),
        ("a: {{ x }} more # note\n", 1, 4, 'a: "{{ x }} more"'),
        ("a: {{ x }}{{ y }}\r\n", 1, 4, 'a: "{{ x }}{{ y }}"'),
        ('  - a: {{ x | default("y") }}\n', 1, 8, "- a: '{{ x | default(\"y\") }}'"),
        ("a: [1, {{ x }}, 2]\n", 1, 8, '"{{ x }}"'),
        ("a: {% if x %}b{% endif %}\n", 1, 4, 'a: "{% if x %}b{% endif %}"'),
        ("a: {# note #}\n", 1, 4, 'a: "{# note #}"'),
        ("{{ x }}: 1\n", 1, 1, '"{{ x }}: 1"'),
        ("a: {{ x\n", 1, 4, '"{{ ... }}"'),
    ],
)
def test_a_template_without_quotes(text: str, line: int, column: int, advice: str) -> None:
    with pytest.raises(WorkflowFileError) as caught:
        parse_yaml("w.yml", text)

    assert (caught.value.line, caught.value.column) == (line, column)
    assert str(caught.value).endswith(f"put the template in quotes: {advice}")


@pytest.mark.parametrize(
    "text",
    ['a: "{{ x }}"\n', "a: Hi {{ x }}\n", "a: |\n  {{ x }}\n  {% if x %}\n", "# {{ x }}\na: 1\n", "a: {b: {c: 1}}\n"],
)
def test_valid_yaml_with_braces(text: str) -> None:
    assert json.dumps(parse_yaml("w.yml", text)) == json.dumps(YAML(typ="safe", pure=True).load(text))


def test_another_fault_beside_a_template_in_quotes() -> None:
    with pytest.raises(WorkflowFileError) as caught:
        parse_yaml("w.yml", 'a: "{{ x }}"\nb: [1\n')

    assert "quotes" not in str(caught.value)


# --- Saving -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_other_parsers_read_the_same_texts(tmp_path: Path, version: str) -> None:
    words = [text for text in CORE if text not in ("y", "n")]

    save_workflow({"words": words}, tmp_path / "w.yml")

    yaml = YAML(typ="safe", pure=True)
    yaml.version = version
    assert yaml.load(tmp_path / "w.yml")["words"] == words
    assert load_workflow(tmp_path / "w.yml").config["words"] == words


def test_long_texts_take_little_time(tmp_path: Path) -> None:
    begun = time.process_time()
    text = "1" * 30_000 + "x"

    save_workflow({"notes": text}, tmp_path / "w.yml")
    with pytest.raises(WorkflowFileError, match="put the template in quotes"):
        parse_yaml("w.yml", "a: {{ x }}" + " " * 50_000 + "b")

    assert load_workflow(tmp_path / "w.yml").config["notes"] == text
    assert time.process_time() - begun < 2


# --- Files of other programs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("services:\n  web: {image: nginx}\n", "line 1, column 1: this is not a workflow"),
        ('{"name": "x", "version": "1.0.0"}', "line 1, column 1: this is not a workflow"),
        ("x: 1\nbloks: []\n", "line 2, column 1: bloks: this is not a workflow"),
        ("workflow_config:\n  blcoks: []\n", "line 2, column 3: workflow_config.blcoks: this is not a workflow"),
        ("{}", "this is not a workflow"),
    ],
)
def test_a_file_of_another_program(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "w.yml"
    path.write_text(text)

    load_workflow(path)
    with pytest.raises(WorkflowFileError) as caught:
        load_workflow(path, require_fields=True)

    assert words in str(caught.value)
    assert ("did you mean 'blocks'?" in str(caught.value)) is ("bl" in text)


@pytest.mark.parametrize("config", [{}, {"workflow_config": {"tags": []}}, {"is_tool": True, "more": 1}])
def test_what_may_be_a_workflow(config: dict[str, Any]) -> None:
    load_workflow(config, require_fields=True)


def test_a_generated_object_with_plain_dicts_inside() -> None:
    from scout import WorkflowConfig

    broken: Any = [{"block_id": "a"}]
    with pytest.raises(ConfigurationError, match=r"this WorkflowConfig cannot be written as JSON.*from_dict"):
        load_workflow(WorkflowConfig(blocks=broken))


def test_the_id_of_a_stored_workflow_is_no_path() -> None:
    with pytest.raises(WorkflowFileError, match=r"scout\.workflows\.execute"):
        load_workflow("wf_0011223344556677")


def test_not_a_number_is_not_taken_for_json() -> None:
    assert parse_yaml("w.yml", '{"a": NaN}') == {"a": "NaN"}
