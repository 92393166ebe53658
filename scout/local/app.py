"""The ASGI application of the local Scout: the endpoints of the API, authentication, and errors."""

from __future__ import annotations

import hmac
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from .engine import Engine, RunRequest
from .middleware import FAULT, REQUEST, RUNS, AccessReports, Entrance, RequestMiddleware
from .names import OwnNamesOnly
from .plan import Detail, InvalidRequestError
from .responses import EventStream, Json, RunResponse
from .run_logs import STATUSES, LogFilters, as_json
from .store import SORTS, Filters, InUseError, KeyTakenError, NotThereError, as_time
from .text import json_bytes
from .traces import Trace
from .validation import BOOLEANS, RequestRules, parse_body
from .workers import call_in_thread

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from .access import Access
    from .faults import Faults
    from .history import History
    from .store import Store, Stored, StoredEnvironment
    from .stubs import Stubs

# Bytes; larger bodies are parsed and checked in a thread, because that would delay other runs.
_SMALL_BODY = 256 * 1024
_USUAL_PAGE = 50
_LARGEST_PAGE = 1_000
_LATEST, _BY_ID = "latest", "revision_id"
_ALL_TRAFFIC = 100
_WHO = {"type": "api_key", "details": {"api_key": {"name": "local"}}}


def build_app(
    engine: Engine,
    *,
    store: Store,
    history: History,
    faults: Faults,
    api_key: str | None,
    on_access: Callable[[Access], None] | None,
    secrets: Sequence[str] = (),
    stubs: Stubs,
    has_page: bool,
) -> ASGIApp:
    """Return the ASGI application.

    Args:
        engine: Runs the workflows.
        store: Stores the workflows.
        history: Records requests and runs.
        faults: The simulated faults.
        api_key: The only accepted bearer key; `None` accepts any.
        on_access: A function to call after every response.
        secrets: Texts to redact in what `on_access` gets, and in the page.
        stubs: The stubs, which the page shows.
        has_page: Serve the page, and keep what only the page shows.
    """
    ends = _Endpoints(engine, store, history, keeps_traces=has_page)
    gate = _Gate(api_key)
    app = Starlette(
        routes=[
            gate.route("/v2/workflows", {"GET": ends.list, "POST": ends.create}),
            gate.route("/v2/workflows/execute", {"POST": ends.execute_config}),
            gate.route("/v2/workflows/revisions", {"POST": ends.create_revision}),
            gate.route("/v2/workflows/{workflow_id}", {"GET": ends.get, "PUT": ends.update, "DELETE": ends.delete}),
            gate.route("/v2/workflows/{workflow_id}/execute", {"POST": ends.execute}),
            gate.route("/v2/workflows/{workflow_id}/revisions", {"GET": ends.list_revisions}),
            gate.route(
                "/v2/workflows/{workflow_id}/revisions/{revision_id}",
                {"PUT": ends.rename_revision, "DELETE": ends.delete_revision},
            ),
            gate.route("/v2/workflows/{workflow_id}/revisions/{revision_id}/promote", {"PUT": ends.promote_revision}),
            gate.route("/v2/workflows/{workflow_id}/environments", {"GET": ends.list_environments}),
            gate.route("/v2/workflows/{workflow_id}/environments/{environment_id}", {"PUT": ends.update_environment}),
            gate.route("/v2/run_logs", {"GET": ends.list_run_logs}),
            gate.route("/v2/run_logs/details", {"GET": ends.get_run_log}),
        ],
        exception_handlers={
            HTTPException: _http_problem,
            NotThereError: _not_there,
            InUseError: _in_use,
            InvalidRequestError: _invalid_request,
            sqlite3.Error: _store_problem,
            Exception: _own_fault,
        },
    )
    # The API does not redirect to the same path with or without a slash at the end.
    app.router.redirect_slashes = False
    api: ASGIApp = OwnNamesOnly(RequestMiddleware(app, history, faults, keeps_refusals=has_page))
    if on_access is not None:
        api = AccessReports(api, on_access, secrets)
    if not has_page:
        return api

    def make_page() -> ASGIApp:
        from .page.app import PageData, build_page  # slow to import, and most servers are never looked at

        return OwnNamesOnly(build_page(PageData(store, history, faults, stubs, api_key, secrets), api))

    return Entrance(make_page, api)


@dataclass(frozen=True, slots=True)
class _Asked:
    """An authenticated request that fits the specification."""

    request: Request
    query: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def workflow_id(self) -> str:
        """The id of the workflow in the path."""
        return self.in_path("workflow_id")

    def is_true(self, name: str) -> bool:
        """Return True when a parameter of the query is given and true."""
        return BOOLEANS.get(self.query.get(name, "").lower(), False)

    def in_path(self, name: str) -> str:
        """Return a parameter of the path, decoded."""
        return unquote(self.request.path_params[name])


_Endpoint = Callable[[_Asked], Response]


# --- Checks --------------------------------------------------------------------------------------------------------


class _Gate:
    """Checks that requests have a key and fit the specification."""

    def __init__(self, api_key: str | None) -> None:
        self._api_key = None if api_key is None else api_key.encode()

    def route(self, path: str, endpoints: Mapping[str, _Endpoint]) -> Route:
        """Return the route of a path, with an endpoint for each method."""
        by_method = {
            method: partial(self._answer, RequestRules(path, method.lower()), endpoint)
            for method, endpoint in endpoints.items()
        }

        async def answer(request: Request) -> Response:
            return await by_method["GET" if request.method == "HEAD" else request.method](request)

        return Route(path, answer, methods=list(by_method))

    async def _answer(self, rules: RequestRules, endpoint: _Endpoint, request: Request) -> Response:
        self._authenticate(request)
        content = await request.body()
        if len(content) <= _SMALL_BODY:
            return endpoint(_checked(rules, request, content))
        return endpoint(await call_in_thread("scout-local-request", _checked, rules, request, content))

    def _authenticate(self, request: Request) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            message = 'There is no API key. Send it as the header "Authorization: Bearer <key>".'
            raise HTTPException(401, message, {"www-authenticate": "Bearer"})
        if self._api_key is not None and not hmac.compare_digest(key.encode("latin-1"), self._api_key):
            raise HTTPException(401, "The API key is not valid.", {"www-authenticate": "Bearer"})


def _checked(rules: RequestRules, request: Request, content: bytes) -> _Asked:
    """Check query and body against the specification.

    Raises:
        InvalidRequestError: they do not fit.
    """
    query = request.query_params
    details = rules.check_query(query)
    body: Any = {}
    if rules.takes_body:
        body, found = _checked_body(rules, request.headers.get("content-type"), content)
        details += found
    if details:
        raise InvalidRequestError(details)
    return _Asked(request, query, body)


def _checked_body(rules: RequestRules, content_type: str | None, content: bytes) -> tuple[Any, list[Detail]]:
    if not _says_json(content_type):
        message = "Input should be JSON: the content-type of the request says that it is something else"
        return None, [{"type": "model_attributes_type", "loc": ["body"], "msg": message}]
    try:
        body = parse_body(content)
    except InvalidRequestError as error:
        return None, error.details
    return body, rules.check_body(body)


def _says_json(content_type: str | None) -> bool:
    if content_type is None:  # the real server reads it as JSON, too
        return True
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


# --- Endpoints -----------------------------------------------------------------------------------------------------


class _Endpoints:
    """The endpoints: one method for each operation."""

    def __init__(self, engine: Engine, store: Store, history: History, *, keeps_traces: bool) -> None:
        self._engine = engine
        self._store = store
        self._history = history
        self._keeps_traces = keeps_traces

    def list(self, asked: _Asked) -> Response:
        """`GET /v2/workflows`: one page of the stored workflows."""
        limit = min(int(asked.query.get("limit", _USUAL_PAGE)), _LARGEST_PAGE)
        page, next_cursor = self._store.page(_filters(asked.query), limit)
        rest = json_bytes({"next_cursor": next_cursor, "has_more": next_cursor is not None})
        return _spliced(b'{"data":[', b",".join(map(_as_json, page)), b"],", rest[1:])

    def create(self, asked: _Asked) -> Response:
        """`POST /v2/workflows`: store a new workflow."""
        key = asked.query.get("workflow_key")
        if key == "":
            raise InvalidRequestError([_of_query("workflow_key", "it must not be empty", key)])
        try:
            return _workflow(self._store.create(asked.body, key))
        except KeyTakenError:
            message = "There is a workflow with this workflow_key already. Create a revision of it instead."
            raise HTTPException(409, message) from None

    def create_revision(self, asked: _Asked) -> Response:
        """`POST /v2/workflows/revisions`: store a new revision of a workflow."""
        workflow_id, key = asked.query.get("workflow_id"), asked.query.get("workflow_key")
        if (workflow_id is None) == (key is None):
            raise HTTPException(400, "Give either workflow_id or workflow_key, to say which workflow it is of.")
        if workflow_id is None:
            workflow_id = self._store.id_of(key or "")
        return _workflow(self._store.save(asked.body, workflow_id, deploy=True))

    def get(self, asked: _Asked) -> Response:
        """`GET /v2/workflows/{workflow_id}`: the newest saved state of a workflow."""
        return _workflow(self._store.get(asked.workflow_id))

    def update(self, asked: _Asked) -> Response:
        """`PUT /v2/workflows/{workflow_id}`: save a draft of a workflow."""
        return _workflow(self._store.save(asked.body, asked.workflow_id, deploy=False))

    def delete(self, asked: _Asked) -> Response:
        """`DELETE /v2/workflows/{workflow_id}`: delete a workflow."""
        self._store.delete(asked.workflow_id)
        return Json({"detail": "Workflow deleted"})

    def list_revisions(self, asked: _Asked) -> Response:
        """`GET /v2/workflows/{workflow_id}/revisions`: the revisions of a workflow, newest first, without drafts."""
        revisions = self._store.revisions(asked.workflow_id)
        return _spliced(b'{"data":[', b",".join(map(_as_json, revisions)), b"]}")

    def rename_revision(self, asked: _Asked) -> Response:
        """`PUT /v2/workflows/{workflow_id}/revisions/{revision_id}`: name a revision."""
        name, description = asked.body["name"], asked.body.get("description")
        return _workflow(
            self._store.rename_revision(asked.workflow_id, asked.in_path("revision_id"), name, description)
        )

    def delete_revision(self, asked: _Asked) -> Response:
        """`DELETE /v2/workflows/{workflow_id}/revisions/{revision_id}`: delete a revision that nothing runs."""
        self._store.delete_revision(asked.workflow_id, asked.in_path("revision_id"))
        return Json({"detail": "Revision deleted"})

    def promote_revision(self, asked: _Asked) -> Response:
        """`PUT /v2/workflows/{workflow_id}/revisions/{revision_id}/promote`: let a revision run in production."""
        return _workflow(self._store.promote(asked.workflow_id, asked.in_path("revision_id")))

    def list_environments(self, asked: _Asked) -> Response:
        """`GET /v2/workflows/{workflow_id}/environments`: the three environments of a workflow."""
        return Json({"data": [_environment(each) for each in self._store.environments(asked.workflow_id)]})

    def update_environment(self, asked: _Asked) -> Response:
        """`PUT /v2/workflows/{workflow_id}/environments/{environment_id}`: set what an environment runs."""
        environment = self._store.environment(asked.workflow_id, asked.in_path("environment_id"))
        revision_id = _revision_to_deploy(asked.body, environment)
        self._store.deploy(asked.workflow_id, environment.environment_id, asked.body["description"], revision_id)
        return Json({"success": True})

    def execute(self, asked: _Asked) -> Response:
        """`POST /v2/workflows/{workflow_id}/execute`: run a stored workflow."""
        environment = asked.query.get("environment", "production")
        state = self._store.to_run(asked.workflow_id, asked.query.get("revision_id"), environment)
        return self._run(asked, state.config, state.workflow_key, asked.workflow_id, state.revision_id)

    def execute_config(self, asked: _Asked) -> Response:
        """`POST /v2/workflows/execute`: run the workflow that comes with the request."""
        return self._run(asked, asked.body["workflow_config"], asked.body.get("workflow_key"))

    def list_run_logs(self, asked: _Asked) -> Response:
        """`GET /v2/run_logs`: one page of the runs of a stored workflow, newest first, as a stream."""
        filters = _log_filters(asked.query)
        limit = min(int(asked.query.get("limit", _USUAL_PAGE)), _LARGEST_PAGE)
        summary = asked.is_true("summary_only")
        self._store.check(filters.workflow_id)
        found = list(islice(self._history.logs.newest_first(filters), limit + 1))
        next_cursor = str(found.pop().number) if len(found) > limit else None

        async def rows() -> AsyncIterator[bytes]:
            configs: dict[str, Mapping[str, Any] | None] = {}
            for run in found:
                revision_id = run.revision_id or ""
                if revision_id not in configs:
                    configs = {revision_id: self._store.config_of(run.workflow_id, revision_id)}
                yield _row(as_json(run, configs[revision_id], summary=summary))
            yield _row(json_bytes({"final": True, "next_cursor": next_cursor, "has_more": next_cursor is not None}))

        return StreamingResponse(rows(), media_type="text/event-stream", headers={"cache-control": "no-cache"})

    def get_run_log(self, asked: _Asked) -> Response:
        """`GET /v2/run_logs/details`: one run of a stored workflow; the newest one of a session."""
        workflow_id, query = asked.query["workflow_id"], asked.query
        session_id, run_id = query.get("session_id"), query.get("workflow_run_id")
        if session_id is None and run_id is None:
            raise HTTPException(400, "Give session_id or workflow_run_id, to say which run it is.")
        self._store.check(workflow_id)
        filters = LogFilters(workflow_id, session_id=session_id, run_id=run_id)
        run = next(self._history.logs.newest_first(filters), None)
        if run is None:
            raise NotThereError("The log has no such run of this workflow. It has the newest runs of this server.")
        config = self._store.config_of(workflow_id, run.revision_id or "")
        return _spliced(as_json(run, config))

    def _run(
        self,
        asked: _Asked,
        config: Mapping[str, Any],
        key: str | None,
        workflow_id: str | None = None,
        revision_id: str | None = None,
    ) -> Response:
        call = RunRequest(
            workflow_config=config,
            inputs=asked.body.get("inputs") or {},
            workflow_key=key,
            environment=asked.query.get("environment", "production"),
            session_id=asked.query.get("session_id"),
            workflow_id=workflow_id,
            revision_id=revision_id,
        )
        streaming = asked.body.get("streaming", False)
        # The list is bound now, so that a reset before the start of the run drops this run as well.
        run = self._engine.run(call, partials=streaming, on_start=self._history.logs.add)
        asked.request.scope.get(RUNS, []).append(run)
        trace = None
        if self._keeps_traces:
            trace = Trace(asked.request.scope[REQUEST], is_stream=streaming)
            self._history.traces.add(run.log.run_id, trace)
        fault = asked.request.scope.get(FAULT)
        return EventStream(run, fault, trace) if streaming else RunResponse(run, fault, trace)


def _filters(query: Mapping[str, str]) -> Filters:
    """Return the filters and the order of a list. Stricter than the specification, which does not define values."""
    details: list[Detail] = []
    sort, direction, start_at = query.get("sort", SORTS[0]), query.get("direction", "asc"), query.get("start_at")
    if sort not in SORTS:
        details.append(_of_query("sort", f"the local Scout sorts by {' or '.join(SORTS)}", sort))
    if direction.lower() not in ("asc", "desc"):
        details.append(_of_query("direction", "it is asc or desc", direction))
    if start_at is not None:
        try:
            start_at = as_time(_moment(start_at))
        except (ValueError, OverflowError):
            details.append(_of_query("start_at", "it is a time, and comes from the next_cursor of a page", start_at))
    if details:
        raise InvalidRequestError(details)
    return Filters(
        sort=sort,
        descending=direction.lower() == "desc",
        start_at=start_at,
        words=tuple(query.get("query", "").split()),
        tags=tuple(tag.strip() for tag in query.get("tags", "").split(",") if tag.strip()),
    )


def _log_filters(query: Mapping[str, str]) -> LogFilters:
    """Return the filters of a list of runs. Stricter than the specification, which does not define values."""
    details: list[Detail] = []
    times: dict[str, datetime | None] = {}
    for name in ("start_date", "end_date"):
        try:
            times[name] = _moment(query[name]) if name in query else None
        except (ValueError, OverflowError):
            details.append(_of_query(name, "it is a time, such as 2025-01-10T15:33:04Z", query[name]))
    status, cursor = query.get("status"), query.get("cursor")
    if status not in (None, *STATUSES):
        details.append(_of_query("status", f"it is one of {', '.join(STATUSES)}", str(status)))
    if cursor is not None and not re.fullmatch(r"[0-9]{1,18}", cursor):
        details.append(_of_query("cursor", "it comes from the next_cursor of a page", cursor))
    if details:
        raise InvalidRequestError(details)
    return LogFilters(
        query["workflow_id"],
        since=times["start_date"],
        until=times["end_date"],
        status=status,
        session_id=query.get("session_id"),
        first=None if cursor is None else int(cursor),
    )


def _moment(text: str) -> datetime:
    """Return a time; without a time zone it is UTC.

    Raises:
        ValueError: The text is not a time.
        OverflowError: In UTC it is out of range.
    """
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _row(content: bytes) -> bytes:
    return b"data: %b\n\n" % content


def _revision_to_deploy(body: Mapping[str, Any], environment: StoredEnvironment) -> str | None:
    """Return the revision in the body of an update of an environment; `None` for the newest one.

    Stricter than the specification: what a new name or several deployments would mean is not documented.

    Raises:
        InvalidRequestError: The local Scout cannot do it.
    """
    details: list[Detail] = []
    if body["name"] != environment.name:
        message = f"the local Scout does not rename environments, and this one is {environment.name}"
        details.append(_of_body(("name",), message))
    deployments = body["deployments"]
    if len(deployments) != 1:
        message = "an environment of the local Scout has one deployment, which gets all the traffic"
        raise InvalidRequestError([*details, _of_body(("deployments",), message)])
    (deployment,) = deployments
    lookup, revision_id = deployment["revision_lookup"], deployment.get("revision_id")
    place = ("deployments", 0)
    if lookup not in (_LATEST, _BY_ID):
        details.append(_of_body((*place, "revision_lookup"), f"it is {_LATEST} or {_BY_ID}"))
    elif (revision_id is None) != (lookup == _LATEST):
        message = f"it goes with the revision_lookup {_BY_ID}, and with no other"
        details.append(_of_body((*place, "revision_id"), message))
    if deployment.get("traffic") not in (None, _ALL_TRAFFIC):
        message = f"the only deployment of an environment gets all the traffic, which is {_ALL_TRAFFIC}"
        details.append(_of_body((*place, "traffic"), message))
    if details:
        raise InvalidRequestError(details)
    return cast("str | None", revision_id)


def _of_body(place: Sequence[str | int], message: str) -> Detail:
    return {"type": "value_error", "loc": ["body", *place], "msg": f"Value error, {message}"}


def _of_query(name: str, message: str, value: str) -> Detail:
    return {"type": "value_error", "loc": ["query", name], "msg": f"Value error, {message}", "input": value[:200]}


def _workflow(stored: Stored) -> Response:
    return _spliced(b'{"data":', _as_json(stored), b"}")


def _spliced(*parts: bytes) -> Response:
    """Return a response of JSON texts joined together, because parsing a large config again would be slow."""
    return Response(b"".join(parts), media_type="application/json")


def _as_json(stored: Stored) -> bytes:
    facts = {
        "workflow_id": stored.workflow_id,
        "workflow_key": stored.workflow_key,
        "revision_id": stored.revision_id,
        "is_draft": stored.is_draft,
        "created_at": stored.created_at,
        "created_by": _WHO,
        "last_updated_at": stored.last_updated_at,
        "last_updated_by": _WHO,
    }
    return json_bytes(facts)[:-1] + b',"workflow_config":' + stored.config.encode() + b"}"


def _environment(environment: StoredEnvironment) -> dict[str, Any]:
    pinned = environment.pinned
    by = {"revision_lookup": _LATEST} if pinned is None else {"revision_lookup": _BY_ID, "revision_id": pinned}
    return {
        "environment_id": environment.environment_id,
        "environment_config": {"name": environment.name, "description": environment.description},
        "created_at": environment.created_at,
        "created_by": _WHO,
        "last_updated_at": environment.last_updated_at,
        "last_updated_by": _WHO,
        "deployments": [
            {
                "deployment_id": environment.deployment_id,
                "environment_id": environment.environment_id,
                "deployment_config": {**by, "traffic": _ALL_TRAFFIC},
                "created_at": environment.deployed_at,
                "created_by": _WHO,
            }
        ],
    }


# --- Problems ------------------------------------------------------------------------------------------------------


async def _http_problem(_: Request, error: Exception) -> Response:
    problem = cast("HTTPException", error)
    return Json({"detail": problem.detail}, problem.status_code, problem.headers)


async def _not_there(_: Request, error: Exception) -> Response:
    return Json({"detail": str(error)}, 404)


async def _in_use(_: Request, error: Exception) -> Response:
    return Json({"detail": str(error)}, 409)


async def _invalid_request(_: Request, error: Exception) -> Response:
    return Json({"detail": cast("InvalidRequestError", error).details}, 422)


async def _store_problem(_: Request, error: Exception) -> Response:
    return Json({"detail": f"The store of the local Scout cannot be used: {error}"}, 500)


async def _own_fault(_: Request, error: Exception) -> Response:
    return Json({"detail": f"The local Scout itself failed: {type(error).__name__}"}, 500)
