"""Workflow files in one form: the order of their fields, their quotes, their long texts. Comments stay."""

from __future__ import annotations

import os
from typing import Any, NoReturn

from ._documents import is_json_text
from ._json import write_json
from ._layout import Collection, Layout, Leaf, read_layout, write_layout
from ._order import in_order, without_ui
from .errors import WorkflowFileError
from .workflow_files import decode_text, parse_file, place_of_config

__all__ = ["format_workflow"]


def format_workflow(text: str | bytes, *, path: str | os.PathLike[str] = "workflow.yml", drop_ui: bool = False) -> str:
    """Return the text of a workflow file in the form that `scout fmt` writes. Its data and its comments stay the same.

    Fields stand in the order of the API's specification, unknown ones behind them; a YAML file is written in block
    style, with texts of several lines as `|` blocks and quotes only where they are needed; JSON is written as JSON.
    Lines end with LF. In YAML with anchors the order of the fields stays. docs/workflow-files.md has the details.

    Args:
        text: The text of the file. Bytes are UTF-8, with or without a byte order mark.
        path: The path of the file, for errors. JSON when it ends in `.json`, else YAML. It is not read.
        drop_ui: Remove the `ui` of blocks, dependencies, notes and placeholders: the places of boxes on the canvas.

    Raises:
        WorkflowFileError: the text is not a workflow, or there is no form for it in which its data stays the same.
    """
    name = os.fsdecode(path)
    text = decode_text(name, text) if isinstance(text, bytes) else text.removeprefix("\ufeff")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    source = parse_file(name, text)
    data = source.data
    place = place_of_config(data)
    wanted = in_order(without_ui(data, place) if drop_ui else data, place)
    if name.lower().endswith(".json") or is_json_text(text):
        return write_json(wanted, indent=2, strict=True) + "\n"
    layout = read_layout(source)
    _check_features(layout, name, drop_ui=drop_ui)
    if not layout.has_anchors:
        layout.root.value = _arranged(layout.root.value, wanted)
    formatted, comments = write_layout(layout)
    if formatted != text:
        _check_result(name, formatted, wanted)
        if not drop_ui and sorted(comments) != sorted(layout.comments):
            _refuse(name, "a comment would be lost")
    return formatted


def _check_features(layout: Layout, name: str, *, drop_ui: bool) -> None:
    if layout.directive_line is not None:
        raise WorkflowFileError("has a directive (%), which cannot be kept", path=name, line=layout.directive_line)
    if layout.has_anchors and drop_ui:
        raise WorkflowFileError("has anchors, of which the ui may be a part, so that it cannot be removed", path=name)


def _arranged(value: Leaf | Collection, wanted: Any) -> Leaf | Collection:
    """Return a tree with the entries that plain data has, in its order."""
    if isinstance(value, Leaf):
        return value
    if value.is_mapping:
        entries = {entry.key: entry for entry in value.entries}
        value.entries = [entries[name] for name in wanted]
    if not value.entries:
        return Leaf(wanted)
    for index, entry in enumerate(value.entries):
        entry.value = _arranged(entry.value, wanted[entry.key if value.is_mapping else index])
    return value


def _check_result(name: str, formatted: str, wanted: Any) -> None:
    """Refuse a text that is not the same workflow: a fault of this program must not destroy a file."""
    try:
        found, expected = (
            write_json(each, strict=True, sort_keys=True) for each in (parse_file(name, formatted).data, wanted)
        )
    except WorkflowFileError as error:
        _refuse(name, f"it could not be read again ({error})")
    if found != expected:
        _refuse(name, "its data would change")


def _refuse(name: str, problem: str) -> NoReturn:
    raise WorkflowFileError(f"cannot be formatted: {problem}; the file stays as it is", path=name)
