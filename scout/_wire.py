"""The wire, without any I/O: a call becomes the parts of a request, an answer becomes a result or an error.

The only module that imports `scout_generated`.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import re
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import scout_generated
from scout_generated.api.workflows import execute_workflow_config

from . import errors
from ._json import is_dict, is_list, is_mapping, json_fault, shorten
from ._retry import REFUSED, retry_after
from .errors import APIResponseError, APIStatusError, ConfigurationError, WorkflowFileError
from .results import Run, RunStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scout_generated import AuthenticatedClient  # used below by attribute, which imports it late
    from scout_generated.models.block_run_completed import BlockRunCompleted
    from scout_generated.models.block_run_failed import BlockRunFailed
    from scout_generated.models.block_run_started import BlockRunStarted
    from scout_generated.models.block_state_updated import BlockStateUpdated
    from scout_generated.models.identity import Identity
    from scout_generated.models.json_object import JsonObject
    from scout_generated.models.list_workflows_response import ListWorkflowsResponse
    from scout_generated.models.workflow import Workflow
    from scout_generated.models.workflow_config import WorkflowConfig
    from scout_generated.models.workflow_run_completed import WorkflowRunCompleted
    from scout_generated.models.workflow_run_failed import WorkflowRunFailed
    from scout_generated.models.workflow_run_started import WorkflowRunStarted

    from ._config import Secret
    from .environments import Environment
    from .workflow_files import LoadedWorkflow

__all__ = [
    "Answer",
    "AuthenticatedClient",
    "BlockRunCompleted",
    "BlockRunFailed",
    "BlockRunStarted",
    "BlockStateUpdated",
    "Identity",
    "JsonObject",
    "ListWorkflowsResponse",
    "Request",
    "Workflow",
    "WorkflowConfig",
    "WorkflowRunCompleted",
    "WorkflowRunFailed",
    "WorkflowRunStarted",
    "block_ids",
    "checked_body",
    "create_request",
    "delete_request",
    "execute_request",
    "execute_stored_request",
    "get_request",
    "is_same_config",
    "is_stream",
    "list_request",
    "output_block",
    "raw_client",
    "read_deletion",
    "read_page",
    "read_run",
    "read_workflow",
    "revision_request",
    "sentence",
    "status_error",
    "update_request",
]


def __getattr__(name: str) -> Any:
    # Generated classes that the facade hands on; loaded when asked for, because classes of attrs are slow to make.
    if name not in _HANDED_ON:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("scout_generated.models"), name)


_HANDED_ON = (
    "BlockRunCompleted",
    "BlockRunFailed",
    "BlockRunStarted",
    "BlockStateUpdated",
    "Identity",
    "JsonObject",
    "ListWorkflowsResponse",
    "Workflow",
    "WorkflowConfig",
    "WorkflowRunCompleted",
    "WorkflowRunFailed",
    "WorkflowRunStarted",
)


_RUN_DOUBT = "the run may have started"


@dataclass(frozen=True, slots=True)
class Request:
    """What goes out, apart from the host and the key.

    Attributes:
        method: The HTTP method.
        path: The path, with everything in it encoded.
        query: Names and values.
        body: The body, as JSON in UTF-8.
        headers: Further headers of this one call.
        repeatable: Whether sending it twice does no more than sending it once, so that it may be repeated when nobody
            knows what became of it.
        doubt: What has to be said when nobody knows what became of it.
    """

    method: str
    path: str
    query: Mapping[str, Any]
    body: bytes
    headers: Mapping[str, str]
    repeatable: bool
    doubt: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, read to its end.

    Attributes:
        status: The HTTP status.
        headers: Names in lower case.
        body: The body, decompressed.
        doubt: As in the request.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    doubt: str = _RUN_DOUBT


def execute_request(
    workflow: LoadedWorkflow, inputs: Mapping[str, Any] | None, *, workflow_key: str | None = None, **options: Any
) -> Request:
    """`POST /v2/workflows/execute`, https://docs.scoutos.com (API, Workflows).

    Raises:
        ConfigurationError: an argument holds what cannot be sent.
        WorkflowFileError: the workflow does.
    """
    _check_text("workflow_key", workflow_key)
    key = workflow_key if workflow_key is not None else workflow.key
    config = {"workflow_config": workflow.config, "workflow_key": key}
    return _run_request(execute_workflow_config._get_kwargs, config, inputs, **options)  # pyright: ignore[reportPrivateUsage]  # as _operation


def execute_stored_request(
    workflow_id: str, inputs: Mapping[str, Any] | None, *, workflow_key: None = None, **options: Any
) -> Request:
    """`POST /v2/workflows/{workflow_id}/execute`. Raises as `execute_request`."""
    if workflow_key is not None:
        raise ConfigurationError("workflow_key is not for a stored workflow, which has a key of its own")
    segment = _segment(workflow_id)
    return _run_request(partial(_operation("execute_workflow"), segment), {}, inputs, **options)


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
        body=_Body({**config, "inputs": inputs, "streaming": streaming}),
        environment=environment.value if environment is not None else None,
        revision_id=revision_id,
        session_id=session_id,
    )
    return _request(parts, repeatable=False, doubt=_RUN_DOUBT, **extra)


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
    """`GET /v2/workflows`. Raises as `execute_request`."""
    texts = {"query": query, "sort": sort, "direction": direction, "tags": tags, "start_at": start_at}
    for name, text in texts.items():
        _check_text(name, text)
    _check_limit(limit)
    return _request(_operation("list_workflows")(**texts, limit=limit), repeatable=True, **extra)


def _check_limit(limit: object) -> None:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise ConfigurationError(f"limit must be a whole number, 1 or more, not {limit!r}")


def get_request(workflow_id: str, **extra: Any) -> Request:
    """`GET /v2/workflows/{workflow_id}`. Raises as `execute_request`."""
    return _request(_operation("get_workflow")(_segment(workflow_id)), repeatable=True, **extra)


def create_request(workflow: LoadedWorkflow, key: str | None, **extra: Any) -> Request:
    """`POST /v2/workflows`. Raises as `execute_request`."""
    _check_name("key", key)
    parts = _operation("create_workflow")(body=_Body(workflow.config, is_config=True), workflow_key=key)
    doubt = "the workflow may have been created"
    return _request(parts, repeatable=False, doubt=doubt, is_config=True, **extra)


def revision_request(workflow: LoadedWorkflow, *, workflow_id: str | None, key: str | None, **extra: Any) -> Request:
    """`POST /v2/workflows/revisions`. Raises as `execute_request`."""
    _check_name("id", workflow_id)
    _check_name("key", key)
    parts = _operation("create_workflow_revision")(
        body=_Body(workflow.config, is_config=True), workflow_id=workflow_id, workflow_key=key
    )
    doubt = "the revision may have been made"
    return _request(parts, repeatable=False, doubt=doubt, is_config=True, **extra)


def update_request(workflow_id: str, workflow: LoadedWorkflow, **extra: Any) -> Request:
    """`PUT /v2/workflows/{workflow_id}`. Raises as `execute_request`."""
    parts = _operation("update_workflow")(_segment(workflow_id), body=_Body(workflow.config, is_config=True))
    doubt = "the workflow may have been updated"
    return _request(parts, repeatable=True, doubt=doubt, is_config=True, **extra)


def delete_request(workflow_id: str, **extra: Any) -> Request:
    """`DELETE /v2/workflows/{workflow_id}`. Raises as `execute_request`."""
    parts = _operation("delete_workflow")(_segment(workflow_id))
    return _request(parts, repeatable=True, doubt="the workflow may have been deleted", **extra)


def _operation(name: str) -> Callable[..., dict[str, Any]]:
    """What the generated package makes of an operation's arguments; held by a contract test."""
    # Imported late, because most programs use one or two of the eight.
    found: Callable[..., dict[str, Any]] = importlib.import_module(f"scout_generated.api.workflows.{name}")._get_kwargs
    return found


def _request(
    parts: Mapping[str, Any],
    *,
    repeatable: bool,
    doubt: str = "",
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
        doubt=doubt,
    )


@dataclass(frozen=True, slots=True)
class _Body:
    """Stands for the generated class of a body, in which a config would be taken apart and put together again."""

    members: Mapping[str, Any]
    is_config: bool = False

    def to_dict(self) -> dict[str, Any]:
        # A null in a config is its author's, and goes along.
        return {name: value for name, value in self.members.items() if value is not None or self.is_config}


def _segment(workflow_id: object) -> str:
    """An id that stands for one segment of a path; the generated package encodes it."""
    _check_name("id", workflow_id)
    if not isinstance(workflow_id, str):
        raise ConfigurationError(f"id must be the text of a workflow's id, not {type(workflow_id).__name__}")
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
    """The option of that name; empty when it was not given.

    Raises:
        ConfigurationError: it is no mapping.
    """
    _check_mapping("extra_body", extra_body)
    return extra_body or {}


def _check_query(query: Mapping[Any, Any]) -> None:
    for name, value in query.items():
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
    config: Any = plain if is_config else plain.get("workflow_config")
    try:
        encoded = json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        if _has_text_keys(config):
            return encoded
        reason = "a key is not text"
    except (TypeError, ValueError, RecursionError) as problem:
        reason = str(problem)
    if fault := json_fault(config):
        raise WorkflowFileError(str(fault))
    if fault := json_fault(plain):
        raise ConfigurationError(str(fault))
    raise ConfigurationError(f"the request is not JSON: {reason}")


def _has_text_keys(value: Any) -> bool:
    """Whether all keys are text: `json` makes text of numbers, and of `{1: "a", "1": "b"}` one value would be lost."""
    rest: list[Any] = [value]
    for each in rest:
        if is_dict(each):
            if not all(isinstance(key, str) for key in cast("dict[object, Any]", each)):
                return False
            rest += each.values()
        elif is_list(each):
            rest += each
    return True


def read_run(answer: Answer, workflow: LoadedWorkflow | None) -> Run:
    """The run that a 2xx answer tells of.

    Args:
        answer: What came back.
        workflow: What was sent, for the output block; `None` when a stored workflow ran, which is not known here.

    Raises:
        APIResponseError: it tells of none.
    """
    # By hand, and not through the generated class: that is strict where a paid answer must not be lost, and the attrs
    # classes take longer to make than a call to this machine. A test holds the names to the spec.
    data = _decode(answer)
    told = data.get("run")
    status = told.get("stop_reason") if is_mapping(told) else None
    if not is_mapping(told) or not isinstance(status, str):
        name = data.get("name")
        what = f"one event, {name!r}, and" if isinstance(name, str) else "JSON, but"
        raise _not_understood(answer, f"it holds {what} no run that says how it ended (run.stop_reason)")
    state = told.get("state")
    if state is not None and not is_mapping(state):
        raise _not_understood(answer, f"its run.state is {type(state).__name__} where an object belongs")
    complaints = told.get("errors")
    return Run(
        id=_text(told.get("workflow_run_id")),
        session_id=_text(told.get("session_id")),
        workflow_id=_text(data.get("workflow_id")),
        status=RunStatus(status),
        state=dict(state or {}),
        errors=[sentence(each) for each in (complaints if is_list(complaints) else [complaints] if complaints else [])],
        output_block_id=_text(data.get("output_block_id")) or output_block(workflow),
        raw=data,
    )


def read_workflow(answer: Answer) -> Workflow:
    """The stored workflow that a 2xx answer tells of.

    Raises:
        APIResponseError: it tells of none.
    """
    return _workflow(answer, _decode(answer).get("data"), "its data")


def read_page(answer: Answer) -> ListWorkflowsResponse:
    """The page of stored workflows that a 2xx answer tells of. Raises as `read_workflow`."""
    data = _decode(answer)
    found = data.get("data")
    if not is_list(found):
        raise _not_understood(answer, "it holds no list of workflows (data)")
    page: ListWorkflowsResponse = _models().ListWorkflowsResponse.from_dict({**data, "data": []})
    page.data = [_workflow(answer, each, f"its data[{number}]") for number, each in enumerate(found)]
    return page


def read_deletion(answer: Answer) -> str:
    """What a 2xx answer to a deletion says, if anything. Raises as `read_workflow`."""
    detail = _decode(answer).get("detail") if answer.body else None
    if not isinstance(detail, str | None):
        raise _not_understood(answer, f"its detail is {type(detail).__name__} where text belongs")
    return detail or ""


def _workflow(answer: Answer, told: Any, name: str) -> Workflow:
    lacking = "is no object"
    if is_mapping(told):
        texts = ("workflow_id", "revision_id")
        bad = [each for each in texts if not isinstance(told.get(each), str)]
        bad += [] if is_mapping(told.get("workflow_config")) else ["workflow_config"]
        if not bad:
            return _decoded_workflow(told)
        lacking = f"lacks {' and '.join(bad)}"
    raise _not_understood(answer, f"{name} is no stored workflow: it {lacking}")


def _decoded_workflow(told: Mapping[str, Any]) -> Workflow:
    models = _models()
    with contextlib.suppress(*_MISFITS):
        workflow: Workflow = models.Workflow.from_dict(told)
        return workflow
    # A config that the specification does not describe is still its author's, and whole: what does not fit is kept as
    # fields that are not known.
    config = dict(told["workflow_config"])
    strange = {name: config.pop(name) for name in list(config) if not _fits_config({name: config[name]})}
    workflow = models.Workflow.from_dict({**told, "workflow_config": config})
    workflow.workflow_config.additional_properties.update(strange)
    workflow.workflow_config._order = tuple(told["workflow_config"])  # pyright: ignore[reportPrivateUsage]  # held by a test
    return workflow


_MISFITS = (AttributeError, KeyError, TypeError, ValueError)


def _fits_config(config: dict[str, Any]) -> bool:
    try:
        _models().WorkflowConfig.from_dict(config)
    except _MISFITS:
        return False
    return True


def _models() -> Any:
    return importlib.import_module("scout_generated.models")


def is_same_config(stored: WorkflowConfig, workflow: LoadedWorkflow) -> bool:
    """Whether a stored config is, as JSON, what would be sent: an absent field is not a null, and 1 is 1.0."""
    return _is_same(stored.to_dict(), workflow.config)


def _is_same(one: Any, other: Any) -> bool:
    pairs = [(one, other)]  # and not by recursion: what was sent may be nested deeper than Python calls
    for left, right in pairs:
        if is_mapping(left) and is_mapping(right):
            if left.keys() != right.keys():
                return False
            pairs += ((left[key], right[key]) for key in left)
        elif is_list(left) and is_list(right):
            if len(left) != len(right):
                return False
            pairs += zip(left, right, strict=True)
        elif isinstance(left, bool) != isinstance(right, bool) or left != right:
            return False
    return True


def is_stream(headers: Mapping[str, str]) -> bool:
    """Whether an answer is a stream of events, by its content type."""
    return headers.get("content-type", "").lower().startswith("text/event-stream")


def output_block(workflow: LoadedWorkflow | None) -> str | None:
    """Which block holds the answer when the server does not say: the one marked so, else the only leaf, else none."""
    blocks = _blocks(workflow)
    # `block_is_output` is what the mark was called before May 2025, and still is in most files.
    marked = [block.get("block_id") for block in blocks if block.get("is_output") or block.get("block_is_output")]
    if marked:
        return _text(marked[0])
    edges = [edge for block in blocks if is_list(block.get("dependencies")) for edge in block["dependencies"]]
    awaited = {_text(edge.get("block_id")) for edge in edges if is_mapping(edge)}
    leaves = [block_id for block in blocks if (block_id := _text(block.get("block_id"))) not in awaited]
    return leaves[0] if len(leaves) == 1 else None


def block_ids(workflow: LoadedWorkflow | None) -> list[str]:
    """The ids of a workflow's blocks."""
    return [block_id for block in _blocks(workflow) if (block_id := _text(block.get("block_id")))]


def _blocks(workflow: LoadedWorkflow | None) -> list[Mapping[str, Any]]:
    found: Any = workflow.config.get("blocks") if workflow else None
    # A config from a server may hold anything; one from a file has been checked.
    return [block for block in found if is_mapping(block)] if is_list(found) else []


def status_error(answer: Answer) -> APIStatusError:
    """The error that a status other than 2xx stands for; any status and any body give one."""
    body = _body(answer)
    detail = body.get("detail") if is_mapping(body) else None
    request_id = next((answer.headers[name] for name in _REQUEST_IDS if name in answer.headers), None)
    advice = _advice(answer)
    message = f"{_status_line(answer.status)}: {_server_words(body)}"
    if advice:
        message += f"; {advice}"
    if request_id:
        message += f" (request id {request_id})"
    kind, extra = _class_for(answer, detail)
    return kind(
        message,
        status=answer.status,
        body=body,
        headers=answer.headers,
        request_id=request_id,
        run_may_have_started=answer.status not in REFUSED,
        **extra,
    )


_CLASSES: dict[int, type[APIStatusError]] = {
    400: errors.BadRequestError,
    401: errors.AuthenticationError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
}

_REQUEST_IDS = ("x-request-id", "request-id", "x-correlation-id", "x-cloud-trace-context", "cf-ray")


def _class_for(answer: Answer, detail: Any) -> tuple[type[APIStatusError], dict[str, Any]]:
    if answer.status == 422:
        details = [each for each in detail if is_mapping(each)] if is_list(detail) else []
        return errors.UnprocessableEntityError, {"details": details}
    if answer.status == 429:
        return errors.RateLimitError, {"retry_after": retry_after(answer.headers)}
    if answer.status >= 500:
        return errors.InternalServerError, {}
    return _CLASSES.get(answer.status, APIStatusError), {}


def _advice(answer: Answer) -> str:
    match answer.status:
        case 401:
            return "check the API key (api_key= or SCOUT_API_KEY)"
        case 403:
            return "this API key may not do this"
        case 413:
            return "make the workflow or the inputs smaller"
        case 429:
            seconds = retry_after(answer.headers)
            return f"retry after {seconds:g} s" if seconds is not None else "retry later"
        case status if 300 <= status < 400:
            target = answer.headers.get("location")
            where = f" to {target}" if target else ""
            return f"the server redirects{where}, which is not followed; check base_url (SCOUT_BASE_URL)"
        case status if status == 408 or status >= 500:
            return answer.doubt
        case _:
            return ""


def _server_words(body: Any) -> str:
    if isinstance(body, str):
        return _shorten(_text_of_page(body)) if body.strip() else "no body"
    if not is_mapping(body):
        return _shorten(json.dumps(body, ensure_ascii=False))
    words: list[str] = []
    for name in ("detail", "message", "error", "errors"):
        said = body.get(name)
        if said:
            words += map(sentence, said if is_list(said) else [said])
    return _shorten("; ".join(words) or json.dumps(body, ensure_ascii=False))


def sentence(said: Any) -> str:
    """One thing that a server said: a text, a pydantic detail (`loc`, `msg`), a `{field, message}`, or any JSON."""
    if isinstance(said, str):
        return said
    if is_mapping(said):
        words = said.get("msg") or said.get("message")
        place = said.get("loc") or said.get("field")
        if isinstance(words, str):
            where = ".".join(map(str, place)) if is_list(place) else place
            return f"{where}: {words}" if where else words
    try:
        return json.dumps(said, ensure_ascii=False, default=str)
    except RecursionError:
        return "(nested too deeply to be shown)"


def _text_of_page(text: str) -> str:
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    if title:
        return f"an HTML page titled {title[1].strip()!r}"
    return " ".join(text.split())


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{shorten(text, _LONGEST)} (the whole is in .body)"


_LONGEST = 600


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _body(answer: Answer) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return answer.body.decode("utf-8", "replace")


def _decode(answer: Answer) -> dict[str, Any]:
    try:
        data: Any = json.loads(answer.body)
    except (ValueError, RecursionError) as problem:
        damaged = bool(answer.body.strip()) and not answer.body.lstrip().startswith(b"<")
        raise _not_understood(answer, _why_not_json(answer, problem), damaged=damaged) from None
    if not isinstance(data, dict):
        raise _not_understood(answer, f"it is JSON, but {type(data).__name__} where an object belongs")
    return cast("dict[str, Any]", data)


def _why_not_json(answer: Answer, problem: Exception) -> str:
    if not answer.body.strip():
        return "it has no body"
    if isinstance(problem, RecursionError):
        return "its JSON is nested too deeply"
    kind = answer.headers.get("content-type", "no content type")
    start = _shorten(_text_of_page(answer.body[:_LONGEST].decode("utf-8", "replace")))
    return f"it is not whole JSON ({kind}; {problem}): {start}"


def _not_understood(answer: Answer, reason: str, *, damaged: bool = False) -> APIResponseError:
    doubt = f"; {answer.doubt}" if answer.doubt else ""
    return APIResponseError(
        f"the answer with status {answer.status} cannot be understood: {reason}{doubt}; "
        "check base_url (SCOUT_BASE_URL) if this is not Scout's API",
        status=answer.status,
        body=answer.body,
        damaged=damaged,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def raw_client(base_url: str, secret: Secret, client: Any) -> AuthenticatedClient:
    """The generated client around an httpx client of the facade's."""
    # By attribute, because importing the name would load httpx, which the rest of this room does without.
    raw = scout_generated.AuthenticatedClient(base_url=base_url, token=secret.reveal())
    if hasattr(client, "aclose"):
        return raw.set_async_httpx_client(client)
    return raw.set_httpx_client(client)
