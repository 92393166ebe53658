"""Settings of a client: an argument, else an environment variable, else a default; kept in a frozen `Config`."""

from __future__ import annotations

import inspect
import math
import os
import re
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, cast
from urllib.parse import urlsplit

from ._json import is_mapping, redact
from .environments import Environment
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

__all__ = ["NOT_GIVEN", "Config", "Key", "NotGiven", "Secret", "Tracing"]

DEFAULT_BASE_URL = "https://api.scoutos.com"

MAX_CONNECTIONS = 1000
"""The default number of connections of a client; other SDKs have the same."""


class NotGiven(Enum):
    """The type of `NOT_GIVEN`: the default of arguments for which `None` has a meaning."""

    NOT_GIVEN = "not given"

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN: Final = NotGiven.NOT_GIVEN

Key: TypeAlias = str | Callable[[], str]
"""An API key, or a function that returns the current one (for keys that rotate)."""


class Tracing(Protocol):
    """An object that `Scout(tracing=...)` takes: `scout.otel.Tracing`."""

    def begin(self, call: Any) -> Any:
        """Return the observer of a call that begins: of a `CallInfo` a `CallObserver`, both in `_observers`."""
        ...


class Secret:
    """An API key that is not visible in a `repr`, a pickle or the local variables of a traceback.

    Code that needs the key uses it inside an expression and never binds it to a name.
    """

    __slots__ = ("_source",)

    def __init__(self, source: Key) -> None:
        self._source = source

    def now(self) -> Secret:
        """Return the current key as a `Secret` that holds text: call the function, if it is one, and check the key.

        Raises:
            ConfigurationError: the key is empty or holds characters that an HTTP header cannot carry.
        """
        secret = Secret(self._source()) if callable(self._source) else self
        secret.check()
        return secret

    def reveal(self) -> str:
        """Return the key as text. Call it only on a result of `now()`."""
        return str(self._source)

    def authorize(self, headers: MutableMapping[str, str]) -> None:
        """Set the header with the key. Call it only on a result of `now()`."""
        headers["Authorization"] = f"Bearer {self._source}"

    def redact(self, value: Any) -> Any:
        """Return text, bytes or JSON with the key redacted. The key that a function returns is only that of `now()`."""
        return redact(value, [str(self._source)])

    def may_be_in(self, value: Any) -> bool:
        """Return False when neither the key nor an escaped form of it is in a value. The key is that of `redact`."""
        text = repr(value)  # in which it is unchanged, or has a backslash
        return str(self._source) in text or "\\" in text

    def check(self) -> None:
        """Check the key. A function is not called, and passes.

        Raises:
            ConfigurationError: as `now`.
        """
        fault = None if callable(self._source) else self._fault()
        if fault:
            raise ConfigurationError(f"the API key {fault}; the key itself is not shown here")

    def _fault(self) -> str | None:
        if not isinstance(self._source, str):
            return f"must be text or a function that returns text, not {type(self._source).__name__}"
        if not self._source:
            return "is empty"
        if not self._source.isascii():
            return "holds characters outside ASCII"
        if any(character <= " " or character == "\x7f" for character in self._source):
            return "holds a space, line break or other control character (often pasted with the key)"
        return None

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("an API key is not pickled")


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of a client. See `Scout` for their meaning."""

    api_key: Secret | None
    base_url: str
    environment: Environment | None
    timeout: float | None
    connect_timeout: float | None
    deadline: float | None
    retries: int
    rate_limit_timeout: float | None
    at_least_once: bool
    max_connections: int
    headers: Mapping[str, str] = field(repr=False)
    allow_http: bool
    on_request: Callable[[Any], object] | None = field(default=None, repr=False)
    on_response: Callable[[Any], object] | None = field(default=None, repr=False)
    on_retry: Callable[[Any], object] | None = field(default=None, repr=False)
    on_event: Callable[[Any], object] | None = field(default=None, repr=False)
    tracing: Tracing | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.api_key is not None:
            self.api_key.check()
        check_seconds("timeout", self.timeout)
        check_seconds("connect_timeout", self.connect_timeout)
        check_seconds("deadline", self.deadline)
        check_retries(self.retries)
        check_seconds("rate_limit_timeout", self.rate_limit_timeout, least=0)
        check_count("max_connections", self.max_connections)
        check_flag("at_least_once", self.at_least_once)
        check_flag("allow_http", self.allow_http)
        check_headers("headers", self.headers)
        for name in _HOOKS:
            check_hook(name, getattr(self, name))
        check_tracing(self.tracing)
        # In lower case, so that no header is sent twice; a copy, so that the caller cannot change it.
        object.__setattr__(self, "headers", {name.lower(): value for name, value in self.headers.items()})
        check_base_url(self.base_url, allow_http=self.allow_http)

    def changed(self, **options: Any) -> Config:
        """Return a copy with the options that were given.

        Raises:
            ConfigurationError: an option is not known, or its value is invalid.
        """
        given = {name: value for name, value in options.items() if value is not NOT_GIVEN}
        unknown = given.keys() - {each.name for each in fields(self)}
        if unknown:
            raise ConfigurationError(f"there is no option {min(unknown)!r}")
        if "base_url" in given:
            given["base_url"] = base_url_from(given["base_url"])
        if "environment" in given:
            given["environment"] = environment_from(given["environment"])
        return replace(self, **given)

    @property
    def has_hooks(self) -> bool:
        """True when there is a hook."""
        return not (self.on_request is self.on_response is self.on_retry is self.on_event is None)

    @property
    def is_observed(self) -> bool:
        """True when there are hooks or traces."""
        return self.tracing is not None or self.has_hooks

    def secret(self) -> Secret:
        """Return the API key for the next request.

        Raises:
            ConfigurationError: it is missing (after unpickling without `SCOUT_API_KEY`), or invalid.
        """
        if self.api_key is None:
            raise ConfigurationError(NO_KEY)
        return self.api_key.now()

    def __getstate__(self) -> dict[str, Any]:
        # A pickle must not hold the key; unpickling reads one from the environment.
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "api_key"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "api_key", secret_from_environment())


stand_in: tuple[str, str | None] | None = None
"""The URL of the server on this machine that gets the requests for the API while a test runs, so that no test costs
money, and the value that `SCOUT_BASE_URL` had before. Set by the pytest fixture `scout_local`."""


def url_with_stand_in(url: str) -> str:
    """Return the URL to which a request is sent. Another server on this machine is left to whoever named it.

    Raises:
        ConfigurationError: the request is for another server, and a test has put a stand-in in place of the API.
    """
    if stand_in is None:
        return url
    instead, usual = stand_in
    # The longest first, because one may be the beginning of the other.
    for base_url in sorted({DEFAULT_BASE_URL, (usual or DEFAULT_BASE_URL).rstrip("/")}, key=len, reverse=True):
        if url.lower().startswith(base_url.lower() + "/"):
            return instead + url[len(base_url) :]
    parts = urlsplit(url)
    if is_loopback(parts.hostname or ""):
        return url
    raise ConfigurationError(
        f"this test uses scout_local, so nothing was sent to {parts.scheme}://{parts.netloc}, the base_url of this "
        f"client; make the client without base_url, or with base_url={instead!r}"
    )


NO_KEY = (
    "there is no API key: pass Scout(api_key=...) or set SCOUT_API_KEY (keys are made in Scout's studio, "
    "Settings, API Keys); without an account, Scout.local() runs workflows on this machine"
)


def variable(name: str) -> str | None:
    """Return an environment variable; `None` when it is not set or empty."""
    return os.environ.get(name) or None


def secret_from_environment() -> Secret | None:
    """Return the key from `SCOUT_API_KEY`; `None` when it is not set or empty."""
    return Secret(os.environ["SCOUT_API_KEY"]) if variable("SCOUT_API_KEY") else None


def base_url_from(base_url: str | None) -> str:
    """Return the given URL, else `SCOUT_BASE_URL`, else that of Scout; without a slash at the end."""
    url: Any = base_url if base_url is not None else variable("SCOUT_BASE_URL") or DEFAULT_BASE_URL
    if not isinstance(url, str):
        raise ConfigurationError(f"base_url must be text, not {type(url).__name__}")
    scheme, colon, rest = url.partition(":")
    return (scheme.lower() + colon + rest).rstrip("/")


def environment_from(environment: Environment | str | NotGiven | None) -> Environment | None:
    """Return the given environment, else `SCOUT_ENVIRONMENT`, else production. `None` stays `None`, and sends none."""
    if environment is None:
        return None
    source = "environment"
    if isinstance(environment, NotGiven):
        source = "SCOUT_ENVIRONMENT"
        environment = variable("SCOUT_ENVIRONMENT") or Environment.PRODUCTION
    try:
        return Environment(environment)
    except ValueError:
        known = ", ".join(Environment)
        raise ConfigurationError(
            f"{source} is {environment!r}, which is none of {known}; to send another value all the same, "
            "pass environment=None and extra_query={'environment': ...}"
        ) from None


_LONGEST = 10**9  # seconds, some thirty years; sockets and locks refuse more


def check_seconds(name: str, seconds: object, *, least: float = math.nextafter(0, 1), has_limit: bool = False) -> None:
    """Raise `ConfigurationError` for a value that is not a number of seconds.

    Args:
        name: The name of the value.
        seconds: The value.
        least: The least number of seconds.
        has_limit: Refuse `None`, which otherwise means that there is no limit.
    """
    if seconds is None and not has_limit:
        return
    or_none, no_limit = ("", "") if has_limit else (" or None", " (None for no limit)")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ConfigurationError(f"{name} must be a number of seconds{or_none}, not {seconds!r}")
    if not seconds >= least or seconds == math.inf:
        allowed = "more than 0 seconds" if least else "0 seconds or more"
        raise ConfigurationError(f"{name} must be {allowed}{no_limit}, not {seconds!r}")
    if seconds > _LONGEST:
        raise ConfigurationError(f"{name} must be at most {_LONGEST} seconds{no_limit}")


def check_retries(retries: object) -> None:
    """Raise `ConfigurationError` for a value that is not a whole number, 0 or more."""
    if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
        raise ConfigurationError(f"retries must be a whole number, 0 or more, not {retries!r}")


def check_count(name: str, number: object) -> None:
    """Raise `ConfigurationError` for a value that is not a whole number, 1 or more."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ConfigurationError(f"{name} must be a whole number, 1 or more, not {number!r}")


def check_flag(name: str, flag: object) -> None:
    """Raise `ConfigurationError` for a value that is not a `bool`, such as the text "false"."""
    if not isinstance(flag, bool):
        raise ConfigurationError(f"{name} must be True or False, not {type(flag).__name__}")


_HOOKS = ("on_request", "on_response", "on_retry", "on_event")


def check_hook(name: str, hook: object) -> None:
    """Raise `ConfigurationError` for a value that is neither `None` nor a plain function."""
    if hook is not None and not callable(hook):
        raise ConfigurationError(f"{name} must be a function or None, not {type(hook).__name__}")
    if inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(getattr(hook, "__call__", None)):  # noqa: B004
        raise ConfigurationError(
            f"{name} must be a plain function, not a coroutine function: nobody would await what it returns"
        )


def check_tracing(tracing: object) -> None:
    """Raise `ConfigurationError` for a value that is neither `None` nor an object that makes traces."""
    if tracing is None:
        return
    if isinstance(tracing, type):
        raise ConfigurationError(f"tracing must be an object, not the class: {tracing.__name__}()")
    if not callable(getattr(tracing, "begin", None)):
        raise ConfigurationError(f"tracing must be a scout.otel.Tracing or None, not {type(tracing).__name__}")


def check_headers(name: str, headers: object) -> None:
    """Raise `ConfigurationError` for headers that cannot be sent, and for `Authorization`. Messages show no values."""
    if not is_mapping(headers):
        raise ConfigurationError(f"{name} must be a mapping of names to texts, not {type(headers).__name__}")
    for header, value in cast("Mapping[object, object]", headers).items():
        if not isinstance(header, str) or not isinstance(value, str):
            raise ConfigurationError(f"{name}: names and values must be text; see {header!r}")
        if header.lower() in ("content-length", "transfer-encoding"):
            raise ConfigurationError(f"{name}: {header!r} follows from the body and cannot be set")
        if header.lower() == "authorization":
            raise ConfigurationError(f"{name}: the key belongs into api_key=, not into an Authorization header")
        if not _TOKEN.fullmatch(header):
            raise ConfigurationError(f"{name}: {header!r} cannot be the name of a header")
        if value != value.strip() or not all(c == "\t" or " " <= c <= "~" for c in value):
            raise ConfigurationError(f"{name}: the value of {header!r} holds characters that a header cannot carry")
        if header.lower() == "accept-encoding":
            _check_codings(name, value)


CODINGS = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate", "x-deflate": "deflate"}
"""The content codings that are decoded, by all of their names."""


def _check_codings(name: str, accepted: str) -> None:
    for item in accepted.lower().split(","):
        coding, *weights = (part.strip() for part in item.split(";"))
        is_excluded = any(re.fullmatch(r"q=0(\.0*)?", weight) for weight in weights)
        if coding and coding != "identity" and coding not in CODINGS and not is_excluded:
            # Now, because the server would have run the workflow when its answer turns out to be unreadable.
            raise ConfigurationError(
                f"{name}: Accept-Encoding cannot hold {coding!r}: only gzip and deflate are decoded here"
            )


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2


def check_base_url(base_url: str, *, allow_http: bool) -> None:
    """Raise `ConfigurationError` for an invalid URL, and for one that would send the key unencrypted."""
    if "@" in base_url:
        raise ConfigurationError("base_url must not hold a user name or password (nor any @)")
    try:
        url = urlsplit(base_url)
        _ = url.port
    except ValueError:
        raise ConfigurationError("base_url is not a URL; it should look like https://api.scoutos.com") from None
    if url.scheme not in ("http", "https") or not url.hostname or not _is_host(url.hostname, url.netloc):
        raise ConfigurationError(f"base_url is {base_url!r}; it should look like https://api.scoutos.com")
    if any(c <= " " or c in "?#\x7f" for c in base_url):
        raise ConfigurationError(f"base_url is {base_url!r}; it must not hold a query, a fragment or spaces")
    segments = url.path.split("/")
    if "v2" in segments:
        # Refused and not stripped, so that requests go to the URL that was given or nowhere.
        right = base_url.removesuffix(url.path) + "/".join(segments[: segments.index("v2")])
        raise ConfigurationError(f"base_url is {base_url!r}; leave /v2 away, because each request adds it: {right}")
    if url.scheme == "http" and not allow_http and not is_loopback(url.hostname):
        raise ConfigurationError(
            f"base_url is {base_url!r}: without TLS the API key would travel in the clear; use https://, or pass "
            "allow_http=True if that network is yours"
        )


def _is_host(host: str, netloc: str) -> bool:
    if "[" in netloc:
        return _address(host) is not None
    labels = host.rstrip(".").split(".")
    if labels[-1].isdigit():
        return _address(host) is not None
    if not all(0 < len(label) < 64 for label in labels):
        return False
    if host.isascii() and "xn--" not in host:
        return re.fullmatch(r"[A-Za-z0-9_.-]+", host) is not None
    import idna  # httpx uses it later, and does not catch all of its errors

    try:
        idna.encode(host)
    except idna.IDNAError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return True when a host name or address is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def _address(host: str) -> IPv4Address | IPv6Address | None:
    import ipaddress  # most hosts are names, for which it is not needed

    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
