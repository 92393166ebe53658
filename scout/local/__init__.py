"""The embedded local Scout: the workflow API on this machine, for development and tests.

```
from scout.local import LocalScout

with LocalScout(blocks={"com.scoutos.serp": lambda inputs, context: "results"}) as local:
    print(local.url)
```

It serves real HTTP on the loopback interface and runs workflows with a deterministic stand-in for language models.
It is not Scout: nothing leaves the machine, and no output was written by a model.

`record` and `replay` write requests and responses, also those of the real API, to a file for tests.

It is written from the specification and from observations of the API. It shares no code with the client that reads the
API; otherwise both could have the same mistake, and tests between them would pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scout.cassettes import Recorder, Replayer, record, replay

    from .access import Access
    from .blocks import BlockContext, Handler, can_run
    from .faults import Fault, parse_fault
    from .history import LocalRequest, LocalRun
    from .server import LocalScout

__all__ = [
    "Access",
    "BlockContext",
    "Fault",
    "Handler",
    "LocalRequest",
    "LocalRun",
    "LocalScout",
    "Recorder",
    "Replayer",
    "can_run",
    "parse_fault",
    "record",
    "replay",
]


def __getattr__(name: str) -> object:
    # Imported on first use, because every test session imports this package through the pytest plugin.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(_home_of(name), name)
    globals()[name] = value
    return value


def _home_of(name: str) -> object:
    """Import the module of a public name. Each import is written out, so that a freezer such as PyInstaller sees it."""
    match name:
        case "LocalScout":
            from . import server

            return server
        case "BlockContext" | "Handler" | "can_run":
            from . import blocks

            return blocks
        case "LocalRequest" | "LocalRun":
            from . import history

            return history
        case "Fault" | "parse_fault":
            from . import faults

            return faults
        case "Access":
            from . import access

            return access
        case _:
            from scout import cassettes

            return cassettes


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
