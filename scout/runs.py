"""What became of the runs of stored workflows: `scout.runs`. `Runs` and `AsyncRuns` differ only in the `await`."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, TypeVar, Unpack

from ._answers import read_record, read_record_page
from ._config import Config, check_seconds
from ._http import AsyncHttp, Http
from ._json import as_line, is_mapping, shorten
from ._keys import Calls, of_a_look_up
from ._options import CALL_OPTIONS, CallOptions, RunOptions, apply_options
from ._plans import AsyncPagedList, PagedList, Plan, Prepared, Walk, carry_out, carry_out_async, reword
from ._requests import run_log_request, run_logs_request
from ._retry import is_transient
from ._run_logs import STATUSES
from .errors import APITimeoutError, ConfigurationError, NotFoundError, RateLimitError, RunNotFinishedError, ScoutError
from .results import Run, RunRecord, RunRecordPage, RunStatus, with_ids

__all__ = ["AsyncRunList", "AsyncRuns", "RunList", "Runs", "ask_logs"]

_log = logging.getLogger("scout")

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0
_LEAST = 1.0
"""Seconds that a request of the logs has at least, also when less is left of `within`."""
_SOON = 0.001
"""Seconds that a request has when nothing is left of `deadline`: it raises."""


# --- Asking until it is certain -----------------------------------------------------------------------------------


def ask_logs(
    workflow_id: str,
    config: Config,
    *,
    run_id: str | None,
    session_id: str | None,
    within: float,
    ends_at: float = math.inf,
    **extra: Any,
) -> Plan[RunRecord | None]:
    """Ask for the log of a run until it is certain how the run ended.

    Args:
        workflow_id: The id of the workflow.
        config: The settings of the requests.
        run_id: The id of the run; `None` when only its session is known.
        session_id: The session of the run.
        within: The seconds for which to ask. The last request may end a second later.
        ends_at: The time by which everything must end, on the monotonic clock.
        **extra: Parts of the requests.

    Returns:
        The log: of a run that has ended, or of one that goes on when the time is over; `None` when there is none (yet).

    Raises:
        ScoutError: the log cannot be read. A transient failure raises when the time is over, any other at once.
    """
    if run_id is not None:
        session_id = None
    request = run_log_request(workflow_id, run_id=run_id, session_id=session_id, **extra)
    read = partial(read_record, run_id=run_id, session_id=session_id)
    until = time.monotonic() + within
    record: RunRecord | None = None
    pause, number = FIRST_PAUSE, 0
    while True:
        number += 1
        now = time.monotonic()
        left = max(_SOON, min(max(until - now, _LEAST), ends_at - now))
        failure: ScoutError | None = None
        try:
            # The pauses between the requests are those of this loop.
            once = config.changed(deadline=left, retries=0, rate_limit_timeout=0)
            record = yield Prepared(request, once, read, now)
        except NotFoundError:
            pass
        except ScoutError as error:
            failure = error
        if isinstance(failure, APITimeoutError) and failure.limit == "deadline":  # of this request, and not the user's
            reword(failure, f"no whole answer of the run logs within {failure.seconds:.1f} s")
        if failure is not None and not is_transient(failure):
            raise failure
        if record is not None and _has_ended(record):
            return record
        asked = failure.retry_after if isinstance(failure, RateLimitError) else None
        left = min(until, ends_at - _LEAST / 2) - time.monotonic()  # a request needs time before the deadline, too
        if left <= 0 or (asked is not None and asked > left):
            if failure is not None and record is None:
                raise failure
            return record
        seconds = min(max(pause, asked or 0.0), left)
        if failure is not None:
            facts = {"error": failure, "attempt": number, "wait": seconds}
            _log.info("attempt %d failed: %s; waiting %.1f s", number, as_line(failure.message), seconds, extra=facts)
        yield seconds
        pause = min(pause * 2, LONGEST_PAUSE)


def _has_ended(record: RunRecord) -> bool:
    return record.status in (RunStatus.COMPLETED, RunStatus.FAILED)


def check_resolve(resolve: object, options: RunOptions) -> None:
    """Refuse a run whose log could not be told from others, and what is not a number of seconds.

    Raises:
        ConfigurationError: it is refused.
    """
    check_seconds("resolve", resolve, least=0, has_limit=True)
    query: object = options.get("extra_query")
    if options.get("session_id") or (is_mapping(query) and "session_id" in query):
        raise ConfigurationError(
            "resolve= is not possible together with a session_id of your own: when the session has several runs, the "
            "logs do not tell which of them is this one. Leave session_id away, or use scout.runs.find after the error"
        )


def resolving(prepared: Prepared, within: float, *, check: bool, **extra: Any) -> Plan[Run]:
    """Send a run, and ask the logs what became of it when its call ends so that nobody knows.

    Args:
        prepared: The call.
        within: The seconds for which to ask, but not longer than the deadline of the call.
        check: Raise for a run that has not ended.
        **extra: Parts of the requests of the logs.

    Raises:
        ScoutError: the call failed, and the logs do not say how the run ended; a note of the error has what they say.
    """
    failure: ScoutError | None = None
    try:
        run: Run = yield prepared
        if run.status != RunStatus.STARTED:
            return run
        run.raise_for_status()
    except ScoutError as error:
        failure = error
    assert failure is not None  # a run that has not ended raises
    if failure.run_may_have_started:
        found = yield from _found(failure, prepared, within, **extra)
        if found is not None:
            return found
    if isinstance(failure, RunNotFinishedError) and not check:
        return failure.run
    raise failure


def _found(failure: ScoutError, prepared: Prepared, within: float, **extra: Any) -> Plan[Run | None]:
    run_id, session_id, workflow_id = _ids(failure, None)
    ends_at = math.inf if prepared.config.deadline is None else prepared.begun + prepared.config.deadline
    if time.monotonic() >= ends_at:
        failure.add_note("the run logs were not asked, because nothing was left of `deadline`")
        return None
    facts = {"error": failure, "within": within}
    _log.info("%s; asking the run logs for up to %g s", as_line(failure.message), within, extra=facts)
    asking = ask_logs(
        workflow_id,
        prepared.config,
        run_id=run_id,
        session_id=session_id,
        within=within,
        ends_at=ends_at,
        **extra,
    )
    try:
        record = yield from asking
        if record is None:
            note = "do not have this run (yet), which does not mean that it did not start"
        elif not _has_ended(record):
            status = STATUSES.get(record.status) or shorten(prepared.config.secret().redact(str(record.status)), 100)
            note = f"say that the run is {status}"
        elif record.status == RunStatus.COMPLETED and not record.run.state:
            note = "say that the run completed, and do not have its output (yet)"
        else:
            return with_ids(record.run, workflow_id, session_id)
    except ScoutError as problem:
        note = f"could not be read: {problem.message}"
    except BaseException as other:  # such as an interrupt: it passes through, but the run must not be forgotten
        ids = f"workflow_id={workflow_id!r}, session_id={session_id!r}"
        other.add_note(f"before this, a run with an unknown outcome ({ids}): {failure.message}")
        raise
    failure.add_note(f"the run logs {note}")
    return None


# --- Calls --------------------------------------------------------------------------------------------------------

HttpT = TypeVar("HttpT")


class RunList(PagedList[RunRecordPage, RunRecord]):
    """Iterator over the run logs of a workflow. Each page is requested when it is needed.

    After an error, the next step requests the same page again, so that a loop can continue. (After an invalid cursor,
    each further step raises the same error.)

    Raises:
        APIError: the request of a page failed; the message has the number of the page and its `cursor`.
        APIResponseError: a page was cut short, again and again.
        NotFoundError: no workflow has the key in `key:NAME`.
    """

    def _items_of(self, page: RunRecordPage) -> list[RunRecord]:
        return page.records


class AsyncRunList(AsyncPagedList[RunRecordPage, RunRecord]):
    """Asynchronous iterator over the run logs of a workflow. As `RunList`."""

    def _items_of(self, page: RunRecordPage) -> list[RunRecord]:
        return page.records


class _Runs(Calls[HttpT]):
    """The part of `Runs` that needs no I/O."""

    def _get(
        self, workflow_id: str, run_id: str | None, session_id: str | None, options: CallOptions
    ) -> Plan[RunRecord]:
        make = partial(run_log_request, run_id=run_id, session_id=session_id)
        read = partial(read_record, run_id=run_id, session_id=session_id)
        return self._at(workflow_id, make, read, options)

    def _list(
        self, workflow_id: str, cursor: str | None, options: CallOptions, **filters: Any
    ) -> Callable[[], Plan[Walk[RunRecordPage]]]:
        def prepare(cursor: str | None, found: str = workflow_id) -> Prepared:
            make = partial(run_logs_request, found, cursor=cursor, **filters)
            return self._call(make, read_record_page, options)

        prepare(cursor)  # so that an invalid argument raises here, and not in the loop

        def start() -> Plan[Walk[RunRecordPage]]:
            found = yield from self._id_of(workflow_id, options, time.monotonic())
            return Walk(partial(prepare, found=found), cursor, "cursor")

        return start

    def _find(
        self, error: ScoutError | str, workflow_id: str | None, within: float, options: CallOptions
    ) -> Plan[RunRecord | None]:
        begun = time.monotonic()
        check_seconds("within", within, least=0, has_limit=True)
        config, extra = apply_options(self._settings(), options, CALL_OPTIONS)
        if isinstance(error, ScoutError) and not error.run_may_have_started:
            return None
        run_id, session_id, workflow_id = _ids(error, workflow_id)
        # So that an invalid argument raises before the key is searched.
        run_log_request(workflow_id, run_id=run_id, session_id=None if run_id else session_id, **extra)
        ends_at = math.inf if config.deadline is None else begun + config.deadline
        of_the_key = of_a_look_up(options)
        of_the_key["deadline"] = min(max(within, _LEAST), ends_at - begun)
        found = yield from self._id_of(workflow_id, of_the_key, begun)
        within = max(0.0, begun + within - time.monotonic())
        return (
            yield from ask_logs(
                found, config, run_id=run_id, session_id=session_id, within=within, ends_at=ends_at, **extra
            )
        )


def _ids(error: object, workflow_id: str | None) -> tuple[str | None, str | None, str]:
    """Return the ids of run, session and workflow.

    Raises:
        ConfigurationError: they do not tell which run it is.
    """
    if isinstance(error, str):
        if workflow_id is None:
            raise ConfigurationError("a session alone does not tell the run: give workflow_id= as well")
        return None, error, workflow_id
    if not isinstance(error, ScoutError):
        raise ConfigurationError(
            f"find takes an error of this package, or the text of a session's id, not {type(error).__name__}"
        )
    run = getattr(error, "run", None)
    run_id = run.id if run is not None else None
    workflow_id = workflow_id or error.workflow_id
    if workflow_id is None:
        raise ConfigurationError(
            f"this {type(error).__name__} does not tell the workflow of its run. The logs have runs by workflow, and "
            "the workflow of a config that is sent along is not known before the answer. Give workflow_id= if you know "
            "it, or store the workflow and run it with scout.workflows.execute, whose errors tell it"
        )
    if run_id is None and error.session_id is None:
        raise ConfigurationError(
            f"this {type(error).__name__} tells neither the id of its run nor the session, so that the run cannot be "
            "told from others; scout.runs.list lists the runs of the workflow"
        )
    return run_id, error.session_id, workflow_id


class Runs(_Runs[Http]):
    """The logs of the runs of stored workflows: the methods of `Scout.runs`.

    Every parameter `workflow_id` takes the id of a workflow, or `key:NAME` for the workflow with the key NAME, as `id`
    does in `Scout.workflows`. Every method accepts the options of `CallOptions` as well. All requests are reads, and
    are repeated after any transient failure.
    """

    def get(
        self,
        workflow_id: str,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> RunRecord:
        """Return the log of one run.

        Source: version 12.3.0 of the vendor's SDK, `workflow_logs.get_details`.

        Args:
            workflow_id: The workflow.
            run_id: The id of the run.
            session_id: The session of the run. Pass either this or `run_id`. Which run of a session that has several is
                meant is not documented.
            **options: See `CallOptions`.

        Raises:
            NotFoundError: the logs have no such run, or not yet; or the workflow does not exist.
            ScoutError: as `Scout.execute`.
        """
        return carry_out(self._http, self._get(workflow_id, run_id, session_id, options))

    def list(
        self,
        workflow_id: str,
        *,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        status: RunStatus | str | None = None,
        session_id: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        summary_only: bool = False,
        **options: Unpack[CallOptions],
    ) -> RunList:
        """Return an iterator over the logs of the runs of a workflow, in the order of the server.

        Source: version 12.3.0 of the vendor's SDK, `workflow_logs.list`.

        Args:
            workflow_id: The workflow.
            since: Only runs from this time on: an aware `datetime`, or text in ISO 8601.
            until: Only runs up to this time.
            status: Only runs with this status: `completed`, `failed` or `running`, or a `RunStatus`.
            session_id: Only runs of this session.
            limit: The number of runs per page, 1 or more; by default the server decides.
            cursor: The `next_cursor` of the page after which to begin.
            summary_only: Ask for less of each run. What is left out is not documented.
            **options: See `CallOptions`. `deadline` applies to each page.

        Raises:
            ConfigurationError: an argument is invalid; nothing was sent. See `RunList` for later errors.
        """
        filters: dict[str, Any] = {"since": since, "until": until, "status": status, "session_id": session_id}
        filters |= {"limit": limit, "summary_only": summary_only}
        return RunList(self._http, self._list(workflow_id, cursor, options, **filters))

    def find(
        self,
        error_or_session_id: ScoutError | str,
        *,
        workflow_id: str | None = None,
        within: float = 30.0,
        **options: Unpack[CallOptions],
    ) -> RunRecord | None:
        """Find out what became of a run whose outcome is unknown. Nothing is run by this.

        Asks at once, and then after growing pauses (0.5 to 5 seconds), until the log says that the run completed or
        failed, or until `within` has passed. When `run_may_have_started` of the error is `False`, there is no run:
        nothing is asked, and the result is `None`.

        What it cannot do:

        - "Not in the log yet" is not "did not run". How late a log may be is not documented.
        - The run of a config that is sent along (`Scout.execute`) has no workflow id beforehand. It can be found only
          if an event of its stream had told the ids.
        - A run in a session of your own (`session_id=`) is found by its session. When this has several runs, the log of
          another one may be returned, because which one it is is not documented.

        Args:
            error_or_session_id: The error of the run; or the id of its session, together with `workflow_id`.
            workflow_id: The workflow; by default that of the error.
            within: The seconds for which to ask; 0 asks once. The last request may end a second later.
            **options: See `CallOptions`. `deadline` applies to all requests together; `retries` to none.

        Returns:
            The log of the run. Look at its `status`: a run that still goes on when the time is over is returned as
            it is. `None` when the log has no such run (yet), or when no workflow has the id: the server answers 404
            to both.

        Raises:
            ConfigurationError: the error does not tell which run it is; nothing was sent.
            ScoutError: the log cannot be read: at once for a failure that lasts, such as a key that is refused; after
                `within` for one that may pass.
        """
        return carry_out(self._http, self._find(error_or_session_id, workflow_id, within, options))


class AsyncRuns(_Runs[AsyncHttp]):
    """The logs of the runs of stored workflows, from asyncio. Arguments and methods are those of `Runs`."""

    async def get(
        self,
        workflow_id: str,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> RunRecord:
        """Return the log of one run. As `Runs.get`."""
        return await carry_out_async(self._http, self._get(workflow_id, run_id, session_id, options))

    def list(
        self,
        workflow_id: str,
        *,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        status: RunStatus | str | None = None,
        session_id: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        summary_only: bool = False,
        **options: Unpack[CallOptions],
    ) -> AsyncRunList:
        """Return an asynchronous iterator over the logs of the runs of a workflow. As `Runs.list`."""
        filters: dict[str, Any] = {"since": since, "until": until, "status": status, "session_id": session_id}
        filters |= {"limit": limit, "summary_only": summary_only}
        return AsyncRunList(self._http, self._list(workflow_id, cursor, options, **filters))

    async def find(
        self,
        error_or_session_id: ScoutError | str,
        *,
        workflow_id: str | None = None,
        within: float = 30.0,
        **options: Unpack[CallOptions],
    ) -> RunRecord | None:
        """Find out what became of a run whose outcome is unknown. As `Runs.find`."""
        return await carry_out_async(self._http, self._find(error_or_session_id, workflow_id, within, options))
