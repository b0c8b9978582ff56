"""What smaller weights can be had: made while loading, or from a checkpoint that the owner names. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from inferplan.api.base import SHORT_TEXT_MAX
from inferplan.api.instance import Checkpoint
from inferplan.api.reasons import Reason
from inferplan.api.values import Confidence, ConfigChange, Effort, Engine, Evidence, QuantizationMethod
from inferplan.dialects.checkpoints import twin
from inferplan.dialects.keys import flag_name
from inferplan.dialects.splicing import SAFE_TEXT
from inferplan.dialects.weight_formats import Kernel, OnlineFormat, checkpoint_kernel
from inferplan.domain.lever import Option
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.module_patterns import read_patterns
from inferplan.domain.observation import Observation
from inferplan.domain.quantization import NumberFormat, Quantization
from inferplan.domain.serving import ServingConfig
from inferplan.estimate.usual_formats import UsualFormat, described, usual_format, words_in_id

DOUBT: Mapping[Kernel, float] = MappingProxyType(
    {
        Kernel.FP8: 0.16,
        Kernel.FP8_WEIGHT_ONLY: 0.19,
        Kernel.INT8: 0.19,
        Kernel.INT8_WEIGHT_ONLY: 0.15,
        Kernel.INT4_WEIGHT_ONLY: 0.21,
        Kernel.FP4: 0.15,
        Kernel.FP4_WEIGHT_ONLY: 0.3,
    }
)
"""Standard deviation of ln(measured speed ratio / the step model's), the model not calibrated.

Root mean square of improvement_pairs.json, category quantization, pairs of vLLM and SGLang (those that
benchmarks/results/accuracy.md counts under "Effect of one change"): fp8 5 pairs, without the L40's of an unknown
version, which is off by 0.62, fp8 weight-only 5, int8 10, int8
weight-only 21, int4 weight-only without the forced GPTQ kernels 27. fp4 105 public measurements
of fp8 and fp4 twins on Blackwell (benchmarks/results/ratio_intervals.md); fp4 weight-only has none: the largest of
the others.
"""

DOUBT_FP8_ELSEWHERE = 0.3
"""The same for fp8 in SGLang (11 pairs of one source, 0.29) and on AMD's GPUs (2 pairs of 2024, 0.15, too few)."""

_WEIGHTS: Mapping[QuantizationMethod, frozenset[NumberFormat]] = MappingProxyType(
    {
        QuantizationMethod.INT8: frozenset({NumberFormat.INT8}),
        QuantizationMethod.INT4: frozenset({NumberFormat.INT4}),
        QuantizationMethod.FP8: frozenset({NumberFormat.FP8}),
        QuantizationMethod.AWQ: frozenset({NumberFormat.INT4, NumberFormat.INT8}),
        QuantizationMethod.GPTQ: frozenset({NumberFormat.INT4, NumberFormat.INT8}),
        QuantizationMethod.NVFP4: frozenset({NumberFormat.NVFP4}),
        QuantizationMethod.MXFP4: frozenset({NumberFormat.MXFP4}),
        QuantizationMethod.BITSANDBYTES: frozenset({NumberFormat.NF4, NumberFormat.INT8}),
    }
)
_OWN_NAMES = frozenset(
    {QuantizationMethod.AWQ, QuantizationMethod.GPTQ, QuantizationMethod.MXFP4, QuantizationMethod.BITSANDBYTES}
)
"""Methods whose checkpoints are called so in config.json; the others' are mostly compressed-tensors."""

_CARD = "The checkpoint's config.json, once it is served."
_COMPARE = "Answers can get worse; compare on your own evaluation first."
_WIDENED = (
    "Large batches and long prompts can get slower, and so the time to the first token: weights are widened before they"
    " are multiplied."
)


@dataclass(frozen=True)
class Need:
    """Why smaller weights are looked for.

    Attributes:
        seen: What was seen, without a full stop.
        evidence: The numbers behind it.
    """

    seen: str
    evidence: tuple[Evidence, ...]


def online_option(observation: Observation, online: OnlineFormat, need: Need) -> Option:
    """Weights that the engine quantizes while it loads them."""
    stored, part = "int8" if online.experts_only else "fp8", "experts" if online.experts_only else "linear layers"
    change = ConfigChange(
        parameter="quantization",
        flag=flag_name(observation.config.engine, "quantization"),
        current_value="none",
        recommended_value=online.value,
        reason=f"{need.seen}; {stored} takes 8 bits a weight instead of 16.",
        evidence=need.evidence,
    )
    return Option(
        changes=(change,),
        title=f"Load the {part} in {stored}",
        description=f"{need.seen}. {_multiplied(online.kernel, stored, f'the {part}')}",
        risks=(
            _COMPARE,
            "The engine starts more slowly: it quantizes the weights while it loads them.",
            *((_WIDENED,) if online.kernel.is_weight_only else ()),
        ),
        prerequisites=(f"An evaluation of the model's answers in {stored}.",),
        raises_confidence=(f"The accuracy of this model in {stored} on your own evaluation.",),
        effort=Effort.MEDIUM,
        accuracy_risk=_online_risk(online.kernel, stored, part),
        doubt=_doubt(online.kernel, observation),
        confidence_most=Confidence.MEDIUM,
    )


def checkpoint_option(
    observation: Observation, card: ModelCard, checkpoint: Checkpoint, need: Need
) -> Option | Missing:
    """Weights of a twin that the owner accepts; why it does not run here, or cannot be sized.

    Args:
        observation: What was seen.
        card: The model that runs, not quantized.
        checkpoint: The twin.
        need: Why smaller weights are looked for.
    """
    found = _usual(checkpoint, card)
    if found is None:
        why = f"{checkpoint.id} is listed with method {checkpoint.method}, which says nothing of its weights"
        return Missing(Reason.SETTING_UNKNOWN, why)
    quantized = _quantization(checkpoint, found)
    kernel = checkpoint_kernel(quantized, observation.config, observation.accelerator, card)
    if isinstance(kernel, Missing):
        return kernel
    bits = f"{found.scheme.bits_per_value(card.hidden_size):.3g}"
    change = ConfigChange(
        parameter="model",
        flag=flag_name(observation.config.engine, "model"),
        current_value=observation.config.model,
        recommended_value=checkpoint.id,
        reason=f"{need.seen}; the {checkpoint.method} checkpoint takes {bits} bits a weight instead of 16.",
        evidence=need.evidence,
    )
    what = _multiplied(kernel, str(checkpoint.method), "the linear layers")
    recovery = _recovery(checkpoint)
    return Option(
        changes=(change,),
        title=f"Serve the {checkpoint.method} checkpoint {checkpoint.id}"[:SHORT_TEXT_MAX],
        description=f"{need.seen}. {what} {quantized.assumptions[0]}.",
        risks=(_COMPARE, *((_WIDENED,) if kernel.is_weight_only else ())),
        prerequisites=_before_serving(observation.config, checkpoint),
        raises_confidence=("The checkpoint's accuracy on your own evaluation.", _CARD),
        effort=Effort.HIGH,
        accuracy_risk=recovery or f"Weights lose precision; what {checkpoint.id} recovers is stated nowhere.",
        doubt=_doubt(kernel, observation),
        confidence_most=Confidence.HIGH if recovery else Confidence.MEDIUM,
        card=replace(card, quantization=quantized, quantization_stated=True),
    )


def _usual(checkpoint: Checkpoint, card: ModelCard) -> UsualFormat | None:
    """What the checkpoint most likely holds: what its id says more than the method, unless that is another format."""
    words = words_in_id(checkpoint.id)
    usual = (usual_format(text, None, card) for text in (f"{words} {checkpoint.method}", str(checkpoint.method)))
    fits = _WEIGHTS.get(checkpoint.method, frozenset())
    return next((found for found in usual if found is not None and found.scheme.weights in fits), None)


def _quantization(checkpoint: Checkpoint, found: UsualFormat) -> Quantization:
    method = str(checkpoint.method) if checkpoint.method in _OWN_NAMES else "compressed-tensors"
    assumed = f"Assumed, since its config.json was not read: {described(found).rstrip(',')}"
    kept = read_patterns(("lm_head", *found.kept))
    return Quantization(method, found.scheme, kept, reach=found.reach, assumptions=(assumed,), spread=found.spread)


def _before_serving(config: ServingConfig, checkpoint: Checkpoint) -> tuple[str, ...]:
    found = [
        f"The engine can load {checkpoint.id}: it lies on a volume, or may be fetched.",
        "An evaluation of the checkpoint's answers.",
    ]
    if config.value("served_model_name") is None:
        found.append("Clients that name the model: without --served-model-name the engine answers to the new id only.")
    if not SAFE_TEXT.fullmatch(checkpoint.id):
        found.append("By hand: the id has letters that a plan does not write into a command line.")
    return tuple(found)


def _multiplied(kernel: Kernel, stored: str, part: str) -> str:
    """What is quantized, and what that is good for."""
    if kernel.is_weight_only:
        kept = f"Weights of {part} are in {stored}, activations stay in 16 bit"
        told = f"{kept}: they take less memory and are read faster, and are not multiplied faster."
    else:
        told = (
            f"Weights and activations of {part} are in {stored}: they take less memory, and are read and multiplied"
            " faster."
        )
    return f"{told} Embeddings, lm_head and the KV cache keep their formats."


def _online_risk(kernel: Kernel, stored: str, part: str) -> str:
    what = "Weights" if kernel.is_weight_only else "Weights and activations"
    return f"{what} of the {part} lose precision ({_SHAPES[stored]})."


_SHAPES = {"fp8": "fp8 e4m3", "int8": "int8, per channel"}


def _recovery(checkpoint: Checkpoint) -> str:
    """How much of the original's score the checkpoint reaches, and who says so; empty where nobody does."""
    told = []
    if checkpoint.accuracy_recovery is not None:
        told.append(f"{100 * float(checkpoint.accuracy_recovery):.4g} % by the owner's statement")
    known = twin(checkpoint.id)
    if known is not None:
        told.append(known.recovery)
    return f"Recovered {'; '.join(told)}. Your own tasks can differ." if told else ""


def _doubt(kernel: Kernel, observation: Observation) -> float:
    vllm = observation.config.engine is Engine.VLLM and observation.accelerator.compute_capability is not None
    return DOUBT[kernel] if vllm or kernel is not Kernel.FP8 else DOUBT_FP8_ELSEWHERE
