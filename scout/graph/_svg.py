"""Graphs as SVG, laid out by graphlay."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from scout._pictures import BOLD, cut, fit, one_line, pixels, svg_picture, xml_text
from scout.errors import ConfigurationError

from ._languages import note_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from . import Graph, GraphNode

_Point = tuple[float, float]

_HEIGHT, _NARROWEST, _WIDEST = 48.0, 110.0, 240.0  # of a box, in pixels
_GAP, _LAYER_GAP, _MARGIN, _INSET = 24.0, 44.0, 24.0, 12.0
_TITLE, _BELOW = 13.0, 11.0  # sizes of letters
_ARROW = 8.0
_FEW_EDGES = 200
# Options of graphlay. The careful layout takes up to a minute where many edges cross, so it is for small graphs only;
# the quick one has a third more crossings. The limits (of edges, and of the layers that they pass) keep both below two
# seconds.
_CAREFUL: dict[str, Any] = {
    "limits": {"max_dummies": 300},
    "tuning": {"routing": {"port_relax_rounds": 0}, "order": {"kick_rounds": 300}},
}
_QUICK: dict[str, Any] = {
    "effort": "fast",
    "limits": {"max_dummies": 2_000, "max_edges": 1_500},
    "tuning": {"routing": {"port_relax_rounds": 0, "overlap_repair_rounds": 0}, "order": {"kick_rounds": 0}},
}


def as_svg(graph: Graph) -> str:
    """Return an SVG document."""
    widths = [_width(node) for node in graph.nodes]
    places, lines = _lay_out(graph, widths)
    # From the top left corner of what is drawn.
    boxes = [
        (x - width / 2, y - _HEIGHT / 2, x + width / 2, y + _HEIGHT / 2)
        for (x, y), width in zip(places, widths, strict=True)
    ]
    corners = [*(box[:2] for box in boxes), *(box[2:] for box in boxes), *(point for line in lines for point in line)]
    left, top = (min((corner[axis] for corner in corners), default=0) - _MARGIN for axis in (0, 1))
    right, bottom = (max((corner[axis] for corner in corners), default=0) + _MARGIN for axis in (0, 1))
    content = [
        _edge(graph, edge, [(x - left, y - top) for x, y in line])
        for edge, line in zip(graph.edges, lines, strict=True)
    ]
    content += [
        _box(node, box[0] - left, box[1] - top, box[2] - box[0]) for node, box in zip(graph.nodes, boxes, strict=True)
    ]
    outputs = ", ".join(one_line(node.title) for node in graph.nodes if node.is_output)
    return svg_picture(
        "".join(content),
        width=round(right - left),
        height=round(bottom - top),
        title=one_line(graph.title),
        description=f"{len(graph.nodes)} blocks and {len(graph.edges)} dependencies; output: {outputs or 'none'}",
    )


# --- Layout -------------------------------------------------------------------------------------------------------


def _lay_out(graph: Graph, widths: Sequence[float]) -> tuple[list[_Point], list[list[_Point]]]:
    """Return the centre of each node, and the line of each edge. Blocks without edges stand below the others."""
    linked = sorted({end for edge in graph.edges for end in edge})
    places: list[_Point] = [(0, 0)] * len(graph.nodes)
    lines: list[list[_Point]] = []
    if linked:
        drawing = _ask_graphlay(linked, [widths[node] for node in linked], graph.edges)
        for node, found in zip(linked, drawing["nodes"], strict=True):
            places[node] = _point(found["center"])
        lines = [[_point(point) for point in found["points"]] for found in drawing["edges"]]
    alone = [node for node in range(len(graph.nodes)) if node not in set(linked)]
    left = min((places[node][0] - widths[node] / 2 for node in linked), default=0.0)
    drawn = [*(places[node] for node in linked), *(point for line in lines for point in line)]
    top = max((y for _, y in drawn), default=-_HEIGHT) + _HEIGHT + _LAYER_GAP / 2
    columns = max(3, math.isqrt(len(alone)))
    step = max((widths[node] for node in alone), default=0.0) + _GAP
    for number, node in enumerate(alone):
        row, column = divmod(number, columns)
        places[node] = (left + column * step + widths[node] / 2, top + row * (_HEIGHT + _GAP))
    return places, lines


def _ask_graphlay(nodes: Sequence[int], widths: Sequence[float], edges: Sequence[tuple[int, int]]) -> dict[str, Any]:
    try:
        import graphlay
    except ImportError:
        raise ConfigurationError(
            "an SVG or HTML picture of a workflow needs graphlay: pip install 'scout-workflows[graph]'; "
            "text, Mermaid and DOT need nothing"
        ) from None
    question = graphlay.Graph()
    for node, width in zip(nodes, widths, strict=True):
        question.node(_name(node), width=width, height=_HEIGHT)
    for source, target in edges:
        question.edge(_name(source), _name(target))
    shape = {"direction": "topbottom", "spacing": {"node_gap": _GAP, "layer_gap": _LAYER_GAP}}
    if len(edges) <= _FEW_EDGES:
        with suppress(graphlay.GraphlayError):  # too many edges pass layers
            return graphlay.layout(question, options={**shape, **_CAREFUL}).to_dict()
    try:
        return graphlay.layout(question, options={**shape, **_QUICK}).to_dict()
    except graphlay.GraphlayError as error:
        raise ConfigurationError(
            f"the graph has too many edges for a picture ({len(nodes)} blocks, {len(edges)} dependencies: {error}); "
            "draw it as text, Mermaid or DOT"
        ) from None


def _name(node: int) -> str:
    return f"{node:06}"  # graphlay sorts blocks beside each other by name; so they stand in the order of the file


def _point(found: dict[str, float]) -> _Point:
    # Whole pixels are sharp, and graphlay's lines are up to a third of a pixel aslant.
    return round(found["x"]), round(found["y"])


# --- Drawing ------------------------------------------------------------------------------------------------------


def _edge(graph: Graph, edge: tuple[int, int], line: list[_Point]) -> str:
    (x0, y0), (x, y) = line[-2:]
    length = math.hypot(x - x0, y - y0) or 1.0
    along, across = (
        ((x - x0) / length * _ARROW, (y - y0) / length * _ARROW),
        ((y0 - y) / length * 4, (x - x0) / length * 4),
    )
    base = (x - along[0], y - along[1])
    points = " ".join(f"{_number(px)},{_number(py)}" for px, py in [*line[:-1], base])
    tip = [(x, y), (base[0] + across[0], base[1] + across[1]), (base[0] - across[0], base[1] - across[1])]
    names = " → ".join(one_line(graph.nodes[end].title) for end in edge)
    return (
        f'<g><title>{xml_text(names)}</title><polyline class="edge" points="{points}"/>'
        f'<polygon class="line" points="{" ".join(f"{_number(px)},{_number(py)}" for px, py in tip)}"/></g>'
    )


def _box(node: GraphNode, x: float, y: float, width: float) -> str:
    outline = "box marked" if node.is_output else "box wrong dashed" if node.is_missing else "box"
    note = note_of(node)
    room = width - 2 * _INSET
    note_room = pixels(note, _BELOW) + _INSET if note else 0
    full = " · ".join(filter(None, (one_line(node.title), one_line(node.id), one_line(node.archetype), note)))
    mark = (
        f'<text class="{"bad" if node.is_missing else "mark"}" font-size="{_BELOW:g}" text-anchor="end" '
        f'x="{_number(x + width - _INSET)}" y="{_number(y + 36)}">{note}</text>'
        if note
        else ""
    )
    return (
        f"<g><title>{xml_text(full)}</title>"
        f'<rect class="{outline}" x="{_number(x)}" y="{_number(y)}" width="{_number(width)}" height="{_HEIGHT:g}" '
        'rx="6"/>'
        f'<text class="text" font-size="{_TITLE:g}" font-weight="600" x="{_number(x + _INSET)}" y="{_number(y + 20)}">'
        f"{xml_text(fit(one_line(node.title), _TITLE * BOLD, room))}</text>"
        f'<text class="soft" font-size="{_BELOW:g}" x="{_number(x + _INSET)}" y="{_number(y + 36)}">'
        f"{xml_text(fit(_below(node), _BELOW, room - note_room))}</text>{mark}</g>"
    )


def _below(node: GraphNode) -> str:
    """Return the second line of a box."""
    block_id = "" if node.id == node.title else one_line(node.id)
    return " · ".join(filter(None, (block_id, one_line(node.archetype))))


def _width(node: GraphNode) -> float:
    note = note_of(node)
    below = pixels(cut(_below(node), 60), _BELOW) + (pixels(note, _BELOW) + _INSET if note else 0)
    wanted = max(pixels(cut(one_line(node.title), 60), _TITLE * BOLD), below) + 2 * _INSET
    return 2 * math.ceil(min(max(wanted, _NARROWEST), _WIDEST) / 2)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
