"""Wrappers for transports of the caller (`transport=`), which enforce the deadline of a call.

Our own connections look at `Limits` before every read and write. A transport of the caller knows httpx's timeouts
alone, which bound each operation and not the call. So the call stops waiting for it when the time has passed.
"""

from __future__ import annotations

import contextlib
import contextvars
import math
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from ._call import LIMITS, Limits, OwnTransport, use_stand_in
from ._retry import foreign

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator

__all__ = ["async_bounded", "bounded", "enforces_limits", "proves_unsent"]

T = TypeVar("T")


def proves_unsent(transport: object, method: str) -> bool:
    """Return True when the connect errors of a transport prove that no byte of the request was sent.

    That is so for those of httpx, also when a program that watches them (OpenTelemetry) has wrapped their methods.

    Args:
        transport: The transport.
        method: Its method that sends.
    """
    if isinstance(transport, OwnTransport):
        return transport.proves_unsent
    replaced = getattr(transport, "__dict__", {}).get(method)
    if replaced is not None and not hasattr(replaced, "__wrapped__"):
        return False  # a function of somebody else, in this object alone
    owner = next((kind for kind in type(transport).__mro__ if method in vars(kind)), None)
    return owner in (httpx.HTTPTransport, httpx.AsyncHTTPTransport, httpx.MockTransport)


def enforces_limits(transport: object) -> bool:
    """Return True when a transport looks at `Limits` while it waits."""
    return isinstance(transport, OwnTransport) and transport.enforces_limits


def bounded(transport: Any) -> Any:
    """Return a transport that enforces `Limits`; one of this package does so by itself."""
    return transport if isinstance(transport, OwnTransport) else _Bounded(transport)


def async_bounded(transport: Any) -> Any:
    """Return a transport for asyncio that enforces `Limits`."""
    return transport if isinstance(transport, OwnTransport) else _AsyncBounded(transport)


@contextlib.contextmanager
def _errors_of_httpx() -> Generator[None]:
    """Raise an `OSError` of a transport of the caller as an error of httpx, and somebody else's as it is."""
    try:
        yield
    except OSError as error:
        if foreign(error) is not None:
            raise
        raise httpx.NetworkError(str(error)) from error


def _seconds_left(request: httpx.Request) -> float:
    limits: Limits | None = request.extensions.get(LIMITS)
    return math.inf if limits is None else limits.ends_at - time.monotonic()


class _Bounded(httpx.BaseTransport):
    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if not isinstance(self._transport, httpx.MockTransport):  # any other may be a way to the network
            use_stand_in(request)
        with _errors_of_httpx():
            response: httpx.Response = _within(
                _seconds_left(request), lambda: self._transport.handle_request(request), _close
            )
        response.stream = _BoundedStream(request, response.stream)
        return response

    def close(self) -> None:
        self._transport.close()


class _BoundedStream(httpx.SyncByteStream):
    def __init__(self, request: httpx.Request, stream: Any) -> None:
        self._request = request
        # A transport may return the same response again and again.
        self._stream: Any = stream._stream if isinstance(stream, _BoundedStream) else stream

    def __iter__(self) -> Iterator[bytes]:
        with _errors_of_httpx():
            pieces = iter(self._stream)
            while (piece := _within(_seconds_left(self._request), lambda: next(pieces, None))) is not None:
                yield piece

    def close(self) -> None:
        with _errors_of_httpx():
            self._stream.close()


def _within(seconds: float, operation: Callable[[], T], discard: Callable[[T], None] | None = None) -> T:
    """Run an operation in a thread of its own for as long as there is time, or in this thread when there is no limit.

    Raises:
        httpx.ReadTimeout: the time has passed. The thread goes on; what it still receives is handed to `discard`.
    """
    if seconds == math.inf:
        return operation()
    results: list[T] = []
    errors: list[BaseException] = []
    is_late = threading.Event()

    def run() -> None:
        try:
            result = operation()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            errors.append(error)
            return
        results.append(result)
        if is_late.is_set():
            drop()

    def drop() -> None:
        with contextlib.suppress(IndexError):  # it was taken, by whoever waited or by the other thread
            late = results.pop()
            if discard is not None:
                discard(late)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True)
    thread.start()
    try:
        thread.join(max(0.0, seconds))
        if errors:
            raise errors[0]
        with contextlib.suppress(IndexError):
            return results.pop()
        raise httpx.ReadTimeout("the time has passed")
    finally:  # after a signal handler's exception as well
        is_late.set()
        drop()


def _close(response: httpx.Response) -> None:
    response.close()


class _AsyncBounded(httpx.AsyncBaseTransport):
    def __init__(self, transport: Any) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not isinstance(self._transport, httpx.MockTransport):
            use_stand_in(request)
        with _errors_of_httpx():
            response: httpx.Response = await _within_async(
                _seconds_left(request), self._transport.handle_async_request(request)
            )
        response.stream = _AsyncBoundedStream(request, response.stream)
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()


class _AsyncBoundedStream(httpx.AsyncByteStream):
    def __init__(self, request: httpx.Request, stream: Any) -> None:
        self._request = request
        self._stream: Any = stream._stream if isinstance(stream, _AsyncBoundedStream) else stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _errors_of_httpx():
            pieces = aiter(self._stream)
            while (piece := await _within_async(_seconds_left(self._request), anext(pieces, None))) is not None:
                yield piece

    async def aclose(self) -> None:
        with _errors_of_httpx():
            await self._stream.aclose()


async def _within_async(seconds: float, operation: Awaitable[T]) -> T:
    if seconds == math.inf:
        return await operation
    import asyncio

    limit = asyncio.timeout(max(0.0, seconds))
    try:
        async with limit:
            return await operation
    except TimeoutError as error:
        if limit.expired():
            raise httpx.ReadTimeout("the time has passed") from error
        raise
