"""Ctrl-C: the first one ends the command in order, the second one at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading

TYPE_CHECKING = False  # as in `_command`

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

_EXIT_CODE = 130


@contextlib.contextmanager
def handled() -> Generator[None]:
    """Handle Ctrl-C for the rest of the process. Does nothing where SIGINT is ignored or handled already."""
    if not _is_ours():
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    _watch()
    try:
        yield
    finally:
        # Everything has been written. Python would print a traceback of Ctrl-C while it shuts down.
        signal.signal(signal.SIGINT, _leave)


def _is_ours() -> bool:
    # Shells ignore SIGINT for the background jobs of a script.
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _interrupt(*_: Any) -> None:
    signal.signal(signal.SIGINT, _leave)
    raise KeyboardInterrupt


def _leave(*_: Any) -> None:
    os._exit(_EXIT_CODE)


def _watch() -> None:
    """End the process at the second Ctrl-C, even when the main thread is not in Python.

    Python calls handlers of signals in the main thread only, and not before a function in C, such as the look-up of a
    host name, has returned. It writes the number of each signal to this pipe at once.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def count() -> None:
        interrupts = 0
        while numbers := os.read(reader, 1):
            interrupts += numbers[0] == signal.SIGINT
            if interrupts == 2:
                _leave()

    threading.Thread(target=count, name="scout-interrupts", daemon=True).start()
