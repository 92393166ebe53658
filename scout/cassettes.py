"""Recordings: `record` writes requests and responses to a file, `replay` answers from that file without a network.

The file, a cassette, is in JSON Lines. Its first line names the format. Each further line belongs to an exchange, which
has a number, because several can be in progress at once: the `request`, the `response`, a `part` of its body, and the
`end`. The times (`at`) are seconds since the request.
"""

from __future__ import annotations

import base64
import contextlib
import io
import logging
import math
import os
import re
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from itertools import count
from json import JSONDecodeError
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar
from urllib.parse import quote, quote_plus

import httpx

from ._call import LIMITS, Limits
from ._codings import decoded
from ._config import MAX_CONNECTIONS
from ._json import NOT_JSON, is_decimal, is_dict, is_list, is_too_deep, parse_json, redact, shorten, write_json
from ._pool import AsyncPool, Pool
from ._requests import OWN_SESSION
from ._retry import foreign
from ._sse import is_stream
from ._transports import async_bounded, bounded, proves_unsent
from .errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

__all__ = ["Recorder", "Replayer", "cassette_of", "record", "replay"]

T = TypeVar("T")

_FORMAT = {"kind": "cassette", "format": "scout", "version": 1}
_KEPT_OF_REQUEST = ("accept", "content-type")
_KEPT_OF_RESPONSE = (
    *("content-type", "content-encoding", "location", "retry-after", "retry-after-ms"),
    *("x-request-id", "request-id", "x-correlation-id"),
)
_KEY = "[key]"
_COMPLETE = "complete"
_LEFT = "the client left"
_MOMENT = 0.01  # seconds between a piece of a response and the client's check of its limit

_log = logging.getLogger(__name__)


def record(path: str | os.PathLike[str], *, overwrite: bool = False, transport: Any = None) -> Recorder:
    """Return a transport that sends requests and records them: `Scout(transport=record("run.jsonl"))`.

    Works with `Scout` and `AsyncScout`. A recording holds requests and responses with their bodies. In it, `[key]`
    replaces credentials: the API key, the values of cookies, and the values of other headers and of query parameters
    whose name contains `key`, `token`, `secret` or `authorization`. They are redacted in URLs, headers and bodies, as
    exact text and in JSON-escaped form.

    Redaction does not cover credentials of fewer than 8 characters, credentials in another encoding (such as base64) or
    split over two events, numbers in JSON, and secrets that occur in bodies only.

    The file is created with the first request; on POSIX only its owner may read it. When it can no longer be written
    (disk full), the client still gets the response, and the next request raises. A recording is for one client in one
    process, and is closed with the client.

    Args:
        path: The file to write.
        overwrite: Replace an existing file. If several recordings have one path, the last one to begin is kept.
        transport: The transport that sends; by default connections like those of a client, 1000 of them at most.

    Raises:
        ConfigurationError: the file exists already, or cannot be written, or the transport cannot send. A request that
            cannot be recorded raises this as well, before it is sent.
    """
    return Recorder(path, overwrite=overwrite, transport=transport)


def replay(path: str | os.PathLike[str], *, real_time: bool = False) -> Replayer:
    """Return a transport that answers from a recording, without a network: `Scout(transport=replay("run.jsonl"))`.

    The response to a request is the first unused one whose recorded request has the same method, path, query and body.
    A session id that the client has made does not count; the recorded log of such a run gets that of the new call.
    A response that was recorded incomplete breaks off at the same place.

    Args:
        path: The file to read.
        real_time: Keep the recorded delays, instead of answering at once.

    Raises:
        ConfigurationError: the file cannot be read, or is not a cassette. A request that is not in it raises this as
            well.
    """
    return Replayer(path, real_time=real_time)


def cassette_of(
    request: httpx.Request,
    parts: Sequence[tuple[float, bytes]],
    *,
    status: int | None,
    content_type: str,
    seconds: float,
    is_complete: bool = True,
    secrets: Iterable[str] = (),
) -> bytes:
    """Return the recording of one request that a server has answered, as `record` writes it.

    Args:
        request: The request, with its body.
        parts: The body of the response in pieces, each after its time, in seconds since the request.
        status: The status of the response; `None` when none was sent.
        content_type: The content type of the response.
        seconds: The time when the response ended, in seconds since the request.
        is_complete: False for a response that was broken off after the parts.
        secrets: Credentials to redact, in addition to those of the request.
    """
    keys = _forms([*secrets, *_secrets(request)])
    lines: list[dict[str, Any]] = [_FORMAT, {"kind": "request", "exchange": 1, **_as_line(request, keys)}]

    def write(kind: str, at: float, **facts: Any) -> None:
        lines.append({"kind": kind, "exchange": 1, "at": round(at, 3), **facts})

    if status is not None:
        kept = _kept(httpx.Headers({"content-type": content_type}), _KEPT_OF_RESPONSE, keys)
        write("response", parts[0][0] if parts else seconds, status=status, headers=kept)
    now = 0.0

    def write_part(part: bytes, *, is_frame: bool) -> None:
        write("part", now, **_as_body(part, keys, is_frame=is_frame))

    body = _Parts(content_type, write_part)
    for at, piece in parts:
        now = at
        body.add(piece)
    body.rest()
    broken = {"how": "RemoteProtocolError", "message": "the server broke this answer off"}
    write("end", seconds, **({"how": _COMPLETE} if is_complete else broken))
    return b"".join(_readable(line) + b"\n" for line in lines)


# --- Recording ----------------------------------------------------------------------------------------------------


class _Transport(ABC):
    """A transport for both clients. It is a context manager, like those of httpx."""

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    async def aclose(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a recording cannot travel to another process; make it there")


class Recorder(_Transport):
    """The transport that `record` returns, for `Scout` and `AsyncScout`.

    Attributes:
        needs_key: Always `True`, because requests are sent.
        proves_unsent: See `scout._call.OwnTransport`.
        enforces_limits: See there.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False, transport: Any = None) -> None:
        self._file = _File(_free_place(path, overwrite=overwrite), overwrite=overwrite)
        self.needs_key: bool = True
        self.proves_unsent: bool = True
        self.enforces_limits: bool = transport is None
        if transport is None:
            self._sync: Any = Pool(MAX_CONNECTIONS)
            self._async: Any = AsyncPool(MAX_CONNECTIONS)
            return
        methods = [name for name in ("handle_request", "handle_async_request") if hasattr(transport, name)]
        if not methods:
            raise ConfigurationError(f"a transport of httpx is wanted, which sends requests, not {transport!r}")
        self.proves_unsent = all(proves_unsent(transport, name) for name in methods)
        self._sync, self._async = bounded(transport), async_bounded(transport)

    def handle_request(self, request: Any, /) -> Any:
        """Send a request, and record it and its response."""
        request.read()
        if isinstance(self._sync, Pool):
            self._sync.prepare(request)  # raises for a request that cannot be sent, before it is recorded
        exchange = _Exchange(self._file, request)
        try:
            response = self._sync.handle_request(request)
        except BaseException as error:
            exchange.end(error)
            raise
        return exchange.begin(response)

    async def handle_async_request(self, request: Any, /) -> Any:
        """Send a request, and record it and its response."""
        await request.aread()
        if isinstance(self._async, AsyncPool):
            self._async.prepare(request)
        exchange = _Exchange(self._file, request)
        try:
            response = await self._async.handle_async_request(request)
        except BaseException as error:
            exchange.end(error)
            raise
        return exchange.begin(response)

    def close(self) -> None:
        """Close the file and the connections."""
        self._file.close()
        self._sync.close()

    async def aclose(self) -> None:
        """Close the file and the connections."""
        self._file.close()
        await self._async.aclose()


class _File:
    """The file of a recording, written line by line."""

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self.keys: frozenset[str] = frozenset()  # the credentials that must not get into the file
        self._path = path
        self._overwrite = overwrite
        self._file: io.FileIO | None = None
        self._process: int | None = None
        self._why_not: str | None = None
        self._lock = threading.Lock()
        self._numbers = count(1)

    def redact_also(self, keys: frozenset[str]) -> None:
        """Add credentials to those that must not get into the file."""
        with self._lock:
            self.keys |= keys

    def check_process(self) -> None:
        """Check that this process began the file. Call it before locking: a fork may have copied a locked lock.

        Raises:
            ConfigurationError: another process began the file, and may still write to it.
        """
        if self._is_elsewhere():
            raise ConfigurationError(
                f"a recording is for one process, and {self._path} is that of another; make a new one; nothing was sent"
            )

    def _is_elsewhere(self) -> bool:
        return self._process not in (None, os.getpid())

    def begin(self, **facts: Any) -> int:
        """Write a request, and return its number.

        Raises:
            ConfigurationError: it cannot be written, so it must not be sent.
        """
        with self._lock:
            number = next(self._numbers)
            self._append({"kind": "request", "exchange": number, **facts})
            if self._why_not is not None:
                raise ConfigurationError(f"{self._path} cannot be written: {self._why_not}; nothing was sent")
        return number

    def write(self, **facts: Any) -> None:
        """Write a line of a response. An error is logged and not raised, so that the client still gets the response."""
        if self._is_elsewhere():
            return
        with self._lock:
            if self._why_not is None:
                self._append(facts)
                if self._why_not is not None:
                    _log.warning("%s cannot be written, and ends here: %s", self._path, self._why_not)

    def close(self) -> None:
        """Close the file."""
        if self._is_elsewhere():
            return
        with self._lock:
            self._why_not = self._why_not or "it was closed with its client; make a new recording"
            if self._file is not None:
                self._file.close()

    def _append(self, line: dict[str, Any]) -> None:
        if self._why_not is not None:
            return
        data = _readable(line) + b"\n"
        try:
            if self._file is None:
                self._file, self._process = self._open(), os.getpid()
                data = write_json(_FORMAT).encode() + b"\n" + data
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            if foreign(error) is not None:
                raise
            self._why_not = error.strerror or str(error)

    def _open(self) -> io.FileIO:
        mode = "xb"
        if self._overwrite:
            mode = "wb"
            if self._path.is_file():  # and not a device
                # Deleted and not truncated, because another recording may still write to the old file.
                with contextlib.suppress(OSError):  # a folder without permission to delete
                    self._path.unlink()
                    mode = "xb"
        # Without a buffer, so that a written line is in the file even if the program is killed.
        return io.FileIO(self._path, mode, opener=_open_private)


def _open_private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _readable(value: Any) -> bytes:
    """Return JSON in UTF-8, in which half a surrogate pair is an escape."""
    return write_json(value).encode("utf-8", "backslashreplace")


def _as_path(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(path)
    except TypeError:
        raise ConfigurationError(f"a recording is a file: its path is wanted, not {path!r}") from None


def _free_place(path: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """Return the absolute path of a new recording.

    Raises:
        ConfigurationError: no file can be created there.
    """
    place = _as_path(path)
    try:
        place = place.absolute()  # now, because the program may change the working directory before the first request
        mode = place.stat().st_mode
        is_folder = S_ISDIR(mode)
        if S_ISREG(mode):
            place = place.resolve()  # so that a link is kept; not for a pipe, which has no other name
    except (FileNotFoundError, NotADirectoryError):
        place = place.resolve()
        if place.parent.is_dir():
            return place
        reason = f"there is no folder {place.parent}"
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error)
    else:
        if overwrite and not is_folder:
            return place
        reason = "it is a folder"
        if not is_folder:
            raise ConfigurationError(f"{path} exists already; overwrite=True replaces it")
    raise ConfigurationError(f"{path} cannot be written: {reason}")


class _Exchange:
    """Writer of one request and its response."""

    def __init__(self, file: _File, request: httpx.Request) -> None:
        file.check_process()
        self._file = file
        self._began = self._handed_over = time.monotonic()
        self._limits: Limits | None = request.extensions.get(LIMITS)
        self._has_ended = False
        request.headers["accept-encoding"] = "identity"  # keys can be redacted only in an uncompressed body
        file.redact_also(_forms(_secrets(request)))
        self._number: int = file.begin(**_as_line(request, file.keys))

    def begin(self, response: httpx.Response) -> httpx.Response:
        """Write the status and headers of a response, and return a response whose body is recorded as it is read."""
        # A compressed body is decompressed here, also for the client, because a key in it could not be redacted.
        response = decoded(response)
        headers = response.headers
        kept = _kept(headers, _KEPT_OF_RESPONSE, self._file.keys)
        self._write("response", at=self._now(), status=response.status_code, headers=kept)
        self._content_type = headers.get("content-type", "")
        return httpx.Response(
            response.status_code,
            headers=headers,
            stream=_RecordedBody(response, self),
            extensions=response.extensions,
        )

    def parts(self) -> _Parts:
        """Return the splitter for the body."""
        return _Parts(self._content_type, self._part)

    def _part(self, content: bytes, *, is_frame: bool) -> None:
        self._write("part", at=self._now(), **_as_body(content, self._file.keys, is_frame=is_frame))

    def hand_over(self) -> None:
        """Note the time at which the client gets a piece of the body."""
        self._handed_over = time.monotonic()

    def end(self, error: BaseException | None = None) -> None:
        """Write the outcome. Only the first call has an effect."""
        if self._has_ended:
            return
        self._has_ended = True
        if error is None:
            outcome = {"how": _COMPLETE}
        elif isinstance(error, httpx.HTTPError):
            outcome = {"how": type(error).__name__, "message": redact(str(error), self._file.keys, _KEY)}
        elif _ends_at(self._limits) <= self._handed_over + _MOMENT:
            # The client checks its limits when it gets a piece, and stops reading when that was too late.
            outcome = {"how": "ReadTimeout", "message": "the time had passed when this came"}
        else:  # cancelled, or interrupted by a signal, for example: not caused by the network
            outcome = {"how": _LEFT}
        self._write("end", at=self._now(), **outcome)

    def _write(self, kind: str, **facts: Any) -> None:
        self._file.write(kind=kind, exchange=self._number, **facts)

    def _now(self) -> float:
        return round(time.monotonic() - self._began, 3)


def _ends_at(limits: Limits | None) -> float:
    return math.inf if limits is None else min(limits.ends_at, limits.event_ends_at)


class _Parts:
    """Splitter of a body into lines of the recording: each frame of a stream is one, any other body is one."""

    def __init__(self, content_type: str, write: Any) -> None:
        self._content_type = content_type
        self._is_stream: bool | None = None  # until the first bytes tell
        self._write = write
        self._held: list[bytes] = []
        self._tail = b""

    def add(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self._held.append(piece)
        # Only the new piece is searched, with the last bytes before it, which may hold the beginning of a blank line.
        # Otherwise a frame of many pieces would be searched from its beginning with each of them.
        recent = self._tail + piece
        if self._is_stream is None:
            recent = b"".join(self._held)
            self._is_stream = is_stream(self._content_type, recent)
        if self._is_stream and _END_OF_FRAME.search(recent):
            *frames, recent = _END_OF_FRAME.split(b"".join(self._held))
            self._held = [recent]
            # Each frame with the blank line that ended it: the split returns them alternately.
            for frame, blank in zip(frames[::2], frames[1::2], strict=True):
                self._write(frame + blank, is_frame=True)
        self._tail = recent[-3:]

    def rest(self) -> None:
        """Write the rest, at the end of the body."""
        if content := b"".join(self._held):
            self._write(content, is_frame=bool(self._is_stream))
        self._held = []


# Two line ends of any kind, written out because `{2}` is much slower. A CR counts at once, without waiting for an LF
# that may follow; such an LF then begins the next frame.
_END_OF_FRAME = re.compile(rb"((?:\r\n?+|\n)(?:\r\n?+|\n))")


class _RecordedBody(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of a response, recorded while the client reads it."""

    def __init__(self, response: httpx.Response, exchange: _Exchange) -> None:
        self._inner: Any = response.stream
        self._exchange = exchange
        self._parts = exchange.parts()

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._inner:
                self._take(piece)
                yield piece
        except BaseException as error:
            self._end(error)
            raise
        self._end()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._inner:
                self._take(piece)
                yield piece
        except BaseException as error:
            self._end(error)
            raise
        self._end()

    def close(self) -> None:
        self._end(GeneratorExit())
        self._inner.close()

    async def aclose(self) -> None:
        self._end(GeneratorExit())
        await self._inner.aclose()

    def _take(self, piece: bytes) -> None:
        self._parts.add(piece)
        self._exchange.hand_over()

    def _end(self, error: BaseException | None = None) -> None:
        self._parts.rest()
        self._exchange.end(error)


def _as_line(request: httpx.Request, keys: AbstractSet[str]) -> dict[str, Any]:
    """Return the fields of the line of a request."""
    address = _SECRET_PARAMETER.sub(rf"\1{_KEY}", request.url.raw_path.decode("latin-1"))
    return {
        "method": request.method,
        "url": redact(address, keys, _KEY),
        "headers": _kept(request.headers, _KEPT_OF_REQUEST, keys),
        **_as_body(request.content, keys),
    }


def _kept(headers: httpx.Headers, names: tuple[str, ...], keys: AbstractSet[str]) -> dict[str, str]:
    return {name: redact(headers[name], keys, _KEY) for name in names if name in headers}


_SECRET = re.compile("key|token|secret|authorization")
# Whatever its length, because a test has another credential than the recording. `workflow_key` is a name.
_SECRET_PARAMETER = re.compile(rf"((?<=[?&])(?!workflow_key=)[^=&]*(?:{_SECRET.pattern})[^=&]*=)[^&]+", re.IGNORECASE)
_SCHEME = re.compile(r"\s*(?:basic|bearer|token)\s+", re.IGNORECASE)


def _secrets(request: httpx.Request) -> Iterator[str]:
    """Yield the credentials of a request."""
    for name, value in request.headers.multi_items():
        if name == "cookie":
            for cookie in value.split(";"):
                named, equals, said = cookie.strip().partition("=")
                yield said.strip('"') if equals else named
        elif _SECRET.search(name):
            scheme = _SCHEME.match(value)
            yield value[scheme.end() if scheme else 0 :].strip()
    for name, value in request.url.params.multi_items():
        if _SECRET.search(name.lower()) and name != "workflow_key":
            yield value


def _forms(secrets: Iterable[str]) -> frozenset[str]:
    """Return the credentials, unchanged and percent-encoded as in URLs. `redact` adds the JSON-escaped forms."""
    found: set[str] = set()
    for each in secrets:
        for form in (quote(each, safe=""), quote(each), quote_plus(each)):
            found |= {form, re.sub("%..", lambda escape: escape[0].lower(), form)}
        found.add(each)
    return frozenset(found)


def _as_body(content: bytes, keys: AbstractSet[str], *, is_frame: bool = False) -> dict[str, Any]:
    """Return the fields for some bytes, with credentials redacted: as JSON if possible, else as text, else as base64.

    JSON is written as a value if that reproduces the bytes, or if a credential in it was redacted: redacting it as text
    could replace a number.
    """
    if not content:
        return {}
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(redact(content, keys, _KEY)).decode()}
    match = _FRAME.fullmatch(text) if is_frame else None
    for form in (_as_frame(*match.groups()) if match else None, _as_json(text)):
        if form is not None:
            clean: dict[str, Any] = redact(form, keys, _KEY)
            if clean != form or _content(form) == content:
                return clean
    return {"text": redact(text, keys, _KEY)}


_FRAME = re.compile(r"(?:event: ([^\r\n]+)\n)?data: ([^\r\n]+)\n\n")


def _as_frame(event: str | None, data: str) -> dict[str, Any] | None:
    form = _as_json(data)
    return None if form is None else {**({"event": event} if event else {}), "data": form["json"]}


def _as_json(text: str) -> dict[str, Any] | None:
    try:
        value = parse_json(text)
        _compact(value)
    except (ValueError, RecursionError) as error:
        if foreign(error) is not None:
            raise
        return None
    return None if is_too_deep(value, text) else {"json": value}


def _frame(parts: dict[str, Any]) -> str:
    name = f"event: {parts['event']}\n" if "event" in parts else ""
    return f"{name}data: {_compact(parts['data'])}\n\n"


def _compact(value: Any) -> str:
    return write_json(value, compact=True, strict=True)


# --- Replaying ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Recorded:
    """One exchange, read from a cassette."""

    request: dict[str, Any]
    identity: str
    own_session: str | None  # the session id that the client had made for it
    response: dict[str, Any] | None = None
    parts: list[tuple[float, bytes]] = field(default_factory=list[tuple[float, bytes]])
    end: dict[str, Any] = field(default_factory=lambda: {"at": 0.0, "how": "nothing"})


class Replayer(_Transport):
    """The transport that `replay` returns, for `Scout` and `AsyncScout`.

    Attributes:
        needs_key: Always `False`, because nothing is sent.
        proves_unsent: See `scout._call.OwnTransport`.
        enforces_limits: See there.
    """

    def __init__(self, path: str | os.PathLike[str], *, real_time: bool = False) -> None:
        self.needs_key: bool = False
        self.proves_unsent: bool = True
        self.enforces_limits: bool = True
        self._name = str(_as_path(path))
        self._left: list[_Recorded] = _read(self._name)
        self._real_time = real_time
        self._lock = threading.Lock()

    def handle_request(self, request: Any, /) -> Any:
        """Return the recorded response to a request."""
        request.read()
        recorded = self._take(request)
        playback = _Playback(recorded, request, real_time=self._real_time)
        if recorded.response is None:
            playback.wait(recorded.end["at"])
            playback.raise_end()
        playback.wait(recorded.response["at"])
        return playback.response(recorded.response)

    async def handle_async_request(self, request: Any, /) -> Any:
        """Return the recorded response to a request."""
        await request.aread()
        recorded = self._take(request)
        playback = _Playback(recorded, request, real_time=self._real_time)
        if recorded.response is None:
            await playback.await_(recorded.end["at"])
            playback.raise_end()
        await playback.await_(recorded.response["at"])
        return playback.response(recorded.response)

    def close(self) -> None:
        """Do nothing, because the file is not open."""

    async def aclose(self) -> None:
        """Do nothing, because the file is not open."""

    def _take(self, request: httpx.Request) -> _Recorded:
        """Return the recorded exchange of a request, and mark it as used.

        Raises:
            ConfigurationError: the cassette has none.
        """
        asked = _without_own_session(_as_line(request, _forms(_secrets(request))))
        # Also without redaction, because the key of a test may be a word that occurs in the recorded request.
        identities = {_identity(asked), _identity(_without_own_session(_as_line(request, frozenset())))}
        with self._lock:
            for place, recorded in enumerate(self._left):
                if recorded.identity in identities:
                    return _in_session(self._left.pop(place), request)
            near = [each for each in self._left if each.request["url"] == asked["url"]] or self._left[:1]
        what = f"{asked['method']} {asked['url']}"
        if not near:
            raise ConfigurationError(f"{self._name} has no answer left for {what}: all that it holds has been given")
        where, there, here = _difference(near[0].request, asked)
        raise ConfigurationError(
            f"{self._name} has no answer for {what}: the next that it holds has another {where}, "
            f"{_shown(there)} where this request has {_shown(here)}"
        )


_OWN = f"session_id={OWN_SESSION}"


def _own_session(url: str) -> str | None:
    parts = url.partition("?")[2].split("&")
    return next((each.removeprefix("session_id=") for each in parts if each.startswith(_OWN)), None)


def _in_session(recorded: _Recorded, request: httpx.Request) -> _Recorded:
    """Put the session of this request into the recorded log of a run that the client looks up by its session."""
    there, here = recorded.own_session, _own_session(str(request.url))
    if request.method == "GET" and there and here:
        recorded.parts = [(at, content.replace(there.encode(), here.encode())) for at, content in recorded.parts]
    return recorded


def _without_own_session(request: dict[str, Any]) -> dict[str, Any]:
    """Return a request without a session id that the client has made, because each call makes another one."""
    path, mark, query = request["url"].partition("?")
    kept = [each for each in query.split("&") if not each.startswith(_OWN)]
    return {**request, "url": f"{path}{mark if kept else ''}{'&'.join(kept)}"}


_COMPARED = ("method", "url", "json", "text", "base64")


def _identity(request: dict[str, Any]) -> str:
    """Return a text that is equal for two equal requests."""
    return _text({name: request[name] for name in _COMPARED if name in request})


def _difference(there: Any, here: Any, where: str = "") -> tuple[str, Any, Any]:
    """Return the place of the first difference of two requests or bodies, and the value of each at that place."""
    if is_dict(there) and is_dict(here):
        names = _COMPARED if not where else dict.fromkeys([*there, *here])
        for name in names:
            if _text(there.get(name, _NOTHING)) != _text(here.get(name, _NOTHING)):
                inner = f"{where}.{name}" if where else ("body" if name in _COMPARED[2:] else name)
                return _difference(there.get(name, _NOTHING), here.get(name, _NOTHING), inner)
    if is_list(there) and is_list(here) and len(there) == len(here):
        for place, (one, other) in enumerate(zip(there, here, strict=True)):
            if _text(one) != _text(other):
                return _difference(one, other, f"{where}[{place}]")
    return where, there, here


_NOTHING = object()


def _text(value: Any) -> str:
    # As text, because in Python `True` equals 1.
    return "nothing" if value is _NOTHING else write_json(value, sort_keys=True)


def _shown(value: Any) -> str:
    return shorten(_text(value), 60)


class _Playback(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of a replayed response, at once or with the recorded delays."""

    def __init__(self, recorded: _Recorded, request: httpx.Request, *, real_time: bool) -> None:
        self._recorded = recorded
        silence = request.extensions.get("timeout", {}).get("read")
        self._silence: float = math.inf if silence is None else silence
        self._limits: Limits | None = request.extensions.get(LIMITS)
        self._began = time.monotonic() if real_time else None

    def response(self, head: dict[str, Any]) -> httpx.Response:
        """Return the response, with this body."""
        return httpx.Response(head["status"], headers=httpx.Headers(head["headers"], "utf-8"), stream=self)

    def __iter__(self) -> Iterator[bytes]:
        for at, content in self._recorded.parts:
            self.wait(at)
            yield content
        self.wait(self._recorded.end["at"])
        if self._recorded.end["how"] != _COMPLETE:
            self.raise_end()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at, content in self._recorded.parts:
            await self.await_(at)
            yield content
        await self.await_(self._recorded.end["at"])
        if self._recorded.end["how"] != _COMPLETE:
            self.raise_end()

    def wait(self, until: float) -> None:
        """Wait until `until` seconds after the request, but no longer than the client would."""
        if (left := self._seconds_until(until)) > 0:
            longest = self._longest_wait()
            time.sleep(min(left, longest))
            _refuse_longer(left, longest)

    async def await_(self, until: float) -> None:
        """Wait until `until` seconds after the request, but no longer than the client would."""
        if (left := self._seconds_until(until)) > 0:
            import asyncio  # not needed by Scout

            longest = self._longest_wait()
            await asyncio.sleep(min(left, longest))
            _refuse_longer(left, longest)

    def _longest_wait(self) -> float:
        """Return the seconds that the client would still wait."""
        return max(0.0, min(self._silence, _ends_at(self._limits) - time.monotonic()))

    def _seconds_until(self, at: float) -> float:
        return 0.0 if self._began is None else self._began + at - time.monotonic()

    def raise_end(self) -> NoReturn:
        """Raise the error with which the recorded response ended."""
        end = self._recorded.end
        kind = getattr(httpx, end["how"], None)
        if isinstance(kind, type) and issubclass(kind, httpx.RequestError):
            raise kind(end.get("message", ""))
        raise httpx.RemoteProtocolError(f"the recording of this answer ends here ({end['how']})")


def _refuse_longer(left: float, longest: float) -> None:
    if left > longest:
        raise httpx.ReadTimeout("the recorded server was silent for longer")


def _read(name: str) -> list[_Recorded]:
    try:
        content = Path(name).read_bytes()
    except (OSError, ValueError) as error:
        if foreign(error) is not None:
            raise
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"{name} cannot be read: {reason}") from None
    found: dict[int, _Recorded] = {}
    has_begun = False
    lines = content.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if has_begun and number == len(lines) and not _is_json(line):
            break  # an incomplete line, from a program that was killed
        try:
            _take_line(parse_json(line, strict=True), found, is_first=not has_begun)
        except (ValueError, RecursionError) as error:
            if foreign(error) is not None:
                raise
            # The line number of the error is always 1, so it is left out.
            said = f"{error.msg}, column {error.colno}" if isinstance(error, JSONDecodeError) else error
            raise ConfigurationError(f"{name}, line {number}: it is no line of a cassette ({said})") from None
        has_begun = True
    if not has_begun:
        raise ConfigurationError(f"{name} is empty, and no cassette")
    return list(found.values())


def _is_json(text: str | bytes) -> bool:
    try:
        parse_json(text)
    except NOT_JSON:
        return False
    return True


def _take_line(line: Any, found: dict[int, _Recorded], *, is_first: bool) -> None:
    if is_first:
        if line != _FORMAT:
            raise ValueError(f"the first line must be {write_json(_FORMAT)}")
        return
    if not is_dict(line):
        raise ValueError("it is no object of JSON")
    number = _field(line, "exchange", _whole)
    kind = _field(line, "kind", str)
    if (number in found) == (kind == "request"):
        raise ValueError(f"exchange {number} {'begins a second time' if number in found else 'has not begun'}")
    match kind:
        case "request":
            request = {name: line[name] for name in _COMPARED if name in line}
            request.update(method=_field(line, "method", str), url=_field(line, "url", str))
            own_session = _own_session(request["url"])
            request = _without_own_session(request)
            found[number] = _Recorded(request, _identity(request), own_session)
        case "response":
            found[number].response = {
                "at": _field(line, "at", _seconds),
                "status": _field(line, "status", _whole),
                "headers": _field(line, "headers", lambda value: dict(httpx.Headers(value, "utf-8"))),
            }
        case "part":
            found[number].parts.append((_field(line, "at", _seconds), _content(line)))
        case "end":
            found[number].end = {**line, "at": _field(line, "at", _seconds), "how": _field(line, "how", str)}
        case other:
            raise ValueError(f"there is no kind {other!r}")


def _field(line: dict[str, Any], name: str, read: Callable[[Any], T]) -> T:
    """Return a field of a line, converted by `read`.

    Raises:
        ValueError: it is missing or invalid.
    """
    if name not in line:
        raise ValueError(f"the field {name} is missing")
    try:
        return read(line[name])
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise ValueError(f"the field {name} cannot be {_shown(line[name])}") from None


def _whole(value: Any) -> int:
    if is_decimal(value):  # such as 1e999999999, whose digits would fill the memory
        raise ValueError
    return int(value)


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not 0 <= seconds < 1e9:  # sockets and locks refuse longer waits
        raise ValueError
    return seconds


def _content(line: dict[str, Any]) -> bytes:
    if "data" in line:
        return _frame(line).encode("utf-8", "backslashreplace")  # as in _readable
    if "json" in line:
        return _compact(line["json"]).encode("utf-8", "backslashreplace")
    return _field(line, "base64", base64.b64decode) if "base64" in line else _field(line, "text", str).encode()
