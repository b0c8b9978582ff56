"""What is asked of a Prometheus and what comes back: samples, native histograms, ranges, and the one error."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class PrometheusError(Exception):
    """Prometheus could not be asked, or answered what is no result; one line, without any text of the answer.

    Attributes:
        passing: Whether the same query may work a moment later.
        wait_seconds: How long the server asked to wait before that.
    """

    def __init__(self, message: str, *, passing: bool = False, wait_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.passing = passing
        self.wait_seconds = wait_seconds


@dataclass(frozen=True)
class NativeBucket:
    """One bucket of a native histogram, in the histogram's unit; `count` observations lie between the bounds."""

    lower: float
    upper: float
    count: float


@dataclass(frozen=True)
class NativeHistogram:
    """A native histogram, or a rate of one: then the numbers are per second.

    Attributes:
        count: Observations.
        total: Sum of the observed values; NaN when a NaN was observed.
        buckets: Those that are not empty, by bound, without overlap.
    """

    count: float
    total: float
    buckets: tuple[NativeBucket, ...]

    def cumulated(self) -> tuple[tuple[float, float], ...]:
        """(Upper bound, observations up to it), by bound, the last one up to infinity: as a classic histogram has them.

        Empty buckets are not transferred, so where one is missing its bound comes back as a point of its own:
        observations of the next bucket are then not spread over the gap. Below the first bucket's bound nothing was
        observed; a first bucket around zero, or one without a lower bound, starts at zero, as PromQL reads it.
        """
        points: list[tuple[float, float]] = []
        below = 0.0
        for at, bucket in enumerate(self.buckets):
            lower = max(bucket.lower, 0.0) if at == 0 and bucket.upper > 0 else bucket.lower
            if math.isfinite(lower) and (not points or lower > points[-1][0]):
                points.append((lower, below))
            below += bucket.count
            points.append((bucket.upper, below))
        if not points or points[-1][0] != math.inf:
            points.append((math.inf, max(below, self.count)))
        return tuple(points)


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an instant vector.

    Attributes:
        labels: Its labels, the metric's name included where the query kept it.
        value: Its value, NaN or infinite too, as PromQL allows; NaN where it is a native histogram.
        histogram: Its value where it is a native histogram.
    """

    labels: Mapping[str, str]
    value: float
    histogram: NativeHistogram | None = None


@dataclass(frozen=True)
class Answer:
    """An instant vector.

    Attributes:
        samples: Its series, no two with the same labels.
        evaluated_at: When it was evaluated, by the server's clock, Unix seconds; None without a series.
        warnings: Warnings that came along: Thanos and Mimir warn when a part of the data could not be read.
    """

    samples: tuple[Sample, ...] = ()
    evaluated_at: float | None = None
    warnings: int = 0


@dataclass(frozen=True)
class Series:
    """One series of a range: (Unix seconds, value), oldest first. One of native histograms alone has no points."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class RangeAnswer:
    """A range's series, no two with the same labels, and how many warnings came along."""

    series: tuple[Series, ...] = ()
    warnings: int = 0


def clock_skew_seconds(answer: Answer, now: float) -> float | None:
    """How far the server's clock is ahead of `now` (Unix seconds, ours); None where the answer has no series.

    The answer's way and the evaluation count as a clock that is behind: below a query's timeout it says nothing.
    """
    return None if answer.evaluated_at is None else answer.evaluated_at - now


class Prometheus(Protocol):
    """What readers of metrics need of a Prometheus."""

    async def query(self, promql: str) -> Answer:
        """The instant vector of a query, now.

        Raises:
            PrometheusError: There is no such answer.
        """
        ...

    async def query_range(self, promql: str, start: float, end: float, step_seconds: float) -> RangeAnswer:
        """The values of a query from `start` to `end` (Unix seconds, both included), one each step.

        Prometheus refuses more than 11,000 steps.

        Raises:
            PrometheusError: There is no such answer.
        """
        ...
