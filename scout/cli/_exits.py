"""Exit codes of the `scout` command, and the explanation of errors: messages on stderr, and JSON for programs."""

from __future__ import annotations

import contextlib
import os

from scout.cli._advice import about_option, in_options
from scout.cli._terminal import answer, as_json, talk

TYPE_CHECKING = False  # as in `_command`

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator, Mapping, Sequence
    from typing import Any

    from scout import ScoutError
    from scout.cli._places import Place

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
    """An error in the command line, the environment or a file, which the user can correct.

    Args:
        message: The message.
        facts: Further fields of its JSON, as in `report`.
    """

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.facts = facts


# --- Errors as JSON -------------------------------------------------------------------------------------------------


class _State:
    """State of the command that is carried out."""

    as_json = False
    run: Mapping[str, Any] | None = None  # as far as it is known when the command is interrupted
    connection: Sequence[str] | None = None  # the options with which `scout runs` reaches the log of the run
    ids: tuple[str | None, str | None] = (None, None)  # of the workflow and of the session that were sent


_state = _State()


def begin(*, as_json: bool) -> None:
    """Begin a command, whose errors are printed as JSON as well when that was asked for with `--json`."""
    _state.as_json, _state.run, _state.connection, _state.ids = as_json, None, None, (None, None)


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """Add `--json` to the section "output" of a command, whose help says what it prints."""
    parser.add_argument_group("output").add_argument("--json", action="store_true", help=f"{what}; errors as well")


def keep(run: Mapping[str, Any]) -> None:
    """Keep what is known of a run, for the error of a command that is interrupted."""
    _state.run = run


def name_the_log(connection: Sequence[str], workflow_id: str | None, session_id: str | None) -> None:
    """Name the command that asks the log, from now on, whenever a run may have started and there is no answer.

    Args:
        connection: The options with which the command reaches the server of the run.
        workflow_id: The workflow that is sent, as the command takes it; `None` for a config.
        session_id: The session that is sent.
    """
    _state.connection, _state.ids = connection, (workflow_id, session_id)


def hold_in_result() -> None:
    """Print no error as JSON from now on, because the result of the command, itself JSON, holds the errors."""
    _state.as_json = False


def report(
    kind: str, message: str, exit_code: int, *, run_may_have_started: bool = False, run: Any = None, **facts: Any
) -> int:
    """Print an error as a JSON object on stdout if the command has `--json`, and return its exit code.

    Args:
        kind: The class of the error.
        message: Its message, as on stderr.
        exit_code: The exit code.
        run_may_have_started: As in `ScoutError`.
        run: The run as far as it is known, as JSON; by default that of `keep`.
        facts: Further facts; the values that are `None` are left out.
    """
    if _state.as_json:
        known = {**facts, "run": _state.run if run is None else run}
        error = {"type": kind, "message": message, "run_may_have_started": run_may_have_started, "exit_code": exit_code}
        error |= {name: value for name, value in known.items() if value is not None}
        answer(as_json({"error": without_key(error)}), json=True)
    return exit_code


def without_key(value: Any) -> Any:
    """Return what is printed for programs or written to a file without the API key, which a server may repeat."""
    from scout._json import redact

    return redact(value, [os.environ.get("SCOUT_API_KEY", "")])


def refuse(message: str, **facts: Any) -> int:
    """Print the message of an error that the user can correct, and return its exit code. The facts are for `report`."""
    message = in_options(message)
    talk(message)
    return report("UsageError", message, USAGE, **facts)


# --- Errors of the package ------------------------------------------------------------------------------------------

_UNKNOWN_OUTCOME = "not repeated, because the run may have started; make sure before you run it again"
_NOT_FINISHED = "this is not the whole answer; the run may go on, so make sure before you run it again"


def explain(error: ScoutError, *places: Place, unknown_outcome: str = _UNKNOWN_OUTCOME, run: Any = None) -> int:
    """Print an error on stderr, and as JSON if the command has `--json`, and return its exit code.

    Args:
        error: The error.
        places: The places in a file that the error is about, each with a message.
        unknown_outcome: A further message, for a request of which it is unknown whether the server processed it.
        run: The run of the error, as JSON.
    """
    from scout import APIError, ConfigurationError, StreamError

    text = in_options(str(error))
    text = about_option(text) if isinstance(error, ConfigurationError) else text
    talk(text)
    for place in places:
        talk(str(place))
    for note in getattr(error, "__notes__", ()):
        talk(note)
    if isinstance(error, StreamError) or getattr(error, "run", None) is not None:
        talk(_NOT_FINISHED)
    elif isinstance(error, APIError) and error.run_may_have_started:
        talk(unknown_outcome)
    facts = _facts(error, places)
    if error.run_may_have_started:
        name_command(error.workflow_id, error.session_id)
    may_have_started = error.run_may_have_started
    return report(type(error).__name__, text, code_of(error), run_may_have_started=may_have_started, run=run, **facts)


def name_command(workflow_id: str | None, session_id: str | None) -> None:
    """Print the command that asks the log what became of a run, if the log can be asked."""
    if _state.connection is not None and workflow_id and session_id:
        talk(f"to find out what became of it: {find_command(_state.connection, workflow_id, session_id)}")


def find_command(connection: Sequence[str], workflow_id: str, session_id: str) -> str:
    """Return the command that asks the log what became of the run of a session, for a shell."""
    import shlex

    ids = [workflow_id, session_id]
    end_of_options = ["--"] if any(each.startswith("-") for each in ids) else []
    return shlex.join(["scout", "runs", "find", *connection, *end_of_options, *ids])


def code_of(error: ScoutError) -> int:
    """Return the exit code of an error."""
    from scout import APIStatusError, ConfigurationError, JournalError, WorkflowFileError

    match error:
        case ConfigurationError() | JournalError() | WorkflowFileError():
            return USAGE
        case APIStatusError(status=status):
            return API if status in _MAY_PASS or status >= 500 else USAGE
        case _:
            return API


def _facts(error: ScoutError, places: tuple[Place, ...]) -> dict[str, Any]:
    """Return what an error knows beside its message; `None` for what it does not know."""
    names = ("status", "request_id", "retry_after", "workflow_id", "session_id", "path", "line", "column")
    facts = {name: getattr(error, name, None) for name in names}
    if places:
        facts |= {name: getattr(places[0], name) for name in ("path", "line", "column")}
        facts["places"] = [place.as_json() for place in places]
    facts["code"] = _code_in(getattr(error, "body", None))
    return facts


def _code_in(body: object) -> str | int | None:
    """Return the code that an API gives to an error in the body of its response."""
    from collections.abc import Mapping
    from typing import cast

    if not isinstance(body, Mapping):
        return None
    whole = cast("Mapping[str, Any]", body)
    parts = (whole, whole.get("detail"), whole.get("error"))
    codes = (cast("Mapping[str, Any]", part).get("code") for part in parts if isinstance(part, Mapping))
    return next((code for code in codes if isinstance(code, str | int)), None)


def ids_of_run() -> dict[str, str | None]:
    """Return the ids of the workflow and the session of a run that is interrupted, as far as they are known."""
    sent = dict(zip(("workflow_id", "session_id"), _state.ids, strict=True))
    return {name: (_state.run or {}).get(name) or known for name, known in sent.items()}


@contextlib.contextmanager
def interrupts_say(words: str) -> Generator[None]:
    """Add words to the message of a command that is interrupted in this context."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(words) from None
