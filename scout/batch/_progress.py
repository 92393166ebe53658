"""`ProgressBar`: the numbers of a batch while it runs, on a terminal, in a notebook or in a log."""

from __future__ import annotations

import atexit
import contextlib
import html
import os
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol, Self

import scout  # its names are imported when they are first used, which only `typing.get_type_hints` does here
from scout._json import whole_text
from scout.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType

    from rich.console import Console, ConsoleOptions
    from rich.text import Text

__all__ = ["ProgressBar"]

_WINDOW = 30.0  # seconds of which the rows per second are the mean
_SAMPLES = 0.5  # seconds between two of the numbers from which they are counted
_FRAMES = 5  # pictures per second on a terminal
_UPDATES = 0.25  # seconds between two changes of a notebook
_WIDEST_BAR, _NARROWEST_BAR = 40, 8


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
        self._display: _Display | None = None

    def __call__(self, summary: scout.BatchSummary) -> None:
        """Show the numbers of a batch. Any thread may call this."""
        with self._lock:
            if self._state is None or self._state.summary is not summary:
                self.close()
                self._state = _State(summary, self._title)
                self._display = self._open(self._state)
                atexit.register(self.close)  # a terminal must not be left without its cursor
            self._state.note(time.monotonic())
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

    def _open(self, state: _State) -> _Display:
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
        now = time.monotonic()
        self._samples: deque[tuple[float, int]] = deque([(now, summary.rows - summary.resumed)])
        self._began = now

    def note(self, now: float) -> None:
        """Take a sample of the number of rows, from which the rows per second are counted."""
        if now - self._samples[-1][0] >= _SAMPLES:
            self._samples.append((now, self.summary.rows - self.summary.resumed))
            while len(self._samples) > 2 and now - self._samples[1][0] > _WINDOW:
                self._samples.popleft()

    @property
    def share(self) -> float | None:
        """The share of the rows that have ended; `None` while the number of rows is not known."""
        total = self.summary.total
        if total is None:
            return 1.0 if self.summary.ended else None
        return min(1.0, self.summary.rows / total) if total else 1.0

    def parts(self) -> list[tuple[str, str]]:
        """Return the numbers as texts with a style each, the most important first."""
        summary, rate = self.summary, self._rate()
        is_whole = summary.ended and summary.rows == summary.total
        of = "" if summary.total is None or is_whole else f" of {summary.total:,}"
        rows = f"{summary.rows:,}{of} row{'' if (summary.total or summary.rows) == 1 else 's'}"
        found = [(f"{rows} in {duration(summary.seconds)}" if summary.ended else rows, "")]
        if summary.failed:
            found.append((f"{summary.failed:,} failed", "red"))
        if summary.unknown:
            found.append((f"{summary.unknown:,} unknown", "yellow"))
        if rate and not summary.ended and summary.total is not None and summary.rows < summary.total:
            found.append((f"{duration((summary.total - summary.rows) / rate)} left", ""))
        if rate:
            found.append((_per_second(rate), ""))
        if summary.price is not None:
            found.append((f"price {price(summary.price)}", ""))
        if summary.resumed:
            found.append((f"{summary.resumed:,} from the journal", ""))
        if summary.refused:
            found.append((f"{summary.refused:,} refused (429)", "yellow"))
        return found

    def _rate(self) -> float | None:
        """Return the rows per second that were sent: of the last time, and at the end of all of it."""
        summary = self.summary
        sent = summary.rows - summary.resumed
        if summary.ended:
            return sent / summary.seconds if sent and summary.seconds else None
        since, before = self._samples[0]
        seconds = time.monotonic() - since
        return (sent - before) / seconds if sent > before and seconds > 0 else None

    def text(self) -> str:
        """Return the numbers as one line."""
        title = f"{self.title} " if self.title else ""
        return title + ", ".join(text for text, _ in self.parts())


def _per_second(rate: float) -> str:
    if rate >= 1:
        return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"
    return f"{rate * 60:.0f}/min" if rate * 60 >= 1 else f"{rate * 3600:.0f}/h"


def duration(seconds: float) -> str:
    """Return a time as a short text: `0.8 s`, `49 s`, `12:05 min` or `2:05:40 h`."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def price(value: float) -> str:
    """Return a price with as many digits as say something."""
    return f"{value:.4f}" if value >= 0.001 or value == 0 else f"{value:.2g}"


# --- Where they are shown -----------------------------------------------------------------------------------------


class _Display(Protocol):
    def show(self) -> None:
        """Show the state, if it is time to."""
        ...

    def close(self) -> None:
        """Show the last state."""
        ...


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
        self._live = Live(
            self,
            console=Console(file=sys.stderr),
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

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Generator[Text]:
        from rich.text import Text

        width = options.max_width - 1  # in the last column, the cursor of some terminals is in the next line
        share, parts = self._state.share, self._state.parts()
        numbers = Text(*parts[0])
        has_bar = share is not None and numbers.cell_len + _NARROWEST_BAR < width
        most = width - _NARROWEST_BAR - 1 if has_bar else width
        for text, style in parts[1:]:
            added = Text(f", {text}", style)
            if numbers.cell_len + added.cell_len > most:
                break
            numbers.append_text(added)
        room = min(_WIDEST_BAR, width - numbers.cell_len - 1)
        line = Text(no_wrap=True, overflow="crop", end="")
        title = Text(self._state.title)
        if title and room - title.cell_len > _NARROWEST_BAR:
            line.append_text(title).append(" ")
            room -= title.cell_len + 1
        if share is not None and has_bar:
            filled, full, rest = round(share * room), *(("=", " ") if options.ascii_only else ("━", "━"))
            line.append(full * filled, "green" if share == 1 else "cyan").append(rest * (room - filled), "dim")
            line.append(" ")
        line.append_text(numbers)
        line.truncate(max(width, 1))
        yield line


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
        share = self._state.share
        value = "" if share is None else f' value="{share:.4f}"'
        title = f"{html.escape(self._state.title)} " if self._state.title else ""
        numbers = ", ".join(html.escape(text) for text, _ in self._state.parts())
        return f'<div>{title}<progress max="1"{value} style="width: 20em"></progress> {numbers}</div>'
