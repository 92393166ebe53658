"""What goes into a batch, and what it returns: a `BatchItem` for each row, and the `BatchSummary` of all of them."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import scout  # its names are imported when they are first used, which only `typing.get_type_hints` does here
from scout._json import shorten
from scout.errors import RunFailedError

__all__ = ["BatchItem", "BatchSummary", "RowSource", "Tally"]


class _PandasTable(Protocol):
    def itertuples(self, index: bool = ..., name: Any = ...) -> Iterable[Any]: ...


class _PolarsTable(Protocol):
    def iter_rows(self, *, named: Literal[True]) -> Iterable[Any]: ...


class _ArrowTable(Protocol):
    def to_batches(self) -> list[Any]: ...


RowSource = (
    Iterable[Mapping[str, Any]]
    | AsyncIterable[Mapping[str, Any]]
    | str
    | os.PathLike[str]
    | _PandasTable
    | _PolarsTable
    | _ArrowTable
)
"""The rows of a batch: an iterable of mappings, a path to a file of CSV or JSON Lines, or a table.

An asynchronous iterable is for `AsyncScout`.
"""

Outcome = Literal["done", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class BatchItem:
    """The result of one row of a batch: a run, an error, or both.

    Attributes:
        index: The position of the row, from 0.
        key: The name of the row in the journal: the value of the column `key`, else a hash of server, workflow, options
            and inputs. Empty when the row has none, because its inputs are not JSON or the column is empty.
        inputs: The inputs that were sent.
        run: The run, if there is one: also one that failed, or the part of one that is known.
        error: The reason why the row is not done; `None` when its run completed.
        attempts: The number of requests that were sent, those that were refused (429) included.
        seconds: The seconds of the last call for the row, with its retries; pauses after a 429 do not count.
        session_id: The id of the session that the batch made for the run of a stored workflow, to look it up later;
            `None` when the server made it.
        resumed: True when the item comes from the journal of an earlier batch, so that nothing was sent for it now.
    """

    index: int
    key: str
    inputs: Mapping[str, Any]
    run: scout.Run | None = None
    error: scout.ScoutError | None = None
    attempts: int = 0
    seconds: float = 0.0
    session_id: str | None = None
    resumed: bool = False

    @property
    def ok(self) -> bool:
        """True when the run completed."""
        return self.error is None

    @property
    def outcome(self) -> Outcome:
        """`"done"`, `"failed"`, or `"unknown"`: a run may have started, and nothing says how it ended."""
        if self.error is None:
            return "done"
        if isinstance(self.error, RunFailedError) or not self.error.run_may_have_started:
            return "failed"
        return "unknown"


# --- The summary --------------------------------------------------------------------------------------------------

_MOST_CAUSES = 50
_LONGEST_CAUSE = 200
_STEP = math.log(1.02)  # times are counted by classes that are 2 percent wide, so that memory stays the same


class BatchSummary:
    """The numbers of a batch: so far while it runs, and of all of it at the end.

    Attributes:
        total: The number of rows; `None` while it is not known.
        done: The rows whose run completed.
        failed: The rows whose run failed, and those of which it is certain that no run was started.
        unknown: The rows of which a run may have started, and nothing says how it ended.
        resumed: The rows, among those, that come from the journal of an earlier batch.
        refused: The number of requests that the server refused because there were too many (429).
        price: The sum of the prices of the runs, also of those from the journal, in the unit of the API's price list;
            `None` while no run names one.
        input_tokens: The tokens that language models read, as far as the runs tell.
        output_tokens: The tokens that language models wrote, as far as the runs tell.
        seconds: The seconds since the first item was asked for; at the end, those that the batch took.
        causes: How many rows are not done for which cause, the most frequent first.
        stopped: Why the batch ended before its last row; `None` when it did not.
    """

    def __init__(self, total: int | None = None) -> None:
        self.total = total
        self.done = 0
        self.failed = 0
        self.unknown = 0
        self.resumed = 0
        self.refused = 0
        self.price: float | None = None
        self.input_tokens = 0
        self.output_tokens = 0
        self.stopped: str | None = None
        self._causes: Counter[str] = Counter()
        self._times: Counter[int] = Counter()
        self._began = time.monotonic()
        self._took: float | None = None

    @property
    def rows(self) -> int:
        """The rows so far: `done`, `failed` and `unknown` together."""
        return self.done + self.failed + self.unknown

    @property
    def ok(self) -> bool:
        """True when every row is done, and the batch was not stopped."""
        return self.stopped is None and not self.failed and not self.unknown

    @property
    def ended(self) -> bool:
        """True when the batch has ended, so that the numbers do not change any more."""
        return self._took is not None

    @property
    def seconds(self) -> float:
        """The seconds since the first item was asked for; at the end, those that the batch took."""
        return time.monotonic() - self._began if self._took is None else self._took

    @property
    def causes(self) -> dict[str, int]:
        """How many rows are not done for which cause, the most frequent first."""
        return dict(self._causes.most_common())

    def percentile(self, percent: float) -> float | None:
        """Return the seconds within which this percentage of the runs ended, to within 2 percent; `None` without runs.

        Args:
            percent: From 0 to 100; 50 is the median.
        """
        left = sum(self._times.values()) * percent / 100
        for number in sorted(self._times):
            left -= self._times[number]
            if left <= 0:
                return math.exp((number + 0.5) * _STEP)
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON, with the percentiles 50, 95 and 99 of the seconds of a run."""
        return {
            "total": self.total,
            "done": self.done,
            "failed": self.failed,
            "unknown": self.unknown,
            "resumed": self.resumed,
            "refused": self.refused,
            "price": self.price,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "seconds": self.seconds,
            "seconds_of_a_run": {f"p{percent}": self.percentile(percent) for percent in (50, 95, 99)},
            "causes": self.causes,
            "stopped": self.stopped,
        }

    def __repr__(self) -> str:
        facts = {name: getattr(self, name) for name in ("total", "done", "failed", "unknown", "resumed", "price")}
        known = ", ".join(f"{name}={value!r}" for name, value in facts.items() if value is not None)
        stopped = "" if self.stopped is None else f", stopped={shorten(self.stopped, 60)!r}"
        return f"BatchSummary({known}, seconds={self.seconds:.1f}{stopped})"


class Tally(BatchSummary):
    """A summary that counts."""

    def begin(self) -> None:
        """Start the clock."""
        self._began = time.monotonic()

    def add(self, item: BatchItem) -> None:
        """Count an item."""
        match item.outcome:
            case "done":
                self.done += 1
            case "failed":
                self.failed += 1
            case "unknown":
                self.unknown += 1
        self.resumed += item.resumed
        if item.error is not None:
            self._count_cause(item.error)
        if item.run is None:
            return
        self._times[round(math.log(max(item.seconds, 1e-6)) / _STEP)] += 1
        price = item.run.price
        if price is not None:
            self.price = price + (self.price or 0.0)
        for block in item.run.blocks:
            self.input_tokens += block.input_tokens or 0
            self.output_tokens += block.output_tokens or 0

    def _count_cause(self, error: scout.ScoutError) -> None:
        cause = shorten(f"{type(error).__name__}: {_without_ids(error)}", _LONGEST_CAUSE)
        # Messages may hold other names, so that each is another one; the memory stays bounded.
        known = cause in self._causes or len(self._causes) < _MOST_CAUSES
        self._causes[cause if known else f"{type(error).__name__}: other causes"] += 1

    def end(self) -> None:
        """Stop the clock."""
        self._took = self.seconds


def _without_ids(error: scout.ScoutError) -> str:
    """Return the message of an error without what is different for each row, so that rows can be counted together."""
    message = error.message
    run: scout.Run | None = getattr(error, "run", None)
    ids = [getattr(error, name, None) for name in ("request_id", "session_id")]
    ids += [] if run is None else [run.id, run.session_id]
    for each in ids:
        if isinstance(each, str) and each:
            message = message.replace(each, "...")
    return message.replace("run ... ", "the run ") if message.startswith("run ... ") else message
