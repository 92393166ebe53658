"""Cassettes: what went over the wire, kept in a file, and given again without a network.

A cassette is a file of JSON Lines. Its first line names the format. Each further line belongs to an exchange, which has
a number, because several can be under way at once: the `request`, the `response`, a `part` of its body, and the `end`.
The times (`at`) are seconds since the request. A key never gets into the file.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import math
import re
import threading
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from stat import S_ISDIR
from typing import TYPE_CHECKING, Any, NoReturn

import anyio
import httpx

from scout.errors import ConfigurationError

from .jsons import is_list, is_object

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Iterator

__all__ = ["Recorder", "Replayer", "record", "replay"]

_FORMAT = {"kind": "cassette", "format": "scout", "version": 1}
_KEPT_OF_REQUEST = ("accept", "content-type")
_KEPT_OF_RESPONSE = (
    *("content-type", "content-encoding", "location", "retry-after", "retry-after-ms"),
    *("x-request-id", "request-id", "x-correlation-id"),
)
_PACKED = ("gzip", "deflate")  # what a server may send though it was not asked for
# As many connections as the client has without a recording, so that a recording changes nothing.
_LIMITS = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
_KEY = "[key]"
_SHORTEST_KEY = 8  # a shorter one is no secret, but a word that may be anywhere
_COMPLETE = "complete"
_LEFT = "the client left"

_log = logging.getLogger(__name__)


def record(path: str | os.PathLike[str], *, overwrite: bool = False, transport: Any = None) -> Recorder:
    """A transport that sends for real and keeps all of it: `Scout(transport=record("run.jsonl"))`.

    For `Scout` and `AsyncScout`. What is kept is requests with their bodies, and answers with theirs, but no key: where
    it occurs in a body, `[key]` stands in its place.

    The file is made with the first request. When it cannot be written any more (a full disk), the answer still reaches
    the client, and the next request is refused. One recording is for one client, with which it is closed.

    Args:
        path: The file to write.
        overwrite: Replace a file that exists.
        transport: What sends; by default connections of its own, without the proxies of the environment.

    Raises:
        ConfigurationError: the file exists already, or cannot be written. So does a request that cannot be kept, before
            it is sent.
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


class Recorder:
    """What `record` returns: a transport for `Scout` and `AsyncScout`."""

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False, transport: Any = None) -> None:
        self._tape = _Tape(_free_place(path, overwrite=overwrite), "wb" if overwrite else "xb")
        # The client looks for these, to bound what they do in time and to know what their errors mean.
        self.inner_transports: tuple[Any, ...] = _own_transports() if transport is None else (transport,)

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

    def __init__(self, path: Path, mode: str) -> None:
        self.keys = _Keys()
        self._path = path
        self._mode = mode
        self._file: io.FileIO | None = None
        self._why_not: str | None = None
        self._lock = threading.Lock()
        self._numbers = count(1)

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
        with self._lock:
            if self._why_not is None:
                self._append(facts)
                if self._why_not is not None:
                    _log.warning("%s cannot be written, and ends here: %s", self._path, self._why_not)

    def close(self) -> None:
        """Nothing more will be written."""
        with self._lock:
            self._why_not = self._why_not or "it was closed with its client; make a new recording"
            if self._file is not None:
                self._file.close()

    def _append(self, line: dict[str, Any]) -> None:
        if self._why_not is not None:
            return
        data = self.keys.clean(json.dumps(line, ensure_ascii=False)).encode("utf-8", "backslashreplace") + b"\n"
        try:
            if self._file is None:
                # Without a buffer, so that a line that was written is in the file, whatever happens to the program.
                self._file = io.FileIO(self._path, self._mode)
                data = json.dumps(_FORMAT).encode() + b"\n" + data
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            self._why_not = error.strerror or str(error)


def _free_place(path: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """Where a recording will go.

    Raises:
        ConfigurationError: something speaks against it already.
    """
    place = Path(path)
    try:
        is_folder = S_ISDIR(place.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        if place.parent.is_dir():
            return place
        reason = f"there is no folder {place.parent}"
    except (OSError, ValueError) as error:
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
        self._tape = tape
        self._began = time.monotonic()
        self._has_ended = False
        request.headers["accept-encoding"] = "identity"  # what is kept can then be read
        tape.keys.add(_key(request))
        self._number: int = tape.begin(
            method=request.method,
            url=request.url.raw_path.decode("latin-1"),
            headers=_kept(request.headers, _KEPT_OF_REQUEST),
            **_as_body(request.content, tape.keys),
        )

    def begin(self, response: httpx.Response) -> httpx.Response:
        """Write the head of the answer, and go along with its body."""
        # A packed body is unpacked here, for the client as well: a key in it could not be seen otherwise.
        is_packed = response.headers.get("content-encoding", "").lower() in _PACKED
        headers = response.headers.copy()
        for name in ("content-encoding", "content-length") if is_packed else ():
            headers.pop(name, None)
        kept = _kept(headers, _KEPT_OF_RESPONSE)
        self._write("response", at=self._now(), status=response.status_code, headers=kept)
        self._is_stream = kept.get("content-type", "").lower().startswith("text/event-stream")
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
        frame = _as_frame(content) if self._is_stream else None
        self._write("part", at=self._now(), **(frame or _as_body(content, self._tape.keys)))

    def end(self, error: BaseException | None = None, how: str = _COMPLETE) -> None:
        """Write how it ended, the first time."""
        if self._has_ended:
            return
        self._has_ended = True
        if error is None:
            self._write("end", at=self._now(), how=how)
        elif isinstance(error, httpx.HTTPError | OSError):
            self._write("end", at=self._now(), how=type(error).__name__, message=str(error))
        else:  # cancelled, or the like: nothing that the network did
            self._write("end", at=self._now(), how=_LEFT)

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


_END_OF_FRAME = re.compile(rb"(\r?\n\r?\n)")


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
                self._parts.add(piece)
                yield piece
        except BaseException as error:
            self._end(error)
            raise
        self._end()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._response.aiter_bytes() if self._is_packed else self._inner:
                self._parts.add(piece)
                yield piece
        except BaseException as error:
            self._end(error)
            raise
        self._end()

    def close(self) -> None:
        self._end(how=_LEFT)
        self._inner.close()

    async def aclose(self) -> None:
        self._end(how=_LEFT)
        await self._inner.aclose()

    def _end(self, error: BaseException | None = None, how: str = _COMPLETE) -> None:
        self._parts.rest()
        self._exchange.end(error, how)


def _kept(headers: httpx.Headers, names: tuple[str, ...]) -> dict[str, str]:
    return {name: headers[name] for name in names if name in headers}


def _key(request: httpx.Request) -> str:
    return str(request.headers.get("authorization", "")).partition(" ")[2].strip()


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
        """JSON as text, without keys."""
        return text if self._pattern is None else self._pattern.sub(_KEY, text)

    def cleaned(self, value: Any) -> Any:
        """The same for a value."""
        return json.loads(self.clean(json.dumps(value, ensure_ascii=False)))


def _in_any_form(character: str) -> str:
    """A pattern for a character in JSON, in JSON in JSON, with every escape that JSON allows, and in a URL."""
    plain = {'"': r'\\{1,16}"', "\\": r"\\{2,16}", "/": r"\\{0,16}/"}.get(character, re.escape(character))
    code = f"{ord(character):02x}"
    return rf"(?:{plain}|\\{{1,16}}u00(?i:{code})|%(?i:{code}))"


def _as_body(content: bytes, keys: _Keys) -> dict[str, Any]:
    """Bytes as JSON when they are JSON that can be written again just so, else as text, else as base64."""
    if not content:
        return {}
    try:
        text = content.decode()
    except UnicodeDecodeError:
        clean = keys.cleaned(content.decode("latin-1")).encode("latin-1")
        return {"base64": base64.b64encode(clean).decode()}
    try:
        value = json.loads(text)
        if _compact(value) == text:
            return {"json": value}
    except (ValueError, RecursionError):
        pass
    return {"text": text}


_FRAME = re.compile(r"(?:event: ([^\r\n]+)\n)?data: ([^\r\n]+)\n\n")


def _as_frame(content: bytes) -> dict[str, Any] | None:
    """A frame of a stream by its parts, if they can be put together again just so."""
    match = _FRAME.fullmatch(content.decode(errors="replace"))
    if match is None:
        return None
    event, text = match.groups()
    data = _as_body(text.encode(), _Keys())
    frame = {**({"event": event} if event else {}), "data": data.get("json")}
    return frame if _frame(frame) == content else None


def _frame(parts: dict[str, Any]) -> bytes:
    name = f"event: {parts['event']}\n" if "event" in parts else ""
    return f"{name}data: {_compact(parts['data'])}\n\n".encode()


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


class Replayer:
    """What `replay` returns: a transport for `Scout` and `AsyncScout`."""

    inner_transports: tuple[Any, ...] = ()

    def __init__(self, path: str | os.PathLike[str], *, real_time: bool = False) -> None:
        self._name = str(path)
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
        keys = _Keys(_key(request))
        plain = {
            "method": request.method,
            "url": request.url.raw_path.decode("latin-1"),
            **_as_body(request.content, keys),
        }
        asked: dict[str, Any] = keys.cleaned(plain)
        # As it is too: the key of a test, which is another, may be a word of the recorded request.
        sought = {_sought(asked), _sought(plain)}
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
    if not content:
        raise ConfigurationError(f"{name} is empty, and no cassette")
    found: dict[int, _Recorded] = {}
    lines = content.split(b"\n")
    for number, line in enumerate(lines, 1):
        if number == len(lines) > 1 and not _is_json(line):
            break  # nothing, after the last line; or what a program that was killed has left of one
        try:
            _take_line(json.loads(line), found, is_first=number == 1)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ConfigurationError(f"{name}, line {number}: it is no line of a cassette ({error})") from None
    return list(found.values())


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _take_line(line: dict[str, Any], found: dict[int, _Recorded], *, is_first: bool) -> None:
    if is_first:
        if line != _FORMAT:
            raise ValueError(f"the first line must be {json.dumps(_FORMAT)}")
        return
    number = int(line["exchange"])
    match line["kind"]:
        case "request":
            if number in found:
                raise ValueError(f"exchange {number} begins a second time")
            request = {name: line[name] for name in _COMPARED if name in line}
            request.update(method=str(line["method"]), url=str(line["url"]))
            found[number] = _Recorded(request, _sought(request))
        case "response":
            found[number].response = {
                "at": float(line["at"]),
                "status": int(line["status"]),
                "headers": dict(httpx.Headers(line["headers"], "utf-8")),
            }
        case "part":
            found[number].parts.append((float(line["at"]), _content(line)))
        case "end":
            found[number].end = {**line, "at": float(line["at"]), "how": str(line["how"])}
        case other:
            raise ValueError(f"there is no kind {other!r}")


def _content(line: dict[str, Any]) -> bytes:
    if "data" in line:
        return _frame(line)
    if "json" in line:
        return _compact(line["json"]).encode()
    return base64.b64decode(line["base64"]) if "base64" in line else str(line["text"]).encode()
