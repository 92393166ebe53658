"""Inputs of a workflow from the command line, a file or stdin: `--input` and `--inputs`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, cast

from scout._json import parse_json
from scout.cli._exits import UsageError

_EXAMPLE = '{"user_message": "Hi"}'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command that runs a workflow."""
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        type=_pair,
        metavar="NAME=TEXT",
        help="one input as text, or as JSON with NAME:=JSON; may be repeated, and overrides --inputs",
    )
    parser.add_argument("--inputs", metavar="FILE", help="a file with the inputs as one JSON object, or '-' for stdin")


def gather(pairs: list[tuple[str, Any]], source: str | None) -> dict[str, Any]:
    """Return the inputs of both options as one mapping.

    Raises:
        UsageError: the file cannot be read, or is not a JSON object.
    """
    inputs = {} if source is None else _read(source)
    return inputs | dict(pairs)


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    is_json = name.endswith(":")
    key = name.removesuffix(":") if is_json else name
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is neither NAME=TEXT nor NAME:=JSON")
    if not is_json:
        return key, value
    try:
        return key, _parse(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"what follows {key}:= is not JSON: {error}") from None


def _read(source: str) -> dict[str, Any]:
    name = "stdin" if source == "-" else source
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the inputs from {name}: {error.strerror or error}") from None
    try:
        value = _parse(data.decode("utf-8-sig"))
    except ValueError as error:
        raise UsageError(f"the inputs in {name} are not JSON: {error}") from None
    if not isinstance(value, dict):
        raise UsageError(f"the inputs in {name} must be one JSON object, such as {_EXAMPLE}")
    return cast("dict[str, Any]", value)


def _parse(text: str) -> Any:
    try:
        return parse_json(text, unique_keys=True)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
