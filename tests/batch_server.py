"""A server that counts the runs of each row of a batch, and can refuse, fail, stall and reset.

It knows a row by its input `n`. What it answers is a function of what was asked:

    with BatchServer(lambda asked: refusal(0.2) if asked.number == 1 else Reply()) as server:
        items = list(Scout("key", base_url=server.url).batch(WORKFLOW, ({"n": n} for n in range(10))))
    assert server.runs == {n: 1 for n in range(10)}

All of it runs in one thread with an event loop, so that thousands of runs cost little. A request that was refused
(429 and other statuses that say that nothing was processed) is not counted as a run; every other one is, also when
its answer never arrives.
"""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self
from urllib.parse import parse_qsl

from servers import PATIENCE, settled

REFUSED = {400, 401, 402, 403, 404, 409, 413, 422, 429}


@dataclass(frozen=True)
class Asked:
    """One request for a run.

    Attributes:
        n: The input `n`.
        number: The position of this request among those for the same row, from 1.
        time: When it arrived.
        under_way: How many requests were under way, this one included.
        target: Its path and query.
        headers: Its headers, with names in lower case.
        body: Its body.
    """

    n: Any
    number: int
    time: float
    under_way: int
    target: str
    headers: Mapping[str, str]
    body: Any

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.target.partition("?")[2]))


@dataclass(frozen=True)
class Reply:
    """What a request gets.

    Attributes:
        status: The status.
        body: The body; by default a run whose output is the input `n`.
        headers: More headers.
        delay: The seconds until it is answered.
        ends: How the connection ends instead of with a whole answer: it is reset, closed after half of the body, or
            stays silent.
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    ends: Literal["", "reset", "cut", "silent"] = ""


def run_of(n: Any, **run: Any) -> dict[str, Any]:
    """Return the answer for a row: a run whose output is its input `n`."""
    return {
        "run": {
            "stop_reason": "workflow_run_completed",
            "state": {"answer": {"output": n}},
            "workflow_run_id": f"run_{n}",
            **run,
        },
        "output_block_id": "answer",
    }


def refusal(seconds: float | None = None) -> Reply:
    """Return a 429 that asks to wait for so long."""
    return Reply(429, {"detail": "slow down"}, {} if seconds is None else {"Retry-After": f"{seconds:.3f}"})


class Bucket:
    """A token bucket: so many requests a second, and so many at once; the others get a 429."""

    def __init__(self, rate: float, burst: int, reply: Callable[[Asked], Reply] = lambda asked: Reply()) -> None:
        self._rate = rate
        self._burst = burst
        self._reply = reply
        self._tokens = float(burst)
        self._at = time.monotonic()

    def __call__(self, asked: Asked) -> Reply:
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return refusal(max(0.001, (1 - self._tokens) / self._rate))  # 0 would say nothing
        self._tokens -= 1
        return self._reply(asked)


class BatchServer:
    """Answers runs, and counts them.

    Args:
        reply: What a request gets; by default a run, at once.

    Attributes:
        asked: The requests that arrived, oldest first.
        runs: The number of runs of each row.
        most: The greatest number of requests that were under way at the same time.
    """

    def __init__(self, reply: Callable[[Asked], Reply] = lambda asked: Reply()) -> None:
        self.reply = reply
        self.asked: list[Asked] = []
        self.runs: Counter[Any] = Counter()
        self.most = 0
        self.under_way = 0
        self.connections: set[_Connection] = set()
        self._times_asked: Counter[Any] = Counter()
        self._failures: list[BaseException] = []
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(PATIENCE)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the server did not stop"
        if exc_info[0] is None and self._failures:
            raise self._failures[0]

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Wait until the server has seen what a test is about to check."""
        assert settled(condition), f"{len(self.asked)} requests, {self.under_way} under way"

    def wait_for_runs(self, number: int) -> None:
        """Wait until so many runs have begun."""
        self.wait_for(lambda: self.runs.total() >= number)

    def repeated(self) -> set[Any]:
        """Return the rows that ran more than once."""
        return {n for n, times in self.runs.items() if times > 1}

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=4096)
        self._port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        for connection in list(self.connections):
            connection.abort()
        while self.connections:  # noqa: ASYNC110 - each says so itself when it is lost
            await asyncio.sleep(0)

    def arrived(self, connection: "_Connection", target: str, headers: dict[str, str], body: Any) -> None:
        """Count a request, and let it be answered."""
        n = (body.get("inputs") or {}).get("n")
        self._times_asked[n] += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        asked = Asked(n, self._times_asked[n], time.monotonic(), self.under_way, target, headers, body)
        try:
            reply = self.reply(asked)
        except Exception as failure:  # noqa: BLE001 - handed to the thread that runs the test
            self._failures.append(failure)
            reply = Reply(500)
        if reply.status not in REFUSED:
            self.runs[n] += 1
        self.asked.append(asked)  # last, so that whoever has seen it finds its run counted
        if reply.delay:
            connection.timer = self._loop.call_later(reply.delay, connection.answer, n, reply)
        else:
            connection.answer(n, reply)


class _Connection(asyncio.Protocol):
    def __init__(self, server: BatchServer) -> None:
        self._server = server
        self._received = b""
        self._is_asked = False
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._server.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._server.connections.discard(self)
        if self.timer is not None:
            self.timer.cancel()
        self._ended()

    def abort(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if len(body) < int(headers.get("content-length", "0")):
            return
        self._received = b""
        self._is_asked = True
        self._server.arrived(self, first.split(" ")[1], headers, json.loads(body))

    def answer(self, n: Any, reply: Reply) -> None:
        if self._transport.is_closing() or reply.ends == "silent":
            return
        if reply.ends == "reset":
            self._transport.abort()
            return
        body = json.dumps(run_of(n) if reply.body is None else reply.body).encode()
        fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), **reply.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._ended()
        self._transport.write(f"HTTP/1.1 {reply.status} Whatever\r\n{head}\r\n".encode("latin-1"))
        if reply.ends == "cut":
            self._transport.write(body[: len(body) // 2])
            self._transport.close()
        else:
            self._transport.write(body)

    def _ended(self) -> None:
        self._server.under_way -= self._is_asked
        self._is_asked = False
