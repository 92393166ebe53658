"""Checks of what the templates of blocks use: names, blocks that are upstream, inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from scout._json import PathInData, is_dict, is_list, shorten

from ._graph import read_graph
from ._report import Part, Report, quoted
from ._spec import nearest, specification
from ._templates import can_parse, is_template, known_names, parse, read_simple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._graph import Block, Graph
    from ._spec import Specification
    from ._templates import Template, Use

__all__ = ["Input", "check_templates", "declared_inputs", "input_names"]

_MOST_CHARACTERS = 500_000
"""The most characters of templates that Jinja parses; some 5 seconds."""

_RESULT = "output"
_ABOUT_FIELDS = ("SW045", "SW050")
"""The rules that are about a field of a name, and not about the name."""


@dataclass(slots=True, eq=False)
class Input:
    """An input that a block declares: its item and its place."""

    key: str
    item: Mapping[str, Any]
    place: PathInData
    uses: int = 0


@dataclass(slots=True, eq=False)
class _Uses:
    """State of the check of the templates of a workflow."""

    graph: Graph
    report: Report
    specification: Specification
    inputs: dict[str, dict[str, Input]]
    has_input_block: bool
    used: set[tuple[str, str | None]] = field(default_factory=set[tuple[str, str | None]])
    guessed: set[str] = field(default_factory=set[str])
    is_whole: bool = True
    characters: int = 0


def declared_inputs(graph: Graph, report: Report, specification: Specification) -> dict[str, dict[str, Input]]:
    """Return the inputs that are declared, by the id of the block and by key. Report those that are declared twice."""
    declared: dict[str, dict[str, Input]] = {}
    for block in graph.blocks.values():
        items: Any = block.settings.get("items")
        if not specification.declares_inputs(block.archetype) or not is_list(items):
            continue
        inputs = declared.setdefault(block.id, {})
        for index, item in enumerate(items):
            key = item.get("key") if is_dict(item) else None
            if not isinstance(key, str) or not key:
                continue
            place = (*block.place, "block_inputs", "items", index, "key")
            if key in inputs:
                report.add("SW052", f"the input {quoted(key)} is declared twice", place, "remove one of them")
            else:
                inputs[key] = Input(key, item, place)
    return declared


def input_names(config: Mapping[str, Any]) -> list[str]:
    """Return the keys of the inputs that a config declares; none when it takes others as well, such as a trigger's."""
    spec = specification()
    graph = read_graph(config, ())
    archetypes = [block.archetype for block in graph.blocks.values()]
    if any(spec.takes_inputs(each) and not spec.declares_inputs(each) for each in archetypes):
        return []
    return [key for inputs in declared_inputs(graph, Report(), spec).values() for key in inputs]


def check_templates(
    graph: Graph, inputs: dict[str, dict[str, Input]], report: Report, specification: Specification
) -> None:
    """Report what is wrong with templates, and inputs that none of them uses."""
    cached: dict[int, list[tuple[PathInData, str]]] = {}  # by the ids of settings, which several blocks may share
    texts = [
        (block, cached.get(id(block.settings)) or cached.setdefault(id(block.settings), _templates_in(block.settings)))
        for block in (*graph.blocks.values(), *graph.others)
        # Values of inputs are not rendered.
        if not specification.takes_inputs(block.archetype)
    ]
    if any(found for _, found in texts) and not can_parse():
        report.add(
            "SW044", "templates were not checked, because Jinja is not installed", (),
            "install scout-workflows[cli], or jinja2",
        )  # fmt: skip
        return
    has_input_block = any(specification.takes_inputs(block.archetype) for block in graph.blocks.values())
    uses = _Uses(graph, report, specification, inputs, has_input_block)
    for block, found in texts:
        for place, text in found:
            if report.is_full:
                return
            template = read_simple(text)
            uses.characters += len(text) if template is None else 0
            if uses.characters > _MOST_CHARACTERS:
                report.add(
                    "SW044", "this template and those below were not checked, because there are too many",
                    (*block.place, "block_inputs", *place),
                )  # fmt: skip
                return
            _check_template(uses, block, (*block.place, "block_inputs", *place), text, template or parse(text))
    _check_unused(uses)


def _templates_in(settings: Mapping[str, Any]) -> list[tuple[PathInData, str]]:
    """Return the templates in the settings of a block, with their places, in the order of the file."""
    found: list[tuple[PathInData, str]] = []
    seen: set[int] = set()

    def walk(value: Any, place: PathInData) -> None:
        if id(value) in seen:
            return
        seen.add(id(value))
        for key, each in value.items() if is_dict(value) else enumerate(value):
            if isinstance(each, str):
                if is_template(each):
                    found.append(((*place, key), each))
            elif isinstance(each, dict | list):
                walk(each, (*place, key))

    walk(settings, ())
    return found


def _check_template(uses: _Uses, block: Block, place: PathInData, text: str, template: Template) -> None:
    report = uses.report
    if template.fault:
        uses.is_whole = False
        part = Part(text, template.fault.start, template.fault.text)
        report.add("SW040", f"the template is not valid: {shorten(template.fault.message, 200)}", place, part=part)
        return
    _check_filters(uses, template, place, text)
    told: set[str] = set()
    for use in template.uses:
        uses.used.add((use.root, use.step))
        problem = _problem_of(uses, block, use)
        # A name that is not there is told once, whatever fields of it are used.
        if problem is None or (problem.code not in _ABOUT_FIELDS and use.root in told):
            continue
        if use.may_be_missing and not problem.guess:
            continue
        told.add(use.root)
        written = use.text if problem.code in _ABOUT_FIELDS else use.root
        hint = f"did you mean {quoted(problem.guess)}?" if problem.guess else problem.advice
        report.add(problem.code, problem.message, place, hint, part=Part(text, use.start, written))


def _check_filters(uses: _Uses, template: Template, place: PathInData, text: str) -> None:
    for kind, name, index in template.unknown:
        found = nearest(name, known_names(kind))
        uses.report.add(
            "SW043", f"Jinja has no {kind} {quoted(name)}", place, f"did you mean {quoted(found)}?" if found else None,
            part=Part(text, index, name.split(".")[0]),
        )  # fmt: skip


class _Problem(NamedTuple):
    """A fault in the use of a name, with the name that was probably meant, or else some advice."""

    code: str
    message: str
    guess: str | None = None
    advice: str | None = None


def _problem_of(uses: _Uses, block: Block, use: Use) -> _Problem | None:
    """Return what is wrong with the use of a name; `None` when it is right."""
    graph, root = uses.graph, use.root
    if root not in graph.blocks:
        return None if _is_global(uses, root) else _unknown_name(uses, block, use)
    if root == block.id:
        message = f"block {quoted(root)} uses its own result"
        return _Problem("SW042", message, advice="use the result of a block before it")
    if not graph.is_upstream(root, block):
        message = f"block {quoted(block.id or '?')} uses {quoted(root)}, which has not run before it"
        advice = f"add {quoted(root)} to its dependencies, or to those of a block before it"
        return _Problem("SW042", message, advice=advice)
    if use.step is None or use.step == _RESULT:
        return None
    declared = uses.inputs.get(root)
    return _problem_of_result(uses, root, use.step) if declared is None else _problem_of_input(uses, use, declared)


def _problem_of_input(uses: _Uses, use: Use, declared: Mapping[str, Input]) -> _Problem | None:
    step = str(use.step)
    if step in declared:
        return None
    found = nearest(step, declared)
    if found:
        uses.guessed.add(found)
    shown = ", ".join(quoted(key) for key in list(declared)[:10])
    message = f"the input {quoted(step)} is not declared in block {quoted(use.root)}"
    return _Problem("SW050", message, found, f"declared are {shown}" if shown else None)


def _problem_of_result(uses: _Uses, root: str, step: str) -> _Problem | None:
    is_near = nearest(step, [_RESULT]) and not step[-1:].isdigit()  # `output_2` is a name of its own
    if not is_near or uses.specification.takes_inputs(uses.graph.blocks[root].archetype):
        return None
    message = f"{quoted(step)} is a field of block {quoted(root)} with a name near {quoted(_RESULT)}"
    return _Problem("SW045", message, f"{root}.{_RESULT}")


def _is_global(uses: _Uses, root: str) -> bool:
    known = uses.specification.template_globals
    # Names that begin so are reserved, and perhaps not all are known.
    if root in known or (root.startswith("__") and nearest(root, known) is None):
        return True
    # Without a block for them, the inputs of a run are `inputs`.
    return root == "inputs" and not uses.has_input_block


def _unknown_name(uses: _Uses, block: Block, use: Use) -> _Problem:
    root = use.root
    for block_id, declared in uses.inputs.items():
        if root in declared:
            uses.used.add((block_id, root))
            return _Problem("SW041", f"{quoted(root)} is an input, and not a block", f"{block_id}.{root}")
    found = nearest(
        root, [*(each for each in uses.graph.blocks if each != block.id), *uses.specification.template_globals]
    )
    if found in uses.inputs:
        uses.used.add((found, use.step))
    elif root == "inputs" and uses.inputs:
        found = next(iter(uses.inputs))
        uses.used.add((found, use.step))
    return _Problem("SW041", f"{quoted(root)} is neither a block nor a global name", found, "use the id of a block")


def _check_unused(uses: _Uses) -> None:
    known = uses.specification.archetypes
    # Blocks of other kinds may read inputs in other ways.
    if not uses.is_whole or any(block.archetype not in known for block in uses.graph.blocks.values()):
        return
    used = uses.used
    for block_id, declared in uses.inputs.items():
        if (block_id, None) in used or (block_id, _RESULT) in used:
            continue
        for key, each in declared.items():
            if (block_id, key) not in used and key not in uses.guessed:
                uses.report.add(
                    "SW051", f"the input {quoted(key)} is declared, and no template uses it", each.place,
                    f"use {quoted(f'{block_id}.{key}')}, or remove the input",
                )  # fmt: skip
