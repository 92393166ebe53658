"""Results of calls: `Run` and its blocks, `StoredWorkflow`, and a page of stored workflows."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import StrEnum
from itertools import pairwise
from typing import Any, NoReturn, cast

import scout  # its names are imported when they are first used, which only `typing.get_type_hints` does here

from ._json import (
    NOT_JSON,
    is_decimal,
    is_dict,
    is_list,
    is_mapping,
    is_same,
    objects_in,
    parse_json,
    sentence,
    shorten,
    text_or_none,
    without_halves,
    write_json,
)
from .errors import ConfigurationError, RunFailedError, RunNotFinishedError, RunOutputError

__all__ = [
    "BlockRun",
    "Deployment",
    "EnvironmentDeployment",
    "Run",
    "RunRecord",
    "RunRecordPage",
    "RunStatus",
    "StoredWorkflow",
    "WorkflowEnvironment",
    "WorkflowPage",
    "as_number",
    "as_text",
    "definition_in",
    "dependencies_in",
    "output_of",
    "parse_timestamp",
    "run_as_html",
    "run_in_answer",
    "state_in_output",
    "with_ids",
    "with_meta",
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
    """The run of one block, as the events of a stream report it, or the `meta` of a plain response.

    A field that nothing reported is `None`. Only a stream reports times and errors.

    Attributes:
        id: The block's id in the workflow.
        archetype: The kind of block, such as `com.scoutos.llm`.
        status: The status of the block.
        started: The time when it began, as an aware `datetime`.
        ended: The time when it completed or failed, as an aware `datetime`.
        duration: The seconds from `started` to `ended`.
        price: The price, in the unit of the API's price list.
        error: The reason why it failed.
        first_token: The time when its first text arrived, as an aware `datetime`.
        model: The name of the language model that it called.
        input_tokens: The number of tokens that the model read.
        output_tokens: The number of tokens that the model wrote.
        dependencies: The ids of the blocks that it waits for.
    """

    id: str
    archetype: str | None = None
    status: RunStatus = RunStatus.STARTED
    started: datetime | None = None
    ended: datetime | None = None
    price: float | None = None
    error: str | None = None
    first_token: datetime | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    dependencies: tuple[str, ...] | None = None

    @property
    def duration(self) -> float | None:
        """The seconds from `started` to `ended`; `None` while either is unknown."""
        if self.started is None or self.ended is None:
            return None
        return (self.ended - self.started).total_seconds()

    def __repr__(self) -> str:
        facts = {"id": self.id, "status": str(self.status), "duration": self.duration, "price": self.price}
        return _one_line("BlockRun", {**facts, "model": self.model, "error": self.error})


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
        blocks: The blocks that the events of a stream reported, in the order in which they started. For a plain
            response, those for which its state holds `meta`, with model, tokens and price but without times: else none.
        raw: The parsed body of the response; `None` for a run that was streamed; the argument of `from_dict` for a run
            that it returned.
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
        """The sum of the prices of the blocks, else the one price that `raw` names, else `None`."""
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

    def timeline(self) -> scout.Timeline:
        """Return a picture of the blocks over time: a bar per block, and the blocks that the run waited for longest.

        A plain response tells no times. Stream the run to have them.
        """
        from .timeline import make_timeline

        return make_timeline(self.blocks, _headline(self))

    def to_dict(self, *, decimals: bool = False) -> dict[str, Any]:
        """Return the run as JSON, from which `from_dict` makes an equal one, with equal blocks.

        Times are texts in ISO 8601. `output`, `outputs`, `price` and the `duration` of a block are there for readers.
        `raw` is left out; its `state` is kept whole.

        Args:
            decimals: Keep a number that neither int nor float can hold as a `decimal.Decimal`, for a writer that can
                write it. By default it becomes text, because `json.dumps` cannot, and `decimals` in the result says
                where in the state.
        """
        state, places = _copied(self.state, keep_decimals=decimals)
        output = None if self.output_block_id is None else output_of(state.get(self.output_block_id))
        return {
            "id": self.id,
            "session_id": self.session_id,
            "workflow_id": self.workflow_id,
            "status": str(self.status),
            "output": output,
            "outputs": {key: output_of(entry) for key, entry in state.items() if not key.startswith("__")},
            "errors": list(self.errors),
            "price": self.price,
            "output_block_id": self.output_block_id,
            "blocks": [_block_to_dict(block) for block in self.blocks],
            "state": state,
            **({"decimals": places} if places else {}),
            "scout_run": _FORM,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Run:
        """Return the run that `to_dict` wrote, also after a way through JSON. Unknown keys are ignored.

        Args:
            data: The result of `to_dict`, or the body of a plain response of the API, such as `raw`.

        Raises:
            ConfigurationError: it is neither.
        """
        given: Any = data
        if not is_mapping(given):
            raise ConfigurationError(f"a saved run is an object, and this is {_kind(given)}")
        run = None if "state" in given else run_in_answer(given, None)
        return run if run is not None else _Saved(given).run()

    def __repr__(self) -> str:
        facts = {"id": self.id, "status": str(self.status), "output": self.output, "price": self.price}
        return _one_line("Run", {**facts, "errors": self.errors or None})

    def _repr_html_(self) -> str:
        return run_as_html(self)


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


@dataclass(frozen=True, slots=True)
class Deployment:
    """The result of `deploy`.

    Attributes:
        workflow_id: The id of the workflow.
        revision_id: The id of the revision with the deployed config.
        created: True when the workflow is new.
        workflow: The stored workflow.
        changed: True when something was stored or set; `False` when the same config was stored already, and ran in the
            environment, if one was given.
        environment: The name of the environment that runs this revision from now on; `None` when none was given.
        pinned: The names of the other environments that followed the newest revision, and were set to the one that they
            ran until then, so that this deployment did not change what they run.
    """

    workflow_id: str
    revision_id: str
    created: bool
    workflow: StoredWorkflow
    changed: bool = True
    environment: str | None = None
    pinned: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EnvironmentDeployment:
    """A deployment of an environment: the revision that it runs, for all requests or for a share of them.

    Attributes:
        revision_id: The id of the revision; `None` when it is always the newest one, or cannot be told.
        follows_latest: True when it is always the newest revision.
        traffic: The share of the requests that it gets, as the server says it, presumably in per cent; `None` when it
            says nothing.
        raw: The parsed object, with all fields of the response.
    """

    revision_id: str | None
    follows_latest: bool
    traffic: int | None = None
    raw: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class WorkflowEnvironment:
    """An environment of a stored workflow. Every workflow has three: development, staging and production.

    Attributes:
        id: The id of the environment.
        name: The name, such as `production`.
        description: What it is for; empty when nothing is told.
        deployments: The revisions that it runs. Usually this is one; several share the requests.
        created_at: The time when it was made, as an aware `datetime`; `None` when it is not known.
        last_updated_at: The time of the last change, as an aware `datetime`; `None` when it is not known.
        raw: The parsed object, with all fields of the response.
    """

    id: str
    name: str
    description: str
    deployments: tuple[EnvironmentDeployment, ...]
    created_at: datetime | None = None
    last_updated_at: datetime | None = None
    raw: Any = field(default=None, compare=False, repr=False)

    @property
    def revision_id(self) -> str | None:
        """The only revision that it runs; `None` when it follows the newest, runs several, or runs none."""
        return self.deployments[0].revision_id if len(self.deployments) == 1 else None

    @property
    def follows_latest(self) -> bool:
        """True when a new revision of the workflow runs there at once, for all requests or for some."""
        return any(each.follows_latest for each in self.deployments)

    def running(self, newest: str | None) -> str | None:
        """Return the only revision that it runs; `None` when it runs several or none, or this is not known.

        Args:
            newest: The newest revision of the workflow that is deployed; `None` when it is not known.
        """
        return newest if self.follows_latest and len(self.deployments) == 1 else self.revision_id

    @property
    def is_pinned(self) -> bool:
        """True when it is certain that a new revision of the workflow changes nothing there."""
        return all(each.revision_id is not None for each in self.deployments)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The log of one run of a stored workflow, as the server keeps it.

    `id`, `session_id`, `workflow_id` and `status` are those of `run`.

    Attributes:
        run: The run, with its blocks, their times and prices, as far as the log tells them.
        cost: What the run cost, in the unit of the API's price list; `None` when it is not known.
        environment: The name of the environment that it ran in; `None` when it is not known.
        revision_id: The id of the revision that was run; `None` when it is not known.
        message: The reason why it failed; empty when the log says nothing.
        workflow_name: The display name of the workflow; `None` when it is not known.
        started: The time when the run began, as an aware `datetime`; `None` when it is not known.
        ended: The time when it ended, as an aware `datetime`; `None` for a run that goes on, or when it is not known.
        duration: The seconds from its beginning to its end; `None` when it is not known.
        raw: The parsed object, with all fields of the response.
    """

    run: Run
    cost: float | None = None
    environment: str | None = None
    revision_id: str | None = None
    message: str = ""
    workflow_name: str | None = None
    started: datetime | None = None
    ended: datetime | None = None
    duration: float | None = None
    raw: Any = field(default=None, compare=False, repr=False)

    @property
    def id(self) -> str | None:
        """The id of the run."""
        return self.run.id

    @property
    def session_id(self) -> str | None:
        """The session of the run."""
        return self.run.session_id

    @property
    def workflow_id(self) -> str | None:
        """The workflow that was run."""
        return self.run.workflow_id

    @property
    def status(self) -> RunStatus:
        """The status of the run: `RunStatus.STARTED` while it goes on, which the log calls `running`."""
        return self.run.status

    def __repr__(self) -> str:
        facts = {"id": self.id, "status": str(self.status), "started": self.started, "cost": self.cost}
        return _one_line("RunRecord", {**facts, "environment": self.environment, "message": self.message or None})


@dataclass(frozen=True, slots=True)
class RunRecordPage:
    """One page of the run logs of a workflow.

    Attributes:
        records: The runs of the page.
        next_cursor: The `cursor` of the next page; `None` on the last.
        raw: The parsed last row of the page.
    """

    records: list[RunRecord]
    next_cursor: str | None
    raw: Any = field(default=None, compare=False, repr=False)


# --- Runs in answers ----------------------------------------------------------------------------------------------


def run_in_answer(data: Mapping[str, Any], config: Mapping[str, Any] | None, marked: str | None = None) -> Run | None:
    """Return the run in the parsed body of a plain response; `None` when there is none that says how it ended.

    Args:
        data: The body.
        config: The config that was sent; `None` when it is not known.
        marked: The output block, where the body does not name it.

    Raises:
        ConfigurationError: its `state` is not an object.
    """
    found = data.get("run")
    status = found.get("stop_reason") if is_mapping(found) else None
    if not is_mapping(found) or not isinstance(status, str):
        return None
    state = found.get("state")
    if state is not None and not is_mapping(state):
        raise ConfigurationError(f"its run.state is {_kind(state)} where an object belongs")
    problems = found.get("errors")
    state = dict(state or {})
    return Run(
        id=text_or_none(found.get("workflow_run_id")),
        session_id=text_or_none(found.get("session_id")),
        workflow_id=text_or_none(data.get("workflow_id")),
        status=RunStatus(status),
        state=state,
        errors=[sentence(each) for each in (problems if is_list(problems) else [problems] if problems else [])],
        output_block_id=text_or_none(data.get("output_block_id")) or marked,
        blocks=_blocks_in_state(state, config or {}),
        raw=data,
    )


def with_ids(run: Run, workflow_id: str | None, session_id: str | None) -> Run:
    """Return a run with the ids that were sent, where the answer does not tell them."""
    if (run.workflow_id is None and workflow_id is not None) or (run.session_id is None and session_id is not None):
        return replace(run, workflow_id=run.workflow_id or workflow_id, session_id=run.session_id or session_id)
    return run


def _blocks_in_state(state: Mapping[str, Any], config: Mapping[str, Any]) -> list[BlockRun]:
    """Return the blocks of which a plain response tells more than the output: those with `meta`.

    One with an output has completed. Of the others nothing says how they ended.

    Args:
        state: The state of the run.
        config: The config of the workflow, as far as it is known.
    """
    blocks: list[BlockRun] = []
    for block_id, entry in state.items():
        if is_dict(entry) and is_dict(entry.get("meta")) and not block_id.startswith("__"):
            definition = definition_in(config, block_id)
            block = BlockRun(
                block_id,
                text_or_none(definition.get("block_archetype_id")),
                RunStatus.COMPLETED if entry.get("output") is not None else RunStatus.STARTED,
                dependencies=dependencies_in(definition),
            )
            blocks.append(with_meta(block, entry))
    return blocks


def with_meta(block: BlockRun, entry: Any) -> BlockRun:
    """Return a block with what the `meta` of its entry in the state says; unchanged where that says nothing."""
    meta = entry.get("meta") if is_dict(entry) else None
    if not is_dict(meta):
        return block
    price = block.price if block.price is not None else as_number(meta.get("cost"))
    tokens = _count(meta.get("input_tokens")), _count(meta.get("output_tokens"))
    return replace(
        block, price=price, model=text_or_none(meta.get("model")), input_tokens=tokens[0], output_tokens=tokens[1]
    )


def definition_in(config: Mapping[str, Any], block_id: str) -> Mapping[str, Any]:
    """Return the definition of a block in a config, which may hold anything; empty when it has none."""
    none: Mapping[str, Any] = {}
    return next((block for block in objects_in(config.get("blocks")) if block.get("block_id") == block_id), none)


def dependencies_in(definition: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the ids of the blocks that a block waits for; `None` when its definition does not say."""
    if "block_id" not in definition and "dependencies" not in definition:
        return None
    needs = (edge.get("block_id") for edge in objects_in(definition.get("dependencies")))
    return tuple(need for need in needs if isinstance(need, str))


def _count(value: Any) -> int | None:
    """Return a count that a server reports; `None` for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


# --- Saved runs ---------------------------------------------------------------------------------------------------

_FORM = 1
"""The form of saved runs, in `scout_run`. It changes when an older version could not read a newer one."""

_TIMES = ("started", "ended", "first_token")


def _block_to_dict(block: BlockRun) -> dict[str, Any]:
    times = {name: moment.isoformat() if (moment := getattr(block, name)) else None for name in _TIMES}
    return {
        "id": block.id,
        "archetype": block.archetype,
        "status": str(block.status),
        "started": times["started"],
        "ended": times["ended"],
        "duration": block.duration,
        "price": block.price,
        "error": block.error,
        "first_token": times["first_token"],
        "model": block.model,
        "input_tokens": block.input_tokens,
        "output_tokens": block.output_tokens,
        "dependencies": None if block.dependencies is None else list(block.dependencies),
    }


def _copied(state: Mapping[str, Any], *, keep_decimals: bool) -> tuple[dict[str, Any], list[list[str | int]]]:
    """Return a copy of a state, and the places where a Decimal became text."""
    top: dict[str, Any] = {}
    places: list[list[str | int]] = []
    # Without recursion, because JSON may be nested deeper than Python's limit.
    work: list[tuple[Any, Any, list[str | int]]] = [(state, top, [])]
    while work:
        source, copy, place = work.pop()
        pairs: Any = source.items() if is_mapping(source) else enumerate(source)
        for key, value in pairs:
            copy[key] = value
            if is_mapping(value) or is_list(value):
                copy[key] = {} if is_mapping(value) else [None] * len(value)
                work.append((value, copy[key], [*place, key]))
            elif is_decimal(value) and not keep_decimals:
                copy[key] = str(value)
                places.append([*place, key])
    return top, places


class _Saved:
    """A run as `Run.to_dict` writes it, read with care: the file may come from anywhere."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data

    def run(self) -> Run:
        data = self._data
        if not isinstance(data.get("status"), str) or "state" not in data:
            self._refuse("it has no status and state")
        state, errors = data["state"], data.get("errors", [])
        if not is_mapping(state):
            self._refuse(f"state is {_kind(state)} where an object belongs")
        if not is_list(errors) or not all(isinstance(each, str) for each in errors):
            self._refuse("errors is not a list of texts")
        blocks: Any = data.get("blocks", [])
        if not is_list(blocks):
            self._refuse(f"blocks is {_kind(blocks)} where a list belongs")
        return Run(
            **{name: self._text(data, name, "") for name in ("id", "session_id", "workflow_id", "output_block_id")},
            status=RunStatus(data["status"]),
            state=self._state(state),
            errors=list(errors),
            blocks=[self._block(block, f"blocks[{number}]") for number, block in enumerate(blocks)],
            raw=data,
        )

    def _state(self, saved: Mapping[str, Any]) -> dict[str, Any]:
        from decimal import Decimal, InvalidOperation

        state, _ = _copied(saved, keep_decimals=True)
        places: Any = self._data.get("decimals", [])
        try:
            for *path, last in places:
                part: Any = state
                for key in path:
                    part = part[key]
                part[last] = Decimal(part[last])
        except (TypeError, ValueError, LookupError, InvalidOperation):
            self._refuse("decimals does not say where in the state there are numbers")
        return state

    def _block(self, block: Any, place: str) -> BlockRun:
        if not is_mapping(block) or not isinstance(block.get("id"), str):
            self._refuse(f"{place} is not a block with an id")
        needs = block.get("dependencies")
        if needs is not None and not (is_list(needs) and all(isinstance(need, str) for need in needs)):
            self._refuse(f"{place}.dependencies is not a list of texts")
        given = block.get("price")
        price = None if isinstance(given, str) else as_number(given)
        if price is None and given is not None:
            self._refuse(f"{place}.price is {_kind(given)} where a number of the size of a float belongs")
        texts = {name: self._text(block, name, f"{place}.") for name in ("archetype", "error", "model", "status")}
        started, ended, first_token = (self._time(block, name, f"{place}.") for name in _TIMES)
        return BlockRun(
            block["id"],
            texts["archetype"],
            RunStatus(texts["status"] or RunStatus.STARTED),
            started,
            ended,
            price,
            texts["error"],
            first_token,
            texts["model"],
            self._count(block, "input_tokens", place),
            self._count(block, "output_tokens", place),
            None if needs is None else tuple(needs),
        )

    def _count(self, block: Mapping[str, Any], name: str, place: str) -> int | None:
        value = block.get(name)
        if value is not None and _count(value) is None:
            self._refuse(f"{place}.{name} is not a count")
        return _count(value)

    def _text(self, part: Mapping[str, Any], name: str, place: str) -> str | None:
        value = part.get(name)
        if not isinstance(value, str | None):
            self._refuse(f"{place}{name} is {_kind(value)} where text belongs")
        return value

    def _time(self, block: Mapping[str, Any], name: str, place: str) -> datetime | None:
        value = self._text(block, name, place)
        moment = parse_timestamp(value)
        if moment is None and value is not None:
            self._refuse(f"{place}{name} is not a time: {shorten(value, 40)!r}")
        return moment

    def _refuse(self, reason: str) -> NoReturn:
        raise ConfigurationError(f"this is neither a saved run nor an answer of the API: {reason}")


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__


# --- Runs as text and HTML ----------------------------------------------------------------------------------------

_LONGEST_IN_A_REPR = 60


def _one_line(name: str, facts: Mapping[str, Any]) -> str:
    """Return the repr of a result: the facts that are known, each cut to a few characters."""
    known = {key: value for key, value in facts.items() if value is not None}
    return f"{name}({', '.join(f'{key}={_brief(value)}' for key, value in known.items())})"


def _brief(value: Any) -> str:
    if isinstance(value, str):
        return repr(shorten(value, _LONGEST_IN_A_REPR))
    try:
        return shorten(repr(value), _LONGEST_IN_A_REPR)
    except (RecursionError, ValueError):  # nested too deeply, or an int of more digits than Python writes
        return "..."


def run_as_html(run: Run) -> str:
    """Return a run as a piece of HTML for a notebook."""
    from .timeline import html_summary

    return html_summary(_headline(run), run.text if run.ok else "\n".join(run.errors) or run.text, run.blocks)


def _headline(run: Run) -> str:
    from .timeline import headline

    return headline(run.id, run.status, run.price)


# --- Outputs and times --------------------------------------------------------------------------------------------


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


def state_in_output(
    output: Any, block_id: str | None, entry: Any, known: Collection[str]
) -> tuple[str | None, Mapping[str, Any]]:
    """Return what the `output` of a run that has completed says: the output block, and entries of the state.

    Not documented: `output` may be the whole state, or the output of the output block.

    Args:
        output: Any JSON.
        block_id: The output block; `None` when it is not known.
        entry: The entry of this block in the state so far.
        known: The keys that the state may have.
    """
    if is_mapping(output) and any(key.startswith("__") for key in output):
        return block_id, output
    if not output or output in (entry, output_of(entry)):
        return block_id, {}
    is_entry = is_mapping(output) and "output" in output
    is_state = is_mapping(output) and all(key in known for key in output)
    if block_id is None and is_mapping(output) and not is_entry:  # nothing says which blocks there are
        is_state = is_state or all(map(is_mapping, output.values()))
    if is_state:
        return block_id, output
    block_id = block_id or _UNNAMED
    return block_id, {block_id: dict(output) if is_entry else {"output": output}}


_UNNAMED = "output"
"""The id in a run of the block that gave the output, when nothing names it."""


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
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _price_of(raw: Any) -> float | None:
    if not is_dict(raw):
        return None
    data = raw.get("data")
    for price in (data.get("price") if is_dict(data) else None, raw.get("price"), raw.get("cost")):
        if price is not None and (number := as_number(price)) is not None:
            return number
    return None


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
