"""Plan of a run: the blocks of a workflow, and their dependencies."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Detail = dict[str, Any]
"""One entry of a 422 response: `loc`, `msg`, `type`."""


class InvalidRequestError(Exception):
    """The request is invalid. `details` has places and reasons, in the form of the API's 422 responses."""

    def __init__(self, details: Sequence[Detail]) -> None:
        super().__init__("; ".join(str(detail["msg"]) for detail in details))
        self.details: list[Detail] = list(details)


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a workflow, read from its definition. `needs` holds the ids of the blocks that it depends on."""

    id: str
    archetype: str
    settings: Mapping[str, Any]
    needs: frozenset[str]
    is_output: bool
    ignore_error: bool
    definition: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """The blocks of a workflow by id, in the order of the config, and the blocks that depend on each (`followers`)."""

    blocks: Mapping[str, Block]
    followers: Mapping[str, Sequence[str]]
    output_block_id: str | None


def make_plan(config: Mapping[str, Any]) -> Plan:
    """Return the plan of a workflow config that fits the schema.

    Raises:
        InvalidRequestError: Two blocks have one id, a dependency does not exist, or blocks depend on each other.
    """
    definitions: Sequence[Mapping[str, Any]] = config.get("blocks") or []
    details = [*_repeated_ids(definitions), *_unknown_dependencies(definitions)]
    if details:
        raise InvalidRequestError(details)
    blocks = {block.id: block for block in map(_read_block, definitions)}
    followers = _followers(blocks)
    stuck = _blocks_in_or_after_cycles(blocks, followers)
    if stuck:
        raise InvalidRequestError([_cycle_detail(blocks, definitions, stuck)])
    return Plan(blocks, followers, _output_block_id(blocks, followers))


def _read_block(definition: Mapping[str, Any]) -> Block:
    return Block(
        id=definition["block_id"],
        archetype=definition["block_archetype_id"],
        settings=definition.get("block_inputs") or {},
        needs=frozenset(dependency["block_id"] for dependency in definition.get("dependencies") or ()),
        # Older configs, and all public ones, use `block_is_output`.
        is_output=bool(definition.get("is_output") or definition.get("block_is_output")),
        ignore_error=bool(definition.get("ignore_error")),
        definition=definition,
    )


def _detail(loc: Sequence[str | int], message: str) -> Detail:
    return {"type": "value_error", "loc": ["body", "workflow_config", "blocks", *loc], "msg": message}


def _repeated_ids(definitions: Sequence[Mapping[str, Any]]) -> Iterator[Detail]:
    first_at: dict[str, int] = {}
    for index, definition in enumerate(definitions):
        block_id = definition["block_id"]
        first = first_at.setdefault(block_id, index)
        if first != index:
            message = f'The id "{block_id}" is already taken by block number {first}, counted from 0.'
            yield _detail([index, "block_id"], message)


def _unknown_dependencies(definitions: Sequence[Mapping[str, Any]]) -> Iterator[Detail]:
    known = {definition["block_id"] for definition in definitions}
    for index, definition in enumerate(definitions):
        for number, dependency in enumerate(definition.get("dependencies") or ()):
            if dependency["block_id"] not in known:
                message = (
                    f'Block "{definition["block_id"]}" waits for "{dependency["block_id"]}",'
                    " but there is no block with that id."
                )
                yield _detail([index, "dependencies", number, "block_id"], message)


def _followers(blocks: Mapping[str, Block]) -> dict[str, list[str]]:
    followers: dict[str, list[str]] = defaultdict(list)
    for block in blocks.values():
        for needed in block.needs:
            followers[needed].append(block.id)
    return followers


def _blocks_in_or_after_cycles(blocks: Mapping[str, Block], followers: Mapping[str, Sequence[str]]) -> dict[str, Block]:
    """Return the blocks that can never run."""
    waiting = {block.id: len(block.needs) for block in blocks.values()}
    free = [block_id for block_id, count in waiting.items() if count == 0]
    while free:
        done = free.pop()
        del waiting[done]
        for follower in followers.get(done, ()):
            waiting[follower] -= 1
            if waiting[follower] == 0:
                free.append(follower)
    return {block_id: blocks[block_id] for block_id in waiting}


def _cycle_detail(
    blocks: Mapping[str, Block], definitions: Sequence[Mapping[str, Any]], stuck: Mapping[str, Block]
) -> Detail:
    # Every stuck block needs a stuck block, so that following the dependencies must end in a cycle.
    path: dict[str, None] = {}
    block_id = next(iter(stuck))
    while block_id not in path:
        path[block_id] = None
        block_id = min(needed for needed in stuck[block_id].needs if needed in stuck)
    walked = list(path)
    cycle = walked[walked.index(block_id) :]
    first = cycle[0]
    needed = cycle[1 % len(cycle)]
    index = list(blocks).index(first)
    number = next(
        number
        for number, dependency in enumerate(definitions[index]["dependencies"])
        if dependency["block_id"] == needed
    )
    shown = " -> ".join(f'"{name}"' for name in [*cycle[:10], *(["..."] if len(cycle) > 10 else []), first])
    message = f"These blocks wait for each other in a circle, so none can start: {shown}."
    return _detail([index, "dependencies", number, "block_id"], message)


def _output_block_id(blocks: Mapping[str, Block], followers: Mapping[str, Sequence[str]]) -> str | None:
    marked = [block.id for block in blocks.values() if block.is_output]
    if marked:
        return marked[0]
    leaves = [block_id for block_id in blocks if not followers.get(block_id)]
    return leaves[0] if len(leaves) == 1 else None
