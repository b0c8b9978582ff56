"""A value that was measured, or the reason why it was not. Absence is a type, never zero."""

from dataclasses import dataclass

from inferplan.api.reasons import Reason
from inferplan.api.values import Evidence

_MAXIMUM = 1e15  # no metric comes near; guards the arithmetic


@dataclass(frozen=True)
class Measured:
    """One measured number.

    Attributes:
        value: The number.
        unit: Its unit, as the plan prints it.
        source: The query, or the metric's name where no query was needed.
        window_seconds: Time that it covers; None for a value of the moment.

    Raises:
        ValueError: The value is NaN, infinite or beyond any real one; such a sample is Missing.
    """

    value: float
    unit: str
    source: str
    window_seconds: int | None = None

    def __post_init__(self) -> None:
        if not -_MAXIMUM <= self.value <= _MAXIMUM:  # NaN fails too
            raise ValueError(f"{self.source}: {self.value} is no measured value")

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
    """

    code: Reason
    reason: str


Measurement = Measured | Missing
