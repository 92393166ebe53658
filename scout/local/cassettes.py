"""Cassettes: what went over the wire, kept in a file, and given again without a network.

A cassette is a file of JSON Lines. Its first line names the format. Each further line belongs to an exchange, which has
a number, because several can be under way at once: the `request`, the `response`, a `part` of its body, and the `end`.
The times (`at`) are seconds since the request. A key never gets into the file.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

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
_KEY = "[key]"
_SHORTEST_KEY = 8  # a shorter one is no secret, but a word that may be anywhere
_COMPLETE = "complete"
_LEFT = "the client left"


def record(path: str | os.PathLike[str], *, overwrite: bool = False, transport: Any = None) -> Recorder:
    """A transport that sends for real and keeps all of it: `Scout(transport=record("run.jsonl"))`.

    For `Scout` and `AsyncScout`. What is kept is requests with their bodies, and answers with theirs, but no key: where
    it occurs in a body, `[key]` stands in its place.

    Args:
        path: The file to write.
        overwrite: Replace a file that exists.
        transport: What sends; by default connections of its own.

    Raises:
        ConfigurationError: the file exists already, or cannot be written.
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
        try:
            self._file = Path(path).open("w" if overwrite else "x", encoding="utf-8")  # noqa: SIM115 - until close()
        except FileExistsError:
            raise ConfigurationError(f"{path} exists already; overwrite=True replaces it") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ConfigurationError(f"{path} cannot be written: {reason}") from None
        self._lock = threading.Lock()
        self._numbers = count(1)
        # The client looks for these, to bound what they do in time and to know what their errors mean.
        self.inner_transports: tuple[Any, ...] = (transport,)
        if transport is None:
            context = httpx.create_ssl_context()
            self.inner_transports = (httpx.HTTPTransport(verify=context), httpx.AsyncHTTPTransport(verify=context))
        self.write(_FORMAT, ())

    def handle_request(self, request: Any, /) -> Any:
        """Send, and keep."""
        request.read()
        exchange = _Exchange(self, next(self._numbers), request)
        try:
            response = self.inner_transports[0].handle_request(request)
        except BaseException as error:
            exchange.end(error)
            raise
        return exchange.begin(response)

    async def handle_async_request(self, request: Any, /) -> Any:
        """Send, and keep."""
        await request.aread()
        exchange = _Exchange(self, next(self._numbers), request)
        try:
            response = await self.inner_transports[-1].handle_async_request(request)
        except BaseException as error:
            exchange.end(error)
            raise
        return exchange.begin(response)

    def close(self) -> None:
        """Release the connections and close the file."""
        self.inner_transports[0].close()
        self._file.close()

    async def aclose(self) -> None:
        """Release the connections and close the file."""
        await self.inner_transports[-1].aclose()
        self._file.close()

    def write(self, line: dict[str, Any], secrets: tuple[str, ...]) -> None:
        """Write a line, at once and without secrets."""
        text = _without(json.dumps(line, ensure_ascii=False), secrets)
        with self._lock:
            if not self._file.closed:
                self._file.write(text.encode("utf-8", "backslashreplace").decode() + "\n")
                self._file.flush()


class _Exchange:
    """One request and its answer, as they are written."""

    def __init__(self, recorder: Recorder, number: int, request: httpx.Request) -> None:
        self._recorder = recorder
        self._number = number
        self._began = time.monotonic()
        self._secrets = _secrets(request)
        self._has_ended = False
        request.headers["accept-encoding"] = "identity"  # what is kept can then be read
        self._write(
            "request",
            method=request.method,
            url=request.url.raw_path.decode("latin-1"),
            headers=_kept(request.headers, _KEPT_OF_REQUEST),
            **_as_body(request.content, self._secrets),
        )

    def begin(self, response: httpx.Response) -> httpx.Response:
        """Write the head of the answer, and go along with its body."""
        headers = _kept(response.headers, _KEPT_OF_RESPONSE)
        self._write("response", at=self._now(), status=response.status_code, headers=headers)
        self._is_stream = headers.get("content-type", "").lower().startswith("text/event-stream")
        return httpx.Response(
            response.status_code,
            headers=response.headers,
            stream=_Listening(response.stream, self),
            extensions=response.extensions,
        )

    def parts(self) -> _Parts:
        """Takes the pieces of the body."""
        return _Parts(self._is_stream, self._part)

    def _part(self, content: bytes) -> None:
        frame = _as_frame(content) if self._is_stream else None
        self._write("part", at=self._now(), **(frame or _as_body(content, self._secrets)))

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
        self._recorder.write({"kind": kind, "exchange": self._number, **facts}, self._secrets)

    def _now(self) -> float:
        return round(time.monotonic() - self._began, 3)


class _Parts:
    """Cuts a body into what is written as one line: the frames of a stream, and any other body whole."""

    def __init__(self, is_stream: bool, write: Any) -> None:
        self._is_stream = is_stream
        self._write = write
        self._held = b""

    def add(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self._held += piece
        if not self._is_stream:
            return
        *frames, self._held = _END_OF_FRAME.split(self._held)
        # Each frame with the blank line that ended it: the split gives both, in turn.
        for frame, blank in zip(frames[::2], frames[1::2], strict=True):
            self._write(frame + blank)

    def rest(self) -> None:
        """The body is over."""
        if self._held:
            self._write(self._held)
        self._held = b""


_END_OF_FRAME = re.compile(rb"(\r?\n\r?\n)")


class _Listening(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body on its way to the client."""

    def __init__(self, inner: Any, exchange: _Exchange) -> None:
        self._inner = inner
        self._exchange = exchange
        self._parts = exchange.parts()

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._inner:
                self._parts.add(piece)
                yield piece
        except BaseException as error:
            self._end(error)
            raise
        self._end()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._inner:
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


def _secrets(request: httpx.Request) -> tuple[str, ...]:
    """The key of a request, in all the ways in which it can stand in an address, in JSON, and in JSON in JSON."""
    key = request.headers.get("authorization", "").partition(" ")[2].strip()
    if len(key) < _SHORTEST_KEY:
        return ()
    ways = [key]
    for _ in range(4):
        ways.append(json.dumps(ways[-1])[1:-1])
    return tuple(dict.fromkeys([*reversed(ways), quote(key, safe="")]))


def _without(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, _KEY)
    return text


def _as_body(content: bytes, secrets: tuple[str, ...]) -> dict[str, Any]:
    """Bytes as JSON when they are JSON that can be written again just so, else as text, else as base64."""
    if not content:
        return {}
    try:
        text = content.decode()
    except UnicodeDecodeError:
        for secret in secrets:
            content = content.replace(secret.encode(), _KEY.encode())
        return {"base64": base64.b64encode(content).decode()}
    try:
        value = json.loads(text)
        if _compact(value) == text:
            return {"json": value}
    except (ValueError, RecursionError):
        pass
    return {"text": text}


_FRAME = re.compile(rb"(?:event: ([^\r\n]+)\n)?data: ([^\r\n]+)\n\n")


def _as_frame(content: bytes) -> dict[str, Any] | None:
    """A frame of a stream by its parts, if they can be put together again just so."""
    match = _FRAME.fullmatch(content)
    if match is None:
        return None
    data = _as_body(match[2], ())
    if "json" not in data:
        return None
    return {**({"event": match[1].decode()} if match[1] else {}), "data": data["json"]}


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# --- Replaying ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Recorded:
    """One exchange, as it was read."""

    number: int
    request: dict[str, Any]
    response: dict[str, Any] | None = None
    parts: list[tuple[float, bytes]] = field(default_factory=list[tuple[float, bytes]])
    end: dict[str, Any] = field(default_factory=lambda: {"at": 0.0, "how": "nothing"})


class Replayer:
    """What `replay` returns: a transport for `Scout` and `AsyncScout`."""

    inner_transports: tuple[Any, ...] = ()

    def __init__(self, path: str | os.PathLike[str], *, real_time: bool = False) -> None:
        self._name = str(path)
        self._left = deque(_read(self._name))
        self._real_time = real_time
        self._lock = threading.Lock()

    def handle_request(self, request: Any, /) -> Any:
        """Answer from the file."""
        request.read()
        recorded = self._take(request)
        playing = _Playing(recorded, real_time=self._real_time)
        if recorded.response is None:
            playing.wait(recorded.end["at"])
            playing.raise_end()
        playing.wait(recorded.response["at"])
        return playing.response(recorded.response)

    async def handle_async_request(self, request: Any, /) -> Any:
        """Answer from the file."""
        await request.aread()
        recorded = self._take(request)
        playing = _Playing(recorded, real_time=self._real_time)
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
        asked = _asked(request)
        with self._lock:
            for place, recorded in enumerate(self._left):
                if _is_same(recorded.request, asked):
                    del self._left[place]
                    return recorded
            near = [each for each in self._left if each.request["url"] == asked["url"]] or list(self._left)
        what = f"{asked['method']} {asked['url']}"
        if not near:
            raise ConfigurationError(f"{self._name} has no answer left for {what}: all that it holds has been given")
        where, there, here = _difference(near[0].request, asked)
        raise ConfigurationError(
            f"{self._name} has no answer for {what}: the next that it holds has another {where}, "
            f"{_shown(there)} where this request has {_shown(here)}"
        )


def _asked(request: httpx.Request) -> dict[str, Any]:
    secrets = _secrets(request)
    asked = {
        "method": request.method,
        "url": request.url.raw_path.decode("latin-1"),
        **_as_body(request.content, secrets),
    }
    plain: dict[str, Any] = json.loads(_without(json.dumps(asked, ensure_ascii=False), secrets))
    return plain


_COMPARED = ("method", "url", "json", "text", "base64")


def _is_same(recorded: dict[str, Any], asked: dict[str, Any]) -> bool:
    return all(_text(recorded.get(name)) == _text(asked.get(name)) for name in _COMPARED)


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

    def __init__(self, recorded: _Recorded, *, real_time: bool) -> None:
        self._recorded = recorded
        self._began = time.monotonic() if real_time else None

    def response(self, head: dict[str, Any]) -> httpx.Response:
        """The answer, with this as its body."""
        return httpx.Response(head["status"], headers=head["headers"], stream=self)

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
        """Wait until so many seconds after the request."""
        if (left := self._seconds_until(until)) > 0:
            time.sleep(left)

    async def await_(self, until: float) -> None:
        """Wait until so many seconds after the request."""
        if (left := self._seconds_until(until)) > 0:
            await anyio.sleep(left)

    def _seconds_until(self, at: float) -> float:
        return 0.0 if self._began is None else self._began + at - time.monotonic()

    def raise_end(self) -> NoReturn:
        """Break off, as it did when it was recorded."""
        end = self._recorded.end
        kind = getattr(httpx, end["how"], None)
        if isinstance(kind, type) and issubclass(kind, httpx.TransportError):
            raise kind(end.get("message", ""))
        raise httpx.RemoteProtocolError(f"the recording of this answer ends here ({end['how']})")


def _read(name: str) -> list[_Recorded]:
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"{name} cannot be read: {reason}") from None
    found: dict[int, _Recorded] = {}
    # A line without its end is what a program that was killed has left.
    lines = text.split("\n")[:-1]
    for number, line in enumerate(lines, 1):
        try:
            _take_line(json.loads(line), found, is_first=number == 1)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ConfigurationError(f"{name}, line {number}: it is no line of a cassette ({error})") from None
    if not lines:
        raise ConfigurationError(f"{name} is empty, and no cassette")
    return list(found.values())


def _take_line(line: dict[str, Any], found: dict[int, _Recorded], *, is_first: bool) -> None:
    if is_first:
        if line != _FORMAT:
            raise ValueError(f"the first line must be {json.dumps(_FORMAT)}")
        return
    number = int(line["exchange"])
    match line["kind"]:
        case "request":
            found[number] = _Recorded(number, {name: line[name] for name in _COMPARED if name in line})
        case "response":
            found[number].response = {
                "at": float(line["at"]),
                "status": int(line["status"]),
                "headers": dict(line["headers"]),
            }
        case "part":
            found[number].parts.append((float(line["at"]), _content(line)))
        case "end":
            found[number].end = {**line, "at": float(line["at"]), "how": str(line["how"])}
        case other:
            raise ValueError(f"there is no kind {other!r}")


def _content(line: dict[str, Any]) -> bytes:
    if "data" in line:
        name = f"event: {line['event']}\n" if "event" in line else ""
        return f"{name}data: {_compact(line['data'])}\n\n".encode()
    if "json" in line:
        return _compact(line["json"]).encode()
    return base64.b64decode(line["base64"]) if "base64" in line else str(line["text"]).encode()
