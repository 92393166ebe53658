"""What all tests share: a clean environment, both clients, and switches for waiting and DNS."""

import asyncio
import gc
import os
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import certifi
import pytest

# `servers` is imported by name; pytest's importlib mode leaves the folder of the tests off the path.
sys.path.insert(0, str(Path(__file__).parent))

from connections import Tls
from servers import Caller

try:
    from hypothesis import settings
except ImportError:  # as where the wheel is tested
    pass
else:
    settings.register_profile("quick", max_examples=60, deadline=None)
    settings.register_profile("deep", max_examples=300, deadline=None)
    settings.load_profile(os.environ.get("SCOUT_TEST_PROFILE", "quick"))

if TYPE_CHECKING:
    from browser import Chromium


def pytest_collection_finish() -> None:
    """Leave the tests themselves out of garbage collection: each `gc.collect()` would go through all 7,000 of them."""
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def garbage_of_one_module() -> None:
    """Leave also what the modules before have imported, and their reports, out of garbage collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def certificates_read_once() -> Iterator[None]:
    """Share httpx's default TLS context: reading the world's certificates costs each client 50 ms of CPU."""
    create = ssl.create_default_context
    shared = create(cafile=certifi.where())

    def create_or_share(*args: Any, **options: Any) -> ssl.SSLContext:
        return shared if not args and options == {"cafile": certifi.where()} else create(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", create_or_share)
        yield


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Caller:
    return Caller(request.param)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the settings nor the proxies nor the certificates of the machine may decide what a test sees."""
    for name in list(os.environ):
        if name.startswith("SCOUT_") or name.lower() in (
            "http_proxy",
            "https_proxy",
            "all_proxy",
            "no_proxy",
            "ssl_cert_file",
            "ssl_cert_dir",
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
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the run logs after short pauses."""
    monkeypatch.setattr("scout.runs.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("scout.runs.LONGEST_PAUSE", 0.04)


@pytest.fixture
def tls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tls:
    """A certificate authority that the clients trust, and no other."""
    pytest.importorskip("trustme")
    made = Tls()
    made.authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return made


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


# For a module and not for longer: Playwright keeps an event loop in this thread, beside which no other can run.
@pytest.fixture(scope="module")
def chromium() -> "Iterator[Chromium]":
    """The browser of this machine; without one, a test that asks for it is skipped."""
    pytest.importorskip("playwright", reason="playwright is not installed (scripts/setup dev)")
    from browser import find_chromium, run_chromium

    program = find_chromium()
    if program is None:
        pytest.skip("there is no Chromium here (Debian's package chromium, or a path in SCOUT_TEST_BROWSER)")
    with run_chromium(program) as running:
        yield running


@pytest.fixture
def expect(chromium: "Chromium") -> Any:
    """Playwright's assertions, which wait until they hold."""
    from playwright.sync_api import expect

    return expect
