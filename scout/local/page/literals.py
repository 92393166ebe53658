"""JSON as Python, in the layout of `ruff format`, so that a saved program looks like one that a person wrote."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from scout._json import is_decimal, is_dict, is_list, redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_WIDTH = 120
_INDENT = 4
_DEEPEST = 20  # Python itself refuses more than 200 brackets in each other, and people read fewer
_QUOTES = re.compile("""(["'])""")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")


class Literals:
    """Writer of a Python text that holds JSON: texts, numbers, lists and objects as literals.

    Whatever a text contains, it stays a text: quotes, backslashes and all that is not printable are escaped.

    Args:
        secrets: Texts to redact.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = list(secrets)
        self._constants: list[str] = []
        self._parts = 0
        self.uses_decimal: bool = False

    @property
    def constants(self) -> str:
        """The constants so far, as Python, with a blank line after each."""
        return "".join(f"{constant}\n\n" for constant in self._constants)

    def constant(self, name: str, value: Any) -> None:
        """Add a constant.

        Args:
            name: The name.
            value: A list or an object.
        """
        self._constant(name, redact(value, self._secrets))

    def text(self, text: str) -> str:
        """Return a text as Python."""
        return _literal(redact(text, self._secrets))

    def call(self, before: str, names: Sequence[str], options: Mapping[str, Any], after: str) -> str:
        """Return a call on one line, or with each argument on a line of its own.

        Args:
            before: What stands before the bracket, with its indentation.
            names: Arguments that are Python already, such as names of constants.
            options: Arguments by name, as JSON.
            after: What follows the bracket.
        """
        options = redact(options, self._secrets)
        arguments = [*names, *(f"{name}={self._flat(value)}" for name, value in options.items())]
        line = f"{before}({', '.join(arguments)}){after}"
        if _most_width(line) <= _WIDTH:
            return line
        indent = _indent_of(before)
        inner = " " * (indent + _INDENT)
        lines = [inner + name for name in names]
        lines += (self._line(f"{inner}{name}=", value, 0) for name, value in options.items())
        return "\n".join([f"{before}(", *(f"{each}," for each in lines), f"{' ' * indent}){after}"])

    def _constant(self, name: str, value: Any) -> None:
        line = self._line(f"{name} = ", value, 0)
        self._constants.append(line)  # after the parts of it, which have been added meanwhile

    def _line(self, before: str, value: Any, depth: int) -> str:
        """Return a line, or several, with a value after what stands before it. A comma may follow."""
        if isinstance(value, str):
            return before + self._text(before, value)
        flat = self._flat(value)
        if _most_width(f"{before}{flat},") <= _WIDTH:
            return before + flat
        indent = _indent_of(before)
        inner = " " * (indent + _INDENT)
        if is_decimal(value):
            return f'{before}Decimal(\n{inner}"{value}",\n{" " * indent})'
        if not value or not (is_dict(value) or is_list(value)):
            return before + flat
        if depth == _DEEPEST:
            self._parts += 1
            name = f"PART_{self._parts}"
            self._constant(name, value)
            return before + name
        if is_dict(value):
            lines = [self._line(f"{inner}{_literal(key)}: ", item, depth + 1) for key, item in value.items()]
        else:
            lines = [self._line(inner, item, depth + 1) for item in value]
        opening, closing = "{}" if is_dict(value) else "[]"
        return "\n".join([before + opening, *(f"{line}," for line in lines), " " * indent + closing])

    def _text(self, before: str, text: str) -> str:
        """Return a text: one of several lines that does not fit on one line has a line for each."""
        flat = _literal(text)
        indent = " " * _indent_of(before)
        inner = indent + " " * _INDENT
        lines: list[str] = _LINES.findall(text)
        if len(lines) < 2 or _least_width(inner + flat) <= _WIDTH:
            return flat
        return "\n".join(["(", *(inner + _literal(line) for line in lines), f"{indent})"])

    def _flat(self, value: Any) -> str:
        if isinstance(value, str):
            return _literal(value)
        if is_dict(value):
            return "{" + ", ".join(f"{_literal(key)}: {self._flat(item)}" for key, item in value.items()) + "}"
        if is_list(value):
            return "[" + ", ".join(map(self._flat, value)) + "]"
        if is_decimal(value):
            self.uses_decimal = True
            return f'Decimal("{value}")'
        if isinstance(value, float):
            # As `write_json`: JSON has neither NaN nor infinities.
            return repr(value).replace("e+", "e") if math.isfinite(value) else "None"
        return repr(value)


def _literal(text: str) -> str:
    """Return the literal of a text, with the quotes that `ruff format` chooses."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    # In pieces without quotes, for which `repr` always takes the same quotes.
    pieces = (f"\\{each}" if each == quote else each if each in "\"'" else repr(each)[1:-1] for each in _split(text))
    return f"{quote}{''.join(pieces)}{quote}"


def _split(text: str) -> list[str]:
    return [piece for piece in _QUOTES.split(text) if piece]


def _indent_of(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


# The width of a character that is not ASCII is 0 to 2 columns, and programs differ. A layout is stable when it is right
# for the most and for the least: what is on one line fits in any case, and what is on several lines in no case.


def _most_width(text: str) -> int:
    return len(text.encode())


def _least_width(text: str) -> int:
    return len(text) if text.isascii() else sum(each.isascii() or each.isalnum() for each in text)
