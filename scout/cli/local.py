"""`scout local`: the embedded local Scout as a server of its own."""

from __future__ import annotations

import argparse
import os

from scout.cli import _exits
from scout.cli._terminal import answer, talk

NAME = "local"
HELP = "start a local Scout, for development and tests"
DESCRIPTION = """\
Start a local Scout on the loopback interface and keep it running until Ctrl-C.
It runs workflow files over real HTTP, without an account. It is not Scout: its language model is a stand-in.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "--port",
        type=_port,
        default=8787,
        help="the port to listen on; 0 takes a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--api-key-env",
        metavar="VARIABLE",
        help="accept only the key that this environment variable holds (default: any key)",
    )
    parser.set_defaults(handler=_serve)


def _serve(args: argparse.Namespace) -> int:
    from scout import ConfigurationError
    from scout.local import LocalScout

    try:
        server = LocalScout(port=args.port, api_key=_required_key(args.api_key_env)).start()
    except ConfigurationError as error:
        if isinstance(error.__cause__, OSError):
            raise _exits.UsageError(f"{error} Choose another port with --port, or any with --port 0.") from None
        return _exits.explain(error)
    talk(f"local Scout on {server.url}, for development and tests; stop it with Ctrl-C")
    answer(f"export SCOUT_BASE_URL={server.url} SCOUT_API_KEY={_key_to_export(args.api_key_env)}")
    server.serve_forever()
    talk("local Scout stopped")
    return _exits.DONE


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() else -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return port


def _required_key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key:
        raise _exits.UsageError(f"--api-key-env names {variable}, which is not set")
    return key


def _key_to_export(variable: str | None) -> str:
    """Any key will do, or the shell is told where the real one is: a key is never printed."""
    return "local" if variable is None else f'"${variable}"'
