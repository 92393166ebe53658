"""A planted key is found nowhere: not in reprs, errors, pickles, logs, locals of our frames, or on a terminal."""

import asyncio
import base64
import contextlib
import copy
import importlib.util
import json
import logging
import os
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import run_here, run_process
from servers import (
    WORKFLOW,
    Behaviour,
    Caller,
    ForeignTransport,
    ForeignTransportAsync,
    Server,
    answer,
    chunked,
    close_unanswered,
    corrupt_gzip,
    full_backlog_url,
    half_body,
    html,
    json_answer,
    not_tls,
    raw,
    redirect,
    refused_url,
    reset_after_request,
    run_answer,
    silent,
    trickle_body,
)

import scout
from scout import ConfigurationError, ScoutError

PLANTED = "secret_PLANTED0123456789abcdef"
OK = json_answer(run_answer())
OURS = (Path(scout.__file__).parent, Path(str(importlib.util.find_spec("scout_generated").origin)).parent)  # type: ignore[union-attr]


def check_text(text: str | bytes, where: str, key: str = PLANTED) -> None:
    """Fail when the key, or its base64, stands in a text. The text is not printed."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    plain = key.encode("utf-8", "surrogatepass")
    encodings = (plain, base64.b64encode(plain).rstrip(b"="), repr(key).encode()[1:-1])
    if any(each in data for each in encodings):
        raise AssertionError(f"the key stands in {where}: {data.replace(plain, b'<<KEY>>')!r:.2000}")


def check_object(thing: Any, where: str, key: str = PLANTED) -> None:
    """Look at an object in every way in which it could end up in a log or a file."""
    check_text(repr(thing), f"repr of {where}", key)
    check_text(str(thing), f"str of {where}", key)
    check_text(f"{thing!a}", f"ascii of {where}", key)
    with contextlib.suppress(TypeError, AttributeError, pickle.PicklingError):
        check_text(pickle.dumps(thing), f"pickle of {where}", key)
    with contextlib.suppress(TypeError, AttributeError):
        check_text(repr(copy.deepcopy(thing)), f"repr of a deep copy of {where}", key)


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and everything that hangs on it, whether a traceback would show it or not."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [other for other in (each.__cause__, each.__context__) if other is not None]
        waiting += getattr(each, "exceptions", ())


def is_ours(filename: str) -> bool:
    return any(folder in Path(filename).parents for folder in OURS)


def check_frames(error: BaseException, key: str = PLANTED) -> None:
    """No local of any frame of ours shows the key, in the error or in anything that hangs on it."""
    frames = 0
    for each in chain(error):
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if not is_ours(frame.f_code.co_filename):
                continue
            frames += 1
            for name, value in frame.f_locals.items():
                where = f"local {name} of {frame.f_code.co_qualname} ({type(each).__name__})"
                check_text(_repr(value), where, key)
    assert frames, "no frame of ours was looked at"


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - half-built objects
        return ""


def check_error(error: Any, key: str = PLANTED) -> None:
    assert isinstance(error, ScoutError), repr(error)
    check_frames(error, key)
    for each in chain(error):
        check_object(each, type(each).__name__, key)
        check_text(repr(each.args), "args", key)
        check_text(repr(vars(each)), f"attributes of {type(each).__name__}", key)
    for attempt in error.attempts:
        check_object(attempt, "Attempt", key)
    check_text("".join(traceback.format_exception(error)), "the traceback", key)


def foreign_transport(call: Caller) -> Any:
    return ForeignTransportAsync() if call.is_async else ForeignTransport()


# --- Every kind of error ----------------------------------------------------------------------------------

ANSWERS: dict[str, Behaviour] = {
    **{
        str(status): json_answer({"detail": "no"}, status)
        for status in (302, 400, 401, 402, 403, 404, 408, 409, 413, 418, 422, 429, 500, 503, 520, 999)
    },
    "429 for an hour": answer(429, b"", {"Retry-After": "3600"}),
    "redirect": redirect("https://elsewhere.example/"),
    "HTML": html("<h1>Welcome</h1>"),
    "empty": answer(200),
    "foreign JSON": json_answer({"unexpected": True}),
    "nested deeply": answer(200, "[" * 100_000),
    "corrupt gzip": corrupt_gzip(run_answer("x" * 500)),
    "half a body": half_body(b'{"run": {}}' * 20),
    "half a chunked body": chunked([b'{"run'], finish=False),
    "reset": reset_after_request,
    "closed": close_unanswered,
    "silent": silent(),
    "trickle": trickle_body(0.05),
    "failed run": json_answer(run_answer(stop_reason="workflow_run_failed", errors=["no"])),
}


@pytest.mark.parametrize("what", ANSWERS)
@pytest.mark.parametrize("source", ["text", "function", "environment"])
def test_errors_of_answers(
    call: Caller, what: str, source: str, monkeypatch: pytest.MonkeyPatch, no_waiting: None
) -> None:
    monkeypatch.setenv("SCOUT_API_KEY", PLANTED)
    keys: dict[str, Any] = {"text": PLANTED, "function": lambda: PLANTED, "environment": None}
    with Server(ANSWERS[what]) as server:
        error = call.error(server.url, client={"api_key": keys[source]}, timeout=0.15, deadline=0.3)

    assert server.requests[0].headers["authorization"] == f"Bearer {PLANTED}"
    check_error(error)


@contextlib.contextmanager
def tls(request: pytest.FixtureRequest) -> Iterator[str]:
    with Server(not_tls) as server:
        yield server.url.replace("http", "https")


@contextlib.contextmanager
def dns(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.getfixturevalue("unresolvable_url")


PLACES: dict[str, Callable[..., Any]] = {
    "refused": lambda request: refused_url(),
    "connect timeout": lambda request: full_backlog_url(),
    "TLS": tls,
    "DNS": dns,
}


@pytest.mark.parametrize("place", PLACES)
def test_errors_of_connecting(call: Caller, place: str, request: pytest.FixtureRequest, no_waiting: None) -> None:
    with PLACES[place](request) as url:
        error = call.error(url, client={"api_key": PLANTED, "connect_timeout": 0.1})

    check_error(error)


def test_errors_of_a_foreign_transport(call: Caller) -> None:
    with Server(OK) as server:
        options = {"api_key": PLANTED, "transport": foreign_transport(call)}
        check_error(call.error(server.url, client=options))


def test_a_deadline_between_attempts(call: Caller) -> None:
    with Server(answer(429, b"", {"Retry-After": "30"})) as server:
        check_error(call.error(server.url, client={"api_key": PLANTED}, deadline=0.5))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"inputs": {"when": object()}}, id="inputs: object()"),
        {"inputs": {"number": float("nan")}},
        {"workflow": {"blocks": [{}]}},
        {"workflow": "no-such-file.yml"},
        {"environment": "prodution"},
        {"timeout": -1},
        {"retries": -1},
        {"extra_headers": {"Bad Name": "x"}},
        pytest.param({"extra_body": {"odd": object()}}, id="extra_body: object()"),
    ],
    ids=str,
)
def test_errors_before_sending(call: Caller, options: dict[str, Any]) -> None:
    with Server(OK) as server:
        error = call.error(server.url, client={"api_key": PLANTED}, **options)

    assert server.connections == 0
    check_error(error)


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "http://api.example.com"},
        {"base_url": "nonsense"},
        {"base_url": "https://["},
        {"environment": "prodution"},
        {"timeout": -1},
        {"retries": "many"},
        {"headers": {"Bad Name": "x"}},
        {"headers": {"Authorization": f"Bearer {PLANTED}"}},
        {"headers": {"X-Token": f"{PLANTED}\n"}},
    ],
    ids=lambda options: next(iter(options)) + repr(options).replace(PLANTED, "KEY"),
)
def test_errors_of_the_constructor(call: Caller, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        call.client_class(PLANTED, **options)
    original = call.client_class("other")
    with pytest.raises(ConfigurationError) as caught_too:
        original.with_options(api_key=PLANTED, **options)

    if "headers" in options:
        return check_text(str(caught.value), "the message")  # `headers` is the caller's own, shown as given
    check_error(caught.value)
    check_error(caught_too.value)
    return None


# --- A server that gives the key back ---------------------------------------------------------------------


@pytest.mark.parametrize("status", [302, 400, 401, 403, 422, 429, 500, 999])
def test_an_echo_in_an_error(call: Caller, status: int) -> None:
    """A careless proxy repeats the request in its error: in the body, in the headers, in a list of details."""
    echo = {
        "detail": [
            {"loc": ["header", "authorization"], "msg": f"bad token Bearer {PLANTED}", "type": PLANTED},
        ],
        "message": PLANTED,
        PLANTED: [PLANTED],
    }
    headers = {"X-Echo": f"Bearer {PLANTED}", "X-Request-Id": PLANTED, "Location": f"/?key={PLANTED}"}
    with Server(json_answer(echo, status, headers)) as server:
        error = call.error(server.url, client={"api_key": PLANTED, "rate_limit_timeout": 0}, retries=0)

    assert error.status == status
    check_error(error)


@pytest.mark.parametrize("content_type", ["text/html", "text/plain; charset=utf-16", "application/json"])
def test_an_echo_in_a_page(call: Caller, content_type: str) -> None:
    page = f"<title>Bearer {PLANTED}</title>"
    with Server([answer(500, page, content_type=content_type), answer(200, page, content_type=content_type)]) as server:
        for _ in range(2):
            check_error(call.error(server.url, client={"api_key": PLANTED}))


def test_an_echo_in_json_escapes(call: Caller) -> None:
    """The same key, written in another way: `\\u0073ecret_...` is `secret_...` once the body is parsed."""
    escaped = "".join(f"\\u{ord(character):04x}" for character in PLANTED)
    with Server(answer(401, f'{{"detail": "bad key {escaped}"}}')) as server:
        check_error(call.error(server.url, client={"api_key": PLANTED}))


def test_an_echo_cut_by_a_broken_body(call: Caller) -> None:
    body = f'{{"detail": "bad key {PLANTED}"'.encode()
    with Server(chunked([body[:25], body[25:]], status=401, finish=False)) as server:
        check_error(call.error(server.url, client={"api_key": PLANTED}))


def test_an_echo_with_a_rotated_key(call: Caller) -> None:
    """By the time the error is made, the function returns another key; the one that was sent must be cut out."""
    keys = iter([PLANTED, "secret_second", "secret_third", "secret_fourth", "secret_fifth"])
    with Server(json_answer({"detail": f"bad key {PLANTED}"}, 401)) as server:
        error = call.error(server.url, client={"api_key": lambda: next(keys)})

    assert server.requests[0].headers["authorization"] == f"Bearer {PLANTED}"
    check_error(error)


def test_an_echo_in_a_2xx_that_is_no_run(call: Caller) -> None:
    with Server(json_answer({"you_sent": f"Bearer {PLANTED}"})) as server:
        check_error(call.error(server.url, client={"api_key": PLANTED}))


def test_an_echo_in_a_status_line(call: Caller) -> None:
    with Server(raw(f"HTTP/1.1 200 OK\r\nBearer {PLANTED}\r\n\r\n".encode())) as server:
        check_error(call.error(server.url, client={"api_key": PLANTED}))


# --- Objects ----------------------------------------------------------------------------------------------


def test_objects(call: Caller) -> None:
    """Clients, their copies, the raw client and runs, before and after a call."""

    def program(client_class: Any) -> Any:
        client = client_class(PLANTED, base_url=server.url, headers={"X-Also-Secret": PLANTED[::-1]})
        other = client.with_options(timeout=3.0)
        rotated = client.with_options(api_key=lambda: PLANTED)
        try:
            for moment in ("before", "after"):
                for name, thing in {
                    "the client": client,
                    "a copy": other,
                    "a client with a function": rotated,
                    "raw": client.raw,
                }.items():
                    check_object(thing, f"{name} {moment} the call")
                    check_text(repr(thing), f"headers of {name}", PLANTED[::-1])
                for thing in (client, other, rotated):
                    for name, value in vars(thing).items():
                        check_text(_repr(value), f"attribute {name}")
                run = yield client.execute(WORKFLOW, {"a": 1})
                check_object(run, "the run")
                yield rotated.execute(WORKFLOW)
        finally:
            yield client.close()

    with Server(OK) as server:
        call.drive(program)

    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {PLANTED}"}


def test_a_pickled_client_holds_no_key(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    client = call.client_class(PLANTED)

    check_text(pickle.dumps(client), "the pickle")
    monkeypatch.setenv("SCOUT_API_KEY", PLANTED)
    check_text(pickle.dumps(call.client_class()), "the pickle of a client with its key from the environment")


# --- Logs and terminals -----------------------------------------------------------------------------------


def test_debug_logs(
    call: Caller,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    no_waiting: None,
    request: pytest.FixtureRequest,
) -> None:
    """All loggers at DEBUG: success, repetitions, refusals, resets, timeouts, and no connection at all."""
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "stamina", "scout", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    script = [OK, answer(429), answer(503), answer(401), reset_after_request, silent(), close_unanswered]
    with Server(script) as server, refused_url() as nowhere:
        for _ in script:
            call(server.url, client={"api_key": PLANTED}, timeout=0.2)
        call(nowhere, client={"api_key": PLANTED})

    assert caplog.records, "there is something to look at"
    for record in caplog.records:
        check_text(record.getMessage(), f"a message of {record.name}")
        check_text(repr(vars(record)), f"a record of {record.name}")
        check_text(logging.Formatter().format(record), f"a formatted record of {record.name}")
    shown = capfd.readouterr()
    check_text(shown.out + shown.err, "standard output")


def test_asyncio_debug_mode(caplog: pytest.LogCaptureFixture) -> None:
    """In debug mode asyncio writes reprs of tasks and their arguments to the log."""
    caplog.set_level(logging.DEBUG)

    async def main(url: str) -> None:
        async with scout.AsyncScout(PLANTED, base_url=url) as client:
            task = asyncio.create_task(client.execute(WORKFLOW))
            check_text(repr(task), "repr of a task")
            await asyncio.sleep(0.15)
            check_text(repr(task), "repr of a running task")
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    with Server(silent()) as server:
        asyncio.run(main(server.url), debug=True)
    for record in caplog.records:
        check_text(record.getMessage(), f"a message of {record.name}")


# --- Keys that cannot be sent -----------------------------------------------------------------------------

BAD_KEYS = {
    "space": "PLANTEDa bPLANTED",
    "leading space": " PLANTEDkey",
    "line break": "PLANTEDkey\n",
    "carriage return": "PLANTEDkey\r\nX-Injected: 1",
    "tab": "PLANTED\tkey",
    "null": "PLANTED\x00key",
    "delete": "PLANTED\x7fkey",
    "Cyrillic": "PLANTEDключ",
    "Latin-1": "PLANTEDcaf\xe9",
    "no-break space": "PLANTED\xa0key",
    "surrogate": "PLANTED\ud800",
}


@pytest.mark.parametrize("name", BAD_KEYS)
@pytest.mark.parametrize("source", ["text", "function", "environment", "with_options"])
def test_a_bad_key_is_refused_and_not_shown(
    call: Caller, name: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = BAD_KEYS[name]
    if source == "environment":
        if "\0" in key or "\ud800" in key:
            pytest.skip("the environment cannot hold such a key")
        monkeypatch.setenv("SCOUT_API_KEY", key)
    with Server(OK) as server:
        if source == "function":
            error = call.error(server.url, client={"api_key": lambda: key})
        else:
            makers = {
                "text": lambda: call.client_class(key, base_url=server.url),
                "environment": lambda: call.client_class(base_url=server.url),
                "with_options": lambda: call.client_class("other").with_options(api_key=key),
            }
            with pytest.raises(ConfigurationError) as caught:
                makers[source]()
            error = caught.value

    assert server.connections == 0
    assert isinstance(error, ConfigurationError)
    assert error.run_may_have_started is False
    assert "key" in str(error)
    check_error(error, key)
    check_error(error, "PLANTED")


@pytest.mark.parametrize(
    "key", ["", b"PLANTEDkey", 5, None, ["PLANTEDkey"]], ids=["empty", "bytes", "5", "None", "list"]
)
def test_what_is_no_key(call: Caller, key: Any) -> None:
    """As an argument (where `None` means the environment) and out of a function."""
    with Server(OK) as server:
        with pytest.raises(ConfigurationError) as caught:
            call.client_class(key, base_url=server.url)
        error = call.error(server.url, client={"api_key": lambda: key})

    assert server.connections == 0
    check_error(caught.value, "PLANTED")
    check_error(error, "PLANTED")


def test_a_half_built_client_can_be_shown(call: Caller) -> None:
    """Tools that print locals call `repr` on whatever they find, and a constructor that failed is such a place."""
    with pytest.raises(ConfigurationError) as caught:
        call.client_class("PLANTED key")

    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    for line in shown.stack:
        if is_ours(line.filename):
            check_text(repr(line.locals), f"captured locals of {line.name}", "PLANTED")


def test_without_a_key_the_message_says_where_to_get_one(call: Caller) -> None:
    with pytest.raises(ConfigurationError, match="SCOUT_API_KEY"):
        call.client_class()


def test_an_empty_variable_is_no_key(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOUT_API_KEY", "")
    with pytest.raises(ConfigurationError, match="SCOUT_API_KEY"):
        call.client_class()


def test_a_function_is_asked_for_each_request(call: Caller, no_waiting: None) -> None:
    keys = (f"secret_{number}" for number in range(100))
    with Server([answer(429), OK]) as server:
        call.run(server.url, client={"api_key": lambda: next(keys)})

    first, second = (request.headers["authorization"] for request in server.requests)
    assert first != second


# --- The command ------------------------------------------------------------------------------------------


def environment(url: str, key: str) -> dict[str, str]:
    return {**os.environ, "SCOUT_API_KEY": key, "SCOUT_BASE_URL": url, "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def workflow_file(tmp_path: Path) -> Path:
    path = tmp_path / "workflow.json"
    path.write_text(json.dumps(WORKFLOW))
    return path


@pytest.mark.skipif(importlib.util.find_spec("scout.cli") is None, reason="there is no command yet")
@pytest.mark.parametrize(
    ("what", "code", "options"),
    [
        ("ok", 0, []),
        ("ok", 0, ["--json"]),
        ("failed run", 1, []),
        ("failed run", 1, ["--json"]),
        ("401", 2, ["--json"]),
        ("echo", 2, []),
        ("echo", 2, ["--json"]),
        ("HTML", 3, []),
        ("closed", 3, []),
        ("refused", 3, []),
    ],
)
def test_the_command(what: str, code: int, options: list[str], workflow_file: Path) -> None:
    behaviour = ANSWERS | {"ok": OK, "echo": json_answer({"detail": f"Bearer {PLANTED}"}, 403)}
    with Server(behaviour.get(what, OK)) as server, refused_url() as nowhere:
        url = nowhere if what == "refused" else server.url
        done = run_here("run", workflow_file, *options, env=environment(url, PLANTED), cwd=workflow_file.parent)

    check_text(done.stdout, "standard output")
    check_text(done.stderr, "standard error")
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(importlib.util.find_spec("scout.cli") is None, reason="there is no command yet")
@pytest.mark.parametrize("key", ["PLANTED a b", "PLANTED\n", "PLANTEDключ", ""])
def test_the_command_with_a_bad_key(key: str, workflow_file: Path) -> None:
    with Server(OK) as server:
        done = run_process("run", workflow_file, env=environment(server.url, key), cwd=workflow_file.parent)

    assert server.connections == 0
    assert done.returncode == 2, done.stderr
    assert "PLANTED" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


# --- The key goes where it belongs ------------------------------------------------------------------------


def test_the_key_is_sent_once_and_only_as_a_bearer_token(call: Caller) -> None:
    with Server(OK) as server:
        call.run(server.url, {"a": 1}, client={"api_key": PLANTED}, session_id="s", extra_query={"q": "1"})

    (request,) = server.requests
    assert request.headers["authorization"] == f"Bearer {PLANTED}"
    check_text(request.target, "the URL")
    check_text(request.body, "the body")
    others = {name: value for name, value in request.headers.items() if name != "authorization"}
    check_text(repr(others), "other headers")


def test_a_redirect_does_not_carry_the_key_away(call: Caller) -> None:
    with Server(OK) as elsewhere, Server(redirect(elsewhere.url, 307)) as server:
        check_error(call.error(server.url, client={"api_key": PLANTED}))

    assert elsewhere.connections == 0


def test_the_environment_of_the_process_is_not_asked_for_other_credentials(
    call: Caller, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A `.netrc` entry for the host must not replace the key."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with Server(OK) as server:
        call.run(server.url, client={"api_key": PLANTED})

    assert server.requests[0].headers["authorization"] == f"Bearer {PLANTED}"


def test_our_frames_are_really_looked_at(call: Caller) -> None:
    """The search above finds a key where there is one: in a frame of a file of ours."""
    source = "def leak(key):\n    raise scout.ConfigurationError('x')\n"
    code = compile(source, str(Path(scout.__file__).parent / "leaky.py"), "exec")
    space: dict[str, Any] = {"scout": scout}
    exec(code, space)
    with pytest.raises(ConfigurationError) as caught:
        space["leak"](PLANTED)

    with pytest.raises(AssertionError, match="local key of leak"):
        check_error(caught.value)
