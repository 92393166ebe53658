"""Logs of runs: what each run and its blocks did, from the start of the run on. No HTTP."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from scout._json import parse_json

from .clock import monotonic
from .text import json_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .plan import Block

RUNNING, COMPLETED, FAILED = STATUSES = ("running", "completed", "failed")
"""The statuses of runs and of blocks."""

MOST_ENTRIES = 1_000
MOST_BYTES = 64 * 1024 * 1024
"""The limits of each list of the history of a server."""

_STOPPED = "The block was stopped, because the run ended."
_SIZE_OF_A_BLOCK = 1_000  # bytes, roughly: of the objects, without what grows with the workflow


@dataclass(frozen=True, slots=True)
class FailedTemplate:
    """The template that could not be rendered, because of which a block failed.

    Attributes:
        field: The place of the template in the settings of the block, such as `prompt_items[1].content`.
        line: The line in the template, from 1; `None` when it is not known.
        source: The template.
    """

    field: str
    line: int | None
    source: str


@dataclass(slots=True)
class LoggedBlock:
    """One block of a run, from its start on.

    Attributes:
        block_id: The id of the block.
        archetype: The archetype of the block.
        display_name: The name of the block, for people.
        started_at: The time when it started.
        ended_at: The time when it ended; `None` while it runs.
        elapsed: The seconds that it took; `None` while it runs.
        status: One of `STATUSES`.
        message: The reason when it failed; else empty.
        was_stopped: True when it failed only because the run ended.
        template: The template that failed it, if one did.
        price: The price of the block.
        inputs: The settings with all templates rendered, as JSON; `None` when none were rendered.
        has_entry: True when the state of the run has an entry of the block.
    """

    block_id: str
    archetype: str
    display_name: str
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended_at: datetime | None = None
    elapsed: float | None = None
    status: str = RUNNING
    message: str = ""
    was_stopped: bool = False
    template: FailedTemplate | None = field(default=None, repr=False)
    price: Decimal = Decimal(0)
    inputs: bytes | None = field(default=None, repr=False)
    has_entry: bool = False
    _began: float = field(default_factory=monotonic, repr=False)

    def end(self, message: str | None, price: Decimal = Decimal(0), *, has_entry: bool = False) -> None:
        """Note the end of the block. The message is the reason when it failed."""
        self.ended_at = datetime.now(UTC)
        self.elapsed = monotonic() - self._began
        self.status = COMPLETED if message is None else FAILED
        self.message = message or ""
        self.price = price
        self.has_entry = has_entry

    @property
    def seconds(self) -> float:
        """The seconds that it took, or has taken so far."""
        return monotonic() - self._began if self.elapsed is None else self.elapsed

    @property
    def reason(self) -> str:
        """The message without the id of the block."""
        return self.message.removeprefix(f'Block "{self.block_id}" failed: ')


@dataclass(slots=True, eq=False)
class LoggedRun:
    """One run, from its start on.

    While it runs, the state is that of the run itself. After its end, the state is in the body of the response.

    Attributes:
        run_id: The id of the run.
        session_id: The session of the run.
        workflow_id: The id of the workflow.
        revision_id: The revision of a stored workflow; `None` when the request held the workflow.
        workflow_key: The key of the workflow, if any.
        environment: The environment of the request.
        display_name: The name of the workflow, for people.
        output_block_id: The id of the output block, if any.
        sent: The inputs in the request, as JSON.
        started_at: The time when it started.
        ended_at: The time when it ended; `None` while it runs.
        elapsed: The seconds that it took; `None` while it runs.
        status: One of `STATUSES`.
        message: The reasons when it failed; else empty.
        was_cancelled: True when it failed because it was cancelled.
        blocks: The blocks that have started, by id, in the order in which they started.
        content: The body of the response to the run without streaming, as JSON; empty while it runs.
        size: The approximate size in memory, in bytes.
        number: The place of the run in the log: later runs have higher numbers.
    """

    run_id: str
    session_id: str
    workflow_id: str
    revision_id: str | None
    workflow_key: str | None
    environment: str
    display_name: str
    output_block_id: str | None
    sent: bytes = field(repr=False)
    live_state: Mapping[str, Any] | None = field(repr=False)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended_at: datetime | None = None
    elapsed: float | None = None
    status: str = RUNNING
    message: str = ""
    was_cancelled: bool = False
    blocks: dict[str, LoggedBlock] = field(default_factory=dict[str, LoggedBlock], repr=False)
    content: bytes = field(default=b"", repr=False)
    size: int = 0
    number: int = 0
    _logs: RunLogs | None = field(default=None, repr=False)
    _began: float = field(default_factory=monotonic, repr=False)

    def __post_init__(self) -> None:
        self._grow(len(self.sent) + _SIZE_OF_A_BLOCK)

    @property
    def state(self) -> Mapping[str, Any]:
        """The state of the run: so far, or at its end."""
        live = self.live_state  # read once, because the run may end meanwhile
        if live is not None:
            return live
        return cast("Mapping[str, Any]", parse_json(self.content)["run"]["state"])

    @property
    def seconds(self) -> float:
        """The seconds that it took, or has taken so far."""
        return monotonic() - self._began if self.elapsed is None else self.elapsed

    def block_started(self, block: Block) -> LoggedBlock:
        """Note the start of a block."""
        noted = LoggedBlock(block.id, block.archetype, block.definition["block_display_name"])
        self.blocks[block.id] = noted
        self._grow(_SIZE_OF_A_BLOCK)
        return noted

    def block_rendered(self, block: Block, settings: Mapping[str, Any]) -> None:
        """Note the settings of a block, rendered."""
        inputs = json_bytes(settings)
        self.blocks[block.id].inputs = inputs
        self._grow(len(inputs))

    def template_failed(self, block: Block, template: FailedTemplate) -> None:
        """Note the template of a block that cannot be rendered."""
        self.blocks[block.id].template = template
        self._grow(len(template.source))

    def end(self, content: bytes, errors: Sequence[str]) -> None:
        """Note the end of the run.

        Args:
            content: The body of the response to the run without streaming, as JSON.
            errors: The reasons when it failed.
        """
        for block in self.blocks.values():
            if block.status == RUNNING:
                block.was_stopped = True
                block.end(_STOPPED)
        self.content, self.live_state = content, None
        self.ended_at = datetime.now(UTC)
        self.elapsed = monotonic() - self._began
        self.message = "\n".join(errors)
        self.status = FAILED if errors else COMPLETED  # the last one, because another thread may look
        self._grow(len(content))

    def when_ended(self) -> float:
        """Return the time when it ended, in seconds on a clock that nobody sets."""
        return self._began + self.seconds

    def keep_in(self, logs: RunLogs) -> None:
        """Tell the log from now on how much the run grows."""
        self._logs = logs

    def _grow(self, by: int) -> None:
        self.size += by
        if self._logs is not None:
            self._logs.grow(self, by)


@dataclass(frozen=True, slots=True)
class LogFilters:
    """The filters of a list of runs of a workflow. `None` allows all.

    Attributes:
        workflow_id: The id of the workflow.
        since: The time from which on runs started.
        until: The time up to which runs started.
        status: One of `STATUSES`.
        session_id: The session.
        run_id: The id of the run.
        first: The `number` at which to begin; earlier runs follow.
    """

    workflow_id: str
    since: datetime | None = None
    until: datetime | None = None
    status: str | None = None
    session_id: str | None = None
    run_id: str | None = None
    first: int | None = None

    def fits(self, run: LoggedRun) -> bool:
        """Return True for a run of the list."""
        return (
            run.workflow_id == self.workflow_id
            and (self.since is None or run.started_at >= self.since)
            and (self.until is None or run.started_at <= self.until)
            and self.status in (None, run.status)
            and self.session_id in (None, run.session_id)
            and self.run_id in (None, run.run_id)
            and (self.first is None or run.number <= self.first)
        )


class RunLogs:
    """The newest runs of a server, from their start on, limited in number and size. Threads may share it.

    Attributes:
        changes: A number that grows when a run starts, ends or gets another block.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._runs: OrderedDict[str, LoggedRun] = OrderedDict()
        self._numbers = itertools.count(1)
        self._bytes = 0
        self.changes: int = 0

    def add(self, run: LoggedRun) -> None:
        """Add a run that starts."""
        with self._lock:
            run.number = next(self._numbers)
            run.keep_in(self)
            self._runs[run.run_id] = run
            self.grow(run, run.size)

    def grow(self, run: LoggedRun, by: int) -> None:
        """Count the bytes by which a run has grown, and drop the oldest runs when there are too many."""
        with self._lock:
            self.changes += 1
            if run.run_id not in self._runs:
                return
            self._bytes += by
            while len(self._runs) > MOST_ENTRIES or (self._bytes > MOST_BYTES and len(self._runs) > 1):
                _, oldest = self._runs.popitem(last=False)
                self._bytes -= oldest.size

    def get(self, run_id: str) -> LoggedRun | None:
        """Return a run; `None` when it is not kept any more."""
        with self._lock:
            return self._runs.get(run_id)

    def all(self) -> list[LoggedRun]:
        """Return the runs, oldest first."""
        with self._lock:
            return list(self._runs.values())

    def newest_first(self, filters: LogFilters) -> Iterator[LoggedRun]:
        """Yield the runs that fit, newest first. Runs that are added or dropped meanwhile do not matter."""
        return filter(filters.fits, reversed(self.all()))

    def ended(self) -> list[LoggedRun]:
        """Return the runs that have ended and were not cancelled, in the order in which they ended."""
        ended = [run for run in self.all() if run.status != RUNNING and not run.was_cancelled]
        return sorted(ended, key=LoggedRun.when_ended)


def as_json(run: LoggedRun, config: Mapping[str, Any] | None, *, summary: bool = False) -> bytes:
    """Return a run as the schema `RunLog` of the specification describes it.

    Args:
        run: The run.
        config: The config that was run; `None` when it is not known any more.
        summary: True to leave out the blocks and the output.
    """
    definitions = {definition["block_id"]: definition for definition in (config or {}).get("blocks") or ()}
    state: Mapping[str, Any] = {} if summary else run.state
    output_block = run.blocks.get(run.output_block_id or "")
    entry = None if output_block is None or summary else _entry(output_block, state)
    return json_bytes(
        {
            "workflow_display_name": run.display_name,
            "workflow_run_id": run.run_id,
            "workflow_id": run.workflow_id,
            "status": run.status,
            "session_id": run.session_id,
            "environment": run.environment,
            "revision_id": run.revision_id,
            "message": run.message,
            "cost": float(sum(block.price for block in run.blocks.values())),
            "blocks": {}
            if summary
            else {block.block_id: _block(block, state, definitions) for block in run.blocks.values()},
            "output": None if entry is None else entry.get("output"),
            "elapsed_time_ms": round(run.seconds * 1000),
            "timestamp_start": _time(run.started_at),
            "timestamp_end": _time(run.ended_at),
        }
    )


def _block(block: LoggedBlock, state: Mapping[str, Any], definitions: Mapping[str, Mapping[str, Any]]) -> Any:
    definition = definitions.get(block.block_id, {})
    return {
        "block_archetype_id": block.archetype,
        "block_type": block.archetype,
        "block_id": block.block_id,
        "block_display_name": block.display_name,
        "block_inputs": definition.get("block_inputs") or {} if block.inputs is None else parse_json(block.inputs),
        "block_output": _entry(block, state),
        "config": definition,
        "metadata": {},
        "status": block.status,
        "message": block.message,
        "elapsed_time_ms": round(block.seconds * 1000),
        "cost": float(block.price),
        "timestamp_start": _time(block.started_at),
        "timestamp_end": _time(block.ended_at),
    }


def _entry(block: LoggedBlock, state: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the entry of a block in the state. Before it has one, another may be there: `inputs` is always taken."""
    return state[block.block_id] if block.has_entry else None


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
