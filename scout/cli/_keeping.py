"""Files and pictures of a run beside its output: `--save` and `--timeline`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scout.cli import _exits
from scout.cli._terminal import answer, as_json, columns, escape, is_utf_8, say, talk

if TYPE_CHECKING:
    from scout import Run, Timeline

AS_TEXT = ""
"""The value of `--timeline` without the name of a file."""


def add_arguments(output: Any) -> None:
    """Add the options to a group of arguments."""
    output.add_argument("--save", metavar="FILE", help="write the whole run to a new file, for `scout show`")
    output.add_argument(
        "--timeline",
        metavar="OUT.svg",
        nargs="?",
        const=AS_TEXT,
        type=picture_name,
        help="draw the blocks over time: as text on stderr, or as a picture (streams underneath, for the times)",
    )


def picture_name(text: str) -> str:
    """Return the name of a picture. Another name is refused: it was meant to be the next argument."""
    if text != AS_TEXT and not text.lower().endswith(".svg"):
        raise argparse.ArgumentTypeError(
            f"the name of a picture ends in .svg, and {text!r} does not; "
            "for the timeline as text, give --timeline last, after all names"
        )
    return text


class Keeper:
    """The files of one run. Whether they can be written is known before it is sent."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Check the files.

        Raises:
            UsageError: one of them cannot be written, that of `--save` exists, or two are the same.
        """
        self._save: str | None = args.save
        self._timeline: str | None = args.timeline
        self.has_failed: bool = False  # True after a run was printed because it could not be written
        if self._save is not None:
            if self._save in ("", "-"):
                raise _exits.UsageError(f"--save needs the name of a file, not {self._save!r}; --json prints the run")
            if os.path.lexists(self._save):
                raise _exits.UsageError(f"--save {self._save}: exists already; choose another name, or remove it")
            try_folder("--save", self._save)
        if self._timeline:
            if Path(self._timeline).is_dir():
                raise _exits.UsageError(f"--timeline {self._timeline}: is a folder")
            try_folder("--timeline", self._timeline)
        _refuse_same(args)

    @property
    def needs_times(self) -> bool:
        """True when the run has to be streamed, because nothing else tells the times of its blocks."""
        return self._timeline is not None

    def keep(self, run: Run) -> None:
        """Write a run, also one that failed or was cut off. If that fails it is printed: it was paid for."""
        if self._save is None:
            return
        from scout._files import write_whole

        text = as_json(_exits.without_key(run.to_dict(decimals=True)), indent=2) + "\n"
        try:
            write_whole(path_of(self._save), text.encode("utf-8", "backslashreplace"), overwrite=False)
        except OSError as error:
            self.has_failed = True
            talk(f"--save {self._save}: cannot be written: {reason_of(error)}; so the run is printed as JSON")
            answer(text, json=True)

    def conclude(self, run: Run, code: int) -> int:
        """Draw a run that has ended in any way, and return the exit code, of which the one so far is given."""
        drawn = _exits.DONE if self._timeline is None else draw(run.timeline(), self._timeline)
        return code or drawn or (_exits.USAGE if self.has_failed else _exits.DONE)


def draw(timeline: Timeline, target: str) -> int:
    """Draw a timeline into a file, or on stderr, and return the exit code."""
    if target == AS_TEXT:
        say(escape(text_of(timeline)))
        return _exits.DONE
    from scout._files import write_whole

    try:
        write_whole(path_of(target), _exits.without_key(timeline.to_svg()).encode(), overwrite=True)
    except OSError as error:
        talk(f"--timeline {target}: cannot be written: {reason_of(error)}")
        return _exits.USAGE
    talk(f"the timeline is in {target}")
    return _exits.DONE


def text_of(timeline: Timeline) -> str:
    """Return a timeline as text that fits the terminal and its characters."""
    return timeline.to_text(columns(), ascii_only=not is_utf_8(sys.stderr))


def _refuse_same(args: argparse.Namespace) -> None:
    named: dict[str, str] = {}
    for option in ("save", "timeline", "record"):
        if name := getattr(args, option, None):
            other = named.setdefault(os.path.realpath(name), option)
            if other != option:
                raise _exits.UsageError(f"--{other} and --{option} name the same file, {name}")


def try_folder(option: str, name: str) -> None:
    """Write a file beside a name and remove it, to know that one can be written there."""
    try:
        trial = path_of(name).with_name(f".{os.urandom(8).hex()}.tmp")
        with trial.open("xb"):
            pass
        trial.unlink()
    except (OSError, ValueError) as error:
        raise _exits.UsageError(f"{option} {name}: cannot be written: {reason_of(error)}") from None


def path_of(name: str) -> Path:
    """Return the path of a file that is written; of a link, that of the file to which it leads."""
    return Path(os.path.realpath(name))


def reason_of(error: Exception) -> str:
    """Return why a file cannot be written, as a part of a message."""
    if isinstance(error, FileExistsError):
        return "it exists already"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
