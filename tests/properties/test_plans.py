"""What holds for every plan of an instance whose model and GPU are known: it is safe, wanted, and consistent.

Its load was measured, or its owner declares it; prompts share what the owner says, or what was measured.
"""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.properties.strategies import declared, policies, sharing, whole

from inferplan.api.instance import SLO, OptimizerName, SLOMetric
from inferplan.api.plan import Decision
from inferplan.api.values import Confidence, ConfigChange
from inferplan.diagnose.bottlenecks import Cause
from inferplan.dialects.constraints import Severity, violations
from inferplan.dialects.registry import basis, proposable
from inferplan.domain.measurement import Measured
from inferplan.domain.model_card import ModelCard
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Policy
from inferplan.engine.budget import SIZING_KEYS, holds_one_request, looked_at
from inferplan.engine.declared import ESTIMATED
from inferplan.engine.planner import Before, plan

some = settings(max_examples=40, derandomize=True, deadline=None)
ITL = SLO(metric=SLOMetric.ITL, percentile=95, target_milliseconds=60)
looks = st.one_of(whole(), sharing(), declared())
KEYS = ("max_batch_size", "max_num_batched_tokens", "kv_cache_dtype", "gpu_memory_utilization", "quantization")


def changes(decision: Decision) -> list[ConfigChange]:
    return [change for entry in decision.optimizations for change in entry.config_changes]


def settings_of(decision: Decision) -> dict[str, object]:
    return {change.parameter: change.recommended_value for change in changes(decision)}


@some
@given(looks, policies)
def test_no_plan_exceeds_memory(observation: Observation, policy: Policy) -> None:
    made = changes(plan(observation, policy).decision)
    after = looked_at(observation, made)
    resized = SIZING_KEYS & {change.parameter for change in made}  # an engine that does not start today may be left so
    assert not resized or holds_one_request(observation, after, unsized_passes=policy.rules_of_thumb) is None


@some
@given(looks, policies)
def test_no_plan_is_refused_by_the_engine(observation: Observation, policy: Policy) -> None:
    assert isinstance(observation.model, ModelCard)
    decision = plan(observation, policy).decision
    refused = [
        {entry.keys for entry in found if entry.severity is Severity.REFUSED}
        for found in (
            violations(config, observation.accelerator, observation.model)
            for config in (observation.config, looked_at(observation, changes(decision)))
        )
    ]
    assert refused[1] <= refused[0]


@some
@given(looks, policies)
def test_every_flag_is_one_of_the_version(observation: Observation, policy: Policy) -> None:
    known = basis(observation.config.engine, observation.config.version)
    assert known is not None
    for change in changes(plan(observation, policy).decision):
        if change.flag is not None:
            dest = change.flag.removeprefix("--").replace("-", "_")
            assert proposable(known, dest) is not None


@some
@given(looks, policies)
def test_a_plan_is_what_the_owner_allows(observation: Observation, policy: Policy) -> None:
    decision = plan(observation, policy).decision
    new = settings_of(decision)
    spelled = {"kvCache": "kv_cache", "maxBatchSize": "max_batch_size", "--max-num-seqs": "max_batch_size"}
    touched = set(new) | {str(entry.type) for entry in decision.optimizations}
    assert not touched & {spelled.get(name, name) for name in policy.forbid}
    assert {str(entry.type) for entry in decision.optimizations} <= {
        spelled.get(name, str(name)) for name in policy.optimizers
    }
    length = new.get("max_model_len")
    assert not isinstance(length, int) or length >= (policy.min_max_model_len or 0)


@some
@given(looks, policies)
def test_a_plan_has_no_no_op_and_no_contradiction(observation: Observation, policy: Policy) -> None:
    decision = plan(observation, policy).decision
    touched = [change.parameter for change in changes(decision)]
    assert len(touched) == len(set(touched))
    for change in changes(decision):
        assert change.recommended_value != change.current_value
        assert change.current_value == observation.config.value(change.parameter)
    for effect in (*decision.effects, *(one for entry in decision.optimizations for one in entry.effects)):
        assert effect.low <= (effect.low if effect.expected is None else effect.expected) <= effect.high
    assert (decision.summary.changes == "none") == (not decision.optimizations)
    assert decision.priority_order == tuple(entry.id for entry in decision.optimizations)


@some
@given(looks, policies)
def test_the_same_input_is_the_same_plan_byte_for_byte(observation: Observation, policy: Policy) -> None:
    first, second = (plan(seen, policy).decision.model_dump_json() for seen in (observation, replace(observation)))
    assert first == second


@some
@given(looks, policies)
def test_a_plan_that_stands_still_stands(observation: Observation, policy: Policy) -> None:
    """The plan that was made is the plan that is made again, and no second one takes its place."""
    first = plan(observation, policy).decision
    searched = {
        change.parameter: change.recommended_value
        for entry in first.optimizations
        if entry.effects
        for change in entry.config_changes
    }
    again = plan(observation, policy, Before(standing=searched)).decision
    assert settings_of(again) == settings_of(first)


@some
@given(looks, policies, st.sampled_from(KEYS))
def test_forbidding_less_never_gives_a_worse_plan(observation: Observation, policy: Policy, key: str) -> None:
    free = replace(policy, forbid=(), optimizers=tuple(OptimizerName))
    bound = replace(free, forbid=(key,))
    assert plan(observation, free).score >= plan(observation, bound).score - 0.02


@some
@given(looks, policies)
def test_asking_for_less_gain_never_gives_a_worse_plan(observation: Observation, policy: Policy) -> None:
    scores = [plan(observation, replace(policy, minimum_gain_percent=gain)).score for gain in (0, 5, 20)]
    assert scores == sorted(scores, reverse=True) or scores[0] == pytest.approx(scores[1], abs=0.02)


@some
@given(looks, policies)
def test_a_plan_gains_what_its_owner_asks_for(observation: Observation, policy: Policy) -> None:
    asked = replace(policy, minimum_gain_percent=10)
    outcome = plan(observation, asked)
    if outcome.decision.effects:
        assert outcome.score >= 0.095  # ln 1.1, less what dropping an idle change may cost


@some
@given(whole())
def test_a_target_that_holds_is_not_risked(observation: Observation) -> None:
    target = dict(observation.metrics.slo_milliseconds)["itl p95"]
    assert isinstance(target, Measured)
    held = target.value <= ITL.target_milliseconds
    for effect in plan(observation, Policy(slo=(ITL,))).decision.effects:
        assert not held or effect.metric != "itl_p95" or effect.high <= ITL.target_milliseconds * 1.02


@some
@given(declared(), policies)
def test_a_plan_from_a_declaration_says_so_and_is_sure_of_nothing(observation: Observation, policy: Policy) -> None:
    outcome = plan(observation, policy)
    assert outcome.diagnosis.cause is Cause.UNKNOWN
    assert outcome.diagnosis.bottlenecks == ()
    for entry in outcome.decision.optimizations:
        searched = entry.effects and entry.effects[0].metric != "computed_prompt_tokens"
        assert not searched or entry.confidence is Confidence.LOW
        assert not searched or (outcome.decision.effects_basis or "").startswith(ESTIMATED)
        for change in entry.config_changes:
            assert not searched or change.reason.startswith(ESTIMATED)
            assert all(fact.query is None for fact in change.evidence)


@some
@given(sharing(), policies)
def test_prefixes_that_are_shared_never_promise_more_than_they_can(observation: Observation, policy: Policy) -> None:
    """A share that is declared may turn out to be nothing: the low end of the gain is no gain."""
    for entry in plan(observation, policy).decision.optimizations:
        if [change.parameter for change in entry.config_changes] != ["enable_prefix_caching"]:
            continue
        gains = {effect.metric: effect for effect in entry.effects}
        served = gains.get("output_tokens_per_second")
        assert served is None or served.low <= (served.current or 0.0) * 1.001
