"""Files that are written as a whole, or not at all. `cli/` uses it as well."""

from __future__ import annotations

import os
import stat
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(target: Path, data: bytes, *, overwrite: bool) -> None:
    """Write a new file beside the target, and rename it, so that the target is never half written.

    Args:
        target: The path of the file, which is not that of a link.
        data: The content.
        overwrite: Replace an existing file. Its permissions are kept.

    Raises:
        FileExistsError: the file exists, and must not be replaced.
        OSError: it cannot be written.
        ValueError: its name cannot be that of a file.
    """
    mode = _mode_to_keep(target, overwrite=overwrite)
    temporary = target.with_name(f".{os.urandom(8).hex()}.tmp")

    def opener(path: str, flags: int) -> int:
        return os.open(path, flags, 0o666 if mode is None else mode)

    try:
        with open(temporary, "xb", opener=opener) as file:
            if mode is not None:
                temporary.chmod(mode)  # with the bits that the umask removed
            file.write(data)
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


def _mode_to_keep(target: Path, *, overwrite: bool) -> int | None:
    """Return the permissions of the file that will be replaced; `None` when it does not exist.

    Raises:
        OSError: it must not be replaced.
    """
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise OSError(0, "it is a folder or a device, and not a file")
    if not overwrite:
        raise FileExistsError(0, "it exists already")
    target.open("r+b").close()  # raises for a read-only file, which is not replaced
    return stat.S_IMODE(mode)
