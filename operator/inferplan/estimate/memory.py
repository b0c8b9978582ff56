"""Memory of one GPU, term by term (engine-facts section 3: vLLM's KV planner)."""

from dataclasses import dataclass

from inferplan.domain.model_card import ModelCard
from inferplan.domain.units import MIB

_BITS_PER_BYTE = 8
_KV_BYTES = {"fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1, "bfloat16": 2, "float16": 2}

SAMPLER_BYTES_PER_LOGIT = 32
"""Upper bound of what sampling holds per sequence and vocabulary entry at its peak: logits, sorted values,
probabilities and cumulated sums in float32 (4 x 4), sort indices in int64 (8), one temporary (8).
A margin for the gate, not an estimate of the mean. 128,256 entries: 4.1 MB per sequence."""

GRAPH_BYTES_PER_SIZE = 30 * MIB
"""Margin per CUDA graph size: 1.88 GiB for the 67 sizes up to 512 is the most in the public logs of text
models (gpt-oss-120b, TP 4, A100-80; engine-facts section 3f), 28.7 MiB a size."""


def kv_bytes_per_token(card: ModelCard, kv_cache_dtype: str, tensor_parallel_size: int) -> int | None:
    """Bytes that one token takes in one GPU's KV cache; None for a number format that is not sized.

    layers x 2 x heads per GPU x head_dim x bytes (vllm/v1/kv_cache_interface.py, 0.33.0; KV heads below the
    TP degree are replicated). Qwen3-8B, bf16, TP 1: 36 x 2 x 8 x 128 x 2 = 147,456.
    """
    width = card.weight_bits // _BITS_PER_BYTE if kv_cache_dtype == "auto" else _KV_BYTES.get(kv_cache_dtype)
    if width is None:
        return None
    heads = max(1, card.kv_heads // tensor_parallel_size)
    return card.layers * 2 * heads * card.head_dim * width


def parameter_count(card: ModelCard) -> tuple[int, int]:
    """Parameters of the linear layers, and of everything else (embeddings, lm_head, norms).

    Llama-3.1-8B: 32 x (4096 x 6144 + 4096 x 4096 + 3 x 4096 x 14336) = 6,979,321,856 and 1,050,939,392.
    """
    attention = card.hidden_size * card.head_dim * (2 * card.heads + 2 * card.kv_heads)
    linear = card.layers * (attention + 3 * card.hidden_size * card.intermediate_size)
    embeddings = card.vocab_size * card.hidden_size * (1 if card.tied_embeddings else 2)
    return linear, embeddings + card.hidden_size * (2 * card.layers + 1)


def weight_bytes(card: ModelCard, tensor_parallel_size: int) -> int:
    """Bytes of the published weights on one GPU. Llama-3.1-8B, bf16, TP 1: 16,060,522,496."""
    linear, other = parameter_count(card)
    return (linear + other) * card.weight_bits // _BITS_PER_BYTE // tensor_parallel_size


def fp8_weight_savings_bytes(card: ModelCard, tensor_parallel_size: int) -> int:
    """Bytes that FP8 linear layers free on one GPU; embeddings, lm_head and norms stay as they are.

    Llama-3.1-8B, bf16, TP 1: 6,979,321,856 x (2 - 1) = 6,979,321,856 bytes.
    """
    linear, _ = parameter_count(card)
    return linear * (card.weight_bits - _BITS_PER_BYTE) // _BITS_PER_BYTE // tensor_parallel_size


def graph_sizes(max_num_seqs: int) -> int:
    """How many CUDA graph sizes vLLM captures, up to min(2 x max_num_seqs, 512).

    They are 1, 2, 4, every 8 to 256 and every 16 above (vllm/config/vllm.py, 0.33.0).
    256 and more sequences: 3 + 32 + 16 = 51 sizes. 32 sequences: 3 + 8 = 11.
    """
    largest = min(2 * max_num_seqs, 512)
    return sum(size <= largest for size in (1, 2, 4, *range(8, 257, 8), *range(272, 513, 16)))


@dataclass(frozen=True)
class BatchCost:
    """Upper bound of the memory that a larger batch takes from the KV cache, bytes per GPU."""

    sampler_bytes: int
    graph_bytes: int

    @property
    def total_bytes(self) -> int:
        """Both together."""
        return self.sampler_bytes + self.graph_bytes


def batch_cost(card: ModelCard, before: int, after: int) -> BatchCost:
    """What raising max_num_seqs from `before` to `after` costs at most; zero when it is lowered.

    Llama-3.1-8B, 32 → 64: 32 x 128,256 x 32 = 131 MB for the sampler, 8 more graph sizes = 252 MB.
    """
    rows = max(0, after - before)
    sizes = max(0, graph_sizes(after) - graph_sizes(before))
    return BatchCost(rows * card.vocab_size * SAMPLER_BYTES_PER_LOGIT, sizes * GRAPH_BYTES_PER_SIZE)
