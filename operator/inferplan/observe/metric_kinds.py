"""What kind of series stands behind each key of `MetricNames`, and what the engine's info gauge says of its cache."""

import math
from collections.abc import Collection, Iterable, Mapping

from inferplan.domain.measurement import MEASURED_MAX

GAUGES = ("running", "waiting", "swapped", "kv_usage", "kv_used")
"""Gauges of which mean and peak are read."""

MEANS = ("accepted_share", "prefix_hit_share")
"""Gauges of which a mean is all that is read."""

ALL_GAUGES = (*GAUGES, *MEANS, "waiting_by_reason")
"""Those that a label splits, too."""

P99 = ("kv_usage", "kv_used")
"""Gauges of which the 99th percentile over time is read, where the source can tell it."""

SHARES = frozenset({"kv_usage", *MEANS})
"""Gauges of which a replica's value is the highest of its ranks; of the others it is their sum."""

SHARE_MAX = 1 + 1e-6
"""A share may exceed 1 by what dividing floats makes of it."""

COUNTERS = (
    "preemptions",
    "requests",
    "prefix_hits",
    "decode_tokens",
    "prefix_queries",
    "prefill_tokens",
    "drafts",
    "accepted_tokens",
    "failed",
    "draft_tokens",
    "rejected",
)
"""In an order in which each third of them, every third one, has about as many names: a query reads one of these."""

SPLITS: Mapping[str, str] = {"requests": "finished_reason", "waiting_by_reason": "reason"}
"""Keys that a label splits, and that label."""

HISTOGRAMS = (
    "prompt_tokens",
    "generation_tokens",
    "ttft",
    "itl",
    "tpot",
    "e2e",
    "queue_time",
    "prefill_time",
    "step_tokens",
)


def created_name(key: str, name: str) -> str:
    """The gauge beside a counter or histogram that tells when each of its series was created."""
    return f"{name if key in HISTOGRAMS else name.removesuffix('_total')}_created"


RANK_LABELS = ("engine", "dp_rank")
"""Labels that tell a replica's schedulers apart: vLLM's and SGLang's."""

CACHE_LABELS = ("kv_cache_size_tokens", "effective_attention_block_size", "block_size", "num_gpu_blocks")
"""Labels of vllm:cache_config_info that give the KV cache's tokens."""

CACHE_TOKENS_MAX = 10**12  # no cache comes near


def cache_tokens(labels: Mapping[str, str]) -> float | None:
    """Tokens that the cache of one scheduler holds, by the labels of its info gauge; None where they do not say it.

    vLLM 0.24 and later say it themselves (kv_cache_size_tokens), which is right for models with several kinds of
    attention layers too. Before, it is blocks times tokens per block, the attention layers' own block size where it
    is told: 64 x 128 = 8,192.
    """
    told = _natural(labels.get("kv_cache_size_tokens"))
    size = _natural(labels.get("effective_attention_block_size")) or _natural(labels.get("block_size"))
    tokens = told or size * _natural(labels.get("num_gpu_blocks"))
    return float(tokens) if 0 < tokens < CACHE_TOKENS_MAX else None


def all_cache_tokens(infos: Iterable[Mapping[str, str]], stated: Collection[float]) -> float | None:
    """Tokens that a replica's caches hold together, by the info gauge of each scheduler, else by their own gauges.

    None where one of them does not say it.
    """
    sizes = [cache_tokens(labels) for labels in infos]
    if not sizes:
        return math.fsum(stated) if stated else None
    known = [size for size in sizes if size is not None]
    return math.fsum(known) if len(known) == len(sizes) else None


def is_possible(key: str, sample: float) -> bool:
    """Whether an engine can tell this under a key: nothing that is read is ever below 0, and no share above 1."""
    return 0 <= sample <= (SHARE_MAX if key in SHARES else MEASURED_MAX) or is_off(key, sample)  # NaN is not


def is_off(key: str, value: float) -> bool:
    """Whether a gauge tells that there is nothing to tell: vLLM's first engine gives -1 where it caches no prefixes."""
    return key == "prefix_hit_share" and value == -1


def highest(values: Iterable[float]) -> float:
    """The highest; NaN where any of them is none, which max alone would pass over."""
    found = tuple(values)
    return math.nan if any(map(math.isnan, found)) else max(found)


_DIGITS_MAX = 12


def _natural(text: str | None) -> int:
    """A whole number above 0 in a label; 0 for anything else ("None")."""
    if text is None or len(text) > _DIGITS_MAX or not (text.isascii() and text.isdigit()):
        return 0
    return int(text)
