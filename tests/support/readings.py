"""Builders of readings: `a_replica(...)`, `a_histogram(...)`, `readings(...)`. vLLM's, over 900 s."""

import math
from typing import Any

from inferplan.domain.readings import Gauge, Histogram, Readings, ReplicaReadings

WINDOW_SECONDS = 900


def a_gauge(value: float, peak: float | None = None, p99: float | None = None) -> Gauge:
    """A gauge that stays at its value unless a peak is given."""
    return Gauge(value, value if peak is None else peak, p99)


def a_histogram(
    *buckets: tuple[float, float], total: float | None = None, above: float = 0.0, count: float | None = None
) -> Histogram:
    """Observations by bucket, not cumulated: (upper bound, observations in it); `above` lie above the last.

    The sum is that of the buckets' middles, unless it is given.
    """
    cumulated: list[tuple[float, float]] = []
    middles = low = seen = 0.0
    for bound, inside in buckets:
        seen += inside
        middles += inside * (low + bound) / 2
        cumulated.append((bound, seen))
        low = bound
    seen += above
    middles += above * low * 1.5
    return Histogram(
        seen if count is None else count, middles if total is None else total, (*cumulated, (math.inf, seen))
    )


def a_replica(name: str = "p-1", **changes: Any) -> ReplicaReadings:
    """A replica of a busy vLLM: 8 run, 2 wait, a KV cache at half, 4 requests/s; fields by name override.

    `gauges`, `rates`, `splits` and `histograms` add to the builder's or replace theirs; a value of None takes one away.
    """
    base: dict[str, Any] = {
        "seconds": 900.0,
        "ranks": 1,
        "uptime_seconds": 7200.0,
        "kv_cache_tokens": 400_000.0,
        "gauges": {"running": a_gauge(8), "waiting": a_gauge(2, 6), "kv_usage": a_gauge(0.5, 0.7, 0.65)},
        "rates": {
            "preemptions": 0.0,
            "requests": 4.0,
            "prefill_tokens": 2000.0,
            "decode_tokens": 400.0,
            "prefix_queries": 2000.0,
            "prefix_hits": 500.0,
            "rejected": 0.0,
        },
        "splits": {
            "requests": {"stop": 3.0, "length": 0.9, "abort": 0.06, "error": 0.04},
            "waiting_by_reason": {"capacity": 1.5, "deferred": 0.5},
        },
        "histograms": {
            "prompt_tokens": a_histogram((200, 0), (500, 1800), (1000, 1800)),
            "generation_tokens": a_histogram((50, 0), (100, 3600), (200, 0)),
            "ttft": a_histogram((0.1, 1800), (0.25, 1440), (0.5, 360)),
            "itl": a_histogram((0.01, 0), (0.025, 360_000), (0.05, 0)),
            "e2e": a_histogram((2.5, 3600), (5.0, 0)),
            "queue_time": a_histogram((0.3, 3600)),
            "prefill_time": a_histogram((0.3, 3600)),
            "step_tokens": a_histogram((8, 30_000), (16, 6000), (2048, 0)),
        },
    }
    for field in ("gauges", "rates", "splits", "histograms"):
        merged = base[field] | changes.pop(field, {})
        base[field] = {key: value for key, value in merged.items() if value is not None}
    return ReplicaReadings(name, **{**base, **changes})


def readings(*replicas: ReplicaReadings, window_seconds: int = WINDOW_SECONDS, **changes: Any) -> Readings:
    """Readings of these replicas."""
    return Readings(window_seconds, replicas, **changes)
