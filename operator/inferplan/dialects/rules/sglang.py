"""SGLang's rules. Pure.

sglang/srt/server_args.py (0.5.2 to 0.5.18), sglang/srt/arg_groups/validation_hook.py (0.5.20, 0.5.23), read.
"""

from inferplan.dialects.rules.case import Case, Rule, Violation, ignored, refused
from inferplan.dialects.rules.memory import listed_values
from inferplan.dialects.rules.parallelism import heads_divide, kv_heads_divide

_GRAPH_KEYS = (
    *("cuda_graph_max_bs", "cuda_graph_bs", "cuda_graph_max_bs_decode", "cuda_graph_bs_decode"),
    *("cuda_graph_max_bs_prefill", "cuda_graph_bs_prefill"),
)


def chunk_is_whole_pages(case: Case) -> Violation | None:
    """A chunk of a prompt ends with a page of the cache."""
    situation = case.situation
    if situation.get("disaggregation_mode") == "decode":
        return None
    chunk, page = situation.need("max_num_batched_tokens"), situation.need("block_size")
    if chunk <= 0 or page <= 0 or chunk % page == 0:
        return None
    why = f"max_num_batched_tokens (chunked_prefill_size) {chunk} is no multiple of block_size (page_size) {page}"
    source = "sglang/srt/arg_groups/validation_hook.py, check of chunked prefill; 0.5.2 to 0.5.23"
    return refused(("max_num_batched_tokens", "block_size"), why, source)


def graphs_without_effect(case: Case) -> Violation | None:
    """No CUDA graphs are captured."""
    given = tuple(key for key in _GRAPH_KEYS if case.explicit(key))
    if case.situation.get("enforce_eager") is not True or not given:
        return None
    why = f"{', '.join(given)}: no effect with enforce_eager (disable_cuda_graph)"
    return ignored((*given, "enforce_eager"), why, "engine-facts section 4f: --disable-cuda-graph, 0.5.23")


SGLANG_RULES: tuple[Rule, ...] = (
    heads_divide,
    kv_heads_divide,
    chunk_is_whole_pages,
    graphs_without_effect,
    *map(listed_values, ("kv_cache_dtype", "quantization", "dtype", "scheduling_policy", "attention_backend")),
)
