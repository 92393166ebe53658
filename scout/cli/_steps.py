"""The steps of a plan, one for each stored workflow, and what becomes of the others when one of them fails."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from scout.cli import _checks, _exits, _storing
from scout.cli._terminal import agrees, answer, answer_json, answer_styled, as_json, can_ask, talk

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from scout import LoadedWorkflow, ScoutError

AGAIN = "run the command again to see a new plan"


class Outcome(StrEnum):
    """The result of a step."""

    CREATED = "created"
    REVISED = "revised"
    PROMOTED = "promoted"
    SET = "set"  # an environment runs another revision, which was stored before
    UNCHANGED = "unchanged"
    STORED = "stored"  # the revision is stored, and the environment was not set to it
    FAILED = "failed"  # nothing was stored, or set
    UNKNOWN = "unknown"  # it may have been done
    NOT_BEGUN = "not begun"


class ChangedError(Exception):
    """What is stored is not what the plan has shown. The change was not sent."""


@dataclass(kw_only=True)
class Step(ABC):
    """One workflow of a plan.

    Attributes:
        outcome: The outcome; `None` before the plan is carried out, and `UNCHANGED` where there is nothing to do.
        certain: The outcome if the request that is sent now has done nothing.
        is_repeated: True while that request is one that is repeated after any transient failure, so that only a refusal
            says that it has done nothing.
        error: The reason why it failed.
        warnings: What has been done beside the outcome, or may have been.
    """

    outcome: Outcome | None = None
    certain: Outcome = Outcome.FAILED
    is_repeated: bool = False
    error: str | None = None
    warnings: list[str] = field(default_factory=list[str])

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the workflow in messages."""

    @property
    @abstractmethod
    def is_change(self) -> bool:
        """True when there is something to do."""

    @property
    def title(self) -> str:
        """The name, and where the workflow is from."""
        return self.name

    @property
    def file(self) -> LoadedWorkflow | None:
        """The file that is sent, whose places are named when it is refused."""
        return None

    @abstractmethod
    def done(self) -> str:
        """Return the line for a step that was carried out."""

    @abstractmethod
    def undone(self) -> str:
        """Return the message for the outcome of a step that was not carried out, or perhaps not."""


StepT = TypeVar("StepT", bound=Step)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that shows a plan and asks."""
    parser.add_argument("--dry-run", action="store_true", help="show the plan, and change nothing")
    parser.add_argument(
        "--exit-code", action="store_true", help="with --dry-run, exit with 1 if something would change"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")


def offer(
    steps: Sequence[StepT],
    args: argparse.Namespace,
    *,
    verb: str,
    where: str,
    show: Callable[[Sequence[StepT]], None],
    facts: Callable[[Sequence[StepT]], dict[str, Any]],
    change: Callable[[StepT], None],
) -> int:
    """Show a plan, ask, carry it out, and print what became of it. Return the exit code.

    Args:
        steps: The steps.
        args: The arguments of the command.
        verb: What the command does to a workflow.
        where: The target of that, for the question.
        show: Prints the plan.
        facts: Returns the plan with its outcomes as JSON.
        change: As in `_carry_out`.
    """
    changes = [step for step in steps if step.is_change]
    if not args.json:
        show(steps)
    if args.dry_run:
        if args.json:
            answer_json(facts(steps))
        return _exits.PROBLEMS if changes and args.exit_code else _exits.DONE
    if changes and not args.yes and not agrees(f"{verb} {_checks.counted(len(changes), 'workflow')} to {where}?"):
        talk(f"not {verb.removesuffix('e')}ed")
        return _exits.USAGE
    _exits.hold_in_result()
    try:
        return _carry_out(steps, change, json=args.json)
    finally:
        if args.json:
            answer_json(facts(steps))
        for step in steps:
            if step.outcome is Outcome.NOT_BEGUN:
                talk(f"not begun: {step.title}")
        if changes and not args.json:
            numbers = Counter(step.outcome for step in steps)
            answer(", ".join(f"{numbers[outcome]} {outcome}" for outcome in Outcome if numbers[outcome]))


def _carry_out(steps: Sequence[StepT], change: Callable[[StepT], None], *, json: bool) -> int:
    """Make the changes one after the other, and return the highest exit code.

    A workflow that is refused does not stop the others. A failure of the service or of the network does.

    Args:
        steps: The steps.
        change: Makes the change of a step and sets its outcome: `UNKNOWN` while a request for a change is under way.
        json: Print nothing on stdout.
    """
    for step in steps:
        step.outcome = Outcome.NOT_BEGUN if step.is_change else Outcome.UNCHANGED
    highest = _exits.DONE
    for step in steps:
        if step.outcome is Outcome.UNCHANGED:
            continue
        code, goes_on = _attempt(step, change)
        if code == _exits.DONE and not json:
            answer_styled((step.done(), ""))
        highest = max(highest, code)
        if not goes_on:
            break
    return highest


def _attempt(step: StepT, change: Callable[[StepT], None]) -> tuple[int, bool]:
    """Make the change of one step. Return its exit code, and whether the next step may be begun."""
    from scout import ConflictError, NotFoundError, ScoutError

    try:
        change(step)
    except ChangedError as error:
        step.outcome, step.error = step.certain, str(error)
        talk(f"{step.name}: {error}; {AGAIN}")
        _warn(step)
        return _exits.USAGE, True
    except ScoutError as error:
        if step.outcome is not Outcome.UNKNOWN or not may_be_done(step, error):
            step.outcome = step.certain
        step.error = str(error)
        talk(step.undone())
        code = _storing.explain(error, step.file)
        _warn(step)
        if isinstance(error, ConflictError | NotFoundError):
            talk(f"it may have been stored or deleted since the plan was made; {AGAIN}")
        return code, is_about_the_workflow(error)
    except KeyboardInterrupt:
        _warn(step)
        if step.outcome is Outcome.NOT_BEGUN:
            raise
        step.error = f"interrupted; {step.undone()}"
        raise KeyboardInterrupt(step.undone()) from None
    return _exits.DONE, True


def _warn(step: Step) -> None:
    for warning in step.warnings:
        talk(f"{step.name}: {warning}")


def word(name: str) -> str:
    """Return a key as a word of a message: as JSON when it is more than a word."""
    return name if name.isprintable() and " " not in name else as_json(name)


def may_be_done(step: Step, error: ScoutError) -> bool:
    """Return True unless it is certain that the request that failed has done nothing."""
    from scout import APIStatusError, ConfigurationError

    if not step.is_repeated:
        return error.run_may_have_started
    is_refusal = isinstance(error, APIStatusError) and error.status < 500 and error.status != _TIMED_OUT
    return not (is_refusal or isinstance(error, ConfigurationError))


_TIMED_OUT = 408
_ABOUT_THE_WORKFLOW = (400, 404, 409, 413, 422)


def is_about_the_workflow(error: ScoutError) -> bool:
    """Return True for an error that says nothing about the next step: it was refused, and the service works."""
    from scout import APIStatusError, ConfigurationError, WorkflowFileError

    if isinstance(error, APIStatusError):
        return error.status in _ABOUT_THE_WORKFLOW
    return isinstance(error, ConfigurationError | WorkflowFileError)


def check_options(args: argparse.Namespace, name: str) -> None:
    """Check the options of a command that shows a plan and asks.

    Raises:
        UsageError: they do not go together, or it could not ask.
    """
    if args.exit_code and not args.dry_run:
        raise _exits.UsageError("--exit-code goes with --dry-run")
    if args.dry_run or args.yes:
        return
    if args.json:
        raise _exits.UsageError(f"with --json, {name} does not ask; give --yes, or --dry-run to see only the plan")
    if not can_ask():
        raise _exits.UsageError(
            f"{name} asks on a terminal; elsewhere it needs --yes, or --dry-run to see only the plan"
        )
