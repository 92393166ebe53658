"""The list of runs: from the history of the server to the values of its template. No HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

from scout.local.run_logs import STATUSES, LoggedRun
from scout.local.text import json_bytes
from scout.timeline import duration_text, price_text

if TYPE_CHECKING:
    from .app import PageData

T = TypeVar("T")

_RUNS_OF_A_PAGE = 100
_CANCELLED = "cancelled"
_SEARCHED_AT_ONCE = 256 * 1024  # bytes, after which another thread may go on
_LONGEST_NAME = 200  # characters of a workflow that can be chosen


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
    kept = data.history.logs.all()
    fitting = ((run.number, run) for run in reversed(kept) if _fits(run, **wanted))
    found, older = newest(fitting, _RUNS_OF_A_PAGE, "/", query)
    names = {workflow_of(run) for run in kept} | data.store.ids().keys()
    return {
        "runs": [row(run) for _, run in found],
        "workflows": sorted({name for name in names if len(name) <= _LONGEST_NAME} | {wanted["workflow"]} - {""}),
        "statuses": (*STATUSES, _CANCELLED),
        "wanted": wanted,
        "older": older,
        "is_filtered": any(wanted.values()) or "before" in query,
        "address": address,
        "has_key": data.api_key is not None,
    }


def _fits(run: LoggedRun, *, workflow: str, status: str, text: str) -> bool:
    return (
        workflow in ("", workflow_of(run), run.workflow_id)
        and status in ("", _status_of(run))
        and (not text or _has_text(run, text))
    )


def workflow_of(run: LoggedRun) -> str:
    """Return what names the workflow of a run: its key, or its name for people."""
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


def row(run: LoggedRun) -> dict[str, Any]:
    """Return the facts of a run, as the list and its own page show them."""
    return {
        "address": address_of(run),
        "place": f"run-{run.number}",
        "id": run.run_id,
        "name": run.display_name or workflow_of(run),
        "key": run.workflow_key,
        "workflow_id": run.workflow_id,
        "revision_id": run.revision_id,
        "status": _status_of(run),
        "message": run.message,
        "environment": run.environment,
        "session": run.session_id,
        "started": run.started_at.isoformat(timespec="milliseconds"),
        "clock": clock_of(run.started_at),
        "duration": duration_text(run.seconds),
        "price": price_text(float(sum(block.price for block in list(run.blocks.values())))),
    }


def newest(
    entries: Iterable[tuple[int, T]], most: int, address: str, query: Mapping[str, str]
) -> tuple[list[tuple[int, T]], str | None]:
    """Return the entries of one page of a list, and the address of the page with older ones, if there are any.

    Args:
        entries: All entries that fit, newest first, each after its number.
        most: How many a page has.
        address: The address of the list.
        query: The filters, of which empty ones say nothing; `before` is the number of the entry before the page.
    """
    before = int(query["before"]) if re.fullmatch("[0-9]{1,18}", query.get("before", "")) else None
    found = list(islice((entry for entry in entries if before is None or entry[0] < before), most + 1))
    if len(found) <= most:
        return found, None
    wanted = {**{name: text for name, text in query.items() if text}, "before": found[most - 1][0]}
    return found[:most], f"{address}?{urlencode(wanted)}"


def clock_of(moment: datetime) -> str:
    """Return a time as people here read it: without the date, if it is today."""
    here = moment.astimezone()
    is_today = here.date() == datetime.now(here.tzinfo).date()
    return here.strftime("%H:%M:%S" if is_today else "%b %d, %H:%M:%S")
