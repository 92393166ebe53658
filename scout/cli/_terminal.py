"""Answers go to stdout, talk goes to stderr, and nothing a server says can drive the terminal."""

from __future__ import annotations

import re
import sys
from typing import TextIO

# C0 without newline and tab, DEL, C1, and the characters that reorder the text around them.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def escape(text: str, *, json: bool = False) -> str:
    r"""Make control characters visible, as `\x1b`; with `json` as `\u001b`, which JSON reads back."""

    def visible(match: re.Match[str]) -> str:
        code = ord(match[0])
        return f"\\x{code:02x}" if code < 0x100 and not json else f"\\u{code:04x}"

    return _UNSAFE.sub(visible, text)


def answer(text: str, *, json: bool = False) -> None:
    """Write the answer to stdout, ended by a newline: as it is into a pipe or file, escaped on a terminal."""
    if sys.stdout.isatty():
        text = escape(text, json=json)
    _write(sys.stdout, text)


def talk(text: str) -> None:
    """Tell the person at the terminal something; always escaped, because logs are read on terminals too."""
    _write(sys.stderr, f"scout: {escape(text)}")


def _write(stream: TextIO, text: str) -> None:
    if not text.endswith("\n"):
        text += "\n"
    # An answer may hold what the encoding lacks, or half a surrogate pair, and must be printed all the same.
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()
