"""Log records of the client on stderr: `SCOUT_LOG=debug scout ...`."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING

from scout.cli._exits import UsageError, without_key
from scout.cli._terminal import escape, say

if TYPE_CHECKING:
    from collections.abc import Generator

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


@contextlib.contextmanager
def shown() -> Generator[None]:
    """Show the log records of the logger `scout` in this context, from the level that `SCOUT_LOG` names.

    Raises:
        UsageError: it names none.
    """
    name = os.environ.get("SCOUT_LOG", "")
    level = LEVELS.get(name.lower())
    if level is None:
        raise UsageError(f"SCOUT_LOG is {name!r}, which is none of {', '.join(LEVELS)}")
    log = logging.getLogger("scout")
    handler, before = _Lines(level), log.level
    handler.setFormatter(logging.Formatter("%(asctime)s.%(msecs)03d %(levelname)s %(message)s", "%H:%M:%S"))
    log.addHandler(handler)
    log.setLevel(level)
    try:
        yield
    finally:
        log.setLevel(before)
        log.removeHandler(handler)


def shows(record: logging.LogRecord) -> bool:
    """Return True for a record that is shown because of `SCOUT_LOG`."""
    handlers = logging.getLogger("scout").handlers
    return any(isinstance(each, _Lines) and record.levelno >= each.level for each in handlers)


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):  # without stderr there is no place to say so, and the run goes on
            say(escape(without_key(self.format(record))))
