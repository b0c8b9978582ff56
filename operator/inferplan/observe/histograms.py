"""Numbers out of histograms with classic buckets: merging, percentiles, shares above a value. Pure.

Buckets are (upper bound, observations up to it), by bound, the last one up to infinity.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from inferplan.domain.measurement import MEASURED_MAX
from inferplan.domain.readings import Histogram

Buckets = Sequence[tuple[float, float]]


_FIT = 0.01
"""Relative difference that count and last bucket may have: they are the same number, read twice."""

_MEAN_FIT = 2.0
"""Factor by which the mean may lie outside of the buckets: Prometheus extrapolates each series to the window's start,
but none below 0, so that soon after a start sums and buckets rise by up to half a scrape interval more or less."""

_ROUNDING = 1e-9
"""Relative fall from one bucket to the next that is rounding: rates are divided and summed as floats."""


@dataclass(frozen=True)
class Estimate:
    """A number that lies between two bounds.

    Attributes:
        value: Interpolated between them.
        low: What it is at least.
        high: What it is at most; infinite in the last bucket, then `value` is `low`.
    """

    value: float
    low: float
    high: float


def contradiction(histogram: Histogram) -> str | None:
    """What in these numbers cannot be true together, one clause; None where they fit."""
    count, total = histogram.count, histogram.total
    if not (0 <= count <= MEASURED_MAX and 0 <= total <= MEASURED_MAX):
        return f"count {count:g} and sum {total:g} are no such numbers"
    if count == 0 and total > 0:
        return f"nothing was counted, and its sum is {total:g}"
    return _bucket_contradiction(histogram) if histogram.buckets else None


def _bucket_contradiction(histogram: Histogram) -> str | None:
    buckets = histogram.buckets
    bounds = [bound for bound, _ in buckets]
    counts = [count for _, count in buckets]
    if not all(bound >= 0 for bound in bounds) or any(high <= low for low, high in pairwise(bounds)):
        return "its buckets' bounds are no rising numbers"
    if not math.isinf(bounds[-1]):
        return "it has no bucket up to infinity"
    if not all(0 <= count <= MEASURED_MAX for count in counts):
        return "a bucket's count is no such number"
    if any(high < low * (1 - _ROUNDING) for low, high in pairwise(counts)):
        return "a bucket holds less than the one below it"
    if abs(counts[-1] - histogram.count) > _FIT * max(counts[-1], histogram.count):
        return f"its buckets hold {counts[-1]:g}, and {histogram.count:g} were counted"
    return _mean_contradiction(histogram)


def _mean_contradiction(histogram: Histogram) -> str | None:
    """The mean lies between the bound below the first observation and the one above the last."""
    mean = histogram.mean
    if mean is None:
        return None
    lowest = percentile_of(histogram.buckets, 0.0)
    highest = percentile_of(histogram.buckets, 1.0)
    if lowest is None or highest is None or lowest.low / _MEAN_FIT <= mean <= highest.high * _MEAN_FIT:
        return None
    return f"its mean of {mean:g} lies outside of its buckets"


def merged(histograms: Sequence[Histogram]) -> Histogram:
    """All of them as one. Buckets are those whose bounds all have; those without any buckets give count and sum."""
    with_buckets = [dict(entry.buckets) for entry in histograms if entry.buckets]
    common = set.intersection(*map(set, with_buckets)) if with_buckets else set()
    return Histogram(
        count=math.fsum(entry.count for entry in histograms),
        total=math.fsum(entry.total for entry in histograms),
        buckets=tuple((bound, math.fsum(entry[bound] for entry in with_buckets)) for bound in sorted(common)),
    )


def percentile_of(buckets: Buckets, share: float) -> Estimate | None:
    """Prometheus' histogram_quantile: linear inside the bucket that holds the share; None without observations.

    Half of 10 observations, 5 of them up to 1 s, is 1 s; three quarters, when all lie below 2 s, are 1.5 s.
    """
    if not buckets or buckets[-1][1] <= 0:
        return None
    rank = share * buckets[-1][1]
    low, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= rank and count > below:
            return _within(low, bound, (rank - below) / (count - below))
        low, below = bound, max(below, count)
    return Estimate(low, low, low)  # only by rounding: the last bucket holds a hair less than one before


def _within(low: float, high: float, share: float) -> Estimate:
    if math.isinf(high):
        return Estimate(low, low, high)
    return Estimate(min(high, max(low, low + (high - low) * share)), low, high)


def share_above(buckets: Buckets, value: float) -> Estimate | None:
    """The share of observations above a value, linear inside the bucket that holds it; exact at a bucket's bound.

    None without observations, and where the value lies beyond the last finite bound as observations do.
    """
    if not buckets or buckets[-1][1] <= 0:
        return None
    total = buckets[-1][1]
    low, below = 0.0, 0.0
    for bound, count in buckets:
        if value <= bound:
            break
        low, below = bound, count
    least, most = _share(total - count, total), _share(total - below, total)
    if math.isinf(bound):
        return Estimate(0.0, 0.0, 0.0) if most == 0 else None
    part = (value - low) / (bound - low) if bound > low else 1.0
    if part >= 1:
        return Estimate(least, least, least)
    return Estimate(min(most, max(least, most + (least - most) * part)), least, most)


def _share(part: float, whole: float) -> float:
    return min(1.0, max(0.0, part / whole))
