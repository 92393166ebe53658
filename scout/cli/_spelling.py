"""Suggestions for misspelt options, commands and values."""

from __future__ import annotations

import argparse

TYPE_CHECKING = False  # as in `_command`

if TYPE_CHECKING:
    from collections.abc import Iterable


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean --stream?` for the nearest of the known words; empty when none is near."""
    from difflib import get_close_matches  # only after a mistake

    plain = {each.lstrip("-").lower(): each for each in known}  # `--yes` and `--key` are near because of the dashes
    found = get_close_matches(word.lstrip("-").lower(), plain, n=1)
    return f"; did you mean {plain[found[0]]}?" if found else ""


def filled(text: str) -> str:
    """Return the text of an argument, which must not be empty. It is the `type` of such an argument."""
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return text


class OneOf:
    """The `type` of an argument that takes one of some values, which completion offers."""

    def __init__(self, *known: str) -> None:
        """Take the values."""
        self.known = known

    def __call__(self, text: str) -> str:
        """Return the text, if it is one of the values."""
        if text in self.known:
            return text
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(self.known)}{suggestion(text, self.known)}")
