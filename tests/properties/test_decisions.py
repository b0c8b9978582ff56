"""What holds for every decision, whatever was seen."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.properties.strategies import capped, observations, policies, quick

from inferplan.api.instance import OptimizerName
from inferplan.api.plan import Decision
from inferplan.api.reasons import Reason
from inferplan.api.values import ConfigChange
from inferplan.dialects.keys import flag_name
from inferplan.domain.measurement import Measured, Measurement
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Policy
from inferplan.engine.identity import observation_digest, plan_hash
from inferplan.engine.planner import plan

anything = st.one_of(observations(), capped())


def changes(decision: Decision) -> list[ConfigChange]:
    return [change for entry in decision.optimizations for change in entry.config_changes]


def number(value: Measurement) -> float:
    return value.value if isinstance(value, Measured) else 0.0


@quick
@given(anything, policies)
def test_no_plan_raises_the_batch_when_the_cache_is_full(observation: Observation, policy: Policy) -> None:
    seen = observation.metrics
    raised = [change for change in changes(plan(observation, policy).decision) if change.parameter == "max_batch_size"]
    full = number(seen.kv_cache_usage) >= 0.95 or number(seen.preemptions_per_second) > 0
    assert not (raised and full)


@quick
@given(capped())
def test_a_raise_is_at_most_twice_and_leaves_a_tenth_of_the_cache(observation: Observation) -> None:
    for change in changes(plan(observation, Policy(optimizers=(OptimizerName.BATCHING,))).decision):
        before, after, predicted = change.current_value, change.recommended_value, change.evidence[-1].value
        assert isinstance(before, int)
        assert isinstance(after, int)
        assert isinstance(predicted, float)
        assert 1.1 * before <= after <= 2 * before
        assert after <= (observation.config.integer("max_num_batched_tokens") or 0)
        assert predicted <= 0.9


@quick
@given(anything, policies)
def test_no_change_is_a_no_op_and_each_names_the_engines_flag(observation: Observation, policy: Policy) -> None:
    for change in changes(plan(observation, policy).decision):
        assert change.recommended_value is not None
        assert change.recommended_value != change.current_value
        assert change.flag in {None, flag_name(observation.config.engine, change.parameter)}


@quick
@given(anything, policies)
def test_what_is_forbidden_or_not_selected_never_appears(observation: Observation, policy: Policy) -> None:
    decision = plan(observation, policy).decision
    touched = {change.parameter for change in changes(decision)} | {entry.type for entry in decision.optimizations}
    spelled = {"kvCache": "kv_cache", "maxBatchSize": "max_batch_size", "--max-num-seqs": "max_batch_size"}
    assert not touched & {spelled.get(name, name) for name in policy.forbid}
    selected = {spelled.get(name, name) for name in policy.optimizers}
    assert {entry.type for entry in decision.optimizations} <= selected


@quick
@given(anything)
def test_what_is_forbidden_is_rejected_by_name_and_nothing_else_changes(observation: Observation) -> None:
    free = plan(observation, Policy(rules_of_thumb=True)).decision
    for name in ("--max-num-seqs", "kvCache", "quantization"):
        bound = plan(observation, Policy(rules_of_thumb=True, forbid=(name,))).decision
        assert len(bound.optimizations) + len(bound.rejected) == len(free.optimizations) + len(free.rejected)
        assert {change.parameter for change in changes(bound)} <= {change.parameter for change in changes(free)}


@quick
@given(anything, policies)
def test_a_budget_sums_and_no_term_is_negative(observation: Observation, policy: Policy) -> None:
    budget = plan(observation, policy).decision.memory_budget
    for state in () if budget is None else (budget.before, budget.after):
        assert sum(term.bytes for term in state.terms) == state.total_bytes
        assert all(term.bytes >= 0 and term.basis for term in state.terms)


@quick
@given(anything, policies)
def test_no_number_stands_without_its_source(observation: Observation, policy: Policy) -> None:
    decision = plan(observation, policy).decision
    for entry in decision.optimizations:
        for effect in entry.effects:
            assert effect.basis
            assert effect.low <= effect.high
            assert effect.expected is None or effect.low <= effect.expected <= effect.high
        for change in entry.config_changes:
            assert change.evidence
            assert all(fact.query or fact.formula for fact in change.evidence)


@quick
@given(anything, policies)
def test_every_optimizer_answers_and_every_abstention_has_a_code(observation: Observation, policy: Policy) -> None:
    decision = plan(observation, policy).decision
    assert len(decision.optimizations) + len(decision.rejected) + len(decision.abstentions) == 4
    assert all(note.code in set(Reason) and note.reason for note in decision.abstentions)
    assert decision.priority_order == tuple(entry.id for entry in decision.optimizations)


@quick
@given(anything, policies)
def test_the_same_input_gives_the_same_bytes(observation: Observation, policy: Policy) -> None:
    first, second = plan(observation, policy), plan(replace(observation), policy)
    assert first.decision.model_dump_json() == second.decision.model_dump_json()
    assert plan_hash(first.decision, {"a": "b"}) == plan_hash(second.decision, {"a": "b"})
    assert observation_digest(observation) == observation_digest(replace(observation))


@quick
@given(anything, policies)
def test_a_decision_survives_both_wires(observation: Observation, policy: Policy) -> None:
    decision = plan(observation, policy).decision
    assert Decision.model_validate_json(decision.model_dump_json()) == decision
    assert Decision.model_validate(decision.to_http()) == decision
    kube = decision.to_kube()
    assert Decision.from_kube(kube).to_kube() == kube
    assert {"priorityOrder", "estimatedTotalImprovement", "optimizations"} <= kube.keys()


@quick
@given(capped(), st.floats(0.001, 1.0))
def test_evidence_does_not_change_the_hash_and_decisions_do(observation: Observation, noise: float) -> None:
    decision = plan(observation, Policy()).decision
    for index, entry in enumerate(decision.optimizations):
        change = entry.config_changes[0]
        noisy = change.model_copy(update={"evidence": (change.evidence[0].model_copy(update={"value": noise}),)})
        other = change.model_copy(update={"recommended_value": -1})
        same, changed = (
            decision.model_copy(
                update={
                    "optimizations": (
                        *decision.optimizations[:index],
                        entry.model_copy(update={"config_changes": (each,), "effects": ()}),
                        *decision.optimizations[index + 1 :],
                    )
                }
            )
            for each in (noisy, other)
        )
        assert plan_hash(same, {}) == plan_hash(decision, {})
        assert plan_hash(changed, {}) != plan_hash(decision, {})
    assert plan_hash(decision, {"args": "1"}) != plan_hash(decision, {"args": "2"})
