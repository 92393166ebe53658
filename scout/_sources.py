"""Documents that know where their values stand: read once, and many places found in one pass.

Most workflow files use little of YAML: mappings and lists in block style, texts on one line, and literal blocks. Such a
file is read here directly, some fifty times as fast as by ruamel.yaml. Whatever is beyond that, errors too, is left to
`_documents`; the data is the same, which a test compares.
"""

# ruamel.yaml has incomplete type hints:
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import functools
import math
import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, cast

from ._documents import (
    NEVER_RAW,
    Mark,
    compose_yaml,
    find_in_json,
    find_node,
    is_json_text,
    parse_json_text,
    plain_value,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ._json import PathInData

__all__ = ["SILENCING", "Source", "TooLongError", "read_source"]

SILENCING = re.compile(
    r"#[ \t]*scout:[ \t]*ignore(?![\w-])([ \t]+SW[0-9]+(?:[ \t]*,[ \t]*SW[0-9]+)*)?", re.IGNORECASE | re.ASCII
)
"""A comment that silences problems of its line: those with the codes in the group, or all of them."""


class Source:
    """A document that has been parsed.

    Attributes:
        text: The text to which marks refer. Its lines are those of the file.
        data: The data.
        has_comments: It is YAML.
    """

    has_comments = True

    def __init__(self, text: str, data: Any) -> None:
        self.text = text
        self.data = data
        self._lines: list[int] | None = None

    def marks(self, places: Iterable[PathInData]) -> dict[PathInData, Mark]:
        """Return the mark of each place; that of the nearest value above it when it is missing."""
        raise NotImplementedError

    def marks_in(
        self,
        value: object,  # noqa: ARG002 - of plain YAML, whose document has them
    ) -> dict[str, tuple[int, int, int]] | list[tuple[int, int, int]] | None:
        """Return the mark of each entry of a mapping or list; `None` when the document does not keep them."""
        return None

    def texts(self) -> Iterator[tuple[int, int]]:
        """Yield the start and the end of each text and each key in YAML. Outside of them, `#` begins a comment."""
        raise NotImplementedError

    def position(self, index: int) -> tuple[int, int]:
        """Return line and column of an index of the text, from 1."""
        if self._lines is None:
            self._lines = [0, *(match.end() for match in re.finditer("\r\n?|\n", self.text))]
        line = bisect_right(self._lines, index)
        return line, index - self._lines[line - 1] + 1


class TooLongError(Exception):
    """A text is too long for ruamel.yaml, and no other parser reads it."""


def read_source(name: str, text: str, *, is_json: bool, most: int | None = None) -> Source:
    """Parse a document.

    Args:
        name: The name of the file, for errors.
        text: Its text.
        is_json: It has to be JSON, and not YAML.
        most: The most characters that ruamel.yaml is given, which takes some 5 seconds for a million.

    Raises:
        WorkflowFileError: the text cannot be parsed, or its data is not JSON.
        TooLongError: the text has more characters.
    """
    if is_json or is_json_text(text):
        return _JsonSource(text, parse_json_text(name, text))
    if source := _read_plain(text):
        return source
    if most is not None and len(text) > most:
        raise TooLongError
    return _ComposedSource(text, *compose_yaml(name, text))


# --- JSON ---------------------------------------------------------------------------------------------------------


class _JsonSource(Source):
    has_comments = False

    def marks(self, places: Iterable[PathInData]) -> dict[PathInData, Mark]:
        return find_in_json(self.text, places)


# --- All of YAML --------------------------------------------------------------------------------------------------


class _ComposedSource(Source):
    def __init__(self, text: str, data: Any, node: Any) -> None:
        super().__init__(text, data)
        self._node = node
        self._children: dict[int, dict[Any, tuple[Any, Any]]] = {}

    def marks(self, places: Iterable[PathInData]) -> dict[PathInData, Mark]:
        return {place: self._mark(place) for place in places}

    def _mark(self, place: PathInData) -> Mark:
        key, node = find_node(self._node, place, self._children)
        if node is None:
            return Mark(0, 0, len(self.text))
        start, end = node.start_mark.index, node.end_mark.index
        # Without a value, the marks are those of what comes next.
        return Mark(key.index, start, end) if start < end else Mark(key.index, key.index, key.index)

    def texts(self) -> Iterator[tuple[int, int]]:
        from ruamel.yaml.nodes import CollectionNode, MappingNode

        seen: set[int] = set()
        nodes = [self._node]
        while nodes:
            node = nodes.pop()
            if node is None or id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, CollectionNode):
                nodes += (part for pair in node.value for part in pair) if isinstance(node, MappingNode) else node.value
            else:
                start = node.start_mark.index
                # A comment may stand behind the `|` of a block.
                yield self.text.find("\n", start) if node.style in ("|", ">") else start, node.end_mark.index


# --- Plain YAML ---------------------------------------------------------------------------------------------------

_LINE = re.compile(
    r"""
    ( [ ]*+ )
    ( - [ ]++ )?
    (?: ( [A-Za-z_][\w.-]{0,99} | '[^'\n]{1,99}' | "[^"\\\n]{1,99}" ) : (?=[ \n]) [ ]*+ )?
    (?: ( (?: [^\s\-?:,\[\]{}\#&*!|>'"%@`] | -(?=\.?\d) )
                   (?: [^\s:\#]++ | :(?=\S) | (?<=\S)\# | [ ]++(?=[^\s\#]) )*+ )
      | ( '(?:[^'\n]|'')*+' )
      | ( "(?:[^"\\\n]|\\["\\nt])*+" )
      | ( \|-? )
      | ( \[\] | \{\} )
    )?
    [ ]*+ (?: (?<![^ \n])\#[^\n]*+ )? \n
    """,
    re.VERBOSE,
)
_INDENT, _DASH, _KEY, _PLAIN, _SINGLE, _DOUBLE, _LITERAL, _EMPTY = range(1, 9)  # the groups of a line
_FIRST_OF_LITERAL = re.compile(r"\n*+([ ]++)[^ \n]")
_SHORT_BLANK = re.compile(r"[ ]+\n")  # a blank line within a literal block, or after it
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {'"': '"', "\\": "\\", "n": "\n", "t": "\t"}
_PERHAPS_NOT_TEXT = frozenset("0123456789+-.~nNtTfF")
_MOST_LEVELS = 100


class _PlainSource(Source):
    def __init__(self, text: str, data: Any, lines: dict[int, Any]) -> None:
        super().__init__(text, data)
        self._lines_of = lines  # by the id of a mapping or list: the line of each of its children

    def marks_in(self, value: object) -> dict[str, tuple[int, int, int]] | list[tuple[int, int, int]] | None:
        lines: Any = self._lines_of.get(id(value))
        if lines is None:
            return None
        parts: Any = value
        if isinstance(lines, dict):
            return {step: self._mark_of(line, parts[step]) for step, line in cast("dict[str, Any]", lines).items()}
        return [self._mark_of(line, part) for line, part in zip(lines, parts, strict=True)]

    def marks(self, places: Iterable[PathInData]) -> dict[PathInData, Mark]:
        return {place: self._mark(place) for place in places}

    def texts(self) -> Iterator[tuple[int, int]]:
        for lines in self._lines_of.values():
            for line in lines.values() if isinstance(lines, dict) else lines:
                if line[_KEY] is not None:
                    yield line.span(_KEY)
                if line.lastindex == _LITERAL:
                    yield line.end(), _body_of(self.text, line.end())[1]
                elif line.lastindex in (_PLAIN, _SINGLE, _DOUBLE):
                    yield line.span(line.lastindex)

    def _mark(self, place: PathInData) -> Mark:
        data: Any = self.data
        line: re.Match[str] | None = None
        for step in place:
            try:
                line = self._lines_of[id(data)][step]
                data = data[step]
            except (KeyError, IndexError, TypeError):
                break
        return Mark(0, 0, len(self.text)) if line is None else self._mark_of(line, data)

    def _mark_of(self, line: re.Match[str], data: Any) -> Mark:
        """Return the mark of a value that begins in a line, or behind it."""
        kind = line.lastindex or 0
        # A mapping in a list begins in the line of its first key, and is not the value of that.
        has_key = line[_KEY] is not None
        key = line.start(_KEY) if has_key else line.start(kind)
        if isinstance(data, dict | list) and data:
            inner: Any = self._lines_of[id(data)]
            first: re.Match[str] = inner[0] if isinstance(data, list) else next(iter(inner.values()))
            value = first.start(_KEY if first[_DASH] is None or isinstance(data, dict) else _DASH)
            return Mark(key, value, value)
        value = line.start(kind)
        end = _body_of(self.text, line.end())[1] if kind == _LITERAL else line.end(kind)
        return Mark(key, value, end)


class _NotPlainError(Exception):
    """A text uses more of YAML than is read here, or is not YAML."""


def _read_plain(text: str) -> Source | None:
    """Return the document; `None` when the text uses more of YAML than is read here, or is not YAML."""
    text = text.replace("\r\n", "\n")
    if NEVER_RAW.search(text):
        return None
    try:
        return _PlainReader(text).read()
    except _NotPlainError:
        return None


class _PlainReader:
    """Reads a text line by line."""

    def __init__(self, text: str) -> None:
        self._is_cut = not text.endswith("\n")
        self._text = text + "\n" if self._is_cut else text
        self._lines: dict[int, Any] = {}
        # The open mappings and lists: the column of each, itself, and the lines of its children.
        self._open: list[tuple[int, Any, Any]] = []

    def read(self) -> Source:
        text, match_line, opened = self._text, _LINE.match, self._open
        root: dict[str, Any] = {}
        top: Any
        lines: Any
        self._begin(0, root)
        index = 4 if text.startswith("---\n") else 0
        # The mapping, the key and its column, of a key whose value has not begun.
        waiting: tuple[Any, str, int] | None = None
        while index < len(text):
            line = match_line(text, index)
            if line is None:
                raise _NotPlainError
            index, kind = line.end(), line.lastindex or 0
            if kind == _INDENT:  # a blank line or a comment
                continue
            indent, dash, key = line.group(_INDENT, _DASH, _KEY)
            column = len(indent)
            if waiting is not None:
                self._begin_value(*waiting, column, is_list=dash is not None)
                waiting = None
            at, top, lines = opened[-1]
            if at != column or (type(top) is list) is (dash is None):
                top, lines = self._container(column, is_list=dash is not None)
            if dash is not None and key is not None:
                column += len(dash)
                item: dict[str, Any] = {}
                top.append(item)
                lines.append(line)
                top, lines = item, self._begin(column, item)
            if kind == _PLAIN:
                value = line[_PLAIN]
                if value[0] in _PERHAPS_NOT_TEXT:
                    value = _resolved(value)
            elif kind == _KEY:
                waiting, value = (top, _key(line[_KEY]), column), None
            else:
                value, index = self._value(line, kind, column, index)
            if key is None:
                if dash is None:
                    raise _NotPlainError
                top.append(value)
                lines.append(line)
            else:
                key = _key(key)
                if key in top:
                    raise _NotPlainError
                top[key], lines[key] = value, line
        if not root:
            raise _NotPlainError
        return _PlainSource(text, root, self._lines)

    def _begin(self, column: int, container: Any) -> Any:
        if len(self._open) > _MOST_LEVELS:
            raise _NotPlainError
        lines: Any = type(container)()
        self._lines[id(container)] = lines
        self._open.append((column, container, lines))
        return lines

    def _begin_value(self, mapping: Any, key: str, least: int, column: int, *, is_list: bool) -> None:
        """Begin the mapping or list that is the value of the last key, unless that is null."""
        if column > least or (is_list and column == least):
            container: Any = [] if is_list else {}
            mapping[key] = container
            self._begin(column, container)

    def _container(self, column: int, *, is_list: bool) -> tuple[Any, Any]:
        """Return the mapping or list to which a line belongs, and its lines; end those that are deeper."""
        opened = self._open
        while True:
            at, container, lines = opened[-1]
            if at == column and isinstance(container, list) == is_list:
                return container, lines
            # A list may stand in the column of its key.
            if at < column or (at == column and is_list) or len(opened) == 1:
                raise _NotPlainError
            opened.pop()

    def _value(self, line: re.Match[str], kind: int, column: int, index: int) -> tuple[Any, int]:
        """Return a value that is not plain, and the index of the next line."""
        if kind == _SINGLE:
            return line[kind][1:-1].replace("''", "'"), index
        if kind == _DOUBLE:
            text = line[kind][1:-1]
            return _ESCAPE.sub(lambda match: _ESCAPED[match[1]], text) if "\\" in text else text, index
        if kind == _EMPTY:
            return [] if line[kind] == "[]" else {}, index
        if kind != _LITERAL:
            raise _NotPlainError
        indent, end = _body_of(self._text, index)
        is_clipped = line[kind] == "|"
        if (
            indent <= column
            or (self._is_cut and end == len(self._text) and is_clipped)
            or _SHORT_BLANK.match(self._text, end)
        ):
            raise _NotPlainError
        text = ("\n" + self._text[index:end]).replace("\n" + " " * indent, "\n")[1:].rstrip("\n")
        return text + "\n" if is_clipped else text, end


def _body_of(text: str, index: int) -> tuple[int, int]:
    """Return the columns by which the body of a literal block is indented, and the index of its end."""
    first = _FIRST_OF_LITERAL.match(text, index)
    if first is None:
        raise _NotPlainError
    indent = len(first[1])
    return indent, cast("re.Match[str]", _body(indent).match(text, index)).end()


@functools.cache
def _body(indent: int) -> re.Pattern[str]:
    return re.compile(rf"(?:[ ]{{{indent}}}[^\n]*+\n|\n)*+")


@functools.lru_cache(maxsize=1024)
def _key(text: str) -> str:
    if text[0] in "'\"":
        return text[1:-1]
    if not isinstance(plain_value(text), str):
        raise _NotPlainError
    return text


@functools.lru_cache(maxsize=1024)
def _resolved(text: str) -> Any:
    value = plain_value(text)
    if isinstance(value, float) and not math.isfinite(value):
        raise _NotPlainError
    return value
