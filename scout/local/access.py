"""Reports of the requests that the local Scout has answered."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Access:
    """One answered request, as passed to `on_access`.

    Attributes:
        method: The method, for example `POST`.
        path: The path as it was sent, percent-encoded and without the query.
        status: The status of the answer; `None` when the client had gone before there was one.
        seconds: The time up to the end of the answer.
    """

    method: str
    path: str
    status: int | None
    seconds: float
