"""A browser for tests: the Chromium of this machine, headless, with an empty profile.

    def test_the_page(chromium):
        with LocalScout() as local, chromium.window(local.url) as window:
            window.open("/")
            window.page.get_by_role("link", name="hello").click()

A window is stricter than a person: its `with` block ends with an error when the page has written an error to the
console, a script of it failed, a request failed, or anything was asked of another server. What a test expects of that
stands in `window.expected`. Playwright waits until what is asked for is there; tests wait for nothing else.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import axe_playwright_python
from playwright.sync_api import Browser, Page, Request, Response, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
# No page takes longer; it only bounds what is already broken.
PATIENCE = 20_000.0  # milliseconds
REBOUND = "rebound.example"
# Without the switches for the background, Chromium looks for servers of its vendor. No name leads out of this machine.
SWITCHES = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    "--no-first-run",
)
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")


def find_chromium() -> str | None:
    """Return the program that SCOUT_TEST_BROWSER names, or else the first browser that is installed."""
    return os.environ.get("SCOUT_TEST_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)


class Window:
    """A page of one server in a browser context of its own: cookies and storage are not shared with other windows.

    Attributes:
        page: The page, for Playwright's methods.
        requests: The URLs that were asked for, in their order.
        faults: What went wrong, each as one line.
        expected: Regular expressions; a fault in which one of them is found is none. Each has to be found in one.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.requests: list[str] = []
        self.faults: list[str] = []
        self.expected: list[str] = []
        page.on("console", lambda message: self._note(message.type == "error", f"console: {message.text}"))
        page.on("pageerror", lambda error: self._note(True, f"script: {error.message}"))
        context = page.context
        context.on("request", self._asked)
        # Aborted is what the page itself gave up: a stream that it left, a navigation that became a download.
        context.on(
            "requestfailed",
            lambda request: self._note(request.failure != "net::ERR_ABORTED", f"{request.failure}: {request.url}"),
        )

    def open(self, path: str = "/") -> Response | None:
        """Go to a page of the server, and return its response. What is live in it may still be on its way."""
        return self.page.goto(self.url + path)

    def accessibility_faults(self) -> list[str]:
        """Return the serious and the critical findings of axe about the page as it stands now."""
        if not self.page.evaluate("typeof axe === 'object'"):
            self.page.evaluate(AXE)
        found: list[dict[str, Any]] = self.page.evaluate(
            "axe.run(document, {resultTypes: ['violations']}).then(results => results.violations)"
        )
        return [
            f"{finding['impact']} {finding['id']}: {node['html']}: {node['failureSummary']}"
            for finding in found
            if finding["impact"] in ("serious", "critical")
            for node in finding["nodes"]
        ]

    def is_scrolled_sideways(self) -> bool:
        """Return True when the page as a whole is wider than the window."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))

    def unexpected(self) -> list[str]:
        """Return the faults that were not expected, and the expected ones that are missing."""
        self.page.evaluate("0")  # the events up to now come before the answer
        missing = [f"missing: {pattern}" for pattern in self.expected if not any(_matching(pattern, self.faults))]
        return [fault for fault in self.faults if not any(re.search(each, fault) for each in self.expected)] + missing

    def _asked(self, request: Request) -> None:
        self.requests.append(request.url)
        self._note(not request.url.startswith((f"{self.url}/", "data:", "blob:")), f"elsewhere: {request.url}")

    def _note(self, is_fault: bool, text: str) -> None:
        if is_fault:
            self.faults.append(text)


def _matching(pattern: str, faults: list[str]) -> Iterator[str]:
    return (fault for fault in faults if re.search(pattern, fault))


class Chromium:
    """One running browser, for any number of windows.

    Attributes:
        rebound: A name of another site that leads to this machine, as after DNS rebinding.
    """

    rebound = REBOUND

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    @contextmanager
    def window(
        self,
        url: str,
        *,
        width: int = 1280,
        scheme: Literal["light", "dark"] = "light",
        still: bool = True,
        **options: Any,
    ) -> Iterator[Window]:
        """Open a window for one server, and close it.

        Args:
            url: The origin of the server. Requests to any other are faults.
            width: The width of the window in CSS pixels.
            scheme: The colours that the system prefers.
            still: Whether the system asks for reduced motion.
            **options: More options of Playwright's `new_context`, such as `http_credentials`.

        Raises:
            AssertionError: Something went wrong that was not expected.
        """
        context = self._browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            reduced_motion="reduce" if still else "no-preference",
            accept_downloads=True,
            **options,
        )
        try:
            context.set_default_timeout(PATIENCE)
            window = Window(context.new_page(), url)
            try:
                yield window
            except BaseException as error:
                error.add_note(f"in the browser: {window.faults}")
                raise
            if faults := window.unexpected():
                raise AssertionError("\n".join(["in the browser:", *faults]))
        finally:
            context.close()


@contextmanager
def run_chromium(program: str) -> Iterator[Chromium]:
    """Start a browser, and end it with all of its processes."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=list(SWITCHES),
            chromium_sandbox=os.geteuid() != 0,  # Chromium refuses to run as root in its sandbox
        )
        try:
            yield Chromium(browser)
        finally:
            browser.close()
