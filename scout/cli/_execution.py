"""Execution of a workflow, from a file or stored: the shared part of `scout run` and `scout workflows run`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from scout.cli import _connection, _exits, _inputs
from scout.cli._terminal import answer, as_json, talk

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from scout import BlockRun, Run, RunStream, Scout

    Runner = tuple[Callable[..., Run], Callable[..., RunStream]]
    """`execute` and `stream`, for one workflow."""

_OPTIONS = ("environment", "session_id", "revision_id")
_STAND_IN = " on the local Scout, where a stand-in plays the language model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a run to a command."""
    _inputs.add_arguments(parser)
    parser.add_argument(
        "--stream", action="store_true", help="print the output as it arrives, and the progress of the blocks"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the whole run as one JSON object; with --stream each event as one line of JSON",
    )
    parser.add_argument("--environment", metavar="NAME", help="production, staging, development or console")
    parser.add_argument("--session-id", metavar="ID", help="the session to join")
    parser.add_argument("--revision-id", metavar="ID", help="the id of the revision, for the API")
    _connection.add_arguments(parser)
    _connection.add_cassettes(parser)


def carry_out(
    args: argparse.Namespace,
    connect: Callable[[], Scout],
    runner: Callable[[Scout], Runner],
    *more_options: str,
    is_local: bool = False,
) -> int:
    """Run a workflow, print the result, and return the exit code.

    Args:
        args: The arguments of the command.
        connect: A function that returns the client.
        runner: A function from the client to the two functions that run the workflow.
        more_options: Names of further arguments that are options of the run.
        is_local: True for the embedded local Scout.
    """
    inputs = _inputs.gather(args.input, args.inputs)

    from scout import ScoutError

    options = _connection.given(args, *_OPTIONS, *more_options)
    try:
        with connect() as client:
            started = time.monotonic()
            run = _run(runner(client), inputs, args, options)
            seconds = time.monotonic() - started
    except ScoutError as error:
        return _exits.explain(error)
    except KeyboardInterrupt:
        if not is_local:
            talk("interrupted; if the run had started, Scout goes on with it")
        raise

    talk(f"run {run.id} {run.status} in {seconds:.2f} s{_STAND_IN if is_local else ''}")
    if args.stream:
        return _conclude(run, json=args.json)
    return _print_json(run) if args.json else _print_text(run)


def _run(runner: Runner, inputs: dict[str, Any], args: argparse.Namespace, options: dict[str, Any]) -> Run:
    execute, stream_events = runner
    if not args.stream:
        return execute(inputs, check=False, **options)
    from scout.cli._stream import follow

    with stream_events(inputs, check=False, **options) as stream:
        return follow(stream, json=args.json)


def _print_text(run: Run) -> int:
    if run.ok and run.output_block_id is not None:
        answer(run.text)
    return _conclude(run, json=False)


def _print_json(run: Run) -> int:
    answer(as_json(_as_json(run), indent=2 if sys.stdout.isatty() else None), json=True)
    return _conclude(run, json=True)


def _conclude(run: Run, *, json: bool) -> int:
    """Explain on stderr why a run has no output, and return the exit code."""
    if not run.ok:
        return _explain_failure(run)
    if run.output_block_id is None and not json:
        talk(f"the run has no output block; mark one with is_output, or use --json for {', '.join(run.outputs)}")
    return _exits.DONE


def _explain_failure(run: Run) -> int:
    from scout import RunFailedError, RunNotFinishedError

    try:
        run.raise_for_status()
    except RunNotFinishedError as error:
        return _exits.explain(error)
    except RunFailedError:
        pass
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
