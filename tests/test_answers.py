"""A body becomes a run or an error. Without a server: `test_statuses.py` has one."""

import json
import math
import sys
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import pytest
from scout_generated.models.workflow_run_response import WorkflowRunResponse
from servers import run_answer

from scout import (
    APIResponseError,
    APIStatusError,
    BlockRun,
    RunStatus,
    UnprocessableEntityError,
)
from scout._answers import Answer, read_page, read_run, read_workflow, status_error
from scout.workflow_files import LoadedWorkflow

EMPTY = LoadedWorkflow({"blocks": []})


def answer(body: object, status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, body if isinstance(body, bytes) else json.dumps(body).encode())


def block(block_id: str, **more: Any) -> dict[str, Any]:
    return {"block_id": block_id, "block_archetype_id": "t", "block_display_name": "d", **more}


def sent(*blocks: dict[str, Any]) -> LoadedWorkflow:
    return LoadedWorkflow({"blocks": list(blocks)})


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


# --- Runs ---------------------------------------------------------------------------------------------------------


def test_a_complete_answer() -> None:
    body = run_answer("Hello", errors=["careful"])

    run = read_run(answer(body), EMPTY)

    assert (run.id, run.session_id, run.workflow_id) == ("run_1", "sess_1", "wf_1")
    assert run.status is RunStatus.COMPLETED
    assert (run.output, run.errors, run.output_block_id) == ("Hello", ["careful"], "answer")
    assert run.state == body["run"]["state"]
    assert run.raw == body
    assert run.blocks == []


def test_meta_of_a_block_tells_of_its_model_and_its_price() -> None:
    meta = {"model": "gpt-4o", "input_tokens": 21, "output_tokens": 96.0, "cost": "0.0025"}
    state = {
        "inputs": {"meta": "of the caller"},
        "answer": {"output": "Hello", "meta": meta},
        "plain": {"output": "Hi"},
        "text": "Hi",
        "odd": {"meta": {"model": 5, "input_tokens": -1, "output_tokens": True, "cost": [1]}},
        "__exp_global": {"meta": {"model": "x"}},
    }
    workflow = sent(block("answer", dependencies=[{"block_id": "plain"}, 5]), block("plain"))
    body = run_answer("Hello")
    body["run"]["state"] = state

    run = read_run(answer(body), workflow)

    assert run.blocks == [
        BlockRun(
            *("answer", "t", RunStatus.COMPLETED),
            price=0.0025,
            model="gpt-4o",
            input_tokens=21,
            output_tokens=96,
            dependencies=("plain",),
        ),
        BlockRun("odd"),
    ]
    assert run.price == 0.0025
    assert run.blocks == read_run(answer(body), workflow).blocks


def examples() -> list[Any]:
    spec = json.loads(resources.files("scout_generated").joinpath("openapi.json").read_text(encoding="utf-8"))
    responses = spec["paths"]["/v2/workflows/execute"]["post"]["responses"]
    named = responses["200"]["content"]["application/json"]["examples"]
    return [pytest.param(each["value"], id=name) for name, each in named.items() if "run" in each["value"]]


@pytest.mark.parametrize("body", examples())
def test_the_names_are_those_of_the_spec(body: dict[str, Any]) -> None:
    told = WorkflowRunResponse.from_dict(body)

    run = read_run(answer(body), None)

    assert (run.id, run.session_id) == (told.run.workflow_run_id or None, told.run.session_id or None)
    assert run.workflow_id == (told.workflow_id or None)
    assert run.output_block_id == (told.output_block_id or None)
    assert run.status == RunStatus(told.run.stop_reason)
    assert run.state == (told.run.state.to_dict() if told.run.state else {})


@pytest.mark.parametrize("value", [None, 5, ["x"], {}])
@pytest.mark.parametrize(("name", "attribute"), [("workflow_run_id", "id"), ("session_id", "session_id")])
def test_a_missing_or_odd_id_costs_no_run(name: str, attribute: str, value: object) -> None:
    body = run_answer()

    for told in (body["run"] | {name: value}, without(body["run"], name)):
        run = read_run(answer(body | {"run": told}), EMPTY)

        assert getattr(run, attribute) is None
        assert run.output == "Hello"


@pytest.mark.parametrize("value", [None, 5, ""])
def test_an_odd_id_beside_the_run_costs_no_run(value: object) -> None:
    run = read_run(answer(run_answer() | {"workflow_id": value, "output_block_id": value}), sent(block("answer")))

    assert run.workflow_id == (value if isinstance(value, str) else None)
    assert run.output_block_id == "answer"


@pytest.mark.parametrize(
    ("told", "errors"),
    [
        (None, ()),
        ([], ()),
        (["a", "b"], ("a", "b")),
        ("boom", ("boom",)),
        ([{"message": "too long", "field": "text"}], ("text: too long",)),
        ([{"loc": ["blocks", 0], "msg": "no"}], ("blocks.0: no",)),
        ([{"msg": "no"}, {"code": 5}, 5, None, [1]], ("no", '{"code": 5}', "5", "null", "[1]")),
        ({"message": "no"}, ("no",)),
        (5, ("5",)),
    ],
)
def test_errors_of_any_form_are_sentences(told: object, errors: tuple[str, ...]) -> None:
    assert read_run(answer(run_answer(errors=told)), EMPTY).errors == list(errors)


@pytest.mark.parametrize(
    ("reason", "status", "ok"),
    [
        ("workflow_run_completed", "completed", True),
        ("completed", "completed", True),
        ("workflow_run_failed", "failed", False),
        ("workflow_run_cancelled", "workflow_run_cancelled", False),
        ("paused", "paused", False),
        ("", "", False),
    ],
)
def test_how_a_run_ended(reason: str, status: str, ok: bool) -> None:
    run = read_run(answer(run_answer(stop_reason=reason)), EMPTY)

    assert (run.status, run.ok) == (status, ok)


@pytest.mark.parametrize("state", [None, {}])
def test_a_run_without_a_state(state: object) -> None:
    run = read_run(answer(run_answer(state=state)), EMPTY)

    assert run.state == run.outputs == {}
    assert run.output is None


def test_what_is_not_quite_json_arrives() -> None:
    run = read_run(answer(json.dumps(run_answer([math.nan, 10**30])).encode("utf-8-sig")), EMPTY)

    assert math.isnan(run.output[0])
    assert run.output[1] == 10**30


EVENT = {"name": "workflow_run_completed", "data": {"workflow_run_id": "run_1"}}


@pytest.mark.parametrize(
    ("body", "words", "damaged"),
    [
        (b"", "it has no body", False),
        (b" \n", "it has no body", False),
        (b"<html><title>Sign in</title>", "an HTML page titled 'Sign in'", False),
        (json.dumps(run_answer()).encode()[:80], "it is not whole JSON", True),
        (b'{"a": "\xff"}', "it is not whole JSON", True),
        (b'{"run":' + b"[" * 100_000, "nested too deeply", True),
        ([run_answer()], "it is JSON, but list where an object belongs", False),
        (None, "NoneType where an object belongs", False),
        ("Hello", "str where an object belongs", False),
        ({}, "no run", False),
        ({"run": None}, "no run", False),
        ({"run": [run_answer()["run"]]}, "no run", False),
        ({"run": without(run_answer()["run"], "stop_reason")}, "stop_reason", False),
        (run_answer(stop_reason=None), "stop_reason", False),
        (run_answer(stop_reason=5), "stop_reason", False),
        *((run_answer(state=state), "run.state", False) for state in ("x", [1], 5)),
        (EVENT | {"name": "new"}, "it holds one event, 'new'", False),
        (EVENT | {"data": None}, "it holds one event, 'workflow_run_completed'", False),
    ],
)
def test_what_tells_of_no_run(body: object, words: str, damaged: bool) -> None:
    told = answer(body)

    with pytest.raises(APIResponseError) as caught:
        read_run(told, EMPTY)

    assert words in str(caught.value)
    assert (caught.value.status, caught.value.body, caught.value.damaged) == (200, told.body, damaged)
    assert caught.value.run_may_have_started


# --- The output block ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workflow", "block_id"),
    [
        (sent(block("a"), block("b", is_output=True), block("c")), "b"),
        (sent(block("a", block_is_output=True), block("b")), "a"),
        (sent(block("a", is_output=False, block_is_output=False), block("b", is_output=None)), None),
        (sent(block("a", is_output=True), block("b", dependencies=[{"block_id": "a"}])), "a"),
        (sent(block("a"), block("b", dependencies=[{"block_id": "a"}])), "b"),
        (sent(block("a", dependencies=None), block("b", dependencies=[{"block_id": "a"}, {"block_id": "z"}])), "b"),
        (sent(block("a"), block("b")), None),
        (sent(block("a", dependencies=[{"block_id": "b"}]), block("b", dependencies=[{"block_id": "a"}])), None),
        (sent(), None),
        (LoadedWorkflow({}), None),
        (None, None),
    ],
    ids=[
        *("marked", "marked as of old", "marked false", "marked before leaf", "leaf", "leaf with odd edges"),
        *("two leaves", "circle", "no blocks", "no list of blocks", "not known"),
    ],
)
def test_the_output_block_when_the_server_does_not_say(workflow: LoadedWorkflow | None, block_id: str | None) -> None:
    body = without(run_answer(), "output_block_id")

    assert read_run(answer(body), workflow).output_block_id == block_id


def test_the_server_decides_about_the_output_block() -> None:
    run = read_run(answer(run_answer()), sent(block("other", is_output=True)))

    assert run.output_block_id == "answer"


@pytest.mark.parametrize(
    "dependencies", [[{}], ["a"], [None], 5, {"block_id": "a"}, [{"block_id": ["a"]}]], ids=lambda value: repr(value)
)
def test_a_dependency_that_the_server_let_pass_costs_no_run(dependencies: object) -> None:
    body = without(run_answer(), "output_block_id")

    run = read_run(answer(body), sent(block("a"), block("answer", is_output=False, dependencies=dependencies)))

    assert run.ok


# --- Stored workflows ---------------------------------------------------------------------------------------------


def test_a_stored_workflow_is_read_whole_and_in_order() -> None:
    told = {
        "new": {"x": None},
        "workflow_id": "wf_1",
        "workflow_key": "mine",
        "revision_id": "rev_1",
        "is_draft": True,
        "created_at": "2025-01-15T18:12:36+02:00",
        "last_updated_at": "2025-01-15T16:12:36",
        "workflow_config": {"z": 1, "blocks": {"not": "a list"}, "a": None},
    }

    workflow = read_workflow(answer({"data": told}))

    assert (workflow.id, workflow.key, workflow.revision_id, workflow.is_draft) == ("wf_1", "mine", "rev_1", True)
    assert workflow.created_at == workflow.last_updated_at == datetime(2025, 1, 15, 16, 12, 36, tzinfo=UTC)
    assert json.dumps(workflow.config) == json.dumps(told["workflow_config"])
    assert json.dumps(workflow.raw) == json.dumps(told)


@pytest.mark.parametrize("value", [None, 5, [], {}])
def test_an_odd_field_of_a_stored_workflow_costs_nothing_else(value: object) -> None:
    least = {"workflow_id": "wf_1", "revision_id": "rev_1", "workflow_config": {}}
    names = ("workflow_key", "is_draft", "created_at", "last_updated_at")

    for told in (least, least | dict.fromkeys(names, value)):
        workflow = read_workflow(answer({"data": told}))

        assert [workflow.key, workflow.is_draft, workflow.created_at, workflow.last_updated_at] == [None] * 4
        assert workflow.raw == told


def test_a_page_of_stored_workflows() -> None:
    told = {"workflow_id": "wf_1", "revision_id": "rev_1", "workflow_config": {}}

    page = read_page(answer({"data": [told, told], "next_cursor": "c", "new": 1}))

    assert ([each.id for each in page.workflows], page.next_cursor) == (["wf_1", "wf_1"], "c")
    assert page.raw["new"] == 1
    assert read_page(answer({"data": [], "next_cursor": 5})).next_cursor is None


# --- Errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "words", "kept"),
    [
        ({"detail": "no such thing"}, "no such thing", {"detail": "no such thing"}),
        ({"message": "no", "error": "really"}, "no; really", {"message": "no", "error": "really"}),
        ({"errors": [{"message": "bad", "field": "x"}, "worse"]}, "x: bad; worse", None),
        ({"error": {"message": "deep"}}, "deep", None),
        ({"foreign": 1}, '{"foreign": 1}', None),
        ({}, "{}", None),
        ([1, "a"], '[1, "a"]', None),
        (None, "null", None),
        (b"", "no body", ""),
        (b"<html><head><title>Bad\nGateway</title>", "an HTML page titled 'Bad\\nGateway'", None),
        (b"gone \xff", "gone \ufffd", "gone \ufffd"),
        (b"[" * 100_000, "[[[[", None),
    ],
    ids=range(12),
)
def test_a_body_of_any_form_is_told(body: object, words: str, kept: object) -> None:
    error = status_error(answer(body, 418))

    assert type(error) is APIStatusError
    assert str(error).startswith("418 I'm a Teapot: ")
    assert words in str(error)
    assert len(str(error)) < 1000
    assert kept is None or error.body == kept


def test_a_body_may_be_nested_as_deep_as_python_reads() -> None:
    """Writing it for the message may take a little more of the stack than reading it did."""
    for depth in range(sys.getrecursionlimit() - 130, sys.getrecursionlimit()):
        for body in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
            assert "500" in str(status_error(answer(body, 500)))


@pytest.mark.parametrize(
    ("detail", "details"),
    [
        (
            [{"loc": ["body", "x"], "msg": "missing", "type": "t"}],
            ({"loc": ["body", "x"], "msg": "missing", "type": "t"},),
        ),
        ([{"msg": "a"}, "b", 5], ({"msg": "a"},)),
        ("text", ()),
        ({"msg": "a"}, ()),
        (None, ()),
    ],
)
def test_the_details_of_a_422(detail: object, details: tuple[Any, ...]) -> None:
    error = status_error(answer({"detail": detail}, 422))

    assert isinstance(error, UnprocessableEntityError)
    assert error.details == list(details)


@pytest.mark.parametrize("name", ["x-request-id", "request-id", "x-correlation-id", "cf-ray"])
def test_the_id_of_the_request_is_found(name: str) -> None:
    error = status_error(Answer(500, {name: "abc", "other": "d"}, b""))

    assert error.request_id == "abc"
    assert str(error).endswith("(request id abc)")
