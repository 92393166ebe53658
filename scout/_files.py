"""Files that are written as a whole, or not at all. `cli/` uses it as well."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(target: Path, data: bytes | Iterable[bytes], *, overwrite: bool) -> None:
    """Write a new file beside the target, and rename it, so that the target is never half written.

    Args:
        target: The path of the file, which is not that of a link.
        data: The content, or the parts of it.
        overwrite: Replace an existing file. Its permissions are kept, and its owner where that is allowed.

    Raises:
        FileExistsError: the file exists, and must not be replaced.
        OSError: it cannot be written.
        ValueError: its name cannot be that of a file.
    """
    existing = _existing(target, overwrite=overwrite)
    mode = None if existing is None else stat.S_IMODE(existing.st_mode)
    temporary = target.with_name(f".{os.urandom(8).hex()}.tmp")

    def opener(path: str, flags: int) -> int:
        return os.open(path, flags, 0o666 if mode is None else mode)

    try:
        with open(temporary, "xb", opener=opener) as file:
            if existing is not None and mode is not None:
                _keep_owner(temporary, existing)
                temporary.chmod(mode)  # with the bits that the umask, or a new owner, removed
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            temporary.replace(target)
            return
        try:
            target.hardlink_to(temporary)  # unlike replace, never over another file
        except OSError:  # it exists, or the file system has no hard links: reserve the name first
            target.touch(exist_ok=False)
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _existing(target: Path, *, overwrite: bool) -> os.stat_result | None:
    """Return the facts of the file that will be replaced; `None` when it does not exist.

    Raises:
        OSError: it must not be replaced.
    """
    try:
        found = target.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise OSError(0, "it is a folder or a device, and not a file")
    if not overwrite:
        raise FileExistsError(0, "it exists already")
    target.open("r+b").close()  # raises for a read-only file, which is not replaced
    return found


def _keep_owner(temporary: Path, existing: os.stat_result) -> None:
    """Give a file to the owner of another, where that is allowed: to root, such as in a container."""
    owner = existing.st_uid, existing.st_gid
    found = temporary.stat()
    if sys.platform != "win32" and owner != (found.st_uid, found.st_gid):
        with contextlib.suppress(PermissionError):
            os.chown(temporary, *owner)
