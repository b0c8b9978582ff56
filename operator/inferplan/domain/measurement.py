"""A value that was measured, or the reason why it was not. Absence is a type, never zero."""

from dataclasses import dataclass

from inferplan.api.exchange import MeasuredValue
from inferplan.api.reasons import Reason
from inferplan.api.values import Evidence

MEASURED_MAX = 1e15
"""No metric comes near; guards the arithmetic."""

_SOURCE_MAX = 4096  # api.base.Sentence


@dataclass(frozen=True)
class Measured:
    """One measured number.

    Attributes:
        value: The number.
        unit: Its unit, as the plan prints it.
        source: The query, or the metric's name where no query was needed.
        window_seconds: Time that it covers; None for a value of the moment.
        low: What it is at least, where a histogram's buckets leave a range; None where they do not.
        high: What it is at most.
        age_seconds: Age of the newest sample behind it; None where the source does not say.

    Raises:
        ValueError: The value is NaN, infinite or beyond any real one; such a sample is Missing.
    """

    value: float
    unit: str
    source: str
    window_seconds: int | None = None
    low: float | None = None
    high: float | None = None
    age_seconds: float | None = None

    def __post_init__(self) -> None:
        if not -MEASURED_MAX <= self.value <= MEASURED_MAX:  # NaN fails too
            raise ValueError(f"{self.source}: {self.value} is no measured value")

    def as_value(self) -> MeasuredValue:
        """The measurement as an analysis lists it."""
        return MeasuredValue(
            value=self.value,
            unit=self.unit,
            low=self.low,
            high=self.high,
            window_seconds=self.window_seconds,
            age_seconds=self.age_seconds,
            source=self.source[:_SOURCE_MAX],
        )

    def as_evidence(self) -> Evidence:
        """The measurement as a plan shows it."""
        return Evidence(
            query=self.source, value=round(self.value, 6), unit=self.unit, window_seconds=self.window_seconds
        )


@dataclass(frozen=True)
class Missing:
    """Why a number is not there.

    Attributes:
        code: MetricsMissing, MetricsStale, PrometheusError …
        reason: One sentence for people.
        at_least: What the number surely exceeds, in its unit: a percentile above a histogram's last bound. None where
            nothing is known of it.
    """

    code: Reason
    reason: str
    at_least: float | None = None


Measurement = Measured | Missing


def value_of(measurement: Measurement) -> float | None:
    """The number, None where there is none."""
    return measurement.value if isinstance(measurement, Measured) else None
