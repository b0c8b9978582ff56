"""The table of the quantization optimizer."""

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from tests.support.build import H100, a, an

from inferplan.api.reasons import Reason
from inferplan.api.values import Confidence, Effort, Engine, Optimization, Source
from inferplan.diagnose.bottlenecks import diagnose
from inferplan.dialects.effective import effective
from inferplan.domain.hardware import Accelerator
from inferplan.domain.observation import NO_MODEL_CONFIG, Observation
from inferplan.domain.proposal import Abstention, Policy, Proposal
from inferplan.domain.serving import Origin, Setting
from inferplan.optimizers.quantization import Quantization

FULL = {"kv_cache_usage": 0.99, "num_requests_running": 20.0}
THUMB = Policy(rules_of_thumb=True)


def ask(observation: Observation, policy: Policy | None = None) -> Proposal | Abstention:
    return Quantization().propose(observation, diagnose(observation), policy or Policy())


def proposed(observation: Observation, policy: Policy | None = None) -> Optimization:
    answer = ask(observation, policy)
    assert isinstance(answer, Proposal), answer
    return answer.optimization


def refused(observation: Observation, policy: Policy | None = None) -> Abstention:
    answer = ask(observation, policy)
    assert isinstance(answer, Abstention), answer
    return answer


def test_a_full_cache_gets_the_memory_of_smaller_weights() -> None:
    optimization = proposed(an.observation(load=FULL))
    (change,) = optimization.config_changes
    assert (change.flag, change.recommended_value) == ("--quantization", "fp8_per_tensor")
    # 16,094,076,928 - 9,114,820,608: a byte of each of 6,979,321,856 weights, less 4 x 128 x 128 bytes of scales
    assert change.evidence[1].value == 6_979_256_320
    (effect,) = optimization.effects
    assert effect.expected == 453_248  # 400,000 + 6,979,256,320 / 131,072 = 53,247.5, in whole blocks
    assert 400_000 < effect.low < 453_248 < effect.high  # what memory drivers and rounding leave open
    assert "53,248 more tokens" in optimization.estimated_improvement


def test_an_fp8_cache_gains_twice_the_tokens() -> None:
    optimization = proposed(an.observation(load=FULL, settings={"kv_cache_dtype": "fp8"}))
    assert optimization.effects[0].expected == 506_496  # 400,000 + 6,979,256,320 / 65,536 = 106,495, in whole blocks


def test_two_ranks_share_the_weights_and_the_cache() -> None:
    full = {**FULL, "kv_cache_tokens": 900_000.0}
    optimization = proposed(an.observation(load=full, settings={"tensor_parallel_size": 2}))
    assert optimization.effects[0].expected == 953_248  # half of the weights' bytes, and of a token's


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"load": {}}, Reason.NOT_KV_BOUND),
        ({"load": {"kv_cache_usage": None}}, Reason.METRICS_MISSING),
        ({"load": {**FULL, "kv_cache_tokens": None}}, Reason.METRICS_MISSING),
        ({"settings": {"quantization": "awq"}}, Reason.ALREADY_SET),
        ({"settings": {"kv_cache_memory_bytes": 10**10}}, Reason.ALREADY_SET),
        ({"settings": {"num_gpu_blocks_override": 10}}, Reason.ALREADY_SET),
        ({"settings": {"dtype": "float32"}}, Reason.ALREADY_SET),
        ({"settings": {"pipeline_parallel_size": 2}}, Reason.SETTING_UNKNOWN),
        ({"load": {**FULL, "kv_cache_tokens": 1e7}}, Reason.MEMORY_UNPROVEN),  # more than the GPU has
        ({"drop": ("tensor_parallel_size",)}, Reason.SETTING_UNKNOWN),
        ({"model": NO_MODEL_CONFIG}, Reason.MODEL_CONFIG_MISSING),
        ({"model": a.model(quantization_method="awq")}, Reason.ALREADY_SET),
        ({"model": a.model(weight_bits=32)}, Reason.ALREADY_SET),
        ({"accelerator": Accelerator("A100", 1, 81_920, 80)}, Reason.FORMAT_UNSUPPORTED),
        ({"accelerator": replace(H100, compute_capability=None)}, Reason.ACCELERATOR_UNKNOWN),
        ({"config": a.config(version=None)}, Reason.ENGINE_VERSION_UNKNOWN),
        ({"config": a.config(version="0.20.1")}, Reason.FORMAT_UNSUPPORTED),
        ({"config": a.config(Engine.SGLANG, "0.5.23")}, Reason.FORMAT_UNSUPPORTED),
        ({"config": a.config(Engine.TGI)}, Reason.ENGINE_END_OF_LIFE),
    ],
)
def test_without_need_or_knowledge_it_abstains(changes: dict[str, Any], code: Reason) -> None:
    assert refused(an.observation(**{"load": FULL, **changes})).code is code


def test_a_rule_of_thumb_speaks_when_nothing_is_known() -> None:
    optimization = proposed(Observation(a.config(version=None, quantization="none")), THUMB)
    (change,) = optimization.config_changes
    assert (change.flag, change.current_value, change.recommended_value) == (None, "none", "int8")
    assert (optimization.source, optimization.confidence) == (Source.RULE_OF_THUMB, Confidence.LOW)
    assert optimization.implementation_effort is Effort.HIGH
    assert len(optimization.raises_confidence) == 3


def test_a_rule_of_thumb_must_be_asked_for() -> None:
    assert refused(Observation(a.config(version=None, quantization="none"))).code is Reason.METRICS_MISSING


def test_a_checkpoint_may_be_quantized_without_a_flag() -> None:
    defaulted = effective(a.config(), H100)  # quantization none by default, and nobody has seen the model
    assert refused(Observation(defaulted), THUMB).code is Reason.SETTING_UNKNOWN
    assert refused(Observation(a.config(version=None)), THUMB).code is Reason.SETTING_UNKNOWN


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"load": {"num_requests_running": None}}, Reason.METRICS_MISSING),  # the rest is measured
        ({"load": {"num_requests_running": None}, "model": a.model()}, Reason.METRICS_MISSING),
        ({"config": a.config(Engine.TGI, quantization="none")}, Reason.ENGINE_END_OF_LIFE),
    ],
)
def test_no_rule_of_thumb_where_something_is_known(changes: dict[str, Any], code: Reason) -> None:
    stated = {"quantization": Setting("none", Origin.SPEC)}
    observation = an.observation(**{"model": NO_MODEL_CONFIG, **changes})
    config = replace(observation.config, settings=MappingProxyType({**observation.config.settings, **stated}))
    assert refused(replace(observation, config=config), THUMB).code is code
    unmeasured = Observation(a.config(Engine.TGI, quantization="none"))
    assert refused(unmeasured, THUMB).code is Reason.ENGINE_END_OF_LIFE
    with_model = Observation(a.config(version=None, quantization="none"), model=a.model())
    assert refused(with_model, THUMB).code is Reason.METRICS_MISSING


def test_what_a_cache_that_cannot_be_sized_would_gain_is_not_known() -> None:
    answer = refused(an.observation(load=FULL, settings={"kv_cache_dtype_skip_layers": "0"}))
    assert answer.reason.startswith("what smaller weights free is not known: kv_cache_dtype_skip_layers")
