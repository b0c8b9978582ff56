"""The load of each source of improvement_pairs.json, as spec.workload has it.

All requests at once is a closed loop with as many requests in flight as there are prompts (the engine's own
max_num_seqs caps what runs). So is a rate of which less than nine tenths were served: sooner or later all requests are
there. ShareGPT without lengths: 1,000 prompts of vLLM's benchmark have 215 tokens in (dstack's
log: 215,196 for 1,000) and about 198 out.
"""

from collections.abc import Mapping
from typing import Any

from benchmarks.accuracy.formats import NotExpressibleError

_SHAREGPT = (215, 198)
_LENGTHS: dict[str, tuple[int, int]] = {  # where the file gives none, or a sentence
    "accelmark": (280, 310),
    "vllm-blog-2024-10-23-amd-mi300x": _SHAREGPT,
    "dstack-mi300x-405b": _SHAREGPT,
    "krlab-qwen3-14b": (233, 221),
}
_SERVED = 0.9
_PROMPTS = 1000  # default of benchmark_serving.py and of vllm bench throughput
_LARGEST_BATCH = 1024  # a benchmark that fills the machine ("maximum achievable throughput"): more than fits
_CAPACITY_ONLY = frozenset({"kv_cache_dtype rocm-blogs"})


def load_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """spec.workload of a pair; {} where only capacity was measured.

    Raises:
        NotExpressibleError: The source does not say what the load was.
    """
    if f"{record['setting_category']} {record['source_group']}" in _CAPACITY_ONLY:
        return {}
    tokens_in, tokens_out = _lengths(record)
    return {**_arrivals(record), "inputTokens": tokens_in, "outputTokens": tokens_out, **_prefix(record)}


def _lengths(record: Mapping[str, Any]) -> tuple[int, int]:
    stated = record["workload"].get("input_len"), record["workload"].get("output_len")
    if isinstance(stated[0], int) and isinstance(stated[1], int):
        return stated
    if isinstance(stated[0], str) and stated[0].startswith("256 prefix"):
        return 512, stated[1] or 128
    if record["source_group"] not in _LENGTHS:
        raise NotExpressibleError("lengths are not stated")
    return _LENGTHS[record["source_group"]]


def _arrivals(record: Mapping[str, Any]) -> dict[str, float]:
    """Closed where the client holds a number of requests or all are there, open at a rate that was served."""
    workload = record["workload"]
    if workload.get("batch_size"):
        return {"concurrency": workload["batch_size"]}
    if isinstance(workload.get("concurrency"), int):
        return {"concurrency": workload["concurrency"]}
    rate = workload.get("request_rate_qps")
    if isinstance(rate, int | float) and not _overrun(record, rate):
        return {"requestsPerSecond": rate}
    if "maximum achievable" in workload.get("mode", ""):
        return {"concurrency": _LARGEST_BATCH}
    return {"concurrency": workload.get("num_prompts", _PROMPTS)}


def _overrun(record: Mapping[str, Any], rate: float) -> bool:
    """Whether the server, before the change, served less than came."""
    served = record["metrics_before"].get("requests_per_s")
    return served is not None and served < _SERVED * rate


def _prefix(record: Mapping[str, Any]) -> dict[str, float]:
    """The share of prompt tokens that repeat, where the source states one."""
    text = f"{record['setting_changed']['name']} {record['workload'].get('input_len')}"
    if "50% hit rate" in text:
        return {"prefixShare": 0.5}
    if "256 prefix" in text:
        return {"prefixShare": 0.5}
    return {}
