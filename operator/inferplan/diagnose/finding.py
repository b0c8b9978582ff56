"""Causes and findings by name, and how one is put together from what was measured. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from inferplan.api.analysis import EVIDENCE_MAX, Bottleneck, Counts, Severity
from inferplan.api.base import SHORT_TEXT_MAX, TEXT_MAX
from inferplan.api.values import Evidence
from inferplan.domain.measurement import MEASURED_MAX, Measured, Measurement, Missing
from inferplan.domain.units import significant


class Cause(StrEnum):
    """What limits the instance."""

    KV_BOUND = "KvBound"
    SCHEDULER_CAPPED = "SchedulerCapped"
    PREFILL_BOUND = "PrefillBound"
    OVERLOAD = "Overload"
    COLD_START = "ColdStart"
    IDLE = "Idle"
    NONE = "None"
    UNKNOWN = "Unknown"


class Code(StrEnum):
    """Findings that are no cause of a queue."""

    STALLED = "Stalled"
    RESTARTED = "Restarted"
    FAILED_REQUESTS = "FailedRequests"
    REJECTED_REQUESTS = "RejectedRequests"
    DEFERRED_REQUESTS = "DeferredRequests"
    BAD_REPLICA = "BadReplica"
    UNBALANCED_LOAD = "UnbalancedLoad"
    MEMORY_WASTE = "MemoryWaste"
    CONTEXT_OVER_PROVISIONED = "ContextOverProvisioned"
    PREFIX_CACHE_OFF = "PrefixCacheOff"
    PREFIX_CACHE_USELESS = "PrefixCacheUseless"
    LOW_ACCEPTANCE = "LowSpeculationAcceptance"
    MEMORY_BANDWIDTH_BOUND = "MemoryBandwidthBound"
    COMPUTE_BOUND = "ComputeBound"
    ARGUMENTS_REFUSED = "ArgumentsRefused"
    ARGUMENTS_WITHOUT_EFFECT = "ArgumentsWithoutEffect"
    VERSION_WITH_KNOWN_FIX = "VersionWithKnownFix"
    METRICS_MISSING = "MetricsMissing"
    METRICS_STALE = "MetricsStale"
    METRICS_CONTRADICTORY = "MetricsContradictory"
    ABOVE_LAST_BUCKET = "AboveLastBucket"
    SLO_MISSED = "SloMissed"


SEVERITY_RANK = {Severity.CRITICAL: 0, Severity.HIGH: 1, Severity.MEDIUM: 2, Severity.LOW: 3}
"""Worst first."""


_QUEUES = frozenset({Cause.KV_BOUND, Cause.SCHEDULER_CAPPED, Cause.PREFILL_BOUND, Cause.OVERLOAD})
"""Causes that make requests wait."""


@dataclass(frozen=True)
class Diagnosis:
    """The cause, the findings behind it, and what was missing to be sure.

    Attributes:
        cause: What limits the instance; Unknown where the data cannot tell.
        bottlenecks: What limits it, with evidence.
        missing: Why the cause is Unknown, at least one reason then; empty otherwise.
    """

    cause: Cause
    bottlenecks: tuple[Bottleneck, ...] = ()
    missing: tuple[Missing, ...] = ()

    @property
    def queued(self) -> bool:
        """Whether requests wait because something is full."""
        return self.cause in _QUEUES

    @property
    def kv_cache_full(self) -> bool:
        """Whether the KV cache limits the instance, alone or with everything else."""
        return any(found.type == Cause.KV_BOUND for found in self.bottlenecks)


@dataclass(frozen=True)
class Shown:
    """The number that shows a finding: the one that was compared.

    Attributes:
        metric: Its name: a field of Metrics, or what was made of several.
        measured: The value; a missing one of which only `at_least` is known; None where no number shows it.
        threshold: What it was compared with; None where any value counts.
        counts: On which side of the threshold it counts.
    """

    metric: str
    measured: Measurement | None
    threshold: float | None = None
    counts: Counts = Counts.AT_LEAST


def derived(measured: Measured, value: float, source: str, unit: str | None = None) -> Measured:
    """A number that was made of a measurement and others, over the same window; in its unit unless another is given."""
    bounded = min(value, MEASURED_MAX)
    return replace(measured, value=bounded, unit=unit or measured.unit, source=source, low=None, high=None)


def finding(
    code: Cause | Code,
    severity: Severity,
    text: str,
    shown: Shown | None = None,
    *,
    also: Mapping[str, Measurement] = MappingProxyType({}),
    recommendation: str | None = None,
) -> Bottleneck:
    """A finding in its wire form; of `also`, by name, what was measured and is not shown already."""
    numbers = () if shown is None else (shown.measured,)
    value = next((entry for entry in numbers if isinstance(entry, Measured)), None)
    missing = next((entry for entry in numbers if isinstance(entry, Missing)), None)
    own = shown.metric if shown is not None else None
    measured = [(name, entry) for name, entry in also.items() if isinstance(entry, Measured) and name != own]
    return Bottleneck(
        type=code,
        severity=severity,
        description=text[:TEXT_MAX],
        metric=shown.metric[:SHORT_TEXT_MAX] if shown is not None else None,
        value=significant(float(value.value)) if value is not None else None,
        at_least=missing.at_least if missing is not None else None,
        threshold=significant(float(shown.threshold)) if shown is not None and shown.threshold is not None else None,
        counts=shown.counts if shown is not None and shown.threshold is not None else None,
        unit=value.unit[:SHORT_TEXT_MAX] if value is not None else None,
        window_seconds=value.window_seconds or None if value is not None else None,
        query=value.source[:TEXT_MAX] if value is not None else None,
        evidence=tuple(_evidence(*entry) for entry in measured[:EVIDENCE_MAX]),
        recommendation=recommendation,
    )


def _evidence(metric: str, measured: Measured) -> Evidence:
    shown = replace(
        measured,
        value=significant(float(measured.value)),
        source=measured.source[:TEXT_MAX],
        unit=measured.unit[:SHORT_TEXT_MAX],
        window_seconds=measured.window_seconds or None,
    ).as_evidence()
    return shown.model_copy(update={"metric": metric})
