"""Run a workflow for each row, as one writes it without `scout.batch`: httpx, a semaphore, and a loop that repeats.

    python benchmarks/by_hand.py workflow.yml rows.csv results.jsonl

`batch.py` measures it. It is what people write, with what they overlook: the file is parsed for each row, all rows are
tasks at once, a row is lost after five refusals, a run may happen twice after a broken connection, and a program that
is interrupted begins again.
"""

from __future__ import annotations

import asyncio
import csv
import json
import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

URL = "https://api.scoutos.com"
ATTEMPTS = 5


def load(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return json.loads(text)
    import yaml

    return yaml.safe_load(text)


async def run_row(client: httpx.AsyncClient, workflow: Path, row: dict[str, Any]) -> str:
    for attempt in range(ATTEMPTS):
        config = load(workflow)
        body = {"workflow_config": config, "inputs": row, "streaming": False}
        try:
            response = await client.post("/v2/workflows/execute", params={"environment": "production"}, json=body)
            if response.status_code != 429 and response.status_code < 500:
                response.raise_for_status()
                answer = response.json()
                output: str = answer["run"]["state"][answer["output_block_id"]]["output"]
                return output
            wait = float(response.headers.get("retry-after", 2**attempt))
        except httpx.TransportError:
            wait = 2**attempt
        await asyncio.sleep(wait + random.random())
    raise RuntimeError(f"no answer after {ATTEMPTS} attempts")


async def run_rows(
    url: str, key: str, workflow: Path, rows: Iterable[dict[str, Any]], at_once: int, done: Callable[[str], None]
) -> None:
    semaphore = asyncio.Semaphore(at_once)
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=600) as client:

        async def work(row: dict[str, Any]) -> None:
            async with semaphore:
                done(await run_row(client, workflow, row))

        await asyncio.gather(*(work(row) for row in rows))


def main(workflow: str, source: str, target: str) -> None:
    with Path(source).open(newline="", encoding="utf-8") as file, Path(target).open("w", encoding="utf-8") as results:

        def write(output: str) -> None:
            print(json.dumps(output), file=results)

        asyncio.run(run_rows(URL, os.environ["SCOUT_API_KEY"], Path(workflow), csv.DictReader(file), 32, write))


if __name__ == "__main__":
    main(*sys.argv[1:])
