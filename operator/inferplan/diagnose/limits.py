"""The three limits that make requests wait: the KV cache, the scheduler's cap, the tokens of a step. Pure.

Each is reached (True), not reached (False), or cannot be told (None). vLLM's scheduler admits a waiting request unless
one of the three stops it, so a queue has at least one of them as its cause.
"""

from collections.abc import Callable
from dataclasses import dataclass

from inferplan.api.analysis import Bottleneck, Severity
from inferplan.diagnose.finding import Cause, Shown, derived, finding
from inferplan.diagnose.flags import setting_name
from inferplan.diagnose.signals import Signals
from inferplan.domain.measurement import Measured, value_of

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
    return None if signals.usage is None else _fills(signals, signals.usage)


def _fills(signals: Signals, usage: float) -> bool:
    """Whether one more prompt would not fit."""
    return usage + signals.next_prompt_share >= KV_FULL_SHARE


def preempted_share(signals: Signals) -> float:
    """Preemptions per finished request; 0 where not both were measured."""
    rate = value_of(signals.metrics.requests_per_second)
    return signals.preemptions / rate if signals.preemptions is not None and rate else 0.0


def ever_full(signals: Signals) -> bool:
    """Whether the KV cache was full at some moment."""
    peak = value_of(signals.metrics.kv_cache_usage)
    return (signals.preemptions or 0.0) > 0 or (peak is not None and _fills(signals, peak))


def _at_cap(signals: Signals) -> bool | None:
    """By the gauge's mean; or it touched the cap and, by Little's law, as many ran all the time."""
    cap, running = signals.cap, signals.running
    if cap is None or running is None:
        return None
    return running >= AT_CAP_SHARE * cap or _at_cap_by_time(signals, cap)


def _at_cap_by_time(signals: Signals, cap: int) -> bool:
    return _touches_cap(signals, cap) and (signals.ran or 0.0) >= AT_CAP_BY_TIME * cap


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
    prompt, budget = value_of(signals.metrics.prompt_tokens_mean), signals.step_budget
    chunked = signals.config.flag("enable_chunked_prefill") is not False
    return not chunked and prompt is not None and budget is not None and share + prompt / budget >= 1


def _steps_full_at_times(signals: Signals) -> bool:
    """Half full on average: full while prompts are there."""
    return signals.step_share is not None and signals.step_share >= STEP_HALF_SHARE


def waits(signals: Signals) -> bool:
    """Whether there is a queue, by the gauge or by the time that requests waited."""
    return max(signals.waiting or 0.0, signals.waited or 0.0) >= QUEUE_MIN


def queue_text(signals: Signals, noun: str = "") -> str:
    """How many wait: "12 wait", "12 requests wait"; by the time that they waited where the gauge missed the queue."""
    gauge, waited = signals.waiting or 0.0, signals.waited or 0.0
    if gauge >= QUEUE_MIN or waited < QUEUE_MIN:
        return f"{count(gauge)}{noun} wait"
    return f"{count(waited)}{noun} wait by the time that they spend so ({count(gauge)} by the gauge)"


def count(requests: float) -> str:
    """A mean of requests for people: 30.4, 32."""
    return f"{requests:,.1f}".removesuffix(".0")


def _kv_bottleneck(signals: Signals) -> Bottleneck:
    metrics, usage = signals.metrics, signals.metrics.kv_cache_usage
    rate = f", {signals.preemptions:.2g} preemptions per second" if signals.preemptions is not None else ""
    share = f"{usage.value:.0%} of its blocks at most" if isinstance(usage, Measured) else "its use is not measured"
    prompt = signals.next_prompt_share
    room = f"; one more prompt takes {prompt:.0%}" if prompt >= 1 - KV_FULL_SHARE else ""
    keys = ("kv_cache_dtype", "gpu_memory_utilization")
    fp8, memory = (setting_name(signals.config, key) for key in keys)
    shown = _kv_shown(signals)
    lacks = "Requests are preempted for lack of KV cache" if "preemptions" in shown.metric else "The KV cache is full"
    return finding(
        Cause.KV_BOUND,
        Severity.HIGH,
        f"{lacks} ({share}{room}{rate}); {'requests wait' if waits(signals) else 'requests that ran are thrown out'}.",
        shown,
        also=metrics.named("kv_cache_usage", "kv_cache_usage_mean", "preemptions_per_second", signals.waiting_name),
        recommendation=(
            f"Make room in the KV cache: a smaller number format ({fp8}), more of the GPU's memory ({memory}) or"
            " quantized weights; else add replicas. More requests at once would only be preempted."
        ),
    )


def _kv_shown(signals: Signals) -> Shown:
    """Use and the next prompt, on average or at the peak, where these fill the cache; else preemptions."""
    usage, preempted = signals.metrics.kv_cache_usage, signals.metrics.preemptions_per_second
    by_use = signals.usage is not None and _fills(signals, signals.usage)
    if not by_use and preempted_share(signals) >= PREEMPTED_SHARE and isinstance(preempted, Measured):
        source = f"{preempted.source} / requests_per_second"
        each = derived(preempted, preempted_share(signals), source, "preemptions/request")
        return Shown("preemptions_per_request", each, PREEMPTED_SHARE)
    if by_use:
        return _with_next_prompt(signals, signals.usage_name)
    if isinstance(usage, Measured) and _fills(signals, usage.value):
        return _with_next_prompt(signals, "kv_cache_usage")
    return Shown("preemptions_per_second", preempted)


def _with_next_prompt(signals: Signals, name: str) -> Shown:
    usage, prompt = getattr(signals.metrics, name), signals.next_prompt_share
    if prompt == 0:
        return Shown(name, usage, KV_FULL_SHARE)
    source = f"{usage.source} + prompt_tokens_mean / kv_cache_tokens"
    return Shown(f"{name}_with_next_prompt", derived(usage, usage.value + prompt, source), KV_FULL_SHARE)


def _cap_bottleneck(signals: Signals) -> Bottleneck:
    shown, run = _cap_shown(signals, signals.cap or 0)
    return finding(
        Cause.SCHEDULER_CAPPED,
        Severity.HIGH,
        f"{run}, of {signals.cap} that may, while {queue_text(signals)}.",
        shown,
        also=signals.metrics.named(
            "num_requests_running", "num_requests_running_peak", signals.waiting_name, "kv_cache_usage"
        ),
        recommendation=(
            f"Raise {setting_name(signals.config, 'max_batch_size')} as far as KV cache and latency targets bear."
        ),
    )


def _cap_shown(signals: Signals, cap: int) -> tuple[Shown, str]:
    """The number that reached the cap, and the same in words: the gauge's mean, what ran by time, or the peak."""
    metrics, running, ran = signals.metrics, signals.running or 0.0, signals.ran
    if running >= AT_CAP_SHARE * cap:
        return Shown("num_requests_running", metrics.num_requests_running, AT_CAP_SHARE * cap), (
            f"{count(running)} requests run"
        )
    rate = metrics.requests_per_second
    if _at_cap_by_time(signals, cap) and ran is not None and isinstance(rate, Measured):
        source = f"{rate.source} x (e2e_mean_milliseconds - queue_time_mean_milliseconds)"
        by_time = derived(rate, ran, source, "requests")
        return Shown("num_requests_running_by_time", by_time, AT_CAP_BY_TIME * cap), (
            f"{count(ran)} requests run by the time that they spend ({count(running)} by the gauge)"
        )
    return Shown("num_requests_running_peak", metrics.num_requests_running_peak, AT_CAP_SHARE * cap), (
        f"{count(signals.running_peak or 0.0)} requests run at times ({count(running)} on average)"
    )


def _step_bottleneck(signals: Signals) -> Bottleneck:
    metrics, budget, share = signals.metrics, signals.step_budget or 0, signals.step_share or 0.0
    full = "are full of prompts" if share >= STEP_FULL_SHARE else "are full of prompts at times"
    running = count(signals.running or 0.0)
    who = f"while {queue_text(signals)} and {running} run"
    if not waits(signals):
        who = f"and each token of the {running} requests that run waits for such a step"
    return finding(
        Cause.PREFILL_BOUND,
        Severity.HIGH,
        f"Steps {full} ({share:.0%} of {budget} tokens on average), {who}.",
        _step_shown(signals, budget * (STEP_FULL_SHARE if share >= STEP_FULL_SHARE else STEP_HALF_SHARE)),
        also=metrics.named(
            "tokens_per_step_p95",
            "prefill_time_mean_milliseconds",
            "queue_time_mean_milliseconds",
            "itl_mean_milliseconds",
            "itl_p99_milliseconds",
            "kv_cache_usage",
        ),
        recommendation=(
            f"Prompts take all of the computing: add replicas, share prefixes, or {_other_budget(signals)}."
        ),
    )


def _other_budget(signals: Signals) -> str:
    name = setting_name(signals.config, "max_num_batched_tokens")
    if waits(signals):
        return f"raise {name} where inter-token latency has room for longer steps"
    return f"lower {name} where the time to the first token has room, for shorter steps"


def _step_shown(signals: Signals, threshold: float) -> Shown:
    """The mean step, less what the prefix cache gave where the release counts that too."""
    tokens = signals.metrics.tokens_per_step
    if signals.computed_share == 1 or not isinstance(tokens, Measured):
        return Shown("tokens_per_step", tokens, threshold)
    source = f"{tokens.source}, less what the prefix cache gave"
    return Shown("computed_tokens_per_step", derived(tokens, signals.step_tokens or 0.0, source), threshold)


KV_CACHE = Limit(Cause.KV_BOUND, kv_cache_full, ever_full, _kv_bottleneck)
CAP = Limit(Cause.SCHEDULER_CAPPED, _at_cap, _at_cap_at_times, _cap_bottleneck)
STEPS = Limit(Cause.PREFILL_BOUND, _steps_full, _steps_full_at_times, _step_bottleneck)

LIMITS = (KV_CACHE, CAP, STEPS)
"""In the order in which findings of equal severity are listed."""
