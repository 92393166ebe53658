"""Checks of the graph: ids of blocks, dependencies, cycles, the output."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scout._json import PathInData, is_dict, is_list, objects_in, shorten, text_or_none

from ._report import quoted
from ._spec import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ._report import Report

__all__ = ["Block", "Graph", "check_graph", "read_graph"]

_MOST_NAMES = 10
_MOST_BLOCKS = 20_000
"""With more blocks, what is upstream of each of them takes too much memory."""


@dataclass(slots=True, eq=False)
class Block:
    """A block.

    Attributes:
        id: The id; empty when it has none.
        archetype: The archetype.
        settings: Its `block_inputs`; empty when they are not a mapping.
        place: Its place in the data.
        output_mark: The name of the field that marks it as the output.
        needs: The ids of the blocks that it depends on, by the places of these dependencies.
    """

    id: str
    archetype: str | None
    settings: Mapping[str, Any]
    place: PathInData
    output_mark: str | None
    needs: dict[PathInData, str] = field(default_factory=dict[PathInData, str])


@dataclass(slots=True, eq=False)
class Graph:
    """The blocks of a workflow.

    Attributes:
        blocks: The blocks, the first one of each id.
        others: Further blocks, with an id that is taken, or without one.
        placeholders: The ids of blocks that do not exist yet.
    """

    blocks: dict[str, Block]
    others: list[Block]
    placeholders: frozenset[str]
    stuck: set[str] = field(default_factory=set[str])
    _upstream: dict[str, int] = field(default_factory=dict[str, int])
    _bits: dict[str, int] = field(default_factory=dict[str, int])

    def is_upstream(self, one: str, of: Block) -> bool:
        """Return True when a block runs before another one; also when that is not known, as in a cycle."""
        upstream = self._upstream.get(of.id) if self.blocks.get(of.id) is of else self._upstream_of(of)
        return upstream is None or not self._bits or bool(upstream >> self._bits[one] & 1)

    def _upstream_of(self, block: Block) -> int:
        upstream = 0
        for needed in block.needs.values():
            if needed in self._upstream:
                upstream |= self._upstream[needed] | 1 << self._bits[needed]
        return upstream

    def note_upstream(self, order: Iterable[str]) -> None:
        """Note what is upstream of each block; a block stands in `order` behind those that it needs."""
        if len(self.blocks) > _MOST_BLOCKS:
            return
        self._bits = {block_id: number for number, block_id in enumerate(self.blocks)}
        for block_id in order:
            self._upstream[block_id] = self._upstream_of(self.blocks[block_id])


def read_graph(config: Mapping[str, Any], place: PathInData) -> Graph:
    """Return the blocks of a config."""
    graph = Graph({}, [], frozenset(_ids_of(config.get("placeholders"))))
    blocks: Any = config.get("blocks")
    for index, each in enumerate(blocks if is_list(blocks) else ()):
        if not is_dict(each):
            continue
        block_id = text_or_none(each.get("block_id")) or ""
        here = (*place, "blocks", index)
        settings: Any = each.get("block_inputs")
        block = Block(
            block_id,
            text_or_none(each.get("block_archetype_id")),
            settings if is_dict(settings) else {},
            here,
            next((name for name in ("is_output", "block_is_output") if each.get(name)), None),
        )
        dependencies: Any = each.get("dependencies")
        for number, edge in enumerate(dependencies if is_list(dependencies) else ()):
            needed = edge.get("block_id") if is_dict(edge) else None
            if isinstance(needed, str):
                block.needs[*here, "dependencies", number, "block_id"] = needed
        if not block_id or block_id in graph.blocks:
            graph.others.append(block)
        else:
            graph.blocks[block_id] = block
    return graph


def _ids_of(placeholders: Any) -> list[str]:
    return [each["block_id"] for each in objects_in(placeholders) if isinstance(each.get("block_id"), str)]


def check_graph(graph: Graph, report: Report) -> None:
    """Report what is wrong with ids, dependencies and the output."""
    for block in (each for each in graph.others if each.id):
        first = graph.blocks[block.id].place[-1]
        report.add(
            "SW030", f"the id {quoted(block.id)} is taken: block number {int(first) + 1} has it",
            (*block.place, "block_id"), "give every block an id of its own",
        )  # fmt: skip
    for block in (*graph.blocks.values(), *graph.others):
        for place, needed in block.needs.items():
            if needed == block.id:
                report.add("SW032", f"block {quoted(block.id)} depends on itself", place, "remove the dependency")
            elif needed not in graph.blocks and needed not in graph.placeholders:
                if report.is_full:
                    return
                found = nearest(needed, (each for each in graph.blocks if each != block.id))
                report.add(
                    "SW031", f"block {quoted(block.id or '?')} depends on {quoted(needed)}, and no block has this id",
                    place, f"did you mean {quoted(found)}?" if found else None,
                )  # fmt: skip
    order = _order(graph)
    graph.note_upstream(order)
    graph.stuck = graph.blocks.keys() - set(order)
    for cycle in _cycles(graph):
        shown = [
            shorten(each, 80)
            for each in (*cycle[:_MOST_NAMES], *(["..."] if len(cycle) > _MOST_NAMES else ()), cycle[0])
        ]
        block = graph.blocks[cycle[0]]
        place = next(place for place, needed in block.needs.items() if needed == cycle[1])
        report.add(
            "SW033", f"these blocks wait for each other: {' -> '.join(shown)}", place,
            "remove one of these dependencies",
        )  # fmt: skip
    _check_output(graph, report)


def _needs(graph: Graph, block_id: str) -> set[str]:
    """Return the existing blocks that a block needs, without itself."""
    return {each for each in graph.blocks[block_id].needs.values() if each in graph.blocks and each != block_id}


def _order(graph: Graph) -> list[str]:
    """Return the blocks, each behind those that it needs, without those in and behind cycles."""
    followers: dict[str, list[str]] = defaultdict(list)
    waiting: dict[str, int] = {}
    for block_id in graph.blocks:
        needs = _needs(graph, block_id)
        waiting[block_id] = len(needs)
        for each in needs:
            followers[each].append(block_id)
    order = [block_id for block_id, count in waiting.items() if count == 0]
    for done in order:
        for each in followers.get(done, ()):
            waiting[each] -= 1
            if waiting[each] == 0:
                order.append(each)
    return order


def _cycles(graph: Graph) -> list[Sequence[str]]:
    """Return cycles, each from its first block in the file on; of those that overlap only some."""
    number = {block_id: index for index, block_id in enumerate(graph.blocks)}
    walked: set[str] = set()
    cycles: list[Sequence[str]] = []
    for start in (block_id for block_id in graph.blocks if block_id in graph.stuck):
        path: dict[str, None] = {}
        block_id = start
        # Every block here needs another one of them, so that following them must end in a cycle.
        while block_id not in path and block_id not in walked:
            path[block_id] = None
            block_id = min((each for each in _needs(graph, block_id) if each in graph.stuck), key=number.__getitem__)
        walked.update(path)
        if block_id in path:
            cycle = list(path)[list(path).index(block_id) :]
            first = cycle.index(min(cycle, key=number.__getitem__))
            cycles.append(cycle[first:] + cycle[:first])
    return cycles


def _check_output(graph: Graph, report: Report) -> None:
    blocks = graph.blocks.values()
    marked = [block for block in blocks if block.output_mark]
    for block in marked[1:]:
        report.add(
            "SW034", f"block {quoted(marked[0].id)} is marked as the output as well, and only the first one counts",
            (*block.place, str(block.output_mark)), "mark one block", at_key=True,
        )  # fmt: skip
    if marked or graph.stuck:
        return
    awaited = {needed for block in blocks for needed in block.needs.values()}
    leaves = [block for block in blocks if block.id not in awaited]
    if len(leaves) > 1:
        shown = ", ".join(quoted(block.id) for block in leaves[:_MOST_NAMES])
        shown += ", ..." if len(leaves) > _MOST_NAMES else ""
        report.add(
            "SW035", f"no block is marked as the output, and a run ends in several ({shown}), so it has no one answer",
            leaves[0].place[:-1], "write `is_output: true` in the block that gives the answer", at_key=True,
        )  # fmt: skip
