"""Server-sent events: every example of the WHATWG standard, and the same events however the stream is cut."""

import asyncio
import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import KEY, WORKFLOW, Caller, Server, chunked

from scout._sse import EventTooLargeError, ServerSentEvent, SSEDecoder, is_stream

BOM = b"\xef\xbb\xbf"
LIMIT = 64 * 1024 * 1024

Told = tuple[str, str, str]
"""The data, the kind and the id of one event, as text."""


def events(*pieces: bytes, limit: int = LIMIT) -> list[ServerSentEvent]:
    decoder = SSEDecoder(limit)
    return [event for piece in pieces for event in decoder.feed(piece)]


def told(*pieces: bytes) -> list[Told]:
    return [(event.data.decode(), event.event, event.id) for event in events(*pieces)]


def data(*pieces: bytes) -> list[str]:
    return [event.data.decode() for event in events(*pieces)]


def bytewise(stream: bytes) -> Iterator[bytes]:
    return (stream[at : at + 1] for at in range(len(stream)))


def reference(stream: bytes) -> list[Told]:
    """The standard's algorithm, line by line, on the whole stream at once."""
    text = stream.decode("utf-8").removeprefix("\ufeff")
    *lines, _unfinished = re.split("\r\n|\n|\r", text)
    found: list[Told] = []
    buffer, kind, last_id = "", "", ""
    for line in lines:
        if not line:
            if buffer:
                found.append((buffer[:-1], kind or "message", last_id))
            buffer, kind = "", ""
            continue
        if line.startswith(":"):
            continue
        name, colon, value = line.partition(":")
        if colon and value.startswith(" "):
            value = value[1:]
        if name == "data":
            buffer += value + "\n"
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            last_id = value
    return found


# --- The examples of the standard, section 9.2 -----------------------------------------------------------


EXAMPLES: dict[str, tuple[bytes, list[Told]]] = {
    "three messages": (
        (
            b"data: This is the first message.\n\n"
            b"data: This is the second message, it\ndata: has two lines.\n\n"
            b"data: This is the third message.\n\n"
        ),
        [
            ("This is the first message.", "message", ""),
            ("This is the second message, it\nhas two lines.", "message", ""),
            ("This is the third message.", "message", ""),
        ],
    ),
    "kinds": (
        b"event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\nevent: add\ndata: 113411\n\n",
        [("73857293", "add", ""), ("2153", "remove", ""), ("113411", "add", "")],
    ),
    "the stock ticker": (b"data: YHOO\ndata: +2\ndata: 10\n\n", [("YHOO\n+2\n10", "message", "")]),
    "comment, ids, and a leading space": (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        [("first event", "message", "1"), ("second event", "message", ""), (" third event", "message", "")],
    ),
    "empty data, and data that never ends": (
        b"data\n\ndata\ndata\n\ndata:",
        [("", "message", ""), ("\n", "message", "")],
    ),
    "one space after the colon is ignored": (
        b"data:test\n\ndata: test\n\n",
        [("test", "message", ""), ("test", "message", "")],
    ),
}


@pytest.mark.parametrize("ending", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of_the_standard(name: str, ending: bytes) -> None:
    stream, expected = EXAMPLES[name]
    stream = stream.replace(b"\n", ending)
    assert told(stream) == told(*bytewise(stream)) == reference(stream) == expected
    for cut in range(len(stream)):
        assert told(stream[:cut], stream[cut:]) == expected
    assert told(BOM + stream) == told(*bytewise(BOM + stream)) == expected


def test_a_line_end_may_be_cut_in_two() -> None:
    assert data(b"data: a\r", b"\n\r", b"\ndata: b\r", b"\n", b"\r\n") == ["a", "b"]
    assert data(b"data: a\r", b"", b"\n", b"", b"\r\n") == ["a"]


def test_a_cr_ends_an_event_without_waiting_for_what_follows() -> None:
    assert data(b"data: a\r\r") == ["a"]
    assert data(b"data: a\r\n\r") == ["a"]


def test_line_ends_may_be_mixed() -> None:
    assert data(b"data: a\rdata: b\ndata: c\r\n\rdata: d\n\r") == ["a\nb\nc", "d"]


def test_an_lf_after_a_cr_is_swallowed_once() -> None:
    assert data(b"data: a\r\n\n", b"data: b\n\r", b"\n", b"\ndata: c\n\n") == ["a", "b", "c"]
    assert data(b"data: a\r", b"\n", b"\n") == ["a"]
    assert data(b"data: a\r", b"\n", b"", b"\n") == ["a"]


def test_the_byte_order_mark_counts_only_at_the_start() -> None:
    assert data(BOM[:1], BOM[1:2], BOM[2:] + b"data: a\n\n") == ["a"]
    assert data(b"", BOM, b"", b"data: a\n\n") == ["a"]
    assert data(b"data: a\n\n" + BOM + b"data: b\n\n") == ["a"]
    assert data(BOM + BOM + b"data: a\n\ndata: b\n\n") == ["b"]
    assert data(b"data: \xef\xbb\xbf\n\n") == ["\ufeff"]


def test_what_only_begins_like_a_byte_order_mark_is_content() -> None:
    assert events(b"\xef", b"\xbb", b"data: a\n\ndata: b\n\n") == [ServerSentEvent(b"b")]


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c", "\x1e", "\0", "😀"])
def test_other_line_breaks_are_ordinary_characters(character: str) -> None:
    stream = f"data: a{character}b\nevent: x{character}y\n\n".encode()
    assert told(*bytewise(stream)) == told(stream) == [(f"a{character}b", f"x{character}y", "")]


def test_nothing_is_dispatched_without_data() -> None:
    assert told(b"event: a\n\nid: 7\n\n\n\n: comment\n\nretry: 1\n\ndata: x\n\n") == [("x", "message", "7")]


def test_the_kind_is_forgotten_and_the_id_is_kept() -> None:
    stream = b"event: a\nid: 1\ndata: x\n\ndata: y\n\nid: with\0nul\ndata: z\n\nid:\ndata: last\n\n"
    assert told(stream) == [("x", "a", "1"), ("y", "message", "1"), ("z", "message", "1"), ("last", "message", "")]


def test_the_last_of_several_kinds_and_ids_counts() -> None:
    assert told(b"event: a\nevent: b\nid: 1\nid: 2\ndata: x\n\n") == [("x", "b", "2")]
    assert told(b"event: a\nevent:\ndata: x\n\n") == [("x", "message", "")]


def test_unknown_fields_and_fields_in_capitals_are_ignored() -> None:
    assert data(b"Data: a\n data: b\nfoo: c\ndata : d\nDATA\n\ndata: e\n\n") == ["e"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"retry: 1500", 1500),
        (b"retry:0", 0),
        (b"retry: 1.5", None),
        (b"retry: -1", None),
        (b"retry: \xd9\xa1", None),
        (b"retry", None),
        (b"retry: 1 ", None),
    ],
)
def test_retry_is_digits_alone(line: bytes, expected: int | None) -> None:
    decoder = SSEDecoder(LIMIT)
    assert list(decoder.feed(line + b"\n\n")) == []
    assert decoder.retry == expected


def test_a_retry_with_thousands_of_digits_costs_nothing() -> None:
    assert data(b"retry: " + b"9" * 5000 + b"\ndata: a\n\n") == ["a"]


def test_data_that_is_no_utf8_stays_as_it_is() -> None:
    (event,) = events(b"event: \xff\nid: \xff\ndata: \xff\xfe\n\n")
    assert event == ServerSentEvent(b"\xff\xfe", "\ufffd", "\ufffd")


@pytest.mark.parametrize(
    ("stream", "left"),
    [
        (b"", b""),
        (b"data: a\n\n", b""),
        (b"data: a\n\n\n\n", b""),
        (b"data: a\n", b"a"),
        (b"data: a\n\ndata: b\ndata: c", b"b\ndata: c"),
        (b"dat", b"dat"),
    ],
)
def test_what_is_left_over(stream: bytes, left: bytes) -> None:
    decoder = SSEDecoder(LIMIT)
    for piece in bytewise(stream):
        list(decoder.feed(piece))
    assert decoder.left() == left


# --- Any cut of any stream -------------------------------------------------------------------------------


SPECIAL = "\u2028\u2029\u0085\0\ufeff\x0b\x0c\x1c😀é :"
LINE = st.text(
    st.one_of(st.sampled_from(SPECIAL), st.characters(exclude_categories=["Cs"], exclude_characters="\r\n")),
    max_size=12,
)
NOISE = st.one_of(
    LINE.map(lambda text: f":{text}"),
    st.integers(0, 10**6).map(lambda number: f"retry: {number}"),
    st.sampled_from(["foo: bar", "foo", "Data: x", "retry: soon"]),
)


@st.composite
def streams(draw: Callable[..., Any]) -> tuple[bytes, list[Told]]:
    """A stream, and the events that it was made from."""
    parts: list[str] = []
    expected: list[Told] = []
    after_cr = False
    last_id = ""

    def line(text: str) -> None:
        nonlocal after_cr
        # An empty line that ends in LF, after a CR, would be one line end and not two.
        ending = draw(st.sampled_from(["\r", "\r\n", "\n"] if text or not after_cr else ["\r", "\r\n"]))
        parts.append(text + ending)
        after_cr = ending == "\r"

    def field(name: str, value: str) -> None:
        if not value:
            line(draw(st.sampled_from([name, f"{name}:", f"{name}: "])))
        else:
            space = " " if value.startswith(" ") or draw(st.booleans()) else ""
            line(f"{name}:{space}{value}")

    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.one_of(st.none(), LINE))
        new_id = draw(st.one_of(st.none(), LINE))
        values = draw(st.lists(LINE, max_size=4))
        if kind is not None:
            field("event", kind)
        for value in values:
            if draw(st.booleans()):
                line(draw(NOISE))
            field("data", value)
        if new_id is not None:
            field("id", new_id)
            last_id = last_id if "\0" in new_id else new_id
        for _ in range(draw(st.integers(1, 2))):
            line("")
        if values:
            expected.append(("\n".join(values), kind or "message", last_id))
    if draw(st.booleans()):
        parts.append(draw(st.sampled_from(["data: cut off", "data", "event: x", ": comment", "data:\u2028"])))
    start = BOM if draw(st.booleans()) else b""
    stream = start + "".join(parts).encode()
    # Without a mark of its own the stream must not begin with one that belongs to a comment or the like.
    return stream, expected


@given(streams(), st.lists(st.integers(0, 400), max_size=12))
def test_any_cut_of_any_stream_gives_the_same_events(case: tuple[bytes, list[Told]], cuts: list[int]) -> None:
    stream, expected = case
    borders = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in itertools.pairwise(borders)]
    assert reference(stream) == expected
    assert told(*pieces) == expected
    assert told(*bytewise(stream)) == expected
    assert told(stream) == expected


@given(st.lists(st.sampled_from([b"\r", b"\n", b":", b" ", b"data", b"id", b"event", b"a", b"\xef", BOM]), max_size=40))
def test_any_cut_of_any_bytes_gives_the_same_events(pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    assert events(*pieces) == events(*bytewise(stream)) == events(stream)


# --- Through the clients ---------------------------------------------------------------------------------


def frames(ending: str) -> bytes:
    """A run with everything in its frames that the standard allows."""
    ids = {"workflow_id": "wf_1", "workflow_run_id": "run_1", "session_id": "sess_1"}
    block = {**ids, "block_id": "answer", "block_type": "com.scoutos.text"}
    update = {**block, "update_type": "partial", "update_data": {"output": "Hel\u2028lo\u0085 😀"}}
    terminal = {**ids, "output": {"answer": {"output": "Hel\u2028lo\u0085 😀"}}}
    lines: list[str] = []
    for name, told_of in (
        ("workflow_run_started", {**ids, "inputs": {}, "price": 0}),
        ("block_run_started", {**block, "config": {}, "state": {}}),
        ("block_state_updated", update),
        ("workflow_run_completed", terminal),
    ):
        lines += [": keep-alive", f"id: {len(lines)}", "retry: 10", f"event: {name}"]
        text = json.dumps({"name": name, "data": told_of}, ensure_ascii=False, indent=1)
        lines += [f"data: {line}" for line in text.split("\n")] + [""]
    return BOM + "".join(line + ending for line in lines).encode()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 100_000])
@pytest.mark.parametrize("ending", ["\n", "\r", "\r\n"], ids=["LF", "CR", "CRLF"])
def test_the_clients_read_the_same_in_any_cut(call: Caller, ending: str, size: int) -> None:
    stream = frames(ending)
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]

    def sync_read(url: str) -> tuple[list[str], Any]:
        with call.client_class(KEY, base_url=url) as scout, scout.stream(WORKFLOW) as watched:
            return [event.name for event in watched], watched.run

    async def async_read(url: str) -> tuple[list[str], Any]:
        async with call.client_class(KEY, base_url=url) as scout, scout.stream(WORKFLOW) as watched:
            return [event.name async for event in watched], watched.run

    with Server(chunked([b"".join(pieces[:1]), *pieces[1:]], content_type="text/event-stream")) as server:
        names, run = asyncio.run(async_read(server.url)) if call.is_async else sync_read(server.url)
    assert names == ["workflow_run_started", "block_run_started", "block_state_updated", "workflow_run_completed"]
    assert run.output == "Hel\u2028lo\u0085 😀"


# --- Size and time ---------------------------------------------------------------------------------------


def test_an_event_may_be_as_large_as_the_limit_and_no_larger() -> None:
    fits = b"data: " + b"x" * 900 + b"\n\n"
    assert len(events(fits, limit=1000)) == 1
    assert len(events(*bytewise(fits * 3), limit=1000)) == 3
    for too_large in (b"data: " + b"x" * 1001 + b"\n\n", (b"data: " + b"x" * 100 + b"\n") * 12 + b"\n"):
        for pieces in ([too_large], list(bytewise(too_large))):
            with pytest.raises(EventTooLargeError) as caught:
                events(*pieces, limit=1000)
            assert b"x" * 50 in caught.value.start
            assert len(caught.value.start) <= 1000


@pytest.mark.parametrize("piece", [b"x", b"x" * 100, b": x", b"data: x"], ids=["1", "100", "comment", "data"])
def test_an_endless_line_is_an_error(piece: bytes) -> None:
    with pytest.raises(EventTooLargeError):
        events(*[piece] * 10_010, limit=10_000)


def test_endless_keep_alive_comments_are_no_error() -> None:
    decoder = SSEDecoder(1000)
    for _ in range(20_000):
        assert list(decoder.feed(b": keep-alive\n\n")) == []
        assert list(decoder.feed(b": keep-alive\n")) == []
    assert [event.data for event in decoder.feed(b"data: a\n\n")] == [b"a"]
    assert [event.data for event in decoder.feed(b": keep-alive\n" * 1000 + b"data: b\n\n")] == [b"b"]


def test_endless_comments_inside_an_event_are_no_error() -> None:
    decoder = SSEDecoder(1000)
    list(decoder.feed(b"data: a\n"))
    for _ in range(5000):
        list(decoder.feed(b": keep-alive\n"))
    assert [event.data for event in decoder.feed(b"\n")] == [b"a"]


@pytest.mark.parametrize("line", [b"data\n", b"data:\n", b"data: \n", b"data:a\n"])
def test_an_event_of_endless_lines_is_an_error(line: bytes) -> None:
    """Also one of empty lines, each of which adds a line end to the event."""
    with pytest.raises(EventTooLargeError):
        events(*[line] * 3000, limit=1000)


@pytest.mark.parametrize("field", [b"event: ", b"id: "])
def test_endless_other_fields_hold_no_memory(field: bytes) -> None:
    decoder = SSEDecoder(1000)
    for _ in range(3000):
        list(decoder.feed(field + b"x" * 100 + b"\n"))
    assert [event.data for event in decoder.feed(b"data: a\n\n")] == [b"a"]


def seconds(size: int, piece: int, make: Callable[[int], bytes]) -> float:
    """The least CPU time of three for one event of this size in pieces of that size."""
    stream = make(size)
    pieces = [stream[start : start + piece] for start in range(0, len(stream), piece)]
    times: list[float] = []
    for _ in range(3):
        decoder, begun, found = SSEDecoder(LIMIT), time.process_time(), 0
        for each in pieces:
            for _event in decoder.feed(each):
                found += 1
        times.append(time.process_time() - begun)
        assert found == 1
    return min(times)


@pytest.mark.parametrize(
    ("size", "piece", "make"),
    [
        (50_000, 1, lambda size: b"data: " + b"x" * size + b"\n\n"),
        (2_500_000, 256, lambda size: b"data: " + b"x" * size + b"\n\n"),
        (5_000_000, 1024, lambda size: b"data: " + b"x" * size + b"\n\n"),
        (500_000, 100, lambda size: b"data: xx\n" * (size // 9) + b"\n"),
        (500_000, 100, lambda size: b": " + b"x" * size + b"\ndata: a\n\n"),
    ],
    ids=["single bytes", "256 bytes", "1 KB", "many lines", "comment"],
)
def test_the_time_grows_with_the_size_alone(size: int, piece: int, make: Callable[[int], bytes]) -> None:
    # Twice the input takes twice the time; four times would mean that what has come is looked at again and again.
    assert seconds(4 * size, piece, make) / 4 < 2.5 * seconds(size, piece, make) + 0.02


# --- Is it a stream? ----------------------------------------------------------------------------------------------

JSON, SSE = "application/json", "text/event-stream"
STREAMS = [
    b"data: x\n\n",
    b"event:x\n",
    b"id: 1\n",
    b"retry: 5\n",
    b": ping\n\n",
    b"data\n",
    b"\xef\xbb\xbf\r\n data: x",
]
OTHERS = [b'{"run": 1}', b" \r\n\t[1]", b"\xef\xbb\xbf{}"]
UNCLEAR = [
    b"",
    b" \n",
    b"<html>",
    b"Hello",
    b"dat",
    b"database: x",
    b"identity",
    b"\xef\xbb",
    b"true",
    b"\xff\xfe{\x00",
]
CONTENT_TYPES = {
    SSE: True,
    "Text/Event-Stream; charset=utf-8": True,
    JSON: False,
    f"{JSON}, {SSE}; charset=utf-8": False,
    "text/plain": False,
    "": False,
}


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_the_beginning_of_a_body_decides_and_else_the_content_type(content_type: str) -> None:
    for body in STREAMS:
        assert is_stream(content_type, body, is_whole=True) is True
    for body in OTHERS:
        assert is_stream(content_type, body, is_whole=True) is False
    for body in UNCLEAR:
        assert is_stream(content_type, body, is_whole=True) is CONTENT_TYPES[content_type]


@pytest.mark.parametrize("body", STREAMS + OTHERS)
def test_a_beginning_that_is_cut_waits_for_more(body: bytes) -> None:
    whole = is_stream("", body, is_whole=True)
    for place in range(len(body)):
        assert is_stream("", body[:place]) in (None, whole)
    assert is_stream("", b"") is is_stream("", b"even") is is_stream("", b"id") is None


def test_blanks_are_not_waited_for_without_end() -> None:
    assert is_stream(SSE, b"\n" * 4000) is None
    assert is_stream(SSE, b"\n" * 5000) is True
    assert is_stream(JSON, b"\n" * 5000) is False
