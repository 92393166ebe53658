"""Graphs as text: boxes and lines, or a list where they do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scout._pictures import cut, display_width, one_line

from ._languages import note_of
from ._layers import Item, order, place, rows_of, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from . import Graph, GraphNode

_NARROWEST, _WIDEST, _VIA = 14, 34, 3  # columns of a box with its borders, and of a line that passes a row
_GAP = 1

# The sides from which a line comes, as a sum.
_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_LINES = " ╵╷│╴┘┐┤╶└┌├─┴┬┼"
_ASCII_LINES = " |||-+++-+++-+++"
# Corners from the top left, clockwise, then the horizontal and the vertical line, and the place where a line begins.
_BORDERS = {"": "┌┐┘└─│┬", "output": "╔╗╝╚═║╤", "missing": "┌┐┘└╌╎┬"}
_ASCII_BORDERS = {"": "++++-|+", "output": "####=#+", "missing": "++++.:+"}


def as_text(graph: Graph, width: int, *, ascii_only: bool) -> str:
    """Return a graph as text."""
    dot = "-" if ascii_only else "·"
    counts = f"{_count(len(graph.nodes), 'block')}, {_count(len(graph.edges), 'dependency')}"
    title = _plain(graph.title, ascii_only=ascii_only)
    heading = f"{_cut(title, width - len(counts) - 3, ascii_only=ascii_only)} {dot} {counts}"
    body = _Boxes(graph, width, ascii_only=ascii_only).lines() or list(_list(graph, width, ascii_only=ascii_only))
    return "\n".join([_cut(heading, width, ascii_only=ascii_only), "", *body]).rstrip("\n") + "\n"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 else noun.removesuffix('y') + ('ies' if noun.endswith('y') else 's')}"


def _plain(text: str, *, ascii_only: bool) -> str:
    text = one_line(text)
    return text.encode("ascii", "backslashreplace").decode() if ascii_only else text


def _cut(text: str, width: int, *, ascii_only: bool) -> str:
    return cut(text, width, "..." if ascii_only else "…")


# --- A list -------------------------------------------------------------------------------------------------------


def _list(graph: Graph, width: int, *, ascii_only: bool) -> Iterator[str]:
    """Yield each block in a possible order of running, and below it the blocks that wait for it."""
    forward, _ = split(len(graph.nodes), graph.edges)
    rows = rows_of(len(graph.nodes), forward)
    after: dict[int, list[str]] = {}
    for source, target in graph.edges:
        after.setdefault(source, []).append(_plain(graph.nodes[target].id, ascii_only=ascii_only))
    arrow = "->" if ascii_only else "→"
    for node in _in_rows(rows):
        block = graph.nodes[node]
        facts = [
            _plain(block.id, ascii_only=ascii_only),
            _plain(block.archetype, ascii_only=ascii_only),
            note_of(block),
        ]
        title = _plain(block.title, ascii_only=ascii_only)
        if facts[0] == title:
            facts[0] = ""
        below = ", ".join(filter(None, facts))
        room = width - (3 + min(display_width(below), width // 2) if below else 0)
        line = _cut(title, room, ascii_only=ascii_only) + (f" ({below})" if below else "")
        yield _cut(line, width, ascii_only=ascii_only)
        yield from _wrapped(after.get(node, []), f"  {arrow} ", width, ascii_only=ascii_only)


def _in_rows(rows: Iterable[Iterable[Item]]) -> list[int]:
    return [item.node for row in rows for item in row if item.is_box]


def _wrapped(words: Sequence[str], begin: str, width: int, *, ascii_only: bool) -> Iterator[str]:
    """Yield words, with commas between them, in lines that begin alike."""
    line = begin
    for number, word in enumerate(words):
        text = _cut(word, width - len(begin) - 2, ascii_only=ascii_only) + (", " if number < len(words) - 1 else "")
        if line.strip() != begin.strip() and display_width(line) + display_width(text.rstrip()) > width:
            yield line.rstrip()
            line = " " * len(begin)
        line += text
    if words:
        yield line.rstrip()


# --- Boxes and lines ----------------------------------------------------------------------------------------------


class _Boxes:
    """A drawing of rows of boxes; between them the lines, each on a column and a row that no other line uses."""

    def __init__(self, graph: Graph, width: int, *, ascii_only: bool) -> None:
        self._graph = graph
        self._width = width
        self._ascii = ascii_only
        self._lines = _ASCII_LINES if ascii_only else _LINES
        self._arrow = "v" if ascii_only else "▼"

    def lines(self) -> list[str]:
        """Return the lines of the drawing; none when it does not fit."""
        graph = self._graph
        forward, back = split(len(graph.nodes), graph.edges)
        rows = rows_of(len(graph.nodes), forward)
        if not all(self._give_widths(row) for row in rows):
            return []
        order(rows)
        place(rows, self._width, _GAP)
        found: list[str] = []
        for number, row in enumerate(rows):
            for item in row:
                if item.is_box:
                    item.port = item.x + item.width // 2
            found += self._row(row)
            if number + 1 < len(rows):
                between = self._between(row, rows[number + 1])
                if between is None:
                    return []
                found += between
        return [*found, *self._cycles(back)]

    def _cycles(self, back: Sequence[tuple[int, int]]) -> Iterator[str]:
        """Yield the edges that lead back, which are no lines of the drawing."""
        if back:
            yield ""
            yield "Edges that lead back:"
        for ends in back:
            names = [self._plain(self._graph.nodes[end].id) for end in ends]
            arrow = " -> " if self._ascii else " → "
            room = (self._width - 2 - len(arrow)) // 2
            yield "  " + arrow.join(_cut(name, room, ascii_only=self._ascii) for name in names)

    def _plain(self, text: str) -> str:
        return _plain(text, ascii_only=self._ascii)

    def _give_widths(self, row: Sequence[Item]) -> bool:
        """Give each item as many columns as it wants and the row has; return False when it has too few."""
        wanted: list[int] = []
        for item in row:
            texts = self._texts(self._graph.nodes[item.node]) if item.is_box else ()
            widest = max(map(display_width, texts), default=0) + 4
            wanted.append(min(max(widest, _NARROWEST), _WIDEST) if item.is_box else _VIA)
        room = self._width - _GAP * (len(row) - 1)
        limit = _WIDEST
        while sum(min(each, limit) for each in wanted) > room and limit > _NARROWEST:
            limit -= 1
        for item, each in zip(row, wanted, strict=True):
            item.width = min(each, limit)
        return sum(item.width for item in row) <= room

    def _texts(self, node: GraphNode) -> list[str]:
        title, block_id = self._plain(node.title), self._plain(node.id)
        facts = ["" if block_id == title else block_id, self._plain(node.archetype)]
        return [title, (" - " if self._ascii else " · ").join(filter(None, facts))]

    # --- A row of boxes

    def _row(self, row: Sequence[Item]) -> list[str]:
        """Return the four lines of a row."""
        lines = ["", "", "", ""]
        at = 0
        for item in row:
            pieces = self._box(item) if item.is_box else [self._passing(item)] * 4
            for number, piece in enumerate(pieces):
                lines[number] += " " * (item.x - at) + piece
            at = item.x + item.width
        return [line.rstrip() for line in lines]

    def _passing(self, item: Item) -> str:
        return (" " * (item.port - item.x) + self._lines[_UP | _DOWN]).ljust(item.width)

    def _box(self, item: Item) -> list[str]:
        node = self._graph.nodes[item.node]
        note = note_of(node)
        nw, ne, se, sw, flat, side, begin = [*(_ASCII_BORDERS if self._ascii else _BORDERS)[note]]
        inner = item.width - 2
        top = f"{flat} {note} ".ljust(inner, flat) if note else flat * inner
        bottom = flat * inner
        if item.below:
            port = item.port - item.x - 1
            bottom = bottom[:port] + begin + bottom[port + 1 :]
        texts = (_cut(text, inner - 2, ascii_only=self._ascii) for text in self._texts(node))
        middle = [f"{side} {text}{' ' * (inner - 2 - display_width(text))} {side}" for text in texts]
        return [f"{nw}{top}{ne}", *middle, f"{sw}{bottom}{se}"]

    # --- The lines between two rows

    def _between(self, row: Sequence[Item], below: Sequence[Item]) -> list[str] | None:
        """Return the lines between two rows; `None` when a box has more edges than columns."""
        ends = _ports(row, below)
        if ends is None:
            return None
        tracks = _tracks(row, ends)
        height = max(tracks.values(), default=-1) + 2
        cells: list[dict[int, int]] = [{} for _ in range(height)]
        upright: set[tuple[int, int]] = set()
        for item in row:
            if not item.below:
                continue
            targets = ends[id(item)]
            track = tracks.get(id(item), height - 1)
            columns = [item.port, *targets]
            for column in range(min(columns), max(columns) + 1):
                mask = (_LEFT if column > min(columns) else 0) | (_RIGHT if column < max(columns) else 0)
                mask |= (_UP if column == item.port else 0) | (_DOWN if column in targets else 0)
                cells[track][column] = mask
            upright |= {(line, item.port) for line in range(track)}
            upright |= {(line, target) for target in targets for line in range(track + 1, height)}
        for line, column in upright:
            cells[line][column] = _UP | _DOWN  # over the lines that it crosses
        texts = [["".join(self._lines[found.get(column, 0)] for column in range(self._width))] for found in cells]
        last = list(texts[-1][0])
        for item in below:
            for above in item.above if item.is_box else ():
                last[ends[id(above)][above.below.index(item)]] = self._arrow
        return [*(text[0].rstrip() for text in texts[:-1]), "".join(last).rstrip()]


def _ports(row: Sequence[Item], below: Sequence[Item]) -> dict[int, list[int]] | None:
    """Return the columns where the edges of each item of a row end, which no other edge begins or ends on."""
    begins = {item.port: item for item in row if item.below}
    found: dict[tuple[int, int], int] = {}
    for item in below:
        inside = range(item.x + 1, item.x + item.width - 1) if item.is_box else range(item.x, item.x + item.width)
        taken: set[int] = set()
        count = len(item.above)
        for number, above in enumerate(sorted(item.above, key=lambda each: each.port)):
            ideal = item.x + item.width // 2 + 2 * number - (count - 1)
            free = [column for column in inside if column not in taken and begins.get(column, above) is above]
            if not free:
                return None
            # Straight down, unless the edges fork, and would then meet the box near its corner.
            is_straight = len(above.below) == 1 or abs(above.port - ideal) <= item.width // 4
            wanted = above.port if is_straight and above.port in free else ideal
            column = _nearest(free, wanted)
            taken.add(column)
            found[id(above), id(item)] = column
            if not item.is_box:
                item.port = column
    return {id(item): [found[id(item), id(each)] for each in item.below] for item in row}


def _nearest(columns: Iterable[int], wanted: int) -> int:
    return min(columns, key=lambda each: abs(each - wanted))


def _tracks(row: Sequence[Item], ends: dict[int, list[int]]) -> dict[int, int]:
    """Return the line of the horizontal part of the edges of each item, if any. Parts on one line do not meet."""
    spans = [(min(columns), max(columns), item) for item in row if (columns := [item.port, *ends[id(item)]])[1:]]
    spans.sort(key=lambda span: span[:2])
    # What leads to the right only is drawn from the right, the rest from the left: so one does not cross the next.
    to_the_right = [span for span in spans if span[0] == span[2].port]
    others = [span for span in spans if span[0] != span[2].port]
    tracks: dict[int, int] = {}
    taken: list[tuple[int, int, int]] = []  # first and last column, and line
    for first, end, item in [*reversed(to_the_right), *others]:
        if first == end:
            continue
        line = 1 + max((above for left, right, above in taken if left <= end + 1 and first <= right + 1), default=-1)
        taken.append((first, end, line))
        tracks[id(item)] = line
    return tracks
