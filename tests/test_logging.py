"""The logger `scout`: what is written at which level, and what never is; and SCOUT_LOG of the command."""

import asyncio
import logging
import re
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import KEY, WORKFLOW, Caller, Server, answer, delayed, json_answer, run_answer, stream

from scout import AsyncScout, Scout, ScoutError, _observers, _pool
from scout.cli import main

OK = json_answer(run_answer("an output"), headers={"X-Request-Id": "req_1"})
TOO_MANY = answer(429, "", {"Retry-After": "1.5"})


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger="scout")
    return caplog


def lines(log: pytest.LogCaptureFixture) -> list[str]:
    found = [record for record in log.records if record.name == "scout"]
    return [f"{record.levelname} {re.sub('[0-9.]+ s', '# s', record.getMessage())}" for record in found]


def test_a_call_at_the_level_debug(call: Caller, log: pytest.LogCaptureFixture, no_waiting: None) -> None:
    with Server([TOO_MANY, OK]) as server:
        call.run(server.url, {"a": "an input"}, session_id="sess_9", extra_query={"q": "a query"})

    assert lines(log) == [
        "DEBUG POST /v2/workflows/execute: attempt 1 of execute_workflow_config",
        "DEBUG 429 after # s",
        "INFO attempt 1 failed: 429 Too Many Requests: no body; retry after # s; waiting # s",
        "DEBUG POST /v2/workflows/execute: attempt 2 of execute_workflow_config",
        "DEBUG 200 after # s (request id req_1)",
        "DEBUG execute_workflow_config: done after # s, requests: 2",
    ]
    first, refused, wait, _, fine, end = [vars(record) for record in log.records if record.name == "scout"]
    assert (first["method"], first["path"], first["attempt"]) == ("POST", "/v2/workflows/execute", 1)
    assert {each["operation"] for each in (first, refused, wait, fine, end)} == {"execute_workflow_config"}
    assert {each["session_id"] for each in (first, refused, wait, fine, end)} == {"sess_9"}
    assert (fine["status"], fine["request_id"]) == (200, "req_1")
    assert (end["attempts"], end["error"]) == (2, None)
    assert 0 < fine["seconds"] <= end["seconds"] < 10


def test_what_is_never_in_a_record(call: Caller, log: pytest.LogCaptureFixture, no_waiting: None) -> None:
    echo = answer(429, f"you sent {KEY}", {"Retry-After": "0", "X-Request-Id": KEY})
    with Server([echo, OK]) as server:
        call.run(server.url, {"a": "an input"}, extra_query={"q": "a query"})

    shown = "".join(f"{record.getMessage()} {vars(record)}" for record in log.records if record.name == "scout")
    assert "[redacted]" in shown
    assert not re.search(f"{KEY}|an input|an output|a query", shown)


def test_the_end_of_a_call_that_failed(call: Caller, log: pytest.LogCaptureFixture) -> None:
    with Server(answer(500, "no")) as server:
        error = call.error(server.url)

    assert lines(log)[-1] == "DEBUG execute_workflow_config: failed with InternalServerError after # s, requests: 1"
    assert type(vars(log.records[-1])["error"]) is type(error)


def test_a_stream_ends_with_its_last_event(log: pytest.LogCaptureFixture) -> None:
    event = b'data: {"name": "workflow_run_completed", "data": {}}\n\n'
    with (
        Server(stream([event, 5.0], content_type="text/event-stream")) as server,
        Scout(KEY, base_url=server.url) as scout,
        scout.stream(WORKFLOW) as events,
    ):
        next(events)
        assert lines(log)[-1] == "DEBUG execute_workflow_config: done after # s, requests: 1"


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_a_long_call_is_information(
    call: Caller, level: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_observers, "_LONG", 0.05)
    caplog.set_level(level, logger="scout")
    with Server(delayed(0.1, OK)) as server:
        call.run(server.url)

    assert lines(caplog)[-1] == "INFO execute_workflow_config: done after # s, requests: 1"
    assert len(lines(caplog)) == {"DEBUG": 3, "INFO": 1}[level]


def test_a_long_wait_for_a_connection_is_information(
    call: Caller, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pool, "_LONG", 0.05)
    caplog.set_level("INFO", logger="scout")
    with Server(delayed(0.2, OK)) as server:
        if call.is_async:

            async def run() -> None:
                async with AsyncScout(KEY, base_url=server.url, max_connections=1) as scout:
                    await asyncio.gather(scout.execute(WORKFLOW), scout.execute(WORKFLOW))

            asyncio.run(run())
        else:
            with Scout(KEY, base_url=server.url, max_connections=1) as scout:
                other = threading.Thread(target=scout.execute, args=(WORKFLOW,))
                other.start()
                scout.execute(WORKFLOW)
                other.join()

    assert lines(caplog) == ["INFO waited # s for a free connection (max_connections)"]
    assert vars(caplog.records[-1])["seconds"] > 0.05


def test_nothing_normal_is_a_warning(call: Caller, caplog: pytest.LogCaptureFixture, no_waiting: None) -> None:
    caplog.set_level("WARNING", logger="scout")
    with Server([TOO_MANY, answer(500, "no")]) as server:
        call.error(server.url)

    assert lines(caplog) == []


# --- SCOUT_LOG ----------------------------------------------------------------------------------------------------


@pytest.fixture
def workflow(tmp_path: Path) -> str:
    path = tmp_path / "workflow.json"
    path.write_text('{"blocks": []}', encoding="utf-8")
    return str(path)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], no_waiting: None) -> Any:
    def call(server: Server, level: str, *args: str) -> tuple[int, str, str]:
        monkeypatch.setenv("SCOUT_API_KEY", KEY)
        monkeypatch.setenv("SCOUT_BASE_URL", server.url)
        monkeypatch.setenv("SCOUT_LOG", level)
        code = main(["run", *args])
        shown = capsys.readouterr()
        return code, shown.out, re.sub(r"[0-9.]+ s\b", "# s", shown.err)

    return call


STAMP = r"\d\d:\d\d:\d\d\.\d\d\d "


@pytest.mark.parametrize("level", ["debug", "DEBUG"])
def test_the_command_shows_the_log(run: Any, workflow: str, level: str) -> None:
    with Server([TOO_MANY, OK]) as server:
        code, out, err = run(server, level, workflow)

    assert (code, out) == (0, "an output\n")
    assert re.sub(f"(?m)^{STAMP}", "", err).splitlines() == [
        "DEBUG POST /v2/workflows/execute: attempt 1 of execute_workflow_config",
        "DEBUG 429 after # s",
        "INFO attempt 1 failed: 429 Too Many Requests: no body; retry after # s; waiting # s",
        "DEBUG POST /v2/workflows/execute: attempt 2 of execute_workflow_config",
        "DEBUG 200 after # s (request id req_1)",
        "DEBUG execute_workflow_config: done after # s, requests: 2",
        "scout: run run_1 completed in # s",
    ]
    assert len(re.findall(f"(?m)^{STAMP}", err)) == 6


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("info", "INFO attempt 1 failed: 429 Too Many Requests: no body; retry after # s; waiting # s\n"),
        ("warning", "scout: 429, waiting # s, attempt 2\n"),
        ("", "scout: 429, waiting # s, attempt 2\n"),
    ],
)
def test_each_wait_is_shown_once(run: Any, workflow: str, level: str, shown: str) -> None:
    with Server([TOO_MANY, OK]) as server:
        _, _, err = run(server, level, workflow)

    assert re.sub(f"(?m)^{STAMP}", "", err) == f"{shown}scout: run run_1 completed in # s\n"


def test_another_value_is_refused(run: Any, workflow: str) -> None:
    with Server(OK) as server:
        code, out, err = run(server, "verbose", workflow)

    assert (code, out, server.hits) == (2, "", 0)
    assert err == "scout: SCOUT_LOG is 'verbose', which is none of debug, info, warning\n"


def test_the_help_needs_no_right_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOUT_LOG", "verbose")
    assert main(["--help"]) == 0


def test_the_key_is_not_shown_when_a_server_echoes_it(run: Any, workflow: str) -> None:
    echo = answer(429, f"you sent {KEY}\x1b[31m", {"Retry-After": "0", "X-Request-Id": KEY})
    with Server([echo, OK]) as server:
        _, _, err = run(server, "debug", workflow)

    assert KEY not in err
    assert "\x1b" not in err
    assert err.count("[redacted]") == 3


def test_the_logger_is_left_as_it_was(run: Any, workflow: str) -> None:
    log = logging.getLogger("scout")
    before = log.level, list(log.handlers)
    with Server(OK) as server:
        run(server, "debug", workflow)

    assert (log.level, list(log.handlers)) == before


def test_a_broken_stderr_does_not_cost_the_run(
    run: Any, workflow: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(text: str) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("scout.cli._logs.say", broken)
    with Server(OK) as server:
        assert run(server, "debug", workflow)[:2] == (0, "an output\n")


def test_a_transport_of_the_caller_is_logged_as_well(call: Caller, log: pytest.LogCaptureFixture) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("gone")

    with pytest.raises(ScoutError):
        raise call.error("https://scout.test", client={"transport": httpx.MockTransport(refuse)})
    assert lines(log)[-1] == "DEBUG execute_workflow_config: failed with APIConnectionError after # s, requests: 1"
