"""The load that a speed estimate is for: how many requests, and how long they are. Per replica."""

import math
from dataclasses import dataclass, replace

_MOST_REQUESTS = 1e6  # in flight, or per second; spec.workload has the same caps
_MOST_TOKENS = 1e8
_MOST_VARIATION = 100.0


@dataclass(frozen=True)
class Load:
    """Traffic on one replica; exactly one of concurrency and requests_per_second is given.

    Attributes:
        concurrency: Requests in flight at once: a new one comes as soon as one ends (closed loop).
        requests_per_second: Arrival rate, requests per second, whatever runs (open loop).
        input_tokens: Mean prompt length, tokens per request.
        output_tokens: Mean output length, tokens per request.
        prefix_share: Share of prompt tokens that the prefix cache holds already, 0 to 1.
        output_variation: Standard deviation of the output length over its mean; 0 where all are equally long.
        held_factor: Measured KV cache of a running request over what its lengths say; 1 where it was not measured.

    Raises:
        ValueError: A value is NaN, not positive or beyond any real load; the message names it.
    """

    concurrency: float | None
    requests_per_second: float | None
    input_tokens: float
    output_tokens: float
    prefix_share: float = 0.0
    output_variation: float = 0.0
    held_factor: float = 1.0

    def __post_init__(self) -> None:
        if (self.concurrency is None) == (self.requests_per_second is None):
            raise ValueError("give one of concurrency and requests_per_second")
        _check("concurrency", self.concurrency, _MOST_REQUESTS)
        _check("requests_per_second", self.requests_per_second, _MOST_REQUESTS)
        _check("input_tokens", self.input_tokens, _MOST_TOKENS)
        _check("output_tokens", self.output_tokens, _MOST_TOKENS)
        if not 0 <= self.prefix_share <= 1:  # NaN fails too
            raise ValueError(f"prefix_share must be a number from 0 to 1, not {self.prefix_share}")
        if not 0 <= self.output_variation <= _MOST_VARIATION:
            raise ValueError(f"output_variation must be from 0 to {_MOST_VARIATION}, not {self.output_variation}")
        _check("held_factor", self.held_factor, _MOST_VARIATION)

    def without_prefixes(self) -> "Load":
        """The same load where no prefix is cached."""
        return replace(self, prefix_share=0.0)

    @property
    def computed_tokens(self) -> float:
        """Prompt tokens that are computed: what the prefix cache does not hold, the last one always."""
        return max(1.0, self.input_tokens * (1.0 - self.prefix_share))

    @property
    def mean_context(self) -> float:
        """Tokens that a decoding request has on average: longer ones are seen longer.

        prompt + E[output^2] / (2 E[output]). 1,024 in, 1,024 out, all alike: 1,024 + 512 = 1,536.
        """
        return self.input_tokens + self.output_tokens * (1.0 + self.output_variation**2) / 2.0

    @property
    def held_tokens(self) -> float:
        """Tokens of KV cache that a running request holds on average; a shared prefix is held once for all."""
        return max(1.0, (self.mean_context - self.input_tokens * self.prefix_share) * self.held_factor)


def _check(name: str, value: float | None, most: float) -> None:
    if value is not None and not (math.isfinite(value) and 0 < value <= most):
        raise ValueError(f"{name} must be a number above 0 and at most {most:,.0f}, not {value}")
