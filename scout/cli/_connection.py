"""Options of every command that calls Scout (`--base-url`, time limits, recordings), and the client for them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scout.cli._exits import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Generator

    from scout import Scout

# Named as in the client's methods. An option that was not given is not passed, so that the client's default applies.
_OPTIONS = ("timeout", "deadline", "retries")


_GROUP = "connection"


def add_base_url(parser: argparse.ArgumentParser) -> None:
    """Add the URL of the API, and what is allowed of it."""
    group = parser.add_argument_group(_GROUP)
    group.add_argument(
        "--base-url", metavar="URL", help="the URL of the API (default: SCOUT_BASE_URL, else https://api.scoutos.com)"
    )
    group.add_argument(
        "--allow-http",
        action="store_true",
        help="allow http:// to other machines, although that sends the API key unencrypted",
    )


def base_url_options(args: argparse.Namespace) -> list[str]:
    """Return the options that say which server is called, as they were given."""
    url = [] if args.base_url is None else ["--base-url", args.base_url]
    return [*url, "--allow-http"] if args.allow_http else url


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the time limits and `--retries` to a command that calls Scout."""
    group = parser.add_argument_group(_GROUP)
    group.add_argument("--timeout", type=float, metavar="SECONDS", help="longest silence of the server (default: 600)")
    group.add_argument(
        "--deadline", type=float, metavar="SECONDS", help="longest time for the whole call (default: none)"
    )
    group.add_argument(
        "--retries",
        type=int,
        metavar="N",
        help="how often to repeat requests that were certainly not processed (default: 2)",
    )
    group.add_argument(
        "--rate-limit-timeout",
        type=float,
        metavar="SECONDS",
        help="how long to wait in all while there are too many requests, 429 (default: 120)",
    )


def add_cassettes(parser: argparse.ArgumentParser) -> None:
    """Add the options that record requests and responses, and replay them."""
    recordings = parser.add_argument_group("recordings")
    group = recordings.add_mutually_exclusive_group()
    group.add_argument(
        "--record", metavar="FILE", help="record the request and its response in a new file, without the key"
    )
    group.add_argument("--replay", metavar="FILE", help="answer from a recording, without a key or a network")
    recordings.add_argument("--real-time", action="store_true", help="with --replay, keep the recorded delays")


def transport(args: argparse.Namespace) -> Any:
    """Return the transport that records or replays; `None` when neither option was given.

    Raises:
        UsageError: the options cannot be combined.
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
    """Return a client for the arguments and the environment.

    Args:
        args: The arguments of the command.
        hint: An alternative to name in the error when the API key is missing.
        transport: The transport; `None` for the connections of the client.

    Raises:
        UsageError: the API key is missing.
    """
    key = os.environ.get("SCOUT_API_KEY")
    if not key and getattr(args, "replay", None) is None:
        raise UsageError(f"no API key: set SCOUT_API_KEY{hint}")
    from scout import Scout

    return Scout(key or None, base_url=args.base_url, transport=transport, allow_http=args.allow_http, **settings(args))


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of the client that were given, other than those of `connect`."""
    return {} if args.rate_limit_timeout is None else {"rate_limit_timeout": args.rate_limit_timeout}


@contextlib.contextmanager
def connected(connect: Callable[[], Scout], *, many: bool = False) -> Generator[Scout]:
    """Yield the client that a function returns, whose waits are shown on stderr, and close it.

    Args:
        connect: The function.
        many: As in `_waits.shown`.
    """
    from scout.cli import _waits

    with _waits.shown(many=many), connect() as client:
        yield client


def given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Return the time limits, `--retries` and the options with these names, as far as they were given."""
    options = {name: getattr(args, name) for name in (*_OPTIONS, *names)}
    return {name: value for name, value in options.items() if value is not None}
