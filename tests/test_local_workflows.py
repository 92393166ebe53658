"""The local Scout's stored workflows, asked with a bare HTTP client: no misreading of ours may agree with itself."""

import json
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from scout.errors import ConfigurationError
from scout.local import LocalScout

Json = dict[str, Any]

BASE = "/v2/workflows"
KEY = {"authorization": "Bearer key"}
SPEC = json.loads((resources.files("scout_generated") / "openapi.json").read_text("utf-8"))


def says(text: str, **more: Any) -> Json:
    block = {"block_id": "a", "block_archetype_id": "com.scoutos.text", "block_display_name": "A", "is_output": True}
    return {"blocks": [{**block, "block_inputs": {"text": text}}], **more}


def check(schema: str, value: Any) -> None:
    """The specification itself says whether the server keeps to it."""
    reference = {"$ref": f"#/components/schemas/{schema}", "components": SPEC["components"]}
    jsonschema.Draft202012Validator(reference).validate(value)


class Client:
    def __init__(self, local: LocalScout) -> None:
        self.local = local
        self.http = httpx.Client(base_url=local.url, headers=KEY, timeout=20)

    def stored(self, response: httpx.Response) -> Json:
        assert response.status_code == 200, response.text
        check("WorkflowResponse", response.json())
        return response.json()["data"]

    def create(self, config: Json | None = None, **query: str) -> Json:
        return self.stored(self.http.post(BASE, params=query, json=config or {}))

    def revise(self, config: Json, **query: str) -> Json:
        return self.stored(self.http.post(f"{BASE}/revisions", params=query, json=config))

    def update(self, workflow_id: str, config: Json) -> Json:
        return self.stored(self.http.put(f"{BASE}/{workflow_id}", json=config))

    def get(self, workflow_id: str) -> Json:
        return self.stored(self.http.get(f"{BASE}/{workflow_id}"))

    def page(self, **query: Any) -> Json:
        response = self.http.get(BASE, params=query)
        assert response.status_code == 200, response.text
        check("ListWorkflowsResponse", response.json())
        return response.json()

    def keys(self, **query: Any) -> list[str | None]:
        """The keys of all pages."""
        found: list[str | None] = []
        while True:
            page = self.page(**query)
            found += [workflow["workflow_key"] for workflow in page["data"]]
            assert page["has_more"] is (page["next_cursor"] is not None)
            if not page["has_more"]:
                return found
            query["start_at"] = page["next_cursor"]

    def run(self, workflow_id: str, body: Json | None = None, **query: str) -> Json:
        response = self.http.post(f"{BASE}/{workflow_id}/execute", params=query, json=body or {"streaming": False})
        assert response.status_code == 200, response.text
        check("WorkflowRunResponse", response.json())
        return response.json()

    def output(self, workflow_id: str, **query: str) -> Any:
        return self.run(workflow_id, **query)["run"]["state"]["a"]["output"]


def refused(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    check("ErrorBody", response.json())
    detail = response.json()["detail"]
    assert isinstance(detail, str)
    return detail


def details(response: httpx.Response) -> list[Json]:
    assert response.status_code == 422, response.text
    check("HTTPValidationError", response.json())
    return response.json()["detail"]


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


class TestLife:
    def test_a_workflow_comes_back_as_it_was_sent(self, client: Client) -> None:
        config = {"z": None, "blocks": [], "a": {"fraction": 1.10, "big": 2**70, "text": "\u2028 é \x00"}, "tags": None}
        created = client.create(config, workflow_key="mine")

        assert created["workflow_id"].startswith("wf_")
        assert created["revision_id"].startswith("rev_")
        assert created["workflow_key"] == "mine"
        assert created["is_draft"] is False
        assert created["created_at"] == created["last_updated_at"]
        assert datetime.fromisoformat(created["created_at"]).tzinfo is not None
        for stored in (created, client.get(created["workflow_id"])):
            assert json.dumps(stored["workflow_config"]) == json.dumps(config)

    def test_revisions(self, client: Client) -> None:
        created = client.create(says("one"), workflow_key="mine")
        by_key = client.revise(says("two"), workflow_key="mine")
        by_id = client.revise(says("three"), workflow_id=created["workflow_id"])

        assert {each["workflow_id"] for each in (created, by_key, by_id)} == {created["workflow_id"]}
        assert len({each["revision_id"] for each in (created, by_key, by_id)}) == 3
        assert created["last_updated_at"] < by_key["last_updated_at"] < by_id["last_updated_at"]
        assert created["created_at"] == by_id["created_at"]
        assert client.get(created["workflow_id"]) == by_id

    def test_a_draft_is_seen_and_not_deployed(self, client: Client) -> None:
        created = client.create(says("deployed"))
        draft = client.update(created["workflow_id"], says("draft"))

        assert draft["is_draft"] is True
        assert draft["revision_id"] != created["revision_id"]
        assert client.get(created["workflow_id"]) == draft
        assert client.page()["data"] == [draft]
        for environment in ("production", "staging", "development"):
            assert client.output(created["workflow_id"], environment=environment) == "deployed"
        assert client.output(created["workflow_id"]) == "deployed"
        assert client.output(created["workflow_id"], environment="console") == "draft"

        assert client.revise(says("next"), workflow_id=created["workflow_id"])["is_draft"] is False
        assert client.output(created["workflow_id"]) == "next"
        assert client.output(created["workflow_id"], environment="console") == "next"

    def test_a_revision_runs_whatever_the_environment(self, client: Client) -> None:
        one = client.create(says("one"))
        two = client.update(one["workflow_id"], says("two"))
        client.revise(says("three"), workflow_id=one["workflow_id"])
        for environment in ("production", "console"):
            for revision, output in ((one, "one"), (two, "two")):
                query = {"environment": environment, "revision_id": revision["revision_id"]}
                assert client.output(one["workflow_id"], **query) == output

    def test_a_revision_of_another_workflow_is_not_found(self, client: Client) -> None:
        one, other = client.create(says("one")), client.create(says("other"))
        response = client.http.post(
            f"{BASE}/{one['workflow_id']}/execute", params={"revision_id": other["revision_id"]}, json={}
        )
        assert other["revision_id"] in refused(response, 404)

    def test_deleting(self, client: Client) -> None:
        created = client.create(says("one"), workflow_key="mine")
        response = client.http.delete(f"{BASE}/{created['workflow_id']}")

        check("DeleteWorkflowResponse", response.json())
        assert client.page()["data"] == []
        for method, path, body in (
            ("GET", created["workflow_id"], None),
            ("DELETE", created["workflow_id"], None),
            ("PUT", created["workflow_id"], {}),
            ("POST", f"{created['workflow_id']}/execute", {}),
        ):
            response = client.http.request(method, f"{BASE}/{path}", json=body)
            assert created["workflow_id"] in refused(response, 404)
        refused(client.http.post(f"{BASE}/revisions", params={"workflow_key": "mine"}, json={}), 404)
        assert client.create(says("one"), workflow_key="mine")["workflow_id"] != created["workflow_id"]


class TestRuns:
    def test_a_stored_workflow_runs_as_a_config_does(self, client: Client) -> None:
        created = client.create(says("Hello, {{ inputs.name }}"), workflow_key="mine")
        answer = client.run(
            created["workflow_id"], {"inputs": {"name": "Ada"}, "streaming": False}, session_id="sess_mine"
        )
        assert answer["workflow_id"] == created["workflow_id"]
        assert answer["run"]["session_id"] == "sess_mine"
        assert answer["output_block_id"] == "a"
        assert answer["run"]["state"]["a"] == {"output": "Hello, Ada"}
        assert answer["run"]["state"]["__exp_global"]["workflow"]["workflow_id"] == created["workflow_id"]
        (run,) = client.local.runs
        assert (run.workflow_key, run.inputs, run.output) == ("mine", {"name": "Ada"}, "Hello, Ada")

    def test_it_streams(self, client: Client) -> None:
        created = client.create(says("Hello"))
        response = client.http.post(f"{BASE}/{created['workflow_id']}/execute", json={"streaming": True})

        assert response.headers["content-type"].startswith("text/event-stream")
        events = [
            json.loads(line.removeprefix("data: ")) for line in response.text.splitlines() if line.startswith("data")
        ]
        for event in events:
            check("WorkflowEvent", event)
            assert event["data"]["workflow_id"] == created["workflow_id"]
        assert events[-1]["name"] == "workflow_run_completed"

    def test_blocks_that_cannot_be_ordered_are_stored_and_not_run(self, client: Client) -> None:
        config = says("x")
        config["blocks"][0]["dependencies"] = [{"block_id": "nowhere"}]
        created = client.create(config)

        assert details(client.http.post(f"{BASE}/{created['workflow_id']}/execute", json={}))


class TestList:
    def test_pages_in_both_directions_and_orders(self, client: Client) -> None:
        keys: list[str | None] = [f"k{number}" for number in range(7)]
        ids = {key: client.create(workflow_key=str(key))["workflow_id"] for key in keys}
        client.update(ids["k2"], {})
        by_update = [key for key in keys if key != "k2"] + ["k2"]

        for limit in (1, 3, 7, 50, 5000):
            assert client.keys(limit=limit) == keys
            assert client.keys(limit=limit, direction="desc") == keys[::-1]
            assert client.keys(limit=limit, sort="created_at", direction="asc") == keys
            assert client.keys(limit=limit, sort="last_updated_at") == by_update
            assert client.keys(limit=limit, sort="last_updated_at", direction="desc") == by_update[::-1]

    def test_a_list_stays_whole_while_workflows_come_and_go(self, client: Client) -> None:
        ids = [client.create(workflow_key=f"k{number}")["workflow_id"] for number in range(6)]
        first = client.page(limit=2)
        for gone in (ids[0], ids[2]):  # one that was seen, and the one that the next page begins with
            client.http.delete(f"{BASE}/{gone}")
        client.create(workflow_key="new")

        assert client.keys(limit=2, start_at=first["next_cursor"]) == ["k3", "k4", "k5", "new"]

    @pytest.mark.parametrize(
        ("query", "keys"),
        [
            ({"query": "light"}, ["a", "b"]),
            ({"query": "LIGHT house"}, ["a"]),
            ({"query": "straße"}, ["c"]),
            ({"query": "c"}, ["c", "d"]),
            ({"query": "nowhere"}, []),
            ({"query": "%"}, []),
            ({"tags": "x"}, ["a", "b"]),
            ({"tags": "x,y"}, ["b"]),
            ({"tags": "x", "query": "house"}, ["a"]),
            ({"tags": "', 1) OR 1=1 --"}, []),
            ({"drive": "true"}, ["a", "b", "c", "d"]),
        ],
    )
    def test_filters(self, query: Json, keys: list[str], client: Client) -> None:
        client.create({"workflow_display_name": "Lighthouse", "tags": ["x"]}, workflow_key="a")
        client.create({"workflow_description": "a light one", "tags": ["x", "y"]}, workflow_key="b")
        client.create({"workflow_display_name": "STRASSE", "tags": None}, workflow_key="c")
        client.create({"workflow_display_name": None, "workflow_description": "Cc"}, workflow_key="d")

        assert client.keys(limit=1, **query) == keys

    @pytest.mark.parametrize(
        ("query", "kind"),
        [
            ({"limit": "0"}, "greater_than_equal"),
            ({"limit": "-1"}, "greater_than_equal"),
            ({"limit": "many"}, "int_type"),
            ({"limit": ""}, "int_type"),
            ({"limit": "9" * 100}, "int_type"),
            ({"drive": "maybe"}, "bool_type"),
            ({"sort": "colour"}, "value_error"),
            ({"direction": "up"}, "value_error"),
            ({"start_at": "yesterday"}, "value_error"),
            ({"start_at": "0001-01-01T00:00:00+23:00"}, "value_error"),
        ],
    )
    def test_what_cannot_be_asked(self, query: Json, kind: str, client: Client) -> None:
        (detail,) = details(client.http.get(BASE, params=query))

        assert detail["loc"] == ["query", *query]
        assert detail["type"] == kind

    def test_a_page_costs_the_same_wherever_it_begins(self, client: Client) -> None:
        """Told by the plan of the query, and not by a clock: no page may look at all workflows, or sort them."""
        client.create()
        plan: list[str] = []
        store = client.local._store
        assert store is not None
        store._db.set_trace_callback(plan.append)
        client.page(limit=5, direction="desc", start_at="2025-01-01T00:00:00Z")
        store._db.set_trace_callback(None)
        (statement,) = (line for line in plan if "ORDER BY" in line)
        told = " ".join(row[3] for row in store._db.execute(f"EXPLAIN QUERY PLAN {statement}"))

        assert "SCAN" not in told
        assert "TEMP B-TREE" not in told


class TestRefusals:
    def test_a_key_that_is_taken(self, client: Client) -> None:
        client.create(workflow_key="mine")

        assert "revision" in refused(client.http.post(BASE, params={"workflow_key": "mine"}, json={}), 409)
        assert client.keys() == ["mine"]

    def test_twenty_at_once_make_one_workflow(self, client: Client) -> None:
        statuses: Counter[int] = Counter()
        start = threading.Barrier(20)

        def create() -> None:
            with httpx.Client(base_url=client.local.url, headers=KEY) as http:
                start.wait(10)
                statuses[http.post(BASE, params={"workflow_key": "mine"}, json={}).status_code] += 1

        threads = [threading.Thread(target=create) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)

        assert statuses == {200: 1, 409: 19}
        assert client.keys() == ["mine"]

    @pytest.mark.parametrize("query", [{}, {"workflow_id": "a", "workflow_key": "b"}])
    def test_a_revision_needs_either_an_id_or_a_key(self, query: Json, client: Client) -> None:
        assert "workflow_key" in refused(client.http.post(f"{BASE}/revisions", params=query, json={}), 400)

    def test_an_empty_key(self, client: Client) -> None:
        (detail,) = details(client.http.post(BASE, params={"workflow_key": ""}, json={}))
        assert detail["loc"] == ["query", "workflow_key"]

    @pytest.mark.parametrize(
        ("method", "path"),
        [("POST", BASE), ("POST", f"{BASE}/revisions?workflow_id=a"), ("PUT", f"{BASE}/a")],
    )
    @pytest.mark.parametrize(
        "content",
        [
            *(b"", b"{", b"[]", b"null", b'{"blocks": {}}', b'{"blocks": [{}]}', b'{"a": NaN}'),
            *(b'{"a": "\\ud800"}', b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"),
        ],
        ids=lambda content: content[:20].decode(),
    )
    def test_a_body_that_is_no_config(self, method: str, path: str, content: bytes, client: Client) -> None:
        response = client.http.request(method, path, content=content, headers={"content-type": "application/json"})
        assert details(response)[0]["loc"][0] == "body"

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", BASE),
            ("POST", BASE),
            ("POST", f"{BASE}/revisions"),
            ("GET", f"{BASE}/a"),
            ("PUT", f"{BASE}/a"),
            ("DELETE", f"{BASE}/a"),
            ("POST", f"{BASE}/a/execute"),
        ],
    )
    def test_a_key_is_needed_everywhere(self, method: str, path: str, client: Client) -> None:
        response = httpx.request(method, client.local.url + path, json={})
        assert "Bearer" in refused(response, 401)

    @pytest.mark.parametrize(
        ("path", "allowed"),
        [
            (BASE, {"GET", "HEAD", "POST"}),
            (f"{BASE}/a", {"GET", "HEAD", "PUT", "DELETE"}),
            (f"{BASE}/a/execute", {"POST"}),
        ],
    )
    def test_methods_that_there_are_not(self, path: str, allowed: set[str], client: Client) -> None:
        response = client.http.request("PATCH", path, json={})

        refused(response, 405)
        assert set(response.headers["allow"].split(", ")) == allowed

    @pytest.mark.parametrize("segment", ["a%2Fb", "%2E%2E", "a%3Fx", "a%23f", "%20", "x" * 300, "%C3%A9", "%00", "a'b"])
    def test_an_id_is_one_segment(self, segment: str, client: Client) -> None:
        for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/execute")):
            # As it stands: httpx would write some of these anew.
            url = httpx.URL(client.local.url).copy_with(raw_path=f"{BASE}/{segment}{path}".encode())
            response = client.http.request(method, url, json={})
            assert "There is no workflow with the id" in refused(response, 404)


class TestFile:
    def test_a_file_keeps_workflows(self, tmp_path: Path) -> None:
        path = tmp_path / "scout.db"
        with LocalScout(store=path) as local, (client := Client(local)).http:
            stored = client.create(says("kept"), workflow_key="mine")
            draft = client.update(stored["workflow_id"], says("draft"))
        with LocalScout(store=path) as local, (client := Client(local)).http:
            assert client.get(stored["workflow_id"]) == draft
            assert client.output(stored["workflow_id"]) == "kept"
            refused(client.http.post(BASE, params={"workflow_key": "mine"}, json={}), 409)
            later = client.create(workflow_key="other")
            assert later["created_at"] > draft["last_updated_at"]

    def test_two_servers_may_share_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "scout.db"
        with LocalScout(store=path) as one, LocalScout(store=path) as two:
            first, second = Client(one), Client(two)
            with first.http, second.http:
                stored = first.create(says("kept"))
                assert second.output(stored["workflow_id"]) == "kept"

    def test_a_reader_does_not_keep_others_from_writing(self, tmp_path: Path) -> None:
        path = tmp_path / "scout.db"
        with LocalScout(store=path) as local, (client := Client(local)).http:
            reader = sqlite3.connect(path, isolation_level=None)
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM workflows").fetchall()
            client.create(workflow_key="mine")
            reader.close()
            assert client.keys() == ["mine"]

    def test_a_writer_does_and_nothing_is_lost_or_stuck(self, tmp_path: Path) -> None:
        path = tmp_path / "scout.db"
        with LocalScout(store=path) as local, (client := Client(local)).http:
            writer = sqlite3.connect(path, isolation_level=None)
            writer.execute("BEGIN IMMEDIATE")
            response = client.http.post(BASE, params={"workflow_key": "mine"}, json={})
            assert "store of the local Scout" in refused(response, 500)
            assert "locked" in response.json()["detail"]
            writer.close()
            assert client.keys() == []
            client.create(workflow_key="mine")
            assert client.keys() == ["mine"]

    def test_many_servers_may_begin_with_the_same_file(self, tmp_path: Path) -> None:
        program = """
import sys
from scout.local.store import Store
print("ready", flush=True)
for path in sys.stdin:
    Store(path.strip()).close()
    print("done", flush=True)
"""
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        begins = [subprocess.Popen([sys.executable, "-c", program], text=True, bufsize=1, **pipes) for _ in range(6)]
        for process in begins:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for number in range(3):
            for process in begins:
                assert process.stdin is not None
                process.stdin.write(f"{tmp_path / str(number)}.db\n")
            for process in begins:
                assert process.stdout is not None
                assert process.stdout.readline() == "done\n", process.communicate(timeout=30)
        for process in begins:
            assert process.communicate(timeout=30) == ("", "")
            assert process.returncode == 0

    def test_what_another_has_spelt_in_another_way_is_the_same(self, tmp_path: Path) -> None:
        path = tmp_path / "scout.db"
        with LocalScout(store=path, workflows={"mine": says("kept")}) as local, (client := Client(local)).http:
            first = client.get(local.workflow_ids["mine"])
        db = sqlite3.connect(path)
        db.execute("UPDATE revisions SET config = ?", (json.dumps(says("kept"), indent=3),))
        db.commit()
        db.close()
        with LocalScout(store=path, workflows={"mine": says("kept")}) as local, (client := Client(local)).http:
            assert client.get(first["workflow_id"]) == first

    def test_a_file_that_is_locked_says_so(self, tmp_path: Path) -> None:
        path = tmp_path / "scout.db"
        workflows = {"mine": says("kept")}
        with LocalScout(store=path, workflows=workflows) as local:
            writer = sqlite3.connect(path, isolation_level=None)
            writer.execute("BEGIN IMMEDIATE")
            with pytest.raises(ConfigurationError, match="locked"):
                local.reset()
            with pytest.raises(ConfigurationError, match="locked"):
                LocalScout(store=path, workflows={"mine": says("other")}).start()
            writer.close()
            local.reset()

    def test_large_workflows_make_short_pages(self, tmp_path: Path) -> None:
        with LocalScout() as local, (client := Client(local)).http:
            for number in range(3):
                client.create({"text": "x" * 8_000_000}, workflow_key=f"k{number}")
            sizes = []
            start: Json = {}
            while True:
                page = client.http.get(BASE, params={"limit": 50, **start}).json()
                sizes.append(len(page["data"]))
                if not page["has_more"]:
                    break
                start = {"start_at": page["next_cursor"]}
            assert sizes == [2, 1]

    def test_a_file_that_is_none_of_ours(self, tmp_path: Path) -> None:
        (tmp_path / "text").write_text("This is no database, but it is long enough to be looked at as one. " * 20)
        other = sqlite3.connect(tmp_path / "other.db")
        other.execute("CREATE TABLE mine (a)")
        other.close()
        for path, said in (
            ("text", "not a database"),
            ("other.db", "another program"),
            ("no/folder", "unable to open"),
        ):
            with pytest.raises(ConfigurationError, match=said) as raised:
                LocalScout(store=tmp_path / path).start()
            assert str(tmp_path / path) in str(raised.value)
        assert sqlite3.connect(tmp_path / "other.db").execute("SELECT count(*) FROM mine").fetchone() == (0,)

    def test_without_one_nothing_is_kept(self, client: Client) -> None:
        client.create(workflow_key="mine")
        with LocalScout() as local, (other := Client(local)).http:
            assert other.keys() == []
