"""The command `scout batch`: run a workflow once for each row of a file."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scout.cli import (
    _batch_job,
    _batch_results,
    _batch_rows,
    _checks,
    _connection,
    _execution,
    _exits,
    _inputs,
    _local_options,
    _variants,
    _workflow,
)
from scout.cli._spelling import OneOf
from scout.cli._terminal import talk

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from scout import DaskEngine, Scout
    from scout.cli._batch_job import Variant

DESCRIPTION = """\
Run a workflow once for each row of a file, many at a time. Columns that have the name of an input are sent. Without
--output each result is a line of JSON on stdout. With it the results are written when the batch has ended, and a
journal beside them notes each run before it is sent, so that --resume goes on after an interruption and sends nothing
twice.

examples:
  scout batch workflow.yml rows.csv -o results.csv --local
  scout batch workflow.yml rows.jsonl -o results.jsonl --resume --concurrency 100 --rate 40
  scout batch workflow.yml rows.csv -o both.csv --variant now= --variant terse=terse.yml --limit 50
  scout batch key:greeting rows.csv --column user_message=question --limit 3
  generate | scout batch workflow.yml - | consume
"""

_JOURNAL = ".journal"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "file", metavar="FILE", help="the workflow, as YAML or JSON; the id of a stored one, or key:NAME"
    )
    _batch_rows.add_arguments(parser)
    _variants.add_argument(parser)
    _variants.add_named(parser)
    group = parser.add_argument_group("output")
    group.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="write the results to this file, which ends in .jsonl, .csv or .parquet (that needs pyarrow; "
        "default: JSON Lines on stdout)",
    )
    group.add_argument("--overwrite", action="store_true", help="begin anew, and replace results and journal")
    group.add_argument("--runs", action="store_true", help="write the whole run into each result of JSON Lines")
    group.add_argument(
        "--json", action="store_true", help="with --output, print the numbers at the end as one JSON object"
    )
    _add_pace(parser.add_argument_group("batch"))
    request = _execution.add_request(parser)
    request.add_argument("--workflow-key", metavar="KEY", help="the key of the workflow to which runs are attributed")
    _checks.add_argument(parser)
    _connection.add_base_url(parser)
    _connection.add_arguments(parser)
    _local_options.add_arguments(parser, with_switch=True)
    parser.set_defaults(handler=_run)


def _add_pace(group: Any) -> None:
    group.add_argument("--concurrency", type=int, default=32, metavar="N", help="runs at the same time (default: 32)")
    group.add_argument("--rate", type=float, metavar="N", help="requests per second at most (default: no limit)")
    group.add_argument(
        "--resume",
        action="store_true",
        help="go on with an earlier batch, and send only what has not ended; without a journal, begin",
    )
    group.add_argument("--journal", metavar="PATH", help=f"the journal (default: OUT{_JOURNAL}; without --output none)")
    group.add_argument(
        "--unknown",
        metavar="WHAT",
        type=OneOf("ask", "skip", "rerun"),
        default="ask",
        help="with --resume, what becomes of rows whose run may have started in an earlier batch: ask on a terminal, "
        "elsewhere leave them open (default); skip them for good; or rerun them",
    )
    group.add_argument(
        "--stop-after-failures", type=int, metavar="N", help="send no more when N rows have failed (default: never)"
    )
    group.add_argument(
        "--stream", action="store_true", help="stream the runs underneath, so that --timeout is from event to event"
    )
    group.add_argument("--dask", metavar="ADDRESS", help="run on a Dask cluster, such as tcp://scheduler:8786")


# --- Before anything is sent --------------------------------------------------------------------------------------


def _run(args: argparse.Namespace) -> int:
    from scout import ScoutError

    try:
        return _prepare(args)
    except ScoutError as error:
        return _exits.explain(error)


def _prepare(args: argparse.Namespace) -> int:
    stored = args.file.startswith("key:") or _is_stored_id(args.file)
    _check_options(args, is_stored=stored)
    target = None if args.output is None else _batch_results.Target(args.output)
    variants = _load(args, is_stored=stored)
    _check_files(args, variants)
    with _batch_rows.opened(args.rows, args.limit, args.column, again=len(variants) > 1) as rows:
        first = variants[0].workflow
        sending = _batch_rows.decide(args, None if isinstance(first, str) else first, rows)
        if rows.total == 0:
            talk(f"{rows.name} has no rows")
        folder = Path(args.file).parent
        with (
            _connection.connected(lambda: _local_options.connect(args, folder), many=True) as client,
            _engine(args.dask) as engine,
        ):
            if args.overwrite:
                _discard_journals(client, variants)
            return _batch_job.carry_out(_batch_job.Setup(args, client, engine, variants, rows, sending, target))


def _engine(address: str | None) -> AbstractContextManager[DaskEngine | None]:
    if address is None:
        return contextlib.nullcontext()
    from scout import DaskEngine

    return DaskEngine.connect(address)


def _discard_journals(client: Scout, variants: list[Variant]) -> None:
    """Remove the journals of an earlier batch. Its results stay until there are new ones.

    Raises:
        JournalError: one of them is not a journal, or another process has it open.
    """
    for variant in variants:
        if variant.journal is not None and os.path.lexists(variant.journal):
            for _ in client.batch(variant.workflow, [], journal=variant.journal):
                pass  # there are no rows: this opens the journal, which raises the error
            Path(variant.journal).unlink()


def _is_stored_id(word: str) -> bool:
    from scout import is_workflow_id

    return is_workflow_id(word) and not Path(word).exists()


def _check_options(args: argparse.Namespace, *, is_stored: bool) -> None:
    _local_options.check(args)
    refusals = {
        "--json prints the numbers at the end, and stdout has the results; give --output": args.json
        and not args.output,
        "--runs is for results of JSON Lines, and --output has another form": args.runs
        and args.output is not None
        and not args.output.lower().endswith(_batch_results.JSON_LINES),
        "--resume needs a journal; give --output or --journal": args.resume and not (args.output or args.journal),
        "--overwrite begins anew, and --resume goes on; give one of them": args.overwrite and args.resume,
        "--dask runs on other machines, and --local on this one; start `scout local`, and give its address as "
        "--base-url": args.dask is not None and args.local,
        "a stored workflow is run as it is stored; --local, --set and --variant are for files": is_stored
        and bool(args.local or args.set or args.variant),
        "--workflow-key is for a file, and a stored workflow has its own": is_stored and args.workflow_key is not None,
    }
    for message, applies in refusals.items():
        if applies:
            raise _exits.UsageError(message)
    for name, count in Counter(variant.name for variant in args.variant).items():
        if count > 1:
            raise _exits.UsageError(f"--variant {name} is given twice; give each another name")
    _inputs.one_reader_of_stdin(
        ("FILE", args.file),
        ("ROWS", args.rows),
        *((f"the file of --input {each.name}", each.file) for each in args.input),
        *((f"the file of --set {each.name}", each.file) for each in args.set),
        *((f"the patch of --variant {each.name}", each.file) for each in args.variant),
    )


def _load(args: argparse.Namespace, *, is_stored: bool) -> list[Variant]:
    """Return what runs: the workflow, or its variants. They have been checked."""
    journal: str | None = args.journal or (None if args.output is None else args.output + _JOURNAL)
    if is_stored:
        return [_batch_job.Variant("", args.file, journal)]
    workflow = _variants.vary(_workflow.load(args.file), args.set)
    variants: list[Variant] = []
    said: set[str] = set()
    for each in args.variant or [_variants.Variant("", "")]:
        varied = _variants.vary(workflow, _variants.read_patch(each, workflow))
        _checks.passed(varied, args, said)
        own = f"{journal}.{each.name}" if journal is not None and each.name else journal
        variants.append(_batch_job.Variant(each.name, varied, own))
    if workflow.output_block_id is None and not args.no_check:
        talk("warning: the workflow has no output block, so results have no output; mark one with is_output")
    return variants


def _check_files(args: argparse.Namespace, variants: list[Variant]) -> None:
    """Refuse to write over what is there, and to begin anew what could go on."""
    files = {"ROWS": args.rows, "FILE": args.file, "--output": args.output}
    journals = [each.journal for each in variants]
    named: dict[str, str] = {}
    for what, name in [*files.items(), *(("the journal", journal) for journal in journals)]:
        if name is not None and name != "-":
            other = named.setdefault(os.path.realpath(name), what)
            if other != what:
                raise _exits.UsageError(f"{other} and {what} are the same file, {name}")
    there = [name for name in (args.output, *journals) if name is not None and os.path.lexists(name)]
    if there and not args.resume and not args.overwrite:
        raise _exits.UsageError(f"{there[0]} exists already; --resume goes on with that batch, --overwrite begins anew")
