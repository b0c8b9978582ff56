"""The table of the KV cache optimizer: when it looks for room at all, and how its parts come together."""

from typing import Any

import pytest
from tests.support.build import a, an

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine, OptimizationType
from inferplan.diagnose.bottlenecks import Cause, diagnose
from inferplan.domain.lever import Answer
from inferplan.domain.observation import NO_MODEL_CONFIG, Observation
from inferplan.domain.proposal import Policy
from inferplan.optimizers import OPTIMIZERS
from inferplan.optimizers.kv_cache import KVCache
from inferplan.optimizers.kv_cache_pressure import pressure_on

FULL = {"kv_cache_usage": 0.99, "num_requests_running": 20.0, "preemptions_per_second": 0.5}
LENGTHS = {"requests_per_second": 2.0, "prompt_tokens_max": 2000.0, "generation_tokens_max": 1000.0}


def answered(observation: Observation, policy: Policy | None = None) -> Answer:
    return KVCache().answer(observation, diagnose(observation), policy or Policy())


def codes(answer: Answer) -> list[Reason]:
    return [entry.code for entry in answer.abstentions]


def test_a_full_cache_has_a_lever_for_memory_one_for_its_format_and_one_for_lengths() -> None:
    answer = answered(an.observation(load={**FULL, **LENGTHS}))
    keys = [lever.options[0].changes[0].parameter for lever in answer.levers]
    assert keys == ["gpu_memory_utilization", "kv_cache_dtype", "max_model_len"]
    assert {lever.type for lever in answer.levers} == {OptimizationType.KV_CACHE}
    assert codes(answer) == [Reason.GAIN_TOO_SMALL]  # where the plan takes none of them


def test_each_lever_that_a_full_cache_does_not_get_has_its_reason() -> None:
    answer = answered(an.observation(load=FULL, drop=("kv_cache_dtype",), settings={"gpu_memory_utilization": 0.95}))
    assert answer.levers == ()
    assert codes(answer) == [Reason.ALREADY_SET, Reason.SETTING_UNKNOWN, Reason.METRICS_MISSING]


def test_what_is_not_on_offer_stands_behind_what_was_weighed() -> None:
    assert codes(answered(an.observation(load=FULL))) == [Reason.GAIN_TOO_SMALL, Reason.METRICS_MISSING]


def test_overload_is_relieved_alike() -> None:
    overload = an.observation(load={**FULL, "num_requests_running": 32.0})
    assert diagnose(overload).cause is Cause.OVERLOAD
    assert answered(overload).levers


def test_no_text_of_an_option_promises_an_effect() -> None:
    answer = answered(an.observation(load={**FULL, **LENGTHS}))
    for option in (option for lever in answer.levers for option in lever.options):
        assert not {"throughput", "faster", "tokens per second"} & set(option.description.split())


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"load": {}}, Reason.NOT_KV_BOUND),
        ({"load": {"kv_cache_usage": None}}, Reason.METRICS_MISSING),
        ({"load": {"num_requests_running": 0.0, "num_requests_waiting": 0.0}}, Reason.IDLE),
        ({"config": a.config(Engine.TGI, kv_cache_dtype="auto")}, Reason.ENGINE_END_OF_LIFE),
    ],
)
def test_without_need_or_knowledge_nothing_is_offered(changes: dict[str, Any], code: Reason) -> None:
    answer = answered(an.observation(**{"load": FULL, **changes}))
    assert (answer.levers, answer.proposals, answer.advice) == ((), (), ())
    assert codes(answer) == [code]


NEARLY = {"num_requests_waiting": 0.0, "num_requests_running": 10.0, "kv_cache_usage": 0.75}


@pytest.mark.parametrize(
    ("load", "seen"),
    [
        (FULL, "The KV cache is full (99% of its blocks are taken), and requests wait for it or lose it"),
        ({**NEARLY, "kv_cache_usage_p99": 0.7}, "The KV cache is nearly full: 70% of its blocks are taken"),
        (NEARLY, "The KV cache is nearly full: 75% of its blocks are taken"),
        (
            {"kv_cache_usage": 0.2, "num_requests_waiting": 80.0},  # 0.2 x 112 / 32
            "The KV cache is at 20%, and would be at 70% if all that wait behind the cap ran as well",
        ),
    ],
)
def test_what_speaks_for_more_room(load: dict[str, float], seen: str) -> None:
    observation = an.observation(load=load)
    found = pressure_on(observation, diagnose(observation))
    assert found is not None
    assert found.seen == seen
    assert found.full == (load is FULL)


@pytest.mark.parametrize(
    "load",
    [
        {**NEARLY, "kv_cache_usage_p99": 0.69},
        {"kv_cache_usage": 0.19, "num_requests_waiting": 80.0},
        {"kv_cache_usage": 0.6, "num_requests_waiting": 80.0, "num_requests_running": 5.0},  # the cap is not reached
        {"kv_cache_usage": None, "num_requests_waiting": 0.0},
    ],
)
def test_what_does_not(load: dict[str, float | None]) -> None:
    observation = an.observation(load=load)
    assert pressure_on(observation, diagnose(observation)) is None


def test_a_cache_that_only_preemptions_show_full_is_told_without_a_share() -> None:
    load = {**FULL, "kv_cache_usage": None, "requests_per_second": 2.0, "num_requests_waiting": 3.0}
    observation = an.observation(load=load)
    found = pressure_on(observation, diagnose(observation))
    assert found is not None
    assert found.seen == "The KV cache is full, and requests wait for it or lose it"
    assert [entry.query for entry in found.evidence] == [
        "vllm:preemptions_per_second",
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
    ]


def test_levers_of_a_cache_that_is_not_full_stand_beside_the_abstention_that_it_is_not() -> None:
    answer = answered(an.observation(load=NEARLY))
    assert len(answer.levers) == 2
    assert codes(answer) == [Reason.NOT_KV_BOUND]


def test_a_proposal_that_needs_no_forecast_stands_whatever_the_cache_does() -> None:
    off = {"enable_prefix_caching": False}
    for load in ({}, FULL):
        (proposal,) = answered(an.observation(load=load, settings=off)).proposals
        assert proposal.optimization.config_changes[0].parameter == "enable_prefix_caching"


def test_a_flag_that_holds_the_cache_small_is_taken_out_even_where_nothing_can_be_sized() -> None:
    blind = an.observation(load=FULL, model=NO_MODEL_CONFIG, settings={"num_gpu_blocks_override": 64})
    (proposal,) = answered(blind).proposals
    (change,) = proposal.optimization.config_changes
    assert (change.parameter, change.removes_flag) == ("num_gpu_blocks_override", True)


def test_the_optimizers_stand_in_the_order_of_equal_proposals() -> None:
    assert [optimizer.name for optimizer in OPTIMIZERS] == ["kvCache", "quantization", "batching", "version"]
