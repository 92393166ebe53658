"""Content codings of bodies: every form that the RFCs allow arrives whole, and a body that was cut is an error."""

import asyncio
import gzip
import json
import re
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import KEY, Behaviour, Caller, Server, answer, run_answer, stream
from test_events import STARTED, WHOLE, says, watch

from scout import APIResponseError, ConfigurationError, Scout, StreamInterruptedError
from scout._codings import decoded
from scout.cassettes import record, replay

SSE = "text/event-stream"
BODY = json.dumps(run_answer("Hello " * 50)).encode()
TWO = gzip.compress(BODY[:40]) + gzip.compress(BODY[40:])
CUT = "coding ends too early"


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


WHOLE_BODIES = {
    "one member": ("gzip", gzip.compress(BODY)),
    "two members": ("gzip", TWO),
    "an empty member": ("gzip", gzip.compress(b"") + TWO + gzip.compress(b"")),
    "x-gzip": ("X-GZip", gzip.compress(BODY)),
    "zeros at the end": ("gzip", TWO + bytes(600)),
    "zeros between": ("gzip", gzip.compress(BODY[:9]) + bytes(5) + gzip.compress(BODY[9:])),
    "a line end after it": ("gzip", TWO + b"\r\n"),
    "deflate": ("deflate", zlib.compress(BODY)),
    "bare deflate": ("deflate", bare(BODY)),
    "two codings": (
        "deflate, , identity,gzip",
        gzip.compress(zlib.compress(BODY)[:50]) + gzip.compress(zlib.compress(BODY)[50:]),
    ),
    "identity": ("identity", BODY),
    "a coding that is none": ("utf-8", BODY),
}


def coded(coding: str, body: bytes, *, status: int = 200, content_type: str = "application/json") -> Behaviour:
    return answer(status, body, {"Content-Encoding": coding}, content_type=content_type)


@pytest.mark.parametrize("name", WHOLE_BODIES)
def test_a_coded_body_arrives_whole(call: Caller, name: str) -> None:
    coding, body = WHOLE_BODIES[name]
    with Server(coded(coding, body)) as server:
        assert call.run(server.url).raw == json.loads(BODY)


@pytest.mark.parametrize("name", WHOLE_BODIES)
def test_the_cut_of_a_coded_body_does_not_matter(name: str) -> None:
    coding, body = WHOLE_BODIES[name]

    def read(*pieces: bytes) -> bytes:
        return decoded(httpx.Response(200, headers={"content-encoding": coding}, content=iter(pieces))).read()

    assert read(*(body[place : place + 1] for place in range(len(body)))) == BODY
    for place in range(len(body)):
        assert read(body[:place], body[place:]) == BODY


DAMAGED = {
    "no trailer": ("gzip", gzip.compress(BODY)[:-8], CUT),
    "half a trailer": ("gzip", gzip.compress(BODY)[:-3], CUT),
    "the second without a trailer": ("gzip", TWO[:-8], CUT),
    "the second hardly begun": ("gzip", gzip.compress(BODY) + b"\x1f", CUT),
    "another length": ("gzip", gzip.compress(BODY)[:-1] + b"\x01", "damaged"),
    "another checksum": ("gzip", gzip.compress(BODY)[:-8] + bytes(4) + gzip.compress(BODY)[-4:], "damaged"),
    "deflate without a checksum": ("deflate", zlib.compress(BODY)[:-4], CUT),
    "bare deflate cut": ("deflate", bare(BODY)[:-1], CUT),
    "codings without end": ("gzip," * 6, gzip.compress(BODY), "6 content codings"),
    "another coding": ("br", b"\x0b\x02\x80" + BODY, "coding br is not known here"),
    "another coding too": ("gzip, ZSTD", b"\x28\xb5\x2f\xfd" + BODY, "coding zstd is not known here"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_body_that_cannot_be_decoded_is_damaged(call: Caller, name: str) -> None:
    coding, body, words = DAMAGED[name]
    with Server(coded(coding, body)) as server:
        error = call.error(server.url)

    assert type(error) is APIResponseError
    assert error.damaged
    assert error.run_may_have_started
    assert words in str(error)


def test_each_event_of_a_stream_may_be_a_member_and_comes_at_once(call: Caller) -> None:
    frames = re.findall(rb".*?\n\n", WHOLE, re.DOTALL)
    members = [gzip.compress(each) for each in frames]
    for steps in ([b"".join(members)], members, [part for each in members for part in (each[:-8], each[-8:])]):
        with Server(stream(steps, {"Content-Encoding": "gzip"}, content_type=SSE)) as server:
            assert "".join(watch(call, server.url, text=True).events) == "Hello"


def test_an_event_does_not_wait_for_the_trailer_of_its_member(call: Caller) -> None:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    start = packer.compress(STARTED + says("Hel")) + packer.flush(zlib.Z_SYNC_FLUSH)
    with Server(stream([start, 20.0], {"Content-Encoding": "gzip"}, content_type=SSE)) as server:
        found = watch(call, server.url, timeout=0.3)

    assert found.names == ["workflow_run_started", "block_state_updated"]


@pytest.mark.parametrize(
    "start",
    [gzip.compress(STARTED + says("Hel"))[:-8], gzip.compress(STARTED) + b"\x1f\x8b"],
    ids=["no trailer", "second begun"],
)
def test_a_stream_whose_member_was_cut_is_interrupted(call: Caller, start: bytes) -> None:
    with Server(stream([start], {"Content-Encoding": "gzip"}, content_type=SSE)) as server:
        error = watch(call, server.url).error

    assert type(error) is StreamInterruptedError
    assert CUT in str(error)


@pytest.mark.parametrize(
    ("coding", "body", "words"),
    [
        ("gzip", gzip.compress(b'{"detail": ') + gzip.compress(b'"busy"}'), "busy"),
        ("br", b"\x0b\x02\x80busy\x03", "a body in the content coding br"),
        ("utf-8", b'{"detail": "busy"}', "busy"),
    ],
    ids=["two members", "unknown", "none"],
)
def test_the_body_of_an_error(call: Caller, coding: str, body: bytes, words: str) -> None:
    with Server(coded(coding, body, status=503)) as server:
        error = call.error(server.url)

    assert error.status == 503
    assert words in str(error)


def test_an_error_that_decodes_to_very_much_is_not_decoded_to_its_end(call: Caller) -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024), 1)
    with Server(coded("gzip, gzip", gzip.compress(bomb), status=500)) as server:
        error = call.error(server.url)

    assert len(error.body) < 2 * 1024 * 1024


@pytest.mark.parametrize("name", ["two members", "x-gzip", "two codings"])
def test_recordings_hold_the_decoded_body(call: Caller, tmp_path: Path, name: str) -> None:
    path = tmp_path / "run.jsonl"
    with Server(coded(*WHOLE_BODIES[name])) as server:
        call.run(server.url, client={"transport": record(path)})

    assert "Hello Hello" in path.read_text()
    assert call.run("http://127.0.0.1:9", client={"transport": replay(path)}).raw == json.loads(BODY)


@pytest.mark.parametrize("name", ["two members", "x-gzip", "two codings", "identity"])
def test_the_raw_client_reads_them_too(call: Caller, name: str) -> None:
    async def ask(client: Any) -> Any:
        async with client as scout:
            return await scout.raw.get_async_httpx_client().request("GET", "/")

    with Server(coded(*WHOLE_BODIES[name])) as server:
        client = call.client_class(KEY, base_url=server.url)
        if call.is_async:
            response = asyncio.run(ask(client))
        else:
            with client as scout:
                response = scout.raw.get_httpx_client().request("GET", "/")
    assert response.content == BODY


@pytest.mark.parametrize("accepted", ["br", "gzip, BR;q=0.5", "zstd", "*", "compress"])
def test_a_coding_that_cannot_be_read_is_not_asked_for(call: Caller, accepted: str) -> None:
    with Server(coded("gzip", TWO)) as server:
        error = call.error(server.url, extra_headers={"Accept-Encoding": accepted})

    assert type(error) is ConfigurationError
    assert "Accept-Encoding cannot hold" in str(error)
    assert server.hits == 0
    with pytest.raises(ConfigurationError, match="headers: Accept-Encoding"):
        call.client_class(KEY, headers={"accept-encoding": accepted})


@pytest.mark.parametrize("accepted", ["", "identity", "x-gzip, deflate;q=0.5", "gzip, *;q=0, br; q=0.000"])
def test_codings_that_can_be_read_may_be_chosen(accepted: str) -> None:
    with Server(coded("gzip", TWO)) as server, Scout(KEY, base_url=server.url) as scout:
        scout.execute({"blocks": []}, extra_headers={"Accept-Encoding": accepted})
    assert server.requests[0].headers["accept-encoding"] == accepted
