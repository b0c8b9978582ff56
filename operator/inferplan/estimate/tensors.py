"""The weights of one decoder layer as an engine loads them: fused matrices, by role and by how ranks share them.

Queries, keys and values are one matrix, gate and up are one, all experts of a layer are two
(vllm/model_executor/models/, 0.33.0).
"""

from collections.abc import Iterator

from inferplan.domain.architecture import DenseMLP, FeedForward, Layer, MixtureOfExperts
from inferplan.estimate.mixer_tensors import mixer_tensors
from inferplan.estimate.tensor import Role, Sharding, Tensor, linear, plain, under

__all__ = ["Role", "Sharding", "Tensor", "active_share", "layer_tensors"]

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
        parts += [*mixer_tensors(layer.mixer, hidden_size), _norm("input_layernorm", hidden_size)]
    if layer.feed_forward is not None:
        parts += [*_feed_forward(layer.feed_forward, hidden_size), _norm("post_attention_layernorm", hidden_size)]
    return tuple(parts)


def active_share(tensor: Tensor, layer: Layer) -> float:
    """The share of a tensor that one token passes: top_k of the experts, all of anything else."""
    moe = layer.feed_forward
    if tensor.role is Role.EXPERTS and isinstance(moe, MixtureOfExperts):
        return moe.top_k / moe.experts
    return 1.0


def _feed_forward(part: FeedForward, hidden_size: int) -> Iterator[Tensor]:
    match part:
        case DenseMLP():
            return _dense(part, hidden_size)
        case MixtureOfExperts():
            return _mixture(part, hidden_size)


def _dense(part: DenseMLP, hidden_size: int) -> Iterator[Tensor]:
    wide = part.intermediate_size * (2 if part.gated else 1)
    yield linear(Role.MLP, _MLP, _UP, (wide, hidden_size), Sharding.COLUMN)
    yield linear(Role.MLP, _MLP, _DOWN, (hidden_size, part.intermediate_size), Sharding.ROW)


def _mixture(part: MixtureOfExperts, hidden_size: int) -> Iterator[Tensor]:
    """Routed experts, shared experts, router and the projections of a latent mixture (Nemotron 3 Super)."""
    width = part.latent_size or hidden_size
    wide = part.intermediate_size * (2 if part.gated else 1)
    experts = (*under(_MOE, ("experts",)), "experts")
    yield Tensor(
        Role.EXPERTS, "mlp.experts.w13", under(experts, _UP), wide, width, Sharding.EXPERT_COLUMN, part.experts
    )
    yield Tensor(
        Role.EXPERTS,
        "mlp.experts.w2",
        under(experts, _DOWN),
        width,
        part.intermediate_size,
        Sharding.EXPERT_ROW,
        part.experts,
    )
    yield plain(Role.ROUTER, "mlp.gate", part.experts, hidden_size)
    if part.shared_intermediate_size:
        shared = (*under(_MOE, _SHARED), *_SHARED)
        wide = part.shared_intermediate_size * (2 if part.gated else 1)
        yield linear(Role.SHARED_EXPERTS, shared, _UP, (wide, hidden_size), Sharding.COLUMN)
        yield linear(Role.SHARED_EXPERTS, shared, _DOWN, (hidden_size, part.shared_intermediate_size), Sharding.ROW)
    if part.latent_size is not None:
        yield linear(Role.MLP, _MOE, ("fc1_latent_proj", "fc2_latent_proj"), (2 * part.latent_size, hidden_size))


def _norm(name: str, hidden_size: int) -> Tensor:
    return plain(Role.NORM, name, 1, hidden_size)
