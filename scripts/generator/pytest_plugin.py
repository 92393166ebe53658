"""Pytest plugin with the fixture `scout_local`, a local Scout for tests.

Copied by scripts/regenerate from scripts/generator/pytest_plugin.py; do not edit the copy.

Pytest loads this module in every test run, also in projects that have a package or a folder `scout` of their own. If it
imported ours, theirs could not be imported any more, and where theirs is found first, this import would end the run. So
it stands in a package with another name, and imports nothing before a test asks for the fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def scout_local_options() -> dict[str, Any]:
    """Arguments of `LocalScout` for the session's server; override it in a `conftest.py`."""
    return {}


@pytest.fixture(scope="session")
def _scout_local_server(scout_local_options: dict[str, Any]) -> Iterator[Any]:
    with _fixtures().serving(scout_local_options) as server:
        yield server


@pytest.fixture
def scout_local(
    _scout_local_server: Any, scout_local_options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """A local Scout, reset for each test. All clients of `scout` in this process use it while the test runs."""
    with _fixtures().lent(_scout_local_server, scout_local_options, monkeypatch) as server:
        yield server


def _fixtures() -> Any:
    try:
        from scout.local import pytest_plugin
    except ImportError as error:
        import scout

        place = getattr(scout, "__file__", None) or list(scout.__path__)
        raise pytest.UsageError(
            f"the fixture scout_local needs the package scout of scout-workflows, but {error}. `import scout` finds "
            f"{place}. If that is a module of your own, it hides the package: run pytest from another folder, or "
            "rename it."
        ) from error
    return pytest_plugin
