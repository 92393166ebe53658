"""Load a workflow from a file or a mapping, and say by line and column what is wrong with it."""

# ruamel.yaml says little of its types:
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeGuard, cast, runtime_checkable

from .errors import WorkflowFileError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Fault", "LoadedWorkflow", "WorkflowSource", "json_fault", "load_workflow"]

_REQUIRED_IN_A_BLOCK = ("block_id", "block_archetype_id", "block_display_name")


@runtime_checkable
class SupportsToDict(Protocol):
    """A generated class, such as `WorkflowConfig`."""

    def to_dict(self) -> dict[str, Any]:
        """The object as it goes over the wire."""
        ...


WorkflowSource = str | os.PathLike[str] | Mapping[str, Any] | SupportsToDict
"""What can be run: a path to a YAML or JSON file, a mapping, or a generated `WorkflowConfig`."""

PathInData = tuple[str | int, ...]


def is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether a piece of JSON or YAML is a mapping."""
    return isinstance(value, Mapping)


def is_dict(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a piece of parsed JSON is an object; faster than `is_mapping`."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether a piece of JSON or YAML is a list."""
    return isinstance(value, list | tuple)


@dataclass(frozen=True, slots=True)
class LoadedWorkflow:
    """A workflow that is ready to be sent.

    Attributes:
        config: The bare config, out of any wrapper, otherwise untouched.
        key: The `workflow_key` of the wrapper.
    """

    config: Mapping[str, Any]
    key: str | None = None


def load_workflow(workflow: WorkflowSource) -> LoadedWorkflow:
    """Read a workflow and check what the server could not tell as well.

    A file or mapping may be a bare config, `{workflow_key, workflow_config}`, or a stored workflow as the API gives it
    (`{data: {workflow_config, ...}}`); wrappers are taken off, never sent.

    Raises:
        WorkflowFileError: it cannot be read or parsed, is no mapping, holds a wrapper in a wrapper, or has a block
            without `block_id`, `block_archetype_id` or `block_display_name`.
    """
    if is_mapping(workflow):
        return _unwrap(workflow, _refuse_mapping)
    if isinstance(workflow, str | os.PathLike):
        return _load_file(os.fsdecode(workflow))
    if isinstance(workflow, SupportsToDict) and not isinstance(workflow, type):
        return _unwrap(workflow.to_dict(), _refuse_mapping)
    raise WorkflowFileError(f"a workflow is a path, a mapping or a WorkflowConfig, not {type(workflow).__name__}")


def _refuse_mapping(problem: str, place: PathInData) -> NoReturn:
    raise WorkflowFileError(f"{_spell(place)}: {problem}" if place else problem)


def _load_file(name: str) -> LoadedWorkflow:
    text = _read(name)
    is_json = name.lower().endswith(".json")
    data = _parse_json(name, text) if is_json else _parse_yaml(name, text)

    def refuse(problem: str, place: PathInData) -> NoReturn:
        line, column = _locate(text, place, is_json=is_json)
        where = f"{_spell(place)}: " if place else ""
        raise WorkflowFileError(where + problem, path=name, line=line, column=column)

    if not is_mapping(data):
        refuse(f"a workflow is a mapping, and this is {_kind(data)}", ())
    fault = json_fault(data)
    if fault:
        refuse(fault.problem, fault.place)
    return _unwrap(data, refuse)


def _read(name: str) -> str:
    if "\n" in name:
        raise WorkflowFileError(
            "this looks like the text of a workflow; pass a path to a file, or parse the text and pass the mapping"
        )
    try:
        data = Path(name).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        hint = "" if Path(name).is_absolute() else f" (looked in {_here()})"
        raise WorkflowFileError(f"cannot be read: {reason}{hint}", path=name) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        raise WorkflowFileError(
            f"is not UTF-8: byte {data[error.start]:#04x}",
            path=name,
            line=before.count(b"\n") + 1,
            column=len(before) - (before.rfind(b"\n") + 1) + 1,
        ) from None


def _here() -> str:
    try:
        return str(Path.cwd())
    except OSError:
        return "a folder that is gone"


def _parse_json(name: str, text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping = dict(pairs)
        if len(mapping) < len(pairs):
            keys = [key for key, _ in pairs]
            twice.append(next(key for key in keys if keys.count(key) > 1))
        return mapping

    twice: list[str] = []

    try:
        data = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise WorkflowFileError(f"is not JSON: {error.msg}", path=name, line=error.lineno, column=error.colno) from None
    except (RecursionError, ValueError) as error:
        raise WorkflowFileError(f"is not JSON that can be read: {error}", path=name) from None
    if twice:
        line, column = _place_of_duplicate(name, text)
        raise WorkflowFileError(f'an object has the duplicate key "{twice[0]}"', path=name, line=line, column=column)
    return data


def _place_of_duplicate(name: str, text: str) -> tuple[int | None, int | None]:
    # The YAML reader refuses duplicates too, and knows where. JSON is YAML but for tabs between tokens.
    try:
        _parse_yaml(name, text.replace("\t", " "))
    except WorkflowFileError as error:
        if "duplicate key" in str(error):
            return error.line, error.column
    return None, None


def _parse_yaml(name: str, text: str) -> Any:
    from ruamel.yaml.constructor import ConstructorError, SafeConstructor
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.reader import ReaderError

    class Constructor(SafeConstructor):
        """JSON's types only: YAML 1.2's core schema has no dates, so they stay the text that they are."""

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep=deep)
            except (ValueError, KeyError, TypeError) as error:  # a value that does not fit its tag
                problem = f"{error} does not fit {node.tag}"
                raise ConstructorError(problem=problem, problem_mark=node.start_mark) from None

    Constructor.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)
    yaml = _yaml()
    yaml.Constructor = Constructor
    try:
        return yaml.load(text)
    except MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        problem = " ".join(part for part in (error.context, error.problem) if part)
        raise WorkflowFileError(
            f"is not YAML: {problem}",
            path=name,
            line=mark.line + 1 if mark else None,
            column=mark.column + 1 if mark else None,
        ) from None
    except ReaderError as error:
        line, column = _line_and_column(text, error.position)
        raise WorkflowFileError(
            f"is not YAML: {error.reason} ({error.character!r})", path=name, line=line, column=column
        ) from None
    except (YAMLError, ValueError, IndexError, AssertionError, AttributeError, TypeError) as error:
        # The last four are ruamel's own slips on files that are not YAML.
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise WorkflowFileError(f"is not YAML: {first}", path=name) from None
    except RecursionError:
        raise WorkflowFileError("is nested too deeply", path=name) from None


def _unwrap(data: Mapping[str, Any], refuse: Callable[[str, PathInData], NoReturn]) -> LoadedWorkflow:
    place: PathInData = ()
    key: Any = None
    stored = data.get("data")
    if "workflow_config" not in data and is_mapping(stored) and "workflow_config" in stored:
        data, place = stored, ("data",)
    if "workflow_config" in data:
        key = data.get("workflow_key")
        if key is not None and not isinstance(key, str):
            refuse(f"must be text, not {_kind(key)}", (*place, "workflow_key"))
        config, place = data["workflow_config"], (*place, "workflow_config")
        if not is_mapping(config):
            refuse(f"must be a mapping, not {_kind(config)}", place)
        data = config
        if "workflow_config" in data:
            refuse(
                "holds another workflow_config: the file is wrapped twice; keep one wrapper",
                (*place, "workflow_config"),
            )
    _check_blocks(data, place, refuse)
    return LoadedWorkflow(data, key)


def _check_blocks(config: Mapping[str, Any], place: PathInData, refuse: Callable[[str, PathInData], NoReturn]) -> None:
    blocks = config.get("blocks")
    if blocks is None:
        return
    if not is_list(blocks):
        refuse(f"must be a list, not {_kind(blocks)}", (*place, "blocks"))
    for index, block in enumerate(blocks):
        here = (*place, "blocks", index)
        if not is_mapping(block):
            refuse(f"a block is a mapping, and this is {_kind(block)}", here)
        for name in _REQUIRED_IN_A_BLOCK:
            if name not in block:
                refuse(f"a block needs {name}, and this one has none", here)
            value = block[name]
            if not isinstance(value, str) or not value:
                refuse(f"must be text that is not empty, not {_kind(value)}", (*here, name))


def _kind(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case str():
            return "text" if value else "empty text"
        case int() | float():
            return "a number"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "a mapping"
        case _:
            return type(value).__name__


@dataclass(frozen=True, slots=True)
class Fault:
    """What JSON cannot carry, and where it stands."""

    place: PathInData
    problem: str

    def __str__(self) -> str:
        return f"{_spell(self.place)}: {self.problem}"


_INSTEAD = {
    "bytes": "pass text, for example base64",
    "bytearray": "pass text, for example base64",
    "set": "pass a list",
    "frozenset": "pass a list",
    "datetime": "pass text, for example .isoformat()",
    "date": "pass text, for example .isoformat()",
    "time": "pass text, for example .isoformat()",
    "Decimal": "pass a float or text",
    "UUID": "pass text, for example str(...)",
    "PosixPath": "pass text, for example str(...)",
}


def json_fault(
    value: Any, place: PathInData = (), _above: tuple[int, ...] = (), _sound: dict[int, Any] | None = None
) -> Fault | None:
    """The first thing in a value that JSON cannot carry; `None` when there is nothing."""
    sound = _sound if _sound is not None else {}  # what YAML's aliases share is looked at once
    if id(value) in sound:
        return None
    if isinstance(value, str):
        return None if _is_unicode(value) else Fault(place, "the text holds half of a surrogate pair")
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if _is_writable(value) else Fault(place, "the number has more digits than Python writes")
    if isinstance(value, float):
        return None if math.isfinite(value) else Fault(place, f"{value} is not JSON")
    items: Iterable[tuple[Any, Any]]
    if is_dict(value):
        items = value.items()
    elif is_list(value):
        items = enumerate(value)
    else:
        kind = type(value).__name__
        return Fault(place, f"JSON cannot carry a {kind}; {_INSTEAD.get(kind, 'pass plain JSON')}")
    if id(value) in _above:
        return Fault(place, "the value holds itself (a circular reference)")
    if len(_above) > _DEEPEST:
        return Fault(place[:8], f"is nested more than {_DEEPEST} levels deep")
    for key, item in items:
        if is_dict(value) and not isinstance(key, str):
            return Fault(place, f"the key {key!r} is not text; put it in quotes")
        if isinstance(key, str) and not _is_unicode(key):
            return Fault(place, f"the key {key!r} holds half of a surrogate pair")
        fault = json_fault(item, (*place, key), (*_above, id(value)), sound)
        if fault:
            return fault
    sound[id(value)] = value
    return None


_DEEPEST = 400


def _is_writable(number: int) -> bool:
    try:
        str(number)
    except ValueError:
        return False
    return True


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _spell(place: PathInData) -> str:
    spelled = ""
    for step in place:
        spelled += f"[{step}]" if isinstance(step, int) else f".{step}" if spelled else step
    return spelled


def _locate(text: str, place: PathInData, *, is_json: bool) -> tuple[int | None, int | None]:
    """Line and column of a value, or of the key that leads to it; the nearest place above it when it has none."""
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.nodes import MappingNode, SequenceNode

    if is_json:
        return _line_and_column(text, _find_in_json(text, place))
    try:
        node: Any = _yaml().compose(text)
    except (YAMLError, ValueError, IndexError, AssertionError, AttributeError, TypeError, RecursionError):
        return None, None
    if node is None:
        return 1, 1
    mark: Any = node.start_mark
    for step in place:
        children: Any = node.value
        if isinstance(node, MappingNode):
            pair: Any = next((pair for pair in children if pair[0].value == step), None)
            if pair is None:
                break
            mark, node = pair[0].start_mark, pair[1]
        elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(children):
            node = children[step]
            mark = node.start_mark
        else:
            break
    return mark.line + 1, mark.column + 1


_BLANK = re.compile(r"[ \t\r\n]*")


def _blank(text: str, index: int) -> int:
    return cast("re.Match[str]", _BLANK.match(text, index)).end()


def _find_in_json(text: str, place: PathInData) -> int:
    """Where in well-formed JSON a value stands, or the key that leads to it, or the nearest place above it."""
    decoder = json.JSONDecoder()
    mark = index = _blank(text, 0)
    for step in place:
        count = 0
        if text[index] not in "{[":
            break
        is_object = text[index] == "{"
        index = _blank(text, index + 1)
        while text[index] not in "}]":
            here, key = index, count
            if is_object:
                key, index = decoder.raw_decode(text, index)
                index = _blank(text, _blank(text, index) + 1)
            if key == step:
                mark = here
                break
            _, index = decoder.raw_decode(text, index)
            index = _blank(text, index)
            if text[index] == ",":
                index = _blank(text, index + 1)
            count += 1
        else:
            break
    return mark


def _line_and_column(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index) + 1, index - (text.rfind("\n", 0, index) + 1) + 1


def _yaml() -> Any:
    from ruamel.yaml import YAML

    # Pure Python, because libyaml reads YAML 1.1, where the key `y` of a block's position would be `true`.
    return YAML(typ="safe", pure=True)
