"""The order of the fields of a workflow, as in the specification of the API."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any, cast

from ._json import PathInData, is_dict, is_list, parse_json

__all__ = ["in_order", "resolved", "schemas", "without_ui"]

_SCHEMAS: dict[PathInData, str] = {
    (): "WorkflowConfig",
    ("workflow_config",): "Workflow",
    ("data", "workflow_config"): "WorkflowResponse",
}
"""The schema of a document, by the place of the config in it."""


def in_order(document: Any, place: PathInData) -> Any:
    """Return a workflow with its fields in the order of the specification, and unknown ones behind, in their order.

    Args:
        document: The workflow, perhaps in a wrapper, as plain JSON.
        place: The place of the config in it.
    """
    return _ordered(document, [schemas()[_SCHEMAS[place]]])


def without_ui(document: Any, place: PathInData) -> Any:
    """Return a workflow without the `ui` of its blocks, dependencies, notes and placeholders. Arguments: as above."""
    if place:
        return {**document, place[0]: without_ui(document[place[0]], place[1:])}
    config = dict(document)
    for name in ("blocks", "notes", "placeholders"):
        if is_list(config.get(name)):
            config[name] = [_bare(each) for each in config[name]]
    return config


def _bare(value: Any) -> Any:
    if not is_dict(value):
        return value
    kept = {name: each for name, each in value.items() if name != "ui"}
    if is_list(edges := kept.get("dependencies")):
        kept["dependencies"] = [_bare(edge) for edge in edges]
    return kept


def _ordered(value: Any, possible: list[dict[str, Any]]) -> Any:
    if is_list(value):
        items = [schema["items"] for schema in possible if "items" in schema]
        return [_ordered(each, _possible(items, each)) for each in value] if items else value
    if not is_dict(value) or not possible:
        return value
    fields: dict[str, list[dict[str, Any]]] = {}
    for schema in possible:
        for name, field in schema.get("properties", {}).items():
            fields.setdefault(name, []).append(field)
    names = [*(name for name in fields if name in value), *(name for name in value if name not in fields)]
    return {name: _ordered(value[name], _possible(fields.get(name, []), value[name])) for name in names}


def _possible(given: list[dict[str, Any]], value: Any) -> list[dict[str, Any]]:
    """Return the schemas that can apply to a value, references followed."""
    found: list[dict[str, Any]] = []
    for schema in given:
        if "$ref" in schema:
            found += _possible([resolved(schema)], value)
        elif "oneOf" in schema or "anyOf" in schema:
            choice = schema.get("discriminator", {})
            kind = value.get(choice.get("propertyName")) if is_dict(value) and choice else None
            known = choice["mapping"].get(kind) if isinstance(kind, str) else None
            found += _possible([{"$ref": known}] if known else schema.get("oneOf") or schema["anyOf"], value)
        else:
            found.append(schema)
    return found


@functools.cache
def schemas() -> dict[str, dict[str, Any]]:
    """Return the schemas of the specification by name; it is read once."""
    text = (resources.files("scout_generated") / "openapi.json").read_text("utf-8")
    return cast("dict[str, dict[str, Any]]", parse_json(text)["components"]["schemas"])


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema to which a reference leads; any other schema as it is."""
    reference = schema.get("$ref")
    return schemas()[reference.rpartition("/")[2]] if reference else schema
