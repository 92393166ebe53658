"""Checks of `inputs/default.json` beside a workflow file, by the inputs that the workflow declares."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scout._json import is_dict, is_list, is_mapping
from scout._sources import read_source
from scout.errors import WorkflowFileError
from scout.workflow_files import decode_text, kind_of

from ._problems import RULES, Problem
from ._report import Report, quoted
from ._spec import nearest
from ._structure import WORDS

if TYPE_CHECKING:
    from ._spec import Specification
    from ._uses import Input

__all__ = ["check_default_inputs"]

_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "number": (int, float, Decimal),
}


def check_default_inputs(path: str, inputs: dict[str, dict[str, Input]], specification: Specification) -> list[Problem]:
    """Return the problems of the file of inputs beside a workflow file; none when there is no such file."""
    name = os.path.join(os.path.dirname(path), "inputs", "default.json")  # noqa: PTH118, PTH120 - as it was given
    try:
        data = Path(name).read_bytes()
    except (OSError, ValueError):
        return []
    try:
        source = read_source(name, decode_text(name, data), is_json=True)
    except WorkflowFileError as error:
        return [Problem("SW053", error.problem, name, error.line, error.column, RULES["SW053"].severity)]
    report = Report(name, source)
    if is_dict(source.data):
        declared = {key: each for block in inputs.values() for key, each in block.items()}
        _compare(source.data, declared, report, specification)
    else:
        report.add("SW053", f"inputs are a JSON object, and this is {kind_of(source.data)}", ())
    return report.problems()


def _compare(given: dict[str, Any], declared: dict[str, Input], report: Report, specification: Specification) -> None:
    misspelt: set[str] = set()
    for key in given if declared else ():
        if key not in declared and not report.is_full:
            found = nearest(key, [each for each in declared if each not in given])
            misspelt.update([found] if found else [])
            report.add(
                "SW055", f"the workflow does not declare the input {quoted(key)}", (key,),
                f"did you mean {quoted(found)}?" if found else None, at_key=True,
            )  # fmt: skip
    for key, each in declared.items():
        value, item = given.get(key), each.item
        if value is None:
            if not item.get("is_optional") and item.get("default_value") is None and key not in misspelt:
                report.add("SW054", f"the required input {quoted(key)} is missing", (key,) if key in given else ())
            continue
        wanted = specification.input_types.get(str(item.get("input_type")))
        if wanted and not _has_type(value, wanted):
            report.add("SW056", f"the input {quoted(key)} must be {WORDS[wanted]}, and it is {kind_of(value)}", (key,))


def _has_type(value: Any, wanted: str) -> bool:
    if wanted == "object":
        return is_mapping(value)
    if wanted == "array":
        return is_list(value)
    return isinstance(value, _KINDS[wanted]) and (wanted == "boolean" or not isinstance(value, bool))
