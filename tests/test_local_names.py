"""The local Scout answers only to its own names, and to no page of another site."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from scout.local import Access, LocalScout

PATHS = ("/", "/docs", "/v2/workflows", "/v2/workflows/execute")
BODY = json.dumps({"workflow_config": {"blocks": []}, "inputs": {}, "streaming": False})


@pytest.fixture(scope="module")
def server() -> Iterator[LocalScout]:
    with LocalScout() as server:
        yield server


def send(
    server: LocalScout, *headers: str, target: str = "/v2/workflows/execute", version: str = "1.1", body: str = BODY
):
    """Send a request exactly as it is written, and return its status and the detail of its answer."""
    port = int(server.url.rsplit(":", 1)[1])
    lines = [f"POST {target.replace('PORT', str(port))} HTTP/{version}", "Authorization: Bearer x"]
    lines += ["Content-Type: application/json", "Connection: close", f"Content-Length: {len(BODY)}"]
    lines += [header.replace("PORT", str(port)) for header in headers]
    with socket.create_connection(("127.0.0.1", port), timeout=5) as wire:
        wire.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        answer = b""
        while piece := wire.recv(65536):
            answer += piece
    head, _, content = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), content.decode()


@pytest.mark.parametrize(
    "headers",
    [
        ("Host: 127.0.0.1:PORT",),
        ("Host: 127.0.0.1",),
        ("Host: LocalHost:9999",),  # a forwarded port
        ("Host: localhost.:PORT",),
        ("Host: [::1]:PORT",),
        ("Host: localhost:PORT", "Origin: http://localhost:PORT"),
        ("Host: localhost:PORT", "Origin: http://127.0.0.1:PORT"),
        ("Host: localhost", "Origin: https://localhost"),
    ],
)
def test_its_own_names(server: LocalScout, headers: tuple[str, ...]) -> None:
    assert send(server, *headers)[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        *("rebound.example:PORT", "127.0.0.1.example", "localhost.example:PORT", "notlocalhost", "a.localhost"),
        *("user@127.0.0.1:PORT", "127.0.0.1:PORT@evil.example", "127.0.0.2:PORT", "[::]:PORT", "0.0.0.0:PORT", ""),
        *("localhost:x", "localhost:1:2", "localhost..", "127.0.0.1, localhost"),
    ],
)
def test_a_foreign_name_is_misdirected(server: LocalScout, host: str) -> None:
    server.reset()
    status, said = send(server, f"Host: {host}", f"Origin: http://{host}")

    assert status == 421
    assert f"Send requests to {server.url}." in json.loads(said)["detail"]
    assert server.requests == []


@pytest.mark.parametrize(
    "origin",
    [
        *(
            "http://evil.example",
            "null",
            "http://localhost:1",
            "http://localhost",
            "file://",
            "http://localhost:PORT/x",
        ),
        *(
            "chrome-extension://localhost:PORT",
            "http://u@localhost:PORT",
            "http://[::1",
            "",
            "http://127.0.0.1.nip.io:PORT",
        ),
    ],
)
def test_a_page_of_another_site_is_refused(server: LocalScout, origin: str) -> None:
    server.reset()
    status, said = send(server, "Host: localhost:PORT", f"Origin: {origin}")

    assert status == 403
    assert "not from a page in a browser" in json.loads(said)["detail"]
    assert server.requests == []


@pytest.mark.parametrize("target", PATHS)
def test_every_path_is_guarded(server: LocalScout, target: str) -> None:
    assert send(server, "Host: evil.example", target=target)[0] == 421
    assert send(server, "Host: localhost", "Origin: http://evil.example", target=target)[0] == 403


@pytest.mark.parametrize(
    ("headers", "more", "status"),
    [
        (("Host: localhost",), {"target": "http://127.0.0.1:PORT/v2/workflows/execute"}, 200),
        (("Host: localhost",), {"target": "http://evil.example/v2/workflows/execute"}, 421),
        (("Host: evil.example",), {"target": "http://127.0.0.1:PORT/v2/workflows/execute"}, 421),
        ((), {"version": "1.0"}, 421),
        ((), {}, 400),
        (("Host: localhost", "Host: evil.example"), {}, 400),
        (("Host: evil.example", "Upgrade: websocket", "Connection: upgrade"), {}, 421),
        (("Host: localhost:PORT", "Origin: http://localhost:PORT", "Origin: http://evil.example"), {}, 403),
    ],
)
def test_odd_requests(server: LocalScout, headers: tuple[str, ...], more: Any, status: int) -> None:
    assert send(server, *headers, **more)[0] == status


def test_it_refuses_before_it_reads_and_before_any_fault() -> None:
    reports: list[Access] = []
    with LocalScout(on_access=reports.append) as server:
        server.fail_next(503)
        assert send(server, "Host: evil.example", "Expect: 100-continue", body="")[0] == 421
        assert send(server, "Host: localhost", "Origin: null", body="")[0] == 403
        assert send(server, "Host: localhost")[0] == 503
        assert len(server.requests) == 1
    assert [report.status for report in reports] == [421, 403, 503]
