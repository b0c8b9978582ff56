"""Replicas side by side: one that is slower than the others at the same load, or that gets more of it. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from inferplan.api.analysis import Bottleneck, Counts, Severity
from inferplan.api.values import Evidence
from inferplan.diagnose.case import Case
from inferplan.diagnose.finding import Cause, Code, finding
from inferplan.domain.observation import ReplicaMetrics
from inferplan.domain.units import significant

COMPARABLE_LOAD = 2.0
"""Up to this many times the others' request rate a replica can be compared with them; its latency must then exceed
theirs by that ratio too, as a step grows at most in proportion to its batch. Random arrivals alone give 1.5: of two
replicas with a request a second, over 45 s (real scrapes)."""

FULLER = 2.0
"""So many times the others' requests in flight are no chance of arrivals, which even out over a window."""

SPREADS = 3.5
"""A value counts as far from the others only beyond this many robust deviations of theirs (1.4826 x the median absolute
deviation; 3.5 is the cut of Iglewicz and Hoaglin, 1993)."""

_MAD_TO_DEVIATION = 1.4826

QUEUE_MORE = 4.0
"""Requests in flight that a replica must have more than the others, so that a few requests by chance are no finding."""


@dataclass(frozen=True)
class _Slow:
    """A latency by which a bad replica is told.

    Attributes:
        metric: Field of ReplicaMetrics.
        name: For people.
        value: Reads it.
        factor: How many times the others' it must be.
        milliseconds: How much more it must be at least.
        holds_queues: Whether a queue lengthens it: then it says nothing of a replica that has one.
    """

    metric: str
    name: str
    value: Callable[[ReplicaMetrics], float | None]
    factor: float
    milliseconds: float
    holds_queues: bool = False


_LATENCIES = (
    # Same weights, same GPU: half the speed is no chance. 5 ms are half of a usual step.
    _Slow("itl_mean_milliseconds", "time between tokens", lambda replica: replica.itl_mean_milliseconds, 2.0, 5.0),
    # Depends on prompts and queues too, hence further off. 100 ms are what a person notices.
    _Slow(
        "ttft_mean_milliseconds",
        "time to first token",
        lambda replica: replica.ttft_mean_milliseconds,
        3.0,
        100.0,
        holds_queues=True,
    ),
)


def bad_replica(case: Case) -> Iterator[Bottleneck]:
    """Slower than the others by more than its load explains; the first of them, by the surer latency."""
    if case.diagnosis.cause is not Cause.COLD_START:
        yield from list(_all_bad(case.observation.replica_metrics))[:1]


def _all_bad(replicas: tuple[ReplicaMetrics, ...]) -> Iterator[Bottleneck]:
    for slow in _LATENCIES:
        for replica in replicas:
            found = _slower(replica, _others(replicas, replica), slow)
            if found is not None:
                yield found


def _slower(replica: ReplicaMetrics, rest: list[ReplicaMetrics], slow: _Slow) -> Bottleneck | None:
    mine, others = slow.value(replica), _values(rest, slow.value)
    load = _load_ratio(replica, rest)
    if mine is None or not others or load is None or load > COMPARABLE_LOAD:
        return None
    if slow.holds_queues and _is_fuller(replica, rest):
        return None
    usual, least = median(others), slow.factor * max(1.0, load) * median(others)
    far = mine >= least and mine - usual >= max(slow.milliseconds, SPREADS * _deviation(others))
    return _bad(replica.name, slow, (mine, usual), least) if far else None


def _bad(name: str, slow: _Slow, numbers: tuple[float, float], least: float) -> Bottleneck:
    mine, usual = numbers
    plain = finding(
        Code.BAD_REPLICA,
        Severity.HIGH,
        f"Replica {name} is slow: its {slow.name} is {mine:.0f} ms on average, the others' is {usual:.0f} ms; its"
        " load does not explain that.",
        recommendation=f"Look at {name}'s node: another process on its GPU, clocks, temperature, a slower card; then"
        " delete the pod.",
    )
    return _shown(plain, slow.metric, "ms", numbers, least)


def _shown(plain: Bottleneck, metric: str, unit: str, numbers: tuple[float, float], threshold: float) -> Bottleneck:
    """With the replica's number, and the others' as evidence."""
    mine, usual = (significant(float(number)) for number in numbers)
    others = Evidence(metric=metric, formula=f"median of the other replicas' {metric}", value=usual, unit=unit)
    return plain.model_copy(
        update={
            "metric": metric,
            "value": mine,
            "unit": unit,
            "threshold": significant(float(threshold)),
            "counts": Counts.AT_LEAST,
            "evidence": (others,),
        }
    )


def unbalanced_load(case: Case) -> Iterator[Bottleneck]:
    """One replica has several times the others' requests in flight, and not because it is slow.

    Its request rate need not be higher: where requests queue, it finishes what it can, and not what is sent.
    """
    replicas = case.observation.replica_metrics
    found = (_fuller(replica, _others(replicas, replica)) for replica in replicas)
    yield from [entry for entry in found if entry is not None][:1]


def _fuller(replica: ReplicaMetrics, rest: list[ReplicaMetrics]) -> Bottleneck | None:
    slow = any(_slower(replica, rest, latency) is not None for latency in _LATENCIES)
    if slow or _load_ratio(replica, rest) is None or not _is_fuller(replica, rest):
        return None
    return _unbalanced(replica, _in_flight(replica) or 0.0, median(_values(rest, _in_flight)))


def _is_fuller(replica: ReplicaMetrics, rest: list[ReplicaMetrics]) -> bool:
    mine, others = _in_flight(replica), _values(rest, _in_flight)
    if mine is None or not others:
        return False
    usual = median(others)
    return mine >= FULLER * usual and mine - usual >= max(QUEUE_MORE, SPREADS * _deviation(others))


def _unbalanced(replica: ReplicaMetrics, mine: float, usual: float) -> Bottleneck:
    plain = finding(
        Code.UNBALANCED_LOAD,
        Severity.MEDIUM,
        f"Replica {replica.name} has {mine:.0f} requests in flight, the others {usual:.0f}: load is not evenly shared.",
        recommendation="Balance by requests in flight or by queue, not by connection; sticky sessions pile up.",
    )
    return _shown(plain, "num_requests_in_flight", "requests", (mine, usual), FULLER * usual)


def _in_flight(replica: ReplicaMetrics) -> float | None:
    running, waiting = replica.num_requests_running, replica.num_requests_waiting
    return None if running is None or waiting is None else running + waiting


def _load_ratio(replica: ReplicaMetrics, rest: list[ReplicaMetrics]) -> float | None:
    """How many times the others' request rate a replica has; None where that is not known."""
    mine, others = replica.requests_per_second, _values(rest, lambda other: other.requests_per_second)
    usual = median(others) if others else 0.0
    return mine / usual if mine is not None and usual > 0 else None


def _others(replicas: tuple[ReplicaMetrics, ...], replica: ReplicaMetrics) -> list[ReplicaMetrics]:
    return [other for other in replicas if other is not replica]


def _values(replicas: list[ReplicaMetrics], value: Callable[[ReplicaMetrics], float | None]) -> list[float]:
    return [found for replica in replicas if (found := value(replica)) is not None]


def _deviation(values: list[float]) -> float:
    """Robust standard deviation; 0 of one value."""
    middle = median(values)
    return _MAD_TO_DEVIATION * median(abs(value - middle) for value in values)
