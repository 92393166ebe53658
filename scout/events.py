"""Typed events of a stream, and the accumulator that builds a `Run` from them. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from scout_generated.models.block_run_completed import BlockRunCompleted
from scout_generated.models.block_run_failed import BlockRunFailed
from scout_generated.models.block_run_started import BlockRunStarted
from scout_generated.models.block_state_updated import BlockStateUpdated
from scout_generated.models.json_object import JsonObject
from scout_generated.models.workflow_run_completed import WorkflowRunCompleted
from scout_generated.models.workflow_run_failed import WorkflowRunFailed
from scout_generated.models.workflow_run_started import WorkflowRunStarted

from ._json import NOT_JSON, is_dict, is_mapping, is_unicode, parse_json, text_or_none, whole_text, without_halves
from ._retry import foreign
from ._sse import ServerSentEvent
from .results import (
    BlockRun,
    Run,
    RunStatus,
    as_number,
    as_text,
    definition_in,
    dependencies_in,
    output_of,
    parse_timestamp,
    state_in_output,
    with_meta,
)
from .workflow_files import LoadedWorkflow

__all__ = [
    "Accumulator",
    "BlockRunCompleted",
    "BlockRunFailed",
    "BlockRunStarted",
    "BlockStateUpdated",
    "Event",
    "UnknownEvent",
    "WorkflowRunCompleted",
    "WorkflowRunFailed",
    "WorkflowRunStarted",
    "decode",
    "event_in_answer",
]


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """An event with an unknown name, or with content that does not fit its name.

    Attributes:
        name: The name of the event.
        data: The whole event: any JSON, or the text of an event of an unknown kind that is not JSON, such as a ping.
        problem: The reason why the content does not fit; `None` when the name is unknown.
    """

    name: str
    data: Any
    problem: str | None = None


Event: TypeAlias = (
    WorkflowRunStarted
    | WorkflowRunCompleted
    | WorkflowRunFailed
    | BlockRunStarted
    | BlockRunCompleted
    | BlockRunFailed
    | BlockStateUpdated
    | UnknownEvent
)
"""Any event of a stream. All but `UnknownEvent` are classes of `scout_generated`."""

_CLASSES: dict[str, Any] = {
    "workflow_run_started": WorkflowRunStarted,
    "workflow_run_completed": WorkflowRunCompleted,
    "workflow_run_failed": WorkflowRunFailed,
    "block_run_started": BlockRunStarted,
    "block_run_completed": BlockRunCompleted,
    "block_run_failed": BlockRunFailed,
    "block_state_updated": BlockStateUpdated,
}

_JSON_KINDS = frozenset({*_CLASSES, "message"})  # the last is the kind of a frame that names none


def decode(frame: ServerSentEvent) -> Event:
    """Return the typed event of a frame of a stream.

    Raises:
        ValueError: its data is not JSON, although its kind is known or not given.
        RecursionError: its data is nested too deeply, although its kind is known or not given.
    """
    data = frame.data
    try:
        text = data.decode()  # decoded here: parse_json would guess the encoding
        payload = parse_json(text)
        if "\\" in text:
            payload = _whole(payload, text)
    except NOT_JSON:
        if frame.event in _JSON_KINDS:
            raise
        return UnknownEvent(frame.event, data.decode("utf-8", "replace"))
    return typed(payload, frame.event)


def _whole(payload: Any, text: str) -> Any:
    """As `without_halves`, but leave the texts of an update as they came: the other half may be in the next one."""
    data = payload.get("data") if is_dict(payload) else None
    update = data.get("update_data") if is_dict(data) else None
    if not is_dict(update):
        return without_halves(payload, text)
    pieces = {whole_text(key): value for key, value in update.items() if isinstance(value, str)}
    payload = without_halves(payload, text)
    update.update(pieces)
    return payload


def event_in_answer(answer: dict[str, Any]) -> Event | None:
    """Return the event that is the whole answer; `None` when the answer is not one, or one that cannot be read."""
    event = typed(answer) if not is_dict(answer.get("run")) else None
    return None if isinstance(event, UnknownEvent) else event


def typed(payload: Any, kind: str = "message") -> Event:
    """Return the typed event. Its class follows from `name`, else the frame's field `event`, else `event_type`."""
    if not is_dict(payload):
        return UnknownEvent(kind, payload, f"an event is an object, and this is {type(payload).__name__}")
    name = payload.get("name")
    if name is None:
        name = kind if kind != "message" else payload.get("event_type", kind)
    known = _CLASSES.get(name) if isinstance(name, str) else None
    if known is None:
        return UnknownEvent(str(name), payload)
    data = payload.get("data")
    if not is_dict(data):  # the generated classes would accept a list of pairs as an object
        return UnknownEvent(str(name), payload, f"'data' is {type(data).__name__} where an object belongs")
    if known is BlockStateUpdated and not is_dict(data.get("update_data")):
        return UnknownEvent(str(name), payload, "'update_data' is missing, or no object")
    try:
        event: Event = known.from_dict(payload if payload.get("name") is not None else {**payload, "name": name})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if foreign(error) is not None:
            raise
        is_missing = isinstance(error, KeyError)
        problem = f"{error.args[0]!r} is missing" if is_missing else str(error) or type(error).__name__
        return UnknownEvent(str(name), payload, problem)
    return event


_MARKS = 256


class _GrowingText:
    """Text that grows by pieces. Adding to a str copies it each time, and io.StringIO keeps each piece as an object.

    A server that counts in UTF-16 may cut a piece between the two halves of a surrogate pair. The first half is not
    part of the text until the other one has come, or the text has ended.
    """

    __slots__ = ("_half", "_joined", "_pieces")

    def __init__(self, start: str) -> None:
        self._joined = [start]
        self._pieces: list[str] = []
        self._half = ""

    def add(self, piece: str) -> str:
        """Add a piece, and return what the text has grown by."""
        if self._half or not piece.isascii():
            piece = self._half + piece
            self._half = piece[-1] if "\ud800" <= piece[-1] <= "\udbff" else ""
            piece = whole_text(piece.removesuffix(self._half))
        self._pieces.append(piece)
        if len(self._pieces) == 512:
            self._joined.append("".join(self._pieces))
            self._pieces.clear()
        return piece

    def end(self) -> None:
        """End the text: a half that still waits is alone."""
        if self._half:
            self._pieces.append(whole_text(self._half))
            self._half = ""

    def __str__(self) -> str:
        return "".join([*self._joined, *self._pieces])


class Accumulator:
    """Builds a `Run` from the events of one run, event by event. Unknown events change nothing."""

    def __init__(self, workflow: LoadedWorkflow | None) -> None:
        output_block_id = workflow.output_block_id if workflow else None
        self._run = Run(None, None, None, RunStatus.STARTED, output_block_id=output_block_id)
        self._state: dict[str, Any] = {}
        self._known = {"inputs", *(workflow.block_ids if workflow else ())}
        self._running: dict[str, None] = {}
        self._growing: dict[str, dict[str, _GrowingText]] = {}  # by block and key
        self._blocks: dict[str, BlockRun] = {}
        self._config: Mapping[str, Any] = workflow.config if workflow else {}
        # Hashes of the last events by event id: between one and two times _MARKS of them, because a stream may be long.
        self._marks: dict[str, int] = {}
        self._older_marks: dict[str, int] = {}
        self._ids_are_unique = True
        self.is_over: bool = False  # True once a terminal event has been received

    def output_text(self, block_id: str) -> str:
        """Return the output of a block so far, as text."""
        return as_text(output_of(self._entry(block_id)))

    @property
    def status(self) -> RunStatus:
        """The status of the run."""
        return self._run.status

    @property
    def output_block_id(self) -> str | None:
        """The block whose output is that of the run; `None` while it is not known."""
        return self._run.output_block_id

    def run(self) -> Run:
        """Return the run so far."""
        state = {block_id: self._entry(block_id) for block_id in {**self._state, **self._growing}}
        blocks = [with_meta(block, state.get(block.id)) for block in self._blocks.values()]
        return replace(self._run, state=state, blocks=blocks)

    def finish(self, run: Run) -> None:
        """Set a whole run, which was sent instead of events."""
        self._run = run
        self._state = run.state
        self._blocks = {block.id: block for block in run.blocks}
        self.is_over = True

    def add_only(self, event: Event, answer: dict[str, Any]) -> tuple[str, str] | None:
        """Add an event that is the whole answer: none follows, whatever it says. As `add`."""
        self._run = replace(self._run, raw=answer)
        added = self.add(event, b"")
        self.is_over = True
        return added

    def add(self, event: Event, frame: bytes) -> tuple[str, str] | None:
        """Add one event.

        Args:
            event: The event.
            frame: The data of its frame, to recognize an event that was sent twice.

        Returns:
            The id of the block to whose output the event added text, and that text; `None` when it added none.
        """
        if isinstance(event, UnknownEvent) or self.is_over or self._is_repeated(event, frame):
            return None
        if isinstance(event, BlockStateUpdated):
            if self._run.id is None:
                self._note_ids(event.data)
            return self._block_updated(event)
        self._note_ids(event.data)
        if isinstance(event, WorkflowRunCompleted | WorkflowRunFailed):
            for text in [text for growing in self._growing.values() for text in growing.values()]:
                text.end()
        match event:
            case WorkflowRunStarted():
                self._run_started(event)
            case WorkflowRunCompleted():
                self._run_completed(event)
            case WorkflowRunFailed():
                self._run_failed(event)
            case _:
                return self._block_changed(event)
        return None

    def _is_repeated(self, event: Any, frame: bytes) -> bool:
        if not isinstance(event.id, str):
            return False  # two equal events without ids are two pieces of text
        mark = hash(frame)
        before = self._marks.get(event.id, self._older_marks.get(event.id))
        if before is not None and before != mark:
            self._ids_are_unique = False  # this server uses one id for several events
        if before == mark:
            return self._ids_are_unique
        self._marks[event.id] = mark
        if len(self._marks) == _MARKS:
            self._marks, self._older_marks = {}, self._marks
        return False

    def _note_ids(self, data: Any) -> None:
        run = self._run
        known = run.id, run.session_id, run.workflow_id
        if None not in known:
            return
        run_id = run.id or text_or_none(data.workflow_run_id)
        session_id = run.session_id or text_or_none(getattr(data, "session_id", None))
        workflow_id = run.workflow_id or text_or_none(data.workflow_id)
        if (run_id, session_id, workflow_id) != known:  # any of them may be missing in every event
            self._run = replace(run, id=run_id, session_id=session_id, workflow_id=workflow_id)

    # --- The run ---

    def _run_started(self, event: WorkflowRunStarted) -> None:
        self._state.update(_object(event.data.state))
        if isinstance(event.data.inputs, JsonObject):
            self._state.setdefault("inputs", _object(event.data.inputs))
        self._note_config(event.data)

    def _note_config(self, data: Any) -> None:
        config = LoadedWorkflow(_object(data.workflow_config))
        self._config = self._config or config.config
        self._known.update(config.block_ids)
        if self._run.output_block_id is None:
            self._run = replace(self._run, output_block_id=config.output_block_id)

    def _run_completed(self, event: WorkflowRunCompleted) -> None:
        self._note_config(event.data)
        output: Any = event.data.output
        output = _object(output) if isinstance(output, JsonObject) else output
        block_id = self._run.output_block_id
        entry = self._entry(block_id) if block_id is not None else None
        known = self._known.union(self._blocks, self._state, self._growing)
        block_id, state = state_in_output(output, block_id, entry, known)
        self._merge_state(state)
        self._run = replace(self._run, status=RunStatus.COMPLETED, output_block_id=block_id)
        self.is_over = True

    def _merge_state(self, state: Mapping[str, Any]) -> None:
        for block_id in state:
            self._growing.pop(block_id, None)
        self._state.update(state)

    def _run_failed(self, event: WorkflowRunFailed) -> None:
        # As in a plain response, the state of a failed run does not hold the output of blocks that had not completed.
        for block_id in {**self._running, **self._growing}:
            block = self._blocks.get(block_id)
            if block is None or block.status != RunStatus.COMPLETED:
                self._growing.pop(block_id, None)
                self._state.pop(block_id, None)
        message = text_or_none(event.data.message)
        self._run = replace(self._run, status=RunStatus.FAILED, errors=[message] if message else [])
        self.is_over = True

    # --- Its blocks ---

    def _block_changed(self, event: BlockRunStarted | BlockRunCompleted | BlockRunFailed) -> tuple[str, str] | None:
        block_id = self._block_id(event.data)
        if block_id is None:
            return None
        config = _object(event.data.config)
        block = self._blocks.get(block_id, BlockRun(block_id))
        archetype = (
            text_or_none(event.data.block_type) or text_or_none(config.get("block_archetype_id")) or block.archetype
        )
        found = (dependencies_in(each) for each in (config, definition_in(self._config, block_id)))
        needs = next((each for each in found if each is not None), block.dependencies)
        moment = parse_timestamp(event.timestamp)
        if isinstance(event, BlockRunStarted):
            self._blocks[block_id] = BlockRun(block_id, archetype, started=moment, dependencies=needs)
            self._running[block_id] = None
            return None
        self._running.pop(block_id, None)
        added = None
        entry = _object(event.data.state)
        if entry:
            before = self._output_text(block_id)
            self._replace(block_id, entry)
            added = self._added(block_id, before)
        status, error, price = RunStatus.COMPLETED, None, None
        if isinstance(event, BlockRunFailed):
            status, error = RunStatus.FAILED, text_or_none(event.data.message)
        else:
            price = as_number(event.data.price)
        if price is None:
            price = as_number(event.price)
        self._blocks[block_id] = replace(
            block, archetype=archetype, status=status, ended=moment, price=price, error=error, dependencies=needs
        )
        return added

    def _block_updated(self, event: BlockStateUpdated) -> tuple[str, str] | None:
        block_id = self._block_id(event.data)
        if block_id is None:
            return None
        update = event.data.update_data.additional_properties
        if event.data.update_type == "complete":
            before = self._output_text(block_id)
            halved = {key: value for key, value in update.items() if isinstance(value, str) and not is_unicode(value)}
            self._replace(block_id, {**update, **dict.fromkeys(halved, "")})
            for key, value in halved.items():
                self._merge(block_id, key, value, event)
            if self._output_text(block_id):
                self._note_first_text(block_id, event)
            return self._added(block_id, before)
        added = ""
        for key, value in update.items():
            shown = self._merge(block_id, key, value, event)
            if key == "output":
                added = shown
        return (block_id, added) if added else None

    def _block_id(self, data: Any) -> str | None:
        """Return the id of an event's block: the one that it names, else the only one that is running."""
        if isinstance(data.block_id, str):
            return data.block_id
        named = _object(getattr(data, "config", None)).get("block_id")
        if isinstance(named, str):
            return named
        return next(iter(self._running)) if len(self._running) == 1 else None

    def _replace(self, block_id: str, entry: dict[str, Any]) -> None:
        self._growing.pop(block_id, None)
        self._state[block_id] = entry

    def _merge(self, block_id: str, key: str, value: Any, event: BlockStateUpdated) -> str:
        """Add a piece of text to that of a key, or replace another value. Return what the text has grown by."""
        growing = self._growing.get(block_id)
        if growing is None:
            growing = self._growing[block_id] = {}
        if isinstance(value, str):
            text = growing.get(key)
            if text is not None:
                return text.add(value)
            before = self._fixed(block_id).get(key)
            before = before if isinstance(before, str) else ""
            if value:
                if key == "output":
                    self._note_first_text(block_id, event)
                text = growing[key] = _GrowingText(before)
                return text.add(value)
            value = before  # no text yet: the next piece is the first
        growing.pop(key, None)
        entry: Any = self._state.get(block_id)
        if not is_dict(entry):
            entry = self._state[block_id] = {}
        entry[key] = value
        return ""

    def _note_first_text(self, block_id: str, event: BlockStateUpdated) -> None:
        block = self._blocks.get(block_id)
        if block is not None and block.first_token is None:
            self._blocks[block_id] = replace(block, first_token=parse_timestamp(event.timestamp))

    def _fixed(self, block_id: str) -> Mapping[str, Any]:
        entry = self._state.get(block_id)
        return entry if is_mapping(entry) else {}

    def _entry(self, block_id: str) -> Any:
        growing = self._growing.get(block_id)
        if not growing:
            entry = self._state.get(block_id)
            return dict(entry) if is_mapping(entry) else entry  # a copy, so that later events do not change it
        return {**self._fixed(block_id), **{key: str(text) for key, text in growing.items()}}

    def _output_text(self, block_id: str) -> str:
        growing = self._growing.get(block_id, {}).get("output")
        output = str(growing) if growing is not None else self._fixed(block_id).get("output")
        return output if isinstance(output, str) else ""

    def _added(self, block_id: str, before: str) -> tuple[str, str] | None:
        """Return the text that follows `before` in the output; `None` when the output does not begin with `before`."""
        after = self._output_text(block_id)
        added = after[len(before) :] if after.startswith(before) else ""
        return (block_id, added) if added else None


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, JsonObject):
        return dict(value.additional_properties)
    return dict(value) if is_mapping(value) else {}
