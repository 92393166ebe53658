"""The log records of the client as lines on stderr: waits before a further attempt, and warnings."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from scout.cli._terminal import talk

if TYPE_CHECKING:
    from collections.abc import Generator

    from scout import ScoutError


@contextlib.contextmanager
def shown() -> Generator[None]:
    """Show the waits of the clients that are used in this context."""
    log = logging.getLogger("scout")
    handler, level = _Lines(), log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        # The client adds `error`, `attempt` and `wait` to the record of a wait.
        wait: float | None = getattr(record, "wait", None)
        if wait is not None:
            talk(_wait_as_line(record.__dict__["error"], record.__dict__["attempt"], wait))
        elif record.levelno >= logging.WARNING:
            talk(self.format(record))


def _wait_as_line(error: ScoutError, attempt: int, wait: float) -> str:
    from scout import APIStatusError, RateLimitError

    # Without a status, the beginning of the message, such as "no connection to https://api.scoutos.com".
    cause = str(error.status) if isinstance(error, APIStatusError) else error.message.partition(": ")[0]
    # What the server asks for, without the little that is added so that not all callers come back at the same moment.
    asked = (error.retry_after or wait) if isinstance(error, RateLimitError) else wait
    seconds = f"{asked:.1f}".removesuffix(".0")
    return f"{cause}, waiting {seconds} s, attempt {attempt + 1}"
