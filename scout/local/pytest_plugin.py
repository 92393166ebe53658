"""The work of the pytest fixture `scout_local`, a local Scout for tests.

```
def test_the_answer(scout_local):
    scout_local.stub("com.scoutos.llm", "42")
    assert my_app.answer("What is six times seven?") == "42"
    assert scout_local.runs[-1].inputs == {"user_message": "What is six times seven?"}
```

The session has one server, which is reset for each test. The fixture itself is defined in `scout_generated`, a name
that no project has, because pytest loads it in every test run. This module is loaded when a test first asks for it.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from .server import LocalScout

if TYPE_CHECKING:
    from collections.abc import Generator

_ANY_KEY = "local"


@contextlib.contextmanager
def serving(options: Mapping[str, Any]) -> Generator[LocalScout]:
    """Run the server of a session.

    Args:
        options: Arguments of `LocalScout`: what the fixture `scout_local_options` returned.
    """
    if not isinstance(options, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - it is the user's
        raise pytest.UsageError("the fixture scout_local_options must return a mapping of arguments of LocalScout")
    with LocalScout(**options) as server:
        yield server


@contextlib.contextmanager
def lent(server: LocalScout, options: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> Generator[LocalScout]:
    """Lend the server to one test, reset, and let all clients use it.

    Clients that the test makes find it through `SCOUT_BASE_URL` and `SCOUT_API_KEY`, also in other processes. Clients
    that were made before, such as one that an application makes when it is imported, follow `scout._config.stand_in`.
    """
    server.start()  # raises if an earlier test has closed it
    server.reset()
    monkeypatch.setattr("scout._config.stand_in", (server.url, os.environ.get("SCOUT_BASE_URL")))
    monkeypatch.delenv("SCOUT_ENVIRONMENT", raising=False)
    monkeypatch.setenv("SCOUT_BASE_URL", server.url)
    monkeypatch.setenv("SCOUT_API_KEY", options.get("api_key") or _ANY_KEY)
    yield server
    unused = server.unused_stubs(added=True)
    server.reset()
    if unused:
        warnings.warn(
            f"no block has used what this test stubbed: {', '.join(unused)}. "
            "A stub is found by the id or the archetype of a block",
            stacklevel=2,
        )
