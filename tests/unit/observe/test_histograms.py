"""Numbers out of histograms."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.readings import a_histogram

from inferplan.domain.readings import Histogram
from inferplan.observe.histograms import Estimate, contradiction, merged, percentile_of, share_above

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
COUNTS = st.lists(st.integers(0, 1000), min_size=4, max_size=4)
BOUNDS = (0.1, 0.5, 2.0)
SHARES = st.floats(0.01, 1.0)


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        # half of 10 lie up to 1 s: linear inside of the bucket, as histogram_quantile
        ([(1.0, 5.0), (2.0, 10.0), (math.inf, 10.0)], 0.5, (1.0, 0.0, 1.0)),
        ([(1.0, 5.0), (2.0, 10.0), (math.inf, 10.0)], 0.75, (1.5, 1.0, 2.0)),  # 1 + (7.5 - 5) / 5
        ([(1.0, 5.0), (2.0, 10.0), (math.inf, 10.0)], 0.25, (0.5, 0.0, 1.0)),  # 0 + 2.5 / 5
        ([(1.0, 0.0), (2.0, 10.0), (math.inf, 10.0)], 0.5, (1.5, 1.0, 2.0)),
        ([(1.0, 5.0), (80.0, 8.0), (math.inf, 10.0)], 0.99, (80.0, 80.0, math.inf)),
        ([(0.0, 10.0), (math.inf, 10.0)], 0.5, (0.0, 0.0, 0.0)),
    ],
)
def test_percentiles_are_those_of_histogram_quantile_with_their_buckets_bounds(
    buckets: Any, share: float, expected: tuple[float, float, float]
) -> None:
    assert percentile_of(buckets, share) == pytest.approx(Estimate(*expected))


@pytest.mark.parametrize("buckets", [[], [(1.0, 0.0), (math.inf, 0.0)]])
def test_nothing_observed_gives_no_number(buckets: Any) -> None:
    assert percentile_of(buckets, 0.5) is None
    assert share_above(buckets, 0.5) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.0, (0.5, 0.5, 0.5)),  # a bound: exact
        (2.0, (0.2, 0.2, 0.2)),
        (1.5, (0.35, 0.2, 0.5)),  # half of the 3 between 1 and 2, and the 2 above
        (0.0, (1.0, 0.5, 1.0)),
    ],
)
def test_the_share_above_a_value_is_interpolated_in_its_bucket(
    value: float, expected: tuple[float, float, float]
) -> None:
    buckets = [(1.0, 5.0), (2.0, 8.0), (math.inf, 10.0)]
    assert share_above(buckets, value) == pytest.approx(Estimate(*expected))


def test_above_the_last_bound_the_share_is_known_only_where_nothing_is_there() -> None:
    assert share_above([(1.0, 5.0), (math.inf, 10.0)], 1.5) is None
    assert share_above([(1.0, 10.0), (math.inf, 10.0)], 1.5) == Estimate(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("histogram", "told"),
    [
        (Histogram(-1, 1), "no such numbers"),
        (Histogram(math.nan, 1), "no such numbers"),
        (Histogram(1, math.inf), "no such numbers"),
        (Histogram(0, 5), "nothing was counted"),
        (Histogram(5, 5, ((1.0, 5.0),)), "no bucket up to infinity"),
        (Histogram(5, 5, ((2.0, 3.0), (1.0, 5.0), (math.inf, 5.0))), "no rising numbers"),
        (Histogram(5, 5, ((-1.0, 0.0), (math.inf, 5.0))), "no rising numbers"),
        (Histogram(5, 5, ((math.nan, 0.0), (math.inf, 5.0))), "no rising numbers"),
        (Histogram(5, 2.5, ((0.5, 4.0), (1.0, 3.0), (math.inf, 5.0))), "less than the one below"),
        (Histogram(5, 5, ((1.0, math.nan), (math.inf, 5.0))), "no such number"),
        (Histogram(9, 5, ((1.0, 5.0), (math.inf, 5.0))), "its buckets hold 5, and 9 were counted"),
        (Histogram(5, 50, ((1.0, 5.0), (math.inf, 5.0))), "its mean of 10 lies outside"),
        (Histogram(5, 1, ((1.0, 0.0), (2.0, 5.0), (math.inf, 5.0))), "its mean of 0.2 lies outside"),
    ],
)
def test_numbers_that_cannot_be_true_together_are_told(histogram: Histogram, told: str) -> None:
    assert told in str(contradiction(histogram))


@pytest.mark.parametrize(
    "histogram",
    [
        Histogram(0, 0),
        Histogram(5, 3),
        Histogram(10, 50, ((1.0, 5.0), (math.inf, 10.0))),
        Histogram(1.0 + 1e-12, 0.5, ((0.7, 1.0 + 1e-12), (1.0, 1.0), (math.inf, 1.0))),  # rates are rounded
        a_histogram((0.1, 3), (0.5, 4), above=2),
    ],
)
def test_numbers_that_fit_are_taken(histogram: Histogram) -> None:
    assert contradiction(histogram) is None


def test_histograms_are_merged_at_the_bounds_that_all_have() -> None:
    fine, coarse = a_histogram((1, 2), (2, 3), (4, 5)), a_histogram((2, 10), (4, 0))
    together = merged((fine, coarse, Histogram(4, 8.0)))
    assert together.buckets == ((2.0, 15.0), (4.0, 20.0), (math.inf, 20.0))
    assert together.count == 24
    assert together.total == fine.total + coarse.total + 8


@settings(deadline=None)
@given(
    count=NUMBERS, total=NUMBERS, buckets=st.lists(st.tuples(NUMBERS, NUMBERS), max_size=6), share=SHARES, value=NUMBERS
)
def test_any_numbers_are_judged_and_what_passes_gives_numbers_inside_of_bounds(
    count: float, total: float, buckets: list[tuple[float, float]], share: float, value: float
) -> None:
    histogram = Histogram(count, total, tuple(buckets))
    if contradiction(histogram) is not None:
        return
    found = percentile_of(histogram.buckets, share)
    assert found is None or found.low <= found.value <= found.high
    if 0 <= value < math.inf:
        above = share_above(histogram.buckets, value)
        assert above is None or 0 <= above.low <= above.value <= above.high <= 1


@settings(deadline=None)
@given(inside=COUNTS, share=SHARES, value=st.floats(0.0, 3.0))
def test_a_percentile_lies_in_its_bucket_and_agrees_with_the_share_above_it(
    inside: list[int], share: float, value: float
) -> None:
    histogram = a_histogram(*zip(BOUNDS, inside, strict=False), above=inside[-1])
    assert contradiction(histogram) is None
    found, above = percentile_of(histogram.buckets, share), share_above(histogram.buckets, value)
    if found is None:
        assert sum(inside) == 0
        return
    assert found.low <= found.value <= found.high
    assert above is None or above.low <= above.value <= above.high
    if math.isfinite(found.high):
        there = share_above(histogram.buckets, found.value)
        assert there is not None
        assert there.low - 1e-9 <= 1 - share <= there.high + 1e-9


@settings(deadline=None)
@given(first=COUNTS, second=COUNTS, share=SHARES)
def test_a_merged_percentile_lies_between_those_of_the_replicas(
    first: list[int], second: list[int], share: float
) -> None:
    histograms = [a_histogram(*zip(BOUNDS, inside, strict=False), above=inside[-1]) for inside in (first, second)]
    own = [found for each in histograms if (found := percentile_of(each.buckets, share)) is not None]
    together = percentile_of(merged(histograms).buckets, share)
    if together is None:
        assert own == []
        return
    assert min(each.value for each in own) - 1e-9 <= together.value <= max(each.value for each in own) + 1e-9
