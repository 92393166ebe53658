"""Spans as a collector sees them, of calls over real HTTP."""

import asyncio
import gc
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
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
    settled,
)

from scout import AsyncScout, Scout, ScoutError
from scout.local import LocalScout
from scout.otel import Tracing

TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
OK = json_answer(run_answer(), headers={"X-Request-Id": "req_1"})


class Spans:
    """What a collector has received."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def __call__(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def of_calls(self) -> list[ReadableSpan]:
        return [span for span in self() if span.kind == SpanKind.CLIENT]

    def only(self) -> ReadableSpan:
        (span,) = self.of_calls()
        return span

    def blocks(self) -> dict[str, ReadableSpan]:
        return {str(facts(span)["scout.block.id"]): span for span in self() if span.kind == SpanKind.INTERNAL}

    def options(self, **options: Any) -> dict[str, Any]:
        return {"tracing": Tracing(self.provider, **options)}


@pytest.fixture
def spans() -> Spans:
    return Spans()


def facts(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def frame(name: str, second: float | None = None, **data: Any) -> bytes:
    event: dict[str, Any] = {"name": name, "data": {"workflow_run_id": "run_1", "session_id": "sess_1", **data}}
    if second is not None:
        event["timestamp"] = f"2026-01-01T00:00:{second:09.6f}Z"
    return b"data: %s\n\n" % json.dumps(event).encode()


def sse(*frames: bytes | float, finish: bool = True) -> Any:
    return chunked(frames, content_type="text/event-stream", finish=finish)


def read(call: Caller, url: str, *, give_up_after: int | None = None, **client: Any) -> ScoutError | None:
    """Stream, and return the error; after so many events, forget the stream."""

    def stop(number: int) -> bool:
        return give_up_after is not None and number == give_up_after

    if not call.is_async:
        with Scout(KEY, base_url=url, **client) as scout:
            try:
                for number, _ in enumerate(scout.stream(WORKFLOW), 1):
                    if stop(number):
                        break
            except ScoutError as error:
                return error
            gc.collect()
            return None

    async def read_it() -> ScoutError | None:
        async with AsyncScout(KEY, base_url=url, **client) as scout:
            number = 0
            try:
                async for _ in scout.stream(WORKFLOW):
                    number += 1
                    if stop(number):
                        break
            except ScoutError as error:
                return error
            gc.collect()
            return None

    return asyncio.run(read_it())


# --- One call -----------------------------------------------------------------------------------------------------


def test_a_run_with_a_retry(call: Caller, spans: Spans, no_waiting: None) -> None:
    with Server([answer(429, "", {"Retry-After": "1.5"}), OK]) as server:
        call.run(server.url, client=spans.options(), workflow={"workflow_key": "hello", "workflow_config": WORKFLOW})

    span = spans.only()
    assert len(spans()) == 1
    assert (span.name, span.kind, span.status.status_code) == (
        "invoke_workflow hello",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    assert facts(span) == {
        "http.request.method": "POST",
        "url.full": f"{server.url}/v2/workflows/execute",
        "server.address": "127.0.0.1",
        "server.port": int(server.url.rpartition(":")[2]),
        "http.response.status_code": 200,
        "http.request.resend_count": 1,
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.provider.name": "scout",
        "gen_ai.agent.name": "hello",
        "gen_ai.conversation.id": "sess_1",
        "scout.environment": "production",
        "scout.attempts": 2,
        "scout.request.id": "req_1",
        "scout.workflow.id": "wf_1",
        "scout.run.id": "run_1",
        "scout.run.status": "completed",
    }
    (retry,) = span.events
    about = dict(retry.attributes or {})
    assert (retry.name, about["error.type"], about["scout.attempt"]) == ("scout.retry", "429", 1)
    assert 1.5 <= about["scout.retry.wait"] <= 2  # type: ignore[operator]
    assert "429" in str(about["exception.message"])


def test_each_attempt_carries_the_trace(call: Caller, spans: Spans, no_waiting: None) -> None:
    with Server([answer(429, "", {}), OK]) as server:
        call.run(server.url, client=spans.options())

    found = [TRACEPARENT.fullmatch(request.headers["traceparent"]) for request in server.requests]
    context = spans.only().context
    assert context is not None
    assert [each and each.groups() for each in found] == [(f"{context.trace_id:032x}", f"{context.span_id:016x}")] * 2


@pytest.mark.parametrize("place", ["client", "call"])
def test_a_header_of_the_caller_wins(call: Caller, spans: Spans, place: str) -> None:
    mine = {"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    with Server(OK) as server:
        headers = {"headers": mine} if place == "client" else {}
        extra = {"extra_headers": mine} if place == "call" else {}
        call.run(server.url, client={**spans.options(), **headers}, **extra)

    assert server.requests[0].headers["traceparent"] == mine["Traceparent"]


def test_baggage_goes_along(spans: Spans) -> None:
    token = context.attach(baggage.set_baggage("team", "harbour"))
    try:
        with Server(OK) as server, Scout(KEY, base_url=server.url, **spans.options()) as scout:
            scout.execute(WORKFLOW)
    finally:
        context.detach(token)

    assert server.requests[0].headers["baggage"] == "team=harbour"


def test_a_header_that_cannot_be_sent_is_left_out(spans: Spans, monkeypatch: pytest.MonkeyPatch) -> None:
    def inject(carrier: dict[str, str], *_: object) -> None:
        carrier.update({"X-Trace": "abc", "X-Bad": "Grüße", "X-Worse": "a\r\nX-Injected: b"})

    monkeypatch.setattr("opentelemetry.propagate.inject", inject)
    with Server(OK) as server, Scout(KEY, base_url=server.url, **spans.options()) as scout:
        assert scout.execute(WORKFLOW).ok

    assert [name for name in server.requests[0].headers if name.startswith("x-")] == ["x-trace"]


def test_without_tracing_nothing_is_sent_along(call: Caller) -> None:
    with Server(OK) as server:
        call.run(server.url)

    assert "traceparent" not in server.requests[0].headers


def test_a_span_belongs_to_that_of_the_caller(call: Caller, spans: Spans) -> None:
    with Server(OK) as server, spans.provider.get_tracer("mine").start_as_current_span("mine") as mine:
        call.run(server.url, client=spans.options())

    parent = spans.only().parent
    assert parent is not None
    assert parent.span_id == mine.get_span_context().span_id


def test_calls_about_stored_workflows(spans: Spans) -> None:
    with Scout.local(**spans.options()) as scout:
        stored = scout.workflows.create(WORKFLOW, key="hello")
        scout.workflows.get("key:hello")
        scout.workflows.execute(stored.id, session_id="sess_9", revision_id=stored.revision_id, check=False)

    names = ["create_workflow", "list_workflows", "get_workflow", "invoke_workflow"]
    assert [span.name for span in spans.of_calls()] == names
    create, listed, get, run = map(facts, spans.of_calls())
    assert (create["http.request.method"], get["http.request.method"]) == ("POST", "GET")
    assert "gen_ai.operation.name" not in {**create, **listed, **get}
    assert get["scout.workflow.id"] == run["scout.workflow.id"] == stored.id
    assert (run["gen_ai.conversation.id"], run["scout.revision.id"]) == ("sess_9", stored.revision_id)


# --- Blocks -------------------------------------------------------------------------------------------------------

SUMMARY = Path(__file__).parent.parent / "examples" / "summary" / "workflow.yml"
NOTES = {"title": "Monday", "notes": "We met."}


def test_a_stream_has_a_span_for_each_block(call: Caller, spans: Spans) -> None:
    if call.is_async:

        async def run() -> Any:
            async with AsyncScout.local(**spans.options()) as scout, scout.stream(SUMMARY, NOTES) as stream:
                return await stream.until_done()

        run_ = asyncio.run(run())
    else:
        with Scout.local(**spans.options()) as scout, scout.stream(SUMMARY, NOTES) as stream:
            run_ = stream.until_done()

    span, blocks = spans.only(), spans.blocks()
    assert list(blocks) == [block.id for block in run_.blocks]
    assert len(blocks) > 2
    assert facts(span)["scout.run.id"] == run_.id
    assert facts(span)["scout.run.price"] == pytest.approx(run_.price)
    assert facts(span)["gen_ai.conversation.id"] == run_.session_id
    for block in run_.blocks:
        one = blocks[block.id]
        assert one.parent == span.context
        assert (one.name, one.status.status_code) == (f"block {block.id}", StatusCode.UNSET)
        assert facts(one)["scout.block.archetype"] == block.archetype
        assert facts(one)["scout.block.status"] == "completed"
        assert facts(one)["scout.block.price"] == pytest.approx(block.price)
        assert one.start_time is not None
        assert one.end_time is not None
        assert one.start_time / 1e9 == pytest.approx(block.started.timestamp(), abs=1e-5)
        assert (one.end_time - one.start_time) / 1e9 == pytest.approx(block.duration, abs=1e-5)


META = {"output": "Hi", "meta": {"model": "gpt-4o", "input_tokens": 21, "output_tokens": 96, "cost": 0.0025}}


def test_a_block_tells_its_model_and_tokens(call: Caller, spans: Spans) -> None:
    frames = [
        frame("block_run_started", 1.0, block_id="answer"),
        frame("block_run_completed", 3.0, block_id="answer", state=META),
        frame("workflow_run_completed", 3.0),
    ]
    with Server(sse(*frames)) as server:
        assert read(call, server.url, **spans.options()) is None

    block = spans.blocks()["answer"]
    tokens = {"gen_ai.usage.input_tokens": 21, "gen_ai.usage.output_tokens": 96}
    assert {"gen_ai.response.model": "gpt-4o", **tokens}.items() <= facts(block).items()
    assert tokens.items() <= facts(spans.only()).items()
    assert (block.end_time or 0) - (block.start_time or 0) == 2_000_000_000


@pytest.mark.parametrize("seconds", [(None, None), (5.0, None), (5.0, 1.0)], ids=["none", "one", "backwards"])
def test_without_times_that_make_sense_those_of_arrival_count(spans: Spans, seconds: tuple[float | None, ...]) -> None:
    frames = [
        frame("block_run_started", seconds[0], block_id="answer"),
        0.1,
        frame("block_run_completed", seconds[1], block_id="answer"),
        frame("workflow_run_completed", 6.0),
    ]
    with Server(sse(*frames)) as server:
        assert read(Caller("sync"), server.url, **spans.options()) is None

    span, block = spans.only(), spans.blocks()["answer"]
    assert span.start_time is not None
    assert block.start_time is not None
    assert block.end_time is not None
    assert span.end_time is not None
    assert span.start_time < block.start_time < block.end_time <= span.end_time
    assert 0.05e9 < block.end_time - block.start_time < 5e9


def test_a_block_that_failed_and_one_that_never_ended(call: Caller, spans: Spans) -> None:
    frames = [
        frame("block_run_started", 1.0, block_id="one"),
        frame("block_run_started", 1.0, block_id="two"),
        frame("block_run_failed", 2.0, block_id="two", message="no such model"),
        frame("workflow_run_failed", 2.5, message="two failed"),
    ]
    with Server(sse(*frames)) as server:
        error = read(call, server.url, **spans.options())

    assert type(error).__name__ == "RunFailedError"
    span, blocks = spans.only(), spans.blocks()
    assert (span.status.status_code, facts(span)["error.type"]) == (StatusCode.ERROR, "RunFailedError")
    assert "two failed" in str(span.status.description)
    two, one = blocks["two"], blocks["one"]
    assert (two.status.status_code, two.status.description) == (StatusCode.ERROR, "no such model")
    assert facts(two)["error.type"] == "block_run_failed"
    assert (one.status.status_code, facts(one)["scout.block.status"]) == (StatusCode.ERROR, "started")
    assert (one.end_time or 0) >= (one.start_time or 1)


# --- Failures -----------------------------------------------------------------------------------------------------


def exception_of(span: ReadableSpan) -> dict[str, Any]:
    (event,) = [event for event in span.events if event.name == "exception"]
    return dict(event.attributes or {})


FAILURES: dict[str, tuple[Callable[[], Any], str, str]] = {
    "500": (lambda: answer(500, "no"), "500", "scout.errors.InternalServerError"),
    "422": (lambda: json_answer({"detail": "no"}, 422), "422", "scout.errors.UnprocessableEntityError"),
    "broken": (lambda: at_accept(close_unanswered), "APIConnectionError", "scout.errors.APIConnectionError"),
    "not JSON": (lambda: answer(200, "hello"), "APIResponseError", "scout.errors.APIResponseError"),
}


@pytest.mark.parametrize("what", FAILURES)
def test_a_failure(call: Caller, spans: Spans, what: str) -> None:
    behaviour, kind, name = FAILURES[what]
    with Server(behaviour()) as server:
        error = call.error(server.url, client=spans.options(), retries=0)

    span = spans.only()
    assert (span.status.status_code, facts(span)["error.type"]) == (StatusCode.ERROR, kind)
    assert span.status.description == str(error)
    about = exception_of(span)
    assert (about["exception.type"], about["exception.message"]) == (name, str(error))
    assert "Traceback" in about["exception.stacktrace"]
    assert facts(span)["scout.attempts"] == 1


def test_a_server_that_cannot_be_reached(call: Caller, spans: Spans, no_waiting: None) -> None:
    with refused_url() as url:
        call.error(url, client=spans.options())

    span = spans.only()
    assert "http.response.status_code" not in facts(span)
    assert (facts(span)["scout.attempts"], facts(span)["http.request.resend_count"]) == (3, 2)
    assert [event.name for event in span.events] == ["scout.retry", "scout.retry", "exception"]


@pytest.mark.parametrize("check", [True, False])
def test_a_run_that_failed_is_an_error_although_its_status_is_200(call: Caller, spans: Spans, check: bool) -> None:
    failed = run_answer(stop_reason="workflow_run_failed", errors=["no such model"])
    with Server(json_answer(failed)) as server:
        call(server.url, client=spans.options(), check=check)

    span = spans.only()
    assert (facts(span)["http.response.status_code"], facts(span)["scout.run.status"]) == (200, "failed")
    assert (span.status.status_code, facts(span)["error.type"]) == (StatusCode.ERROR, "RunFailedError")
    assert "no such model" in str(span.status.description)


def test_a_stream_that_is_cut(call: Caller, spans: Spans) -> None:
    frames = [frame("workflow_run_started", 1.0), frame("block_run_started", 1.0, block_id="answer")]
    with Server(sse(*frames, finish=False)) as server:
        error = read(call, server.url, **spans.options())

    assert type(error).__name__ == "StreamInterruptedError"
    span = spans.only()
    assert (span.status.status_code, facts(span)["error.type"]) == (StatusCode.ERROR, "StreamInterruptedError")
    assert facts(span)["scout.run.id"] == "run_1"
    assert exception_of(span)["exception.message"] == str(error)
    assert spans.blocks()["answer"].status.status_code == StatusCode.ERROR


def test_a_call_that_is_cancelled(spans: Spans) -> None:
    async def run() -> None:
        async with AsyncScout(KEY, base_url=server.url, **spans.options()) as scout:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(scout.execute(WORKFLOW), 0.2)

    with Server(sse(10.0)) as server:
        asyncio.run(run())

    assert facts(spans.only())["error.type"] == "CancelledError"


# --- Streams that are not read to their end -----------------------------------------------------------------------

BEGUN = [
    frame("workflow_run_started", 1.0),
    frame("block_run_started", 1.0, block_id="answer"),
    10.0,
]


def test_a_stream_that_is_forgotten(call: Caller, spans: Spans) -> None:
    with Server(sse(*BEGUN)) as server:
        assert read(call, server.url, give_up_after=2, **spans.options()) is None
        assert settled(spans.of_calls)

    span = spans.only()
    assert (span.status.status_code, facts(span)["scout.stream.closed_early"]) == (StatusCode.UNSET, True)
    assert facts(span)["scout.run.status"] == "started"
    assert spans.blocks()["answer"].status.status_code == StatusCode.UNSET


def test_a_stream_that_is_closed(spans: Spans) -> None:
    with Server(sse(*BEGUN)) as server, Scout(KEY, base_url=server.url, **spans.options()) as scout:
        stream = scout.stream(WORKFLOW)
        next(stream)
        assert spans() == ()
        stream.close()
        assert facts(spans.only())["scout.stream.closed_early"] is True
        stream.close()

    assert len(spans.of_calls()) == 1


def test_a_stream_ends_with_its_last_event(spans: Spans) -> None:
    with (
        Server(sse(frame("workflow_run_completed", 1.0))) as server,
        Scout(KEY, base_url=server.url, **spans.options()) as scout,
        scout.stream(WORKFLOW) as stream,
    ):
        next(stream)
        assert facts(spans.only())["scout.run.status"] == "completed"
    assert "scout.stream.closed_early" not in facts(spans.only())


@pytest.mark.parametrize("reads", [True, False])
def test_a_stream_that_is_answered_with_a_whole_run(call: Caller, spans: Spans, reads: bool) -> None:
    with Server(OK) as server:
        if reads:
            read(call, server.url, **spans.options())
        else:
            with Scout(KEY, base_url=server.url, **spans.options()) as scout, scout.stream(WORKFLOW) as stream:
                assert stream.run.ok

    assert facts(spans.only())["scout.run.status"] == "completed"


# --- Batches ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sync", "async", "transport"])
@pytest.mark.parametrize("streaming", [False, True], ids=["execute", "stream"])
def test_rows_of_a_batch_belong_to_the_span_in_which_it_was_made(spans: Spans, kind: str, streaming: bool) -> None:
    import httpx

    behaviour = sse(frame("workflow_run_completed", 1.0)) if streaming else OK
    rows = [{"n": n} for n in range(3)]
    tracer = spans.provider.get_tracer("mine")
    with Server(behaviour) as server:
        if kind == "async":

            async def run() -> list[Any]:
                async with AsyncScout(KEY, base_url=server.url, **spans.options()) as scout:
                    with tracer.start_as_current_span("mine"):
                        return [item async for item in scout.batch(WORKFLOW, rows, stream=streaming)]

            items = asyncio.run(run())
        else:
            transport = httpx.HTTPTransport() if kind == "transport" else None
            with Scout(KEY, base_url=server.url, transport=transport, **spans.options()) as scout:
                with tracer.start_as_current_span("mine"):
                    batch = scout.batch(WORKFLOW, rows, stream=streaming)
                items = list(batch)

    assert [item.ok for item in items] == [True] * 3
    (mine,) = [span for span in spans() if span.name == "mine"]
    assert [span.parent for span in spans.of_calls()] == [mine.context] * 3


def test_threads_have_spans_of_their_own(spans: Spans) -> None:
    with (
        Server(OK) as server,
        Scout(KEY, base_url=server.url, **spans.options()) as scout,
        ThreadPoolExecutor(4) as threads,
    ):
        list(threads.map(lambda _: scout.execute(WORKFLOW), range(8)))

    assert len({span.context.trace_id for span in spans.of_calls() if span.context}) == 8


# --- What is in a span, and what is not ---------------------------------------------------------------------------


def everything_in(spans: Spans) -> str:
    return "".join(span.to_json() for span in spans())


def test_inputs_and_outputs_are_left_out(call: Caller, spans: Spans) -> None:
    with Server(json_answer(run_answer("an output"))) as server:
        call.run(server.url, {"a": "an input"}, client=spans.options(), extra_query={"q": "a query"})
    with LocalScout(stubs={"answer": "an output"}) as local:
        read(call, local.url, **spans.options())

    shown = everything_in(spans)
    assert not re.search("an (input|output)|a query", shown)


def test_they_are_there_when_asked_for(call: Caller, spans: Spans) -> None:
    with Server(json_answer(run_answer("Ja " * 4000))) as server:
        call.run(server.url, {"a": "Grüße", "b": [1]}, client=spans.options(content=True))

    about = facts(spans.only())
    assert json.loads(about["scout.inputs"]) == {"a": "Grüße", "b": [1]}
    assert about["scout.output"].startswith("Ja Ja")
    assert len(about["scout.output"]) == 8193
    assert about["scout.output"].endswith("…")


def test_outputs_of_blocks_are_there_when_asked_for(spans: Spans) -> None:
    options = spans.options(content=True)
    with Scout.local(stubs={"answer": {"score": 1}}, **options) as scout, scout.stream(WORKFLOW) as stream:
        stream.until_done()

    assert json.loads(facts(spans.blocks()["answer"])["scout.block.output"]) == {"score": 1}


def test_the_key_is_nowhere_when_a_server_echoes_it(call: Caller, spans: Spans, no_waiting: None) -> None:
    refusal = answer(429, f"you sent {KEY}", {"X-Request-Id": KEY})
    failed = run_answer(f"the output {KEY}", stop_reason="workflow_run_failed", errors=[f"for {KEY}"])
    with Server([refusal, json_answer(failed, headers={"X-Request-Id": KEY})]) as server:
        call(server.url, {"a": KEY}, client=spans.options(content=True))
    frames = [
        frame("block_run_started", 1.0, block_id="answer", block_type=KEY),
        frame("block_run_failed", 2.0, block_id="answer", message=f"for {KEY}"),
        frame("workflow_run_failed", 2.5, message=f"for {KEY}"),
    ]
    with Server(sse(*frames)) as server:
        read(call, server.url, **spans.options(content=True))

    shown = everything_in(spans)
    assert KEY not in shown
    assert shown.count("[redacted]") > 8


# --- As a setting -------------------------------------------------------------------------------------------------


class Broken(Tracing):
    """Tracing with a fault in one place."""

    def __init__(self, provider: TracerProvider, place: str) -> None:
        super().__init__(provider)
        self._place = place

    def begin(self, call: Any) -> Any:
        observer = super().begin(call)

        def fail(*args: object) -> None:
            raise ValueError("tracing failed")

        if self._place == "begin":
            fail()
        setattr(observer, self._place, fail)
        return observer


@pytest.mark.parametrize("place", ["begin", "request", "response", "retry", "event", "end"])
def test_a_fault_in_tracing_costs_nothing(
    call: Caller, spans: Spans, place: str, caplog: pytest.LogCaptureFixture, no_waiting: None
) -> None:
    frames = [frame("workflow_run_started", 1.0), frame("workflow_run_completed", 1.0)]
    with Server([answer(429, "", {}), sse(*frames)]) as server:
        assert read(call, server.url, tracing=Broken(spans.provider, place)) is None

    assert server.hits == 2
    assert "tracing failed" in caplog.text


def test_a_span_that_is_not_sampled_still_passes_on_the_trace(spans: Spans) -> None:
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    tracing = Tracing(TracerProvider(sampler=ALWAYS_OFF))
    with Server(OK) as server, Scout(KEY, base_url=server.url, tracing=tracing) as scout:
        scout.execute(WORKFLOW)

    flags = server.requests[0].headers["traceparent"].rpartition("-")[2]
    assert int(flags, 16) & 1 == 0


def test_the_global_provider_is_the_default_also_after_pickling(monkeypatch: pytest.MonkeyPatch, spans: Spans) -> None:
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: spans.provider)
    monkeypatch.setenv("SCOUT_API_KEY", KEY)
    with Server(OK) as server:
        client = Scout(base_url=server.url, tracing=Tracing(TracerProvider(), content=True))
        pickle.loads(pickle.dumps(client)).execute(WORKFLOW, {"a": 1})

    assert facts(spans.only())["scout.inputs"] == '{"a": 1}'


def test_without_opentelemetry_the_import_says_what_to_install() -> None:
    program = """
import sys
sys.modules["opentelemetry"] = None
import scout
with scout.Scout("key") as client: pass
try:
    import scout.otel
except scout.ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert "pip install 'scout-workflows[otel]'" in done.stdout


@pytest.fixture(autouse=True)
def no_span_is_left_current() -> Iterator[None]:
    yield
    assert trace.get_current_span() is trace.INVALID_SPAN
