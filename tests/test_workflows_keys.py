"""`key:NAME` in place of the id of a stored workflow: found by reads, exactly this key, and then one call."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from servers import (
    KEY,
    Behaviour,
    Caller,
    Received,
    Server,
    answer,
    chunked,
    delayed,
    json_answer,
    route,
    run_answer,
    silent,
)
from test_workflows import STREAM, page, single, stored

import scout
from scout import APITimeoutError, ConfigurationError, InternalServerError, NotFoundError, Scout, is_workflow_id
from scout.local import LocalScout

pytestmark = pytest.mark.usefixtures("no_waiting")

LIST = "GET /v2/workflows"
RUN = json_answer(run_answer("Hello"))
FOUND = json_answer(page(stored(1), stored(2, workflow_key="mine"), stored(3, workflow_key="mine too")))
NOBODY = json_answer(page(stored(1)))
CALLS: dict[str, tuple[str, tuple[Any, ...], Behaviour]] = {
    "get": ("GET /v2/workflows/wf_2", (), json_answer(single(2))),
    "update": ("PUT /v2/workflows/wf_2", ({"blocks": []},), json_answer(single(2))),
    "delete": ("DELETE /v2/workflows/wf_2", (), json_answer({"detail": "gone"})),
    "execute": ("POST /v2/workflows/wf_2/execute", ({"a": 1},), RUN),
    "stream": ("POST /v2/workflows/wf_2/execute", ({"a": 1},), chunked(STREAM, content_type="text/event-stream")),
}


def ask(call: Caller, url: str, method: str, *args: Any, **options: Any) -> Any:
    """Call one method of `workflows`, and follow a stream to its end."""

    def program(make: Any) -> Iterator[Any]:
        client = make(KEY, base_url=url, timeout=10.0, connect_timeout=5.0)
        try:
            asked = getattr(client.workflows, method)(*args, **options)
            if method != "stream":
                return (yield asked)
            stream = (yield asked) if call.is_async else asked
            return (yield stream.until_done())
        finally:
            yield client.aclose() if call.is_async else client.close()

    return call.drive(program)


def script_of(server: Server) -> list[str]:
    return [f"{request.method} {request.path}" for request in server.requests]


@pytest.mark.parametrize("method", CALLS)
def test_the_workflow_with_the_key_is_called(method: str, call: Caller) -> None:
    line, args, good = CALLS[method]
    with Server([FOUND, good]) as server:
        ask(call, server.url, method, "key:mine", *args)
    assert script_of(server) == [LIST, line]
    assert server.requests[0].query == {"query": "mine"}


def test_the_api_finds_the_key_of_a_revision_itself(call: Caller) -> None:
    with Server(json_answer(single(2))) as server:
        ask(call, server.url, "create_revision", {}, id="key:mine")
        with pytest.raises(ConfigurationError, match="not both"):
            ask(call, server.url, "create_revision", {}, id="key:mine", key="mine")
    (request,) = server.requests
    assert request.query == {"workflow_key": "mine"}


@pytest.mark.parametrize("method", CALLS)
def test_a_key_that_nobody_has(method: str, call: Caller) -> None:
    _, args, good = CALLS[method]
    with Server([json_answer(page()), FOUND, good]) as server, pytest.raises(NotFoundError) as raised:
        ask(call, server.url, method, "key:MINE", *args)
    assert str(raised.value) == "no workflow has the key 'MINE'"
    assert (raised.value.status, raised.value.body, raised.value.run_may_have_started) == (404, None, False)
    assert script_of(server) == [LIST, LIST]
    with Server([json_answer(page()), FOUND, good]) as server, pytest.raises(NotFoundError, match="mean 'mine'\\?"):
        ask(call, server.url, method, "key:mien", *args)


@pytest.mark.parametrize("method", CALLS)
def test_a_key_that_several_have(method: str, call: Caller) -> None:
    _, args, good = CALLS[method]
    both = page(stored(1, workflow_key="mine"), stored(2, workflow_key="mine"))
    said = "2 workflows have the key 'mine': 'wf_1', 'wf_2'; give the id of one of them"
    with Server([json_answer(both), good]) as server, pytest.raises(ConfigurationError, match=said):
        ask(call, server.url, method, "key:mine", *args)
    assert server.hits == 1


def test_pages_are_read_up_to_the_one_that_has_it(call: Caller) -> None:
    def choose(request: Received) -> Behaviour:
        if request.method == "POST":
            return RUN
        if "query" in request.query:  # a server whose search does not look at keys
            return NOBODY
        place = int(request.query.get("start_at", "0"))
        return json_answer(page(stored(place, workflow_key=f"key {place}"), next_cursor=str(place + 1)))

    with Server(route(choose)) as server:
        ask(call, server.url, "execute", "key:key 2")
    assert script_of(server) == [LIST, LIST, LIST, LIST, "POST /v2/workflows/wf_2/execute"]


@pytest.mark.parametrize("status", [400, 414, 422])
def test_a_server_that_cannot_search_for_it_is_asked_for_all(status: int, call: Caller) -> None:
    with Server([json_answer({"detail": "not this query"}, status), FOUND, RUN]) as server:
        ask(call, server.url, "execute", "key:mine")
    assert server.hits == 3


@pytest.mark.parametrize("method", ["execute", "stream"])
def test_the_search_is_repeated_and_the_run_is_not(method: str, call: Caller) -> None:
    with (
        Server([answer(503), FOUND, answer(503), CALLS[method][2]]) as server,
        pytest.raises(InternalServerError) as raised,
    ):
        ask(call, server.url, method, "key:mine")
    assert script_of(server) == [LIST, LIST, CALLS[method][0]]
    assert raised.value.run_may_have_started is True


def test_a_search_that_fails_has_run_nothing(call: Caller) -> None:
    with Server(answer(503)) as server, pytest.raises(InternalServerError) as raised:
        ask(call, server.url, "execute", "key:mine")
    assert server.hits == 3
    assert raised.value.run_may_have_started is False
    assert "this was to find the workflow with the key 'mine'" in str(raised.value)


@pytest.mark.parametrize(
    ("method", "args", "options"),
    [
        ("execute", ([],), {}),
        ("execute", ({"a": object()},), {}),
        ("execute", ({},), {"timeout": -1}),
        ("stream", ({},), {"max_event_bytes": 0}),
        ("update", ({"a": {1}},), {}),
        ("get", (), {"extra_body": {"a": 1}}),
    ],
)
def test_an_argument_that_cannot_be_sent_begins_no_search(
    method: str, args: Any, options: dict[str, Any], call: Caller
) -> None:
    with Server(FOUND) as server, pytest.raises(scout.ScoutError):
        ask(call, server.url, method, "key:mine", *args, **options)
    assert server.hits == 0


@pytest.mark.parametrize("method", [*CALLS, "create_revision"])
def test_a_key_of_no_length(method: str, call: Caller) -> None:
    arguments: dict[str, Any] = {"id": "key:", "workflow": {}} if method == "create_revision" else {"id": "key:"}
    if method == "update":
        arguments["workflow"] = {}
    with Server(FOUND) as server, pytest.raises(ConfigurationError, match="id must have a key after 'key:'"):
        ask(call, server.url, method, **arguments)
    assert server.hits == 0


def test_the_deadline_is_for_the_search_too(call: Caller) -> None:
    with Server([delayed(0.1, FOUND), silent()]) as server, pytest.raises(APITimeoutError) as raised:
        ask(call, server.url, "execute", "key:mine", deadline=0.3)
    assert server.hits == 2
    assert raised.value.limit == "deadline"
    assert raised.value.attempts[0].started >= 0.1  # of the run, counted from the beginning of the search


def test_which_options_the_search_has(call: Caller) -> None:
    with Server([FOUND, RUN]) as server:
        ask(
            *(call, server.url, "execute", "key:mine"),
            extra_headers={"x-trace": "t"},
            extra_query={"x": "y"},
            session_id="s",
        )
    search, run = server.requests
    assert (search.headers["x-trace"], search.query) == ("t", {"query": "mine"})
    assert (run.headers["x-trace"], run.query["x"], run.query["session_id"]) == ("t", "y", "s")


def test_a_stream_from_asyncio_searches_when_it_is_entered() -> None:
    async def program(url: str) -> int:
        async with scout.AsyncScout(KEY, base_url=url) as client:
            stream = client.workflows.stream("key:mine")
            before = server.hits
            async with stream:
                await stream.until_done()
            return before

    with Server([FOUND, CALLS["stream"][2]]) as server:
        assert asyncio.run(program(server.url)) == 0
    assert server.hits == 2


def test_any_key_is_found_on_the_local_scout() -> None:
    keys = ["a/b", "..", " ", "a%2Fb", "&a=b", "鍵", "a\nb", "key:mine", "two  spaces ", "wf_1", "K" * 200, "Straße"]
    with LocalScout() as server, Scout("any", base_url=server.url) as client:
        ids = {key: client.workflows.create({"workflow_display_name": "A b c"}, key=key).id for key in keys}
        assert {key: client.workflows.get(f"key:{key}").id for key in keys} == ids


def test_a_key_among_many_costs_one_search() -> None:
    config = {"blocks": [{"block_id": "a", "block_archetype_id": "b", "block_display_name": "c", "is_output": True}]}
    with LocalScout(workflows={f"job {number}": config for number in range(120)}) as server:
        with Scout("any", base_url=server.url) as client:
            assert client.workflows.get("key:job 119").key == "job 119"
        assert len(server.requests) == 2


@pytest.mark.parametrize(("count", "requests"), [(1, 1), (5, 5), (6, 1)])
def test_some_keys_are_found_with_few_requests(count: int, requests: int, call: Caller) -> None:
    every = json_answer(page(*(stored(number) for number in range(9)), next_cursor="more"))
    with Server(every) as server:
        found = ask(call, server.url, "find", [f"key-{number}" for number in range(count)])
    assert {key: each.id for key, each in found.items()} == {f"key-{each}": f"wf_{each}" for each in range(count)}
    assert server.hits == requests


def test_a_server_that_ignores_the_search_is_asked_for_all_workflows_once(call: Caller) -> None:
    def choose(request: Received) -> Behaviour:
        place = int(request.query.get("start_at", "0"))
        more = {"next_cursor": str(place + 1)} if place < 9 else {}
        return json_answer(page(stored(place, workflow_key=f"key {place}"), **more))

    with Server(route(choose)) as server:
        assert ask(call, server.url, "find", ["new", "newer", "newest"]) == {}
    assert server.hits == 3 * 3 + 10


def test_keys_that_nobody_has_are_left_out(call: Caller) -> None:
    with Server([json_answer(page()), FOUND, FOUND]) as server:
        assert list(ask(call, server.url, "find", ["MINE", "mine"])) == ["mine"]
    assert [request.query.get("query") for request in server.requests] == ["MINE", "mine", None]
    with Server(FOUND) as server:
        assert ask(call, server.url, "find", iter(())) == {}
    assert server.hits == 0


@pytest.mark.parametrize("keys", ["mine", ["mine", 5], ["\ud800"]], ids=ascii)
def test_keys_that_cannot_be_some(keys: Any, call: Caller) -> None:
    with Server(FOUND) as server, pytest.raises(ConfigurationError):
        ask(call, server.url, "find", keys)
    assert server.hits == 0


def test_two_workflows_with_one_of_the_keys(call: Caller) -> None:
    both = page(stored(1, workflow_key="mine"), stored(2, workflow_key="mine"))
    with Server(json_answer(both)) as server, pytest.raises(ConfigurationError, match="'wf_1', 'wf_2'"):
        ask(call, server.url, "find", ["mine"])


@pytest.mark.parametrize("text", ["wf_1", "wf_cm18jvw3z000108l2", "0123abcd-0123-4567-89ab-0123456789ab"])
def test_what_looks_like_an_id(text: str) -> None:
    assert is_workflow_id(text)


@pytest.mark.parametrize("text", ["", "wf_", "hello", "wf_1/2", "key:wf_1", " wf_1", "wf_1\n", "workflow.yml"])
def test_what_does_not_look_like_an_id(text: str) -> None:
    assert not is_workflow_id(text)
