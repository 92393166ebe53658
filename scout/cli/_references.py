"""Stored workflows on the command line: an id, a key, or `key:NAME`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_id(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names a stored workflow."""
    parser.add_argument("id", metavar="ID", help="the id of the workflow, or its key; key:NAME is always a key")


def reference(word: str) -> str:
    """Return the word as the methods of `scout.workflows` take it: a key that stands alone gets its `key:`."""
    from scout import is_workflow_id

    return word if not word or word.startswith("key:") or is_workflow_id(word) else f"key:{word}"
