"""One instance's part of a fleet's table → its readings. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.domain.readings import Histogram, Readings, ReplicaReadings
from inferplan.observe.fleet_matchers import own_matchers
from inferplan.observe.fleet_own import Own
from inferplan.observe.fleet_queries import LABELS_LENGTH, LABELS_MAX, label_problem
from inferplan.observe.fleet_replica import Elsewhere, ReplicaGroups, aligned, histogram_kind
from inferplan.observe.fleet_sources import sources_of
from inferplan.observe.fleet_table import Buckets, FleetTable, Group, host_of
from inferplan.observe.metric_kinds import HISTOGRAMS
from inferplan.observe.metric_names import spellings
from inferplan.observe.pod_names import deployment_of, stateful_set_of
from inferplan.observe.reduce import STALE_SECONDS

_SHOWN = 3


@dataclass(frozen=True)
class PodIdentity:
    """A pod of the instance's workload.

    Attributes:
        name: Its name.
        address: Its IP; empty where it has none yet.
    """

    name: str
    address: str


@dataclass(frozen=True)
class Asked:
    """Whose part is wanted.

    Attributes:
        namespace: The instance's own.
        selector: Labels that its owner picks series by.
        pods: The workload's ready pods; None without a workload.
        model_names: Names under which its engine serves; None where they are not known.
        running: What its engine calls the series of running requests, which every engine has: for people.
    """

    namespace: str
    selector: Mapping[str, str]
    pods: tuple[PodIdentity, ...] | None
    model_names: frozenset[str] | None
    running: str


@dataclass(frozen=True)
class Taken:
    """When the table was read, and what a reader of it should know.

    Attributes:
        now: Present time by the source's clock, Unix seconds.
        late_seconds: Time since the answers.
        notes: Notes on all of it.
    """

    now: float
    late_seconds: float
    notes: tuple[str, ...] = ()


_Named = Mapping[str, Sequence[Group]]
"""Series by the pod that they are of, or by what the source has in its place."""


def part_of(table: FleetTable, asked: Asked, taken: Taken) -> Readings | Missing:
    """What a fleet's table says of one instance.

    Missing: MetricsMissing where no series are its own, MetricsContradictory where they are of several models and it is
    not known which one it serves.
    """
    problem = _selector_problem(table, asked)
    if problem is not None:
        return problem
    found = _found(table, asked)
    if not found:
        return _nothing(table, asked)
    chosen = _of_model(found, asked)
    if isinstance(chosen, Missing):
        return chosen
    replicas = tuple(_replica(table, taken, name, groups) for name, groups in sorted(chosen.items()))
    readings = tuple(entry.readings() for entry in replicas)
    notes = (*taken.notes, *_unseen(asked, found), *_several_targets(chosen), *_several_workloads(asked, found))
    sources = sources_of(replicas, _own(table, asked, found, chosen))
    return Readings(table.scope.window_seconds, _aligned(replicas, readings), sources, notes)


def _selector_problem(table: FleetTable, asked: Asked) -> Missing | None:
    for name in sorted(asked.selector):
        problem = label_problem(name, table.scope.labels)
        if problem is not None:
            return Missing(Reason.METRICS_MISSING, f"spec.metrics.selector: {problem}")
        if name not in table.scope.group:
            most = f"{LABELS_MAX} different labels, of {LABELS_LENGTH} characters together"
            why = f"selectors of all instances of this source may have {most}"
            return Missing(Reason.METRICS_MISSING, f'spec.metrics.selector: "{name}" is one too many: {why}')
    if asked.pods is None and not asked.selector:
        return Missing(Reason.METRICS_MISSING, "neither a workload nor spec.metrics.selector says which series")
    return None


def _found(table: FleetTable, asked: Asked) -> _Named:
    """The instance's series: its pods' by their name, or by their address where the scrape adds no name."""
    if asked.pods is None:
        return _by_name(table, table.selected(asked.namespace, asked.selector))
    found: dict[str, list[Group]] = {}
    hosts = Counter(pod.address for pod in asked.pods)
    for pod in asked.pods:
        own = [*table.of_pod(asked.namespace, pod.name)]
        own += table.of_host(asked.namespace, pod.address) if pod.address and hosts[pod.address] == 1 else ()
        own = [group for group in own if asked.selector.items() <= group.labels.items()]
        if own:
            found[pod.name] = own
    return found if found or not asked.selector else _by_host_name(table, asked)


def _by_host_name(table: FleetTable, asked: Asked) -> _Named:
    """Selected series that have no pod's name, and a host's name where an address would tell whose they are."""
    selected = table.selected(asked.namespace, asked.selector)
    plain = [group for group in selected if table.scope.labels.pod not in group.labels]
    return _by_name(table, [group for group in plain if not _is_address(host_of(group.labels.get("instance", "")))])


def _by_name(table: FleetTable, groups: Iterable[Group]) -> _Named:
    found: dict[str, list[Group]] = {}
    for group in groups:
        found.setdefault(_name(table, group), []).append(group)
    return found


def _name(table: FleetTable, group: Group) -> str:
    return group.labels.get(table.scope.labels.pod) or group.labels.get("instance", "")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _nothing(table: FleetTable, asked: Asked) -> Missing:
    """Why no series are the instance's own."""
    foreign = _by_name(table, table.selected(asked.namespace, asked.selector)) if asked.selector else {}
    if foreign:
        told = "spec.metrics.selector matches only pods that are not, or no longer, the workload's"
        return Missing(Reason.METRICS_MISSING, f"{told}: {_listed(sorted(foreign))}")
    names = [pod.name for pod in asked.pods or ()]
    own = own_matchers(table.scope.labels, asked.namespace, asked.selector, names)
    return Missing(Reason.METRICS_MISSING, f"no series of {asked.running} has {own}")


def _of_model(found: _Named, asked: Asked) -> _Named | Missing:
    """Series of the model that the instance serves, where they are of several ones.

    Without a workload all pods count as one server's; else only servers in the same pod have to be told apart.
    """
    alive = {name: _alive(groups) for name, groups in found.items()}
    models = {name: _models(groups) for name, groups in alive.items()}
    together = frozenset[str]().union(*models.values())
    mixed = (
        together if asked.pods is None else frozenset[str]().union(*(few for few in models.values() if len(few) > 1))
    )
    if len(mixed) <= 1:
        return alive
    own = mixed & (asked.model_names or frozenset())
    if not own:
        where = "its selector's series" if asked.pods is None else "one pod's series"
        why = f"{where} are of several models: {_listed(sorted(mixed))}; set model_name in spec.metrics.selector"
        return Missing(Reason.METRICS_CONTRADICTORY, why)
    other = mixed - own
    kept = {name: [g for g in groups if g.labels.get("model_name") not in other] for name, groups in alive.items()}
    return {name: groups for name, groups in kept.items() if groups}


def _alive(groups: Sequence[Group]) -> Sequence[Group]:
    """Without the targets that are gone, if any is not: a pod of the same name ran before at another address."""
    fresh = {_instance(group) for group in groups if _age(group) <= STALE_SECONDS}
    return [group for group in groups if _instance(group) in fresh] if fresh else groups


def _instance(group: Group) -> str:
    return group.labels.get("instance", "")


def _age(group: Group) -> float:
    """Age of its newest sample at the time of the answers; infinite where there is none."""
    tags = (f"age:running:{index}" for index in range(len(spellings("running"))))
    return min((group.values[tag] for tag in tags if tag in group.values), default=math.inf)


def _models(groups: Iterable[Group]) -> frozenset[str]:
    return frozenset(group.labels["model_name"] for group in groups if "model_name" in group.labels)


def _replica(table: FleetTable, taken: Taken, name: str, groups: Sequence[Group]) -> ReplicaGroups:
    """A pod that is scraped under several targets is read from the first of them."""
    instance = min(map(_instance, groups))
    own = tuple(group for group in groups if _instance(group) == instance)
    names = table.scope.labels
    namespace, pod = own[0].labels.get(names.namespace, ""), own[0].labels.get(names.pod, "")
    elsewhere = Elsewhere(
        now=taken.now,
        late_seconds=taken.late_seconds,
        start=table.starts.get((namespace, pod, instance), {}),
        gpus=table.gpus.get((namespace, name)),
    )
    return ReplicaGroups(name, own, table.scope, elsewhere)


def _unseen(asked: Asked, found: _Named) -> tuple[str, ...]:
    missing = [pod.name for pod in asked.pods or () if pod.name not in found]
    if not missing or not set(found) & {pod.name for pod in asked.pods or ()}:
        return ()
    return (f"{len(missing)} of {len(asked.pods or ())} pods have no series: {_listed(sorted(missing))}",)


def _several_targets(chosen: _Named) -> tuple[str, ...]:
    """Two monitors of one server tell the same; two servers would not, and nothing tells these cases apart."""
    targets = {name: sorted(set(map(_instance, groups))) for name, groups in chosen.items()}
    several = [f"{name} ({', '.join(instances)})" for name, instances in sorted(targets.items()) if len(instances) > 1]
    if not several:
        return ()
    return (f"scraped under several addresses, of which the first counts: {_listed(several)}",)


def _several_workloads(asked: Asked, found: _Named) -> tuple[str, ...]:
    if asked.pods is not None:
        return ()
    workloads = {deployment_of(name) or stateful_set_of(name) for name in found} - {None}
    if len(workloads) <= 1:
        return ()
    return (f"spec.metrics.selector matches pods of several workloads: {_listed(sorted(filter(None, workloads)))}",)


def _own(table: FleetTable, asked: Asked, found: _Named, chosen: _Named) -> Own:
    """How a person asks for these series."""
    names = table.scope.labels
    groups = [group for own in chosen.values() for group in own]
    by_pod = all(names.pod in group.labels for group in groups)
    models, before = _models(groups), frozenset[str]().union(*map(_models, found.values()))
    selector = dict(asked.selector)
    if len(models) == 1 and models != before:
        selector |= {"model_name": next(iter(models))}
    pods = () if asked.pods is None or not by_pod else tuple(pod.name for pod in asked.pods)
    instances = () if asked.pods is None or by_pod else {_instance(group) for group in groups}
    return Own(table.scope.window_seconds, own_matchers(names, asked.namespace, selector, pods, instances), names.pod)


def _aligned(replicas: Sequence[ReplicaGroups], readings: Sequence[ReplicaReadings]) -> tuple[ReplicaReadings, ...]:
    """The readings with native histograms over the same bounds, as far as they are there, so that they can be added."""
    found = tuple(readings)
    for key in HISTOGRAMS:
        if any(histogram_kind(replica, key) == "native" for replica in replicas):
            having = [entry for entry in found if entry.histograms.get(key, _EMPTY).buckets]
            buckets = aligned([entry.histograms[key].buckets for entry in having])
            by_name = dict(zip((entry.name for entry in having), buckets, strict=True))
            found = tuple(_with_buckets(entry, key, by_name.get(entry.name)) for entry in found)
    return found


_EMPTY = Histogram(0.0, 0.0)


def _with_buckets(readings: ReplicaReadings, key: str, buckets: Buckets | None) -> ReplicaReadings:
    if buckets is None:
        return readings
    histogram = replace(readings.histograms[key], buckets=buckets)
    return replace(readings, histograms={**readings.histograms, key: histogram})


def _listed(names: Sequence[str]) -> str:
    """The first few of them: "a, b, c and 2 more"."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
