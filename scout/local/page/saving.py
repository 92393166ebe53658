"""A run in forms to keep: its request as a command for a shell and as a program, and a recording. No I/O."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode

from scout._json import as_line, is_dict, is_list, parse_json, redact, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scout.local.history import LocalRequest
    from scout.local.traces import Trace

_STORED = re.compile(r"/v2/workflows/([^/]+)/execute")
_OPTIONS = ("environment", "session_id", "revision_id")
_OF_THE_BODY = ("workflow_config", "workflow_key", "inputs", "streaming")
_SENT_HEADERS = ("accept", "content-type")
_SAFE_IN_A_PATH = "/%!$&()*+,;=:@"


def _sent_headers(request: LocalRequest) -> dict[str, str]:
    return {name: request.headers[name] for name in _SENT_HEADERS if name in request.headers}


# --- A command for a shell ----------------------------------------------------------------------------------------


def as_curl(request: LocalRequest, base_url: str, *, secrets: Sequence[str] = ()) -> str:
    """Return the request of a run as a command for a POSIX shell, which reads the key from `SCOUT_API_KEY`.

    Args:
        request: The request.
        base_url: The URL of the server.
        secrets: Texts to redact.
    """
    url = base_url + quote(redact(request.path, secrets), safe=_SAFE_IN_A_PATH, encoding="latin-1")
    if request.query:
        url += f"?{urlencode(redact(dict(request.query), secrets))}"
    # With -N, events are shown as they come.
    lines = [f"curl -sSN -X POST {shlex.quote(url)}", '-H "Authorization: Bearer $SCOUT_API_KEY"']
    headers = redact(_sent_headers(request), secrets)
    lines += (f"-H {shlex.quote(as_line(f'{name}: {value}'))}" for name, value in headers.items())
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


# --- A program ----------------------------------------------------------------------------------------------------

_WIDTH = 120
_DEEPEST = 60  # columns of indentation, after which a value stands on one line, however long


def constant(name: str, value: Any) -> str:
    """Return a constant as Python: short lists, objects and texts on one line, others on several.

    Whatever a text contains, it stays a text, because `repr` escapes quotes and all that is not printable. A number
    that a float cannot hold is a `Decimal`, which the program has to import.

    Args:
        name: The name.
        value: JSON.
    """
    return _literal(f"{name} = ", parse_json(write_json(value)), "") + "\n"  # NaN and infinities are `null`


def _literal(before: str, value: Any, indent: str) -> str:
    flat = f"{before}{value!r}"
    inner = indent + "    "
    if len(indent) + len(flat) < _WIDTH or len(indent) > _DEEPEST:
        return flat
    if is_dict(value):
        brackets, items = "{}", [f"{_literal(f'{key!r}: ', item, inner)}," for key, item in value.items()]
    elif is_list(value):
        brackets, items = "[]", [f"{_literal('', item, inner)}," for item in value]
    elif isinstance(value, str) and "\n" in value:
        brackets, items = "()", [repr(line) for line in value.splitlines(keepends=True)]
    else:
        return flat
    return "\n".join([before + brackets[0], *(inner + item for item in items), indent + brackets[1]])


def needs_decimal(constants: str) -> bool:
    """Return True when constants use `Decimal`. A text that looks like it costs an import."""
    return "Decimal('" in constants


def as_python(request: LocalRequest, base_url: str, *, secrets: Sequence[str] = ()) -> str:
    """Return the request of a run as a program, which reads the key from the variable `SCOUT_API_KEY`.

    Args:
        request: The request.
        base_url: The URL of the server.
        secrets: Texts to redact.
    """
    body = redact(request.json, secrets)
    stored = _STORED.fullmatch(request.path)
    # Without an environment in the query, the client would send that of the process, or production.
    query = redact({"environment": None, **request.query}, secrets)
    options = {name: query.pop(name) for name in _OPTIONS if name in query}
    if body.get("workflow_key") is not None:
        options["workflow_key"] = body["workflow_key"]
    extra_body = {name: body[name] for name in body if name not in _OF_THE_BODY}
    given = {
        "CONFIG": body["workflow_config"] if stored is None else None,
        "INPUTS": body.get("inputs"),
        "EXTRA_QUERY": query or None,
        "EXTRA_BODY": extra_body or None,
    }
    constants = [(name, value) for name, value in given.items() if value is not None]
    arguments = [name if name in ("CONFIG", "INPUTS") else f"{name.lower()}={name}" for name, _ in constants]
    if stored is not None:
        arguments.insert(0, repr(redact(unquote(stored[1]), secrets)))
    call = ", ".join([*arguments, *(f"{name}={value!r}" for name, value in options.items())])
    on = "scout" if stored is None else "scout.workflows"
    if body.get("streaming"):
        run = f"""\
    with {on}.stream({call}) as stream:
        for event in stream:
            print(event)

print(stream.run.output)
"""
    else:
        run = f"""\
    run = {on}.execute({call})

print(run.output)
"""
    written = "\n".join(constant(name, value) for name, value in constants)
    imports = "from decimal import Decimal\n\n" if needs_decimal(written) else ""
    return f"""\
{imports}from scout import Scout

{written}
with Scout(base_url={base_url!r}) as scout:  # the key comes from SCOUT_API_KEY
{run}"""


# --- A recording --------------------------------------------------------------------------------------------------


def check_cassette(trace: Trace) -> float:
    """Check that a run can be recorded, and return the time when its answer ended, in seconds since the request.

    Raises:
        ValueError: The answer has not ended, or was too long to be kept.
    """
    if trace.is_cut:
        raise ValueError("its answer was too long to be kept")
    if trace.seconds is None:
        raise ValueError("its answer has not ended")
    return trace.seconds


def as_cassette(trace: Trace, *, secrets: Sequence[str] = ()) -> bytes:
    """Return a run as a recording, from which `scout.cassettes.replay` answers.

    Args:
        trace: The request of the run and what was sent in answer to it.
        secrets: Texts to redact.

    Raises:
        ValueError: As `check_cassette`.
    """
    seconds = check_cassette(trace)
    import httpx  # the client and what it needs are slow to import, and not needed to serve

    from scout.cassettes import cassette_of

    request = trace.request
    url = httpx.URL("http://scout" + request.path, params=request.query)
    return cassette_of(
        httpx.Request(request.method, url, headers=_sent_headers(request), content=request.content),
        trace.parts,
        status=200 if trace.is_stream or trace.parts else None,
        content_type="text/event-stream" if trace.is_stream else "application/json",
        seconds=seconds,
        is_complete=trace.is_complete,
        secrets=secrets,
    )
