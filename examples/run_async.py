"""Classify several reviews at the same time, through one client.

    python examples/run_async.py

Runs on Scout when SCOUT_API_KEY is set, and on the embedded local Scout otherwise.
"""

import asyncio
import os
import sys
from pathlib import Path

from scout import AsyncScout, ScoutError

WORKFLOW = Path(__file__).parent / "classify" / "workflow.yml"
REVIEWS = [
    "It came a day early and works as it should.",
    "The handle broke in the first week.",
    "Fine, but I could have had it cheaper elsewhere.",
]


def connect() -> AsyncScout:
    """Return a client on the real Scout if there is a key for it, else on a local one."""
    if os.environ.get("SCOUT_API_KEY"):
        return AsyncScout()
    print("SCOUT_API_KEY is not set: running on the local Scout", file=sys.stderr)
    return AsyncScout.local()


async def classify(scout: AsyncScout, review: str) -> str:
    """Return the verdict on one review. A failed run does not stop the others."""
    try:
        run = await scout.execute(WORKFLOW, {"review": review})
    except ScoutError as error:
        return f"no verdict: {error}"
    return run.text


async def main() -> None:
    """Run the workflow for all reviews at once and print the verdicts in order."""
    async with connect() as scout:
        verdicts = await asyncio.gather(*(classify(scout, review) for review in REVIEWS))
    for review, verdict in zip(REVIEWS, verdicts, strict=True):
        print(f"{review}\n{verdict}\n")


if __name__ == "__main__":
    asyncio.run(main())
