"""Templates of the page, and the one place through which every text of a run passes on its way to a browser."""

from __future__ import annotations

import base64
import hashlib
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

# A browser would drop or replace control characters; those below 0x20 have pictures of their own in Unicode. The last
# ones would change the order in which the text around them is shown, and are replaced in the pictures of runs as well.
_VISIBLE = {
    **{code: 0x2400 + code for code in range(0x20) if code not in (0x09, 0x0A)},
    0x7F: 0x2421,
    **dict.fromkeys((*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)), 0xFFFD),
}


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
        # Jinja does not declare the type of its globals.
        names = cast("dict[str, Any]", self._environment.globals)  # pyright: ignore[reportUnknownMemberType]
        names["begin"] = self._begin

    def page(self, template: str, **values: Any) -> str:
        """Return a page as HTML."""
        return self._environment.get_template(template).render(values)

    def plain(self, text: str) -> str:
        """Return a text as people may see it: without secrets, and with visible control characters."""
        return whole_text(redact(text, self._secrets)).translate(_VISIBLE)

    def _begin(self, text: str, most: int) -> str:
        """Return the beginning of a text. It is redacted before it is cut, so that no part of a secret is left."""
        whole = redact(text, self._secrets)
        return self.plain(whole if len(whole) <= most else whole[:most] + "…")

    def _final(self, value: Any) -> Any:
        # Markup is a picture or the result of a macro, and was made of redacted texts: a secret may be a word of HTML.
        return value if isinstance(value, Markup) else self.plain(str(value))
