"""OptimizationPlan: ranked changes to one instance; the spec is decided once (contract section 2)."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from inferplan.api.attempt import AttemptStatus, CanaryStatus, RollbackStatus, VerificationStatus, WindowStatus
from inferplan.api.base import Name, Sentence, ShortText, WireModel
from inferplan.api.conditions import Condition
from inferplan.api.rules import APPROVAL_NAMES_PLAN, immutable_except, rules
from inferplan.api.values import (
    BatchingConfig,
    Confidence,
    Effect,
    Engine,
    ImpactLevel,
    KVCacheConfig,
    Optimization,
    QuantizationConfig,
    Source,
)

Timestamp = Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]
Digest = Annotated[str, Field(max_length=64, pattern=r"^[0-9a-f]{64}$")]
LongText = Annotated[str, Field(max_length=32_768)]


class Phase(StrEnum):
    """What became of a plan."""

    PROPOSED = "Proposed"
    AWAITING_APPROVAL = "AwaitingApproval"
    SCHEDULED = "Scheduled"
    CANARY = "Canary"
    APPLYING = "Applying"
    ROLLING_OUT = "RollingOut"
    VERIFYING = "Verifying"
    VERIFIED = "Verified"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"
    REJECTED = "Rejected"
    SUPERSEDED = "Superseded"
    FAILED = "Failed"


class InstanceRef(WireModel):
    """The instance that a plan is for, in the same namespace."""

    name: Annotated[Name, Field(description="Name of the InferenceInstance.")]


class EngineRef(WireModel):
    """The engine that a plan is for."""

    name: Annotated[Engine, Field(description="Serving engine.")]
    version: Annotated[ShortText | None, Field(description="Its version; absent when it is not known.")] = None


class PlanTarget(WireModel):
    """The exact workload that a plan was made for; an approval holds for exactly this."""

    kind: Annotated[ShortText, Field(description="Deployment or StatefulSet.")]
    name: Annotated[Name, Field(description="Name of the workload.")]
    container: Annotated[ShortText, Field(description="Container that runs the engine.")]
    generation: Annotated[int, Field(ge=0, description="metadata.generation of the workload.")]
    args_digest: Annotated[Digest, Field(description="SHA-256 of the container's command and args.")]
    image: Annotated[str | None, Field(max_length=1024, description="The container's image.")] = None
    context_digest: Annotated[
        Digest | None,
        Field(description="SHA-256 of image, model and GPUs: a plan that failed is not made again while this holds."),
    ] = None


class PlanSummary(WireModel):
    """The plan in a line, for `kubectl get`."""

    changes: Annotated[ShortText, Field(description="Settings that change.")]
    impact: Annotated[ImpactLevel, Field(description="Highest expected impact.")]
    gain: Annotated[ShortText, Field(description="Expected gain, or why it has no number.")]
    confidence: Annotated[Confidence, Field(description="Lowest confidence.")]
    restart: Annotated[bool, Field(description="Whether pods restart.")]
    risk: Annotated[ShortText, Field(description="The gravest risk.")]


class MemoryTerm(WireModel):
    """One term of a GPU's memory, bytes."""

    name: Annotated[ShortText, Field(description="What takes the memory.")]
    bytes: Annotated[int, Field(ge=0, description="Bytes per GPU.")]
    source: Annotated[Source, Field(description="What the number rests on.")]
    basis: Annotated[Sentence, Field(description="Formula or measurement.")]


class MemoryState(WireModel):
    """Memory of one GPU, every term; the terms sum to totalBytes."""

    terms: Annotated[tuple[MemoryTerm, ...], Field(max_length=16, description="What takes the memory.")]
    total_bytes: Annotated[int, Field(ge=0, description="Memory that the engine may use, per GPU.")]
    kv_cache_tokens: Annotated[int, Field(ge=0, description="Tokens that the KV cache holds.")]


class MemoryBudget(WireModel):
    """Memory per GPU before and after the plan."""

    before: Annotated[MemoryState, Field(description="Memory today.")]
    after: Annotated[MemoryState, Field(description="Memory with the plan.")]


class Alternative(WireModel):
    """Another point of the latency/throughput frontier."""

    title: Annotated[ShortText, Field(description="The choice in a line.")]
    description: Annotated[Sentence, Field(description="What it would trade.")]
    effects: Annotated[tuple[Effect, ...], Field(max_length=8, description="Expected changes of metrics.")] = ()


class Rejected(WireModel):
    """An option that was considered and left out."""

    option: Annotated[ShortText, Field(description="The option that was left out.")]
    code: Annotated[ShortText, Field(description="Reason in CamelCase.")]
    reason: Annotated[Sentence, Field(description="One sentence for people.")]
    cost: Annotated[Sentence | None, Field(description="What the constraint costs; absent when not known.")] = None


class AbstentionNote(WireModel):
    """An optimizer that proposes nothing, and what would change that."""

    optimizer: Annotated[ShortText, Field(description="The optimizer that abstains.")]
    code: Annotated[ShortText, Field(description="Reason in CamelCase.")]
    reason: Annotated[Sentence, Field(description="One sentence for people.")]


class Patch(WireModel):
    """How the plan changes the container, or why that cannot be written down."""

    applicable: Annotated[bool, Field(description="Whether the arguments can be edited with certainty.")]
    reason: Annotated[
        Sentence | None, Field(description="Why the arguments cannot be edited; absent when they can.")
    ] = None
    diff: Annotated[LongText | None, Field(description="Container args before and after, unified diff.")] = None
    server_side_apply: Annotated[LongText | None, Field(description="Body of the server-side apply, JSON.")] = None
    command: Annotated[LongText | None, Field(description="kubectl line that does the same by hand.")] = None


class Decision(WireModel):
    """What the engine decides; the part that CR and HTTP answer share."""

    optimizations: Annotated[tuple[Optimization, ...], Field(max_length=8, description="Changes, best first.")]
    kv_cache_config: Annotated[KVCacheConfig | None, Field(description="The whole resulting KV cache setting.")] = None
    quantization_config: Annotated[
        QuantizationConfig | None, Field(description="The whole resulting quantization setting.")
    ] = None
    batching_config: Annotated[BatchingConfig | None, Field(description="The whole resulting batching setting.")] = None
    priority_order: Annotated[tuple[ShortText, ...], Field(max_length=8, description="Ids, best first.")]
    estimated_total_improvement: Annotated[Sentence, Field(description="The combination, in a sentence.")]
    effects: Annotated[tuple[Effect, ...], Field(max_length=8, description="Effects of the combination.")] = ()
    effects_basis: Annotated[
        Sentence | None,
        Field(description="What every effect of the plan rests on that names no basis of its own."),
    ] = None
    memory_budget: Annotated[MemoryBudget | None, Field(description="Memory per GPU, term by term.")] = None
    alternatives: Annotated[
        tuple[Alternative, ...], Field(max_length=8, description="Other points of the latency/throughput frontier.")
    ] = ()
    rejected: Annotated[tuple[Rejected, ...], Field(max_length=16, description="Options left out, and why.")] = ()
    abstentions: Annotated[
        tuple[AbstentionNote, ...],
        Field(max_length=16, description="Optimizers that propose nothing, and why."),
    ] = ()
    summary: Annotated[PlanSummary, Field(description="The plan in a line.")]


class Approval(WireModel):
    """A person's word on a plan; when it was given is in the status, condition Approved."""

    model_config = ConfigDict(json_schema_extra=rules(APPROVAL_NAMES_PLAN))

    approved: Annotated[
        bool, Field(description="true approves; false rejects, and undoes a plan that the workload carries.")
    ]
    by: Annotated[
        str | None, Field(min_length=1, max_length=1024, description="User name of who approves or rejects.")
    ] = None
    plan_hash: Annotated[Digest | None, Field(description="spec.planHash of what was approved.")] = None
    note: Annotated[
        str | None, Field(min_length=1, max_length=1024, description="Why, in the words of who approves or rejects.")
    ] = None

    @property
    def told(self) -> str:
        """Who it was, and the note where there is one: "ada approved it: seen in staging"."""
        said = f"{self.by or 'somebody'} {'approved' if self.approved else 'rejected'} it"
        return f"{said}: {self.note}" if self.note is not None else said


class PlanSpec(Decision):
    """What was decided. Only `approval` may change after creation."""

    model_config = ConfigDict(json_schema_extra=immutable_except("approval"))

    instance_ref: Annotated[InstanceRef, Field(description="The instance that the plan is for.")]
    engine: Annotated[EngineRef, Field(description="The engine that the plan is for.")]
    observed_at: Annotated[Timestamp, Field(description="When the observation was made.")]
    observation_digest: Annotated[Digest, Field(description="SHA-256 of the observation.")]
    plan_hash: Annotated[Digest, Field(description="SHA-256 of the decision: same decision, same plan.")]
    target: Annotated[PlanTarget | None, Field(description="The workload; absent when the spec names none.")] = None
    patch: Annotated[Patch | None, Field(description="How the container changes.")] = None
    approval: Annotated[Approval | None, Field(description="A person's word; the only part that may change.")] = None


class PlanStatus(WireModel):
    """What became of the plan."""

    observed_generation: Annotated[int | None, Field(ge=0, description="metadata.generation that was seen.")] = None
    phase: Annotated[Phase, Field(description="What became of the plan.")] = Phase.PROPOSED
    message: Annotated[Sentence, Field(description="The phase in a sentence.")] = ""
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            max_length=32,
            description="Observed aspects of the plan.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()
    applied_at: Annotated[Timestamp | None, Field(description="When it was applied.")] = None
    baseline: Annotated[
        WindowStatus | None,
        Field(description="The busiest window before it was applied; what follows is held against it."),
    ] = None
    attempt: Annotated[
        AttemptStatus | None, Field(description="The try that runs, or ran last; written before anything is touched.")
    ] = None
    canary: Annotated[
        CanaryStatus | None, Field(description="One replica with the plan, before the workload carries it.")
    ] = None
    retry_at: Annotated[Timestamp | None, Field(description="When it is tried again, after a failure.")] = None
    refused_generation: Annotated[
        int | None,
        Field(ge=0, description="metadata.generation of the instance that failed; with another it is tried at once."),
    ] = None
    failures: Annotated[int, Field(ge=0, description="Tries in a row that did not reach the workload.")] = 0
    rollback: Annotated[RollbackStatus | None, Field(description="What to restore to undo the plan.")] = None
    verification: Annotated[VerificationStatus | None, Field(description="Predicted against realized.")] = None
