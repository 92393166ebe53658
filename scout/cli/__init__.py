"""The `scout` command.

`main` imports everything else inside, so that Ctrl-C ends the command without a traceback while it is being imported.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in `scout`: to import `typing` would take longer than all the rest of this file

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code. By default, `argv` are the arguments of the process."""
    try:
        from scout.cli._command import run_command, run_process

        return run_process() if argv is None else run_command(argv)
    except KeyboardInterrupt:
        return 130  # 128 + SIGINT, the convention of shells
