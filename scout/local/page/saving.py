"""The request of a run in forms to keep: a command for a shell, a program, and a recording. No I/O."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode

from scout._json import NOT_JSON, as_line, is_dict, is_too_deep, redact

from .literals import Literals

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scout.local.history import LocalRequest

_STORED = re.compile(r"/v2/workflows/([^/]+)/execute")
_OPTIONS = ("environment", "session_id", "revision_id")
_OF_THE_BODY = ("workflow_config", "workflow_key", "inputs", "streaming")
_SENT_HEADERS = ("accept", "content-type")
_SAFE_IN_A_PATH = "/%!$&()*+,;=:@"

# --- A command for a shell ----------------------------------------------------------------------------------------


def as_curl(request: LocalRequest, base_url: str, *, secrets: Iterable[str] = ()) -> str:
    """Return a request as a command for a POSIX shell, which reads the key from the variable `SCOUT_API_KEY`.

    Args:
        request: The request.
        base_url: The URL of the server.
        secrets: Texts to redact.
    """
    secrets = list(secrets)
    url = base_url + quote(redact(request.path, secrets), safe=_SAFE_IN_A_PATH, encoding="latin-1")
    if request.query:
        url += f"?{urlencode(redact(dict(request.query), secrets))}"
    options = ["-sS"]
    if _is_streamed(request):
        options.append("-N")
    lines = [
        f"curl {' '.join(options)} -X {shlex.quote(request.method)} {shlex.quote(url)}",
        '-H "Authorization: Bearer $SCOUT_API_KEY"',
    ]
    headers = {name: request.headers[name] for name in _SENT_HEADERS if name in request.headers}
    lines += (f"-H {shlex.quote(as_line(f'{name}: {value}'))}" for name, value in redact(headers, secrets).items())
    if not request.content:
        return " \\\n  ".join(lines) + "\n"
    if "content-type" not in headers:
        lines.append("-H content-type:")  # otherwise curl sends one of its own
    lines.append("--data-binary @-")
    # By the shell's own `printf`, because an argument of a program cannot be long.
    body = redact(request.content, secrets)
    return f"{_printf(body)} |\n  " + " \\\n    ".join(lines) + "\n"


def _printf(content: bytes) -> str:
    """Return a command that writes some bytes. Pasted into a terminal, it holds nothing that controls one."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    if text.replace("\n", "").isprintable():
        return f"printf %s {shlex.quote(text)}"
    # With escapes of `printf` for everything but printable ASCII.
    escaped = re.sub(rb"[^ -\[\]-~\n]", lambda each: b"\\0%03o" % each[0][0], content)
    return f"printf %b {shlex.quote(escaped.decode('ascii'))}"


def _is_streamed(request: LocalRequest) -> bool:
    body = _body(request)
    return is_dict(body) and body.get("streaming") is True


def _body(request: LocalRequest) -> Any:
    """Return the parsed body; `None` when the server would not parse it."""
    try:
        body = request.json
    except NOT_JSON:
        return None
    return None if is_too_deep(body, request.content) else body


# --- A program ----------------------------------------------------------------------------------------------------


def as_python(request: LocalRequest, base_url: str, *, secrets: Iterable[str] = ()) -> str:
    """Return the request of a run as a program, which reads the key from the variable `SCOUT_API_KEY`.

    Args:
        request: The request, of a run.
        base_url: The URL of the server.
        secrets: Texts to redact.

    Raises:
        ValueError: The request is not that of a run.
    """
    body = _body(request)
    if request.method != "POST" or not request.path.endswith("/execute") or not is_dict(body):
        raise ValueError("the request is not that of a run")
    stored = _STORED.fullmatch(request.path)
    python = Literals(secrets)
    names: list[str] = []
    if stored is None:
        python.constant("CONFIG", body.get("workflow_config"))
        names.append("CONFIG")
    else:
        names.append(python.text(unquote(stored[1])))
    if body.get("inputs") is not None:
        python.constant("INPUTS", body["inputs"])
        names.append("INPUTS")
    # Without an environment in the query, the client would send that of the process, or production.
    query = {"environment": None, **request.query}
    options = {name: query.pop(name) for name in _OPTIONS if name in query}
    if body.get("workflow_key") is not None:
        options["workflow_key"] = body["workflow_key"]
    more = {"extra_query": query, "extra_body": {name: body[name] for name in body if name not in _OF_THE_BODY}}
    for name, value in more.items():
        if value:
            python.constant(name.upper(), value)
            names.append(f"{name}={name.upper()}")
    on = "scout" if stored is None else "scout.workflows"
    lines = [python.call("with Scout", [], {"base_url": base_url}, " as scout:  # the key comes from SCOUT_API_KEY")]
    if body.get("streaming"):
        lines += [
            python.call(f"    with {on}.stream", names, options, " as stream:"),
            "        for event in stream:",
            "            print(event)",
            "",
            "print(stream.run.output)",
        ]
    else:
        lines += [python.call(f"    run = {on}.execute", names, options, ""), "", "print(run.output)"]
    decimals = "from decimal import Decimal\n\n" if python.uses_decimal else ""
    return f"{decimals}from scout import Scout\n\n{python.constants}{_joined(lines)}"


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


# --- A recording --------------------------------------------------------------------------------------------------


def as_cassette(
    request: LocalRequest,
    parts: Sequence[tuple[float, bytes]],
    *,
    status: int | None,
    content_type: str,
    seconds: float,
    is_complete: bool = True,
    secrets: Iterable[str] = (),
) -> bytes:
    """Return a request and its response as a recording, from which `scout.cassettes.replay` answers.

    Args:
        request: The request.
        parts: The body of the response: the frames of a stream, or the whole body. Each after its time, in seconds
            since the request.
        status: The status of the response; `None` when none was sent.
        content_type: The content type of the response.
        seconds: The time when the response ended, in seconds since the request.
        is_complete: False for a response that was broken off after the parts.
        secrets: Texts to redact.
    """
    from scout.cassettes import cassette_of  # imports the client, which is slow, and not needed to serve

    headers = {name: request.headers[name] for name in _SENT_HEADERS if name in request.headers}
    return cassette_of(
        request.method,
        request.path,
        request.query,
        headers,
        request.content,
        parts,
        status=status,
        content_type=content_type,
        seconds=seconds,
        is_complete=is_complete,
        secrets=secrets,
    )
