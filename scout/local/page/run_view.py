"""The page of one run: from its log and its trace to the values of the template. No HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from scout._json import parse_json, write_json
from scout.errors import ConfigurationError
from scout.graph import graph_of
from scout.local.run_logs import RUNNING, LoggedBlock, LoggedRun
from scout.results import BlockRun, RunStatus
from scout.timeline import duration_text, headline, make_timeline

from .views import row

if TYPE_CHECKING:
    from collections.abc import Callable

    from scout.local.traces import Trace

    from .app import PageData

_LONGEST_TEXT = 10_000  # characters that are shown at once; the rest is a link away
_STATUS_OF_BLOCK = {"running": RunStatus.STARTED, "completed": RunStatus.COMPLETED, "failed": RunStatus.FAILED}


def run(data: PageData, run: LoggedRun) -> dict[str, Any]:
    """Return the values for `run.html`."""
    trace = data.history.traces.of(run.run_id)
    config = config_of(data, run, trace)
    definitions = {each["block_id"]: each for each in (config or {}).get("blocks") or ()}
    started = list(run.blocks.values())
    known = {block.block_id for block in started}
    ids = [*definitions, *(block_id for block_id in known if block_id not in definitions)]
    places = {block_id: f"block-{number}" for number, block_id in enumerate(ids)}
    blocks = [_block(run, run.blocks.get(each), definitions.get(each, {}), places[each], each) for each in ids]
    return {
        "run": row(run),
        "is_running": run.status == RUNNING,
        "inputs": _pretty(parse_json(run.sent)),
        "graph": None if config is None else _graph(config, run),
        "timeline": Markup(_timeline(run, definitions).to_svg()),  # all text in it is escaped
        "blocks": blocks,
        "places": places,
        "is_stream": trace is not None and trace.is_stream,
        "has_trace": trace is not None,
        "response": None if run.status == RUNNING else shown(_pretty(parse_json(run.content))),
    }


def config_of(data: PageData, run: LoggedRun, trace: Trace | None) -> Mapping[str, Any] | None:
    """Return the config that was run; `None` when it is not known any more."""
    if run.revision_id is not None:
        return data.store.config_of(run.workflow_id, run.revision_id)
    return None if trace is None else trace.request.json["workflow_config"]


def _graph(config: Mapping[str, Any], run: LoggedRun) -> Any:
    graph = graph_of(config, run.output_block_id)
    try:
        return Markup(graph.to_svg())  # all text in it is escaped
    except ConfigurationError:  # too large for a picture, or without the extra
        return graph.to_text()


def _timeline(run: LoggedRun, definitions: Mapping[str, Mapping[str, Any]]) -> Any:
    blocks = [
        BlockRun(
            id=block.block_id,
            archetype=block.archetype,
            status=_STATUS_OF_BLOCK[block.status],
            started=block.started_at,
            ended=block.ended_at,
            price=float(block.price),
            error=block.message or None,
            dependencies=tuple(
                each["block_id"] for each in definitions.get(block.block_id, {}).get("dependencies") or ()
            ),
        )
        for block in list(run.blocks.values())
    ]
    return make_timeline(blocks, headline(run.run_id, run.status, None))


def _block(
    run: LoggedRun, block: LoggedBlock | None, definition: Mapping[str, Any], place: str, block_id: str
) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": block_id,
        "place": place,
        "title": definition.get("block_display_name") or block_id,
        "archetype": definition.get("block_archetype_id") or (block.archetype if block else ""),
        "status": "waiting",
        "inputs": None,
        "output": None,
        "message": "",
        "duration": "",
    }
    if block is None:
        return view
    entry = run.state.get(block_id) if block.has_entry else None
    return {
        **view,
        "status": block.status,
        "inputs": None if block.inputs is None else shown(_pretty(parse_json(block.inputs))),
        "output": None if entry is None else shown(_text_of(entry.get("output", entry))),
        "message": block.message,
        "duration": duration_text(block.seconds),
    }


# --- Events -------------------------------------------------------------------------------------------------------


def event_views(
    trace: Trace, first: int, most: int, plain: Callable[[str], str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield events of a run, each after its number: time, name, block, and the text as it was sent, if it was."""
    if not trace.is_stream:
        for number, (at, name, block_id) in enumerate(trace.steps[first : first + most], first):
            yield number, {"at": f"{at:.3f}", "name": plain(name), "block": plain(block_id or ""), "text": None}
        return
    for number, (at, frame) in enumerate(trace.parts[first : first + most], first):
        text = frame.decode("utf-8", "replace").rstrip("\n")
        name, _, body = text.removeprefix("event: ").partition("\ndata: ")
        try:
            facts: Any = parse_json(body)["data"]
            block_id = facts.get("block_id") or ""
        except (ValueError, TypeError, KeyError, AttributeError):  # spoiled by a fault
            block_id = ""
        yield number, {"at": f"{at:.3f}", "name": plain(name), "block": plain(block_id), "text": plain(body)}


# --- Texts --------------------------------------------------------------------------------------------------------


def shown(text: str) -> dict[str, Any]:
    """Return a text for the template: its beginning, and whether there is more."""
    return {"text": text[:_LONGEST_TEXT], "length": len(text), "is_cut": len(text) > _LONGEST_TEXT}


def _text_of(output: Any) -> str:
    return output if isinstance(output, str) else _pretty(output)


def _pretty(value: Any) -> str:
    return write_json(value, indent=2)
