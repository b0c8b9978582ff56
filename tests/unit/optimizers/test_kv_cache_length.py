"""max_model_len: against what requests really take, and against a start that fails for want of memory."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.build import H100, LLAMA, a, an, metrics

from inferplan.api.instance import WorkloadSpec
from inferplan.api.reasons import Reason
from inferplan.api.values import Confidence, Engine, ImpactLevel, Optimization
from inferplan.diagnose.bottlenecks import diagnose
from inferplan.dialects.effective import effective
from inferplan.domain.hardware import UNKNOWN_ACCELERATOR, from_catalogue
from inferplan.domain.lever import Option
from inferplan.domain.measurement import Measured, Missing
from inferplan.domain.observation import NO_MODEL_CONFIG, Observation
from inferplan.domain.proposal import Policy
from inferplan.domain.serving import Origin, ServingConfig, Setting
from inferplan.estimate.memory_estimate import estimate_memory
from inferplan.optimizers.kv_cache import KVCache
from inferplan.optimizers.kv_cache_length import length_option, stepped
from inferplan.optimizers.kv_cache_pressure import pressure_on
from inferplan.optimizers.kv_cache_start import what_starts

FULL = {
    "kv_cache_usage": 0.99,
    "num_requests_running": 20.0,
    "requests_per_second": 2.0,  # 1,800 in 900 s
    "prompt_tokens_max": 2000.0,
    "generation_tokens_max": 1000.0,
}
L4 = from_catalogue("NVIDIA-L4", 1)


def found(
    policy: Policy | None = None, load: dict[str, float | None] | None = None, **changes: Any
) -> Option | Missing:
    observation = an.observation(load={**FULL, **(load or {})}, **changes)
    pressure = pressure_on(observation, diagnose(observation))
    assert pressure is not None
    return length_option(observation, policy or Policy(), pressure)


def shortened(policy: Policy | None = None) -> Option:
    option = found(policy)
    assert isinstance(option, Option), option
    return option


def test_the_longest_request_seen_and_a_margin_are_kept() -> None:
    option = shortened()
    (change,) = option.changes
    assert (change.flag, change.current_value, change.recommended_value) == ("--max-model-len", 8192, 4096)  # 3,750
    assert [entry.query for entry in change.evidence] == [
        "vllm:prompt_tokens_max",
        "vllm:generation_tokens_max",
        None,
    ]
    assert change.evidence[-1].value == 4096
    assert option.capability_loss is not None
    assert "more than 4,096 tokens" in option.capability_loss
    assert "8,192" in option.capability_loss
    assert option.prerequisites == ("No client sends longer requests at other times than in these 900 s.",)


def test_a_value_of_the_moment_covers_no_window() -> None:
    longest = Measured(2000.0, "tokens", "metrics.prompt_tokens_max of the request")
    observation = an.observation(load=FULL)
    observation = replace(observation, metrics=replace(observation.metrics, prompt_tokens_max=longest))
    pressure = pressure_on(observation, diagnose(observation))
    assert pressure is not None
    option = length_option(observation, Policy(), pressure)
    assert isinstance(option, Option)
    assert option.prerequisites == ("No client sends longer requests at other times.",)


def test_the_owners_minimum_is_kept() -> None:
    assert shortened(Policy(min_max_model_len=5000)).changes[0].recommended_value == 5120
    assert isinstance(found(Policy(min_max_model_len=8000)), Missing)


@pytest.mark.parametrize(("tokens", "length"), [(0, 0), (1, 1024), (1024, 1024), (1024.5, 2048), (3750, 4096)])
def test_lengths_are_rounded_up(tokens: float, length: int) -> None:
    assert stepped(tokens) == length


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"load": {"prompt_tokens_max": None}}, Reason.METRICS_MISSING),
        ({"load": {"generation_tokens_max": None}}, Reason.METRICS_MISSING),
        ({"load": {"requests_per_second": 0.1}}, Reason.METRICS_MISSING),  # 90 in 900 s
        ({"load": {"requests_per_second": None}}, Reason.METRICS_MISSING),
        ({"load": {"prompt_tokens_max": 6000.0}}, Reason.ALREADY_SET),
        ({"settings": {"max_model_len": "auto"}}, Reason.SETTING_UNKNOWN),
        ({"drop": ("max_model_len",)}, Reason.SETTING_UNKNOWN),
        ({"config": effective(a.config(Engine.SGLANG, "0.5.23", max_model_len=8192), H100)}, Reason.NOT_LIMITED),
    ],
)
def test_where_the_longest_is_not_known_or_fits_nothing_is_shortened(changes: dict[str, Any], code: Reason) -> None:
    answer = found(**changes)
    assert isinstance(answer, Missing)
    assert answer.code is code


def test_above_the_last_bucket_nobody_knows_the_longest() -> None:
    observation = an.observation(load=FULL)
    beyond = Missing(Reason.ABOVE_LAST_BUCKET, "p100 lies above 5000 tokens, the histogram's last bound", 5000.0)
    observation = replace(observation, metrics=replace(observation.metrics, prompt_tokens_max=beyond))
    pressure = pressure_on(observation, diagnose(observation))
    assert pressure is not None
    answer = length_option(observation, Policy(), pressure)
    assert isinstance(answer, Missing)
    assert answer.code is Reason.ABOVE_LAST_BUCKET
    assert answer.reason.startswith("the longest prompt is not known")


def never_ran(settings: dict[str, Any] | None = None, **changes: Any) -> Observation:
    config = effective(a.config(**(settings or {})), L4, model=LLAMA)
    return an.observation(**{"metrics": metrics(), "accelerator": L4, "config": config, **changes})


def mended(observation: Observation, policy: Policy | None = None) -> Optimization:
    made = what_starts(observation, policy or Policy())
    assert isinstance(made, Optimization), made
    return made


def starts(observation: Observation, config: ServingConfig) -> bool:
    assert not isinstance(observation.model, Missing)
    estimate = estimate_memory(config, observation.accelerator, observation.model)
    assert not isinstance(estimate, Missing)
    return estimate.surely_fits


def after(observation: Observation, made: Optimization) -> ServingConfig:
    (change,) = made.config_changes
    assert change.recommended_value is not None
    moved = {change.parameter: Setting(change.recommended_value, Origin.ARGUMENT)}
    return observation.config.with_settings(moved)


def test_the_longest_requests_that_surely_fit_let_it_start() -> None:
    stuck = never_ran({"gpu_memory_utilization": 0.95})
    made = mended(stuck)
    (change,) = made.config_changes
    assert (change.parameter, change.current_value) == ("max_model_len", 131_072)
    assert isinstance(change.recommended_value, int)
    assert change.recommended_value % 1024 == 0
    assert not starts(stuck, stuck.config)
    assert starts(stuck, after(stuck, made))
    assert (made.expected_impact, made.confidence) == (ImpactLevel.CRITICAL, Confidence.MEDIUM)
    assert made.capability_loss is not None
    assert "131,072" in made.capability_loss
    assert "does not start today" in made.prerequisites[0]
    assert "one request of 131,072 tokens needs 16.00 GiB" in made.description


def test_memory_that_lies_idle_comes_before_a_loss() -> None:
    stuck = never_ran({"gpu_memory_utilization": 0.7, "max_model_len": 8192})
    made = mended(stuck)
    (change,) = made.config_changes
    assert (change.parameter, change.recommended_value) == ("gpu_memory_utilization", 0.85)
    assert made.capability_loss is None
    assert starts(stuck, after(stuck, made))
    assert "Nothing else lives on the GPU" in made.prerequisites[1]


def test_on_a_shared_gpu_only_lengths_can_give() -> None:
    stuck = never_ran(accelerator=replace(L4, shared=True))
    assert mended(stuck).config_changes[0].parameter == "max_model_len"


@pytest.mark.parametrize(
    ("policy", "declared"),
    [
        (Policy(min_max_model_len=65_536), None),
        (Policy(), WorkloadSpec(input_tokens=30_000, output_tokens=2000)),
        (Policy(), WorkloadSpec(input_tokens=1000, input_tokens_p95=30_000, output_tokens_p95=2000)),
    ],
)
def test_lengths_that_are_needed_are_not_cut(policy: Policy, declared: WorkloadSpec | None) -> None:
    answer = what_starts(never_ran(declared=declared), policy)
    assert isinstance(answer, Missing)
    assert answer.code is Reason.DOES_NOT_FIT


def test_declared_lengths_that_fit_change_nothing() -> None:
    declared = WorkloadSpec(input_tokens=1024, input_tokens_p95=1536, output_tokens=256, output_tokens_p95=384)
    assert mended(never_ran(declared=declared)) == mended(never_ran())
    assert mended(never_ran(declared=WorkloadSpec(concurrency=8))) == mended(never_ran())


def test_where_not_even_the_weights_fit_no_length_helps() -> None:
    answer = what_starts(never_ran(model=a.model(num_layers=64)), Policy())
    assert isinstance(answer, Missing)
    assert "0 surely fit" in answer.reason


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": metrics(num_requests_running=1.0)},
        {"metrics": metrics(kv_cache_tokens=20_000.0)},
        {"replicas": 1},
        {"model": NO_MODEL_CONFIG},
        {"accelerator": UNKNOWN_ACCELERATOR},
        {"config": effective(a.config(max_model_len=8192), L4)},
        {"config": effective(a.config(max_model_len="auto"), L4)},
        {"config": effective(a.config(kv_cache_memory_bytes=2**30), L4)},
        {"config": effective(a.config(kv_cache_dtype="unheard_of"), L4)},
        {"config": effective(a.config(tensor_parallel_size=3), L4)},
        {"config": effective(a.config(Engine.SGLANG, "0.5.23"), L4)},
        {"config": effective(a.config(max_model_len=33_500), L4)},  # the low end does not hold one, the high end does
    ],
)
def test_of_an_engine_that_may_run_nothing_is_said(changes: dict[str, Any]) -> None:
    assert what_starts(never_ran(**changes), Policy()) is None


def test_the_optimizer_proposes_it_although_nothing_can_be_diagnosed() -> None:
    stuck = never_ran()
    answer = KVCache().answer(stuck, diagnose(stuck), Policy())
    assert [proposal.optimization.expected_impact for proposal in answer.proposals] == [ImpactLevel.CRITICAL]
    assert [entry.code for entry in answer.abstentions] == [Reason.METRICS_MISSING]


def test_or_says_why_nothing_helps() -> None:
    stuck = never_ran()
    answer = KVCache().answer(stuck, diagnose(stuck), Policy(min_max_model_len=65_536))
    assert answer.proposals == ()
    assert [entry.code for entry in answer.abstentions] == [Reason.DOES_NOT_FIT, Reason.METRICS_MISSING]
