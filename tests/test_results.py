"""What a caller receives: statuses, outputs, the JSON in an output, and timestamps."""

import copy
import dataclasses
import json
import pickle
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scout import (
    BlockRun,
    ConfigurationError,
    Run,
    RunFailedError,
    RunNotFinishedError,
    RunOutputError,
    RunStatus,
    StoredWorkflow,
    WorkflowPage,
)
from scout.results import parse_timestamp


def run_with(output: object, **changes: Any) -> Run:
    values: dict[str, Any] = {
        "id": "run_1",
        "session_id": "sess_1",
        "workflow_id": "wf_1",
        "status": RunStatus.COMPLETED,
        "state": {"answer": {"output": output}},
        "output_block_id": "answer",
    }
    return Run(**values | changes)


# --- Statuses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", list(RunStatus))
@pytest.mark.parametrize("prefix", ["", "workflow_run_"])
def test_a_known_status_is_its_member(status: RunStatus, prefix: str) -> None:
    assert RunStatus(prefix + status.value) is status


def test_the_known_statuses() -> None:
    assert [str(status) for status in RunStatus] == ["started", "completed", "failed"]


def test_an_unknown_status_is_its_text() -> None:
    paused = RunStatus("paused")

    assert paused == "paused"
    assert str(paused) == paused.value == "paused"
    assert isinstance(paused, RunStatus)
    assert "paused" in repr(paused)


def test_unknown_statuses_compare_by_their_text() -> None:
    assert RunStatus("paused") == RunStatus("paused")
    assert hash(RunStatus("paused")) == hash(RunStatus("paused"))
    assert RunStatus("paused") != RunStatus("lost")
    assert RunStatus("paused") not in list(RunStatus)


def test_an_unknown_status_does_not_become_known() -> None:
    RunStatus("paused")

    assert len(RunStatus) == 3
    assert "PAUSED" not in RunStatus.__members__


@pytest.mark.parametrize("text", ["", "Completed", "workflow_run_", "workflow_run_cancelled", "completed\n", "état"])
def test_any_text_is_a_status(text: str) -> None:
    assert RunStatus(text) == text
    assert RunStatus(text) not in list(RunStatus)


@pytest.mark.parametrize("value", [None, 5, True, ["completed"], b"completed"])
def test_what_is_not_text_is_no_status(value: object) -> None:
    with pytest.raises(ValueError, match="RunStatus"):
        RunStatus(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_statuses_survive_pickling(protocol: int) -> None:
    failed, paused = pickle.loads(pickle.dumps((RunStatus.FAILED, RunStatus("paused")), protocol))

    assert failed is RunStatus.FAILED
    assert paused == "paused"
    assert isinstance(paused, RunStatus)


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy])
def test_statuses_survive_copying(copier: Any) -> None:
    assert copier(RunStatus.FAILED) is RunStatus.FAILED
    assert copier(RunStatus("paused")) == RunStatus("paused")


@pytest.mark.parametrize(
    ("text", "kind"), [("workflow_run_completed", "done"), ("failed", "failed"), ("paused", "else"), ("lost", "lost")]
)
def test_statuses_can_be_matched(text: str, kind: str) -> None:
    match RunStatus(text):
        case RunStatus.COMPLETED:
            found = "done"
        case RunStatus.FAILED:
            found = "failed"
        case "lost":
            found = "lost"
        case _:
            found = "else"

    assert found == kind


# --- Runs ---------------------------------------------------------------------------------------------------------


def test_outputs_are_what_the_blocks_gave() -> None:
    state = {
        "inputs": {"output": {"user_message": "Hi"}},
        "answer": {"output": "Hello", "price": "0.1"},
        "nothing": {"output": None},
        "bare": "text",
        "settings": {"a": 1},
        "__exp_global": {"output": "not a block"},
    }

    assert run_with("", state=state).outputs == {
        "inputs": {"user_message": "Hi"},
        "answer": "Hello",
        "nothing": None,
        "bare": "text",
        "settings": {"a": 1},
    }


@pytest.mark.parametrize(
    ("changes", "output"),
    [
        ({}, "Hello"),
        ({"output_block_id": None}, None),
        ({"output_block_id": "other"}, None),
        ({"state": {}}, None),
        ({"state": {"answer": {"output": None}}}, None),
        ({"state": {"answer": {"output": {"output": 1}}}}, {"output": 1}),
        ({"state": {"answer": ["bare"]}}, ["bare"]),
    ],
)
def test_the_output_is_that_of_the_output_block(changes: dict[str, Any], output: object) -> None:
    assert run_with("Hello", **changes).output == output


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("Hello\n", "Hello\n"),
        ("", ""),
        (None, ""),
        (0, "0"),
        (False, "false"),
        ({"a": ["é", None]}, '{"a": ["é", null]}'),
        ([], "[]"),
    ],
)
def test_text_is_the_output_as_text(output: object, text: str) -> None:
    assert run_with(output).text == text


@pytest.mark.parametrize(
    ("output", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        (' \n{"a": 1}\n ', {"a": 1}),
        ("5", 5),
        ('"x"', "x"),
        ("null", None),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('```JSON  \n{"a": 1}\n```\n', {"a": 1}),
        ("```\n[1]\n```", [1]),
        ('````json\n{"a": 1}\n````', {"a": 1}),
        ('  ```json\n  {"a": 1}\n  ```  ', {"a": 1}),
        ('Here it is:\n\n```json\n{\n  "a": 1\n}\n```\n\nAnything else?', {"a": 1}),
        ('```json\n{"a": "x ```js y``` z"}\n```', {"a": "x ```js y``` z"}),
        ('```json\n{"a": "```python\\nx = 1\\n```"}\n```', {"a": "```python\nx = 1\n```"}),
        ('{"a": "```json\\n{}\\n```"}', {"a": "```json\n{}\n```"}),
        ({"a": 1}, {"a": 1}),
        ([1], [1]),
        (5, 5),
        (False, False),
        (None, None),
    ],
)
def test_the_json_of_an_output(output: object, value: object) -> None:
    assert run_with(output).json() == value


def test_a_fence_may_end_its_lines_as_windows_does() -> None:
    assert run_with('```json\r\n{"a": 1}\r\n```\r\n').json() == {"a": 1}


def test_a_fence_may_be_followed_by_another() -> None:
    output = 'Save this:\n```json\n{"a": 1}\n```\nand then run\n```sh\nls\n```\n'

    assert run_with(output).json() == {"a": 1}


@pytest.mark.parametrize(
    "output",
    ["", "Hello", "{'a': 1}", '{"a": 1', "```json\n{a: 1}\n```", "```json\n{}", "[NaN]", "[" * 100_000, "x" * 1000],
    ids=range(9),
)
def test_an_output_that_is_not_json_is_an_error_with_the_run(output: str) -> None:
    run = run_with(output)

    with pytest.raises(RunOutputError) as caught:
        run.json()

    assert isinstance(caught.value, ValueError)
    assert caught.value.run is run
    assert "'answer' is not JSON" in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus("paused")])
def test_a_run_that_did_not_complete_raises(status: RunStatus) -> None:
    run = run_with("Hello", status=status, errors=["no tokens left", "bye"])

    assert not run.ok
    with pytest.raises(RunFailedError) as caught:
        run.raise_for_status()

    assert caught.value.run is run
    assert str(caught.value) == f"run run_1 {status}: no tokens left; bye"
    assert caught.value.run_may_have_started


def test_a_run_that_has_not_ended_raises() -> None:
    run = run_with("Hel", status=RunStatus.STARTED)

    with pytest.raises(RunNotFinishedError, match="run run_1 has not ended") as caught:
        run.raise_for_status()

    assert caught.value.run is run
    assert caught.value.run_may_have_started


def test_a_failure_names_the_blocks_that_failed() -> None:
    blocks = (
        BlockRun("inputs", status=RunStatus.COMPLETED),
        BlockRun("search", status=RunStatus.FAILED),
        BlockRun("answer", status=RunStatus.FAILED),
    )
    run = run_with(None, status=RunStatus.FAILED, blocks=blocks)

    with pytest.raises(RunFailedError) as caught:
        run.raise_for_status()

    assert str(caught.value) == "run run_1 failed in block 'search', 'answer': the server gave no reason"


def test_a_completed_run_does_not_raise() -> None:
    run = run_with("Hello", errors=["a warning"])

    run.raise_for_status()

    assert run.ok


def test_runs_are_equal_but_for_what_only_one_way_can_tell() -> None:
    plain = run_with("Hello", raw={"run": {}})
    streamed = run_with("Hello", blocks=[BlockRun("answer", price=1.0)])

    assert plain == streamed


@pytest.mark.parametrize(
    "change",
    [
        {"id": "run_2"},
        {"session_id": None},
        {"workflow_id": "wf_2"},
        {"status": RunStatus("paused")},
        {"state": {}},
        {"errors": ("no",)},
        {"output_block_id": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_runs_differ_in_everything_else(change: dict[str, Any]) -> None:
    assert run_with("Hello") != run_with("Hello", **change)


def test_a_run_survives_pickling_and_copying() -> None:
    block = BlockRun("answer", started=datetime(2025, 1, 15, tzinfo=UTC), status=RunStatus("paused"))
    run = run_with({"n": 10**30}, status=RunStatus("paused"), blocks=[block], raw={"run": 1})

    for twin in (pickle.loads(pickle.dumps(run)), copy.copy(run), copy.deepcopy(run)):
        assert twin == run
        assert twin.blocks == run.blocks
        assert twin.raw == run.raw


@pytest.mark.parametrize("thing", [run_with("Hello"), BlockRun("answer")], ids=["run", "block"])
def test_results_cannot_be_changed(thing: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        thing.id = "other"


def test_a_repr_leaves_the_raw_body_out() -> None:
    assert "sesame" not in repr(run_with("Hello", raw={"x": "sesame"}))


def test_the_price_is_the_sum_of_the_known_ones() -> None:
    blocks = (BlockRun("a", price=0.25), BlockRun("b"), BlockRun("c", price=0.5))

    assert run_with("", blocks=blocks).price == 0.75
    assert run_with("", blocks=[BlockRun("a", price=0.0)]).price == 0.0
    assert run_with("", blocks=[BlockRun("b")]).price is None
    assert run_with("").price is None


def test_a_duration_needs_both_ends() -> None:
    start = datetime(2025, 1, 15, 12, tzinfo=UTC)
    end = datetime(2025, 1, 15, 13, 0, 1, 500_000, tzinfo=timezone(timedelta(hours=1)))

    assert BlockRun("a", started=start, ended=end).duration == 1.5
    assert BlockRun("a", started=start).duration is None
    assert BlockRun("a", ended=end).duration is None


# --- Timestamps ---------------------------------------------------------------------------------------------------

MOMENT = datetime(2025, 1, 15, 16, 12, 36, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-01-15T16:12:36Z", MOMENT),
        ("2025-01-15T16:12:36+00:00", MOMENT),
        ("2025-01-15T18:12:36+02:00", MOMENT),
        ("2025-01-15T12:42:36-0330", MOMENT),
        ("2025-01-15T16:12:36", MOMENT),
        ("2025-01-15 16:12:36", MOMENT),
        ("20250115T161236Z", MOMENT),
        ("2025-01-15T16:12:36.874880Z", MOMENT.replace(microsecond=874880)),
        ("2025-01-15T16:12:36.5", MOMENT.replace(microsecond=500_000)),
        ("2025-01-15T16:12:36,5Z", MOMENT.replace(microsecond=500_000)),
        ("2025-01-15T16:12:36.874880123Z", MOMENT.replace(microsecond=874880)),
        ("2025-01-15", datetime(2025, 1, 15, tzinfo=UTC)),
        ("Wed, 15 Jan 2025 16:12:36 GMT", MOMENT),
        ("Wed, 15 Jan 2025 18:12:36 +0200", MOMENT),
        ("Wednesday, 15-Jan-25 16:12:36 GMT", MOMENT),
        ("Wed Jan 15 16:12:36 2025", MOMENT),
        ("15 January 2025, 4:12:36 PM", MOMENT),
        ("2025/01/15 16:12:36 UTC", MOMENT),
        (" 2025-01-15T16:12:36Z\n", MOMENT),
        ("Jan 15, 2025", datetime(2025, 1, 15, tzinfo=UTC)),
    ],
)
def test_timestamps(text: str, moment: datetime) -> None:
    parsed = parse_timestamp(text)

    assert parsed == moment
    assert parsed is not None
    assert parsed.utcoffset() is not None


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            " ",
            "garbage",
            "5",
            "15",
            "31",
            "12:30",
            "Monday",
            "January 2025",
            "Jan 15",
            "Feb 29",
            "2025",
            "2025-01",
        ),
        *("2025-13-45", "2025-02-29", "2025-01-15T25:00:00", "0000-00-00", "\x00", "1736957556", "1736957556.5"),
        *("1736957556000", str(10**400), "9" * 400, "(" * 2000, None, 5, 1.5, True, ["2025-01-15"], b"2025-01-15"),
        MOMENT,
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_timestamp_is_none(value: object) -> None:
    assert parse_timestamp(value) is None


@pytest.mark.parametrize("offset", ["+99:99", "+9999", "-2400"])
def test_an_offset_of_more_than_a_day_is_no_timestamp(offset: str) -> None:
    assert parse_timestamp(f"Wed, 15 Jan 2025 16:12:36 {offset}") is None


@pytest.mark.parametrize("text", ["2025-01-15T16:12:36 XYZT", "Thu Sep 25 10:36:28 XYZT 2003"])
def test_a_zone_that_nobody_knows_is_not_taken_for_utc(text: str) -> None:
    assert parse_timestamp(text) is None


def test_a_row_of_digits_is_no_timestamp() -> None:
    """Nanoseconds since 1970, which Python 3.11 reads as a day in the year 1712."""
    assert parse_timestamp("1712052012345178901") is None


# --- Stored workflows ---------------------------------------------------------------------------------------------


def stored(**changes: Any) -> StoredWorkflow:
    values: dict[str, Any] = {
        "id": "wf_1",
        "key": "mine",
        "revision_id": "rev_1",
        "is_draft": False,
        "created_at": MOMENT,
        "last_updated_at": None,
        "config": {"z": 1, "a": [None]},
        "raw": {"workflow_id": "wf_1"},
    }
    return StoredWorkflow(**values | changes)


def test_a_stored_workflow_is_a_value() -> None:
    workflow = stored()

    assert pickle.loads(pickle.dumps(workflow)) == workflow == copy.deepcopy(workflow)
    assert pickle.loads(pickle.dumps(workflow)).raw == workflow.raw
    assert workflow != stored(revision_id="rev_2")
    assert workflow != stored(config={"z": 1})
    with pytest.raises(dataclasses.FrozenInstanceError):
        workflow.key = "other"  # type: ignore[misc]


def test_the_raw_object_is_neither_compared_nor_shown() -> None:
    for one, other in (
        (stored(), stored(raw={"secret": 1})),
        (WorkflowPage([stored()], "c"), WorkflowPage([stored()], "c", {"secret": 1})),
    ):
        assert one == other
        assert "secret" not in repr(other)


# --- Runs as JSON -------------------------------------------------------------------------------------------------


def saved(run: Run) -> Run:
    return Run.from_dict(json.loads(json.dumps(run.to_dict())))


BIG = Decimal("9" * 5000)
TEXTS = st.none() | st.text()
NUMBERS = st.integers() | st.floats(allow_nan=False) | st.just(BIG) | st.just(Decimal("1e400"))
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ZONES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.none() | st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=ZONES)
STATUSES = (st.sampled_from(list(RunStatus)) | st.just("paused") | st.text(min_size=1)).map(RunStatus)
COUNTS = st.none() | st.integers(0)
PRICES = st.none() | st.floats(allow_nan=False)
BLOCKS = st.builds(
    BlockRun,
    st.text(),
    TEXTS,
    STATUSES,
    TIMES,
    TIMES,
    PRICES,
    TEXTS,
    TIMES,
    TEXTS,
    COUNTS,
    COUNTS,
    st.none() | st.lists(st.text(), max_size=3).map(tuple),
)
RUNS = st.builds(
    Run,
    *(TEXTS, TEXTS, TEXTS, STATUSES, st.dictionaries(st.text(), JSON, max_size=3), st.lists(st.text(), max_size=2)),
    output_block_id=TEXTS,
    blocks=st.lists(BLOCKS, max_size=3),
)


@given(RUNS)
def test_a_run_survives_json(run: Run) -> None:
    twin = saved(run)

    assert twin == run
    assert twin.blocks == run.blocks
    assert twin.status is run.status or str(twin.status) == str(run.status)
    assert repr(twin.price) == repr(run.price)
    assert twin.to_dict() == run.to_dict()


def test_a_saved_run_says_what_readers_want() -> None:
    block = BlockRun("answer", "x", RunStatus.COMPLETED, MOMENT, MOMENT + timedelta(seconds=2), 0.5, first_token=MOMENT)
    run = run_with("Hello", blocks=[block], raw={"run": 1})

    found = run.to_dict()

    assert (found["output"], found["outputs"], found["price"]) == ("Hello", {"answer": "Hello"}, 0.5)
    assert found["scout_run"] == 1
    assert "raw" not in found
    assert found["blocks"][0]["started"] == "2025-01-15T16:12:36+00:00"
    assert found["blocks"][0]["duration"] == 2.0


def test_a_number_too_large_for_json_dumps_is_told_from_text() -> None:
    run = run_with({"list": [1, BIG], "text": "9" * 5000})

    assert run.to_dict()["decimals"] == [["answer", "output", "list", 1]]
    assert saved(run).output == {"list": [1, BIG], "text": "9" * 5000}
    assert run.to_dict(decimals=True)["output"]["list"][1] is BIG
    assert Run.from_dict(run.to_dict(decimals=True)) == run


def test_a_saved_run_shares_nothing_with_the_run() -> None:
    run = run_with(["Hello"])

    data = run.to_dict()
    twin = Run.from_dict(data)
    data["state"]["answer"]["output"].append("there")

    assert run.output == twin.output == ["Hello"]


def test_the_price_of_an_answer_of_one_event_is_kept() -> None:
    assert saved(run_with("", raw={"name": "workflow_run_completed", "price": "0.25"})).price == 0.25


def test_what_a_later_version_adds_is_ignored() -> None:
    data = run_with("Hello", blocks=[BlockRun("answer")]).to_dict()
    data |= {"scout_run": 2, "news": [1]}
    data["blocks"][0]["news"] = 1

    assert Run.from_dict(data) == run_with("Hello")
    assert Run.from_dict({"status": "completed", "state": {}}).blocks == []


def test_an_answer_of_the_api_is_a_saved_run_as_well() -> None:
    entry = {"output": "Hello", "meta": {"model": "gpt-4o", "cost": 0.5}}
    run = {"workflow_run_id": "run_1", "stop_reason": "workflow_run_completed", "state": {"answer": entry}}

    found = Run.from_dict({"workflow_id": "wf_1", "output_block_id": "answer", "run": run})

    assert (found.id, found.workflow_id, found.output, found.price) == ("run_1", "wf_1", "Hello", 0.5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": None}, "no status"),
        ({"status": 5}, "no status"),
        ({"state": [1]}, "state is list"),
        ({"id": 5}, "id is int where text belongs"),
        ({"errors": "no"}, "errors is not a list"),
        ({"errors": [1]}, "errors is not a list"),
        ({"blocks": {}}, "blocks is dict"),
        ({"blocks": [{}]}, r"blocks\[0\] is not a block"),
        ({"blocks": [{"id": "a", "price": "1"}]}, r"blocks\[0\]\.price is str"),
        ({"blocks": [{"id": "a", "price": True}]}, r"blocks\[0\]\.price is bool"),
        ({"blocks": [{"id": "a", "price": 10**400}]}, r"blocks\[0\]\.price is int"),
        ({"blocks": [{"id": "a", "started": "soon"}]}, r"blocks\[0\]\.started is not a time: 'soon'"),
        ({"blocks": [{"id": "a", "started": 5}]}, r"blocks\[0\]\.started is int"),
        ({"blocks": [{"id": "a", "input_tokens": -1}]}, "input_tokens is not a count"),
        ({"blocks": [{"id": "a", "dependencies": [1]}]}, "dependencies is not a list"),
        ({"decimals": [["answer", "nothing"]]}, "decimals"),
        ({"decimals": [["answer", "output"]]}, "decimals"),
        ({"decimals": 5}, "decimals"),
    ],
)
def test_what_is_no_saved_run_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Run.from_dict({**run_with("Hello").to_dict(), **change})


@pytest.mark.parametrize("data", [None, [], "text", {}, {"run": {}}, {"run": {"stop_reason": "x", "state": 5}}])
def test_other_json_is_no_saved_run(data: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"saved run|run\.state"):
        Run.from_dict(data)


# --- Runs in one line ---------------------------------------------------------------------------------------------


def test_a_repr_is_one_short_line() -> None:
    block = BlockRun("answer", "x", RunStatus.FAILED, MOMENT, MOMENT, 0.25, "it\nbroke")
    run = run_with("Hello\n" * 1000, blocks=[block], errors=["no"])

    assert repr(run).startswith("Run(id='run_1', status='completed', output='Hello\\nHello")
    assert repr(run).endswith("price=0.25, errors=['no'])")
    assert len(repr(run)) < 250
    assert repr(block) == "BlockRun(id='answer', status='failed', duration=0.0, price=0.25, error='it\\nbroke')"
    assert repr(BlockRun("a")) == "BlockRun(id='a', status='started')"
    assert "..." in repr(run_with(nested()))


def nested() -> Any:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    return value
