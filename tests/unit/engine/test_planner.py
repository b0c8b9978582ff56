"""From an observation to one decision."""

from math import log

import pytest
from tests.support.build import H100, a, an
from tests.support.levers import capped, caps, lever, option, risky

from inferplan.api.instance import Objective, OptimizerName
from inferplan.api.plan import Alternative
from inferplan.api.reasons import Reason
from inferplan.api.values import (
    Confidence,
    ConfigChange,
    Effort,
    ImpactLevel,
    Optimization,
    OptimizationType,
    Source,
)
from inferplan.diagnose.bottlenecks import Cause, Diagnosis
from inferplan.dialects.effective import effective
from inferplan.domain.drift import Drift, DriftFinding, Mend, Severity, VersionSource
from inferplan.domain.lever import Answer, Lever
from inferplan.domain.observation import NO_MODEL_CONFIG, Metrics, Observation
from inferplan.domain.owner import OwnedField, Owner
from inferplan.domain.proposal import Abstention, Policy, Proposal
from inferplan.engine.planner import Before, plan

FULL = {"kv_cache_usage": 0.99, "num_requests_running": 20.0}
THROUGHPUT = Policy(objective=Objective.THROUGHPUT)


class Says:
    """An optimizer that always answers the same."""

    def __init__(self, answer: Answer, name: OptimizerName = OptimizerName.BATCHING) -> None:
        self.name, self._answer = name, answer

    def answer(self, observation: Observation, diagnosis: Diagnosis, policy: Policy) -> Answer:
        """The same."""
        del observation, diagnosis, policy
        return self._answer


def offers(*levers: Lever) -> Says:
    return Says(Answer(levers=levers))


def proposal(
    parameter: str, impact: ImpactLevel = ImpactLevel.LOW, name: OptimizerName = OptimizerName.KV_CACHE
) -> Proposal:
    """A change of a setting that no guard minds."""
    change = ConfigChange(parameter=parameter, current_value=1, recommended_value=2, reason="test")
    return Proposal(name, optimization(change, impact))


def optimization(change: ConfigChange, impact: ImpactLevel = ImpactLevel.LOW) -> Optimization:
    return Optimization(
        type=OptimizationType.KV_CACHE,
        title=f"Change {change.parameter}",
        description="Description",
        config_changes=(change,),
        expected_impact=impact,
        estimated_improvement="Better.",
        confidence=Confidence.LOW,
        source=Source.RULE_OF_THUMB,
        implementation_effort=Effort.LOW,
    )


def test_a_capped_instance_gets_one_batching_change() -> None:
    outcome = plan(an.observation(), Policy())
    decision = outcome.decision
    assert outcome.diagnosis.cause is Cause.SCHEDULER_CAPPED
    assert decision.priority_order == ("batching_0",)
    assert [note.code for note in decision.abstentions] == [Reason.NOT_KV_BOUND, Reason.NOT_LIMITED, Reason.NO_TARGET]
    assert decision.batching_config is not None
    assert decision.batching_config.max_batch_size == 64
    assert decision.kv_cache_config is None
    assert decision.quantization_config is None
    assert decision.effects == decision.optimizations[0].effects
    assert decision.memory_budget is not None
    assert (decision.summary.changes, decision.summary.gain) == ("max_batch_size 32→64", "throughput 1-1.4x")  # 44 / 32


def test_a_full_cache_gets_a_smaller_format() -> None:
    decision = plan(an.observation(load=FULL), Policy()).decision
    assert decision.priority_order == ("kv_cache_0",)
    assert decision.kv_cache_config is not None
    assert decision.kv_cache_config.kv_cache_dtype == "fp8"
    assert decision.kv_cache_config.max_model_len == 8192
    assert decision.memory_budget is not None
    assert decision.memory_budget.after.kv_cache_tokens == 800_016
    assert {note.optimizer: note.code for note in decision.abstentions} == {
        "quantization": Reason.GAIN_TOO_SMALL,
        "batching": Reason.KV_BOUND,
        "version": Reason.NO_TARGET,
    }


def test_changes_are_searched_together_and_told_with_their_shares() -> None:
    outcome = plan(capped(), THROUGHPUT)
    decision = outcome.decision
    assert decision.priority_order == ("batching_0", "quantization_1")  # what loses nothing comes first
    assert outcome.score > log(1.5)
    assert decision.estimated_total_improvement.startswith("Output 2,900 → 5,")
    gains = [entry.effects[0].expected or 0 for entry in (*decision.optimizations, decision)]
    assert max(gains[:2]) < gains[2]
    assert [entry.title.split(":")[0] for entry in decision.alternatives[:2]] == ["Without any loss", "For latency"]
    assert decision.quantization_config is not None
    assert decision.batching_config is not None


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
    outcome = plan(an.observation(load={"num_requests_waiting": 0.0}), Policy())
    decision = outcome.decision
    assert decision.optimizations == ()
    assert outcome.score == 0.0
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
    assert decision.estimated_total_improvement.endswith("Not counted: what no forecast prices (1 of 2).")


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
    assert decision.rejected[0].cost is not None


def test_a_changed_max_model_len_of_auto_is_no_number_in_the_result() -> None:
    observation = an.observation(load=FULL, settings={"max_model_len": "auto"})
    decision = plan(observation, Policy()).decision
    assert decision.kv_cache_config is not None
    assert decision.kv_cache_config.max_model_len is None


def test_an_endless_reason_is_cut() -> None:
    answer = Answer(abstentions=(Abstention(OptimizerName.BATCHING, Reason.IDLE, "x" * 10_000),))
    decision = plan(an.observation(), Policy(), None, (Says(answer),)).decision
    assert len(decision.abstentions[0].reason) == 1024


def test_a_change_that_stands_alone_is_guarded_and_an_endless_objection_is_cut() -> None:
    flag = ConfigChange(
        parameter="kv_cache_dtype", flag="--kv-cache-dtype", recommended_value="y" * 4000, reason="test"
    )
    made = Answer(proposals=(Proposal(OptimizerName.KV_CACHE, optimization(flag)), proposal("block_size")))
    decision = plan(an.observation(), Policy(), None, (Says(made, OptimizerName.KV_CACHE),)).decision
    assert [change.parameter for entry in decision.optimizations for change in entry.config_changes] == ["block_size"]
    (refused,) = decision.rejected
    assert (refused.option, refused.code, len(refused.reason)) == (
        "Change kv_cache_dtype",
        Reason.FLAG_UNSUPPORTED,
        1024,
    )


@pytest.mark.parametrize("name", ["kvCache", "kv_cache", "blockSize"])
def test_a_change_that_stands_alone_can_be_forbidden_like_any_other(name: str) -> None:
    made = Answer(proposals=(proposal("block_size"),))
    decision = plan(an.observation(), Policy(forbid=(name,)), None, (Says(made, OptimizerName.KV_CACHE),)).decision
    assert decision.optimizations == ()
    assert [entry.code for entry in decision.rejected] == [Reason.FORBIDDEN]


def test_what_keeps_it_from_starting_comes_first_then_what_is_forecast_then_the_rest_by_impact() -> None:
    impacts = {"x_low": ImpactLevel.LOW, "x_high": ImpactLevel.HIGH, "x_critical": ImpactLevel.CRITICAL}
    alone = Says(
        Answer(proposals=tuple(proposal(key, impact) for key, impact in impacts.items())), OptimizerName.KV_CACHE
    )
    decision = plan(capped(), THROUGHPUT, None, (alone, offers(caps(64)))).decision
    assert [change.parameter for entry in decision.optimizations for change in entry.config_changes] == [
        "x_critical",
        "max_batch_size",
        "x_high",
        "x_low",
    ]
    assert decision.priority_order == ("kv_cache_0", "batching_1", "kv_cache_2", "kv_cache_3")
    assert decision.abstentions == ()


def test_no_more_changes_than_a_plan_holds() -> None:
    alone = Answer(proposals=tuple(proposal(f"x_{number}") for number in range(10)))
    decision = plan(an.observation(), Policy(), None, (Says(alone),)).decision
    assert len(decision.optimizations) == 8


def test_what_another_change_already_sets_is_not_searched() -> None:
    alone = Says(Answer(proposals=(proposal("max_batch_size"),)), OptimizerName.KV_CACHE)
    decision = plan(capped(), THROUGHPUT, None, (alone, offers(caps(64)))).decision
    assert [entry.config_changes[0].recommended_value for entry in decision.optimizations] == [2]


class TestTogether:
    """Changes that no forecast prices and those that are searched must be safe together."""

    TOKENS = ConfigChange(
        parameter="max_num_batched_tokens",
        flag="--max-num-batched-tokens",
        current_value=8192,
        recommended_value=40,
        reason="test",
    )
    """vLLM takes no more sequences than tokens in a step: 40 are more than the cap of 32 and less than one of 64."""

    def made(self, *ones: Optimization, levers: tuple[Lever, ...] = ()) -> list[tuple[str, str]]:
        """Settings that change, then options and codes of what was refused."""
        alone = Answer(levers, tuple(Proposal(OptimizerName.KV_CACHE, each) for each in ones))
        decision = plan(capped(), THROUGHPUT, None, (Says(alone, OptimizerName.KV_CACHE),)).decision
        changed = [("", change.parameter) for entry in decision.optimizations for change in entry.config_changes]
        return changed + [(entry.code, entry.option) for entry in decision.rejected]

    def test_a_setting_that_two_move_stays_with_the_weightier(self) -> None:
        light, grave = proposal("x").optimization, proposal("x", ImpactLevel.HIGH).optimization
        grave = grave.model_copy(update={"title": "Grave"})
        assert self.made(light, grave) == [("", "x"), (Reason.SETTING_TAKEN, "Change x")]

    def test_what_collides_with_what_was_found_is_left_out(self) -> None:
        assert self.made(optimization(self.TOKENS)) == [("", "max_num_batched_tokens")]
        assert self.made(optimization(self.TOKENS), levers=(caps(64),)) == [
            ("", "max_batch_size"),
            (Reason.ENGINE_REFUSES, "Change max_num_batched_tokens"),
        ]

    def test_what_keeps_the_engine_from_starting_stays_and_the_search_starts_from_it(self) -> None:
        """In steps of 40 tokens no more requests than today get on, whatever may run."""
        found = self.made(optimization(self.TOKENS, ImpactLevel.CRITICAL), levers=(caps(38, 64),))
        assert found == [("", "max_num_batched_tokens")]
        grave = optimization(self.TOKENS.model_copy(update={"recommended_value": 4096}), ImpactLevel.CRITICAL)
        assert self.made(grave, levers=(caps(38, 64),)) == [("", "max_num_batched_tokens"), ("", "max_batch_size")]


class TestNotes:
    """What is said of an optimizer that is not in the plan."""

    IDLE = lever(OptimizerName.BATCHING, "max_num_batched_tokens", 8192, 8193, 8194)

    def test_levers_that_gain_nothing_are_counted(self) -> None:
        decision = plan(capped(), THROUGHPUT, None, (offers(self.IDLE),)).decision
        (note,) = decision.abstentions
        assert note.code == Reason.GAIN_TOO_SMALL
        assert note.reason == "none of the 2 settings that were looked at gains enough, together with any others"

    def test_without_a_forecast_its_reason_is_told(self) -> None:
        unknown = capped(model=NO_MODEL_CONFIG)
        (note,) = plan(unknown, THROUGHPUT, None, (offers(caps(64)),)).decision.abstentions
        assert note.code == Reason.MODEL_CONFIG_MISSING
        assert note.reason == f"what a change would bring cannot be forecast: {NO_MODEL_CONFIG.reason}"

    def test_its_own_word_comes_before(self) -> None:
        said = Abstention(OptimizerName.BATCHING, Reason.KV_BOUND, "the cache is full")
        made = Says(Answer(levers=(self.IDLE,), abstentions=(said,)))
        (note,) = plan(capped(), THROUGHPUT, None, (made,)).decision.abstentions
        assert (note.code, note.reason) == (Reason.KV_BOUND, "the cache is full")

    def test_who_acts_does_not_abstain(self) -> None:
        said = Abstention(OptimizerName.BATCHING, Reason.KV_BOUND, "the cache is full")
        made = Says(Answer(levers=(caps(64),), abstentions=(said,)))
        decision = plan(capped(), THROUGHPUT, None, (made,)).decision
        assert decision.priority_order == ("batching_0",)
        assert decision.abstentions == ()

    def test_who_acts_in_a_change_of_another_kind_does_not_abstain(self) -> None:
        """The cap does nothing without a smaller format: one change, of the kind that is named first."""
        full = capped({"kv_cache_usage": 1.0, "kv_cache_usage_mean": 1.0, "kv_cache_usage_p99": 1.0})
        cache = Says(
            Answer(
                levers=(lever(OptimizerName.KV_CACHE, "kv_cache_dtype", "auto", "fp8"),),
                abstentions=(Abstention(OptimizerName.KV_CACHE, Reason.NOT_KV_BOUND, "no"),),
            ),
            OptimizerName.KV_CACHE,
        )
        decision = plan(full, THROUGHPUT, None, (cache, offers(caps(64)))).decision
        (entry,) = decision.optimizations
        assert [change.parameter for change in entry.config_changes] == ["kv_cache_dtype", "max_batch_size"]
        assert decision.abstentions == ()

    def test_who_has_nothing_to_say_is_not_heard(self) -> None:
        assert plan(capped(), THROUGHPUT, None, (Says(Answer()),)).decision.abstentions == ()


def test_other_plans_come_before_advice_and_both_are_cut() -> None:
    advice = tuple(Alternative(title=f"{number}", description="Do.") for number in range(9))
    risk = risky(lever(OptimizerName.KV_CACHE, "kv_cache_dtype", "auto", "fp8"), accuracy_risk="Worse.")
    made = Says(Answer(levers=(caps(40, 64), risk), advice=advice))
    decision = plan(capped(), THROUGHPUT, None, (made,)).decision
    titles = [entry.title for entry in decision.alternatives]
    assert len(titles) == 8
    assert [title.isdigit() for title in titles] == sorted(title.isdigit() for title in titles)
    assert [title.split(":")[0] for title in titles[:2]] == ["Without any loss", "For latency"]


def test_what_was_stopped_is_cut_too() -> None:
    alone = tuple(proposal(f"x_{number}") for number in range(20))
    forbidden = Policy(forbid=("kvCache",))
    decision = plan(
        an.observation(), forbidden, None, (Says(Answer(proposals=alone), OptimizerName.KV_CACHE),)
    ).decision
    assert len(decision.rejected) == 16


def test_who_keeps_the_workload_is_told_with_every_change() -> None:
    helm = Owner("Helm", OwnedField.ALL, reconciles=False, basis="managedFields")
    decision = plan(an.observation(owners=(helm,)), Policy()).decision
    assert decision.optimizations[0].prerequisites[0].startswith("Helm wrote this")


def test_a_plan_that_stands_is_kept_where_another_is_better_by_noise() -> None:
    made = (offers(caps(52, 64)),)
    for value in (52, 64):
        standing = Before(standing={"max_batch_size": value})
        (entry,) = plan(capped(), THROUGHPUT, standing, made).decision.optimizations
        assert entry.config_changes[0].recommended_value == value


def test_a_model_that_would_run_is_in_the_memory_budget() -> None:
    seen = capped()
    smaller = a.model(num_layers=16)
    twin = Lever(
        OptimizerName.QUANTIZATION,
        OptimizationType.QUANTIZATION,
        (option("quantization", "none", "fp8_per_tensor", card=smaller),),
    )
    decision = plan(seen, THROUGHPUT, None, (Says(Answer(levers=(twin,)), OptimizerName.QUANTIZATION),)).decision
    assert decision.memory_budget is not None
    before, after = (
        next(term.bytes for term in state.terms if term.name == "weights")
        for state in (decision.memory_budget.before, decision.memory_budget.after)
    )
    assert after < 0.4 * before  # half of the layers, at half the bytes; embeddings stay


@pytest.mark.parametrize("gain", [18, 19])
def test_minimum_gain_is_kept(gain: int) -> None:
    """Between 32 and 44 requests at once: in the middle the square root of 44 / 32, 17.3 % more, and none waits."""
    made = (offers(caps(64)),)
    asked = Policy(objective=Objective.THROUGHPUT, minimum_gain_percent=gain)
    assert bool(plan(an.observation(), asked, None, made).decision.optimizations) is (gain == 18)


def test_what_stands_alone_tells_the_defaults_that_move_and_is_what_the_search_starts_from() -> None:
    config = effective(a.config(max_batch_size=32, max_model_len=65_536, enable_chunked_prefill=False), H100)
    cut = ConfigChange(
        parameter="enable_chunked_prefill",
        flag="--enable-chunked-prefill",
        current_value=False,
        removes_flag=True,
        reason="test",
    )
    alone = Says(Answer(proposals=(Proposal(OptimizerName.VERSION, optimization(cut)),)), OptimizerName.VERSION)
    decision = plan(capped(config=config), THROUGHPUT, None, (offers(caps(64)), alone)).decision
    first, second = decision.optimizations
    assert [one.config_changes[0].parameter for one in (first, second)] == ["max_batch_size", "enable_chunked_prefill"]
    assert second.description == (
        "Description With it the release's own default moves: max_num_batched_tokens from 65536 to 8192."
    )
    cache = {effect.metric: effect for effect in decision.effects}["kv_cache_tokens"]
    assert decision.memory_budget is not None
    assert cache.expected == decision.memory_budget.after.kv_cache_tokens
    assert "kv_cache_tokens" not in {effect.metric for effect in first.effects}  # a larger batch alone takes a little
