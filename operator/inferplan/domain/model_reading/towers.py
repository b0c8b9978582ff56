"""Encoders of images and sound beside a decoder: how many weights they hold."""

from collections.abc import Iterator
from dataclasses import dataclass

from inferplan.domain.model_card import Tower
from inferplan.domain.model_reading.fields import Fields

_VISION_KEYS = ("vision_config", "vision_tower_config", "vit_config")
_AUDIO_KEYS = ("audio_config", "audio_tower_config", "speech_config")
_GATED = frozenset({"pixtral", "gemma4_vision", "qwen2_5_vl", "qwen2_5_vl_vision"})
_CHANNELS = 3
_LARGEST = 10**5


@dataclass(frozen=True)
class _Encoder:
    """A transformer encoder: layers, widths, and whether its MLP is gated."""

    layers: int
    width: int
    attention_width: int
    intermediate: int
    gated: bool

    @property
    def parameters(self) -> int:
        """SigLIP so400m: 27 x (4 x 1152² + 2 x 1152 x 4304 + 4 x 1152) = 411,194,880."""
        matrices = 3 if self.gated else 2
        each = 4 * self.width * self.attention_width + matrices * self.width * self.intermediate
        return self.layers * (each + 4 * self.width)


def towers(config: Fields, hidden_size: int) -> tuple[Tower, ...]:
    """Towers that the config describes: the vision encoder with its projector, the audio encoder.

    Raises:
        ValueError: A tower's field is none that can be read.
    """
    return (*_vision(config, hidden_size), *_audio(config, hidden_size))


def _vision(config: Fields, hidden_size: int) -> Iterator[Tower]:
    vision = config.inner(*_VISION_KEYS)
    if vision is None or not vision.values:
        return
    encoder = _encoder(vision)
    if encoder is None:
        return
    patch = vision.count("patch_size", default=14, most=_LARGEST)
    embedding = _CHANNELS * patch * patch * vision.count("temporal_patch_size", default=1) * encoder.width
    positions = vision.count("num_position_embeddings", default=0, least=0) * encoder.width
    projector = _projector(config, vision, encoder.width, hidden_size)
    source = "layers, widths and patches in vision_config; projector of two matrices"
    yield Tower("vision", encoder.parameters + embedding + positions + projector, source)


def _projector(config: Fields, vision: Fields, width: int, hidden_size: int) -> int:
    """Weights between the encoder and the decoder.

    Mistral 3 merges patches beside its encoder: 4 x 1024 x 1024 + 1024 x 5120 + 5120 x 5120 = 35,651,584.
    """
    beside = config.count("spatial_merge_size", default=1, most=_LARGEST)
    if beside > 1:
        return beside * beside * width * width + width * hidden_size + hidden_size * hidden_size
    merge = _merge(vision)
    joint = width * merge * merge
    mergers = 1 + len(vision.entries("deepstack_visual_indexes") or ())
    return mergers * (joint * joint + joint * hidden_size) if merge > 1 else 2 * width * hidden_size


def _merge(vision: Fields) -> int:
    """Patches in a row that become one token: spatial_merge_size 2 for Qwen's."""
    sizes = vision.values.get("merge_kernel_size")
    if isinstance(sizes, list) and sizes and type(sizes[0]) is int:
        return Fields({"merge_kernel_size": sizes[0]}, vision.place).count("merge_kernel_size", most=_LARGEST)
    return vision.count("spatial_merge_size", default=1, most=_LARGEST)


def _audio(config: Fields, hidden_size: int) -> Iterator[Tower]:
    audio = config.inner(*_AUDIO_KEYS)
    if audio is None or not audio.values:
        return
    encoder = _encoder(audio)
    if encoder is not None:
        yield Tower("audio", encoder.parameters + encoder.width * hidden_size, "layers and widths in audio_config")


def _encoder(tower: Fields) -> _Encoder | None:
    """The tower's transformer, None where the config leaves its shape to the model's code."""
    layer_keys = ("depth", "num_hidden_layers", "vt_num_hidden_layers", "encoder_layers", "layers")
    width_keys = ("embed_dim", "vt_hidden_size", "hidden_size", "d_model", "width")
    inner_keys = ("intermediate_size", "vt_intermediate_size", "encoder_ffn_dim", "mlp_dim")
    if not (tower.has(tower.first(*layer_keys)) and tower.has(tower.first(*width_keys))):
        return None
    width = tower.count(*width_keys, most=_LARGEST)
    ratio = tower.number("mlp_ratio", 4.0)
    return _Encoder(
        layers=tower.layers(*layer_keys),
        width=width,
        attention_width=tower.count("qkv_hidden_size", default=width, most=_LARGEST),
        intermediate=tower.count(*inner_keys, default=round(width * min(ratio, _LARGEST)), most=_LARGEST),
        gated=tower.text("model_type") in _GATED or tower.values.get("hidden_act") == "silu",
    )
