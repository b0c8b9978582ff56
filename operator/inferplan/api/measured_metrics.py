"""Measurements as a request gives them, instead of a Prometheus or an engine that is asked."""

from typing import Annotated

from pydantic import Field

from inferplan.api.base import WireModel
from inferplan.api.instance import SLOMetric


class LatencyPercentile(WireModel):
    """One percentile of one latency."""

    metric: Annotated[SLOMetric, Field(description="ttft, itl, tpot or e2e.")]
    percentile: Annotated[int, Field(ge=1, le=99, description="Percentile, 1 to 99.")]
    milliseconds: Annotated[float, Field(gt=0, description="What was measured.")]


class MeasuredMetrics(WireModel):
    """What was measured on the instance, per replica, over one window. Left out means not measured."""

    window_seconds: Annotated[int | None, Field(ge=1, description="Time that the values cover.")] = None
    num_requests_running: Annotated[float | None, Field(ge=0, description="Mean of requests running at once.")] = None
    num_requests_running_peak: Annotated[float | None, Field(ge=0, description="Most of them at once.")] = None
    num_requests_waiting: Annotated[float | None, Field(ge=0, description="Mean of requests waiting.")] = None
    num_requests_waiting_peak: Annotated[float | None, Field(ge=0, description="Most of them at once.")] = None
    waiting_for_capacity: Annotated[
        float | None, Field(ge=0, description="Mean of waiting requests that wait for room, as the engine says it.")
    ] = None
    kv_cache_usage: Annotated[
        float | None, Field(ge=0, le=1, description="Highest share of KV cache in use, 0 to 1.")
    ] = None
    kv_cache_usage_mean: Annotated[float | None, Field(ge=0, le=1, description="Mean share in use.")] = None
    kv_cache_usage_p99: Annotated[float | None, Field(ge=0, le=1, description="99th percentile of it.")] = None
    preemptions_per_second: Annotated[float | None, Field(ge=0, description="Preemptions per second.")] = None
    kv_cache_tokens: Annotated[int | None, Field(ge=1, description="Tokens that the KV cache holds.")] = None
    requests_per_second: Annotated[float | None, Field(ge=0, description="Finished requests per second.")] = None
    failed_requests_share: Annotated[
        float | None, Field(ge=0, le=1, description="Share of finished requests that ended by error or abort.")
    ] = None
    rejected_requests_per_second: Annotated[
        float | None, Field(ge=0, description="Requests that were not admitted, per second.")
    ] = None
    prompt_tokens_per_second: Annotated[float | None, Field(ge=0, description="Prompt tokens per second.")] = None
    generation_tokens_per_second: Annotated[float | None, Field(ge=0, description="Generated tokens per second.")] = (
        None
    )
    prompt_tokens_mean: Annotated[float | None, Field(gt=0, description="Mean prompt length, tokens.")] = None
    prompt_tokens_p95: Annotated[float | None, Field(gt=0, description="95th percentile of it.")] = None
    generation_tokens_mean: Annotated[float | None, Field(gt=0, description="Mean answer length, tokens.")] = None
    generation_tokens_p95: Annotated[float | None, Field(gt=0, description="95th percentile of it.")] = None
    prefix_cache_hit_share: Annotated[
        float | None, Field(ge=0, le=1, description="Share of prompt tokens that the prefix cache held.")
    ] = None
    speculation_accepted_share: Annotated[
        float | None, Field(ge=0, le=1, description="Share of speculated tokens that held.")
    ] = None
    tokens_per_step: Annotated[float | None, Field(ge=0, description="Mean of tokens in one engine step.")] = None
    tokens_per_step_p95: Annotated[float | None, Field(ge=0, description="95th percentile of it.")] = None
    queue_time_mean_milliseconds: Annotated[
        float | None, Field(ge=0, description="Mean time from arrival to the first step.")
    ] = None
    prefill_time_mean_milliseconds: Annotated[
        float | None, Field(ge=0, description="Mean time from the first step to the first token.")
    ] = None
    ttft_mean_milliseconds: Annotated[float | None, Field(gt=0, description="Mean time to the first token.")] = None
    ttft_p50_milliseconds: Annotated[float | None, Field(gt=0, description="Median of it.")] = None
    ttft_p95_milliseconds: Annotated[float | None, Field(gt=0, description="95th percentile of it.")] = None
    ttft_p99_milliseconds: Annotated[float | None, Field(gt=0, description="99th percentile of it.")] = None
    itl_mean_milliseconds: Annotated[float | None, Field(gt=0, description="Mean inter-token latency.")] = None
    itl_p50_milliseconds: Annotated[float | None, Field(gt=0, description="Median of it.")] = None
    itl_p95_milliseconds: Annotated[float | None, Field(gt=0, description="95th percentile of it.")] = None
    itl_p99_milliseconds: Annotated[float | None, Field(gt=0, description="99th percentile of it.")] = None
    e2e_mean_milliseconds: Annotated[float | None, Field(gt=0, description="Mean time from request to last token.")] = (
        None
    )
    uptime_seconds: Annotated[
        float | None, Field(ge=0, description="Time since the youngest replica's process started.")
    ] = None
    restarts: Annotated[int | None, Field(ge=0, description="Starts of engine processes within the window.")] = None
    gpu_memory_busy_share: Annotated[
        float | None, Field(ge=0, le=1, description="DCGM_FI_PROF_DRAM_ACTIVE, mean over GPUs.")
    ] = None
    gpu_tensor_busy_share: Annotated[
        float | None, Field(ge=0, le=1, description="DCGM_FI_PROF_PIPE_TENSOR_ACTIVE, mean over GPUs.")
    ] = None
    latency_percentiles: Annotated[
        tuple[LatencyPercentile, ...],
        Field(max_length=16, description="Percentiles of targets that have no field of their own."),
    ] = ()
