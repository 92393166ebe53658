"""A run kept in another form, as curl, a program, a test or a recording, is the same run when it is used."""

import ast
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import settled

from scout import AsyncScout, Run, Scout, ScoutError, StreamInterruptedError
from scout._json import is_same, parse_json, write_json
from scout.local import Fault, LocalRequest, LocalScout, replay
from scout.local.page.saved_test import as_test
from scout.local.page.saving import as_cassette, as_curl, as_python, constant
from scout.local.run_logs import COMPLETED, LoggedBlock, LoggedRun
from scout.local.traces import Trace

Json = dict[str, Any]

KEY = "sk-key-of-this-test"
NOWHERE = "http://127.0.0.1:9"
EXAMPLES = Path(__file__).parent.parent / "examples"
SEARCH, BROKEN, SLOW = "com.example.search", "com.example.broken", "com.example.slow"
HOSTILE = "\"\"\"it's\\ \\\" ''' {x} %s $HOME `id` !x \r\n\t\0\x1b[31m\u202e\u2028\x85é漢\U0001f600 # coding: utf-7"
NOW = {"workflow": {"workflow_id": "wf_1"}, "current_date": "1999-12-31"}


async def slow(inputs: Json, context: Any) -> None:
    await asyncio.Event().wait()


def broken(inputs: Json, context: Any) -> None:
    raise KeyError('the "service" is away')


@pytest.fixture(scope="module")
def local() -> Iterator[LocalScout]:
    blocks = {
        SEARCH: lambda inputs, context: [["one", None], {"two": 2.5e300}],
        BROKEN: broken,
        SLOW: slow,
        "replaced": lambda inputs, context: "not what its template says",
        "start": lambda inputs, context: {"of_the_start": 1},
    }
    with LocalScout(blocks=blocks, env={"REGION": "a {{ region }}", "PASSWORD": "a-password-of-8"}) as server:
        yield server


def block(block_id: str, archetype: str, *needs: str, **more: Any) -> Json:
    return {
        "block_id": block_id,
        "block_archetype_id": archetype,
        "block_display_name": block_id,
        "dependencies": [{"block_id": needed} for needed in needs],
        **more,
    }


def text(block_id: str, template: str, *needs: str, **more: Any) -> Json:
    return block(block_id, "com.scoutos.text", *needs, block_inputs={"text": template}, **more)


def llm(block_id: str, template: str, *needs: str, **more: Any) -> Json:
    prompts = [{"role": "user", "content": template}]
    return block(block_id, "com.scoutos.llm", *needs, block_inputs={"model": "gpt-4o", "prompt_items": prompts}, **more)


def workflow(*blocks: Json, name: str = "A workflow") -> Json:
    return {"workflow_display_name": name, "blocks": list(blocks)}


@dataclass(frozen=True)
class Kept:
    """What the server keeps of one run."""

    request: LocalRequest
    run: LoggedRun
    trace: Trace
    result: Run | None


def keep(
    local: LocalScout, config: Any, inputs: Any = None, *, streaming: bool = False, stubs: Any = None, **options: Any
) -> Kept:
    """Run a workflow, and return what the server keeps of it."""
    local.reset()
    for name, output in (stubs or {}).items():
        local.stub(name, output)
    with Scout(KEY, base_url=local.url) as scout:
        if streaming:
            with scout.stream(config, inputs, check=False, **options) as stream:
                result = stream.until_done()
        else:
            result = scout.execute(config, inputs, check=False, **options)
    return kept(local, result)


def kept(local: LocalScout, result: Run | None = None) -> Kept:
    run = local._history.logs.all()[-1]
    trace = local._history.traces.of(run.run_id)
    assert trace is not None
    assert settled(lambda: trace.seconds is not None)  # the client may have the answer before
    return Kept(local.requests[-1], run, trace, result)


# --- curl ---------------------------------------------------------------------------------------------------------

needs_curl = pytest.mark.skipif(shutil.which("curl") is None or shutil.which("sh") is None, reason="needs sh and curl")


def run_in_a_shell(command: str, **env: str) -> str:
    done = subprocess.run(
        ["sh", "-e"], input=command.encode(), env={"PATH": os.environ["PATH"], **env}, capture_output=True, timeout=20
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def facts(request: LocalRequest) -> Any:
    headers = {name: request.headers.get(name) for name in ("accept", "content-type")}
    return request.method, request.path, request.query, headers, request.content


@needs_curl
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    "inputs",
    [
        {"user_message": "Hi"},
        {HOSTILE: HOSTILE, "'": "'$(id)' \\ \\n %b %s", "\x7f\x9b": "\u2066"},
        {"user_message": "long " * 60_000, "number": 10**400},
    ],
    ids=["usual", "hostile", "large"],
)
def test_curl_makes_the_same_run(local: LocalScout, inputs: Json, streaming: bool) -> None:
    config = workflow(llm("answer", "ok"))
    options = {"environment": "staging", "session_id": "a b/'ü&=%", "workflow_key": "ké'y"}
    before = keep(local, config, inputs, streaming=streaming, **options)
    command = as_curl(before.request, local.url, secrets=[KEY])
    local.reset()

    shown = run_in_a_shell(command, SCOUT_API_KEY=KEY)

    after = kept(local)
    assert facts(after.request) == facts(before.request)
    assert KEY not in command
    assert streaming == shown.startswith("event: ")
    assert after.run.state["answer"] == before.run.state["answer"]
    assert command.replace("\n", "").isprintable()


@needs_curl
def test_curl_of_a_stored_workflow_and_of_odd_bytes(local: LocalScout) -> None:
    local.reset()
    with Scout(KEY, base_url=local.url) as scout:
        workflow_id = scout.workflows.deploy(workflow(text("a", "x")), key="it's").workflow.id
        scout.workflows.execute(workflow_id, {"a": 1}, session_id="s")
    with httpx.Client(base_url=local.url, headers={"authorization": f"Bearer {KEY}"}) as http:
        http.post("/v2/workflows/a%2Fb'[1-3]{x,y}$(id)/execute?x='&y=%00", content=b"@\xff\x00\\0101'\n%d")
        http.post("/v2/workflows/execute", content='{"inputs": {}}'.encode("utf-16"))
    before = [request for request in local.requests if request.path.endswith("/execute")]
    assert len(before) == 3

    for request in before:
        run_in_a_shell(as_curl(request, local.url), SCOUT_API_KEY=KEY)

    after = local.requests[-3:]
    for one, other in zip(before, after, strict=True):
        assert facts(replace(other, path=""))[:3] == facts(replace(one, path=""))[:3]
        assert unquote(other.path) == unquote(one.path)
        assert (other.content, other.headers.get("content-type")) == (one.content, one.headers.get("content-type"))


def test_secrets_are_redacted_everywhere(local: LocalScout) -> None:
    secret = 'a secret/of "8" ü'
    config = workflow(text("answer", "{{ inputs.word }} and " + secret, is_output=True))
    before = keep(local, config, {"word": secret}, session_id=secret)
    forms = [secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]]

    texts = [
        as_curl(before.request, local.url, secrets=[secret]),
        as_python(before.request, local.url, secrets=[secret]),
        as_test(before.run, config, secrets=[secret])[1],
        as_cassette(before.trace, secrets=[secret]).decode(),
    ]

    for each in texts:
        assert not any(form in each for form in forms)
        assert "[redacted]" in each or "[key]" in each


# --- Python -------------------------------------------------------------------------------------------------------


def run_as_a_program(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOUT_API_KEY", KEY)
    exec(compile(source, "program.py", "exec"), {})


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("stored", [False, True], ids=["config", "stored"])
@pytest.mark.parametrize("inputs", [None, {HOSTILE: [HOSTILE, 1.0, -0.0, 10**30], "n": Decimal("1e400")}])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"environment": None},
        {"environment": "staging", "session_id": HOSTILE, "extra_query": {"x": "1'2"}, "extra_body": {"y": [None]}},
    ],
    ids=["usual", "no environment", "many"],
)
def test_the_program_makes_the_same_run(
    local: LocalScout,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: Json,
    inputs: Any,
    stored: bool,
    streaming: bool,
) -> None:
    config = workflow(text("answer", "{{ inputs }}" + HOSTILE.replace("{x}", "")))
    if stored:
        local.reset()
        options = {**options, "session_id": options.get("session_id", "s")}
        with Scout(KEY, base_url=local.url) as scout:
            workflow_id = scout.workflows.deploy(config, key="mine").workflow.id
            if streaming:
                with scout.workflows.stream(workflow_id, inputs, **options) as stream:
                    stream.until_done()
            else:
                scout.workflows.execute(workflow_id, inputs, **options)
        before = kept(local)
    else:
        before = keep(local, config, inputs, streaming=streaming, workflow_key="a'b", **options)
    source = as_python(before.request, local.url)

    run_as_a_program(source, monkeypatch)

    after = local.requests[-1]
    assert len(local.runs) == 2
    assert facts(after)[:4] == facts(before.request)[:4]
    assert is_same(after.json, before.request.json)
    assert repr(before.run.state["answer"]["output"])[-9:-1] in repr(capsys.readouterr().out)
    assert KEY not in source


def test_numbers_that_json_has_not_are_null_as_in_the_run(local: LocalScout) -> None:
    config = {**workflow(text("a", "x")), "note": "NUMBERS"}
    content = json.dumps({"workflow_config": config}).replace('"NUMBERS"', "[1e9999999999999999999]")
    local.reset()
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    httpx.post(f"{local.url}/v2/workflows/execute", content=content, headers=headers).raise_for_status()

    before = kept(local)

    for source in (as_python(before.request, NOWHERE), as_test(before.run, before.request.json["workflow_config"])[1]):
        assert constants(source)["CONFIG"]["note"] == [None]


# --- A test -------------------------------------------------------------------------------------------------------


def example(name: str) -> Any:
    from scout import load_workflow

    return load_workflow(EXAMPLES / name / "workflow.yml").config


NOTES = {"title": "Monday", "notes": "one\ntwo"}
BESIDE = [block("slow", SLOW), block("after", SEARCH, "slow"), llm("quick", "x")]
REPORT = text("report", "{{ search.error }}", "search")

# Of each run: config, inputs and stubs.
RUNS: dict[str, tuple[Any, Any, Any]] = {
    "hello": (example("hello"), {"user_message": "Hi\n" * 70}, {"answer": "42"}),
    "classify": (example("classify"), {"review": "Good"}, {"sentiment": " Positive", "topic": "Price "}),
    "summary": (example("summary"), NOTES, None),
    "a list and null": (workflow(block("search", SEARCH), text("all", "{{ search }}", "search")), {}, None),
    "an object": (workflow(llm("answer", "x", is_output=True)), {}, {"answer": {"a": [True, None]}}),
    "replaced": (workflow(text("replaced", "x"), text("all", "{{ replaced.output }}", "replaced")), {}, None),
    "start": (
        workflow(block("start", "com.scoutos.input"), text("all", "{{ start.of_the_start }}", "start")),
        {},
        None,
    ),
    "variables": (
        workflow(
            text("region", "{{ _env.REGION }}"),
            llm("answer", "{{ region }} {{ _env.REGION }} and a random datetime, {{ inputs.x }}", "region"),
        ),
        {"x": "y"},
        None,
    ),
    "chance": (workflow(text("chance", "{{ range(10**5) | random }} {{ datetime.now() }}", is_output=True)), {}, None),
    "ignored": (workflow(block("search", BROKEN, ignore_error=True), REPORT), {}, None),
    "ignored template": (
        workflow(text("search", "{{ nothing }}", ignore_error=True), REPORT, block("other", SEARCH)),
        {},
        None,
    ),
    "numbers": (
        workflow(text("all", "{{ inputs.n }}"), llm("answer", "{{ inputs.deep }}")),
        {"n": [Decimal("1e400"), 10**4000, 1e16, 5e-324], "deep": parse_json("[" * 150 + "1" + "]" * 150)},
        None,
    ),
    "hostile": (
        workflow(
            text(HOSTILE, HOSTILE.replace("{x}", "{{ inputs.x }}"), block_output=HOSTILE),
            llm(f"of {HOSTILE}", HOSTILE, HOSTILE, is_output=True),
            name=HOSTILE,
        ),
        {"x": HOSTILE, HOSTILE: HOSTILE},
        {f"of {HOSTILE}": HOSTILE},
    ),
    "no blocks": ({}, {}, None),
    "a missing input fails": (example("hello"), {}, None),
    "a template fails": (
        workflow(llm("one", "x"), text("two", "{{ one.nothing }}", "one"), llm("three", "x", "two")),
        {},
        None,
    ),
    "a prompt fails": (workflow(llm("one", "{{ nothing }}"), text("two", "x", "one")), {}, None),
    "a service fails": (workflow(text("one", "x"), block("two", BROKEN, "one"), *BESIDE), {}, None),
    "a block that nothing runs fails": (
        workflow(block("one", "com.example.unknown", block_inputs={"of": "{{ nothing }}"})),
        {},
        None,
    ),
    "one of two fails": (workflow(text("one", "{{ nothing }}"), llm("two", "{{ other }}")), {}, None),
    "a template of the inputs fails": (
        workflow(block("inputs", "com.scoutos.input"), text("one", "{{ inputs.nothing }}")),
        {"x": 1},
        {"inputs": {"y": 2}},
    ),
}


@pytest.fixture(scope="module")
def saved(local: LocalScout) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scout.local.engine._globals", lambda workflow_id: NOW)
        for name, (config, inputs, stubs) in RUNS.items():
            before = keep(local, config, inputs, stubs=stubs)
            assert (before.run.status != COMPLETED) == name.endswith(" fails"), before.run.message
            found[name] = as_test(before.run, config, secrets=["a-password-of-8"])
    return found


def pytest_in(folder: Path) -> dict[str, str]:
    """Run all tests of a folder, and return the outcome of each file."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--tb=short", "-p", "no:cacheprovider", "-W", "error"]
    for plugin in ("asyncio", "xdist", "timeout", "anyio", "hypothesispytest"):  # each costs its import
        command += ["-p", f"no:{plugin}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    outcomes = re.findall(r"^(PASSED|FAILED|ERROR) (\w+\.py)", done.stdout, re.MULTILINE)
    return {file: outcome if outcome == "PASSED" else done.stdout for outcome, file in outcomes}


@pytest.fixture(scope="module")
def folder(saved: Mapping[str, tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    for name, text_of_it in saved.values():
        (folder / name).write_text(text_of_it, encoding="utf-8")
    return folder


CHANGES = {
    "hello": ("{{ inputs.user_message }}", "{{ inputs.user_message }}?"),
    "classify": ("topic: {{", "Topic: {{"),
    "summary": ("{{ loop.index }}. ", "{{ loop.index }}) "),
    "a list and null": ("{{ search }}", "{{ search | length }}"),
    "ignored": ("{{ search.error }}", "{{ search.output }}"),
    "a template fails": ("{{ one.nothing }}", "{{ one.something }}"),
    "a missing input fails": ("'is_optional': False", "'is_optional': True"),
}


def test_saved_tests_pass_and_fail_when_the_workflow_is_changed(
    saved: Mapping[str, tuple[str, str]], folder: Path
) -> None:
    for name, (before, after) in CHANGES.items():
        file, source = saved[name]
        assert before in source
        (folder / file.replace("test_", "test_changed_", 1)).write_text(source.replace(before, after, 1), "utf-8")

    outcomes = pytest_in(folder)

    assert len(outcomes) == len(RUNS) + len(CHANGES)
    for file, outcome in outcomes.items():
        assert (outcome == "PASSED") == ("_changed_" not in file), outcome
    for file in folder.glob("test_changed_*"):
        file.unlink()


def test_a_saved_test_says_what_it_is(saved: Mapping[str, tuple[str, str]]) -> None:
    name, source = saved["classify"]

    assert re.fullmatch(r"test_classify_a_review_[0-9a-f]{8}\.py", name)
    assert "# Workflow: Classify a review\n" in source
    assert re.search(r"^# Run: run_[0-9a-f]{32}, completed on 20\d\d-\d\d-\d\d at \d\d:\d\d UTC$", source, re.MULTILINE)
    assert "def test_classify_a_review(scout_local):" in source
    assert constants(source)["STUBS"] == {"sentiment": " Positive", "topic": "Price "}
    assert constants(source)["OUTPUTS"] == {"verdict": "sentiment: positive\ntopic: price"}


def test_what_changes_from_run_to_run_is_kept_as_text(saved: Mapping[str, tuple[str, str]]) -> None:
    source = saved["summary"][1]
    assert "# - blocks[3].block_inputs.text\n" in source
    note = constants(source)["CONFIG"]["blocks"][3]["block_inputs"]["text"]
    assert note.startswith("# Monday (1999-12-31)\n\n")

    blocks = constants(saved["variables"][1])["CONFIG"]["blocks"]
    assert blocks[0]["block_inputs"]["text"] == '{{ "a {{ region }}" }}'
    assert "random" in saved["variables"][1]
    assert "# - " not in saved["classify"][1]


def test_a_run_that_is_no_test_is_refused(local: LocalScout) -> None:
    before = keep(local, workflow(text("a", "x"))).run
    for change in ({"was_cancelled": True}, {"status": "running"}, {"status": "failed"}):
        with pytest.raises(ValueError, match="the run"):
            as_test(replace(before, **change), workflow(text("a", "x")))


# --- The Python of both -------------------------------------------------------------------------------------------


def constants(source: str) -> dict[str, Any]:
    """Evaluate the constants of a source, which are literals but for numbers that Python has no literal for."""
    found: dict[str, Any] = {"Decimal": Decimal}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign):
            (target,) = node.targets
            assert isinstance(target, ast.Name)
            names = {each.id for each in ast.walk(node.value) if isinstance(each, ast.Name)}
            assert names <= {"Decimal"}
            found[target.id] = eval(compile(ast.Expression(node.value), "", "eval"), {}, found)
            if not names:
                assert repr(ast.literal_eval(node.value)) == repr(found[target.id])
    return found


numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([10**4000, -(10**30)])
large = st.sampled_from([Decimal("1e400"), Decimal("-1.5E-999"), Decimal("9" * 5000)])
pieces = st.sampled_from(['"', "'", "\\", "\n", "\r", '"""', "{{ x }}", "é", "漢字", "e\u0301", "word ", "\ud800", "#"])
texts = st.text() | st.lists(pieces, max_size=60).map("".join) | st.just(HOSTILE)
values = st.recursive(
    st.none() | st.booleans() | numbers | large | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=12,
)
objects = st.dictionaries(texts, values, max_size=4)


def a_run(name: str, block_ids: list[str], block_inputs: Any, rendered: Any, output: Any) -> tuple[LoggedRun, Json]:
    """Return a run of blocks that are stubbed, as the log has it after its end."""
    config = workflow(*(block(each, SEARCH, block_inputs=block_inputs) for each in block_ids), name=name)
    answer = {"run": {"errors": [], "state": {each: {"output": output} for each in block_ids}}}
    run = LoggedRun(
        run_id="run_1",
        session_id="s",
        workflow_id="wf_1",
        revision_id=None,
        workflow_key=None,
        environment="production",
        display_name=name,
        output_block_id=block_ids[0],
        sent=write_json(rendered, ascii_only=True).encode(),
        live_state=None,
    )
    for each in block_ids:
        logged = LoggedBlock(each, SEARCH, each, inputs=write_json(rendered, ascii_only=True).encode())
        logged.end(None, has_entry=True)
        run.blocks[each] = logged
    run.end(write_json(answer, ascii_only=True).encode(), [])
    return run, config


def test_any_json_is_python_that_gives_it_again_and_is_clean(tmp_path: Path) -> None:
    count = 0

    @given(texts, st.lists(texts, min_size=1, max_size=3, unique=True), objects, values)
    def check(name: str, block_ids: list[str], inputs: Any, output: Any) -> None:
        nonlocal count
        run, config = a_run(name, block_ids, dict.fromkeys(inputs), inputs, output)
        file, test = as_test(run, config)
        body = {"workflow_config": config, "inputs": inputs, "workflow_key": name}
        content = write_json(body, ascii_only=True).encode()
        request = LocalRequest("POST", "/v2/workflows/execute", {"session_id": name}, {}, content)
        program = as_python(request, NOWHERE)

        assert re.fullmatch(r"test_[a-z0-9_]+_1\.py", file)
        tested, sent = constants(test), constants(program)
        assert_same(sent["CONFIG"], config)
        assert_same(sent.get("INPUTS", {}), inputs)
        assert_same(tested["CONFIG"], config)
        assert_same(tested["INPUTS"], inputs)
        assert_same(tested["STUBS"], dict.fromkeys(block_ids, output))
        assert_same(tested["OUTPUTS"], {block_ids[0]: output})
        kinds = {type(node) for node in ast.parse(test).body}
        assert kinds <= {ast.Import, ast.ImportFrom, ast.Assign, ast.FunctionDef}
        count += 1
        (tmp_path / f"test_{count}.py").write_text(test, encoding="utf-8")
        (tmp_path / f"program_{count}.py").write_text(program, encoding="utf-8")

    check()
    check_with_ruff(tmp_path)


def test_saved_tests_are_clean(folder: Path) -> None:
    check_with_ruff(folder)


def assert_same(one: Any, other: Any) -> None:
    assert write_json(one, ascii_only=True) == write_json(other, ascii_only=True)


def check_with_ruff(folder: Path) -> None:
    ruff = Path(sys.executable).with_name("ruff")
    if not ruff.exists():
        pytest.skip("needs ruff")
    command = [ruff, "check", "--isolated", "--no-cache", "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[:5000] + done.stderr[:1000]


def test_a_value_of_any_depth_is_python() -> None:
    value = parse_json('{"a":[' * 99 + '"text"' + "]}" * 99)
    source = constant("CONFIG", value)

    assert constants(source)["CONFIG"] == value
    assert len(source) < 10_000


def test_people_can_read_a_constant() -> None:
    prompt = "Summarise these notes in three sentences:\n\n{{ inputs.notes }}\n" + "and so on, " * 5
    value = {"blocks": [{"id": "a"}, {"id": "b", "needs": ["a"], "prompt": prompt, "text": "x" * 120}], "name": "it's"}

    assert (
        constant("CONFIG", value)
        == f"""\
CONFIG = {{
    'blocks': [
        {{'id': 'a'}},
        {{
            'id': 'b',
            'needs': ['a'],
            'prompt': (
                'Summarise these notes in three sentences:\\n'
                '\\n'
                '{{{{ inputs.notes }}}}\\n'
                '{"and so on, " * 5}'
            ),
            'text': '{"x" * 120}',
        }},
    ],
    'name': "it's",
}}
"""
    )


# --- A recording --------------------------------------------------------------------------------------------------


def call(kind: str, config: Any, inputs: Any, options: Any, *, streaming: bool, **client: Any) -> Run:
    """Make one run, with a client of one kind."""

    def sync_call() -> Run:
        with Scout("any-key", **client) as scout:
            if not streaming:
                return scout.execute(config, inputs, check=False, **options)
            with scout.stream(config, inputs, check=False, **options) as stream:
                return stream.until_done()

    async def async_call() -> Run:
        async with AsyncScout("any-key", **client) as scout:
            if not streaming:
                return await scout.execute(config, inputs, check=False, **options)
            async with scout.stream(config, inputs, check=False, **options) as stream:
                return await stream.until_done()

    return sync_call() if kind == "sync" else asyncio.run(async_call())


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("name", ["hello", "hostile", "numbers", "ignored", "a template fails"])
def test_a_recording_gives_the_same_run(
    local: LocalScout, tmp_path: Path, name: str, streaming: bool, kind: str
) -> None:
    config, inputs, stubs = RUNS[name]
    options = {"session_id": "a b/'ü&=%", "environment": None}
    before = keep(local, config, inputs, stubs=stubs, streaming=streaming, **options)
    (tmp_path / "run.jsonl").write_bytes(as_cassette(before.trace, secrets=[KEY]))

    for real_time in (False, True):
        transport = replay(tmp_path / "run.jsonl", real_time=real_time)
        run = call(kind, config, inputs, options, streaming=streaming, base_url=NOWHERE, transport=transport)
        assert run == before.result
        assert before.result is not None
        assert run.blocks == before.result.blocks
        assert run.raw == before.result.raw


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(("streaming", "cut_after"), [(False, 0), (False, 1), (True, 1), (True, 4)])
def test_an_answer_that_broke_off_breaks_off_again(
    local: LocalScout, tmp_path: Path, streaming: bool, cut_after: int, kind: str
) -> None:
    config = workflow(llm("answer", "one two three"))
    local.reset()
    local.fail_next(Fault(cut_after=cut_after))
    with pytest.raises(ScoutError) as live:
        call(kind, config, None, {}, streaming=streaming, base_url=local.url)
    (tmp_path / "run.jsonl").write_bytes(as_cassette(kept(local).trace))

    with pytest.raises(ScoutError) as replayed:
        call(kind, config, None, {}, streaming=streaming, base_url=NOWHERE, transport=replay(tmp_path / "run.jsonl"))

    assert type(replayed.value) is type(live.value)
    assert replayed.value.run_may_have_started
    if isinstance(live.value, StreamInterruptedError):
        assert isinstance(replayed.value, StreamInterruptedError)
        assert replayed.value.run == live.value.run


def test_a_recording_of_a_stored_workflow_answers_to_another_session(local: LocalScout, tmp_path: Path) -> None:
    local.reset()
    with Scout(KEY, base_url=local.url) as scout:
        workflow_id = scout.workflows.deploy(workflow(text("a", "x")), key="mine").workflow.id
        run = scout.workflows.execute(workflow_id, {"a": 1})
    (tmp_path / "run.jsonl").write_bytes(as_cassette(kept(local).trace))

    with Scout("another-key", base_url=NOWHERE, transport=replay(tmp_path / "run.jsonl")) as scout:
        assert scout.workflows.execute(workflow_id, {"a": 1}) == run
