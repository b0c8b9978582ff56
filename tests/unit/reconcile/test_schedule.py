"""The queue's rules, with time as a number."""

from collections import Counter

import pytest

from inferplan.reconcile.instance import Key
from inferplan.reconcile.schedule import BACKOFF_SECONDS, Pace, Schedule

A, B = Key("ns", "a"), Key("ns", "b")
RESYNC = 300.0


def pace(draw: float = 0.0) -> Pace:
    """Chance that always draws the same share of its range."""
    return Pace(RESYNC, lambda low, high: low + draw * (high - low))


def test_a_key_that_is_added_twice_waits_once() -> None:
    schedule = Schedule(pace())
    schedule.add(A, 0)
    schedule.add(A, 1)
    assert schedule.take(2) == A
    assert schedule.take(2) is None


def test_the_longest_due_key_comes_first() -> None:
    schedule = Schedule(pace())
    schedule.add(B, 0)
    schedule.add(A, 1)
    assert [schedule.take(2), schedule.take(2)] == [B, A]


def test_a_running_key_runs_only_once_at_a_time_and_again_right_after() -> None:
    schedule = Schedule(pace())
    schedule.add(A, 0)
    assert schedule.take(0) == A
    schedule.add(A, 1)
    assert schedule.take(1) is None
    schedule.done(A, 2, settled=True)
    assert schedule.take(2) == A


def test_a_settled_key_comes_again_within_the_interval() -> None:
    schedule = Schedule(pace())
    schedule.add(A, 1000)
    schedule.take(1000)
    schedule.done(A, 1000, settled=True)
    due = schedule.next_due()
    assert due is not None
    assert 1000 < due <= 1000 + RESYNC
    assert schedule.take(due - 0.001) is None
    assert schedule.take(due) == A


def test_the_place_in_the_interval_stays_the_same() -> None:
    first = pace().resync_at(A, 0.0)
    assert pace().resync_at(A, first) == pytest.approx(first + RESYNC)


def test_many_keys_spread_evenly_over_the_interval() -> None:
    places = [pace().resync_at(Key("ns", f"instance-{number}"), 0.0) for number in range(3000)]
    tenths = Counter(int(10 * place / RESYNC) % 10 for place in places)
    assert min(tenths.values()) > 200  # 300 each on average
    assert max(tenths.values()) < 400


def test_a_failing_key_pauses_longer_each_time_up_to_the_interval() -> None:
    schedule, now, pauses = Schedule(pace()), 0.0, []
    schedule.add(A, now)
    for _ in range(9):
        assert schedule.take(now) == A
        schedule.done(A, now, settled=False)
        due = schedule.next_due()
        assert due is not None
        pauses.append(due - now)
        now = due
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_pauses_are_jittered_and_never_shorter_than_five_seconds() -> None:
    assert pace(0.0).backoff(1) == BACKOFF_SECONDS
    assert pace(1.0).backoff(1) == 1.5 * BACKOFF_SECONDS
    assert pace(0.0).backoff(10_000) == RESYNC


def test_success_starts_the_pauses_anew() -> None:
    schedule = Schedule(pace())
    schedule.add(A, 0)
    for settled in (False, False, True, False):
        schedule.add(A, 0)
        assert schedule.take(0) == A
        schedule.done(A, 0, settled=settled)
    assert schedule.next_due() == BACKOFF_SECONDS


def test_a_change_ends_a_pause() -> None:
    schedule = Schedule(pace())
    schedule.add(A, 0)
    schedule.take(0)
    schedule.done(A, 0, settled=False)
    schedule.add(A, 1)
    assert schedule.take(1) == A


def test_a_key_that_is_gone_does_not_come_again() -> None:
    schedule = Schedule(pace())
    schedule.add(A, 0)
    schedule.take(0)
    schedule.gone(A, 0)
    assert len(schedule) == 0
    assert schedule.next_due() is None


def test_a_key_that_was_added_while_it_went_comes_again() -> None:
    schedule = Schedule(pace())
    schedule.add(A, 0)
    schedule.take(0)
    schedule.add(A, 1)
    schedule.gone(A, 2)
    assert schedule.take(2) == A


def test_a_known_key_is_not_hurried_by_the_full_list() -> None:
    schedule = Schedule(pace())
    schedule.know(A, 0)
    schedule.take(0)
    schedule.know(A, 0)
    schedule.done(A, 0, settled=False)
    schedule.know(A, 1)
    assert schedule.take(1) is None
    assert schedule.next_due() == BACKOFF_SECONDS


def test_age_counts_waiting_and_running_keys() -> None:
    schedule = Schedule(pace())
    assert schedule.oldest_age(100) == 0
    schedule.add(A, 10)
    assert (schedule.depth(40), schedule.oldest_age(40)) == (1, 30)
    schedule.take(40)
    assert (schedule.depth(60), schedule.oldest_age(60)) == (0, 50)
    schedule.done(A, 60, settled=True)
    assert schedule.oldest_age(61) == 0
