"""In which formats a model's weights are served: the checkpoint's own, or what the engine was told to make of them."""

import re
from dataclasses import dataclass, replace

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.module_patterns import read_patterns
from inferplan.domain.quantization import NumberFormat, Quantization, Reach, Scaling, Scheme
from inferplan.domain.quantization_simple import (
    FP8_PER_BLOCK,
    FP8_PER_CHANNEL,
    FP8_PER_TENSOR,
    INT8_WEIGHT_ONLY,
    MXFP4,
    MXFP8,
    NF4,
    NVFP4,
    grouped,
)
from inferplan.domain.serving import ServingConfig

_BITS_OF_DTYPE = {"half": 16, "float16": 16, "bfloat16": 16, "fp16": 16, "bf16": 16, "float": 32, "float32": 32}
_HALF_BITS = 16
_NOTHING = frozenset({"", "none", "null", "no", "auto", "unquantized", "bf16", "bfloat16", "fp16", "float16", "half"})
_HEAD = read_patterns(("lm_head",))
_INT8_BOTH = Scheme(NumberFormat.INT8, NumberFormat.INT8, Scaling.CHANNEL)
_INT6 = Scheme(NumberFormat.FP6, None, Scaling.GROUP, 128, scale_bits=16, zero_bits=6)
_USUAL_SPREAD = 0.04
"""Groups of 32 instead of 128 take 4.6 instead of 4.16 bits in AWQ and GPTQ; layers left in 16 bit add as much."""
_MIXED_SPREAD = 0.15


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


@dataclass(frozen=True)
class _Usual:
    """What a name stands for when no config says more."""

    pattern: str
    scheme: Scheme
    reach: Reach = Reach.LINEAR
    spread: float = 0.0
    kept: tuple[str, ...] = ()


_GROUP_128 = grouped(NumberFormat.INT4, 128, zero_points=True)
_USUAL: tuple[_Usual, ...] = (
    # The first that fits counts. Online methods of vLLM are exact: they leave nothing open.
    _Usual(
        r"(?=.*experts|.*per_channel_weight_only).*int8|int8_per_channel_weight_only", INT8_WEIGHT_ONLY, Reach.EXPERTS
    ),
    _Usual(r"nvfp4_per_token", NVFP4, Reach.EXPERTS),
    _Usual(r"(bitsandbytes|\bbnb\b)(?=.*(int8|8[-_ ]?bit))", INT8_WEIGHT_ONLY, spread=_USUAL_SPREAD),
    _Usual(r"bitsandbytes|\bbnb|nf4", NF4, spread=_USUAL_SPREAD),
    _Usual(r"mxfp8|modelopt_mxfp8", MXFP8),
    _Usual(r"mxfp4", MXFP4),
    _Usual(r"nvfp4|modelopt_fp4|petit|(?<![a-z])fp4", NVFP4, spread=_USUAL_SPREAD),
    _Usual(r"(fp8|float8).*block|block.*fp8", FP8_PER_BLOCK),
    # Meta's recipe, the only one of that name: "Llama 3.1 405B FP8" leaves attention and the outer layers alone
    _Usual(r"fbgemm", FP8_PER_CHANNEL, spread=_USUAL_SPREAD, kept=("self_attn", "model.layers.0")),
    _Usual(r"fp8_per_channel|ptpc|fp8[-_ ]dynamic", FP8_PER_CHANNEL),
    _Usual(r"w4a8", grouped(NumberFormat.INT4, 128, zero_points=False), spread=_USUAL_SPREAD),
    _Usual(r"fp8|float8|w8a8[-_ ]?fp8|^modelopt$", FP8_PER_TENSOR),
    _Usual(
        r"(awq|gptq|auto[-_ ]?round|autoround)(?=.*(int8|8[-_ ]?bit|w8))",
        grouped(NumberFormat.INT8, 128, zero_points=True),
        spread=_USUAL_SPREAD,
    ),
    _Usual(r"(int6|6[-_ ]?bit)", _INT6, spread=_MIXED_SPREAD),
    _Usual(
        r"(auto[-_ ]?round|autoround|awq|gptq|marlin|moe_wna16|w4a16|int4|\b4[-_ ]?bit)",
        _GROUP_128,
        spread=_USUAL_SPREAD,
    ),
    _Usual(r"w8a8|int8[-_ ]?w8a8|smoothquant", _INT8_BOTH, spread=_USUAL_SPREAD),
    _Usual(r"w8a16|int8|eetq|\b8[-_ ]?bit", INT8_WEIGHT_ONLY, spread=_USUAL_SPREAD),
)
_ID_WORDS = re.compile(
    r"(?:^|[-_./])(?:awq|gptq|auto-?round|nvfp4|mxfp4|mxfp8|fp8(?:[-_](?:dynamic|block))?|w4a16|w8a16|w8a8|w4a8|bnb-[48]bit|"
    r"int4|int8|[48]bit)(?=$|[-_.])",
    re.IGNORECASE,
)


def served_format(config: ServingConfig, card: ModelCard) -> WeightFormat | Missing:
    """In which format the engine serves the model.

    A quantized checkpoint decides. Else the setting `quantization` does, as an engine's flag or in a user's words
    ("awq int4"), and where that says nothing the model's name ("…-AWQ"). What the method leaves open is taken as its
    usual shape, with a sentence and a width.
    """
    bits = _running_bits(config, card)
    if bits is None:
        return Missing(Reason.SETTING_UNKNOWN, f"dtype {config.text('dtype')} is none of {', '.join(_BITS_OF_DTYPE)}")
    if card.quantization is not None:
        return WeightFormat(bits, _as_engine_loads(card.quantization, config), card.quantization.assumptions)
    text = (config.text("quantization") or "").strip().lower()
    if text not in _NOTHING:
        return _from_words(bits, text, config)
    named = _words_in_id(config.model)
    if not named:
        return WeightFormat(bits, None)
    found = _usual(named)
    if found is None:
        return WeightFormat(bits, None)
    sentence = f"the model's name says {named}, which its config does not describe: {_described(found)} assumed"
    return WeightFormat(bits, _as_engine_loads(_quantization(named, found, sentence), config), (sentence,))


def _running_bits(config: ServingConfig, card: ModelCard) -> int | None:
    """Without --dtype a float32 checkpoint runs in 16 bit (vllm/config/model.py, 0.33.0)."""
    dtype = config.text("dtype")
    return min(card.weight_bits, _HALF_BITS) if dtype in {None, "auto"} else _BITS_OF_DTYPE.get(str(dtype).lower())


def _from_words(bits: int, text: str, config: ServingConfig) -> WeightFormat | Missing:
    more = f"{text} {_words_in_id(config.model)}".strip()
    found = _usual(text) or _usual(more)
    if found is None:
        known = "awq, gptq, fp8, nvfp4, mxfp4, mxfp8, bitsandbytes, w4a16, w8a8, int8 …"
        why = (
            f"quantization {text[:64]} does not say how weights are stored; quantization_config does, or one of {known}"
        )
        return Missing(Reason.SETTING_UNKNOWN, why)
    if not found.spread:
        return WeightFormat(bits, _as_engine_loads(_quantization(text, found, ""), config))
    sentence = f"quantization {text[:64]} without a quantization_config: {_described(found)} assumed"
    return WeightFormat(bits, _as_engine_loads(_quantization(text, found, sentence), config), (sentence,))


def _usual(text: str) -> _Usual | None:
    return next((usual for usual in _USUAL if re.search(usual.pattern, text)), None)


def _words_in_id(model: str | None) -> str:
    return " ".join(match.group().lstrip("-_./").lower() for match in _ID_WORDS.finditer(model or ""))


def _quantization(method: str, found: _Usual, sentence: str) -> Quantization:
    assumptions = (sentence,) if sentence else ()
    kept = (*_HEAD, *read_patterns(found.kept))
    return Quantization(method, found.scheme, kept, reach=found.reach, assumptions=assumptions, spread=found.spread)


def _described(found: _Usual) -> str:
    scheme = found.scheme
    width = f" in groups of {scheme.group_size}" if scheme.scaling is Scaling.GROUP else f" per {scheme.scaling}"
    return f"{scheme.weights}{width}, lm_head and embeddings in 16 bit"


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
