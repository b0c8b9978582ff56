"""The activation peak of vLLM's profile run: the widest layer, or the sampler, whichever is larger. Pure.

The run passes max_num_batched_tokens tokens through the model and samples for max_num_seqs sequences
(vllm/v1/worker/gpu_model_runner.py, profile_run, 0.8.5 to 0.33.0; V0: vllm/worker/model_runner.py, 0.6.6). Torch's
peak of allocated bytes is what the KV cache must leave free. Tokens and sequences may be numpy arrays.
"""

from dataclasses import dataclass

import numpy as np

from inferplan.domain.architecture import (
    Attention,
    CompressedAttention,
    DenseMLP,
    FeedForward,
    LatentAttention,
    Layer,
    LinearAttention,
    Mamba,
    Mixer,
    MixtureOfExperts,
)
from inferplan.domain.model_card import ModelCard
from inferplan.domain.units import MIB
from inferplan.estimate.memory_limits import Bytes, Limits
from inferplan.estimate.profile_compressed import CompressedRun, compressed_run
from inferplan.estimate.release import Release
from inferplan.estimate.sampler_memory import SamplerMemory

_HOPPER = 90
_MULTIPROCESSORS = 132
_FLOAT_BYTES = 4
_MODULAR_EXPERTS_SINCE: Release = (0, 14, 0)
_UNCHUNKED_EXPERTS_SINCE: Release = (0, 18, 0)
_SMALL_CHUNKS_SINCE: Release = (0, 12, 0)


@dataclass(frozen=True)
class Share:
    """What a rank has of the model, and who runs it.

    Attributes:
        release: vLLM's release.
        tensor: Ranks that share each layer.
        expert_shards: Ranks that share each expert's matrices; 1 where experts stay whole.
        value_bytes: Bytes of a value in the running format.
        compiled: Whether torch.compile fuses the layers: V1 without enforce_eager.
        capability: Compute capability times 10, None where it is not known or the vendor another.
        multiprocessors: Of the GPU, None where it is not known.
    """

    release: Release
    tensor: int
    expert_shards: int
    value_bytes: int
    compiled: bool
    capability: int | None
    multiprocessors: int | None = None


@dataclass(frozen=True)
class ProfileRun:
    """The peak as a function of tokens and sequences, bytes.

    Attributes:
        layer_bytes_per_token: The widest layer with the streams beside it.
        latent_bytes_per_token: MLA's workspace, per token of context.
        latent_tokens: Tokens of context that it is made for at most.
        experts_bytes_per_token: Scratch of the experts, for tokens up to `experts_tokens`.
        experts_tokens: Tokens that go through the experts at once.
        output_bytes_per_token: The last layer's output, which is there while the sampler runs.
        row_bytes: What the sampler holds of a sequence beside the vocabulary.
        vocabulary: Entries of the logits.
        sampler: Bytes per entry.
        workspace_bytes: cuBLAS's workspace.
        multiprocessors: Of the GPU: the sampler's kernel has a row of scratch for each.
        compressed: DeepSeek V4's attention, which holds more than its experts; None in other models.
    """

    layer_bytes_per_token: float
    latent_bytes_per_token: float
    latent_tokens: int
    experts_bytes_per_token: float
    experts_tokens: int
    output_bytes_per_token: float
    row_bytes: float
    vocabulary: int
    sampler: SamplerMemory
    workspace_bytes: float
    multiprocessors: int = _MULTIPROCESSORS
    compressed: CompressedRun | None = None

    def peak_bytes(self, limits: Limits, *, samples: bool = True) -> Bytes:
        """Bytes at the peak; of the layers alone on a pipeline stage that does not sample.

        Llama-3.1-8B on an H100, 8192 tokens, 1024 sequences, vLLM 0.11: 1024 x 128,256 x 38 + 8192 x 8192 + 1024 x
        16,384 + 32 MiB = 4.76 GiB, as the log says (kv_capacity_cases kv-llmd-05).
        """
        layers = self.layers_bytes(limits)
        return np.maximum(layers, self.sampler_bytes(limits)) if samples else layers

    def layers_bytes(self, limits: Limits) -> Bytes:
        """Bytes while a layer runs."""
        experts = self.experts_bytes_per_token * np.minimum(limits.tokens, self.experts_tokens)
        latent = self.latent_bytes_per_token * np.minimum(np.multiply(8.0, limits.context), self.latent_tokens)
        layer = self.layer_bytes_per_token * limits.tokens + experts + latent
        if self.compressed is not None:
            layer = np.maximum(layer, self.compressed.attention_bytes(limits.tokens))
        return np.asarray(layer + self.workspace_bytes + self._kept(limits))

    def sampler_bytes(self, limits: Limits) -> Bytes:
        """Bytes while the sampler runs: for no more sequences than tokens."""
        rows = np.minimum(limits.sequences, limits.tokens)
        entry = np.where(rows < self.sampler.many_from, self.sampler.few, self.sampler.many)
        scratch = np.minimum(rows, self.multiprocessors) * _FLOAT_BYTES if self.sampler.buffers else 0
        logits = (rows * entry + scratch) * self.vocabulary
        kept = self.output_bytes_per_token * limits.tokens + rows * self.row_bytes
        return np.asarray(logits + kept + self.workspace_bytes + self._kept(limits))

    def _kept(self, limits: Limits) -> Bytes:
        return 0.0 if self.compressed is None else self.compressed.workspace_bytes(limits)


def profile_run(card: ModelCard, share: Share, sampler: SamplerMemory) -> ProfileRun:
    """The run of one model on one rank.

    Args:
        card: The model.
        share: The rank.
        sampler: Its sampler.
    """
    kinds = card.layer_counts
    streams = (card.residual_streams + (1 if share.compiled else 2)) * card.hidden_size * share.value_bytes
    return ProfileRun(
        layer_bytes_per_token=max((_layer_bytes(layer, share) for layer in kinds), default=0) + streams,
        latent_bytes_per_token=max((_latent_bytes(layer.mixer, share) for layer in kinds), default=0),
        latent_tokens=65_536 if share.release >= (0, 11, 0) else 131_072,
        experts_bytes_per_token=max((_experts_bytes(layer, card, share) for layer in kinds), default=0),
        experts_tokens=_experts_tokens(share.release),
        output_bytes_per_token=card.hidden_size * share.value_bytes,
        row_bytes=2 * card.hidden_size * share.value_bytes,
        vocabulary=card.vocab_size,
        sampler=sampler,
        workspace_bytes=_workspace(share.capability),
        multiprocessors=share.multiprocessors or _MULTIPROCESSORS,
        compressed=compressed_run(card, share.release, share.tensor),
    )


def _workspace(capability: int | None) -> float:
    """Workspace of cuBLAS, allocated through torch: 32 MiB from Hopper on, 8.125 MiB before.

    aten/src/ATen/cuda/CublasHandlePool.cpp, parseChosenWorkspaceSize (torch 2.4 to 2.9).
    """
    return 32 * MIB if capability is None or capability >= _HOPPER else 8.125 * MIB


def _layer_bytes(layer: Layer, share: Share) -> float:
    """Bytes per token of a layer's wider half, beside the residual and hidden streams.

    Llama-3.1-8B, TP 1: gate and up 2 x 14,336 and their product 14,336 values, 86,016 bytes; with three streams of
    4096 values 110,592. V0's logs say 110,410 to 110,702 (kv_capacity_cases kv-gh10517-1 and -2).
    """
    return share.value_bytes * max(_mixer_values(layer.mixer, share), _dense_values(layer.feed_forward, share))


def _dense_values(part: FeedForward | None, share: Share) -> float:
    match part:
        case DenseMLP():
            return (3 if part.gated else 2) * part.intermediate_size / share.tensor
        case MixtureOfExperts():
            return 3 * part.shared_intermediate_size / share.tensor
        case None:
            return 0


def _mixer_values(mixer: Mixer | None, share: Share) -> float:
    """Projections in and out of the mixer, values per token."""
    match mixer:
        case Attention():
            kv_heads = max(1, mixer.kv_heads / share.tensor)
            queries = mixer.heads / share.tensor * mixer.head_dim * (2 if mixer.output_gate else 1)
            return 2 * queries + 2 * kv_heads * (mixer.head_dim + mixer.v_head_dim)
        case LatentAttention():
            query = mixer.qk_nope_head_dim + mixer.qk_rope_head_dim
            per_head = 2 * query + mixer.qk_nope_head_dim + 2 * mixer.v_head_dim
            return mixer.heads / share.tensor * per_head
        case CompressedAttention():
            return 0  # CompressedRun counts it
        case LinearAttention():
            keys, values = mixer.key_heads * mixer.key_head_dim, mixer.value_heads * mixer.value_head_dim
            return 2 * (2 * keys + 2 * values) / share.tensor
        case Mamba():
            return 2 * (2 * mixer.heads * mixer.head_dim + 2 * mixer.groups * mixer.state_size) / share.tensor
        case None:
            return 0


def _latent_bytes(mixer: Mixer | None, share: Share) -> float:
    """MLA's workspace for the context of chunked prefills, and its expansion, which the profile run allocates.

    determine_chunked_prefill_workspace_size, vllm/v1/attention/backends/mla/common.py (0.8.5 to 0.12.0) and
    vllm/model_executor/layers/attention/mla_attention.py (0.20.2 to 0.33.0): 8 x max_model_len tokens, 65,536 at most
    (131,072 to 0.10). DeepSeek-V3, TP 8: 65,536 x (16 heads x 256 + 576) values, 584 MiB.
    """
    if not isinstance(mixer, LatentAttention) or share.release < (0, 8, 0):
        return 0
    expanded = mixer.heads / share.tensor * (mixer.qk_nope_head_dim + mixer.v_head_dim)
    return share.value_bytes * (expanded + mixer.kv_lora_rank + mixer.qk_rope_head_dim)


def _experts_bytes(layer: Layer, card: ModelCard, share: Share) -> float:
    """Scratch of the experts per token.

    fused_experts_impl, vllm/model_executor/layers/fused_moe/fused_moe.py (0.8.5 to 0.13): gate and up or the output,
    whichever is wider, and the product, for each of top_k experts. TritonExperts.workspace_shapes (modular kernels;
    0.33.0) makes both as wide as the hidden size at least. DeepSeek-V3, TP 8, 0.11: 8 x (7168 + 256) values and the
    output of 7168, 133,120 bytes.
    """
    part = layer.feed_forward
    if not isinstance(part, MixtureOfExperts):
        return 0
    width = part.latent_size or card.hidden_size
    inner = part.intermediate_size / share.expert_shards
    up = (2 if part.gated else 1) * inner
    second = max(up, width) if share.release >= _MODULAR_EXPERTS_SINCE else inner
    return share.value_bytes * (part.top_k * (max(up, width) + second) + width)


def _experts_tokens(release: Release) -> int:
    """VLLM_FUSED_MOE_CHUNK_SIZE, vllm/envs.py: 32,768 to 0.11, 16,384 to 0.17; later all tokens go at once."""
    if release >= _UNCHUNKED_EXPERTS_SINCE:
        return 2**40
    return 16_384 if release >= _SMALL_CHUNKS_SINCE else 32_768
