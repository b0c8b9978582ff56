"""Requests and answers of the HTTP API (contract section 4), from the same models as the CRs."""

from typing import Annotated, Self

from pydantic import Field

from inferplan.api.analysis import (
    BOTTLENECKS_MAX,
    EVIDENCE_MAX,
    Bottleneck,
    Counts,
    HealthScore,
    Severity,
    SLOStatus,
    Unknown,
)
from inferplan.api.base import Scalar, Sentence, ShortText, WireModel
from inferplan.api.instance import SLO, AcceleratorSpec, ConstraintsSpec, ModelSpec, Objective, WorkloadSpec
from inferplan.api.instance_status import REPLICAS_MAX, ReplicaStatus
from inferplan.api.measured_metrics import MeasuredMetrics
from inferplan.api.plan import Decision, Timestamp
from inferplan.api.values import Evidence

PAGES_MAX = 8
"""Pages of one engine in a request."""

SAMPLE_SECONDS = 20.0
"""Time between the first and the last page of a host:port, where the request does not say it: the least from which
diagnosis names a cause (diagnose.bottlenecks.WINDOW_MIN_SECONDS)."""


class InstanceQuestion(WireModel):
    """What every question says of an instance."""

    instance_id: Annotated[ShortText, Field(min_length=1, description="host:port, namespace/name or any name.")]
    instance_type: Annotated[str, Field(max_length=64, description="Serving engine: vllm, sglang or tgi.")]
    engine_version: Annotated[str | None, Field(max_length=32, description="Engine version.")] = None
    current_config: Annotated[
        dict[Annotated[str, Field(max_length=64)], Scalar],
        Field(max_length=64, description="Settings by engine-neutral key or by the engine's flag."),
    ] = {}
    slo_targets: Annotated[tuple[SLO, ...], Field(max_length=16, description="Latency targets.")] = ()
    model: Annotated[ModelSpec | None, Field(description="The model.")] = None
    accelerator: Annotated[AcceleratorSpec | None, Field(description="GPUs of one replica.")] = None
    metrics: Annotated[MeasuredMetrics | None, Field(description="What was measured.")] = None


class OptimizeRequest(InstanceQuestion):
    """Body of POST /api/v1/optimize. Only id and type are needed; the more is given, the surer the answer."""

    constraints: Annotated[ConstraintsSpec, Field(description="What the plan may not do.")] = ConstraintsSpec()
    objective: Annotated[Objective, Field(description="What to favour.")] = Objective.BALANCED
    workload: Annotated[WorkloadSpec | None, Field(description="Declared traffic.")] = None


class AnalyzeRequest(InstanceQuestion):
    """Body of POST /api/v1/analyze. Only id and type are needed."""

    sample_seconds: Annotated[
        float,
        Field(
            ge=1,
            le=30,
            description="Time between the first and the last page of a host:port. Below 20 s no cause is named.",
        ),
    ] = SAMPLE_SECONDS
    metrics_text: Annotated[
        tuple[str, ...],
        Field(
            max_length=PAGES_MAX,
            description=(
                "The engine's /metrics page as text, instead of metrics. Several, in the order of time, give rates;"
                " each starts with a line `# scraped-at: TIME`, or interval_seconds is given."
            ),
        ),
    ] = ()
    interval_seconds: Annotated[
        float | None, Field(ge=1, le=86_400, description="Time between two pages that do not say their time.")
    ] = None


class Observed(WireModel):
    """Where the measurements behind an answer come from."""

    source: Annotated[Sentence, Field(description="The engine's pages, the operator's look, or the request.")]
    observed_at: Annotated[Timestamp | None, Field(description="When they were made; null where not known.")] = None
    age_seconds: Annotated[float | None, Field(ge=0, description="How long ago that was.")] = None
    engine_version: Annotated[ShortText | None, Field(description="Engine version that was taken.")] = None
    model: Annotated[ShortText | None, Field(description="Model that was taken.")] = None
    notes: Annotated[tuple[Sentence, ...], Field(description="What a reader of the numbers should know.")] = ()


class OptimizeResponse(Decision):
    """Answer of POST /api/v1/optimize."""

    instance_id: Annotated[ShortText, Field(description="As in the request.")]
    instance_type: Annotated[ShortText, Field(description="As in the request.")]
    timestamp: Annotated[Timestamp, Field(description="When the plan was made.")]
    observed: Annotated[
        Observed | None, Field(description="What an earlier look saw and the plan rests on; null without one.")
    ] = None


class MeasuredValue(WireModel):
    """One measurement behind an analysis."""

    value: Annotated[float, Field(description="The number.")]
    unit: Annotated[ShortText, Field(description="Its unit.")]
    low: Annotated[float | None, Field(description="What it is at least, where buckets leave a range.")] = None
    high: Annotated[float | None, Field(description="What it is at most.")] = None
    window_seconds: Annotated[int | None, Field(description="Time that it covers; null for the moment.")] = None
    age_seconds: Annotated[
        float | None, Field(description="Age of its newest sample when it was read; null where that is not known.")
    ] = None
    source: Annotated[Sentence, Field(description="Query, series or field that gave it.")]


class AnalyzedBottleneck(WireModel):
    """A finding as the HTTP API shows it."""

    type: Annotated[ShortText, Field(description="Finding in CamelCase: KvBound, SchedulerCapped …")]
    severity: Annotated[Severity, Field(description="low, medium, high or critical.")]
    description: Annotated[Sentence, Field(description="One sentence for people.")]
    metric_name: Annotated[ShortText | None, Field(description="Metric that shows it.")] = None
    current_value: Annotated[float | None, Field(description="Measured value.")] = None
    at_least: Annotated[
        float | None, Field(description="What the value surely exceeds, where that is all that is known.")
    ] = None
    threshold_value: Annotated[float | None, Field(description="What the value was compared with.")] = None
    counts: Annotated[
        Counts | None, Field(description="atLeast: the value counts from the threshold on; below: only under it.")
    ] = None
    unit: Annotated[ShortText | None, Field(description="Unit of value and threshold.")] = None
    window_seconds: Annotated[int | None, Field(ge=1, description="Time that the value covers.")] = None
    query: Annotated[Sentence | None, Field(description="Query, series or field that gave the value.")] = None
    evidence: Annotated[
        tuple[Evidence, ...], Field(max_length=EVIDENCE_MAX, description="Further numbers that show it.")
    ] = ()
    recommendation: Annotated[Sentence | None, Field(description="What to do.")] = None

    @classmethod
    def of(cls, bottleneck: Bottleneck) -> Self:
        """The same finding under the HTTP API's names."""
        return cls(**{_RENAMED.get(name, name): getattr(bottleneck, name) for name in Bottleneck.model_fields})


_RENAMED = {"metric": "metric_name", "value": "current_value", "threshold": "threshold_value"}


class AnalyzeResponse(WireModel):
    """Answer of POST /api/v1/analyze."""

    instance_id: Annotated[ShortText, Field(description="As in the request.")]
    instance_type: Annotated[ShortText, Field(description="As in the request.")]
    timestamp: Annotated[Timestamp, Field(description="When the analysis was made.")]
    cause: Annotated[ShortText, Field(description="What limits the instance; Unknown where the data cannot tell.")]
    bottlenecks: Annotated[
        tuple[AnalyzedBottleneck, ...], Field(max_length=BOTTLENECKS_MAX, description="Findings, worst first.")
    ]
    slo_statuses: Annotated[tuple[SLOStatus, ...], Field(max_length=16, description="In the order of the request.")]
    overall_health_score: Annotated[
        float | None, Field(ge=0, le=100, description="0 to 100; null when there is nothing to judge by.")
    ]
    health: Annotated[HealthScore, Field(description="The score with its derivation, or why there is none.")]
    recommendations: Annotated[tuple[Sentence, ...], Field(description="What to do, most urgent first.")]
    recommendation_codes: Annotated[
        tuple[ShortText, ...], Field(description="The finding behind each recommendation, in the same order.")
    ]
    unknowns: Annotated[tuple[Unknown, ...], Field(description="What could not be told, and what would change that.")]
    observed: Annotated[Observed, Field(description="What the analysis rests on.")]
    metrics: Annotated[dict[str, MeasuredValue], Field(description="Every value that was measured, by name.")]
    replicas: Annotated[
        tuple[ReplicaStatus, ...],
        Field(max_length=REPLICAS_MAX, description="The replicas side by side, where there are several."),
    ] = ()


class ErrorResponse(WireModel):
    """Every refusal: what is wrong and what is allowed."""

    error: Annotated[str, Field(description="One line.")]
    field: Annotated[str | None, Field(description="Field that is meant.")] = None
    allowed: Annotated[tuple[str, ...] | None, Field(description="Allowed values.")] = None
