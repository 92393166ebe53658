"""The commands of `scout`: their table, the parser of arguments, and the exit code of what goes wrong in any of them.

Each command is a module of its name, with a `DESCRIPTION` and `add_arguments(parser)`, which also sets the `handler`: a
function from the parsed arguments to an exit code. Only the module of the command that was chosen is imported, and
until its handler runs only argparse and small parts of the standard library, so that `scout --help` is fast.
"""

from __future__ import annotations

import argparse
import os
import re
import sys

from scout import __version__
from scout.cli import _exits, _interrupts
from scout.cli._spelling import suggestion
from scout.cli._terminal import answer, talk, talk_of_interrupt

TYPE_CHECKING = False  # as in `scout`: the import of `typing` takes a tenth of the whole start

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from types import ModuleType
    from typing import Any, NoReturn

_RUN, _WRITE, _LOOK, _STORED, _SETUP = "run", "write", "look", "stored workflows", "set up"
_GROUPS = (_RUN, _WRITE, _LOOK, _STORED, _SETUP)

COMMANDS = {
    "run": (_RUN, "run a workflow file and print its output"),
    "batch": (_RUN, "run a workflow once for each row of a file, many at a time"),
    "local": (_RUN, "start a local Scout, for development and tests"),
    "graph": (_LOOK, "draw a workflow file: as text, Mermaid, DOT, SVG or HTML"),
    "show": (_LOOK, "show a run that was saved: output, blocks, prices and a timeline"),
    "init": (_WRITE, "make a folder with a workflow, its inputs, a test and a CI job"),
    "check": (_WRITE, "find mistakes in workflow files, without running them"),
    "fmt": (_WRITE, "write workflow files in one form, for git"),
    "stubs": (_WRITE, "write a stubs.yml for the blocks that the local Scout cannot run"),
    "diff": (_LOOK, "compare two workflows, files or stored ones"),
    "deploy": (_STORED, "store workflow files: show what would change, ask, and do it"),
    "promote": (_STORED, "make one environment run what another one runs now"),
    "workflows": (_STORED, "list, get, pull, deploy, delete and run them; their revisions and environments"),
    "runs": (_STORED, "look up their runs: list them, show one, find out what became of one"),
    "doctor": (_SETUP, "find out why the key, the address or the network does not work"),
    "completion": (_SETUP, "print the completion script for a shell"),
}
"""The group and the help of each command, in the order of the help."""


def _module_of(command: str) -> ModuleType:
    """Import the module of a command. Each import is written out, so that a freezer such as PyInstaller sees it."""
    match command:
        case "run":
            from scout.cli import run

            return run
        case "batch":
            from scout.cli import batch

            return batch
        case "local":
            from scout.cli import local

            return local
        case "graph":
            from scout.cli import graph

            return graph
        case "show":
            from scout.cli import show

            return show
        case "init":
            from scout.cli import init

            return init
        case "check":
            from scout.cli import check

            return check
        case "fmt":
            from scout.cli import fmt

            return fmt
        case "stubs":
            from scout.cli import stubs

            return stubs
        case "diff":
            from scout.cli import diff

            return diff
        case "deploy":
            from scout.cli import deploy

            return deploy
        case "promote":
            from scout.cli import promote

            return promote
        case "workflows":
            from scout.cli import workflows

            return workflows
        case "runs":
            from scout.cli import runs

            return runs
        case "doctor":
            from scout.cli import doctor

            return doctor
        case _:
            from scout.cli import completion

            return completion


_ABOUT = """\
Run, check and deploy Scout workflows: files, and those that are stored in Scout.

examples:
  scout run workflow.yml --input user_message=Hi --local
  scout run workflow.yml --input user_message=Hi --stream
  scout check workflow.yml
  scout deploy workflow.yml --to staging
  scout promote hello staging production
  scout runs list hello --since 2h
"""
_EXIT_CODES = {
    "0": "done",
    "1": "the run, or a row of a batch, failed; or problems, differences or changes of a plan were found",
    "2": "you can mend it: the command line, the environment, a file, or a request that the API refused",
    "3": "it may pass when tried again: too many requests, or Scout or the network failed",
    "130": "interrupted with Ctrl-C",
    "141": "the reader of the output has gone",
}
_END = """\
With --local a workflow runs on this machine, without an account. Whatever asks Scout takes the key from
SCOUT_API_KEY. With SCOUT_LOG=debug stderr shows each request. `scout COMMAND --help` shows the options of a command,
and examples.
"""


def run_process() -> int:
    """Run the command with the arguments of the process, which is ours, so that it may handle Ctrl-C."""
    with _interrupts.handled():
        return run_command(None)


def run_command(argv: Sequence[str] | None) -> int:
    """Run the command, and return its exit code."""
    _open_closed_streams()
    # For errors in the command line itself; argparse knows it when the whole line is right.
    words = list(sys.argv[1:] if argv is None else argv)
    _exits.begin(as_json="--json" in (words[: words.index("--")] if "--" in words else words))
    try:
        return _run_command(argv)
    except BrokenPipeError:
        _drop_output()
        return _exits.BROKEN_PIPE
    except OSError as error:
        _drop_output()
        talk(f"cannot write: {error.strerror or error}")
        return _exits.USAGE


def _run_command(argv: Sequence[str] | None) -> int:
    try:
        args = make_parser().parse_args(argv)
        handler: Callable[[argparse.Namespace], int] = args.handler
        if not os.environ.get("SCOUT_LOG"):
            return handler(args)
        from scout.cli import _logs

        with _logs.shown():
            return handler(args)
    except SystemExit as stop:  # raised by argparse after --help and --version
        return stop.code if isinstance(stop.code, int) else _exits.DONE
    except _exits.UsageError as error:
        return _exits.refuse(str(error), **error.facts)
    except KeyboardInterrupt as interrupt:
        message = "; ".join(["interrupted", *map(str, interrupt.args)])
        talk_of_interrupt(message)
        may_have_started, ids = bool(interrupt.args), _exits.ids_of_run()
        if may_have_started:
            _exits.name_command(**ids)
        return _exits.report("Interrupted", message, _exits.INTERRUPTED, run_may_have_started=may_have_started, **ids)
    except OSError as error:
        if error.filename is None:
            raise
        # The look at a file, such as whether it exists.
        return _exits.refuse(f"{error.filename} cannot be used: {error.strerror}")


class Parser(argparse.ArgumentParser):
    """A parser whose errors have the format of all errors of the command, and name the nearest option or command.

    Args:
        fill: A function that adds the arguments, called when the parser is first used.
        options: As argparse.
    """

    def __init__(self, *, fill: Callable[[Parser], None] | None = None, **options: Any) -> None:
        self._groups: dict[str | None, Any] = {}
        settings: dict[str, Any] = {"formatter_class": _formatter, "allow_abbrev": False, **options}
        super().__init__(**settings)
        self._fill = fill
        self._commands: Collection[str] = ()
        self._given: Sequence[str] = ()

    def filled(self) -> Parser:
        """Return this parser with its arguments."""
        if self._fill is not None:
            fill, self._fill = self._fill, None
            fill(self)
        return self

    def add_argument_group(self, title: str | None = None, *args: Any, **options: Any) -> Any:
        """Return the group with this title, made by the first call, so that modules can share a section of the help."""
        if title not in self._groups:
            self._groups[title] = super().add_argument_group(title, *args, **options)
        return self._groups[title]

    def add_subparsers(self, **options: Any) -> Any:
        """Add commands, as argparse does."""
        action = super().add_subparsers(**options)
        self._commands = action.choices
        return action

    def parse_known_args(self, *args: Any, **options: Any) -> Any:
        """Parse the arguments, as argparse does. Any that are unknown are an error of the command that got them."""
        self.filled()
        self._given = sys.argv[1:] if not args or args[0] is None else list(args[0])
        parsed, rest = super().parse_known_args(*args, **options)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return parsed, rest

    def format_help(self) -> str:
        """Return the help: a usage of one line, and texts that fit the terminal."""
        self.filled()
        if self.usage is None:
            self.usage = _short_usage(self.format_usage())
        self.description = wrapped(self.description or "")
        return super().format_help().replace("\npositional arguments:\n", "\narguments:\n")

    def print_help(self, file: Any = None) -> None:  # noqa: ARG002 - argparse passes none
        """Print the help as any answer. argparse passes over errors, such as a full disk."""
        answer(self.format_help())

    def error(self, message: str) -> NoReturn:
        # A misspelt name can have other consequences, which argparse reports first, such as a missing argument.
        for kind, words in _KINDS.items():
            message = re.sub(f"invalid {kind} value: (.*)", rf"\1 is not {words}", message)
        raise _exits.UsageError(f"{self._misspelt() or message} (see `{self.prog} --help`)")

    def _misspelt(self) -> str | None:
        options: list[str] = []
        for word in self._given:
            if word == "--":
                break
            if _OPTION.match(word):
                name = word.partition("=")[0]
                options = options or self._options()  # from the whole help, so only for an option
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


_KINDS = {"int": "a whole number", "float": "a number"}  # the words of argparse for a `type`
_OPTION = re.compile(r"-(?!\d|\.\d)[^ ]+$")  # as argparse: not "-", a negative number, or a text with spaces


class _Version(argparse.Action):
    """The action of `--version`, which prints as any answer."""

    def __call__(self, *_: Any) -> NoReturn:
        """Print the version, and exit."""
        answer(f"scout-workflows {__version__}")
        raise SystemExit(_exits.DONE)


class _TopParser(Parser):
    """The parser of `scout` itself, whose help shows the commands in groups."""

    def format_help(self) -> str:
        """Return the help, in which the table of commands takes the place of the list that argparse makes."""
        tables: dict[str, dict[str, str]] = {group: {} for group in _GROUPS}
        for name, (group, about) in COMMANDS.items():
            tables[group][name] = about
        tables["options"] = {"-h, --help": "show this page", "--version": "show the version"}
        tables["exit codes"] = _EXIT_CODES
        parts = [f"usage: {self.usage}", wrapped(_ABOUT)]
        parts += [_table(title, entries) for title, entries in tables.items() if entries]
        return "\n\n".join(part.strip("\n") for part in [*parts, wrapped(_END)]) + "\n"


def make_parser(kind: type[Parser] = Parser) -> Parser:
    """Return the parser of the command, with commands of a kind of parser."""
    parser = _TopParser(prog="scout", usage="scout COMMAND [options]")
    parser.add_argument("--version", action=_Version, nargs=0)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, prog="scout", parser_class=kind)
    for name, (_, about) in COMMANDS.items():
        commands.add_parser(name, help=about, fill=_filler(name))
    return parser


def _filler(name: str) -> Callable[[Parser], None]:
    def fill(parser: Parser) -> None:
        module = _module_of(name)
        parser.description = module.DESCRIPTION
        module.add_arguments(parser)

    return fill


# --- Help ---------------------------------------------------------------------------------------------------------


def _formatter(prog: str) -> argparse.RawDescriptionHelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, width=_columns(), max_help_position=28)


def _columns() -> int:
    """Return the columns for help: those of the terminal, in bounds between which a text can be read."""
    import shutil

    return max(30, min(shutil.get_terminal_size().columns, 100) - 1)


def wrapped(text: str) -> str:
    """Return a text whose paragraphs fit the terminal. Lines that begin with a blank, such as examples, stay."""
    import textwrap

    # Prose goes to the next line that is empty or indented, or to the end of a line that ends with a colon.
    parts = re.split(r"((?:^(?: .*)?\n)+|(?<=:)\n)", text, flags=re.MULTILINE)
    return "".join(
        part
        if not part.strip() or part[0] in " \n"
        else textwrap.fill(part, _columns(), break_on_hyphens=False) + ("\n" if part.endswith("\n") else "")
        for part in parts
    )


def _table(title: str, entries: dict[str, str]) -> str:
    import textwrap

    lines = [f"{title}:"]
    for name, about in entries.items():
        lines += textwrap.wrap(
            about, _columns(), initial_indent=f"  {name:<{_NAMES}}  ", subsequent_indent=" " * (_NAMES + 4)
        )
    return "\n".join(lines)


_NAMES = 10  # columns for the names in the tables of the help


def _short_usage(usage: str) -> str:
    """Return a usage with `[options]` in place of all options that may be left out."""
    words = " ".join(usage.removeprefix("usage: ").split())
    kept = re.sub(r" \[-(?:[^\[\]]|\[[^\[\]]*\])*\]", "", words)
    return f"{kept} [options]".replace("%", "%%")


# --- Streams ------------------------------------------------------------------------------------------------------


def _open_closed_streams() -> None:
    """Open the null device for each standard stream that the caller has closed (`>&-`), for which Python has `None`."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            from pathlib import Path

            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - open until the process ends


def _drop_output() -> None:
    """Redirect stdout to the null device, so that Python does not fail again at exit with buffered output."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
