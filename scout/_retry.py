"""Decide whether a failure may be retried, and after how long. No sleeping in here.

| what happened to an execute                               | may have started | repeated             |
|-----------------------------------------------------------|------------------|----------------------|
| DNS, refused, TLS, connect timeout, no free connection    | no               | yes                  |
| 429                                                       | no               | after `Retry-After`  |
| 400 401 402 403 404 409 413 422                           | no               | never                |
| 408, 5xx, disconnect, read timeout, a broken or short body | unknown          | only `at_least_once` |
| a deadline                                                | as it was        | never                |

A request that changes nothing, or changes the same thing twice (GET, PUT, DELETE), repeats what is unknown as well.
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
"""The statuses by which a server says that it did not carry the request out."""

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 8.0
LONGEST_RETRY_AFTER = 60.0


def pause(error: ScoutError, number: int, *, retries: int, repeat_unknown: bool) -> float | None:
    """Seconds to wait before request `number` (from 1), which ended in `error`, is repeated; `None`: never.

    Args:
        error: What happened.
        number: Which request of the call it was.
        retries: How many repetitions a call may have.
        repeat_unknown: Whether a request may be repeated although it may have been carried out.
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
    """Exponential with jitter: 0.5 s, 1 s, 2 s, ... and up to half a second more, 8 s at most."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(number - 1, 10) + random.uniform(0, FIRST_PAUSE))


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that a server asks to wait: `retry-after-ms`, else `Retry-After` as seconds or date; `None`: not said.

    Source: RFC 9110, section 10.2.3; fractions and milliseconds are seen in the wild.
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
