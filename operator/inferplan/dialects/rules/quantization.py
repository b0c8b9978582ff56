"""vLLM's rules for --quantization. Pure.

vllm/config/model.py `_verify_quantization` and vllm/config/vllm.py `_get_quantization_config`; each was confirmed by
giving the releases from 0.7.3 to 0.33.0 such a configuration.
"""

from inferplan.dialects.quantization_methods import (
    EXPERTS_ONLY,
    GONE_WITH_CHECKPOINTS,
    ONLINE_METHODS,
    OVERRIDING_CHECKPOINTS,
    QuantizationMethod,
    contradict,
    method_in,
    methods_in,
)
from inferplan.dialects.rules.case import Case, Rule, Violation, ignored, refused, risky
from inferplan.dialects.situation import NotKnownError, Situation, at

_MODEL = "vllm/config/model.py _verify_quantization"
_KEYS = ("quantization",)


def method_not_in_release(case: Case) -> Violation | None:
    """The method came later, or is gone."""
    name, release = _name(case), case.situation.release
    if method_in(release, name) is not None:
        return None
    why = f"quantization {name} is none of this release's methods: {', '.join(methods_in(release))}"
    return refused(_KEYS, why, f"{_MODEL}: QUANTIZATION_METHODS, 0.6.6 to 0.33.0")


def gpu_too_old(case: Case) -> Violation | None:
    """The method's kernels need a newer GPU."""
    method, capability = _method(case), case.situation.capability
    minimum = method.minimum_capability
    if minimum is None or capability >= minimum:
        return None
    why = f"quantization {method.name} needs compute capability {minimum / 10:.1f}, the GPU has {capability / 10:.1f}"
    return refused(_KEYS, why, "vllm/config/vllm.py _get_quantization_config, 0.6.6 to 0.33.0")


def deprecated_method(case: Case) -> Violation | None:
    """Deprecated methods need a flag of their own from 0.14.1 on."""
    method = _method(case)
    if not method.deprecated:
        return None
    keys = ("quantization", "allow_deprecated_quantization")
    source = f"{_MODEL}: DEPRECATED_QUANTIZATION_METHODS, 0.14.1 to 0.33.0"
    if case.situation.get("allow_deprecated_quantization") is True:
        return risky(keys, f"quantization {method.name} is deprecated; a later release removes it", source)
    why = f"quantization {method.name} is deprecated and needs allow_deprecated_quantization"
    return refused(keys, why, source)


def checkpoint_missing(case: Case) -> Violation | None:
    """The method cannot quantize while loading, and the checkpoint is plain."""
    method = _method(case)
    if case.situation.card.quantization_method is not None or not method.needs_checkpoint:
        return None
    why = f"quantization {method.name} needs a checkpoint that is quantized so; this one is not quantized"
    return refused(_KEYS, why, "vllm/model_executor/model_loader/weight_utils.py get_quant_config, 0.6.6 to 0.33.0")


def checkpoint_differs(case: Case) -> Violation | None:
    """The checkpoint is quantized in another way."""
    name, own = _name(case), case.situation.card.quantization_method
    if own is None or not contradict(name, own):
        return None
    why = f"quantization {name} contradicts the checkpoint, which is quantized with {own}; leave the flag out"
    return refused(_KEYS, why, f"{_MODEL}, 0.6.6 to 0.33.0")


def checkpoint_decides(case: Case) -> Violation | None:
    """ModelOpt's checkpoints say themselves what they are."""
    name, own = _name(case), case.situation.card.quantization_method
    if own not in OVERRIDING_CHECKPOINTS or name in {own, "humming"} or case.situation.release < at(0, 10, 2):
        return None
    why = f"quantization {name} has no effect: the checkpoint is quantized with {own}, which decides"
    return ignored(_KEYS, why, f"{_MODEL}, override_quantization_method, 0.10.2 to 0.33.0")


def checkpoint_not_in_release(case: Case) -> Violation | None:
    """The release no longer loads checkpoints of this kind, or does not yet."""
    own, release = case.situation.card.quantization_method, case.situation.release
    if own not in GONE_WITH_CHECKPOINTS or method_in(release, own) is not None:
        return None
    why = f"the checkpoint is quantized with {own}, which is none of this release's methods"
    return refused(_KEYS, why, f"{_MODEL}: QUANTIZATION_METHODS, 0.6.6 to 0.33.0")


def rocm_only(case: Case) -> Violation | None:
    """A method for AMD's GPUs; a compute capability means NVIDIA."""
    method = _method(case)
    if method.name != "ptpc_fp8" or case.situation.capability <= 0:
        return None
    why = "quantization ptpc_fp8 runs on ROCm only"
    return refused(_KEYS, why, "vllm/model_executor/layers/quantization/ptpc_fp8.py, 0.7.3 to 0.18.1")


def experts_only(case: Case) -> Violation | None:
    """The method leaves all layers of a dense model as they are."""
    name = _method(case).name
    card = case.situation.card
    if name not in EXPERTS_ONLY or card.quantization_method is not None or not card.is_dense:
        return None
    why = f"quantization {name} quantizes experts only, and {card.architecture} has none"
    return ignored(_KEYS, why, "engine-facts section 2b: vllm/model_executor/layers/quantization, 0.33.0")


def fp8_spelling(case: Case) -> Violation | None:
    """The old name for quantizing while loading."""
    situation = case.situation
    if situation.release < at(0, 31) or _name(case) != "fp8" or situation.card.quantization_method is not None:
        return None
    why = "quantization fp8 is deprecated for a plain checkpoint: fp8_per_tensor is its name now"
    return risky(_KEYS, why, "vllm/config/model.py, a warning of 0.31.0 to 0.33.0")


def _name(case: Case) -> str:
    """The method that is asked for.

    Raises:
        NotKnownError: None is.
    """
    value = case.situation.get("quantization")
    if value in {None, "none"} or not case.explicit("quantization"):
        raise NotKnownError("quantization")
    return str(value)


def _method(case: Case) -> QuantizationMethod:
    """That method in this release.

    Raises:
        NotKnownError: None is asked for, or this release has none of that name.
    """
    name = _name(case)
    method = method_in(case.situation.release, name, checkpoint=_is_quantized(case.situation))
    if method is None:
        raise NotKnownError("quantization")
    return method


def _is_quantized(situation: Situation) -> bool:
    return situation.model is not None and situation.model.quantization_method is not None


def config_of_no_online_method(case: Case) -> Violation | None:
    """Before 0.30.0 --quantization-config belonged to the methods that quantize while loading, and to no other."""
    situation = case.situation
    named = situation.get("quantization") if case.explicit("quantization") else None
    name = None if named == "none" else named  # a method that the checkpoint decides is not the flag's
    online = ONLINE_METHODS - ({"mxfp4"} if situation.release < at(0, 28) else set())
    needs_one = situation.release < at(0, 22)  # later, no method at all does as well as "online"
    if situation.get("quantization_config") is None or situation.release >= at(0, 30):
        return None
    if name in online or (name is None and not needs_one):
        return None
    why = f"quantization_config needs a quantization that is done while loading, not {name or 'none'}"
    source = "vllm/config/quantization.py resolve_quantization_config, 0.20.2 to 0.29.0"
    return refused(("quantization_config", "quantization"), why, source)


QUANTIZATION_RULES: tuple[Rule, ...] = (
    method_not_in_release,
    gpu_too_old,
    deprecated_method,
    checkpoint_missing,
    checkpoint_differs,
    checkpoint_decides,
    checkpoint_not_in_release,
    rocm_only,
    experts_only,
    fp8_spelling,
    config_of_no_online_method,
)
