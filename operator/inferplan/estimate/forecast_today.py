"""What today's measurements say beyond the calibration: how long the queue is, and how prompts come. Pure."""

from dataclasses import dataclass

import numpy as np

from inferplan.domain.measurement import Measured
from inferplan.domain.observation import Metrics
from inferplan.estimate.forecast import Outlook
from inferplan.estimate.service import ALMOST_FULL, queue_seconds
from inferplan.estimate.step_shape import Floats

TINY = 1e-12
"""Below what any latency or rate is; keeps logarithms finite."""


@dataclass(frozen=True)
class Anchor:
    """Today's queue as it was measured.

    Attributes:
        queue_seconds: What of the mean TTFT is waiting for a place.
        scale: That against what the model makes of it.
        served: Requests per second that are served, as the model expects.
        served_in_cases: The same in each of the uncertain cases.
    """

    queue_seconds: float
    scale: float
    served: Floats
    served_in_cases: Floats


def queue_left(busy: Floats, places: Floats) -> Floats:
    """What is left of a full engine's queue at a lower load.

    64 places, 95 % busy: 0.95^10.4 / 0.05 over 0.98^10.4 / 0.02 = 0.29. 98 % and more: all of it.
    """
    one, full = np.ones(1), np.full(1, ALMOST_FULL)
    left: Floats = queue_seconds(np.minimum(busy, ALMOST_FULL), places, one) / queue_seconds(full, places, one)
    return left


_OFTEN = (0.5, 2.0)
"""How much rarer, or more often, than expected steps may have a chunk: prompts come in bursts, or several at once. A
percentile jumps where they become as many as lie above it, so the interval has both sides of the jump. A choice."""


TOGETHER_MOST = 8.0
_FITS = 0.2
"""Logarithm by which a percentile may be off its model before it says how prompts come: buckets are as coarse."""


def prompts_together(today: Outlook, metrics: Metrics) -> float:
    """How many prompts a step with a chunk carries, so that today's percentile comes out as it was measured.

    Prompts that come in bursts share a step: fewer steps are longer, by more, at the same mean. Steps of 10 ms, chunks
    of 100 ms more in one step of fifteen: p95 is 110 ms where each step has one prompt, and 10 ms where three come
    together, which is then one step of 45. The 95th percentile speaks, else the 99th.
    """
    mean = metrics.itl_mean_milliseconds
    seen = ((95, metrics.itl_p95_milliseconds), (99, metrics.itl_p99_milliseconds))
    told = next(((each, found.value) for each, found in seen if isinstance(found, Measured)), None)
    chunk, share, itl = float(today.chunk[0]), float(today.chunk_share[0]), float(today.itl[0])
    if told is None or not isinstance(mean, Measured) or min(mean.value, told[1], chunk, share, itl) <= 0:
        return 1.0
    counts = np.geomspace(1.0, TOGETHER_MOST, 25)
    over = np.minimum(share / counts, 1.0) / (1.0 - told[0] / 100.0)
    tails = max(itl - chunk * share, 0.0) + chunk * counts * np.clip(2.0 * over - 1.0, 0.0, 1.0)
    off = np.abs(np.log(np.maximum(tails, TINY) / (told[1] / mean.value * itl)))
    return 1.0 if off[0] <= _FITS else float(counts[np.argmin(off)])


def tail(found: Outlook, percentile: int) -> Floats:
    """A percentile in every case, and as expected where chunks are rarer or more often."""
    rare, often = (found.itl_tail(percentile, share)[:1] for share in _OFTEN)
    return np.concatenate([found.itl_tail(percentile), rare, often])
