"""The page of one run: from its log and its trace to the values of the template, and its whole texts. No HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from scout._json import is_dict, is_list, parse_json, redact, write_json
from scout.errors import ConfigurationError
from scout.graph import graph_of
from scout.local.blocks import takes_inputs
from scout.local.run_logs import COMPLETED, FAILED, RUNNING, FailedTemplate, LoggedBlock, LoggedRun
from scout.results import BlockRun, RunStatus
from scout.timeline import duration_text, headline, make_timeline, price_text

from .runs_view import row

if TYPE_CHECKING:
    from scout.local.traces import Trace

    from .app import PageData

_LONGEST_VALUE = 80  # characters of a setting that stands beside its name; longer ones are texts below
_LINES_AROUND = 10  # of a template, before and after the line that failed
_LONGEST_LINE = 2_000  # characters
_LINE_BREAK = re.compile(r"\r\n|\r|\n")  # as Jinja counts lines

_STATUS_OF_BLOCK = {RUNNING: RunStatus.STARTED, COMPLETED: RunStatus.COMPLETED, FAILED: RunStatus.FAILED}


@dataclass(frozen=True, slots=True)
class _Block:
    """One block of a run: what the workflow says of it, and what it did, if it has started."""

    number: int
    id: str
    definition: Mapping[str, Any]
    log: LoggedBlock | None

    @property
    def place(self) -> str:
        return f"block-{self.number}"

    @property
    def archetype(self) -> str:
        return self.log.archetype if self.log else self.definition["block_archetype_id"]

    @property
    def status(self) -> str:
        if self.log is None:
            return "not started"
        return "stopped" if self.log.was_stopped else self.log.status

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(each["block_id"] for each in self.definition.get("dependencies") or ())


def run(data: PageData, run: LoggedRun) -> dict[str, Any]:
    """Return the values for `run.html`."""
    trace = data.history.traces.of(run.run_id)
    config = config_of(data, run, trace)
    blocks = _blocks(run, config)
    state = run.state
    return {
        "run": row(run),
        "is_running": run.status == RUNNING,
        "failed": [(each.id, each.place, each.log.reason) for each in blocks if each.log and each.status == FAILED],
        "inputs": _settings(run.sent),
        "graph": None if config is None else _graph(config, run, blocks, data.secrets),
        "timeline": Markup(_timeline(run, blocks, data.secrets)),  # all text in it is escaped
        "blocks": [_view(block, state, data.secrets) for block in blocks],
        "trace": trace,
    }


def config_of(data: PageData, run: LoggedRun, trace: Trace | None) -> Mapping[str, Any] | None:
    """Return the config that was run; `None` when it is not known any more."""
    if run.revision_id is not None:
        return data.store.config_of(run.workflow_id, run.revision_id)
    return None if trace is None else trace.request.json["workflow_config"]


def _blocks(run: LoggedRun, config: Mapping[str, Any] | None) -> list[_Block]:
    """Return the blocks in the order of the workflow; when it is not known, in the order in which they started."""
    started = dict(run.blocks)
    definitions = {each["block_id"]: each for each in (config or {}).get("blocks") or ()}
    ids = [*definitions, *(block_id for block_id in started if block_id not in definitions)]
    return [_Block(number, each, definitions.get(each, {}), started.get(each)) for number, each in enumerate(ids)]


def _graph(config: Mapping[str, Any], run: LoggedRun, blocks: list[_Block], secrets: Sequence[str]) -> Markup | str:
    ids = {block.id: redact(block.id, secrets) for block in blocks}
    statuses = {ids[block.id]: block.status for block in blocks if block.log}
    links = {ids[block.id]: f"#{block.place}" for block in blocks}
    return picture_of(config, secrets, run.output_block_id, statuses, links=links)


def picture_of(
    config: Mapping[str, Any],
    secrets: Sequence[str],
    output: str | None = None,
    statuses: Mapping[str, str] | None = None,
    *,
    links: Mapping[str, str] | None = None,
) -> Markup | str:
    """Return a graph as a picture, or as text when it is too large for one, or without the extra.

    It is redacted before names are cut, which leaves parts of secrets.
    """
    graph = graph_of(redact(config, secrets), redact(output, secrets))
    try:
        return Markup(graph.to_svg(statuses, links=links))  # all text in it is escaped
    except ConfigurationError:
        return graph.to_text()


def _timeline(run: LoggedRun, blocks: list[_Block], secrets: Sequence[str]) -> str:
    bars = [
        BlockRun(
            id=redact(block.id, secrets),
            archetype=block.log.archetype,
            status=_STATUS_OF_BLOCK[block.log.status],
            started=block.log.started_at,
            ended=block.log.ended_at,
            price=float(block.log.price),
            error=redact(block.log.message, secrets) or None,
            dependencies=redact(block.needs, secrets),
        )
        for block in blocks
        if block.log
    ]
    until = datetime.now(UTC) if run.status == RUNNING else None
    return make_timeline(bars, headline(run.run_id, run.status, None), until).to_svg()


def _view(block: _Block, state: Mapping[str, Any], secrets: Sequence[str]) -> dict[str, Any]:
    log = block.log
    ended = log is not None and log.status != RUNNING
    return {
        "id": block.id,
        "place": block.place,
        "number": block.number,
        "title": block.definition.get("block_display_name") or (log.display_name if log else "") or block.id,
        "archetype": block.archetype,
        "status": block.status,
        "message": log.reason if log else "",
        "template": log and log.template and _template(log.template, secrets),
        "inputs": log and log.inputs and _settings(log.inputs),
        "output": log and _output(log, state),
        "duration": duration_text(log.seconds) if log and ended else None,
        "price": price_text(float(log.price)) if log and log.price else None,
    }


def _output(block: LoggedBlock, state: Mapping[str, Any]) -> str | None:
    """Return the output of a block as text; `None` when it has none."""
    if block.status != COMPLETED:
        return None
    entry = state[block.block_id]
    return _text_of(entry if takes_inputs(block.archetype) else entry["output"])


def _settings(content: bytes) -> dict[str, Any]:
    """Return settings or inputs for people: texts and messages as the texts that they are, and all else beside names.

    Args:
        content: An object, as JSON.
    """
    texts: list[tuple[str, str]] = []
    facts: list[tuple[str, str]] = []
    for name, value in parse_json(content).items():
        text = value if isinstance(value, str) else write_json(value)
        if messages := _messages(name, value):
            texts += messages
        elif len(text) > _LONGEST_VALUE or "\n" in text:
            texts.append((name, _text_of(value)))
        else:
            facts.append((name, text))
    return {"texts": texts, "facts": facts}


def _messages(name: str, value: Any) -> list[tuple[str, str]]:
    """Return the texts of a list such as the `prompt_items` of an LLM block, each after its place and role."""
    texts: list[tuple[str, str]] = []
    for index, message in enumerate(value if is_list(value) else ()):
        if not (is_dict(message) and isinstance(message.get("content"), str)):
            return []
        rest = {key: each for key, each in message.items() if key not in ("role", "content")}
        facts = (f"{name}[{index}]", message.get("role"), write_json(rest) if rest else None)
        texts.append((", ".join(str(fact) for fact in facts if fact), message["content"]))
    return texts


def _template(template: FailedTemplate, secrets: Sequence[str]) -> dict[str, Any]:
    """Return the lines of a template around the one that failed."""
    lines = _LINE_BREAK.split(redact(template.source, secrets))
    first = max((template.line or 1) - 1 - _LINES_AROUND, 0)
    shown = lines[first : first + 2 * _LINES_AROUND + 1]
    return {
        "field": template.field,
        "line": template.line,
        "lines": [(number, line[:_LONGEST_LINE]) for number, line in enumerate(shown, first + 1)],
    }


# --- Events -------------------------------------------------------------------------------------------------------


def event_views(trace: Trace, first: int, most: int) -> list[dict[str, Any]]:
    """Return events of a run from a number on: number, time, name, block, whether it was sent, and a piece of text."""
    if not trace.is_stream:
        steps = enumerate(trace.steps[first : first + most], first)
        return [_event(number, at, name, block_id or "") for number, (at, name, block_id) in steps]
    views: list[dict[str, Any]] = []
    for number, (at, frame) in enumerate(trace.parts[first : first + most], first):
        name, _, body = frame.decode("utf-8", "replace").removeprefix("event: ").partition("\ndata: ")
        block_id, piece = "", None
        try:
            facts = parse_json(body)["data"]
            block_id = facts.get("block_id", "")
            if facts.get("update_type") == "partial":
                piece = facts["update_data"]["output"]
        except (ValueError, TypeError, KeyError, AttributeError):
            pass  # spoiled by a fault, and shown as it was sent
        views.append({**_event(number, at, name, block_id), "sent": True, "piece": piece})
    return views


def _event(number: int, at: float, name: str, block_id: str) -> dict[str, Any]:
    return {"number": number, "at": f"{at:.3f}", "name": name, "block": block_id, "sent": False, "piece": None}


# --- Whole texts --------------------------------------------------------------------------------------------------


def inputs_text(_: PageData, run: LoggedRun) -> str:
    """Return the inputs of a run."""
    return _pretty(parse_json(run.sent))


def response_text(_: PageData, run: LoggedRun) -> str | None:
    """Return the response to the run without streaming; `None` while it runs."""
    return _pretty(parse_json(run.content)) if run.status != RUNNING else None


def block_inputs_text(data: PageData, run: LoggedRun, number: int) -> str | None:
    """Return the rendered settings of a block; `None` when it has none."""
    log = _logged(data, run, number)
    return _pretty(parse_json(log.inputs)) if log and log.inputs else None


def block_output_text(data: PageData, run: LoggedRun, number: int) -> str | None:
    """Return the output of a block; `None` when it has none."""
    log = _logged(data, run, number)
    return _output(log, run.state) if log else None


def events_text(data: PageData, run: LoggedRun) -> str | None:
    """Return all events of a run as they were sent; `None` when they are not kept, or were not sent."""
    trace = data.history.traces.of(run.run_id)
    if trace is None or not trace.is_stream:
        return None
    return b"".join(frame for _, frame in list(trace.parts)).decode("utf-8", "replace")


def event_text(data: PageData, run: LoggedRun, number: int) -> str | None:
    """Return one event of a run as it was sent; `None` when it is not kept, or was not sent."""
    trace = data.history.traces.of(run.run_id)
    if trace is None or not trace.is_stream or number >= len(trace.parts):
        return None
    return trace.parts[number][1].decode("utf-8", "replace")


def _logged(data: PageData, run: LoggedRun, number: int) -> LoggedBlock | None:
    blocks = _blocks(run, config_of(data, run, data.history.traces.of(run.run_id)))
    return blocks[number].log if number < len(blocks) else None


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else _pretty(value)


def _pretty(value: Any) -> str:
    return write_json(value, indent=2)
