"""DeepSeek V4's caches as vLLM's own planners of these releases plan them (benchmarks/kv_planner.py)."""

from dataclasses import replace

import pytest
from tests.support.kv_models import DEEPSEEK_V4_FLASH, DEEPSEEK_V4_PRO, card_of, compressed

from inferplan.domain.architecture import Mixer
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.units import GIB
from inferplan.estimate.kv_packed import nearest_divisor
from inferplan.estimate.kv_plan import CacheStructure
from inferplan.estimate.kv_settings import CacheSettings
from inferplan.estimate.kv_structure import cache_structure
from inferplan.estimate.release import Release

LATEST = CacheSettings((0, 33, 0), "fp8_ds_mla", block_size=256, tensor_parallel=8, concurrent_batches=2)


def structure(card: ModelCard, settings: CacheSettings = LATEST) -> CacheStructure:
    found = cache_structure(card, settings)
    assert isinstance(found, CacheStructure), found
    return found


def refusal(mixers: list[Mixer], settings: CacheSettings = LATEST) -> str:
    found = cache_structure(card_of(mixers, "DeepseekV4ForCausalLM"), settings)
    assert isinstance(found, Missing)
    return found.reason


def pages(ratio: int, settings: CacheSettings = LATEST) -> list[int]:
    card = card_of([compressed(4), compressed(ratio)], "DeepseekV4ForCausalLM")
    return [spec.page_bytes for spec in structure(card, settings).stages[0].specs[5:]]


def test_a_layer_keeps_up_to_five_caches() -> None:
    # 64 x 584 made a multiple of 576; 256 / ratio vectors; 4 x 2048 and 8 x 1024 floats; 64 x 132; 4 x 512 floats
    assert pages(1) == [37_440]
    assert pages(4) == [37_440, 37_440, 32_832, 8640, 8640]
    assert pages(128) == [37_440, 1728, 32_832]


@pytest.mark.parametrize(("release", "page"), [((0, 26, 0), 8640), ((0, 27, 0), 4608)])
def test_an_index_in_mxfp4_takes_less_from_0_27_on(release: Release, page: int) -> None:
    assert pages(4, replace(LATEST, release=release, narrow_index=True))[3] == page  # 64 x 68 made a multiple of 576


@pytest.mark.parametrize(
    ("card", "release", "block", "blocks", "tokens", "concurrency"),
    [
        # 21 x (37,440 + 8,640) + 20 x 1,728 = 1,002,240 bytes a block; a request takes 512 of compressed caches, 2 x
        # 259 of windows, 4,099 and 2,065 of states with two batches of 8,192 tokens in flight: 7,194
        (DEEPSEEK_V4_FLASH, (0, 33, 0), 1_002_240, 42_853, 780_765, 5.956769530164026),
        (DEEPSEEK_V4_FLASH, (0, 28, 0), 1_002_240, 42_853, 780_765, 5.956769530164026),
        (DEEPSEEK_V4_FLASH, (0, 26, 0), 1_039_680, 41_310, 842_212, 6.425571628558096),  # 22 windows beside
        (DEEPSEEK_V4_FLASH, (0, 23, 0), 1_039_680, 41_310, 1_555_468, 11.867279517380064),  # one batch in flight
        (DEEPSEEK_V4_FLASH, (0, 22, 1), 1_051_776, 40_835, 1_537_582, 11.730824475725367),  # 22 x 47,808
        (DEEPSEEK_V4_PRO, (0, 33, 0), 1_435_968, 29_909, 544_930, 4.157492354740061),
        (DEEPSEEK_V4_PRO, (0, 28, 0), 1_435_968, 29_909, 544_930, 4.157492354740061),
        (DEEPSEEK_V4_PRO, (0, 26, 0), 1_473_408, 29_149, 584_192, 4.457033639143731),
        (DEEPSEEK_V4_PRO, (0, 22, 1), 1_482_048, 28_979, 1_073_886, 8.19310149844501),  # 31 x 47,808
    ],
)
def test_releases_plan_the_published_models_like_their_own_planners(  # one row's columns
    card: ModelCard, release: Release, block: int, blocks: int, tokens: int, concurrency: float
) -> None:
    found = structure(card, replace(LATEST, release=release))
    plan = found.plan(40 * GIB, 131_072, 8192)
    assert (found.block_bytes, plan.num_blocks, plan.tokens, plan.block_size) == (block, blocks, tokens, 256)
    assert plan.max_concurrency == concurrency
    assert plan.fits


@pytest.mark.parametrize(
    ("card", "release", "longest"),
    [
        (DEEPSEEK_V4_FLASH, (0, 33, 0), 5204),  # one block is held back, and blocks are counted
        (DEEPSEEK_V4_FLASH, (0, 28, 0), 4960),  # tuples are counted: 22 x 47,808 bytes
        (DEEPSEEK_V4_FLASH, (0, 22, 1), 4960),
        (DEEPSEEK_V4_PRO, (0, 33, 0), 3628),
        (DEEPSEEK_V4_PRO, (0, 28, 0), 3520),
    ],
)
def test_the_start_up_check_lets_as_much_pass_as_theirs(card: ModelCard, release: Release, longest: int) -> None:
    found = structure(card, replace(LATEST, release=release))
    assert not found.plan(2 * GIB, 131_072, 8192).fits
    assert int(found.longest(2 * GIB, 131_072, 8192)) == longest


@pytest.mark.parametrize(
    ("card", "blocks"),
    [
        (DEEPSEEK_V4_FLASH, 81_940),  # the stages' widest groups are of 524,160 bytes
        (DEEPSEEK_V4_PRO, 59_747),
    ],
)
def test_stages_share_every_group(card: ModelCard, blocks: int) -> None:
    found = structure(card, replace(LATEST, pipeline_parallel=2))
    assert found.plan(40 * GIB, 131_072, 8192).num_blocks == blocks


def test_the_check_counts_tuples_of_each_stage_to_0_28() -> None:
    found = structure(DEEPSEEK_V4_FLASH, replace(LATEST, release=(0, 28, 0), pipeline_parallel=2))
    assert int(found.longest(2 * GIB, 131_072, 8192)) == 9940


def test_a_stage_without_layers_of_a_group_counts_the_whole_group_to_0_28() -> None:
    card = card_of([*[compressed(4)] * 2, *[compressed(128)] * 2], "DeepseekV4ForCausalLM")
    found = structure(card, replace(LATEST, release=(0, 28, 0), pipeline_parallel=2))
    assert [stage.demand[0][0] for stage in found.stages] == [2 * (37_440 + 8640), 2 * 1728]
    plan = found.plan(10**9, 131_072, 8192)
    assert (plan.num_blocks, plan.tokens) == (10_850, 197_682)  # 92,160 bytes a block, of the first stage
    assert int(found.longest(10**8, 131_072, 8192)) == 2628


@pytest.mark.parametrize(("card", "blocks"), [(DEEPSEEK_V4_FLASH, 46_808), (DEEPSEEK_V4_PRO, 32_661)])
def test_a_narrow_index_leaves_room_for_more_blocks(card: ModelCard, blocks: int) -> None:
    assert structure(card, replace(LATEST, narrow_index=True)).plan(40 * GIB, 131_072, 8192).num_blocks == blocks


def test_one_more_token_takes_its_part_of_the_compressed_pages() -> None:
    # (21 x (37,440 + 8,640) + 20 x 1,728) / 256 = 3,915 bytes
    assert structure(DEEPSEEK_V4_FLASH).token_bytes == 3915


def test_groups_follow_the_ratio_with_the_fewest_layers() -> None:
    card = card_of([*[compressed(1)] * 3, *[compressed(4), compressed(128)] * 8], "DeepseekV4ForCausalLM")
    groups = structure(card).groups
    # 19 windows and 8 of each ratio: 8 rounds them up by 5, 9 by 8 + 3, 10 by 1 + 3 x 2
    assert [len(group.layers) for group in groups] == [24, 7, 6, 6, 16, 8]


def test_the_size_of_groups_rounds_up_by_the_fewest() -> None:
    assert nearest_divisor([43, 21, 20], 21) == 22  # 1 + 1 + 2
    assert nearest_divisor([30, 30], 15) == 30  # nothing either way: the largest
    assert nearest_divisor([4, 3], 9) == 9


@pytest.mark.parametrize(
    ("mixers", "changes", "said"),
    [
        ([compressed(1), compressed(128)], {}, "indexer"),
        ([compressed(1), compressed(128)], {"release": (0, 26, 0)}, "larger than"),
        ([compressed(4)], {"release": (0, 19, 1)}, "0.20"),
        ([compressed(4)], {"hybrid_manager": False}, "hybrid"),
        ([compressed(4)] * 4, {"release": (0, 26, 0), "pipeline_parallel": 2}, "stages"),
        ([compressed(4)], {"context_parallel": 2}, "context parallelism"),
        ([compressed(4)], {"kv_format": "bfloat16"}, "FP8"),
        ([compressed(4)], {"block_size": 64}, "256 tokens"),
        ([replace(compressed(4), head_dim=256)], {}, "512"),
        ([replace(compressed(4), compress_ratio=8)], {}, "ratio 8"),
    ],
)
def test_what_no_release_plans_that_way_is_refused(mixers: list[Mixer], changes: dict[str, object], said: str) -> None:
    assert said in refusal(mixers, replace(LATEST, **changes))  # type: ignore[arg-type]  # a table of fields


def test_states_in_unequal_numbers_are_refused_before_0_29() -> None:
    without = replace(compressed(4), indexer=None)
    assert "unequal" in refusal([compressed(4), without, compressed(128)], replace(LATEST, release=(0, 28, 0)))


def test_models_with_other_caches_stay_refused() -> None:
    card = card_of([compressed(4)], "DeepseekV41ForCausalLM")
    assert isinstance(cache_structure(card, LATEST), Missing)
