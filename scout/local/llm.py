"""Language models for blocks: any server with OpenAI's chat completions API."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import httpx

from scout._config import is_loopback
from scout._json import SHORTEST_SECRET, is_dict, is_list, parse_json, redact, shorten, write_json
from scout.errors import ConfigurationError

from .blocks import BlockFailedError, prompts, wants_json

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

    from .blocks import BlockContext

# The settings of a block that such servers know; all others are specific to Scout.
_PASSED_ON = (
    *("model", "temperature", "top_p", "max_tokens", "max_completion_tokens", "reasoning_effort"),
    *("frequency_penalty", "presence_penalty", "stop", "seed"),
)
_CONNECT_SECONDS = 10.0
_LONGEST_LINE = 4 * 1024 * 1024
_LONGEST_ANSWER = 16 * 1024 * 1024
_LONGEST_REFUSAL = 64 * 1024
_LONGEST_QUOTE = 300
_DONE = b"[DONE]"
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
_ENOUGH_TO_TELL = max(map(len, _FIELDS))
"""With this number of bytes, it is clear whether a body begins with a field of a server-sent event."""


class ChatCompletions:
    """Handler of LLM blocks that calls a real language model. Use it on one event loop only.

    Args:
        base_url: The URL of the server, such as `http://127.0.0.1:11434/v1`.
        api_key: The key for the server, if it needs one.
        timeout: The longest silence of the server, in seconds.

    Raises:
        ConfigurationError: The URL or the key is invalid.
    """

    def __init__(self, base_url: str, api_key: str | None = None, *, timeout: float = 600.0) -> None:
        self._url: httpx.URL = _address(base_url)
        self._shown: str = f"{self._url.scheme}://{self._url.netloc.decode()}{self._url.path}"
        self._key: str | None = _checked_key(api_key)
        self._secrets = _secrets(base_url, self._key)
        self._login: tuple[str, str] | None = _login(base_url) if self._key is None else None
        self._timeout = httpx.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS), pool=None)
        self._client: httpx.AsyncClient | None = None

    def __repr__(self) -> str:
        return f"<ChatCompletions {self._shown}>"

    async def answer(self, inputs: dict[str, Any], _: BlockContext) -> Any:
        """Call the model, and return an iterator of text, or the JSON object that the block asks for.

        Raises:
            BlockFailedError: The block has no prompt, the server failed, or its answer is not text.
        """
        reply = _Reply(self._failure, self._quote)
        pieces = self._pieces(_request(inputs), reply)
        if not wants_json(inputs):
            return pieces
        async with contextlib.aclosing(pieces):
            text = "".join([piece async for piece in pieces])
        try:
            answer: object = parse_json(text)
        except (ValueError, RecursionError):
            answer = None
        if not is_dict(answer):
            cut = ", cut off at its longest length" if reply.finish == "length" else ""
            raise self._failure(f"was asked for a JSON object and answered {self._quote(text)}{cut}")
        return answer

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _pieces(self, request: Mapping[str, Any], reply: _Reply) -> AsyncGenerator[str, None]:
        arrived = 0
        try:
            async with self._http().stream("POST", self._url, json=request) as response:
                if not response.is_success:
                    raise await self._refusal(response, request.get("model"))
                start, body = await _begun(response)
                source = self._streamed if _is_stream(response, start) else self._whole
                async with contextlib.aclosing(body), contextlib.aclosing(source(body, reply)) as pieces:
                    async for piece in pieces:
                        arrived += len(piece)
                        if arrived > _LONGEST_ANSWER:
                            raise self._failure(f"answered more than {_LONGEST_ANSWER} characters")
                        if piece:
                            yield piece
                reply.check()
        except httpx.ConnectTimeout:
            raise self._failure("cannot be reached: no connection in time") from None
        except httpx.ConnectError as error:
            raise self._failure(f"cannot be reached: {error}. Does it run there?") from None
        except httpx.TimeoutException:
            raise self._failure(f"was silent for {self._timeout.read:g} seconds") from None
        except httpx.HTTPError as error:
            when = "in the middle of its answer" if arrived else "before it answered"
            raise self._failure(f"broke off {when}: {error}") from None

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            # Not compressed, because httpx reads only the first member of a gzip body.
            headers = {
                "accept": "text/event-stream, application/json",
                "accept-encoding": "identity",
                "user-agent": "scout-local",
            }
            if self._key is not None:
                headers["authorization"] = f"Bearer {self._key}"
            self._client = httpx.AsyncClient(
                headers=headers,
                auth=self._login,
                timeout=self._timeout,
                limits=httpx.Limits(max_connections=None),
                # Not through a proxy when the server is this machine.
                trust_env=not is_loopback(self._url.host),
            )
        return self._client

    async def _streamed(self, body: AsyncIterator[bytes], reply: _Reply) -> AsyncGenerator[str, None]:
        event = b""
        rest = b""
        async for received in body:
            # Lines end only with a line feed, because the text of a model may hold other separators.
            *lines, rest = (rest + received).split(b"\n")
            if len(rest) > _LONGEST_LINE:
                raise self._failure(f"sent a line of more than {_LONGEST_LINE} bytes")
            for line in lines:
                name, _, value = line.partition(b":")
                match name.strip():
                    case b"event":
                        event = value.strip()
                    case b"data" if value.strip() == _DONE:
                        return
                    case b"data":
                        choice = _first_choice(self._parsed(value.strip(), is_error=event == b"error"))
                        yield reply.add(choice, choice.get("delta"))
                    case b"":
                        event = b""
                    case _:
                        pass
        # Not every server ends its last line.
        if not reply.finish and rest.removeprefix(b"data:").strip() != _DONE:
            raise self._failure("broke off in the middle of its answer")

    async def _whole(self, body: AsyncIterator[bytes], reply: _Reply) -> AsyncGenerator[str, None]:
        content, complete = await _read(body, _LONGEST_ANSWER)
        if not complete:
            raise self._failure(f"answered more than {_LONGEST_ANSWER} bytes")
        choice = _first_choice(self._parsed(content))
        if not is_dict(choice.get("message")):
            raise self._failure(f"gave an answer that is not a chat completion: {self._quote(content)}")
        yield reply.add(choice, choice["message"])

    def _parsed(self, data: bytes, *, is_error: bool = False) -> dict[str, Any]:
        try:
            parsed: object = parse_json(data)
        except (ValueError, RecursionError):
            parsed = None
        if is_error:
            raise self._failure(f"failed: {self._quote(data if parsed is None else _message(parsed))}")
        if not is_dict(parsed):
            raise self._failure(f"sent something that is not a JSON object: {self._quote(data)}")
        if parsed.get("error") or "error" in (parsed.get("object"), parsed.get("type")):
            raise self._failure(f"failed: {self._quote(_message(parsed))}")
        return parsed

    async def _refusal(self, response: httpx.Response, model: object) -> BlockFailedError:
        body, _ = await _read(response.aiter_bytes(), _LONGEST_REFUSAL)
        try:
            said = self._quote(_message(parse_json(body)))
        except (ValueError, RecursionError):
            said = self._quote(body)
        status = response.status_code
        match status:
            case 401 | 403:
                what = "refused the key" if self._key else "wants a key (llm_api_key, --llm-api-key-env)"
            case 404:
                what = f'knows no model "{model}", or has no chat completions at this address'
            case 429:
                wait = response.headers.get("retry-after", "")
                pause = f" and wants a pause of {wait} seconds" if wait.isdecimal() else ""
                what = f"has had too many requests{pause}"
            case _ if response.is_redirect:
                what = "sends us to another address, which is not followed"
            case _:
                what = "did not answer"
        return self._failure(f"{what} (status {status}): {said}", status)

    def _failure(self, what: str, status: int | None = None) -> BlockFailedError:
        return BlockFailedError(f"the model server at {self._shown} {self._without_secrets(what)}", status)

    def _without_secrets(self, text: str) -> str:
        return str(redact(text, self._secrets, "***", shortest=1))

    def _quote(self, said: str | bytes) -> str:
        text = said if isinstance(said, str) else said.decode(errors="replace")
        text = " ".join(self._without_secrets(text).split())  # before shortening, which could leave a part of a secret
        return shorten(text, _LONGEST_QUOTE) or "nothing"


# --- Settings ------------------------------------------------------------------------------------------------------


def _address(base_url: str) -> httpx.URL:
    """Return the URL of the chat completions, without user name and password."""
    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, TypeError, ValueError):
        raise ConfigurationError("llm_base_url is not an address.") from None
    if url.scheme not in ("http", "https") or not url.host or not 0 < (80 if url.port is None else url.port) <= 65535:
        raise ConfigurationError("llm_base_url must be an address such as http://127.0.0.1:11434/v1.")
    return url.copy_with(path=f"{url.path.rstrip('/')}/chat/completions", username="", password="", fragment=None)


def _login(base_url: str) -> tuple[str, str] | None:
    url = httpx.URL(base_url)
    return (url.username, url.password) if url.userinfo else None


def _checked_key(api_key: object) -> str | None:
    if api_key is None:
        return None
    key = api_key.strip() if isinstance(api_key, str) else ""
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError("llm_api_key must be one word of visible ASCII characters; this one is not shown.")
    return key


def _secrets(base_url: str, key: str | None) -> list[str]:
    """Return the credentials, which a server could quote, for redaction."""
    url = httpx.URL(base_url)
    # A query parameter of this length may be a key.
    long = [value for value in url.params.values() if len(value) >= SHORTEST_SECRET]
    return [secret for secret in (key, url.password, *long) if secret]


# --- Requests and responses ----------------------------------------------------------------------------------------


def _request(inputs: Mapping[str, Any]) -> dict[str, Any]:
    messages = [{"role": item.get("role") or "user", "content": item.get("content", "")} for item in prompts(inputs)]
    request: dict[str, Any] = {"messages": messages, "stream": True}
    request.update((name, inputs[name]) for name in _PASSED_ON if inputs.get(name) is not None)
    if wants_json(inputs):
        request["response_format"] = {"type": "json_object"}
    elif is_dict(inputs.get("response_format")):
        request["response_format"] = inputs["response_format"]
    return request


async def _begun(response: httpx.Response) -> tuple[bytes, AsyncGenerator[bytes, None]]:
    """Return the first bytes of a body that are not blank, and the whole body."""
    received = response.aiter_bytes()
    start = b""
    async for piece in received:
        start += piece
        if len(_unblank(start)) >= _ENOUGH_TO_TELL or len(start) > _LONGEST_LINE:
            break

    async def body() -> AsyncGenerator[bytes, None]:
        yield _unblank(start)
        async for piece in received:
            yield piece

    return _unblank(start), body()


def _unblank(start: bytes) -> bytes:
    return start.removeprefix(b"\xef\xbb\xbf").lstrip()


def _is_stream(response: httpx.Response, start: bytes) -> bool:
    """Return True for a body of server-sent events. Its beginning decides, because servers mistake the content type."""
    says_stream = response.headers.get("content-type", "").lower().startswith("text/event-stream")
    return start.startswith(_FIELDS) or (says_stream and not start.startswith((b"{", b"<")))


async def _read(body: AsyncIterator[bytes], most: int) -> tuple[bytes, bool]:
    """Return at most `most` bytes of a body, and True when that is the whole body."""
    content = b""
    async for received in body:
        content += received
        if len(content) > most:
            return content[:most], False
    return content, True


def _first_choice(answer: Mapping[str, Any]) -> dict[str, Any]:
    choices = answer.get("choices")
    return choices[0] if is_list(choices) and choices and is_dict(choices[0]) else {}


class _Reply:
    """The reply of a model, whole or in pieces: its text, and everything that is not text and fails the block.

    Args:
        failure: Returns the error of the block for what the model server did.
        quote: Returns what the server said as a short text for such an error.

    Attributes:
        finish: The reason why the model stopped, such as `stop` or `length`; `None` when the server gave none.
    """

    def __init__(self, failure: Callable[[str], BlockFailedError], quote: Callable[[str], str]) -> None:
        self.finish: str | None = None
        self._failure = failure
        self._quote = quote
        self._refusal = ""
        self._calls: list[str] = []
        self._has_text = False
        self._has_empty_text = False
        self._has_reasoning = False

    def add(self, choice: Mapping[str, Any], message: object) -> str:
        """Note the message of an answer, or the delta of a piece of it, and return its text.

        Raises:
            BlockFailedError: It has content that is not text, or an error.
        """
        if choice.get("error"):
            raise self._failure(f"failed: {self._quote(_message(choice))}")
        if choice.get("finish_reason"):
            self.finish = str(choice["finish_reason"])
        if message is None:  # some servers end with a piece that has no delta
            return ""
        if not is_dict(message):
            raise self._not_text(message)
        self._refuse(message.get("refusal"))
        calls = message.get("tool_calls") or message.get("function_call")
        if calls:
            self._calls += map(_name_of, calls if is_list(calls) else [calls])
        if message.get("reasoning_content") or message.get("reasoning"):
            self._has_reasoning = True
        content = message.get("content")
        text = "" if content is None else "".join(map(self._text, content if is_list(content) else [content]))
        self._has_text = self._has_text or bool(text)
        self._has_empty_text = self._has_empty_text or content == ""
        return text

    def check(self) -> None:
        """Check that the text, which is complete now, is the answer to the prompt.

        An empty text is one only when the model finished with it. A text that `max_tokens` cut off is an answer: the
        block itself asked for the limit.

        Raises:
            BlockFailedError: The model refused, was stopped, wants to call a tool, or sent no text.
        """
        if self._refusal:
            raise self._failure(f"sent a refusal: {self._quote(self._refusal)}")
        if self._calls or self.finish in ("tool_calls", "function_call"):
            name = next(filter(None, self._calls), "a tool")
            raise self._failure(f"wants to call {self._quote(name)}, but the local Scout gives a model no tools")
        if self.finish == "content_filter":
            raise self._failure("held its answer back (finish_reason content_filter)")
        if self.finish == "error":
            raise self._failure("broke off in the middle of its answer (finish_reason error)")
        if self._has_text or (self._has_empty_text and self.finish == "stop" and not self._has_reasoning):
            return
        what = "sent its reasoning, but no text" if self._has_reasoning else "sent no text"
        raise self._failure(f"{what} (finish_reason {self._quote(self.finish or 'none')})")

    def _text(self, part: object) -> str:
        """Return the text of a part of the content; the content itself may be its only part."""
        if isinstance(part, str):
            return part
        if is_dict(part):
            kind, text = part.get("type"), part.get("text")
            if kind in ("text", "output_text") and isinstance(text, str):
                return text
            if kind == "refusal":
                self._refuse(part.get("refusal") or "no reason")
                return ""
            if kind in ("thinking", "reasoning"):
                self._has_reasoning = True
                return ""
        raise self._not_text(part)

    def _refuse(self, refusal: object) -> None:
        if refusal:
            self._refusal += refusal if isinstance(refusal, str) else write_json(refusal)
        if len(self._refusal) > _LONGEST_REFUSAL:  # an endless one
            raise self._failure(f"sent a refusal: {self._quote(self._refusal)}")

    def _not_text(self, content: object) -> BlockFailedError:
        return self._failure(f"sent content that is not text: {self._quote(write_json(content))}")


def _name_of(call: object) -> str:
    """Return the name of the function that a model wants to call; nothing in the later pieces of a call."""
    function = call.get("function", call) if is_dict(call) else None
    name = function.get("name") if is_dict(function) else None
    return name if isinstance(name, str) else ""


def _message(answer: object) -> str:
    """Return the error message of a server, which may be in one of several places."""
    said: object = answer
    for name in ("error", "message", "detail"):
        said = said.get(name, said) if is_dict(said) else said
    return said if isinstance(said, str) else write_json(said)
