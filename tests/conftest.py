"""What all tests share: a clean environment, both clients, and switches for waiting and DNS."""

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

# `servers` is imported by name; pytest's importlib mode leaves the folder of the tests off the path.
sys.path.insert(0, str(Path(__file__).parent))

from servers import Caller

try:
    from hypothesis import settings
except ImportError:  # as where the wheel is tested
    pass
else:
    settings.register_profile("quick", max_examples=60, deadline=None)
    settings.register_profile("deep", max_examples=300, deadline=None)
    settings.load_profile(os.environ.get("SCOUT_TEST_PROFILE", "quick"))


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Caller:
    return Caller(request.param)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the settings nor the proxies of the machine may decide what a test sees."""
    for name in list(os.environ):
        if name.startswith("SCOUT_") or name.lower() in (
            "http_proxy",
            "https_proxy",
            "all_proxy",
            "no_proxy",
        ):
            monkeypatch.delenv(name)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat at once. The numbers of attempts and the waits that they tell of stay the client's own."""

    async def at_once(seconds: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr("scout._http._sleep", lambda seconds: None)
    monkeypatch.setattr("scout._http._async_sleep", at_once)


@pytest.fixture
def unresolvable_url(monkeypatch: pytest.MonkeyPatch) -> str:
    """A host that no DNS knows, without asking a DNS."""
    known = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        if host in ("nothing.invalid", b"nothing.invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return "https://nothing.invalid"
