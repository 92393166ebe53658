"""Clients: `Scout`, and `AsyncScout` for asyncio. They differ only in the `await`."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar, Unpack

import scout  # its names are imported when they are first used, which only `typing.get_type_hints` does here

from ._answers import read_any_run
from ._call import AsyncTransport, OwnTransport, Transport
from ._config import (
    MAX_CONNECTIONS,
    NO_KEY,
    NOT_GIVEN,
    Config,
    Key,
    NotGiven,
    Secret,
    Tracing,
    base_url_from,
    environment_from,
    secret_from_environment,
)
from ._http import AsyncHttp, Http
from ._options import RUN_OPTIONS, RunOptions, apply_options
from ._requests import Request, execute_request, raw_client
from .environments import Environment
from .errors import ConfigurationError
from .results import Run
from .workflow_files import LoadedWorkflow, WorkflowSource, load_unchanged

if TYPE_CHECKING:
    from ._requests import AuthenticatedClient

__all__ = ["AsyncScout", "Scout"]

HttpT = TypeVar("HttpT", Http, AsyncHttp)
TransportT = TypeVar("TransportT", Transport, AsyncTransport)


# The options of Scout.local() that are for the client; all others are for the local Scout.
_CLIENT_OPTIONS = (
    "environment", "timeout", "connect_timeout", "deadline", "retries", "rate_limit_timeout", "at_least_once",
    "max_connections", "headers", "transport", "on_request", "on_response", "on_retry", "on_event", "tracing",
)  # fmt: skip


_PLACEHOLDER = Secret("any")
"""The key of a client whose transport sends none, because it answers from a recording."""


def _key_for(transport: object, secret: Secret | None) -> Secret:
    """Return the key for a transport.

    Raises:
        ConfigurationError: there is none, and the transport needs one.
    """
    if secret is not None:
        return secret
    if isinstance(transport, OwnTransport) and not transport.needs_key:
        return _PLACEHOLDER
    raise ConfigurationError(NO_KEY)


class _Client(Generic[HttpT, TransportT]):
    """The part of a client that needs no I/O."""

    _http: HttpT

    def __init__(
        self,
        api_key: Key | None = None,
        *,
        base_url: str | None = None,
        environment: Environment | str | NotGiven | None = NOT_GIVEN,
        timeout: float | None = 600.0,
        connect_timeout: float | None = 10.0,
        deadline: float | None = None,
        retries: int = 2,
        rate_limit_timeout: float | None = 120.0,
        at_least_once: bool = False,
        max_connections: int = MAX_CONNECTIONS,
        headers: Mapping[str, str] | None = None,
        transport: TransportT | None = None,
        allow_http: bool = False,
        on_request: Callable[[scout.RequestInfo], object] | None = None,
        on_response: Callable[[scout.ResponseInfo], object] | None = None,
        on_retry: Callable[[scout.RetryInfo], object] | None = None,
        on_event: Callable[[scout.Event], object] | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        secret = Secret(api_key) if api_key is not None else secret_from_environment()
        del api_key  # so that a traceback with local variables does not show it
        secret = _key_for(transport, secret)
        self._config = Config(
            api_key=secret,
            base_url=base_url_from(base_url),
            environment=environment_from(environment),
            timeout=timeout,
            connect_timeout=connect_timeout,
            deadline=deadline,
            retries=retries,
            rate_limit_timeout=rate_limit_timeout,
            at_least_once=at_least_once,
            max_connections=max_connections,
            headers={} if headers is None else headers,
            allow_http=allow_http,
            on_request=on_request,
            on_response=on_response,
            on_retry=on_retry,
            on_event=on_event,
            tracing=tracing,
        )
        self._transport: TransportT | None = transport
        self._http = self._connect()
        self._shares_connections = False
        self._closed = False
        self._server: Any = None
        self._lender: HttpT | None = None

    def _connect(self) -> HttpT:
        raise NotImplementedError

    @classmethod
    def local(cls, **options: Any) -> Self:
        """Return a client of an embedded local Scout, which stops with the client. Needs no account and no network.

        Args:
            **options: The options of `Scout`, and those of `scout.local.LocalScout`.

        Raises:
            ConfigurationError: the extra `local` is not installed.
        """
        from .local import LocalScout  # optional, and slow to import

        for_client = {name: options.pop(name) for name in _CLIENT_OPTIONS if name in options}
        server = LocalScout(**options)
        server.start()
        try:
            client = cls(options.get("api_key") or "local", base_url=server.url, **for_client)
        except BaseException:
            server.close()
            raise
        # Tied to the connections, which copies share, so that a client that is never closed leaves no server behind.
        client._server = weakref.finalize(client._http, server.close)
        return client

    def with_options(
        self,
        *,
        api_key: Key | NotGiven = NOT_GIVEN,
        base_url: str | NotGiven = NOT_GIVEN,
        environment: Environment | str | NotGiven | None = NOT_GIVEN,
        timeout: float | NotGiven | None = NOT_GIVEN,
        connect_timeout: float | NotGiven | None = NOT_GIVEN,
        deadline: float | NotGiven | None = NOT_GIVEN,
        retries: int | NotGiven = NOT_GIVEN,
        rate_limit_timeout: float | NotGiven | None = NOT_GIVEN,
        at_least_once: bool | NotGiven = NOT_GIVEN,
        max_connections: int | NotGiven = NOT_GIVEN,
        headers: Mapping[str, str] | NotGiven = NOT_GIVEN,
        transport: TransportT | NotGiven | None = NOT_GIVEN,
        allow_http: bool | NotGiven = NOT_GIVEN,
        on_request: Callable[[scout.RequestInfo], object] | NotGiven | None = NOT_GIVEN,
        on_response: Callable[[scout.ResponseInfo], object] | NotGiven | None = NOT_GIVEN,
        on_retry: Callable[[scout.RetryInfo], object] | NotGiven | None = NOT_GIVEN,
        on_event: Callable[[scout.Event], object] | NotGiven | None = NOT_GIVEN,
        tracing: Tracing | NotGiven | None = NOT_GIVEN,
    ) -> Self:
        """Return a copy with other settings that shares the connections.

        The original is not changed. Closing the copy leaves the connections open; closing the original closes them. A
        copy with `transport` or `max_connections` has connections of its own.

        Raises:
            ConfigurationError: a setting is invalid, or the client is closed.
        """
        secret = Secret(api_key) if not isinstance(api_key, NotGiven) else api_key
        del api_key  # as in __init__
        self._refuse_when_closed()
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy._config = self._config.changed(
            api_key=secret,
            base_url=base_url,
            environment=environment,
            timeout=timeout,
            connect_timeout=connect_timeout,
            deadline=deadline,
            retries=retries,
            rate_limit_timeout=rate_limit_timeout,
            at_least_once=at_least_once,
            max_connections=max_connections,
            headers=headers,
            allow_http=allow_http,
            on_request=on_request,
            on_response=on_response,
            on_retry=on_retry,
            on_event=on_event,
            tracing=tracing,
        )
        copy._server = None
        if not isinstance(transport, NotGiven):
            copy._transport = transport
            if copy._config.api_key is _PLACEHOLDER:
                copy._config = copy._config.changed(api_key=_key_for(transport, secret_from_environment()))
        changes_pool = self._transport is None and not isinstance(max_connections, NotGiven)
        copy._shares_connections = isinstance(transport, NotGiven) and not changes_pool
        if not copy._shares_connections:
            copy._lender = self._http  # the local Scout of the original stops when nobody holds these any more
            copy._http = copy._connect()
        return copy

    @property
    def base_url(self) -> str:
        """The URL of the API, without a slash at the end."""
        return self._config.base_url

    def _prepare(
        self, workflow: WorkflowSource, inputs: Mapping[str, Any] | None, options: RunOptions, *, streaming: bool
    ) -> tuple[Request, Config, LoadedWorkflow, float]:
        begun = time.monotonic()  # the deadline counts from here, because reading the workflow is part of the call
        self._refuse_when_closed()
        config, parts = apply_options(self._config, options, RUN_OPTIONS)
        loaded = load_unchanged(workflow)
        request = execute_request(loaded, inputs, environment=config.environment, streaming=streaming, **parts)
        return request, config, loaded, begun

    def _settings(self) -> Config:
        self._refuse_when_closed()
        return self._config

    def _refuse_when_closed(self) -> None:
        if self._closed or self._http.closed:
            raise ConfigurationError("this client is closed; make a new one")

    def _raw(self) -> AuthenticatedClient:
        self._refuse_when_closed()
        return raw_client(self._config.base_url, self._config.secret(), **self._http.raw_options(self._config))

    def __repr__(self) -> str:
        if "_config" not in self.__dict__:  # in a traceback from __init__
            return f"<{type(self).__name__}>"
        return f"{type(self).__name__}(base_url={self._config.base_url!r}, environment={self._config.environment!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.with_options()  # copying through pickle would lose the key

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self._config, "transport": self._transport, "closed": self._closed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._config = state["config"]
        self._transport = state["transport"]
        self._http = self._connect()
        self._shares_connections = False
        self._closed = state["closed"]
        self._server = None
        self._lender = None


class Scout(_Client[Http, Transport]):
    """Client that runs Scout workflows.

    Threads may share a client. It survives `fork` and pickling. A pickle holds the settings, but neither connections
    nor the key: unpickling reads the key from `SCOUT_API_KEY`. Close the client, or use it in a `with` block.

    Args:
        api_key: The API key, or a function that returns it for each request; by default `SCOUT_API_KEY`.
        base_url: The URL of the API; by default `SCOUT_BASE_URL`, else https://api.scoutos.com.
        environment: The environment whose deployed revision runs; by default `SCOUT_ENVIRONMENT`, else production.
            `None` sends none, and the server chooses.
        timeout: The longest silence from the server, in seconds; `None` for no limit.
        connect_timeout: The longest time for making a connection, in seconds; `None` for no limit. The wait for one of
            `max_connections` does not count.
        deadline: The longest time for a whole call, in seconds, with all attempts, waits and the response to its end;
            `None` for no limit. (The look-up of a host name is up to the operating system and not bounded.)
        retries: The number of times that a failed request is repeated, if it is certain that no run was started.
            Repeating after a 429 does not count.
        rate_limit_timeout: The seconds to which the waits of one call after a 429 (too many requests) may add up;
            0 for no such wait, `None` for no limit. A longer wait is not begun: `RateLimitError` is raised at once.
        at_least_once: Repeat also when a run may have been started, so that a workflow may run twice.
        max_connections: The number of connections at one time. Further calls wait in order, for as long as their
            `deadline` allows.
        headers: Headers for every request; not for the key.
        transport: A `Transport` that sends requests instead of the client's own connections, for tests and other
            networks. It is closed with the client.
        allow_http: Allow `http://` to hosts other than this machine, although that sends the key unencrypted.
        on_request: A function that is called with a `RequestInfo` before each request. For this and the other hooks: an
            exception of a hook is logged, and the call goes on; a hook runs where the call runs, which waits for it.
        on_response: A function that is called with a `ResponseInfo` when the head of a response has arrived.
        on_retry: A function that is called with a `RetryInfo` when a request has failed and will be repeated.
        on_event: A function that is called with each event of a stream, before the caller gets it.
        tracing: A `scout.otel.Tracing`, which makes a span of OpenTelemetry for each call.

    Raises:
        ConfigurationError: the API key is missing, or a setting is invalid.
    """

    def _connect(self) -> Http:
        return Http(self._transport, self._config.max_connections)

    def execute(
        self,
        workflow: WorkflowSource,
        inputs: Mapping[str, Any] | None = None,
        *,
        check: bool = True,
        **options: Unpack[RunOptions],
    ) -> Run:
        """Run a workflow and wait for its result.

        Source: https://docs.scoutos.com, "Execute a workflow with provided config".

        Args:
            workflow: A path to a YAML or JSON file, a mapping, a generated `WorkflowConfig`, or a loaded or stored
                workflow; as a bare config or in the wrapper `{workflow_key, workflow_config}`.
            inputs: Values for the keys of the workflow's input block; any JSON.
            check: Raise when the run failed, like `subprocess.run(check=True)`.
            **options: See `RunOptions`.

        Raises:
            RunFailedError: the run failed, and `check` is on.
            RunNotFinishedError: the run has not ended, and `check` is on.
            WorkflowFileError: the workflow cannot be read; nothing was sent.
            ConfigurationError: an argument is invalid; nothing was sent.
            APIStatusError: the API answered with a status other than 2xx.
            APIConnectionError: no complete response arrived; `APITimeoutError` when a time limit was reached.
            APIResponseError: the response cannot be understood.
        """
        request, config, loaded, begun = self._prepare(workflow, inputs, options, streaming=False)
        run = self._http.call(request, config, partial(read_any_run, workflow=loaded), begun)
        if check:
            run.raise_for_status()
        return run

    def stream(
        self,
        workflow: WorkflowSource,
        inputs: Mapping[str, Any] | None = None,
        *,
        check: bool = True,
        max_event_bytes: int | None = None,
        **options: Unpack[RunOptions],
    ) -> scout.RunStream:
        """Run a workflow and stream its events: the same run as `execute`, live.

        Args:
            workflow: As for `execute`.
            inputs: As for `execute`.
            check: Raise `RunFailedError` after the last event when the run failed.
            max_event_bytes: The largest size of one event, in bytes; by default 64 MiB.
            **options: See `RunOptions`. `timeout` is the longest wait for an event.

        Raises:
            ScoutError: as `execute`, until the response has begun; see `RunStream` for later errors.
        """
        from .streaming import RunStream, new_progress  # importing the event classes is slow

        request, config, loaded, begun = self._prepare(workflow, inputs, options, streaming=True)
        progress = new_progress(loaded, check=check, max_event_bytes=max_event_bytes)
        progress.sends(request)
        return RunStream(self._http.stream(request, config, begun), progress)

    def batch(
        self,
        workflow: WorkflowSource,
        rows: scout.RowSource,
        *,
        concurrency: int = 32,
        journal: str | os.PathLike[str] | None = None,
        resume: bool = True,
        unknown: Literal["ask", "skip", "rerun"] = "ask",
        ordered: bool = False,
        stop_after_failures: int | None = None,
        rate: float | None = None,
        key: str | None = None,
        stream: bool = False,
        engine: scout.BatchEngine | None = None,
        on_progress: Callable[[scout.BatchSummary], object] | None = None,
        **options: Unpack[RunOptions],
    ) -> scout.Batch:
        """Run a workflow once for each row, many at a time, and return an iterator over what becomes of the rows.

        A row that fails does not end the batch: its item has the error. A 429 pauses all rows for as long as the server
        asks, and no row is lost to it. When the server accepts nothing while the pauses add up to the client's
        `rate_limit_timeout`, the iterator raises `RateLimitError`.

        Args:
            workflow: As for `execute`; or the id of a stored workflow, or `key:NAME`.
            rows: The inputs of each run: an iterable of mappings, a path to a file of CSV or JSON Lines, or a table of
                pandas, polars or pyarrow. It may be endless: only a few rows are asked for ahead, in the thread that
                iterates. When the next row takes long to come, items come one row late.
            concurrency: The number of runs under way at most, but never more than the client's `max_connections`. After
                a 429 there are fewer for a time.
            journal: A file that notes each run before it is sent and when it has ended, so that a batch that was
                interrupted can go on. Without it, a batch that is interrupted has to begin again.
            resume: Go on with the journal: rows whose run completed or failed are not sent again, and their items are
                returned from it. Rows of which it is certain that no run was started are sent. `False` requires a new
                journal.
            unknown: What becomes of a row whose run may have started before an interruption. `"ask"` does not send it:
                its item has the error, and so it is the next time. `"skip"` does not send it, and counts it as settled.
                `"rerun"` sends it, so that it may run twice.
            ordered: Return the items in the order of the rows, and not as they end.
            stop_after_failures: Send no more after so many rows that were sent and are not done.
            rate: The number of requests per second at most.
            key: A column whose value, text or a whole number, names the row in the journal, so that the row is not sent
                again when other inputs of it have changed. By default a hash of all inputs names it. In both cases, a
                row of another workflow, or with other options, is another row.
            stream: Stream the runs underneath, so that `timeout` is the longest wait for an event, and `run.blocks` has
                times. The items are the same.
            engine: Where rows run instead of in this process, such as a `DaskEngine`.
            on_progress: A function that is called with the summary before each item is returned, and at the end, such
                as a `ProgressBar`.
            **options: See `RunOptions`. They are those of each run, and so is `deadline`.

        Raises:
            WorkflowFileError: the workflow cannot be read.
            ConfigurationError: an argument is invalid.
            JournalError: while iterating: the journal cannot be read or written.
            RateLimitError: while iterating: see above.
            APIError: while iterating: the stored workflow `key:NAME` cannot be found; nothing was sent.

        An exception that `rows` raises comes out of the iterator as well. What had been sent is finished and returned
        before any of them.
        """
        from .batch import Batch  # not needed by most programs
        from .batch._arguments import Settings

        self._refuse_when_closed()
        settings = Settings(
            concurrency, journal, resume, unknown, ordered, stop_after_failures, rate, key, stream, engine, on_progress
        )
        return Batch(
            self._config, self._http, workflow, rows, settings, options, has_transport=self._transport is not None
        )

    @property
    def workflows(self) -> scout.Workflows:
        """Stored workflows by id or key: store, deploy and run them, with their revisions and environments."""
        from .workflows import Workflows  # not needed by most programs

        return Workflows(self._http, self._settings)

    @property
    def runs(self) -> scout.Runs:
        """The logs of the runs of stored workflows: get and list them, and find out what became of a run."""
        from .runs import Runs  # not needed by most programs

        return Runs(self._http, self._settings)

    @property
    def raw(self) -> AuthenticatedClient:
        """The generated client, for edge cases.

        It shares the connections, the API key, the headers, the timeouts and the user agent of this client, and so do
        its copies (`with_headers`, `with_cookies`, `with_timeout`). It does not share `environment`, `retries`,
        `deadline` and the exceptions: it sends each request once and raises those of httpx. A response to
        `streaming: true` is read whole and parsed to `None`. The `asyncio` functions of the generated package raise
        `ConfigurationError` here; they need `AsyncScout(...).raw`.
        """
        return self._raw()

    def close(self) -> None:
        """Close the connections, and stop the local Scout of `Scout.local()`. Further calls do nothing."""
        if not self._closed and not self._shares_connections:
            self._http.close()
            if self._server is not None:
                self._server()
        self._closed = True

    def __enter__(self) -> Self:
        self._refuse_when_closed()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncScout(_Client[AsyncHttp, AsyncTransport]):
    """Client that runs Scout workflows from asyncio. Arguments and methods are those of `Scout`.

    Tasks may share a client, and so may event loops, each of which has its own connections.
    """

    def _connect(self) -> AsyncHttp:
        return AsyncHttp(self._transport, self._config.max_connections)

    async def execute(
        self,
        workflow: WorkflowSource,
        inputs: Mapping[str, Any] | None = None,
        *,
        check: bool = True,
        **options: Unpack[RunOptions],
    ) -> Run:
        """Run a workflow and wait for its result. As `Scout.execute`."""
        request, config, loaded, begun = self._prepare(workflow, inputs, options, streaming=False)
        run = await self._http.call(request, config, partial(read_any_run, workflow=loaded), begun)
        if check:
            run.raise_for_status()
        return run

    def stream(
        self,
        workflow: WorkflowSource,
        inputs: Mapping[str, Any] | None = None,
        *,
        check: bool = True,
        max_event_bytes: int | None = None,
        **options: Unpack[RunOptions],
    ) -> scout.AsyncRunStream:
        """Run a workflow and stream its events. As `Scout.stream`; the stream sends the request when it is entered."""
        from .streaming import AsyncRunStream, new_progress  # as in Scout.stream

        request, config, loaded, begun = self._prepare(workflow, inputs, options, streaming=True)
        progress = new_progress(loaded, check=check, max_event_bytes=max_event_bytes)
        progress.sends(request)
        return AsyncRunStream(lambda: self._http.stream(request, config, begun), progress)

    def batch(
        self,
        workflow: WorkflowSource,
        rows: scout.RowSource,
        *,
        concurrency: int = 32,
        journal: str | os.PathLike[str] | None = None,
        resume: bool = True,
        unknown: Literal["ask", "skip", "rerun"] = "ask",
        ordered: bool = False,
        stop_after_failures: int | None = None,
        rate: float | None = None,
        key: str | None = None,
        stream: bool = False,
        engine: scout.BatchEngine | None = None,
        on_progress: Callable[[scout.BatchSummary], object] | None = None,
        **options: Unpack[RunOptions],
    ) -> scout.AsyncBatch:
        """Run a workflow once for each row. As `Scout.batch`; `rows` may be an asynchronous iterable, too."""
        from .batch import AsyncBatch  # as in Scout.batch
        from .batch._arguments import Settings

        self._refuse_when_closed()
        settings = Settings(
            concurrency, journal, resume, unknown, ordered, stop_after_failures, rate, key, stream, engine, on_progress
        )
        return AsyncBatch(
            self._config, self._http, workflow, rows, settings, options, has_transport=self._transport is not None
        )

    @property
    def workflows(self) -> scout.AsyncWorkflows:
        """Stored workflows. As `Scout.workflows`."""
        from .workflows import AsyncWorkflows  # as in Scout.workflows

        return AsyncWorkflows(self._http, self._settings)

    @property
    def runs(self) -> scout.AsyncRuns:
        """The logs of the runs of stored workflows. As `Scout.runs`."""
        from .runs import AsyncRuns  # as in Scout.runs

        return AsyncRuns(self._http, self._settings)

    @property
    def raw(self) -> AuthenticatedClient:
        """The generated client, for its `asyncio` functions. As `Scout.raw`; its sync functions raise."""
        return self._raw()

    async def close(self) -> None:
        """Close the connections of this event loop, and stop the local Scout. As `Scout.close`."""
        if not self._closed and not self._shares_connections:
            await self._http.close()
            if self._server is not None:
                self._server()
        self._closed = True

    aclose = close

    async def __aenter__(self) -> Self:
        self._refuse_when_closed()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
