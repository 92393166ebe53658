"""The command `scout doctor`: what stands between this machine and Scout, step by step."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
import threading
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib import metadata
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import urlsplit

from scout.cli import _connection, _exits, _selection
from scout.cli._advice import about_option, in_options
from scout.cli._terminal import answer, as_json

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from http.client import HTTPConnection
    from ssl import SSLContext
    from urllib.parse import SplitResult

    from scout import ScoutError

DESCRIPTION = """\
Look at what stands between this machine and Scout, and say what to do: the key, the address, the connection, the
versions. Sends two small requests that change nothing. The key is never shown.

examples:
  scout doctor
  scout doctor --base-url http://127.0.0.1:8787 --json
"""

_PATH = "/v2/workflows?limit=1"
_REQUIREMENT = re.compile(r"([\w.-]+).*; extra == ['\"](\w+)['\"]")
_MOST_SKEW = 60  # seconds

_T = TypeVar("_T")
OK, WARNING, PROBLEM = "ok", "warning", "problem"


@dataclass
class Finding:
    """One line of the report."""

    name: str
    status: str
    message: str
    advice: str | None = None
    code: int = field(default=_exits.USAGE, repr=False)  # the exit code of a problem


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    _connection.add_base_url(parser)
    parser.add_argument_group("connection").add_argument(
        "--timeout", type=_seconds, default=5.0, metavar="SECONDS", help="longest time for each step (default: 5)"
    )
    parser.add_argument_group("output").add_argument(
        "--json", action="store_true", help="print the findings as one JSON object"
    )
    parser.set_defaults(handler=_examine)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, more than 0 and at most 3600")
    return seconds


def _examine(args: argparse.Namespace) -> int:
    found: list[Finding] = []
    for finding in _findings(args):
        found.append(finding)
        if not args.json:
            answer(f"{finding.status:<8} {finding.name}: {finding.message}")
            if finding.advice:
                answer(f"{'':<8} {finding.advice}")
    codes = {finding.code for finding in found if finding.status == PROBLEM}
    code = min(codes, default=_exits.DONE)  # what the user can mend comes first
    if args.json:
        findings = [{name: value for name, value in asdict(each).items() if name != "code"} for each in found]
        answer(as_json({"ok": not codes, "exit_code": code, "findings": findings}, indent=2), json=True)
    return code


def _findings(args: argparse.Namespace) -> Iterator[Finding]:
    yield _versions()
    yield _extras()
    yield _settings()
    key = _key()
    yield key
    address, url = _address(args)
    yield address
    if url is not None:
        yield from _network(args, urlsplit(url), has_key=key.status != PROBLEM)


# --- Without the network --------------------------------------------------------------------------------------------


def _versions() -> Finding:
    versions = [f"{name} {metadata.version(name)}" for name in ("scout-workflows", "httpx", "httpcore")]
    return Finding("versions", OK, ", ".join([f"python {sys.version.split()[0]}", *versions]))


def _extras() -> Finding:
    extras: dict[str, list[str]] = {}
    for requirement in metadata.requires("scout-workflows") or ():
        if (match := _REQUIREMENT.match(requirement)) and match[2] != "all":
            extras.setdefault(match[2], []).append(match[1])
    missing = {extra: [name for name in names if not _is_installed(name)] for extra, names in extras.items()}
    lacking = {extra: names for extra, names in missing.items() if names}
    if not lacking:
        return Finding("extras", OK, ", ".join(extras))
    without = "; ".join(f"{extra} lacks {', '.join(names)}" for extra, names in lacking.items())
    return Finding("extras", WARNING, without, f"pip install 'scout-workflows[{','.join(lacking)}]', if you need them")


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _settings() -> Finding:
    """Look at the settings for `scout check`."""
    try:
        path = _selection.from_settings().path
    except _exits.UsageError as error:
        return Finding("settings", PROBLEM, str(error), "mend it, or run in another folder")
    if path is None:
        return Finding("settings", OK, "no pyproject.toml here or above has [tool.scout], so the defaults apply")
    return Finding("settings", OK, f"[tool.scout] in {path}")


def _key() -> Finding:
    from scout import ConfigurationError, Scout

    key = os.environ.get("SCOUT_API_KEY")
    if not key:
        return Finding(
            "key",
            PROBLEM,
            "SCOUT_API_KEY is empty" if key is not None else "SCOUT_API_KEY is not set",
            "set it to a key from Scout's studio (Settings, API Keys); scout run --local needs none",
        )
    try:
        Scout(key, base_url="https://localhost", environment=None).close()
    except ConfigurationError as error:
        return Finding("key", PROBLEM, f"SCOUT_API_KEY: {about_option(in_options(str(error)))}", "copy the key again")
    return Finding("key", OK, "from SCOUT_API_KEY")


def _address(args: argparse.Namespace) -> tuple[Finding, str | None]:
    """Look at the address. Return the URL as well, unless it cannot be used."""
    from scout import ConfigurationError, Scout

    source = "--base-url" if args.base_url else "SCOUT_BASE_URL" if os.environ.get("SCOUT_BASE_URL") else "the default"
    try:
        with Scout("unused", base_url=args.base_url, allow_http=args.allow_http) as client:
            url = client.base_url
    except ConfigurationError as error:
        return Finding("address", PROBLEM, about_option(in_options(str(error)))), None
    environment = os.environ.get("SCOUT_ENVIRONMENT")
    more = f"; environment {environment} from SCOUT_ENVIRONMENT" if environment else ""
    return Finding("address", OK, f"{url} from {source}{more}"), url


# --- The network ----------------------------------------------------------------------------------------------------


class _StepError(Exception):
    """A step that failed, with its finding."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def _network(args: argparse.Namespace, url: SplitResult, *, has_key: bool) -> Iterator[Finding]:
    try:
        proxy, tls = _proxy(url), _tls(url)
    except (OSError, ValueError):
        yield _refused(args)
        return
    if proxy is not None:
        shown = f"{proxy.scheme}://{proxy.hostname}{f':{proxy.port}' if proxy.port else ''}"  # without its password
        yield Finding("proxy", OK, f"{shown} from the environment")
    try:
        if proxy is None or proxy.scheme == "http":
            yield _names((proxy or url).hostname or "", args.timeout)
            yield from _answers(url, proxy, tls, args.timeout)
        if has_key:
            yield _works(args)
    except _StepError as failure:
        yield failure.finding


def _proxy(url: SplitResult) -> SplitResult | None:
    """Return the proxy of the environment for a URL, as Python's standard library reads the variables.

    Raises:
        ValueError: it is not the URL of a proxy.
    """
    import ipaddress
    from urllib.request import getproxies, proxy_bypass

    host = url.hostname or ""
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = host == "localhost" or host.endswith(".localhost")
    proxies = getproxies()
    found = proxies.get(url.scheme) or proxies.get("all")
    if is_here or not found or proxy_bypass(url.netloc):
        return None
    proxy = urlsplit(found if "://" in found else f"http://{found}")
    if not proxy.hostname or proxy.port == 0 or proxy.scheme not in ("http", "https", "socks5"):
        raise ValueError(proxy.scheme)
    return proxy


def _tls(url: SplitResult) -> SSLContext | None:
    """Return the settings for TLS, which the environment can change.

    Raises:
        OSError: the file that the environment names cannot be used.
    """
    import httpx

    return httpx.create_ssl_context() if url.scheme == "https" else None


def _within(seconds: float, step: Callable[[], _T]) -> _T:
    """Return what a function returns, in a thread that is left behind when it takes too long.

    Raises:
        TimeoutError: it did not end in time.
        Exception: what the function raised.
    """
    ends: list[tuple[_T | None, Exception | None]] = []

    def run() -> None:
        try:
            ends.append((step(), None))
        except Exception as error:  # noqa: BLE001 - it is raised again, by the thread that waits
            ends.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not ends:
        raise TimeoutError(f"no answer within {seconds:g} s")
    value, error = ends[0]
    if error is not None:
        raise error
    return cast("_T", value)


def _names(host: str, seconds: float) -> Finding:
    import socket

    try:
        found = _within(seconds, lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else error
        advice = "check the spelling of the address, and that this machine can look up names (DNS, VPN)"
        raise _StepError(Finding("name", PROBLEM, f"{host} is not found: {reason}", advice, _exits.API)) from None
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    more = f" and {len(addresses) - 1} more" if len(addresses) > 1 else ""
    return Finding("name", OK, f"{host} is {addresses[0]}{more}")


def _answers(url: SplitResult, proxy: SplitResult | None, tls: SSLContext | None, seconds: float) -> Iterator[Finding]:
    """Connect, and ask one question without the key."""
    at = f"{url.hostname}:{url.port or (443 if url.scheme == 'https' else 80)}"
    by = "" if proxy is None else f" by the proxy {proxy.hostname}:{proxy.port or 80}"
    connection = _open(url, proxy, tls, seconds)
    try:
        with _explained("connection", f"to {at}{by}"):
            _within(seconds, connection.connect)
        how = "TCP and TLS" if url.scheme == "https" else "TCP, without TLS,"
        yield Finding("connection", OK, f"{how} to {at}{by}")
        with _explained("answer", f"of {at}{by}"):
            status, date, location = _within(seconds, lambda: _ask(connection, url, proxy))
    finally:
        connection.close()
    yield _answer(status, location)
    moment = _moment(date or "")
    yield Finding("time", OK, "the answer does not tell the time") if moment is None else _skew(moment)


@contextlib.contextmanager
def _explained(name: str, where: str) -> Generator[None]:
    """Make a finding of what goes wrong in a step of the network."""
    import ssl
    from http.client import HTTPException

    try:
        yield
    except ssl.SSLCertVerificationError as error:
        advice = "this machine does not trust the certificate for that address; a proxy that reads TLS has one of its "
        advice += "own, which belongs into the file that SSL_CERT_FILE names"
        reason: str = error.verify_message
    except (OSError, HTTPException, ValueError) as error:
        advice = "check the address, the firewall and the proxy; a local Scout is started with scout local"
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    else:
        return
    raise _StepError(Finding(name, PROBLEM, f"{where}: {reason}", advice, _exits.API)) from None


def _open(url: SplitResult, proxy: SplitResult | None, tls: SSLContext | None, seconds: float) -> HTTPConnection:
    from base64 import b64encode
    from http.client import HTTPConnection, HTTPSConnection
    from urllib.parse import unquote

    first = proxy or url
    host, port = first.hostname or "", first.port
    later = seconds + 1  # than the limit of `_within`, which says what took too long: this only ends its thread
    made = (
        HTTPConnection(host, port, timeout=later)
        if tls is None
        else HTTPSConnection(host, port, timeout=later, context=tls)
    )
    if proxy is not None and url.scheme == "https":
        login = f"{unquote(proxy.username or '')}:{unquote(proxy.password or '')}".encode()
        headers = {"Proxy-Authorization": f"Basic {b64encode(login).decode()}"} if proxy.username else {}
        made.set_tunnel(url.hostname or "", url.port or 443, headers)
    return made


def _ask(connection: HTTPConnection, url: SplitResult, proxy: SplitResult | None) -> tuple[int, str | None, str | None]:
    """Return status, `Date` and `Location` of the answer to a request without a key."""
    path = f"{url.path.rstrip('/')}{_PATH}"
    through = proxy is not None and url.scheme == "http"
    connection.request("GET", f"http://{url.netloc}{path}" if through else path, headers={"User-Agent": "scout doctor"})
    response = connection.getresponse()
    return response.status, response.getheader("Date"), response.getheader("Location")


def _answer(status: int, location: str | None) -> Finding:
    if status in (401, 403):
        return Finding("answer", OK, f"{status}: it asks for a key, as Scout does")
    if status < 300:
        return Finding("answer", OK, f"{status}")
    if status < 400:
        advice = f"give the address that it names: {location}" if location else "check the address"
        return Finding("answer", PROBLEM, f"{status}: a redirect, which is not followed", advice)
    if status == 429:
        return Finding("answer", WARNING, "429: too many requests", "wait, and try again")
    if status < 500:
        return Finding("answer", PROBLEM, f"{status}: this is not Scout", "check the address; it has no /v2 at its end")
    return Finding("answer", PROBLEM, f"{status}: Scout or a proxy before it fails", "try again later", _exits.API)


def _moment(date: str) -> datetime | None:
    try:
        return parsedate_to_datetime(date)
    except ValueError:
        return None


def _skew(theirs: datetime) -> Finding:
    seconds = round((datetime.now(UTC) - theirs.astimezone(UTC)).total_seconds())
    if abs(seconds) <= _MOST_SKEW:
        return Finding("time", OK, "this clock and that of the server agree")
    late = "ahead of" if seconds > 0 else "behind"
    return Finding("time", WARNING, f"this clock is {abs(seconds)} s {late} that of the server", "set the clock")


def _works(args: argparse.Namespace) -> Finding:
    """Ask for one stored workflow, with the key."""
    from scout import APIStatusError

    error = _list(args, None)
    if error is None:
        return Finding("key works", OK, "the workflows can be listed")
    refused = isinstance(error, APIStatusError) and error.status in (401, 403)
    advice = "make a new key in Scout's studio (Settings, API Keys)" if refused else None
    return Finding("key works", PROBLEM, _message(error), advice, _exits.code_of(error))


def _refused(args: argparse.Namespace) -> Finding:
    """Let the client say which variable of the environment cannot be used. It does so before it sends anything."""
    error = _list(args, "unused")
    message = "the settings for proxies or certificates cannot be used" if error is None else _message(error)
    return Finding("environment", PROBLEM, message)


def _list(args: argparse.Namespace, key: str | None) -> ScoutError | None:
    """List one stored workflow, and return the error if there is one."""
    from scout import Scout, ScoutError

    with Scout(
        key,
        base_url=args.base_url,
        allow_http=args.allow_http,
        retries=0,
        rate_limit_timeout=0,
        deadline=args.timeout,
    ) as client:
        try:
            next(iter(client.workflows.list(limit=1).pages()), None)
        except ScoutError as error:
            return error
    return None


def _message(error: ScoutError) -> str:
    return in_options(str(error)).removeprefix("page 1 of the list: ")
