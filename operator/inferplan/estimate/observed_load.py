"""The load that a running replica was seen under, as the step model takes it. Pure."""

from dataclasses import dataclass, replace
from math import sqrt

from inferplan.api.instance import WorkloadSpec
from inferplan.api.reasons import Reason
from inferplan.api.values import Source
from inferplan.domain.measurement import Missing, value_of
from inferplan.domain.observation import Metrics, Observation
from inferplan.estimate.load import Load

_VARIATION_MAX = 2.0
"""A standard deviation of twice the mean is more than any public trace of answer lengths has; what a cache holds
beyond is not explained by lengths."""

_FACTOR_MAX = 50.0
"""What a running request may hold more, or less, than its lengths say; beyond, the metrics are of something else."""

_LEAST = 0.05
"""Below this many requests in flight, on average, nearly all of the window is idle."""


@dataclass(frozen=True)
class Seen:
    """A load on one replica, and what says so.

    Attributes:
        load: The load.
        source: measuredHere; roofline where lengths are the owner's word, ruleOfThumb where all of it is.
        basis: In a sentence, for people.
        share_declared: The share of prompts that repeat is the owner's word: what a cache finds of it is between
            nothing and all.
    """

    load: Load
    source: Source
    basis: str
    share_declared: bool = False


def load_seen(observation: Observation, *, queued: bool) -> Seen | Missing:
    """The measured load, else the declared one; why neither where something is missing.

    With a queue, the requests in flight stay as many as they are: each that ends makes room for one that waits, and
    how many more would come is not known. Without one, requests come as fast as they were seen to.

    Args:
        observation: What was seen.
        queued: Whether requests wait because something is full.
    """
    metrics, declared = observation.metrics, observation.declared
    lengths = _lengths(metrics)
    if isinstance(lengths, Missing):
        found = declared_load(observation)
        return lengths if isinstance(found, Missing) else _of_declared_lengths(metrics, found, queued=queued)
    share = hit_share(observation)
    stated = declared.prefix_share if share is None and declared is not None else None
    taken = share or stated or 0.0
    made = _closed(metrics, lengths, taken) if queued else _open(metrics, lengths, taken)
    if isinstance(made, Missing):
        return made
    told = f"{made.basis}, {stated:.0%} of the prompts repeated as spec.workload declares" if stated else made.basis
    return replace(made, load=_as_held(made.load, observation), basis=told, share_declared=bool(stated))


def _lengths(metrics: Metrics) -> tuple[float, float] | Missing:
    prompt, answer = metrics.prompt_tokens_mean, metrics.generation_tokens_mean
    missing = next((value for value in (prompt, answer) if isinstance(value, Missing)), None)
    if missing is not None:
        return Missing(missing.code, f"the lengths of requests are needed: {missing.reason}")
    found = value_of(prompt), value_of(answer)
    if not all(length is not None and length >= 1 for length in found):
        return Missing(Reason.METRICS_MISSING, "no request of a token or more finished in the window")
    return found[0] or 0.0, found[1] or 0.0


def _closed(metrics: Metrics, lengths: tuple[float, float], share: float) -> Seen | Missing:
    running, waiting = value_of(metrics.num_requests_running), value_of(metrics.num_requests_waiting)
    if running is None or running < _LEAST:
        return Missing(Reason.METRICS_MISSING, "the number of running requests is needed, and was not measured")
    held = running + (waiting or 0.0)
    basis = f"{held:.1f} requests in flight (if more come only as fast as today, they wait less instead)"
    return _seen(held, None, (lengths, share), basis)


def _open(metrics: Metrics, lengths: tuple[float, float], share: float) -> Seen | Missing:
    rate = value_of(metrics.requests_per_second)
    if rate is None or rate <= 0:
        return Missing(Reason.METRICS_MISSING, "the rate of requests is needed, and was not measured")
    return _seen(None, rate, (lengths, share), f"{rate:.3g} requests per second, as they were seen to come")


def hit_share(observation: Observation) -> float | None:
    """Share of the prompts' tokens that the prefix cache finds, 0 to 1; None where it is off, or was not measured."""
    found = value_of(observation.metrics.prefix_cache_hit_share)
    cached = observation.config.flag("enable_prefix_caching") is True
    return min(1.0, max(0.0, found)) if cached and found is not None else None


def _of_declared_lengths(metrics: Metrics, stated: Seen, *, queued: bool) -> Seen:
    """As many requests as were measured, as long as the owner says; all of it the owner's word where none were."""
    load = stated.load
    lengths = load.input_tokens, load.output_tokens
    counted = (_closed if queued else _open)(metrics, lengths, load.prefix_share)
    if isinstance(counted, Missing):
        return stated
    told = f"{counted.basis}, lengths declared in spec.workload"
    return Seen(counted.load, Source.ROOFLINE, told, share_declared=stated.share_declared)


def _seen(
    concurrency: float | None, rate: float | None, lengths: tuple[tuple[float, float], float], basis: str
) -> Seen | Missing:
    (prompt, answer), share = lengths
    try:
        load = Load(concurrency, rate, prompt, answer, share)
    except ValueError as error:
        return Missing(Reason.METRICS_CONTRADICTORY, f"the measured load cannot be: {error}")
    return Seen(load, Source.MEASURED_HERE, f"{basis}, {prompt:.0f} tokens in, {answer:.0f} out")


def _as_held(load: Load, observation: Observation) -> Load:
    """The load whose running requests hold as much of the cache as was measured.

    A request holds prompt + output (1 + v^2) / 2 tokens on average, v being the relative spread of output lengths:
    1,000 in, 500 out, 1,375 held: v^2 = 2 x 375 / 500 - 1 = 0.5. What lengths cannot explain, several answers to one
    prompt say, is carried over as a factor. Where prefixes are not cached today, each was held in full when it was
    measured, whatever the owner says that they share.
    """
    metrics = observation.metrics
    usage, tokens = value_of(metrics.kv_cache_usage_mean), value_of(metrics.kv_cache_tokens)
    running = value_of(metrics.num_requests_running)
    if usage is None or tokens is None or running is None or running < 1:
        return load
    today = load.without_prefixes() if observation.config.flag("enable_prefix_caching") is False else load
    held = usage * tokens / running
    own = held - today.input_tokens * (1.0 - today.prefix_share)
    squared = 2.0 * own / today.output_tokens - 1.0
    varied = replace(today, output_variation=min(_VARIATION_MAX, sqrt(max(0.0, squared))))
    factor = min(_FACTOR_MAX, max(1.0 / _FACTOR_MAX, held / varied.held_tokens))
    return replace(load, output_variation=varied.output_variation, held_factor=factor)


def declared_load(observation: Observation) -> Seen | Missing:
    """What the owner says of the traffic; what spec.workload lacks where it says too little.

    Requests in flight are those of one replica; a rate is shared by all of them.
    """
    stated = observation.declared or WorkloadSpec()
    prompt, answer, rate = stated.input_tokens, stated.output_tokens, stated.requests_per_second
    if prompt is None or answer is None or not (stated.concurrency or rate):
        return Missing(Reason.LOAD_UNKNOWN, f"spec.workload lacks {_lacking(stated)}")
    share = stated.prefix_share or 0.0
    each = None if stated.concurrency else (rate or 0.0) / (observation.replicas or 1)
    try:
        load = Load(stated.concurrency, each, prompt, answer, share)
    except ValueError as error:  # a rate of 5e-324 shared by two replicas is 0
        return Missing(Reason.LOAD_UNKNOWN, f"spec.workload: {error}")
    comes = f"{stated.concurrency:,} requests in flight" if each is None else f"{each:.3g} requests per second"
    repeats = f", {share:.0%} of the prompts repeated" if share else ""
    told = f"{comes}, {prompt:,} tokens in, {answer:,} out{repeats}, declared in spec.workload"
    return Seen(load, Source.RULE_OF_THUMB, told, share_declared=bool(share))


def _lacking(stated: WorkloadSpec) -> str:
    parts = {
        "concurrency or requestsPerSecond": stated.concurrency or stated.requests_per_second,
        "inputTokens": stated.input_tokens,
        "outputTokens": stated.output_tokens,
    }
    return ", ".join(name for name, value in parts.items() if not value)
