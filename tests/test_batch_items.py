"""What a batch returns: items, and the numbers of all."""

import json
import pickle

import pytest

from scout import BatchItem, BatchSummary, BlockRun, Run, RunFailedError, RunStatus, ScoutError
from scout.batch._items import Tally
from scout.errors import APIConnectionError

DONE = Run("run_1", None, None, RunStatus.COMPLETED)
FAILED = Run("run_2", None, None, RunStatus.FAILED, errors=["no"])


def item(**values: object) -> BatchItem:
    return BatchItem(**{"index": 0, "key": "k", "inputs": {}, **values})  # type: ignore[arg-type]


def unsent() -> ScoutError:
    return APIConnectionError("refused", run_may_have_started=False)


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        (item(run=DONE), "done"),
        (item(run=FAILED, error=RunFailedError("it failed", run=FAILED)), "failed"),
        (item(error=unsent()), "failed"),
        (item(error=APIConnectionError("reset")), "unknown"),
    ],
    ids=["done", "failed", "unsent", "cut"],
)
def test_an_outcome_is_unknown_only_when_nothing_says_how_the_run_ended(given: BatchItem, outcome: str) -> None:
    assert given.outcome == outcome
    assert given.ok == (outcome == "done")
    assert pickle.loads(pickle.dumps(given)).outcome == outcome


def test_a_summary_adds_up() -> None:
    priced = [BlockRun("a", price=0.5, input_tokens=10, output_tokens=2), BlockRun("b", price=0.25)]
    tally = Tally(total=4)
    tally.add(item(run=Run("r", None, None, RunStatus.COMPLETED, blocks=priced), seconds=1.0))
    tally.add(item(run=DONE, seconds=3.0, resumed=True))
    tally.add(item(run=FAILED, error=RunFailedError("it failed", run=FAILED), seconds=9.0))
    tally.add(item(error=APIConnectionError("reset")))

    assert (tally.rows, tally.done, tally.failed, tally.unknown, tally.resumed) == (4, 2, 1, 1, 1)
    assert (tally.price, tally.input_tokens, tally.output_tokens) == (0.75, 10, 2)
    assert tally.percentile(50) == pytest.approx(3.0, rel=0.02)
    assert tally.percentile(100) == pytest.approx(9.0, rel=0.02)
    assert tally.percentile(0) == pytest.approx(1.0, rel=0.02)
    assert tally.causes == {"RunFailedError: it failed": 1, "APIConnectionError: reset": 1}
    assert not tally.ok
    assert json.loads(json.dumps(tally.to_dict()))["done"] == 2


def test_percentiles_are_near_the_true_ones() -> None:
    tally = Tally()
    times = [0.001 * 1.01**number for number in range(1000)]
    for seconds in times:
        tally.add(item(run=DONE, seconds=seconds))

    for percent in (1, 50, 95, 99):
        assert tally.percentile(percent) == pytest.approx(times[percent * 10 - 1], rel=0.02)


def test_a_summary_of_nothing_is_fine() -> None:
    tally = Tally(total=0)

    assert tally.ok
    assert tally.price is None
    assert tally.percentile(50) is None
    assert tally.causes == {}


def test_causes_stay_few_however_many_messages_there_are() -> None:
    tally = Tally()
    for number in range(10_000):
        tally.add(item(error=RefusedError(f"row {number} {'x' * 1000}")))

    assert len(tally.causes) <= 60
    assert sum(tally.causes.values()) == 10_000
    assert max(map(len, tally.causes)) < 300


class RefusedError(ScoutError):
    run_may_have_started = False


def test_the_clock_stops_at_the_end() -> None:
    tally = Tally()
    tally.end()

    assert tally.seconds == tally.seconds
    assert "seconds=0.0" in repr(tally)


def test_a_summary_is_what_the_caller_sees() -> None:
    assert isinstance(Tally(), BatchSummary)
