"""Reads the log of a run: the parsed object becomes a `RunRecord`. No I/O."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ._json import is_dict, is_mapping, objects_in, sentence, text_or_none
from .results import (
    BlockRun,
    Run,
    RunRecord,
    RunStatus,
    as_number,
    dependencies_in,
    parse_timestamp,
    state_in_output,
    with_meta,
)
from .workflow_files import LoadedWorkflow

__all__ = ["STATUSES", "record_in_log"]

STATUSES = {RunStatus.STARTED.value: "running"}
"""The statuses that the run logs call by another name than the other answers of the API."""

_FROM_LOG = {name: RunStatus(status) for status, name in STATUSES.items()}


def record_in_log(log: dict[str, Any]) -> RunRecord:
    """Return what the log of a run says. It has an id and a status; anything else in it may be missing, or be wrong.

    Args:
        log: The parsed object.
    """
    status = _status(log.get("status")) or RunStatus.STARTED
    message = _message(log.get("message"))
    definitions, entries, blocks = _blocks(log.get("blocks"))
    workflow = LoadedWorkflow({"blocks": definitions})
    output_block_id = workflow.output_block_id
    if status != RunStatus.COMPLETED and not any(map(_is_marked, definitions)):
        output_block_id = None  # it may be a block that has not run, and so is not in the log
    if status == RunStatus.COMPLETED:
        entry = entries.get(output_block_id) if output_block_id is not None else None
        known = {"inputs", *entries, *(block.id for block in blocks)}
        output_block_id, more = state_in_output(log.get("output"), output_block_id, entry, known)
        entries.update(more)
    errors = [message] if message else [block.error for block in blocks if block.error]
    started, ended = parse_timestamp(log.get("timestamp_start")), parse_timestamp(log.get("timestamp_end"))
    milliseconds = as_number(log.get("elapsed_time_ms"))
    if status == RunStatus.STARTED:
        ended = milliseconds = None  # so far, whatever stands there
    duration = milliseconds / 1000 if milliseconds is not None else None
    if duration is None and started and ended:
        duration = (ended - started).total_seconds()
    run = Run(
        id=text_or_none(log.get("workflow_run_id")),
        session_id=text_or_none(log.get("session_id")),
        workflow_id=text_or_none(log.get("workflow_id")),
        status=status,
        state=entries,
        errors=errors if status == RunStatus.FAILED else [],
        output_block_id=output_block_id,
        blocks=blocks,
        raw=log,
    )
    return RunRecord(
        run,
        cost=as_number(log.get("cost")),
        environment=text_or_none(log.get("environment")),
        revision_id=text_or_none(log.get("revision_id")),
        message=message,
        workflow_name=text_or_none(log.get("workflow_display_name")),
        started=started,
        ended=ended,
        duration=duration,
        raw=log,
    )


def _status(value: object) -> RunStatus | None:
    return _FROM_LOG.get(value) or RunStatus(value) if isinstance(value, str) and value else None


def _message(value: object) -> str:
    return "" if value is None else sentence(value)


def _is_marked(definition: dict[str, Any]) -> bool:
    return bool(definition.get("is_output") or definition.get("block_is_output"))


def _blocks(found: Any) -> tuple[list[dict[str, Any]], dict[str, Any], list[BlockRun]]:
    """Return of the blocks of a log: their definitions, their entries in the state, and their runs.

    The runs are in the order in which they started, those without a time last.
    """
    named: list[tuple[str, Any]] = list(found.items()) if is_mapping(found) else []
    named += [(block["block_id"], block) for block in objects_in(found) if isinstance(block.get("block_id"), str)]
    definitions: list[dict[str, Any]] = []
    entries: dict[str, Any] = {}
    blocks: list[BlockRun] = []
    for block_id, block in named:
        if not is_mapping(block):
            continue
        found_config, output = block.get("config"), block.get("block_output")
        config: dict[str, Any] = found_config if is_dict(found_config) else {}
        definitions.append({**config, "block_id": block_id})
        if output is not None:
            # Not documented: it may be the result, or an object that holds it.
            entries[block_id] = output if is_dict(output) and "output" in output else {"output": output}
        blocks.append(_block(block_id, block, config, entries.get(block_id)))
    return definitions, entries, sorted(blocks, key=lambda block: block.started or _LAST)


_LAST = datetime.max.replace(tzinfo=UTC)


def _block(block_id: str, block: Any, config: dict[str, Any], entry: Any) -> BlockRun:
    ended = parse_timestamp(block.get("timestamp_end"))
    has_ended = ended is not None or entry is not None
    status = _status(block.get("status")) or (RunStatus.COMPLETED if has_ended else RunStatus.STARTED)
    kinds = [block.get("block_archetype_id"), block.get("block_type"), config.get("block_archetype_id")]
    run = BlockRun(
        block_id,
        next((kind for kind in kinds if isinstance(kind, str) and kind), None),
        status,
        parse_timestamp(block.get("timestamp_start")),
        None if status == RunStatus.STARTED else ended,
        as_number(block.get("cost")),
        (_message(block.get("message")) or None) if status == RunStatus.FAILED else None,
        dependencies=dependencies_in(config),
    )
    # Not described by any source: where a log tells the model and the tokens.
    metas = [block.get("metadata"), entry.get("meta") if is_dict(entry) else None]
    return with_meta(run, {"meta": {key: value for meta in metas if is_dict(meta) for key, value in meta.items()}})
