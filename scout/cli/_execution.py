"""Execution of a workflow, from a file or stored: the shared part of `scout run` and `scout workflows run`."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any

from scout.cli import _checks, _connection, _exits, _inputs, _places
from scout.cli._spelling import one_of
from scout.cli._terminal import answer, as_json, talk

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from scout import BlockRun, LoadedWorkflow, Run, Scout, Workflows

_OPTIONS = ("environment", "session_id", "revision_id")
_LLM = "com.scoutos.llm"
_INTERRUPTED = "if the run had started, it may go on, so make sure before you run it again"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a run to a command."""
    from scout import Environment

    _inputs.add_arguments(parser)
    parser.add_argument(
        "--stream", action="store_true", help="print the output as it arrives, and the progress of the blocks"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the whole run as one JSON object; with --stream each event as one line of JSON",
    )
    parser.add_argument(
        "--environment", metavar="NAME", type=one_of(*Environment), help="production, staging, development or console"
    )
    parser.add_argument("--session-id", metavar="ID", help="the session to join")
    parser.add_argument("--revision-id", metavar="ID", help="the id of the revision, for the API")
    _connection.add_arguments(parser)
    _connection.add_cassettes(parser)


def carry_out(
    args: argparse.Namespace,
    load: Callable[[], LoadedWorkflow | str],
    connect: Callable[[], Scout],
    runner: Callable[[Scout], Scout | Workflows],
    *more_options: str,
    is_local: bool = False,
) -> int:
    """Run a workflow, print the result, and return the exit code.

    Args:
        args: The arguments of the command.
        load: A function that returns the workflow from a file, or the id of a stored one, as the runner accepts it.
        connect: A function that returns the client.
        runner: A function that returns the part of the client that runs the workflow.
        more_options: Names of further arguments that are options of the run.
        is_local: True for the embedded local Scout.
    """
    inputs = _inputs.gather(args.input, args.inputs)

    from scout import ScoutError, UnprocessableEntityError

    options = _connection.given(args, *_OPTIONS, *more_options)
    workflow: LoadedWorkflow | str = ""
    try:
        with _connection.connected(connect) as client:
            workflow = load()
            _check(workflow, inputs, args)
            started = time.monotonic()
            # The embedded local Scout ends with this process, and its runs with it.
            with contextlib.nullcontext() if is_local else _exits.interrupts_say(_INTERRUPTED):
                run = _run(runner(client), workflow, inputs, args, options)
            seconds = time.monotonic() - started
    except UnprocessableEntityError as error:
        places = () if isinstance(workflow, str) else _places.in_file(error, workflow, ["body", "workflow_config"])
        return _exits.explain(error, *places)
    except ScoutError as error:
        return _exits.explain(error)

    where = "" if isinstance(workflow, str) or not is_local else _where(run, workflow, args)
    talk(f"run {run.id} {run.status} in {seconds:.2f} s{where}")
    if args.stream:
        return _conclude(run, json=args.json)
    return _print_json(run) if args.json else _print_text(run)


def _check(workflow: LoadedWorkflow | str, inputs: Mapping[str, Any], args: argparse.Namespace) -> None:
    if isinstance(workflow, str) or args.no_check or args.replay is not None:
        return
    _checks.passed(workflow, args)
    _checks.warn_of_unknown_inputs(workflow, inputs)


def _where(run: Run, workflow: LoadedWorkflow, args: argparse.Namespace) -> str:
    """Return the part of the message of a local run that says where it ran, and with which language model."""
    blocks: list[Mapping[str, Any]] = workflow.config.get("blocks") or []
    models = {block["block_id"] for block in blocks if block["block_archetype_id"] == _LLM}
    has_answered = not models.isdisjoint(run.outputs)
    stand_in = ", where a stand-in plays the language model" if has_answered and not args.llm_base_url else ""
    return f" on the local Scout{stand_in}"


def _run(
    runner: Scout | Workflows,
    workflow: LoadedWorkflow | str,
    inputs: dict[str, Any],
    args: argparse.Namespace,
    options: dict[str, Any],
) -> Run:
    runs: Any = runner  # each takes its own kind of workflow
    if not args.stream:
        run: Run = runs.execute(workflow, inputs, check=False, **options)
        return run
    from scout.cli._stream import follow

    with runs.stream(workflow, inputs, check=False, **options) as stream:
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
