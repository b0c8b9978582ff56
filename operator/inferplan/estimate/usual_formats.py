"""What the names of quantization methods stand for, as flags and people write them, when no config says more."""

import re
from dataclasses import dataclass, replace

from inferplan.domain.model_card import ModelCard
from inferplan.domain.quantization import NumberFormat, Reach, Scaling, Scheme
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
from inferplan.estimate.tensor import is_family

_INT8_BOTH = Scheme(NumberFormat.INT8, NumberFormat.INT8, Scaling.CHANNEL)
_INT6 = grouped(NumberFormat.INT6, 128, zero_points=True)
_USUAL_SPREAD = 0.04
"""Groups of 32 instead of 128 take 4.6 instead of 4.16 bits in AWQ and GPTQ; layers left in 16 bit add as much."""
_MIXED_SPREAD = 0.15
_TYPICAL_INPUTS = 4096
_NVFP4_SPREAD = 0.12
"""Of ModelOpt's own checkpoints, those of 2025 quantize attention, those of 2026 keep it in 16 or 8 bit."""


@dataclass(frozen=True)
class UsualFormat:
    """What a name stands for when no config says more.

    Attributes:
        pattern: What names it.
        scheme: Of the matrices within reach.
        reach: Which matrices those are.
        spread: Relative half-width of what the name leaves open, 0.0 for methods that leave nothing.
        kept: Modules that stay in 16 bit besides lm_head.
    """

    pattern: str
    scheme: Scheme
    reach: Reach = Reach.LINEAR
    spread: float = 0.0
    kept: tuple[str, ...] = ()


_GROUP_128 = grouped(NumberFormat.INT4, 128, zero_points=True)
_USUAL: tuple[UsualFormat, ...] = (
    # The first that fits counts. Online methods of vLLM are exact: they leave nothing open.
    UsualFormat(
        r"(?=.*experts|.*per_channel_weight_only).*int8|int8_per_channel_weight_only", INT8_WEIGHT_ONLY, Reach.EXPERTS
    ),
    UsualFormat(r"nvfp4_per_token", NVFP4, Reach.EXPERTS),
    UsualFormat(r"(bitsandbytes|\bbnb\b)(?=.*(int8|8[-_ ]?bit))", INT8_WEIGHT_ONLY, spread=_USUAL_SPREAD),
    UsualFormat(r"bitsandbytes|\bbnb|nf4", NF4, spread=_USUAL_SPREAD),
    UsualFormat(r"mxfp8|modelopt_mxfp8", MXFP8),
    UsualFormat(r"mxfp4", MXFP4),
    UsualFormat(r"nvfp4|modelopt_fp4|petit|(?<![a-z])fp4", NVFP4, spread=_NVFP4_SPREAD),
    UsualFormat(r"(fp8|float8).*block|block.*fp8", FP8_PER_BLOCK),
    # Meta's recipe, the only one of that name: "Llama 3.1 405B FP8" leaves attention and the outer layers alone
    UsualFormat(r"fbgemm", FP8_PER_CHANNEL, spread=_USUAL_SPREAD, kept=("self_attn", "model.layers.0")),
    UsualFormat(r"fp8_per_channel|ptpc|fp8[-_ ]dynamic", FP8_PER_CHANNEL),
    UsualFormat(r"w4a8", grouped(NumberFormat.INT4, 128, zero_points=False), spread=_USUAL_SPREAD),
    UsualFormat(r"fp8|float8|w8a8[-_ ]?fp8|^modelopt$", FP8_PER_TENSOR),
    UsualFormat(
        r"(awq|gptq|auto[-_ ]?round|autoround)(?=.*(int8|8[-_ ]?bit|w8))",
        grouped(NumberFormat.INT8, 128, zero_points=True),
        spread=_USUAL_SPREAD,
    ),
    UsualFormat(r"(int6|6[-_ ]?bit)", _INT6, spread=_MIXED_SPREAD),
    UsualFormat(
        r"(auto[-_ ]?round|autoround|awq|gptq|marlin|moe_wna16|w4a16|int4|\b4[-_ ]?bit)",
        _GROUP_128,
        spread=_USUAL_SPREAD,
    ),
    UsualFormat(r"w8a8|int8[-_ ]?w8a8|smoothquant", _INT8_BOTH, spread=_USUAL_SPREAD),
    UsualFormat(r"w8a16|int8|eetq|\b8[-_ ]?bit", INT8_WEIGHT_ONLY, spread=_USUAL_SPREAD),
)
_BARE = frozenset({"modelopt", "compressed-tensors", "quark", "torchao"})
_ID_WORDS = re.compile(
    r"(?:^|[-_./])(awq|gptq|auto-?round|nvfp4|mxfp4|mxfp8|fp8(?:[-_](?:dynamic|block))?|w4a16|w8a16|w8a8|w4a8|bnb-[48]bit|"
    r"int4|int8|[48]bit)(?=$|[-_.])",
    re.IGNORECASE,
)


def usual_format(text: str, model: str | None, card: ModelCard) -> UsualFormat | None:
    """The format that a name stands for, None where it stands for none.

    Args:
        text: The name: "awq", "gptq int4", "fp8 (block)".
        model: Model id, which helps a name that says too little: modelopt of "…-NVFP4".
        card: The model; what is usual depends on its kind.
    """
    more = f"{text} {words_in_id(model)}".strip()
    found = _find(more) if text in _BARE else _find(text) or _find(more)
    return None if found is None else _for_model(found, card)


def own_format(card: ModelCard) -> UsualFormat | None:
    """The format that a family is published in, whatever its config leaves out: MXFP4 experts of gpt-oss."""
    return _for_model(UsualFormat("", MXFP4), card) if is_family(card.architecture, "gptoss") else None


def words_in_id(model: str | None) -> str:
    """The words of a model's id that name a format: "Qwen2.5-7B-Instruct-GPTQ-Int8" has "gptq int8"."""
    return " ".join(match.lower() for match in _ID_WORDS.findall(model or ""))


def described(found: UsualFormat) -> str:
    """The format in words."""
    scheme = found.scheme
    width = f"in groups of {scheme.group_size}" if scheme.scaling is Scaling.GROUP else f"per {scheme.scaling}"
    bits = f"{scheme.bits_per_value(_TYPICAL_INPUTS):.2f} bits a value"
    of = " of the experts" if found.reach is Reach.EXPERTS else ""
    attention = "attention, " if "self_attn" in found.kept else ""
    return f"{scheme.weights}{of} {width} ({bits}), with {attention}lm_head and embeddings in 16 bit,"


def _find(text: str) -> UsualFormat | None:
    return next((usual for usual in _USUAL if re.search(usual.pattern, text)), None)


def _for_model(found: UsualFormat, card: ModelCard) -> UsualFormat:
    """What is usual for the model's kind: gpt-oss has MXFP4 experts only, NVFP4 often leaves attention alone.

    Ignore lists of nvidia's GLM-5.1, Kimi-K2.5, MiniMax-M2.5 and Qwen3.5 checkpoints name self_attn and linear_attn;
    those of dense models without recurrent layers name neither.
    """
    if found.scheme is MXFP4 and is_family(card.architecture, "gptoss"):
        return replace(found, reach=Reach.EXPERTS)
    if found.scheme is not NVFP4 or found.reach is Reach.EXPERTS:
        return found
    if card.is_dense:
        return replace(found, kept=("linear_attn",)) if card.has_states else found
    return replace(found, kept=("self_attn", "linear_attn"))
