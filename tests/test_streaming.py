"""Streams over real connections: cut anywhere, silent, late, refused, closed; half an answer is never an answer."""

import asyncio
import copy
import gc
import json
import os
import pickle
import re
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import (
    KEY,
    PATIENCE,
    WORKFLOW,
    Behaviour,
    Caller,
    Peer,
    Received,
    Server,
    answer,
    chunked,
    close_unanswered,
    delayed,
    half_body,
    head,
    html,
    json_answer,
    refused_url,
    reset_after_request,
    route,
    run_answer,
    settled,
    silent,
    stream,
)
from test_events import (
    DONE,
    DONE_MARK,
    FAILED,
    IDS,
    STARTED,
    WHOLE,
    begins,
    ends,
    event,
    frame,
    says,
    served,
    watch,
)

from scout import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    AsyncScout,
    ConfigurationError,
    InternalServerError,
    RateLimitError,
    RunFailedError,
    RunNotFinishedError,
    RunStatus,
    Scout,
    ScoutError,
    StreamDecodeError,
    StreamError,
    StreamInterruptedError,
)
from scout.cassettes import record, replay

SSE = "text/event-stream"
SLACK = 0.25
OK = chunked([WHOLE], content_type=SSE)


def closing(*steps: bytes | float) -> Behaviour:
    """A stream that ends with its connection."""
    return stream(steps, content_type=SSE)


def resetting(*steps: bytes) -> Behaviour:
    def behave(peer: Peer) -> None:
        peer.request()
        peer.keep_alive = False
        peer.send(head(200, {"Content-Type": SSE, "Connection": "close"}) + b"".join(steps))
        peer.reset()

    return behave


def cut_chunk(*steps: bytes) -> Behaviour:
    """Promise a larger chunk than comes."""
    body = b"".join(steps)

    def behave(peer: Peer) -> None:
        peer.request()
        peer.keep_alive = False
        fields = {"Content-Type": SSE, "Connection": "close", "Transfer-Encoding": "chunked"}
        peer.send(head(200, fields) + b"%x\r\n%s" % (len(body) + 100, body))

    return behave


def step(watched: Any) -> Any:
    """Ask a stream for its next event; at its end there is none. To be yielded to `Caller.drive`."""
    return anext(watched, None) if hasattr(watched, "__anext__") else next(watched, None)


# --- Cut after every byte --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded() -> bytes:
    """The bytes of a stream of the local Scout."""
    import httpx

    from scout.local import LocalScout

    def block(block_id: str, archetype: str, inputs: dict[str, Any], *needs: str) -> dict[str, Any]:
        return {
            "block_id": block_id,
            "block_archetype_id": archetype,
            "block_display_name": block_id,
            "block_inputs": inputs,
            "dependencies": [{"block_id": needed} for needed in needs],
        }

    prompts = [{"role": "user", "content": "Hi, \u2028 {{inputs.name}}"}]
    config = {
        "blocks": [
            block("answer", "com.scoutos.llm", {"model": "m", "prompt_items": prompts}),
        ]
    }
    with LocalScout() as local:
        body = {"workflow_config": config, "inputs": {"name": "😀 you"}, "streaming": True}
        url = f"{local.url}/v2/workflows/execute"
        answered = httpx.post(url, json=body, headers={"authorization": "Bearer x"}, trust_env=False)
    assert answered.status_code == 200
    return answered.content


WHOLE_TEXT = "[m stand-in] Hi, \u2028 😀 you"


def last_frame(recording: bytes) -> int:
    """Where the terminal event begins."""
    return recording.rindex(b"event: ")


def check_cut(watched: Any, recording: bytes, cut: int, least: int = 0) -> int:
    """A stream that was cut there is an error with all that had come; how much text that was."""
    if cut == len(recording):
        assert watched.error is None
        assert (watched.run.status, watched.run.output) == (RunStatus.COMPLETED, WHOLE_TEXT)
        return len(WHOLE_TEXT)
    error = watched.error
    assert type(error) is StreamInterruptedError, repr(error)
    assert error.run_may_have_started is True
    assert error.run.status == RunStatus.STARTED
    assert not error.run.ok
    assert error.last_event == (watched.events[-1] if watched.events else None)
    assert watched.run == error.run
    text = error.run.state.get("answer", {"output": ""})["output"]
    assert WHOLE_TEXT.startswith(text)
    assert len(text) >= least
    assert "workflow_run_completed" not in watched.names
    return len(text)


def test_a_recorded_stream_is_what_we_think(recorded: bytes) -> None:
    assert recorded.count(b"\n\n") == recorded.count(b"event: ") > 8
    assert b"event: workflow_run_completed" in recorded[last_frame(recorded) :]


def different_cuts(recording: bytes) -> list[int]:
    """Every byte of the last frame; elsewhere those near ends of lines, names of fields and long letters, and some."""
    special = [found.end() for found in re.finditer(rb"(?m)\n|[\x80-\xff]|^\w+: ?", recording)]
    near = {end + more for end in special for more in (-1, 0, 1)}
    cuts = {0, *near, *range(0, len(recording), 13), *range(last_frame(recording), len(recording) + 1)}
    return sorted(cut for cut in cuts if cut <= len(recording))


@pytest.mark.parametrize("first", range(4))  # parts for several workers
def test_a_stream_cut_after_any_byte_is_interrupted(call: Caller, recorded: bytes, first: int) -> None:
    deep = os.environ.get("SCOUT_TEST_PROFILE") == "deep"
    cuts = [*range(len(recorded) + 1)] if deep else different_cuts(recorded)
    least = 0
    for cut in cuts[first :: 40 if call.is_async else 4]:  # an event loop for each takes its time
        watched = watch(call, recorded[:cut])
        whole = recorded[:cut].count(b"\n\n")
        assert len(watched.events) == whole
        least = check_cut(watched, recorded, cut, least)


CUTS = {"close": closing, "reset": resetting, "cut chunk": cut_chunk}


@pytest.mark.parametrize("how", CUTS)
def test_a_connection_cut_near_any_border_is_an_interruption(call: Caller, recorded: bytes, how: str) -> None:
    borders = [at for at in range(len(recorded)) if recorded.startswith(b"\n\n", at)]
    cuts = {0, 1, *range(0, len(recorded), 251), *(border + more for border in borders[-6:] for more in range(-1, 4))}
    chosen = sorted(cut for cut in cuts if 0 <= cut <= len(recorded))

    def cut_of(request: Received) -> Behaviour:
        inputs: Any = request.json()
        return CUTS[how](recorded[: inputs["inputs"]["cut"]])

    with Server(route(cut_of)) as server:
        for cut in chosen:
            watched = watch(call, server.url, inputs={"cut": cut})
            if how == "reset" and isinstance(watched.error, APIConnectionError):
                # The reset overtook the answer's head: no stream had begun. Just as unknown, and just as unrepeated.
                assert watched.error.run_may_have_started is True
                continue
            check_cut(watched, recorded, cut) if how != "reset" or watched.error is None else None
            if how == "reset" and watched.error is not None:
                # A reset also throws away what has come and was not read yet.
                assert type(watched.error) is StreamInterruptedError
                assert watched.error.run_may_have_started is True
                assert watched.error.run.status == RunStatus.STARTED
        assert server.hits == len(chosen)


def test_a_reset_between_events_keeps_what_came(call: Caller) -> None:
    def behave(peer: Peer) -> None:
        peer.request()
        peer.send(head(200, {"Content-Type": SSE}) + STARTED + begins() + says("Hel"))
        peer.wait(0.15)
        peer.reset()

    with Server(behave) as server:
        watched = watch(call, server.url)
    assert type(watched.error) is StreamInterruptedError
    assert watched.error.run.state["answer"] == {"output": "Hel"}
    assert isinstance(watched.error.__cause__, ConnectionResetError)
    assert len(watched.events) == 3


def test_a_terminal_event_without_its_blank_line_is_not_whole(call: Caller) -> None:
    for missing in (1, 2, 3):
        watched = watch(call, WHOLE[:-missing])
        assert type(watched.error) is StreamInterruptedError
        assert "unfinished" in str(watched.error)
        assert watched.error.run.status == RunStatus.STARTED


def test_a_terminal_event_that_came_is_the_end_however_the_connection_ends(call: Caller) -> None:
    for behaviour in (
        closing(WHOLE),
        cut_chunk(WHOLE),
        closing(WHOLE, b"data: {"),
        chunked([WHOLE, b"data: "], content_type=SSE),
    ):
        with Server(behaviour) as server:
            watched = watch(call, server.url)
            assert watched.error is None
            assert watched.run.output == "Hello"


def test_a_body_shorter_than_its_length_is_interrupted(call: Caller) -> None:
    start = STARTED + says("Hel")

    def behave(peer: Peer) -> None:
        peer.request()
        peer.keep_alive = False
        peer.send(head(200, {"Content-Type": SSE, "Content-Length": str(len(WHOLE))}) + start)

    with Server(behave) as server:
        error = watch(call, server.url).error
    assert type(error) is StreamInterruptedError
    assert error.run.state["answer"] == {"output": "Hel"}


def test_an_empty_stream_is_interrupted(call: Caller) -> None:
    for body in (b"", b"\n\n", b": hello\n\n", b"\xef\xbb\xbf"):
        error = watch(call, body).error
        assert type(error) is StreamInterruptedError
        assert (error.last_event, error.run.state) == (None, {})


def test_an_interrupted_stream_says_what_was_tried(call: Caller, no_waiting: None) -> None:
    with Server([answer(429), closing(STARTED)]) as server:
        error = watch(call, server.url).error
    assert type(error) is StreamInterruptedError
    assert len(error.attempts) >= 1
    assert "429" in error.attempts[0].outcome


@pytest.mark.parametrize("ending", [b"event: error\ndata: %b\n\n", b"data: {%b\n\n"], ids=["error frame", "not JSON"])
def test_a_key_that_the_server_echoes_is_in_no_error(call: Caller, ending: bytes) -> None:
    echo = json.dumps({"detail": f"bad key: Bearer {KEY}"}).encode()
    error = watch(call, STARTED + ending % echo).error
    assert isinstance(error, StreamError)
    assert KEY not in str(error)
    assert KEY not in repr(error)


# --- Time ------------------------------------------------------------------------------------------------


def keeps_alive(*start: bytes, pause: float = 0.05) -> Behaviour:
    """Say something, and then only that the connection still stands."""

    def behave(peer: Peer) -> None:
        peer.request()
        peer.send(head(200, {"Content-Type": SSE}) + b"".join(start))
        while True:
            peer.wait(pause)
            peer.send(b": keep-alive\n\n")

    return behave


def trickles(start: bytes, rest: bytes, pause: float) -> Behaviour:
    def behave(peer: Peer) -> None:
        peer.request()
        peer.send(head(200, {"Content-Type": SSE}) + start)
        for at in range(len(rest)):
            peer.wait(pause)
            peer.send(rest[at : at + 1])
        peer.wait(PATIENCE)

    return behave


SILENT: dict[str, Behaviour] = {
    "silent": keeps_alive(STARTED, begins(), says("Hel"), pause=60.0),
    "comments": keeps_alive(STARTED, begins(), says("Hel")),
    "many comments": keeps_alive(STARTED, begins(), says("Hel"), pause=0.001),
    "in the middle of an event": trickles(STARTED + begins() + says("Hel"), says("x" * 1000), 0.02),
}


def check_partial(error: Any, limit: str, seconds: float) -> None:
    assert type(error) is APITimeoutError, repr(error)
    assert (error.limit, error.seconds) == (limit, seconds)
    assert error.run_may_have_started is True
    assert error.run.status == RunStatus.STARTED
    assert error.run.state["answer"] == {"output": "Hel"}
    assert error.last_event.name == "block_state_updated"
    assert f"{seconds:g} s" in str(error)
    assert pickle.loads(pickle.dumps(error)).run == error.run


@pytest.mark.parametrize("name", SILENT)
@pytest.mark.timing
def test_only_events_break_the_silence(call: Caller, name: str) -> None:
    with Server(SILENT[name]) as server:
        watched = watch(call, server.url, timeout=0.3)
        check_partial(watched.error, "timeout", 0.3)
        assert 0.28 <= watched.seconds <= 0.3 + 2 * SLACK
        assert server.hits == 1


@pytest.mark.parametrize("name", SILENT)
@pytest.mark.parametrize("timeout", [None, 5.0])
@pytest.mark.timing
def test_a_deadline_holds_in_a_stream(call: Caller, name: str, timeout: float | None) -> None:
    with Server(SILENT[name]) as server:
        watched = watch(call, server.url, deadline=0.4, timeout=timeout)
        check_partial(watched.error, "deadline", 0.4)
        assert 0.38 <= watched.seconds <= 0.4 + SLACK + 0.1  # making the client takes its time, too


@pytest.mark.timing
def test_a_deadline_holds_while_events_come(call: Caller) -> None:
    def behave(peer: Peer) -> None:
        peer.request()
        peer.send(head(200, {"Content-Type": SSE}) + STARTED)
        while True:
            peer.wait(0.001)
            peer.send(says("x") * 3)

    with Server(behave) as server:
        watched = watch(call, server.url, deadline=0.4)
        assert type(watched.error) is APITimeoutError
        assert watched.error.limit == "deadline"
        assert watched.seconds <= 0.4 + SLACK + 0.1
        assert len(watched.events) > 10


def test_silence_before_the_first_event(call: Caller) -> None:
    for behaviour in (keeps_alive(), keeps_alive(pause=60.0)):
        with Server(behaviour) as server:
            watched = watch(call, server.url, timeout=0.3)
            assert type(watched.error) is APITimeoutError
            assert (watched.error.last_event, watched.error.run.status) == (None, RunStatus.STARTED)


@pytest.mark.timing
def test_events_that_come_in_time_may_come_for_long(call: Caller) -> None:
    steps: list[bytes | float] = [STARTED]
    for _ in range(5):
        steps += [0.15, says("x")]
    with Server(closing(*steps, 0.15, DONE)) as server:
        assert watch(call, server.url, timeout=0.3).error is None


def test_no_limit_means_none(call: Caller) -> None:
    with Server(closing(STARTED, 0.5, b": x\n\n", 0.3, DONE)) as server:
        assert watch(call, server.url, timeout=None, client={"timeout": 0.2}).error is None


@pytest.mark.timing
def test_the_time_between_two_events_is_not_the_reader_s(call: Caller) -> None:
    """A caller who takes longer over an event than `timeout` finds the next one all the same."""

    def program(client_class: Any) -> Any:
        client = client_class(KEY, base_url=server.url, timeout=0.2)
        watched = yield client.stream(WORKFLOW)
        seen = []
        while (each := (yield step(watched))) is not None:
            seen.append(each.name)
            time.sleep(0.25)
        yield client.close()
        return seen

    with Server(closing(STARTED, 0.3, begins(), 0.3, DONE)) as server:
        assert call.drive(program) == ["workflow_run_started", "block_run_started", "workflow_run_completed"]


@pytest.mark.timing
def test_a_connection_that_stays_open_after_the_end_costs_little(call: Caller) -> None:
    for behaviour in (closing(WHOLE, 10.0), keeps_alive(WHOLE, pause=0.01)):
        with Server(behaviour) as server:
            watched = watch(call, server.url)
            assert watched.error is None
            assert watched.seconds < 1.0


# --- Opening ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [302, 400, 401, 402, 403, 404, 408, 409, 413, 418, 422, 500, 502, 503, 520, 999])
def test_an_error_status_is_the_same_as_for_execute(call: Caller, status: int) -> None:
    with Server(answer(status, b'{"detail": "why"}', {"x-request-id": "req_1"})) as server:
        expected = call.error(server.url)
        hits = server.hits
        error = watch(call, server.url).error
        assert type(error) is type(expected)
        assert str(error) == str(expected)
        assert error.__dict__.keys() == expected.__dict__.keys()
        assert (error.status, error.body, error.request_id) == (status, {"detail": "why"}, "req_1")
        assert error.run_may_have_started is expected.run_may_have_started
        assert len(error.attempts) == 1
        assert (hits, server.hits) == (1, 2)
        sent = [(request.target, sorted(request.json())) for request in server.requests]  # type: ignore[call-overload]
        assert sent[0] == sent[1]
        assert server.requests[1].json()["streaming"] is True  # type: ignore[index]


def test_a_429_is_repeated(call: Caller, no_waiting: None) -> None:
    with Server([answer(429), answer(429), OK]) as server:
        watched = watch(call, server.url)
        assert watched.error is None
        assert watched.run.output == "Hello"
        assert server.hits == 3
    with Server(answer(429, headers={"retry-after": "50"})) as server:
        error = watch(call, server.url).error
        assert isinstance(error, RateLimitError)
        assert (server.hits, len(error.attempts), error.run_may_have_started) == (3, 3, False)
    with Server(answer(429, headers={"retry-after": "3600"})) as server:
        assert watch(call, server.url).error.retry_after == 3600
        assert server.hits == 1


@pytest.mark.parametrize(
    "behaviour", [answer(503), answer(408), close_unanswered, reset_after_request], ids=["503", "408", "close", "reset"]
)
def test_what_may_have_started_a_run_is_repeated_only_when_allowed(
    call: Caller, no_waiting: None, behaviour: Behaviour
) -> None:
    with Server([behaviour, OK]) as server:
        error = watch(call, server.url).error
        assert isinstance(error, APIStatusError | APIConnectionError)
        assert error.run_may_have_started is True
        assert server.hits == 1
    with Server([behaviour, OK]) as server:
        assert watch(call, server.url, client={"at_least_once": True}).error is None
        assert server.hits == 2


def test_no_connection_is_repeated(call: Caller, no_waiting: None) -> None:
    with refused_url() as url:
        error = watch(call, url).error
    assert type(error) is APIConnectionError
    assert (len(error.attempts), error.run_may_have_started) == (3, False)


def test_a_server_that_never_answers(call: Caller) -> None:
    with Server(silent()) as server:
        assert watch(call, server.url, timeout=0.2).error.limit == "timeout"
        server.wait_for_hits(1)
        assert watch(call, server.url, deadline=0.2).error.limit == "deadline"
    assert server.hits == 2


AFTER_THE_FIRST: dict[str, Behaviour] = {
    "close": closing(STARTED),
    "reset": resetting(STARTED),
    "cut chunk": cut_chunk(STARTED),
    "not JSON": closing(STARTED, frame(b"{")),
    "error": closing(STARTED, frame({"detail": "x"}, "error")),
    "silence": keeps_alive(STARTED, pause=60.0),
    "failed": closing(STARTED, FAILED),
    "nothing": closing(),
}


@pytest.mark.parametrize("name", AFTER_THE_FIRST)
def test_nothing_is_repeated_once_the_stream_has_begun(call: Caller, no_waiting: None, name: str) -> None:
    with Server([AFTER_THE_FIRST[name], OK]) as server:
        error = watch(call, server.url, timeout=0.3, client={"at_least_once": name != "reset", "retries": 5}).error
        assert isinstance(error, ScoutError)
        assert error.run_may_have_started is True
        assert server.hits == 1


def test_bad_arguments_send_nothing(call: Caller) -> None:
    with Server(OK) as server:
        for options in ({"max_event_bytes": 0}, {"max_event_bytes": 1.5}, {"timeout": -1}, {"inputs": {"a": object()}}):
            assert isinstance(watch(call, server.url, **options).error, ConfigurationError)  # type: ignore[arg-type]
        assert server.hits == 0


# --- Another answer than was asked for -------------------------------------------------------------------


def test_a_stream_answered_with_a_run_as_json(call: Caller) -> None:
    with Server(json_answer(run_answer("Hello"))) as server:
        watched = watch(call, server.url)
        assert (watched.events, watched.error) == ([], None)
        assert watched.run == call.run(server.url)
        assert watch(call, server.url, text=True).events == ["Hello"]
        assert watch(call, server.url, text=True, block_id="answer").events == ["Hello"]


def test_a_stream_answered_with_a_failed_run_as_json(call: Caller) -> None:
    body = run_answer("Hello", stop_reason="workflow_run_failed", errors=["no"])
    with Server(json_answer(body)) as server:
        watched = watch(call, server.url)
        assert type(watched.error) is RunFailedError
        assert watched.error.run.errors == ["no"]
        watched = watch(call, server.url, check=False)
        assert (watched.error, watched.run.status) == (None, RunStatus.FAILED)


def test_a_stream_answered_with_one_event_as_json(call: Caller) -> None:
    state = {"inputs": {}, "answer": {"output": "Hello"}}
    with Server(json_answer(event("workflow_run_completed", {**IDS, "output": state}))) as server:
        watched = watch(call, server.url)
        assert watched.error is None
        assert (watched.run.id, watched.run.output) == ("run_1", "Hello")
    with Server(json_answer(event("workflow_run_failed", {**IDS, "message": "no"}))) as server:
        assert type(watch(call, server.url).error) is RunFailedError
        assert watch(call, server.url, check=False).run.errors == ["no"]
    with Server(json_answer(event("workflow_run_started", {**IDS, "inputs": {}}))) as server:
        watched = watch(call, server.url)
        assert watched.names == ["workflow_run_started"]
        assert type(watched.error) is RunNotFinishedError
        assert (watched.error.run.id, watched.error.run_may_have_started) == ("run_1", True)
        watched = watch(call, server.url, check=False)
        assert (watched.error, watched.run.status) == (None, RunStatus.STARTED)


def test_execute_answered_with_one_event_as_json(call: Caller, no_waiting: None) -> None:
    with Server(
        json_answer(event("workflow_run_completed", {**IDS, "output": {"output": "ok"}}, price="1.10"))
    ) as server:
        run = call.run(server.url)
        assert (run.id, run.session_id, run.output, run.price) == ("run_1", "sess_1", "ok", 1.1)
    with Server(json_answer(event("workflow_run_failed", {**IDS, "message": "no"}))) as server:
        assert type(call.error(server.url)) is RunFailedError
        assert call.run(server.url, check=False).errors == ["no"]
    for name in ("workflow_run_started", "block_run_started", "block_run_completed"):
        with Server(json_answer(event(name, {**IDS, "block_id": "answer"}))) as server:
            error = call.error(server.url, client={"at_least_once": True})
            assert type(error) is RunNotFinishedError
            assert (error.run.id, error.run_may_have_started, server.hits) == ("run_1", True, 1)
            assert call.run(server.url, check=False).status == RunStatus.STARTED


@pytest.mark.parametrize(
    "behaviour",
    [
        html("<html><title>Sign in</title></html>"),
        json_answer([1]),
        json_answer(None),
        json_answer({"unexpected": True}),
        answer(200, b"", content_type=None),
        answer(204),
        answer(200, b"Hello", content_type="text/plain"),
    ],
    ids=["html", "list", "null", "foreign", "empty", "204", "plain text"],
)
def test_a_stream_answered_with_something_else(call: Caller, behaviour: Behaviour) -> None:
    with Server(behaviour) as server:
        error = watch(call, server.url).error
        assert type(error) is APIResponseError
        assert error.run_may_have_started is True
        assert server.hits == 1


def test_a_json_answer_that_breaks_off(call: Caller) -> None:
    with Server(half_body(json.dumps(run_answer()).encode())) as server:
        error = watch(call, server.url).error
        assert isinstance(error, APIConnectionError | APIResponseError)
        assert error.run_may_have_started is True
        assert len(error.attempts) == 1
        assert server.hits == 1


def test_execute_answered_with_a_stream(call: Caller) -> None:
    for content_type in (SSE, "Text/Event-Stream; charset=utf-8"):
        with Server(chunked([WHOLE], content_type=content_type)) as server:
            run = call.run(server.url)
            assert (run.output, run.status, run.id) == ("Hello", RunStatus.COMPLETED, "run_1")
    with Server(closing(STARTED, FAILED)) as server:
        assert isinstance(call.error(server.url), RunFailedError)
        assert call.run(server.url, check=False).errors == ["Block failed."]


@pytest.mark.parametrize("cut", [0, 10, len(STARTED), len(WHOLE) - 400, len(WHOLE) - 2, len(WHOLE) - 1])
def test_execute_answered_with_a_stream_that_was_cut(call: Caller, no_waiting: None, cut: int) -> None:
    with Server(closing(WHOLE[:cut])) as server:
        error = call.error(server.url, client={"retries": 5})
        assert type(error) is StreamInterruptedError
        assert error.run_may_have_started is True
        assert error.run.status == RunStatus.STARTED
        assert server.hits == 1
    with Server(cut_chunk(WHOLE[:cut])) as server:
        error = call.error(server.url, client={"retries": 5})
        assert isinstance(error, APIConnectionError | StreamInterruptedError)
        assert error.run_may_have_started is True
        assert server.hits == 1


def test_execute_answered_with_a_stream_of_rubbish(call: Caller) -> None:
    with Server(closing(STARTED, frame(b"[" * 100_000))) as server:
        assert type(call.error(server.url)) is StreamDecodeError
    with Server(closing(STARTED, frame({"detail": "No luck."}, "error"))) as server:
        assert "No luck." in str(call.error(server.url))
    with Server(closing(WHOLE, DONE_MARK)) as server:
        assert call.run(server.url).ok


# --- The end of a run ------------------------------------------------------------------------------------


def test_a_failed_run_yields_its_last_event_and_then_raises(call: Caller) -> None:
    watched = watch(call, STARTED + begins() + FAILED)
    assert watched.names == ["workflow_run_started", "block_run_started", "workflow_run_failed"]
    assert type(watched.error) is RunFailedError
    assert watched.error.run == watched.run
    assert watched.error.run.errors == ["Block failed."]
    watched = watch(call, STARTED + begins() + FAILED, check=False)
    assert (watched.error, watched.run.status) == (None, RunStatus.FAILED)
    assert len(watched.events) == 3


def test_until_done(call: Caller) -> None:
    def program(client_class: Any, options: Any) -> Any:
        client = client_class(KEY, base_url=server.url)
        watched = yield client.stream(WORKFLOW, **options)
        yield step(watched)
        try:
            run = yield watched.until_done()
            assert run == watched.run
            assert run == (yield watched.until_done())
            assert (yield step(watched)) is None
        finally:
            yield client.close()
        return run

    with Server(closing(WHOLE)) as server:
        assert call.drive(lambda kind: program(kind, {})).output == "Hello"
    with Server(closing(STARTED, FAILED)) as server:
        assert call.drive(lambda kind: program(kind, {"check": False})).status == RunStatus.FAILED
        with pytest.raises(RunFailedError):
            call.drive(lambda kind: program(kind, {}))
    with Server(closing(STARTED)) as server, pytest.raises(StreamInterruptedError):
        call.drive(lambda kind: program(kind, {}))


def test_the_run_and_the_last_event_grow(call: Caller) -> None:
    def program(client_class: Any) -> Any:
        client = client_class(KEY, base_url=server.url)
        watched = yield client.stream(WORKFLOW)
        assert watched.last_event is None
        assert (watched.run.id, watched.run.status, watched.run.state) == (None, RunStatus.STARTED, {})
        texts = []
        snapshots = []
        while (each := (yield step(watched))) is not None:
            assert watched.last_event is each
            texts.append(watched.run.text)
            snapshots.append((watched.run, copy.deepcopy(watched.run)))
        assert texts == ["", "", "Hel", "Hello", "Hello", "Hello", "Hello"]
        assert all(run == then for run, then in snapshots)
        assert [run.status for run, _ in snapshots] == ["started"] * 6 + ["completed"]
        assert watched.last_event.name == "workflow_run_completed"
        yield client.close()

    with Server(OK) as server:
        call.drive(program)


def test_text_asked_for_again_is_not_the_same_text_again(call: Caller) -> None:
    def collect(texts: Any, most: int | None = None) -> Any:
        async def collect_async() -> list[str]:
            found: list[str] = []
            async for text in texts:
                found.append(text)
                if len(found) == most:
                    break
            await texts.aclose()
            return found

        if hasattr(texts, "__aiter__"):
            return collect_async()
        return [text for _, text in zip(range(most or 100), texts, strict=False)]

    def program(client_class: Any) -> Any:
        client = client_class(KEY, base_url="http://127.0.0.1", transport=served(WHOLE))
        watched = yield client.stream(WORKFLOW)
        first = yield collect(watched.text(), 1)
        second = yield collect(watched.text())
        third = yield collect(watched.text())
        yield client.close()
        return first, second, third

    assert call.drive(program) == (["Hel"], ["lo"], [])


# --- Closing ---------------------------------------------------------------------------------------------


def test_a_closed_stream_raises_and_may_be_closed_again(call: Caller) -> None:
    def program(client_class: Any) -> Any:
        client = client_class(KEY, base_url=server.url)
        watched = yield client.stream(WORKFLOW)
        yield step(watched)
        yield watched.close()
        yield watched.close()
        assert settled(lambda: server.hangups)
        for _ in range(2):
            with pytest.raises(StreamInterruptedError) as caught:
                yield step(watched)
            assert "closed" in str(caught.value)
            assert caught.value.run.id == "run_1"
        with pytest.raises(StreamInterruptedError):
            yield watched.until_done()
        assert watched.last_event.name == "workflow_run_started"
        yield client.close()

    with Server(keeps_alive(STARTED)) as server:
        call.drive(program)
        assert server.hits == 1


def test_leaving_the_block_ends_the_connection_at_once() -> None:
    with Server(keeps_alive(STARTED, begins(), says("x"))) as server, Scout(KEY, base_url=server.url) as client:
        with client.stream(WORKFLOW) as watched:
            for _ in watched:
                break
        assert settled(lambda: len(server.hangups) == 1)
        with pytest.raises(ZeroDivisionError), client.stream(WORKFLOW) as watched:
            print(len(next(watched).name) / 0)
        assert settled(lambda: len(server.hangups) == 2)
        with client.stream(WORKFLOW):
            pass
        assert settled(lambda: len(server.hangups) == 3)
        for _ in client.stream(WORKFLOW).text():
            break
        for _ in client.stream(WORKFLOW):
            break
        del watched
        assert settled(lambda: server.open_connections <= 1)


async def test_leaving_the_block_ends_the_connection_at_once_async() -> None:
    with Server(keeps_alive(STARTED, begins())) as server:
        async with AsyncScout(KEY, base_url=server.url) as client:
            async with client.stream(WORKFLOW) as watched:
                async for _ in watched:
                    break
            assert await asyncio.to_thread(settled, lambda: len(server.hangups) == 1)

            async def read() -> None:
                async with client.stream(WORKFLOW) as mine:
                    async for _ in mine:
                        pass

            for _ in range(3):
                task = asyncio.create_task(read())
                await asyncio.sleep(0.1)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.stream(WORKFLOW).until_done(), 0.1)
            assert await asyncio.to_thread(settled, lambda: server.open_connections == 0)


async def test_a_task_cancelled_while_it_lets_go_of_a_finished_stream() -> None:
    with Server(keeps_alive(WHOLE, pause=60.0)) as server:
        async with AsyncScout(KEY, base_url=server.url) as client:
            watched = await client.stream(WORKFLOW)
            async for each in watched:
                if each.name == "workflow_run_completed":
                    break
            task = asyncio.create_task(anext(watched, None))  # type: ignore[arg-type]
            await asyncio.sleep(0.03)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(settled, lambda: server.open_connections == 0)


def test_a_forgotten_stream_lets_go() -> None:
    with Server(keeps_alive(STARTED)) as server, Scout(KEY, base_url=server.url) as client:
        watched = client.stream(WORKFLOW)
        next(watched)
        forgotten = weakref.ref(watched)
        del watched
        gc.collect()
        assert forgotten() is None
        assert settled(lambda: server.open_connections == 0)


async def test_a_forgotten_stream_lets_go_async() -> None:
    with Server(keeps_alive(STARTED)) as server:
        async with AsyncScout(KEY, base_url=server.url) as client:
            watched = await client.stream(WORKFLOW)
            await anext(watched)
            del watched
            gc.collect()
            assert await asyncio.to_thread(settled, lambda: server.open_connections == 0)


def test_closing_from_another_thread_wakes_the_reader() -> None:
    with Server(keeps_alive(STARTED, pause=60.0)) as server, Scout(KEY, base_url=server.url) as client:
        watched = client.stream(WORKFLOW, timeout=4.0)
        next(watched)
        closer = threading.Timer(0.2, watched.close)
        begun = time.monotonic()
        closer.start()
        with pytest.raises(StreamInterruptedError):
            next(watched)
        closer.join()
        assert time.monotonic() - begun < 1.5


async def test_closing_from_another_task_wakes_the_reader() -> None:
    with Server(keeps_alive(STARTED, pause=60.0)) as server:
        async with AsyncScout(KEY, base_url=server.url) as client:
            watched = await client.stream(WORKFLOW, timeout=4.0)
            await anext(watched)
            reader = asyncio.create_task(anext(watched, None))  # type: ignore[arg-type]
            await asyncio.sleep(0.1)
            begun = time.monotonic()
            await watched.close()
            with pytest.raises(StreamInterruptedError):
                await reader
            assert time.monotonic() - begun < 1.5


def test_closing_the_client_ends_its_streams(call: Caller) -> None:
    def program(client_class: Any) -> Any:
        client = client_class(KEY, base_url=server.url, timeout=3.0)
        watched = yield client.stream(WORKFLOW)
        yield step(watched)
        yield client.close()
        with pytest.raises(StreamInterruptedError):
            yield watched.until_done()
        yield watched.close()

    with Server(keeps_alive(STARTED, pause=60.0)) as server:
        call.drive(program)
        assert settled(lambda: server.open_connections == 0)


def test_a_connection_is_used_again_after_a_whole_stream(call: Caller) -> None:
    def whole(peer: Peer) -> None:
        peer.request()
        peer.send(head(200, {"Content-Type": SSE, "Transfer-Encoding": "chunked"}))
        peer.send(b"%x\r\n%b\r\n" % (len(WHOLE), WHOLE))
        peer.wait(0.02)  # the end of the body comes a little later
        peer.send(b"0\r\n\r\n")

    def program(client_class: Any) -> Any:
        client = client_class(KEY, base_url=server.url)
        for _ in range(3):
            watched = yield client.stream(WORKFLOW)
            yield watched.until_done()
            yield watched.close()
        yield client.close()

    with Server(whole, keep_alive=True) as server:
        call.drive(program)
        assert [request.connection for request in server.requests] == [1, 1, 1]


# --- A stream is one request -----------------------------------------------------------------------------


async def test_a_stream_awaited_by_two_tasks_sends_once() -> None:
    with Server(delayed(0.05, OK)) as server:
        async with AsyncScout(KEY, base_url=server.url) as client:
            watched = client.stream(WORKFLOW)

            async def wait() -> Any:
                return await watched

            await asyncio.gather(wait(), wait(), return_exceptions=True)
            await watched.close()
        assert server.hits == 1


async def test_a_stream_that_could_not_be_opened_is_not_opened_again() -> None:
    """Its run may have been started: asking the same stream again must not start another."""
    with Server([answer(503), OK]) as server:
        async with AsyncScout(KEY, base_url=server.url) as client:
            watched = client.stream(WORKFLOW)
            with pytest.raises(InternalServerError):
                await watched
            with pytest.raises(ScoutError):
                await watched.until_done()
        assert server.hits == 1


async def test_a_stream_cancelled_while_opening_is_not_opened_again() -> None:
    with Server([delayed(5.0, OK), OK]) as server:
        async with AsyncScout(KEY, base_url=server.url) as client:
            watched = client.stream(WORKFLOW)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(watched.until_done(), 0.2)
            with pytest.raises(ScoutError):
                await watched.until_done()
        async with AsyncScout(KEY, base_url=server.url) as client:
            assert server.hits == 1


async def test_a_stream_that_is_never_entered_sends_nothing() -> None:
    with Server(OK) as server:
        async with AsyncScout(KEY, base_url=server.url) as client:
            watched = client.stream(WORKFLOW)
            assert watched.run.status == RunStatus.STARTED
            await watched.close()
            with pytest.raises(StreamInterruptedError):
                await anext(watched)
        assert server.hits == 0


async def test_a_stream_of_a_closed_client_sends_nothing() -> None:
    with Server(OK) as server:
        client = AsyncScout(KEY, base_url=server.url)
        watched = client.stream(WORKFLOW)
        await client.close()
        with pytest.raises(ConfigurationError):
            await watched
        with pytest.raises(ConfigurationError):
            client.stream(WORKFLOW)
        assert server.hits == 0


def test_many_threads_may_forget_streams_at_once() -> None:
    """On a transport of the caller, forgotten streams are closed by whoever opens the next one."""
    with (
        Server(chunked([WHOLE], content_type=SSE)) as server,
        Scout(KEY, base_url=server.url, transport=httpx.HTTPTransport()) as client,
    ):

        class Raced(type(client._http._forgotten)):  # type: ignore[misc]
            """Another thread takes the only entry between the look and the taking."""

            looks = 0

            def __bool__(self) -> bool:
                self.looks += 1
                return self.looks == 1

            def __len__(self) -> int:
                self.looks += 1
                return int(self.looks == 1)

        client._http._forgotten = Raced()
        assert client.stream(WORKFLOW).until_done().ok


# --- Errors travel ---------------------------------------------------------------------------------------


ERRORS: dict[str, bytes] = {
    "interrupted": STARTED + begins() + says("Hel"),
    "decode": STARTED + begins() + says("Hel") + frame(b"{"),
    "error": STARTED + begins() + says("Hel") + frame({"detail": "x"}, "error"),
    "failed": STARTED + begins() + says("Hel") + ends(output="Hel") + FAILED,
    "unknown": STARTED + begins() + says("Hel") + frame({"name": "new"}),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_of_streams_pickle_and_copy(call: Caller, name: str) -> None:
    error = watch(call, ERRORS[name]).error
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert (str(twin), twin.run, twin.run_may_have_started) == (str(error), error.run, error.run_may_have_started)
        assert twin.run.blocks == error.run.blocks
        assert twin.attempts == error.attempts
        if not isinstance(error, RunFailedError):
            assert type(twin.last_event) is type(error.last_event)
            assert getattr(twin, "data", None) == getattr(error, "data", None)
            if hasattr(error.last_event, "to_dict"):
                assert twin.last_event.to_dict() == error.last_event.to_dict()


def test_no_foreign_error_hangs_on_ours(call: Caller) -> None:
    for behaviour in (cut_chunk(STARTED), closing(STARTED, frame(b"{"))):
        with Server(behaviour) as server:
            error = watch(call, server.url).error
            chain: list[BaseException] = [error]
            for each in chain:
                chain += [cause for cause in (each.__cause__, each.__context__) if cause is not None]
            assert not [each for each in chain if type(each).__module__.startswith(("httpx", "httpcore", "h11"))]


# --- Transports of the caller ----------------------------------------------------------------------------


def test_a_finished_stream_does_not_wait_for_the_server_to_hang_up(call: Caller) -> None:
    """Not on a transport of the caller either, which knows nothing of the time for the rest."""
    transport = httpx.AsyncHTTPTransport() if call.is_async else httpx.HTTPTransport()
    with Server(stream([WHOLE, 30.0], content_type=SSE)) as server:

        def program(client_class: Any) -> Any:
            client = client_class(KEY, base_url=server.url, transport=transport, timeout=20.0)
            watched = client.stream(WORKFLOW)
            begun = time.monotonic()
            if call.is_async:
                yield watched.until_done()
            else:
                watched.until_done()
            assert time.monotonic() - begun < 10
            yield client.close()

        call.drive(program)


def test_a_forgotten_stream_on_a_transport_of_the_caller_is_closed_at_once() -> None:
    with (
        Server(stream([STARTED, 30.0], content_type=SSE)) as server,
        Scout(KEY, base_url=server.url, transport=httpx.HTTPTransport()) as client,
    ):
        next(client.stream(WORKFLOW))
        gc.collect()
        assert settled(lambda: server.open_connections == 0)


async def test_a_stream_that_another_task_closes_is_interrupted() -> None:
    with Server(stream([STARTED, 30.0], content_type=SSE)) as server:
        async with AsyncScout(KEY, base_url=server.url) as client:
            watched = await client.stream(WORKFLOW)
            await anext(watched)
            reading = asyncio.create_task(anext(watched))
            await asyncio.sleep(0.05)
            await watched.close()
            with pytest.raises(StreamInterruptedError) as caught:
                await reading
            assert caught.value.run.id is not None


def test_one_event_as_json_by_id(call: Caller) -> None:
    def program(client_class: Any) -> Any:
        client = client_class(KEY, base_url=server.url)
        try:
            return (yield client.workflows.execute("wf_1"))
        finally:
            yield client.close()

    config = {"workflow_config": WORKFLOW, "output": "ok"}
    with Server(json_answer(event("workflow_run_completed", {**IDS, **config}))) as server:
        run = call.drive(program)
        assert (run.id, run.output, run.output_block_id) == ("run_1", "ok", "answer")
    with Server(json_answer(event("workflow_run_completed", {**IDS, "output": {"output": "ok"}}))) as server:
        assert call.drive(program).output == "ok"
    with Server(json_answer(event("workflow_run_started", IDS))) as server, pytest.raises(RunNotFinishedError):
        call.drive(program)


# --- A content type that is not that of the body ------------------------------------------------------------------

CONTENT_TYPES = [SSE, "application/json", f"application/json, {SSE}; charset=utf-8", "text/plain", "text/html", None]
BEGINNINGS = {
    "whole": [WHOLE],
    "in the first word": [WHOLE[:3], 0.02, WHOLE[3:]],
    "bytes": [b"\r", b"\n", b":", b"\n", b"\n", WHOLE],
}


@pytest.mark.parametrize("cut", BEGINNINGS)
@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_a_stream_is_known_by_its_beginning(call: Caller, content_type: str | None, cut: str, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    behaviour = (
        chunked(BEGINNINGS[cut], content_type=content_type)
        if content_type
        else stream([*BEGINNINGS[cut]], content_type="")
    )
    with Server(behaviour) as server:
        assert "".join(watch(call, server.url, text=True, client={"transport": record(path)}).events) == "Hello"
        assert call.run(server.url).output == "Hello"
    again = watch(call, "http://127.0.0.1:9", text=True, client={"transport": replay(path)})
    assert (again.error, "".join(again.events)) == (None, "Hello")
    assert len(path.read_text().splitlines()) > 6  # one for each frame


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_json_is_known_by_its_beginning(call: Caller, content_type: str | None) -> None:
    body = json.dumps(run_answer("Hello")).encode()
    with Server(stream([b" \n", 0.02, body[:1], 0.02, body[1:]], content_type=content_type or "")) as server:
        assert "".join(watch(call, server.url, text=True).events) == "Hello"
        assert call.run(server.url).output == "Hello"


@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
def test_the_first_event_does_not_wait_for_the_end(call: Caller, content_type: str) -> None:
    with Server(stream([STARTED[:3], 0.02, STARTED[3:] + says("Hel"), 20.0], content_type=content_type)) as server:
        found = watch(call, server.url, timeout=0.3)

    assert found.names == ["workflow_run_started", "block_state_updated"]
    assert type(found.error) is APITimeoutError


def test_json_without_a_run_under_the_name_of_a_stream(call: Caller) -> None:
    with Server(answer(200, b'{"unexpected": true}', content_type=SSE)) as server:
        assert type(call.error(server.url)) is APIResponseError
        error = watch(call, server.url).error

    assert type(error) is StreamInterruptedError
    assert "no run that says how it ended" in str(error)
