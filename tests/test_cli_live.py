"""Lines that live at the bottom of a terminal: whatever they do, the text is where it would be without them."""

import os
import sys
from pathlib import Path

import pyte
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scout.cli import _live
from scout.cli._display import LiveDisplay, open_display
from scout.cli._live import LiveLines, column_after, fit


class Screen:
    """A terminal that remembers the rows that have scrolled away."""

    def __init__(self, columns: int, rows: int) -> None:
        self._screen = pyte.HistoryScreen(columns, rows, history=10_000)
        self._stream = pyte.Stream(self._screen)

    def feed(self, text: str) -> None:
        self._stream.feed(text.replace("\r\n", "\n").replace("\n", "\r\n"))  # as the terminal driver does

    @property
    def shown(self) -> list[str]:
        return [row.rstrip() for row in self._screen.display]

    @property
    def cursor(self) -> tuple[int, int]:
        return self._screen.cursor.x, self._screen.cursor.y

    def draw(self, codes: str) -> None:
        """Take codes that draw or erase. In the last column, some terminals would erase the character before."""
        assert self.cursor[0] < self._screen.columns
        self.feed(codes)

    def text(self) -> list[str]:
        """The rows from the first to the cursor, with those that have scrolled away."""
        columns, (x, y) = self._screen.columns, self.cursor
        rows = ["".join(row[place].data for place in range(columns)) for row in self._screen.history.top]
        rows += [*self._screen.display[:y], self._screen.display[y][:x]]
        return [row.rstrip() for row in rows]

    def below(self) -> list[str]:
        """The rows that are not empty after the cursor."""
        x, y = self.cursor
        rows = [self._screen.display[y][x:], *self._screen.display[y + 1 :]]
        return [row.rstrip() for row in rows if row.strip()]


PIECES = st.lists(st.text(st.sampled_from("abc de\n日本é"), max_size=30), max_size=30)


@example(["aaaaaaa", "aaaaaaa"], 6, 4, [1])  # begins in one row, and ends further right in another
@given(PIECES, st.integers(2, 24), st.integers(4, 9), st.lists(st.integers(0, 6), min_size=1, max_size=40))
def test_no_text_is_lost_or_drawn_twice(pieces: list[str], columns: int, rows: int, counts: list[int]) -> None:
    shown, alone = Screen(columns, rows), Screen(columns, rows)
    number = iter(counts * len(pieces) * 3)
    lines: list[str] = []

    def now(width: int, most: int) -> list[str]:
        lines[:] = [fit(f"> block {each}", width) for each in range(min(next(number, 1), most))]
        return lines

    live = LiveLines(now, put=shown.draw, size=lambda: (columns, rows))
    for piece in pieces:
        live.draw()
        with live.making_room(piece):
            shown.feed(piece)
        alone.feed(piece)
        assert shown.text() == alone.text()
        assert shown.below() in ([], lines)
    live.draw()
    live.close()

    assert shown.text() == alone.text()
    assert shown.below() == []


def test_the_lines_are_below_the_text_and_follow_it() -> None:
    screen = Screen(20, 6)
    live = LiveLines(lambda _, __: ["> one", "> two"], put=screen.feed, size=lambda: (20, 6))

    live.draw()
    assert screen.shown == ["> one", "> two", "", "", "", ""]
    for piece in ("Hello", " there", "\nand"):
        with live.making_room(piece):
            screen.feed(piece)
        live.draw()
    assert screen.shown == ["Hello there", "and", "> one", "> two", "", ""]
    with live.making_room("1\n2\n3\n4\n5"):
        screen.feed("1\n2\n3\n4\n5")
    live.draw()
    assert screen.shown == ["2", "3", "4", "5", "> one", "> two"]
    live.close()
    assert screen.shown == ["2", "3", "4", "5", "", ""]


def test_a_terminal_that_became_narrower_keeps_the_text() -> None:
    size = [30, 8]
    screen = Screen(30, 8)
    live = LiveLines(
        lambda width, _: [fit("> a block with a long name", width)], put=screen.feed, size=lambda: tuple(size)
    )
    with live.making_room("The text so far"):
        screen.feed("The text so far")
    live.draw()

    size[0] = 20
    for piece in (" goes on", " and on", "\nnext"):
        live.draw()
        with live.making_room(piece):
            screen.feed(piece)
    live.draw()

    assert screen.shown[:3] == ["The text so far goes on and on", "next", "> a block with a l…"]


@pytest.mark.parametrize(
    ("before", "text", "after"),
    [
        (0, "abc", 3),
        (0, "x" * 10, 10),
        (10, "x", 1),
        (9, "日", None),
        (10, "日", 2),
        (8, "日", 10),
        (0, "ab\ncd", 2),
        (3, "\n", 0),
        (0, "e\u0301", 1),
        (0, "👍", None),
        (0, "a\tb", None),
        (None, "abc", None),
        (None, "abc\n", 0),
        (4, "", 4),
    ],
)
def test_where_the_cursor_is(before: int | None, text: str, after: int | None) -> None:
    assert column_after(before, text, 10) == after


@pytest.mark.parametrize(
    ("text", "shown"), [("short", "short"), ("exactly 10", "exactly 1…"), ("日本語日本語", "日本語日…"), ("👍👍", "??")]
)
def test_a_line_fits(text: str, shown: str) -> None:
    assert fit(text, 10) == shown


@pytest.mark.parametrize("is_file", [True, False], ids=["file", "pipe"])
def test_it_moves_while_the_answer_goes_to_a_file_but_not_to_another_program(
    is_file: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ours, theirs = os.pipe()
    monkeypatch.setattr(_live, "is_possible", lambda: True)
    with os.fdopen(ours), os.fdopen(theirs, "w") as pipe, (tmp_path / "answer.txt").open("w") as file:
        monkeypatch.setattr(sys, "stdout", file if is_file else pipe)
        display = open_display(answer_is_text=True)
        display.close()

    assert isinstance(display, LiveDisplay) is is_file
