"""Problems, and the table of rules."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["RULES", "Problem", "Rule", "Severity", "check_rules"]


class Severity(StrEnum):
    """The seriousness of a problem.

    `ERROR`: the workflow cannot be loaded, or cannot run. `WARNING`: the API accepts it, and it is probably a mistake.
    `INFO`: a matter of style.
    """

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of a workflow.

    Attributes:
        code: The code of the rule, such as `SW001`. docs/checks.md lists them.
        message: The problem, as one sentence without a full stop.
        path: The path of the file; `None` when the workflow is not from a file.
        line: The line in the file, from 1; `None` when it is not known.
        column: The column in the line, in characters, from 1; `None` when it is not known.
        severity: How serious it is.
        hint: How to mend it; `None` when the message says it.
    """

    code: str
    message: str
    path: str | None = None
    line: int | None = None
    column: int | None = None
    severity: Severity = Severity.ERROR
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind of problem.

    Attributes:
        code: The code, such as `SW001`. A code is never given to another rule.
        severity: How serious its problems are.
        title: The rule in one line.
    """

    code: str
    severity: Severity
    title: str


_TABLE = (
    # The file.
    Rule("SW001", Severity.ERROR, "The file cannot be parsed, or is not a mapping"),
    Rule("SW002", Severity.ERROR, "A wrapper is inside a wrapper, or holds something else than a workflow"),
    Rule("SW003", Severity.ERROR, "None of the fields of a workflow is there"),
    Rule("SW004", Severity.WARNING, "The file is too long to be checked"),
    # Fields and values, by the specification of the API.
    Rule("SW010", Severity.ERROR, "A required field is missing"),
    Rule("SW011", Severity.ERROR, "A value has the wrong type"),
    Rule("SW012", Severity.WARNING, "A value has a type that the API has to convert"),
    Rule("SW013", Severity.WARNING, "A field is unknown, and its name is near a known one"),
    Rule("SW014", Severity.INFO, "A field is unknown"),
    Rule("SW015", Severity.WARNING, "A value is not one of the known ones"),
    Rule("SW016", Severity.INFO, "A field has its old name"),
    # Settings of blocks, by what is known of their archetypes.
    Rule("SW020", Severity.WARNING, "A block archetype is unknown, and its name is near a known one"),
    Rule("SW021", Severity.WARNING, "A setting is missing that all blocks of this archetype have"),
    Rule("SW022", Severity.WARNING, "A setting has an unlikely type"),
    Rule("SW023", Severity.WARNING, "A number is out of its range"),
    # The graph.
    Rule("SW030", Severity.ERROR, "Two blocks have the same id"),
    Rule("SW031", Severity.ERROR, "A block depends on a block that does not exist"),
    Rule("SW032", Severity.ERROR, "A block depends on itself"),
    Rule("SW033", Severity.ERROR, "Blocks depend on each other in a cycle"),
    Rule("SW034", Severity.WARNING, "Several blocks are marked as the output"),
    Rule("SW035", Severity.WARNING, "No block is marked as the output, and several could be it"),
    # Templates.
    Rule("SW040", Severity.ERROR, "A template has a syntax error"),
    Rule("SW041", Severity.WARNING, "A template uses a name that is neither a block nor a known global"),
    Rule("SW042", Severity.WARNING, "A template uses a block that is not upstream"),
    Rule("SW043", Severity.WARNING, "A template uses an unknown filter or test"),
    Rule("SW044", Severity.INFO, "Templates were not checked"),
    Rule("SW045", Severity.WARNING, "A template uses a field of a block with a name near `output`"),
    # Inputs.
    Rule("SW050", Severity.WARNING, "A template uses an input that is not declared"),
    Rule("SW051", Severity.WARNING, "An input is declared and never used"),
    Rule("SW052", Severity.WARNING, "An input is declared twice"),
    Rule("SW053", Severity.WARNING, "inputs/default.json cannot be used"),
    Rule("SW054", Severity.WARNING, "inputs/default.json lacks a required input"),
    Rule("SW055", Severity.WARNING, "inputs/default.json has an input that is not declared"),
    Rule("SW056", Severity.WARNING, "inputs/default.json has an input of the wrong type"),
)

RULES: dict[str, Rule] = {rule.code: rule for rule in _TABLE}
"""All rules by code, in the order of their codes."""


def check_rules() -> dict[str, Rule]:
    """Return the rules of `check` by code, in the order of their codes."""
    return dict(RULES)
