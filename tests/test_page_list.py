"""The list of runs on the page of the local Scout: what it shows, its filters, and older runs."""

import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from servers import settled

from scout.local import LocalScout


def workflow(**more: Any) -> dict[str, Any]:
    block = {"block_id": "answer", "block_archetype_id": "com.scoutos.llm", "block_display_name": "Answer"}
    settings = {"model": "gpt-4o", "prompt_items": [{"role": "user", "content": "Say: {{ inputs.q }}"}]}
    return {"blocks": [{**block, "block_inputs": settings, "is_output": True}], **more}


class Page:
    """A server, and a client of its own."""

    def __init__(self, server: LocalScout, http: httpx.Client) -> None:
        self.server = server
        self.http = http

    def run(self, config: Any = None, q: str = "Hi", **query: str) -> None:
        body = {"workflow_config": config or workflow(), "inputs": {"q": q}, "streaming": False}
        if "workflow_key" in query:
            body["workflow_key"] = query.pop("workflow_key")
        headers = {"authorization": "Bearer x"}
        self.http.post("/v2/workflows/execute", json=body, headers=headers, params=query).raise_for_status()

    def text(self, address: str = "/") -> str:
        return self.http.get(address).raise_for_status().text

    def names(self, **filters: str) -> list[str]:
        return names_in(self.text(f"/?{urlencode(filters)}"))


def names_in(text: str) -> list[str]:
    return [unescape(name) for name in re.findall(r'<a class="cut"[^>]*><bdi>(.*?)</bdi>', text)]


@pytest.fixture(scope="module")
def running() -> Iterator[Page]:
    stored = {"stored-one": workflow(workflow_display_name="Stored")}
    with LocalScout(workflows=stored) as server, httpx.Client(base_url=server.url, timeout=20) as http:
        yield Page(server, http)


@pytest.fixture
def page(running: Page) -> Page:
    running.server.reset()
    return running


def test_an_empty_list_says_how_to_run_something(page: Page) -> None:
    text = page.text()
    assert "Nothing has run yet" in text
    assert f"export SCOUT_BASE_URL={page.server.url} SCOUT_API_KEY=local\nscout run workflow.yml" in text


def test_the_address_is_the_one_of_the_browser(page: Page) -> None:
    said = page.http.get("/", headers={"host": "localhost:9999"}).text
    assert "export SCOUT_BASE_URL=http://localhost:9999 " in said


def test_with_a_key_the_command_does_not_name_it() -> None:
    with LocalScout(api_key="a-secret-key") as server:
        text = httpx.get(server.url, auth=("any", "a-secret-key")).raise_for_status().text
    assert f"export SCOUT_BASE_URL={server.url} \nscout run" in text
    assert "a-secret-key" not in text
    assert "the key that you have logged in with" in text


def test_runs_are_listed_newest_first(page: Page) -> None:
    page.run(workflow(workflow_display_name="First"))
    page.run(workflow(workflow_display_name="Second"), environment="staging", session_id="my-session")
    page.run()

    text = page.text()
    assert names_in(text) == ["(without a name)", "Second", "First"]
    assert [word in text for word in ("staging", "my-session", ">completed<", "0.0000")] == [True] * 4
    assert re.search(r'<time datetime="20\d\d-[^"]*\+00:00" title="[^"]*">\d\d:\d\d:\d\d</time>', text)


def test_a_failed_run_says_why(page: Page) -> None:
    config = workflow(workflow_display_name="Broken")
    config["blocks"][0]["block_inputs"]["model"] = "{{ inputs.none.at_all }}"
    page.run(config)
    text = page.text()
    assert ">failed<" in text
    assert 'class="message cut"' in text
    assert "cannot be rendered" in text


def test_filters(page: Page) -> None:
    broken = workflow(workflow_display_name="Broken")
    broken["blocks"][0]["block_archetype_id"] = "com.scoutos.none"
    page.run(workflow(workflow_display_name="Greets"), "the Äpfel and THE pears")
    page.run(workflow(workflow_display_name="Keyed"), 'a "quoted" \\ line\nbreak', workflow_key="the-key")
    page.run(broken, session_id="Session-Of-It")
    page.run()

    everything = ["(without a name)", "Broken", "Keyed", "Greets"]
    assert page.names() == everything
    assert page.names(workflow="Greets") == ["Greets"]
    assert page.names(workflow="the-key") == ["Keyed"]
    assert page.names(workflow="(without a name)") == ["(without a name)"]
    assert page.names(workflow="stored-one") == []
    assert page.names(status="failed") == ["Broken"]
    assert page.names(status="cancelled") == page.names(status="running") == []
    assert page.names(status="completed", text="the") == ["Keyed", "Greets"]
    for text, found in {
        "the PEARS": ["Greets"],
        "the Äpfel": ["Greets"],
        "say: the": ["Greets"],  # in the prompt
        'a "quoted" \\ line\nbreak': ["Keyed"],
        "session-of": ["Broken"],
        "greets": ["Greets"],
        "COM.SCOUTOS.NONE": ["Broken"],  # in the error
        "nowhere": [],
    }.items():
        assert page.names(text=text) == found, text


def test_a_text_is_found_where_the_search_is_cut(page: Page) -> None:
    from scout.local.page.runs_view import _SEARCHED_AT_ONCE as PIECE

    page.run(q="x" * (PIECE - 10) + "Needle" * 2 + "x" * PIECE)
    for text in ("needle" * 2, "x" * 5 + "needle", "needlexx"):
        assert page.names(text=text) == ["(without a name)"]
    assert page.names(text="needle" * 3) == []


def test_filters_stay_in_the_form_and_can_be_dropped(page: Page) -> None:
    page.run(workflow_key="a-key")
    text = page.text("/?" + urlencode({"workflow": "stored-one", "status": "failed", "text": '"><b>'}))
    assert '<option value="stored-one" selected>stored-one</option>' in text
    assert "<option selected>failed</option>" in text
    assert 'value="&#34;&gt;&lt;b&gt;"' in text
    assert "No run fits the filters" in text
    assert [option in text for option in ('<option value="a-key">', '<a href="/">All runs</a>')] == [True, True]


def test_a_running_run_and_a_cancelled_one(page: Page) -> None:
    body = {
        "workflow_config": workflow(workflow_display_name="Slow"),
        "inputs": {"q": "word " * 5_000},
        "streaming": True,
    }
    slow = LocalScout(token_delay=0.01)
    with slow as server, httpx.Client(base_url=server.url, timeout=20) as http:
        other = Page(server, http)
        headers = {"authorization": "Bearer x"}
        with httpx.stream("POST", f"{server.url}/v2/workflows/execute", json=body, headers=headers) as stream:
            pieces = stream.iter_bytes()  # closes the response when it is dropped
            next(pieces)
            assert other.names(status="running") == ["Slow"]
        assert settled(lambda: other.names(status="cancelled") == ["Slow"])
        assert other.names(status="failed") == []


def test_older_runs_have_an_address_that_stays(page: Page) -> None:
    for number in range(105):
        page.run(workflow(workflow_display_name=f"Run {number}"))
    text = page.text("/?status=completed")
    assert names_in(text) == [f"Run {number}" for number in range(104, 4, -1)]
    (older,) = re.findall(r'<a href="(/\?[^"]*before=\d+)">Older runs</a>', text)
    older = unescape(older)
    assert "status=completed" in older
    before = names_in(page.text(older))
    assert before == [f"Run {number}" for number in range(4, -1, -1)]

    page.run()
    assert names_in(page.text(older)) == before
    assert "Older runs" not in page.text(older)


def test_long_and_odd_names_are_cut_and_kept_apart(page: Page) -> None:
    page.run(workflow(workflow_display_name="n" * 100_000), session_id="s" * 5_000)
    page.run(workflow(workflow_display_name="\u202egnp.exe\x07"))
    text = page.text()
    assert len(text) < 10_000
    assert names_in(text) == ["\ufffdgnp.exe\u2407", "n" * 200 + "…"]
    assert f'title="{"n" * 1_000}…"' in text


def test_every_page_says_where_one_is(page: Page) -> None:
    text = page.text()
    assert re.findall(r'<a href="([^"]*)" aria-current="page">', text) == ["/"]
    assert "<title>Runs · local Scout</title>" in text
    assert 'class="skip" href="#main"' in text
    missing = page.http.get("/page/runs/none")
    assert missing.status_code == 404
    assert 'role="alert"' in missing.text
    assert 'aria-current="page"' not in missing.text
