"""The environments of stored workflows: what each of them runs, and what a change of one means for the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scout.cli._spelling import OneOf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scout import StoredWorkflow, WorkflowEnvironment, Workflows


def one_of_them() -> OneOf:
    """Return the `type` of an argument that names an environment which a revision can be set for."""
    from scout import Environment

    return OneOf(*(each for each in Environment if each is not Environment.CONSOLE))


@dataclass(frozen=True)
class Live:
    """What the environments of a stored workflow run.

    Attributes:
        newest: The newest revision that is deployed; `None` when it is not known.
        by_name: The environments, by name.
    """

    newest: str | None
    by_name: Mapping[str, WorkflowEnvironment]

    def changed_in(self, now: Live, *, only: str | None = None) -> str:
        """Return what is different now, as a part of a message; empty for nothing.

        Args:
            now: What the environments of the same workflow run now.
            only: The only environment that matters; `None` when all do.
        """
        for name in self.by_name.keys() | now.by_name.keys() if only is None else {only}:
            before, after = self.by_name.get(name), now.by_name.get(name)
            if after is None:
                return f"there is no {name}"
            if before is None or before.deployments != after.deployments:
                return f"{name} runs {now.text(name)}"
        return ""

    def revision_in(self, name: str) -> str | None:
        """Return the revision that an environment runs now; `None` when that is not one, or not known."""
        environment = self.by_name[name]
        follows = environment.follows_latest and len(environment.deployments) == 1
        return self.newest if follows else environment.revision_id

    def text(self, name: str) -> str:
        """Return what an environment runs, as a part of a message."""
        parts: list[str] = []
        for each in self.by_name[name].deployments:
            what = f"the newest revision, now {self.newest or 'unknown'}" if each.follows_latest else each.revision_id
            parts.append(f"{what or 'unknown'}{f' (traffic {each.traffic})' if self._is_shared(name) else ''}")
        return " and ".join(parts) or "nothing"

    def _is_shared(self, name: str) -> bool:
        return len(self.by_name[name].deployments) > 1

    def followers(self, name: str) -> list[str]:
        """Return the other environments that would run a new revision at once."""
        return [other for other, each in self.by_name.items() if other != name and each.follows_latest]

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
    found = {each.name: each for each in workflows.environments(stored.id, **options)}
    newest: str | None = stored.revision_id
    if stored.is_draft is True:
        newest = newest_of(workflows.revisions(stored.id, **options))
    return Live(newest, found)


def newest_of(revisions: list[StoredWorkflow]) -> str | None:
    """Return the newest revision that is not a draft. The order of the list is not documented, so the times decide."""
    deployed = [each for each in revisions if each.is_draft is not True]
    times = [each.last_updated_at for each in deployed]
    if not deployed or None in times:
        return None
    return max(deployed, key=lambda each: str(each.last_updated_at)).revision_id


def revision(revision_id: str, revisions: list[StoredWorkflow]) -> StoredWorkflow | None:
    """Return the revision with an id, if it is among these."""
    return next((each for each in revisions if each.revision_id == revision_id), None)
