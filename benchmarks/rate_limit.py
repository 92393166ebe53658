"""Many workers against a server that lets so many requests a second through: are rows lost, and how long does it take?

    python benchmarks/rate_limit.py [--rows 600] [--workers 32] [--rate 40]

The server, in a process of its own, has a token bucket: it lets a burst of `rate` requests through, and then `rate` a
second. The others get 429, in one half of the measurements with `Retry-After: 1`, in the other half without. The ideal
time is that of a client that is never refused. It fails when a row is lost, or when the time is more than 1.25 times
the ideal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from scout import AsyncScout, Scout, ScoutError

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
BUDGET = 1.25

losses: set[str] = set()  # the errors by which rows were lost


def serve(rate: float, asks: bool, port: Any) -> None:
    """Answer each request that gets a token, and refuse the others."""
    tokens, filled = rate, time.monotonic()
    refusal = REFUSAL % (b"retry-after: 1\r\n" if asks else b"")

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tokens, filled
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]))
                now = time.monotonic()
                tokens, filled = min(rate, tokens + (now - filled) * rate), now
                accepted = tokens >= 1
                tokens -= accepted
                writer.write(ANSWER if accepted else refusal)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=1000)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def with_threads(url: str, rows: int, workers: int) -> int:
    """Run the rows in threads, and return the number of those that were lost."""
    with Scout("key", base_url=url) as scout:

        def run(number: int) -> bool:
            try:
                return scout.execute(WORKFLOW, {"n": number}).ok
            except ScoutError as error:
                losses.add(f"{error!r}")
                return False

        with ThreadPoolExecutor(workers) as pool:
            return rows - sum(pool.map(run, range(rows)))


def with_tasks(url: str, rows: int, workers: int) -> int:
    """Run the rows in tasks, and return the number of those that were lost."""

    async def main() -> int:
        left = iter(range(rows))
        done = 0

        async def work() -> None:
            nonlocal done
            for number in left:
                try:
                    run = await scout.execute(WORKFLOW, {"n": number})
                    done += run.ok
                except ScoutError as error:
                    losses.add(f"{error!r}")

        async with AsyncScout("key", base_url=url) as scout:
            await asyncio.gather(*(work() for _ in range(workers)))
        return rows - done

    return asyncio.run(main())


def main() -> None:
    """Measure threads and tasks, with `Retry-After` and without."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--rate", type=float, default=40.0, help="requests a second")
    options = parser.parse_args()
    ideal = (options.rows - options.rate) / options.rate
    is_fine = True
    print(
        f"{options.rows} rows, {options.workers} workers, {options.rate:g} requests a second; ideally {ideal:.1f} s\n"
    )
    print("| workers | 429 with | lost rows | seconds | over the ideal |\n|---|---|--:|--:|--:|")
    for kind, run in (("threads", with_threads), ("tasks", with_tasks)):
        for asks in (True, False):
            here, there = multiprocessing.Pipe(duplex=False)
            server = multiprocessing.Process(target=serve, args=(options.rate, asks, there), daemon=True)
            server.start()
            url = f"http://127.0.0.1:{here.recv()}"
            began = time.monotonic()
            lost = run(url, options.rows, options.workers)
            seconds = time.monotonic() - began
            server.kill()
            server.join()
            is_fine &= lost == 0 and seconds <= BUDGET * ideal
            header = "`Retry-After: 1`" if asks else "nothing"
            print(f"| {kind} | {header} | {lost} | {seconds:.1f} | {seconds / ideal:.2f} |", flush=True)
    print(*sorted(losses)[:10], sep="\n", end="\n" if losses else "")
    sys.exit(not is_fine)


if __name__ == "__main__":
    main()
