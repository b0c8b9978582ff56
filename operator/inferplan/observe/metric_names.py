"""Names of the engines' metrics, by engine and version.

vLLM: /metrics of 0.8.5 to 0.33.0 and the renames between them; SGLang 0.5.23 (needs --enable-metrics) and the
release each series came with; TGI 3.x. An unknown version is taken for a current one.
"""

from dataclasses import dataclass, replace

from inferplan.api.values import Engine
from inferplan.dialects.version_order import VersionNumber, version_number

_NEWEST = VersionNumber((9999,))


@dataclass(frozen=True)
class MetricNames:
    """Series of one engine version; None where it has no such series.

    Attributes:
        running: Gauge of running requests.
        waiting: Gauge of waiting requests.
        kv_usage: Gauge of the KV cache's use, 0 to 1.
        preemptions: Counter of preempted (SGLang: retracted) requests.
        cache_info: Info gauge whose labels hold the KV cache's blocks.
        kv_tokens: Gauge of the KV cache's tokens, where there is no info gauge.
        requests: Counter of finished requests.
        prompt_tokens: Histogram of prompt lengths, without suffix.
        generation_tokens: Histogram of answer lengths.
        ttft: Histogram of the time to the first token, seconds.
        itl: Histogram of the time between tokens.
        tpot: Histogram of each request's mean time per output token.
        e2e: Histogram of the time from request to last token.
    """

    running: str
    waiting: str
    kv_usage: str | None = None
    preemptions: str | None = None
    cache_info: str | None = None
    kv_tokens: str | None = None
    requests: str | None = None
    prompt_tokens: str | None = None
    generation_tokens: str | None = None
    ttft: str | None = None
    itl: str | None = None
    tpot: str | None = None
    e2e: str | None = None


def metric_names(engine: Engine, version: str | None) -> MetricNames:
    """The names that this version exposes."""
    number = version_number(version) or _NEWEST
    match engine:
        case Engine.VLLM:
            return _vllm(number)
        case Engine.SGLANG:
            return _sglang(number)
        case Engine.TGI:
            return _TGI


_TGI = MetricNames(
    running="tgi_batch_current_size",
    waiting="tgi_queue_size",
    requests="tgi_request_success",
    prompt_tokens="tgi_request_input_length",
    generation_tokens="tgi_request_generated_tokens",
    tpot="tgi_request_mean_time_per_token_duration",
    e2e="tgi_request_duration",
)


def _vllm(version: VersionNumber) -> MetricNames:
    """0.9.2 renamed gpu_cache_usage_perc, 0.10.2 time_per_output_token_seconds; 0.11 added the per-request one."""
    newest = MetricNames(
        running="vllm:num_requests_running",
        waiting="vllm:num_requests_waiting",
        kv_usage="vllm:kv_cache_usage_perc",
        preemptions="vllm:num_preemptions_total",
        cache_info="vllm:cache_config_info",
        requests="vllm:request_success_total",
        prompt_tokens="vllm:request_prompt_tokens",
        generation_tokens="vllm:request_generation_tokens",
        ttft="vllm:time_to_first_token_seconds",
        itl="vllm:inter_token_latency_seconds",
        tpot="vllm:request_time_per_output_token_seconds",
        e2e="vllm:e2e_request_latency_seconds",
    )
    if version < VersionNumber((0, 9, 2)):
        newest = replace(newest, kv_usage="vllm:gpu_cache_usage_perc")
    if version < VersionNumber((0, 10, 2)):
        newest = replace(newest, itl="vllm:time_per_output_token_seconds")
    return replace(newest, tpot=None) if version < VersionNumber((0, 11)) else newest


def _sglang(version: VersionNumber) -> MetricNames:
    """0.5.8 added max_total_num_tokens and num_retracted_requests_total."""
    newest = MetricNames(
        running="sglang:num_running_reqs",
        waiting="sglang:num_queue_reqs",
        kv_usage="sglang:token_usage",
        preemptions="sglang:num_retracted_requests_total",
        kv_tokens="sglang:max_total_num_tokens",
        requests="sglang:num_requests_total",
        prompt_tokens="sglang:prompt_tokens_histogram",
        generation_tokens="sglang:generation_tokens_histogram",
        ttft="sglang:time_to_first_token_seconds",
        itl="sglang:inter_token_latency_seconds",
        tpot="sglang:request_time_per_output_token_seconds",
        e2e="sglang:e2e_request_latency_seconds",
    )
    return replace(newest, preemptions=None, kv_tokens=None) if version < VersionNumber((0, 5, 8)) else newest
