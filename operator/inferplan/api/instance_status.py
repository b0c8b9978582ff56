"""Status of an InferenceInstance: what InferPlan found, as of observedGeneration (contract section 1)."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from inferplan.api.base import Name, Scalar, Sentence, ShortText, WireModel
from inferplan.api.conditions import Condition
from inferplan.api.values import Evidence

EVIDENCE_MAX = 8
"""Numbers that one finding shows besides its own."""

BOTTLENECKS_MAX = 16
"""Findings that a status and an answer hold."""


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
    window_seconds: Annotated[int | None, Field(description="Time that it covers.")] = None
    source: Annotated[Sentence, Field(description="Query, metric or formula.")]


class Severity(StrEnum):
    """How bad a finding is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


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
    threshold: Annotated[float | None, Field(description="Value from which on it counts.")] = None
    unit: Annotated[ShortText | None, Field(description="Unit of value and threshold.")] = None
    window_seconds: Annotated[int | None, Field(ge=1, description="Time that the value covers.")] = None
    query: Annotated[Sentence | None, Field(description="PromQL, or the metric, that gave the value.")] = None
    evidence: Annotated[
        tuple[Evidence, ...], Field(max_length=EVIDENCE_MAX, description="Further numbers that show it.")
    ] = ()
    recommendation: Annotated[Sentence | None, Field(description="What to do.")] = None


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


class PlanStatusRef(WireModel):
    """The plan that holds now."""

    name: Annotated[Name, Field(description="Name of the OptimizationPlan.")]
    phase: Annotated[ShortText, Field(description="Its phase.")]
    gain: Annotated[ShortText, Field(description="What it is expected to bring.")] = ""


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
    bottlenecks: Annotated[
        tuple[Bottleneck, ...], Field(max_length=BOTTLENECKS_MAX, description="What limits, worst first.")
    ] = ()
    abstentions: Annotated[
        tuple[AbstentionStatus, ...], Field(max_length=16, description="Why optimizers propose nothing.")
    ] = ()
    calibration: Annotated[
        CalibrationStatus | None, Field(description="What was learned here; absent until something was.")
    ] = None
    plan: Annotated[PlanStatusRef | None, Field(description="The plan that holds now.")] = None
