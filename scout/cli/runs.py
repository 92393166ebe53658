"""The command `scout runs`: what became of runs of stored workflows, as the run logs of Scout tell."""

from __future__ import annotations

import argparse
import math
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from scout.cli import _connection, _exits, _keeping, _references, show
from scout.cli._references import reference
from scout.cli._spelling import OneOf, filled
from scout.cli._table import Table, plain, time_of, up_to
from scout.cli._terminal import answer, answer_array, answer_json, talk

if TYPE_CHECKING:
    from collections.abc import Callable

    from scout import RunRecord, Runs

DESCRIPTION = """\
Look up what became of runs of stored workflows, in the run logs of Scout. Nothing is run, and nothing is sent again.
Use --json in programs: tables and messages may change.

examples:
  scout runs list hello --since 2h
  scout runs list hello --status failed --limit 10
  scout runs show hello run_8899aabbccddeeff
  scout runs find hello scout-cli-1122334455667788
"""

_RUN, _SESSION = "run_8899aabbccddeeff", "scout-cli-1122334455667788"  # of the examples

_RUNNING = "running"  # the word of the log for a run that goes on
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(rf"([0-9]+(?:\.[0-9]+)?)([{''.join(_UNITS)}])")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    what = "list the runs of a stored workflow, as the server orders them: usually the newest first"
    each = _action(actions.add_parser, "list", what, _list, "hello --since 2h", "hello --status failed --json")
    group = each.add_argument_group("which")
    group.add_argument(
        "--since",
        metavar="TIME",
        type=_moment,
        help="only runs from this time on: as long ago as 30m, 2h or 3d, or a date, or a date and a time in ISO 8601, "
        "which are in the time zone of this machine unless they name one",
    )
    group.add_argument(
        "--until", metavar="TIME", type=_moment, help="only runs up to this time, written in the same way"
    )
    group.add_argument(
        "--status",
        metavar="STATUS",
        type=OneOf("completed", "failed", _RUNNING),
        help=f"only runs with this status: completed, failed or {_RUNNING}",
    )
    group.add_argument("--session-id", metavar="ID", type=filled, help="only runs of this session")
    group.add_argument("--limit", type=int, metavar="N", help="the maximum number of runs")
    _exits.add_json(each, "print a JSON array, with the whole log of one run per line")

    what = "show a run: output, blocks, prices and a timeline"
    examples = (f"hello {_RUN}", f"hello --session-id {_SESSION} --save run.json")
    each = _action(actions.add_parser, "show", what, _show, *examples)
    each.add_argument("run_id", metavar="RUN", nargs="?", type=filled, help="the id of the run")
    each.add_argument(
        "--session-id",
        metavar="ID",
        type=filled,
        help="the run of this session, instead of RUN; of a session with several runs, Scout decides which one",
    )
    group = each.add_argument_group("output")
    group.add_argument("--save", metavar="FILE", help="write the run to a new file, for `scout show`")
    group.add_argument(
        "--timeline", metavar="OUT.svg", type=_keeping.picture_name, help="draw the blocks over time as a picture"
    )
    _exits.add_json(each, "print the log as Scout has it, as one JSON object")

    what = "wait until it is certain what became of the run of a session, and print its output"
    each = _action(
        actions.add_parser, "find", what, _find, f"hello {_SESSION}", f"hello {_SESSION} --within 300 --json"
    )
    each.description = f"{each.description}\n\n{_FIND}"
    each.add_argument(
        "session",
        metavar="SESSION",
        type=filled,
        help="the id of the session of the run, as the error message names it",
    )
    each.add_argument(
        "--within",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="how long to ask the log; 0 asks once (default: 30)",
    )
    _exits.add_json(each, "print the log as Scout has it, as one JSON object")


_FIND = """\
Exits with 0 when the run completed, with 1 when it failed, and with 3 when it still runs or is not in the log. A run
that is not in the log may have started all the same: ask again, before you run the workflow again."""


def _action(
    add_parser: Callable[..., argparse.ArgumentParser],
    name: str,
    what: str,
    handler: Callable[[Runs, argparse.Namespace], int],
    *examples: str,
) -> argparse.ArgumentParser:
    def handle(args: argparse.Namespace) -> int:
        from scout import ScoutError

        try:
            with _connection.connected(lambda: _connection.connect(args)) as client:
                return handler(client.runs, args)
        except ScoutError as error:
            return _exits.explain(error)

    lines = [f"  scout runs {name} {example}" for example in examples]
    description = "\n".join([f"{what[0].upper()}{what[1:]}.", "", "examples:", *lines])
    parser = add_parser(name, help=what, description=description)
    _references.add_id(parser)
    for title in ("which", "output"):  # before the connection, in the help
        parser.add_argument_group(title)
    _connection.add_base_url(parser)
    _connection.add_arguments(parser)
    parser.set_defaults(handler=handle)
    return parser


def _moment(text: str) -> datetime:
    """Return the time of `--since` and `--until`, with its time zone."""
    try:
        if ago := _AGO.fullmatch(text):
            return datetime.now().astimezone() - timedelta(**{_UNITS[ago[2]]: float(ago[1])})
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo is not None else moment.astimezone()
    except (ValueError, OverflowError, OSError):  # the last two for times that no calendar has
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time such as 30m, 2h, 3d, 2026-11-27 or 2026-11-27T09:30:00Z"
        ) from None


# --- Actions ------------------------------------------------------------------------------------------------------


def _list(runs: Runs, args: argparse.Namespace) -> int:
    if args.since is not None and args.until is not None and args.since > args.until:
        raise _exits.UsageError(f"--since ({args.since}) is later than --until ({args.until})")
    options = _connection.given(args, "since", "until", "status", "session_id", "limit")
    # What a summary leaves out is not documented, so --json gets the whole.
    pages = runs.list(reference(args.id), summary_only=not args.json, **options).pages()
    found = up_to(args.limit, (page.records for page in pages))
    if args.json:
        answer_array(each.raw for several in found for each in several)
        return _exits.DONE
    table = Table("STARTED", "STATUS", "DURATION", "COST", "ENVIRONMENT", "RUN", "SESSION")
    for several in found:
        table.add(map(_row, several))
    if not table.has_rows:
        wanted = (args.since, args.until, args.status, args.session_id)
        talk("the log has no runs" if wanted == (None,) * len(wanted) else "the log has no such run")
    return _exits.DONE


def _row(record: RunRecord) -> tuple[str, ...]:
    return (
        time_of(record.started),
        plain(_status(record)),
        _seconds(record),
        _cost(record),
        plain(record.environment),
        plain(record.id),
        plain(record.session_id),
    )


def _show(runs: Runs, args: argparse.Namespace) -> int:
    from scout import NotFoundError

    if (args.run_id is None) == (args.session_id is None):
        raise _exits.UsageError("show needs the run: either RUN or --session-id ID")
    keeper = _keeping.Keeper(args)
    try:
        record = runs.get(reference(args.id), run_id=args.run_id, **_connection.given(args, "session_id"))
    except NotFoundError as error:
        workflow_exists = error.body is not None  # otherwise no workflow has the key, and the logs were not asked
        if args.run_id is not None and workflow_exists:
            error.add_note(f"if {args.run_id} is a session and not a run, give it as --session-id {args.run_id}")
        raise
    keeper.keep(record.run)
    talk(_facts(record))
    if args.json and not keeper.has_failed:
        answer_json(record.raw)
    elif args.timeline is None and not keeper.has_failed:
        show.print_output(record.run)
        if record.run.blocks:
            show.print_blocks(record.run)
    return keeper.conclude(record.run, _exits.DONE)


def _find(runs: Runs, args: argparse.Namespace) -> int:
    from scout import RunStatus

    workflow_id = reference(args.id)
    if not 0 <= args.within < math.inf:
        raise _exits.UsageError(f"--within must be 0 seconds or more, not {args.within:g}")
    talk(f"asking the run log for session {args.session}, for at most {args.within:g} s")
    record = runs.find(args.session, workflow_id=workflow_id, **_connection.given(args, "within"))
    if record is None:
        message = (
            f"the run log has no run of session {args.session} yet; it may have started all the same, so ask again"
        )
        facts = {"session_id": args.session, "workflow_id": None if workflow_id.startswith("key:") else workflow_id}
        talk(message)
        return _exits.report("RunNotFound", message, _exits.API, run_may_have_started=True, **facts)
    talk(_facts(record))
    run = record.run
    if run.status == RunStatus.COMPLETED:
        return _print(record, as_json=args.json)
    if run.status == RunStatus.FAILED:
        if args.json:
            answer_json(record.raw)
        talk("; ".join(run.errors) or record.message or "the log gives no reason")
        return _exits.RUN_FAILED
    message = f"run {run.id} has not ended; ask again"
    talk(message)
    facts = {"session_id": run.session_id, "workflow_id": run.workflow_id, "run": run.to_dict(decimals=True)}
    return _exits.report("RunNotFinishedError", message, _exits.API, run_may_have_started=True, **facts)


def _print(record: RunRecord, *, as_json: bool) -> int:
    if as_json:
        answer_json(record.raw)
    elif record.run.output_block_id is None:
        talk("the log does not say which output is that of the run; `scout runs show --json` has all of them")
    else:
        answer(record.run.text)
    return _exits.DONE


# --- Texts --------------------------------------------------------------------------------------------------------


def _facts(record: RunRecord) -> str:
    """Return one line about a run: what its output and its timeline do not tell."""
    took, cost = _seconds(record), _cost(record)
    facts = [
        f"run {plain(record.id)} {plain(_status(record))}{f' in {took}' if took else ''}",
        f"cost {cost}" if cost else None,
        plain(record.environment),
        f"revision {plain(record.revision_id)}" if record.revision_id else None,
        f"session {plain(record.session_id)}" if record.session_id else None,
    ]
    return ", ".join(filter(None, facts))


def _status(record: RunRecord) -> str:
    from scout import RunStatus

    return _RUNNING if record.status == RunStatus.STARTED else record.status


def _seconds(record: RunRecord) -> str:
    return "" if record.duration is None else f"{record.duration:.2f} s"


def _cost(record: RunRecord) -> str:
    return "" if record.cost is None else f"{record.cost:.8f}".rstrip("0").rstrip(".")
