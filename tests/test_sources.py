"""Documents that know their places: plain YAML gives the same data and places as ruamel.yaml, or is left to it."""

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from scout import WorkflowFileError, check, load_workflow
from scout._documents import compose_yaml
from scout._sources import Source, _ComposedSource, _read_plain, read_source

ROOT = Path(__file__).parent.parent
SEEDS = [
    "a: 1\nb:\n  - x\n  - y: 2\n    z: |\n      foo\n\n      bar\nc: 'it''s'\n",
    "blocks:\n- block_id: a\n  deps:\n  - block_id: b\n    ui: {}\n- block_id: 'c'\n  text: \"x\\n\"\n",
    "k:\n  t: |-\n\n    foo\n     bar\n  # c\n  u: x # y\n",
    *(path.read_text(encoding="utf-8") for path in sorted((ROOT / "examples").glob("*/workflow.yml"))),
]
PIECES = [
    *" \n:-#'\"|>[]{}&*!%@`?,.~019abtnelxE\\\t_=<+ö\u00a0/",
    *("\n  ", "\n    ", "  ", "- ", ": ", " #", "|-\n", "|\n", ">\n", "null", "true", "\r\n", "---\n", "...\n", "<<: "),
    *("\n\n", "{{ x }}", "- - ", ".inf", "1_0", "0x1", "\ufeff", "\u2028"),
]


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(each for key, inner in items for each in places(inner, (*place, key)))]


def at(value: Any, place: tuple[Any, ...]) -> Any:
    for step in place:
        value = value[step]
    return value


def is_read_as_by_ruamel(text: str) -> bool:
    """True when it is, False when it is left to ruamel; anything else is an error."""
    plain = _read_plain(text)
    if plain is None:
        return False
    data, node = compose_yaml("x", text)
    assert json.dumps(plain.data, default=str) == json.dumps(data, default=str), text
    other = _ComposedSource(text, data, node)
    wanted = [place for place in places(data) if place]
    ours, theirs = plain.marks(wanted), other.marks(wanted)
    for place in wanted:
        assert plain.position(ours[place].key) == other.position(theirs[place].key), (text, place)
        value = at(data, place)
        if value is not None or isinstance(place[-1], str):
            assert plain.position(ours[place].value) == other.position(theirs[place].value), (text, place)
        if isinstance(value, str):
            written = text[theirs[place].value : theirs[place].end].replace("\r\n", "\n")
            assert plain.text[ours[place].value : ours[place].end].rstrip() == written.rstrip()
    return True


@pytest.mark.parametrize("text", SEEDS, ids=range(len(SEEDS)))
def test_common_files_are_read_directly(text: str) -> None:
    assert is_read_as_by_ruamel(text)
    assert is_read_as_by_ruamel(text.replace("\n", "\r\n"))
    assert is_read_as_by_ruamel("---\n" + text.rstrip("\n"))


def change(text: str, random_: random.Random) -> str:
    index = random_.randrange(len(text) + 1)
    lines = text.splitlines(keepends=True) or [""]
    number = random_.randrange(len(lines))
    match random_.randrange(4):
        case 0:
            return text[:index] + random_.choice(PIECES) + text[index:]
        case 1:
            return text[:index] + text[index + random_.randrange(1, 4) :]
        case 2:
            lines.insert(random_.randrange(len(lines) + 1), lines[number])
        case _:
            lines[number] = " " * random_.randrange(5) + lines[number].lstrip(" ")
    return "".join(lines)


def test_changed_texts_are_read_as_by_ruamel_or_left_to_it() -> None:
    random_ = random.Random(7)
    direct = left = 0
    for _ in range(700):
        text = random_.choice(SEEDS[:3])
        for _ in range(random_.randrange(1, 5)):
            text = change(text, random_)
        if is_read_as_by_ruamel(text):
            direct += 1
        else:
            left += 1
    assert direct > 80
    assert left > 200


@pytest.mark.parametrize(
    "text",
    [
        "a: b: c\n",
        "a: |\n  b\n c\n",
        "a: |\n  b\n \n  # c\n",
        "a: b\n  c\n",
        "a: 'b\n  c'\n",
        "a: >\n  b\n",
        "a: &x b\n",
        "a: [b]\n",
        "a: !!str b\n",
        "a:\tb\n",
        "a: 1\na: 2\n",
        "null: 1\n",
        "a: .inf\n",
        "a: 1\n--- {}\n",
        "- a\n",
        "a:\n- b\n c: d\n",
        "a: \u2028b\n",
        "",
    ],
)
def test_what_is_not_plain_is_left_to_ruamel(text: str) -> None:
    assert _read_plain(text) is None


def read(text: str, *, is_json: bool = False) -> Source:
    return read_source("x", text, is_json=is_json)


@pytest.mark.parametrize(
    ("text", "place", "key", "value"),
    [
        ('{"a": [1, {"b": "x"}]}', ("a", 1, "b"), (1, 12), (1, 17)),
        ('{\n "a": [1,\n  2]}', ("a", 1), (3, 3), (3, 3)),
        ('{"a": 1}', ("b", "c"), (1, 1), (1, 1)),
        ('{"a": 1}', ("a", "c"), (1, 2), (1, 7)),
        ("x: &x\n  b: 1\ny:\n  <<: *x\n  c: 2\n", ("y", "b"), (2, 3), (2, 6)),
        ("x: &x {b: 1}\ny: *x\n", ("y", "b"), (1, 8), (1, 11)),
        ("a:\n  b: 1\n", ("a", "none"), (1, 1), (2, 3)),
        ("a: {b: 1}\n", ("a", "none"), (1, 1), (1, 4)),
        ("a:\n\nb: [c]\n", ("a",), (1, 1), (1, 1)),
    ],
)
def test_places_in_json_and_in_all_of_yaml(text: str, place: Any, key: Any, value: Any) -> None:
    source = read(text)
    mark = source.marks([place])[place]
    assert (source.position(mark.key), source.position(mark.value)) == (key, value)


def test_json_is_not_yaml() -> None:
    with pytest.raises(WorkflowFileError):
        read("a: 1", is_json=True)
    assert not read("{}").has_comments
    assert read("a: 1").has_comments


def test_many_places_in_json_are_found_in_one_pass() -> None:
    data = {"rows": [{"name": f"row {n}", "value": n} for n in range(5_000)]}
    source = read(json.dumps(data))
    wanted = places(source.data)

    start = time.process_time()
    marks = source.marks(wanted)

    assert time.process_time() - start < 5  # one search for each would take minutes
    assert source.text[marks["rows", 4_999, "value"].value :].startswith("4999")


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_lines_may_end_in_any_way(newline: str, tmp_path: Path) -> None:
    path = tmp_path / "workflow.yml"
    text = "blocks:\n- block_id: 5\n  block_display_name: ''\n  block_archetype_id: x\n"
    path.write_bytes(text.replace("\n", newline).encode())

    with pytest.raises(WorkflowFileError) as caught:
        load_workflow(path)
    assert (caught.value.line, caught.value.column) == (2, 3)
    assert [(each.code, each.line) for each in check(path)] == [("SW011", 2)]
