"""HTTP server on uvicorn, for embedding in another program: it prints nothing, and stops at once."""

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

# Longer than clients keep idle connections: if a server closes one while a request is sent, the outcome is unknown.
_KEEP_ALIVE_SECONDS = 75
_FINISH_SECONDS = 0.6


# Warnings of uvicorn about invalid requests are off by default: without a handler, Python would print them to the
# stderr of the program that embeds the server.
_log = logging.getLogger("scout.local.http")
if _log.level == logging.NOTSET:
    _log.setLevel(logging.ERROR)


class _SilentProtocol(H11Protocol):
    """Writes no access log, and lets the application close the connection.

    `access_log=False` would change a logger that another uvicorn server in the program may use.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.access_log = False
        self.logger = _log

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Pass a function that closes the connection to the application."""
        super().connection_made(transport)
        app = self.app

        async def with_hang_up(scope: Any, receive: Any, send: Any) -> None:
            scope["extensions"] = {HANG_UP: transport.close}
            await app(scope, receive, send)

        self.app = with_hang_up

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the keep-alive timer, with which uvicorn would keep a connection that the client has reset."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()


class HttpServer(uvicorn.Server):
    """Serves one app on one socket until it is stopped.

    Args:
        app: The application.
        on_started: A function to call when connections are accepted.
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
        """Serve on a socket until `stop` is called."""
        await self.serve([listener])

    def stop(self) -> None:
        """Make `serve_on` return. Call it on the event loop."""
        self._stop.set()

    async def main_loop(self) -> None:
        """Wait until `stop` is called. Replaces the loop of uvicorn, which polls every 0.1 seconds."""
        self._on_started()
        await self._stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Abort all connections. Replaces the graceful shutdown of uvicorn, which could wait for runs for minutes."""
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        # Each request notices the disconnect, and stops its run.
        tasks = list(self.server_state.tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=_FINISH_SECONDS)
        await asyncio.sleep(0)  # lets the aborted transports close their sockets
