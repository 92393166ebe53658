"""Templates as Scout has them: Jinja2 in a sandbox, over the state of a run.

`render` is a plain function and runs for as long as the template makes it. `is_harmless` says for which templates that
is no danger; the others belong into a process that can be killed (`renderer.py`).
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any, cast

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from .jsons import is_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jinja2 import Template

_PATH = r"""[^\W\d]\w*+ (?: \.\w++ | \[ (?: '[^'\\]*+' | "[^"\\]*+" | \d++ ) \] )*+"""
_LOOKUP = re.compile(rf"\{{\{{ [-+]?+ \s*+ {_PATH} \s*+ [-+]?+ \}}\}}", re.VERBOSE)
_WORD = re.compile(r"[^\W\d]\w*")
_MARKERS = ("{{", "{%", "{#")

# Above these even a template that only looks things up takes noticeable time to compile.
_HARMLESS_LOOKUPS = 500
_HARMLESS_LENGTH = 64 * 1024


class TemplateFailedError(Exception):
    """A template could not be rendered.

    Attributes:
        message: Why, as part of a sentence.
        line: The line in the template, from 1, when it is known.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message, line)
        self.message = message
        self.line = line


class BlockEntry(dict[str, Any]):
    """A block's entry in the state, as templates see it: `{{ block }}` is its output."""

    __slots__ = ("name",)

    def __init__(self, name: str, entry: Mapping[str, Any]) -> None:
        super().__init__(entry)
        self.name: str = name

    def __str__(self) -> str:
        return str(_printable(self["output"])) if "output" in self else super().__repr__()

    __repr__ = __str__

    def field(self, name: str) -> Any:
        """An entry's own field, else a field of its output, else `missing`."""
        if name in self:
            return self[name]
        output = self.get("output")
        return output.get(name, missing) if is_object(output) else missing


class _Missing(StrictUndefined):
    """Whatever a template asked for and did not get: an error in words a workflow's author understands."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return self._undefined_hint
        name, owner = self._undefined_name, self._undefined_obj
        if owner is missing:
            return f'"{name}" is not defined'
        if isinstance(owner, BlockEntry):
            fields = ", ".join(map(str, owner)) or "nothing"
            return f'"{name}" is not in "{owner.name}", which has: {fields}'
        return f'"{name}" is not in a value of type {type(owner).__name__}'


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, in which the keys of a mapping come before the methods of a dictionary.

    Otherwise `{{ inputs.items }}` would be a method when an input is called `items`.
    """

    def getattr(self, obj: Any, attribute: str) -> Any:
        value = _own_field(obj, attribute)
        return super().getattr(obj, attribute) if value is missing else value

    def getitem(self, obj: Any, argument: Any) -> Any:
        value = _own_field(obj, argument)
        return super().getitem(obj, argument) if value is missing else value


def _own_field(owner: Any, name: Any) -> Any:
    if isinstance(owner, BlockEntry):
        return owner.field(name) if isinstance(name, str) else missing
    if is_object(owner) and isinstance(name, str):
        return owner.get(name, missing)
    return missing


def _printable(value: Any) -> Any:
    if value is None:
        return ""
    if callable(value):
        # For example `{{ answer.output.title }}` when the output is text: text has a method of that name.
        raise TemplateError(f'"{getattr(value, "__name__", value)}" is a method here, not a value')
    return value


_environment = _Environment(undefined=_Missing, finalize=_printable, keep_trailing_newline=True)
# Jinja leaves the type of its globals open.
cast("dict[str, Any]", _environment.globals).pop("lipsum")  # pyright: ignore[reportUnknownMemberType]


def is_text(source: str) -> bool:
    """Whether there is nothing to render in it."""
    return not any(marker in source for marker in _MARKERS)


def is_harmless(source: str) -> bool:
    """Whether a template only looks values up, so that rendering it takes no more than its output's size.

    Loops, calls, filters and arithmetic can all be made to run for ever or to fill the memory, and a thread cannot be
    stopped; so everything but `{{ name.field['key'] }}` counts as harmful.
    """
    if len(source) > _HARMLESS_LENGTH:
        return False
    rest, lookups = _LOOKUP.subn("", source)
    return lookups <= _HARMLESS_LOOKUPS and is_text(rest)


def words(source: str) -> set[str]:
    """Every word that could be a name in the template."""
    return set(_WORD.findall(source))


def render(source: str, values: Mapping[str, Any], *, unfinished: Iterable[str] = (), most: int) -> str:
    """Render a template.

    Args:
        source: The template.
        values: What its names stand for: entries of the state.
        unfinished: Blocks that exist but have no entry yet; using one is an error that says so.
        most: How many characters the text may have.

    Raises:
        TemplateFailedError: It is not a template, or it failed, or its text became too long.
    """
    try:
        template = _compiled(source) if len(source) <= _HARMLESS_LENGTH else _environment.from_string(source)
        pieces: list[str] = []
        room = most
        for piece in template.generate(_names(values, unfinished)):
            room -= len(piece)
            if room < 0:
                raise TemplateFailedError(f"the text is longer than {most} characters")
            pieces.append(piece)
        return "".join(pieces)
    except TemplateFailedError:
        raise
    except TemplateSyntaxError as error:
        raise TemplateFailedError(error.message or "not a template", error.lineno) from None
    except TemplateError as error:
        raise TemplateFailedError(error.message or type(error).__name__, _line(error)) from None
    except MemoryError:
        raise TemplateFailedError("it needs too much memory") from None
    except Exception as error:  # noqa: BLE001 - a template can raise whatever Python can
        raise TemplateFailedError(f"{type(error).__name__}: {error}", _line(error)) from None


@functools.lru_cache(maxsize=128)
def _compiled(source: str) -> Template:
    return _environment.from_string(source)


def _names(values: Mapping[str, Any], unfinished: Iterable[str]) -> dict[str, Any]:
    names: dict[str, Any] = {
        name: _Missing(f'"{name}" has not run before this block: it is not among its dependencies')
        for name in unfinished
    }
    for name, value in values.items():
        names[name] = BlockEntry(name, value) if is_object(value) else value
    return names


def _line(error: BaseException) -> int | None:
    line = None
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == "<template>":
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
