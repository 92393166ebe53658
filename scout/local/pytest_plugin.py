"""Pytest plugin with the fixture `scout_local`, a local Scout for tests.

```
def test_the_answer(scout_local):
    scout_local.stub("com.scoutos.llm", "42")
    assert my_app.answer("What is six times seven?") == "42"
    assert scout_local.runs[-1].inputs == {"user_message": "What is six times seven?"}
```

The session has one server, which is reset for each test. Clients that read their settings from the environment use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .server import LocalScout

_ANY_KEY = "local"


@pytest.fixture(scope="session")
def scout_local_options() -> dict[str, Any]:
    """Arguments of `LocalScout` for the session's server; override it in a `conftest.py`."""
    return {}


@pytest.fixture(scope="session")
def _scout_local_server(scout_local_options: dict[str, Any]) -> Iterator[LocalScout]:
    from .server import LocalScout  # imported on use, because this plugin is loaded in every session

    if not isinstance(scout_local_options, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - it is the user's
        raise pytest.UsageError("the fixture scout_local_options must return a mapping of arguments of LocalScout")
    with LocalScout(**scout_local_options) as server:
        yield server


@pytest.fixture
def scout_local(
    _scout_local_server: LocalScout, scout_local_options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalScout]:
    """A local Scout, reset for each test. `Scout()` uses it through `SCOUT_BASE_URL` and `SCOUT_API_KEY`."""
    _scout_local_server.start()  # raises if an earlier test has closed it
    _scout_local_server.reset()
    monkeypatch.delenv("SCOUT_ENVIRONMENT", raising=False)
    monkeypatch.setenv("SCOUT_BASE_URL", _scout_local_server.url)
    monkeypatch.setenv("SCOUT_API_KEY", scout_local_options.get("api_key") or _ANY_KEY)
    yield _scout_local_server
    _scout_local_server.reset()
