"""`Job`: one workflow with the options of a batch, and how one row of it is run. It pickles, without the API key."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from scout._answers import read_any_run
from scout._requests import with_inputs
from scout.errors import RunFailedError, RunNotFinishedError, ScoutError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

    from scout._config import Config
    from scout._http import AsyncBody, AsyncHttp, Http
    from scout._requests import Request
    from scout.results import Run
    from scout.workflow_files import LoadedWorkflow

__all__ = ["BatchEngine", "HttpRunner", "Job", "Outcome", "Runner", "ThreadRunner"]


@dataclass(frozen=True, slots=True)
class Job:
    """What all rows of a batch share.

    Attributes:
        template: The request of a row without inputs.
        config: The settings of the calls. A 429 is not repeated by the call but by the batch.
        workflow: The workflow, when it is sent; `None` for a stored one.
        streaming: True when the runs are streamed underneath.
    """

    template: Request
    config: Config
    workflow: LoadedWorkflow | None
    streaming: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the run of a row ended.

    Attributes:
        run: The run, or what is known of it.
        error: The error; `None` when the run completed.
        attempts: The number of requests that were sent.
        seconds: The time from the beginning of the call to its end.
    """

    run: Run | None
    error: ScoutError | None
    attempts: int
    seconds: float


class Runner(Protocol):
    """Runs rows of one job, many at a time, in the event loop of the batch."""

    async def __aenter__(self) -> Self:
        """Prepare to run rows."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release what is held. No row is under way, or those that are have been cancelled."""
        ...

    async def run(self, inputs: Mapping[str, Any], session_id: str | None) -> Outcome:
        """Run one row once. An error of this package becomes a part of the outcome; any other ends the batch."""
        ...


class BatchEngine(Protocol):
    """Where the rows of a batch run, instead of in this process; such as `DaskEngine`."""

    def runner(self, job: Job) -> Runner:
        """Return what runs the rows of a job."""
        ...


class HttpRunner:
    """Runs rows over the connections of this process."""

    def __init__(self, job: Job, http: AsyncHttp) -> None:
        self._job = job
        self._http = http

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    async def run(self, inputs: Mapping[str, Any], session_id: str | None) -> Outcome:
        """Run one row once."""
        begun = time.monotonic()
        counter = _Counter()
        run: Run | None = None
        failure: ScoutError | None = None
        try:
            request = with_inputs(self._job.template, inputs, session_id)
            run = await (self._stream if self._job.streaming else self._execute)(request, begun, counter)
            run.raise_for_status()
        except ScoutError as error:
            failure = error
            if not isinstance(error, RunFailedError | RunNotFinishedError):
                run = getattr(error, "run", None)
                counter.attempts = len(error.attempts)
        return Outcome(run, failure, counter.attempts, time.monotonic() - begun)

    async def _execute(self, request: Request, begun: float, counter: _Counter) -> Run:
        read = partial(counter.read, workflow=self._job.workflow)
        return await self._http.call(request, self._job.config, read, begun)

    async def _stream(self, request: Request, begun: float, counter: _Counter) -> Run:
        from scout.streaming import AsyncRunStream, new_progress  # importing the event classes is slow

        async def connect() -> AsyncBody:
            body = await self._http.stream(request, self._job.config, begun)
            counter.attempts = body.call.attempts
            return body

        progress = new_progress(self._job.workflow, check=False, max_event_bytes=None)
        progress.sends(request)
        async with AsyncRunStream(connect, progress) as stream:
            return await stream.until_done()


class ThreadRunner(HttpRunner):
    """Runs rows in threads, over a transport of the caller that knows no event loop."""

    def __init__(self, job: Job, http: Http, threads: int) -> None:
        self._job = job
        self._blocking = http
        self._threads = ThreadPoolExecutor(threads, "scout-batch-row")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _execute(self, request: Request, begun: float, counter: _Counter) -> Run:
        def execute() -> Run:
            read = partial(counter.read, workflow=self._job.workflow)
            return self._blocking.call(request, self._job.config, read, begun)

        return await asyncio.get_running_loop().run_in_executor(self._threads, copy_context().run, execute)

    async def _stream(self, request: Request, begun: float, counter: _Counter) -> Run:
        from scout.streaming import RunStream, new_progress  # as in HttpRunner

        def stream() -> Run:
            body = self._blocking.stream(request, self._job.config, begun)
            counter.attempts = body.call.attempts
            progress = new_progress(self._job.workflow, check=False, max_event_bytes=None)
            progress.sends(request)
            with RunStream(body, progress) as events:
                return events.until_done()

        return await asyncio.get_running_loop().run_in_executor(self._threads, copy_context().run, stream)


@dataclass(slots=True)
class _Counter:
    """Counts the requests of one call."""

    attempts: int = field(default=0)

    def read(self, answer: Any, workflow: LoadedWorkflow | None) -> Run:
        self.attempts = answer.attempts
        return read_any_run(answer, workflow)
