"""How many rows of a batch may be under way, and when the next one may be sent."""

import pytest

from scout.batch._pace import Pace

LATEST = 0.02  # seconds by which a pause is longer than the server asked for, at most


def test_without_a_refusal_it_takes_as_many_as_it_may() -> None:
    pace = Pace(8, None, 120)

    assert pace.allowance(0, now=1.0) == 8
    assert pace.allowance(5, now=1.0) == 3
    assert pace.allowance(8, now=1.0) == 0
    assert pace.wait(1.0) == 0


def test_a_refusal_pauses_all_for_as_long_as_the_server_asks() -> None:
    pace = Pace(8, None, 120)

    assert pace.refused(10.0, 2.0, now=10.5)

    assert pace.allowance(0, now=10.6) == 0
    assert 12.5 <= 11.0 + pace.wait(11.0) <= 12.5 + LATEST
    assert pace.allowance(0, now=12.5 + LATEST) > 0


def test_refusals_together_count_as_one() -> None:
    pace = Pace(10, None, 120)

    for number in range(10):
        assert pace.refused(10.0, 1.0, now=10.5 + number / 1000)

    assert pace.limit == 8


def test_a_later_one_of_those_that_were_refused_together_may_ask_for_more() -> None:
    pace = Pace(10, None, 120)

    pace.refused(10.0, 1.0, now=10.5)
    pace.refused(10.0, 5.0, now=10.6)
    pace.refused(10.0, None, now=10.7)

    assert 5.0 <= pace.wait(10.6) <= 5.0 + LATEST


def test_each_round_of_refusals_lowers_the_limit_and_each_round_of_answers_raises_it_by_one() -> None:
    pace = Pace(10, None, None)
    for number in range(30):
        pace.refused(number, 0.1, now=number + 0.5)
    assert pace.limit == 1

    limits: list[int] = []
    for _ in range(8):
        for _ in range(pace.limit):
            pace.accepted()
        limits.append(pace.limit)
    assert limits[-1] >= 7
    assert sorted(limits) == limits

    for _ in range(1000):
        pace.accepted()
    assert pace.limit == 10


def test_without_a_wish_of_the_server_the_pauses_grow_until_something_is_accepted() -> None:
    pace = Pace(4, None, None)
    waits: list[float] = []
    now = 0.0
    for _ in range(8):
        pace.refused(now, None, now)
        waits.append(pace.wait(now))
        now += waits[-1]
    assert 0.5 <= waits[0] <= 1.0
    assert max(waits) <= 8.0
    assert sum(waits) > 8 * 0.5

    pace.accepted()
    pace.refused(now, None, now)
    assert 0.5 <= pace.wait(now) <= 1.0


def test_the_patience_counts_the_pauses_since_something_was_accepted() -> None:
    pace = Pace(4, None, patience=5)
    assert pace.refused(0, 3, now=0)
    pace.accepted()
    assert pace.refused(10, 3, now=10)
    assert not pace.refused(20, 3, now=20)


def test_a_longer_wish_than_the_patience_is_not_obeyed() -> None:
    assert not Pace(4, None, patience=120).refused(0, 3600, now=0)
    assert Pace(4, None, patience=None).refused(0, 3600, now=0)
    assert not Pace(4, None, patience=0).refused(0, None, now=0)


def sent_within(pace: Pace, seconds: float) -> list[float]:
    """Send as soon as it may be, with answers after 0.2 s, as far as nothing is waiting; return the moments."""
    now, moments = 20.0, []
    while now < 20.0 + seconds:
        under_way = sum(moment > now - 0.2 for moment in moments)
        for _ in range(pace.allowance(under_way, now)):
            now += pace.wait(now)
            pace.sent(now)
            pace.accepted(0.2)
            moments.append(now)
        now += 0.001
    return moments


def test_before_a_refusal_requests_may_come_at_once() -> None:
    moments = sent_within(Pace(20, None, None), 0.1)

    assert len(moments) == 20
    assert moments[-1] == moments[0]


def test_after_a_refusal_requests_are_spread_over_the_time_of_an_answer() -> None:
    pace = Pace(20, None, None)
    pace.accepted(0.2)
    pace.refused(10.0, 0.1, now=10.0)
    moments = sent_within(pace, 1.0)

    assert max(sum(start <= moment < start + 0.02 for moment in moments) for start in moments) <= 4
    assert len(moments) >= 16 / 0.2 * 0.9  # as many under way as may be


def test_few_slow_answers_do_not_spread_the_others() -> None:
    pace = Pace(10, None, None)
    for _ in range(50):
        pace.accepted(0.002)
    pace.refused(10.0, 0.1, now=10.0)
    for _ in range(3):
        pace.accepted(2.0)
    pace.sent(now=20.0)

    assert pace.wait(now=20.0) < 0.002


def test_a_rate_keeps_requests_apart() -> None:
    pace = Pace(100, 10, None)
    now, moments = 5.0, []
    for _ in range(10):
        now += pace.wait(now)
        assert pace.allowance(0, now) == 1
        pace.sent(now)
        moments.append(now)

    assert moments == pytest.approx([5.0 + number / 10 for number in range(10)], abs=0.051)


def test_a_high_rate_is_taken_in_groups_and_kept() -> None:
    pace = Pace(1000, 1000, None)
    now, sent = 0.0, 0
    while now < 1.0:
        for _ in range(pace.allowance(0, now)):
            now += pace.wait(now)
            pace.sent(now)
            sent += 1
        now += 0.01  # other work

    assert 1000 * now - 51 <= sent <= 1000 * now + 51


def test_a_rate_is_not_made_up_for_after_a_quiet_time() -> None:
    pace = Pace(100, 10, None)
    pace.sent(0.0)

    sent = 0
    now = 100.0
    while now < 101.0:
        pace.sent(now)
        sent += 1
        now += pace.wait(now)

    assert sent <= 11
