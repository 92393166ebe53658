"""Pictures of workflows: their blocks and dependencies as text, Mermaid, DOT, SVG and HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scout._json import objects_in, text_or_none
from scout._pictures import html_page, one_line
from scout.errors import ConfigurationError

__all__ = ["Graph", "GraphNode", "graph_of"]

_VENDOR = "com.scoutos."


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A block of a workflow in a `Graph`.

    Attributes:
        id: The id of the block.
        title: The display name of the block; its id when it has none.
        archetype: The archetype of the block, without the prefix `com.scoutos.`; empty when it is not known.
        is_output: True when the output of the block is that of the run.
        is_missing: True when the workflow has no such block, although other blocks depend on it.
    """

    id: str
    title: str
    archetype: str = ""
    is_output: bool = False
    is_missing: bool = False


@dataclass(frozen=True, slots=True)
class Graph:
    """The blocks of a workflow and their dependencies, as `LoadedWorkflow.graph` returns them.

    `print(graph)` draws it as text. A notebook shows it as a picture, or as text without the extra `graph`.

    Attributes:
        title: The name of the workflow.
        nodes: The blocks, in the order of the file, and after them the missing ones.
        edges: The dependencies: pairs of indexes of `nodes`, first the block that runs first.
    """

    title: str
    nodes: tuple[GraphNode, ...]
    edges: tuple[tuple[int, int], ...]

    def to_text(self, width: int = 80, *, ascii_only: bool = False) -> str:
        """Return boxes and lines, from top to bottom, or a list when they do not fit.

        Args:
            width: The longest line, in columns of a terminal.
            ascii_only: Use no other characters than those of ASCII. Others in names are escaped.
        """
        from ._text import as_text

        return as_text(self, max(width, 20), ascii_only=ascii_only)

    def to_mermaid(self) -> str:
        """Return a flowchart for Mermaid, which GitHub and GitLab draw in Markdown."""
        from ._languages import as_mermaid

        return as_mermaid(self)

    def to_dot(self) -> str:
        """Return a graph in DOT, the language of Graphviz."""
        from ._languages import as_dot

        return as_dot(self)

    def to_svg(self, statuses: Mapping[str, str] | None = None, *, links: Mapping[str, str] | None = None) -> str:
        """Return an SVG document that needs nothing else: no script, no font, no address but those of `links`.

        To draw the same graph again with other statuses takes little time.

        Args:
            statuses: The status of each block by its id, such as `{block.id: block.status for block in run.blocks}`.
                Each box then has a word and a colour for it. `started` is shown as `running`, a status that is not
                known as its text, and a block without one as `not started`.
            links: The address that a box leads to, by the id of its block: a place in the page (`#answer`), a relative
                address, or one of `http` or `https`.

        Raises:
            ConfigurationError: the extra `graph` is not installed, the graph has too many edges to be laid out, or
                an address is none of these.
        """
        from ._svg import as_svg

        return as_svg(self, statuses, links)

    def to_html(self, statuses: Mapping[str, str] | None = None) -> str:
        """Return an HTML page with the picture of `to_svg`.

        Args:
            statuses: The status of each block by its id, as for `to_svg`.

        Raises:
            ConfigurationError: as for `to_svg`.
        """
        return html_page(self.to_svg(statuses), title=one_line(self.title))

    def __str__(self) -> str:
        return self.to_text()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 - IPython's
        try:
            return {"text/plain": self.to_text(), "image/svg+xml": self.to_svg()}
        except ConfigurationError:
            return {"text/plain": self.to_text()}


def graph_of(config: Mapping[str, Any], output_block_id: str | None) -> Graph:
    """Return the graph of a config, which may hold anything: what is not a block or a dependency is left out.

    Args:
        config: The config of a workflow.
        output_block_id: The id of the output block, if it is known.
    """
    blocks = objects_in(config.get("blocks"))
    nodes: list[GraphNode] = []
    index_of: dict[str, int] = {}
    for index, block in enumerate(blocks):
        block_id = text_or_none(block.get("block_id")) or ""
        is_output = block_id == output_block_id and block_id not in index_of
        # `block_is_output` is the name of the mark from before May 2025, which most files still use.
        is_output = is_output or bool(block.get("is_output") or block.get("block_is_output"))
        title = text_or_none(block.get("block_display_name")) or ""
        title = title if title.strip() else block_id
        archetype = (text_or_none(block.get("block_archetype_id")) or "").removeprefix(_VENDOR)
        nodes.append(GraphNode(block_id, title, archetype, is_output))
        index_of.setdefault(block_id, index)
    edges: dict[tuple[int, int], None] = {}  # a dictionary keeps their order
    for index, block in enumerate(blocks):
        for dependency in objects_in(block.get("dependencies")):
            before = text_or_none(dependency.get("block_id"))
            if before is None:
                continue
            if before not in index_of:
                index_of[before] = len(nodes)
                nodes.append(GraphNode(before, before, is_missing=True))
            edges[index_of[before], index] = None
    title = text_or_none(config.get("workflow_display_name")) or "Workflow"
    return Graph(title, tuple(nodes), tuple(edges))
