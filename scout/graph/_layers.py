"""The layers of a graph for the terminal: which blocks stand in which row, in which order, and at which column.

An edge that skips a row passes it as a `Via`. All edges from one block share the vias of a row, so there are few.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Edge = tuple[int, int]

_SWEEPS = 8


@dataclass(eq=False, slots=True)
class Item:
    """A box in a row, or the passage of the edges of a block through it."""

    node: int  # the block; of a passage the block where its edges begin
    is_box: bool
    width: int = 0
    x: int = 0
    port: int = 0  # the column where its edges leave it
    above: list[Item] = field(default_factory=list["Item"])
    below: list[Item] = field(default_factory=list["Item"])


def split(count: int, edges: Iterable[Edge]) -> tuple[list[Edge], list[Edge]]:
    """Return the edges that form no cycle, and the others. An edge of a block to itself is one of the others."""
    after: defaultdict[int, list[int]] = defaultdict(list)
    for source, target in edges:
        after[source].append(target)
    forward: list[Edge] = []
    back: list[Edge] = []
    state = [0] * count  # 1: begun, 2: done
    for start in range(count):
        if state[start]:
            continue
        state[start] = 1
        path = [(start, iter(after[start]))]
        while path:
            node, rest = path[-1]
            target = next(rest, -1)
            if target < 0:
                state[node] = 2
                path.pop()
                continue
            (back if state[target] == 1 else forward).append((node, target))
            if state[target] == 0:
                state[target] = 1
                path.append((target, iter(after[target])))
    return forward, back


def layers(count: int, edges: Sequence[Edge]) -> list[int]:
    """Return the layer of each node, from 0: below all nodes from which an edge leads to it."""
    after: defaultdict[int, list[int]] = defaultdict(list)
    waiting = [0] * count
    for source, target in edges:
        after[source].append(target)
        waiting[target] += 1
    found = [0] * count
    awaited = {target for _, target in edges}
    ready = [node for node in range(count) if not waiting[node]]
    for node in ready:  # which grows
        for target in after[node]:
            found[target] = max(found[target], found[node] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    for source, ends in after.items():
        if ends and source not in awaited:  # what waits for nothing stands just above what waits for it
            found[source] = min(found[target] for target in ends) - 1
    return found


def rows_of(count: int, edges: Sequence[Edge]) -> list[list[Item]]:
    """Return the rows of a graph without cycles, linked from row to row. They have no order yet."""
    layer = layers(count, edges)
    rows: list[list[Item]] = [[] for _ in range(max(layer, default=-1) + 1)]
    boxes = [Item(node, is_box=True) for node in range(count)]
    for box in boxes:
        rows[layer[box.node]].append(box)
    targets: defaultdict[int, list[int]] = defaultdict(list)
    for source, target in edges:
        targets[source].append(target)
    for source, ends in targets.items():
        at = boxes[source]
        in_row: defaultdict[int, list[Item]] = defaultdict(list)
        for end in ends:
            in_row[layer[end]].append(boxes[end])
        last = max(in_row)
        for number in range(layer[source] + 1, last + 1):
            found = in_row[number]
            if number < last:
                via = Item(source, is_box=False)
                rows[number].append(via)
                found.append(via)
            at.below = found
            for item in found:
                item.above.append(at)
            at = found[-1]
    return rows


def order(rows: list[list[Item]]) -> None:
    """Sort each row so that few edges cross: by the mean place of the neighbours, up and down, and keep the best."""
    best, fewest = [list(row) for row in rows], _crossings(rows)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for row, other in zip(rows[1:], rows, strict=False) if down else zip(rows[-2::-1], rows[:0:-1], strict=False):
            place = {id(item): number for number, item in enumerate(other)}
            own = {id(item): number for number, item in enumerate(row)}

            def mean(item: Item, place: dict[int, int] = place, own: dict[int, int] = own, down: bool = down) -> float:
                found = [place[id(each)] for each in (item.above if down else item.below)]
                return sum(found) / len(found) if found else own[id(item)]

            row.sort(key=mean)
        if (now := _crossings(rows)) < fewest:
            best, fewest = [list(row) for row in rows], now
    rows[:] = best


def _crossings(rows: list[list[Item]]) -> int:
    total = 0
    for row, below in pairwise(rows):
        place = {id(item): number for number, item in enumerate(below)}
        seen: list[int] = []
        for item in row:
            ends = sorted(place[id(each)] for each in item.below)
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def place(rows: Sequence[Sequence[Item]], width: int, gap: int) -> None:
    """Give each item a column: near its neighbours, in the order of its row, and within the width."""
    for row in rows:
        _put(row, [0.0] * len(row), width, gap)
    for _ in range(3):
        for row in rows[::-1]:
            _near(row, width, gap, up=False)
        for row in rows:
            _near(row, width, gap, up=True)


def _near(row: Sequence[Item], width: int, gap: int, *, up: bool) -> None:
    def centre(item: Item) -> float:
        found = [each.x + each.width / 2 for each in (item.above if up else item.below)]
        return sum(found) / len(found) if found else item.x + item.width / 2

    _put(row, [centre(item) - item.width / 2 for item in row], width, gap)


def _put(row: Sequence[Item], wanted: Sequence[float], width: int, gap: int) -> None:
    """Place a row as near to the wanted columns as its order allows (isotonic regression)."""
    taken = 0
    offsets: list[int] = []
    for item in row:
        offsets.append(taken)
        taken += item.width + gap
    spare = width - (taken - gap)
    blocks: list[tuple[float, int]] = []  # sums and numbers of what stands together
    for want, offset in zip(wanted, offsets, strict=True):
        total, number = want - offset, 1
        while blocks and blocks[-1][0] / blocks[-1][1] >= total / number:
            before = blocks.pop()
            total, number = total + before[0], number + before[1]
        blocks.append((total, number))
    columns = [min(max(round(total / number), 0), spare) for total, number in blocks for _ in range(number)]
    for item, column, offset in zip(row, columns, offsets, strict=True):
        item.x = column + offset
