"""The program of a template process: one request a line in, one answer a line out, until the input ends.

It runs with an empty environment and with limits on memory and time, because a template may be hostile.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from .templates import TemplateFailedError, render

try:
    import resource
except ImportError:  # Windows: the parent still ends us when time is up
    resource = None  # type: ignore[assignment]

_MEMORY = 1024 * 1024 * 1024
_SPARE_CPU_SECONDS = 2


def main() -> None:
    """Serve the parent process on standard input and output."""
    _limit_memory()
    print("ready", flush=True)  # noqa: T201 - the parent waits for this line
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _limit_cpu(request.pop("seconds"))
        sys.stdout.write(_answer(request) + "\n")
        sys.stdout.flush()


def _answer(request: dict[str, Any]) -> str:
    try:
        return json.dumps({"text": render(**request)})
    except TemplateFailedError as error:
        return json.dumps({"problem": error.message, "line": error.line})


def _limit_memory() -> None:
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def _limit_cpu(seconds: float) -> None:
    """Die by ourselves if the parent is no longer there to end us."""
    if resource is not None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        soft = int(usage.ru_utime + usage.ru_stime + seconds) + _SPARE_CPU_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))
