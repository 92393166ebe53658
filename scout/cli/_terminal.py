"""Answers go to stdout, talk goes to stderr, and nothing a server says can drive the terminal."""

from __future__ import annotations

import json as _json
import re
import sys
from typing import Any, TextIO

# C0 without newline and tab, DEL, C1, and the characters that reorder the text around them.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def escape(text: str, *, json: bool = False) -> str:
    r"""Make control characters visible, as `\x1b`; with `json` as `\u001b`, which JSON reads back."""

    def visible(match: re.Match[str]) -> str:
        code = ord(match[0])
        return f"\\x{code:02x}" if code < 0x100 and not json else f"\\u{code:04x}"

    return _UNSAFE.sub(visible, text)


def as_json(value: Any, *, indent: int | None = None) -> str:
    """A value as JSON that stdout can hold."""
    # What an encoding lacks is printed as a Python escape, which is a JSON escape too, but only up to U+FFFF.
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    return _json.dumps(value, ensure_ascii=ascii_only, indent=indent)


def answer(text: str, *, json: bool = False) -> None:
    """Write the answer to stdout, ended by a newline: as it is into a pipe or file, escaped on a terminal."""
    if sys.stdout.isatty():
        text = escape(text, json=json)
    _write(sys.stdout, text if text.endswith("\n") else text + "\n")


class _Line:
    """State of the answer's last line when the answer is written in pieces."""

    is_open = False  # its last character was no newline
    is_shown = False  # ... and nothing else was written after it on the terminal


_line = _Line()


def piece(text: str) -> None:
    """Write a piece of the answer to stdout, as `answer` does, at once and without a newline of its own."""
    _line.is_open = _line.is_shown = not text.endswith("\n")
    _write(sys.stdout, escape(text) if sys.stdout.isatty() else text)


def end_line() -> None:
    """End the line of an answer that was written in pieces."""
    # On a terminal it may have been left already; a file needs its newline all the same.
    if _line.is_shown or (_line.is_open and not sys.stdout.isatty()):
        _write(sys.stdout, "\n")
    _line.is_open = _line.is_shown = False


def leave_line() -> None:
    """Before something goes to stderr: where that is on the same terminal, begin a new line, but not in the answer."""
    if _line.is_shown and sys.stdout.isatty() and sys.stderr.isatty():
        _line.is_shown = False
        _write(sys.stderr, "\n")


def talk(text: str) -> None:
    """Tell the person at the terminal something; always escaped, because logs are read on terminals too."""
    leave_line()
    text = f"scout: {escape(text)}"
    _write(sys.stderr, text if text.endswith("\n") else text + "\n")


def _write(stream: TextIO, text: str) -> None:
    # An answer may hold what the encoding lacks, or half a surrogate pair, and must be printed all the same.
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()
