"""Requests that did not get their answer. Pure."""

from collections.abc import Iterator

from inferplan.api.analysis import Bottleneck, Severity
from inferplan.diagnose.case import Case
from inferplan.diagnose.finding import Code, Shown, derived, finding
from inferplan.diagnose.limits import QUEUE_MIN, count, waits
from inferplan.domain.measurement import Measured, value_of

FAILED_SHARES = ((0.20, Severity.CRITICAL), (0.05, Severity.HIGH), (0.01, Severity.MEDIUM))
"""From which share of failed requests on it is how bad. One of a hundred is what a service that promises 99 % may lose;
one of twenty is what a user meets in a working day; one of five is an outage in part."""


def failed(case: Case) -> Iterator[Bottleneck]:
    """Requests that ended by error or abort; aborts are also clients that hang up."""
    share = case.metrics.failed_requests_share
    if not isinstance(share, Measured) or not case.enough_requests():
        return
    found = next(((least, severity) for least, severity in FAILED_SHARES if share.value >= least), None)
    if found is None:
        return
    yield finding(
        Code.FAILED_REQUESTS,
        found[1],
        f"{share.value:.1%} of the requests ended by error or were aborted.",
        Shown("failed_requests_share", share, found[0]),
        also=case.metrics.named("requests_per_second", "e2e_mean_milliseconds"),
        recommendation="Read the engine's log for errors; aborts are clients that gave up, often at a time limit.",
    )


def rejected(case: Case) -> Iterator[Bottleneck]:
    """Requests that the engine did not admit, by the same shares."""
    rate = case.metrics.rejected_requests_per_second
    if not isinstance(rate, Measured) or rate.value <= 0:
        return
    served = value_of(case.metrics.requests_per_second) or 0.0
    share = rate.value / (rate.value + max(0.0, served))
    severity = next((severity for least, severity in FAILED_SHARES if share >= least), Severity.LOW)
    yield finding(
        Code.REJECTED_REQUESTS,
        severity,
        f"The engine rejects {rate.value:.2g} requests per second, {share:.1%} of all{_why(case)}.",
        _rejected_share(rate, share, severity),
        also=case.metrics.named("rejected_requests_per_second", "requests_per_second", "num_requests_waiting"),
        recommendation=(
            "Add replicas, or mend what limits the instance; a longer queue only makes clients wait."
            if waits(case.signals)
            else "Read the engine's log for why: nothing waits, so it is not for want of room."
        ),
    )


def _why(case: Case) -> str:
    return ": its queue is full" if waits(case.signals) else ""


def deferred(case: Case) -> Iterator[Bottleneck]:
    """Requests that wait for something of their own: a KV transfer, a LoRA adapter, a grammar."""
    metrics = case.metrics
    waiting, for_room = metrics.num_requests_waiting, metrics.waiting_for_capacity
    if not isinstance(waiting, Measured) or not isinstance(for_room, Measured) or not case.is_steady:
        return
    own = waiting.value - for_room.value
    if own < QUEUE_MIN:
        return
    running = case.signals.running or 0.0
    source = f"{waiting.source}, less waiting_for_capacity"
    yield finding(
        Code.DEFERRED_REQUESTS,
        Severity.MEDIUM if own > running else Severity.LOW,
        f"{count(own)} requests wait for something of their own (a KV transfer, a LoRA adapter, a grammar), while"
        f" {count(running)} run.",
        Shown("num_requests_deferred", derived(waiting, own, source), QUEUE_MIN),
        also=metrics.named("num_requests_waiting", "waiting_for_capacity", "num_requests_running"),
        recommendation=(
            "Look at what they wait for: the prefill instances and the network of KV transfers, the number of LoRA"
            " adapters that may be loaded at once; no batch size and no memory moves this."
        ),
    )


def _rejected_share(rate: Measured, share: float, severity: Severity) -> Shown:
    """The share that the severity follows from; any counts below the least of them."""
    least = next((least for least, level in FAILED_SHARES if level is severity), None)
    return Shown("rejected_requests_share", derived(rate, share, f"{rate.source} / all requests", "share"), least)
