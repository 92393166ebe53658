"""The command `scout show`: show a run that was saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scout.cli import _exits, _inputs, _keeping
from scout.cli._terminal import answer, answer_json, escape, talk

if TYPE_CHECKING:
    import argparse

    from scout import Run

DESCRIPTION = """\
Show a run that `scout run --save` wrote: how it ended, its output, and its blocks over time. The JSON of
`scout run --json`, of `Run.to_dict()` and of the API itself will do as well.

examples:
  scout show run.json
  scout show run.json --timeline run.svg
  curl ... | scout show -
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("file", metavar="FILE", help="the run, as JSON; '-' for stdin")
    output = parser.add_argument_group("output")
    output.add_argument(
        "--timeline", metavar="OUT.svg", type=_keeping.picture_name, help="draw the blocks over time as a picture"
    )
    _exits.add_json(parser, "print the run as one JSON object")
    parser.set_defaults(handler=_show)


def _show(args: argparse.Namespace) -> int:
    run = _read(args.file)
    if args.timeline is not None:
        code = _keeping.draw(run.timeline(), args.timeline)
        if code != _exits.DONE or not args.json:
            return code
    if args.json:
        answer_json(run.to_dict(decimals=True))
    else:
        print_output(run)
        print_blocks(run)
    return _exits.DONE


def print_output(run: Run) -> None:
    """Print the output of a run, or why it has none."""
    if run.ok and run.output_block_id is None:
        talk(f"the run has no output block; its outputs are in --json: {', '.join(run.outputs)}")
    said = run.text if run.ok else "\n".join(run.errors) or run.text
    if said:
        answer(escape(said))
        answer("")


def print_blocks(run: Run) -> None:
    """Print the blocks of a run over time."""
    answer(escape(_keeping.text_of(run.timeline())))


def _read(name: str) -> Run:
    from scout import ConfigurationError, Run
    from scout._json import parse_json

    source = "stdin" if name == "-" else name
    text = _inputs.read_text(name, f"the run {name}")
    try:
        data = parse_json(text)
    except (ValueError, RecursionError) as error:
        is_lines = text.startswith("{") and str(error).startswith("Extra data")
        hint = "; the events of --stream --json are not a run: write that with --save" if is_lines else ""
        raise _exits.UsageError(f"{source} is not a run: it is not JSON: {error}{hint}") from None
    match data:
        case {"error": {"run": run}}:  # what `scout run --json` prints for a run without a result
            data = run
        case _:
            pass
    try:
        return Run.from_dict(data)
    except ConfigurationError as error:
        raise _exits.UsageError(f"{source} is not a run: {error}") from None
