"""Exit codes of the `scout` command, and the explanation of errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scout.cli._terminal import talk

if TYPE_CHECKING:
    from scout import ScoutError

DONE = 0
RUN_FAILED = 1
USAGE = 2  # the command line, the environment or a file
API = 3  # Scout or the network failed
INTERRUPTED = 130  # 128 + SIGINT, the convention of shells
BROKEN_PIPE = 141  # 128 + SIGPIPE: the reader of stdout has exited


class UsageError(Exception):
    """An error in the command line, the environment or a file, which the user can correct."""


_UNKNOWN_OUTCOME = "not repeated, because the run may have started; make sure before you run it again"


def explain(error: ScoutError, *, unknown_outcome: str = _UNKNOWN_OUTCOME) -> int:
    """Print an error on stderr, and return its exit code.

    Args:
        error: The error.
        unknown_outcome: A further message, for a request of which it is unknown whether the server processed it.
    """
    from scout import APIError, ConfigurationError, StreamError, WorkflowFileError

    talk(str(error))
    if isinstance(error, (ConfigurationError, WorkflowFileError)):
        return USAGE
    if isinstance(error, StreamError) or getattr(error, "run", None) is not None:
        talk("this is not the whole answer; the run may go on, so make sure before you run it again")
    elif isinstance(error, APIError) and error.run_may_have_started:
        talk(unknown_outcome)
    return API
