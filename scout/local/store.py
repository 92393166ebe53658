"""Store of workflows, their revisions and environments in SQLite: in memory, or in a file that is kept."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from scout._json import is_same, parse_json, shorten, write_json
from scout.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

SORTS = ("created_at", "last_updated_at")
"""The fields to sort a list by. Each is unique for a workflow, so that it can be the cursor of a page."""

CONSOLE = "console"
"""The name by which the newest saved state of a workflow is run. It is not an environment of the workflow."""

_ENVIRONMENTS = {
    "development": "For work in progress",
    "staging": "For tests before production",
    "production": "For users",
}
_APPLICATION_ID = 0x53434F54  # identifies a file of this store: "SCOT"
_LONGEST_ECHO = 100
_LARGEST_PAGE = 16 * 1024 * 1024  # characters of its configs
_BUSY_SECONDS = 1.0  # wait for another program that writes to the file; it blocks all requests of this server
_TABLES_1 = """
CREATE TABLE workflows (
    workflow_id TEXT PRIMARY KEY,
    workflow_key TEXT UNIQUE,
    created_at TEXT NOT NULL UNIQUE,
    last_updated_at TEXT NOT NULL UNIQUE,
    newest TEXT NOT NULL,
    deployed TEXT NOT NULL,
    tags TEXT NOT NULL,
    words TEXT NOT NULL
) STRICT;
CREATE TABLE revisions (
    revision_id TEXT PRIMARY KEY,
    workflow_id TEXT NOT NULL REFERENCES workflows ON DELETE CASCADE,
    config TEXT NOT NULL
) STRICT;
CREATE INDEX revisions_of_workflow ON revisions (workflow_id);
"""
# `workflows.newest` is the newest saved state, and `workflows.deployed` the newest revision: a state that was deployed.
# `environments.pinned` is NULL when the environment follows the newest revision.
_TABLES_2 = """
ALTER TABLE revisions ADD COLUMN saved_at TEXT NOT NULL DEFAULT '';
ALTER TABLE revisions ADD COLUMN is_draft INTEGER NOT NULL DEFAULT FALSE;
ALTER TABLE revisions ADD COLUMN name TEXT;
ALTER TABLE revisions ADD COLUMN description TEXT;
CREATE TABLE environments (
    environment_id TEXT PRIMARY KEY,
    workflow_id TEXT NOT NULL REFERENCES workflows ON DELETE CASCADE,
    environment TEXT NOT NULL,
    purpose TEXT NOT NULL,
    made_at TEXT NOT NULL,
    changed_at TEXT NOT NULL,
    deployment_id TEXT NOT NULL,
    deployed_at TEXT NOT NULL,
    pinned TEXT,
    UNIQUE (workflow_id, environment)
) STRICT;
"""
_SELECT = """
SELECT workflows.workflow_id, workflow_key, created_at, saved_at, revision_id, is_draft, config FROM workflows
"""
_NEWEST = f"{_SELECT} JOIN revisions ON revision_id = newest"


class KeyTakenError(Exception):
    """Another workflow has the key."""


class NotThereError(Exception):
    """A workflow, a revision or an environment does not exist. The message is for the client."""


class InUseError(Exception):
    """A revision is needed, and cannot be deleted. The message is for the client."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A saved state of a workflow: a revision, or a draft.

    Attributes:
        workflow_id: The id of the workflow.
        workflow_key: The key of the workflow; `None` when it has none.
        created_at: The time when the workflow was created, as ISO 8601 in UTC.
        last_updated_at: The time when the state was saved, as ISO 8601 in UTC.
        revision_id: The id of the state.
        is_draft: True when the state was saved and never deployed.
        config: The config of the state, as JSON.
    """

    workflow_id: str
    workflow_key: str | None
    created_at: str
    last_updated_at: str
    revision_id: str
    is_draft: bool
    config: str


@dataclass(frozen=True, slots=True)
class SavedState:
    """A saved state of a workflow without its config.

    Attributes:
        revision_id: The id of the state.
        saved_at: The time when it was saved, as ISO 8601 in UTC; empty when it is not known.
        is_draft: True when the state was saved and never deployed.
        name: Its name, for people; `None` when it has none.
        description: Its description, for people; `None` when it has none.
    """

    revision_id: str
    saved_at: str
    is_draft: bool
    name: str | None
    description: str | None


@dataclass(frozen=True, slots=True)
class StoredEnvironment:
    """An environment of a workflow.

    Attributes:
        environment_id: The id of the environment.
        name: One of `development`, `staging` and `production`.
        description: Its purpose, for people.
        created_at: The time when it was made, as ISO 8601 in UTC.
        last_updated_at: The time when it was changed last, as ISO 8601 in UTC.
        deployment_id: The id of its deployment.
        deployed_at: The time when the deployment was made, as ISO 8601 in UTC.
        pinned: The id of the revision that it runs; `None` when it follows the newest revision.
    """

    environment_id: str
    name: str
    description: str
    created_at: str
    last_updated_at: str
    deployment_id: str
    deployed_at: str
    pinned: str | None


@dataclass(frozen=True, slots=True)
class ToRun:
    """A state of a workflow to run.

    Attributes:
        workflow_key: The key of the workflow; `None` when it has none.
        revision_id: The id of the state.
        config: The config of the state.
    """

    workflow_key: str | None
    revision_id: str
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters and the order of a list.

    Attributes:
        sort: One of `SORTS`.
        descending: True to begin with the newest.
        start_at: The value of the field `sort` at which to begin; `None` for the first page.
        words: Words that must all occur in the key, the name or the description.
        tags: Tags that a workflow must all have.
    """

    sort: str = "created_at"
    descending: bool = False
    start_at: str | None = None
    words: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class Store:
    """Stored workflows by id and by key. Threads may share it.

    Args:
        path: The path of the file; `None` keeps everything in memory.

    Raises:
        ConfigurationError: The file cannot be used.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._lock = threading.Lock()
        try:
            name = ":memory:" if path is None else os.fspath(path)
        except TypeError as error:
            raise ConfigurationError(f"store must be a path: {error}") from None
        if not name or "\0" in name:
            raise ConfigurationError("store must name a file; leave it out to keep workflows in memory.")
        self._name = name
        self._db: sqlite3.Connection = _open(name)
        self.is_kept: bool = path is not None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def fill(self, configs: Mapping[str, Mapping[str, Any]]) -> None:
        """Create revisions of configs under their keys. In memory, delete all other workflows.

        A config that is the newest revision already is not changed.

        Raises:
            ConfigurationError: The file cannot be used.
        """
        with _translated(self._name), self._writing() as db:
            if not self.is_kept:
                db.execute("DELETE FROM workflows")
            for key, config in configs.items():
                _put(db, key, config)

    def put(self, key: str, config: Mapping[str, Any]) -> str:
        """Make a config the newest revision of the workflow with a key, and return the id of the revision.

        A workflow that does not exist is created. A config that is the newest revision already is not changed.

        Raises:
            ConfigurationError: The file cannot be used.
        """
        with _translated(self._name), self._writing() as db:
            return _put(db, key, config)

    def create(self, config: Mapping[str, Any], key: str | None) -> Stored:
        """Add a workflow, whose environments all follow the newest revision.

        Raises:
            KeyTakenError: Another workflow has the key.
        """
        with self._writing() as db:
            if key is not None and db.execute("SELECT 1 FROM workflows WHERE workflow_key = ?", (key,)).fetchone():
                raise KeyTakenError(key)
            return _get(db, _create(db, config, key))

    def save(self, config: Mapping[str, Any], workflow_id: str, *, deploy: bool) -> Stored:
        """Save a config as the newest state of a workflow.

        Args:
            config: The config.
            workflow_id: The id of the workflow.
            deploy: True to make a revision, which every environment runs that follows the newest one; `False` to save a
                draft.

        Raises:
            NotThereError: The workflow does not exist.
        """
        with self._writing() as db:
            _check_workflow(db, workflow_id)
            _save(db, workflow_id, config, _now(db), deploy=deploy)
            return _get(db, workflow_id)

    def delete(self, workflow_id: str) -> None:
        """Delete a workflow, its revisions and its environments.

        Raises:
            NotThereError: The workflow does not exist.
        """
        with self._writing() as db:
            _check_workflow(db, workflow_id)
            db.execute("DELETE FROM workflows WHERE workflow_id = ?", (workflow_id,))

    def get(self, workflow_id: str) -> Stored:
        """Return the newest saved state of a workflow.

        Raises:
            NotThereError: The workflow does not exist.
        """
        with self._lock:
            return _get(self._db, workflow_id)

    def check(self, workflow_id: str) -> None:
        """Return if a workflow exists.

        Raises:
            NotThereError: The workflow does not exist.
        """
        with self._lock:
            _check_workflow(self._db, workflow_id)

    def ids(self) -> dict[str, str]:
        """Return the ids of the workflows by key. Raises as `fill`."""
        with _translated(self._name), self._lock:
            rows = self._db.execute(
                "SELECT workflow_key, workflow_id FROM workflows WHERE workflow_key IS NOT NULL ORDER BY created_at"
            )
            return dict(rows.fetchall())

    def id_of(self, key: str) -> str:
        """Return the id of the workflow with a key.

        Raises:
            NotThereError: It does not exist.
        """
        with self._lock:
            row = self._db.execute("SELECT workflow_id FROM workflows WHERE workflow_key = ?", (key,)).fetchone()
        if row is None:
            raise NotThereError(f"There is no workflow with the key {_quoted(key)}.")
        return cast("str", row[0])

    def to_run(self, workflow_id: str, revision_id: str | None, environment: str) -> ToRun:
        """Return the state of a workflow to run.

        Args:
            workflow_id: The id of the workflow.
            revision_id: The id of the state; `None` to decide by `environment`.
            environment: The name of an environment, or `CONSOLE`.

        Raises:
            NotThereError: The workflow or the revision does not exist.
        """
        newest = "newest" if environment == CONSOLE else "deployed"
        with self._lock:
            row = self._db.execute(
                f"SELECT workflow_key, revision_id, config FROM workflows"
                f" LEFT JOIN environments ON environments.workflow_id = workflows.workflow_id AND environment = ?"
                f" LEFT JOIN revisions ON revisions.workflow_id = workflows.workflow_id"
                f" AND revision_id = coalesce(?, pinned, {newest}) WHERE workflows.workflow_id = ?",
                (environment, revision_id, workflow_id),
            ).fetchone()
        if row is None:
            raise _no_workflow(workflow_id)
        key, found, config = row
        if found is None:
            raise _no_revision(revision_id or "")
        return ToRun(key, found, parse_json(config))

    def revisions(self, workflow_id: str) -> list[Stored]:
        """Return the revisions of a workflow, newest first, without drafts.

        Here `created_at` is the time when the revision was made: what it is for Scout is not documented, and without it
        nobody could tell which revision is the newest.

        Raises:
            NotThereError: The workflow does not exist.
        """
        with self._lock:
            _check_workflow(self._db, workflow_id)
            rows = self._db.execute(
                f"{_SELECT} JOIN revisions USING (workflow_id) WHERE workflow_id = ? AND NOT is_draft"
                " ORDER BY saved_at DESC, revisions.rowid DESC",  # of older versions not all times are known
                (workflow_id,),
            )
            return [replace(each, created_at=each.last_updated_at) for each in map(_stored, rows)]

    def states(self, workflow_id: str) -> list[SavedState]:
        """Return the revisions and the drafts of a workflow, newest first.

        Raises:
            NotThereError: The workflow does not exist.
        """
        with self._lock:
            _check_workflow(self._db, workflow_id)
            rows = self._db.execute(
                "SELECT revision_id, saved_at, is_draft, name, description FROM revisions WHERE workflow_id = ?"
                " ORDER BY saved_at DESC, rowid DESC",
                (workflow_id,),
            )
            return [SavedState(state, at, bool(is_draft), *names) for state, at, is_draft, *names in rows]

    def config_of(self, workflow_id: str, revision_id: str) -> Mapping[str, Any] | None:
        """Return the config of a state of a workflow; `None` when it was deleted."""
        with self._lock:
            row = self._db.execute(
                "SELECT config FROM revisions WHERE workflow_id = ? AND revision_id = ?", (workflow_id, revision_id)
            ).fetchone()
        return None if row is None else parse_json(row[0])

    def rename_revision(self, workflow_id: str, revision_id: str, name: str, description: str | None) -> Stored:
        """Set the name of a revision, and its description unless it is `None`.

        Raises:
            NotThereError: The workflow or the revision does not exist.
        """
        with self._writing() as db:
            revision = _revision(db, workflow_id, revision_id)
            db.execute(
                "UPDATE revisions SET name = ?, description = coalesce(?, description) WHERE revision_id = ?",
                (name, description, revision_id),
            )
            return revision

    def delete_revision(self, workflow_id: str, revision_id: str) -> None:
        """Delete a revision.

        Raises:
            NotThereError: The workflow or the revision does not exist.
            InUseError: It is the newest revision, or an environment runs it.
        """
        with self._writing() as db:
            _revision(db, workflow_id, revision_id)
            if db.execute("SELECT 1 FROM workflows WHERE deployed = ?", (revision_id,)).fetchone():
                raise InUseError("This is the newest revision of the workflow. Create another one first.")
            users = [each.name for each in _environments(db, workflow_id) if each.pinned == revision_id]
            if users:
                raise InUseError(f"This revision runs in {' and '.join(users)}. Let another one run there first.")
            db.execute("DELETE FROM revisions WHERE revision_id = ?", (revision_id,))

    def promote(self, workflow_id: str, revision_id: str) -> Stored:
        """Let a revision run in production.

        Raises:
            NotThereError: The workflow or the revision does not exist.
        """
        with self._writing() as db:
            revision = _revision(db, workflow_id, revision_id)
            (production,) = (each for each in _environments(db, workflow_id) if each.name == "production")
            _deploy(db, production, production.description, revision_id)
            return revision

    def environments(self, workflow_id: str) -> list[StoredEnvironment]:
        """Return the environments of a workflow.

        Raises:
            NotThereError: The workflow does not exist.
        """
        with self._lock:
            return _environments(self._db, workflow_id)

    def environment(self, workflow_id: str, environment_id: str) -> StoredEnvironment:
        """Return an environment of a workflow.

        Raises:
            NotThereError: The workflow or the environment does not exist.
        """
        with self._lock:
            return _environment(self._db, workflow_id, environment_id)

    def deploy(self, workflow_id: str, environment_id: str, description: str, revision_id: str | None) -> None:
        """Set the revision that an environment runs, and its description.

        Args:
            workflow_id: The id of the workflow.
            environment_id: The id of the environment.
            description: The purpose of the environment.
            revision_id: The id of the revision; `None` to follow the newest one.

        Raises:
            NotThereError: The workflow, the environment or the revision does not exist.
        """
        with self._writing() as db:
            environment = _environment(db, workflow_id, environment_id)
            if revision_id is not None:
                _revision(db, workflow_id, revision_id)
            _deploy(db, environment, description, revision_id)

    def page(self, filters: Filters, limit: int) -> tuple[list[Stored], str | None]:
        """Return a page of a list: at most `limit` workflows, and the `start_at` of the next page; `None` on the last.

        A page with large workflows is shorter, to limit its size in memory.
        """
        order, after = ("DESC", "<=") if filters.descending else ("ASC", ">=")
        wanted: list[tuple[str, str]] = []
        if filters.start_at is not None:
            wanted.append((f"{filters.sort} {after} ?", filters.start_at))
        wanted += (("instr(words, ?) > 0", word.casefold()) for word in filters.words)
        wanted += (("EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)", tag) for tag in filters.tags)
        where = f"WHERE {' AND '.join(condition for condition, _ in wanted)}" if wanted else ""
        values = [value for _, value in wanted]
        page: list[Stored] = []
        size = 0
        with self._lock:
            for row in self._db.execute(f"{_NEWEST} {where} ORDER BY {filters.sort} {order} LIMIT {limit + 1}", values):
                following = _stored(row)
                size += len(following.config)
                if len(page) == limit or (page and size > _LARGEST_PAGE):
                    return page, getattr(following, filters.sort)
                page.append(following)
        return page, None

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


@contextmanager
def _translated(name: str) -> Generator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise ConfigurationError(f"{name!r} cannot be used as a store: {error}") from None


def _open(name: str) -> sqlite3.Connection:
    with _translated(name):
        db = sqlite3.connect(name, timeout=_BUSY_SECONDS, check_same_thread=False, isolation_level=None)
        try:
            _prepare(db, name)
        except BaseException:
            db.close()
            raise
    return db


def _prepare(db: sqlite3.Connection, name: str) -> None:
    db.execute("PRAGMA foreign_keys = ON")
    version = _version(db, name)
    if version == 0:
        with suppress(sqlite3.OperationalError):  # another server has locked the new file, and does the same
            db.execute("PRAGMA journal_mode = WAL")  # readers do not block writers
    if version < len(_STEPS):
        db.execute("BEGIN IMMEDIATE")
        for step in _STEPS[_version(db, name) :]:  # again, because another server may have done it in the meantime
            step(db)
        db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {len(_STEPS)}")
        db.execute("COMMIT")


def _version(db: sqlite3.Connection, name: str) -> int:
    """Return the version of the tables in a file; 0 when it is empty.

    Raises:
        ConfigurationError: The file is of another program, or of a newer version.
    """
    if _is_empty(db):
        return 0
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION_ID:
        raise ConfigurationError(f"{name} is a database of another program, and no store of a local Scout.")
    if not 0 < version <= len(_STEPS):
        raise ConfigurationError(
            f"{name} was written by a newer version of the local Scout. Update this one, or move the file away."
        )
    return cast("int", version)


def _to_version_1(db: sqlite3.Connection) -> None:
    _run_script(db, _TABLES_1)


def _to_version_2(db: sqlite3.Connection) -> None:
    """Add environments, which all follow the newest revision, and the facts of revisions as far as they are known."""
    _run_script(db, _TABLES_2)
    workflows = db.execute("SELECT workflow_id, created_at, last_updated_at, newest, deployed FROM workflows")
    for workflow_id, created_at, last_updated_at, newest, deployed in workflows.fetchall():
        db.execute("UPDATE revisions SET saved_at = ? WHERE workflow_id = ?", (created_at, workflow_id))
        db.execute("UPDATE revisions SET saved_at = ? WHERE revision_id = ?", (last_updated_at, newest))
        db.execute(  # the states that were saved after the one that is deployed
            "UPDATE revisions SET is_draft = TRUE WHERE workflow_id = ?"
            " AND rowid > (SELECT rowid FROM revisions WHERE revision_id = ?)",
            (workflow_id, deployed),
        )
        _add_environments(db, workflow_id, created_at)


_STEPS = (_to_version_1, _to_version_2)
"""The functions that bring the tables of a file from each version to the next. The last is the version of this one."""


def _run_script(db: sqlite3.Connection, script: str) -> None:
    for statement in script.split(";"):  # executescript would commit first
        db.execute(statement)


def _is_empty(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT count(*) = 0 FROM sqlite_schema").fetchone()[0])


def _put(db: sqlite3.Connection, key: str, config: Mapping[str, Any]) -> str:
    row = db.execute(
        "SELECT workflow_id, revision_id, config FROM workflows JOIN revisions USING (workflow_id)"
        " WHERE workflow_key = ? AND revision_id = deployed",
        (key,),
    ).fetchone()
    if row is None:
        workflow_id = _create(db, config, key)
    elif is_same(parse_json(row[2]), config):
        return cast("str", row[1])
    else:
        workflow_id = row[0]
        _save(db, workflow_id, config, _now(db), deploy=True)
    return _get(db, workflow_id).revision_id


def _create(db: sqlite3.Connection, config: Mapping[str, Any], key: str | None) -> str:
    workflow_id, now = _new_id("wf"), _now(db)
    db.execute("INSERT INTO workflows VALUES (?, ?, ?, ?, '', '', '', '')", (workflow_id, key, now, now))
    _add_environments(db, workflow_id, now)
    _save(db, workflow_id, config, now, deploy=True)
    return workflow_id


def _add_environments(db: sqlite3.Connection, workflow_id: str, now: str) -> None:
    for name, description in _ENVIRONMENTS.items():
        row = (_new_id("env"), workflow_id, name, description, now, now, _new_id("dep"), now, None)
        db.execute(f"INSERT INTO environments VALUES ({', '.join('?' * len(row))})", row)


def _save(db: sqlite3.Connection, workflow_id: str, config: Mapping[str, Any], now: str, *, deploy: bool) -> None:
    revision_id = _new_id("rev")
    (key,) = db.execute("SELECT workflow_key FROM workflows WHERE workflow_id = ?", (workflow_id,)).fetchone()
    tags = json.dumps([tag for tag in config.get("tags") or () if isinstance(tag, str)])
    row = (revision_id, workflow_id, _config_text(config), now, not deploy)
    db.execute("INSERT INTO revisions VALUES (?, ?, ?, ?, ?, NULL, NULL)", row)
    db.execute(
        "UPDATE workflows SET last_updated_at = ?, newest = ?, tags = ?, words = ? WHERE workflow_id = ?",
        (now, revision_id, tags, _words(key, config), workflow_id),
    )
    if deploy:
        db.execute("UPDATE workflows SET deployed = newest WHERE workflow_id = ?", (workflow_id,))


def _config_text(config: Mapping[str, Any]) -> str:
    return write_json(config, compact=True, strict=True)


def _check_workflow(db: sqlite3.Connection, workflow_id: str) -> None:
    if db.execute("SELECT 1 FROM workflows WHERE workflow_id = ?", (workflow_id,)).fetchone() is None:
        raise _no_workflow(workflow_id)


def _get(db: sqlite3.Connection, workflow_id: str) -> Stored:
    row = db.execute(f"{_NEWEST} WHERE workflows.workflow_id = ?", (workflow_id,)).fetchone()
    if row is None:
        raise _no_workflow(workflow_id)
    return _stored(row)


def _revision(db: sqlite3.Connection, workflow_id: str, revision_id: str) -> Stored:
    """Return a revision of a workflow.

    Raises:
        NotThereError: The workflow or the revision does not exist, or it is a draft.
    """
    _check_workflow(db, workflow_id)
    row = db.execute(
        f"{_SELECT} JOIN revisions USING (workflow_id) WHERE workflow_id = ? AND revision_id = ?",
        (workflow_id, revision_id),
    ).fetchone()
    if row is None:
        raise _no_revision(revision_id)
    found = _stored(row)
    if found.is_draft:
        raise NotThereError(f"{_quoted(revision_id)} is a draft. Create a revision with its config first.")
    return found


def _environments(db: sqlite3.Connection, workflow_id: str) -> list[StoredEnvironment]:
    _check_workflow(db, workflow_id)
    rows = db.execute(
        "SELECT environment_id, environment, purpose, made_at, changed_at, deployment_id, deployed_at, pinned"
        " FROM environments WHERE workflow_id = ? ORDER BY rowid",
        (workflow_id,),
    )
    return [StoredEnvironment(*row) for row in rows]


def _environment(db: sqlite3.Connection, workflow_id: str, environment_id: str) -> StoredEnvironment:
    for environment in _environments(db, workflow_id):
        if environment.environment_id == environment_id:
            return environment
    raise NotThereError(f"The workflow has no environment with the id {_quoted(environment_id)}.")


def _deploy(db: sqlite3.Connection, environment: StoredEnvironment, description: str, revision_id: str | None) -> None:
    now = _now(db)
    db.execute(
        "UPDATE environments SET purpose = ?, changed_at = ?, deployment_id = ?, deployed_at = ?, pinned = ?"
        " WHERE environment_id = ?",
        (description, now, _new_id("dep"), now, revision_id, environment.environment_id),
    )


def _no_revision(revision_id: str) -> NotThereError:
    return NotThereError(f"The workflow has no revision {_quoted(revision_id)}.")


def _no_workflow(workflow_id: str) -> NotThereError:
    return NotThereError(f"There is no workflow with the id {_quoted(workflow_id)}.")


def _stored(row: tuple[Any, ...]) -> Stored:
    workflow_id, key, created_at, last_updated_at, revision_id, is_draft, config = row
    return Stored(workflow_id, key, created_at, last_updated_at, revision_id, bool(is_draft), config)


def _new_id(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex}"


def _now(db: sqlite3.Connection) -> str:
    """Return the current time, or a later one: it must be later than all stored times, which are cursors of pages."""
    (last,) = db.execute("SELECT max(last_updated_at) FROM workflows").fetchone()
    now = datetime.now(UTC)
    if last is not None:
        now = max(now, datetime.fromisoformat(last) + timedelta(microseconds=1))
    return as_time(now)


def as_time(moment: datetime) -> str:
    """Return a time as ISO 8601 in UTC, always of the same length, so that times can be compared as text."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _words(key: str | None, config: Mapping[str, Any]) -> str:
    texts = (key, config.get("workflow_display_name"), config.get("workflow_description"))
    return "\n".join(text for text in texts if text).casefold()


def _quoted(text: str) -> str:
    return f'"{shorten(text, _LONGEST_ECHO)}"'
