"""Revisions and environments of a stored workflow: which one is meant, and what it is to run. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ._json import json_fault
from .environments import Environment
from .errors import APIResponseError, ConfigurationError, NotFoundError
from .results import StoredWorkflow, WorkflowEnvironment

__all__ = [
    "check_deployable",
    "check_environment",
    "deployment_of",
    "environment_named",
    "followers",
    "newest_of",
    "pinned_to",
    "runs_only",
]

_DEPLOYABLE = [each.value for each in Environment if each is not Environment.CONSOLE]


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
        raise ConfigurationError(
            f"environment must not be {name!r}, which is always the newest saved state of a workflow, so that no "
            f"revision can be deployed there; it may be one of {', '.join(_DEPLOYABLE)}"
        )


def check_deployable(name: object) -> None:
    """Check the environment of a deployment, before there is a workflow whose environments could be listed.

    Raises:
        ConfigurationError: no workflow has an environment with this name.
    """
    check_environment(name)
    if str(name).casefold() not in _DEPLOYABLE:
        raise ConfigurationError(f"environment is {name!r}, which is none of {', '.join(_DEPLOYABLE)}")


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


def runs_only(environment: WorkflowEnvironment, newest: str) -> bool:
    """Return True when the newest revision, and nothing else, runs in an environment."""
    return len(environment.deployments) == 1 and (environment.follows_latest or environment.revision_id == newest)


def followers(environments: Iterable[WorkflowEnvironment], target: WorkflowEnvironment) -> list[WorkflowEnvironment]:
    """Return the environments, except for one, in which a new revision would run at once.

    Raises:
        APIResponseError: of one of them this cannot be told.
    """
    others = [each for each in environments if each.id != target.id]
    for each in others:
        for deployment in each.deployments:
            if deployment.revision_id is None and not deployment.follows_latest:
                raise _unclear(f"whether a new revision would run in the environment {each.name!r}", [each.name])
    return [each for each in others if each.follows_latest]


def newest_of(revisions: Iterable[StoredWorkflow], for_environments: Iterable[WorkflowEnvironment]) -> str:
    """Return the id of the newest revision that is deployed: the only one, or the one that was made last.

    The order of the list is not documented, and the time of the last change may be that of a new name.

    Args:
        revisions: All revisions of the workflow.
        for_environments: The environments that follow the newest one, for the message of an error.

    Raises:
        APIResponseError: the server does not tell which one it is.
    """
    every = list(revisions)
    deployed = [each for each in every if each.is_draft is False]
    times = [each.created_at for each in deployed if each.created_at is not None]
    if len(deployed) > 1:
        is_complete = len(times) == len(deployed)
        deployed = [each for each in deployed if is_complete and each.created_at == max(times)]
    if len(deployed) != 1 or any(each.is_draft is None for each in every):
        raise _unclear("which revision is the newest one that is deployed", [each.name for each in for_environments])
    return deployed[0].revision_id


def pinned_to(environment: WorkflowEnvironment, newest: str) -> list[dict[str, Any]]:
    """Return the deployments of an environment, those that follow the newest revision set to the one that it is now."""
    pinned: list[dict[str, Any]] = []
    for each in environment.deployments:
        config = {name: value for name, value in each.raw["deployment_config"].items() if value is not None}
        if each.follows_latest:
            config |= {"revision_lookup": "revision_id", "revision_id": newest}
        pinned.append(config)
    return pinned


def _unclear(what: str, names: Iterable[str]) -> APIResponseError:
    error = APIResponseError(
        f"the server does not tell {what}, so nothing was changed; set what runs in {' and '.join(map(repr, names))} "
        "with set_environment(revision_id=...), and deploy again",
        status=200,
        body=b"",
    )
    error.run_may_have_started = False
    return error
