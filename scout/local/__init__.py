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

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .access import Access
    from .blocks import BlockContext, Handler
    from .cassettes import Recorder, Replayer, record, replay
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

_MODULES = {
    "Access": "access",
    "BlockContext": "blocks",
    "Fault": "faults",
    "Handler": "blocks",
    "LocalRequest": "history",
    "LocalRun": "history",
    "LocalScout": "server",
    "Recorder": "cassettes",
    "Replayer": "cassettes",
    "parse_fault": "faults",
    "record": "cassettes",
    "replay": "cassettes",
}


def __getattr__(name: str) -> Any:
    # Loaded when asked for, because a test session loads this package whether or not it uses any of it.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
