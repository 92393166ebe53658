"""The check of a workflow before it is sent, for the commands that run or deploy it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from scout.cli import _exits
from scout.cli._places import STDIN
from scout.cli._spelling import suggestion
from scout.cli._terminal import talk

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

    from scout import LoadedWorkflow, Problem

_MOST_NAMES = 8


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--no-check` to a command that runs or deploys a workflow file."""
    parser.add_argument(
        "--no-check", action="store_true", help="do not look for mistakes in the workflow before it is sent"
    )


def passed(workflow: LoadedWorkflow, args: argparse.Namespace, said: set[str] | None = None) -> None:
    """Check a workflow that is about to be sent, and print its errors and warnings on stderr, unless `--no-check`.

    Args:
        workflow: The workflow, from a file.
        args: The arguments of the command, with that of `add_argument`.
        said: The problems that were printed already, of other variants; those of this workflow are added.

    Raises:
        UsageError: the workflow has an error.
    """
    if args.no_check:
        return
    from scout import Severity, check
    from scout.cli import _selection

    # Only what is sent matters here: `inputs/default.json`, which is checked as well, is not.
    about_it = [problem for problem in check(workflow) if problem.path in (None, workflow.path)]
    problems = [each for each in _selection.from_settings().of(about_it) if each.severity is not Severity.INFO]
    if workflow.text is not None:
        from dataclasses import replace  # slow to import

        problems = [replace(each, path=STDIN) for each in problems]
    lines = [f"{problem.severity}: {text_of(problem)}" for problem in problems]
    for line in lines:
        if said is None or line not in said:
            talk(line)
    if said is not None:
        said.update(lines)
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    if errors:
        from scout.cli import _reports

        name, first = workflow.path or STDIN, errors[0]
        raise _exits.UsageError(
            f"{name} has {counted(len(errors), 'error')}, and nothing was sent; --no-check sends it all the same",
            path=first.path,
            line=first.line,
            column=first.column,
            problems=[_reports.facts(each) for each in problems],
        )


def warn_of_unknown_inputs(workflow: LoadedWorkflow, inputs: Mapping[str, Any]) -> None:
    """Print a warning for each input that the workflow does not declare, when it declares its inputs."""
    from scout.checks import input_names

    declared = input_names(workflow.config)
    if not declared:
        return
    for name in inputs:
        if name not in declared:
            hint = suggestion(name, declared) or f"; it has {few(declared)}"
            talk(f"warning: the workflow has no input {name}{hint}")


def text_of(problem: Problem) -> str:
    """Return a problem as one line: `workflow.yml:3:5: SW013 message; hint`."""
    return f"{place_of(problem)}{problem.code} {message_of(problem)}"


def message_of(problem: Problem) -> str:
    """Return the message of a problem, with its hint."""
    return problem.message if problem.hint is None else f"{problem.message}; {problem.hint}"


def place_of(problem: Problem) -> str:
    """Return the place of a problem, in the form that editors and terminals follow: `workflow.yml:3:5: `."""
    parts = [problem.path, problem.line, problem.column if problem.line is not None else None]
    known = [str(part) for part in parts if part is not None]
    return f"{':'.join(known)}: " if known else ""


def counted(number: int, noun: str) -> str:
    """Return a number with a noun, such as `1 error` or `2 errors`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def by_severity(problems: Iterable[Problem]) -> str:
    """Return the numbers of problems of each severity, the most serious first: `1 error, 2 warnings`."""
    from scout import Severity

    numbers = Counter(problem.severity for problem in problems)
    return ", ".join(counted(numbers[severity], severity) for severity in Severity if numbers[severity])


def few(names: list[str]) -> str:
    """Return names as a part of a message: the first of them when they are many."""
    return ", ".join([*names[:_MOST_NAMES], *(["..."] if len(names) > _MOST_NAMES else [])])
