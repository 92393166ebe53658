"""The command `scout run`: run one workflow file and print its output."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from scout.cli import _checks, _connection, _execution, _exits, _local_options, _variants, _workflow

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from scout import LoadedWorkflow, Scout

DESCRIPTION = """\
Run a workflow file (YAML or JSON) and print its output on stdout. Messages go to stderr.

examples:
  scout run workflow.yml --input user_message="What is a DAG?" --local
  scout run workflow.yml --input text=@letter.txt --input limit:=5 --stream
  scout run workflow.yml --inputs inputs.yml --set llm.temperature=0.2 --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("file", metavar="FILE", help="the workflow, as YAML or JSON; '-' for stdin")
    run = _execution.add_arguments(parser)
    run.add_argument("--workflow-key", metavar="KEY", help="the key of the workflow to which the run is attributed")
    _variants.add_argument(parser)
    _checks.add_argument(parser)
    _connection.add_base_url(parser)
    _connection.add_arguments(parser)
    _local_options.add_arguments(parser, with_switch=True)
    parser.add_argument_group(_local_options.GROUP).add_argument(
        "--open", action="store_true", help="show the run on a page in the browser, until Ctrl-C"
    )
    _connection.add_cassettes(parser)
    parser.set_defaults(handler=_run)


def _run(args: argparse.Namespace) -> int:
    def connect() -> Scout:
        return _local_options.connect(args, Path(args.file).parent, _connection.transport(args))

    def load() -> LoadedWorkflow:
        return _variants.vary(_workflow.load(args.file), args.set)

    _local_options.check(args)
    if args.local and args.replay is not None:
        raise _exits.UsageError("--replay answers from a file, without --local")
    if args.open:
        return _run_with_page(args, load)
    return _execution.carry_out(args, load, connect, _itself, "workflow_key", is_local=args.local)


def _run_with_page(args: argparse.Namespace, load: Callable[[], LoadedWorkflow]) -> int:
    """Run as ever, but on a server that stays after the run."""
    from scout import Scout
    from scout.cli._browser import RunPage
    from scout.local import LocalScout

    page = RunPage()
    with contextlib.ExitStack() as servers:

        def connect() -> Scout:
            transport = _connection.transport(args)
            options = _local_options.options(args, Path(args.file).parent)
            page.server = servers.enter_context(LocalScout(**options))
            return Scout(
                "local",
                base_url=page.server.url,
                transport=transport,
                on_response=page.on_response,
                on_event=page.on_event,
                **_connection.settings(args),
            )

        code = _execution.carry_out(args, load, connect, _itself, "workflow_key", is_local=True, streams=True)
        page.stay()
    return code


def _itself(client: Scout) -> Scout:
    return client
