"""What an estimate of speed says: values with their intervals, or why there is none."""

import math
from dataclasses import dataclass

from inferplan.api.values import Source
from inferplan.domain.measurement import Missing

Z80 = 1.2816
"""Standard normal quantile of 90 %: half an 80 % interval, in standard deviations."""


@dataclass(frozen=True)
class Interval:
    """A value with the 80 % interval around it, all three in the same unit.

    Attributes:
        low: Lower end; one real value in ten lies below it.
        expected: Most likely value.
        high: Upper end; one real value in ten lies above it.

    Raises:
        ValueError: A number is negative, infinite or NaN, or the three are not in order.
    """

    low: float
    expected: float
    high: float

    def __post_init__(self) -> None:
        if not (0 <= self.low <= self.expected <= self.high and math.isfinite(self.high)):  # NaN fails too
            raise ValueError(f"{self.low}, {self.expected}, {self.high} is no interval around a value")


@dataclass(frozen=True)
class Performance:
    """How fast one replica serves a load.

    Attributes:
        ttft_milliseconds: Time to the first token, mean, queueing included.
        itl_milliseconds: Time between tokens of a request, mean (TPOT).
        output_tokens_per_second: Output tokens of the replica per second.
        requests_per_second: Requests that the replica finishes per second.
        source: The weakest basis that the values rest on.
        saturated: Requests arrive faster than they are served: throughput has a value, latency has none.
        assumptions: What was assumed where nothing is known, each a sentence.
        notes: What a reader of the values should know, each a sentence.
    """

    ttft_milliseconds: Interval | Missing
    itl_milliseconds: Interval | Missing
    output_tokens_per_second: Interval | Missing
    requests_per_second: Interval | Missing
    source: Source
    saturated: bool = False
    assumptions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
