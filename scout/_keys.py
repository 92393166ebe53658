"""Calls of stored workflows, which are found by their ids or by their keys. No I/O."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar, cast

from ._answers import Answer, not_found, read_page
from ._config import Config
from ._options import CALL_OPTIONS, CallOptions, RunOptions, apply_options
from ._plans import Plan, Prepared, Walk, done, reword, shown
from ._requests import Request, list_request
from .errors import APIError, APIStatusError, ConfigurationError, NotFoundError
from .results import StoredWorkflow, WorkflowPage

__all__ = ["Calls", "key_in", "no_workflow_with", "of_a_look_up", "only"]

HttpT = TypeVar("HttpT")
T = TypeVar("T")


class Calls(Generic[HttpT]):
    """The part of `scout.workflows` and `scout.runs` that needs no I/O.

    Args:
        http: Sends the calls.
        settings: A function that returns the settings of the client, or raises when the client is closed.
    """

    def __init__(self, http: HttpT, settings: Callable[[], Config]) -> None:
        self._http = http
        self._settings = settings

    def _call(
        self,
        make: Callable[..., Request],
        read: Callable[[Answer], Any],
        options: CallOptions,
        begun: float | None = None,
    ) -> Prepared:
        begun = time.monotonic() if begun is None else begun
        config, extra = apply_options(self._settings(), options, CALL_OPTIONS)
        return Prepared(make(**extra), config, read, begun)

    def _at(
        self,
        id: str,
        make: Callable[..., Request],
        read: Callable[[Answer], T],
        options: CallOptions,
        begun: float | None = None,
    ) -> Plan[T]:
        """Return the plan of a call whose request is made of the id of the workflow."""
        prepared = yield from self._to(
            id, options, lambda found: self._call(partial(make, found), read, options, begun)
        )
        result: T = yield prepared
        return result

    def _to(self, id: str, options: RunOptions | CallOptions, prepare: Callable[[str], Prepared]) -> Plan[Prepared]:
        """Return a plan whose result is the call for the workflow with an id, ready to be sent.

        It has calls only for `key:NAME`, where the workflow has to be found first. An invalid argument of the call
        raises here, before anything is sent.

        Args:
            id: The id, or `key:NAME`.
            options: The options of the call.
            prepare: A function that returns the call for an id.
        """
        prepared = prepare(id)
        return done(prepared) if key_in(id) is None else self._to_key(id, options, prepared, prepare)

    def _to_key(
        self,
        id: str,
        options: RunOptions | CallOptions,
        prepared: Prepared,
        prepare: Callable[[str], Prepared],
    ) -> Plan[Prepared]:
        found = yield from self._id_of(id, options, prepared.begun)
        return prepare(found)._replace(begun=prepared.begun)

    def _id_of(self, id: str, options: RunOptions | CallOptions, begun: float) -> Plan[str]:
        """Return the id of a workflow that was given by its id, or by `key:NAME`, which is searched."""
        key = key_in(id)
        if key is None:
            return id
        found = yield from self._search([key], of_a_look_up(options), begun, f"the workflow with the key {key!r}")
        if key not in found.workflows:
            raise no_workflow_with(key, found.keys)
        return only(key, found.workflows[key]).id

    def _walk(
        self, start_at: str | None, options: CallOptions, begun: float | None = None, **filters: Any
    ) -> Callable[[], Walk[WorkflowPage]]:
        def prepare(cursor: str | None) -> Prepared:
            return self._call(partial(list_request, start_at=cursor, **filters), read_page, options, begun)

        prepare(start_at)  # so that an invalid argument raises here, and not in the loop
        return lambda: Walk(prepare, start_at, "start_at")

    def _search(self, keys: list[str], options: CallOptions, begun: float, purpose: str) -> Plan[_Found]:
        """Find the workflows with some keys.

        The API has no call for this, so the lists are searched: first, for a few keys, the first pages of the server's
        search, which may or may not cover keys (not documented), then all workflows. No page is requested after the one
        that has the last of the keys.

        Args:
            keys: The keys, to the letter.
            options: The options of the requests.
            begun: The time when the call of the user began.
            purpose: The object of the search, for the message of an error.
        """
        found: dict[str, list[StoredWorkflow]] = {}
        seen: list[str] = []
        for query in (*(keys if len(keys) <= _FEW else ()), None):
            wanted = {query} if query is not None else set(keys)
            wanted -= found.keys()
            if not wanted:
                continue
            walk = self._walk(None, options, begun, query=query)()
            pages = itertools.count() if query is None else range(_PAGES)
            try:
                for _ in pages:
                    if not wanted or (prepared := walk.next()) is None:
                        break
                    page = walk.follow((yield prepared))
                    seen += (each.key for each in page.workflows if each.key is not None)
                    for each in page.workflows:
                        if each.key is not None and each.key in wanted:
                            found.setdefault(each.key, []).append(each)
                    wanted -= found.keys()
            except APIError as error:
                if query is not None and isinstance(error, APIStatusError) and error.status in _CANNOT_SEARCH:
                    continue  # a server that cannot search for this key
                walk.note_in(error)
                reword(error, f"{error.message}; this was to find {purpose}")
                raise
        return _Found(found, seen)


class _Found(NamedTuple):
    """The result of a search: the workflows by key, several where a page had several, and all keys on the way."""

    workflows: dict[str, list[StoredWorkflow]]
    keys: list[str]


_FEW = 5
"""The most keys that are searched one by one. For more, to go through all workflows once takes fewer requests."""

_PAGES = 3
"""The most pages of the results of one search. A server that ignores it would give all workflows, for each key."""

_CANNOT_SEARCH = (400, 414, 422, 431)  # 414 and 431: the key is too long for an address


def only(key: str, workflows: list[StoredWorkflow]) -> StoredWorkflow:
    """Return the workflow with a key.

    Raises:
        ConfigurationError: several have it.
    """
    if len(workflows) > 1:
        ids = ", ".join(shown(each.id) for each in workflows)
        raise ConfigurationError(f"{len(workflows)} workflows have the key {key!r}: {ids}; give the id of one of them")
    return workflows[0]


_KEY = "key:"
"""The beginning of `key:NAME`, which stands for the id of the workflow with the key NAME. No id begins with it."""

_OF_A_LOOK_UP = ("timeout", "deadline", "retries", "extra_headers")


def of_a_look_up(options: RunOptions | CallOptions) -> CallOptions:
    """Return the options of a call that apply to the reads before it as well."""
    return cast("CallOptions", {name: value for name, value in options.items() if name in _OF_A_LOOK_UP})


def key_in(id: object) -> str | None:
    """Return the key in `key:NAME`; `None` for an id.

    Raises:
        ConfigurationError: the key is empty.
    """
    if not isinstance(id, str) or not id.startswith(_KEY):
        return None
    if id == _KEY:
        raise ConfigurationError(f"id must have a key after {_KEY!r}, such as 'key:hello'")
    return id.removeprefix(_KEY)


def no_workflow_with(key: str, keys: list[str]) -> NotFoundError:
    from difflib import get_close_matches  # only after a mistake

    near = get_close_matches(key, keys, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return not_found(f"no workflow has the key {key!r}{hint}")
