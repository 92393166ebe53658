"""Nobody but its user can read or change anything through the page, and no secret is in anything that it sends."""

import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scout._json import whole_text
from scout.local import Access, LocalScout
from scout.local.faults import Faults
from scout.local.history import History
from scout.local.page.app import PageData, build_page
from scout.local.store import Store
from scout.local.stubs import Stubs

KEY = "a-key&<with>\"quotes'"
TIMEOUT = 20


class Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    content: bytes

    def __getitem__(self, name: Any) -> Any:
        return ", ".join(value for each, value in self.headers if each == name)

    @property
    def text(self) -> str:
        return self.content.decode()


def ask(
    server: LocalScout, target: str, method: str = "GET", headers: dict[str, str] | None = None, body: bytes = b""
) -> Answer:
    """Send a request exactly as it is written. Of a stream that goes on, return what comes first."""
    port = int(server.url.rsplit(":", 1)[1])
    all_headers = {"host": f"localhost:{port}", "connection": "close", "content-length": str(len(body))}
    all_headers |= {name: value.replace("PORT", str(port)) for name, value in (headers or {}).items()}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in all_headers.items())]
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as wire:
        wire.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        received = b""
        while piece := wire.recv(65536):
            received += piece
            if b"text/event-stream" in received and b"event: changed" in received:
                break
    head, _, content = received.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    pairs = [line.split(": ", 1) for line in rest]
    return Answer(int(first.split()[1]), [(name.lower(), value) for name, value in pairs], content)


def workflow(prompt: str = "{{ inputs.q }}", **more: Any) -> dict[str, Any]:
    item = {"key": "q", "display_name": "Q", "input_type": "text"}
    return {
        "blocks": [
            {
                "block_id": "inputs",
                "block_archetype_id": "com.scoutos.input",
                "block_display_name": "Inputs",
                "block_inputs": {"items": [item]},
            },
            {
                "block_id": "answer",
                "block_archetype_id": "com.scoutos.llm",
                "block_display_name": "Answer",
                "block_inputs": {"model": "gpt-4o", "prompt_items": [{"role": "user", "content": prompt}]},
                "dependencies": [{"block_id": "inputs"}],
                "is_output": True,
            },
        ],
        **more,
    }


def run(
    server: LocalScout, config: Any, inputs: Any, query: str = "", *, streaming: bool = False, key: str = "x"
) -> Answer:
    body = json.dumps({"workflow_config": config, "inputs": inputs, "streaming": streaming}).encode()
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    return ask(server, f"/v2/workflows/execute{query}", "POST", headers, body)


def all_routes() -> list[tuple[str, str]]:
    """Return each method and path of the page."""
    store = Store()
    try:
        page = build_page(PageData(store, History(), Faults(()), Stubs(), None, ()), Guardless())
    finally:
        store.close()
    return sorted((method, route.path) for route in page.routes for method in route.methods)  # type: ignore[attr-defined]


class Guardless:
    async def __call__(self, *_: Any) -> None:
        raise AssertionError("nothing is run here")


ROUTES = all_routes()


def filled(path: str, server: LocalScout, number: int = 0) -> str:
    """Return an address on which the page has something to show."""
    logs = server._history.logs.all()
    places = {
        "run_id": logs[number].run_id if number < len(logs) else "run_none",
        "workflow_id": next(iter(server.workflow_ids.values()), "wf_none"),
        "name": "page.css",
        "block_id": "answer",
    }
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda match: places.get(match[1], "0"), path)


@pytest.fixture(scope="module")
def server() -> Iterator[LocalScout]:
    with LocalScout(workflows={"stored": workflow()}) as server:
        assert run(server, workflow(), {"q": "Hi"}).status == 200
        yield server


# --- Other pages --------------------------------------------------------------------------------------------------

FOREIGN = {
    "a foreign Host": ({"host": "rebound.example:PORT"}, 421),
    "a foreign Host and its Origin": ({"host": "rebound.example", "origin": "http://rebound.example"}, 421),
    "a foreign Origin": ({"origin": "https://evil.example"}, 403),
    "another port": ({"origin": "http://localhost:1"}, 403),
    "a sandboxed frame": ({"origin": "null"}, 403),
    "another site": ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}, 403),
    "another site, as a script": ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
    "another port, without an Origin": ({"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}, 403),
    "a frame": ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, 403),
}


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_other_page_gets_anything(server: LocalScout, method: str, path: str) -> None:
    before = len(server.requests), len(server.runs)
    for who, (headers, status) in FOREIGN.items():
        answer = ask(server, filled(path, server), method, headers)
        assert (answer.status, "token" in answer.text) == (status, False), who
    assert (len(server.requests), len(server.runs)) == before


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_another_site_may_have_a_link_and_no_more(server: LocalScout, method: str, path: str) -> None:
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    status = ask(server, filled(path, server), method, link).status
    assert status in (200, 404) if method == "GET" else status == 403


@pytest.mark.parametrize("path", [path for method, path in ROUTES if method == "POST"])
@pytest.mark.parametrize("form", [b"", b"token=", b"token=wrong", b"token=%F0%9F%98%80", b"token=%ED%A0%80", b"\xff"])
def test_a_change_wants_the_token(server: LocalScout, path: str, form: bytes) -> None:
    before = len(server.requests), len(server.runs), server.workflow_ids
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "origin": server.url.replace("127.0.0.1", "localhost"),
    }
    assert ask(server, filled(path, server), "POST", headers, form).status in (400, 403)
    assert (len(server.requests), len(server.runs), server.workflow_ids) == before


def test_the_token_is_another_one_for_each_server() -> None:
    with_data = [PageData(None, None, None, None, None, ()) for _ in range(2)]  # type: ignore[arg-type]
    one, other = (data.token for data in with_data)
    assert one != other
    assert len(one) >= 43
    assert one not in repr(with_data)


# --- The headers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*(path for method, path in ROUTES if method == "GET"), "/page/none"])
def test_every_answer_has_the_headers_of_security(server: LocalScout, path: str) -> None:
    for method in ("GET", "HEAD", "DELETE"):
        answer = ask(server, filled(path, server), method) if (method, path) != ("DELETE", "/") else None
        if answer is None:  # of the API
            continue
        assert answer["x-content-type-options"] == "nosniff"
        assert answer["x-frame-options"] == "DENY"
        assert answer["cross-origin-resource-policy"] == answer["cross-origin-opener-policy"] == "same-origin"
        assert answer["referrer-policy"] == "same-origin"
        assert answer["cache-control"] == "no-store"
        policy, _, style = answer["content-security-policy"].partition("style-src 'self' 'sha256-")
        assert policy == "default-src 'none'; script-src 'self'; "
        assert style.partition("'")[2] == (
            "; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        assert not [name for name, _ in answer.headers if name.startswith("access-control-") or name == "set-cookie"]
        if method == "HEAD":
            assert answer.content == b""


def test_the_policy_allows_the_style_of_the_pictures_and_no_other(server: LocalScout) -> None:
    answer = ask(server, filled("/page/runs/{run_id}", server))
    styles = set(re.findall("<style>(.*?)</style>", answer.text, re.DOTALL))
    assert len(styles) == 1
    digest = base64.b64encode(hashlib.sha256(styles.pop().encode()).digest()).decode()
    assert f"'sha256-{digest}'" in answer["content-security-policy"]


@pytest.mark.parametrize(
    ("target", "method", "status"),
    [
        ("/page/../v2/workflows/execute", "POST", 404),
        ("/page/%2e%2e/v2/workflows/execute", "POST", 404),
        ("/page/..%2fv2/workflows", "GET", 404),
        ("/page/static/..%2fapp.py", "GET", 404),
        ("/page/static/%2e%2e%2fapp.py", "GET", 404),
        ("/page/static/..", "GET", 404),
        ("/page/static/%00", "GET", 404),
        ("/page/static/page.css%00", "GET", 404),
        ("//page/live", "GET", 404),
        ("/PAGE/live", "GET", 404),
        ("/page", "GET", 404),
        ("/page/", "GET", 404),
        ("/page%00", "GET", 404),
        ("http://localhost/page/static/page.css", "GET", 404),  # only the API reads this form
        ("http://evil.example/page/static/page.css", "GET", 421),
        ("http://evil.example/", "GET", 421),
        ("/page/runs/%ff%fe", "GET", 404),
        ("/page/runs/" + "x" * 30_000, "GET", 404),
        ("/?before=99999999999999999999&status=x&text=%ff%00", "GET", 200),
        ("/?before=%C2%B2", "GET", 200),
        ("/page/requests?before=" + "9" * 5_000, "GET", 200),
        ("/page/requests/" + "9" * 5_000, "GET", 404),
        ("/page/requests/999999999", "GET", 404),
        ("/", "POST", 404),
        ("/", "PROPFIND", 404),
        ("/page/live", "TRACE", 405),
        ("/page/live", "OPTIONS", 405),
    ],
)
def test_odd_targets(server: LocalScout, target: str, method: str, status: int) -> None:
    answer = ask(server, target, method)
    assert answer.status == status
    assert "token" not in answer.text or answer["content-type"].startswith("text/html")
    assert (status == 405) == bool(answer["allow"])


def test_a_large_form_holds_no_run_up(server: LocalScout, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    def noted(*arguments: Any, **options: Any) -> Any:
        threads.append(threading.current_thread().name)
        return parse_qsl(*arguments, **options)

    monkeypatch.setattr("scout.local.page.app.parse_qsl", noted)
    assert ask(server, "/page/faults/withdraw", "POST", body=b"token=" + b"x" * 1_000_000).status == 403
    assert threads == ["scout-local-page"]


def test_a_fault_of_the_page_is_said_on_it(
    server: LocalScout, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    def broken(*_: Any) -> None:
        raise LookupError("<b> where it failed")

    monkeypatch.setattr("scout.local.page.runs_view.runs", broken)
    with caplog.at_level("CRITICAL", "scout.local.http"):  # the log has the same record as for a fault of the API
        answer = ask(server, "/")
    assert answer.status == 500
    assert "The local Scout itself failed: LookupError" in answer.text
    assert "where it failed" not in answer.text
    assert answer["content-security-policy"]
    assert capfd.readouterr() == ("", "")
    monkeypatch.undo()
    assert ask(server, "/").status == 200


# --- With a key ---------------------------------------------------------------------------------------------------


def basic(password: str, user: str = "me") -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture(scope="module")
def locked() -> Iterator[LocalScout]:
    with LocalScout(api_key=KEY, workflows={"stored": workflow()}) as server:
        yield server


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_the_page_wants_the_key(locked: LocalScout, method: str, path: str) -> None:
    for wrong in (
        {},
        basic(""),
        basic("wrong"),
        basic("", KEY),
        basic("schlüssel🔑"),
        {"authorization": f"Digest {KEY}"},
        {"authorization": "Basic"},
        {"authorization": "Basic =="},
        {"authorization": "Basic /w=="},
        {"authorization": "B\xe4sic \xff"},
    ):
        answer = ask(locked, filled(path, locked), method, wrong)
        assert answer.status == 401
        assert answer["www-authenticate"].startswith("Basic realm=")
        assert KEY not in answer.text


def test_with_the_key_it_opens(locked: LocalScout) -> None:
    for right in (basic(KEY), basic(KEY, "schlüssel"), {"authorization": f"Bearer {KEY}"}):
        assert ask(locked, "/", headers=right).status == 200
        assert ask(locked, "/page/static/page.css", headers=right).status == 200
        assert ask(locked, "/page/live", headers=right).status == 200


# --- Without the page, and beside the API ---------------------------------------------------------------------------


def test_without_the_page_nothing_is_kept_for_it() -> None:
    with LocalScout(page=False) as server:
        assert run(server, workflow(), {"q": "Hi"}).status == 200
        assert run(server, {"blocks": 1}, {}).status == 422
        for method, path in ROUTES:
            answer = ask(server, filled(path, server), method)
            assert (answer.status, answer["content-type"]) == (404, "application/json")
        assert server._history.traces.of(server.runs[0].id) is None
        assert server._history.refusals.all() == []
        assert len(server.requests) == 2 + len(ROUTES)


def test_requests_of_the_page_are_not_those_of_programs() -> None:
    reports: list[Access] = []
    with LocalScout(workflows={"stored": workflow()}, on_access=reports.append) as server:
        server.fail_next(503)
        for method, path in ROUTES:
            if method in ("GET", "HEAD"):
                assert ask(server, filled(path, server), method).status in (200, 404)
        assert (server.requests, reports) == ([], [])
        assert run(server, workflow(), {"q": "Hi"}).status == 503
        assert run(server, workflow(), {"q": "Hi"}).status == 200
    assert [report.status for report in reports] == [503, 200]


# --- Secrets ------------------------------------------------------------------------------------------------------

BEGINNING, END = "S3CR3T", "T41L"
LOCAL_KEY = f"{BEGINNING}-local-&<\"quoted'>/{END}"
MODEL_KEY = f"{BEGINNING}-model-&<\"quoted'>/{END}"
VARIABLE = f"{BEGINNING} variable &<\"q'>/\\\n\té🔑 {END}"
SECRETS = (LOCAL_KEY, MODEL_KEY, VARIABLE)


def test_no_secret_is_in_any_byte() -> None:
    """Not even a part of one: it is redacted before anything is cut."""
    options: dict[str, Any] = {"api_key": LOCAL_KEY, "llm_base_url": "http://127.0.0.1:9/v1", "llm_api_key": MODEL_KEY}
    stored = {"stored": workflow("{{ _env.V }}", workflow_display_name=VARIABLE)}
    with LocalScout(env={"V": VARIABLE}, workflows=stored, stubs={"com.scoutos.llm": VARIABLE}, **options) as server:
        for number, secret in enumerate(SECRETS):
            for length in (0, 14, 95, 190, 295, 990, 9_990):
                text = "x" * length + secret
                config = workflow("{{ _env.V }}", workflow_display_name=text)
                config["blocks"][1] |= {"block_display_name": text, "block_id": f"answer{text}"[-200:]}
                assert run(server, config, {"q": text, text: [text]}, key=LOCAL_KEY).status == 200
            broken = workflow("{{ raise(_env.V) }}{{ _env.V.none.at_all }}")
            broken["blocks"][1]["block_inputs"]["model"] = "{{ 1/0 }}" + secret
            assert run(server, broken, {"q": secret}, "?session_id=S3CR3T-none", key=LOCAL_KEY).status == 200
            assert run(server, {"blocks": secret, secret: number}, {"q": secret}, key=LOCAL_KEY).status == 422
            server.fail_next(503, body={"detail": secret})
            assert run(server, workflow(secret), {"q": secret}, key=LOCAL_KEY).status == 503
            server.stub("answer", secret)
        server.fail_next(503, body={VARIABLE: VARIABLE}, times=2)
        addresses = {
            filled(path, server, number)
            for method, path in ROUTES
            for number in range(len(server._history.logs.all()))
            if method == "GET"
        }
        for address in sorted(addresses):
            answer = ask(server, address, headers=basic(LOCAL_KEY))
            assert answer.status in (200, 404), address
            shown = answer.text.replace("S3CR3T-none", "")
            assert (BEGINNING in shown, END in shown) == (False, False), (
                address,
                re.findall(f".{{0,60}}(?:{BEGINNING}|{END}).{{0,60}}", shown)[:3],
            )


@pytest.mark.parametrize("secret", ["scout-picture", "completed"])
def test_a_secret_that_is_a_word_of_the_pictures_does_not_spoil_them(secret: str) -> None:
    def names(env: dict[str, str]) -> set[str]:
        with LocalScout(env=env, workflows={"stored": workflow()}) as server:
            assert run(server, workflow(), {"q": "Hi"}).status == 200
            paths = ("/page/runs/{run_id}", "/page/workflows/{workflow_id}")
            shown = "".join(ask(server, filled(path, server)).text for path in paths)
        pictures = re.findall("<svg.*?</svg>", shown, re.DOTALL)
        assert len(pictures) == 3
        return set(re.findall(' (?:class|id|aria-labelledby)="[^"]*"', "".join(pictures)))

    assert names({"V": secret}) == names({})


# --- Markup -------------------------------------------------------------------------------------------------------


class Structure(HTMLParser):
    """The tags of a page with the names of their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[tuple[str, ...]] = set()
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add((tag, *sorted(name for name, _ in attrs)))
        self.text += "".join(f"\0{value}\0" for _, value in attrs)

    handle_startendtag = handle_starttag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.tags.add(("comment",))

    def handle_pi(self, data: str) -> None:
        self.tags.add(("instruction",))

    def unknown_decl(self, data: str) -> None:
        self.tags.add(("declaration",))


HOSTILE = (
    *("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)", "</pre><iframe>"),
    *(
        "</style><script>",
        "<!--",
        "-->",
        "]]>",
        "<![CDATA[",
        "<?x?>",
        "&lt;b&gt;",
        "{{ 7*7 }}",
        "{% raw %}",
        "\\u003cb>",
    ),
    *("</textarea></title></select><b>", "javascript:alert(1)", "\x00", "\x1b[31m", "\u202e", "\u2066", "\u2028"),
    *("\ud800", "\udfff\ud800", "\ufffe", "עברית", "🔑", "\r", "\n", "event: end\ndata: {}\n\n", "%3Cb%3E", "a" * 700),
)
texts = st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=8)), max_size=4).map("".join)


def visit(server: LocalScout, text: str) -> set[tuple[str, ...]]:
    """Let a text stand everywhere, look at all pages, and return the structure of what they have."""
    server.reset()
    server.stub("com.scoutos.llm", text + "y")
    text = whole_text(text)  # the API refuses half a pair
    config = workflow(text.replace("{", ""), workflow_display_name=text, workflow_description=text)
    answer = config["blocks"][1]
    answer["block_display_name"] = text
    answer["block_id"] = text or "answer"
    query = {"workflow_key": text} if text else {}
    body = {"workflow_config": config, "inputs": {"q": text, text: text}, "streaming": False, **query}
    headers = {"content-type": "application/json", "authorization": "Bearer x"}
    address = "/v2/workflows/execute?" + "&".join(f"{n}=" + encoded(text) for n in ("session_id",))
    assert ask(server, address, "POST", headers, json.dumps(body).encode()).status == 200
    broken = {**config, "blocks": [config["blocks"][0], {**answer, "block_archetype_id": text or "none"}]}
    body = {**body, "workflow_config": broken}
    assert ask(server, address, "POST", headers, json.dumps(body).encode()).status == 200
    refused = {**body, "workflow_config": {"blocks": text}}
    assert ask(server, f"{address}&{encoded(text)}=1", "POST", headers, json.dumps(refused).encode()).status == 422
    found: set[tuple[str, ...]] = set()
    filters = f"/?text={encoded(text)}&workflow={encoded(text)}&status={encoded(text)}"
    addresses = [filled(path, server, number) for method, path in ROUTES for number in (0, 1) if method == "GET"]
    for each in sorted({*addresses, filters}):
        shown = ask(server, each)
        if shown["content-type"].startswith("text/html"):
            structure = Structure(shown.text)
            assert "\x00" not in shown.text.replace("\r\n", "")
            found |= structure.tags
    return found


def encoded(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "replace"))


@pytest.fixture(scope="module")
def harmless(server: LocalScout) -> set[tuple[str, ...]]:
    """What the pages have with harmless texts of several lengths, and without any run."""
    server.reset()
    return Structure(ask(server, "/").text).tags.union(
        *(visit(server, text) for text in ("", "abc", "a" * 700, "b" * 12_000))
    )


@settings(max_examples=25)
@given(text=texts)
def test_no_text_becomes_markup(server: LocalScout, harmless: set[tuple[str, ...]], text: str) -> None:
    assert visit(server, text) - harmless == set()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_texts(server: LocalScout, harmless: set[tuple[str, ...]], text: str) -> None:
    assert visit(server, text) - harmless == set()


def test_no_template_takes_a_text_for_markup() -> None:
    """Only pictures are markup, and they are made in the views."""
    import scout.local.page

    folder = Path(scout.local.page.__file__).parent
    for path in folder.glob("templates/*"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe\b|autoescape|\bstyle=|\son\w+=|javascript:|<style|<script(?! src=)", text), (
            path
        )
    for path in folder.glob("static/*.js"):
        assert not re.search(
            r"innerHTML|outerHTML\s*=|insertAdjacentHTML|document\.write|\beval\b", path.read_text()
        ), path
