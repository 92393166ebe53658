"""The plan of `scout deploy`: what each file would change, and carrying it out file by file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scout.cli import _checks, _environments, _exits, _search, _steps
from scout.cli._steps import ChangedError, Outcome

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    from scout import Difference, LoadedWorkflow, StoredWorkflow, Workflows
    from scout.cli._environments import Live

_NAMED_AFTER_ITS_FOLDER = "workflow"


class Action(StrEnum):
    """The change that a file asks for."""

    CREATE = "create"
    REVISE = "revise"
    SET = "set"
    KEEP = "unchanged"


@dataclass
class Step(_steps.Step):
    """One file of a plan.

    Attributes:
        path: The path of the file.
        key: The key to store it under.
        workflow: The workflow in the file.
        to: The environment that is to run it; `None` where the server decides what becomes live.
        action: The change.
        stored: The stored workflow: before the deployment as the plan has it, after it as it is then.
        live: What its environments run, when there is `to`: before the deployment, and after that of a new workflow.
        differences: The differences between what is stored and the file.
        note: A remark about the differences; empty for none.
    """

    path: str
    key: str
    workflow: LoadedWorkflow
    to: str | None = None
    action: Action = Action.CREATE
    stored: StoredWorkflow | None = None
    live: Live | None = None
    differences: Sequence[Difference] = field(default_factory=list["Difference"])
    note: str = ""

    @property
    def name(self) -> str:
        """The key."""
        return _steps.word(self.key)

    @property
    def title(self) -> str:
        """The key, and the path of the file."""
        return f"{self.name} from {self.path}"

    @property
    def is_change(self) -> bool:
        """True unless everything is as the file has it."""
        return self.action is not Action.KEEP

    @property
    def file(self) -> LoadedWorkflow:
        """The file."""
        return self.workflow

    def done(self) -> str:
        """Return the line for a file that was deployed."""
        if self.stored is None:
            return f"{self.outcome} {self.name}"
        where = f"; {self.to} runs it" if self.to is not None else ""
        if self.live is not None and self.outcome is Outcome.CREATED:
            others = self.live.that_run(self.stored.revision_id)
            where = f"; {_listed(list(dict.fromkeys([self.to or '', *others])))}"
        return f"{self.outcome} {self.name}: {self.stored.id}, revision {self.stored.revision_id}{where}"

    def undone(self) -> str:
        """Return the message for a file that was not deployed, or perhaps not."""
        if self.outcome is Outcome.FAILED:
            return f"{self.name} was not deployed"
        if self.certain is not Outcome.STORED or self.stored is None:
            return f"{self.name}: {_UNKNOWN}"
        # Not that it does not run there: an environment that follows the newest revision does so without being set.
        was_set = f"it is not known whether {self.to} was" if self.outcome is Outcome.UNKNOWN else f"{self.to} was not"
        how = f"scout workflows set-environment {self.stored.id} {self.to} {self.stored.revision_id}"
        return f"{self.name}: revision {self.stored.revision_id} is stored, and {was_set} set to it; `{how}` sets it"

    def environments(self) -> list[dict[str, Any]]:
        """Return what the environments ran when the plan was made, and the change of each, as JSON."""
        if self.live is None:
            return []
        changes = dict.fromkeys(self.live.followers(self.to or ""), "pinned") if self.action is Action.REVISE else {}
        changes |= {self.to or "": "set"} if self.is_change else {}
        return [
            {
                "name": name,
                "revision_id": self.live.revision_in(name),
                "follows_latest": environment.follows_latest,
                "change": changes.get(name),
            }
            for name, environment in self.live.by_name.items()
        ]

    def changes_of_environments(self) -> Iterator[str]:
        """Yield a line for each environment: what it runs, and what it will run."""
        if self.to is None:
            return
        if self.live is None or self.stored is None:
            yield f"{self.to}: this file"
            yield _NEW
            return
        if not self.is_change:
            yield f"{self.to} runs it already: {self.live.text(self.to)}"
            return
        new = "this file" if self.action is Action.REVISE else f"{self.stored.revision_id} (stored already)"
        yield f"{self.to}: {self.live.text(self.to)} -> {new}"
        for name, environment in self.live.by_name.items():
            if name == self.to:
                continue
            if environment.follows_latest and self.action is Action.REVISE:
                now = self.live.revision_in(name)
                yield f"{name} follows the newest revision; it is pinned to {now}, which it runs now"
            else:
                yield f"{name} stays at {self.live.text(name)}"


_UNKNOWN = "it is not known whether it was deployed; with --dry-run the command shows what is stored by then"
_NEW = "Scout decides what the other environments of a new workflow run; it is shown afterwards"


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last} run it" if most else f"{last} runs it"


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
    return Step(file, key, workflow, args.to)


def _key_for(file: str) -> str:
    """Return the key of a file without `workflow_key`: the name of its folder for `workflow.*`, else its own."""
    path = Path(os.path.abspath(file))  # noqa: PTH100 - without following links, whose names are the user's own
    return path.parent.name if path.stem == _NAMED_AFTER_ITS_FOLDER else path.stem


# --- The plan -----------------------------------------------------------------------------------------------------


def compare(steps: Iterable[Step], workflows: Workflows, options: dict[str, Any], *, force: bool) -> None:
    """Complete the steps with what is stored under their keys, and with what the environments run.

    Args:
        steps: The steps, as `read` returns them.
        workflows: The stored workflows.
        options: The options of the requests.
        force: Store a revision also of what has not changed.

    Raises:
        UsageError: a file cannot be deployed to its environment.
        ScoutError: a request failed.
    """
    found = workflows.find([step.key for step in steps], **options)
    for step in steps:
        if (stored := found.get(step.key)) is None:
            continue
        step.stored = stored
        running: StoredWorkflow | None = stored
        if step.to is not None:
            step.live = _environments.read(workflows, stored, options)
            step.live.check(step.to, step.name)
            running = _running(step.live, step.to, stored, workflows, options)
        before = running or stored
        if before is running and before.matches(step.workflow.config) and not force:
            step.action = Action.KEEP
            continue
        step.action = Action.SET if stored.matches(step.workflow.config) and not force else Action.REVISE
        if step.action is Action.REVISE and step.live is not None and step.to is not None:
            _check_others(step, step.live, step.to, stored.id)
        if before.matches(step.workflow.config):
            step.note = "it has not changed, and --force stores it again" if force else ""
            continue
        step.differences, note = describe(before, step.workflow)
        step.note = "; ".join(filter(None, [_note_on_newest(step, stored, running), note]))


def _note_on_newest(step: Step, stored: StoredWorkflow, running: StoredWorkflow | None) -> str:
    if running is None:
        return (
            f"these are the differences from the newest state, because {step.to} runs no single revision that is known"
        )
    if stored.is_draft is True:
        return "the newest state is a draft, which is not deployed"
    if running is stored or step.action is not Action.REVISE:
        return ""
    return (
        f"{step.to} does not run the newest revision, {stored.revision_id}; "
        "scout diff shows the differences from that one"
    )


def _running(
    live: Live, name: str, stored: StoredWorkflow, workflows: Workflows, options: dict[str, Any]
) -> StoredWorkflow | None:
    """Return the revision that an environment runs; `None` when it is not one, or is not among the revisions."""
    revision_id = live.revision_in(name)
    if revision_id is None or revision_id == stored.revision_id:
        return None if revision_id is None else stored
    return _environments.revision(revision_id, workflows.revisions(stored.id, **options))


def _check_others(step: Step, live: Live, to: str, workflow_id: str) -> None:
    """Check that the other environments can be left as they are when a revision is stored.

    Raises:
        UsageError: one cannot be pinned.
    """
    for name in live.followers(to):
        if live.revision_in(name) is None:
            raise _exits.UsageError(
                f"{step.name}: {name} runs {live.text(name)}, and may run a new revision at once; "
                f"say first which one it is to run: `scout workflows set-environment {workflow_id} {name} REVISION`"
            )


def describe(before: StoredWorkflow, after: LoadedWorkflow) -> tuple[Sequence[Difference], str]:
    """Return the differences between what is stored and what is to take its place, and a note on them."""
    from scout import WorkflowFileError, diff

    try:
        meaning = diff(before, after)
        with_canvas = diff(before, after, ui=True)
    except WorkflowFileError as error:
        return (), f"what is stored cannot be compared: {error}"
    # What the canvas of the editor shows is told in full only when nothing else has changed.
    if not meaning:
        return with_canvas, _ONLY_CANVAS if with_canvas else _rest(before, after)
    return meaning, _ALSO_CANVAS if len(with_canvas) > len(meaning) else ""


_ONLY_CANVAS = "only the canvas of the editor has changed"
_ALSO_CANVAS = "the canvas of the editor has changed as well, which scout diff --ui shows"


def _rest(before: StoredWorkflow, after: LoadedWorkflow) -> str:
    """Return what has changed when `diff` finds nothing."""
    if replace(before, is_draft=False).matches(after.config):
        return "the draft is the same"
    orders = [[block["block_id"] for block in config.get("blocks") or ()] for config in (before.config, after.config)]
    return f"only the {'order of blocks' if orders[0] != orders[1] else 'name of the output mark'} has changed"


# --- Carrying it out ----------------------------------------------------------------------------------------------


def carry_out(step: Step, workflows: Workflows, options: dict[str, Any]) -> None:
    """Make the changes of a step, provided that what is stored is still what the plan has shown.

    Its outcome is unknown from the moment when the request for a change is sent until it is answered.

    Raises:
        ChangedError: what is stored has changed since the plan was made.
        ScoutError: a request failed.
    """
    if step.stored is None:
        step.outcome = Outcome.UNKNOWN
        step.stored = workflows.create(step.workflow, key=step.key, **options)
        _set(step, workflows, options, Outcome.CREATED)
        return
    planned = step.stored
    _check_stored(planned, workflows, options)
    _check_live(step, planned, workflows, options)
    if step.action is Action.SET:
        _set(step, workflows, options, Outcome.SET)
        return
    if _pin(step, planned, workflows, options):
        _check_stored(planned, workflows, options)
    step.outcome, step.is_repeated = Outcome.UNKNOWN, False
    step.stored = workflows.create_revision(step.workflow, id=planned.id, **options)
    _set(step, workflows, options, Outcome.REVISED)


def _check_stored(planned: StoredWorkflow, workflows: Workflows, options: dict[str, Any]) -> None:
    now = workflows.get(planned.id, **options)
    if _state(now) != _state(planned):
        what = f": it is revision {now.revision_id} now" if now.revision_id != planned.revision_id else ""
        raise ChangedError(f"{planned.id} has been changed since the plan was made{what}; the file was not sent")


def _state(workflow: StoredWorkflow) -> tuple[Any, ...]:
    # Not the times: other things than a new state may change them.
    return workflow.key, workflow.revision_id, workflow.config


def _check_live(step: Step, planned: StoredWorkflow, workflows: Workflows, options: dict[str, Any]) -> None:
    if step.live is None:
        return
    now = _environments.read(workflows, planned, options)
    if changed := step.live.changed_in(now, step.live.by_name):
        raise ChangedError(f"this has been changed since the plan was made: {changed}; nothing was sent")


def _pin(step: Step, planned: StoredWorkflow, workflows: Workflows, options: dict[str, Any]) -> bool:
    """Pin the environments that would run a new revision at once. Return True when there are any."""
    from scout import ScoutError

    if step.live is None or step.to is None:
        return False
    followers = step.live.followers(step.to)
    for name in followers:
        pinned = f"pinned to {step.live.revision_in(name)}, and followed the newest revision before"
        step.outcome, step.is_repeated = Outcome.FAILED, True
        step.warnings.append(f"it is not known whether {name} is {pinned}")
        try:
            environment_id = step.live.by_name[name].id
            workflows.set_environment(planned.id, environment_id, revision_id=step.live.revision_in(name), **options)
        except ScoutError as error:
            if not _steps.may_be_done(step, error):
                step.warnings.pop()
            raise
        step.warnings[-1] = f"{name} is {pinned}"
    return bool(followers)


def _set(step: Step, workflows: Workflows, options: dict[str, Any], outcome: Outcome) -> None:
    """Make the environment of a step run what is stored."""
    stored, to = step.stored, step.to
    if stored is not None and to is not None:
        if step.action is not Action.SET or step.live is None:
            step.outcome = step.certain = Outcome.STORED
            not_set = f"revision {stored.revision_id} is stored, and not set, because"
            now = _environments.read(workflows, stored, options)
            step.live = step.live or now
            if to not in now.by_name:
                raise ChangedError(f"{not_set} it has no environment {to}; it has {now.names()}")
            if now.by_name[to].deployments != step.live.by_name[to].deployments:
                changed = f"{to} has been changed since the plan was made: it runs {now.text(to)}"
                raise ChangedError(f"{not_set} {changed}")
        environment_id = step.live.by_name[to].id
        step.outcome, step.is_repeated = Outcome.UNKNOWN, True
        workflows.set_environment(stored.id, environment_id, revision_id=stored.revision_id, **options)
    step.outcome = outcome
