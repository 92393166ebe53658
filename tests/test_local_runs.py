"""The local Scout's logs of runs, asked with a bare HTTP client: while runs go on, and however they end."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from servers import settled
from test_local_workflows import BASE, KEY, Client, Json, check, details, refused, says

from scout.local import Access, Fault, LocalScout
from scout.local import run_logs as logs

LOGS, DETAILS = "/v2/run_logs", "/v2/run_logs/details"
WAIT = "com.example.wait"


def block(block_id: str, archetype: str, *needs: str, **more: Any) -> Json:
    return {
        "block_id": block_id,
        "block_archetype_id": archetype,
        "block_display_name": block_id.title(),
        "dependencies": [{"block_id": needed} for needed in needs],
        **more,
    }


class Gate:
    """A block that waits until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self, inputs: Json, _: object) -> str:
        self.entered.set()
        assert self.open.wait(20)
        return "done"


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture(scope="module")
def server() -> Iterator[LocalScout]:
    with LocalScout() as local:
        yield local


@pytest.fixture
def client(server: LocalScout) -> Iterator[Client]:
    server.reset()
    client = Client(server)
    with client.http:
        yield client


def detail(client: Client, workflow_id: str, **query: str) -> Json:
    response = client.http.get(DETAILS, params={"workflow_id": workflow_id, **query})
    assert response.status_code == 200, response.text
    check("RunLog", response.json())
    return response.json()


def page(client: Client, workflow_id: str, **query: Any) -> tuple[list[Json], Json]:
    response = client.http.get(LOGS, params={"workflow_id": workflow_id, **query})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    *rows, end = [json.loads(frame.removeprefix("data: ")) for frame in response.text.split("\n\n")[:-1]]
    for row in rows:
        check("RunLog", row)
    check("RunLogPageEnd", end)
    assert end == {"final": True, "next_cursor": end["next_cursor"], "has_more": end["next_cursor"] is not None}
    return rows, end


def sessions(client: Client, workflow_id: str, **query: Any) -> list[str]:
    """The sessions of all pages."""
    found: list[str] = []
    while True:
        rows, end = page(client, workflow_id, **query)
        found += [row["session_id"] for row in rows]
        if not end["has_more"]:
            return found
        query["cursor"] = end["next_cursor"]


def cut(client: Client, workflow_id: str, session_id: str, body: Json, **options: Any) -> None:
    """Run, and lose the connection."""
    url, query = f"{BASE}/{workflow_id}/execute", {"session_id": session_id}
    with pytest.raises(httpx.TransportError):
        client.http.post(url, params=query, json=body, **options)


@contextmanager
def sent(client: Client, workflow_id: str, body: Json, **query: str) -> Iterator[None]:
    """Send a request to run, and go away at the end without having read anything."""
    url = httpx.URL(client.local.url)
    content = json.dumps(body)
    head = f"POST {BASE}/{workflow_id}/execute?{urlencode(query)} HTTP/1.1\r\nHost: {url.netloc.decode()}\r\n"
    head += f"Authorization: {KEY['authorization']}\r\nContent-Length: {len(content)}\r\n\r\n"
    with socket.create_connection((url.host, url.port or 0), timeout=20) as connection:
        connection.sendall((head + content).encode())
        yield


def ended(client: Client, workflow_id: str, session_id: str) -> Json:
    assert settled(lambda: detail(client, workflow_id, session_id=session_id)["status"] != "running")
    return detail(client, workflow_id, session_id=session_id)


class TestOneRun:
    def test_what_a_run_did(self, client: Client) -> None:
        model = {"model": "m", "prompt_items": [{"role": "user", "content": "Say {{ greeting.output }}"}], "n": 1.5}
        config = {
            "workflow_display_name": "Greeter",
            "blocks": [
                block("inputs", "com.scoutos.input", block_inputs={"items": [{"key": "name"}]}),
                block("greeting", "com.scoutos.text", "inputs", block_inputs={"text": "Hello, {{ inputs.name }}"}),
                block("answer", "com.scoutos.llm", "greeting", block_inputs=model, is_output=True),
            ],
        }
        stored = client.create(config)
        answer = client.run(stored["workflow_id"], {"inputs": {"name": "Ada"}}, environment="staging")
        log = detail(client, stored["workflow_id"], workflow_run_id=answer["run"]["workflow_run_id"])

        assert {name: log[name] for name in ("workflow_display_name", "status", "environment", "message")} == {
            "workflow_display_name": "Greeter",
            "status": "completed",
            "environment": "staging",
            "message": "",
        }
        assert log["session_id"] == answer["run"]["session_id"]
        assert (log["workflow_id"], log["revision_id"]) == (stored["workflow_id"], stored["revision_id"])
        assert log["output"] == answer["run"]["state"]["answer"]["output"] == "[m stand-in] Say Hello, Ada"
        assert list(log["blocks"]) == ["inputs", "greeting", "answer"]
        blocks = log["blocks"].values()
        assert [each["block_output"] for each in blocks] == [
            {"name": "Ada"},
            {"output": "Hello, Ada"},
            {"output": log["output"]},
        ]
        assert [each["block_inputs"] for each in blocks] == [
            {"items": [{"key": "name"}]},
            {"text": "Hello, Ada"},
            {**model, "prompt_items": [{"role": "user", "content": "Say Hello, Ada"}]},
        ]
        assert [each["config"] for each in blocks] == config["blocks"]
        assert [each["block_display_name"] for each in blocks] == ["Inputs", "Greeting", "Answer"]
        assert {(each["status"], each["message"]) for each in blocks} == {("completed", "")}
        assert log["cost"] == log["blocks"]["answer"]["cost"] > 0
        times = [log["timestamp_start"]]
        times += [each[name] for each in blocks for name in ("timestamp_start", "timestamp_end")]
        assert [*times, log["timestamp_end"]] == sorted([*times, log["timestamp_end"]])
        assert {datetime.fromisoformat(time).utcoffset() is not None for time in times} == {True}
        assert log["elapsed_time_ms"] >= max(each["elapsed_time_ms"] for each in blocks) >= 0

    def test_a_run_that_failed(self, client: Client) -> None:
        blocks = [
            block("a", "com.scoutos.text", block_inputs={"text": "{{ 1 / 0 }}"}, ignore_error=True),
            block("b", "com.scoutos.unknown", "a", block_inputs={"x": "{{ a.error }}"}),
            block("c", "com.scoutos.text", "b"),
        ]
        stored = client.create({"blocks": blocks}, workflow_key="mine")
        answer = client.run(stored["workflow_id"])
        log = detail(client, stored["workflow_id"], session_id=answer["run"]["session_id"])

        assert (log["status"], log["message"], log["output"]) == ("failed", answer["run"]["errors"][0], None)
        assert log["workflow_display_name"] == "mine"
        assert list(log["blocks"]) == ["a", "b"]
        assert [each["status"] for each in log["blocks"].values()] == ["failed", "failed"]
        assert 'Block "a" failed' in log["blocks"]["a"]["message"]
        assert log["blocks"]["a"]["block_output"]["error"] == log["blocks"]["a"]["message"]
        assert log["blocks"]["b"]["message"] == log["message"]
        # Its templates were never rendered: these are its settings as they stand.
        assert log["blocks"]["b"]["block_inputs"] == {"x": "{{ a.error }}"}

    def test_a_run_that_goes_on_is_there_from_its_start(self, gate: Gate, client: Client) -> None:
        client.local.stub(WAIT, gate)
        config = {"blocks": [block("a", "com.scoutos.text", block_inputs={"text": "x"}), block("inputs", WAIT, "a")]}
        workflow_id = client.create(config)["workflow_id"]
        answers: list[Json] = []
        run = threading.Thread(target=lambda: answers.append(client.run(workflow_id, session_id="sess_a")))
        run.start()
        assert gate.entered.wait(20)
        log = detail(client, workflow_id, session_id="sess_a")
        (row,), _ = page(client, workflow_id, status="running")

        for each in (log, row):
            assert (each["status"], each["timestamp_end"], each["output"]) == ("running", None, None)
            assert [found["status"] for found in each["blocks"].values()] == ["completed", "running"]
            assert each["blocks"]["a"]["block_output"] == {"output": "x"}
            # The inputs of the run are in the state under this name, and they are not the output of the block.
            assert each["blocks"]["inputs"]["block_output"] is None
            assert each["blocks"]["inputs"]["timestamp_end"] is None
        gate.open.set()
        run.join(20)
        log = detail(client, workflow_id, session_id="sess_a")
        assert log["workflow_run_id"] == answers[0]["run"]["workflow_run_id"] == row["workflow_run_id"]
        assert (log["status"], log["output"]) == ("completed", "done")

    @pytest.mark.parametrize("streaming", [False, True])
    def test_a_run_whose_client_has_gone(self, streaming: bool, gate: Gate, client: Client) -> None:
        client.local.stub(WAIT, gate)
        blocks = [block("a", "com.scoutos.text", block_inputs={"text": "x"}), block("b", WAIT, "a")]
        workflow_id = client.create({"blocks": blocks})["workflow_id"]
        with sent(client, workflow_id, {"streaming": streaming}, session_id="sess_a"):
            assert gate.entered.wait(20)
        log = ended(client, workflow_id, "sess_a")

        assert log["status"] == "failed"
        assert "client went away" in log["message"]
        assert log["blocks"]["a"]["block_output"] == {"output": "x"}
        assert log["blocks"]["b"]["status"] == "failed"
        assert "stopped" in log["blocks"]["b"]["message"]
        assert log["timestamp_end"] is not None
        assert client.local.runs == []

    def test_a_report_of_a_request_says_that_its_run_was_cancelled(self, gate: Gate) -> None:
        reports: list[Access] = []
        config = {"blocks": [block("a", WAIT)]}
        with LocalScout(blocks={WAIT: gate}, workflows={"w": config}, on_access=reports.append) as local:
            client = Client(local)
            with client.http, sent(client, local.workflow_ids["w"], {}, session_id="sess_a"):
                assert gate.entered.wait(20)
            assert settled(lambda: reports)
            gate.open.set()
        [report] = reports
        assert "the client went away" in report.errors[0]

    def test_a_client_that_goes_while_the_blocks_of_a_failed_run_stop(self, client: Client) -> None:
        stopping = threading.Event()

        async def slow_to_stop(*_: object) -> str:
            try:
                await asyncio.sleep(20)
            finally:
                stopping.set()
                await asyncio.sleep(0.2)
            return "late"

        client.local.stub(WAIT, slow_to_stop)
        blocks = [block("a", WAIT), block("b", "com.scoutos.text", block_inputs={"text": "{{ 1 // 0 }}"})]
        workflow_id = client.create({"blocks": blocks})["workflow_id"]
        with sent(client, workflow_id, {}, session_id="sess_a"):
            assert stopping.wait(20)
        log = ended(client, workflow_id, "sess_a")

        assert (log["status"], log["blocks"]["a"]["status"]) == ("failed", "failed")
        assert 'Block "b" failed' in log["message"]
        assert [run.id for run in client.local.runs] == [log["workflow_run_id"]]

    def test_a_stream_that_breaks_off(self, client: Client) -> None:
        workflow_id = client.create(says("x"))["workflow_id"]
        client.local.fail_next(cut_after=2)
        cut(client, workflow_id, "sess_a", {"streaming": True})
        log = ended(client, workflow_id, "sess_a")

        assert (log["status"], list(log["blocks"])) == ("failed", ["a"])
        assert "a fault broke the answer off" in log["message"]

    @pytest.mark.parametrize("fault", [{"cut_after": 0}, {"cut_after": 1}, {"stall_after": 0}])
    def test_a_run_that_ended_before_its_answer_was_lost(self, fault: Json, client: Client) -> None:
        workflow_id = client.create(says("x"))["workflow_id"]
        client.local.fail_next(**fault)
        with sent(client, workflow_id, {}, session_id="sess_a"):
            assert settled(lambda: client.local.runs)
        log = detail(client, workflow_id, session_id="sess_a")

        assert (log["status"], log["output"]) == ("completed", "x")
        assert [run.id for run in client.local.runs] == [log["workflow_run_id"]]

    @pytest.mark.parametrize(
        ("fault", "body"), [({"delay": 5}, {}), ({"cut_after": 0}, {"streaming": True}), ({"status": 503}, None)]
    )
    def test_a_run_that_never_started_is_not_there(self, fault: Json, body: Json | None, client: Client) -> None:
        workflow_id = client.create(says("x"))["workflow_id"]
        client.local.fail_next(**fault)
        if body is None:
            assert client.http.post(f"{BASE}/{workflow_id}/execute", json={}).status_code == 503
        else:
            cut(client, workflow_id, "sess_a", body, timeout=0.3)

        query = {"workflow_id": workflow_id, "session_id": "sess_a"}
        assert "no such run" in refused(client.http.get(DETAILS, params=query), 404)
        assert page(client, workflow_id)[0] == []

    def test_a_session_with_several_runs_gives_the_newest(self, client: Client) -> None:
        workflow_id = client.create(says("x"))["workflow_id"]
        ids = [client.run(workflow_id, session_id="sess_a")["run"]["workflow_run_id"] for _ in range(3)]
        client.run(workflow_id, session_id="sess_b")

        assert detail(client, workflow_id, session_id="sess_a")["workflow_run_id"] == ids[-1]

    def test_it_tells_what_was_run_also_when_that_was_deleted(self, client: Client) -> None:
        one = client.create(says("one"))
        client.run(one["workflow_id"], session_id="sess_a")
        draft = client.update(one["workflow_id"], says("draft"))
        client.run(one["workflow_id"], session_id="sess_b", environment="console")
        client.revise(says("two"), workflow_id=one["workflow_id"])
        client.http.delete(f"{BASE}/{one['workflow_id']}/revisions/{one['revision_id']}")
        a, b = (detail(client, one["workflow_id"], session_id=session) for session in ("sess_a", "sess_b"))

        assert (b["environment"], b["revision_id"], b["output"]) == ("console", draft["revision_id"], "draft")
        assert b["blocks"]["a"]["config"] == says("draft")["blocks"][0]
        assert (a["revision_id"], a["output"]) == (one["revision_id"], "one")
        assert (a["blocks"]["a"]["config"], a["blocks"]["a"]["block_inputs"]) == ({}, {"text": "one"})

    def test_the_log_is_late_or_has_an_error_when_it_is_asked_to(self, client: Client) -> None:
        workflow_id = client.create(says("x"))["workflow_id"]
        client.run(workflow_id, session_id="sess_a")
        query = {"workflow_id": workflow_id, "session_id": "sess_a"}
        client.local.fail_next(Fault(status=404, match=f"GET {DETAILS}", times=2))
        client.local.fail_next(503)  # the first request that is none for the details

        assert [client.http.get(DETAILS, params=query).status_code for _ in range(2)] == [404, 404]
        assert client.http.get(LOGS, params={"workflow_id": workflow_id}).status_code == 503
        assert detail(client, workflow_id, session_id="sess_a")["status"] == "completed"

    def test_it_is_asked_for_by_one_of_two_or_by_both(self, client: Client) -> None:
        workflow_id = client.create(says("x"))["workflow_id"]
        run, other = (client.run(workflow_id, session_id=each)["run"] for each in ("sess_a", "sess_b"))
        assert "session_id" in refused(client.http.get(DETAILS, params={"workflow_id": workflow_id}), 400)
        both = {"session_id": "sess_a", "workflow_run_id": run["workflow_run_id"]}
        assert detail(client, workflow_id, **both)["workflow_run_id"] == run["workflow_run_id"]
        query = {"workflow_id": workflow_id, **both, "workflow_run_id": other["workflow_run_id"]}
        assert "no such run" in refused(client.http.get(DETAILS, params=query), 404)

    def test_whose_run_it_is_matters(self, client: Client) -> None:
        one, other = (client.create(says("x"))["workflow_id"] for _ in range(2))
        run_id = client.run(one)["run"]["workflow_run_id"]
        config = client.http.post(f"{BASE}/execute", json={"workflow_config": says("x")}).json()
        for workflow_id, run, said in (
            (other, run_id, "no such run"),
            ("wf_none", run_id, "wf_none"),
            (config["workflow_id"], config["run"]["workflow_run_id"], config["workflow_id"]),
        ):
            query = {"workflow_id": workflow_id, "workflow_run_id": run}
            assert said in refused(client.http.get(DETAILS, params=query), 404)
        client.http.delete(f"{BASE}/{one}")
        assert one in refused(client.http.get(LOGS, params={"workflow_id": one}), 404)


class TestPages:
    def test_newest_first_whatever_the_size_of_a_page(self, client: Client) -> None:
        workflow_id, other = (client.create(says("x"))["workflow_id"] for _ in range(2))
        names = [f"sess_{number}" for number in range(7)]
        for name in names:
            client.run(workflow_id, session_id=name)
            client.run(other, session_id="other")

        for limit in (1, 3, 7, 50, 5000):
            assert sessions(client, workflow_id, limit=limit) == names[::-1]

    def test_a_list_stays_whole_while_runs_come(self, client: Client) -> None:
        workflow_id = client.create(says("x"))["workflow_id"]
        for number in range(4):
            client.run(workflow_id, session_id=f"sess_{number}")
        _, end = page(client, workflow_id, limit=2)
        client.run(workflow_id, session_id="new")

        assert sessions(client, workflow_id, limit=1, cursor=end["next_cursor"]) == ["sess_1", "sess_0"]

    def test_filters(self, client: Client) -> None:
        workflow_id = client.create(says("{{ 1 / inputs.n }}"))["workflow_id"]
        for number in range(4):
            client.run(workflow_id, {"inputs": {"n": number % 2}}, session_id=f"sess_{number // 2}")
        rows, _ = page(client, workflow_id)
        starts = [row["timestamp_start"] for row in rows]
        assert [row["status"] for row in rows] == ["completed", "failed"] * 2

        def found(**query: str) -> list[int]:
            matching, _ = page(client, workflow_id, **query)
            return [starts.index(row["timestamp_start"]) for row in matching]

        assert found(status="failed") == [1, 3]
        assert found(status="running") == []
        assert found(session_id="sess_0") == [2, 3]
        assert found(session_id="sess_0", status="failed") == [3]
        assert found(start_date=starts[2]) == [0, 1, 2]
        assert found(end_date=starts[2]) == [2, 3]
        assert found(start_date=starts[2], end_date=starts[1]) == [1, 2]
        assert found(start_date=starts[2].removesuffix("Z")) == [0, 1, 2]
        assert found(start_date="2999-01-01") == []

    def test_a_summary_has_no_blocks_and_no_output(self, client: Client) -> None:
        workflow_id = client.create(says("x"))["workflow_id"]
        client.run(workflow_id)
        ((whole,), _), ((summary,), _) = (page(client, workflow_id, summary_only=only) for only in ("false", "true"))

        assert (whole["output"], list(whole["blocks"])) == ("x", ["a"])
        assert summary == {**whole, "blocks": {}, "output": None}

    @pytest.mark.parametrize(
        ("query", "kind"),
        [
            ({"start_date": "yesterday"}, "value_error"),
            ({"end_date": "0001-01-01T00:00:00+23:00"}, "value_error"),
            ({"status": "ended"}, "value_error"),
            ({"cursor": "x"}, "value_error"),
            ({"limit": "0"}, "greater_than_equal"),
            ({"summary_only": "maybe"}, "bool_type"),
        ],
    )
    def test_what_cannot_be_asked(self, query: Json, kind: str, client: Client) -> None:
        (found,) = details(client.http.get(LOGS, params={"workflow_id": "wf_a", **query}))
        assert (found["loc"], found["type"]) == (["query", *query], kind)

    @pytest.mark.parametrize("path", [LOGS, DETAILS])
    def test_a_workflow_is_needed(self, path: str, client: Client) -> None:
        (found,) = details(client.http.get(path))
        assert (found["loc"], found["type"]) == (["query", "workflow_id"], "missing")


class TestBounds:
    def test_the_oldest_runs_are_dropped(self, monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
        monkeypatch.setattr(logs, "MOST_ENTRIES", 3)
        workflow_id = client.create(says("x"))["workflow_id"]
        for number in range(5):
            client.run(workflow_id, session_id=f"sess_{number}")

        assert sessions(client, workflow_id) == ["sess_4", "sess_3", "sess_2"]

    def test_also_by_size_and_while_they_run(self, monkeypatch: pytest.MonkeyPatch, gate: Gate, client: Client) -> None:
        monkeypatch.setattr(logs, "MOST_BYTES", 20_000)
        client.local.stub(WAIT, gate)
        waiting = client.create({"blocks": [block("a", WAIT)]})["workflow_id"]
        run = threading.Thread(target=client.run, args=(waiting,), kwargs={"session_id": "sess_a"})
        run.start()
        assert gate.entered.wait(20)
        assert sessions(client, waiting) == ["sess_a"]
        large = client.create(says("{{ 'x' * 9000 }}"))["workflow_id"]  # in its rendered settings and in the state
        client.run(large, session_id="sess_b")
        assert sessions(client, waiting) == []
        client.run(large, session_id="sess_c")
        gate.open.set()
        run.join(20)

        # The last one is never dropped, and a run that was dropped is not counted when it ends.
        assert (sessions(client, waiting), sessions(client, large)) == ([], ["sess_c"])
        log = client.local._history.logs
        assert log._bytes == sum(each.size for each in log._runs.values()) > 18_000

    def test_what_is_kept_is_kept_once(self, client: Client) -> None:
        workflow_id = client.create(says("x"))["workflow_id"]
        client.run(workflow_id)
        (run,) = client.local.runs
        (logged,) = client.local._history.logs._runs.values()

        assert logged.content is run.content
        assert logged.sent is run.sent
        assert logged.live_state is None

    def test_a_reset_drops_also_what_runs(self, gate: Gate, client: Client) -> None:
        client.local.stub(WAIT, gate)
        waiting = client.create({"blocks": [block("a", WAIT)]})["workflow_id"]
        run = threading.Thread(target=client.run, args=(waiting,))
        run.start()
        assert gate.entered.wait(20)
        client.local.reset()
        gate.open.set()
        run.join(20)

        assert kept(client) == 0

    def test_the_text_of_a_model_costs_the_log_nothing_before_it_is_whole(self, client: Client) -> None:
        """Counted and not timed: what is written into the log is written once, however many pieces there are."""
        calls: list[int] = []
        pieces = [f"{number} " for number in range(2000)]
        client.local.stub(WAIT, lambda inputs, context: iter(pieces))
        workflow_id = client.create({"blocks": [block("a", WAIT)]})["workflow_id"]
        grow = logs.RunLogs.grow
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(logs.RunLogs, "grow", lambda log, run, by: (calls.append(by), grow(log, run, by)))
            answer = client.http.post(f"{BASE}/{workflow_id}/execute", json={"streaming": True})

        assert answer.text.count("block_state_updated") > 2000
        assert len(calls) <= 4  # the run, its block, the rendered settings, the end


def kept(client: Client) -> int:
    return len(client.local._history.logs._runs)
