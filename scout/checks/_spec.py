"""Shapes of the values of a workflow, made of the schemas in the specification of the API."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scout._json import is_mapping
from scout._order import resolved, schemas

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Shape", "Specification", "nearest", "specification"]


@dataclass(slots=True, eq=False)
class Shape:
    """The shape of a value, as a schema describes it.

    Attributes:
        kinds: The types of JSON that it may have, `integer` apart from `number`; all of them when empty.
        properties: The shapes of its fields, when it is an object; empty when any field may stand there.
        required: The names of the fields that it must have.
        items: The shape of its items, when it is a list.
        values: All values that it may have; empty when there is no list of them.
        seen: Values that are known, of an open list.
        least: The least number.
        most: The greatest number.
        tag: The field whose value says which of `variants` describes the object.
        variants: By the value of that field.
        newer_name: The name that replaced that of the field.
        fine: The Python types of values of which there is nothing more to say.
    """

    kinds: frozenset[str] = frozenset()
    properties: dict[str, Shape] | None = None
    required: tuple[str, ...] = ()
    items: Shape | None = None
    values: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    tag: str | None = None
    variants: dict[str, Shape] | None = None
    newer_name: str | None = None
    fine: frozenset[type] = frozenset()


@dataclass(slots=True, eq=False)
class Specification:
    """The knowledge of workflows.

    Attributes:
        config: The shape of a config.
        wrapper: The names of the fields beside a config in its wrapper.
        archetypes: The shape of `block_inputs` by archetype. It is open: others exist, and other fields.
        input_types: By the `input_type` of an input, the type of its value.
        template_globals: The names in templates that are not blocks.
    """

    config: Shape
    wrapper: frozenset[str]
    archetypes: dict[str, Shape]
    input_types: dict[str, str]
    template_globals: frozenset[str]
    _input_archetypes: tuple[str, ...]

    def takes_inputs(self, archetype: str | None) -> bool:
        """Return True for the archetype of a block whose result is the inputs of the run."""
        return archetype is not None and any(
            archetype.startswith(each) if each.endswith(".") else archetype == each for each in self._input_archetypes
        )

    def declares_inputs(self, archetype: str | None) -> bool:
        """Return True for the archetype of a block whose items are all the inputs there are."""
        return archetype in self._input_archetypes


@functools.cache
def specification() -> Specification:
    """Return what the specification says; it is read once."""
    known = schemas()["Block"]["properties"]["block_inputs"]
    return Specification(
        config=_shape(schemas()["WorkflowConfig"]),
        wrapper=frozenset(schemas()["Workflow"]["properties"]),
        archetypes={name: _shape({"type": "object", **schema}) for name, schema in known["x-archetypes"].items()},
        input_types=known["x-input-types"],
        template_globals=frozenset(known["x-template-globals"]),
        _input_archetypes=tuple(known["x-input-archetypes"]),
    )


_TYPES: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "array": (list,),
    "object": (dict,),
}


def _fine(shape: Shape) -> frozenset[type]:
    kinds = set(shape.kinds or _TYPES)
    if shape.values or shape.seen:
        kinds.discard("string")
    if shape.least is not None or shape.most is not None:
        kinds -= {"integer", "number"}
    if shape.items is not None:
        kinds.discard("array")
    if shape.properties is not None or shape.variants is not None:
        kinds.discard("object")
    return frozenset(each for kind in kinds for each in _TYPES[kind])


def _shape(schema: dict[str, Any]) -> Shape:
    """Return the shape of a schema."""
    shape = _read_schema(schema)
    shape.fine = _fine(shape)
    return shape


def _read_schema(schema: dict[str, Any]) -> Shape:
    schema = resolved(schema)
    kinds = schema.get("type", ())
    branches = [resolved(each) for each in schema.get("anyOf", ())]
    # Of `anyOf`, the specification uses only "this, or null" and "one of these texts, or another one".
    main = next((each for each in branches if each.get("type") != "null"), schema)
    shape = _shape(main) if main is not schema else Shape()
    if branches:
        shape.kinds |= {each["type"] for each in branches if isinstance(each.get("type"), str)}
        return shape
    shape.kinds = frozenset([kinds] if isinstance(kinds, str) else kinds)
    if "const" in schema:
        return Shape(shape.kinds)
    if "properties" in schema:
        shape.properties = {name: _shape(each) for name, each in schema["properties"].items()}
    shape.required = tuple(schema.get("required", ()))
    if is_mapping(schema.get("items")) and schema["items"]:
        shape.items = _shape(schema["items"])
    shape.values = tuple(schema.get("enum", ()))
    shape.seen = tuple(schema.get("x-seen", ()))
    shape.least, shape.most = schema.get("minimum"), schema.get("maximum")
    shape.newer_name = schema.get("x-replaced-by")
    if "discriminator" in schema:
        shape.kinds = frozenset({"object"})
        shape.tag = schema["discriminator"]["propertyName"]
        mapping = schema["discriminator"]["mapping"]
        shape.variants = {value: _shape({"$ref": where}) for value, where in mapping.items()}
    return shape


# --- Names with a typing error ------------------------------------------------------------------------------------

_LONGEST_NAME = 60
_SHORT = 6


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name of which another one is probably a misspelling; `None` when there is none.

    Upper case, `-` and `_` do not count. Then a name of fewer than six letters may have one error, another one two: a
    letter too much, too few, wrong, or two letters swapped.
    """
    if not 1 < len(name) <= _LONGEST_NAME:
        return None
    plain = _plain(name)
    best: tuple[int, str] | None = None
    for other in known:
        limit = 1 if max(len(plain), len(other)) < _SHORT else 2
        distance = _distance(plain, _plain(other), limit)
        if distance <= limit and (best is None or distance < best[0]):
            best = distance, other
    return best[1] if best else None


@functools.lru_cache(maxsize=1024)
def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _distance(one: str, other: str, limit: int) -> int:
    """Return the number of errors between two texts, by optimal string alignment; at most one above the limit."""
    if one == other:
        return 0
    if abs(len(one) - len(other)) > limit or min(len(one), len(other)) <= limit:
        return limit + 1
    above: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, above, row = above, row, [i]
        for j, b in enumerate(other, 1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
    return row[-1]
