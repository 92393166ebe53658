"""What blocks do: the built-in ones, handlers given by the user, and how a handler is called."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeGuard

from .jsons import objects_in
from .workers import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from typing import Self

INPUT = "com.scoutos.input"
TEXT = "com.scoutos.text"
LLM = "com.scoutos.llm"
_TRIGGERS = "com.scoutos.triggers."

# A stand-in costs nothing. A small price by the word makes sums and reports worth testing.
_PRICE_PER_WORD = Decimal("0.00001")
_WORD = re.compile(r"\S+\s*|\s+")
_PIECES_BETWEEN_PAUSES = 64
_END = object()

_INPUT_TYPES = {"short_text": "text", "long_text": "text", "checkbox": "true or false", "number": "a number"}


class BlockFailedError(Exception):
    """A block failed; the message says why, for the author of the workflow."""


@dataclass(frozen=True, slots=True)
class BlockContext:
    """What a handler may know besides its block's settings. To be read, not changed.

    Attributes:
        block_id: The block that runs.
        archetype: The block's archetype, for example `com.scoutos.serp`.
        state: The state of the run so far: `inputs`, `__exp_global` and one entry for each finished block.
        session_id: The session of the run.
        inputs: The inputs of the run, as they were sent.
    """

    block_id: str
    archetype: str
    state: Mapping[str, Any]
    session_id: str
    inputs: Mapping[str, Any]


Handler = Callable[[dict[str, Any], BlockContext], Any]
"""What a block does: `(inputs, context) -> output`, sync or async.

`inputs` are the block's `block_inputs` with all templates rendered. The output is any JSON, or an iterator or
async iterator of text, which is streamed. A sync handler runs in a thread of its own; an async one on the event loop
of the local Scout, which is not the caller's.
"""


def takes_inputs(archetype: str) -> bool:
    """Whether a block of this archetype hands the run's inputs to the others, as Input and trigger blocks do."""
    return archetype == INPUT or archetype.startswith(_TRIGGERS)


# --- Input ---------------------------------------------------------------------------------------------------------


def resolve_inputs(settings: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What an Input block makes of the run's inputs: checked, with defaults, and the undeclared ones as they are.

    Raises:
        BlockFailedError: A required input is missing, or one has the wrong type.
    """
    resolved = dict(given)
    problems: list[str] = []
    for item in objects_in(settings.get("items")):
        key = item.get("key")
        if not isinstance(key, str):
            continue
        if resolved.get(key) is None:
            resolved[key] = item.get("default_value")
            if resolved[key] is None and not item.get("is_optional"):
                problems.append(f'the input "{key}" is missing, and it is required')
        elif not _has_type(resolved[key], str(item.get("input_type"))):
            wanted = _INPUT_TYPES[str(item.get("input_type"))]
            problems.append(f'the input "{key}" must be {wanted}, not {_json_type(resolved[key])}')
    if problems:
        raise BlockFailedError("; ".join(problems))
    return resolved


def _has_type(value: Any, input_type: str) -> bool:
    match input_type:
        case "short_text" | "long_text":
            return isinstance(value, str)
        case "checkbox":
            return isinstance(value, bool)
        case "number":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case _:  # "json" takes any JSON, and so does a type that we do not know
            return True


def _json_type(value: Any) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "an object"


# --- Text and LLM --------------------------------------------------------------------------------------------------


def builtin_handlers(token_delay: float) -> dict[str, Handler]:
    """The handlers of the blocks that the local Scout can run by itself.

    Args:
        token_delay: Seconds between two tokens of the language model's stand-in.
    """

    async def text(inputs: dict[str, Any], _: BlockContext) -> Any:
        if "text" not in inputs:
            raise BlockFailedError('block_inputs has no "text"')
        return inputs["text"]

    async def llm(inputs: dict[str, Any], _: BlockContext) -> Any:
        model = str(inputs.get("model") or "no model")
        prompt = _prompt_to_echo(inputs.get("prompt_items"))
        if inputs.get("response_format") == "json_object":
            return {"model": model, "prompt": prompt}
        return _slowly(f"[{model} stand-in] {prompt}", token_delay)

    return {TEXT: text, LLM: llm}


def _prompt_to_echo(items: object) -> str:
    """The last prompt of the user, or the last of all when no prompt is the user's."""
    prompts = objects_in(items)
    of_user = [item for item in prompts if item.get("role") == "user"]
    chosen = of_user or prompts
    if not chosen:
        raise BlockFailedError("block_inputs has no prompt in prompt_items")
    return str(chosen[-1].get("content", ""))


async def _slowly(text: str, delay: float) -> AsyncGenerator[str, None]:
    for word in _WORD.finditer(text):
        if delay:
            await asyncio.sleep(delay)
        yield word.group()


def price_of(archetype: str, output: Any) -> Decimal:
    """What a block is said to have cost; see `_PRICE_PER_WORD`."""
    if archetype != LLM:
        return Decimal(0)
    return _PRICE_PER_WORD * sum(1 for _ in _WORD.finditer(str(output)))


# --- Calling a handler ---------------------------------------------------------------------------------------------


async def call_handler(
    handler: Handler,
    inputs: dict[str, Any],
    context: BlockContext,
    on_text: Callable[[str], Awaitable[None]],
) -> Any:
    """Call a handler of any kind and return its output; text that it yields goes to `on_text` piece by piece.

    Raises:
        BlockFailedError: An iterator yielded something other than text.
        BaseException: Whatever the handler raises.
    """
    async with _WorkerOnDemand() as worker:
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
    try:
        async for piece in pieces:
            if not isinstance(piece, str):
                raise BlockFailedError(f"its handler yielded {type(piece).__name__}, but only text can be streamed")
            texts.append(piece)
            await on_text(piece)
            if len(texts) % _PIECES_BETWEEN_PAUSES == 0:
                # A generator that never waits would keep all other runs from going on.
                await asyncio.sleep(0)
    finally:
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()
    return "".join(texts)


class _WorkerOnDemand:
    """A thread for one call of a sync handler, made when it is needed."""

    def __init__(self) -> None:
        self._worker: Worker | None = None
        self._at_end: Callable[[], object] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._worker is not None:
            self._worker.close(self._at_end)

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self._worker is None:
            self._worker = Worker("scout-local-block")
        return await self._worker.call(function, *arguments)

    async def iterate(self, iterator: Iterator[Any]) -> AsyncGenerator[Any, None]:
        self._at_end = getattr(iterator, "close", None)
        while (piece := await self.call(next, iterator, _END)) is not _END:
            yield piece
