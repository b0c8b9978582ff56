"""Replicas side by side: one that stands still, fails or is slow beside others, or that gets more load. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from inferplan.api.analysis import Bottleneck, Counts, Severity
from inferplan.api.values import Evidence
from inferplan.diagnose.case import Case
from inferplan.diagnose.finding import Cause, Code, finding
from inferplan.diagnose.limits import count
from inferplan.diagnose.signals import REQUESTS_MIN
from inferplan.diagnose.stalled import RUNNING_MIN
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


STOPPED_SECONDS = 30
"""Time without a token, although requests run, from which on a replica stands still: beside it, others go on."""

FAILED_SHARE_MIN = 0.05
"""Share of failed requests from which on one replica's are a finding, and how much more it must be than the others':
what a user meets in a working day (diagnose.requests.FAILED_SHARES)."""

FAILED_FACTOR = 3.0
"""So many times the others' share is no chance from 20 requests on: clients that give up do so everywhere."""


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
    """One that stands still, else one that fails, else one that is slower than its load explains."""
    if case.diagnosis.cause is not Cause.COLD_START:
        yield from list(_all_bad(case, case.observation.replica_metrics))[:1]


def _all_bad(case: Case, replicas: tuple[ReplicaMetrics, ...]) -> Iterator[Bottleneck]:
    seconds = case.signals.window_seconds or 0
    for find in (_stopped, _failing):
        for replica in replicas:
            found = find(replica, _others(replicas, replica), seconds)
            if found is not None:
                yield found
    for slow in _LATENCIES:
        for replica in replicas:
            found = _slower(replica, _others(replicas, replica), slow)
            if found is not None:
                yield found


def _stopped(replica: ReplicaMetrics, rest: list[ReplicaMetrics], seconds: int) -> Bottleneck | None:
    """Requests run in it and nothing comes out, while the others go on."""
    if not _stands_still(replica, rest, seconds):
        return None
    usual = median(_values(rest, _tokens))
    plain = finding(
        Code.BAD_REPLICA,
        Severity.CRITICAL,
        f"Replica {replica.name} stands still: {count(replica.num_requests_running or 0.0)} requests run in it, and for"
        f" {seconds} s no token came out and none ended; the others give {usual:.0f} tokens per second.",
        recommendation=f"Read {replica.name}'s log and look at its node's GPUs, then delete the pod.",
    )
    return _shown(plain, "generation_tokens_per_second", "tokens/s", (0.0, usual))


def _stands_still(replica: ReplicaMetrics, rest: list[ReplicaMetrics], seconds: int) -> bool:
    others = _values(rest, _tokens)
    runs = (replica.num_requests_running or 0.0) >= RUNNING_MIN and seconds >= STOPPED_SECONDS
    still = replica.generation_tokens_per_second == 0 and replica.requests_per_second == 0
    return runs and still and bool(others) and median(others) > 0


def _failing(replica: ReplicaMetrics, rest: list[ReplicaMetrics], seconds: int) -> Bottleneck | None:
    """Its requests fail far more often than the others'."""
    mine, others = replica.failed_requests_share, _values(rest, lambda other: other.failed_requests_share)
    if mine is None or not others or (replica.requests_per_second or 0.0) * seconds < REQUESTS_MIN:
        return None
    usual = median(others)
    least = max(FAILED_FACTOR * usual, usual + max(FAILED_SHARE_MIN, SPREADS * _deviation(others)))
    if mine < least:
        return None
    plain = finding(
        Code.BAD_REPLICA,
        Severity.HIGH,
        f"Replica {replica.name} fails: {mine:.1%} of its requests ended by error or were aborted, {usual:.1%} of the"
        " others'.",
        recommendation=f"Read {replica.name}'s log for errors; then delete the pod.",
    )
    return _shown(plain, "failed_requests_share", "share", (mine, usual), least)


def _tokens(replica: ReplicaMetrics) -> float | None:
    return replica.generation_tokens_per_second


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


def _shown(
    plain: Bottleneck, metric: str, unit: str, numbers: tuple[float, float], threshold: float | None = None
) -> Bottleneck:
    """With the replica's number, and the others' as evidence."""
    mine, usual = (significant(float(number)) for number in numbers)
    others = Evidence(metric=metric, formula=f"median of the other replicas' {metric}", value=usual, unit=unit)
    return plain.model_copy(
        update={
            "metric": metric,
            "value": mine,
            "unit": unit,
            "threshold": None if threshold is None else significant(float(threshold)),
            "counts": None if threshold is None else Counts.AT_LEAST,
            "evidence": (others,),
        }
    )


def unbalanced_load(case: Case) -> Iterator[Bottleneck]:
    """One replica has several times the others' requests in flight, and not because it is slow or stands still.

    Its request rate need not be higher: where requests queue, it finishes what it can, and not what is sent.
    """
    replicas, seconds = case.observation.replica_metrics, case.signals.window_seconds or 0
    found = (_fuller(replica, _others(replicas, replica), seconds) for replica in replicas)
    yield from [entry for entry in found if entry is not None][:1]


def _fuller(replica: ReplicaMetrics, rest: list[ReplicaMetrics], seconds: int) -> Bottleneck | None:
    slow = any(_slower(replica, rest, latency) is not None for latency in _LATENCIES)
    if (
        slow
        or _stands_still(replica, rest, seconds)
        or _load_ratio(replica, rest) is None
        or not _is_fuller(replica, rest)
    ):
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
