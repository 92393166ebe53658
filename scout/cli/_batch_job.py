"""The batches of `scout batch`, one for each variant: sent, written, and summed up."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from scout.cli import _batch_results, _batch_table, _checks, _connection, _execution, _exits, _interrupts
from scout.cli._batch_rows import Feed
from scout.cli._display import is_piped
from scout.cli._keeping import reason_of
from scout.cli._terminal import (
    agrees,
    answer,
    answer_escaped,
    answer_json,
    as_json,
    can_ask,
    say,
    talk,
    talk_of_interrupt,
)

if TYPE_CHECKING:
    import argparse

    from scout import Batch, BatchItem, BatchSummary, DaskEngine, LoadedWorkflow, Scout, ScoutError
    from scout.cli._batch_rows import Row, Rows, Sending

_MAY_HAVE_STARTED = "the runs of some rows may have started"
_MOST_NAMED = 5
_LONGEST_INPUTS = 60
_NOT_ABOUT_A_ROW = (401, 402, 403, 404)
"""Statuses with which the server refuses every row."""
_MOST_UNCONNECTED = 20
"""Rows one after the other without a connection after which the rest is not tried."""


class Variant(NamedTuple):
    """What runs in one variant: a workflow, or the name of a stored one, and the journal."""

    name: str
    workflow: LoadedWorkflow | str
    journal: str | None


class Setup(NamedTuple):
    """What `scout batch` runs, and where the results go; `target` is `None` for stdout."""

    args: argparse.Namespace
    client: Scout
    engine: DaskEngine | None
    variants: list[Variant]
    rows: Rows
    sending: Sending
    target: _batch_results.Target | None


def carry_out(setup: Setup) -> int:
    """Run all rows in all variants, and return the exit code.

    Rows that may have run in an earlier batch are asked about at the end. In the second pass that sends them again,
    all others come from the journal.
    """
    with contextlib.closing(_Pass(setup, setup.args.unknown)) as first:
        code = first.carry_out()
        if not first.may_rerun():
            return code
    with contextlib.closing(_Pass(setup, "rerun")) as second:
        return second.carry_out()


class _Pass:
    """One pass over the rows: the batches of all variants one after the other, their results and their numbers."""

    def __init__(self, setup: Setup, unknown: Any) -> None:
        self._args, self._target, self._variants = setup.args, setup.target, setup.variants
        self._setup = setup
        self._unknown = unknown
        names = [variant.name for variant in setup.variants]
        self._results = _batch_results.Results(names, setup.rows.columns)
        self._summaries: list[BatchSummary] = []
        self._batch: Batch | None = None
        self._is_interrupted = False
        self._code = _exits.DONE
        self._error: dict[str, Any] | None = None
        self._earlier: list[BatchItem] = []
        """The rows that may have run in an earlier batch."""
        self._unknown_now = self._never_started = self._unconnected = 0
        self._has_written = False

    def close(self) -> None:
        """Remove the temporary file of the results."""
        self._results.close()

    def carry_out(self) -> int:
        """Run all of it, write the results and print the numbers, and return the exit code."""
        if self._args.json:
            _exits.hold_in_result()
        try:
            with _interrupts.first_calls(self._interrupt):
                for number in range(len(self._variants)):
                    if not self._is_interrupted and self._error is None:
                        self._run_one(number)
        except KeyboardInterrupt:
            self._is_interrupted = True
            talk_of_interrupt("interrupted; what was under way may have run")
        if self._is_interrupted:
            self._code = _exits.INTERRUPTED
        elif self._error is None and not all(summary.ok for summary in self._summaries):
            self._code = _exits.RUN_FAILED
        self._write()
        self._print_numbers()
        self._say_the_end()
        return self._code

    def _interrupt(self) -> None:
        self._is_interrupted = True
        batch = self._batch
        if batch is not None:
            batch.stop()
        talk_of_interrupt("finishing the runs that are under way; Ctrl-C again stops at once")

    # --- Running ---

    def _run_one(self, number: int) -> None:
        """Run the rows in one variant."""
        from scout import ProgressBar, ScoutError

        args, variant = self._args, self._variants[number]
        feed = Feed(self._setup.rows, self._setup.sending)
        title = f"scout: {variant.name}" if variant.name else "scout:"
        with ProgressBar(title, keep=False) if self._has_room_for_progress else contextlib.nullcontext() as bar:
            batch = self._setup.client.batch(
                variant.workflow,
                feed,
                concurrency=args.concurrency,
                journal=variant.journal,
                unknown=self._unknown,
                ordered=self._target is None,
                stop_after_failures=args.stop_after_failures,
                rate=args.rate,
                key=args.key,
                stream=args.stream,
                engine=self._setup.engine,
                on_progress=bar,
                **_connection.given(args, "environment", "revision_id", "workflow_key"),
            )
            self._summaries.append(batch.summary)
            try:
                self._take_all(number, batch, feed)
            except ScoutError as error:
                self._fail(error, _exits.explain(error))
            except _exits.UsageError as error:
                self._fail(error, _exits.refuse(str(error), **error.facts))

    @property
    def _has_room_for_progress(self) -> bool:
        """False where results, or what another program makes of them, appear on the same terminal."""
        return self._target is not None or not sys.stderr.isatty() or not (sys.stdout.isatty() or is_piped())

    def _fail(self, error: Exception, code: int) -> None:
        self._code, self._error = code, _batch_results.facts_of(error)

    def _take_all(self, number: int, batch: Batch, feed: Feed) -> None:
        self._batch = batch
        journal = self._variants[number].journal
        has_earlier = self._args.resume and journal is not None and Path(journal).exists()
        cause: ScoutError | None = None
        try:
            with batch:
                if self._is_interrupted:
                    return
                for item in batch:
                    if has_earlier and not item.resumed and not batch.summary.resumed:
                        talk(
                            f"warning: the first rows have no result in {journal}, so they are sent; if you expected "
                            "one, the workflow, an option or the inputs have changed since then"
                        )
                    has_earlier = False
                    self._take(number, item, feed.row(item))
                    if cause is None and self._is_about_all(item):
                        cause = item.error
                        batch.stop()
        finally:
            self._batch = None
        if cause is not None:
            talk("stopped, because the other rows would fail as well:")
            self._fail(cause, _exits.explain(cause, unknown_outcome=_MAY_HAVE_STARTED))

    def _is_about_all(self, item: BatchItem) -> bool:
        """Return True when the server refuses every row, or cannot be reached, so that the rest would fail as well."""
        from scout import APIConnectionError, APIStatusError

        error = None if item.resumed else item.error
        self._unconnected = self._unconnected + 1 if isinstance(error, APIConnectionError) else 0
        refuses_all = isinstance(error, APIStatusError) and error.status in _NOT_ABOUT_A_ROW
        return refuses_all or self._unconnected >= _MOST_UNCONNECTED

    def _take(self, number: int, item: BatchItem, row: Row) -> None:
        from scout import APIError

        if item.resumed and item.outcome == "unknown":
            self._earlier.append(item)
        elif item.outcome == "unknown":
            self._unknown_now += 1
        elif isinstance(item.error, APIError) and not item.error.run_may_have_started and not item.resumed:
            self._never_started += 1
        record = _batch_results.record_of(item, row, self._variants[number].name, whole=self._args.runs)
        self._results.add(number, item, None if self._target is None else record)
        if self._target is None:
            answer(as_json(record), json=True)

    # --- The end ---

    @property
    def _is_whole(self) -> bool:
        """True when every row has a result."""
        return (
            not self._is_interrupted
            and self._error is None
            and all(summary.stopped is None for summary in self._summaries)
        )

    def _write(self) -> None:
        """Write the results, as far as there are any."""
        target = self._target
        if target is None or not (len(self._results) or self._is_whole):
            return
        # What has ended before an interruption is there again only as far as the rows were read this time.
        if not self._is_whole and self._args.resume and target.rows() > len(self._results):
            talk(f"{target.name} stays as it is, with more results than there are now; the journal has all of them")
            return
        try:
            target.write(self._results)
            self._has_written = True
        except OSError as error:
            self._code = self._code if self._code > _exits.RUN_FAILED else _exits.USAGE
            talk(f"--output {target.name}: cannot be written: {reason_of(error)}; --resume writes it again")

    def _print_numbers(self) -> None:
        numbers = [
            _batch_table.Numbers(
                self._variants[number].name,
                self._variants[number].journal,
                summary,
                self._results.agreement(number) if number else None,
            )
            for number, summary in enumerate(self._summaries)
        ]
        if not self._args.json:
            if self._is_whole or any(summary.rows for summary in self._summaries):
                for line in _batch_table.lines(numbers):
                    (say if self._target is None else answer_escaped)(line)
            return
        answer_json(
            {
                "workflow": self._args.file,
                "rows": self._setup.rows.name,
                "results": self._args.output if self._has_written else None,
                "interrupted": self._is_interrupted,
                "exit_code": self._code,
                "error": self._error,
                "batches": _batch_table.as_objects(numbers),
            }
        )

    def _say_the_end(self) -> None:
        args, workflow = self._args, self._variants[0].workflow
        has_run = any(summary.rows > summary.resumed for summary in self._summaries)
        if args.local and has_run and not isinstance(workflow, str) and _execution.model_blocks(workflow):
            stand_in = "" if args.llm_base_url else ", where a stand-in plays the language model"
            talk(f"run on the local Scout{stand_in}")
        for summary in self._summaries:
            if summary.stopped is not None and not self._is_interrupted and self._error is None:
                talk(f"stopped: {summary.stopped}")
        if self._target is not None and self._has_written:
            talk(f"{_checks.counted(len(self._results), 'result')} in {self._target.name}")
        if self._variants[0].journal is not None:
            self._say_what_is_left()

    def _say_what_is_left(self) -> None:
        if self._unknown_now:
            it = "it" if self._unknown_now == 1 else "them"
            talk(
                f"{_checks.counted(self._unknown_now, 'row')} may have run, and nothing says how that ended; "
                f"--resume asks about {it}, and --resume --unknown rerun sends {it} again"
            )
            workflow = self._variants[0].workflow
            if isinstance(workflow, str):
                command = _exits.find_command(_connection.base_url_options(self._args), workflow, "SESSION")
                talk(f"to find out what became of one: {command}, with its session_id from the journal")
        if self._never_started:
            talk(f"{_checks.counted(self._never_started, 'row')} never started")
        cannot_begin = self._code == _exits.USAGE and not any(summary.rows for summary in self._summaries)
        if self._never_started or not (self._is_whole or cannot_begin):
            talk("the same command with --resume goes on")

    def may_rerun(self) -> bool:
        """Return True when a person wants the rows that may have run in an earlier batch to be run again."""
        items = self._earlier
        if not items or self._unknown != "ask" or not self._is_whole:
            return False
        it = "it" if len(items) == 1 else "them"
        talk(f"{_checks.counted(len(items), 'row')} may have run in an earlier batch, and nothing says how that ended:")
        for item in items[:_MOST_NAMED]:
            talk(f"  row {item.index + 1}, {_shown(item, has_key=self._args.key is not None)}")
        if len(items) > _MOST_NAMED:
            talk(f"  ... and {len(items) - _MOST_NAMED:,} more")
        has_place = self._target is not None and not self._args.json
        if has_place and self._setup.rows.total is not None and can_ask() and agrees(f"run {it} again?"):
            return True
        talk(f"--resume --unknown rerun sends {it} again, and --resume --unknown skip leaves {it} for good")
        return False


def _shown(item: BatchItem, *, has_key: bool) -> str:
    """Return the words by which a person finds a row again."""
    session = "" if item.session_id is None else f", session {item.session_id}"
    inputs = as_json(item.inputs)
    short = inputs if len(inputs) <= _LONGEST_INPUTS else f"{inputs[:_LONGEST_INPUTS]}..."
    return (f"key {item.key}" if has_key else short) + session
