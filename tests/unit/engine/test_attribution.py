"""The joint gain shared out to its changes, by small tables of what each combination gives."""

from collections.abc import Mapping
from math import inf, log

import pytest

from inferplan.engine.attribution import groups, only, without_idle
from inferplan.engine.space import Positions


class Table:
    """Scores by the numbers of the levers that are moved; what is not named does nothing."""

    def __init__(self, scores: Mapping[tuple[int, ...], float]) -> None:
        self._scores = scores

    def __call__(self, positions: Positions) -> float:
        return self._scores.get(tuple(index for index, number in enumerate(positions) if number), 0.0)


def test_shares_are_what_a_change_adds_on_average_over_all_orders() -> None:
    found = groups((1, 1), Table({(0,): 0.10, (1,): 0.05, (0, 1): 0.20}))
    assert [group.levers for group in found] == [(0,), (1,)]
    assert [group.share for group in found] == pytest.approx([0.125 / 0.2, 0.075 / 0.2])


def test_three_changes_share_all_of_the_gain() -> None:
    scores = {(0,): 0.1, (1,): 0.2, (2,): 0.05, (0, 1): 0.4, (0, 2): 0.1, (1, 2): 0.3, (0, 1, 2): 0.5}
    assert sum(group.share for group in groups((2, 1, 3), Table(scores))) == pytest.approx(1.0)


def test_a_change_that_does_nothing_alone_goes_with_the_one_that_makes_it_work() -> None:
    """A larger batch behind a full cache: only with a smaller format of the cache."""
    scores = {(0,): 0.3, (1,): 0.0, (2,): 0.2, (0, 1): 0.6, (0, 2): 0.5, (1, 2): 0.2, (0, 1, 2): 0.8}
    assert [group.levers for group in groups((1, 1, 1), Table(scores))] == [(0, 1), (2,)]


def test_two_changes_that_only_start_together_are_one() -> None:
    found = groups((1, 2), Table({(0,): -inf, (1,): -inf, (0, 1): log(1.5)}))
    assert [(group.levers, group.share) for group in found] == [((0, 1), 1.0)]


def test_one_change_is_the_whole_gain() -> None:
    assert [(group.levers, group.share) for group in groups((0, 3), Table({(1,): 0.2}))] == [((1,), 1.0)]


def test_a_gain_of_nothing_has_no_shares() -> None:
    assert [group.share for group in groups((1,), Table({(0,): 0.0}))] == [0.0]


def test_changes_that_add_nothing_are_dropped_the_least_useful_first() -> None:
    scores = {(0,): 0.3, (1,): 0.001, (2,): 0.3, (0, 1): 0.3, (0, 2): 0.302, (1, 2): 0.3, (0, 1, 2): 0.302}
    kept = without_idle((2, 1, 1), Table(scores))
    assert kept in {(2, 0, 0), (0, 0, 1)}
    assert without_idle((2, 0, 0), Table(scores)) == (2, 0, 0)


def test_a_change_that_others_need_is_not_dropped() -> None:
    assert without_idle((1, 1), Table({(0,): -inf, (1,): 0.0, (0, 1): 0.4})) == (1, 1)


def test_a_part_of_a_combination_moves_only_its_levers() -> None:
    assert only((3, 2, 1), (0, 2)) == (3, 0, 1)


def test_changes_of_which_only_all_three_start_are_one() -> None:
    scores = {(0,): -inf, (1,): -inf, (2,): -inf, (3,): 0.1, (0, 1): -inf, (0, 2): -inf, (1, 2): -inf, (0, 1, 2): 0.5}
    with_fourth = {(0, 3): -inf, (1, 3): -inf, (2, 3): -inf, (0, 1, 3): -inf, (0, 2, 3): -inf, (1, 2, 3): -inf}
    found = groups((1, 1, 1, 1), Table({**scores, **with_fourth, (0, 1, 2, 3): 0.6}))
    assert [group.levers for group in found] == [(0, 1, 2), (3,)]
    assert sum(group.share for group in found) == pytest.approx(1.0)


def test_each_group_by_itself_is_possible() -> None:
    """Two halves of a pair, and a change that breaks either half: it goes with the pair."""
    scores = {(0,): -inf, (1,): -inf, (2,): -inf, (0, 1): -inf, (0, 2): -inf, (1, 2): -inf, (0, 1, 2): 0.3}
    assert [group.levers for group in groups((1, 1, 1), Table(scores))] == [(0, 1, 2)]


def test_nothing_moved_has_no_groups() -> None:
    assert groups((0, 0), Table({})) == ()
