"""Exit codes of the `scout` command, and the one for an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scout.cli._terminal import talk

if TYPE_CHECKING:
    from scout import ScoutError

DONE = 0
RUN_FAILED = 1
USAGE = 2  # the command line, the environment or a file
API = 3  # Scout, or the network on the way to it
INTERRUPTED = 130  # 128 + SIGINT, as shells count
BROKEN_PIPE = 141  # 128 + SIGPIPE: the reader of our answer went away


class UsageError(Exception):
    """The command cannot do what it was asked, for a reason that its caller can put right."""


_UNKNOWN_OUTCOME = "not repeated, because the run may have started; make sure before you run it again"


def explain(error: ScoutError, *, unknown_outcome: str = _UNKNOWN_OUTCOME) -> int:
    """Say on stderr what went wrong; return the exit code for it.

    Args:
        error: What went wrong.
        unknown_outcome: Said as well when it is not known whether the server did what it was asked.
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
