"""Hooks: when they are called, what they get, and that they can make nothing fail."""

import asyncio
import functools
import json
import logging
import pickle
import signal
from typing import Any

import httpx
import pytest
from servers import (
    KEY,
    WORKFLOW,
    Caller,
    Server,
    answer,
    at_accept,
    chunked,
    close_unanswered,
    json_answer,
    refused_url,
    run_answer,
)

from scout import AsyncScout, ConfigurationError, RequestInfo, ResponseInfo, RetryInfo, Scout

OK = json_answer(run_answer(), headers={"X-Request-Id": "req_1"})
TOO_MANY = answer(429, "", {"Retry-After": "1.5"})
NAMES = ("on_request", "on_response", "on_retry", "on_event")


def frame(name: str, **data: Any) -> bytes:
    return b"data: %s\n\n" % json.dumps({"name": name, "data": {"workflow_run_id": "run_1", **data}}).encode()


STREAM = [
    frame("workflow_run_started", workflow_config=WORKFLOW),
    frame("block_run_started", block_id="answer"),
    frame("block_run_completed", block_id="answer", state={"output": "Hi"}),
    frame("workflow_run_completed", output="Hi"),
]


class Heard:
    """Hooks that note what they get."""

    def __init__(self) -> None:
        self.all: list[tuple[str, Any]] = []

    def options(self, **others: Any) -> dict[str, Any]:
        return {name: self.hook(name) for name in NAMES} | others

    def hook(self, name: str) -> Any:
        return lambda info: self.all.append((name, info))

    def of(self, name: str) -> list[Any]:
        return [info for each, info in self.all if each == name]


@pytest.fixture
def heard() -> Heard:
    return Heard()


def test_a_call_with_a_retry(call: Caller, heard: Heard, no_waiting: None) -> None:
    with Server([TOO_MANY, OK]) as server:
        assert (
            call.run(server.url, {"a": "secret input"}, client=heard.options(), session_id="sess_0").output == "Hello"
        )

    assert [name for name, _ in heard.all] == ["on_request", "on_response", "on_retry", "on_request", "on_response"]
    first, second = heard.of("on_request")
    url = f"{server.url}/v2/workflows/execute?environment=production&session_id=sess_0"
    assert first == RequestInfo("POST", url, 1, "execute_workflow_config", None, "sess_0", "production", False)
    assert second.attempt == 2
    refused, fine = heard.of("on_response")
    assert (refused.request, refused.status, refused.request_id) == (first, 429, None)
    assert (fine.request, fine.status, fine.request_id) == (second, 200, "req_1")
    assert fine.headers["content-type"] == "application/json"
    assert 0 < fine.seconds < 10
    (retry,) = heard.of("on_retry")
    assert (retry.request, retry.error.status) == (first, 429)
    assert 1.5 <= retry.wait <= 2


def test_neither_the_key_nor_a_body_is_in_what_they_get(call: Caller, heard: Heard, no_waiting: None) -> None:
    echo = answer(429, f"you sent {KEY}", {"Retry-After": "0", "X-Request-Id": f"{KEY}-1", "X-Echo": f"Bearer {KEY}"})
    with Server([echo, OK]) as server:
        call.run(server.url, {"a": "an input"}, client=heard.options(), extra_query={"echo": KEY})

    assert len(heard.all) == 5
    for _, info in heard.all:
        shown = f"{info!r} {getattr(info, 'headers', '')} {vars(getattr(info, 'error', heard))}"
        assert KEY not in shown
        assert "an input" not in shown
    refused = heard.of("on_response")[0]
    assert refused.headers["x-echo"] == "Bearer [redacted]"
    assert "x-echo" not in repr(refused)


def test_a_request_that_cannot_be_sent_has_no_response(call: Caller, heard: Heard, no_waiting: None) -> None:
    with refused_url() as url:
        call.error(url, client=heard.options())

    assert [name for name, _ in heard.all] == ["on_request", "on_retry", "on_request", "on_retry", "on_request"]


def test_nothing_is_heard_of_a_request_that_is_not_made(call: Caller, heard: Heard) -> None:
    with Server(OK) as server:
        error = call.error(server.url, client=heard.options(base_url=server.url), session_id=5)

    assert isinstance(error, ConfigurationError)
    assert (heard.all, server.hits) == ([], 0)


def events_of(call: Caller, url: str, **client: Any) -> list[Any]:
    if not call.is_async:
        with Scout(KEY, base_url=url, **client) as scout, scout.stream(WORKFLOW) as stream:
            return list(stream)

    async def read() -> list[Any]:
        async with AsyncScout(KEY, base_url=url, **client) as scout, scout.stream(WORKFLOW) as stream:
            return [event async for event in stream]

    return asyncio.run(read())


def test_each_event_of_a_stream_before_the_caller_gets_it(call: Caller, heard: Heard) -> None:
    with Server(chunked(STREAM, content_type="text/event-stream")) as server:
        events = events_of(call, server.url, **heard.options())

    assert len(events) == 4
    assert all(mine is its for mine, its in zip(heard.of("on_event"), events, strict=True))
    assert [name for name, _ in heard.all[:2]] == ["on_request", "on_response"]
    assert heard.of("on_request")[0].streaming


def test_the_one_event_that_is_the_whole_answer(call: Caller, heard: Heard) -> None:
    event = {"name": "workflow_run_completed", "data": {"workflow_run_id": "run_1", "output": "Hi"}}
    with Server(json_answer(event)) as server:
        events = events_of(call, server.url, **heard.options())

    assert heard.of("on_event") == events
    assert len(events) == 1


def test_calls_about_stored_workflows_name_their_operation(heard: Heard) -> None:
    with Server(json_answer(run_answer())) as server, Scout(KEY, base_url=server.url, **heard.options()) as scout:
        scout.workflows.execute("wf/1", session_id="s", environment="staging")

    (info,) = heard.of("on_request")
    assert (info.operation, info.workflow_id, info.session_id) == ("execute_workflow", "wf/1", "s")
    assert info.environment == "staging"


# --- Hooks that fail ----------------------------------------------------------------------------------------------


def failing(info: object) -> None:
    raise ValueError("a hook failed")


@pytest.mark.parametrize("name", NAMES)
def test_a_hook_that_raises_is_logged_and_costs_nothing(
    call: Caller, name: str, caplog: pytest.LogCaptureFixture, no_waiting: None
) -> None:
    script = [TOO_MANY, chunked(STREAM, content_type="text/event-stream")]
    with Server(script) as server:
        assert len(events_of(call, server.url, **{name: failing})) == 4

    assert server.hits == 2
    records = [record for record in caplog.records if record.name == "scout"]
    assert len(records) == {"on_request": 2, "on_response": 2, "on_retry": 1, "on_event": 4}[name]
    for record in records:
        assert (record.levelno, record.getMessage()) == (
            logging.ERROR,
            f"the hook {name} raised ValueError; the call goes on",
        )
        assert record.exc_info is not None
        assert "a hook failed" in caplog.text
        # Where the locals of a traceback are collected, those of the HTTP library would have the key.
        error = record.exc_info[1]
        assert error is not None
        assert error.__context__ is None


def test_a_hook_that_raises_an_error_of_the_network_repeats_nothing(call: Caller) -> None:
    def raising(info: object) -> None:
        raise httpx.ConnectError("not that of the call")

    with Server(OK) as server:
        assert call.run(server.url, client={"on_request": raising, "on_response": raising}).output == "Hello"
    assert server.hits == 1


class Stop(BaseException):
    """As `KeyboardInterrupt`, which would end pytest."""


@pytest.mark.parametrize("name", ["on_request", "on_response", "on_retry"])
def test_what_is_no_ordinary_exception_passes(name: str, no_waiting: None) -> None:
    def stopping(info: object) -> None:
        raise Stop

    options: dict[str, Any] = {name: stopping}
    with Server([TOO_MANY, OK]) as server, Scout(KEY, base_url=server.url, **options) as scout:
        with pytest.raises(Stop):
            scout.execute(WORKFLOW)
        assert server.hits == {"on_request": 0}.get(name, 1)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no such signal")
@pytest.mark.parametrize("name", ["on_request", "on_response"])
def test_an_exception_of_a_signal_handler_passes_through_a_hook(name: str) -> None:
    def handler(number: int, frame: object) -> None:
        raise TimeoutError("the time of the job is over")

    options: dict[str, Any] = {name: lambda info: signal.raise_signal(signal.SIGUSR1)}
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with Server(OK) as server, Scout(KEY, base_url=server.url, **options) as scout:
            with pytest.raises(TimeoutError, match="the time of the job is over"):
                scout.execute(WORKFLOW)
            assert server.hits == {"on_request": 0}.get(name, 1)
    finally:
        signal.signal(signal.SIGUSR1, before)


# --- As settings --------------------------------------------------------------------------------------------------


async def coroutine(info: object) -> None: ...


class Callable:
    async def __call__(self, info: object) -> None: ...


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "hook", [coroutine, functools.partial(coroutine), Callable()], ids=["def", "partial", "object"]
)
def test_a_coroutine_function_is_refused(call: Caller, name: str, hook: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be a plain function, not a coroutine function"):
        call.client_class(KEY, **{name: hook})


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"on_event": "print"}, "on_event must be a function or None, not str"),
        ({"tracing": True}, "tracing must be a scout.otel.Tracing or None, not bool"),
        ({"tracing": Scout}, r"tracing must be an object, not the class: Scout\(\)"),
    ],
)
def test_a_setting_that_is_none_is_refused(option: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Scout(KEY, **option)
    with pytest.raises(ConfigurationError, match=message):
        Scout(KEY).with_options(**option)


@pytest.mark.parametrize("name", [*NAMES, "tracing"])
def test_an_option_of_a_call_it_is_not(name: str) -> None:
    options: dict[str, Any] = {name: None}
    with Scout(KEY) as scout, pytest.raises(ConfigurationError, match="a setting of the client"):
        scout.execute(WORKFLOW, **options)


def test_a_copy_changes_them_and_none_removes_them(heard: Heard) -> None:
    with Server(OK) as server, Scout(KEY, base_url=server.url, on_request=heard.hook("first")) as scout:
        both = scout.with_options(on_response=heard.hook("second"))
        both.execute(WORKFLOW)
        both.with_options(on_request=None).execute(WORKFLOW)
        scout.with_options(on_request=None).execute(WORKFLOW)
        scout.execute(WORKFLOW)

    assert [name for name, _ in heard.all] == ["first", "second", "second", "first"]


_pickled: list[object] = []


def test_they_are_pickled_with_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOUT_API_KEY", KEY)
    _pickled.clear()
    with Server(OK) as server:
        client = pickle.loads(pickle.dumps(Scout(base_url=server.url, on_request=_note)))
        client.execute(WORKFLOW)

    assert [type(each) for each in _pickled] == [RequestInfo]


def _note(info: object) -> None:
    _pickled.append(info)


# --- Where else they are called -----------------------------------------------------------------------------------


@pytest.mark.parametrize("streaming", [False, True])
def test_they_hear_of_the_rows_of_a_batch(call: Caller, heard: Heard, streaming: bool) -> None:
    behaviour = chunked(STREAM, content_type="text/event-stream") if streaming else OK
    rows = [{"n": n} for n in range(3)]
    with Server(behaviour) as server:
        if call.is_async:

            async def run() -> list[Any]:
                async with AsyncScout(KEY, base_url=server.url, **heard.options()) as scout:
                    return [item async for item in scout.batch(WORKFLOW, rows, stream=streaming)]

            items = asyncio.run(run())
        else:
            with Scout(KEY, base_url=server.url, **heard.options()) as scout:
                items = list(scout.batch(WORKFLOW, rows, stream=streaming))

    assert [item.ok for item in items] == [True] * 3
    assert len(heard.of("on_request")) == len(heard.of("on_response")) == 3
    assert len(heard.of("on_event")) == (12 if streaming else 0)


def test_a_transport_of_the_caller_changes_nothing(call: Caller, heard: Heard) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=run_answer()))
    call.run("https://scout.test", client=heard.options(transport=transport))

    assert [type(info) for _, info in heard.all] == [RequestInfo, ResponseInfo]


def test_the_raw_client_calls_none(heard: Heard) -> None:
    with Server(OK) as server, Scout(KEY, base_url=server.url, **heard.options()) as scout:
        scout.raw.get_httpx_client().get("/v2/workflows")

    assert (server.hits, heard.all) == (1, [])


def test_a_local_client_takes_them(heard: Heard) -> None:
    with Scout.local(**heard.options()) as scout:
        scout.workflows.list(limit=1)
        assert list(scout.workflows.list()) == []

    assert [info.operation for info in heard.of("on_request")] == ["list_workflows"]


def test_a_broken_connection_is_heard_of(call: Caller, heard: Heard, no_waiting: None) -> None:
    with Server([at_accept(close_unanswered), OK]) as server:
        call.error(server.url, client=heard.options(retries=0))

    assert [name for name, _ in heard.all] == ["on_request"]


def test_the_infos_are_frozen(heard: Heard) -> None:
    info = RetryInfo(RequestInfo("GET", "u", 1, "o", None, None, None, False), ConfigurationError("x"), 1.0)
    with pytest.raises(AttributeError):
        info.wait = 2.0  # type: ignore[misc]
