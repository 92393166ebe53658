"""History of a local Scout: its requests and runs, for tests to inspect, and the logs of runs."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar, cast

from scout._json import is_dict, parse_json

from .run_logs import MOST_BYTES, MOST_ENTRIES, RunLogs
from .traces import Traces

__all__ = ["History", "LocalRequest", "LocalRun", "Refusal"]

_NOT_BLOCKS = ("inputs", "__exp_global")


@dataclass(frozen=True, slots=True)
class LocalRequest:
    """One request that the local Scout received.

    Attributes:
        method: The HTTP method, such as `POST`.
        path: The path as it was sent, percent-encoded and without the query.
        query: The query parameters.
        headers: The headers, with names in lower case, without those for credentials (`authorization`, `cookie`).
        content: The bytes of the body.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    content: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """The approximate size in memory, in bytes."""
        return len(self.content)

    @property
    def json(self) -> Any:
        """The parsed body; `None` when the request has none.

        Raises:
            ValueError: The body is not JSON.
        """
        return parse_json(self.content) if self.content else None


@dataclass(frozen=True, slots=True)
class LocalRun:
    """One run that has ended, completed or failed.

    Attributes:
        workflow_key: The key in the request, or that of the stored workflow.
        environment: The environment of the request.
        sent: The inputs in the request, as JSON.
        content: The body of the response to the run without streaming, as JSON.
    """

    workflow_key: str | None
    environment: str
    sent: bytes
    content: bytes = field(repr=False)

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The inputs in the request."""
        return cast("Mapping[str, Any]", parse_json(self.sent))

    @property
    def answer(self) -> Mapping[str, Any]:
        """The body of the response to the run without streaming: `run`, `workflow_id`, `output_block_id`."""
        return cast("Mapping[str, Any]", parse_json(self.content))

    @property
    def id(self) -> str:
        """The id of the run, as sent to the client."""
        return cast("str", self.answer["run"]["workflow_run_id"])

    @property
    def ok(self) -> bool:
        """True when the run completed."""
        return bool(self.answer["run"]["stop_reason"] == "workflow_run_completed")

    @property
    def errors(self) -> list[str]:
        """The error messages of a run that failed; else empty."""
        return cast("list[str]", self.answer["run"]["errors"])

    @property
    def outputs(self) -> Mapping[str, Any]:
        """The outputs by block id. Input blocks have none."""
        state = cast("Mapping[str, Any]", self.answer["run"]["state"])
        blocks = {name: entry for name, entry in state.items() if name not in _NOT_BLOCKS and is_dict(entry)}
        return {name: entry["output"] for name, entry in blocks.items() if "output" in entry}

    @property
    def output(self) -> Any:
        """The output of the output block; `None` when the run has none."""
        return self.outputs.get(self.answer.get("output_block_id", ""))


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that was answered with an error.

    Attributes:
        request: The request.
        status: The status of the response, from 400 on.
        content: The body of the response.
        is_fault: True when it was refused by a simulated fault.
        refused_at: The time of the response.
    """

    request: LocalRequest
    status: int
    content: bytes = field(repr=False)
    is_fault: bool
    refused_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def size(self) -> int:
        """The approximate size in memory, in bytes."""
        return self.request.size + len(self.content)


class History:
    """The newest requests and runs, limited in number and size, so that a server can run for long."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Drop all entries, also those of requests in progress, which are added to the old lists."""
        self.requests: _Newest[LocalRequest] = _Newest()
        self.refusals: _Newest[Refusal] = _Newest()
        self.logs: RunLogs = RunLogs()
        self.traces: Traces = Traces()

    def runs(self) -> list[LocalRun]:
        """Return the runs that have ended, oldest first, without those that were cancelled."""
        return [LocalRun(run.workflow_key, run.environment, run.sent, run.content) for run in self.logs.ended()]


class _Entry(Protocol):
    @property
    def size(self) -> int: ...


E = TypeVar("E", bound=_Entry)


class _Newest(Generic[E]):
    """The newest entries, limited in number and size. Threads may share it.

    Attributes:
        added: The number of entries that were ever added.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[E] = deque()
        self._bytes = 0
        self.added: int = 0

    def add(self, entry: E) -> None:
        with self._lock:
            self.added += 1
            self._entries.append(entry)
            self._bytes += entry.size
            while len(self._entries) > MOST_ENTRIES or (self._bytes > MOST_BYTES and len(self._entries) > 1):
                self._bytes -= self._entries.popleft().size

    def all(self) -> list[E]:
        with self._lock:
            return list(self._entries)

    def numbered(self) -> list[tuple[int, E]]:
        """Return the entries, each after its number: the first one that was ever added has the number 1."""
        with self._lock:
            return list(enumerate(self._entries, self.added - len(self._entries) + 1))
