"""The command `scout completion`: completion of commands, options and files in a shell."""

from __future__ import annotations

import argparse
from typing import Any

from scout.cli import _exits, _references
from scout.cli._spelling import OneOf
from scout.cli._terminal import answer

SHELLS = ("bash", "zsh", "fish", "tcsh")
DESCRIPTION = """\
Print the script that completes commands, options and file names in a shell. It
needs the package shtab: pip install 'scout-workflows[cli]'

examples:
  eval "$(scout completion bash)"       # in ~/.bashrc
  eval "$(scout completion zsh)"        # in ~/.zshrc, after compinit
  scout completion fish > ~/.config/fish/completions/scout.fish
"""

_FILES = {
    "FILE": "file",
    "ROWS": "file",
    "OUT": "file",
    "PATH": "file",
    "A": "file",
    "B": "file",
    "OUT.svg": "file",
    "DIR": "directory",
}
"""What shtab completes for an argument, by its metavar."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("shell", metavar="SHELL", type=OneOf(*SHELLS), help=", ".join(SHELLS))
    parser.set_defaults(handler=_print)


def _print(args: argparse.Namespace) -> int:
    try:
        import shtab
    except ImportError:
        raise _exits.UsageError("completion needs shtab: pip install 'scout-workflows[cli]'") from None
    from scout.cli._command import COMMANDS, Parser, make_parser

    made: list[Parser] = []

    class MarkingParser(Parser):
        """A parser that marks arguments which take a file or one of a few words."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.register("action", None, _marked)  # the action of an argument that names none
            made.append(self)

    parser = make_parser(MarkingParser)
    for each, (_, about) in zip(made, COMMANDS.values(), strict=False):  # filling makes more parsers
        each.filled().description = about
    script: str = shtab.complete(parser, args.shell)
    if args.shell == "bash":  # readline completes file names where nothing else is known
        script = script.replace("complete -o bashdefault -F ", "complete -o bashdefault -o default -F ")
    answer(script)
    return _exits.DONE


def _marked(**options: Any) -> argparse.Action:
    """Make the action of an argument, marked for shtab when its value is a file or one of a few words."""
    store = type(argparse.ArgumentParser(add_help=False).add_argument("value"))
    action = store(**options)
    if kind := _FILES.get(str(action.metavar)):
        vars(action)["complete"] = kind
    if isinstance(action.type, OneOf):
        action.choices = action.type.known
    if action.metavar == _references.METAVAR:
        action.nargs = None  # of several, so that the environments after the first are completed
    return action
