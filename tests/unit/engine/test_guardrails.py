"""The chain that every proposal passes."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.build import a, an

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
from inferplan.domain.observation import NO_MODEL_CONFIG
from inferplan.domain.proposal import Policy, Proposal
from inferplan.domain.serving import SettingValue
from inferplan.engine.guardrails import engine_accepts, flag_exists, guard


def proposal(
    parameter: str = "max_batch_size",
    value: SettingValue | None = 64,
    effects: tuple[Effect, ...] = (),
    flag: str | None = None,
) -> Proposal:
    change = ConfigChange(
        parameter=parameter, flag=flag, recommended_value=value, removes_flag=value is None, reason="test"
    )
    optimization = Optimization(
        type=OptimizationType.BATCHING,
        title="Title",
        description="Description",
        config_changes=(change,),
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
    objection = guard(proposal(), an.observation(load={"kv_cache_tokens": 8300.0}), Policy())
    assert objection is not None
    assert objection.code == Reason.MEMORY_UNPROVEN  # 94 MB of graphs are 720 tokens, and one request may have 8192


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


SEQS = {"parameter": "max_batch_size", "flag": "--max-num-seqs"}
CACHE = {"parameter": "kv_cache_dtype", "flag": "--kv-cache-dtype"}


@pytest.mark.parametrize(
    ("version", "change", "told"),
    [
        ("0.33.0", {**SEQS, "value": 64}, None),
        ("0.33.0", {**CACHE, "value": "fp8"}, None),
        ("0.33.0", {**CACHE, "value": "fp3"}, "vllm 0.33.0 is not known to take fp3 for --kv-cache-dtype"),
        (
            "0.33.0",
            {"parameter": "swap_space", "flag": "--swap-space", "value": 4},
            "0.33.0 is not known to have --swap-space",
        ),
        ("0.17.1", {"parameter": "swap_space", "flag": "--swap-space", "value": 4}, None),
        ("0.18.0", {"parameter": "swap_space", "flag": "--swap-space", "value": 4}, "is not known to have"),  # between
        ("0.33.0", {"parameter": "swap_space", "flag": "--swap-space", "value": None}, None),  # taken out
        ("0.33.0", {"parameter": "magic", "flag": "--magic", "value": 1}, "is not known to have --magic"),
        ("0.33.0", {"parameter": "magic", "value": 1}, None),  # no flag does it
        (None, {**SEQS, "value": 64}, None),  # given
        (None, {**CACHE, "value": "fp8"}, "the engine's version is not known, and --kv-cache-dtype is not given"),
    ],
)
def test_only_flags_that_the_running_version_has_are_proposed(
    version: str | None, change: dict[str, Any], told: str | None
) -> None:
    config = a.config(version=version, max_batch_size=32, max_model_len=8192)
    objection = flag_exists(proposal(**change), an.observation(config=config), Policy())
    assert (objection is None) is (told is None)
    if objection is not None:
        assert objection.code == Reason.FLAG_UNSUPPORTED
        assert (told or "") in objection.reason


def test_without_a_workload_a_rule_of_thumb_needs_no_version() -> None:
    config = a.config(version=None, max_batch_size=32)
    bare = an.observation(config=config)
    assert flag_exists(proposal(**CACHE, value="fp8"), bare, Policy(rules_of_thumb=True)) is None


def test_settings_that_the_engine_refuses_together_are_not_proposed() -> None:
    objection = guard(proposal(**SEQS, value=9000), an.observation(), Policy())
    assert objection is not None
    assert objection.code == Reason.ENGINE_REFUSES
    assert objection.reason == "max_num_batched_tokens 8192 is less than max_batch_size 9000; it must be at least that"


def test_what_the_engine_refuses_already_is_no_objection() -> None:
    broken = an.observation(settings={"max_batch_size": 9000})
    assert engine_accepts(proposal(**SEQS, value=9001), broken, Policy()) is None
    assert engine_accepts(proposal(**SEQS, value=9001), replace(broken, model=NO_MODEL_CONFIG), Policy()) is None


def test_a_change_that_sizes_nothing_needs_no_memory() -> None:
    unsized = an.observation(drop=("kv_cache_dtype",), load={"kv_cache_tokens": 10.0})
    switch = proposal("enable_prefix_caching", value=False, flag="--enable-prefix-caching")
    assert guard(switch, unsized, Policy()) is None
    assert guard(proposal(**SEQS, value=64), unsized, Policy()) is not None
