"""Tables of what a server lists, page by page, and the texts in their cells."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, TypeVar

from scout._pictures import display_width
from scout.cli._terminal import answer, as_json, escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_WIDEST = 40  # columns of the terminal; a longer cell shifts the rest of its row

_T = TypeVar("_T")


class Table:
    """A table that is printed page by page, so that a long list begins at once. Columns can grow with each page."""

    def __init__(self, *heading: str) -> None:
        self._heading = heading
        self._widths = [0] * len(heading)
        self.has_rows = False

    def add(self, rows: Iterable[tuple[str, ...]]) -> None:
        """Print rows."""
        new = list(rows)
        if not new:
            return
        if not self.has_rows:
            new.insert(0, self._heading)
            self.has_rows = True
        for place, width in enumerate(self._widths):
            self._widths[place] = max(width, *(min(display_width(row[place]), _WIDEST) for row in new), 0)
        for row in new:
            cells = (cell + " " * (width - display_width(cell)) for cell, width in zip(row, self._widths, strict=True))
            answer("  ".join(cells).rstrip())


def up_to(limit: int | None, pages: Iterable[list[_T]]) -> Iterator[list[_T]]:
    """Yield the rows of each page, up to a total of `limit`. No page is requested after the last row."""
    for page in pages:
        yield page[:limit]
        if limit is not None:
            limit -= len(page)
            if limit <= 0:
                return


def time_of(value: object) -> str:
    """Return a time to the second, in the time zone of the server; anything else as `plain`."""
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return plain(value or None)


def plain(value: object) -> str:
    """Return a value of the server as one line: empty for `None`, JSON for a value that is not text."""
    text = value if isinstance(value, str) else "" if value is None else as_json(value)
    return escape(" ".join(text.split()))
