"""The HTTP face of the local Scout: routes, authentication, bodies, and streams of events."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import time
from typing import TYPE_CHECKING, Any, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .access import Access
from .engine import Call, Engine, Event, Run
from .plan import InvalidRequestError
from .validation import RequestRules, parse_body
from .workers import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger("scout.local")

_EXECUTE = "/v2/workflows/execute"
_MOST_BODY = 20 * 1024 * 1024
# Read and thrown away, so that a client that is still sending gets to see the 413 and not a broken connection.
_MOST_DISCARDED = 8 * _MOST_BODY
# Larger ones are parsed and checked in a thread, because that takes long enough to be felt by other runs.
_SMALL_BODY = 256 * 1024


def build_app(engine: Engine, *, api_key: str | None, on_access: Callable[[Access], None] | None) -> ASGIApp:
    """The ASGI application.

    Args:
        engine: What runs the workflows.
        api_key: The one bearer key that is let in; `None` lets in any.
        on_access: Called after every answer.
    """
    endpoints = _Endpoints(engine, api_key)
    app = Starlette(
        routes=[Route(_EXECUTE, endpoints.execute, methods=["POST"])],
        exception_handlers={
            HTTPException: _http_problem,
            InvalidRequestError: _invalid_request,
            ClientDisconnect: _nobody_there,
            Exception: _own_fault,
        },
    )
    # The API does not redirect to a path with or without a slash at its end.
    app.router.redirect_slashes = False
    return app if on_access is None else _AccessReporter(app, on_access)


class _Endpoints:
    def __init__(self, engine: Engine, api_key: str | None) -> None:
        self._engine = engine
        self._api_key = None if api_key is None else api_key.encode()
        self._execute_rules = RequestRules(_EXECUTE, "post")

    async def execute(self, request: Request) -> Response:
        """`POST /v2/workflows/execute`: run the workflow that comes with the request."""
        self._authenticate(request)
        content = await _read(request)
        query = request.query_params
        if len(content) <= _SMALL_BODY:
            body = self._checked(request, content)
        else:
            worker = Worker("scout-local-request")
            try:
                body = await worker.call(self._checked, request, content)
            finally:
                worker.close()
        call = Call(
            workflow_config=body["workflow_config"],
            inputs=body.get("inputs") or {},
            workflow_key=body.get("workflow_key"),
            environment=query.get("environment", "production"),
            session_id=query.get("session_id"),
        )
        streaming = body.get("streaming", False)
        run = self._engine.run(call, partials=streaming)
        return _EventStream(run) if streaming else _RunAnswer(run)

    def _authenticate(self, request: Request) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            message = 'There is no API key. Send it as the header "Authorization: Bearer <key>".'
            raise HTTPException(401, message, {"www-authenticate": "Bearer"})
        if self._api_key is not None and not hmac.compare_digest(key.encode("latin-1"), self._api_key):
            raise HTTPException(401, "The API key is not valid.", {"www-authenticate": "Bearer"})

    def _checked(self, request: Request, content: bytes) -> Mapping[str, Any]:
        """The body, if it and the query are what the specification asks for."""
        details = self._execute_rules.check_query(request.query_params)
        if not _says_json(request.headers.get("content-type")):
            message = "Input should be JSON: the content-type of the request says that it is something else"
            details.append({"type": "model_attributes_type", "loc": ["body"], "msg": message})
            raise InvalidRequestError(details)
        try:
            body = parse_body(content)
        except InvalidRequestError as error:
            raise InvalidRequestError([*details, *error.details]) from None
        details += self._execute_rules.check_body(body)
        if details:
            raise InvalidRequestError(details)
        return cast("Mapping[str, Any]", body)


def _says_json(content_type: str | None) -> bool:
    if content_type is None:  # the real server then takes it for JSON as well
        return True
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


async def _read(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= _MOST_BODY:
            chunks.append(chunk)
        elif size > _MOST_DISCARDED:
            break
        else:
            chunks.clear()
    if size > _MOST_BODY:
        raise HTTPException(413, f"The body is larger than {_MOST_BODY} bytes.", {"connection": "close"})
    return b"".join(chunks)


# --- Answers -------------------------------------------------------------------------------------------------------


class _RunAnswer(Response):
    """The answer to a plain execute: the run goes on only as long as somebody waits for it."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def work() -> None:
            answer = _Json(await self._run.finish())
            await answer(scope, receive, send)

        await _while_connected(receive, work())


class _EventStream(Response):
    """The answer to a streamed execute: one frame for each event."""

    def __init__(self, run: Run) -> None:
        super().__init__(headers={"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"})
        # Set for a body of no bytes; a stream does not know its length.
        del self.headers["content-length"]
        self._run = run

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        async def work() -> None:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async with contextlib.aclosing(self._run.events()) as events:
                async for event in events:
                    await send({"type": "http.response.body", "body": _frame(event), "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        await _while_connected(receive, work())


def _frame(event: Event) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["name"].encode(), _json_bytes(event))


async def _while_connected(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Do the work, but stop as soon as the client has gone."""
    working = asyncio.create_task(work)
    watching = asyncio.create_task(_disconnect(receive))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        watching.cancel()
        if not working.done():
            working.cancel()
        await asyncio.wait({working, watching})
    if not working.cancelled():
        working.result()


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Json(JSONResponse):
    def render(self, content: Any) -> bytes:
        return _json_bytes(content)


def _json_bytes(content: Any) -> bytes:
    # Text beyond ASCII goes out as it is, like from the real server: clients must cope with U+2028 and its like.
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


async def _http_problem(_: Request, error: Exception) -> Response:
    problem = cast("HTTPException", error)
    return _Json({"detail": problem.detail}, problem.status_code, problem.headers)


async def _invalid_request(_: Request, error: Exception) -> Response:
    return _Json({"detail": cast("InvalidRequestError", error).details}, 422)


async def _nobody_there(_: Request, __: Exception) -> Response:
    return Response(status_code=400)  # never seen: the client left while it was sending its request


async def _own_fault(_: Request, error: Exception) -> Response:
    return _Json({"detail": f"The local Scout itself failed: {type(error).__name__}"}, 500)


# --- Access log ----------------------------------------------------------------------------------------------------


class _AccessReporter:
    """Calls a function after every answered request."""

    def __init__(self, app: ASGIApp, report: Callable[[Access], None]) -> None:
        self._app = app
        self._report = report

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        status: int | None = None
        reported = False

        def report() -> None:
            nonlocal reported
            reported = True
            path = scope["raw_path"].decode("latin-1")
            try:
                self._report(Access(scope["method"], path, status, time.perf_counter() - began))
            except Exception:  # noqa: BLE001 - the log gets it; a client must not suffer for it
                _log.exception("on_access failed")

        async def noting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif not message.get("more_body"):
                # Before the last part goes out, so that whoever has the answer also finds the report of it.
                report()
            await send(message)

        try:
            await self._app(scope, receive, noting_send)
        finally:
            if not reported:
                report()
