"""The table of the KV cache optimizer."""

from typing import Any

import pytest
from tests.support.build import a, an

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine, Optimization
from inferplan.diagnose.bottlenecks import diagnose
from inferplan.domain.hardware import Accelerator
from inferplan.domain.observation import NO_MODEL_CONFIG, Observation
from inferplan.domain.proposal import Abstention, Policy, Proposal
from inferplan.optimizers import OPTIMIZERS
from inferplan.optimizers.kv_cache import KVCache

FULL = {"kv_cache_usage": 0.99, "num_requests_running": 20.0, "preemptions_per_second": 0.5}


def ask(observation: Observation) -> Proposal | Abstention:
    return KVCache().propose(observation, diagnose(observation), Policy())


def proposed(observation: Observation) -> Optimization:
    answer = ask(observation)
    assert isinstance(answer, Proposal), answer
    return answer.optimization


def test_a_full_cache_is_stored_in_fp8() -> None:
    optimization = proposed(an.observation(load=FULL))
    (change,) = optimization.config_changes
    assert (change.flag, change.current_value, change.recommended_value) == ("--kv-cache-dtype", "auto", "fp8")
    (effect,) = optimization.effects
    assert (effect.current, effect.low, effect.expected) == (400_000, 792_000, 800_000)  # 2 x 400,000 less 1 %
    assert [entry.query for entry in change.evidence] == [
        "vllm:kv_cache_usage",
        "vllm:preemptions_per_second",
        "vllm:num_requests_waiting",
    ]
    assert optimization.accuracy_risk is not None


def test_without_a_measured_capacity_there_is_no_number() -> None:
    assert proposed(an.observation(load={**FULL, "kv_cache_tokens": None})).effects == ()


def test_overload_is_relieved_alike() -> None:
    assert proposed(an.observation(load={**FULL, "num_requests_running": 32.0})).config_changes


@pytest.mark.parametrize("capability", [89, 90, 100, 103, 120])
def test_every_gpu_with_a_kernel_of_vllms_own_is_served(capability: int) -> None:
    assert proposed(an.observation(load=FULL, accelerator=Accelerator("X", 1, 81_559, capability))).config_changes


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"load": {}}, Reason.NOT_KV_BOUND),
        ({"load": {"kv_cache_usage": None}}, Reason.METRICS_MISSING),
        ({"drop": ("kv_cache_dtype",)}, Reason.SETTING_UNKNOWN),
        ({"settings": {"kv_cache_dtype": "fp8"}}, Reason.ALREADY_SET),
        ({"settings": {"num_gpu_blocks_override": 100}}, Reason.ALREADY_SET),
        ({"settings": {"dtype": "float32"}}, Reason.FORMAT_UNSUPPORTED),
        ({"model": NO_MODEL_CONFIG}, Reason.MODEL_CONFIG_MISSING),
        ({"model": a.model(quantization_method="fp8")}, Reason.SETTING_UNKNOWN),
        ({"model": a.model(head_dim=64)}, Reason.FORMAT_UNSUPPORTED),
        ({"accelerator": Accelerator("A100", 1, 81_920, 80)}, Reason.FORMAT_UNSUPPORTED),
        ({"accelerator": Accelerator("B1", 1, 81_920, 121)}, Reason.FORMAT_UNSUPPORTED),  # not read
        ({"accelerator": Accelerator("H100", 1, 81_559, None)}, Reason.ACCELERATOR_UNKNOWN),
        ({"config": a.config(version=None, kv_cache_dtype="auto")}, Reason.ENGINE_VERSION_UNKNOWN),
        ({"config": a.config(version="0.32.0", kv_cache_dtype="auto")}, Reason.FORMAT_UNSUPPORTED),
        ({"config": a.config(Engine.SGLANG, "0.33.0", kv_cache_dtype="auto")}, Reason.FORMAT_UNSUPPORTED),
        ({"config": a.config(Engine.TGI, kv_cache_dtype="auto")}, Reason.ENGINE_END_OF_LIFE),
    ],
)
def test_without_need_or_knowledge_it_abstains(changes: dict[str, Any], code: Reason) -> None:
    answer = ask(an.observation(**{"load": FULL, **changes}))
    assert isinstance(answer, Abstention)
    assert answer.code is code


def test_the_optimizers_stand_in_the_order_of_equal_proposals() -> None:
    assert [optimizer.name for optimizer in OPTIMIZERS] == ["kvCache", "quantization", "batching", "version"]
