"""Stored workflows and their revisions, in SQLite: in memory, or in a file that outlives the server."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from scout.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

SORTS = ("created_at", "last_updated_at")
"""What a list can be sorted by. Each is different for any two workflows, so that it can tell where a page begins."""

_APPLICATION_ID = 0x53434F54  # marks a file of ours: "SCOT"
_VERSION = 1
_LONGEST_ECHO = 100
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
    """There is a workflow with this key already."""


class NotThereError(Exception):
    """There is no such workflow, or revision; says which."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The newest saved state of a workflow.

    Attributes:
        workflow_id: Its id.
        workflow_key: Its key, if it has one.
        created_at: When it was made, as ISO 8601 in UTC.
        last_updated_at: When its newest state was saved.
        revision_id: The id of that state.
        is_draft: Whether that state is saved and not deployed.
        config: The config of that state.
    """

    workflow_id: str
    workflow_key: str | None
    created_at: str
    last_updated_at: str
    revision_id: str
    is_draft: bool
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Filters:
    """Which workflows a list has, and in which order.

    Attributes:
        sort: One of `SORTS`.
        descending: Newest first.
        start_at: The time, of those that it is sorted by, at which it begins.
        words: Words that all must be in the key, the name or the description.
        tags: Tags that a workflow must all have.
    """

    sort: str = "created_at"
    descending: bool = False
    start_at: str | None = None
    words: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class Store:
    """Workflows by id and by key. May be used by several threads.

    Args:
        path: The file; `None` keeps all in memory.

    Raises:
        ConfigurationError: The file cannot be used.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._lock = threading.Lock()
        name = ":memory:" if path is None else os.fspath(path)
        db = None
        try:
            db = sqlite3.connect(name, check_same_thread=False, isolation_level=None)
            _prepare(db, name)
        except sqlite3.Error as error:
            if db is not None:
                db.close()
            raise ConfigurationError(f"{name} cannot be used as a store: {error}") from None
        self._db = db

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def clear(self) -> None:
        """Forget all workflows."""
        with self._writing() as db:
            db.execute("DELETE FROM workflows")

    def create(self, config: Mapping[str, Any], key: str | None) -> Stored:
        """Add a workflow, deployed everywhere.

        Raises:
            KeyTakenError: There is one with this key.
        """
        with self._writing() as db:
            if key is not None and db.execute("SELECT 1 FROM workflows WHERE workflow_key = ?", (key,)).fetchone():
                raise KeyTakenError(key)
            workflow_id = _new_id("wf")
            now = _now(db)
            db.execute("INSERT INTO workflows VALUES (?, ?, ?, ?, '', '', '', '')", (workflow_id, key, now, now))
            _save(db, workflow_id, config, now, deploy=True)
            return _get(db, workflow_id)

    def save(self, config: Mapping[str, Any], workflow_id: str, *, deploy: bool) -> Stored:
        """Save a config as the newest state of a workflow.

        Args:
            config: The config.
            workflow_id: The workflow.
            deploy: Whether it is deployed everywhere as well, or a draft.

        Raises:
            NotThereError: There is no such workflow.
        """
        with self._writing() as db:
            _get(db, workflow_id)
            _save(db, workflow_id, config, _now(db), deploy=deploy)
            return _get(db, workflow_id)

    def delete(self, workflow_id: str) -> None:
        """Forget a workflow and its revisions.

        Raises:
            NotThereError: There is no such workflow.
        """
        with self._writing() as db:
            _get(db, workflow_id)
            db.execute("DELETE FROM workflows WHERE workflow_id = ?", (workflow_id,))

    def get(self, workflow_id: str) -> Stored:
        """The newest saved state of a workflow.

        Raises:
            NotThereError: There is no such workflow.
        """
        with self._lock:
            return _get(self._db, workflow_id)

    def deploy(self, key: str, config: Mapping[str, Any]) -> None:
        """Make sure that a config is deployed under a key: a new workflow, a new revision, or nothing if it is."""
        try:
            workflow_id = self.id_of(key)
        except NotThereError:
            self.create(config, key)
            return
        if json.dumps(self.config(workflow_id, None, deployed=True)) != json.dumps(config):
            self.save(config, workflow_id, deploy=True)

    def ids(self) -> dict[str, str]:
        """Key -> id, of the workflows that have a key."""
        with self._lock:
            rows = self._db.execute(
                "SELECT workflow_key, workflow_id FROM workflows WHERE workflow_key IS NOT NULL ORDER BY created_at"
            )
            return dict(rows.fetchall())

    def id_of(self, key: str) -> str:
        """The id of the workflow with this key.

        Raises:
            NotThereError: There is none.
        """
        with self._lock:
            row = self._db.execute("SELECT workflow_id FROM workflows WHERE workflow_key = ?", (key,)).fetchone()
        if row is None:
            raise NotThereError(f"There is no workflow with the key {_quoted(key)}.")
        return cast("str", row[0])

    def config(self, workflow_id: str, revision_id: str | None, *, deployed: bool) -> Mapping[str, Any]:
        """A config of a workflow.

        Args:
            workflow_id: The workflow.
            revision_id: The revision; without one, `deployed` tells.
            deployed: The one that is deployed, or the newest that is saved.

        Raises:
            NotThereError: There is no such workflow, or it has no such revision.
        """
        with self._lock:
            stored = _get(self._db, workflow_id)
            wanted = revision_id or (_deployed(self._db, workflow_id) if deployed else stored.revision_id)
            row = self._db.execute(
                "SELECT config FROM revisions WHERE revision_id = ? AND workflow_id = ?", (wanted, workflow_id)
            ).fetchone()
        if row is None:
            raise NotThereError(f"The workflow has no revision {_quoted(wanted)}.")
        return cast("Mapping[str, Any]", json.loads(row[0]))

    def page(self, filters: Filters, limit: int) -> tuple[list[Stored], str | None]:
        """A page of a list: at most `limit` workflows, and where the next page begins, if there is one."""
        order, after = ("DESC", "<=") if filters.descending else ("ASC", ">=")
        wanted: list[tuple[str, str]] = []
        if filters.start_at is not None:
            wanted.append((f"{filters.sort} {after} ?", filters.start_at))
        wanted += (("instr(words, ?) > 0", word.casefold()) for word in filters.words)
        wanted += (("EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)", tag) for tag in filters.tags)
        where = f"WHERE {' AND '.join(condition for condition, _ in wanted)}" if wanted else ""
        values = [value for _, value in wanted]
        with self._lock:
            rows = self._db.execute(
                f"{_SELECT} {where} ORDER BY {filters.sort} {order} LIMIT {limit + 1}", values
            ).fetchall()
        page = [_stored(row) for row in rows]
        rest = page[limit:]
        return page[:limit], getattr(rest[0], filters.sort) if rest else None

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


def _prepare(db: sqlite3.Connection, name: str) -> None:
    db.execute("PRAGMA foreign_keys = ON")
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables == 0:
        marks = f"PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {_VERSION};"
        db.executescript(f"BEGIN IMMEDIATE; {_TABLES} {marks} COMMIT")
    elif application != _APPLICATION_ID:
        raise ConfigurationError(f"{name} is a database of another program, and no store of a local Scout.")
    elif version != _VERSION:
        raise ConfigurationError(
            f"{name} was written by another version of the local Scout. Move it away to begin anew."
        )


def _save(db: sqlite3.Connection, workflow_id: str, config: Mapping[str, Any], now: str, *, deploy: bool) -> None:
    revision_id = _new_id("rev")
    text = json.dumps(config, ensure_ascii=False, allow_nan=False)
    (key,) = db.execute("SELECT workflow_key FROM workflows WHERE workflow_id = ?", (workflow_id,)).fetchone()
    tags = json.dumps([tag for tag in config.get("tags") or () if isinstance(tag, str)])
    db.execute("INSERT INTO revisions VALUES (?, ?, ?)", (revision_id, workflow_id, text))
    db.execute(
        "UPDATE workflows SET last_updated_at = ?, newest = ?, tags = ?, words = ? WHERE workflow_id = ?",
        (now, revision_id, tags, _words(key, config), workflow_id),
    )
    if deploy:
        db.execute("UPDATE workflows SET deployed = newest WHERE workflow_id = ?", (workflow_id,))


def _deployed(db: sqlite3.Connection, workflow_id: str) -> str:
    (revision_id,) = db.execute("SELECT deployed FROM workflows WHERE workflow_id = ?", (workflow_id,)).fetchone()
    return cast("str", revision_id)


def _get(db: sqlite3.Connection, workflow_id: str) -> Stored:
    row = db.execute(f"{_SELECT} WHERE workflows.workflow_id = ?", (workflow_id,)).fetchone()
    if row is None:
        raise NotThereError(f"There is no workflow with the id {_quoted(workflow_id)}.")
    return _stored(row)


def _stored(row: tuple[Any, ...]) -> Stored:
    workflow_id, key, created_at, last_updated_at, revision_id, is_draft, config = row
    return Stored(workflow_id, key, created_at, last_updated_at, revision_id, bool(is_draft), json.loads(config))


def _new_id(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex}"


def _now(db: sqlite3.Connection) -> str:
    """The time, but later than any that is stored: times tell workflows apart, and a list where its page begins."""
    (last,) = db.execute("SELECT max(last_updated_at) FROM workflows").fetchone()
    now = datetime.now(UTC)
    if last is not None:
        now = max(now, datetime.fromisoformat(last) + timedelta(microseconds=1))
    return as_time(now)


def as_time(moment: datetime) -> str:
    """In UTC and always of the same length, so that times can be compared as texts."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _words(key: str | None, config: Mapping[str, Any]) -> str:
    texts = (key, config.get("workflow_display_name"), config.get("workflow_description"))
    return "\n".join(text for text in texts if text).casefold()


def _quoted(text: str) -> str:
    shown = text if len(text) <= _LONGEST_ECHO else f"{text[:_LONGEST_ECHO]}..."
    return f'"{shown}"'
