"""One pod's series out of a fleet's table → its readings. Pure."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from inferplan.domain.readings import Gauge, Histogram, ReplicaReadings
from inferplan.observe.fleet_queries import GPU_SHARES, Scope, step_seconds
from inferplan.observe.fleet_table import Buckets, Gpus, Group
from inferplan.observe.metric_kinds import (
    ALL_GAUGES,
    COUNTERS,
    GAUGES,
    HISTOGRAMS,
    MEANS,
    RANK_LABELS,
    SHARES,
    SPLITS,
    all_cache_tokens,
    highest,
    is_off,
    is_possible,
)

Rank = tuple[str, ...]


@dataclass(frozen=True)
class Elsewhere:
    """What is told of a pod under other labels than its engine's.

    Attributes:
        now: Present time by the source's clock, Unix seconds.
        late_seconds: Time since the answers.
        start: "now": when the engine's process started, Unix seconds; "changes": how often that changed in the window.
        gpus: What the DCGM exporter tells.
    """

    now: float
    late_seconds: float
    start: Mapping[str, float]
    gpus: Gpus | None


@dataclass(frozen=True)
class ReplicaGroups:
    """One pod's series, of one target and one model.

    Attributes:
        name: The pod, or what the source has in its place.
        groups: Its series.
        scope: What was asked for.
        elsewhere: What else is told of it.
    """

    name: str
    groups: tuple[Group, ...]
    scope: Scope
    elsewhere: Elsewhere

    def readings(self) -> ReplicaReadings:
        """What its series say."""
        return ReplicaReadings(
            name=self.name,
            seconds=self.seconds,
            age_seconds=self._age,
            ranks=sum(map(any, self._by_rank("mean", "running"))) or None,
            uptime_seconds=self._uptime,
            restarts=self._restarts,
            gauges=self._gauges,
            rates={key: self._rate(key) for key in COUNTERS if self.spelling("rate", key) is not None},
            splits={key: parts for key in SPLITS if (parts := self._split(key))},
            histograms={key: found for key in HISTOGRAMS if (found := self._histogram(key)) is not None},
            growth=self._growth,
            kv_cache_tokens=self._kv_cache_tokens,
            cache_labels=next((labels for labels in self._caches.values()), {}),
            impossible=self._impossible,
        )

    def spelling(self, kind: str, key: str) -> int | None:
        """The newest of a key's names that this pod has."""
        return self._spellings.get((kind, key))

    @cached_property
    def _spellings(self) -> Mapping[tuple[str, str], int]:
        found: dict[tuple[str, str], int] = {}
        for tag in {tag for group in self.groups for tag in group.tags}:
            kind, key, index = tag.split(":")
            found[kind, key] = min(int(index), found.get((kind, key), int(index)))
        return found

    def _tag(self, kind: str, key: str) -> str:
        return f"{kind}:{key}:{self.spelling(kind, key)}"

    @cached_property
    def _ranked(self) -> tuple[tuple[Rank, Group], ...]:
        return tuple((_rank(group), group) for group in self.groups)

    def _by_rank(self, kind: str, key: str) -> Mapping[Rank, float]:
        """A number by scheduler; of copies the highest."""
        tag = self._tag(kind, key)
        return _per_rank((rank, group.values[tag]) for rank, group in self._ranked if tag in group.values)

    @cached_property
    def seconds(self) -> float:
        """Time within the window in which the pod was there; the whole window where its start is not known."""
        window = self.scope.window_seconds
        first = max(self._by_rank("first", "running").values(), default=math.inf)
        return float(window) if not first < window - step_seconds(window) else max(first, 1.0)

    @property
    def _stretch(self) -> float:
        """Prometheus' rates are over the whole window, also where the pod was there for a part of it only."""
        return self.scope.window_seconds / self.seconds

    @property
    def _age(self) -> float:
        """Age of the newest sample; infinite where there is no present one."""
        return min(self._by_rank("age", "running").values(), default=math.inf) + self.elsewhere.late_seconds

    @property
    def _uptime(self) -> float | None:
        started = self.elsewhere.start.get("now", math.nan)
        return self.elsewhere.now - started if 0 < started <= self.elsewhere.now else None

    @property
    def _growth(self) -> float | None:
        *needed, swapped = (self._by_rank("delta", key) for key in ("running", "waiting", "swapped"))
        return math.fsum(value for part in (*needed, swapped) for value in part.values()) if all(needed) else None

    @cached_property
    def _impossible(self) -> Mapping[str, float]:
        """Of each key the lowest sample that was below 0, or the highest of a share that was above 1."""
        looked_at = (*((key, "mean") for key in ALL_GAUGES), *((key, "rate") for key in COUNTERS), ("kv_tokens", "now"))
        found = ((key, next(self._wrong_samples(key, kind), None)) for key, kind in looked_at)
        return {key: sample for key, sample in found if sample is not None}

    def _wrong_samples(self, key: str, kind: str) -> Iterator[float]:
        """Under the name that is read: lowest, highest, and what a present value is itself."""
        index = self.spelling(kind, key)
        tags = [f"{told}:{key}:{index}" for told in ("low", "peak", "now")]
        samples = (group.values[tag] for tag in tags for group in self.groups if tag in group.values)
        return (sample for sample in samples if not is_possible(key, sample))

    @property
    def _restarts(self) -> int:
        """By the process' start time; where the engine does not tell it, by counters that fell."""
        changes = self.elsewhere.start.get("changes")
        resets = {} if "requests" in self._impossible else self._by_rank("resets", "requests")
        found = changes if changes is not None else max(resets.values(), default=0.0)
        return int(found) if 0 < found < math.inf else 0

    @property
    def _gauges(self) -> Mapping[str, Gauge]:
        shares = self.elsewhere.gpus.shares if self.elsewhere.gpus is not None else {}
        gpus = {key: Gauge(shares[key], shares[key]) for key in GPU_SHARES if key in shares}
        return {key: gauge for key in (*GAUGES, *MEANS) if (gauge := self._gauge(key)) is not None} | gpus

    def _gauge(self, key: str) -> Gauge | None:
        join = highest if key in SHARES else math.fsum
        means = {rank: mean for rank, mean in self._by_rank("mean", key).items() if not is_off(key, mean)}
        if not means:
            return None
        peaks = self._by_rank("peak", key) or means
        high = self._by_rank("p99", key)
        return Gauge(join(means.values()), join(peaks.values()), join(high.values()) if high else None)

    def _rate(self, key: str) -> float:
        parts = self._split(key) if key in SPLITS else {}
        return math.fsum((*parts.values(), *(rate * self._stretch for rate in self._by_rank("rate", key).values())))

    def _split(self, key: str) -> Mapping[str, float]:
        """A counter's rates by its label, or the means of a gauge's parts, schedulers added up."""
        kind, factor = ("rate", self._stretch) if key in COUNTERS else ("mean", 1.0)
        tag = self._tag(kind, key)
        found = [(rank, group.splits[tag]) for rank, group in self._ranked if tag in group.splits]
        parts = sorted({part for _, values in found for part in values})
        by_part = {part: _per_rank((rank, values.get(part, 0.0)) for rank, values in found) for part in parts}
        return {part: math.fsum(ranks.values()) * factor for part, ranks in by_part.items()}

    def _histogram(self, key: str) -> Histogram | None:
        """Classic where there is a count of it, else native: what was observed in the window."""
        native = self.spelling("count", key) is None
        kinds = ("native_count", "native_sum", "native") if native else ("count", "sum", "bucket")
        counts, sums = (self._by_rank(kind, key) for kind in kinds[:2])
        if not counts:
            return None
        total = math.fsum(sums.values()) if sums else math.nan
        window = self.scope.window_seconds
        return Histogram(math.fsum(counts.values()) * window, total * window, self._buckets(self._tag(kinds[2], key)))

    def _buckets(self, tag: str) -> Buckets:
        """All schedulers' together; of copies those that saw the most."""
        ranks: dict[Rank, Buckets] = {}
        for rank, group in self._ranked:
            buckets = group.buckets(tag)
            if buckets and (rank not in ranks or buckets[-1][1] > ranks[rank][-1][1]):
                ranks[rank] = buckets
        return added(aligned(list(ranks.values())), float(self.scope.window_seconds))

    @cached_property
    def _caches(self) -> Mapping[Rank, Mapping[str, str]]:
        """Labels of the info gauge on the cache, by scheduler."""
        tag = self._tag("info", "cache_info")
        found = ((rank, cache) for rank, group in self._ranked for cache in group.caches.get(tag, ()))
        return dict(sorted(found, key=lambda entry: (entry[0], sorted(entry[1].items()))))

    @property
    def _kv_cache_tokens(self) -> float | None:
        return all_cache_tokens(self._caches.values(), self._by_rank("now", "kv_tokens").values())


def histogram_kind(replica: ReplicaGroups, key: str) -> str | None:
    """What a histogram is read from: "bucket", "native", "sum" where only means can be told; None where nothing is."""
    kinds = ("native",) if replica.spelling("count", key) is None else ("bucket", "sum")
    return next((kind for kind in kinds if replica.spelling(kind, key) is not None), None)


def aligned(histograms: list[Buckets]) -> list[Buckets]:
    """The same histograms over the bounds of all of them: what lies inside of a bucket is interpolated.

    Native histograms come without their empty buckets, so those of two replicas rarely have the same bounds.
    """
    if len(histograms) <= 1:
        return histograms
    bounds = sorted({bound for buckets in histograms for bound, _ in buckets})
    if all(len(buckets) == len(bounds) for buckets in histograms):
        return histograms
    return [tuple(_at(buckets, bounds)) for buckets in histograms]


def _at(buckets: Buckets, bounds: Iterable[float]) -> Iterator[tuple[float, float]]:
    """A histogram at these bounds, which go up and include its own."""
    low, below, rest = 0.0, 0.0, iter(buckets)
    high, upto = next(rest)
    for bound in bounds:
        if bound > high:
            low, below = high, upto
            high, upto = next(rest, (math.inf, upto))
        part = 1.0 if bound == high else (bound - low) / (high - low) if bound > low else 0.0
        yield bound, below + (upto - below) * part


def added(histograms: list[Buckets], factor: float) -> Buckets:
    """The sum of histograms over the same bounds, times a factor."""
    if len(histograms) == 1:
        return tuple((bound, count * factor) for bound, count in histograms[0])
    return tuple(
        (entries[0][0], math.fsum(count for _, count in entries) * factor) for entries in zip(*histograms, strict=True)
    )


def _rank(group: Group) -> Rank:
    return tuple(group.labels.get(label, "") for label in RANK_LABELS)


def _per_rank(found: Iterable[tuple[Rank, float]]) -> Mapping[Rank, float]:
    values: dict[Rank, float] = {}
    for rank, value in found:
        values[rank] = highest((value, values[rank])) if rank in values else value
    return values
