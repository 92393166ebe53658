"""`scout run`: run one workflow file and print its answer."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from scout.cli import _exits, _inputs
from scout.cli._terminal import answer, as_json, talk

if TYPE_CHECKING:
    import argparse

    from scout import BlockRun, Run, Scout

NAME = "run"
HELP = "run a workflow file and print its answer"
DESCRIPTION = """\
Run a workflow file (YAML or JSON) and print its answer on stdout; everything else is said on stderr.

  scout run workflow.yml --input user_message="What is a DAG?" --local
  scout run workflow.yml --input limit:=5 --inputs defaults.json
  echo '{"user_message": "Hi"}' | scout run workflow.yml --inputs - --json
  scout run workflow.yml --input user_message=Hi --stream
"""

_NO_KEY = "no API key: set SCOUT_API_KEY, or run on the local Scout with --local"

_STAND_IN = " on the local Scout, where a stand-in plays the language model"

# Named as in `Scout.execute`. One that was not given is not passed on, so that the client's default holds.
_EXECUTE_OPTIONS = (
    "environment",
    "session_id",
    "revision_id",
    "workflow_key",
    "timeout",
    "deadline",
    "retries",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("file", metavar="FILE", help="the workflow, as YAML or JSON")
    _inputs.add_arguments(parser)
    parser.add_argument("--stream", action="store_true", help="print the answer as it comes, and what the blocks do")
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the whole run as one JSON object; with --stream each event as one line of JSON",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--local", action="store_true", help="run on an embedded local Scout: no key, no network")
    where.add_argument("--base-url", metavar="URL", help="the API to call (default: SCOUT_BASE_URL, or Scout's own)")
    parser.add_argument("--environment", metavar="NAME", help="production, staging, development or console")
    parser.add_argument("--session-id", metavar="ID", help="the session that the run joins")
    parser.add_argument("--revision-id", metavar="ID", help="the revision to name to the API")
    parser.add_argument("--workflow-key", metavar="KEY", help="the key that the run is attributed to")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="longest silence of the server (default: 600)")
    parser.add_argument("--deadline", type=float, metavar="SECONDS", help="longest time for it all (default: none)")
    parser.add_argument(
        "--retries",
        type=int,
        metavar="N",
        help="how often to try again when it is certain that no run has started (default: 2)",
    )
    parser.set_defaults(handler=_run)


def _run(args: argparse.Namespace) -> int:
    inputs = _inputs.gather(args.input, args.inputs)
    if not args.local and not os.environ.get("SCOUT_API_KEY"):
        raise _exits.UsageError(_NO_KEY)

    from scout import ScoutError

    try:
        with _client(args) as client:
            started = time.monotonic()
            run = _streamed(client, args, inputs) if args.stream else _executed(client, args, inputs)
            seconds = time.monotonic() - started
    except ScoutError as error:
        return _exits.explain(error)
    except KeyboardInterrupt:
        if not args.local:
            talk("interrupted; if the run had started, Scout goes on with it")
        raise

    talk(f"run {run.id} {run.status} in {seconds:.2f} s{_STAND_IN if args.local else ''}")
    if args.stream:
        return _conclude(run, json=args.json)
    return _print_json(run) if args.json else _print_text(run)


def _executed(client: Scout, args: argparse.Namespace, inputs: dict[str, Any]) -> Run:
    return client.execute(args.file, inputs, check=False, **_given(args))


def _streamed(client: Scout, args: argparse.Namespace, inputs: dict[str, Any]) -> Run:
    from scout.cli._stream import follow

    with client.stream(args.file, inputs, check=False, **_given(args)) as stream:
        return follow(stream, json=args.json)


def _client(args: argparse.Namespace) -> Scout:
    from scout import Scout

    if args.local:
        return Scout.local()
    return Scout(base_url=args.base_url)


def _given(args: argparse.Namespace) -> dict[str, Any]:
    options = {name: getattr(args, name) for name in _EXECUTE_OPTIONS}
    return {name: value for name, value in options.items() if value is not None}


def _print_text(run: Run) -> int:
    if run.ok and run.output_block_id is not None:
        answer(run.text)
    return _conclude(run, json=False)


def _print_json(run: Run) -> int:
    answer(as_json(_as_json(run), indent=2 if sys.stdout.isatty() else None), json=True)
    return _conclude(run, json=True)


def _conclude(run: Run, *, json: bool) -> int:
    """Say what is to be said of a run whose answer is printed."""
    if not run.ok:
        return _explain_failure(run)
    if run.output_block_id is None and not json:
        talk(f"no block is marked is_output, so there is no one answer; --json shows {', '.join(run.outputs)}")
    return _exits.DONE


def _explain_failure(run: Run) -> int:
    talk("; ".join(run.errors) or "the server gave no reason")
    return _exits.RUN_FAILED


def _as_json(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "session_id": run.session_id,
        "workflow_id": run.workflow_id,
        "status": run.status,
        "output": run.output,
        "outputs": run.outputs,
        "errors": run.errors,
        "price": run.price,
        "output_block_id": run.output_block_id,
        "blocks": [_block_as_json(block) for block in run.blocks],
    }


def _block_as_json(block: BlockRun) -> dict[str, Any]:
    return {
        "id": block.id,
        "archetype": block.archetype,
        "status": block.status,
        "started": block.started and block.started.isoformat(),
        "ended": block.ended and block.ended.isoformat(),
        "duration": block.duration,
        "price": block.price,
        "error": block.error,
    }
