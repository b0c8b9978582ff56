"""Prefix caching that was switched off, and what is only advised."""

from typing import Any

import pytest
from tests.support.build import H100, a, an, metrics
from tests.support.models import config as model_config

from inferplan.api.instance import Objective, WorkloadSpec
from inferplan.api.plan import Alternative
from inferplan.api.reasons import Reason
from inferplan.api.values import Confidence, Engine, Optimization
from inferplan.diagnose.bottlenecks import diagnose
from inferplan.dialects.editing import edit
from inferplan.dialects.effective import effective
from inferplan.domain.hardware import from_catalogue
from inferplan.domain.lever import Option
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.model_config import read_model_config
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Policy
from inferplan.domain.serving import SettingValue
from inferplan.engine.planner import plan
from inferplan.optimizers.kv_cache import KVCache
from inferplan.optimizers.kv_cache_advice import HITS_MIN, kv_cache_advice
from inferplan.optimizers.kv_cache_prefix import prefix_caching_on
from inferplan.optimizers.kv_cache_pressure import Pressure

OFF: dict[str, SettingValue] = {"enable_prefix_caching": False}
QUIET = dict.fromkeys(
    ("num_requests_running", "num_requests_running_peak", "requests_per_second", "generation_tokens_per_second"), 0.0
)
FULL_CACHE = Pressure(True, "The KV cache is full", ())


def answer(observation: Observation) -> Option | Optimization | Missing | None:
    return prefix_caching_on(observation, diagnose(observation))


def proposed(observation: Observation) -> Optimization:
    made = answer(observation)
    assert isinstance(made, Optimization), made
    return made


def of_engine(engine: Engine, version: str, **settings: SettingValue) -> dict[str, Any]:
    return {"config": effective(a.config(engine, version, max_batch_size=32, **settings), H100)}


def hybrid() -> ModelCard:
    layers = ["linear_attention", "linear_attention", "full_attention"] * 2
    linear = {
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 32,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "linear_conv_kernel_dim": 4,
    }
    card = read_model_config(model_config("Qwen3NextForCausalLM", layer_types=layers, head_dim=128, **linear))
    assert isinstance(card, ModelCard), card
    assert card.has_states
    return card


def test_what_was_switched_off_is_switched_on_without_a_number() -> None:
    made = proposed(an.serving(settings=OFF))
    (change,) = made.config_changes
    assert (change.flag, change.current_value, change.recommended_value) == ("--enable-prefix-caching", False, True)
    assert change.evidence[0].formula == "default of vllm 0.33.0 on this GPU, without the argument"
    assert change.evidence[1].query == "vllm:prompt_tokens_mean"
    assert (made.effects, made.confidence) == ((), Confidence.LOW)
    assert "cannot be measured while it is off" in made.estimated_improvement
    assert made.raises_confidence


def test_a_declared_share_bounds_what_it_brings() -> None:
    made = proposed(an.serving(settings=OFF, declared=WorkloadSpec(prefix_share=0.8)))
    (effect,) = made.effects
    assert (effect.low, effect.expected, effect.high) == (0.2, None, 1.0)
    assert (made.confidence, made.raises_confidence) == (Confidence.MEDIUM, ())
    assert "80%" in made.description
    assert made.config_changes[0].evidence[-1].value == 0.8


def test_a_declared_share_is_a_lever_where_the_step_model_speaks() -> None:
    known: dict[str, Any] = {"accelerator": from_catalogue("NVIDIA-H100-80GB-HBM3", 1), "settings": OFF}
    made = answer(an.serving(**known, declared=WorkloadSpec(prefix_share=0.8)))
    assert isinstance(made, Option), made
    (change,) = made.changes
    assert (change.flag, change.recommended_value) == ("--enable-prefix-caching", True)
    assert change.evidence[-1].value == 0.8
    assert (
        "80% of the prompts' tokens repeat an earlier start. What the cache finds of it is between nothing and all"
        in (made.description)
    )
    assert made.confidence_most is Confidence.MEDIUM
    assert isinstance(answer(an.serving(**known)), Optimization)
    lengths = {"prompt_tokens_mean": None, "generation_tokens_mean": None}
    assert isinstance(answer(an.serving(lengths, **known, declared=WorkloadSpec(prefix_share=0.8))), Optimization)


def test_it_is_weighed_with_the_other_changes() -> None:
    seen = an.serving(
        {"prompt_tokens_mean": 3000.0, "kv_cache_usage_mean": None},
        accelerator=from_catalogue("NVIDIA-H100-80GB-HBM3", 1),
        settings=OFF,
        declared=WorkloadSpec(prefix_share=0.8),
    )
    found = KVCache().answer(seen, diagnose(seen), Policy())
    (lever,) = found.levers
    assert [change.parameter for change in lever.options[0].changes] == ["enable_prefix_caching"]
    assert found.proposals == ()
    assert [entry.code for entry in found.abstentions] == [Reason.GAIN_TOO_SMALL, Reason.NOT_KV_BOUND]
    policy = Policy(objective=Objective.LATENCY, forbid=("quantization",))
    (made,) = plan(seen, policy).decision.optimizations
    assert (made.title, made.confidence) == ("Switch prefix caching on again", Confidence.MEDIUM)
    assert {effect.metric for effect in made.effects} >= {"itl_mean", "ttft_mean"}


def test_a_declared_share_is_enough_where_nothing_is_measured() -> None:
    bare: dict[str, Any] = {"metrics": metrics(), "settings": OFF}
    made = proposed(an.observation(**bare, declared=WorkloadSpec(prefix_share=0.5)))
    assert len(made.config_changes[0].evidence) == 2  # the default and the owner's word
    assert answer(an.observation(**bare)) is None
    assert answer(an.observation(**bare, declared=WorkloadSpec(input_tokens=100))) is None


def test_sglangs_flag_is_taken_out() -> None:
    made = proposed(an.serving(**of_engine(Engine.SGLANG, "0.5.23", enable_prefix_caching=False)))
    (change,) = made.config_changes
    assert (change.flag, change.removes_flag, change.recommended_value) == ("--disable-radix-cache", True, None)
    assert "a tree" in made.description


@pytest.mark.parametrize(
    ("argument", "version"), [("--no-enable-prefix-caching", "0.33.0"), ("--no-enable-prefix-caching", "0.8.5")]
)
def test_the_change_can_be_written(argument: str, version: str) -> None:
    edited = edit(a.container("org/m", argument), {"enable_prefix_caching": True}, version)
    assert "--enable-prefix-caching" in getattr(edited, "args", ())


@pytest.mark.parametrize(
    "changes",
    [
        {},  # on by default
        {"settings": {"enable_prefix_caching": True}},
        {"drop": ("enable_prefix_caching",)},
        of_engine(Engine.VLLM, "0.7.3"),  # V0 has it off by itself
        {"settings": OFF, "load": QUIET},
        {"settings": OFF, "load": {"uptime_seconds": 30.0}},
        {"settings": OFF, "load": {"num_requests_running": None}},
        {"config": a.config(Engine.TGI, enable_prefix_caching=False)},
    ],
)
def test_where_nobody_switched_it_off_or_nothing_runs_nothing_is_said(changes: dict[str, Any]) -> None:
    assert answer(an.serving(**changes)) is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (of_engine(Engine.VLLM, "0.7.3", enable_prefix_caching=False), Reason.SETTING_UNKNOWN),
        ({"settings": OFF, "model": hybrid()}, Reason.SETTING_UNKNOWN),
        ({"settings": OFF, "declared": WorkloadSpec(prefix_share=0)}, Reason.NOT_LIMITED),
    ],
)
def test_where_its_default_is_not_to_be_on_or_the_owner_knows_better_it_is_left(
    changes: dict[str, Any], code: Reason
) -> None:
    why = answer(an.serving(**changes))
    assert isinstance(why, Missing)
    assert why.code is code


SHARING: dict[str, float] = {"prefix_cache_hit_share": 0.4}
PREEMPTING: dict[str, float] = {"preemptions_per_second": 0.5}  # of 2 requests per second
CALM: dict[str, float] = {"prefix_cache_hit_share": 0.0}


def advised(load: dict[str, float | None], **changes: Any) -> tuple[Alternative, ...]:
    return kv_cache_advice(an.serving(load={**CALM, **load}, **changes), FULL_CACHE)


def sglang(**settings: SettingValue) -> dict[str, Any]:
    return of_engine(Engine.SGLANG, "0.5.23", **settings)


@pytest.mark.parametrize(
    ("load", "changes", "flag"),
    [
        (SHARING, {}, "--kv-offloading-size"),
        ({"prefix_cache_hit_share": HITS_MIN}, {}, "--kv-offloading-size"),
        (SHARING, {"settings": {"kv_offloading_size": 0}}, "--kv-offloading-size"),
        (SHARING, sglang(), "--enable-hierarchical-cache"),
        (PREEMPTING, {}, "--watermark"),
        (PREEMPTING, {"settings": {"watermark": 0.0}}, "--watermark"),
        (PREEMPTING, sglang(), "--schedule-conservativeness"),
    ],
)
def test_what_relieves_a_full_cache_and_has_no_forecast_is_advised(
    load: dict[str, float | None], changes: dict[str, Any], flag: str
) -> None:
    (advice,) = advised(load, **changes)
    assert flag in advice.title
    assert advice.effects == ()


@pytest.mark.parametrize(
    ("load", "changes"),
    [
        ({}, {}),
        ({"prefix_cache_hit_share": 0.19}, {}),
        ({"prefix_cache_hit_share": None}, {}),
        (SHARING, {"settings": OFF}),
        (SHARING, {"settings": {"kv_offloading_size": 64}}),
        (SHARING, {"settings": {"kv_transfer_config": '{"kv_connector": "LMCacheConnectorV1"}'}}),
        (SHARING, sglang(enable_hierarchical_cache=True)),
        (SHARING, {"config": effective(a.config(version="0.10.2"), H100)}),
        (SHARING, {"config": a.config(version=None, enable_prefix_caching=True)}),
        ({"preemptions_per_second": 0.09}, {}),
        ({"preemptions_per_second": None}, {}),
        (PREEMPTING, {"settings": {"watermark": 0.02}}),
        (PREEMPTING, sglang(schedule_conservativeness=1.3)),
        (PREEMPTING, {"config": effective(a.config(version="0.23.0"), H100)}),
    ],
)
def test_without_sign_or_flag_nothing_is_advised(load: dict[str, float | None], changes: dict[str, Any]) -> None:
    assert advised(load, **changes) == ()


def test_a_cache_that_is_not_full_gets_no_advice() -> None:
    nearly = Pressure(False, "The KV cache is nearly full", ())
    assert kv_cache_advice(an.serving(load={**SHARING, **PREEMPTING}), nearly) == ()
