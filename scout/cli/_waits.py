"""The log records of the client as lines on stderr: waits before a further attempt, and warnings."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING

from scout.cli._logs import shows
from scout.cli._terminal import talk

if TYPE_CHECKING:
    from collections.abc import Generator

    from scout import ScoutError


_SECONDS = 10.0
"""Between two lines about the same cause, where many calls wait."""


@contextlib.contextmanager
def shown(*, many: bool = False) -> Generator[None]:
    """Show the waits of the clients that are used in this context.

    Args:
        many: Many calls wait at the same time, so that each cause is shown now and then.
    """
    log = logging.getLogger("scout")
    handler, level = _Lines(many=many), log.level
    log.addHandler(handler)
    log.setLevel(min(level or logging.INFO, logging.INFO))  # not above that of SCOUT_LOG
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)


class _Lines(logging.Handler):
    def __init__(self, *, many: bool) -> None:
        super().__init__()
        self._many = many
        self._said: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if shows(record):
            return
        # The client adds `error`, `attempt` and `wait` to the record of a wait.
        wait: float | None = getattr(record, "wait", None)
        if wait is None:
            if record.levelno >= logging.WARNING:
                talk(self.format(record))
            elif (within := getattr(record, "within", None)) is not None:  # the seconds for which it asks the run log
                cause = _cause_of(record.__dict__["error"])
                talk(f"{cause}; the run may have started, so the run log is asked, for at most {within:g} s")
        elif self._many:
            self._say_now_and_then(_cause_of(record.__dict__["error"]))
        else:
            talk(_wait_as_line(record.__dict__["error"], record.__dict__["attempt"], wait))

    def _say_now_and_then(self, cause: str) -> None:
        now = time.monotonic()
        if cause not in self._said or now - self._said[cause] >= _SECONDS:
            self._said[cause] = now
            talk(f"{cause}, so rows wait and are tried again")


def _cause_of(error: ScoutError) -> str:
    from scout import APIStatusError

    # Without a status, the beginning of the message, such as "no connection to https://api.scoutos.com".
    return str(error.status) if isinstance(error, APIStatusError) else error.message.partition(": ")[0]


def _wait_as_line(error: ScoutError, attempt: int, wait: float) -> str:
    from scout import RateLimitError

    cause = _cause_of(error)
    # What the server asks for, without the little that is added so that not all callers come back at the same moment.
    asked = (error.retry_after or wait) if isinstance(error, RateLimitError) else wait
    seconds = f"{asked:.1f}".removesuffix(".0")
    return f"{cause}, waiting {seconds} s, attempt {attempt + 1}"
