"""The environments of stored workflows: what each of them runs, and what a change of one means for the others."""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from scout.cli._exits import UsageError
from scout.cli._spelling import OneOf, filled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scout import StoredWorkflow, WorkflowEnvironment, Workflows


def one_of_them() -> OneOf:
    """Return the `type` of an argument that names an environment which a revision can be set for."""
    from scout import Environment

    return OneOf(*(each for each in Environment if each is not Environment.CONSOLE))


def any_of_them(text: str) -> str:
    """Return the name or the id of an environment which a revision can be set for. It is the `type` of an argument."""
    from scout import Environment

    if text.lower() == Environment.CONSOLE:
        raise argparse.ArgumentTypeError(
            f"{text!r} always runs the newest saved state, so no revision can be set for it"
        )
    return filled(text)


@dataclass(frozen=True)
class Live:
    """What the environments of a stored workflow run.

    Attributes:
        newest: The newest revision that is deployed; `None` when it is not known.
        by_name: The environments, by name in small letters; by the name as it is, or the id, where several share it.
    """

    newest: str | None
    by_name: Mapping[str, WorkflowEnvironment]

    def changed_in(self, now: Live, names: Iterable[str]) -> str:
        """Return what is different now in some environments, as a part of a message; empty for nothing."""
        texts = ((name, self.text(name), now.text(name)) for name in names)
        return ", ".join(f"{name} runs {after}" for name, before, after in texts if before != after)

    def check(self, name: str, workflow: str) -> None:
        """Check that a workflow, which messages call by a name, has an environment.

        Raises:
            UsageError: it has not.
        """
        if name not in self.by_name:
            raise UsageError(f"{workflow} has no environment {name}; it has {self.names()}")

    def names(self) -> str:
        """Return the names of the environments, as a part of a message."""
        return ", ".join(self.by_name) or "none"

    def revision_in(self, name: str) -> str | None:
        """Return the revision that an environment runs now; `None` when that is not one, or not known."""
        return self.by_name[name].running(self.newest)

    def text(self, name: str) -> str:
        """Return what an environment runs, as a part of a message."""
        parts: list[str] = []
        deployments = self.by_name[name].deployments if name in self.by_name else ()
        for each in deployments:
            what = f"the newest revision, now {self.newest or 'unknown'}" if each.follows_latest else each.revision_id
            parts.append(f"{what or 'unknown'}{f' (traffic {each.traffic})' if len(deployments) > 1 else ''}")
        return " and ".join(parts) or "nothing"

    def followers(self, name: str) -> list[str]:
        """Return the other environments that would run a new revision at once, or may do so."""
        return [other for other, each in self.by_name.items() if other != name and not each.is_pinned]

    def that_run(self, revision_id: str) -> list[str]:
        """Return the environments that run a revision, for all requests or for some."""
        return [
            name
            for name, environment in self.by_name.items()
            if any(
                (self.newest if each.follows_latest else each.revision_id) == revision_id
                for each in environment.deployments
            )
        ]


def read(workflows: Workflows, stored: StoredWorkflow, options: Mapping[str, Any]) -> Live:
    """Return what the environments of a stored workflow run.

    Args:
        workflows: The client.
        stored: The workflow in its newest saved state.
        options: The options of the requests.

    Raises:
        ScoutError: a request failed.
    """
    from scout._deployments import newest_of

    found = _by_name(workflows.environments(stored.id, **options))
    newest: str | None = stored.revision_id
    if stored.is_draft is not False:
        newest = newest_of(workflows.revisions(stored.id, **options))
    return Live(newest, found)


def _by_name(environments: Iterable[WorkflowEnvironment]) -> dict[str, WorkflowEnvironment]:
    every = list(environments)
    small, exact = Counter(each.name.lower() for each in every), Counter(each.name for each in every)
    return {
        each.name.lower() if small[each.name.lower()] == 1 else each.name if exact[each.name] == 1 else each.id: each
        for each in every
    }


def revision(revision_id: str, revisions: list[StoredWorkflow]) -> StoredWorkflow | None:
    """Return the revision with an id, if it is among these."""
    return next((each for each in revisions if each.revision_id == revision_id), None)


def author(environment: Any) -> str | None:
    """Return who changed an environment last: an address, a name, or at least the kind of the identity.

    Args:
        environment: The environment as received. Every part may be missing, or be something else.
    """
    identity = _part(environment, "last_updated_by")
    details = _part(identity, "details")
    found = (
        _part(_part(details, "email"), "primary"),
        _part(_part(details, "api_key"), "name"),
        _part(details, "user_id"),
        _part(identity, "type"),
    )
    return next((each for each in found if isinstance(each, str) and each), None)


def _part(value: Any, name: str) -> Any:
    return cast("Mapping[str, Any]", value).get(name) if isinstance(value, dict) else None
