"""Pictures of runs: `Timeline`, a bar per block over time, and the short form of a run in a notebook."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import scout  # its names are imported when they are first used, which only `typing.get_type_hints` does here

from ._pictures import BOLD, cut, display_width, fit, one_line, pixels, svg_picture, xml_text

__all__ = ["Bar", "Timeline", "duration_text", "headline", "html_summary", "make_timeline", "price_text"]


@dataclass(frozen=True, slots=True)
class Bar:
    """The bar of one block in a timeline. Times are seconds from the start of the timeline.

    Attributes:
        id: The id of the block.
        status: The status of the block; `running` of one that has no end yet, in a timeline of a run that continues.
        start: The time when the block began; `None` when it is not known.
        end: The time when it ended, never before `start`; of a block without an end, the end of the timeline.
        first_token: The time of its first text; `None` when it is not known.
        has_ended: False for a block of which no end is known.
        is_critical: True for a block of the critical path.
        price: The price, in the unit of the API's price list.
        error: The reason why it failed.
        details: What else is known of it, as one line.
    """

    id: str
    status: str
    start: float | None
    end: float | None
    first_token: float | None
    has_ended: bool
    is_critical: bool
    price: float | None
    error: str | None
    details: str

    @property
    def seconds(self) -> float | None:
        """The length of the bar; `None` when there is none."""
        return None if self.start is None or self.end is None else self.end - self.start


@dataclass(frozen=True, slots=True)
class Timeline:
    """The blocks of a run over time, as `Run.timeline` returns them.

    `print(timeline)` draws it as text. A notebook shows it as a picture.

    The critical path is the chain of blocks that the run waited for: the block that ended last, then of those it
    depends on the one that ended last, and so on. Where the dependencies of a block are not known, the block that ended
    last before it began takes their place.

    Attributes:
        title: The headline: id, status and price of the run.
        bars: The blocks, in the order in which they started.
        critical_path: The ids of the blocks of the critical path, the first one first.
        start: The time when the first block began, as an aware `datetime`; `None` when no time is known.
        seconds: The seconds from `start` to the last time that is known.
    """

    title: str
    bars: tuple[Bar, ...]
    critical_path: tuple[str, ...]
    start: datetime | None
    seconds: float

    def to_text(self, width: int = 80, *, ascii_only: bool = False) -> str:
        """Return the timeline as lines of text.

        Args:
            width: The columns of a line at most; fewer than 40 are taken for 40.
            ascii_only: Use no other characters for the bars.
        """
        return _Text(self, max(width, 40), _ASCII if ascii_only else _UNICODE).all()

    def to_svg(self) -> str:
        """Return the timeline as an SVG document, without scripts, and readable in dark and light."""
        return _svg(self)

    def __str__(self) -> str:
        return self.to_text()

    def _repr_svg_(self) -> str:
        return self.to_svg()


# --- From blocks to bars ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Span:
    """The times of a block that has any."""

    start: datetime
    end: datetime
    has_ended: bool

    @property
    def length(self) -> float:
        return (self.end - self.start).total_seconds()


def make_timeline(blocks: Sequence[scout.BlockRun], title: str, until: datetime | None = None) -> Timeline:
    """Return the timeline of the blocks of a run.

    Args:
        blocks: The blocks.
        title: The headline, as text.
        until: The time of looking at a run that continues, as an aware `datetime`: the timeline and the blocks without
            an end last until then, and these are `running`. Without it they last to the latest time that is known.
    """
    times = [time for block in blocks for time in (block.started, block.ended, block.first_token) if time is not None]
    start = min(times, default=None)
    last = None if start is None else max([*times, start if until is None else until])
    spans = {block.id: span for block in blocks if last is not None and (span := _span(block, last))}
    path = _critical_path({block.id: block for block in blocks}, spans)

    def seconds(moment: datetime | None) -> float | None:
        return None if start is None or moment is None else (moment - start).total_seconds()

    bars: list[Bar] = []
    for block in blocks:
        span = spans.get(block.id)
        bars.append(
            Bar(
                id=block.id,
                status="running" if until is not None and block.status == "started" else str(block.status),
                start=seconds(span.start) if span else None,
                end=seconds(span.end) if span else None,
                first_token=seconds(block.first_token),
                has_ended=span.has_ended if span else block.status != "started",
                is_critical=block.id in path,
                price=block.price,
                error=block.error,
                details=_details(block),
            )
        )
    bars.sort(key=lambda bar: math.inf if bar.start is None else bar.start)
    return Timeline(one_line(title), tuple(bars), tuple(path), start, seconds(last) or 0.0)


def _span(block: scout.BlockRun, last: datetime) -> _Span | None:
    start = block.started or block.first_token or block.ended
    if start is None:
        return None
    end = last if block.ended is None else max(start, block.ended)  # a clock may have gone backwards
    return _Span(start, end, block.ended is not None)


def _critical_path(blocks: dict[str, scout.BlockRun], spans: dict[str, _Span]) -> list[str]:
    """Return the ids of the blocks that the run waited for, the first one first."""
    path: dict[str, None] = {}  # a dictionary keeps their order, and finds long ids
    candidates = list(spans)
    while candidates:
        # Of those that ended at the same time, the one that took longest, else the one that began last.
        last = max(reversed(candidates), key=lambda block_id: (spans[block_id].end, spans[block_id].length))
        path[last] = None
        needs = blocks[last].dependencies
        begun = spans[last].start
        candidates = [
            block_id
            for block_id in (spans if needs is None else needs)
            if block_id in spans and block_id not in path and (needs is not None or spans[block_id].end <= begun)
        ]
    return list(path)[::-1]


def _details(block: scout.BlockRun) -> str:
    tokens = {"read": block.input_tokens, "written": block.output_tokens}
    facts = [
        block.archetype,
        block.model,
        ", ".join(f"{count} tokens {verb}" for verb, count in tokens.items() if count is not None),
        "" if block.duration is None or block.duration >= 0 else "ended before it started, by its clocks",
    ]
    return one_line("; ".join(filter(None, facts)))


# --- Words --------------------------------------------------------------------------------------------------------

_UNITS = (("d", 86400.0), ("h", 3600.0), ("min", 60.0))


def duration_text(seconds: float) -> str:
    """Return a duration for people: `250 ms`, `1.50 s`, `2 min 5 s`, `3 d 4 h`."""
    if seconds < 0:
        return f"-{duration_text(-seconds)}"
    if seconds < 0.9995:
        return "0 s" if seconds == 0 else f"{seconds * 1000:.3g} ms"
    if seconds < 59.995:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    for (name, size), (smaller, part) in zip(_UNITS, (*_UNITS[1:], ("s", 1.0)), strict=True):
        if whole >= size:
            rest = int(whole % size // part)
            return f"{int(whole // size)} {name}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def price_text(price: float) -> str:
    """Return a price without zeros that say nothing, and without an exponent unless nobody would pay it."""
    if price == 0 or 1e-8 <= abs(price) < 1e9:
        return f"{price:.8f}".rstrip("0").rstrip(".")
    return f"{price:.3g}"


def headline(run_id: str | None, status: str, price: float | None) -> str:
    """Return the one line that names a run."""
    cost = "" if price is None else f", price {price_text(price)}"
    return one_line(f"{'run' if run_id is None else f'run {run_id}'} {status}{cost}")


_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


def _ticks(seconds: float, most: int) -> list[float]:
    """Return round times from 0 to the end, at most so many."""
    if seconds <= 0:
        return [0.0]
    rough = seconds / most
    step: float
    if 1 < rough <= _STEPS[-1]:
        step = next(step for step in _STEPS if step >= rough)
    else:
        unit = 1.0 if rough <= 1 else 86400.0
        power = 10.0 ** math.floor(math.log10(rough / unit))
        step = unit * next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough / unit * (1 - 1e-9))
    return [number * step for number in range(int(seconds / step * (1 + 1e-9)) + 1)]


def _tick_text(seconds: float) -> str:
    if 1 <= seconds < 60:
        return f"{seconds:.3g} s"
    return duration_text(seconds)


_LONGEST_END = 12  # columns of a status, which may be any text


def _facts(bar: Bar) -> tuple[str, str, str]:
    """Return how long, how much, and how it ended if it did not complete."""
    seconds = bar.seconds
    length = "" if seconds is None else duration_text(seconds) if bar.has_ended else f"> {duration_text(seconds)}"
    price = "" if bar.price is None else price_text(bar.price)
    end = {"completed": "", "started": "no end"}.get(bar.status, bar.status)
    return length, price, cut(one_line(end), _LONGEST_END)


_NO_TIMES = "the answer tells no times of the blocks; only a stream does"


# --- Text ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Characters:
    waits: str
    runs: str
    moment: str
    failed: str
    endless: str
    ellipsis: str


_UNICODE = _Characters("░", "█", "│", "✗", "▶", "…")
_ASCII = _Characters(".", "=", "|", "x", ">", "...")


_SHORTEST_NAME, _LEAST_ROOM = 8, 7  # columns
_MOST_LINES = 5  # of one note


class _Text:
    """The lines of a timeline."""

    def __init__(self, timeline: Timeline, width: int, characters: _Characters) -> None:
        self._timeline = timeline
        self._width = width
        self._characters = characters
        facts = [_facts(bar) for bar in timeline.bars]
        sizes = [max(map(display_width, column)) for column in zip(*facts, strict=True)]
        longest = max((display_width(one_line(bar.id)) for bar in timeline.bars), default=0)
        longest = min(longest, max(_SHORTEST_NAME, width // 3))
        # For the bars, names are cut; then the end goes, which the bars show as well, then the price.
        for kept in (3, 2, 1):
            self._columns = sizes[:kept]
            left = width - 3 - sum(size + 2 for size in self._columns if size)
            self._name = min(longest, max(_SHORTEST_NAME, left - _LEAST_ROOM))
            self._room = left - self._name
            if self._room >= _LEAST_ROOM:
                break

    def all(self) -> str:
        timeline = self._timeline
        lines = [timeline.title]
        if not timeline.bars:
            lines.append("no blocks are known; only a stream tells of them")
        elif timeline.start is None:
            lines.append(_NO_TIMES)
        else:
            lines[0] += f", {duration_text(timeline.seconds)}"
            lines.append(self._axis())
        lines += map(self._line, timeline.bars)
        ellipsis = self._characters.ellipsis
        for note in self._notes():
            lines += _wrapped(note, self._width, ellipsis)
        return "".join(f"{cut(line.rstrip(), self._width, ellipsis)}\n" for line in lines)

    def _axis(self) -> str:
        line = ""
        for tick in _ticks(self._timeline.seconds, max(self._room // 9, 3)):
            place, label = self._place(tick), _tick_text(tick)
            if not line or (len(line) < place and place + len(label) <= self._room + 2):
                line = line.ljust(place) + label
        return " " * (self._name + 3) + line

    def _line(self, bar: Bar) -> str:
        name = cut(one_line(bar.id), self._name, self._characters.ellipsis)
        mark = "*" if bar.is_critical else " "
        drawn = "" if self._timeline.start is None else f"{self._bar(bar):<{self._room}}"
        cells = [f"{cell:>{size}}" for cell, size in zip(_facts(bar), self._columns, strict=False) if size]
        line = "  ".join([f"{name}{' ' * (self._name - display_width(name))} {mark} {drawn}".rstrip(" "), *cells])
        if drawn:
            line = f"{name}{' ' * (self._name - display_width(name))} {mark} {drawn}  {'  '.join(cells)}"
        return line if self._timeline.start is not None else f"{line}  {bar.details}"

    def _bar(self, bar: Bar) -> str:
        if bar.start is None or bar.end is None:
            return ""
        characters = self._characters
        begin, end = self._place(bar.start), self._place(bar.end)
        length = max(end - begin, 1)
        waits = 0 if bar.first_token is None else min(max(self._place(bar.first_token) - begin, 0), length)
        drawn = characters.waits * waits + characters.runs * (length - waits)
        if not bar.has_ended:
            drawn = drawn[:-1] + characters.endless
        elif bar.status == "failed":
            drawn = drawn[:-1] + characters.failed
        elif bar.seconds == 0:
            drawn = characters.moment
        return " " * begin + drawn

    def _place(self, seconds: float) -> int:
        """Return the column of a time."""
        whole = self._timeline.seconds
        return min(int(seconds / whole * self._room), self._room - 1) if whole > 0 else 0

    def _notes(self) -> list[str]:
        timeline, characters = self._timeline, self._characters
        notes = [f"{one_line(bar.id)}: {one_line(bar.error)}" for bar in timeline.bars if bar.error]
        if timeline.critical_path:
            notes.append(f"* critical path: {', '.join(map(one_line, timeline.critical_path))}")
        if any(bar.first_token is not None for bar in timeline.bars):
            notes.append(f"{characters.waits} before the first token")
        return notes


def _wrapped(text: str, width: int, ellipsis: str) -> list[str]:
    """Return a text in lines that fit, all but the first indented; of a long one only the beginning."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if not lines[-1] or display_width(longer) <= width:
            lines[-1] = longer
        elif len(lines) < _MOST_LINES:
            lines.append(f"  {word}")
        else:
            return [*lines[:-1], f"{cut(lines[-1], width - 4, ellipsis)} {ellipsis}"]
    return lines


# --- SVG ----------------------------------------------------------------------------------------------------------

_WIDTH, _LEFT, _RIGHT, _TOP, _ROW = 960.0, 200.0, 690.0, 84.0, 26.0
_BAR = 16.0  # the height of a bar
_LEAST = 3.0  # the width of a bar that takes no time
_LONGEST_HINT = 400  # columns of what is shown when somebody points at a bar, and of what is only read out


def _svg(timeline: Timeline) -> str:
    height = _TOP + _ROW * max(len(timeline.bars), 1) + 56
    bottom = height - 48
    long = "" if timeline.start is None else f", {duration_text(timeline.seconds)}"
    title = fit(timeline.title + long, 16 * BOLD, _WIDTH - 32)
    parts = [_words(16, 30, title, more='font-size="16" font-weight="600"')]
    if timeline.start is not None:
        parts += _grid(timeline, bottom)
    elif timeline.bars:
        parts.append(_words(16, 56, _NO_TIMES, "soft"))
    if not timeline.bars:
        parts.append(_words(16, _TOP + 8, "no blocks are known; only a stream tells of them", "soft"))
    parts += [_row(timeline, bar, _TOP + _ROW * number) for number, bar in enumerate(timeline.bars)]
    if timeline.start is not None:
        parts.append(_legend(timeline, height - 20))
    path = cut(", ".join(map(one_line, timeline.critical_path[:20])), _LONGEST_HINT)
    described = f"{len(timeline.bars)} blocks{long}" + (f"; critical path: {path}" if path else "")
    return svg_picture("".join(parts), width=_WIDTH, height=height, title=timeline.title, description=described)


def _words(x: float, y: float, text: str, kind: str = "text", more: str = "") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}"{more and f" {more}"}>{xml_text(text)}</text>'


def _rect(x: float, y: float, width: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{x:.2f}" y="{y:g}" width="{width:.2f}" height="{_BAR:g}" rx="2"/>'


def _x(timeline: Timeline, seconds: float) -> float:
    return _LEFT + (seconds / timeline.seconds if timeline.seconds > 0 else 0.0) * (_RIGHT - _LEFT)


def _grid(timeline: Timeline, bottom: float) -> list[str]:
    parts: list[str] = []
    for tick in _ticks(timeline.seconds, 8):
        x = _x(timeline, tick)
        line = f'<line class="edge" x1="{x:.2f}" y1="64" x2="{x:.2f}" y2="{bottom:g}" opacity="0.3"/>'
        parts += [line, _words(round(x, 2), 58, _tick_text(tick), "soft", 'text-anchor="middle" font-size="11"')]
    return parts


def _row(timeline: Timeline, bar: Bar, y: float) -> str:
    weight = 'font-weight="600"' if bar.is_critical else ""
    name, base = one_line(bar.id), y + 8.5
    length, price, end = _facts(bar)
    hint = "; ".join(filter(None, [name, bar.status, length, price and f"price {price}", bar.details, bar.error]))
    kind = {"completed": "soft", "failed": "bad"}.get(bar.status, "busy")
    shown = fit(name, 13 * BOLD, _LEFT - 24)
    parts = [f"<g><title>{xml_text(cut(one_line(hint), _LONGEST_HINT))}</title>", _words(16, base, shown, more=weight)]
    if bar.start is not None and bar.end is not None:
        parts += _bar(timeline, bar, y - 4)
    if timeline.start is None:
        facts = "; ".join(filter(None, [one_line(bar.status), bar.details]))
        parts.append(_words(_LEFT, base, fit(facts, 13, _RIGHT + 70 - _LEFT), kind))
        end = ""
    parts.append(_words(_RIGHT + 90, base, fit(length, 13, 85), "soft", 'text-anchor="end"'))
    parts.append(_words(_RIGHT + 178, base, fit(price, 13, 85), "soft", 'text-anchor="end"'))
    parts.append(_words(_RIGHT + 190, base, fit(end, 13, _WIDTH - _RIGHT - 196), kind))
    return "".join([*parts, "</g>"])


def _bar(timeline: Timeline, bar: Bar, y: float) -> list[str]:
    x, end = _x(timeline, bar.start or 0.0), _x(timeline, bar.end or 0.0)
    width = max(end - x, _LEAST)
    kind = "bad" if bar.status == "failed" else "busy" if bar.status != "completed" else "good"
    outline = " marked" if bar.is_critical else ""
    parts: list[str] = []
    if bar.first_token is None:
        parts.append(_rect(x, y, width, kind))
    else:
        waits = min(max(_x(timeline, bar.first_token) - x, 0.0), width)
        parts += [_rect(x, y, width, "box"), _rect(x + waits, y, max(width - waits, 1.0), kind)]
    if outline or not bar.has_ended:
        dashed = "" if bar.has_ended else " dashed"
        parts.append(_rect(x, y, width, f"edge{outline}{dashed}"))
    return parts


def _legend(timeline: Timeline, y: float) -> str:
    """Return the meaning of the colours that the picture uses."""
    bars = timeline.bars
    kinds = [
        ("box", "before the first token", any(bar.first_token is not None for bar in bars)),
        ("good", "completed", any(bar.status == "completed" for bar in bars)),
        ("bad", "failed", any(bar.status == "failed" for bar in bars)),
        ("busy", "any other status", any(bar.status not in ("completed", "failed") for bar in bars)),
        ("edge marked", "critical path", bool(timeline.critical_path)),
    ]
    parts: list[str] = []
    x = 16.0
    for kind, meaning, is_used in kinds:
        if is_used:
            parts += [_rect(x, y - 12, 24, kind), _words(x + 32, y, meaning, "soft", 'font-size="12"')]
            x += 56 + pixels(meaning, 12)
    return "".join(parts)


# --- The short form of a run in a notebook ------------------------------------------------------------------------

_MOST_ROWS = 100
_LONGEST = 2000


def html_summary(title: str, said: str, blocks: Sequence[scout.BlockRun]) -> str:
    """Return a run as a piece of HTML for a notebook. It takes its colours from the page, dark or light.

    Args:
        title: The headline.
        said: The output, or why there is none.
        blocks: The blocks of the run.
    """
    parts = [f"<div><b>{xml_text(title)}</b>"]
    if said:
        shown = said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"
        parts.append(f'<pre style="white-space:pre-wrap">{xml_text(shown)}</pre>')
    if blocks:
        rows = [_html_row("th", ("block", "status", "seconds", "price", "model", "error"))]
        for block in blocks[:_MOST_ROWS]:
            seconds = "" if block.duration is None else f"{block.duration:.2f}"
            price = "" if block.price is None else price_text(block.price)
            rows.append(_html_row("td", (block.id, block.status, seconds, price, block.model, block.error)))
        more = f"<p>and {len(blocks) - _MOST_ROWS} more</p>" if len(blocks) > _MOST_ROWS else ""
        summary = f"<summary>{len(blocks)} block{'' if len(blocks) == 1 else 's'}</summary>"
        parts.append(f"<details>{summary}<table>{''.join(rows)}</table>{more}</details>")
    return "".join([*parts, "</div>"])


def _html_row(kind: str, values: Iterable[str | None]) -> str:
    cells = (f"<{kind}>{xml_text(cut(one_line(str(value or '')), 200))}</{kind}>" for value in values)
    return f"<tr>{''.join(cells)}</tr>"
