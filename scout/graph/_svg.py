"""Graphs as SVG, laid out by graphlay."""

from __future__ import annotations

import math
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from scout._json import shorten
from scout._pictures import BOLD, cut, fit, one_line, pixels, svg_picture, xml_text
from scout.errors import ConfigurationError

from ._languages import note_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from . import Graph, GraphNode

_Point = tuple[float, float]

_HEIGHT, _HEIGHT_WITH_STATUS, _NARROWEST, _WIDEST = 48.0, 64.0, 110.0, 240.0  # of a box, in pixels
_GAP, _LAYER_GAP, _MARGIN, _INSET, _CORNER = 24.0, 44.0, 24.0, 12.0, 6.0
_TITLE, _BELOW = 13.0, 11.0  # sizes of letters
_ARROW = 8.0
_LONGEST = 1000  # columns of what is shown when somebody points at a box or an arrow, and of what is only read out
_LONGEST_STATUS = 60  # columns
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


def as_svg(graph: Graph, statuses: Mapping[str, str] | None, links: Mapping[str, str] | None) -> str:
    """Return an SVG document."""
    addresses = {block_id: _safe(block_id, address) for block_id, address in (links or {}).items()}
    if graph.edges:
        _require_graphlay()
    height = _HEIGHT if statuses is None else _HEIGHT_WITH_STATUS
    texts = [_texts(node) for node in graph.nodes]
    widths = tuple(map(_width, texts))
    layout = _lay_out(widths, height, graph.edges)
    content = [
        f"<g><title>{_hint(f'{texts[source].title} → {texts[target].title}')}</title>{drawn}</g>"
        for (source, target), drawn in zip(graph.edges, layout.edges, strict=True)
    ]
    states = [None if statuses is None else _state(statuses.get(node.id)) for node in graph.nodes]
    for node, text, corner, width, state in zip(graph.nodes, texts, layout.boxes, widths, states, strict=True):
        content.append(_box(text, corner, (width, height), state, addresses.get(node.id)))
    outputs = [text.title for text in texts if text.note == "output"]
    counts = Counter(state[1] for state in states if state)
    described = "".join(f"; {count} {word}" for word, count in counts.items())
    return svg_picture(
        "".join(content),
        width=layout.width,
        height=layout.height,
        title=cut(one_line(graph.title), _LONGEST),
        description=f"{len(graph.nodes)} blocks and {len(graph.edges)} dependencies; "
        f"output: {cut(', '.join(outputs), _LONGEST) or 'none'}{cut(described, _LONGEST)}",
        has_links=bool(addresses),
    )


@dataclass(frozen=True, slots=True)
class _Texts:
    """The texts of a box, each in one line."""

    title: str
    below: str
    note: str
    full: str  # all that is known of the block


def _texts(node: GraphNode) -> _Texts:
    title, block_id, archetype = one_line(node.title), one_line(node.id), one_line(node.archetype)
    note = note_of(node)
    below = " · ".join(filter(None, ["" if node.id == node.title else block_id, archetype]))
    return _Texts(title, below, note, " · ".join(filter(None, [title, block_id, archetype, note])))


def _safe(block_id: str, address: str) -> str:
    """Return an address that a page may link to."""
    scheme, colon, _ = re.split("[/?#]", address, maxsplit=1)[0].partition(":")
    if (colon and scheme.lower() not in ("http", "https")) or " " in address or one_line(address) != address:
        raise ConfigurationError(
            f"links[{shorten(block_id, 80)!r}] is {shorten(address, 80)!r}, and must be an address without spaces: "
            "relative, such as '#block-3', or one of http or https"
        )
    return address


def _state(status: str | None) -> tuple[str, str]:
    """Return the class of colour and the word for the status of a block; `None` is one that has not started."""
    match status:
        case None:
            return "soft", "not started"
        case "started" | "running":
            return "busy", "running"
        case "completed":
            return "good", "completed"
        case "failed":
            return "bad", "failed"
        case _:
            return "busy", cut(one_line(status), _LONGEST_STATUS) or "unknown"


# --- Layout -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Layout:
    """The places of everything, from the top left corner of the picture, without any text of the graph."""

    width: float
    height: float
    boxes: tuple[_Point, ...]  # the top left corner of each
    edges: tuple[str, ...]  # the line and the arrow head of each, as SVG


# The answer of graphlay takes up to two seconds, and a page draws one graph many times, with other statuses. Eight
# graphs of 300 blocks are about a megabyte, because their texts are not kept. What is raised is not kept either.
@lru_cache(maxsize=8)
def _lay_out(widths: tuple[float, ...], height: float, edges: tuple[tuple[int, int], ...]) -> _Layout:
    """Return the layout of boxes of these widths. Those without edges stand below the others."""
    linked = sorted({end for edge in edges for end in edge})
    places: list[_Point] = [(0, 0)] * len(widths)
    lines: list[list[_Point]] = []
    if linked:
        drawing = _ask_graphlay(linked, [widths[node] for node in linked], height, edges)
        for node, found in zip(linked, drawing["nodes"], strict=True):
            places[node] = _point(found["center"])
        lines = [[_point(point) for point in found["points"]] for found in drawing["edges"]]
    alone = sorted(set(range(len(widths))).difference(linked))
    leftmost = min((places[node][0] - widths[node] / 2 for node in linked), default=0.0)
    drawn = [*(places[node] for node in linked), *(point for line in lines for point in line)]
    below = max((y for _, y in drawn), default=-height) + height + _LAYER_GAP / 2
    columns = max(3, math.isqrt(len(alone)))
    step = max((widths[node] for node in alone), default=0.0) + _GAP
    for number, node in enumerate(alone):
        row, column = divmod(number, columns)
        places[node] = (leftmost + column * step + widths[node] / 2, below + row * (height + _GAP))
    # From the top left corner of what is drawn.
    boxes = [(x - width / 2, y - height / 2) for (x, y), width in zip(places, widths, strict=True)]
    ends = [(x + width, y + height) for (x, y), width in zip(boxes, widths, strict=True)]
    corners = [*boxes, *ends, *(point for line in lines for point in line)]
    left, top = (min((corner[axis] for corner in corners), default=0) - _MARGIN for axis in (0, 1))
    right, bottom = (max((corner[axis] for corner in corners), default=0) + _MARGIN for axis in (0, 1))
    return _Layout(
        round(right - left),
        round(bottom - top),
        tuple((x - left, y - top) for x, y in boxes),
        tuple(_edge([(x - left, y - top) for x, y in line]) for line in lines),
    )


def _require_graphlay() -> None:
    try:
        import_module("graphlay")
    except ImportError:
        raise ConfigurationError(
            "an SVG or HTML picture of a workflow needs graphlay: pip install 'scout-workflows[graph]'; "
            "text, Mermaid and DOT need nothing"
        ) from None


def _ask_graphlay(
    nodes: Sequence[int], widths: Sequence[float], height: float, edges: Sequence[tuple[int, int]]
) -> dict[str, Any]:
    import graphlay

    question = graphlay.Graph()
    for node, width in zip(nodes, widths, strict=True):
        question.node(_name(node), width=width, height=height)
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


def _edge(line: Sequence[_Point]) -> str:
    (x0, y0), (x, y) = line[-2:]
    length = math.hypot(x - x0, y - y0) or 1.0
    along, across = (
        ((x - x0) / length * _ARROW, (y - y0) / length * _ARROW),
        ((y0 - y) / length * 4, (x - x0) / length * 4),
    )
    base = (x - along[0], y - along[1])
    points = " ".join(f"{_number(px)},{_number(py)}" for px, py in [*line[:-1], base])
    tip = [(x, y), (base[0] + across[0], base[1] + across[1]), (base[0] - across[0], base[1] - across[1])]
    return (
        f'<polyline class="edge" points="{points}"/>'
        f'<polygon class="line" points="{" ".join(f"{_number(px)},{_number(py)}" for px, py in tip)}"/>'
    )


def _box(
    text: _Texts, corner: _Point, size: tuple[float, float], state: tuple[str, str] | None, address: str | None
) -> str:
    (x, y), (width, height) = corner, size
    outline, colour = {"output": ("box marked", "mark"), "missing": ("box wrong dashed", "bad")}.get(
        text.note, ("box", "")
    )
    room = width - 2 * _INSET
    note_room = pixels(text.note, _BELOW) + _INSET if text.note else 0
    name = _hint(f"{text.full} · {state[1]}" if state else text.full)
    mark = (
        f'<text class="{colour}" font-size="{_BELOW:g}" text-anchor="end" '
        f'x="{_number(x + width - _INSET)}" y="{_number(y + 36)}">{text.note}</text>'
        if text.note
        else ""
    )
    drawn = (
        f"<g><title>{name}</title>"
        f'<rect class="{outline}" x="{_number(x)}" y="{_number(y)}" width="{_number(width)}" height="{height:g}" '
        f'rx="{_CORNER:g}"/>'
        f'<text class="text" font-size="{_TITLE:g}" font-weight="600" x="{_number(x + _INSET)}" y="{_number(y + 20)}">'
        f"{xml_text(fit(text.title, _TITLE * BOLD, room))}</text>"
        f'<text class="soft" font-size="{_BELOW:g}" x="{_number(x + _INSET)}" y="{_number(y + 36)}">'
        f"{xml_text(fit(text.below, _BELOW, room - note_room))}</text>{mark}{_status(corner, size, state)}</g>"
    )
    return drawn if address is None else f'<a href="{xml_text(address)}" aria-label="{name}">{drawn}</a>'


def _status(corner: _Point, size: tuple[float, float], state: tuple[str, str] | None) -> str:
    """Return the word below the other texts of a box and, once the block has started, a band along its left side."""
    if state is None:
        return ""
    (x, y), (width, height), (colour, word) = corner, size, state
    arc = f"a{_CORNER:g} {_CORNER:g} 0 0 1"
    band = (
        f'<path class="{colour}" d="M{_number(x + _CORNER)} {_number(y)}v{height:g}{arc}-{_CORNER:g}-{_CORNER:g}'
        f'v{2 * _CORNER - height:g}{arc} {_CORNER:g}-{_CORNER:g}z"/>'
    )
    words = (
        f'<text class="{colour}" font-size="{_BELOW:g}" font-weight="600" x="{_number(x + _INSET)}" '
        f'y="{_number(y + 53)}">{xml_text(fit(word, _BELOW * BOLD, width - 2 * _INSET))}</text>'
    )
    return words if colour == "soft" else band + words


def _hint(text: str) -> str:
    """Return what is shown when somebody points at something, as XML."""
    return xml_text(cut(text, _LONGEST))


def _width(text: _Texts) -> float:
    note_room = pixels(text.note, _BELOW) + _INSET if text.note else 0
    below = pixels(cut(text.below, 60), _BELOW) + note_room
    wanted = max(pixels(cut(text.title, 60), _TITLE * BOLD), below) + 2 * _INSET
    return 2 * math.ceil(min(max(wanted, _NARROWEST), _WIDEST) / 2)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
