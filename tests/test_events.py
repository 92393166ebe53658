"""Events as they may come, drifted in every way, and the run that they add up to."""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import EllipsisType
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import KEY, WORKFLOW, Behaviour, Caller, Server, answer, json_answer, run_answer

import scout
from scout import (
    BlockRun,
    BlockRunCompleted,
    BlockRunFailed,
    BlockRunStarted,
    BlockStateUpdated,
    RunFailedError,
    RunNotFinishedError,
    RunStatus,
    StreamDecodeError,
    StreamError,
    StreamInterruptedError,
    UnknownEvent,
    WorkflowRunCompleted,
    WorkflowRunFailed,
    WorkflowRunStarted,
)
from scout.cassettes import record, replay

Json = dict[str, Any]

RUN: Json = {"workflow_id": "wf_1", "workflow_run_id": "run_1"}
IDS: Json = {**RUN, "session_id": "sess_1"}
AT = "2026-01-02T03:04:05.5Z"


# --- Frames ----------------------------------------------------------------------------------------------


def event(name: str, data: Any, **envelope: Any) -> Json:
    """An event with all that the API gives; a member that is `...` is left out."""
    members = {
        "organization_id": "org_1",
        "name": name,
        "environment": "production",
        "timestamp": AT,
        "data": data,
        "price": "0.00000",
        "event_type": name,
        "version": "1.0",
        **envelope,
    }
    return {key: value for key, value in members.items() if value is not ...}


def frame(payload: Any, kind: str | None = None) -> bytes:
    told = payload if isinstance(payload, bytes) else json.dumps(payload, ensure_ascii=False).encode()
    head = b"" if kind is None else b"event: %b\n" % kind.encode()
    return head + b"data: %b\n\n" % told


def framed(name: str, data: Any, **envelope: Any) -> bytes:
    return frame(event(name, data, **envelope), name)


def about(block_id: str | EllipsisType = "answer", **more: Any) -> Json:
    members = {**IDS, "block_id": block_id, "block_type": "com.scoutos.text", "config": {}, "state": {}, **more}
    return {key: value for key, value in members.items() if value is not ...}


def begins(block_id: str | EllipsisType = "answer", **more: Any) -> bytes:
    return framed("block_run_started", about(block_id), **more)


def ends(block_id: str | EllipsisType = "answer", output: Any = ..., price: Any = 0.0, **more: Any) -> bytes:
    state = {} if output is ... else {"output": output}
    return framed("block_run_completed", about(block_id, state=state, price=price), **more)


def breaks(block_id: str | EllipsisType = "answer", message: str = "no", **more: Any) -> bytes:
    return framed("block_run_failed", about(block_id, message=message, **more))


def updates(block_id: str | EllipsisType, data: Any, kind: str | EllipsisType = "partial", **envelope: Any) -> bytes:
    told = {**RUN, "block_id": block_id, "block_type": "com.scoutos.text", "update_data": data, "update_type": kind}
    return framed("block_state_updated", {key: value for key, value in told.items() if value is not ...}, **envelope)


def says(text: str, block_id: str | EllipsisType = "answer", **envelope: Any) -> bytes:
    return updates(block_id, {"output": text}, **envelope)


def says_all(text: Any, block_id: str | EllipsisType = "answer", **envelope: Any) -> bytes:
    return updates(block_id, {"output": text}, "complete", **envelope)


def done(output: Any, **envelope: Any) -> bytes:
    return framed("workflow_run_completed", {**IDS, "output": output}, **envelope)


STARTED = framed("workflow_run_started", {**IDS, "inputs": {}, "state": {}, "price": 0.0})
DONE = done({"inputs": {}, "answer": {"output": "Hello"}})
FAILED = framed("workflow_run_failed", {**IDS, "message": "Block failed."})
WHOLE = STARTED + begins() + says("Hel") + says("lo") + says_all("Hello") + ends(output="Hello") + DONE


def workflow(*block_ids: str, output: str | None = None) -> Json:
    """Blocks side by side."""
    blocks = [
        {**WORKFLOW["blocks"][0], "block_id": block_id, **({"is_output": True} if block_id == output else {})}
        for block_id in block_ids
    ]
    return {"blocks": blocks}


# --- Watching --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Watched:
    """What came of one stream: its events or texts, the run at the end, and the error."""

    events: list[Any]
    run: Any
    error: Any
    seconds: float

    @property
    def names(self) -> list[str]:
        return [each.name for each in self.events]


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.pieces)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece


def served(*pieces: bytes, content_type: str = "text/event-stream") -> httpx.MockTransport:
    """A transport that answers with these pieces, then ends the body well."""

    def handle(request: httpx.Request) -> httpx.Response:
        request.read()
        return httpx.Response(200, headers={"content-type": content_type}, stream=Body(list(pieces)))

    return httpx.MockTransport(handle)


def watch(
    call: Caller,
    source: bytes | list[bytes] | str,
    *,
    client: dict[str, Any] | None = None,
    sent: Any = WORKFLOW,
    text: bool = False,
    block_id: str | None = None,
    **options: Any,
) -> Watched:
    """Stream a run to its end, from a server's URL or made of these bytes, and note its events or texts."""
    chosen: dict[str, Any] = {"base_url": "http://127.0.0.1"}
    if isinstance(source, str):
        chosen["base_url"] = source
    else:
        chosen["transport"] = served(*([source] if isinstance(source, bytes) else source))
    chosen |= client or {}
    found: list[Any] = []
    failure: Any = None
    stream: Any = None
    begun = time.monotonic()

    def sync_watch() -> None:
        nonlocal failure, stream
        with call.client_class(KEY, **chosen) as client:
            try:
                with client.stream(sent, **options) as stream:
                    for each in stream.text(block_id) if text else stream:
                        found.append(each)
            except Exception as error:  # noqa: BLE001 - the test judges it
                failure = error

    async def async_watch() -> None:
        nonlocal failure, stream
        async with call.client_class(KEY, **chosen) as client:
            try:
                async with client.stream(sent, **options) as stream:
                    async for each in stream.text(block_id) if text else stream:
                        found.append(each)
            except Exception as error:  # noqa: BLE001 - the test judges it
                failure = error

    if call.is_async:
        asyncio.run(async_watch())
    else:
        sync_watch()
    assert failure is None or isinstance(failure, scout.ScoutError), f"a foreign exception: {failure!r}"
    run = getattr(failure, "run", None) if stream is None else stream.run
    return Watched(found, run, failure, time.monotonic() - begun)


def finished(call: Caller, *frames: bytes, **options: Any) -> Watched:
    """Watch a stream that must end well."""
    watched = watch(call, b"".join(frames), **options)
    if watched.error is not None:
        raise watched.error
    return watched


def drift(call: Caller, *frames: bytes) -> Any:
    """The events of a stream with these frames between a good start and a good end, and that nothing else suffers."""
    watched = finished(call, STARTED, *frames, DONE)
    assert isinstance(watched.events[0], WorkflowRunStarted)
    assert isinstance(watched.events[-1], WorkflowRunCompleted)
    assert (watched.run.status, watched.run.output) == (RunStatus.COMPLETED, "Hello")
    assert len(watched.events) == 2 + len(frames)
    return watched.events[1] if len(frames) == 1 else watched.events[1:-1]


# --- Typed by their name ---------------------------------------------------------------------------------


KINDS = {
    "workflow_run_started": (WorkflowRunStarted, {**IDS, "inputs": {}, "price": 0.0}),
    "workflow_run_completed": (WorkflowRunCompleted, {**IDS, "output": {}}),
    "workflow_run_failed": (WorkflowRunFailed, {**IDS, "message": "no"}),
    "block_run_started": (BlockRunStarted, about()),
    "block_run_completed": (BlockRunCompleted, about(price=0.1)),
    "block_run_failed": (BlockRunFailed, about(message="no")),
    "block_state_updated": (BlockStateUpdated, {**RUN, "block_id": "answer", "block_type": "t", "update_data": {}}),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("named", "kind", "event_type"),
    [
        (True, True, True),
        (True, False, False),
        (False, True, False),
        (False, False, True),
        (True, "block_run_started", "workflow_run_failed"),
        (False, True, "something else"),
    ],
    ids=["everywhere", "name", "event field", "event_type", "name wins", "event field before event_type"],
)
def test_an_event_is_told_by_name_then_event_field_then_event_type(
    call: Caller, name: str, named: bool, kind: Any, event_type: Any
) -> None:
    cls, data = KINDS[name]
    members = event(
        name if named else ...,  # type: ignore[arg-type]
        data,
        event_type=name if event_type is True else (event_type or ...),
    )
    one = frame(members, name if kind is True else (kind or None))
    (first, *_) = watch(call, one + STARTED + DONE, check=False).events
    assert type(first) is cls
    assert first.name == name


def test_every_event_can_be_matched(call: Caller) -> None:
    seen: list[str] = []
    for each in finished(call, WHOLE).events:
        match each:
            case WorkflowRunStarted(data=data):
                seen.append(f"started {data.workflow_run_id}")
            case BlockRunStarted(data=data) | BlockRunCompleted(data=data):
                seen.append(f"{each.name} {data.block_id}")
            case BlockStateUpdated(data=data):
                seen.append(f"{data.update_type} {data.update_data['output']}")
            case WorkflowRunCompleted(data=data):
                seen.append(f"completed {data.output['answer']}")
            case _:
                seen.append("?")
    assert seen == [
        "started run_1",
        "block_run_started answer",
        "partial Hel",
        "partial lo",
        "complete Hello",
        "block_run_completed answer",
        "completed {'output': 'Hello'}",
    ]


# --- Drifted, and understood -----------------------------------------------------------------------------


@pytest.mark.parametrize("version", [..., None, 2, "7.0", ["1"]], ids=repr)
def test_any_version(call: Caller, version: Any) -> None:
    found = drift(call, framed("block_run_started", about(), version=version))
    assert type(found) is BlockRunStarted


@pytest.mark.parametrize(
    ("price", "expected"),
    [(0.5, 0.5), ("0.5", 0.5), (1, 1.0), (0, 0.0), ("much", None), (True, None), ([1], None), ("1e-7", 1e-7)],
    ids=repr,
)
def test_any_price(call: Caller, price: Any, expected: float | None) -> None:
    watched = finished(call, STARTED, begins(), framed("block_run_completed", about(price=price), price=price), DONE)
    assert type(watched.events[2]) is BlockRunCompleted
    watched = finished(call, STARTED, begins(), framed("block_run_completed", about(price=price), price=...), DONE)
    assert watched.run.blocks[0].price == expected
    assert watched.run.price == expected


def test_a_price_may_be_missing_or_stand_on_the_envelope(call: Caller) -> None:
    watched = finished(call, STARTED, framed("block_run_completed", about(), price=...), DONE)
    assert watched.run.blocks[0].price is None
    assert watched.run.price is None
    watched = finished(call, STARTED, framed("block_run_completed", about(price=None), price="0.25"), DONE)
    assert watched.run.price == 0.25


def test_unknown_enum_values_and_fields_survive(call: Caller) -> None:
    update = {**RUN, "block_id": "answer", "block_type": "t", "update_type": "weird", "update_data": {"a": [1]}, "b": 2}
    found = drift(call, framed("block_state_updated", update, environment="moon", more={"deep": [None]}))
    assert type(found) is BlockStateUpdated
    assert found.environment == "moon"
    assert found.additional_properties == {"more": {"deep": [None]}}
    assert found.data.update_type == "weird"
    assert found.data.additional_properties == {"b": 2}
    assert found.to_dict()["data"] == update


@pytest.mark.parametrize("left_out", ["organization_id", "environment", "timestamp", "event_type", "version", "price"])
def test_nothing_of_the_envelope_is_needed(call: Caller, left_out: str) -> None:
    assert type(drift(call, framed("block_run_started", about(), **{left_out: ...}))) is BlockRunStarted


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\u0085", "\x0b", "\x1c", "\ufeff", "😀"])
def test_text_holds_any_character(call: Caller, character: str) -> None:
    text = f"a{character}b"
    watched = finished(
        call, STARTED, begins(), says(text), says(text), ends(output=text * 2), done({"answer": {"output": text * 2}})
    )
    assert watched.events[2].data.update_data["output"] == text
    assert watched.run.output == text * 2
    assert finished(call, STARTED, begins(), says(text), says(text), DONE, text=True).events == [text, text]


def test_json_may_stand_on_several_lines(call: Caller) -> None:
    pretty = json.dumps(event("block_run_started", about()), indent=2).replace("\n", "\ndata: ")
    assert type(drift(call, b"data: " + pretty.encode() + b"\n\n")) is BlockRunStarted


def test_the_last_of_duplicate_keys_counts(call: Caller) -> None:
    text = json.dumps(event("block_run_started", about())).replace(
        '"version": "1.0"', '"version": "1.0", "version": "2"'
    )
    found = drift(call, frame(text.encode()))
    assert found.version == "2"


def test_nan_is_no_crash(call: Caller) -> None:
    found = drift(call, updates("answer", {"score": math.nan, "most": math.inf}))
    assert type(found) is BlockStateUpdated
    assert math.isnan(found.data.update_data["score"])


# --- Drifted, and told so --------------------------------------------------------------------------------


def test_an_unknown_name_is_kept_with_all_it_says(call: Caller) -> None:
    members = event("block_run_paused", {"why": ["lunch"]}, more=1)
    assert drift(call, frame(members)) == UnknownEvent("block_run_paused", members)
    nameless = {"data": {"why": "lunch"}}
    found = drift(call, frame(nameless, "block_run_paused"))
    assert (found.name, found.data["data"], found.problem) == ("block_run_paused", {"why": "lunch"}, None)


@pytest.mark.parametrize("payload", ["5", "-1.5", "true", "null", '"text"', "[]", "[1, 2]", '"workflow_run_completed"'])
@pytest.mark.parametrize("kind", [None, "block_state_updated", "workflow_run_completed"])
def test_json_that_is_no_object(call: Caller, payload: str, kind: str | None) -> None:
    found = drift(call, frame(payload.encode(), kind))
    assert isinstance(found, UnknownEvent)
    assert found.data == json.loads(payload)
    assert found.problem


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("data", [..., None, 5, "text", [], [1], {}, True], ids=repr)
def test_a_known_name_whose_data_does_not_fit(call: Caller, name: str, data: Any) -> None:
    if data == {} and name != "block_state_updated":
        return  # which needs nothing
    found = drift(call, framed(name, data))
    assert isinstance(found, UnknownEvent), found
    assert found.name == name
    assert found.problem
    assert found.data.get("data", ...) == data


def test_a_list_of_pairs_is_no_object(call: Caller) -> None:
    """`dict()` would take it for one."""
    pairs = [[key, value] for key, value in about().items()]
    found = drift(call, framed("block_run_started", pairs))
    assert isinstance(found, UnknownEvent), found
    update = {**RUN, "block_id": "answer", "block_type": "t", "update_data": [["output", "X"]]}
    assert isinstance(drift(call, framed("block_state_updated", update)), UnknownEvent)


@pytest.mark.parametrize("update", [None, 5, "text", [1], ...], ids=repr)
def test_an_update_that_is_no_object(call: Caller, update: Any) -> None:
    found = drift(call, updates("answer", update))
    assert isinstance(found, UnknownEvent)
    assert found.name == "block_state_updated"


@pytest.mark.parametrize("name", [5, ["x"], {"a": 1}, False, ""], ids=repr)
def test_a_name_that_is_no_name(call: Caller, name: Any) -> None:
    assert isinstance(drift(call, frame({"name": name, "data": about()})), UnknownEvent)


def test_an_event_without_any_name(call: Caller) -> None:
    found = drift(call, frame({"data": {"a": 1}}))
    assert isinstance(found, UnknownEvent)
    assert found.name != "None"
    assert found.data == {"data": {"a": 1}}


STRANGE = [None, 5, 1.5, True, "text", [], [1], {}, {"a": {"b": 1}}]


@given(
    st.sampled_from(sorted(KINDS)),
    st.dictionaries(
        st.sampled_from(
            [
                "block_id",
                "block_type",
                "config",
                "metadata",
                "state",
                "session_id",
                "workflow_id",
                "workflow_run_id",
                "inputs",
                "output",
                "message",
                "price",
                "cost",
                "update_type",
                "update_data",
                "actor",
                "workflow_config",
                "status_code",
            ]
        ),
        st.sampled_from(STRANGE),
        max_size=5,
    ),
    st.dictionaries(
        st.sampled_from(
            ["organization_id", "id", "correlation_id", "environment", "timestamp", "price", "event_type", "version"]
        ),
        st.sampled_from(STRANGE),
        max_size=4,
    ),
)
def test_no_drift_of_types_breaks_the_stream(name: str, members: Json, envelope: Json) -> None:
    one = framed(name, KINDS[name][1] | members, **envelope)
    watched = watch(
        Caller("sync"), STARTED + begins() + one + says("x") + done({"answer": {"output": "Hello"}}), check=False
    )
    if watched.error is None:
        assert watched.run.status in (RunStatus.COMPLETED, RunStatus.FAILED)
        assert isinstance(watched.run.state, dict)
        repr(watched.run)
        assert watched.run.price is None or isinstance(watched.run.price, float | int)


# --- Malformed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        b'{"name": "block_run_started"',
        b"hello",
        b"'a'",
        b'{"a": 1}{"b": 2}',
        b'{"name": "\xff"}',
        b'{"name": "\xc3"}',
        b'{"name": "\xed\xa0\x80"}',
        b"\xff\xfe{\x00}\x00",
        b'{"a": 0x10}',
        b'{"a": "\x01"}',
        b'{"a": ' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"name": "block_state_updated", "data": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
    ],
    ids=lambda payload: repr(payload[:24]),
)
def test_what_is_not_json_is_an_error_with_the_bytes_and_the_run(call: Caller, payload: bytes) -> None:
    watched = watch(call, STARTED + begins() + says("Hel") + frame(payload, "block_state_updated") + says("lo") + DONE)
    error = watched.error
    assert type(error) is StreamDecodeError, repr(error)
    assert error.data == payload
    assert error.run_may_have_started is True
    assert error.run.status == RunStatus.STARTED
    assert error.run.state["answer"] == {"output": "Hel"}
    assert error.last_event == watched.events[-1]
    assert watched.names[-1] == "block_state_updated"
    assert len(str(error)) < 600


def test_an_event_of_20_mb(call: Caller) -> None:
    text = "x" * 20_000_000
    stream = STARTED + begins() + says(text) + ends(output=text) + done({"answer": {"output": text}})
    pieces = [stream[start : start + 65536] for start in range(0, len(stream), 65536)]
    watched = watch(call, pieces)
    assert watched.error is None
    assert watched.run.output == text
    watched = watch(call, pieces, max_event_bytes=1_000_000)
    assert type(watched.error) is StreamDecodeError
    assert "max_event_bytes" in str(watched.error)
    assert "1000000" in str(watched.error)
    assert len(watched.error.data) <= 1000
    assert watched.names == ["workflow_run_started", "block_run_started"]
    assert watched.error.run.blocks[0].id == "answer"


# --- An error that the server reports --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"detail": "The model is overloaded."}, "The model is overloaded."),
        ({"detail": [{"loc": ["body"], "msg": "bad"}]}, "bad"),
        ({"message": "Out of credit."}, "Out of credit."),
        ({"error": {"code": 7}}, "7"),
        ({"name": "error", "data": {"message": "Out of credit."}}, "Out of credit."),
    ],
)
def test_an_error_frame_is_raised(call: Caller, payload: Any, words: str) -> None:
    watched = watch(call, STARTED + begins() + says("Hel") + frame(payload, "error") + DONE)
    error = watched.error
    assert isinstance(error, StreamError)
    assert words in str(error)
    assert error.run_may_have_started is True
    assert error.run.state["answer"] == {"output": "Hel"}
    assert error.last_event == watched.events[-1]
    assert len(watched.events) == 3


def test_an_error_frame_in_plain_text_is_raised_with_its_words(call: Caller) -> None:
    watched = watch(call, STARTED + b"event: error\ndata: Internal Server Error\n\n")
    assert isinstance(watched.error, StreamError)
    assert "Internal Server Error" in str(watched.error)


def test_a_detail_without_an_error_is_an_unknown_event(call: Caller) -> None:
    assert isinstance(drift(call, frame({"detail": "by the way"})), UnknownEvent)


def test_an_error_as_the_first_frame(call: Caller) -> None:
    error = watch(call, frame({"detail": "No."}, "error")).error
    assert isinstance(error, StreamError)
    assert error.last_event is None
    assert (error.run.id, error.run.status) == (None, RunStatus.STARTED)


# --- [DONE] ----------------------------------------------------------------------------------------------


DONE_MARK = b"data: [DONE]\n\n"


def test_done_after_the_terminal_event_is_tolerated(call: Caller) -> None:
    assert finished(call, WHOLE, DONE_MARK).run.output == "Hello"
    assert watch(call, [WHOLE, DONE_MARK]).error is None


@pytest.mark.parametrize("rest", [[], [DONE], [says("lo"), DONE]], ids=["nothing", "the end", "text and the end"])
def test_done_before_the_terminal_event_means_the_same_in_any_cut(call: Caller, rest: list[bytes]) -> None:
    start = STARTED + begins() + says("Hel")
    whole = watch(call, start + DONE_MARK + b"".join(rest))
    in_pieces = watch(call, [start, DONE_MARK, *rest])
    assert (whole.names, type(whole.error)) == (in_pieces.names, type(in_pieces.error))
    if not rest:
        assert type(whole.error) is StreamInterruptedError
        assert "unfinished" not in str(whole.error)
        assert whole.error.run.state["answer"] == {"output": "Hel"}


def test_text_that_holds_done_is_text(call: Caller) -> None:
    watched = finished(call, STARTED, begins(), says("[DONE]"), says(" [DONE]\n\n"), DONE, text=True)
    assert watched.events == ["[DONE]", " [DONE]\n\n"]


# --- Events sent twice -----------------------------------------------------------------------------------


def test_frames_that_come_twice_do_not_double_the_text(call: Caller) -> None:
    parts = [
        STARTED,
        framed("block_run_started", about(), id="evt_1"),
        says("Hel", id="evt_2"),
        says("lo", id="evt_3"),
        ends(id="evt_4"),
    ]
    twice = b"".join(part * 2 for part in parts) + framed("workflow_run_failed", {**IDS, "message": "no"}, id="evt_5")
    watched = watch(call, twice, check=False)
    assert len(watched.events) == 11
    assert watched.run.state["answer"] == {"output": "Hello"}
    assert [block.id for block in watched.run.blocks] == ["answer"]
    texts = watch(call, b"".join(part * 2 for part in parts) + DONE, text=True).events
    assert texts == ["Hel", "lo"]


def test_all_events_sent_again_in_a_row_do_not_double_the_text(call: Caller) -> None:
    parts = begins(id="e1") + says("Hel", id="e2") + says("lo", id="e3")
    assert finished(call, STARTED, parts, parts, parts, DONE, text=True).events == ["Hel", "lo"]


def test_the_same_text_under_two_ids_is_text_twice(call: Caller) -> None:
    frames = [begins(), says("ha", id="e1"), says("ha", id="e2"), says("ha"), says("ha")]
    assert finished(call, STARTED, *frames, DONE, text=True).events == ["ha"] * 4


def test_nothing_counts_after_the_terminal_event(call: Caller) -> None:
    watched = finished(call, WHOLE, says("more"), FAILED)
    assert watched.run.output == "Hello"
    assert watched.run.ok
    assert watched.names[-1] == "workflow_run_completed"


# --- Blocks: which, and in which order -------------------------------------------------------------------


def test_events_without_a_block_id_belong_to_the_only_block_that_runs(call: Caller) -> None:
    watched = watch(
        call,
        STARTED
        + begins("first")
        + says("1", ...)
        + ends(..., output="1")
        + begins("second")
        + says("2", ...)
        + says("3", ...)
        + FAILED,
        sent=workflow("first", "second"),
        check=False,
    )
    assert watched.run.outputs["first"] == "1"
    assert [block.status for block in watched.run.blocks] == ["completed", "started"]
    assert watched.names.count("block_state_updated") == 3


def test_events_without_a_block_id_while_several_run_are_guessed_to_none(call: Caller) -> None:
    frames = [begins("a"), begins("b"), says("?", ...), says("a", "a"), says("b", "b"), ends(..., output="?")]
    watched = finished(
        call, STARTED, *frames, done({"a": {"output": "a"}, "b": {"output": "b"}}), sent=workflow("a", "b")
    )
    assert watched.run.outputs == {"inputs": {}, "a": "a", "b": "b"}
    assert len(watched.events) == 8


def test_a_block_is_known_by_its_definition(call: Caller) -> None:
    config = {"block_id": "answer", "block_archetype_id": "com.scoutos.llm"}
    data = about(..., config=config, block_type=..., price=0.5)
    watched = finished(
        call, STARTED, framed("block_run_started", data), begins("other"), framed("block_run_completed", data), DONE
    )
    block = watched.run.blocks[0]
    assert (block.id, block.archetype, block.status, block.price) == ("answer", "com.scoutos.llm", "completed", 0.5)


def test_interleaved_blocks_keep_their_own_text(call: Caller) -> None:
    frames = [begins("a"), begins("b")]
    for number in range(20):
        frames += [says(f"a{number} ", "a"), says(f"b{number} ", "b")]
    frames += [ends("b"), ends("a")]
    expected = {name: "".join(f"{name}{number} " for number in range(20)) for name in "ab"}
    state = {name: {"output": text} for name, text in expected.items()}
    sent = workflow("a", "b", output="b")
    watched = finished(call, STARTED, *frames, done(state), sent=sent)
    assert watched.run.outputs == {"inputs": {}, **expected}
    assert [block.id for block in watched.run.blocks] == ["a", "b"]
    assert "".join(finished(call, STARTED, *frames, done(state), sent=sent, text=True).events) == expected["b"]
    only_a = finished(call, STARTED, *frames, done(state), sent=sent, text=True, block_id="a").events
    assert only_a == [f"a{number} " for number in range(20)]


def test_events_may_come_in_any_order(call: Caller) -> None:
    frames = [says("x", "a"), ends("a", output="x"), begins("a"), says("y", "b"), DONE]
    watched = finished(call, *frames, sent=workflow("a", "b", "answer", output="answer"))
    assert watched.run.output == "Hello"
    assert {block.id for block in watched.run.blocks} == {"a"}


def test_what_is_told_of_a_block(call: Caller) -> None:
    later = "2026-01-02T03:04:07Z"
    frames = [
        begins("a"),
        framed("block_run_completed", about("a", price=0.25), timestamp=later),
        begins("b"),
        framed("block_run_failed", about("b", message="it broke"), timestamp=later),
    ]
    run = watch(call, b"".join([STARTED, *frames, FAILED]), check=False).run
    started, ended = datetime(2026, 1, 2, 3, 4, 5, 500_000, UTC), datetime(2026, 1, 2, 3, 4, 7, tzinfo=UTC)
    assert run.blocks == [
        BlockRun("a", "com.scoutos.text", RunStatus.COMPLETED, started, ended, 0.25),
        BlockRun("b", "com.scoutos.text", RunStatus.FAILED, started, ended, 0.0, "it broke"),
    ]
    assert run.blocks[0].duration == 1.5
    assert (run.status, run.errors) == (RunStatus.FAILED, ["Block failed."])


def clock(second: int) -> str:
    return f"2026-01-02T03:04:{second:02d}Z"


@pytest.mark.parametrize(
    ("frames", "second"),
    [
        ([says("Hel", timestamp=clock(6)), says("lo", timestamp=clock(7))], 6),
        ([says("", timestamp=clock(6)), says("Hello", timestamp=clock(7)), says("", timestamp=clock(8))], 7),
        ([updates("answer", {"output": "Hello"}, "complete", timestamp=clock(6)), says("!", timestamp=clock(7))], 6),
        ([updates("answer", {"thought": "Hm"}, timestamp=clock(6)), says("Hello", timestamp=clock(7))], 7),
        ([updates("answer", {"output": {"a": 1}}, timestamp=clock(6))], None),
        ([], None),
    ],
    ids=["pieces", "empty", "complete", "another key", "json", "none"],
)
def test_the_time_of_the_first_text_of_a_block(call: Caller, frames: list[bytes], second: int | None) -> None:
    run = finished(call, STARTED, begins(), *frames, ends(), DONE).run

    moment = None if second is None else datetime(2026, 1, 2, 3, 4, second, tzinfo=UTC)
    assert [block.first_token for block in run.blocks] == [moment]


def test_a_block_that_runs_again_has_a_first_text_again(call: Caller) -> None:
    one = [begins(), says("a", timestamp=clock(6)), ends(output="a")]
    two = [begins(), says("b", timestamp=clock(8)), ends(output="b")]

    run = finished(call, STARTED, *one, *two, DONE).run

    assert run.blocks[0].first_token == datetime(2026, 1, 2, 3, 4, 8, tzinfo=UTC)


def test_an_empty_piece_does_not_empty_the_text(call: Caller) -> None:
    whole = updates("answer", {"output": "Hello"}, "complete")
    run = watch(call, b"".join([STARTED, begins(), whole, says(""), says(" there")])).error.run
    assert run.state["answer"]["output"] == "Hello there"


def test_a_block_says_which_model_it_called_and_what_it_waits_for(call: Caller) -> None:
    meta = {"model": "gpt-4o", "input_tokens": 21, "output_tokens": 96, "cost": 5}
    needs = {"block_id": "b", "dependencies": [{"block_id": "a"}]}
    frames = [
        begins("a"),
        framed("block_run_started", about("b", config=needs)),
        framed("block_run_completed", about("b", price=0.25, state={"output": "", "meta": meta})),
    ]
    sent = workflow("a", "unused")
    first, second = finished(call, STARTED, *frames, DONE, sent=sent).run.blocks
    assert (first.dependencies, second.dependencies) == ((), ("a",))
    assert (second.model, second.input_tokens, second.output_tokens, second.price) == ("gpt-4o", 21, 96, 0.25)


def test_a_block_that_may_fail_does_not_fail_the_run(call: Caller) -> None:
    entry = {"output": None, "error": "it broke"}
    frames = [begins("a"), says("half", "a"), breaks("a", "it broke", state=entry), begins("answer"), says("Hello")]
    state = {"a": entry, "answer": {"output": "Hello"}}
    sent = workflow("a", "answer", output="answer")
    watched = finished(call, STARTED, *frames, ends(output="Hello"), done(state), sent=sent)
    assert watched.run.ok
    assert watched.run.errors == []
    assert watched.run.state == {"inputs": {}, **state}
    assert [(block.id, block.status, block.error) for block in watched.run.blocks] == [
        ("a", "failed", "it broke"),
        ("answer", "completed", None),
    ]


# --- Text ------------------------------------------------------------------------------------------------


TEXTS: dict[str, tuple[list[bytes], list[str]]] = {
    "partials": ([begins(), says("Hel"), says("lo"), ends()], ["Hel", "lo"]),
    "one complete": ([begins(), says_all("Hello"), ends()], ["Hello"]),
    "both": ([begins(), says("Hel"), says("lo"), says_all("Hello"), ends(output="Hello")], ["Hel", "lo"]),
    "a complete that says more": ([begins(), says("Hel"), says_all("Hello"), ends()], ["Hel", "lo"]),
    "completes that grow": ([begins(), says_all("H"), says_all("Hell"), says_all("Hello"), ends()], ["H", "ell", "o"]),
    "the end of the block": ([begins(), ends(output="Hello")], ["Hello"]),
    "the end of the block says more": ([begins(), says("Hel"), ends(output="Hello")], ["Hel", "lo"]),
    "the end of the run": ([begins(), ends()], ["Hello"]),
    "the end of the run says more": ([begins(), says("Hel"), ends()], ["Hel", "lo"]),
    "no block events": ([], ["Hello"]),
    "only partials": ([says("Hel"), says("lo")], ["Hel", "lo"]),
    "only a complete": ([says_all("Hello")], ["Hello"]),
    "empty pieces": ([begins(), says(""), says("Hello"), says(""), ends()], ["Hello"]),
    "other keys": ([begins(), updates("answer", {"thoughts": "hm"}), says("Hello"), ends()], ["Hello"]),
    "unnamed blocks": ([begins(), says("Hel", ...), says("lo", ...), ends()], ["Hel", "lo"]),
    "no kind of update": (
        [begins(), updates("answer", {"output": "Hel"}, ...), updates("answer", {"output": "lo"}, ...), ends()],
        ["Hel", "lo"],
    ),
}
ENDINGS = {
    "whole state": DONE,
    "state without inputs": done({"answer": {"output": "Hello"}}),
    "output only": done({"output": "Hello"}),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("block_id", [None, "answer"], ids=["any", "answer"])
def test_text_comes_once_however_it_is_sent(call: Caller, name: str, ending: str, block_id: str | None) -> None:
    frames, expected = TEXTS[name]
    watched = finished(call, STARTED, *frames, ENDINGS[ending], text=True, block_id=block_id)
    assert watched.events == expected
    assert watched.run.text == "Hello"
    assert watched.run.output == "Hello"
    assert watched.run.state["answer"] == {"output": "Hello"}


@pytest.mark.parametrize("name", TEXTS)
def test_nothing_of_the_end_is_needed_for_the_text(call: Caller, name: str) -> None:
    """An answer that ends without saying what came out, as far as the events told it."""
    frames, expected = TEXTS[name]
    watched = finished(call, STARTED, *frames, done({}), text=True)
    told = "".join(watched.events)
    assert "Hello".startswith(told)
    if "".join(expected) == told:
        assert watched.events == expected
    assert watched.run.text == told


def test_the_text_of_a_run_that_came_whole_at_its_end(call: Caller) -> None:
    assert finished(call, DONE, text=True).events == ["Hello"]
    assert finished(call, done({"answer": {"output": "Hello"}}), text=True).events == ["Hello"]


def test_output_that_is_no_text_comes_as_json(call: Caller) -> None:
    value = {"a": [1, None]}
    frames = [begins(), says_all(value), ends(output=value), done({"answer": {"output": value}})]
    watched = finished(call, STARTED, *frames, text=True)
    assert [json.loads(text) for text in watched.events] == [value]
    assert watched.run.output == value


ANY = ["text", "", 0, False, None, 1.5, [], [1], {}, {"a": 1}, {"output": "x"}]


@pytest.mark.parametrize("value", ANY, ids=repr)
def test_any_output(call: Caller, value: Any) -> None:
    frames = [begins(), says_all(value), ends(output=value)]
    assert finished(call, STARTED, *frames, done({"inputs": {}, "answer": {"output": value}})).run.output == value
    assert finished(call, STARTED, *frames, done({})).run.output == value


@pytest.mark.parametrize("value", ANY, ids=repr)
def test_any_output_that_only_the_end_tells(call: Caller, value: Any) -> None:
    """The blocks of the workflow that was sent say which keys of the output are blocks."""
    assert finished(call, STARTED, done({"inputs": {}, "answer": {"output": value}})).run.output == value
    assert finished(call, STARTED, done({"answer": {"output": value}})).run.output == value
    assert finished(call, STARTED, done({"output": value})).run.output == value


def test_text_follows_the_output_block_when_it_is_known(call: Caller) -> None:
    sent = workflow("first", "answer", output="answer")
    frames = [begins("first"), says("no", "first"), ends("first", "no"), begins(), says("Hel"), says("lo"), ends()]
    assert finished(call, STARTED, *frames, DONE, sent=sent, text=True).events == ["Hel", "lo"]


def test_text_follows_the_first_block_that_says_something_else(call: Caller) -> None:
    sent = workflow("a", "b")
    frames = [begins("a"), begins("b"), says("b1", "b"), says("a1", "a"), says("b2", "b"), ends("a"), ends("b")]
    ending = done({"a": {"output": "a1"}, "b": {"output": "b1b2"}})
    assert finished(call, STARTED, *frames, ending, sent=sent, text=True).events == ["b1", "b2"]


def test_text_of_a_block_that_says_nothing(call: Caller) -> None:
    assert finished(call, WHOLE, text=True, block_id="nobody").events == []


def test_text_of_a_failed_run(call: Caller) -> None:
    stream = STARTED + begins() + says("Hel") + breaks() + FAILED
    watched = watch(call, stream, text=True)
    assert watched.events == ["Hel"]
    assert isinstance(watched.error, RunFailedError)
    assert watch(call, stream, text=True, check=False).events == ["Hel"]


# --- Merging ---------------------------------------------------------------------------------------------


def test_partials_append_text_and_replace_the_rest_and_complete_replaces_all(call: Caller) -> None:
    def state(*frames: bytes) -> Any:
        watched = watch(call, STARTED + begins() + b"".join(frames))
        assert type(watched.error) is StreamInterruptedError
        return watched.error.run.state["answer"]

    first = updates("answer", {"output": "a", "n": 1, "list": [1], "map": {"x": 1}})
    assert state(first) == {"output": "a", "n": 1, "list": [1], "map": {"x": 1}}
    second = updates("answer", {"output": "b", "n": 2, "list": [2], "map": {"y": 2}, "new": None})
    assert state(first, second) == {"output": "ab", "n": 2, "list": [2], "map": {"y": 2}, "new": None}
    assert state(first, second, updates("answer", {"output": "c"}, "complete")) == {"output": "c"}
    assert state(updates("answer", {"output": "c"}, "complete"), says("d")) == {"output": "cd"}
    assert state(says("a"), updates("answer", {"output": 5}), says("b")) == {"output": "b"}


def test_the_kind_of_an_update_may_be_missing(call: Caller) -> None:
    watched = watch(call, STARTED + begins() + updates("answer", {"output": "a"}, ...) + says("b"))
    assert watched.error.run.state["answer"] == {"output": "ab"}


def test_a_block_that_had_not_ended_is_not_in_the_state_of_a_failed_run(call: Caller) -> None:
    frames = [begins("a"), ends("a", "x"), begins("b"), says("half", "b"), begins("c"), says_all("all", "c")]
    frames += [begins("d"), updates("d", {"n": 1}), breaks("d"), FAILED]
    watched = watch(call, b"".join([STARTED, *frames]), sent=workflow("a", "b", "c", "d"), check=False)
    assert watched.run.status == RunStatus.FAILED
    assert watched.run.state == {"inputs": {}, "a": {"output": "x"}}


def test_the_start_of_a_run_is_in_the_partial_run(call: Caller) -> None:
    data = {
        **IDS,
        "inputs": {"q": 1},
        "state": {"__exp_global": {"a": 1}},
        "workflow_config": workflow("x"),
        "price": 0,
    }
    watched = watch(call, framed("workflow_run_started", data), sent=workflow("x", "y"))
    run = watched.error.run
    assert (run.id, run.session_id, run.workflow_id, run.status) == ("run_1", "sess_1", "wf_1", "started")
    assert run.state == {"__exp_global": {"a": 1}, "inputs": {"q": 1}}
    assert run.output_block_id == "x"


def test_the_ids_come_from_whatever_event_tells_them(call: Caller) -> None:
    nameless = framed("workflow_run_started", {"workflow_id": "wf_1", "inputs": {}, "price": 0})
    assert watch(call, nameless + begins()).error.run.id == "run_1"
    assert watch(call, says("x")).error.run.id == "run_1"
    assert watch(call, says("x")).error.run.workflow_id == "wf_1"


# --- Halves of surrogate pairs ---------------------------------------------------------------------------

HIGH, LOW = "\ud83c", "\udf89"  # of U+1F389


def cut(text: str, block_id: str = "answer", kind: str = "partial", **envelope: Any) -> bytes:
    told = {**RUN, "block_id": block_id, "update_data": {"output": text, "notes": text}, "update_type": kind}
    payload = event("block_state_updated", told, **envelope)
    return frame(json.dumps(payload).encode(), "block_state_updated")


HALVES: dict[str, tuple[list[bytes], str]] = {
    "two pieces": ([cut("a"), cut(HIGH), cut(LOW), cut("!")], "a\U0001f389!"),
    "inside of words": ([cut("a" + HIGH), cut(LOW + "!")], "a\U0001f389!"),
    "an empty piece between": ([cut("a" + HIGH), cut(""), cut(LOW)], "a\U0001f389"),
    "partial and complete": ([cut("a" + HIGH), cut("a" + HIGH + LOW, kind="complete")], "a\U0001f389"),
    "a complete that is cut": ([cut("a" + HIGH, kind="complete"), cut(LOW + "!")], "a\U0001f389!"),
    "completes that grow": ([cut(text, kind="complete") for text in ("a" + HIGH, "a" + HIGH + LOW)], "a\U0001f389"),
    "sent twice": ([cut("a" + HIGH, id="1"), cut("a" + HIGH, id="1"), cut(LOW, id="2")], "a\U0001f389"),
    "another block between": ([cut("a" + HIGH), cut(LOW, "other"), cut(LOW)], "a\U0001f389"),
    "alone at the end": ([cut("a" + HIGH)], "a\ufffd"),
    "alone before text": ([cut("a" + HIGH), cut("b")], "a\ufffdb"),
    "the second alone": ([cut("a"), cut(LOW + "b")], "a\ufffdb"),
}


@pytest.mark.parametrize("name", HALVES)
def test_the_halves_of_a_character_are_joined(call: Caller, name: str) -> None:
    frames, whole = HALVES[name]
    watched = finished(call, STARTED, begins(), *frames, done({}))
    assert watched.run.text == watched.run.output == whole
    assert watched.run.state["answer"] == {"output": whole, "notes": whole}
    watched.run.state["answer"]["output"].encode()
    assert "".join(finished(call, STARTED, begins(), *frames, done({}), text=True).events) == whole


@pytest.mark.parametrize(("block_id", "pieces"), [("a", ["x", "\U0001f389"]), ("b", ["y", "\ufffdz"])])
def test_the_halves_in_the_text_of_one_block(call: Caller, block_id: str, pieces: list[str]) -> None:
    frames = [cut("x" + HIGH, "a"), cut("y" + HIGH, "b"), cut(LOW, "a"), cut("z", "b")]
    with Server(events_answer(begins("a"), begins("b"), *frames, done({}))) as server:
        watched = watch(call, server.url, text=True, block_id=block_id)
    assert (watched.events, watched.error) == (pieces, None)


def events_answer(*frames: bytes) -> Behaviour:
    return answer(200, STARTED + b"".join(frames), content_type="text/event-stream")


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (b"", "the connection was closed"),
        (b"event: error\ndata: Model \xf0\x9f\x8e\x89 lost\n\n", "Model \U0001f389 lost"),
    ],
    ids=["cut off", "error"],
)
def test_a_stream_that_breaks_while_a_half_waits(call: Caller, end: bytes, words: str) -> None:
    with Server(events_answer(begins(), cut("a" + HIGH), end)) as server:
        watched = watch(call, server.url, text=True)
    assert watched.events == ["a"]
    assert words in str(watched.error)
    assert watched.error.run.state["answer"] == {"output": "a", "notes": "a"}


def test_a_stream_that_is_left_while_a_half_waits(call: Caller) -> None:
    def program(client_class: Any) -> Any:
        client = client_class(KEY, base_url=server.url)
        stream = yield client.stream(WORKFLOW)
        for _ in range(3):
            yield (stream.__anext__() if call.is_async else next(stream))
        yield stream.close()
        yield client.close()
        return stream.run.text

    with Server(events_answer(begins(), cut("a" + HIGH), cut(LOW), done({}))) as server:
        assert call.drive(program) == "a"


HALF = json.dumps(run_answer("a" + HIGH))
UNESCAPED = json.dumps(run_answer("a" + HIGH), ensure_ascii=False)
ANSWERS: dict[str, tuple[Behaviour, str]] = {
    "a stream": (events_answer(begins(), cut("a" + HIGH), cut(LOW + "!"), done({})), "a\U0001f389!"),
    "a stream with one alone": (events_answer(begins(), cut("a" + HIGH), done({})), "a\ufffd"),
    "an answer": (answer(200, HALF), "a\ufffd"),
    "an answer in three bytes": (answer(200, UNESCAPED.encode("utf-8", "surrogatepass")), "a\ufffd"),
    "an answer in UTF-16": (answer(200, HALF.encode("utf-16")), "a\ufffd"),
    "an answer in UTF-16 without escapes": (answer(200, UNESCAPED.encode("utf-16", "surrogatepass")), "a\ufffd"),
    "one event": (json_answer(event("workflow_run_completed", {**IDS, "output": "a" + HIGH})), "a\ufffd"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_text_is_whole_in_every_answer_and_in_its_recording(call: Caller, name: str, tmp_path: Path) -> None:
    behaviour, whole = ANSWERS[name]
    path, path_of_stream = tmp_path / "run.jsonl", tmp_path / "stream.jsonl"
    with Server(behaviour) as server:
        run = call.run(server.url, client={"transport": record(path)})
        watched = watch(call, server.url, text=True, client={"transport": record(path_of_stream)})
    assert run.text == watched.run.text == "".join(watched.events) == whole
    json.dumps([run.state, run.raw], ensure_ascii=False).encode()

    nowhere = "http://127.0.0.1:9"
    replayed = call.run(nowhere, client={"transport": replay(path)})
    assert (replayed, replayed.raw) == (run, run.raw)
    again = watch(call, nowhere, text=True, client={"transport": replay(path_of_stream)})
    assert (again.events, again.run, again.error) == (watched.events, watched.run, None)


@pytest.mark.parametrize("name", ["workflow_run_started", "block_run_completed", "workflow_run_failed"])
def test_an_answer_of_one_event_is_the_same_in_a_recording(call: Caller, name: str, tmp_path: Path) -> None:
    path, path_of_stream = tmp_path / "run.jsonl", tmp_path / "stream.jsonl"
    with Server(json_answer(event(name, about(message="no")))) as server:
        error = call.error(server.url, client={"transport": record(path)})
        watched = watch(call, server.url, client={"transport": record(path_of_stream)})
    kind = RunFailedError if name == "workflow_run_failed" else RunNotFinishedError
    assert type(error) is type(watched.error) is kind

    nowhere = "http://127.0.0.1:9"
    again = call.error(nowhere, client={"transport": replay(path)})
    assert (repr(again), again.run, again.run.raw) == (repr(error), error.run, error.run.raw)
    again = watch(call, nowhere, client={"transport": replay(path_of_stream)})
    assert (again.events, repr(again.error), again.run) == (watched.events, repr(watched.error), watched.run)


def test_halves_in_the_state_of_a_block_and_in_keys(call: Caller) -> None:
    state = json.dumps(event("block_run_completed", about(state={"output": "a" + LOW, HIGH: [HIGH + "b"]})))
    watched = finished(call, STARTED, begins(), frame(state.encode()), done({}))
    assert watched.run.state["answer"] == {"output": "a\ufffd", "\ufffd": ["\ufffdb"]}


# --- Pings and missing ids -------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"ping", b"2026-01-02T03:04:05Z", b"{", b"\xff"], ids=repr)
def test_an_event_of_an_unknown_kind_need_not_be_json(call: Caller, data: bytes) -> None:
    assert drift(call, b"event: ping\ndata: " + data + b"\n\n") == UnknownEvent("ping", data.decode("utf-8", "replace"))


def test_events_need_no_ids(call: Caller) -> None:
    bare = [
        framed("workflow_run_started", {"inputs": {}}),
        framed("block_run_started", {"block_id": "answer"}),
        framed("block_state_updated", {"block_id": "answer", "update_data": {"output": "Hello"}}),
        framed("block_run_completed", {"block_id": "answer"}),
        framed("workflow_run_completed", {}),
    ]
    watched = finished(call, *bare)
    assert [type(each) for each in watched.events if isinstance(each, UnknownEvent)] == []
    assert (watched.run.id, watched.run.session_id, watched.run.workflow_id) == (None, None, None)
    assert watched.run.output == "Hello"
