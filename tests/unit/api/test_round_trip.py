"""What is written is read back as the same: JSON, Kubernetes' spelling and that of HTTP."""

import inspect

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.cel_cases import FULL_PLAN_SPEC, FULL_SPEC, INSTANCE, SMALL_PLAN_SPEC

from inferplan.api import attempt, conditions, exchange, instance, instance_status, plan, values
from inferplan.api.base import WireModel
from inferplan.api.instance import InstanceSpec
from inferplan.api.plan import PlanSpec
from inferplan.api.values import ConfigChange, Optimization

MODULES = (conditions, exchange, instance, instance_status, plan, values)
MODELS = sorted(
    {
        model
        for module in MODULES
        for _, model in inspect.getmembers(module, inspect.isclass)
        if issubclass(model, WireModel) and model is not WireModel
    },
    key=lambda model: model.__name__,
)
FEW = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_model_is_frozen_strict_and_documented(model: type[WireModel]) -> None:
    assert model.model_config["frozen"] is True
    assert model.model_config["extra"] == "forbid"
    assert model.__doc__


EXAMPLES: tuple[WireModel, ...] = (
    InstanceSpec.from_kube(FULL_SPEC),
    InstanceSpec.from_kube(INSTANCE["spec"]),
    PlanSpec.from_kube(FULL_PLAN_SPEC),
    PlanSpec.from_kube(SMALL_PLAN_SPEC),
    instance_status.InstanceStatus(model="m", capacity={"weights": instance_status.MeasuredStatus(
        value=1.5, unit="bytes", window_seconds=900, source="config.json")}),
    plan.PlanStatus(phase=plan.Phase.VERIFIED, verification=attempt.VerificationStatus(realized="+31 %")),
    conditions.Condition(type="Ready", status=conditions.Status.TRUE, reason="Planned", message="m",
                         last_transition_time="2026-11-24T12:00:00Z", observed_generation=3),
    exchange.OptimizeRequest(instance_id="localhost:8000", instance_type="vllm",
                             current_config={"max_batch_size": 32, "quantization": "none", "x": None, "y": 0.9}),
)  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
def test_both_spellings_are_read_back_as_the_same(example: WireModel) -> None:
    model = type(example)
    assert model.model_validate_json(example.model_dump_json()) == example
    assert model.model_validate_json(example.model_dump_json(by_alias=True)) == example
    assert model.model_validate(example.to_http()) == example
    assert model.from_kube(example.to_kube()) == example


def test_the_examples_reach_every_model_of_the_custom_resources() -> None:
    shown: set[type[WireModel]] = set()

    def visit(value: object) -> None:
        if isinstance(value, WireModel):
            shown.add(type(value))
            for _, part in value:
                visit(part)
        elif isinstance(value, tuple | dict):
            for part in value.values() if isinstance(value, dict) else value:
                visit(part)

    for example in EXAMPLES[:4]:
        visit(example)
    specs = {model for model in MODELS if model.__module__ in {instance.__name__, values.__name__}}
    assert specs <= shown


def test_the_two_wires_spell_a_fraction_differently() -> None:
    change = ConfigChange(parameter="gpu_memory_utilization", recommended_value=0.92, reason="r")
    assert change.to_kube()["recommendedValue"] == "0.92"
    assert change.to_http()["recommended_value"] == 0.92


def test_a_number_stays_a_number_and_a_truth_value_becomes_text_in_kubernetes() -> None:
    def kube(value: bool | int | str) -> object:
        return ConfigChange(parameter="p", recommended_value=value, reason="r").to_kube()["recommendedValue"]

    assert kube(64) == 64
    assert kube(True) == "true"
    assert kube("auto") == "auto"


text = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20)
decided = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**31), 2**31), text, st.floats(allow_nan=False, allow_infinity=False)
)
changes = st.fixed_dictionaries(
    {"parameter": text, "reason": text},
    optional={"flag": text, "current_value": decided, "recommended_value": decided, "removes_flag": st.booleans()},
)
optimizations = st.fixed_dictionaries(
    {
        "type": st.sampled_from(values.OptimizationType),
        "title": text,
        "description": text,
        "config_changes": st.lists(changes, min_size=1, max_size=3),
        "expected_impact": st.sampled_from(values.ImpactLevel),
        "estimated_improvement": text,
        "confidence": st.sampled_from(values.Confidence),
        "source": st.sampled_from(values.Source),
        "implementation_effort": st.sampled_from(values.Effort),
    },
    optional={"risks": st.lists(text, max_size=3), "restart_required": st.booleans(), "accuracy_risk": text},
).map(Optimization.model_validate)


@FEW
@given(optimizations)
def test_any_optimization_survives_json(optimization: Optimization) -> None:
    assert Optimization.model_validate_json(optimization.model_dump_json()) == optimization


@FEW
@given(optimizations)
def test_any_optimization_survives_http_and_settles_in_kubernetes(optimization: Optimization) -> None:
    assert Optimization.model_validate(optimization.to_http()) == optimization
    once = Optimization.from_kube(optimization.to_kube())
    assert Optimization.from_kube(once.to_kube()) == once  # fractions become text once, and stay text
