"""What some engines tell in parts, made into what all others tell: requests that wait, the cache's use. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from inferplan.domain.readings import Gauge, Readings, ReplicaReadings

_SUFFIXES = ("", "_peak", "_p99")
"""Of the sources of one gauge's numbers."""


def whole(readings: Readings) -> Readings:
    """Requests that were swapped out wait, too; a cache's use is the share of its tokens that are held.

    vLLM's first engine moves requests that it preempts to the CPU's memory, where they wait to run again
    (vllm/core/scheduler.py). TGI tells the tokens that it holds for what runs, and those that it may hold
    (router/src/infer/v3: batch_current_max_tokens, batch_total_tokens).
    """
    sources = dict(readings.sources)
    for suffix in _SUFFIXES:
        swapped, used = sources.get(f"swapped{suffix}"), sources.get(f"kv_used{suffix}")
        waiting, tokens = sources.get(f"waiting{suffix}"), sources.get("kv_tokens")
        if swapped is not None and waiting is not None:
            sources[f"waiting{suffix}"] = f"{waiting} + {swapped}"
        if used is not None and tokens is not None:
            sources.setdefault(f"kv_usage{suffix}", f"{used} / {tokens}")
    return replace(readings, replicas=tuple(map(_whole, readings.replicas)), sources=sources)


def _whole(replica: ReplicaReadings) -> ReplicaReadings:
    gauges, impossible = dict(replica.gauges), dict(replica.impossible)
    swapped, waiting = gauges.get("swapped"), gauges.get("waiting")
    if swapped is not None and waiting is not None:
        gauges["waiting"] = Gauge(waiting.mean + swapped.mean, waiting.peak + swapped.peak)
        _inherit(impossible, "waiting", "swapped")
    used, tokens = gauges.get("kv_used"), replica.kv_cache_tokens
    if used is not None and tokens and "kv_usage" not in gauges:
        p99 = used.p99 / tokens if used.p99 is not None else None
        gauges["kv_usage"] = Gauge(used.mean / tokens, used.peak / tokens, p99)
        _inherit(impossible, "kv_usage", "kv_used", "kv_tokens")
    return replace(replica, gauges=gauges, impossible=impossible)


def _inherit(impossible: dict[str, float], key: str, *parts: str) -> None:
    """What rests on a sample that cannot be cannot be, either."""
    found: Mapping[str, float] = {part: impossible[part] for part in parts if part in impossible}
    for sample in found.values():
        impossible.setdefault(key, sample)
