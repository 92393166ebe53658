"""The command `scout local`: the local Scout as a server."""

from __future__ import annotations

import argparse
import contextlib
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scout.cli import _exits, _local_options
from scout.cli._terminal import answer, talk

if TYPE_CHECKING:
    from collections.abc import Generator

    from scout.local import Access

DESCRIPTION = """\
Start a local Scout on the loopback interface and keep it running until Ctrl-C. It runs workflow files over real HTTP,
without an account. It is not Scout: a stand-in plays the language model.

examples:
  scout local --workflows workflows --open
  scout local --port 8787 --store scout.db --workflows workflows
  scout local --fault status=429,retry_after=1,times=2
  scout local --llm-base-url http://127.0.0.1:11434/v1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--port",
        type=_port,
        default=8787,
        help="the port to listen on; 0 for any free port (default: %(default)s)",
    )
    parser.add_argument(
        "--api-key-env",
        metavar="VARIABLE",
        help="accept only the key in this environment variable (default: any key)",
    )
    parser.add_argument("--store", metavar="FILE", help="keep stored workflows in this file (default: in memory)")
    parser.add_argument(
        "--workflows",
        metavar="DIR",
        type=Path,
        help="store the workflows of this folder: its files, and the workflow.yml of each subfolder; files that change "
        "are stored again",
    )
    page = parser.add_mutually_exclusive_group()
    page.add_argument("--open", action="store_true", help="open the page with the runs in the browser")
    page.add_argument("--no-page", action="store_true", help="serve no page, only the API")
    _local_options.add_arguments(parser)
    parser.set_defaults(handler=_serve)


def _serve(args: argparse.Namespace) -> int:
    from scout import ScoutError
    from scout.cli._browser import OpenedPage
    from scout.cli._reloads import Reloads
    from scout.local import LocalScout

    key = None if args.api_key_env is None else _local_options.read_key("--api-key-env", args.api_key_env)
    try:
        reloads = Reloads(args.workflows, _local_options.stubs_file(args, args.workflows))
        server = LocalScout(
            port=args.port,
            api_key=key,
            store=args.store,
            workflows=reloads.workflows,
            on_access=_report,
            page=not args.no_page,
            **_local_options.options(args, args.workflows),
        ).start()
    except ScoutError as error:
        if isinstance(error.__cause__, OSError):
            raise _exits.UsageError(f"{error} Choose another port with --port, or any with --port 0.") from None
        return _exits.explain(error)
    with _signals_end_it():
        for name, workflow_id in server.workflow_ids.items():
            talk(f"workflow {name} is {workflow_id}")
        if not args.no_page:
            login = "" if key is None else "; it asks for the key, as the password of any name"
            talk(f"the page with the runs is {server.url}/{login}")
        talk(f"local Scout on {server.url}, for development and tests; stop it with Ctrl-C")
        opened = OpenedPage(f"{server.url}/") if args.open else None

        def look() -> None:
            reloads.look(server)
            if opened is not None:
                opened.look()

        answer(f"export SCOUT_BASE_URL={server.url} SCOUT_API_KEY={_key_to_export(args.api_key_env)}")
        server.serve_forever(look)
    if unused := server.unused_stubs():
        talk(
            f"no block has used these stubs: {', '.join(unused)}; a stub is found by the id or the archetype of a block"
        )
    talk("local Scout stopped")
    return _exits.DONE


@contextlib.contextmanager
def _signals_end_it() -> Generator[None]:
    """Handle SIGINT and SIGTERM (`kill`, the stop of a container) as Ctrl-C.

    SIGINT is included because shells make the background jobs of a script ignore it.
    """
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():  # only this thread can set them
        before = {kind: signal.signal(kind, signal.default_int_handler) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _report(access: Access) -> None:
    status = access.status or "left"
    failed = f", the run failed: {' '.join(' '.join(access.errors).split())}" if access.errors else ""
    talk(f"{time.strftime('%H:%M:%S')} {access.method} {access.path} {status} {access.seconds:.3f} s{failed}")


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() else -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return port


def _key_to_export(variable: str | None) -> str:
    """Return a placeholder, or a reference to the variable with the key, which is never printed itself."""
    return "local" if variable is None else f'"${variable}"'
