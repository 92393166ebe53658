"""May a failure be repeated, and after how long? The whole table, without a server and without waiting."""

import copy
import ssl
from datetime import UTC, datetime
from typing import Any

import pytest

from scout import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    ConfigurationError,
    RateLimitError,
    Run,
    RunFailedError,
    RunOutputError,
    RunStatus,
    ScoutError,
    StreamDecodeError,
    StreamError,
    StreamInterruptedError,
    WorkflowFileError,
)
from scout._answers import Answer, status_error
from scout._retry import REFUSED, Retries, retry_after

RUN = Run("run_1", None, None, RunStatus.FAILED)
NOW = datetime(2025, 1, 15, 16, 0, 0, tzinfo=UTC)


def pauses(
    error: ScoutError, number: int = 1, *, retries: int = 2, limit: float | None = 120.0, repeat_unknown: bool = False
) -> list[float | None]:
    """The pauses of a call whose requests fail so often with the same error."""
    call = Retries(retries, limit, repeat_unknown=repeat_unknown)
    return [call.pause(error) for _ in range(number)]


def repeated(error: ScoutError, *, repeat_unknown: bool = False) -> bool:
    return pauses(error, repeat_unknown=repeat_unknown) != [None]


def untrusted() -> APIConnectionError:
    error = APIConnectionError("whose certificate?", run_may_have_started=False)
    error.__cause__ = ssl.SSLCertVerificationError(1, "certificate verify failed")
    return error


def of_status(status: int, **headers: str) -> APIStatusError:
    return status_error(Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, b""))


# --- Whether ------------------------------------------------------------------------------------------------------


def test_statuses_that_are_repeated_by_default() -> None:
    assert [status for status in range(100, 1000) if repeated(of_status(status))] == [429]


def test_statuses_that_are_repeated_at_least_once() -> None:
    found = [status for status in range(100, 1000) if repeated(of_status(status), repeat_unknown=True)]

    assert found == [408, 429, *range(500, 1000)]


def test_statuses_that_say_that_nothing_started() -> None:
    found = {status for status in range(100, 1000) if not of_status(status).run_may_have_started}

    assert found == REFUSED == {400, 401, 402, 403, 404, 409, 413, 422, 429}


def timeout_error(limit: Any, *, started: bool) -> APITimeoutError:
    return APITimeoutError("late", limit=limit, seconds=1.0, run_may_have_started=started)


# error, repeated by default, repeated with at_least_once
TABLE: list[tuple[ScoutError, bool, bool]] = [
    (APIConnectionError("refused", run_may_have_started=False), True, True),
    (APIConnectionError("reset"), False, True),
    (untrusted(), False, False),
    (timeout_error("connect", started=False), True, True),
    (timeout_error("connect", started=True), False, True),
    (timeout_error("timeout", started=True), False, True),
    (timeout_error("deadline", started=True), False, False),
    (timeout_error("deadline", started=False), False, False),
    (APIResponseError("cut short", status=200, body=b'{"ru', damaged=True), False, True),
    (APIResponseError("a login page", status=200, body=b"<html>"), False, False),
    (APIStatusError("odd", status=302, body="", headers={}), False, False),
    (RateLimitError("slowly", status=429, body="", headers={}, run_may_have_started=False), True, True),
    (ConfigurationError("no key"), False, False),
    (WorkflowFileError("no file"), False, False),
    (RunFailedError("it failed", run=RUN), False, False),
    (RunOutputError("no JSON", run=RUN), False, False),
    (StreamError("odd", run=RUN), False, False),
    (StreamInterruptedError("cut", run=RUN), False, False),
    (StreamDecodeError("odd", run=RUN, data=b""), False, False),
    (ScoutError("anything"), False, False),
]


@pytest.mark.parametrize(("error", "by_default", "at_least_once"), TABLE, ids=[repr(row[0])[:60] for row in TABLE])
def test_errors(error: ScoutError, by_default: bool, at_least_once: bool) -> None:
    assert repeated(error) is by_default
    assert repeated(error, repeat_unknown=True) is at_least_once


@pytest.mark.parametrize(
    "error", [row[0] for row in TABLE if not isinstance(row[0], RateLimitError)], ids=lambda error: repr(error)[:60]
)
def test_nothing_that_may_have_started_is_repeated_by_default(error: ScoutError) -> None:
    twin = copy.copy(error)
    twin.run_may_have_started = True

    assert not repeated(twin)


@pytest.mark.parametrize("repeat_unknown", [False, True])
@pytest.mark.parametrize("retries", [0, 1, 2, 5])
def test_retries_are_counted(retries: int, repeat_unknown: bool) -> None:
    error = APIConnectionError("refused", run_may_have_started=False)

    found = pauses(error, 8, retries=retries, repeat_unknown=repeat_unknown)

    assert [each is not None for each in found] == [True] * retries + [False] * (8 - retries)


# --- After how long -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "least", "most"),
    [(1, 0.5, 1.0), (2, 1.0, 1.5), (3, 2.0, 2.5), (4, 4.0, 4.5), (5, 8.0, 8.0), (6, 8.0, 8.0), (2000, 8.0, 8.0)],
)
@pytest.mark.parametrize(
    "error",
    [APIConnectionError("refused", run_may_have_started=False), of_status(503, retry_after="30")],
    ids=["refused", "503"],
)
def test_the_pause_doubles_and_is_never_the_same(error: ScoutError, number: int, least: float, most: float) -> None:
    times = 300 if number < 1000 else 1

    found = [pauses(error, number, retries=10_000, limit=None, repeat_unknown=True)[-1] or 0.0 for _ in range(times)]

    assert least <= min(found) <= max(found) <= most
    if least < most:
        assert len(set(found)) > 250
        assert max(found) - min(found) > 0.8 * (most - least)


@pytest.mark.parametrize("seconds", [0.25, 1.0, 3.0, 59.9, 100.0])
def test_a_wait_that_the_server_asks_for_is_waited_and_a_little_more(seconds: float) -> None:
    """A little, so that many workers do not come back at the same moment."""
    found = [each or 0.0 for _ in range(100) for each in pauses(of_status(429, retry_after=str(seconds)))]

    assert seconds <= min(found) <= max(found) <= seconds + min(0.5, seconds / 4)
    assert len(set(found)) > 80


@pytest.mark.parametrize("text", ["0", "-5", "0.0", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_moment_that_has_passed_is_an_ordinary_back_off(text: str) -> None:
    found = [pauses(of_status(429, retry_after=text), 6, limit=None) for _ in range(300)]

    for number, most in enumerate([1.0, 1.5, 2.5, 4.5, 8.0, 8.0]):
        each = [found_here[number] or 0.0 for found_here in found]
        assert 0.5 <= min(each) <= max(each) <= most
        assert max(each) > 0.8 * most
        assert len(set(each)) > 250


def test_the_waits_after_429_add_up_to_the_limit() -> None:
    found = pauses(of_status(429, retry_after="10"), 50, retries=0, limit=31.6)

    assert [each is not None for each in found[:4]] == [True, True, True, False]
    assert pauses(of_status(429), limit=0) == [None]
    assert pauses(of_status(429, retry_after="121")) == [None]
    assert pauses(of_status(429, retry_after="86400"), limit=None) != [None]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("5", 5.0),
        (" 5 ", 5.0),
        ("0.5", 0.5),
        ("1e1", 10.0),
        ("3600", 3600.0),
        ("Wed, 15 Jan 2025 16:00:30 GMT", 30.0),
        ("Wed, 15 Jan 2025 18:00:30 +0200", 30.0),
        ("Wednesday, 15-Jan-25 16:00:30 GMT", 30.0),
        ("Wed Jan 15 16:00:30 2025", 30.0),
        ("2025-01-15T16:00:30Z", 30.0),
        ("2025-01-15T16:00:00.250Z", 0.25),
        ("Wed, 15 Jan 2025 15:59:59 GMT", 0.0),
        ("Mon, 01 Jan 1990 00:00:00 GMT", 0.0),
        ("Thu, 16 Jan 2025 16:00:00 GMT", 86_400.0),
        *((text, 5.0) for text in ("5, 5", "5,5", "5, 5, 5", "5, soon", "-1, 5", "2, 5")),
        ("Wed, 15 Jan 2025 16:00:30 GMT, Wed, 15 Jan 2025 16:00:30 GMT", 30.0),
        ("Wednesday, 15-Jan-25 16:00:30 GMT, 20", 30.0),
        ("40, Wed Jan 15 16:00:30 2025", 40.0),
        *((text, None) for text in ("", " ", "soon", "-1", "-0.5", "nan", "inf", "-inf", "1e999", "0x5", "5s", ", ,")),
        *((text, None) for text in ("Wed, 45 Jan 2025 16:00:30 GMT", "16:00:30", "\x00", "(" * 1000)),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": text}, NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "0.5"}, 0.0005),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "0", "retry-after": "9"}, 0.0),
        *(({"retry-after-ms": text, "retry-after": "9"}, 9.0) for text in ("", "soon", "-5", "nan", "inf")),
        ({"retry-after-ms": "soon"}, None),
        ({}, None),
    ],
)
def test_milliseconds_come_first(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Wed, 21 Oct 2015 07:28:00 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT, Wed, 21 Oct 2015 07:28:00 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:28:31 GMT", 0.0),
        ("Wed, 21 Oct 2015 06:28:00 GMT", 3630.0),
        *((text, 0.0) for text in ("", "yesterday", "1445412480")),  # then by the clock of this machine
    ],
)
def test_a_date_counts_from_that_of_the_response(date: str, seconds: float) -> None:
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": date}, NOW) == seconds


def test_a_date_counts_from_now() -> None:
    waited = retry_after({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"})

    assert waited is not None
    assert waited > 7900 * 365 * 86_400


@pytest.mark.parametrize("zone", ["+9999", "XYZT"])
def test_a_date_in_a_zone_that_cannot_be(zone: str) -> None:
    assert retry_after({"retry-after": f"Wed, 15 Jan 2025 16:00:30 {zone}"}, NOW) is None
