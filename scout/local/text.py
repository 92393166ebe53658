"""Text and JSON that UTF-8 can hold, whatever a handler, a stub, a template or a model gives.

Programs in JavaScript and Java cut text between UTF-16 units, so that the two halves of an emoji, a surrogate pair, may
come in two pieces. Halves that belong together are joined. One that stays alone becomes U+FFFD, as in any decoder.
"""

from __future__ import annotations

from typing import Any

from scout._json import whole_text, write_json

__all__ = ["PairJoiner", "json_bytes"]


def json_bytes(content: Any) -> bytes:
    """Return compact JSON in UTF-8."""
    return write_json(content, compact=True, strict=True).encode()


class PairJoiner:
    """Joins the halves of surrogate pairs across the pieces of a text."""

    def __init__(self) -> None:
        self._half = ""

    def add(self, piece: str) -> str:
        """Return the text so far that is whole and was not returned before. The first half of a pair has to wait."""
        text = self._half + piece
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return whole_text(text.removesuffix(self._half))

    def end(self) -> str:
        """Return what still waits: nothing, or U+FFFD."""
        half, self._half = self._half, ""
        return whole_text(half)
