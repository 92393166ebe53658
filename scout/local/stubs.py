"""Outputs that stand in for blocks: `stubs.yml`, and the same as a mapping."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from scout._json import is_dict, is_list
from scout.errors import ConfigurationError, WorkflowFileError
from scout.workflow_files import locate, parse_yaml

from .blocks import LLM, word_by_word

if TYPE_CHECKING:
    from .blocks import BlockContext, Handler

StubsSource = str | os.PathLike[str] | Mapping[str, Any]
"""Stubs: a path to a YAML or JSON file, or a mapping."""


class Stubs:
    """Outputs that blocks give instead of doing their work, by block id or archetype; a block's id wins.

    An output is any JSON. A list is a sequence of outputs: another each time such a block runs, and in the end the last
    one again and again. (A list that is itself the output stands in a list of its own.) A function is called as a
    handler is. May be used by several threads at once.

    Args:
        outputs: The outputs by name, to which `reset` returns.

    Raises:
        ConfigurationError: A name is not text, or an output does not fit into JSON.
    """

    def __init__(self, outputs: Mapping[str, Any] | None = None) -> None:
        self._lock = threading.Lock()
        self._first: dict[str, list[Any] | Handler] = {
            name: _checked(name, output) for name, output in (outputs or {}).items()
        }
        self.reset()

    def set(self, name: str, output: Any) -> None:
        """Set the output, or the outputs, of the blocks of this id or archetype from now on.

        Raises:
            ConfigurationError: The name is not text, or the output does not fit into JSON.
        """
        outputs = _checked(name, output)
        with self._lock:
            self._outputs[name] = outputs
            self._turns.pop(name, None)

    def reset(self) -> None:
        """Forget what was set, and begin each sequence anew."""
        with self._lock:
            self._outputs: dict[str, list[Any] | Handler] = dict(self._first)
            self._turns: dict[str, int] = {}
            self._generation = object()

    @property
    def generation(self) -> object:
        """A mark that `reset` replaces."""
        return self._generation

    def handler(
        self, block_id: str, archetype: str, *, generation: object = None, token_delay: float = 0.0
    ) -> Handler | None:
        """Return the stub of a block, if it has one; calling it advances a sequence by one.

        Args:
            block_id: The block's id.
            archetype: The block's archetype.
            generation: The mark at the start of the run: a run from before a reset takes nothing from those after it.
            token_delay: Seconds between two tokens of a text that stands in for a language model's.
        """
        with self._lock:
            name = next((name for name in (block_id, archetype) if name in self._outputs), None)
            if name is None:
                return None
            outputs = self._outputs[name]
        if callable(outputs):
            return outputs

        async def stand_in(_: dict[str, Any], __: BlockContext) -> Any:
            with self._lock:
                turn = self._turns.get(name, 0)
                if generation is None or generation is self._generation:
                    self._turns[name] = turn + 1
            output = outputs[min(turn, len(outputs) - 1)]
            # Whoever shows the text of a model as it comes wants to test that too.
            return word_by_word(output, token_delay) if archetype == LLM and isinstance(output, str) else output

        return stand_in


def load_stubs(source: StubsSource) -> Stubs:
    """Read stubs.

    Raises:
        ConfigurationError: They cannot be read, or are not what stubs must be; with the file, the line and the column.
    """
    if isinstance(source, Mapping):
        return Stubs(source)
    try:
        path = os.fsdecode(source)
    except TypeError:
        raise ConfigurationError(f"stubs must be a path or a mapping, not {type(source).__name__}.") from None
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a NUL character in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(f"{path}: the stubs cannot be read: {reason}") from None
    return Stubs(_parse(path, text))


def _checked(name: object, output: Any) -> list[Any] | Handler:
    """The outputs of a stub, or the function that gives them."""
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"a stub's name is a block id or an archetype, not {name!r}.")
    if callable(output):
        return cast("Handler", output)
    try:
        copy = json.loads(json.dumps(output, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f'the stub of "{name}" does not fit into JSON: {error}.') from None
    if not is_list(copy):
        return [copy]
    if not copy:
        raise ConfigurationError(f'the stub of "{name}" is a sequence without any output; an empty list is [[]].')
    return list(copy)


# --- The file ------------------------------------------------------------------------------------------------------


def _parse(path: str, text: str) -> dict[str, Any]:
    try:
        outputs = parse_yaml(path, text)
    except WorkflowFileError as error:
        raise ConfigurationError(str(error)) from None
    if outputs is None:  # nothing, or comments alone
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
