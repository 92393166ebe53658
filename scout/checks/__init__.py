"""Checks of workflows: mistakes that can be found without running them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from scout.errors import WorkflowFileError
from scout.workflow_files import WorkflowSource, load_workflow

__all__ = ["Problem", "Severity", "check"]


class Severity(StrEnum):
    """How serious a problem is.

    `ERROR`: the workflow cannot be loaded, or cannot run. `WARNING`: the API accepts it, and it is probably a mistake.
    `INFO`: a matter of style.
    """

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of a workflow.

    Attributes:
        code: The code of the rule, such as `SW001`. docs/checks.md lists them.
        message: The problem, as one sentence without a full stop.
        path: The path of the file; `None` when the workflow is not from a file.
        line: The line in the file, from 1; `None` when it is not known.
        column: The column in the line, in characters, from 1; `None` when it is not known.
        severity: How serious it is.
        hint: How to mend it; `None` when the message says it.
    """

    code: str
    message: str
    path: str | None = None
    line: int | None = None
    column: int | None = None
    severity: Severity = Severity.ERROR
    hint: str | None = None


def check(workflow: WorkflowSource) -> list[Problem]:
    """Return the problems of a workflow, in the order of their places in the file.

    Args:
        workflow: As for `load_workflow`.
    """
    try:
        load_workflow(workflow, require_fields=True)
    except WorkflowFileError as error:
        return [Problem("SW001", str(error), error.path, error.line, error.column)]
    return []
