"""Renderer of templates, with limits on time and memory.

Templates that only look up values are rendered directly. All others are rendered in a child process, which is killed
when their time is up. Processes are started when they are needed, and kept for the next template.
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

from scout._json import write_json

from . import templates
from .clock import monotonic
from .templates import TemplateFailedError
from .workers import Worker

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

_MOST_PROCESSES = 4
_START_SECONDS = 30.0
_LONGEST_TEMPLATE = 1024 * 1024
_CODE = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from scout.local.template_process import main; main()"


class TimeBudget:
    """The time that is left for the templates of one run, and a lock that a template needs to use a process.

    A run uses one process at a time, so that no run can occupy all of them.

    Args:
        seconds: The total time for the templates of the run, in seconds.
    """

    def __init__(self, seconds: float) -> None:
        self.turn: asyncio.Lock = asyncio.Lock()
        self.left: float = seconds
        self._all = seconds

    def check(self) -> None:
        """Check that time is left.

        Raises:
            TemplateFailedError: No time is left.
        """
        if self.left <= 0:
            raise TemplateFailedError(f"the templates of this run took longer than {self._all:g} seconds")

    @contextlib.contextmanager
    def charged(self) -> Generator[None, None, None]:
        """Subtract the time that the `with` block takes."""
        began = monotonic()
        try:
            yield
        finally:
            self.left -= monotonic() - began


class Renderer:
    """Renders templates over the state of a run.

    Args:
        env: The variables in `_env`. Templates cannot read the environment of this process.
        seconds: The time limit for the templates of one block, in seconds.
        seconds_of_a_run: The time limit for all templates of a run, in seconds.
    """

    def __init__(
        self, env: Mapping[str, str] | None = None, *, seconds: float = 5.0, seconds_of_a_run: float = 60.0
    ) -> None:
        self._env = dict(env or {})
        self._seconds = seconds
        self._seconds_of_a_run = seconds_of_a_run
        self._idle: list[_TemplateProcess] = []
        self._all: set[_TemplateProcess] = set()
        self._process_slots = asyncio.Semaphore(_MOST_PROCESSES)

    def time_budget(self) -> TimeBudget:
        """Return the time budget of a new run."""
        return TimeBudget(self._seconds_of_a_run)

    async def render(
        self,
        sources: Sequence[str],
        state: Mapping[str, Any],
        *,
        block_ids: AbstractSet[str],
        most: int,
        time_budget: TimeBudget,
    ) -> list[str]:
        """Render the templates of a block.

        Args:
            sources: The templates; also texts without templates.
            state: The state of the run so far.
            block_ids: All blocks of the workflow, for a better message about one that has not run yet.
            most: The limit for the rendered texts together, in characters.
            time_budget: The time budget of the run.

        Raises:
            TemplateFailedError: A template failed, or a limit on time or text was exceeded.
        """
        if all(map(templates.is_text, sources)) and sum(map(len, sources)) <= most:
            return list(sources)
        for index, source in enumerate(sources):
            if len(source) > _LONGEST_TEMPLATE and not templates.is_text(source):
                raise TemplateFailedError(f"the template is longer than {_LONGEST_TEMPLATE} characters", index=index)
        used = templates.words(sources)
        values: dict[str, Any] = {name: state[name] for name in used if name in state}
        if templates.VARIABLES in used:
            values[templates.VARIABLES] = self._env
        unfinished = [name for name in used if name in block_ids and name not in state]
        if templates.are_harmless(sources):
            time_budget.check()
            with time_budget.charged():
                return list(templates.render_all(sources, values, unfinished=unfinished, most=most))
        request = {"sources": sources, "values": values, "unfinished": unfinished, "most": most}
        async with time_budget.turn:
            time_budget.check()
            answers = await self._render_apart(request, len(sources), time_budget)
        if "problem" in answers[-1]:
            raise TemplateFailedError(answers[-1]["problem"], answers[-1]["line"], len(answers) - 1)
        return [answer["text"] for answer in answers]

    async def _render_apart(
        self, request: Mapping[str, Any], count: int, time_budget: TimeBudget
    ) -> list[dict[str, Any]]:
        async with self._process_slots:
            process = self._idle.pop() if self._idle else _TemplateProcess()
            self._all.add(process)
            try:
                await process.start()
                seconds = min(self._seconds, time_budget.left)
                with time_budget.charged():
                    answers = await process.ask(write_json({**request, "seconds": seconds}), count, seconds)
            except BaseException:
                # Also when the run was cancelled, because the process may never finish the template.
                self._all.discard(process)
                process.stop()
                raise
            self._idle.append(process)
        return answers

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

    async def start(self) -> None:
        if self._child is not None:
            return
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._worker.call(self._start)
        except (OSError, TimeoutError) as error:
            message = f"the process that would render it did not start: {type(error).__name__} {error}"
            raise TemplateFailedError(message) from None

    async def ask(self, request: str, count: int, seconds: float) -> list[dict[str, Any]]:
        """Return one answer for each template of a request, up to the first that failed."""
        answers: list[dict[str, Any]] = []
        message = "the process that rendered it died; it needs too much memory or time"
        try:
            async with asyncio.timeout(seconds):
                await self._worker.call(self._exchange, request.encode(), count, answers)
        except TimeoutError:  # the last answer may have come at that very moment
            message = f"it took longer than {seconds:.3g} seconds"
        if len(answers) < count and not (answers and "problem" in answers[-1]):
            raise TemplateFailedError(message, index=len(answers))
        return answers

    def stop(self) -> None:
        """Kill the process at once. The thread closes its pipes."""
        self._stopped = True
        if self._child is not None:
            self._child.kill()
        self._worker.close(self._tidy)

    def join(self, seconds: float) -> None:
        self._worker.join(seconds)

    def _start(self) -> None:
        # Isolated (-I) and without site (-S), so that it starts fast and uses only the search path that is passed.
        search_path = [str(Path(__file__).parents[2]), *(entry for entry in sys.path if Path(entry).is_absolute())]
        self._child = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _CODE, json.dumps(search_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Templates must not read the environment of this process. Windows needs this variable to start a program.
            env={name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ},
            # Ctrl-C on a terminal is for all processes of a group, and may be meant to let what runs finish.
            process_group=0 if os.name == "posix" else None,
        )
        if self._stopped:
            self._child.kill()
        assert self._child.stdout is not None
        self._child.stdout.readline()

    def _exchange(self, request: bytes, count: int, answers: list[dict[str, Any]]) -> None:
        child = self._child
        assert child is not None
        assert child.stdin is not None
        assert child.stdout is not None
        with contextlib.suppress(OSError):  # the process died; `ask` notices that answers are missing
            child.stdin.write(request + b"\n")
            child.stdin.flush()
            while len(answers) < count and (line := child.stdout.readline()).endswith(b"\n"):
                answers.append(json.loads(line))
                if "problem" in answers[-1]:
                    break

    def _tidy(self) -> None:
        if self._child is None:
            return
        self._child.kill()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._child.wait()
