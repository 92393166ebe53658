"""Content codings of responses (RFC 9110, 8.4): gzip and deflate, decoded while they arrive.

httpx has decoders of its own, which stop after the first member of a gzip body (RFC 1952, 2.2) and take a body that was
cut off for whole.
"""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from ._config import CODINGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator, Mapping

__all__ = ["async_pieces", "decoded", "pieces"]

_MOST = 256 * 1024  # bytes of one piece, so that a small body that decodes to a huge one does not fill the memory
_MOST_CODINGS = 5  # each can multiply the work; no honest server needs more than two


def decoded(response: httpx.Response) -> httpx.Response:
    """Return a response whose body is decoded as it is read, without the headers that describe the encoded body.

    A response without a coding is returned unchanged, and so is one with a coding that is not known here. Reading the
    body raises `httpx.DecodingError` when it is damaged or ends too early.
    """
    if "content-encoding" not in response.headers:
        return response
    codings = _codings(response.headers)
    if not codings or _unknown(codings):
        return response
    if response.is_stream_consumed and not isinstance(response.stream, httpx.ByteStream):
        return response  # its transport has read it, and httpx has decoded it
    headers = response.headers.copy()
    for name in ("content-encoding", "content-length"):
        headers.pop(name, None)
    return httpx.Response(
        response.status_code,
        headers=headers,
        stream=_DecodedBody(response, codings),
        extensions=response.extensions,
    )


def pieces(response: httpx.Response) -> Iterator[bytes]:
    """Return the pieces of the body of a response that `decoded` has returned.

    A coding that is not known here is left to httpx, which decodes some if their packages are installed. A body that
    is not text after that raises `httpx.DecodingError`. Text is taken as it is: its coding was only named.
    """
    if "content-encoding" not in response.headers:
        return response.iter_bytes()
    return _texts(response)


def _texts(response: httpx.Response) -> Iterator[bytes]:
    is_first = True
    with _named(response):
        for piece in response.iter_bytes():
            if is_first:
                _check_text(response, piece)
            is_first = False
            yield piece


def async_pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    """Return the pieces of a body. As `pieces`."""
    if "content-encoding" not in response.headers:
        return response.aiter_bytes()
    return _async_texts(response)


async def _async_texts(response: httpx.Response) -> AsyncIterator[bytes]:
    is_first = True
    with _named(response):
        async for piece in response.aiter_bytes():
            if is_first:
                _check_text(response, piece)
            is_first = False
            yield piece


@contextmanager
def _named(response: httpx.Response) -> Generator[None, None, None]:
    """Name the coding that is not known in the error of a body that cannot be decoded."""
    try:
        yield
    except httpx.DecodingError:
        unknown = ", ".join(_unknown(_codings(response.headers)))
        raise httpx.DecodingError(
            f"its content coding {unknown} is not known here; the request accepted gzip and deflate"
        ) from None


def _check_text(response: httpx.Response, piece: bytes) -> None:
    unknown = _unknown(_codings(response.headers))
    text = piece.decode("utf-8", "replace")
    # The first piece may end within a character.
    if unknown and ("\ufffd" in text[:-1] or any(c < " " and c not in "\t\r\n" for c in text)):
        raise httpx.DecodingError("it is not text")


def _unknown(codings: list[str]) -> list[str]:
    return [coding for coding in codings if coding not in CODINGS]


def _codings(headers: Mapping[str, str]) -> list[str]:
    """Return the codings of a body in the order in which they were applied."""
    named = (coding.strip().lower() for coding in headers.get("content-encoding", "").split(","))
    return [coding for coding in named if coding not in ("", "identity")]


class _DecodedBody(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The decoded body of a response."""

    def __init__(self, response: httpx.Response, codings: list[str]) -> None:
        self._response = response
        self._inner: object = response.stream
        self._codings = codings

    def __iter__(self) -> Iterator[bytes]:
        assert isinstance(self._inner, httpx.SyncByteStream)
        decoders = self._decoders()
        for piece in self._inner:
            yield from _through(decoders, piece)
        _check_ends(decoders)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self._inner, httpx.AsyncByteStream)
        decoders = self._decoders()
        async for piece in self._inner:
            for each in _through(decoders, piece):
                yield each
        _check_ends(decoders)

    def _decoders(self) -> list[_Gzip | _Deflate]:
        if len(self._codings) > _MOST_CODINGS:
            raise httpx.DecodingError(f"it has {len(self._codings)} content codings, and {_MOST_CODINGS} are allowed")
        return [_Gzip() if CODINGS[coding] == "gzip" else _Deflate() for coding in reversed(self._codings)]

    def close(self) -> None:
        self._response.close()

    async def aclose(self) -> None:
        await self._response.aclose()


def _through(decoders: list[_Gzip | _Deflate], piece: bytes) -> Iterator[bytes]:
    first, *others = decoders
    try:
        for each in first.decode(piece):
            if others:
                yield from _through(others, each)
            else:
                yield each
    except zlib.error as error:
        raise httpx.DecodingError(f"its {first.name} coding is damaged: {error}") from None


def _check_ends(decoders: list[_Gzip | _Deflate]) -> None:
    for decoder in decoders:
        if not decoder.is_whole:
            raise httpx.DecodingError(f"its {decoder.name} coding ends too early")


def _inflate(inflater: Any, data: bytes) -> Iterator[bytes]:
    """Yield what some bytes decode to, in pieces of limited size."""
    piece = b""
    while (data or len(piece) == _MOST) and not inflater.eof:
        piece = inflater.decompress(data, _MOST)
        data = inflater.unconsumed_tail
        if piece:
            yield piece


class _Gzip:
    """Decoder of gzip: one member after another, then perhaps zeros."""

    name = "gzip"

    def __init__(self) -> None:
        self._member: Any = None
        self._start = b""  # the first byte of a member, while there is one only
        self._has_member = False  # a whole one
        self._is_over = False

    @property
    def is_whole(self) -> bool:
        """True at the end of a member, or before the first."""
        return self._member is None and not self._start

    def decode(self, data: bytes) -> Iterator[bytes]:
        while data and not self._is_over:
            if self._member is None:
                data, self._start = self._start + data, b""
                if self._has_member:
                    data = data.lstrip(b"\0")
                    if data == _MAGIC[:1]:
                        self._start = data
                        return
                    if not data.startswith(_MAGIC):
                        # As the program gzip does: what follows the last member and is none is ignored. JSON and
                        # streams tell by themselves whether they are whole.
                        self._is_over = bool(data)
                        return
                self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            yield from _inflate(self._member, data)
            if not self._member.eof:
                return
            data, self._member, self._has_member = self._member.unused_data, None, True


_MAGIC = b"\x1f\x8b"


class _Deflate:
    """Decoder of deflate: in the format of zlib, as RFC 9110 has it, or bare, as some servers send it."""

    name = "deflate"

    def __init__(self) -> None:
        self._inflater: Any = None
        self._start = b""

    @property
    def is_whole(self) -> bool:
        """True at the end, or before the beginning."""
        return not self._start if self._inflater is None else bool(self._inflater.eof)

    def decode(self, data: bytes) -> Iterator[bytes]:
        if self._inflater is None:
            data = self._start = self._start + data
            if len(data) < 2:
                return
            is_zlib = data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2], "big") % 31 == 0
            self._inflater = zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
        yield from _inflate(self._inflater, data)
