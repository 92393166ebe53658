"""The page of one run of the local Scout, asked with a bare HTTP client: what it shows meanwhile and afterwards."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from html import unescape
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from servers import settled
from test_local_runs import WAIT, Gate, block
from test_local_workflows import KEY, Json

from scout.local import Fault, LocalScout

EXECUTE = "/v2/workflows/execute"
LLM, TEXT, INPUT = "com.scoutos.llm", "com.scoutos.text", "com.scoutos.input"
TALK = "com.example.talk"
SECRET = "a-secret-of-the-tests"
HOSTILE = "<script>alert('1')</script> & \"q\" \u202e\x00\x1b[31m"


class Page(HTMLParser):
    """The texts of a page, and of each element with an id."""

    EMPTY = ("meta", "link", "input", "br", "path", "rect", "line", "polyline", "polygon")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.open: list[tuple[str, str]] = []
        self.texts: dict[str, str] = {"": ""}
        self.hrefs: list[str] = []
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.hrefs += [found["href"] or ""] if "href" in found else []
        if tag not in self.EMPTY:
            self.open.append((tag, found.get("id") or ""))
            self.texts.setdefault(found.get("id") or "", "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1][0] in ("style", "script"):
            return
        for name in {name for _, name in self.open} | {""}:
            self.texts[name] += data

    def words(self, name: str) -> str:
        return " ".join(self.texts[name].split())


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture(scope="module")
def handlers() -> dict[str, Any]:
    return {}


@pytest.fixture(scope="module")
def shared(handlers: dict[str, Any]) -> Iterator[LocalScout]:
    blocks = {
        WAIT: lambda inputs, context: handlers[WAIT](inputs, context),
        TALK: lambda inputs, context: handlers[TALK](inputs, context),
    }
    with LocalScout(blocks=blocks, env={"TOKEN": SECRET}) as server:
        yield server


@pytest.fixture
def server(shared: LocalScout, handlers: dict[str, Any], gate: Gate) -> LocalScout:
    shared.reset()
    handlers[WAIT] = gate
    return shared


@pytest.fixture
def http(server: LocalScout) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers=KEY, timeout=20) as http:
        yield http


def execute(http: httpx.Client, *blocks: Json, streaming: bool = False, **more: Any) -> None:
    config = {"workflow_display_name": "Test", "blocks": list(blocks)}
    http.post(EXECUTE, json={"workflow_config": config, "streaming": streaming, **more}).read()


@contextmanager
def executing(http: httpx.Client, *blocks: Json, **more: Any) -> Iterator[None]:
    """Run a workflow in a thread until the end of the `with` block, which has to let it end."""
    thread = threading.Thread(target=execute, args=(http, *blocks), kwargs=more)
    thread.start()
    try:
        yield
    finally:
        thread.join(20)


def address(http: httpx.Client) -> str:
    """The address of the page of the newest run, as the list of runs links to it."""
    found = re.search(r'href="(/page/runs/[^"]+)"', http.get("/").text)
    assert found
    return unescape(found[1])


def show(http: httpx.Client) -> Page:
    response = http.get(address(http))
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    return Page(response.text)


def whole(http: httpx.Client, path: str) -> str:
    response = http.get(address(http) + path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    return response.text


def llm(block_id: str, *needs: str, **settings: Any) -> Json:
    return block(block_id, LLM, *needs, block_inputs={"model": "gpt-4o", **settings})


def text(block_id: str, source: str, *needs: str) -> Json:
    return block(block_id, TEXT, *needs, block_inputs={"text": source})


# --- What a run did -----------------------------------------------------------------------------------------------


def test_a_prompt_is_shown_as_the_text_that_it_is(http: httpx.Client) -> None:
    prompts = [
        {"role": "system", "content": "You are\na   helper."},
        {"content": "Say {{ inputs.what }}", "cached": True},
    ]
    execute(http, llm("a", prompt_items=prompts, temperature=0.5, stop=["x"]), inputs={"what": "one\ntwo"})
    page = show(http)

    assert page.texts["block-0-inputs-1"] == "You are\na   helper."
    assert page.texts["block-0-inputs-2"] == "Say one\ntwo"
    assert "prompt_items[0], system" in page.texts["block-0"]
    assert 'prompt_items[1], {"cached": true}' in page.texts["block-0"]
    assert 'model gpt-4o temperature 0.5 stop ["x"]' in page.words("block-0") or "model" in page.words("block-0")
    assert page.texts["block-0-output"] == "[gpt-4o stand-in] Say one\ntwo"
    assert page.texts["inputs-1"] == "one\ntwo"
    assert page.words("state").startswith("completed in ")
    assert json.loads(whole(http, "/blocks/0/inputs"))["prompt_items"][1]["content"] == "Say one\ntwo"
    assert json.loads(whole(http, "/inputs")) == {"what": "one\ntwo"}


def test_blocks_stand_in_the_order_of_the_workflow(http: httpx.Client) -> None:
    execute(http, text("last", "{{ first.output }}", "first"), text("first", "1"))
    page = show(http)

    assert page.words("block-0-title") == "Last completed"
    assert page.words("block-1-title") == "First completed"
    assert {"#block-0", "#block-1"} <= set(page.hrefs)  # of the graph


def test_texts_of_runs_are_text(http: httpx.Client) -> None:
    named = {**text("a", "{{ inputs.x }}"), "block_display_name": HOSTILE, "block_id": HOSTILE}
    execute(http, named, inputs={"x": HOSTILE, HOSTILE: 1})
    page = show(http)

    assert page.tags.count("script") == 1
    assert "<script>alert" in page.texts["block-0-output"]
    assert "\x00" not in page.html
    assert "\x1b" not in page.html
    assert "\u202e" not in page.html
    assert "<script>alert" in whole(http, "/blocks/0/output")


def test_secrets_are_redacted(http: httpx.Client) -> None:
    long = "x" * 9_990
    execute(http, text("a", long + "{{ _env.TOKEN }}"), text("b", "{{ _env.TOKEN }}"), streaming=True)
    page = show(http)
    said = [page.html, http.get(address(http) + "/live").text]
    said += [whole(http, path) for path in ("/blocks/0/output", "/blocks/1/inputs", "/response", "/events")]
    said += [whole(http, f"/events/{number}") for number in range(3)]

    assert [each for each in said if SECRET[:8] in each] == []
    assert "[redacted]" in page.texts["block-1-output"]


def test_a_long_text_is_folded_and_a_very_long_one_is_a_link_away(http: httpx.Client) -> None:
    execute(http, text("a", "y" * 5_000), text("b", "{{ 'z' * 1000000 }}"), text("c", "short"))
    page = show(http)

    assert page.words("block-0-output-fold").startswith("Output: 5,000 characters")
    assert len(page.html) < 100_000
    assert f"{address(http)}/blocks/1/output" in page.hrefs
    assert f"{address(http)}/blocks/0/output" not in page.hrefs
    assert "block-2-output-fold" not in page.texts
    assert len(whole(http, "/blocks/1/output")) == 1_000_000


def test_numbers_that_name_nothing_are_404(http: httpx.Client) -> None:
    execute(http, text("a", "{{ nothing }}"), streaming=True)

    for path in ("/blocks/0/output", "/blocks/1/output", "/events/99", "/other"):
        assert http.get(address(http) + path).status_code == 404
    for path in ("/blocks/x/output", "/blocks/-1/output", f"/events/{'9' * 5000}", "/live?from=x"):
        response = http.get(address(http) + path)
        assert response.status_code == 404
        assert "needs a number" in response.text


def test_a_run_that_is_not_kept_is_404(http: httpx.Client, server: LocalScout) -> None:
    execute(http, text("a", "1"))
    where = address(http)
    server.reset()
    response = http.get(where)

    assert response.status_code == 404
    assert "This run is not there (any more)" in Page(response.text).words("main")
    assert http.get(f"{where}/live").status_code == 404


def test_a_stored_workflow_is_shown_too(http: httpx.Client) -> None:
    created = http.post("/v2/workflows", json={"workflow_display_name": "Stored", "blocks": [text("a", "1")]})
    workflow_id = created.json()["data"]["workflow_id"]
    http.post(f"/v2/workflows/{workflow_id}/execute", json={"streaming": False})
    page = show(http)

    assert page.words("block-0-title") == "A completed"
    assert page.texts["block-0-output"] == "1"
    http.delete(f"/v2/workflows/{workflow_id}")
    page = show(http)
    assert page.words("graph") == "The workflow is not known any more."
    assert page.texts["block-0-output"] == "1"


# --- Failures -----------------------------------------------------------------------------------------------------


def test_a_failure_is_found_by_block_field_and_line(http: httpx.Client) -> None:
    prompts = [
        {"role": "user", "content": "one"},
        {"role": "user", "content": "one\r\ntwo\n{{ inputs.no }} & <b>\nfour"},
    ]
    execute(http, llm("a", prompt_items=prompts), text("b", "{{ a.output }}", "a"))
    page = show(http)

    assert page.words("state").startswith("failed in ")
    assert page.words("facts").startswith("Block a failed: the template in prompt_items[1].content, line 3 cannot")
    assert "#block-0" in page.hrefs
    assert "Template: prompt_items[1].content, line 3" in page.words("block-0")
    assert re.findall("<mark>(.*?)</mark>", page.html) == ["{{ inputs.no }} &amp; &lt;b&gt;"]
    assert page.words("block-1-title") == "B not started"
    assert "failed" in page.words("graph")


def test_of_a_long_template_the_lines_around_the_failure_are_shown(http: httpx.Client) -> None:
    execute(http, text("a", "\n".join([*(f"line {number}" for number in range(1, 100)), "{% if %}", "end"])))
    page = show(http)

    assert 'start="90"' in page.html
    assert "line 89 " not in page.words("block-0")
    assert re.findall("<mark>(.*?)</mark>", page.html) == ["{% if %}"]


def test_what_fails_elsewhere_has_no_template(http: httpx.Client) -> None:
    execute(http, block("a", "com.example.unknown"))
    page = show(http)

    assert "the local Scout cannot run" in page.words("facts")
    assert "<mark>" not in page.html


def test_blocks_that_the_end_of_the_run_stopped_have_not_failed_it(http: httpx.Client, gate: Gate) -> None:
    def fail_after(inputs: Json, context: object) -> str:
        assert gate.entered.wait(20)
        raise ValueError("no")

    failing = block("bad", TALK)
    with (
        LocalScout(blocks={WAIT: gate, TALK: fail_after}) as other,
        httpx.Client(base_url=other.url, headers=KEY) as http,
    ):
        execute(http, failing, block("slow", WAIT))
        gate.open.set()
        page = show(http)

    assert page.words("block-1-title") == "Slow stopped"
    assert page.words("facts").startswith("Block bad failed: its handler raised ValueError: no")
    assert "#block-1" not in page.html.partition("graph-title")[0]


# --- While it runs ------------------------------------------------------------------------------------------------


def test_while_it_runs(http: httpx.Client, gate: Gate) -> None:
    blocks = [
        text("done", "1"),
        block("now", WAIT, "done", block_inputs={"a": "{{ done.output }}"}),
        text("later", "2", "now"),
    ]
    with executing(http, *blocks, streaming=True):
        assert gate.entered.wait(20)
        page = show(http)
        statuses = [page.words(f"block-{number}-title") for number in range(3)]
        response = http.get(address(http) + "/response")
        gate.open.set()
    after = show(http)

    assert page.words("state") == "running"
    assert statuses == ["Done completed", "Now running", "Later not started"]
    assert "Rendered settings a1" in page.words("block-1")
    assert "block-1-growing" in page.texts
    assert response.status_code == 404
    assert [after.words(f"block-{number}-title") for number in range(3)] == [
        "Done completed",
        "Now completed",
        "Later completed",
    ]
    assert "block-1-growing" not in after.texts
    assert json.loads(whole(http, "/response"))["run"]["state"]["now"] == {"output": "done"}


# --- Events -------------------------------------------------------------------------------------------------------


def messages(stream: httpx.Response) -> Iterator[tuple[str, str, Any]]:
    """Yield the messages of a stream: name, id and data."""
    buffer = ""
    for received in stream.iter_text():
        *frames, buffer = (buffer + received).split("\n\n")
        for frame in frames:
            fields = dict(line.partition(": ")[::2] for line in frame.split("\n"))
            if "event" in fields:
                yield fields["event"], fields.get("id", ""), json.loads(fields["data"])


def events(http: httpx.Client, query: str = "", **headers: str) -> list[Json]:
    """The events of the newest run, which is over."""
    with http.stream("GET", f"{address(http)}/live{query}", headers=headers) as stream:
        found = list(messages(stream))
    assert [name for name, _, _ in found][-2:] == ["changed", "end"]
    assert [name for name, _, _ in found[:-2]] == ["events"] * (len(found) - 2)
    return [view for _, _, views in found[:-2] for view in views]


def test_events_come_as_they_were_sent(http: httpx.Client) -> None:
    execute(http, llm("a", prompt_items=[{"role": "user", "content": "one two"}]), streaming=True)
    views = events(http)

    assert [view["number"] for view in views] == list(range(len(views)))
    assert [view["name"] for view in views][:2] == ["workflow_run_started", "block_run_started"]
    assert [view["block"] for view in views][:2] == ["", "a"]
    assert "".join(view["piece"] or "" for view in views) == "[gpt-4o stand-in] one two"
    frames = [whole(http, f"/events/{view['number']}") for view in views]
    assert "".join(frames) == whole(http, "/events")
    assert json.loads(frames[1].partition("data: ")[2])["data"]["block_id"] == "a"


def test_a_stream_goes_on_after_the_last_event_that_came(http: httpx.Client) -> None:
    execute(http, text("a", "1"), streaming=True)
    count = len(events(http))

    assert [view["number"] for view in events(http, **{"Last-Event-ID": "3"})] == list(range(3, count))
    assert [view["number"] for view in events(http, "?from=2")] == list(range(2, count))
    assert events(http, f"?from={count}") == []
    assert events(http, "?from=2", **{"Last-Event-ID": str(count)}) == []


def test_more_events_than_one_message_holds_all_come_once(http: httpx.Client, handlers: dict[str, Any]) -> None:
    handlers[TALK] = lambda inputs, context: iter(["word "] * 450)
    execute(http, block("a", TALK), streaming=True)
    views = events(http)

    assert [view["number"] for view in views] == list(range(len(views)))
    assert sum(view["piece"] == "word " for view in views) == 450


def test_the_events_of_a_run_that_goes_on_come_one_by_one(http: httpx.Client, handlers: dict[str, Any]) -> None:
    more = threading.Semaphore(0)
    handlers[TALK] = lambda inputs, context: (f"{number} " for number in range(3) if more.acquire(timeout=20))
    with executing(http, block("a", TALK), streaming=True):
        try:
            assert settled(lambda: "/page/runs/" in http.get("/").text)
            with http.stream("GET", f"{address(http)}/live") as stream:
                came = messages(stream)
                for number in range(3):
                    more.release()
                    assert any(
                        view["piece"] == f"{number} " for name, _, views in came if name == "events" for view in views
                    )
                assert [name for name, _, _ in came][-1] == "end"
        finally:
            more.release(3)


def test_a_run_without_streaming_tells_its_steps(http: httpx.Client) -> None:
    execute(http, text("a", "1"))
    views = events(http)

    assert [(view["name"], view["block"], view["sent"]) for view in views] == [
        ("workflow_run_started", "", False),
        ("block_run_started", "a", False),
        ("block_state_updated", "a", False),
        ("block_run_completed", "a", False),
        ("workflow_run_completed", "", False),
    ]
    assert "these events were not sent" in show(http).words("main")
    assert http.get(address(http) + "/events/0").status_code == 404


@pytest.mark.parametrize("fault", [Fault(malformed=2), Fault(drift=2), Fault(unknown_event=2), Fault(cut_after=2)])
def test_events_that_a_fault_spoiled_are_shown_as_they_were_sent(
    http: httpx.Client, server: LocalScout, fault: Fault
) -> None:
    server.fail_next(fault)
    with pytest.raises(httpx.HTTPError) if fault.cut_after else nullcontext():
        execute(http, text("a", "1"), streaming=True)
    assert settled(lambda: "running" not in show(http).words("state"))
    views = events(http)

    assert len(views) == 2 if fault.cut_after else len(views) > 4
    assert "".join(whole(http, f"/events/{view['number']}") for view in views) == whole(http, "/events")


# --- Closing ------------------------------------------------------------------------------------------------------


def test_open_streams_do_not_keep_the_server_open(gate: Gate) -> None:
    before = set(threading.enumerate())
    server = LocalScout(blocks={WAIT: gate}).start()

    def cut_off() -> None:
        with suppress(httpx.HTTPError):
            execute(http, block("a", WAIT))

    with httpx.Client(base_url=server.url, headers=KEY, timeout=20) as http:
        thread = threading.Thread(target=cut_off)
        thread.start()
        assert gate.entered.wait(20)
        with http.stream("GET", f"{address(http)}/live") as stream:
            came = messages(stream)
            assert next(came)
            server.close()
            with suppress(httpx.HTTPError):
                assert "end" not in [name for name, _, _ in came]
        thread.join(20)
    assert "scout-local" not in {each.name for each in threading.enumerate() if each not in before}
