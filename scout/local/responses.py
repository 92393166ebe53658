"""Responses of the local Scout: JSON, the result of a run, and a stream of events."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from .faults import BrokenOffError, spoil_body, spoil_events
from .text import json_bytes

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from starlette.types import Receive, Scope, Send

    from .engine import EventData, Execution
    from .faults import Fault
    from .traces import Trace

HANG_UP = "scout.local.hang_up"
"""The key, in the extensions of a scope, of the function that closes the connection."""


class Json(JSONResponse):
    """Response with JSON. Like the real server, it does not escape non-ASCII text, such as U+2028."""

    def render(self, content: Any) -> bytes:
        """Return the bytes of the body."""
        return json_bytes(content)


class RunResponse(Response):
    """The response to a run without streaming. The run is cancelled when the client disconnects.

    Args:
        run: The run, which has not begun.
        fault: The fault to apply; `None` for none.
        trace: Keeps what was sent; `None` to keep nothing.
    """

    media_type = "application/json"

    def __init__(self, run: Execution, fault: Fault | None, trace: Trace | None) -> None:
        super().__init__()
        self._run = run
        self._fault = fault
        self._trace = trace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the workflow, and send the response."""
        is_complete = False
        try:
            is_complete = await while_connected(receive, _or_broken_off(self._work(send), scope))
        finally:
            if self._trace is not None:
                self._trace.end(is_complete=is_complete)

    async def _work(self, send: Send) -> None:
        await self._run.finish(None if self._trace is None else self._trace.happened)
        content = self._run.log.content
        if self._fault is not None:
            content = spoil_body(content, self._fault)
            sent = self._fault.breaks_off_after
            if sent is not None:
                if sent > 0:
                    await self._send(send, content, content[: len(content) // 2])
                raise BrokenOffError(stalls=self._fault.stall_after is not None)
        await self._send(send, content, content)

    async def _send(self, send: Send, content: bytes, part: bytes) -> None:
        self.headers["content-length"] = str(len(content))
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if self._trace is not None:
            self._trace.sent(part)
        await send({"type": "http.response.body", "body": part, "more_body": len(part) < len(content)})


class EventStream(RunResponse):
    """The response to a streamed run: one frame for each event. Arguments as for `RunResponse`."""

    media_type = "text/event-stream"

    def __init__(self, run: Execution, fault: Fault | None, trace: Trace | None) -> None:
        super().__init__(run, fault, trace)
        self.headers["cache-control"] = "no-cache"
        # Starlette has set it for an empty body; the length of a stream is not known.
        del self.headers["content-length"]

    async def _work(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with contextlib.aclosing(self._run.events()) as events:
            async for frame in spoil_events(events, self._fault, _frame):
                if self._trace is not None:
                    self._trace.sent(frame)
                await send({"type": "http.response.body", "body": frame, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def while_connected(receive: Receive, work: Coroutine[Any, Any, None]) -> bool:
    """Do the work, but cancel it when the client disconnects. Return True when it was finished."""
    working = asyncio.create_task(work)
    watching = asyncio.create_task(_disconnect(receive))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        watching.cancel()
        if not working.done():
            working.cancel()
        await asyncio.wait({working, watching})
    if working.cancelled():
        return False
    working.result()
    return True


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _or_broken_off(work: Coroutine[Any, Any, None], scope: Scope) -> None:
    try:
        await work
    except BrokenOffError as end:
        if not end.stalls:
            scope["extensions"][HANG_UP]()
        await asyncio.Event().wait()  # until the client disconnects


def _frame(event: EventData) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["name"].encode(), json_bytes(event))
