"""Status of an InferenceInstance: what InferPlan found, as of observedGeneration (contract section 1)."""

from typing import Annotated

from pydantic import Field

from inferplan.api.analysis import (
    BOTTLENECKS_MAX,
    RECOMMENDATIONS_MAX,
    UNKNOWNS_MAX,
    Bottleneck,
    HealthScore,
    Recommendation,
    SLOStatus,
    Unknown,
)
from inferplan.api.base import Name, Scalar, Sentence, ShortText, WireModel
from inferplan.api.conditions import Condition
from inferplan.api.load_status import LoadStatus

REPLICAS_MAX = 64
"""Replicas that a status shows."""


class SettingStatus(WireModel):
    """One setting that runs now."""

    value: Annotated[Scalar, Field(description="Value, as the engine takes it.")] = None
    origin: Annotated[ShortText, Field(description="argument, environment, configFile, versionDefault or spec.")]


class HardwareStatus(WireModel):
    """The GPUs of one replica, as they were found."""

    product: Annotated[ShortText | None, Field(description="GPU product.")] = None
    count: Annotated[int | None, Field(ge=0, description="GPUs per replica.")] = None
    memory_mib: Annotated[int | None, Field(ge=0, alias="memoryMiB", description="Memory of one GPU.")] = None
    compute_capability: Annotated[ShortText | None, Field(description="CUDA compute capability.")] = None
    source: Annotated[ShortText, Field(description="Where this was read: nodeLabels, spec or catalogue.")]


class MeasuredStatus(WireModel):
    """One measured or modelled number."""

    value: Annotated[float, Field(description="The number.")]
    unit: Annotated[ShortText, Field(description="Its unit.")]
    low: Annotated[float | None, Field(description="What it is at least, by the bounds of a histogram.")] = None
    high: Annotated[float | None, Field(description="What it is at most.")] = None
    window_seconds: Annotated[int | None, Field(description="Time that it covers.")] = None
    source: Annotated[Sentence, Field(description="Query, metric or formula.")]


class AbstentionStatus(WireModel):
    """Why an optimizer proposes nothing, and what would change that."""

    optimizer: Annotated[ShortText, Field(description="Optimizer.")]
    code: Annotated[ShortText, Field(description="Reason in CamelCase.")]
    reason: Annotated[Sentence, Field(description="One sentence for people.")]


class CalibrationPoint(WireModel):
    """One measured window that the calibration rests on, per replica."""

    running: Annotated[float, Field(gt=0, le=1_000_000, description="Requests that ran at once, mean.")]
    input_tokens: Annotated[float, Field(ge=1, le=100_000_000, description="Mean prompt length, tokens.")]
    output_tokens: Annotated[float, Field(ge=1, le=100_000_000, description="Mean output length, tokens.")]
    itl_milliseconds: Annotated[float | None, Field(gt=0, description="Mean time between tokens.")] = None
    ttft_milliseconds: Annotated[
        float | None, Field(gt=0, description="Mean time to the first token; absent where requests queued.")
    ] = None
    observed_at: Annotated[
        str, Field(description="When the window was measured.", json_schema_extra={"format": "date-time"})
    ]


class CalibrationCoefficients(WireModel):
    """Factors on the parts of the step model; 1 is the model as it is."""

    fixed: Annotated[float, Field(gt=0, description="On the time of a step with one short sequence.")]
    growing: Annotated[float, Field(gt=0, description="On what more and longer sequences add to it.")]
    prompts: Annotated[float, Field(gt=0, description="On prefill.")]
    waiting: Annotated[float, Field(gt=0, description="On what a request waits for beside prefills.")]


class CalibrationSpread(WireModel):
    """How far estimates may be off: 10th and 90th percentile of measured over estimated."""

    low: Annotated[float, Field(gt=0, description="10th percentile.")]
    high: Annotated[float, Field(gt=0, description="90th percentile.")]


class CalibrationStatus(WireModel):
    """What this instance's own measurements taught the step model."""

    digest: Annotated[
        ShortText, Field(description="SHA-256 of image, arguments, model and hardware that it holds for.")
    ]
    samples: Annotated[int, Field(ge=1, description="Windows at different loads that it rests on.")]
    coefficients: Annotated[CalibrationCoefficients, Field(description="What was learned.")]
    itl_spread: Annotated[CalibrationSpread, Field(description="Of the time between tokens.")]
    ttft_spread: Annotated[CalibrationSpread, Field(description="Of the time to the first token.")]
    points: Annotated[tuple[CalibrationPoint, ...], Field(max_length=12, description="The windows.")]


class ReplicaStatus(WireModel):
    """One replica beside the others; absent values were not measured."""

    name: Annotated[ShortText, Field(description="Pod.")]
    num_requests_running: Annotated[float | None, Field(description="Requests that ran at once, mean.")] = None
    num_requests_waiting: Annotated[float | None, Field(description="Requests that waited, mean.")] = None
    kv_cache_usage: Annotated[float | None, Field(description="Highest share of its KV cache in use.")] = None
    requests_per_second: Annotated[float | None, Field(description="Requests that it finished per second.")] = None
    ttft_mean_milliseconds: Annotated[float | None, Field(description="Mean time to the first token.")] = None
    itl_mean_milliseconds: Annotated[float | None, Field(description="Mean time between tokens.")] = None
    generation_tokens_per_second: Annotated[float | None, Field(description="Tokens that it gave per second.")] = None
    failed_requests_share: Annotated[
        float | None, Field(description="Share of its finished requests that ended by error or abort.")
    ] = None


class PlanStatusRef(WireModel):
    """The plan that holds now."""

    name: Annotated[Name, Field(description="Name of the OptimizationPlan.")]
    phase: Annotated[ShortText, Field(description="Its phase.")]
    gain: Annotated[ShortText, Field(description="What it is expected to bring.")] = ""


LEDGER_MAX = 20


class LedgerEntry(WireModel):
    """What one plan promised, and what came of it."""

    plan: Annotated[Name, Field(description="Name of the OptimizationPlan.")]
    changes: Annotated[Sentence, Field(description="What it changed.")]
    phase: Annotated[ShortText, Field(description="How it ended.")]
    ended_at: Annotated[
        str | None, Field(description="When it was last measured.", json_schema_extra={"format": "date-time"})
    ] = None
    predicted: Annotated[ShortText | None, Field(description="What it promised.")] = None
    realized: Annotated[ShortText | None, Field(description="What was measured afterwards.")] = None
    error: Annotated[ShortText | None, Field(description="How far apart they are.")] = None
    verdict: Annotated[ShortText | None, Field(description="Keep, RollBack or Inconclusive.")] = None


class InstanceStatus(WireModel):
    """What InferPlan found, as of observedGeneration."""

    observed_generation: Annotated[int | None, Field(ge=0, description="metadata.generation that was read.")] = None
    observed_at: Annotated[
        str | None,
        Field(description="When the observation was made.", json_schema_extra={"format": "date-time"}),
    ] = None
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            max_length=32,
            description="Ready, TargetResolved, MetricsAvailable, SLOsMet, PlanCurrent, LowConfidence.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()
    engine_version: Annotated[ShortText | None, Field(description="Version that runs.")] = None
    model: Annotated[ShortText | None, Field(description="Model that is served.")] = None
    serving_config: Annotated[
        dict[str, SettingStatus],
        Field(max_length=256, description="What runs now, defaults filled in for that version; by engine-neutral key."),
    ] = {}
    hardware: Annotated[HardwareStatus | None, Field(description="GPUs of one replica.")] = None
    capacity: Annotated[
        dict[str, MeasuredStatus],
        Field(max_length=64, description="Weights, KV cache and what fits, measured or modelled."),
    ] = {}
    traffic: Annotated[
        dict[str, MeasuredStatus],
        Field(max_length=64, description="Rates, lengths, latencies, KV use, queue, preemptions."),
    ] = {}
    measured_at: Annotated[
        str | None,
        Field(
            description="When traffic and replicas were measured; older than observedAt while metrics cannot be read.",
            json_schema_extra={"format": "date-time"},
        ),
    ] = None
    replicas: Annotated[
        tuple[ReplicaStatus, ...],
        Field(
            max_length=REPLICAS_MAX,
            description="The replicas side by side, where there are several: the first by name of very many.",
        ),
    ] = ()
    load: Annotated[LoadStatus | None, Field(description="Load by hour of the day, and its trend.")] = None
    cause: Annotated[
        ShortText | None,
        Field(
            description=(
                "What limits the instance: KvBound, SchedulerCapped, PrefillBound, Overload, ColdStart, Idle, None, or"
                " Unknown where the data cannot tell."
            )
        ),
    ] = None
    bottlenecks: Annotated[
        tuple[Bottleneck, ...], Field(max_length=BOTTLENECKS_MAX, description="Findings, worst first.")
    ] = ()
    slo_statuses: Annotated[
        tuple[SLOStatus, ...], Field(max_length=16, description="Every target, in the order of the spec.")
    ] = ()
    health: Annotated[HealthScore | None, Field(description="How healthy the instance is, and why.")] = None
    recommendations: Annotated[
        tuple[Recommendation, ...], Field(max_length=RECOMMENDATIONS_MAX, description="What to do, most urgent first.")
    ] = ()
    unknowns: Annotated[
        tuple[Unknown, ...], Field(max_length=UNKNOWNS_MAX, description="What could not be told, and why.")
    ] = ()
    abstentions: Annotated[
        tuple[AbstentionStatus, ...], Field(max_length=16, description="Why optimizers propose nothing.")
    ] = ()
    ledger: Annotated[
        tuple[LedgerEntry, ...],
        Field(max_length=LEDGER_MAX, description="Plans that were tried, newest first: promised and realized."),
    ] = ()
    calibration: Annotated[
        CalibrationStatus | None, Field(description="What was learned here; absent until something was.")
    ] = None
    plan: Annotated[PlanStatusRef | None, Field(description="The plan that holds now.")] = None
