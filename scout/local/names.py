"""Middleware that answers only requests to the local Scout's own names, and none from the pages of other sites.

A web page can let its own name point to 127.0.0.1 (DNS rebinding). To a browser, the local Scout is then a part of that
site, whose scripts may run workflows and read what templates find in `_env`. The headers `Host` and `Origin`, which a
page cannot choose, give it away.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scout._json import shorten

from .responses import Json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

# With any port, because a port may be forwarded to this one. A dot at the end is part of a full name.
_OWN_NAME = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])\.?(?::(?P<port>[0-9]*))?", re.IGNORECASE)
_LONGEST_NAME = 200
_WHY = "The local Scout answers only to 127.0.0.1, localhost and [::1]"


class OwnNamesOnly:
    """Refuses all other requests before it reads them.

    Args:
        app: The application that answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope, in_target = _without_authority(scope)
        hosts = _values(scope, b"host")
        origins = _values(scope, b"origin")
        if len(hosts) != 1 or not all(map(_OWN_NAME.fullmatch, [*hosts, *in_target])):
            name = _quoted([*in_target, *hosts])
            address = "http://{}:{}".format(*scope["server"])
            # RFC 9110, section 15.5.20: the request came to a server that does not answer for its target.
            problem = f"{_WHY}, not to {name}, so that no web page can use it. Send requests to {address}."
            await Json({"detail": problem}, 421)(scope, receive, send)
        elif not all(_is_own(origin, hosts[0]) for origin in origins):
            problem = (
                f"{_WHY}, and not to pages of other sites. This request has the Origin {_quoted(origins)}. "
                "Send it from a program, not from a page in a browser."
            )
            await Json({"detail": problem}, 403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _without_authority(scope: Scope) -> tuple[Scope, list[str]]:
    """Return the scope with a target in the usual form, and the host that stood in the target, as in a proxy's request.

    Such a host counts in place of the header (RFC 9112, section 3.2.2).
    """
    target = scope["raw_path"].decode("latin-1")
    scheme, mark, rest = target.partition("://")
    if not mark or "/" in scheme:
        return scope, []
    authority, slash, path = rest.partition("/")
    return {**scope, "raw_path": (slash + path or "/").encode("latin-1")}, [authority]


def _values(scope: Scope, wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]


def _is_own(origin: str, host: str) -> bool:
    """Return True for the origin of a page that came from this server, at the port to which the request went."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    own, asked = _OWN_NAME.fullmatch(parts.netloc), _OWN_NAME.fullmatch(host)
    is_web = parts.scheme in ("http", "https") and origin.lower() == f"{parts.scheme}://{parts.netloc}".lower()
    return is_web and own is not None and asked is not None and (own["port"] or "") == (asked["port"] or "")


def _quoted(names: Iterable[str]) -> str:
    return " and ".join(f'"{shorten(name, _LONGEST_NAME)}"' for name in names) or "a request without a Host"
