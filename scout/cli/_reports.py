"""Reports of problems: text for people, JSON, annotations of GitHub, and SARIF."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from scout.cli import _checks
from scout.cli._terminal import answer, answer_styled, as_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scout import Problem

_COLOURS = {"error": "red", "warning": "yellow", "info": "cyan"}
_ANNOTATIONS = {"error": "error", "warning": "warning", "info": "notice"}
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}


def _text(problems: Sequence[Problem]) -> None:
    for problem in problems:
        answer_styled(
            (_checks.place_of(problem), "bold"),
            (problem.code, _COLOURS[problem.severity]),
            (f" {problem.message}", ""),
        )
        if problem.hint:
            answer_styled((f"    {problem.hint}", "dim"))


def _json(problems: Sequence[Problem]) -> None:
    answer(as_json([_as_json(problem) for problem in problems], indent=2), json=True)


def _as_json(problem: Problem) -> dict[str, Any]:
    names = ("code", "severity", "message", "hint", "path", "line", "column")
    return {name: getattr(problem, name) for name in names}


# --- GitHub -------------------------------------------------------------------------------------------------------
# https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions; the escapes are those of
# https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts


def _github(problems: Sequence[Problem]) -> None:
    for problem in problems:
        path = None if problem.path is None else _in_repository(problem.path)
        facts = {"file": path, "line": problem.line, "col": problem.column, "title": f"scout check ({problem.code})"}
        properties = ",".join(f"{name}={_escaped(str(fact), ':,')}" for name, fact in facts.items() if fact is not None)
        answer(f"::{_ANNOTATIONS[problem.severity]} {properties}::{_escaped(_checks.message_of(problem))}")


def _escaped(text: str, more: str = "") -> str:
    for character in f"%\r\n{more}":  # "%" first, because the others become one
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _in_repository(path: str) -> str:
    """Return a path from the top of the repository, as GitHub wants it; that of the working folder elsewhere."""
    top = os.environ.get("GITHUB_WORKSPACE")
    if top and Path(os.path.normpath(Path(path).absolute())).is_relative_to(top):
        path = os.path.relpath(path, top)
    return path.replace(os.sep, "/")


# --- SARIF --------------------------------------------------------------------------------------------------------
# https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html; GitHub requires more than the standard:
# https://docs.github.com/en/code-security/reference/code-scanning/sarif-files/sarif-support


def _sarif(problems: Sequence[Problem]) -> None:
    from scout import __version__, check_rules

    rules = check_rules()
    numbers = {code: number for number, code in enumerate(rules)}
    driver = {
        "name": "scout check",
        "semanticVersion": __version__,
        "rules": [
            {
                "id": rule.code,
                "shortDescription": {"text": rule.title},
                "fullDescription": {"text": rule.title},
                "help": {"text": f"docs/checks.md of scout-workflows explains {rule.code}, with an example."},
                "defaultConfiguration": {"level": _LEVELS[rule.severity]},
            }
            for rule in rules.values()
        ],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(problem, numbers) for problem in problems],
    }
    document = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    answer(as_json(document, indent=2), json=True)


def _result(problem: Problem, numbers: Mapping[str, int]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": problem.code,
        "ruleIndex": numbers.get(problem.code, -1),
        "level": _LEVELS[problem.severity],
        "message": {"text": _checks.message_of(problem)},
    }
    if problem.path is not None:
        line, column = problem.line or 1, problem.column or 1
        region = {"startLine": line, "startColumn": column, "endLine": line, "endColumn": column + 1}
        location = {"artifactLocation": _artifact(problem.path), "region": region}
        result["locations"] = [{"physicalLocation": location}]
    return result


def _artifact(path: str) -> dict[str, str]:
    name = _in_repository(path)
    if Path(name).is_absolute():
        return {"uri": Path(name).as_uri()}
    return {"uri": quote(os.fsencode(name)), "uriBaseId": "%SRCROOT%"}


REPORTS: dict[str, Callable[[Sequence[Problem]], None]] = {
    "text": _text, "json": _json, "github": _github, "sarif": _sarif
}  # fmt: skip
"""The functions that print problems on stdout, by the names of `--format`."""
