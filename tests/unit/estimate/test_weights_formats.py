"""What weights are served as: by the checkpoint, by a setting in an engine's or a person's words, by a name."""

from dataclasses import replace

import pytest
from tests.support.build import LLAMA, a

from inferplan.api.values import Engine
from inferplan.domain.architecture import Attention, Layer, MixtureOfExperts
from inferplan.domain.measurement import Missing
from inferplan.domain.quantization import NumberFormat, Quantization, Reach
from inferplan.domain.quantization_simple import FP8_PER_BLOCK
from inferplan.domain.serving import ServingConfig
from inferplan.estimate.number_formats import WeightFormat, served_format
from inferplan.estimate.placement import Layout
from inferplan.estimate.weights import weight_table


def served(quantization: str | None, model: str = "meta-llama/Llama-3.1-8B", version: str = "0.33.0") -> WeightFormat:
    config = a.config(quantization=quantization)
    found = served_format(ServingConfig(config.engine, version, model, config.settings), LLAMA)
    assert isinstance(found, WeightFormat)
    return found


def bits(found: WeightFormat) -> float:
    assert found.quantization is not None
    assert found.quantization.scheme is not None
    return round(found.quantization.scheme.bits_per_value(4096), 3)


@pytest.mark.parametrize("text", [None, "none", "None", "", "bf16", "auto"])
def test_nothing_said_is_the_models_own_format(text: str | None) -> None:
    assert served(text) == WeightFormat(16, None)


@pytest.mark.parametrize(
    ("text", "width", "reach", "assumed"),
    [
        ("fp8", 8.0, "linear", False),
        ("fp8_per_tensor", 8.0, "linear", False),
        ("fp8_per_block", 8.002, "linear", False),
        ("fp8_per_channel", 8.008, "linear", False),
        ("fp8 (block, native checkpoint)", 8.002, "linear", False),
        ("mxfp8", 8.25, "linear", False),
        ("mxfp4", 4.25, "linear", False),
        ("mxfp4 (native)", 4.25, "linear", False),
        ("int8_per_channel_weight_only", 8.008, "experts", False),
        ("experts_int8", 8.008, "experts", False),
        ("nvfp4_per_token", 4.5, "experts", False),
        ("bitsandbytes", 4.5, "linear", True),
        ("bitsandbytes 8bit", 8.008, "linear", True),
        ("awq", 4.156, "linear", True),
        ("awq_marlin", 4.156, "linear", True),
        ("gptq int4", 4.156, "linear", True),
        ("gptq_int8", 8.188, "linear", True),
        ("auto_round int4", 4.156, "linear", True),
        ("4-bit (AWQ or GPTQ, not stated)", 4.156, "linear", True),
        ("auto_round int6 mixed", 6.172, "linear", True),
        ("modelopt", 8.0, "linear", False),
        ("modelopt fp8", 8.0, "linear", False),
        ("modelopt_fp4", 4.5, "linear", True),
        ("modelopt nvfp4", 4.5, "linear", True),
        ("nvfp4", 4.5, "linear", True),
        ("compressed-tensors w8a8", 8.008, "linear", True),
        ("compressed-tensors w4a16", 4.156, "linear", True),
        ("int8", 8.008, "linear", True),
        ("fbgemm_fp8", 8.008, "linear", True),
    ],
)
def test_a_methods_name_stands_for_its_usual_shape(text: str, width: float, reach: str, *, assumed: bool) -> None:
    found = served(text)
    assert bits(found) == width
    assert found.quantization is not None
    assert found.quantization.reach is Reach(reach)
    assert bool(found.assumptions) == assumed


@pytest.mark.parametrize("text", ["compressed-tensors", "quark", "gguf", "torchao", "mystery"])
def test_a_name_without_a_shape_is_refused(text: str) -> None:
    found = served_format(a.config(quantization=text), LLAMA)
    assert isinstance(found, Missing)
    assert f"quantization {text} does not say" in found.reason


@pytest.mark.parametrize(
    ("model", "width"),
    [
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", 4.156),
        ("TheBloke/Mistral-7B-Instruct-v0.2-GPTQ", 4.156),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int8", 8.188),
        ("nvidia/Llama-3.1-70B-Instruct-FP8", 8.0),
        ("RedHatAI/Llama-3.1-8B-FP8-dynamic", 8.008),
        ("RedHatAI/Llama-3.1-8B-quantized.w4a16", 4.156),
        ("nvidia/Qwen3-235B-A22B-NVFP4", 4.5),
        ("unsloth/phi-4-bnb-4bit", 4.5),
    ],
)
def test_a_models_name_counts_where_its_config_is_silent(model: str, width: float) -> None:
    found = served(None, model)
    assert bits(found) == width
    assert "the model's name says" in found.assumptions[0]


def test_gpt_oss_has_mxfp4_experts_whatever_its_config_leaves_out() -> None:
    card, unnamed = (replace(LLAMA, architecture=name) for name in ("GptOssForCausalLM", "unknown (read as gpt_oss)"))
    silent, told = served_format(a.config(), card), served_format(a.config(quantization="mxfp4 (native)"), card)
    for found in (silent, told, served_format(a.config(), unnamed)):
        assert isinstance(found, WeightFormat)
        assert found.quantization is not None
        assert found.quantization.reach is Reach.EXPERTS
    widened = served_format(ServingConfig(Engine.VLLM, model="unsloth/gpt-oss-20b-BF16"), card)
    assert widened == WeightFormat(16, None)


def test_nvfp4_leaves_the_attention_of_mixtures_alone() -> None:
    mixture = replace(LLAMA, layers=(Layer(Attention(32, 8, 128, 128), MixtureOfExperts(16, 2, 512)),) * 4)
    for card, kept in ((mixture, 2), (LLAMA, 0)):
        found = served_format(a.config(quantization="nvfp4"), card)
        assert isinstance(found, WeightFormat)
        assert found.quantization is not None
        assert len(found.quantization.kept) == 1 + kept  # lm_head always


@pytest.mark.parametrize(("model", "width"), [("nvidia/Llama-3.1-8B-NVFP4", 4.5), ("nvidia/Llama-3.1-8B", 8.0)])
def test_modelopt_is_what_the_models_name_says_and_else_fp8(model: str, width: float) -> None:
    assert bits(served("modelopt", model)) == width


def test_a_name_helps_a_setting_that_says_too_little() -> None:
    assert bits(served("compressed-tensors", "RedHatAI/Llama-3.1-8B-quantized.w8a8")) == 8.008


def test_a_quantized_checkpoint_decides() -> None:
    card = a.model(quantization=Quantization("fp8", FP8_PER_BLOCK))
    found = served_format(a.config(quantization="awq"), card)
    assert isinstance(found, WeightFormat)
    assert found.quantization is card.quantization


def test_bitsandbytes_scales_stay_quantized_in_old_releases() -> None:
    assert bits(served("bitsandbytes", version="0.8.5")) == 4.125
    assert bits(served("bitsandbytes", version="0.9.2")) == 4.5


def test_a_dtype_counts_and_an_unknown_one_is_named() -> None:
    wide = served_format(a.config(dtype="float32"), LLAMA)
    assert wide == WeightFormat(32, None)
    missing = served_format(a.config(dtype="fp3"), LLAMA)
    assert isinstance(missing, Missing)
    assert "dtype fp3" in missing.reason


def test_what_is_assumed_widens_the_interval() -> None:
    exact, assumed = (weight_table(LLAMA, served(text), Layout()) for text in ("fp8", "awq"))
    assert 0.02 < (exact.high - exact.low) / exact.size_bytes < 0.03  # 1 % of all and 2 % of the matrices
    assert (assumed.high - assumed.low) / assumed.size_bytes > 0.05
    assert assumed.assumptions == served("awq").assumptions


def test_a_name_that_says_quantized_but_not_how_is_refused() -> None:
    card = a.model(quantization_known=False)
    found = served_format(a.config(), card)
    assert isinstance(found, Missing)
    assert "not how" in found.reason
    assert isinstance(served_format(a.config(quantization="awq"), card), WeightFormat)


def test_a_setting_wins_over_what_the_catalogue_knows_of_an_id() -> None:
    known = a.model(quantization=Quantization("fp8", FP8_PER_BLOCK), quantization_stated=False)
    other = served_format(a.config(quantization="modelopt_fp4"), known)
    assert isinstance(other, WeightFormat)
    assert other.quantization is not None
    assert other.quantization.weights is NumberFormat.NVFP4
    same = served_format(a.config(quantization="fp8"), known)
    assert isinstance(same, WeightFormat)
    assert same.quantization == known.quantization
    stated = replace(known, quantization_stated=True)
    assert served_format(a.config(quantization="modelopt_fp4"), stated) == same
