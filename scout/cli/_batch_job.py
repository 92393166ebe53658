"""The batches of `scout batch`, one for each variant: sent, written, and summed up."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from scout.cli import _batch_results, _batch_rows, _batch_table, _checks, _connection, _execution, _exits, _interrupts
from scout.cli._advice import in_options
from scout.cli._display import is_piped
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
    from collections.abc import Generator, Iterable

    from scout import Batch, BatchItem, BatchSummary, LoadedWorkflow, Scout, ScoutError
    from scout.cli._batch_rows import Feed, Row, Sending, Source, Survey

Unknown = Literal["ask", "skip", "rerun"]

_MAY_HAVE_STARTED = "the runs of some rows may have started"
_MOST_NAMED = 5
_LONGEST_INPUTS = 60
_NOT_ABOUT_A_ROW = (401, 402, 403, 404)
"""Statuses with which the server refuses every row."""
_MOST_IN_A_ROW = 20
"""Rows one after the other without a connection after which the rest is not tried."""


class Variant(NamedTuple):
    """What runs in one variant: a workflow, or the name of a stored one, and the journal."""

    name: str
    workflow: LoadedWorkflow | str
    journal: str | None


class BatchJob:
    """The batches of all variants, one after the other."""

    def __init__(
        self,
        args: argparse.Namespace,
        client: Scout,
        variants: list[Variant],
        target: _batch_results.Target | None,
        source: Source,
        found: Survey,
        sending: Sending,
        results: _batch_results.Results,
    ) -> None:
        self._args = args
        self._client = client
        self._variants = variants
        self._target = target
        self._source = source
        self._found = found
        self._sending = sending
        self._results = results
        self._summaries: list[BatchSummary | None] = [None] * len(variants)
        self._first: list[BatchSummary | None] = [None] * len(variants)
        """The summaries of the first batches, where there is a second one for the rows that were unknown."""
        self._open: list[list[BatchItem]] = [[] for _ in variants]
        """The rows that may have run in an earlier batch, of each variant."""
        self._engine: Any = None
        self._batch: Batch | None = None
        self._is_interrupted = False
        self._code = _exits.DONE
        self._error: dict[str, Any] | None = None
        self._left: Counter[str] = Counter()
        """The rows of this batch that may have run, or that never started."""
        self._has_written = self._cannot_write = False

    def carry_out(self) -> int:
        """Run all of it, and return the exit code."""
        with self._on_dask() as self._engine:
            self._discard_earlier()
            if self._args.json:
                _exits.hold_in_result()
            self._run_until_interrupted(range(len(self._variants)), self._args.unknown)
            self._write()
            if not self._is_interrupted and self._code == _exits.DONE and self._may_rerun():
                self._rerun()
                self._write()
        return self._conclude()

    @contextlib.contextmanager
    def _on_dask(self) -> Generator[Any]:
        if self._args.dask is None:
            yield None
            return
        from scout import DaskEngine

        with DaskEngine.connect(self._args.dask) as engine:
            yield engine

    def _discard_earlier(self) -> None:
        """Remove the journals of an earlier batch, if that was asked for. Its results stay until there are new ones."""
        if not self._args.overwrite:
            return
        for variant in self._variants:
            if variant.journal is not None:
                Path(variant.journal).unlink(missing_ok=True)

    def _interrupt(self) -> None:
        self._is_interrupted = True
        batch = self._batch
        if batch is not None:
            batch.stop()
        talk_of_interrupt("finishing the runs that are under way; Ctrl-C again stops at once")

    # --- Running ---

    def _run_until_interrupted(self, numbers: Iterable[int], unknown: Unknown) -> None:
        """Run the rows in the variants with these numbers."""
        try:
            with _interrupts.first_calls(self._interrupt):
                for number in numbers:
                    if not self._is_interrupted and self._code == _exits.DONE:
                        self._run_one(number, unknown)
        except KeyboardInterrupt:
            self._is_interrupted = True
            talk_of_interrupt("interrupted; what was under way may have run")

    def _run_one(self, number: int, unknown: Unknown) -> None:
        """Run the rows in one variant."""
        from scout import ProgressBar, ScoutError

        args, variant = self._args, self._variants[number]
        feed = _batch_rows.feed(self._found, self._sending)
        title = f"scout: {variant.name}" if variant.name else "scout:"
        with ProgressBar(title, keep=False) if self._has_room_for_progress else contextlib.nullcontext() as bar:
            batch = self._client.batch(
                variant.workflow,
                feed,
                concurrency=args.concurrency,
                journal=variant.journal,
                unknown=unknown,
                ordered=self._target is None,
                stop_after_failures=args.stop_after_failures,
                rate=args.rate,
                key=args.key,
                stream=args.stream,
                engine=self._engine,
                on_progress=bar,
                **_connection.given(args, "environment", "revision_id", "workflow_key"),
            )
            self._summaries[number] = batch.summary
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
        self._code = code
        may_have_started = getattr(error, "run_may_have_started", False)
        self._error = {
            "type": type(error).__name__,
            "message": in_options(str(error)),
            "run_may_have_started": may_have_started,
        }

    def _take_all(self, number: int, batch: Batch, feed: Feed) -> None:
        self._batch = batch
        watch = _Watch(batch)
        try:
            with batch:
                if self._is_interrupted:
                    return
                for item in batch:
                    self._take(number, item, feed.row(item))
                    watch.look(item)
        finally:
            self._batch = None
        if watch.error is not None:
            talk("stopped, because the other rows would fail as well:")
            self._fail(watch.error, _exits.explain(watch.error, unknown_outcome=_MAY_HAVE_STARTED))

    def _take(self, number: int, item: BatchItem, row: Row) -> None:
        if item.resumed and item.outcome == "unknown":
            self._open[number].append(item)
        if item.resumed and self._results.has(number, item.index):
            return  # this is the second time, for rows that were unknown the first time
        if not item.resumed and (item.outcome == "unknown" or _never_started(item)):
            self._left[item.outcome] += 1
        variant = self._variants[number].name
        self._results.note(number, item)
        record = _batch_results.record_of(item, row, variant, whole=self._args.runs)
        if self._target is None:
            answer(_batch_results.answer_line(record), json=True)
        else:
            self._results.add(number, record)

    # --- Rows that may have run in an earlier batch ---

    def _may_rerun(self) -> bool:
        """Ask once whether those rows are run again. They stay as they are where nobody can answer."""
        items = [item for each in self._open for item in each]
        if not items or self._args.unknown != "ask":
            return False
        rows = _checks.counted(len(items), "row")
        talk(f"{rows} may have run in an earlier batch, and nothing says how that ended:")
        for item in items[:_MOST_NAMED]:
            talk(f"  row {item.index + 1}, {_shown(item, has_key=self._args.key is not None)}")
        if len(items) > _MOST_NAMED:
            talk(f"  ... and {len(items) - _MOST_NAMED:,} more")
        if can_ask() and self._target is not None:
            try:
                return agrees(f"run {'it' if len(items) == 1 else 'them'} again?")
            except KeyboardInterrupt:
                self._is_interrupted = True
                talk_of_interrupt("interrupted")
                return False
        talk("they stay open; with --resume, --unknown rerun sends them again, and --unknown skip settles them")
        return False

    def _rerun(self) -> None:
        """Run the rows again that were unknown. All others come from the journal."""
        before, again = list(self._summaries), [number for number, items in enumerate(self._open) if items]
        self._run_until_interrupted(again, "rerun")
        if self._is_interrupted or self._code != _exits.DONE:
            self._summaries = before  # those of now are about a part of the rows
        else:
            self._first = before

    # --- The end ---

    def _conclude(self) -> int:
        numbers = [
            self._numbers(place, summary) for place, summary in enumerate(self._summaries) if summary is not None
        ]
        code = self._final_code(numbers)
        if self._args.json:
            self._print_json(numbers, code)
        else:
            for line in _batch_table.lines(numbers):
                (say if self._target is None else answer_escaped)(line)
        self._say_the_end(numbers)
        return code

    def _numbers(self, place: int, summary: BatchSummary) -> _batch_table.Numbers:
        variant, first = self._variants[place], self._first[place]
        resumed, seconds = summary.resumed, summary.seconds
        if first is not None and first is not summary:  # in the second batch all others came from the journal
            resumed, seconds = first.resumed - len(self._open[place]), seconds + first.seconds
        agreement = self._results.agreement(place) if place else None
        return _batch_table.Numbers(variant.name, variant.journal, summary, agreement, resumed, seconds)

    def _final_code(self, all_numbers: list[_batch_table.Numbers]) -> int:
        if self._is_interrupted:
            return _exits.INTERRUPTED
        if self._code != _exits.DONE:
            return self._code
        if self._cannot_write:
            return _exits.USAGE
        return _exits.DONE if all(numbers.summary.ok for numbers in all_numbers) else _exits.RUN_FAILED

    @property
    def _is_whole(self) -> bool:
        """True when every row has a result."""
        return (
            not self._is_interrupted
            and self._code == _exits.DONE
            and all(summary is not None and summary.stopped is None for summary in self._summaries)
        )

    def _write(self) -> None:
        """Write the results, as far as there are any."""
        target = self._target
        if target is None or (not len(self._results) and not self._is_whole):
            return
        # What has ended before an interruption is there again only as far as the rows were read this time.
        if not self._is_whole and not self._has_written and self._args.resume and target.rows() > len(self._results):
            talk(f"{target.name} stays as it is, with more results than there are now; the journal has all of them")
            return
        try:
            target.write(self._results)
        except OSError as error:
            self._cannot_write = True
            talk(f"--output {target.name}: cannot be written: {error.strerror or error}; --resume writes it again")
        else:
            self._has_written = True

    def _print_json(self, numbers: list[_batch_table.Numbers], code: int) -> None:
        answer_json(
            {
                "workflow": self._args.file,
                "rows": self._source.name,
                "results": self._args.output if self._has_written else None,
                "interrupted": self._is_interrupted,
                "exit_code": code,
                "error": self._error,
                "batches": _batch_table.as_objects(numbers),
            }
        )

    def _say_the_end(self, all_numbers: list[_batch_table.Numbers]) -> None:
        workflow = self._variants[0].workflow
        has_run = any(numbers.summary.rows > numbers.summary.resumed for numbers in all_numbers)
        if self._args.local and has_run and not isinstance(workflow, str) and _execution.model_blocks(workflow):
            talk(
                "run on the local Scout"
                + ("" if self._args.llm_base_url else ", where a stand-in plays the language model")
            )
        for numbers in all_numbers:
            if numbers.summary.stopped is not None and not self._is_interrupted and self._code == _exits.DONE:
                talk(f"stopped: {numbers.summary.stopped}")
        if self._target is not None and self._has_written:
            talk(f"{_checks.counted(len(self._results), 'result')} in {self._target.name}")
        self._say_what_is_left()

    def _say_what_is_left(self) -> None:
        if self._variants[0].journal is None:
            return
        unknown, failed = self._left["unknown"], self._left["failed"]
        if unknown:
            it = "it" if unknown == 1 else "them"
            talk(
                f"{_checks.counted(unknown, 'row')} may have run, and nothing says how that ended; "
                f"--resume asks about {it}, and --resume --unknown rerun sends {it} again"
            )
        if not self._is_whole:
            talk("the same command with --resume goes on")
        elif failed:
            it = "it" if failed == 1 else "them"
            talk(f"{_checks.counted(failed, 'row')} never started; the same command with --resume sends {it} again")


def _never_started(item: BatchItem) -> bool:
    """Return True for a row that failed on its way, and which would be sent again."""
    from scout import APIError

    return isinstance(item.error, APIError) and not item.error.run_may_have_started


def _shown(item: BatchItem, *, has_key: bool) -> str:
    """Return the words by which a person finds a row again."""
    session = "" if item.session_id is None else f", session {item.session_id}"
    inputs = as_json(item.inputs)
    short = inputs if len(inputs) <= _LONGEST_INPUTS else f"{inputs[:_LONGEST_INPUTS]}..."
    return (f"key {item.key}" if has_key else short) + session


class _Watch:
    """Stops a batch when the server refuses every row, or cannot be reached, so that the rest would fail as well."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._in_a_row = 0
        self.error: ScoutError | None = None  # that of the row that stopped it

    def look(self, item: BatchItem) -> None:
        """Look at an item, and stop the batch if it says so."""
        from scout import APIConnectionError, APIStatusError

        error = item.error
        if self.error is not None or error is None or item.resumed:
            self._in_a_row = 0
            return
        self._in_a_row = self._in_a_row + 1 if isinstance(error, APIConnectionError) else 0
        is_for_all = isinstance(error, APIStatusError) and error.status in _NOT_ABOUT_A_ROW
        if is_for_all or self._in_a_row >= _MOST_IN_A_ROW:
            self.error = error
            self._batch.stop()
