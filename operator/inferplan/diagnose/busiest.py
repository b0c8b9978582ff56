"""Replicas that differ: means over them are numbers of none; the one with the longest queue is looked at. Pure."""

from dataclasses import replace
from typing import Any

from inferplan.diagnose.signals import Signals
from inferplan.domain.measurement import Measured, Measurement
from inferplan.domain.observation import NOT_MEASURED, ReplicaMetrics

_OF_ALL = (
    "num_requests_running_peak",
    "num_requests_waiting_peak",
    "waiting_for_capacity",
    "kv_cache_usage_mean",
    "kv_cache_usage_p99",
    "queue_time_mean_milliseconds",
    "e2e_mean_milliseconds",
    "tokens_per_step",
)
"""What is measured of all replicas together, and therefore not known of the one."""


def busiest(signals: Signals) -> tuple[str, Signals] | None:
    """The replica with the longest queue, and its numbers; None where there are not several."""
    replicas = signals.observation.replica_metrics
    queued = [replica for replica in replicas if replica.num_requests_waiting is not None]
    if len(replicas) <= 1 or not queued:
        return None
    longest = max(queued, key=lambda replica: replica.num_requests_waiting or 0.0)
    return longest.name, Signals(
        replace(signals.observation, metrics=replace(signals.metrics, **_own(signals, longest)))
    )


def _own(signals: Signals, replica: ReplicaMetrics) -> dict[str, Any]:
    metrics = signals.metrics
    own = {
        "num_requests_running": (metrics.num_requests_running, replica.num_requests_running),
        "num_requests_waiting": (metrics.num_requests_waiting, replica.num_requests_waiting),
        "kv_cache_usage": (metrics.kv_cache_usage, replica.kv_cache_usage),
        "requests_per_second": (metrics.requests_per_second, replica.requests_per_second),
    }
    return dict.fromkeys(_OF_ALL, NOT_MEASURED) | {name: _of(*both) for name, both in own.items()}


def _of(all_together: Measurement, own: float | None) -> Measurement:
    return replace(all_together, value=own) if isinstance(all_together, Measured) and own is not None else NOT_MEASURED
