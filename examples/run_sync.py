"""Ask one question and print the answer.

    python examples/run_sync.py "Why is the sky blue?"

Runs on Scout when SCOUT_API_KEY is set, and on the embedded local Scout otherwise.
"""

import os
import sys
from pathlib import Path

from scout import RunFailedError, Scout

WORKFLOW = Path(__file__).parent / "hello" / "workflow.yml"


def connect() -> Scout:
    """Return a client on the real Scout if there is a key for it, else on a local one."""
    if os.environ.get("SCOUT_API_KEY"):
        return Scout()
    print("SCOUT_API_KEY is not set: running on the local Scout", file=sys.stderr)
    return Scout.local()


def main() -> None:
    """Run the workflow once."""
    question = " ".join(sys.argv[1:]) or "Why is the sky blue?"
    with connect() as scout:
        try:
            run = scout.execute(WORKFLOW, {"user_message": question})
        except RunFailedError as error:
            sys.exit(f"the run failed: {'; '.join(error.run.errors)}")
    print(run.text)


if __name__ == "__main__":
    main()
