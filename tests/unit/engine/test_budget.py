"""Memory before and after, and the gate."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.build import H100, a, an
from tests.support.levers import without_a_sized_cache

from inferplan.api.plan import MemoryBudget, MemoryState
from inferplan.api.values import ConfigChange, Source
from inferplan.dialects.effective import effective
from inferplan.domain.observation import NO_MODEL_CONFIG, Observation
from inferplan.domain.serving import SettingValue
from inferplan.engine.budget import holds_one_request, looked_at, may_take_memory, memory_budget, moves

WEIGHTS = 16_094_076_928  # 8,030,261,248 x 2, and the rotary table: 131,072 x 128 x 2
BLOCK = 16 * 131_072
UNMEASURED: dict[str, Any] = {"load": {"kv_cache_tokens": None}}


def budget(observation: Observation, **changes: SettingValue) -> MemoryBudget | None:
    return memory_budget(observation, looked_at(observation, of(changes)))


def gate(observation: Observation, *, unsized_passes: bool = False, **changes: SettingValue) -> str | None:
    after = looked_at(observation, of(changes))
    return holds_one_request(observation, after, unsized_passes=unsized_passes)


def of(changes: dict[str, SettingValue]) -> tuple[ConfigChange, ...]:
    return tuple(ConfigChange(parameter=key, recommended_value=value, reason="test") for key, value in changes.items())


def sizes(state: MemoryState) -> dict[str, int]:
    return {term.name: term.bytes for term in state.terms}


def test_a_larger_batch_takes_its_graphs_from_the_cache() -> None:
    result = budget(an.observation(), max_batch_size=64)
    assert result is not None
    before, after = sizes(result.before), sizes(result.after)
    assert result.before.total_bytes == result.after.total_bytes == 78_152_424_489  # 81,011 MiB x 0.92
    assert before["weights"] == after["weights"] == WEIGHTS
    # 18 graphs become 30 (sizes to 128, and whole ones to 64): 12 x 32 layers x 240 KiB
    assert after["cuda_graphs"] - before["cuda_graphs"] == 12 * 32 * 240 * 1024
    # half a block more than the 400,000 tokens that were measured; after: 400,008 - 94,371,840 / 131,072 = 399,288
    assert before["kv_cache"] == 400_000 * 131_072 + BLOCK // 2
    assert (result.before.kv_cache_tokens, result.after.kv_cache_tokens) == (400_000, 399_280)


@pytest.mark.parametrize("changes", [{"max_batch_size": 64}, {"kv_cache_dtype": "fp8"}, {"quantization": "fp8"}])
def test_the_terms_sum_to_the_total(changes: dict[str, Any]) -> None:
    result = budget(an.observation(), **changes)
    assert result is not None
    for state in (result.before, result.after):
        assert sum(sizes(state).values()) == state.total_bytes


def test_what_was_measured_and_not_explained_is_carried_over() -> None:
    result = budget(an.observation(), gpu_memory_utilization=0.9)
    assert result is not None
    before, after = result.before, result.after
    assert sizes(before)["measured_difference"] == sizes(after)["measured_difference"]
    # 0.02 x 81,011 MiB = 1,698,966,241 bytes less: 810.1 blocks
    assert before.kv_cache_tokens - after.kv_cache_tokens == 810 * 16
    sources = [{term.name: term.source for term in state.terms}["kv_cache"] for state in (before, after)]
    assert sources == [Source.MEASURED_HERE, Source.CALIBRATED_HERE]


def test_an_fp8_cache_holds_twice_the_tokens_in_the_same_bytes() -> None:
    result = budget(an.observation(), kv_cache_dtype="fp8")
    assert result is not None
    assert result.after.kv_cache_tokens == 800_016  # half a block of 16-bit values is a whole one of fp8
    assert sizes(result.after)["kv_cache"] == sizes(result.before)["kv_cache"]


def test_smaller_weights_go_to_the_cache() -> None:
    result = budget(an.observation(), quantization="fp8_per_tensor")
    assert result is not None
    assert sizes(result.after)["weights"] == 9_114_820_608  # one byte less for each of 6,979,321,856, and scales
    assert result.after.kv_cache_tokens == 453_248


def test_without_a_measured_cache_the_arithmetic_alone_is_printed() -> None:
    result = budget(an.observation(**UNMEASURED), max_batch_size=64)
    assert result is not None
    assert "measured_difference" not in sizes(result.before)
    assert {term.source for term in result.before.terms} == {Source.ROOFLINE, Source.MEASURED_ELSEWHERE}


@pytest.mark.parametrize(
    "changes",
    [
        {"model": NO_MODEL_CONFIG},
        {"accelerator": replace(H100, memory_mib=None)},
        {"drop": ("gpu_memory_utilization",)},
        {"drop": ("tensor_parallel_size",)},
        {"drop": ("quantization",)},
        {"drop": ("kv_cache_dtype",)},
        {"settings": {"quantization": "somehow"}},
        {"load": {"kv_cache_tokens": 10**7}},  # more than the GPU has: model and measurement contradict each other
    ],
)
def test_a_term_without_a_basis_gives_no_budget(changes: dict[str, Any]) -> None:
    assert budget(an.observation(**changes), max_batch_size=64) is None


def test_a_cache_of_fixed_size_is_what_is_stated() -> None:
    result = budget(an.observation(settings={"kv_cache_memory_bytes": 10**10}), max_batch_size=64)
    assert result is not None
    assert sizes(result.before)["kv_cache"] == sizes(result.after)["kv_cache"] == 10**10


def test_no_budget_where_the_change_cannot_be_sized() -> None:
    assert budget(an.observation(), quantization="somehow") is None


def test_one_request_must_still_fit_at_the_low_end() -> None:
    # 0.25 x 81,011 MiB less weights, activations, graphs and the measured difference: nothing is left
    refusal = gate(an.observation(), gpu_memory_utilization=0.25)
    assert (
        refusal
        == "the KV cache would hold 0 tokens at the low end, one request of max_model_len may not fit (0.00 of it do)"
    )
    assert gate(an.observation(), max_batch_size=64) is None
    assert gate(an.observation(), max_model_len=131_072) is None
    assert gate(an.observation(settings={"max_model_len": 131_072}), gpu_memory_utilization=0.4) is not None


def test_without_a_measured_cache_the_interval_is_wider() -> None:
    observation = an.observation(**UNMEASURED, settings={"max_model_len": 131_072, "max_batch_size": 4})
    assert gate(observation, gpu_memory_utilization=0.5) is None
    assert gate(observation, gpu_memory_utilization=0.408) is not None  # expected 1.02 requests, 0.99 at the low end


def test_what_frees_memory_passes_however_small_the_cache_is() -> None:
    small = an.observation(**UNMEASURED, settings={"gpu_memory_utilization": 0.25, "max_model_len": 131_072})
    assert gate(small, kv_cache_dtype="fp8") is None
    assert gate(small, quantization="fp8_per_tensor") is None
    assert gate(small) is None


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({"max_batch_size": 64}, False),
        ({"max_batch_size": 16}, True),
        ({"gpu_memory_utilization": 0.8}, False),
        ({"gpu_memory_utilization": 0.95}, True),
        ({"kv_cache_dtype": "fp8"}, True),
        ({"enforce_eager": True}, False),
        ({"async_scheduling": False}, True),
    ],
)
def test_of_what_cannot_be_sized_only_what_takes_no_memory_passes(changes: dict[str, Any], passes: bool) -> None:
    unknown = an.observation(model=NO_MODEL_CONFIG)
    assert (gate(unknown, **changes) is None) is passes
    assert gate(unknown, unsized_passes=True, **changes) is None


@pytest.mark.parametrize(
    ("key", "value", "passes"),
    [
        ("num_gpu_blocks_override", None, True),
        ("kv_cache_memory_bytes", None, False),  # it may be more than the share leaves
        *(
            (key, value, value > 1000)
            for key in ("num_gpu_blocks_override", "kv_cache_memory_bytes")
            for value in (999, 1001)
        ),
    ],
)
def test_a_flag_that_fixes_the_cache_may_rise_and_a_number_of_blocks_may_go(
    key: str, value: int | None, *, passes: bool
) -> None:
    unknown = an.observation(model=NO_MODEL_CONFIG, settings={key: 1000})
    change = ConfigChange(parameter=key, recommended_value=value, removes_flag=value is None, reason="test")
    refusal = holds_one_request(unknown, looked_at(unknown, (change,)))
    assert (refusal is None) is passes


@pytest.mark.parametrize(
    ("drop", "changes"),
    [
        ("tensor_parallel_size", {}),
        ("kv_cache_dtype", {}),
        ("gpu_memory_utilization", UNMEASURED),
        ("quantization", UNMEASURED),
    ],
)
def test_an_unknown_layout_is_not_proven(drop: str, changes: dict[str, Any]) -> None:
    refusal = gate(an.observation(drop=(drop,), **changes), max_batch_size=64)
    assert refusal == f"it cannot be shown that the change fits into GPU memory: {drop} is not known"


@pytest.mark.parametrize("drop", ["gpu_memory_utilization", "quantization"])
def test_a_measured_cache_makes_up_for_settings_that_stay_unknown(drop: str) -> None:
    assert gate(an.observation(drop=(drop,)), max_batch_size=64) is None
    tight = an.observation(drop=(drop,), load={"kv_cache_tokens": 8300.0})
    assert gate(tight, max_batch_size=64) is not None


def test_contradicting_numbers_prove_nothing() -> None:
    full = an.observation(load={"kv_cache_tokens": 10**7})
    assert "they contradict" in (gate(full, max_batch_size=64) or "")
    assert gate(full, kv_cache_dtype="fp8") is None


def test_what_else_holds_memory_keeps_holding_it() -> None:
    crowded = an.observation(load={"kv_cache_tokens": 8500.0})  # 55 GiB that nothing explains
    result = budget(crowded, quantization="fp8_per_tensor")
    assert result is not None
    assert (result.before.kv_cache_tokens, result.after.kv_cache_tokens) == (8496, 61_744)  # 53,247.5 more
    assert gate(crowded, gpu_memory_utilization=0.91) is not None


def test_a_measured_cache_makes_up_for_an_unknown_gpu() -> None:
    unknown = an.observation(accelerator=replace(H100, memory_mib=None))
    assert budget(unknown, max_batch_size=64) is None
    assert gate(unknown, max_batch_size=64) is None
    assert gate(replace(unknown, metrics=an.observation(**UNMEASURED).metrics), max_batch_size=64) is not None
    assert gate(unknown, gpu_memory_utilization=0.5) is not None  # half of what, nobody knows
    tight = replace(unknown, metrics=an.observation(load={"kv_cache_tokens": 8300.0}).metrics)
    assert gate(tight, max_batch_size=64) is not None


def test_a_change_without_a_value_changes_nothing() -> None:
    seen = an.observation()
    assert looked_at(seen, (ConfigChange(parameter="dtype", reason="test"),)) == seen.config


def test_a_flag_that_is_taken_out_leaves_nothing_known_behind() -> None:
    seen = an.observation(settings={"swap_space": 4})
    gone = (
        ConfigChange(parameter="swap_space", current_value=4, removes_flag=True, reason="test"),
        ConfigChange(parameter="never_given", removes_flag=True, reason="test"),
    )
    after = looked_at(seen, gone)
    assert seen.config.settings.keys() - after.settings.keys() == {"swap_space"}


def test_the_cache_of_several_ranks_is_not_taken_for_one() -> None:
    ranks = an.observation(settings={"data_parallel_size": 2}, load={"kv_cache_tokens": 800_000.0})
    result = budget(ranks, max_batch_size=64)
    assert result is not None
    assert "measured_difference" not in sizes(result.before)


def test_a_model_of_float32_runs_in_16_bits() -> None:
    result = budget(an.observation(model=a.model(weight_bits=32)), max_batch_size=64)
    assert result is not None
    assert sizes(result.before)["weights"] == WEIGHTS


NO_CACHE: dict[str, float | None] = {"kv_cache_tokens": None}


def test_a_cache_that_cannot_be_sized_gives_no_budget_and_bars_what_may_take_memory() -> None:
    observation = without_a_sized_cache(load=NO_CACHE)
    assert budget(observation, max_batch_size=64) is None
    refusal = gate(observation, max_batch_size=64)
    assert refusal is not None
    assert refusal.startswith("the KV cache cannot be sized: ")
    assert gate(observation, max_batch_size=16) is None


def test_a_sizing_setting_that_is_no_number_may_take_memory() -> None:
    assert gate(without_a_sized_cache(load=NO_CACHE), speculative_config='{"method": "ngram"}') is not None


def test_what_follows_from_a_change_is_in_the_memory_that_it_takes() -> None:
    """Without chunked prefill vLLM takes max_model_len tokens a step, and activations grow with them."""
    whole = an.observation(config=effective(a.config(max_model_len=65_536, enable_chunked_prefill=False), H100))
    after = looked_at(whole, (ConfigChange(parameter="enable_chunked_prefill", removes_flag=True, reason="test"),))
    moved = {key: (old, new) for key, old, new in moves(whole.config, after)}
    assert moved["max_num_batched_tokens"] == (65_536, 8192)
    result = memory_budget(whole, after)
    assert result is not None
    assert sizes(result.after)["activations"] < sizes(result.before)["activations"]
    assert may_take_memory(after.settings, whole.config.settings)


def test_the_blocks_of_another_format_take_no_memory() -> None:
    seen = an.observation()
    after = looked_at(seen, of({"kv_cache_dtype": "fp8"}))
    assert (seen.config.value("block_size"), after.value("block_size")) == (16, None)
    assert not may_take_memory(seen.config.settings, after.settings)
