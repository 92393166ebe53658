"""The list of runs: from the history of the server to the values of its template. No HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from scout.local.run_logs import STATUSES, LoggedRun
from scout.timeline import duration_text, price_text

if TYPE_CHECKING:
    from .app import PageData

_RUNS_OF_A_PAGE = 100


def address_of(run: LoggedRun) -> str:
    """Return the address of the page of a run."""
    return f"/page/runs/{quote(run.run_id, safe='')}"


# --- Runs ---------------------------------------------------------------------------------------------------------


def runs(data: PageData, query: Mapping[str, str]) -> dict[str, Any]:
    """Return the values for `runs.html`: the runs that fit the filters, newest first."""
    wanted = {name: query.get(name, "") for name in ("workflow", "status", "text")}
    before = int(query["before"]) if query.get("before", "").isdecimal() else None
    kept = data.history.logs.all()
    fitting = (run for run in reversed(kept) if (before is None or run.number < before) and _fits(run, **wanted))
    found = list(islice(fitting, _RUNS_OF_A_PAGE + 1))
    older = None
    if len(found) > _RUNS_OF_A_PAGE:
        found.pop()
        older = "/?" + urlencode({**{name: text for name, text in wanted.items() if text}, "before": found[-1].number})
    return {
        "runs": [row(run) for run in found],
        "workflows": sorted({run.display_name for run in kept}),
        "statuses": STATUSES,
        "wanted": wanted,
        "older": older,
        "is_filtered": any(wanted.values()) or before is not None,
    }


def _fits(run: LoggedRun, *, workflow: str, status: str, text: str) -> bool:
    return (
        workflow in ("", run.display_name)
        and status in ("", run.status)
        and (not text or any(text.casefold() in each.casefold() for each in _searched(run)))
    )


def _searched(run: LoggedRun) -> Iterator[str]:
    """Yield the texts of a run in which a text is searched, the short ones first."""
    yield from (run.display_name, run.run_id, run.session_id, run.workflow_id, run.workflow_key or "", run.message)
    yield run.sent.decode()
    yield run.content.decode()


def row(run: LoggedRun) -> dict[str, Any]:
    """Return the facts of a run, as the list and its own page show them."""
    return {
        "address": address_of(run),
        "id": run.run_id,
        "name": run.display_name or "(without a name)",
        "key": run.workflow_key,
        "workflow_id": run.workflow_id,
        "revision_id": run.revision_id,
        "status": "cancelled" if run.was_cancelled else run.status,
        "message": run.message,
        "environment": run.environment,
        "session": run.session_id,
        "started": run.started_at.isoformat(timespec="milliseconds"),
        "clock": run.started_at.astimezone().strftime("%H:%M:%S"),
        "duration": duration_text(run.seconds),
        "price": price_text(float(sum(block.price for block in list(run.blocks.values())))),
    }
