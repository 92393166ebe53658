"""Send and receive. The two drivers differ only in their awaits; `Call` makes every decision."""

from __future__ import annotations

import contextlib
from collections import deque
from time import sleep as _sleep
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import httpx

from ._answers import Answer, status_error
from ._call import FAILURES, USER_AGENT, AsyncTransport, Call, Transport
from ._codings import async_pieces, decoded, pieces
from ._pool import CLOSED, AsyncPool, Pool
from ._retry import foreign
from ._transports import async_bounded, bounded, enforces_limits, proves_unsent
from .errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator

    from ._config import Config
    from ._requests import Request

__all__ = ["AsyncHttp", "Http"]

T = TypeVar("T")

_DRAIN = 0.1
"""Seconds for the rest of a stream after its last event."""


@contextlib.contextmanager
def _failures_ignored() -> Generator[None]:
    """Go on after a failure of the transport, but not after an exception of somebody else."""
    try:
        yield
    except FAILURES as error:
        if foreign(error) is not None:
            raise


# --- Sync ---------------------------------------------------------------------------------------------------------


class Http:
    """Sends calls over the connections that a `Scout` and its copies share."""

    def __init__(self, transport: Transport | None, max_connections: int) -> None:
        self.closed: bool = False
        self._transport: Any = Pool(max_connections) if transport is None else bounded(transport)
        self._proves_unsent: bool = transport is None or proves_unsent(transport, "handle_request")
        self.enforces_limits: bool = transport is None or enforces_limits(transport)
        self._forgotten: deque[httpx.Response] = deque()

    def call(self, request: Request, config: Config, read: Callable[[Answer], T], begun: float) -> T:
        """Send a request, and again where that is safe, and read its answer; `begun` is the time when the call began.

        Raises:
            APIError: the request failed.
            ConfigurationError: the API key is missing.
        """
        call = Call(request, config, begun, proves_unsent=self._proves_unsent)
        result = self._try(call, lambda: read(self._read(call, self._open(call))))
        call.end(result=result)
        return result

    def stream(self, request: Request, config: Config, begun: float) -> Body:
        """Send a request, again where that is safe, and return the body of a 2xx answer unread. Raises as `call`."""
        call = Call(request, config, begun, proves_unsent=self._proves_unsent, streaming=True)
        return self._try(call, lambda: Body(call, self._open(call), self))

    def wait(self, seconds: float) -> None:
        """Wait between two calls."""
        _sleep(seconds)

    def _try(self, call: Call, attempt: Callable[[], T]) -> T:
        try:
            while True:
                call.begin_attempt()
                try:
                    return attempt()
                except FAILURES as error:
                    wait = call.failed(error)
                # Outside of the handler, so that no error has one of httpx as context, whose frames hold the key.
                if wait is None:
                    raise call.failure
                call.waits(wait)
                _sleep(wait)
        except BaseException as error:
            call.end(error)
            raise

    def _open(self, call: Call) -> httpx.Response:
        if self.closed:
            raise ConfigurationError(CLOSED)
        request = call.request()
        self._close_forgotten()
        response = decoded(self._transport.handle_request(request))
        response.request = request
        call.answered(response)
        if call.is_accepted:
            return response
        raise status_error(self._read(call, response))

    def _read(self, call: Call, response: httpx.Response) -> Answer:
        found: list[bytes] = []
        try:
            for piece in pieces(response):
                call.received(piece)
                found.append(piece)
                if call.has_enough():
                    break
        except httpx.HTTPError as error:
            if not call.may_do_without_the_rest(error):
                raise
        finally:
            response.close()
        return call.answer(response, b"".join(found))

    def forget(self, response: httpx.Response) -> None:
        """Close a response that will not be read; the garbage collector may call this at any moment.

        Our own connections can be closed then. Of another transport, which may hold a lock at that moment, only the
        socket is closed; the next call closes the response.
        """
        if isinstance(self._transport, Pool):
            response.close()
            return
        self._forgotten.append(response)
        if (stream := response.extensions.get("network_stream")) is not None:
            stream.close()

    def _close_forgotten(self) -> None:
        with contextlib.suppress(IndexError), _failures_ignored():
            while self._forgotten:
                self._forgotten.popleft().close()

    def raw_options(self, config: Config) -> dict[str, Any]:
        """Return the arguments with which the generated client sends over these connections."""
        return _raw_options(config, _Raw(self._transport))

    def close(self) -> None:
        """Release the connections."""
        self.closed = True
        self._close_forgotten()
        self._transport.close()


class Body:
    """The body of a streamed response."""

    def __init__(self, call: Call, response: httpx.Response, http: Http) -> None:
        self.call = call
        self.content_type: str = response.headers.get("content-type", "")
        self._http = http
        self._response = response
        self._pieces: Iterator[bytes] = pieces(response)

    def read(self) -> bytes:
        """Return the next piece; nothing at the end. Raises one of `FAILURES`."""
        piece = next(self._pieces, b"")
        self.call.received(piece)
        return piece

    def answer(self, body: bytes) -> Answer:
        """Return the response, which turned out to be no stream."""
        return self.call.answer(self._response, body)

    def drain(self) -> None:
        """Read the rest, so that the connection can be reused, and release it."""
        if self._http.enforces_limits:  # else the server decides how long it takes
            self.call.await_event(_DRAIN)
            # Whatever is wrong with the end of a body whose events have all arrived costs no more than the connection.
            with _failures_ignored():
                while self.read():
                    pass
        self.close()

    def close(self) -> None:
        """Release the connection, whatever state it is in."""
        with _failures_ignored():
            self._response.close()

    def abandon(self) -> None:
        """Release the connection of a stream that was forgotten; called by the garbage collector."""
        self.call.forget()
        with _failures_ignored():
            self._http.forget(self._response)


# --- Async --------------------------------------------------------------------------------------------------------


class AsyncHttp:
    """`Http` for `AsyncScout`."""

    def __init__(self, transport: AsyncTransport | None, max_connections: int) -> None:
        self.closed: bool = False
        self._transport: Any = AsyncPool(max_connections) if transport is None else async_bounded(transport)
        self._proves_unsent: bool = transport is None or proves_unsent(transport, "handle_async_request")
        self.enforces_limits: bool = transport is None or enforces_limits(transport)

    async def call(self, request: Request, config: Config, read: Callable[[Answer], T], begun: float) -> T:
        """Send a request, and again where that is safe, and read its answer. As `Http.call`."""
        call = Call(request, config, begun, proves_unsent=self._proves_unsent)

        async def attempt() -> T:
            return read(await self._read(call, await self._open(call)))

        result = await self._try(call, attempt)
        call.end(result=result)
        return result

    async def stream(self, request: Request, config: Config, begun: float) -> AsyncBody:
        """Send a request, and return the body of a 2xx answer unread. As `Http.stream`."""
        call = Call(request, config, begun, proves_unsent=self._proves_unsent, streaming=True)

        async def attempt() -> AsyncBody:
            return AsyncBody(call, await self._open(call), self)

        return await self._try(call, attempt)

    async def wait(self, seconds: float) -> None:
        """Wait between two calls."""
        await _async_sleep(seconds)

    async def _try(self, call: Call, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            while True:
                call.begin_attempt()
                try:
                    return await attempt()
                except FAILURES as error:
                    wait = call.failed(error)
                # As in Http._try.
                if wait is None:
                    raise call.failure
                call.waits(wait)
                await _async_sleep(wait)
        except BaseException as error:
            call.end(error)
            raise

    async def _open(self, call: Call) -> httpx.Response:
        if self.closed:
            raise ConfigurationError(CLOSED)
        request = call.request()
        response = decoded(await self._transport.handle_async_request(request))
        response.request = request
        call.answered(response)
        if call.is_accepted:
            return response
        raise status_error(await self._read(call, response))

    async def _read(self, call: Call, response: httpx.Response) -> Answer:
        found: list[bytes] = []
        try:
            async for piece in async_pieces(response):
                call.received(piece)
                found.append(piece)
                if call.has_enough():
                    break
        except httpx.HTTPError as error:
            if not call.may_do_without_the_rest(error):
                raise
        finally:
            await response.aclose()
        return call.answer(response, b"".join(found))

    def raw_options(self, config: Config) -> dict[str, Any]:
        """Return the arguments with which the generated client sends over these connections."""
        return _raw_options(config, _AsyncRaw(self._transport))

    async def close(self) -> None:
        """Release the connections."""
        self.closed = True
        await self._transport.aclose()


class AsyncBody:
    """`Body` for `AsyncScout`."""

    def __init__(self, call: Call, response: httpx.Response, http: AsyncHttp) -> None:
        import asyncio

        self.call = call
        self.content_type: str = response.headers.get("content-type", "")
        self._http = http
        self._response = response
        self._pieces: AsyncIterator[bytes] = async_pieces(response)
        self._loop = asyncio.get_running_loop()

    async def read(self) -> bytes:
        """Return the next piece; nothing at the end. Raises one of `FAILURES`."""
        piece = await anext(self._pieces, b"")
        self.call.received(piece)
        return piece

    def answer(self, body: bytes) -> Answer:
        """Return the response, which turned out to be no stream."""
        return self.call.answer(self._response, body)

    async def drain(self) -> None:
        """Read the rest, so that the connection can be reused, and release it."""
        if self._http.enforces_limits:
            self.call.await_event(_DRAIN)
            # As in Body.drain.
            with _failures_ignored():
                while await self.read():
                    pass
        await self.close()

    async def close(self) -> None:
        """Release the connection, whatever state it is in."""
        with _failures_ignored():
            await self._response.aclose()

    def abandon(self) -> None:
        """Release the connection of a stream that was forgotten; called by the garbage collector, in any thread."""
        self.call.forget()
        with contextlib.suppress(RuntimeError):  # the loop is closed, and its connections with it
            self._loop.call_soon_threadsafe(self._close_soon)

    def _close_soon(self) -> None:
        task = self._loop.create_task(self.close())
        _closing.add(task)
        task.add_done_callback(_closing.discard)


_closing: set[Any] = set()  # tasks, which a loop itself does not keep


async def _async_sleep(seconds: float) -> None:
    import asyncio

    await asyncio.sleep(seconds)


# --- The raw client -----------------------------------------------------------------------------------------------


class _Key(httpx.Auth):
    """The key of the client, read for each request."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        self._config.secret().authorize(request.headers)
        yield request


class _Lent(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """The connections of a client for its raw client, which does not close them."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def __reduce__(self) -> NoReturn:
        raise TypeError("a raw client cannot travel to another process; make it there")


class _Raw(_Lent):
    """The connections of a `Scout`."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return decoded(self._transport.handle_request(request))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise ConfigurationError("this raw client is that of a Scout; the asyncio functions need AsyncScout(...).raw")


class _AsyncRaw(_Lent):
    """The connections of an `AsyncScout`."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        raise ConfigurationError("this raw client is that of an AsyncScout; the sync functions need Scout(...).raw")

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return decoded(await self._transport.handle_async_request(request))


def _raw_options(config: Config, transport: httpx.BaseTransport) -> dict[str, Any]:
    return {
        "headers": {"user-agent": USER_AGENT, **config.headers},
        "timeout": httpx.Timeout(config.timeout, connect=config.connect_timeout),
        "httpx_args": {"transport": transport, "auth": _Key(config)},
    }
