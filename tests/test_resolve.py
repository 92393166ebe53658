"""Unknown outcomes: every error of a run of a stored workflow says where its log is, and `resolve=` asks the log.

What must not happen twice is counted by the server: each test says how many runs it was sent.
"""

import asyncio
import copy
import json
import pickle
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from batch_server import BatchServer, Reply
from servers import (
    KEY,
    PATIENCE,
    WORKFLOW,
    Behaviour,
    Caller,
    Received,
    Server,
    answer,
    chunked,
    close_unanswered,
    delayed,
    half_body,
    html,
    json_answer,
    refused_url,
    reset_after_request,
    route,
    run_answer,
    silent,
    stream,
)
from test_batch import run_batch
from test_runs import MISSING, log, pages
from test_workflows import SETTINGS, ask, page, stored

import scout
from scout import (
    APIConnectionError,
    APITimeoutError,
    ConfigurationError,
    NotFoundError,
    Run,
    RunFailedError,
    RunNotFinishedError,
    RunStatus,
    RunUnknownError,
    Scout,
    ScoutError,
    StreamInterruptedError,
)
from scout.cassettes import record, replay
from scout.local import LocalScout

pytestmark = pytest.mark.usefixtures("short_pauses")

OURS = "scout-py-"


class Logged:
    """The log of the run that is asked for."""

    def __init__(self, **more: Any) -> None:
        self._more = more

    def to(self, request: Received) -> Behaviour:
        return json_answer(log(**{"session_id": request.query.get("session_id"), **self._more}))


class Stored:
    """A server with one stored workflow: what an execute gets, and what the logs say, one after the other."""

    def __init__(self, execute: Behaviour, *logs: Behaviour | Logged) -> None:
        self._execute = execute
        self._logs = logs
        self._server = Server(route(self._choose), keep_alive=True)
        self._asked = 0

    def _choose(self, request: Received) -> Behaviour:
        if request.path.endswith("/execute"):
            return self._execute
        if request.path == "/v2/workflows":
            return json_answer(page(stored(7, workflow_key="mine")))
        assert request.path == "/v2/run_logs/details"
        self._asked += 1
        told = self._logs[min(self._asked, len(self._logs)) - 1]
        return told.to(request) if isinstance(told, Logged) else told

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.__exit__(*exc_info)

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def sent(self) -> list[Received]:
        return [request for request in self._server.requests if request.path.endswith("/execute")]

    @property
    def asked(self) -> list[Received]:
        return [request for request in self._server.requests if request.path == "/v2/run_logs/details"]


class Both:
    """Calls one method of `workflows` with either client."""

    def __init__(self, call: Caller) -> None:
        self._call = call

    def execute(self, url: str, id: str = "wf_1", **options: Any) -> Any:  # noqa: A002
        return ask(self._call, url, "execute", id, {"a": 1}, **options)

    def stream(self, url: str, id: str = "wf_1", *, config: Any = None, **options: Any) -> Run:  # noqa: A002
        def begin(client: Any) -> Any:
            return client.workflows.stream(id, **options) if config is None else client.stream(config, **options)

        def sync_stream() -> Run:
            with Scout(**SETTINGS, base_url=url) as client, begin(client) as events:
                return events.until_done()

        async def async_stream() -> Run:
            async with scout.AsyncScout(**SETTINGS, base_url=url) as client, begin(client) as events:
                return await events.until_done()

        return asyncio.run(async_stream()) if self._call.is_async else sync_stream()

    def error(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        with pytest.raises(ScoutError) as raised:
            getattr(self, method)(url, *args, **options)
        return raised.value


@pytest.fixture
def both(call: Caller) -> Both:
    return Both(call)


# --- What errors carry --------------------------------------------------------------------------------------------

STARTED = {
    "name": "workflow_run_started",
    "data": {
        "workflow_run_id": "run_1",
        "workflow_id": "wf_9",
        "session_id": "theirs",
        "workflow_config": {},
        "state": {},
    },
}
NO_IDS = run_answer(session_id=None, workflow_run_id=None, stop_reason="workflow_run_failed") | {"workflow_id": None}
SSE = "text/event-stream"


def frame(event: Any) -> bytes:
    return b"data: %s\n\n" % (event if isinstance(event, bytes) else json.dumps(event).encode())


@pytest.mark.parametrize(
    "behaviour",
    [
        reset_after_request,
        close_unanswered,
        silent(),
        answer(500),
        answer(408),
        answer(503, "<html>"),
        half_body(b'{"run": {"state": {}}}' * 10),
        html("Hello"),
        json_answer({}),
        answer(200, b"\x1f\x8b broken", {"Content-Encoding": "gzip"}),
        json_answer(run_answer(stop_reason="workflow_run_failed")),
        json_answer(NO_IDS),
        json_answer(STARTED),
        answer(200, frame({"name": "block_run_started", "data": {}}), content_type=SSE),
        answer(200, frame(b"{"), content_type=SSE),
    ],
)
def test_an_error_of_an_execute_says_where_its_log_is(behaviour: Behaviour, both: Both) -> None:
    with Stored(behaviour) as server:
        error = both.error("execute", server.url, client={"timeout": 0.3})
    (request,) = server.sent
    assert error.run_may_have_started is True
    assert request.query["session_id"].startswith(OURS)
    told = getattr(error, "run", None)
    if told is not None and told.session_id in ("theirs", "sess_1"):  # what the server says is certain
        assert (error.session_id, error.workflow_id) == (told.session_id, told.workflow_id)
    else:
        assert (error.session_id, error.workflow_id) == (request.query["session_id"], "wf_1")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert (again.session_id, again.workflow_id) == (error.session_id, error.workflow_id)


@pytest.mark.parametrize(
    "behaviour",
    [
        reset_after_request,
        answer(500),
        silent(),
        chunked([b""], content_type=SSE),
        chunked([frame(b"{")], content_type=SSE),
        chunked([b": x\n\n"], content_type=SSE, finish=False),
        stream([frame({"name": "ping"}), 5.0], content_type=SSE),
        chunked([b'event: error\ndata: {"detail": "no"}\n\n'], content_type=SSE),
        chunked([frame({"name": "workflow_run_failed", "data": {"message": "no"}})], content_type=SSE),
        chunked([frame(b'{"a": "' + b"x" * 5000 + b'"}')], content_type=SSE),
        json_answer({}),
        json_answer({"name": "block_run_started", "data": {"workflow_run_id": "r"}}),
    ],
)
def test_an_error_of_a_stream_says_where_its_log_is(behaviour: Behaviour, both: Both) -> None:
    with Stored(behaviour) as server:
        error = both.error("stream", server.url, timeout=0.3, max_event_bytes=1000)
    (request,) = server.sent
    assert error.run_may_have_started is True
    assert (error.session_id, error.workflow_id) == (request.query["session_id"], "wf_1")
    assert error.session_id.startswith(OURS)
    again = pickle.loads(pickle.dumps(error))
    assert (again.session_id, again.workflow_id) == (error.session_id, error.workflow_id)


def test_what_events_told_counts_also_for_a_config(both: Both) -> None:
    with Server(chunked([frame(STARTED)], content_type=SSE)) as server:
        error = both.error("stream", server.url, config=WORKFLOW)
    assert isinstance(error, StreamInterruptedError)
    assert (error.session_id, error.workflow_id, error.run.id) == ("theirs", "wf_9", "run_1")


def test_a_config_has_no_session_but_that_of_the_caller(call: Caller) -> None:
    with Server(reset_after_request) as server:
        error = call.error(server.url)
        assert (error.session_id, error.workflow_id) == (None, None)
        error = call.error(server.url, session_id="mine")
        assert (error.session_id, error.workflow_id) == ("mine", None)
    assert [request.query.get("session_id") for request in server.requests] == [None, "mine"]


@pytest.mark.parametrize(
    ("options", "sent", "told"),
    [
        ({"session_id": "mine"}, "mine", "mine"),
        ({"extra_query": {"session_id": "mine"}}, "mine", "mine"),
        ({"session_id": "a", "extra_query": {"session_id": 5}}, "5", "5"),
        ({"extra_query": {"session_id": None}}, "", None),
        ({"extra_query": {"session_id": ""}}, "", None),
        ({"extra_query": {"session_id": 1.5}}, "1.5", "1.5"),
        ({"extra_query": {"session_id": True}}, "true", None),
        ({"extra_query": {"session_id": ["a", "b"]}}, "a", None),
    ],
)
def test_a_session_of_the_caller_stays(options: dict[str, Any], sent: str, told: str | None, both: Both) -> None:
    with Stored(reset_after_request) as server:
        error = both.error("execute", server.url, **options)
    assert server.sent[0].query["session_id"] == sent
    assert (error.session_id, error.workflow_id) == (told, "wf_1")


@pytest.mark.usefixtures("no_waiting")
def test_each_run_has_a_session_of_its_own_which_its_repeats_share(both: Both) -> None:
    with Stored(answer(500)) as server:
        errors = [both.error("execute", server.url, client={"at_least_once": True}, retries=1) for _ in range(2)]
    sessions = [request.query["session_id"] for request in server.sent]
    assert [error.session_id for error in errors] == sessions[::2] == sessions[1::2]
    assert len(set(sessions)) == 2


def test_the_workflow_of_a_key_is_the_one_that_was_found(both: Both) -> None:
    with Stored(reset_after_request, Logged()) as server:
        for method in ("execute", "stream"):
            error = both.error(method, server.url, "key:mine")
            assert error.workflow_id == "wf_7"


def test_an_error_before_anything_was_sent(both: Both) -> None:
    with refused_url() as url:
        error = both.error("execute", url, retries=0)
    assert error.run_may_have_started is False
    assert error.workflow_id == "wf_1"


def test_a_run_without_ids_has_those_that_were_sent(both: Both) -> None:
    told = run_answer(session_id=None) | {"workflow_id": None}
    with Stored(json_answer(told)) as server:
        run = both.execute(server.url)
    assert (run.workflow_id, run.session_id) == ("wf_1", server.sent[0].query["session_id"])
    done = {"name": "workflow_run_completed", "data": {"output": "Hi"}}
    with Stored(chunked([frame(done)], content_type=SSE)) as server:
        run = both.stream(server.url)
    assert (run.workflow_id, run.session_id) == ("wf_1", server.sent[0].query["session_id"])


def test_a_stream_that_was_opened_before_says_where_its_log_is() -> None:
    async def twice() -> ScoutError:
        async with scout.AsyncScout(**SETTINGS, base_url=server.url) as client:
            events = client.workflows.stream("wf_1")
            opening = asyncio.ensure_future(anext(aiter(events)))
            await asyncio.to_thread(server._server.wait_for_hits, 1)
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            with pytest.raises(StreamInterruptedError) as raised:
                await anext(events)
            return raised.value

    with Stored(silent()) as server:
        error = asyncio.run(twice())
        server._server.wait_until(lambda: server.sent)
    assert (error.session_id, error.workflow_id) == (server.sent[0].query["session_id"], "wf_1")


@pytest.mark.parametrize("streaming", [False, True])
def test_a_row_of_a_batch_says_where_its_log_is(streaming: bool, call: Caller, tmp_path: Path) -> None:
    ways: dict[int, Reply] = {0: Reply(ends="reset"), 1: Reply(500), 2: Reply(body={})}
    options: dict[str, Any] = {"workflow": "wf_1", "stream": streaming, "journal": tmp_path / "j", "ordered": True}
    with BatchServer(lambda asked: ways.get(asked.n, Reply())) as server:
        items = run_batch(call, server.url, [{"n": n} for n in range(4)], **options).items
    with BatchServer() as other:
        again = run_batch(call, other.url, [{"n": n} for n in range(4)], **options).items
    assert other.runs == {}
    for item in (*items[:3], *again[:3]):
        assert item.error is not None
        assert item.error.session_id == item.session_id
        assert item.session_id.startswith(OURS)
        assert item.error.workflow_id == "wf_1"
    assert len({item.session_id for item in items}) == 4
    assert items[3].run.session_id == items[3].session_id


def test_an_interrupted_row_of_a_batch_says_where_its_log_is(call: Caller, tmp_path: Path) -> None:
    path = tmp_path / "j"
    with BatchServer() as server:
        run_batch(call, server.url, [{"n": 1}], workflow="wf_1", journal=path)
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if '"finished"' not in line))
        (item,) = run_batch(call, server.url, [{"n": 1}], workflow="wf_1", journal=path).items
    assert server.runs == {1: 1}
    assert isinstance(item.error, RunUnknownError)
    assert (item.error.session_id, item.error.workflow_id) == (item.session_id, "wf_1")
    again = pickle.loads(pickle.dumps(item.error))
    assert (again.session_id, again.workflow_id) == (item.session_id, "wf_1")


# --- resolve ------------------------------------------------------------------------------------------------------


def notes(error: BaseException) -> str:
    return "; ".join(getattr(error, "__notes__", []))


@pytest.mark.parametrize(
    "behaviour",
    [reset_after_request, answer(500), half_body(b"{}" * 50), json_answer({}), silent(), answer(408)],
)
def test_a_run_whose_answer_was_lost_is_returned(behaviour: Behaviour, both: Both) -> None:
    with Stored(behaviour, MISSING, Logged(status="running"), Logged()) as server:
        run = both.execute(server.url, resolve=10, client={"timeout": 0.3}, extra_headers={"X-Gateway": "a"})
    assert (run.ok, run.output, run.price) == (True, "Hello", 0.25)
    (request,) = server.sent
    assert run.raw == log(session_id=request.query["session_id"])
    session = {"workflow_id": "wf_1", "session_id": request.query["session_id"]}
    assert [each.query for each in server.asked] == [session] * 3
    assert {each.headers["x-gateway"] for each in server.asked} == {"a"}


def test_the_log_says_that_the_run_logs_are_asked(both: Both, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "scout")
    with Stored(reset_after_request, Logged()) as server:
        both.execute(server.url, resolve=10)
    (said,) = [record.getMessage() for record in caplog.records if record.name == "scout"]
    assert said.endswith("the run may have started; asking the run logs for up to 10 s")
    assert KEY not in said


def test_a_run_that_goes_well_asks_nothing(both: Both) -> None:
    with Stored(json_answer(run_answer())) as server:
        assert both.execute(server.url, resolve=10).output == "Hello"
    with Stored(json_answer(run_answer(stop_reason="workflow_run_failed"))) as failed:
        assert type(both.error("execute", failed.url, resolve=10)) is RunFailedError
        assert both.execute(failed.url, resolve=10, check=False).status == RunStatus.FAILED
    assert (len(server.sent), server.asked, failed.asked) == (1, [], [])


@pytest.mark.parametrize(("status", "error"), [(404, NotFoundError), (422, scout.UnprocessableEntityError)])
def test_a_run_that_certainly_did_not_start_asks_nothing(status: int, error: type, both: Both) -> None:
    with Stored(answer(status)) as server:
        assert type(both.error("execute", server.url, resolve=10)) is error
    assert server.asked == []
    with refused_url() as url:
        assert both.error("execute", url, resolve=10, retries=0).run_may_have_started is False


def test_a_run_that_failed_is_treated_as_check_says(both: Both) -> None:
    with Stored(reset_after_request, Logged(status="failed", message="no", workflow_id=None)) as server:
        error = both.error("execute", server.url, resolve=10)
        run = both.execute(server.url, resolve=10, check=False)
    assert type(error) is RunFailedError
    assert [error.run.session_id, run.session_id] == [each.query["session_id"] for each in server.sent]
    assert (error.workflow_id, error.session_id) == ("wf_1", error.run.session_id)
    for each in (error.run, run):
        assert (each.status, each.errors) == (RunStatus.FAILED, ["no"])
    assert error.__context__ is None
    assert len(server.sent) == 2


@pytest.mark.parametrize(
    ("logs", "note"),
    [
        ([MISSING], "the run logs do not have this run (yet), which does not mean that it did not start"),
        ([MISSING, Logged(status="running")], "the run logs say that the run is running"),
        ([Logged(status="paused")], "the run logs say that the run is paused"),
        ([Logged(status=f"held by {KEY}" + "." * 999)], "the run logs say that the run is held by [redacted]..."),
        ([Logged(output=None, blocks={})], "the run logs say that the run completed, and do not have its output (yet)"),
        (
            [Logged(session_id=None)],
            "the run logs could not be read: the answer with status 200 cannot be understood: ",
        ),
        ([answer(500)], "the run logs could not be read: 500 Internal Server Error"),
        ([answer(401)], "the run logs could not be read: 401 Unauthorized"),
        ([html("Hello")], "the run logs could not be read: the answer with status 200 cannot be understood"),
        ([answer(200, '{"workflow_run_id": "ru')], "the run logs could not be read: the answer with status 200"),
        ([silent()], "the run logs could not be read: no whole answer of the run logs within"),
        ([close_unanswered], "the run logs could not be read: the connection to"),
        ([Logged(session_id="another")], "the run logs could not be read: "),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_an_outcome_that_stays_unknown_is_raised_as_before(
    logs: list[Behaviour], note: str, check: bool, both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scout.runs._LEAST", 0.1)
    with Stored(reset_after_request, *logs) as server:
        error = both.error("execute", server.url, resolve=0.15, check=check)
    assert type(error) is APIConnectionError
    assert error.message.endswith("the run may have started")
    assert notes(error).startswith(note)
    assert len(notes(error)) < 1000
    assert KEY not in notes(error)
    assert "__notes__" in vars(pickle.loads(pickle.dumps(error)))
    assert error.run_may_have_started is True
    assert isinstance(error.__cause__, ConnectionResetError)
    assert error.__context__ is None
    assert KEY not in "".join(traceback.format_exception(error))
    assert len(server.sent) == 1
    assert server.asked


@pytest.mark.parametrize("check", [True, False])
def test_an_answer_that_is_a_run_that_goes_on_is_resolved_as_well(check: bool, both: Both) -> None:
    with Stored(json_answer(STARTED), Logged(status="running"), Logged()) as server:
        assert both.execute(server.url, resolve=10, check=check).output == "Hello"
    assert server.asked[0].query == {"workflow_id": "wf_9", "workflow_run_id": "run_1"}
    with Stored(json_answer(STARTED), MISSING) as server:
        if check:
            error = both.error("execute", server.url, resolve=0.05)
            assert type(error) is RunNotFinishedError
            assert notes(error).startswith("the run logs do not have this run (yet)")
        else:
            assert both.execute(server.url, resolve=0.05, check=False).status == RunStatus.STARTED


@pytest.mark.timing
def test_the_deadline_holds_for_the_logs_as_well(both: Both) -> None:
    began = time.monotonic()
    with Stored(reset_after_request, silent()) as server:
        error = both.error("execute", server.url, resolve=60, deadline=0.5)
    assert time.monotonic() - began < 0.75
    assert type(error) is APIConnectionError
    assert notes(error).startswith("the run logs could not be read: no whole answer of the run logs within")
    began = time.monotonic()
    with Stored(reset_after_request, MISSING) as server:
        error = both.error("execute", server.url, resolve=60, deadline=0.8)
    assert time.monotonic() - began < 1.05
    assert notes(error).startswith("the run logs do not have this run (yet)")


def test_a_deadline_that_has_passed_leaves_no_time_for_the_logs(both: Both) -> None:
    with Stored(silent()) as server:
        error = both.error("execute", server.url, resolve=60, deadline=0.2)
    assert isinstance(error, APITimeoutError)
    assert notes(error) == "the run logs were not asked, because nothing was left of `deadline`"
    assert server.asked == []


@pytest.mark.parametrize("options", [{"session_id": "mine"}, {"extra_query": {"session_id": "mine"}}])
def test_a_session_of_the_caller_cannot_be_resolved(options: dict[str, Any], both: Both) -> None:
    with Stored(json_answer(run_answer())) as server:
        error = both.error("execute", server.url, resolve=10, **options)
    assert isinstance(error, ConfigurationError)
    assert error.message.startswith("resolve= is not possible together with a session_id of your own")
    assert server.sent == []


def test_an_empty_session_is_none(both: Both) -> None:
    with Stored(json_answer(run_answer())) as server:
        assert both.execute(server.url, session_id="", extra_query=None, extra_headers=None, resolve=1).ok
    (request,) = server.sent
    assert request.query["session_id"].startswith(OURS)


@pytest.mark.parametrize("resolve", [-1, True, "10", float("nan"), float("inf")])
def test_an_invalid_resolve_is_refused_before_anything_is_sent(resolve: Any, both: Both) -> None:
    with Stored(json_answer(run_answer())) as server:
        assert isinstance(both.error("execute", server.url, resolve=resolve), ConfigurationError)
    assert server.sent == []


def test_resolve_is_for_stored_workflows(call: Caller) -> None:
    with refused_url() as url:
        error = call.error(url, resolve=10)
    assert error.message.startswith("resolve is not an option of this call, but of Scout.workflows.execute, because ")


def test_a_workflow_is_found_by_its_key_once(both: Both) -> None:
    with Stored(reset_after_request, MISSING, Logged()) as server:
        assert both.execute(server.url, "key:mine", resolve=10).ok
    assert len(server.sent) == 1
    assert [each.query["workflow_id"] for each in server.asked] == ["wf_7", "wf_7"]


def test_an_interrupt_while_the_logs_are_asked_passes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scout._http._sleep", interrupt)
    with (
        Stored(reset_after_request, MISSING) as server,
        Scout(**SETTINGS, base_url=server.url) as client,
        pytest.raises(KeyboardInterrupt) as raised,
    ):
        client.workflows.execute("wf_1", resolve=10)
    assert (len(server.sent), len(server.asked)) == (1, 1)
    session = server.sent[0].query["session_id"]
    assert notes(raised.value).startswith(
        f"before this, a run with an unknown outcome (workflow_id='wf_1', session_id={session!r}): the connection to"
    )


def test_a_key_that_cannot_be_read_any_more_does_not_hide_the_run(both: Both) -> None:
    keys = iter([KEY])

    def key() -> str:
        if not (left := list(keys)):
            raise OSError("no vault")
        return left[0]

    with Stored(reset_after_request, Logged()) as server, pytest.raises(OSError, match="no vault") as raised:
        both.execute(server.url, resolve=10, client={"api_key": key})
    assert "a run with an unknown outcome (workflow_id='wf_1', session_id='scout-py-" in notes(raised.value)
    assert (len(server.sent), len(server.asked)) == (1, 0)


def test_keys_that_have_run_out_are_no_result(both: Both) -> None:
    with Stored(json_answer(run_answer())) as server, pytest.raises(RuntimeError, match="StopIteration"):
        both.execute(server.url, client={"api_key": iter(()).__next__})
    assert server.sent == []


def test_a_cancellation_while_the_logs_are_asked_passes_through() -> None:
    async def cancelled() -> None:
        async with scout.AsyncScout(**SETTINGS, base_url=server.url) as client:
            running = asyncio.ensure_future(client.workflows.execute("wf_1", resolve=10))
            await asyncio.to_thread(server._server.wait_until, lambda: server.asked)
            running.cancel()
            with pytest.raises(asyncio.CancelledError) as raised:
                await running
            assert f"session_id={server.sent[0].query['session_id']!r}" in notes(raised.value)

    with Stored(reset_after_request, delayed(5.0, MISSING)) as server:
        asyncio.run(cancelled())
    assert (len(server.sent), len(server.asked)) == (1, 1)


# --- Against the local Scout --------------------------------------------------------------------------------------

GATE = "com.example.gate"
CONFIG = {"blocks": [{**WORKFLOW["blocks"][0], "block_archetype_id": GATE, "is_output": True}]}


class Gate:
    """A block that waits while it is closed."""

    def __init__(self) -> None:
        self.open = threading.Event()

    def __call__(self, inputs: Any, _: object) -> str:
        assert self.open.wait(PATIENCE)
        return "done"


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate()


@pytest.fixture(scope="module")
def shared(gate: Gate) -> Iterator[LocalScout]:
    with LocalScout(blocks={GATE: gate}) as server:
        yield server


@pytest.fixture
def local(shared: LocalScout, gate: Gate) -> Iterator[LocalScout]:
    shared.reset()
    gate.open.set()
    with Scout(KEY, base_url=shared.url) as client:
        client.workflows.deploy(CONFIG, key="mine")
    yield shared
    gate.open.set()


def executes(server: LocalScout) -> int:
    return sum(request.path.endswith("/execute") for request in server.requests)


def found(call: Caller, url: str, error: Any, within: float = 10) -> Any:
    return ask(call, url, "find", error, of="runs", within=within)


@pytest.mark.parametrize("fault", [{"cut_after": 0}, {"cut_after": 1}, {"malformed": 1}])
def test_a_local_run_whose_answer_was_lost(fault: dict[str, Any], call: Caller, both: Both, local: LocalScout) -> None:
    local.fail_next(match="/execute", **fault)
    error = both.error("execute", local.url, "key:mine")
    record = found(call, local.url, error)
    assert (record.status, record.run.output, record.session_id) == ("completed", "done", error.session_id)
    local.fail_next(match="/execute", **fault)
    assert both.execute(local.url, "key:mine", resolve=10).output == "done"
    assert executes(local) == len(local.runs) == 2


def test_a_local_run_that_never_started(call: Caller, both: Both, local: LocalScout) -> None:
    local.fail_next(500, match="/execute")
    error = both.error("execute", local.url, "key:mine", resolve=0.05)
    assert notes(error).startswith("the run logs do not have this run (yet)")
    assert found(call, local.url, error, within=0.05) is None
    assert (executes(local), local.runs) == (1, [])


def test_a_local_run_that_goes_on_and_then_fails(call: Caller, both: Both, local: LocalScout, gate: Gate) -> None:
    gate.open.clear()
    error = both.error("execute", local.url, "key:mine", timeout=0.2, resolve=10)
    # The local Scout cancels a run whose client has gone.
    assert type(error) is RunFailedError
    assert "the client went away" in error.message
    assert found(call, local.url, error).run == error.run
    assert executes(local) == 1


def test_a_local_stream_that_was_cut_is_found_by_its_run(call: Caller, both: Both, local: LocalScout) -> None:
    local.fail_next(match="/execute", cut_after=2)
    error = both.error("stream", local.url, "key:mine")
    assert isinstance(error, StreamInterruptedError)
    record = found(call, local.url, error)
    assert (record.id, record.session_id) == (error.run.id, error.session_id)
    assert record.status == RunStatus.FAILED
    assert local.requests[-1].query["workflow_run_id"] == record.id


def test_the_rows_of_a_local_batch_are_found(call: Caller, local: LocalScout) -> None:
    local.fail_next(match="/execute", cut_after=0, times=2)
    items = run_batch(call, local.url, [{"n": n} for n in range(4)], workflow="key:mine", ordered=True).items
    lost = [item for item in items if item.error is not None]
    assert len(lost) == 2
    for item in lost:
        assert found(call, local.url, item.error).session_id == item.session_id
    assert executes(local) == 4


@pytest.mark.parametrize("fault", [{"status": 503}, {"delay": 0.2}, {"status": 429, "retry_after": 0.1}])
def test_local_logs_that_fail_or_are_late(fault: dict[str, Any], both: Both, local: LocalScout) -> None:
    local.fail_next(match="/execute", cut_after=0)
    local.fail_next(match="/run_logs", **fault)
    assert both.execute(local.url, "key:mine", resolve=10).output == "done"
    assert executes(local) == 1


def test_the_runs_of_a_local_workflow_are_listed(call: Caller, both: Both, local: LocalScout) -> None:
    ids = [both.execute(local.url, "key:mine").id for _ in range(3)]
    listed = pages(call, local.url, "key:mine", limit=2)
    assert sorted(record.id for record in listed) == sorted(ids)
    assert {(record.status, record.environment) for record in listed} == {("completed", "production")}
    assert pages(call, local.url, "key:mine", status="failed") == []


# --- Recordings ---------------------------------------------------------------------------------------------------


def test_a_recorded_run_of_a_stored_workflow_is_replayed(both: Both, local: LocalScout, tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    run = both.execute(local.url, "key:mine", client={"transport": record(path)})
    assert run.session_id in path.read_text()
    before = len(local.requests)
    assert both.execute(local.url, "key:mine", client={"transport": replay(path)}) == run
    path.write_text(path.read_text().replace(f"&session_id={run.session_id}", ""))  # of an earlier version
    assert both.execute(local.url, "key:mine", client={"transport": replay(path)}) == run
    error = both.error(
        "execute", local.url, "key:mine", client={"transport": replay(path)}, extra_query={"session_id": "mine"}
    )
    assert "has no answer for POST" in error.message
    assert len(local.requests) == before


def test_a_recorded_run_whose_answer_was_lost_is_replayed(both: Both, call: Caller, tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    with Stored(answer(500), MISSING, Logged()) as server:
        run = both.execute(server.url, resolve=10, client={"transport": record(path)})
    recorded = path.read_text()
    again = both.execute(server.url, resolve=10, client={"transport": replay(path)})
    assert (again.id, again.output) == (run.id, "Hello")
    assert again.session_id.startswith(OURS)
    assert again.session_id != run.session_id
    path.write_text(recorded.replace("scout-py-", "theirs-").replace("theirs-", "scout-py-", 3))  # of the requests
    assert "it is the log of another run" in notes(
        both.error("execute", server.url, resolve=10, client={"transport": replay(path)})
    )
