"""The findings of the checks, and how they become problems with line and column."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scout._json import PathInData, shorten, spell
from scout._sources import SILENCING

from ._problems import RULES, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scout._documents import Mark
    from scout._sources import Source

__all__ = ["Part", "Report", "listed", "quoted"]

_MOST_PROBLEMS = 1000
"""The most problems of a file. Whoever has more of them looks at the wrong file, or at one that a program wrote."""

_LONGEST_NAME = 80


def quoted(name: object) -> str:
    """Return a name from a file as it stands in a message."""
    return f"`{shorten(str(name), _LONGEST_NAME)}`"


def listed(names: Sequence[object]) -> str:
    """Return names as a part of a sentence."""
    shown = [quoted(name) for name in names]
    return " or ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a text value: `text` at an index of the value."""

    value: str
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class _Finding:
    code: str
    message: str
    place: PathInData
    hint: str | None
    at_key: bool
    part: Part | None


class Report:
    """Collects the problems of a file, or of a workflow that is not from a file.

    Args:
        path: The path of the file.
        source: Its text and data.
    """

    def __init__(self, path: str | None = None, source: Source | None = None) -> None:
        self.path = path
        self.source = source
        self._findings: list[_Finding] = []

    @property
    def is_full(self) -> bool:
        """True when there are as many problems as are reported of a file."""
        return len(self._findings) >= _MOST_PROBLEMS

    def add(
        self,
        code: str,
        message: str,
        place: PathInData,
        hint: str | None = None,
        *,
        at_key: bool = False,
        part: Part | None = None,
    ) -> None:
        """Add a problem.

        Args:
            code: The code of its rule.
            message: The problem, as one sentence without a full stop.
            place: Its place in the data.
            hint: How to mend it.
            at_key: It is at the key, and not at the value.
            part: It is at a part of the text that the value is.
        """
        if not self.is_full:
            self._findings.append(_Finding(code, message, place, hint, at_key, part))

    def problems(self) -> list[Problem]:
        """Return the problems by line, column and code, each once, without those that a comment silences."""
        if self.source is None:
            return list(dict.fromkeys(map(self._problem, self._findings)))
        source = self.source
        marks = source.marks({each.place for each in self._findings})
        ignored = _ignored_codes(source)
        found: dict[Problem, None] = {}
        for each in self._findings:
            mark = marks[each.place]
            index = mark.key if each.at_key else mark.value
            if each.part:
                index = _index_of_part(source, mark, each.part)
            line, column = source.position(index)
            lines = [line, *(_lines_of_comments(source, mark, is_text=each.part is not None) if ignored else ())]
            if not any(each.code in ignored.get(number, ()) for number in lines):
                found[self._problem(each, line, column)] = None
        return sorted(found, key=lambda problem: (problem.line or 0, problem.column or 0, problem.code))

    def _problem(self, finding: _Finding, line: int | None = None, column: int | None = None) -> Problem:
        # Without a line, the message names the place.
        where = f"{spell(finding.place)}: " if finding.place and line is None else ""
        severity = RULES[finding.code].severity
        return Problem(finding.code, where + finding.message, self.path, line, column, severity, finding.hint)


def _index_of_part(source: Source, mark: Mark, part: Part) -> int:
    """Return the index in the file of a part of a text value; of the value when that is not possible."""
    raw = source.text[mark.value : mark.end]
    # In quotes and in blocks the text differs from its value, but it holds the same words in the same order.
    if raw.count(part.text) != part.value.count(part.text):
        return mark.value
    index = -1
    for _ in range(part.value.count(part.text, 0, part.index) + 1):
        index = raw.index(part.text, index + 1 if index < 0 else index + len(part.text))
    return mark.value + index


# --- Comments that silence problems -------------------------------------------------------------------------------


def _lines_of_comments(source: Source, mark: Mark, *, is_text: bool) -> Iterator[int]:
    """Yield the lines of a value whose comments silence its problems. A text of several lines holds none."""
    yield source.position(mark.key)[0]
    if is_text and source.text[mark.value : mark.value + 1] not in ("|", ">"):
        yield source.position(mark.end - 1)[0]


def _ignored_codes(source: Source) -> dict[int, frozenset[str]]:
    """Return the codes that a comment silences, by line."""
    found = list(SILENCING.finditer(source.text)) if source.has_comments else []
    texts = sorted(source.texts()) if found else []
    ignored: dict[int, frozenset[str]] = {}
    for match in found:
        before = bisect_right(texts, (match.start(), len(source.text)))
        if before and texts[before - 1][1] > match.start():
            continue  # it is a part of a text
        codes = re.findall("SW[0-9]+", match[1].upper()) if match[1] else RULES
        ignored[source.position(match.start())[0]] = frozenset(codes)
    return ignored
