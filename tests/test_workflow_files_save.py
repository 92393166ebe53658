"""Saving a workflow: nothing is lost on the way back, people can read it, and a failure leaves what was there."""

import copy
import json
import os
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scout import StoredWorkflow, WorkflowConfig, WorkflowFileError, save_workflow
from scout import workflow_files as room
from scout.workflow_files import load_workflow

REAL = Path(__file__).parent.parent.parent / "shared" / "real-configs"
REAL_FILES = sorted(path.name for path in REAL.glob("*.*")) or ["(none)"]

posix = pytest.mark.skipif(os.name != "posix", reason="permissions and links as POSIX has them")

NAMES = ["w.yml", "w.json"]
CONFIG: dict[str, Any] = {
    "workflow_display_name": "Größe 😀",
    "blocks": [
        {
            "block_id": "inputs",
            "block_archetype_id": "com.scoutos.input",
            "block_display_name": "Inputs",
            "ui": {"position": {"x": -4, "y": 120}},
            "dependencies": [],
        }
    ],
}


def short(value: object) -> str:
    return ascii(value)[:40]


def exactly(value: Any) -> str:
    """Text that differs where anything does: `True` from 1 from 1.0, 0.0 from -0.0, one order of keys from another."""
    return json.dumps(value, ensure_ascii=False)


def assert_same(path: Path, config: Any, key: str | None = None) -> str:
    loaded = load_workflow(path)
    assert exactly(loaded.config) == exactly(config)
    assert loaded.key == key
    assert not list(path.parent.glob(".*")), "a temporary file was left behind"
    return path.read_bytes().decode()


def error_of(workflow: Any, path: Any, **options: Any) -> WorkflowFileError:
    with pytest.raises(WorkflowFileError) as caught:
        save_workflow(workflow, path, **options)
    assert caught.value.run_may_have_started is False
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


# --- Nothing is lost ----------------------------------------------------------------------------------------------

WORDS = [
    *("1.0", "1", "-1", "+1", "1.", ".5", "-.5", "1e3", "1e-07", "1E+20", "08", "017", "0o17", "0x1F", "0b1", "1_000"),
    *("1__0", "_1", "0x", "1:30", "1:2:3.5", ".inf", "-.INF", ".nan", "NaN", "Infinity", "-", "+"),
    *(".", "e5", "5 apples"),
    *("true", "True", "FALSE", "yes", "No", "ON", "off", "y", "n", "null", "Null", "~", "none", "", "=", "<<", "<<: a"),
    *("2024-01-01", "2024-01-01 10:00:00", "2024-01-01T10:00:00Z", "!!binary x", "!a", "&a", "*a", "@a", "`a", "%a"),
    *("- a", "-a", "? a", "?", ": a", ":", "a: b", "a:", "a #b", "#a", "a#b", "|", ">", "| a", "{a", "[a]", "{{a.b}}"),
    *("a, b", "}", "]", ",", "'", "''", '"', "'a'", '"a"', "\\", "\\n", "a\\", "---", "--- a", "...", "%YAML 1.1"),
]
BLANKS = [
    *(" ", "  ", " a", "a ", "  a  ", "\t", "\ta", "a\t", "a\tb", "\xa0", "\xa0a", "\u3000a"),
    *("\n", "\n\n", " \n", "\n ", "\t\n", "a\n", "a\n\n", "a\n\n\n", "\na", "\n\na\n", "a\nb"),
    *("a\n\nb", "a\n b", " a\nb"),
    *("  a\n b\nc", "\n a\n", "a \nb", "a\nb ", "a\n \nb", "a\n  ", "a\n  \n", "  \na", "a\n\tb", "\ta\nb", "a\n\t\nb"),
    *("a\n---\nb", "---\na", "a\n...\n", "#a\n# b\n", "a\n#b", "- a\n- b\n", "a: b\nc: d", "|\n a", "'a\n\"b\\n\n"),
]
OTHERS = [
    *("a\rb", "\r", "a\r", "a\r\nb", "a\r\nb\r\n", "a\n\rb", "\x85", "a\x85b", "a\x85\nb"),
    *("a\u2028b", "\u2029", "a\nb\u2028"),
    *("\ufeff", "\ufeffa", "a\ufeff", "a\n\ufeffb", "\0", "a\0b", "a\n\0b", "\x07\x08\x0b\x0c\x1b", "\x7f", "a\n\x7f"),
    *("\x80\x84\x86\x9f", "\ud7ff\ue000", "\ufffd", "\ufffe\uffff", "a\n\uffff", "😀", "a\n😀"),
    *("\U0010ffff", "e\u0301"),
    # Long ones: a key of more than 1,024 characters is written in another way, and nothing else asks for a length.
    *("é\u200b\u200d\u202e", "a " * 600, "a" * 2000, "'\" " * 400, "\\" * 500, "é b\n" * 300, "a " * 500 + "\nb"),
]
TEXTS = WORDS + BLANKS + OTHERS
VALUES: list[Any] = [
    *(True, False, None, 0, 1, -1, 10**30, -(10**300), 0.0, -0.0, 1.0, -1.0, 0.1, 1e-7, 1e20, 1e22, 1.5e300, 5e-324),
    *(1.7976931348623157e308, 123456789.123456789, {}, [], [[]], [{}], {"a": {}}, {"": []}, [[], []], [[1, [2, [3]]]]),
    *([[{"a": 1, "b": [2]}], None], {"a": [{"b": {"c": [{"d": None}]}}]}, [None, True, 1, 1.0, "1", "a\nb"]),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", TEXTS, ids=short)
def test_a_text_comes_back_wherever_it_stands(tmp_path: Path, name: str, text: str) -> None:
    places = {"value": text, text: 1, "list": [text, [text], {text: text}], "map": {text: {text: [text]}}, "end": text}

    save_workflow(places, tmp_path / name, key=text)

    written = assert_same(tmp_path / name, places, text)
    assert written.startswith("workflow_key: " if name == "w.yml" else "{")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", VALUES, ids=short)
def test_a_value_comes_back_as_what_it_was(tmp_path: Path, name: str, value: Any) -> None:
    places = {"value": value, "list": [value, [value]], "map": {"a": {"b": value}}, "end": value}

    save_workflow(places, tmp_path / name)

    assert_same(tmp_path / name, places)


@pytest.mark.parametrize("name", NAMES)
def test_everything_comes_back_together_and_in_order(tmp_path: Path, name: str) -> None:
    config = {
        "z": {text: number for number, text in enumerate(reversed(TEXTS))},
        "a": TEXTS,
        "10": VALUES,
        "9": None,
        "blocks": [],
    }

    save_workflow(config, tmp_path / name)

    assert_same(tmp_path / name, config)


texts = (
    st.text(
        alphabet="ab \n\t\r:#-?|>&*!%@`'\"{}[],~=<.0123456789_+\\\0\x07\x7f\x85\xa0\u2028\ufeff\uffffé😀", max_size=12
    )
    | st.text(alphabet="0123456789_.+-eExoObB:infaNyul~=<", max_size=7)
    | st.sampled_from(TEXTS)
    | st.text(max_size=6)
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=15,
)
# These two have a meaning, which other tests look at.
configs = st.dictionaries(texts.filter(lambda key: key not in ("blocks", "workflow_config")), values, max_size=5)


@pytest.mark.parametrize("name", NAMES)
@settings(derandomize=True)
@given(config=configs, key=st.none() | texts)
def test_any_config_comes_back(tmp_path_factory: pytest.TempPathFactory, name: str, config: Any, key: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "any" / name
    path.parent.mkdir(exist_ok=True)

    save_workflow(config, path, key=key, overwrite=True)

    text = assert_same(path, config, key)
    assert text.startswith("{") is (name == "w.json" or (not config and key is None))


@pytest.mark.skipif(not REAL.is_dir(), reason="the folder shared/real-configs is not beside this repository")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("file", REAL_FILES)
def test_a_real_file_comes_back(tmp_path: Path, file: str, name: str) -> None:
    loaded = load_workflow(REAL / file)

    save_workflow(REAL / file, tmp_path / name)

    text = assert_same(tmp_path / name, loaded.config, loaded.key)
    assert name == "w.json" or not text.startswith("{")


def test_a_file_is_what_it_was_after_a_tour_of_both_formats(tmp_path: Path) -> None:
    first, second, third = tmp_path / "1.yml", tmp_path / "2.json", tmp_path / "3.yaml"

    save_workflow({"a": TEXTS, "v": VALUES}, first, key="k")
    save_workflow(first, second)
    save_workflow(second, third)

    assert first.read_bytes() == third.read_bytes()


def test_subclasses_and_tuples_become_the_plain_json_that_would_be_sent(tmp_path: Path) -> None:
    class Word(StrEnum):
        YES = "yes"

    class Number(IntEnum):
        ONE = 1

    save_workflow({Word.YES: Word.YES, "n": Number.ONE, "t": (1, "a")}, tmp_path / "w.yml")

    assert_same(tmp_path / "w.yml", {"yes": "yes", "n": 1, "t": [1, "a"]})


def test_the_workflow_itself_is_left_alone(tmp_path: Path) -> None:
    config = copy.deepcopy(CONFIG)

    save_workflow(config, tmp_path / "w.yml", key="k")

    assert exactly(config) == exactly(CONFIG)


# --- The wrapper and its key --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_there_is_a_wrapper_when_there_is_a_key(tmp_path: Path, name: str) -> None:
    save_workflow(CONFIG, tmp_path / f"bare-{name}")
    save_workflow(CONFIG, tmp_path / f"keyed-{name}", key="mine")
    save_workflow(tmp_path / f"keyed-{name}", tmp_path / f"again-{name}")
    save_workflow(tmp_path / f"keyed-{name}", tmp_path / f"other-{name}", key="other")

    assert "workflow_config" not in assert_same(tmp_path / f"bare-{name}", CONFIG)
    assert_same(tmp_path / f"again-{name}", CONFIG, "mine")
    assert_same(tmp_path / f"other-{name}", CONFIG, "other")


def test_a_stored_workflow_leaves_its_key_and_its_config(tmp_path: Path) -> None:
    stored = {
        "workflow_config": CONFIG,
        "workflow_id": "wf_1",
        "revision_id": "rev_1",
        "workflow_key": "mine",
        "created_at": "2025-01-15T10:00:00Z",
        "last_updated_at": "2025-01-15T10:00:00Z",
        "created_by": {"id": "u", "type": "user"},
        "last_updated_by": {"id": "u", "type": "user"},
        "is_draft": True,
    }
    ours = StoredWorkflow("wf_1", "mine", "rev_1", True, None, None, CONFIG, stored)
    sources: list[Any] = [stored, {"data": stored}, ours]

    for number, source in enumerate(sources):
        path = tmp_path / f"{number}.yml"
        save_workflow(source, path)
        text = assert_same(path, CONFIG, "mine")
        assert text.startswith("workflow_key: mine\nworkflow_config:\n  workflow_display_name: Größe 😀\n")
        assert "rev_1" not in text


def test_a_generated_config_can_be_saved(tmp_path: Path) -> None:
    save_workflow(WorkflowConfig.from_dict(CONFIG), tmp_path / "w.yml")

    assert_same(tmp_path / "w.yml", CONFIG)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "inner", [{"data": {"workflow_config": {}}}, {"data": {"workflow_config": 5}, "b": 1}], ids=short
)
def test_a_config_that_looks_like_a_wrapper_gets_one(tmp_path: Path, name: str, inner: Any) -> None:
    save_workflow({"workflow_config": inner}, tmp_path / name)

    assert_same(tmp_path / name, inner)


def test_a_key_that_is_no_text_is_refused(tmp_path: Path) -> None:
    assert "workflow_key" in str(error_of(CONFIG, tmp_path / "w.yml", key=5))
    assert "workflow_key" in str(error_of(CONFIG, tmp_path / "w.yml", key="\ud800"))
    assert not list(tmp_path.iterdir())


# --- What people see ----------------------------------------------------------------------------------------------


def test_yaml_is_for_people(tmp_path: Path) -> None:
    shared = {"block_id": "a"}
    config = {
        "name": "Über uns: 1",
        "version": "1.0",
        "answer": "yes",
        "when": "2024-01-01",
        "long": "word " * 60 + "end",
        "none": None,
        "prompts": [
            {"role": "system", "content": "Be brief.\n\n  - {{a.b}}: # no comment \nBye."},
            {"role": "user", "content": "Hi\n"},
        ],
        "open": "a\n\n",
        "indented": "  a\nb",
        "trick": "a\r\nb",
        "numbers": [1, 1.0, 1e-7],
        "dependencies": [shared, shared],
        "empty": {"a": [], "b": {}, "c": ""},
        "line\nbreak": {"y": 1},
        "last": "a\nb\n",
    }
    expected = """\
        workflow_key: my_key
        workflow_config:
          name: 'Über uns: 1'
          version: '1.0'
          answer: 'yes'
          when: '2024-01-01'
          long: LONG
          none: null
          prompts:
            - role: system
              content: |-
                Be brief.

                  - {{a.b}}: # no comment\x20
                Bye.
            - role: user
              content: |
                Hi
          open: |+
            a

          indented: |2-
              a
            b
          trick: "a\\r\\nb"
          numbers:
            - 1
            - 1.0
            - 1.0e-07
          dependencies:
            - block_id: a
            - block_id: a
          empty:
            a: []
            b: {}
            c: ''
          "line\\nbreak":
            y: 1
          last: |
            a
            b
        """

    save_workflow(config, tmp_path / "w.yml", key="my_key")

    text = assert_same(tmp_path / "w.yml", config, "my_key")
    assert text == textwrap.dedent(expected).replace("LONG", config["long"])


def test_json_is_plain_and_ends_with_a_line_break(tmp_path: Path) -> None:
    save_workflow(CONFIG, tmp_path / "W.JSON", key="k")

    text = assert_same(tmp_path / "W.JSON", CONFIG, "k")
    wrapper = {"workflow_key": "k", "workflow_config": CONFIG}
    assert text == json.dumps(wrapper, indent=2, ensure_ascii=False) + "\n"
    assert "Größe 😀" in text


@pytest.mark.parametrize("name", ["w.yaml", "w.YML", "w.workflow", "w", "json"])
def test_every_other_name_gets_yaml(tmp_path: Path, name: str) -> None:
    save_workflow(CONFIG, tmp_path / name)

    assert assert_same(tmp_path / name, CONFIG).startswith(
        "workflow_display_name: Größe 😀\nblocks:\n  - block_id: inputs\n"
    )


@pytest.mark.parametrize(
    "text", [text for text in BLANKS if text.strip() and "\n" in text and text[0] != "\t"], ids=short
)
def test_every_text_of_several_lines_is_a_block(tmp_path: Path, text: str) -> None:
    save_workflow({"a": text, "b": [text]}, tmp_path / "w.yml")

    assert (tmp_path / "w.yml").read_text(encoding="utf-8").count("|") - 2 * text.count("|") == 2


@pytest.mark.parametrize(
    "text", [text for text in BLANKS if "\n" in text and (not text.strip() or text[0] == "\t")], ids=short
)
def test_a_text_of_blanks_can_be_seen(tmp_path: Path, text: str) -> None:
    save_workflow({"a": text}, tmp_path / "w.yml")

    written = (tmp_path / "w.yml").read_text(encoding="utf-8")
    assert written == f"a: {json.dumps(text)}\n"


# --- When YAML cannot carry it, and when JSON cannot ----------------------------------------------------------------


def wrong(document: Any) -> str:
    return json.dumps({**document, "a": "another"})


def untidy(document: Any) -> str:
    return json.dumps(dict(reversed(document.items())))


def inexact(document: Any) -> str:
    return json.dumps({**document, "one": 1.0})


def lame(document: Any) -> str:
    return '{"a": ['


def silent(document: Any) -> str:
    raise RecursionError


FAILURES = [wrong, untidy, inexact, lame, silent]


@pytest.mark.parametrize("failure", FAILURES)
def test_yaml_that_does_not_give_it_back_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Callable[[Any], str]
) -> None:
    monkeypatch.setattr(room, "write_yaml", failure)
    config = {"one": 1, "t": [text for text in TEXTS if len(text) < 500], "v": VALUES, "\ufeff\x85\x7f\uffff": 1}

    save_workflow(config, tmp_path / "w.yml")

    assert assert_same(tmp_path / "w.yml", config).startswith('{\n  "one": 1,\n')


def test_a_very_deep_workflow_comes_back(tmp_path: Path) -> None:
    config: dict[str, Any] = {"a": "x\ny"}
    for _ in range(190):
        config = {"a": config}

    save_workflow(config, tmp_path / "w.yml")

    assert_same(tmp_path / "w.yml", config)


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_written_when_no_way_gives_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, failure: Callable[[Any], str]
) -> None:
    monkeypatch.setattr(room, "write_yaml", failure)
    monkeypatch.setattr(room, "_to_json", failure)

    error = error_of({"one": 1, "two": 2}, tmp_path / name)

    assert error.path == str(tmp_path / name)
    assert "exactly" in str(error)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        ("\ud800", "surrogate"),
        ("\ud83d\ude00", "surrogate"),
        ({"\udfff": 1}, "surrogate"),
        ({1: 2}, "not text"),
        (b"a", "bytes"),
        ({1}, "set"),
        (10**5000, "digits"),
    ],
    ids=["nan", "inf", "-inf", "surrogate", "pair", "surrogate key", "number key", "bytes", "set", "digits"],
)
def test_what_json_cannot_carry_is_named(tmp_path: Path, name: str, value: Any, words: str) -> None:
    message = str(error_of({"a": {"b": [value]}}, tmp_path / name))

    assert "a.b[0]" in message
    assert words in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "number",
    [Decimal("9" * 5000), Decimal("1E+400"), Decimal("-1.5E-400"), Decimal("0.10")],
    ids=lambda number: str(number)[:6],
)
def test_a_number_beyond_those_of_python_is_kept(tmp_path: Path, name: str, number: Decimal) -> None:
    save_workflow({"a": [number]}, tmp_path / name)

    assert load_workflow(tmp_path / name).config == {"a": [number if number != Decimal("0.10") else 0.1]}


def test_what_is_no_workflow_is_not_saved(tmp_path: Path) -> None:
    assert "blocks[0]" in str(error_of({"blocks": [{"block_id": "a"}]}, tmp_path / "w.yml"))
    assert "not int" in str(error_of(5, tmp_path / "w.yml"))
    assert "cannot be read" in str(error_of(tmp_path / "none.yml", tmp_path / "w.yml"))
    assert not list(tmp_path.iterdir())


# --- The file on the disk -----------------------------------------------------------------------------------------


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "w.yml"
    path.write_text("a: old\n", encoding="utf-8")
    return path


def assert_old(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == "a: old\n"
    assert list(path.parent.iterdir()) == [path]


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A folder of everybody's, and the rights of somebody who is not root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        save_workflow({}, folder / "first.yml")  # so that every module is loaded
        (folder / "first.yml").unlink()
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(user)


def test_a_file_that_exists_is_replaced_only_when_asked(old: Path) -> None:
    error = error_of(CONFIG, old)

    assert error.path == str(old)
    assert str(error) == f"{old}: exists already; pass overwrite=True to replace it"
    assert_old(old)

    save_workflow(CONFIG, old, overwrite=True)

    assert_same(old, CONFIG)


def test_a_file_may_be_saved_over_itself(old: Path) -> None:
    save_workflow(old, old, key="k", overwrite=True)

    assert_same(old, {"a": "old"}, "k")


def test_overwrite_does_not_need_a_file(tmp_path: Path) -> None:
    save_workflow(CONFIG, tmp_path / "w.yml", overwrite=True)

    assert_same(tmp_path / "w.yml", CONFIG)


def test_a_path_may_be_text_or_any_path_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Somewhere(os.PathLike[str]):
        def __fspath__(self) -> str:
            return "c.json"

    monkeypatch.chdir(tmp_path)

    save_workflow(CONFIG, "a.yml")
    save_workflow(CONFIG, str(tmp_path / "b.yml"))
    save_workflow(CONFIG, Somewhere())

    for name in ("a.yml", "b.yml", "c.json"):
        assert_same(tmp_path / name, CONFIG)


def test_the_longest_of_names_will_do(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 251 + ".yml")

    save_workflow(CONFIG, path)

    assert_same(path, CONFIG)


@pytest.mark.parametrize("path", [5, None, {"a": 1}])
def test_a_path_that_is_none_is_refused(path: Any) -> None:
    assert type(path).__name__ in str(error_of(CONFIG, path))


@pytest.mark.parametrize("overwrite", [False, True])
def test_places_where_nothing_can_be_written_are_named(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()

    for name, words in {
        "none/w.yml": "No such file",
        "file/w.yml": "Not a directory",
        "folder": "it is a folder",
        ".": "it is a folder",
        "a\0b": "null",
        "a\nb": "line break",
        "n" * 300: "too long",
    }.items():
        path = f"{tmp_path}/{name}"
        error = error_of(CONFIG, path, overwrite=overwrite)
        assert error.path == path
        assert words in str(error)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_an_error_says_where_a_relative_path_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert f"(looked in {tmp_path})" in str(error_of(CONFIG, "none/w.yml"))


@posix
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_device_is_not_replaced(tmp_path: Path, overwrite: bool) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    assert "device" in str(error_of(CONFIG, pipe, overwrite=overwrite))
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@posix
def test_a_folder_without_permission_is_an_error(nobody: Path) -> None:
    (nobody / "closed").mkdir()
    (nobody / "closed" / "old.yml").touch()
    (nobody / "closed" / "old.yml").chmod(0o400)
    (nobody / "closed").chmod(0o500)

    assert "exists already" in str(error_of(CONFIG, nobody / "closed" / "old.yml"))
    error = error_of(CONFIG, nobody / "closed" / "w.yml")

    assert error.path == str(nobody / "closed" / "w.yml")
    assert "Permission denied" in str(error)
    assert [path.name for path in (nobody / "closed").iterdir()] == ["old.yml"]


@posix
def test_a_file_that_is_protected_from_writing_is_not_replaced(nobody: Path) -> None:
    path = nobody / "w.yml"
    path.write_text("a: old\n", encoding="utf-8")
    path.chmod(0o444)

    assert "Permission denied" in str(error_of(CONFIG, path, overwrite=True))
    assert_old(path)


@posix
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_permissions_of_a_new_file_follow_the_umask(tmp_path: Path, umask: int, mode: int, overwrite: bool) -> None:
    before = os.umask(umask)
    try:
        save_workflow(CONFIG, tmp_path / "w.yml", overwrite=overwrite)
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "w.yml").stat().st_mode) == mode


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755])
def test_a_file_that_is_replaced_keeps_its_permissions(old: Path, mode: int) -> None:
    old.chmod(mode)

    save_workflow(CONFIG, old, overwrite=True)

    assert stat.S_IMODE(old.stat().st_mode) == mode


@posix
def test_a_link_is_followed(old: Path) -> None:
    folder = old.parent / "links"
    folder.mkdir()
    link = folder / "link.yml"
    link.symlink_to("../w.yml")

    assert "exists already" in str(error_of(CONFIG, link))
    save_workflow(CONFIG, link, overwrite=True)

    assert link.is_symlink()
    assert not old.is_symlink()
    assert_same(old, CONFIG)
    assert list(folder.iterdir()) == [link]


@posix
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_link_to_nothing_yet_gets_its_target(tmp_path: Path, overwrite: bool) -> None:
    link = tmp_path / "link.yml"
    link.symlink_to(tmp_path / "w.yml")

    save_workflow(CONFIG, link, overwrite=overwrite)

    assert link.is_symlink()
    assert_same(tmp_path / "w.yml", CONFIG)


@posix
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_link_to_itself_is_an_error(tmp_path: Path, overwrite: bool) -> None:
    link = tmp_path / "w.yml"
    link.symlink_to(link)

    assert "cannot be written" in str(error_of(CONFIG, link, overwrite=overwrite))
    assert link.is_symlink()


def fail(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


def test_a_file_that_cannot_take_its_place_changes_nothing(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "replace", fail)

    error = error_of(CONFIG, old, overwrite=True)

    assert (error.path, str(error)) == (str(old), f"{old}: cannot be written: No space left on device")
    assert_old(old)


def test_what_did_not_reach_the_disk_is_not_put_in_place(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", fail)

    assert "No space left" in str(error_of(CONFIG, old, overwrite=True))
    assert_old(old)


IN_ANOTHER_PROCESS = """
import os, sys
from scout import WorkflowFileError, save_workflow
path, way = sys.argv[1:]
if way == "full":
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
else:
    os.replace = lambda *_: os._exit(7)
try:
    save_workflow({"a": "long " * 10_000}, path, overwrite=True)
except WorkflowFileError as error:
    print(error)
"""


def in_another_process(path: Path, way: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-B", "-c", IN_ANOTHER_PROCESS, str(path), way]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@posix
def test_a_disk_that_is_full_leaves_the_old_file(old: Path) -> None:
    done = in_another_process(old, "full")

    assert (done.returncode, done.stdout) == (0, f"{old}: cannot be written: File too large\n"), done.stderr
    assert_old(old)


def test_a_crash_leaves_the_old_file(old: Path) -> None:
    assert in_another_process(old, "crash").returncode == 7
    assert old.read_text(encoding="utf-8") == "a: old\n"


def at_once(count: int, work: Callable[[int], None]) -> list[int]:
    """Who succeeded."""
    ready = threading.Barrier(count)
    succeeded: list[int] = []
    told: list[str] = []

    def run(number: int) -> None:
        ready.wait(10)
        try:
            work(number)
        except WorkflowFileError as error:
            told.append(str(error))
        else:
            succeeded.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(succeeded) + len(told) == count
    assert all("exists already" in each for each in told)
    return succeeded


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_of_several_at_once_one_makes_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    if not links:
        monkeypatch.setattr(os, "link", fail)
    for turn in range(10):
        path = tmp_path / f"{turn}.yml"

        winners = at_once(4, lambda number, path=path: save_workflow({"a": number}, path))  # type: ignore[misc]

        assert len(winners) == 1
        assert_same(path, {"a": winners[0]})


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "w.yml"
    contents = [{"a": str(number) * 50_000} for number in range(3)]
    save_workflow(contents[0], path)
    seen: list[Any] = []

    def work(number: int) -> None:
        for _ in range(5):
            if number:
                save_workflow(contents[number], path, overwrite=True)
            else:
                seen.append(load_workflow(path).config)

    assert sorted(at_once(3, work)) == [0, 1, 2]
    assert len(seen) == 5
    assert all(each in contents for each in seen)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_system_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(os, "link", fail)
    path = tmp_path / name

    save_workflow(CONFIG, path)

    assert_same(path, CONFIG)
    assert "exists already" in str(error_of({}, path))
    assert_same(path, CONFIG)
