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
from inferplan.domain.measurement import Missing, value_of
from inferplan.domain.observation import Observation
from inferplan.domain.serving import ServingConfig
from inferplan.estimate.forecast import Moves, Outlook, Place, Ratios, Span, candidates_of
from inferplan.estimate.memory_estimate import memory_model
from inferplan.estimate.memory_limits import Limits
from inferplan.estimate.memory_observed import Ground
from inferplan.estimate.question import attention_ranks
from inferplan.estimate.result import Z80
from inferplan.estimate.step_shape import Flags, Floats

KV_USE_MAX = 0.90
"""Predicted use of a cache that is not full today may not exceed this: room for longer requests than those seen."""

_FULL = 0.75
"""Mean tokens of a step from this share of the budget on mean that steps are full but for those without prompts."""

_BUSY_TOKENS = 1024.0
"""A step's fixed part takes no longer than computing so many tokens: by datasheets reading the weights takes as long as
computing 295 (H100, bf16) to 590 tokens (fp8); twice that for launching the kernels. A choice."""

_GROWS = 1.03
"""More come than are served by this share: the queue grows, beyond what two counters differ by chance."""

_SPECULATION = ("speculative_config", "speculative_model", "spec_method", "speculative_algorithm")
_WAIT_LEAST = 0.25
"""What is left of a wait at least, for the middle of bounds to mean anything."""


@dataclass(frozen=True)
class Prompts:
    """The prompts of one replica.

    Attributes:
        tokens_per_second: Of all of them.
        per_second: How many.
        step_seconds: No step's fixed part is longer: the mean time between tokens.
    """

    tokens_per_second: float
    per_second: float
    step_seconds: float

    def kept(self, budgets: Floats) -> Floats:
        """Throughput that is left at least with steps of so many tokens, against today's.

        A prompt of P tokens takes P / budget + 1 steps at most, and each of them costs its fixed part anew: 2.5 prompts
        of 2,500 tokens each second in steps of 2,048 are 5.6 steps, of 20 ms each at most 0.11 s: 1 / 1.11 = 0.90.
        """
        added = self.tokens_per_second / np.maximum(budgets, 1.0) + self.per_second
        left: Floats = 1.0 / (1.0 + added * self.step_seconds)
        return left


@dataclass(frozen=True)
class Today:
    """What was measured, per replica.

    Attributes:
        running: Requests that run, mean.
        waiting: Requests that wait, mean.
        usage: Highest use of the KV cache.
        tokens: Tokens that it holds.
        cap: max_batch_size, of one rank; infinite where it is not known.
        budget: Tokens that a step may hold; None where that is not known.
        full: Share of the budget that steps hold on average, where that is nearly all; None where it is not.
        longest: Tokens of the longest prompt, where nothing queues: steps with one hold no more; None where more may
            come together.
        prompts: What comes to be computed; None where that, or the time of a step, was not measured.
        share: What computing prompts takes of the time, at least; 0 where that is not known.
        growing: Whether more requests come than are served.
    """

    running: float
    waiting: float
    usage: float
    tokens: float
    cap: float
    budget: float | None = None
    full: float | None = None
    longest: float | None = None
    prompts: Prompts | None = None
    share: float = 0.0
    growing: bool = False

    def served(self, more: Floats) -> Floats:
        """The furthest end of throughput against today's with so many times the work in a step.

        Half of the time goes to prompts: twice the batch gives at most 1 / (0.5 + 0.5 / 2) = 1.33 times as much.
        """
        found: Floats = 1.0 / (self.share + (1.0 - self.share) / more)
        return found

    def steps(self, budgets: Floats) -> Floats:
        """Tokens of a step against today's, as far as they hold anything back: all of them where steps are full.

        A larger budget changes nothing where steps are not full; a smaller one is taken to hold back what is longer.
        """
        if self.budget is None:
            return np.ones(budgets.shape)
        if self.full is not None:
            stretched: Floats = budgets / self.budget
            return stretched
        shorter: Floats = np.minimum(budgets / (self.longest or self.budget), 1.0)
        return shorter

    def filled(self, budgets: Floats) -> Floats:
        """The most throughput against today's where steps are full: that of longer ones, whoever else may run.

        Steps of 8,192 tokens that are full give with 32,768 at most (1,024 + 8,192) / (1,024 / 4 + 8,192) = 1.09 times
        as much; of 64 with 256 3.4 times. Infinite where steps are not full.
        """
        if self.full is None or self.budget is None:
            return np.full(budgets.shape, np.inf)
        longer = np.maximum(budgets / self.budget, 1.0)
        most: Floats = (_BUSY_TOKENS + self.budget) / (_BUSY_TOKENS / longer + self.budget) / self.full
        return most

    def kept(self, budgets: Floats) -> Floats:
        """The least throughput against today's with shorter steps; with others, what `steps` says."""
        steps = self.steps(budgets)
        if self.prompts is None:
            return steps
        found: Floats = np.where(steps < 1.0, np.maximum(steps, self.prompts.kept(budgets)), steps)
        return found

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
        full=_fullness(value_of(seen.tokens_per_step), budget),
        longest=_longest(observation, waiting, budget),
        prompts=_prompts(observation),
        share=_share(observation),
        growing=_growing(observation),
    )


def _share(observation: Observation) -> float:
    """What of the time between tokens is longer than in steps without prompts, at least.

    A step without prompts takes no longer than half of all do: 20 ms at the median and 100 ms on average are 80 %.
    """
    seen = observation.metrics
    mean, median = value_of(seen.itl_mean_milliseconds), seen.itl_p50_milliseconds
    if isinstance(median, Missing) or not mean:
        return 0.0
    longest = median.high if median.high is not None else median.value
    return max(0.0, 1.0 - longest / mean)


def _growing(observation: Observation) -> bool:
    """Whether the queue gets longer and longer: then as many will run as may, whatever waits now."""
    seen = observation.metrics
    come, served = value_of(seen.arrivals_per_second), value_of(seen.requests_per_second)
    return come is not None and served is not None and come > served * _GROWS


def _fullness(tokens: float | None, budget: int | None) -> float | None:
    share = tokens / budget if tokens is not None and budget else 0.0
    return min(share, 1.0) if share >= _FULL else None


def _longest(observation: Observation, waiting: float, budget: int | None) -> float | None:
    found = observation.metrics.prompt_tokens_max
    if isinstance(found, Missing) or waiting >= 1.0 or budget is None:
        return None
    return min(float(budget), max(found.high if found.high is not None else found.value, 1.0))


def _prompts(observation: Observation) -> Prompts | None:
    """None with speculation too: then a step gives several tokens, and is longer than the time between them."""
    seen, config = observation.metrics, observation.config
    found = [
        value_of(value)
        for value in (seen.prompt_tokens_per_second, seen.requests_per_second, seen.itl_mean_milliseconds)
    ]
    speculates = any(config.value(key) is not None for key in _SPECULATION)
    tokens, rate, itl = found
    if speculates or tokens is None or rate is None or itl is None:
        return None
    return Prompts(tokens, rate, itl / 1000.0)


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
