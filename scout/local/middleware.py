"""Middleware: one part reads each request whole, records it and applies its fault; another reports the response."""

from __future__ import annotations

import asyncio
import logging
from functools import cached_property
from typing import TYPE_CHECKING

from scout._json import redact

from .access import Access
from .clock import monotonic
from .history import LocalRequest, Refusal
from .responses import Json, while_connected

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .engine import Execution
    from .faults import Fault, Faults
    from .history import History

_log = logging.getLogger("scout.local")

FAULT = "scout.local.fault"
"""The key of the fault in the scope of a request."""

REQUEST = "scout.local.request"
"""The key of the `LocalRequest` in the scope of a request."""

RUNS = "scout.local.runs"
"""The key, in the scope of a request, of a list that takes the run, if there is one, for those who want to know it."""

MOST_BODY = 20 * 1024 * 1024
"""The limit of the body of a request, in bytes."""

# Bytes that are read and dropped, so that a client that is still sending gets the 413 and not a broken connection.
_MOST_DISCARDED = 8 * MOST_BODY
_SECRET_HEADERS = ("authorization", "proxy-authorization", "cookie")


class RequestMiddleware:
    """Reads each request, records it, and applies its fault.

    Args:
        app: The application that answers.
        history: Records each request.
        faults: Returns the fault of each request.
        keeps_refusals: Record also each answer that is an error.
    """

    def __init__(self, app: ASGIApp, history: History, faults: Faults, *, keeps_refusals: bool) -> None:
        self._app = app
        self._history = history
        self._faults = faults
        self._keeps_refusals = keeps_refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        content, size = await _read(receive)
        if content is None:
            return
        request = _noted(scope, content)
        # The undecoded path, so that it is split into segments before decoding: `a%2Fb` is one id.
        scope = {**scope, "path": request.path, REQUEST: request}
        if self._keeps_refusals:
            send = self._noting_refusal(scope, send)
        if size > MOST_BODY:
            message = f"The body is larger than {MOST_BODY} bytes."
            await Json({"detail": message}, 413, {"connection": "close"})(scope, receive, send)
            return
        self._history.requests.add(request)
        fault = self._faults.next(f"{request.method} {request.path}", content, is_run=_is_run(request))
        if fault is not None:
            scope[FAULT] = fault
            if not await while_connected(receive, asyncio.sleep(fault.delay)):
                return
            if fault.status is not None:
                await _refusal(fault.status, fault)(scope, receive, send)
                return
        await self._app(scope, _again(content, receive), send)

    def _noting_refusal(self, scope: Scope, send: Send) -> Send:
        status = 0

        async def noting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif status >= 400:
                fault = scope.get(FAULT)
                is_fault = fault is not None and fault.status is not None
                self._history.refusals.add(Refusal(scope[REQUEST], status, message["body"], is_fault))
            await send(message)

        return noting_send


def _noted(scope: Scope, content: bytes) -> LocalRequest:
    from starlette.datastructures import QueryParams

    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return LocalRequest(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query=dict(QueryParams(scope["query_string"])),
        headers={name: value for name, value in headers.items() if name not in _SECRET_HEADERS},
        content=content,
    )


def _is_run(request: LocalRequest) -> bool:
    return request.method == "POST" and request.path.endswith("/execute")


def _refusal(status: int, fault: Fault) -> Json:
    headers = dict(fault.headers)
    if fault.retry_after is not None:
        headers["retry-after"] = f"{fault.retry_after:f}".rstrip("0").rstrip(".")
    body = {"detail": "This fault was asked for."} if fault.body is None else fault.body
    return Json(body, status, headers)


async def _read(receive: Receive) -> tuple[bytes | None, int]:
    """Return the body and its size in bytes. The body is `None` after a disconnect, and empty if it is too large."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None, size
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= MOST_BODY:
            chunks.append(chunk)
        else:
            chunks.clear()
        if size > _MOST_DISCARDED or not message.get("more_body"):
            return b"".join(chunks), size


def _again(content: bytes, receive: Receive) -> Receive:
    """Return a `receive` that replays the body, and then waits for the disconnect."""
    left: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def replay() -> Message:
        return left.pop() if left else await receive()

    return replay


class AccessReports:
    """Reports each response, also of a request that is refused.

    Args:
        app: The application that answers.
        report: A function to call after every response.
        secrets: Texts to redact in the errors of runs.
    """

    def __init__(self, app: ASGIApp, report: Callable[[Access], None], secrets: Sequence[str]) -> None:
        self._app = app
        self._report = report
        self._secrets = secrets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        began = monotonic()
        status: int | None = None
        runs: list[Execution] = scope.get(RUNS, [])
        is_reported = False

        def report_once() -> None:
            nonlocal is_reported
            is_reported = True
            path = scope["raw_path"].decode("latin-1")
            said = tuple(redact([error for run in runs for error in run.errors], self._secrets))
            try:
                self._report(Access(scope["method"], path, status, monotonic() - began, said))
            except Exception:  # noqa: BLE001 - logged, because the client must get its response
                _log.exception("on_access failed")

        async def noting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif not message.get("more_body"):
                # Before the last part is sent, so that the report exists when the client has the whole response.
                report_once()
            await send(message)

        try:
            await self._app({**scope, RUNS: runs}, receive, noting_send)
        finally:
            if not is_reported:
                report_once()


class Entrance:
    """Leads requests for the page to the page, and all others to the API.

    Args:
        make_page: Makes the application of the page, when it is first asked for.
        api: The application of the API.
    """

    def __init__(self, make_page: Callable[[], ASGIApp], api: ASGIApp) -> None:
        self._make_page = make_page
        self._api = api

    @cached_property
    def _page(self) -> ASGIApp:
        return self._make_page()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope["path"]
        is_page = path.startswith("/page/") or (path == "/" and scope["method"] in ("GET", "HEAD"))
        await (self._page if is_page else self._api)(scope, receive, send)
