"""Graphs in the languages of other programs: Mermaid and DOT."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scout._pictures import cut, one_line

if TYPE_CHECKING:
    from . import Graph, GraphNode

_LONGEST_NAME = 40  # columns
# Markup of Mermaid, of HTML, of Markdown and of KaTeX, which labels may contain.
_MERMAID_MARKUP = re.compile(r"[^\w .,:()/=+'·…-]", re.ASCII)


def as_mermaid(graph: Graph) -> str:
    """Return a flowchart for Mermaid. Its ids are our own, so that no name can be a word of its language."""
    lines = ["flowchart TD"]
    for number, node in enumerate(graph.nodes, 1):
        label = "<br/>".join(_mermaid_text(line) for line in _label(node))
        kind = ":::missing" if node.is_missing else ":::output" if node.is_output else ""
        lines.append(f'    n{number}["{label}"]{kind}')
    lines += [f"    n{source + 1} --> n{target + 1}" for source, target in graph.edges]
    lines += ["    classDef output stroke-width:4px", "    classDef missing stroke-dasharray:5 4"]
    return "\n".join(lines) + "\n"


def _mermaid_text(text: str) -> str:
    return _MERMAID_MARKUP.sub(_mermaid_code, text)


def _mermaid_code(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code > 0x7F:
        return match[0]
    # Mermaid looks for its line breaks (`\\n`) and for formulas (`$$`) after it has read the codes: a zero-width space.
    return f"#{code};#8203;" if match[0] in "\\$" else f"#{code};"


def as_dot(graph: Graph) -> str:
    """Return a graph in DOT. Everything is quoted."""
    lines = [
        f"digraph {_dot_text(graph.title)} {{",
        f"    graph [label={_dot_text(_short(graph.title))}, labelloc=t]",
        '    node [shape=box, style=rounded, fontname="sans-serif"]',
    ]
    for number, node in enumerate(graph.nodes, 1):
        mark = ', style="rounded,dashed"' if node.is_missing else ", peripheries=2" if node.is_output else ""
        lines.append(f"    n{number} [label={_dot_text(*_label(node))}{mark}]")
    lines += [f"    n{source + 1} -> n{target + 1}" for source, target in graph.edges]
    return "\n".join([*lines, "}"]) + "\n"


def _dot_text(*lines: str) -> str:
    # Graphviz reads HTML entities in labels, too.
    texts = [one_line(line).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"') for line in lines]
    return '"' + "\\n".join(texts) + '"'


def _label(node: GraphNode) -> list[str]:
    """Return the title, and below it the rest of what is known of a block."""
    facts = [_short(node.id) if node.id != node.title else "", _short(node.archetype), note_of(node)]
    below = " · ".join(filter(None, facts))
    return [_short(node.title), below] if below else [_short(node.title)]


def note_of(node: GraphNode) -> str:
    """Return the word for a block that is not like most others; empty for those."""
    return "missing" if node.is_missing else "output" if node.is_output else ""


def _short(text: str) -> str:
    return cut(one_line(text), _LONGEST_NAME)
