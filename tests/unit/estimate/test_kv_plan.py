"""Blocks, tokens and concurrency as vLLM's own planners of these releases say (benchmarks/kv_planner.py)."""

import time
from dataclasses import replace

import numpy as np
import pytest
from tests.support.kv_models import (
    DEEPSEEK_V3,
    DEEPSEEK_V32,
    DELTA,
    GEMMA3_27B,
    GEMMA4,
    GPT_OSS_20B,
    LATENT,
    LLAMA_8B,
    MAMBA,
    MINIMAX_M3,
    QWEN3_8B,
    QWEN3_NEXT,
    card_of,
    full,
)

from inferplan.domain.architecture import Attention, Layer
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.units import GIB
from inferplan.estimate.kv_plan import CachePlan, CacheStructure
from inferplan.estimate.kv_settings import CacheSettings, StateMode, StateSettings
from inferplan.estimate.kv_structure import cache_structure

LATEST = CacheSettings((0, 33, 0))


def structure(card: ModelCard, settings: CacheSettings = LATEST) -> CacheStructure:
    found = cache_structure(card, settings)
    assert isinstance(found, CacheStructure), found
    return found


def plan(card: ModelCard, settings: CacheSettings, gib: int = 20, length: int = 32_768) -> CachePlan:
    return structure(card, settings).plan(gib * GIB, length, 8192)


def refusal(card: ModelCard, settings: CacheSettings) -> str:
    found = cache_structure(card, settings)
    assert isinstance(found, Missing)
    return found.reason


def test_dense_models_take_what_engine_facts_say() -> None:
    # 36 layers x 8 heads x 512 bytes x 16 tokens = 2,359,296 bytes a block; 40 GiB are 18,204 of them
    found = plan(QWEN3_8B, LATEST, 40, 40_960)
    assert (found.num_blocks, found.tokens) == (18_204, 291_264)
    assert found.max_concurrency == pytest.approx(7.11, abs=0.005)  # 18,204 / 2,560 blocks
    assert found.request_bytes == 2560 * 2_359_296


def test_fp8_doubles_the_blocks() -> None:
    assert plan(QWEN3_8B, replace(LATEST, kv_format="fp8"), 40, 40_960).num_blocks == 36_408


def test_latent_attention_is_one_vector_on_every_rank() -> None:
    # 61 x 576 x 2 bytes x 64 tokens = 4,497,408 bytes a block
    settings = replace(LATEST, block_size=64, tensor_parallel=8)
    assert plan(DEEPSEEK_V3, settings, 30, 40_960).tokens == 458_368
    assert plan(DEEPSEEK_V3, replace(settings, context_parallel=4), 30, 40_960).tokens == 4 * 458_368


def test_a_sparse_model_keeps_its_indexers_keys_beside() -> None:
    found = structure(DEEPSEEK_V32, replace(LATEST, block_size=64))
    assert found.block_bytes == 61 * 64 * (1152 + 132)  # 128 bytes and a scale of 4
    packed = structure(DEEPSEEK_V32, replace(LATEST, block_size=64, kv_format="fp8_ds_mla"))
    assert packed.block_bytes == 61 * 64 * (656 + 132)


def test_a_block_sparse_model_keeps_its_indexers_keys_on_every_rank() -> None:
    # 4 heads x 2 x 128 values of 2 bytes in 60 layers, a key of 128 values beside in 57 of them
    found = structure(MINIMAX_M3, replace(LATEST, block_size=128))
    assert found.block_bytes == 128 * (60 * 2048 + 57 * 256)
    packed = structure(MINIMAX_M3, replace(LATEST, block_size=128, kv_format="fp8", tensor_parallel=4))
    assert packed.block_bytes == 128 * (60 * 256 + 57 * 256)


@pytest.mark.parametrize(
    ("release", "blocks", "tokens", "concurrency"),
    [
        # allocated in full: 20 GiB / (62 x 131,072 x ...) = 2,642 blocks of 16 tokens
        ((0, 8, 5), 2642, 42_272, 42_272 / 32_768),
        # groups of 10: 6 with windows, 1 full: 16,384 blocks // 7 x 16 tokens;
        # a request: 6 x (ceil((1023 + 8192) / 16) + 1 = 577) + 2,048 = 5,510 blocks
        ((0, 9, 2), 16_384, 37_440, 16_384 / 5510),
        ((0, 18, 1), 16_384, 37_440, 16_384 / 5510),
        # tokens are concurrency x length now: 2.9735 x 32,768
        ((0, 25, 1), 16_384, 97_435, 16_384 / 5510),
        # windows make room for two batches: 6 x (ceil((1023 + 16,384) / 16) + 1 = 1,089) + 2,048 = 8,582
        ((0, 26, 0), 16_384, 62_557, 16_384 / 8582),
        ((0, 33, 0), 16_384, 62_557, 16_384 / 8582),
    ],
)
def test_gemma_3_by_release(release: tuple[int, int, int], blocks: int, tokens: int, concurrency: float) -> None:
    found = plan(GEMMA3_27B, CacheSettings(release, concurrent_batches=2))
    assert (found.num_blocks, found.tokens) == (blocks, tokens)
    assert found.max_concurrency == pytest.approx(concurrency)


def test_the_request_that_the_start_up_check_counts_by_release() -> None:
    page = 10 * 16 * 16 * 512  # bytes of a block: 10 layers x 16 heads x 512 bytes x 16 tokens
    counted = {
        (0, 9, 2): (52 * 577 + 10 * 2048) * page // 10,  # layer by layer
        (0, 16, 0): 577 * page,  # the first group alone
        (0, 19, 1): 5510 * page,  # all groups
        (0, 33, 0): 8582 * page,
    }
    for release, size in counted.items():
        assert plan(GEMMA3_27B, CacheSettings(release, concurrent_batches=2)).request_bytes == size


def test_what_passes_the_check_may_still_hold_no_request() -> None:
    found = plan(GEMMA3_27B, CacheSettings((0, 16, 0)), gib=1)  # 819 blocks
    assert found.fits  # 577 of the first group
    assert not found.holds_request  # 5,510 of all


def test_without_the_hybrid_manager_windows_are_full() -> None:
    assert plan(GEMMA3_27B, replace(LATEST, hybrid_manager=False)).num_blocks == 2642


def test_close_counts_take_the_larger_group() -> None:
    card = card_of([full(8, 64, 128)] * 13 + [full(8, 64)] * 12)
    assert [len(group.layers) for group in structure(card).groups] == [13, 12]  # 13 < 1.5 x 12
    early = structure(card, CacheSettings((0, 11, 2))).groups
    assert [len(group.layers) for group in early] == [7, 6, 12]  # of 12, in turn: 13 in two


@pytest.mark.parametrize(
    ("release", "blocks", "tokens"),
    # pages: 16 x 256 x 4 x 16 = 262,144 bytes with windows; full ones twice the tokens: 4 x 512 x 4 x 32
    [((0, 16, 0), 8192, 21_840), ((0, 25, 1), 8192, 68_671), ((0, 33, 0), 8192, 41_495)],
)
def test_pages_of_two_widths_are_made_equal(release: tuple[int, int, int], blocks: int, tokens: int) -> None:
    found = plan(GEMMA4, CacheSettings(release, concurrent_batches=2))
    assert (found.num_blocks, found.tokens) == (blocks, tokens)


def test_before_0_12_pages_of_two_widths_are_refused() -> None:
    assert "differ in size" in refusal(GEMMA4, CacheSettings((0, 11, 2)))


def test_pages_that_do_not_divide_are_padded_from_0_24_on() -> None:
    card = card_of([full(8, 128, 1024), full(8, 160)] * 8)
    assert "divide" in refusal(card, CacheSettings((0, 23, 0)))
    assert structure(card).block_bytes == 8 * 8 * 160 * 4 * 16  # both kinds as the wider one


def test_one_type_of_different_widths_shares_one_group_from_0_11_on() -> None:
    card = card_of([full(8, 128), full(4, 128)] * 4)
    assert structure(card).block_bytes == 16 * 512 * (8 + 4) * 4
    assert "differ in size" in refusal(card, CacheSettings((0, 10, 2)))


def test_qwen3_next_raises_the_block_to_the_size_of_a_state() -> None:
    # a state: (2 x 16 x 128 + 32 x 128) x 3 x 2 + 32 x 128 x 128 x 2 = 1,097,728 bytes; a token: 2,048
    found = plan(QWEN3_NEXT, LATEST)
    assert found.block_size == 544  # ceil(1,097,728 / 16 / 2,048) x 16
    assert found.num_blocks == 20 * GIB // (12 * 544 * 2048)
    assert found.max_concurrency == pytest.approx(found.num_blocks / (61 + 3))  # ceil(32,768 / 544) and three states


@pytest.mark.parametrize(
    ("states", "pages"),
    [
        (StateSettings(), 1),
        (StateSettings(StateMode.ALIGN), 2),
        (StateSettings(StateMode.ALIGN, checkpoints=True), 3),
        (StateSettings(speculative_tokens=2), 3),
        (StateSettings(StateMode.ALIGN, speculative_tokens=2), 4),
    ],
)
def test_pages_of_states_by_mode(states: StateSettings, pages: int) -> None:
    found = structure(QWEN3_NEXT, replace(LATEST, states=states))
    blocks = found.block_size * 61
    needed = int(found.request_bytes(blocks, 8192)) // found.block_bytes
    assert needed == 61 + 3 * pages


def test_states_along_the_whole_length() -> None:
    # 64 x 64 x 128 x 2 + (4096 + 2 x 8 x 128) x 3 x 2 = 1,085,440 bytes / 4,096 a token = 265, of chunks of 128: 384
    card = card_of([MAMBA] * 4 + [full(8, 128)])
    states = StateSettings(StateMode.ALL, chunk=128)
    found = structure(card, CacheSettings((0, 27, 1), states=states))
    assert found.block_size == 384
    assert int(found.request_bytes(3840, 8192)) == (10 + 4 * 10) * found.block_bytes
    assert "chunk size" in refusal(card, CacheSettings((0, 27, 1), states=StateSettings(StateMode.ALL)))


def test_states_alone_take_a_block_each() -> None:
    card = card_of([MAMBA] * 10)
    found = plan(card, LATEST)
    assert found.num_blocks == 20 * GIB // (10 * 1_085_440)
    assert found.max_concurrency == found.num_blocks


def test_state_formats() -> None:
    def state(release: tuple[int, int, int], **given: int) -> int:
        return structure(card_of([DELTA]), CacheSettings(release, states=StateSettings(**given))).block_bytes

    assert state((0, 33, 0)) == 1_097_728
    assert state((0, 33, 0), state_bits=32) == 49_152 + 2_097_152
    assert state((0, 16, 0), state_bits=32) == 1_097_728  # the flag counts from 0.17 on
    assert state((0, 33, 0), speculative_tokens=2) == (3 + 2) * 16_384 + 1_048_576


def test_tensor_parallelism_repeats_heads_below_one() -> None:
    sizes = [structure(LLAMA_8B, replace(LATEST, tensor_parallel=ranks)).token_bytes for ranks in (1, 2, 8, 16)]
    assert sizes == [131_072, 65_536, 16_384, 16_384]
    assert "3" in refusal(LLAMA_8B, replace(LATEST, tensor_parallel=3))


def test_pipeline_stages_take_the_fullest() -> None:
    # 61 layers in 4 stages: 15, 15, 16, 15
    found = structure(DEEPSEEK_V3, replace(LATEST, block_size=64, pipeline_parallel=4))
    assert [stage.block_bytes // (64 * 1152) for stage in found.stages] == [15, 15, 16, 15]
    assert found.block_bytes == 16 * 64 * 1152


def test_drafts_are_on_the_last_stage() -> None:
    settings = replace(LATEST, block_size=64, pipeline_parallel=4, drafts=(Layer(LATENT, None),))
    assert [len(stage.specs) for stage in structure(DEEPSEEK_V3, settings).stages] == [15, 15, 16, 16]


def test_0_11_to_0_16_charge_a_stage_for_all_layers_of_mixed_widths() -> None:
    card = card_of([full(8, 128), full(4, 128)] * 4)
    sizes = [
        structure(card, CacheSettings(release, pipeline_parallel=2)).block_bytes for release in ((0, 16, 0), (0, 17, 1))
    ]
    assert sizes == [16 * 512 * 12 * 4, 16 * 512 * 12 * 2]


def test_before_0_11_stages_of_other_kinds_are_refused() -> None:
    card = card_of([full(8, 128, 1024)] * 4 + [full(8, 128)] * 4)
    assert "stages" in refusal(card, CacheSettings((0, 10, 2), pipeline_parallel=2))


def test_turboquant_leaves_two_layers_at_each_end() -> None:
    found = structure(LLAMA_8B, replace(LATEST, kv_format="turboquant_k8v4", block_size=32))
    assert found.block_bytes == 32 * 8 * (28 * 196 + 4 * 512)
    hybrid = structure(QWEN3_NEXT, replace(LATEST, kv_format="turboquant_k8v4"))
    assert hybrid.token_bytes == 12 * 2 * (256 + 128 + 4)  # none of a hybrid model's


def test_v0_counts_every_layer_in_full() -> None:
    found = plan(GPT_OSS_20B, CacheSettings((0, 7, 3), is_v0=True))
    assert found.tokens == 16 * (20 * GIB // (24 * 8 * 256 * 16))
    assert plan(DEEPSEEK_V3, CacheSettings((0, 7, 3), is_v0=True)).num_blocks == 20 * GIB // (61 * 640 * 2 * 16)


def test_shared_caches_take_nothing() -> None:
    shared = Attention(32, 8, 128, 128, shares_kv=True)
    assert structure(card_of([full(8, 128)] * 4 + [shared] * 4)).block_bytes == 4 * 8 * 512 * 16


def test_a_model_without_a_cache_has_the_held_back_block() -> None:
    found = structure(card_of([Attention(32, 8, 128, 128, shares_kv=True)]))
    assert (found.plan(GIB, 1000, 100).num_blocks, found.block_bytes) == (1, 0)


def test_the_longest_length_is_the_last_that_fits() -> None:
    found = structure(GPT_OSS_20B, replace(LATEST, concurrent_batches=2))
    longest = int(found.longest(GIB, 131_072, 8192))
    assert found.plan(GIB, longest, 8192).fits
    assert not found.plan(GIB, longest + 1, 8192).fits
    assert int(found.longest(1000, 131_072, 8192)) == 0
    assert int(found.longest(100 * GIB, 131_072, 8192)) == 131_072


def test_the_held_back_block_counts_from_0_29_on() -> None:
    block = 32 * 8 * 512 * 16
    for release, fits in (((0, 28, 0), True), ((0, 29, 0), False)):
        assert structure(LLAMA_8B, CacheSettings(release)).plan(100 * block, 1600, 100).fits is fits


def test_an_override_sets_the_blocks() -> None:
    assert plan(LLAMA_8B, replace(LATEST, blocks_override=1000)).num_blocks == 1000


def test_arrays_and_numbers_agree_and_thousands_are_fast() -> None:
    found = structure(GEMMA3_27B, replace(LATEST, concurrent_batches=2))
    available = np.linspace(0, 80 * GIB, 4000).astype(np.int64)
    lengths = np.linspace(1, 131_072, 4000).astype(np.int64)
    began = time.perf_counter()
    plans = found.plans(available, lengths, 8192)
    assert time.perf_counter() - began < 0.05
    for index in (0, 17, 3999):
        single = found.plan(int(available[index]), int(lengths[index]), 8192)
        assert (plans.num_blocks[index], plans.tokens[index], plans.fits[index], plans.request_bytes[index]) == (
            single.num_blocks,
            single.tokens,
            single.fits,
            single.request_bytes,
        )
        assert plans.holds_request[index] == single.holds_request


@pytest.mark.parametrize(("length", "batched"), [(0, 100), (-1, 100), (2**41, 100), (100, 0)])
def test_absurd_lengths_are_named(length: int, batched: int) -> None:
    with pytest.raises(ValueError, match="max_"):
        structure(LLAMA_8B).plan(GIB, length, batched)


def test_no_memory_holds_nothing() -> None:
    for available in (0, -GIB):
        found = structure(LLAMA_8B).plan(available, 1000, 100)
        assert (found.num_blocks, found.tokens, found.fits, found.holds_request) == (0, 0, False, False)
