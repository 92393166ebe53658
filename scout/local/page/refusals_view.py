"""The pages of refused requests: from what was answered to the reasons in words. No HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scout._json import NOT_JSON, is_dict, is_list, is_mapping, parse_json, spell, write_json
from scout.local.store import NotThereError

from .runs_view import clock_of, newest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scout.local.history import LocalRequest, Refusal

    from .app import PageData

_REQUESTS_OF_A_PAGE = 100
_REASONS_OF_A_ROW = 3
_LONGEST_PART = 2_000  # characters of a part of a body that is shown beside its problem


def refusals(data: PageData, query: Mapping[str, str]) -> dict[str, Any]:
    """Return the values for `requests.html`: newest first."""
    numbered = reversed(data.history.refusals.numbered())
    found, older = newest(numbered, _REQUESTS_OF_A_PAGE, "/page/requests", query)
    return {"refusals": [_row(*each) for each in found], "older": older, "is_first": "before" not in query}


def refusal(data: PageData, number: int) -> dict[str, Any]:
    """Return the values for `request.html`.

    Raises:
        NotThereError: It is not kept any more.
    """
    found = _found(data, number)
    body = _parsed(found.request.content)
    return {
        **_row(number, found),
        "reasons": [_with_part(each, found.request, body) for each in _reasons(found.content)],
        "more": 0,
        "query": dict(found.request.query),
        "body": _pretty(found.request.content),
        "answer": _pretty(found.content),
    }


def body_text(data: PageData, number: int) -> str:
    """Return the whole body of a request. Raises as `refusal`."""
    return _pretty(_found(data, number).request.content)


def answer_text(data: PageData, number: int) -> str:
    """Return the whole body of the answer. Raises as `refusal`."""
    return _pretty(_found(data, number).content)


def _found(data: PageData, number: int) -> Refusal:
    found = dict(data.history.refusals.numbered()).get(number)
    if found is None:
        raise NotThereError("This request is not there (any more): the newest 1,000 refused requests are kept.")
    return found


def _row(number: int, refusal: Refusal) -> dict[str, Any]:
    reasons = _reasons(refusal.content)
    return {
        "number": number,
        "address": f"/page/requests/{number}",
        "at": refusal.refused_at.isoformat(timespec="milliseconds"),
        "clock": clock_of(refusal.refused_at),
        "method": refusal.request.method,
        "path": refusal.request.path,
        "status": refusal.status,
        "is_fault": refusal.is_fault,
        "reasons": reasons[:_REASONS_OF_A_ROW],
        "more": len(reasons[_REASONS_OF_A_ROW:]),
    }


def _reasons(content: bytes) -> list[dict[str, Any]]:
    """Return the reasons in an answer, each with its message and, if there is one, the place in the request."""
    answer = _parsed(content)
    detail = answer.get("detail") if is_dict(answer) else None
    if is_list(detail) and detail and all(is_dict(each) and _is_place(each.get("loc")) for each in detail):
        return [_reason(each) for each in detail]
    if isinstance(detail, str):
        return [{"place": "", "message": detail, "loc": []}]
    return [{"place": "", "message": _pretty(content), "loc": []}]


def _is_place(loc: Any) -> bool:
    """Return True for the names and indexes of a place; a fault may answer with anything."""
    return is_list(loc) and all(isinstance(step, str | int) for step in loc)


def _reason(detail: Mapping[str, Any]) -> dict[str, Any]:
    loc = list(detail["loc"])
    message = str(detail.get("msg", ""))
    if detail.get("type") == "json_invalid":  # the place is a number of a character
        context = detail.get("ctx")
        why = context.get("error") if is_dict(context) else None
        return {"place": "the body", "message": f"{message}: {why}", "loc": loc}
    return {"place": _place(loc), "message": message, "loc": loc}


def _place(loc: Sequence[Any]) -> str:
    if loc[:1] == ["body"]:
        return spell(tuple(loc[1:])) or "the body"
    if loc[:1] == ["query"]:
        return f"{spell(tuple(loc[1:]))} in the query"
    return spell(tuple(loc))


def _with_part(reason: Mapping[str, Any], request: LocalRequest, body: Any) -> dict[str, Any]:
    """Return a reason with the part of the body at its place, if it is small; or the nearest one around it."""
    loc = reason["loc"]
    if loc[:1] != ["body"]:
        return {**reason, "part": None}
    if body is None:
        return {**reason, "part": None, "message": reason["message"] + _line_and_column(request.content, loc[1:])}
    part, steps = body, 0
    for step in loc[1:]:
        inner = dict(enumerate(part)) if is_list(part) else part
        if not is_mapping(inner) or step not in inner:
            break
        part, steps = inner[step], steps + 1
    text = write_json(part, indent=2)
    if len(text) > _LONGEST_PART:
        return {**reason, "part": None}
    return {**reason, "part": text, "part_place": _place(loc[: steps + 1])}


def _line_and_column(content: bytes, position: Sequence[Any]) -> str:
    if not position or not isinstance(position[0], int):
        return ""
    before = content.decode("utf-8", "replace")[: position[0]]
    return f", in line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"


def _parsed(content: bytes) -> Any:
    """Return the value of JSON; `None` when it is not JSON."""
    try:
        return parse_json(content)
    except NOT_JSON:
        return None


def _pretty(content: bytes) -> str:
    value = _parsed(content)
    return content.decode("utf-8", "replace") if value is None else write_json(value, indent=2)
