"""Configs that people shortened: no architecture, counts of layer types instead of their list."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from inferplan.domain.model_reading.families import Family, family_of_type
from inferplan.domain.model_reading.fields import MOST_LAYERS, Fields, short
from inferplan.domain.model_reading.parts import (
    EXPERT_KEYS,
    Decoder,
    Experts,
    Windows,
    by_layer_types,
    has_experts,
    when_asked,
)

_TELLING = MappingProxyType(
    {
        "compress_ratios": "deepseek_v4",
        "linear_attn_config": "kimi_linear",
        "kv_lora_rank": "deepseek",
        "linear_num_value_heads": "qwen3_next",
        "hybrid_override_pattern": "nemotron_h",
        "global_head_dim": "gemma4",
        "attention_k_eq_v": "gemma4",
        "laurel_rank": "gemma3n",
        "interleave_moe_layer_step": "llama4",
        "hybrid_layer_pattern": "mimo_v2",
        "sparse_attention_config": "minimax_m3",
        "block_configs": "nemotron_nas",
    }
)
"""Fields that only one family has, the most telling first."""

_FOREIGN = ("mamba", "ssm", "state_size", "cross_attention", "conv_kernel", "linear_", "encoder", "rwkv")
"""Beginnings of fields that a plain decoder has not."""


def family_without_name(config: Fields) -> tuple[Family, str]:
    """The family of a config that names no architecture, and what it is read as.

    Raises:
        ValueError: Its fields do not tell.
    """
    model_type = config.text("model_type")
    if model_type is not None:
        known = family_of_type(model_type)
        if known is not None:
            return known, model_type
        raise ValueError(f"architectures is missing, and model_type {short(model_type)} is not sized yet")
    name = next((name for key, name in _TELLING.items() if config.has(key)), "")
    found = family_of_type(name)
    return (found, name) if found is not None else _plain(config)


def _plain(config: Fields) -> tuple[Family, str]:
    foreign = next((key for key in config.values if str(key).startswith(_FOREIGN)), None)
    if foreign is not None:
        raise ValueError(f"architectures is missing, and {short(foreign)} is none of a plain decoder's fields")
    if has_experts(config):
        widths: tuple[str, ...] = ("moe_intermediate_size", "expert_intermediate_size")
        if config.first(*EXPERT_KEYS) == "num_local_experts":  # Mixtral's naming: the only width is the experts'
            widths = (*widths, "intermediate_size")
        return Family(Decoder(_windows, experts=Experts(widths=widths)).layers), "a decoder with gated experts"
    return Family(Decoder(_windows).layers), "a decoder with a gated MLP"


def _windows(config: Fields, layers: int) -> Windows:
    """Windows where the config itself says which layers have them.

    Raises:
        ValueError: A window is stated, and which layers have it is not.
    """
    listed = by_layer_types(config, layers)
    if listed is not None:
        return listed
    if config.has("use_sliding_window") or not config.has("sliding_window"):
        return when_asked(config, layers)
    raise ValueError("sliding_window is set; which layers have it is not known without architectures or layer_types")


def with_layer_types(config: Fields) -> tuple[Fields, tuple[str, ...]]:
    """The config with layer_type_counts spread out to a list, and what was assumed.

    16 full and 48 linear layers: every fourth is a full one.

    Raises:
        ValueError: The counts are none, or contradict num_hidden_layers.
    """
    counts = config.inner("layer_type_counts")
    if counts is None or config.has("layer_types"):
        return config, ()
    numbers = {str(kind): counts.count(kind, least=0, most=MOST_LAYERS) for kind in counts.values}
    total = sum(numbers.values())
    stated = config.count("num_hidden_layers", default=total, least=1, most=MOST_LAYERS)
    if total != stated or len(numbers) > 2:  # noqa: PLR2004  two kinds have one even order, three have several
        raise ValueError(f"layer_type_counts has {total} layers of {len(numbers)} kinds for num_hidden_layers {stated}")
    spread: Mapping[str, Any] = {"layer_types": _spread(numbers), "num_hidden_layers": total}
    note = "the order of layers is not given: the rarer kind is taken to come evenly, at the end of each stretch"
    return replace(config, values={**config.values, **spread}), (note,)


def with_global_heads(config: Fields) -> tuple[Fields, tuple[str, ...]]:
    """A shortened Gemma 4's KV heads of its global layers, where keys are values: a quarter of the others'.

    google/gemma-4-26B-A4B has 2 and 8, nvidia/Gemma-4-31B-IT-NVFP4 4 and 16 (bundled catalogue).
    """
    shortened = config.has("layer_type_counts") and config.has("global_head_dim") and config.flag("attention_k_eq_v")
    if not shortened or config.has("num_global_key_value_heads"):
        return config, ()
    quarter = max(1, config.count("num_key_value_heads") // 4)
    note = f"num_global_key_value_heads is not given: {quarter} are assumed, a quarter of num_key_value_heads"
    return replace(config, values={**config.values, "num_global_key_value_heads": quarter}), (note,)


def _spread(numbers: Mapping[str, int]) -> list[str]:
    rare, common = (*sorted(numbers, key=lambda kind: (numbers[kind], kind)), "")[:2]
    total, few = sum(numbers.values()), numbers[rare]
    if not common:
        return [rare] * total
    return [rare if (index + 1) * few // total > index * few // total else common for index in range(total)]
