"""Which formats of weights run where, by engine-facts section 2; and that no release refuses what is named."""

from dataclasses import replace

import pytest
from tests.support.build import H100, LLAMA, a

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine, QuantizationMethod
from inferplan.dialects.constraints import Severity, violations
from inferplan.dialects.effective import effective
from inferplan.dialects.registry import releases
from inferplan.dialects.weight_formats import (
    Kernel,
    OnlineFormat,
    checkpoint_kernel,
    online_format,
    weight_format,
)
from inferplan.domain.architecture import Attention, Layer, MixtureOfExperts
from inferplan.domain.hardware import UNKNOWN_ACCELERATOR, Accelerator, from_catalogue
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.quantization import NumberFormat, Quantization, Scheme
from inferplan.domain.quantization_simple import FP8_PER_TENSOR, INT8_WEIGHT_ONLY, MXFP4, NF4, NVFP4, grouped

MIXTURE = replace(LLAMA, layers=(Layer(Attention(32, 8, 128, 128), MixtureOfExperts(8, 2, 14_336)),) * 4)
INT4 = grouped(NumberFormat.INT4, 128, zero_points=True)
INT8_BOTH = Scheme(NumberFormat.INT8, NumberFormat.INT8)
MI300X, MI355X = from_catalogue("AMD-Instinct-MI300X", 1), from_catalogue("AMD-Instinct-MI355X", 1)


def gpu(capability: int) -> Accelerator:
    return replace(H100, product=f"sm{capability}", compute_capability=capability)


@pytest.mark.parametrize(
    ("engine", "version", "accelerator", "card", "value", "kernel"),
    [
        (Engine.VLLM, "0.33.0", gpu(90), LLAMA, "fp8_per_tensor", Kernel.FP8),
        (Engine.VLLM, "0.33.0", gpu(120), MIXTURE, "fp8_per_tensor", Kernel.FP8),
        (Engine.VLLM, "0.20.2", gpu(89), LLAMA, "fp8_per_tensor", Kernel.FP8),
        (Engine.VLLM, "0.20.1", gpu(89), LLAMA, "fp8", Kernel.FP8),  # 0.20 has both, but for which patch is not known
        (Engine.VLLM, "0.19.1", gpu(90), LLAMA, "fp8", Kernel.FP8),
        (Engine.VLLM, "0.33.0", gpu(80), LLAMA, "fp8_per_tensor", Kernel.FP8_WEIGHT_ONLY),
        (Engine.VLLM, "0.33.0", gpu(75), LLAMA, "fp8_per_tensor", Kernel.FP8_WEIGHT_ONLY),
        (Engine.VLLM, "0.13.0", gpu(86), LLAMA, "fp8", Kernel.FP8_WEIGHT_ONLY),
        (Engine.VLLM, "0.33.0", gpu(80), MIXTURE, "int8_per_channel_weight_only", Kernel.INT8_WEIGHT_ONLY),
        (Engine.VLLM, "0.13.0", gpu(80), MIXTURE, "experts_int8", Kernel.INT8_WEIGHT_ONLY),
        (Engine.VLLM, "0.33.0", MI300X, LLAMA, "fp8_per_tensor", Kernel.FP8),
        (Engine.SGLANG, "0.5.23", gpu(90), LLAMA, "fp8", Kernel.FP8),
        (Engine.SGLANG, "0.5.23", MI300X, MIXTURE, "fp8", Kernel.FP8),
    ],
)
def test_what_the_engine_makes_while_loading(
    engine: Engine, version: str, accelerator: Accelerator, card: ModelCard, value: str, kernel: Kernel
) -> None:
    found = online_format(a.config(engine, version), accelerator, card)
    assert found == OnlineFormat(value, kernel, experts_only="int8" in value)


@pytest.mark.parametrize(
    ("engine", "version", "accelerator", "mixture", "code", "why"),
    [
        (Engine.VLLM, None, H100, False, Reason.ENGINE_VERSION_UNKNOWN, "the engine's version is not known"),
        (Engine.VLLM, "0.33.0", UNKNOWN_ACCELERATOR, False, Reason.ACCELERATOR_UNKNOWN, "compute capability"),
        (Engine.VLLM, "0.33.0", MI355X, False, Reason.FORMAT_UNSUPPORTED, "which formats run on gfx950 was not read"),
        (Engine.VLLM, "0.5.0", H100, False, Reason.FORMAT_UNSUPPORTED, "not known to make fp8 weights"),
        (Engine.VLLM, "0.33.0", gpu(70), False, Reason.FORMAT_UNSUPPORTED, "needs compute capability 7.5"),
        (Engine.VLLM, "0.13.0", gpu(75), False, Reason.FORMAT_UNSUPPORTED, "needs compute capability 8.0"),
        (Engine.VLLM, "0.15.1", gpu(80), True, Reason.FORMAT_UNSUPPORTED, "no format for experts"),  # deprecated there
        (Engine.VLLM, "0.5.0", gpu(80), True, Reason.FORMAT_UNSUPPORTED, "no format for experts"),
        (Engine.VLLM, "0.33.0", gpu(70), True, Reason.FORMAT_UNSUPPORTED, "needs compute capability 7.5"),
        (Engine.SGLANG, "0.5.23", gpu(80), False, Reason.FORMAT_UNSUPPORTED, "was not read"),
        (Engine.SGLANG, "0.3.0", H100, False, Reason.FORMAT_UNSUPPORTED, "not known to make fp8 weights"),
    ],
)
def test_where_it_makes_none(
    engine: Engine, version: str | None, accelerator: Accelerator, mixture: bool, code: Reason, why: str
) -> None:
    found = online_format(a.config(engine, version), accelerator, MIXTURE if mixture else LLAMA)
    assert isinstance(found, Missing)
    assert found.code is code
    assert why in found.reason


@pytest.mark.parametrize("engine", [Engine.VLLM, Engine.SGLANG])
def test_no_release_refuses_what_it_is_said_to_make(engine: Engine) -> None:
    """Every known release, every generation of GPUs, with and without experts."""
    asked = 0
    for version in releases(engine):
        for capability in (70, 75, 80, 86, 89, 90, 100, 120):
            for card in (LLAMA, MIXTURE):
                found = online_format(a.config(engine, version), gpu(capability), card)
                if isinstance(found, OnlineFormat):
                    config = effective(a.config(engine, version, quantization=found.value), gpu(capability))
                    broken = violations(config, gpu(capability), card)
                    bad = [one for one in broken if "quantization" in one.keys and one.severity is not Severity.IGNORED]
                    assert not bad, (version, capability, found)
                    asked += 1
    assert asked > 80


@pytest.mark.parametrize(
    ("quantized", "engine", "version", "capability", "kernel"),
    [
        (Quantization("compressed-tensors", FP8_PER_TENSOR), Engine.VLLM, "0.33.0", 90, Kernel.FP8),
        (Quantization("fp8", FP8_PER_TENSOR), Engine.VLLM, "0.33.0", 75, Kernel.FP8_WEIGHT_ONLY),
        (Quantization("fp8", FP8_PER_TENSOR), Engine.SGLANG, "0.5.23", 89, Kernel.FP8),
        (Quantization("compressed-tensors", INT8_BOTH), Engine.VLLM, "0.33.0", 80, Kernel.INT8),
        (Quantization("compressed-tensors", INT8_BOTH), Engine.SGLANG, "0.5.23", 90, Kernel.INT8),
        (Quantization("compressed-tensors", INT8_WEIGHT_ONLY), Engine.VLLM, "0.33.0", 100, Kernel.INT8_WEIGHT_ONLY),
        (Quantization("awq", INT4), Engine.VLLM, "0.33.0", 75, Kernel.INT4_WEIGHT_ONLY),
        (Quantization("gptq", INT4), Engine.VLLM, "0.8.5", 80, Kernel.INT4_WEIGHT_ONLY),
        (Quantization("awq", INT4), Engine.SGLANG, "0.5.23", 80, Kernel.INT4_WEIGHT_ONLY),
        (Quantization("compressed-tensors", INT4), Engine.SGLANG, "0.5.23", 90, Kernel.INT4_WEIGHT_ONLY),
        (Quantization("compressed-tensors", NVFP4), Engine.VLLM, "0.33.0", 100, Kernel.FP4),
        (Quantization("compressed-tensors", NVFP4), Engine.VLLM, "0.33.0", 90, Kernel.FP4_WEIGHT_ONLY),
        (Quantization("compressed-tensors", NVFP4), Engine.SGLANG, "0.5.23", 100, Kernel.FP4),
        (Quantization("mxfp4", MXFP4), Engine.VLLM, "0.33.0", 100, Kernel.FP4_WEIGHT_ONLY),
    ],
)
def test_which_kernel_a_checkpoint_gets(
    quantized: Quantization, engine: Engine, version: str, capability: int, kernel: Kernel
) -> None:
    found = checkpoint_kernel(quantized, a.config(engine, version), gpu(capability), LLAMA)
    assert found is kernel


@pytest.mark.parametrize(
    ("quantized", "engine", "version", "capability", "mixture", "why"),
    [
        (Quantization("fp8", FP8_PER_TENSOR), Engine.VLLM, "0.13.0", 75, False, "needs compute capability 8.0"),
        (Quantization("fp8", FP8_PER_TENSOR), Engine.VLLM, "0.33.0", 80, True, "read for dense models in vLLM only"),
        (Quantization("fp8", FP8_PER_TENSOR), Engine.SGLANG, "0.5.23", 80, False, "read for dense models in vLLM only"),
        (Quantization("fp8", FP8_PER_TENSOR), Engine.SGLANG, "0.3.0", 90, False, "not known to run fp8"),
        (Quantization("compressed-tensors", INT8_BOTH), Engine.VLLM, "0.33.0", 100, False, "7.5 to 9.0"),
        (Quantization("compressed-tensors", INT8_BOTH), Engine.VLLM, "0.33.0", 90, True, "experts were not read"),
        (Quantization("compressed-tensors", INT8_BOTH), Engine.SGLANG, "0.5.23", 75, False, "were not read for it"),
        (Quantization("awq", INT4), Engine.VLLM, "0.13.0", 75, False, "needs compute capability 8.0"),
        (Quantization("awq", INT4), Engine.VLLM, "0.5.0", 90, False, "the release has no such format"),
        (
            Quantization("compressed-tensors", INT4),
            Engine.SGLANG,
            "0.4.6.post5",
            90,
            False,
            "the release has no such format",
        ),
        (Quantization("compressed-tensors", NVFP4), Engine.VLLM, "0.8.5", 90, False, "the release has no such format"),
        (
            Quantization("compressed-tensors", NVFP4),
            Engine.SGLANG,
            "0.5.23",
            90,
            False,
            "needs compute capability 10.0",
        ),
        (Quantization("mxfp4", MXFP4), Engine.SGLANG, "0.5.23", 100, False, "mxfp4 kernels were not read"),
        (Quantization("bitsandbytes", NF4), Engine.VLLM, "0.14.1", 90, False, "were not measured"),
    ],
)
def test_which_checkpoints_do_not_run(
    quantized: Quantization, engine: Engine, version: str, capability: int, mixture: bool, why: str
) -> None:
    config, card = a.config(engine, version), MIXTURE if mixture else LLAMA
    found = checkpoint_kernel(quantized, config, gpu(capability), card)
    assert isinstance(found, Missing)
    assert found.code is Reason.FORMAT_UNSUPPORTED
    assert why in found.reason
    assert f"{engine} {version} on sm{capability}" in found.reason


def test_amd_has_fp8_and_nothing_else_that_was_read() -> None:
    config = a.config()
    assert checkpoint_kernel(Quantization("fp8", FP8_PER_TENSOR), config, MI300X, LLAMA) is Kernel.FP8
    assert isinstance(checkpoint_kernel(Quantization("awq", INT4), config, MI300X, LLAMA), Missing)
    assert isinstance(checkpoint_kernel(Quantization("fp8", FP8_PER_TENSOR), config, MI355X, LLAMA), Missing)


@pytest.mark.parametrize(
    ("named", "capability", "expected"),
    [
        ("int8", None, (QuantizationMethod.INT8, 8, False)),
        ("fp8", 90, (QuantizationMethod.FP8, 8, True)),
        ("fp8_per_tensor", None, (QuantizationMethod.FP8, 8, True)),
        ("fp8_per_tensor", 80, (QuantizationMethod.FP8, 8, False)),
        ("int8_per_channel_weight_only", 80, (QuantizationMethod.INT8, 8, False)),
        (Quantization("awq", INT4), 90, (QuantizationMethod.AWQ, 4, False)),
        (Quantization("compressed-tensors", INT4), 90, (QuantizationMethod.INT4, 4, False)),
        (Quantization("compressed-tensors", FP8_PER_TENSOR), 90, (QuantizationMethod.FP8, 8, True)),
        (Quantization("compressed-tensors", FP8_PER_TENSOR), 86, (QuantizationMethod.FP8, 8, False)),
        (Quantization("compressed-tensors", NVFP4), 100, (QuantizationMethod.NVFP4, 4, True)),
        (Quantization("compressed-tensors", NVFP4), 90, (QuantizationMethod.NVFP4, 4, False)),
    ],
)
def test_a_format_in_the_terms_of_a_plan(
    named: str | Quantization, capability: int | None, expected: tuple[QuantizationMethod, int, bool]
) -> None:
    found = weight_format(named, capability)
    assert found is not None
    assert (found.method, found.target_bits, found.quantize_activations) == expected
    assert found.quantize_weights


def test_some_formats_have_no_name_in_a_plan() -> None:
    assert weight_format("humming") is None
    assert weight_format(Quantization("hqq", Scheme(NumberFormat.INT3))) is None
