"""What of a running engine decides how its memory may change: formats, layout, keys that fix the cache. Pure."""

from inferplan.domain.model_card import ModelCard
from inferplan.domain.serving import ServingConfig

_HALF_BITS = 16
_BITS_OF_DTYPE = {"half": 16, "float16": 16, "bfloat16": 16, "float": 32, "float32": 32}
FIXING_KEYS = ("kv_cache_memory_bytes", "num_gpu_blocks_override")
"""Settings that fix the KV cache's size whatever memory is left."""


def running_bits(config: ServingConfig, card: ModelCard) -> int | None:
    """Bits of the number format that the model runs in; None for a dtype that is not sized.

    Without --dtype, or with auto, a float32 checkpoint runs in 16 bits (vllm/config/model.py, 0.33.0).
    """
    dtype = config.text("dtype")
    return min(card.weight_bits, _HALF_BITS) if dtype in {None, "auto"} else _BITS_OF_DTYPE.get(str(dtype))


def fixing_key(config: ServingConfig) -> str | None:
    """The setting that fixes the KV cache's size whatever memory is left, None where there is none."""
    return next((key for key in FIXING_KEYS if config.value(key) is not None), None)


def is_single_engine(config: ServingConfig) -> bool:
    """Whether tensor parallelism is all there is, and known: what a metric of one pool then says is the whole cache.

    Pipeline stages hold part of the layers, data-parallel ranks have caches of their own.
    """
    ranks = config.integer("tensor_parallel_size")
    alone = config.integer("pipeline_parallel_size") == 1 and config.integer("data_parallel_size") in {None, 1}
    return ranks is not None and ranks >= 1 and alone
