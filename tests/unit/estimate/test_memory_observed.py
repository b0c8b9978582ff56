"""The memory of an instance that was looked at: what its cache teaches, and what stands in for what is not known."""

from dataclasses import replace

import pytest
from tests.support.build import H100, LLAMA, a, an

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.domain.hardware import Accelerator
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.observation import NO_MODEL_CONFIG, Observation
from inferplan.domain.serving import Origin, ServingConfig, Setting, SettingValue
from inferplan.estimate.memory_observed import Ground, Sizes, ground_of, sizes
from inferplan.estimate.result import Interval

UNMEASURED: dict[str, float | None] = {"kv_cache_tokens": None}
NAMELESS = Accelerator("Nobody's GPU", 1)


def ground(observation: Observation, **settings: SettingValue) -> Ground:
    found = ground_of(observation, after(observation, **settings))
    assert isinstance(found, Ground), found
    return found


def refused(observation: Observation, **settings: SettingValue) -> Missing:
    found = ground_of(observation, after(observation, **settings))
    assert isinstance(found, Missing), found
    assert sizes(observation, after(observation, **settings)) == found
    return found


def after(observation: Observation, **settings: SettingValue) -> ServingConfig:
    return observation.config.with_settings({key: Setting(value, Origin.ARGUMENT) for key, value in settings.items()})


def tokens(observation: Observation, card: ModelCard | None = None, **settings: SettingValue) -> tuple[float, float]:
    found = sizes(observation, after(observation, **settings), card)
    assert isinstance(found, Sizes), found
    both = found.before.kv_cache_tokens, found.after.kv_cache_tokens
    assert isinstance(both[0], Interval)
    assert isinstance(both[1], Interval)
    return both[0].expected, both[1].expected


def test_a_measured_cache_comes_out_as_it_was_measured() -> None:
    seen = an.observation()
    found = ground(seen)
    assert (found.before, found.accelerator, found.model) == (seen.config, H100, LLAMA)
    assert found.totals_known
    assert found.overhead is not None
    assert tokens(seen) == (pytest.approx(400_000, rel=1e-3),) * 2


def test_without_a_measured_cache_the_arithmetic_stands_alone() -> None:
    seen = an.observation(load=UNMEASURED)
    assert ground(seen).overhead is None
    assert tokens(seen)[0] > 400_000


def test_what_would_run_is_sized_by_the_same_overhead() -> None:
    before, then = tokens(an.observation(), kv_cache_dtype="fp8")
    assert then == pytest.approx(2 * before, rel=1e-3)


def test_another_model_that_would_run_is_sized_as_itself() -> None:
    before, then = tokens(an.observation(), a.model(num_layers=16))
    assert then > 2 * before  # half of the layers, and what their weights leave


@pytest.mark.parametrize(
    "settings",
    [
        {"num_gpu_blocks_override": 25_000},  # fixed, whatever is left
        {"kv_cache_memory_bytes": 50_000_000_000},
        {"data_parallel_size": 2},  # the metric may be the sum
        {"pipeline_parallel_size": 2},
    ],
)
def test_a_cache_that_is_not_what_was_left_teaches_nothing(settings: dict[str, SettingValue]) -> None:
    assert ground(an.observation(settings=settings)).overhead is None


def test_a_cache_that_contradicts_the_arithmetic_is_refused() -> None:
    assert refused(an.observation(load={"kv_cache_tokens": 4_000_000.0})).code is Reason.MEMORY_UNPROVEN


def test_without_a_model_nothing_is_sized() -> None:
    assert refused(an.observation(model=NO_MODEL_CONFIG)) == NO_MODEL_CONFIG


def test_a_measured_cache_stands_in_for_the_gpu() -> None:
    seen = an.observation(accelerator=NAMELESS)
    found = ground(seen)
    assert not found.totals_known
    assert found.accelerator.usable_mib is not None
    before, then = tokens(seen, kv_cache_dtype="fp8")
    assert (before, then) == (pytest.approx(400_000, rel=1e-3), pytest.approx(800_000, rel=1e-3))


def test_a_share_of_an_unknown_gpu_cannot_change() -> None:
    seen = an.observation(accelerator=NAMELESS)
    found = refused(seen, gpu_memory_utilization=0.95)
    assert found == Missing(Reason.ACCELERATOR_UNKNOWN, "the memory of the GPU is not known")


def test_without_gpu_and_cache_nothing_is_sized() -> None:
    found = refused(an.observation(accelerator=NAMELESS, load=UNMEASURED))
    assert found == Missing(Reason.ACCELERATOR_UNKNOWN, "the memory of the GPU is not known")


@pytest.mark.parametrize("name", ["gpu_memory_utilization", "quantization"])
def test_a_measured_cache_stands_in_for_a_setting_that_stays(name: str) -> None:
    seen = an.observation(drop=(name,))
    found = ground(seen)
    assert not found.totals_known
    assert found.before.value(name) == found.after.value(name)
    assert found.before.value(name) is not None
    assert tokens(seen)[0] == pytest.approx(400_000, rel=1e-3)


@pytest.mark.parametrize("name", ["gpu_memory_utilization", "quantization"])
def test_without_a_measured_cache_it_is_asked_for(name: str) -> None:
    found = refused(an.observation(drop=(name,), load=UNMEASURED))
    assert found == Missing(Reason.SETTING_UNKNOWN, f"{name} is not known")


def test_nothing_stands_in_for_a_setting_that_is_changed() -> None:
    found = refused(an.observation(drop=("gpu_memory_utilization",)), gpu_memory_utilization=0.95)
    assert found == Missing(Reason.SETTING_UNKNOWN, "gpu_memory_utilization is not known")


@pytest.mark.parametrize("also", [(), ("quantization",)])
def test_nothing_stands_in_for_the_caches_format(also: tuple[str, ...]) -> None:
    found = refused(an.observation(drop=("kv_cache_dtype", *also)))
    assert found == Missing(Reason.SETTING_UNKNOWN, "kv_cache_dtype is not known")


def test_a_cache_of_fixed_bytes_needs_no_share() -> None:
    settings: dict[str, SettingValue] = {"kv_cache_memory_bytes": 50_000_000_000}
    assert ground(an.observation(settings=settings, drop=("gpu_memory_utilization",))).totals_known


def test_a_checkpoint_that_says_its_format_needs_no_flag() -> None:
    quantized = a.model(quantization_method="awq")
    seen = an.observation(model=quantized, load=UNMEASURED, drop=("quantization",))
    assert ground(seen).totals_known


def test_another_engine_names_its_share_otherwise() -> None:
    config = a.config(
        Engine.SGLANG, "0.5.23", tensor_parallel_size=1, kv_cache_dtype="auto", quantization="none", max_model_len=8192
    )
    assert ground(an.observation(config=config, load=UNMEASURED)).totals_known


@pytest.mark.parametrize("changed", [False, True])
def test_what_cannot_be_sized_before_or_after_has_no_sizes(*, changed: bool) -> None:
    unsized: dict[str, SettingValue] = {"quantization": "unheard of"}
    seen = an.observation(load=UNMEASURED, settings={} if changed else unsized)
    found = sizes(seen, after(seen, **unsized) if changed else replace(seen.config))
    assert isinstance(found, Missing)
    assert found.code is Reason.SETTING_UNKNOWN
