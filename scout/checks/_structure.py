"""Checks of fields and values, by the specification: names, types, choices, ranges."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from scout._json import PathInData, is_dict, is_list
from scout.workflow_files import CONFIG_FIELDS, is_stored, kind_of

from ._report import listed, quoted
from ._spec import nearest
from ._templates import is_template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._report import Report
    from ._spec import Shape, Specification

__all__ = ["WORDS", "check_fields", "find_config"]

_CONFIG = "workflow_config"
_EXTENSION = "x-"
"""Fields that begin so are nobody's mistake: they hold anchors, or what is for other programs."""


# --- Wrappers -----------------------------------------------------------------------------------------------------


def find_config(
    data: Any, report: Report, specification: Specification, *, is_file: bool
) -> tuple[Mapping[str, Any], PathInData] | None:
    """Return the config and its place in the data, without its wrappers; `None` when it is not a workflow."""
    if not is_dict(data):
        report.add("SW001", f"a workflow is a mapping, and this is {kind_of(data)}", ())
        return None
    place: PathInData = ()
    if is_stored(data):
        data, place = data["data"], ("data",)
    wrappers = 0
    while _CONFIG in data:
        wrappers += 1
        if wrappers == 2:
            report.add(
                "SW002", "the file is wrapped twice: workflow_config holds another workflow_config",
                (*place, _CONFIG), "keep one wrapper", at_key=True,
            )  # fmt: skip
        for name in data:
            if name not in specification.wrapper and (found := nearest(name, specification.wrapper)):
                _unknown_field(report, (*place, name), found)
        key = data.get("workflow_key")
        if key is not None and not isinstance(key, str):
            report.add("SW002", f"workflow_key must be text, not {kind_of(key)}", (*place, "workflow_key"))
        data, place = data[_CONFIG], (*place, _CONFIG)
        if not is_dict(data):
            report.add("SW002", f"workflow_config must be a mapping, not {kind_of(data)}", place)
            return None
    if any(field in data for field in CONFIG_FIELDS) or not (data or is_file):
        return data, place
    names = (*CONFIG_FIELDS, _CONFIG)
    for name in data:
        if found := nearest(name, names):
            report.add(
                "SW003", "this is not a workflow: it has none of the fields of one", (*place, name),
                f"did you mean {quoted(found)} instead of {quoted(name)}?", at_key=True,
            )  # fmt: skip
            return None
    report.add(
        "SW003", "this is not a workflow: it has none of the fields of one", place,
        f"a workflow has {listed(CONFIG_FIELDS)}",
    )  # fmt: skip
    return None


# --- Values and their shapes --------------------------------------------------------------------------------------

WORDS = {
    "null": "nothing",
    "boolean": "true or false",
    "number": "a number",
    "integer": "a whole number",
    "string": "text",
    "array": "a list",
    "object": "a mapping",
}
_MUST_NOT_BE_EMPTY = ("block_id", "block_archetype_id")

# What the API's library, pydantic, takes for true or false.
_BOOLEAN_TEXTS = frozenset(("0", "off", "f", "false", "n", "no", "1", "on", "t", "true", "y", "yes"))


def check_fields(config: Mapping[str, Any], place: PathInData, report: Report, specification: Specification) -> None:
    """Report what does not fit the schema of a config, and what is known of the settings of blocks."""
    _Fields(report).check(config, specification.config, place)
    settings = _Settings(report)
    blocks = config.get("blocks")
    for index, block in enumerate(blocks if is_list(blocks) else ()):
        if is_dict(block):
            _check_block(block, (*place, "blocks", index), settings, specification)


def _check_block(
    block: Mapping[str, Any], place: PathInData, settings_check: _Settings, specification: Specification
) -> None:
    report = settings_check.report
    for name in _MUST_NOT_BE_EMPTY:
        if block.get(name) == "":
            report.add("SW011", f"{name} must not be empty", (*place, name))
    archetype = block.get("block_archetype_id")
    if not isinstance(archetype, str):
        return
    known = specification.archetypes
    shape = known.get(archetype)
    if shape is None:
        # `llm` for `com.scoutos.llm`
        ending = next((each for each in known if archetype and each.endswith(f".{archetype}")), None)
        if archetype and (found := ending or _nearest_archetype(archetype, known)):
            report.add(
                "SW020", f"{quoted(archetype)} is not a known block archetype",
                (*place, "block_archetype_id"), f"did you mean {quoted(found)}?",
            )  # fmt: skip
        return
    settings: Any = block.get("block_inputs")
    if settings is None and shape.required:
        settings = {}
    if is_dict(settings):
        where = (*place, "block_inputs") if "block_inputs" in block else place
        settings_check.check(settings, shape, where)


def _nearest_archetype(archetype: str, known: Mapping[str, Shape]) -> str | None:
    found = nearest(archetype, known)
    if found is None:
        return None
    # The last part is short, and two errors in it make another word.
    last, known_last = (each.rpartition(".")[2] for each in (archetype, found))
    return found if last == known_last or nearest(last, [known_last]) else None


def _unknown_field(report: Report, place: PathInData, known: str) -> None:
    report.add(
        "SW013", f"{quoted(place[-1])} is not a known field", place, f"did you mean {quoted(known)}?", at_key=True
    )


class _Fields:
    """Compares values with shapes."""

    missing = "SW010"
    wrong_type = "SW011"
    wrong_type_converted = "SW012"
    reports_unknown = True

    def __init__(self, report: Report) -> None:
        self.report = report
        # By ids, because a part that stands in many places (in YAML, an alias) is in one place of the file.
        self.seen: set[tuple[int, int]] = set()

    def check(self, value: Any, shape: Shape, place: PathInData) -> None:
        """Report what does not fit."""
        kinds = shape.kinds
        match value:
            case str():
                if kinds and "string" not in kinds:
                    self.text_instead(value, shape, place)
                elif shape.values or shape.seen:
                    self.check_choice(value, shape, place)
            case None:
                self.nothing(shape, place)
            case bool():
                if kinds and "boolean" not in kinds:
                    self.wrong(value, shape, place, converted=bool(kinds & {"number", "integer"}))
            case int() | float() | Decimal():
                self.check_number(value, shape, place)
            case list() | tuple():
                if kinds and "array" not in kinds:
                    self.wrong(value, shape, place)
                elif shape.items is not None and self.is_new(value, shape):
                    self.check_items(value, shape.items, place)
            case _:
                if kinds and "object" not in kinds:
                    self.wrong(value, shape, place)
                elif is_dict(value) and (shape.properties or shape.tag) and self.is_new(value, shape):
                    self.check_object(value, shape, place)

    def check_items(self, items: Any, shape: Shape, place: PathInData) -> None:
        for index, item in enumerate(items):
            if self.report.is_full:
                return
            self.check(item, shape, (*place, index))

    def is_new(self, value: Any, shape: Shape) -> bool:
        key = (id(value), id(shape))
        is_new = key not in self.seen
        self.seen.add(key)
        return is_new

    def nothing(self, shape: Shape, place: PathInData) -> None:
        if shape.kinds and "null" not in shape.kinds:
            self.wrong(None, shape, place)

    def text_instead(self, text: str, shape: Shape, place: PathInData) -> None:
        is_number = bool(shape.kinds & {"number", "integer"}) and _is_number(text)
        is_boolean = "boolean" in shape.kinds and text.lower() in _BOOLEAN_TEXTS
        self.wrong(text, shape, place, converted=is_number or is_boolean)

    def check_number(self, value: float | Decimal, shape: Shape, place: PathInData) -> None:
        kinds = shape.kinds
        if kinds and "number" not in kinds and not ("integer" in kinds and _is_whole(value)):
            self.wrong(value, shape, place, converted="boolean" in kinds and value in (0, 1))
        elif shape.least is not None and value < shape.least:
            self.out_of_range(value, f"at least {shape.least}", place)
        elif shape.most is not None and value > shape.most:
            self.out_of_range(value, f"at most {shape.most}", place)

    def out_of_range(self, value: float | Decimal, wanted: str, place: PathInData) -> None:
        self.report.add("SW023", f"{quoted(place[-1])} is {quoted(value)}, and it must be {wanted}", place)

    def wrong(self, value: Any, shape: Shape, place: PathInData, *, converted: bool = False) -> None:
        names = [WORDS[kind] for kind in WORDS if kind in shape.kinds and (kind != "null" or len(shape.kinds) == 1)]
        name = place[-1] if place and isinstance(place[-1], str) else "this"
        is_shown = (isinstance(value, str) and value) or kind_of(value) == "a number"
        shown = f", {quoted(value)}" if is_shown else ""
        self.report.add(
            self.wrong_type_converted if converted else self.wrong_type,
            f"{quoted(name)} must be {' or '.join(names)}, and it is {kind_of(value)}{shown}" if name != "this" else
            f"{' or '.join(names)} must stand here, and this is {kind_of(value)}{shown}",
            place,
        )  # fmt: skip

    def check_choice(self, value: str, shape: Shape, place: PathInData) -> None:
        if value in shape.values or value in shape.seen:
            return
        found = nearest(value, shape.values or shape.seen)
        if found or shape.values:
            name = quoted(place[-1]) if isinstance(place[-1], str) else "this"
            self.report.add(
                "SW015", f"{name} is {quoted(value)}, which is not known", place,
                f"did you mean {quoted(found)}?" if found else f"use {listed(shape.values)}",
            )  # fmt: skip

    def check_object(self, value: Mapping[str, Any], shape: Shape, place: PathInData) -> None:
        if shape.tag and shape.variants:
            tag = value.get(shape.tag)
            variant = shape.variants.get(tag) if isinstance(tag, str) else None
            if variant is not None:
                self.check(value, variant, place)
            elif shape.tag not in value:
                self.report.add(self.missing, f"{quoted(shape.tag)} is missing", place)
            else:
                found = nearest(tag, shape.variants) if isinstance(tag, str) else None
                self.report.add(
                    "SW015", f"{quoted(shape.tag)} is {quoted(tag)}, which is not known", (*place, shape.tag),
                    f"did you mean {quoted(found)}?" if found else f"use {listed(list(shape.variants))}",
                )  # fmt: skip
            return
        properties = shape.properties or {}
        misspelt: dict[str, str] = {}
        for name, each in value.items():
            known = properties.get(name)
            if known is None:
                if self.report.is_full:
                    return
                self.unknown(name, value, properties, place, misspelt, shape)
                continue
            if known.newer_name:
                self.report.add(
                    "SW016", f"{quoted(name)} is the old name of {quoted(known.newer_name)}", (*place, name),
                    f"write {quoted(known.newer_name)}", at_key=True,
                )  # fmt: skip
            if type(each) not in known.fine:
                self.check(each, known, (*place, name))
        for name in shape.required:
            if name not in value:
                self.lacks(name, misspelt.get(name), place)

    def unknown(
        self, name: str, value: Mapping[str, Any], properties: Mapping[str, Shape], place: PathInData,
        misspelt: dict[str, str], shape: Shape,
    ) -> None:  # fmt: skip
        found = nearest(name, [each for each in properties if each not in value])
        if found is not None and found in shape.required:
            misspelt[found] = name
        elif found is not None:
            _unknown_field(self.report, (*place, name), found)
        elif self.reports_unknown and not name.startswith(_EXTENSION):
            self.report.add(
                "SW014", f"{quoted(name)} is not a known field", (*place, name), "the API ignores it", at_key=True
            )

    def lacks(self, name: str, misspelt: str | None, place: PathInData) -> None:
        if misspelt is not None:
            self.report.add(
                self.missing, f"{quoted(name)} is missing, and there is {quoted(misspelt)}",
                (*place, misspelt), f"write {quoted(name)}", at_key=True,
            )  # fmt: skip
        else:
            self.report.add(self.missing, f"{quoted(name)} is missing", place)


class _Settings(_Fields):
    """Compares the settings of blocks with what is known of them, which is not a contract."""

    missing = "SW021"
    wrong_type = "SW022"
    wrong_type_converted = "SW022"
    reports_unknown = False

    def nothing(self, shape: Shape, place: PathInData) -> None:
        pass

    def text_instead(self, text: str, shape: Shape, place: PathInData) -> None:
        if not is_template(text):
            self.wrong(text, shape, place)

    def check_choice(self, value: str, shape: Shape, place: PathInData) -> None:
        if not is_template(value):
            super().check_choice(value, shape, place)


def _is_whole(value: float | Decimal) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer()) or isinstance(value, Decimal)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
