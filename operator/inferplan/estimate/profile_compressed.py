"""What DeepSeek V4's attention holds in vLLM's profile run, beside what other models hold. Pure.

DeepseekV4Attention.forward, vllm/models/deepseek_v4/attention.py, forward_mqa, nvidia/flashmla.py, and
sparse_attn_indexer, vllm/model_executor/layers/sparse_attn_indexer.py (0.20.2 to 0.33.0).
"""

from dataclasses import dataclass

import numpy as np

from inferplan.domain.architecture import CompressedAttention
from inferplan.domain.model_card import ModelCard
from inferplan.domain.units import MIB
from inferplan.estimate.memory_limits import Bytes, Counts, Limits
from inferplan.estimate.placement import round_up
from inferplan.estimate.release import Release

_HALF, _FLOAT, _INDEX = 2, 4, 4
_FEW_HEADS, _MANY_HEADS = 64, 128
"""Heads that FlashMLA computes: a rank's are padded to one or the other (get_padded_num_q_heads)."""

_FIRST_PADDED = (0, 22, 0)
"""First release whose profile run pads queries, too."""

_GATHERED_REQUESTS = 4
"""PREFILL_CHUNK_SIZE: requests whose vectors are gathered at once."""

_FIRST_COMBINED = (0, 27, 0)
"""First release that keeps the chosen tokens' places in the workspace."""

_LOGITS = 512 * MIB
"""VLLM_SPARSE_INDEXER_MAX_LOGITS_MB, which a layer with an indexer allocates once."""

_RADIX = 1 * MIB
_GATHERED_KEYS, _FEWER_KEYS, _LONG_CONTEXT = 40, 16, 262_144
"""Index keys that are gathered, in max_model_len: 40, from 0.32 on 16 beyond 262,144 tokens
(sparse_mla_prefill_workspace_factor, vllm/config/vllm.py)."""

_FIRST_FEWER = (0, 32, 0)
_KEY_BYTES = 132
_STEP = 128


@dataclass(frozen=True)
class CompressedRun:
    """One rank's attention in the profile run.

    Attributes:
        release: vLLM's release.
        bytes_per_token: While a layer's attention runs, with the residual streams.
        logits_bytes: Of the indexer, at the same time.
        ratio: The least ratio above 1, whose layers gather most; 0 where no layer compresses.
        window: Tokens of the window.
        width: Width of a vector.
        top_k: Compressed vectors that the indexer lets through; 0 without one.
    """

    release: Release
    bytes_per_token: float
    logits_bytes: float
    ratio: int
    window: int
    width: int
    top_k: int

    def attention_bytes(self, tokens: Counts) -> Bytes:
        """Bytes while the widest layer's attention runs. V4-Flash, TP 8, 16,384 tokens: 3.22 GB and 512 MiB."""
        return np.asarray(self.bytes_per_token * tokens + self.logits_bytes)

    def workspace_bytes(self, limits: Limits) -> Bytes:
        """Scratch that all layers share and that stays: gathered vectors, or gathered index keys where they are more.

        131,072 tokens of context, 16,384 at once: 4 x (32,768 + 128 + 16,384) x 1,024 bytes are 202 MB, the places of
        640 tokens 42 MB; 40 x 131,072 / 4 keys of 132 bytes would be 173 MB.
        """
        gathered = self._vectors(limits) + self._places(limits)
        return np.maximum(gathered, self._keys(limits))

    def _vectors(self, limits: Limits) -> Bytes:
        context = -(-np.asarray(limits.context) // self.ratio) if self.ratio else np.asarray(0)
        return np.asarray(_GATHERED_REQUESTS * (context + self.window + limits.tokens) * self.width * _HALF)

    def _places(self, limits: Limits) -> Bytes:
        if self.release < _FIRST_COMBINED:
            return np.asarray(0.0)
        return np.asarray((round_up(self.top_k + self.window, _STEP) + 1) * _INDEX * np.asarray(limits.tokens))

    def _keys(self, limits: Limits) -> Bytes:
        if not self.top_k:
            return np.asarray(0.0)
        context = np.asarray(limits.context)
        fewer = (context > _LONG_CONTEXT) & (self.release >= _FIRST_FEWER)
        factor = np.where(fewer, _FEWER_KEYS, _GATHERED_KEYS)
        return np.asarray(context * factor // self.ratio * _KEY_BYTES + _RADIX)


def compressed_run(card: ModelCard, release: Release, tensor: int) -> CompressedRun | None:
    """The run of a model with such attention; None for others."""
    mixers = [layer.mixer for layer in card.layer_counts if isinstance(layer.mixer, CompressedAttention)]
    if not mixers:
        return None
    indexers = [mixer.indexer for mixer in mixers if mixer.indexer is not None]
    streams = (card.residual_streams + 1) * card.hidden_size * _HALF
    return CompressedRun(
        release=release,
        bytes_per_token=streams + max(_held(mixer, release, tensor) for mixer in mixers),
        logits_bytes=_LOGITS if indexers else 0.0,
        ratio=min((mixer.compress_ratio for mixer in mixers if mixer.compress_ratio > 1), default=0),
        window=max(mixer.window for mixer in mixers),
        width=max(mixer.head_dim for mixer in mixers),
        top_k=max((indexer.top_k for indexer in indexers), default=0),
    )


def _held(mixer: CompressedAttention, release: Release, tensor: int) -> float:
    """Bytes per token of one layer's attention beside the streams.

    V4-Flash, TP 8: 8 heads padded to 64 in the output and the queries, 2 x 64 x 512 x 2 = 131,072; compressed queries
    and the vector, before and after their norms 2 x 1,536 x 2 = 6,144; the compressor's values and scores
    2,048 x 4 = 8,192, the indexer's 512 x 4 = 2,048; its queries 64 x 128 = 8,192.
    """
    heads = -(-mixer.heads // tensor)
    padded = _FEW_HEADS if heads <= _FEW_HEADS else _MANY_HEADS
    queries = padded if release >= _FIRST_PADDED else heads
    held = (padded + queries) * mixer.head_dim * _HALF + 2 * (mixer.q_lora_rank + mixer.head_dim) * _HALF
    overlap = 2 if mixer.indexer is not None else 1
    if mixer.compress_ratio > 1:
        held += 2 * overlap * mixer.head_dim * _FLOAT
    if mixer.indexer is not None:
        held += mixer.indexer.head_dim * (2 * overlap * _FLOAT + mixer.indexer.heads)
    return held
