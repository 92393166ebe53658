"""The command `scout deploy`: store workflow files, after a plan of what would change."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from scout.cli import _checks, _connection, _differences, _exits, _plan, _search, _storing
from scout.cli._plan import Action, Outcome
from scout.cli._terminal import (
    agrees,
    answer,
    answer_escaped,
    answer_json,
    answer_styled,
    as_json,
    can_ask,
    talk,
    wants_colour,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from scout import Workflows
    from scout.cli._plan import Step

DESCRIPTION = """\
Store workflow files, after a plan of what would change: each file creates a workflow, or a revision of the one with
its key, or nothing. The key is workflow_key in the file; else the name of the folder of a file that is named workflow,
and the name of any other file.

examples:
  scout deploy flows --dry-run
  scout deploy flows --yes
  scout deploy flows --dry-run --exit-code
  scout deploy workflow.yml --key hello

exit codes of --dry-run --exit-code: 0 nothing would change, 1 something would change, 2 or 3 an error.
"""

_SIGNS = {Action.CREATE: ("+", "green"), Action.REVISE: ("~", "yellow"), Action.KEEP: (" ", "dim")}
_SUMMARY = {Action.CREATE: "to create", Action.REVISE: "to revise", Action.KEEP: "unchanged"}
_AGAIN = "run the command again to see a new plan"
_UNKNOWN = "it is not known whether it was deployed; with --dry-run the command shows what is stored by then"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    _search.add_paths(parser)
    parser.add_argument("--dry-run", action="store_true", help="show the plan, and change nothing")
    parser.add_argument(
        "--exit-code", action="store_true", help="with --dry-run, exit with 1 if something would change"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    parser.add_argument("--key", metavar="KEY", help="the key to store a file under; for one file")
    parser.add_argument("--force", action="store_true", help="store a revision also of what has not changed")
    parser.add_argument("--json", action="store_true", help="print plan and results as one JSON object")
    _checks.add_argument(parser)
    _connection.add_base_url(parser)
    _connection.add_arguments(parser)
    parser.set_defaults(handler=_deploy)


def _deploy(args: argparse.Namespace) -> int:
    _check_options(args)
    steps = _plan.read(args)

    from scout import ScoutError

    options = _connection.given(args)
    try:
        with _connection.connected(lambda: _connection.connect(args)) as client:
            workflows = client.workflows
            _plan.compare(steps, workflows.find([step.key for step in steps], **options), force=args.force)
            if not args.json:
                _show(steps)
            if args.dry_run:
                return _end_dry_run(steps, args)
            if not _is_confirmed(steps, args, client.base_url):
                talk("not deployed")
                return _exits.USAGE
            _exits.hold_in_result()
            try:
                return _carry_out(steps, workflows, options, json=args.json)
            finally:
                _report(steps, args)
    except ScoutError as error:
        return _storing.explain(error)


def _check_options(args: argparse.Namespace) -> None:
    if args.exit_code and not args.dry_run:
        raise _exits.UsageError("--exit-code goes with --dry-run")
    if args.dry_run or args.yes:
        return
    if args.json:
        raise _exits.UsageError("with --json, deploy does not ask; give --yes, or --dry-run to see only the plan")
    if not can_ask():
        raise _exits.UsageError(
            "deploy asks on a terminal; elsewhere it needs --yes, or --dry-run to see only the plan"
        )


def _is_confirmed(steps: Sequence[Step], args: argparse.Namespace, url: str) -> bool:
    changes = [step for step in steps if step.action is not Action.KEEP]
    if args.yes or not changes:
        return True
    return agrees(f"deploy {_checks.counted(len(changes), 'workflow')} to {url}?")


def _end_dry_run(steps: Sequence[Step], args: argparse.Namespace) -> int:
    if args.json:
        _print_json(steps, args)
    changes = any(step.action is not Action.KEEP for step in steps)
    return _exits.PROBLEMS if changes and args.exit_code else _exits.DONE


# --- Carrying it out ----------------------------------------------------------------------------------------------


def _carry_out(steps: Sequence[Step], workflows: Workflows, options: dict[str, Any], *, json: bool) -> int:
    """Make the changes one after the other, and return the highest exit code.

    A file that is refused does not stop the others. A failure of the service or of the network does.
    """
    for step in steps:
        step.outcome = Outcome.UNCHANGED if step.action is Action.KEEP else Outcome.NOT_BEGUN
    highest = _exits.DONE
    for step in steps:
        if step.outcome is Outcome.UNCHANGED:
            continue
        code, goes_on = _attempt(step, workflows, options)
        if code == _exits.DONE and step.stored is not None and not json:
            answer_styled((f"{step.outcome} {_name(step)}: {step.stored.id}, revision {step.stored.revision_id}", ""))
        highest = max(highest, code)
        if not goes_on:
            break
    return highest


def _attempt(step: Step, workflows: Workflows, options: dict[str, Any]) -> tuple[int, bool]:
    """Make the change of one step. Return its exit code, and whether the next step may be begun."""
    from scout import ConflictError, NotFoundError, ScoutError

    try:
        _plan.carry_out(step, workflows, options)
    except _plan.ChangedError as error:
        step.outcome, step.error = Outcome.FAILED, str(error)
        talk(f"{_name(step)}: {error}; {_AGAIN}")
        return _exits.USAGE, True
    except ScoutError as error:
        if step.outcome is not Outcome.UNKNOWN or not error.run_may_have_started:
            step.outcome = Outcome.FAILED
        step.error = str(error)
        talk(f"{_name(step)} was not deployed" if step.outcome is Outcome.FAILED else f"{_name(step)}: {_UNKNOWN}")
        code = _storing.explain(error, step.workflow)
        if isinstance(error, ConflictError | NotFoundError):
            talk(f"it may have been stored or deleted since the plan was made; {_AGAIN}")
        return code, _plan.is_about_the_file(error)
    except KeyboardInterrupt:
        if step.outcome is not Outcome.UNKNOWN:
            raise
        step.error = f"interrupted; {_storing.INTERRUPTED}"
        raise KeyboardInterrupt(f"{_name(step)}: {_storing.INTERRUPTED}") from None
    return _exits.DONE, True


# --- Output -------------------------------------------------------------------------------------------------------


def _show(steps: Sequence[Step]) -> None:
    """Print the plan."""
    for step in steps:
        sign, style = _SIGNS[step.action]
        where = f" ({step.stored.id})" if step.stored is not None else ""
        answer_styled((f"{sign} {step.action} {_name(step)}{where}", style), (f" from {step.path}", ""))
        if step.action is Action.CREATE and (blocks := step.workflow.block_ids):
            answer_styled((f"    {_checks.counted(len(blocks), 'block')}: {_checks.few(blocks)}", ""))
        if step.note:
            answer_styled((f"    {step.note}", ""))
        titles = _differences.titles(step.workflow)
        for line in _differences.lines(step.differences, names=titles, colour=wants_colour(sys.stdout)):
            answer_escaped(f"    {line}")
    numbers = Counter(step.action for step in steps)
    answer(", ".join(f"{numbers[action]} {words}" for action, words in _SUMMARY.items()))


def _report(steps: Sequence[Step], args: argparse.Namespace) -> None:
    """Print what became of the steps."""
    if args.json:
        _print_json(steps, args)
    for step in steps:
        if step.outcome is Outcome.NOT_BEGUN:
            talk(f"not begun: {_name(step)} from {step.path}")
    if not args.json and any(step.action is not Action.KEEP for step in steps):
        numbers = Counter(step.outcome for step in steps)
        answer(", ".join(f"{numbers[outcome]} {outcome}" for outcome in Outcome if numbers[outcome]))


def _print_json(steps: Sequence[Step], args: argparse.Namespace) -> None:
    numbers = Counter(step.action for step in steps)
    document = {
        "dry_run": args.dry_run,
        "workflows": [_as_json(step) for step in steps],
        "plan": {str(action): numbers[action] for action in _SUMMARY},
    }
    answer_json(document)


def _as_json(step: Step) -> dict[str, Any]:
    stored = step.stored
    return {
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


def _name(step: Step) -> str:
    return step.key if step.key.isprintable() and " " not in step.key else as_json(step.key)
