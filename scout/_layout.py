"""The layout of YAML: a tree of values with the comments of their text, and the one form in which it is written.

ruamel.yaml keeps comments at the token before them, so that they get lost when keys are put in order. Here a comment
belongs to the key or item it stands before or behind, or to the end of a list or mapping.
"""

# ruamel.yaml has incomplete type hints:
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

from ._documents import NEVER_RAW, core_type, parse_events, scalar_value
from ._json import is_dict, is_list
from ._sources import SILENCING, Source

__all__ = ["Collection", "Entry", "Layout", "Leaf", "read_layout", "write_layout", "write_yaml"]


@dataclass(slots=True)
class Leaf:
    """A value without entries: a scalar, an empty collection, or an alias."""

    value: Any
    alias: str | None = None
    start: int = 0
    end: int = 0
    anchor: str | None = None


@dataclass(slots=True)
class Collection:
    """A list or mapping with at least one entry."""

    is_mapping: bool
    entries: list[Entry] = field(default_factory=list["Entry"])
    foot: list[_Comment] = field(default_factory=list["_Comment"])
    is_flow: bool = False
    start: int = 0
    end: int = 0
    last_line: int = 0
    column: int = 0
    anchor: str | None = None


@dataclass(slots=True)
class Entry:
    """A key and its value, or an item of a list, with the comments before it and on its line.

    `is_apart` and that of a comment: the line before is blank.
    """

    key: Any
    value: Leaf | Collection
    parent: Entry | None = None
    within: Collection | None = None
    head: list[_Comment] = field(default_factory=list["_Comment"])
    aside: list[str] = field(default_factory=list[str])
    is_apart: bool = False
    is_merge: bool = False
    index: int = 0
    line: int = 0
    column: int = 0


@dataclass(slots=True)
class _Comment:
    text: str
    is_apart: bool = False
    index: int = 0
    line: int = 0
    column: int = 0
    is_alone: bool = True


@dataclass(slots=True)
class Layout:
    """A document: its value, the comments above it that a blank line separates from its first key, and all comments."""

    root: Entry
    header: list[_Comment] = field(default_factory=list[_Comment])
    comments: list[str] = field(default_factory=list[str])
    has_anchors: bool = False
    directive_line: int | None = None


# --- Reading ------------------------------------------------------------------------------------------------------


def read_layout(source: Source) -> Layout:
    """Return the layout of a YAML document, whose lines end with LF."""
    reader = _Reader(source.text)
    if source.marks_in(source.data) is not None:
        reader.read_marks(source)
    else:
        reader.read()
    reader.place(reader.comments())
    return reader.layout


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = text.split("\n")
        self._entries: list[Entry] = []  # in the order of the text
        self._scalars: list[tuple[int, int]] = []  # from where to where no comment can begin
        self.layout = Layout(Entry(None, Leaf(None)))

    # --- The tree ---

    def read(self) -> None:
        from ruamel.yaml import events as e

        open_entries = [self.layout.root]
        open_values: list[Collection] = []
        key: Any = None
        for event in parse_events(self._text):
            if isinstance(event, e.DocumentStartEvent):
                if event.version or event.tags:
                    self.layout.directive_line = 1 + next(n for n, line in enumerate(self._lines) if line[:1] == "%")
                continue
            if isinstance(event, e.SequenceEndEvent | e.MappingEndEvent):
                done = open_values.pop()
                owner = open_entries.pop()
                if done.is_flow:
                    done.end, done.last_line = event.end_mark.index, event.end_mark.line
                if not done.entries:
                    empty: Any = {} if done.is_mapping else []
                    owner.value = Leaf(empty, None, done.start, event.end_mark.index, done.anchor)
                continue
            if not isinstance(event, e.NodeEvent):
                continue
            within = open_values[-1] if open_values else None
            if within is not None and within.is_mapping and key is None:
                key = event
                if isinstance(event, e.ScalarEvent):
                    self._note(event.start_mark.index, event.end_mark.index, is_block=event.style in _BLOCK_STYLES)
                continue
            entry = self._entry(open_entries[-1], within, key, event) if within is not None else self.layout.root
            key = None
            if isinstance(event, e.ScalarEvent):
                self._note(event.start_mark.index, event.end_mark.index, is_block=event.style in _BLOCK_STYLES)
            if event.anchor is not None and within is not None:  # nothing can refer to the document itself
                self.layout.has_anchors = True
            entry.value = self._value(event)
            if isinstance(entry.value, Collection):
                open_values.append(entry.value)
                open_entries.append(entry)

    def _value(self, event: Any) -> Leaf | Collection:
        from ruamel.yaml import events as e

        start, end = event.start_mark.index, event.end_mark.index
        if isinstance(event, e.AliasEvent):
            return Leaf(None, event.anchor, start, end)
        if isinstance(event, e.ScalarEvent):
            if start == end:  # a missing value, whose mark may be at the next key, behind comments
                start = end = 0
            return Leaf(scalar_value(event), None, start, end, event.anchor)
        return Collection(
            isinstance(event, e.MappingStartEvent),
            is_flow=bool(event.flow_style),
            start=start,
            end=-1,
            column=event.start_mark.column,
            anchor=event.anchor,
        )

    def _entry(self, parent: Entry, within: Collection, key: Any, event: Any) -> Entry:
        mark = event.start_mark if key is None else key.start_mark
        place = (mark.index, mark.line, mark.column)
        if key is None and not within.is_flow:
            place = self._dash(mark)
        entry = self._add(parent, within, place)
        if key is not None:
            entry.is_merge = key.value == "<<" and key.implicit[0]
            entry.key = "<<" if entry.is_merge else scalar_value(key)
        return entry

    def _add(self, parent: Entry, within: Collection, place: tuple[int, int, int]) -> Entry:
        index, line, column = place
        entry = Entry(None, Leaf(None), parent, within, index=index, line=line, column=column)
        if not within.entries:  # an anchor may stand before it
            within.column = column
        is_first = not self._entries or self._entries[-1].line < line  # in its line
        entry.is_apart = is_first and self._is_apart(line)
        within.entries.append(entry)
        self._entries.append(entry)
        return entry

    def read_marks(self, source: Source) -> None:
        """Read the tree from a document that knows where its values stand, which is much faster."""

        def grow(owner: Entry, value: Any) -> None:
            marks = source.marks_in(value)
            collection = owner.value = Collection(is_dict(value))
            for step, (start, first, last) in marks.items() if isinstance(marks, dict) else enumerate(marks or ()):
                line, column = (number - 1 for number in source.position(start))
                dash = 0 if is_dict(value) else start - self._text.rindex("-", start - column, start)
                entry = self._add(owner, collection, (start - dash, line, column - dash))
                if is_dict(value):
                    entry.key = step
                    if self._text[start] in "\"'":
                        self._scalars.append((start, self._text.index(self._text[start], start + 1) + 1))
                part: Any = value[cast("Any", step)]
                if (is_dict(part) or is_list(part)) and part:
                    grow(entry, part)
                    continue
                entry.value = Leaf(part, None, first, first if part is None else last)
                if part is not None:
                    self._note(first, last, is_block=self._text[first] == "|")

        grow(self.layout.root, source.data)

    def _dash(self, mark: Any) -> tuple[int, int, int]:
        """Return index, line and column of the dash before an item."""
        line, column, index = mark.line, mark.column, mark.index
        before = self._lines[line][:column]
        while (match := _DASH.match(before)) is None:
            line -= 1
            before = self._lines[line]
            index -= column + 1
            column = len(before)
        return index - column + match.end(1) - 1, line, match.end(1) - 1

    def _note(self, start: int, end: int, *, is_block: bool) -> None:
        if is_block:  # a comment may follow in its first line
            start = self._text.find("\n", start, end)
        if 0 <= start < end:
            self._scalars.append((start, end))

    def _is_apart(self, line: int) -> bool:
        return line > 0 and not self._lines[line - 1].strip()

    # --- The comments ---

    def comments(self) -> list[_Comment]:
        """Return the comments in the order of the text."""
        found: list[_Comment] = []
        position = line = newline = 0  # `newline`: how many characters the lines before have
        for start, end in [*self._scalars, (len(self._text), len(self._text))]:
            for match in _COMMENT.finditer(self._text, position, start):
                index = match.start(1)
                while newline + len(self._lines[line]) < index:
                    newline += len(self._lines[line]) + 1
                    line += 1
                is_alone = not self._lines[line][: index - newline].strip(" \t")
                text = match[1].rstrip()
                found.append(_Comment(text, self._is_apart(line), index, line, index - newline, is_alone))
            position = max(position, end)
        return found

    def place(self, comments: list[_Comment]) -> None:
        """Give each comment to the entry or collection that it belongs to."""
        starts = [entry.index for entry in self._entries]
        for comment in comments:
            number = bisect_right(starts, comment.index)
            before = self._entries[number - 1] if number else None
            after = self._entries[number] if number < len(self._entries) else None
            if not comment.is_alone and before is not None and not self._is_behind_all(comment):
                for owner in self._owners(before, comment):
                    owner.aside.append(comment.text)
                    self.layout.comments.append(comment.text)
                continue
            self.layout.comments.append(comment.text)
            self._home(before, after, comment).append(comment)
        self._separate_header()

    def _is_behind_all(self, comment: _Comment) -> bool:
        """Return True for a comment behind the closing bracket of the whole document."""
        root = self.layout.root.value
        return isinstance(root, Collection) and root.is_flow and root.end <= comment.index

    def _owners(self, before: Entry, comment: _Comment) -> list[Entry]:
        """Return the entry behind which a comment stands; of one that silences checks of its line, all in that line."""
        owner = self._owner(before, comment)
        if isinstance(owner.value, Leaf) or not owner.value.is_flow or not SILENCING.match(comment.text):
            return [owner]
        in_line = [entry for entry in self._entries if entry.line == comment.line and entry.index < comment.index]
        return [entry for entry in in_line if entry.key is not None or isinstance(entry.value, Leaf)] or [owner]

    def _owner(self, before: Entry, comment: _Comment) -> Entry:
        """Return the entry behind which a comment stands: the outermost that ends on its line, else the last."""
        owner = before
        entry: Entry | None = before
        while entry is not None:
            value = entry.value
            if isinstance(value, Collection) and value.is_flow and value.last_line == comment.line:
                owner = entry if value.end <= comment.index else owner
            entry = entry.parent
        return owner if owner is not self.layout.root else before

    def _home(self, before: Entry | None, after: Entry | None, comment: _Comment) -> list[_Comment]:
        if before is not None:
            if isinstance(before.value, Leaf) and comment.index < before.value.end:  # between a key and its value
                return before.head
            for collection in _around(before):
                if collection.is_flow and collection.start < comment.index < collection.end:
                    is_inside = after is not None and after.index < collection.end
                    return after.head if after is not None and is_inside else collection.foot
        if before is not None and (after is None or comment.column > after.column):
            for collection in _around(before):
                if after is not None and collection is after.within:
                    break
                if collection.column <= comment.column and not collection.is_flow:
                    return collection.foot
        if after is not None:
            return after.head
        root = self.layout.root.value
        return root.foot if isinstance(root, Collection) else self.layout.header

    def _separate_header(self) -> None:
        first = self._entries[0] if self._entries else None
        if first is None:
            return
        apart = [number for number, comment in enumerate(first.head) if number and comment.is_apart]
        if first.head and first.is_apart:
            apart.append(len(first.head))
        if apart:
            self.layout.header = first.head[: apart[-1]]
            del first.head[: apart[-1]]


_BLOCK_STYLES = ("|", ">")
_DASH = re.compile(r"(.*-)[ \t]*(?:#.*)?$", re.DOTALL)
_COMMENT = re.compile(r"(?:(?<=[ \t\n])|(?<![\s\S]))(#[^\n]*)")


def _around(entry: Entry) -> Iterator[Collection]:
    """Yield the collections around a place behind an entry, the innermost first."""
    if isinstance(entry.value, Collection):
        yield entry.value
    each: Entry | None = entry
    while each is not None and each.within is not None:
        yield each.within
        each = each.parent


# --- Writing ------------------------------------------------------------------------------------------------------


def write_layout(layout: Layout) -> tuple[str, list[str]]:
    """Return a document in block style, with its comments, and a list of the comments in it."""
    writer = _Writer()
    root = layout.root.value
    for number, comment in enumerate(layout.header):
        writer.comment("", comment, is_apart=number > 0)
    if isinstance(root, Collection):
        if layout.header:
            writer.blank()
        writer.collection(root, "")
    else:
        writer.lines.append(_scalar_in_line(root.value))
    return "\n".join(writer.lines) + "\n", writer.comments


def write_yaml(document: Any) -> str:
    """Write JSON as YAML, in the form of `write_layout`, with the keys in their order."""
    return write_layout(Layout(Entry(None, _tree(document))))[0]


def _tree(value: Any) -> Leaf | Collection:
    if is_dict(value) and value:
        return Collection(True, [Entry(key, _tree(each)) for key, each in value.items()])
    if is_list(value) and value:
        return Collection(False, [Entry(None, _tree(each)) for each in value])
    return Leaf(value)


class _Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.comments: list[str] = []
        self._ends_blank = False  # with a text whose last line looks blank and belongs to it

    def line(self, indent: str, text: str, *, is_apart: bool = False) -> None:
        if is_apart:
            self.blank()
        self.lines.append(indent + text)
        self._ends_blank = False

    def comment(self, indent: str, comment: _Comment, *, is_apart: bool = True) -> None:
        self.line(indent, comment.text, is_apart=comment.is_apart and is_apart)
        self.comments.append(comment.text)

    def blank(self) -> None:
        if not self._ends_blank and self.lines:
            self.lines.append("")

    def collection(self, collection: Collection, indent: str, first: str | None = None) -> None:
        """Write the entries; the first one behind the text `first` in its line, if there is one."""
        for number, entry in enumerate(collection.entries):
            _hoist(entry)
            is_apart = number > 0
            if first is None or number:
                for comment in entry.head:
                    self.comment(indent, comment, is_apart=is_apart)
                    is_apart = True
                if entry.is_apart and is_apart:
                    self.blank()
            before = indent if first is None or number else first
            if collection.is_mapping:
                self._value(entry, before + self._key(entry, indent, before), indent)
            else:
                self._value(entry, f"{before}-", indent)
        for comment in collection.foot:
            self.comment(indent, comment)

    def _key(self, entry: Entry, indent: str, before: str) -> str:
        if entry.is_merge:
            return "<<:"
        key = _text_in_line(entry.key)
        if len(key) <= _LONGEST_KEY:
            return f"{key}:"
        self.line("", f"{before}? {key}")
        return f"\n{indent}:"

    def _value(self, entry: Entry, before: str, indent: str) -> None:
        before = before.rpartition("\n")[2]
        value = entry.value
        anchor = f" &{value.anchor}" if value.anchor else ""
        aside = "".join(f"  {text}" for text in entry.aside)
        self.comments += entry.aside
        inner = indent + "  "
        if isinstance(value, Collection):
            if before.endswith("-") and not anchor and not aside:
                self.collection(value, inner, f"{before} ")
            else:
                self.line("", before + anchor + aside)
                self.collection(value, inner)
        elif value.alias is not None:
            self.line("", f"{before} *{value.alias}{aside}")
        elif isinstance(value.value, str) and _is_block(value.value):
            self._block(value.value, before + anchor, aside, inner)
        else:
            self.line("", f"{before}{anchor} {_scalar_in_line(value.value)}{aside}")

    def _block(self, text: str, before: str, aside: str, indent: str) -> None:
        body = text.rstrip("\n")
        newlines = len(text) - len(body)
        hint = "2" if text[0] in " \n" else ""
        chomping = "-" if not newlines else "+" if newlines > 1 else ""
        self.line("", f"{before} |{hint}{chomping}{aside}")
        self.lines += (indent + line if line else "" for line in body.split("\n"))
        self.lines += [""] * (newlines - 1)
        self._ends_blank = newlines > 1 or not body.rpartition("\n")[2].strip()


def _hoist(item: Entry) -> None:
    """Put the comments before the first key of an item before its dash, because they cannot stand between the two."""
    value = item.value
    if item.key is not None or not isinstance(value, Collection) or value.anchor or item.aside:
        return
    first = value.entries[0]
    _hoist(first)
    if first.head:
        first.head[0].is_apart = first.head[0].is_apart or item.is_apart
        item.head += first.head
        item.is_apart = first.is_apart
        first.head = []


_LONGEST_KEY = 120  # characters; parsers of YAML have to read keys of up to 1024

_NOT_TEXT_TO_ALL = re.compile(
    r"yes|no|on|off|=|[-+]?\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?|[-+]?0b[01_]+|[-+]?0o[0-7_]+|[-+]?0x[\da-f_]+|[-+]?_*\d[\d_]*|"
    r"[-+]?(\d[\d_]*\.[\d_]*|\.[\d_]+)(e[-+]?\d+)?|\d{4}-\d\d?-\d\d?([ t].*)?",
    re.IGNORECASE,
)
"""Text that YAML 1.1 parsers read as true, false, a number or a date. It is quoted for them; YAML 1.2 does not need
it."""

_NEVER_PLAIN = re.compile(r"[#,\[\]{}&*!|>'\"%@` ]|[-?:](?: |$)|---|\.\.\.|<<$|(?s:.*)(?:: | #|[: ]$)")


def _is_block(text: str) -> bool:
    """Return True for text in lines that people can read and all parsers understand as a block."""
    # Not for text of blanks, which is invisible, nor for text that begins with a tab, which some parsers cannot read.
    return "\n" in text and bool(text.strip()) and text[0] != "\t" and not NEVER_RAW.search(text)


def _scalar_in_line(value: Any) -> str:
    if isinstance(value, str):
        return _text_in_line(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        text = repr(value)
        # YAML 1.1 parsers require a decimal point.
        return text.replace("e", ".0e") if "e" in text and "." not in text else text
    if isinstance(value, int | Decimal):
        return str(value)
    return "{}" if is_dict(value) else "[]"


def _text_in_line(text: str) -> str:
    if "\n" in text or "\t" in text or NEVER_RAW.search(text):
        return NEVER_RAW.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text, ensure_ascii=False))
    if not text or _NEVER_PLAIN.match(text) or _NOT_TEXT_TO_ALL.fullmatch(text) or core_type(text) is not str:
        return "'" + text.replace("'", "''") + "'"
    return text
