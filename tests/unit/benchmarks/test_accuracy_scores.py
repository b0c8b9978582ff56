"""Scoring functions on numbers whose scores can be counted by hand."""

import pytest
from benchmarks.accuracy.scores import (
    Effect,
    Estimated,
    coverage,
    group_weights,
    median,
    median_width,
    percentile,
    ranks,
    relative_error,
    share,
    spearman,
    weighted_median,
    weighted_share,
)


def test_an_error_is_a_share_of_what_was_measured() -> None:
    assert relative_error(110, 100) == pytest.approx(0.10)
    assert relative_error(90, 100) == pytest.approx(0.10)


def test_without_values_there_is_no_score() -> None:
    assert median([]) is None
    assert percentile([], 0.9) is None
    assert share([]) is None
    assert coverage([]) is None
    assert median_width([]) is None
    assert weighted_median([], []) is None
    assert weighted_share([], []) is None


@pytest.mark.parametrize(
    ("values", "place", "expected"),
    [
        (range(11), 0.9, 9.0),  # the tenth of eleven
        ([1.0, 2.0], 0.5, 1.5),  # halfway
        ([4.0], 0.9, 4.0),
        ([3.0, 1.0, 2.0], 1.0, 3.0),  # in any order
    ],
)
def test_percentiles_are_interpolated(values: list[float], place: float, expected: float) -> None:
    assert percentile(values, place) == pytest.approx(expected)


def test_intervals_cover_their_ends() -> None:
    found = [Estimated(10, 10, 11, 12), Estimated(12, 10, 11, 12), Estimated(13, 10, 11, 12), Estimated(9, 10, 11, 12)]
    assert coverage(found) == pytest.approx(0.5)


def test_widths_are_a_share_of_the_expected_value() -> None:
    assert median_width([Estimated(1, 8, 10, 12)]) == pytest.approx(0.4)  # (12 - 8) / 10


def test_equal_values_share_their_ranks() -> None:
    assert ranks([7, 5, 7]) == [2.5, 1.0, 2.5]


@pytest.mark.parametrize(
    ("predicted", "measured", "expected"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 40], 1.0),
        ([4, 3, 2, 1], [10, 20, 30, 40], -1.0),
        ([1, 3, 2, 4], [10, 20, 30, 40], 0.8),  # 1 - 6 x 2 / (4 x 15)
    ],
)
def test_rank_correlation_looks_at_the_order_alone(
    predicted: list[float], measured: list[float], expected: float
) -> None:
    assert spearman(predicted, measured) == pytest.approx(expected)


@pytest.mark.parametrize(("predicted", "measured"), [([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [5, 5, 5])])
def test_too_few_or_equal_values_have_no_order(predicted: list[float], measured: list[float]) -> None:
    assert spearman(predicted, measured) is None


def test_an_effect_counts_from_more_than_five_percent() -> None:
    assert not Effect("output_tok_s", 1.2, 1.04, "a").notable
    assert Effect("output_tok_s", 1.2, 0.94, "a").notable


def test_a_direction_is_right_on_the_same_side_of_no_effect() -> None:
    assert Effect("output_tok_s", 1.01, 1.50, "a").right_direction
    assert not Effect("output_tok_s", 0.99, 1.50, "a").right_direction
    assert not Effect("output_tok_s", 1.0, 1.50, "a").right_direction  # "nothing happens" is no direction


@pytest.mark.parametrize(
    ("predicted", "measured", "more_is_better", "over"),
    [
        (1.50, 1.35, True, True),  # 50 % promised, 35 % realized
        (1.50, 1.45, True, False),
        (1.30, 1.50, True, False),  # a gain that was larger than promised
        (0.60, 0.75, False, True),  # latency: 40 % less promised, 25 % less realized
        (0.75, 0.60, False, False),
    ],
)
def test_a_promise_is_broken_by_more_than_ten_points(
    predicted: float, measured: float, more_is_better: bool, over: bool
) -> None:
    assert Effect("metric", predicted, measured, "a", more_is_better).overpromised is over


def test_every_source_has_the_same_weight() -> None:
    effects = [Effect("m", 1, 1, group) for group in ("a", "a", "b")]
    assert group_weights(effects) == pytest.approx([0.25, 0.25, 0.5])


def test_weights_decide_where_the_middle_is() -> None:
    assert weighted_median([1.0, 2.0, 3.0], [0.1, 0.1, 0.8]) == pytest.approx(3.0)
    assert weighted_share([True, False], [0.2, 0.8]) == pytest.approx(0.2)


@pytest.mark.parametrize(("more_is_better", "realized"), [(True, 0.75), (False, 4 / 3)])
def test_what_came_true_of_a_prediction(more_is_better: bool, realized: float) -> None:
    # Predicted twice, measured 1.5 times: of throughput too little, of latency less than feared.
    assert Effect("metric", 2.0, 1.5, "a", more_is_better).realized == pytest.approx(realized)
