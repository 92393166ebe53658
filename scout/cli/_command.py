"""The arguments of the `scout` command, and the exit code of what goes wrong in any of its subcommands.

Each subcommand is a module with a `NAME`, a one-line `HELP`, a `DESCRIPTION`, and `add_arguments(parser)`, which also
sets the `handler`: a function from the parsed arguments to an exit code. Until a handler runs, only argparse and small
parts of the standard library are imported, so that `scout --help` is fast.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from scout import __version__
from scout.cli import _exits, _interrupts, check, deploy, diff, fmt, init, local, run, stubs, workflows
from scout.cli._spelling import suggestion
from scout.cli._terminal import talk, talk_of_interrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

_COMMANDS = (init, run, check, fmt, diff, deploy, workflows, local, stubs)
_EPILOG = """\
exit codes:
  0    done
  1    the run failed, or problems or differences were found
  2    you can mend it: the command line, the environment, a file, or a request that the API refused
  3    it may pass when tried again: too many requests, or Scout or the network failed
  130  interrupted with Ctrl-C
  141  the reader of the output has gone

try it without a key or a network: scout run workflow.yml --input user_message=Hi --local
"""


def run_process() -> int:
    """Run the command with the arguments of the process, which is ours, so that it may handle Ctrl-C."""
    with _interrupts.handled():
        return run_command(None)


def run_command(argv: Sequence[str] | None) -> int:
    """Run the command, and return its exit code."""
    _open_closed_streams()
    try:
        args = _parser().parse_args(argv)
        handler: Callable[[argparse.Namespace], int] = args.handler
        return handler(args)
    except SystemExit as stop:  # raised by argparse after --help and --version
        return stop.code if isinstance(stop.code, int) else _exits.DONE
    except _exits.UsageError as error:
        talk(str(error))
        return _exits.USAGE
    except KeyboardInterrupt as interrupt:
        talk_of_interrupt("; ".join(["interrupted", *map(str, interrupt.args)]))
        return _exits.INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return _exits.BROKEN_PIPE
    except OSError as error:
        if error.filename is not None:  # the look at a file, such as whether it exists
            talk(f"{error.filename} cannot be used: {error.strerror}")
            return _exits.USAGE
        _drop_output()
        talk(f"cannot write: {error.strerror or error}")
        return _exits.USAGE


class _Parser(argparse.ArgumentParser):
    """A parser whose errors have the format of all errors of the command, and name the nearest option or command."""

    _commands: Collection[str] = ()
    _given: Sequence[str] = ()

    def add_subparsers(self, **options: Any) -> Any:
        """Add commands, as argparse does."""
        action = super().add_subparsers(**options)
        self._commands = cast("Collection[str]", action.choices)
        return action

    def parse_known_args(self, *args: Any, **options: Any) -> Any:
        """Parse the arguments, as argparse does. Any that are unknown are an error of the command that got them."""
        self._given = sys.argv[1:] if not args or args[0] is None else list(args[0])
        parsed, rest = super().parse_known_args(*args, **options)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return parsed, rest

    def error(self, message: str) -> NoReturn:
        # A misspelt name can have other consequences, which argparse reports first, such as a missing argument.
        raise _exits.UsageError(f"{self._misspelt() or message} (see `{self.prog} --help`)")

    def _misspelt(self) -> str | None:
        options = self._options()
        for word in self._given:
            if word == "--":
                break
            if _OPTION.match(word):
                name = word.partition("=")[0]
                if name not in options and (name.startswith("--") or name[:2] not in options):
                    return f"there is no option {name}{suggestion(name, options)}"
            elif self._commands:
                return (
                    None if word in self._commands else f"there is no command {word}{suggestion(word, self._commands)}"
                )
        return None

    def _options(self) -> list[str]:
        # argparse has no public list of them.
        columns = re.findall(r"^  (-.*?)(?:  |$)", self.format_help(), re.MULTILINE)
        return [name for column in columns for name in re.findall(r"(?<!\S)--?[a-z][a-z-]*", column)]


_OPTION = re.compile(r"-(?!\d|\.\d)[^ ]+$")  # as argparse: not "-", a negative number, or a text with spaces


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        prog="scout",
        description="Run Scout workflows.",
        epilog=_EPILOG,
        formatter_class=raw,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"scout-workflows {__version__}")
    nouns = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        noun = nouns.add_parser(
            command.NAME,
            help=command.HELP,
            description=command.DESCRIPTION,
            formatter_class=raw,
            allow_abbrev=False,
        )
        command.add_arguments(noun)
    return parser


def _open_closed_streams() -> None:
    """Open the null device for each standard stream that the caller has closed (`>&-`), for which Python has `None`."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - open until the process ends


def _drop_output() -> None:
    """Redirect stdout to the null device, so that Python does not fail again at exit with buffered output."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
