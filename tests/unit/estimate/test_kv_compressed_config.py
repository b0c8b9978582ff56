"""DeepSeek V4's cache settings: what the kernels take, what a release needs to be told, and what is refused."""

from dataclasses import replace

import pytest
from tests.support.kv_models import DEEPSEEK_V4_FLASH, LLAMA_8B, compressed

from inferplan.api.values import Engine
from inferplan.domain.hardware import Accelerator
from inferplan.domain.measurement import Missing
from inferplan.domain.serving import Origin, ServingConfig, Setting, SettingValue
from inferplan.estimate.kv_compressed_config import prediction_layer
from inferplan.estimate.kv_config import cache_settings
from inferplan.estimate.kv_settings import CacheSettings

HOPPER, BLACKWELL, DESKTOP = (Accelerator(compute_capability=capability) for capability in (90, 100, 120))
CARD = replace(DEEPSEEK_V4_FLASH, mtp_layers=1)
MTP = '{"method": "mtp", "num_speculative_tokens": 1}'


def read(version: str, accelerator: Accelerator = HOPPER, **given: SettingValue) -> CacheSettings | Missing:
    values = {"tensor_parallel_size": 8, **given}
    settings = {key: Setting(value, Origin.ARGUMENT) for key, value in values.items()}
    return cache_settings(ServingConfig(Engine.VLLM, version, "m", settings), CARD, accelerator)


def settings(version: str, accelerator: Accelerator = HOPPER, **given: SettingValue) -> CacheSettings:
    found = read(version, accelerator, **given)
    assert isinstance(found, CacheSettings), found
    return found


@pytest.mark.parametrize(
    ("version", "accelerator", "given"),
    [
        ("0.33.0", HOPPER, {}),
        ("0.30.0", BLACKWELL, {"kv_cache_dtype": "auto"}),
        ("0.29.0", HOPPER, {"kv_cache_dtype": "fp8"}),
        ("0.20.2", BLACKWELL, {"kv_cache_dtype": "fp8_e4m3", "attention_backend": "auto"}),
        ("0.24.0", DESKTOP, {"kv_cache_dtype": "fp8_ds_mla"}),
        ("0.33.0", BLACKWELL, {"attention_backend": "FLASHMLA_SPARSE_DSV4"}),
        ("0.33.0", BLACKWELL, {"attention_config": '{"backend": "FLASHMLA_SPARSE"}'}),
    ],
)
def test_fp8_is_packed_in_blocks_of_256(version: str, accelerator: Accelerator, given: dict[str, SettingValue]) -> None:
    found = settings(version, accelerator, **given)
    assert (found.kv_format, found.block_size, found.narrow_index) == ("fp8_ds_mla", 256, False)


@pytest.mark.parametrize(
    ("version", "accelerator", "given", "word"),
    [
        ("0.29.0", HOPPER, {}, "--kv-cache-dtype fp8"),
        ("0.33.0", HOPPER, {"kv_cache_dtype": "bf16"}, "bfloat16"),
        ("0.33.0", BLACKWELL, {"kv_cache_dtype": "nvfp4_ds_mla"}, "nvfp4_ds_mla"),
        ("0.33.0", BLACKWELL, {"attention_backend": "FLASHINFER_MLA_SPARSE_DSV4"}, "FlashMLA"),
        ("0.33.0", BLACKWELL, {"attention_config": '{"backend": "FLASHINFER_MLA_SPARSE_DSV4"}'}, "FlashMLA"),
        ("0.33.0", BLACKWELL, {"attention_config": '{"hisparse_config": {"host_pool_gib": 8}}'}, "host memory"),
        ("0.33.0", Accelerator(), {}, "NVIDIA"),
        ("0.33.0", Accelerator(compute_capability=80), {}, "Hopper"),
        ("0.23.0", DESKTOP, {"kv_cache_dtype": "fp8"}, "Hopper"),
        ("0.33.0", HOPPER, {"speculative_config": '{"method": "dspark", "model": "x"}'}, "draft"),
    ],
)
def test_what_the_kernels_do_not_take_is_refused(
    version: str, accelerator: Accelerator, given: dict[str, SettingValue], word: str
) -> None:
    found = read(version, accelerator, **given)
    assert isinstance(found, Missing)
    assert word in found.reason


@pytest.mark.parametrize(
    ("attention", "narrow"),
    [
        ('{"indexer_kv_dtype": "mxfp4"}', True),
        ('{"use_fp4_indexer_cache": true}', True),
        ('{"indexer_kv_dtype": "fp8"}', False),
        ("[]", False),
        ("{", False),
    ],
)
def test_an_index_may_be_kept_in_mxfp4(attention: str, *, narrow: bool) -> None:
    assert settings("0.33.0", BLACKWELL, attention_config=attention).narrow_index is narrow


def test_windows_make_room_for_all_batches_in_flight() -> None:
    assert settings("0.33.0").concurrent_batches == 2
    assert settings("0.33.0", async_scheduling=False).concurrent_batches == 1


def test_prediction_adds_a_layer_with_a_window_only() -> None:
    (draft,) = settings("0.33.0", speculative_config=MTP).drafts
    assert draft.mixer == compressed(1)


def test_a_model_without_such_layers_predicts_with_none() -> None:
    with pytest.raises(ValueError, match="compressed attention"):
        prediction_layer(LLAMA_8B)
