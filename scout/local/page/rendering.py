"""Templates of the page, and the one place through which every text of a run passes on its way to a browser."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from scout._json import redact, whole_text
from scout._pictures import STYLE

if TYPE_CHECKING:
    from collections.abc import Sequence

_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self' 'sha256-{_STYLE_HASH}'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of the page. The hash is that of the style in its pictures."""

# A browser would drop or replace these, or break the line. Each has a picture of its own in Unicode.
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_LONGEST_TEXT = 10_000  # characters that are shown at once; the whole text is a link away


class Rendering:
    """Renders templates.

    Args:
        secrets: Texts to redact, wherever they stand.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = secrets
        self._environment = Environment(
            loader=FileSystemLoader(Path(__file__).with_name("templates")),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=self._final,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        # Jinja does not declare the type of its filters.
        filters = cast("dict[str, Any]", self._environment.filters)  # pyright: ignore[reportUnknownMemberType]
        filters["beginning"] = self._beginning

    def page(self, template: str, **values: Any) -> str:
        """Return a page as HTML."""
        return self._environment.get_template(template).render(values)

    def plain(self, text: str) -> str:
        """Return a text as people may see it: without secrets, and with visible control characters."""
        return _INVISIBLE.sub(_picture_of, whole_text(redact(text, self._secrets)))

    def _beginning(self, text: str) -> str:
        """Return the beginning of a text. It is redacted as a whole, because a part of a secret is not found."""
        return self.plain(text)[:_LONGEST_TEXT]

    def _final(self, value: Any) -> Any:
        if isinstance(value, Markup):  # made by this program: a picture
            return Markup(redact(str(value), self._secrets))
        return self.plain(value) if isinstance(value, str) else value


def _picture_of(control: re.Match[str]) -> str:
    return chr(0x2421 if control[0] == "\x7f" else 0x2400 + ord(control[0]))
