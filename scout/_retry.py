"""Rules of retries: decide whether a failed request may be repeated, and after how long. Does not sleep.

| failure of an execute                                      | run may have started | repeated                    |
|------------------------------------------------------------|----------------------|-----------------------------|
| DNS, refused, TLS, connect timeout, no free connection     | no                   | yes                         |
| a certificate that is not trusted                          | no                   | never                       |
| 429                                                        | no                   | within `rate_limit_timeout` |
| 400 401 402 403 404 409 413 422                            | no                   | never                       |
| 408, 5xx, disconnect, read timeout, a broken or short body | unknown              | only `at_least_once`        |
| deadline reached                                           | depends              | never                       |
| an exception of somebody else, see `foreign`               | unknown              | never; it passes through    |

Idempotent requests (GET, PUT, DELETE) are also repeated when the outcome is unknown.
"""

from __future__ import annotations

import functools
import math
import random
import re
import ssl
from datetime import UTC, datetime
from inspect import CO_VARARGS
from typing import TYPE_CHECKING, Any

from .errors import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    RateLimitError,
    ScoutError,
)
from .results import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import CodeType, FrameType

__all__ = ["REFUSED", "Retries", "foreign", "is_transient", "retry_after"]

REFUSED = frozenset({400, 401, 402, 403, 404, 409, 413, 422, 429})
"""The statuses with which a server says that it did not process the request."""

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 8.0
_LONGEST_WAITS = 1e9  # seconds, some thirty years; Python's `sleep` refuses ten times that


# --- Repeating ----------------------------------------------------------------------------------------------------


class Retries:
    """The retries of one call, and how long it has waited for the rate limit.

    Args:
        retries: The number of times that the call may repeat its request, those after a 429 not counted.
        rate_limit_timeout: The seconds to which the waits after a 429 may add up; `None` for no limit.
        repeat_unknown: True when a request may be repeated although the server may have processed it.
    """

    def __init__(self, retries: int, rate_limit_timeout: float | None, *, repeat_unknown: bool) -> None:
        self._left = retries
        self._patience = _LONGEST_WAITS if rate_limit_timeout is None else rate_limit_timeout
        self._repeat_unknown = repeat_unknown
        self._refusals = 0
        self._failures = 0

    def pause(self, error: ScoutError) -> float | None:
        """Return the seconds to wait before a failed request is repeated; `None` when it must not be repeated.

        Args:
            error: The error of the request.
        """
        if isinstance(error, RateLimitError):
            self._refusals += 1
            seconds = after_refusal(error.retry_after, self._refusals)
            self._patience -= seconds
            return seconds if self._patience >= 0 else None
        self._failures += 1
        if self._failures > self._left or not _may_repeat(error, repeat_unknown=self._repeat_unknown):
            return None
        return backoff(self._failures)


def is_transient(error: ScoutError) -> bool:
    """Return True for the failure of a read that may not happen again a little later."""
    is_late = isinstance(error, APITimeoutError) and error.limit == "deadline"
    return is_late or isinstance(error, RateLimitError) or _may_repeat(error, repeat_unknown=True)


def _may_repeat(error: ScoutError, *, repeat_unknown: bool) -> bool:
    match error:
        case APITimeoutError(limit="deadline"):
            return False
        case APIStatusError(status=status):
            return repeat_unknown and (status == 408 or status >= 500)
        case APIConnectionError(run_may_have_started=unknown):
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                return False  # it would be the same certificate
            return repeat_unknown or not unknown
        case APIResponseError(damaged=damaged):
            return repeat_unknown and damaged
        case _:
            return False


def backoff(number: int) -> float:
    """Return the seconds to wait, exponential with jitter: 0.5, 1, 2, ... plus up to 0.5, at most 8."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(number - 1, 10) + random.uniform(0, FIRST_PAUSE))


def after_refusal(asked: float | None, number: int) -> float:
    """Return the seconds to wait after a 429: never less than the server asks for, and never two workers the same.

    Otherwise those that were refused at the same moment would come back, and be refused, at the same moment.

    Args:
        asked: The seconds that the server asks for. A moment that has passed says nothing.
        number: The position of the 429 in its call, from 1.
    """
    if asked:
        return asked + random.uniform(0, min(asked * 0.25, FIRST_PAUSE))
    return random.uniform(FIRST_PAUSE, backoff(number))


# --- Retry-After --------------------------------------------------------------------------------------------------


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds that a server asks to wait; `None` when it asks for none.

    Read from `retry-after-ms`, else from `Retry-After`, which holds seconds or a date. Source: RFC 9110,
    section 10.2.3; some servers send fractions and milliseconds. A date counts from the `Date` of the same response,
    because the clock of this machine may be wrong. Where a header was sent several times, the longest time counts.

    Args:
        headers: The headers of the response.
        now: The time for a response without a `Date`; by default that of this machine.
    """
    milliseconds = [number for text in _values(headers.get("retry-after-ms")) if (number := _number(text)) is not None]
    if milliseconds:
        return max(milliseconds) / 1000
    seconds: list[float] = []
    for text in _values(headers.get("retry-after")):
        number = _number(text)
        if number is None and (moment := parse_timestamp(text)) is not None:
            began = next(filter(None, map(parse_timestamp, _values(headers.get("date")))), now or datetime.now(UTC))
            number = max(0.0, (moment - began).total_seconds())
        if number is not None:
            seconds.append(number)
    return max(seconds, default=None)


# The values of a header that was sent several times are joined by commas; most dates hold one after the day.
_VALUE = re.compile(r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\s*,)?[^,]+", re.IGNORECASE)


def _values(text: str | None) -> list[str]:
    return [value.strip() for value in _VALUE.findall(text or "")]


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if number >= 0 and math.isfinite(number) else None


# --- Exceptions of somebody else ----------------------------------------------------------------------------------


def foreign(*errors: BaseException) -> BaseException | None:
    """Return the first of some exceptions that a signal handler has raised; `None` when there is none.

    Python calls the handler of a signal in the middle of whatever the main thread does. The time limit of a job is
    often made so, and its exception often an `OSError` (`TimeoutError`), as are the exceptions of the sockets. What
    tells them apart is the traceback: a handler is called with the frame that it interrupts.
    """
    suspects: list[tuple[CodeType, BaseException]] = []
    for error in errors:
        traceback = error.__traceback__
        while traceback is not None and (below := traceback.tb_next) is not None:
            given = _arguments(below.tb_frame)
            if any(value is traceback.tb_frame for value in given):
                return error
            # A handler that has dropped its arguments is known by its code. Only then: all functions that a decorator
            # makes have the same code.
            if any(value is None for value in given):
                suspects.append((below.tb_frame.f_code, error))
            traceback = below
    handlers = _codes_of_handlers() if suspects else ()
    return next((error for code, error in suspects if code in handlers), None)


def _arguments(frame: FrameType) -> list[Any]:
    """Return the arguments by position with which a function was called, and `None` for each that it has dropped.

    Not its other variables: a function that watches others may keep the frame of its caller in one.
    """
    code, variables = frame.f_code, frame.f_locals
    found: list[Any] = [variables.get(name) for name in code.co_varnames[: code.co_argcount]]
    if code.co_flags & CO_VARARGS:
        more: Any = variables.get(code.co_varnames[code.co_argcount + code.co_kwonlyargcount])
        found += more if type(more) is tuple else [more]
    return found


def _codes_of_handlers() -> set[CodeType]:
    """Return the code of the handlers of signals, some of which do not keep their arguments."""
    import signal  # not needed before something has failed

    return {code for number in signal.valid_signals() for code in _codes(signal.getsignal(number))}


def _codes(handler: Any) -> Iterator[CodeType]:
    while isinstance(handler, functools.partial):
        handler = handler.func
    for function in (handler, type(handler).__call__) if callable(handler) else ():
        code = getattr(getattr(function, "__func__", function), "__code__", None)
        if code is not None:
            yield code
