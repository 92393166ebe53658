"""Differences of workflows: what has changed between two of them, block by block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

from ._json import PathInData, is_dict, is_list, json_fault
from ._order import without_ui
from .errors import WorkflowFileError
from .workflow_files import WorkflowSource, load_workflow

__all__ = ["Difference", "diff"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between two workflows, `a` and `b`.

    Attributes:
        kind: `added`: only `b` has it. `removed`: only `a` has it. `changed`: the values differ.
        place: The keys and indexes that lead to the value in the config of `b`; of a removed value, in that of `a`.
            `LoadedWorkflow.locate` finds its line in the file.
        block_id: The id of the block to which the value belongs; `None` outside of blocks.
        before: The value in `a`; `None` when it was added.
        after: The value in `b`; `None` when it was removed.
    """

    kind: Literal["added", "removed", "changed"]
    place: tuple[str | int, ...]
    block_id: str | None
    before: Any
    after: Any


def diff(a: WorkflowSource, b: WorkflowSource, *, ui: bool = False) -> list[Difference]:
    """Return the differences between two workflows; an empty list when they mean the same.

    Blocks are compared by their ids, so a block with a new id is one that was added and one that was removed. Values
    are compared as JSON: 1 equals 1.0, and a missing field differs from null.

    These do not count: the key and the wrapper; the order of keys; the name of the output mark (`block_is_output` is
    the old name of `is_output`), and a mark that is missing instead of false; the order of blocks, unless it decides
    which of several marked blocks is the output. The order of all other lists counts.

    Args:
        a: The workflow before, as for `load_workflow`.
        b: The workflow after.
        ui: Compare also what only the canvas of the editor shows: the `ui` of blocks, dependencies and notes, the
            colour of notes, and placeholders.

    Raises:
        WorkflowFileError: a workflow cannot be read or is invalid, or JSON cannot represent it.
        ConfigurationError: as for `load_workflow`.
    """
    before, after = (_comparable(workflow, ui=ui) for workflow in (a, b))
    return list(_Comparison().configs(before, after))


def _comparable(workflow: WorkflowSource, *, ui: bool) -> dict[str, Any]:
    loaded = load_workflow(workflow)
    config = dict(loaded.config)
    if fault := json_fault(config):
        raise WorkflowFileError(str(fault), path=loaded.path)
    return config if ui else _without_canvas(config)


def _without_canvas(config: dict[str, Any]) -> dict[str, Any]:
    kept = _without(without_ui(config, ()), "placeholders")
    if is_list(notes := kept.get("notes")):
        kept["notes"] = [_without(note, "bgColor") if is_dict(note) else note for note in notes]
    return kept


def _without(value: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: each for name, each in value.items() if name not in names}


# --- Comparison ---------------------------------------------------------------------------------------------------

_MARKS = ("is_output", "block_is_output")
_NAMES_OF_IDS = ("block_id", "id", "key")
_STEPS = 3_000_000
"""The most steps that the alignment of lists may take in all. Beyond, items are compared by their index."""

_STEPS_OF_TEXT = 1000
_LONGEST_ALIKE = 300  # characters of a text that decide whether it is a new version of another
_ALIKE = 0.4


_Pair = tuple[int | None, int | None]
_Places = tuple[PathInData, PathInData]
"""The places of two values, the one before in its config and the one after in its own."""

_TOP: _Places = ((), ())
_Blocks = dict[tuple[str, int], tuple[int, dict[str, Any]]]


class _Comparison:
    """A walk through two configs. Each distinct value has a number, so that equal parts are recognized at once."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        self._known: dict[int, tuple[int, object]] = {}  # by id: number and value, so that the id remains its own
        self._steps = _STEPS

    def configs(self, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Difference]:
        old, new = before.get("blocks"), after.get("blocks")
        if not (_has_ids(old) and _has_ids(new)):
            yield from self._mappings(before, after, _TOP, None)
            return
        yield from self._mappings(_without(before, "blocks"), _without(after, "blocks"), _TOP, None)
        yield from self._blocks(_by_id(old), _by_id(new))

    def _blocks(self, old: _Blocks, new: _Blocks) -> Iterator[Difference]:
        for key, (index, block) in old.items():
            if key not in new:
                yield Difference("removed", ("blocks", index), key[0], block, None)
            else:
                index_after, after = new[key]
                places = ("blocks", index), ("blocks", index_after)
                yield from self._block(block, after, places, key[0])
        for key, (index, block) in new.items():
            if key not in old:
                yield Difference("added", ("blocks", index), key[0], None, block)
        marked = [[key[0] for key, (_, block) in blocks.items() if _is_marked(block)] for blocks in (old, new)]
        if sorted(marked[0]) == sorted(marked[1]) and marked[0] != marked[1]:  # the first of them is the output
            yield Difference("changed", ("blocks",), None, marked[0], marked[1])

    def _block(
        self, before: dict[str, Any], after: dict[str, Any], places: _Places, block_id: str
    ) -> Iterator[Difference]:
        marks = [[block[name] for name in _MARKS if name in block] for block in (before, after)]
        if not all(isinstance(mark, bool) for mark in (*marks[0], *marks[1])):
            yield from self._mappings(before, after, places, block_id)
            return
        if any(marks[0]) != any(marks[1]):
            name = next((name for block in (after, before) for name in _MARKS if name in block), _MARKS[0])
            yield Difference("changed", (*places[1], name), block_id, any(marks[0]), any(marks[1]))
        yield from self._mappings(_without(before, *_MARKS), _without(after, *_MARKS), places, block_id)

    def _values(self, before: Any, after: Any, places: _Places, block_id: str | None) -> Iterator[Difference]:
        if self._is_same(before, after):
            return
        if is_dict(before) and is_dict(after):
            yield from self._mappings(before, after, places, block_id)
        elif is_list(before) and is_list(after):
            yield from self._lists(before, after, places, block_id)
        else:
            yield Difference("changed", places[1], block_id, before, after)

    def _mappings(
        self, before: dict[str, Any], after: dict[str, Any], places: _Places, block_id: str | None
    ) -> Iterator[Difference]:
        for name, value in before.items():
            if name in after:
                yield from self._values(value, after[name], _inside(places, name, name), block_id)
            else:
                yield Difference("removed", (*places[0], name), block_id, value, None)
        for name, value in after.items():
            if name not in before:
                yield Difference("added", (*places[1], name), block_id, None, value)

    def _lists(
        self, before: Sequence[Any], after: Sequence[Any], places: _Places, block_id: str | None
    ) -> Iterator[Difference]:
        for i, j in self._pairs(before, after):
            if j is None:
                assert i is not None
                yield Difference("removed", (*places[0], i), block_id, before[i], None)
            elif i is None:
                yield Difference("added", (*places[1], j), block_id, None, after[j])
            else:
                yield from self._values(before[i], after[j], _inside(places, i, j), block_id)

    # --- Which item of a list is which ---

    def _pairs(self, before: Sequence[Any], after: Sequence[Any]) -> Iterator[_Pair]:
        """Yield the indexes of items that belong together, in order; `None` beside an item that has no counterpart."""
        old, new = self._tokens(before, after)
        start, end = _common_ends(old, new)
        yield from ((i, i) for i in range(start))
        n, m = len(old) - end, len(new) - end
        if self._afford(old[start:n], new[start:m]):
            matcher = SequenceMatcher(None, old[start:n], new[start:m], autojunk=False)
            for kind, i1, i2, j1, j2 in matcher.get_opcodes():
                i1, i2, j1, j2 = i1 + start, i2 + start, j1 + start, j2 + start
                if kind == "equal":
                    yield from zip(range(i1, i2), range(j1, j2), strict=True)
                else:
                    yield from self._replaced(before, after, (i1, i2), (j1, j2))
        else:
            yield from _by_index((start, n), (start, m))
        yield from ((n + k, m + k) for k in range(end))

    def _tokens(self, before: Sequence[Any], after: Sequence[Any]) -> tuple[Sequence[object], Sequence[object]]:
        """Return what identifies each item: an id where all have one, else the item itself."""
        for name in _NAMES_OF_IDS:
            found = [[item.get(name) if is_dict(item) else None for item in items] for items in (before, after)]
            if all(len(set(map(str, ids))) == len(ids) and all(isinstance(e, str) for e in ids) for ids in found):
                return found[0], found[1]
        return [*map(self._number, before)], [*map(self._number, after)]

    def _afford(self, old: Sequence[object], new: Sequence[object]) -> bool:
        counts = Counter(new)
        matches = sum(counts[token] for token in old)
        return self._pay((len(old) + len(new) + matches) * min(len(old), len(new)))

    def _pay(self, steps: int) -> bool:
        if steps > self._steps:
            return False
        self._steps -= steps
        return True

    def _replaced(
        self, before: Sequence[Any], after: Sequence[Any], old: tuple[int, int], new: tuple[int, int]
    ) -> Iterator[_Pair]:
        """Yield pairs of items that took the place of each other: those that are new versions of old ones, in order."""
        n, m = old[1] - old[0], new[1] - new[0]
        if n == m == 1 or not n or not m or not self._pay(n * m * _STEPS_OF_TEXT):
            yield from _by_index(old, new)
            return
        alike = [[_likeness(before[i], after[j]) for j in range(*new)] for i in range(*old)]
        best = [[0.0] * (m + 1) for _ in range(n + 1)]  # the likeness of the best alignment of the rests
        for i in reversed(range(n)):
            for j in reversed(range(m)):
                both = best[i + 1][j + 1] + alike[i][j] if alike[i][j] >= _ALIKE else 0
                best[i][j] = max(both, best[i + 1][j], best[i][j + 1])
        i = j = 0
        while i < n and j < m:
            if alike[i][j] >= _ALIKE and best[i][j] == best[i + 1][j + 1] + alike[i][j]:
                yield old[0] + i, new[0] + j
                i, j = i + 1, j + 1
            elif best[i][j] == best[i + 1][j]:
                yield old[0] + i, None
                i += 1
            else:
                yield None, new[0] + j
                j += 1
        yield from ((old[0] + k, None) for k in range(i, n))
        yield from ((None, new[0] + k) for k in range(j, m))

    # --- Equality ---

    def _is_same(self, one: Any, other: Any) -> bool:
        return self._number(one) == self._number(other)

    def _number(self, value: Any) -> int:
        """Return a number that all values have that are the same JSON, and no others."""
        form: object = value  # None, text and numbers: 1 equals 1.0 in Python, too
        if isinstance(value, bool):
            form = ("bool", value)
        elif is_dict(value) or is_list(value):
            if id(value) in self._known:
                return self._known[id(value)][0]
            form = (
                frozenset((name, self._number(each)) for name, each in value.items())
                if is_dict(value)
                else ("list", *map(self._number, value))
            )
            number = self._numbers.setdefault(form, len(self._numbers))
            self._known[id(value)] = number, value
            return number
        return self._numbers.setdefault(form, len(self._numbers))


def _has_ids(blocks: Any) -> bool:
    return is_list(blocks) and all(is_dict(block) and isinstance(block.get("block_id"), str) for block in blocks)


def _by_id(blocks: Any) -> _Blocks:
    """Return index and block by id, and by its number among those with the same id."""
    seen: Counter[str] = Counter()
    found: _Blocks = {}
    for index, block in enumerate(blocks):
        block_id = block["block_id"]
        found[block_id, seen[block_id]] = index, block
        seen[block_id] += 1
    return found


def _is_marked(block: dict[str, Any]) -> bool:
    return any(block.get(name) for name in _MARKS)


def _inside(places: _Places, before: str | int, after: str | int) -> _Places:
    return (*places[0], before), (*places[1], after)


def _common_ends(old: Sequence[object], new: Sequence[object]) -> tuple[int, int]:
    """Return how many items are the same at the start, and how many of the rest at the end."""
    shorter = min(len(old), len(new))
    start = next((i for i in range(shorter) if old[i] != new[i]), shorter)
    rest = shorter - start
    return start, next((i for i in range(rest) if old[-1 - i] != new[-1 - i]), rest)


def _by_index(old: tuple[int, int], new: tuple[int, int]) -> Iterator[_Pair]:
    both = min(old[1] - old[0], new[1] - new[0])
    yield from ((old[0] + k, new[0] + k) for k in range(both))
    yield from ((i, None) for i in range(old[0] + both, old[1]))
    yield from ((None, j) for j in range(new[0] + both, new[1]))


def _likeness(one: Any, other: Any) -> float:
    """Return from 0 to 1 how much one value looks like a new version of another."""
    if is_dict(one) and is_dict(other):
        names = list({**one, **other})[:20]
        return sum(_likeness_of_fields(one.get(name), other.get(name)) for name in names) / (len(names) or 1)
    return _likeness_of_fields(one, other)


def _likeness_of_fields(one: Any, other: Any) -> float:
    if isinstance(one, str) and isinstance(other, str):
        words, others = (Counter(text[:_LONGEST_ALIKE].split()) for text in (one, other))
        return 1.0 if one == other else 2 * (words & others).total() / ((words + others).total() or 1)
    if is_dict(one) or is_list(one):
        return 0.5 if type(one) is type(other) else 0.0
    return 1.0 if type(one) is type(other) and one == other else 0.0
