"""Readings to measurements: the one place where replicas are taken together, whatever the source. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from inferplan.api.instance import SLO
from inferplan.api.reasons import Reason
from inferplan.diagnose.slo import slo_name
from inferplan.domain.measurement import Measurement, Missing
from inferplan.domain.observation import METRIC_FIELDS, Metrics, ReplicaMetrics
from inferplan.domain.readings import Readings, ReplicaReadings
from inferplan.observe.arrivals import arrivals
from inferplan.observe.derived import whole
from inferplan.observe.look import Look
from inferplan.observe.look_values import MILLISECONDS, PLAIN_TOKENS, Unit, longest
from inferplan.observe.metric_names import MetricNames
from inferplan.observe.shares import acceptance, failed_share, prefix_hits
from inferplan.observe.spread import replica_metrics

STALE_SECONDS = 150
"""Twice Prometheus' default scrape interval of a minute, and half of one for delays."""

FUTURE_SECONDS = 60
"""Clocks of a cluster agree to seconds; a sample that is younger than now by more comes from a wrong one."""

HISTORY_MIN_SECONDS = 45
"""Means and rates over less than a minute say more about chance than about load. Prometheus sees a full window of a
minute, the shortest that a spec can ask for, as 45 to 60 s: from its first sample to its last."""


@dataclass(frozen=True)
class Measurements:
    """What one look gave.

    Attributes:
        metrics: The values, each measured or missing.
        problem: Why there are none; None when there are.
        replicas: Replicas that they are taken over.
        replica_metrics: Those replicas side by side.
        notes: What a reader of the numbers should know, each a sentence.
    """

    metrics: Metrics
    problem: Missing | None
    replicas: int | None = None
    replica_metrics: tuple[ReplicaMetrics, ...] = ()
    notes: tuple[str, ...] = ()


def nothing(problem: Missing, slos: Iterable[SLO], notes: tuple[str, ...] = ()) -> Measurements:
    """No value at all, for one reason."""
    by_target = tuple((slo_name(slo), problem) for slo in slos)
    fields: dict[str, Any] = dict.fromkeys(METRIC_FIELDS, problem)
    return Measurements(Metrics(**fields, slo_milliseconds=by_target, slo_missed_share=by_target), problem, notes=notes)


def reduce(
    readings: Readings,
    names: MetricNames,
    slos: tuple[SLO, ...],
    *,
    history_min_seconds: float = HISTORY_MIN_SECONDS,
) -> Measurements:
    """Values over replicas, if the series are there, fresh and long enough.

    Args:
        readings: What was read of each replica. Replicas whose newest sample is stale are left out, and noted.
        names: Series of the engine's version, to tell what it does not expose from what did not come.
        slos: Targets to measure.
        history_min_seconds: Shorter times that counters cover give no measurement at all.
    """
    readings = whole(readings)
    fresh = tuple(replica for replica in readings.replicas if _age_problem(replica) is None)
    notes = (*readings.notes, *_left_out(readings, fresh))
    problem = _problem(readings, names, fresh, history_min_seconds)
    if problem is not None:
        return nothing(problem, slos, notes)
    look = Look(readings, names, fresh)
    return Measurements(_metrics(look, slos), None, len(fresh), tuple(map(replica_metrics, fresh)), notes)


def _problem(
    readings: Readings, names: MetricNames, fresh: tuple[ReplicaReadings, ...], history_min_seconds: float
) -> Missing | None:
    """No series at all, none that is fresh, or none over a time that says something."""
    seen = [replica for replica in readings.replicas if _has_series(replica)]
    if not seen:
        return Missing(Reason.METRICS_MISSING, f"no series of {names.running}")
    if not fresh:
        youngest = min(seen, key=lambda replica: replica.age_seconds)
        return Missing(Reason.METRICS_STALE, _age_problem(youngest) or "")
    seconds = longest(fresh)
    if seconds is None or seconds >= history_min_seconds:
        return None
    return Missing(
        Reason.METRICS_MISSING, f"only {int(seconds)} s of data, at least {history_min_seconds:g} s are needed"
    )


def _has_series(replica: ReplicaReadings) -> bool:
    return bool(replica.gauges or replica.rates or replica.splits or replica.histograms)


def _age_problem(replica: ReplicaReadings) -> str | None:
    """Why a replica's samples do not tell how it is now."""
    age = replica.age_seconds
    if age < -FUTURE_SECONDS:
        return f"the newest sample lies {min(-age, 1e15):.0f} s in the future: a clock is wrong"
    return None if age <= STALE_SECONDS else f"the newest sample is older than {STALE_SECONDS} s"  # NaN is older


def _left_out(readings: Readings, fresh: tuple[ReplicaReadings, ...]) -> tuple[str, ...]:
    if not fresh:
        return ()
    problems = ((replica.name, _age_problem(replica)) for replica in readings.replicas)
    return tuple(f"replica {name} is left out: {problem}" for name, problem in problems if problem is not None)


_REQUESTS = "requests"
_RATE = "requests/s"


def _metrics(look: Look, slos: tuple[SLO, ...]) -> Metrics:
    values: dict[str, Any] = _load(look) | _cache(look) | _work(look) | _latencies(look)
    return Metrics(
        **values,
        slo_milliseconds=tuple(
            (slo_name(slo), look.percentile(slo.metric.value, slo.percentile, MILLISECONDS)) for slo in slos
        ),
        slo_missed_share=tuple(
            (slo_name(slo), look.share_above(slo.metric.value, slo.target_milliseconds, MILLISECONDS)) for slo in slos
        ),
    )


def _load(look: Look) -> dict[str, Measurement]:
    return {
        "num_requests_running": look.gauge_mean("running", _REQUESTS),
        "num_requests_running_peak": look.gauge_peak("running", _REQUESTS),
        "num_requests_waiting": look.gauge_mean("waiting", _REQUESTS),
        "num_requests_waiting_peak": look.gauge_peak("waiting", _REQUESTS),
        "waiting_for_capacity": look.part_mean("waiting_by_reason", "capacity", _REQUESTS),
        "requests_per_second": look.rate("requests", _RATE),
        "arrivals_per_second": arrivals(look, _RATE),
        "rejected_requests_per_second": look.rate("rejected", _RATE),
        "failed_requests_share": failed_share(look),
        "data_parallel_ranks": look.data_parallel_ranks(),
        "uptime_seconds": look.uptime(),
        "restarts": look.restarts(),
        "gpu_memory_busy_share": look.gpu_share("gpu_memory_busy"),
        "gpu_tensor_busy_share": look.gpu_share("gpu_tensor_busy"),
    }


def _cache(look: Look) -> dict[str, Measurement]:
    return {
        "kv_cache_usage": look.gauge_peak("kv_usage", "share"),
        "kv_cache_usage_mean": look.gauge_mean("kv_usage", "share"),
        "kv_cache_usage_p99": look.gauge_p99("kv_usage", "share"),
        "preemptions_per_second": look.rate("preemptions", "preemptions/s"),
        "kv_cache_tokens": look.kv_cache_tokens(),
        "prefix_cache_hit_share": prefix_hits(look),
    }


def _work(look: Look) -> dict[str, Measurement]:
    return {
        "prompt_tokens_per_second": look.rate("prefill_tokens", "tokens/s"),
        "generation_tokens_per_second": look.rate("decode_tokens", "tokens/s"),
        "speculation_accepted_share": acceptance(look),
        "tokens_per_step": look.mean("step_tokens", PLAIN_TOKENS),
        "tokens_per_step_p95": look.percentile("step_tokens", 95, PLAIN_TOKENS),
        **_distribution(look, "prompt_tokens", "prompt_tokens_{}", PLAIN_TOKENS, (50, 95, 99)),
        **_distribution(look, "generation_tokens", "generation_tokens_{}", PLAIN_TOKENS, (50, 95, 99)),
        "prompt_tokens_max": look.percentile("prompt_tokens", 100, PLAIN_TOKENS),
        "generation_tokens_max": look.percentile("generation_tokens", 100, PLAIN_TOKENS),
    }


def _latencies(look: Look) -> dict[str, Measurement]:
    return {
        **_distribution(look, "queue_time", "queue_time_{}_milliseconds", MILLISECONDS),
        **_distribution(look, "prefill_time", "prefill_time_{}_milliseconds", MILLISECONDS),
        **_distribution(look, "ttft", "ttft_{}_milliseconds", MILLISECONDS, (50, 95, 99)),
        **_distribution(look, "itl", "itl_{}_milliseconds", MILLISECONDS, (50, 95, 99)),
        **_distribution(look, "e2e", "e2e_{}_milliseconds", MILLISECONDS),
    }


def _distribution(
    look: Look, key: str, field: str, unit: Unit, percentiles: tuple[int, ...] = ()
) -> dict[str, Measurement]:
    """Mean and percentiles of a histogram, by field of Metrics."""
    mean = {field.format("mean"): look.mean(key, unit)}
    return mean | {field.format(f"p{percent}"): look.percentile(key, percent, unit) for percent in percentiles}
