"""Many rows against a server that lets so many requests a second through: are rows lost, and how long does it take?

    python benchmarks/rate_limit.py [--rows 1000] [--workers 32] [--rate 40] [--storm] [--only batch ...]

The server, in a process of its own, has a token bucket: it lets a burst of `rate` requests through, and then `rate` a
second. The others get 429, in one half of the measurements with `Retry-After: 1`, in the other half without. The ideal
time is that of a client that is never refused. It fails when a row is lost, or takes too long: more than 1.25 times the
ideal by threads or tasks that call `execute`, or 1.1 times by `batch`.

Batches go through a storm as well, in which the server also

- takes 1 s for each of its first answers, and 2 s for every twentieth row;
- resets connections that have been idle for 0.3 s, and accepts no connections for 0.1 s of each 3.1 s;
- breaks every fiftieth connection off after it has read a request: those runs are unknown, and must be counted as such.

The server counts the runs of each row: none may run twice.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import multiprocessing
import socket
import struct
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scout import AsyncScout, Scout, ScoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scout import BatchItem, BatchSummary

WORKFLOW = {
    "blocks": [
        {
            "block_id": "a",
            "block_display_name": "A",
            "block_archetype_id": "com.scoutos.text",
            "block_inputs": {"text": "{{ inputs.n }}"},
        }
    ]
}
BODY = json.dumps(
    {"run": {"stop_reason": "workflow_run_completed", "state": {"a": {"output": "Hello"}}}, "output_block_id": "a"}
).encode()
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
REFUSAL = b"HTTP/1.1 429 Too Many Requests\r\n%bcontent-length: 0\r\n\r\n"

SLOW_START = 1.0  # seconds that an answer takes in the first second of a storm
STALL, STALLED = 2.0, 20  # seconds that every so-manieth row takes
IDLE = 0.3  # seconds after which an idle connection is reset
CLOSED, PERIOD = 0.1, 3.1  # seconds of each so many, in which no connection is accepted
BROKEN = 50  # every so-manieth row is broken off after its request was read


def is_broken(row: int) -> bool:
    return row % BROKEN == BROKEN // 2


def latency(row: int, now: float) -> float:
    """Return the seconds until a row is answered in a storm that has begun so many seconds ago."""
    return STALL if row % STALLED == STALLED - 1 else SLOW_START if now < SLOW_START else 0.0


# --- The server ----------------------------------------------------------------------------------------------


@dataclass
class Bucket:
    """Tokens for requests: as many as come in one second, at most."""

    rate: float
    tokens: float = 0.0
    filled: float = 0.0

    def __post_init__(self) -> None:
        self.tokens = self.rate

    def take(self, now: float) -> bool:
        """Take a token, and return whether there was one."""
        self.tokens, self.filled = min(self.rate, self.tokens + (now - self.filled) * self.rate), now
        accepted = self.tokens >= 1
        self.tokens -= accepted
        return accepted


@dataclass
class Server:
    """The server of one measurement."""

    rate: float
    asks: bool
    is_storm: bool
    runs: Counter[int] = field(default_factory=Counter)
    begun: float = 0.0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self.answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
        except TimeoutError:  # it was idle
            reset(writer)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        async with asyncio.timeout(IDLE if self.is_storm else None):
            head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]))
        if head.startswith(b"GET"):
            text = json.dumps(list(self.runs.items())).encode()
            writer.write(b"HTTP/1.0 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text))
            return True
        if not self.begun:
            self.begun = self.bucket.filled = time.monotonic()
        now = time.monotonic()
        if not self.bucket.take(now):
            writer.write(REFUSAL % (b"retry-after: 1\r\n" if self.asks else b""))
            return True
        row = json.loads(body)["inputs"]["n"]
        self.runs[row] += 1
        if self.is_storm:
            await asyncio.sleep(latency(row, now - self.begun))
            if is_broken(row):
                reset(writer)
                return False
        writer.write(ANSWER)
        return True

    async def main(self, port: Any) -> None:
        self.bucket = Bucket(self.rate)
        server = await asyncio.start_server(self.handle, "127.0.0.1", 0, backlog=1000)
        address = server.sockets[0].getsockname()
        port.send(address[1])
        while True:
            await asyncio.sleep(PERIOD - CLOSED)
            if self.is_storm:
                server.close()  # but not the connections that it has accepted
                await asyncio.sleep(CLOSED)
                server = await asyncio.start_server(self.handle, *address, backlog=1000)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection so that the other side gets an error."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


def serve(rate: float, asks: bool, is_storm: bool, port: Any) -> None:
    asyncio.run(Server(rate, asks, is_storm).main(port))


def ideal_time(rows: int, workers: int, rate: float, is_storm: bool) -> float:
    """Return the seconds that a client needs that is never refused, because it knows when there are tokens."""
    bucket = Bucket(rate)
    free = [0.0] * workers
    now = 0.0
    for row in range(rows):
        now = max(now, heapq.heappop(free))
        bucket.tokens, bucket.filled = min(rate, bucket.tokens + (now - bucket.filled) * rate), now
        if bucket.tokens < 1:
            now += (1 - bucket.tokens) / rate
            bucket.tokens, bucket.filled = 1.0, now
        bucket.tokens -= 1
        heapq.heappush(free, now + (latency(row, now) if is_storm else 0.0))
    return max(free)


# --- The clients: each runs the rows, and says which are done, and which are unknown --------------------------


@dataclass
class Result:
    """Numbers of rows by what became of them."""

    done: list[int] = field(default_factory=list)  # in the order of the items
    unknown: list[int] = field(default_factory=list)
    errors: set[str] = field(default_factory=set)
    refused: int | None = None

    def add(self, row: int, error: ScoutError | None) -> None:
        if error is None:
            self.done.append(row)
        elif error.run_may_have_started:
            self.unknown.append(row)
        else:
            self.errors.add(f"{error!r}")


def with_threads(url: str, rows: int, workers: int) -> Result:
    result = Result()
    with Scout("key", base_url=url) as scout:

        def run(number: int) -> tuple[int, ScoutError | None]:
            try:
                scout.execute(WORKFLOW, {"n": number})
            except ScoutError as error:
                return number, error
            return number, None

        with ThreadPoolExecutor(workers) as pool:
            for row, error in pool.map(run, range(rows)):
                result.add(row, error)
    return result


def with_tasks(url: str, rows: int, workers: int) -> Result:
    result = Result()

    async def main() -> None:
        left = iter(range(rows))

        async def work() -> None:
            for number in left:
                try:
                    await scout.execute(WORKFLOW, {"n": number})
                except ScoutError as error:
                    result.add(number, error)
                else:
                    result.add(number, None)

        async with AsyncScout("key", base_url=url) as scout:
            await asyncio.gather(*(work() for _ in range(workers)))

    asyncio.run(main())
    return result


def inputs_of(rows: int) -> Iterator[dict[str, int]]:
    return ({"n": number} for number in range(rows))


def note(result: Result, item: BatchItem, summary: BatchSummary) -> None:
    if item.index != item.inputs["n"]:
        sys.exit(f"the item of row {item.index} is that of row {item.inputs['n']}")
    result.add(item.index, item.error)
    result.refused = summary.refused


def with_batch(url: str, rows: int, workers: int) -> Result:
    result = Result()
    with Scout("key", base_url=url) as scout:
        items = scout.batch(WORKFLOW, inputs_of(rows), concurrency=workers, ordered=True)
        for item in items:
            note(result, item, items.summary)
    return result


def with_async_batch(url: str, rows: int, workers: int) -> Result:
    result = Result()

    async def main() -> None:
        async with AsyncScout("key", base_url=url) as scout:
            items = scout.batch(WORKFLOW, inputs_of(rows), concurrency=workers, ordered=True)
            async for item in items:
                note(result, item, items.summary)

    asyncio.run(main())
    return result


@dataclass(frozen=True)
class Client:
    """One way to run rows."""

    label: str
    run: Callable[[str, int, int], Result]
    budget: float
    is_ordered: bool = False
    storms: bool = False


CLIENTS = {
    "threads": Client("`Scout.execute` in threads", with_threads, 1.25),
    "tasks": Client("`AsyncScout.execute` in tasks", with_tasks, 1.25),
    "batch": Client("`Scout.batch`", with_batch, 1.1, is_ordered=True, storms=True),
    "async-batch": Client("`AsyncScout.batch`", with_async_batch, 1.1, is_ordered=True, storms=True),
}


# --- Measuring -----------------------------------------------------------------------------------------------


def runs_of(port: int) -> dict[int, int]:
    """Ask the server how often each row ran."""
    for _ in range(100):
        try:
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\ncontent-length: 0\r\n\r\n")
                with connection.makefile("rb") as file:
                    head = iter(file.readline, b"\r\n")
                    length = [int(line.split(b":")[1]) for line in head if line.startswith(b"content-length")]
                    return dict(json.loads(file.read(length[0])))
        except ConnectionError:
            time.sleep(CLOSED / 5)
    raise TimeoutError("the server does not answer")


@dataclass(frozen=True)
class Weather:
    """Behaviour of a server."""

    rate: float
    asks: bool
    is_storm: bool


def measure(client: Client, weather: Weather, rows: int, workers: int) -> tuple[list[str], str]:
    """Run the rows, and return what is wrong, and the line of the table."""
    here, there = multiprocessing.Pipe(duplex=False)
    args = (weather.rate, weather.asks, weather.is_storm, there)
    server = multiprocessing.Process(target=serve, args=args, daemon=True)
    server.start()
    port = here.recv()
    began = time.monotonic()
    result = client.run(f"http://127.0.0.1:{port}", rows, workers)
    seconds = time.monotonic() - began
    runs = runs_of(port)
    server.kill()
    server.join()

    ideal = ideal_time(rows, workers, weather.rate, weather.is_storm)
    lost = rows - len(result.done) - len(result.unknown)
    broken = {row for row in range(rows) if weather.is_storm and is_broken(row)}
    wrong = [f"{lost} rows are lost: {error}" for error in sorted(result.errors)[:3]]
    wrong += [f"row {row} ran {count} times" for row, count in runs.items() if count > 1]
    wrong += [f"row {row} is done, and did not run" for row in result.done if row not in runs]
    # A connection that is reset at the moment at which a row is sent makes one more of them, which did not run.
    wrong += [f"row {row} is not unknown" for row in broken.difference(result.unknown)]
    wrong += [f"row {row} is unknown" for row in runs.keys() & set(result.unknown) - broken]
    wrong += ["the order is wrong"] * (client.is_ordered and result.done != sorted(result.done))
    wrong += [f"{seconds / ideal:.2f} times the ideal are too many"] * (seconds > client.budget * ideal)
    cells = (
        client.label,
        "a storm" if weather.is_storm else "calm",
        "`Retry-After: 1`" if weather.asks else "nothing",
        "" if result.refused is None else result.refused,
        lost,
        len(result.unknown),
        f"{seconds:.1f}",
        f"{seconds / ideal:.2f}",
    )
    return [f"{client.label}: {each}" for each in wrong], f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    """Measure all clients, with `Retry-After` and without, and batches in a storm."""
    parser = argparse.ArgumentParser(description="Run rows against a server that refuses most of them.")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--rate", type=float, default=40.0, help="requests a second")
    parser.add_argument("--storm", action="store_true", help="storms only")
    parser.add_argument("--only", nargs="*", choices=CLIENTS, default=list(CLIENTS), help="these clients only")
    options = parser.parse_args()
    ideals = [ideal_time(options.rows, options.workers, options.rate, is_storm) for is_storm in (False, True)]
    print(
        f"{options.rows} rows, {options.workers} workers, {options.rate:g} requests a second; "
        f"ideally {ideals[0]:.1f} s, in a storm {ideals[1]:.1f} s\n"
    )
    print("| rows by | the server | 429 with | 429s | lost | unknown | seconds | over the ideal |")
    print("|---|---|---|--:|--:|--:|--:|--:|")
    wrong: list[str] = []
    for is_storm in (True,) if options.storm else (False, True):
        for name in options.only:
            for asks in (True, False) if CLIENTS[name].storms or not is_storm else ():
                weather = Weather(options.rate, asks, is_storm)
                found, line = measure(CLIENTS[name], weather, options.rows, options.workers)
                print(line, flush=True)
                wrong += found
    print("", *wrong, sep="\n", end="\n" if wrong else "")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
