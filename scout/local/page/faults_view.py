"""The page of the faults and stubs in force, and the form for the next fault. No HTTP."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from scout._json import write_json
from scout.local.faults import FAULT_FIELDS, Fault, fault_as_text, read_fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scout.local.stubs import StubInForce

    from .app import PageData

_MODES = {"whole number": "numeric", "number": "decimal"}
_FIRST = {"times": "1"}  # a fault of this form is the next one, as with `fail_next`, and not one for ever


def faults(data: PageData, typed: Mapping[str, str] = _FIRST, error: str = "") -> dict[str, Any]:
    """Return the values for `faults.html`.

    Args:
        data: What the page shows.
        typed: The texts of the form.
        error: What is wrong with them.
    """
    return {
        "faults": [{"text": fault_as_text(fault), "left": left} for fault, left in data.faults.in_force()],
        "stubs": [_stub(each) for each in data.stubs.in_force()],
        "error": error,
        "fields": [
            {
                "name": each.name,
                "label": each.label,
                "mode": _MODES.get(each.kind, "text"),
                "value": typed.get(each.name, ""),
                "is_wrong": re.search(rf"\b{each.name}\b", error) is not None,
            }
            for each in FAULT_FIELDS
        ],
    }


def typed_fault(typed: Mapping[str, str]) -> Fault:
    """Return the fault in a form, in which an empty text says nothing.

    Raises:
        ConfigurationError: The texts are not a valid fault.
    """
    return read_fault({name: text for name, text in typed.items() if text.strip()})


def _stub(stub: StubInForce) -> dict[str, Any]:
    outputs = None if stub.outputs is None else [write_json(each) for each in stub.outputs]
    return {"name": stub.name, "outputs": outputs, "given": stub.given, "is_used": stub.is_used}
