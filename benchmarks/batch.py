"""Compare what a row of a batch costs: `Scout.batch`, other clients, and the program that one would write by hand.

    python benchmarks/batch.py [--rounds 3] [--seconds 60] [--long 100000] [--only NAME ...]

See README.md beside this file for what is compared, and for the packages. A row whose package is missing is skipped.
Every measurement is a process of its own; the table shows medians of interleaved measurements in one run.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from many_calls import (
    CONFIG,
    CONNECTIONS,
    DELAY,
    HEADERS,
    KEY,
    PARAMS,
    PATH,
    SPARE,
    TIMEOUT,
    Cell,
    Measured,
    Meter,
    allow_many_sockets,
    cell_of,
    check,
    running_server,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

UNDER_WAY = {10: 2000, 100: 4000, 500: 6000}  # rows under way: rows in all
LONG = 100  # rows under way of a long batch
SHORT = 1000  # rows of the batch beside it

Row = dict[str, Any]


def rows_of(number: int) -> Iterator[Row]:
    return ({"user_message": f"Hi, I am row {each}"} for each in range(number))


# --- The clients: each makes a function that runs all rows, and counts their outputs -------------------------


@dataclass(frozen=True)
class Work:
    """Settings that all clients have."""

    url: str
    under_way: int
    folder: Path  # with `workflow.yml` and `workflow.json`; a journal is written here, too


def body_of(row: Row) -> dict[str, Any]:
    return {"workflow_config": CONFIG, "inputs": row, "streaming": False}


def output_of(answer: Any) -> str:
    output: str = answer["run"]["state"]["llm"]["output"]
    return output


def in_tasks(work: Work, call: Callable[[Row], Awaitable[str]]) -> Any:
    """Run the rows in as many tasks as may be under way, each of which takes one row after the other."""

    async def run(rows: Iterator[Row], count: Callable[[str], None]) -> None:
        async def worker() -> None:
            for row in rows:
                count(await call(row))

        await asyncio.gather(*(worker() for _ in range(work.under_way)))

    return run


def by_httpx(work: Work) -> Any:
    import httpx

    client = httpx.AsyncClient(timeout=TIMEOUT, headers=HEADERS)

    async def call(row: Row) -> str:
        response = await client.post(work.url + PATH, params=PARAMS, json=body_of(row))
        response.raise_for_status()
        return output_of(response.json())

    return in_tasks(work, call)


def by_aiohttp(work: Work) -> Any:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    client = aiohttp.ClientSession(connector=connector, headers=HEADERS, timeout=timeout, raise_for_status=True)

    async def call(row: Row) -> str:
        async with client.post(work.url + PATH, params=PARAMS, json=body_of(row)) as response:
            return output_of(await response.json())

    return in_tasks(work, call)


def by_vendor(work: Work) -> Any:
    from scoutos import AsyncScout

    workflows: Any = AsyncScout(api_key=KEY, base_url=work.url, timeout=TIMEOUT).workflows

    async def call(row: Row) -> str:
        response = await workflows.run("wf_1", environment="production", inputs=row)
        output: str = response.run.state["llm"]["output"]
        return output

    return in_tasks(work, call)


def by_openai(work: Work) -> Any:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key=KEY, base_url=work.url, timeout=TIMEOUT)

    async def call(row: Row) -> str:
        return output_of(await client.post(PATH, cast_to=object, body=body_of(row), options={"params": PARAMS}))

    return in_tasks(work, call)


def by_hand(work: Work, file: str) -> Any:
    from by_hand import run_rows

    async def run(rows: Iterator[Row], count: Callable[[str], None]) -> None:
        await run_rows(work.url, KEY, work.folder / file, rows, work.under_way, count)

    return run


@functools.cache
def journal(work: Work) -> Iterator[Path]:
    """Return names for journals: one for the row that warms up, and another one for the others."""
    return (work.folder / f"{number}.journal" for number in range(2))


def by_batch(work: Work, *, has_journal: bool) -> Any:
    from scout import Scout

    client = Scout(KEY, base_url=work.url)

    def run(rows: Iterator[Row], count: Callable[[str], None]) -> None:
        path = next(journal(work)) if has_journal else None
        with client.batch(work.folder / "workflow.yml", rows, concurrency=work.under_way, journal=path) as items:
            for item in items:
                count(item.run.text if item.run else f"{item.error!r}")

    return run


def by_async_batch(work: Work, *, has_journal: bool) -> Any:
    from scout import AsyncScout

    client = AsyncScout(KEY, base_url=work.url)

    async def run(rows: Iterator[Row], count: Callable[[str], None]) -> None:
        path = next(journal(work)) if has_journal else None
        async with client.batch(work.folder / "workflow.yml", rows, concurrency=work.under_way, journal=path) as items:
            async for item in items:
                count(item.run.text if item.run else f"{item.error!r}")

    return run


def by_execute(work: Work) -> Any:
    from scout import AsyncScout

    client = AsyncScout(KEY, base_url=work.url)

    async def call(row: Row) -> str:
        return (await client.execute(work.folder / "workflow.yml", row)).text

    return in_tasks(work, call)


@dataclass(frozen=True)
class Client:
    """One client."""

    label: str
    package: str
    make: Callable[[Work], Any]


CLIENTS = {
    "async": Client("`AsyncScout.batch`", "scout", functools.partial(by_async_batch, has_journal=False)),
    "async-journal": Client(
        "`AsyncScout.batch` with a journal", "scout", functools.partial(by_async_batch, has_journal=True)
    ),
    "sync": Client("`Scout.batch`", "scout", functools.partial(by_batch, has_journal=False)),
    "sync-journal": Client("`Scout.batch` with a journal", "scout", functools.partial(by_batch, has_journal=True)),
    "execute": Client("`AsyncScout.execute`", "scout", by_execute),
    "hand-yaml": Client("by hand, a YAML file", "yaml", functools.partial(by_hand, file="workflow.yml")),
    "hand-json": Client("by hand, a JSON file", "httpx", functools.partial(by_hand, file="workflow.json")),
    "httpx": Client("`httpx.AsyncClient`", "httpx", by_httpx),
    "openai": Client("`openai`: `AsyncOpenAI.post`", "openai", by_openai),
    "vendor": Client("`scoutos`: `AsyncScout.workflows.run`", "scoutos", by_vendor),
    "aiohttp": Client("`aiohttp.ClientSession`", "aiohttp", by_aiohttp),
}
OURS = ("async", "async-journal", "sync", "sync-journal")


def run_client(name: str, work: Work, rows: int, seconds: float) -> None:
    """Run one row to warm up, and then all; print what they cost, and end the process."""
    signal.alarm(int(seconds) + SPARE)  # ends the process if nothing else does
    if name.startswith("sync"):
        run = CLIENTS[name].make(work)
        run(rows_of(1), check)
        meter = Meter(seconds)
        run(rows_of(rows), meter.count)
        meter.end()

    async def main() -> None:
        run = CLIENTS[name].make(work)
        await run(rows_of(1), check)
        meter = Meter(seconds)
        everything = asyncio.ensure_future(run(rows_of(rows), meter.count))
        await asyncio.wait([everything])
        meter.end(everything.exception())

    asyncio.run(main())


# --- Measuring -----------------------------------------------------------------------------------------------


@dataclass
class Bench:
    """A server, and the limits of a measurement."""

    server: str
    seconds: float

    def measure(self, name: str, under_way: int, rows: int, delay: int = DELAY) -> Measured:
        with tempfile.TemporaryDirectory() as folder:
            write_workflow(Path(folder))
            numbers = map(str, (under_way, rows, self.seconds))
            command = [sys.executable, __file__, "client", name, f"{self.server}/{delay}", folder, *numbers]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == -signal.SIGALRM:
            return Measured(rows, failed="did not end in time")
        if done.returncode:
            sys.exit(f"{name} failed with {under_way} under way:\n{done.stderr}")
        return Measured(rows, **json.loads(done.stdout))


def write_workflow(folder: Path) -> None:
    from scout import save_workflow

    for name in ("workflow.yml", "workflow.json"):
        save_workflow(CONFIG, folder / name)


Cells = dict[tuple[str, int], Cell]


def tabulate(bench: Bench, rounds: int, only: list[str]) -> Cells:
    """Measure the clients, print a table of them, and return its cells."""
    wanted = {name: client for name, client in CLIENTS.items() if not only or name in only}
    present = [name for name, client in wanted.items() if importlib.util.find_spec(client.package)]
    results: dict[tuple[str, int], list[Measured]] = {(name, n): [] for n in UNDER_WAY for name in present}
    for _ in range(rounds):
        for (name, under_way), own in results.items():
            if not own or own[0].complete:  # else it would not be done in time again
                own.append(bench.measure(name, under_way, UNDER_WAY[under_way]))
    cells = {key: cell_of(own) for key, own in results.items()}

    print("| rows under way | " + " | ".join(f"{n:,}" for n in UNDER_WAY) + " |")
    print("|---|" + "--:|" * len(UNDER_WAY))
    for name, client in wanted.items():
        own_cells = [str(cells[name, n]) if name in present else "" for n in UNDER_WAY]
        note = "" if name in present else f" skipped: {client.package} is not installed"
        print(f"| {client.label}{note} | " + " | ".join(own_cells) + " |")
    if any(cell.note == "*" for cell in cells.values()):
        print(f"\n\\* not all rows were done within {bench.seconds:.0f} s: measured on those that were")
    sys.stdout.flush()
    return cells


def compare(cells: Cells) -> None:
    """Print how many times as fast ours are as the others, and how many times as much CPU the others take."""
    for mine in OURS:
        if not any(name == mine for name, _ in cells):
            continue
        heads = [f"{what} at {n}" for n in UNDER_WAY for what in ("rows/s", "CPU")]
        print(f"\n| {CLIENTS[mine].label} is better by | " + " | ".join(heads) + " |")
        print("|---|" + "--:|" * len(heads))
        for name in dict.fromkeys(name for name, _ in cells):
            pairs = [(cells[mine, n], cells[name, n]) for n in UNDER_WAY]
            if name != mine and all(cell.rate for pair in pairs for cell in pair):
                ratios = [f"{ours.rate / its.rate:.2f} | {its.cpu / ours.cpu:.2f}" for ours, its in pairs]
                print(f"| {CLIENTS[name].label} | " + " | ".join(ratios) + " |")
    sys.stdout.flush()


def compare_long(bench: Bench, rows: int, rounds: int) -> None:
    """Print what a row of a long batch costs over one of a short batch, and how much memory both take."""
    print(f"\n| {rows:,} rows over {SHORT:,}, {LONG} under way | CPU per row | time per row | peak memory |")
    print("|---|--:|--:|--:|")
    for name in OURS:
        short = [bench.measure(name, LONG, SHORT, delay=1) for _ in range(rounds)]
        long = bench.measure(name, LONG, rows, delay=1)
        short += [bench.measure(name, LONG, SHORT, delay=1) for _ in range(rounds)]
        cpu = long.cpu / long.answered / statistics.median(each.cpu / each.answered for each in short)
        wall = long.wall / long.answered / statistics.median(each.wall / each.answered for each in short)
        memory = statistics.median(each.memory for each in short)
        note = "" if long.complete else f" (stopped after {long.answered:,} rows)"
        label = CLIENTS[name].label + note
        print(f"| {label} | {cpu:.2f} | {wall:.2f} | {long.memory:.1f} MB over {memory:.1f} MB |", flush=True)


def durable_write() -> float:
    """Return the microseconds that a durable write takes where the journals are."""
    times: list[float] = []
    with tempfile.TemporaryFile() as file:
        for _ in range(200):
            begun = time.perf_counter()
            file.write(b"x" * 200)
            file.flush()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare what a row of a batch costs with other clients.")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each cell of the table (%(default)s)")
    parser.add_argument("--seconds", type=float, default=30, help="limit of one measurement (%(default)s)")
    parser.add_argument("--long", type=int, default=100_000, help="rows of the long batch; 0 skips it (%(default)s)")
    parser.add_argument("--only", nargs="*", default=[], choices=CLIENTS, help="only these clients")
    args = parser.parse_args()
    print(f"a durable write of 200 bytes takes {durable_write():,.0f} µs in {tempfile.gettempdir()}\n")
    with running_server() as server:
        if args.rounds:
            compare(tabulate(Bench(server, args.seconds), args.rounds, args.only))
        if args.long:
            compare_long(Bench(server, 10 * args.seconds), args.long, 3)


if __name__ == "__main__":
    allow_many_sockets()
    match sys.argv[1:]:
        case ["client", name, url, folder, under_way, rows, seconds]:
            run_client(name, Work(url, int(under_way), Path(folder)), int(rows), float(seconds))
        case _:
            main()
