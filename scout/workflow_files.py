"""Workflow files: load them, report errors with line and column, and save them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol, TypeVar, runtime_checkable

import scout  # its names are imported when they are first used, which only `typing.get_type_hints` does here

from ._documents import NEVER_RAW
from ._files import write_whole
from ._json import PathInData, is_list, is_mapping, json_fault, objects_in, parse_json, spell, text_or_none, write_json
from ._layout import write_yaml
from ._order import in_order
from ._sources import Source, read_source
from .errors import ConfigurationError, WorkflowFileError
from .results import StoredWorkflow

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import FileIO

__all__ = [
    "CONFIG_FIELDS",
    "LoadedWorkflow",
    "WorkflowSource",
    "as_mapping",
    "decode_text",
    "is_json_name",
    "is_stored",
    "is_workflow_id",
    "kind_of",
    "load_text",
    "load_unchanged",
    "load_workflow",
    "parse_file",
    "place_of_config",
    "read_bytes",
    "reason_of",
    "save_workflow",
]

T = TypeVar("T")

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
        text: The text of the workflow, when it was read from elsewhere, such as the standard input of the `scout`
            command; `None` otherwise.
    """

    config: Mapping[str, Any]
    key: str | None = None
    path: str | None = field(default=None, compare=False, repr=False)
    text: str | None = field(default=None, compare=False, repr=False)

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
        edges = [edge for block in blocks for edge in objects_in(block.get("dependencies"))]
        awaited = {text_or_none(edge.get("block_id")) for edge in edges}
        leaves = [block_id for block in blocks if (block_id := text_or_none(block.get("block_id"))) not in awaited]
        return leaves[0] if len(leaves) == 1 else None

    def locate(self, place: Sequence[str | int]) -> tuple[int | None, int | None]:
        """Return line and column in the file of a value in the config, or of its key; both from 1.

        Args:
            place: The keys and indexes that lead to the value, such as `("blocks", 0, "block_inputs")`. Of a value that
                does not exist, the nearest one above it is found.

        Returns:
            Line and column; `None` and `None` when the workflow is neither from a file nor from a text.

        Raises:
            WorkflowFileError: the file, which is read again, has changed so that it is not a workflow, or is gone.
        """
        if self.path is None and self.text is None:
            return None, None
        name = self.path or ""
        text = decode_text(name, read_bytes(name)) if self.text is None else self.text
        source = _read(name, text)
        wanted = (*place_of_config(source.data), *place)
        return source.position(source.marks([wanted])[wanted].key)

    def graph(self) -> scout.Graph:
        """Return the blocks and their dependencies as a graph, which can be printed and drawn."""
        from .graph import graph_of

        return graph_of(self.config, self.output_block_id)

    def _blocks(self) -> list[Mapping[str, Any]]:
        # A config from a server may hold anything; one from a file has been checked.
        return objects_in(self.config.get("blocks"))


WorkflowSource = str | os.PathLike[str] | Mapping[str, Any] | SupportsToDict | LoadedWorkflow | StoredWorkflow
"""A workflow to run: a path to a YAML or JSON file, a mapping, a `WorkflowConfig`, a loaded or a stored workflow."""


def load_workflow(workflow: WorkflowSource, *, require_fields: bool = False) -> LoadedWorkflow:
    """Read a workflow, and check it for errors whose place a server could not report.

    A file or mapping may be a bare config, `{workflow_key, workflow_config}`, or a stored workflow as the API returns
    it (`{data: {workflow_config, ...}}`). Wrappers are removed, and never sent.

    Args:
        workflow: The workflow.
        require_fields: Refuse what has none of the fields of a workflow, such as the file of another program. The API
            accepts it. An empty mapping is refused only in a file.

    Raises:
        WorkflowFileError: it cannot be read or parsed, is not a mapping, has a wrapper inside a wrapper, or has a block
            without `block_id`, `block_archetype_id` or `block_display_name`.
        ConfigurationError: an object cannot be written as JSON, such as a `WorkflowConfig` that holds a `dict` where an
            object of a generated class belongs.
    """
    if isinstance(workflow, str | os.PathLike):
        name = os.fsdecode(workflow)
        return _load_bytes(name, read_bytes(name), require_fields=require_fields)
    if isinstance(workflow, LoadedWorkflow):
        if require_fields and workflow.config:
            _check_fields(workflow.config, (), _refuse_mapping)
        return workflow
    return _unwrap(as_mapping(workflow), _refuse_mapping, require_fields=require_fields)


def as_mapping(workflow: Mapping[str, Any] | SupportsToDict | StoredWorkflow) -> Mapping[str, Any]:
    """Return a workflow that is not a file as a mapping, with its wrapper if it has one.

    Raises:
        WorkflowFileError: it is not a workflow.
        ConfigurationError: the object cannot be written as JSON.
    """
    data: Any = workflow
    if isinstance(workflow, StoredWorkflow):
        data = {"workflow_key": workflow.key, "workflow_config": workflow.config}
    elif not is_mapping(workflow) and isinstance(workflow, SupportsToDict) and not isinstance(workflow, type):
        data = _to_dict(workflow)
    if is_mapping(data):
        return data
    raise WorkflowFileError(f"a workflow is a path, a mapping or a WorkflowConfig, not {type(workflow).__name__}")


def _to_dict(workflow: SupportsToDict) -> object:
    kind = type(workflow).__name__
    try:
        return workflow.to_dict()
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"this {kind} cannot be written as JSON: {error}. Each part of it must be an object of its generated "
            f"class, and not a dict or another value; {kind}.from_dict(...) makes them all from plain dicts, and a "
            "plain dict can be passed as it is"
        ) from None


def _refuse_mapping(problem: str, place: PathInData) -> NoReturn:
    raise WorkflowFileError(f"{spell(place)}: {problem}" if place else problem)


def is_json_name(name: str) -> bool:
    """Return True for the name of a file that is read as JSON."""
    return name.lower().endswith(".json")


def _load_bytes(name: str, data: bytes, *, require_fields: bool = False) -> LoadedWorkflow:
    text = decode_text(name, data)
    return replace(load_text(name, text, require_fields=require_fields), path=name, text=None)


def load_text(name: str, text: str, *, require_fields: bool = False) -> LoadedWorkflow:
    """Read a workflow from the text of a YAML or JSON file. Else as `load_workflow`.

    Args:
        name: The name of the text in errors. It is read as JSON when the name ends in `.json`.
        text: The text.
        require_fields: As for `load_workflow`.

    Raises:
        WorkflowFileError: as `load_workflow`.
    """
    return _checked(name, text, _read(name, text), require_fields=require_fields)


def parse_file(name: str, text: str) -> Source:
    """Return the document of a workflow file, with its wrapper. The name is for errors.

    Raises:
        WorkflowFileError: as `load_workflow` of the file, with `require_fields`.
    """
    source = _read(name, text)
    _checked(name, text, source, require_fields=True)
    return source


def _read(name: str, text: str) -> Source:
    return read_source(name, text, is_json=is_json_name(name))


def _checked(name: str, text: str, source: Source, *, require_fields: bool) -> LoadedWorkflow:
    def refuse(problem: str, place: PathInData) -> NoReturn:
        line, column = source.position(source.marks([place])[place].key)
        where = f"{spell(place)}: " if place else ""
        raise WorkflowFileError(where + problem, path=name, line=line, column=column)

    data = source.data
    if not is_mapping(data):
        refuse(f"a workflow is a mapping, and this is {kind_of(data)}", ())
    return replace(_unwrap(data, refuse, require_fields=require_fields), text=text)


def read_bytes(name: str) -> bytes:
    """Return the content of a file.

    Raises:
        WorkflowFileError: it cannot be read.
    """
    return _from_file(name, lambda file: file.read())


def _from_file(name: str, read: Callable[[FileIO], T]) -> T:
    """Return what a function reads from an open file. Raises as `read_bytes`."""
    if not name:
        raise WorkflowFileError("the name of a file must not be empty")
    if "\n" in name:
        raise WorkflowFileError(
            "this looks like the text of a workflow; pass a path to a file, or parse the text and pass the mapping"
        )
    try:
        with open(name, "rb", buffering=0) as file:  # noqa: PTH123 - a Path would cost as much again
            return read(file)
    except (OSError, ValueError) as error:
        raise _cannot_be("read", name, error) from None


_ID = re.compile(r"wf_\w+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""The form of the ids of workflows."""


def is_workflow_id(text: str) -> bool:
    """Return True for a text in the form of a workflow's id: `wf_` and more, or a UUID.

    For programs that take an id or a key from people, and pass `f"key:{text}"` to `scout.workflows` for a key. Nothing
    is sent: a workflow with this id may not exist.
    """
    return _ID.fullmatch(text) is not None


def _cannot_be(done: str, name: str, error: OSError | ValueError) -> WorkflowFileError:
    hint = ""
    if isinstance(error, IsADirectoryError):
        hint = "; give a file in it"
    elif is_workflow_id(name) or name.startswith("key:"):
        hint = "; for a stored workflow use scout.workflows.execute, or `scout workflows run`"
    return WorkflowFileError(f"cannot be {done}: {reason_of(error, name)}{hint}", path=name)


def reason_of(error: OSError | ValueError, name: str) -> str:
    """Return why a file cannot be opened, read or written, in words. A `ValueError`: a NUL character in its name."""
    reason = str(error.strerror if isinstance(error, OSError) else error)
    looked = isinstance(error, FileNotFoundError) and not Path(name).is_absolute()
    return f"{reason} (looked in {_here()})" if looked else reason


def decode_text(name: str, data: bytes) -> str:
    """Return the text of a file. The name is for errors.

    Raises:
        WorkflowFileError: it is not UTF-8.
    """
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


def is_stored(data: Mapping[str, Any]) -> bool:
    """Return True for a stored workflow as the API returns it: `{data: {workflow_config, ...}}`."""
    # Only when it is the single field, because a config can have a field `data` of its own.
    stored = data.get("data")
    return len(data) == 1 and is_mapping(stored) and "workflow_config" in stored


def place_of_config(data: Any) -> PathInData:
    """Return the place of the config in the data of a file, as `_unwrap` finds it."""
    place: PathInData = ()
    if is_mapping(data) and is_stored(data):
        data, place = data["data"], ("data",)
    return (*place, "workflow_config") if is_mapping(data) and "workflow_config" in data else place


def _unwrap(
    data: Mapping[str, Any], refuse: Callable[[str, PathInData], NoReturn], *, require_fields: bool = False
) -> LoadedWorkflow:
    place: PathInData = ()
    key: Any = None
    if is_stored(data):
        data, place = data["data"], ("data",)
    if "workflow_config" in data:
        key = data.get("workflow_key")
        if key is not None and not isinstance(key, str):
            refuse(f"must be text, not {kind_of(key)}", (*place, "workflow_key"))
        config, place = data["workflow_config"], (*place, "workflow_config")
        if not is_mapping(config):
            refuse(f"must be a mapping, not {kind_of(config)}", place)
        data = config
        if "workflow_config" in data:
            refuse(
                "holds another workflow_config: the file is wrapped twice; keep one wrapper",
                (*place, "workflow_config"),
            )
    if require_fields and (data or refuse is not _refuse_mapping):  # an empty mapping is refused only in a file
        _check_fields(data, place, refuse)
    _check_blocks(data, place, refuse)
    return LoadedWorkflow(data, key)


CONFIG_FIELDS = (
    "blocks", "workflow_display_name", "workflow_schema_version", "workflow_img_url", "workflow_description", "notes",
    "placeholders", "tags", "is_tool",
)  # fmt: skip
"""The fields of `WorkflowConfig` in openapi.yaml. All are optional."""

_LIKENESS = 0.82
"""From which two names of six letters or more are one with a typing error: one letter off, or two letters swapped.
Below it shorter names are as near to words that mean something else, such as `notes` to `nodes`."""


def _check_fields(config: Mapping[str, Any], place: PathInData, refuse: Callable[[str, PathInData], NoReturn]) -> None:
    """Refuse a config that has none of the fields of a workflow."""
    if any(field in config for field in CONFIG_FIELDS):
        return
    if fault := json_fault(dict(config), place):  # of which the names may be the fault
        refuse(fault.problem, fault.place)
    from difflib import get_close_matches

    problem = f"this is not a workflow: it has none of its fields ({', '.join(CONFIG_FIELDS)})"
    for name in config:
        if found := get_close_matches(name.lower(), (*CONFIG_FIELDS, "workflow_config"), 1, _LIKENESS):
            refuse(f"{problem}; did you mean {found[0]!r}?", (*place, name))
    refuse(f"{problem}; give a workflow file, or add blocks", place)


def _check_blocks(config: Mapping[str, Any], place: PathInData, refuse: Callable[[str, PathInData], NoReturn]) -> None:
    blocks = config.get("blocks")
    if blocks is None:
        return
    if not is_list(blocks):
        refuse(f"must be a list, not {kind_of(blocks)}", (*place, "blocks"))
    for index, block in enumerate(blocks):
        here = (*place, "blocks", index)
        if not is_mapping(block):
            refuse(f"a block is a mapping, and this is {kind_of(block)}", here)
        for name in _REQUIRED_IN_A_BLOCK:
            if name not in block:
                refuse(f"a block needs {name}, and this one has none", here)
            value = block[name]
            if not isinstance(value, str) or not (value or name == _MAY_BE_EMPTY):
                wanted = "text" if name == _MAY_BE_EMPTY else "text that is not empty"
                refuse(f"must be {wanted}, not {kind_of(value)}", (*here, name))


def kind_of(value: object) -> str:
    """Return the kind of a value in words, for messages."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case str():
            return "text" if value else "empty text"
        case int() | float() | Decimal():
            return "a number"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "a mapping"
        case _:
            return type(value).__name__


# --- Files that have not changed ----------------------------------------------------------------------------------

_SETTLED = 2_000_000_000
"""Nanoseconds after which another change is sure to get another time: file systems count time in steps of up to 2 s."""

_MOST_FILES = 16


class _Signature(NamedTuple):
    """What is different after a change of a file, unless the change before was just before it."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, file: FileIO) -> _Signature:
        """Return the signature of an open file."""
        found = os.fstat(file.fileno())
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def proves(self, content: bytes, now: int) -> bool:
        """Return True if a file that still has this signature has this content, which was read after the time `now`."""
        # The size of a pipe, or of a file that the system makes up when it is read, is another one.
        return self.size == len(content) and max(self.modified, self.changed) < now - _SETTLED


_unchanged: dict[str, tuple[_Signature, LoadedWorkflow]] = {}
"""The files that were read last, by name. Only replaced as a whole, so that threads and forks need no lock."""


def load_unchanged(workflow: WorkflowSource) -> LoadedWorkflow:
    """Read a workflow for a call: a file that has not changed since the last call is not parsed again.

    As `load_workflow`, but what is returned may be shared with other calls, so it must not be changed.
    """
    global _unchanged
    if not isinstance(workflow, str | os.PathLike):
        return load_workflow(workflow)
    name = os.fsdecode(workflow)
    known = _unchanged.get(name)

    def read(file: FileIO) -> LoadedWorkflow | tuple[_Signature, bytes]:
        signature = _Signature.of(file)
        return known[1] if known is not None and known[0] == signature else (signature, file.read())

    now = time.time_ns()
    found = _from_file(name, read)  # and not os.stat, which may not ask a file server what the file is now
    if isinstance(found, LoadedWorkflow):
        return found
    signature, content = found
    loaded = _load_bytes(name, content)
    if signature.proves(content, now):
        others = [(other, its) for other, its in _unchanged.items() if other != name]
        _unchanged = dict([*others[1 - _MOST_FILES :], (name, (signature, loaded))])
    return loaded


# --- Saving -------------------------------------------------------------------------------------------------------


def save_workflow(
    workflow: WorkflowSource,
    path: str | os.PathLike[str],
    *,
    key: str | None = None,
    overwrite: bool = False,
    formatted: bool = False,
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
        formatted: Write the form of `scout fmt`, which has the fields in the order of the API's specification.

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
    data = _spell_out(name, LoadedWorkflow(loaded.config, loaded.key if key is None else key), formatted=formatted)
    try:
        write_whole(Path(os.path.realpath(name)), data, overwrite=overwrite)
    except FileExistsError:
        raise WorkflowFileError("exists already; pass overwrite=True to replace it", path=name) from None
    except (OSError, ValueError) as error:
        raise _cannot_be("written", name, error) from None


def _spell_out(name: str, workflow: LoadedWorkflow, *, formatted: bool) -> bytes:
    """Return the content of the file, which has been parsed again and compared."""
    fault = json_fault(workflow.config) or json_fault(workflow.key, ("workflow_key",))
    if fault:
        _refuse_mapping(fault.problem, fault.place)
    document: Mapping[str, Any] = {"workflow_key": workflow.key, "workflow_config": workflow.config}
    if workflow.key is None:
        # A config that looks like a wrapper gets a wrapper, so that loading removes that one instead.
        document = {"workflow_config": workflow.config} if is_stored(workflow.config) else workflow.config
    _unwrap(document, _refuse_mapping)
    # Without subclasses, and without shared parts, which would become aliases.
    plain = parse_json(write_json(document, strict=True))
    # A Decimal that a float can hold comes back as a float.
    config = parse_json(write_json(workflow.config, strict=True))
    if formatted:
        plain, config = in_order(plain, place_of_config(plain)), in_order(config, ())
    wanted = _fingerprint(LoadedWorkflow(config, workflow.key))
    for write in (_to_json,) if is_json_name(name) else (write_yaml, _to_json_in_yaml):
        try:
            data = write(plain).encode()
            if _fingerprint(_load_bytes(name, data)) == wanted:
                return data
        except (WorkflowFileError, RecursionError):
            continue
    raise WorkflowFileError("no text was found that gives back this workflow exactly", path=name)


def _fingerprint(workflow: LoadedWorkflow) -> str:
    """Return a text for exact comparison: it distinguishes `True`, 1 and 1.0, 0.0 and -0.0, and the order of keys."""
    return write_json([workflow.key, workflow.config], strict=True)


def _to_json(document: Any) -> str:
    return write_json(document, indent=2, strict=True) + "\n"


def _to_json_in_yaml(document: Any) -> str:
    """Write JSON that is YAML as well: a few more characters are escaped."""
    return NEVER_RAW.sub(lambda match: f"\\u{ord(match[0]):04x}", _to_json(document))
