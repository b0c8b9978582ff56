"""The weights of one decoder layer as an engine loads them: fused matrices, by role and by how ranks share them.

Shapes follow vLLM's model files (vllm/model_executor/models/, 0.33.0: llama.py, deepseek_v2.py, qwen3_next.py,
nemotron_h.py, kimi_linear.py): q, k and v are one matrix, gate and up are one, all experts of a layer are two.
Parameters are counted as in the checkpoint.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from inferplan.domain.architecture import (
    Attention,
    DenseMLP,
    FeedForward,
    LatentAttention,
    Layer,
    LinearAttention,
    Mamba,
    Mixer,
    MixtureOfExperts,
)


class Role(StrEnum):
    """What weights are for."""

    ATTENTION = "attention"
    MLP = "mlp"
    EXPERTS = "experts"
    SHARED_EXPERTS = "sharedExperts"
    ROUTER = "router"
    EMBEDDING = "embedding"
    LM_HEAD = "lmHead"
    NORM = "norm"
    TOWER = "tower"
    OTHER = "other"


class Sharding(StrEnum):
    """How ranks share a matrix. K and V heads below the number of ranks are repeated: see Tensor.kv_heads."""

    COLUMN = "column"
    ROW = "row"
    EXPERT_COLUMN = "expertColumn"
    EXPERT_ROW = "expertRow"
    VOCABULARY = "vocabulary"
    REPLICATED = "replicated"


@dataclass(frozen=True)
class Tensor:
    """One loaded matrix, or as many equal ones as a layer has experts.

    Attributes:
        role: What it is for.
        module: Name in the layer, as vLLM has it.
        names: Names in checkpoints that quantization configs may use; without `linear` they do not matter.
        outputs: Rows that ranks share.
        inputs: Columns.
        sharding: How ranks share it.
        copies: Experts, 1 elsewhere.
        kv_heads: Key/value heads among the rows, which are repeated where there are fewer than ranks.
        kv_width: Rows of one of them, key and value together.
        kv_repeated: Rows of one of them that the checkpoint does not have, since values are keys (Gemma 4).
        linear: Whether quantization may reach it.
    """

    role: Role
    module: str
    names: tuple[str, ...]
    outputs: int
    inputs: int
    sharding: Sharding = Sharding.REPLICATED
    copies: int = 1
    kv_heads: int = 0
    kv_width: int = 0
    kv_repeated: int = 0
    linear: bool = True

    @property
    def parameters(self) -> int:
        """Parameters in the checkpoint."""
        return self.copies * (self.outputs + self.kv_heads * (self.kv_width - self.kv_repeated)) * self.inputs


_ATTENTION = ("self_attn", "attn", "attention", "mixer")
_MLP = ("mlp", "feed_forward", "ffn", "mixer")
_MOE = ("mlp", "block_sparse_moe", "feed_forward", "ffn", "mixer", "moe")
_UP = ("gate_proj", "up_proj", "gate_up_proj", "w1", "w3")
_DOWN = ("down_proj", "w2")
_SHARED = ("shared_experts", "shared_expert", "share_expert")


def layer_tensors(layer: Layer, hidden_size: int) -> tuple[Tensor, ...]:
    """All weights of a layer, fused as they are loaded.

    Llama-3.1-8B: 4096 x 6144 + 4096² + 3 x 4096 x 14336 + 2 x 4096 = 218,112,000 parameters.
    """
    parts: list[Tensor] = []
    if layer.mixer is not None:
        parts += [*_mixer(layer.mixer, hidden_size), _norm("input_layernorm", hidden_size)]
    if layer.feed_forward is not None:
        parts += [*_feed_forward(layer.feed_forward, hidden_size), _norm("post_attention_layernorm", hidden_size)]
    return tuple(parts)


def active_share(tensor: Tensor, layer: Layer) -> float:
    """The share of a tensor that one token passes: top_k of the experts, all of anything else."""
    moe = layer.feed_forward
    if tensor.role is Role.EXPERTS and isinstance(moe, MixtureOfExperts):
        return moe.top_k / moe.experts
    return 1.0


def _mixer(mixer: Mixer, hidden_size: int) -> Iterator[Tensor]:
    match mixer:
        case Attention():
            return _attention(mixer, hidden_size)
        case LatentAttention():
            return _latent(mixer, hidden_size)
        case LinearAttention():
            return _linear_attention(mixer, hidden_size)
        case Mamba():
            return _mamba(mixer, hidden_size)


def _attention(mixer: Attention, hidden_size: int) -> Iterator[Tensor]:
    """Query, key and value in one matrix, and the output; an output gate doubles the queries."""
    queries = mixer.heads * mixer.head_dim * (2 if mixer.output_gate else 1)
    heads = 0 if mixer.shares_kv else mixer.kv_heads
    kv = (heads, mixer.head_dim + mixer.v_head_dim, mixer.v_head_dim if mixer.keys_are_values else 0)
    qkv = _under(_ATTENTION, ("q_proj", "k_proj", "v_proj", "qkv_proj"))
    yield Tensor(Role.ATTENTION, "self_attn.qkv_proj", qkv, queries, hidden_size, Sharding.COLUMN, 1, *kv)
    if mixer.bias:
        name, column = "self_attn.qkv_proj.bias", Sharding.COLUMN
        yield Tensor(Role.ATTENTION, name, (), queries, 1, column, 1, *kv, linear=False)
    yield _linear(Role.ATTENTION, _ATTENTION, ("o_proj",), (hidden_size, mixer.heads * mixer.v_head_dim), Sharding.ROW)


def _latent(mixer: LatentAttention, hidden_size: int) -> Iterator[Tensor]:
    """MLA: the projections to the latent are repeated on each rank, those from it are shared by heads.

    DeepSeek-V3: q_a 7168 x 1536, q_b 1536 x 24576, kv_a 7168 x 576, kv_b 512 x 32768, o 16384 x 7168: 187,105,280.
    """
    query = mixer.heads * (mixer.qk_nope_head_dim + mixer.qk_rope_head_dim)
    latent = mixer.kv_lora_rank + mixer.qk_rope_head_dim
    at = Role.ATTENTION, _ATTENTION
    if mixer.q_lora_rank is None:
        yield _linear(*at, ("q_proj",), (query, hidden_size), Sharding.COLUMN)
    else:
        yield _linear(*at, ("q_a_proj",), (mixer.q_lora_rank, hidden_size))
        yield _linear(*at, ("q_b_proj",), (query, mixer.q_lora_rank), Sharding.COLUMN)
    yield _linear(*at, ("kv_a_proj_with_mqa",), (latent, hidden_size))
    expanded = mixer.heads * (mixer.qk_nope_head_dim + mixer.v_head_dim)
    yield _linear(*at, ("kv_b_proj",), (expanded, mixer.kv_lora_rank), Sharding.COLUMN)
    yield _linear(*at, ("o_proj",), (hidden_size, mixer.heads * mixer.v_head_dim), Sharding.ROW)
    if mixer.indexer is not None:
        inputs = mixer.q_lora_rank or hidden_size
        yield _linear(*at, ("indexer.wq_b",), (mixer.indexer.heads * mixer.indexer.head_dim, inputs))
        yield _linear(*at, ("indexer.wk",), (mixer.indexer.head_dim, hidden_size))
        yield _plain(Role.ATTENTION, "self_attn.indexer.weights_proj", mixer.indexer.heads, hidden_size)


def _linear_attention(mixer: LinearAttention, hidden_size: int) -> Iterator[Tensor]:
    """Gated delta net, or KDA with its low-rank gates; convolution, decay and norm are no linear layers."""
    keys = mixer.key_heads * mixer.key_head_dim
    values = mixer.value_heads * mixer.value_head_dim
    at = Role.ATTENTION, ("self_attn", "attn") if mixer.kind == "kda" else ("linear_attn",)
    mixed = 2 * keys + values
    if mixer.kind == "kda":
        yield _linear(*at, ("q_proj", "k_proj", "v_proj"), (mixed, hidden_size), Sharding.COLUMN)
        yield _linear(*at, ("f_a_proj", "g_a_proj"), (2 * mixer.value_head_dim, hidden_size))
        yield _linear(*at, ("f_b_proj", "g_b_proj"), (2 * values, mixer.value_head_dim), Sharding.COLUMN)
        yield _linear(*at, ("b_proj",), (mixer.value_heads, hidden_size), Sharding.COLUMN)
    else:
        names = ("in_proj_qkv", "in_proj_z", "in_proj_qkvz")
        yield _linear(*at, names, (mixed + values, hidden_size), Sharding.COLUMN)
        yield _linear(
            *at, ("in_proj_ba", "in_proj_b", "in_proj_a"), (2 * mixer.value_heads, hidden_size), Sharding.COLUMN
        )
    yield _plain(Role.ATTENTION, "linear_attn.conv1d", mixed, mixer.conv_kernel, Sharding.COLUMN)
    yield _plain(Role.ATTENTION, "linear_attn.A_log", mixer.value_heads, 2, Sharding.COLUMN)
    yield _linear(*at, ("out_proj", "o_proj"), (hidden_size, values), Sharding.ROW)


def _mamba(mixer: Mamba, hidden_size: int) -> Iterator[Tensor]:
    """Mamba-2: gate, input, B, C and the step in one projection (layers/mamba/mamba_mixer2.py)."""
    inner = mixer.heads * mixer.head_dim
    states = 2 * mixer.groups * mixer.state_size
    at = Role.ATTENTION, ("mixer", "mamba")
    yield _linear(*at, ("in_proj",), (2 * inner + states + mixer.heads, hidden_size), Sharding.COLUMN)
    yield _plain(Role.ATTENTION, "mixer.conv1d", inner + states, mixer.conv_kernel + 1, Sharding.COLUMN)
    yield _plain(Role.ATTENTION, "mixer.A", mixer.heads, 3, Sharding.COLUMN)
    yield _plain(Role.NORM, "mixer.norm", inner, 1, Sharding.COLUMN)
    yield _linear(*at, ("out_proj",), (hidden_size, inner), Sharding.ROW)


def _feed_forward(part: FeedForward, hidden_size: int) -> Iterator[Tensor]:
    match part:
        case DenseMLP():
            return _dense(part, hidden_size)
        case MixtureOfExperts():
            return _mixture(part, hidden_size)


def _dense(part: DenseMLP, hidden_size: int) -> Iterator[Tensor]:
    wide = part.intermediate_size * (2 if part.gated else 1)
    yield _linear(Role.MLP, _MLP, _UP, (wide, hidden_size), Sharding.COLUMN)
    yield _linear(Role.MLP, _MLP, _DOWN, (hidden_size, part.intermediate_size), Sharding.ROW)


def _mixture(part: MixtureOfExperts, hidden_size: int) -> Iterator[Tensor]:
    """Routed experts, shared experts, router and the projections of a latent mixture (Nemotron 3 Super)."""
    width = part.latent_size or hidden_size
    wide = part.intermediate_size * (2 if part.gated else 1)
    experts = (*_under(_MOE, ("experts",)), "experts")
    yield Tensor(
        Role.EXPERTS, "mlp.experts.w13", _under(experts, _UP), wide, width, Sharding.EXPERT_COLUMN, part.experts
    )
    yield Tensor(
        Role.EXPERTS,
        "mlp.experts.w2",
        _under(experts, _DOWN),
        width,
        part.intermediate_size,
        Sharding.EXPERT_ROW,
        part.experts,
    )
    yield _plain(Role.ROUTER, "mlp.gate", part.experts, hidden_size)
    if part.shared_intermediate_size:
        shared = (*_under(_MOE, _SHARED), *_SHARED)
        wide = part.shared_intermediate_size * (2 if part.gated else 1)
        yield _linear(Role.SHARED_EXPERTS, shared, _UP, (wide, hidden_size), Sharding.COLUMN)
        yield _linear(Role.SHARED_EXPERTS, shared, _DOWN, (hidden_size, part.shared_intermediate_size), Sharding.ROW)
    if part.latent_size is not None:
        yield _linear(Role.MLP, _MOE, ("fc1_latent_proj", "fc2_latent_proj"), (2 * part.latent_size, hidden_size))


def _linear(
    role: Role,
    where: tuple[str, ...],
    names: tuple[str, ...],
    shape: tuple[int, int],
    sharding: Sharding = Sharding.REPLICATED,
) -> Tensor:
    return Tensor(role, f"{where[0]}.{names[0]}", _under(where, names), *shape, sharding)


def _plain(role: Role, module: str, outputs: int, inputs: int, sharding: Sharding = Sharding.REPLICATED) -> Tensor:
    """A tensor that no method quantizes."""
    return Tensor(role, module, (), outputs, inputs, sharding, linear=False)


def _norm(name: str, hidden_size: int) -> Tensor:
    return _plain(Role.NORM, name, 1, hidden_size)


def _under(where: tuple[str, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{place}.{name}" for place in where for name in names)
