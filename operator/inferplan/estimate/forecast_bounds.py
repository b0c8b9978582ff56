"""What an instance would do with other settings where no step model speaks of it: bounds that measurements alone give.

A step takes at most in proportion to its batch (weights are read once, KV bytes and FLOPs are linear), and at least as
long as before. So with k times the running requests throughput is between 1 and k times today's, and so is the time
between tokens. What prompts take of the time stays as it is, though: each of them has to be computed as before. With W
for that share, throughput is at most 1 / (W + (1 - W) / k) times today's; and, as tokens per second are the running
requests over the time between tokens, that time is at least k W + 1 - W times today's. How many run is known from what
holds them back today: the cap, the KV cache, or that no more come. The same holds of k times the tokens of a step where
steps are full of prompts today, but computing is most of a long step: `Today.filled`. Shorter steps cost throughput
less than in proportion: only the fixed part of the steps that are added, which is no longer than today's mean time
between tokens, as each step has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import NamedTuple

import numpy as np

from inferplan.api.values import Source
from inferplan.domain.lever import LimitKey
from inferplan.domain.measurement import Missing
from inferplan.domain.serving import ServingConfig
from inferplan.estimate.bounds_today import Today
from inferplan.estimate.forecast import Moves, Outlook, Place, Ratios, Span, candidates_of
from inferplan.estimate.memory_estimate import memory_model
from inferplan.estimate.memory_limits import Limits
from inferplan.estimate.memory_observed import Ground
from inferplan.estimate.question import attention_ranks
from inferplan.estimate.result import Z80
from inferplan.estimate.step_shape import Flags, Floats


class _Ends(NamedTuple):
    """How little and how much it can be, against today."""

    least: Floats
    most: Floats


class _Reach(NamedTuple):
    """How far it can go.

    Attributes:
        served: Throughput.
        itl: Mean time between tokens.
        tail: Its percentiles.
    """

    served: _Ends
    itl: _Ends
    tail: _Ends


class _There(NamedTuple):
    """Configurations as they would be.

    Attributes:
        starts: Whether the engine starts.
        tokens: That the KV cache holds.
        running: Requests that run at once.
        reach: How far it can go.
    """

    starts: Flags
    tokens: Floats
    running: Floats
    reach: _Reach


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
        seen = self._there(place, moves)
        if isinstance(seen, Missing):
            return seen
        tokens, running, reach = seen.tokens, seen.running, seen.reach
        nothing, waits = np.zeros(tokens.shape), self.today.waits(running)
        never = np.zeros(tokens.shape, dtype=bool)
        served, itl = (np.sqrt(ends.least * ends.most) for ends in (reach.served, reach.itl))
        return Outlook(seen.starts, tokens, served, waits, itl, running, never, nothing, nothing, waits)

    def _there(self, place: Place, moves: Moves) -> _There | Missing:
        sized = memory_model(place.config, self.ground.accelerator, place.card, self.ground.overhead)
        if isinstance(sized, Missing):
            return sized
        tried = candidates_of(sized, moves)
        limits = Limits(tried.utilization, tried.sequences, tried.batched_tokens, tried.context)
        plans = sized.model.plans(limits)
        if isinstance(plans, Missing):
            return plans
        tokens = np.broadcast_to(plans.tokens.astype(np.float64) * attention_ranks(place.config), tried.sequences.shape)
        running = self._running(place.config, moves, tokens)
        starts = np.broadcast_to(plans.holds_request, tokens.shape)
        return _There(starts, tokens, running, self._reach(running, tried.batched_tokens.astype(np.float64)))

    def _reach(self, running: Floats, budgets: Floats) -> _Reach:
        """A larger batch and shorter steps pull in different directions: each keeps its own end."""
        today, one = self.today, np.ones(running.shape)
        batch, steps = running / today.running, today.steps(budgets)
        kept = np.minimum(today.kept(budgets), 1.0)
        shared = batch / today.served(batch)  # the time between tokens, where throughput goes as far as it can
        return _Reach(
            served=_Ends(
                np.minimum(today.served(batch), 1.0) * kept,
                np.maximum(np.minimum(today.served(batch * np.maximum(steps, 1.0)), today.filled(budgets)), 1.0),
            ),
            itl=_Ends(
                np.minimum(batch, shared) * np.minimum(steps, one),
                np.maximum(batch, shared) * np.maximum(steps, one) / kept,  # what is added, answers wait for too
            ),
            tail=_Ends(
                np.minimum(batch, one) * np.minimum(steps, one), np.maximum(batch, one) * np.maximum(steps, one)
            ),
        )

    def ratios(self, before: Place, after: Place, percentiles: Sequence[int] = ()) -> Ratios | Missing:
        """Between the ends, against what they are before."""
        first, second = self._there(before, {}), self._there(after, {})
        if isinstance(first, Missing):
            return first
        if isinstance(second, Missing):
            return second
        served, itl, tail = (_span(*pair, after.doubt) for pair in zip(first.reach, second.reach, strict=True))
        return Ratios(served, itl, None, dict.fromkeys(percentiles, tail))

    def _running(self, config: ServingConfig, moves: Moves, tokens: Floats) -> Floats:
        today, ranks = self.today, attention_ranks(config)
        cap = config.integer("max_batch_size")
        own = float(cap) if cap is not None else today.cap
        caps = np.asarray(moves.get(LimitKey.SEQUENCES, np.full(tokens.shape, own)), dtype=np.float64)
        there = np.inf if today.growing else today.running + today.waiting
        at_most = np.minimum(caps * ranks, there)
        running: Floats = np.maximum(np.minimum(at_most, today.fits(tokens)), 1.0)
        return running


def _span(before: _Ends, after: _Ends, doubt: float) -> Span:
    """The ends against those before, which are 1 where that is today."""
    least, most = (float(late[0] / early[0]) for early, late in zip(before, after, strict=True))
    widened = exp(Z80 * doubt)
    return Span(min(least, most) / widened, None, max(least, most) * widened)
