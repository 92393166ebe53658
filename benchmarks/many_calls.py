"""Measure calls that are under way at the same time: CPU per call, calls per second, and many awaited at once.

Run `calls.py`, which prints the tables; README.md beside this file says what is compared. Here are the server, the
clients, and how they are measured. Every measurement is a process of its own that ends when its time is up.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import importlib.util
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streaming import peak_memory

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

KEY = "secret_benchmark"
OUTPUT = "Hello there. " * 20
INPUTS = {"user_message": "Hi"}
CONFIG: dict[str, Any] = {
    "blocks": [
        {
            "block_id": name,
            "block_archetype_id": f"com.scoutos.{name}",
            "block_display_name": name,
            "block_inputs": {
                "model": "gpt-4o",
                "prompt_items": [{"role": "user", "content": "{{inputs.user_message}}"}],
            },
            "dependencies": [],
        }
        for name in ("inputs", "llm")
    ]
}
ANSWER = json.dumps(
    {
        "run": {
            "stop_reason": "workflow_run_completed",
            "state": {"inputs": INPUTS, "llm": {"output": OUTPUT}},
            "errors": [],
            "session_id": "sess_1",
            "workflow_run_id": "run_1",
        },
        "workflow_id": "wf_1",
        "output_block_id": "llm",
    }
).encode()

UNDER_WAY = (1, 10, 50, 500, 5000)
DELAY = 20  # milliseconds until the server answers, so that the calls really are under way at the same time
CONNECTIONS = 1000  # of an AsyncScout at most, by default
SLOW = 2000  # milliseconds until the server answers calls that are all awaited at once
SPARE = 20  # seconds that a client's process may need beyond its limit, to start and to end


# --- The server ----------------------------------------------------------------------------------------------


class Answers(asyncio.Protocol):
    """Answers `POST /<milliseconds>/...` with the same run after so long."""

    response = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
        len(ANSWER),
        ANSWER,
    )

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self.received = b""
        milliseconds = int(head.split(b"/", 2)[1])
        if milliseconds:
            asyncio.get_running_loop().call_later(milliseconds / 1000, self.answer)
        else:
            self.answer()

    def answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self.response)


async def serve() -> None:
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, os._exit, 0)  # whoever started this process has closed the pipe, or has ended
    server = await loop.create_server(Answers, "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def running_server() -> Iterator[str]:
    """Start the server in a process of its own, which ends when its standard input is closed."""
    command = [sys.executable, __file__, "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()


# --- The clients: each makes a function that does one call and returns the output of its run -----------------

PATH = "/v2/workflows/execute"
HEADERS = {"Authorization": f"Bearer {KEY}"}
PARAMS = {"environment": "production"}
BODY = {"workflow_config": CONFIG, "inputs": INPUTS, "streaming": False}
TIMEOUT = 600  # seconds; the default of httpx, 5, would end calls that wait for one of its 100 connections


def by_scout(url: str) -> Callable[[], str]:
    from scout import Scout

    client = Scout(KEY, base_url=url)
    return lambda: client.execute(CONFIG, INPUTS).text


def by_httpx(url: str, package: str) -> Callable[[], str]:
    client = importlib.import_module(package).Client(timeout=TIMEOUT, headers=HEADERS)

    def call() -> str:
        response = client.post(url + PATH, params=PARAMS, json=BODY)
        response.raise_for_status()
        output: str = response.json()["run"]["state"]["llm"]["output"]
        return output

    return call


def by_async_scout(url: str) -> Callable[[], Awaitable[str]]:
    from scout import AsyncScout

    client = AsyncScout(KEY, base_url=url)

    async def call() -> str:
        return (await client.execute(CONFIG, INPUTS)).text

    return call


def by_async_httpx(url: str, package: str) -> Callable[[], Awaitable[str]]:
    client = importlib.import_module(package).AsyncClient(timeout=TIMEOUT, headers=HEADERS)

    async def call() -> str:
        response = await client.post(url + PATH, params=PARAMS, json=BODY)
        response.raise_for_status()
        output: str = response.json()["run"]["state"]["llm"]["output"]
        return output

    return call


def by_aiohttp(url: str) -> Callable[[], Awaitable[str]]:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    client = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS), headers=HEADERS, timeout=timeout, raise_for_status=True
    )

    async def call() -> str:
        async with client.post(url + PATH, params=PARAMS, json=BODY) as response:
            output: str = (await response.json())["run"]["state"]["llm"]["output"]
            return output

    return call


def by_vendor(url: str) -> Callable[[], Awaitable[str]]:
    from scoutos import AsyncScout

    workflows: Any = AsyncScout(api_key=KEY, base_url=url, timeout=TIMEOUT).workflows

    async def call() -> str:
        response = await workflows.run("wf_1", environment="production", inputs=INPUTS)
        output: str = response.run.state["llm"]["output"]
        return output

    return call


@dataclass(frozen=True)
class Row:
    """One client."""

    label: str
    package: str
    make: Callable[[str], Callable[[], Any]]


ROWS = {
    "threads": {
        "scout": Row("`Scout.execute`", "scout", by_scout),
        "httpx": Row("`httpx.Client`", "httpx", functools.partial(by_httpx, package="httpx")),
        "httpx2": Row("`httpx2.Client`", "httpx2", functools.partial(by_httpx, package="httpx2")),
    },
    "async": {
        "scout": Row("`AsyncScout.execute`", "scout", by_async_scout),
        "httpx": Row("`httpx.AsyncClient`", "httpx", functools.partial(by_async_httpx, package="httpx")),
        "httpx2": Row("`httpx2.AsyncClient`", "httpx2", functools.partial(by_async_httpx, package="httpx2")),
        "aiohttp": Row("`aiohttp.ClientSession`", "aiohttp", by_aiohttp),
        "vendor": Row("`scoutos`: `AsyncScout.workflows.run`", "scoutos", by_vendor),
    },
}


# --- In the client's process: do the calls, print what they cost, and end ------------------------------------


class Meter:
    """Counts answered calls, and measures from its making on; ends the process when the time is up."""

    def __init__(self, seconds: float) -> None:
        self.answered = 0
        self.ending = threading.Lock()
        self.memory = peak_memory()
        self.cpu = time.process_time()
        self.wall = time.perf_counter()
        # A thread, because an event loop that does nothing but search its pool would not notice the time.
        timer = threading.Timer(seconds, self.end)
        timer.daemon = True
        timer.start()

    def count(self, output: str) -> None:
        check(output)
        self.answered += 1

    def end(self, failed: BaseException | None = None) -> None:
        """Print the measurement, and end the process, whatever is still under way."""
        self.ending.acquire()  # by one thread only
        result = {
            "answered": self.answered,
            "wall": time.perf_counter() - self.wall,
            "cpu": time.process_time() - self.cpu,
            "memory_before": self.memory,
            "memory": peak_memory(),
            "failed": type(failed).__name__ if failed else "",
        }
        print(json.dumps(result), flush=True)
        os._exit(0)


def check(output: str) -> None:
    if output != OUTPUT:
        raise ValueError(f"a wrong output: {output!r}")


def do_threads(call: Callable[[], str], under_way: int, calls: int, seconds: float) -> None:
    check(call())  # warm up
    numbers = iter(range(calls))
    failures: list[Exception] = []
    start = threading.Event()
    lock = threading.Lock()

    def work() -> None:
        start.wait()
        try:
            for _ in numbers:
                output = call()
                with lock:
                    meter.count(output)
        except Exception as error:  # noqa: BLE001 - it is shown in the table
            failures.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(under_way)]
    for thread in threads:
        thread.start()
    meter = Meter(seconds)
    start.set()
    for thread in threads:
        thread.join()
    meter.end(failures[0] if failures else None)


async def do_tasks(
    make: Callable[[], Callable[[], Awaitable[str]]], under_way: int, calls: int, seconds: float
) -> None:
    call = make()
    check(await call())  # warm up
    numbers = iter(range(calls))
    meter = Meter(seconds)

    async def work() -> None:
        for _ in numbers:
            meter.count(await call())

    everything = asyncio.gather(*[work() for _ in range(under_way)])
    await asyncio.wait([everything])
    meter.end(everything.exception())


def run_client(kind: str, name: str, url: str, under_way: int, calls: int, seconds: float) -> None:
    signal.alarm(int(seconds) + SPARE)  # ends the process if nothing else does
    make = functools.partial(ROWS[kind][name].make, url)
    if kind == "threads":
        do_threads(make(), under_way, calls, seconds)
    else:
        asyncio.run(do_tasks(make, under_way, calls, seconds))


# --- Measuring -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """One measurement of a client."""

    calls: int
    answered: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    memory_before: float = 0.0
    memory: float = 0.0
    failed: str = ""

    @property
    def complete(self) -> bool:
        return self.answered == self.calls


def measure(kind: str, name: str, url: str, under_way: int, calls: int, seconds: float) -> Measured:
    command = [sys.executable, __file__, "client", kind, name, url, str(under_way), str(calls), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == -signal.SIGALRM:
        return Measured(calls, failed="did not end in time")
    if done.returncode:
        sys.exit(f"{name} failed with {under_way} {kind}:\n{done.stderr}")
    return Measured(calls, **json.loads(done.stdout))


@dataclass(frozen=True)
class Cell:
    """The medians of a client's measurements with so many calls under way."""

    cpu: float  # microseconds per call
    rate: float  # calls per second
    note: str = ""

    def __str__(self) -> str:
        return self.note if not self.rate else f"{self.cpu:,.0f} µs, {self.rate:,.0f}/s{self.note}"


def cell_of(measurements: list[Measured]) -> Cell:
    answered = [each for each in measurements if each.answered and not each.failed]
    if not answered:
        return Cell(0, 0, measurements[0].failed or "none answered")
    cpu = statistics.median(each.cpu / each.answered for each in answered) * 1e6
    rate = statistics.median(each.answered / each.wall for each in answered)
    return Cell(cpu, rate, "" if all(each.complete for each in measurements) else "*")


Table = dict[tuple[str, int], Cell]


def tabulate(kind: str, server: str, rounds: int, seconds: float) -> Table:
    """Measure all clients of a kind, print a table of them, and return its cells."""
    rows = {name: row for name, row in ROWS[kind].items() if importlib.util.find_spec(row.package)}
    results: dict[tuple[str, int], list[Measured]] = {(name, n): [] for n in UNDER_WAY for name in rows}
    for _ in range(rounds):
        for (name, under_way), own in results.items():
            if own and not own[0].complete:
                continue  # it would not be done in time again
            calls = min(250 * under_way, max(1000, 4 * under_way))
            own.append(measure(kind, name, f"{server}/{DELAY}", under_way, calls, seconds))
    cells = {key: cell_of(own) for key, own in results.items()}

    print(f"\n| {kind} under way | " + " | ".join(f"{n:,}" for n in UNDER_WAY) + " |")
    print("|---|" + "--:|" * len(UNDER_WAY))
    for name, row in ROWS[kind].items():
        own_cells = [str(cells[name, n]) if name in rows else "" for n in UNDER_WAY]
        note = "" if name in rows else f" skipped: {row.package} is not installed"
        print(f"| {row.label}{note} | " + " | ".join(own_cells) + " |")
    if any(cell.note == "*" for cell in cells.values()):
        print(f"\n\\* not all calls were answered within {seconds:.0f} s: measured on those that were")
    sys.stdout.flush()
    return cells


def compare_with_budgets(cells: Table) -> None:
    """Print the ratios of asynchronous calls that have a budget."""
    print("\n| async calls | measured | budget |\n|---|--:|--:|")
    for label, mine, other, part, budget in (
        ("CPU per call at 10 under way, over `httpx.AsyncClient`", ("scout", 10), ("httpx", 10), "cpu", "<= 0.8"),
        ("calls per second at 50, over `httpx.AsyncClient`", ("scout", 50), ("httpx", 50), "rate", ">= 5"),
        ("calls per second at 500, over `httpx.AsyncClient`", ("scout", 500), ("httpx", 500), "rate", ">= 8"),
        ("calls per second at 500, over `httpx2.AsyncClient`", ("scout", 500), ("httpx2", 500), "rate", ">= 1.2"),
        ("CPU per call at 5,000 under way, over that at 50", ("scout", 5000), ("scout", 50), "cpu", "<= 1.5"),
    ):
        both = [cells[key] for key in (mine, other) if key in cells]
        if len(both) == 2 and all(cell.rate for cell in both):
            ratio = getattr(both[0], part) / getattr(both[1], part)
            stars = "*" * any(cell.note for cell in both)
            print(f"| {label} | {ratio:.2f}{stars} | {budget} |")
        else:
            print(f"| {label} | not measured | {budget} |")
    sys.stdout.flush()


def await_at_once(server: str, calls: int, seconds: float) -> None:
    """Await many calls at once with `asyncio.gather`, and print what they cost."""
    result = measure("async", "scout", f"{server}/{SLOW}", calls, calls, seconds)
    waves = -(-calls // CONNECTIONS)
    ideal = waves * SLOW / 1000
    print(f"\n| {calls:,} calls awaited at once, each answered after {SLOW / 1000:g} s | measured |\n|---|--:|")
    reason = f", {result.failed}" if result.failed else "" if result.complete else f" within {seconds:.0f} s"
    print(f"| answered | {result.answered:,} of {calls:,}{reason} |")
    if result.answered:
        print(f"| CPU per answered call | {result.cpu / result.answered * 1e6:,.0f} µs |")
        over = f"{result.wall / ideal:.2f} times the ideal" if result.complete else "not finished"
        print(
            f"| time, ideally {ideal:g} s ({waves} times {CONNECTIONS:,} connections) | {result.wall:.1f} s, {over} |"
        )
        print(f"| peak memory, and before the calls | {result.memory:.0f} MB, {result.memory_before:.0f} MB |")
    sys.stdout.flush()


def allow_many_sockets() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError):  # macOS calls it unlimited, and then refuses that
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    allow_many_sockets()
    match sys.argv[1:]:
        case ["serve"]:
            asyncio.run(serve())
        case ["client", kind, name, url, under_way, calls, seconds]:
            run_client(kind, name, url, int(under_way), int(calls), float(seconds))
        case _:
            sys.exit("run calls.py beside this file")
