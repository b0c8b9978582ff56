"""The numbers that the causes of a queue are told apart by, each made of what was measured. Pure.

Gauges are samples of single moments: two pages give two of them, taken at a step's end, when what finished is gone and
its successor is not yet admitted. Sums over time are surer: by Little's law, requests per second times the time that
each waited (ran) is how many waited (ran) at once, at every moment of the window.
"""

from dataclasses import dataclass
from functools import cached_property

from inferplan.api.values import Engine
from inferplan.dialects.version_order import VersionNumber, version_number
from inferplan.domain.measurement import Measured, value_of
from inferplan.domain.observation import Metrics, Observation
from inferplan.domain.serving import ServingConfig

MS_PER_SECOND = 1000

REQUESTS_MIN = 20
"""Finished requests below which a mean says more about chance: its standard error is above a fifth of the spread."""

STEADY_SHARE = 0.5
"""Little's law needs requests that live shorter than this share of the window: those at its edges count in part."""

_COUNTS_COMPUTED_TOKENS = VersionNumber((0, 32))
"""vLLM 0.32.0 counts only prompt tokens that it computed into a step (real scrapes: sum of iteration_tokens_total =
prompt - hits + generated); older releases also those that the prefix cache held (0.16, v1/metrics/loggers.py)."""


@dataclass(frozen=True)
class Signals:
    """Numbers of one replica, as the observation has them; None where they were not measured."""

    observation: Observation

    @property
    def metrics(self) -> Metrics:
        """What was measured."""
        return self.observation.metrics

    @property
    def config(self) -> ServingConfig:
        """What runs."""
        return self.observation.config

    @property
    def cap(self) -> int | None:
        """Requests that may run at once: every data-parallel rank has its own scheduler and its own cap."""
        cap = self.config.integer("max_batch_size")
        return None if cap is None or cap < 1 else round(cap * self.ranks)

    @property
    def ranks(self) -> float:
        """Data-parallel ranks of a replica: as its series tell them, else as it was started.

        A replica may hold fewer than the deployment has: with an external load balancer each pod is one of them.
        """
        told = value_of(self.metrics.data_parallel_ranks)
        return max(1.0, told if told is not None else self.config.integer("data_parallel_size") or 1)

    @property
    def waiting_name(self) -> str:
        """The metric of what waits for room; what waits for something of its own (KV transfer, LoRA) does not count."""
        told = isinstance(self.metrics.waiting_for_capacity, Measured)
        return "waiting_for_capacity" if told else "num_requests_waiting"

    @property
    def running(self) -> float | None:
        """Mean of running requests."""
        return value_of(self.metrics.num_requests_running)

    @property
    def running_peak(self) -> float | None:
        """Most of them at once."""
        return value_of(self.metrics.num_requests_running_peak)

    @property
    def waiting(self) -> float | None:
        """Mean of requests that wait for room."""
        return value_of(getattr(self.metrics, self.waiting_name))

    @property
    def preemptions(self) -> float | None:
        """Preemptions per second."""
        return value_of(self.metrics.preemptions_per_second)

    @property
    def window_seconds(self) -> int | None:
        """Time that the gauge of running requests covers."""
        running = self.metrics.num_requests_running
        return running.window_seconds if isinstance(running, Measured) else None

    @cached_property
    def finished(self) -> float | None:
        """Requests of one replica that finished in the window."""
        rate, seconds = self.metrics.requests_per_second, self.window_seconds
        if not isinstance(rate, Measured) or (rate.window_seconds or seconds) is None:
            return None
        return rate.value * (rate.window_seconds or seconds or 0)

    @property
    def generates(self) -> bool:
        """Whether any token or request came out in the window."""
        rates = (self.metrics.generation_tokens_per_second, self.metrics.requests_per_second)
        return any((value_of(rate) or 0) > 0 for rate in rates)

    @cached_property
    def waited(self) -> float | None:
        """Waiting requests over all of the window, by Little's law; None where too few finished, or live too long."""
        return self._at_once(value_of(self.metrics.queue_time_mean_milliseconds))

    @cached_property
    def ran(self) -> float | None:
        """Running requests over all of the window, by Little's law: slightly too many, as it holds the front end."""
        whole, queue = value_of(self.metrics.e2e_mean_milliseconds), value_of(self.metrics.queue_time_mean_milliseconds)
        return None if whole is None or queue is None else self._at_once(max(0.0, whole - queue))

    def _at_once(self, milliseconds: float | None) -> float | None:
        rate, whole = value_of(self.metrics.requests_per_second), value_of(self.metrics.e2e_mean_milliseconds)
        if milliseconds is None or rate is None or whole is None or (self.finished or 0) < REQUESTS_MIN:
            return None
        seconds = (self.finished or 0) / rate
        return rate * milliseconds / MS_PER_SECOND if whole / MS_PER_SECOND <= STEADY_SHARE * seconds else None

    @property
    def usage_name(self) -> str:
        """The metric of the KV cache's use: its mean where that is known, else its peak."""
        return "kv_cache_usage_mean" if isinstance(self.metrics.kv_cache_usage_mean, Measured) else "kv_cache_usage"

    @property
    def usage(self) -> float | None:
        """The KV cache's use, mean or peak."""
        return value_of(getattr(self.metrics, self.usage_name))

    @cached_property
    def next_prompt_share(self) -> float:
        """Share of the KV cache that one more prompt takes: vLLM admits a request only if all of its prompt fits.

        What the prefix cache holds of it takes nothing. 0 where lengths or the cache's size are not known.
        """
        prompt, tokens = value_of(self.metrics.prompt_tokens_mean), value_of(self.metrics.kv_cache_tokens)
        if prompt is None or tokens is None or tokens <= 0:
            return 0.0
        computed = prompt * (1 - min(1.0, value_of(self.metrics.prefix_cache_hit_share) or 0.0))
        return min(1.0, computed / (tokens / self.ranks))

    @property
    def step_budget(self) -> int | None:
        """max_num_batched_tokens."""
        budget = self.config.integer("max_num_batched_tokens")
        return None if budget is None or budget < 1 else budget

    @cached_property
    def step_tokens(self) -> float | None:
        """Mean of the tokens that a step computed.

        A prompt that takes several steps counts whole in its last one, and steps that give no token do not count: with
        long prompts and few of them running, it may pass max_num_batched_tokens.
        """
        tokens = value_of(self.metrics.tokens_per_step)
        return None if tokens is None else tokens * self.computed_share

    @property
    def step_share(self) -> float | None:
        """Mean of the tokens that a step computed over max_num_batched_tokens."""
        tokens, budget = self.step_tokens, self.step_budget
        return None if tokens is None or budget is None else tokens / budget

    @property
    def computed_share(self) -> float:
        """Share of a step's counted tokens that was surely computed."""
        version = version_number(self.config.version)
        hits = value_of(self.metrics.prefix_cache_hit_share) or 0.0
        if self.config.engine is not Engine.VLLM or (version is not None and version >= _COUNTS_COMPUTED_TOKENS):
            return 1.0
        prompts = value_of(self.metrics.prompt_tokens_per_second) or 0.0
        generated = value_of(self.metrics.generation_tokens_per_second) or 0.0
        return 1 - min(1.0, hits) * (prompts / (prompts + generated) if prompts + generated > 0 else 1.0)
