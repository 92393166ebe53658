"""Differences of workflows as text: grouped by block, long texts as line diffs, in colour on request."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any, cast

from scout._json import write_json
from scout.cli._terminal import answer_escaped, answer_styled, escape, wants_colour

if TYPE_CHECKING:
    from scout import Difference, LoadedWorkflow

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}
_COLOURS = {"+": "32", "-": "31", "~": "33", "@": "36", "*": "1"}
_WIDE = 60  # characters from which the old and the new value get a line each
_MOST_LINES = 1000  # lines of a text that are compared line by line; more would take seconds
_CONTEXT = 2
_AROUND = 40  # characters that are shown before and behind the change of a long line


def facts(difference: Difference) -> dict[str, Any]:
    """Return a difference as the JSON that the commands print: `before` and `after` as far as there are such values."""
    found = {"kind": difference.kind, "place": difference.place, "block_id": difference.block_id}
    found |= {} if difference.kind == "added" else {"before": difference.before}
    return found | ({} if difference.kind == "removed" else {"after": difference.after})


def titles(*workflows: LoadedWorkflow) -> dict[str, str]:
    """Return the display names of the blocks by their ids; for a block in several workflows that of the last."""
    blocks: list[Any] = [block for workflow in workflows for block in workflow.config.get("blocks") or ()]
    return {block["block_id"]: block["block_display_name"] for block in blocks}


def show(differences: Iterable[Difference], note: str, *workflows: LoadedWorkflow) -> None:
    """Print differences below a line of a plan, with a note on them. The workflows are those that they are between."""
    if note:
        answer_styled((f"    {note}", ""))
    for line in lines(differences, names=titles(*workflows), colour=wants_colour(sys.stdout)):
        answer_escaped(f"    {line}")


def painted(sign: str, text: str, *, colour: bool) -> str:
    """Return a line in the colour of a sign (`+`, `-`, `~`, `@`, or `*` for a heading), if there are to be colours."""
    return f"\x1b[{_COLOURS[sign]}m{text}\x1b[0m" if colour and sign in _COLOURS else text


def lines(
    differences: Iterable[Difference], *, names: Mapping[str, str] | None = None, colour: bool = False
) -> Iterator[str]:
    """Yield the lines of text that show differences, without newlines. Control characters of texts are escaped.

    Args:
        differences: The differences, as `scout.diff` returns them.
        names: The display names of the blocks by their ids, as `titles` returns them.
        colour: Add the codes that make terminals show colours.
    """

    def line(sign: str, text: str) -> str:
        return painted(sign, escape(text), colour=colour)

    for block_id, several in groupby(differences, lambda each: each.block_id):
        group = list(several)
        whole = len(group) == 1 and _is_whole_block(group[0])
        sign = _SIGNS[group[0].kind] if whole else "*"
        yield line(sign, _heading(block_id, group[0], sign, names or {}))
        for difference in group:
            for mark, text in _body(difference):
                yield line(mark, f"  {text}")


def _is_whole_block(difference: Difference) -> bool:
    return difference.block_id is not None and len(difference.place) == 2


def _heading(block_id: str | None, first: Difference, sign: str, names: Mapping[str, str]) -> str:
    if block_id is None:
        return "workflow"
    block: Any = (first.after if first.after is not None else first.before) if sign != "*" else {}
    title = block.get("block_display_name") or names.get(block_id)
    return f"{sign + ' ' if sign != '*' else ''}block {_word(block_id)}{f' {_json(title)}' if title else ''}"


def _word(text: str) -> str:
    return text if text.isprintable() and text and " " not in text else _json(text)


def _body(difference: Difference) -> Iterator[tuple[str, str]]:
    """Yield the colour and the text of each line."""
    place = difference.place[2:] if difference.block_id is not None else difference.place
    before, after = difference.before, difference.after
    match difference.kind:
        case "removed":
            if place:
                yield from _all_of("-", place, before)
        case "added" if not place:
            for name, value in after.items():
                if name not in ("block_id", "block_display_name"):
                    yield from _all_of("+", (name,), value)
        case "added":
            yield from _all_of("+", place, after)
        case _:
            yield from _change(_path(place), before, after)


def _path(place: tuple[str | int, ...]) -> str:
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if re.fullmatch(r"[\w-]+", step) else _json(step)
            text += f".{name}" if text else name
    return text


def _all_of(sign: str, place: tuple[str | int, ...], value: Any) -> Iterator[tuple[str, str]]:
    """Yield the lines of a value that was added or removed: a line for each part of one that is long."""
    if isinstance(value, str) and "\n" in value:
        yield sign, f"{sign} {_path(place)}:"
        yield from ((sign, f"{sign}   {line}") for line in value.splitlines())
        return
    text = _json(value)
    if isinstance(value, dict | list) and value and (len(text) > _WIDE or "\\n" in text):
        parts: Any = cast("Any", value)
        for step, part in parts.items() if isinstance(value, dict) else enumerate(parts):
            yield from _all_of(sign, (*place, step), part)
    else:
        yield sign, f"{sign} {_path(place)}: {text}"


def _change(path: str, before: Any, after: Any) -> Iterator[tuple[str, str]]:
    if isinstance(before, str) and isinstance(after, str) and ("\n" in before or "\n" in after):
        yield "~", f"~ {path}:"
        yield from _line_diff(before, after)
        return
    old, new = _json(before), _json(after)
    if len(old) <= _WIDE and len(new) <= _WIDE:
        yield "~", f"~ {path}: {old} -> {new}"
    else:
        if isinstance(before, str) and isinstance(after, str):
            old, new = _changed_parts(before, after)
        yield "~", f"~ {path}:"
        yield "-", f"  - {old}"
        yield "+", f"  + {new}"


def _changed_parts(old: str, new: str) -> tuple[str, str]:
    """Return two texts of one line as JSON, with `...` for a long beginning or end that they share."""
    start = _shared(old, new)
    end = _shared(old[start:][::-1], new[start:][::-1])
    start = start - _AROUND if start > 2 * _AROUND else 0
    end = end - _AROUND if end > 2 * _AROUND else 0
    parts = (_json(text[start : len(text) - end]) for text in (old, new))
    first, last = "..." if start else "", "..." if end else ""
    before, after = (f"{first}{part}{last}" for part in parts)
    return before, after


def _shared(one: str, other: str) -> int:
    """Return how many characters two texts share at their beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))


def _line_diff(before: str, after: str) -> Iterator[tuple[str, str]]:
    old, new = before.split("\n"), after.split("\n")
    if max(len(old), len(new)) > _MOST_LINES:
        yield "@", f"  ({len(old):,} lines -> {len(new):,} lines, too many to compare)"
        return
    if (old[-1] == "") != (new[-1] == ""):  # a last line with a newline, and one without
        for text in (old, new):
            text[-1:] = ["\\ a newline at the end"] if text[-1] == "" else [text[-1], "\\ no newline at the end"]
    else:
        old, new = ([*text[:-1], *filter(None, text[-1:])] for text in (old, new))
    import difflib  # only where there is a text to compare

    for line in list(difflib.unified_diff(old, new, lineterm="", n=_CONTEXT))[2:]:
        yield line[0], f"  {line}"


def _json(value: object) -> str:
    return write_json(value)
