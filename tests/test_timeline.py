"""Timelines: bars, the critical path, ticks, and pictures that hold whatever names a server sends."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import Server, chunked
from test_events import STARTED, says
from test_graph import HOSTILE

from scout import AsyncRunStream, Bar, BlockRun, Run, RunStatus, RunStream, Scout, Timeline
from scout._pictures import STYLE
from scout.timeline import duration_text, make_timeline

BEGIN = datetime(2026, 3, 2, 10, tzinfo=UTC)
DONE, FAILED, RUNNING = RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.STARTED
SVG = "{http://www.w3.org/2000/svg}"
INJECTION = "</text><script>alert(1)</script>\"'&\x00\x1b[31m\u202e\ud800" + "日本語" * 40


def at(seconds: float | None) -> datetime | None:
    return None if seconds is None else BEGIN + timedelta(seconds=seconds)


def block(
    block_id: str,
    start: float | None,
    end: float | None,
    status: RunStatus = DONE,
    first: float | None = None,
    needs: tuple[str, ...] | None = None,
    **more: Any,
) -> BlockRun:
    times = {"started": at(start), "ended": at(end), "first_token": at(first)}
    return BlockRun(block_id, "com.scoutos.llm", status, dependencies=needs, **times, **more)


def timeline(*blocks: BlockRun) -> Timeline:
    return Run("run_1", None, None, DONE, blocks=list(blocks)).timeline()


OVERLAP = timeline(
    block("inputs", 0, 0),
    block("search", 0, 2, price=0.25),
    block("side", 0.5, 3.5, FAILED, error="no network"),
    block("answer", 2, 4, first=3),
)


# --- Data ---------------------------------------------------------------------------------------------------------


def test_the_bars_of_blocks_that_overlap() -> None:
    assert (OVERLAP.start, OVERLAP.seconds) == (BEGIN, 4.0)
    assert [(bar.id, bar.start, bar.end, bar.first_token) for bar in OVERLAP.bars] == [
        ("inputs", 0, 0, None),
        ("search", 0, 2, None),
        ("side", 0.5, 3.5, None),
        ("answer", 2, 4, 3),
    ]
    assert [bar.is_critical for bar in OVERLAP.bars] == [True, True, False, True]
    assert [bar.seconds for bar in OVERLAP.bars] == [0, 2, 3, 2]
    assert all(isinstance(bar, Bar) and bar.has_ended for bar in OVERLAP.bars)
    assert OVERLAP.title == "run run_1 completed, price 0.25"


def test_without_dependencies_the_critical_path_follows_the_times() -> None:
    assert OVERLAP.critical_path == ("inputs", "search", "answer")


def test_with_dependencies_the_critical_path_follows_them() -> None:
    blocks = [
        block("a", 0, 1, needs=()),
        block("b", 0, 2, needs=()),
        block("c", 2.0, 3, needs=("a",)),  # b ended later, and nobody waited for it
    ]

    assert timeline(*blocks).critical_path == ("a", "c")
    assert timeline(*blocks[:2], block("c", 2, 3, needs=("a", "b", "nobody"))).critical_path == ("b", "c")
    assert timeline(block("a", 0, 1, needs=("b",)), block("b", 1, 2, needs=("a",))).critical_path == ("a", "b")


def test_a_block_without_an_end_lasts_to_the_end() -> None:
    cut = timeline(block("a", 0, 1), block("b", 1, None, RUNNING, first=1.5), block("c", 0.5, 3))

    assert (cut.bars[2].end, cut.bars[2].has_ended) == (3, False)
    assert cut.critical_path == ("c",)  # of those that last to the end, the one that took longest
    assert "> 2.00 s" in cut.to_text()
    assert "no end" in cut.to_text()


def test_a_run_that_continues_lasts_until_somebody_looks() -> None:
    blocks = [block("a", 0, 1), block("b", 1, None, RUNNING, needs=("a",)), block("c", None, None, RUNNING)]
    live = make_timeline(blocks, "run\nrun_1", at(4))

    assert (live.title, live.start, live.seconds) == ("run run_1", BEGIN, 4)
    assert [(bar.id, bar.status, bar.start, bar.end, bar.has_ended) for bar in live.bars] == [
        ("a", "completed", 0, 1, True),
        ("b", "running", 1, 4, False),
        ("c", "running", None, None, False),
    ]
    assert live.critical_path == ("a", "b")
    assert re.search(r"▶ +> 3\.00 s +running\n", live.to_text())
    assert "running" in live.to_svg()
    assert "no end" not in live.to_svg()


def test_a_look_from_before_the_last_time_changes_no_bar() -> None:
    blocks = [block("a", 0, 1), block("b", 1, None, RUNNING, first=3)]

    early = make_timeline(blocks, "run", at(-5))
    assert (early.start, early.seconds) == (BEGIN, 3)
    assert make_timeline([], "run", at(5)).seconds == 0


def test_a_clock_that_goes_backwards_makes_no_negative_bar() -> None:
    odd = timeline(block("a", 2, 1), block("b", 0, 4))

    assert [(bar.id, bar.start, bar.end) for bar in odd.bars] == [("b", 0, 4), ("a", 2, 2)]
    assert "clocks" in odd.bars[1].details


def test_a_block_whose_start_is_not_known_is_at_its_end() -> None:
    bar = timeline(block("a", None, 2), block("b", 1, 3)).bars[1]

    assert (bar.id, bar.start, bar.end) == ("a", 1, 1)


def test_without_times_there_are_no_bars_but_what_is_known() -> None:
    plain = timeline(BlockRun("answer", status=DONE, price=0.0025, model="gpt-4o", input_tokens=21, output_tokens=96))

    assert (plain.start, plain.seconds, plain.critical_path) == (None, 0.0, ())
    assert "only a stream" in plain.to_text()
    assert re.search(r"answer +0\.0025 +gpt-4o; 21 tokens read, 96 tokens written\n", plain.to_text(100))
    assert "only a stream" in plain.to_svg()


@pytest.mark.parametrize("blocks", [[], [block("a", 0, 0)], [block("a", 0, 1)]], ids=["none", "no time", "one"])
def test_few_blocks(blocks: list[BlockRun]) -> None:
    made = timeline(*blocks)

    assert made.critical_path == tuple(each.id for each in blocks)
    assert ElementTree.fromstring(made.to_svg()).tag == f"{SVG}svg"
    assert made.to_text().startswith("run run_1 completed")


# --- Text ---------------------------------------------------------------------------------------------------------


def test_as_text() -> None:
    assert OVERLAP.to_text(60).splitlines() == [
        "run run_1 completed, price 0.25, 4.00 s",
        "         0 s           2 s           4 s",
        "inputs * │                                 0 s",
        "search * ██████████████                 2.00 s  0.25",
        "side        █████████████████████✗      3.00 s        failed",
        "answer *               ░░░░░░░███████   2.00 s",
        "side: no network",
        "* critical path: inputs, search, answer",
        "░ before the first token",
    ]


def test_as_ascii() -> None:
    assert OVERLAP.to_text(ascii_only=True).isascii()


@pytest.mark.parametrize("width", [1, 40, 79, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    many = timeline(*(block(f"block {number} 日本語", number, number + 2.5, price=1e-7) for number in range(50)))
    wide = {"░": 1, "日": 2, "本": 2, "語": 2}

    for line in many.to_text(width).splitlines():
        assert sum(wide.get(character, 1) for character in line) <= max(width, 40)


def test_a_narrow_terminal_leaves_room_for_the_bars() -> None:
    narrow = timeline(
        block("summarise_reviews", 0, 2.5, first=1, price=0.00012345),
        block("translate_reviews", 2.5, 4, FAILED, price=0.0009, error=" ".join(["no", "network"] * 60)),
    )

    lines = narrow.to_text(40).splitlines()
    assert lines[2:4] == [
        "summarise… * ░███     2.50 s  0.00012345",
        "translate… *     █✗   1.50 s      0.0009",
    ]
    assert lines[4:9][0].startswith("translate_reviews: no network")
    assert [line[:2] for line in lines[5:9]] == ["  "] * 4
    assert lines[8].endswith("…")
    assert lines[9].startswith("* critical path")


def test_a_status_may_be_any_text_and_a_price_any_number() -> None:
    odd = timeline(
        block("a", 0, 1, RunStatus("odd\n\x1b[31m" + "x" * 300), price=1e300), block("b", 0, 2, price=123456.5)
    )

    lines = odd.to_text(80).splitlines()
    assert len(lines) == 5
    assert lines[2].endswith(r" 1.00 s    1e+300  odd \x1b[31…")
    assert lines[3].endswith(" 2.00 s  123456.5")
    texts = [each.text or "" for each in check_svg(odd.to_svg()).iter(f"{SVG}text")]
    assert "1e+300" in texts
    assert max(map(len, texts)) < 60


def test_blocks_without_a_length_are_a_path_in_their_order() -> None:
    assert timeline(block("a", 0, 0), block("b", 0, 0), block("c", 0, 0)).critical_path == ("a", "b", "c")


def test_a_wide_name_does_not_reach_the_bars() -> None:
    (name,) = (
        each.text or ""
        for each in check_svg(timeline(block("W" * 40, 0, 1)).to_svg()).iter(f"{SVG}text")
        if (each.text or "").startswith("W")
    )

    assert len(name) <= 14  # an em each, in 176 pixels


@pytest.mark.parametrize(
    ("seconds", "ticks"),
    [
        (0.01, ["0 s", "2 ms", "4 ms", "6 ms", "8 ms", "10 ms"]),
        (1, ["0 s", "200 ms", "400 ms", "600 ms", "800 ms", "1 s"]),
        (7.9, ["0 s", "1 s", "2 s", "3 s", "4 s", "5 s", "6 s", "7 s"]),
        (600, ["0 s", "2 min", "4 min", "6 min", "8 min", "10 min"]),
        (3 * 86400, ["0 s", "12 h", "1 d", "1 d 12 h", "2 d", "2 d 12 h", "3 d"]),
        (40 * 86400, ["0 s", "5 d", "10 d", "15 d", "20 d", "25 d", "30 d", "35 d", "40 d"]),
    ],
)
def test_ticks_are_round(seconds: float, ticks: list[str]) -> None:
    tree = ElementTree.fromstring(timeline(block("a", 0, seconds)).to_svg())

    found = [each.text for each in tree.iter(f"{SVG}text") if each.get("font-size") == "11"]
    assert found == ticks


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.00005, "0.05 ms"),
        (0.25, "250 ms"),
        (0.9999, "1.00 s"),
        (1.5, "1.50 s"),
        (59.999, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (86400 * 3 + 4 * 3600, "3 d 4 h"),
        (-0.5, "-500 ms"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


# --- SVG ----------------------------------------------------------------------------------------------------------


def check_svg(svg: str) -> ElementTree.Element:
    """An SVG that any viewer may show: XML, without scripts, handlers and addresses."""
    tree = ElementTree.fromstring(svg.encode())
    names = {"svg", "title", "desc", "style", "rect", "text", "line", "g"}
    for each in tree.iter():
        assert each.tag.removeprefix(SVG) in names
        assert not any(name.startswith("on") or "href" in name or name in ("id", "style") for name in each.attrib)
        assert not any("//" in value or "url(" in value for value in each.attrib.values())
    assert [style.text for style in tree.iter(f"{SVG}style")] == [STYLE]
    return tree


def test_names_cannot_inject_anything() -> None:
    svg = timeline(
        block(INJECTION, 0, 1, price=0.1), block("b", 0, 0.5, RunStatus("<b>odd"), error=INJECTION, model=INJECTION)
    ).to_svg()

    assert "<script" not in svg
    assert "\x1b" not in svg
    texts = [each.text or "" for each in check_svg(svg).iter(f"{SVG}text")]
    assert any(text.startswith("</text><script>aler") for text in texts)
    assert all(len(text) < 120 for text in texts)


def test_what_takes_no_time_is_visible() -> None:
    tree = check_svg(OVERLAP.to_svg())

    bars = [group.find(f"{SVG}rect") for group in tree.iter(f"{SVG}g")]
    assert all(bar is not None and float(bar.get("width", "0")) >= 3 for bar in bars)


def test_300_blocks_have_300_rows() -> None:
    tree = check_svg(timeline(*(block(f"b{number}", number / 9, number / 9 + 3) for number in range(300))).to_svg())

    rows = [group.find(f"{SVG}text") for group in tree.iter(f"{SVG}g")]
    places = [float(row.get("y", "0")) for row in rows if row is not None]
    assert len(places) == len(set(places)) == 300
    assert max(places) < float(tree.get("height", "0"))


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_no_name_makes_a_large_picture(name: str) -> None:
    blocks = [
        block(f"{number}{name}", number, number + 1, RunStatus(name), error=name, model=name) for number in (1, 2)
    ]
    svg = make_timeline(blocks, name).to_svg()

    assert "\u202e" not in svg
    check_svg(svg)
    assert len(svg) < 20_000


SECONDS = st.none() | st.floats(0, 10) | st.floats(0, 1e9)
BLOCKS = st.lists(
    st.builds(
        block,
        st.text(max_size=8),
        SECONDS,
        SECONDS,
        st.sampled_from([DONE, FAILED, RUNNING, RunStatus("odd")]),
        SECONDS,
        st.none() | st.lists(st.text(max_size=2), max_size=3).map(tuple),
        price=st.none() | st.floats(),
        error=st.none() | st.text(),
    ),
    max_size=8,
)


@given(BLOCKS, SECONDS)
def test_whatever_blocks_there_are_they_can_be_drawn(blocks: list[BlockRun], until: float | None) -> None:
    made = make_timeline(blocks, "run", at(until))

    check_svg(made.to_svg())
    assert made.to_text().count("\n") >= len(blocks)
    assert all(bar.start is None or 0 <= bar.start <= (bar.end or 0) <= made.seconds for bar in made.bars)
    assert len(set(made.critical_path)) == len(made.critical_path)


# --- In notebooks -------------------------------------------------------------------------------------------------


def test_a_notebook_shows_the_picture() -> None:
    assert getattr(OVERLAP, "_repr_svg_")() == OVERLAP.to_svg()  # noqa: B009 - notebooks look it up by name


def test_a_notebook_shows_a_run_in_short() -> None:
    run = Run("run_1", None, None, DONE, {"a": {"output": f"<b>{INJECTION}"}}, output_block_id="a")
    many = [block(f"{INJECTION}{number}", 0, 1, error=INJECTION) for number in range(150)]

    for each in (run, Run("run_1", None, None, FAILED, errors=[INJECTION], blocks=many)):
        html = getattr(each, "_repr_html_")()  # noqa: B009
        tree = ElementTree.fromstring(html)
        assert {part.tag for part in tree.iter()} <= {
            *("div", "b", "pre", "details", "summary", "table", "tr", "td", "th", "p"),
        }
        assert len(html) < 150_000
        assert "color" not in html  # of the page, dark or light
    assert "and 50 more" in html


def test_a_notebook_shows_a_stream_so_far() -> None:
    with (
        Server(chunked([STARTED + says("Hel") + says("lo")], content_type="text/event-stream")) as server,
        Scout("secret_key", base_url=server.url) as client,
        client.stream({"blocks": []}) as stream,
    ):
        for _ in stream:
            if stream.added == ("answer", "lo"):
                break
        html = getattr(stream, "_repr_html_")()  # noqa: B009

    assert html.startswith("<div><b>run run_1 started</b>")
    assert getattr(AsyncRunStream, "_repr_html_", None) is getattr(RunStream, "_repr_html_")  # noqa: B009
