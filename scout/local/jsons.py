"""Small helps with parsed JSON: what kind of value it is, and how deeply it is nested."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterable

_DEEPEST = 200  # where the JSON parser of the real server stops too; ours and its encoder are recursive as well


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether it is a JSON object, whose keys are always text."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether it is a JSON list."""
    return isinstance(value, list)


def objects_in(value: object) -> list[dict[str, Any]]:
    """The objects in a list; none if it is not a list."""
    return [item for item in value if is_object(item)] if is_list(value) else []


def is_too_deep(value: object, text: str | bytes) -> bool:
    """Whether a parsed value is nested too deeply; `text` is what it was parsed from."""
    brackets = text.count("[") + text.count("{") if isinstance(text, str) else text.count(b"[") + text.count(b"{")
    return brackets > _DEEPEST and _depth(value) > _DEEPEST


def _depth(value: object) -> int:
    depth = 0
    level = [value]
    while level:
        depth += 1
        level = [child for item in level for child in _children(item)]
    return depth


def _children(value: object) -> Iterable[object]:
    if is_object(value):
        return value.values()
    return value if is_list(value) else ()
