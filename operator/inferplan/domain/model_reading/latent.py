"""Layers with multi-head latent attention, and DeepSeek V4's compressed attention."""

from collections.abc import Sequence

from inferplan.domain.architecture import CompressedAttention, Indexer, LatentAttention, Layer
from inferplan.domain.model_reading.fields import Fields, short
from inferplan.domain.model_reading.parts import (
    HEAD_KEYS,
    LAYER_KEYS,
    Decoder,
    Experts,
    by_layer,
    joined,
)

_EXPERTS = Experts()
_SPARSE_ATTENTION_RATIO = 4
_WINDOW_ONLY = 1


def latent_layers(config: Fields) -> tuple[Layer, ...]:
    """DeepSeek V2, V3, V3.2, Kimi K2, GLM-5 (vllm/model_executor/models/deepseek_v2.py, models/deepseek_v32).

    Raises:
        ValueError: Fields are missing or contradict each other.
    """
    if not config.has("kv_lora_rank"):
        return Decoder(experts=_EXPERTS).layers(config)  # first DeepSeek, DeepSeek-VL2 tiny: attention by heads
    count = config.layers(*LAYER_KEYS)
    mixers = [latent_attention(config, _indexer(config, index)) for index in range(count)]
    return joined(mixers, _EXPERTS.parts(config, count))


def latent_attention(config: Fields, indexer: Indexer | None = None, *, output_gate: bool = False) -> LatentAttention:
    """DeepSeek-V3: 128 heads, ranks 1536 and 512, 128 + 64 wide, values 128.

    Raises:
        ValueError: Fields are missing.
    """
    return LatentAttention(
        heads=config.count(*HEAD_KEYS),
        q_lora_rank=config.optional("q_lora_rank"),
        kv_lora_rank=config.count("kv_lora_rank"),
        qk_nope_head_dim=config.count("qk_nope_head_dim"),
        qk_rope_head_dim=config.count("qk_rope_head_dim"),
        v_head_dim=config.count("v_head_dim"),
        indexer=indexer,
        output_gate=output_gate,
    )


def _indexer(config: Fields, index: int) -> Indexer | None:
    """The lightning indexer of V3.2 and GLM-5, where the config has one."""
    if not config.has("index_topk"):
        return None
    heads, width = config.count("index_n_heads"), config.count("index_head_dim")
    return Indexer(heads, width, config.count("index_topk"), shared=_takes_over(config, index))


def _takes_over(config: Fields, index: int) -> bool:
    """Whether the layer uses an earlier layer's choice (vllm/models/deepseek_v32/attention.py, 0.33.0).

    GLM-5.2: index_topk_freq 4, offset 3: layers 0, 1, 2, 6, 10, … choose, the others take over.
    """
    pattern = config.text("index_topk_pattern")
    if pattern is not None:
        return index < len(pattern) and pattern[index] == "S"
    every = config.count("index_topk_freq", default=1)
    offset = config.count("index_skip_topk_offset", default=2, least=0)
    return max(index - offset + 1, 0) % every != 0


def compressed_layers(config: Fields) -> tuple[Layer, ...]:
    """DeepSeek V4 (vllm/models/deepseek_v4/attention.py, 0.33.0): compress_ratios by layer, 0 keeps the window only.

    Raises:
        ValueError: Fields are missing or contradict each other.
    """
    count = config.layers(*LAYER_KEYS)
    mixers = [_compressed(config, ratio) for ratio in _ratios(config, count)]
    return joined(mixers, _EXPERTS.parts(config, count))


def _ratios(config: Fields, count: int) -> Sequence[int]:
    if config.has("compress_ratios"):
        values = by_layer(config, "compress_ratios", count) or []
        return [_ratio(config, "compress_ratios", value) for value in values]
    kinds = by_layer(config, "layer_types", count)
    if kinds is None:
        raise ValueError("compress_ratios must list each layer's ratio")
    rates = config.inner("compress_rates")
    return [_rate(kind, rates) for kind in kinds]


def _rate(kind: object, rates: Fields | None) -> int:
    default = {"sliding_attention": 0, "compressed_sparse_attention": 4, "heavily_compressed_attention": 128}
    if not isinstance(kind, str) or kind not in default:
        raise ValueError(f"layer_types names {short(kind)}, which is not sized here")
    return rates.count(kind, default=default[kind], least=0) if rates is not None else default[kind]


def _ratio(config: Fields, key: str, value: object) -> int:
    if type(value) is not int or value not in (0, 1, 4, 128):
        raise ValueError(f"{config.place}{key} must hold 0, 1, 4 and 128, not {short(value)}")
    return value


def _compressed(config: Fields, ratio: int) -> CompressedAttention:
    indexer = None
    if ratio == _SPARSE_ATTENTION_RATIO:
        heads, width = config.count("index_n_heads"), config.count("index_head_dim")
        indexer = Indexer(heads, width, config.count("index_topk"))
    return CompressedAttention(
        heads=config.count(*HEAD_KEYS),
        head_dim=config.count("head_dim"),
        rope_head_dim=config.count("qk_rope_head_dim"),
        q_lora_rank=config.count("q_lora_rank"),
        output_groups=config.count("o_groups"),
        output_lora_rank=config.count("o_lora_rank"),
        window=config.count("sliding_window"),
        compress_ratio=max(_WINDOW_ONLY, ratio),
        indexer=indexer,
    )


def hyper_connections(config: Fields) -> int:
    """Parameters of V4's hyper-connections, two per layer. V4-Flash: 43 x 2 x (2 + 4) x 4 x 4 x 4096 = 33,816,576.

    Source: hc_attn_fn, hc_ffn_fn of vllm/models/deepseek_v4/nvidia/model.py, 0.33.0.
    """
    width = config.count("hc_mult", default=0, least=0)
    return config.layers(*LAYER_KEYS) * 2 * (2 + width) * width * width * config.count("hidden_size")
