"""What a fleet's queries answered, by namespace and pod: small enough to be kept for thousands of pods. Pure."""

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import chain
from sys import intern

from inferplan.observe.fleet_queries import Scope, read_tag
from inferplan.observe.metric_kinds import CACHE_LABELS, SPLITS
from inferplan.observe.prometheus_types import NativeHistogram, Sample
from inferplan.observe.series_labels import KEY_LABEL

Buckets = tuple[tuple[float, float], ...]
"""(Upper bound, observations per second up to it), by bound."""

_SPLIT_LABELS = tuple(SPLITS.values())
_FOREIGN = ("", "", 0)
_NONE: Mapping[str, Sequence["Group"]] = {}


@dataclass(slots=True)
class Group:
    """The series that have the same labels: a scheduler's, or what a pod's schedulers have together.

    Attributes:
        labels: Their labels, without those of a metric's parts.
        values: Numbers by tag: "mean:running:0".
        splits: Numbers by tag and by the value of the label that splits them.
        bounds: Upper bounds of buckets by tag; groups share them.
        counts: Observations per second up to each bound, by tag.
        caches: Labels of the info gauge on the cache, by tag.
    """

    labels: Mapping[str, str]
    values: dict[str, float] = field(default_factory=dict)
    splits: dict[str, dict[str, float]] = field(default_factory=dict)
    bounds: dict[str, tuple[float, ...]] = field(default_factory=dict)
    counts: dict[str, "array[float]"] = field(default_factory=dict)
    caches: dict[str, list[Mapping[str, str]]] = field(default_factory=dict)

    @property
    def tags(self) -> Iterable[str]:
        """Tags under which anything was told."""
        return chain(self.values, self.splits, self.counts)

    def buckets(self, tag: str) -> Buckets:
        """Buckets of a histogram; empty without any."""
        return tuple(zip(self.bounds.get(tag, ()), self.counts.get(tag, ()), strict=True))


@dataclass(frozen=True)
class Gpus:
    """What the DCGM exporter tells of one pod's GPUs.

    Attributes:
        exported: Whether the workload's names are in the labels exported_namespace and exported_pod.
        shares: Shares of time by key, each the mean over the pod's GPUs.
    """

    exported: bool
    shares: dict[str, float] = field(default_factory=dict)


class FleetTable:
    """Answers, as they come in; complete once `enter` has had all of them.

    Args:
        scope: What was asked for.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.starts: dict[tuple[str, str, str], dict[str, float]] = {}
        self.gpus: dict[tuple[str, str], Gpus] = {}
        self._groups: dict[tuple[str | None, ...], Group] = {}
        self._pods: dict[str, dict[str, list[Group]]] = {}
        self._hosts: dict[str, dict[str, list[Group]]] = {}
        self._names = scope.ranks
        self._bounds: dict[tuple[float, ...], tuple[float, ...]] = {}

    def enter(self, samples: Iterable[Sample]) -> None:
        """Takes in one answer; all buckets of a histogram come in the same."""
        pending: dict[tuple[int, str], tuple[Group, list[tuple[str, float]]]] = {}
        for sample in samples:
            tag = intern(sample.labels.get(KEY_LABEL, ""))  # thousands of groups share it
            kind, key, _ = read_tag(tag) or _FOREIGN
            if kind == "bucket":
                group = self._group(sample.labels)
                _, buckets = pending.setdefault((id(group), tag), (group, []))
                buckets.append((sample.labels.get("le", ""), sample.value))
            elif kind == "gpu":
                self._enter_gpu(sample, key)
            elif key == "process_start":
                self.starts.setdefault(self._target(sample.labels), {})[kind] = sample.value
            elif key:
                self._enter_value(sample, kind, tag)
        for (_, tag), (group, buckets) in pending.items():
            self._enter_buckets(group, tag, buckets)

    def _enter_value(self, sample: Sample, kind: str, tag: str) -> None:
        group = self._group(sample.labels)
        if sample.histogram is not None:
            self._enter_native(group, tag, sample.histogram)
        elif kind == "info":
            group.values[tag] = sample.value
            cache = {name: sample.labels[name] for name in CACHE_LABELS if name in sample.labels}
            group.caches.setdefault(tag, []).append(cache)
        else:
            part = next((sample.labels[name] for name in _SPLIT_LABELS if name in sample.labels), None)
            values = group.values if part is None else group.splits.setdefault(tag, {})
            values[tag if part is None else part] = sample.value

    def _enter_native(self, group: Group, tag: str, histogram: NativeHistogram) -> None:
        rest = tag.partition(":")[2]
        group.values[f"native_count:{rest}"], group.values[f"native_sum:{rest}"] = histogram.count, histogram.total
        points = histogram.cumulated()
        group.bounds[tag] = tuple(bound for bound, _ in points)
        group.counts[tag] = array("d", (count for _, count in points))

    def _enter_buckets(self, group: Group, tag: str, buckets: list[tuple[str, float]]) -> None:
        """Bounds that are written in two ways ("1", "1.0") count different times, so they add up."""
        sums: dict[float, float] = {}
        for text, count in buckets:
            bound = _bound(text)
            sums[bound] = sums.get(bound, 0.0) + count
        bounds = tuple(sorted(sums))
        group.bounds[tag] = self._bounds.setdefault(bounds, bounds)
        group.counts[tag] = array("d", (sums[bound] for bound in bounds))

    def _enter_gpu(self, sample: Sample, key: str) -> None:
        """A GPU's pod; without one, its labels name the exporter's, which is nobody's."""
        labels = sample.labels
        exported = "exported_pod" in labels
        prefix = "exported_" if exported else ""
        place = labels.get(f"{prefix}namespace", ""), labels.get(f"{prefix}pod", "")
        if all(place):
            self.gpus.setdefault(place, Gpus(exported)).shares[key] = sample.value

    def _group(self, labels: Mapping[str, str]) -> Group:
        key = tuple(map(labels.get, self._names))
        group = self._groups.get(key)
        if group is None:
            group = Group({name: intern(value) for name, value in zip(self._names, key, strict=True) if value})
            self._groups[key] = group
            self._file(group)
        return group

    def _file(self, group: Group) -> None:
        namespace, pod, instance = self._target(group.labels)
        self._pods.setdefault(namespace, {}).setdefault(pod, []).append(group)
        if not pod:
            self._hosts.setdefault(namespace, {}).setdefault(host_of(instance), []).append(group)

    def _target(self, labels: Mapping[str, str]) -> tuple[str, str, str]:
        names = self.scope.labels
        return labels.get(names.namespace, ""), labels.get(names.pod, ""), labels.get("instance", "")

    def of_pod(self, namespace: str, pod: str) -> Sequence[Group]:
        """Series that have this pod's name."""
        return self._pods.get(namespace, _NONE).get(pod, ())

    def of_host(self, namespace: str, host: str) -> Sequence[Group]:
        """Series without a pod's name that were scraped at this host."""
        return self._hosts.get(namespace, _NONE).get(host, ())

    def selected(self, namespace: str, selector: Mapping[str, str]) -> Sequence[Group]:
        """Series of a namespace that have all of these labels, at least one."""
        candidates = (self._by_label.get((namespace, *item), ()) for item in selector.items())
        fewest = min(candidates, key=len)
        return [group for group in fewest if selector.items() <= group.labels.items()]

    @cached_property
    def _by_label(self) -> Mapping[tuple[str, str, str], Sequence[Group]]:
        found: dict[tuple[str, str, str], list[Group]] = {}
        for namespace, pods in self._pods.items():
            for group in (group for groups in pods.values() for group in groups):
                for name, value in group.labels.items():
                    found.setdefault((namespace, name, value), []).append(group)
        return found


def host_of(instance: str) -> str:
    """The host of "host:port": "10.0.0.1:8000", "[fd00::1]:8000", "engine.serving.svc:8000"."""
    if instance.startswith("["):
        return instance[1:].partition("]")[0]
    host, colon, port = instance.rpartition(":")
    return host if colon and port.isdecimal() and ":" not in host else instance


@lru_cache(maxsize=4096)
def _bound(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
