"""How many requests of a load are held at once."""

from typing import Any

import numpy as np
import pytest
from tests.support.build import H100, LLAMA, a

from inferplan.api.values import Engine
from inferplan.domain.architecture import Attention, DenseMLP, Layer, LinearAttention
from inferplan.domain.model_card import ModelCard
from inferplan.domain.serving import SettingValue
from inferplan.domain.units import GIB
from inferplan.estimate.cache_room import held_at_once
from inferplan.estimate.memory_estimate import MemoryEstimate, estimate_memory

SIZES = np.array([0.0, 40.0 * GIB, 80.0 * GIB])
FULL = Layer(Attention(32, 8, 128, 128), DenseMLP(14_336))
NEAR = Layer(Attention(32, 8, 128, 128, window=128), DenseMLP(14_336))
STATE = Layer(LinearAttention(16, 32, 128, 128, 4), DenseMLP(14_336))


def held(card: ModelCard, tokens: float, engine: Engine = Engine.VLLM, **settings: SettingValue) -> list[float]:
    version = "0.33.0" if engine is Engine.VLLM else "0.5.18"
    base: dict[str, Any] = {"tensor_parallel_size": 1, "max_model_len": 8192, "kv_cache_dtype": "auto"}
    found = estimate_memory(a.config(engine, version, **(base | settings)), H100, card)
    assert isinstance(found, MemoryEstimate)
    assert found.cache is not None
    return [float(number) for number in held_at_once(found.cache, SIZES, tokens)]


def test_blocks_of_full_attention_are_counted() -> None:
    # 1,000 tokens: 63 blocks of 16 x 131,072 bytes, 132,120,576; 40 GiB / that = 325.08.
    assert held(LLAMA, 1000.0) == pytest.approx([0.0, 325.08, 650.16], rel=1e-4)


def test_a_number_of_blocks_that_is_set_is_what_there_is() -> None:
    assert held(LLAMA, 1000.0, num_gpu_blocks_override=630) == pytest.approx([10.0, 10.0, 10.0])


def test_a_window_holds_its_last_tokens_however_long_a_prompts_chunk_is() -> None:
    card = a.model(layers=(FULL, NEAR) * 16)
    few, many = (held(card, 8000.0, max_num_batched_tokens=tokens)[1] for tokens in (2048, 16_384))
    assert few == many
    assert many > 1.7 * held(LLAMA, 8000.0)[1]  # half of the layers hold next to nothing


@pytest.mark.parametrize("engine", [Engine.VLLM, Engine.SGLANG])
def test_states_take_as_much_of_short_requests_as_of_long_ones(engine: Engine) -> None:
    card = a.model(layers=(FULL, STATE, STATE, STATE) * 8)
    short, long = held(card, 16.0, engine)[1], held(card, 1000.0, engine)[1]
    assert short < 5.0 * long  # 62 times as many tokens each


def test_sglangs_pool_is_tokens() -> None:
    # 40 GiB / 131,072 bytes = 327,680 tokens
    assert held(LLAMA, 1000.0, Engine.SGLANG) == pytest.approx([0.0, 327.68, 655.36], rel=1e-3)
