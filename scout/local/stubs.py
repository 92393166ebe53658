"""Outputs that stand in for blocks: `stubs.yml`, and the same as a mapping."""

# ruamel.yaml says little of its types:
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from scout.errors import ConfigurationError

from .blocks import LLM, word_by_word
from .jsons import is_list

if TYPE_CHECKING:
    from .blocks import BlockContext, Handler

StubsSource = str | os.PathLike[str] | Mapping[str, Any]
"""Where stubs come from: a path to a YAML or JSON file, or a mapping."""


class Stubs:
    """What blocks give instead of doing their work, by block id or by archetype; a block's id comes first.

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
        """Let the blocks of this id or archetype give this output, or these outputs, from now on.

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
            self._era = object()

    @property
    def era(self) -> object:
        """Which time between two resets it is."""
        return self._era

    def handler(self, block_id: str, archetype: str, *, era: object = None, token_delay: float = 0.0) -> Handler | None:
        """What stands in for a block, if anything does; a sequence goes on by one when it is called.

        Args:
            block_id: The block's id.
            archetype: The block's archetype.
            era: When the run began: after a reset, a run from before it takes nothing from those that follow.
            token_delay: Seconds between two tokens of a text that stands in for a language model's.
        """
        with self._lock:
            name = next((name for name in (block_id, archetype) if name in self._outputs), None)
            if name is None:
                return None
            outputs = self._outputs[name]
        if not isinstance(outputs, list):
            return outputs

        async def stand_in(_: dict[str, Any], __: BlockContext) -> Any:
            with self._lock:
                turn = self._turns.get(name, 0)
                if era is None or era is self._era:
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
    return copy


# --- The file ------------------------------------------------------------------------------------------------------


def _parse(path: str, text: str) -> dict[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import SafeConstructor
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.nodes import MappingNode

    class Constructor(SafeConstructor):
        """JSON's types only: dates stay the text that they are."""

    Constructor.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = Constructor
    try:
        root: Any = yaml.compose(text)
        outputs: Any = yaml.load(text)
    except MarkedYAMLError as error:
        problem = " ".join(part for part in (error.context, error.problem) if part)
        _refuse(path, error.problem_mark or error.context_mark, f"is not YAML: {problem}")
    except (YAMLError, ValueError, IndexError, AssertionError, AttributeError, TypeError, RecursionError) as error:
        # All but the first two are ruamel's own slips on files that are not YAML.
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigurationError(f"{path}: is not YAML: {first}") from None
    if outputs is None:  # nothing, or comments alone
        return {}
    if not isinstance(root, MappingNode):
        _refuse(path, root.start_mark, "stubs are a mapping of block ids or archetypes to outputs")
    marks: dict[str, Any] = {str(key.value): key.start_mark for key, _ in root.value}
    for name, output in cast("dict[Any, Any]", outputs).items():
        try:
            _checked(name, output)
        except ConfigurationError as error:
            _refuse(path, marks.get(str(name)), str(error))
    return cast("dict[str, Any]", outputs)


def _refuse(path: str, mark: Any, problem: str) -> NoReturn:
    place = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    raise ConfigurationError(f"{path}{place}: {problem}") from None
