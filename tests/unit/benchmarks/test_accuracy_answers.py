"""Folds, calibration by one point and baselines, with a model whose answers are known."""

from collections.abc import Sequence
from typing import Any

import pytest
from benchmarks.accuracy.baselines import ConstantRatio, distance, nearest
from benchmarks.accuracy.documents import Document
from benchmarks.accuracy.model import Known, Output
from benchmarks.accuracy.score_serving import error_lines, interval_lines, naive_after_one, noise_lines, rank_lines
from benchmarks.accuracy.serving import Row
from benchmarks.accuracy.serving_answers import (
    Answered,
    Asked,
    after_extreme,
    after_one,
    fitted_folds,
    folds,
    never_seen,
)


def row(concurrency: int = 4, tpot: float = 10.0, **fields: Any) -> Row:
    who = (f"{fields.get('model', 'm')}-{concurrency}", "m", "h200_sxm", 1, 1, 1, 1, "vllm", "0.18.0", "", "fp8")
    plain = Row(*who, 1024, 1024, concurrency, 100.0, tpot, "", "")
    return Row(**{**vars(plain), **fields})


def asked(*rows: Row) -> list[Asked]:
    return [Asked(one, {"metadata": {"name": one.key}}) for one in rows]


class Constant:
    """Says the same of everything, and notes what it was fitted to and what it saw."""

    def __init__(self, tpot: float | None) -> None:
        self._tpot = tpot
        self.fits: list[list[str]] = []
        self.seen: list[str] = []

    def estimate(self, documents: Sequence[Document]) -> list[Output]:
        if self._tpot is None:
            return [{"error": "no idea"} for _ in documents]
        value = {"low": self._tpot * 0.9, "expected": self._tpot, "high": self._tpot * 1.1}
        times = {"ttftMilliseconds": value, "itlMilliseconds": value, "outputTokensPerSecond": value}
        return [{"performance": times} for _ in documents]

    def fitted(self, rows: Sequence[tuple[Document, Row]]) -> "Constant":
        self.fits.append([one.key for _, one in rows])
        return self

    def after_seeing(self, seen: Known, documents: Sequence[Document]) -> list[Output]:
        self.seen.append(seen[0]["metadata"]["name"])
        return self.estimate(documents)


def test_no_row_of_a_group_is_on_both_sides() -> None:
    rows = asked(*(row(c, model=model) for model in "abc" for c in (4, 8)))
    for rest, group in folds(rows, lambda one: one.model):
        assert not {one.row.model for one in rest} & {one.row.model for one in group}
        assert len(rest) == 4
        assert len(group) == 2


def test_each_group_is_estimated_with_a_fit_to_the_others() -> None:
    model = Constant(10.0)
    found = never_seen(fitted_folds(model, asked(*(row(model=name) for name in "abc")), lambda one: one.model))
    assert len(found) == 3
    assert model.fits == [["b-4", "c-4"], ["a-4", "c-4"], ["a-4", "b-4"]]


def test_what_is_refused_is_asked_but_not_scored() -> None:
    found = never_seen(fitted_folds(Constant(None), asked(row(model="a"), row(model="b")), lambda one: one.model))
    line = next(iter(error_lines("unseen_model", "x", found, {}, target=True)))
    assert (line.value, line.scored, line.asked, line.verdict) == (None, 0, 2, "not scored")
    assert {one.reason for one in found} == {"no idea"}


def test_every_point_is_estimated_after_every_other_point() -> None:
    model = Constant(10.0)
    found = after_one(model, asked(row(4), row(8), row(16), row(4, key="again")))
    ways = sorted((one.seen.concurrency, one.row.concurrency) for one in found if one.seen is not None)
    # two runs at 4 clients: neither is asked for after the other was seen
    assert ways == [(4, 8), (4, 8), (4, 16), (4, 16), (8, 4), (8, 4), (8, 16), (16, 4), (16, 4), (16, 8)]


def test_nobody_calibrates_with_a_full_queue() -> None:
    model = Constant(10.0)
    found = after_one(model, asked(row(4), row(8, marks=("queue",))))
    assert model.seen == ["m-4"]
    assert [one.row.concurrency for one in found] == [8]


@pytest.mark.parametrize(("highest", "expected"), [(False, {4}), (True, {16})])
def test_an_end_of_the_load_can_be_the_seen_one(highest: bool, expected: set[int]) -> None:
    found = after_extreme(after_one(Constant(10.0), asked(row(4), row(8), row(16))), highest=highest)
    assert {one.seen.concurrency for one in found if one.seen is not None} == expected


def answers(*tpots: float, said: float = 10.0) -> list[Answered]:
    rows = asked(*(row(2**place, tpot) for place, tpot in enumerate(tpots)))
    return never_seen(fitted_folds(Constant(said), rows, lambda one: one.model))


def test_the_error_of_a_constant_is_counted_by_hand() -> None:
    lines = {line.key: line for line in error_lines("unseen_model", "x", answers(8.0, 10.0, 20.0), {}, target=True)}
    # 10 for 8: 25 %, for 10: 0, for 20: 50 %
    assert lines["tpot.unseen_model"].value == pytest.approx(0.25)
    assert lines["tpot.unseen_model"].verdict == "**missed**"
    assert lines["tpot.unseen_model.p90"].value == pytest.approx(0.45)


def test_intervals_count_where_the_measured_value_lies() -> None:
    lines = {line.key: line.value for line in interval_lines("x", "x", answers(9.5, 10.5, 20.0), target=True)}
    assert lines["tpot.x.coverage"] == pytest.approx(2 / 3)
    assert lines["tpot.x.width"] == pytest.approx(0.2)


def test_a_constant_has_no_order_of_tpot_but_one_of_throughput() -> None:
    lines = {line.key: line for line in rank_lines("x", "x", answers(10.0, 11.0, 12.0))}
    assert lines["rank.x.tpot"].value is None
    # twice the clients at hardly more TPOT is more throughput, and a constant TPOT says so too
    assert lines["rank.x.throughput"].value == pytest.approx(1.0)


def test_the_nearest_point_is_nearest_in_doublings() -> None:
    rows = [row(4), row(64), row(8, key="near")]
    found = nearest(row(16, key="this"), rows)
    assert found is not None
    assert found.key == "near"
    assert distance((1024, 1024, 4), (8192, 1024, 8)) == pytest.approx(4.0)  # three doublings and one
    assert nearest(row(16), [row(4, model="other")]) is None


def test_a_constant_ratio_comes_from_other_deployments() -> None:
    rows = [row(4, 10.0, model="a"), row(8, 15.0, model="a"), row(4, 10.0, model="b"), row(8, 30.0, model="b")]
    ratios = ConstantRatio(rows, lambda one: one.tpot)
    assert ratios.ratio(rows[0], rows[1]) == pytest.approx(3.0)  # b's, not its own 1.5
    assert ratios.ratio(row(64, model="a"), rows[1]) == pytest.approx(1.0)  # nobody has both points


def test_the_last_value_carried_over_is_scored_beside() -> None:
    rows = [row(4, 10.0), row(8, 20.0)]
    naive = naive_after_one(after_one(Constant(10.0), asked(*rows)), rows)
    assert naive["last value"]["tpot"] == pytest.approx(0.75)  # 10 for 20: 50 %; 20 for 10: 100 %


def test_two_runs_at_one_point_tell_the_noise_of_the_data() -> None:
    rows = [row(4, 10.0), row(4, 10.5, key="again"), row(8, 30.0), row(4, 99.0, model="other")]
    lines = {line.key: line for line in noise_lines(rows)}
    assert lines["tpot.noise"].scored == 1
    assert lines["tpot.noise"].value == pytest.approx(0.5 / 10.5)
