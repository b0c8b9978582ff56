"""Memory and context that nobody uses. Pure."""

from collections.abc import Iterator

from inferplan.api.analysis import Bottleneck, Counts, Severity
from inferplan.diagnose.case import Case
from inferplan.diagnose.finding import Cause, Code, Shown, finding
from inferplan.diagnose.flags import setting_name
from inferplan.domain.measurement import MEASURED_MAX, Measured, Measurement, value_of

WASTE_SHARE = 0.10
"""A KV cache that is never fuller than this would hold ten times the load."""

POOL_MIN_REQUESTS = 4
"""The cache must hold one request of max_model_len, else the engine does not start; below so many it is not large."""

CONTEXT_FACTOR = 8
"""max_model_len this many times what the longest of a hundred requests takes is far above it: even requests four
times as long would leave half."""

REQUESTS_FOR_P99 = 100
"""A 99th percentile of fewer requests is their longest, and says nothing of the next hundred."""


def memory_waste(case: Case) -> Iterator[Bottleneck]:
    """A large KV cache that stays all but empty while everything is served."""
    metrics = case.metrics
    usage, name = _highest_use(case)
    tokens, longest = value_of(metrics.kv_cache_tokens), case.config.integer("max_model_len")
    if case.diagnosis.cause is not Cause.NONE or not isinstance(usage, Measured) or tokens is None or longest is None:
        return
    if usage.value >= WASTE_SHARE or tokens < POOL_MIN_REQUESTS * longest or not case.enough_requests():
        return
    idle = tokens * (1 - usage.value)
    yield finding(
        Code.MEMORY_WASTE,
        Severity.LOW,
        f"The KV cache is never fuller than {usage.value:.1%}: {idle:,.0f} of its {tokens:,.0f} tokens lie idle.",
        Shown(name, usage, WASTE_SHARE, Counts.BELOW),
        also=metrics.named("kv_cache_tokens", "kv_cache_usage_mean"),
        recommendation=(
            "If no busier hour needs them, fewer replicas or smaller GPUs do; a lower"
            f" {setting_name(case.config, 'gpu_memory_utilization')} only pays where something else shares the GPU."
        ),
    )


def _highest_use(case: Case) -> tuple[Measurement, str]:
    p99 = case.metrics.kv_cache_usage_p99
    if isinstance(p99, Measured):
        return p99, "kv_cache_usage_p99"
    return case.metrics.kv_cache_usage, "kv_cache_usage"


def context_over_provisioned(case: Case) -> Iterator[Bottleneck]:
    """max_model_len far above what requests take; a notice, as lowering it refuses requests that would be served."""
    prompt, answer = case.metrics.prompt_tokens_p99, case.metrics.generation_tokens_p99
    longest = case.config.integer("max_model_len")
    if not isinstance(prompt, Measured) or not isinstance(answer, Measured) or longest is None:
        return
    taken = max(1.0, sum(value.value if value.high is None else value.high for value in (prompt, answer)))
    if not case.is_steady or not case.enough_requests(REQUESTS_FOR_P99) or longest < CONTEXT_FACTOR * taken:
        return
    yield finding(
        Code.CONTEXT_OVER_PROVISIONED,
        Severity.LOW,
        f"max_model_len is {longest}, and 99 of 100 requests take at most {taken:.0f} tokens, prompt and answer.",
        Shown("max_model_len", Measured(min(longest, MEASURED_MAX), "tokens", "what runs"), CONTEXT_FACTOR * taken),
        also=case.metrics.named("prompt_tokens_p99", "generation_tokens_p99"),
        recommendation=(
            f"If no client needs longer requests, a lower {setting_name(case.config, 'max_model_len')} lets the engine"
            " start with a smaller KV cache; longer requests are then refused."
        ),
    )
