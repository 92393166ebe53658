"""The ASGI application of the page: what it answers, and to whom."""

from __future__ import annotations

import hmac
import re
import secrets as random
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from scout._documents import parse_json_text
from scout._json import is_dict, parse_json
from scout.errors import ConfigurationError, WorkflowFileError
from scout.local.middleware import MOST_BODY
from scout.local.store import NotThereError
from scout.local.workers import call_in_thread

from . import again, faults_view, live, refusals_view, run_view, runs_view, workflows_view
from .actions import FILES, actions
from .rendering import POLICY, Rendering

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from scout.local.faults import Faults
    from scout.local.history import History
    from scout.local.run_logs import LoggedRun
    from scout.local.store import Store
    from scout.local.stubs import Stubs

_STATIC = Path(__file__).with_name("static")
_HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",  # with `no-referrer`, browsers send the forms of the page with the Origin `null`
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",  # for browsers that do not know `frame-ancestors`
    "cache-control": "no-store",
}
_MOST_FIELDS = 100  # a form has a tenth of these; to read millions of empty ones would take seconds


@dataclass(frozen=True, slots=True)
class PageData:
    """The data that the page shows, and its guards.

    Attributes:
        store: The stored workflows.
        history: The requests and runs.
        faults: The faults in force.
        stubs: The stubs in force.
        api_key: The key that the page asks for; `None` when it is open to everybody on this machine.
        secrets: Texts to redact.
        token: What a form has to send along. Another page cannot read it, so it cannot change anything. It is not in a
            cookie, because a browser sends cookies to every port of a host.
    """

    store: Store
    history: History
    faults: Faults
    stubs: Stubs
    api_key: str | None
    secrets: Sequence[str]
    token: str = field(default_factory=partial(random.token_urlsafe, 32), repr=False)


def build_page(data: PageData, api: ASGIApp) -> Guard:
    """Return the ASGI application.

    Args:
        data: What the page shows.
        api: The application of the API, which runs workflows.
    """
    page = _Page(data, api)
    app = Starlette(
        routes=[
            Route("/", page.runs),
            Route("/page/live", page.live),
            Route("/page/runs/{run_id}", page.run),
            Route("/page/runs/{run_id}/live", page.live_run),
            Route("/page/runs/{run_id}/again", page.again, methods=["GET", "POST"]),
            *(Route(f"/page/runs/{{run_id}}/{form}", page.file) for form in FILES),
            Route("/page/workflows", page.workflows),
            Route("/page/workflows/{workflow_id}", page.workflow),
            Route("/page/requests", page.requests),
            Route("/page/requests/{number}", page.request),
            Route("/page/requests/{number}/body", page.text(refusals_view.body_text)),
            Route("/page/requests/{number}/answer", page.text(refusals_view.answer_text)),
            Route("/page/faults", page.faults, methods=["GET", "POST"]),
            Route("/page/faults/withdraw", page.withdraw_faults, methods=["POST"]),
            Route("/page/runs/{run_id}/inputs", page.text(run_view.inputs_text)),
            Route("/page/runs/{run_id}/response", page.text(run_view.response_text)),
            Route("/page/runs/{run_id}/blocks/{number}/inputs", page.text(run_view.block_inputs_text)),
            Route("/page/runs/{run_id}/blocks/{number}/output", page.text(run_view.block_output_text)),
            Route("/page/runs/{run_id}/events", page.text(run_view.events_text)),
            Route("/page/runs/{run_id}/events/{number}", page.text(run_view.event_text)),
            Route("/page/static/{name}", page.static),
        ],
        exception_handlers={HTTPException: page.problem, NotThereError: page.not_there, Exception: page.own_fault},
    )
    app.router.redirect_slashes = False
    return Guard(app, data.api_key)


class Guard:
    """Refuses requests that another page makes, and those without the key. Adds the headers of security.

    Attributes:
        routes: The routes behind it.
    """

    def __init__(self, app: Starlette, api_key: str | None) -> None:
        self.routes: list[BaseRoute] = app.routes
        self._app = app
        self._api_key = api_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        response: ASGIApp = self._app
        if not _is_own(headers, scope["method"]):
            response = Response("The page of the local Scout is for itself, and not for other pages.\n", 403)
        elif self._api_key is not None and not _has_key(headers.get("authorization", ""), self._api_key):
            challenge = {"www-authenticate": 'Basic realm="local Scout: the API key as the password", charset="UTF-8"'}
            response = Response("Log in with any name, and with the API key as the password.\n", 401, challenge)
        await response(scope, receive, guarded_send)


def _is_own(headers: Headers, method: str) -> bool:
    """Return True for a request of the page itself, of its user, or of a program.

    A browser says where a request comes from (Fetch Metadata Request Headers, W3C). Another site may only have a link
    to the page, which its user follows.
    """
    is_link = (
        method == "GET"
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest", "document") == "document"
    )
    return headers.get("sec-fetch-site", "none") in ("none", "same-origin") or is_link


def _has_key(authorization: str, api_key: str) -> bool:
    """Return True for the key as the password of HTTP Basic, which browsers ask for, or as the API wants it."""
    scheme, _, text = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            text = b64decode(text).decode().partition(":")[2]
        except ValueError:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(text.encode(), api_key.encode())


class _Page:
    """The endpoints of the page."""

    def __init__(self, data: PageData, api: ASGIApp) -> None:
        self._data = data
        self._again = again.Again(data, api)
        self._rendering = Rendering(data.secrets)

    # --- What is shown ---

    async def runs(self, request: Request) -> Response:
        """`GET /`: the runs, newest first."""
        return await self._show("runs.html", lambda: runs_view.runs(self._data, request.query_params, _url(request)))

    async def run(self, request: Request) -> Response:
        """`GET /page/runs/{run_id}`: one run."""
        run, url = self._run(request), _url(request)
        return await self._show("run.html", lambda: {**run_view.run(self._data, run), **actions(self._data, run, url)})

    async def file(self, request: Request) -> Response:
        """`GET /page/runs/{run_id}/test` and others of `FILES`: a run as a file."""
        make = FILES[request.url.path.rpartition("/")[2]]
        try:
            name, content = await _in_thread(partial(make, self._data, self._run(request), _url(request)))
        except ValueError as error:
            raise HTTPException(409, f"There is no such file of this run: {error}.") from None
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(content, headers=headers, media_type="application/octet-stream")

    async def workflows(self, request: Request) -> Response:
        """`GET /page/workflows`: the stored workflows, those that changed last first."""
        return await self._show("workflows.html", lambda: workflows_view.workflows(self._data, request.query_params))

    async def workflow(self, request: Request) -> Response:
        """`GET /page/workflows/{workflow_id}`: one stored workflow."""
        workflow_id, query = request.path_params["workflow_id"], request.query_params
        return await self._show("workflow.html", lambda: workflows_view.workflow(self._data, workflow_id, query))

    async def requests(self, request: Request) -> Response:
        """`GET /page/requests`: the requests that were refused, newest first."""
        return await self._show("requests.html", lambda: refusals_view.refusals(self._data, request.query_params))

    async def request(self, request: Request) -> Response:
        """`GET /page/requests/{number}`: one request that was refused."""
        number = _number(request.path_params["number"])
        return await self._show("request.html", lambda: refusals_view.refusal(self._data, number))

    def text(self, view: Callable[..., str | None]) -> Callable[[Request], Awaitable[Response]]:
        """Return the endpoint of a whole text of a run, or of a refused request.

        Args:
            view: Returns the text, or `None` when there is none. It gets the data, and the run and the number that the
                path names.
        """

        async def answer(request: Request) -> Response:
            run = [self._run(request)] if "run_id" in request.path_params else []
            numbers = [_number(text) for name, text in request.path_params.items() if name == "number"]

            def plain() -> bytes:
                text = view(self._data, *run, *numbers)
                if text is None:
                    raise NotThereError("This text is not there (any more).")
                return self._rendering.plain(text).encode()

            return Response(await _in_thread(plain), media_type="text/plain")

        return answer

    async def static(self, request: Request) -> Response:
        """`GET /page/static/{name}`: the style sheet or the script."""
        path = _STATIC / request.path_params["name"]
        if path not in _STATIC.iterdir():
            raise NotThereError("The page has no such file.")
        return FileResponse(path)

    # --- What can be done ---

    async def again(self, request: Request) -> Response:
        """`POST /page/runs/{run_id}/again`: send the request of a run again, with other inputs. `GET`: the form."""
        run = self._run(request)
        trace = self._data.history.traces.of(run.run_id)
        if trace is None:
            raise NotThereError("The request of this run is not kept any more.")

        async def show_form(typed: str | None = None, error: str = "", status: int = 200) -> Response:
            return await self._show(
                "again.html",
                lambda: {
                    "again": again.form(self._data, run, typed, error),
                    "run": runs_view.address_of(run),
                    "name": run.display_name,
                },
                status,
            )

        if request.method != "POST":
            return await show_form()
        typed = (await self._form(request)).get("inputs")
        try:
            inputs = await _in_thread(lambda: self._inputs(run, typed))
        except WorkflowFileError as error:
            return await show_form(typed, str(error), 422)
        return _see(await self._again.send(trace.request, inputs, request.scope))

    def _inputs(self, run: LoggedRun, typed: str | None) -> Any:
        """Return the inputs in a form; those of the run when the form has none, or was not edited."""
        if typed is None or typed == self._rendering.plain(again.as_text(run)):
            return parse_json(run.sent)
        inputs = parse_json_text("inputs", typed)
        if not is_dict(inputs):
            raise WorkflowFileError('it is no JSON object, such as {} or {"name": "value"}', path="inputs")
        return inputs

    async def faults(self, request: Request) -> Response:
        """`GET /page/faults`: the faults and stubs in force. `POST`: add a fault."""
        if request.method != "POST":
            return await self._show("faults.html", lambda: faults_view.faults(self._data))
        typed = await self._form(request)
        try:
            self._data.faults.add(faults_view.typed_fault(typed))
        except ConfigurationError as error:
            said = str(error)
            return await self._show("faults.html", lambda: faults_view.faults(self._data, typed, said), 422)
        return _see("/page/faults")

    async def withdraw_faults(self, request: Request) -> Response:
        """`POST /page/faults/withdraw`: drop the faults that were added."""
        await self._form(request)
        self._data.faults.withdraw()
        return _see("/page/faults")

    # --- What happens meanwhile ---

    async def live(self, request: Request) -> Response:
        """`GET /page/live`: a message whenever something has changed."""
        return _stream(request, live.changes(self._data))

    async def live_run(self, request: Request) -> Response:
        """`GET /page/runs/{run_id}/live`: the events of a run from a number on, and of changes of its state."""
        first = request.headers.get("last-event-id") or request.query_params.get("from", "0")
        return _stream(request, live.of_run(self._data, self._run(request), _number(first), self._rendering.plain))

    # --- Shared ---

    def _run(self, request: Request) -> LoggedRun:
        run = self._data.history.logs.get(request.path_params["run_id"])
        if run is None:
            raise NotThereError("This run is not there (any more): the newest 1,000 runs of this server are kept.")
        return run

    async def _form(self, request: Request) -> dict[str, str]:
        """Return the fields of a form of this page.

        Raises:
            HTTPException: The request is not from a form of this page.
        """
        content = bytearray()
        async for chunk in request.stream():
            content += chunk
            if len(content) > MOST_BODY:
                raise HTTPException(413, f"The form is larger than {MOST_BODY} bytes.")
        try:
            fields: dict[str, str] = await _in_thread(partial(_fields, content))
        except ValueError:
            raise HTTPException(400, "The form has too many fields, or is not in UTF-8.") from None
        if not hmac.compare_digest(fields.pop("token", "").encode(), self._data.token.encode()):
            raise HTTPException(403, "This form is from before the server was started. Load the page again.")
        return fields

    async def _show(self, template: str, view: Callable[[], dict[str, Any]], status: int = 200) -> Response:
        """Render a template in a thread, so that runs go on meanwhile."""

        def render() -> str:
            return self._rendering.page(template, token=self._data.token, **view())

        text = await _in_thread(render)
        # What is wrong with a form answers a POST, to which a browser can go back only when it may keep it.
        headers = {"cache-control": "private"} if status == 422 else None
        return Response(text.encode("utf-8", "replace"), status, headers, media_type="text/html")

    async def problem(self, _: Request, error: Exception) -> Response:
        """Show what is wrong with a request."""
        assert isinstance(error, HTTPException)
        said = {"status": error.status_code, "message": error.detail}
        response = await self._show("problem.html", lambda: said, error.status_code)
        response.headers.update(error.headers or {})  # which methods there are, in place of this one
        return response

    async def not_there(self, request: Request, error: Exception) -> Response:
        """Show that there is no such thing, such as a run that is not kept any more."""
        return await self.problem(request, HTTPException(404, str(error)))

    async def own_fault(self, request: Request, error: Exception) -> Response:
        """Show that the page itself failed. The server logs why."""
        return await self.problem(request, HTTPException(500, f"The local Scout itself failed: {type(error).__name__}"))


def _fields(form: bytearray) -> dict[str, str]:
    pairs = parse_qsl(
        form.decode(), keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=_MOST_FIELDS
    )
    # A browser sends each end of a line as two characters, and shows it as one.
    return {name: value.replace("\r\n", "\n") for name, value in pairs}


def _number(text: str) -> int:
    if re.fullmatch("[0-9]{1,9}", text) is None:
        raise NotThereError("This address needs a number of at most 9 digits.")
    return int(text)


_in_thread = partial(call_in_thread, "scout-local-page")


def _url(request: Request) -> str:
    return f"http://{request.headers['host']}"


def _see(address: str) -> Response:
    return RedirectResponse(address, 303)


def _stream(request: Request, messages: AsyncIterator[bytes]) -> Response:
    if request.method == "HEAD":  # would never end: nobody reads a body
        return Response(media_type="text/event-stream")
    return StreamingResponse(messages, media_type="text/event-stream")
