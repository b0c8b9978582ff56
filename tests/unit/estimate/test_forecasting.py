"""Which forecast speaks: the step model with what windows taught, else bounds, else none and why."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.build import an

from inferplan.api.instance import WorkloadSpec
from inferplan.api.reasons import Reason
from inferplan.api.values import Source
from inferplan.domain.hardware import from_catalogue
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import NO_MODEL_CONFIG, NOT_MEASURED, History, HourlyWindow, Metrics, Observation
from inferplan.estimate.forecast import Outlook, Place
from inferplan.estimate.forecast_bounds import BoundedForecast
from inferplan.estimate.forecast_steps import StepForecast
from inferplan.estimate.forecasting import forecast_of
from inferplan.estimate.learning import OperatingPoint

SEEN: dict[str, float | None] = {
    "prompt_tokens_mean": 1000.0,
    "generation_tokens_mean": 300.0,
    "itl_mean_milliseconds": 14.0,
}
H100 = from_catalogue("NVIDIA-H100-80GB-HBM3", 1)
NO_LATENCY: dict[str, Any] = dict.fromkeys(("itl_mean_milliseconds", "ttft_mean_milliseconds"), NOT_MEASURED)
COUNTS = ("num_requests_running", "num_requests_waiting", "kv_cache_usage", "kv_cache_tokens")


def observation(**load: float | None) -> Observation:
    return replace(an.observation(load=SEEN | load), accelerator=H100)


def modelled(seen: Observation, *points: OperatingPoint, queued: bool = True) -> StepForecast:
    found = forecast_of(seen, points, queued=queued)
    assert isinstance(found, StepForecast), found
    return found


def point(running: float = 32.0, itl: float = 14.0) -> OperatingPoint:
    return OperatingPoint(running, 1000.0, 300.0, itl, None, "2026-11-26T00:00:00Z")


def hour(running: float, itl: float = 9.0) -> HourlyWindow:
    return HourlyWindow(1_795_651_200.0, True, running, 0.0, 2.0, 1000.0, 300.0, itl, None)


def fixed(forecast: StepForecast) -> float:
    assert forecast.calibration is not None
    return forecast.calibration.multipliers.fixed


def test_the_window_that_is_looked_at_calibrates() -> None:
    found = modelled(observation())
    assert found.windows == 1
    assert found.seen.load.concurrency == 44.0
    assert fixed(modelled(observation(itl_mean_milliseconds=28.0))) > fixed(found)


def test_it_takes_the_place_of_an_older_one_at_that_load() -> None:
    found = modelled(observation(), point(running=30.0, itl=40.0), point(running=4.0, itl=7.0))
    assert found.windows == 2
    assert fixed(found) == fixed(modelled(observation(), point(running=4.0, itl=7.0)))


def test_a_window_that_tells_nothing_leaves_the_older_ones() -> None:
    found = modelled(observation(itl_mean_milliseconds=None), point(running=30.0))
    assert found.windows == 1


def test_without_any_window_the_model_is_as_it_ships() -> None:
    found = modelled(observation(itl_mean_milliseconds=None))
    assert found.calibration is None
    assert found.source is Source.ROOFLINE


def test_past_hours_are_windows_at_loads_that_none_is_at() -> None:
    history = History((), (hour(31.0, itl=40.0), hour(4.0, itl=7.0)), None, "query_range")
    found = modelled(replace(observation(), history=history))
    assert found.windows == 2
    assert fixed(found) == fixed(modelled(observation(), point(running=4.0, itl=7.0)))


def test_without_a_queue_requests_come_at_their_rate() -> None:
    found = modelled(observation(requests_per_second=1.5), queued=False)
    assert found.seen.load.requests_per_second == 1.5


def test_declared_traffic_is_forecast_too() -> None:
    declared = WorkloadSpec(input_tokens=700, output_tokens=90, concurrency=8)
    counted = replace(observation(prompt_tokens_mean=None), declared=declared)
    assert modelled(counted).source is Source.ROOFLINE
    assert modelled(replace(counted, metrics=Metrics())).source is Source.RULE_OF_THUMB


def test_an_unknown_gpu_leaves_bounds() -> None:
    found = forecast_of(an.observation(load=SEEN), queued=True)
    assert isinstance(found, BoundedForecast)
    assert found.why.startswith("the GPU's bandwidth and peak are not known")


def test_a_speed_that_nothing_tells_leaves_bounds() -> None:
    settings = {"speculative_config": '{"method": "ngram"}'}
    seen = an.observation(load=SEEN | {"itl_mean_milliseconds": None}, settings=settings, accelerator=H100)
    found = forecast_of(seen, queued=True)
    assert isinstance(found, BoundedForecast)
    assert found.why.startswith("speculative decoding is on")


def test_lengths_that_were_not_measured_leave_bounds() -> None:
    found = forecast_of(observation(prompt_tokens_mean=None), queued=True)
    assert isinstance(found, BoundedForecast)
    assert found.why == "the lengths of requests are needed: not measured"


@pytest.mark.parametrize("name", COUNTS)
def test_without_lengths_and_counts_there_is_no_forecast(name: str) -> None:
    found = forecast_of(observation(prompt_tokens_mean=None, **{name: None}), queued=True)
    assert found == Missing(Reason.METRICS_MISSING, "the lengths of requests are needed: not measured")


def test_without_a_model_there_is_no_forecast() -> None:
    assert forecast_of(replace(observation(), model=NO_MODEL_CONFIG), queued=True) == NO_MODEL_CONFIG


def test_an_instance_whose_memory_is_not_sized_has_no_forecast() -> None:
    settings = {"quantization": "unheard of"}
    seen = an.observation(load=SEEN | {"kv_cache_tokens": None}, settings=settings, accelerator=H100)
    found = forecast_of(seen, queued=True)
    assert isinstance(found, Missing)
    assert found.code is Reason.SETTING_UNKNOWN


def test_what_the_prefix_cache_finds_is_not_taken_for_a_faster_engine() -> None:
    """A window that is exactly what the model says teaches that the model is right, whatever share was found."""
    for share in (0.0, 0.8):
        load: dict[str, float | None] = {
            "prompt_tokens_mean": 3000.0,
            "prefix_cache_hit_share": share,
            "num_requests_running": 12.0,
            "num_requests_waiting": 0.0,
            "requests_per_second": 2.0,
            "kv_cache_usage_mean": None,
        }
        bare = replace(observation(), metrics=an.serving(SEEN | load).metrics)
        plain = modelled(replace(bare, metrics=replace(bare.metrics, **NO_LATENCY)), queued=False)
        today = plain.outlook(Place(plain.ground.before, plain.ground.model), {})
        assert isinstance(today, Outlook)
        exact = {
            "itl_mean_milliseconds": float(today.itl[0] * 1e3),
            "ttft_mean_milliseconds": float(today.ttft[0] * 1e3),
        }
        running = 2.0 * float(today.ttft[0] + 300 * today.itl[0])
        seen = an.serving(SEEN | load | exact | {"num_requests_running": running})
        found = modelled(replace(seen, accelerator=H100), queued=False).calibration
        assert found is not None
        times = found.multipliers
        assert [times.fixed, times.growing, times.prompts] == pytest.approx([1.0, 1.0, 1.0], abs=0.03)
