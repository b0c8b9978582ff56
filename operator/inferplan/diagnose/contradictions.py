"""Numbers that cannot be true, or not together. Pure."""

from collections.abc import Iterator
from itertools import pairwise

from inferplan.diagnose.limits import QUEUE_MIN
from inferplan.diagnose.signals import Signals
from inferplan.domain.measurement import Measured, value_of

OVER_CAP = 1.05
"""More running requests than this many times the cap cannot be: something else runs than what was read."""

OVER_PEAK = 1.05
"""A mean this many times its peak, or a part this many times the whole, is none: queries of one cycle see windows that
differ by a sample."""

OVER_STEP = 2.0
"""A mean step of more than this many times max_num_batched_tokens and a mean prompt together cannot be: only what is
counted of a prompt in its last step passes the budget, and that is no more than the prompt."""

_SHARES = ("kv_cache_usage", "kv_cache_usage_mean", "kv_cache_usage_p99")
_COUNTS = ("num_requests_running", "num_requests_waiting", "preemptions_per_second")
_PEAKS = (
    ("num_requests_running", "num_requests_running_peak"),
    ("num_requests_waiting", "num_requests_waiting_peak"),
    ("kv_cache_usage_mean", "kv_cache_usage"),
    ("kv_cache_usage_p99", "kv_cache_usage"),
)
_PERCENTILES = tuple(
    tuple(f"{metric}_p{percent}{unit}" for percent in (50, 95, 99))
    for metric, unit in (
        ("ttft", "_milliseconds"),
        ("itl", "_milliseconds"),
        ("prompt_tokens", ""),
        ("generation_tokens", ""),
    )
)


def contradictions(signals: Signals) -> Iterator[str]:
    """Each of them in words."""
    yield from _out_of_range(signals)
    yield from _out_of_order(signals)
    yield from _against_the_configuration(signals)
    many_samples = isinstance(signals.metrics.kv_cache_usage_p99, Measured)  # two pages may both miss a light load
    if signals.running == 0 and not signals.running_peak and (signals.ran or 0) >= 1 and many_samples:
        yield f"no request runs, by the gauge, and {signals.ran:.1f} ran at once by the time that requests spent"


def _out_of_range(signals: Signals) -> Iterator[str]:
    for name in _SHARES:
        share = value_of(getattr(signals.metrics, name))
        if share is not None and not 0 <= share <= 1:
            yield f"the KV cache's use ({name}) is {share:g}, which is no share"
    for name in _COUNTS:
        number = value_of(getattr(signals.metrics, name))
        if number is not None and number < 0:
            yield f"{name} is {number:g}, below nothing"


def _out_of_order(signals: Signals) -> Iterator[str]:
    """A mean above its peak, a higher percentile below a lower one, a part above the whole."""
    metrics = signals.metrics
    for name, of in _PEAKS:
        lower, peak = value_of(getattr(metrics, name)), value_of(getattr(metrics, of))
        if lower is not None and peak is not None and lower > OVER_PEAK * peak:
            yield f"{name} is {lower:g}, and the highest sample ({of}) is {peak:g}"
    for names in _PERCENTILES:
        known = [(name, value) for name in names if (value := value_of(getattr(metrics, name))) is not None]
        for (name, value), (above, higher) in pairwise(known):
            if higher < value:
                yield f"{above} is {higher:g}, below {name}, which is {value:g}"
    part, whole = value_of(metrics.waiting_for_capacity), value_of(metrics.num_requests_waiting)
    if part is not None and whole is not None and part > OVER_PEAK * whole + QUEUE_MIN:
        yield f"{part:g} requests wait for room (waiting_for_capacity), and {whole:g} wait in all"


def _against_the_configuration(signals: Signals) -> Iterator[str]:
    """More than what was read allows."""
    running, cap, tokens, budget = signals.running, signals.cap, signals.step_tokens, signals.step_budget
    if running is not None and cap is not None and running > OVER_CAP * cap:
        yield f"{running:.0f} requests run, and the configuration that was read allows {cap}: something else runs"
    prompt = value_of(signals.metrics.prompt_tokens_mean) or 0.0
    if tokens is not None and budget is not None and tokens > OVER_STEP * (budget + prompt):
        yield (
            f"a step holds {tokens:.0f} tokens on average, and the configuration that was read allows {budget}:"
            " something else runs"
        )
