"""`scout.runs`, in both clients: what is sent, how a log is read, how a page ends, and when `find` is certain."""

import asyncio
import copy
import json
import pickle
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
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
    html,
    json_answer,
    reset_after_request,
    route,
    silent,
    stream,
    wrong_length,
)
from test_workflows import SETTINGS, page, stored
from test_workflows import ask as ask_part

import scout
from scout import (
    APIConnectionError,
    APIResponseError,
    APITimeoutError,
    AuthenticationError,
    ConfigurationError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    Run,
    RunFailedError,
    RunRecord,
    RunStatus,
    ScoutError,
    StreamInterruptedError,
)
from scout._answers import Answer, read_record, read_record_page

pytestmark = pytest.mark.usefixtures("short_pauses")

MISSING = answer(404, '{"detail": "Run not found"}')


def log(**more: Any) -> dict[str, Any]:
    """The log of a run with one block."""
    block = {
        "block_id": "answer",
        "block_archetype_id": "com.scoutos.llm",
        "block_output": {"output": "Hello"},
        "config": {"block_id": "answer", "block_archetype_id": "com.scoutos.llm", "dependencies": []},
        "status": "completed",
        "cost": 0.25,
        "timestamp_start": "2026-01-02T03:04:05Z",
        "timestamp_end": "2026-01-02T03:04:07Z",
    }
    return {
        "workflow_display_name": "Greeting",
        "workflow_run_id": "run_1",
        "workflow_id": "wf_1",
        "status": "completed",
        "session_id": "sess_1",
        "environment": "production",
        "revision_id": "rev_1",
        "message": "",
        "cost": 0.25,
        "blocks": {"answer": block},
        "output": "Hello",
        "elapsed_time_ms": 2500,
        "timestamp_start": "2026-01-02T03:04:05Z",
        "timestamp_end": "2026-01-02T03:04:07.500000Z",
        **more,
    }


def rows(*given: object) -> bytes:
    return b"".join(
        b"data: %s\n\n" % (each if isinstance(each, bytes) else json.dumps(each).encode()) for each in given
    )


def log_page(*given: object, next_cursor: str | None = None) -> Behaviour:
    end = {"final": True, "has_more": next_cursor is not None, "next_cursor": next_cursor}
    return answer(200, rows(*given, end), content_type="text/event-stream")


def ask(call: Caller, url: str, method: str, *args: Any, **options: Any) -> Any:
    """Call one method of `runs`; return what it returns."""
    return ask_part(call, url, method, *args, of="runs", **options)


def pages(call: Caller, url: str, workflow_id: str = "wf_1", *, client: Any = None, **options: Any) -> list[Any]:
    """Return the records of a list."""

    def sync_list() -> list[Any]:
        with scout.Scout(**{**SETTINGS, "base_url": url, **(client or {})}) as client_:
            return list(client_.runs.list(workflow_id, **options))

    async def async_list() -> list[Any]:
        async with scout.AsyncScout(**{**SETTINGS, "base_url": url, **(client or {})}) as client_:
            return [record async for record in client_.runs.list(workflow_id, **options)]

    return asyncio.run(async_list()) if call.is_async else sync_list()


def unknown(**more: Any) -> ScoutError:
    """The error of a run of which nobody knows whether it started."""
    error = APIConnectionError("broke")
    error.session_id, error.workflow_id = "sess_1", "wf_1"
    vars(error).update(more)
    return error


# --- One log ------------------------------------------------------------------------------------------------------


def test_a_run_is_got_by_its_id_or_its_session(call: Caller) -> None:
    with Server(json_answer(log(session_id="a b"))) as server:
        record = ask(call, server.url, "get", "wf_1", run_id="run_1")
        assert ask(call, server.url, "get", "wf_1", session_id="a b", extra_query={"more": 1}) == record
    assert [request.method for request in server.requests] == ["GET", "GET"]
    assert [request.path for request in server.requests] == ["/v2/run_logs/details"] * 2
    assert [request.query for request in server.requests] == [
        {"workflow_id": "wf_1", "workflow_run_id": "run_1"},
        {"workflow_id": "wf_1", "session_id": "a b", "more": "1"},
    ]
    assert (record.id, record.session_id, record.workflow_id) == ("run_1", "a b", "wf_1")
    assert (record.status, record.cost, record.environment, record.revision_id) == (
        RunStatus.COMPLETED,
        0.25,
        "production",
        "rev_1",
    )
    assert (record.message, record.workflow_name, record.duration) == ("", "Greeting", 2.5)
    assert record.started == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    run = record.run
    assert (run.ok, run.output, run.price, run.output_block_id, run.errors) == (True, "Hello", 0.25, "answer", [])
    (block,) = run.blocks
    assert (block.id, block.archetype, block.status, block.duration) == (
        "answer",
        "com.scoutos.llm",
        RunStatus.COMPLETED,
        2.0,
    )
    assert block.dependencies == ()
    assert Run.from_dict(json.loads(json.dumps(run.to_dict()))) == run


def test_a_record_is_short_and_travels() -> None:
    record = read(log(session_id="s", message="x" * 500))
    for again in (
        pickle.loads(pickle.dumps(record)),
        copy.deepcopy(record),
        read(log(session_id="s", message="x" * 500)),
    ):
        assert again == record
    assert record != read(log())
    assert len(repr(record)) < 300
    assert repr(read(log())).startswith("RunRecord(id='run_1', status='completed', started=datetime")


@pytest.mark.parametrize("method", ["get", "list", "find"])
def test_a_workflow_is_found_by_its_key(method: str, call: Caller) -> None:
    def choose(request: Received) -> Behaviour:
        if request.path == "/v2/workflows":
            return json_answer(page(stored(7, workflow_key="mine")))
        return log_page(log()) if request.path == "/v2/run_logs" else json_answer(log())

    with Server(route(choose)) as server:
        if method == "get":
            ask(call, server.url, "get", "key:mine", run_id="run_1")
        elif method == "find":
            ask(call, server.url, "find", "sess_1", workflow_id="key:mine")
        else:
            assert [record.id for record in pages(call, server.url, "key:mine")] == ["run_1"]
        with pytest.raises(NotFoundError, match="no workflow has the key 'other'"):
            ask(call, server.url, "get", "key:other", run_id="run_1")
    assert server.requests[0].path == "/v2/workflows"
    assert server.requests[1].query["workflow_id"] == "wf_7"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give either run_id= or session_id="),
        ({"run_id": "a", "session_id": "b"}, "give either run_id= or session_id="),
        ({"run_id": ""}, "run_id must not be empty"),
        ({"session_id": 5}, "session_id must be text, not int"),
        ({"run_id": "a", "extra_body": {"a": 1}}, "extra_body is not for this call"),
    ],
)
def test_what_does_not_name_a_run_is_refused(options: dict[str, Any], message: str, call: Caller) -> None:
    with Server(json_answer(log())) as server, pytest.raises(ConfigurationError, match=re.escape(message)):
        ask(call, server.url, "get", "wf_1", **options)
    assert server.hits == 0


@pytest.mark.parametrize("behaviour", [MISSING, answer(200, "null")])
def test_a_run_that_the_logs_do_not_have(behaviour: Behaviour, call: Caller) -> None:
    with Server(behaviour) as server, pytest.raises(NotFoundError) as raised:
        ask(call, server.url, "get", "wf_1", run_id="run_1")
    assert raised.value.run_may_have_started is False
    assert server.hits == 1


@pytest.mark.parametrize(
    ("options", "told", "what"),
    [
        ({"run_id": "run_2"}, {}, "it is the log of another run, of the run 'run_1'"),
        ({"session_id": "mine"}, {"session_id": "another"}, "it is the log of another run, of the session 'another'"),
        ({"session_id": "mine"}, {"session_id": None}, "it does not say of which session it is the log"),
        ({"session_id": "7"}, {"session_id": 7}, "it does not say of which session it is the log"),
    ],
)
def test_the_log_of_another_run_is_not_taken_for_this_one(
    options: dict[str, Any], told: dict[str, Any], what: str, call: Caller
) -> None:
    with Server(json_answer(log(**told))) as server, pytest.raises(APIResponseError) as raised:
        ask(call, server.url, "get", "wf_1", **options)
    assert what in str(raised.value)


# --- What a log says ----------------------------------------------------------------------------------------------


def read(told: object) -> RunRecord:
    return read_record(Answer(200, {"content-type": "application/json"}, json.dumps(told).encode(), ""))


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ("completed", RunStatus.COMPLETED),
        ("failed", RunStatus.FAILED),
        ("running", RunStatus.STARTED),
        ("started", RunStatus.STARTED),
        ("workflow_run_completed", RunStatus.COMPLETED),
        ("queued", "queued"),
    ],
)
def test_the_statuses_of_logs(told: str, status: str) -> None:
    record = read(log(status=told))
    assert record.status == status
    assert isinstance(record.status, RunStatus)
    assert (record.ended is None) == (record.duration is None) == (status == RunStatus.STARTED)


def block(name: str, output: object, **more: Any) -> dict[str, Any]:
    config = more.pop("config", {"block_id": name, "dependencies": more.pop("needs", [])})
    return {"block_id": name, "block_output": output, "config": config, "status": "completed", **more}


def needs(*names: str) -> list[dict[str, str]]:
    return [{"block_id": name} for name in names]


@pytest.mark.parametrize(
    ("blocks", "output", "block_id", "expected"),
    [
        ({"a": block("a", "Hi")}, "Hi", "a", "Hi"),
        ({"a": block("a", {"output": "Hi", "meta": {}})}, None, "a", "Hi"),
        ({"a": block("a", {"title": 1})}, None, "a", {"title": 1}),
        ({"a": block("a", None)}, "Hi", "a", "Hi"),
        ({"a": block("a", None)}, {"output": "Hi"}, "a", "Hi"),
        ({"a": block("a", None)}, {"title": "Hi"}, "a", {"title": "Hi"}),
        ({"a": block("a", None)}, {"a": {"output": "Hi"}}, "a", "Hi"),
        ({"a": block("a", None)}, {"a": {"output": "Hi"}, "inputs": {"x": 1}, "__exp_global": {}}, "a", "Hi"),
        ({"a": block("a", "1"), "b": block("b", "2", needs=needs("a"))}, "2", "b", "2"),
        ({"a": block("a", "1"), "b": block("b", "2")}, None, None, None),
        ({"a": block("a", "1", config={"is_output": True}), "b": block("b", "2", needs=needs("a"))}, None, "a", "1"),
        ({"a": block("a", "1", config={"block_is_output": True}), "b": block("b", "2")}, None, "a", "1"),
        ({"a": block("a", "1"), "b": block("b", "2")}, "3", "output", "3"),
        ([block("a", "Hi")], None, "a", "Hi"),
        (None, "Hi", "output", "Hi"),
        ({}, None, None, None),
        ({"a": 5, "b": None}, 0, None, None),
        ("?", ["x"], "output", ["x"]),
    ],
)
def test_the_output_of_a_log(blocks: object, output: object, block_id: str | None, expected: object) -> None:
    run = read(log(blocks=blocks, output=output)).run
    assert run.output_block_id == block_id
    assert run.output == expected
    assert run.ok


def test_a_run_that_has_not_completed_has_no_output_of_a_block_that_only_ran_last() -> None:
    blocks = {"a": block("a", "1"), "b": block("b", None, status="failed", message="no", needs=needs("a"))}
    run = read(log(status="failed", blocks=blocks, output=None)).run
    assert (run.output_block_id, run.output) == (None, None)
    assert run.outputs == {"a": "1"}
    assert run.errors == ["no"]
    with pytest.raises(RunFailedError, match="run run_1 failed in block 'b': no"):
        run.raise_for_status()
    running = read(log(status="running", blocks={"a": block("a", None, status="running", timestamp_end="?")})).run
    assert [(each.status, each.ended) for each in running.blocks] == [(RunStatus.STARTED, None)]
    assert read(log(status="failed", message="all over", blocks=blocks)).run.errors == ["all over"]
    assert read(log(status="completed", message="a word")).run.errors == []


def test_blocks_stand_in_the_order_in_which_they_started() -> None:
    times = {"a": None, "b": "2026-01-01T00:00:02Z", "c": "2026-01-01T00:00:01Z"}
    blocks = {name: block(name, 1, timestamp_start=when) for name, when in times.items()}
    assert [each.id for each in read(log(blocks=blocks)).run.blocks] == ["c", "b", "a"]


@pytest.mark.parametrize("place", ["metadata", "block_output"])
def test_model_and_tokens_of_a_block(place: str) -> None:
    meta = {"model": "m", "input_tokens": 3, "output_tokens": 4.0, "cost": 0.5}
    told = block("a", "Hi", metadata=meta) if place == "metadata" else block("a", {"output": "Hi", "meta": meta})
    (found,) = read(log(blocks={"a": told})).run.blocks
    assert (found.model, found.input_tokens, found.output_tokens, found.price) == ("m", 3, 4, 0.5)


def test_a_log_with_wrong_types_is_read_as_far_as_it_goes() -> None:
    odd: dict[str, Any] = dict.fromkeys(log(), 5) | {"workflow_run_id": "run_1", "status": "completed"}
    record = read(odd)
    assert (record.id, record.session_id, record.workflow_id, record.status) == ("run_1", None, None, "completed")
    assert (record.cost, record.environment, record.started, record.ended) == (5.0, None, None, None)
    assert record.message == "5"
    assert read({"workflow_run_id": "run_1", "status": "failed"}).run.errors == []
    nested = block("a", "x", timestamp_start=[], cost={}, message=["m"], metadata=5, block_archetype_id=1, config=3)
    (found,) = read(log(blocks={"a": nested})).run.blocks
    assert (found.started, found.price, found.archetype, found.dependencies) == (None, None, None, None)


@pytest.mark.parametrize("told", ["nan", "inf", "-Infinity", "1e999", True, [1], 10**400])
def test_what_is_no_finite_number_is_not_known(told: object) -> None:
    record = read(log(cost=told, elapsed_time_ms=told, timestamp_end=None, blocks={"a": block("a", "x", cost=told)}))
    assert (record.cost, record.duration, record.run.price) == (None, None, None)


def test_numbers_and_halves_of_characters_arrive_as_elsewhere() -> None:
    body = json.dumps(log(cost="0.5", output="x")).encode()
    body = body.replace(b'"output": "x"', b'"output": {"n": 1e400, "i": ' + b"7" * 5000 + rb', "h": "\ud83d"}')
    record = read_record(Answer(200, {}, body, ""))
    output = record.run.output
    assert record.cost == 0.5
    assert output["n"] == Decimal("1e400")
    assert str(output["i"]) == "7" * 5000
    assert output["h"] == "\ufffd"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{}", "it is not a log of a run: it lacks workflow_run_id and status"),
        (b'{"workflow_run_id": "run_1", "status": 1}', "it lacks status"),
        (b"[]", "list where an object belongs"),
        (b'{"workflow_run_id": "run', "it is not whole JSON"),
        (b"", "it has no body"),
        (b"<title>Hello</title>", "an HTML page titled 'Hello'"),
    ],
)
def test_what_is_no_log(body: bytes, reason: str, call: Caller) -> None:
    with Server(answer(200, body)) as server, pytest.raises(APIResponseError) as raised:
        ask(call, server.url, "get", "wf_1", run_id="run_1", retries=0)
    assert reason in str(raised.value)
    assert "may have" not in str(raised.value)
    assert raised.value.run_may_have_started is False


# --- Lists --------------------------------------------------------------------------------------------------------


def test_a_list_goes_through_all_pages(call: Caller) -> None:
    script = [
        log_page(log(workflow_run_id="a"), log(workflow_run_id="b"), next_cursor="c 1"),
        log_page(next_cursor="c2"),
        log_page(log(workflow_run_id="c", status="running")),
    ]
    with Server(script) as server:
        found = pages(
            call,
            server.url,
            since=datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=1))),
            until="2026-02-01",
            status=RunStatus.STARTED,
            session_id="s",
            limit=2,
            summary_only=True,
        )
    assert [(record.id, record.status) for record in found] == [
        ("a", "completed"),
        ("b", "completed"),
        ("c", "started"),
    ]
    first = {
        "workflow_id": "wf_1",
        "start_date": "2026-01-02T00:00:00+01:00",
        "end_date": "2026-02-01",
        "status": "running",
        "session_id": "s",
        "limit": "2",
        "summary_only": "true",
    }
    assert [request.query for request in server.requests] == [
        first,
        {**first, "cursor": "c 1"},
        {**first, "cursor": "c2"},
    ]
    assert {request.path for request in server.requests} == {"/v2/run_logs"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"since": datetime(2026, 1, 1)}, "since must have a time zone, such as datetime.now(UTC)"),
        ({"until": date(2026, 1, 1)}, "until must be a datetime, or text in ISO 8601, not date"),
        ({"since": "yesterday"}, "since must be a time in ISO 8601, such as '2026-01-31T12:00:00Z', not 'yesterday'"),
        ({"status": ""}, "status must not be empty"),
        ({"status": 1}, "status must be text, not int"),
        ({"limit": 0}, "limit must be a whole number, 1 or more, not 0"),
        ({"cursor": 1}, "cursor must be text, not int"),
        ({"summary_only": 1}, "summary_only must be True or False, not 1"),
    ],
)
def test_an_invalid_filter_is_refused_at_once(options: dict[str, Any], message: str, call: Caller) -> None:
    client: Any = call.client_class(**SETTINGS, base_url="http://127.0.0.1:1")
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        client.runs.list("wf_1", **options)
    with pytest.raises(ConfigurationError, match="id must be the text of a workflow's id, not dict"):
        client.runs.list({})


END = {"final": True, "has_more": False}


@pytest.mark.parametrize(
    "body",
    [
        rows(log(), END),
        rows(log(), {"final": False, "has_more": False}),
        rows(log(), {"has_more": False}),
        rows(log(), {"final": True}),
        rows({"final": False, "has_more": True, "next_cursor": "c"}, log(), END),  # the last row is the end
        rows(log(), END, b"[DONE]"),
        rows(log(), {"workflow_run_id": None, **END}),
        b"event: ping\ndata: 12:30\n\n" + rows(log(), END) + b"event: ping\ndata: {}\n\n",
        b": hello\n\n" + rows(log()).replace(b"\n", b"\r\n") + b"event: end\n" + rows(END),
    ],
)
@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
def test_ways_in_which_a_page_may_end(body: bytes, kind: str) -> None:
    found = read_record_page(Answer(200, {"content-type": kind}, body))
    assert [record.id for record in found.records] == ["run_1"]


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b": nothing yet\n\n",
        rows(log()),
        rows(log(), b"[DONE]"),
        rows(log(), END, log()),  # a row after the end: where the page ends is not known
        rows(log()) + b'data: {"final": true, "has_more": fal',
        rows(log()) + rows(END)[:-1],  # an event that is not ended does not count
        rows(b"{", END),
        b'event: error\ndata: {"detail": "too slow"}\n\n',
        b"event: error\ndata: too slow\n\n",
    ],
)
def test_a_page_that_is_cut_short_is_read_again(body: bytes, call: Caller) -> None:
    cut = answer(200, body, content_type="text/event-stream")
    with Server([cut, log_page(log())]) as server:
        assert [record.id for record in pages(call, server.url)] == ["run_1"]
    assert server.hits == 2
    with Server(cut) as server, pytest.raises(APIResponseError) as raised:
        pages(call, server.url)
    assert server.hits == 3
    assert raised.value.run_may_have_started is False
    assert str(raised.value).startswith("page 1 of the list: the answer with status 200 cannot be understood: ")


@pytest.mark.usefixtures("no_waiting")
def test_a_connection_that_breaks_within_a_page_is_made_again(call: Caller) -> None:
    half = chunked([rows(log())], content_type="text/event-stream", finish=False)
    with Server([half, wrong_length(rows(log()), 5000), answer(500), log_page(log())]) as server:
        assert len(pages(call, server.url, retries=3)) == 1
    assert server.hits == 4


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (json_answer({"data": []}), "it is not a stream of run logs: {"),
        (html("<title>Sign in</title>"), "it is not a stream of run logs: an HTML page titled 'Sign in'"),
        (log_page([log()]), "its row 1 is list where an object belongs"),
        (log_page({"workflow_run_id": "a"}), "its row 1 is not a log of a run: it lacks status"),
        (log_page(log(), {"hello": 1}), "its row 2 is not a log of a run: it lacks workflow_run_id and status"),
    ],
)
def test_what_is_no_page_of_logs(behaviour: Behaviour, reason: str, call: Caller) -> None:
    with Server(behaviour) as server, pytest.raises(APIResponseError) as raised:
        pages(call, server.url)
    assert reason in str(raised.value)
    assert server.hits == 1


def test_keys_that_have_run_out_do_not_end_a_list(call: Caller) -> None:
    keys = iter([KEY])
    with Server(log_page(log(), next_cursor="more")) as server, pytest.raises(RuntimeError, match="StopIteration"):
        pages(call, server.url, client={"api_key": keys.__next__})
    assert server.hits == 1


def test_the_pages_of_a_list_can_be_had_as_they_are(call: Caller) -> None:
    script = [log_page(log(), next_cursor="c"), log_page(log(), next_cursor="c")]

    def sync_pages() -> list[Any]:
        with scout.Scout(**SETTINGS, base_url=server.url) as client:
            found = client.runs.list("wf_1").pages()
            first = [next(found), next(found)]
            with pytest.raises(APIResponseError) as raised:
                next(found)
            return [*first, raised.value]

    async def async_pages() -> list[Any]:
        async with scout.AsyncScout(**SETTINGS, base_url=server.url) as client:
            found = client.runs.list("wf_1").pages()
            first = [await anext(found), await anext(found)]
            with pytest.raises(APIResponseError) as raised:
                await anext(found)
            return [*first, raised.value]

    with Server(script) as server:
        first, second, error = asyncio.run(async_pages()) if call.is_async else sync_pages()
    assert [first.next_cursor, second.next_cursor] == ["c", "c"]
    assert str(error) == (
        "page 2 of the list (cursor='c') leads back to 'c' (next_cursor), so that the list would never end"
    )


# --- Finding a run ------------------------------------------------------------------------------------------------


def logs(*behaviours: Behaviour) -> Server:
    return Server(behaviours)


def test_a_run_is_found_at_once(call: Caller) -> None:
    with logs(json_answer(log(session_id="sess_1"))) as server:
        record = ask(call, server.url, "find", unknown())
        assert record == ask(call, server.url, "find", "sess_1", workflow_id="wf_1")
    assert record.run.output == "Hello"
    assert [request.query for request in server.requests] == [{"workflow_id": "wf_1", "session_id": "sess_1"}] * 2


def test_a_run_is_asked_for_until_it_has_ended(call: Caller) -> None:
    with logs(
        MISSING, answer(200, "null"), json_answer(log(status="running")), answer(503), json_answer(log())
    ) as server:
        assert ask(call, server.url, "find", unknown()).status == RunStatus.COMPLETED
    assert server.hits == 5


def test_a_run_that_failed_is_found(call: Caller) -> None:
    with logs(MISSING, json_answer(log(status="failed", message="no"))) as server:
        record = ask(call, server.url, "find", unknown())
    assert (record.status, record.message, record.run.errors) == (RunStatus.FAILED, "no", ["no"])


@pytest.mark.parametrize("status", ["running", "paused"])
def test_a_run_that_goes_on_is_returned_as_it_is(status: str, call: Caller) -> None:
    with logs(MISSING, json_answer(log(status=status))) as server:
        record = ask(call, server.url, "find", unknown(), within=0.15)
    assert record.status == RunStatus(status) if status != "running" else record.status == RunStatus.STARTED
    assert server.hits > 3


def test_a_run_that_the_logs_never_have_is_none(call: Caller) -> None:
    began = time.monotonic()
    with logs(MISSING) as server:
        assert ask(call, server.url, "find", unknown(), within=0.15) is None
        assert 0.15 <= time.monotonic() - began < 1
        hits = server.hits
        assert ask(call, server.url, "find", unknown(), within=0) is None
    assert hits > 3
    assert server.hits == hits + 1


def test_the_run_of_a_stream_is_found_by_its_id(call: Caller) -> None:
    run = Run("run_1", "theirs", "wf_9", RunStatus.STARTED)
    with logs(json_answer(log())) as server:
        assert ask(call, server.url, "find", StreamInterruptedError("cut", run=run)).id == "run_1"
    assert server.requests[0].query == {"workflow_id": "wf_9", "workflow_run_id": "run_1"}


def test_nothing_is_asked_about_a_run_that_certainly_did_not_start(call: Caller) -> None:
    with logs(json_answer(log())) as server:
        assert ask(call, server.url, "find", unknown(run_may_have_started=False)) is None
        assert ask(call, server.url, "find", ConfigurationError("no")) is None
    assert server.hits == 0


@pytest.mark.parametrize(
    ("asked", "options", "message"),
    [
        (unknown(workflow_id=None), {}, "this APIConnectionError does not tell the workflow of its run"),
        (unknown(session_id=None), {}, "tells neither the id of its run nor the session"),
        ("sess_1", {}, "a session alone does not tell the run: give workflow_id= as well"),
        ("", {"workflow_id": "wf_1"}, "session_id must not be empty"),
        (5, {"workflow_id": "wf_1"}, "find takes an error of this package, or the text of a session's id, not int"),
        (OSError(), {"workflow_id": "wf_1"}, "find takes an error of this package"),
        (unknown(), {"within": -1}, "within must be 0 seconds or more, not -1"),
        (unknown(), {"within": None}, "within must be a number of seconds, not None"),
        (unknown(), {"within": "5"}, "within must be a number of seconds, not '5'"),
        (unknown(), {"within": 1e300}, "within must be at most 1000000000 seconds"),
        (unknown(), {"extra_body": {"a": 1}}, "extra_body is not for this call"),
    ],
)
def test_what_cannot_be_found_is_refused(asked: Any, options: dict[str, Any], message: str, call: Caller) -> None:
    with logs(json_answer(log())) as server, pytest.raises(ConfigurationError, match=re.escape(message)):
        ask(call, server.url, "find", asked, **options)
    assert server.hits == 0


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (answer(401), AuthenticationError),
        (answer(403), scout.PermissionDeniedError),
        (answer(422), scout.UnprocessableEntityError),
        (answer(400), scout.BadRequestError),
        (html("<title>Sign in</title>"), APIResponseError),
        (json_answer(log(session_id="another")), APIResponseError),
    ],
)
def test_a_failure_that_lasts_is_raised_at_once(behaviour: Behaviour, error: type[ScoutError], call: Caller) -> None:
    with logs(MISSING, behaviour) as server, pytest.raises(error) as raised:
        ask(call, server.url, "find", unknown())
    assert server.hits == 2
    assert raised.value.__context__ is None


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (answer(500), InternalServerError),
        (reset_after_request, APIConnectionError),
        (answer(429), RateLimitError),
        (answer(200, '{"workflow_run_id": "ru'), APIResponseError),
    ],
)
def test_a_failure_that_may_pass_is_raised_when_the_time_is_over(
    behaviour: Behaviour, error: type[ScoutError], call: Caller
) -> None:
    with logs(behaviour) as server, pytest.raises(error):
        ask(call, server.url, "find", unknown(), within=0.1)
    assert server.hits > 2
    with logs(behaviour, behaviour, json_answer(log())) as server:
        assert ask(call, server.url, "find", unknown()).id == "run_1"
    assert server.hits == 3


def test_a_run_that_was_going_on_is_known_whatever_fails_later(call: Caller) -> None:
    with logs(json_answer(log(status="running")), answer(500)) as server:
        assert ask(call, server.url, "find", unknown(), within=0.1).status == RunStatus.STARTED


def test_a_log_that_refuses_is_asked_when_it_says(call: Caller) -> None:
    with logs(answer(429, headers={"Retry-After": "0.2"}), json_answer(log())) as server:
        assert ask(call, server.url, "find", unknown()).id == "run_1"
    assert server.requests[1].time - server.requests[0].time >= 0.2
    began = time.monotonic()
    with logs(answer(429, headers={"Retry-After": "60"})) as server, pytest.raises(RateLimitError):
        ask(call, server.url, "find", unknown(), within=5)
    assert time.monotonic() - began < 2
    assert server.hits == 1


def test_a_log_that_is_silent_is_given_up_when_the_time_is_over(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scout.runs._LEAST", 0.1)
    began = time.monotonic()
    with logs(silent()) as server, pytest.raises(APITimeoutError):
        ask(call, server.url, "find", unknown(), within=0.2)
    assert 0.2 <= time.monotonic() - began < 1
    with logs(delayed(0.2, json_answer(log()))) as server:
        assert ask(call, server.url, "find", unknown(), within=5).id == "run_1"
    assert server.hits == 1


@pytest.mark.timing
def test_the_deadline_of_a_search_is_kept(call: Caller) -> None:
    began = time.monotonic()
    with logs(silent()) as server, pytest.raises(APITimeoutError):
        ask(call, server.url, "find", unknown(), within=60, deadline=0.3)
    assert time.monotonic() - began < 0.55
    with logs(stream([rows(log()), 10.0])) as server, pytest.raises(APITimeoutError):
        ask(call, server.url, "find", unknown(), within=60, client={"deadline": 0.3})


def test_the_search_says_why_it_waits(call: Caller, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "scout")
    with logs(MISSING, answer(500), json_answer(log())) as server:
        ask(call, server.url, "find", unknown())
    (record,) = caplog.records
    assert record.getMessage().startswith("attempt 2 failed: 500 Internal Server Error")


def test_a_log_that_never_ends_is_not_said_to_break_a_deadline(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scout.runs._LEAST", 0.1)
    with Server(silent()) as server, pytest.raises(APITimeoutError) as raised:
        ask(call, server.url, "find", unknown(), within=0.15)
    assert re.fullmatch(r"no whole answer of the run logs within 0\.[12] s", str(raised.value))


def test_a_closed_client_asks_nothing(call: Caller) -> None:
    def program(make: Callable[..., Any]) -> Iterator[Any]:
        client = make(KEY)
        yield client.aclose() if call.is_async else client.close()
        with pytest.raises(ConfigurationError, match="closed"):
            yield client.runs.get("wf_1", run_id="run_1")

    call.drive(program)
