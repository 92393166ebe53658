"""Streamed runs (`--stream`): the output of the run on stdout, the progress of its blocks on stderr."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from typing import TYPE_CHECKING, Any

from scout.cli._display import open_display
from scout.cli._terminal import answer, as_json, end_line, talk

if TYPE_CHECKING:
    from scout import Event, Run, RunStream


def follow(stream: RunStream, *, json: bool, block_id: str | None = None) -> Run:
    """Print a stream to its end, and return the run.

    Also when this raises, the output so far is on stdout and ends with a newline.

    Args:
        stream: The stream. The caller closes it.
        json: Print each event as one line of JSON, instead of the text of the output.
        block_id: The block whose text to print; `None` for the output block.

    Raises:
        ScoutError: as `RunStream`.
    """
    from scout import BlockStateUpdated, UnknownEvent

    display = open_display(answer_is_text=not json)
    text = _Text(stream, block_id)
    try:
        for event in stream:
            if json:
                answer(as_json(_as_json(event)), json=True)
            elif added := text.added_by(event):
                display.text(added)
            if not isinstance(event, BlockStateUpdated | UnknownEvent):
                display.show(stream.run.blocks)
        if not json and (rest := text.rest()):
            display.text(rest)
    finally:
        display.close()
        end_line()
    if not json and text.was_replaced:
        talk("the output was replaced after it had been printed; without --stream only the final output is printed")
    return stream.run


def _as_json(event: Event) -> Any:
    from scout import UnknownEvent

    if not isinstance(event, UnknownEvent):
        return event.to_dict()
    return {"name": event.name, "data": event.data} if isinstance(event.data, str) else event.data


class _Text:
    """The text of the output, from the events of a stream. `RunStream.text` would hide the events."""

    def __init__(self, stream: RunStream, block_id: str | None) -> None:
        self._stream = stream
        self._wanted = block_id
        self._block_id = block_id or stream.run.output_block_id
        self._printed = StringIO()

    def added_by(self, event: Event) -> str:
        """Return the text that the last event added to the output."""
        from scout import BlockStateUpdated, UnknownEvent

        if self._block_id is not None:
            added = self._stream.added
            return self._say(added[1]) if added is not None and added[0] == self._block_id else ""
        if isinstance(event, BlockStateUpdated | UnknownEvent):
            return ""  # these do not name the output block
        run = self._stream.run
        self._block_id = run.output_block_id
        return self._say(run.output) if isinstance(run.output, str) else ""

    def _run(self) -> Run:
        run = self._stream.run
        return run if self._wanted is None else replace(run, output_block_id=self._wanted)

    def _say(self, words: str) -> str:
        self._printed.write(words)
        return words

    def rest(self) -> str:
        """Return the output of a completed run whose events held no text: it is not text, or was sent as a whole."""
        run = self._run()
        return self._say(run.text) if run.ok and not self._printed.getvalue() else ""

    @property
    def was_replaced(self) -> bool:
        """True when the output differs from the text of the events."""
        run = self._run()
        return run.ok and run.text != self._printed.getvalue()
