"""Reads a model's geometry out of its Hugging Face config.json, or says why it cannot be sized with confidence."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard, Tower
from inferplan.domain.model_reading.abbreviated import family_without_name, with_global_heads, with_layer_types
from inferplan.domain.model_reading.families import Family, family_of, wraps_another
from inferplan.domain.model_reading.fields import Fields, short
from inferplan.domain.model_reading.parts import MTP_KEYS, hidden_size
from inferplan.domain.model_reading.positions import longest_context
from inferplan.domain.model_reading.towers import towers
from inferplan.domain.quantization_scheme import read_quantization

_BITS_OF_DTYPE = {"bfloat16": 16, "float16": 16, "half": 16, "float32": 32, "float": 32}
_NESTED = ("text_config", "llm_config", "language_config", "language_model_config")
_BILLION = 10**9
_MOST_BILLIONS = 10**4


@dataclass(frozen=True)
class _Reading:
    """A config on its way to a card.

    Attributes:
        whole: All of config.json.
        decoder: The object that describes the decoder.
        architecture: What the card calls it.
        family: How its layers are read.
        assumptions: What was assumed so far.
    """

    whole: Fields
    decoder: Fields
    architecture: str
    family: Family
    assumptions: tuple[str, ...] = ()


def read_model_config(config: Mapping[str, Any]) -> ModelCard | Missing:
    """Reads a config.json; says why when it cannot size the model with confidence."""
    try:
        return _card(_with_defaults(_identified(Fields(config))))
    except ValueError as error:
        return Missing(Reason.MODEL_UNSUPPORTED, f"model config: {error}")


def _identified(whole: Fields) -> _Reading:
    """Finds the decoder's object and its family.

    Raises:
        ValueError: The architecture is not known, or a field contradicts another.
    """
    widened, about_heads = with_global_heads(_decoder(whole))
    decoder, about_order = with_layer_types(widened)
    notes = (*about_heads, *about_order)
    name = _architecture(whole)
    if name is not None and wraps_another(name):
        inner = _architecture(decoder)
        if inner is None:
            return _Reading(whole, decoder, name, family_without_name(decoder)[0], notes)
        name = inner
    if name is None:
        family, kind = family_without_name(decoder)
        note = f"config.json names no architecture: it is read as {kind}"
        return _Reading(whole, decoder, f"unknown (read as {kind})", family, (*notes, note, *family.notes))
    found = family_of(name)
    if found is None:
        raise ValueError(f"architecture {short(name)} is not sized yet")
    return _Reading(whole, decoder, _architecture(whole) or name, found, (*notes, *found.notes))


def _decoder(whole: Fields) -> Fields:
    for key in _NESTED:
        if whole.values.get(key):
            inner = whole.inner(key)
            if inner is not None:
                return inner
    return whole


def _architecture(config: Fields) -> str | None:
    """The first of architectures, None where there is none.

    Raises:
        ValueError: It is no list of names.
    """
    names = config.values.get("architectures")
    if names is None or names == []:
        return None
    if isinstance(names, list) and isinstance(names[0], str):
        return names[0]
    raise ValueError(f"{config.place}architectures must be a list of names, not {short(names)}")


def _with_defaults(reading: _Reading) -> _Reading:
    """Fills what configs of several towers leave to the decoder's configuration class."""
    missing = {key: value for key, value in reading.family.defaults.items() if not reading.decoder.has(key)}
    if not missing or not reading.decoder.place:
        return reading
    note = f"{', '.join(missing)}: not in config.json, so the configuration class's own in transformers"
    filled = replace(reading.decoder, values={**reading.decoder.values, **missing})
    return replace(reading, decoder=filled, assumptions=(*reading.assumptions, note))


def _card(reading: _Reading) -> ModelCard:
    decoder, family = reading.decoder, reading.family
    quantization = read_quantization(reading.whole.values)
    found = _towers(reading)
    more = quantization.assumptions if quantization is not None else ()
    return ModelCard(
        architecture=reading.architecture,
        hidden_size=hidden_size(decoder),
        vocab_size=decoder.count("vocab_size", "padded_vocab_size"),
        tied_embeddings=_tied(reading),
        layers=family.layers(decoder),
        weight_bits=_weight_bits(reading),
        max_position_embeddings=longest_context(decoder),
        quantization=quantization,
        towers=found,
        extra_parameters=family.counts_extra(decoder),
        mtp_layers=decoder.count(*MTP_KEYS, default=0, least=0),
        assumptions=(*reading.assumptions, *more, *_silences(reading, found)),
        residual_streams=max(1, decoder.count("hc_mult", default=1, least=0)),
    )


def _tied(reading: _Reading) -> bool:
    for config in (reading.decoder, reading.whole):
        if config.has("tie_word_embeddings"):
            return config.flag("tie_word_embeddings")
    return reading.family.tied


def _dtype(reading: _Reading) -> object:
    places = (reading.decoder.values, reading.whole.values)
    return next((place[key] for place in places for key in ("torch_dtype", "dtype") if place.get(key)), None)


def _weight_bits(reading: _Reading) -> int:
    """Bits of the dtype; 16 where it is not stated, as vLLM runs even a float32 checkpoint in 16."""
    name = _dtype(reading)
    if name is None or name == "auto":
        return 16
    if not isinstance(name, str) or name.removeprefix("torch.") not in _BITS_OF_DTYPE:
        raise ValueError(f"torch_dtype {short(name)} is none of {', '.join(_BITS_OF_DTYPE)}")
    return _BITS_OF_DTYPE[name.removeprefix("torch.")]


def _towers(reading: _Reading) -> tuple[Tower, ...]:
    """Towers that the config describes, or that somebody counted (vision_tower_params_b)."""
    whole = reading.whole
    if whole.has("vision_tower_params_b"):
        billions = whole.number("vision_tower_params_b", 0.0)
        if billions > _MOST_BILLIONS:
            raise ValueError(f"vision_tower_params_b must be at most {_MOST_BILLIONS}, not {billions}")
        return (Tower("vision", round(billions * _BILLION), "vision_tower_params_b, as stated"),)
    return towers(whole, hidden_size(reading.decoder))


def _silences(reading: _Reading, found: tuple[Tower, ...]) -> tuple[str, ...]:
    """What the config leaves open."""
    notes = []
    if _dtype(reading) is None:
        notes.append("torch_dtype is not stated: weights are taken to have 16 bits")
    if not (reading.decoder.has("tie_word_embeddings") or reading.whole.has("tie_word_embeddings")):
        tied = "is the embedding" if reading.family.tied else "is a matrix of its own"
        notes.append(f"tie_word_embeddings is not stated: lm_head {tied}, as in the family's configuration class")
    if reading.architecture.endswith("ForConditionalGeneration") and not found:
        notes.append("the config describes no encoder of images or sound, so none is counted")
    return tuple(notes)
