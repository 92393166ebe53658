"""The embedded local Scout: the workflow API on this machine, for development and tests.

```
from scout.local import LocalScout

with LocalScout(blocks={"com.scoutos.serp": lambda inputs, context: "results"}) as local:
    print(local.url)
```

It serves real HTTP on the loopback interface and runs workflows with a deterministic stand-in for language models.
It is not Scout: nothing leaves the machine, and nothing it answers was written by a model.

`record` and `replay` keep what a client and a server said, the real one too, in a file for tests.

It is built from the API's specification and from observations of the API, and never from this package's own client: a
misreading of the API must not agree with itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scout.cassettes import Recorder, Replayer, record, replay

    from .access import Access
    from .blocks import BlockContext, Handler
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
    "parse_fault",
    "record",
    "replay",
]


def __getattr__(name: str) -> object:
    # Loaded when asked for, because a test session loads this package whether or not it uses any of it.
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
        case "BlockContext" | "Handler":
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
