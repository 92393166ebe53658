"""Everything that `openapi.yaml` describes can be reached through the facade, or stands on a list with a reason.

A sample is made of every schema, with all of its properties in all of their variants. It goes through the facade over
real HTTP, out or back in, and has to arrive whole. What no sample has shown is not covered.
"""

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from importlib import resources
from typing import Any

import pytest
from servers import KEY, Received, Server, chunked, json_answer, route, run_answer

from scout import APIStatusError, Scout, UnprocessableEntityError

Json = dict[str, Any]

SPEC = json.loads((resources.files("scout_generated") / "openapi.json").read_text("utf-8"))
SCHEMAS: Json = SPEC["components"]["schemas"]

PARAMETERS_APART = {
    ("list_workflows", "drive"): "no source says what it does; extra_query sends it",
}


# --- Samples ------------------------------------------------------------------------------------------------------


class Sampler:
    """Makes samples, and notes which properties of which schemas they show."""

    def __init__(self) -> None:
        self.shown: set[tuple[str, str]] = set()

    def variants(self, schema: Json, name: str = "") -> list[Any]:
        """Samples of a schema that together show all of it."""
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[-1]
            return self.variants(SCHEMAS[name], name)
        for key in ("oneOf", "anyOf"):
            if key in schema:
                return [sample for branch in schema[key] for sample in self.variants(branch)]
        if "allOf" in schema:
            return self.variants(schema["allOf"][0])
        if "const" in schema:
            return [schema["const"]]
        if "enum" in schema:
            return list(schema["enum"])
        kinds = schema.get("type", "object" if "properties" in schema else "string")
        return [
            sample for kind in ([kinds] if isinstance(kinds, str) else kinds) for sample in self.of(kind, schema, name)
        ]

    def of(self, kind: str, schema: Json, name: str) -> list[Any]:
        match kind:
            case "object":
                return self.objects(schema, name)
            case "array":
                return [self.variants(schema.get("items", {"type": "string"}))]
            case "string":
                return [
                    "2026-01-02T03:04:05.678901+00:00" if schema.get("format") == "date-time" else f"text of {name}"
                ]
            case "integer":
                return [7]
            case "number":
                return [1.25]
            case "boolean":
                return [True]
            case _:
                return [None]

    def objects(self, schema: Json, name: str) -> list[Any]:
        properties = {key: self.variants(each, f"{name}.{key}") for key, each in schema.get("properties", {}).items()}
        self.shown |= {(name, key) for key in properties}
        if not properties:
            return [{"any": ["thing", {"at": "all"}, 1.5, None]}]
        # One object for the first variants of all properties, one for the second, and so on.
        most = max(len(variants) for variants in properties.values())
        return [
            {key: variants[min(place, len(variants) - 1)] for key, variants in properties.items()}
            for place in range(most)
        ]


SAMPLER = Sampler()


def samples(name: str) -> list[Any]:
    return SAMPLER.variants({"$ref": f"#/components/schemas/{name}"})


def normal(value: Any) -> Any:
    """Times in one spelling; everything else as it is."""
    if isinstance(value, dict):
        return {key: normal(each) for key, each in value.items()}
    if isinstance(value, list):
        return [normal(each) for each in value]
    if isinstance(value, str) and value[:4].isdecimal() and "T" in value:
        return datetime.fromisoformat(value).isoformat()
    return value


# --- Operations and parameters ------------------------------------------------------------------------------------

Use = Callable[[Scout], Any]

USES: dict[str, Use] = {
    "execute_workflow_config": lambda scout: scout.execute({}, environment="staging", revision_id="r", session_id="s"),
    "execute_workflow": lambda scout: scout.workflows.execute(
        "wf", environment="staging", revision_id="r", session_id="s"
    ),
    "list_workflows": lambda scout: next(
        scout.workflows.list(query="q", sort="s", direction="asc", tags="t", limit=5, start_at="c"), None
    ),
    "create_workflow": lambda scout: scout.workflows.create({}, key="k"),
    "create_workflow_revision": lambda scout: [
        scout.workflows.create_revision({}, key="k"),
        scout.workflows.create_revision({}, id="wf"),
    ],
    "get_workflow": lambda scout: scout.workflows.get("wf"),
    "update_workflow": lambda scout: scout.workflows.update("wf", {}),
    "delete_workflow": lambda scout: scout.workflows.delete("wf"),
    "list_workflow_revisions": lambda scout: scout.workflows.revisions("wf"),
    "rename_workflow_revision": lambda scout: scout.workflows.rename_revision("wf", "rev", "n", description="d"),
    "delete_workflow_revision": lambda scout: scout.workflows.delete_revision("wf", "rev"),
    "promote_workflow_revision": lambda scout: scout.workflows.promote("wf", "rev"),
    "list_workflow_environments": lambda scout: scout.workflows.environments("wf"),
    "list_run_logs": lambda scout: next(
        scout.runs.list(
            "wf",
            since="2026-01-01",
            until="2026-01-02",
            status="failed",
            session_id="s",
            limit=5,
            cursor="c",
            summary_only=True,
        ),
        None,
    ),
    "get_run_log": lambda scout: [scout.runs.get("wf", run_id="run"), scout.runs.get("wf", session_id="s")],
    "update_workflow_environment": lambda scout: scout.workflows.set_environment("wf", "staging", revision_id="rev"),
}


ENVIRONMENT: Json = {"environment_id": "env", "environment_config": {"name": "staging"}, "deployments": []}
IDS = {"workflow_id": "wf", "revision_id": "rev", "environment_id": "env"}


def operations() -> Iterator[tuple[str, str, str, list[Json]]]:
    for path, item in SPEC["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                parameters = [*item.get("parameters", []), *operation.get("parameters", [])]
                yield operation["operationId"], method.upper(), path, parameters


def good(request: Received) -> Any:
    workflow = {"workflow_id": "wf", "revision_id": "rev", "workflow_config": {}}
    if request.method == "GET" and request.path == "/v2/workflows":
        return json_answer({"data": [], "has_more": False})
    if request.method == "GET" and request.path.endswith("/revisions"):
        return json_answer({"data": [workflow]})
    if request.method == "GET" and request.path.endswith("/environments"):
        return json_answer({"data": [ENVIRONMENT]})
    if request.path == "/v2/run_logs":
        return log_page({"final": True})
    if request.path == "/v2/run_logs/details":
        session = request.query.get("session_id")
        return json_answer({"workflow_run_id": "run", "session_id": session, "status": "completed"})
    return json_answer({**run_answer(), "data": workflow, "detail": "gone"})


def log_page(*rows: Json) -> Any:
    frames = [f"data: {json.dumps(row)}\n\n".encode() for row in rows]
    return chunked(frames, content_type="text/event-stream")


def test_every_operation_has_its_use() -> None:
    assert {name for name, *_ in operations()} == set(USES)


@pytest.mark.parametrize(
    ("name", "method", "path", "parameters"), list(operations()), ids=lambda value: str(value)[:30]
)
def test_every_parameter_can_be_sent(name: str, method: str, path: str, parameters: list[Json]) -> None:
    with Server(route(good)) as server, Scout(KEY, base_url=server.url) as scout:
        USES[name](scout)

    here = [request for request in server.requests if (request.method, request.path) == (method, path.format(**IDS))]
    assert here
    assert {request.method for request in server.requests if request not in here} <= {"GET"}
    sent = {key for request in here for key in request.query}
    apart = {each for operation, each in PARAMETERS_APART if operation == name}
    wanted = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
    assert sent | apart == wanted
    assert not sent & apart, "it can be sent after all: take it off the list"


# --- Properties ---------------------------------------------------------------------------------------------------


def sent_body(use: Use) -> Any:
    with Server(route(good)) as server, Scout(KEY, base_url=server.url) as scout:
        use(scout)
    return server.requests[-1].json()


def received(body: Any, use: Use, status: int = 200) -> Any:
    with Server(json_answer(body, status)) as server, Scout(KEY, base_url=server.url, retries=0) as scout:
        return use(scout)


@pytest.mark.parametrize("config", samples("WorkflowConfig"))
def test_a_config_arrives_whole(config: Json) -> None:
    assert sent_body(lambda scout: scout.execute(config))["workflow_config"] == config
    assert sent_body(lambda scout: scout.workflows.create(config)) == config
    assert sent_body(lambda scout: scout.workflows.update("wf", config)) == config


def test_the_body_of_a_run_can_be_given_whole() -> None:
    inputs = {"a": [1, None]}
    body = sent_body(lambda scout: scout.execute({}, inputs, workflow_key="k"))
    assert set(body) == set(SCHEMAS["ExecuteWorkflowConfigRequest"]["properties"])
    assert body["inputs"] == inputs
    body = sent_body(lambda scout: scout.workflows.execute("wf", inputs))
    assert set(body) == set(SCHEMAS["ExecuteWorkflowRequest"]["properties"])
    for name in ("ExecuteWorkflowConfigRequest", "ExecuteWorkflowRequest"):
        samples(name)


@pytest.mark.parametrize("answer", samples("WorkflowResponse"))
def test_a_stored_workflow_comes_back_whole(answer: Json) -> None:
    workflow = received(answer, lambda scout: scout.workflows.get("wf"))
    told = answer["data"]
    assert workflow.raw == told
    assert workflow.config == told["workflow_config"]
    names = {"id": "workflow_id", "key": "workflow_key", "revision_id": "revision_id", "is_draft": "is_draft"}
    assert {ours: getattr(workflow, ours) for ours in names} == {ours: told.get(name) for ours, name in names.items()}
    for name in ("created_at", "last_updated_at"):
        assert normal(getattr(workflow, name) and getattr(workflow, name).isoformat()) == normal(told.get(name))


@pytest.mark.parametrize("answer", samples("ListWorkflowsResponse"))
def test_a_page_comes_back_whole(answer: Json) -> None:
    page = received(answer, lambda scout: next(scout.workflows.list().pages()))
    assert page.raw == answer
    assert [each.raw for each in page.workflows] == answer["data"]
    assert page.next_cursor == answer.get("next_cursor")


@pytest.mark.parametrize("answer", samples("DeleteWorkflowResponse"))
def test_a_deletion_says_what_the_server_says(answer: Json) -> None:
    assert received(answer, lambda scout: scout.workflows.delete("wf")) == (answer["detail"] or "")


@pytest.mark.parametrize("answer", samples("ListWorkflowRevisionsResponse"))
def test_revisions_come_back_whole(answer: Json) -> None:
    revisions = received(answer, lambda scout: scout.workflows.revisions("wf"))
    assert [each.raw for each in revisions] == answer["data"]


@pytest.mark.parametrize("answer", samples("WorkflowRevisionResponse"))
def test_a_changed_revision_comes_back_whole(answer: Json) -> None:
    for change in (
        lambda scout: scout.workflows.rename_revision("wf", "rev", "n"),
        lambda scout: scout.workflows.promote("wf", "rev"),
    ):
        revision = received(answer, change)
        assert (revision and revision.raw) == answer["data"]


@pytest.mark.parametrize("answer", samples("DeleteWorkflowRevisionResponse"))
def test_a_deleted_revision_says_what_the_server_says(answer: Json) -> None:
    assert received(answer, lambda scout: scout.workflows.delete_revision("wf", "rev")) == (answer["detail"] or "")


@pytest.mark.parametrize("answer", samples("ListWorkflowEnvironmentsResponse"))
def test_environments_come_back_whole(answer: Json) -> None:
    environments = received(answer, lambda scout: scout.workflows.environments("wf"))
    assert [each.raw for each in environments] == answer["data"]
    for environment, told in zip(environments, answer["data"], strict=True):
        config = told["environment_config"]
        assert (environment.id, environment.name) == (told["environment_id"], config["name"])
        assert environment.description == (config["description"] or "")
        for name in ("created_at", "last_updated_at"):
            assert normal(getattr(environment, name) and getattr(environment, name).isoformat()) == normal(told[name])
        for deployment, kept in zip(environment.deployments, told["deployments"], strict=True):
            assert deployment.raw == kept
            runs = kept["deployment_config"]
            is_latest = runs["revision_lookup"] == "latest"
            assert deployment.follows_latest is is_latest
            assert deployment.revision_id == (None if is_latest else runs["revision_id"])
            assert deployment.traffic == runs["traffic"]


def test_a_change_of_an_environment_or_a_revision_can_be_given_whole() -> None:
    body = sent_body(lambda scout: scout.workflows.rename_revision("wf", "rev", "n", description="d"))
    assert set(body) == set(SCHEMAS["RenameWorkflowRevisionRequest"]["properties"])
    body = sent_body(lambda scout: scout.workflows.set_environment("wf", "staging", revision_id="rev"))
    assert set(body) == set(SCHEMAS["UpdateWorkflowEnvironmentRequest"]["properties"])
    for name in ("RenameWorkflowRevisionRequest", "UpdateWorkflowEnvironmentRequest"):
        samples(name)


@pytest.mark.parametrize("answer", samples("UpdateWorkflowEnvironmentResponse"))
def test_a_change_is_made_unless_the_server_says_otherwise(answer: Json) -> None:
    script = [json_answer({"data": [ENVIRONMENT]}), json_answer(answer)]
    with Server(script) as server, Scout(KEY, base_url=server.url) as scout:
        scout.workflows.set_environment("wf", "staging", latest=True)
    assert server.hits == len(script)


@pytest.mark.parametrize("answer", samples("WorkflowRunResponse"))
def test_a_run_has_a_name_for_each_of_its_properties(answer: Json) -> None:
    run = received(answer, lambda scout: scout.execute({}, check=False))
    told = answer["run"]
    assert run.raw == answer
    assert (run.workflow_id, run.output_block_id) == (answer["workflow_id"], answer["output_block_id"])
    assert (run.id, run.session_id, run.status.value) == (
        told["workflow_run_id"],
        told["session_id"],
        told["stop_reason"].removeprefix("workflow_run_"),
    )
    assert run.state == (told["state"] or {})
    assert run.errors == (told["errors"] or [])
    assert set(told) == {"workflow_run_id", "session_id", "stop_reason", "state", "errors"}
    assert set(answer) == {"run", "workflow_id", "output_block_id"}


@pytest.mark.parametrize("log", samples("RunLog"))
def test_a_log_has_a_name_for_each_of_its_properties(log: Json) -> None:
    record = received(log, lambda scout: scout.runs.get("wf", run_id=log["workflow_run_id"]))
    assert record.raw == record.run.raw == log
    names = {"id": "workflow_run_id", "session_id": "session_id", "workflow_id": "workflow_id", "status": "status"}
    names |= {"environment": "environment", "revision_id": "revision_id", "workflow_name": "workflow_display_name"}
    told = {**log, "status": {"running": "started"}.get(log["status"], log["status"])}
    assert {ours: getattr(record, ours) for ours in names} == {ours: told[name] for ours, name in names.items()}
    assert record.message == (log["message"] or "")
    assert record.cost == (log["cost"] if isinstance(log["cost"], float) else None)
    assert record.duration == (0.007 if log["elapsed_time_ms"] is not None else None)
    for ours, name in {"started": "timestamp_start", "ended": "timestamp_end"}.items():
        assert normal(getattr(record, ours) and getattr(record, ours).isoformat()) == normal(log[name])
    assert set(log) == {*names.values(), "message", "cost", "elapsed_time_ms", "timestamp_start", "timestamp_end"} | {
        "blocks",
        "output",  # the next test looks at these
        "gcs_log_path",  # in `raw`: a place that only the server can read
    }


@pytest.mark.parametrize("told", samples("RunLogBlock"))
def test_a_block_of_a_log_has_a_name_for_each_of_its_properties(told: Json) -> None:
    log = {"workflow_run_id": "run", "status": "completed", "blocks": {"a": told}, "output": None}
    run = received(log, lambda scout: scout.runs.get("wf", run_id="run")).run
    (block,) = run.blocks
    assert (block.id, block.archetype) == ("a", told["block_archetype_id"] or told["block_type"])
    assert block.status == (told["status"] or "completed")
    assert block.error is None  # it has not failed
    assert block.price == (told["cost"] if isinstance(told["cost"], float) else None)
    assert normal(block.started and block.started.isoformat()) == normal(told["timestamp_start"])
    assert normal(block.ended and block.ended.isoformat()) == normal(told["timestamp_end"])
    assert run.outputs == ({} if told["block_output"] is None else {"a": told["block_output"]})


@pytest.mark.parametrize("end", samples("RunLogPageEnd"))
def test_a_page_of_logs_comes_back_whole(end: Json) -> None:
    log = {"workflow_run_id": "run", "status": "completed"}
    with Server(log_page(log, end)) as server, Scout(KEY, base_url=server.url) as scout:
        page = next(scout.runs.list("wf").pages())
    assert (page.raw, page.next_cursor) == (end, end["next_cursor"])
    assert [record.raw for record in page.records] == [log]


@pytest.mark.parametrize("event", samples("WorkflowEvent"))
def test_an_event_comes_back_whole(event: Json) -> None:
    frame = f"data: {json.dumps(event)}\n\n".encode()
    with (
        Server(chunked([frame], content_type="text/event-stream")) as server,
        Scout(KEY, base_url=server.url) as scout,
        scout.stream({}, check=False) as stream,
    ):
        decoded = next(iter(stream))
    assert type(decoded).__name__ != "UnknownEvent", getattr(decoded, "problem", None)
    assert normal(decoded.to_dict()) == normal(event)


@pytest.mark.parametrize("body", samples("ErrorBody"))
def test_an_error_has_its_whole_body(body: Json) -> None:
    with pytest.raises(APIStatusError) as raised:
        received(body, lambda scout: scout.execute({}), status=400)
    assert raised.value.body == body


@pytest.mark.parametrize("body", samples("HTTPValidationError"))
def test_a_validation_error_has_its_details(body: Json) -> None:
    with pytest.raises(UnprocessableEntityError) as raised:
        received(body, lambda scout: scout.execute({}), status=422)
    assert raised.value.body == body
    if isinstance(body["detail"], list):
        assert raised.value.details == body["detail"]


def test_every_property_was_shown_by_a_sample() -> None:
    described = {(name, key) for name, schema in SCHEMAS.items() for key in schema.get("properties", {})}
    # The other samples are parameters of the tests above, and so are made whether or not those have run.
    for name in (
        "ExecuteWorkflowConfigRequest",
        "ExecuteWorkflowRequest",
        "RenameWorkflowRevisionRequest",
        "UpdateWorkflowEnvironmentRequest",
    ):
        samples(name)
    assert described - SAMPLER.shown == set()
    assert len(described) > 100
