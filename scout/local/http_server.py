"""uvicorn, made to live inside somebody else's program: silent, and gone at once when stopped."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from .responses import HANG_UP

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from starlette.types import ASGIApp

# Longer than clients keep idle connections. When one closes just as a request is sent, its outcome is unknown.
_KEEP_ALIVE_SECONDS = 75
_FINISH_SECONDS = 0.6


# What uvicorn says of requests that are none (a broken first line) is for those who set a lower level: without that,
# Python would print it into the program that this server lives in.
_log = logging.getLogger("scout.local.http")
if _log.level == logging.NOTSET:
    _log.setLevel(logging.ERROR)


class _SilentProtocol(H11Protocol):
    """Writes no access log, and gives the application a way to hang up.

    `access_log=False` would do the same, but by changing a logger that a uvicorn of the user's may be using.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.access_log = False
        self.logger = _log

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """End this connection, for the application."""
        super().connection_made(transport)
        app = self.app

        async def with_hang_up(scope: Any, receive: Any, send: Any) -> None:
            scope["extensions"] = {HANG_UP: transport.close}
            await app(scope, receive, send)

        self.app = with_hang_up

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection, also when the client has reset it: uvicorn would keep it until its timer rings."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()


class HttpServer(uvicorn.Server):
    """Serves one app on one socket until it is stopped.

    Args:
        app: The application.
        on_started: Called once connections are accepted.
    """

    def __init__(self, app: ASGIApp, on_started: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app,
            http=_SilentProtocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        super().__init__(config)
        self._on_started = on_started
        self._stop = asyncio.Event()

    async def serve_on(self, listener: socket.socket) -> None:
        """Serve until `stop` is called."""
        await self.serve([listener])

    def stop(self) -> None:
        """Make `serve_on` return; to be called on the event loop."""
        self._stop.set()

    async def main_loop(self) -> None:
        """Serve; a part of uvicorn's life of a server."""
        # Waiting for an event instead of looking every 0.1 seconds: stopping is immediate.
        self._on_started()
        await self._stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; a part of uvicorn's life of a server."""
        # Not gracefully: runs and streams that are still open could go on for minutes.
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        # Each request sees that its client is gone, and stops its run.
        tasks = list(self.server_state.tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=_FINISH_SECONDS)
        await asyncio.sleep(0)  # lets the aborted transports close their sockets
