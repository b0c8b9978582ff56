"""What an instance would do with other settings where no step model speaks of it: bounds that measurements alone give.

A step takes at most in proportion to its batch (weights are read once, KV bytes and FLOPs are linear), and at least as
long as before. So with k times the running requests throughput is between 1 and k times today's, and so is the time
between tokens. How many run is known from what holds them back today: the cap, the KV cache, or that no more come.
The same holds of k times the tokens of a step where steps are full of prompts today.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

import numpy as np

from inferplan.api.values import Source
from inferplan.domain.lever import LimitKey
from inferplan.domain.measurement import Missing, value_of
from inferplan.domain.observation import Observation
from inferplan.domain.serving import ServingConfig
from inferplan.estimate.forecast import Moves, Outlook, Place, Ratios, Span, candidates_of
from inferplan.estimate.memory_estimate import memory_model
from inferplan.estimate.memory_limits import Limits
from inferplan.estimate.memory_observed import Ground
from inferplan.estimate.question import attention_ranks
from inferplan.estimate.result import Z80
from inferplan.estimate.step_shape import Floats

KV_USE_MAX = 0.90
"""Predicted use of a cache that is not full today may not exceed this: room for longer requests than those seen."""

_FULL = 0.75
"""Mean tokens of a step from this share of the budget on mean that steps are full but for those without prompts."""

_WAIT_LEAST = 0.25
"""What is left of a wait at least, for the middle of bounds to mean anything."""


@dataclass(frozen=True)
class Today:
    """What was measured, per replica.

    Attributes:
        running: Requests that run, mean.
        waiting: Requests that wait, mean.
        usage: Highest use of the KV cache.
        tokens: Tokens that it holds.
        cap: max_batch_size, of one rank; infinite where it is not known.
    """

    running: float
    waiting: float
    usage: float
    tokens: float
    cap: float
    budget: float | None = None
    full: bool = False

    def steps(self, budgets: Floats) -> Floats:
        """Tokens of a step against today's, as far as they hold anything back: all of them where steps are full.

        A larger budget changes nothing where steps are not full; a smaller one is taken to hold back in any case.
        """
        if self.budget is None:
            return np.ones(budgets.shape)
        ratio = budgets / self.budget
        stretched: Floats = ratio if self.full else np.minimum(ratio, 1.0)
        return stretched

    def waits(self, running: Floats) -> Floats:
        """The wait for a place against today's, in the middle of its bounds; 1 where none wait.

        Where those in flight stay as many, those that do not run wait, and no fewer are served than today: the wait is
        at most waiting over today's (Little's law), and at least nothing. Where more come instead, it is as long as it
        was. 12 wait and 4 would: between 0 and 1, a third being the bound of the first case, its root 0.58.
        """
        if self.waiting <= 0:
            return np.ones(running.shape)
        left = np.maximum(self.running + self.waiting - running, 0.0) / self.waiting
        between: Floats = np.sqrt(np.clip(left, _WAIT_LEAST, 1.0))
        return between

    def fits(self, tokens: Floats) -> Floats:
        """Requests that a cache of so many tokens holds: as many more as it is larger.

        32 run in 400,000 tokens at 30 %: 0.9 x 800,000 / (0.3 x 400,000 / 32) = 192 in 800,000.
        """
        each = max(self.usage * self.tokens / self.running, 1.0)
        return max(KV_USE_MAX, self.usage) * tokens / each


def measured_today(observation: Observation) -> Today | Missing:
    """What bounds need; why not where something was not measured.

    An engine preempts only when no block is left: then the cache was full between two samples of its use.
    """
    seen, config = observation.metrics, observation.config
    needed = (seen.num_requests_running, seen.num_requests_waiting, seen.kv_cache_usage, seen.kv_cache_tokens)
    missing = next((value for value in needed if isinstance(value, Missing)), None)
    if missing is not None:
        return missing
    running, waiting, usage, tokens = (value_of(value) or 0.0 for value in needed)
    cap, budget = config.integer("max_batch_size"), config.integer("max_num_batched_tokens")
    return Today(
        running=max(running, 1.0),
        waiting=waiting,
        usage=1.0 if (value_of(seen.preemptions_per_second) or 0.0) > 0 else usage,
        tokens=tokens,
        cap=float(cap) if cap is not None else float("inf"),
        budget=None if budget is None else float(budget),
        full=budget is not None and (value_of(seen.tokens_per_step) or 0.0) >= _FULL * budget,
    )


@dataclass(frozen=True)
class BoundedForecast:
    """Implements Forecast by bounds.

    Attributes:
        ground: What memory is sized by.
        today: What was measured.
        why: Why no step model speaks.
    """

    ground: Ground
    today: Today
    why: str

    @property
    def source(self) -> Source:
        """Measured counts, and that steps take no more than in proportion."""
        return Source.MEASURED_HERE

    @property
    def basis(self) -> str:
        """How the ratios were found."""
        return (
            "A step takes at most in proportion to its batch, and at least as long as before; how much in between is"
            f" not known: {self.why}."
        )

    @property
    def windows(self) -> int:
        """No step model is calibrated."""
        return 0

    def outlook(self, place: Place, moves: Moves) -> Outlook | Missing:
        """What a configuration gives with each of the limits: in the middle of the bounds, as nothing is likelier."""
        sized = memory_model(place.config, self.ground.accelerator, place.card, self.ground.overhead)
        if isinstance(sized, Missing):
            return sized
        tried = candidates_of(sized, moves)
        limits = Limits(tried.utilization, tried.sequences, tried.batched_tokens, tried.context)
        plans = sized.model.plans(limits)
        if isinstance(plans, Missing):
            return plans
        shape = tried.sequences.shape
        ranks = attention_ranks(place.config)
        tokens = np.broadcast_to(plans.tokens.astype(np.float64) * ranks, shape)
        running = self._running(place.config, moves, tokens, ranks)
        work = running / self.today.running * self.today.steps(tried.batched_tokens.astype(np.float64))
        middle, nothing, waits = np.sqrt(work), np.zeros(shape), self.today.waits(running)
        starts, never = np.broadcast_to(plans.holds_request, shape), np.zeros(shape, dtype=bool)
        return Outlook(starts, tokens, middle, waits, middle, running, never, nothing, nothing, waits)

    def ratios(self, before: Place, after: Place, percentiles: Sequence[int] = ()) -> Ratios | Missing:
        """Between no effect and one in proportion; percentiles of the ITL are bounded as its mean is."""
        found = [self.outlook(place, {}) for place in (before, after)]
        first, second = found
        if isinstance(first, Missing):
            return first
        if isinstance(second, Missing):
            return second
        ratio = float(second.throughput[0] / first.throughput[0]) ** 2  # the middle is the root of the highest
        doubt = exp(Z80 * after.doubt)
        span = Span(min(1.0, ratio) / doubt, None, max(1.0, ratio) * doubt)
        return Ratios(span, span, None, dict.fromkeys(percentiles, span))

    def _running(self, config: ServingConfig, moves: Moves, tokens: Floats, ranks: int) -> Floats:
        today = self.today
        cap = config.integer("max_batch_size")
        own = float(cap) if cap is not None else today.cap
        caps = np.asarray(moves.get(LimitKey.SEQUENCES, np.full(tokens.shape, own)), dtype=np.float64)
        at_most = np.minimum(caps * ranks, today.running + today.waiting)
        running: Floats = np.maximum(np.minimum(at_most, today.fits(tokens)), 1.0)
        return running
