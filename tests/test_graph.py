"""Graphs of workflows: what they hold, and how they are drawn."""

import io
import random
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from commands import run_here
from hypothesis import given, settings
from hypothesis import strategies as st

from scout import ConfigurationError, Graph, GraphNode, LoadedWorkflow, RunStatus, load_workflow
from scout._pictures import STYLE, display_width
from scout.cli import main
from scout.graph._svg import _lay_out

EXAMPLES = Path(__file__).parent.parent / "examples"
SVG = "{http://www.w3.org/2000/svg}"

HOSTILE = [
    "<script>alert(1)</script>",
    "</svg>]]>\"'&amp;",
    "\x00\x01\x1b[31m\u202eevil\ufffe\ud800",
    "`a` **b** #quot; %%{init}%% $$x$$ \\n \\",
    'javascript:"><img src=http://e.example onload=x>',
    "end",
    "日本語の要約 👩\u200d👩\u200d👧 " * 5,
    "Z\u0338\u0322" * 40,
    "x" * 1_000_000,
    "",
]


def block(block_id: str, *after: str, **more: Any) -> dict[str, Any]:
    return {
        "block_id": block_id,
        "block_display_name": block_id.upper(),
        "block_archetype_id": "com.scoutos.text",
        "dependencies": [{"block_id": each} for each in after],
        **more,
    }


def graph_of_blocks(*blocks: dict[str, Any]) -> Graph:
    return LoadedWorkflow({"workflow_display_name": "Blocks", "blocks": list(blocks)}).graph()


def plain(count: int, *edges: tuple[int, int]) -> Graph:
    return Graph("Plain", tuple(GraphNode(f"b{number}", f"b{number}") for number in range(count)), edges)


def tangle(count: int) -> Graph:
    """A graph as large workflows are: most blocks wait for one or two of those before them."""
    source = random.Random(count)
    edges = [
        (before, number)
        for number in range(1, count)
        for before in sorted(
            {source.randrange(max(0, number - 12), number) for _ in range(source.choice([1, 1, 2, 3]))}
        )
    ]
    return plain(count, *edges)


# --- What a graph holds -------------------------------------------------------------------------------------------


def test_a_graph_has_the_blocks_and_their_dependencies() -> None:
    graph = load_workflow(EXAMPLES / "classify/workflow.yml").graph()

    assert graph.title == "Classify a review"
    assert [(node.id, node.title, node.archetype, node.is_output) for node in graph.nodes] == [
        ("inputs", "Review", "input", False),
        ("sentiment", "Sentiment", "llm", False),
        ("topic", "Topic", "llm", False),
        ("verdict", "Verdict", "text", True),
    ]
    assert graph.edges == ((0, 1), (0, 2), (1, 3), (2, 3))


def test_an_unknown_dependency_is_a_missing_block() -> None:
    graph = graph_of_blocks(block("a", "gone"), block("b", "gone", "a"))

    assert graph.nodes[2] == GraphNode("gone", "gone", is_missing=True)
    assert graph.edges == ((2, 0), (2, 1), (0, 1))


@pytest.mark.parametrize("title", ["", " \n"])
def test_a_block_without_a_title_is_named_by_its_id(title: str) -> None:
    (node,) = graph_of_blocks(block("a", block_display_name=title)).nodes

    assert node.title == "a"


def test_of_two_blocks_with_one_id_the_first_is_depended_on() -> None:
    graph = graph_of_blocks(block("a"), block("a", "a"), block("b", "a", "a"))

    assert graph.edges == ((0, 1), (0, 2))
    assert [node.is_output for node in graph.nodes] == [False, False, True]


@pytest.mark.parametrize("mark", ["is_output", "block_is_output"])
def test_the_output_block_is_marked(mark: str) -> None:
    graph = graph_of_blocks(block("a", **{mark: True}), block("b", "a"))

    assert [node.is_output for node in graph.nodes] == [True, False]


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"blocks": None},
        {"blocks": "text"},
        {"blocks": [1, None, {}, {"block_id": 5, "dependencies": 5}]},
        {"workflow_display_name": 5, "blocks": [{"block_id": "a", "dependencies": [5, None, {}, {"block_id": []}]}]},
    ],
)
def test_a_config_may_hold_anything(config: dict[str, Any]) -> None:
    graph = LoadedWorkflow(config).graph()

    assert graph.edges == ()
    for drawing in (graph.to_text(), graph.to_mermaid(), graph.to_dot(), graph.to_svg()):
        assert drawing


# --- Text ---------------------------------------------------------------------------------------------------------


def test_a_small_workflow_is_boxes_and_lines() -> None:
    graph = load_workflow(EXAMPLES / "classify/workflow.yml").graph()

    assert (
        str(graph)
        == """\
Classify a review · 4 blocks, 4 dependencies

          ┌────────────────┐
          │ Review         │
          │ inputs · input │
          └────────┬───────┘
         ┌─────────┴───────┐
         ▼                 ▼
┌─────────────────┐ ┌─────────────┐
│ Sentiment       │ │ Topic       │
│ sentiment · llm │ │ topic · llm │
└────────┬────────┘ └──────┬──────┘
         └────────┐ ┌──────┘
                  ▼ ▼
          ╔═ output ═══════╗
          ║ Verdict        ║
          ║ verdict · text ║
          ╚════════════════╝
"""
    )


def test_without_unicode_the_boxes_are_of_ascii() -> None:
    graph = graph_of_blocks(block("a"), block("ü", "a", "gone", is_output=True))

    assert (
        graph.to_text(ascii_only=True)
        == """\
Blocks - 3 blocks, 2 dependencies

+------------+ +. missing ..+
| A          | : gone       :
| a - text   | :            :
+------+-----+ +......+.....+
       +-----+ +------+
             v v
       #= output ====#
       # \\xdc        #
       # \\xfc - text #
       #=============#
"""
    )


def test_edges_that_lead_back_are_named_below() -> None:
    graph = graph_of_blocks(block("a", "c"), block("b", "a", "b"), block("c", "b"))

    assert graph.to_text().endswith("\n\nEdges that lead back:\n  b → b\n  c → a\n")


def test_a_fork_leads_to_the_middle_of_its_boxes() -> None:
    graph = graph_of_blocks(block("classes"), block("classify", "classes"), block("a_name_that_is_longer", "classes"))

    lines = graph.to_text().splitlines()
    (arrows,) = (line for line in lines if line.count("▼") == 2)
    (tops,) = (line for line in lines if line.count("┌") == line.count("┐") == 2)
    middles = [(tops.index("┌") + tops.index("┐")) / 2, (tops.rindex("┌") + tops.rindex("┐")) / 2]
    assert abs(arrows.index("▼") - middles[0]) <= 4
    assert abs(arrows.rindex("▼") - middles[1]) <= 6


def test_lines_that_meet_below_do_not_cross() -> None:
    lines = plain(6, *((number, 5) for number in range(5))).to_text(100).splitlines()

    assert lines[6:9] == [
        "       │              └────────────┐ │ ┌────────────┘              │",
        "       └─────────────────────────┐ │ │ │ ┌─────────────────────────┘",
        "                                 ▼ ▼ ▼ ▼ ▼",
    ]


def test_what_is_too_wide_is_a_list() -> None:
    text = plain(30, *((0, number) for number in range(1, 29))).to_text(40)

    assert text.splitlines()[:6] == [
        "Plain · 30 blocks, 28 dependencies",
        "",
        "b0",
        "  → b1, b2, b3, b4, b5, b6, b7, b8, b9,",
        "    b10, b11, b12, b13, b14, b15, b16,",
        "    b17, b18, b19, b20, b21, b22, b23,",
    ]
    assert "┌" not in text
    assert re.findall(r"^b\d+$", text, re.MULTILINE) == [f"b{number}" for number in (0, 29, *range(1, 29))]


def trace(text: str) -> set[tuple[str, str]]:
    """Follow the lines of a drawing with a finger, and return the pairs of boxes that they join."""
    grid = [line.ljust(200) for line in text.splitlines()]
    boxes = [
        (row, column, line.find("┐", column), line_of_name[column + 1 :].split()[0])
        for row, (line, line_of_name) in enumerate(pairwise(grid))
        for column, corner in enumerate(line)
        if corner == "┌" and line_of_name[column] == "│" and re.match(r"│ b\d+", line_of_name[column:])
    ]
    found: set[tuple[str, str]] = set()
    for row, left, right, name in boxes:
        ahead = [(row + 4, column, "down") for column in range(left, right) if grid[row + 3][column] == "┬"]
        while ahead:
            line, column, way = ahead.pop()
            sign = grid[line][column]
            if sign == "▼":
                found |= {(name, box[3]) for box in boxes if box[0] == line + 1 and box[1] < column < box[2]}
                assert any(box[0] == line + 1 and box[1] < column < box[2] for box in boxes)
                continue
            ways = {
                "down": {"│": ["down"], "└": ["right"], "┘": ["left"], "├": ["down", "right"], "┤": ["down", "left"]}
                | {"┴": ["left", "right"], "┼": ["down", "left", "right"]},
                "left": {"─": ["left"], "│": ["left"], "┌": ["down"], "┬": ["left", "down"], "├": ["down"]},
                "right": {"─": ["right"], "│": ["right"], "┐": ["down"], "┬": ["right", "down"], "┤": ["down"]},
            }[way][sign]
            step = {"down": (1, 0), "left": (0, -1), "right": (0, 1)}
            ahead += [(line + step[each][0], column + step[each][1], each) for each in ways]
    return found


@given(
    st.integers(2, 9).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.tuples(st.integers(0, n), st.integers(0, n)))))
)
@settings(max_examples=30)
def test_the_lines_of_a_drawing_are_the_edges(given_graph: tuple[int, set[tuple[int, int]]]) -> None:
    count, pairs = given_graph
    edges = sorted((min(pair), max(pair)) for pair in pairs if pair[0] != pair[1])
    text = plain(count + 1, *dict.fromkeys(edges)).to_text(170)

    assert trace(text) == {(f"b{source}", f"b{target}") for source, target in edges}


NAMES = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(), max_size=60))


@given(st.lists(NAMES, min_size=3, max_size=3), st.sampled_from([20, 45, 80]), st.booleans())
@settings(max_examples=30)
def test_no_name_makes_a_line_too_long_or_breaks_it(names: list[str], width: int, ascii_only: bool) -> None:
    nodes = tuple(GraphNode(name, name[::-1], name) for name in names)
    text = Graph(names[0], nodes, ((0, 1), (0, 2), (1, 1))).to_text(width, ascii_only=ascii_only)

    assert max(map(display_width, text.split("\n"))) <= width
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\ud800-\udfff]", text)
    assert text.isascii() or not ascii_only
    for row in re.findall(r"^[┌╔].*\n(?:.*\n){2}[└╚].*$", text, re.MULTILINE):
        assert len({display_width(line) for line in row.split("\n")}) == 1


# --- Mermaid and DOT ----------------------------------------------------------------------------------------------

WRITTEN = {
    "workflow_display_name": 'Say "hi"',
    "blocks": [
        block("end", block_display_name='A "quoted" <b> & #35; [x]'),
        block("c", "end", "gone", block_display_name="C\\n\n$$", is_output=True),
    ],
}


def test_mermaid_has_ids_of_its_own_and_escaped_labels() -> None:
    assert (
        LoadedWorkflow(WRITTEN).graph().to_mermaid()
        == """\
flowchart TD
    n1["A #34;quoted#34; #60;b#62; #38; #35;35#59; #91;x#93;<br/>end · text"]
    n2["C#92;#8203;n #36;#8203;#36;#8203;<br/>c · text · output"]:::output
    n3["gone<br/>missing"]:::missing
    n1 --> n2
    n3 --> n2
    classDef output stroke-width:4px
    classDef missing stroke-dasharray:5 4
"""
    )


def test_dot_is_quoted() -> None:
    assert (
        LoadedWorkflow(WRITTEN).graph().to_dot()
        == """\
digraph "Say \\"hi\\"" {
    graph [label="Say \\"hi\\"", labelloc=t]
    node [shape=box, style=rounded, fontname="sans-serif"]
    n1 [label="A \\"quoted\\" <b> &amp; #35; [x]\\nend · text"]
    n2 [label="C\\\\n $$\\nc · text · output", peripheries=2]
    n3 [label="gone\\nmissing", style="rounded,dashed"]
    n1 -> n2
    n3 -> n2
}
"""
    )


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_no_name_leaves_its_label(name: str) -> None:
    graph = Graph(name, (GraphNode(name, f"{name}.", name, is_output=True),), ())
    mermaid, dot = graph.to_mermaid().splitlines(), graph.to_dot().splitlines()

    assert len(mermaid) == 4
    assert re.fullmatch(r'    n1\["([^"\\<>]|<br/>)*"\]:::output', mermaid[1])
    assert len(dot) == 5
    assert re.fullmatch(r'    n1 \[label="([^"\\]|\\["\\n])*", peripheries=2\]', dot[3])


# --- SVG and HTML -------------------------------------------------------------------------------------------------


def assert_is_harmless(drawing: str) -> None:
    root = ElementTree.fromstring(drawing.removeprefix("<!DOCTYPE html>"))
    for element in root.iter():
        assert element.tag.partition("}")[2] in {
            *("svg", "title", "desc", "style", "rect", "g", "polyline", "polygon", "text"),
            *("html", "head", "meta", "body", "a", "path"),
        }
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert name not in ("id", "style")
            assert "href" not in name or value == "#here"
            assert "url(" not in value
            assert "//" not in value or name == "aria-label"
        if element.tag.endswith("style"):
            assert not re.search(r"url|@import|//|<|expression", element.text or "")


@given(st.lists(NAMES, min_size=3, max_size=3))
@settings(max_examples=15)
def test_no_name_gets_out_of_an_svg_or_a_page(names: list[str]) -> None:
    nodes = (*(GraphNode(name, name[::-1], name) for name in names), GraphNode("z", names[0], is_missing=True))
    graph = Graph(names[0], nodes, ((0, 1), (1, 0), (2, 2), (3, 2)))

    statuses = dict(zip(names, reversed(names), strict=True))
    shown = graph.to_svg(statuses, links=dict.fromkeys(names, "#here"))
    for drawing in (graph.to_svg(), graph.to_html(), graph.to_html(statuses), shown):
        assert_is_harmless(drawing)
        assert len(drawing) < 60_000


def test_a_name_of_a_million_letters_makes_a_small_picture() -> None:
    name = "x" * 1_000_000
    graph = Graph(name, (GraphNode("a", name, name, is_output=True), GraphNode(name, name, name)), ((0, 1), (1, 0)))

    assert len(graph.to_html()) < 20_000


def test_a_box_has_a_short_name_and_the_full_one_as_its_title() -> None:
    name = "A name that is far too long for any box, whatever the font"
    root = ElementTree.fromstring(graph_of_blocks(block("a", block_display_name=name)).to_svg())
    [group] = root.iter(f"{SVG}g")
    texts = [text.text or "" for text in group.iter(f"{SVG}text")]

    assert (group.findtext(f"{SVG}title") or "").startswith(f"{name} · a · text")
    assert texts[0].endswith("…")
    assert name.startswith(texts[0][:-1])
    assert texts[1:] == ["a · text", "output"]


def drawn(graph: Graph) -> tuple[list[tuple[float, ...]], list[list[tuple[float, float]]]]:
    """Return the boxes (left, top, right, bottom) and the lines, with the points of their arrow heads."""
    root = ElementTree.fromstring(graph.to_svg())
    rects = [[float(rect.attrib[name]) for name in ("x", "y", "width", "height")] for rect in root.iter(f"{SVG}rect")
             if "x" in rect.attrib]  # fmt: skip
    lines = [
        [tuple(map(float, point.split(","))) for each in group for point in each.get("points", "").split()]
        for group in root.iter(f"{SVG}g")
        if group.find(f"{SVG}polyline") is not None
    ]
    return [(x, y, x + w, y + h) for x, y, w, h in rects], lines  # type: ignore[misc]


def is_at(box: tuple[float, ...], point: tuple[float, float]) -> bool:
    return box[0] - 1.5 <= point[0] <= box[2] + 1.5 and box[1] - 1.5 <= point[1] <= box[3] + 1.5


@pytest.mark.parametrize(
    "graph",
    [
        plain(1, (0, 0)),
        plain(3, (0, 1), (1, 2), (2, 0)),
        plain(9, (0, 1), (2, 3)),
        plain(40, *((0, number) for number in range(1, 40))),
        tangle(30),
        tangle(300),
    ],
    ids=["self", "cycle", "alone", "star", "30", "300"],
)
def test_boxes_stand_apart_and_edges_join_them(graph: Graph) -> None:
    boxes, lines = drawn(graph)
    view = re.search(r'viewBox="0 0 (\d+) (\d+)"', graph.to_svg())

    assert view
    assert len(boxes) == len(graph.nodes)
    assert len(lines) == len(graph.edges)
    ordered = sorted(boxes)
    for number, one in enumerate(ordered):
        assert 0 <= one[0] < one[2] <= int(view[1])
        assert 0 <= one[1] < one[3] <= int(view[2])
        for other in ordered[number + 1 :]:
            if other[0] >= one[2]:
                break
            assert other[1] >= one[3] or other[3] <= one[1]
    for (source, target), line in zip(graph.edges, lines, strict=True):
        tip = line[-3]
        assert is_at(boxes[source], line[0])
        assert is_at(boxes[target], tip)


def test_blocks_beside_each_other_stand_in_the_order_of_the_file() -> None:
    fan = Graph(
        "", tuple(GraphNode(f"b{number}", f"b{number}") for number in range(13)), tuple((0, n) for n in range(1, 13))
    )

    places = {
        name: float(x) for x, name in re.findall(r'font-weight="600" x="([0-9.]+)" y="[0-9.]+">(b\d+)<', fan.to_svg())
    }
    row = sorted((f"b{number}" for number in range(2, 13)), key=places.__getitem__)
    assert row == [f"b{number}" for number in range(2, 13)]


def test_the_same_graph_is_the_same_picture() -> None:
    assert tangle(40).to_svg() == tangle(40).to_svg()


@pytest.mark.timing
def test_300_blocks_are_drawn_within_two_seconds() -> None:
    begun = time.perf_counter()
    tangle(300).to_svg()
    tangle(300).to_text()

    assert time.perf_counter() - begun < 2


def test_what_nobody_could_follow_is_refused_at_once() -> None:
    graph = plain(60, *((source, target) for target in range(60) for source in range(target)))

    with pytest.raises(ConfigurationError, match=r"too many edges .*60 blocks, 1770 dependencies.* draw it as text"):
        graph.to_svg()
    assert graph._repr_mimebundle_().keys() == {"text/plain"}


def test_a_notebook_shows_the_picture() -> None:
    graph = plain(2, (0, 1))

    assert graph._repr_mimebundle_(include=["image/svg+xml"]) == {
        "text/plain": graph.to_text(),
        "image/svg+xml": graph.to_svg(),
    }


@pytest.fixture
def without_graphlay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "graphlay", None)


@pytest.mark.usefixtures("without_graphlay")
def test_without_the_extra_a_notebook_shows_text() -> None:
    graph = plain(2, (0, 1))

    assert graph._repr_mimebundle_() == {"text/plain": graph.to_text()}
    with pytest.raises(ConfigurationError, match=r"pip install 'scout-workflows\[graph\]'"):
        graph.to_html()


# --- Statuses and links -------------------------------------------------------------------------------------------

CHAIN = graph_of_blocks(block("a"), block("b", "a"), block("c", "b"), block("d", "c", is_output=True), block("e"))
STATUSES = {"a": "completed", "b": RunStatus.STARTED, "c": "failed", "d": "<odd>", "gone": "failed"}


def test_each_box_says_the_status_of_its_block() -> None:
    root = ElementTree.fromstring(CHAIN.to_svg(STATUSES))
    boxes = [group for group in root.iter(f"{SVG}g") if group.find(f"{SVG}rect") is not None]
    words = [group.findall(f"{SVG}text")[-1] for group in boxes]
    bands = [group.find(f"{SVG}path") for group in boxes]

    shown = ["completed", "running", "failed", "<odd>", "not started"]
    assert [(word.text, word.get("class")) for word in words] == list(
        zip(shown, ["good", "busy", "bad", "busy", "soft"], strict=True)
    )
    assert [None if band is None else band.get("class") for band in bands] == ["good", "busy", "bad", "busy", None]
    assert [(group.findtext(f"{SVG}title") or "").rpartition(" · ")[2] for group in boxes] == shown
    assert (root.findtext(f"{SVG}desc") or "").endswith(
        "; output: D; 1 completed; 1 running; 1 failed; 1 <odd>; 1 not started"
    )
    for group, word in zip(boxes, words, strict=True):
        [(top, height)] = ((float(each.attrib["y"]), float(each.attrib["height"])) for each in group.iter(f"{SVG}rect"))
        assert top + 36 < float(word.attrib["y"]) < top + height


def test_no_statuses_are_not_the_same_as_none() -> None:
    assert CHAIN.to_svg({}).count(">not started</text>") == 5
    assert "not started" not in CHAIN.to_svg()
    assert CHAIN.to_svg(STATUSES) in CHAIN.to_html(STATUSES)


def test_a_box_can_be_a_link() -> None:
    root = ElementTree.fromstring(CHAIN.to_svg(STATUSES, links={"a": '/runs/1?b="c"&d=<e>#f', "c": "#block-3"}))
    links = list(root.iter(f"{SVG}a"))

    assert [(link.get("href"), link.get("aria-label")) for link in links] == [
        ('/runs/1?b="c"&d=<e>#f', "A · a · text · completed"),
        ("#block-3", "C · c · text · failed"),
    ]
    assert root.get("role") == "group"  # nothing inside an image can be reached by a screen reader
    assert ElementTree.fromstring(CHAIN.to_svg(STATUSES)).get("role") == "img"


@pytest.mark.parametrize(
    "address",
    ["", "#a", "a/b:c", "?q=a:b", "#a:b", "/page/1", "../a", "//e.example", "HTTPS://e.example/a:b", "http:a"],
)
def test_what_a_page_may_link_to(address: str) -> None:
    [link] = ElementTree.fromstring(CHAIN.to_svg(links={"a": address})).iter(f"{SVG}a")

    assert link.get("href") == address


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\nscript:alert(1)",
        "\tjavascript:alert(1)",
        " javascript:alert(1)",
        "\x01javascript:alert(1)",
        "data:text/html,<script>",
        "mailto:a@e.example",
        "#two words",
        "#\ud800",
        "#\u202e",
        "#" + "x" * 100_000,
    ],
)
def test_what_a_page_may_not_link_to(address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"links\['not a block'\] is .* must be an address") as raised:
        CHAIN.to_svg(links={"not a block": address})

    assert len(str(raised.value)) < 400


def test_pictures_in_one_page_share_nothing_but_the_style() -> None:
    drawings = [CHAIN.to_svg(), CHAIN.to_svg(STATUSES, links={"a": "#a"}), tangle(30).to_svg({})]
    root = ElementTree.fromstring(f"<main>{''.join(drawings)}</main>")

    assert [style.text for style in root.iter(f"{SVG}style")] == [STYLE] * 3
    assert not [each for each in root.iter() if each.get("id") or each.get("style")]


def test_a_focus_can_be_seen_in_light_and_dark() -> None:
    light, _, dark = STYLE.partition("@media (prefers-color-scheme:dark)")

    assert all(re.search(r"a:focus-visible \.box\{stroke:#\w{6};stroke-width:4\}", part) for part in (light, dark))
    assert not re.search("animation|transition", STYLE)


# --- The layout is kept -------------------------------------------------------------------------------------------


@pytest.fixture
def layouts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows with each layout. None is kept from before."""
    graphlay = pytest.importorskip("graphlay")
    real, asked = graphlay.layout, list[int]()
    monkeypatch.setattr(graphlay, "layout", lambda *args, **more: [asked.append(1), real(*args, **more)][1])
    _lay_out.cache_clear()
    return asked


def test_other_statuses_need_no_other_layout(layouts: list[int]) -> None:
    again = Graph("Another", CHAIN.nodes, CHAIN.edges)
    drawn = [CHAIN.to_svg(statuses) for statuses in ({}, STATUSES, dict.fromkeys("abcde", "x" * 99))]
    widths = [re.findall(r'<rect class="box.*?/>', drawing) for drawing in [*drawn, again.to_svg({})]]

    assert len(layouts) == 1
    assert len(set(drawn)) == 3
    assert widths == [widths[0]] * 4
    assert CHAIN.to_svg() != drawn[0]
    assert len(layouts) == 2  # of boxes without a place for a status


def test_few_layouts_are_kept(layouts: list[int]) -> None:
    for _ in range(2):
        for count in range(2, 42):
            plain(count, (0, 1)).to_svg()

    assert len(layouts) == 80
    assert _lay_out.cache_info().currsize == 8


def test_a_failure_is_not_kept(layouts: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    graphlay = pytest.importorskip("graphlay")

    def fail(*_: object, **__: object) -> None:
        raise graphlay.GraphlayError("not now")

    with monkeypatch.context() as patch:
        patch.setattr(graphlay, "layout", fail)
        with pytest.raises(ConfigurationError, match="not now"):
            CHAIN.to_svg()
    assert "<polyline" in CHAIN.to_svg()
    monkeypatch.setitem(sys.modules, "graphlay", None)
    with pytest.raises(ConfigurationError, match="needs graphlay"):  # although there is a layout
        CHAIN.to_svg()
    assert len(layouts) == 1


def test_threads_draw_at_once(layouts: list[int]) -> None:
    graphs = [tangle(count) for count in range(20, 32)] * 3
    given = [{f"b{number}": "completed" for number in range(index)} for index in range(len(graphs))]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(Graph.to_svg, graphs, given))
    _lay_out.cache_clear()

    assert together == [graph.to_svg(statuses) for graph, statuses in zip(graphs, given, strict=True)]
    assert layouts


# --- scout graph --------------------------------------------------------------------------------------------------

FILE = EXAMPLES / "hello/workflow.yml"


def test_the_command_prints_text() -> None:
    done = run_here("graph", FILE, env={})

    assert done.returncode == 0
    assert done.stdout == load_workflow(FILE).graph().to_text(80)


@pytest.mark.parametrize(
    ("name", "begin"),
    [
        ("a.svg", "<svg "),
        ("a.HTML", "<!DOCTYPE html>"),
        ("a.mmd", "flowchart TD"),
        ("a.gv", "digraph "),
        ("a.txt", "Hello · 2 blocks"),
    ],
)
def test_the_name_of_the_file_decides_the_format(name: str, begin: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("an older drawing")
    done = run_here("graph", FILE, "-o", name, env={}, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (0, f"{name}\n")
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(begin)


def test_a_format_can_be_named(tmp_path: Path) -> None:
    assert run_here("graph", FILE, "--format", "mermaid", env={}).stdout.startswith("flowchart TD\n")
    assert run_here("graph", FILE, "--format", "dot", "-o", "README", env={}, cwd=tmp_path).returncode == 0
    assert (tmp_path / "README").read_text(encoding="utf-8").startswith("digraph ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "a.png"], "must end in one of .txt, .mmd, .mermaid, .dot, .gv, .svg, .html, .htm, or give --format"),
        (["-o", "-"], "'-', must end in one of .txt"),
        (["--format", "svgg"], "'svgg' is none of text, mermaid, dot, svg, html; did you mean svg?"),
        (["-o", "none/a.svg"], "none/a.svg cannot be used: No such file or directory"),
    ],
)
def test_what_cannot_be_drawn_is_a_usage_error(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = run_here("graph", FILE, *arguments, env={}, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_workflow_is_not_drawn(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("services: {}\n")
    done = run_here("graph", "a.yml", env={}, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert "a.yml" in done.stderr
    assert "not a workflow" in done.stderr


@pytest.mark.usefixtures("without_graphlay")
def test_without_the_extra_the_command_says_what_to_install(tmp_path: Path) -> None:
    done = run_here("graph", FILE, "-o", "a.svg", env={}, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'scout-workflows[graph]'" in done.stderr
    assert run_here("graph", FILE, env={}).returncode == 0


@pytest.mark.parametrize(("encoding", "border"), [("cp1252", "#= output =====#"), ("utf-8", "╔═ output ═════╗")])
def test_the_encoding_of_the_terminal_decides_about_the_boxes(
    encoding: str, border: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(out, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", out)

    assert main(["graph", str(FILE)]) == 0
    assert border in out.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]


def test_the_drawing_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    monkeypatch.setattr(out, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("COLUMNS", "30")

    assert main(["graph", str(EXAMPLES / "classify/workflow.yml")]) == 0
    assert out.buffer.getvalue().decode() == load_workflow(  # type: ignore[attr-defined]
        EXAMPLES / "classify/workflow.yml"
    ).graph().to_text(30)


def test_the_drawing_never_replaces_the_workflow(tmp_path: Path) -> None:
    copy = tmp_path / "w.yml"
    copy.write_bytes(FILE.read_bytes())

    done = run_here("graph", "w.yml", "-o", copy, "--format", "dot", env={}, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert "is the workflow itself" in done.stderr
    assert copy.read_bytes() == FILE.read_bytes()


def test_the_workflow_comes_from_stdin(tmp_path: Path) -> None:
    drawn = run_here("graph", "-", env={}, stdin=FILE.read_bytes(), cwd=tmp_path)

    assert drawn.stdout == run_here("graph", FILE, env={}).stdout
