"""Checks of workflows: mistakes that can be found without running them."""

from __future__ import annotations

from scout.errors import WorkflowFileError
from scout.workflow_files import WorkflowSource, load_workflow

from ._problems import Problem, Rule, Severity, check_rules

__all__ = ["Problem", "Rule", "Severity", "check", "check_rules"]


def check(workflow: WorkflowSource) -> list[Problem]:
    """Return the problems of a workflow, in the order of their places in the file.

    Args:
        workflow: As for `load_workflow`.

    Raises:
        WorkflowFileError: the file cannot be read.
    """
    try:
        load_workflow(workflow, require_fields=True)
    except WorkflowFileError as error:
        return [Problem("SW001", str(error), error.path, error.line, error.column)]
    return []
