"""What was measured of an instance, as far as bounds of what it would do with other settings rest on it. Pure."""

from dataclasses import dataclass

import numpy as np

from inferplan.domain.measurement import Missing, value_of
from inferplan.domain.observation import Observation
from inferplan.estimate.step_shape import Floats

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
