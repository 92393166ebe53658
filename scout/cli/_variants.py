"""Variants of a workflow: changes of a copy of it, and never of the file.

`--set block.field=value` makes one change, and the patch of `--variant` many.
"""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from scout.cli import _inputs
from scout.cli._exits import UsageError
from scout.cli._inputs import Given
from scout.cli._spelling import suggestion
from scout.cli._terminal import talk

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scout import LoadedWorkflow

_INPUTS = "block_inputs"
_NAME = re.compile(r"[\w.-]+")


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option to a command that runs a file."""
    parser.add_argument_group("inputs").add_argument(
        "--set",
        action="append",
        default=[],
        type=lambda text: _inputs.pair(text, "BLOCK.FIELD")._replace(option="--set"),
        metavar="BLOCK.FIELD=VALUE",
        help="run with another value in the block_inputs of a block, such as llm.temperature=0.2, without a change of "
        "the file; := and @FILE as with --input; BLOCK..FIELD is a field of the block itself; may be repeated",
    )


def add_named(parser: argparse.ArgumentParser) -> None:
    """Add `--variant` to a command that runs a file in several variants."""
    parser.add_argument_group("inputs").add_argument(
        "--variant",
        action="append",
        default=[],
        type=_named,
        metavar="NAME=FILE",
        help="run the rows in a variant of the workflow, with the changes in a patch (YAML or JSON): a mapping of "
        "BLOCK.FIELD, or of BLOCK to a mapping of FIELD, to the value; NAME= is the workflow as it is; may be repeated",
    )


class Variant(NamedTuple):
    """A variant as it was given: its name, and the file with its patch, which is empty for none."""

    name: str
    file: str


def _named(text: str) -> Variant:
    name, equals, file = text.partition("=")
    if not equals or not _NAME.fullmatch(name):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not NAME=FILE, where the name has letters, digits, dots, hyphens and underscores"
        )
    return Variant(name, file)


def read_patch(variant: Variant, workflow: LoadedWorkflow) -> list[Given]:
    """Return the changes that a variant makes.

    Raises:
        UsageError: its file cannot be read, or is not a patch.
    """
    if not variant.file:
        return []
    patch = _inputs.parse(variant.file, _inputs.read_text(variant.file, f"the patch of --variant {variant.name}"))
    if not isinstance(patch, dict) or not patch:
        raise UsageError(f"--variant {variant.name}: {variant.file} must be a mapping, such as answer.temperature: 0.2")
    return [
        Given(name, value, is_json=True, option=f"--variant {variant.name}:")
        for key, values in cast("dict[str, Any]", patch).items()
        for name, value in _fields(key, values, workflow)
    ]


def _fields(key: str, values: Any, workflow: LoadedWorkflow) -> list[tuple[str, Any]]:
    if key in workflow.block_ids and isinstance(values, dict):
        return [(f"{key}.{field}", value) for field, value in cast("dict[str, Any]", values).items()]
    return [(key, values)]


def vary(workflow: LoadedWorkflow, changes: Iterable[Given]) -> LoadedWorkflow:
    """Return a copy of a workflow with other values in it.

    Raises:
        UsageError: a change names something that is not in the workflow, or makes it invalid.
    """
    from scout import WorkflowFileError, load_workflow

    changes = list(changes)
    if not changes:
        return workflow
    config: dict[str, Any] = _copy(workflow.config)
    for change in changes:
        _apply(config, change)
    try:
        load_workflow(config)
    except WorkflowFileError as error:
        raise UsageError(
            f"with {changes[0].option} this is not a workflow: {str(error).removeprefix('workflow: ')}"
        ) from None
    from dataclasses import replace  # slow to import

    return replace(workflow, config=config)


def _copy(value: Any) -> Any:
    """Copy mappings and lists, each place for itself: what YAML shares by aliases is not changed elsewhere."""
    if isinstance(value, dict):
        mapping = cast("dict[str, Any]", value)
        return {key: _copy(each) for key, each in mapping.items()}
    if not isinstance(value, list):
        return value
    return [_copy(each) for each in cast("list[object]", value)]


def _apply(config: dict[str, Any], change: Given) -> None:
    all_blocks: list[dict[str, Any]] = config.get("blocks") or []
    blocks = {str(block["block_id"]): block for block in all_blocks}
    block_id = _first(blocks, change.name)
    if block_id is None:
        wanted = change.name.partition(".")[0]
        found = suggestion(wanted, blocks) or f"; the blocks are {', '.join(blocks)}"
        raise UsageError(f"{change.option} {change.name}: there is no block {wanted}{found}")
    block, rest = blocks[block_id], change.name[len(block_id) + 1 :]
    if not rest.strip("."):
        raise UsageError(
            f"{change.option} {change.name}: name a field of the block as well, such as {block_id}.temperature"
        )
    if rest.startswith("."):
        _put(block, rest[1:], change, block_id)
        return
    if rest.partition(".")[0] == _INPUTS:
        shorter = rest.partition(".")[2] or "FIELD"
        raise UsageError(f"{change.option} {change.name}: {_INPUTS} is meant anyway; write {block_id}.{shorter}")
    inputs: Any = block.setdefault(_INPUTS, {})
    if not isinstance(inputs, dict):
        raise UsageError(f"{change.option} {change.name}: the {_INPUTS} of {block_id} are not a mapping")
    values = cast("dict[str, Any]", inputs)
    if _first(values, rest) is None and (own := _first(block, rest)) is not None:
        raise UsageError(
            f"{change.option} {change.name}: {own} is a field of the block, beside its {_INPUTS}; "
            f"write {block_id}..{rest}"
        )
    _put(values, rest, change, f"{_INPUTS} of {block_id}")


def _put(value: Any, path: str, change: Given, where: str) -> None:
    """Put the value of a change into a mapping or list. All but the last step of its path must exist."""
    from scout.workflow_files import kind_of

    while True:
        if isinstance(value, list):
            items = cast("list[object]", value)
            step, _, rest = path.partition(".")
            if not step.isdecimal() or int(step) >= len(items):
                held = f"0 to {len(items) - 1}" if items else "none, because it is empty"
                raise UsageError(
                    f"{change.option} {change.name}: {where} is a list; give the number of an item ({held})"
                )
            key: Any = int(step)
        elif isinstance(value, dict):
            fields = cast("dict[str, Any]", value)
            found = _first(fields, path)
            if found is None:
                _add(fields, path, change, where)
                return
            key, rest = found, path[len(found) + 1 :]
        else:
            raise UsageError(f"{change.option} {change.name}: {where} is {kind_of(value)}, and has no fields")
        container = cast("Any", value)
        if not rest:
            container[key] = _as_before(container[key], change)
            return
        where = f"item {key} of {where}" if isinstance(key, int) else f"{key} in {where}"
        value, path = container[key], rest


def _add(fields: dict[str, Any], path: str, change: Given, where: str) -> None:
    key, _, rest = path.partition(".")
    near = suggestion(key, fields)
    if rest or not key:
        raise UsageError(f"{change.option} {change.name}: {where} has no field {key!r}{near}")
    fields[key] = change.read()
    kind = "" if change.is_json else f", with text (for another kind of value write {change.name}:=JSON)"
    talk(f"{change.option} {change.name}: {key} is a new field of {where}{kind}{near}")


def _first(known: Iterable[str], path: str) -> str | None:
    """Return the longest name with which a path begins; names may hold dots."""
    return max((name for name in known if name and f"{path}.".startswith(f"{name}.")), key=len, default=None)


def _as_before(old: Any, change: Given) -> Any:
    """Return the value of a change; a text in place of a number or of true and false is read as one."""
    from scout.workflow_files import kind_of

    new = change.read()
    if change.is_json or old is None or isinstance(old, str):
        return new
    if isinstance(old, bool | int | float):
        try:
            value = _inputs.parse_value(new)
        except ValueError:
            value = None
        if kind_of(value) == kind_of(old):
            return value
    raise UsageError(
        f"{change.option} {change.name}: this replaces {kind_of(old)}, and {new!r} is none; "
        f"write {change.name}:=JSON for another kind of value, such as {change.name}:='\"text\"'"
    )
