"""The checks of a workflow, one after the other."""

from __future__ import annotations

import os
from typing import Any

from scout._json import is_same, json_fault
from scout._sources import Source, TooLongError, read_source
from scout.errors import WorkflowFileError
from scout.workflow_files import (
    LoadedWorkflow,
    WorkflowSource,
    as_mapping,
    decode_text,
    is_json_name,
    read_bytes,
)

from ._defaults import check_default_inputs
from ._graph import check_graph, read_graph
from ._problems import RULES, Problem
from ._report import Report
from ._spec import specification
from ._structure import check_fields, find_config
from ._uses import check_templates, declared_inputs

__all__ = ["check"]

_MOST_CHARACTERS = 1_000_000
"""The most characters of YAML that only ruamel.yaml can read; some 5 seconds."""


def check(workflow: WorkflowSource) -> list[Problem]:
    """Return the problems of a workflow, by line, column and code.

    A comment `# scout: ignore SW013` on the line of a problem in YAML silences it; several codes are separated by
    commas, and without a code all problems of the line are silenced. With a file, `inputs/default.json` beside it is
    checked as well; its problems come last, with its path. At most 1,000 problems of a file are returned.

    Args:
        workflow: As for `load_workflow`. Of a workflow that is not a path, the problems have no line, and their
            messages name the place.

    Raises:
        WorkflowFileError: the file cannot be read, or the argument is not a workflow.
        ConfigurationError: an object cannot be written as JSON.
    """
    if isinstance(workflow, LoadedWorkflow):
        return _check_loaded(workflow)
    if isinstance(workflow, str | os.PathLike):
        return _check_file(os.fsdecode(workflow))
    return _check_data(as_mapping(workflow), Report())


def _check_file(path: str) -> list[Problem]:
    data = read_bytes(path)  # of which an error is raised
    try:
        source = _read(path, decode_text(path, data))
    except WorkflowFileError as error:
        return [Problem("SW001", error.problem, path, error.line, error.column, RULES["SW001"].severity)]
    except TooLongError:
        problem = f"the file was not checked: it has more than {_MOST_CHARACTERS:,} characters, and is not plain YAML"
        hint = "write it as JSON, or in block style without anchors, which is read much faster"
        return [Problem("SW004", problem, path, 1, 1, RULES["SW004"].severity, hint)]
    return _check_data(source.data, Report(path, source))


def _check_loaded(workflow: LoadedWorkflow) -> list[Problem]:
    """Check the text or file of a workflow while it holds the same workflow, because it has lines; else its config."""
    path = workflow.path if workflow.text is None else None
    try:
        source = _source_of(workflow)
    except (WorkflowFileError, TooLongError):
        source = None
    if source is not None:
        found = find_config(source.data, Report(), specification(), is_file=True)
        if found and is_same(found[0], workflow.config):
            return _check_data(source.data, Report(path, source))
    return _check_data(workflow.config, Report())


def _source_of(workflow: LoadedWorkflow) -> Source | None:
    if workflow.text is not None:
        return _read("", workflow.text)
    if workflow.path is None:
        return None
    return _read(workflow.path, decode_text(workflow.path, read_bytes(workflow.path)))


def _read(path: str, text: str) -> Source:
    return read_source(path, text, is_json=is_json_name(path), most=_MOST_CHARACTERS)


def _check_data(data: Any, report: Report) -> list[Problem]:
    is_file = report.source is not None
    if not is_file and (fault := json_fault(data)):
        report.add("SW001", fault.problem, fault.place)
        return report.problems()
    spec = specification()
    found = find_config(data, report, spec, is_file=is_file)
    if found is None:
        return report.problems()
    config, place = found
    check_fields(config, place, report, spec)
    graph = read_graph(config, place)
    check_graph(graph, report)
    inputs = declared_inputs(graph, report, spec)
    check_templates(graph, inputs, report, spec)
    problems = report.problems()
    if report.path is not None:
        problems += check_default_inputs(report.path, inputs, spec)
    return problems
