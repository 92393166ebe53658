"""What pictures share: text that is safe in XML and on terminals, widths, colours, and the frame of an SVG."""

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scout._pictures import STYLE, cut, display_width, fit, html_page, one_line, pixels, svg_picture, xml_text


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("abc", 3),
        ("日本語", 6),
        ("e\u0301", 1),
        ("👩\u200d👩\u200d👧", 2),
        ("❤\ufe0f", 2),
        ("🇩🇪", 2),
        ("👍🏽", 2),
        ("\u1112\u1161\u11ab", 2),
        ("\uff46", 2),
        ("", 0),
        ("a\x1fb", 2),
        ("ä\x1fb", 2),
    ],
)
def test_the_width_is_that_of_a_terminal(text: str, width: int) -> None:
    assert display_width(text) == width


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdef", 5, "abcd…"),
        ("abcdef", 1, "…"),
        ("abcdef", 0, ""),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("e\u0301" * 4, 3, "e\u0301e\u0301…"),
        ("👍🏽👍🏽👍🏽", 5, "👍🏽👍🏽…"),
    ],
)
def test_a_text_is_cut_to_columns(text: str, width: int, expected: str) -> None:
    assert cut(text, width) == expected


def test_another_ellipsis_can_be_taken() -> None:
    assert [cut("abcdef", width, "...") for width in (6, 5, 3, 2)] == ["abcdef", "ab...", "...", ".."]


@given(st.text(), st.integers(0, 12))
@settings(max_examples=40)
def test_a_cut_text_fits_and_is_a_beginning(text: str, width: int) -> None:
    short = cut(text, width)

    assert display_width(short) <= width
    # Of a character with very many combining ones some are left out.
    assert short == text or short.endswith("…") or width == 0 or len(short) < len(text)


@given(st.text("abiIWw …日e\u0301👩\u200d❤\ufe0f", max_size=60), st.integers(0, 300))
@settings(max_examples=40)
def test_as_much_of_a_text_is_shown_as_there_is_room(text: str, room: int) -> None:
    shown = fit(text, 13, room)
    kept = display_width(shown)

    assert pixels(shown, 13) <= room or kept <= 1
    for columns in range(kept + 1, display_width(text) + 1):
        assert cut(text, columns) == shown or pixels(cut(text, columns), 13) > room


def test_combining_characters_without_end_do_not_pile_up() -> None:
    assert len(cut("a" + "\u0301" * 1000 + "b" * 50, 10)) < 40


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("two\n lines\tand  more ", "two lines and more"),
        ("\x1b[31mred\x00", "\\x1b[31mred\\x00"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("half \ud800", "half \\ud800"),
    ],
)
def test_a_line_shows_what_cannot_be_seen(text: str, line: str) -> None:
    assert one_line(text) == line


def test_a_line_has_an_end() -> None:
    assert len(one_line("x" * 1_000_000)) == 2_001


@given(st.text(st.characters(exclude_characters="\r")))  # XML reads CR LF as one character
@settings(max_examples=60)
def test_any_text_can_be_put_into_xml(text: str) -> None:
    found = ElementTree.fromstring(f'<a b="{xml_text(text)}">{xml_text(text)}</a>')

    assert len(found.text or "") == len(found.attrib["b"]) == len(text)


def test_markup_and_what_xml_forbids_is_made_harmless() -> None:
    assert xml_text("<a b='\"'>&]]>") == "&lt;a b=&#x27;&quot;&#x27;&gt;&amp;]]&gt;"
    assert xml_text("\x00\x1b\x85\ud800\ufffe\u202e") == "\ufffd" * 6
    assert xml_text("naïve 日本 👍") == "naïve 日本 👍"


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_can_be_read(scheme: str) -> None:
    light, _, dark = STYLE.partition("@media (prefers-color-scheme:dark)")
    colours = dict(re.findall(r"\.(\w+)\{fill:(#\w{6})\}", dark if scheme == "dark" else light))
    grounds = [colours.pop("page"), colours.pop("box")]

    assert {"text", "soft", "line", "mark", "good", "bad", "busy"} == colours.keys()
    for name, colour in colours.items():
        for ground in grounds:
            darker, lighter = sorted((luminance(colour), luminance(ground)))
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (name, colour, ground)


def test_a_picture_has_a_name_for_those_who_cannot_see_it() -> None:
    svg = svg_picture("<g/>", width=10, height=20, title="A <b>", description='5 > "4"')
    root = ElementTree.fromstring(svg)

    assert (root.attrib["role"], root.attrib["viewBox"]) == ("img", "0 0 10 20")
    assert [(each.tag.partition("}")[2], each.text) for each in list(root)[:2]] == [
        ("title", "A <b>"),
        ("desc", '5 > "4"'),
    ]


def test_a_page_may_load_and_run_nothing() -> None:
    page = html_page(svg_picture("", width=1, height=1, title="", description=""), title="<t>")
    root = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>"))
    policies = [each.attrib["content"] for each in root.iter() if "Content-Security-Policy" in each.attrib.values()]

    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
