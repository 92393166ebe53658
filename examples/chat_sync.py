"""Chat in the terminal; each answer appears while it is written.

    python examples/chat_sync.py

Runs on Scout when SCOUT_API_KEY is set, and on the embedded local Scout otherwise. An empty line ends it.
"""

import os
import sys
from pathlib import Path

from scout import Scout, ScoutError

WORKFLOW = Path(__file__).parent / "hello" / "workflow.yml"


def connect() -> Scout:
    """Return a client on the real Scout if there is a key for it, else on a local one."""
    if os.environ.get("SCOUT_API_KEY"):
        return Scout()
    print("SCOUT_API_KEY is not set: running on the local Scout", file=sys.stderr)
    return Scout.local()


def main() -> None:
    """Answer each line of input, all in one session."""
    session = None
    with connect() as scout:
        while question := read_line():
            try:
                with scout.stream(WORKFLOW, {"user_message": question}, session_id=session) as stream:
                    for text in stream.text():
                        print(text, end="", flush=True)
                session = stream.run.session_id
                print()
            except ScoutError as error:  # also for an answer that broke off: its first part is on the screen
                print(f"\n({error})", file=sys.stderr)


def read_line() -> str:
    """Return the next line without its line break, or an empty text at the end of the input."""
    if sys.stdin.isatty():
        print("> ", end="", flush=True)
    return sys.stdin.readline().strip()


if __name__ == "__main__":
    main()
