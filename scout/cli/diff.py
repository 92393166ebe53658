"""The command `scout diff`: compare two workflows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scout.cli import _connection, _differences, _exits, _workflow
from scout.cli._terminal import answer_array, answer_escaped, wants_colour

if TYPE_CHECKING:
    import argparse

    from scout import LoadedWorkflow

DESCRIPTION = """\
Compare two workflows block by block: the order of keys, quotes and comments do not count.

examples:
  scout diff workflow.yml key:greeting
  scout diff wf_0011223344556677 workflow.yml
  git show HEAD:workflow.yml | scout diff - workflow.yml

Exits with 1 when they are different, and with 0 when they are not.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    kinds = "a file, '-' for stdin, the id of a stored workflow, or key:NAME"
    parser.add_argument("before", metavar="A", help=f"the workflow before: {kinds}")
    parser.add_argument("after", metavar="B", help="the workflow after, likewise")
    parser.add_argument("--ui", action="store_true", help="compare also what only the canvas shows, such as positions")
    _exits.add_json(parser, "print a JSON array, with one difference per line")
    _connection.add_base_url(parser)
    _connection.add_arguments(parser)
    parser.set_defaults(handler=_diff)


def _diff(args: argparse.Namespace) -> int:
    from scout import ScoutError, diff

    try:
        before, after = _load(args)
        found = diff(before, after, ui=args.ui)
    except ScoutError as error:
        return _exits.explain(error)
    if args.json:
        answer_array(map(_differences.facts, found))
    else:
        names = _differences.titles(before, after)
        for line in _differences.lines(found, names=names, colour=wants_colour(sys.stdout)):
            answer_escaped(line)
    return _exits.PROBLEMS if found else _exits.DONE


def _load(args: argparse.Namespace) -> list[LoadedWorkflow]:
    from scout import load_workflow

    words: list[str] = [args.before, args.after]
    if words == ["-", "-"]:
        raise _exits.UsageError("only one of the workflows can come from stdin")
    loaded = {word: _workflow.load(word) for word in words if not _is_stored(word)}
    stored = [word for word in words if word not in loaded]
    if stored:
        with _connection.connected(lambda: _connection.connect(args)) as client:
            options = _connection.given(args)
            loaded |= {word: load_workflow(client.workflows.get(word, **options)) for word in stored}
    return [loaded[word] for word in words]


def _is_stored(word: str) -> bool:
    from scout import is_workflow_id

    return word.startswith("key:") or (is_workflow_id(word) and not Path(word).exists())
