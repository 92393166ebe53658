"""Simulated faults, with which applications can test their handling of errors."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from scout._json import is_unicode, json_fault
from scout.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from .engine import EventData


__all__ = ["EVENT_FAULTS", "Fault", "Faults", "parse_fault"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A simulated fault in the responses of the local Scout.

    Faults of events (`stall_after` to `drift`) apply to runs only, and count the events of a stream from 1. For a run
    without streaming, `stall_after` and `cut_after` take effect before the response when they are 0, else in the middle
    of its body; `malformed` and `drift` change its body; the others have no effect. The first fault that matches a
    request applies, and no other.

    Attributes:
        status: Answer with this status, 400 to 599, without processing the request.
        headers: Headers of the response with that status.
        retry_after: Seconds, sent as `Retry-After` with that status.
        body: The body of the response with that status: any JSON; by default an explanation.
        delay: Seconds before the request is processed.
        stall_after: Send this number of events, then nothing, with the connection open.
        cut_after: Send this number of events, then break the connection.
        malformed: The number of an event to send as invalid JSON.
        duplicate: The number of an event to send twice.
        unknown_event: Send an event with an unknown name after this number of events.
        drift: The number of an event whose data has another form than specified.
        times: The number of requests to which the fault applies; `None` for all.
        request: Apply only to the request with this number, from 1.
        match: Apply only to requests with this text in the body or the first line (`POST /v2/workflows/execute`).

    Raises:
        ConfigurationError: A value is invalid, or the values cannot be combined.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    retry_after: float | None = None
    body: Any = None
    delay: float = 0.0
    stall_after: int | None = None
    cut_after: int | None = None
    malformed: int | None = None
    duplicate: int | None = None
    unknown_event: int | None = None
    drift: int | None = None
    times: int | None = None
    request: int | None = None
    match: str | None = None

    def __post_init__(self) -> None:
        if self.status is not None and not 400 <= _whole("status", self.status) <= 599:
            raise ConfigurationError(f"status must be from 400 to 599, not {self.status}")
        for name in ("delay", "retry_after"):
            _check_seconds(name, getattr(self, name))
        for name, least in _COUNTS.items():
            value = getattr(self, name)
            if value is not None and _whole(name, value) < least:
                raise ConfigurationError(f"{name} must be {least} or more, not {value}")
        if self.match is not None and not (_is_text(self.match) and self.match):
            raise ConfigurationError(f"match must be text, and not empty, not {self.match!r}")
        _check_headers(self.headers)
        if fault := json_fault(self.body):
            raise ConfigurationError(f"the body of a fault does not fit into JSON: {fault}")
        if self.status is not None and self.is_of_run:
            raise ConfigurationError(f"with a status there is nothing else to spoil; give status, or {_OF_RUNS}")
        if self.stall_after is not None and self.cut_after is not None:
            raise ConfigurationError("a stream that stalls is not cut; give stall_after or cut_after, not both")
        if self.status is None and (self.headers or self.retry_after is not None or self.body is not None):
            raise ConfigurationError(
                "headers, retry_after and body are sent with a status; give one, such as status=429"
            )
        if self.status is None and not self.delay and not self.is_of_run:
            raise ConfigurationError(f"a fault needs something that goes wrong: {', '.join(_WRONGS)}")

    @property
    def is_of_run(self) -> bool:
        """True for a fault of events, which applies to runs only."""
        return any(getattr(self, name) is not None for name in EVENT_FAULTS)

    @property
    def breaks_off_after(self) -> int | None:
        """The number of events after which nothing more is sent; `None` when the response does not break off."""
        return self.cut_after if self.cut_after is not None else self.stall_after


EVENT_FAULTS = ("stall_after", "cut_after", "malformed", "duplicate", "unknown_event", "drift")
_OF_RUNS = ", ".join(EVENT_FAULTS)
_WRONGS = ("status", "delay", *EVENT_FAULTS)
_COUNTS = {
    **dict.fromkeys(("stall_after", "cut_after", "unknown_event"), 0),
    **dict.fromkeys(("malformed", "duplicate", "drift", "times", "request"), 1),
}


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(f"{name} must be a whole number, not {value!r}")
    return value


def _is_text(value: object) -> bool:
    return isinstance(value, str) and is_unicode(value)


def _check_headers(headers: object) -> None:
    if not isinstance(headers, Mapping):
        raise ConfigurationError(f"headers must be a mapping of names to texts, not {headers!r}")
    for name, value in cast("Mapping[object, object]", headers).items():
        if not (isinstance(name, str) and re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name)):
            raise ConfigurationError(f"{name!r} is no name of a header")
        if name.lower() in ("content-length", "transfer-encoding"):
            raise ConfigurationError(f"the header {name} comes from the body of the answer")
        if not (isinstance(value, str) and re.fullmatch(r"[\t\x20-\x7e\xa0-\xff]*", value)):
            raise ConfigurationError(f"the header {name} must be text that HTTP can carry, not {value!r}")


def is_seconds(value: object) -> bool:
    """Return True for a number of seconds, 0 or more, for which a thread can wait."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= threading.TIMEOUT_MAX


def _check_seconds(name: str, value: object) -> None:
    if value is not None and not is_seconds(value):
        raise ConfigurationError(
            f"{name} must be a number of seconds, 0 or more and no more than anyone waits, not {value!r}"
        )


def parse_fault(text: str) -> Fault:
    """Return the fault in a text such as `status=429,retry_after=1,times=2`.

    The text may hold all attributes of `Fault` except `headers` and `body`.

    Raises:
        ConfigurationError: The text is not a valid fault.
    """
    given: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or name not in _FROM_TEXT:
            known = ", ".join(_FROM_TEXT)
            raise ConfigurationError(
                f"{part.strip()!r} is no part of a fault; there are {known}, each with = and a value"
            )
        if name in given:
            raise ConfigurationError(f"{name} is given twice in the fault {text!r}")
        try:
            given[name] = _FROM_TEXT[name](value)
        except ValueError:
            raise ConfigurationError(f"{name} in the fault {text!r} must be a number, not {value!r}") from None
    return Fault(**given)


_FROM_TEXT: dict[str, Callable[[str], object]] = {
    **dict.fromkeys(("status", *EVENT_FAULTS), int),
    **dict.fromkeys(("retry_after", "delay"), float),
    **dict.fromkeys(("times", "request"), int),
    "match": str,
}


class Faults:
    """The faults of a server, in the order in which they apply. Threads may share it."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._lock = threading.Lock()
        try:
            found = list[Any](faults)
        except TypeError:  # a single fault, or another value that is not a list
            raise ConfigurationError(_NO_FAULTS) from None
        if not all(isinstance(each, Fault) for each in found):
            raise ConfigurationError(_NO_FAULTS)
        self._given: list[Fault] = found
        self.reset()

    def reset(self) -> None:
        """Restore the faults that the server was created with, all unused."""
        with self._lock:
            self._number = 0
            self._added = 0
            self._left: list[tuple[Fault, int | None]] = [(fault, fault.times) for fault in self._given]

    def add(self, fault: Fault) -> None:
        """Add a fault: before those that the server was created with, and after those that were added earlier."""
        with self._lock:
            self._left.insert(self._added, (fault, fault.times))
            self._added += 1

    def next(self, first_line: str, body: bytes, *, is_run: bool) -> Fault | None:
        """Count a request, and return the fault that applies to it; `None` when none does."""
        with self._lock:
            self._number += 1
            for place, (fault, left) in enumerate(self._left):
                if (not fault.is_of_run or is_run) and self._fits(fault, first_line, body):
                    self._use(place, left)
                    return fault
            return None

    def _use(self, place: int, left: int | None) -> None:
        if left is None:
            return
        if left > 1:
            self._left[place] = (self._left[place][0], left - 1)
            return
        del self._left[place]
        if place < self._added:
            self._added -= 1

    def _fits(self, fault: Fault, first_line: str, body: bytes) -> bool:
        if fault.request is not None and fault.request != self._number:
            return False
        return fault.match is None or fault.match in first_line or fault.match.encode() in body


_NO_FAULTS = "faults must be a list of Fault(...); parse_fault makes one of text"


class BrokenOffError(Exception):
    """The response breaks off here. The connection stays open if `stalls`, else it must be closed."""

    def __init__(self, *, stalls: bool) -> None:
        super().__init__()
        self.stalls = stalls


async def spoil_events(
    events: AsyncIterator[EventData], fault: Fault | None, write: Callable[[EventData], bytes]
) -> AsyncIterator[bytes]:
    """Yield the frames of a stream, with the effect of the fault.

    Raises:
        BrokenOffError: The stream breaks off here.
    """
    number = 0
    if fault is not None:
        if fault.unknown_event == number:
            yield _UNKNOWN
        _break_off_after(number, fault)
    async for event in events:
        number += 1
        if fault is None:
            yield write(event)
            continue
        frame = write({**event, "data": f"not what it was: {event['name']}"} if number == fault.drift else event)
        if number == fault.malformed:
            frame = _malformed(frame)
        yield frame
        if number == fault.duplicate:
            yield frame
        if number == fault.unknown_event:
            yield _UNKNOWN
        _break_off_after(number, fault)


def _break_off_after(number: int, fault: Fault) -> None:
    if number == fault.breaks_off_after:
        raise BrokenOffError(stalls=fault.stall_after is not None)


def spoil_body(body: bytes, fault: Fault) -> bytes:
    """Return the body of a response to a run without streaming, with the effect of the fault."""
    if fault.drift:
        body = json.dumps({"run": f"not what it was: {len(body)} bytes"}).encode()
    return _malformed(body) if fault.malformed else body


def _malformed(text: bytes) -> bytes:
    inner = text.rstrip()
    return inner[: -(len(inner) // 3)] + text[len(inner) :]


_UNKNOWN_EVENT = {"name": "local_scout_fault", "data": {"message": "An event of a kind that no client knows."}}
_UNKNOWN = b"event: local_scout_fault\ndata: %b\n\n" % json.dumps(_UNKNOWN_EVENT).encode()
