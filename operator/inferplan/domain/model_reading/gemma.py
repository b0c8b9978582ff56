"""Gemma 3n and 4: layers that share caches, wider global heads, per-layer embeddings, experts beside an MLP."""

from collections.abc import Sequence
from dataclasses import replace

from inferplan.domain.architecture import Attention, DenseMLP, FeedForward, Layer
from inferplan.domain.model_reading.fields import Fields
from inferplan.domain.model_reading.parts import (
    LAYER_KEYS,
    WIDTH_KEYS,
    Experts,
    Windows,
    attention,
    by_layer,
    every,
    has_experts,
    joined,
)

_GLOBAL_HEAD_DIM = 512  # Gemma4TextConfig's default, transformers 5.19
_ALTUP_INPUTS = 4  # Gemma3nTextConfig's defaults, transformers 5.19
_LAUREL_RANK = 64
_PER_LAYER_WIDTH = 256
_PER_LAYER_VOCABULARY = 262_144
_SHARED_3N = 15


def gemma4_layers(config: Fields) -> tuple[Layer, ...]:
    """Gemma 4 (vllm/model_executor/models/gemma4.py, 0.33.0; Gemma4TextConfig, transformers 5.19).

    Raises:
        ValueError: Fields are missing or contradict each other.
    """
    count = config.layers(*LAYER_KEYS)
    shared = config.count("num_kv_shared_layers", default=0, least=0)
    windows = every(6, 512)(config, count)  # the config class's defaults: five of six with a window of 512
    mixers = [_gemma4_attention(config, window) for window in windows]
    return joined(_sharing(mixers, shared), _gemma4_parts(config, count, shared))


def _gemma4_attention(config: Fields, window: int | None) -> Attention:
    """Global layers have wider heads, and where keys are values too, KV heads of their own number."""
    local = replace(attention(config), window=window)
    if window is not None:
        return local
    width, same = config.count("global_head_dim", default=_GLOBAL_HEAD_DIM), config.flag("attention_k_eq_v")
    kv_heads = config.count("num_global_key_value_heads", default=local.kv_heads) if same else local.kv_heads
    return replace(local, kv_heads=kv_heads, head_dim=width, v_head_dim=width, keys_are_values=same)


def _sharing(mixers: Sequence[Attention], shared: int) -> list[Attention]:
    """The last layers read the cache of an earlier one of their kind.

    Raises:
        ValueError: More layers share than there are.
    """
    own = len(mixers) - shared
    if own < 1:
        raise ValueError(f"num_kv_shared_layers {shared} leaves no layer of {len(mixers)} with a cache")
    return [replace(mixer, shares_kv=True) if index >= own else mixer for index, mixer in enumerate(mixers)]


def _gemma4_parts(config: Fields, count: int, shared: int) -> list[FeedForward]:
    width = config.count(*WIDTH_KEYS)
    if has_experts(config):
        moe = Experts(shared=lambda _config, _width: width).read(config)
        return [moe] * count
    wide = 2 * width if config.flag("use_double_wide_mlp") else width
    return [DenseMLP(wide if index >= count - shared > 0 else width) for index in range(count)]


def per_layer_embeddings(config: Fields, default: int = 0) -> int:
    """Parameters of per-layer embeddings: table, its projection, and a gate and a projection in each layer.

    Gemma 4 E2B: 262,144 x 35 x 256 + 1536 x 35 x 256 + 35 x 2 x 1536 x 256 = 2,390,097,920.
    Source: embed_tokens_per_layer, per_layer_model_projection and per_layer_input_gate of gemma4.py and gemma3n.py in
    vllm/model_executor/models, 0.33.0.
    """
    width = config.count("hidden_size_per_layer_input", default=default, least=0)
    rows = config.count("vocab_size_per_layer_input", default=_PER_LAYER_VOCABULARY)
    layers, hidden = config.layers(*LAYER_KEYS), config.count("hidden_size")
    return layers * width * (rows + 3 * hidden)


def gemma3n_layers(config: Fields) -> tuple[Layer, ...]:
    """Gemma 3n (vllm/model_executor/models/gemma3n.py, 0.33.0; Gemma3nTextConfig, transformers 5.19).

    Raises:
        ValueError: Fields are missing or contradict each other.
    """
    count = config.layers(*LAYER_KEYS)
    shared = config.count("num_kv_shared_layers", default=_SHARED_3N, least=0)
    windows = every(5, 512)(config, count)
    base = attention(config)
    return joined(_sharing(_windowed(base, windows), shared), _gemma3n_parts(config, count))


def _windowed(base: Attention, windows: Windows) -> list[Attention]:
    return [replace(base, window=window) for window in windows]


def _gemma3n_parts(config: Fields, count: int) -> list[DenseMLP]:
    if not isinstance(config.values.get("intermediate_size"), list):
        return [DenseMLP(config.count("intermediate_size"))] * count
    widths = by_layer(config, "intermediate_size", count) or []
    return [DenseMLP(Fields({"intermediate_size": width}, config.place).count("intermediate_size")) for width in widths]


def gemma3n_extra(config: Fields) -> int:
    """Per-layer embeddings, AltUp's projections and routers, LAuReL's low-rank matrices.

    AltUp: 2 x (inputs - 1) x hidden² once; per layer a router hidden x inputs, inputs² x (inputs + 1) coefficients.
    """
    layers, hidden = config.layers(*LAYER_KEYS), config.count("hidden_size")
    inputs = config.count("altup_num_inputs", default=_ALTUP_INPUTS)
    rank = config.count("laurel_rank", default=_LAUREL_RANK)
    altup = 2 * (inputs - 1) * hidden**2 + layers * inputs * (hidden + inputs * (inputs + 1))
    return per_layer_embeddings(config, _PER_LAYER_WIDTH) + altup + layers * 2 * hidden * rank
