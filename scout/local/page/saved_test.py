"""A run as a pytest file, which runs the workflow again with stubs for what cannot run there. No I/O."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateSyntaxError, nodes

from scout._json import as_line, is_dict, is_list, is_same, parse_json, redact, shorten, spell
from scout.local.blocks import TEXT, BlockFailedError, can_run, resolve_inputs, takes_inputs
from scout.local.plan import make_plan
from scout.local.run_logs import COMPLETED, FAILED, RUNNING
from scout.local.templates import is_text, words

from .saving import constant, needs_decimal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scout._json import PathInData
    from scout.local.plan import Plan
    from scout.local.run_logs import LoggedBlock, LoggedRun

# The names and filters of templates that give something else in another run, or in another process.
_CHANGING = {"__exp_global", "_env", "datetime", "random"}
_LONGEST_NAME = 40
_LONGEST_SHOWN = 200
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def as_test(run: LoggedRun, config: Mapping[str, Any], *, secrets: Iterable[str] = ()) -> tuple[str, str]:
    """Return a run as a pytest file that uses the fixture `scout_local`: its name and its text.

    The test runs the workflow with the same inputs. Input blocks and templates do their work again. A language model,
    a block that the local Scout cannot run, and a block that a stub or a function replaced, give what they gave in the
    run. A text that a template made of the time, of a random choice, of `_env` or of `__exp_global` takes the place of
    that template.

    The test of a completed run expects what templates made for the stubbed blocks, and the outputs. The test of a
    failed run expects the same error. The blocks that did not matter for a failure are without settings in it, and
    wait, so that none of them can fail first.

    Args:
        run: The run.
        config: The config that was run.
        secrets: Texts to redact.

    Raises:
        ValueError: The run has not ended, was cancelled, or failed by a fault of the local Scout itself.
    """
    if run.status == RUNNING:
        raise ValueError("the run has not ended")
    if run.was_cancelled:
        raise ValueError("the run was cancelled, so nothing is known that a test could expect")
    if run.status != COMPLETED and not any(map(_has_failed, run.blocks.values())):
        raise ValueError("the run failed, and none of its blocks did")
    saved = _Saved(run, config, list(secrets))
    return f"test_{saved.name}_{run.run_id.removeprefix('run_')[:8]}.py", saved.text()


@dataclass(frozen=True)
class _Saved:
    """A run, and what its test needs."""

    run: LoggedRun
    config: Mapping[str, Any]
    secrets: list[str]

    @property
    def name(self) -> str:
        """The name of the workflow as a part of a name in Python."""
        title = self.run.display_name or self.run.workflow_key or ""
        return re.sub(r"[^a-z0-9]+", "_", title.lower())[:_LONGEST_NAME].strip("_") or "workflow"

    @cached_property
    def state(self) -> Mapping[str, Any]:
        return self.run.state

    @cached_property
    def plan(self) -> Plan:
        return make_plan(self.config)

    @cached_property
    def failing(self) -> list[str]:
        """The blocks that failed the run."""
        failed = [block.block_id for block in self.run.blocks.values() if _has_failed(block)]
        return [block_id for block_id in failed if not self.plan.blocks[block_id].ignore_error]

    @cached_property
    def needed(self) -> list[LoggedBlock]:
        """The blocks without which the run might have ended otherwise."""
        logged = self.run.blocks
        if self.run.status == COMPLETED:
            return list(logged.values())
        # Many templates use the inputs without a dependency on the Input block, which completes at once.
        inputs = [each.block_id for each in logged.values() if takes_inputs(each.archetype) and each.has_entry]
        wanted = _reached([*self.failing, *inputs], {block.id: block.needs for block in self.plan.blocks.values()})
        return [block for block in logged.values() if block.block_id in wanted]

    @cached_property
    def stubbed(self) -> list[LoggedBlock]:
        return [block for block in self.needed if not self._does_it_again(block)]

    @cached_property
    def unrelated(self) -> list[str]:
        """The blocks of a failed run that did not matter for its failure, without those that never begin after it."""
        others = {block.block_id for block in self.needed} | _reached(self.failing, self.plan.followers)
        return [block_id for block_id in self.plan.blocks if self.failing and block_id not in others]

    def _does_it_again(self, block: LoggedBlock) -> bool:
        """Return True for a block that does the same without a stub."""
        if takes_inputs(block.archetype):
            try:
                resolved = resolve_inputs(self.plan.blocks[block.block_id].settings, parse_json(self.run.sent))
            except BlockFailedError as error:
                return str(error) == block.reason
            return is_same(resolved, self._entry(block))
        if block.inputs is None:
            # Its template failed, or nothing could run it, and then no template was rendered.
            return can_run(block.archetype) or block.template is None
        if block.archetype != TEXT:
            return False
        rendered = parse_json(block.inputs)
        return "text" not in rendered or is_same({"output": rendered["text"]}, self._entry(block))

    def _entry(self, block: LoggedBlock) -> Any:
        return self.state[block.block_id] if block.has_entry else None

    def _output(self, block: LoggedBlock) -> Any:
        """Return what a stub has to give for a block that completed."""
        entry = self.state[block.block_id]
        return entry if takes_inputs(block.archetype) else entry["output"]

    def _without_change(self) -> tuple[dict[str, Any], list[PathInData]]:
        """Return the config, with texts in the place of templates that give something else each time; and where.

        The blocks unrelated to a failure are without their settings, so that none of them can fail first.
        """
        places: list[PathInData] = []
        blocks: list[Any] = []
        definitions: Sequence[Mapping[str, Any]] = self.config.get("blocks") or ()
        for index, definition in enumerate(definitions):
            block = self.run.blocks.get(definition["block_id"])
            if definition["block_id"] in self.unrelated:
                blocks.append({name: value for name, value in definition.items() if name != "block_inputs"})
            elif block is not None and block.inputs is not None:
                place = ("blocks", index, "block_inputs")
                settings = _frozen(definition.get("block_inputs") or {}, parse_json(block.inputs), place, places)
                blocks.append({**definition, "block_inputs": settings} if settings else definition)
            else:
                blocks.append(definition)
        return {**self.config, "blocks": blocks} if blocks else dict(self.config), places

    def _rendered(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of stubbed blocks that templates made, by block id."""
        definitions = {definition["block_id"]: definition for definition in config.get("blocks") or ()}
        found: dict[str, Any] = {}
        for block in self.stubbed:
            before: Mapping[str, Any] = definitions[block.block_id].get("block_inputs") or {}
            after: Mapping[str, Any] = parse_json(block.inputs) if block.inputs is not None else {}
            made = {name: value for name, value in after.items() if not is_same(value, before[name])}
            if made and not takes_inputs(block.archetype):
                found[block.block_id] = made
        return found

    def _outputs(self) -> dict[str, Any]:
        """Return the outputs of the blocks that do their work again, and that of the run."""
        again = [block for block in self.needed if block not in self.stubbed and not takes_inputs(block.archetype)]
        last = self.run.blocks.get(self.run.output_block_id or "")
        blocks = again if last is None or last not in self.stubbed else [*again, last]
        entries = {block.block_id: self._entry(block) for block in blocks}
        return {block_id: entry["output"] for block_id, entry in entries.items() if entry and "output" in entry}

    def text(self) -> str:
        """Return the text of the file."""
        run = self.run
        config, places = self._without_change()
        has_failed = run.status != COMPLETED
        values = {
            "CONFIG": config,
            "INPUTS": parse_json(run.sent),
            "STUBS": {block.block_id: self._output(block) for block in self.stubbed if block.status == COMPLETED},
            "FAILURES": {block.block_id: block.reason for block in self.stubbed if block.status != COMPLETED},
            "UNRELATED": self.unrelated,
            "RENDERED": self._rendered(config),
            "OUTPUTS": {} if has_failed else self._outputs(),
            "ERRORS": parse_json(run.content)["run"]["errors"],
        }
        written = {name: value for name, value in values.items() if value or name in ("CONFIG", "INPUTS")}
        constants = "\n".join(constant(name, redact(value, self.secrets)) for name, value in written.items())
        return _TEMPLATES.get_template("saved_test.py.jinja").render(
            **values,
            constants=constants,
            needs_decimal=needs_decimal(constants),
            name=self.name,
            workflow=self._shown(run.display_name or run.workflow_key or "") or "without a name",
            run_id=self._shown(run.run_id),
            has_failed=has_failed,
            started=f"{run.started_at:%Y-%m-%d at %H:%M}",
            places=[self._shown(spell(place)) for place in places],
        )

    def _shown(self, text: str) -> str:
        return shorten(as_line(redact(text, self.secrets)), _LONGEST_SHOWN).strip()


def _has_failed(block: LoggedBlock) -> bool:
    return block.status == FAILED and not block.was_stopped


def _reached(starts: Iterable[str], ways: Mapping[str, Iterable[str]]) -> set[str]:
    """Return where one can get to from some blocks, with the blocks themselves."""
    found = set(starts)
    new = list(found)
    while new:
        more = set(ways.get(new.pop(), ())) - found
        found |= more
        new += more
    return found


def _frozen(template: Any, rendered: Any, place: PathInData, places: list[PathInData]) -> Any:
    """Return the settings of a block, with texts in the place of templates that give something else each time."""
    if isinstance(template, str) and _changes(template):
        places.append(place)
        return rendered if is_text(rendered) else f"{{{{ {json.dumps(rendered, ensure_ascii=False)} }}}}"
    if is_dict(template):
        return {key: _frozen(template[key], rendered[key], (*place, key), places) for key in template}
    if is_list(template):
        items = enumerate(zip(template, rendered, strict=True))
        return [_frozen(each, its, (*place, index), places) for index, (each, its) in items]
    return template


def _changes(template: str) -> bool:
    """Return True for a template that uses one of `_CHANGING`."""
    if not words([template]) & _CHANGING:
        return False
    try:
        tree = _TEMPLATES.parse(template)
    except (TemplateSyntaxError, RecursionError):
        return True
    names = {node.name for node in tree.find_all(nodes.Name)} | {node.name for node in tree.find_all(nodes.Filter)}
    return bool(names & _CHANGING)
