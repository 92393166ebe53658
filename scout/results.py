"""Results: a run, its blocks and their outputs; a stored workflow, and a page of them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import StrEnum
from itertools import pairwise
from typing import Any, cast

from ._json import shorten
from .errors import RunFailedError, RunOutputError

__all__ = ["BlockRun", "Run", "RunStatus", "StoredWorkflow", "WorkflowPage", "as_text", "output_of", "parse_timestamp"]

# How the wire says it, in `run.stop_reason` and in the names of the terminal events.
_WIRE_PREFIX = "workflow_run_"

_FENCE = re.compile(r"^[ \t]*```[^\n]*\n?", re.MULTILINE)


class RunStatus(StrEnum):
    """The status of a run, or of one block of it.

    Open: a status that this version does not know becomes a member of its own, equal to its text, so that a new value
    from the server never costs a finished run. Such a run is not `ok`.
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
    """One block's part in a run, as far as the events of a stream reported it.

    Attributes:
        id: The block's id in the workflow.
        archetype: What kind of block it is, such as `com.scoutos.llm`.
        status: How far it has come.
        started: When it began, as an aware `datetime`.
        ended: When it completed or failed.
        duration: Seconds between the two.
        price: What it cost, in the unit of the API's price list.
        error: Why it failed.
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
        """Seconds from start to end; `None` while either is unknown."""
        if self.started is None or self.ended is None:
            return None
        return (self.ended - self.started).total_seconds()


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a workflow.

    Two runs are equal when everything is equal that both a plain answer and a stream of events report: `blocks` (with
    their times and prices) and `raw` do not count.

    Attributes:
        id: The run's id.
        session_id: The session it belongs to.
        workflow_id: The workflow it was attributed to.
        status: How it ended, or `RunStatus.STARTED` while it goes on.
        state: Every block's entry by block id, `inputs`, and reserved keys that begin with `__`; any JSON.
        errors: What went wrong, in the server's words.
        output_block_id: Which block holds the answer: the one the server named, else the one marked `is_output` in the
            workflow, else its only leaf, else `None`.
        blocks: The blocks that the events of a stream reported, in the order in which they started; empty otherwise.
        raw: The body as received, parsed; `None` for a run that was streamed.
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
        """The output of each block, by block id.

        A block's entry in `state` is normally an object with the result under `output`; an entry of another form is
        the result itself. Reserved keys (`__...`) are left out.
        """
        return {key: output_of(entry) for key, entry in self.state.items() if not key.startswith("__")}

    @property
    def output(self) -> Any:
        """The output of the output block: text, or any JSON. `None` when there is no output block or no output."""
        if self.output_block_id is None:
            return None
        return output_of(self.state.get(self.output_block_id))

    @property
    def text(self) -> str:
        """`output` as text: text as it is, nothing as `""`, anything else as JSON."""
        return as_text(self.output)

    def json(self) -> Any:
        """`output` as JSON: an object as it is, text parsed, in a Markdown fence or without one.

        Raises:
            RunOutputError: the output is text that is not JSON.
        """
        output = self.output
        if not isinstance(output, str):
            return output
        for candidate in (output, *_fenced(output)):
            try:
                return json.loads(candidate)
            except (ValueError, RecursionError):
                continue
        shown = shorten(output, 80)
        raise RunOutputError(f"the output of block {self.output_block_id!r} is not JSON: {shown!r}", run=self)

    @property
    def price(self) -> float | None:
        """The sum of the prices of the blocks; `None` when no price is known."""
        prices = [block.price for block in self.blocks if block.price is not None]
        return sum(prices) if prices else None

    def raise_for_status(self) -> None:
        """Do nothing when the run completed.

        Raises:
            RunFailedError: it failed, has not ended, or ended in a way that this version does not know.
        """
        if self.ok:
            return
        why = "; ".join(self.errors) or "the server gave no reason"
        failed = [block.id for block in self.blocks if block.status == RunStatus.FAILED]
        where = f" in block {', '.join(map(repr, failed))}" if failed else ""
        raise RunFailedError(f"run {self.id} {self.status}{where}: {why}", run=self)


@dataclass(frozen=True, slots=True)
class StoredWorkflow:
    """A workflow that Scout stores, in one of its revisions. It can be run, saved and deployed as it is.

    Attributes:
        id: The workflow's id.
        key: The key that its author chose; `None` without one.
        revision_id: The revision that this is.
        is_draft: True for a state that is saved and not deployed; `None` when the server does not say.
        created_at: When the workflow was first stored, as an aware `datetime`; `None` when the server does not say.
        last_updated_at: When it was last changed, likewise.
        config: The config as received: every field, in its order.
        raw: The whole object as received, parsed.
    """

    id: str
    key: str | None
    revision_id: str
    is_draft: bool | None
    created_at: datetime | None
    last_updated_at: datetime | None
    config: dict[str, Any]
    raw: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class WorkflowPage:
    """One page of a list of stored workflows.

    Attributes:
        workflows: The workflows on it.
        next_cursor: The `start_at` that leads to the next page; `None` on the last.
        raw: The body as received, parsed.
    """

    workflows: list[StoredWorkflow]
    next_cursor: str | None
    raw: Any = field(default=None, compare=False, repr=False)


def _fenced(text: str) -> list[str]:
    """Return the text in Markdown fences: between each fence and the next, and, as it may hold fences, the last."""
    fences = list(_FENCE.finditer(text))
    inside = [text[here.end() : there.start()] for here, there in pairwise(fences)]
    return [*inside, text[fences[0].end() : fences[-1].start()]] if len(fences) > 2 else inside


def as_text(output: Any) -> str:
    """An output as text: text as it is, nothing as `""`, anything else as JSON."""
    if output is None:
        return ""
    return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)


def output_of(entry: Any) -> Any:
    """Return the output of a block from its entry in the state."""
    if isinstance(entry, dict):
        return cast("dict[str, Any]", entry).get("output", cast("Any", entry))
    return entry


def parse_timestamp(text: object) -> datetime | None:
    """Read a timestamp from the wire, leniently; `None` when nobody can, never an error.

    A timestamp without a zone is UTC, as the API says of its events.
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
    from dateutil import parser  # not needed for timestamps as they normally come, and slow to import

    if text.isdigit():
        return None
    days = datetime(2000, 1, 1), datetime(2001, 2, 2)
    try:
        # dateutil fills what the text does not say from the default; a text that says no whole day is no timestamp.
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
