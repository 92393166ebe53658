"""The program of a template process: a request a line in, an answer a line out for each of its templates.

It runs with an empty environment and with limits on memory and time, because a template may be hostile.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from .templates import TemplateFailedError, render_all

if TYPE_CHECKING:
    from collections.abc import Iterator

try:
    import resource
except ImportError:  # Windows: the parent still ends us when time is up
    resource = None  # type: ignore[assignment]

_MEMORY = 512 * 1024 * 1024
_SPARE_CPU_SECONDS = 2


def main() -> None:
    """Serve the parent process on standard input and output, until the input ends."""
    _limit_memory()
    _live_in_utc()
    print("ready", flush=True)  # noqa: T201 - the parent waits for this line
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _limit_cpu(request.pop("seconds"))
        for answer in _answers(request):
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


def _answers(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    try:
        for text in render_all(**request):
            yield {"text": text}
    except TemplateFailedError as error:
        yield {"problem": error.message, "line": error.line}


def _live_in_utc() -> None:
    """Set the time zone to UTC, so that `datetime.now()` is the same on every machine, as `__exp_global` is."""
    os.environ["TZ"] = "UTC"
    if hasattr(time, "tzset"):  # not on Windows
        time.tzset()


def _limit_memory() -> None:
    if resource is not None:
        # Not every system lets its limits be set; the limit on time is the parent's and holds on all of them.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def _limit_cpu(seconds: float) -> None:
    """Die by ourselves if the parent is no longer there to end us."""
    if resource is not None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        soft = int(usage.ru_utime + usage.ru_stime + seconds) + _SPARE_CPU_SECONDS
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)  # which nobody but root may raise
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
