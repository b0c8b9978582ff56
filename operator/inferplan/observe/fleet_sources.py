"""Where an instance's readings come from: PromQL that a person can paste into the source. Pure."""

from collections.abc import Mapping, Sequence

from inferplan.observe.fleet_own import Own
from inferplan.observe.fleet_queries import GPU_SHARES
from inferplan.observe.fleet_replica import ReplicaGroups, histogram_kind
from inferplan.observe.metric_kinds import ALL_GAUGES, COUNTERS, GAUGES, HISTOGRAMS
from inferplan.observe.metric_names import spellings

_KINDS = (
    *(("mean", key, key) for key in ALL_GAUGES),
    *(("peak", key, f"{key}_peak") for key in GAUGES),
    *(("p99", key, f"{key}_p99") for key in GAUGES),
    *(("rate", key, key) for key in COUNTERS),
    ("info", "cache_info", "cache_info"),
    ("now", "kv_tokens", "kv_tokens"),
)
"""What is made of a key's series, the key, and the name of the source."""


def sources_of(replicas: Sequence[ReplicaGroups], own: Own) -> Mapping[str, str]:
    """What gives each key: `<gauge>_peak` and `<gauge>_p99` beside a gauge, `<histogram>_mean` beside a histogram."""
    found = {name: query for kind, key, name in _KINDS if (query := _query(replicas, own, kind, key)) is not None}
    for key in HISTOGRAMS:
        found |= _histogram(replicas, own, key)
    if any(replica.elsewhere.start for replica in replicas):
        found["process_start"] = own.query("now", "process_start", "process_start_time_seconds")
    return {**found, **_gpus(replicas, own)}


def _query(replicas: Sequence[ReplicaGroups], own: Own, kind: str, key: str) -> str | None:
    """The query under the newest of the key's names that a replica has."""
    found = [index for replica in replicas if (index := replica.spelling(kind, key)) is not None]
    return own.query(kind, key, spellings(key)[min(found)]) if found else None


def _histogram(replicas: Sequence[ReplicaGroups], own: Own, key: str) -> Mapping[str, str]:
    kinds = {histogram_kind(replica, key) for replica in replicas}
    kind = next((kind for kind in ("bucket", "native") if kind in kinds), None)
    total, count = (_query(replicas, own, part, key) for part in ("sum", "count"))
    mean = f"{total} / {count}" if total is not None and count is not None else None
    every = {key: _query(replicas, own, kind, key) if kind is not None else mean, f"{key}_mean": mean}
    return {name: query for name, query in every.items() if query is not None}


def _gpus(replicas: Sequence[ReplicaGroups], own: Own) -> Mapping[str, str]:
    """By the pods' names, which are in other labels where the scrape does not honor those of the exporter."""
    having = {replica.name: replica.elsewhere.gpus for replica in replicas if replica.elsewhere.gpus is not None}
    if not having:
        return {}
    exported = any(gpus.exported for gpus in having.values())
    keys = {key for gpus in having.values() for key in gpus.shares}
    return {key: own.gpu_query(name, having, exported=exported) for key, name in GPU_SHARES.items() if key in keys}
