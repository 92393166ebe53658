"""Chat in the terminal: each answer appears as it is written.

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
    """Answer line after line, all in one session."""
    session = None
    with connect() as scout:
        while question := read_line():
            try:
                with scout.stream(WORKFLOW, {"user_message": question}, session_id=session) as stream:
                    for text in stream.text():
                        print(text, end="", flush=True)
                session = stream.run.session_id
                print()
            except ScoutError as error:  # an answer that broke off, too: what came of it is on the screen
                print(f"\n({error})", file=sys.stderr)


def read_line() -> str:
    """Return the next line, without its end; nothing when there is none."""
    if sys.stdin.isatty():
        print("> ", end="", flush=True)
    return sys.stdin.readline().strip()


if __name__ == "__main__":
    main()
