"""Records of a journal: what became of a row, as one line of JSON, and back.

A file may come from anywhere: nothing in it names code, and an error is only ever one of `scout.errors`.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from enum import IntEnum
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

from scout import errors
from scout._json import NOT_JSON, is_dict, is_list, parse_json, shorten, write_json
from scout.errors import Attempt, ConfigurationError, RunFailedError, RunUnknownError, ScoutError
from scout.results import Run

from ._items import BatchItem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "Kind",
    "Record",
    "as_line",
    "batch_record",
    "finished_record",
    "item_in",
    "read_record",
    "redacted",
    "started_record",
]

Fields = dict[str, Any]
"""The object in a line."""


class Kind(IntEnum):
    """What a record says about its row."""

    STARTED = 1
    """The run was about to be sent."""
    ENDED = 2
    """The run completed or failed."""
    LOST = 3
    """The call failed, and the run may have started."""
    UNSENT = 4
    """It is certain that the run did not start."""
    SKIPPED = 5
    """Nobody wants to know any more whether the run started."""
    BATCH = 6
    """A batch begins; its key says what its rows share."""


class Record(NamedTuple):
    """A line that was read: what it says, the key of the row that it is about, and all of it."""

    kind: Kind
    key: str
    fields: Fields


# --- Writing ------------------------------------------------------------------------------------------------------


def as_line(record: Fields) -> bytes:
    """Return a record as one line.

    Raises:
        TypeError: JSON cannot represent a part of it.
        ValueError: a number in it has more digits than Python writes.
        RecursionError: it is nested too deeply.
    """
    text = write_json(record, compact=True)
    if not text.isascii():
        try:
            return text.encode() + b"\n"
        except UnicodeEncodeError:  # half a surrogate pair, which only an escape can represent
            text = write_json(record, compact=True, ascii_only=True)
    return text.encode() + b"\n"


def now() -> str:
    """Return the time, as records name it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def batch_record(scope: str) -> Fields:
    """Return the record of a batch that begins."""
    return {"batch": scope, "at": now()}


def started_record(key: str, index: int, session_id: str | None) -> Fields:
    """Return the record of a run that is about to be sent."""
    return {"started": key, "index": index, "at": now(), "session_id": session_id}


def finished_record(item: BatchItem) -> Fields:
    """Return the record of a row whose call has ended."""
    return {
        "finished": item.key,
        "index": item.index,
        "at": now(),
        "attempts": item.attempts,
        "seconds": item.seconds,
        "session_id": item.session_id,
        "run": None if item.run is None else item.run.to_dict(decimals=True),
        "error": None if item.error is None else _error_to_dict(item.error, item.run),
    }


def redacted(record: Fields, redact: Callable[[Any], Any]) -> Fields:
    """Return a record without what `redact` replaces: a server may echo the API key, also in a run."""
    clean = dict(record)
    for part in ("run", "error"):
        if is_dict(record[part]):  # the names of the fields remain, whatever the key is
            clean[part] = {name: redact(value) for name, value in record[part].items()}
    return clean


# --- Reading ------------------------------------------------------------------------------------------------------

_KINDS = {"started": Kind.STARTED, "refused": Kind.UNSENT, "skipped": Kind.SKIPPED, "batch": Kind.BATCH}
_NAMES = "finished", *_KINDS


def read_record(line: bytes) -> Record | None:
    """Return the record in a line; `None` when there is none."""
    try:
        fields = parse_json(line.decode())
    except NOT_JSON:
        return None
    if not is_dict(fields):
        return None
    name = next((name for name in _NAMES if name in fields), "")
    kind = _kind_of_end(fields.get("run"), fields.get("error")) if name == "finished" else _KINDS.get(name)
    key = fields.get(name)
    return None if kind is None or not isinstance(key, str) else Record(kind, key, fields)


def _kind_of_end(run: Any, error: Any) -> Kind | None:
    if error is None:
        return Kind.ENDED if is_dict(run) else None
    if not is_dict(error):
        return None
    if error.get("class") == RunFailedError.__name__:
        return Kind.ENDED
    return Kind.UNSENT if error.get("run_may_have_started") is False else Kind.LOST


def item_in(record: Record, index: int, inputs: Mapping[str, Any]) -> BatchItem:
    """Return the item of a row, from its record in the journal of an earlier batch.

    Raises:
        ConfigurationError: the record does not hold what it should.
    """
    kind, key, fields = record
    session_id = fields.get("session_id")
    if not isinstance(session_id, str | None):
        raise ConfigurationError("the session_id is not text")
    if kind == Kind.STARTED:
        error = RunUnknownError(_unknown(session_id), session_id=session_id)
        return BatchItem(index, key, inputs, error=error, session_id=session_id, resumed=True)
    attempts, seconds = fields.get("attempts"), fields.get("seconds")
    if not isinstance(attempts, int) or not isinstance(seconds, int | float):
        raise ConfigurationError("attempts and seconds are not numbers")
    run = None if fields.get("run") is None else Run.from_dict(fields["run"])
    failure = None if fields.get("error") is None else _error_from_dict(fields["error"], run)
    if failure is not None and session_id is not None:
        failure.session_id = session_id
    return BatchItem(index, key, inputs, run, failure, attempts, float(seconds), session_id, resumed=True)


def _unknown(session_id: str | None) -> str:
    found = "" if session_id is None else f"; its session is {shorten(session_id, 100)}"
    return (
        "an earlier batch was interrupted between the sending of this row and its answer, so that its run may have "
        f'started{found}; unknown="rerun" sends it again, unknown="skip" leaves it'
    )


# --- Errors -------------------------------------------------------------------------------------------------------

_ERRORS: dict[str, type[ScoutError]] = {
    name: value
    for name in errors.__all__
    if isinstance(value := getattr(errors, name), type) and issubclass(value, ScoutError)
}

# The attributes that are recorded, with their types. Headers are left out, because they may hold cookies, and so is the
# last event of a stream, whose part in the run is recorded with that.
_ATTRIBUTES: dict[type[ScoutError], dict[str, tuple[type, ...]]] = {
    errors.WorkflowFileError: {
        "problem": (str,),
        "path": (str, NoneType),
        "line": (int, NoneType),
        "column": (int, NoneType),
    },
    errors.APITimeoutError: {"limit": (str,), "seconds": (int, float)},
    errors.APIStatusError: {"status": (int,), "body": (object,), "request_id": (str, NoneType)},
    errors.UnprocessableEntityError: {"details": (list,)},
    errors.RateLimitError: {"retry_after": (int, float, NoneType)},
    errors.APIResponseError: {"status": (int,), "body": (bytes,), "damaged": (bool,)},
    errors.StreamDecodeError: {"data": (bytes,)},
    errors.RunUnknownError: {"session_id": (str, NoneType), "workflow_id": (str, NoneType)},
    errors.JournalError: {"problem": (str,), "path": (str,), "line": (int, NoneType)},
}
_WITH_A_RUN = errors.StreamError, errors.RunFailedError, errors.RunNotFinishedError, errors.RunOutputError


def _attributes(kind: type[ScoutError]) -> dict[str, tuple[type, ...]]:
    return {
        name: types for each, named in _ATTRIBUTES.items() if issubclass(kind, each) for name, types in named.items()
    }


def _error_to_dict(error: ScoutError, run: Run | None) -> Fields:
    kind = next(each for each in type(error).__mro__ if _ERRORS.get(each.__name__) is each)
    attributes = {name: getattr(error, name) for name in _attributes(kind)}
    own_run: Run | None = getattr(error, "run", None)
    return {
        "class": kind.__name__,
        "message": error.message,
        "run_may_have_started": error.run_may_have_started,
        "attempts": [
            [each.number, each.started, each.seconds, each.outcome, each.run_may_have_started, each.wait]
            for each in error.attempts
        ],
        **{name: _bytes_as_text(value) for name, value in attributes.items()},
        **({} if own_run is None or own_run is run else {"run": own_run.to_dict(decimals=True)}),
    }


def _bytes_as_text(value: Any) -> Any:
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _error_from_dict(data: Fields, run: Run | None) -> ScoutError:
    """Return the error that was recorded; a `ScoutError` where its class or its attributes are not known."""
    message = data.get("message")
    if not isinstance(message, str):
        raise ConfigurationError("the message of the error is not text")
    kind = _ERRORS.get(str(data.get("class")), ScoutError)
    own_run = Run.from_dict(data["run"]) if is_dict(data.get("run")) else run
    try:
        # A journal of an earlier version lacks what was added since, which may be `None`.
        facts = {
            name: _fact(data.get(name) if NoneType in types else data[name], types)
            for name, types in _attributes(kind).items()
        }
    except (LookupError, TypeError, ValueError):
        kind, facts = ScoutError, {}
    if issubclass(kind, errors.APIStatusError):
        facts["headers"] = {}
    if issubclass(kind, _WITH_A_RUN) and own_run is None:
        kind = ScoutError
    if issubclass(kind, errors.StreamError):
        facts["last_event"] = None
    if own_run is not None and issubclass(kind, (*_WITH_A_RUN, errors.APITimeoutError)):
        facts |= {"run": own_run, "session_id": own_run.session_id, "workflow_id": own_run.workflow_id}
    # Not by the constructors, several of which put a place before the message.
    error = kind.__new__(kind, message)
    vars(error).update(
        facts,
        message=message,
        run_may_have_started=data.get("run_may_have_started") is not False,
        attempts=_attempts(data.get("attempts")),
    )
    return error


def _fact(value: Any, types: tuple[type, ...]) -> Any:
    if types == (bytes,):
        return base64.b64decode(value["base64"], validate=True)
    if not isinstance(value, types):
        raise TypeError
    return value


def _attempts(data: Any) -> tuple[Attempt, ...]:
    if not is_list(data) or not all(is_list(each) and _is_attempt(*each) for each in data):
        return ()
    return tuple(Attempt(*each) for each in data)


def _is_attempt(*facts: Any) -> bool:
    types = int, int | float, int | float, str, bool, int | float | None
    return len(facts) == len(types) and all(map(isinstance, facts, types))
