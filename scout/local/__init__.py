"""The embedded local Scout: the workflow API on this machine, for development and tests.

```
from scout.local import LocalScout

with LocalScout(blocks={"com.scoutos.serp": lambda inputs, context: "results"}) as local:
    print(local.url)
```

It serves real HTTP on the loopback interface and runs workflows with a deterministic stand-in for language models.
It is not Scout: nothing leaves the machine, and nothing it answers was written by a model.

It is built from the API's specification and from observations of the API, and never from this package's own client: a
misreading of the API must not agree with itself.
"""

from .access import Access
from .blocks import BlockContext, Handler
from .faults import Fault, parse_fault
from .history import LocalRequest, LocalRun
from .server import LocalScout

__all__ = ["Access", "BlockContext", "Fault", "Handler", "LocalRequest", "LocalRun", "LocalScout", "parse_fault"]
