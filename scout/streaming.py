"""`RunStream` and `AsyncRunStream`: a run as it happens. They differ only in the awaits; `Progress` decides."""

from __future__ import annotations

import json
import weakref
from typing import TYPE_CHECKING, Any, Self

from ._sse import EventTooLargeError, SSEDecoder
from ._wire import Answer, read_run
from .errors import (
    APIError,
    APITimeoutError,
    ScoutError,
    StreamDecodeError,
    StreamError,
    StreamInterruptedError,
)
from .events import Accumulator, Event, UnknownEvent, decode, typed
from .results import Run, as_text
from .workflow_files import is_mapping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
    from types import TracebackType

    from ._http import AsyncBody, Body
    from ._sse import ServerSentEvent
    from .workflow_files import LoadedWorkflow

__all__ = ["MAX_EVENT_BYTES", "AsyncRunStream", "RunStream"]

MAX_EVENT_BYTES = 64 * 1024 * 1024

_END_MARKERS = (b"[DONE]", b"DONE")  # seen in older clients of the API; tolerated, never needed


class Progress:
    """How far a stream has come: bytes in, events and the run out. All decisions of a stream, and no I/O."""

    def __init__(self, workflow: LoadedWorkflow | None, *, check: bool, max_event_bytes: int) -> None:
        self.workflow = workflow
        self.check = check
        self.last_event: Event | None = None
        self.added: tuple[str, str] | None = None
        self.ended = False
        self._accumulator = Accumulator(workflow)
        self._decoder = SSEDecoder(max_event_bytes)
        self._frames: Iterator[ServerSentEvent] = iter(())

    def run(self) -> Run:
        return self._accumulator.run()

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self._accumulator.is_over

    @property
    def output_block_id(self) -> str | None:
        """The block that holds the answer, as far as it is known."""
        return self._accumulator.output_block_id

    def feed(self, piece: bytes) -> None:
        self._frames = self._decoder.feed(piece)

    def next(self) -> Event | None:
        """The next event in what was fed; `None` when that is used up.

        Raises:
            StreamDecodeError: it is not JSON, or too large.
            StreamError: it is the server's word that the stream has failed.
        """
        try:
            for frame in self._frames:
                data = frame.data
                if data.startswith(b"{") or (data.strip() and data not in _END_MARKERS):
                    return self._take(frame)
                self.ended = self.ended or data in _END_MARKERS
        except EventTooLargeError as error:
            raise self._garbled(f"{error} (max_event_bytes)", error.start) from None
        return None

    def _take(self, frame: ServerSentEvent) -> Event:
        try:
            event = decode(frame)
        except (ValueError, RecursionError) as error:
            what = "is nested too deeply" if isinstance(error, RecursionError) else f"is not JSON: {error}"
            raise self._garbled(f"the data of an event {what}", frame.data) from None
        if isinstance(event, UnknownEvent) and event.name == "error":
            self._raise_reported(event.data)
        self.added = self._accumulator.add(event, frame.data)
        self.last_event = event
        return event

    def _raise_reported(self, data: Any) -> None:
        said = (
            next((data[key] for key in ("detail", "message", "error") if data.get(key)), None)
            if is_mapping(data)
            else None
        )
        if said:
            words = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
            raise StreamError(f"the server reports an error: {words}", run=self.run(), last_event=self.last_event)

    def _garbled(self, message: str, data: bytes) -> StreamDecodeError:
        return StreamDecodeError(f"{message} (in {data[:80]!r})", data=data, run=self.run(), last_event=self.last_event)

    def take_whole(self, answer: Answer) -> None:
        """Take a stream's answer that came as JSON: a run, or one event.

        Raises:
            APIResponseError: it is neither.
        """
        try:
            event = typed(json.loads(answer.body))
        except (ValueError, RecursionError):
            event = None
        if event is None or isinstance(event, UnknownEvent):
            self._accumulator.finish(read_run(answer, self.workflow))
        else:
            self._accumulator.add(event, answer.body)
            self.last_event = event

    def interrupted(self, reason: str) -> StreamInterruptedError:
        left = self._decoder.left()
        more = f"; {len(left)} bytes of an unfinished event were left" if left else ""
        return StreamInterruptedError(
            f"the stream ended before the run did: {reason}{more}; the run may go on, on the server",
            run=self.run(),
            last_event=self.last_event,
        )

    def broken(self, error: APIError) -> ScoutError:
        """What a broken connection means after a stream has begun."""
        failure: ScoutError = error
        if isinstance(error, APITimeoutError):
            error.run, error.last_event = self.run(), self.last_event
        else:
            failure = self.interrupted(error.message)
            failure.__cause__ = error.__cause__
        failure.attempts = error.attempts
        failure.run_may_have_started = True
        return failure

    def finished(self) -> Run:
        """The run, whole.

        Raises:
            RunFailedError: it failed, and that was to be checked.
        """
        run = self.run()
        if self.check:
            run.raise_for_status()
        return run


def run_from_events(answer: Answer, workflow: LoadedWorkflow | None) -> Run:
    """The run that a plain request's answer tells of when it comes as a stream of events.

    Raises:
        StreamError: the stream says less than a whole run.
    """
    progress = Progress(workflow, check=False, max_event_bytes=MAX_EVENT_BYTES)
    progress.feed(answer.body)
    while not progress.is_over and progress.next() is not None:
        pass
    if not progress.is_over:
        raise progress.interrupted("the connection was closed")
    return progress.run()


class _Texts:
    """Picks the text of one block out of what the events add."""

    def __init__(self, progress: Progress, block_id: str | None) -> None:
        self._progress = progress
        self._block_id = block_id
        self._any = False

    def next(self) -> str:
        """What the last event added to the block that is followed."""
        added = self._progress.added
        if added is None:
            return ""
        # The output block may become known late; until then the first block that says something is followed.
        self._block_id = self._block_id or self._progress.output_block_id or added[0]
        if added[0] != self._block_id:
            return ""
        self._any = True
        return added[1]

    def rest(self) -> str:
        """All of the text, when the events added none of it: an output that is no text, or a run that came whole."""
        run = self._progress.run()
        block_id = self._block_id or run.output_block_id
        return "" if self._any or block_id is None else as_text(run.outputs.get(block_id))


class _Stream:
    """Everything about a stream that needs no I/O."""

    _progress: Progress
    _closed = False

    @property
    def run(self) -> Run:
        """The run so far; whole after the last event."""
        return self._progress.run()

    @property
    def last_event(self) -> Event | None:
        """The last event that came; `None` before the first."""
        return self._progress.last_event

    def _next(self) -> Event | None:
        """The next event, if there is one in what has come."""
        progress = self._progress
        if progress.is_over:
            return None
        if self._closed:
            raise progress.interrupted("it was closed here")
        return progress.next()

    def _came(self, piece: bytes) -> None:
        if not piece or self._progress.ended:
            raise self._progress.interrupted("the connection was closed")
        self._progress.feed(piece)


class RunStream(_Stream):
    """A run as it happens: an iterator of its events, and a context manager that lets go of the connection.

    Leaving the `with` block, `close()` and an error end the connection at once; so does forgetting the stream. A stream
    that ends before the run did raises; it never just stops.

    Raises:
        StreamInterruptedError: the stream ended before the run did, or was closed here.
        StreamDecodeError: an event is not JSON, or larger than `max_event_bytes`.
        StreamError: the server reports an error in the stream.
        APITimeoutError: no event came within `timeout`, or the run was not done within `deadline`. Keep-alive comments
            are no events.
        RunFailedError: after the last event of a run that failed, unless `check=False`.
    """

    def __init__(self, body: Body, progress: Progress) -> None:
        self._body = body
        self._progress = progress
        self._forgotten = weakref.finalize(self, body.abandon)
        if not body.is_stream:
            try:
                progress.take_whole(body.read_whole())
            finally:
                self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        try:
            event = self._next() or self._wait()
        except BaseException:
            self.close()
            raise
        if event is None:
            raise StopIteration
        return event

    def _wait(self) -> Event | None:
        event: Event | None = None
        self._body.call.await_event()
        while event is None and not self._progress.is_over:
            try:
                piece = self._body.read()
            except APIError as error:
                failure = self._progress.broken(error)
            else:
                self._came(piece)
                event = self._next()
                continue
            raise failure
        if event is None:
            self._end()
        return event

    def _end(self) -> None:
        if not self._closed:
            self._closed = True
            self._forgotten.detach()
            self._body.drain()
        self._progress.finished()

    def text(self, block_id: str | None = None) -> Iterator[str]:
        """The text of one block as it comes, each piece once.

        Args:
            block_id: The block; without it the output block, or the first that says something while that is unknown.
        """
        texts = _Texts(self._progress, block_id)
        for _ in self:
            added = texts.next()
            if added:
                yield added
        rest = texts.rest()
        if rest:
            yield rest

    def until_done(self) -> Run:
        """Wait for the rest of the events, and return the run."""
        for _ in self:
            pass
        return self.run

    def close(self) -> None:
        """End the connection. The run may go on, on the server. May be called again."""
        if not self._closed:
            self._closed = True
            self._forgotten.detach()
            self._body.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncRunStream(_Stream):
    """A run as it happens, for asyncio. As `RunStream`.

    The request is sent when the stream is entered, awaited or first asked for an event.
    """

    def __init__(self, connect: Callable[[], Awaitable[AsyncBody]], progress: Progress) -> None:
        self._connect = connect
        self._progress = progress
        self._body: AsyncBody | None = None
        self._forgotten: Any = None

    async def _open(self) -> Self:
        if self._body is None and not self._closed:
            body = self._body = await self._connect()
            self._forgotten = weakref.finalize(self, body.abandon)
            if not body.is_stream:
                try:
                    self._progress.take_whole(await body.read_whole())
                finally:
                    await self.close()
        return self

    def __await__(self) -> Generator[Any, Any, Self]:
        return self._open().__await__()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        try:
            event = self._next() or await self._wait()
        except BaseException:
            await self.close()
            raise
        if event is None:
            raise StopAsyncIteration
        return event

    async def _wait(self) -> Event | None:
        await self._open()
        event: Event | None = None
        body = self._body
        if body is not None:
            body.call.await_event()
        while event is None and body is not None and not self._progress.is_over:
            try:
                piece = await body.read()
            except APIError as error:
                failure = self._progress.broken(error)
            else:
                self._came(piece)
                event = self._next()
                continue
            raise failure
        if event is None:
            await self._end()
        return event

    async def _end(self) -> None:
        if not self._closed and self._body is not None:
            self._closed = True
            self._forgotten.detach()
            await self._body.drain()
        self._progress.finished()

    async def text(self, block_id: str | None = None) -> AsyncIterator[str]:
        """The text of one block as it comes, each piece once. As `RunStream.text`."""
        texts = _Texts(self._progress, block_id)
        async for _ in self:
            added = texts.next()
            if added:
                yield added
        rest = texts.rest()
        if rest:
            yield rest

    async def until_done(self) -> Run:
        """Wait for the rest of the events, and return the run."""
        async for _ in self:
            pass
        return self.run

    async def close(self) -> None:
        """End the connection. The run may go on, on the server. May be called again."""
        if not self._closed:
            self._closed = True
            if self._body is not None:
                self._forgotten.detach()
                await self._body.close()

    aclose = close

    async def __aenter__(self) -> Self:
        return await self._open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
