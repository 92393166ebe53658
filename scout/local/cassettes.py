"""Cassettes: what went over the wire, kept in a file, and given again without a network.

A cassette is a file of JSON Lines. Its first line names the format. Each further line belongs to an exchange, which has
a number, because several can be under way at once: the `request`, the `response`, a `part` of its body, and the `end`.
The times (`at`) are seconds since the request. A key never gets into the file; `record` says what else does not.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import logging
import math
import os
import re
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

import anyio
import httpx

from scout._json import is_dict as is_object
from scout._json import is_list, is_too_deep
from scout.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

__all__ = ["Recorder", "Replayer", "record", "replay"]

T = TypeVar("T")

_FORMAT = {"kind": "cassette", "format": "scout", "version": 1}
_KEPT_OF_REQUEST = ("accept", "content-type")
_KEPT_OF_RESPONSE = (
    *("content-type", "content-encoding", "location", "retry-after", "retry-after-ms"),
    *("x-request-id", "request-id", "x-correlation-id"),
)
_UNPACKED = {"gzip", "deflate", "identity"}  # what a server may send though it was not asked for
# As many connections as the client has without a recording, so that a recording changes nothing.
_LIMITS = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
_KEY = "[key]"
_SHORTEST_KEY = 8  # a shorter one is no secret, but a word that may be anywhere
_COMPLETE = "complete"
_LEFT = "the client left"
_MOMENT = 0.01  # seconds from a piece of an answer to the client's look at its limit

_log = logging.getLogger(__name__)


def record(path: str | os.PathLike[str], *, overwrite: bool = False, transport: Any = None) -> Recorder:
    """A transport that sends for real and keeps all of it: `Scout(transport=record("run.jsonl"))`.

    For `Scout` and `AsyncScout`. What is kept is requests with their bodies, and answers with theirs, but no
    credentials. These are the API key, the values of cookies, and those of other headers and of query parameters whose
    name has `key`, `token`, `secret` or `authorization` in it. Wherever one occurs in an address, a header or a text,
    or in a string of JSON, `[key]` stands in its place, also where it has escapes of JSON or of addresses.

    Not removed are: one of fewer than 8 characters, a number in JSON, the `workflow_key` of an address, what is encoded
    in another way (base64), and a secret that stands in bodies only.

    The file is made with the first request, and on POSIX only its owner may read it. When it cannot be written any more
    (a full disk), the answer still reaches the client, and the next request is refused. One recording is for one client
    in one process; it is closed with the client.

    Args:
        path: The file to write.
        overwrite: Replace a file that exists. Of several recordings at one place the last to begin stays.
        transport: What sends; by default connections of its own, without the proxies of the environment.

    Raises:
        ConfigurationError: the file exists already, or cannot be written, or the transport cannot send. A request that
            cannot be kept raises this as well, before it is sent.
    """
    return Recorder(path, overwrite=overwrite, transport=transport)


def replay(path: str | os.PathLike[str], *, real_time: bool = False) -> Replayer:
    """A transport that answers from a file of `record`, without a network: `Scout(transport=replay("run.jsonl"))`.

    A request is answered by the first recorded one with the same method, address, query and body that has not been used
    yet. An answer that broke off breaks off again.

    Args:
        path: The file to read.
        real_time: Wait as long as the server did, instead of answering at once.

    Raises:
        ConfigurationError: the file cannot be read, or is no cassette. A request that is not in it raises this as well.
    """
    return Replayer(path, real_time=real_time)


# --- Recording ----------------------------------------------------------------------------------------------------


class _Transport(ABC):
    """A transport of both kinds, which a `with` block closes, like those of httpx."""

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
    """What `record` returns: a transport for `Scout` and `AsyncScout`."""

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False, transport: Any = None) -> None:
        self._tape = _Tape(_free_place(path, overwrite=overwrite), overwrite=overwrite)
        # The client looks for these, to bound what they do in time and to know what their errors mean.
        self.inner_transports: tuple[Any, ...] = _own_transports() if transport is None else (transport,)
        if not any(hasattr(self.inner_transports[0], name) for name in ("handle_request", "handle_async_request")):
            raise ConfigurationError(f"a transport of httpx is wanted, which sends requests, not {transport!r}")

    def handle_request(self, request: Any, /) -> Any:
        """Send, and keep."""
        request.read()
        exchange = _Exchange(self._tape, request)
        try:
            response = self.inner_transports[0].handle_request(request)
        except BaseException as error:
            exchange.end(error)
            raise
        return exchange.begin(response)

    async def handle_async_request(self, request: Any, /) -> Any:
        """Send, and keep."""
        await request.aread()
        exchange = _Exchange(self._tape, request)
        try:
            response = await self.inner_transports[-1].handle_async_request(request)
        except BaseException as error:
            exchange.end(error)
            raise
        return exchange.begin(response)

    def close(self) -> None:
        """Release the connections and close the file."""
        self._tape.close()
        self.inner_transports[0].close()

    async def aclose(self) -> None:
        """Release the connections and close the file."""
        self._tape.close()
        await self.inner_transports[-1].aclose()


class _Tape:
    """The file of a recording."""

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self.keys = _Keys()
        self._path = path
        self._overwrite = overwrite
        self._file: io.FileIO | None = None
        self._process: int | None = None
        self._why_not: str | None = None
        self._lock = threading.Lock()
        self._numbers = count(1)

    def check_process(self) -> None:
        """Come before anything that takes a lock: in the child of a fork, another thread may have left it locked.

        Raises:
            ConfigurationError: this is another process than the one that began the file, which still writes it.
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
            ConfigurationError: it cannot be kept, so it must not be sent.
        """
        with self._lock:
            number = next(self._numbers)
            self._append({"kind": "request", "exchange": number, **facts})
            if self._why_not is not None:
                raise ConfigurationError(f"{self._path} cannot be written: {self._why_not}; nothing was sent")
        return number

    def write(self, **facts: Any) -> None:
        """Write what came of a request. A file that fails now must not cost the client its answer."""
        if self._is_elsewhere():
            return
        with self._lock:
            if self._why_not is None:
                self._append(facts)
                if self._why_not is not None:
                    _log.warning("%s cannot be written, and ends here: %s", self._path, self._why_not)

    def close(self) -> None:
        """Nothing more will be written."""
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
                data = json.dumps(_FORMAT).encode() + b"\n" + data
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            self._why_not = error.strerror or str(error)

    def _open(self) -> io.FileIO:
        mode = "xb"
        if self._overwrite:
            mode = "wb"
            if self._path.is_file():  # and no device
                # Replaced instead of emptied: another recording may still write the old one, at a place of its own.
                with contextlib.suppress(OSError):  # of a folder that does not allow it
                    self._path.unlink()
                    mode = "xb"
        # Without a buffer, so that a line that was written is in the file, whatever happens to the program.
        return io.FileIO(self._path, mode, opener=_open_private)


def _open_private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _readable(value: Any) -> bytes:
    """JSON in UTF-8, in which half a character stays an escape."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _as_path(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(path)
    except TypeError:
        raise ConfigurationError(f"a recording is a file: its path is wanted, not {path!r}") from None


def _free_place(path: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """Where a recording will go.

    Raises:
        ConfigurationError: something speaks against it already.
    """
    place = _as_path(path)
    try:
        place = place.absolute()  # now, because the program may change its folder before the first request
        mode = place.stat().st_mode
        is_folder = S_ISDIR(mode)
        if S_ISREG(mode):
            place = place.resolve()  # a link stays, and a pipe has no other name
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


def _own_transports() -> tuple[Any, ...]:
    try:
        context = httpx.create_ssl_context()
    except (OSError, ValueError) as error:
        reason = str(error)
    else:
        settings: dict[str, Any] = {"verify": context, "limits": _LIMITS}
        return httpx.HTTPTransport(**settings), httpx.AsyncHTTPTransport(**settings)
    raise ConfigurationError(f"the environment's settings for certificates cannot be used: {reason}")


class _Exchange:
    """One request and its answer, as they are written."""

    def __init__(self, tape: _Tape, request: httpx.Request) -> None:
        tape.check_process()
        self._tape = tape
        self._began = self._handed_over = time.monotonic()
        self._limit = request.extensions.get("timeout", {}).get("read")
        self._has_ended = False
        request.headers["accept-encoding"] = "identity"  # what is kept can then be read
        for secret in _secrets(request):
            tape.keys.add(secret)
        self._number: int = tape.begin(**_asked(request, tape.keys))

    def begin(self, response: httpx.Response) -> httpx.Response:
        """Write the head of the answer, and go along with its body."""
        # A packed body is unpacked here, for the client as well: a key in it could not be seen otherwise.
        codings = set(response.headers.get("content-encoding", "").lower().replace(",", " ").split())
        is_packed = bool(codings) and codings <= _UNPACKED
        headers = response.headers.copy()
        for name in ("content-encoding", "content-length") if is_packed else ():
            headers.pop(name, None)
        kept = _kept(headers, _KEPT_OF_RESPONSE, self._tape.keys)
        self._write("response", at=self._now(), status=response.status_code, headers=kept)
        self._is_stream = headers.get("content-type", "").lower().startswith("text/event-stream")
        return httpx.Response(
            response.status_code,
            headers=headers,
            stream=_Listening(response, self, is_packed=is_packed),
            extensions=response.extensions,
        )

    def parts(self) -> _Parts:
        """Takes the pieces of the body."""
        return _Parts(self._is_stream, self._part)

    def _part(self, content: bytes) -> None:
        self._write("part", at=self._now(), **_as_body(content, self._tape.keys, is_frame=self._is_stream))

    def hand_over(self) -> None:
        """A piece of the body goes to the client now."""
        self._handed_over = time.monotonic()

    def end(self, error: BaseException | None = None) -> None:
        """Write how it ended, the first time."""
        if self._has_ended:
            return
        self._has_ended = True
        if error is None:
            outcome = {"how": _COMPLETE}
        elif isinstance(error, httpx.HTTPError | OSError):
            outcome = {"how": type(error).__name__, "message": self._tape.keys.clean(str(error))}
        elif getattr(self._limit, "ends_at", math.inf) <= self._handed_over + _MOMENT:
            # The client looks at its limit itself when it gets a piece, and leaves when that came too late.
            outcome = {"how": "ReadTimeout", "message": "the time had passed when this came"}
        else:  # cancelled, or the like: nothing that the network did
            outcome = {"how": _LEFT}
        self._write("end", at=self._now(), **outcome)

    def _write(self, kind: str, **facts: Any) -> None:
        self._tape.write(kind=kind, exchange=self._number, **facts)

    def _now(self) -> float:
        return round(time.monotonic() - self._began, 3)


class _Parts:
    """Cuts a body into what is written as one line: the frames of a stream, and any other body whole."""

    def __init__(self, is_stream: bool, write: Any) -> None:
        self._is_stream = is_stream
        self._write = write
        self._held: list[bytes] = []
        self._tail = b""

    def add(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self._held.append(piece)
        # Only what is new is searched, with as much before it as the end of a frame can be long: a frame of many pieces
        # would else be searched from its beginning with each of them.
        recent = self._tail + piece
        if self._is_stream and _END_OF_FRAME.search(recent):
            *frames, recent = _END_OF_FRAME.split(b"".join(self._held))
            self._held = [recent]
            # Each frame with the blank line that ended it: the split gives both, in turn.
            for frame, blank in zip(frames[::2], frames[1::2], strict=True):
                self._write(frame + blank)
        self._tail = recent[-3:]

    def rest(self) -> None:
        """The body is over."""
        if content := b"".join(self._held):
            self._write(content)
        self._held = []


# Two line ends of any kind, written out because `{2}` is searched far more slowly. A CR counts at once, without waiting
# for the LF that may follow: that begins the next frame then, and nothing is lost.
_END_OF_FRAME = re.compile(rb"((?:\r\n?+|\n)(?:\r\n?+|\n))")


class _Listening(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body on its way to the client."""

    def __init__(self, response: httpx.Response, exchange: _Exchange, *, is_packed: bool) -> None:
        self._response = response
        self._inner: Any = response.stream
        self._is_packed = is_packed
        self._exchange = exchange
        self._parts = exchange.parts()

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._response.iter_bytes() if self._is_packed else self._inner:
                self._take(piece)
                yield piece
        except BaseException as error:
            self._end(error)
            raise
        self._end()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._response.aiter_bytes() if self._is_packed else self._inner:
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


def _asked(request: httpx.Request, keys: _Keys) -> dict[str, Any]:
    """A request as it is kept."""
    return {
        "method": request.method,
        "url": keys.clean(_SECRET_PARAMETER.sub(rf"\1{_KEY}", request.url.raw_path.decode("latin-1"))),
        "headers": _kept(request.headers, _KEPT_OF_REQUEST, keys),
        **_as_body(request.content, keys),
    }


def _kept(headers: httpx.Headers, names: tuple[str, ...], keys: _Keys) -> dict[str, str]:
    return {name: keys.clean(headers[name]) for name in names if name in headers}


_SECRET = re.compile("key|token|secret|authorization")
# Whatever its length: the one of a test is another than the recorded one. The API's own `workflow_key` is a name.
_SECRET_PARAMETER = re.compile(rf"((?<=[?&])(?!workflow_key=)[^=&]*(?:{_SECRET.pattern})[^=&]*=)[^&]+", re.IGNORECASE)
_SCHEME = re.compile(r"\s*(?:basic|bearer|token)\s+", re.IGNORECASE)


def _secrets(request: httpx.Request) -> Iterator[str]:
    """What a request says that must not be in a file."""
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


class _Keys:
    """The keys that must not be in a file, and what finds them there."""

    def __init__(self, *keys: str) -> None:
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._lock = threading.Lock()
        for key in keys:
            self.add(key)

    def add(self, key: str) -> None:
        """One more: a client can change its key, and a server can still say the last one."""
        with self._lock:
            if len(key) < _SHORTEST_KEY or key in self._known:
                return
            self._known.add(key)
            longest_first = sorted(self._known, key=len, reverse=True)
            self._pattern = re.compile("|".join("".join(map(_in_any_form, each)) for each in longest_first))

    def clean(self, text: str) -> str:
        """Text without keys."""
        return text if self._pattern is None else self._pattern.sub(_KEY, text)

    def clean_body(self, text: str) -> str:
        """The same for a body or a frame; of JSON only the strings are cleaned, so that a number stays one."""
        if self._pattern is None or not self._pattern.search(text):
            return text
        start = _BEFORE_JSON.match(text)
        if start is None or not _is_json(text[start.end() :]):
            return self.clean(text)
        return self.clean(start[0]) + _STRING.sub(self._clean_string, text[start.end() :])

    def _clean_string(self, quoted: re.Match[str]) -> str:
        plain = json.loads(quoted[0])
        clean = self.clean(plain)
        return quoted[0] if clean == plain else _readable(clean).decode()


_BEFORE_JSON = re.compile(r"\ufeff?+\s*+(?:(?:event|id|retry):[^\r\n]*+[\r\n]++)*+(?:data:)?+\s*+(?=[{\[])")
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"')


def _in_any_form(character: str) -> str:
    """A pattern for a character, also in JSON, in JSON in JSON, with every escape that JSON allows, and in a URL."""
    plain = {'"': r'\\{0,16}"', "\\": r"\\{1,16}", "/": r"\\{0,16}/", " ": "[ +]", "\t": r"(?:\t|\\{1,16}t)"}
    units = re.findall("....", character.encode("utf-16-be", "surrogatepass").hex())
    in_json = "".join(rf"\\{{1,16}}u(?i:{unit})" for unit in units)
    in_url = "".join(f"%{byte:02x}" for byte in character.encode(errors="surrogatepass"))
    return rf"(?:{plain.get(character, re.escape(character))}|{in_json}|(?i:{in_url}))"


def _as_body(content: bytes, keys: _Keys, *, is_frame: bool = False) -> dict[str, Any]:
    """Bytes without keys: by their parts when they can be put together again just so, else as text, else as base64."""
    if not content:
        return {}
    try:
        text = keys.clean_body(content.decode())
    except UnicodeDecodeError:
        clean = keys.clean(content.decode("latin-1")).encode("latin-1")
        return {"base64": base64.b64encode(clean).decode()}
    return (_as_frame(text) if is_frame else None) or _as_json(text)


def _as_json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
        if not is_too_deep(value, text) and _compact(value) == text:
            return {"json": value}
    except (ValueError, RecursionError):
        pass
    return {"text": text}


_FRAME = re.compile(r"(?:event: ([^\r\n]+)\n)?data: ([^\r\n]+)\n\n")


def _as_frame(text: str) -> dict[str, Any] | None:
    match = _FRAME.fullmatch(text)
    if match is None:
        return None
    event, data = match.groups()
    frame = {**({"event": event} if event else {}), "data": _as_json(data).get("json")}
    return frame if _frame(frame) == text else None


def _frame(parts: dict[str, Any]) -> str:
    name = f"event: {parts['event']}\n" if "event" in parts else ""
    return f"{name}data: {_compact(parts['data'])}\n\n"


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


# --- Replaying ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Recorded:
    """One exchange, as it was read."""

    request: dict[str, Any]
    sought: str
    response: dict[str, Any] | None = None
    parts: list[tuple[float, bytes]] = field(default_factory=list[tuple[float, bytes]])
    end: dict[str, Any] = field(default_factory=lambda: {"at": 0.0, "how": "nothing"})


class Replayer(_Transport):
    """What `replay` returns: a transport for `Scout` and `AsyncScout`, which then need no key."""

    needs_key = False
    inner_transports: tuple[Any, ...] = ()

    def __init__(self, path: str | os.PathLike[str], *, real_time: bool = False) -> None:
        self._name = str(_as_path(path))
        self._left: list[_Recorded] = _read(self._name)
        self._real_time = real_time
        self._lock = threading.Lock()

    def handle_request(self, request: Any, /) -> Any:
        """Answer from the file."""
        request.read()
        recorded = self._take(request)
        playing = _Playing(recorded, request, real_time=self._real_time)
        if recorded.response is None:
            playing.wait(recorded.end["at"])
            playing.raise_end()
        playing.wait(recorded.response["at"])
        return playing.response(recorded.response)

    async def handle_async_request(self, request: Any, /) -> Any:
        """Answer from the file."""
        await request.aread()
        recorded = self._take(request)
        playing = _Playing(recorded, request, real_time=self._real_time)
        if recorded.response is None:
            await playing.await_(recorded.end["at"])
            playing.raise_end()
        await playing.await_(recorded.response["at"])
        return playing.response(recorded.response)

    def close(self) -> None:
        """Nothing is open."""

    async def aclose(self) -> None:
        """Nothing is open."""

    def _take(self, request: httpx.Request) -> _Recorded:
        """The recorded exchange that answers a request.

        Raises:
            ConfigurationError: there is none.
        """
        asked = _asked(request, _Keys(*_secrets(request)))
        # As it is too: the key of a test, which is another, may be a word of the recorded request.
        sought = {_sought(asked), _sought(_asked(request, _Keys()))}
        with self._lock:
            for place, recorded in enumerate(self._left):
                if recorded.sought in sought:
                    return self._left.pop(place)
            near = [each for each in self._left if each.request["url"] == asked["url"]] or self._left[:1]
        what = f"{asked['method']} {asked['url']}"
        if not near:
            raise ConfigurationError(f"{self._name} has no answer left for {what}: all that it holds has been given")
        where, there, here = _difference(near[0].request, asked)
        raise ConfigurationError(
            f"{self._name} has no answer for {what}: the next that it holds has another {where}, "
            f"{_shown(there)} where this request has {_shown(here)}"
        )


_COMPARED = ("method", "url", "json", "text", "base64")


def _sought(request: dict[str, Any]) -> str:
    """What two requests have in common when they are the same."""
    return _text({name: request[name] for name in _COMPARED if name in request})


def _difference(there: Any, here: Any, where: str = "") -> tuple[str, Any, Any]:
    """Where two requests, or two bodies, differ first, and what each has there."""
    if is_object(there) and is_object(here):
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
    # As text, because to Python `True` is the same as 1.
    return "nothing" if value is _NOTHING else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _shown(value: Any) -> str:
    text = _text(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


class _Playing(httpx.SyncByteStream, httpx.AsyncByteStream):
    """One exchange on its way to the client, as quickly as can be or as slowly as it was."""

    def __init__(self, recorded: _Recorded, request: httpx.Request, *, real_time: bool) -> None:
        self._recorded = recorded
        silence = request.extensions.get("timeout", {}).get("read")
        self._silence: float = math.inf if silence is None else silence
        self._began = time.monotonic() if real_time else None

    def response(self, head: dict[str, Any]) -> httpx.Response:
        """The answer, with this as its body."""
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
        """Wait until so many seconds after the request, or as long as the client would."""
        if (left := self._seconds_until(until)) > 0:
            time.sleep(min(left, self._silence))
            self._refuse_longer(left)

    async def await_(self, until: float) -> None:
        """Wait until so many seconds after the request, or as long as the client would."""
        if (left := self._seconds_until(until)) > 0:
            await anyio.sleep(min(left, self._silence))
            self._refuse_longer(left)

    def _refuse_longer(self, left: float) -> None:
        if left > self._silence:
            raise httpx.ReadTimeout("the recorded server was silent for longer")

    def _seconds_until(self, at: float) -> float:
        return 0.0 if self._began is None else self._began + at - time.monotonic()

    def raise_end(self) -> NoReturn:
        """Break off, as it did when it was recorded."""
        end = self._recorded.end
        kind = getattr(httpx, end["how"], None)
        if isinstance(kind, type) and issubclass(kind, httpx.RequestError):
            raise kind(end.get("message", ""))
        raise httpx.RemoteProtocolError(f"the recording of this answer ends here ({end['how']})")


def _read(name: str) -> list[_Recorded]:
    try:
        content = Path(name).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"{name} cannot be read: {reason}") from None
    found: dict[int, _Recorded] = {}
    has_begun = False
    lines = content.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if has_begun and number == len(lines) and not _is_json(line):
            break  # what a program that was killed has left of a line
        try:
            _take_line(json.loads(line), found, is_first=not has_begun)
        except (ValueError, RecursionError) as error:
            # The JSON is on one line, so the line of its error says nothing.
            said = f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
            raise ConfigurationError(f"{name}, line {number}: it is no line of a cassette ({said})") from None
        has_begun = True
    if not has_begun:
        raise ConfigurationError(f"{name} is empty, and no cassette")
    return list(found.values())


def _is_json(text: str | bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _take_line(line: Any, found: dict[int, _Recorded], *, is_first: bool) -> None:
    if is_first:
        if line != _FORMAT:
            raise ValueError(f"the first line must be {json.dumps(_FORMAT)}")
        return
    if not is_object(line):
        raise ValueError("it is no object of JSON")
    number = _field(line, "exchange", int)
    kind = _field(line, "kind", str)
    if (number in found) == (kind == "request"):
        raise ValueError(f"exchange {number} {'begins a second time' if number in found else 'has not begun'}")
    match kind:
        case "request":
            request = {name: line[name] for name in _COMPARED if name in line}
            request.update(method=_field(line, "method", str), url=_field(line, "url", str))
            found[number] = _Recorded(request, _sought(request))
        case "response":
            found[number].response = {
                "at": _field(line, "at", _seconds),
                "status": _field(line, "status", int),
                "headers": _field(line, "headers", lambda value: dict(httpx.Headers(value, "utf-8"))),
            }
        case "part":
            found[number].parts.append((_field(line, "at", _seconds), _content(line)))
        case "end":
            found[number].end = {**line, "at": _field(line, "at", _seconds), "how": _field(line, "how", str)}
        case other:
            raise ValueError(f"there is no kind {other!r}")


def _field(line: dict[str, Any], name: str, read: Callable[[Any], T]) -> T:
    """A field of a line.

    Raises:
        ValueError: it is missing, or something else than it should be.
    """
    if name not in line:
        raise ValueError(f"the field {name} is missing")
    try:
        return read(line[name])
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise ValueError(f"the field {name} cannot be {_shown(line[name])}") from None


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not 0 <= seconds < 1e9:  # nobody can wait for longer
        raise ValueError
    return seconds


def _content(line: dict[str, Any]) -> bytes:
    if "data" in line:
        return _frame(line).encode()
    if "json" in line:
        return _compact(line["json"]).encode()
    return _field(line, "base64", base64.b64decode) if "base64" in line else _field(line, "text", str).encode()
