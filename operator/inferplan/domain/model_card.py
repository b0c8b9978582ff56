"""A model's geometry out of its Hugging Face config.json: what sizes weights and KV cache.

Only dense decoder models with one kind of full attention are read here; anything else is refused with a
reason, since a wrong size is worse than none.
"""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing

_DENSE_ARCHITECTURES = frozenset({"LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"})
_QUOTED_MAX = 64
_MAXIMUM = 10**7  # no layer count, width or vocabulary of a real model comes near; guards the arithmetic
_UNSTRETCHED = ("default", "llama3", "mrope")  # kinds of rope that leave max_position_embeddings as the longest
_BITS_OF_DTYPE = {"bfloat16": 16, "float16": 16, "float32": 32}


@dataclass(frozen=True)
class ModelCard:
    """Geometry of a dense decoder model.

    Attributes:
        architecture: Class name in config.json.
        layers: Decoder layers, all with full attention.
        hidden_size: Width of the residual stream.
        intermediate_size: Width of the MLP.
        heads: Query heads.
        kv_heads: Key/value heads.
        head_dim: Width of a head.
        vocab_size: Rows of the embedding.
        tied_embeddings: Whether lm_head is the embedding.
        weight_bits: Bits per weight as published.
        max_position_embeddings: Longest context of the model, tokens; None when it is not known.
        quantization_method: quant_method of the checkpoint, None when it is not quantized.
    """

    architecture: str
    layers: int
    hidden_size: int
    intermediate_size: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab_size: int
    tied_embeddings: bool
    weight_bits: int
    max_position_embeddings: int | None
    quantization_method: str | None


def read_model_config(config: Mapping[str, Any]) -> ModelCard | Missing:
    """Reads a config.json; says why when it cannot size the model with confidence."""
    architecture = _architecture(config)
    if architecture not in _DENSE_ARCHITECTURES:
        known = ", ".join(sorted(_DENSE_ARCHITECTURES))
        return _unsupported(f"architecture {_short(architecture)} is not sized yet; sized are {known}")
    if _has_other_attention(config):
        return _unsupported("sliding-window attention is not sized yet")
    try:
        return _card(architecture, config)
    except ValueError as error:
        return _unsupported(str(error))


def _card(architecture: str, config: Mapping[str, Any]) -> ModelCard:
    hidden, heads = _count(config, "hidden_size"), _count(config, "num_attention_heads")
    kv_heads = _count(config, "num_key_value_heads", default=heads)
    if heads % kv_heads:
        raise ValueError(f"num_attention_heads {heads} is no multiple of num_key_value_heads {kv_heads}")
    return ModelCard(
        architecture=architecture,
        layers=_count(config, "num_hidden_layers"),
        hidden_size=hidden,
        intermediate_size=_count(config, "intermediate_size"),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=_head_dim(config, hidden, heads),
        vocab_size=_count(config, "vocab_size"),
        tied_embeddings=config.get("tie_word_embeddings", False) is True,
        weight_bits=_weight_bits(config),
        max_position_embeddings=_longest(config),
        quantization_method=_quantization_method(config),
    )


def _architecture(config: Mapping[str, Any]) -> str | None:
    names = config.get("architectures")
    return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None


def _weight_bits(config: Mapping[str, Any]) -> int:
    name = config.get("torch_dtype") or config.get("dtype")
    if not isinstance(name, str) or name not in _BITS_OF_DTYPE:
        raise ValueError(f"torch_dtype {_short(name)} is none of {', '.join(_BITS_OF_DTYPE)}")
    return _BITS_OF_DTYPE[name]


def _quantization_method(config: Mapping[str, Any]) -> str | None:
    quantization = config.get("quantization_config")
    if quantization is None:
        return None
    method = quantization.get("quant_method") if isinstance(quantization, Mapping) else None
    return str(method or "unknown")


def _head_dim(config: Mapping[str, Any], hidden: int, heads: int) -> int:
    if config.get("head_dim") is not None:
        return _count(config, "head_dim")
    if hidden % heads:
        raise ValueError(
            f"hidden_size {hidden} is no multiple of num_attention_heads {heads}, and head_dim is not given"
        )
    return hidden // heads


def _longest(config: Mapping[str, Any]) -> int | None:
    """max_position_embeddings, unless a scaling of the positions stretches it by a factor."""
    scaling = config.get("rope_scaling") or config.get("rope_parameters") or {}
    kind = scaling.get("rope_type", scaling.get("type", "default")) if isinstance(scaling, Mapping) else None
    if config.get("max_position_embeddings") is None or kind not in _UNSTRETCHED:
        return None
    return _count(config, "max_position_embeddings")


def _has_other_attention(config: Mapping[str, Any]) -> bool:
    """Whether a layer may look at a window only; a window that nothing switches off may be used."""
    kinds = config.get("layer_types")
    windowed = config.get("sliding_window") is not None and config.get("use_sliding_window") is not False
    full = kinds is None or (isinstance(kinds, list) and all(kind == "full_attention" for kind in kinds))
    return windowed or not full


def _short(value: object) -> str:
    """A value that somebody wrote, cut to what fits a message."""
    return reprlib.repr(value)[:_QUOTED_MAX]


def _count(config: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value = config.get(key)
    if value is None and default is not None:
        return default
    if type(value) is not int or not 1 <= value <= _MAXIMUM:
        raise ValueError(f"{key} must be a whole number from 1 to {_MAXIMUM}, not {_short(value)}")
    return value


def _unsupported(why: str) -> Missing:
    return Missing(Reason.MODEL_UNSUPPORTED, f"model config: {why}")
