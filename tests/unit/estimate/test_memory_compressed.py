"""Whole estimates of DeepSeek-V4-Flash against what public reports say of its cache."""

from typing import Any

import pytest
from tests.support.build import a
from tests.support.models import card_of

from inferplan.api.values import Engine
from inferplan.dialects.effective import effective
from inferplan.domain.hardware import from_catalogue
from inferplan.domain.model_catalogue import known_model
from inferplan.domain.units import GIB
from inferplan.estimate.memory_estimate import MemoryEstimate, estimate_memory
from inferplan.estimate.result import Interval

FLASH = "deepseek-ai/DeepSeek-V4-Flash"


def sized(version: str, product: str, count: int, **settings: Any) -> MemoryEstimate:
    known = known_model(FLASH)
    assert known is not None
    card, accelerator = card_of(known.config), from_catalogue(product, count)
    stated = {"kv_cache_dtype": "fp8", "block_size": 256, "enable_expert_parallel": True, **settings}
    config = effective(a.config(Engine.VLLM, version, **stated), accelerator, model=card)
    found = estimate_memory(config, accelerator, card)
    assert isinstance(found, MemoryEstimate), found
    return found


@pytest.mark.parametrize(
    ("ranks", "told"),
    [
        # eight B200, 1,048,576 tokens at most, 0.95 of the memory, 8,192 tokens at once (vllm-project/recipes 762)
        ({"tensor_parallel_size": 8}, 20.43),
        ({"tensor_parallel_size": 1, "data_parallel_size": 8}, 156.9 / 8),
    ],
)
def test_eight_b200_hold_as_many_requests_as_reported(ranks: dict[str, int], told: float) -> None:
    limits = {"max_model_len": 1_048_576, "max_num_batched_tokens": 8192, "max_batch_size": 256}
    found = sized("0.25.0", "NVIDIA-B200", 8, gpu_memory_utilization=0.95, **limits, **ranks)
    concurrency = found.max_concurrency
    assert isinstance(concurrency, Interval)
    assert concurrency.low < told < concurrency.high
    assert concurrency.expected == pytest.approx(told, rel=0.03)


def test_two_gh200_have_as_little_left_as_reported() -> None:
    # 5.44 GiB for the cache, of which a request of 30,000 tokens takes 6.66 (vllm issue 44376)
    limits = {"max_model_len": 30_000, "max_num_batched_tokens": 16_384, "max_batch_size": 1024}
    found = sized("0.22.1", "NVIDIA-GH200-96GB", 2, tensor_parallel_size=2, gpu_memory_utilization=0.95, **limits)
    assert found.kv_cache_bytes.low < 5.44 * GIB < found.kv_cache_bytes.high
    assert not found.surely_fits
