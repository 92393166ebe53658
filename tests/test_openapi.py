"""openapi.yaml: it is valid, its examples are true, and it is as strict and as lenient as it says."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
# The same as openapi.yaml, to which test_generated.py holds it; YAML takes every worker a second to read.
SPEC: dict[str, Any] = json.loads((resources.files("scout_generated") / "openapi.json").read_text("utf-8"))
OPERATION: dict[str, Any] = SPEC["paths"]["/v2/workflows/execute"]["post"]
SCHEMAS: dict[str, Any] = SPEC["components"]["schemas"]
EVENTS = [reference["$ref"].split("/")[-1] for reference in SCHEMAS["WorkflowEvent"]["oneOf"]]
REGISTRY: Registry[Any] = Registry().with_resource("urn:spec", DRAFT202012.create_resource(SPEC))


def validator(*path: str) -> jsonschema.Draft202012Validator:
    """Checks against the schema at a place of the spec, with its references resolved there."""
    pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)
    return jsonschema.Draft202012Validator({"$ref": f"urn:spec#{pointer}"}, registry=REGISTRY)


def component(name: str) -> jsonschema.Draft202012Validator:
    return validator("components", "schemas", name)


def examples(node: Any, path: tuple[str, ...] = ()) -> list[Any]:
    """All examples of the spec, as parameters: the path of the schema, and the value."""
    if isinstance(node, list):
        return [found for number, item in enumerate(node) for found in examples(item, (*path, str(number)))]
    if not isinstance(node, dict):
        return []
    found = []
    named = node.get("examples")
    if isinstance(named, dict):  # of a media type, a parameter or a header
        found += [
            pytest.param((*path, "schema"), example["value"], id="/".join((*path, name)))
            for name, example in named.items()
        ]
    if isinstance(named, list):  # of a schema
        found += [pytest.param(path, value, id="/".join((*path, str(number)))) for number, value in enumerate(named)]
    for key, child in node.items():
        if key not in {"examples", "example", "const", "enum", "default"}:
            found += examples(child, (*path, key))
    return found


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"].split("/")[-1]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(references(child) for child in node.values()))
    if isinstance(node, list):
        return set().union(*(references(child) for child in node))
    return set()


EXAMPLES = examples(SPEC)


def test_is_a_valid_openapi_document():
    openapi_spec_validator = pytest.importorskip("openapi_spec_validator", reason="a development tool")
    openapi_spec_validator.validate(SPEC)


@pytest.mark.parametrize(("path", "value"), EXAMPLES)
def test_every_example_fits_its_own_schema(path, value):
    validator(*path).validate(value)


def test_no_example_is_missed():
    assert '"example":' not in json.dumps(SPEC), "use `examples`, which the test above finds"
    assert len(EXAMPLES) >= 40


@pytest.mark.parametrize("name", EVENTS)
def test_each_event_has_an_example_that_no_other_event_accepts(name):
    for value in SCHEMAS[name]["examples"]:
        assert [other for other in EVENTS if component(other).is_valid(value)] == [name]
        component("WorkflowEvent").validate(value)


def test_the_sample_of_the_reference_page_is_among_the_examples():
    answer = OPERATION["responses"]["200"]["content"]["application/json"]["examples"]["event"]["value"]

    assert answer["id"] == "evt_1234567890abcdef"
    assert (answer["price"], answer["data"]["price"]) == ("1.10", 1.1)
    assert SCHEMAS["WorkflowRunStarted"]["examples"][0] == answer


def test_operation():
    assert OPERATION["operationId"] == "execute_workflow_config"
    assert OPERATION["tags"] == ["workflows"]
    assert [parameter["name"] for parameter in OPERATION["parameters"]] == [
        "environment",
        "revision_id",
        "session_id",
    ]
    assert list(OPERATION["responses"]["200"]["content"]) == ["application/json", "text/event-stream"]
    assert set(OPERATION["responses"]) == {"200", "400", "401", "403", "404", "409", "422", "429", "5XX"}
    assert "Retry-After" in OPERATION["responses"]["429"]["headers"]
    assert OPERATION["security"] == [{"bearerAuth": []}]
    assert [server["url"] for server in SPEC["servers"]] == ["https://api.scoutos.com"]


OPERATIONS = {
    ("get", "/v2/workflows"): "list_workflows",
    ("post", "/v2/workflows"): "create_workflow",
    ("post", "/v2/workflows/revisions"): "create_workflow_revision",
    ("get", "/v2/workflows/{workflow_id}"): "get_workflow",
    ("put", "/v2/workflows/{workflow_id}"): "update_workflow",
    ("delete", "/v2/workflows/{workflow_id}"): "delete_workflow",
    ("post", "/v2/workflows/{workflow_id}/execute"): "execute_workflow",
    ("post", "/v2/workflows/execute"): "execute_workflow_config",
    ("get", "/v2/workflows/{workflow_id}/revisions"): "list_workflow_revisions",
    ("put", "/v2/workflows/{workflow_id}/revisions/{revision_id}"): "rename_workflow_revision",
    ("delete", "/v2/workflows/{workflow_id}/revisions/{revision_id}"): "delete_workflow_revision",
    ("put", "/v2/workflows/{workflow_id}/revisions/{revision_id}/promote"): "promote_workflow_revision",
    ("get", "/v2/workflows/{workflow_id}/environments"): "list_workflow_environments",
    ("put", "/v2/workflows/{workflow_id}/environments/{environment_id}"): "update_workflow_environment",
    ("get", "/v2/run_logs"): "list_run_logs",
    ("get", "/v2/run_logs/details"): "get_run_log",
}
DESCRIBED = {
    (method, path): operation
    for path, item in SPEC["paths"].items()
    for method, operation in item.items()
    if method != "parameters"
}


def streams():
    """The bodies of event streams, by operation."""
    return {
        operation["operationId"]: operation["responses"]["200"]["content"]["text/event-stream"]
        for operation in DESCRIBED.values()
        if "text/event-stream" in operation["responses"]["200"]["content"]
    }


def events_in(text):
    """The events of a stream as objects, as its schema shows them."""
    assert text.endswith("\n\n")
    frames = [dict(line.split(": ", 1) for line in frame.splitlines()) for frame in text.strip().split("\n\n")]
    return [({**frame, "data": json.loads(frame["data"])}, frame) for frame in frames]


def test_the_operations_with_streams():
    assert set(streams()) == {"execute_workflow", "execute_workflow_config", "list_run_logs"}


@pytest.mark.parametrize("name", streams())
def test_the_stream_of_an_example_holds_what_the_schema_says(name):
    schema = streams()[name]["schema"]
    content = ("responses", "200", "content", "text/event-stream", "schema", "properties", "data", "contentSchema")
    [place] = [where for where, operation in DESCRIBED.items() if operation["operationId"] == name]

    for example in streams()[name]["examples"].values():
        for event, frame in events_in(example["value"]):
            jsonschema.validate(frame, schema)
            validator("paths", place[1], place[0], *content).validate(event["data"])
            assert event["data"].get("name") == event.get("event")


def test_streams_say_how_they_are_read():
    for name, stream in streams().items():
        description = stream["schema"]["description"]
        assert "[DONE]" in description
        assert "was cut off" in description
        assert name == "list_run_logs" or "if that is missing, the `event` of the stream" in description.replace(
            "\n", " "
        )


def test_the_operations():
    assert {place: operation["operationId"] for place, operation in DESCRIBED.items()} == OPERATIONS
    tags = {tag["name"] for tag in SPEC["tags"] if tag["description"]}
    for (_, path), operation in DESCRIBED.items():
        assert len(operation["tags"]) == 1
        assert set(operation["tags"]) <= tags
        assert operation["summary"]
        assert operation["description"]
        assert operation["security"] == [{"bearerAuth": []}]
        assert {"200", "400", "401", "403", "422", "429", "5XX"} <= set(operation["responses"])
        for parameter in [*SPEC["paths"][path].get("parameters", []), *operation.get("parameters", [])]:
            assert parameter["in"] == "query" or parameter["required"]
            assert parameter["description"]


def test_the_description_has_a_licence_and_a_contact():
    assert SPEC["info"]["license"] == {"name": "MIT", "identifier": "MIT"}
    assert SPEC["info"]["contact"]["name"]


def test_both_runs_take_the_same_parameters_and_give_the_same_answers():
    stored = SPEC["paths"]["/v2/workflows/{workflow_id}/execute"]["post"]
    both = [
        [
            (parameter["name"], parameter["schema"])
            for parameter in operation["parameters"]
            if parameter["in"] == "query"
        ]
        for operation in (OPERATION, stored)
    ]
    assert both[0] == both[1]
    assert stored["responses"] == OPERATION["responses"]


def reached(node):
    """The names of the schemas that a part of the spec uses, directly or not."""
    found: set[str] = set()
    waiting = references(node)
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= references(SCHEMAS[name]) - found
    return found


def test_every_schema_is_used_by_an_operation():
    assert reached(SPEC["paths"]) == set(SCHEMAS)


SENT_BY_THE_SERVER = sorted(reached([operation["responses"] for operation in DESCRIBED.values()]))


@pytest.mark.parametrize("name", SENT_BY_THE_SERVER)
def test_an_object_that_the_server_sends_may_have_more_fields(name):
    schema = SCHEMAS[name]
    if schema.get("type") == "object":
        assert schema["additionalProperties"] in (True, {"$ref": "#/components/schemas/RunLogBlock"})
    else:
        assert "oneOf" in schema or "enum" in schema


@pytest.mark.parametrize("name", SENT_BY_THE_SERVER)
def test_a_text_that_the_server_sends_may_be_a_new_one(name):
    for field, schema in SCHEMAS[name].get("properties", {}).items():
        named = [SCHEMAS[each] for each in references({**schema, "x-archetypes": None}) if "enum" in SCHEMAS[each]]
        assert "enum" not in schema
        if named:
            assert validator("components", "schemas", name, "properties", field).is_valid("a new one")


def test_what_a_caller_sends_in_a_query_is_one_of_the_known_texts():
    schema = validator("paths", "/v2/workflows/execute", "post", "parameters", "0", "schema")

    assert OPERATION["parameters"][0]["name"] == "environment"
    assert schema.is_valid("staging")
    assert not schema.is_valid("prodution")


def test_events_differ_in_their_name_and_share_the_rest():
    tags = SCHEMAS["WorkflowEvent"]["discriminator"]["mapping"]
    shared = {key: value for key, value in SCHEMAS[EVENTS[0]]["properties"].items() if key not in {"name", "data"}}

    assert len(EVENTS) == 7
    for tag, reference in tags.items():
        event = SCHEMAS[reference.split("/")[-1]]
        assert event["properties"]["name"]["const"] == tag
        assert {key: value for key, value in event["properties"].items() if key not in {"name", "data"}} == shared
    assert [reference.split("/")[-1] for reference in tags.values()] == EVENTS


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize(
    "change",
    [
        {"price": 1.1},
        {"price": "1.10"},
        {"price": None},
        {"environment": "preview"},
        {"environment": "a new one"},
        {"version": None},
        {"timestamp": "yesterday"},
        {"a_new_field": [1, {"two": None}]},
    ],
    ids=str,
)
def test_an_event_may_drift(name, change):
    component("WorkflowEvent").validate(SCHEMAS[name]["examples"][0] | change)


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_needs_its_name_and_data_and_little_more(name):
    event = SCHEMAS[name]["examples"][0]
    data = {key: event["data"][key] for key in SCHEMAS[f"{name}Data"].get("required", [])}

    component("WorkflowEvent").validate({"name": event["name"], "data": data})
    assert not component("WorkflowEvent").is_valid({"name": event["name"]})
    assert not component("WorkflowEvent").is_valid({"data": event["data"]})
    assert not component("WorkflowEvent").is_valid(event | {"name": "another"})


@pytest.mark.parametrize("output", [None, "text", 1, 1.5, True, ["a", 1], {"deep": {"er": None}}], ids=repr)
def test_the_output_of_a_run_is_any_json(output):
    component("WorkflowEvent").validate(
        {"name": "workflow_run_completed", "data": {"workflow_run_id": "run", "output": output}}
    )


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"workflow_config": None},
        {"workflow_config": []},
        {"workflow_config": {"blocks": [{"block_id": "a", "block_archetype_id": "b"}]}},
        {"workflow_config": {"blocks": [{"block_id": 1, "block_archetype_id": "b", "block_display_name": "c"}]}},
        {"workflow_config": {}, "inputs": None},
        {"workflow_config": {}, "inputs": ["a"]},
        {"workflow_config": {}, "streaming": "yes"},
        {"workflow_config": {}, "streaming": None},
    ],
    ids=str,
)
def test_a_request_that_does_not_fit(body):
    assert not component("ExecuteWorkflowConfigRequest").is_valid(body)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"detail": "Validation failed", "errors": [{"field": "a", "message": "b"}]},
        {"detail": None},
        {"detail": [{"loc": ["body", 0], "msg": "m", "type": "t", "input": {}, "ctx": {}, "url": "u"}]},
    ],
    ids=str,
)
def test_shapes_of_a_validation_error(body):
    component("HTTPValidationError").validate(body)


def test_real_configs_fit():
    folder = ROOT.parent / "shared" / "real-configs"
    if not folder.is_dir():
        pytest.skip("the folder with real configs is not on this machine")
    files = sorted(path for path in folder.iterdir() if path.suffix in {".yml", ".yaml"})
    assert files
    for path in files:
        loaded = YAML(typ="safe").load(path)
        component("WorkflowConfig").validate(loaded.get("workflow_config", loaded))
