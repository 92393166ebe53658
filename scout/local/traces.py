"""Traces of runs: the request of a run and what was sent in answer to it, with times. Only the page needs them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .clock import monotonic
from .run_logs import MOST_BYTES, MOST_ENTRIES

if TYPE_CHECKING:
    from .history import LocalRequest

_MOST_OF_A_TRACE = MOST_BYTES // 4
_STEP = 16 * 1024  # bytes by which a trace asks for room: asking for each part would cost each event of each run
_SIZE_OF_A_PART = 100  # bytes, roughly: of the objects, without the content


@dataclass(slots=True, eq=False)
class Trace:
    """The request of a run and what was sent in answer to it. Times are seconds since the request.

    Attributes:
        request: The request.
        is_stream: True when the answer is a stream of events.
        parts: What was sent of the body: each frame of a stream, or the whole of another body. Each after its time.
        steps: The events of a run without streaming, which are not sent: time, name and the id of the block, if any.
        seconds: The time when the answer ended; `None` while it goes on.
        is_complete: True when the whole answer was sent.
        is_cut: True when there was more than is kept.
        size: The approximate size in memory, in bytes.
        room: The size up to which it may grow without asking.
    """

    request: LocalRequest
    is_stream: bool
    parts: list[tuple[float, bytes]] = field(default_factory=list[tuple[float, bytes]], repr=False)
    steps: list[tuple[float, str, str | None]] = field(
        default_factory=list[tuple[float, str, "str | None"]], repr=False
    )
    seconds: float | None = None
    is_complete: bool = False
    is_cut: bool = False
    size: int = 0
    room: int = 0
    _traces: Traces | None = field(default=None, repr=False)
    _began: float = field(default_factory=monotonic, repr=False)

    def __post_init__(self) -> None:
        self.size = self.room = self.request.size

    def sent(self, content: bytes) -> None:
        """Note a part of the body that was sent."""
        if self._has_room(len(content)):
            self.parts.append((self._now(), content))

    def happened(self, name: str, block_id: str | None) -> None:
        """Note an event of a run without streaming."""
        if self._has_room(0):
            self.steps.append((self._now(), name, block_id))

    def end(self, *, is_complete: bool) -> None:
        """Note the end of the answer."""
        self.is_complete = is_complete
        self.seconds = self._now()

    def keep_in(self, traces: Traces | None) -> None:
        """Ask the traces from now on for room; `None` when it was dropped, and keeps nothing more."""
        self._traces = traces
        if traces is None:
            self.room = 0

    def _has_room(self, more: int) -> bool:
        size = self.size + more + _SIZE_OF_A_PART
        if self.is_cut or (size > self.room and not self._gets_room(size)):
            return False
        self.size = size
        return True

    def _gets_room(self, size: int) -> bool:
        self.is_cut = self._traces is None or size > _MOST_OF_A_TRACE
        if self.is_cut or self._traces is None:
            return False
        by = size + _STEP - self.room
        self.room += by
        self._traces.grow(by)
        return True

    def _now(self) -> float:
        return monotonic() - self._began


class Traces:
    """The traces of the newest runs, limited in number and size. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._traces: OrderedDict[str, Trace] = OrderedDict()
        self._bytes = 0

    def add(self, run_id: str, trace: Trace) -> None:
        """Add the trace of a run that starts."""
        trace.keep_in(self)
        with self._lock:
            self._traces[run_id] = trace
        self.grow(trace.room)

    def of(self, run_id: str) -> Trace | None:
        """Return the trace of a run; `None` when it is not kept any more."""
        with self._lock:
            return self._traces.get(run_id)

    def grow(self, by: int) -> None:
        """Count the bytes by which the traces have grown, and drop the oldest ones when there are too many."""
        with self._lock:
            self._bytes += by
            while len(self._traces) > MOST_ENTRIES or (self._bytes > MOST_BYTES and len(self._traces) > 1):
                _, oldest = self._traces.popitem(last=False)
                self._bytes -= oldest.room
                oldest.keep_in(None)
