"""Every status and every body gives the documented result or error, with a message a person can act on."""

import copy
import gzip
import json
import pickle
import ssl
from dataclasses import dataclass
from typing import Any

import pytest
from servers import (
    Behaviour,
    Caller,
    Server,
    answer,
    chunked,
    close_unanswered,
    corrupt_gzip,
    good_gzip,
    half_body,
    html,
    json_answer,
    not_tls,
    raw,
    redirect,
    refused_url,
    reset_after_request,
    reset_unread,
    run_answer,
    silent,
    stream,
    truncated_gzip,
    wrong_length,
)

import scout
from scout import (
    APIConnectionError,
    APIError,
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ConflictError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RunFailedError,
    RunStatus,
    ScoutError,
    UnprocessableEntityError,
)

BODY = json.dumps(run_answer()).encode()


def survives(error: ScoutError) -> None:
    """An error can be pickled and copied, with all that it says."""
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert twin.run_may_have_started == error.run_may_have_started
        assert twin.attempts == error.attempts
        for name in ("status", "body", "headers", "request_id", "details", "retry_after", "limit", "seconds"):
            assert getattr(twin, name, None) == getattr(error, name, None)


def foreign_names(error: BaseException) -> list[str]:
    """Modules of httpx or httpcore among the classes of an error and what hangs on it."""
    chain: list[str] = []
    seen: BaseException | None = error
    while seen is not None:
        chain.append(type(seen).__module__.partition(".")[0])
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return [name for name in chain if name in ("httpx", "httpcore", "h11", "anyio")]


# --- Statuses ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """An answer, the error it stands for, and words that its message must hold."""

    behaviour: Behaviour
    error: type[APIStatusError]
    status: int
    words: tuple[str, ...] = ()
    body: Any = None


WORDS = {"detail": "the server explains itself"}
DETAILS = [
    {
        "loc": ["body", "workflow_config", "blocks", 0, "block_id"],
        "msg": "Field required",
        "type": "missing",
        "input": {},
        "url": "https://errors.pydantic.dev/2.14/v/missing",
    },
    {"loc": ["query", "environment"], "msg": "Input should be 'production'", "type": "enum"},
]


def plain(status: int, error: type[APIStatusError], *words: str) -> Case:
    return Case(json_answer(WORDS, status), error, status, ("explains itself", *words), WORDS)


CASES = {
    "300": plain(300, APIStatusError),
    "304": Case(answer(304), APIStatusError, 304),
    "400": plain(400, BadRequestError),
    "401": plain(401, AuthenticationError, "SCOUT_API_KEY"),
    "402": plain(402, APIStatusError),
    "403": plain(403, PermissionDeniedError, "key"),
    "404": plain(404, NotFoundError),
    "405": plain(405, APIStatusError),
    "408": plain(408, APIStatusError, "may have started"),
    "409": plain(409, ConflictError),
    "413": plain(413, APIStatusError),
    "418": plain(418, APIStatusError),
    "422": plain(422, UnprocessableEntityError),
    "429": plain(429, RateLimitError),
    "499": plain(499, APIStatusError),
    "500": plain(500, InternalServerError, "may have started"),
    "502": plain(502, InternalServerError, "may have started"),
    "503": plain(503, InternalServerError, "may have started"),
    "504": plain(504, InternalServerError, "may have started"),
    "520": plain(520, InternalServerError, "may have started"),
    "529": plain(529, InternalServerError, "may have started"),
    "999": plain(999, InternalServerError, "may have started"),
    "HTML 502": Case(
        html("<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>", 502),
        InternalServerError,
        502,
        ("502 Bad Gateway",),
        "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>",
    ),
    "HTML 403": Case(html("<h1>Forbidden</h1>", 403), PermissionDeniedError, 403, ("Forbidden",)),
    "empty 500": Case(answer(500, b""), InternalServerError, 500, (), ""),
    "text 503": Case(
        answer(503, "upstream down", content_type="text/plain"),
        InternalServerError,
        503,
        ("upstream down",),
        "upstream down",
    ),
    "array 400": Case(json_answer(["one", "two"], 400), BadRequestError, 400, ("one",), ["one", "two"]),
    "number 400": Case(json_answer(7, 400), BadRequestError, 400, ("7",), 7),
    "null 500": Case(json_answer(None, 500), InternalServerError, 500),
    "message 400": Case(json_answer({"message": "no such model"}, 400), BadRequestError, 400, ("no such model",)),
    "error object 529": Case(
        json_answer({"error": {"type": "overloaded", "message": "come back later"}}, 529),
        InternalServerError,
        529,
        ("come back later",),
    ),
    "unknown JSON 400": Case(json_answer({"grund": "kaputt"}, 400), BadRequestError, 400, ("kaputt",)),
    "text with bad bytes": Case(
        answer(500, b"caf\xe9 \xff\xfe", content_type="text/plain"), InternalServerError, 500, ("caf",)
    ),
    "unknown charset": Case(
        answer(500, b"words", content_type="text/plain; charset=klingon-8"),
        InternalServerError,
        500,
        ("words",),
    ),
    "JSON said to be HTML": Case(html(json.dumps(WORDS), 400), BadRequestError, 400, ("explains",), WORDS),
    "HTML said to be JSON": Case(answer(500, "<h1>Oops</h1>"), InternalServerError, 500, ("Oops",)),
    "422 list": Case(
        json_answer({"detail": DETAILS}, 422),
        UnprocessableEntityError,
        422,
        ("Field required", "block_id"),
        {"detail": DETAILS},
    ),
    "422 field and message": Case(
        json_answer(
            {"detail": "Validation failed", "errors": [{"field": "inputs.name", "message": "is required"}]},
            422,
        ),
        UnprocessableEntityError,
        422,
        ("Validation failed", "inputs.name", "is required"),
    ),
    "broken body of an error": Case(wrong_length(b'{"detail": "quota', 500, status=402), APIStatusError, 402),
    "broken chunks of an error": Case(
        chunked([b'{"detail": "quota'], status=500, finish=False), InternalServerError, 500
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_status(call: Caller, name: str) -> None:
    case = CASES[name]
    with Server(case.behaviour) as server:
        error = call.error(server.url, client={"rate_limit_timeout": 0}, retries=0)

    assert type(error) is case.error
    assert error.status == case.status
    for word in (str(case.status), *case.words):
        assert word in str(error)
    if case.body is not None:
        assert error.body == case.body
    assert len(error.attempts) == 1
    assert foreign_names(error) == []
    survives(error)


ODD_DETAILS: list[Any] = [
    None,
    [],
    {},
    "text",
    5,
    True,
    {"detail": None},
    {"detail": ""},
    {"detail": "only words"},
    {"detail": 5},
    {"detail": {"msg": "an object"}},
    {"detail": []},
    {"detail": ["words", "in a list"]},
    {"detail": [None, 5, [], {}]},
    {"detail": [{"loc": None, "msg": None, "type": None}]},
    {"detail": [{"loc": "body.inputs", "msg": ["a", "list"]}]},
    {"detail": [{"msg": "no place"}]},
    {"detail": [{"loc": [{"deep": 1}, None], "msg": "odd place", "type": 1}]},
    {"errors": [{"field": None, "message": 7}]},
    {"errors": {"name": ["is required"]}},
]


@pytest.mark.parametrize("body", ODD_DETAILS, ids=json.dumps)
def test_422_of_any_shape(call: Caller, body: Any) -> None:
    with Server(json_answer(body, 422)) as server:
        error = call.error(server.url)

    assert type(error) is UnprocessableEntityError
    assert isinstance(error.details, list)
    assert all(hasattr(each, "keys") for each in error.details)
    assert error.body == body
    assert "422" in str(error)
    survives(error)


def test_422_details(call: Caller) -> None:
    with Server(json_answer({"detail": DETAILS}, 422)) as server:
        error = call.error(server.url)

    assert list(error.details) == DETAILS
    assert "Input should be 'production'" in str(error)


@pytest.mark.parametrize("status", [404, 405])
def test_the_address_that_does_not_exist_is_named_without_its_query(call: Caller, status: int) -> None:
    with Server(answer(status)) as server:
        error = call.error(f"{server.url}/wrong", session_id="secret_session")

    assert error.message.endswith(f"; the request was POST {server.url}/wrong/v2/workflows/execute")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_reported_and_not_followed(call: Caller, status: int) -> None:
    with (
        Server(json_answer(run_answer())) as elsewhere,
        Server(redirect(f"{elsewhere.url}/login", status)) as server,
    ):
        error = call.error(server.url, client={"at_least_once": True})

    assert type(error) is APIStatusError
    assert error.status == status
    assert error.headers["location"] == f"{elsewhere.url}/login"
    assert f"{elsewhere.url}/login" in str(error)
    assert (server.hits, elsewhere.connections) == (1, 0)


def test_a_redirect_to_nowhere(call: Caller) -> None:
    with Server([answer(302), redirect("", 302), redirect("http://[", 302)]) as server:
        assert all(call.error(server.url).status == 302 for _ in range(3))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "3600"}, 3600),
        ({"Retry-After": "0"}, 0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"Retry-After": "Wednesday, 21-Oct-15 07:28:00 GMT"}, 0),
        ({"Retry-After": "Wed Oct 21 07:28:00 2015"}, 0),
        ({}, None),
    ],
    ids=str,
)
def test_429_says_when(call: Caller, headers: dict[str, str], seconds: float | None) -> None:
    with Server(json_answer({"detail": "slow down"}, 429, headers)) as server:
        error = call.error(server.url, client={"rate_limit_timeout": 0})

    assert type(error) is RateLimitError
    assert error.retry_after == seconds
    assert "slow down" in str(error)
    if seconds == 3600:
        assert "3600" in str(error)
    survives(error)


def test_headers_and_request_id(call: Caller) -> None:
    with Server(json_answer(WORDS, 500, {"X-Request-Id": "req_42", "X-Odd": "caf\xe9"})) as server:
        error = call.error(server.url)

    assert error.request_id == "req_42"
    assert error.headers["x-request-id"] == "req_42"
    assert all(name == name.lower() for name in error.headers)
    assert "req_42" in str(error)
    survives(error)


def test_without_a_request_id(call: Caller) -> None:
    with Server(answer(500)) as server:
        assert call.error(server.url).request_id is None


def test_a_long_body_is_kept_but_not_shown_whole(call: Caller) -> None:
    with Server(answer(500, "x" * 200_000, content_type="text/plain")) as server:
        error = call.error(server.url)

    assert error.body == "x" * 200_000
    assert len(str(error)) < 5_000


def test_an_error_body_nested_deeply(call: Caller) -> None:
    with Server(answer(500, "[" * 100_000 + "]" * 100_000)) as server:
        error = call.error(server.url)

    assert type(error) is InternalServerError
    survives(error)


def test_an_error_nested_as_deep_as_json_goes(call: Caller) -> None:
    """Deep enough to be parsed, perhaps too deep to be written, copied or pickled again."""
    with Server(answer(400, '{"detail": ' + "[" * 900 + "]" * 900 + "}")) as server:
        error = call.error(server.url)

    assert type(error) is BadRequestError


# --- 2xx that is no run ---------------------------------------------------------------------------------

NO_RUN: dict[str, Behaviour] = {
    "HTML": html("<html><title>Welcome to nginx</title></html>"),
    "empty": answer(200, b""),
    "spaces": answer(200, b" \n "),
    "204": answer(204),
    "202 empty": answer(202),
    "array": json_answer([]),
    "null": json_answer(None),
    "text": json_answer("Hello"),
    "number": json_answer(5),
    "foreign JSON": json_answer({"unexpected": True}),
    "an error inside of 200": json_answer({"detail": "quota exceeded"}),
    "run is null": json_answer({"run": None, "workflow_id": "wf_1"}),
    "run is a list": json_answer({"run": [], "workflow_id": "wf_1"}),
    "run is empty": json_answer({"run": {}, "workflow_id": "wf_1"}),
    "no stop_reason": json_answer(
        {"run": {"state": {}, "session_id": "s", "workflow_run_id": "r"}, "workflow_id": "wf_1"}
    ),
    "stop_reason is a number": json_answer(run_answer(stop_reason=5)),
    "state is a list": json_answer(run_answer(state=["a"])),
    "state is text": json_answer(run_answer(state="done")),
    "cut JSON": answer(200, BODY[:-3]),
    "two JSON values": answer(200, BODY + BODY),
    "invalid UTF-8": answer(200, BODY.replace(b"Hello", b"H\xe9llo")),
    "UTF-16 without a mark": answer(200, json.dumps(run_answer()).encode("utf-16-le")[1:]),
    "nested deeply": answer(200, b"[" * 100_000 + b"]" * 100_000),
    "nested deeply in a run": answer(200, BODY.replace(b'"Hello"', b"[" * 100_000 + b"]" * 100_000)),
    "cut without a length": stream([BODY[:30]]),
    "content-length too short": wrong_length(BODY, len(BODY) - 10),
    "gzip cut": truncated_gzip(run_answer("x" * 500)),
    "said to be gzip": answer(200, BODY, {"Content-Encoding": "gzip"}),
    "gzip corrupt": corrupt_gzip(run_answer("x" * 500)),
}


@pytest.mark.parametrize("name", NO_RUN)
def test_a_2xx_that_is_no_run(call: Caller, name: str) -> None:
    with Server(NO_RUN[name]) as server:
        error = call.error(server.url)

    assert server.hits == 1
    assert type(error) is APIResponseError
    assert error.status in (200, 202, 204)
    assert error.run_may_have_started is True
    assert str(error.status) in str(error)
    assert "may have started" in str(error)
    assert foreign_names(error) == []
    survives(error)


def test_an_html_page_is_preserved_and_named(call: Caller) -> None:
    with Server(NO_RUN["HTML"]) as server:
        error = call.error(server.url)

    assert b"Welcome to nginx" in (error.body if isinstance(error.body, bytes) else error.body.encode())
    assert "Welcome to nginx" in str(error)
    assert "base_url" in str(error)
    assert "html" in str(error).lower()


def test_an_int_of_5000_digits_is_no_crash(call: Caller) -> None:
    """Python refuses to read such a number, with a ValueError that is no JSONDecodeError."""
    with Server(answer(200, BODY.replace(b'"Hello"', b"9" * 5000))) as server:
        outcome = call(server.url)

    assert outcome.error is None or type(outcome.error) is APIResponseError


@pytest.mark.parametrize("output", [b"NaN", b"Infinity", b"1e999", b'"\\ud800"'])
def test_odd_json_values_are_no_crash(call: Caller, output: bytes) -> None:
    with Server(answer(200, BODY.replace(b'"Hello"', output))) as server:
        outcome = call(server.url)

    assert outcome.error is None or type(outcome.error) is APIResponseError


def test_an_event_where_a_run_belongs_is_no_finished_run(call: Caller) -> None:
    """The reference page's own sample: JSON of one event. A run that has only started is no answer."""
    event = {"name": "workflow_run_started", "id": "evt_1", "data": {"workflow_run_id": "run_1"}}
    with Server(json_answer(event)) as server:
        error = call.error(server.url)

    assert isinstance(error, ScoutError)
    assert "workflow_run_started" in str(error)


@pytest.mark.parametrize("content_type", ["text/event-stream", "text/html", "application/octet-stream", None])
def test_a_wrong_content_type_is_no_crash(call: Caller, content_type: str | None) -> None:
    with Server(answer(200, BODY, content_type=content_type)) as server:
        outcome = call(server.url)

    assert outcome.error is None or isinstance(outcome.error, ScoutError)


# --- 2xx that is a run ----------------------------------------------------------------------------------

RUNS: dict[str, Behaviour] = {
    "plain": json_answer(run_answer()),
    "chunked": chunked([BODY[:5], BODY[5:50], 0.02, BODY[50:]]),
    "one byte at a time": chunked([BODY[index : index + 1] for index in range(len(BODY))]),
    "without a length": stream([BODY]),
    "gzip": good_gzip(run_answer()),
    "gzip in chunks": stream([gzip.compress(BODY)[:20], 0.02, gzip.compress(BODY)[20:]], {"Content-Encoding": "gzip"}),
    "byte order mark": answer(200, b"\xef\xbb\xbf" + BODY),
    "201": json_answer(run_answer(), 201),
    "charset": answer(200, BODY, content_type="application/json; charset=utf-8"),
    "duplicate keys": answer(200, BODY.replace(b'{"run"', b'{"run": null, "run"')),
    "unknown fields": json_answer(run_answer(cost=5) | {"new": {"field": []}}),
    "no errors": json_answer(run_answer(errors=None)),
    "no output block": json_answer({k: v for k, v in run_answer().items() if k != "output_block_id"}),
    "100 before 200": raw(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
    ),
    "103 before 200": raw(
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_run(call: Caller, name: str) -> None:
    with Server(RUNS[name]) as server:
        run = call.run(server.url)

    assert run.ok
    assert run.status == RunStatus.COMPLETED == "completed"
    assert (run.id, run.session_id, run.workflow_id) == ("run_1", "sess_1", "wf_1")
    assert (run.output, run.output_block_id) == ("Hello", "answer")
    assert run.errors == []
    assert pickle.loads(pickle.dumps(run)) == run


@pytest.mark.parametrize(
    "value",
    [
        2**53 + 1,
        2**64 + 1,
        -(2**200) - 1,
        10**4000 + 1,
        True,
        None,
        0.1,
        1.0,
        "\u2028 \u0085 \x00 \U0001f600",
        [],
        {"": {"a": [1, [2]]}},
    ],
    ids=lambda value: str(value)[:20],
)
def test_values_arrive_exactly_both_ways(call: Caller, value: object) -> None:
    with Server(json_answer(run_answer(value))) as server:
        run = call.run(server.url, {"value": value})

    sent = server.requests[0].json()
    assert isinstance(sent, dict)
    assert sent["inputs"] == {"value": value}
    assert type(sent["inputs"]["value"]) is type(value)
    assert run.output == value
    assert type(run.output) is type(value)


def test_a_lone_surrogate_in_the_inputs_is_sent_or_refused(call: Caller) -> None:
    """It is no valid text; JSON can carry it as an escape. Never a foreign exception."""
    with Server(json_answer(run_answer())) as server:
        outcome = call(server.url, {"text": "\ud800"})

    if outcome.error is None:
        assert server.requests[0].json()["inputs"] == {"text": "\ud800"}  # type: ignore[index]
    else:
        assert type(outcome.error) is ConfigurationError
        assert "inputs.text" in str(outcome.error)


def test_a_failed_run_raises_and_carries_the_run(call: Caller) -> None:
    body = run_answer(None, stop_reason="workflow_run_failed", errors=["model not found", "second"])
    with Server(json_answer(body)) as server:
        error = call.error(server.url)
        run = call.run(server.url, check=False)

    assert type(error) is RunFailedError
    assert "model not found" in str(error)
    assert "second" in str(error)
    assert error.run == run
    assert not run.ok
    assert run.status == RunStatus.FAILED
    assert run.errors == ["model not found", "second"]
    with pytest.raises(RunFailedError):
        run.raise_for_status()
    twin = pickle.loads(pickle.dumps(error))
    assert (twin.run, str(twin)) == (run, str(error))


def test_an_unknown_stop_reason_survives_and_is_not_ok(call: Caller) -> None:
    with Server(json_answer(run_answer(stop_reason="workflow_run_paused"))) as server:
        run = call.run(server.url, check=False)

    assert not run.ok
    assert "paused" in run.status
    assert pickle.loads(pickle.dumps(run)).status == run.status


# --- No answer --------------------------------------------------------------------------------------------

NO_ANSWER: dict[str, Behaviour] = {
    "reset before the request was read": reset_unread,
    "reset after the request": reset_after_request,
    "closed without an answer": close_unanswered,
    "half a body": half_body(BODY),
    "half a chunked body": chunked([BODY[:40]], finish=False),
    "content-length too long": wrong_length(BODY, len(BODY) + 10),
    "bad chunk size": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n"),
    "no HTTP": raw(b"220 mail.example ESMTP\r\n"),
    "HTTP/0.9": raw(b"<html>hello</html>"),
    "headers without end": raw(b"HTTP/1.1 200 OK\r\nContent-Type: app"),
    "headers too large": raw(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000 + b"\r\n\r\n"),
    "header with a control character": raw(b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n"),
    "two lengths": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
    "status 20": raw(b"HTTP/1.1 20 OK\r\n\r\n"),
    "status 1000": raw(b"HTTP/1.1 1000 OK\r\nContent-Length: 0\r\n\r\n"),
}


@pytest.mark.parametrize("name", NO_ANSWER)
def test_no_answer(call: Caller, name: str) -> None:
    with Server(NO_ANSWER[name]) as server:
        error = call.error(server.url)

    assert server.hits == 1
    assert type(error) is APIConnectionError
    assert error.run_may_have_started is True
    assert "may have started" in str(error)
    assert server.url in str(error)
    assert foreign_names(error) == []
    survives(error)


def test_refused(call: Caller) -> None:
    with refused_url() as url:
        error = call.error(url, retries=0)

    assert type(error) is APIConnectionError
    assert error.run_may_have_started is False
    assert url in str(error)
    assert "refused" in str(error).lower()
    assert "may have started" not in str(error)
    assert isinstance(error.__cause__, ConnectionRefusedError)
    survives(error)


def test_dns(call: Caller, unresolvable_url: str) -> None:
    error = call.error(unresolvable_url, retries=0)

    assert type(error) is APIConnectionError
    assert "nothing.invalid" in str(error)
    assert "Name or service not known" in str(error)
    survives(error)


def test_tls(call: Caller) -> None:
    with Server(not_tls) as server:
        error = call.error(server.url.replace("http", "https"), retries=0)

    assert type(error) is APIConnectionError
    assert "SSL" in str(error) or "TLS" in str(error)
    assert isinstance(error.__cause__, ssl.SSLError)
    survives(error)


def test_several_attempts_are_told(call: Caller, no_waiting: None) -> None:
    with Server(json_answer(WORDS, 429, {"Retry-After": "1"})) as server:
        error = call.error(server.url, client={"rate_limit_timeout": 3.0})

    assert "3 attempts" in str(error)
    survives(error)


def test_silence_is_a_timeout(call: Caller) -> None:
    with Server(silent()) as server:
        error = call.error(server.url, timeout=0.2)

    assert type(error) is APITimeoutError
    assert (error.limit, error.seconds) == ("timeout", 0.2)
    assert "0.2" in str(error)
    assert "may have started" in str(error)
    survives(error)


# --- The tree ---------------------------------------------------------------------------------------------


def test_the_tree_of_errors() -> None:
    assert issubclass(scout.APITimeoutError, scout.APIConnectionError)
    for leaf in (scout.APIConnectionError, scout.APIStatusError, scout.APIResponseError):
        assert leaf.__bases__ == (APIError,)
    for kind in (
        BadRequestError,
        AuthenticationError,
        PermissionDeniedError,
        NotFoundError,
        ConflictError,
        UnprocessableEntityError,
        RateLimitError,
        InternalServerError,
    ):
        assert kind.__bases__ == (APIStatusError,)
    for kind in (APIError, scout.StreamError, RunFailedError, ConfigurationError, scout.WorkflowFileError):
        assert kind.__bases__ == (ScoutError,)
    assert issubclass(scout.RunOutputError, ValueError)
