"""Language models for blocks: any server with OpenAI's chat completions API."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import httpx

from scout._config import is_loopback
from scout._json import SHORTEST_SECRET, is_dict, is_list, parse_json, redact, shorten
from scout.errors import ConfigurationError

from .blocks import BlockFailedError, prompts, wants_json

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

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
            BlockFailedError: The block has no prompt, or the server failed.
        """
        pieces = self._pieces(_request(inputs))
        if not wants_json(inputs):
            return pieces
        async with contextlib.aclosing(pieces):
            text = "".join([piece async for piece in pieces])
        try:
            answer: object = parse_json(text)
        except (ValueError, RecursionError):
            answer = None
        if not is_dict(answer):
            raise self._failure(f"was asked for a JSON object and answered {self._quote(text)}")
        return answer

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _pieces(self, request: Mapping[str, Any]) -> AsyncGenerator[str, None]:
        arrived = 0
        try:
            async with self._http().stream("POST", self._url, json=request) as response:
                if not response.is_success:
                    raise await self._refusal(response, request.get("model"))
                is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
                source = self._streamed(response) if is_stream else self._whole(response)
                async with contextlib.aclosing(source):
                    async for piece in source:
                        arrived += len(piece)
                        if arrived > _LONGEST_ANSWER:
                            raise self._failure(f"answered more than {_LONGEST_ANSWER} characters")
                        yield piece
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
            headers = {"accept": "text/event-stream, application/json", "user-agent": "scout-local"}
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

    async def _streamed(self, response: httpx.Response) -> AsyncGenerator[str, None]:
        finished = False
        rest = b""
        async for received in response.aiter_bytes():
            # Lines end only with a line feed, because the text of a model may hold other separators.
            *lines, rest = (rest + received).split(b"\n")
            if len(rest) > _LONGEST_LINE:
                raise self._failure(f"sent a line of more than {_LONGEST_LINE} bytes")
            for line in lines:
                if not line.startswith(b"data:"):
                    continue
                data = line.removeprefix(b"data:").strip()
                if data == b"[DONE]":
                    return
                choice = _first_choice(self._parsed(data))
                finished = finished or choice.get("finish_reason") is not None
                if text := _text_of(choice.get("delta")):
                    yield text
        if not finished and rest.removeprefix(b"data:").strip() != b"[DONE]":
            raise self._failure("broke off in the middle of its answer")

    async def _whole(self, response: httpx.Response) -> AsyncGenerator[str, None]:
        body, complete = await _read(response, _LONGEST_ANSWER)
        if not complete:
            raise self._failure(f"answered more than {_LONGEST_ANSWER} bytes")
        choice = _first_choice(self._parsed(body))
        if not is_dict(choice.get("message")):
            raise self._failure(f"gave an answer that is not a chat completion: {self._quote(body)}")
        yield _text_of(choice["message"])

    def _parsed(self, data: bytes) -> dict[str, Any]:
        try:
            parsed: object = parse_json(data)
        except (ValueError, RecursionError):
            parsed = None
        if not is_dict(parsed):
            raise self._failure(f"sent something that is not a JSON object: {self._quote(data)}")
        if parsed.get("error"):
            raise self._failure(f"failed: {self._quote(_message(parsed))}")
        return parsed

    async def _refusal(self, response: httpx.Response, model: object) -> BlockFailedError:
        body, _ = await _read(response, _LONGEST_REFUSAL)
        try:
            said = self._quote(_message(json.loads(body)))
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


async def _read(response: httpx.Response, most: int) -> tuple[bytes, bool]:
    """Return at most `most` bytes of the body, and True when that is the whole body."""
    body = b""
    async for received in response.aiter_bytes():
        body += received
        if len(body) > most:
            return body[:most], False
    return body, True


def _first_choice(answer: Mapping[str, Any]) -> dict[str, Any]:
    choices = answer.get("choices")
    return choices[0] if is_list(choices) and choices and is_dict(choices[0]) else {}


def _text_of(message: object) -> str:
    """Return the text of a message or a delta. Its content is `null` when the model only calls tools or thinks."""
    content = message.get("content") if is_dict(message) else None
    return content if isinstance(content, str) else ""


def _message(answer: object) -> str:
    """Return the error message of a server, which may be in one of several places."""
    said: object = answer
    for name in ("error", "message", "detail"):
        said = said.get(name, said) if is_dict(said) else said
    return said if isinstance(said, str) else json.dumps(said)
