"""Sends the request of a run again, inside the server: through the whole API, as the request of any client.

Whoever asked does not wait for the end: the answer is read here, and shown where all runs are shown.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.exceptions import HTTPException

from scout._json import parse_json, redact, write_json
from scout.local.middleware import RUNS
from scout.local.responses import HANG_UP
from scout.local.text import json_bytes

from .runs_view import address_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Scope

    from scout.local.engine import Execution
    from scout.local.history import LocalRequest
    from scout.local.run_logs import LoggedRun

    from .app import PageData

_log = logging.getLogger("scout.local")

_MOST_AT_ONCE = 20
_LONGEST_WAIT = 10.0  # seconds until the run begins; a fault may hold the request up
_LONGEST_SILENCE = 600.0  # seconds between two parts of an answer; a fault may let it stall
_LONGEST_INPUTS = 100_000  # characters that a form of a browser still handles well

# Characters that cannot be seen, or that turn others around. In JSON they can be written in another way.
_UNSEEN = re.compile("[\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def form(data: PageData, run: LoggedRun, typed: str | None = None, error: str = "") -> dict[str, Any] | None:
    """Return the values for `_again.html`; `None` when the request of the run is not kept any more.

    Args:
        data: The history.
        run: The run.
        typed: What was typed, if anything was.
        error: What is wrong with it.
    """
    trace = data.history.traces.of(run.run_id)
    if trace is None:
        return None
    text = as_text(run) if typed is None else typed
    is_short = typed is not None or len(text) <= _LONGEST_INPUTS
    return {
        "address": f"{address_of(run)}/again",
        "inputs": text if is_short else None,
        "length": len(text),
        "error": error,
        "is_stored": run.revision_id is not None,
        "is_pinned": "revision_id" in trace.request.query,
        "hides": is_short and redact(text, data.secrets) != text,
    }


def as_text(run: LoggedRun) -> str:
    """Return the inputs of a run as JSON to edit, in which every character can be seen."""
    return _UNSEEN.sub(lambda each: f"\\u{ord(each[0]):04x}", write_json(parse_json(run.sent), indent=2))


class Again:
    """Sends requests of runs again.

    Args:
        data: The history, in which refused requests are looked up, and the key.
        api: The application of the API.
    """

    def __init__(self, data: PageData, api: ASGIApp) -> None:
        self._data = data
        self._api = api
        self._tasks: set[asyncio.Task[None]] = set()  # the event loop keeps no reference of its own

    async def send(self, request: LocalRequest, inputs: Mapping[str, Any], own: Scope) -> str:
        """Send a request again, as a stream and without its session.

        Args:
            request: The request of a run.
            inputs: The inputs to send with it.
            own: The scope of the request of the page.

        Returns:
            The address of the page of the run, as soon as it has begun, or of the request when it was refused.

        Raises:
            HTTPException: Neither is there: a fault breaks the answer off or holds it up, or too many runs go on.
        """
        if len(self._tasks) >= _MOST_AT_ONCE:
            raise HTTPException(
                503, f"{_MOST_AT_ONCE} runs that were begun on this page go on. Wait for the end of one."
            )
        body = json_bytes({**request.json, "inputs": inputs, "streaming": True})
        began: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._run(self._scope(request, own), body, began))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        either: set[asyncio.Future[Any]] = {began, task}
        await asyncio.wait(either, timeout=_LONGEST_WAIT, return_when=asyncio.FIRST_COMPLETED)
        if began.done():
            return began.result()
        if task.done():
            raise HTTPException(502, "The answer broke off before the run began. A fault can do that.")
        message = (
            f"No run has begun within {_LONGEST_WAIT:.0f} seconds. A fault can do that. Look for it among the runs."
        )
        raise HTTPException(504, message)

    def _scope(self, request: LocalRequest, own: Scope) -> Scope:
        query = {name: value for name, value in request.query.items() if name != "session_id"}
        (host,) = (value for name, value in own["headers"] if name == b"host")
        return {
            **{name: own[name] for name in ("type", "asgi", "http_version", "scheme", "server", "client", "root_path")},
            "method": request.method,
            "path": request.path,
            "raw_path": request.path.encode("latin-1"),
            "query_string": urlencode(query).encode(),
            "headers": [
                (b"host", host),
                (b"user-agent", b"the page of the local Scout"),
                (b"content-type", b"application/json"),
                (b"authorization", f"Bearer {self._data.api_key or 'local'}".encode()),
            ],
        }

    async def _run(self, scope: Scope, body: bytes, began: asyncio.Future[str]) -> None:
        runs: list[Execution] = []
        parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        status = 0
        now = asyncio.get_running_loop().time

        async def receive() -> Message:
            if not parts:
                await asyncio.Event().wait()  # this client stays, until it hangs up
            return parts.pop()

        async def send(message: Message) -> None:
            nonlocal status
            hang_up_in(_LONGEST_SILENCE)
            if message["type"] == "http.response.start":
                status = message["status"]
            elif not began.done():
                # The refusal that was added last is this one: it is added just before it is sent.
                refused = f"/page/requests/{self._data.history.refusals.added}"
                began.set_result(refused if status >= 400 else address_of(runs[0].log))

        def hang_up_in(seconds: float) -> None:
            if not silence.expired():
                silence.reschedule(now() + seconds)

        try:
            async with asyncio.timeout(_LONGEST_SILENCE) as silence:
                extensions = {HANG_UP: lambda: hang_up_in(0)}
                await self._api({**scope, "extensions": extensions, RUNS: runs}, receive, send)
        except TimeoutError:
            pass  # it has hung up
        except Exception:  # noqa: BLE001 - logged, as the server does for other clients; the page shows the run
            _log.exception("a run from the page failed")
