"""What an analysis says of one instance: what limits it, whether its targets hold, how healthy it is (contract 1, 4).

The same models stand in the CR's status (camelCase) and in the answer of POST /api/v1/analyze (snake_case), which is
`api.exchange.AnalyzeResponse`.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from inferplan.api.base import Sentence, ShortText, WireModel
from inferplan.api.instance import SLO
from inferplan.api.values import Evidence

BOTTLENECKS_MAX = 16
"""Findings that a status and an answer hold."""

EVIDENCE_MAX = 8
"""Numbers that one finding shows besides its own."""

RECOMMENDATIONS_MAX = 64
"""Recommendations: every bottleneck and every target may have one."""

UNKNOWNS_MAX = 32
"""Questions without an answer."""

_DEDUCTIONS_MAX = 64  # every bottleneck and every target may cost something


class Severity(StrEnum):
    """How bad a finding is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Counts(StrEnum):
    """On which side of its threshold a value counts."""

    AT_LEAST = "atLeast"
    BELOW = "below"


class Bottleneck(WireModel):
    """What limits the instance, or is wrong with it, with the measurement that shows it."""

    type: Annotated[ShortText, Field(description="Finding in CamelCase: KvBound, SchedulerCapped …")]
    severity: Annotated[Severity, Field(description="low, medium, high or critical.")]
    description: Annotated[Sentence, Field(description="One sentence for people.")]
    metric: Annotated[ShortText | None, Field(description="Metric that shows it; absent where none does.")] = None
    value: Annotated[float | None, Field(description="Measured value; absent where it is not known exactly.")] = None
    at_least: Annotated[
        float | None, Field(description="What the value surely exceeds, where that is all that is known.")
    ] = None
    threshold: Annotated[float | None, Field(description="What the value was compared with.")] = None
    counts: Annotated[
        Counts | None, Field(description="atLeast: the value counts from the threshold on; below: only under it.")
    ] = None
    unit: Annotated[ShortText | None, Field(description="Unit of value and threshold.")] = None
    window_seconds: Annotated[int | None, Field(ge=1, description="Time that the value covers.")] = None
    query: Annotated[Sentence | None, Field(description="PromQL, or the metric, that gave the value.")] = None
    evidence: Annotated[
        tuple[Evidence, ...], Field(max_length=EVIDENCE_MAX, description="Further numbers that show it.")
    ] = ()
    recommendation: Annotated[Sentence | None, Field(description="What to do.")] = None


class SLOStatus(WireModel):
    """One latency target against what was measured. Absent values are not known; `reason` says why."""

    target: Annotated[SLO, Field(description="The target.")]
    current_value: Annotated[float | None, Field(description="Measured percentile.")] = None
    at_least: Annotated[
        float | None, Field(description="What the percentile surely exceeds, where that is all that is known.")
    ] = None
    low: Annotated[float | None, Field(description="Lower end of what the histogram's buckets leave open.")] = None
    high: Annotated[float | None, Field(description="Upper end of it.")] = None
    unit: Annotated[ShortText, Field(description="Unit of target and values.")] = "ms"
    window_seconds: Annotated[int | None, Field(ge=1, description="Time that the values cover.")] = None
    query: Annotated[Sentence | None, Field(description="PromQL, or the metric, that gave the percentile.")] = None
    is_compliant: Annotated[bool | None, Field(description="Whether the target holds; absent when not known.")] = None
    deviation_percent: Annotated[
        float | None, Field(description="(currentValue - target) / target x 100; negative is better than the target.")
    ] = None
    allowed_share: Annotated[float, Field(ge=0, le=1, description="Share that may miss the target: 1 - percentile.")]
    missed_share: Annotated[
        float | None, Field(ge=0, le=1, description="Share of requests (ITL: of tokens) above the target.")
    ] = None
    error_budget_used_percent: Annotated[
        float | None, Field(ge=0, description="missedShare / allowedShare x 100 over the window; above 100 is missed.")
    ] = None
    reason: Annotated[Sentence | None, Field(description="Why it is not known, or what is not exact.")] = None


class Deduction(WireModel):
    """What one finding or one missed target costs of the health score."""

    code: Annotated[ShortText, Field(description="The finding's type, or SloMissed.")]
    points: Annotated[float, Field(ge=0, le=100, description="Points taken off.")]
    reason: Annotated[Sentence, Field(description="Which rule took them.")]


class HealthScore(WireModel):
    """100 less the deductions, never below 0: docs/diagnosis.md has the arithmetic."""

    score: Annotated[
        float | None, Field(ge=0, le=100, description="0 to 100; absent when there is nothing to judge by.")
    ] = None
    at_most: Annotated[
        float | None,
        Field(ge=0, le=100, description="What the score would be at most, where there is none and something costs."),
    ] = None
    reason: Annotated[Sentence | None, Field(description="Why there is no score, or what it leaves out.")] = None
    deductions: Annotated[
        tuple[Deduction, ...], Field(max_length=_DEDUCTIONS_MAX, description="What was taken off, most first.")
    ] = ()


class Recommendation(WireModel):
    """What to do about one finding."""

    code: Annotated[ShortText, Field(description="The finding's type, or SloMissed.")]
    text: Annotated[Sentence, Field(description="One or two sentences.")]


class Unknown(WireModel):
    """One question that the data cannot answer."""

    code: Annotated[ShortText, Field(description="Reason in CamelCase: MetricsMissing, SettingUnknown …")]
    reason: Annotated[Sentence, Field(description="What cannot be told, and why.")]
    needs: Annotated[Sentence, Field(description="What would change that.")]


class Analysis(WireModel):
    """What was found of one instance, as its status keeps it."""

    cause: Annotated[
        ShortText,
        Field(
            description=(
                "What limits the instance: KvBound, SchedulerCapped, PrefillBound, Overload, ColdStart, Idle, None, or"
                " Unknown where the data cannot tell."
            )
        ),
    ]
    bottlenecks: Annotated[
        tuple[Bottleneck, ...], Field(max_length=BOTTLENECKS_MAX, description="Findings, worst first.")
    ] = ()
    slo_statuses: Annotated[tuple[SLOStatus, ...], Field(max_length=16, description="In the order of the spec.")] = ()
    health: Annotated[HealthScore, Field(description="How healthy the instance is, and why.")]
    recommendations: Annotated[
        tuple[Recommendation, ...], Field(max_length=RECOMMENDATIONS_MAX, description="Most urgent first.")
    ] = ()
    unknowns: Annotated[
        tuple[Unknown, ...], Field(max_length=UNKNOWNS_MAX, description="What could not be told, and why.")
    ] = ()
