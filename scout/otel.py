"""Traces of calls with OpenTelemetry: `Scout(tracing=Tracing())`. Needs the extra `otel`.

The names of the attributes are those of the semantic conventions for HTTP clients and for generative AI where they fit,
and begin with `scout.` elsewhere. docs/observability.md has a table of them.
"""

from __future__ import annotations

import time
from functools import cache, lru_cache
from traceback import format_exception
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from . import __version__
from ._answers import request_id_in
from ._json import is_mapping, parse_json, shorten, text_or_none, write_json
from .errors import APIStatusError, ConfigurationError, RunFailedError, RunNotFinishedError, ScoutError
from .results import BlockRun, Run, RunStatus, as_text, parse_timestamp

try:
    from opentelemetry import context, propagate, trace
except ImportError as _error:
    raise ConfigurationError(f"traces need the extra `otel`: pip install 'scout-workflows[otel]' ({_error})") from None

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ._observers import CallInfo, CallObserver
    from .events import BlockRunCompleted, BlockRunFailed, BlockRunStarted

__all__ = ["Tracing"]

_LONGEST = 8192
"""Characters of an attribute with content, or with the message of an error."""

_LAST = 2**63 / 1e9
"""Seconds since 1970 in as many nanoseconds as a number of 64 bits holds."""

_RUNS = ("execute_workflow", "execute_workflow_config")
"""The operations that run a workflow."""


class Tracing:
    """Makes a span of OpenTelemetry for each call of a client, and a child span for each block of a stream.

    It pickles without the provider: where it is loaded, it uses the global one.

    Args:
        tracer_provider: The `TracerProvider` that makes the spans; by default the global one.
        content: Put inputs and outputs into the spans: `scout.inputs`, `scout.output` and `scout.block.output`, each as
            JSON or text of at most 8,192 characters.
    """

    def __init__(self, tracer_provider: trace.TracerProvider | None = None, *, content: bool = False) -> None:
        self._content = content
        self._tracer = trace.get_tracer("scout", __version__, tracer_provider)

    def begin(self, call: CallInfo) -> CallObserver:
        """Begin the span of a call. The client calls this."""
        return _CallSpan(self._tracer, call, content=self._content)

    def __reduce__(self) -> tuple[Any, ...]:
        return _tracing, (self._content,)


def _tracing(content: bool) -> Tracing:
    return Tracing(content=content)


class _CallSpan:
    """The span of one call."""

    def __init__(self, tracer: trace.Tracer, call: CallInfo, *, content: bool) -> None:
        self._tracer = tracer
        self._call = call
        self._content = content
        self._arrived: dict[str, list[int]] = {}  # by block: the times of its first and its last event here
        self._last: datetime | None = None  # of the timestamps of the events
        self._is_in_order = True
        self._facts: dict[str, Any] = {}  # that the span gets at its end
        request = call.request
        name = request.operation
        if request.operation in _RUNS:
            name = f"invoke_workflow {call.redact(request.workflow_key)}" if request.workflow_key else "invoke_workflow"
        # Named, because otherwise the SDK looks for it several times.
        parent = context.get_current()
        facts = self._safe(self._attributes())
        self._span = tracer.start_span(name, parent, trace.SpanKind.CLIENT, facts)
        self._context = trace.set_span_in_context(self._span, parent)  # of the headers and of the blocks
        self._is_recording = self._span.is_recording()

    def _attributes(self) -> dict[str, Any]:
        request, base_url = self._call.request, self._call.config.base_url
        address, port = _server(base_url)
        facts = {
            "http.request.method": request.method.upper(),
            "url.full": base_url + request.path,
            "server.address": address,
            "server.port": port,
            "scout.environment": request.query.get("environment"),
            "scout.revision.id": request.query.get("revision_id"),
            "scout.workflow.id": request.workflow_id,
            "gen_ai.conversation.id": request.session_id,
        }
        if request.operation in _RUNS:
            facts["gen_ai.operation.name"] = "invoke_workflow"
            facts["gen_ai.provider.name"] = "scout"
            facts["gen_ai.agent.name"] = request.workflow_key
        return facts

    def request(self, attempt: int, url: object) -> Mapping[str, str]:  # noqa: ARG002 - its query may hold content
        """Return the headers that tell the server of the trace."""
        if self._content and attempt == 1 and self._is_recording:
            body = parse_json(self._call.request.body) if self._call.request.body else None
            inputs = body.get("inputs") if is_mapping(body) else None
            self._facts["scout.inputs"] = None if inputs is None else self._shown(write_json(inputs))
        headers: dict[str, str] = {}
        propagate.inject(headers, self._context)
        if "tracestate" in headers and "traceparent" in {*self._call.config.headers, *self._call.request.headers}:
            del headers["tracestate"]  # which is a part of the other
        # What a propagator of somebody else makes must not be a request that cannot be sent.
        return {name.lower(): value for name, value in headers.items() if value.isascii() and value.isprintable()}

    def response(self, status: int, headers: Mapping[str, str], seconds: float) -> None:  # noqa: ARG002
        """Note the status."""
        self._facts["http.response.status_code"] = status
        self._facts["scout.request.id"] = request_id_in(headers)

    def retry(self, attempt: int, error: ScoutError, wait: float) -> None:
        """Add an event with the cause and the wait."""
        facts: dict[str, Any] = {
            "scout.attempt": attempt,
            "scout.retry.wait": wait,
            "error.type": _type_of(error),
            "exception.message": self._shown(error.message),
        }
        self._span.add_event("scout.retry", facts)

    def event(self, event: Any) -> None:
        """Note the times of the events of blocks."""
        if not self._is_recording or not isinstance(event, _block_events()):
            return
        block_id = text_or_none(event.data.block_id)
        if block_id is not None:
            now = time.time_ns()
            self._arrived.setdefault(block_id, [now, now])[1] = now
        moment = parse_timestamp(event.timestamp)
        if moment is None or (self._last is not None and moment < self._last):
            self._is_in_order = False
        self._last = moment

    def end(self, attempts: int, seconds: float, result: Any, error: BaseException | None) -> None:  # noqa: ARG002
        """End the span, after those of the blocks."""
        try:
            if self._is_recording:
                self._facts["scout.attempts"] = attempts
                if attempts > 1:
                    self._facts["http.request.resend_count"] = attempts - 1
                self._describe(result if isinstance(result, Run) else None, error)
        finally:
            self._span.end()

    def _describe(self, run: Run | None, error: BaseException | None) -> None:
        if run is not None:
            self._facts |= self._facts_of(run)
            if error is None and self._call.streaming and run.status == RunStatus.STARTED:
                self._facts["scout.stream.closed_early"] = True
            elif error is None and not run.ok:
                error = _failure_of(run)
        self._set(self._span, self._facts)
        if error is not None:
            self._add_exception(error)
            self._fail(self._span, _type_of(error), str(error))
        if run is not None and self._call.streaming:
            outputs = run.outputs if self._content else {}
            for block in run.blocks:
                self._add_block(block, outputs.get(block.id), has_failed=error is not None)

    def _add_exception(self, error: BaseException) -> None:
        # Not by `record_exception`: the message of a failed run is the server's, which may have repeated the key.
        facts = {
            "exception.type": f"{type(error).__module__}.{type(error).__qualname__}",
            "exception.message": self._shown(str(error)),
            "exception.stacktrace": self._shown("".join(format_exception(error))),
        }
        self._span.add_event("exception", facts)

    def _facts_of(self, run: Run) -> dict[str, Any]:
        facts = {
            "scout.run.id": run.id,
            "scout.run.status": str(run.status),
            "scout.run.price": run.price,
            "scout.workflow.id": run.workflow_id,
            "gen_ai.conversation.id": run.session_id,
        }
        if run.blocks:
            facts["gen_ai.usage.input_tokens"] = _sum([block.input_tokens for block in run.blocks])
            facts["gen_ai.usage.output_tokens"] = _sum([block.output_tokens for block in run.blocks])
        if self._content:
            facts["scout.output"] = self._shown(run.text)
        return facts

    def _add_block(self, block: BlockRun, output: Any, *, has_failed: bool) -> None:
        now = time.time_ns()
        first, last = self._arrived.get(block.id, (now, now))
        began = _nanoseconds(block.started) if self._is_in_order else None
        if began is not None:
            # One that has not ended took until now, by the clock of this machine; that of the server may differ.
            ended = _nanoseconds(block.ended) or began + now - first
        else:
            began, ended = first, last if block.status != RunStatus.STARTED else now
        name = self._call.redact(f"block {block.id}")
        span = self._tracer.start_span(name, self._context, start_time=began)
        facts = {
            "scout.block.id": block.id,
            "scout.block.archetype": block.archetype,
            "scout.block.status": str(block.status),
            "scout.block.price": block.price,
            "gen_ai.response.model": block.model,
            "gen_ai.usage.input_tokens": block.input_tokens,
            "gen_ai.usage.output_tokens": block.output_tokens,
            "scout.block.output": None if output is None else self._shown(as_text(output)),
        }
        self._set(span, facts)
        if block.status == RunStatus.FAILED:
            self._fail(span, "block_run_failed", block.error or "")
        elif block.status == RunStatus.STARTED and has_failed:
            self._fail(span, "block_run_not_ended", "the run ended before this block did")
        span.end(max(began, ended))

    def _set(self, span: trace.Span, attributes: Mapping[str, Any]) -> None:
        span.set_attributes(self._safe(attributes))

    def _safe(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the attributes that are known, without the key: a server may repeat it, a caller send it as an id."""
        known = {name: value for name, value in attributes.items() if value is not None}
        # For every call, and one text is looked through faster than many.
        texts = " ".join([value for value in known.values() if isinstance(value, str)])
        return known if self._call.redact(texts) is texts else self._call.redact(known)

    def _fail(self, span: trace.Span, kind: str, message: str) -> None:
        span.set_attribute("error.type", kind)
        span.set_status(trace.StatusCode.ERROR, self._shown(message) or None)

    def _shown(self, text: str) -> str:
        # In this order, because of a key that is cut nothing is found.
        return shorten(self._call.redact(text), _LONGEST)


@cache
def _block_events() -> tuple[type[BlockRunStarted], type[BlockRunCompleted], type[BlockRunFailed]]:
    from .events import BlockRunCompleted, BlockRunFailed, BlockRunStarted  # imported already, by the stream

    return BlockRunStarted, BlockRunCompleted, BlockRunFailed


@lru_cache
def _server(base_url: str) -> tuple[str | None, int]:
    url = urlsplit(base_url)
    return url.hostname, url.port or (443 if url.scheme == "https" else 80)


def _type_of(error: BaseException) -> str:
    return str(error.status) if isinstance(error, APIStatusError) else type(error).__name__


def _failure_of(run: Run) -> BaseException:
    try:
        run.raise_for_status()
    except (RunFailedError, RunNotFinishedError) as error:
        return error.with_traceback(None)
    raise AssertionError


def _sum(numbers: list[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _nanoseconds(moment: datetime | None) -> int | None:
    """Return a time as spans have it; `None` for none, and for one that exporters cannot send."""
    seconds = 0.0 if moment is None else moment.timestamp()
    return round(seconds * 1_000_000) * 1000 if 0 < seconds < _LAST else None
