"""What an instance would do with other settings: the vocabulary of forecasts. Pure.

Only ratios are told, of a configuration against today's: what a model has wrong alike on both sides falls out, and the
measured value is what the ratio is of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inferplan.api.values import Source
from inferplan.domain.lever import LimitKey
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.serving import ServingConfig
from inferplan.estimate.candidates import Candidates
from inferplan.estimate.memory_limits import Limits
from inferplan.estimate.memory_observed import Ground
from inferplan.estimate.step_shape import Flags, Floats
from inferplan.estimate.vllm_memory import Sized

Moves = Mapping[LimitKey, NDArray[np.float64]]
"""Values of limits that are tried, arrays of one length; a limit that is not named stays."""


@dataclass(frozen=True)
class Outlook:
    """What configurations are expected to give, per replica: arrays, an entry for each.

    Attributes:
        starts: Whether the engine starts.
        cache_tokens: Tokens that the KV cache holds; NaN where it is not known.
        throughput: Output tokens per second.
        ttft: Mean time to the first token, seconds, queueing included; NaN where it has no basis.
        itl: Mean time between tokens, seconds.
        running: Requests that run at once.
        saturated: More requests come than are served.
        chunk: What a step with a chunk of prompts takes more than one without, seconds.
        chunk_share: Share of the steps that have one.
        queue: What of the TTFT is waiting for a place, seconds.
    """

    starts: Flags
    cache_tokens: Floats
    throughput: Floats
    ttft: Floats
    itl: Floats
    running: Floats
    saturated: Flags
    chunk: Floats
    chunk_share: Floats
    queue: Floats

    def itl_tail(self, percentile: float, often: float = 1.0) -> Floats:
        """A percentile of the time between tokens: a step with a chunk of prompts where enough steps have one.

        Steps of 10 ms, in one of ten a chunk of 40 ms more: the mean is 14 ms, p95 is 50 ms and p50 10 ms. Where just
        about as many have one, between half and all of 1 - percentile, the percentile lies between the two.

        Args:
            percentile: The percentile.
            often: How often steps have one, against what is expected.
        """
        plain = np.maximum(self.itl - self.chunk * self.chunk_share, 0.0)
        over = np.minimum(self.chunk_share * often, 1.0) / (1.0 - percentile / 100.0)
        tail: Floats = plain + self.chunk * np.clip(2.0 * over - 1.0, 0.0, 1.0)
        return tail


@dataclass(frozen=True)
class Span:
    """A ratio to today's value with its 80 % interval; expected is None where only the ends have a basis."""

    low: float
    expected: float | None
    high: float

    @property
    def middle(self) -> float:
        """What is expected; the middle of the ends, as a ratio, where only they have a basis."""
        return self.expected if self.expected is not None else sqrt(self.low * self.high)


@dataclass(frozen=True)
class Ratios:
    """A configuration against today's. A latency is None where the forecast says nothing of it.

    Attributes:
        throughput: Output tokens per second.
        itl: Mean time between tokens.
        ttft: Mean time to the first token.
        tails: Percentiles of the time between tokens.
    """

    throughput: Span
    itl: Span | None
    ttft: Span | None
    tails: Mapping[int, Span] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """A configuration as a forecast is asked about it.

    Attributes:
        config: Its settings.
        card: The model that runs.
        doubt: Standard deviation of the logarithm of what the step model does not see of its speed.
    """

    config: ServingConfig
    card: ModelCard
    doubt: float = 0.0


class Forecast(Protocol):
    """Forecasts configurations of one instance under the load that it was seen under."""

    @property
    def ground(self) -> Ground:
        """What memory is sized by."""
        ...

    @property
    def source(self) -> Source:
        """What the ratios rest on."""
        ...

    @property
    def basis(self) -> str:
        """The same in a sentence."""
        ...

    @property
    def windows(self) -> int:
        """Windows of this very instance that the step model was calibrated on."""
        ...

    def outlook(self, place: Place, moves: Moves) -> Outlook | Missing:
        """What a configuration gives with each of the limits."""
        ...

    def ratios(self, before: Place, after: Place, percentiles: Sequence[int] = ()) -> Ratios | Missing:
        """One configuration against another, with intervals.

        Args:
            before: What is compared with.
            after: What is compared.
            percentiles: Percentiles of the time between tokens that are asked for.
        """
        ...


def candidates_of(sized: Sized, moves: Moves) -> Candidates:
    """The limits that are tried; the configuration's own where none is."""
    own = _own(sized.limits)
    size = max((len(values) for values in moves.values()), default=1)
    tried = {key: np.asarray(moves.get(key, np.full(size, own[key])), dtype=np.float64) for key in LimitKey}
    whole = {key: values.astype(np.int64) for key, values in tried.items()}
    return Candidates(
        utilization=tried[LimitKey.UTILIZATION],
        sequences=whole[LimitKey.SEQUENCES],
        batched_tokens=whole[LimitKey.TOKENS],
        context=whole[LimitKey.CONTEXT],
    )


def _own(limits: Limits) -> Mapping[LimitKey, float]:
    return {
        LimitKey.UTILIZATION: float(limits.utilization),
        LimitKey.SEQUENCES: float(limits.sequences),
        LimitKey.TOKENS: float(limits.tokens),
        LimitKey.CONTEXT: float(limits.context),
    }
