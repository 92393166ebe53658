"""Renders templates so that none can hang the server or fill its memory.

A template that only looks values up is rendered on the spot. Every other one goes to a child process that is killed
when its time is up. The processes are made when the first such template comes, and kept for the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import templates
from .templates import TemplateFailedError
from .workers import Worker

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

_MOST_PROCESSES = 4
_START_SECONDS = 30.0
_LONGEST_TEMPLATE = 1024 * 1024
_CODE = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from scout.local.template_process import main; main()"


class Renderer:
    """Renders templates over the state of a run.

    Args:
        seconds: How long one template may take.
    """

    def __init__(self, *, seconds: float = 5.0) -> None:
        self._seconds = seconds
        self._idle: list[_TemplateProcess] = []
        self._all: set[_TemplateProcess] = set()
        self._room = asyncio.Semaphore(_MOST_PROCESSES)

    async def render(self, source: str, state: Mapping[str, Any], *, block_ids: AbstractSet[str], most: int) -> str:
        """Render a template.

        Args:
            source: The template, or text without any template in it.
            state: The state of the run so far.
            block_ids: All blocks of the workflow, for a better message about one that has not run yet.
            most: How many characters the text may have.

        Raises:
            TemplateFailedError: It failed, took too long, or made too much text.
        """
        if templates.is_text(source):
            if len(source) > most:
                raise TemplateFailedError(f"the text is longer than {most} characters")
            return source
        if len(source) > _LONGEST_TEMPLATE:
            raise TemplateFailedError(f"the template is longer than {_LONGEST_TEMPLATE} characters")
        used = templates.words(source)
        values = {name: state[name] for name in used if name in state}
        unfinished = [name for name in used if name in block_ids and name not in state]
        if templates.is_harmless(source):
            return templates.render(source, values, unfinished=unfinished, most=most)
        request = {"source": source, "values": values, "unfinished": unfinished, "most": most}
        return await self._render_apart(json.dumps({**request, "seconds": self._seconds}))

    async def _render_apart(self, request: str) -> str:
        async with self._room:
            process = self._idle.pop() if self._idle else _TemplateProcess()
            self._all.add(process)
            try:
                answer = json.loads(await process.ask(request, self._seconds))
            except BaseException:
                # Also when the run was cancelled: the process may be busy with our template for ever.
                self._all.discard(process)
                process.stop()
                raise
            self._idle.append(process)
        if "text" in answer:
            return str(answer["text"])
        raise TemplateFailedError(answer["problem"], answer["line"])

    def close(self) -> None:
        """End all processes."""
        processes, self._all = self._all, set()
        self._idle.clear()
        for process in processes:
            process.stop()
        for process in processes:
            process.join(0.5)


class _TemplateProcess:
    """A child process that renders templates, one after another."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._worker = Worker("scout-local-templates")

    async def ask(self, request: str, seconds: float) -> bytes:
        if self._child is None:
            try:
                async with asyncio.timeout(_START_SECONDS):
                    await self._worker.call(self._start)
            except (OSError, TimeoutError) as error:
                message = f"the process that would render it did not start: {type(error).__name__} {error}"
                raise TemplateFailedError(message) from None
        try:
            async with asyncio.timeout(seconds):
                answer = await self._worker.call(self._exchange, request.encode())
        except TimeoutError:
            raise TemplateFailedError(f"it took longer than {seconds:g} seconds") from None
        if not answer.endswith(b"\n"):
            raise TemplateFailedError("the process that rendered it died; it needs too much memory or time")
        return answer

    def stop(self) -> None:
        """Kill the process at once and let the thread tidy up."""
        self._stopped = True
        if self._child is not None:
            self._child.kill()
        self._worker.close(self._tidy)

    def join(self, seconds: float) -> None:
        self._worker.join(seconds)

    def _start(self) -> None:
        # Isolated (-I) and without site (-S): quick to start, and nothing but our own search path is used.
        search_path = [str(Path(__file__).parents[2]), *(entry for entry in sys.path if Path(entry).is_absolute())]
        self._child = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _CODE, json.dumps(search_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Templates must never see the environment of this process. Windows cannot start a program without this one.
            env={name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ},
        )
        if self._stopped:
            self._child.kill()
        assert self._child.stdout is not None
        self._child.stdout.readline()

    def _exchange(self, request: bytes) -> bytes:
        child = self._child
        assert child is not None
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(request + b"\n")
            child.stdin.flush()
            return child.stdout.readline()
        except OSError:
            return b""

    def _tidy(self) -> None:
        if self._child is None:
            return
        self._child.kill()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._child.wait()
