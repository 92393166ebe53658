"""Readers of responses: turn an `Answer` into a `Run`, a `StoredWorkflow`, a page of them, or an error. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from . import errors
from ._json import NOT_JSON, is_dict, is_list, is_mapping, parse_json, sentence, shorten, text_or_none, without_halves
from ._logs import record_in_log
from ._requests import RUN_MAY_HAVE_STARTED
from ._retry import REFUSED, retry_after
from ._sse import END_MARKERS, SSEDecoder, is_stream
from .errors import APIResponseError, APIStatusError, ConfigurationError
from .results import (
    EnvironmentDeployment,
    Run,
    RunRecord,
    RunRecordPage,
    StoredWorkflow,
    WorkflowEnvironment,
    WorkflowPage,
    parse_timestamp,
    run_in_answer,
    with_ids,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .workflow_files import LoadedWorkflow

__all__ = [
    "Answer",
    "read_any_run",
    "read_change",
    "read_deletion",
    "read_environments",
    "read_page",
    "read_record",
    "read_record_page",
    "read_revision",
    "read_revisions",
    "read_run",
    "read_workflow",
    "request_id_in",
    "status_error",
]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response, read to its end.

    Attributes:
        status: The HTTP status.
        headers: The headers, with names in lower case.
        body: The body, decompressed.
        unknown_outcome: As in `Request`.
        address: The method and the URL of the request, without its query; empty for a status of 2xx.
        attempts: The number of requests that the call has sent, this one included.
        workflow_id: As in `Request`.
        session_id: As in `Request`.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    unknown_outcome: str = RUN_MAY_HAVE_STARTED
    address: str = ""
    attempts: int = 1
    workflow_id: str | None = None
    session_id: str | None = None


# --- Runs ---------------------------------------------------------------------------------------------------------


def read_any_run(answer: Answer, workflow: LoadedWorkflow | None) -> Run:
    """Read the run from a 2xx answer: JSON or a stream of events. Raises as `read_run` or `run_from_events`."""
    if is_stream(answer.headers.get("content-type", ""), answer.body, is_whole=True):
        from .streaming import run_from_events  # rare: a server that streams without being asked

        run = run_from_events(answer, workflow)
    else:
        run = read_run(answer, workflow)
    return with_ids(run, answer.workflow_id, answer.session_id)


def read_run(answer: Answer, workflow: LoadedWorkflow | None) -> Run:
    """Read the run from a 2xx answer that is JSON: a run, or one event of it.

    Half a surrogate pair, which no text can hold, becomes U+FFFD.

    Args:
        answer: The answer.
        workflow: The workflow that was sent, which names its output block; `None` when a stored workflow ran.

    Raises:
        APIResponseError: the answer does not hold a run.
    """
    # Without the generated class, which raises for small deviations, so that a paid result would be lost; and importing
    # the attrs classes takes longer than a call to this machine. A test compares the names with the spec.
    data: dict[str, Any] = without_halves(_decode(answer), answer.body)
    config, marked = (workflow.config, workflow.output_block_id) if workflow else (None, None)
    try:
        run = run_in_answer(data, config, marked)
    except ConfigurationError as error:
        raise _not_understood(answer, error.message) from None
    if run is None:
        from .streaming import run_of_event  # rare, and the event classes are slow to import

        run = run_of_event(data, workflow)
    if run is None:
        name = data.get("name")
        what = f"one event, {name!r}, and" if isinstance(name, str) else "JSON, but"
        raise _not_understood(answer, f"it holds {what} no run that says how it ended (run.stop_reason)")
    return run


# --- Stored workflows ---------------------------------------------------------------------------------------------


def read_workflow(answer: Answer) -> StoredWorkflow:
    """Read the stored workflow from a 2xx answer.

    Raises:
        APIResponseError: the answer does not hold one.
    """
    return _stored(answer, _decode(answer).get("data"), "its data")


def read_page(answer: Answer) -> WorkflowPage:
    """Read a page of stored workflows from a 2xx answer. Raises as `read_workflow`."""
    data = _decode(answer)
    return WorkflowPage(
        workflows=[_stored(answer, each, name) for name, each in _listed(answer, data, "workflows")],
        next_cursor=text_or_none(data.get("next_cursor")),
        raw=data,
    )


def read_deletion(answer: Answer) -> str:
    """Read the server's message from a 2xx answer to a deletion; empty when it has none. Raises as `read_workflow`."""
    detail = _decode(answer).get("detail") if answer.body else None
    if not isinstance(detail, str | None):
        raise _not_understood(answer, f"its detail is {type(detail).__name__} where text belongs")
    return detail or ""


# --- Revisions and environments -----------------------------------------------------------------------------------


def read_revisions(answer: Answer) -> list[StoredWorkflow]:
    """Read the revisions of a workflow from a 2xx answer. Raises as `read_workflow`."""
    return [_stored(answer, each, name) for name, each in _listed(answer, _decode(answer), "revisions")]


def read_revision(answer: Answer) -> StoredWorkflow | None:
    """Read a changed revision from a 2xx answer; `None` when it does not hold one. Raises as `read_workflow`."""
    found = _decode(answer).get("data") if answer.body else None
    return None if found is None else _stored(answer, found, "its data")


def read_environments(answer: Answer) -> list[WorkflowEnvironment]:
    """Read the environments of a workflow from a 2xx answer.

    Raises:
        APIResponseError: the answer does not hold them.
    """
    return [_environment(answer, each, name) for name, each in _listed(answer, _decode(answer), "environments")]


def read_change(answer: Answer, asked: str) -> None:
    """Read from a 2xx answer that a change was made. Without a word on it, the status says so.

    Args:
        answer: The answer.
        asked: The change, for the message of an error.

    Raises:
        APIResponseError: the answer cannot be understood, or says that the change was not made.
    """
    if answer.body and _decode(answer).get("success") is False:
        raise APIResponseError(
            f"the server answered that it did not do what was asked (success: false): {asked}",
            status=answer.status,
            body=answer.body,
        )


def _listed(answer: Answer, data: Mapping[str, Any], what: str) -> list[tuple[str, Any]]:
    """Return the items of a list, each with its name for the message of an error."""
    found = data.get("data")
    if not is_list(found):
        raise _not_understood(answer, f"it holds no list of {what} (data)")
    return [(f"its data[{number}]", each) for number, each in enumerate(found)]


def _environment(answer: Answer, found: Any, name: str) -> WorkflowEnvironment:
    if not is_mapping(found):
        raise _not_understood(answer, f"{name} is no environment: it is no object")
    config, deployments = found.get("environment_config"), found.get("deployments")
    environment_id = found.get("environment_id")
    its_name = config.get("name") if is_mapping(config) else None
    if isinstance(environment_id, str) and is_mapping(config) and isinstance(its_name, str) and is_list(deployments):
        return WorkflowEnvironment(
            id=environment_id,
            name=its_name,
            description=text_or_none(config.get("description")) or "",
            deployments=tuple(
                _deployment(answer, each, f"{name}.deployments[{number}]") for number, each in enumerate(deployments)
            ),
            created_at=parse_timestamp(found.get("created_at")),
            last_updated_at=parse_timestamp(found.get("last_updated_at")),
            raw=found,
        )
    lacking = [] if isinstance(environment_id, str) else ["environment_id"]
    lacking += [] if isinstance(its_name, str) else ["environment_config.name"]
    lacking += [] if is_list(deployments) else ["deployments"]
    raise _not_understood(answer, f"{name} is no environment: it lacks {' and '.join(lacking)}")


def _deployment(answer: Answer, found: Any, name: str) -> EnvironmentDeployment:
    config = found.get("deployment_config") if is_mapping(found) else None
    if not is_mapping(config):
        raise _not_understood(answer, f"{name} does not say what runs: it lacks deployment_config")
    lookup, traffic = config.get("revision_lookup"), config.get("traffic")
    return EnvironmentDeployment(
        # Another way of looking up, which is not known here, may find another revision than the one named beside it.
        revision_id=text_or_none(config.get("revision_id")) if lookup in ("revision_id", None) else None,
        follows_latest=lookup == "latest",
        traffic=traffic if isinstance(traffic, int) and not isinstance(traffic, bool) else None,
        raw=found,
    )


def _stored(answer: Answer, found: Any, name: str) -> StoredWorkflow:
    if not is_mapping(found):
        raise _not_understood(answer, f"{name} is no stored workflow: it is no object")
    workflow_id, revision_id, config = (found.get(each) for each in ("workflow_id", "revision_id", "workflow_config"))
    if isinstance(workflow_id, str) and isinstance(revision_id, str) and is_dict(config):
        is_draft = found.get("is_draft")
        return StoredWorkflow(
            id=workflow_id,
            key=text_or_none(found.get("workflow_key")),
            revision_id=revision_id,
            is_draft=is_draft if isinstance(is_draft, bool) else None,
            created_at=parse_timestamp(found.get("created_at")),
            last_updated_at=parse_timestamp(found.get("last_updated_at")),
            config=config,
            raw=found,
        )
    lacking = [each for each in ("workflow_id", "revision_id") if not isinstance(found.get(each), str)]
    lacking += [] if is_dict(config) else ["workflow_config"]
    raise _not_understood(answer, f"{name} is no stored workflow: it lacks {' and '.join(lacking)}")


# --- Run logs -----------------------------------------------------------------------------------------------------


def read_record(answer: Answer, run_id: str | None = None, session_id: str | None = None) -> RunRecord:
    """Read the log of one run from a 2xx answer.

    Args:
        answer: The answer.
        run_id: The run that was asked for, by its id.
        session_id: The run that was asked for, by its session.

    Raises:
        NotFoundError: there is none, and the answer is `null`.
        APIResponseError: the answer does not hold the log of this run.
    """
    # Not documented: what the answer is when there is no such run.
    if answer.body.strip() == b"null":
        raise errors.NotFoundError(
            "the run logs have no such run", status=404, body=None, headers={}, run_may_have_started=False
        )
    record = _record(answer, without_halves(_decode(answer), answer.body), "it")
    for what, asked, found in (("run", run_id, record.id), ("session", session_id, record.session_id)):
        if asked is not None and found not in (asked, None):
            raise _not_understood(answer, f"it is the log of another run, of the {what} {shorten(repr(found), 100)}")
    return record


def read_record_page(answer: Answer) -> RunRecordPage:
    """Read a page of run logs from a 2xx answer, a stream of rows whose last one is the end of the page.

    Raises:
        APIResponseError: the answer does not hold a whole page.
    """
    if not is_stream(answer.headers.get("content-type", ""), answer.body, is_whole=True):
        raise _not_understood(answer, f"it is no stream of run logs: {_start_of(answer)}")
    decoder = SSEDecoder(len(answer.body) + 1)
    rows = [(event.event, event.data) for event in decoder.feed(answer.body) if event.data.strip()]
    records: list[RunRecord] = []
    end: dict[str, Any] | None = None
    for number, (kind, data) in enumerate(rows):
        name = f"its row {number + 1}"
        if data.strip() in END_MARKERS:
            continue
        row = _row(answer, data, name, kind)
        # Not documented: whether `final` is true on each page, or only on the last. Only its name tells an end.
        if "workflow_run_id" not in row and ("final" in row or "has_more" in row):
            end = row
        else:
            end = None
            records.append(_record(answer, row, name))
    if end is None:
        left = f", and {len(decoder.left())} bytes of another" if decoder.left() else ""
        reason = f"it is cut short: after {len(records)} runs{left} there is no end of the page"
        raise _not_understood(answer, reason, damaged=True)
    return RunRecordPage(records, text_or_none(end.get("next_cursor")), end)


def _row(answer: Answer, data: bytes, name: str, kind: str) -> dict[str, Any]:
    try:
        text = data.decode()
        row = without_halves(parse_json(text), text)
    except NOT_JSON as problem:
        if kind != "error":
            raise _not_understood(answer, f"{name} is not JSON: {problem}", damaged=True) from None
        row = data.decode("utf-8", "replace")
    if kind == "error":
        raise _not_understood(answer, f"the server reports an error in it: {_server_words(row)}", damaged=True)
    if not is_dict(row):
        raise _not_understood(answer, f"{name} is {type(row).__name__} where an object belongs")
    return row


def _record(answer: Answer, found: dict[str, Any], name: str) -> RunRecord:
    lacking = [each for each in ("workflow_run_id", "status") if not isinstance(found.get(each), str)]
    if lacking:
        raise _not_understood(answer, f"{name} is no log of a run: it lacks {' and '.join(lacking)}")
    return record_in_log(found)


# --- Errors -------------------------------------------------------------------------------------------------------


def status_error(answer: Answer) -> APIStatusError:
    """Return the error for an answer with a status other than 2xx, whatever its body."""
    body = _body(answer)
    detail = body.get("detail") if is_mapping(body) else None
    request_id = request_id_in(answer.headers)
    advice = _advice(answer)
    words = _server_words(body)
    if not answer.body and (coding := answer.headers.get("content-encoding")):
        words = f"a body in the content coding {coding}, which is not decoded here"
    message = f"{_status_line(answer.status)}: {words}"
    if advice:
        message = f"{message.removesuffix('.')}; {advice}"
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


def request_id_in(headers: Mapping[str, str]) -> str | None:
    """Return the id that the server gave to a request; `None` when its response has none."""
    for name in _REQUEST_IDS:
        if name in headers:
            return headers[name]
    return None


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
        case 404 | 405 if answer.address:  # a wrong base URL is the usual reason
            return f"the request was {answer.address}"
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
            return answer.unknown_outcome
        case _:
            return ""


def _server_words(body: Any) -> str:
    if isinstance(body, str):
        return _quoted(_text_of_page(body)) if body.strip() else "no body"
    if not is_mapping(body):
        return _quoted(sentence(body))
    words: list[str] = []
    for name in ("detail", "message", "error", "errors"):
        said = body.get(name)
        if said:
            words += map(sentence, said if is_list(said) else [said])
    return _quoted("; ".join(words) or sentence(body))


def _text_of_page(text: str) -> str:
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    if title:
        return f"an HTML page titled {title[1].strip()!r}"
    return " ".join(text.split())


def _quoted(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{shorten(text, _LONGEST)} (the whole is in .body)"


_LONGEST = 600


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _body(answer: Answer) -> Any:
    try:
        return without_halves(parse_json(answer.body), answer.body)
    except NOT_JSON:
        return answer.body.decode("utf-8", "replace")


def _decode(answer: Answer) -> dict[str, Any]:
    try:
        data: Any = parse_json(answer.body)
    except NOT_JSON as problem:
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
    return f"it is not whole JSON ({kind}; {problem}): {_start_of(answer)}"


def _start_of(answer: Answer) -> str:
    return _quoted(_text_of_page(answer.body[:_LONGEST].decode("utf-8", "replace")))


def _not_understood(answer: Answer, reason: str, *, damaged: bool = False) -> APIResponseError:
    outcome = f"; {answer.unknown_outcome}" if answer.unknown_outcome else ""
    return APIResponseError(
        f"the answer with status {answer.status} cannot be understood: {reason}{outcome}; "
        "check base_url (SCOUT_BASE_URL) if this is not Scout's API",
        status=answer.status,
        body=answer.body,
        damaged=damaged,
    )
