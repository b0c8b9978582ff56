"""The cache's settings out of an engine's configuration: what is set, what a release takes unasked, what is refused."""

from dataclasses import replace

import pytest
from tests.support.kv_models import (
    DEEPSEEK_V3,
    DEEPSEEK_V32,
    GEMMA3_27B,
    KIMI_LINEAR,
    LLAMA_8B,
    MAMBA,
    MINIMAX_M3,
    QWEN3_NEXT,
    card_of,
    full,
)

from inferplan.api.values import Engine
from inferplan.domain.architecture import Attention, LinearAttention
from inferplan.domain.hardware import Accelerator
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.quantization import NumberFormat, Quantization
from inferplan.domain.quantization_simple import NVFP4
from inferplan.domain.serving import Origin, ServingConfig, Setting, SettingValue
from inferplan.estimate.kv_config import cache_settings
from inferplan.estimate.kv_settings import CacheSettings, StateMode

HOPPER, BLACKWELL, TURING = (Accelerator(compute_capability=capability) for capability in (90, 100, 75))
LLAMA_4 = card_of([Attention(32, 8, 128, 128, chunk=8192)] * 3 + [full(8, 128)])
NEMOTRON = card_of([MAMBA] * 4 + [full(8, 128)], "NemotronHForCausalLM")


def read(
    card: ModelCard, version: str | None, accelerator: Accelerator = HOPPER, model: str = "m", **given: SettingValue
) -> CacheSettings | Missing:
    values = {"tensor_parallel_size": 1, **given}
    settings = {key: Setting(value, Origin.ARGUMENT) for key, value in values.items()}
    return cache_settings(ServingConfig(Engine.VLLM, version, model, settings), card, accelerator)


def settings(
    card: ModelCard, version: str, accelerator: Accelerator = HOPPER, model: str = "m", **given: SettingValue
) -> CacheSettings:
    found = read(card, version, accelerator, model, **given)
    assert isinstance(found, CacheSettings), found
    return found


def test_a_plain_configuration_takes_the_defaults() -> None:
    assert settings(LLAMA_8B, "0.33.0") == CacheSettings((0, 33, 0))


def test_what_is_set_is_taken() -> None:
    found = settings(
        LLAMA_8B,
        "0.33.0",
        kv_cache_dtype="fp8",
        block_size=32,
        tensor_parallel_size=4,
        pipeline_parallel_size=2,
        decode_context_parallel_size=2,
        disable_hybrid_kv_cache_manager=True,
        num_gpu_blocks_override=100,
    )
    assert found == CacheSettings(
        (0, 33, 0), "fp8", "bfloat16", 32, 4, 2, 2, hybrid_manager=False, kernel_block=32, blocks_override=100
    )


@pytest.mark.parametrize(
    ("dtype", "kv_cache_dtype", "found"),
    [
        ("auto", "auto", "bfloat16"),
        ("float32", "auto", "float32"),
        ("half", "auto", "bfloat16"),  # either takes two bytes
        ("auto", "auto (bf16)", "bfloat16"),
        ("auto", "FP8_E4M3", "fp8_e4m3"),
        ("float32", "fp8", "fp8"),
    ],
)
def test_the_caches_format(dtype: str, kv_cache_dtype: str, found: str) -> None:
    assert settings(LLAMA_8B, "0.33.0", dtype=dtype, kv_cache_dtype=kv_cache_dtype).kv_format == found


@pytest.mark.parametrize(
    ("method", "version", "found"),
    [
        ("modelopt", "0.13.0", "bfloat16"),
        ("modelopt", "0.14.1", "fp8"),
        ("compressed-tensors", "0.16.0", "bfloat16"),
        ("compressed-tensors", "0.17.1", "fp8"),
    ],
)
def test_a_checkpoint_may_bring_its_own_format(method: str, version: str, found: str) -> None:
    card = replace(LLAMA_8B, quantization=Quantization(method, NVFP4, (), kv_cache=NumberFormat.FP8))
    assert settings(card, version).kv_format == found
    assert settings(card, version, kv_cache_dtype="bfloat16").kv_format == "bfloat16"


@pytest.mark.parametrize(
    ("version", "accelerator", "asked", "found"),
    [
        ("0.11.0", HOPPER, "auto", "fp8_ds_mla"),
        ("0.11.1", HOPPER, "auto", "bfloat16"),
        ("0.17.1", BLACKWELL, "fp8", "fp8_ds_mla"),
        ("0.20.2", HOPPER, "fp8", "fp8_ds_mla"),
        ("0.20.2", BLACKWELL, "fp8", "fp8"),
        ("0.33.0", Accelerator(compute_capability=120), "auto", "fp8_ds_mla"),
    ],
)
def test_sparse_attention_packs_fp8_its_own_way(version: str, accelerator: Accelerator, asked: str, found: str) -> None:
    assert settings(DEEPSEEK_V32, version, accelerator, kv_cache_dtype=asked).kv_format == found


@pytest.mark.parametrize(
    ("card", "version", "accelerator", "stated", "size"),
    [
        (LLAMA_8B, "0.33.0", BLACKWELL, {}, 16),
        (DEEPSEEK_V3, "0.10.0", HOPPER, {}, 64),  # FlashMLA
        (DEEPSEEK_V3, "0.16.0", HOPPER, {"block_size": 128}, 128),
        (DEEPSEEK_V3, "0.14.1", BLACKWELL, {}, 128),  # CUTLASS
        (DEEPSEEK_V3, "0.16.0", BLACKWELL, {}, 64),  # FlashInfer
        (DEEPSEEK_V3, "0.16.0", TURING, {}, 16),
        (DEEPSEEK_V3, "0.18.1", HOPPER, {}, 16),  # FlashAttention
        (DEEPSEEK_V3, "0.18.1", HOPPER, {"kv_cache_dtype": "fp8"}, 64),  # FlashMLA
        (DEEPSEEK_V3, "0.33.0", BLACKWELL, {}, 32),  # FlashInfer
        (DEEPSEEK_V32, "0.33.0", BLACKWELL, {}, 64),
        (LLAMA_8B, "0.24.0", HOPPER, {"kv_cache_dtype": "turboquant_k8v4"}, 16),
        (LLAMA_8B, "0.25.1", HOPPER, {"kv_cache_dtype": "turboquant_k8v4"}, 32),  # 16 x 512 / 256
    ],
)
def test_block_sizes_follow_the_attention_backend(
    card: ModelCard, version: str, accelerator: Accelerator, stated: dict[str, SettingValue], size: int
) -> None:
    assert settings(card, version, accelerator, **stated).block_size == size


@pytest.mark.parametrize(
    ("card", "version", "given", "mode"),
    [
        (QWEN3_NEXT, "0.25.1", {}, StateMode.NONE),
        (QWEN3_NEXT, "0.26.0", {}, StateMode.ALIGN),
        (QWEN3_NEXT, "0.25.1", {"enable_prefix_caching": True}, StateMode.ALIGN),
        (QWEN3_NEXT, "0.33.0", {"enable_prefix_caching": False}, StateMode.NONE),
        (QWEN3_NEXT, "0.14.1", {"enable_prefix_caching": True}, StateMode.NONE),
        (QWEN3_NEXT, "0.20.2", {"enable_prefix_caching": True, "mamba_cache_mode": "all"}, StateMode.ALIGN),
        (NEMOTRON, "0.14.1", {"enable_prefix_caching": True}, StateMode.ALL),
        (NEMOTRON, "0.27.1", {}, StateMode.ALL),
        (NEMOTRON, "0.28.0", {}, StateMode.ALIGN),
        (card_of([MAMBA] * 4), "0.33.0", {}, StateMode.NONE),
    ],
)
def test_what_prefix_caching_keeps_of_states(
    card: ModelCard, version: str, given: dict[str, SettingValue], mode: StateMode
) -> None:
    assert settings(card, version, **given).states.mode is mode


def test_a_default_of_prefix_caching_for_attention_is_none_of_states() -> None:
    default = Setting(value=True, origin=Origin.VERSION_DEFAULT)
    ranks = Setting(1, Origin.ARGUMENT)
    config = ServingConfig(
        Engine.VLLM, "0.25.1", None, {"tensor_parallel_size": ranks, "enable_prefix_caching": default}
    )
    found = cache_settings(config, QWEN3_NEXT, HOPPER)
    assert isinstance(found, CacheSettings)
    assert found.states.mode is StateMode.NONE


def test_checkpoints_of_a_prefill() -> None:
    assert settings(QWEN3_NEXT, "0.32.0").states.checkpoints is False
    latest = settings(QWEN3_NEXT, "0.33.0").states
    assert (latest.checkpoints, latest.alignment) == (True, 64)
    assert settings(QWEN3_NEXT, "0.33.0", TURING).states.checkpoints is False
    assert settings(NEMOTRON, "0.32.0").states.checkpoints is True
    kimi_k3 = replace(KIMI_LINEAR, architecture="KimiK3ForConditionalGeneration")
    assert settings(kimi_k3, "0.28.0").states.checkpoints is False
    assert settings(kimi_k3, "0.29.0").states.checkpoints is True
    assert settings(KIMI_LINEAR, "0.33.0").states.checkpoints is False


def test_block_sparse_attention_takes_its_own_block() -> None:
    assert settings(MINIMAX_M3, "0.24.0").block_size == 128


@pytest.mark.parametrize(
    ("architecture", "model", "given", "bits"),
    [
        ("Qwen3NextForCausalLM", "Qwen/Qwen3-Next-80B-A3B", {}, None),
        ("Qwen3_5ForConditionalGeneration", "m", {}, 32),
        ("unknown", "Qwen/Qwen3.6-27B", {}, 32),
        ("Qwen3_5ForConditionalGeneration", "m", {"mamba_ssm_cache_dtype": "bfloat16"}, 16),
        ("NemotronHForCausalLM", "m", {}, 32),
    ],
)
def test_the_states_own_format(architecture: str, model: str, given: dict[str, SettingValue], bits: int | None) -> None:
    card = replace(QWEN3_NEXT, architecture=architecture)
    assert settings(card, "0.33.0", HOPPER, model, **given).states.state_bits == bits


def test_a_config_that_says_the_states_format_is_not_overruled() -> None:
    card = card_of([LinearAttention(16, 32, 128, 128, 4, state_bits=16), full(2, 256)], "Qwen3_5ForCausalLM")
    assert settings(card, "0.33.0").states.state_bits is None


@pytest.mark.parametrize(
    ("version", "given", "on"),
    [
        ("0.10.0", {}, True),
        ("0.10.2", {}, False),
        ("0.33.0", {}, False),
    ],
)
def test_chunks_switch_the_hybrid_manager_off(version: str, given: dict[str, SettingValue], on: bool) -> None:
    assert settings(LLAMA_4, version, **given).hybrid_manager is on


def test_shared_caches_switch_the_hybrid_manager_off_in_early_releases() -> None:
    assert settings(GEMMA3_27B, "0.23.0", kv_transfer_config='{"kv_connector": "X"}').hybrid_manager is False
    assert settings(GEMMA3_27B, "0.24.0", kv_transfer_config='{"kv_connector": "X"}').hybrid_manager is True
    assert settings(GEMMA3_27B, "0.19.1", kv_events_config='{"enable": true}').hybrid_manager is False


@pytest.mark.parametrize(
    ("version", "given", "batches"),
    [
        ("0.33.0", {}, 2),
        ("0.13.0", {}, 1),
        ("0.33.0", {"async_scheduling": False}, 1),
        ("0.33.0", {"pipeline_parallel_size": 2}, 3),
        ("0.28.0", {"pipeline_parallel_size": 2}, 2),
    ],
)
def test_batches_in_flight(version: str, given: dict[str, SettingValue], batches: int) -> None:
    assert settings(GEMMA3_27B, version, **given).concurrent_batches == batches


def test_what_is_assumed_is_said() -> None:
    assert settings(LLAMA_8B, "0.33.0").assumptions == ()
    assert any("async_scheduling" in said for said in settings(GEMMA3_27B, "0.33.0").assumptions)


def test_speculation_adds_layers() -> None:
    mtp = '{"method": "mtp", "num_speculative_tokens": 2}'
    card = replace(DEEPSEEK_V3, mtp_layers=1)
    assert settings(card, "0.33.0", speculative_config=mtp).drafts == (card.layers[-1],)
    assert settings(QWEN3_NEXT, "0.33.0", speculative_config=mtp).states.speculative_tokens == 2
    assert settings(LLAMA_8B, "0.33.0", speculative_config='{"method": "ngram"}').drafts == ()
    eagle = settings(LLAMA_8B, "0.33.0", speculative_config='{"method": "eagle3", "model": "x"}')
    assert len(eagle.drafts) == 1
    assert eagle.assumptions


@pytest.mark.parametrize(
    ("version", "accelerator", "is_v0"),
    [("0.7.3", HOPPER, True), ("0.8.5", HOPPER, False), ("0.9.2", TURING, True), ("0.10.2", TURING, False)],
)
def test_the_first_engine_core_runs_early_and_on_old_gpus(version: str, accelerator: Accelerator, is_v0: bool) -> None:
    assert settings(LLAMA_8B, version, accelerator).is_v0 is is_v0


@pytest.mark.parametrize(
    ("version", "given", "word"),
    [
        (None, {}, "version"),
        ("nightly", {}, "version"),
        ("0.33.0", {"kv_cache_dtype_skip_layers": "[3]"}, "kv_cache_dtype_skip_layers"),
        ("0.33.0", {"speculative_config": '{"model": "small", "method": "draft_model"}'}, "draft"),
        ("0.33.0", {"tensor_parallel_size": 0}, "tensor_parallel_size"),
        ("0.33.0", {"speculative_config": "[1]"}, "speculative_config"),
    ],
)
def test_what_is_not_known_is_named(version: str | None, given: dict[str, SettingValue], word: str) -> None:
    found = read(LLAMA_8B, version, **given)
    assert isinstance(found, Missing)
    assert word in found.reason
