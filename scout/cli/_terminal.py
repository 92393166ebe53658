"""Output to the terminal: results on stdout, messages on stderr, control characters of a server escaped."""

from __future__ import annotations

import re
import sys
from typing import Any, TextIO

from scout._json import write_json

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
    # `_write` prints other characters as Python escapes, which JSON parsers read only up to U+FFFF.
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    return write_json(value, ascii_only=ascii_only, indent=indent)


def answer(text: str, *, json: bool = False) -> None:
    """Write a result to stdout, ended by a newline: unchanged to a pipe or file, escaped to a terminal."""
    if sys.stdout.isatty():
        text = escape(text, json=json)
    _write(sys.stdout, text if text.endswith("\n") else text + "\n")


class _Line:
    """State of the last line of a result that is written in pieces."""

    is_open = False  # its last character was not a newline
    is_shown = False  # and nothing was written after it on the terminal


_line = _Line()


def piece(text: str) -> None:
    """Write a piece of a result to stdout, as `answer`, but without a newline."""
    _line.is_open = _line.is_shown = not text.endswith("\n")
    _write(sys.stdout, escape(text) if sys.stdout.isatty() else text)


def end_line() -> None:
    """End the line of a result that was written in pieces."""
    # On a terminal, `leave_line` may have ended it already; a file needs its newline in any case.
    if _line.is_shown or (_line.is_open and not sys.stdout.isatty()):
        _write(sys.stdout, "\n")
    _line.is_open = _line.is_shown = False


def leave_line() -> None:
    """Begin a new line on the terminal, before output to stderr. Nothing is written to stdout."""
    if _line.is_shown and sys.stdout.isatty() and sys.stderr.isatty():
        _line.is_shown = False
        _write(sys.stderr, "\n")


def talk(text: str) -> None:
    """Write a message to stderr, always escaped, because logs are read on terminals too."""
    leave_line()
    text = f"scout: {escape(text)}"
    _write(sys.stderr, text if text.endswith("\n") else text + "\n")


def _write(stream: TextIO, text: str) -> None:
    # Text may hold characters that the encoding lacks, or half a surrogate pair, and must be printed anyway.
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()
