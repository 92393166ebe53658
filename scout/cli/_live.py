"""Lines at the bottom of a terminal that change while a command runs, below the text that it prints.

The cursor always stands at the end of the text. The lines are drawn below it, and the cursor returns; so they can be
erased from the cursor on, whatever a resize has made of them, and no text is ever drawn twice.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import unicodedata
from typing import TYPE_CHECKING

from scout.cli import _terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_SECONDS = 0.1  # between two pictures
_LEAST_SECONDS = 0.005  # between two pictures that text asks for

_UNLIMITED = 10**9  # columns of a row on which any text fits

_ERASE = "\x1b[J"  # from the cursor to the end of the screen
_DOWN, _SAVE, _RESTORE = "\x1bD", "\x1b7", "\x1b8"
_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"


def is_possible() -> bool:
    """Return True when stderr is a terminal that can draw, and nobody asked for none of it."""
    return (
        _terminal.wants_colour(sys.stderr)
        and _terminal.is_utf_8(sys.stderr)
        and sys.platform != "win32"  # an old console shows the codes
    )


def _put(codes: str) -> None:
    sys.stderr.write(codes)
    sys.stderr.flush()


def _size() -> tuple[int, int]:
    try:
        width, height = os.get_terminal_size(sys.stderr.fileno())
    except OSError:
        return 80, 24
    return width or 80, height or 24  # some say 0


class LiveLines:
    """The lines. All text that is printed meanwhile goes through `_terminal`, which makes room for it here."""

    def __init__(
        self,
        lines: Callable[[int, int], list[str]],
        *,
        put: Callable[[str], None] = _put,
        size: Callable[[], tuple[int, int]] = _size,
    ) -> None:
        """Prepare the lines.

        Args:
            lines: A function from the columns and the number of lines at most to the lines, which fit.
            put: A function that writes to the terminal.
            size: A function that returns the columns and lines of the terminal.
        """
        self._lines = lines
        self._put = put
        self._size = size
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._is_drawn = False
        self._is_below = False  # the row below the cursor is the first one, because there is text before the cursor
        self._column: int | None = 0  # of the cursor; `None` while it is not certain
        self._width = size()[0]
        self._last = 0.0

    def start(self) -> None:
        """Begin to draw."""
        if not _terminal.at_line_start():
            self._column = None
        _terminal.watch(self.making_room)
        threading.Thread(target=self._draw_again, name="scout-live", daemon=True).start()

    def close(self) -> None:
        """Erase the lines, and draw no more."""
        self._stopped.set()
        _terminal.watch(None)
        with self._lock:
            self._erase()

    def _draw_again(self) -> None:
        with contextlib.suppress(OSError):  # the terminal has gone, which the other writers report
            while not self._stopped.wait(_SECONDS):
                self.draw()

    @contextlib.contextmanager
    def making_room(self, text: str) -> Generator[None]:
        """Make room for text that is written in this context, and draw again after it."""
        with self._lock:
            self._notice_resize()
            after = column_after(self._column, text, self._width)
            # In the last column the cursor waits for the next character, and to erase would erase a character.
            end = column_after(self._column, text, _UNLIMITED)
            fits = end is not None and end < self._width and "\n" not in text
            if not (fits and self._is_below):
                self._erase()
            yield
            self._column = after
            if not self._is_drawn and time.monotonic() - self._last > _LEAST_SECONDS:
                self.draw()

    def _notice_resize(self) -> None:
        width = self._size()[0]
        if width == self._width:
            return
        self._width = width
        if self._column:
            if self._column % width == 0:  # in the last column, perhaps
                self._is_drawn = False
            self._erase()
            self._column = None  # terminals differ in what they do to the line

    def draw(self) -> None:
        """Draw the lines as they are now, unless there is no safe place for them."""
        with self._lock:
            if self._stopped.is_set():
                return
            self._notice_resize()
            width, height = self._size()
            if self._column is None or self._column >= width or height < 4:
                return
            lines = self._lines(width - 1, height // 2)
            if not lines:
                self._erase()
                return
            self._last = time.monotonic()
            self._is_drawn, self._is_below = True, self._column > 0
            down = len(lines) - (0 if self._is_below else 1)
            room = _DOWN * down + (f"\x1b[{down}A" if down else "")  # scrolls where the screen ends here
            first = "\r\n" if self._is_below else ""
            drawn = "\r\n".join(f"{line}\x1b[K" for line in lines)
            self._put(f"{_HIDE}{room}{_SAVE}{first}{drawn}{_ERASE}{_RESTORE}{_SHOW}")

    def _erase(self) -> None:
        if self._is_drawn:
            self._is_drawn = False
            self._put(_ERASE)


# --- Where the cursor is ------------------------------------------------------------------------------------------


def column_after(column: int | None, text: str, width: int) -> int | None:
    """Return the column of the cursor after a text, from 0; `width` while it waits behind the last column.

    `None` where terminals differ, until the next line.
    """
    line = text.rpartition("\n")
    column = 0 if line[1] else column
    rest = line[2]
    if column is None or not rest:
        return column
    if rest.isascii() and rest.isprintable():
        column += len(rest)
        return column if column <= width else (column - 1) % width + 1
    for character in rest:
        columns = _columns(character)
        if columns is None or (columns == 2 and column == width - 1):  # half of it would fit
            return None
        column = columns if column + columns > width else column + columns
    return column


def _columns(character: str) -> int | None:
    """Return the columns of a character; `None` where terminals differ: emoji, joiners, tabs, control characters."""
    kind = unicodedata.category(character)
    if kind in ("Mn", "Me"):
        return None if "\ufe00" <= character <= "\ufe0f" else 0
    if kind[0] == "C" or "\U0001f000" <= character <= "\U0001fbff":
        return None
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text: str, width: int) -> str:
    """Return one line of text in at most so many columns, and without characters on which terminals differ."""
    kept, used = "", 0
    for character in text:
        columns = _columns(character)
        shown = "?" if columns is None else character
        used += 1 if columns is None else columns
        if used > width - 1:
            return f"{kept}…"
        kept += shown
    return kept
