"""Execution of a workflow, from a file or stored: the shared part of `scout run` and `scout workflows run`."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Protocol

from scout.cli import _checks, _connection, _exits, _inputs, _keeping, _places
from scout.cli._spelling import OneOf, suggestion
from scout.cli._terminal import answer, answer_json, talk

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from scout import LoadedWorkflow, Run, Scout, ScoutError, Workflows
    from scout.cli._keeping import Keeper

_OPTIONS = ("environment", "session_id", "revision_id")
_LLM = "com.scoutos.llm"
_INTERRUPTED = "if the run had started, it may go on, so make sure before you run it again"


def add_arguments(parser: argparse.ArgumentParser) -> TakesArguments:
    """Add the options of a run to a command, and return the group of those that go into the request."""
    _inputs.add_arguments(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--stream", action="store_true", help="print the output as it arrives, and the progress of the blocks"
    )
    output.add_argument("--block", metavar="ID", help="print the output of this block (default: the output block)")
    output.add_argument(
        "--json",
        action="store_true",
        help="print the whole run as one JSON object; with --stream each event as one line of JSON; errors as well",
    )
    _keeping.add_arguments(output)
    run = add_request(parser)
    run.add_argument("--session-id", metavar="ID", help="the id of the session to join (default: a new one)")
    return run


def add_request(parser: argparse.ArgumentParser) -> TakesArguments:
    """Add the options that say which revision runs to a command, and return their group."""
    from scout import Environment

    group = parser.add_argument_group("request")
    group.add_argument(
        "--environment",
        metavar="NAME",
        type=OneOf(*Environment),
        help="production, staging, development or console (default: SCOUT_ENVIRONMENT, else production)",
    )
    group.add_argument(
        "--revision-id", metavar="ID", help="the id of the revision to run (default: the one that the environment runs)"
    )
    return group


class TakesArguments(Protocol):
    """A group of arguments; argparse has no public name for it."""

    def add_argument(self, *names: str, metavar: str, help: str) -> object:  # noqa: A002 - argparse's own name
        """Add an argument."""
        ...


def carry_out(
    args: argparse.Namespace,
    load: Callable[[], LoadedWorkflow | str],
    connect: Callable[[], Scout],
    runner: Callable[[Scout], Scout | Workflows],
    *more_options: str,
    is_local: bool = False,
    streams: bool = False,
) -> int:
    """Run a workflow, print the result, and return the exit code.

    Args:
        args: The arguments of the command.
        load: A function that returns the workflow from a file, or the id of a stored one, as the runner accepts it.
        connect: A function that returns the client.
        runner: A function that returns the part of the client that runs the workflow.
        more_options: Names of further arguments that are options of the run.
        is_local: True for the embedded local Scout.
        streams: Stream the run, so that its events are known, also when they are not printed.
    """
    _inputs.one_reader_of_stdin(
        ("FILE", getattr(args, "file", None)),
        ("--inputs", args.inputs),
        *((f"the file of --input {each.name}", each.file) for each in args.input),
        *((f"the file of --set {each.name}", each.file) for each in getattr(args, "set", ())),
    )
    inputs = _inputs.gather(args.input, args.inputs)
    keeper = _keeping.Keeper(args)

    from scout import ScoutError, UnprocessableEntityError

    options = _connection.given(args, *_OPTIONS, *more_options)
    workflow: LoadedWorkflow | str = ""
    try:
        with _connection.connected(connect) as client:
            workflow = load()
            if args.block is not None and not isinstance(workflow, str) and args.block not in workflow.block_ids:
                raise _exits.UsageError(_no_block(args.block, workflow.block_ids))
            _check(workflow, inputs, args)
            if not is_local and args.replay is None:
                stored = workflow if isinstance(workflow, str) else None
                _exits.name_the_log(_connection.base_url_options(args), stored, args.session_id)
            started = time.monotonic()
            # The embedded local Scout ends with this process, and its runs with it.
            with contextlib.nullcontext() if is_local else _exits.interrupts_say(_INTERRUPTED):
                run = _run(runner(client), workflow, inputs, args, options, keeper, streams=streams)
            seconds = time.monotonic() - started
    except UnprocessableEntityError as error:
        places = () if isinstance(workflow, str) else _places.in_file(error, workflow, ["body", "workflow_config"])
        return _exits.explain(error, *places)
    except ScoutError as error:
        code = _exits.explain(error, run=_partial(error))
        partial: Run | None = getattr(error, "run", None)
        return code if partial is None else keeper.conclude(partial, code)

    where = "" if isinstance(workflow, str) or not is_local else _where(run, workflow, args)
    # What fails looks the same each time, without the time and an id that means nothing outside of this process.
    name = "the run" if is_local and not run.ok else f"run {run.id}"
    talk(f"{name} {run.status}{f' in {seconds:.2f} s' if run.ok else ''}{where}")
    if args.block is not None and run.ok and args.block not in run.outputs:
        known = list(run.outputs)
        code = _exits.refuse(_no_block(args.block, known, "that the run has an output of"), run=_as_json(run))
    elif args.stream or keeper.has_failed:
        code = _conclude(run, json=args.json)
    else:
        code = _print_json(run) if args.json else _print_text(run)
    return keeper.conclude(run, code)


def _check(workflow: LoadedWorkflow | str, inputs: Mapping[str, Any], args: argparse.Namespace) -> None:
    if isinstance(workflow, str) or args.no_check or args.replay is not None:
        return
    _checks.passed(workflow, args)
    _checks.warn_of_unknown_inputs(workflow, inputs)


def model_blocks(workflow: LoadedWorkflow) -> set[str]:
    """Return the ids of the blocks that call a language model."""
    blocks: list[Mapping[str, Any]] = workflow.config.get("blocks") or []
    return {block["block_id"] for block in blocks if block["block_archetype_id"] == _LLM}


def _where(run: Run, workflow: LoadedWorkflow, args: argparse.Namespace) -> str:
    """Return the part of the message of a local run that says where it ran, and with which language model."""
    has_answered = not model_blocks(workflow).isdisjoint(run.outputs)
    stand_in = ", where a stand-in plays the language model" if has_answered and not args.llm_base_url else ""
    return f" on the local Scout{stand_in}"


def _run(
    runner: Scout | Workflows,
    workflow: LoadedWorkflow | str,
    inputs: dict[str, Any],
    args: argparse.Namespace,
    options: dict[str, Any],
    keeper: Keeper,
    *,
    streams: bool,
) -> Run:
    runs: Any = runner  # each takes its own kind of workflow
    run: Run
    if not (args.stream or keeper.needs_times or streams):
        run = runs.execute(workflow, inputs, check=False, **options)
        keeper.keep(run)
        return _of_block(run, args.block)
    from scout.cli._stream import follow

    with runs.stream(workflow, inputs, check=False, **options) as stream:
        try:
            run = follow(stream, json=args.json, block_id=args.block) if args.stream else stream.until_done()
        except BaseException as error:  # the run was paid for: an interrupt, or a reader that left, loses nothing
            if stream.last_event is not None:
                keeper.keep(stream.run)
            if isinstance(error, KeyboardInterrupt):
                _exits.keep(_as_json(stream.run))
            raise
        keeper.keep(run)
        return _of_block(run, args.block)


def _of_block(run: Run, block_id: str | None) -> Run:
    """Return a run whose output is that of another block, unless this is `None`."""
    from dataclasses import replace  # slow to import

    return run if block_id is None else replace(run, output_block_id=block_id)


def _no_block(block_id: str, known: list[str], which: str = "of the workflow") -> str:
    blocks = f"the blocks {which} are {', '.join(known)}" if known else f"there are no blocks {which}"
    return f"--block {block_id}: there is no such block{suggestion(block_id, known)}; {blocks}"


def _partial(error: ScoutError) -> dict[str, Any] | None:
    run: Run | None = getattr(error, "run", None)
    return None if run is None else _as_json(run)


def _print_text(run: Run) -> int:
    if run.ok and run.output_block_id is not None:
        answer(run.text)
    return _conclude(run, json=False)


def _print_json(run: Run) -> int:
    from scout import RunStatus

    if run.status != RunStatus.STARTED:  # else the error holds it
        answer_json(_as_json(run))
    return _conclude(run, json=True)


def _conclude(run: Run, *, json: bool) -> int:
    """Explain on stderr why a run has no output, and return the exit code."""
    if not run.ok:
        return _explain_failure(run)
    if run.output_block_id is None and not json:
        talk(
            "the workflow has no output block, so nothing is printed; choose a block with --block, or mark one with "
            f"is_output: {', '.join(run.outputs)}"
        )
    return _exits.DONE


def _explain_failure(run: Run) -> int:
    from scout import RunFailedError, RunNotFinishedError

    try:
        run.raise_for_status()
    except RunNotFinishedError as error:
        return _exits.explain(error, run=_as_json(run))
    except RunFailedError:
        pass
    talk("; ".join(run.errors) or "the server gave no reason")
    return _exits.RUN_FAILED


def _as_json(run: Run) -> dict[str, Any]:
    return run.to_dict(decimals=True)
