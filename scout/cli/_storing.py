"""The explanation of errors of the commands that change stored workflows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scout.cli import _exits, _places

if TYPE_CHECKING:
    from scout import LoadedWorkflow, ScoutError

INTERRUPTED = "it may have been done all the same; look before you do it again"
_UNKNOWN_OUTCOME = "not repeated, because it may have been done all the same; look before you do it again"


def explain(error: ScoutError, workflow: LoadedWorkflow | None = None) -> int:
    """Print an error on stderr, and return its exit code.

    Args:
        error: The error.
        workflow: The workflow that was sent, from a file whose places are named for a 422.
    """
    places = () if workflow is None else _places.in_file(error, workflow, ["body"])
    return _exits.explain(error, *places, unknown_outcome=_UNKNOWN_OUTCOME)
