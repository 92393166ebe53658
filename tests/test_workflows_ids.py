"""Ids and keys of any shape: one encoded path segment or one query value, or a refusal; never another endpoint."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from servers import KEY, Caller, Server, json_answer, run_answer

from scout import ConfigurationError

ANSWER = {
    **run_answer(),
    "data": {"workflow_id": "wf_1", "revision_id": "rev_1", "workflow_config": {}},
    "detail": "gone",
}
TAKE_AN_ID: dict[str, tuple[str, str, tuple[Any, ...]]] = {
    "get": ("GET", "", ()),
    "update": ("PUT", "", ({},)),
    "delete": ("DELETE", "", ()),
    "execute": ("POST", "/execute", ()),
}
STRANGE = [
    *("a/b", "a?x", "a#f", "a b", " ", "a%2Fb", "%2e%2e", "%", "a\\b", "../wf_1", "a/../b", "/", "//evil.example/"),
    *("execute", "revisions", "wf_1/execute", "...", "a;b", "a:b@c", "http://evil.example/", "schlüssel", "鍵", "🔑"),
    *("\u2028", "\x00", "a\nb", "a\r\nHost: evil.example", "\x7f", "x" * 300, "~-_.!*'()", "+", "&a=b"),
]
REFUSED = ["", ".", "..", None, 5, True, b"wf_1", ["wf_1"], "\ud800"]


def ask(call: Caller, url: str, method: str, *args: Any, **options: Any) -> None:
    def program(make: Any) -> Iterator[Any]:
        client = make(KEY, base_url=url)
        try:
            yield getattr(client.workflows, method)(*args, **options)
        finally:
            yield client.aclose() if call.is_async else client.close()

    call.drive(program)


@pytest.mark.parametrize("method", TAKE_AN_ID)
@pytest.mark.parametrize("strange", STRANGE, ids=ascii)
def test_a_strange_id_is_one_segment(strange: str, method: str, call: Caller) -> None:
    verb, end, args = TAKE_AN_ID[method]
    with Server(json_answer(ANSWER)) as server:
        ask(call, server.url, method, strange, *args)

    (request,) = server.requests
    assert request.method == verb
    prefix, middle = "/v2/workflows/", request.path
    assert middle.startswith(prefix)
    assert middle.endswith(end)
    segment = middle.removeprefix(prefix).removesuffix(end)
    assert segment == quote(strange, safe="")
    assert request.headers["host"] == server.url.removeprefix("http://")


@pytest.mark.parametrize("method", TAKE_AN_ID)
@pytest.mark.parametrize("bad", REFUSED, ids=ascii)
def test_an_id_that_cannot_be_one_is_refused(bad: Any, method: str, call: Caller) -> None:
    _, _, args = TAKE_AN_ID[method]
    with Server(json_answer(ANSWER)) as server, pytest.raises(ConfigurationError, match="id"):
        ask(call, server.url, method, bad, *args)
    assert server.hits == 0


@pytest.mark.parametrize("strange", STRANGE, ids=ascii)
def test_a_strange_key_is_one_value(strange: str, call: Caller) -> None:
    with Server(json_answer(ANSWER)) as server:
        ask(call, server.url, "create", {}, key=strange)
        ask(call, server.url, "create_revision", {}, key=strange)
        ask(call, server.url, "create_revision", {}, id=strange)

    assert [request.query for request in server.requests] == [
        {"workflow_key": strange},
        {"workflow_key": strange},
        {"workflow_id": strange},
    ]
    assert [request.path for request in server.requests] == [
        "/v2/workflows",
        "/v2/workflows/revisions",
        "/v2/workflows/revisions",
    ]


@pytest.mark.parametrize("bad", ["", 5, b"k", "\ud800"], ids=ascii)
def test_a_key_that_cannot_be_one_is_refused(bad: Any, call: Caller) -> None:
    with Server(json_answer(ANSWER)) as server:
        for method in ("create", "create_revision", "deploy"):
            with pytest.raises(ConfigurationError):
                ask(call, server.url, method, {}, key=bad)
    assert server.hits == 0


def test_a_revision_and_a_session_are_query_values(call: Caller) -> None:
    with Server(json_answer(ANSWER)) as server:
        for strange in STRANGE:
            ask(call, server.url, "execute", "wf_1", revision_id=strange, session_id=strange, environment=None)
    assert {request.path for request in server.requests} == {"/v2/workflows/wf_1/execute"}
    assert [request.query for request in server.requests] == [
        {"revision_id": strange, "session_id": strange} for strange in STRANGE
    ]
