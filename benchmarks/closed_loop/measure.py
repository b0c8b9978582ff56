"""What was measured in a run, from the engine's pages and from the clients. Times in milliseconds."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from statistics import fmean

from benchmarks.closed_loop.running import Run
from prometheus_client.parser import text_string_to_metric_families

from inferplan_lab.load.summary import Summary

Measures = Mapping[str, float]
Series = dict[str, dict[str, float]]
"""Sums over labels, by the sample's name and, of a histogram's buckets, by le ("" elsewhere)."""

COUNTERS = {
    "output_tokens_per_second": "vllm:generation_tokens_total",
    "prompt_tokens_per_second": "vllm:prompt_tokens_total",
    "requests_per_second": "vllm:request_success_total",
    "preemptions_per_second": "vllm:num_preemptions_total",
}
LATENCIES = {
    "ttft": "vllm:time_to_first_token_seconds",
    "itl": "vllm:inter_token_latency_seconds",
    "tpot": "vllm:request_time_per_output_token_seconds",
    "e2e": "vllm:e2e_request_latency_seconds",
}
GAUGES = {
    "num_requests_running": "vllm:num_requests_running",
    "num_requests_waiting": "vllm:num_requests_waiting",
    "kv_cache_usage": "vllm:kv_cache_usage_perc",
}
PERCENTILES = (50, 90, 95, 99)
_SUM, _COUNT, _BUCKET = "_sum", "_count", "_bucket"


def series(page: str) -> Series:
    """The samples of a page, summed over all labels but le."""
    found: Series = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            own = found.setdefault(sample.name, {})
            bound = sample.labels.get("le", "")
            own[bound] = own.get(bound, 0.0) + sample.value
    return found


def taken_at(page: str) -> float:
    """When a page was taken, Unix seconds."""
    return datetime.fromisoformat(page.split("\n", 1)[0].removeprefix("# scraped-at: ")).timestamp()


def kv_cache_tokens(page: str) -> float | None:
    """Tokens that the KV cache holds: blocks x block size; None where the page does not tell."""
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name == "vllm:cache_config_info":
                return float(sample.labels["num_gpu_blocks"]) * float(sample.labels["block_size"])
    return None


def by_pages(pages: Sequence[str]) -> Measures:
    """Rates, means and percentiles between the first and the last page, and means of the gauges on all of them."""
    every = [series(page) for page in pages]
    first, last, seconds = every[0], every[-1], taken_at(pages[-1]) - taken_at(pages[0])
    found = {key: (_total(last, name) - _total(first, name)) / seconds for key, name in COUNTERS.items()}
    for key, name in LATENCIES.items():
        found |= _latency(key, name, first, last)
    found |= {key: fmean(_total(one, name) for one in every) for key, name in GAUGES.items()}
    tokens = kv_cache_tokens(pages[-1])
    return found if tokens is None else {**found, "kv_cache_tokens": tokens}


def by_clients(seen: Summary) -> Measures:
    """The same from outside: answers that were whole between the first and the last page.

    The time between tokens is that of all tokens, not a mean of the requests' means.
    """
    found = {"output_tokens_per_second": seen.output_tokens / seen.seconds}
    if seen.answers:
        found |= {"ttft_mean": 1e3 * fmean(seen.first_token), "e2e_mean": 1e3 * fmean(seen.latency)}
    gaps = sum(answer.tokens - 1 for answer in seen.answers)
    if gaps:
        found["itl_mean"] = 1e3 * sum(answer.ended - answer.first for answer in seen.answers) / gaps
    return found


def measured(run: Run) -> dict[str, Measures]:
    """Both views of a run, and who else was there."""
    return {"pages": by_pages(run.pages), "clients": by_clients(run.seen), "machine": {"others": run.others}}


def _total(found: Series, name: str) -> float:
    return found.get(name, {}).get("", 0.0)


def _latency(key: str, name: str, first: Series, last: Series) -> dict[str, float]:
    counted = _total(last, name + _COUNT) - _total(first, name + _COUNT)
    if counted <= 0:
        return {}
    mean = (_total(last, name + _SUM) - _total(first, name + _SUM)) / counted
    before, after = first.get(name + _BUCKET, {}), last[name + _BUCKET]
    buckets = sorted((float(bound), count - before.get(bound, 0.0)) for bound, count in after.items())
    shares = {f"{key}_p{share}": 1e3 * quantile(buckets, share / 100) for share in PERCENTILES}
    return {f"{key}_mean": 1e3 * mean, **shares}


def quantile(buckets: Sequence[tuple[float, float]], share: float) -> float:
    """A quantile of a histogram, linear within its bucket, as Prometheus' histogram_quantile has it.

    Args:
        buckets: upper bound and cumulative count, rising; the last bound is infinite.
        share: within (0, 1).

    Returns:
        In the bounds' unit; the last finite bound where the quantile lies above it.
    """
    wanted, low, below = share * buckets[-1][1], 0.0, 0.0
    for bound, count in buckets[:-1]:
        if count >= wanted:
            return low + (bound - low) * (wanted - below) / (count - below)
        low, below = bound, count
    return low
