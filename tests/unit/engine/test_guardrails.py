"""The chain that every proposal passes."""

import pytest
from tests.support.build import an

from inferplan.api.instance import OptimizerName
from inferplan.api.reasons import Reason
from inferplan.api.values import (
    Confidence,
    ConfigChange,
    Effect,
    Effort,
    ImpactLevel,
    Optimization,
    OptimizationType,
    Source,
)
from inferplan.domain.proposal import Policy, Proposal
from inferplan.domain.serving import SettingValue
from inferplan.engine.guardrails import guard


def proposal(parameter: str = "max_batch_size", value: SettingValue = 64, effects: tuple[Effect, ...] = ()) -> Proposal:
    optimization = Optimization(
        type=OptimizationType.BATCHING,
        title="Title",
        description="Description",
        config_changes=(ConfigChange(parameter=parameter, recommended_value=value, reason="test"),),
        expected_impact=ImpactLevel.LOW,
        estimated_improvement="test",
        effects=effects,
        confidence=Confidence.LOW,
        source=Source.RULE_OF_THUMB,
        implementation_effort=Effort.LOW,
    )
    return Proposal(OptimizerName.BATCHING, optimization)


def effect(metric: str, current: float | None, high: float) -> Effect:
    return Effect(metric=metric, current=current, low=0, high=high, unit="1", source=Source.ROOFLINE, basis="test")


@pytest.mark.parametrize(
    "name",
    [
        "batching",
        "maxBatchSize",
        "max_batch_size",
        "--max-num-seqs",
        "max_num_seqs",
        "maxNumSeqs",
    ],
)
def test_what_the_owner_forbids_is_left_out_in_every_spelling(name: str) -> None:
    objection = guard(proposal(), an.observation(), Policy(forbid=(name,)))
    assert objection is not None
    assert (objection.code, objection.option) == (Reason.FORBIDDEN, "Title")
    assert objection.reason.startswith("spec.constraints.forbid names ")


@pytest.mark.parametrize("name", ["kvCache", "kv_cache", "quantization", "--kv-cache-dtype", "nonsense"])
def test_what_else_is_forbidden_does_not_matter(name: str) -> None:
    assert guard(proposal(), an.observation(), Policy(forbid=(name,))) is None


@pytest.mark.parametrize("name", ["--no-enable-prefix-caching", "enablePrefixCaching", "--enable-prefix-caching"])
def test_a_switch_is_forbidden_by_either_of_its_flags(name: str) -> None:
    change = proposal("enable_prefix_caching", value=True)
    assert guard(change, an.observation(), Policy(forbid=(name,))) is not None


@pytest.mark.parametrize(
    ("length", "floor", "passes"), [(8191, 8192, False), (8192, 8192, True), (100, None, True), ("auto", 8192, True)]
)
def test_the_context_does_not_fall_below_what_the_owner_needs(
    length: SettingValue, floor: int | None, passes: bool
) -> None:
    objection = guard(proposal("max_model_len", length), an.observation(), Policy(min_max_model_len=floor))
    assert (objection is None) is passes
    if objection is not None:
        assert (objection.code, "below minMaxModelLen 8192" in objection.reason) == (Reason.FORBIDDEN, True)


def test_memory_must_hold_one_request() -> None:
    objection = guard(proposal(), an.observation(load={"kv_cache_tokens": 10_000.0}), Policy())
    assert objection is not None
    assert objection.code == Reason.MEMORY_UNPROVEN


@pytest.mark.parametrize(
    ("effects", "passes"),
    [
        ((effect("output_tokens_per_second", 1.0, 1.0499),), False),
        ((effect("output_tokens_per_second", 1.0, 1.0501),), True),
        ((effect("output_tokens_per_second", 1.0, 1.0), effect("kv_cache_tokens", 100, 200)), True),
        ((effect("itl_mean", 10, 10.1),), True),  # no gain metric: nothing can be said
        ((effect("kv_cache_tokens", None, 200),), True),
        ((), True),
    ],
)
def test_a_change_that_surely_brings_little_is_left_out(effects: tuple[Effect, ...], passes: bool) -> None:
    objection = guard(proposal(effects=effects), an.observation(), Policy(minimum_gain_percent=5))
    assert (objection is None) is passes
    if objection is not None:
        assert objection.code == Reason.GAIN_TOO_SMALL
        assert objection.reason == "gains at most 5 %, minimumGainPercent is 5"
