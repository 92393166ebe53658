"""Responses of the local Scout: JSON, the result of a run, and a run as a stream of events."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from .engine import RUN_COMPLETED, RUN_FAILED
from .faults import BrokenOffError, spoil_body, spoil_events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from starlette.types import Receive, Scope, Send

    from .engine import EventData, Execution
    from .faults import Fault

HANG_UP = "scout.local.hang_up"
"""The key, among a scope's extensions, of the function that ends the connection."""


class Json(JSONResponse):
    """JSON with text beyond ASCII as it is, like from the real server: clients must cope with U+2028 and its like."""

    def render(self, content: Any) -> bytes:
        """The bytes of the body."""
        return json_bytes(content)


def json_bytes(content: Any) -> bytes:
    """Compact JSON, in UTF-8."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


class RunResponse(Response):
    """The answer to a plain run, which goes on only as long as somebody waits for it.

    Args:
        run: What is to be run.
        fault: What goes wrong.
        on_end: Called with the answer's bytes when the run has ended.
    """

    media_type = "application/json"

    def __init__(self, run: Execution, fault: Fault | None, on_end: Callable[[bytes], None]) -> None:
        super().__init__()
        self._run = run
        self._fault = fault
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run, and send."""
        await while_connected(receive, _or_broken_off(self._work(send), scope))

    async def _work(self, send: Send) -> None:
        content = json_bytes(await self._run.finish())
        self._on_end(content)
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
        await send({"type": "http.response.body", "body": part, "more_body": len(part) < len(content)})


class EventStream(RunResponse):
    """The answer to a streamed run: one frame for each event. Arguments as for `RunResponse`."""

    media_type = "text/event-stream"

    def __init__(self, run: Execution, fault: Fault | None, on_end: Callable[[bytes], None]) -> None:
        super().__init__(run, fault, on_end)
        self.headers["cache-control"] = "no-cache"
        # Set for a body of no bytes; a stream does not know its length.
        del self.headers["content-length"]

    async def _work(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with contextlib.aclosing(self._run.events()) as events:
            async for frame in spoil_events(self._noted(events), self._fault, _frame):
                await send({"type": "http.response.body", "body": frame, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _noted(self, events: AsyncIterator[EventData]) -> AsyncIterator[EventData]:
        """The events; the run is noted before its last one goes out, so that whoever has that finds it."""
        async for event in events:
            if event["name"] in {RUN_COMPLETED, RUN_FAILED}:
                self._on_end(json_bytes(self._run.answer()))
            yield event


async def while_connected(receive: Receive, work: Coroutine[Any, Any, None]) -> bool:
    """Do the work, but stop as soon as the client has gone; return whether it was done."""
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
        await asyncio.Event().wait()  # until the client has gone


def _frame(event: EventData) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["name"].encode(), json_bytes(event))
