"""Progress of the blocks on stderr: a line for each change and, on a terminal, lines that live while blocks run."""

from __future__ import annotations

import os
import stat
import sys
import time
from typing import TYPE_CHECKING

from scout.cli import _live
from scout.cli._advice import in_options
from scout.cli._terminal import escape, leave_line, piece, say, talk

if TYPE_CHECKING:
    from scout import BlockRun

_MARKS = {"completed": ("+", 32), "failed": ("x", 31)}  # a character and a colour
_OTHER = ("?", 33)
_MANY = 5
"""Blocks from which on a line counts them."""


def open_display(*, answer_is_text: bool) -> PlainDisplay:
    """Return a display: one that moves on a terminal; plain lines elsewhere, with NO_COLOR and with TERM=dumb."""
    # A line of JSON for each event would make it flicker.
    is_calm = answer_is_text if sys.stdout.isatty() else not is_piped()
    return LiveDisplay() if _live.is_possible() and is_calm else PlainDisplay()


def is_piped() -> bool:
    """Return True when another program reads stdout. It may write to the terminal itself, as `tee` does."""
    try:
        mode = os.fstat(sys.stdout.fileno()).st_mode
    except OSError:  # closed, or not a file, as in tests
        return True
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


class PlainDisplay:
    """Display that prints a line for each change of a block."""

    def __init__(self) -> None:
        self._known: dict[str, object] = {}

    def show(self, blocks: list[BlockRun]) -> None:
        """Show the changes since the last call."""
        for block in blocks:
            mark = block.status, block.started, block.ended
            if mark != self._known.get(block.id):
                self._known[block.id] = mark
                self._changed(block)

    def _changed(self, block: BlockRun) -> None:
        talk(f"block {_words(block)}")

    def text(self, added: str) -> None:
        """Print a piece of the output."""
        piece(added)

    def close(self) -> None:
        """Stop to move."""


class LiveDisplay(PlainDisplay):
    """Display that also shows the running blocks and their seconds, below the text of the output.

    The line of a block that has ended stays. When it ends while the text is printed, its line follows the text.
    """

    def __init__(self) -> None:
        super().__init__()
        self._running: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._held: list[BlockRun] = []
        self._has_text = False
        self._live = _live.LiveLines(self._now)
        self._live.start()

    def _changed(self, block: BlockRun) -> None:
        if block.status == "started":
            self._running[block.id] = time.monotonic()
            return
        self._running.pop(block.id, None)
        self._counts[block.status] = self._counts.get(block.status, 0) + 1
        if self._has_text and sys.stdout.isatty():
            self._held.append(block)
        else:
            _print(block)

    def text(self, added: str) -> None:
        """Print a piece of the output."""
        self._has_text = True
        piece(added)

    def close(self) -> None:
        """Erase the lines of the blocks that run, and print those that waited for the text."""
        self._live.close()
        if self._held:
            leave_line()
        for block in self._held:
            _print(block)
        self._held.clear()

    def _now(self, width: int, most: int) -> list[str]:
        now = time.monotonic()
        running = list(self._running.items())
        is_counted = len(self._known) >= _MANY or len(running) + len(self._held) > most
        room = most - 1 if is_counted else most
        # The running ones come first when there is no room for all.
        lines = [
            f"\x1b[2m{_live.fit(_line(f'… {block_id} {now - since:.1f} s'), width)}\x1b[0m"
            for block_id, since in running[:room]
        ]
        left = room - len(lines)
        lines[:0] = [_coloured(block, width) for block in self._held[-left:]] if left else []
        if is_counted:
            counts = {**self._counts, "running": len(running)}
            counted = ", ".join(f"{count} {_line(name)}" for name, count in counts.items() if count)
            lines.append(f"\x1b[2m{_live.fit(counted, width)}\x1b[0m")
        return lines


def _print(block: BlockRun) -> None:
    say(_coloured(block))


def _coloured(block: BlockRun, width: int | None = None) -> str:
    mark, colour = _MARKS.get(block.status, _OTHER)
    words = in_options(_words(block))
    shown = escape(words) if width is None else _live.fit(_line(words), width - 2)
    return f"\x1b[{colour}m{mark}\x1b[0m {shown}"


def _line(text: str) -> str:
    return escape(" ".join(text.split()))


def _words(block: BlockRun) -> str:
    if block.status == "started":
        return f"{block.id} started"
    duration = (
        "" if block.duration is None else f" {'in' if block.status == 'completed' else 'after'} {block.duration:.2f} s"
    )
    price = "" if block.price is None else f", price {block.price:.8f}".rstrip("0").rstrip(".")
    error = f": {block.error}" if block.error else ""
    return f"{block.id} {block.status}{duration}{price}{error}"
