"""The table of the batching optimizer."""

from collections.abc import Mapping
from typing import Any

import pytest
from tests.support.build import a, an

from inferplan.api.instance import SLO, Objective, OptimizerName, SLOMetric
from inferplan.api.reasons import Reason
from inferplan.api.values import Confidence, Engine, ImpactLevel, Optimization, Source
from inferplan.diagnose.bottlenecks import diagnose
from inferplan.domain.observation import NO_MODEL_CONFIG, Metrics, Observation
from inferplan.domain.proposal import Abstention, Policy, Proposal
from inferplan.optimizers.batching import Batching

THUMB = Policy(rules_of_thumb=True)


def ask(observation: Observation, policy: Policy | None = None) -> Proposal | Abstention:
    return Batching().propose(observation, diagnose(observation), policy or Policy())


def proposed(observation: Observation, policy: Policy | None = None) -> Optimization:
    answer = ask(observation, policy)
    assert isinstance(answer, Proposal), answer
    return answer.optimization


def refused(observation: Observation, policy: Policy | None = None) -> Abstention:
    answer = ask(observation, policy)
    assert isinstance(answer, Abstention), answer
    assert answer.optimizer is OptimizerName.BATCHING
    return answer


def test_a_scheduler_capped_instance_gets_twice_the_cap() -> None:
    optimization = proposed(an.observation())
    (change,) = optimization.config_changes
    assert (change.parameter, change.flag) == ("max_batch_size", "--max-num-seqs")
    assert (change.current_value, change.recommended_value) == (32, 64)
    assert optimization.expected_impact is ImpactLevel.HIGH
    # 0.3 x 400,000 x 64 / 32 / (400,000 - 12 graphs x 32 layers x 240 KiB / 131,072): what the plan's budget says
    assert change.evidence[-1].formula == "0.300 x 400000 tokens x 64 / 32.0 requests / 399280 tokens"
    assert change.evidence[-1].value == 0.601
    assert "between nothing and 100%" in optimization.estimated_improvement
    running, throughput = optimization.effects
    assert (running.current, running.expected, running.high) == (32.0, 44.0, 64.0)  # 32 run + 12 wait
    assert (throughput.low, throughput.expected, throughput.high) == (1.0, None, 2.0)


def test_time_between_tokens_is_bounded_where_it_is_measured() -> None:
    itl = proposed(an.observation(load={"itl_mean_milliseconds": 20.0})).effects[2]
    assert (itl.metric, itl.low, itl.high) == ("itl_mean", 20.0, 40.0)


@pytest.mark.parametrize(
    ("usage", "cap"),
    [
        (0.44, 64),  # 0.9 x 396,827 x 32 / (0.44 x 400,000) = 64.93
        (0.45, 56),  # 63.5, down to 32 + 3 x 8
        (0.60, 40),  # 47.6
        (0.70, 40),  # 40.8
        (0.72, None),  # 39.7 rounds to 32
        (0.94, None),
    ],
)
def test_the_cap_rises_only_as_far_as_the_cache_has_room(usage: float, cap: int | None) -> None:
    observation = an.observation(load={"kv_cache_usage": usage})
    if cap is None:
        assert refused(observation).code is Reason.MEMORY_UNPROVEN
    else:
        optimization = proposed(observation)
        assert optimization.config_changes[0].recommended_value == cap
        assert optimization.expected_impact is (ImpactLevel.HIGH if cap == 64 else ImpactLevel.MEDIUM)


def test_a_cache_smaller_than_the_batchs_cost_gives_no_raise() -> None:
    assert refused(an.observation(load={"kv_cache_tokens": 700.0})).code is Reason.MEMORY_UNPROVEN


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
        ({"load": {"kv_cache_tokens": None}}, Reason.METRICS_MISSING),
        ({"model": NO_MODEL_CONFIG}, Reason.MODEL_CONFIG_MISSING),
        ({"drop": ("max_batch_size",)}, Reason.SETTING_UNKNOWN),
        ({"drop": ("max_num_batched_tokens",)}, Reason.SETTING_UNKNOWN),
        ({"drop": ("tensor_parallel_size",)}, Reason.SETTING_UNKNOWN),
        ({"drop": ("kv_cache_dtype",)}, Reason.SETTING_UNKNOWN),
        ({"settings": {"pipeline_parallel_size": 2}}, Reason.SETTING_UNKNOWN),
        ({"settings": {"max_num_batched_tokens": 32}}, Reason.ALREADY_SET),
        ({"settings": {"num_gpu_blocks_override": 500}}, Reason.MEMORY_UNPROVEN),
        ({"settings": {"kv_cache_memory_bytes": 10**10}}, Reason.MEMORY_UNPROVEN),
        ({"config": a.config(engine=Engine.TGI, max_batch_size=32)}, Reason.ENGINE_END_OF_LIFE),
    ],
)
def test_without_cause_or_proof_it_abstains(changes: dict[str, Any], code: Reason) -> None:
    assert refused(an.observation(**changes)).code is code


def test_preemptions_that_are_not_measured_do_not_block() -> None:
    assert proposed(an.observation(load={"preemptions_per_second": None})).config_changes


def test_vllm_takes_no_more_sequences_than_tokens_of_a_step() -> None:
    optimization = proposed(an.observation(settings={"max_num_batched_tokens": 50}))
    assert optimization.config_changes[0].recommended_value == 48  # 50 down to 32 + 2 x 8


def test_sglang_has_no_such_rule() -> None:
    layout: dict[str, Any] = {
        "tensor_parallel_size": 1,
        "pipeline_parallel_size": 1,
        "kv_cache_dtype": "auto",
    }
    config = a.config(engine=Engine.SGLANG, version="0.5.23", max_batch_size=32, max_model_len=8192, **layout)
    (change,) = proposed(an.observation(config=config)).config_changes
    assert (change.flag, change.recommended_value) == ("--max-running-requests", 64)


def test_a_cap_that_is_unknown_in_sglang_cannot_be_raised() -> None:
    config = a.config(engine=Engine.SGLANG, tensor_parallel_size=1, pipeline_parallel_size=1, kv_cache_dtype="auto")
    full = diagnose(an.observation())
    answer = Batching().propose(an.observation(config=config), full, Policy())
    assert isinstance(answer, Abstention)
    assert answer.code is Reason.SETTING_UNKNOWN


def test_objective_latency_never_raises_the_batch() -> None:
    assert refused(an.observation(), Policy(objective=Objective.LATENCY)).code is Reason.OBJECTIVE_LATENCY
    assert proposed(an.observation(), Policy(objective=Objective.THROUGHPUT)).config_changes


@pytest.mark.parametrize(
    ("p99", "slo", "message"),
    [
        (50.0, an.slo(SLOMetric.ITL, 95, 100), None),  # 2 x 50
        (51.0, an.slo(SLOMetric.ITL, 95, 100), "itl p95 could rise to 102 ms, target 100 ms"),
        (51.0, an.slo(SLOMetric.TPOT, 50, 100), "tpot p50 could rise to 102 ms"),
        (10.0, an.slo(SLOMetric.ITL, 98, 100), None),  # (100 - 98) / 2 = 1: p99 stands for it
        (10.0, an.slo(SLOMetric.ITL, 99, 100), "percentiles above 99 are not measured"),
        (None, an.slo(SLOMetric.ITL, 95, 100), "itl p95: the effect cannot be bounded: not measured"),
        (None, an.slo(SLOMetric.TTFT, 95, 1), None),
    ],
)
def test_a_target_between_tokens_must_hold_in_the_worst_case(p99: float | None, slo: SLO, message: str | None) -> None:
    observation, policy = an.observation(load={"itl_p99_milliseconds": p99}), Policy(slo=(slo,))
    if message is None:
        assert proposed(observation, policy).config_changes
    else:
        answer = refused(observation, policy)
        assert (answer.code, message in answer.reason) == (Reason.SLO_AT_RISK, True)


def unmeasured(**settings: Any) -> Observation:
    return Observation(a.config(version=None, **settings))


def test_a_rule_of_thumb_speaks_only_when_asked_and_nothing_is_measured() -> None:
    optimization = proposed(unmeasured(max_batch_size=32), THUMB)
    assert optimization.config_changes[0].recommended_value == 64
    assert (optimization.source, optimization.confidence) == (Source.RULE_OF_THUMB, Confidence.LOW)
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
    assert proposed(unmeasured(max_batch_size=32, max_num_batched_tokens=64), THUMB).config_changes
    ttft = Policy(rules_of_thumb=True, slo=(an.slo(SLOMetric.TTFT),))
    assert proposed(unmeasured(max_batch_size=32), ttft).config_changes
    assert Metrics().measured() == {}
