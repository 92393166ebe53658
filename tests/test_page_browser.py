"""The page of the local Scout in a browser: what people see and do, and what other pages cannot."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from servers import PATIENCE, Server, html
from test_local import ask, block, form, text

from scout import Scout, ScoutError
from scout.local import BlockContext, LocalScout

if TYPE_CHECKING:
    from browser import Chromium, Window
    from playwright.sync_api import Locator

pytestmark = pytest.mark.browser

Json = dict[str, Any]

HELLO = {"blocks": [form(user_message="long_text"), ask("answer", "{{inputs.user_message}}", "inputs", is_output=True)]}
RESEARCH = {
    "blocks": [
        form(topic="short_text"),
        block("search", "com.scoutos.serp", "inputs", inputs={"query": "{{inputs.topic}}"}),
        ask("answer", "Sum up {{search.output}}", "search", is_output=True),
    ]
}
BROKEN = {
    "blocks": [
        form(topic="short_text"),
        ask("outline", "Outline {{inputs.topic}}", "inputs"),
        text("report", "# {{inputs.topic}}\n{{outline.output}}\n{{nobody.output}}", "outline", is_output=True),
    ]
}
# Each would run a script or break the page, if one text on its way were not escaped.
MARKUP = (
    "<script>window.hurt = 1</script><img src=/x onerror='window.hurt = 2'></script></pre></bdi></svg>"
    "<style>*{display:none}</style><!-- \"'` onmouseover=window.hurt=3 {{ 7 * 7 }} javascript:window.hurt=4"
)
CONTROL = "\u202eRTL\u202c \u2066\u2069\x00\x07\x1b[31m\x7f\x85\u2028\ufffe\r\n\t"


READ = """async address => {
    const element = (name, attribute) => new Promise(resolve => {
        const made = document.createElement(name);
        made.onload = () => resolve("loaded");
        made.onerror = () => resolve(null);
        made[attribute] = address;
        document.body.append(made);
    });
    const frame = new Promise(resolve => {
        const made = document.createElement("iframe");
        made.onload = () => resolve(made.contentDocument && made.contentDocument.body.innerText);
        made.src = address;
        document.body.append(made);
    });
    const stream = new Promise(resolve => {
        const source = new EventSource(address);
        source.onopen = source.onmessage = () => resolve("open");
        source.onerror = () => { source.close(); resolve(null); };
    });
    const ask = options => fetch(address, options).then(async answer => await answer.text() || null, () => null);
    const read = {
        fetch: await ask({}),
        no_cors: await ask({mode: "no-cors"}),
        script: await element("script", "src"),
        image: await element("img", "src"),
        frame: await frame,
        stream: await stream,
    };
    // The window is this page's own until it has come to the other one.
    const opened = window.open(address);
    while (read.window === undefined) {
        await new Promise(resolve => setTimeout(resolve, 20));
        try {
            if (opened.closed) read.window = null;
            else if (opened.location.href !== "about:blank") read.window = opened.document.body.innerText;
        } catch (error) {
            read.window = null;
        }
    }
    return read;
}"""

CHANGE = """async address => {
    const form = target => {
        const made = document.createElement("form");
        Object.assign(made, {method: "POST", action: address, target});
        for (const [name, value] of [["status", "503"], ["token", "guessed"]])
            made.append(Object.assign(document.createElement("input"), {name, value}));
        document.body.append(made);
        made.submit();
    };
    const frame = Object.assign(document.createElement("iframe"), {name: "inside"});
    document.body.append(frame);
    const answered = new Promise(resolve => frame.onload = resolve);
    form("inside");
    await answered;
    const body = new URLSearchParams({status: "503", token: "guessed"});
    const ask = options => fetch(address, {method: "POST", body, ...options}).then(answer => answer.type, () => null);
    const answers = [
        await ask({}),
        await ask({mode: "no-cors"}),
        await ask({headers: {"content-type": "application/json"}, body: "{}"}),
        navigator.sendBeacon(address, body),
    ];
    form("_self");
    return answers;
}"""


class Gate:
    """A handler that waits until the test opens it."""

    def __init__(self) -> None:
        self._open = threading.Event()

    def __call__(self, inputs: Mapping[str, Any], context: BlockContext) -> str:
        assert self._open.wait(PATIENCE)
        return f"results for {inputs['query']}"

    def open(self) -> None:
        self._open.set()


def rows(window: "Window") -> "Locator":
    return window.page.locator("#runs tbody tr")


def test_a_run_appears_while_it_streams_and_goes_on_under_the_eyes_of_two(chromium: "Chromium", expect: Any) -> None:
    gate = Gate()
    with (
        LocalScout(blocks={"com.scoutos.serp": gate}, workflows={"research": RESEARCH}) as local,
        chromium.window(local.url) as window,
        chromium.window(local.url, scheme="dark") as other,
        Scout("key", base_url=local.url) as scout,
    ):
        window.open()
        other.open()
        page = window.page
        expect(page.get_by_text("Nothing has run yet")).to_be_visible()
        page.evaluate("window.stays = true")  # until the page is loaded again
        with scout.workflows.stream(local.workflow_ids["research"], {"topic": "tides"}) as stream:
            for each in (window, other):
                expect(rows(each)).to_have_count(1)
                expect(rows(each)).to_contain_text("running")
            assert page.evaluate("window.stays")

            page.get_by_role("link", name="research").click()
            expect(page.get_by_role("heading", level=1)).to_have_text("research")
            page.evaluate("window.stays = true")
            expect(box(window, "inputs", "completed")).to_be_visible()
            expect(box(window, "search", "running")).to_be_visible()
            expect(box(window, "answer", "not started")).to_be_visible()
            expect(article(window, "search", "running")).to_contain_text("tides")
            events = page.locator("#events li")
            expect(events.last).to_contain_text("block_run_started search")
            assert window.accessibility_faults() == []
            gate.open()
            sent = list(stream)
        for name in ("search", "answer"):
            expect(box(window, name, "completed")).to_be_visible()
            expect(article(window, name, "completed")).to_contain_text("results for tides")
        expect(events).to_have_count(len(sent))
        expect(events.last).to_contain_text("workflow_run_completed")
        assert page.evaluate("window.stays")
        expect(rows(other)).to_contain_text("completed")

        page.go_back()
        expect(rows(window)).to_contain_text("completed")
        page.go_forward()
        expect(events).to_have_count(len(sent))


def test_a_failure_is_found_by_its_block_with_the_keyboard_alone(chromium: "Chromium", expect: Any) -> None:
    with LocalScout() as local, chromium.window(local.url) as window, Scout("key", base_url=local.url) as scout:
        scout.execute(HELLO, {"user_message": "hi"})
        scout.execute(BROKEN, {"topic": "tides"}, check=False)
        page = window.page
        window.open()
        expect(rows(window).first).to_contain_text('Block "report" failed: the template in text, line 3')
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        follow(window, rows(window).first.get_by_role("link"))
        expect(page.locator("#facts")).to_contain_text("the template in text, line 3")
        report = article(window, "report", "failed")
        for link in (page.get_by_role("link", name="Block report"), box(window, "report", "failed")):
            page.evaluate("scrollTo(0, 0)")
            follow(window, link)
            expect(report).to_be_in_viewport()
            expect(report).to_contain_text('"nobody" is not defined')
            expect(report.locator("mark")).to_have_text("{{nobody.output}}")
            page.keyboard.press("Tab")  # goes on from there
            assert report.evaluate("element => element.contains(document.activeElement)")


def follow(window: "Window", link: "Locator") -> None:
    """Follow a link with the keyboard alone."""
    for _ in range(100):
        window.page.keyboard.press("Tab")
        if link.evaluate("element => element === document.activeElement"):
            window.page.keyboard.press("Enter")
            return
    pytest.fail(f"the keyboard does not come to {link}")


def box(window: "Window", name: str, status: str) -> "Locator":
    """The box of a block in the graph."""
    return window.page.locator("#graph").get_by_role("link", name=re.compile(f"^{name} .* {status}$"))


def article(window: "Window", name: str, status: str) -> "Locator":
    return window.page.get_by_role("article", name=f"{name} {status}")


def test_runs_are_found_by_workflow_status_and_text(chromium: "Chromium", expect: Any) -> None:
    with (
        LocalScout(workflows={"hello": HELLO, "broken": BROKEN}) as local,
        chromium.window(local.url, width=768) as window,
        Scout("key", base_url=local.url) as scout,
    ):
        for number in range(103):
            scout.workflows.execute(local.workflow_ids["hello"], {"user_message": f"number {number}."})
        scout.workflows.execute(local.workflow_ids["broken"], {"topic": "tides"}, check=False)
        page = window.page
        window.open()
        expect(rows(window)).to_have_count(100)
        page.get_by_role("link", name="Older runs").click()
        expect(rows(window)).to_have_count(4)

        page.get_by_role("link", name="All runs").click()
        for label, option in (("Workflow", "broken"), ("Status", "failed")):
            page.get_by_role("combobox", name=label).select_option(option)
            page.get_by_role("button", name="Filter").click()
            expect(rows(window)).to_have_count(1)
            expect(page.get_by_role("combobox", name=label)).to_have_value(option)
            page.get_by_role("link", name="All runs").click()
            expect(rows(window)).to_have_count(100)
            expect(page.get_by_role("combobox", name="Workflow").locator("option:checked")).to_have_text("all")
        page.get_by_label("Text").fill("NUMBER 17.")
        page.keyboard.press("Enter")
        expect(rows(window)).to_have_count(1)
        page.get_by_label("Text").fill("nothing like this")
        page.keyboard.press("Enter")
        expect(page.get_by_text("No run fits")).to_be_visible()
        page.go_back()
        expect(rows(window)).to_have_count(1)
        expect(page.get_by_label("Text")).to_have_value("NUMBER 17.")


def test_text_is_text(chromium: "Chromium", expect: Any) -> None:
    texts = {"markup": MARKUP, "control": CONTROL, "long": "wide " + "x" * 1_000_000}
    with (
        LocalScout(workflows={f"key {MARKUP}": HELLO}) as local,
        chromium.window(local.url, width=360) as window,
        Scout("key", base_url=local.url) as scout,
    ):
        for name, said in texts.items():
            short = said[:300]
            blocks = [
                form(user_message="long_text"),
                {**ask(f"a{short}", "{{inputs.user_message}}", "inputs"), "block_display_name": short},
                text("broken", "{{missing}}" if name == "markup" else "{{inputs.user_message}}", "inputs"),
            ]
            scout.execute({"blocks": blocks}, {"user_message": said, short: short}, check=False)
        scout.workflows.execute(*local.workflow_ids.values(), {"user_message": MARKUP})
        for path in [*(f"/page/runs/{run.id}" for run in local.runs), "/"]:
            window.open(path)
            if path != "/":
                expect(window.page.locator("#events li").last).to_contain_text(re.compile("workflow_run_(comp|fail)"))
            assert window.page.evaluate("window.hurt") is None
            assert not window.is_scrolled_sideways(), path
            assert (
                re.search(
                    "[\\x00-\\x08\\x0b-\\x1f\\x7f\\u202a-\\u202e\\u2066-\\u2069]",
                    window.page.locator("body").inner_text(),
                )
                is None
            ), path
        expect(rows(window)).to_have_count(len(texts) + 1)
        expect(rows(window).first).to_contain_text(MARKUP[:150])  # the rest is cut


def all_kinds_of_pages(local: LocalScout) -> Iterator[str]:
    """Fill a local Scout, and yield the paths of its pages."""
    yield "/"
    with Scout("key", base_url=local.url) as scout:
        scout.execute(HELLO, {"user_message": "many words " * 400})
        scout.workflows.execute(local.workflow_ids["broken"], {"topic": "tides"}, check=False)
    # What the client would not send.
    refused = {"workflow_config": {"blocks": [{"block_id": 3}]}, "inputs": {}}
    httpx.post(f"{local.url}/v2/workflows/execute", json=refused, headers={"authorization": "Bearer key"})
    yield "/"
    yield "/?status=running"
    for run in local.runs:
        yield f"/page/runs/{run.id}"
    yield from ("/page/workflows", f"/page/workflows/{local.workflow_ids['broken']}", "/page/requests", "/page/faults")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_kind_of_page_is_for_everybody(chromium: "Chromium", scheme: Any, expect: Any) -> None:
    with (
        LocalScout(workflows={"hello": HELLO, "broken": BROKEN}) as local,
        chromium.window(local.url, scheme=scheme) as window,
    ):
        for path in all_kinds_of_pages(local):
            response = window.open(path)
            assert response is not None
            assert response.status == 200, path
            for width in (1280, 768, 360):
                window.page.set_viewport_size({"width": width, "height": 900})
                assert not window.is_scrolled_sideways(), (path, width)
                assert window.accessibility_faults() == [], (path, width)
            assert window.page.evaluate("document.getAnimations().length") == 0


def test_a_page_of_another_origin_reads_nothing(chromium: "Chromium") -> None:
    nothing = dict.fromkeys(["fetch", "no_cors", "script", "image", "frame", "stream", "window"])
    with LocalScout() as local, Server(html("<p>elsewhere</p>"), keep_alive=True) as other:
        for origin in (other.url, other.url.replace("127.0.0.1", "localhost")):
            with chromium.window(origin) as window:
                window.expected.append("")  # whatever is refused
                window.open()
                for path in ("/", "/page/live", "/page/static/page.js", "/v2/workflows"):
                    assert window.page.evaluate(READ, local.url + path) == nothing, path


def test_a_page_of_another_origin_changes_nothing(chromium: "Chromium", expect: Any) -> None:
    with LocalScout() as local, Server(html("<p>elsewhere</p>"), keep_alive=True) as other:
        with chromium.window(other.url) as window:
            window.expected.append("")  # whatever is refused
            for path in ("/page/faults", "/v2/workflows/execute"):
                window.open()
                with window.page.expect_navigation(url=local.url + path):
                    assert window.page.evaluate(CHANGE, local.url + path) == [None, "opaque", None, True]
                expect(window.page.locator("body")).to_contain_text("not to pages of other sites")
        with Scout("key", base_url=local.url, retries=0) as scout:
            assert scout.execute(HELLO, {"user_message": "hi"}).ok
    assert len(local.runs) == 1


def test_a_name_that_leads_here_is_not_an_own_name(chromium: "Chromium") -> None:
    with LocalScout() as local, chromium.window(local.url.replace("127.0.0.1", chromium.rebound)) as window:
        window.expected.append("421")
        for path in ("/", "/page/live", "/v2/workflows"):
            response = window.open(path)
            assert response is not None
            assert response.status == 421
    assert local.requests == []


def test_a_run_is_repeated_and_saved_and_a_fault_is_set_by_form(
    chromium: "Chromium", expect: Any, tmp_path: Path
) -> None:
    with (
        LocalScout(workflows={"hello": HELLO}) as local,
        chromium.window(local.url) as window,
        Scout("key", base_url=local.url, retries=0) as scout,
    ):
        run = scout.workflows.execute(local.workflow_ids["hello"], {"user_message": "hi"})
        page = window.page
        window.open(f"/page/runs/{run.id}")
        with page.expect_download() as saved:
            page.get_by_role("link", name="Save as a test").click()
        saved.value.save_as(tmp_path / "test_saved.py")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert "1 passed" in done.stdout, done.stdout + done.stderr

        page.get_by_text("Edit the inputs, and run again").click()
        page.get_by_label("Inputs, as a JSON object").fill('{"user_message": ')
        window.expected.append("422|400")
        page.get_by_role("button", name="Run again").click()
        expect(page.locator("main")).to_contain_text("is not JSON")
        assert window.accessibility_faults() == []
        page.get_by_label("Inputs, as a JSON object").fill('{"user_message": "hello again"}')
        page.get_by_role("button", name="Run again").click()
        page.wait_for_url(lambda url: url.startswith(f"{local.url}/page/runs/") and run.id not in url)
        expect(article(window, "answer", "completed")).to_contain_text("hello again")
        assert local.runs[-1].inputs == {"user_message": "hello again"}

        window.open("/page/faults")
        page.locator("#fault-status").fill("503")
        page.get_by_role("button", name="Add the fault").click()
        expect(page.locator("#faults")).to_contain_text("503")
        with pytest.raises(ScoutError, match="503"):
            scout.execute(HELLO, {"user_message": "hi"})


def test_a_list_that_is_read_stays_where_it_is_when_a_run_comes(chromium: "Chromium", expect: Any) -> None:
    with (
        LocalScout() as local,
        chromium.window(local.url) as window,
        Scout("key", base_url=local.url) as scout,
    ):
        for _ in range(40):
            scout.execute(HELLO, {"user_message": "hi"})
        window.open()
        expect(rows(window)).to_have_count(40)
        row = window.page.locator(f"#{rows(window).nth(20).get_attribute('id')}")
        window.page.evaluate("scrollTo(0, 500)")
        before = row.bounding_box()
        scout.execute(HELLO, {"user_message": "one more"})
        expect(rows(window)).to_have_count(41)
        after = row.bounding_box()
        assert before is not None
        assert after is not None
        assert abs(before["y"] - after["y"]) < 2


def test_commands_are_copied_also_where_a_key_is_wanted(chromium: "Chromium", expect: Any) -> None:
    with (
        LocalScout(api_key="the-key") as local,
        chromium.window(
            local.url,
            http_credentials={"username": "anybody", "password": "the-key"},
            permissions=["clipboard-read", "clipboard-write"],
        ) as window,
    ):
        window.open()
        window.page.get_by_role("button", name="Copy the commands").click()
        expect(window.page.get_by_role("status")).to_have_text("Copied.")
        assert "scout run workflow.yml" in window.page.evaluate("navigator.clipboard.readText()")
        assert window.accessibility_faults() == []
        with Scout("the-key", base_url=local.url) as scout:
            scout.execute(HELLO, {"user_message": "hi"})
        expect(rows(window)).to_have_count(1)  # the live stream has the key too


def test_a_page_that_is_not_there_asks_for_nothing(chromium: "Chromium") -> None:
    with LocalScout() as local, chromium.window(local.url) as window:
        window.expected.append("404")
        response = window.open("/page/runs/nothing")
        assert response is not None
        assert response.status == 404
        assert window.accessibility_faults() == []
        assert not [url for url in window.requests if url.endswith("/live")]
