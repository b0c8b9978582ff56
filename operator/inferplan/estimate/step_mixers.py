"""What a layer's attention or state adds to a step: bytes of caches and states, operations of prompts. Pure."""

from dataclasses import replace
from math import ceil

from inferplan.domain.architecture import (
    Attention,
    CompressedAttention,
    LatentAttention,
    LinearAttention,
    Mamba,
    Mixer,
)
from inferplan.estimate.step_shape import LayerGroup

_STATE_BYTES = 4  # recurrent states are kept in 32 bits unless the config says otherwise
_BITS_PER_BYTE = 8
_INDEX_KEY_BYTES = 2  # MiniMax M3's index keys stay in bf16
_VECTOR_SCALE_BYTES = 8  # one byte for 64 values without position, 7 of them, padded (fp8_ds_mla)
_INDEX_SCALE_BYTES = 4  # one fp32 scale per fp8 index key (DeepSeek-V3.2, vllm/v1/attention/backends/mla/indexer.py)


def with_mixer(group: LayerGroup, mixer: Mixer | None, ranks: int, value_bytes: float) -> LayerGroup:
    """The group with what its attention reads and computes.

    Args:
        group: Layers without it.
        mixer: Their attention, state space or nothing.
        ranks: GPUs that share the heads.
        value_bytes: Bytes of one value in the KV cache.
    """
    match mixer:
        case Attention():
            return _with_attention(group, mixer, ranks, value_bytes)
        case LatentAttention():
            return _with_latent(group, mixer, ranks, value_bytes)
        case CompressedAttention():
            return _with_compressed(group, mixer, ranks)
        case LinearAttention():
            cells = mixer.value_heads * mixer.key_head_dim * mixer.value_head_dim / ranks
            return _with_state(group, cells, mixer.state_bits)
        case Mamba():
            cells = mixer.heads * mixer.head_dim * mixer.state_size / ranks
            return _with_state(group, cells, mixer.state_bits)
        case _:
            return group


def _with_attention(group: LayerGroup, mixer: Attention, ranks: int, value_bytes: float) -> LayerGroup:
    """Bytes of K and V per token and rank; 2 (Q K) and 2 (P V) operations per value of a query head.

    Llama-3.1-70B, TP 8, fp8: 1 x 256 x 1 = 256 bytes; 8 heads x 2 x 256 = 4,096 operations. MiniMax M3 looks at the
    2,048 tokens that its indexer lets through, of whose keys each rank has all (vllm/models/minimax_m3, 0.33.0).
    """
    widths = mixer.head_dim + mixer.v_head_dim
    plain = replace(
        group,
        cache_bytes=max(1, ceil(mixer.kv_heads / ranks)) * widths * value_bytes,
        window=float(mixer.window or mixer.chunk or float("inf")),
        attention_flops=2.0 * mixer.heads * widths / ranks,
    )
    if mixer.indexer is None:
        return plain
    index = mixer.indexer
    return replace(
        plain,
        window=float(index.top_k),
        index_bytes=float(_INDEX_KEY_BYTES * index.head_dim),
        index_flops=2.0 * index.heads * index.head_dim,
    )


def _with_latent(group: LayerGroup, mixer: LatentAttention, ranks: int, value_bytes: float) -> LayerGroup:
    """Every rank reads the whole latent. Prompts are expanded to heads, sparse ones are not.

    DeepSeek-R1, TP 8, bf16: 576 x 2 = 1,152 bytes; 16 heads x 2 x (192 + 128) = 10,240 operations.
    """
    latent = mixer.kv_lora_rank + mixer.qk_rope_head_dim
    group = replace(group, cache_bytes=latent * value_bytes)
    if mixer.indexer is None:
        widths = mixer.qk_nope_head_dim + mixer.qk_rope_head_dim + mixer.v_head_dim
        return replace(group, attention_flops=2.0 * mixer.heads * widths / ranks)
    sparse = 2.0 * mixer.heads * (latent + mixer.kv_lora_rank) / ranks
    group = replace(group, attention_flops=sparse, window=float(mixer.indexer.top_k))
    if mixer.indexer.shared:
        return group
    return replace(
        group,
        index_bytes=float(mixer.indexer.head_dim + _INDEX_SCALE_BYTES),
        index_flops=2.0 * mixer.indexer.heads * mixer.indexer.head_dim,
    )


def _with_compressed(group: LayerGroup, mixer: CompressedAttention, ranks: int) -> LayerGroup:
    """A window of whole vectors, and one compressed vector for each `compress_ratio` tokens; each rank reads all.

    A vector is cached as fp8, its part with position in bf16, with scales (vllm/models/deepseek_v4/attention.py,
    0.33.0). DeepSeek-V4-Flash: 448 + 2 x 64 + 8 = 584 bytes; TP 8: 8 heads x 4 x 512 = 16,384 operations a vector.
    """
    vector = float(mixer.head_dim + mixer.rope_head_dim + _VECTOR_SCALE_BYTES)
    flops, ratio, index = 4.0 * mixer.heads * mixer.head_dim / ranks, mixer.compress_ratio, mixer.indexer
    if ratio == 1:
        return replace(group, cache_bytes=vector, window=float(mixer.window), attention_flops=flops)
    group = replace(group, cache_bytes=vector / ratio, attention_flops=flops / ratio)
    group = replace(group, near=float(mixer.window), near_bytes=vector, near_flops=flops)
    if index is None:
        return group
    return replace(
        group,
        window=float(index.top_k * ratio),
        index_bytes=(index.head_dim + _INDEX_SCALE_BYTES) / ratio,
        index_flops=2.0 * index.heads * index.head_dim / ratio,
    )


def _with_state(group: LayerGroup, cells: float, bits: int | None) -> LayerGroup:
    """A state is read and written for each token; three products of its size update and read it.

    Qwen3.5-397B, TP 4: 64 x 128 x 128 / 4 = 262,144 cells, 2,097,152 bytes, 1,572,864 operations.
    """
    size = bits / _BITS_PER_BYTE if bits is not None else _STATE_BYTES
    return replace(group, state_bytes=2.0 * cells * size, state_flops=6.0 * cells)
