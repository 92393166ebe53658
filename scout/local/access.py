"""What the local Scout tells about the requests it has answered."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Access:
    """One answered request, as told to `on_access`.

    Attributes:
        method: The method, for example `POST`.
        path: The path as it came over the wire, percent-encoded and without the query.
        status: The status of the answer; `None` when the client had gone before there was one.
        seconds: How long it took, up to the end of the answer.
    """

    method: str
    path: str
    status: int | None
    seconds: float
