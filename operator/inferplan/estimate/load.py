"""The load that a speed estimate is for: how many requests, and how long they are. Per replica."""

import math
from dataclasses import dataclass

_MOST_REQUESTS = 1e6  # in flight, or per second; spec.workload has the same caps
_MOST_TOKENS = 1e8


@dataclass(frozen=True)
class Load:
    """Traffic on one replica; exactly one of concurrency and requests_per_second is given.

    Attributes:
        concurrency: Requests in flight at once: a new one comes as soon as one ends (closed loop).
        requests_per_second: Arrival rate, requests per second, whatever runs (open loop).
        input_tokens: Mean prompt length, tokens per request.
        output_tokens: Mean output length, tokens per request.
        prefix_share: Share of prompt tokens that the prefix cache holds already, 0 to 1.

    Raises:
        ValueError: A value is NaN, not positive or beyond any real load; the message names it.
    """

    concurrency: float | None
    requests_per_second: float | None
    input_tokens: float
    output_tokens: float
    prefix_share: float = 0.0

    def __post_init__(self) -> None:
        if (self.concurrency is None) == (self.requests_per_second is None):
            raise ValueError("give one of concurrency and requests_per_second")
        _check("concurrency", self.concurrency, _MOST_REQUESTS)
        _check("requests_per_second", self.requests_per_second, _MOST_REQUESTS)
        _check("input_tokens", self.input_tokens, _MOST_TOKENS)
        _check("output_tokens", self.output_tokens, _MOST_TOKENS)
        if not 0 <= self.prefix_share <= 1:  # NaN fails too
            raise ValueError(f"prefix_share must be a number from 0 to 1, not {self.prefix_share}")


def _check(name: str, value: float | None, most: float) -> None:
    if value is not None and not (math.isfinite(value) and 0 < value <= most):
        raise ValueError(f"{name} must be a number above 0 and at most {most:,.0f}, not {value}")
