"""The longest context that a config allows."""

from collections.abc import Iterator, Mapping
from typing import Any

from inferplan.domain.model_reading.fields import Fields

_LENGTH_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length")
_MOST_TOKENS = 10**9  # Llama 4 Scout: 10,485,760
_AS_STATED = frozenset({"default", "llama3", "mrope", "proportional", "su"})
"""Kinds of positions whose max_position_embeddings is the longest context in every vLLM release."""


def longest_context(config: Fields) -> int | None:
    """Tokens of the longest context, None where releases differ or the config does not say it.

    DeepSeek-V3: yarn, 4096 x 40 = 163,840, and max_position_embeddings says the same. Sources: config/model.py
    _get_and_verify_max_len of vLLM 0.6.6 to 0.33.0: yarn stretches the original length, "linear" and "dynamic" the
    stated one; 0.33.0 takes yarn's as stated, and longrope's original one. Gemma 3's is always as stated.

    Raises:
        ValueError: A field is no number.
    """
    key = config.first(*_LENGTH_KEYS)
    longest = config.count(key, most=_MOST_TOKENS) if config.has(key) else None
    if longest is None or str(config.values.get("model_type", "")).startswith("gemma3"):
        return longest
    stretched = {_stretched(longest, scaling) for scaling in _scalings(config)} - {longest}
    return longest if not stretched else None


def _scalings(config: Fields) -> Iterator[Mapping[str, Any]]:
    """Objects that scale positions, one, or one for each kind of layer."""
    found = config.values.get("rope_scaling") or config.values.get("rope_parameters")
    if found and not isinstance(found, Mapping):
        yield {"rope_type": "unknown"}
    elif found:
        nested = [each for each in found.values() if isinstance(each, Mapping)]
        yield from nested or [found]


def _stretched(longest: int, scaling: Mapping[str, Any]) -> int | None:
    """The longest context under one scaling, None where it is not certain."""
    kind = scaling.get("rope_type") or scaling.get("type") or "default"
    if not isinstance(kind, str):
        return None
    if kind in _AS_STATED:
        return longest
    factor, original = scaling.get("factor"), scaling.get("original_max_position_embeddings")
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (factor, original))
    yarn = kind in {"yarn", "deepseek_yarn"} and numbers
    return longest if yarn and factor is not None and original is not None and factor * original == longest else None
