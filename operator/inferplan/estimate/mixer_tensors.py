"""Weights of the part of a layer that looks at other tokens, by kind.

Shapes follow vLLM's model files (vllm/model_executor/models/, 0.33.0: llama.py, deepseek_v2.py, qwen3_next.py,
kimi_linear.py, nemotron_h.py). Parameters are counted as in the checkpoint.
"""

from collections.abc import Iterator

from inferplan.domain.architecture import (
    Attention,
    CompressedAttention,
    Indexer,
    LatentAttention,
    LinearAttention,
    Mamba,
    Mixer,
)
from inferplan.estimate.tensor import Role, Sharding, Tensor, linear, plain, under

_ATTENTION = ("self_attn", "attn", "attention", "mixer")
_OVERLAPPING = 4


def mixer_tensors(mixer: Mixer, hidden_size: int) -> Iterator[Tensor]:
    """All weights of a mixer but its layer's norms."""
    match mixer:
        case Attention():
            return _attention(mixer, hidden_size)
        case LatentAttention():
            return _latent(mixer, hidden_size)
        case CompressedAttention():
            return _compressed(mixer, hidden_size)
        case LinearAttention():
            return _linear_attention(mixer, hidden_size)
        case Mamba():
            return _mamba(mixer, hidden_size)


def _attention(mixer: Attention, hidden_size: int) -> Iterator[Tensor]:
    """Query, key and value in one matrix, and the output; an output gate doubles the queries."""
    queries = mixer.heads * mixer.head_dim * (2 if mixer.output_gate else 1)
    heads = 0 if mixer.shares_kv else mixer.kv_heads
    kv = (heads, mixer.head_dim + mixer.v_head_dim, mixer.v_head_dim if mixer.keys_are_values else 0)
    qkv = under(_ATTENTION, ("q_proj", "k_proj", "v_proj", "qkv_proj"))
    yield Tensor(Role.ATTENTION, "self_attn.qkv_proj", qkv, queries, hidden_size, Sharding.COLUMN, 1, *kv)
    if mixer.bias:
        name, column = "self_attn.qkv_proj.bias", Sharding.COLUMN
        yield Tensor(Role.ATTENTION, name, (), queries, 1, column, 1, *kv, linear=False)
    yield linear(Role.ATTENTION, _ATTENTION, ("o_proj",), (hidden_size, mixer.heads * mixer.v_head_dim), Sharding.ROW)


def _latent(mixer: LatentAttention, hidden_size: int) -> Iterator[Tensor]:
    """MLA: the projections to the latent are repeated on each rank, those from it are shared by heads.

    DeepSeek-V3: q_a 7168 x 1536, q_b 1536 x 24576, kv_a 7168 x 576, kv_b 512 x 32768, o 16384 x 7168: 187,105,280.
    """
    query = mixer.heads * (mixer.qk_nope_head_dim + mixer.qk_rope_head_dim)
    latent = mixer.kv_lora_rank + mixer.qk_rope_head_dim
    at = Role.ATTENTION, _ATTENTION
    if mixer.q_lora_rank is None:
        yield linear(*at, ("q_proj",), (query, hidden_size), Sharding.COLUMN)
    else:
        yield linear(*at, ("q_a_proj",), (mixer.q_lora_rank, hidden_size))
        yield linear(*at, ("q_b_proj",), (query, mixer.q_lora_rank), Sharding.COLUMN)
    yield linear(*at, ("kv_a_proj_with_mqa",), (latent, hidden_size))
    expanded = mixer.heads * (mixer.qk_nope_head_dim + mixer.v_head_dim)
    yield linear(*at, ("kv_b_proj",), (expanded, mixer.kv_lora_rank), Sharding.COLUMN)
    yield linear(*at, ("o_proj",), (hidden_size, mixer.heads * mixer.v_head_dim), Sharding.ROW)
    if mixer.output_gate:
        yield linear(*at, ("g_proj",), (mixer.heads * mixer.v_head_dim, hidden_size), Sharding.COLUMN)
    if mixer.indexer is not None and not mixer.indexer.shared:
        yield from _indexer(mixer.indexer, mixer.q_lora_rank or hidden_size, hidden_size)
        yield linear(*at, ("indexer.wk",), (mixer.indexer.head_dim, hidden_size))


def _indexer(indexer: Indexer, rank: int, hidden_size: int) -> Iterator[Tensor]:
    """Queries from the compressed query, and a weight per head; repeated on each rank (deepseek_v2.py Indexer)."""
    at = Role.ATTENTION, _ATTENTION
    yield linear(*at, ("indexer.wq_b",), (indexer.heads * indexer.head_dim, rank))
    yield plain(Role.ATTENTION, "self_attn.indexer.weights_proj", indexer.heads, hidden_size)


def _compressed(mixer: CompressedAttention, hidden_size: int) -> Iterator[Tensor]:
    """DeepSeek V4: low-rank queries, one key/value vector, grouped low-rank output, and compressors in 16 bit.

    vllm/models/deepseek_v4/attention.py and compressor.py, 0.33.0: a compressor of ratio 4 overlaps and is twice as
    wide. DeepSeek-V4-Flash, ratio 128: 4096 x 1536 + 1024 x 32768 + 8192 x 4096 + 4096 x 8192 + 512 x 8320.
    """
    at = Role.ATTENTION, _ATTENTION
    yield linear(*at, ("wq_a", "wkv"), (mixer.q_lora_rank + mixer.head_dim, hidden_size))
    yield linear(*at, ("wq_b",), (mixer.heads * mixer.head_dim, mixer.q_lora_rank), Sharding.COLUMN)
    ranks, group = mixer.output_groups * mixer.output_lora_rank, mixer.heads * mixer.head_dim // mixer.output_groups
    yield linear(*at, ("wo_a",), (ranks, group), Sharding.COLUMN)
    yield linear(*at, ("wo_b",), (hidden_size, ranks), Sharding.ROW)
    if mixer.compress_ratio > 1:
        yield _compressor("compressor", mixer.head_dim, mixer.compress_ratio, hidden_size)
    if mixer.indexer is not None and not mixer.indexer.shared:
        yield from _indexer(mixer.indexer, mixer.q_lora_rank, hidden_size)
        yield _compressor("indexer.compressor", mixer.indexer.head_dim, mixer.compress_ratio, hidden_size)


def _compressor(name: str, head_dim: int, ratio: int, hidden_size: int) -> Tensor:
    """Values, gates, and a position embedding per token of a group."""
    wide = head_dim * (2 if ratio == _OVERLAPPING else 1)
    return plain(Role.ATTENTION, f"self_attn.{name}", wide, 2 * hidden_size + ratio)


def _linear_attention(mixer: LinearAttention, hidden_size: int) -> Iterator[Tensor]:
    """Gated delta net, or KDA with its low-rank gates; convolution, decay and norm are no linear layers."""
    keys = mixer.key_heads * mixer.key_head_dim
    values = mixer.value_heads * mixer.value_head_dim
    at = Role.ATTENTION, ("self_attn", "attn") if mixer.kind == "kda" else ("linear_attn",)
    mixed = 2 * keys + values
    if mixer.kind == "kda":
        yield linear(*at, ("q_proj", "k_proj", "v_proj"), (mixed, hidden_size), Sharding.COLUMN)
        gates = 1 if mixer.full_rank_gate else 2
        yield linear(*at, ("f_a_proj", "g_a_proj"), (gates * mixer.value_head_dim, hidden_size))
        yield linear(*at, ("f_b_proj", "g_b_proj"), (gates * values, mixer.value_head_dim), Sharding.COLUMN)
        if mixer.full_rank_gate:
            yield linear(*at, ("g_proj",), (values, hidden_size), Sharding.COLUMN)
        yield linear(*at, ("b_proj",), (mixer.value_heads, hidden_size), Sharding.COLUMN)
    else:
        names = ("in_proj_qkv", "in_proj_z", "in_proj_qkvz")
        yield linear(*at, names, (mixed + values, hidden_size), Sharding.COLUMN)
        yield linear(
            *at, ("in_proj_ba", "in_proj_b", "in_proj_a"), (2 * mixer.value_heads, hidden_size), Sharding.COLUMN
        )
    yield plain(Role.ATTENTION, "linear_attn.conv1d", mixed, mixer.conv_kernel, Sharding.COLUMN)
    yield plain(Role.ATTENTION, "linear_attn.A_log", mixer.value_heads, 2, Sharding.COLUMN)
    yield linear(*at, ("out_proj", "o_proj"), (hidden_size, values), Sharding.ROW)


def _mamba(mixer: Mamba, hidden_size: int) -> Iterator[Tensor]:
    """Mamba-2: gate, input, B, C and the step in one projection (layers/mamba/mamba_mixer2.py)."""
    inner = mixer.heads * mixer.head_dim
    states = 2 * mixer.groups * mixer.state_size
    at = Role.ATTENTION, ("mixer", "mamba")
    yield linear(*at, ("in_proj",), (2 * inner + states + mixer.heads, hidden_size), Sharding.COLUMN)
    yield plain(Role.ATTENTION, "mixer.conv1d", inner + states, mixer.conv_kernel + 1, Sharding.COLUMN)
    yield plain(Role.ATTENTION, "mixer.A", mixer.heads, 3, Sharding.COLUMN)
    yield plain(Role.NORM, "mixer.norm", inner, 1, Sharding.COLUMN)
    yield linear(*at, ("out_proj",), (hidden_size, inner), Sharding.ROW)
