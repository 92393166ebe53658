"""Builders of requests: validate the arguments of a call and return a `Request`. No I/O."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ._json import LONG, MAX_REPEATED, is_list, is_mapping, json_fault, write_json
from ._logs import STATUSES
from ._retry import foreign
from .errors import ConfigurationError, WorkflowFileError
from .results import StoredWorkflow, WorkflowEnvironment, parse_timestamp
from .workflow_files import LoadedWorkflow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scout_generated import AuthenticatedClient
    from scout_generated.models.workflow_config import WorkflowConfig

    from ._config import Secret
    from .environments import Environment

__all__ = [
    "OWN_SESSION",
    "RUN_MAY_HAVE_STARTED",
    "AuthenticatedClient",
    "Request",
    "WorkflowConfig",
    "checked_body",
    "create_request",
    "delete_request",
    "delete_revision_request",
    "environment_request",
    "environments_request",
    "execute_request",
    "execute_stored_request",
    "get_request",
    "list_request",
    "new_session_id",
    "promote_request",
    "raw_client",
    "rename_revision_request",
    "revision_request",
    "revisions_request",
    "run_log_request",
    "run_logs_request",
    "update_request",
    "with_inputs",
    "without_session",
]


def __getattr__(name: str) -> Any:
    # Imported on first use, because importing attrs classes is slow.
    if name == "WorkflowConfig":
        from scout_generated.models.workflow_config import WorkflowConfig

        return WorkflowConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


RUN_MAY_HAVE_STARTED = "the run may have started"

# The generated modules are imported inside the functions, because most programs use one or two of them. Each name is
# written out, so that a freezer such as PyInstaller finds it.


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request, without the host and the key.

    Attributes:
        method: The HTTP method.
        path: The path, with everything in it encoded.
        query: Names and values.
        body: The body, as JSON in UTF-8.
        headers: Additional headers of this call.
        repeatable: True for an idempotent request, which may be repeated when its outcome is unknown.
        unknown_outcome: The part of an error message that says what the server may have done when the outcome is
            unknown; empty for a request that changes nothing.
        operation: The name of the operation in `openapi.yaml`.
        workflow_id: The id of the stored workflow; `None` when the request is not about one.
        workflow_key: The key of the workflow that is sent along; `None` when it has none, or none is sent.
        session_id: For a run, the session that was named, by the caller or here.
    """

    method: str
    path: str
    query: Mapping[str, Any]
    body: bytes
    headers: Mapping[str, str]
    repeatable: bool
    unknown_outcome: str
    operation: str
    workflow_id: str | None = None
    workflow_key: str | None = None
    session_id: str | None = None


def new_session_id() -> str:
    """Return an id for the session of one run, by which the run can be found in the logs later."""
    return f"{OWN_SESSION}{os.urandom(16).hex()}"


OWN_SESSION = "scout-py-"
"""The beginning of the session ids that are made here. People see them in the logs; recordings leave them out."""


def execute_request(
    workflow: LoadedWorkflow, inputs: Mapping[str, Any] | None, *, workflow_key: str | None = None, **options: Any
) -> Request:
    """Build `POST /v2/workflows/execute`. Source: https://docs.scoutos.com (API, Workflows).

    Raises:
        ConfigurationError: an argument cannot be sent.
        WorkflowFileError: the workflow cannot be sent.
    """
    from scout_generated.operations.execute_workflow_config import get_kwargs

    key = workflow_key if workflow_key is not None else workflow.key
    _check_text("workflow_key", key)
    config = {"workflow_config": workflow.config, "workflow_key": key}
    return _run_request(get_kwargs, config, inputs, operation="execute_workflow_config", workflow_key=key, **options)


def execute_stored_request(
    workflow_id: str,
    inputs: Mapping[str, Any] | None,
    *,
    workflow_key: None = None,
    session_id: str | None = None,
    **options: Any,
) -> Request:
    """Build `POST /v2/workflows/{workflow_id}/execute`. Raises as `execute_request`.

    A run without a session gets one of its own, so that its log can be found when its outcome is unknown.
    """
    from scout_generated.operations.execute_workflow import get_kwargs

    if workflow_key is not None:
        raise ConfigurationError(
            "workflow_key is not for a stored workflow, which has a key of its own; it is an option of Scout.execute "
            "and Scout.stream"
        )
    segment = _segment(workflow_id)
    return _run_request(
        partial(get_kwargs, segment),
        {},
        inputs,
        session_id=session_id or new_session_id(),
        operation="execute_workflow",
        workflow_id=workflow_id,
        **options,
    )


def _run_request(
    make: Callable[..., dict[str, Any]],
    config: Mapping[str, Any],
    inputs: Mapping[str, Any] | None,
    *,
    streaming: bool = False,
    environment: Environment | None = None,
    revision_id: str | None = None,
    session_id: str | None = None,
    **extra: Any,
) -> Request:
    _check_mapping("inputs", inputs)
    _check_text("revision_id", revision_id)
    _check_text("session_id", session_id)
    parts = make(
        body=_body({**config, "inputs": inputs, "streaming": streaming}),
        environment=environment.value if environment is not None else None,
        revision_id=revision_id,
        session_id=session_id,
    )
    request = _request(parts, repeatable=False, unknown_outcome=RUN_MAY_HAVE_STARTED, **extra)
    sent: Any = request.query.get("session_id")  # that of extra_query, if it names one
    return replace(request, session_id=str(sent) if isinstance(sent, str | int) else None)


def with_inputs(request: Request, inputs: Mapping[str, Any], session_id: str | None) -> Request:
    """Return the request of a run with inputs, made from one that was built without.

    The config is not written again, which for many rows is most of the work.

    Args:
        request: The request, whose body holds no inputs.
        inputs: The inputs.
        session_id: The session of the run; `None` for that of the request, or none.

    Raises:
        ConfigurationError: the inputs cannot be sent.
    """
    _check_mapping("inputs", inputs)
    body = b"%s,%s" % (request.body[:-1], _encode({"inputs": inputs}, is_config=False)[1:])
    if session_id is None:
        return replace(request, body=body)
    return replace(request, query={**request.query, "session_id": session_id}, body=body, session_id=session_id)


def without_session(request: Request) -> Request:
    """Return the request of a run without a session, for `with_inputs`, which gives each run one of its own."""
    query = {name: value for name, value in request.query.items() if name != "session_id"}
    return replace(request, query=query, session_id=None)


def list_request(
    *,
    query: str | None = None,
    sort: str | None = None,
    direction: str | None = None,
    tags: str | None = None,
    limit: int | None = None,
    start_at: str | None = None,
    **extra: Any,
) -> Request:
    """Build `GET /v2/workflows`. Raises as `execute_request`."""
    from scout_generated.operations.list_workflows import get_kwargs

    texts: dict[str, Any] = {"query": query, "sort": sort, "direction": direction, "tags": tags, "start_at": start_at}
    for name, text in texts.items():
        _check_text(name, text)
    _check_limit(limit)
    return _request(get_kwargs(**texts, limit=limit), operation="list_workflows", repeatable=True, **extra)


def _check_limit(limit: object) -> None:
    if isinstance(limit, int) and (fault := json_fault(limit, ("limit",))):
        raise ConfigurationError(str(fault))
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise ConfigurationError(f"limit must be a whole number, 1 or more, not {limit!r}")


def get_request(workflow_id: str, **extra: Any) -> Request:
    """Build `GET /v2/workflows/{workflow_id}`. Raises as `execute_request`."""
    from scout_generated.operations.get_workflow import get_kwargs

    parts = get_kwargs(_segment(workflow_id))
    return _request(parts, operation="get_workflow", workflow_id=workflow_id, repeatable=True, **extra)


def create_request(workflow: LoadedWorkflow, key: str | None, **extra: Any) -> Request:
    """Build `POST /v2/workflows`. Raises as `execute_request`."""
    from scout_generated.operations.create_workflow import get_kwargs

    _check_name("key", key)
    parts = get_kwargs(body=_body(workflow.config, is_config=True), workflow_key=key)
    outcome = "the workflow may have been created"
    return _request(
        parts,
        operation="create_workflow",
        workflow_key=key,
        repeatable=False,
        unknown_outcome=outcome,
        is_config=True,
        **extra,
    )


def revision_request(workflow: LoadedWorkflow, *, workflow_id: str | None, key: str | None, **extra: Any) -> Request:
    """Build `POST /v2/workflows/revisions`. Raises as `execute_request`."""
    from scout_generated.operations.create_workflow_revision import get_kwargs

    _check_name("id", workflow_id)
    _check_name("key", key)
    parts = get_kwargs(body=_body(workflow.config, is_config=True), workflow_id=workflow_id, workflow_key=key)
    outcome = "the revision may have been made"
    return _request(
        parts,
        operation="create_workflow_revision",
        workflow_id=workflow_id,
        workflow_key=key,
        repeatable=False,
        unknown_outcome=outcome,
        is_config=True,
        **extra,
    )


def update_request(workflow_id: str, workflow: LoadedWorkflow, **extra: Any) -> Request:
    """Build `PUT /v2/workflows/{workflow_id}`. Raises as `execute_request`."""
    from scout_generated.operations.update_workflow import get_kwargs

    parts = get_kwargs(_segment(workflow_id), body=_body(workflow.config, is_config=True))
    outcome = "the workflow may have been updated"
    return _request(
        parts,
        operation="update_workflow",
        workflow_id=workflow_id,
        repeatable=True,
        unknown_outcome=outcome,
        is_config=True,
        **extra,
    )


def delete_request(workflow_id: str, **extra: Any) -> Request:
    """Build `DELETE /v2/workflows/{workflow_id}`. Raises as `execute_request`."""
    from scout_generated.operations.delete_workflow import get_kwargs

    parts = get_kwargs(_segment(workflow_id))
    return _request(
        parts,
        operation="delete_workflow",
        workflow_id=workflow_id,
        repeatable=True,
        unknown_outcome="the workflow may have been deleted",
        **extra,
    )


def revisions_request(workflow_id: str, **extra: Any) -> Request:
    """Build `GET /v2/workflows/{workflow_id}/revisions`. Raises as `execute_request`."""
    from scout_generated.operations.list_workflow_revisions import get_kwargs

    return _request(
        get_kwargs(_segment(workflow_id)),
        operation="list_workflow_revisions",
        workflow_id=workflow_id,
        repeatable=True,
        **extra,
    )


def rename_revision_request(
    workflow_id: str, revision_id: str, name: str, description: str | None, **extra: Any
) -> Request:
    """Build `PUT /v2/workflows/{workflow_id}/revisions/{revision_id}`. Raises as `execute_request`."""
    from scout_generated.operations.rename_workflow_revision import get_kwargs

    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"name must be text, not {type(name).__name__}")
    _check_name("name", name)
    _check_text("description", description)
    path = _segment(workflow_id), _segment(revision_id, "revision_id")
    parts = get_kwargs(*path, body=_body({"name": name, "description": description}))
    return _request(
        parts,
        operation="rename_workflow_revision",
        workflow_id=workflow_id,
        repeatable=True,
        unknown_outcome="the revision may have been renamed",
        **extra,
    )


def delete_revision_request(workflow_id: str, revision_id: str, **extra: Any) -> Request:
    """Build `DELETE /v2/workflows/{workflow_id}/revisions/{revision_id}`. Raises as `execute_request`."""
    from scout_generated.operations.delete_workflow_revision import get_kwargs

    parts = get_kwargs(_segment(workflow_id), _segment(revision_id, "revision_id"))
    return _request(
        parts,
        operation="delete_workflow_revision",
        workflow_id=workflow_id,
        repeatable=True,
        unknown_outcome="the revision may have been deleted",
        **extra,
    )


def promote_request(workflow_id: str, revision_id: str, **extra: Any) -> Request:
    """Build `PUT /v2/workflows/{workflow_id}/revisions/{revision_id}/promote`. Raises as `execute_request`."""
    from scout_generated.operations.promote_workflow_revision import get_kwargs

    parts = get_kwargs(_segment(workflow_id), _segment(revision_id, "revision_id"))
    return _request(
        parts,
        operation="promote_workflow_revision",
        workflow_id=workflow_id,
        repeatable=True,
        unknown_outcome="the revision may have been promoted",
        **extra,
    )


def environments_request(workflow_id: str, **extra: Any) -> Request:
    """Build `GET /v2/workflows/{workflow_id}/environments`. Raises as `execute_request`."""
    from scout_generated.operations.list_workflow_environments import get_kwargs

    return _request(
        get_kwargs(_segment(workflow_id)),
        operation="list_workflow_environments",
        workflow_id=workflow_id,
        repeatable=True,
        **extra,
    )


def environment_request(
    workflow_id: str, environment: WorkflowEnvironment, deployments: Sequence[Mapping[str, Any]], **extra: Any
) -> Request:
    """Build `PUT /v2/workflows/{workflow_id}/environments/{environment_id}`. Raises as `execute_request`.

    Args:
        workflow_id: The workflow.
        environment: The environment, as it is stored. Its name and its description are sent back.
        deployments: What it is to run.
        **extra: The options of the call that are parts of the request.
    """
    from scout_generated.operations.update_workflow_environment import get_kwargs

    body = {"name": environment.name, "description": environment.description, "deployments": list(deployments)}
    parts = get_kwargs(_segment(workflow_id), _segment(environment.id, "environment_id"), body=_body(body))
    outcome = f"the environment {environment.name!r} may have been changed"
    return _request(
        parts,
        operation="update_workflow_environment",
        workflow_id=workflow_id,
        repeatable=True,
        unknown_outcome=outcome,
        **extra,
    )


def run_log_request(
    workflow_id: str, *, run_id: str | None = None, session_id: str | None = None, **extra: Any
) -> Request:
    """Build `GET /v2/run_logs/details`. Raises as `execute_request`."""
    from scout_generated.operations.get_run_log import get_kwargs

    _check_name("run_id", run_id)
    _check_name("session_id", session_id)
    if (run_id is None) == (session_id is None):
        raise ConfigurationError("give either run_id= or session_id= to say which run it is")
    parts = get_kwargs(workflow_id=_segment(workflow_id), workflow_run_id=run_id, session_id=session_id)
    return _request(parts, operation="get_run_log", workflow_id=workflow_id, repeatable=True, **extra)


def run_logs_request(
    workflow_id: str,
    *,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    status: str | None = None,
    session_id: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
    summary_only: bool = False,
    **extra: Any,
) -> Request:
    """Build `GET /v2/run_logs`. Raises as `execute_request`."""
    from scout_generated.operations.list_run_logs import get_kwargs

    for name, text in {"status": status, "session_id": session_id}.items():
        _check_name(name, text)
    _check_text("cursor", cursor)
    _check_limit(limit)
    if not isinstance(summary_only, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"summary_only must be True or False, not {summary_only!r}")
    parts = get_kwargs(
        workflow_id=_segment(workflow_id),
        start_date=_moment("since", since),
        end_date=_moment("until", until),
        limit=limit,
        session_id=session_id,
        status=STATUSES.get(status, status) if status is not None else None,
        cursor=cursor,
        summary_only=summary_only or None,
    )
    return _request(parts, operation="list_run_logs", workflow_id=workflow_id, repeatable=True, **extra)


def _moment(name: str, value: object) -> str | None:
    """Return a time as the text that is sent; text is sent as it is."""
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ConfigurationError(f"{name} must have a time zone, such as datetime.now(UTC), and {value} has none")
        return value.isoformat()
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} must be a datetime, or text in ISO 8601, not {type(value).__name__}")
    _check_text(name, value)
    if parse_timestamp(value) is None:
        raise ConfigurationError(f"{name} must be a time in ISO 8601, such as '2026-01-31T12:00:00Z', not {value!r}")
    return value


def _request(
    parts: Mapping[str, Any],
    *,
    operation: str,
    workflow_id: str | None = None,
    workflow_key: str | None = None,
    repeatable: bool,
    unknown_outcome: str = "",
    is_config: bool = False,
    extra_headers: Mapping[str, str] | None = None,
    extra_query: Mapping[str, Any] | None = None,
    extra_body: Mapping[str, Any] | None = None,
) -> Request:
    _check_mapping("extra_query", extra_query)
    _check_query(extra_query or {})
    extra_body = checked_body(extra_body)
    body = parts.get("json")
    if body is None and extra_body:
        raise ConfigurationError("extra_body is not for this call, whose request has no body")
    return Request(
        method=parts["method"],
        path=parts["url"],
        query={**parts.get("params", {}), **(extra_query or {})},
        body=b"" if body is None else _encode({**body, **extra_body}, is_config=is_config),
        headers={name.lower(): value for name, value in (extra_headers or {}).items()},
        repeatable=repeatable,
        unknown_outcome=unknown_outcome,
        operation=operation,
        workflow_id=workflow_id,
        workflow_key=workflow_key,
    )


def _body(members: Mapping[str, Any], *, is_config: bool = False) -> Any:
    """Return an object that the generated functions accept as a body.

    It passes the config through unchanged; the generated class would parse it and serialize it again.
    """
    return _Body(members, is_config)


@dataclass(frozen=True, slots=True)
class _Body:
    members: Mapping[str, Any]
    is_config: bool

    def to_dict(self) -> dict[str, Any]:
        # A null in a config was written by its author, so it is sent.
        return {name: value for name, value in self.members.items() if value is not None or self.is_config}


def _segment(id: object, name: str = "id") -> str:  # noqa: A002 - as in the public methods
    """Check that an id is one path segment, and return it; the generated package encodes it.

    Args:
        id: The id.
        name: The name of the argument; `id` is the id of a workflow.
    """
    kind = type(id).__name__
    text = "the text of a workflow's id" if name == "id" else "text"
    if name == "id" and (is_mapping(id) or isinstance(id, os.PathLike | LoadedWorkflow | StoredWorkflow)):
        raise ConfigurationError(
            f"id must be {text}, not {kind}; this call is for stored "
            "workflows, and a config or a file is run by Scout.execute or Scout.stream"
        )
    if not isinstance(id, str):
        raise ConfigurationError(f"{name} must be {text}, not {kind}")
    _check_name(name, id)
    if id in (".", ".."):
        raise ConfigurationError(f"{name} must not be {id!r}, which in an address means another place")
    return id


def _check_name(name: str, value: object) -> None:
    _check_text(name, value)
    if value == "":
        raise ConfigurationError(f"{name} must not be empty")


def _check_mapping(name: str, value: object) -> None:
    if value is not None and not is_mapping(value):
        raise ConfigurationError(f"{name} must be a mapping of names to values, not {type(value).__name__}")


def checked_body(extra_body: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Check the option `extra_body`, and return it; an empty mapping when it was not given.

    Raises:
        ConfigurationError: it is not a mapping, or not JSON.
    """
    _check_mapping("extra_body", extra_body)
    if not extra_body:
        return {}
    body = dict(extra_body)
    if fault := json_fault(body, ("extra_body",)):
        raise ConfigurationError(str(fault))
    return body


def _check_query(query: Mapping[Any, Any]) -> None:
    for name, value in query.items():
        if not isinstance(name, str):
            raise ConfigurationError(f"a name in extra_query must be text, not {type(name).__name__}")
        _check_text("a name in extra_query", name)
        for each in value if is_list(value) else [value]:
            if not isinstance(each, str | int | float | None):
                raise ConfigurationError(f"extra_query[{name!r}] must be text, a number or a list of them")
            fault = json_fault(each, ("extra_query", name))
            if fault:
                raise ConfigurationError(str(fault))


def _check_text(name: str, value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{name} must be text, not {type(value).__name__}")
    fault = json_fault(value, (name,))
    if fault:
        raise ConfigurationError(str(fault))


def _encode(body: Mapping[str, Any], *, is_config: bool) -> bytes:
    plain: dict[str, Any] = {name: dict(value) if is_mapping(value) else value for name, value in body.items()}
    if not _is_ordinary(plain):
        _refuse_faults(plain, is_config=is_config)
    try:
        return write_json(plain, compact=True, strict=True).encode()
    except (TypeError, ValueError, RecursionError) as problem:
        if foreign(problem) is not None:
            raise
        _refuse_faults(plain, is_config=is_config)
        raise ConfigurationError(f"the request is not JSON: {problem}") from None


def _refuse_faults(body: Mapping[str, Any], *, is_config: bool) -> None:
    if fault := json_fault(body if is_config else body.get("workflow_config")):
        raise WorkflowFileError(str(fault))
    if fault := json_fault(body):
        raise ConfigurationError(str(fault))


def _is_ordinary(body: dict[str, Any]) -> bool:
    """Return True when `json` may write a body. `False` means that a closer look is needed.

    `json` would merge the keys in `{1: "a", "1": "b"}`, and write a part that stands in several places as often as it
    stands there, until the memory is full. This is on the way of every call, so it does as little as possible.
    """
    level: list[Any] = [body]
    depth = count = 0
    while level and depth <= _DEEPEST:
        depth += 1
        below: list[Any] = []
        for each in level:
            if type(each) in _LEAVES:
                continue
            part: Any = each
            if isinstance(each, dict):
                try:
                    "".join(part)  # the fastest way to ask whether all keys are text
                except TypeError:
                    return False
                below += part.values()
            elif isinstance(each, _LISTS):
                below += part
            else:
                continue
            if count + len(below) > MAX_REPEATED:
                return False
        count += len(below)
        if len(below) > _MANY:
            count += sum([len(each) for each in below if type(each) is str]) // LONG
            if count > MAX_REPEATED:
                return False
        level = below
    return not level


_LEAVES = frozenset({str, int, float, bool, type(None)})
_LISTS = (list, tuple)
_MANY = 1000  # values beside each other; the same long text in each of them may fill the memory, too
_DEEPEST = 1000  # at which `json` stops as well, and where a circle is noticed


def raw_client(base_url: str, secret: Secret, **options: Any) -> AuthenticatedClient:
    """Return the generated client. The options name the transport that it uses."""
    from scout_generated import AuthenticatedClient  # imports httpx, which this module does not need otherwise

    return AuthenticatedClient(base_url=base_url, token=secret.reveal(), **options)
