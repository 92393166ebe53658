"""Validation of requests against the specification, with problems in the form of the API's 422 responses."""

from __future__ import annotations

import functools
import json
import re
from collections import defaultdict
from importlib import resources
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from jsonschema import Draft202012Validator

from scout._json import is_list, is_too_deep, parse_json, write_json

from .plan import Detail, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jsonschema.exceptions import ValidationError

_MOST_DETAILS = 100
_LONGEST_ECHO = 200


class RequestRules:
    """The rules of the specification for the requests of one operation."""

    def __init__(self, path: str, method: str) -> None:
        spec = load_spec()
        operation = spec["paths"][path][method]
        self.takes_body: bool = "requestBody" in operation
        content: dict[str, Any] = operation["requestBody"]["content"] if self.takes_body else {}
        self._body = _validator(spec, content.get("application/json", {}).get("schema", {}))
        self._query = {
            parameter["name"]: (parameter["schema"], _validator(spec, parameter["schema"]))
            for parameter in operation.get("parameters", ())
            if parameter["in"] == "query"
        }
        self._needed = [
            parameter["name"]
            for parameter in operation.get("parameters", ())
            if parameter["in"] == "query" and parameter.get("required")
        ]

    def check_query(self, query: Mapping[str, str]) -> list[Detail]:
        """Return the problems of the query parameters."""
        missing: list[Detail] = [
            {"type": "missing", "loc": ["query", name], "msg": "Field required", "input": None}
            for name in self._needed
            if name not in query
        ]
        return missing + [
            detail
            for name, (schema, validator) in self._query.items()
            if name in query
            for detail in _details(validator, _from_query(query[name], schema), ["query", name])
        ]

    def check_body(self, body: Any) -> list[Detail]:
        """Return the problems of a parsed body."""
        return _details(self._body, body, ["body"])


def _from_query(text: str, schema: Mapping[str, Any]) -> Any:
    """Return the value of a query parameter, converted to the type in its schema if possible, else as text."""
    kinds = _as_list(schema.get("type"))
    if "integer" in kinds and re.fullmatch(r"[-+]?[0-9]{1,18}", text):
        return int(text)
    if "boolean" in kinds:
        return BOOLEANS.get(text.lower(), text)
    return text


BOOLEANS = {"true": True, "1": True, "on": True, "yes": True, "false": False, "0": False, "off": False, "no": False}


@functools.cache
def load_spec() -> dict[str, Any]:
    """Return the specification of the API, read from a data file of the generated package."""
    text = (resources.files("scout_generated") / "openapi.json").read_text("utf-8")
    return cast("dict[str, Any]", json.loads(text))


def parse_body(content: bytes) -> Any:
    """Parse a JSON body as strictly as the API does.

    Raises:
        InvalidRequestError: It is missing, is not JSON in UTF-8, or is nested too deeply.
    """
    if not content:
        raise InvalidRequestError([{"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}])
    try:
        body = parse_json(content.decode("utf-8"), strict=True)
        if rb"\u" in content:
            write_json(body).encode()  # raises for half a surrogate pair, which only an escape can contain
    except json.JSONDecodeError as error:
        raise InvalidRequestError([_not_json(error.msg, error.pos)]) from None
    except RecursionError:
        raise InvalidRequestError([_not_json("nested too deeply")]) from None
    except ValueError as error:  # also UnicodeError
        raise InvalidRequestError([_not_json(str(error))]) from None
    if is_too_deep(body, content):
        raise InvalidRequestError([_not_json("nested too deeply")])
    return body


def _not_json(reason: str, position: int = 0) -> Detail:
    return {
        "type": "json_invalid",
        "loc": ["body", position],
        "msg": "JSON decode error",
        "input": {},
        "ctx": {"error": reason},
    }


def _validator(spec: Mapping[str, Any], schema: Mapping[str, Any]) -> Draft202012Validator:
    # With the components, because references in the schema point to them from the root.
    return Draft202012Validator({**schema, "components": spec["components"]})


def _details(validator: Draft202012Validator, value: Any, loc: Sequence[str | int]) -> list[Detail]:
    # The type of iter_errors is partly unknown, because its keywords are loosely typed.
    errors = cast("Iterator[ValidationError]", validator.iter_errors(value))  # pyright: ignore[reportUnknownMemberType]
    details: list[Detail] = []
    for error in islice(errors, _MOST_DETAILS):
        details += (detail for detail in _translate(error, loc) if detail not in details)
    return details


def _translate(error: ValidationError, prefix: Sequence[str | int]) -> Iterator[Detail]:
    """Yield an error of the schema in the wording of pydantic, which the real server uses."""
    loc = [*prefix, *error.absolute_path]
    rule: Any = error.validator_value
    match error.validator:
        case "anyOf" | "oneOf":
            for inner in _closest_branch(error):
                yield from _translate(inner, prefix)
        case "required":
            for name in rule:
                if name not in cast("dict[str, Any]", error.instance):
                    yield {"type": "missing", "loc": [*loc, name], "msg": "Field required"}
        case "type":
            kind, name = _TYPES[next(kind for kind in _as_list(rule) if kind != "null")]
            yield _detail(kind, loc, f"Input should be {name}", error.instance)
        case "enum" | "const":
            choices = [f"'{choice}'" for choice in _as_list(rule) if choice is not None]
            listed = " or ".join(filter(None, [", ".join(choices[:-1]), choices[-1]]))
            yield _detail("literal_error", loc, f"Input should be {listed}", error.instance)
        case "minimum":
            yield _detail("greater_than_equal", loc, f"Input should be greater than or equal to {rule}", error.instance)
        case _:
            yield _detail("value_error", loc, f"Value error, it does not fit {error.validator}: {rule}", error.instance)


_TYPES = {
    "string": ("string_type", "a valid string"),
    "boolean": ("bool_type", "a valid boolean"),
    "integer": ("int_type", "a valid integer"),
    "number": ("float_type", "a valid number"),
    "array": ("list_type", "a valid list"),
    "object": ("dict_type", "a valid dictionary"),
}


def _as_list(rule: Any) -> list[Any]:
    return list(rule) if is_list(rule) else [rule]


def _closest_branch(error: ValidationError) -> list[ValidationError]:
    """Return the errors of the alternative that was probably meant: right type, right tag, fewest errors."""
    branches: dict[Any, list[ValidationError]] = defaultdict(list)
    for inner in error.context or ():
        branches[inner.relative_schema_path[0]].append(inner)
    return min(branches.values(), key=_distance)


def _distance(findings: list[ValidationError]) -> tuple[bool, bool, bool, int]:
    only_null = any(finding.validator == "type" and finding.validator_value == "null" for finding in findings)
    wrong_type = any(finding.validator == "type" and not finding.relative_path for finding in findings)
    wrong_tag = any(finding.validator == "const" for finding in findings)
    return only_null, wrong_type, wrong_tag, len(findings)


def _detail(kind: str, loc: Sequence[str | int], message: str, value: Any) -> Detail:
    detail: Detail = {"type": kind, "loc": list(loc), "msg": message}
    if (
        value is None
        or isinstance(value, (bool, int, float))
        or (isinstance(value, str) and len(value) <= _LONGEST_ECHO)
    ):
        detail["input"] = value
    return detail
