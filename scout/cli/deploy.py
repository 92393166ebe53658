"""The command `scout deploy`: store workflow files, after a plan of what would change."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from scout.cli import _checks, _connection, _differences, _environments, _exits, _plan, _search, _steps, _storing
from scout.cli._plan import Action
from scout.cli._terminal import answer, answer_styled

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from scout.cli._plan import Step

DESCRIPTION = """\
Store workflow files, after a plan of what would change: each file creates a workflow, or a revision of the one with
its key, or nothing. With --to the revision becomes live in that environment and nowhere else. The key is workflow_key
in the file; else the name of the folder of a file that is named workflow, and the name of any other file.

examples:
  scout deploy flows --dry-run
  scout deploy flows --yes
  scout deploy flows --to staging
  scout deploy flows --dry-run --exit-code
  scout deploy workflow.yml --key hello

exit codes of --dry-run --exit-code: 0 nothing would change, 1 something would change, 2 or 3 an error.
"""

_SIGNS = {
    Action.CREATE: ("+", "green"),
    Action.REVISE: ("~", "yellow"),
    Action.SET: ("~", "yellow"),
    Action.KEEP: (" ", "dim"),
}
_SUMMARY = {
    Action.CREATE: "to create",
    Action.REVISE: "to revise",
    Action.SET: "to set",
    Action.KEEP: "unchanged",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    _search.add_paths(parser)
    _steps.add_arguments(parser)
    parser.add_argument(
        "--to",
        metavar="ENVIRONMENT",
        type=_environments.one_of_them(),
        help="the environment that is to run them: production, staging or development; the others keep what they run",
    )
    parser.add_argument("--key", metavar="KEY", help="the key to store a file under; for one file")
    parser.add_argument("--force", action="store_true", help="store a revision also of what has not changed")
    _checks.add_argument(parser)
    _exits.add_json(parser, "print plan and results as one JSON object")
    _connection.add_base_url(parser)
    _connection.add_arguments(parser)
    parser.set_defaults(handler=_deploy)


def _deploy(args: argparse.Namespace) -> int:
    _steps.check_options(args, "deploy")
    steps = _plan.read(args)

    from scout import ScoutError

    options = _connection.given(args)
    try:
        with _connection.connected(lambda: _connection.connect(args)) as client:
            workflows = client.workflows
            _plan.compare(steps, workflows, options, force=args.force)
            return _steps.offer(
                steps,
                args,
                verb="deploy",
                where=client.base_url if args.to is None else f"{args.to} at {client.base_url}",
                show=partial(_show, args=args),
                facts=partial(_facts, args=args),
                change=lambda step: _plan.carry_out(step, workflows, options),
            )
    except ScoutError as error:
        return _storing.explain(error)


# --- Output -------------------------------------------------------------------------------------------------------


def _show(steps: Sequence[Step], args: argparse.Namespace) -> None:
    """Print the plan."""
    for step in steps:
        sign, style = _SIGNS[step.action]
        where = f" ({step.stored.id})" if step.stored is not None else ""
        answer_styled((f"{sign} {step.action} {step.name}{where}", style), (f" from {step.path}", ""))
        if step.action is Action.CREATE and (blocks := step.workflow.block_ids):
            answer_styled((f"    {_checks.counted(len(blocks), 'block')}: {_checks.few(blocks)}", ""))
        _differences.show(step.differences, step.note, step.workflow)
        for line in step.changes_of_environments():
            answer_styled((f"    {line}", ""))
    answer(", ".join(f"{number} {_SUMMARY[action]}" for action, number in _numbers(steps, args).items()))


def _numbers(steps: Sequence[Step], args: argparse.Namespace) -> dict[Action, int]:
    """Return how many files have each action that there can be."""
    numbers = Counter(step.action for step in steps)
    return {action: numbers[action] for action in _SUMMARY if action is not Action.SET or args.to is not None}


def _facts(steps: Sequence[Step], args: argparse.Namespace) -> dict[str, Any]:
    to = {} if args.to is None else {"to": args.to}
    return {
        "dry_run": args.dry_run,
        **to,
        "workflows": [_as_json(step) for step in steps],
        "plan": {str(action): number for action, number in _numbers(steps, args).items()},
    }


def _as_json(step: Step) -> dict[str, Any]:
    stored = step.stored
    facts: dict[str, Any] = {
        "path": step.path,
        "workflow_key": step.key,
        "action": step.action,
        "outcome": step.outcome,
        "workflow_id": None if stored is None else stored.id,
        "revision_id": None if stored is None else stored.revision_id,
        "differences": [_differences.facts(each) for each in step.differences],
        "note": step.note or None,
        "error": step.error,
    }
    if step.to is not None:
        facts |= {"environments": step.environments(), "warnings": step.warnings}
    return facts
