"""Which number formats of weights a GPU runs under an engine's release, made at load or read from a checkpoint. Pure.

engine-facts sections 2a to 2c (vLLM: the registry of each release, and kernels of 0.33.0 under every capability).
SGLang: the releases' parsers, and of its main branch srt/layers/quantization/fp8.py and
docs/advanced_features/quantization.md. AMD: both engines' documentation names MI300X for fp8; nothing else was read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine, QuantizationConfig, QuantizationMethod
from inferplan.dialects.quantization_methods import method_in
from inferplan.dialects.registry import basis, proposable
from inferplan.dialects.situation import at
from inferplan.dialects.version_order import VersionNumber, version_number
from inferplan.domain.hardware import Accelerator
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.quantization import NumberFormat, Quantization, Scheme
from inferplan.domain.serving import ServingConfig
from inferplan.estimate.stored import compute_format

FP8_SINCE, FP4_SINCE = 89, 100
"""Compute capability times 10 from which on tensor cores multiply in fp8 and in fp4 (engine-facts section 2c)."""

_INT8_BOTH = range(75, 100)
"""Where INT8 is multiplied: later GPUs are in the registry, and neither documentation nor kernels promise them."""

_SGLANG_LEAST = 80
_SHORTHANDS_SINCE = at(0, 20, 2)
"""First read release that has fp8_per_tensor; up to it, and to 0.30, plain fp8 means the same."""

_FP8_ON_AMD = "gfx942"
_HALF_BITS = 16


class Kernel(StrEnum):
    """How a format is multiplied: with inputs in it too, or weights widened to the model's own format first."""

    FP8 = "fp8"
    FP8_WEIGHT_ONLY = "fp8WeightOnly"
    INT8 = "int8"
    INT8_WEIGHT_ONLY = "int8WeightOnly"
    INT4_WEIGHT_ONLY = "int4WeightOnly"
    FP4 = "fp4"
    FP4_WEIGHT_ONLY = "fp4WeightOnly"

    @property
    def is_weight_only(self) -> bool:
        """Whether inputs keep the model's own format."""
        return self not in {Kernel.FP8, Kernel.INT8, Kernel.FP4}


@dataclass(frozen=True)
class OnlineFormat:
    """A format that the engine makes of a plain checkpoint while it loads it.

    Attributes:
        value: What --quantization takes.
        kernel: How it is multiplied.
        experts_only: Whether nothing but the experts of a mixture is quantized.
    """

    value: str
    kernel: Kernel
    experts_only: bool = False


def online_format(config: ServingConfig, gpu: Accelerator, card: ModelCard) -> OnlineFormat | Missing:
    """The 8-bit format that this engine makes of this plain model on this GPU; why there is none.

    vLLM 0.33.0 on an H100: fp8_per_tensor; 0.19.1: fp8. An A100 widens fp8 weights (Marlin), of dense models; of a
    mixture it has experts in int8.
    """
    place = _place(config, gpu)
    if isinstance(place, Missing):
        return place
    native = place.is_amd or place.capability >= FP8_SINCE
    if not native and place.engine is Engine.SGLANG:
        return place.without("which kernels SGLang has for fp8 weights on a GPU without fp8 was not read")
    if not native and not card.is_dense:
        return _int8_experts(place)
    name = _fp8_name(place)
    if name is None:
        return place.without("the release is not known to make fp8 weights while loading")
    if native:
        return OnlineFormat(name, Kernel.FP8)
    why = _too_old(place, place.least(name))
    return place.without(why) if why else OnlineFormat(name, Kernel.FP8_WEIGHT_ONLY)


def checkpoint_kernel(
    quantized: Quantization, config: ServingConfig, gpu: Accelerator, card: ModelCard
) -> Kernel | Missing:
    """How this engine multiplies a checkpoint that is quantized so on this GPU; why it does not run, or was not read.

    Args:
        quantized: How the checkpoint is quantized.
        config: Engine and version.
        gpu: The GPU.
        card: The model; experts have kernels of their own.
    """
    place = _place(config, gpu)
    if isinstance(place, Missing):
        return place
    found = _kernel(quantized, place, dense=card.is_dense)
    return found if isinstance(found, Kernel) else place.without(found)


def weight_format(named: str | Quantization, capability: int | None = None) -> QuantizationConfig | None:
    """A format in the terms of a plan; None for a name that stands for none.

    Args:
        named: The value of a change of `quantization`, or how the checkpoint that would run is quantized.
        capability: Of the GPU, times 10; where it has no kernels for the format, activations are not quantized.
    """
    if isinstance(named, Quantization):
        return _of_checkpoint(named, capability)
    found = _NAMED.get(named)
    if found is None:
        return None
    method, bits, activations = found
    native = capability is None or capability >= FP8_SINCE
    return QuantizationConfig(
        method=method, target_bits=bits, quantize_weights=True, quantize_activations=activations and native
    )


_NAMED: Mapping[str, tuple[QuantizationMethod, int, bool]] = MappingProxyType(
    {
        # what is recommended → method, bits, activations quantized too
        **dict.fromkeys(("fp8", "fp8_per_tensor"), (QuantizationMethod.FP8, 8, True)),
        **dict.fromkeys(("int8", "experts_int8", "int8_per_channel_weight_only"), (QuantizationMethod.INT8, 8, False)),
    }
)
_METHODS: Mapping[NumberFormat, QuantizationMethod] = MappingProxyType(
    {
        NumberFormat.FP8: QuantizationMethod.FP8,
        NumberFormat.MXFP8: QuantizationMethod.FP8,
        NumberFormat.INT8: QuantizationMethod.INT8,
        NumberFormat.INT4: QuantizationMethod.INT4,
        NumberFormat.NVFP4: QuantizationMethod.NVFP4,
        NumberFormat.MXFP4: QuantizationMethod.MXFP4,
        NumberFormat.NF4: QuantizationMethod.BITSANDBYTES,
    }
)
_OWN_METHODS = MappingProxyType({"awq": QuantizationMethod.AWQ, "gptq": QuantizationMethod.GPTQ})


def _of_checkpoint(quantized: Quantization, capability: int | None) -> QuantizationConfig | None:
    method = _OWN_METHODS.get(quantized.method) or _METHODS.get(quantized.weights)
    if method is None:
        return None
    computed = compute_format(Scheme(quantized.weights, quantized.activations), _HALF_BITS, capability)
    return QuantizationConfig(
        method=method,
        target_bits=quantized.weights.bits,
        quantize_weights=True,
        quantize_activations=computed is not NumberFormat.BF16,
    )


@dataclass(frozen=True)
class _Place:
    """Where weights are multiplied; the capability is 0 on AMD's GPU, the one whose formats were read."""

    engine: Engine
    version: str
    release: VersionNumber
    product: str
    capability: int

    @property
    def is_amd(self) -> bool:
        """Whether it is AMD's GPU."""
        return not self.capability

    def without(self, why: str) -> Missing:
        """The format does not run here."""
        return Missing(Reason.FORMAT_UNSUPPORTED, f"{self.engine} {self.version} on {self.product}: {why}")

    def least(self, method: str) -> int | None:
        """Capability that vLLM's release asks of a method; None where it has none of that name."""
        found = method_in(self.release, method)
        return None if found is None else found.minimum_capability

    def takes(self, method: str) -> bool:
        """Whether SGLang's release has the method."""
        found = basis(self.engine, self.version)
        flag = None if found is None else proposable(found, "quantization")
        return flag is not None and method in flag.choices


def _place(config: ServingConfig, gpu: Accelerator) -> _Place | Missing:
    release = version_number(config.version)
    if config.version is None or release is None:
        return Missing(Reason.ENGINE_VERSION_UNKNOWN, "the engine's version is not known")
    capability, gfx = gpu.compute_capability, gpu.gpu.gfx if gpu.gpu is not None else None
    if capability is None and gfx is None:
        return Missing(Reason.ACCELERATOR_UNKNOWN, "the GPU's compute capability is not known")
    place = _Place(config.engine, config.version, release, gpu.product or "this GPU", capability or 0)
    if capability is None and gfx != _FP8_ON_AMD:
        return place.without(f"which formats run on {gfx} was not read")
    return place


def _fp8_name(place: _Place) -> str | None:
    """How the release spells fp8 that is made while loading; None where it is not known to make it."""
    if place.engine is Engine.SGLANG:
        return "fp8" if place.takes("fp8") else None
    name = "fp8_per_tensor" if place.release >= _SHORTHANDS_SINCE else "fp8"
    return name if method_in(place.release, name) is not None else None


def _int8_experts(place: _Place) -> OnlineFormat | Missing:
    name = "int8_per_channel_weight_only" if place.release >= _SHORTHANDS_SINCE else "experts_int8"
    method = method_in(place.release, name)
    if method is None or method.deprecated:
        return place.without("the release has no format for experts that it makes while loading")
    why = _too_old(place, method.minimum_capability)
    return place.without(why) if why else OnlineFormat(name, Kernel.INT8_WEIGHT_ONLY, experts_only=True)


def _too_old(place: _Place, least: int | None) -> str:
    """Why the GPU does not do, empty where it does. A release that has no such method has no GPU for it."""
    if least is None:
        return "the release has no such format"
    return "" if place.capability >= least else f"the format needs compute capability {least / 10:.1f}"


def _kernel(quantized: Quantization, place: _Place, *, dense: bool) -> Kernel | str:
    """The kernel, or why there is none."""
    weights, both = quantized.weights, quantized.activations is not None
    if place.is_amd:
        return Kernel.FP8 if weights is NumberFormat.FP8 else f"{weights} weights were not read for AMD's GPUs"
    if weights is NumberFormat.FP8:
        return _fp8_kernel(place, dense=dense)
    if weights is NumberFormat.INT8 and both:
        return _int8_kernel(place, dense=dense)
    if weights in {NumberFormat.INT8, NumberFormat.INT4}:
        return _marlin_kernel(quantized, place)
    if weights in {NumberFormat.NVFP4, NumberFormat.MXFP4}:
        return _fp4_kernel(weights, place)
    return f"kernels for {weights} weights were not measured"


def _fp8_kernel(place: _Place, *, dense: bool) -> Kernel | str:
    if place.engine is Engine.SGLANG and not place.takes("fp8"):
        return "the release is not known to run fp8"
    if place.capability >= FP8_SINCE:
        return Kernel.FP8
    if place.engine is Engine.SGLANG or not dense:
        return "kernels that widen fp8 weights were read for dense models in vLLM only"
    return _too_old(place, place.least("fp8")) or Kernel.FP8_WEIGHT_ONLY


def _int8_kernel(place: _Place, *, dense: bool) -> Kernel | str:
    if not dense:
        return "int8 kernels for experts were not read"
    if place.engine is Engine.SGLANG and not (place.takes("w8a8_int8") and place.capability >= _SGLANG_LEAST):
        return "int8 kernels were not read for it"
    if place.capability not in _INT8_BOTH:
        return "int8 is multiplied on GPUs of compute capability 7.5 to 9.0"
    return Kernel.INT8


def _marlin_kernel(quantized: Quantization, place: _Place) -> Kernel | str:
    """Weight-only integers. Older GPUs have other kernels, far slower at more than a few requests."""
    if place.engine is Engine.SGLANG:
        name = f"{quantized.method}_marlin" if quantized.method in _OWN_METHODS else quantized.method
        least = _SGLANG_LEAST if place.takes(name) else None
    else:
        least = place.least("awq_marlin")
    is_int4 = quantized.weights is NumberFormat.INT4
    return _too_old(place, least) or (Kernel.INT4_WEIGHT_ONLY if is_int4 else Kernel.INT8_WEIGHT_ONLY)


def _fp4_kernel(weights: NumberFormat, place: _Place) -> Kernel | str:
    if place.engine is Engine.SGLANG:
        known = weights is NumberFormat.NVFP4 and place.takes("modelopt_fp4")
        return (_too_old(place, FP4_SINCE) or Kernel.FP4) if known else f"{weights} kernels were not read for it"
    name = "modelopt_fp4" if weights is NumberFormat.NVFP4 else "mxfp4"
    native = weights is NumberFormat.NVFP4 and place.capability >= FP4_SINCE
    return _too_old(place, place.least(name)) or (Kernel.FP4 if native else Kernel.FP4_WEIGHT_ONLY)
