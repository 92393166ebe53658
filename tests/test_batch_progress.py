"""The progress bar of a batch: on a terminal, in a notebook, in a log."""

import io
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import pyte
import pytest

from scout import BatchItem, ConfigurationError, ProgressBar, Run, RunFailedError, RunStatus
from scout.batch import _progress
from scout.batch._items import Tally

DONE = BatchItem(0, "a", {}, Run("run_1", None, None, RunStatus.COMPLETED, raw={"price": 0.002}), seconds=0.1)
FAILED = BatchItem(0, "a", {}, error=RunFailedError("no", run=Run("run_1", None, None, RunStatus.FAILED)))


def tally(done: int = 0, failed: int = 0, total: int | None = 1000) -> Tally:
    summary = Tally(total)
    for item in [DONE] * done + [FAILED] * failed:
        summary.add(item)
    return summary


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    encoding = "utf-8"

    def __init__(self, columns: int = 100) -> None:
        super().__init__()
        self.screen = pyte.Screen(columns, 10)

    def isatty(self) -> bool:
        return True

    @property
    def shown(self) -> list[str]:
        stream = pyte.Stream(self.screen)
        self.screen.reset()
        stream.feed(self.getvalue().replace("\n", "\r\n"))
        return [row.rstrip() for row in self.screen.display if row.strip()]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@contextmanager
def on_a_terminal(columns: int = 100, stdout: Any = None) -> Iterator[Terminal]:
    """Stderr is a terminal, and so is stdout unless it is given. Pytest replaces both between fixture and test."""
    terminal = Terminal(columns)
    streams = {"stderr": terminal, "stdout": Terminal(columns) if stdout is None else stdout}
    with patch.multiple(sys, **streams), patch.dict(os.environ, COLUMNS=str(columns), LINES="10"):
        yield terminal


# --- In a log -------------------------------------------------------------------------------------------------------


def test_a_log_gets_a_line_every_few_seconds_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    summary = tally()
    bar = ProgressBar("tickets:", seconds=0.05)
    for _ in range(20):
        summary.add(DONE)
        bar(summary)
        time.sleep(0.01)
    summary.add(FAILED)
    summary.end()
    bar(summary)

    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert 3 <= len(lines) <= 6
    assert all(re.match(r"tickets: \d+ of 1,000 rows,( .* left, \d+/s,)? price 0\.\d+", line) for line in lines[:-1])
    assert re.fullmatch(r"tickets: 21 of 1,000 rows in \d+ ms, 1 failed, \d+/s, price 0\.04", lines[-1])


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_that_must_not_move_gets_lines(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with on_a_terminal() as terminal, ProgressBar(seconds=0) as bar:
        bar(tally(5))

    assert terminal.getvalue().splitlines() == ["5 of 1,000 rows, price 0.01"] * 2


def test_without_rich_a_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with on_a_terminal() as terminal, ProgressBar() as bar:
        bar(tally(5))

    assert terminal.getvalue() == "5 of 1,000 rows, price 0.01\n"


def test_nothing_is_left_where_that_was_asked_for() -> None:
    summary = tally(1000)
    with on_a_terminal() as terminal, ProgressBar(keep=False) as bar:
        bar(summary)
        summary.end()
        bar(summary)

    assert terminal.shown == []


def test_a_log_that_has_gone_does_not_end_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (closed, None):
        monkeypatch.setattr(_progress, "_is_moving", lambda: False)
        monkeypatch.setattr(sys, "stderr", stream)
        with ProgressBar(seconds=0) as bar:
            bar(tally(1))


# --- On a terminal --------------------------------------------------------------------------------------------------


def test_a_terminal_has_a_bar_that_stays_when_the_batch_has_ended() -> None:
    summary = tally(300, 20)
    with on_a_terminal() as terminal:
        bar = ProgressBar("now")
        bar(summary)
        assert re.fullmatch(r"now [━╺]+ 320 of 1,000 rows, 20 failed, price 0\.6", *terminal.shown)
        for _ in range(680):
            summary.add(DONE)
        summary.end()
        bar(summary)

    assert re.fullmatch(r"now ━+ 1,000 rows in [\d.]+ ms, 20 failed,( [\d,]+/s,)? price 1\.96", *terminal.shown)
    assert terminal.getvalue().rstrip().endswith("\x1b[?25h")  # the cursor is there again


def test_what_is_printed_meanwhile_appears_above_the_bar() -> None:
    with on_a_terminal() as terminal, ProgressBar() as bar:
        bar(tally(1))
        print("to stdout [red]as it is[/red]")
        print("to stderr", file=sys.stderr)

    assert terminal.shown[:2] == ["to stdout [red]as it is[/red]", "to stderr"]
    assert "1 of 1,000 rows" in terminal.shown[2]


def test_what_is_printed_into_a_pipe_stays_there() -> None:
    pipe = io.StringIO()
    with on_a_terminal(stdout=pipe) as terminal, ProgressBar() as bar:
        bar(tally(1))
        assert sys.stdout is pipe
        print("into the pipe")

    assert pipe.getvalue() == "into the pipe\n"
    assert len(terminal.shown) == 1


@pytest.mark.parametrize("columns", [1, 2, 5, 20, 30, 60, 80, 200])
def test_the_bar_fits_into_a_line_of_any_width(columns: int) -> None:
    summary = tally(300, 20)
    summary.refused = 7
    with on_a_terminal(columns) as terminal, ProgressBar("a title that is long") as bar:
        bar(summary)

    text = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", terminal.getvalue())
    assert max(len(line) for line in re.split(r"[\r\n]+", text)) <= columns
    assert ("━ 320 of 1,000 rows, 20 failed" in text) == (columns >= 80)


def test_rows_without_a_number_have_a_bar_that_has_no_end() -> None:
    with on_a_terminal() as terminal, ProgressBar() as bar:
        bar(tally(7, total=None))

    assert re.fullmatch("━+ 7 rows, price 0.014", *terminal.shown)


def test_a_bar_serves_one_batch_after_another() -> None:
    bar = ProgressBar()
    with on_a_terminal() as terminal:
        for number in (3, 4):
            summary = tally(number, total=number)
            bar(summary)
            summary.end()
            bar(summary)

    assert [re.sub(" in.*", "", row.lstrip("━ ")) for row in terminal.shown] == ["3 rows", "4 rows"]


# --- In a notebook --------------------------------------------------------------------------------------------------


class Handle:
    def __init__(self, shown: Any) -> None:
        self.pages = [shown._repr_html_()]

    def update(self, shown: Any) -> None:
        self.pages.append(shown._repr_html_())


@pytest.fixture
def handles(monkeypatch: pytest.MonkeyPatch) -> list[Handle]:
    found: list[Handle] = []

    def display(shown: Any, *, display_id: bool) -> Handle:
        assert display_id
        found.append(Handle(shown))
        return found[-1]

    package, module = ModuleType("IPython"), ModuleType("IPython.display")
    vars(package)["get_ipython"] = lambda: SimpleNamespace(kernel=object())
    vars(module)["display"] = display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return found


def test_a_notebook_has_one_line_that_changes(handles: list[Handle], capsys: pytest.CaptureFixture[str]) -> None:
    summary = tally(500)
    bar = ProgressBar("<b>")
    bar(summary)
    for _ in range(500):
        summary.add(DONE)
        bar(summary)
    summary.end()
    bar(summary)

    (handle,) = handles
    assert 2 <= len(handle.pages) <= 4  # not for every row
    assert re.fullmatch(
        r'<div>&lt;b&gt; <progress value="500" max="1000" style="[^"]*"></progress> 500 of 1,000 rows, .*</div>',
        handle.pages[0],
    )
    assert 'value="1000" max="1000"' in handle.pages[-1]
    assert "1,000 rows in" in handle.pages[-1]
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("handles")
def test_a_notebook_shows_that_the_number_of_rows_is_not_known(handles: list[Handle]) -> None:
    with ProgressBar() as bar:
        bar(tally(1, total=None))

    assert "<progress style" in handles[0].pages[-1]


def test_the_shell_of_ipython_is_not_a_notebook(
    handles: list[Handle], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    vars(sys.modules["IPython"])["get_ipython"] = lambda: SimpleNamespace()
    with ProgressBar() as bar:
        bar(tally(1))

    assert not handles
    assert capsys.readouterr().err == "1 of 1,000 rows, price 0.002\n"


# --- Words and arguments --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-1, True, "5", None, float("nan")])
def test_the_seconds_are_a_number(seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match="seconds must be a number, 0 or more"):
        ProgressBar(seconds=seconds)


def test_a_title_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar("a\x1b[2Jb") as bar:
        bar(tally(1))

    assert "\x1b" not in capsys.readouterr().err
