"""Workflow files: load them, report errors with line and column, and save them."""

# ruamel.yaml has incomplete type hints:
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast, runtime_checkable

from ._json import PathInData, is_list, is_mapping, json_fault, spell, text_or_none
from .errors import WorkflowFileError
from .results import StoredWorkflow

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LoadedWorkflow", "WorkflowSource", "load_workflow", "save_workflow"]

_MAY_BE_EMPTY = "block_display_name"
_REQUIRED_IN_A_BLOCK = ("block_id", "block_archetype_id", _MAY_BE_EMPTY)


@runtime_checkable
class SupportsToDict(Protocol):
    """Any object with `to_dict`, such as a generated `WorkflowConfig`."""

    def to_dict(self) -> dict[str, Any]:
        """Return the object as JSON."""
        ...


@dataclass(frozen=True, slots=True)
class LoadedWorkflow:
    """A workflow that is ready to be sent.

    Attributes:
        config: The config, without any wrapper, otherwise unchanged.
        key: The `workflow_key` of the wrapper; `None` when it has none.
        path: The path of the file, as it was given; `None` when the workflow is not from a file.
    """

    config: Mapping[str, Any]
    key: str | None = None
    path: str | None = field(default=None, compare=False, repr=False)

    @property
    def block_ids(self) -> list[str]:
        """The ids of the blocks."""
        return [block_id for block in self._blocks() if (block_id := text_or_none(block.get("block_id")))]

    @property
    def output_block_id(self) -> str | None:
        """The id of the block whose output is that of the run: the marked one, else the only leaf, else `None`."""
        blocks = self._blocks()
        # `block_is_output` is the name of the mark from before May 2025, which most files still use.
        marked = [block.get("block_id") for block in blocks if block.get("is_output") or block.get("block_is_output")]
        if marked:
            return text_or_none(marked[0])
        edges = [edge for block in blocks if is_list(block.get("dependencies")) for edge in block["dependencies"]]
        awaited = {text_or_none(edge.get("block_id")) for edge in edges if is_mapping(edge)}
        leaves = [block_id for block in blocks if (block_id := text_or_none(block.get("block_id"))) not in awaited]
        return leaves[0] if len(leaves) == 1 else None

    def locate(self, place: Sequence[str | int]) -> tuple[int | None, int | None]:
        """Return line and column in the file of a value in the config, or of its key; both from 1.

        Args:
            place: The keys and indexes that lead to the value, such as `("blocks", 0, "block_inputs")`. Of a value that
                does not exist, the nearest one above it is found.

        Returns:
            Line and column; `None` and `None` when the workflow is not from a file.

        Raises:
            WorkflowFileError: the file, which is read again, has changed so that it is not a workflow, or is gone.
        """
        if self.path is None:
            return None, None
        text = _decode(self.path, _read(self.path))
        data = _parse(self.path, text)
        return locate(text, (*_place_of_config(data), *place), is_json=_is_json(self.path))

    def _blocks(self) -> list[Mapping[str, Any]]:
        found: Any = self.config.get("blocks")
        # A config from a server may hold anything; one from a file has been checked.
        return [block for block in found if is_mapping(block)] if is_list(found) else []


WorkflowSource = str | os.PathLike[str] | Mapping[str, Any] | SupportsToDict | LoadedWorkflow | StoredWorkflow
"""A workflow to run: a path to a YAML or JSON file, a mapping, a `WorkflowConfig`, a loaded or a stored workflow."""


def load_workflow(workflow: WorkflowSource) -> LoadedWorkflow:
    """Read a workflow, and check it for errors whose place a server could not report.

    A file or mapping may be a bare config, `{workflow_key, workflow_config}`, or a stored workflow as the API returns
    it (`{data: {workflow_config, ...}}`). Wrappers are removed, and never sent.

    Raises:
        WorkflowFileError: it cannot be read or parsed, is not a mapping, has a wrapper inside a wrapper, or has a block
            without `block_id`, `block_archetype_id` or `block_display_name`.
    """
    if is_mapping(workflow):
        return _unwrap(workflow, _refuse_mapping)
    if isinstance(workflow, str | os.PathLike):
        name = os.fsdecode(workflow)
        return _load_bytes(name, _read(name))
    if isinstance(workflow, LoadedWorkflow):
        return workflow
    if isinstance(workflow, StoredWorkflow):
        return _unwrap({"workflow_key": workflow.key, "workflow_config": workflow.config}, _refuse_mapping)
    if isinstance(workflow, SupportsToDict) and not isinstance(workflow, type):
        return _unwrap(workflow.to_dict(), _refuse_mapping)
    raise WorkflowFileError(f"a workflow is a path, a mapping or a WorkflowConfig, not {type(workflow).__name__}")


def _refuse_mapping(problem: str, place: PathInData) -> NoReturn:
    raise WorkflowFileError(f"{spell(place)}: {problem}" if place else problem)


def _is_json(name: str) -> bool:
    return name.lower().endswith(".json")


def _load_bytes(name: str, data: bytes) -> LoadedWorkflow:
    text = _decode(name, data)
    parsed = _parse(name, text)

    def refuse(problem: str, place: PathInData) -> NoReturn:
        line, column = locate(text, place, is_json=_is_json(name))
        where = f"{spell(place)}: " if place else ""
        raise WorkflowFileError(where + problem, path=name, line=line, column=column)

    if not is_mapping(parsed):
        refuse(f"a workflow is a mapping, and this is {_kind(parsed)}", ())
    fault = json_fault(parsed)
    if fault:
        refuse(fault.problem, fault.place)
    return replace(_unwrap(parsed, refuse), path=name)


def _parse(name: str, text: str) -> Any:
    return _parse_json(name, text) if _is_json(name) else parse_yaml(name, text)


def _read(name: str) -> bytes:
    if "\n" in name:
        raise WorkflowFileError(
            "this looks like the text of a workflow; pass a path to a file, or parse the text and pass the mapping"
        )
    try:
        return Path(name).read_bytes()
    except (OSError, ValueError) as error:
        raise _cannot_be("read", name, error) from None


def _cannot_be(done: str, name: str, error: OSError | ValueError) -> WorkflowFileError:
    # ValueError: a NUL character in the name
    reason = error.strerror if isinstance(error, OSError) else str(error)
    hint = "" if Path(name).is_absolute() else f" (looked in {_here()})"
    return WorkflowFileError(f"cannot be {done}: {reason}{hint}", path=name)


def _decode(name: str, data: bytes) -> str:
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
    # The YAML parser refuses duplicates too, and reports the place. JSON is YAML, except for tabs between tokens.
    try:
        parse_yaml(name, text.replace("\t", " "))
    except WorkflowFileError as error:
        if "duplicate key" in str(error):
            return error.line, error.column
    return None, None


def parse_yaml(name: str, text: str) -> Any:
    """Parse YAML with the types of JSON. The name is for errors.

    Raises:
        WorkflowFileError: the text is not YAML.
    """
    from ruamel.yaml.constructor import ConstructorError, SafeConstructor
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.reader import ReaderError

    class Constructor(SafeConstructor):
        """Constructs the types of JSON only: dates stay text, because the core schema of YAML 1.2 has none."""

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep=deep)
            except (ValueError, KeyError, TypeError) as error:  # a value that does not fit its tag
                problem = f"{error} does not fit {node.tag}"
                raise ConstructorError(problem=problem, problem_mark=node.start_mark) from None

    for tag in ("timestamp", "value"):  # a date, and a plain `=`
        Constructor.add_constructor(f"tag:yaml.org,2002:{tag}", SafeConstructor.construct_yaml_str)
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
        # The last four are bugs of ruamel with text that is not YAML.
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise WorkflowFileError(f"is not YAML: {first}", path=name) from None
    except RecursionError:
        raise WorkflowFileError("is nested too deeply", path=name) from None


def _is_stored(data: Mapping[str, Any]) -> bool:
    # Only when it is the single field, because a config can have a field `data` of its own.
    stored = data.get("data")
    return len(data) == 1 and is_mapping(stored) and "workflow_config" in stored


def _place_of_config(data: Any) -> PathInData:
    """Return the place of the config in the data of a file, as `_unwrap` finds it."""
    place: PathInData = ()
    if is_mapping(data) and _is_stored(data):
        data, place = data["data"], ("data",)
    return (*place, "workflow_config") if is_mapping(data) and "workflow_config" in data else place


def _unwrap(data: Mapping[str, Any], refuse: Callable[[str, PathInData], NoReturn]) -> LoadedWorkflow:
    place: PathInData = ()
    key: Any = None
    if _is_stored(data):
        data, place = data["data"], ("data",)
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
            if not isinstance(value, str) or not (value or name == _MAY_BE_EMPTY):
                wanted = "text" if name == _MAY_BE_EMPTY else "text that is not empty"
                refuse(f"must be {wanted}, not {_kind(value)}", (*here, name))


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


def locate(text: str, place: PathInData, *, is_json: bool = False) -> tuple[int | None, int | None]:
    """Return line and column of a value, or of its key, from 1; of the nearest value above it when it is missing."""
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
    """Return the index of a value in valid JSON, or of its key; of the nearest value above it when it is missing."""
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

    # Pure Python, because libyaml reads YAML 1.1, in which the key `y` of a block's position is `true`.
    return YAML(typ="safe", pure=True)


# --- Saving -------------------------------------------------------------------------------------------------------


def save_workflow(
    workflow: WorkflowSource, path: str | os.PathLike[str], *, key: str | None = None, overwrite: bool = False
) -> None:
    """Write a workflow to a file from which `load_workflow` returns exactly the same: types, order and text.

    The file holds `{workflow_key, workflow_config}`, or the bare config of a workflow without a key. It is written as a
    whole: a failure leaves an existing file unchanged.

    Args:
        workflow: As for `load_workflow`. For a stored workflow, such as the result of `scout.workflows.get`, only the
            key and the config are written.
        path: The path of the file. JSON when it ends in `.json`, else YAML. A link is followed.
        key: The `workflow_key` to write; by default that of the workflow.
        overwrite: Replace an existing file. Its permissions are kept.

    Raises:
        WorkflowFileError: the workflow is invalid, or JSON cannot represent it; the file exists already, or cannot be
            written.
    """
    try:
        name = os.fsdecode(path)
    except TypeError as error:
        raise WorkflowFileError(f"the path to save to: {error}") from None
    if "\n" in name:
        raise WorkflowFileError("a name with a line break in it could not be loaded again", path=name)
    if name.endswith(("/", os.sep)):
        raise WorkflowFileError("names a folder, and not a file in it", path=name)
    loaded = load_workflow(workflow)
    data = _spell_out(name, LoadedWorkflow(loaded.config, loaded.key if key is None else key))
    try:
        _put(Path(os.path.realpath(name)), data, overwrite=overwrite)
    except FileExistsError:
        raise WorkflowFileError("exists already; pass overwrite=True to replace it", path=name) from None
    except (OSError, ValueError) as error:
        raise _cannot_be("written", name, error) from None


def _spell_out(name: str, workflow: LoadedWorkflow) -> bytes:
    """Return the content of the file, which has been parsed again and compared."""
    fault = json_fault(workflow.config) or json_fault(workflow.key, ("workflow_key",))
    if fault:
        _refuse_mapping(fault.problem, fault.place)
    document: Mapping[str, Any] = {"workflow_key": workflow.key, "workflow_config": workflow.config}
    if workflow.key is None:
        # A config that looks like a wrapper gets a wrapper, so that loading removes that one instead.
        document = {"workflow_config": workflow.config} if _is_stored(workflow.config) else workflow.config
    _unwrap(document, _refuse_mapping)
    plain = json.loads(json.dumps(document))  # without subclasses, and without shared parts, which would become aliases
    for write in (_to_json,) if _is_json(name) else (_to_yaml, _to_json_in_yaml):
        try:
            data = write(plain).encode()
            if _fingerprint(_load_bytes(name, data)) == _fingerprint(workflow):
                return data
        except (WorkflowFileError, RecursionError):
            continue
    raise WorkflowFileError("no text was found that gives back this workflow exactly", path=name)


def _fingerprint(workflow: LoadedWorkflow) -> str:
    """Return a text for exact comparison: it distinguishes `True`, 1 and 1.0, 0.0 and -0.0, and the order of keys."""
    return json.dumps([workflow.key, workflow.config], ensure_ascii=False)


def _to_json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


_NEVER_RAW = re.compile(r"[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""Characters that YAML forbids or reads as the end of a line, so that they must be escaped."""

_NOT_TEXT_TO_ALL = re.compile(r"yes|no|on|off|[-+]?\d[\d_]*(:[0-5]?\d)+(\.\d*)?", re.IGNORECASE)
"""Text that YAML 1.1 parsers read as true, false or a number. It is quoted for them; YAML 1.2 does not need it."""


def _to_json_in_yaml(document: Any) -> str:
    """Write JSON that is YAML as well: a few more characters are escaped."""
    return _NEVER_RAW.sub(lambda match: f"\\u{ord(match[0]):04x}", _to_json(document))


def _to_yaml(document: Any) -> str:
    from io import StringIO

    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.representer import SafeRepresenter

    class Representer(SafeRepresenter):
        """Writes text in the most readable style that keeps it exactly, and mappings in their order."""

        def represent_key(self, data: Any) -> Any:
            return self.text(data, '"')

        def text(self, data: str, when_lines: str = "|") -> Any:
            style = "'" if _NOT_TEXT_TO_ALL.fullmatch(data) else None
            if "\n" in data:
                # Not for text of blanks, which is invisible, nor for text that begins with a tab, which some parsers
                # cannot read.
                style = when_lines if data.strip() and data[0] != "\t" else '"'
            return self.represent_scalar("tag:yaml.org,2002:str", data, '"' if _NEVER_RAW.search(data) else style)

        def number(self, data: float) -> Any:
            text = repr(data)
            if "e" in text and "." not in text:  # YAML 1.1 parsers require a decimal point
                text = text.replace("e", ".0e")
            return self.represent_scalar("tag:yaml.org,2002:float", text)

        def mapping(self, data: dict[str, Any]) -> Any:
            return self.represent_mapping("tag:yaml.org,2002:map", list(data.items()))  # a list is not sorted

    Representer.add_representer(str, Representer.text)
    Representer.add_representer(float, Representer.number)
    Representer.add_representer(dict, Representer.mapping)
    yaml = _yaml()
    yaml.Representer = Representer
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.width = 2**62  # no line is folded
    yaml.indent(mapping=2, sequence=4, offset=2)
    text = StringIO()
    try:
        yaml.dump(document, text)
    except (YAMLError, ValueError, IndexError, AssertionError, AttributeError, TypeError) as error:
        # As in parse_yaml: bugs of ruamel. The caller has another way to write the file.
        raise WorkflowFileError(f"cannot be written as YAML: {error}") from None
    return text.getvalue()


def _put(target: Path, data: bytes, *, overwrite: bool) -> None:
    """Write a new file beside the target, and rename it, so that the target is never half written."""
    mode = _mode_to_keep(target, overwrite=overwrite)
    temporary = target.with_name(f".{os.urandom(8).hex()}.tmp")

    def opener(path: str, flags: int) -> int:
        return os.open(path, flags, 0o666 if mode is None else mode)

    try:
        with open(temporary, "xb", opener=opener) as file:
            if mode is not None:
                temporary.chmod(mode)  # with the bits that the umask removed
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            temporary.replace(target)
            return
        try:
            target.hardlink_to(temporary)  # unlike replace, never over another file
        except OSError:  # it exists, or the file system has no hard links: reserve the name first
            target.touch(exist_ok=False)
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _mode_to_keep(target: Path, *, overwrite: bool) -> int | None:
    """Return the permissions of the file that will be replaced; `None` when it does not exist.

    Raises:
        OSError: it must not be replaced.
    """
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise OSError(0, "it is a folder or a device, and not a file")
    if not overwrite:
        raise FileExistsError
    target.open("r+b").close()  # raises for a read-only file, which is not replaced
    return stat.S_IMODE(mode)
