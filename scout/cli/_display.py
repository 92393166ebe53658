"""Progress of the blocks on stderr: a line for each change and, on a terminal, the running blocks."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol

from scout.cli._advice import in_options
from scout.cli._terminal import escape, leave_line, talk

if TYPE_CHECKING:
    from rich.text import Text

    from scout import BlockRun

_MARKS = {"started": (">", "cyan"), "completed": ("+", "green"), "failed": ("x", "red")}


class BlockDisplay(Protocol):
    """A display of the progress of the blocks."""

    def show(self, blocks: list[BlockRun]) -> None:
        """Show the changes since the last call."""

    def give_way(self) -> None:
        """Stop the animation if the output is written to the terminal."""

    def close(self) -> None:
        """Stop the animation."""


def open_display(*, answer_is_text: bool) -> BlockDisplay:
    """Return a display: with rich on a terminal; plain lines elsewhere and when rich is not installed."""
    if not sys.stderr.isatty():
        return PlainDisplay()
    try:
        return _RichDisplay(answer_is_text=answer_is_text)
    except ImportError:  # the extra `cli` is not installed
        return PlainDisplay()


class PlainDisplay:
    """Display that prints a line for each change of a block."""

    def __init__(self) -> None:
        self._known: dict[str, BlockRun] = {}

    def show(self, blocks: list[BlockRun]) -> None:
        """Show the changes since the last call."""
        for block in blocks:
            if block != self._known.get(block.id):
                self._known[block.id] = block
                self._changed(block)

    def _changed(self, block: BlockRun) -> None:
        talk(f"block {_words(block)}")

    def give_way(self) -> None:
        """Do nothing, because lines do not disturb the output."""

    def close(self) -> None:
        """Do nothing, because lines have no animation."""


class _RichDisplay(PlainDisplay):
    """Display in colour that also shows the running blocks and their seconds."""

    def __init__(self, *, answer_is_text: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__()
        self._running: dict[str, float] = {}
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(
            console=self._console,
            get_renderable=self._now,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        # With text, the animation runs until the first text; with a line of JSON per event it would flicker.
        if answer_is_text or not sys.stdout.isatty():
            self._live.start()

    def _changed(self, block: BlockRun) -> None:
        from rich.text import Text

        if block.status == "started":
            self._running[block.id] = time.monotonic()
        else:
            self._running.pop(block.id, None)
        mark, colour = _MARKS.get(block.status, ("?", "yellow"))
        leave_line()
        self._console.print(Text.assemble((mark, colour), " ", escape(in_options(_words(block)))), soft_wrap=True)

    def _now(self) -> Text:
        from rich.text import Text

        now = time.monotonic()
        lines = [f"… {escape(block_id)} {now - since:.1f} s" for block_id, since in list(self._running.items())]
        return Text("\n".join(lines), style="dim", no_wrap=True, overflow="ellipsis")

    def give_way(self) -> None:
        if sys.stdout.isatty():
            self.close()

    def close(self) -> None:
        self._live.stop()


def _words(block: BlockRun) -> str:
    if block.status == "started":
        return f"{block.id} started"
    duration = (
        "" if block.duration is None else f" {'in' if block.status == 'completed' else 'after'} {block.duration:.2f} s"
    )
    price = "" if block.price is None else f", price {block.price:.8f}".rstrip("0").rstrip(".")
    error = f": {block.error}" if block.error else ""
    return f"{block.id} {block.status}{duration}{price}{error}"
