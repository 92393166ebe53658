"""Results of calls: `Run` and its blocks, `StoredWorkflow`, and a page of stored workflows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import StrEnum
from itertools import pairwise
from typing import Any, cast

from ._json import NOT_JSON, is_dict, is_same, parse_json, shorten, without_halves, write_json
from .errors import RunFailedError, RunNotFinishedError, RunOutputError

__all__ = [
    "BlockRun",
    "Run",
    "RunStatus",
    "StoredWorkflow",
    "WorkflowPage",
    "as_number",
    "as_text",
    "output_of",
    "parse_timestamp",
]

# The prefix of a status in `run.stop_reason` and in the names of the terminal events.
_WIRE_PREFIX = "workflow_run_"

_FENCE = re.compile(r"^[ \t]*```[^\n]*\n?", re.MULTILINE)


class RunStatus(StrEnum):
    """The status of a run, or of one block of it.

    An unknown status from the server becomes a new member, equal to its text, and not an error, which would lose a
    finished run. Such a run is not `ok`.
    """

    STARTED = "started"
    COMPLETED = "completed"
    FAILED = "failed"

    @classmethod
    def _missing_(cls, value: object) -> RunStatus | None:
        if not isinstance(value, str):
            return None
        short = value.removeprefix(_WIRE_PREFIX)
        for known in cls:
            if known.value == short:
                return known
        unknown = str.__new__(cls, value)
        unknown._name_ = value.upper()
        unknown._value_ = value
        return unknown


@dataclass(frozen=True, slots=True)
class BlockRun:
    """The run of one block, as reported by the events of a stream. A field that no event reported is `None`.

    Attributes:
        id: The block's id in the workflow.
        archetype: The kind of block, such as `com.scoutos.llm`.
        status: The status of the block.
        started: The time when it began, as an aware `datetime`.
        ended: The time when it completed or failed, as an aware `datetime`.
        duration: The seconds from `started` to `ended`.
        price: The price, in the unit of the API's price list.
        error: The reason why it failed.
    """

    id: str
    archetype: str | None = None
    status: RunStatus = RunStatus.STARTED
    started: datetime | None = None
    ended: datetime | None = None
    price: float | None = None
    error: str | None = None

    @property
    def duration(self) -> float | None:
        """The seconds from `started` to `ended`; `None` while either is unknown."""
        if self.started is None or self.ended is None:
            return None
        return (self.ended - self.started).total_seconds()


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a workflow.

    Two runs are equal when all fields but `blocks` and `raw` are equal, because a plain response and a stream report
    those differently.

    Attributes:
        id: The id of the run.
        session_id: The session of the run.
        workflow_id: The workflow to which the run is attributed.
        status: The final status, or `RunStatus.STARTED` while the run continues.
        state: The entries of the blocks by block id, `inputs`, and reserved keys that begin with `__`; any JSON. A
            number in it that neither int nor float can hold is a `decimal.Decimal`.
        errors: The error messages of the server.
        output_block_id: The block whose output is that of the run: the one that the server names, else the one marked
            `is_output` in the workflow, else its only leaf, else `None`.
        blocks: The blocks that the events of a stream reported, in the order in which they started; else empty.
        raw: The parsed body of the response; `None` for a run that was streamed.
    """

    id: str | None
    session_id: str | None
    workflow_id: str | None
    status: RunStatus
    state: dict[str, Any] = field(default_factory=dict[str, Any])
    errors: list[str] = field(default_factory=list[str])
    output_block_id: str | None = None
    blocks: list[BlockRun] = field(default_factory=list[BlockRun], compare=False)
    raw: Any = field(default=None, compare=False, repr=False)

    @property
    def ok(self) -> bool:
        """True when the run completed."""
        return self.status == RunStatus.COMPLETED

    @property
    def outputs(self) -> dict[str, Any]:
        """The outputs of the blocks, by block id.

        An entry in `state` is normally an object with the output under `output`; an entry of another form is itself the
        output. Reserved keys (`__...`) are left out.
        """
        return {key: output_of(entry) for key, entry in self.state.items() if not key.startswith("__")}

    @property
    def output(self) -> Any:
        """The output of the output block: text, or any JSON. `None` without an output block or an output."""
        if self.output_block_id is None:
            return None
        return output_of(self.state.get(self.output_block_id))

    @property
    def text(self) -> str:
        """`output` as text: text unchanged, `None` as `""`, anything else as JSON (NaN and infinities as `null`)."""
        return as_text(self.output)

    def json(self) -> Any:
        """Return `output` as JSON: text is parsed, with or without a Markdown fence; anything else is unchanged.

        A number that neither int nor float can hold is a `decimal.Decimal`.

        Raises:
            RunOutputError: the output is text that is not JSON. `NaN` and `Infinity` are not.
        """
        output = self.output
        if not isinstance(output, str):
            return output
        for candidate in (output, *_fenced(output)):
            try:
                return without_halves(parse_json(candidate, strict=True), candidate)
            except NOT_JSON:
                continue
        shown = shorten(output, 80)
        raise RunOutputError(f"the output of block {self.output_block_id!r} is not JSON: {shown!r}", run=self)

    @property
    def price(self) -> float | None:
        """The sum of the prices of the blocks, else the price of an event that was the whole answer, else `None`."""
        prices = [block.price for block in self.blocks if block.price is not None]
        return sum(prices) if prices else _price_of(self.raw)

    def raise_for_status(self) -> None:
        """Do nothing when the run completed.

        Raises:
            RunNotFinishedError: the run has not ended.
            RunFailedError: the run failed, or has an unknown status.
        """
        if self.ok:
            return
        name = "the run" if self.id is None else f"run {self.id}"
        if self.status == RunStatus.STARTED:
            event = self.raw.get("name") if is_dict(self.raw) else None
            known = f": the whole answer is one event, {event!r}" if isinstance(event, str) else ""
            raise RunNotFinishedError(f"{name} has not ended{known}; it may go on, on the server", run=self)
        why = "; ".join(self.errors) or "the server gave no reason"
        failed = [block.id for block in self.blocks if block.status == RunStatus.FAILED]
        where = f" in block {', '.join(map(repr, failed))}" if failed else ""
        raise RunFailedError(f"{name} {self.status}{where}: {why}", run=self)


@dataclass(frozen=True, slots=True)
class StoredWorkflow:
    """A stored workflow, in one of its revisions. Every parameter `workflow` accepts one.

    Attributes:
        id: The id of the workflow.
        key: The key that its author chose; `None` when it has none.
        revision_id: The id of the revision.
        is_draft: True for a revision that is saved and not deployed; `None` when it is not known.
        created_at: The time when the workflow was first stored, as an aware `datetime`; `None` when it is not known.
        last_updated_at: The time of the last change, as an aware `datetime`; `None` when it is not known.
        config: The config as received, with all fields in their order.
        raw: The parsed object, with all fields of the response.
    """

    id: str
    key: str | None
    revision_id: str
    is_draft: bool | None
    created_at: datetime | None
    last_updated_at: datetime | None
    config: dict[str, Any]
    raw: Any = field(default=None, compare=False, repr=False)

    def matches(self, config: Mapping[str, Any]) -> bool:
        """Return True when this revision is deployed and has this config, so that `deploy` would store nothing.

        The order of keys does not count, and 1 equals 1.0; a missing field differs from null. A draft matches nothing.
        """
        return self.is_draft is not True and is_same(self.config, config)


@dataclass(frozen=True, slots=True)
class WorkflowPage:
    """One page of a list of stored workflows.

    Attributes:
        workflows: The workflows of the page.
        next_cursor: The `start_at` of the next page; `None` on the last.
        raw: The parsed body of the response.
    """

    workflows: list[StoredWorkflow]
    next_cursor: str | None
    raw: Any = field(default=None, compare=False, repr=False)


def _fenced(text: str) -> list[str]:
    """Return the texts between each Markdown fence and the next, and the text from the first fence to the last."""
    fences = list(_FENCE.finditer(text))
    inside = [text[here.end() : there.start()] for here, there in pairwise(fences)]
    return [*inside, text[fences[0].end() : fences[-1].start()]] if len(fences) > 2 else inside


def as_text(output: Any) -> str:
    """Return an output as text: text unchanged, `None` as `""`, anything else as JSON."""
    if output is None:
        return ""
    return output if isinstance(output, str) else write_json(output)


def output_of(entry: Any) -> Any:
    """Return the output of a block from its entry in the state."""
    if isinstance(entry, dict):
        return cast("dict[str, Any]", entry).get("output", cast("Any", entry))
    return entry


def as_number(value: Any) -> float | None:
    """Return a price of the API, which may be text, as a number; `None` when that is not possible."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _price_of(raw: Any) -> float | None:
    if not is_dict(raw):
        return None
    data = raw.get("data")
    price = as_number(data.get("price")) if is_dict(data) else None
    return price if price is not None else as_number(raw.get("price"))


def parse_timestamp(text: object) -> datetime | None:
    """Parse a timestamp of the API leniently; `None` when that is not possible.

    A timestamp without a zone is UTC, as the API documents for its events.
    """
    if not isinstance(text, str):
        return None
    moment: datetime | None
    try:
        moment = datetime.fromisoformat(text) if text[4:5] == "-" else _parse_loosely(text)
    except ValueError:
        moment = _parse_loosely(text)
    if moment is None:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _parse_loosely(text: str) -> datetime | None:
    from dateutil import parser  # not needed for the usual timestamps, and slow to import

    if text.isdigit():
        return None
    days = datetime(2000, 1, 1), datetime(2001, 2, 2)
    try:
        # dateutil takes missing parts from the default. Two defaults tell whether the text names a whole day.
        moment, other = (parser.parse(text, default=day, tzinfos=_zone) for day in days)
        moment.utcoffset()  # raises where the offset is more than a day
    except (ValueError, OverflowError, TypeError, RecursionError):
        return None
    return moment if moment == other else None


def _zone(name: str | None, offset: int | None) -> tzinfo | None:
    if name is None and offset is None:
        return None
    if offset is None:
        raise ValueError(f"the zone {name} is not known everywhere")
    return timezone(timedelta(seconds=offset))
