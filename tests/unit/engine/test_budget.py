"""Memory before and after, and the gate."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.build import H100, a, an

from inferplan.api.plan import MemoryBudget
from inferplan.api.values import ConfigChange
from inferplan.domain.observation import NO_MODEL_CONFIG, Observation
from inferplan.domain.serving import SettingValue
from inferplan.engine.budget import after_changes, holds_one_request, memory_budget


def budget(observation: Observation, **changes: SettingValue) -> MemoryBudget | None:
    return memory_budget(observation, after_changes(observation.config, of(changes)))


def gate(observation: Observation, **changes: SettingValue) -> str | None:
    return holds_one_request(observation, after_changes(observation.config, of(changes)))


def of(changes: dict[str, SettingValue]) -> tuple[ConfigChange, ...]:
    return tuple(ConfigChange(parameter=key, recommended_value=value, reason="test") for key, value in changes.items())


def test_a_larger_batch_takes_its_margin_from_the_cache() -> None:
    result = budget(an.observation(), max_batch_size=64)
    assert result is not None
    before, after = result.before, result.after
    assert before.total_bytes == 78_679_145_185  # 81,559 MiB x 2^20 x 0.92
    assert [term.bytes for term in before.terms] == [16_060_522_496, 52_428_800_000, 10_189_822_689]
    # 400,000 - 415,825,920 / 131,072 = 396,827.5, so 396,827 tokens
    assert [term.bytes for term in after.terms] == [16_060_522_496, 52_012_908_544, 415_825_920, 10_189_888_225]
    assert after.kv_cache_tokens == 396_827


def test_an_fp8_cache_holds_twice_the_tokens_in_the_same_bytes() -> None:
    result = budget(an.observation(), kv_cache_dtype="fp8")
    assert result is not None
    assert (result.after.kv_cache_tokens, result.after.terms[1].bytes) == (800_000, 52_428_800_000)


def test_smaller_weights_go_to_the_cache() -> None:
    result = budget(an.observation(), quantization="fp8_per_tensor")
    assert result is not None
    assert result.after.terms[0].bytes == 9_081_200_640  # 16,060,522,496 - 6,979,321,856
    assert result.after.kv_cache_tokens == 453_248


@pytest.mark.parametrize(
    "changes",
    [
        {"model": NO_MODEL_CONFIG},
        {"load": {"kv_cache_tokens": None}},
        {"accelerator": replace(H100, memory_mib=None)},
        {"drop": ("gpu_memory_utilization",)},
        {"drop": ("tensor_parallel_size",)},
        {"drop": ("quantization",)},
        {"drop": ("kv_cache_dtype",)},
        {"settings": {"quantization": "awq"}},
        {"settings": {"kv_cache_memory_bytes": 10**10}},
        {"settings": {"pipeline_parallel_size": 2}},
        {"model": a.model(quantization_method="awq")},
        {"model": a.model(weight_bits=32)},  # runs in 16 bits: the weights are not as published
        {"load": {"kv_cache_tokens": 10**7}},  # more than the GPU has: model and measurement contradict each other
    ],
)
def test_a_term_without_a_basis_gives_no_budget(changes: dict[str, Any]) -> None:
    assert budget(an.observation(**changes), max_batch_size=64) is None


def test_no_budget_where_the_change_cannot_be_sized() -> None:
    assert budget(an.observation(), kv_cache_dtype="nvfp4") is None
    assert budget(an.observation(load={"kv_cache_tokens": 100.0}), max_batch_size=64) is None  # below zero


def test_one_request_must_still_fit() -> None:
    assert gate(an.observation(), max_batch_size=64) is None
    tight = an.observation(load={"kv_cache_tokens": 10_000.0})  # 10,000 - 3,172.5 = 6,827 < 8,192
    assert gate(tight, max_batch_size=64) == "the KV cache would hold 6,827 tokens, one request may need 8,192"
    full = an.observation(load={"kv_cache_tokens": 100.0})
    assert gate(full, max_batch_size=64) == "the KV cache would hold 0 tokens, one request may need 8,192"


def test_the_models_own_length_counts_where_none_is_set() -> None:
    tight = an.observation(load={"kv_cache_tokens": 100_000.0}, drop=("max_model_len",))
    assert gate(tight, max_batch_size=64) == "the KV cache would hold 96,827 tokens, one request may need 131,072"
    automatic = an.observation(load={"kv_cache_tokens": 100_000.0}, settings={"max_model_len": "auto"})
    assert gate(automatic, max_batch_size=64) is not None
    unknown = an.observation(drop=("max_model_len",), model=a.model(max_position_embeddings=None))
    assert gate(unknown, max_batch_size=64) == (
        "max_model_len or the KV cache's size is not known, so one request may not fit"
    )


def test_what_takes_nothing_from_the_cache_passes() -> None:
    small = an.observation(load={"kv_cache_tokens": 100.0})
    assert gate(small, kv_cache_dtype="fp8") is None
    assert gate(small, quantization="fp8_per_tensor") is None
    assert gate(small) is None


def test_nothing_known_is_nothing_to_compare_with() -> None:
    assert gate(an.observation(model=NO_MODEL_CONFIG), max_batch_size=64) is None
    assert gate(an.observation(load={"kv_cache_tokens": None}), max_batch_size=64) is None


@pytest.mark.parametrize("drop", ["tensor_parallel_size", "kv_cache_dtype"])
def test_an_unknown_layout_is_not_proven(drop: str) -> None:
    assert gate(an.observation(drop=(drop,)), max_batch_size=64) is not None


def test_a_change_without_a_value_changes_nothing() -> None:
    config = an.observation().config
    assert after_changes(config, (ConfigChange(parameter="dtype", reason="test"),)) == config


def test_an_unknown_cap_costs_nothing_that_could_be_counted() -> None:
    result = budget(an.observation(drop=("max_batch_size",)), quantization="fp8_per_tensor")
    assert result is not None
    assert result.after.terms[2].bytes == 0


def test_a_flag_that_is_taken_out_leaves_nothing_known_behind() -> None:
    config = an.observation(settings={"swap_space": 4}).config
    gone = (
        ConfigChange(parameter="swap_space", current_value=4, removes_flag=True, reason="test"),
        ConfigChange(parameter="never_given", removes_flag=True, reason="test"),
    )
    after = after_changes(config, gone)
    assert config.settings.keys() - after.settings.keys() == {"swap_space"}
