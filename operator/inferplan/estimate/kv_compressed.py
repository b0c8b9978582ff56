"""What one layer of DeepSeek V4's attention keeps in vLLM's KV cache. Pure.

Up to five caches a layer: the window's vectors, the compressed ones, what the compressor has not compressed yet, and
the same two of the indexer (ratio 4). Every rank keeps all of it. get_kv_cache_spec of DeepseekV4SWACache
(vllm/v1/attention/backends/mla/sparse_swa.py), DeepseekV4Attention, DeepseekV4IndexerCache and CompressorStateCache
(vllm/models/deepseek_v4, 0.22.1 to 0.33.0; before, vllm/model_executor/layers/deepseek_v4_attention.py and
deepseek_compressor.py, 0.20.2).
"""

from collections.abc import Iterator

from inferplan.domain.architecture import CompressedAttention, Indexer
from inferplan.estimate.cache_spec import CacheKind, CacheSpec, UnsizedError
from inferplan.estimate.kv_settings import CacheSettings
from inferplan.estimate.placement import round_up

COMPRESSED_BLOCK = 256
"""Tokens per block of the compressed caches, the only size that the kernels take (get_supported_kernel_block_sizes)."""

COMPRESSED_FORMAT = "fp8_ds_mla"
"""The cache's format that FlashMLA computes, whichever FP8 is asked for (_resolve_dsv4_kv_cache_dtype, 0.33.0)."""

_VECTOR_WIDTH = 512
_VECTOR_BYTES = 584
"""A vector of 512 values: 448 in FP8, 64 with position in 2 bytes, 8 bytes of scales (448 + 128 + 8)."""

_ALIGNMENT = 576
"""Bytes that a page is padded to a multiple of (alignment=576)."""

_WINDOW_BLOCK = 64
_STATE_BLOCKS = {4: 4, 128: 8}
"""Ratio → tokens per block of the compressor's states (CompressorStateCache)."""

_FLOAT_BYTES = 4
_INDEX_SCALE_GROUP, _INDEX_SCALE_BYTES = 128, 4
_NARROW_SCALE_GROUP = 32
_FIRST_NARROW = (0, 27, 0)
"""First release whose cache takes less where the indexer's keys are in MXFP4; before, their room stays FP8's."""


def compressed_specs(mixer: CompressedAttention, settings: CacheSettings, block_size: int) -> Iterator[CacheSpec]:
    """The caches of one layer.

    Bytes of a page at ratio 4: 37,440, 37,440, 32,832, 8,640 and 8,640; at 128: 37,440, 1,728 and 32,832.

    Raises:
        UnsizedError: The release's kernels do not take such a layer, or not under these settings.
    """
    _check(mixer, settings, block_size)
    yield _window_spec(_WINDOW_BLOCK, _VECTOR_BYTES, mixer.window)
    if mixer.compress_ratio == 1:
        return
    yield _compressed(mixer.compress_ratio, _VECTOR_BYTES)
    yield _state(mixer.compress_ratio, mixer.head_dim)
    if mixer.indexer is not None:
        yield _compressed(mixer.compress_ratio, index_bytes(mixer.indexer, settings))
        yield _state(mixer.compress_ratio, mixer.indexer.head_dim)


def index_bytes(indexer: Indexer, settings: CacheSettings) -> int:
    """Bytes of one of the indexer's keys: 128 in FP8 with a scale of 4 are 132; in MXFP4 64 with 4 scales are 68."""
    width = indexer.head_dim
    if settings.narrow_index and settings.release >= _FIRST_NARROW:
        return width // 2 + width // _NARROW_SCALE_GROUP
    return width + width // _INDEX_SCALE_GROUP * _INDEX_SCALE_BYTES


def _check(mixer: CompressedAttention, settings: CacheSettings, block_size: int) -> None:
    if mixer.compress_ratio != 1 and mixer.compress_ratio not in _STATE_BLOCKS:
        raise UnsizedError(f"compressed attention of ratio {mixer.compress_ratio} is not sized")
    if mixer.head_dim != _VECTOR_WIDTH:
        raise UnsizedError(f"compressed attention is sized with heads of {_VECTOR_WIDTH} only, not {mixer.head_dim}")
    if settings.kv_format != COMPRESSED_FORMAT:
        raise UnsizedError(f"compressed attention with a KV cache in {settings.kv_format} is not sized, only in FP8")
    if block_size != COMPRESSED_BLOCK:
        raise UnsizedError(f"compressed attention takes blocks of {COMPRESSED_BLOCK} tokens, not of {block_size}")


def _compressed(ratio: int, vector_bytes: int) -> CacheSpec:
    """Vectors that stand for `ratio` tokens. Ratio 4: 64 x 584 = 37,376, made 37,440; 128: 2 x 584 = 1,168, 1,728."""
    page = round_up(COMPRESSED_BLOCK // ratio * vector_bytes, _ALIGNMENT)
    return CacheSpec(CacheKind.COMPRESSED, COMPRESSED_BLOCK, vector_bytes, (ratio,), padded_bytes=page)


def _state(ratio: int, width: int) -> CacheSpec:
    """What a compressor has not compressed: per token a value and a score in float32, at ratio 4 for two windows.

    512 wide: ratio 4 4 x 2 x 2 x 512 x 4 = 32,768, made 32,832; 128 8 x 2 x 512 x 4 = 32,768. 128 wide: 8,192, 8,640.
    """
    overlap = 2 if ratio == min(_STATE_BLOCKS) else 1
    return _window_spec(_STATE_BLOCKS[ratio], 2 * overlap * width * _FLOAT_BYTES, overlap * ratio)


def _window_spec(block_size: int, token_bytes: int, window: int) -> CacheSpec:
    page = round_up(block_size * token_bytes, _ALIGNMENT)
    return CacheSpec(CacheKind.SLIDING, block_size, token_bytes, (token_bytes,), window, padded_bytes=page)
