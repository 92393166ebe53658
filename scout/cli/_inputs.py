"""Inputs of a workflow from the command line, a file or stdin: `--input` and `--inputs`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from scout.cli._exits import UsageError
from scout.cli._places import STDIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_EXAMPLE = '{"user_message": "Hi"}'
_YAML = (".yml", ".yaml")


class Given(NamedTuple):
    """A value that was given on the command line, as `NAME=TEXT`, `NAME:=JSON`, `NAME=@FILE` or `NAME:=@FILE`."""

    name: str
    value: Any
    is_json: bool = False
    file: str | None = None
    option: str = "--input"

    def read(self) -> Any:
        """Return the value, from its file if it has one.

        Raises:
            UsageError: the file cannot be read, or has no such value in it.
        """
        if self.file is None:
            return self.value
        option = f"{self.name}{':' if self.is_json else ''}=@{self.file}"
        advice = f"; for a text that begins with @ write {self.name}:='\"@...\"'"
        text = read_text(self.file, f"the file of {option}", "" if self.is_json else advice)
        return parse(self.file, text) if self.is_json else text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command that runs a workflow."""
    add_input(parser, "may be repeated, and overrides --inputs")
    parser.add_argument_group("inputs").add_argument(
        "--inputs", metavar="FILE", help="a file with the inputs as one JSON object (or .yml); '-' for stdin"
    )


def add_input(parser: argparse.ArgumentParser, rest: str) -> None:
    """Add `--input` alone, with the rest of its help."""
    parser.add_argument_group("inputs").add_argument(
        "--input",
        action="append",
        default=[],
        type=pair,
        metavar="NAME=TEXT",
        help="one input as text; NAME:=JSON takes JSON, NAME=@FILE the text of a file, NAME:=@FILE the JSON or YAML "
        f"in a file; {rest}",
    )


def gather(pairs: Iterable[Given], source: str | None) -> dict[str, Any]:
    """Return the inputs of both options as one mapping.

    Raises:
        UsageError: a file cannot be read, or is not what it should be.
    """
    inputs = {} if source is None else _read(source)
    return inputs | {each.name: each.read() for each in pairs}


def pair(text: str, form: str = "NAME") -> Given:
    """Parse one value of an option, whose name has a form. Its file is not read yet."""
    name, equals, value = text.partition("=")
    is_json = name.endswith(":")
    key = name.removesuffix(":") if is_json else name
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is neither {form}=TEXT nor {form}:=JSON")
    if value.startswith("@"):
        if value == "@":
            raise argparse.ArgumentTypeError(f"{text!r} names no file after the @; for the text @ write {key}:='\"@\"'")
        return Given(key, None, is_json, value[1:])
    if not is_json:
        return Given(key, value)
    try:
        return Given(key, parse_value(value), is_json)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"what follows {key}:= is not JSON: {error}") from None


def one_reader_of_stdin(*readers: tuple[str, str | None]) -> None:
    """Check that stdin is read for one purpose at most.

    Args:
        readers: Each place in the command line that may name stdin, and the file that it names.

    Raises:
        UsageError: two of them name it.
    """
    names = [name for name, file in readers if file == "-"]
    if len(names) > 1:
        raise UsageError(f"{names[0]} and {names[1]} cannot both be stdin; put one of them into a file")


def read_text(source: str, what: str, advice: str = "") -> str:
    """Return the text of a file, or of stdin for `-`, without a byte order mark.

    Raises:
        UsageError: it cannot be read, or is not UTF-8.
    """
    name = STDIN if source == "-" else source
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        reason = error.strerror if isinstance(error, OSError) else None
        raise UsageError(f"cannot read {what}: {reason or error}{advice}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise UsageError(
            f"{name}, line {line}, column {column}: is not UTF-8: byte {data[error.start]:#04x}{advice}",
            path=name,
            line=line,
            column=column,
        ) from None


def parse(source: str, text: str) -> Any:
    """Return the JSON or, by the name of the file, the YAML in a text.

    Raises:
        UsageError: it is neither.
    """
    from scout import WorkflowFileError
    from scout._documents import parse_json_text, parse_yaml

    parse_text: Callable[[str, str], Any] = parse_yaml if source.lower().endswith(_YAML) else parse_json_text
    try:
        return parse_text(STDIN if source == "-" else source, text)
    except WorkflowFileError as error:
        raise UsageError(str(error), path=error.path, line=error.line, column=error.column) from None


def _read(source: str) -> dict[str, Any]:
    name = STDIN if source == "-" else source
    value = parse(source, read_text(source, f"the inputs from {name}"))
    if not isinstance(value, dict):
        raise UsageError(f"the inputs in {name} must be one JSON object, such as {_EXAMPLE}")
    return cast("dict[str, Any]", value)


def parse_value(text: str) -> Any:
    """Parse JSON on the command line.

    Raises:
        ValueError: it is not JSON.
    """
    from scout._json import parse_json

    try:
        return parse_json(text, unique_keys=True)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
