"""The few numbers by which one replica is told from the others. Pure."""

import math

from inferplan.domain.observation import ReplicaMetrics
from inferplan.domain.readings import ReplicaReadings
from inferplan.observe.histograms import contradiction

_MS_PER_SECOND = 1000.0


def replica_metrics(replica: ReplicaReadings) -> ReplicaMetrics:
    """One replica's numbers; what is no possible number is not measured."""
    usage = _number(replica.gauges["kv_usage"].peak) if "kv_usage" in replica.gauges else None
    return ReplicaMetrics(
        name=replica.name,
        num_requests_running=_mean_of_gauge(replica, "running"),
        num_requests_waiting=_mean_of_gauge(replica, "waiting"),
        kv_cache_usage=usage if usage is not None and usage <= 1 else None,
        requests_per_second=_number(requests_rate(replica)),
        ttft_mean_milliseconds=_mean_milliseconds(replica, "ttft"),
        itl_mean_milliseconds=_mean_milliseconds(replica, "itl"),
        uptime_seconds=_number(replica.uptime_seconds),
    )


def requests_rate(replica: ReplicaReadings) -> float | None:
    """Finished requests per second, however they ended; None where they were not counted."""
    return rate_of(replica, "requests")


def rate_of(replica: ReplicaReadings, key: str) -> float | None:
    """A counter's increase per second, its parts' sum where only those were read; None where neither was."""
    if key in replica.rates:
        return replica.rates[key]
    parts = replica.split(key)
    return sum(parts.values()) if parts else None


def _mean_of_gauge(replica: ReplicaReadings, key: str) -> float | None:
    gauge = replica.gauges.get(key)
    return None if gauge is None else _number(gauge.mean)


def _mean_milliseconds(replica: ReplicaReadings, key: str) -> float | None:
    histogram = replica.histograms.get(key)
    if histogram is None or contradiction(histogram) is not None or histogram.mean is None:
        return None
    return _number(histogram.mean * _MS_PER_SECOND)


def _number(value: float | None) -> float | None:
    return value if value is not None and 0 <= value < math.inf else None
