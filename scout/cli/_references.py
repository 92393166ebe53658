"""Stored workflows on the command line: an id, a key, or `key:NAME`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scout.cli._exits import UsageError

if TYPE_CHECKING:
    import argparse


_SUFFIXES = (".yml", ".yaml", ".json")


METAVAR = "WORKFLOW"
HELP = "the id of the workflow, or its key; key:NAME is always a key"


def add_id(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names a stored workflow."""
    parser.add_argument("id", metavar=METAVAR, help=HELP)


def reference(word: str) -> str:
    """Return the word as the methods of `scout.workflows` take it: a key that stands alone gets its `key:`.

    Raises:
        UsageError: the word is the name of a file.
    """
    from scout import is_workflow_id

    if not word or word.startswith("key:") or is_workflow_id(word):
        return word
    path = Path(word)
    if path.suffix.lower() in _SUFFIXES and path.is_file():
        raise UsageError(
            f"{word} is a file, and a stored workflow is meant; scout run runs a file, and key:{word} is meant as a key"
        )
    return f"key:{word}"
