"""Plans from what the owner declares, where nothing was measured: marked as estimates, everywhere."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.build import a, an, metrics

from inferplan.api.instance import SLO, OptimizerName, SLOMetric, WorkloadSpec
from inferplan.api.plan import Alternative, Decision
from inferplan.api.reasons import Reason
from inferplan.api.values import (
    Confidence,
    ConfigChange,
    Effort,
    Engine,
    Evidence,
    ImpactLevel,
    Optimization,
    OptimizationType,
    Source,
)
from inferplan.diagnose.bottlenecks import Cause, Diagnosis, diagnose
from inferplan.dialects.effective import effective
from inferplan.domain.hardware import from_catalogue
from inferplan.domain.lever import Answer
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import NO_MODEL_CONFIG, Observation
from inferplan.domain.owner import OwnedField, Owner
from inferplan.domain.proposal import Policy, Proposal
from inferplan.domain.serving import SettingValue
from inferplan.engine.declared import ESTIMATED, DeclaredLook, ask, declared_advice, declared_look
from inferplan.engine.planner import Before, plan

H100 = from_catalogue("NVIDIA-H100-80GB-HBM3", 1)
BUSY: dict[str, Any] = {"input_tokens": 1000, "output_tokens": 300, "concurrency": 96}
FLOOD: dict[str, Any] = {"input_tokens": 1000, "output_tokens": 300, "requests_per_second": 30.0}


def observation(
    declared: dict[str, Any] | None = None, settings: dict[str, SettingValue] | None = None, **parts: Any
) -> Observation:
    """Llama-3.1-8B on an H100 behind a cap of 32, not measured, for which 96 requests in flight are declared."""
    given = {"max_batch_size": 32, "max_model_len": 8192, "tensor_parallel_size": 1} | (settings or {})
    parts = {"metrics": metrics(), "accelerator": H100, **parts}
    config = parts.pop("config", None) or effective(a.config(**given), H100)
    return an.observation(config=config, declared=WorkloadSpec(**(declared or BUSY)), **parts)


def look(seen: Observation) -> DeclaredLook:
    found = declared_look(seen, diagnose(seen))
    assert isinstance(found, DeclaredLook), found
    return found


def decided(seen: Observation, policy: Policy | None = None, before: Before | None = None) -> Decision:
    return plan(seen, policy or Policy(), before).decision


def test_a_declared_load_gives_a_plan_that_says_what_it_rests_on() -> None:
    outcome = plan(observation(), Policy())
    (made,) = outcome.decision.optimizations
    (change,) = made.config_changes
    assert (change.current_value, change.recommended_value) == (32, 64)
    assert change.reason.startswith(f"{ESTIMATED}: 32 requests run under a cap of 32 and 64 wait")
    assert made.description.startswith(ESTIMATED)
    assert made.confidence is outcome.decision.summary.confidence is Confidence.LOW
    assert made.source is Source.RULE_OF_THUMB
    assert made.estimated_improvement.startswith("Output 1.40 times today's (")
    assert "Metrics of the running instance: nothing of its load was measured." in made.raises_confidence
    told = f"{ESTIMATED}: the step model, not calibrated, at 96 requests in flight, 1,000 tokens in, 300 out, declared"
    assert (outcome.decision.effects_basis or "").startswith(told)


def test_its_evidence_is_the_declaration_and_arithmetic_and_no_query() -> None:
    (made,) = decided(observation()).optimizations
    (change,) = made.config_changes
    told = "96 requests in flight, 1,000 tokens in, 300 out, declared in spec.workload"
    assert change.evidence[0] == Evidence(formula="spec.workload", value=told)
    running = "num_requests_running, estimated by the step model for the declared load"
    assert Evidence(formula=running, value=32.0, unit="requests") in change.evidence
    assert all(entry.query is None for entry in change.evidence)


def test_what_limits_stays_unknown() -> None:
    outcome = plan(observation(), Policy())
    assert outcome.diagnosis == diagnose(observation(declared={}))
    assert (outcome.diagnosis.cause, outcome.diagnosis.bottlenecks) == (Cause.UNKNOWN, ())


@pytest.mark.parametrize(
    ("declared", "settings", "cause"),
    [
        (BUSY, {}, Cause.SCHEDULER_CAPPED),
        (BUSY, {"max_batch_size": 256}, Cause.NONE),
        (BUSY | {"concurrency": 2000, "input_tokens": 3000}, {"max_batch_size": 1024}, Cause.KV_BOUND),
        (BUSY | {"concurrency": 200}, {"max_batch_size": 256, "max_num_batched_tokens": 512}, Cause.PREFILL_BOUND),
        (FLOOD, {}, Cause.SCHEDULER_CAPPED),
    ],
)
def test_the_expected_cause_is_that_of_the_limit_that_is_met(
    declared: dict[str, Any], settings: dict[str, SettingValue], cause: Cause
) -> None:
    assert look(observation(declared, settings)).diagnosis.cause is cause


def test_a_cache_that_is_too_small_for_the_load_gets_its_levers() -> None:
    seen = observation(BUSY | {"concurrency": 400, "input_tokens": 3000}, {"max_batch_size": 256})
    made = decided(seen).optimizations
    assert {change.parameter for entry in made for change in entry.config_changes} == {"kv_cache_dtype", "quantization"}
    assert all(entry.confidence is Confidence.LOW for entry in made)


def test_what_is_measured_wins() -> None:
    for load in ({}, {"num_requests_waiting": None}, {"num_requests_running": 0.0}):
        seen = an.serving(load, accelerator=H100, declared=WorkloadSpec(**BUSY))
        assert declared_look(seen, diagnose(seen)) is None
        assert decided(seen) == decided(replace(seen, declared=None))


def test_a_size_that_is_known_is_no_load() -> None:
    seen = observation(metrics=metrics(kv_cache_tokens=400_000.0, uptime_seconds=50.0))
    assert look(seen).observation.metrics.kv_cache_tokens == seen.metrics.kv_cache_tokens
    assert decided(seen).optimizations


def test_numbers_that_cannot_be_true_are_no_absence() -> None:
    broken = replace(metrics(), itl_mean_milliseconds=Missing(Reason.METRICS_CONTRADICTORY, "no number"))
    seen = observation(metrics=broken)
    assert declared_look(seen, diagnose(seen)) is None


def test_an_instance_that_was_measured_once_waits_for_numbers() -> None:
    made = decided(observation(), before=Before(measured=True))
    assert made.optimizations == ()
    assert {note.code for note in made.abstentions} == {Reason.METRICS_MISSING, Reason.NO_TARGET}


def test_without_a_declaration_nothing_changes() -> None:
    seen = replace(observation(), declared=None)
    assert declared_look(seen, diagnose(seen)) is None
    assert not decided(seen).optimizations


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (observation({"input_tokens": 1000, "concurrency": 96}), "spec.workload lacks outputTokens"),
        (observation({"concurrency": 96}), "spec.workload lacks inputTokens, outputTokens"),
        (observation(model=NO_MODEL_CONFIG), "no config.json was given: set spec.model.config or .configMapRef"),
        (observation(accelerator=from_catalogue("Foo", 1)), "the memory of the GPU is not known"),
    ],
)
def test_where_something_lacks_the_optimizers_abstain_and_say_what(seen: Observation, told: str) -> None:
    made = decided(seen)
    assert made.optimizations == ()
    reasons = [note.reason for note in made.abstentions if note.code == Reason.METRICS_MISSING]
    assert len(reasons) == 3
    assert all(reason.endswith(f"; nor can it be estimated for the declared load: {told}") for reason in reasons)


def test_an_estimate_takes_the_place_of_rules_of_thumb() -> None:
    thumb = Policy(rules_of_thumb=True)
    (rule,) = decided(observation({"concurrency": 96}), thumb).optimizations
    (made,) = decided(observation(), thumb).optimizations
    assert (rule.effects, len(made.effects) > 0) == ((), True)


def test_what_an_optimizer_says_in_any_case_is_not_marked() -> None:
    gone = decided(observation(config=a.config(Engine.TGI, max_batch_size=32)))
    assert {note.code for note in gone.abstentions} == {Reason.ENGINE_END_OF_LIFE}
    notes = decided(observation()).abstentions
    marked = {note.optimizer: note.reason.startswith(ESTIMATED) for note in notes}
    assert marked == {"kvCache": True, "quantization": True, "version": False}


def test_a_target_that_was_not_measured_is_not_risked() -> None:
    target = SLO(metric=SLOMetric.ITL, percentile=95, target_milliseconds=100)
    made = decided(observation(), Policy(slo=(target,)))
    assert made.optimizations == ()
    assert made.rejected[0].code == Reason.SLO_AT_RISK
    assert made.rejected[0].cost is not None


def test_a_rate_above_what_is_served_asks_for_replicas() -> None:
    made = decided(observation(FLOOD, replicas=2))
    (advice,) = [entry for entry in made.alternatives if entry.title == "More replicas"]
    assert advice.description.startswith(f"{ESTIMATED}: 15 requests per second are declared for a replica")
    assert "makes 4 replicas" in advice.description  # 2 x 15 / 9.36


def test_who_keeps_the_replicas_is_told() -> None:
    scaler = Owner("A HorizontalPodAutoscaler", OwnedField.REPLICAS, reconciles=True, basis="managedFields")
    made = decided(observation(FLOOD, owners=(scaler,)))
    (advice,) = [entry for entry in made.alternatives if entry.title == "More replicas"]
    assert "A HorizontalPodAutoscaler sets the replicas" in advice.description


def test_a_saturated_replica_has_no_time_to_its_first_token() -> None:
    made = decided(observation(FLOOD))
    names = {effect.metric for effect in made.effects}
    assert "output_tokens_per_second" in names
    assert "ttft_mean" not in names


def test_replicas_are_advised_once() -> None:
    other, own = Alternative(title="Other", description="x"), Alternative(title="More replicas", description="y")
    flooded = look(observation(FLOOD))
    found = declared_advice(flooded, (other, own))
    assert [entry.title for entry in found] == ["More replicas", "Other"]
    assert found[0].description != "y"
    for calm in (look(observation()), None, Missing(Reason.LOAD_UNKNOWN, "none")):
        assert declared_advice(calm, (other, own)) == (other, own)


class ByCause:
    """An optimizer that proposes and advises one thing in any case, and one by the cause."""

    name = OptimizerName.KV_CACHE

    def answer(self, observation: Observation, diagnosis: Diagnosis, policy: Policy) -> Answer:
        """As its name says."""
        del policy
        told = ("always", str(diagnosis.cause))
        seen = observation.metrics.evidence("num_requests_running")
        return Answer(
            proposals=tuple(Proposal(self.name, optimization(text, seen if text != "always" else ())) for text in told),
            advice=tuple(Alternative(title=text, description=text) for text in told),
        )


def optimization(text: str, evidence: tuple[Evidence, ...]) -> Optimization:
    known = Evidence(formula="1 + 1", value=2)
    change = ConfigChange(parameter="x", current_value=1, recommended_value=2, reason=text, evidence=(*evidence, known))
    return Optimization(
        type=OptimizationType.KV_CACHE,
        title=text,
        description=text,
        config_changes=(change,),
        expected_impact=ImpactLevel.LOW,
        estimated_improvement="Better.",
        confidence=Confidence.LOW,
        source=Source.RULE_OF_THUMB,
        implementation_effort=Effort.LOW,
    )


def test_changes_and_advice_beside_the_search_are_marked_as_well() -> None:
    seen = observation()
    found = ask(ByCause(), (seen, diagnose(seen)), Policy(), look(seen))
    always, capped = (entry.optimization for entry in found.proposals)
    assert always == optimization("always", ())
    (change,) = capped.config_changes
    assert capped.description == change.reason == f"{ESTIMATED}: SchedulerCapped"
    assert [entry.formula for entry in change.evidence] == [
        "spec.workload",
        "num_requests_running, estimated by the step model for the declared load",
        "1 + 1",
    ]
    assert [entry.description for entry in found.advice] == [
        "always",
        "SchedulerCapped This rests on an estimate for the declared load, not on measurements.",
    ]
