"""Measurements that a request states → Metrics. Pure; knows no framework."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from inferplan.api.instance import SLO
from inferplan.api.measured_metrics import MeasuredMetrics
from inferplan.api.reasons import Reason
from inferplan.diagnose.slo import slo_name
from inferplan.domain.measurement import Measured, Measurement, Missing
from inferplan.domain.observation import METRIC_FIELDS, Metrics
from inferplan.web.problems import Problem, shown

_METRIC_MAX = 1e12  # above anything an engine counts; keeps arithmetic finite

_UNITS: Mapping[str, str] = {
    "num_requests_running": "requests",
    "num_requests_running_peak": "requests",
    "num_requests_waiting": "requests",
    "num_requests_waiting_peak": "requests",
    "waiting_for_capacity": "requests",
    "kv_cache_usage": "share",
    "kv_cache_usage_mean": "share",
    "kv_cache_usage_p99": "share",
    "preemptions_per_second": "preemptions/s",
    "kv_cache_tokens": "tokens",
    "requests_per_second": "requests/s",
    "failed_requests_share": "share",
    "rejected_requests_per_second": "requests/s",
    "prompt_tokens_per_second": "tokens/s",
    "generation_tokens_per_second": "tokens/s",
    "prompt_tokens_mean": "tokens",
    "prompt_tokens_p95": "tokens",
    "generation_tokens_mean": "tokens",
    "generation_tokens_p95": "tokens",
    "prefix_cache_hit_share": "share",
    "speculation_accepted_share": "share",
    "tokens_per_step": "tokens",
    "tokens_per_step_p95": "tokens",
    "queue_time_mean_milliseconds": "ms",
    "prefill_time_mean_milliseconds": "ms",
    "ttft_mean_milliseconds": "ms",
    "ttft_p50_milliseconds": "ms",
    "ttft_p95_milliseconds": "ms",
    "ttft_p99_milliseconds": "ms",
    "itl_mean_milliseconds": "ms",
    "itl_p50_milliseconds": "ms",
    "itl_p95_milliseconds": "ms",
    "itl_p99_milliseconds": "ms",
    "e2e_mean_milliseconds": "ms",
    "uptime_seconds": "s",
    "restarts": "restarts",
    "gpu_memory_busy_share": "share",
    "gpu_tensor_busy_share": "share",
}
_OF_THE_MOMENT = frozenset({"kv_cache_tokens", "uptime_seconds"})


def any_given(metrics: MeasuredMetrics | None) -> bool:
    """Whether the request states a single value."""
    return metrics is not None and bool(_values(metrics) or metrics.latency_percentiles)


def metric_problems(metrics: MeasuredMetrics | None) -> tuple[Problem, ...]:
    """Values that nothing real has, and percentiles that are given twice."""
    if metrics is None:
        return ()
    named = {f"metrics.{name}": value for name, value in _values(metrics).items()}
    percentiles = metrics.latency_percentiles
    named |= {
        f"metrics.latency_percentiles[{place}].milliseconds": entry.milliseconds
        for place, entry in enumerate(percentiles)
    }
    large = (
        Problem(field, f"{shown(value)} must be at most {_METRIC_MAX:g}")
        for field, value in named.items()
        if value > _METRIC_MAX
    )
    names = [f"{entry.metric} p{entry.percentile}" for entry in percentiles]
    twice = sorted({name for name in names if names.count(name) > 1})
    return (*large, *(Problem("metrics.latency_percentiles", f"{name} is given twice") for name in twice))


def stated_metrics(given: MeasuredMetrics | None, slos: tuple[SLO, ...] = ()) -> Metrics:
    """What the request states; everything else is missing with its reason."""
    values = _values(given) if given is not None else {}
    window = given.window_seconds if given is not None else None
    plain: dict[str, Any] = {
        name: _measurement(name, values.get(name), None if name in _OF_THE_MOMENT else window) for name in METRIC_FIELDS
    }
    targets = tuple((slo_name(slo), _target(slo, given, window)) for slo in slos)
    return replace(Metrics(), **plain, slo_milliseconds=targets)


def _measurement(name: str, value: float | None, window_seconds: int | None) -> Measurement:
    if value is None:
        return Missing(Reason.METRICS_MISSING, f"metrics.{name} is not in the request")
    return Measured(float(value), _UNITS[name], f"metrics.{name} of the request", window_seconds)


def _target(slo: SLO, given: MeasuredMetrics | None, window_seconds: int | None) -> Measurement:
    stated = given.latency_percentiles if given is not None else ()
    for entry in stated:
        if (entry.metric, entry.percentile) == (slo.metric, slo.percentile):
            source = f"metrics.latency_percentiles ({slo_name(slo)}) of the request"
            return Measured(entry.milliseconds, "ms", source, window_seconds)
    name = f"{slo.metric}_p{slo.percentile}_milliseconds"
    value = getattr(given, name, None)
    if value is None:
        return Missing(Reason.METRICS_MISSING, f"metrics of the request has no {slo_name(slo)}")
    return Measured(value, "ms", f"metrics.{name} of the request", window_seconds)


def _values(metrics: MeasuredMetrics) -> dict[str, int | float]:
    return {name: value for name in _UNITS if (value := getattr(metrics, name)) is not None}
