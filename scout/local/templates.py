"""Templates of Scout: Jinja2 in a sandbox, with the state of a run.

`render_all` has no limit on time. Templates for which `are_harmless` is true need none; all others must be rendered in
a process that can be killed (`renderer.py`).
"""

from __future__ import annotations

import functools
import re
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from scout._json import is_dict, shorten, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jinja2 import Template

VARIABLES = "_env"
"""The name of the user's variables in templates."""

_PATH = r"""[^\W\d]\w*+ (?: \.\w++ | \[ (?: '[^'\\]*+' | "[^"\\]*+" | \d++ ) \] )*+"""
_LOOKUP = re.compile(rf"\{{\{{ [-+]?+ \s*+ {_PATH} \s*+ [-+]?+ \}}\}}", re.VERBOSE)
_WORD = re.compile(r"[^\W\d]\w*")
_MARKERS = ("{{", "{%", "{#")

# Above these limits, even a template that only looks up values compiles slowly, or is nested too deeply to compile.
_HARMLESS_STEPS = 500
_HARMLESS_DEPTH = 50
_HARMLESS_LENGTH = 64 * 1024

# A message can hold the output of a template, which can be of any length.
_LONGEST_MESSAGE = 1000
_MOST_FIELDS = 50


class TemplateFailedError(Exception):
    """A template could not be rendered.

    Attributes:
        message: The reason, as part of a sentence.
        line: The line in the template, from 1; `None` when it is not known.
        index: The position of the template among those that were rendered together, from 0.
    """

    def __init__(self, message: str, line: int | None = None, index: int = 0) -> None:
        super().__init__(message, line, index)
        self.message: str = shorten(message, _LONGEST_MESSAGE)
        self.line = line
        self.index = index


class BlockEntry(dict[str, Any]):
    """The entry of a block in the state, for templates: `{{ block }}` is its output."""

    __slots__ = ("name",)

    def __init__(self, name: str, entry: Mapping[str, Any]) -> None:
        super().__init__(entry)
        self.name: str = name

    def __str__(self) -> str:
        return str(_printable(self["output"])) if "output" in self else super().__repr__()

    __repr__ = __str__

    def field(self, name: str) -> Any:
        """Return a field of the entry, else a field of its output, else `missing`."""
        if name in self:
            return self[name]
        output = self.get("output")
        return output.get(name, missing) if is_dict(output) else missing


class _Variables(dict[str, Any]):
    """The user's variables, as a type of their own for better messages."""

    __slots__ = ()


class _Missing(StrictUndefined):
    """A missing value, which raises an error for the author of the workflow when a template uses it."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return self._undefined_hint
        name, owner = self._undefined_name, self._undefined_obj
        if owner is missing:
            return f'"{name}" is not defined'
        if isinstance(owner, _Variables):
            given = f'give it one with LocalScout(env={{"{name}": "..."}}) or in the file of --env-file'
            return f'"{name}" has no value in "{VARIABLES}": {given}'
        if isinstance(owner, BlockEntry):
            fields = ", ".join(map(str, islice(owner, _MOST_FIELDS))) or "nothing"
            return f'"{name}" is not in "{owner.name}", which has: {fields}'
        return f'"{name}" is not in a value of type {type(owner).__name__}'


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, with the keys of a mapping preceding the methods of `dict`.

    Otherwise `{{ inputs.items }}` would be a method, even if an input is named `items`.
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
    if is_dict(owner) and isinstance(name, str):
        return owner.get(name, missing)
    return missing


def _printable(value: Any) -> Any:
    if value is None:
        return ""
    if callable(value):
        # For example `{{ answer.output.title }}` when the output is text, which has a method `title`.
        raise TemplateError(f'"{getattr(value, "__name__", value)}" is a method here, not a value')
    return value


def _make_environment() -> _Environment:
    environment = _Environment(undefined=_Missing, finalize=_printable, keep_trailing_newline=True)
    # Jinja does not declare the type of its globals.
    environment.policies["json.dumps_function"] = _to_json  # of the filter `tojson`
    names = cast("dict[str, Any]", environment.globals)  # pyright: ignore[reportUnknownMemberType]
    names.pop("lipsum")
    # Only the names in Scout's documentation, because a template that works here must not fail there.
    names.update(datetime=datetime, timezone=timezone, ZoneInfo=ZoneInfo)
    return environment


def _to_json(value: Any, *, indent: int | None = None, sort_keys: bool = False) -> str:
    return write_json(value, indent=indent, sort_keys=sort_keys, ascii_only=True)


_environment = _make_environment()


def is_text(source: str) -> bool:
    """Return True for a text without templates."""
    return not any(marker in source for marker in _MARKERS)


def are_harmless(sources: Iterable[str]) -> bool:
    """Return True for templates that only look up values, so that rendering needs little more time than copying them.

    Loops, calls, filters and arithmetic can run endlessly or fill the memory, and a thread cannot be stopped. So only
    `{{ name.field['key'] }}` counts as harmless.
    """
    length = steps = 0
    for source in sources:
        if is_text(source):
            continue
        length += len(source)
        if length > _HARMLESS_LENGTH:
            return False
        depths = [1 + found.count(".") + found.count("[") for found in _LOOKUP.findall(source)]
        steps += sum(depths)
        if steps > _HARMLESS_STEPS or max(depths, default=0) > _HARMLESS_DEPTH or not is_text(_LOOKUP.sub("", source)):
            return False
    return True


def words(sources: Iterable[str]) -> set[str]:
    """Return all words in the templates that could be names."""
    return {word for source in sources if not is_text(source) for word in _WORD.findall(source)}


def render_all(
    sources: Sequence[str], values: Mapping[str, Any], *, unfinished: Iterable[str] = (), most: int
) -> Iterator[str]:
    """Yield the rendered text of each template.

    Args:
        sources: The templates; also texts without templates.
        values: The values of names in templates: entries of the state, and `VARIABLES`.
        unfinished: The blocks that have no entry yet; using one is an error that says so.
        most: The limit for the rendered texts together, in characters.

    Raises:
        TemplateFailedError: A template is invalid or failed, or the text is too long.
    """
    names = _names(values, unfinished)
    left = most
    for index, source in enumerate(sources):
        try:
            text = _within(left, [source]) if is_text(source) else _render(source, names, left)
        except TemplateFailedError as error:
            raise TemplateFailedError(error.message, error.line, index) from None
        left -= len(text)
        yield text


def _render(source: str, names: Mapping[str, Any], most: int) -> str:
    try:
        template = _compiled(source) if len(source) <= _HARMLESS_LENGTH else _environment.from_string(source)
        return _within(most, template.generate(names))
    except TemplateFailedError:
        raise
    except TemplateSyntaxError as error:
        raise TemplateFailedError(error.message or "not a template", error.lineno) from None
    except TemplateError as error:
        raise TemplateFailedError(error.message or type(error).__name__, _line(error)) from None
    except MemoryError as error:
        raise TemplateFailedError("it needs too much memory", _line(error)) from None
    except Exception as error:  # noqa: BLE001 - a template can raise any exception
        raise TemplateFailedError(f"{type(error).__name__}: {error}", _line(error)) from None


def _within(most: int, pieces: Iterable[str]) -> str:
    kept: list[str] = []
    left = most
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise TemplateFailedError(f"the text is longer than {most} characters, which is all that is left for it")
        kept.append(piece)
    return "".join(kept)


@functools.lru_cache(maxsize=128)
def _compiled(source: str) -> Template:
    return _environment.from_string(source)


def _names(values: Mapping[str, Any], unfinished: Iterable[str]) -> dict[str, Any]:
    names: dict[str, Any] = {
        name: _Missing(f'"{name}" has not run before this block: it is not among its dependencies')
        for name in unfinished
    }
    for name, value in values.items():
        names[name] = BlockEntry(name, value) if is_dict(value) else value
    if VARIABLES in values:
        names[VARIABLES] = _Variables(values[VARIABLES])
    return names


def _line(error: BaseException) -> int | None:
    line = None
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == "<template>":
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
