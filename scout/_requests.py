"""Builders of requests: validate the arguments of a call and return a `Request`. No I/O."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ._json import LONG, MAX_REPEATED, is_list, is_mapping, json_fault, write_json
from ._retry import foreign
from .errors import ConfigurationError, WorkflowFileError
from .results import StoredWorkflow
from .workflow_files import LoadedWorkflow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scout_generated import AuthenticatedClient
    from scout_generated.models.workflow_config import WorkflowConfig

    from ._config import Secret
    from .environments import Environment

__all__ = [
    "RUN_MAY_HAVE_STARTED",
    "AuthenticatedClient",
    "Request",
    "WorkflowConfig",
    "checked_body",
    "create_request",
    "delete_request",
    "execute_request",
    "execute_stored_request",
    "get_request",
    "list_request",
    "raw_client",
    "revision_request",
    "update_request",
    "with_inputs",
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

    @property
    def session_id(self) -> str | None:
        """The session of the run; `None` when the server makes one, or there is no run."""
        return self.query.get("session_id")


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
    workflow_id: str, inputs: Mapping[str, Any] | None, *, workflow_key: None = None, **options: Any
) -> Request:
    """Build `POST /v2/workflows/{workflow_id}/execute`. Raises as `execute_request`."""
    from scout_generated.operations.execute_workflow import get_kwargs

    if workflow_key is not None:
        raise ConfigurationError(
            "workflow_key is not for a stored workflow, which has a key of its own; it is an option of Scout.execute "
            "and Scout.stream"
        )
    segment = _segment(workflow_id)
    return _run_request(
        partial(get_kwargs, segment), {}, inputs, operation="execute_workflow", workflow_id=segment, **options
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
    return _request(parts, repeatable=False, unknown_outcome=RUN_MAY_HAVE_STARTED, **extra)


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
    query = request.query if session_id is None else {**request.query, "session_id": session_id}
    return replace(request, query=query, body=body)


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


def _segment(workflow_id: object) -> str:
    """Check that an id is one path segment, and return it; the generated package encodes it."""
    kind = type(workflow_id).__name__
    if is_mapping(workflow_id) or isinstance(workflow_id, os.PathLike | LoadedWorkflow | StoredWorkflow):
        raise ConfigurationError(
            f"id must be the text of a workflow's id, not {kind}; this call is for stored "
            "workflows, and a config or a file is run by Scout.execute or Scout.stream"
        )
    _check_name("id", workflow_id)
    if not isinstance(workflow_id, str):
        raise ConfigurationError(f"id must be the text of a workflow's id, not {kind}")
    if workflow_id in (".", ".."):
        raise ConfigurationError(f"id must not be {workflow_id!r}, which in an address means another place")
    return workflow_id


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
