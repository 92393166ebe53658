"""The plan of `scout deploy`: what each file would change, and carrying it out file by file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scout.cli import _checks, _exits, _search

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from scout import Difference, LoadedWorkflow, ScoutError, StoredWorkflow, Workflows

_NAMED_AFTER_ITS_FOLDER = "workflow"


class Action(StrEnum):
    """The change that a file asks for."""

    CREATE = "create"
    REVISE = "revise"
    KEEP = "unchanged"


class Outcome(StrEnum):
    """The result for a file."""

    CREATED = "created"
    REVISED = "revised"
    UNCHANGED = "unchanged"
    FAILED = "failed"  # nothing was stored
    UNKNOWN = "unknown"  # it may have been stored
    NOT_BEGUN = "not begun"


@dataclass
class Step:
    """One file of a plan.

    Attributes:
        path: The path of the file.
        key: The key to store it under.
        workflow: The workflow in the file.
        action: The change.
        stored: The stored workflow: before the deployment as the plan has it, after it as it is then.
        differences: The differences between what is stored and the file.
        note: A remark about the differences; empty for none.
        outcome: The outcome of its deployment; `None` before the deployment.
        error: The reason why it failed.
    """

    path: str
    key: str
    workflow: LoadedWorkflow
    action: Action = Action.CREATE
    stored: StoredWorkflow | None = None
    differences: Sequence[Difference] = field(default_factory=list["Difference"])
    note: str = ""
    outcome: Outcome | None = None
    error: str | None = None


class ChangedError(Exception):
    """A stored workflow is not the one that the plan has shown. Nothing was sent."""


# --- The files ----------------------------------------------------------------------------------------------------


def read(args: argparse.Namespace) -> list[Step]:
    """Return a step for each workflow file that the arguments name. Reads and checks all of them, and sends nothing.

    Raises:
        UsageError: there are none, one cannot be deployed, or two have the same key.
    """
    from scout import WorkflowFileError

    files = _search.find_workflows(args.paths)
    if not files:
        raise _exits.UsageError(_search.NOTHING)
    if args.key is not None and len(files) > 1:
        raise _exits.UsageError(f"--key is for one file, and these are {len(files)}")
    steps: list[Step] = []
    problems: list[str] = []
    for file in files:
        try:
            steps.append(_read_one(file, args))
        except (WorkflowFileError, _exits.UsageError) as error:
            problems.append(str(error))
    by_key: dict[str, list[str]] = {}
    for step in steps:
        by_key.setdefault(step.key, []).append(step.path)
    for key, paths in by_key.items():
        if len(paths) > 1:
            same = f"{' and '.join(paths)} have the same key, {key!r}"
            problems.append(f"{same}; give one of them another workflow_key")
    if problems:
        raise _exits.UsageError("\n  ".join(["nothing was deployed:", *problems]))
    return steps


def _read_one(file: str, args: argparse.Namespace) -> Step:
    """Return the step of a file.

    Raises:
        WorkflowFileError: it cannot be read, or is not a workflow.
        UsageError: it cannot be deployed.
    """
    from scout import load_workflow

    workflow = load_workflow(file, require_fields=True)
    _checks.passed(workflow, args)
    key = args.key if args.key is not None else workflow.key if workflow.key is not None else _key_for(file)
    if not key:
        raise _exits.UsageError(f"{file}: the key must not be empty; put a workflow_key into the file, or give --key")
    return Step(file, key, workflow)


def _key_for(file: str) -> str:
    """Return the key of a file without `workflow_key`: the name of its folder for `workflow.*`, else its own."""
    path = Path(os.path.abspath(file))  # noqa: PTH100 - without following links, whose names are the user's own
    return path.parent.name if path.stem == _NAMED_AFTER_ITS_FOLDER else path.stem


# --- The plan -----------------------------------------------------------------------------------------------------


def compare(steps: Iterable[Step], found: dict[str, StoredWorkflow], *, force: bool) -> None:
    """Complete the steps with what is stored under their keys.

    Args:
        steps: The steps, as `read` returns them.
        found: The stored workflows, by key.
        force: Store a revision also of what has not changed.
    """
    for step in steps:
        stored = step.stored = found.get(step.key)
        if stored is None:
            continue
        if stored.matches(step.workflow.config):
            step.action = Action.REVISE if force else Action.KEEP
            step.note = "it has not changed, and --force stores it again" if force else ""
        else:
            step.action = Action.REVISE
            _describe(step, stored)


def _describe(step: Step, stored: StoredWorkflow) -> None:
    from scout import WorkflowFileError, diff

    notes = ["the newest state is a draft, which is not deployed"] if stored.is_draft is True else []
    try:
        meaning = diff(stored, step.workflow)
        with_canvas = diff(stored, step.workflow, ui=True)
    except WorkflowFileError as error:
        notes.append(f"what is stored cannot be compared: {error}")
    else:
        # What the canvas of the editor shows is told in full only when nothing else has changed.
        step.differences = meaning or with_canvas
        if not meaning:
            notes.append(_ONLY_CANVAS if with_canvas else _rest(step, stored))
        elif len(with_canvas) > len(meaning):
            notes.append(_ALSO_CANVAS)
    step.note = "; ".join(notes)


_ONLY_CANVAS = "only the canvas of the editor has changed"
_ALSO_CANVAS = "the canvas of the editor has changed as well, which scout diff --ui shows"


def _rest(step: Step, stored: StoredWorkflow) -> str:
    """Return what has changed when `diff` finds nothing."""
    if replace(stored, is_draft=False).matches(step.workflow.config):
        return "the draft is the same"
    orders = [
        [block["block_id"] for block in config.get("blocks") or ()] for config in (stored.config, step.workflow.config)
    ]
    return f"only the {'order of blocks' if orders[0] != orders[1] else 'name of the output mark'} has changed"


# --- Carrying it out ----------------------------------------------------------------------------------------------


def carry_out(step: Step, workflows: Workflows, options: dict[str, Any]) -> None:
    """Make the change of a step, provided that what is stored is still what the plan has shown.

    Its outcome is unknown from the moment when the request for the change is sent until it is answered.

    Raises:
        ChangedError: what is stored has changed since the plan was made.
        ScoutError: a request failed.
    """
    if step.stored is None:
        step.outcome = Outcome.UNKNOWN
        step.stored = workflows.create(step.workflow, key=step.key, **options)
        step.outcome = Outcome.CREATED
        return
    planned = step.stored
    now = workflows.get(planned.id, **options)
    if _state(now) != _state(planned):
        what = f": it is revision {now.revision_id} now" if now.revision_id != planned.revision_id else ""
        raise ChangedError(f"{planned.id} has been changed since the plan was made{what}; nothing was sent")
    step.outcome = Outcome.UNKNOWN
    step.stored = workflows.create_revision(step.workflow, id=planned.id, **options)
    step.outcome = Outcome.REVISED


def _state(workflow: StoredWorkflow) -> tuple[Any, ...]:
    # Not the times: other things than a new state may change them.
    return workflow.key, workflow.revision_id, workflow.config


_ABOUT_THE_FILE = (400, 404, 409, 413, 422)


def is_about_the_file(error: ScoutError) -> bool:
    """Return True for an error that says nothing about the next file: it was refused, and the service works."""
    from scout import APIStatusError, ConfigurationError, WorkflowFileError

    if isinstance(error, APIStatusError):
        return error.status in _ABOUT_THE_FILE
    return isinstance(error, ConfigurationError | WorkflowFileError)
