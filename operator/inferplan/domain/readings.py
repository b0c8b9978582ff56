"""What was read of each replica over one window, before anything is taken together: the same from every source.

Prometheus, pages that the operator scrapes itself, and files of the command line all become `Readings`; only one
reduction makes measurements of them. Keys are the field names of `observe.metric_names.MetricNames`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_NONE: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class Gauge:
    """A gauge over the window, in its own unit.

    Attributes:
        mean: Mean of its samples.
        peak: Highest sample.
        p99: 99th percentile of its samples over time; None where the source does not give it.
    """

    mean: float
    peak: float
    p99: float | None = None


@dataclass(frozen=True)
class Histogram:
    """What a histogram saw in the window, in its own unit (seconds or tokens).

    Attributes:
        count: Observations.
        total: Sum of the observed values.
        buckets: (upper bound, observations up to it), by bound, the last one up to infinity; empty where only count
            and sum were read.
    """

    count: float
    total: float
    buckets: tuple[tuple[float, float], ...] = ()

    @property
    def mean(self) -> float | None:
        """Mean of the observed values; None where nothing was observed or the numbers do not fit together."""
        return self.total / self.count if self.count > 0 and self.total >= 0 else None


@dataclass(frozen=True)
class ReplicaReadings:
    """One replica: a pod, with all of its schedulers (data-parallel ranks) taken together.

    Attributes:
        name: Pod, or what the source has in its place.
        seconds: Time that counters and histograms cover; None where one page gives no rates.
        age_seconds: Age of the newest sample.
        ranks: Schedulers in it, each with its own KV cache and its own cap; None where no label tells them apart.
        uptime_seconds: Time since its process started; None where it does not say.
        restarts: Starts of its process within the window that counters had to be mended for.
        gauges: Gauges by key; running and waiting are sums over ranks, shares the highest of them.
        rates: Counters by key, increase per second, summed over ranks.
        splits: Counters and gauges that a label splits: key → label's value → number.
        histograms: Histograms by key, all ranks together.
        growth: Requests in flight, running and waiting, at the end of that time less those at its start; None where one
            of the two is not known.
        kv_cache_tokens: Tokens that its KV cache holds, all ranks together; None where it does not say.
        cache_labels: Labels of the engine's info gauge on its cache, of any rank.
        impossible: A sample that no engine can tell (below 0, a share above 1), by key: nothing that other samples of
            the key give beside it is to be trusted, however likely their mean looks.
    """

    name: str
    seconds: float | None
    age_seconds: float = 0.0
    ranks: int | None = None
    uptime_seconds: float | None = None
    restarts: int = 0
    gauges: Mapping[str, Gauge] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    splits: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    histograms: Mapping[str, Histogram] = field(default_factory=dict)
    growth: float | None = None
    kv_cache_tokens: float | None = None
    cache_labels: Mapping[str, str] = field(default_factory=dict)
    impossible: Mapping[str, float] = field(default_factory=dict)

    def split(self, key: str) -> Mapping[str, float]:
        """The parts of a split counter or gauge; empty where it was not read."""
        return self.splits.get(key, _NONE)


@dataclass(frozen=True)
class Readings:
    """What one look read of all replicas.

    Attributes:
        window_seconds: Time that was asked for.
        replicas: The replicas, by name.
        sources: Where each key comes from: a query, or the series of a page; for evidence.
        notes: What a reader of the numbers should know, each a sentence.
    """

    window_seconds: int
    replicas: tuple[ReplicaReadings, ...]
    sources: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
