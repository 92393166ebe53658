"""What the page shows: from the history of the server to the values of the templates. No HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from markupsafe import Markup

from scout._json import parse_json, redact, write_json
from scout.errors import ConfigurationError
from scout.graph import graph_of
from scout.local.run_logs import RUNNING, STATUSES, LoggedBlock, LoggedRun
from scout.local.text import json_bytes
from scout.results import BlockRun, RunStatus
from scout.timeline import duration_text, headline, make_timeline, price_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from scout.local.traces import Trace

    from .app import PageData

_RUNS_OF_A_PAGE = 100
_CANCELLED = "cancelled"
_SEARCHED_AT_ONCE = 256 * 1024  # bytes, after which another thread may go on
_LONGEST_NAME = 200  # characters of a workflow that can be chosen
_LONGEST_TEXT = 10_000  # characters that are shown at once; the rest is a link away
_STATUS_OF_BLOCK = {"running": RunStatus.STARTED, "completed": RunStatus.COMPLETED, "failed": RunStatus.FAILED}


def address_of(run: LoggedRun) -> str:
    """Return the address of the page of a run."""
    return f"/page/runs/{quote(run.run_id, safe='')}"


# --- Runs ---------------------------------------------------------------------------------------------------------


def runs(data: PageData, query: Mapping[str, str], address: str) -> dict[str, Any]:
    """Return the values for `runs.html`: the runs that fit the filters, newest first.

    Args:
        data: The data of the page.
        query: The filters. `before` is the number of the run after those of this page.
        address: The URL of this server, as the browser knows it.
    """
    wanted = {name: query.get(name, "") for name in ("workflow", "status", "text")}
    before = int(query["before"]) if re.fullmatch("[0-9]{1,18}", query.get("before", "")) else None
    kept = data.history.logs.all()
    fitting = (run for run in reversed(kept) if (before is None or run.number < before) and _fits(run, **wanted))
    found = list(islice(fitting, _RUNS_OF_A_PAGE + 1))
    older = None
    if len(found) > _RUNS_OF_A_PAGE:
        found.pop()
        older = "/?" + urlencode({**{name: text for name, text in wanted.items() if text}, "before": found[-1].number})
    names = {_workflow_of(run) for run in kept} | data.store.ids().keys()
    return {
        "runs": [_row(run) for run in found],
        "workflows": sorted({name for name in names if len(name) <= _LONGEST_NAME} | {wanted["workflow"]} - {""}),
        "statuses": (*STATUSES, _CANCELLED),
        "wanted": wanted,
        "older": older,
        "is_filtered": any(wanted.values()) or before is not None,
        "address": address,
        "has_key": data.api_key is not None,
    }


def _fits(run: LoggedRun, *, workflow: str, status: str, text: str) -> bool:
    return (
        workflow in ("", _workflow_of(run), run.workflow_id)
        and status in ("", _status_of(run))
        and (not text or _has_text(run, text))
    )


def _workflow_of(run: LoggedRun) -> str:
    return run.workflow_key or run.display_name or "(without a name)"


def _status_of(run: LoggedRun) -> str:
    return _CANCELLED if run.was_cancelled else run.status


def _has_text(run: LoggedRun, text: str) -> bool:
    """Return True when a run has a text in a name, an id, an input, a prompt, an output or an error."""
    names = (run.display_name, run.workflow_key or "", run.run_id, run.session_id, run.workflow_id, run.message)
    if any(text.casefold() in each.casefold() for each in names):
        return True
    # As bytes of JSON, in which only the letters A-Z have two cases: casefolding 64 MiB would take seconds.
    wanted = json_bytes(text)[1:-1].lower()
    contents = (run.sent, run.content, *(block.inputs or b"" for block in list(run.blocks.values())))
    return any(
        wanted in content[start : start + _SEARCHED_AT_ONCE + len(wanted)].lower()
        for content in contents
        for start in range(0, len(content), _SEARCHED_AT_ONCE)
    )


def _row(run: LoggedRun) -> dict[str, Any]:
    started = run.started_at.astimezone()
    is_today = started.date() == datetime.now(started.tzinfo).date()
    return {
        "address": address_of(run),
        "place": f"run-{run.number}",
        "id": run.run_id,
        "name": run.display_name or _workflow_of(run),
        "key": run.workflow_key,
        "workflow_id": run.workflow_id,
        "revision_id": run.revision_id,
        "status": _status_of(run),
        "message": run.message,
        "environment": run.environment,
        "session": run.session_id,
        "started": run.started_at.isoformat(timespec="milliseconds"),
        "clock": started.strftime("%H:%M:%S" if is_today else "%b %d, %H:%M:%S"),
        "duration": duration_text(run.seconds),
        "price": price_text(float(sum(block.price for block in list(run.blocks.values())))),
    }


# --- One run ------------------------------------------------------------------------------------------------------


def run(data: PageData, run: LoggedRun) -> dict[str, Any]:
    """Return the values for `run.html`."""
    trace = data.history.traces.of(run.run_id)
    # Before names are cut, which would leave parts of a secret.
    config: Mapping[str, Any] | None = redact(config_of(data, run, trace), data.secrets)
    definitions = {each["block_id"]: each for each in (config or {}).get("blocks") or ()}
    started = list(run.blocks.values())
    known = {block.block_id for block in started}
    ids = [*definitions, *(block_id for block_id in known if block_id not in definitions)]
    places = {block_id: f"block-{number}" for number, block_id in enumerate(ids)}
    blocks = [_block(run, run.blocks.get(each), definitions.get(each, {}), places[each], each) for each in ids]
    return {
        "run": _row(run),
        "is_running": run.status == RUNNING,
        "inputs": _pretty(parse_json(run.sent)),
        "graph": None if config is None else _graph(config, run),
        "timeline": Markup(_timeline(run, definitions, data.secrets).to_svg()),  # all text in it is escaped
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


def _timeline(run: LoggedRun, definitions: Mapping[str, Mapping[str, Any]], secrets: Sequence[str]) -> Any:
    blocks = [
        BlockRun(
            id=redact(block.block_id, secrets),
            archetype=block.archetype,
            status=_STATUS_OF_BLOCK[block.status],
            started=block.started_at,
            ended=block.ended_at,
            price=float(block.price),
            error=redact(block.message, secrets) or None,
            dependencies=tuple(
                redact(each["block_id"], secrets)
                for each in definitions.get(block.block_id, {}).get("dependencies") or ()
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
