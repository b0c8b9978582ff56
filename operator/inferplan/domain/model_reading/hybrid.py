"""Hybrids: layers with a state of constant size beside layers that attend."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from inferplan.domain.architecture import DenseMLP, FeedForward, Layer, LinearAttention, Mamba, Mixer
from inferplan.domain.model_reading.fields import Fields, short
from inferplan.domain.model_reading.latent import latent_attention
from inferplan.domain.model_reading.parts import (
    CUT_AT,
    LAYER_KEYS,
    Decoder,
    Experts,
    attention,
    by_layer,
    has_experts,
    joined,
)

_CONV_KERNEL = 4
_FULL_EVERY = 4
_STATE_BITS = {"float32": 32, "bfloat16": 16, "float16": 16}
_NEMOTRON_EXPERTS = Experts(shared=lambda config, _width: _nemotron_shared(config), gated=False)


def delta_net_layers(config: Fields) -> tuple[Layer, ...]:
    """Qwen3-Next, Qwen3.5, Qwen3.6: gated delta nets with full attention in every fourth layer.

    Source: vllm/model_executor/models/qwen3_next.py and qwen3_5.py, 0.33.0.

    Raises:
        ValueError: Fields are missing or contradict each other.
    """
    count = config.layers(*LAYER_KEYS)
    full = replace(attention(config), output_gate=config.flag("attn_output_gate", default=True))
    linear = _delta_net(config)
    mixers: list[Mixer] = [full if attends else linear for attends in _full_layers(config, count)]
    decoder = Decoder(experts=Experts() if has_experts(config) else None)
    return joined(mixers, decoder.parts(config, count))


def _full_layers(config: Fields, count: int) -> list[bool]:
    listed = by_layer(config, "layer_types", count)
    if listed is None:
        each = config.count("full_attention_interval", default=_FULL_EVERY)
        return [(index + 1) % each == 0 for index in range(count)]
    for kind in listed:
        if kind not in ("full_attention", "linear_attention"):
            raise ValueError(f"layer_types names {short(kind)}, which is not sized here")
    return [kind == "full_attention" for kind in listed]


def _delta_net(config: Fields) -> LinearAttention:
    """Qwen3.5-27B: 16 heads of queries and keys, 48 of values, all 128 wide, a kernel of 4."""
    keys, values = config.count("linear_num_key_heads"), config.count("linear_num_value_heads")
    if values % keys:
        raise ValueError(f"linear_num_value_heads {values} is no multiple of linear_num_key_heads {keys}")
    return LinearAttention(
        key_heads=keys,
        value_heads=values,
        key_head_dim=config.count("linear_key_head_dim"),
        value_head_dim=config.count("linear_value_head_dim"),
        conv_kernel=config.count("linear_conv_kernel_dim", default=_CONV_KERNEL),
        state_bits=_state_bits(config, "mamba_ssm_dtype"),
    )


def _state_bits(config: Fields, key: str) -> int | None:
    """Bits of the state's number format that the config asks for, None where it is silent.

    Raises:
        ValueError: The format is not known.
    """
    name = config.text(key)
    if name is not None and name not in _STATE_BITS:
        raise ValueError(f"{config.place}{key} {short(name)} is none of {', '.join(_STATE_BITS)}")
    return None if name is None else _STATE_BITS[name]


def kimi_linear_layers(config: Fields) -> tuple[Layer, ...]:
    """Kimi Linear and Kimi K3: delta attention (KDA) with latent attention in the layers listed, counted from 1.

    Source: vllm/models/kimi_k3/nvidia/model.py and kda.py, 0.33.0.

    Raises:
        ValueError: Fields are missing or contradict each other.
    """
    count = config.layers(*LAYER_KEYS)
    settings = config.inner("linear_attn_config")
    latent = latent_attention(config, output_gate=config.flag("mla_use_output_gate"))
    if settings is None:
        return joined([latent] * count, Experts().parts(config, count))
    delta, places = _kimi_delta(settings), _kda_places(settings, count)
    mixers: list[Mixer] = [delta if index + 1 in places else latent for index in range(count)]
    return joined(mixers, Experts().parts(config, count))


def _kda_places(settings: Fields, count: int) -> frozenset[int]:
    """Layers with KDA, counted from 1; both lists together must name each layer once.

    Raises:
        ValueError: They do not.
    """
    kda, attending = settings.entries("kda_layers"), settings.entries("full_attn_layers")
    listed = [*(kda or ()), *(attending or ())]
    if kda is None or any(type(index) is not int for index in listed) or sorted(listed) != list(range(1, count + 1)):
        raise ValueError(
            f"{settings.place}kda_layers and full_attn_layers must name each of num_hidden_layers {count} once"
        )
    return frozenset(kda)


def _kimi_delta(settings: Fields) -> LinearAttention:
    heads, width = settings.count("num_heads"), settings.count("head_dim")
    return LinearAttention(
        key_heads=heads,
        value_heads=heads,
        key_head_dim=width,
        value_head_dim=width,
        conv_kernel=settings.count("short_conv_kernel_size", default=_CONV_KERNEL),
        kind="kda",
        full_rank_gate=settings.flag("use_full_rank_gate"),
    )


def nemotron_h_layers(config: Fields) -> tuple[Layer, ...]:
    """Nemotron-H and Nemotron 3: one part per layer, M Mamba, * attention, - MLP, E experts.

    Source: vllm/model_executor/models/nemotron_h.py, 0.33.0.

    Raises:
        ValueError: Fields are missing or contradict each other.
    """
    if config.has("block_configs"):
        raise ValueError("block_configs gives layers shapes of their own, which is not sized here")
    pattern = _pattern(config)
    makers = {letter: _NEMOTRON_LAYERS[letter] for letter in dict.fromkeys(pattern)}
    layers = {letter: make(config) for letter, make in makers.items()}
    return tuple(layers[letter] for letter in pattern)


def _pattern(config: Fields) -> str:
    names = {"mamba": "M", "attention": "*", "mlp": "-", "moe": "E"}
    listed = config.entries("layers_block_type")
    pattern = config.text("hybrid_override_pattern")
    if pattern is None and listed is not None:
        pattern = "".join(names.get(each, "?") if isinstance(each, str) else "?" for each in listed)
    if not pattern or set(pattern) - set(_NEMOTRON_LAYERS):
        raise ValueError(f"hybrid_override_pattern must be made of M, *, - and E, not {short(pattern)}")
    stated = config.optional("num_hidden_layers")
    if stated is None and len(pattern) == CUT_AT:
        raise ValueError(f"num_hidden_layers is missing, and a list of {CUT_AT} layers may have been cut")
    if stated is not None and stated != len(pattern):
        raise ValueError(f"hybrid_override_pattern has {len(pattern)} layers, num_hidden_layers is {stated}")
    return pattern


def _nemotron_mamba(config: Fields) -> Layer:
    mamba = Mamba(
        heads=config.count("mamba_num_heads"),
        head_dim=config.count("mamba_head_dim"),
        state_size=config.count("ssm_state_size"),
        groups=config.count("n_groups"),
        conv_kernel=config.count("conv_kernel", default=_CONV_KERNEL),
        state_bits=_state_bits(config, "mamba_ssm_cache_dtype"),
    )
    return Layer(mamba, None)


def _nemotron_shared(config: Fields) -> int:
    """Nemotron 3 Super: 1 x 5376."""
    shared = config.count("n_shared_experts", default=0, least=0)
    return shared * config.count("moe_shared_expert_intermediate_size") if shared else 0


_NEMOTRON_LAYERS: Mapping[str, Callable[[Fields], Layer]] = MappingProxyType(
    {
        "M": _nemotron_mamba,
        "*": lambda config: Layer(attention(config), None),
        "-": lambda config: Layer(None, DenseMLP(config.count("intermediate_size"), gated=False)),
        "E": lambda config: Layer(None, _NEMOTRON_EXPERTS.read(config)),
    }
)


def granite_hybrid_layers(config: Fields) -> tuple[Layer, ...]:
    """Granite 4: Mamba-2 and attention by layer_types, each with experts or an MLP.

    Source: vllm/model_executor/models/granitemoehybrid.py, 0.33.0.

    Raises:
        ValueError: Fields are missing or contradict each other.
    """
    count = config.layers(*LAYER_KEYS)
    kinds: list[Any] | None = by_layer(config, "layer_types", count) or by_layer(config, "layers_block_type", count)
    if kinds is None or set(map(short, kinds)) - {"'mamba'", "'attention'"}:
        raise ValueError("layer_types must say mamba or attention for each layer")
    mixers: Mapping[str, Mixer] = {"mamba": _granite_mamba(config), "attention": attention(config)}
    return joined([mixers[kind] for kind in kinds], [_granite_part(config)] * count)


def _granite_part(config: Fields) -> FeedForward:
    if has_experts(config):
        return Experts(widths=("intermediate_size",)).read(config)
    return DenseMLP(config.count("shared_intermediate_size", "intermediate_size"))


def _granite_mamba(config: Fields) -> Mamba:
    return Mamba(
        heads=config.count("mamba_n_heads"),
        head_dim=config.count("mamba_d_head"),
        state_size=config.count("mamba_d_state"),
        groups=config.count("mamba_n_groups"),
        conv_kernel=config.count("mamba_d_conv", default=_CONV_KERNEL),
        state_bits=_state_bits(config, "mamba_ssm_cache_dtype"),
    )
