"""Server-sent events without I/O: bytes in, events out, by https://html.spec.whatwg.org/multipage/server-sent-events.html.

This decoder differs in two ways: data stays bytes, so that the caller can detect invalid UTF-8, and an event that is
too large is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["END_MARKERS", "EventTooLargeError", "SSEDecoder", "ServerSentEvent", "is_stream", "is_stream_type"]

END_MARKERS = (b"[DONE]", b"DONE")
"""The data that some servers send after the last event; accepted, but not required."""

_BOM = b"\xef\xbb\xbf"

_FIELDS = (b"data", b"event", b"id", b"retry")
_LONGEST_BLANK = 4096  # bytes of blanks before the text; some servers send them while they work


def is_stream(content_type: str, start: bytes, *, is_whole: bool = False) -> bool | None:
    """Return True for a body that is a stream of events, False for any other; `None` when more bytes may tell.

    The first bytes decide when they are those of JSON or of a stream, because a proxy may have changed the content
    type. Otherwise a content type decides that names a stream and not JSON.

    Args:
        content_type: The value of the header, empty when there is none.
        start: The bytes of the body so far.
        is_whole: True when no more follow.
    """
    text = start.removeprefix(_BOM).lstrip()
    if text.startswith((b"{", b"[")):
        return False
    if text.startswith(b":"):
        return True
    name, colon, _ = text[:8].replace(b"\r", b"\n").replace(b"\n", b":").partition(b":")
    if colon and name in _FIELDS:
        return True
    may_become = _BOM.startswith(start) or (not colon and any(field.startswith(name) for field in _FIELDS))
    if may_become and not is_whole and len(start) <= _LONGEST_BLANK:
        return None
    return is_stream_type(content_type)


def is_stream_type(content_type: str) -> bool:
    """Return True for a content type, or a list of them, that names a stream of events and not JSON."""
    kinds = {kind.partition(";")[0].strip().lower() for kind in content_type.split(",")}
    return "text/event-stream" in kinds and "application/json" not in kinds


class ServerSentEvent(NamedTuple):
    """One event: its data, its type (the field `event`), and the last id that was sent."""

    data: bytes
    event: str = "message"
    id: str = ""


class EventTooLargeError(ValueError):
    """An event is larger than allowed. `start` holds its first 1,000 bytes."""

    def __init__(self, limit: int, start: bytes) -> None:
        super().__init__(f"an event is larger than {limit} bytes")
        self.start = start


class SSEDecoder:
    """Decoder of a stream of bytes. The time grows linearly with the stream, however that is cut into pieces.

    Attributes:
        retry: The reconnection time that the server asked for, in milliseconds; `None` when it asked for none.
    """

    def __init__(self, max_event_bytes: int) -> None:
        self.retry: int | None = None
        self._limit = max_event_bytes
        self._data: list[bytes] = []
        self._held = 0  # bytes in _data
        self._unfinished: list[bytes] = []
        self._pending = 0  # bytes in _unfinished
        self._event = self._event_seen = ""
        self._event_line = b"event"  # the last `event:` line; most events of a stream have the same one
        self._id = ""
        self._start: bytes | None = b""  # the first bytes, while they may be a byte order mark
        self._after_cr = False

    def feed(self, piece: bytes) -> Iterator[ServerSentEvent]:
        """Yield the events that end in a piece. Iterate to the end before feeding the next piece.

        Raises:
            EventTooLargeError: an event is larger than allowed.
        """
        if self._start is not None:
            piece = self._start + piece
            if len(piece) < len(_BOM) and _BOM.startswith(piece):
                self._start = piece
                return
            self._start = None
            piece = piece.removeprefix(_BOM)
        after_cr, self._after_cr = self._after_cr, piece.endswith(b"\r") if piece else self._after_cr
        if after_cr:
            piece = piece.removeprefix(b"\n")
        # For bytes, splitlines() splits at CR, LF and CRLF only; for text it would split at U+2028 and others as well.
        lines = piece.splitlines()
        rest = lines.pop() if lines and not piece.endswith((b"\n", b"\r")) else b""
        if self._unfinished and lines:
            lines[0] = b"".join([*self._unfinished, lines[0]])
            self._unfinished.clear()
            self._pending = 0
        for line in lines:
            if line.startswith(b"data: "):  # this and the next branch: shortcuts for the common cases of _field
                self._hold(line[6:])
            elif line == self._event_line:
                self._event = self._event_seen
            elif line:
                self._field(line)
            else:
                if self._data:
                    data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                    self._data.clear()
                    self._held = 0
                    yield ServerSentEvent(data, self._event or "message", self._id)
                self._event = ""
        if rest:
            self._unfinished.append(rest)
            self._pending += len(rest)
            self._check()

    def left(self) -> bytes:
        """Return the bytes after the last whole event: at the end of a stream, the part that was cut off."""
        return b"\n".join([*self._data, b"".join(self._unfinished)]).strip(b"\n")

    def _hold(self, value: bytes) -> None:
        self._data.append(value)
        self._held += len(value) + 1  # with the newline that joins it
        self._check()

    def _check(self) -> None:
        if self._held + self._pending > self._limit:
            raise EventTooLargeError(self._limit, b"".join([*self._data, *self._unfinished])[:1000])

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._hold(value)
        elif name == b"event":
            self._event = self._event_seen = value.decode("utf-8", "replace")
            self._event_line = line
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) < 10:
            self.retry = int(value)
