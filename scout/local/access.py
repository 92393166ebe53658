"""Reports of the requests to the local Scout."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Access:
    """Report of one request, as passed to `on_access`.

    Attributes:
        method: The method, for example `POST`.
        path: The path as it was sent, percent-encoded and without the query.
        status: The status of the response; `None` when the client disconnected before it.
        seconds: The time from the request to the end of the response, in seconds.
        errors: The errors of the run, each with its block and the reason, when the request ran a workflow that failed.
    """

    method: str
    path: str
    status: int | None
    seconds: float
    errors: tuple[str, ...] = ()
