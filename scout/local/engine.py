"""Engine that runs workflows: from a request to events and a result. No HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from scout._json import is_dict, is_list, is_too_deep, parse_json, shorten, whole_text, write_json

from .blocks import BlockContext, BlockFailedError, Handler, call_handler, price_of, resolve_inputs, takes_inputs
from .plan import Block, Plan, make_plan
from .run_logs import FailedTemplate, LoggedRun
from .stubs import Stubs
from .templates import TemplateFailedError
from .text import json_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Mapping

    from .renderer import Renderer

EventData = dict[str, Any]
"""One event, as sent to the client."""

RUN_STARTED = "workflow_run_started"
RUN_COMPLETED = "workflow_run_completed"
RUN_FAILED = "workflow_run_failed"
BLOCK_STARTED = "block_run_started"
BLOCK_COMPLETED = "block_run_completed"
BLOCK_FAILED = "block_run_failed"
BLOCK_UPDATED = "block_state_updated"

CANCELLED = (
    "The run was cancelled before it had ended: the client went away, the server was closed, or a fault broke the"
    " answer off."
)
"""The message of a run that was cancelled."""

ORGANIZATION_ID = "org_local"
_GLOBALS = "__exp_global"

_MOST_TEXT_OF_A_BLOCK = 4 * 1024 * 1024
_MOST_TEXT_OF_A_RUN = 64 * 1024 * 1024
_MOST_THREADS_OF_A_RUN = 100
_STOP_SECONDS = 0.5  # for a handler that delays or ignores its cancellation


@dataclass(frozen=True, slots=True)
class RunRequest:
    """The request of a run.

    Attributes:
        workflow_config: The workflow, already checked against the schema.
        inputs: The inputs of the run.
        workflow_key: The key of the workflow to which the run is attributed, if any.
        environment: The environment of the request.
        session_id: The session to join; `None` for a new one.
        workflow_id: The id of the stored workflow; `None` when the request holds the workflow.
        revision_id: The id of the revision of the stored workflow.
    """

    workflow_config: Mapping[str, Any]
    inputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    workflow_key: str | None = None
    environment: str = "production"
    session_id: str | None = None
    workflow_id: str | None = None
    revision_id: str | None = None


class Engine:
    """The parts that all runs share.

    Args:
        handlers: The handlers of blocks, by block id or archetype.
        renderer: Renders the templates of blocks.
        stubs: Fixed outputs of blocks. They precede the handlers.
        token_delay: The seconds between two tokens of the stub of an LLM block.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        renderer: Renderer,
        *,
        stubs: Stubs | None = None,
        token_delay: float = 0.0,
    ) -> None:
        self.renderer = renderer
        self._handlers = handlers
        self._stubs = Stubs() if stubs is None else stubs
        self._token_delay = token_delay

    @property
    def generation(self) -> object:
        """As `Stubs.generation`."""
        return self._stubs.generation

    def handler(self, block: Block, generation: object) -> Handler | None:
        """Return the stub or handler of a block; `None` when it has none."""
        stub = self._stubs.handler(block.id, block.archetype, generation=generation, token_delay=self._token_delay)
        return stub or self._handlers.get(block.id) or self._handlers.get(block.archetype)

    def run(
        self, call: RunRequest, *, partials: bool, on_start: Callable[[LoggedRun], None] | None = None
    ) -> Execution:
        """Prepare a run.

        Args:
            call: The request.
            partials: True to report each piece of text of a block in an event.
            on_start: A function to call with the log of the run when it starts.

        Raises:
            InvalidRequestError: The blocks have no valid order.
        """
        return Execution(self, make_plan(call.workflow_config), call, partials=partials, on_start=on_start)


@dataclass(slots=True)
class _Step:
    """A message from the task of a block to its run: an event to send, and the result when the block has ended."""

    name: str
    block: Block
    data: dict[str, Any]
    entry: dict[str, Any] | None = None
    price: Decimal = Decimal(0)
    problem: str | None = None

    @property
    def ends_block(self) -> bool:
        return self.name in {BLOCK_COMPLETED, BLOCK_FAILED}


class Execution:
    """One run of a workflow: iterate over `events` to the end, then call `answer`.

    Attributes:
        log: What the run did so far; after its end, also the `answer` as JSON.
    """

    def __init__(
        self,
        engine: Engine,
        plan: Plan,
        call: RunRequest,
        *,
        partials: bool,
        on_start: Callable[[LoggedRun], None] | None,
    ) -> None:
        self._engine = engine
        self._generation = engine.generation
        self._plan = plan
        self._call = call
        self._partials = partials
        self._workflow_id = call.workflow_id or _workflow_id(call)
        self._run_id = f"run_{uuid.uuid4().hex}"
        self._session_id = call.session_id or f"sess_{uuid.uuid4().hex}"
        self._state: dict[str, Any] = {"inputs": dict(call.inputs), _GLOBALS: _globals(self._workflow_id)}
        self._errors: list[str] = []
        self._price = Decimal(0)
        self._text_left = _MOST_TEXT_OF_A_RUN
        self._time_budget = engine.renderer.time_budget()
        self._threads = asyncio.Semaphore(_MOST_THREADS_OF_A_RUN)
        self._waiting = {block.id: len(block.needs) for block in plan.blocks.values()}
        self._unended = len(plan.blocks)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        # One message at a time: a block that streams faster than the client reads has to wait, and blocks alternate.
        self._steps: asyncio.Queue[_Step] = asyncio.Queue(maxsize=1)
        self._first_event_id: str | None = None
        self._on_start = on_start
        self.log: LoggedRun = self._new_log()

    async def events(self) -> AsyncGenerator[EventData, None]:
        """Run the workflow, and yield its events. Closing the generator early cancels the run."""
        if self._on_start is not None:
            self._on_start(self.log)
        try:
            yield self._event(RUN_STARTED, self._started_data(), Decimal(0))
            self._start([block_id for block_id, count in self._waiting.items() if count == 0])
            while self._unended and not self._errors:
                step = await self._steps.get()
                self._note(step)
                yield self._event(step.name, step.data, step.price)
        except BaseException as error:
            self.log.was_cancelled = isinstance(error, asyncio.CancelledError | GeneratorExit)
            failure = f"The local Scout itself failed: {type(error).__name__}"
            self._errors.append(CANCELLED if self.log.was_cancelled else failure)
            raise
        finally:
            try:
                await self._stop_blocks()
            finally:  # the client may go away during that as well
                self.log.end(json_bytes(self.answer()), self._errors)
        yield self._last_event()

    def _new_log(self) -> LoggedRun:
        call = self._call
        return LoggedRun(
            run_id=self._run_id,
            session_id=self._session_id,
            workflow_id=self._workflow_id,
            revision_id=call.revision_id,
            workflow_key=call.workflow_key,
            environment=call.environment,
            display_name=call.workflow_config.get("workflow_display_name") or call.workflow_key or "",
            output_block_id=self._plan.output_block_id,
            sent=json_bytes(call.inputs),
            live_state=self._state,
        )

    @property
    def errors(self) -> list[str]:
        """The errors of the blocks that have failed the run so far."""
        return list(self._errors)

    async def finish(self, on_event: Callable[[str, str | None], None] | None = None) -> dict[str, Any]:
        """Run the workflow to its end, and return the `answer`.

        Args:
            on_event: A function to call with the name of each event and the id of its block, if any.
        """
        async with contextlib.aclosing(self.events()) as events:
            async for event in events:
                if on_event is not None:
                    on_event(event["name"], event["data"].get("block_id"))
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """Return the body of the response to a run without streaming. Call it after the run has ended."""
        answer: dict[str, Any] = {
            "run": {
                "stop_reason": RUN_FAILED if self._errors else RUN_COMPLETED,
                "state": self._state,
                "errors": self._errors,
                "session_id": self._session_id,
                "workflow_run_id": self._run_id,
            },
            "workflow_id": self._workflow_id,
        }
        if self._plan.output_block_id is not None:
            answer["output_block_id"] = self._plan.output_block_id
        return answer

    # --- The order of the blocks ---

    def _start(self, block_ids: list[str]) -> None:
        for block_id in block_ids:
            task = asyncio.create_task(self._run_block(self._plan.blocks[block_id]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _note(self, step: _Step) -> None:
        if not step.ends_block:
            return
        block = step.block
        if step.entry is not None:
            self._state[block.id] = step.entry
        # After that, because another thread may look for the entry of a block that has completed.
        self.log.blocks[block.id].end(step.problem, step.price, has_entry=step.entry is not None)
        self._unended -= 1
        self._price += step.price
        if step.problem is not None and not block.ignore_error:
            self._errors.append(step.problem)
            return
        ready: list[str] = []
        for follower in self._plan.followers.get(block.id, ()):
            self._waiting[follower] -= 1
            if self._waiting[follower] == 0:
                ready.append(follower)
        self._start(ready)

    async def _stop_blocks(self) -> None:
        self._stopping = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_STOP_SECONDS)

    # --- One block ---

    async def _run_block(self, block: Block) -> None:
        self.log.block_started(block)
        await self._steps.put(_Step(BLOCK_STARTED, block, self._block_data(block, {})))
        try:
            entry = await self._entry(block)
        except asyncio.CancelledError:
            if self._stopping:
                raise
            step = self._failed(block, "it was cancelled by its own handler")
        except BlockFailedError as error:
            step = self._failed(block, str(error), error.status_code)
        except BaseException as error:  # noqa: BLE001 - pytest's `fail` is not an Exception, and the run must end
            if self._stopping:
                return  # the result is not needed; `sys.exit` in a handler's clean-up would end the server
            step = self._failed(block, f"its handler raised {_described(error)}")
        else:
            step = self._completed(block, entry)
        await self._steps.put(step)

    async def _entry(self, block: Block) -> dict[str, Any]:
        self.use_text(0)  # raises when the run holds too much text already, also after an ignored error
        handler = self._engine.handler(block, self._generation)
        if takes_inputs(block.archetype):
            if handler is None:
                return cast("dict[str, Any]", self._as_json(resolve_inputs(block.settings, self._call.inputs)))
            # The entry of such a block is the inputs themselves.
            output = await self._handled(block, handler, block.settings)
            return output if is_dict(output) else {"output": output}
        if handler is None:
            raise BlockFailedError(
                f'the local Scout cannot run "{block.archetype}" by itself. Give it a function:'
                f' LocalScout(blocks={{"{block.archetype}": lambda inputs, context: ...}}), or an output: the line'
                f' "{block.id}: ..." in stubs.yml, for LocalScout(stubs="stubs.yml") or --stubs stubs.yml'
            )
        settings = await self._rendered(block)
        self.log.block_rendered(block, settings)
        output = await self._handled(block, handler, settings)
        entry = {"output": output}
        complete = {
            **self._ids(),
            "block_id": block.id,
            "block_type": block.archetype,
            "update_data": entry,
            "update_type": "complete",
        }
        await self._steps.put(_Step(BLOCK_UPDATED, block, complete))
        return entry

    async def _rendered(self, block: Block) -> dict[str, Any]:
        """Return the settings of a block with all templates rendered."""
        found = list(_texts(block.settings))
        most = min(_MOST_TEXT_OF_A_BLOCK, max(self._text_left, 0))
        try:
            rendered = await self._engine.renderer.render(
                [text for _, text in found],
                self._state,
                block_ids=self._plan.blocks.keys(),
                most=most,
                time_budget=self._time_budget,
            )
        except TemplateFailedError as error:
            field, source = found[error.index]
            self.log.template_failed(block, FailedTemplate(field, error.line, source))
            where = field if error.line is None else f"{field}, line {error.line}"
            raise BlockFailedError(f"the template in {where} cannot be rendered: {error.message}") from None
        texts = list(map(whole_text, rendered))  # a template may make halves of surrogate pairs
        self.use_text(sum(map(len, texts)))
        settings: dict[str, Any] = _with_texts(block.settings, iter(texts))
        return settings

    async def _handled(self, block: Block, handler: Handler, settings: Mapping[str, Any]) -> Any:
        context = BlockContext(
            block_id=block.id,
            archetype=block.archetype,
            state=self._state,
            session_id=self._session_id,
            inputs=self._call.inputs,
        )

        async def on_text(piece: str) -> None:
            self.use_text(len(piece))
            if self._partials and piece:
                await self._steps.put(_Step(BLOCK_UPDATED, block, self._partial_data(block, piece)))

        output = await call_handler(handler, dict(settings), context, on_text, self._threads)
        return self._as_json(output)

    def _as_json(self, output: Any) -> Any:
        """Return a copy of an output as a client will read it: plain JSON.

        Raises:
            BlockFailedError: JSON cannot represent it, or it is too large.
        """
        try:
            text = whole_text(write_json(output, strict=True))
            self.use_text(len(text.encode()))
            copy = parse_json(text)
            if is_too_deep(copy, text):
                raise ValueError("it is nested too deeply")
            return copy
        except (TypeError, ValueError, RecursionError) as error:
            raise BlockFailedError(f"its output does not fit into JSON: {error}") from None

    def use_text(self, length: int) -> None:
        """Count characters that the run holds, so that no workflow can fill the memory.

        Raises:
            BlockFailedError: The run holds too many.
        """
        self._text_left -= length
        if self._text_left < 0:
            raise BlockFailedError(f"the run holds more than {_MOST_TEXT_OF_A_RUN} characters of text")

    # --- The content of events ---

    def _completed(self, block: Block, entry: dict[str, Any]) -> _Step:
        price = price_of(block.archetype, entry.get("output"))
        data = {**self._block_data(block, entry), "price": float(price)}
        return _Step(BLOCK_COMPLETED, block, data, entry=entry, price=price)

    def _failed(self, block: Block, reason: str, status_code: int | None = None) -> _Step:
        message = f'Block "{block.id}" failed: {_presentable(reason)}'
        entry = {"output": None, "error": message} if block.ignore_error else None
        data = {**self._block_data(block, entry or {}), "message": message}
        if status_code is not None:
            data["status_code"] = status_code
        return _Step(BLOCK_FAILED, block, data, entry=entry, problem=message)

    def _ids(self) -> dict[str, str]:
        return {"workflow_id": self._workflow_id, "workflow_run_id": self._run_id}

    def _block_data(self, block: Block, state: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **self._ids(),
            "block_id": block.id,
            "block_type": block.archetype,
            "config": block.definition,
            "metadata": {},
            "state": state,
            "session_id": self._session_id,
        }

    def _partial_data(self, block: Block, piece: str) -> dict[str, Any]:
        return {
            **self._ids(),
            "block_id": block.id,
            "block_type": block.archetype,
            "update_data": {"output": piece},
            "update_type": "partial",
        }

    def _started_data(self) -> dict[str, Any]:
        return {
            **self._ids(),
            "actor": {"id": "user_local", "type": "external"},
            "inputs": self._call.inputs,
            "session_id": self._session_id,
            "state": dict(self._state),
            "workflow_config": self._call.workflow_config,
            "price": 0.0,
        }

    def _last_event(self) -> EventData:
        data: dict[str, Any] = {**self._ids(), "session_id": self._session_id}
        if self._errors:
            return self._event(RUN_FAILED, {**data, "message": "\n".join(self._errors)}, self._price)
        return self._event(RUN_COMPLETED, {**data, "output": self._state}, self._price)

    def _event(self, name: str, data: Mapping[str, Any], price: Decimal) -> EventData:
        event_id = f"evt_{uuid.uuid4().hex}"
        self._first_event_id = self._first_event_id or event_id
        return {
            "organization_id": ORGANIZATION_ID,
            "id": event_id,
            "correlation_id": self._first_event_id,
            "name": name,
            "environment": self._call.environment,
            "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "data": data,
            "price": f"{price:.5f}",
            # Existing applications distinguish events by this field, so it holds the name.
            "event_type": name,
            "version": "1.0",
        }


# --- The texts in a block's settings -------------------------------------------------------------------------------


def _texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield all texts, each after its place, such as `prompt_items[1].content`."""
    if isinstance(value, str):
        yield path, value
    elif is_list(value):
        for index, item in enumerate(value):
            yield from _texts(item, f"{path}[{index}]")
    elif is_dict(value):
        for key, item in value.items():
            yield from _texts(item, f"{path}.{key}" if path else str(key))


def _with_texts(value: Any, texts: Iterator[str]) -> Any:
    """Return a copy with other texts, in the order of `_texts`."""
    if isinstance(value, str):
        return next(texts)
    if is_list(value):
        return [_with_texts(item, texts) for item in value]
    if is_dict(value):
        return {key: _with_texts(item, texts) for key, item in value.items()}
    return value


# --- Helpers -------------------------------------------------------------------------------------------------------


def _workflow_id(call: RunRequest) -> str:
    """Return an id that is the same for each run of a workflow."""
    identity = call.workflow_key or write_json(call.workflow_config, ascii_only=True, sort_keys=True)
    return f"wf_{hashlib.sha256(identity.encode()).hexdigest()[:24]}"


def _globals(workflow_id: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    values: dict[str, Any] = {"workflow": {"workflow_id": workflow_id}, "organization": {"id": ORGANIZATION_ID}}
    for suffix, zone in (("", UTC), ("_utc", UTC), ("_pacific", _pacific())):
        there = now.astimezone(zone)
        values[f"current_date{suffix}"] = there.date().isoformat()
        values[f"current_time{suffix}"] = there.strftime("%H:%M:%S")
        values[f"current_datetime{suffix}"] = there.isoformat(timespec="seconds")
    return values


def _pacific() -> tzinfo:
    try:
        return ZoneInfo("America/Los_Angeles")
    except ZoneInfoNotFoundError:  # a machine without time zones: an hour off in summer, but not a failure
        return timezone(timedelta(hours=-8))


def _described(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - `__str__` of an error may fail, and the block must end
        return type(error).__name__


def _presentable(text: str) -> str:
    """Return a message for a response: with half surrogate pairs escaped, and shortened."""
    return shorten(text.encode("utf-8", "backslashreplace").decode(), 2000)
