"""The command `scout fmt`: write workflow files in one form."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scout._files import write_whole
from scout.cli import _checks, _differences, _exits, _search
from scout.cli._places import STDIN
from scout.cli._terminal import answer, answer_escaped, escape, talk, wants_colour

if TYPE_CHECKING:
    import argparse

DESCRIPTION = """\
Write workflow files in one form: fields in the order of the specification, long texts as blocks, quotes only where
they are needed. Their data and comments stay the same.

examples:
  scout fmt .
  scout fmt workflow.yml --diff
  scout fmt --check .
  scout fmt - < workflow.yml

Prints the names of the files that have changed. With --check and --diff it changes nothing, and exits with 1 when
files would change.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    _search.add_paths(parser, "; '-' for stdin")
    parser.add_argument("--check", action="store_true", help="only print the names of the files that would change")
    parser.add_argument("--diff", action="store_true", help="only print what would change in the files")
    parser.add_argument(
        "--drop-ui", action="store_true", help="remove the places of boxes on the canvas (ui) from the files"
    )
    parser.set_defaults(handler=_format)


def _format(args: argparse.Namespace) -> int:
    if "-" in args.paths:
        if len(args.paths) > 1:
            raise _exits.UsageError("'-' reads one file from stdin and stands alone")
        return _format_stdin(args)
    files = _search.find_workflows(args.paths)
    if not files:
        talk(_search.NOTHING)
        return _exits.DONE
    outcomes = [_format_file(file, args) for file in files]
    changed = outcomes.count(True)
    would = "would be" if args.check or args.diff else "were" if changed != 1 else "was"
    talk(f"{changed} of {_checks.counted(len(files), 'file')} {would} formatted")
    if None in outcomes:
        return _exits.USAGE
    return _exits.PROBLEMS if changed and (args.check or args.diff) else _exits.DONE


def _format_stdin(args: argparse.Namespace) -> int:
    from scout import WorkflowFileError, format_workflow

    data = sys.stdin.buffer.read()
    try:
        text = format_workflow(data, path=STDIN, drop_ui=args.drop_ui)
    except WorkflowFileError as error:
        talk(str(error))
        return _exits.USAGE
    if args.diff:
        _print_diff(STDIN, data, text)
    elif not args.check:
        _print_text(text)
    return _exits.PROBLEMS if (args.check or args.diff) and text.encode() != data else _exits.DONE


def _print_text(text: str) -> None:
    if sys.stdout.isatty():
        answer(text)
        return
    sys.stdout.buffer.write(text.encode())  # in UTF-8 and with LF, as in a file
    sys.stdout.buffer.flush()


def _format_file(file: str, args: argparse.Namespace) -> bool | None:
    """Format a file, and return True when it changed; `None` when that failed, which is said on stderr."""
    from scout import WorkflowFileError, format_workflow

    try:
        data = Path(file).read_bytes()
        text = format_workflow(data, path=file, drop_ui=args.drop_ui)
        if text.encode() == data:
            return False
        if not (args.check or args.diff):
            write_whole(Path(os.path.realpath(file)), text.encode(), overwrite=True)
    except WorkflowFileError as error:
        talk(str(error))
        return None
    except OSError as error:
        talk(f"{file} cannot be formatted: {error.strerror}")
        return None
    if args.diff:
        _print_diff(file, data, text)
    else:
        answer(file)
    return True


def _print_diff(name: str, before: bytes, after: str) -> None:
    import difflib

    # Line by line, so that a byte order mark and carriage returns, which are removed, are seen as escapes.
    old, new = (text.split("\n") for text in (before.decode(), after))
    for line in difflib.unified_diff(old[:-1] if old[-1] == "" else old, new[:-1], name, name, lineterm=""):
        sign = "*" if line.startswith(("--- ", "+++ ")) else line[:1]
        answer_escaped(_differences.painted(sign, escape(line), colour=wants_colour(sys.stdout)))
