"""The labels of vllm:cache_config_info."""

from typing import Any

from inferplan_lab.engine.flags import Release
from inferplan_lab.engine.settings import EngineSettings


def info_labels(settings: EngineSettings) -> dict[str, Any]:
    """What the metric tells about the cache in the pretended release (engine facts, section 4a).

    Args:
        settings: the running engine's.

    Returns:
        Label names and values; the caller turns the values into text.
    """
    since: tuple[tuple[Release, Release | None, dict[str, Any]], ...] = (
        ((0,), (0, 17, 1), {"swap_space": 4.0}),
        ((0, 10, 2), None, {"kv_cache_memory_bytes": settings.kv_memory_bytes}),
        ((0, 11, 1), None, {"kv_offloading_size": None}),
        (
            (0, 24),
            None,
            {
                "kv_cache_size_tokens": settings.kv.size_tokens,
                "kv_cache_max_concurrency": settings.kv.max_concurrency,
            },
        ),
        ((0, 31), None, {"effective_attention_block_size": settings.kv.block_tokens}),
    )
    labels: dict[str, Any] = {
        "block_size": settings.kv.block_tokens,
        "cache_dtype": settings.kv_dtype,
        "enable_prefix_caching": settings.prefix_caching,
        "gpu_memory_utilization": settings.utilization,
        "is_attention_free": False,
        "num_cpu_blocks": None,
        "num_gpu_blocks": settings.kv.blocks,
        "num_gpu_blocks_override": settings.blocks_override,
        "sliding_window": None,
    }
    release = settings.machine.release
    for first, last, more in since:
        if first <= release and (last is None or release <= last):
            labels |= more
    return labels
