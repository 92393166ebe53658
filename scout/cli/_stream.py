"""`scout run --stream`: a run as it happens, its answer on stdout and its blocks on stderr."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

from scout.cli._progress import open_progress
from scout.cli._terminal import answer, as_json, end_line, piece, talk

if TYPE_CHECKING:
    from scout import Event, Run, RunStream

_REMEMBERED = 256  # events, among which one that is sent twice is known


def follow(stream: RunStream, *, json: bool) -> Run:
    """Show a stream to its end; return the run.

    What has come stays on stdout, ended by a newline, also when this raises.

    Args:
        stream: What to follow. The caller closes it.
        json: Print the events, each as one line of JSON, and not the text of the answer.

    Raises:
        ScoutError: what `RunStream` raises.
    """
    from scout import BlockStateUpdated, UnknownEvent

    progress = open_progress(answer_is_text=not json)
    text = _Text(stream)
    try:
        for event in stream:
            if json:
                answer(as_json(event.data if isinstance(event, UnknownEvent) else event.to_dict()), json=True)
            elif added := text.added_by(event):
                progress.make_room()
                piece(added)
            if not isinstance(event, BlockStateUpdated | UnknownEvent):
                progress.show(stream.run.blocks)
        if not json and (rest := text.rest()):
            progress.make_room()
            piece(rest)
    finally:
        progress.close()
        end_line()
    if not json and text.was_replaced:
        talk("the answer was replaced after it had been printed; without --stream only the last one is")
    return stream.run


class _Text:
    """The answer's text out of the events of a stream. `RunStream.text` would keep the events to itself."""

    def __init__(self, stream: RunStream) -> None:
        self._stream = stream
        self._block_id = stream.run.output_block_id
        self._said = StringIO()
        self._recent: dict[Any, None] = {}

    def added_by(self, event: Event) -> str:
        """What the last event of the stream adds."""
        from scout import BlockStateUpdated, UnknownEvent

        if isinstance(event, UnknownEvent):
            return ""
        if self._block_id is not None and isinstance(event, BlockStateUpdated):
            data = event.data
            words = data.update_data.additional_properties.get("output")
            if data.update_type != "complete" and isinstance(words, str):
                # The common case, without a look at all of the run.
                if data.block_id == self._block_id and not self._is_repeated(event.id, words):
                    return self._say(words)
                if isinstance(data.block_id, str):
                    return ""
        return self._caught_up()

    def _is_repeated(self, event_id: Any, words: str) -> bool:
        if not isinstance(event_id, str):
            return False
        mark = (event_id, words)
        if mark in self._recent:
            return True
        self._recent[mark] = None
        if len(self._recent) > _REMEMBERED:
            del self._recent[next(iter(self._recent))]
        return False

    def _caught_up(self) -> str:
        run = self._stream.run
        self._block_id = run.output_block_id
        said = self._said.getvalue()
        new = run.output if isinstance(run.output, str) and run.output.startswith(said) else said
        return self._say(new[len(said) :])

    def _say(self, words: str) -> str:
        self._said.write(words)
        return words

    def rest(self) -> str:
        """What a run that has completed says beyond its events: an output that is no text, or came whole."""
        run = self._stream.run
        return self._say(run.text) if run.ok and not self._said.getvalue() else ""

    @property
    def was_replaced(self) -> bool:
        """Whether the answer is another than what the events added up to."""
        run = self._stream.run
        return run.ok and run.text != self._said.getvalue()
