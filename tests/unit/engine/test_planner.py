"""From an observation to one decision."""

import pytest
from tests.support.build import a, an

from inferplan.api.instance import OptimizerName
from inferplan.api.reasons import Reason
from inferplan.api.values import Confidence, ImpactLevel, Source
from inferplan.diagnose.bottlenecks import Cause, Diagnosis
from inferplan.domain.drift import Drift, DriftFinding, Mend, Severity, VersionSource
from inferplan.domain.observation import Metrics, Observation
from inferplan.domain.proposal import Abstention, Policy, Proposal
from inferplan.engine.planner import plan
from inferplan.optimizers.batching import Batching

FULL = {"kv_cache_usage": 0.99, "num_requests_running": 20.0}


def test_a_capped_instance_gets_one_batching_change() -> None:
    outcome = plan(an.observation(), Policy())
    decision = outcome.decision
    assert outcome.diagnosis.cause is Cause.SCHEDULER_CAPPED
    assert decision.priority_order == ("batching_0",)
    assert [note.code for note in decision.abstentions] == [Reason.NOT_KV_BOUND, Reason.NOT_KV_BOUND, Reason.NO_TARGET]
    assert decision.batching_config is not None
    assert decision.batching_config.max_batch_size == 64
    assert decision.kv_cache_config is None
    assert decision.quantization_config is None
    assert decision.effects == decision.optimizations[0].effects
    assert decision.memory_budget is not None
    assert (decision.summary.changes, decision.summary.gain) == ("max_batch_size 32→64", "throughput 1-2x")


def test_a_full_cache_gets_cache_and_weights_in_fp8() -> None:
    decision = plan(an.observation(load=FULL), Policy()).decision
    assert decision.priority_order == ("kv_cache_0", "quantization_1")
    assert decision.kv_cache_config is not None
    assert decision.kv_cache_config.kv_cache_dtype == "fp8"
    assert decision.kv_cache_config.max_model_len == 8192
    assert decision.quantization_config is not None
    assert decision.quantization_config.quantize_activations
    assert decision.effects == ()
    assert decision.memory_budget is not None
    assert decision.memory_budget.after.kv_cache_tokens == 906_496  # 2 x (400,000 + 53,248)
    assert decision.estimated_total_improvement.startswith("Together not known")
    assert decision.summary.gain == "not known"


def test_the_contracts_example_without_any_knowledge() -> None:
    config = a.config(version=None, max_batch_size=32, quantization="none", max_model_len=4096)
    decision = plan(Observation(config), Policy(rules_of_thumb=True)).decision
    assert decision.priority_order == ("quantization_0", "batching_1")
    assert [entry.expected_impact for entry in decision.optimizations] == [ImpactLevel.HIGH, ImpactLevel.MEDIUM]
    assert all(entry.confidence is Confidence.LOW for entry in decision.optimizations)
    assert decision.quantization_config is not None
    assert (decision.quantization_config.target_bits, decision.quantization_config.quantize_activations) == (8, False)
    assert decision.memory_budget is None
    assert decision.estimated_total_improvement.startswith("Not known: the changes rest on rules of thumb")


def test_nothing_to_change_is_a_decision_too() -> None:
    decision = plan(an.observation(load={"num_requests_waiting": 0.0}), Policy()).decision
    assert decision.optimizations == ()
    assert decision.estimated_total_improvement == "Nothing to change."
    assert (decision.summary.changes, decision.summary.restart) == ("none", False)
    assert len(decision.abstentions) == 4


def test_an_optimizer_that_is_left_out_says_so() -> None:
    decision = plan(an.observation(), Policy(optimizers=(OptimizerName.KV_CACHE,))).decision
    assert [note.code for note in decision.abstentions] == [
        Reason.NOT_KV_BOUND,
        Reason.NOT_SELECTED,
        Reason.NOT_SELECTED,
        Reason.NOT_SELECTED,
    ]


GONE = DriftFinding("Refused", Severity.ERROR, "--x", "no --x", (Mend("x", "--x", 4, None),))


def test_arguments_that_are_refused_come_before_everything_else() -> None:
    drift = Drift((GONE,), "0.33.0", exact=True, source=VersionSource.IMAGE)
    decision = plan(an.observation(drift=drift), Policy()).decision
    assert decision.priority_order == ("version_0", "batching_1")
    assert decision.summary.changes == "x 4→removed, max_batch_size 32→64"
    assert decision.summary.impact is ImpactLevel.CRITICAL


def test_an_instance_without_metrics_is_told_of_refused_arguments_too() -> None:
    drift = Drift((GONE,), "0.33.0", exact=True, source=VersionSource.IMAGE)
    unmeasured = plan(an.observation(metrics=Metrics(), drift=drift), Policy()).decision
    assert unmeasured.priority_order == ("version_0",)
    assert unmeasured.memory_budget is not None  # the model is known: arithmetic alone, and it says so
    assert {term.source for term in unmeasured.memory_budget.before.terms} <= {
        Source.ROOFLINE,
        Source.MEASURED_ELSEWHERE,
    }


def test_a_forbidden_change_is_listed_as_rejected() -> None:
    decision = plan(an.observation(), Policy(forbid=("--max-num-seqs",))).decision
    assert decision.optimizations == ()
    assert [entry.code for entry in decision.rejected] == [Reason.FORBIDDEN]


def test_a_changed_max_model_len_of_auto_is_no_number_in_the_result() -> None:
    observation = an.observation(load=FULL, settings={"max_model_len": "auto"})
    decision = plan(observation, Policy()).decision
    assert decision.kv_cache_config is not None
    assert decision.kv_cache_config.max_model_len is None


class Talkative:
    """An optimizer whose reason quotes something endless."""

    name = OptimizerName.BATCHING

    def propose(self, observation: Observation, diagnosis: Diagnosis, policy: Policy) -> Proposal | Abstention:
        del observation, diagnosis, policy
        return Abstention(self.name, Reason.IDLE, "x" * 10_000)


def test_an_endless_reason_is_cut() -> None:
    decision = plan(an.observation(), Policy(), (Talkative(),)).decision
    assert len(decision.abstentions[0].reason) == 1024


def test_higher_impact_comes_first() -> None:
    medium = an.observation(load={"kv_cache_usage": 0.6})  # 32 → 40
    decision = plan(medium, Policy(), (Batching(),)).decision
    assert decision.summary.impact is ImpactLevel.MEDIUM
    assert decision.optimizations[0].id == "batching_0"


@pytest.mark.parametrize("gain", [99, 101])
def test_minimum_gain_is_kept(gain: int) -> None:
    decision = plan(an.observation(), Policy(minimum_gain_percent=gain)).decision
    assert bool(decision.optimizations) is (gain == 99)  # twice the batch gains 100 % at most
