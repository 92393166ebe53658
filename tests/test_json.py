"""What JSON can carry, how a text is shortened, and how secrets are taken out of what a server said."""

import json
from typing import Any

import pytest

from scout._json import MAX_DEPTH, is_too_deep, json_fault, redact, shorten, spell

SECRET = 'sk-"quoted"/ü-0123'


def nested(depth: int, leaf: Any = None) -> Any:
    value = leaf
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("leaf", [None, {}, [], "text"])
def test_core_and_local_stop_at_the_same_depth(leaf: Any) -> None:
    containers = MAX_DEPTH - isinstance(leaf, list | dict)
    for value, is_deep in ((nested(containers, leaf), False), (nested(containers + 1, leaf), True)):
        fault = json_fault(value)

        assert is_too_deep(value, json.dumps(value)) is is_deep
        assert (fault is not None and "more than 200 levels deep" in fault.problem) is is_deep


def test_many_brackets_side_by_side_are_not_deep() -> None:
    value: list[Any] = [[] for _ in range(1000)]

    assert not is_too_deep(value, json.dumps(value))


@pytest.mark.parametrize(("text", "short"), [("", ""), ("abc", "abc"), ("abcd", "abc…")])
def test_a_text_is_shortened_only_when_it_is_too_long(text: str, short: str) -> None:
    assert shorten(text, 3) == short


def test_a_place_reads_like_code() -> None:
    assert spell(("blocks", 0, "config", "x")) == "blocks[0].config.x"


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("slash", ["/", "\\/"])
def test_a_secret_is_found_as_it_is_and_as_json_writes_it(ascii_only: bool, slash: str) -> None:
    text = json.dumps({"said": f"key {SECRET}!"}, ensure_ascii=ascii_only).replace("/", slash)

    assert json.loads(redact(text, [SECRET])) == {"said": "key [redacted]!"}
    assert json.loads(redact(text.encode(), [SECRET])) == {"said": "key [redacted]!"}
    assert redact(json.loads(text), [SECRET]) == {"said": "key [redacted]!"}


def test_a_longer_secret_is_replaced_before_one_that_it_holds() -> None:
    assert redact("a-long-secret-more", ["a-long-secret", "a-long-secret-more"], "***") == "***"


def test_a_short_secret_is_replaced_only_when_asked() -> None:
    assert redact("hunter2", ["hunter2"]) == "hunter2"
    assert redact("hunter2", ["hunter2"], "***", shortest=1) == "***"


def test_what_is_too_deep_to_be_cleaned_is_not_shown() -> None:
    assert SECRET not in str(redact(nested(5000, SECRET), [SECRET]))
