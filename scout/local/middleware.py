"""Takes each request in: reads it whole, notes it, lets it meet its fault, and reports how it was answered."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from .access import Access
from .history import LocalRequest
from .responses import Json, while_connected

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .faults import Fault, Faults
    from .history import History

_log = logging.getLogger("scout.local")

FAULT = "scout.local.fault"
"""The key of a request's fault in its scope."""

_MOST_BODY = 20 * 1024 * 1024
# Read and thrown away, so that a client that is still sending gets to see the 413 and not a broken connection.
_MOST_DISCARDED = 8 * _MOST_BODY
_SECRET_HEADERS = ("authorization", "proxy-authorization", "cookie")


class RequestMiddleware:
    """The outermost part of the application.

    Args:
        app: What answers.
        history: Notes each request.
        faults: Says what goes wrong with each.
        on_access: Called after every answer.
    """

    def __init__(
        self, app: ASGIApp, history: History, faults: Faults, on_access: Callable[[Access], None] | None
    ) -> None:
        self._app = app
        self._history = history
        self._faults = faults
        self._on_access = on_access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._on_access is not None:
            await _reported(self._take_in, self._on_access, scope, receive, send)
        else:
            await self._take_in(scope, receive, send)

    async def _take_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        content, size = await _read(receive)
        if content is None:
            return
        if size > _MOST_BODY:
            message = f"The body is larger than {_MOST_BODY} bytes."
            await Json({"detail": message}, 413, {"connection": "close"})(scope, receive, send)
            return
        request = _noted(scope, content)
        self._history.requests.add(request)
        # A path is taken apart before its percent signs are decoded: `a%2Fb` is one id, and not two segments.
        scope = {**scope, "path": request.path}
        fault = self._faults.next(f"{request.method} {request.path}", content, is_run=_is_run(request))
        if fault is not None:
            scope[FAULT] = fault
            if not await while_connected(receive, asyncio.sleep(fault.delay)):
                return
            if fault.status is not None:
                await _refusal(fault.status, fault)(scope, receive, send)
                return
        await self._app(scope, _again(content, receive), send)


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
    """The body, `None` when the client has gone, and its size; of one that is too large the size only."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None, size
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= _MOST_BODY:
            chunks.append(chunk)
        else:
            chunks.clear()
        if size > _MOST_DISCARDED or not message.get("more_body"):
            return b"".join(chunks), size


def _again(content: bytes, receive: Receive) -> Receive:
    """Gives the body that was read, and then what else comes: that the client has gone."""
    left: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def replay() -> Message:
        return left.pop() if left else await receive()

    return replay


async def _reported(app: ASGIApp, report: Callable[[Access], None], scope: Scope, receive: Receive, send: Send) -> None:
    began = time.perf_counter()
    status: int | None = None
    is_reported = False

    def tell() -> None:
        nonlocal is_reported
        is_reported = True
        path = scope["raw_path"].decode("latin-1")
        try:
            report(Access(scope["method"], path, status, time.perf_counter() - began))
        except Exception:  # noqa: BLE001 - the log gets it; a client must not suffer for it
            _log.exception("on_access failed")

    async def noting_send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif not message.get("more_body"):
            # Before the last part goes out, so that whoever has the answer also finds the report of it.
            tell()
        await send(message)

    try:
        await app(scope, receive, noting_send)
    finally:
        if not is_reported:
            tell()
