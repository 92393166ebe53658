"""Parts of all pictures: text that is safe in XML and on terminals, its width, the colours, and the frame of an SVG.

Standard library only.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BOLD", "STYLE", "cut", "display_width", "fit", "html_page", "one_line", "pixels", "svg_picture", "xml_text"]

# --- Text ---------------------------------------------------------------------------------------------------------

# C0, DEL, C1, the separators of lines and paragraphs, the characters that change the direction of text, half pairs.
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
# All but `Char` of XML 1.0, and the characters that change the direction of the text around them.
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LONGEST = 2_000
"""Characters of a text from which on nobody reads it. It bounds the work and the size of a picture."""


def xml_text(text: str) -> str:
    """Return text for the content or the attributes of XML and HTML.

    Markup is escaped. Characters that XML 1.0 forbids, and those that turn the direction of text, become U+FFFD.
    """
    return escape(_NOT_IN_XML.sub("\ufffd", text))


def one_line(text: str) -> str:
    r"""Return text as one line: white space becomes single spaces, and what cannot be seen is escaped (`\x1b`).

    A text of more than 2,000 characters is cut.
    """
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + "…"
    return _INVISIBLE.sub(_visible, " ".join(text.split()))


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


# --- Width --------------------------------------------------------------------------------------------------------

_JOINER, _EMOJI_STYLE = "\u200d", "\ufe0f"
_MOST_MARKS = 16
"""Combining characters that `cut` keeps for each character. No language needs as many."""


def display_width(text: str) -> int:
    """Return the width of a text on a terminal, in columns: 2 for wide characters and emoji, 0 for combining ones."""
    return len(text) if text.isascii() and text.isprintable() else sum(width for _, width in _clusters(text))


def cut(text: str, width: int, ellipsis: str = "…") -> str:
    """Return a text of at most so many columns; when it is cut, it ends in the ellipsis.

    Characters are not divided from the combining characters that belong to them.
    """
    if text.isascii() and len(text) <= width:
        return text
    room = width - display_width(ellipsis)
    if room < 0:
        return text if display_width(text) <= width else ellipsis[: max(width, 0)]
    kept: list[str] = []
    used = fitting = 0
    for cluster, columns in _clusters(text):
        if used + columns > width:
            return "".join(kept[:fitting]) + ellipsis
        kept.append(cluster)
        used += columns
        if used <= room:
            fitting = len(kept)
    return "".join(kept)


def _clusters(text: str) -> Iterator[tuple[str, int]]:
    """Yield each character together with the combining ones after it, and its columns."""
    cluster, width, marks, joined = "", 0, 0, False
    for character in text:
        columns = _columns(character)
        if cluster and (joined or columns == 0 or "\U0001f3fb" <= character <= "\U0001f3ff"):
            if character == _EMOJI_STYLE:
                width = 2
            marks += 1
            if marks <= _MOST_MARKS:
                cluster += character
        else:
            if cluster:
                yield cluster, width
            cluster, width, marks = character, columns, 0
        joined = character == _JOINER
    if cluster:
        yield cluster, width


def _columns(character: str) -> int:
    if " " <= character <= "~":
        return 1
    # Cf: joiners and marks of direction; Cc: controls; \u1160-\u11ff: the parts of a Korean syllable after the first
    if unicodedata.category(character) in ("Mn", "Me", "Cf", "Cc") or "\u1160" <= character <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


BOLD = 1.08
"""The width of bold letters, over that of others."""


def pixels(text: str, size: float) -> float:
    """Return about how wide a text is in the fonts of user interfaces, rather too much than too little."""
    ems = 0.0
    for character in text:
        if character in "MWmw@%…":
            ems += 1.0
        elif character in "fijlrt.,:;|!'() ":
            ems += 0.4
        elif character.isascii():
            ems += 0.76 if character.isupper() else 0.62
        else:
            ems += 0.55 * display_width(character) + 0.1
    return ems * size


def fit(text: str, size: float, room: float) -> str:
    """Return a text that is cut to so many pixels."""
    text = cut(text, int(room / (size * 0.25)))  # no letter is narrower, and the rest need not be measured
    if pixels(text, size) <= room:
        return text
    widths = range(2, display_width(text))
    return cut(text, 1 + bisect_right(widths, room, key=lambda columns: pixels(cut(text, columns), size)))


# --- Colours and frame --------------------------------------------------------------------------------------------

# Each has a contrast of at least 4.5 to `page` and to `box`, in its scheme.
_LIGHT = {"page": "#ffffff", "box": "#f6f8fa", "text": "#1f2328", "soft": "#59636e", "line": "#59636e",
          "mark": "#0757ba", "good": "#116329", "bad": "#b3202c", "busy": "#7d4e00"}  # fmt: skip
_DARK = {"page": "#0d1117", "box": "#1c2129", "text": "#e6edf3", "soft": "#a5adb7", "line": "#a5adb7",
         "mark": "#71b1ff", "good": "#56d364", "bad": "#ff8f87", "busy": "#e3b341"}  # fmt: skip


def _scheme(colours: dict[str, str]) -> str:
    fills = "".join(f".scout-picture .{name}{{fill:{colour}}}" for name, colour in colours.items())
    return (
        f"{fills}.scout-picture .box{{stroke:{colours['line']}}}"
        f".scout-picture .edge{{stroke:{colours['line']};fill:none}}"
        f".scout-picture .marked{{stroke:{colours['mark']};stroke-width:2.5}}"
        f".scout-picture .wrong{{stroke:{colours['bad']}}}"
        f".scout-picture a:focus-visible .box{{stroke:{colours['text']};stroke-width:4}}"
    )


STYLE = (
    ".scout-picture{font-family:ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;"
    f"font-size:13px}}.scout-picture .dashed{{stroke-dasharray:5 4}}{_scheme(_LIGHT)}"
    f"@media (prefers-color-scheme:dark){{{_scheme(_DARK)}}}"
)
"""The style sheet of every picture, for light and dark.

The classes `page`, `box`, `text`, `soft`, `line`, `mark`, `good`, `bad` and `busy` fill a shape or a text. `box` has an
outline as well, `edge` is a line without a filling; `marked`, `wrong` and `dashed` change the outline of either. The
`box` of a link that has the focus has a thick outline.
Nothing outside an element of the class `scout-picture` is changed: a notebook holds pictures beside other things.
"""


def svg_picture(
    content: str, *, width: float, height: float, title: str, description: str, has_links: bool = False
) -> str:
    """Return an SVG document that needs nothing else: no script, no font, and no id that could be another's.

    Args:
        content: The elements of the picture, which are XML already.
        width: The width, in pixels.
        height: The height, in pixels.
        title: The name of the picture, as text.
        description: A sentence for those who cannot see it, as text.
        has_links: The content has links. Nothing inside an image can be reached by a screen reader, so it is a group.
    """
    role = "group" if has_links else "img"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="scout-picture" role="{role}" '
        f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}">'
        f"<title>{xml_text(title)}</title><desc>{xml_text(description)}</desc>"
        f'<style>{STYLE}</style><rect class="page" width="100%" height="100%"/>{content}</svg>\n'
    )


def html_page(svg: str, *, title: str) -> str:
    """Return an HTML page, which is XML as well, around an SVG. Its policy forbids it to run or to load anything."""
    return (
        '<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml" lang="en"><head><meta charset="utf-8"/>'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>"
        f'<meta name="viewport" content="width=device-width"/><title>{xml_text(title)}</title><style>'
        f"body{{margin:0;background:{_LIGHT['page']}}}"
        f"@media (prefers-color-scheme:dark){{body{{background:{_DARK['page']}}}}}"
        f"</style></head><body>{svg}</body></html>\n"
    )
