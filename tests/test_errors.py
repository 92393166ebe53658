"""Every exception: the tree as it is drawn, what each carries, and that all of them travel."""

import copy
import inspect
import pickle
import re
from typing import Any

import pytest

from scout import Attempt, BlockRun, Run, RunStatus, ScoutError, errors
from scout._answers import Answer, status_error

CLASSES: dict[str, type[ScoutError]] = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, ScoutError) and value.__module__ == errors.__name__
}

RUN = Run(
    id="run_1",
    session_id="sess_1",
    workflow_id="wf_1",
    status=RunStatus("paused"),
    state={"answer": {"output": "half"}},
    errors=["out of tokens"],
    output_block_id="answer",
    blocks=[BlockRun("answer", status=RunStatus.FAILED)],
    raw={"run": {}},
)

STATUS: dict[str, Any] = {"status": 418, "body": {"detail": "no"}, "headers": {"x": "y"}, "request_id": "req_1"}

ARGUMENTS: dict[str, dict[str, Any]] = {
    "WorkflowFileError": {"path": "w.yml", "line": 3, "column": 5},
    "APIConnectionError": {"run_may_have_started": False},
    "APITimeoutError": {"limit": "connect", "seconds": 1.5, "run_may_have_started": False},
    "APIStatusError": STATUS,
    "BadRequestError": STATUS,
    "AuthenticationError": STATUS,
    "PermissionDeniedError": STATUS,
    "NotFoundError": STATUS,
    "ConflictError": STATUS,
    "UnprocessableEntityError": STATUS | {"details": ({"loc": ["body", 0], "msg": "missing"},)},
    "RateLimitError": STATUS | {"retry_after": 2.5, "run_may_have_started": False},
    "InternalServerError": STATUS,
    "APIResponseError": {"status": 200, "body": b"\xff<html>", "damaged": True},
    "StreamError": {"run": RUN, "last_event": {"name": "x"}},
    "StreamInterruptedError": {"run": RUN, "last_event": None},
    "StreamDecodeError": {"run": RUN, "data": b"{\xff"},
    "RunFailedError": {"run": RUN},
    "RunNotFinishedError": {"run": RUN},
    "RunOutputError": {"run": RUN},
    "RunUnknownError": {"session_id": "sess_1"},
    "JournalError": {"path": "batch.journal", "line": 3, "run_may_have_started": True},
}

ATTEMPTS = (
    Attempt(number=1, started=0.0, seconds=0.25, outcome="refused", run_may_have_started=False, wait=0.5),
    Attempt(number=2, started=0.75, seconds=0.5, outcome="refused", run_may_have_started=False),
)


def make(name: str) -> ScoutError:
    return CLASSES[name]("it went wrong", **ARGUMENTS.get(name, {}))


def drawn() -> dict[str, tuple[str, str]]:
    """The drawing in the docstring: class -> (its parent there, what stands beside it)."""
    tree: dict[str, tuple[str, str]] = {}
    above: list[str] = []
    drawing = inspect.cleandoc(errors.__doc__ or "").split("```")[1]
    for line in drawing.strip().splitlines():
        match = re.match(r"([│├└─ ]*)(\w+) *(.*)", line)
        assert match, line
        depth = len(match[1]) // 4
        above[depth:] = [match[2]]
        if depth:
            tree[match[2]] = (above[depth - 1], match[3])
    return tree


def test_the_drawing_names_every_class_once() -> None:
    assert {"ScoutError", *drawn()} == set(CLASSES)


@pytest.mark.parametrize("name", sorted(set(CLASSES) - {"ScoutError"}))
def test_a_class_stands_where_it_is_drawn(name: str) -> None:
    parent, _ = drawn()[name]

    assert CLASSES[name].__bases__[0] is CLASSES[parent]


def test_the_statuses_beside_the_drawing_are_those_that_give_the_class() -> None:
    statuses = {int(beside[:3]): name for name, (_, beside) in drawn().items() if re.match(r"\d{3}\b", beside)}

    assert statuses.keys() == {400, 401, 403, 404, 409, 422, 429, 500}
    for status, name in statuses.items():
        assert type(status_error(Answer(status, {}, b""))) is CLASSES[name]


def test_every_class_is_exported() -> None:
    assert set(errors.__all__) == {*CLASSES, "Attempt"}


def test_an_output_that_is_not_json_is_also_a_value_error() -> None:
    assert [name for name in CLASSES if issubclass(CLASSES[name], ValueError)] == ["RunOutputError"]


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_what_was_given_can_be_read(name: str) -> None:
    error = make(name)

    for attribute, value in ARGUMENTS.get(name, {}).items():
        assert getattr(error, attribute) == value


@pytest.mark.parametrize("way", ["pickle", "copy", "deepcopy"])
@pytest.mark.parametrize("name", sorted(CLASSES))
def test_an_error_travels_whole(name: str, way: str) -> None:
    error = make(name)
    error.attempts = ATTEMPTS
    error.add_note("seen in the morning")

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1) if way == "pickle" else [0]:
        twin = pickle.loads(pickle.dumps(error, protocol)) if way == "pickle" else getattr(copy, way)(error)

        assert type(twin) is type(error)
        assert twin.args == error.args
        assert vars(twin) == vars(error)
        assert str(twin) == str(error)


def test_the_run_travels_with_what_does_not_count_in_comparisons() -> None:
    twin = pickle.loads(pickle.dumps(make("RunFailedError")))

    assert twin.run.raw == RUN.raw
    assert twin.run.blocks == RUN.blocks


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_cause_that_cannot_travel_stays_behind(name: str) -> None:
    error = make(name)
    error.__cause__ = OSError(lambda: None)

    assert pickle.loads(pickle.dumps(error)).__cause__ is None


def test_a_class_of_the_callers_own_travels_too() -> None:
    twin = pickle.loads(pickle.dumps(Mine("no", status=400, body="", headers={}, colour="red")))

    assert (twin.colour, twin.status, str(twin)) == ("red", 400, "no")


class Mine(errors.BadRequestError):
    def __init__(self, message: str, *, colour: str, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.colour = colour


@pytest.mark.parametrize("attempts", [(), ATTEMPTS[:1]])
def test_one_attempt_is_not_worth_a_word(attempts: tuple[Attempt, ...]) -> None:
    error = make("APIConnectionError")
    error.attempts = attempts

    assert str(error) == "it went wrong"


def test_several_attempts_are_told_with_their_time() -> None:
    error = make("APIConnectionError")
    error.attempts = ATTEMPTS

    assert str(error) == "it went wrong [2 attempts in 1.2 s]"
    assert error.message == "it went wrong"


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_only_what_was_never_sent_is_certainly_not_started(name: str) -> None:
    plain = {key: value for key, value in ARGUMENTS.get(name, {}).items() if key != "run_may_have_started"}

    error = CLASSES[name]("it went wrong", **plain)

    assert error.run_may_have_started is (name not in ("ConfigurationError", "WorkflowFileError", "JournalError"))
    assert error.attempts == ()


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ({}, "workflow: is empty"),
        ({"path": "a/w.yml"}, "a/w.yml: is empty"),
        ({"path": "w.yml", "line": 3}, "w.yml, line 3: is empty"),
        ({"path": "w.yml", "line": 3, "column": 5}, "w.yml, line 3, column 5: is empty"),
    ],
)
def test_a_file_error_begins_with_its_place(place: dict[str, Any], text: str) -> None:
    error = errors.WorkflowFileError("is empty", **place)

    assert str(error) == text
    assert [error.path, error.line, error.column] == [place.get(key) for key in ("path", "line", "column")]


def test_headers_are_a_copy() -> None:
    headers = {"a": "b"}
    error = errors.NotFoundError("no", status=404, body="", headers=headers)

    headers["a"] = "c"

    assert error.headers == {"a": "b"}


def test_an_attempt_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        ATTEMPTS[0].outcome = "fine"  # type: ignore[misc]
