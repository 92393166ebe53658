"""Plans of several calls, and lists that come in pages. All decisions are made without I/O, for both clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

from ._answers import Answer
from ._config import Config
from ._http import AsyncHttp, Http
from ._json import json_fault, shorten
from ._requests import Request
from .errors import APIError, APIResponseError, ScoutError

__all__ = [
    "AsyncPagedList",
    "PagedList",
    "Plan",
    "Prepared",
    "Walk",
    "carry_out",
    "carry_out_async",
    "done",
    "reword",
    "shown",
]


class Prepared(NamedTuple):
    """One call that is ready to send: the arguments of `Http.call`."""

    request: Request
    config: Config
    read: Callable[[Answer], Any]
    begun: float


T = TypeVar("T")

Plan = Generator[Prepared | float, Any, T]
"""A plan of several calls: yields one call after the other, or seconds to wait. `carry_out` sends each call, and sends
its result back in, or throws what it raised, whoever that is from."""


def done(result: T) -> Plan[T]:
    """Return a plan without calls."""
    return result
    yield


def carry_out(http: Http, plan: Plan[T]) -> T:
    """Send the calls of a plan, and return its result. Raises what the plan raises."""
    result: Any = None
    failure: BaseException | None = None
    while True:
        # Outside of the handler, so that another error of the plan does not get this one as its context.
        try:
            step = plan.send(result) if failure is None else plan.throw(failure)
        except StopIteration as end:
            value: T = end.value
            return value
        result = failure = None
        try:
            if isinstance(step, Prepared):
                result = http.call(*step)
            else:
                http.wait(step)
        except BaseException as error:  # noqa: BLE001 - the plan raises it again
            failure = error


async def carry_out_async(http: AsyncHttp, plan: Plan[T]) -> T:
    """Send the calls of a plan, and return its result. As `carry_out`."""
    result: Any = None
    failure: BaseException | None = None
    while True:
        # As in carry_out.
        try:
            step = plan.send(result) if failure is None else plan.throw(failure)
        except StopIteration as end:
            value: T = end.value
            return value
        result = failure = None
        try:
            if isinstance(step, Prepared):
                result = await http.call(*step)
            else:
                await http.wait(step)
        except BaseException as error:  # noqa: BLE001 - as in carry_out
            failure = error


# --- Pages --------------------------------------------------------------------------------------------------------


class Page(Protocol):
    """One page of a list. `raw` holds `next_cursor` and `has_more`, as the server sent them."""

    @property
    def raw(self) -> Any:
        """The parsed part of the answer that says what follows."""
        ...


PageT = TypeVar("PageT", bound=Page)
ItemT = TypeVar("ItemT")


class Walk(Generic[PageT]):
    """The position in the pages of a list. No I/O.

    Args:
        prepare: A function that returns the call for the page that begins at a cursor.
        cursor: Where the first page begins; `None` for the beginning of the list.
        parameter: The name of the query parameter with the cursor, for messages.
    """

    def __init__(self, prepare: Callable[[str | None], Prepared], cursor: str | None, parameter: str) -> None:
        self._prepare = prepare
        self._cursor = cursor
        self._parameter = parameter
        self._number = 1
        self._seen = {cursor}
        self._is_over = False
        self._problem: str | None = None

    def next(self) -> Prepared | None:
        """Return the call for the next page; `None` after the last.

        Raises:
            APIResponseError: the cursor of the page before is invalid.
        """
        if self._problem is not None:
            raise self._failure(self._problem)
        return None if self._is_over else self._prepare(self._cursor)

    def follow(self, page: PageT) -> PageT:
        """Follow the cursor of a page. A bad one raises on the next request, so that this page is still delivered."""
        cursor: Any = page.raw.get("next_cursor") or None  # from a server, so it may be anything
        has_more = page.raw.get("has_more")
        if has_more is False or (cursor is None and has_more is not True):
            self._is_over = True
        elif cursor is None:
            self._problem = "says that more follow (has_more), and not where (next_cursor)"
        elif not isinstance(cursor, str) or json_fault(cursor):
            self._problem = f"has a next_cursor that is no text, {shown(cursor)}"
        elif cursor in self._seen:
            self._problem = f"leads back to {shown(cursor)} (next_cursor), so that the list would never end"
        else:
            self._seen.add(cursor)
            self._cursor = cursor
            self._number += 1
        return page

    def note_in(self, error: APIError) -> None:
        """Add the number of the page to the error of its request."""
        if not error.message.startswith(self._name()):
            reword(error, f"{self._name()}: {error.message}")

    def _name(self) -> str:
        where = f" ({self._parameter}={shown(self._cursor)})" if self._cursor is not None else ""
        return f"page {self._number} of the list{where}"

    def _failure(self, what: str) -> APIResponseError:
        error = APIResponseError(f"{self._name()} {what}", status=200, body=b"")
        error.run_may_have_started = False
        return error


def shown(value: object) -> str:
    """Return a value of the server for a message, cut to a length that can be read."""
    return shorten(repr(value), _LONGEST_SHOWN)


_LONGEST_SHOWN = 300


def reword(error: ScoutError, message: str) -> None:
    """Replace the message of an error."""
    error.message = message
    error.args = (message, *error.args[1:])


class PagedList(Generic[PageT, ItemT]):
    """Iterator over the items of a list. Each page is requested when it is needed."""

    def __init__(self, http: Http, start: Callable[[], Plan[Walk[PageT]]]) -> None:
        self._http = http
        self._start = start
        self._pages = self.pages()
        self._items: Iterator[ItemT] = iter(())

    def _items_of(self, page: PageT) -> Iterable[ItemT]:
        raise NotImplementedError

    def pages(self) -> Iterator[PageT]:
        """Return an iterator over the pages, from the first. Raises as the iteration over items."""
        return _Pages(self._http, self._start)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ItemT:
        while True:
            for item in self._items:
                return item
            self._items = iter(self._items_of(next(self._pages)))


class _Pages(Generic[PageT]):
    def __init__(self, http: Http, start: Callable[[], Plan[Walk[PageT]]]) -> None:
        self._http = http
        self._start = start
        self._walk: Walk[PageT] | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> PageT:
        if self._walk is None:
            self._walk = carry_out(self._http, self._start())
        walk = self._walk
        prepared = walk.next()
        if prepared is None:
            raise StopIteration
        try:
            page: PageT = self._http.call(*prepared)
        except APIError as error:
            walk.note_in(error)
            raise
        return walk.follow(page)


class AsyncPagedList(Generic[PageT, ItemT]):
    """Asynchronous iterator over the items of a list. As `PagedList`."""

    def __init__(self, http: AsyncHttp, start: Callable[[], Plan[Walk[PageT]]]) -> None:
        self._http = http
        self._start = start
        self._pages = self.pages()
        self._items: Iterator[ItemT] = iter(())

    def _items_of(self, page: PageT) -> Iterable[ItemT]:
        raise NotImplementedError

    def pages(self) -> AsyncIterator[PageT]:
        """Return an asynchronous iterator over the pages, from the first. As `PagedList.pages`."""
        return _AsyncPages(self._http, self._start)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ItemT:
        while True:
            for item in self._items:
                return item
            self._items = iter(self._items_of(await anext(self._pages)))


class _AsyncPages(Generic[PageT]):
    def __init__(self, http: AsyncHttp, start: Callable[[], Plan[Walk[PageT]]]) -> None:
        self._http = http
        self._start = start
        self._walk: Walk[PageT] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> PageT:
        if self._walk is None:
            self._walk = await carry_out_async(self._http, self._start())
        walk = self._walk
        prepared = walk.next()
        if prepared is None:
            raise StopAsyncIteration
        try:
            page: PageT = await self._http.call(*prepared)
        except APIError as error:
            walk.note_in(error)
            raise
        return walk.follow(page)
