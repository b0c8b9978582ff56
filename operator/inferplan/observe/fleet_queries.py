"""The queries that read a whole fleet: fifteen for all instances of a source, whatever engines they run. Pure.

Each query is a union of tagged expressions: the label `inferplan_key` says what a series is. Results are grouped by
pod, target and model; counters and histograms of a pod's schedulers (data-parallel ranks) are added up by Prometheus
itself, and a series that two monitors scrape counts once. No text of a user becomes PromQL but quoted label values.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain, zip_longest

from inferplan.observe.fleet_matchers import pattern, quoted
from inferplan.observe.metric_kinds import (
    ALL_GAUGES,
    CACHE_LABELS,
    COUNTERS,
    GAUGES,
    HISTOGRAMS,
    P99,
    RANK_LABELS,
    SPLITS,
)
from inferplan.observe.metric_names import KEYS, spellings
from inferplan.observe.series_labels import KEY_LABEL, KUBERNETES_LABELS, SeriesLabels, is_label_name, tagged

BUCKETED = ("ttft", "itl", "prompt_tokens", "generation_tokens", "step_tokens")
"""Histograms of which percentiles are told, so that their buckets are read; of the others a mean is enough."""

ON_DEMAND = ("tpot", "e2e")
"""Histograms whose buckets are read where an instance has a target for them. Buckets are nine tenths of all series."""

GPU_SHARES: Mapping[str, str] = {
    "gpu_memory_busy": "DCGM_FI_PROF_DRAM_ACTIVE",
    "gpu_tensor_busy": "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
}
"""The DCGM exporter's gauges, 0 to 1 (dcgm-exporter, etc/default-counters.csv)."""

GPU_LABELS = ("namespace", "pod", "exported_namespace", "exported_pod")
"""Whose a GPU is. Unless the scrape honors labels, `pod` is the exporter's own and `exported_pod` the workload's."""

CACHE_SOURCE = "cache_source"
"""Splits SGLang's counter of prompt tokens that a cache held."""

COUNTER_SPLITS: Mapping[str, str] = {
    "requests": SPLITS["requests"],
    "rejected": "reason",
    "prefix_hits": CACHE_SOURCE,
}
"""Labels that split counters: parts are told apart before copies are dropped, or only the largest part would count."""

PART_LABELS = frozenset({"le", *SPLITS.values(), CACHE_SOURCE, *CACHE_LABELS})
"""Labels that name a part of a metric; no instance is told from another by one."""

LABELS_MAX = 16
"""Further labels that a source's series are grouped by, for the selectors of all of its instances together."""

LABELS_LENGTH = 512
"""Characters of their names together: they are in each part of a query, twice in most."""

QUERY_LENGTH = 16_000
"""Longest query, characters, all of them ASCII: VictoriaMetrics takes 16 KiB (-search.maxQueryLen). A union that would
be longer, for labels with long names, is asked for in several."""

NAMESPACES_LENGTH = 200
"""Longest list of namespaces that is asked for; beyond it all are, and what is nobody's is dropped. The list is in each
of two dozen parts of a query."""

STEPS = 60
"""Steps in which the start of a series within the window is looked for."""


@dataclass(frozen=True)
class Scope:
    """Which series are read, over which time, and what tells them apart.

    Attributes:
        window_seconds: Time that means and rates cover.
        labels: What the source calls the labels of namespace and pod.
        extra: Further labels to group by, valid names.
        namespaces: Namespaces to ask for; empty for all.
        demanded: Those of `ON_DEMAND` whose buckets are to be read.
    """

    window_seconds: int
    labels: SeriesLabels = KUBERNETES_LABELS
    extra: tuple[str, ...] = ()
    namespaces: frozenset[str] = frozenset()
    demanded: frozenset[str] = frozenset()

    @property
    def bucketed(self) -> frozenset[str]:
        """Histograms whose buckets are read."""
        return self.demanded | frozenset(BUCKETED)

    @property
    def group(self) -> tuple[str, ...]:
        """Labels of a pod's target and model."""
        return self.labels.group(self.extra)

    @property
    def ranks(self) -> tuple[str, ...]:
        """Labels of a scheduler."""
        return tuple(dict.fromkeys((*self.group, *RANK_LABELS)))

    @property
    def target(self) -> tuple[str, ...]:
        """Labels of a process, which its metrics share that are not the engine's."""
        return (self.labels.namespace, self.labels.pod, "instance")

    @cached_property
    def asked_namespaces(self) -> frozenset[str]:
        """Namespaces that are asked for by name; empty where all are asked for."""
        return self.namespaces if len(pattern(sorted(self.namespaces))) <= NAMESPACES_LENGTH else frozenset()

    @cached_property
    def matchers(self) -> str:
        """What every series of an engine is asked for by."""
        asked = sorted(self.asked_namespaces)
        return f"{self.labels.namespace}=~{quoted(pattern(asked))}" if asked else f'{self.labels.namespace}!=""'


@dataclass(frozen=True)
class Metric:
    """A metric within a scope, ready for PromQL.

    Attributes:
        name: Its name.
        matchers: Label matchers without braces.
        window_seconds: Length of ranges.
    """

    name: str
    matchers: str
    window_seconds: int

    def now(self, suffix: str = "") -> str:
        """The instant vector."""
        return f"{self.name}{suffix}{{{self.matchers}}}"

    def range(self, suffix: str = "") -> str:
        """The range over the window."""
        return f"{self.now(suffix)}[{self.window_seconds}s]"

    @property
    def steps(self) -> str:
        """The window as a subquery's range and step."""
        return f"[{self.window_seconds}s:{step_seconds(self.window_seconds)}s]"


def step_seconds(window_seconds: int) -> int:
    """How exactly the start of a series within the window is known."""
    return max(1, -(-window_seconds // STEPS))


def fleet_queries(scope: Scope) -> tuple[str, ...]:
    """Every query that one look at a fleet needs: 15, of which each histogram that may have buckets is one.

    They are more where the labels of selectors have names so long that a query would be longer than `QUERY_LENGTH`.

    Large and small answers take turns, so that two at once are not the largest two. The last part of a union is the
    largest: Prometheus handles what is on the left once for each further part.
    """
    rates = (_rates(scope, COUNTERS[at::_RATES]) for at in range(_RATES))
    small = (_gauges(scope), _peaks(scope), _state(scope), _others(scope), *rates, _means(scope))
    large = (_histogram(scope, key) for key in (*BUCKETED, *ON_DEMAND))
    unions = (union for pair in zip_longest(small, large) for union in pair if union is not None)
    return tuple(chain.from_iterable(_joined(tuple(union)) for union in unions))


_OR = "\nor\n"


def _joined(parts: Sequence[str]) -> Iterator[str]:
    """Unions of these parts, the last one first; as few as are not too long."""
    union = ""
    for part in reversed(parts):
        if union and len(union) + len(_OR) + len(part) > QUERY_LENGTH:
            yield union
            union = ""
        union = f"{union}{_OR}{part}" if union else part
    yield union


def _gauges(scope: Scope) -> Iterator[str]:
    return chain.from_iterable(_parts(scope, "mean", key) for key in ALL_GAUGES)


def _peaks(scope: Scope) -> Iterator[str]:
    yield from chain.from_iterable(_parts(scope, "peak", key) for key in GAUGES)
    yield from chain.from_iterable(_parts(scope, "p99", key) for key in P99)


def _state(scope: Scope) -> Iterator[str]:
    growth = (("delta", "running"), ("delta", "waiting"), ("delta", "swapped"))
    kinds = (("age", "running"), ("first", "running"), ("resets", "requests"), ("info", "cache_info"), *growth)
    return chain.from_iterable(_parts(scope, kind, key) for kind, key in (*kinds, ("now", "kv_tokens")))


def _others(scope: Scope) -> Iterator[str]:
    """What has no label of the engine: start times of its processes, of all that a cluster runs, and shares of GPUs.

    Beside them, what hardly ever answers: gauges that were impossible.
    """
    target = ", ".join(scope.target)
    engines = f'{{__name__=~"{"|".join(spellings("running"))}", {scope.matchers}}}'
    start = Metric("process_start_time_seconds", scope.matchers, scope.window_seconds)
    for kind, made in (("now", start.now()), ("changes", f"changes({start.range()})")):
        yield tagged(f"max by ({target}) ({made}) and on ({target}) {engines}", f"{kind}:process_start:0")
    for key, name in GPU_SHARES.items():
        mean = f"avg by ({', '.join(GPU_LABELS)}) (avg_over_time({name}[{scope.window_seconds}s]))"
        yield tagged(mean, f"gpu:{key}:0")
    yield from _impossible(scope, ALL_GAUGES)


_RATES = 3
"""Queries for counters, which are the most: all in one would be longer than a server may take."""


def _rates(scope: Scope, keys: Sequence[str]) -> Iterator[str]:
    yield from chain.from_iterable(_parts(scope, "rate", key) for key in keys)
    yield from _impossible(scope, keys)


def _impossible(scope: Scope, keys: Sequence[str]) -> Iterator[str]:
    """Series that were below 0 at any time, which means and rates do not show."""
    return chain.from_iterable(_parts(scope, "low", key) for key in keys)


def _means(scope: Scope) -> Iterator[str]:
    """Histograms of which no percentile is ever told."""
    every = (key for key in HISTOGRAMS if key not in (*BUCKETED, *ON_DEMAND))
    return chain.from_iterable(_histogram(scope, key) for key in every)


def _histogram(scope: Scope, key: str) -> Iterator[str]:
    """One histogram, classic or native."""
    kinds = ("bucket", "sum", "count", "native") if key in scope.bucketed else ("sum", "count", "native")
    return chain.from_iterable(_parts(scope, kind, key) for kind in kinds)


def _parts(scope: Scope, kind: str, key: str) -> Iterator[str]:
    """One quantity under each name of a key. The tag has the name's index, so that the newest can be preferred."""
    for index, name in enumerate(spellings(key)):
        metric = Metric(name, scope.matchers, scope.window_seconds)
        yield tagged(_expression(kind, key, metric, scope), f"{kind}:{key}:{index}")


@lru_cache(maxsize=1024)
def read_tag(tag: str) -> tuple[str, str, int] | None:
    """Kind, key and index of the key's name; None for a tag that no query has."""
    kind, _, rest = tag.partition(":")
    key, _, index = rest.partition(":")
    names = 1 if key in GPU_SHARES else len(spellings(key)) if key in KEYS else 0
    found = next((at for at in range(names) if index == str(at)), None)
    return (kind, key, found) if kind in _KINDS and found is not None else None


def _expression(kind: str, key: str, metric: Metric, scope: Scope) -> str:
    """One quantity by scheduler, or of all schedulers of a target together where they add up."""
    inner = by_rank(kind, key, metric, scope.ranks)
    if kind not in _ADDED:
        return inner
    kept = {"bucket": ("le",), "rate": (SPLITS[key],) if key in SPLITS else ()}.get(kind, ())
    return f"sum by ({', '.join((*scope.group, *kept))}) ({inner})"


_ADDED = frozenset({"rate", "sum", "count", "bucket", "native"})
_SUFFIXES: Mapping[str, str] = {"sum": "_sum", "count": "_count", "bucket": "_bucket"}


def _parts_label(kind: str, key: str) -> tuple[str, ...]:
    """Labels of a metric's parts."""
    match kind:
        case "bucket":
            return ("le",)
        case "info":
            return CACHE_LABELS
        case "rate" if key in COUNTER_SPLITS:
            return (COUNTER_SPLITS[key],)
        case "mean" if key in SPLITS:
            return (SPLITS[key],)
        case _:
            return ()


def by_rank(kind: str, key: str, metric: Metric, group: Sequence[str]) -> str:
    """One quantity by scheduler: of the same series scraped twice the highest, of means the mean.

    Native histograms have no highest; two copies of one have itself as their mean. Age is by Prometheus' own clock.
    """
    by = f"by ({', '.join((*group, *_parts_label(kind, key)))})"
    form = _FORMS.get(kind, _RATE)
    return form.format(by=by, now=metric.now(), range=metric.range(_SUFFIXES.get(kind, "")), steps=metric.steps)


_FORMS: Mapping[str, str] = {
    "mean": "avg {by} (avg_over_time({range}))",
    "low": "min {by} (min_over_time({range})) < 0",
    "peak": "max {by} (max_over_time({range}))",
    "p99": "max {by} (quantile_over_time(0.99, {range}))",
    "age": "time() - max {by} (timestamp({now}))",
    "first": "time() - min {by} (min_over_time(timestamp({now}){steps}))",
    "delta": "max {by} (delta({range}))",
    "resets": "max {by} (resets({range}))",
    "native": "avg {by} (rate({range}))",
    "now": "max {by} ({now})",
    "info": "max {by} ({now})",
}
_RATE = "max {by} (rate({range}))"
_KINDS = _FORMS.keys() | _ADDED | {"gpu", "changes"}


def label_problem(name: str, labels: SeriesLabels = KUBERNETES_LABELS) -> str | None:
    """Why a selector cannot use a label; None where it can."""
    reserved = {"__name__", labels.namespace, KEY_LABEL, *PART_LABELS}
    if is_label_name(name) and name not in reserved:
        return None
    allowed = "letters, digits and _ (Prometheus writes other characters as _)"
    return f'"{name}" cannot be used; label names are {allowed}, but not {", ".join(sorted(reserved))}'
