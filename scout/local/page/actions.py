"""The actions of the page of a run: files to keep the run in, and the form to run it again. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import again
from .run_view import config_of
from .runs_view import address_of
from .saved_test import as_test
from .saving import as_cassette, as_curl, as_python, check_cassette

if TYPE_CHECKING:
    from collections.abc import Callable

    from scout.local.run_logs import LoggedRun
    from scout.local.traces import Trace

    from .app import PageData

_MOST_SHOWN = 64 * 1024  # bytes of a run whose files are shown on its page, which is made again and again


def actions(data: PageData, run: LoggedRun, base_url: str) -> dict[str, Any]:
    """Return the values for `_actions.html` and `_request.html`.

    Args:
        data: The history, and what to redact.
        run: The run.
        base_url: The URL of the server, as its user knows it.
    """
    trace = data.history.traces.of(run.run_id)
    is_small = run.size + (trace.request.size if trace else 0) <= _MOST_SHOWN
    files: dict[str, dict[str, Any]] = {}
    for form, make in _SHOWN.items():
        files[form] = view = {"address": f"{address_of(run)}/{form}", "text": None, "why_not": ""}
        if not is_small:
            continue
        try:
            _, content = make(data, run, base_url)
        except ValueError as error:
            view["why_not"] = str(error)
        else:
            view["text"] = content
    return {"again": again.form(data, run), "files": files}


def _curl(data: PageData, run: LoggedRun, base_url: str) -> tuple[str, str]:
    return f"{run.run_id}.sh", as_curl(_trace(data, run).request, base_url, secrets=data.secrets)


def _python(data: PageData, run: LoggedRun, base_url: str) -> tuple[str, str]:
    return f"{run.run_id}.py", as_python(_trace(data, run).request, base_url, secrets=data.secrets)


def _test(data: PageData, run: LoggedRun, base_url: str) -> tuple[str, str]:  # noqa: ARG001 - as the others
    config = config_of(data, run, data.history.traces.of(run.run_id))
    if config is None:
        raise ValueError("its workflow is not known any more")
    return as_test(run, config, secrets=data.secrets)


def _cassette(data: PageData, run: LoggedRun, base_url: str) -> tuple[str, bytes]:  # noqa: ARG001 - as the others
    return f"{run.run_id}.jsonl", as_cassette(_trace(data, run), secrets=data.secrets)


def _no_cassette(data: PageData, run: LoggedRun, base_url: str) -> tuple[str, None]:  # noqa: ARG001 - as the others
    check_cassette(_trace(data, run))
    return "", None


def _trace(data: PageData, run: LoggedRun) -> Trace:
    trace = data.history.traces.of(run.run_id)
    if trace is None:
        raise ValueError("its request is not kept any more")
    return trace


_TEXTS: dict[str, Callable[[PageData, LoggedRun, str], tuple[str, str]]] = {
    "curl": _curl,
    "python": _python,
    "test": _test,
}

FILES: dict[str, Callable[[PageData, LoggedRun, str], tuple[str, str | bytes]]] = {**_TEXTS, "cassette": _cassette}
"""The files by the last part of their addresses: functions that return the name and the content.

They raise a `ValueError` that says why a run has no such file.
"""

# A recording is not shown, so it is not made for the page of a run: that would import the client.
_SHOWN: dict[str, Callable[[PageData, LoggedRun, str], tuple[str, str | None]]] = {
    **_TEXTS,
    "cassette": _no_cassette,
}
