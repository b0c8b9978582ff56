"""Memory of one GPU, term by term (engine-facts section 3: vLLM's KV planner)."""

from dataclasses import dataclass

from inferplan.domain.model_card import ModelCard
from inferplan.domain.serving import ServingConfig
from inferplan.domain.units import MIB

_BITS_PER_BYTE = 8
_HALF_BITS = 16
_KV_BYTES = {"fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1, "bfloat16": 2, "float16": 2}
_BITS_OF_DTYPE = {"half": 16, "float16": 16, "bfloat16": 16, "float": 32, "float32": 32}
_FIXING_KEYS = ("kv_cache_memory_bytes", "num_gpu_blocks_override")

SAMPLER_BYTES_PER_LOGIT = 40
"""Upper bound of what sampling holds per sequence and vocabulary entry at its peak: the activation peak of vLLM's
profile run is 38.4 to 39.3 bytes x max_num_seqs x vocabulary in the 14 start-up logs that state enough to tell
(shared kv_capacity_cases.json, vLLM 0.8 to 0.28). A margin for the gate. 128,256 entries: 5.1 MB per sequence."""

GRAPH_BYTES_PER_SIZE = 30 * MIB
"""Margin per CUDA graph size: 1.88 GiB for the 67 sizes up to 512 is the most in the public logs of text
models (gpt-oss-120b, TP 4, A100-80; engine-facts section 3f), 28.7 MiB a size."""


def running_bits(config: ServingConfig, card: ModelCard) -> int | None:
    """Bits of the number format that the model runs in; None for a dtype that is not sized.

    Without --dtype, or with auto, a float32 checkpoint runs in 16 bits (vllm/config/model.py, 0.33.0).
    """
    dtype = config.text("dtype")
    return min(card.weight_bits, _HALF_BITS) if dtype in {None, "auto"} else _BITS_OF_DTYPE.get(str(dtype))


def fixing_key(config: ServingConfig) -> str | None:
    """The setting that fixes the KV cache's size whatever memory is left, None where there is none."""
    return next((key for key in _FIXING_KEYS if config.value(key) is not None), None)


def single_engine_ranks(config: ServingConfig) -> int | None:
    """The TP degree where TP is the only parallelism; None where the layout is another, or not known.

    Pipeline stages hold part of the layers, data-parallel ranks are engines of their own: not sized here.
    """
    ranks = config.integer("tensor_parallel_size")
    alone = config.integer("pipeline_parallel_size") == 1 and config.integer("data_parallel_size") in {None, 1}
    return ranks if ranks is not None and ranks >= 1 and alone else None


def kv_bytes(config: ServingConfig, card: ModelCard) -> int | None:
    """Bytes that one token takes in one GPU's KV cache as this instance runs it; None where that is not known.

    "auto" is the model's own format, but for a quantized checkpoint, which may bring its own.
    """
    bits, ranks, dtype = running_bits(config, card), single_engine_ranks(config), config.text("kv_cache_dtype")
    if ranks is None or dtype is None or bits is None:
        return None
    if dtype == "auto":
        return None if card.quantization_method is not None else _kv_bytes(card, bits // _BITS_PER_BYTE, ranks)
    return kv_bytes_per_token(card, dtype, ranks)


def least_kv_bytes(config: ServingConfig, card: ModelCard) -> int | None:
    """As `kv_bytes`, and one byte a value where a quantized checkpoint brings its own format.

    Costs in bytes then come out as too many tokens rather than too few.
    """
    ranks = single_engine_ranks(config)
    if ranks is not None and card.quantization_method is not None and config.text("kv_cache_dtype") == "auto":
        return _kv_bytes(card, 1, ranks)
    return kv_bytes(config, card)


def kv_bytes_per_token(card: ModelCard, kv_cache_dtype: str, tensor_parallel_size: int) -> int | None:
    """Bytes that one token takes in one GPU's KV cache; None for a number format that is not sized.

    layers x 2 x heads per GPU x head_dim x bytes (vllm/v1/kv_cache_interface.py, 0.33.0; KV heads below the
    TP degree are replicated). Qwen3-8B, bf16, TP 1: 36 x 2 x 8 x 128 x 2 = 147,456.
    """
    own = min(card.weight_bits, _HALF_BITS) // _BITS_PER_BYTE
    width = own if kv_cache_dtype == "auto" else _KV_BYTES.get(kv_cache_dtype)
    return None if width is None else _kv_bytes(card, width, tensor_parallel_size)


def _kv_bytes(card: ModelCard, width_bytes: int, tensor_parallel_size: int) -> int | None:
    if not card.is_plain or card.kv_heads is None or card.head_dim is None:
        return None
    heads = max(1, card.kv_heads // tensor_parallel_size)
    return card.num_layers * 2 * heads * card.head_dim * width_bytes


def parameter_count(card: ModelCard) -> tuple[int, int]:
    """Parameters of the linear layers, and of everything else (embeddings, lm_head, norms).

    Llama-3.1-8B: 32 x (4096 x 6144 + 4096 x 4096 + 3 x 4096 x 14336) = 6,979,321,856 and 1,050,939,392.
    """
    heads, width = (card.heads or 0) + (card.kv_heads or 0), card.head_dim or 0
    attention = 2 * card.hidden_size * width * heads
    linear = card.num_layers * (attention + 3 * card.hidden_size * (card.intermediate_size or 0))
    embeddings = card.vocab_size * card.hidden_size * (1 if card.tied_embeddings else 2)
    return linear, embeddings + card.hidden_size * (2 * card.num_layers + 1)


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


def graph_limit(compute_capability: int | None) -> int:
    """The largest CUDA graph size that vLLM captures unasked: 512, on SM100 1024, so too where it is not known."""
    return 1024 if compute_capability is None or compute_capability // 10 == 10 else 512  # noqa: PLR2004  capability 10.x


def graph_sizes(max_num_seqs: int, limit: int = 512) -> int:
    """How many CUDA graph sizes vLLM captures, up to min(2 x max_num_seqs, limit).

    They are 1, 2, 4, every 8 to 256 and every 16 above (vllm/config/vllm.py, 0.33.0).
    256 and more sequences: 3 + 32 + 16 = 51 sizes. 32 sequences: 3 + 8 = 11.
    """
    largest = min(2 * max_num_seqs, limit)
    return sum(size <= largest for size in (1, 2, 4, *range(8, 257, 8), *range(272, limit + 1, 16)))


@dataclass(frozen=True)
class BatchCost:
    """Upper bound of the memory that a larger batch takes from the KV cache, bytes per GPU."""

    sampler_bytes: int
    graph_bytes: int

    @property
    def total_bytes(self) -> int:
        """Both together."""
        return self.sampler_bytes + self.graph_bytes


def batch_cost(card: ModelCard, before: int, after: int, limit: int = 512) -> BatchCost:
    """What raising max_num_seqs from `before` to `after` costs at most; zero when it is lowered.

    Llama-3.1-8B, 32 → 64: 32 x 128,256 x 40 = 164 MB for the sampler, 8 more graph sizes = 252 MB.
    """
    rows = max(0, after - before)
    sizes = max(0, graph_sizes(after, limit) - graph_sizes(before, limit))
    return BatchCost(rows * card.vocab_size * SAMPLER_BYTES_PER_LOGIT, sizes * GRAPH_BYTES_PER_SIZE)
