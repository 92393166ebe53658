"""generated/scout_generated: what our templates promise beyond the generator's own."""

from __future__ import annotations

import ast
import asyncio
import copy
import importlib
import importlib.util
import json
import pickle
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
import scout_generated
from ruamel.yaml import YAML
from scout_generated import AuthenticatedClient, errors, models, types
from scout_generated.api.runs import list_run_logs
from scout_generated.api.workflows import execute_workflow_config
from scout_generated.models import ErrorBody, ExecuteWorkflowConfigRequest, WorkflowConfig, WorkflowRunResponse
from scout_generated.types import UNSET, Unset

ROOT = Path(__file__).parent.parent
PACKAGE = Path(scout_generated.__file__).parent
SPEC: dict[str, Any] = json.loads(files("scout_generated").joinpath("openapi.json").read_text("utf-8"))
KEY = "secret_k3y-that-must-not-be-seen"
RUN = {"run": {"stop_reason": "workflow_run_completed", "workflow_run_id": "run_1"}, "workflow_id": "wf_1"}
BODY = ExecuteWorkflowConfigRequest(WorkflowConfig())

CONFIG = {
    "workflow_display_name": "All shapes",
    "workflow_img_url": None,
    "tags": ["a"],
    "notes": None,
    "x_new": {"kept": [1, None]},
    "placeholders": [{"block_id": "p", "type": "a_new_type", "ui": None, "dependencies": []}],
    "blocks": [
        {
            "block_id": "a",
            "block_archetype_id": "com.scoutos.text",
            "block_display_name": "A",
            "block_config": [
                {"type": "number", "id": "n", "display_name": "N", "value": 1, "minimum_value": 0.5},
                {"type": "text-long", "id": "t", "display_name": "T", "value": None},
                {
                    "type": "text-long",
                    "id": "t2",
                    "display_name": "T",
                    "value": [{"id": "p", "role": "developer", "content": "c", "name": "new"}],
                },
                {"type": "select", "id": "s", "display_name": "S", "options": [{"name": "o", "x": 1}]},
            ],
            "block_inputs": {"temperature": 0.7, "whole": 1, "big": 2**80, "none": None, "list": [True]},
            "block_is_output": False,
            "is_output": True,
            "trigger_config": None,
            "input_schema": {},
            "output_schema": [None, {"status": "sent"}],
            "dependencies": [{"block_id": "b", "ui": {"edge_type": "plusSign", "z": 1}, "extra": 1}],
            "ui": {"position": {"x": 1.5, "y": -83, "z": 0}, "dimensions": {"width": 1, "height": 2.25}},
            "x_block": "kept",
        }
    ],
}


@contextmanager
def server(status: int = 200, body: bytes = b"", content_type: str = "application/json"):
    """A loopback server that gives one answer to everything; yields its address and the requests it got."""
    requests: list[tuple[str, dict[str, str], Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers.get("Content-Length", "0"))
            headers = {name.lower(): value for name, value in self.headers.items()}
            requests.append((self.path, headers, json.loads(self.rfile.read(length))))
            self.send_response(status, "Status")
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}", requests
        finally:
            running.shutdown()
            thread.join(5)


def call_sync(url: str, **options: Any) -> types.Response[Any]:
    with AuthenticatedClient(base_url=url, token=KEY, **options) as client:
        return execute_workflow_config.sync_detailed(client=client, body=BODY)


def call_async(url: str, **options: Any) -> types.Response[Any]:
    async def call() -> types.Response[Any]:
        async with AuthenticatedClient(base_url=url, token=KEY, **options) as client:
            return await execute_workflow_config.asyncio_detailed(client=client, body=BODY)

    return asyncio.run(call())


both = pytest.mark.parametrize("call", [call_sync, call_async])


# The value of fields that were not given


def test_unset_is_one_and_false():
    assert Unset() is UNSET
    assert not UNSET
    assert repr(UNSET) == "UNSET"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_unset_stays_itself_in_pickles(protocol):
    assert pickle.loads(pickle.dumps([UNSET], protocol))[0] is UNSET


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_of_models(copier):
    model = WorkflowConfig.from_dict(CONFIG)

    copied = copier(model)

    assert copied == model
    assert copied.workflow_description is UNSET
    assert copied.to_dict() == CONFIG
    assert copier(UNSET) is UNSET


# Reading and writing


def test_a_config_survives_reading_and_writing():
    before = copy.deepcopy(CONFIG)

    written = WorkflowConfig.from_dict(CONFIG).to_dict()

    # As text, because 1 == 1.0 == True
    assert json.dumps(written, sort_keys=True) == json.dumps(before, sort_keys=True)
    assert before == CONFIG


def test_fields_that_are_null_survive():
    nulls = dict.fromkeys(SPEC["components"]["schemas"]["WorkflowConfig"]["properties"])

    assert WorkflowConfig.from_dict(nulls).to_dict() == nulls
    assert WorkflowConfig.from_dict({}).to_dict() == {}


def test_a_block_that_does_not_fit_is_an_error_and_not_returned_raw():
    with pytest.raises(KeyError, match="block_archetype_id"):
        WorkflowConfig.from_dict({"blocks": [{"block_id": "a"}]})


def test_real_configs_survive():
    folder = ROOT.parent / "shared" / "real-configs"
    if not folder.is_dir():
        pytest.skip("the folder with real configs is not on this machine")
    paths = sorted(folder.iterdir())
    assert paths
    for path in paths:
        loaded = YAML(typ="safe").load(path)
        config = loaded.get("data", loaded).get("workflow_config", loaded)
        written = WorkflowConfig.from_dict(config).to_dict()
        assert json.dumps(written, sort_keys=True) == json.dumps(config, sort_keys=True), path.name


def in_one_spelling(value: Any) -> Any:
    """A value with all times as a datetime writes them: some are read into one, and the others are left as they are."""
    return json.loads(re.sub(r'(T[0-9:.]+)Z"', r'\1+00:00"', json.dumps(value)))


@pytest.mark.parametrize(
    ("name", "example"),
    [
        pytest.param(name, example, id=f"{name}-{number}")
        for name, schema in SPEC["components"]["schemas"].items()
        for number, example in enumerate(schema.get("examples", ()))
    ],
)
def test_examples_of_the_spec_survive(name, example):
    written = getattr(models, name).from_dict(example).to_dict()

    assert in_one_spelling(written) == in_one_spelling(example)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("WorkflowRunResponse", {"run": {"stop_reason": "paused", "workflow_run_id": "r", "new": 1}, "new": 2}),
        ("WorkflowActor", {"id": "a", "type": "robot"}),
        ("WorkflowActor", {}),
        ("Prompt", {"id": "p", "role": "tool", "content": "c"}),
        ("Placeholder", {"block_id": "p", "type": "new"}),
        ("BlockStateUpdatedData", {"workflow_run_id": "r", "update_data": {}, "update_type": "new"}),
        ("BlockStateUpdatedData", {"workflow_run_id": "r", "update_data": {}, "update_type": None}),
        ("WorkflowRunCompletedData", {"workflow_run_id": "r", "output": "text"}),
        ("WorkflowRunCompletedData", {"workflow_run_id": "r", "output": [1, None]}),
        ("HttpValidationError", {"detail": "text", "errors": [{"field": "f"}]}),
        ("HttpValidationError", {"detail": [{"loc": ["body", 0], "msg": "m", "type": "t", "input": 1}]}),
        ("ErrorBody", {"detail": {"a": 1}, "message": "m"}),
        ("EnvironmentDeploymentConfig", {"revision_lookup": "newest", "traffic": None, "new": 1}),
        ("RunLog", {"workflow_run_id": "r", "status": "paused", "blocks": {"a": {"status": "new", "new": 1}}}),
        ("RunLog", {"workflow_run_id": "r", "status": "running", "blocks": None, "output": [1], "cost": "0.1"}),
        ("RunLogPageEnd", {"final": True, "has_more": None, "next_cursor": None, "new": 1}),
    ],
)
def test_values_that_the_spec_does_not_know_survive(name, body):
    assert getattr(models, name).from_dict(body).to_dict() == body


# Secrets


def texts(client: AuthenticatedClient) -> str:
    return f"{client!r} {client} {[client]} {client.get_httpx_client()!r} {client.get_async_httpx_client()!r}"


def test_no_repr_shows_the_key():
    headers = {"X-Other-Key": KEY}
    client = AuthenticatedClient(
        base_url="https://localhost",
        token=KEY,
        headers=headers,
        cookies={"session": KEY},
        httpx_args={"auth": httpx.BasicAuth("user", KEY), "params": {"key": KEY}},
    )
    before_use = repr(client)
    derived = [
        client.with_headers({"Authorization": KEY}),
        client.with_cookies({"c": KEY}),
        client.with_timeout(httpx.Timeout(3)),
    ]

    assert KEY not in before_use + texts(client) + "".join(texts(each) for each in derived)
    assert headers == {"X-Other-Key": KEY}, "the caller's own dictionary must not receive the key"
    assert client.get_httpx_client().headers["authorization"] == f"Bearer {KEY}"


def test_a_derived_client_leaves_the_original_as_it_is():
    client = AuthenticatedClient(base_url="https://localhost", token=KEY, timeout=httpx.Timeout(9))
    pool, async_pool = client.get_httpx_client(), client.get_async_httpx_client()

    changed = client.with_headers({"X-New": "1"}).with_cookies({"c": "1"}).with_timeout(httpx.Timeout(1))

    for each in (pool, async_pool):
        assert "x-new" not in each.headers
        assert not each.cookies
        assert each.timeout == httpx.Timeout(9)
    for each in (changed.get_httpx_client(), changed.get_async_httpx_client()):
        assert each.headers["x-new"] == "1"
        assert each.headers["authorization"] == f"Bearer {KEY}"
        assert each.cookies["c"] == "1"
        assert each.timeout == httpx.Timeout(1)


# The raw client over real HTTP


@both
def test_the_raw_client_runs_a_workflow(call):
    with server(body=json.dumps(RUN).encode()) as (url, requests):
        answer = call(url)

    assert isinstance(answer.parsed, WorkflowRunResponse)
    assert answer.parsed.to_dict() == RUN
    [(path, headers, body)] = requests
    assert path == "/v2/workflows/execute"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["content-type"] == "application/json"
    assert body == {"workflow_config": {}, "streaming": False}


@both
@pytest.mark.parametrize("status", [401, 429, 500, 520, 529, 599])
def test_the_raw_client_reads_errors(call, status):
    with server(status, b'{"detail": "no"}') as (url, _):
        answer = call(url)

    assert answer.status_code == status
    assert isinstance(answer.parsed, ErrorBody)
    assert answer.parsed.detail == "no"


@both
@pytest.mark.parametrize(
    ("status", "body", "content_type"),
    [
        (529, b"<html>overloaded</html>", "text/html"),
        (999, b"denied", "text/plain"),
        (302, b"", "text/html"),
        (200, b"<html>hello</html>", "text/html"),
        (200, b"", "application/json"),
        (200, b"[]", "application/json"),
        (200, b'{"unexpected": true}', "application/json"),
        (200, b'{"run": {}}', "application/json"),
        (200, b'{"run": "\xff"}', "application/json"),
        (200, b'event: block_run_started\ndata: {"name": "block_run_started"}\n\n', "text/event-stream"),
        (401, b"<html>who?</html>", "text/html"),
        (422, b"[1]", "application/json"),
        (422, b'{"detail": [{"other": 1}]}', "application/json"),
    ],
)
def test_the_raw_client_returns_what_it_cannot_parse(call, status, body, content_type):
    with server(status, body, content_type) as (url, _):
        answer = call(url)

    assert answer.status_code == status
    assert answer.content == body
    assert answer.parsed is None


@both
def test_undocumented_statuses_raise_when_asked_for(call):
    with server(999, b"denied") as (url, _), pytest.raises(errors.UnexpectedStatus, match="999"):
        call(url, raise_on_unexpected_status=True)


def test_the_raw_client_leaves_a_stream_unparsed():
    page = b'data: {"final": true, "has_more": false}\n\n'
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=page))
    with AuthenticatedClient(base_url="https://localhost", token=KEY, httpx_args={"transport": transport}) as client:
        answer = list_run_logs.sync_detailed(client=client, workflow_id="wf_1")

    assert answer.content == page
    assert answer.parsed is None


# The package


def test_no_public_name_is_an_invention_of_the_generator():
    invented = re.compile(r"Type\d|_type_\d|Response\d|_response_\d|AdditionalProperty|additional_property\b")
    named = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

    modules = list(PACKAGE.rglob("*.py"))
    names = [path.stem for path in modules]
    for path in modules:
        for node in ast.parse(path.read_text("utf-8")).body:
            names += [node.name] if isinstance(node, named) else []
            names += [target.id for target in getattr(node, "targets", ()) if isinstance(target, ast.Name)]

    assert len(names) > 100
    assert [name for name in names if invented.search(name)] == []
    assert [name for name in models.__all__ if invented.search(name)] == []


def test_all_models_can_be_imported():
    for name in models.__all__:
        assert getattr(models, name) is not None
    assert set(models.__all__) <= set(dir(models))
    with pytest.raises(AttributeError, match="NoSuchModel"):
        models.NoSuchModel  # noqa: B018
    with pytest.raises(AttributeError, match="NoSuchName"):
        scout_generated.NoSuchName  # noqa: B018


def test_every_schema_has_its_class():
    unions = {"WorkflowEvent", "BlockConfigItem"}
    renamed = {"HTTPValidationError": "HttpValidationError"}

    expected = {renamed.get(name, name) for name in SPEC["components"]["schemas"]} - unions

    assert set(models.__all__) == expected


def test_importing_the_models_imports_no_http_client():
    code = (
        "import sys, scout_generated.models, scout_generated.api.workflows.execute_workflow_config;"
        "print([name for name in sys.modules if name == 'httpx' or name.startswith('scout_generated.models.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)

    assert done.stdout.strip() == "[]"


def test_the_package_says_where_it_comes_from():
    assert "Generated from openapi.yaml by scripts/regenerate; do not edit." in (scout_generated.__doc__ or "")
    assert (PACKAGE / "py.typed").is_file()


@pytest.mark.parametrize("version", [(1, 1), (1, 2)])
def test_the_json_says_what_the_yaml_says_by_the_rules_of_either_version(version):
    yaml = YAML(typ="safe", pure=True)
    yaml.version = version

    assert yaml.load(ROOT / "openapi.yaml") == SPEC


# scripts/regenerate


@pytest.fixture
def regenerate():
    pytest.importorskip("openapi_python_client", reason="a development tool")
    path = ROOT / "scripts" / "_regenerate.py"
    found = importlib.util.spec_from_file_location("_regenerate", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_check_reports_every_kind_of_difference(regenerate, tmp_path, monkeypatch, capsys):
    present, expected = tmp_path / "present", tmp_path / "expected"
    for folder in (present, expected):
        (folder / "__pycache__").mkdir(parents=True)
        (folder / "same.py").write_text("same = 1\n")
    (present / "__pycache__" / "same.pyc").write_bytes(b"\0")
    monkeypatch.setattr(regenerate, "ROOT", tmp_path)
    assert regenerate.report(present, expected) == 0

    (present / "planted.py").touch()
    (expected / "lost.py").touch()
    (present / "edited.py").write_text("a = 1\nb = 2\n")
    (expected / "edited.py").write_text("a = 1\nb = 3\n")
    (present / "ends.py").write_bytes(b"a\r\n")
    (expected / "ends.py").write_bytes(b"a\n")
    (present / "last.py").write_bytes(b"a")
    (expected / "last.py").write_bytes(b"a\n")

    assert regenerate.report(present, expected) == 1
    said = capsys.readouterr().err
    assert "present/planted.py: the generator does not make this file" in said
    assert "present/lost.py: missing" in said
    assert "-b = 2\n+b = 3" in said
    assert "-a\\r\n+a" in said
    assert "present/last.py: differs in its line ends" in said
    assert "same.py" not in said


def test_our_templates_are_merged_with_the_ones_of_this_generator(regenerate):
    assert regenerate.upstream_drift() == []


def test_a_changed_upstream_template_is_named(regenerate, tmp_path, monkeypatch):
    for name in regenerate.TEMPLATES.rglob("*.jinja"):
        upstream = regenerate.UPSTREAM_TEMPLATES / name.relative_to(regenerate.TEMPLATES)
        copied = tmp_path / name.relative_to(regenerate.TEMPLATES)
        copied.parent.mkdir(exist_ok=True)
        copied.write_bytes(upstream.read_bytes())
    monkeypatch.setattr(regenerate, "UPSTREAM_TEMPLATES", tmp_path)
    assert regenerate.upstream_drift() == []

    (tmp_path / "types.py.jinja").write_text("new")
    (tmp_path / "client.py.jinja").unlink()

    said = "\n".join(regenerate.upstream_drift())
    assert "merge scripts/generator/templates/types.py.jinja" in said
    assert "merge scripts/generator/templates/client.py.jinja" in said
    assert "literal_enum" not in said
