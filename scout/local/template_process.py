"""The program of a template process. It reads one request per line, and writes one answer per line and template.

It runs with an empty environment and with limits on memory and time, because a template may be malicious.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from scout._json import parse_json

from .templates import TemplateFailedError, render_all

if TYPE_CHECKING:
    from collections.abc import Iterator

try:
    import resource
except ImportError:  # Windows: only the parent limits the time
    resource = None  # type: ignore[assignment]

_MEMORY = 512 * 1024 * 1024
_SPARE_CPU_SECONDS = 2


def main() -> None:
    """Serve the parent process on stdin and stdout, until stdin ends."""
    _limit_memory()
    _use_utc()
    print("ready", flush=True)  # noqa: T201 - the parent waits for this line
    for line in sys.stdin.buffer:
        request = parse_json(line)
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


def _use_utc() -> None:
    """Set the time zone to UTC, so that `datetime.now()` is the same on every machine, as `__exp_global` is."""
    os.environ["TZ"] = "UTC"
    if hasattr(time, "tzset"):  # not on Windows
        time.tzset()


def _limit_memory() -> None:
    if resource is not None:
        # Not every system supports this limit. The parent's limit on time applies on all of them.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def _limit_cpu(seconds: float) -> None:
    """Limit the CPU time, so that this process ends even if its parent has died."""
    if resource is not None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        soft = int(usage.ru_utime + usage.ru_stime + seconds) + _SPARE_CPU_SECONDS
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)  # only root may raise it
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
