"""Rules of retries: decide whether a failed request may be repeated, and after how long. Does not sleep.

| failure of an execute                                      | run may have started | repeated             |
|------------------------------------------------------------|----------------------|----------------------|
| DNS, refused, TLS, connect timeout, no free connection     | no                   | yes                  |
| 429                                                        | no                   | after `Retry-After`  |
| 400 401 402 403 404 409 413 422                            | no                   | never                |
| 408, 5xx, disconnect, read timeout, a broken or short body | unknown              | only `at_least_once` |
| deadline reached                                           | depends              | never                |

Idempotent requests (GET, PUT, DELETE) are also repeated when the outcome is unknown.
"""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING

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
    from collections.abc import Mapping

__all__ = ["REFUSED", "pause", "retry_after"]

REFUSED = frozenset({400, 401, 402, 403, 404, 409, 413, 422, 429})
"""The statuses with which a server says that it did not process the request."""

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 8.0
LONGEST_RETRY_AFTER = 60.0


def pause(error: ScoutError, number: int, *, retries: int, repeat_unknown: bool) -> float | None:
    """Return the seconds to wait before a failed request is repeated; `None` when it must not be repeated.

    Args:
        error: The error of the request.
        number: The position of the request in its call, from 1.
        retries: The number of times that a call may repeat its request.
        repeat_unknown: True when the request may be repeated although the server may have processed it.
    """
    if number > retries or not _may_repeat(error, repeat_unknown=repeat_unknown):
        return None
    if isinstance(error, RateLimitError) and error.retry_after is not None:
        return error.retry_after if error.retry_after <= LONGEST_RETRY_AFTER else None
    return backoff(number)


def _may_repeat(error: ScoutError, *, repeat_unknown: bool) -> bool:
    match error:
        case APITimeoutError(limit="deadline"):
            return False
        case RateLimitError():
            return True
        case APIStatusError(status=status):
            return repeat_unknown and (status == 408 or status >= 500)
        case APIConnectionError(run_may_have_started=unknown):
            return repeat_unknown or not unknown
        case APIResponseError(damaged=damaged):
            return repeat_unknown and damaged
        case _:
            return False


def backoff(number: int) -> float:
    """Return the seconds to wait, exponential with jitter: 0.5, 1, 2, ... plus up to 0.5, at most 8."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(number - 1, 10) + random.uniform(0, FIRST_PAUSE))


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds that a server asks to wait; `None` when it asks for none.

    Read from `retry-after-ms`, else from `Retry-After`, which holds seconds or a date. Source: RFC 9110,
    section 10.2.3; some servers send fractions and milliseconds.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is not None:
        return seconds
    moment = parse_timestamp(text)
    if moment is None:
        return None
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return number if number >= 0 and math.isfinite(number) else None
