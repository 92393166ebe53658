"""`ProgressBar`: the numbers of a batch while it runs, on a terminal, in a notebook or in a log."""

from __future__ import annotations

import atexit
import contextlib
import html
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import scout  # its names are imported when they are first used, which only `typing.get_type_hints` does here
from scout._json import whole_text
from scout.errors import ConfigurationError
from scout.timeline import duration_text, price_text

if TYPE_CHECKING:
    from types import TracebackType

    from rich.table import Table

__all__ = ["ProgressBar"]

_FRAMES = 5  # pictures per second on a terminal
_UPDATES = 0.25  # seconds between two changes of a notebook
_WIDEST_BAR = 40
_EARLY = 0.1  # seconds after which the rows per second say something


class ProgressBar:
    """Progress of a batch, for `on_progress`: rows, rows per second, failures, price, and the time that is left.

    On a terminal it is a bar, which needs the package rich (the extra `cli`), and in a notebook one line of HTML that
    changes. Elsewhere, such as in a log, with `NO_COLOR` and with `TERM=dumb`, it is a line every few seconds. All of
    it goes to stderr. It ends with the batch, and can then be used for another one.

    Args:
        title: A text before the numbers.
        seconds: The seconds between two lines, where it is not a bar.
        keep: Leave the last state on the screen.

    Raises:
        ConfigurationError: `seconds` is not a number, or less than 0.
    """

    def __init__(self, title: str = "", *, seconds: float = 5.0, keep: bool = True) -> None:
        given: Any = seconds
        if isinstance(given, bool) or not isinstance(given, int | float) or not given >= 0:
            raise ConfigurationError(f"seconds must be a number, 0 or more, not {seconds!r}")
        self._title = whole_text(title) if title.isprintable() else repr(title)
        self._seconds = seconds
        self._keep = keep
        self._lock = threading.RLock()
        self._state: _State | None = None
        self._display: _Lines | _Bar | _Notebook | None = None

    def __call__(self, summary: scout.BatchSummary) -> None:
        """Show the numbers of a batch. Any thread may call this."""
        with self._lock:
            if self._state is None or self._state.summary is not summary:
                self.close()
                self._state = _State(summary, self._title)
                self._display = self._open(self._state)
                atexit.register(self.close)  # a terminal must not be left without its cursor
            if self._display is not None:
                self._display.show()
            if summary.ended:
                self.close()

    def close(self) -> None:
        """Show the last state, and no more."""
        with self._lock:
            display, self._display = self._display, None
            if display is not None:
                atexit.unregister(self.close)
                display.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, state: _State) -> _Lines | _Bar | _Notebook:
        if _is_notebook():
            return _Notebook(state)
        if _is_moving():
            with contextlib.suppress(ImportError):
                return _Bar(state, keep=self._keep)
        return _Lines(state, self._seconds, keep=self._keep)


def _is_moving() -> bool:
    """Return True when stderr is a terminal that can draw, and nobody asked for none of it."""
    stream: Any = sys.stderr  # None where there is no console
    return (
        stream is not None
        and stream.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") not in ("dumb", "unknown")
    )


def _is_notebook() -> bool:
    """Return True in a notebook. IPython is there already, if it is one."""
    package = sys.modules.get("IPython")
    shell: Any = None if package is None else package.get_ipython()
    return getattr(shell, "kernel", None) is not None


# --- The numbers --------------------------------------------------------------------------------------------------


class _State:
    """The numbers of a batch as texts."""

    def __init__(self, summary: scout.BatchSummary, title: str) -> None:
        self.summary = summary
        self.title = title

    def parts(self) -> list[tuple[str, str]]:
        """Return the numbers as texts with a style each, the most important first."""
        summary = self.summary
        sent = summary.rows - summary.resumed
        rate = sent / summary.seconds if summary.seconds > _EARLY else 0.0
        left = 0 if summary.total is None else summary.total - summary.rows
        of = f" of {summary.total:,}" if left > 0 or (not summary.ended and summary.total is not None) else ""
        rows = f"{summary.rows:,}{of} row{'' if (summary.total or summary.rows) == 1 else 's'}"
        found = [
            (f"{rows} in {duration_text(summary.seconds)}" if summary.ended else rows, ""),
            (f"{summary.failed:,} failed" if summary.failed else "", "red"),
            (f"{summary.unknown:,} unknown" if summary.unknown else "", "yellow"),
            (f"{_left(left / rate)} left" if rate and left > 0 and not summary.ended else "", ""),
            (_per_second(rate) if rate else "", ""),
            ("" if summary.price is None else f"price {price_text(summary.price)}", ""),
            (f"{summary.resumed:,} from the journal" if summary.resumed else "", ""),
            (f"{summary.refused:,} refused (429)" if summary.refused else "", "yellow"),
        ]
        return [(text, style) for text, style in found if text]

    def text(self) -> str:
        """Return the numbers as one line."""
        title = f"{self.title} " if self.title else ""
        return title + ", ".join(text for text, _ in self.parts())


def _per_second(rate: float) -> str:
    if rate >= 1:
        return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"
    return f"{rate * 60:.1f}/min"


def _left(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else duration_text(seconds)


# --- Where they are shown -----------------------------------------------------------------------------------------


class _Lines:
    """Lines, for a log."""

    def __init__(self, state: _State, seconds: float, *, keep: bool) -> None:
        self._state = state
        self._seconds = seconds
        self._keep = keep
        self._last = time.monotonic()

    def show(self) -> None:
        now = time.monotonic()
        if now - self._last >= self._seconds and not self._state.summary.ended:
            self._last = now
            self._print()

    def close(self) -> None:
        if self._keep:
            self._print()

    def _print(self) -> None:
        stream: Any = sys.stderr
        if stream is None:
            return
        encoding = stream.encoding or "utf-8"
        text = self._state.text().encode(encoding, "replace").decode(encoding)
        with contextlib.suppress(OSError, ValueError):  # the log has gone, and the batch goes on
            stream.write(f"{text}\n")
            stream.flush()


class _Bar:
    """A bar at the bottom of a terminal. What is printed meanwhile appears above it."""

    def __init__(self, state: _State, *, keep: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        self._state = state
        # Rich would also take stdout where that is a pipe, and write to the terminal what belongs into the pipe.
        self._console = Console(file=sys.stderr)
        self._live = Live(
            get_renderable=self._picture,
            console=self._console,
            refresh_per_second=_FRAMES,
            transient=not keep,
            redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
            redirect_stderr=True,
        )
        self._live.start(refresh=True)

    def show(self) -> None:
        pass  # a thread of rich draws it

    def close(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._live.stop()

    def _picture(self) -> Table:
        from rich.progress_bar import ProgressBar as Bar
        from rich.table import Column, Table
        from rich.text import Text

        summary = self._state.summary
        numbers = Text(no_wrap=True, overflow="ellipsis")
        for text, style in self._state.parts():
            numbers.append(", " if numbers else " ").append(text, style)
        width = min(_WIDEST_BAR, self._console.width // 4)
        total = summary.rows if summary.ended and summary.total is None else summary.total
        bar = Bar(total, summary.rows, width=width)
        cells: list[Any] = [Text(f"{self._state.title} "), bar, numbers] if self._state.title else [bar, numbers]
        table = Table.grid(*(Column(no_wrap=True) for _ in cells[1:]), Column())  # the last one gives way
        table.add_row(*cells)
        return table


class _Notebook:
    """One line of HTML, which the front end of a notebook replaces."""

    def __init__(self, state: _State) -> None:
        self._state = state
        self._last = time.monotonic()
        self._handle: Any = sys.modules["IPython.display"].display(self, display_id=True)

    def show(self) -> None:
        now = time.monotonic()
        if now - self._last >= _UPDATES and not self._state.summary.ended:
            self._last = now
            self._handle.update(self)

    def close(self) -> None:
        self._handle.update(self)

    def __repr__(self) -> str:
        return self._state.text()

    def _repr_html_(self) -> str:
        summary = self._state.summary
        value = f' value="{summary.rows}" max="{summary.total or 1}"' if summary.total is not None else ""
        title = f"{html.escape(self._state.title)} " if self._state.title else ""
        numbers = ", ".join(html.escape(text) for text, _ in self._state.parts())
        return f'<div>{title}<progress{value} style="width: 20em"></progress> {numbers}</div>'
