"""Names of the engines' metrics, by engine and version.

vLLM: /metrics of 0.8.5 to 0.33.0 and the renames between them; SGLang 0.5.23 (needs --enable-metrics) and the
release each series came with; TGI 3.x. An unknown version is taken for a current one.
"""

from dataclasses import dataclass, fields, replace
from functools import cache

from inferplan.api.values import Engine
from inferplan.dialects.version_order import VersionNumber, version_number

_NEWEST = VersionNumber((9999,))


@dataclass(frozen=True)
class MetricNames:
    """Series of one engine version; None where it has no such series.

    Attributes:
        running: Gauge of running requests.
        waiting: Gauge of waiting requests.
        waiting_by_reason: Gauge of waiting requests, split by the label `reason` (capacity or deferred).
        kv_usage: Gauge of the KV cache's use, 0 to 1.
        preemptions: Counter of preempted (SGLang: retracted) requests.
        cache_info: Info gauge whose labels hold the KV cache's blocks.
        kv_tokens: Gauge of the KV cache's tokens, where there is no info gauge.
        requests: Counter of finished requests, split by the label `finished_reason` where the engine has one.
        prefill_tokens: Counter of prompt tokens.
        decode_tokens: Counter of generated tokens.
        prefix_queries: Counter of prompt tokens that were looked up in the prefix cache.
        prefix_hits: Counter of those that were found.
        drafts: Counter of speculated steps.
        draft_tokens: Counter of speculated tokens.
        accepted_tokens: Counter of speculated tokens that held.
        rejected: Counter of requests that were not admitted.
        prompt_tokens: Histogram of prompt lengths, without suffix.
        generation_tokens: Histogram of answer lengths.
        ttft: Histogram of the time to the first token, seconds.
        itl: Histogram of the time between tokens.
        tpot: Histogram of each request's mean time per output token.
        e2e: Histogram of the time from request to last token.
        queue_time: Histogram of the time from arrival to the first step.
        prefill_time: Histogram of the time from the first step to the first token.
        step_tokens: Histogram of the tokens of one engine step.
        process_start: Gauge of the time at which the process started, Unix seconds.
    """

    running: str
    waiting: str
    waiting_by_reason: str | None = None
    kv_usage: str | None = None
    preemptions: str | None = None
    cache_info: str | None = None
    kv_tokens: str | None = None
    requests: str | None = None
    prefill_tokens: str | None = None
    decode_tokens: str | None = None
    prefix_queries: str | None = None
    prefix_hits: str | None = None
    drafts: str | None = None
    draft_tokens: str | None = None
    accepted_tokens: str | None = None
    rejected: str | None = None
    prompt_tokens: str | None = None
    generation_tokens: str | None = None
    ttft: str | None = None
    itl: str | None = None
    tpot: str | None = None
    e2e: str | None = None
    queue_time: str | None = None
    prefill_time: str | None = None
    step_tokens: str | None = None
    process_start: str | None = "process_start_time_seconds"


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
    queue_time="tgi_request_queue_duration",
)


_VLLM = MetricNames(
    running="vllm:num_requests_running",
    waiting="vllm:num_requests_waiting",
    waiting_by_reason="vllm:num_requests_waiting_by_reason",
    kv_usage="vllm:kv_cache_usage_perc",
    preemptions="vllm:num_preemptions_total",
    cache_info="vllm:cache_config_info",
    requests="vllm:request_success_total",
    prefill_tokens="vllm:prompt_tokens_total",
    decode_tokens="vllm:generation_tokens_total",
    prefix_queries="vllm:prefix_cache_queries_total",
    prefix_hits="vllm:prefix_cache_hits_total",
    drafts="vllm:spec_decode_num_drafts_total",
    draft_tokens="vllm:spec_decode_num_draft_tokens_total",
    accepted_tokens="vllm:spec_decode_num_accepted_tokens_total",
    rejected="vllm:admission_rejections_total",
    prompt_tokens="vllm:request_prompt_tokens",
    generation_tokens="vllm:request_generation_tokens",
    ttft="vllm:time_to_first_token_seconds",
    itl="vllm:inter_token_latency_seconds",
    tpot="vllm:request_time_per_output_token_seconds",
    e2e="vllm:e2e_request_latency_seconds",
    queue_time="vllm:request_queue_time_seconds",
    prefill_time="vllm:request_prefill_time_seconds",
    step_tokens="vllm:iteration_tokens_total",
)

_VLLM_CHANGES: tuple[tuple[VersionNumber, dict[str, str | None]], ...] = (
    (VersionNumber((0, 32)), {"rejected": None}),
    (VersionNumber((0, 20)), {"waiting_by_reason": None}),
    (VersionNumber((0, 11)), {"tpot": None}),
    (VersionNumber((0, 10, 2)), {"itl": "vllm:time_per_output_token_seconds"}),
    (
        VersionNumber((0, 9, 2)),
        {
            "kv_usage": "vllm:gpu_cache_usage_perc",
            "prefix_queries": "vllm:gpu_prefix_cache_queries_total",
            "prefix_hits": "vllm:gpu_prefix_cache_hits_total",
        },
    ),
)
"""From newest to oldest: what was different before that release."""


def _vllm(version: VersionNumber) -> MetricNames:
    found = _VLLM
    for since, older in _VLLM_CHANGES:
        if version < since:
            found = replace(found, **older)  # type: ignore[arg-type]  # the table's keys are fields
    return found


_SGLANG = MetricNames(
    running="sglang:num_running_reqs",
    waiting="sglang:num_queue_reqs",
    kv_usage="sglang:token_usage",
    preemptions="sglang:num_retracted_requests_total",
    kv_tokens="sglang:max_total_num_tokens",
    requests="sglang:num_requests_total",
    prefill_tokens="sglang:prompt_tokens_total",
    decode_tokens="sglang:generation_tokens_total",
    prefix_queries="sglang:prompt_tokens_total",
    prefix_hits="sglang:cached_tokens_total",
    prompt_tokens="sglang:prompt_tokens_histogram",
    generation_tokens="sglang:generation_tokens_histogram",
    ttft="sglang:time_to_first_token_seconds",
    itl="sglang:inter_token_latency_seconds",
    tpot="sglang:request_time_per_output_token_seconds",
    e2e="sglang:e2e_request_latency_seconds",
    queue_time="sglang:queue_time_seconds",
)


def _sglang(version: VersionNumber) -> MetricNames:
    """0.5.8 added max_total_num_tokens and num_retracted_requests_total."""
    return replace(_SGLANG, preemptions=None, kv_tokens=None) if version < VersionNumber((0, 5, 8)) else _SGLANG


@cache
def spellings(key: str) -> tuple[str, ...]:
    """Every name that any engine and release has for a key of MetricNames, newest first; then those without colons.

    Collectors rename what they pass on: OpenTelemetry's write vllm_ for vllm: , where they are not told to keep it.
    """
    older = (older[key] for _, older in _VLLM_CHANGES if key in older)
    names = (getattr(_VLLM, key), *older, getattr(_SGLANG, key), getattr(_TGI, key))
    own = tuple(name for name in names if name is not None)
    return tuple(dict.fromkeys((*own, *map(without_colon, own))))


def without_colon(name: str) -> str:
    """A series' name as those write it for whom a colon is no letter."""
    return name.replace(":", "_")


KEYS = tuple(entry.name for entry in fields(MetricNames))
"""Every key."""
