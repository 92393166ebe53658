"""The command `scout graph`: draw the blocks of a workflow file and their dependencies."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scout.cli import _exits, _workflow
from scout.cli._spelling import OneOf
from scout.cli._terminal import answer, is_utf_8

if TYPE_CHECKING:
    import argparse

    from scout import Graph

DESCRIPTION = """\
Draw the blocks of a workflow file and their dependencies. Without -o the
drawing is text on stdout.

examples:
  scout graph workflow.yml
  scout graph workflow.yml -o workflow.svg
  scout graph workflow.yml --format mermaid
"""

_FORMATS = ("text", "mermaid", "dot", "svg", "html")
_SUFFIXES = {
    ".txt": "text",
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    ".dot": "dot",
    ".gv": "dot",
    ".svg": "svg",
    ".html": "html",
    ".htm": "html",
}
_WIDTH = 80  # columns, where there is no terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("file", metavar="FILE", help="the workflow, as YAML or JSON; '-' for stdin")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help=f"write the drawing to this file, also over an existing one; its format is that of its name: "
        f"{', '.join(_SUFFIXES)}",
    )
    parser.add_argument("--format", type=OneOf(*_FORMATS), metavar="FORMAT", help=f"the format: {', '.join(_FORMATS)}")
    parser.set_defaults(handler=_graph)


def _graph(args: argparse.Namespace) -> int:
    from scout import ScoutError

    output: str | None = args.output
    kind: str = args.format or ("text" if output is None else _format_of(output))
    try:
        graph = _workflow.load(args.file).graph()
        drawing = _draw(graph, kind, to_file=output is not None)
    except ScoutError as error:
        return _exits.explain(error)
    if output is None:
        answer(drawing)
    elif os.path.realpath(output) == os.path.realpath(args.file):
        raise _exits.UsageError(f"-o {output}: is the workflow itself, which would be lost; choose another name")
    else:
        Path(output).write_text(drawing, encoding="utf-8", newline="\n")
        answer(output)
    return _exits.DONE


def _format_of(name: str) -> str:
    found = _SUFFIXES.get(Path(name).suffix.lower())
    if found is None:
        raise _exits.UsageError(
            f"the name of the drawing, {name!r}, must end in one of {', '.join(_SUFFIXES)}, or give --format"
        )
    return found


def _draw(graph: Graph, kind: str, *, to_file: bool) -> str:
    match kind:
        case "mermaid":
            return graph.to_mermaid()
        case "dot":
            return graph.to_dot()
        case "svg":
            return graph.to_svg()
        case "html":
            return graph.to_html()
        case _:
            import shutil

            on_terminal = sys.stdout.isatty() and not to_file
            width = shutil.get_terminal_size().columns if on_terminal else _WIDTH
            return graph.to_text(width, ascii_only=not to_file and not is_utf_8(sys.stdout))
