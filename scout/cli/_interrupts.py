"""Ctrl-C: the first one ends the command in order, the second one at once. A batch finishes what runs before."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading

TYPE_CHECKING = False  # as in `_command`

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

_EXIT_CODE = 130
_SHOW_CURSOR = b"\x1b[?25h"


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


class _State:
    """State of the process."""

    in_order = 1  # how many times Ctrl-C ends the command in order; the next time ends the process at once


@contextlib.contextmanager
def first_calls(stop: Callable[[], None]) -> Generator[None]:
    """Call a function at the first Ctrl-C in this context, which goes on. The second one is as the first elsewhere.

    Args:
        stop: The function. It is called in a thread of its own, so that it may wait for locks and print, which a
            handler of signals must not.
    """
    before = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or before not in (_interrupt, signal.default_int_handler):
        yield
        return
    calls: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def note(*_: Any) -> None:
        signal.signal(signal.SIGINT, before)
        _State.in_order += 1
        calls.put(True)

    def wait() -> None:
        if calls.get():
            stop()

    thread = threading.Thread(target=wait, name="scout-stop", daemon=True)
    thread.start()
    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is note:
            signal.signal(signal.SIGINT, before)
        calls.put(False)
        thread.join()


def _is_ours() -> bool:
    # Shells ignore SIGINT for the background jobs of a script.
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _interrupt(*_: Any) -> None:
    signal.signal(signal.SIGINT, _leave)
    raise KeyboardInterrupt


def _leave(*_: Any) -> None:
    with contextlib.suppress(OSError):
        if os.isatty(2):
            os.write(2, _SHOW_CURSOR)  # which is hidden while a bar moves
    os._exit(_EXIT_CODE)


def _watch() -> None:
    """End the process at the last Ctrl-C, even when the main thread is not in Python.

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
            if interrupts > _State.in_order:
                _leave()

    threading.Thread(target=count, name="scout-interrupts", daemon=True).start()
