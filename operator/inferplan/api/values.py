"""The vocabulary that CR and HTTP share: what can be optimized, how much, at what risk."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from inferplan.api.base import DecidedValue, Sentence, ShortText, WireModel

CHANGES_MAX = 32
"""Changes of one optimization; a server with more flags that it refuses is a case for a person."""


class Engine(StrEnum):
    """Serving engines. TGI is end-of-life: flagged, not tuned."""

    VLLM = "vllm"
    SGLANG = "sglang"
    TGI = "tgi"


class OptimizationType(StrEnum):
    """What kind of setting an optimization changes."""

    KV_CACHE = "kv_cache"
    QUANTIZATION = "quantization"
    BATCHING = "batching"
    PARALLELISM = "parallelism"
    VERSION = "version"


class ImpactLevel(StrEnum):
    """How much an optimization is expected to matter."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Confidence(StrEnum):
    """How sure a statement is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Effort(StrEnum):
    """Work to carry a change out: low is a flag, medium a restart with care, high a new checkpoint."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class QuantizationMethod(StrEnum):
    """Number formats of weights, engine-neutral; the engine's own spelling is the change's flag value."""

    NONE = "none"
    INT8 = "int8"
    INT4 = "int4"
    FP8 = "fp8"
    AWQ = "awq"
    GPTQ = "gptq"
    NVFP4 = "nvfp4"
    MXFP4 = "mxfp4"
    BITSANDBYTES = "bitsandbytes"


class Source(StrEnum):
    """Where a value comes from, best first (contract section 2)."""

    MEASURED_HERE = "measuredHere"
    CALIBRATED_HERE = "calibratedHere"
    MEASURED_ELSEWHERE = "measuredElsewhere"
    ROOFLINE = "roofline"
    RULE_OF_THUMB = "ruleOfThumb"


class Evidence(WireModel):
    """One fact that a change or a finding rests on: a query or a formula, and what it gave."""

    metric: Annotated[ShortText | None, Field(description="Measurement that it is, by name.")] = None
    query: Annotated[Sentence | None, Field(description="PromQL, or the path of the metric that was read.")] = None
    formula: Annotated[Sentence | None, Field(description="Arithmetic, with its numbers filled in.")] = None
    value: Annotated[DecidedValue, Field(description="What query or formula gave.")] = None
    unit: Annotated[ShortText | None, Field(description="Unit of the value.")] = None
    window_seconds: Annotated[int | None, Field(ge=1, description="Time that the value covers.")] = None


class Effect(WireModel):
    """An expected change of one metric, with its interval; no expected value where it has no basis."""

    metric: Annotated[ShortText, Field(description="Metric that moves, in the field's usual terms.")]
    current: Annotated[float | None, Field(description="Value today.")] = None
    low: Annotated[float, Field(description="Lower end of the interval.")]
    expected: Annotated[
        float | None, Field(description="Most likely value; absent where only the interval has a basis.")
    ] = None
    high: Annotated[float, Field(description="Upper end of the interval.")]
    unit: Annotated[ShortText, Field(description="Unit of the values.")]
    target: Annotated[float | None, Field(description="Target of the metric; absent where it has none.")] = None
    source: Annotated[Source, Field(description="What the values rest on, best first: measuredHere … ruleOfThumb.")]
    basis: Annotated[
        Sentence | None,
        Field(description="How the interval follows from what was seen; absent where the plan's effectsBasis says it."),
    ] = None


class ConfigChange(WireModel):
    """One setting that changes."""

    parameter: Annotated[ShortText, Field(description="Engine-neutral key, as in spec.currentConfig (snake_case).")]
    flag: Annotated[ShortText | None, Field(description="The engine's own flag; absent where it has none.")] = None
    current_value: Annotated[DecidedValue, Field(description="Value today; absent when it is not known.")] = None
    recommended_value: Annotated[
        DecidedValue, Field(description="Value that the plan recommends; absent when the flag is taken out.")
    ] = None
    removes_flag: Annotated[bool, Field(description="The flag is taken out, so that the version's default holds.")] = (
        False
    )
    reason: Annotated[Sentence, Field(description="Why, in one or two sentences.")]
    evidence: Annotated[tuple[Evidence, ...], Field(max_length=8, description="What was seen.")] = ()


class Optimization(WireModel):
    """One optimization: changes that belong together, with effect, risks and what it takes."""

    id: Annotated[ShortText, Field(description="Name within the plan: `<type>_<rank>`.")] = ""
    type: Annotated[OptimizationType, Field(description="Kind of setting.")]
    title: Annotated[ShortText, Field(description="One line for people.")]
    description: Annotated[Sentence, Field(description="What was seen and why the change follows.")]
    config_changes: Annotated[
        tuple[ConfigChange, ...],
        Field(min_length=1, max_length=CHANGES_MAX, description="Settings that change together."),
    ]
    expected_impact: Annotated[ImpactLevel, Field(description="low, medium, high or critical.")]
    estimated_improvement: Annotated[Sentence, Field(description="One sentence; numbers only with a basis.")]
    effects: Annotated[tuple[Effect, ...], Field(max_length=8, description="Expected changes of metrics.")] = ()
    confidence: Annotated[Confidence, Field(description="How sure this is.")]
    source: Annotated[Source, Field(description="The weakest basis that the optimization rests on.")]
    implementation_effort: Annotated[Effort, Field(description="Work to carry it out.")]
    risks: Annotated[tuple[Sentence, ...], Field(max_length=8, description="What could go wrong.")] = ()
    undo: Annotated[Sentence, Field(description="How the change is taken back.")] = ""
    prerequisites: Annotated[tuple[Sentence, ...], Field(max_length=8, description="What must hold first.")] = ()
    raises_confidence: Annotated[
        tuple[Sentence, ...], Field(max_length=8, description="What to supply for a surer answer.")
    ] = ()
    restart_required: Annotated[bool, Field(description="Whether the engine's pods restart.")] = True
    capability_loss: Annotated[
        Sentence | None, Field(description="What clients could no longer do; absent when nothing is lost.")
    ] = None
    accuracy_risk: Annotated[
        Sentence | None,
        Field(description="What could make answers worse; absent when numerics stay the same."),
    ] = None


class KVCacheConfig(WireModel):
    """The whole resulting KV cache setting. Absent values are not known."""

    kv_cache_dtype: Annotated[ShortText | None, Field(description="Number format of the KV cache.")] = None
    gpu_memory_utilization: Annotated[
        float | None, Field(gt=0, le=1, description="Share of GPU memory that the engine may use.")
    ] = None
    block_size: Annotated[int | None, Field(ge=1, description="Tokens per KV block.")] = None
    max_model_len: Annotated[int | None, Field(ge=1, description="Longest request, tokens.")] = None
    enable_prefix_caching: Annotated[bool | None, Field(description="Whether shared prefixes are reused.")] = None


class QuantizationConfig(WireModel):
    """The whole resulting quantization setting."""

    method: Annotated[QuantizationMethod, Field(description="Number format of the weights.")]
    target_bits: Annotated[int, Field(ge=2, le=32, description="Bits per weight.")]
    quantize_weights: Annotated[bool, Field(description="Whether weights are quantized.")]
    quantize_activations: Annotated[bool, Field(description="Whether activations are quantized too.")]


class BatchingConfig(WireModel):
    """The whole resulting batching setting. Absent values are not known."""

    max_batch_size: Annotated[int | None, Field(ge=1, description="Sequences that run at once.")] = None
    max_num_batched_tokens: Annotated[int | None, Field(ge=1, description="Tokens per engine step.")] = None
    enable_chunked_prefill: Annotated[bool | None, Field(description="Whether prefills are split.")] = None
    enable_continuous_batching: Annotated[
        bool, Field(description="Requests join and leave a running batch; always so in vLLM and SGLang.")
    ] = True
    enable_dynamic_batching: Annotated[
        bool,
        Field(description="The batch size follows the load up to max_batch_size; always so in vLLM and SGLang."),
    ] = True
