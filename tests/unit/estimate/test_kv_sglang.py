"""SGLang's pools: the arithmetic of profile_max_num_token and the pool configurators, by release."""

import numpy as np
import pytest
from tests.support.kv_models import (
    DEEPSEEK_V3,
    DEEPSEEK_V4_FLASH,
    DEEPSEEK_V32,
    GEMMA3_27B,
    GPT_OSS_20B,
    LLAMA_8B,
    QWEN3_NEXT,
    card_of,
    full,
)

from inferplan.api.values import Engine
from inferplan.domain.architecture import Attention
from inferplan.domain.hardware import Accelerator
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.serving import Origin, ServingConfig, Setting, SettingValue
from inferplan.domain.units import GIB
from inferplan.estimate.kv_sglang import PoolSettings, PoolStructure, pool_structure
from inferplan.estimate.kv_sglang_config import pool_settings

LATEST = PoolSettings((0, 5, 23))


def pools(card: ModelCard, settings: PoolSettings = LATEST) -> PoolStructure:
    found = pool_structure(card, settings)
    assert isinstance(found, PoolStructure), found
    return found


def tokens(card: ModelCard, settings: PoolSettings = LATEST, gib: int = 40) -> int:
    return int(pools(card, settings).tokens(gib * GIB))


def test_a_dense_model_divides_memory_by_its_cell() -> None:
    assert tokens(LLAMA_8B) == 327_680  # 40 GiB / 131,072 bytes
    assert tokens(LLAMA_8B, PoolSettings((0, 5, 23), "fp8_e5m2")) == 655_360
    assert tokens(LLAMA_8B, PoolSettings((0, 5, 23), attention_ranks=16)) == 8 * 327_680


def test_tokens_are_whole_pages() -> None:
    assert tokens(DEEPSEEK_V3) == 40 * GIB // (61 * 1152)
    assert tokens(DEEPSEEK_V3, PoolSettings((0, 5, 23), page_size=64)) == 40 * GIB // (61 * 1152) // 64 * 64


@pytest.mark.parametrize(
    ("settings", "cell"),
    [
        (PoolSettings((0, 5, 8)), 1152 + 132),
        (PoolSettings((0, 5, 8), "fp8_e4m3"), 576 + 132),
        (PoolSettings((0, 5, 10), "fp8_e4m3", capability=90), 656 + 132),
        (PoolSettings((0, 5, 10), "fp8_e4m3", capability=100), 576 + 132),  # TensorRT-LLM's layout
    ],
)
def test_sparse_attention_has_an_indexer_beside(settings: PoolSettings, cell: int) -> None:
    assert pools(DEEPSEEK_V32, settings).full_bytes == 61 * cell


@pytest.mark.parametrize(
    ("release", "full_tokens"),
    [
        ((0, 4, 6), 40 * GIB // (24 * 2048)),  # no pool for windows yet
        # all layers' cells first, then shared out: 24 / (0.8 x 12 + 12)
        ((0, 5, 2), int(40 * GIB // (24 * 2048) * 24 / 21.6)),
        ((0, 5, 10), int(40 * GIB // (24 * 2048) * 24 / 21.6)),
        ((0, 5, 12), int(40 * GIB // (12 * 2048 + 0.8 * 12 * 2048))),
    ],
)
def test_windows_get_a_pool_of_their_own(release: tuple[int, int, int], full_tokens: int) -> None:
    assert tokens(GPT_OSS_20B, PoolSettings(release)) == full_tokens


def test_windows_of_other_models_are_full() -> None:
    assert pools(GEMMA3_27B).window_layers == 0
    assert pools(GEMMA3_27B, PoolSettings((0, 5, 2))).window_layers == 52
    assert pools(GPT_OSS_20B, PoolSettings((0, 5, 23), window_share=0.0)).window_layers == 0


def test_states_take_their_share_first() -> None:
    found = pools(QWEN3_NEXT)
    state = 36 * (3 * 8192 * 2 + 32 * 128 * 128 * 4)  # float32
    assert found.state_bytes == state
    held = int(40 * GIB * (0.9 / 1.9) // state)
    assert int(found.states(40 * GIB)) == held
    assert int(found.tokens(40 * GIB)) == (40 * GIB - held * state) // (12 * 2048)
    fixed = pools(QWEN3_NEXT, PoolSettings((0, 5, 23), fixed_states=10))
    assert int(fixed.tokens(40 * GIB)) == (40 * GIB - 10 * state) // (12 * 2048)


def test_arrays_and_numbers_agree() -> None:
    available = np.asarray([GIB, 40 * GIB])
    assert list(pools(QWEN3_NEXT).tokens(available)) == [tokens(QWEN3_NEXT, gib=gib) for gib in (1, 40)]


def test_stages_take_the_fullest() -> None:
    early, late = (pools(DEEPSEEK_V3, PoolSettings(release, pipeline_parallel=4)) for release in ((0, 5, 2), (0, 5, 8)))
    assert (early.full_layers, late.full_layers) == (16, 16)
    assert pools(card_of([full(8, 128)] * 7), PoolSettings((0, 5, 2), pipeline_parallel=4)).full_layers == 4


@pytest.mark.parametrize(
    ("card", "settings", "word"),
    [
        (LLAMA_8B, PoolSettings((0, 5, 23), "fp4_e2m1"), "fp4_e2m1"),
        (QWEN3_NEXT, PoolSettings((0, 5, 2)), "0.5.5"),
        (card_of([Attention(32, 8, 128, 128, indexer=DEEPSEEK_V32.layers[0].mixer.indexer)]), LATEST, "indexer"),  # type: ignore[union-attr]
    ],
)
def test_what_is_not_sized_is_named(card: ModelCard, settings: PoolSettings, word: str) -> None:
    found = pool_structure(card, settings)
    assert isinstance(found, Missing)
    assert word in found.reason


def test_compressed_attention_is_refused() -> None:
    found = pool_structure(DEEPSEEK_V4_FLASH, LATEST)
    assert isinstance(found, Missing)
    assert "DeepSeek V4" in found.reason


def read(card: ModelCard, version: str | None, **given: SettingValue) -> PoolSettings | Missing:
    values = {"tensor_parallel_size": 4, **given}
    config = ServingConfig(
        Engine.SGLANG, version, "m", {key: Setting(value, Origin.ARGUMENT) for key, value in values.items()}
    )
    return pool_settings(config, card, Accelerator(compute_capability=90))


def test_settings_are_read() -> None:
    assert read(LLAMA_8B, "0.5.8") == PoolSettings((0, 5, 8), attention_ranks=4, capability=90)
    found = read(DEEPSEEK_V32, "0.5.8", data_parallel_size=2, enable_dp_attention=True, kv_cache_dtype="fp8_e4m3")
    assert found == PoolSettings((0, 5, 8), "fp8_e4m3", 2, page_size=64, capability=90)
    alone = read(QWEN3_NEXT, "0.5.8", enable_prefix_caching=False, max_batch_size=32, disable_hybrid_swa_memory=True)
    assert alone == PoolSettings((0, 5, 8), attention_ranks=4, window_share=0.0, fixed_states=32, capability=90)


def test_settings_that_are_not_known_are_named() -> None:
    for found, word in (
        (read(LLAMA_8B, None), "version"),
        (read(LLAMA_8B, "0.5.8", tensor_parallel_size=0), "tensor_parallel_size"),
        (read(QWEN3_NEXT, "0.5.8", speculative_config='{"method": "eagle"}'), "speculation"),
    ):
        assert isinstance(found, Missing)
        assert word in found.reason
