"""A call becomes the parts of a request."""

import asyncio
import json
import math
from typing import Any

import pytest
from servers import Server, json_answer

from scout import AsyncScout, ConfigurationError, Environment, Scout, WorkflowFileError
from scout._requests import execute_request
from scout.workflow_files import LoadedWorkflow

EMPTY = LoadedWorkflow({"blocks": []})


def block(block_id: str, **more: Any) -> dict[str, Any]:
    return {"block_id": block_id, "block_archetype_id": "t", "block_display_name": "d", **more}


def sent(*blocks: dict[str, Any]) -> LoadedWorkflow:
    return LoadedWorkflow({"blocks": list(blocks)})


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


def request_body(*args: Any, **options: Any) -> Any:
    return json.loads(execute_request(*args, **options).body)


def test_the_smallest_request() -> None:
    request = execute_request(LoadedWorkflow({}), None)

    assert (request.method, request.path, dict(request.query)) == ("post", "/v2/workflows/execute", {})
    assert without(json.loads(request.body), "streaming") == {"workflow_config": {}}
    assert not request.repeatable


def test_the_key_of_the_call_comes_before_that_of_the_file() -> None:
    workflow = LoadedWorkflow({}, "from_file")

    assert request_body(workflow, None)["workflow_key"] == "from_file"
    assert request_body(workflow, None, workflow_key="from_call")["workflow_key"] == "from_call"


def test_values_travel_as_they_are() -> None:
    inputs = {"z": "é😀\u2028", "a": 10**30, "f": 0.1, "n": None, "t": (1, [2])}
    config = {"z": 1, "blocks": [], "a": 2}

    body = execute_request(LoadedWorkflow(config), inputs).body

    assert json.loads(body)["inputs"] == inputs | {"t": [1, [2]]}
    assert b'"workflow_config":{"z":1,"blocks":[],"a":2}' in body


def test_the_extras_win() -> None:
    request = execute_request(
        LoadedWorkflow({}, "key"),
        {"a": 1},
        environment=Environment.STAGING,
        session_id="s",
        extra_query={"environment": "moon", "new": "1"},
        extra_body={"inputs": {"b": 2}, "more": True},
    )

    assert dict(request.query) == {"environment": "moon", "session_id": "s", "new": "1"}
    assert without(json.loads(request.body), "streaming") == {
        "workflow_config": {},
        "workflow_key": "key",
        "inputs": {"b": 2},
        "more": True,
    }


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ({"rows": [1, {"when": math.nan}]}, {}, "inputs.rows[1].when: nan is not JSON"),
        ({"a": b""}, {}, "inputs.a: JSON cannot carry a bytes; pass text, for example base64"),
        ({"a": "\ud800"}, {}, "inputs.a: the text holds half of a surrogate pair"),
        ({}, {"extra_body": {"more": {1}}}, "extra_body.more: JSON cannot carry a set; pass a list"),
        (["a"], {}, "inputs must be a mapping of names to values, not list"),
        ({}, {"session_id": 5}, "session_id must be text, not int"),
        ({}, {"revision_id": b"r"}, "revision_id must be text, not bytes"),
        ({}, {"workflow_key": 5}, "workflow_key must be text, not int"),
        ({}, {"extra_query": "a=b"}, "extra_query must be a mapping of names to values, not str"),
        ({}, {"extra_body": [1]}, "extra_body must be a mapping of names to values, not list"),
    ],
)
def test_what_cannot_be_sent_is_named(inputs: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        execute_request(EMPTY, inputs, **options)

    assert str(caught.value) == message


def test_what_cannot_be_sent_of_a_workflow_is_the_workflows_fault() -> None:
    with pytest.raises(WorkflowFileError, match=r"^workflow: blocks\[0\]\.x: JSON cannot carry a set"):
        execute_request(sent(block("a", x={1})), None)


@pytest.mark.parametrize("name", ["session_id", "revision_id"])
def test_an_id_with_half_a_character(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        execute_request(EMPTY, None, **{name: "\ud800"})


def grown(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value] * 10
    return value


BAD: list[Any] = [
    {1: "one", "1": "uno"},
    {True: 1},
    {None: 1},
    math.nan,
    "\ud800",
    grown(9),
    ["y" * 100_000] * 6_000,
    {10**5000: 1},
]


async def from_asyncio(url: str, method: str, *args: Any, **options: Any) -> None:
    async with AsyncScout("key", base_url=url) as scout:
        if method == "stream":
            async with scout.stream(*args, **options):
                pass
        elif method == "by id":
            await scout.workflows.execute("wf_1", *args[1:], **options)
        else:
            await scout.execute(*args, **options)


def from_threads(url: str, method: str, *args: Any, **options: Any) -> None:
    with Scout("key", base_url=url) as scout:
        if method == "stream":
            scout.stream(*args, **options).close()
        elif method == "by id":
            scout.workflows.execute("wf_1", *args[1:], **options)
        else:
            scout.execute(*args, **options)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("method", ["execute", "stream", "by id"])
def test_what_is_not_json_is_refused_before_it_is_sent(method: str, is_async: bool) -> None:
    def call(*args: Any, **options: Any) -> None:
        if is_async:
            asyncio.run(from_asyncio(server.url, method, *args, **options))
        else:
            from_threads(server.url, method, *args, **options)

    with Server(json_answer({})) as server:
        for bad in BAD:
            with pytest.raises(ConfigurationError, match=r"^inputs\.table"):
                call({"blocks": []}, {"table": bad})
            with pytest.raises(ConfigurationError, match=r"^extra_body\.table"):
                call({"blocks": []}, {}, extra_body={"table": bad})
            if method != "by id":
                with pytest.raises(WorkflowFileError, match="table"):
                    call({"table": bad}, {})
        with pytest.raises(ConfigurationError, match="a setting of the client"):
            call({"blocks": []}, {}, connect_timeout=1)
        if method == "by id":
            with pytest.raises(ConfigurationError, match="workflow_key is not for a stored workflow"):
                call({"blocks": []}, {}, workflow_key="k")
        if method != "stream":
            with pytest.raises(ConfigurationError, match="not an option of this call, but of stream"):
                call({"blocks": []}, {}, max_event_bytes=1)
    assert server.hits == 0


@pytest.mark.parametrize("wrong", [{"blocks": []}, LoadedWorkflow({})])
def test_a_config_is_not_an_id(wrong: Any) -> None:
    with Scout("key") as scout, pytest.raises(ConfigurationError, match=r"run by Scout\.execute"):
        scout.workflows.execute(wrong)
