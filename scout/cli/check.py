"""The command `scout check`: find mistakes in workflow files without running them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scout.cli import _checks, _exits, _search, _selection
from scout.cli._places import STDIN
from scout.cli._spelling import one_of
from scout.cli._terminal import talk

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from scout import Problem

DESCRIPTION = """\
Find mistakes in workflow files, without running them and without a key or a network.

examples:
  scout check workflow.yml
  scout check . --ignore SW051
  scout check workflows --format github

Exits with 1 when it finds errors or warnings.
"""

_FORMATS = ("text", "json", "github", "sarif")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    _search.add_paths(parser, "; '-' for stdin")
    _selection.add_arguments(parser)
    parser.add_argument(
        "--format",
        metavar="FORMAT",
        type=one_of(*_FORMATS),
        default="text",
        help="text, json, github (annotations in GitHub Actions) or sarif (default: text)",
    )
    parser.set_defaults(handler=_check)


def _check(args: argparse.Namespace) -> int:
    from scout import Severity
    from scout.cli._reports import REPORTS

    selection = _selection.from_arguments(args)
    files = _search.find_workflows(path for path in args.paths if path != "-")
    all_problems = [_of_stdin()] if "-" in args.paths else []
    all_problems += map(_of_file, files)
    problems = [problem for each in all_problems for problem in selection.of(each or ())]
    REPORTS[args.format](problems)
    unread = all_problems.count(None)
    _sum_up(problems, len(all_problems) - unread, unread)
    if unread:
        return _exits.USAGE
    return _exits.PROBLEMS if any(each.severity is not Severity.INFO for each in problems) else _exits.DONE


def _of_file(path: str) -> list[Problem] | None:
    """Return the problems of a file; `None` when it cannot be read, which is said on stderr."""
    from dataclasses import replace

    from scout import WorkflowFileError, check

    try:
        return [each if each.path is not None else replace(each, path=path) for each in check(path)]
    except WorkflowFileError as error:
        talk(str(error))
        return None


def _of_stdin() -> list[Problem] | None:
    import tempfile
    from dataclasses import replace

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, STDIN))
        Path(path).write_bytes(sys.stdin.buffer.read())
        problems = _of_file(path)
    return problems and [replace(each, path=STDIN, message=each.message.replace(path, STDIN)) for each in problems]


def _sum_up(problems: Sequence[Problem], checked: int, unread: int) -> None:
    if not checked and unread:
        talk(f"{_checks.counted(unread, 'file')} could not be read")
    elif not checked:
        talk(_search.NOTHING)
    elif not problems:
        talk(f"no problems in {_checks.counted(checked, 'file')}")
    else:
        files = len({problem.path for problem in problems})
        numbers = f"{_checks.counted(len(problems), 'problem')} ({_checks.by_severity(problems)})"
        talk(f"found {numbers} in {_checks.counted(files, 'file')}")
