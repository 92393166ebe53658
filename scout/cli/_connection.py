"""`--base-url` and the time limits: what every command that calls Scout takes, and the client that it calls with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

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


class TakesArguments(Protocol):
    """A parser, or a group of arguments in one; argparse has no public name for both."""

    def add_argument(self, *names: str, metavar: str, help: str) -> object:  # noqa: A002 - argparse's own name
        """Add an argument."""
        ...


def add_base_url(parser: TakesArguments) -> None:
    """Add the address of the API."""
    parser.add_argument("--base-url", metavar="URL", help="the API to call (default: SCOUT_BASE_URL, or Scout's own)")


def add_cassettes(parser: argparse.ArgumentParser) -> None:
    """Add the files that keep what goes over the wire, and give it again."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--record", metavar="FILE", help="keep the request and its answer in a new file, without the key"
    )
    group.add_argument("--replay", metavar="FILE", help="answer from such a file: no key, no network")
    parser.add_argument("--real-time", action="store_true", help="with --replay, as slowly as it was recorded")


def transport(args: argparse.Namespace) -> Any:
    """The transport that keeps, or gives again; `None` when neither is asked for.

    Raises:
        UsageError: the options do not go together.
        ConfigurationError: a file cannot be used.
    """
    if args.real_time and args.replay is None:
        raise UsageError("--real-time goes with --replay")
    if args.record is not None:
        if Path(args.record).exists():
            raise UsageError(f"{args.record} exists already; --record writes a new file")
        from scout.local import record

        return record(args.record)
    if args.replay is not None:
        from scout.local import replay

        return replay(args.replay, real_time=args.real_time)
    return None


def connect(args: argparse.Namespace, hint: str = "", transport: Any = None) -> Scout:
    """A client on the API that the arguments and the environment name.

    Args:
        args: The arguments.
        hint: What else can be done when there is no key.
        transport: What sends, if not the client itself.

    Raises:
        UsageError: there is no key.
    """
    key = os.environ.get("SCOUT_API_KEY")
    if not key and getattr(args, "replay", None) is None:
        raise UsageError(f"no API key: set SCOUT_API_KEY{hint}")
    from scout import Scout

    return Scout(key or None, base_url=args.base_url, transport=transport)


def given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those of the time limits, and of the other options with these names, that were given."""
    options = {name: getattr(args, name) for name in (*_OPTIONS, *names)}
    return {name: value for name, value in options.items() if value is not None}
