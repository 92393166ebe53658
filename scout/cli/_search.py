"""The workflow files that arguments name: files, folders, and patterns that no shell has expanded."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, cast

from scout.cli._exits import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

SUFFIXES = (".yml", ".yaml", ".json")

_SKIPPED = ("node_modules", "site-packages", "__pycache__")
_MARK_OF_ENVIRONMENT = "pyvenv.cfg"  # of a virtual environment, whatever its name is

# Only workflows have one of these words, though not all files with one are workflows.
_WORDS = re.compile(rb"(?<![\w-])(?:block_archetype_id|block_id|workflow_config|workflow_display_name)(?![\w-])")
_MOST_BEFORE_A_WORD = 1024 * 1024
_KEY_OF_YAML = re.compile(r"^[\"']?([\w.-]+)[\"']?[ \t]*:", re.MULTILINE)
_KEYS = (
    "blocks",
    "workflow_config",
    "workflow_display_name",
    "workflow_schema_version",
    "workflow_description",
    "data",
)
_LIKENESS = 0.8


NOTHING = f"no workflow files were found there; they end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"


def add_paths(parser: argparse.ArgumentParser, more: str = "") -> None:
    """Add the argument that names workflow files; `more` says what else it may be."""
    kinds = "a workflow file, a folder in which workflows are searched, or a pattern such as '*.yml'"
    parser.add_argument("paths", metavar="PATH", nargs="+", help=f"{kinds}{more}")


def find_workflows(names: Iterable[str]) -> list[str]:
    """Return the paths of the files that arguments name, sorted, and each once.

    A file that is named is always there. In a folder and its subfolders the workflows are searched among the files
    that end in `.yml`, `.yaml` or `.json`. Hidden folders, those of packages and links to folders are not entered.

    Raises:
        UsageError: a name is that of nothing, or a folder cannot be searched.
    """
    found: dict[str, str] = {}
    for name in names:
        for path in _named(name):
            for file in _in_folder(path) if Path(path).is_dir() else [path]:
                found.setdefault(_place(file), file)
    return sorted(found.values(), key=lambda path: (Path(path).parts, path))


def _place(file: str) -> str:
    """Return the path of a file without links to folders, by which it may have been found several times."""
    return str(Path(os.path.realpath(Path(file).parent), Path(file).name))


def _named(name: str) -> list[str]:
    if os.path.lexists(name):
        return [name]
    if any(character in name for character in "*?["):
        import glob

        if found := glob.glob(name, recursive=True):  # noqa: PTH207 - Path.glob takes no absolute pattern
            return found
        raise UsageError(f"no file matches {name}")
    raise UsageError(f"{name} is neither a file nor a folder" if name else "the name of a file must not be empty")


def _in_folder(top: str) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise UsageError(f"{error.filename} cannot be searched: {error.strerror}") from None

    for folder, folders, files in os.walk(top, onerror=refuse):
        folders[:] = [each for each in folders if not _is_skipped(each, Path(folder, each))]
        for file in files:
            path = Path(folder, file)
            if path.suffix.lower() in SUFFIXES and path.is_file() and _may_be_workflow(path):
                yield str(path)


def _is_skipped(name: str, path: Path) -> bool:
    return name.startswith(".") or name in _SKIPPED or (path / _MARK_OF_ENVIRONMENT).is_file()


def _may_be_workflow(path: Path) -> bool:
    """Return False for a file that is clearly not a workflow. One that cannot be read is for the check to report."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BEFORE_A_WORD)  # data of a program can be large
            if not _WORDS.search(data):
                return False
            data += file.read()
    except OSError:
        return True
    keys = _keys(data.decode("utf-8-sig", "replace"))
    return keys is None or any(_is_near(key) for key in keys)


def _keys(text: str) -> Iterable[str] | None:
    """Return the keys of the mapping in a file, as far as they can be seen without parsing YAML; else `None`."""
    if text.lstrip()[:1] not in ("{", "["):
        return _KEY_OF_YAML.findall(text) or None
    from scout._json import parse_json

    for part in (text, text.lstrip().partition("\n")[0]):  # the first line, for JSON Lines, such as a recording
        try:
            value: object = parse_json(part)
        except (ValueError, RecursionError):
            continue
        return cast("dict[str, object]", value) if isinstance(value, dict) else ()
    return None


def _is_near(key: str) -> bool:
    if key in _KEYS:
        return True
    from difflib import get_close_matches

    return bool(get_close_matches(key.lower(), ("blocks", "workflow_config"), 1, _LIKENESS))
