"""What all tests share: a clean environment, both clients, and switches for waiting and DNS."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stamina
from _pytest.runner import runtestprotocol

# `servers` is imported by name; pytest's importlib mode leaves the folder of the tests off the path.
sys.path.insert(0, str(Path(__file__).parent))

from servers import Caller


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
def no_waiting() -> Iterator[None]:
    """Repeat at once. Caps nothing: the numbers of attempts stay the client's own."""
    with stamina.set_testing(True, attempts=1000, cap=True):
        yield


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


# --- Tests against the clock ------------------------------------------------------------------------------------

TRIES = 3
repeated: list[str] = []


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Repeat a test with the marker `timing` that fails: a busy machine is late now and then, a fault always."""
    if item.get_closest_marker("timing") is None:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for number in range(1, TRIES + 1):
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        if number == TRIES or not any(report.failed for report in reports):
            break
        repeated.append(item.nodeid)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for name in repeated:
        terminalreporter.write_line(f"REPEATED {name}: it failed against the clock")
