"""The table of the batching optimizer: what it offers when, and why it abstains."""

from collections.abc import Mapping
from typing import Any

import pytest
from tests.support.build import a, an

from inferplan.api.instance import Objective, OptimizerName, SLOMetric
from inferplan.api.reasons import Reason
from inferplan.api.values import Confidence, Engine, ImpactLevel, Optimization, OptimizationType, Source
from inferplan.diagnose.bottlenecks import diagnose
from inferplan.domain.lever import Answer
from inferplan.domain.observation import Metrics, Observation
from inferplan.domain.proposal import Abstention, Policy
from inferplan.optimizers.batching import Batching

THUMB = Policy(rules_of_thumb=True)
STEPS_FULL = {"num_requests_running": 9.0, "tokens_per_step": 8000.0, "prompt_tokens_mean": 500.0}


def ask(observation: Observation, policy: Policy | None = None) -> Answer:
    return Batching().answer(observation, diagnose(observation), policy or Policy())


def refused(observation: Observation, policy: Policy | None = None) -> Abstention:
    answer = ask(observation, policy)
    assert not answer.proposals
    (abstention,) = answer.abstentions
    assert abstention.optimizer is OptimizerName.BATCHING
    return abstention


def ruled(observation: Observation, policy: Policy = THUMB) -> Optimization:
    answer = ask(observation, policy)
    assert answer.levers == answer.abstentions == answer.advice == ()
    (proposal,) = answer.proposals
    assert proposal.optimizer is OptimizerName.BATCHING
    return proposal.optimization


def moved(answer: Answer) -> list[str]:
    """Settings that the levers move, by their first options."""
    assert all(lever.optimizer is OptimizerName.BATCHING for lever in answer.levers)
    assert all(lever.type is OptimizationType.BATCHING for lever in answer.levers)
    return [lever.options[0].changes[0].parameter for lever in answer.levers]


def test_a_scheduler_capped_instance_may_get_more_at_once_and_says_nothing_against_it() -> None:
    answer = ask(an.observation())
    assert moved(answer) == ["max_batch_size"]
    assert answer.abstentions == answer.proposals == answer.advice == ()


def test_full_steps_may_get_longer() -> None:
    answer = ask(an.observation(load=STEPS_FULL))
    assert moved(answer) == ["max_num_batched_tokens"]
    assert answer.abstentions == ()


def test_no_two_levers_change_the_same_setting() -> None:
    hurt = {"itl_mean_milliseconds": 20.0, "itl_p99_milliseconds": 900.0, "preemptions_per_second": 1.0}
    settings = {"enforce_eager": True, "max_num_batched_tokens": 64, "max_cudagraph_capture_size": 8}
    answer = ask(an.observation(load=hurt, settings=settings))
    changed = [{change.parameter for option in lever.options for change in option.changes} for lever in answer.levers]
    assert sum(map(len, changed)) == len(set().union(*changed))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"load": {"kv_cache_usage": 1.0}}, Reason.KV_BOUND),
        ({"load": {"kv_cache_usage": 1.0, "num_requests_running": 9.0}}, Reason.KV_BOUND),
        ({"load": {"preemptions_per_second": 0.01}}, Reason.KV_BOUND),  # preempted between two samples of the gauge
        ({"load": {"num_requests_running": 9.0}}, Reason.CAUSE_UNCLEAR),
        ({"load": {"num_requests_running": 9.0, "num_requests_waiting": 0.0}}, Reason.NOT_LIMITED),
        ({"load": {"uptime_seconds": 60.0}}, Reason.COLD_START),
        ({"load": {"num_requests_running": 0.0, "num_requests_waiting": 0.0}}, Reason.IDLE),
        ({"load": {"num_requests_running": None}}, Reason.METRICS_MISSING),
        ({"drop": ("max_num_batched_tokens",)}, Reason.SETTING_UNKNOWN),
        ({"settings": {"max_num_batched_tokens": 32}}, Reason.ALREADY_SET),
        ({"settings": {"max_num_active_seqs": 8}}, Reason.ALREADY_SET),
        ({"settings": {"num_gpu_blocks_override": 500}}, Reason.MEMORY_UNPROVEN),
        ({"settings": {"kv_cache_memory_bytes": 10**10}}, Reason.MEMORY_UNPROVEN),
        ({"config": a.config(engine=Engine.TGI, max_batch_size=32)}, Reason.ENGINE_END_OF_LIFE),
    ],
)
def test_why_nothing_moves_if_nothing_does(changes: dict[str, Any], code: Reason) -> None:
    assert refused(an.observation(**changes)).code is code


def test_a_cap_that_is_unknown_in_sglang_cannot_be_raised() -> None:
    config = a.config(engine=Engine.SGLANG, tensor_parallel_size=1, pipeline_parallel_size=1, kv_cache_dtype="auto")
    answer = Batching().answer(an.observation(config=config), diagnose(an.observation()), Policy())
    assert [abstention.code for abstention in answer.abstentions] == [Reason.SETTING_UNKNOWN]
    assert answer.levers == ()


def test_objective_latency_weighs_the_cap_and_says_why_it_may_stay() -> None:
    latency = Policy(objective=Objective.LATENCY)
    assert refused(an.observation(), latency).code is Reason.OBJECTIVE_LATENCY
    assert moved(ask(an.observation(), latency)) == ["max_batch_size"]


def test_a_full_cache_comes_before_the_objective() -> None:
    full = an.observation(load={"kv_cache_usage": 1.0})
    assert refused(full, Policy(objective=Objective.LATENCY)).code is Reason.KV_BOUND


def test_where_nothing_waits_and_no_target_is_missed_nothing_is_offered() -> None:
    answer = ask(an.serving())
    assert answer.levers == answer.proposals == answer.advice == ()
    assert [abstention.code for abstention in answer.abstentions] == [Reason.NOT_LIMITED]


def test_a_queue_that_no_setting_of_batches_moves_is_said_to_be_none_of_theirs() -> None:
    settings = {"max_batch_size": 32, "max_model_len": 8192, "tensor_parallel_size": 1}
    observation = an.observation(config=a.config(Engine.SGLANG, "0.5.23", **settings))
    prefill = diagnose(an.observation(load=STEPS_FULL))
    held = an.observation(load={"num_requests_running": 9.0}, config=observation.config)
    answer = Batching().answer(held, prefill, Policy())
    assert [abstention.code for abstention in answer.abstentions] == [Reason.NOT_LIMITED]


def test_prompts_that_are_not_cut_are_warned_of_even_where_nothing_was_measured() -> None:
    answer = ask(an.observation(load={"num_requests_running": None}, settings={"enable_chunked_prefill": False}))
    assert [proposal.optimization.title for proposal in answer.proposals] == ["Let prompts be cut into chunks"]
    assert [abstention.code for abstention in answer.abstentions] == [Reason.METRICS_MISSING]


def unmeasured(**settings: Any) -> Observation:
    return Observation(a.config(version=None, **settings))


def test_a_rule_of_thumb_speaks_only_when_asked_and_nothing_is_measured() -> None:
    optimization = ruled(unmeasured(max_batch_size=32))
    assert optimization.config_changes[0].recommended_value == 64
    assert optimization.title == "Raise the running requests from 32 to 64"
    assert (optimization.source, optimization.confidence) == (Source.RULE_OF_THUMB, Confidence.LOW)
    assert optimization.expected_impact is ImpactLevel.MEDIUM
    assert not optimization.effects
    assert "the accelerator (product and count)" in optimization.raises_confidence
    assert refused(unmeasured(max_batch_size=32)).code is Reason.METRICS_MISSING


@pytest.mark.parametrize(
    "load", [{"kv_cache_usage": 1.0}, {"num_requests_waiting": 0.0}, {"preemptions_per_second": 1.0}]
)
def test_no_rule_of_thumb_speaks_against_what_is_measured(load: Mapping[str, float]) -> None:
    nothing = dict.fromkeys(
        ("num_requests_running", "num_requests_waiting", "kv_cache_usage", "preemptions_per_second")
    )
    assert refused(an.observation(load={**nothing, **load}), THUMB).code is Reason.METRICS_MISSING


@pytest.mark.parametrize(
    ("observation", "policy", "code"),
    [
        (unmeasured(), THUMB, Reason.SETTING_UNKNOWN),
        (
            unmeasured(max_batch_size=32),
            Policy(rules_of_thumb=True, objective=Objective.LATENCY),
            Reason.OBJECTIVE_LATENCY,
        ),
        (unmeasured(max_batch_size=32), Policy(rules_of_thumb=True, slo=(an.slo(),)), Reason.SLO_AT_RISK),
        (unmeasured(max_batch_size=32, max_num_batched_tokens=63), THUMB, Reason.ALREADY_SET),
        (Observation(a.config(engine=Engine.TGI, max_batch_size=32)), THUMB, Reason.ENGINE_END_OF_LIFE),
    ],
)
def test_a_rule_of_thumb_knows_its_limits(observation: Observation, policy: Policy, code: Reason) -> None:
    assert refused(observation, policy).code is code


def test_a_known_step_size_that_suffices_lets_the_rule_speak() -> None:
    assert ruled(unmeasured(max_batch_size=32, max_num_batched_tokens=64)).config_changes
    ttft = Policy(rules_of_thumb=True, slo=(an.slo(SLOMetric.TTFT),))
    assert ruled(unmeasured(max_batch_size=32), ttft).config_changes
    assert Metrics().measured() == {}
