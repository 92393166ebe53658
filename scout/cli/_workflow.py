"""The workflow that a command works on: a file, or stdin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scout.cli import _inputs
from scout.cli._places import STDIN

if TYPE_CHECKING:
    from scout import LoadedWorkflow


def load(source: str) -> LoadedWorkflow:
    """Return the workflow in a file, or on stdin for `-`.

    Raises:
        UsageError: stdin cannot be read.
        WorkflowFileError: it cannot be read, or is not a workflow.
    """
    if source == "-":
        from scout.workflow_files import load_text

        return load_text(STDIN, _inputs.read_text("-", "the workflow from stdin"), require_fields=True)
    from scout import load_workflow

    return load_workflow(source, require_fields=True)
