"""InferenceInstance: one LLM serving deployment as its owner sees it (contract section 1)."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from inferplan.api.apply import ApplySpec
from inferplan.api.base import ContainerName, JsonObject, Name, Scalar, WireModel
from inferplan.api.rules import (
    CONFIG_OR_REF,
    LENGTHS_CONSISTENT,
    ONLY_ONCE,
    SLO_MONOTONE,
    TARGET_OR_CONFIG,
    rules,
)
from inferplan.api.values import Engine, QuantizationMethod


class Objective(StrEnum):
    """What a plan should favour where there is a choice."""

    THROUGHPUT = "throughput"
    LATENCY = "latency"
    BALANCED = "balanced"


class SLOMetric(StrEnum):
    """Latencies that a target can name: first token, between tokens, per output token, end to end."""

    TTFT = "ttft"
    ITL = "itl"
    TPOT = "tpot"
    E2E = "e2e"


class OptimizerName(StrEnum):
    """The optimizers, as spec.constraints.optimizers names them."""

    KV_CACHE = "kvCache"
    QUANTIZATION = "quantization"
    BATCHING = "batching"
    VERSION = "version"


OPTIMIZER_SPELLINGS = frozenset({*OptimizerName, "kv_cache"})
"""Every spelling of an optimizer's name: as spec.constraints.optimizers has it, and as a plan's type."""


class TargetRef(WireModel):
    """The workload that runs the engine, in the instance's own namespace."""

    api_version: Annotated[Literal["apps/v1"], Field(description="API version of the workload.")] = "apps/v1"
    kind: Annotated[Literal["Deployment", "StatefulSet"], Field(description="Kind of the workload.")] = "Deployment"
    name: Annotated[Name, Field(description="Name of the workload.")]
    container: Annotated[
        ContainerName | None,
        Field(description="Container that runs the engine. Default: the only one that does."),
    ] = None


class ConfigMapKeyRef(WireModel):
    """A key of a ConfigMap in the instance's namespace."""

    name: Annotated[Name, Field(description="Name of the ConfigMap.")]
    key: Annotated[str, Field(min_length=1, max_length=253, description="Key that holds config.json.")] = "config.json"


class Checkpoint(WireModel):
    """A quantized twin of the model that the owner accepts."""

    method: Annotated[QuantizationMethod, Field(description="Number format of the twin's weights.")]
    id: Annotated[str, Field(min_length=1, max_length=256, description="Model id or path of the twin.")]
    accuracy_recovery: Annotated[
        str | None,
        Field(
            pattern=r"^(0(\.[0-9]+)?|1(\.0+)?)$",
            max_length=16,
            description='Share of the original\'s score that the twin reaches, as a string: "0.995".',
        ),
    ] = None


class ModelSpec(WireModel):
    """The model. Its config.json decides how much memory weights and KV cache take."""

    model_config = ConfigDict(json_schema_extra=rules(CONFIG_OR_REF))

    id: Annotated[
        str | None,
        Field(min_length=1, max_length=256, description="Model id. Default: read from the engine's args."),
    ] = None
    config: Annotated[JsonObject | None, Field(description="Hugging Face config.json, inline.")] = None
    config_map_ref: Annotated[ConfigMapKeyRef | None, Field(description="config.json in a ConfigMap.")] = None
    checkpoints: Annotated[
        tuple[Checkpoint, ...],
        Field(max_length=16, description="Quantized twins that may be proposed; no others ever are."),
    ] = ()


class AcceleratorSpec(WireModel):
    """The GPUs of one replica, where node labels and resource limits do not say it."""

    product: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=128,
            description="GPU, as the node label nvidia.com/gpu.product has it. Default: node labels.",
        ),
    ] = None
    count: Annotated[
        int | None,
        Field(ge=1, le=1024, description="GPUs per replica. Default: the container's resource limits."),
    ] = None
    memory_gib: Annotated[
        float | None,
        Field(
            ge=1,
            le=4096,
            alias="memoryGiB",
            description="Memory of one GPU in GiB, a fraction too (39.56); overrides what the product says.",
        ),
    ] = None


class MetricsSpec(WireModel):
    """Where this instance's measurements are found."""

    prometheus_ref: Annotated[
        ContainerName, Field(description="Name of a Prometheus that the operator's administrator has set up.")
    ] = "default"
    selector: Annotated[
        dict[Annotated[str, Field(max_length=128)], Annotated[str, Field(max_length=256)]],
        Field(max_length=16, description="Labels that pick this instance's series, besides its namespace."),
    ] = {}
    window_seconds: Annotated[
        int, Field(ge=60, le=86400, description="Seconds that one look at the metrics covers.")
    ] = 900


class WorkloadSpec(WireModel):
    """Declared traffic, for when nothing is measured. Lengths in tokens per request."""

    model_config = ConfigDict(json_schema_extra=rules(*LENGTHS_CONSISTENT))

    input_tokens: Annotated[int | None, Field(ge=1, le=100_000_000, description="Mean prompt length, tokens.")] = None
    input_tokens_p95: Annotated[
        int | None,
        Field(
            ge=1, le=100_000_000, alias="inputTokensP95", description="95th percentile of the prompt length, tokens."
        ),
    ] = None
    output_tokens: Annotated[int | None, Field(ge=1, le=100_000_000, description="Mean output length, tokens.")] = None
    output_tokens_p95: Annotated[
        int | None,
        Field(
            ge=1, le=100_000_000, alias="outputTokensP95", description="95th percentile of the output length, tokens."
        ),
    ] = None
    requests_per_second: Annotated[
        float | None, Field(ge=0, le=1_000_000, description="Arrival rate over all replicas, requests per second.")
    ] = None
    concurrency: Annotated[int | None, Field(ge=1, le=1_000_000, description="Requests in flight at once.")] = None
    prefix_share: Annotated[
        float | None,
        Field(ge=0, le=1, description="Share of prompt tokens that repeat an earlier prompt's start."),
    ] = None


class SLO(WireModel):
    """One latency target: this percentile of this metric stays below the target."""

    metric: Annotated[
        SLOMetric,
        Field(
            description="ttft: to the first token. itl: between tokens. tpot: per output token. e2e: the whole request."
        ),
    ]
    percentile: Annotated[int, Field(ge=1, le=99, description="Percentile that must hold, 1 to 99.")]
    target_milliseconds: Annotated[int, Field(ge=1, le=86_400_000, description="Upper bound in milliseconds.")]


class ConstraintsSpec(WireModel):
    """What a plan may not do."""

    model_config = ConfigDict(json_schema_extra=rules(ONLY_ONCE))

    optimizers: Annotated[
        tuple[OptimizerName, ...],
        Field(min_length=1, max_length=4, description="Optimizers that may propose."),
    ] = (OptimizerName.KV_CACHE, OptimizerName.QUANTIZATION, OptimizerName.BATCHING, OptimizerName.VERSION)
    forbid: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=64)], ...],
        Field(max_length=64, description="Optimizers, config keys or flags that must not be touched."),
    ] = ()
    min_max_model_len: Annotated[
        int | None,
        Field(ge=1, le=100_000_000, description="max_model_len is never proposed below this, tokens."),
    ] = None
    minimum_gain_percent: Annotated[
        int, Field(ge=0, le=1000, description="Changes that surely bring less, in percent, are not proposed.")
    ] = 5


class InstanceSpec(WireModel):
    """What the owner says about the instance. What is left out is read from the live workload."""

    model_config = ConfigDict(json_schema_extra=rules(TARGET_OR_CONFIG))

    engine: Annotated[Engine, Field(description="Serving engine: vllm, sglang, or tgi (flagged, not tuned).")]
    engine_version: Annotated[
        str | None,
        Field(
            max_length=32,
            pattern=r"^[0-9]+\.[0-9]+(\.[0-9]+)?([.+-][0-9A-Za-z.+-]+)?$",
            description="Engine version. Default: what the engine answers on /version, else a trusted tag.",
        ),
    ] = None
    target_ref: Annotated[
        TargetRef | None, Field(description="The workload. Without it the plan rests on the spec alone.")
    ] = None
    model: Annotated[ModelSpec | None, Field(description="The model and its accepted quantized twins.")] = None
    accelerator: Annotated[
        AcceleratorSpec | None,
        Field(description="GPUs of one replica. Default: node labels and the container's resource limits."),
    ] = None
    current_config: Annotated[
        dict[Annotated[str, Field(max_length=64)], Scalar],
        Field(
            max_length=64,
            description="Settings that override what is read from the workload, by engine-neutral key.",
        ),
    ] = {}
    metrics: Annotated[MetricsSpec, Field(description="Where measurements are found.")] = MetricsSpec()
    workload: Annotated[WorkloadSpec | None, Field(description="Declared traffic, for when nothing is measured.")] = (
        None
    )
    slo: Annotated[
        tuple[SLO, ...],
        Field(
            max_length=16,
            description="Latency targets, one for each metric and percentile.",
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["metric", "percentile"],
                **rules(SLO_MONOTONE),
            },
        ),
    ] = ()
    objective: Annotated[
        Objective,
        Field(description="What to favour where there is a choice: throughput, latency, or both alike (balanced)."),
    ] = Objective.BALANCED
    constraints: Annotated[ConstraintsSpec, Field(description="What a plan may not do.")] = ConstraintsSpec()
    apply: Annotated[ApplySpec, Field(description="Whether and how plans are applied. Default: they are not.")] = (
        ApplySpec()
    )
