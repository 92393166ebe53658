"""`--base-url` and the time limits: what every command that calls Scout takes, and the client that it calls with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from scout.cli._exits import UsageError

if TYPE_CHECKING:
    import argparse

    from scout import Scout

# Named as in the client's methods. One that was not given is not passed on, so that the client's default holds.
_OPTIONS = ("timeout", "deadline", "retries")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the time limits to a command that calls Scout."""
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="longest silence of the server (default: 600)")
    parser.add_argument("--deadline", type=float, metavar="SECONDS", help="longest time for it all (default: none)")
    parser.add_argument(
        "--retries",
        type=int,
        metavar="N",
        help="how often to try again when nothing can be done twice by it (default: 2)",
    )


def add_base_url(
    parser: argparse._ActionsContainer,  # pyright: ignore[reportPrivateUsage] - a parser, or a group in one
) -> None:
    """Add the address of the API."""
    parser.add_argument("--base-url", metavar="URL", help="the API to call (default: SCOUT_BASE_URL, or Scout's own)")


def connect(args: argparse.Namespace, hint: str = "") -> Scout:
    """A client on the API that the arguments and the environment name.

    Args:
        args: The arguments.
        hint: What else can be done when there is no key.

    Raises:
        UsageError: there is no key.
    """
    if not os.environ.get("SCOUT_API_KEY"):
        raise UsageError(f"no API key: set SCOUT_API_KEY{hint}")
    from scout import Scout

    return Scout(base_url=args.base_url)


def given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those of the time limits, and of the other options with these names, that were given."""
    options = {name: getattr(args, name) for name in (*_OPTIONS, *names)}
    return {name: value for name, value in options.items() if value is not None}
