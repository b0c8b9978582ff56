"""Requests and answers of the HTTP API (contract section 4), from the same models as the CRs."""

from typing import Annotated

from pydantic import Field

from inferplan.api.base import Scalar, ShortText, WireModel
from inferplan.api.instance import SLO, AcceleratorSpec, ConstraintsSpec, ModelSpec, Objective, WorkloadSpec
from inferplan.api.plan import Decision, Timestamp


class MeasuredMetrics(WireModel):
    """What was measured on the instance, per replica, over one window. Left out means not measured."""

    window_seconds: Annotated[int | None, Field(ge=1, description="Time that the values cover.")] = None
    num_requests_running: Annotated[float | None, Field(ge=0, description="Mean of requests running at once.")] = None
    num_requests_waiting: Annotated[float | None, Field(ge=0, description="Mean of requests waiting.")] = None
    kv_cache_usage: Annotated[
        float | None, Field(ge=0, le=1, description="Highest share of KV cache in use, 0 to 1.")
    ] = None
    preemptions_per_second: Annotated[float | None, Field(ge=0, description="Preemptions per second.")] = None
    kv_cache_tokens: Annotated[int | None, Field(ge=1, description="Tokens that the KV cache holds.")] = None
    itl_mean_milliseconds: Annotated[float | None, Field(gt=0, description="Mean inter-token latency.")] = None
    itl_p99_milliseconds: Annotated[float | None, Field(gt=0, description="99th percentile of it.")] = None
    requests_per_second: Annotated[float | None, Field(ge=0, description="Finished requests per second.")] = None


class OptimizeRequest(WireModel):
    """Body of POST /api/v1/optimize. Only id and type are needed; the more is given, the surer the answer."""

    instance_id: Annotated[ShortText, Field(min_length=1, description="host:port, namespace/name or any name.")]
    instance_type: Annotated[str, Field(max_length=64, description="Serving engine: vllm, sglang or tgi.")]
    engine_version: Annotated[str | None, Field(max_length=32, description="Engine version.")] = None
    current_config: Annotated[
        dict[Annotated[str, Field(max_length=64)], Scalar],
        Field(max_length=64, description="Settings by engine-neutral key or by the engine's flag."),
    ] = {}
    constraints: Annotated[ConstraintsSpec, Field(description="What the plan may not do.")] = ConstraintsSpec()
    slo_targets: Annotated[tuple[SLO, ...], Field(max_length=16, description="Latency targets.")] = ()
    objective: Annotated[Objective, Field(description="What to favour.")] = Objective.BALANCED
    workload: Annotated[WorkloadSpec | None, Field(description="Declared traffic.")] = None
    model: Annotated[ModelSpec | None, Field(description="The model.")] = None
    accelerator: Annotated[AcceleratorSpec | None, Field(description="GPUs of one replica.")] = None
    metrics: Annotated[MeasuredMetrics | None, Field(description="What was measured.")] = None


class OptimizeResponse(Decision):
    """Answer of POST /api/v1/optimize."""

    instance_id: Annotated[ShortText, Field(description="As in the request.")]
    instance_type: Annotated[ShortText, Field(description="As in the request.")]
    timestamp: Annotated[Timestamp, Field(description="When the plan was made.")]


class ErrorResponse(WireModel):
    """Every refusal: what is wrong and what is allowed."""

    error: Annotated[str, Field(description="One line.")]
    field: Annotated[str | None, Field(description="Field that is meant.")] = None
    allowed: Annotated[tuple[str, ...] | None, Field(description="Allowed values.")] = None
