"""Streams of events: `RunStream` and `AsyncRunStream`. They differ only in the `await`; `Progress` decides."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from types import TracebackType
from typing import Any, Self
from zlib import crc32

from ._answers import Answer, read_run
from ._call import FAILURES, Call
from ._http import AsyncBody, Body
from ._json import NOT_JSON, is_mapping, sentence, shorten
from ._requests import Request
from ._sse import END_MARKERS, EventTooLargeError, ServerSentEvent, SSEDecoder, is_stream, is_stream_type
from .errors import (
    ConfigurationError,
    StreamDecodeError,
    StreamError,
    StreamInterruptedError,
)
from .events import Accumulator, Event, UnknownEvent, decode, event_in_answer
from .results import Run, RunStatus, run_as_html, with_ids
from .workflow_files import LoadedWorkflow

__all__ = ["MAX_EVENT_BYTES", "AsyncRunStream", "RunStream", "new_progress", "run_from_events", "run_of_event"]

MAX_EVENT_BYTES = 64 * 1024 * 1024

_LONGEST_REPORT = 600  # characters


class Progress:
    """The state of a stream: takes bytes, returns events and the run. Makes all decisions of a stream. No I/O."""

    def __init__(self, workflow: LoadedWorkflow | None, *, check: bool, max_event_bytes: int) -> None:
        self.workflow = workflow
        self.check = check
        self.last_event: Event | None = None
        self.added: tuple[str, str] | None = None
        self.end_reason: str | None = None  # the reason why no more events will follow, once known
        self.has_unreadable_events: bool = False
        # By block: length and checksum of the text that the caller has received. The text itself may be long.
        self._given: dict[str, tuple[int, int]] = {}
        self._accumulator = Accumulator(workflow)
        self._decoder = SSEDecoder(max_event_bytes)
        self._frames: Iterator[ServerSentEvent] = iter(())
        self._content_type = ""
        self._sent: tuple[str | None, str | None] = (None, None)  # the ids of workflow and session that were sent
        self._is_stream: bool | None = True  # `None` until the body has told
        self._pieces: list[bytes] = []  # of a body that has not told, or is not a stream
        self._only: tuple[Event, dict[str, Any]] | None = None  # an event that is the whole answer, and that answer

    def sends(self, request: Request) -> None:
        """Note what is about to be sent."""
        self._sent = request.workflow_id, request.session_id

    def begin(self, content_type: str) -> None:
        """Begin a body of which it is not known whether it is a stream."""
        self._content_type, self._is_stream = content_type, None

    @property
    def waits_for_whole(self) -> bool:
        """True while a response is read that is not a stream, or may not be one."""
        return not self._is_stream and not self.is_over and self.end_reason is None

    def run(self) -> Run:
        return with_ids(self._accumulator.run(), *self._sent)

    @property
    def is_over(self) -> bool:
        """True once the run has ended."""
        return self._accumulator.is_over

    @property
    def output_block_id(self) -> str | None:
        """The block whose output is that of the run; `None` while it is not known."""
        return self._accumulator.output_block_id

    def feed(self, piece: bytes) -> None:
        if not self._is_stream:
            self._pieces.append(piece)
            if self._is_stream is None:
                self._decide(is_whole=False)
            return
        self._frames = self._decoder.feed(piece)

    def _decide(self, *, is_whole: bool) -> None:
        start = b"".join(self._pieces)
        self._is_stream = is_stream(self._content_type, start, is_whole=is_whole)
        self._pieces = [start]
        if self._is_stream:
            self._pieces = []
            self._frames = self._decoder.feed(start)

    def end(self, answer: Callable[[bytes], Answer]) -> None:
        """Take the end of the body.

        Raises:
            StreamInterruptedError: it is a stream.
            APIResponseError: it is neither a stream nor JSON with a run or an event.
        """
        if self._is_stream is None:
            self._decide(is_whole=True)
        if self._is_stream:
            raise self.interrupted("the connection was closed")
        self.take_whole(answer(b"".join(self._pieces)))

    def next(self) -> Event | None:
        """Return the next event in the bytes that were fed; `None` when there is none.

        Raises:
            StreamDecodeError: an event is not JSON, or too large.
            StreamError: the server reports an error in the stream.
        """
        try:
            for frame in self._frames:
                data = frame.data
                if data.startswith(b"{") or (data.strip() and data not in END_MARKERS):
                    return self._take(frame)
                if data in END_MARKERS:
                    self.end_reason, self._frames = "the server said [DONE]", iter(())
                    return None
        except EventTooLargeError as error:
            raise self._garbled(f"{error} (max_event_bytes)", error.start) from None
        if self._only is not None:
            (event, answer), self._only = self._only, None
            self.added = self._accumulator.add_only(event, answer)
            self.last_event = event
            return event
        return None

    def _take(self, frame: ServerSentEvent) -> Event:
        try:
            event = decode(frame)
        except NOT_JSON as error:
            what = "is nested too deeply" if isinstance(error, RecursionError) else f"is not JSON: {error}"
            raise self._garbled(f"the data of an event {what}", frame.data) from None
        if isinstance(event, UnknownEvent) and event.name == "error":
            self._raise_reported(event.data)
        self.added = self._accumulator.add(event, frame.data)
        self.last_event = event
        if isinstance(event, UnknownEvent) and event.problem:
            self.has_unreadable_events = True
        return event

    def _raise_reported(self, data: Any) -> None:
        if is_mapping(data):
            inner = data.get("data")  # as in the other events
            parts = [data, inner] if is_mapping(inner) else [data]
            data = next(filter(None, (part.get(name) for part in parts for name in ("detail", "message", "error"))), "")
        elif not isinstance(data, str):
            return
        if data:
            message = f"the server reports an error: {shorten(sentence(data), _LONGEST_REPORT)}"
            raise StreamError(message, run=self.run(), last_event=self.last_event)

    def _garbled(self, message: str, data: bytes) -> StreamDecodeError:
        return StreamDecodeError(f"{message} (in {data[:80]!r})", data=data, run=self.run(), last_event=self.last_event)

    def take_whole(self, answer: Answer) -> None:
        """Read a response that is JSON instead of a stream: a run, or one event. It means the same as for `execute`.

        Raises:
            APIResponseError: it is neither.
        """
        run = read_run(answer, self.workflow)
        event = event_in_answer(run.raw)
        if event is None:
            self._accumulator.finish(run)
        else:
            self._only = event, run.raw
            self.end_reason = "the whole answer was one event"

    def interrupted(self, reason: str) -> StreamInterruptedError:
        last = self.last_event
        if isinstance(last, UnknownEvent) and last.problem:
            reason += f"; its last event, {last.name!r}, could not be read: {last.problem}"
        left = self._decoder.left()
        more = f"; {len(left)} bytes of an unfinished event were left" if left else ""
        return StreamInterruptedError(
            f"the stream ended before the run did: {reason}{more}; the run may go on, on the server",
            run=self.run(),
            last_event=self.last_event,
        )

    def give(self, block_id: str, text: str) -> str:
        """Return the text, and record that the caller has received it."""
        length, checksum = self._given.get(block_id, (0, 0))
        self._given[block_id] = length + len(text), crc32(text.encode("utf-8", "surrogatepass"), checksum)
        return text

    def give_rest(self, block_id: str) -> str:
        whole = self._accumulator.output_text(block_id)
        length, checksum = self._given.get(block_id, (0, 0))
        if crc32(whole[:length].encode("utf-8", "surrogatepass")) == checksum:
            return self.give(block_id, whole[length:])
        if self.has_unreadable_events:
            raise StreamError(
                f"the text of block {block_id!r} as it was given is not how it ended, because an event could not be "
                "read; .run has what is known",
                run=self.run(),
                last_event=self.last_event,
            )
        return ""

    def finished(self) -> None:
        """Check the run, unless `check` is off.

        Raises:
            RunFailedError: the run failed.
            RunNotFinishedError: the whole answer was one event, and the run goes on.
        """
        if self.check and self._accumulator.status != RunStatus.COMPLETED:
            self.run().raise_for_status()


def run_from_events(answer: Answer, workflow: LoadedWorkflow | None) -> Run:
    """Read the run from an answer that is a stream of events although none was asked for.

    Raises:
        StreamError: the stream does not hold a whole run.
    """
    progress = Progress(workflow, check=False, max_event_bytes=MAX_EVENT_BYTES)
    progress.feed(answer.body)
    while not progress.is_over and progress.next() is not None:
        pass
    if not progress.is_over:
        raise progress.interrupted(progress.end_reason or "the connection was closed")
    return progress.run()


def run_of_event(answer: dict[str, Any], workflow: LoadedWorkflow | None) -> Run | None:
    """Return the run in an answer that is one event; `None` when the answer is not one."""
    event = event_in_answer(answer)
    if event is None:
        return None
    accumulator = Accumulator(workflow)
    accumulator.add_only(event, answer)
    return accumulator.run()


def new_progress(workflow: LoadedWorkflow | None, *, check: bool, max_event_bytes: int | None) -> Progress:
    """Return the state of a stream that has not begun.

    Raises:
        ConfigurationError: `max_event_bytes` is not a number of bytes.
    """
    limit: Any = MAX_EVENT_BYTES if max_event_bytes is None else max_event_bytes
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ConfigurationError(f"max_event_bytes must be a whole number, 1 or more, not {max_event_bytes!r}")
    return Progress(workflow, check=check, max_event_bytes=limit)


class _Texts:
    """The text of one block, piece by piece."""

    def __init__(self, progress: Progress, block_id: str | None) -> None:
        self._progress = progress
        self._block_id = block_id

    def next(self) -> str:
        """Return the text that the last event added to the block."""
        added = self._progress.added
        if added is None:
            return ""
        # The output block may become known late; until then the first block with text is followed.
        self._block_id = self._block_id or self._progress.output_block_id or added[0]
        return self._progress.give(*added) if added[0] == self._block_id else ""

    def rest(self) -> str:
        """Return the text of the block that the caller has not received.

        Raises:
            StreamError: the text does not begin with the part that the caller has received, because an event was lost.
        """
        block_id = self._block_id or self._progress.output_block_id
        return "" if block_id is None else self._progress.give_rest(block_id)


class _Stream:
    """The part of a stream that needs no I/O."""

    _progress: Progress
    _closed = False
    _reading = False

    @property
    def run(self) -> Run:
        """The run so far; complete after the last event."""
        return self._progress.run()

    @property
    def last_event(self) -> Event | None:
        """The last event; `None` before the first."""
        return self._progress.last_event

    @property
    def added(self) -> tuple[str, str] | None:
        """The id of the block to whose output the last event added text, and that text; `None` when it added none.

        For code that iterates over events and shows text as well.
        """
        return self._progress.added

    def _repr_html_(self) -> str:
        return run_as_html(self.run)

    def _next(self) -> Event | None:
        """Return the next event in the received bytes; `None` when there is none."""
        progress = self._progress
        if self._reading:
            raise ConfigurationError("this stream is being read already; one task or thread reads a stream")
        if progress.is_over:
            return None
        if self._closed and progress.end_reason is None:
            raise progress.interrupted("it was closed here")
        event = progress.next()
        if event is None and progress.end_reason:
            raise progress.interrupted(progress.end_reason)
        return event

    def _observe(self, call: Call, event: Event) -> None:
        """Notify the observers of an event that the caller gets next, and after the last one of the end of the call."""
        if call.observers is not None:
            call.observers.event(event)
            if self._progress.is_over:
                call.end()

    def _receive(self, body: Body | AsyncBody, piece: bytes) -> Event | None:
        if piece:
            self._progress.feed(piece)
        else:
            self._progress.end(body.answer)
        event = self._progress.next()
        if event is None and self._progress.end_reason:
            raise self._progress.interrupted(self._progress.end_reason)
        return event


class RunStream(_Stream):
    """Iterator over the events of a run, and context manager that closes the connection.

    Leaving the `with` block, `close()`, an error and garbage collection close the connection at once. The iteration
    ends only with the run; a stream that ends earlier raises.

    Raises:
        StreamInterruptedError: the stream ended before the run did, or was closed here.
        StreamDecodeError: an event is not JSON, or larger than `max_event_bytes`.
        StreamError: the server reports an error in the stream.
        APITimeoutError: no event arrived within `timeout`, or the run was not finished within `deadline`. Keep-alive
            comments do not count as events.
        RunFailedError: after the last event of a run that failed, unless `check=False`.
        RunNotFinishedError: the server answered with one event instead of a stream, unless `check=False`.
    """

    def __init__(self, body: Body, progress: Progress) -> None:
        self._body = body
        self._progress = progress
        self._forgotten = weakref.finalize(self, body.abandon)
        body.call.stream = progress
        progress.begin(body.content_type)
        if is_stream_type(body.content_type):
            return  # its first bytes may come late; they are looked at when they are there
        try:
            while progress.waits_for_whole:
                if piece := body.read():
                    progress.feed(piece)
                else:
                    progress.end(body.answer)
                    self._release()
        except FAILURES as error:
            failure = body.call.stream_failed(error)
        except BaseException as error:
            self._close(error)
            raise
        else:
            return
        self._close(failure)
        raise failure

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        try:
            event = self._next() or self._wait()
            if event is not None:
                self._observe(self._body.call, event)
        except ConfigurationError:
            raise
        except FAILURES as error:
            failure = self._body.call.stream_failed(error, self._progress)
        except BaseException as error:
            self._close(error)
            raise
        else:
            if event is None:
                raise StopIteration
            return event
        self._close(failure)
        raise failure

    def _wait(self) -> Event | None:
        event: Event | None = None
        body = self._body
        body.call.await_event()
        while event is None and not self._progress.is_over:
            self._reading = True
            try:
                piece = body.read()
            finally:
                self._reading = False
            event = self._receive(body, piece)
        if event is None:
            self._end()
        return event

    def _end(self) -> None:
        if not self._closed:
            self._closed = True
            self._forgotten.detach()
            self._body.drain()
        self._body.call.end()
        self._progress.finished()

    def text(self, block_id: str | None = None) -> Iterator[str]:
        """Yield the text of one block as it arrives, each piece once. Raises as the iteration.

        Args:
            block_id: The block; by default the output block, or the first block with text while that is not known.
        """
        texts = _Texts(self._progress, block_id)
        added = texts.rest()  # of events before this call
        if added:
            yield added
        for _ in self:
            added = texts.next()
            if added:
                yield added
        added = texts.rest()  # an output that is not text, or a run without events
        if added:
            yield added

    def until_done(self) -> Run:
        """Wait for the remaining events, and return the run."""
        for _ in self:
            pass
        return self.run

    def close(self) -> None:
        """Close the connection. The run may continue on the server. Further calls do nothing."""
        self._close()

    def _close(self, error: BaseException | None = None) -> None:
        self._body.call.end(error)
        self._release()

    def _release(self) -> None:
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
    """Asynchronous iterator over the events of a run. As `RunStream`.

    The request is sent when the stream is entered, awaited or first iterated.
    """

    def __init__(self, connect: Callable[[], Awaitable[AsyncBody]], progress: Progress) -> None:
        self._connect: Callable[[], Awaitable[AsyncBody]] | None = connect
        self._progress = progress
        self._body: AsyncBody | None = None
        self._forgotten: Any = None

    async def _open(self) -> Self:
        connect, self._connect = self._connect, None
        if connect is None:
            if self._body is None and not self._progress.is_over:
                raise self._progress.interrupted("its request was sent before, and is never sent twice")
            return self
        if self._closed:
            raise ConfigurationError("this stream was closed before it was opened; nothing was sent")
        body = await connect()
        if self._closed:  # meanwhile, by another task
            body.call.end()
            await body.close()
            raise self._progress.interrupted("it was closed here")
        self._body = body
        self._forgotten = weakref.finalize(self, body.abandon)
        progress = body.call.stream = self._progress
        progress.begin(body.content_type)
        if is_stream_type(body.content_type):
            return self  # as in RunStream
        try:
            while progress.waits_for_whole:
                if piece := await body.read():
                    progress.feed(piece)
                else:
                    progress.end(body.answer)
                    await self._release()
        except FAILURES as error:
            failure = body.call.stream_failed(error)
        except BaseException as error:
            await self._close(error)
            raise
        else:
            return self
        await self._close(failure)
        raise failure

    def __await__(self) -> Generator[Any, Any, Self]:
        return self._open().__await__()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        try:
            event = self._next() or await self._wait()
            if event is not None and self._body is not None:
                self._observe(self._body.call, event)
        except ConfigurationError:
            raise
        except FAILURES as error:
            failure = error if self._body is None else self._body.call.stream_failed(error, self._progress)
        except BaseException as error:
            await self._close(error)
            raise
        else:
            if event is None:
                raise StopAsyncIteration
            return event
        await self._close(failure)
        raise failure

    async def _wait(self) -> Event | None:
        event: Event | None = None
        if self._body is None or self._connect is not None:
            self._reading = True
            try:
                await self._open()
            finally:
                self._reading = False
            event = self._next()
        body = self._body
        if body is not None:
            body.call.await_event()
        while event is None and body is not None and not self._progress.is_over:
            self._reading = True
            try:
                piece = await body.read()
            finally:
                self._reading = False
            event = self._receive(body, piece)
        if event is None:
            await self._end()
        return event

    async def _end(self) -> None:
        if not self._closed and self._body is not None:
            self._closed = True
            self._forgotten.detach()
            await self._body.drain()
        if self._body is not None:
            self._body.call.end()
        self._progress.finished()

    async def text(self, block_id: str | None = None) -> AsyncIterator[str]:
        """Yield the text of one block as it arrives, each piece once. As `RunStream.text`."""
        texts = _Texts(self._progress, block_id)
        added = texts.rest()  # as in RunStream.text
        if added:
            yield added
        async for _ in self:
            added = texts.next()
            if added:
                yield added
        added = texts.rest()
        if added:
            yield added

    async def until_done(self) -> Run:
        """Wait for the remaining events, and return the run."""
        async for _ in self:
            pass
        return self.run

    async def close(self) -> None:
        """Close the connection. The run may continue on the server. Further calls do nothing."""
        await self._close()

    aclose = close

    async def _close(self, error: BaseException | None = None) -> None:
        if self._body is not None:
            self._body.call.end(error)
        await self._release()

    async def _release(self) -> None:
        if not self._closed:
            self._closed = True
            if self._body is not None:
                self._forgotten.detach()
                await self._body.close()

    async def __aenter__(self) -> Self:
        return await self._open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
