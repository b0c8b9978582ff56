"""A model's geometry: its layers by kind, and all else that sizes weights and caches. Pure data.

domain/model_config.py reads it out of a config.json.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TypeVar

from inferplan.domain.architecture import (
    Attention,
    DenseMLP,
    LatentAttention,
    Layer,
    LinearAttention,
    Mamba,
    MixtureOfExperts,
)
from inferplan.domain.quantization_scheme import Quantization

_Value = TypeVar("_Value", bound=Hashable)


@dataclass(frozen=True)
class Tower:
    """What a model has beside its decoder: an encoder of images or sound, with its projector.

    Attributes:
        name: vision or audio.
        parameters: Number of weights.
        source: What the number follows from, a sentence.
    """

    name: str
    parameters: int
    source: str


@dataclass(frozen=True)
class ModelCard:
    """Geometry of a decoder model.

    Attributes:
        architecture: Class name in config.json; what it was read as, where the config names none.
        hidden_size: Width of the residual stream.
        vocab_size: Rows of the embedding.
        tied_embeddings: Whether lm_head is the embedding.
        layers: Decoder layers in the model's order; equal layers share one object.
        weight_bits: Bits of the number format that the checkpoint's dtype names.
        max_position_embeddings: Longest context of the model, tokens; None when it is not known.
        quantization: How the checkpoint is quantized, None when it is not.
        towers: Encoders of images and sound.
        extra_parameters: Weights that are neither layer, embedding, head nor tower.
        mtp_layers: Multi-token-prediction layers in the checkpoint, loaded only to speculate with.
        assumptions: What was assumed where the config is silent; each a sentence.
        quantization_stated: Whether the config itself says how the checkpoint is quantized; else `quantization` is the
            catalogue's, of the checkpoint with that id, and a setting that says otherwise means another checkpoint.
        quantization_known: False where the model's name says that the checkpoint is quantized, and nothing says how.
        residual_streams: Streams that a token passes the layers in (DeepSeek V4's hyper-connections).
    """

    architecture: str
    hidden_size: int
    vocab_size: int
    tied_embeddings: bool
    layers: tuple[Layer, ...]
    weight_bits: int
    max_position_embeddings: int | None = None
    quantization: Quantization | None = None
    towers: tuple[Tower, ...] = ()
    extra_parameters: int = 0
    mtp_layers: int = 0
    assumptions: tuple[str, ...] = ()
    quantization_known: bool = True
    quantization_stated: bool = True
    residual_streams: int = 1

    @property
    def num_layers(self) -> int:
        """Decoder layers."""
        return len(self.layers)

    @cached_property
    def layer_counts(self) -> Mapping[Layer, int]:
        """How many layers there are of each kind, in order of first appearance."""
        return MappingProxyType(Counter(self.layers))

    @cached_property
    def heads(self) -> int | None:
        """Query heads, None where layers differ or none attends."""
        return _agreed(mixer.heads for mixer in self._attending)

    @cached_property
    def kv_heads(self) -> int | None:
        """Key/value heads, None where layers differ or keep no keys and values by head."""
        return _agreed(mixer.kv_heads if isinstance(mixer, Attention) else None for mixer in self._attending)

    @cached_property
    def head_dim(self) -> int | None:
        """Width of a key head, None where layers differ or keep no keys by head."""
        return _agreed(mixer.head_dim if isinstance(mixer, Attention) else None for mixer in self._attending)

    @cached_property
    def intermediate_size(self) -> int | None:
        """Width of the dense MLPs, None where they differ or there are none."""
        parts = (layer.feed_forward for layer in self.layer_counts)
        return _agreed(part.intermediate_size for part in parts if isinstance(part, DenseMLP))

    @cached_property
    def is_dense(self) -> bool:
        """Whether no layer has experts."""
        return not any(isinstance(layer.feed_forward, MixtureOfExperts) for layer in self.layer_counts)

    @cached_property
    def is_latent(self) -> bool:
        """Whether a layer has multi-head latent attention."""
        return any(isinstance(mixer, LatentAttention) for mixer in self._attending)

    @cached_property
    def has_states(self) -> bool:
        """Whether a layer keeps a state of constant size per request (linear attention, Mamba)."""
        return any(isinstance(layer.mixer, LinearAttention | Mamba) for layer in self.layer_counts)

    @cached_property
    def is_plain(self) -> bool:
        """Whether all layers are one kind of full attention with one gated MLP, and there is nothing beside them."""
        (first, *others) = self.layer_counts
        mixer, part = first.mixer, first.feed_forward
        full = isinstance(mixer, Attention) and mixer.window is None and mixer.chunk is None
        gated = isinstance(part, DenseMLP) and part.gated
        return not others and full and gated and not self.towers and not self.extra_parameters

    @property
    def quantization_method(self) -> str | None:
        """quant_method of the checkpoint, None when it is not quantized."""
        return None if self.quantization is None else self.quantization.method

    @cached_property
    def _attending(self) -> tuple[Attention | LatentAttention, ...]:
        mixers = (layer.mixer for layer in self.layer_counts)
        return tuple(mixer for mixer in mixers if isinstance(mixer, Attention | LatentAttention))

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("a model has layers")


def _agreed(values: Iterable[_Value]) -> _Value | None:
    """The value that all share, None where they differ or there are none."""
    found = set(values)
    return found.pop() if len(found) == 1 else None
