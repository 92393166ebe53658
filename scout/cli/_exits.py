"""Exit codes of the `scout` command, and the explanation of errors."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from scout.cli._advice import about_option, in_options
from scout.cli._terminal import talk

if TYPE_CHECKING:
    from collections.abc import Generator

    from scout import ScoutError

# The table in docs/command-line.md has more words.
DONE = 0
RUN_FAILED = 1
PROBLEMS = 1  # problems or differences were found
USAGE = 2  # the user can mend it: the command line, the environment, a file, or a request that the API refused
API = 3  # it may pass when tried again: Scout or the network failed
INTERRUPTED = 130  # 128 + SIGINT, the convention of shells
BROKEN_PIPE = 141  # 128 + SIGPIPE: the reader of stdout has exited

# Statuses below 500 that say nothing against the request.
_MAY_PASS = (408, 429)


class UsageError(Exception):
    """An error in the command line, the environment or a file, which the user can correct."""


_UNKNOWN_OUTCOME = "not repeated, because the run may have started; make sure before you run it again"
_NOT_FINISHED = "this is not the whole answer; the run may go on, so make sure before you run it again"


def explain(error: ScoutError, *places: str, unknown_outcome: str = _UNKNOWN_OUTCOME) -> int:
    """Print an error on stderr, and return its exit code.

    Args:
        error: The error.
        places: Further messages, which say where in a file the error is.
        unknown_outcome: A further message, for a request of which it is unknown whether the server processed it.
    """
    from scout import APIError, ConfigurationError, StreamError

    text = in_options(str(error))
    talk(about_option(text) if isinstance(error, ConfigurationError) else text)
    for place in places:
        talk(place)
    if isinstance(error, StreamError) or getattr(error, "run", None) is not None:
        talk(_NOT_FINISHED)
    elif isinstance(error, APIError) and error.run_may_have_started:
        talk(unknown_outcome)
    return _code(error)


def _code(error: ScoutError) -> int:
    from scout import APIStatusError, ConfigurationError, WorkflowFileError

    match error:
        case ConfigurationError() | WorkflowFileError():
            return USAGE
        case APIStatusError(status=status):
            return API if status in _MAY_PASS or status >= 500 else USAGE
        case _:
            return API


@contextlib.contextmanager
def interrupts_say(words: str) -> Generator[None]:
    """Add words to the message of a command that is interrupted in this context."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(words) from None
