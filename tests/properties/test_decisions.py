"""What holds for every decision, whatever was seen."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.properties.strategies import capped, observations, policies, quick, whole

from inferplan.api.instance import OptimizerName
from inferplan.api.plan import Decision
from inferplan.api.reasons import Reason
from inferplan.api.values import ConfigChange, Engine, Optimization, Source
from inferplan.dialects.keys import flag_name
from inferplan.domain.measurement import Measured, Measurement
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Policy
from inferplan.domain.serving import ServingConfig
from inferplan.engine.budget import looked_at
from inferplan.engine.guardrails import STEP_MOST
from inferplan.engine.identity import observation_digest, plan_hash
from inferplan.engine.planner import plan

anything = st.one_of(observations(), capped(), whole())
MAKES_ROOM = frozenset(
    {
        *("kv_cache_dtype", "gpu_memory_utilization", "kv_cache_memory_bytes", "num_gpu_blocks_override"),
        *("quantization", "model"),
    }
)
OWNERS = {
    **dict.fromkeys(("max_batch_size", "max_num_batched_tokens", "enforce_eager"), OptimizerName.BATCHING),
    **dict.fromkeys(("enable_chunked_prefill", "max_cudagraph_capture_size"), OptimizerName.BATCHING),
    **dict.fromkeys(("quantization", "model"), OptimizerName.QUANTIZATION),
    **dict.fromkeys(("kv_cache_dtype", "gpu_memory_utilization", "max_model_len"), OptimizerName.KV_CACHE),
    **dict.fromkeys(("kv_cache_memory_bytes", "num_gpu_blocks_override"), OptimizerName.KV_CACHE),
    "enable_prefix_caching": OptimizerName.KV_CACHE,
}
"""Whose idea it is to change a setting; observations here have no drift, so that no version's mend is among them."""
SPELLED = {"kvCache": "kv_cache", "maxBatchSize": "max_batch_size", "--max-num-seqs": "max_batch_size"}


def changes(decision: Decision) -> list[ConfigChange]:
    return [change for entry in decision.optimizations for change in entry.config_changes]


def touched(decision: Decision) -> set[str]:
    """Settings and kinds of what a plan changes."""
    return {change.parameter for change in changes(decision)} | {str(entry.type) for entry in decision.optimizations}


def number(value: Measurement) -> float:
    return value.value if isinstance(value, Measured) else 0.0


def rises(change: ConfigChange) -> bool:
    before, after = change.current_value, change.recommended_value
    return isinstance(before, int) and isinstance(after, int) and after > before


@quick
@given(anything, policies)
def test_a_full_cache_gets_a_larger_batch_only_together_with_room_for_it(
    observation: Observation, policy: Policy
) -> None:
    seen, decision = observation.metrics, plan(observation, policy).decision
    full = number(seen.kv_cache_usage) >= 0.95 or number(seen.preemptions_per_second) > 0
    raised = [change for change in changes(decision) if change.parameter == "max_batch_size" and rises(change)]
    if raised and full:
        assert touched(decision) & MAKES_ROOM
        budget = decision.memory_budget
        assert budget is None or budget.after.kv_cache_tokens > budget.before.kv_cache_tokens


@quick
@given(anything, policies)
def test_a_limit_is_moved_no_further_than_a_forecast_is_good_for(observation: Observation, policy: Policy) -> None:
    for change in changes(plan(observation, policy).decision):
        before, after = change.current_value, change.recommended_value
        if change.parameter in STEP_MOST and isinstance(before, int) and isinstance(after, int):
            assert 0 < after <= STEP_MOST[change.parameter] * before


@quick
@given(anything, policies)
def test_no_more_requests_run_than_a_step_has_tokens(observation: Observation, policy: Policy) -> None:
    """vLLM does not start so; where it is said to run so today, nothing follows from that."""
    after = looked_at(observation, changes(plan(observation, policy).decision))
    if after.engine is Engine.VLLM and cap_fits(observation.config):
        assert cap_fits(after)


def cap_fits(config: ServingConfig) -> bool:
    cap, tokens = config.integer("max_batch_size"), config.integer("max_num_batched_tokens")
    return cap is None or tokens is None or cap <= tokens


@quick
@given(anything, policies)
def test_no_change_is_a_no_op_and_each_names_the_engines_flag(observation: Observation, policy: Policy) -> None:
    for change in changes(plan(observation, policy).decision):
        assert (change.recommended_value is None) is change.removes_flag
        assert change.recommended_value != change.current_value
        assert change.flag in {None, flag_name(observation.config.engine, change.parameter)}


@quick
@given(anything, policies)
def test_what_is_forbidden_or_not_selected_never_appears(observation: Observation, policy: Policy) -> None:
    decision = plan(observation, policy).decision
    assert not touched(decision) & {SPELLED.get(name, name) for name in policy.forbid}
    selected = {SPELLED.get(name, name) for name in policy.optimizers}
    assert {entry.type for entry in decision.optimizations} <= selected


@quick
@given(anything, st.sampled_from(("--max-num-seqs", "kvCache", "quantization", "gpuMemoryUtilization")))
def test_what_would_be_done_and_is_forbidden_is_rejected_by_name(observation: Observation, name: str) -> None:
    free = plan(observation, Policy(rules_of_thumb=True)).decision
    bound = plan(observation, Policy(rules_of_thumb=True, forbid=(name,))).decision
    key = SPELLED.get(name, "gpu_memory_utilization" if name == "gpuMemoryUtilization" else name)
    assert key not in touched(bound)
    told = {f"spec.constraints.forbid names {each}" for each in (key, name)}
    refused = {entry.reason for entry in bound.rejected if entry.code == Reason.FORBIDDEN}
    assert refused <= told
    assert refused or key not in touched(free)


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
    others = [effect for entry in decision.alternatives for effect in entry.effects]
    for effect in (*decision.effects, *others, *(one for entry in decision.optimizations for one in entry.effects)):
        assert effect.basis or decision.effects_basis  # said once where all rest on the same
        assert effect.source in set(Source)
        assert effect.low <= (effect.low if effect.expected is None else effect.expected) <= effect.high
        assert effect.current is None or effect.current > 0
    for change in changes(decision):
        assert change.evidence
        assert all(fact.query or fact.formula for fact in change.evidence)


@quick
@given(anything, policies)
def test_every_optimizer_answers_and_every_abstention_has_a_code(observation: Observation, policy: Policy) -> None:
    """In the plan, among what was stopped, or with a word on why not; only what is not in the plan abstains."""
    decision = plan(observation, policy).decision
    acting = {OWNERS[change.parameter] for change in changes(decision)}
    abstaining = {note.optimizer for note in decision.abstentions}
    assert acting | abstaining == set(OptimizerName) or decision.rejected
    assert not acting & abstaining
    assert all(note.code in set(Reason) and note.reason for note in decision.abstentions)
    assert set(OptimizerName) - set(policy.optimizers) == {
        note.optimizer for note in decision.abstentions if note.code == Reason.NOT_SELECTED
    }
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
@given(st.one_of(capped(), whole()), st.floats(0.001, 1.0))
def test_evidence_and_effects_do_not_change_the_hash_and_decisions_do(observation: Observation, noise: float) -> None:
    decision = plan(observation, Policy()).decision
    assert plan_hash(decision, {"args": "1"}) != plan_hash(decision, {"args": "2"})
    for index, entry in enumerate(decision.optimizations):
        first, *rest = entry.config_changes
        fact = first.evidence[0].model_copy(update={"value": noise})
        noisy = first.model_copy(update={"evidence": (fact,), "reason": f"{noise:.1%} were seen."})
        told = {"effects": (), "estimated_improvement": f"{noise}", "description": f"{noise}"}
        same = entry.model_copy(update={"config_changes": (noisy, *rest), **told})
        changed = first.model_copy(update={"recommended_value": -1})
        other = entry.model_copy(update={"config_changes": (changed, *rest)})
        assert plan_hash(with_entry(decision, index, same), {}) == plan_hash(decision, {})
        assert plan_hash(with_entry(decision, index, other), {}) != plan_hash(decision, {})
        assert plan_hash(without_entry(decision, index), {}) != plan_hash(decision, {})


def with_entry(decision: Decision, index: int, entry: Optimization) -> Decision:
    """The decision with another optimization in that place, and with nothing that was measured beside."""
    kept = (*decision.optimizations[:index], entry, *decision.optimizations[index + 1 :])
    return decision.model_copy(update={"optimizations": kept, "effects": (), "memory_budget": None})


def without_entry(decision: Decision, index: int) -> Decision:
    kept = (*decision.optimizations[:index], *decision.optimizations[index + 1 :])
    return decision.model_copy(update={"optimizations": kept})
