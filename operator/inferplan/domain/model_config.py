"""Reads a model's geometry out of its Hugging Face config.json, or says why it cannot be sized with confidence."""

from collections.abc import Mapping
from typing import Any

from inferplan.api.reasons import Reason
from inferplan.domain.architecture import Attention, DenseMLP, Layer
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.model_reading.fields import Fields, short
from inferplan.domain.quantization_scheme import read_quantization

_DENSE_ARCHITECTURES = frozenset({"LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"})
_UNSTRETCHED = ("default", "llama3", "mrope")  # kinds of rope that leave max_position_embeddings as the longest
_BITS_OF_DTYPE = {"bfloat16": 16, "float16": 16, "float32": 32}


def read_model_config(config: Mapping[str, Any]) -> ModelCard | Missing:
    """Reads a config.json; says why when it cannot size the model with confidence."""
    architecture = _architecture(config)
    if architecture not in _DENSE_ARCHITECTURES:
        known = ", ".join(sorted(_DENSE_ARCHITECTURES))
        return _unsupported(f"architecture {short(architecture)} is not sized yet; sized are {known}")
    if _has_other_attention(config):
        return _unsupported("sliding-window attention is not sized yet")
    try:
        return _card(architecture, Fields(config))
    except ValueError as error:
        return _unsupported(str(error))


def _card(architecture: str, config: Fields) -> ModelCard:
    hidden, heads = config.count("hidden_size"), config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads", default=heads)
    if heads % kv_heads:
        raise ValueError(f"num_attention_heads {heads} is no multiple of num_key_value_heads {kv_heads}")
    width = _head_dim(config, hidden, heads)
    mixer = Attention(heads, kv_heads, width, width, bias=architecture == "Qwen2ForCausalLM")
    layer = Layer(mixer, DenseMLP(config.count("intermediate_size")))
    quantization = read_quantization(config.values)
    return ModelCard(
        architecture=architecture,
        hidden_size=hidden,
        vocab_size=config.count("vocab_size"),
        tied_embeddings=config.flag("tie_word_embeddings"),
        layers=(layer,) * config.layers("num_hidden_layers"),
        weight_bits=_weight_bits(config),
        max_position_embeddings=_longest(config),
        quantization=quantization,
        assumptions=quantization.assumptions if quantization is not None else (),
    )


def _architecture(config: Mapping[str, Any]) -> str | None:
    names = config.get("architectures")
    return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None


def _weight_bits(config: Fields) -> int:
    name = config.values.get("torch_dtype") or config.values.get("dtype")
    if not isinstance(name, str) or name not in _BITS_OF_DTYPE:
        raise ValueError(f"torch_dtype {short(name)} is none of {', '.join(_BITS_OF_DTYPE)}")
    return _BITS_OF_DTYPE[name]


def _head_dim(config: Fields, hidden: int, heads: int) -> int:
    if config.has("head_dim"):
        return config.count("head_dim")
    if hidden % heads:
        raise ValueError(
            f"hidden_size {hidden} is no multiple of num_attention_heads {heads}, and head_dim is not given"
        )
    return hidden // heads


def _longest(config: Fields) -> int | None:
    """max_position_embeddings, unless a scaling of the positions stretches it by a factor."""
    scaling = config.values.get("rope_scaling") or config.values.get("rope_parameters") or {}
    kind = scaling.get("rope_type", scaling.get("type", "default")) if isinstance(scaling, Mapping) else None
    return config.optional("max_position_embeddings") if kind in _UNSTRETCHED else None


def _has_other_attention(config: Mapping[str, Any]) -> bool:
    """Whether a layer may look at a window only; a window that nothing switches off may be used."""
    kinds = config.get("layer_types")
    windowed = config.get("sliding_window") is not None and config.get("use_sliding_window") is not False
    full = kinds is None or (isinstance(kinds, list) and all(kind == "full_attention" for kind in kinds))
    return windowed or not full


def _unsupported(why: str) -> Missing:
    return Missing(Reason.MODEL_UNSUPPORTED, f"model config: {why}")
