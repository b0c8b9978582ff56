"""Names of the engines' metrics, by engine and version.

vLLM: /metrics of 0.8.5 to 0.33.0 and the renames between them; SGLang 0.5.23 (needs --enable-metrics) and the
release each series came with; TGI 3.x. An unknown version is taken for a current one.
"""

from collections.abc import Mapping
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
        swapped: Gauge of requests whose KV cache was moved to the CPU's memory: they wait to run again.
        kv_usage: Gauge of the KV cache's use, 0 to 1.
        kv_used: Gauge of the tokens that are held for what runs, where there is no gauge of the use.
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
        accepted_share: Gauge of the share of speculated tokens that hold, where they are not counted.
        prefix_hit_share: Gauge of the share of looked up blocks that were found, where they are not counted.
        failed: Counter of requests without an answer, where `requests` does not tell how they ended.
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
        newer: Keys that this version does not have, and a newer one does.
    """

    running: str
    waiting: str
    waiting_by_reason: str | None = None
    swapped: str | None = None
    kv_usage: str | None = None
    kv_used: str | None = None
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
    accepted_share: str | None = None
    prefix_hit_share: str | None = None
    failed: str | None = None
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
    newer: frozenset[str] = frozenset()


def metric_names(engine: Engine, version: str | None) -> MetricNames:
    """The names that this version exposes."""
    newest, changes = _ENGINES[engine]
    number = version_number(version) or _NEWEST
    found = newest
    for since, older in changes:
        if number < since:
            found = replace(found, **older)  # type: ignore[arg-type]  # the table's keys are fields
    later = (key for key in KEYS if getattr(found, key) is None and getattr(newest, key) is not None)
    return replace(found, newer=frozenset(later))


_Changes = tuple[tuple[VersionNumber, dict[str, str | None]], ...]
"""From newest to oldest: what was different before that release."""


_TGI = MetricNames(
    running="tgi_batch_current_size",
    waiting="tgi_queue_size",
    kv_used="tgi_batch_current_max_tokens",
    kv_tokens="tgi_batch_total_tokens",
    requests="tgi_request_success",
    failed="tgi_request_failure",
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

_VLLM_CHANGES: _Changes = (
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
    (  # the first engine, V0
        VersionNumber((0, 9)),
        {"swapped": "vllm:num_requests_swapped", "prefix_hit_share": "vllm:gpu_prefix_cache_hit_rate"},
    ),
)


_SGLANG = MetricNames(
    running="sglang:num_running_reqs",
    waiting="sglang:num_queue_reqs",
    kv_usage="sglang:token_usage",
    preemptions="sglang:num_retracted_requests_total",
    kv_tokens="sglang:max_total_num_tokens",
    accepted_share="sglang:spec_accept_rate",
    requests="sglang:num_requests_total",
    failed="sglang:num_aborted_requests_total",
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


_SGLANG_CHANGES: _Changes = (
    (VersionNumber((0, 5, 8)), {"kv_tokens": None, "preemptions": "sglang:num_retractions_sum"}),
    (VersionNumber((0, 5, 5)), {"preemptions": None}),
    (VersionNumber((0, 5, 3)), {"preemptions": "sglang:total_retracted_reqs"}),
)
"""Retractions were a histogram over requests from 0.5.5 on; before 0.5.3 a gauge told all of them that ever were."""

_ENGINES: Mapping[Engine, tuple[MetricNames, _Changes]] = {
    Engine.VLLM: (_VLLM, _VLLM_CHANGES),
    Engine.SGLANG: (_SGLANG, _SGLANG_CHANGES),
    Engine.TGI: (_TGI, ()),
}

_BESIDE: Mapping[str, tuple[str, ...]] = {"queue_time": ("vllm:time_in_queue_requests",)}
"""What some releases of vLLM's first engine have beside the name that counts, and older ones of them alone."""


@cache
def spellings(key: str) -> tuple[str, ...]:
    """Every name that any engine and release has for a key of MetricNames, newest first; then those without colons.

    Collectors rename what they pass on: OpenTelemetry's write vllm_ for vllm: , where they are not told to keep it.
    """
    names = [name for newest, changes in _ENGINES.values() for name in _ever(key, newest, changes)]
    own = (*(name for name in names if name is not None), *_BESIDE.get(key, ()))
    return tuple(dict.fromkeys((*own, *map(without_colon, own))))


def _ever(key: str, newest: MetricNames, changes: _Changes) -> tuple[str | None, ...]:
    return getattr(newest, key), *(older[key] for _, older in changes if key in older)


def without_colon(name: str) -> str:
    """A series' name as those write it for whom a colon is no letter."""
    return name.replace(":", "_")


KEYS = tuple(entry.name for entry in fields(MetricNames) if entry.name != "newer")
"""Every key."""
