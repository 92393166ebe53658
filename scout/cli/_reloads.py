"""The files of `scout local`, its workflows and stubs: read at the start, and again whenever they change."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from scout.cli import _checks, _exits, _local_options, _search
from scout.cli._terminal import talk

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from scout import LoadedWorkflow
    from scout.local import LocalScout


class Watched:
    """Files whose changes are found by looking at them again and again.

    A change counts once two looks have seen the same, so that a file is not read while it is written or replaced.

    Args:
        paths: A function that returns the paths of the files, whether or not they exist.

    Raises:
        OSError: A file cannot be looked at.
    """

    def __init__(self, paths: Callable[[], Iterable[Path]]) -> None:
        self._paths = paths
        self._seen = self._look()
        self._given = dict(self._seen)

    @property
    def files(self) -> Collection[Path]:
        """The files that the last look has found."""
        return self._seen.keys()

    def changes(self) -> list[Path]:
        """Return the files that have changed, appeared or gone. Those that are gone come first.

        Raises:
            OSError: A file cannot be looked at.
        """
        before, self._seen = self._seen, self._look()
        given = self._given
        changed = [path for path in {**given, **before} if self._seen.get(path) == before.get(path) != given.get(path)]
        for path in changed:
            if path in before:
                given[path] = before[path]
            else:
                del given[path]
        return sorted(changed, key=lambda path: (path in before, path))

    def forget(self, path: Path) -> None:
        """Take a file for a new one, so that it is among the next changes."""
        self._given.pop(path, None)

    def _look(self) -> dict[Path, object]:
        found = ((path, _state_of(path)) for path in self._paths())
        return {path: state for path, state in found if state is not None}


def _state_of(path: Path) -> object:
    """Return a value that changes with a file; `None` when it does not exist."""
    try:
        found = path.stat()
    except OSError as error:
        return error.strerror if path.is_symlink() else None  # a link to nothing; to read it gives the reason
    if not stat.S_ISREG(found.st_mode):
        return None
    # With the time of changes of the permissions, after which a file may be readable.
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


class _Read(NamedTuple):
    """A file as it was read last."""

    content: bytes | None  # None when it has changed since, to what cannot be deployed
    key: str | None  # of its workflow


class Reloads:
    """The files of a server, which are deployed to it when they change.

    Args:
        folder: The folder of workflows; `None` for none.
        stubs: The file of stubs, which need not exist; `None` for none.

    Raises:
        UsageError: The folder is not one, or two files have the same key.
        WorkflowFileError: A file is not a workflow.
        OSError: A file cannot be read.
    """

    def __init__(self, folder: Path | None, stubs: Path | None) -> None:
        if folder is not None and not folder.is_dir():
            raise _exits.UsageError(f"--workflows names {folder}, which is not a folder")
        self._folder = folder
        self._stubs = stubs
        self._watched = Watched(self._paths)  # before the files are read, so that no change is lost
        self._read: dict[Path, _Read] = {}
        self._failures: dict[Path, tuple[bytes | None, str]] = {}
        self._obstacle = ""
        self.workflows: dict[str, Mapping[str, Any]] = {}
        for path in sorted(self._watched.files):
            content, key = path.read_bytes(), None
            if path != stubs:
                key, loaded = self._load(path)
                self.workflows[key] = loaded.config
            self._read[path] = _Read(content, key)

    def look(self, server: LocalScout) -> None:
        """Deploy what has changed to a server, and say so."""
        try:
            changed = self._watched.changes()
        except OSError as error:
            obstacle = f"{error.filename} cannot be read: {error.strerror}; no file is reloaded until it can be read"
            if obstacle != self._obstacle:
                talk(obstacle)
            self._obstacle = obstacle
            return
        self._obstacle = ""
        # All of them leave their keys first, because a file may take that of another.
        before = {path: self._read.pop(path, None) for path in changed}
        for path, read in before.items():
            if path in self._watched.files:
                self._reload(path, read, server)
            elif read is not None:
                what = "the stubs from it stay" if read.key is None else f"{read.key} stays stored"
                self._done(path, f"{path} is gone; {what}")

    def _reload(self, path: Path, before: _Read | None, server: LocalScout) -> None:
        from scout import ScoutError

        content: bytes | None = None
        try:
            content = path.read_bytes()
            if before is not None and content == before.content:
                self._read[path] = before
                return
            key, said = self._deploy(path, server)
        except (OSError, ScoutError, _exits.UsageError) as error:
            problem = f"{path} cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
            failure = content, problem
            if failure != self._failures.get(path):
                talk(f"not reloaded: {problem}")
            self._failures[path] = failure
            if before is not None:
                self._read[path] = before._replace(content=None)
            return
        self._read[path] = _Read(content, key)
        self._done(path, said)

    def _done(self, path: Path, said: str) -> None:
        talk(said)
        self._failures.pop(path, None)
        for other in self._failures:  # its key may be free now
            self._watched.forget(other)

    def _deploy(self, path: Path, server: LocalScout) -> tuple[str | None, str]:
        """Deploy a file to a server, and return the key of its workflow and the message."""
        if path == self._stubs:
            server.replace_stubs(path)
            return None, f"reloaded the stubs from {path}"
        from scout import ConfigurationError

        key, loaded = self._load(path)
        is_new = key not in server.workflow_ids
        try:
            revision_id = server.deploy(key, loaded.config)
        except ConfigurationError as error:
            raise _exits.UsageError(_mistakes_in(loaded) or f"{path}: {error}") from None
        if is_new:
            return key, f"stored {key} from {path}: {server.workflow_ids.get(key)}, revision {revision_id}"
        return key, f"reloaded {key} from {path}: revision {revision_id}"

    def _load(self, path: Path) -> tuple[str, LoadedWorkflow]:
        """Return a workflow and its key."""
        from scout import load_workflow

        loaded = load_workflow(path, require_fields=True)
        key = loaded.key or (path.parent.name if path.stem == "workflow" else path.stem)
        for other, read in self._read.items():
            if read.key == key:
                raise _exits.UsageError(f"{path} has the same key as {other}: {key}")
        return key, loaded

    def _paths(self) -> Iterator[Path]:
        """Yield the paths of the files: those in the folder, one in each subfolder, and that of the stubs."""
        if self._stubs is not None:
            yield self._stubs
        for path in () if self._folder is None else self._folder.iterdir():
            if path.name.startswith("."):
                continue  # settings and locks of programs
            if path.is_dir():
                yield from (path / f"workflow{suffix}" for suffix in _search.SUFFIXES)
            elif path.suffix in _search.SUFFIXES and path.name != _local_options.STUBS:
                yield path


def _mistakes_in(workflow: LoadedWorkflow) -> str:
    """Return the mistakes in a workflow from a file that `scout check` finds, with their places."""
    from scout import Severity, check

    problems = [each for each in check(workflow) if each.severity is Severity.ERROR and each.path == workflow.path]
    return "; ".join(map(_checks.text_of, problems))
