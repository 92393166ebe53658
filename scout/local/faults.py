"""Simulated faults, with which applications can test their handling of errors."""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, cast

from scout._json import is_unicode, json_fault, write_json
from scout.errors import ConfigurationError

from .clock import monotonic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from .engine import EventData


__all__ = [
    "EVENT_FAULTS",
    "FAULT_FIELDS",
    "Fault",
    "FaultField",
    "Faults",
    "fault_as_text",
    "parse_fault",
    "read_fault",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A simulated fault in the responses of the local Scout.

    Faults of events (`stall_after` to `drift`) apply to runs only, and count the events of a stream from 1. For a run
    without streaming, `stall_after` and `cut_after` take effect before the response when they are 0, else in the middle
    of its body; `malformed` and `drift` change its body; the others have no effect. The first fault that matches a
    request applies, and no other. A `rate` applies only to the requests that it refuses.

    Attributes:
        status: Answer with this status, 400 to 599, without processing the request.
        rate: The number of requests per second, on average, that are let through; it may be below 1. The others are
            refused with `status`, by default 429, and with a `Retry-After` that says when the next one is let through.
            As many as fit into one second, and at least one, may come at once (a token bucket). Refused requests do
            not count.
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
    rate: float | None = None
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
        if self.rate is not None and not _is_rate(self.rate):
            raise ConfigurationError(f"rate must be a number of requests per second, above 0, not {self.rate!r}")
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
        if self.rate is not None and (self.delay or self.is_of_run):
            raise ConfigurationError(
                f"a rate refuses requests, and changes no others; put delay, {_OF_RUNS} into a fault of their own"
            )
        if self.rate is not None and self.request is not None:
            raise ConfigurationError("one request alone is below every rate; give rate or request, not both")
        refuses = self.status is not None or self.rate is not None
        if not refuses and (self.headers or self.retry_after is not None or self.body is not None):
            raise ConfigurationError(
                "headers, retry_after and body are sent with a status; give one, such as status=429"
            )
        if not refuses and not self.delay and not self.is_of_run:
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
_WRONGS = ("status", "rate", "delay", *EVENT_FAULTS)
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


def _is_rate(value: object) -> bool:
    return is_seconds(value) and value != 0 and is_seconds(1 / cast("float", value))  # the seconds for one request


def _check_seconds(name: str, value: object) -> None:
    if value is not None and not is_seconds(value):
        raise ConfigurationError(
            f"{name} must be a number of seconds, 0 or more and no more than anyone waits, not {value!r}"
        )


# --- As text -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FaultField:
    """An attribute of `Fault` that text can express.

    Attributes:
        name: The name of the attribute.
        kind: What its text must be. A rate is a number, or a number per s, min or h, such as `100/min`.
        label: A short description for people.
    """

    name: str
    kind: Literal["whole number", "number", "rate", "text"]
    label: str


FAULT_FIELDS = (
    FaultField("status", "whole number", "Answer with this status, 400 to 599"),
    FaultField("rate", "rate", "Refuse requests above this rate, such as 40/s or 100/min"),
    FaultField("retry_after", "number", "Ask to retry after so many seconds, when a request is refused"),
    FaultField("delay", "number", "Wait so many seconds before the request is processed"),
    FaultField("stall_after", "whole number", "Send so many events, then nothing"),
    FaultField("cut_after", "whole number", "Send so many events, then break the connection"),
    FaultField("malformed", "whole number", "Send the event with this number as invalid JSON"),
    FaultField("duplicate", "whole number", "Send the event with this number twice"),
    FaultField("unknown_event", "whole number", "After so many events, send one with an unknown name"),
    FaultField("drift", "whole number", "Send the event with this number with data of another form"),
    FaultField("times", "whole number", "Apply to so many requests; to all if empty"),
    FaultField("request", "whole number", "Apply only to the request with this number"),
    FaultField("match", "text", "Apply only to requests with this text in the body or the first line"),
)
"""The attributes of `Fault` that text can express, in the order of `fault_as_text`."""


def parse_fault(text: str) -> Fault:
    """Return the fault in a text such as `status=429,retry_after=1,times=2` or `rate=100/min`.

    The text may hold all attributes of `Fault` except `headers` and `body`. A rate without a unit is per second.

    Raises:
        ConfigurationError: The text is not a valid fault.
    """
    given: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or name not in _READ:
            raise ConfigurationError(
                f"{part.strip()!r} is no part of a fault; there are {', '.join(_READ)}, each with = and a value"
            )
        if name in given:
            raise ConfigurationError(f"{name} is given twice in the fault {text!r}")
        given[name] = value
    try:
        return read_fault(given)
    except ConfigurationError as error:
        raise ConfigurationError(f"the fault {text!r}: {error}") from None


def read_fault(given: Mapping[str, str]) -> Fault:
    """Return the fault with these attributes, each as text: `{"status": "429", "match": "a, b"}`.

    Args:
        given: Texts by the names of `FAULT_FIELDS`.

    Raises:
        ConfigurationError: A name is unknown, or the texts are not a valid fault.
    """
    values: dict[str, Any] = {}
    for name, text in given.items():
        if name not in _READ:
            raise ConfigurationError(f"{name!r} is no part of a fault; there are {', '.join(_READ)}")
        kind, read = _READ[name]
        try:
            values[name] = read(text)
        except ValueError:
            raise ConfigurationError(f"{name} must be a {_EXAMPLES.get(kind, kind)}, not {text!r}") from None
    return Fault(**values)


def fault_as_text(fault: Fault) -> str:
    """Return a fault as text, from which `parse_fault` makes an equal one.

    Text cannot express `headers`, a `body`, and a `match` with a comma or with spaces around it. They are added as
    `name: JSON`, which `parse_fault` refuses.
    """
    parts: list[str] = []
    as_json: dict[str, Any] = {}
    for name, (kind, _) in _READ.items():
        value = getattr(fault, name)
        if value == _DEFAULTS[name]:
            continue
        if kind == "text" and ("," in value or value != value.strip()):
            as_json[name] = value
        else:
            parts.append(f"{name}={_WRITE.get(kind, str)(value)}")
    if fault.headers:
        as_json["headers"] = dict(fault.headers)
    if fault.body is not None:
        as_json["body"] = fault.body
    return ",".join([*parts, *(f"{name}: {write_json(value)}" for name, value in as_json.items())])


_UNITS = {"s": 1, "min": 60, "h": 3600}  # seconds


def _rate(text: str) -> float:
    number, slash, unit = (piece.strip() for piece in text.partition("/"))
    if slash and unit not in _UNITS:
        raise ValueError(text)
    return float(number) / (_UNITS[unit] if slash else 1)


def _rate_as_text(rate: float) -> str:
    written = (f"{rate * seconds:g}/{unit}" for unit, seconds in _UNITS.items())
    return next((text for text in written if _rate(text) == rate), f"{rate}/s")


_KINDS: dict[str, Callable[[str], object]] = {"whole number": int, "number": float, "rate": _rate, "text": str}
_READ = {each.name: (each.kind, _KINDS[each.kind]) for each in FAULT_FIELDS}
_EXAMPLES = {"rate": "rate such as 40/s or 100/min"}
_WRITE: dict[str, Callable[[Any], str]] = {
    "number": lambda value: str(value).removesuffix(".0"),
    "rate": _rate_as_text,
}
_DEFAULTS: dict[str, Any] = {each.name: each.default for each in fields(Fault)}


# --- The faults of a server ----------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _InForce:
    fault: Fault
    is_added: bool
    left: int | None  # of `times`
    full: float = -math.inf  # when the bucket of a rate is full again

    def use(self) -> Fault | None:
        """Count a request that the fault fits; return what applies to it, or `None` when the rate lets it through."""
        fault = self.fault
        if fault.rate is not None:
            now, apart = monotonic(), 1 / fault.rate
            full = max(self.full, now) + apart
            wait = full - now - max(1.0, apart)  # the bucket holds what comes in a second, and at least one request
            if wait < 1e-6:  # not 0, because of rounding: whoever has waited as long as was asked is let through
                self.full = full
                return None
            status = 429 if fault.status is None else fault.status
            seconds = math.ceil(round(wait, 6) * 1000) / 1000 if fault.retry_after is None else fault.retry_after
            fault = replace(fault, status=status, retry_after=seconds)
        if self.left is not None:
            self.left -= 1
        return fault


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
            self._in_force = [_InForce(fault, is_added=False, left=fault.times) for fault in self._given]

    def add(self, fault: Fault) -> None:
        """Add a fault: before those that the server was created with, and after those that were added earlier."""
        with self._lock:
            place = sum(each.is_added for each in self._in_force)
            self._in_force.insert(place, _InForce(fault, is_added=True, left=fault.times))

    def withdraw(self) -> None:
        """Drop the faults that were added. Those that the server was created with stay, with what is left of them."""
        with self._lock:
            self._in_force = [each for each in self._in_force if not each.is_added]

    def in_force(self) -> list[tuple[Fault, int | None]]:
        """Return the faults in the order in which they apply, with the number of requests left; `None` for all."""
        with self._lock:
            return [(each.fault, each.left) for each in self._in_force]

    def next(self, first_line: str, body: bytes, *, is_run: bool) -> Fault | None:
        """Count a request, and return the fault that applies to it; `None` when none does.

        A fault with a rate is returned with the `status` and the `retry_after` of this refusal.
        """
        with self._lock:
            self._number += 1
            for each in self._in_force:
                fault = each.fault
                fits = (not fault.is_of_run or is_run) and self._fits(fault, first_line, body)
                if fits and (applied := each.use()) is not None:
                    if each.left == 0:
                        self._in_force.remove(each)
                    return applied
            return None

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
