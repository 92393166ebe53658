"""The choice of problems to report: `--select`, `--ignore`, and `[tool.scout]` in pyproject.toml, as in ruff."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from scout.cli._exits import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from scout import Problem

_SETTINGS = ("select", "ignore")
_ALL = "ALL"
_LIKENESS = 0.6  # as in `_spelling`
_NOT_CHECKED = ("SW001", "SW004")  # about files that could not be checked, so they are reported whatever is selected


@dataclass(frozen=True, slots=True)
class Selection:
    """The problems to report. Of a selected and an ignored prefix of a code the longer one counts, as in ruff.

    Attributes:
        select: Codes and prefixes to report; `None` for all.
        ignore: Codes and prefixes not to report.
        base: The selection that this one narrows; `None` when it stands for itself.
        path: The file that has it as settings.
    """

    select: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    base: Selection | None = None
    path: Path | None = None

    def of(self, problems: Iterable[Problem]) -> list[Problem]:
        """Return the problems to report."""
        return [problem for problem in problems if self._has(problem.code)]

    def _has(self, code: str) -> bool:
        if self.base is not None and self.select is None and not self.base._has(code):
            return False
        always = self.select is None or code in _NOT_CHECKED
        selected = max(_longest(code, self.select or ()), 0 if always else -1)
        return selected > _longest(code, self.ignore)


def _longest(code: str, prefixes: Sequence[str]) -> int:
    """Return the length of the longest prefix of a code, 0 for `ALL`; -1 when it has none of them."""
    lengths = [0 if each == _ALL else len(each) for each in prefixes if each == _ALL or code.startswith(each)]
    return max(lengths, default=-1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--select` and `--ignore`."""
    for name, what in (("--select", "report only these problems"), ("--ignore", "do not report these problems")):
        parser.add_argument(
            name,
            action="append",
            metavar="CODES",
            help=f"{what}: codes or their beginnings, such as SW013,SW05; may be repeated",
        )


def from_arguments(args: argparse.Namespace) -> Selection:
    """Return the selection of the arguments, and of the settings as far as the arguments do not replace them.

    Raises:
        UsageError: a code is unknown, or the settings are invalid.
    """
    select = None if args.select is None else _codes("--select", args.select)
    ignore = () if args.ignore is None else _codes("--ignore", args.ignore)
    return Selection(select, ignore, from_settings())


def from_settings() -> Selection:
    """Return the selection of `[tool.scout]` in the nearest pyproject.toml that has it, from the working folder up.

    Raises:
        UsageError: the file cannot be read, or a setting is invalid.
    """
    for folder in _folders():
        path = folder / "pyproject.toml"
        settings = _read(path)
        if settings is not None:
            return _checked(path, settings)
    return Selection()


def _folders() -> list[Path]:
    try:
        here = Path.cwd()
    except OSError:  # it is gone
        return []
    return [here, *here.parents]


def _read(path: Path) -> object:
    """Return the table `tool.scout` of a file; `None` when it has none."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    if b"scout" not in data:  # most files; to import tomllib takes longer than to look
        return None
    import tomllib

    try:
        document: dict[str, Any] = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:  # ValueError: not TOML, or not UTF-8
        raise UsageError(f"{path} is not TOML: {error}") from None
    tool = document.get("tool")
    return cast("dict[str, Any]", tool).get("scout") if isinstance(tool, dict) else None


def _checked(path: Path, settings: object) -> Selection:
    from scout.cli._spelling import suggestion

    if not isinstance(settings, dict):
        raise UsageError(f"{path}: tool.scout must be a table, not {_kind(settings)}")
    found: dict[str, tuple[str, ...]] = {}
    for name, value in cast("dict[str, object]", settings).items():
        where = f"{path}: tool.scout.{name}"
        if name not in _SETTINGS:
            hint = suggestion(name, _SETTINGS) or f"; the settings are {' and '.join(_SETTINGS)}"
            raise UsageError(f"{where} is not a setting{hint}")
        if not isinstance(value, list):
            raise UsageError(f"{where} must be a list of codes, not {_kind(value)}")
        for item in cast("list[object]", value):
            if not isinstance(item, str):
                raise UsageError(f"{where} must be a list of codes, and holds {_kind(item)}")
        found[name] = _codes(where, cast("list[str]", value))
    return Selection(found.get("select"), found.get("ignore", ()), path=path)


def _kind(value: object) -> str:
    match value:
        case str():
            return "text"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date or a time"


def _codes(where: str, texts: Iterable[str]) -> tuple[str, ...]:
    """Return the codes and prefixes in comma-separated texts.

    Raises:
        UsageError: one is none.
    """
    from scout import check_rules

    known = list(check_rules())
    codes = [word for text in texts for each in text.split(",") if (word := each.strip())]
    for code in codes:
        if code != _ALL and not any(rule.startswith(code) for rule in known):
            _refuse(where, code, known)
    return tuple(codes)


def _refuse(where: str, code: str, known: list[str]) -> NoReturn:
    from difflib import SequenceMatcher

    def likeness(other: str) -> float:
        return SequenceMatcher(None, code.upper(), other).ratio()

    nearest = max(known, key=likeness)  # the first of several, which `get_close_matches` does not give
    hint = f"did you mean {nearest}?" if likeness(nearest) > _LIKENESS else f"codes are {known[0]} to {known[-1]}"
    raise UsageError(f"{where}: {code!r} is not the code of a problem, nor the beginning of one; {hint}")
