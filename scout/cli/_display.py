"""Show on stderr what the blocks of a run do: a line for each change and, on a terminal, the running blocks."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol

from scout.cli._terminal import escape, leave_line, talk

if TYPE_CHECKING:
    from rich.text import Text

    from scout import BlockRun

_MARKS = {"started": (">", "cyan"), "completed": ("+", "green"), "failed": ("x", "red")}


class BlockDisplay(Protocol):
    """Shows the state of the blocks."""

    def show(self, blocks: list[BlockRun]) -> None:
        """Show the changes."""

    def give_way(self) -> None:
        """Leave the terminal to the answer, if that is written to it."""

    def close(self) -> None:
        """Stop every animation."""


def open_display(*, answer_is_text: bool) -> BlockDisplay:
    """Return the display that fits stderr: rich on a terminal; plain lines elsewhere and where rich is missing."""
    if not sys.stderr.isatty():
        return PlainDisplay()
    try:
        return _RichDisplay(answer_is_text=answer_is_text)
    except ImportError:  # the extra `cli` is not installed
        return PlainDisplay()


class PlainDisplay:
    """A line for each change of a block."""

    def __init__(self) -> None:
        self._known: dict[str, BlockRun] = {}

    def show(self, blocks: list[BlockRun]) -> None:
        """Show the changes."""
        for block in blocks:
            if block != self._known.get(block.id):
                self._known[block.id] = block
                self._changed(block)

    def _changed(self, block: BlockRun) -> None:
        talk(f"block {_words(block)}")

    def give_way(self) -> None:
        """Do nothing: lines may stand above the answer."""

    def close(self) -> None:
        """Do nothing: there is no animation."""


class _RichDisplay(PlainDisplay):
    """The same in colour, with the blocks that run now and their seconds below."""

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
        # Events come all the time, and text only when a block says something.
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
        self._console.print(Text.assemble((mark, colour), " ", escape(_words(block))), soft_wrap=True)

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
