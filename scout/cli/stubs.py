"""The command `scout stubs`: a file of stubs for the blocks that the local Scout cannot run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scout.cli import _exits
from scout.cli._local_options import STUBS
from scout.cli._terminal import answer, talk

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

_LLM = "com.scoutos.llm"

DESCRIPTION = """\
Write a file with an output for each block of a workflow that the local Scout cannot run, for you to edit.
`scout run --local` finds it as stubs.yml beside the workflow. No file is overwritten.

examples:
  scout stubs workflow.yml
  scout stubs workflow.yml -o tests/stubs.yml
"""

_HEADING = """\
# Outputs of the blocks that the local Scout cannot run: put in what the real blocks give.
# A list gives one item per call; a list that is itself an output stands in another list.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("file", metavar="FILE", help="the workflow, as YAML or JSON")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help=f"the file to write, or '-' for stdout (default: {STUBS} beside FILE)"
    )
    parser.set_defaults(handler=_stubs)


def _stubs(args: argparse.Namespace) -> int:
    from scout import WorkflowFileError, load_workflow

    try:
        workflow = load_workflow(args.file, require_fields=True)
    except WorkflowFileError as error:
        return _exits.explain(error)
    blocks: Sequence[Mapping[str, Any]] = workflow.config.get("blocks") or []
    stubs = _outputs(blocks)
    if not stubs:
        talk("the local Scout can run every block, so no stubs are needed")
        return _exits.DONE
    text = _as_yaml(stubs, {block["block_id"]: block for block in blocks})
    if args.output == "-":
        answer(text)
        return _exits.DONE
    path = Path(args.file).parent / STUBS if args.output is None else Path(args.output)
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        raise _exits.UsageError(f"{path} exists already; -o names another file") from None
    answer(str(path))
    return _exits.DONE


def _outputs(blocks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return an output for each block that the local Scout cannot run, with the fields that templates use."""
    try:
        from scout.cli._shapes import TEXT, shapes
    except ImportError:
        raise _exits.UsageError("scout stubs needs jinja2: pip install 'scout-workflows[local]'") from None
    from scout.local import can_run

    names = [block["block_id"] for block in blocks]
    used = shapes([block.get("block_inputs") for block in blocks], names)
    stubs: dict[str, Any] = {}
    for block in blocks:
        name, archetype = block["block_id"], block["block_archetype_id"]
        output = used[name]
        # The stand-in for a language model answers with text, or with fields of its own.
        if not can_run(archetype) or (archetype == _LLM and output != TEXT):
            stubs[name] = [output] if isinstance(output, list) else output
    return stubs


def _as_yaml(stubs: Mapping[str, Any], blocks: Mapping[str, Mapping[str, Any]]) -> str:
    from scout._layout import write_yaml

    parts = [_HEADING]
    for name, output in stubs.items():
        block = blocks[name]
        # As one line, without what could end a comment.
        words = " ".join(f"{block['block_display_name'] or name} ({block['block_archetype_id']})".split())
        comment = "".join(character if character.isprintable() else "?" for character in words)
        parts.append(f"# {comment}\n{write_yaml({name: output})}")
    return "\n".join(parts)
