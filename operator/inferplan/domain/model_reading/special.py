"""Families whose layers differ from each other in ways of their own."""

from dataclasses import replace

from inferplan.domain.architecture import Attention, DenseMLP, FeedForward, Indexer, Layer
from inferplan.domain.model_reading.fields import Fields, short
from inferplan.domain.model_reading.parts import (
    HEAD_KEYS,
    LAYER_KEYS,
    WIDTH_KEYS,
    Decoder,
    Experts,
    attention,
    by_layer,
    by_layer_types,
    full,
    hidden_size,
    joined,
)

_NOPE_EVERY = 4  # Llama4TextConfig.no_rope_layer_interval, transformers 5.19
_FFN_MULTIPLE = 256
_MINIMAX_EXPERTS = Experts(
    widths=("moe_intermediate_size", "intermediate_size"), dense_widths=("dense_intermediate_size",)
)


def llama4_layers(config: Fields) -> tuple[Layer, ...]:
    """Llama 4: three layers with chunked attention, then one with full attention and no positions.

    Source: vllm/model_executor/models/llama4.py, 0.33.0. Maverick: experts in every second layer of 48.

    Raises:
        ValueError: Fields are missing or contradict each other.
    """
    count = config.layers(*LAYER_KEYS)
    base, chunk = attention(config), config.optional("attention_chunk_size")
    mixers = [base if attends else replace(base, chunk=chunk) for attends in _without_rope(config, count)]
    return joined(mixers, _LLAMA4_EXPERTS.parts(config, count))


def _without_rope(config: Fields, count: int) -> list[bool]:
    listed = by_layer(config, "no_rope_layers", count) if config.values.get("no_rope_layers") else None
    if listed is not None:
        return [value == 0 for value in listed]
    each = config.count("no_rope_layer_interval", default=_NOPE_EVERY)
    return [(index + 1) % each == 0 for index in range(count)]


def _every_step(config: Fields, layers: int) -> list[bool]:
    step = config.count("interleave_moe_layer_step", default=1, least=0)
    return [step > 0 and (index + 1) % step == 0 for index in range(layers)]


_LLAMA4_EXPERTS = Experts(
    widths=("intermediate_size",),
    shared=lambda _config, width: width,  # one shared expert as wide as a routed one: llama4.py Llama4MoE
    sparse=_every_step,
    dense_widths=("intermediate_size_mlp",),
)


def mimo_v2_layers(config: Fields) -> tuple[Layer, ...]:
    """MiMo V2: layers that hybrid_layer_pattern marks have a window and heads of their own.

    Source: vllm/model_executor/models/mimo_v2.py, 0.33.0.

    Raises:
        ValueError: Fields are missing or contradict each other.
    """
    count = config.layers(*LAYER_KEYS)
    windowed = by_layer(config, "hybrid_layer_pattern", count)
    if windowed is None:
        raise ValueError("hybrid_layer_pattern must say which layers have a window")
    wide, narrow = _mimo_attention(config, ""), _mimo_attention(config, "swa_")
    narrow = replace(narrow, window=config.count("sliding_window_size", "sliding_window"))
    return joined([narrow if flag == 1 else wide for flag in windowed], Experts().parts(config, count))


def _mimo_attention(config: Fields, prefix: str) -> Attention:
    heads = config.count(f"{prefix}num_attention_heads")
    kv_heads = config.count(f"{prefix}num_key_value_heads")
    if heads % kv_heads:
        raise ValueError(
            f"{prefix}num_attention_heads {heads} is no multiple of {prefix}num_key_value_heads {kv_heads}"
        )
    width = config.count(f"{prefix}head_dim")
    return Attention(heads, kv_heads, width, config.count(f"{prefix}v_head_dim", default=width))


def step3_layers(config: Fields) -> tuple[Layer, ...]:
    """Step 3.5 and 3.7: layers with a window may have more query heads.

    Source: vllm/model_executor/models/step3p5.py, 0.33.0.

    Raises:
        ValueError: Fields are missing or contradict each other.
    """
    count = config.layers(*LAYER_KEYS)
    windows = by_layer_types(config, count) or full(config, count)
    base, heads = attention(config), _sliding_heads(config)
    mixers = [base if window is None else replace(base, window=window, heads=heads or base.heads) for window in windows]
    return joined(mixers, _STEP_EXPERTS.parts(config, count))


def _sliding_heads(config: Fields) -> int | None:
    other = config.inner("attention_other_setting")
    if config.has("num_sliding_attention_heads"):
        return config.count("num_sliding_attention_heads")
    return other.count("num_attention_heads") if other is not None else None


def _step_sparse(config: Fields, layers: int) -> list[bool]:
    """By moe_layers_enum ("3,4,5"), by mlp_layer_types, from a first layer on, else all but the first."""
    listed = config.text("moe_layers_enum")
    if listed is not None:
        numbers = {each.strip() for each in listed.split(",")}
        return [str(index) in numbers for index in range(layers)]
    kinds = by_layer(config, "mlp_layer_types", layers)
    if kinds is not None:
        return [kind == "sparse" for kind in kinds]
    first = config.count("first_k_dense_replace", default=1, least=0)
    return [index >= first for index in range(layers)]


_STEP_EXPERTS = Experts(sparse=_step_sparse)


def minimax_m3_layers(config: Fields) -> tuple[Layer, ...]:
    """MiniMax M3: attention by heads that looks at blocks which a small indexer chooses.

    Source: vllm/models/minimax_m3/nvidia/model.py and common/indexer.py, 0.33.0: one index key per token.

    Raises:
        ValueError: Fields are missing or contradict each other.
    """
    count = config.layers(*LAYER_KEYS)
    base, settings = attention(config), config.inner("sparse_attention_config")
    if settings is None:
        return joined([base] * count, _MINIMAX_EXPERTS.parts(config, count))
    flags = _sparse_attention(settings, count)
    sparse = replace(base, indexer=_block_indexer(settings))
    return joined([sparse if flag else base for flag in flags], _MINIMAX_EXPERTS.parts(config, count))


def _sparse_attention(settings: Fields, count: int) -> list[bool]:
    listed = by_layer(settings, "sparse_attention_freq", count)
    return [False] * count if listed is None else [flag not in (0, None) for flag in listed]


def _block_indexer(settings: Fields) -> Indexer:
    """16 blocks of 128 tokens: 2048 tokens."""
    tokens = settings.count("sparse_topk_blocks") * settings.count("sparse_block_size")
    return Indexer(settings.count("sparse_num_index_heads"), settings.count("sparse_index_dim"), tokens)


def block_layers(config: Fields) -> tuple[Layer, ...]:
    """Nemotron of neural architecture search (DeciLM): block_configs gives each layer its shape, or leaves a part out.

    Source: vllm/model_executor/models/nemotron_nas.py, 0.33.0.

    Raises:
        ValueError: Fields are missing or contradict each other.
    """
    count = config.layers(*LAYER_KEYS)
    blocks = by_layer(config, "block_configs", count)
    if blocks is None:
        return _grouped_layers(config, count)
    read = [Fields({"block": block}, f"block_configs[{index}].") for index, block in enumerate(blocks)]
    return joined([_block_attention(config, block) for block in read], [_block_mlp(config, block) for block in read])


def _grouped_layers(config: Fields, count: int) -> tuple[Layer, ...]:
    """DeciLM-7B: num_key_value_heads_per_layer."""
    listed = by_layer(config, "num_key_value_heads_per_layer", count)
    if listed is None:
        return Decoder().layers(config)
    base = [attention(Fields({**config.values, "num_key_value_heads": heads}, config.place)) for heads in listed]
    return joined(base, Decoder().parts(config, count))


def _block_attention(config: Fields, block: Fields) -> Attention | None:
    part = _part(block, "attention")
    if part.flag("no_op"):
        return None
    if part.flag("replace_with_linear"):
        raise ValueError(f"{part.place}replace_with_linear is not sized here")
    heads, group = config.count(*HEAD_KEYS), part.count("n_heads_in_group")
    kv_heads = max(1, heads // group)
    return attention(Fields({**config.values, "num_key_value_heads": kv_heads}, config.place))


def _block_mlp(config: Fields, block: Fields) -> FeedForward | None:
    part = _part(block, "ffn")
    if part.flag("no_op"):
        return None
    if part.flag("replace_with_linear"):
        raise ValueError(f"{part.place}replace_with_linear is not sized here")
    if part.has("intermediate_size"):
        return DenseMLP(part.count("intermediate_size"))
    return DenseMLP(_multiplied(part.number("ffn_mult", 0.0), hidden_size(config)))


def _multiplied(factor: float, hidden: int) -> int:
    """Two thirds of the factor times the hidden size, up to a multiple of 256. 5.25 x 8192: 28,672."""
    width = int(2 * factor * hidden / 3)
    return max(1, -(-width // _FFN_MULTIPLE)) * _FFN_MULTIPLE


def _part(block: Fields, key: str) -> Fields:
    inner = block.inner("block")
    part = inner.inner(key) if inner is not None else None
    if part is None:
        raise ValueError(f"{block.place}{key} must be an object, not {short(block.values['block'])}")
    return Fields(part.values, f"{block.place}{key}.")


def falcon_layers(config: Fields) -> tuple[Layer, ...]:
    """Falcon: one KV head with multi_query, num_kv_heads in the new architecture, else as many as heads.

    Source: vllm/model_executor/models/falcon.py, 0.33.0.

    Raises:
        ValueError: Fields are missing or contradict each other.
    """
    heads = config.count("num_attention_heads", "n_head")
    if config.flag("new_decoder_architecture"):
        kv_heads = config.count("num_kv_heads", "n_head_kv", default=heads)
    else:
        kv_heads = 1 if config.flag("multi_query", default=True) else heads
    return _old_layers(config, kv_heads)


def multi_query_layers(config: Fields) -> tuple[Layer, ...]:
    """GPT-BigCode (StarCoder): one KV head unless multi_query is off.

    Raises:
        ValueError: Fields are missing or contradict each other.
    """
    multi = config.flag("multi_query", default=True)
    return _old_layers(config, 1 if multi else config.count(*HEAD_KEYS))


def chatglm_layers(config: Fields) -> tuple[Layer, ...]:
    """ChatGLM2, 3 and GLM-4-9B: KV heads by group with multi_query_attention.

    Source: vllm/model_executor/models/chatglm.py, 0.33.0.

    Raises:
        ValueError: Fields are missing or contradict each other.
    """
    count, heads = config.layers(*LAYER_KEYS), config.count(*HEAD_KEYS)
    groups = config.count("multi_query_group_num") if config.flag("multi_query_attention") else heads
    mixer = attention(Fields({**config.values, "num_key_value_heads": groups}, config.place))
    return joined([mixer] * count, [DenseMLP(config.count(*WIDTH_KEYS))] * count)


def _old_layers(config: Fields, kv_heads: int) -> tuple[Layer, ...]:
    """Layers with a plain MLP, four times as wide as the hidden size where the config does not say otherwise."""
    count = config.layers(*LAYER_KEYS)
    mixer = attention(Fields({**config.values, "num_key_value_heads": kv_heads}, config.place))
    width = config.count(*WIDTH_KEYS, default=4 * hidden_size(config))
    return joined([mixer] * count, [DenseMLP(width, gated=False)] * count)
