"""The order of the fields of a workflow, as in the specification of the API."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any, cast

from ._json import PathInData, is_dict, is_list, parse_json

__all__ = ["in_order", "without_ui"]

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
    return _ordered(document, [_named(_SCHEMAS[place])])


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


def _ordered(value: Any, schemas: list[dict[str, Any]]) -> Any:
    if is_list(value):
        items = [schema["items"] for schema in schemas if "items" in schema]
        return [_ordered(each, _resolved(items, each)) for each in value] if items else value
    if not is_dict(value) or not schemas:
        return value
    fields: dict[str, list[dict[str, Any]]] = {}
    for schema in schemas:
        for name, field in schema.get("properties", {}).items():
            fields.setdefault(name, []).append(field)
    names = [*(name for name in fields if name in value), *(name for name in value if name not in fields)]
    return {name: _ordered(value[name], _resolved(fields.get(name, []), value[name])) for name in names}


def _resolved(schemas: list[dict[str, Any]], value: Any) -> list[dict[str, Any]]:
    """Return the schemas that can apply to a value, references followed."""
    found: list[dict[str, Any]] = []
    for schema in schemas:
        if "$ref" in schema:
            found += _resolved([_named(schema["$ref"].rpartition("/")[2])], value)
        elif "oneOf" in schema or "anyOf" in schema:
            choice = schema.get("discriminator", {})
            kind = value.get(choice.get("propertyName")) if is_dict(value) and choice else None
            known = choice["mapping"].get(kind) if isinstance(kind, str) else None
            found += _resolved([{"$ref": known}] if known else schema.get("oneOf") or schema["anyOf"], value)
        else:
            found.append(schema)
    return found


@functools.cache
def _all() -> dict[str, Any]:
    text = (resources.files("scout_generated") / "openapi.json").read_text("utf-8")
    return cast("dict[str, Any]", parse_json(text)["components"]["schemas"])


def _named(name: str) -> dict[str, Any]:
    return cast("dict[str, Any]", _all()[name])
