"""The few numbers by which one replica is told from the others. Pure."""

import math
from collections.abc import Container

from inferplan.domain.observation import ReplicaMetrics
from inferplan.domain.readings import ReplicaReadings
from inferplan.observe.histograms import contradiction

_MS_PER_SECOND = 1000.0

FAILED_ENDS = frozenset({"abort", "error"})
"""Values of finished_reason of requests without their answer; SGLang and TGI do not split."""


def replica_metrics(replica: ReplicaReadings) -> ReplicaMetrics:
    """One replica's numbers; what is no possible number is not measured."""
    usage = _number(replica.gauges["kv_usage"].peak) if _is_told(replica, "kv_usage", replica.gauges) else None
    return ReplicaMetrics(
        name=replica.name,
        num_requests_running=_mean_of_gauge(replica, "running"),
        num_requests_waiting=_mean_of_gauge(replica, "waiting"),
        kv_cache_usage=usage if usage is not None and usage <= 1 else None,
        requests_per_second=_number(rate_of(replica, "requests")),
        ttft_mean_milliseconds=_mean_milliseconds(replica, "ttft"),
        itl_mean_milliseconds=_mean_milliseconds(replica, "itl"),
        uptime_seconds=_number(replica.uptime_seconds),
        generation_tokens_per_second=_number(rate_of(replica, "decode_tokens")),
        failed_requests_share=_failed_share(replica),
    )


def rate_of(replica: ReplicaReadings, key: str) -> float | None:
    """A counter's increase per second, its parts' sum where only those were read; None where neither was.

    None, too, where one of its samples is impossible.
    """
    if key in replica.impossible:
        return None
    if key in replica.rates:
        return replica.rates[key]
    parts = replica.split(key)
    return sum(parts.values()) if parts else None


def _failed_share(replica: ReplicaReadings) -> float | None:
    """Share of its finished requests that ended by error or abort; None where none finished, or it does not say how."""
    ends = replica.split("requests") if "requests" not in replica.impossible else {}
    apart, finished = rate_of(replica, "failed"), rate_of(replica, "requests")
    if apart is not None and finished is not None:
        failed, every = apart, apart + finished
    else:
        failed, every = sum(ends.get(end, 0.0) for end in FAILED_ENDS), sum(ends.values())
    share = failed / every if every > 0 else None
    return share if share is not None and 0 <= share <= 1 else None


def _mean_of_gauge(replica: ReplicaReadings, key: str) -> float | None:
    return _number(replica.gauges[key].mean) if _is_told(replica, key, replica.gauges) else None


def _mean_milliseconds(replica: ReplicaReadings, key: str) -> float | None:
    if not _is_told(replica, key, replica.histograms):
        return None
    histogram = replica.histograms[key]
    if contradiction(histogram) is not None or histogram.mean is None:
        return None
    return _number(histogram.mean * _MS_PER_SECOND)


def _is_told(replica: ReplicaReadings, key: str, kind: Container[str]) -> bool:
    """Whether something was read, and no sample of it is one that cannot be."""
    return key in kind and key not in replica.impossible


def _number(value: float | None) -> float | None:
    return value if value is not None and 0 <= value < math.inf else None
