"""Blocks: the built-in ones, and the calls of handlers."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeGuard

from scout._json import objects_in, parse_json

from .text import PairJoiner
from .workers import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from typing import Self

INPUT = "com.scoutos.input"
TEXT = "com.scoutos.text"
LLM = "com.scoutos.llm"
_TRIGGERS = "com.scoutos.triggers."

# The stand-in is free. A small price per word lets applications test sums and reports.
_PRICE_PER_WORD = Decimal("0.00001")
_WORD = re.compile(r"\S+\s*|\s+")
_PIECES_BETWEEN_PAUSES = 64
_END = object()

_INPUT_TYPES = {"short_text": "text", "long_text": "text", "checkbox": "true or false", "number": "a number"}


class BlockFailedError(Exception):
    """A block failed. The message is for the author of the workflow.

    Attributes:
        status_code: The HTTP status of another server that caused the failure; else `None`.
    """

    def __init__(self, message: str, status_code: int | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code


class BlockContext:
    """The context of a block, for its handler. Read-only.

    Attributes:
        block_id: The id of the block.
        archetype: The block's archetype, for example `com.scoutos.serp`.
        session_id: The session of the run.
        inputs: The inputs of the run, as they were sent.
    """

    __slots__ = ("_state", "archetype", "block_id", "inputs", "session_id")

    def __init__(
        self, *, block_id: str, archetype: str, state: Mapping[str, Any], session_id: str, inputs: Mapping[str, Any]
    ) -> None:
        self.block_id: str = block_id
        self.archetype: str = archetype
        self.session_id: str = session_id
        self.inputs: Mapping[str, Any] = inputs
        self._state = state

    @property
    def state(self) -> dict[str, Any]:
        """The state of the run so far: `inputs`, `__exp_global` and one entry for each finished block."""
        # Copied only on access, because a copy for each of thousands of blocks would take quadratic time.
        return dict(self._state)

    def __repr__(self) -> str:
        return f"<BlockContext {self.block_id!r} of {self.archetype}>"


Handler = Callable[[dict[str, Any], BlockContext], Any]
"""A function that does the work of a block: `(inputs, context) -> output`, sync or async.

`inputs` are the block's `block_inputs` with all templates rendered. The output is any JSON, or an iterator or async
iterator of text, which is streamed. The handler of an Input or trigger block gets `block_inputs` without rendering, and
an object that it returns is the block's entry in the state. A sync handler and its iterator run in a thread of their
own, of which a run has at most a hundred; an async handler runs on the event loop of the local Scout. Any exception
fails the block.
"""


def takes_inputs(archetype: str) -> bool:
    """Return True for the archetypes of Input and trigger blocks, whose entry in the state is the inputs of the run."""
    return archetype == INPUT or archetype.startswith(_TRIGGERS)


def can_run(archetype: str) -> bool:
    """Return True for an archetype whose blocks the local Scout runs by itself: without a stub or a function.

    Args:
        archetype: The archetype, such as `com.scoutos.llm`.
    """
    return takes_inputs(archetype) or archetype in builtin_handlers(0.0)


# --- Input ---------------------------------------------------------------------------------------------------------


def resolve_inputs(settings: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Check the inputs of a run by the settings of an Input block, and add defaults. Undeclared inputs are unchanged.

    Raises:
        BlockFailedError: A required input is missing, or one has the wrong type.
    """
    resolved = dict(given)
    problems: list[str] = []
    for item in objects_in(settings.get("items")):
        key = item.get("key")
        if not isinstance(key, str):
            continue
        input_type = str(item.get("input_type"))
        which = "input"
        if resolved.get(key) is None:
            which = "default of the input"
            resolved[key] = _default(item.get("default_value"), input_type)
            if resolved[key] is None:
                if not item.get("is_optional"):
                    problems.append(f'the input "{key}" is missing, and it is required')
                continue
        if not _has_type(resolved[key], input_type):
            wanted = _INPUT_TYPES[input_type]
            problems.append(f'the {which} "{key}" must be {wanted}, not {_json_type(resolved[key])}')
    if problems:
        raise BlockFailedError("; ".join(problems))
    return resolved


def _default(value: Any, input_type: str) -> Any:
    """Return a default value; a form may have saved it as text, which is parsed."""
    if not isinstance(value, str) or input_type not in {"number", "checkbox", "json"}:
        return value
    if not value.strip():
        return None
    try:
        return parse_json(value)
    except (ValueError, RecursionError):
        return value


def _has_type(value: Any, input_type: str) -> bool:
    match input_type:
        case "short_text" | "long_text":
            return isinstance(value, str)
        case "checkbox":
            return isinstance(value, bool)
        case "number":
            return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
        case _:  # "json" allows any JSON, and so does an unknown type
            return True


def _json_type(value: Any) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float() | Decimal():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "an object"


# --- Text and LLM --------------------------------------------------------------------------------------------------


def builtin_handlers(token_delay: float) -> dict[str, Handler]:
    """Return the handlers of the blocks that the local Scout can run by itself.

    Args:
        token_delay: The seconds between two tokens of the stand-in for a language model.
    """

    async def text(inputs: dict[str, Any], _: BlockContext) -> Any:
        if "text" not in inputs:
            raise BlockFailedError('block_inputs has no "text"')
        return inputs["text"]

    async def llm(inputs: dict[str, Any], _: BlockContext) -> Any:
        model = str(inputs.get("model") or "no model")
        prompt = _prompt_to_echo(prompts(inputs))
        if wants_json(inputs):
            return {"model": model, "prompt": prompt}
        return word_by_word(f"[{model} stand-in] {prompt}", token_delay)

    return {TEXT: text, LLM: llm}


def prompts(inputs: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the prompts of an LLM block: objects with `role` and `content`.

    Raises:
        BlockFailedError: The block has none.
    """
    found = objects_in(inputs.get("prompt_items"))
    if not found:
        raise BlockFailedError("block_inputs has no prompt in prompt_items")
    return found


def wants_json(inputs: Mapping[str, Any]) -> bool:
    """Return True when an LLM block asks for a JSON object instead of text."""
    return inputs.get("response_format") in ("json_object", {"type": "json_object"})


def _prompt_to_echo(items: list[Mapping[str, Any]]) -> str:
    """Return the last prompt with the role `user`, else the last prompt."""
    of_user = [item for item in items if item.get("role") == "user"]
    return str((of_user or items)[-1].get("content", ""))


async def word_by_word(text: str, delay: float) -> AsyncGenerator[str, None]:
    """Yield a text word by word, as a language model would, with `delay` seconds before each piece."""
    for word in _WORD.finditer(text):
        if delay:
            await asyncio.sleep(delay)
        yield word.group()


def price_of(archetype: str, output: Any) -> Decimal:
    """Return the price of a block: `_PRICE_PER_WORD` for LLM blocks, 0 for all others."""
    if archetype != LLM:
        return Decimal(0)
    return _PRICE_PER_WORD * sum(1 for _ in _WORD.finditer(str(output)))


# --- Calling a handler ---------------------------------------------------------------------------------------------


async def call_handler(
    handler: Handler,
    inputs: dict[str, Any],
    context: BlockContext,
    on_text: Callable[[str], Awaitable[None]],
    threads: asyncio.Semaphore,
) -> Any:
    """Call a handler of any kind, and return its output.

    Args:
        handler: The handler.
        inputs: The settings of the block, rendered.
        context: The context of the block.
        on_text: A function to call with each piece of text that the handler yields.
        threads: Limits the threads of a run; a sync handler occupies one.

    Raises:
        BlockFailedError: An iterator yielded something other than text.
        BaseException: Whatever the handler raises.
    """
    async with _WorkerOnDemand(threads) as worker:
        if inspect.iscoroutinefunction(handler) or inspect.isasyncgenfunction(handler):
            result = handler(inputs, context)
        else:
            result = await worker.call(handler, inputs, context)
        if inspect.isawaitable(result):
            result = await result
        if _is_async_iterator(result):
            return await _joined(result, on_text)
        if _is_iterator(result):
            return await _joined(worker.iterate(result), on_text)
        return result


def _is_async_iterator(value: Any) -> TypeGuard[AsyncIterator[Any]]:
    return isinstance(value, AsyncIterator)


def _is_iterator(value: Any) -> TypeGuard[Iterator[Any]]:
    return isinstance(value, Iterator)


async def _joined(pieces: AsyncIterator[Any], on_text: Callable[[str], Awaitable[None]]) -> str:
    texts: list[str] = []
    joiner = PairJoiner()
    count = 0

    async def pass_on(text: str) -> None:
        if text:
            texts.append(text)
            await on_text(text)

    try:
        async for piece in pieces:
            if not isinstance(piece, str):
                raise BlockFailedError(f"its handler yielded {type(piece).__name__}, but only text can be streamed")
            await pass_on(joiner.add(piece))
            count += 1
            if count % _PIECES_BETWEEN_PAUSES == 0:
                # A generator that never waits would block all other runs.
                await asyncio.sleep(0)
        await pass_on(joiner.end())
    finally:
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()
    return "".join(texts)


class _WorkerOnDemand:
    """A thread for one call of a sync handler, started when it is needed."""

    def __init__(self, slots: asyncio.Semaphore) -> None:
        self._slots = slots
        self._worker: Worker | None = None
        self._at_end: Callable[[], object] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._worker is not None:
            self._worker.close(self._at_end)
            self._slots.release()

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self._worker is None:
            await self._slots.acquire()
            self._worker = Worker("scout-local-block")
        return await self._worker.call(function, *arguments)

    async def iterate(self, iterator: Iterator[Any]) -> AsyncGenerator[Any, None]:
        self._at_end = getattr(iterator, "close", None)
        while (piece := await self.call(next, iterator, _END)) is not _END:
            yield piece
