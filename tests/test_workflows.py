"""`scout.workflows`, in both clients: what is sent, what is repeated, how a list walks, how a deploy ends."""

import asyncio
import inspect
import json
import re
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import (
    KEY,
    WORKFLOW,
    Behaviour,
    Caller,
    Received,
    Server,
    answer,
    chunked,
    close_unanswered,
    half_body,
    html,
    json_answer,
    refused_url,
    route,
    run_answer,
    silent,
)

import scout
from scout import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    AsyncWorkflowList,
    BadRequestError,
    ConfigurationError,
    ConflictError,
    LoadedWorkflow,
    NotFoundError,
    RunFailedError,
    ScoutError,
    UnprocessableEntityError,
    WorkflowFileError,
    WorkflowList,
    load_workflow,
)

pytestmark = pytest.mark.usefixtures("no_waiting")

SETTINGS: dict[str, Any] = {"api_key": KEY, "connect_timeout": 5.0, "timeout": 10.0}


def stored(number: int = 1, config: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "workflow_id": f"wf_{number}",
        "revision_id": f"rev_{number}",
        "workflow_config": {} if config is None else config,
        "workflow_key": f"key-{number}",
        **more,
    }


def single(number: int = 1, config: Any = None, **more: Any) -> dict[str, Any]:
    return {"data": stored(number, config, **more)}


def page(*found: dict[str, Any], next_cursor: str | None = None, **more: Any) -> dict[str, Any]:
    return {"data": list(found), "next_cursor": next_cursor, "has_more": next_cursor is not None, **more}


def ask(
    call: Caller, url: str, method: str, *args: Any, client: Any = None, of: str = "workflows", **options: Any
) -> Any:
    """Call one method of `workflows`, or of another part of a client; return what it returns."""

    def program(make: Any) -> Iterator[Any]:
        with_options = {**SETTINGS, "base_url": url, **(client or {})}
        scout = make(**with_options)
        try:
            return (yield getattr(getattr(scout, of), method)(*args, **options))
        finally:
            yield scout.aclose() if call.is_async else scout.close()

    return call.drive(program)


def listed(call: Caller, url: str, read: Callable[[Any], Any], **options: Any) -> Any:
    """Give a list to a function that takes from it with `take()`; return what that returns."""

    def sync_listed() -> Any:
        with scout.Scout(**SETTINGS, base_url=url) as client:
            found = client.workflows.list(**options)
            return [step() for step in read(lambda: next(found))][-1]

    async def async_listed() -> Any:
        async with scout.AsyncScout(**SETTINGS, base_url=url) as client:
            found = client.workflows.list(**options)
            return [await step() for step in read(lambda: anext(found))][-1]

    return asyncio.run(async_listed()) if call.is_async else sync_listed()


def all_of(call: Caller, url: str, *, pages: bool = False, **options: Any) -> list[Any]:
    """Everything that a list gives."""

    def sync_all() -> list[Any]:
        with scout.Scout(**SETTINGS, base_url=url) as client:
            found = client.workflows.list(**options)
            assert isinstance(found, WorkflowList)
            return list(found.pages() if pages else found)

    async def async_all() -> list[Any]:
        async with scout.AsyncScout(**SETTINGS, base_url=url) as client:
            found = client.workflows.list(**options)
            assert isinstance(found, AsyncWorkflowList)
            return [each async for each in (found.pages() if pages else found)]

    return asyncio.run(async_all()) if call.is_async else sync_all()


# --- What is sent -------------------------------------------------------------------------------------------------

CALLS = {
    "get": (("wf_1",), {}, "GET", "/v2/workflows/wf_1", None),
    "create": ((WORKFLOW,), {"key": "k"}, "POST", "/v2/workflows?workflow_key=k", WORKFLOW),
    "create without a key": ((WORKFLOW,), {}, "POST", "/v2/workflows", WORKFLOW),
    "create with the key of the file": (
        ({"workflow_key": "f", "workflow_config": WORKFLOW},),
        {},
        "POST",
        "/v2/workflows?workflow_key=f",
        WORKFLOW,
    ),
    "update": (("wf_1", WORKFLOW), {}, "PUT", "/v2/workflows/wf_1", WORKFLOW),
    "delete": (("wf_1",), {}, "DELETE", "/v2/workflows/wf_1", None),
    "create_revision": (
        (WORKFLOW,),
        {"id": "wf_1"},
        "POST",
        "/v2/workflows/revisions?workflow_id=wf_1",
        WORKFLOW,
    ),
    "create_revision by key": ((WORKFLOW,), {"key": "k"}, "POST", "/v2/workflows/revisions?workflow_key=k", WORKFLOW),
    "create_revision by the key of the file": (
        ({"workflow_key": "f", "workflow_config": WORKFLOW},),
        {},
        "POST",
        "/v2/workflows/revisions?workflow_key=f",
        WORKFLOW,
    ),
    "execute": (
        ("wf_1", {"a": 1}),
        {},
        "POST",
        "/v2/workflows/wf_1/execute?environment=production&session_id=scout-py-...",
        {"inputs": {"a": 1}, "streaming": False},
    ),
    "execute with options": (
        ("wf_1",),
        {"environment": None, "revision_id": "rev_1", "session_id": "s 1"},
        "POST",
        "/v2/workflows/wf_1/execute?revision_id=rev_1&session_id=s%201",
        {"streaming": False},
    ),
}
ANSWERS = {"delete": {"detail": "gone"}, "execute": run_answer()}


@pytest.mark.parametrize("name", CALLS)
def test_what_is_sent(name: str, call: Caller) -> None:
    args, options, method, target, body = CALLS[name]
    with Server(json_answer(ANSWERS.get(name.split()[0], single()))) as server:
        ask(call, server.url, name.split()[0], *args, **options)

    (request,) = server.requests
    assert request.method == method
    assert re.sub("scout-py-[0-9a-f]{32}", "scout-py-...", request.target.replace("+", "%20")) == target
    assert request.headers["authorization"] == f"Bearer {KEY}"
    if body is None:
        assert request.body == b""
        assert "content-type" not in request.headers
    else:
        assert request.json() == body
        assert request.headers["content-type"] == "application/json"


def test_options_of_a_call_are_sent(call: Caller) -> None:
    options = {"extra_headers": {"X-Mine": "a"}, "extra_query": {"drive": True}, "extra_body": {"new": None}}
    with Server(json_answer(single())) as server:
        ask(call, server.url, "update", "wf_1", WORKFLOW, **options)

    (request,) = server.requests
    assert request.headers["x-mine"] == "a"
    assert request.query == {"drive": "true"}
    assert request.json() == {**WORKFLOW, "new": None}


def test_what_comes_back(call: Caller) -> None:
    config = {"blocks": [], "z": None, "a": [1.5, {"b": "é"}]}
    more = {"is_draft": True, "created_at": "2026-01-02T03:04:05.678901Z", "new": 1}
    for method, args in (("get", ("wf_1",)), ("create", ({},)), ("update", ("wf_1", {}))):
        with Server(json_answer(single(7, config, **more))) as server:
            workflow = ask(call, server.url, method, *args)
        assert isinstance(workflow, scout.StoredWorkflow)
        assert (workflow.id, workflow.revision_id, workflow.is_draft) == ("wf_7", "rev_7", True)
        assert workflow.created_at.microsecond == 678901
        assert json.dumps(workflow.config) == json.dumps(config)
        assert workflow.raw["new"] == 1
    with Server(json_answer({"detail": "It is gone."})) as server:
        assert ask(call, server.url, "delete", "wf_1") == "It is gone."
    with Server(answer(204, content_type=None)) as server:
        assert ask(call, server.url, "delete", "wf_1") == ""


@pytest.mark.parametrize(
    "behaviour",
    [html("<title>Sign in</title>"), json_answer([1]), json_answer({"detail": 5})],
    ids=["html", "a list", "no text"],
)
def test_a_deletion_that_nobody_confirmed(behaviour: Behaviour, call: Caller) -> None:
    with Server(behaviour) as server, pytest.raises(APIResponseError, match="may have been deleted"):
        ask(call, server.url, "delete", "wf_1")
    assert server.hits == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": None},
        {"data": []},
        {"data": {"workflow_id": 1}},
        {"data": {**stored(), "workflow_config": None}},
        [],
    ],
    ids=json.dumps,
)
def test_an_answer_that_tells_of_no_workflow(body: Any, call: Caller) -> None:
    with Server(json_answer(body)) as server, pytest.raises(APIResponseError) as raised:
        ask(call, server.url, "get", "wf_1")
    assert raised.value.status == 200
    assert raised.value.run_may_have_started is False


def test_a_config_beyond_the_specification_is_handed_on_whole(call: Caller) -> None:
    config = {"blocks": {"not": "a list"}, "tags": 5, "workflow_display_name": "still a name", "notes": [5], "new": 1}
    with Server(json_answer(single(1, config))) as server:
        workflow = ask(call, server.url, "get", "wf_1")
    assert json.dumps(workflow.config) == json.dumps(config)


# --- What is repeated ---------------------------------------------------------------------------------------------

PASSING: list[tuple[str, Behaviour]] = [
    ("503", html("busy", 503)),
    ("500", json_answer({"detail": "no"}, 500)),
    ("408", answer(408)),
    ("hangs up", close_unanswered),
    ("half a body", half_body(json.dumps(single()).encode())),
]
SAFE: dict[str, tuple[Any, ...]] = {"get": ("wf_1",), "update": ("wf_1", {}), "delete": ("wf_1",)}
UNSAFE: dict[str, tuple[Any, ...]] = {
    "create": ({},),
    "create_revision": ({"workflow_key": "k", "workflow_config": {}},),
}


@pytest.mark.parametrize(("name", "failure"), PASSING)
@pytest.mark.parametrize("method", SAFE)
def test_reading_update_and_delete_are_repeated(method: str, name: str, failure: Behaviour, call: Caller) -> None:
    good = json_answer(ANSWERS.get(method, single()))
    with Server([failure, failure, good]) as server:
        ask(call, server.url, method, *SAFE[method])
    assert server.hits == 3

    with Server(failure) as server, pytest.raises(scout.APIError) as raised:
        ask(call, server.url, method, *SAFE[method])
    assert server.hits == 3
    assert len(raised.value.attempts) == 3
    assert raised.value.run_may_have_started is False


@pytest.mark.parametrize(("name", "failure"), PASSING)
@pytest.mark.parametrize("method", [*UNSAFE, "execute", "deploy"])
def test_what_may_have_been_done_is_not_repeated(method: str, name: str, failure: Behaviour, call: Caller) -> None:
    args = UNSAFE.get(method) or (("wf_1",) if method == "execute" else UNSAFE["create_revision"])
    with Server([failure, json_answer(single())]) as server, pytest.raises(scout.APIError) as raised:
        ask(call, server.url, method, *args)
    assert server.hits == 1
    assert raised.value.run_may_have_started is True
    if method != "execute":
        assert "run may" not in str(raised.value)


@pytest.mark.parametrize("method", [*SAFE, *UNSAFE])
def test_a_429_is_repeated_by_all(method: str, call: Caller) -> None:
    args = SAFE.get(method) or UNSAFE[method]
    busy = answer(429, headers={"Retry-After": "0.01"})
    with Server([busy, busy, json_answer(ANSWERS.get(method, single()))]) as server:
        ask(call, server.url, method, *args)
    assert server.hits == 3


@pytest.mark.parametrize("method", [*SAFE, *UNSAFE, "execute"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_a_refusal_is_raised_at_once(method: str, status: int, call: Caller) -> None:
    args = SAFE.get(method) or UNSAFE.get(method) or ("wf_1",)
    with Server(json_answer({"detail": "no"}, status)) as server, pytest.raises(APIStatusError) as raised:
        ask(call, server.url, method, *args)
    assert (server.hits, raised.value.status, raised.value.run_may_have_started) == (1, status, False)


def test_a_repeated_deletion_that_finds_nothing_says_why(call: Caller) -> None:
    gone = json_answer({"detail": "There is no workflow"}, 404)
    with (
        Server([close_unanswered, gone]) as server,
        pytest.raises(NotFoundError, match="may have deleted it") as raised,
    ):
        ask(call, server.url, "delete", "wf_1")
    assert len(raised.value.attempts) == 2

    with Server(gone) as server, pytest.raises(NotFoundError) as raised:
        ask(call, server.url, "delete", "wf_1")
    assert "may have" not in str(raised.value)


@pytest.mark.parametrize(
    ("method", "args", "options"),
    [
        ("get", ("x" * 70_000,), {}),
        ("create", ({},), {"key": "x" * 70_000}),
        ("execute", ("wf_1",), {"session_id": "x" * 70_000}),
    ],
)
def test_what_is_too_long_for_an_address_is_not_sent(method: str, args: Any, options: Any, call: Caller) -> None:
    with Server(json_answer(single())) as server, pytest.raises(ConfigurationError, match="too long") as raised:
        ask(call, server.url, method, *args, **options)
    assert server.hits == 0
    assert raised.value.run_may_have_started is False


@pytest.mark.parametrize("config", [{"x": {1: 2}}, {"x": [{"y": {True: 2}}]}, {"x": {1: "a", "1": "b"}}, {None: 1}])
@pytest.mark.parametrize("method", ["create", "deploy"])
def test_a_key_that_is_no_text_is_refused(method: str, config: Any, call: Caller) -> None:
    with Server(json_answer(single())) as server, pytest.raises(WorkflowFileError, match="is not text"):
        ask(call, server.url, method, config, key="k")
    assert server.hits == 0


def test_nobody_there_says_that_nothing_was_done(call: Caller) -> None:
    with refused_url() as url, pytest.raises(APIConnectionError) as raised:
        ask(call, url, "create", {})
    assert raised.value.run_may_have_started is False
    assert len(raised.value.attempts) == 3


# --- Lists --------------------------------------------------------------------------------------------------------


def linked(*sizes: int) -> list[Behaviour]:
    """The pages of a list, each of so many workflows; each leads to the next."""
    pages: list[Behaviour] = []
    number = 0
    for place, size in enumerate(sizes):
        found = [stored(number + each) for each in range(size)]
        number += size
        last = place == len(sizes) - 1
        pages.append(json_answer(page(*found, next_cursor=None if last else f"c{place + 1}")))
    return pages


def test_a_list_goes_over_all_pages(call: Caller) -> None:
    with Server(linked(2, 0, 3)) as server:
        found = all_of(call, server.url, query="a b", sort="s", direction="desc", tags="x,y", limit=2)

    assert [each.id for each in found] == [f"wf_{number}" for number in range(5)]
    filters = {"query": "a b", "sort": "s", "direction": "desc", "tags": "x,y", "limit": "2"}
    assert [request.query for request in server.requests] == [
        filters,
        filters | {"start_at": "c1"},
        filters | {"start_at": "c2"},
    ]


def test_pages(call: Caller) -> None:
    with Server(linked(2, 1)) as server:
        pages = all_of(call, server.url, pages=True, start_at="c0")
    assert [len(each.workflows) for each in pages] == [2, 1]
    assert [each.next_cursor for each in pages] == ["c1", None]
    assert [request.query for request in server.requests] == [{"start_at": "c0"}, {"start_at": "c1"}]


@pytest.mark.parametrize(
    "cursor", ["2025-01-10T15:33:04.483387+00:00", "a b&c=d#e%20f/?", "é鍵\u2028", " ", "0", "null"]
)
def test_a_cursor_is_passed_on_untouched(cursor: str, call: Caller) -> None:
    with Server([json_answer(page(stored(), next_cursor=cursor)), json_answer(page())]) as server:
        all_of(call, server.url)
    assert server.requests[1].query == {"start_at": cursor}


@pytest.mark.parametrize(
    "end", [{"has_more": False}, {"has_more": False, "next_cursor": "c"}, {"next_cursor": None}, {}]
)
def test_every_way_to_say_that_this_was_the_last_page(end: dict[str, Any], call: Caller) -> None:
    with Server(json_answer({"data": [stored()], **end})) as server:
        assert len(all_of(call, server.url)) == 1
    assert server.hits == 1


@pytest.mark.parametrize("length", [1, 2, 3, 7, 30])
@pytest.mark.parametrize("before", [0, 1, 4])
def test_a_circle_is_an_error(length: int, before: int, call: Caller) -> None:
    def choose(request: Received) -> Behaviour:
        number = int(request.query.get("start_at", "0"))
        following = number + 1 if number < before + length - 1 else before
        return json_answer(page(stored(number), next_cursor=str(following)))

    with Server(route(choose)) as server, pytest.raises(APIResponseError, match="never end") as raised:
        all_of(call, server.url)
    assert raised.value.run_may_have_started is False
    assert server.hits <= 4 * (before + length) + 2


def test_nothing_that_came_is_lost_to_a_circle(call: Caller) -> None:
    cursors = {"": "A", "A": "B", "B": "A"}

    def choose(request: Received) -> Behaviour:
        place = request.query.get("start_at", "")
        return json_answer(page(stored(len(place)), next_cursor=cursors[place]))

    seen: list[str] = []

    def read(take: Callable[[], Any]) -> Iterator[Callable[[], Any]]:
        for _ in range(9):
            yield take
            seen.append("one")

    with Server(route(choose)) as server, pytest.raises(APIResponseError, match="'A'"):
        listed(call, server.url, read)
    assert len(seen) == server.hits


@pytest.mark.parametrize("cursor", [5, "\ud800", ["a"]], ids=["a number", "half a pair", "a list"])
def test_a_cursor_that_is_no_text(cursor: Any, call: Caller) -> None:
    with Server(json_answer(page(stored(), next_cursor=cursor))) as server:
        with pytest.raises(APIResponseError, match=r"page 1 of the list has a next_cursor that is no text"):
            all_of(call, server.url)
        assert server.hits == 1


def test_more_without_a_way_there_is_an_error(call: Caller) -> None:
    script = json_answer({"data": [stored()], "has_more": True})
    with Server(script) as server, pytest.raises(APIResponseError, match=r"page 1 .*next_cursor"):
        all_of(call, server.url)


@pytest.mark.parametrize(
    "body", [{}, {"data": {}}, {"data": [1]}, {"data": [stored(), {"workflow_id": "a"}]}], ids=json.dumps
)
def test_a_page_that_cannot_be_understood(body: Any, call: Caller) -> None:
    with Server(json_answer(body)) as server, pytest.raises(APIResponseError, match="page 1 of the list"):
        all_of(call, server.url)


def test_nothing_is_asked_for_before_it_is_needed(call: Caller) -> None:
    with Server(linked(2, 2, 2)) as server:

        def read(take: Callable[[], Any]) -> Iterator[Callable[[], Any]]:
            assert server.hits == 0
            for hits in (1, 1, 2):
                yield take
                assert server.hits == hits

        assert listed(call, server.url, read).id == "wf_2"
    assert server.hits == 2


def test_a_page_that_fails_says_which_and_is_asked_for_again(call: Caller) -> None:
    script = [linked(1, 1)[0], json_answer({"detail": "no"}, 400), json_answer(page(stored(1)))]
    with Server(script) as server:

        def read(take: Callable[[], Any]) -> Iterator[Callable[[], Any]]:
            def failing() -> Any:
                if not call.is_async:
                    with pytest.raises(BadRequestError, match=r"page 2 of the list \(start_at='c1'\): 400"):
                        take()
                    return None

                async def wait() -> None:
                    with pytest.raises(BadRequestError, match=r"page 2 of the list \(start_at='c1'\): 400"):
                        await take()

                return wait()

            yield take
            yield failing
            yield take

        assert listed(call, server.url, read).id == "wf_1"
    assert [request.query.get("start_at") for request in server.requests] == [None, "c1", "c1"]


def test_a_passing_failure_of_a_page_is_not_seen(call: Caller) -> None:
    first, second = linked(1, 1)
    with Server([first, html("busy", 503), close_unanswered, second]) as server:
        assert len(all_of(call, server.url)) == 2
    assert server.hits == 4


@pytest.mark.parametrize(
    "options",
    [
        {"limit": 0},
        {"limit": -1},
        pytest.param({"limit": -(10**5000)}, id="a long negative limit"),
        {"limit": "many"},
        {"limit": True},
        {"query": 5},
        {"start_at": 5},
        {"sort": "\ud800"},
    ],
    ids=str,
)
def test_a_list_that_cannot_work_says_so_at_once(options: dict[str, Any], call: Caller) -> None:
    with Server(json_answer(page())) as server, pytest.raises(ConfigurationError):
        ask(call, server.url, "list", **options)
    assert server.hits == 0


@pytest.mark.timeout(120)
def test_ten_thousand_workflows_in_constant_memory(call: Caller) -> None:
    config = {"text": "x" * 300}

    def choose(request: Received) -> Behaviour:
        start = int(request.query.get("start_at", "0"))
        end = start + 100
        found = [stored(number, config) for number in range(start, end)]
        return json_answer(page(*found, next_cursor=str(end) if end < 10_000 else None))

    seen: list[int] = []
    with Server(route(choose), keep_alive=True) as server:
        tracemalloc.start()
        try:
            count = _drain(call, server.url, seen)
        finally:
            tracemalloc.stop()
    assert count == 10_000
    assert server.hits == 100
    early, late = seen
    # The server's own record of a hundred requests is in it too.
    assert late - early < 500_000, f"{late - early} bytes more after 10,000 workflows than after 1,000"


def _drain(call: Caller, url: str, seen: list[int]) -> int:
    def look(count: int) -> None:
        if count in (1_000, 10_000):
            seen.append(tracemalloc.get_traced_memory()[0])

    def sync_drain() -> int:
        count = 0
        with scout.Scout(**SETTINGS, base_url=url) as client:
            for _ in client.workflows.list(limit=100):
                look(count := count + 1)
        return count

    async def async_drain() -> int:
        count = 0
        async with scout.AsyncScout(**SETTINGS, base_url=url) as client:
            async for _ in client.workflows.list(limit=100):
                look(count := count + 1)
        return count

    return asyncio.run(async_drain()) if call.is_async else sync_drain()


# --- Deploy -------------------------------------------------------------------------------------------------------

TAKEN = json_answer({"detail": "taken"}, 409)


def script_of(server: Server) -> list[str]:
    return [f"{request.method} {request.path}" for request in server.requests]


CREATE, LIST, REVISE = "POST /v2/workflows", "GET /v2/workflows", "POST /v2/workflows/revisions"


def test_deploy_creates(call: Caller) -> None:
    with Server(json_answer(single(5))) as server:
        done = ask(call, server.url, "deploy", WORKFLOW, key="mine")
    assert (done.workflow_id, done.revision_id, done.created, done.changed) == ("wf_5", "rev_5", True, True)
    assert done.workflow.key == "key-5"
    (request,) = server.requests
    assert request.query == {"workflow_key": "mine"}
    assert request.json() == WORKFLOW


def test_deploy_makes_a_revision_of_what_changed(call: Caller) -> None:
    old = json_answer(page(stored(1), stored(2, {"blocks": []}, workflow_key="mine")))
    with Server([TAKEN, old, json_answer(single(2, revision_id="rev_new"))]) as server:
        done = ask(call, server.url, "deploy", {"workflow_key": "mine", "workflow_config": WORKFLOW})
    assert (done.workflow_id, done.revision_id, done.created, done.changed) == ("wf_2", "rev_new", False, True)
    assert script_of(server) == [CREATE, LIST, REVISE]
    assert server.requests[2].query == {"workflow_key": "mine"}
    assert server.requests[2].json() == WORKFLOW


def test_deploy_of_the_same_does_nothing(call: Caller) -> None:
    with Server([TAKEN, json_answer(page(stored(2, WORKFLOW, workflow_key="mine")))]) as server:
        done = ask(call, server.url, "deploy", WORKFLOW, key="mine")
    assert (done.workflow_id, done.created, done.changed) == ("wf_2", False, False)
    assert done.workflow.config == WORKFLOW
    assert script_of(server) == [CREATE, LIST]


@pytest.mark.parametrize(
    ("there", "here", "is_same"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 0.1}, {"a": 0.1}, True),
        ({"a": None}, {}, False),
        ({}, {"a": None}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 0}, {"a": False}, False),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ({"a": [1]}, {"a": [1, 1]}, False),
        ({"a": "1"}, {"a": 1}, False),
        ({"a": ""}, {"a": None}, False),
        ({"a": {}}, {"a": []}, False),
    ],
)
def test_what_is_the_same(there: Any, here: Any, is_same: bool, call: Caller) -> None:
    there, here = {"tags": [], **there}, {"tags": [], **here}
    script = [TAKEN, json_answer(page(stored(2, there, workflow_key="mine"))), json_answer(single(2))]
    with Server(script) as server:
        assert ask(call, server.url, "deploy", here, key="mine").changed is not is_same


def test_deploy_by_force(call: Caller) -> None:
    with Server([TAKEN, json_answer(single(2))]) as server:
        done = ask(call, server.url, "deploy", WORKFLOW, key="mine", force=True)
    assert (done.created, done.changed) == (False, True)
    assert script_of(server) == [CREATE, REVISE]


def test_a_draft_is_not_what_is_deployed(call: Caller) -> None:
    draft = stored(2, WORKFLOW, workflow_key="mine", is_draft=True)
    with Server([TAKEN, json_answer(page(draft)), json_answer(single(2))]) as server:
        assert ask(call, server.url, "deploy", WORKFLOW, key="mine").changed is True


def test_the_key_is_looked_for_on_all_pages(call: Caller) -> None:
    def choose(request: Received) -> Behaviour:
        if request.method == "POST":
            return TAKEN
        if "query" in request.query:  # a server whose search does not look at keys
            return json_answer(page())
        place = int(request.query.get("start_at", "0"))
        found = stored(place, WORKFLOW, workflow_key="mine" if place == 2 else "other")
        return json_answer(page(found, next_cursor=str(place + 1)))

    with Server(route(choose)) as server:
        assert ask(call, server.url, "deploy", WORKFLOW, key="mine").workflow_id == "wf_2"
    assert script_of(server) == [CREATE, LIST, LIST, LIST, LIST]


def test_a_conflict_about_something_else_is_raised(call: Caller) -> None:
    other = json_answer({"detail": "the organisation is locked"}, 409)
    script = [other, json_answer(page()), json_answer(page()), json_answer({"detail": "no such key"}, 404)]
    with Server(script * 2) as server, pytest.raises(ConflictError, match=r"locked; .*'mine': 404 .*no such key"):
        ask(call, server.url, "deploy", WORKFLOW, key="mine")
    assert server.hits == 8


def test_a_workflow_that_is_deleted_in_the_middle_is_created_anew(call: Caller) -> None:
    script = [TAKEN, json_answer(page()), json_answer(page()), json_answer({"detail": "no"}, 404)]
    with Server([*script, json_answer(single(3))]) as server:
        done = ask(call, server.url, "deploy", WORKFLOW, key="mine")
    assert (done.workflow_id, done.created) == ("wf_3", True)
    assert script_of(server) == [CREATE, LIST, LIST, REVISE, CREATE]


def test_what_is_sent_as_well_belongs_to_what_is_compared(call: Caller) -> None:
    there = stored(2, {**WORKFLOW, "is_tool": True}, workflow_key="mine")
    with Server([TAKEN, json_answer(page(there)), json_answer(single(2))]) as server:
        assert ask(call, server.url, "deploy", WORKFLOW, key="mine", extra_body={"is_tool": True}).changed is False
    assert server.requests[0].json() == {**WORKFLOW, "is_tool": True}
    with Server([TAKEN, json_answer(page(there)), json_answer(single(2))]) as server:
        assert ask(call, server.url, "deploy", WORKFLOW, key="mine", extra_body={"is_tool": False}).changed is True
    with pytest.raises(ConfigurationError, match="extra_body"):
        ask(call, server.url, "deploy", WORKFLOW, key="mine", extra_body=[])


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_cannot_search_for_the_key_is_asked_for_all(status: int, call: Caller) -> None:
    found = json_answer(page(stored(2, WORKFLOW, workflow_key="mine")))
    with Server([TAKEN, json_answer({"detail": "not this query"}, status), found]) as server:
        assert ask(call, server.url, "deploy", WORKFLOW, key="mine").changed is False
    assert ["query" in request.query for request in server.requests] == [False, True, False]


@pytest.mark.parametrize(
    ("failure", "error"), [(403, "403 Forbidden"), (500, "500 Internal Server Error"), (404, "404 Not Found")]
)
def test_a_search_that_fails_says_what_it_was_for(failure: int, error: str, call: Caller) -> None:
    empty = page(stored(1), next_cursor="c1")
    with (
        Server([TAKEN, json_answer(empty), *[json_answer({"detail": "no list"}, failure)] * 3]) as server,
        pytest.raises(APIStatusError, match=rf"page 2 of the list .*{error}.*'mine', without force=True") as raised,
    ):
        ask(call, server.url, "deploy", WORKFLOW, key="mine")
    assert raised.value.run_may_have_started is False
    assert REVISE not in script_of(server)


def test_what_is_nested_deeply_is_compared_too(call: Caller) -> None:
    config: Any = {}
    for _ in range(900):
        config = {"a": config}
    text = json.dumps(page(stored(2, {"b": 1}, workflow_key="mine"))).replace(
        '"b": 1', '"tags": [], "a": ' + json.dumps(config)
    )
    with Server([TAKEN, answer(200, text), json_answer(single(2))]) as server:
        assert ask(call, server.url, "deploy", {"tags": [], "a": config}, key="mine").changed is False


def test_a_deploy_needs_a_key(call: Caller) -> None:
    with Server(json_answer(single())) as server, pytest.raises(ConfigurationError, match="workflow_key"):
        ask(call, server.url, "deploy", WORKFLOW)
    with Server(json_answer(single())) as server, pytest.raises(ConfigurationError, match="inside of the config"):
        ask(call, server.url, "deploy", {"workflow_key": "k", "blocks": []})
    assert server.hits == 0


@pytest.mark.parametrize("file", [False, True], ids=["mapping", "file"])
@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"services": {"web": {"image": "nginx"}}}, "add blocks"),
        ({"name": "app", "version": "1.0.0"}, "add blocks"),
        ({"bloks": []}, "did you mean 'blocks'"),
    ],
)
def test_a_deploy_of_another_program_s_file_sends_nothing(
    call: Caller, config: dict[str, Any], said: str, file: bool, tmp_path: Path
) -> None:
    path = tmp_path / "w.yml"
    path.write_text(json.dumps(config))
    for workflow in (
        (path, load_workflow(path)) if file else (config, {"workflow_config": config}, LoadedWorkflow(config))
    ):
        with Server(json_answer(single())) as server, pytest.raises(WorkflowFileError, match=said):
            ask(call, server.url, "deploy", workflow, key="mine")
        assert server.hits == 0


def test_a_deploy_of_nothing_is_left_to_the_api(call: Caller) -> None:
    with Server(json_answer(single())) as server:
        ask(call, server.url, "deploy", {}, key="mine")
    assert server.hits == 1


def test_the_deadline_of_a_deploy_is_for_all_of_its_calls(call: Caller) -> None:
    with Server([TAKEN, json_answer(page()), silent()]) as server, pytest.raises(APITimeoutError):
        ask(call, server.url, "deploy", WORKFLOW, key="mine", deadline=0.5)
    assert server.hits == 3


def test_an_unknown_outcome_in_the_middle_of_a_deploy(call: Caller) -> None:
    with Server([TAKEN, close_unanswered]) as server, pytest.raises(APIConnectionError) as raised:
        ask(call, server.url, "deploy", WORKFLOW, key="mine", force=True)
    assert script_of(server) == [CREATE, REVISE]
    assert raised.value.run_may_have_started is True
    assert "the revision may have been made" in str(raised.value)


# --- Runs by id ---------------------------------------------------------------------------------------------------


def test_execute_gives_the_run(call: Caller) -> None:
    with Server(json_answer(run_answer("Hello"))) as server:
        run = ask(call, server.url, "execute", "wf_1", {"a": "b"})
    assert (run.text, run.id, run.ok) == ("Hello", "run_1", True)


def test_a_failed_run_raises_unless_told_otherwise(call: Caller) -> None:
    failed = run_answer(stop_reason="workflow_run_failed", errors=["out of order"])
    with Server(json_answer(failed)) as server:
        with pytest.raises(RunFailedError, match="out of order"):
            ask(call, server.url, "execute", "wf_1")
        assert ask(call, server.url, "execute", "wf_1", check=False).ok is False


def test_an_unknown_workflow(call: Caller) -> None:
    with Server(json_answer({"detail": "no such"}, 404)) as server, pytest.raises(NotFoundError, match="no such"):
        ask(call, server.url, "execute", "wf_1")


def event(name: str, **data: Any) -> bytes:
    return f"data: {json.dumps({'name': name, 'data': {'workflow_run_id': 'run_1', **data}})}\n\n".encode()


STREAM = [
    event("workflow_run_started", session_id="s", workflow_id="wf_1", inputs={}, state={}, workflow_config={}),
    event("block_state_updated", block_id="a", update_data={"output": "Hel"}, update_type="partial"),
    event("block_state_updated", block_id="a", update_data={"output": "lo"}, update_type="partial"),
    event("workflow_run_completed", output={"a": {"output": "Hello"}}),
]


def follow(call: Caller, url: str, **options: Any) -> Any:
    """Stream a stored workflow; return its texts and the run, or raise."""

    def sync_follow() -> Any:
        with scout.Scout(**SETTINGS, base_url=url) as client, client.workflows.stream("wf_1", **options) as stream:
            return [*stream.text("a")], stream.run

    async def async_follow() -> Any:
        async with (
            scout.AsyncScout(**SETTINGS, base_url=url) as client,
            client.workflows.stream("wf_1", **options) as stream,
        ):
            return [piece async for piece in stream.text("a")], stream.run

    return asyncio.run(async_follow()) if call.is_async else sync_follow()


def test_stream_gives_the_run_live(call: Caller) -> None:
    with Server(chunked(STREAM, content_type="text/event-stream")) as server:
        texts, run = follow(call, server.url, environment="console")
    assert texts == ["Hel", "lo"]
    assert run.outputs["a"] == "Hello"
    (request,) = server.requests
    assert request.path == "/v2/workflows/wf_1/execute"
    assert request.query.pop("environment") == "console"
    assert request.query["session_id"].startswith("scout-py-")
    assert request.json() == {"streaming": True}
    assert "text/event-stream" in request.headers["accept"]


def test_a_stream_that_ends_early_is_an_error_with_what_came(call: Caller) -> None:
    script = chunked(STREAM[:-1], content_type="text/event-stream")
    with Server(script) as server, pytest.raises(scout.StreamInterruptedError) as raised:
        follow(call, server.url)
    assert raised.value.run.outputs["a"] == "Hello"
    assert server.hits == 1


# --- What cannot work ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "args", "options", "error"),
    [
        ("create", (5,), {}, WorkflowFileError),
        ("create", ({"blocks": 5},), {}, WorkflowFileError),
        ("create", ("no/such/file.yml",), {}, WorkflowFileError),
        ("create", ({},), {"key": ""}, ConfigurationError),
        ("create", ({},), {"key": 5}, ConfigurationError),
        ("create_revision", ({},), {}, ConfigurationError),
        ("create_revision", ({},), {"id": "a", "key": "b"}, ConfigurationError),
        ("create_revision", ({},), {"id": ""}, ConfigurationError),
        ("deploy", ({},), {"key": ""}, ConfigurationError),
        ("execute", ("wf_1",), {"workflow_key": "k"}, ConfigurationError),
        ("execute", ("wf_1", {"a": float("nan")}), {}, ConfigurationError),
        ("get", ("wf_1",), {"extra_body": {"a": 1}}, ConfigurationError),
        ("get", ("wf_1",), {"extra_headers": {"a\n": "b"}}, ConfigurationError),
        ("get", ("wf_1",), {"timeout": 0}, ConfigurationError),
        ("get", ("wf_1",), {"environment": "x"}, TypeError),
        ("delete", ("wf_1",), {"nonsense": 1}, TypeError),
    ],
    ids=str,
)
def test_bad_arguments_send_nothing(method: str, args: Any, options: Any, error: Any, call: Caller) -> None:
    with Server(json_answer(single())) as server, pytest.raises(error):
        ask(call, server.url, method, *args, **options)
    assert server.hits == 0


def test_a_closed_client_says_so(call: Caller) -> None:
    def program(make: Any) -> Iterator[Any]:
        client = make(**SETTINGS, base_url="http://127.0.0.1:9")
        workflows = client.workflows
        yield client.aclose() if call.is_async else client.close()
        for attempt in (lambda: workflows.get("a"), lambda: client.workflows.create({}), lambda: workflows.list()):
            with pytest.raises(ScoutError, match="closed"):
                yield attempt()

    call.drive(program)


def test_with_options_reaches_workflows(call: Caller) -> None:
    def program(make: Any) -> Iterator[Any]:
        client = make(**SETTINGS, base_url=server.url)
        yield client.with_options(headers={"X-Mine": "a"}).workflows.get("wf_1")
        yield client.workflows.get("wf_1")
        yield client.aclose() if call.is_async else client.close()

    with Server(json_answer(single())) as server:
        call.drive(program)
    assert [request.headers.get("x-mine") for request in server.requests] == ["a", None]


def test_a_fetched_workflow_is_a_workflow(call: Caller) -> None:
    def program(make: Any) -> Iterator[Any]:
        client = make(**SETTINGS, base_url=server.url)
        fetched = yield client.workflows.get("wf_1")
        yield client.execute(fetched)
        yield client.workflows.update("wf_1", fetched)
        yield client.aclose() if call.is_async else client.close()

    config = {"blocks": [], "z": None, "a": 1.5}
    with Server([json_answer(single(1, config)), json_answer(run_answer()), json_answer(single())]) as server:
        call.drive(program)
    _, run, update = server.requests
    assert run.json() == {"workflow_key": "key-1", "workflow_config": config, "streaming": False}
    assert list(json.loads(update.body)) == ["blocks", "z", "a"]


def test_threads_may_share_one(call: Caller) -> None:
    if call.is_async:
        pytest.skip("threads are for the synchronous client")
    found: list[str] = []

    def choose(request: Received) -> Behaviour:
        return json_answer({"data": {**stored(), "workflow_id": request.path.rpartition("/")[2]}})

    with Server(route(choose), keep_alive=True) as server, scout.Scout(**SETTINGS, base_url=server.url) as client:
        workflows = client.workflows
        threads = [threading.Thread(target=lambda n=n: found.append(workflows.get(f"wf_{n}").id)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert sorted(found) == sorted(f"wf_{n}" for n in range(20))


def test_both_have_the_same_methods_and_parameters() -> None:
    def shape(kind: type) -> dict[str, list[tuple[str, Any, Any]]]:
        return {
            name: [(each.name, each.kind, each.default) for each in inspect.signature(method).parameters.values()]
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_")
        }

    assert shape(scout.Runs) == shape(scout.AsyncRuns)
    assert set(shape(scout.Runs)) == {"get", "list", "find"}
    assert shape(scout.Workflows) == shape(scout.AsyncWorkflows)
    assert set(shape(scout.Workflows)) == {
        *("list", "get", "find", "create", "update", "delete", "create_revision", "deploy", "execute", "stream"),
        *("revisions", "rename_revision", "delete_revision", "promote", "environments", "set_environment"),
    }


def test_unprocessable_details_are_handed_on(call: Caller) -> None:
    detail = {"loc": ["body", "blocks"], "msg": "Field required", "type": "missing"}
    with Server(json_answer({"detail": [detail]}, 422)) as server, pytest.raises(UnprocessableEntityError) as raised:
        ask(call, server.url, "create", {})
    assert raised.value.details == [detail]
