"""Stubs: fixed outputs of blocks, from a file such as `stubs.yml` or a mapping."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from scout._documents import locate, parse_yaml
from scout._json import is_dict, is_list, json_fault, parse_json, write_json
from scout.errors import ConfigurationError, WorkflowFileError

from .blocks import LLM, word_by_word

if TYPE_CHECKING:
    from .blocks import BlockContext, Handler

StubsSource = str | os.PathLike[str] | Mapping[str, Any]
"""Stubs: a path to a YAML or JSON file, or a mapping."""

_NO_STUBS: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class StubInForce:
    """A stub that blocks use now.

    Attributes:
        name: The id or the archetype of the blocks.
        outputs: The outputs in their order, of which the last one repeats; `None` for a function.
        given: How many outputs it has given since it was set, or since the last `reset`; `None` for a function.
        is_used: True if a block has used it since the last `reset`.
    """

    name: str
    outputs: list[Any] | None
    given: int | None
    is_used: bool


class Stubs:
    """Fixed outputs of blocks, by block id or archetype. An id precedes an archetype. Threads may share it.

    An output is any JSON. A list of stubs gives one item per call, and the last one repeats. (For an output that is a
    list, put it in another list.) A function is called as a handler.

    Args:
        source: The outputs by id or archetype, which `reset` restores.

    Raises:
        ConfigurationError: As `replace`.
    """

    def __init__(self, source: StubsSource = _NO_STUBS) -> None:
        self._lock = threading.Lock()
        self.replace(source)

    def replace(self, source: StubsSource) -> None:
        """Drop all stubs, and start again with these, as if the server had been created with them.

        Raises:
            ConfigurationError: The file cannot be read, or the outputs are invalid; the message has file, line and
                column. Then nothing is changed.
        """
        first = {name: _checked(name, output) for name, output in _read(source).items()}
        with self._lock:
            self._first: dict[str, list[Any] | Handler] = first
            self._restart()

    def set(self, name: str, output: Any) -> None:
        """Set the output of the blocks with this id or archetype.

        Raises:
            ConfigurationError: The name is not text, or JSON cannot represent the output.
        """
        outputs = _checked(name, output)
        with self._lock:
            self._outputs[name] = outputs
            self._turns.pop(name, None)

    def reset(self) -> None:
        """Restore the initial outputs, and restart each list."""
        with self._lock:
            self._restart()

    def _restart(self) -> None:
        self._outputs: dict[str, list[Any] | Handler] = dict(self._first)
        self._turns: dict[str, int] = {}
        self._used: set[str] = set()
        self._generation = object()

    def in_force(self) -> list[StubInForce]:
        """Return the stubs, in the order in which they were set first."""
        with self._lock:
            return [
                StubInForce(
                    name=name,
                    outputs=None if callable(outputs) else list(outputs),
                    given=None if callable(outputs) else self._turns.get(name, 0),
                    is_used=name in self._used,
                )
                for name, outputs in self._outputs.items()
            ]

    def unused(self, *, added: bool = False) -> list[str]:
        """Return the names of the stubs that no block has used since the last `reset`; with `added`, of new ones."""
        with self._lock:
            names = [name for name in self._outputs if name not in self._used]
            return [name for name in names if not added or self._outputs[name] is not self._first.get(name)]

    @property
    def generation(self) -> object:
        """An object that identifies the time since the last `reset`."""
        return self._generation

    def handler(
        self, block_id: str, archetype: str, *, generation: object = None, token_delay: float = 0.0
    ) -> Handler | None:
        """Return the stub of a block as a handler; `None` when it has none. Each call of a list advances it by one.

        Args:
            block_id: The id of the block.
            archetype: The archetype of the block.
            generation: The `generation` at the start of the run, so that a run from before a reset advances no list.
            token_delay: The seconds between two tokens of the text of an LLM block.
        """
        with self._lock:
            name = next((name for name in (block_id, archetype) if name in self._outputs), None)
            if name is None:
                return None
            outputs = self._outputs[name]
            if generation is None or generation is self._generation:
                self._used.add(name)
        if callable(outputs):
            return outputs

        async def stand_in(_: dict[str, Any], __: BlockContext) -> Any:
            with self._lock:
                turn = self._turns.get(name, 0)
                if generation is None or generation is self._generation:
                    self._turns[name] = turn + 1
            output = outputs[min(turn, len(outputs) - 1)]
            # Streamed, so that applications can test how they show the text of a model.
            return word_by_word(output, token_delay) if archetype == LLM and isinstance(output, str) else output

        return stand_in


def _checked(name: object, output: Any) -> list[Any] | Handler:
    """Return a stub as a list of outputs, or as its function.

    Raises:
        ConfigurationError: The name or the output is invalid.
    """
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"a stub's name is a block id or an archetype, not {name!r}.")
    if callable(output):
        return cast("Handler", output)
    # Half a surrogate pair is allowed, because a block may give one: what the server does with it can be tested.
    if fault := json_fault(output, allow_halves=True):
        raise ConfigurationError(f'the stub of "{name}" does not fit into JSON: {fault}.')
    copy = parse_json(write_json(output, ascii_only=True, strict=True))
    if not is_list(copy):
        return [copy]
    if not copy:
        raise ConfigurationError(f'the stub of "{name}" is a sequence without any output; an empty list is [[]].')
    return list(copy)


# --- The file ------------------------------------------------------------------------------------------------------


def _read(source: StubsSource) -> Mapping[str, Any]:
    if isinstance(source, Mapping):
        return source
    try:
        path = os.fsdecode(source)
    except TypeError:
        raise ConfigurationError(f"stubs must be a path or a mapping, not {type(source).__name__}.") from None
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a NUL character in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(f"{path}: the stubs cannot be read: {reason}") from None
    return _parse(path, text)


def _parse(path: str, text: str) -> dict[str, Any]:
    try:
        outputs = parse_yaml(path, text)
    except WorkflowFileError as error:
        raise ConfigurationError(str(error)) from None
    if outputs is None:  # empty, or only comments
        return {}
    if not is_dict(outputs):
        _refuse(path, locate(text, ()), "stubs are a mapping of block ids or archetypes to outputs")
    for name, output in outputs.items():
        try:
            _checked(name, output)
        except ConfigurationError as error:
            _refuse(path, locate(text, (str(name),)), str(error))
    return outputs


def _refuse(path: str, place: tuple[int | None, int | None], problem: str) -> NoReturn:
    line, column = place
    raise ConfigurationError(str(WorkflowFileError(problem, path=path, line=line, column=column))) from None
