"""The arguments of a batch, and what they make of it: `Settings`, and `Target`, which is what each row is sent to."""

from __future__ import annotations

import asyncio
import math
import os
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scout._config import Config, check_count, check_flag, is_loopback
from scout._json import is_mapping, parse_json, write_json
from scout._keys import key_in
from scout._options import RUN_OPTIONS, CallOptions, RunOptions, apply_options
from scout._requests import execute_request, execute_stored_request, without_session
from scout.errors import ConfigurationError
from scout.workflow_files import LoadedWorkflow, WorkflowSource, is_workflow_id, load_workflow
from scout.workflows import AsyncWorkflows, Workflows

from ._job import BatchEngine, Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from scout._http import AsyncHttp, Http
    from scout._requests import Request

    from ._engine import Unknown
    from ._items import BatchSummary

__all__ = ["Settings", "Target", "identity_of"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The arguments of `Scout.batch`, without the rows: who holds these must not hold a generator of rows open."""

    concurrency: int
    journal: str | os.PathLike[str] | None
    resume: bool
    unknown: Unknown
    ordered: bool
    stop_after_failures: int | None
    rate: float | None
    key: str | None
    stream: bool
    engine: BatchEngine | None
    on_progress: Callable[[BatchSummary], object] | None

    def __post_init__(self) -> None:
        check_count("concurrency", self.concurrency)
        if self.stop_after_failures is not None:
            check_count("stop_after_failures", self.stop_after_failures)
        for name in ("resume", "ordered", "stream"):
            check_flag(name, getattr(self, name))
        rate: Any = self.rate
        if rate is not None and (
            isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf
        ):
            raise ConfigurationError(f"rate must be a number of requests per second, more than 0, not {rate!r}")
        if self.unknown not in ("ask", "skip", "rerun"):
            raise ConfigurationError(f"unknown must be 'ask', 'skip' or 'rerun', not {self.unknown!r}")
        key: Any = self.key
        if key is not None and (not isinstance(key, str) or not key):
            raise ConfigurationError(f"key must be the name of a column, not {key!r}")
        journal: Any = self.journal
        if journal is not None and not isinstance(journal, str | os.PathLike):
            raise ConfigurationError(f"journal must be a path, not {type(journal).__name__}")
        engine: Any = self.engine
        if engine is not None and not callable(getattr(engine, "runner", None)):
            raise ConfigurationError(f"engine must be one such as DaskEngine(client), not {type(engine).__name__}")
        if self.on_progress is not None and not callable(self.on_progress):
            raise ConfigurationError("on_progress must be a function that takes a BatchSummary")

    def check_transport(self, *, has_transport: bool) -> None:
        """Refuse an engine for a client that sends over a transport of the caller, which cannot travel."""
        if has_transport and self.engine is not None:
            raise ConfigurationError(
                "a client with transport= sends from this process; make it without, or leave engine away"
            )


# --- What is sent -------------------------------------------------------------------------------------------------


class Target:
    """The workflow of a batch, with the options of its runs.

    Raises:
        WorkflowFileError: the workflow cannot be read.
        ConfigurationError: an option is invalid.
    """

    def __init__(self, config: Config, workflow: WorkflowSource, options: RunOptions, *, streaming: bool) -> None:
        self.config, self._parts = apply_options(config, options, RUN_OPTIONS)
        self._streaming = streaming
        body: Any = self._parts.get("extra_body")
        if is_mapping(body) and "inputs" in body:
            raise ConfigurationError("extra_body must not hold inputs, which are those of each row")
        query: Any = self._parts.get("extra_query")
        has_session = self._parts.get("session_id") or (is_mapping(query) and "session_id" in query)
        self._loaded: LoadedWorkflow | None = None
        self._stored = ""
        if isinstance(workflow, str) and (key_in(workflow) is not None or is_workflow_id(workflow)):
            self._stored = workflow
        else:
            self._loaded = load_workflow(workflow)
        self.chooses_session = bool(self._stored) and not has_session
        self._template(self._stored)  # so that what cannot be sent is refused now

    async def job(self, http: AsyncHttp, blocking: Http | None) -> Job:
        """Return what the rows share. A key is looked up, once for all of them.

        Raises:
            NotFoundError: no workflow has the key.
        """
        stored = self._stored
        if key_in(stored) is not None:
            options: CallOptions = {"extra_headers": self._parts.get("extra_headers") or {}}
            if blocking is None:
                found = await AsyncWorkflows(http, lambda: self.config).get(stored, **options)
            else:
                found = await asyncio.to_thread(Workflows(blocking, lambda: self.config).get, stored, **options)
            stored = found.id
        config = self.config.changed(rate_limit_timeout=0)  # a 429 concerns all rows, so the batch waits
        return Job(self._template(stored), config, self._loaded, self._streaming)

    def _template(self, stored: str) -> Request:
        options: dict[str, Any] = {"environment": self.config.environment, "streaming": self._streaming, **self._parts}
        if self._loaded is not None:
            return execute_request(self._loaded, None, **options)
        request = execute_stored_request(stored, None, **options)
        return without_session(request) if self.chooses_session else request


def identity_of(job: Job) -> str:
    """Return a hash of what decides a run besides its inputs: the server, the workflow and the options.

    The form of the file does not count, nor whether the run is streamed. Of a server on this machine the port does
    not count, because a local Scout has another one each time.
    """
    host = urlsplit(job.config.base_url).hostname or ""
    server = "local" if is_loopback(host) else job.config.base_url
    body = parse_json(job.template.body)
    del body["streaming"]
    shared = [server, job.template.path, dict(job.template.query), body]
    return sha256(write_json(shared, sort_keys=True, compact=True).encode(errors="surrogatepass")).hexdigest()
