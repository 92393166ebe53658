"""The text of files, as YAML or JSON: read it with the types of JSON, and find places in it.

YAML is read by the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema), with two more things that
people use: the merge key `<<`, and JSON texts as they are. ruamel.yaml reads the structure. The values are made here,
because its own makers follow YAML 1.1 in parts, and write out what aliases share.
"""

# ruamel.yaml has incomplete type hints:
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from json import JSONDecodeError, JSONDecoder
from types import SimpleNamespace
from typing import Any, NamedTuple, NoReturn, cast

from ._json import (
    MAX_REPEATED,
    DuplicateKeyError,
    PathInData,
    fraction,
    is_dict,
    is_unicode,
    json_fault,
    parse_json,
    shorten,
)
from .errors import WorkflowFileError

__all__ = [
    "NEVER_RAW",
    "Mark",
    "compose_yaml",
    "core_type",
    "find_in_json",
    "find_node",
    "is_json_text",
    "locate",
    "parse_events",
    "parse_json_text",
    "parse_yaml",
    "plain_value",
    "scalar_value",
]


def _checked(name: str, text: str, data: Any) -> Any:
    if fault := json_fault(data):
        line, column = locate(text, fault.place)
        raise WorkflowFileError(str(fault), path=name, line=line, column=column)
    return data


# --- JSON ---------------------------------------------------------------------------------------------------------


def parse_json_text(name: str, text: str) -> Any:
    """Parse JSON. The name is for errors.

    Raises:
        WorkflowFileError: the text is not JSON, or has a key twice in an object.
    """
    try:
        data = parse_json(text, unique_keys=True)
    except JSONDecodeError as error:
        raise WorkflowFileError(f"is not JSON: {error.msg}", path=name, line=error.lineno, column=error.colno) from None
    except DuplicateKeyError as error:
        line, column = _place_of_duplicate(text)
        raise WorkflowFileError(str(error), path=name, line=line, column=column) from None
    except (RecursionError, ValueError) as error:
        raise WorkflowFileError(f"is not JSON that can be read: {error}", path=name) from None
    return _checked(name, text, data)


def is_json_text(text: str) -> bool:
    """Return True for JSON, which YAML parsers read with other results: tabs, long keys, escapes, large numbers."""
    if text.lstrip(" \t\r\n")[:1] not in ("{", "[", '"'):
        return False

    try:
        parse_json(text, strict=True)
    except RecursionError:  # parse_json_text says so
        return True
    except ValueError:
        return False
    return True


_KEY_OR_BRACE = re.compile(r'("(?:[^"\\]|\\.)*+")([ \t\r\n]*+:)?|[{}]', re.DOTALL)


def _place_of_duplicate(text: str) -> tuple[int | None, int | None]:
    """Return line and column of the first key that stands twice in an object, as far as objects are complete."""
    opened: list[tuple[set[str], list[int]]] = []  # the keys of each open object, and the indexes of those twice there
    for token in _KEY_OR_BRACE.finditer(text):
        if token[0] == "{":
            opened.append((set(), []))
        elif token[0] == "}":
            _, twice = opened.pop()
            if twice:
                return _line_and_column(text, twice[0])
        elif token[2]:
            keys, twice = opened[-1]
            key = parse_json(token[1])
            if key in keys:
                twice.append(token.start())
            keys.add(key)
    return None, None


# --- YAML ---------------------------------------------------------------------------------------------------------

_TAG = "tag:yaml.org,2002:"
_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"(true|True|TRUE)|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN")


def core_type(text: str) -> type[object]:
    """Return the type that a plain scalar has by the core schema: `str` when it is none of the others."""
    if _NULL.fullmatch(text):
        return type(None)
    if _BOOL.fullmatch(text):
        return bool
    if _INT.fullmatch(text):
        return int
    return float if _FLOAT.fullmatch(text) or _NO_NUMBER.fullmatch(text) else str


_TAG_OF: dict[type[object], str] = {
    type(None): f"{_TAG}null", bool: f"{_TAG}bool", int: f"{_TAG}int", float: f"{_TAG}float", str: f"{_TAG}str"
}  # fmt: skip


def parse_yaml(name: str, text: str) -> Any:
    """Parse YAML with the types of JSON. JSON gives the same data here as in a file of its own. The name is for errors.

    Raises:
        WorkflowFileError: the text is not YAML, or its data is not JSON.
    """
    if is_json_text(text):
        return parse_json_text(name, text)
    return compose_yaml(name, text)[0]


def compose_yaml(name: str, text: str) -> tuple[Any, Any]:
    """Parse YAML, and return its data and the node of ruamel.yaml that it was made of. The name is for errors.

    Raises:
        WorkflowFileError: the text is not YAML, or its data is not JSON.
    """
    data, node = _from_yaml(name, text)
    return _checked(name, text, data), node


def _from_yaml(name: str, text: str) -> tuple[Any, Any]:
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.reader import ReaderError

    try:
        node = _yaml().compose(text)
        return None if node is None else _Builder().build(node), node
    except _TemplateError as error:
        line, column = _line_and_column(text, error.index)
        raise WorkflowFileError(_quote_it(text, error.index), path=name, line=line, column=column) from None
    except MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        problem = " ".join(part for part in (error.context, error.problem) if part)
        raise WorkflowFileError(
            f"is not YAML: {problem}",
            path=name,
            line=mark.line + 1 if mark else None,
            column=mark.column + 1 if mark else None,
        ) from None
    except ReaderError as error:
        line, column = _line_and_column(text, error.position)
        raise WorkflowFileError(
            f"is not YAML: {error.reason} ({error.character!r})", path=name, line=line, column=column
        ) from None
    except (YAMLError, ValueError, IndexError, AssertionError, AttributeError, TypeError) as error:
        # The last four are bugs of ruamel with text that is not YAML.
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise WorkflowFileError(f"is not YAML: {first}", path=name) from None
    except RecursionError:
        raise WorkflowFileError("is nested too deeply", path=name) from None


def parse_events(text: str) -> Iterator[Any]:
    """Yield the events of YAML that `parse_yaml` has accepted."""
    yield from _yaml().parse(text)


def scalar_value(event: Any) -> Any:
    """Return the value of a scalar event, as `parse_yaml` makes it."""
    tag = event.tag
    if tag is None or tag == "!":
        tag = _TAG_OF[core_type(event.value)] if event.implicit[0] else f"{_TAG}str"
    return _scalar(SimpleNamespace(value=event.value, tag=tag, start_mark=event.start_mark))


class _Builder:
    """Makes values of the nodes of a document. An alias gives the value of its anchor, so that nothing grows."""

    def __init__(self) -> None:
        self._built: dict[int, Any] = {}
        self._merged = 0

    def build(self, node: Any) -> Any:
        from ruamel.yaml.nodes import MappingNode, SequenceNode

        if id(node) in self._built:
            return self._built[id(node)]
        value: Any
        if isinstance(node, MappingNode) and node.tag == f"{_TAG}map":
            value = self._built[id(node)] = {}  # noted first, because it may hold itself
            self._fill(value, node)
        elif isinstance(node, SequenceNode) and node.tag == f"{_TAG}seq":
            value = self._built[id(node)] = []
            for child in node.value:
                value.append(self.build(child))
        elif isinstance(node, MappingNode) and node.tag == f"{_TAG}set":
            value = set()  # it is refused with its place, as one from Python is
        else:
            value = self._built[id(node)] = _scalar(node)
        return value

    def _fill(self, mapping: dict[Any, Any], node: Any) -> None:
        own: dict[Any, Any] = {}
        merge: Any = None
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                if merge is not None:
                    _wrong(key_node, 'found duplicate key "<<"')
                merge = value_node
                continue
            key = self.build(key_node)
            try:
                key = tuple(key) if isinstance(key, list) else key
                is_double = key in own
            except TypeError:
                _wrong(key_node, "a key must be text, and this one is not")
            if is_double:
                _wrong(key_node, f'found duplicate key "{shorten(str(key), 100)}"')
            own[key] = self.build(value_node)
        if merge is not None:
            self._merge(mapping, merge)
        mapping.update(own)

    def _merge(self, mapping: dict[Any, Any], node: Any) -> None:
        """Add the fields of the mapping at `<<`, or of those in a list, of which an earlier one wins."""
        from ruamel.yaml.nodes import SequenceNode

        for source in reversed(node.value) if isinstance(node, SequenceNode) else [node]:
            fields = self.build(source)
            if not is_dict(fields):
                _wrong(source, "expected a mapping for merging")
            self._merged += len(fields)
            if self._merged > MAX_REPEATED:
                _wrong(source, f"the merge keys (<<) add more than {MAX_REPEATED:,} values; merge fewer of them")
            mapping.update(fields)


def plain_value(text: str) -> Any:
    """Return the value of a plain scalar by the core schema."""
    kind = core_type(text)
    if kind is int:
        return _integer(text)
    if kind is float:
        return _real(text)
    if kind is bool:
        return cast("re.Match[str]", _BOOL.fullmatch(text))[1] is not None
    return text if kind is str else None


def _scalar(node: Any) -> Any:
    text: Any = node.value
    tag = node.tag
    if not isinstance(text, str):  # a list or a mapping with another tag
        _wrong(node, f"could not determine a constructor for the tag {tag!r}")
    if tag in (f"{_TAG}str", f"{_TAG}timestamp", f"{_TAG}merge", "!"):  # the core schema has no dates
        # "\ud83d\ude00" is one character in JSON.
        whole = "surrogatepass"
        return text if is_unicode(text) else text.encode("utf-16-le", whole).decode("utf-16-le", whole)
    if tag == f"{_TAG}binary":
        return b""  # as a set in _Builder
    kind = core_type(text)
    match tag.removeprefix(_TAG):
        case "null" if kind is type(None):
            return None
        case "bool" if kind is bool:
            return cast("re.Match[str]", _BOOL.fullmatch(text))[1] is not None
        case "int" if kind is int:
            return _integer(text)
        case "float" if kind in (int, float):
            return _real(text)
        case "null" | "bool" | "int" | "float":
            return _wrong(node, f"{shorten(text, 100)!r} does not fit {tag}")
        case _:
            return _wrong(node, f"could not determine a constructor for the tag {tag!r}")


def _integer(text: str) -> Any:
    if text[:2] in ("0o", "0x"):
        return int(text[2:], 8 if text[1] == "o" else 16)
    try:
        return int(text)
    except ValueError:  # more digits than Python converts
        return Decimal(text)


def _real(text: str) -> Any:
    if match := _NO_NUMBER.fullmatch(text):
        return float(match[0].replace(".", ""))
    if text[:2] in ("0o", "0x"):
        return _integer(text)
    return fraction(text)


def _wrong(node: Any, problem: str) -> NoReturn:
    from ruamel.yaml.constructor import ConstructorError

    raise ConstructorError(problem=problem, problem_mark=node.start_mark)


def _yaml() -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.nodes import ScalarNode
    from ruamel.yaml.resolver import VersionedResolver
    from ruamel.yaml.scanner import Scanner
    from ruamel.yaml.tag import Tag

    class CoreResolver(VersionedResolver):
        def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
            if kind is not ScalarNode:
                return super().resolve(kind, value, implicit)
            if not implicit[0]:  # in quotes
                return self.DEFAULT_SCALAR_TAG
            return Tag(suffix=f"{_TAG}merge" if value == "<<" else _TAG_OF[core_type(value)])

    class TemplateScanner(Scanner):
        def fetch_flow_mapping_start(self) -> None:
            # A mapping as a key is YAML but never JSON, and the other two are not YAML.
            if self.reader.peek(1) in ("{", "%", "#"):
                raise _TemplateError(self.reader.index)
            super().fetch_flow_mapping_start()

    yaml = YAML(typ="safe", pure=True)  # libyaml reads YAML 1.1
    yaml.Resolver = CoreResolver
    yaml.Scanner = TemplateScanner
    return yaml


class _TemplateError(Exception):
    """A template stands in YAML without quotes."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


_KEY_OR_DASHES = re.compile(r"[ -]*([^\s\[\]{},\"'][^\[\]{},]*:[ \t]+)?")
_CLOSING = {"{": "}}", "%": "%}", "#": "#}"}
_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}")


def _quote_it(text: str, index: int) -> str:
    """Return the advice for a template without quotes, with the line of the file as it should be."""
    before = text[text.rfind("\n", 0, index) + 1 : index]
    rest = text[index:].split("\n", 1)[0].rstrip()
    opening = text[index : index + 2]
    first = _TEMPLATE.match(rest)
    example = first[0] if first else f"{opening} ... {_CLOSING[opening[1]]}"
    start = ""
    if first and _KEY_OR_DASHES.fullmatch(before):
        start = before.strip() + " " if before.strip() else ""
        example = re.split(r"\s#(?!\})", rest)[0].rstrip()
    quoted = f'"{example}"' if '"' not in example and "\\" not in example else "'" + example.replace("'", "''") + "'"
    return f"is not YAML: {opening} begins a mapping here; put the template in quotes: {shorten(start + quoted, 200)}"


# --- Places -------------------------------------------------------------------------------------------------------


def locate(text: str, place: PathInData) -> tuple[int | None, int | None]:
    """Return line and column of a value, or of its key, from 1; of the nearest value above it when it is missing."""
    from ruamel.yaml.error import YAMLError

    try:
        parse_json(text)
    except (ValueError, RecursionError):
        pass
    else:
        return _line_and_column(text, find_in_json(text, [place])[place].key)
    try:
        node: Any = _yaml().compose(text)
    except (
        YAMLError,
        _TemplateError,
        ValueError,
        IndexError,
        AssertionError,
        AttributeError,
        TypeError,
        RecursionError,
    ):
        return None, None
    mark = find_node(node, place, {})[0]
    return (1, 1) if mark is None else (mark.line + 1, mark.column + 1)


def find_node(node: Any, place: PathInData, children: dict[int, dict[Any, tuple[Any, Any]]]) -> tuple[Any, Any]:
    """Return the node of a value, with the mark of its key; of the nearest value above it when it is missing.

    Args:
        node: The root of a document, as ruamel.yaml composes it; `None` for one that is empty.
        place: The place of the value.
        children: An empty dictionary, in which the children of nodes are kept for the next call.
    """
    mark = None if node is None else node.start_mark
    for step in place:
        child = _children_of(node, children).get(step)
        if child is None:
            break
        mark, node = child
    return mark, node


def _children_of(node: Any, known: dict[int, dict[Any, tuple[Any, Any]]]) -> dict[Any, tuple[Any, Any]]:
    """Return the mark of the key and the node of each child, merged ones (`<<`) included."""
    from ruamel.yaml.nodes import MappingNode, SequenceNode

    if id(node) in known:
        return known[id(node)]
    children = known[id(node)] = {}
    if isinstance(node, MappingNode):
        pairs: list[tuple[Any, Any]] = node.value
        for key, value in pairs:
            if key.tag == f"{_TAG}merge":
                merged: Any = value.value if isinstance(value, SequenceNode) else [value]
                for source in merged:
                    children.update(_children_of(source, known) | children)
        children.update({key.value: (key.start_mark, value) for key, value in pairs if isinstance(key.value, str)})
    elif isinstance(node, SequenceNode):
        children.update(enumerate((value.start_mark, value) for value in node.value))
    return children


_BLANK = re.compile(r"[ \t\r\n]*")


def _skip_blanks(text: str, index: int) -> int:
    """Return the index of the first character from an index on that is not a blank of JSON."""
    return cast("re.Match[str]", _BLANK.match(text, index)).end()


class Mark(NamedTuple):
    """The place of a value in a text, as indexes: of its key (or list item), of the value, and of the value's end."""

    key: int
    value: int
    end: int


def find_in_json(text: str, places: Iterable[PathInData]) -> dict[PathInData, Mark]:
    """Return the mark of each place in valid JSON; that of the nearest value above it when it is missing."""
    wanted: dict[Any, Any] = {}
    places = list(places)
    for place in places:
        branch = wanted
        for step in place:
            branch = branch.setdefault(step, {})
    start = _skip_blanks(text, 0)
    found: dict[PathInData, Mark] = {(): Mark(start, start, len(text))}
    _find(text, start, (), wanted, found)
    return {place: _nearest(place, found) for place in places}


def _find(text: str, index: int, here: PathInData, wanted: dict[Any, Any], found: dict[PathInData, Mark]) -> int:
    """Note the marks of what is wanted in the value at an index; return the index of its end."""
    if not wanted or text[index] not in "{[":
        return _SKIP.raw_decode(text, index)[1]
    is_object = text[index] == "{"
    index = _skip_blanks(text, index + 1)
    count = 0
    while text[index] not in "}]":
        start, key = index, cast("str | int", count)
        if is_object:
            key, index = _SKIP.raw_decode(text, index)
            index = _skip_blanks(text, _skip_blanks(text, index) + 1)
        value = index
        below = wanted.get(key)
        if below is None:
            _, index = _SKIP.raw_decode(text, index)
        else:
            index = _find(text, index, (*here, key), below, found)
            found[*here, key] = Mark(start, value, index)
        index = _skip_blanks(text, index)
        if text[index] == ",":
            index = _skip_blanks(text, index + 1)
        count += 1
    return index + 1


_SKIP = JSONDecoder(parse_int=str, parse_float=str)  # Python converts no integer of thousands of digits


def _nearest(place: PathInData, found: dict[PathInData, Mark]) -> Mark:
    while place not in found:
        place = place[:-1]
    return found[place]


def _line_and_column(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index) + 1, index - (text.rfind("\n", 0, index) + 1) + 1


NEVER_RAW = re.compile(r"[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""Characters that YAML forbids or reads as the end of a line, so that they must be escaped."""
