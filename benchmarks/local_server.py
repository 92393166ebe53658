"""The local Scout under load: many streams at once, and the memory of a server that has run for long.

    .venv/bin/python benchmarks/local_server.py [--streams 200] [--runs 20000]

The server is a process of its own. Memory is its resident set, as Linux tells it, after a tenth of the runs and after
all of them. Every tenth run is a stream that the client leaves in its middle.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from scout import AsyncScout

SERVER = """
import sys
from scout.local import LocalScout
with LocalScout() as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""
CONFIG = {
    "blocks": [
        {
            "block_id": "inputs",
            "block_archetype_id": "com.scoutos.input",
            "block_display_name": "Inputs",
            "block_inputs": {"items": [{"key": "number", "display_name": "Number", "input_type": "number"}]},
        },
        {
            "block_id": "answer",
            "block_archetype_id": "com.scoutos.llm",
            "block_display_name": "Answer",
            "block_inputs": {
                "model": "gpt-4o",
                "prompt_items": [{"role": "user", "content": "n={{ inputs.number }}."}],
            },
            "dependencies": [{"block_id": "inputs"}],
            "is_output": True,
        },
    ]
}


async def streamed(scout: AsyncScout, number: int) -> None:
    text = ""
    async with scout.stream(CONFIG, {"number": number}) as stream:
        async for piece in stream.text():
            text += piece
        run = stream.run
    if not (run.ok and run.output == text and f"n={number}." in text):
        sys.exit(f"run {number} is wrong: {run.status}, {text!r}, {run.output!r}")


async def spread(numbers: range, at_once: int, work: Any) -> float:
    """Do the work for all numbers; return how many seconds it took."""
    began = time.perf_counter()
    waiting = iter(numbers)

    async def worker() -> None:
        for number in waiting:
            await work(number)

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return time.perf_counter() - began


def resident(process: subprocess.Popen[str]) -> float:
    """Mebibytes."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(match[1]) / 1024 if match else 0.0


async def measure(server: subprocess.Popen[str], url: str, streams: int, runs: int) -> None:
    async with AsyncScout("any", base_url=url) as scout:
        await streamed(scout, 0)
        seconds = await spread(range(streams), streams, lambda number: streamed(scout, number))
        print(f"{streams} streams at once: all complete and correct ({streams / seconds:.0f} per second)")

        async def plain(number: int) -> None:
            if number % 10 == 0:
                async with scout.stream(CONFIG, {"number": number}) as stream:
                    await anext(aiter(stream))
                return
            run = await scout.execute(CONFIG, {"number": number})
            if f"n={number}." not in run.text:
                sys.exit(f"run {number} is wrong: {run.text!r}")

        await spread(range(runs // 10), 8, plain)
        early = resident(server)
        await spread(range(runs // 10, runs), 8, plain)
        late = resident(server)
        print(f"resident set after {runs // 10} runs {early:.1f} MiB, after {runs} {late:.1f} MiB: {late / early:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--runs", type=int, default=20_000)
    args = parser.parse_args()
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        asyncio.run(measure(server, server.stdout.readline().strip(), args.streams, args.runs))
    finally:
        server.communicate("")


if __name__ == "__main__":
    main()
