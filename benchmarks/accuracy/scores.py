"""How estimates are scored: pure functions of predicted and measured numbers."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NOTABLE_EFFECT = 0.05  # performance-model section 5: direction counts where the effect exceeds 5 %
OVERPROMISE = 0.10  # and a promise that is over 10 points above what was realized


@dataclass(frozen=True)
class Estimated:
    """A measured value beside its estimate.

    Attributes:
        measured: What was measured, above 0.
        low: Lower end of the estimate's 80 % interval.
        expected: The estimate.
        high: Upper end.
    """

    measured: float
    low: float
    expected: float
    high: float


def relative_error(predicted: float, measured: float) -> float:
    """How far off, as a share of what was measured. 110 for 100: 0.1."""
    return abs(predicted / measured - 1)


def median(values: Iterable[float]) -> float | None:
    """The median; None without values."""
    found = list(values)
    return statistics.median(found) if found else None


def percentile(values: Iterable[float], share: float) -> float | None:
    """The value below which that share lies, interpolated; None without values. 0 to 10, 0.9: 9."""
    found = sorted(values)
    if not found:
        return None
    place = share * (len(found) - 1)
    below = int(place)
    above = min(below + 1, len(found) - 1)
    return found[below] + (place - below) * (found[above] - found[below])


def share(answers: Iterable[bool]) -> float | None:
    """The share that is true; None without any."""
    found = list(answers)
    return sum(found) / len(found) if found else None


def coverage(estimates: Iterable[Estimated]) -> float | None:
    """Share of measured values that lie within their intervals."""
    return share(one.low <= one.measured <= one.high for one in estimates)


def median_width(estimates: Iterable[Estimated]) -> float | None:
    """Median width of the intervals, as a share of the expected value."""
    return median((one.high - one.low) / one.expected for one in estimates if one.expected > 0)


def ranks(values: Sequence[float]) -> list[float]:
    """Rank of each value from 1; equal values share the mean of their ranks. 5, 7, 7: 1, 2.5, 2.5."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    ranked = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in order[start : end + 1]:
            ranked[place] = (start + end) / 2 + 1
        start = end + 1
    return ranked


def spearman(predicted: Sequence[float], measured: Sequence[float]) -> float | None:
    """Rank correlation, -1 to 1; None where one side is all the same or has fewer than three values."""
    if len(predicted) < 3 or len(set(predicted)) == 1 or len(set(measured)) == 1:  # noqa: PLR2004  two points always agree or oppose
        return None
    return statistics.correlation(ranks(predicted), ranks(measured))


@dataclass(frozen=True)
class Effect:
    """What one change did to a metric, after over before, and what was predicted.

    Attributes:
        metric: Name of the metric.
        predicted: Ratio that was predicted.
        measured: Ratio that was measured.
        group: Source that it comes from.
        more_is_better: Throughput and capacity; not latency and weights.
    """

    metric: str
    predicted: float
    measured: float
    group: str
    more_is_better: bool = True

    @property
    def notable(self) -> bool:
        """Whether the measured effect exceeds 5 %."""
        return abs(self.measured - 1) > NOTABLE_EFFECT

    @property
    def right_direction(self) -> bool:
        """Whether prediction and measurement lie on the same side of no effect."""
        return (self.predicted - 1) * (self.measured - 1) > 0

    @property
    def error(self) -> float:
        """How far off the ratio is, as a share of the measured ratio."""
        return relative_error(self.predicted, self.measured)

    @property
    def overpromised(self) -> bool:
        """Whether the predicted gain is more than 10 points above the realized one."""
        return self._gain(self.predicted) - self._gain(self.measured) > OVERPROMISE

    @property
    def realized(self) -> float:
        """Measured improvement over the predicted one, both as ratios: below 1 came less than was said."""
        return self.measured / self.predicted if self.more_is_better else self.predicted / self.measured

    def _gain(self, ratio: float) -> float:
        return ratio - 1 if self.more_is_better else 1 - ratio


def group_weights(effects: Sequence[Effect]) -> list[float]:
    """Weights that give every source the same say. Two of a, one of b: 0.25, 0.25, 0.5."""
    groups = [effect.group for effect in effects]
    return [1 / groups.count(group) / len(set(groups)) for group in groups]


def weighted_median(values: Sequence[float], weights: Sequence[float]) -> float | None:
    """The smallest value at which half of the weight is reached; None without values."""
    half, reached = sum(weights) / 2, 0.0
    for value, weight in sorted(zip(values, weights, strict=True)):
        reached += weight
        if reached >= half:
            return value
    return None


def weighted_share(answers: Sequence[bool], weights: Sequence[float]) -> float | None:
    """The weight of what is true over all weight; None without any."""
    total = sum(weights)
    return sum(weight for yes, weight in zip(answers, weights, strict=True) if yes) / total if total else None
