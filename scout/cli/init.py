"""The command `scout init`: a folder with a workflow, its inputs, a test, and a CI job."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from scout.cli import _exits
from scout.cli._terminal import answer

if TYPE_CHECKING:
    import argparse

DESCRIPTION = """\
Make a folder with a small workflow, its inputs, a test that needs no account, and a job for GitHub Actions.
No file is overwritten.

examples:
  scout init hello
  scout init .
"""

# The files, by their names in the package.
_FILES = {
    "workflow.yml": "workflow.yml",
    "inputs/default.json": "inputs/default.json",
    "test_workflow.py": "test_workflow.py",
    "github.yml": ".github/workflows/scout.yml",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("folder", metavar="DIR", help="the folder, which is made if it does not exist")
    parser.set_defaults(handler=_init)


def _init(args: argparse.Namespace) -> int:
    from importlib import resources

    if not args.folder:
        raise _exits.UsageError("DIR must not be empty; '.' is the working folder")
    folder = Path(args.folder)
    starter = resources.files("scout.cli") / "_starter"
    contents = {folder / name: (starter / source).read_bytes() for source, name in _FILES.items()}
    _refuse_existing(list(contents))
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(content)
        answer(str(path))
    _print_next(folder)
    return _exits.DONE


def _refuse_existing(files: list[Path]) -> None:
    """Check that each file can be made, before any is.

    Raises:
        UsageError: one exists, or a file is where a folder is needed.
    """
    if existing := [str(path) for path in files if os.path.lexists(path)]:
        exist = "exists" if len(existing) == 1 else "exist"
        raise _exits.UsageError(f"{', '.join(existing)} {exist} already; nothing was written")
    parents = {parent for path in files for parent in (path.parent, *path.parent.parents)}
    for parent in sorted(parents):
        if os.path.lexists(parent) and not parent.is_dir():
            raise _exits.UsageError(f"{parent} is not a folder; nothing was written")


def _print_next(folder: Path) -> None:
    def name(path: Path) -> str:
        text = str(path)
        return shlex.quote(f"./{text}" if text.startswith("-") else text)

    workflow, inputs = name(folder / "workflow.yml"), name(folder / "inputs" / "default.json")
    answer(f"""
next:
  scout check {name(folder)}
  scout run {workflow} --inputs {inputs} --local
  pytest {name(folder)}
  scout deploy {name(folder)}""")
    above = folder.absolute().parents
    if not (folder / ".git").exists() and any((parent / ".git").exists() for parent in above):
        answer(f"\nGitHub reads .github at the top of the repository, so move {name(folder / '.github')} there.")
