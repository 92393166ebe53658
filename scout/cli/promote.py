"""The command `scout promote`: make one environment of stored workflows run what another one runs now."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any

from scout.cli import _connection, _differences, _environments, _exits, _plan, _references, _steps, _storing
from scout.cli._steps import ChangedError, Outcome
from scout.cli._terminal import answer, answer_styled

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from scout import Difference, LoadedWorkflow, StoredWorkflow, Workflows
    from scout.cli._environments import Live

DESCRIPTION = """\
Make one environment run what another one runs now, after a plan of what would change.

examples:
  scout promote hello staging production --dry-run
  scout promote hello staging production
  scout promote hello goodbye staging production --yes
  scout promote hello staging production --dry-run --exit-code

TO is pinned to the revision that FROM runs. To go back, pin it to the one before:
`scout workflows set-environment hello production REVISION`.

exit codes of --dry-run --exit-code: 0 nothing would change, 1 something would change, 2 or 3 an error.
"""


class _Action(StrEnum):
    PROMOTE = "promote"
    KEEP = "unchanged"


_SUMMARY = {_Action.PROMOTE: "to promote", _Action.KEEP: "unchanged"}


@dataclass
class _Step(_steps.Step):
    """One workflow of the plan.

    Attributes:
        stored: The workflow, in its newest saved state.
        live: What its environments run when the plan is made.
        source: The environment whose revision is promoted.
        target: The environment that gets it.
        revision_id: The revision.
        before: The revision in the target; `None` when it is not one, or is not known.
        workflows: The configs in both, as far as they are known.
        differences: The differences between the two.
        note: A remark about the differences; empty for none.
    """

    stored: StoredWorkflow
    live: Live
    source: str
    target: str
    revision_id: str
    before: str | None
    workflows: Sequence[LoadedWorkflow] = ()
    differences: Sequence[Difference] = field(default_factory=list["Difference"])
    note: str = ""

    @property
    def name(self) -> str:
        """The key, or the id of a workflow without one."""
        return _steps.word(self.stored.key or self.stored.id)

    @property
    def action(self) -> _Action:
        """The change."""
        return _Action.KEEP if self.before == self.revision_id else _Action.PROMOTE

    @property
    def is_change(self) -> bool:
        """True unless the target runs the revision already."""
        return self.action is not _Action.KEEP

    def done(self) -> str:
        """Return the line for a workflow that was promoted."""
        before = f", and ran {self.before} before" if self.before is not None else ""
        return f"promoted {self.name}: {self.target} runs {self.revision_id}{before}"

    def undone(self) -> str:
        """Return the message for a workflow that was not promoted, or perhaps not."""
        if self.outcome is Outcome.FAILED:
            return f"{self.name} was not promoted"
        how = f"scout workflows environments {self.stored.id}"
        return f"{self.name}: it is not known whether {self.target} runs {self.revision_id}; `{how}` tells"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    environment = _environments.one_of_them()
    parser.add_argument("ids", nargs="+", metavar=_references.METAVAR, help=_references.HELP)
    parser.add_argument(
        "source",
        metavar="FROM",
        type=environment,
        help="the environment whose revision is taken: production, staging or development",
    )
    parser.add_argument(
        "target", metavar="TO", type=environment, help="the environment that is to run it, another of the three"
    )
    _steps.add_arguments(parser)
    _exits.add_json(parser, "print plan and results as one JSON object")
    _connection.add_base_url(parser)
    _connection.add_arguments(parser)
    parser.set_defaults(handler=_promote)


def _promote(args: argparse.Namespace) -> int:
    from scout import ScoutError

    if args.source == args.target:
        raise _exits.UsageError(f"FROM and TO are both {args.source}")
    _steps.check_options(args, "promote")
    references = [_references.reference(word) for word in args.ids]
    options = _connection.given(args)
    try:
        with _connection.connected(lambda: _connection.connect(args)) as client:
            workflows = client.workflows
            return _steps.offer(
                _plan_of(references, workflows, options, args),
                args,
                verb="promote",
                where=f"{args.target} at {client.base_url}",
                show=_show,
                facts=partial(_facts, args=args),
                change=lambda step: _change(step, workflows, options),
            )
    except ScoutError as error:
        return _storing.explain(error)


# --- The plan -----------------------------------------------------------------------------------------------------


def _plan_of(
    references: Sequence[str], workflows: Workflows, options: dict[str, Any], args: argparse.Namespace
) -> list[_Step]:
    """Return the step of each workflow. Sends nothing but reads.

    Raises:
        UsageError: one cannot be promoted.
        ScoutError: a request failed.
    """
    found = [workflows.get(reference, **options) for reference in references]
    by_id = {stored.id: stored for stored in found}
    return [_plan_one(stored, workflows, options, args) for stored in by_id.values()]


def _plan_one(stored: StoredWorkflow, workflows: Workflows, options: dict[str, Any], args: argparse.Namespace) -> _Step:
    live = _environments.read(workflows, stored, options)
    name = _steps.word(stored.key or stored.id)
    for environment in (args.source, args.target):
        live.check(environment, name)
    revision_id = live.revision_in(args.source)
    if revision_id is None:
        how = f"scout workflows set-environment {stored.id} {args.target} REVISION"
        raise _exits.UsageError(
            f"{name}: {args.source} runs {live.text(args.source)}, which is not one revision; "
            f"`{how}` says which one {args.target} is to run"
        )
    step = _Step(stored, live, args.source, args.target, revision_id, live.revision_in(args.target))
    if step.is_change:
        _compare(step, workflows.revisions(stored.id, **options))
    return step


def _compare(step: _Step, revisions: list[StoredWorkflow]) -> None:
    """Complete a step with the differences between what its target runs and what it is to run."""
    from scout import load_workflow

    after = _environments.revision(step.revision_id, revisions)
    before = None if step.before is None else _environments.revision(step.before, revisions)
    if before is None or after is None:
        step.note = "what changes is not known, because the list of revisions lacks one of the two"
        return
    step.workflows = [load_workflow(each) for each in (before, after)]
    step.differences, step.note = _plan.describe(before, step.workflows[1])


# --- Carrying it out ----------------------------------------------------------------------------------------------


def _change(step: _Step, workflows: Workflows, options: dict[str, Any]) -> None:
    """Set the target of a step, provided that both environments still run what the plan has shown.

    Raises:
        ChangedError: one of them does not.
        ScoutError: a request failed.
    """
    now = _environments.read(workflows, workflows.get(step.stored.id, **options), options)
    if changed := step.live.changed_in(now, (step.source, step.target)):
        raise ChangedError(f"this has been changed since the plan was made: {changed}; nothing was sent")
    step.outcome, step.is_repeated = Outcome.UNKNOWN, True
    environment_id = step.live.by_name[step.target].id
    workflows.set_environment(step.stored.id, environment_id, revision_id=step.revision_id, **options)
    step.outcome = Outcome.PROMOTED


# --- Output -------------------------------------------------------------------------------------------------------


def _show(steps: Sequence[_Step]) -> None:
    """Print the plan."""
    for step in steps:
        sign, style = ("~", "yellow") if step.is_change else (" ", "dim")
        answer_styled((f"{sign} {step.action} {step.name} ({step.stored.id})", style))
        if step.is_change:
            answer_styled((f"    {step.target}: {step.live.text(step.target)} -> {step.revision_id}", ""))
            _differences.show(step.differences, step.note, *step.workflows)
        else:
            answer_styled((f"    {step.target} runs it already: {step.live.text(step.target)}", ""))
    numbers = Counter(step.action for step in steps)
    answer(", ".join(f"{numbers[action]} {words}" for action, words in _SUMMARY.items()))


def _facts(steps: Sequence[_Step], args: argparse.Namespace) -> dict[str, Any]:
    numbers = Counter(step.action for step in steps)
    return {
        "dry_run": args.dry_run,
        "from": args.source,
        "to": args.target,
        "workflows": [_as_json(step) for step in steps],
        "plan": {str(action): numbers[action] for action in _SUMMARY},
    }


def _as_json(step: _Step) -> dict[str, Any]:
    return {
        "workflow_id": step.stored.id,
        "workflow_key": step.stored.key,
        "action": step.action,
        "outcome": step.outcome,
        "revision_id": step.revision_id,
        "revision_before": step.before,
        "differences": [_differences.facts(each) for each in step.differences],
        "note": step.note or None,
        "error": step.error,
    }
