"""What an SGLang release does with what is not set, on that hardware. Pure.

sglang/srt/server_args.py (0.5.2 to 0.5.18) and sglang/srt/arg_groups/memory_hook.py (0.5.20, 0.5.23), read. The
memory for weights and cache (mem_fraction_static) is not among them: it depends on the CUDA graphs that the model
gets. The model is taken to be a decoder that generates text.
"""

from inferplan.dialects.situation import NotKnownError, Situation, at
from inferplan.dialects.version_order import VersionNumber
from inferplan.domain.serving import SettingValue

READ: tuple[VersionNumber, ...] = (
    # The releases whose rules were read, oldest first.
    at(0, 5, 2),
    VersionNumber((0, 5, 5), 1, 3),  # 0.5.5.post3
    at(0, 5, 8),
    at(0, 5, 10),
    at(0, 5, 12),
    at(0, 5, 15),
    at(0, 5, 18),
    at(0, 5, 20),
    at(0, 5, 23),
)

_PARSER_DEFAULTS: dict[str, SettingValue] = {
    # The same in all of them.
    "kv_cache_dtype": "auto",
    "quantization": "none",
    "dtype": "auto",
    "scheduling_policy": "fcfs",
    "tensor_parallel_size": 1,
    "pipeline_parallel_size": 1,
    "data_parallel_size": 1,
    "cpu_offload_gb": 0,
}
_SPECIAL = (
    "enable_dp_attention",
    "attn_dp_size",
    "disaggregation_mode",
    "enable_mis",
    "is_embedding",
    "dllm_algorithm",
)
"""Settings under which other hooks change caching or chunking."""


def sglang_defaults(situation: Situation) -> dict[str, SettingValue]:
    """Value by key of everything that is not set and whose default is certain."""
    values = dict(_PARSER_DEFAULTS)
    if situation.any_set(_SPECIAL):
        return values
    values["enable_prefix_caching"] = True
    try:
        values |= _chunking(situation)
    except NotKnownError:
        return values
    return values


def _chunking(situation: Situation) -> dict[str, SettingValue]:
    """Tokens of a prefill chunk by the memory of one GPU: H100-80 8192, A10 2048 up to 0.5.18, then 4096."""
    if situation.get("enable_chunked_prefill") is False or situation.get("max_num_batched_tokens") == "off":
        return {}
    tokens = _chunk(situation.release, situation.memory_gib)
    return {"max_num_batched_tokens": tokens, "enable_chunked_prefill": True}


def _chunk(release: VersionNumber, gib: float) -> int:
    steps = _STEPS_0_5_20 if release >= at(0, 5, 20) else _STEPS_0_5_5 if release > at(0, 5, 2) else _STEPS_0_5_2
    return next(tokens for below, tokens in steps if gib < below)


_REST = (160, 8192), (float("inf"), 16_384)
_STEPS_0_5_2 = ((35, 2048), *_REST)
_STEPS_0_5_5 = ((35, 2048), (60, 4096), *_REST)
_STEPS_0_5_20 = ((20, 2048), (60, 4096), *_REST)
