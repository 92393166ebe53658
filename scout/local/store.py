"""Store of workflows and their revisions in SQLite: in memory, or in a file that is kept."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from scout._json import parse_json, shorten, write_json
from scout.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

SORTS = ("created_at", "last_updated_at")
"""The fields to sort a list by. Each is unique for a workflow, so that it can be the cursor of a page."""

_APPLICATION_ID = 0x53434F54  # identifies a file of this store: "SCOT"
_VERSION = 1
_LONGEST_ECHO = 100
_LARGEST_PAGE = 16 * 1024 * 1024  # characters of its configs
_BUSY_SECONDS = 1.0  # wait for another program that writes to the file; it blocks all requests of this server
_TABLES = """
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
_SELECT = """
SELECT workflows.workflow_id, workflow_key, created_at, last_updated_at, newest, newest <> deployed, config
FROM workflows JOIN revisions ON revision_id = newest
"""


class KeyTakenError(Exception):
    """Another workflow has the key."""


class NotThereError(Exception):
    """A workflow or a revision does not exist. The message is for the client."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The newest saved state of a workflow.

    Attributes:
        workflow_id: The id of the workflow.
        workflow_key: The key of the workflow; `None` when it has none.
        created_at: The time when the workflow was created, as ISO 8601 in UTC.
        last_updated_at: The time when the state was saved, as ISO 8601 in UTC.
        revision_id: The id of the state.
        is_draft: True when the state is not deployed.
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
        """Deploy configs under their keys. In memory, delete all other workflows.

        A config that is deployed already is not changed.

        Raises:
            ConfigurationError: The file cannot be used.
        """
        with _translated(self._name), self._writing() as db:
            if not self.is_kept:
                db.execute("DELETE FROM workflows")
            for key, config in configs.items():
                row = db.execute(
                    "SELECT workflow_id, config FROM workflows JOIN revisions USING (workflow_id)"
                    " WHERE workflow_key = ? AND revision_id = deployed",
                    (key,),
                ).fetchone()
                if row is None:
                    _create(db, config, key)
                elif parse_json(row[1]) != config:
                    _save(db, row[0], config, _now(db), deploy=True)

    def create(self, config: Mapping[str, Any], key: str | None) -> Stored:
        """Add a workflow, deployed to all environments.

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
            deploy: True to deploy it to all environments; `False` to save a draft.

        Raises:
            NotThereError: The workflow does not exist.
        """
        with self._writing() as db:
            _get(db, workflow_id)
            _save(db, workflow_id, config, _now(db), deploy=deploy)
            return _get(db, workflow_id)

    def delete(self, workflow_id: str) -> None:
        """Delete a workflow and its revisions.

        Raises:
            NotThereError: The workflow does not exist.
        """
        with self._writing() as db:
            _get(db, workflow_id)
            db.execute("DELETE FROM workflows WHERE workflow_id = ?", (workflow_id,))

    def get(self, workflow_id: str) -> Stored:
        """Return the newest saved state of a workflow.

        Raises:
            NotThereError: The workflow does not exist.
        """
        with self._lock:
            return _get(self._db, workflow_id)

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

    def to_run(
        self, workflow_id: str, revision_id: str | None, *, deployed: bool
    ) -> tuple[str | None, Mapping[str, Any]]:
        """Return the key of a workflow, and the config to run.

        Args:
            workflow_id: The id of the workflow.
            revision_id: The id of the revision; `None` to decide by `deployed`.
            deployed: True for the deployed revision; `False` for the newest saved one.

        Raises:
            NotThereError: The workflow or the revision does not exist.
        """
        wanted = "deployed" if deployed else "newest"
        with self._lock:
            row = self._db.execute(
                f"SELECT workflow_key, config FROM workflows LEFT JOIN revisions"
                f" ON revisions.workflow_id = workflows.workflow_id AND revision_id = coalesce(?, {wanted})"
                f" WHERE workflows.workflow_id = ?",
                (revision_id, workflow_id),
            ).fetchone()
        if row is None:
            raise _no_workflow(workflow_id)
        key, config = row
        if config is None:
            raise NotThereError(f"The workflow has no revision {_quoted(revision_id or '')}.")
        return key, parse_json(config)

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
            for row in self._db.execute(f"{_SELECT} {where} ORDER BY {filters.sort} {order} LIMIT {limit + 1}", values):
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
    if _is_empty(db):
        with suppress(sqlite3.OperationalError):  # another server has locked the new file, and does the same
            db.execute("PRAGMA journal_mode = WAL")  # readers do not block writers
        db.execute("BEGIN IMMEDIATE")
        if _is_empty(db):  # again, because another server may have filled it in the meantime
            marks = f"PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {_VERSION};"
            for statement in f"{_TABLES} {marks}".split(";"):  # executescript would commit first
                db.execute(statement)
        db.execute("COMMIT")
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION_ID:
        raise ConfigurationError(f"{name} is a database of another program, and no store of a local Scout.")
    if version != _VERSION:
        raise ConfigurationError(
            f"{name} was written by another version of the local Scout. Move it away to begin anew."
        )


def _is_empty(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT count(*) = 0 FROM sqlite_schema").fetchone()[0])


def _create(db: sqlite3.Connection, config: Mapping[str, Any], key: str | None) -> str:
    workflow_id, now = _new_id("wf"), _now(db)
    db.execute("INSERT INTO workflows VALUES (?, ?, ?, ?, '', '', '', '')", (workflow_id, key, now, now))
    _save(db, workflow_id, config, now, deploy=True)
    return workflow_id


def _save(db: sqlite3.Connection, workflow_id: str, config: Mapping[str, Any], now: str, *, deploy: bool) -> None:
    revision_id = _new_id("rev")
    (key,) = db.execute("SELECT workflow_key FROM workflows WHERE workflow_id = ?", (workflow_id,)).fetchone()
    tags = json.dumps([tag for tag in config.get("tags") or () if isinstance(tag, str)])
    db.execute("INSERT INTO revisions VALUES (?, ?, ?)", (revision_id, workflow_id, _config_text(config)))
    db.execute(
        "UPDATE workflows SET last_updated_at = ?, newest = ?, tags = ?, words = ? WHERE workflow_id = ?",
        (now, revision_id, tags, _words(key, config), workflow_id),
    )
    if deploy:
        db.execute("UPDATE workflows SET deployed = newest WHERE workflow_id = ?", (workflow_id,))


def _config_text(config: Mapping[str, Any]) -> str:
    return write_json(config, compact=True, strict=True)


def _get(db: sqlite3.Connection, workflow_id: str) -> Stored:
    row = db.execute(f"{_SELECT} WHERE workflows.workflow_id = ?", (workflow_id,)).fetchone()
    if row is None:
        raise _no_workflow(workflow_id)
    return _stored(row)


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
