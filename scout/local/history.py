"""Requests that a local Scout received and runs that it made, for tests to look at."""

from __future__ import annotations

import json
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from scout._json import is_dict

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["History", "LocalRequest", "LocalRun"]

_NOT_BLOCKS = ("inputs", "__exp_global")
_MOST_ENTRIES = 1_000
_MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LocalRequest:
    """One request that the local Scout received.

    Attributes:
        method: For example `POST`.
        path: As it was sent, percent-encoded and without the query.
        query: The query parameters.
        headers: With names in lower case, and without those that carry keys (`authorization`, `cookie`).
        content: The body.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    content: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes that it holds, about."""
        return len(self.content)

    @property
    def json(self) -> Any:
        """The body as JSON; `None` when there is no body.

        Raises:
            ValueError: It is not JSON.
        """
        return json.loads(self.content) if self.content else None


@dataclass(frozen=True, slots=True)
class LocalRun:
    """One run that the local Scout carried out to its end, completed or failed.

    Attributes:
        workflow_key: The key in the request, or the one that the stored workflow has.
        environment: The environment asked for.
        sent: The inputs in the request, as JSON.
        content: What a plain run is answered with, as JSON.
    """

    workflow_key: str | None
    environment: str
    sent: bytes
    content: bytes = field(repr=False)

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The inputs in the request."""
        return cast("Mapping[str, Any]", json.loads(self.sent))

    @property
    def size(self) -> int:
        """Bytes that it holds, about."""
        return len(self.sent) + len(self.content)

    @property
    def answer(self) -> Mapping[str, Any]:
        """The answer to a plain run: `run`, `workflow_id`, `output_block_id`."""
        return cast("Mapping[str, Any]", json.loads(self.content))

    @property
    def id(self) -> str:
        """The id of the run, as the client got it."""
        return cast("str", self.answer["run"]["workflow_run_id"])

    @property
    def ok(self) -> bool:
        """True when it completed."""
        return bool(self.answer["run"]["stop_reason"] == "workflow_run_completed")

    @property
    def errors(self) -> list[str]:
        """Why it failed."""
        return cast("list[str]", self.answer["run"]["errors"])

    @property
    def outputs(self) -> Mapping[str, Any]:
        """Block id -> output, of the blocks that have one; an input block has none."""
        state = cast("Mapping[str, Any]", self.answer["run"]["state"])
        blocks = {name: entry for name, entry in state.items() if name not in _NOT_BLOCKS and is_dict(entry)}
        return {name: entry["output"] for name, entry in blocks.items() if "output" in entry}

    @property
    def output(self) -> Any:
        """The output of the output block; `None` without one."""
        return self.outputs.get(self.answer.get("output_block_id", ""))


EntryT = TypeVar("EntryT", LocalRequest, LocalRun)


class History:
    """The newest requests and runs: so many, and so much of them, that a server may go on for ever."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all of it, and what goes on now too: whatever is under way adds to the old lists."""
        self.requests: _Newest[LocalRequest] = _Newest()
        self.runs: _Newest[LocalRun] = _Newest()


class _Newest(Generic[EntryT]):
    """A bounded list. May be used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[EntryT] = deque()
        self._bytes = 0

    def add(self, entry: EntryT) -> None:
        with self._lock:
            self._entries.append(entry)
            self._bytes += entry.size
            while len(self._entries) > _MOST_ENTRIES or (self._bytes > _MOST_BYTES and len(self._entries) > 1):
                self._bytes -= self._entries.popleft().size

    def all(self) -> list[EntryT]:
        with self._lock:
            return list(self._entries)
