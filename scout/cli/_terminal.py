"""Output to the terminal: results on stdout, messages on stderr, control characters of a server escaped."""

from __future__ import annotations

import os
import re
import sys

from scout.cli._advice import in_options

TYPE_CHECKING = False  # as in `_command`

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager
    from typing import Any, TextIO

# C0 without newline and tab, DEL, C1, and the characters that change the direction of text.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def escape(text: str, *, json: bool = False) -> str:
    r"""Return text with control characters escaped: as `\x1b`, or with `json` as `\u001b`, which JSON parsers read."""

    def visible(match: re.Match[str]) -> str:
        code = ord(match[0])
        return f"\\x{code:02x}" if code < 0x100 and not json else f"\\u{code:04x}"

    return _UNSAFE.sub(visible, text)


def as_json(value: Any, *, indent: int | None = None) -> str:
    """Return a value as JSON that the encoding of stdout can represent. NaN and infinities are written as `null`."""
    from scout._json import write_json

    # `_write` prints other characters as Python escapes, which JSON parsers read only up to U+FFFF.
    return write_json(value, ascii_only=not is_utf_8(sys.stdout), indent=indent)


def is_utf_8(stream: TextIO) -> bool:
    """Return True for a stream that can represent every character."""
    return (stream.encoding or "").lower().replace("-", "") == "utf8"


def wants_colour(stream: TextIO) -> bool:
    """Return True for a terminal that shows colours, unless NO_COLOR is set (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def can_ask() -> bool:
    """Return True when a person can read a question on stderr, and answer it."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def answer(text: str, *, json: bool = False) -> None:
    """Write a result to stdout, ended by a newline: unchanged to a pipe or file, escaped to a terminal."""
    if sys.stdout.isatty():
        text = escape(text, json=json)
    _write(sys.stdout, text if text.endswith("\n") else text + "\n")


def answer_json(value: Any) -> None:
    """Write a result to stdout as JSON: indented for people on a terminal, else in one line."""
    answer(as_json(value, indent=2 if sys.stdout.isatty() else None), json=True)


def answer_array(values: Iterable[object]) -> None:
    """Write results to stdout as a JSON array, value by value. An error leaves it without its closing bracket."""
    before = "["
    for value in values:
        answer(f"{before} {as_json(value)}", json=True)
        before = ","
    answer("[]" if before == "[" else "]")


_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def answer_styled(*parts: tuple[str, str]) -> None:
    """Write a line to stdout, always escaped, in colour on a terminal unless `NO_COLOR` is set.

    Args:
        parts: The parts of the line, each a text and its style, which is a name in `_STYLES` or empty.
    """
    out = sys.stdout
    styled = wants_colour(out)
    # A line break in the name of a file would end the line, and what follows could pass for a line of ours.
    texts = ((escape(text).replace("\n", "\\n"), style) for text, style in parts)
    line = "".join(f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if style and styled else text for text, style in texts)
    _write(out, f"{line}\n")


def answer_escaped(line: str) -> None:
    """Write a line to stdout whose texts are escaped already, and which may have colours."""
    _write(sys.stdout, f"{line}\n")


class _Line:
    """State of the last line of the output."""

    open_on: TextIO | None = None  # the stream whose last character was not a newline
    making_room: Callable[[str], AbstractContextManager[None]] | None = None  # of lines that live on the terminal


_line = _Line()


def piece(text: str) -> None:
    """Write a piece of a result to stdout, as `answer`, but without a newline."""
    out = sys.stdout
    _line.open_on = None if text.endswith("\n") else out
    _write(out, escape(text) if out.isatty() else text)


def end_line() -> None:
    """End the line of a result that was written in pieces, unless a message has begun a new one in the same place."""
    out, _line.open_on = _line.open_on, None
    if out is not None and out is sys.stdout:
        _write(out, "\n")


def agrees(question: str) -> bool:
    """Ask a question on stderr, and return True when the line that is typed says yes."""
    leave_line()
    _line.open_on = sys.stderr
    _write(sys.stderr, f"scout: {escape(question)} [y/N] ")
    reply = sys.stdin.readline()
    if reply.endswith("\n"):  # the terminal has shown it
        _line.open_on = None
    return reply.strip().lower() in ("y", "yes")


def leave_line() -> None:
    """Begin a new line before output to stderr, where the last line is open. Nothing is written to stdout."""
    if _line.open_on is not None and _share_a_place(_line.open_on, sys.stderr):
        _line.open_on = None
        _write(sys.stderr, "\n")


def _share_a_place(one: TextIO, other: TextIO) -> bool:
    """Return True for two terminals, which are hardly ever two, and for the same file or pipe (`2>&1`)."""
    if one is other or (one.isatty() and other.isatty()):
        return True
    try:
        return os.path.sameopenfile(one.fileno(), other.fileno())
    except OSError:  # a stream without a file, as in tests
        return False


def at_line_start() -> bool:
    """Return True unless the last line of the output is open."""
    return _line.open_on is None


def watch(making_room: Callable[[str], AbstractContextManager[None]] | None) -> None:
    """Set the context in which all text is written to a terminal; `None` for none."""
    _line.making_room = making_room


def columns() -> int:
    """Return the width of the terminal of stderr, or of `COLUMNS`; 80 when there is none."""
    try:
        return int(os.environ.get("COLUMNS") or 0) or os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):  # no number, or no terminal
        return 80


def say(text: str) -> None:
    """Write lines to stderr as they are. The caller has escaped them."""
    leave_line()
    _write(sys.stderr, text if text.endswith("\n") else text + "\n")


def talk(text: str) -> None:
    """Write a message to stderr: in terms of options, and always escaped, because logs are read on terminals too."""
    leave_line()
    _write(sys.stderr, _message(text))


def talk_of_interrupt(text: str) -> None:
    """Write a message to stderr, over the `^C` that a terminal shows for Ctrl-C."""
    leave_line()
    _write(sys.stderr, ("\r" if sys.stderr.isatty() else "") + _message(text))


def _message(text: str) -> str:
    text = f"scout: {escape(in_options(text))}"
    return text if text.endswith("\n") else text + "\n"


def _write(stream: TextIO, text: str) -> None:
    # Text may hold characters that the encoding lacks, or half a surrogate pair, and must be printed anyway.
    encoding = stream.encoding or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    making_room = _line.making_room
    if making_room is not None and stream.isatty():
        with making_room(text):
            stream.write(text)
            stream.flush()
        return
    stream.write(text)
    stream.flush()
