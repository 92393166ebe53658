"""The command `scout run`: run one workflow file and print its output."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scout.cli import _checks, _connection, _execution, _exits, _local_options

if TYPE_CHECKING:
    import argparse

    from scout import LoadedWorkflow, Scout

NAME = "run"
HELP = "run a workflow file and print its output"
DESCRIPTION = """\
Run a workflow file (YAML or JSON) and print its output on stdout. Messages go to stderr.

  scout run workflow.yml --input user_message="What is a DAG?" --local
  scout run workflow.yml --input limit:=5 --inputs defaults.json
  echo '{"user_message": "Hi"}' | scout run workflow.yml --inputs - --json
  scout run workflow.yml --input user_message=Hi --stream
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("file", metavar="FILE", help="the workflow, as YAML or JSON")
    _execution.add_arguments(parser)
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--local", action="store_true", help="run on an embedded local Scout, without a key or a network"
    )
    _connection.add_base_url(parser, where)
    parser.add_argument("--workflow-key", metavar="KEY", help="the key of the workflow to which the run is attributed")
    _checks.add_argument(parser)
    _local_options.add_arguments(parser)
    parser.set_defaults(handler=_run)


def _run(args: argparse.Namespace) -> int:
    def connect() -> Scout:
        transport = _connection.transport(args)
        if not args.local:
            return _connection.connect(args, ", or run on the local Scout with --local", transport)
        from scout import Scout

        return Scout.local(
            transport=transport, **_connection.settings(args), **_local_options.options(args, Path(args.file).parent)
        )

    def itself(client: Scout) -> Scout:
        return client

    if not args.local:
        _local_options.refuse(args)
    elif args.replay is not None:
        raise _exits.UsageError("--replay answers from a file, without --local")

    def load() -> LoadedWorkflow:
        from scout import load_workflow

        return load_workflow(args.file, require_fields=True)

    return _execution.carry_out(args, load, connect, itself, "workflow_key", is_local=args.local)
