"""A model's card out of what is known: a config.json, whole or shortened, and the model's id."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.model_catalogue import KnownModel, catalogue, known_model, says_quantized
from inferplan.domain.model_config import read_model_config

_TELLING = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
"""Fields that a config must state before its shape is compared."""

_UNSHAPED = frozenset(
    {"architectures", "model_type", "max_position_embeddings", "torch_dtype", "dtype", "layer_types", "rope_parameters"}
    | {"rope_scaling", "quantization_config", "text_config", "vision_config", "num_nextn_predict_layers"}
    | {"mtp_num_hidden_layers", "num_mtp_modules", "mamba_ssm_dtype", "mamba_ssm_cache_dtype", "experts_per_token"}
)
"""Fields in which models of one shape may differ."""

_QUANTIZATION = ("quantization_config", "compression_config", "hf_quant_config")


def model_card(config: Mapping[str, Any] | None, model_id: str | None) -> ModelCard | Missing:
    """Reads the config, filled up from the catalogue where it leaves out what sizes the model.

    Without a config the catalogue's entry of the id counts. What the config says is never contradicted.
    """
    known = known_model(model_id)
    if not config:
        return _of_id(known, model_id)
    if known is not None and known.exact and not _quantization(config):
        return _quantized_as(known, config)
    card = _read(config, known)
    if isinstance(card, Missing) or card.quantization is not None or not says_quantized(model_id):
        return card
    return replace(card, quantization_known=False)


def _read(config: Mapping[str, Any], known: KnownModel | None) -> ModelCard | Missing:
    return _filled(config, known) if _is_short(config) else read_model_config(config)


def _quantized_as(known: KnownModel, config: Mapping[str, Any]) -> ModelCard | Missing:
    """The config with the quantization that the catalogue knows of this very checkpoint."""
    more = _quantization(known.config)
    card = _read({**config, **more}, known)
    if isinstance(card, Missing) or not more:
        return card
    note = f"the config says nothing of quantization: it is taken from {known.name} in the catalogue"
    return replace(card, assumptions=(note, *card.assumptions), quantization_stated=False)


def _of_id(known: KnownModel | None, model_id: str | None) -> ModelCard | Missing:
    if known is None:
        named = f', and the catalogue has no model "{model_id[:100]}"' if model_id else ""
        why = f"no config.json was given{named}: set spec.model.config or .configMapRef"
        return Missing(Reason.MODEL_CONFIG_MISSING, why)
    card = read_model_config(known.config)
    if isinstance(card, Missing):
        return card
    notes = (*known.notes, *card.assumptions)
    return replace(card, assumptions=notes, quantization_known=not known.quantized, quantization_stated=False)


def _quantization(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: config[key] for key in _QUANTIZATION if config.get(key)}


def _is_short(config: Mapping[str, Any]) -> bool:
    """Whether the config leaves out what published ones have: their class, or the object of an encoder."""
    names = config.get("architectures")
    if not names:
        return True
    multimodal = isinstance(names, list) and str(names[0]).endswith("ForConditionalGeneration")
    flat = "layer_type_counts" in config or not isinstance(config.get("text_config"), Mapping)
    return "layer_type_counts" in config or (multimodal and flat and "vision_config" not in config)


def _filled(config: Mapping[str, Any], known: KnownModel | None) -> ModelCard | Missing:
    own = read_model_config(config)
    twin = _twin(config, known)
    if twin is None:
        return own
    card = read_model_config(_over(twin.config, config))
    if isinstance(card, Missing):
        return own
    note = f"what the config leaves out is taken from {twin.name} in the catalogue, which has the same shape"
    return replace(card, assumptions=(note, *card.assumptions))


def _twin(config: Mapping[str, Any], known: KnownModel | None) -> KnownModel | None:
    """The catalogue's entry that agrees with all that the config says: that of the id first, then plain ones."""
    if not all(type(config.get(key)) is int for key in _TELLING):
        return None
    if known is not None and _agrees(config, known.config):
        return known
    found = [entry for entry in catalogue() if _agrees(config, entry.config)]
    return min(found, key=lambda entry: ("vision_config" in entry.config, entry.name), default=None)


def _agrees(config: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    decoder = _decoder(other)
    if any(decoder.get(key) != config[key] for key in _TELLING):
        return False
    names = config.get("architectures")
    if names and names != other.get("architectures"):
        return False
    counts = config.get("layer_type_counts")
    same_layers = not counts or counts == _counted(decoder.get("layer_types"))
    return same_layers and all(decoder[key] == value for key, value in _stated(config) if key in decoder)


def _stated(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Fields of the config that say something of the shape."""
    return ((key, value) for key, value in config.items() if key not in _UNSHAPED and value is not None)


def _decoder(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The decoder's fields, with those that stand beside it."""
    inner = config.get("text_config")
    return {**config, **inner} if isinstance(inner, Mapping) else config


def _counted(kinds: object) -> dict[str, int] | None:
    if not isinstance(kinds, list):
        return None
    return {kind: kinds.count(kind) for kind in kinds}


def _over(twin: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The twin's fields under the config's own; number formats and context length are the config's alone."""
    own = {key: value for key, value in config.items() if value is not None and key != "layer_type_counts"}
    beside = {key: own.pop(key) for key in (*_QUANTIZATION, "vision_tower_params_b") if key in own}
    left = (*_QUANTIZATION, "torch_dtype", "dtype", "max_position_embeddings", "rope_scaling", "rope_parameters")
    base = {key: value for key, value in twin.items() if key not in left}
    inner = base.get("text_config")
    if not isinstance(inner, Mapping):
        return {**base, **own, **beside}
    names = {"architectures": base["architectures"]}
    text = {key: value for key, value in inner.items() if key not in left}
    kept = {key: value for key, value in own.items() if key not in {"architectures", "model_type"}}
    return {**base, "text_config": {**text, **kept}, **names, **beside}
