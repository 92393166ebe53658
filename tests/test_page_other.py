"""The pages of workflows, of refused requests, and of faults and stubs: over HTTP, by their forms and links."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from page_visitor import Visitor, typed_in
from servers import settled

from scout.local import Fault, LocalScout
from scout.local.faults import FAULT_FIELDS
from scout.local.page import refusals_view, workflows_view

Json = dict[str, Any]

BASE = "/v2/workflows"
HOSTILE = "<script>alert(1)</script>&amp;\"'\u202e"


def config(name: str = "Hello", **more: Any) -> Json:
    start = {
        "block_id": "start",
        "block_archetype_id": "com.scoutos.input",
        "block_display_name": "Start",
        "block_inputs": {},
        "dependencies": [],
    }
    return {"workflow_display_name": name, "blocks": [start], **more}


@pytest.fixture(scope="module")
def server() -> Iterator[LocalScout]:
    stubs = {"com.example.list": ["one", HOSTILE], "com.example.one": {"a": 1}, "by-function": lambda inputs, _: 1}
    with LocalScout(stubs=stubs, faults=[Fault(delay=0.001, match="NEVER")]) as local:
        yield local


@pytest.fixture
def local(server: LocalScout) -> LocalScout:
    server.reset()
    return server


@pytest.fixture
def api(local: LocalScout) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=local.url, headers={"authorization": "Bearer any"}, timeout=20) as client:
        yield client


@pytest.fixture
def visitor(local: LocalScout) -> Iterator[Visitor]:
    visitor = Visitor(local)
    with visitor.http:
        yield visitor


def created(api: httpx.Client, key: str, content: Json | None = None) -> Json:
    response = api.post(BASE, params={"workflow_key": key}, json=content or config())
    assert response.status_code == 200, response.text
    return response.json()["data"]


def rows(page: str) -> list[str]:
    """Return the rows of the bodies of tables, as texts without tags."""
    bodies = re.findall(r"<tbody>(.*?)</tbody>", page, re.DOTALL)
    found = [row for body in bodies for row in re.findall(r"<tr\b.*?</tr>", body, re.DOTALL)]
    return [" ".join(re.sub(r"<[^>]*>", " ", row).split()) for row in found]


class TestWorkflows:
    def test_nothing_is_stored(self, visitor: Visitor) -> None:
        assert "No workflow is stored" in visitor.page("/page/workflows")

    def test_the_list_has_the_newest_change_first(self, api: httpx.Client, visitor: Visitor) -> None:
        first = created(api, "first", config("First"))
        second = created(api, "second", config("Second"))
        pinned = first["revision_id"]
        environments = api.get(f"{BASE}/{first['workflow_id']}/environments").json()["data"]
        (staging,) = (each for each in environments if each["environment_config"]["name"] == "staging")
        api.put(f"{BASE}/{first['workflow_id']}", json=config("First, changed"))
        deployment = {"revision_lookup": "revision_id", "revision_id": pinned}
        response = api.put(
            f"{BASE}/{first['workflow_id']}/environments/{staging['environment_id']}",
            json={"name": "staging", "description": "", "deployments": [deployment]},
        )
        assert response.status_code == 200, response.text

        newest, older = rows(visitor.page("/page/workflows"))

        assert newest.startswith("First, changed first")
        assert f"staging: {pinned}" in newest
        assert "production: newest" in newest
        assert newest.endswith("a draft")
        assert older.startswith(f"Second second {second['workflow_id']}")

    def test_many_come_in_pages(self, api: httpx.Client, visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(workflows_view, "_WORKFLOWS_OF_A_PAGE", 2)
        for number in range(5):
            created(api, f"key-{number}")

        address, found = "/page/workflows", list[str]()
        while True:
            page = visitor.page(address)
            found += re.findall(r"key-\d", page)
            link = re.search(r'<a href="(/page/workflows\?from=[^"]*)">Older', page)
            if link is None:
                break
            address = link[1]

        assert found == [f"key-{number}" for number in reversed(range(5))]
        assert "There are no older workflows" in visitor.page("/page/workflows?from=0")

    def test_one_workflow(self, api: httpx.Client, visitor: Visitor) -> None:
        first = created(api, "hello", config("Before"))
        workflow_id = first["workflow_id"]
        api.put(f"{BASE}/{workflow_id}/revisions/{first['revision_id']}", json={"name": "the first one"})
        second = api.post(f"{BASE}/revisions", params={"workflow_id": workflow_id}, json=config("After")).json()["data"]
        draft = api.put(f"{BASE}/{workflow_id}", json=config("Draft")).json()["data"]
        run = api.post(f"{BASE}/{workflow_id}/execute", json={}).json()["run"]["workflow_run_id"]

        page = visitor.page(f"/page/workflows/{workflow_id}")

        states = [row for row in rows(page) if row.startswith("rev_")]
        assert [row.split()[0] for row in states] == [draft["revision_id"], second["revision_id"], first["revision_id"]]
        assert "draft" in states[0]
        assert "development, staging, production" in states[1]
        assert "the first one" in states[2]
        assert "<h1><bdi>After</bdi></h1>" in page
        assert "<svg" in page
        assert f'href="/page/runs/{run}"' in page
        assert run in visitor.page(re.findall(r'href="(/\?workflow=[^"]*)"', page)[0])
        for state, name in ((first, "Before"), (draft, "Draft")):
            address = f"/page/workflows/{workflow_id}?revision={state['revision_id']}"
            assert f'href="{address}"' in page
            assert f"<h1><bdi>{name}</bdi></h1>" in visitor.page(address)

    def test_what_is_not_there(self, api: httpx.Client, visitor: Visitor) -> None:
        workflow_id = created(api, "hello")["workflow_id"]

        for address in ("/page/workflows/wf_x", f"/page/workflows/{workflow_id}?revision=rev_x"):
            response = visitor.http.get(address)
            assert response.status_code == 404
            assert 'role="alert"' in response.text

    def test_names_are_text(self, api: httpx.Client, visitor: Visitor) -> None:
        workflow_id = created(api, HOSTILE, config(HOSTILE, workflow_description=HOSTILE))["workflow_id"]

        for address in ("/page/workflows", f"/page/workflows/{workflow_id}"):
            page = visitor.page(address)
            assert "<script>alert" not in page
            assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;" in page
            assert "\u202e" not in page


class TestRefusedRequests:
    def test_none(self, visitor: Visitor) -> None:
        assert "No request was refused" in visitor.page("/page/requests")

    def test_why_in_words(self, local: LocalScout, api: httpx.Client, visitor: Visitor) -> None:
        created(api, "taken")
        api.get(BASE, headers={"authorization": ""})
        api.get(f"{BASE}/wf_none")
        api.post(BASE, params={"workflow_key": "taken"}, json=config())
        api.get(BASE, params={"limit": "many"})
        api.post(f"{BASE}/execute", content=b'{\n"workflow_config": }')
        local.fail_next(429, retry_after=1)
        api.get(BASE)
        local.fail_next(500, body=["no", "detail"])
        api.get(BASE)

        found = [re.sub(r" \d\d:\d\d:\d\d ", " ", row) for row in rows(visitor.page("/page/requests"))]

        assert found == [
            f"GET {BASE} 500 A simulated fault. [ &#34;no&#34;, &#34;detail&#34; ]",
            f"GET {BASE} 429 A simulated fault. This fault was asked for.",
            f"POST {BASE}/execute 422 the body : JSON decode error: Expecting value",
            f"GET {BASE} 422 limit in the query : Input should be a valid integer",
            f"POST {BASE} 409 There is a workflow with this workflow_key already. Create a revision of it instead.",
            f"GET {BASE}/wf_none 404 There is no workflow with the id &#34;wf_none&#34;.",
            f"GET {BASE} 401 There is no API key. Send it as the header &#34;Authorization: Bearer &lt;key&gt;&#34;.",
        ]
        assert "JSON decode error: Expecting value, in line 2, column 20" in visitor.page("/page/requests/5")

    def test_the_place_and_what_is_there(self, api: httpx.Client, visitor: Visitor) -> None:
        broken = config()
        broken["blocks"].append({**broken["blocks"][0], "block_id": 7, "block_inputs": HOSTILE})
        del broken["blocks"][1]["block_archetype_id"]
        assert api.post(f"{BASE}/execute", json={"workflow_config": broken, "inputs": {}}).status_code == 422

        page = visitor.page("/page/requests/1")

        text = " ".join(re.sub(r"<[^>]*>", " ", page).split())
        assert "workflow_config.blocks[1].block_id : Input should be a valid string What is there 7" in text
        # What is missing is shown in what it is missing from.
        missing = "workflow_config.blocks[1].block_archetype_id : Field required What is at workflow_config.blocks[1] {"
        assert missing in text
        assert "<script>alert" not in page
        assert "workflow_config" in visitor.http.get("/page/requests/1/body").text
        assert "valid string" in visitor.http.get("/page/requests/1/answer").text

    def test_many_come_in_pages(self, api: httpx.Client, visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(refusals_view, "_REQUESTS_OF_A_PAGE", 2)
        for number in range(5):
            api.get(f"{BASE}/wf_{number}")

        address, found = "/page/requests", list[str]()
        while True:
            page = visitor.page(address)
            found += [row.split()[1][-1] for row in rows(page)]
            link = re.search(r'<a href="(/page/requests\?before=\d+)">Older', page)
            if link is None:
                break
            address = link[1]

        assert found == ["4", "3", "2", "1", "0"]

    @pytest.mark.parametrize("name", ["0", "1", "9" * 50])
    def test_one_that_is_not_kept(self, visitor: Visitor, name: str) -> None:
        assert visitor.http.get(f"/page/requests/{name}").status_code == 404

    def test_a_body_that_is_no_text(self, api: httpx.Client, visitor: Visitor) -> None:
        api.post(f"{BASE}/execute", content=b"\xff\xfe<b>")
        api.post(f"{BASE}/execute", content=b"[" * 100_000)
        api.post(f"{BASE}/execute", content=b"null")

        for number in (1, 2, 3):
            assert "<b>" not in visitor.page(f"/page/requests/{number}")


class TestFaults:
    def test_the_next_one_and_how_it_is_used(self, api: httpx.Client, visitor: Visitor) -> None:
        form = visitor.form("/page/faults", "/page/faults")
        assert set(form.ids) == {each.name for each in FAULT_FIELDS}
        assert form.fields["times"] == "1"

        response = visitor.send(form, status="503", times="2")

        assert (response.status_code, response.headers["location"]) == (303, "/page/faults")
        page = visitor.page("/page/faults")
        assert re.findall(r"<li><code>(.*?)</code>", page) == ["status=503,times=2", "delay=0.001,match=NEVER"]
        assert "for 2 more requests" in page
        assert api.get(BASE).status_code == 503
        assert "for one more request" in visitor.page("/page/faults")
        assert [api.get(BASE).status_code for _ in range(2)] == [503, 200]
        assert "status=503" not in visitor.page("/page/faults")

    @pytest.mark.parametrize(
        ("typed", "said", "wrong"),
        [
            ({"status": "200"}, "status must be from 400 to 599", ["status"]),
            ({"status": "many"}, "status must be a whole number", ["status"]),
            ({"cut_after": "1", "stall_after": "2"}, "not both", ["stall_after", "cut_after"]),
            ({"rate": "fast"}, "rate", ["rate"]),
            ({}, "a fault needs something that goes wrong", ["status"]),
            ({"status": "500", "unknown": "x"}, "is no part of a fault", ["status"]),
        ],
    )
    def test_what_is_wrong_stands_at_the_form(
        self, visitor: Visitor, typed: dict[str, str], said: str, wrong: list[str]
    ) -> None:
        form = visitor.form("/page/faults", "/page/faults")

        response = visitor.send(form, match="<b>", **typed)

        assert response.status_code == 422
        assert said in response.text
        fields = re.findall(r'name="(\w+)"[^>]*aria-invalid="true" aria-describedby="fault-error"', response.text)
        assert set(wrong) <= set(fields)
        again = typed_in(response, "/page/faults")
        assert {name: again[name] for name in form.ids} == {
            **dict.fromkeys(form.ids, ""),
            "times": "1",
            "match": "<b>",
            **{name: text for name, text in typed.items() if name in form.ids},
        }
        assert len(re.findall(r"<li><code>", visitor.page("/page/faults"))) == 1  # the one of the server

    def test_withdraw(self, local: LocalScout, visitor: Visitor) -> None:
        local.fail_next(500)

        response = visitor.send(visitor.form("/page/faults", "/page/faults/withdraw"))

        assert (response.status_code, response.headers["location"]) == (303, "/page/faults")
        assert re.findall(r"<li><code>(.*?)</code>", visitor.page("/page/faults")) == ["delay=0.001,match=NEVER"]

    def test_nothing_without_the_token(self, local: LocalScout, visitor: Visitor) -> None:
        local.fail_next(500)
        add, withdraw = (visitor.form("/page/faults", f"/page/faults{end}") for end in ("", "/withdraw"))

        assert visitor.send(add, status="503", token="x").status_code == 403
        assert visitor.send(withdraw, token="").status_code == 403
        assert visitor.http.get("/page/faults/withdraw").status_code == 405
        assert len(re.findall(r"<li><code>", visitor.page("/page/faults"))) == 2

    def test_stubs(self, local: LocalScout, api: httpx.Client, visitor: Visitor) -> None:
        content = config()
        content["blocks"].append({**content["blocks"][0], "block_id": "a", "block_archetype_id": "com.example.list"})
        api.post(f"{BASE}/execute", json={"workflow_config": content, "inputs": {}})

        page = visitor.page("/page/faults")

        assert "<script>alert" not in page
        first, second, third = rows(page)
        assert first.startswith("com.example.list &#34;one&#34; &#34;&lt;script&gt;")
        assert first.endswith(" 1")
        assert second == "com.example.one {&#34;a&#34;: 1} 0"
        assert third == "by-function a function not used"

    def test_a_page_that_is_open_is_told_of_changes(self, local: LocalScout, visitor: Visitor) -> None:
        with visitor.http.stream("GET", "/page/live") as stream:
            lines = (line for line in stream.iter_lines() if line.startswith("event:"))
            assert next(lines) == "event: changed"
            local.fail_next(500)
            assert next(lines) == "event: changed"


def test_a_request_that_changes_nothing_is_seen_nowhere(local: LocalScout, visitor: Visitor) -> None:
    for address in ("/page/workflows", "/page/requests", "/page/faults"):
        visitor.page(address)

    assert local.requests == []
    assert settled(lambda: "No request was refused" in visitor.page("/page/requests"))


def test_a_form_of_nothing_but_fields_is_refused(visitor: Visitor) -> None:
    response = visitor.http.post("/page/faults", content=b"&a" * 1000)

    assert response.status_code == 400
    assert "too many fields" in response.text


@pytest.mark.parametrize("loc", [["body", {"a": 1}], ["body", ["a"]], [None, 1.5]])
def test_a_fault_may_answer_with_anything(local: LocalScout, api: httpx.Client, visitor: Visitor, loc: Any) -> None:
    local.fail_next(Fault(status=422, body={"detail": [{"loc": loc, "msg": 5}]}))
    assert api.get(BASE).status_code == 422

    assert "detail" in visitor.page("/page/requests")
