"""The local Scout's revisions and environments, asked with a bare HTTP client; files that an older version wrote."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from test_local_workflows import BASE, Client, Json, check, details, refused, says

from scout.errors import ConfigurationError
from scout.local import LocalScout
from scout.local.store import Store

NAMES = ["development", "staging", "production"]
LATEST = {"revision_lookup": "latest"}


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


def revisions(client: Client, workflow_id: str) -> list[Json]:
    response = client.http.get(f"{BASE}/{workflow_id}/revisions")
    assert response.status_code == 200, response.text
    check("ListWorkflowRevisionsResponse", response.json())
    return response.json()["data"]


def environments(client: Client, workflow_id: str) -> dict[str, Json]:
    response = client.http.get(f"{BASE}/{workflow_id}/environments")
    assert response.status_code == 200, response.text
    check("ListWorkflowEnvironmentsResponse", response.json())
    return {each["environment_config"]["name"]: each for each in response.json()["data"]}


def put(client: Client, workflow_id: str, environment: str, /, *deployments: Json, **more: Any) -> httpx.Response:
    environment_id = environments(client, workflow_id)[environment]["environment_id"]
    body = {"name": environment, "description": "", "deployments": deployments, **more}
    return client.http.put(f"{BASE}/{workflow_id}/environments/{environment_id}", json=body)


def pin(client: Client, workflow_id: str, name: str, revision_id: str) -> None:
    response = put(client, workflow_id, name, {"revision_lookup": "revision_id", "revision_id": revision_id})
    assert (response.status_code, response.json()) == (200, {"success": True})
    check("UpdateWorkflowEnvironmentResponse", response.json())


def promote(client: Client, workflow_id: str, revision_id: str) -> httpx.Response:
    return client.http.put(f"{BASE}/{workflow_id}/revisions/{revision_id}/promote")


def outputs(client: Client, workflow_id: str) -> list[str]:
    return [client.output(workflow_id, environment=name) for name in NAMES]


def deployed(client: Client, workflow_id: str) -> list[Json]:
    """What each environment runs, without the share of the traffic."""
    configs = [environments(client, workflow_id)[name]["deployments"][0]["deployment_config"] for name in NAMES]
    return [{key: value for key, value in config.items() if key != "traffic"} for config in configs]


def listed(*revisions: Json) -> list[Json]:
    """The revisions as the list has them, with the time when each was made."""
    return [{**each, "created_at": each["last_updated_at"]} for each in revisions]


class TestRevisions:
    def test_they_are_listed_newest_first_and_as_they_were_made(self, client: Client) -> None:
        one = client.create(says("one"), workflow_key="mine")
        two = client.revise(says("two"), workflow_key="mine")
        client.create(says("other"))

        assert revisions(client, one["workflow_id"]) == listed(two, one)

    def test_drafts_are_not_among_them(self, client: Client) -> None:
        one = client.create(says("one"))
        draft = client.update(one["workflow_id"], says("draft"))

        assert revisions(client, one["workflow_id"]) == [one]
        for method, path, body in (("PUT", "", {"name": "a"}), ("DELETE", "", None), ("PUT", "/promote", None)):
            url = f"{BASE}/{one['workflow_id']}/revisions/{draft['revision_id']}{path}"
            assert "is a draft" in refused(client.http.request(method, url, json=body), 404)
        response = put(client, one["workflow_id"], "staging", {**LATEST, "revision_lookup": "revision_id"} | _id(draft))
        assert "is a draft" in refused(response, 404)

    def test_a_name_is_kept_and_the_description_with_it(self, client: Client) -> None:
        one = client.create(says("one"))
        url = f"{BASE}/{one['workflow_id']}/revisions/{one['revision_id']}"

        for body in ({"name": "a", "description": "first"}, {"name": "b"}, {"name": "c", "description": None}):
            response = client.http.put(url, json=body)
            check("WorkflowRevisionResponse", response.json())
            assert response.json() == {"data": one}
        store = client.local._store
        assert store is not None
        assert store._db.execute("SELECT name, description FROM revisions").fetchall() == [("c", "first")]
        assert details(client.http.put(url, json={"description": "x"}))[0]["loc"] == ["body", "name"]

    def test_one_that_nothing_runs_can_be_deleted(self, client: Client) -> None:
        one = client.create(says("one"))
        two = client.revise(says("two"), workflow_id=one["workflow_id"])
        response = client.http.delete(f"{BASE}/{one['workflow_id']}/revisions/{one['revision_id']}")

        assert response.status_code == 200
        check("DeleteWorkflowRevisionResponse", response.json())
        assert revisions(client, one["workflow_id"]) == listed(two)
        query = {"revision_id": one["revision_id"]}
        run = client.http.post(f"{BASE}/{one['workflow_id']}/execute", params=query, json={})
        assert one["revision_id"] in refused(run, 404)

    def test_one_that_is_needed_cannot(self, client: Client) -> None:
        one = client.create(says("one"))
        two = client.revise(says("two"), workflow_id=one["workflow_id"])
        for name in ("staging", "production"):
            pin(client, one["workflow_id"], name, one["revision_id"])

        delete = client.http.delete
        said = refused(delete(f"{BASE}/{one['workflow_id']}/revisions/{one['revision_id']}"), 409)
        assert "staging and production" in said
        said = refused(delete(f"{BASE}/{one['workflow_id']}/revisions/{two['revision_id']}"), 409)
        assert "newest revision" in said
        assert revisions(client, one["workflow_id"]) == listed(two, one)

    def test_promoting_is_for_production_alone(self, client: Client) -> None:
        one = client.create(says("one"))
        client.revise(says("two"), workflow_id=one["workflow_id"])
        response = promote(client, one["workflow_id"], one["revision_id"])

        assert response.status_code == 200
        check("WorkflowRevisionResponse", response.json())
        assert response.json() == {"data": one}
        assert outputs(client, one["workflow_id"]) == ["two", "two", "one"]
        client.revise(says("three"), workflow_id=one["workflow_id"])
        assert outputs(client, one["workflow_id"]) == ["three", "three", "one"]
        assert client.output(one["workflow_id"]) == "one"

    @pytest.mark.parametrize("path", ["revisions/rev_none", "revisions/rev_none/promote", "environments/env_none"])
    def test_what_there_is_not(self, path: str, client: Client) -> None:
        one, other = client.create(says("one")), client.create(says("other"))
        body = {"name": "production", "description": "", "deployments": [LATEST]}
        for workflow_id, said in ((one["workflow_id"], "_none"), ("wf_none", "wf_none")):
            assert said in refused(client.http.put(f"{BASE}/{workflow_id}/{path}", json=body), 404)
        of_other = path.replace("rev_none", other["revision_id"]).replace(
            "env_none", environments(client, other["workflow_id"])["production"]["environment_id"]
        )
        refused(client.http.put(f"{BASE}/{one['workflow_id']}/{of_other}", json=body), 404)
        for found in ("revisions", "environments"):
            refused(client.http.get(f"{BASE}/wf_none/{found}"), 404)


def _id(revision: Json) -> Json:
    return {"revision_id": revision["revision_id"]}


class TestEnvironments:
    def test_each_workflow_has_three_that_follow_the_newest_revision(self, client: Client) -> None:
        one = client.create(says("one"))
        found = environments(client, one["workflow_id"])

        assert list(found) == NAMES
        for environment in found.values():
            (deployment,) = environment["deployments"]
            assert deployment["environment_id"] == environment["environment_id"]
            assert deployment["deployment_config"] == {"revision_lookup": "latest", "traffic": 100}
            assert environment["created_at"] == deployment["created_at"] == one["created_at"]
        other = client.create(says("other"))
        ids = [each["environment_id"] for each in environments(client, other["workflow_id"]).values()]
        assert len({*ids, *(each["environment_id"] for each in found.values())}) == 6

    def test_staging_then_production(self, client: Client) -> None:
        workflow_id = client.create(says("one"))["workflow_id"]
        before = environments(client, workflow_id)
        pin(client, workflow_id, "production", revisions(client, workflow_id)[0]["revision_id"])
        two = client.revise(says("two"), workflow_id=workflow_id)
        assert outputs(client, workflow_id) == ["two", "two", "one"]
        pin(client, workflow_id, "production", two["revision_id"])
        assert outputs(client, workflow_id) == ["two", "two", "two"]
        client.revise(says("three"), workflow_id=workflow_id)
        assert outputs(client, workflow_id) == ["three", "three", "two"]
        assert put(client, workflow_id, "production", LATEST, description="All").json() == {"success": True}
        assert outputs(client, workflow_id) == ["three", "three", "three"]
        assert deployed(client, workflow_id) == [LATEST, LATEST, LATEST]

        after = environments(client, workflow_id)
        assert after["staging"] == before["staging"]
        assert after["production"]["environment_config"] == {"name": "production", "description": "All"}
        assert after["production"]["environment_id"] == before["production"]["environment_id"]
        assert after["production"]["created_at"] == before["production"]["created_at"]
        assert after["production"]["last_updated_at"] > before["production"]["last_updated_at"]
        old, new = (each["production"]["deployments"][0]["deployment_id"] for each in (before, after))
        assert old != new

    def test_what_is_read_can_be_sent_back(self, client: Client) -> None:
        one = client.create(says("one"))
        pin(client, one["workflow_id"], "staging", one["revision_id"])
        before = deployed(client, one["workflow_id"])
        for name, environment in environments(client, one["workflow_id"]).items():
            sent = [each["deployment_config"] for each in environment["deployments"]]
            assert put(client, one["workflow_id"], name, *sent).status_code == 200

        assert deployed(client, one["workflow_id"]) == before
        assert before[1] == {"revision_lookup": "revision_id", **_id(one)}

    def test_the_console_and_a_revision_go_before_the_environment(self, client: Client) -> None:
        one = client.create(says("one"))
        client.revise(says("two"), workflow_id=one["workflow_id"])
        pin(client, one["workflow_id"], "staging", one["revision_id"])
        draft = client.update(one["workflow_id"], says("draft"))

        assert outputs(client, one["workflow_id"]) == ["two", "one", "two"]
        assert client.output(one["workflow_id"], environment="console") == "draft"
        assert client.output(one["workflow_id"], environment="staging", **_id(draft)) == "draft"
        assert client.output(one["workflow_id"], environment="console", **_id(one)) == "one"

    @pytest.mark.parametrize(
        ("more", "loc", "said"),
        [
            ({"name": "test"}, ["name"], "rename"),
            ({"deployments": []}, ["deployments"], "one deployment"),
            ({"deployments": [{**LATEST, "traffic": 50}] * 2}, ["deployments"], "one deployment"),
            ({"deployments": [{**LATEST, "traffic": 50}]}, ["deployments", 0, "traffic"], "all the traffic"),
            ({"deployments": [{**LATEST, "revision_id": "rev_a"}]}, ["deployments", 0, "revision_id"], "goes with"),
            ({"deployments": [{"revision_lookup": "revision_id"}]}, ["deployments", 0, "revision_id"], "goes with"),
            ({"deployments": [{"revision_lookup": "oldest"}]}, ["deployments", 0, "revision_lookup"], "latest"),
            ({"deployments": [{}]}, ["deployments", 0, "revision_lookup"], "required"),
            ({"description": None}, ["description"], "string"),
        ],
    )
    def test_what_cannot_be_set(self, more: Json, loc: list[Any], said: str, client: Client) -> None:
        one = client.create(says("one"))
        (detail,) = details(put(client, one["workflow_id"], "staging", LATEST, **more))

        assert detail["loc"] == ["body", *loc]
        assert said in detail["msg"]
        assert deployed(client, one["workflow_id"])[1] == LATEST

    def test_deleting_the_workflow_deletes_all_of_it(self, client: Client) -> None:
        one = client.create(says("one"))
        pin(client, one["workflow_id"], "staging", one["revision_id"])
        client.http.delete(f"{BASE}/{one['workflow_id']}")

        store = client.local._store
        assert store is not None
        for table in ("workflows", "revisions", "environments"):
            assert store._db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


VERSION_1 = """
CREATE TABLE workflows (
    workflow_id TEXT PRIMARY KEY,
    workflow_key TEXT UNIQUE,
    created_at TEXT NOT NULL UNIQUE,
    last_updated_at TEXT NOT NULL UNIQUE,
    newest TEXT NOT NULL,
    deployed TEXT NOT NULL,
    tags TEXT NOT NULL,
    words TEXT NOT NULL
) STRICT;
CREATE TABLE revisions (
    revision_id TEXT PRIMARY KEY,
    workflow_id TEXT NOT NULL REFERENCES workflows ON DELETE CASCADE,
    config TEXT NOT NULL
) STRICT;
CREATE INDEX revisions_of_workflow ON revisions (workflow_id);
PRAGMA application_id = 0x53434F54;
PRAGMA user_version = 1;
"""
MADE, SAVED = "2025-01-10T15:33:04.483387Z", "2025-01-15T16:12:36.874880Z"


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    """A file of the first version: a workflow with two revisions and a draft, and one with a revision."""
    path = tmp_path / "scout.db"
    db = sqlite3.connect(path)
    db.executescript(VERSION_1)
    later = "2025-01-16T00:00:00.000000Z"
    db.execute("INSERT INTO workflows VALUES ('wf_a', 'a', ?, ?, 'rev_1', 'rev_2', '[]', 'a')", (MADE, SAVED))
    db.execute("INSERT INTO workflows VALUES ('wf_b', 'b', ?, ?, 'rev_b', 'rev_b', '[]', 'b')", (later, later))
    for revision_id, workflow_id, text in (
        *(("rev_3", "wf_a", "one"), ("rev_2", "wf_a", "two")),
        *(("rev_b", "wf_b", "other"), ("rev_1", "wf_a", "draft")),
    ):
        row = (revision_id, workflow_id, json.dumps(says(text)))
        db.execute("INSERT INTO revisions VALUES (?, ?, ?)", row)
    db.commit()
    db.close()
    return path


class TestFilesOfTheFirstVersion:
    def test_one_is_brought_up_to_the_second(self, old_file: Path) -> None:
        with LocalScout(store=old_file) as local, (client := Client(local)).http:
            assert outputs(client, "wf_a") == ["two", "two", "two"]
            assert client.output("wf_a", environment="console") == "draft"
            assert [each["revision_id"] for each in revisions(client, "wf_a")] == ["rev_2", "rev_3"]
            draft = client.get("wf_a")
            assert (draft["is_draft"], draft["created_at"], draft["last_updated_at"]) == (True, MADE, SAVED)
            assert client.keys(limit=1) == ["a", "b"]
            assert [list(environments(client, each)) for each in ("wf_a", "wf_b")] == [NAMES, NAMES]
            assert promote(client, "wf_a", "rev_3").status_code == 200
            client.revise(says("new"), workflow_key="a")
        with LocalScout(store=old_file, workflows={"b": says("other")}) as local, (client := Client(local)).http:
            assert outputs(client, "wf_a") == ["new", "new", "one"]
            assert client.get("wf_b")["revision_id"] == "rev_b"

    def test_it_has_the_tables_of_a_new_one(self, old_file: Path, tmp_path: Path) -> None:
        for path in (old_file, tmp_path / "new.db"):
            Store(path).close()
        schemas = [
            sqlite3.connect(path).execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()
            for path in (old_file, tmp_path / "new.db")
        ]
        assert schemas[0] == schemas[1]

    def test_several_servers_may_open_it_at_once(self, old_file: Path) -> None:
        start = threading.Barrier(4)

        def open_it(_: int) -> None:
            start.wait(10)
            Store(old_file).close()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(open_it, range(4), timeout=20))
        assert sqlite3.connect(old_file).execute("SELECT count(*) FROM environments").fetchone() == (6,)

    def test_a_file_that_cannot_be_changed_stays_as_it_is(self, old_file: Path) -> None:
        db = sqlite3.connect(old_file)
        db.execute("CREATE TABLE environments (mine)")  # in the way of the second version
        db.close()
        with pytest.raises(ConfigurationError, match="environments already exists"):
            Store(old_file)
        db = sqlite3.connect(old_file)
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("SELECT * FROM revisions").fetchone() == ("rev_3", "wf_a", json.dumps(says("one")))

    def test_one_of_a_later_version_is_refused(self, old_file: Path) -> None:
        db = sqlite3.connect(old_file)
        db.execute("PRAGMA user_version = 3")
        db.close()
        with pytest.raises(ConfigurationError, match="newer version of the local Scout"):
            Store(old_file)
