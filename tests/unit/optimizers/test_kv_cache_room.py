"""Memory for the KV cache: how high the engine's share may go, and caches that a flag holds small."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.build import H100, LLAMA, a, an

from inferplan.api.reasons import Reason
from inferplan.api.values import Confidence, Engine, ImpactLevel, Optimization
from inferplan.diagnose.bottlenecks import diagnose
from inferplan.dialects.effective import effective
from inferplan.domain.hardware import UNKNOWN_ACCELERATOR, Accelerator, from_catalogue
from inferplan.domain.lever import Option
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import NO_MODEL_CONFIG, Observation
from inferplan.domain.serving import ServingConfig, SettingValue
from inferplan.domain.units import GIB
from inferplan.optimizers.kv_cache_pressure import pressure_on
from inferplan.optimizers.kv_cache_room import room_options
from inferplan.optimizers.kv_cache_share import SHARE_MOST, Ceiling, ceiling

FULL = {"kv_cache_usage": 0.99, "num_requests_running": 20.0, "preemptions_per_second": 0.5}
NEARLY = {"kv_cache_usage": 0.8, "num_requests_running": 20.0, "num_requests_waiting": 0.0}
L4 = from_catalogue("NVIDIA-L4", 1)
T4 = from_catalogue("Tesla-T4", 1)
KEY = "gpu_memory_utilization"


def vllm(accelerator: Accelerator = H100, version: str = "0.33.0", **settings: SettingValue) -> ServingConfig:
    base: dict[str, Any] = {"max_batch_size": 32, "max_model_len": 8192}
    return effective(a.config(version=version, **{**base, **settings}), accelerator)


def sglang(**settings: SettingValue) -> ServingConfig:
    return effective(a.config(Engine.SGLANG, "0.5.23", max_batch_size=32, **settings), H100)


def found(load: dict[str, float] | None = None, **changes: Any) -> tuple[Option, ...] | Optimization | Missing:
    observation: Observation = an.observation(load={"kv_cache_tokens": None, **(load or FULL)}, **changes)
    pressure = pressure_on(observation, diagnose(observation))
    assert pressure is not None
    return room_options(observation, pressure)


def offered(load: dict[str, float] | None = None, **changes: Any) -> tuple[Option, ...]:
    options = found(load, **changes)
    assert isinstance(options, tuple), options
    return options


def refused(load: dict[str, float] | None = None, **changes: Any) -> Missing:
    answer = found(load, **changes)
    assert isinstance(answer, Missing), answer
    return answer


def values(options: tuple[Option, ...]) -> list[Any]:
    return [option.changes[0].recommended_value for option in options]


def top(**changes: Any) -> Ceiling:
    answer = ceiling(an.observation(**changes))
    assert isinstance(answer, Ceiling), answer
    return answer


def test_higher_shares_are_tried_up_to_the_safe_one() -> None:
    options = offered(settings={KEY: 0.83})
    assert values(options) == [0.85, 0.9, 0.92, 0.95]
    (change,) = options[0].changes
    assert (change.flag, change.current_value) == ("--gpu-memory-utilization", 0.83)
    assert change.evidence[0].query == "vllm:kv_cache_usage"
    assert change.evidence[-1].value == SHARE_MOST
    assert options[0].title == "Raise --gpu-memory-utilization from 0.83 to 0.85"
    assert "Nothing else lives on the GPU" in options[0].prerequisites[0]


def test_a_rise_below_a_hundredth_is_none() -> None:
    assert values(offered(settings={KEY: 0.84})) == [0.85, 0.9, 0.92, 0.95]
    assert values(offered(settings={KEY: 0.845})) == [0.9, 0.92, 0.95]
    assert refused(settings={KEY: 0.945}).code is Reason.ALREADY_SET
    assert "0.95 is as much as is safe" in refused(settings={KEY: 0.97}).reason


def test_the_share_never_passes_the_most_that_is_offered() -> None:
    assert top() == Ceiling(0.95, top().basis)
    assert "no more than 0.95 is ever offered" in top().basis


def test_on_a_small_gpu_the_context_counts() -> None:
    small = top(accelerator=T4, config=vllm(T4), model=replace(LLAMA, layers=LLAMA.layers[:4]))
    assert small.share == 0.93  # 1 - 0.8 / 14.6 - 0.01
    assert "0.80 GiB for CUDA and" in small.basis


def test_graphs_beyond_the_share_lower_it_however_many_sequences_run_today() -> None:
    few = top(accelerator=L4, config=vllm(L4, "0.19.1", max_batch_size=8))
    many = top(accelerator=L4, config=vllm(L4, "0.19.1", max_batch_size=512))
    assert few.share == many.share == 0.88
    assert "for CUDA graphs" in few.basis
    assert top(accelerator=L4, config=vllm(L4, "0.33.0")).share == 0.95  # they count within the share since 0.20.2


def test_ranks_that_talk_take_more() -> None:
    pair = replace(T4, count=2)
    two = vllm(T4, tensor_parallel_size=2)
    assert top(accelerator=pair, config=two, model=replace(LLAMA, layers=LLAMA.layers[:4])).share == 0.86


def test_what_was_promised_lies_within_the_gpu() -> None:
    for config in (vllm(L4, "0.19.1"), vllm(L4)):
        share = top(accelerator=L4, config=config).share
        assert L4.usable_mib is not None
        assert (1 - share) * L4.usable_mib / 1024 >= 0.8


def test_sglangs_own_arithmetic_is_its_ceiling() -> None:
    options = offered(config=sglang(gpu_memory_utilization=0.7))
    assert values(options) == [0.8, 0.83]
    assert options[0].changes[0].flag == "--mem-fraction-static"
    assert "SGLang's own arithmetic gives 0.83" in str(options[0].changes[0].evidence[-1].formula)


def test_what_sglang_chooses_itself_is_left_to_it() -> None:
    unset = sglang()
    assert refused(config=unset).code is Reason.SETTING_UNKNOWN
    assert refused(config=replace(unset, complete=True)).code is Reason.ALREADY_SET


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"accelerator": replace(H100, shared=True)}, Reason.MEMORY_UNPROVEN),
        ({"drop": (KEY,)}, Reason.SETTING_UNKNOWN),
        ({"model": NO_MODEL_CONFIG}, Reason.MODEL_CONFIG_MISSING),
        ({"accelerator": UNKNOWN_ACCELERATOR}, Reason.ACCELERATOR_UNKNOWN),
    ],
)
def test_where_the_rest_of_the_gpu_is_not_known_no_share_is_offered(changes: dict[str, Any], code: Reason) -> None:
    assert refused(**changes).code is code


def test_a_cache_pinned_in_bytes_may_be_what_the_share_would_leave() -> None:
    (option,) = offered(settings={"kv_cache_memory_bytes": 3 * GIB})
    (change,) = option.changes
    assert (change.parameter, change.current_value) == ("kv_cache_memory_bytes", 3 * GIB)
    assert isinstance(change.recommended_value, int)
    assert change.recommended_value % (256 * 2**20) == 0
    assert 50 * GIB < change.recommended_value < 58 * GIB  # 0.92 x 79.1 less 15 of weights, 1 to 2 of activations
    assert option.title.startswith("Raise kv_cache_memory_bytes from 3.00 GiB to 5")


def test_one_that_is_as_large_as_memory_is_left_alone() -> None:
    assert "fixes the KV cache at 55.00 GiB" in refused(settings={"kv_cache_memory_bytes": 55 * GIB}).reason


def test_an_override_of_blocks_is_taken_out() -> None:
    (option,) = offered(settings={"num_gpu_blocks_override": 64})
    (change,) = option.changes
    assert (change.parameter, change.current_value, change.removes_flag) == ("num_gpu_blocks_override", 64, True)
    assert change.recommended_value is None
    assert isinstance(change.evidence[-1].value, int)
    assert change.evidence[-1].value > 400_000
    assert "test preemption" in option.description


def test_an_override_that_is_as_large_as_memory_is_left_alone() -> None:
    why = refused(settings={"num_gpu_blocks_override": 28_000})  # 448,000 tokens
    assert (why.code, "448,000 tokens" in why.reason) == (Reason.ALREADY_SET, True)


def test_with_both_the_override_goes_first() -> None:
    both: dict[str, SettingValue] = {"num_gpu_blocks_override": 64, "kv_cache_memory_bytes": 3 * GIB}
    assert offered(settings=both)[0].changes[0].parameter == "num_gpu_blocks_override"


def test_a_flag_on_a_shared_gpu_may_be_meant_for_the_others() -> None:
    why = refused(settings={"kv_cache_memory_bytes": 3 * GIB}, accelerator=replace(H100, shared=True))
    assert why.code is Reason.MEMORY_UNPROVEN


def test_where_nothing_can_be_sized_the_engine_measures_for_itself() -> None:
    made = found(settings={"num_gpu_blocks_override": 64}, accelerator=UNKNOWN_ACCELERATOR)
    assert isinstance(made, Optimization)
    (change,) = made.config_changes
    assert (change.parameter, change.removes_flag, change.recommended_value) == (
        "num_gpu_blocks_override",
        True,
        None,
    )
    assert (made.expected_impact, made.confidence, made.effects) == (ImpactLevel.HIGH, Confidence.MEDIUM, ())
    assert "the memory of the GPU is not known" in made.estimated_improvement


def test_stated_bytes_may_be_more_than_the_share_leaves_and_so_stay() -> None:
    why = refused(settings={"kv_cache_memory_bytes": 64}, accelerator=UNKNOWN_ACCELERATOR)
    assert why.code is Reason.ACCELERATOR_UNKNOWN


def test_without_a_full_cache_that_is_no_reason() -> None:
    why = refused(NEARLY, settings={"num_gpu_blocks_override": 64}, accelerator=UNKNOWN_ACCELERATOR)
    assert why.code is Reason.ACCELERATOR_UNKNOWN


def test_a_cache_whose_layout_is_not_known_is_not_freed_by_arithmetic() -> None:
    packed: dict[str, SettingValue] = {"num_gpu_blocks_override": 64, "kv_cache_dtype": "unheard_of"}
    assert refused(settings=packed).code is Reason.SETTING_UNKNOWN
