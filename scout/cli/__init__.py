"""The `scout` command.

Each subcommand is a module with a `NAME`, a one-line `HELP`, a `DESCRIPTION`, and `add_arguments(parser)`, which also
sets the `handler`: a function from the parsed arguments to an exit code. Until a handler runs, only argparse and small
parts of the standard library are imported, so that `scout --help` is fast.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from scout import __version__
from scout.cli import _exits, local, run, workflows
from scout.cli._terminal import talk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["main"]

_COMMANDS = (run, workflows, local)
_EPILOG = """\
exit codes: 0 success, 1 the run failed, 2 invalid usage or file, 3 failure of Scout or the network

try it without a key or a network: scout run workflow.yml --input user_message=Hi --local
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code. By default, `argv` are the arguments of the process."""
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
    except KeyboardInterrupt:
        return _exits.INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return _exits.BROKEN_PIPE
    except OSError as error:
        _drop_output()
        talk(f"cannot write: {error.strerror or error}")
        return _exits.USAGE


class _Parser(argparse.ArgumentParser):
    """A parser whose errors have the format of all errors of the command."""

    def error(self, message: str) -> NoReturn:
        raise _exits.UsageError(f"{message} (see `{self.prog} --help`)")


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
