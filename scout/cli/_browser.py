"""Pages of the local Scout in a browser: `--open` of `scout local` and `scout run --local`."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from scout.cli._terminal import talk

if TYPE_CHECKING:
    from scout import Event, ResponseInfo
    from scout.local import LocalScout

# In a process of its own, because a browser may hold up the program that starts it, write to its output, or end with
# it. Isolated (-I), so that no file of the project can pass for a module of Python.
_OPEN = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"


class OpenedPage:
    """A page that is opened in the browser. This does not wait for it.

    Args:
        url: The address of the page.
    """

    def __init__(self, url: str) -> None:
        self.url: str = url
        # Without TERM, no browser is tried that draws on the terminal, which is that of this command.
        env = {name: text for name, text in os.environ.items() if name != "TERM"}
        null = subprocess.DEVNULL
        self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
            [sys.executable, "-I", "-c", _OPEN, url],
            env=env,
            stdin=null,
            stdout=null,
            stderr=null,
            start_new_session=True,
        )

    def look(self) -> None:
        """Say so when no browser could be opened. To be called again and again: it takes a browser some time."""
        if self._process is None or self._process.poll() is None:
            return
        if self._process.returncode:
            talk(f"no browser could be opened here; the address is {self.url}")
        self._process = None


class RunPage:
    """The page of a run on a local Scout, which is opened when the run starts."""

    def __init__(self) -> None:
        self.server: LocalScout | None = None
        self._path = "/"
        self._opened: OpenedPage | None = None

    def on_response(self, response: ResponseInfo) -> None:
        """Note whether the request was refused."""
        self._path = "/" if response.status < 400 else "/page/requests"

    def on_event(self, event: Event) -> None:
        """Open the page when the first event has the id of the run."""
        from scout import WorkflowRunStarted

        if isinstance(event, WorkflowRunStarted) and isinstance(run_id := event.data.workflow_run_id, str):
            self._path = f"/page/runs/{run_id}"
            self._open()

    def stay(self) -> None:
        """Keep the page until Ctrl-C. Without a run, it is that of the refused requests, or of all runs."""
        if self.server is None or not self.server.requests:
            return  # nothing was sent, so there is nothing to see
        with contextlib.suppress(KeyboardInterrupt):
            page = self._opened or self._open()
            talk(f"the page is {page.url}, until you stop it with Ctrl-C")
            self.server.serve_forever(page.look)

    def _open(self) -> OpenedPage:
        assert self.server is not None
        self._opened = OpenedPage(self.server.url + self._path)
        return self._opened
