"""Revisions and environments of stored workflows: what each call changes, and what it leaves alone. No I/O."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from ._answers import not_found, read_change, read_environments, read_revisions, read_workflow
from ._json import json_fault
from ._keys import Calls, no_workflow_with, of_a_look_up, only
from ._options import CallOptions
from ._plans import Plan, Prepared, reword
from ._requests import (
    checked_body,
    create_request,
    environment_request,
    environments_request,
    revision_request,
    revisions_request,
)
from .environments import Environment
from .errors import APIResponseError, ConfigurationError, ConflictError, NotFoundError, ScoutError
from .results import Deployment, StoredWorkflow, WorkflowEnvironment
from .workflow_files import LoadedWorkflow, WorkflowSource, load_workflow

__all__ = ["Deployments", "newest_of"]

HttpT = TypeVar("HttpT")


class Deployments(Calls[HttpT]):
    """The plans of `deploy` and `set_environment`."""

    def _deploy(
        self,
        workflow: WorkflowSource,
        key: str | None,
        options: CallOptions,
        *,
        force: bool,
        environment: str | None,
    ) -> Plan[Deployment]:
        begun = time.monotonic()
        environment = None if environment is None else _deployable(environment)
        loaded = load_workflow(workflow, require_fields=True)
        key = key if key is not None else loaded.key
        if key is None:
            raise ConfigurationError(_no_key(loaded))
        # The body is the config, so extra_body is part of the comparison; and the other requests do not have it.
        options = options.copy()
        source = LoadedWorkflow({**loaded.config, **checked_body(options.pop("extra_body", None))}, key)
        job = _Job(source, key, force, environment, options, begun)
        try:
            return (yield from self._store(job))
        except ScoutError as error:
            job.note_in(error)
            raise

    def _store(self, job: _Job) -> Plan[Deployment]:
        create = partial(create_request, job.source, job.key)
        tries_left = _TRIES
        while True:
            tries_left -= 1
            try:
                created: StoredWorkflow = yield self._call(create, read_workflow, job.options, job.begun)
            except ConflictError as error:
                conflict = error
            else:
                job.pinned.clear()  # those of a workflow that has been deleted since
                return (yield from self._release(job, Deployment(created.id, created.revision_id, True, created)))
            renewed = yield from self._renew(job)
            if isinstance(renewed, Deployment):
                return (yield from self._release(job, renewed))
            # Either the workflow was deleted in the meantime, or the conflict has another reason, and remains.
            if not tries_left:
                reword(conflict, f"{conflict.message}; and for a revision of {job.key!r}: {renewed.message}")
                raise conflict

    def _renew(self, job: _Job) -> Plan[Deployment | NotFoundError]:
        """Store a revision, unless the same is stored already. Return the error of a workflow that is not there."""
        key, options, begun = job.key, job.options, job.begun
        found: StoredWorkflow | None = None
        if not job.force or job.environment is not None:
            purpose = f"what is stored under {key!r}" + ("" if job.force else ", without force=True")
            searched = yield from self._search([key], options, begun, purpose)
            found = only(key, searched.workflows[key]) if key in searched.workflows else None
        revise = partial(revision_request, job.source, workflow_id=None, key=key)
        same = found if found is not None and job.is_same(found) else None
        if job.environment is not None:
            if found is None:
                return no_workflow_with(key, [])
            same = yield from self._keep_others(job, job.environment, found)
            revise = partial(revision_request, job.source, workflow_id=found.id, key=None)
        if same is not None:
            return Deployment(same.id, same.revision_id, False, same, changed=False)
        try:
            revised: StoredWorkflow = yield self._call(revise, read_workflow, options, begun)
        except NotFoundError as error:
            return error
        return Deployment(revised.id, revised.revision_id, False, revised)

    def _keep_others(self, job: _Job, environment: str, stored: StoredWorkflow) -> Plan[StoredWorkflow | None]:
        """Pin each other environment that follows the newest revision to the one that it runs now.

        Nothing is pinned when the environment runs the same already, or the newest revision is the same: this is
        returned.
        """
        options, begun = job.options, job.begun
        every = yield self._call(partial(environments_request, stored.id), read_environments, options, begun)
        target = job.target = _environment_named(environment, every)
        newest = stored.revision_id if stored.is_draft is False else None
        revisions = [stored]
        follows = newest is None and any(each.follows_latest for each in every)
        if follows or (not job.force and target.revision_id not in (None, newest)):
            revisions = yield self._call(partial(revisions_request, stored.id), read_revisions, options, begun)
            newest = newest or newest_of(revisions)
        job.running = target.running(newest)
        for state in (*(each for each in revisions if each.revision_id == job.running), stored):
            if job.is_same(state):
                return state
        others = _followers(every, target)
        for each in others:
            if newest is None:
                raise _unclear("which revision is the newest one that is deployed", [each.name for each in others])
            yield self._change(stored.id, each, _pinned_to(each, newest), options, begun)
            job.pinned.append(each.name)
        return None

    def _release(self, job: _Job, deployment: Deployment) -> Plan[Deployment]:
        """Set the environment of a deployment to its revision; to one from before only if something else runs there."""
        if job.environment is None:
            return deployment
        if deployment.changed:
            job.stored = deployment
        workflow_id, revision_id = deployment.workflow_id, deployment.revision_id
        target = job.target
        if deployment.changed or target is None:
            reading = partial(environments_request, workflow_id)
            every = yield self._call(reading, read_environments, job.options, job.begun)
            target = _environment_named(job.environment, every)
        changed = deployment.changed or job.running != revision_id
        if changed:
            runs = [_deployment_of(revision_id, latest=False)]
            yield self._change(workflow_id, target, runs, job.options, job.begun)
        return replace(deployment, changed=changed, environment=target.name, pinned=tuple(job.pinned))

    def _set_environment(
        self, id: str, environment: str, revision_id: str | None, latest: bool, options: CallOptions
    ) -> Plan[None]:
        begun = time.monotonic()
        environment = _environment_name(environment)
        deployment = _deployment_of(revision_id, latest=latest)
        unknown = WorkflowEnvironment(id="-", name=environment, description="", deployments=())
        self._change(id, unknown, [deployment], options, begun)  # so that an invalid argument raises here
        found = yield from self._id_of(id, options, begun)
        reading = self._call(partial(environments_request, found), read_environments, of_a_look_up(options), begun)
        named = _environment_named(environment, (yield reading))
        yield self._change(found, named, [deployment], options, begun)

    def _change(
        self,
        id: str,
        environment: WorkflowEnvironment,
        deployments: Sequence[Mapping[str, Any]],
        options: CallOptions,
        begun: float,
    ) -> Prepared:
        runs = " and ".join(str(each.get("revision_id", "the newest revision")) for each in deployments)
        asked = f"to run {runs} in the environment {environment.name!r} of the workflow {id!r}"
        make = partial(environment_request, id, environment, deployments)
        return self._call(make, partial(read_change, asked=asked), options, begun)


@dataclass(slots=True)
class _Job:
    """A deployment under way.

    Attributes:
        source: The config, with its key.
        key: The key to store it under.
        force: Store a revision even if the config has not changed.
        environment: The environment to deploy to; `None` to leave the environments alone.
        options: The options of each request.
        begun: The time when the call of the user began.
        pinned: The names of the environments that were pinned.
        target: The environment, as it was before anything was stored.
        running: The only revision that it ran then; `None` when there were several or none, or this is not known.
        stored: What was stored.
    """

    source: LoadedWorkflow
    key: str
    force: bool
    environment: str | None
    options: CallOptions
    begun: float
    pinned: list[str] = field(default_factory=list[str])
    target: WorkflowEnvironment | None = None
    running: str | None = None
    stored: Deployment | None = None

    def is_same(self, stored: StoredWorkflow) -> bool:
        """Return True when there is no need to store the config again."""
        return not self.force and stored.matches(self.source.config)

    def note_in(self, error: ScoutError) -> None:
        """Add to an error what was done before it."""
        done: list[str] = []
        if self.pinned:
            names = " and ".join(map(repr, self.pinned))
            done.append(f"before that, what follows the newest revision was pinned in {names}")
        if self.stored is not None:
            error.run_may_have_started = True
            done.append(
                f"the revision {self.stored.revision_id!r} of the workflow {self.stored.workflow_id!r} is stored; "
                f"set_environment makes it run in {self.environment!r}"
            )
        if done:
            reword(error, "; ".join([error.message, *done]))


_TRIES = 2
"""Tries of a deployment whose workflow is deleted between two of its calls."""


def _no_key(loaded: LoadedWorkflow) -> str:
    advice = "pass key=, or put workflow_key into the file"
    if "workflow_key" in loaded.config:
        advice = "workflow_key stands inside of the config; it belongs beside it: {workflow_key, workflow_config}"
    return f"a deployment needs a key: {advice}; a workflow without one gets revisions by create_revision(id=...)"


# --- Which environment, and which revision -------------------------------------------------------------------------

_DEPLOYABLE = [each.value for each in Environment if each is not Environment.CONSOLE]


def _environment_name(name: object) -> str:
    """Check the argument that names an environment, and return it as plain text.

    Raises:
        ConfigurationError: it is not a name, or that of the console.
    """
    if not isinstance(name, str):
        raise ConfigurationError(f"environment must be text, not {type(name).__name__}")
    if fault := json_fault(name, ("environment",)):
        raise ConfigurationError(str(fault))
    if not name:
        raise ConfigurationError("the environment must not be empty")
    if name.casefold() == Environment.CONSOLE:
        raise ConfigurationError(
            f"the environment must not be {str(name)!r}, which is always the newest saved state of a workflow, so that "
            f"no revision can be deployed there; it may be one of {', '.join(_DEPLOYABLE)}"
        )
    return str(name)


def _deployable(name: object) -> str:
    """Check the environment of a deployment, as long as there is no workflow whose environments could be listed.

    Raises:
        ConfigurationError: no workflow has an environment with this name.
    """
    plain = _environment_name(name)
    if plain.casefold() not in _DEPLOYABLE:
        raise ConfigurationError(f"environment is {plain!r}, which is none of {', '.join(_DEPLOYABLE)}")
    return plain


def _deployment_of(revision_id: object, *, latest: bool) -> dict[str, Any]:
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


def _environment_named(name: str, environments: Iterable[WorkflowEnvironment]) -> WorkflowEnvironment:
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
    raise not_found(f"the workflow has no environment {name!r}; there are {there_are}")


def _followers(environments: Iterable[WorkflowEnvironment], target: WorkflowEnvironment) -> list[WorkflowEnvironment]:
    """Return the environments, except for one, in which a new revision would run at once.

    Raises:
        APIResponseError: of one of them this cannot be told.
    """
    others = [each for each in environments if each.id != target.id and not each.is_pinned]
    for each in others:
        if any(part.revision_id is None and not part.follows_latest for part in each.deployments):
            raise _unclear(f"whether a new revision would run in the environment {each.name!r}", [each.name])
    return others


def newest_of(revisions: Iterable[StoredWorkflow]) -> str | None:
    """Return the id of the newest revision that is deployed: the only one, or else the one that was made last.

    The order of a list is not documented, and the time of the last change may be that of a new name.

    Returns:
        The id; `None` when the server does not tell which one it is.
    """
    every = list(revisions)
    if any(each.is_draft is None for each in every):
        return None
    deployed = [each for each in every if not each.is_draft]
    times = [each.created_at for each in deployed if each.created_at is not None]
    if len(deployed) > 1:
        is_known = len(times) == len(deployed)
        deployed = [each for each in deployed if is_known and each.created_at == max(times)]
    return deployed[0].revision_id if len(deployed) == 1 else None


def _pinned_to(environment: WorkflowEnvironment, newest: str) -> list[dict[str, Any]]:
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
