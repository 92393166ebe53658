"""JSON: its parser and writer, type guards, checks for what it cannot represent, shortening, redaction of secrets.

Standard library only. The local Scout uses this module too, because nothing here reads the API.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from json import JSONDecodeError, JSONDecoder
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = [
    "LONG",
    "MAX_DEPTH",
    "MAX_REPEATED",
    "NOT_JSON",
    "SHORTEST_SECRET",
    "DuplicateKeyError",
    "Fault",
    "PathInData",
    "as_line",
    "fraction",
    "is_decimal",
    "is_dict",
    "is_list",
    "is_mapping",
    "is_same",
    "is_too_deep",
    "is_unicode",
    "json_fault",
    "objects_in",
    "parse_json",
    "redact",
    "sentence",
    "shorten",
    "spell",
    "text_or_none",
    "whole_text",
    "without_halves",
    "write_json",
]

MAX_DEPTH = 200
"""The deepest allowed nesting, as in the JSON parser of the real server. Python's parser is recursive, too."""

SHORTEST_SECRET = 8
"""Characters from which a secret is redacted. A shorter key is a placeholder, such as `local`, a common word."""

PathInData = tuple[str | int, ...]
"""Keys and list indexes that lead from the top of a value to a part of it."""


# --- Type guards --------------------------------------------------------------------------------------------------


def is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Return True for a mapping, as in JSON or YAML."""
    return isinstance(value, Mapping)


def is_dict(value: object) -> TypeGuard[dict[str, Any]]:
    """Return True for a `dict`, such as an object of parsed JSON, whose keys are text. Faster than `is_mapping`."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Return True for a list or a tuple, which JSON writes as a list."""
    return isinstance(value, list | tuple)


def is_decimal(value: object) -> TypeGuard[Decimal]:
    """Return True for a `Decimal`, with which `parse_json` represents a number that neither int nor float can hold."""
    from decimal import Decimal

    return isinstance(value, Decimal)


def objects_in(value: object) -> list[Mapping[str, Any]]:
    """Return the objects in a list; an empty list when the value is not a list."""
    return [item for item in value if is_mapping(item)] if is_list(value) else []


def is_unicode(text: str) -> bool:
    """Return True for text that UTF-8 can encode: text without half a surrogate pair."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def text_or_none(value: object) -> str | None:
    """Return the value when it is text, else `None`."""
    return value if isinstance(value, str) else None


# --- Parser and writer --------------------------------------------------------------------------------------------


def parse_json(
    data: bytes | str,
    *,
    strict: bool = False,
    unique_keys: bool = False,
) -> Any:
    """Parse JSON. Numbers of any length and size arrive whole.

    An integer with more digits than Python converts (`sys.get_int_max_str_digits`), and a number beyond the range of a
    float, become a `decimal.Decimal`. With an exponent of more than 18 digits, which that cannot hold either, a number
    is infinity or 0.

    Args:
        data: The text. Bytes may be in UTF-8, UTF-16 or UTF-32.
        strict: Refuse `NaN` and `Infinity`, which are not JSON although many servers send them.
        unique_keys: Refuse a key that stands twice in an object, of which parsers keep the last one.

    Raises:
        DuplicateKeyError: `unique_keys` refuses it.
        ValueError: it is not JSON; one of those in `NOT_JSON`.
        RecursionError: it is nested too deeply.
    """
    text = data if isinstance(data, str) else data.decode(json.detect_encoding(data), "surrogatepass")
    try:
        return _DECODERS[strict, unique_keys].decode(text)
    except NOT_JSON:
        raise
    except ValueError:
        if _MANY_DIGITS.search(text) is None:
            raise  # the exception of a signal handler
        # Python's limit for the digits of an integer. It belongs to the program, so it is not changed. This parser is
        # slower, because it calls Python for each integer.
        hook = _unique if unique_keys else None
        return _decoder(strict=strict, object_pairs_hook=hook, parse_int=_whole_number).decode(text)


class DuplicateKeyError(ValueError):
    """A key stands twice in an object of a JSON text."""

    def __init__(self, key: str) -> None:
        super().__init__(f'an object has the duplicate key "{shorten(key, 100)}"')


def _unique(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(fields)
    if len(mapping) < len(fields):
        seen: set[str] = set()
        for key, _ in fields:
            if key in seen:
                raise DuplicateKeyError(key)
            seen.add(key)
    return mapping


class _ConstantError(ValueError):
    """A constant that JSON has not."""


NOT_JSON = (JSONDecodeError, UnicodeDecodeError, DuplicateKeyError, _ConstantError, RecursionError)
"""The exceptions of `parse_json`. Another `ValueError` comes from a signal handler, which ran meanwhile."""

_MANY_DIGITS = re.compile("[0-9]{640}")  # the least that can be set as Python's limit


def fraction(text: str) -> float | Decimal:
    """Return the number that a text spells: a `Decimal` where a float cannot hold it."""
    number = float(text)
    if number and -math.inf < number < math.inf:
        return number
    mantissa = text.partition("e")[0].partition("E")[0]
    return _exact(text, number) if mantissa.strip("+-.0") else number


def _whole_number(text: str) -> int | Decimal:
    try:
        return int(text)
    except ValueError:
        exact: Decimal = _exact(text, 0)
        return exact


def _exact(text: str, otherwise: Any) -> Any:
    """Return the number as a `Decimal`; `otherwise` when its exponent has more than 18 digits."""
    from decimal import Context, Decimal  # rare, and not needed by most programs

    number = Decimal(text, Context(traps=[]))
    return number if number.is_finite() else otherwise


def _refuse_constant(name: str) -> NoReturn:
    raise _ConstantError(f"{name} is not JSON")


def _decoder(*, strict: bool, **hooks: Any) -> JSONDecoder:
    return JSONDecoder(parse_float=fraction, parse_constant=_refuse_constant if strict else None, **hooks)


# Made once, because making one takes as long as parsing a short text.
_DECODERS = {
    (strict, unique): _decoder(strict=strict, object_pairs_hook=_unique if unique else None)
    for strict in (False, True)
    for unique in (False, True)
}


def write_json(
    value: Any,
    *,
    indent: int | None = None,
    compact: bool = False,
    ascii_only: bool = False,
    sort_keys: bool = False,
    strict: bool = False,
) -> str:
    """Return a value as JSON that every parser reads (RFC 8259). A `Decimal` is written as a number.

    Args:
        value: The value.
        indent: As for `json.dumps`.
        compact: Write no spaces.
        ascii_only: Escape all other characters.
        sort_keys: As for `json.dumps`.
        strict: Refuse NaN and infinities, which JSON has not. By default they are written as `null`.

    Raises:
        TypeError: a part of it has a type that JSON cannot represent.
        ValueError: it holds itself, a number that `strict` refuses, or an int with more digits than Python writes.
        RecursionError: it is nested too deeply.
    """
    numbers: dict[str, str] = {}

    def stand_in(part: Any) -> str | None:
        # `json` cannot be told to write a number as a given text. So a text that nobody can guess takes its place.
        if not is_decimal(part):
            raise TypeError(f"Object of type {type(part).__name__} is not JSON serializable")
        if not part.is_finite():
            if strict:
                raise ValueError(f"{part} is not JSON")
            return None
        mark = os.urandom(16).hex()
        numbers[f'"{mark}"'] = str(part)
        return mark

    def written(match: re.Match[str]) -> str:
        token = match[0]
        return numbers.get(token, token) if token.startswith('"') else "null"

    text = json.dumps(
        value,
        indent=indent,
        separators=(",", ":") if compact else None,
        ensure_ascii=ascii_only,
        sort_keys=sort_keys,
        allow_nan=not strict,
        default=stand_in,
    )
    has_constant = not strict and ("NaN" in text or "Infinity" in text)  # perhaps in a string
    return _STRING_OR_CONSTANT.sub(written, text) if numbers or has_constant else text


_STRING_OR_CONSTANT = re.compile(r'"(?:[^"\\]++|\\.)*+"|NaN|-?Infinity')


# --- Checks -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fault:
    """A part of a value that JSON cannot represent: its place in the value, and the problem."""

    place: PathInData
    problem: str

    def __str__(self) -> str:
        return f"{spell(self.place)}: {self.problem}" if self.place else self.problem


MAX_REPEATED = 5_000_000
"""The most values that shared parts may add when they are written out, such as those of YAML aliases. JSON has no
references, so a text of 500 bytes can stand for 10^9 values."""

LONG = 100
"""Characters of text that count as one value."""

_INSTEAD = {
    **dict.fromkeys(("bytes", "bytearray"), "pass text, for example base64"),
    **dict.fromkeys(("set", "frozenset", "deque", "range", "generator"), "pass a list"),
    **dict.fromkeys(("datetime", "date", "time"), "pass text, for example .isoformat()"),
    **dict.fromkeys(("UUID", "PosixPath", "WindowsPath"), "pass text, for example str(...)"),
}


def _instead_of(value: object) -> str:
    kind = type(value)
    if hasattr(kind, "to_dict"):  # an object of the generated package, for example
        return "pass its .to_dict()"
    if hasattr(kind, "tolist"):  # an array of numpy, or a number in one
        return "pass its .tolist()"
    return "pass a dict" if is_mapping(value) else _INSTEAD.get(kind.__name__, "pass plain JSON")


def _is_harmless(value: object) -> bool:
    """Return True for most leaves. This is fast; `False` means that a closer look is needed."""
    if isinstance(value, str):
        return len(value) < LONG and value.isascii()
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return value.bit_length() < _WRITABLE_BITS
    return value is None


_WRITABLE_BITS = 1000
"""A number of fewer bits has fewer digits than any limit of Python."""


def json_fault(value: Any, place: PathInData = (), *, allow_halves: bool = False) -> Fault | None:
    """Return the first part of a value that JSON cannot represent; `None` when there is none.

    Args:
        value: The value.
        place: The place of the value, with which the places of its parts begin.
        allow_halves: Allow half a surrogate pair in text, which JSON can represent only with an escape.
    """
    return _Inspection(allow_halves=allow_halves).first_fault(value, place)


class _Inspection:
    """A walk through a value. A part that stands in several places is walked once, and counted in each.

    It keeps a list and does not call itself, so that it works however deep the caller is in calls of its own.
    """

    def __init__(self, *, allow_halves: bool) -> None:
        self._allow_halves = allow_halves
        self._open: list[tuple[Iterator[tuple[Any, Any]], Any, PathInData, int]] = []
        self._above: set[int] = set()  # the ids of the parts that are open
        # By id: the number of values in each part when it is written out, and the part, so that the id remains its own.
        self._sizes: dict[int, tuple[int, object]] = {}
        self._written = 0
        self._repeated = 0

    def first_fault(self, value: Any, place: PathInData) -> Fault | None:
        fault = self._look_at(value, place)
        while self._open and fault is None:
            items, part, here, before = self._open[-1]
            depth = len(self._open)
            for key, item in items:
                if not _is_harmless(item):
                    fault = self._look_at(item, (*here, key))
                    if fault or len(self._open) > depth:
                        break
            else:
                self._open.pop()
                self._above.remove(id(part))
                self._sizes[id(part)] = self._written - before, part
        return fault

    def _look_at(self, value: Any, place: PathInData) -> Fault | None:
        if isinstance(value, str):
            return self._fault_of_text(value, place)
        if value is None:
            return None
        if isinstance(value, int):
            return None if _is_writable(value) else Fault(place, "the number has more digits than Python writes")
        if isinstance(value, float):
            return None if math.isfinite(value) else Fault(place, f"{value} is not JSON")
        if is_decimal(value):
            return None if value.is_finite() else Fault(place, f"{value} is not JSON")
        if not (is_dict(value) or is_list(value)):
            return Fault(place, f"JSON cannot carry a {type(value).__name__}; {_instead_of(value)}")
        if id(value) in self._sizes:
            return self._repeat(value, place)
        if id(value) in self._above:
            return Fault(place, "the value holds itself (a circular reference)")
        if len(self._open) >= MAX_DEPTH:
            return Fault(place[:8], f"is nested more than {MAX_DEPTH} levels deep")
        self._above.add(id(value))
        items = iter(value.items()) if is_dict(value) else enumerate(value)
        self._open.append((items, value, place, self._written))
        self._written += len(value)
        return self._fault_of_keys(value, place) if is_dict(value) else None

    def _fault_of_text(self, text: str, place: PathInData) -> Fault | None:
        if id(text) in self._sizes:
            return self._repeat(text, place)
        if size := len(text) // LONG:
            self._sizes[id(text)] = size, text
            self._written += size
        return None if self._is_sound(text) else Fault(place, "the text holds half of a surrogate pair")

    def _fault_of_keys(self, value: Mapping[Any, Any], place: PathInData) -> Fault | None:
        for key in value:
            if not isinstance(key, str):
                shown = shorten(repr(key), LONG) if not isinstance(key, int) or _is_writable(key) else "a long number"
                return Fault(place, f"the key {shown} is not text; put it in quotes")
            if not self._is_sound(key):
                return Fault(place, f"the key {key!r} holds half of a surrogate pair")
        return None

    def _is_sound(self, text: str) -> bool:
        return self._allow_halves or is_unicode(text)

    def _repeat(self, value: object, place: PathInData) -> Fault | None:
        size, _ = self._sizes[id(value)]
        self._written += size
        self._repeated += size
        if self._repeated <= MAX_REPEATED:
            return None
        return Fault(
            place,
            f"the parts that stand in several places (in YAML, aliases) grow to more than {MAX_REPEATED:,} values when "
            "they are written out; repeat fewer of them",
        )


def _is_writable(number: int) -> bool:
    try:
        str(number)
    except ValueError:
        return False
    return True


def is_too_deep(value: object, text: str | bytes) -> bool:
    """Return True when lists and objects are nested more than 200 deep.

    Args:
        value: The parsed value.
        text: The JSON that it was parsed from; a text with few brackets needs no closer look.
    """
    brackets = text.count("[") + text.count("{") if isinstance(text, str) else text.count(b"[") + text.count(b"{")
    return brackets > MAX_DEPTH and _depth(value) > MAX_DEPTH


def _depth(value: object) -> int:
    depth = 0
    level = [value]
    while any(is_dict(each) or is_list(each) for each in level):
        depth += 1
        level = [child for each in level for child in _children(each)]
    return depth


def _children(value: object) -> Iterable[object]:
    if is_dict(value):
        return value.values()
    return value if is_list(value) else ()


def is_same(one: Any, other: Any) -> bool:
    """Return True when two values are the same JSON. An absent field differs from null, 1 equals 1.0, 1 is not true."""
    pairs = [(one, other)]  # a list and not recursion, because a config may be nested deeper than Python's limit
    for left, right in pairs:
        if is_mapping(left) and is_mapping(right):
            if left.keys() != right.keys():
                return False
            pairs += ((left[key], right[key]) for key in left)
        elif is_list(left) and is_list(right):
            if len(left) != len(right):
                return False
            pairs += zip(left, right, strict=True)
        elif isinstance(left, bool) != isinstance(right, bool) or left != right:
            return False
    return True


def spell(place: PathInData) -> str:
    """Return a place as text, such as `blocks[0].block_id`."""
    spelled = ""
    for step in place:
        spelled += f"[{step}]" if isinstance(step, int) else f".{step}" if spelled else step
    return spelled


# --- Halves of surrogate pairs ------------------------------------------------------------------------------------


def whole_text(text: str) -> str:
    """Return text that UTF-8 can encode: two halves of a surrogate pair are joined, one that is alone is U+FFFD."""
    if is_unicode(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def without_halves(value: Any, text: str | bytes) -> Any:
    """Make every text and key of parsed JSON whole, as `whole_text` does, and return the value.

    Args:
        value: The parsed value, which is changed in place.
        text: The JSON that it was parsed from; a text without half a surrogate pair needs no closer look.
    """
    return _without_halves(value) if _may_hold_halves(text) else value


_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_ESCAPED_HALF_IN_UTF_8 = re.compile(rb"\\u[dD][89a-fA-F]")
_ENCODED_HALF = 0xED  # the first of the three bytes that Python's parser accepts for one half


def _may_hold_halves(text: str | bytes) -> bool:
    # The search for one character is the fastest by far, and most texts end here.
    if isinstance(text, str):
        return "\\" in text and _ESCAPED_HALF.search(text) is not None
    if _ENCODED_HALF in text or 0 in text:  # only UTF-16 and UTF-32 have zeros
        return True
    return ord(b"\\") in text and _ESCAPED_HALF_IN_UTF_8.search(text) is not None


def _without_halves(value: Any) -> Any:
    top: list[Any] = [value]
    parts: list[Any] = [top]  # as in is_same, because JSON may be nested deeper than Python's limit
    for part in parts:
        keys: list[Any] = list(part) if is_dict(part) else list(range(len(part)))
        for key in keys:
            if isinstance(part[key], str):
                part[key] = whole_text(part[key])
            elif isinstance(part[key], dict | list):
                parts.append(part[key])
        if is_dict(part) and not all(map(is_unicode, part)):
            whole = {whole_text(key): part[key] for key in part}
            part.clear()
            part.update(whole)
    return top[0]


# --- Text for messages --------------------------------------------------------------------------------------------


def shorten(text: str, limit: int) -> str:
    """Return the text, or its first `limit` characters and an ellipsis."""
    return text if len(text) <= limit else f"{text[:limit]}…"


def as_line(text: str) -> str:
    """Return text of a server for a line of a log: what ends a line or controls a terminal is escaped."""
    return text if text.isprintable() else "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def sentence(said: Any) -> str:
    """Return as text what a server reports: text, a pydantic detail (`loc`, `msg`), `{field, message}`, other JSON."""
    if isinstance(said, str):
        return said
    if is_mapping(said):
        words = said.get("msg") or said.get("message")
        place = said.get("loc") or said.get("field")
        if isinstance(words, str):
            where = ".".join(map(str, place)) if is_list(place) else place
            return f"{where}: {words}" if where else words
    try:
        return write_json(said)
    except RecursionError:
        return "(nested too deeply to be shown)"


def redact(value: Any, secrets: Iterable[str], mark: str = "[redacted]", *, shortest: int = SHORTEST_SECRET) -> Any:
    """Return text, bytes or JSON with every secret replaced, in values and keys.

    Covers the exact text of a secret and its JSON-escaped forms. Does not cover other encodings (base64, percent
    encoding), parts of a secret, and secrets of fewer than `shortest` characters.

    Args:
        value: Text, bytes, or JSON. A part of it that is nested too deeply is replaced as a whole.
        secrets: The texts to replace.
        mark: The replacement.
        shortest: The length, in characters, from which a text counts as a secret.
    """
    forms = {form for secret in secrets if len(secret) >= shortest for form in _escaped(secret)}
    if not forms:
        return value
    return _redacted(value, sorted(forms, key=len, reverse=True), mark)


def _escaped(secret: str) -> list[str]:
    """Return a secret unchanged and in its JSON-escaped forms, with and without escaped non-ASCII text and slashes."""
    forms = [secret, *(json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))]
    return [*forms, *(form.replace("/", "\\/") for form in forms)]


def _redacted(value: Any, forms: list[str], mark: str) -> Any:
    if isinstance(value, str):
        for form in forms:
            value = value.replace(form, mark)
        return value
    if isinstance(value, bytes):
        for form in forms:
            value = value.replace(form.encode("utf-8", "surrogatepass"), mark.encode())
        return value
    try:
        if is_mapping(value):
            return {_redacted(key, forms, mark): _redacted(each, forms, mark) for key, each in value.items()}
        if is_list(value):
            return type(value)(_redacted(each, forms, mark) for each in value)
    except RecursionError:
        return "[nested too deeply to be cleaned of the API key]"
    return value
