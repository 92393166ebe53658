"""The clock of the local Scout: how long something takes, also in tests that stop or change the time.

freezegun and other libraries replace `time.monotonic` in all modules while a test runs. On that clock, a server in the
same process would wait forever, or give up at once when it jumps.
"""

from __future__ import annotations

import sys
import time

__all__ = ["RealTimeLoop", "monotonic"]

if sys.platform == "win32":
    from asyncio import ProactorEventLoop as _Loop

    _clock = (time.monotonic,)  # a tuple, because functions that are attributes of a module are replaced

    def monotonic() -> float:
        """Return seconds on a clock that nobody sets."""
        return _clock[0]()
else:
    from asyncio import SelectorEventLoop as _Loop

    def monotonic() -> float:
        """Return seconds on a clock that nobody sets."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)  # the system's clock, which those libraries leave alone


class RealTimeLoop(_Loop):
    """Event loop whose timers run on `monotonic`."""

    def time(self) -> float:
        """Return the time of the loop, in seconds."""
        return monotonic()
