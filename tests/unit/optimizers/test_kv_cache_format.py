"""The KV cache's number format: offered only where a kernel of the engine's own reads it."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.build import H100, LLAMA, a, an

from inferplan.api.reasons import Reason
from inferplan.api.values import Confidence, Engine
from inferplan.diagnose.bottlenecks import diagnose
from inferplan.dialects.effective import effective
from inferplan.domain.architecture import Attention, DenseMLP, Indexer, LatentAttention, Layer, Mixer, MixtureOfExperts
from inferplan.domain.hardware import Accelerator
from inferplan.domain.lever import Option
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.observation import NO_MODEL_CONFIG, Observation
from inferplan.domain.quantization import Quantization
from inferplan.domain.quantization_scheme import NumberFormat, Scheme
from inferplan.domain.serving import ServingConfig, SettingValue
from inferplan.optimizers.kv_cache_format import DOUBT_OTHER_KERNEL, DOUBT_SAME_KERNEL, format_option
from inferplan.optimizers.kv_cache_pressure import pressure_on

FULL = {"kv_cache_usage": 0.99, "num_requests_running": 20.0, "preemptions_per_second": 0.5}
LATENT = LatentAttention(128, 1536, 512, 128, 64, 128)
FP8 = Quantization("fp8", Scheme(NumberFormat.FP8))


def found(**changes: Any) -> Option | Missing:
    observation: Observation = an.observation(**{"load": FULL, **changes})
    pressure = pressure_on(observation, diagnose(observation))
    assert pressure is not None
    return format_option(observation, pressure)


def offered(**changes: Any) -> Option:
    option = found(**changes)
    assert isinstance(option, Option), option
    return option


def with_mixer(*mixers: Mixer) -> ModelCard:
    return replace(LLAMA, layers=tuple(Layer(mixer, DenseMLP(14_336)) for mixer in mixers))


def running(version: str, **settings: SettingValue) -> ServingConfig:
    return effective(a.config(version=version, **settings), H100)


def sglang(version: str, **settings: SettingValue) -> ServingConfig:
    return effective(a.config(Engine.SGLANG, version, **settings), H100)


def gpu(capability: int | None) -> Accelerator:
    return Accelerator("X", 1, 81_559, capability)


def test_fp8_halves_a_value_with_the_kernel_that_runs_already() -> None:
    option = offered()
    (change,) = option.changes
    assert (change.flag, change.current_value, change.recommended_value) == ("--kv-cache-dtype", "auto", "fp8")
    assert [entry.query for entry in change.evidence[:2]] == ["vllm:kv_cache_usage", "vllm:preemptions_per_second"]
    assert change.evidence[-1].value == "FLASH_ATTN, FLASHINFER, TRITON_ATTN"
    assert (option.doubt, option.confidence_most) == (DOUBT_SAME_KERNEL, Confidence.MEDIUM)
    assert option.accuracy_risk is not None
    assert "e4m3" in option.accuracy_risk
    assert len(option.risks) == 1


@pytest.mark.parametrize(
    ("capability", "doubt"),
    [
        (89, DOUBT_OTHER_KERNEL),
        (90, DOUBT_SAME_KERNEL),
        (100, DOUBT_SAME_KERNEL),
        (103, DOUBT_SAME_KERNEL),
        (120, DOUBT_OTHER_KERNEL),
    ],
)
def test_fp8_where_a_kernel_of_vllms_own_reads_it(capability: int, doubt: float) -> None:
    option = offered(accelerator=gpu(capability))
    assert option.changes[0].recommended_value == "fp8"
    assert option.doubt == doubt


@pytest.mark.parametrize("capability", [70, 75, 80, 86])
def test_int8_where_fp8_has_none(capability: int) -> None:
    option = offered(accelerator=gpu(capability))
    assert option.changes[0].recommended_value == "int8_per_token_head"
    assert "no fp8 kernel" in option.description
    assert option.accuracy_risk is not None
    assert "scale for each token" in option.accuracy_risk


def test_another_kernel_is_a_risk_of_its_own() -> None:
    option = offered(accelerator=gpu(80))
    assert option.doubt == DOUBT_OTHER_KERNEL
    assert "from FLASH_ATTN to TRITON_ATTN" in option.risks[-1]


def test_on_turing_triton_reads_both_and_nothing_moves() -> None:
    assert offered(accelerator=gpu(75)).doubt == DOUBT_SAME_KERNEL


@pytest.mark.parametrize(
    "model",
    [
        with_mixer(LATENT),
        replace(LLAMA, layers=(Layer(Attention(32, 8, 128, 128), MixtureOfExperts(8, 2, 14_336)),)),
        replace(LLAMA, layers=(*LLAMA.layers, Layer(None, DenseMLP(14_336)))),
        replace(LLAMA, quantization=FP8),  # says itself that it brings no format for the cache
    ],
)
def test_what_a_layer_has_beside_its_attention_does_not_matter(model: ModelCard) -> None:
    assert offered(model=model).changes[0].recommended_value == "fp8"


def test_latent_attention_has_no_int8() -> None:
    answer = found(model=with_mixer(LATENT), accelerator=gpu(80))
    assert isinstance(answer, Missing)
    assert (answer.code, "itself ships" in answer.reason) == (Reason.FORMAT_UNSUPPORTED, True)


@pytest.mark.parametrize("stated", ["auto", "bfloat16"])
def test_a_cache_of_sixteen_bits_by_name_is_one(stated: str) -> None:
    assert offered(settings={"kv_cache_dtype": stated}).changes[0].current_value == stated


@pytest.mark.parametrize(
    "model",
    [
        a.model(head_dim=80),
        with_mixer(Attention(32, 8, 128, 64)),
        with_mixer(Attention(32, 8, 128, 128, window=4096)),
        with_mixer(Attention(32, 8, 128, 128, chunk=8192)),
        with_mixer(Attention(32, 8, 128, 128, indexer=Indexer(64, 128, 2048))),
        with_mixer(Attention(32, 8, 128, 128), LATENT),
        with_mixer(replace(LATENT, indexer=Indexer(64, 128, 2048))),
        with_mixer(replace(LATENT, kv_lora_rank=256)),
        replace(LLAMA, layers=(Layer(None, DenseMLP(14_336)),)),
    ],
)
def test_attention_that_was_not_asked_for_gets_no_format(model: ModelCard) -> None:
    answer = found(model=model)
    assert isinstance(answer, Missing)
    assert answer.code is Reason.FORMAT_UNSUPPORTED
    assert "heads are of" in answer.reason


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"drop": ("kv_cache_dtype",)}, Reason.SETTING_UNKNOWN),
        ({"settings": {"kv_cache_dtype": "fp8"}}, Reason.ALREADY_SET),
        ({"settings": {"num_gpu_blocks_override": 100}}, Reason.ALREADY_SET),
        ({"settings": {"dtype": "float32"}}, Reason.FORMAT_UNSUPPORTED),
        ({"model": NO_MODEL_CONFIG}, Reason.MODEL_CONFIG_MISSING),
        ({"model": replace(LLAMA, quantization=replace(FP8, kv_cache=NumberFormat.FP8))}, Reason.ALREADY_SET),
        ({"model": replace(LLAMA, quantization_known=False)}, Reason.SETTING_UNKNOWN),
        ({"model": replace(LLAMA, quantization=FP8, quantization_stated=False)}, Reason.SETTING_UNKNOWN),
        ({"accelerator": gpu(121)}, Reason.FORMAT_UNSUPPORTED),  # not read
        ({"accelerator": gpu(None)}, Reason.ACCELERATOR_UNKNOWN),
        ({"config": a.config(version=None, kv_cache_dtype="auto")}, Reason.ENGINE_VERSION_UNKNOWN),
        ({"config": running("0.7.3")}, Reason.FORMAT_UNSUPPORTED),
        ({"config": running("0.34.0")}, Reason.FORMAT_UNSUPPORTED),
        ({"config": a.config(Engine.TGI, "3.3.0", kv_cache_dtype="auto")}, Reason.FORMAT_UNSUPPORTED),
        ({"config": sglang("0.5.23", max_total_tokens=100_000)}, Reason.ALREADY_SET),
    ],
)
def test_where_the_present_format_or_the_kernels_are_not_known_there_is_none(
    changes: dict[str, Any], code: Reason
) -> None:
    answer = found(**changes)
    assert isinstance(answer, Missing)
    assert answer.code is code


@pytest.mark.parametrize(
    ("version", "capability", "value", "doubt"),
    [
        ("0.8.5", 90, "fp8", DOUBT_SAME_KERNEL),
        ("0.10.2", 90, "fp8", DOUBT_SAME_KERNEL),
        ("0.11.0", 89, "fp8", DOUBT_OTHER_KERNEL),
        ("0.12.0", 90, "fp8", DOUBT_SAME_KERNEL),
        ("0.18.1", 89, "fp8", DOUBT_OTHER_KERNEL),
        ("0.20.2", 80, "int8_per_token_head", DOUBT_OTHER_KERNEL),
        ("0.32.0", 120, "fp8", DOUBT_OTHER_KERNEL),
    ],
)
def test_older_releases_of_vllm(version: str, capability: int, value: str, doubt: float) -> None:
    option = offered(config=running(version), accelerator=gpu(capability))
    assert (option.changes[0].recommended_value, option.doubt) == (value, doubt)
    assert f"vLLM {version} for {value}" in option.changes[0].evidence[-1].formula


@pytest.mark.parametrize(
    ("version", "capability", "why"),
    [
        ("0.9.2", 80, "falls back to its old V0 engine"),
        ("0.10.2", 100, "that the engine itself ships"),  # FlashInfer only
        ("0.18.1", 80, "that the engine itself ships"),
        ("0.12.0", 75, "that the engine itself ships"),
    ],
)
def test_older_releases_that_have_no_kernel(version: str, capability: int, why: str) -> None:
    answer = found(config=running(version), accelerator=gpu(capability))
    assert isinstance(answer, Missing)
    assert why in answer.reason


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"config": running("0.10.2", attention_backend="FLASHINFER")}, "of its own choice"),
        ({"config": running("0.33.0", block_size=32)}, "of its own choice"),
        ({"config": running("0.9.2", num_scheduler_steps=8)}, "V1 engine, which may not be what runs"),
        ({"config": running("0.8.5"), "accelerator": Accelerator("T4", 1, 15_360, 75)}, "V1 engine"),
        ({"config": running("0.33.0", attention_config="{}")}, "attention_config chooses"),
        ({"config": running("0.33.0", attention_backend="flex_attention")}, "FLEX_ATTENTION, which reads no"),
        ({"config": sglang("0.5.23", decode_attention_backend="fa3")}, "decode_attention_backend chooses"),
        ({"config": sglang("0.5.23", attention_backend="triton")}, "triton, which reads no"),
        ({"config": sglang("0.5.23"), "model": with_mixer(LATENT)}, "latent cache was not read for SGLang"),
        (
            {"config": running("0.33.0", decode_context_parallel_size=2), "model": with_mixer(LATENT)},
            "decode_context_parallel_size",
        ),
    ],
)
def test_what_may_run_other_kernels_than_those_that_were_read_gets_none(changes: dict[str, Any], why: str) -> None:
    answer = found(**changes)
    assert isinstance(answer, Missing)
    assert (answer.code, why in answer.reason) == (Reason.FORMAT_UNSUPPORTED, True), answer.reason


def test_a_backend_that_is_set_and_reads_the_format_stays() -> None:
    option = offered(config=running("0.33.0", attention_backend="FLASHINFER"), accelerator=gpu(80))
    assert (option.changes[0].recommended_value, option.doubt) == ("fp8", DOUBT_SAME_KERNEL)
    assert option.changes[0].evidence[-1].value == "FLASHINFER"


@pytest.mark.parametrize("capability", [80, 86, 89, 90, 100, 103, 120])
def test_sglang_reads_fp8_with_the_kernels_that_run_already(capability: int) -> None:
    option = offered(config=sglang("0.5.23"), accelerator=gpu(capability))
    (change,) = option.changes
    assert (change.flag, change.recommended_value) == ("--kv-cache-dtype", "fp8_e4m3")
    assert (option.doubt, len(option.risks)) == (DOUBT_SAME_KERNEL, 1)


def test_heads_of_every_width_that_was_read() -> None:
    for width in (64, 128, 256):
        assert offered(model=with_mixer(Attention(32, 8, width, width))).changes[0].recommended_value == "fp8"
