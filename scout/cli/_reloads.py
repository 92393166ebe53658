"""The files of `scout local`, its workflows and stubs: read at the start, and again whenever they change."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from scout.cli import _checks, _exits, _local_options, _search
from scout.cli._terminal import talk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scout import LoadedWorkflow
    from scout.local import LocalScout


class _File(NamedTuple):
    """A file as it was read last."""

    state: object
    content: bytes | None  # None when it could not be read
    key: str | None  # of the workflow that is stored from it
    problem: str = ""  # why it is not stored as it is now


class Reloads:
    """The files of a server, which are deployed to it when they change.

    Args:
        folder: The folder of workflows; `None` for none.
        stubs: The file of stubs, which need not exist; `None` for none.

    Raises:
        UsageError: The folder is not one, the API would refuse a workflow, or two files have the same key.
        WorkflowFileError: A file is not a workflow.
        OSError: A file cannot be read.
    """

    def __init__(self, folder: Path | None, stubs: Path | None) -> None:
        if folder is not None and not folder.is_dir():
            raise _exits.UsageError(f"--workflows names {folder}, which is not a folder")
        self._folder = folder
        self._stubs = stubs
        self._seen = self._find()  # before the files are read, so that no change is lost
        self._files: dict[Path, _File] = {}
        self._obstacle = ""
        self.workflows: dict[str, Mapping[str, Any]] = {}
        for path, state in sorted(self._seen.items()):
            content, key = path.read_bytes(), None
            if path != stubs:
                key, loaded = self._load(path)
                self.workflows[key] = loaded.config
            self._files[path] = _File(state, content, key)

    def look(self, server: LocalScout) -> None:
        """Deploy what has changed to a server, and say so.

        A change counts once two looks have seen the same, so that a file is not read while it is written or replaced.
        """
        try:
            before, self._seen = self._seen, self._find()
        except OSError as error:
            obstacle = f"{error.filename} cannot be read: {error.strerror}; no file is reloaded until it can be read"
            if obstacle != self._obstacle:
                talk(obstacle)
            self._obstacle = obstacle
            return
        self._obstacle = ""
        files, now = self._files, self._seen
        steady = [path for path in {**files, **before} if now.get(path) == before.get(path)]
        changed = {path for path in steady if path not in files or now.get(path) != files[path].state}
        if not changed:
            return
        # With those that failed: the key of another file may be free now. All of them leave their keys first, because
        # one may take that of another.
        read = {path: files.pop(path, None) for path in steady if path in changed or files[path].problem}
        for path in sorted(read, key=lambda path: (path in now, path)):  # those that are gone come first
            if path in now:
                files[path] = self._reload(path, read[path], server)
            elif path == self._stubs:
                talk(f"{path} is gone; the stubs from it stay")
            elif (old := read[path]) and old.key:
                talk(f"{path} is gone; {old.key} stays stored")

    def _reload(self, path: Path, before: _File | None, server: LocalScout) -> _File:
        from scout import ScoutError

        state, content, key = self._seen[path], None, None if before is None else before.key
        try:
            content = path.read_bytes()
            if before is not None and content == before.content and not before.problem:
                return before._replace(state=state)
            key, said = self._deploy(path, server)
        except (OSError, ScoutError, _exits.UsageError) as error:
            problem = f"{path} cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
            if before is None or (content, problem) != (before.content, before.problem):
                talk(f"not reloaded: {problem}")
            return _File(state, content, key, problem)
        talk(said)
        return _File(state, content, key)

    def _deploy(self, path: Path, server: LocalScout) -> tuple[str | None, str]:
        """Deploy a file to a server, and return the key of its workflow and the message."""
        if path == self._stubs:
            server.replace_stubs(path)
            return None, f"reloaded the stubs from {path}"
        key, loaded = self._load(path)
        is_new = key not in server.workflow_ids
        revision_id = server.deploy(key, loaded.config)
        if is_new:
            return key, f"stored {key} from {path}: {server.workflow_ids.get(key)}, revision {revision_id}"
        return key, f"reloaded {key} from {path}: revision {revision_id}"

    def _load(self, path: Path) -> tuple[str, LoadedWorkflow]:
        """Return a workflow and its key."""
        from scout import check, load_workflow

        loaded = load_workflow(path, require_fields=True)
        # What the API would refuse, with the places in the file.
        if wrong := [each for each in check(loaded) if each.code in ("SW010", "SW011") and each.path == loaded.path]:
            raise _exits.UsageError("; ".join(map(_checks.text_of, wrong)))
        key = loaded.key or (path.parent.name if path.stem == "workflow" else path.stem)
        for other, read in self._files.items():
            if read.key == key:
                raise _exits.UsageError(f"{path} has the same key as {other}: {key}")
        return key, loaded

    def _find(self) -> dict[Path, object]:
        """Return the files that there are, each with what changes when it does."""
        found = ((path, _state_of(path)) for path in self._paths())
        return {path: state for path, state in found if state is not None}

    def _paths(self) -> Iterator[Path]:
        """Yield paths at which files may be: those in the folder, one in each subfolder, and that of the stubs."""
        if self._stubs is not None:
            yield self._stubs
        for path in () if self._folder is None else self._folder.iterdir():
            if path.name.startswith("."):
                continue  # settings and locks of programs
            if path.is_dir():
                yield from (path / f"workflow{suffix}" for suffix in _search.SUFFIXES)
            elif path.suffix in _search.SUFFIXES and path.name != _local_options.STUBS:
                yield path


def _state_of(path: Path) -> object:
    """Return a value that changes with a file; `None` when it does not exist."""
    try:
        found = path.stat()
    except OSError as error:
        is_missing = isinstance(error, (FileNotFoundError, NotADirectoryError)) and not path.is_symlink()
        return None if is_missing else error.strerror  # such as a link to nothing: to read it gives the reason
    if not stat.S_ISREG(found.st_mode):
        return None
    # With the time of changes of the permissions, after which a file may be readable.
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
