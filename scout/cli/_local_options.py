"""Options of the local Scout, for `scout run --local`, `scout batch --local` and `scout local`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scout.cli import _connection
from scout.cli._exits import UsageError

if TYPE_CHECKING:
    import argparse

    from scout import Scout

_NAMES = ("stubs", "env_file", "fault", "llm_base_url", "llm_api_key_env", "token_delay", "open")
STUBS = "stubs.yml"
GROUP = "local Scout"
"""The section of the help."""


def add_arguments(parser: argparse.ArgumentParser, *, with_switch: bool = False) -> None:
    """Add the options, and with the switch `--local` that of a command that runs on either."""
    group = parser.add_argument_group(GROUP)
    if with_switch:
        group.add_argument(
            "--local", action="store_true", help="run on an embedded local Scout, without a key or a network"
        )
    group.add_argument("--stubs", metavar="FILE", help=f"outputs of blocks (default: {STUBS} beside the workflows)")
    group.add_argument("--env-file", metavar="FILE", help="the variables in _env for templates, one NAME=TEXT per line")
    group.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="FAULT",
        help="simulate a fault, such as status=429,retry_after=1,times=2, cut_after=3 or rate=40/s; may be repeated",
    )
    group.add_argument(
        "--llm-base-url", metavar="URL", help="an OpenAI-compatible server to use instead of the stand-in"
    )
    group.add_argument(
        "--llm-api-key-env", metavar="NAME", help="the environment variable with the key for that server"
    )
    group.add_argument(
        "--token-delay",
        type=float,
        metavar="SECONDS",
        help="the time between two words of the stand-in (default: none)",
    )


def check(args: argparse.Namespace) -> None:
    """Check that the options of a command with `--local` go together.

    Raises:
        UsageError: they do not.
    """
    if not args.local:
        refuse(args)
    elif args.base_url is not None or args.allow_http:
        option = "--allow-http" if args.base_url is None else "--base-url"
        raise UsageError(f"{option} is for Scout, and --local runs on this machine; leave one of them away")


def connect(args: argparse.Namespace, folder: Path, transport: Any = None) -> Scout:
    """Return a client for a command with `--local`: of an embedded local Scout, or of Scout.

    Args:
        args: The arguments of the command.
        folder: The folder of the workflow.
        transport: The transport; `None` for the connections of the client.

    Raises:
        UsageError: the API key is missing, or a file cannot be read.
        ConfigurationError: an option is invalid.
    """
    if not args.local:
        return _connection.connect(args, ", or run on the local Scout with --local", transport)
    from scout import Scout

    return Scout.local(transport=transport, page=False, **_connection.settings(args), **options(args, folder))


def refuse(args: argparse.Namespace) -> None:
    """Check that no option of the local Scout was given.

    Raises:
        UsageError: one was given.
    """
    for name in _NAMES:
        value = getattr(args, name, None)
        if not (value is None or value is False or value == []):
            raise UsageError(f"--{name.replace('_', '-')} is for the local Scout; give --local as well")


def options(args: argparse.Namespace, folder: Path | None) -> dict[str, Any]:
    """Return the options of `LocalScout`.

    Args:
        args: The arguments of the command.
        folder: The folder of the workflows, in which the default file of stubs is searched; `None` for no such file.

    Raises:
        UsageError: a file cannot be read, or a variable is not set.
        ConfigurationError: an option is invalid.
    """
    from scout.local import parse_fault

    found: dict[str, Any] = {"faults": [parse_fault(text) for text in args.fault], "llm_base_url": args.llm_base_url}
    if args.llm_api_key_env is not None:
        found["llm_api_key"] = read_key("--llm-api-key-env", args.llm_api_key_env)
    if args.env_file is not None:
        found["env"] = _read_env(args.env_file)
    if args.token_delay is not None:
        found["token_delay"] = args.token_delay
    stubs = stubs_file(args, folder)
    if stubs is not None and (args.stubs is not None or stubs.is_file()):
        found["stubs"] = stubs
    return found


def stubs_file(args: argparse.Namespace, folder: Path | None) -> Path | None:
    """Return the file of stubs: that of `--stubs`, else the default one of a folder, which need not exist."""
    if args.stubs is not None:
        return Path(args.stubs)
    return None if folder is None else folder / STUBS


def read_key(option: str, variable: str) -> str:
    """Return the key in the environment variable that an option names.

    Raises:
        UsageError: it is not set.
    """
    key = os.environ.get(variable)
    if not key:
        raise UsageError(f"{option} names {variable}, which is not set")
    return key


def _read_env(name: str) -> dict[str, str]:
    try:
        from dotenv.parser import parse_stream
    except ImportError:
        raise UsageError("--env-file needs python-dotenv: pip install 'scout-workflows[local]'") from None
    values: dict[str, str] = {}
    try:
        with Path(name).open(encoding="utf-8-sig") as file:
            for binding in parse_stream(file):
                if binding.error or (binding.key is not None and binding.value is None):
                    raise UsageError(f"{name}, line {binding.original.line}: it is not NAME=TEXT")
                if binding.key is not None and binding.value is not None:
                    values[binding.key] = binding.value
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"cannot read {name}: {reason}") from None
    return values
