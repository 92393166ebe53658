"""Watch the blocks of a workflow, two of which run side by side.

    python examples/watch_async.py "It came a day early."

Runs on Scout when SCOUT_API_KEY is set, and on the embedded local Scout otherwise.
"""

import asyncio
import os
import sys
from pathlib import Path

from scout import AsyncScout, BlockRunCompleted, BlockRunFailed, BlockRunStarted, BlockStateUpdated, ScoutError

WORKFLOW = Path(__file__).parent / "classify" / "workflow.yml"


def connect() -> AsyncScout:
    """Return a client on the real Scout if there is a key for it, else on a local one."""
    if os.environ.get("SCOUT_API_KEY"):
        return AsyncScout()
    print("SCOUT_API_KEY is not set: running on the local Scout", file=sys.stderr)
    return AsyncScout.local()


async def main() -> None:
    """Print what each block does while it runs, and then the answer."""
    review = " ".join(sys.argv[1:]) or "It came a day early and works as it should."
    try:
        async with connect() as scout, scout.stream(WORKFLOW, {"review": review}) as stream:
            async for event in stream:
                match event:
                    case BlockRunStarted(data=data):
                        print(f"{data.block_id}: begins")
                    case BlockStateUpdated(data=data) if data.update_type == "partial":
                        print(f"{data.block_id}: {data.update_data['output']}")
                    case BlockRunCompleted(data=data):
                        print(f"{data.block_id}: done, price {data.price}")
                    case BlockRunFailed(data=data):
                        print(f"{data.block_id}: failed: {data.message}")
        print(f"\n{stream.run.text}")
    except ScoutError as error:
        sys.exit(f"no verdict: {error}")


if __name__ == "__main__":
    asyncio.run(main())
