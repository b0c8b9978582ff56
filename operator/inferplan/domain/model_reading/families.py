"""Which reader reads which architecture.

Defaults are those of the configuration classes in transformers 5.19, given only where published configs rest on them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from inferplan.domain.architecture import Layer
from inferplan.domain.model_reading.fields import Fields
from inferplan.domain.model_reading.gemma import gemma3n_extra, gemma3n_layers, gemma4_layers, per_layer_embeddings
from inferplan.domain.model_reading.hybrid import (
    delta_net_layers,
    granite_hybrid_layers,
    kimi_linear_layers,
    nemotron_h_layers,
)
from inferplan.domain.model_reading.latent import compressed_layers, hyper_connections, latent_layers
from inferplan.domain.model_reading.names import ARCHITECTURES, MODEL_TYPES, WRAPPERS
from inferplan.domain.model_reading.parts import Decoder, Experts, every, everywhere, hidden_size, when_asked
from inferplan.domain.model_reading.special import (
    block_layers,
    chatglm_layers,
    falcon_layers,
    llama4_layers,
    mimo_v2_layers,
    minimax_m3_layers,
    multi_query_layers,
    step3_layers,
)


def _none(_config: Fields) -> int:
    return 0


def _learned_positions(config: Fields) -> int:
    """A learned embedding of each position (GPT-2, OPT)."""
    return config.count("max_position_embeddings", "n_positions", default=0, least=0) * hidden_size(config)


@dataclass(frozen=True)
class Family:
    """How a family's config is read.

    Attributes:
        layers: Reads its layers.
        tied: Whether lm_head is the embedding where the config does not say so.
        counts_extra: Counts what is neither layer, embedding, head nor tower.
        defaults: Values that published configs of several towers leave to the decoder's configuration class.
        notes: What is assumed of every config of the family; each a sentence.
    """

    layers: Callable[[Fields], tuple[Layer, ...]]
    tied: bool = False
    counts_extra: Callable[[Fields], int] = _none
    defaults: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    notes: tuple[str, ...] = ()


_STEP_HEADS = "Step 3.5 gives layers with a window more query heads; none are named, so all are taken to be alike"

_AS_WIDE = Experts(widths=("intermediate_size",))
"""Experts as wide as the config's only width."""

_LLAMA = MappingProxyType(
    {
        "hidden_size": 4096,
        "intermediate_size": 11_008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "vocab_size": 32_000,
    }
)
_MISTRAL = MappingProxyType({**_LLAMA, "intermediate_size": 14_336, "num_key_value_heads": 8})
_GEMMA3 = MappingProxyType({"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262_208})
_GEMMA3N = MappingProxyType(
    {
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "head_dim": 256,
        "vocab_size": 262_400,
        "hidden_size": 2048,
        "intermediate_size": 16_384,
        "num_hidden_layers": 35,
    }
)

_FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "llama": Family(Decoder().layers, defaults=_LLAMA),
        "mistral": Family(Decoder(everywhere).layers, defaults=_MISTRAL),
        "mixtral": Family(Decoder(everywhere, experts=_AS_WIDE).layers),
        "llama_tied": Family(Decoder().layers, tied=True),
        "phi3": Family(Decoder(everywhere).layers),
        "phimoe": Family(Decoder(everywhere, experts=_AS_WIDE).layers),
        "phi": Family(Decoder(bias=True, gated=False, width=4).layers),
        "starcoder2": Family(Decoder(everywhere, bias=True, gated=False).layers, tied=True),
        "nemotron": Family(Decoder(gated=False).layers),
        "qwen2": Family(Decoder(when_asked, bias=True).layers),
        "qwen2_moe": Family(Decoder(when_asked, bias=True, experts=Experts()).layers),
        "qwen3": Family(Decoder(when_asked).layers),
        "qwen3_moe": Family(Decoder(when_asked, experts=Experts()).layers),
        "qwen3_next": Family(delta_net_layers),
        "seed_oss": Family(Decoder(bias=True).layers),
        "glm4": Family(Decoder().layers),
        "glm4_moe": Family(Decoder(experts=Experts()).layers),
        "chatglm": Family(chatglm_layers),
        "gemma": Family(Decoder().layers, tied=True),
        "gemma2": Family(Decoder(every(2, 4096)).layers, tied=True),
        "gemma3": Family(Decoder(every(6, 4096)).layers, tied=True, defaults=_GEMMA3),
        "gemma3n": Family(gemma3n_layers, tied=True, counts_extra=gemma3n_extra, defaults=_GEMMA3N),
        "gemma4": Family(gemma4_layers, tied=True, counts_extra=per_layer_embeddings),
        "gpt_oss": Family(Decoder(every(2, 128), bias=True, experts=_AS_WIDE).layers),
        "cohere": Family(Decoder().layers, tied=True),
        "cohere2": Family(Decoder(every(4, 4096)).layers, tied=True),
        "olmo3": Family(Decoder(every(4, 4096)).layers),
        "exaone4": Family(Decoder(every(4)).layers),
        "olmoe": Family(Decoder(experts=_AS_WIDE).layers),
        "granite": Family(Decoder().layers),
        "granitemoe": Family(Decoder(experts=_AS_WIDE).layers),
        "granitemoehybrid": Family(granite_hybrid_layers),
        "llama4": Family(llama4_layers),
        "deepseek": Family(latent_layers),
        "deepseek_v4": Family(compressed_layers, counts_extra=hyper_connections),
        "kimi_linear": Family(kimi_linear_layers),
        "minimax_m2": Family(Decoder(experts=_AS_WIDE).layers),
        "minimax_m3": Family(minimax_m3_layers),
        "mimo_v2": Family(mimo_v2_layers),
        "step3p5": Family(step3_layers),
        "step3p7": Family(step3_layers, notes=(_STEP_HEADS,)),
        "nemotron_h": Family(nemotron_h_layers),
        "nemotron_nas": Family(block_layers),
        "falcon": Family(falcon_layers, tied=True),
        "gpt_bigcode": Family(multi_query_layers, tied=True, counts_extra=_learned_positions),
        "gpt2": Family(Decoder(bias=True, gated=False, width=4).layers, tied=True, counts_extra=_learned_positions),
        "opt": Family(Decoder(bias=True, gated=False).layers, tied=True, counts_extra=_learned_positions),
        "bloom": Family(Decoder(bias=True, gated=False, width=4).layers, tied=True),
        "gpt_neox": Family(Decoder(bias=True, gated=False).layers),
    }
)

_BY_ARCHITECTURE = {name: key for key, names in ARCHITECTURES.items() for name in names}
_BY_MODEL_TYPE = {key: key for key in _FAMILIES} | {name: key for key, names in MODEL_TYPES.items() for name in names}


def family_of(architecture: str) -> Family | None:
    """The family of an architecture, None where it is not known."""
    key = _BY_ARCHITECTURE.get(architecture)
    return None if key is None else _FAMILIES[key]


def wraps_another(architecture: str) -> bool:
    """Whether the architecture's decoder is another model."""
    return architecture in WRAPPERS


def family_of_type(model_type: str) -> Family | None:
    """The family of a model_type, None where it is not known."""
    key = _BY_MODEL_TYPE.get(model_type)
    return None if key is None else _FAMILIES[key]
