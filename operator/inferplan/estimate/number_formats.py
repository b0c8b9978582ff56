"""In which formats a model's weights are served: the checkpoint's own, or what the engine was told to make of them."""

import re
from dataclasses import dataclass, replace

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.module_patterns import read_patterns
from inferplan.domain.quantization import NumberFormat, Quantization
from inferplan.domain.serving import ServingConfig
from inferplan.estimate.usual_formats import UsualFormat, described, own_format, usual_format, words_in_id

_BITS_OF_DTYPE = {"half": 16, "float16": 16, "bfloat16": 16, "fp16": 16, "bf16": 16, "float": 32, "float32": 32}
_HALF_BITS = 16
_NOTHING = frozenset({"", "none", "null", "no", "auto", "unquantized", "bf16", "bfloat16", "fp16", "float16", "half"})
_HEAD = read_patterns(("lm_head",))
_BFLOAT16 = re.compile(r"(?:^|[-_./])(?:bf16|bfloat16)(?=$|[-_.])", re.IGNORECASE)


@dataclass(frozen=True)
class WeightFormat:
    """How weights are stored while they are served.

    Attributes:
        bits: Of the dtype that the model runs in.
        quantization: Of its matrices, None where they are stored in that dtype.
        assumptions: What was assumed, each a sentence.
    """

    bits: int
    quantization: Quantization | None
    assumptions: tuple[str, ...] = ()


def served_format(config: ServingConfig, card: ModelCard) -> WeightFormat | Missing:
    """In which format the engine serves the model.

    A quantized checkpoint decides. Else the setting `quantization` does, as an engine's flag or in a user's words
    ("awq int4"), and where that says nothing the model's name ("…-AWQ"). What the method leaves open is taken as its
    usual shape, with a sentence and a width.
    """
    bits = _running_bits(config, card)
    if bits is None:
        return Missing(Reason.SETTING_UNKNOWN, f"dtype {config.text('dtype')} is none of {', '.join(_BITS_OF_DTYPE)}")
    text = (config.text("quantization") or "").strip().lower()
    if card.quantization is not None and not _means_another(text, card, config):
        return WeightFormat(bits, _as_engine_loads(card.quantization, config), card.quantization.assumptions)
    if text not in _NOTHING:
        return _from_words(bits, text, config, card)
    named = words_in_id(config.model)
    if named:
        found, why = (
            usual_format(named, None, card),
            f"the model's name says {named}, which its config does not describe",
        )
    else:
        found, why = own_format(card), "the config has no quantization_config, and the family is published quantized"
    if _BFLOAT16.search(config.model or ""):
        return WeightFormat(bits, None)
    if found is None:
        return WeightFormat(bits, None) if card.quantization_known else _unsaid(config)
    return _assumed(bits, named or "mxfp4", found, f"{why}: {described(found)} assumed", config)


def _means_another(text: str, card: ModelCard, config: ServingConfig) -> bool:
    """Whether the setting means another checkpoint than the one that the catalogue knows by the model's id."""
    if card.quantization is None or card.quantization_stated or text in _NOTHING:
        return False
    found = usual_format(text, config.model, card)
    return found is not None and found.scheme.weights is not card.quantization.weights


def _unsaid(config: ServingConfig) -> Missing:
    name = (config.model or "its name")[:64]
    why = f"{name} says that the weights are quantized, and not how; a quantization_config does, or the setting"
    return Missing(Reason.SETTING_UNKNOWN, f"quantization is not known: {why} quantization")


def _running_bits(config: ServingConfig, card: ModelCard) -> int | None:
    """Without --dtype a float32 checkpoint runs in 16 bit (vllm/config/model.py, 0.33.0)."""
    dtype = config.text("dtype")
    return min(card.weight_bits, _HALF_BITS) if dtype in {None, "auto"} else _BITS_OF_DTYPE.get(str(dtype).lower())


def _from_words(bits: int, text: str, config: ServingConfig, card: ModelCard) -> WeightFormat | Missing:
    found = usual_format(text, config.model, card)
    if found is None:
        known = "awq, gptq, fp8, nvfp4, mxfp4, mxfp8, bitsandbytes, w4a16, w8a8, int8 …"
        why = (
            f"quantization {text[:64]} does not say how weights are stored; quantization_config does, or one of {known}"
        )
        return Missing(Reason.SETTING_UNKNOWN, why)
    assumed = f"quantization {text[:64]} without a quantization_config: {described(found)} assumed"
    return _assumed(bits, text, found, assumed if found.spread else "", config)


def _assumed(bits: int, method: str, found: UsualFormat, sentence: str, config: ServingConfig) -> WeightFormat:
    quantization = _as_engine_loads(_quantization(method, found, sentence), config)
    return WeightFormat(bits, quantization, quantization.assumptions)


def _quantization(method: str, found: UsualFormat, sentence: str) -> Quantization:
    assumptions = (sentence,) if sentence else ()
    kept = (*_HEAD, *read_patterns(found.kept))
    return Quantization(method, found.scheme, kept, reach=found.reach, assumptions=assumptions, spread=found.spread)


def _as_engine_loads(quantization: Quantization, config: ServingConfig) -> Quantization:
    """Bitsandbytes' scales stay quantized themselves before vLLM 0.9: 4 + 8 / 64 + 32 / 16384 = 4.127 bits.

    model_loader/loader.py (0.8.5) keeps the nested state, bitsandbytes_loader.py (0.9.2) widens it.
    """
    scheme = quantization.scheme
    if scheme is None or scheme.weights is not NumberFormat.NF4 or config.engine is not Engine.VLLM:
        return quantization
    release = re.match(r"\D*(\d+)\.(\d+)", config.version or "")
    if release is None or (int(release[1]), int(release[2])) >= (0, 9):
        return quantization
    return replace(quantization, scheme=replace(scheme, scale_bits=8))
