"""Memory arithmetic against values worked by hand and against vLLM's own planner (engine-facts section 3b)."""

from typing import Any

import pytest
from tests.support.build import LLAMA, a

from inferplan.estimate.memory import (
    batch_cost,
    fixing_key,
    fp8_weight_savings_bytes,
    graph_limit,
    graph_sizes,
    kv_bytes,
    kv_bytes_per_token,
    least_kv_bytes,
    parameter_count,
    running_bits,
    single_engine_ranks,
    weight_bytes,
)

QWEN3_8B = a.model(
    architecture="Qwen3ForCausalLM",
    num_layers=36,
    intermediate_size=12_288,
    vocab_size=151_936,
    max_position_embeddings=40_960,
)
SINGLE: dict[str, Any] = {"tensor_parallel_size": 1, "pipeline_parallel_size": 1, "kv_cache_dtype": "auto"}


def test_llama_3_1_8b_has_its_published_parameters() -> None:
    linear, other = parameter_count(LLAMA)
    assert linear == 6_979_321_856  # 32 x (4096 x 6144 + 4096 x 4096 + 3 x 4096 x 14336)
    assert other == 1_050_939_392  # 2 x 128256 x 4096 + 4096 x 65
    assert linear + other == 8_030_261_248
    assert weight_bytes(LLAMA, 1) == 16_060_522_496
    assert weight_bytes(LLAMA, 2) == 8_030_261_248


def test_tied_embeddings_count_once() -> None:
    assert parameter_count(a.model(tied_embeddings=True))[1] == 525_602_816  # 128256 x 4096 + 4096 x 65


def test_qwen3_8b_takes_147456_bytes_per_token() -> None:
    assert kv_bytes_per_token(QWEN3_8B, "auto", 1) == 147_456  # 36 x 2 x 8 x 128 x 2
    assert kv_bytes_per_token(QWEN3_8B, "fp8", 1) == 73_728
    assert kv_bytes_per_token(QWEN3_8B, "auto", 4) == 36_864
    assert kv_bytes_per_token(QWEN3_8B, "auto", 16) == 18_432  # one KV head each, replicated
    assert kv_bytes_per_token(QWEN3_8B, "nvfp4", 1) is None
    assert 40 * 2**30 // (147_456 * 16) * 16 == 291_264  # 40 GiB: vLLM's planner gives 291,264 tokens


def test_a_float32_checkpoint_runs_in_16_bits_unless_told_otherwise() -> None:
    published = a.model(weight_bits=32)
    assert kv_bytes_per_token(published, "auto", 1) == 131_072  # 32 x 2 x 8 x 128 x 2
    assert running_bits(a.config(), published) == 16
    assert running_bits(a.config(dtype="auto"), published) == 16
    assert running_bits(a.config(dtype="float32"), published) == 32
    assert running_bits(a.config(dtype="half"), LLAMA) == 16
    assert running_bits(a.config(dtype="fp4"), LLAMA) is None


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({}, 131_072),
        ({"dtype": "float32"}, 262_144),
        ({"kv_cache_dtype": "fp8"}, 65_536),
        ({"tensor_parallel_size": 2}, 65_536),
        ({"data_parallel_size": 1}, 131_072),
        ({"data_parallel_size": 2}, None),
        ({"pipeline_parallel_size": 2}, None),
        ({"pipeline_parallel_size": None}, None),
        ({"tensor_parallel_size": None}, None),
        ({"tensor_parallel_size": 0}, None),
        ({"kv_cache_dtype": None}, None),
        ({"kv_cache_dtype": "nvfp4"}, None),
        ({"dtype": "fp4"}, None),
    ],
)
def test_bytes_per_token_follow_layout_and_format(settings: dict[str, Any], size: int | None) -> None:
    assert kv_bytes(a.config(**{**SINGLE, **settings}), LLAMA) == size
    assert least_kv_bytes(a.config(**{**SINGLE, **settings}), LLAMA) == size


def test_a_quantized_checkpoint_may_bring_its_own_kv_format() -> None:
    model = a.model(quantization_method="awq")
    assert kv_bytes(a.config(**SINGLE), model) is None
    assert least_kv_bytes(a.config(**SINGLE), model) == 65_536  # 32 x 2 x 8 x 128 x 1
    assert least_kv_bytes(a.config(**{**SINGLE, "kv_cache_dtype": "fp8"}), model) == 65_536
    assert least_kv_bytes(a.config(), model) is None


def test_only_tensor_parallelism_alone_is_sized() -> None:
    assert single_engine_ranks(a.config(**{**SINGLE, "tensor_parallel_size": 4})) == 4
    assert single_engine_ranks(a.config()) is None


def test_the_key_that_fixes_the_cache_is_named() -> None:
    assert fixing_key(a.config(num_gpu_blocks_override=100)) == "num_gpu_blocks_override"
    assert fixing_key(a.config(kv_cache_memory_bytes=10)) == "kv_cache_memory_bytes"
    assert fixing_key(a.config()) is None


def test_fp8_linear_layers_free_a_byte_each() -> None:
    assert fp8_weight_savings_bytes(LLAMA, 1) == 6_979_321_856
    assert fp8_weight_savings_bytes(LLAMA, 2) == 3_489_660_928


@pytest.mark.parametrize(
    ("sequences", "limit", "count"),
    [
        (1, 512, 2),  # 1, 2
        (32, 512, 11),  # 1, 2, 4 and 8 … 64
        (64, 512, 19),  # 8 more
        (256, 512, 51),  # 3 + 32 + 16
        (1024, 512, 51),
        (512, 1024, 83),  # 51 + (1024 - 512) / 16
    ],
)
def test_graph_sizes_are_vllms(sequences: int, limit: int, count: int) -> None:
    assert graph_sizes(sequences, limit) == count


@pytest.mark.parametrize(
    ("capability", "limit"), [(90, 512), (89, 512), (120, 512), (100, 1024), (103, 1024), (None, 1024)]
)
def test_sm100_captures_larger_graphs(capability: int | None, limit: int) -> None:
    assert graph_limit(capability) == limit


def test_a_larger_batch_costs_sampler_and_graphs() -> None:
    cost = batch_cost(LLAMA, 32, 64)
    assert cost.sampler_bytes == 164_167_680  # 32 x 128256 x 40
    assert cost.graph_bytes == 251_658_240  # 8 x 30 MiB
    assert cost.total_bytes == 415_825_920
    assert batch_cost(LLAMA, 64, 32).total_bytes == 0
