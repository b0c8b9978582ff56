"""Whether room in the KV cache is worth looking for, and what shows that. Pure."""

from dataclasses import dataclass

from inferplan.api.values import Evidence
from inferplan.diagnose.bottlenecks import Cause, Diagnosis
from inferplan.domain.measurement import value_of
from inferplan.domain.observation import Metrics, Observation
from inferplan.optimizers.base import KV_NEARLY_FULL, highest_use


@dataclass(frozen=True)
class Pressure:
    """Why more room in the cache is looked for.

    Attributes:
        full: Whether the cache limits today; else it soon would.
        seen: What was seen, a clause without a full stop.
        evidence: The numbers behind it.
    """

    full: bool
    seen: str
    evidence: tuple[Evidence, ...]


def pressure_on(observation: Observation, diagnosis: Diagnosis) -> Pressure | None:
    """What speaks for more room; None where the cache has enough of it.

    The cache limits, is nearly full at its 99th percentile, or would be if all that wait behind the scheduler's cap ran
    as well: 16 run and 48 wait at 20 %: 0.2 x 64 / 16 = 80 %.
    """
    metrics, usage = observation.metrics, highest_use(observation.metrics)
    if diagnosis.kv_cache_full:
        share = "" if usage is None else f" ({usage:.0%} of its blocks are taken)"
        return Pressure(True, f"The KV cache is full{share}, and requests wait for it or lose it", _evidence(metrics))
    if usage is None:
        return None
    if usage >= KV_NEARLY_FULL:
        return Pressure(False, f"The KV cache is nearly full: {usage:.0%} of its blocks are taken", _evidence(metrics))
    with_all = usage * _growth(metrics) if _is_capped(diagnosis) else 0.0
    if with_all < KV_NEARLY_FULL:
        return None
    seen = f"The KV cache is at {usage:.0%}, and would be at {with_all:.0%} if all that wait behind the cap ran as well"
    return Pressure(False, seen, _evidence(metrics))


def _is_capped(diagnosis: Diagnosis) -> bool:
    return any(found.type == Cause.SCHEDULER_CAPPED for found in diagnosis.bottlenecks)


def _growth(metrics: Metrics) -> float:
    """Requests in flight over those that run; a queue behind the cap has both measured."""
    running, waiting = value_of(metrics.num_requests_running) or 0.0, value_of(metrics.num_requests_waiting) or 0.0
    return (running + waiting) / max(running, 1.0)


def _evidence(metrics: Metrics) -> tuple[Evidence, ...]:
    return metrics.evidence(
        "kv_cache_usage",
        "kv_cache_usage_p99",
        "preemptions_per_second",
        "num_requests_running",
        "num_requests_waiting",
    )
