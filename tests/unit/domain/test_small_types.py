"""Units, hardware, measurements, settings."""

import pytest
from tests.support.build import H100, a, measured

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.domain.hardware import UNKNOWN_ACCELERATOR, Accelerator, canonical_product, from_catalogue, merge
from inferplan.domain.measurement import Measured, Missing
from inferplan.domain.observation import Metrics
from inferplan.domain.owner import told_manager
from inferplan.domain.serving import Origin, ServingConfig, Setting
from inferplan.domain.units import in_gib, significant


@pytest.mark.parametrize(
    ("value", "shown"), [(8.177182794757417, 8.177), (450_368.0, 450_368.0), (0.018759, 0.01876), (0.0, 0.0)]
)
def test_a_measured_value_keeps_four_digits_unless_it_is_whole(value: float, shown: float) -> None:
    assert significant(value) == shown


def test_bytes_are_shown_in_gib() -> None:
    assert in_gib(42_949_672_960) == "40.0 GiB"  # 40 x 2^30


def test_a_marketing_name_becomes_the_label() -> None:
    assert canonical_product("nvidia h100 80gb hbm3") == "NVIDIA-H100-80GB-HBM3"
    assert canonical_product("Some GPU") == "Some-GPU"


def test_the_catalogue_knows_some_products() -> None:
    assert from_catalogue("NVIDIA H200", 2) == Accelerator("NVIDIA-H200", 2, 143_771, 90, "catalogue")
    assert from_catalogue("Some GPU", 2) == Accelerator("Some-GPU", 2, source="spec")


def test_the_fallback_fills_what_is_not_known() -> None:
    stated = Accelerator(count=4, source="spec")
    assert merge(stated, H100) == Accelerator("NVIDIA-H100-80GB-HBM3", 4, 81_559, 90, "nodeLabels")
    assert merge(Accelerator("NVIDIA H100 80GB HBM3", source="spec"), H100).memory_mib == 81_559
    assert merge(UNKNOWN_ACCELERATOR, UNKNOWN_ACCELERATOR) == UNKNOWN_ACCELERATOR


def test_another_product_lends_nothing_but_the_count() -> None:
    stated = Accelerator("NVIDIA-B300", source="spec")
    assert merge(stated, H100) == Accelerator("NVIDIA-B300", 1, None, None, "spec")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400])
def test_a_measurement_is_a_number(value: float) -> None:
    with pytest.raises(ValueError, match=r"q: .* is no measured value"):
        Measured(value, "1", "q")


def test_a_measurement_becomes_evidence() -> None:
    evidence = Measured(0.123456789, "1", "avg(x)", 900).as_evidence()
    assert (evidence.query, evidence.value, evidence.unit, evidence.window_seconds) == ("avg(x)", 0.123457, "1", 900)


def test_only_what_is_there_is_measured() -> None:
    slo = (("ttft p95", measured("ttft", 100)), ("itl p95", Missing(Reason.METRICS_STALE, "old")))
    seen = Metrics(kv_cache_usage=measured("kv", 0.5), slo_milliseconds=slo)
    assert set(seen.measured()) == {"kv_cache_usage", "ttft_p95_milliseconds"}


def test_a_setting_of_another_type_is_not_known() -> None:
    config = a.config(number=1, share=0.5, yes=True, text="x", digits="7")
    assert [config.integer(key) for key in ("number", "share", "yes", "digits", "none")] == [1, None, None, None, None]
    assert [config.fraction(key) for key in ("number", "share", "yes", "text", "none")] == [1.0, 0.5, None, None, None]
    assert [config.flag(key) for key in ("yes", "number", "none")] == [True, None, None]
    assert [config.text(key) for key in ("text", "number", "none")] == ["x", "1", None]


def test_settings_win_and_defaults_fill() -> None:
    config = ServingConfig(Engine.VLLM, settings={"b": Setting(1, Origin.SPEC)})
    other = {"b": Setting(2, Origin.ARGUMENT), "a": Setting(3, Origin.VERSION_DEFAULT)}
    assert [(key, setting.value) for key, setting in config.with_settings(other).items()] == [("a", 3), ("b", 2)]
    assert [(key, setting.value) for key, setting in config.with_defaults(other).items()] == [("a", 3), ("b", 1)]


@pytest.mark.parametrize(
    ("manager", "told"),
    [
        ("kubectl-edit", "kubectl-edit (a person with kubectl)"),
        ("argocd-controller", "argocd-controller (Argo CD)"),
        ("helm-controller", "helm-controller (Flux)"),
        ("Helm", "Helm"),
        ("ray-operator", "ray-operator"),
    ],
)
def test_a_field_manager_is_told_with_who_that_is(manager: str, told: str) -> None:
    assert told_manager(manager) == told
