"""The causes of a queue, told apart before anybody touches a batch size (performance-model section 4)."""

from dataclasses import dataclass
from enum import StrEnum

from inferplan.api.instance_status import Bottleneck, Severity
from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Measured, Missing
from inferplan.domain.observation import Observation

KV_FULL_SHARE = 0.95
"""From this share of KV blocks on, the cache counts as full: vLLM admits until no block is left, so a cache
that limits shows 1.0 less the last request's rounding."""

AT_CAP_SHARE = 0.95
"""From this share of max_num_seqs on, on average over the window, the scheduler's cap counts as reached."""

QUEUE_MIN = 1.0
"""Waiting requests, on average over the window, from which on there is a queue."""


class Cause(StrEnum):
    """What limits the instance."""

    KV_BOUND = "KvBound"
    SCHEDULER_CAPPED = "SchedulerCapped"
    OVERLOAD = "Overload"
    IDLE = "Idle"
    NONE = "None"
    UNKNOWN = "Unknown"


_NO_CAP = Missing(
    Reason.SETTING_UNKNOWN, "requests wait, and the most that may run at once (max_batch_size) is unknown"
)


@dataclass(frozen=True)
class Diagnosis:
    """The cause, the findings behind it, and what was missing to be sure."""

    cause: Cause
    bottlenecks: tuple[Bottleneck, ...] = ()
    missing: tuple[Missing, ...] = ()

    @property
    def kv_cache_full(self) -> bool:
        """Whether the KV cache limits the instance, alone or with everything else."""
        return self.cause in {Cause.KV_BOUND, Cause.OVERLOAD}


def diagnose(observation: Observation) -> Diagnosis:
    """Names the cause; Unknown where the data cannot tell."""
    metrics = observation.metrics
    needed = (metrics.num_requests_running, metrics.num_requests_waiting, metrics.kv_cache_usage)
    missing = tuple(value for value in needed if isinstance(value, Missing))
    if missing:
        return Diagnosis(Cause.UNKNOWN, missing=missing)
    running, waiting, usage = (value for value in needed if isinstance(value, Measured))
    if running.value == 0 and waiting.value == 0:
        return Diagnosis(Cause.IDLE)
    cap = _cap(observation)
    full = _kv_full(observation, usage)
    if cap is None and waiting.value >= QUEUE_MIN and not full:
        return Diagnosis(Cause.UNKNOWN, missing=(_NO_CAP,))
    capped = cap is not None and running.value >= AT_CAP_SHARE * cap and waiting.value >= QUEUE_MIN
    found = (
        *((_kv_bottleneck(usage, metrics.preemptions_per_second),) if full else ()),
        *((_cap_bottleneck(running, waiting, cap),) if capped and cap is not None else ()),
    )
    return Diagnosis(_cause(full=full, capped=capped), found)


def _cap(observation: Observation) -> int | None:
    """Requests that may run at once per replica: every data-parallel rank has its own scheduler and its own cap."""
    cap = observation.config.integer("max_batch_size")
    ranks = observation.config.integer("data_parallel_size")
    return None if cap is None or cap < 1 else cap * max(1, ranks or 1)


def _cause(*, full: bool, capped: bool) -> Cause:
    if full and capped:
        return Cause.OVERLOAD
    if full:
        return Cause.KV_BOUND
    return Cause.SCHEDULER_CAPPED if capped else Cause.NONE


def _kv_full(observation: Observation, usage: Measured) -> bool:
    """A full cache limits only if something waits for it or was preempted."""
    waiting, preemptions = (
        observation.metrics.num_requests_waiting,
        observation.metrics.preemptions_per_second,
    )
    queue = isinstance(waiting, Measured) and waiting.value >= QUEUE_MIN
    preempting = isinstance(preemptions, Measured) and preemptions.value > 0
    return usage.value >= KV_FULL_SHARE and (queue or preempting)


def _kv_bottleneck(usage: Measured, preemptions: Measured | Missing) -> Bottleneck:
    rate = f", {preemptions.value:.2g} preemptions per second" if isinstance(preemptions, Measured) else ""
    return Bottleneck(
        type=Cause.KV_BOUND,
        severity=Severity.HIGH,
        description=f"The KV cache is full ({usage.value:.0%} of its blocks{rate}); requests wait for it.",
        metric="kv_cache_usage",
        value=usage.value,
        threshold=KV_FULL_SHARE,
        query=usage.source,
    )


def _cap_bottleneck(running: Measured, waiting: Measured, cap: int) -> Bottleneck:
    return Bottleneck(
        type=Cause.SCHEDULER_CAPPED,
        severity=Severity.HIGH,
        description=(f"{running.value:.0f} requests run, which is the cap of {cap}, while {waiting.value:.0f} wait."),
        metric="num_requests_running",
        value=running.value,
        threshold=AT_CAP_SHARE * cap,
        query=running.source,
    )
