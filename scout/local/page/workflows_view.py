"""The pages of stored workflows: from the store to the values of the templates. No HTTP."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from scout._json import parse_json
from scout.local.run_logs import LogFilters
from scout.local.store import Filters, NotThereError

from .run_view import picture_of
from .runs_view import clock_of, row

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scout.local.store import SavedState, Stored, StoredEnvironment

    from .app import PageData

_WORKFLOWS_OF_A_PAGE = 50
_MOST_STATES = 100
_MOST_RUNS = 20
_NO_NAME = "(without a name)"


def workflows(data: PageData, query: Mapping[str, str]) -> dict[str, Any]:
    """Return the values for `workflows.html`: those that changed last come first."""
    filters = Filters(sort="last_updated_at", descending=True, start_at=query.get("from"))
    page, following = data.store.page(filters, _WORKFLOWS_OF_A_PAGE)
    return {
        "workflows": [_workflow_row(each, data.store.environments(each.workflow_id)) for each in page],
        "older": None if following is None else f"/page/workflows?{urlencode({'from': following})}",
        "is_first": "from" not in query,
    }


def _workflow_row(workflow: Stored, environments: list[StoredEnvironment]) -> dict[str, Any]:
    return {
        "address": _address(workflow.workflow_id),
        "id": workflow.workflow_id,
        "key": workflow.workflow_key or "",
        "name": parse_json(workflow.config).get("workflow_display_name") or _NO_NAME,
        **_time(workflow.last_updated_at),
        "is_draft": workflow.is_draft,
        "environments": [{"name": each.name, "revision": each.pinned} for each in environments],
    }


def workflow(data: PageData, workflow_id: str, query: Mapping[str, str]) -> dict[str, Any]:
    """Return the values for `workflow.html`.

    Raises:
        NotThereError: The workflow or the chosen revision does not exist.
    """
    store = data.store
    states = store.states(workflow_id)
    deployed = next(state.revision_id for state in states if not state.is_draft)
    chosen = query.get("revision", deployed)
    config = store.config_of(workflow_id, chosen)
    if config is None:
        raise NotThereError(f"The workflow has no revision {chosen}.")
    environments = store.environments(workflow_id)
    runs_in: dict[str, list[str]] = {}
    for each in environments:
        runs_in.setdefault(each.pinned or deployed, []).append(each.name)
    address = _address(workflow_id)
    key = store.get(workflow_id).workflow_key
    name = config.get("workflow_display_name") or _NO_NAME
    return {
        "id": workflow_id,
        "key": key or "",
        "name": name,
        "description": config.get("workflow_description") or "",
        "chosen": chosen,
        "graph": picture_of(config, data.secrets),
        "states": [_state(each, address, runs_in) for each in states[:_MOST_STATES]],
        "more_states": len(states[_MOST_STATES:]),
        "environments": [
            {
                "name": each.name,
                "description": each.description,
                "revision": each.pinned or deployed,
                "address": _of_revision(address, each.pinned or deployed),
                "follows": each.pinned is None,
                **_time(each.last_updated_at),
            }
            for each in environments
        ],
        "runs": [row(run) for run in islice(data.history.logs.newest_first(LogFilters(workflow_id)), _MOST_RUNS)],
        "all_runs": f"/?{urlencode({'workflow': key or name})}",
    }


def _state(state: SavedState, address: str, runs_in: Mapping[str, list[str]]) -> dict[str, Any]:
    return {
        "id": state.revision_id,
        "address": _of_revision(address, state.revision_id),
        "name": state.name or "",
        "description": state.description or "",
        **_time(state.saved_at),
        "is_draft": state.is_draft,
        "runs_in": runs_in.get(state.revision_id, []),
    }


def _address(workflow_id: str) -> str:
    return f"/page/workflows/{quote(workflow_id, safe='')}"


def _of_revision(address: str, revision_id: str) -> str:
    return f"{address}?{urlencode({'revision': revision_id})}"


def _time(text: str) -> dict[str, str]:
    """Return a time of the store, which is empty when it is not known."""
    return {"at": text, "clock": clock_of(datetime.fromisoformat(text)) if text else ""}
