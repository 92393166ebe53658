"""Revisions and environments of a stored workflow: which one is meant, and what it is to run. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ._json import json_fault
from .environments import Environment
from .errors import ConfigurationError, NotFoundError
from .results import WorkflowEnvironment

__all__ = ["check_environment", "deployment_of", "environment_named"]


def check_environment(name: object) -> None:
    """Check the argument that names an environment.

    Raises:
        ConfigurationError: it is not a name, or that of the console.
    """
    if not isinstance(name, str):
        raise ConfigurationError(f"environment must be text, not {type(name).__name__}")
    if fault := json_fault(name, ("environment",)):
        raise ConfigurationError(str(fault))
    if not name:
        raise ConfigurationError("environment must not be empty")
    if name.casefold() == Environment.CONSOLE:
        there_are = ", ".join(each for each in Environment if each is not Environment.CONSOLE)
        raise ConfigurationError(
            f"environment must not be {name!r}, which is always the newest saved state of a workflow, so that no "
            f"revision can be deployed there; it may be one of {there_are}"
        )


def deployment_of(revision_id: object, *, latest: bool) -> dict[str, Any]:
    """Return the deployment of one revision, or of the newest at any time.

    Raises:
        ConfigurationError: not exactly one of the two is given.
    """
    if (revision_id is None) == (not latest):
        raise ConfigurationError(
            "give either revision_id= or latest=True to say what the environment runs"
            + ("" if revision_id is None else ", not both")
        )
    if revision_id is None:
        return {"revision_lookup": "latest"}
    if not isinstance(revision_id, str) or not revision_id:
        raise ConfigurationError(f"revision_id must be the text of a revision's id, not {revision_id!r}")
    return {"revision_lookup": "revision_id", "revision_id": revision_id}


def environment_named(name: str, environments: Iterable[WorkflowEnvironment]) -> WorkflowEnvironment:
    """Return the environment with a name or an id; without regard to case when none has it to the letter.

    Raises:
        NotFoundError: there is none.
        ConfigurationError: there are several.
    """
    every = list(environments)
    found = [each for each in every if name in (each.name, each.id)]
    found = found or [each for each in every if each.name.casefold() == name.casefold()]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(repr(each.id) for each in found)
        raise ConfigurationError(f"{len(found)} environments are called {name!r}: {ids}; give the id of one of them")
    there_are = ", ".join(repr(each.name) for each in every) or "none at all"
    # The server has answered with a list in which it is not, and not with a 404 of its own.
    raise NotFoundError(
        f"the workflow has no environment {name!r}; there are {there_are}",
        status=404,
        body=None,
        headers={},
        run_may_have_started=False,
    )
