"""The three limits that make requests wait: the KV cache, the scheduler's cap, the tokens of a step. Pure.

Each is reached (True), not reached (False), or cannot be told (None). vLLM's scheduler admits a waiting request unless
one of the three stops it, so a queue has at least one of them as its cause.
"""

from collections.abc import Callable
from dataclasses import dataclass

from inferplan.api.analysis import Bottleneck, Severity
from inferplan.diagnose.finding import Cause, Shown, finding
from inferplan.diagnose.flags import setting_name
from inferplan.diagnose.signals import Signals, value_of
from inferplan.domain.measurement import Measured

KV_FULL_SHARE = 0.95
"""From this share of KV blocks on, with what one more prompt takes, the cache counts as full: vLLM admits until a
prompt does not fit, so a cache that limits shows 1.0 less the next request's rounding."""

PREEMPTED_SHARE = 0.05
"""Preemptions per finished request from which on they show a full cache, whatever its gauge reads: vLLM preempts only
when no block is left. Below, the cache was full for moments."""

AT_CAP_SHARE = 0.95
"""From this share of max_num_seqs on, on average over the window, the scheduler's cap counts as reached."""

AT_CAP_BY_TIME = 0.9
"""The same by Little's law, for a gauge that touched the cap: requests at the window's edges count in part."""

STEP_FULL_SHARE = 0.8
"""From this share of max_num_batched_tokens on, on average, steps count as full. Real scrapes of prefill-bound servers
show 0.99 and more, others below 0.1; the step that ends a prompt is not always filled up by the next."""

STEP_HALF_SHARE = 0.5
"""Below this share, steps surely do not limit; and without chunked prefill, from it on, they do if the next prompt
would not fit."""

QUEUE_MIN = 1.0
"""Waiting requests, on average over the window, from which on there is a queue."""


@dataclass(frozen=True)
class Limit:
    """One limit: whether it is reached, and what shows that.

    Attributes:
        cause: What the instance then is.
        reached: Whether it limits, on average over the window; None where that cannot be told.
        at_times: Whether it was reached at some moment.
        describe: The finding.
    """

    cause: Cause
    reached: Callable[[Signals], bool | None]
    at_times: Callable[[Signals], bool]
    describe: Callable[[Signals], Bottleneck]


def kv_cache_full(signals: Signals) -> bool | None:
    """Whether one more prompt would not fit into the KV cache, or requests are preempted all the time."""
    if preempted_share(signals) >= PREEMPTED_SHARE:
        return True
    usage = value_of(signals.usage)
    return None if usage is None else usage + signals.next_prompt_share >= KV_FULL_SHARE


def preempted_share(signals: Signals) -> float:
    """Preemptions per finished request; 0 where not both were measured."""
    rate = value_of(signals.metrics.requests_per_second)
    return signals.preemptions / rate if signals.preemptions is not None and rate else 0.0


def _kv_full_at_times(signals: Signals) -> bool:
    peak = value_of(signals.metrics.kv_cache_usage)
    return (signals.preemptions or 0.0) > 0 or (peak is not None and peak + signals.next_prompt_share >= KV_FULL_SHARE)


def _at_cap(signals: Signals) -> bool | None:
    """By the gauge's mean; or it touched the cap and, by Little's law, as many ran all the time."""
    cap, running = signals.cap, signals.running
    if cap is None or running is None:
        return None
    by_time = _touches_cap(signals, cap) and (signals.ran or 0.0) >= AT_CAP_BY_TIME * cap
    return running >= AT_CAP_SHARE * cap or by_time


def _touches_cap(signals: Signals, cap: int) -> bool:
    """The gauge is taken at a step's end: one request at least may be gone, and its successor not yet there."""
    return max(signals.running or 0.0, signals.running_peak or 0.0) >= min(AT_CAP_SHARE * cap, cap - 1)


def _at_cap_at_times(signals: Signals) -> bool:
    peak, cap = signals.running_peak, signals.cap
    return cap is not None and peak is not None and peak >= AT_CAP_SHARE * cap


def _steps_full(signals: Signals) -> bool | None:
    share = signals.step_share
    if share is None:
        return None
    return share >= STEP_FULL_SHARE or (share >= STEP_HALF_SHARE and _next_prompt_waits_for_a_step(signals, share))


def _next_prompt_waits_for_a_step(signals: Signals, share: float) -> bool:
    """Without chunked prefill a prompt that does not fit into what is left of a step waits for another."""
    prompt, budget = (
        value_of(signals.metrics.prompt_tokens_mean),
        signals.config.integer("max_num_batched_tokens"),
    )
    chunked = signals.config.flag("enable_chunked_prefill") is not False
    return not chunked and prompt is not None and budget is not None and share + prompt / budget >= 1


def _steps_full_at_times(signals: Signals) -> bool:
    """Half full on average: full while prompts are there."""
    return signals.step_share is not None and signals.step_share >= STEP_HALF_SHARE


def _kv_bottleneck(signals: Signals) -> Bottleneck:
    metrics, usage = signals.metrics, signals.metrics.kv_cache_usage
    rate = f", {signals.preemptions:.2g} preemptions per second" if signals.preemptions is not None else ""
    share = f"{usage.value:.0%} of its blocks at most" if isinstance(usage, Measured) else "its use is not measured"
    prompt = signals.next_prompt_share
    room = f"; one more prompt takes {prompt:.0%}" if prompt >= 1 - KV_FULL_SHARE else ""
    keys = ("kv_cache_dtype", "gpu_memory_utilization")
    fp8, memory = (setting_name(signals.config, key) for key in keys)
    return finding(
        Cause.KV_BOUND,
        Severity.HIGH,
        f"The KV cache is full ({share}{room}{rate}); requests wait for it.",
        Shown("kv_cache_usage", usage, KV_FULL_SHARE),
        also=metrics.named("kv_cache_usage_mean", "preemptions_per_second", signals.waiting_name),
        recommendation=(
            f"Make room in the KV cache: a smaller number format ({fp8}), more of the GPU's memory ({memory}) or"
            " quantized weights; else add replicas. More requests at once would only be preempted."
        ),
    )


def _cap_bottleneck(signals: Signals) -> Bottleneck:
    metrics, cap, running = signals.metrics, signals.cap or 0, signals.running or 0.0
    run = f"{running:.0f} requests run"
    if running < AT_CAP_SHARE * cap:
        run = f"{signals.ran or running:.1f} requests run by the time that they spend ({running:.0f} by the gauge)"
    return finding(
        Cause.SCHEDULER_CAPPED,
        Severity.HIGH,
        f"{run}, which is the cap of {cap}, while {signals.waiting or 0:.0f} wait.",
        Shown("num_requests_running", metrics.num_requests_running, AT_CAP_SHARE * cap),
        also=metrics.named("num_requests_running_peak", signals.waiting_name, "kv_cache_usage"),
        recommendation=(
            f"Raise {setting_name(signals.config, 'max_batch_size')} as far as KV cache and latency targets bear."
        ),
    )


def _step_bottleneck(signals: Signals) -> Bottleneck:
    metrics, budget = signals.metrics, signals.config.integer("max_num_batched_tokens") or 0
    waiting = f"while {signals.waiting or 0:.0f} wait and {signals.running or 0:.0f} run"
    return finding(
        Cause.PREFILL_BOUND,
        Severity.HIGH,
        f"Steps are full of prompts ({signals.step_share or 0:.0%} of {budget} tokens on average), {waiting}.",
        Shown("tokens_per_step", metrics.tokens_per_step, STEP_FULL_SHARE * budget),
        also=metrics.named(
            "tokens_per_step_p95",
            "prefill_time_mean_milliseconds",
            "queue_time_mean_milliseconds",
            "itl_mean_milliseconds",
            "itl_p99_milliseconds",
            "kv_cache_usage",
        ),
        recommendation=(
            f"Prompts take all of the computing: add replicas, share prefixes, or raise"
            f" {setting_name(signals.config, 'max_num_batched_tokens')} where inter-token latency has room for longer"
            " steps."
        ),
    )


KV_CACHE = Limit(Cause.KV_BOUND, kv_cache_full, _kv_full_at_times, _kv_bottleneck)
CAP = Limit(Cause.SCHEDULER_CAPPED, _at_cap, _at_cap_at_times, _cap_bottleneck)
STEPS = Limit(Cause.PREFILL_BOUND, _steps_full, _steps_full_at_times, _step_bottleneck)

LIMITS = (KV_CACHE, CAP, STEPS)
"""In the order in which findings of equal severity are listed."""
