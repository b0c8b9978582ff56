"""What a replica gives where more of them share the load."""

from dataclasses import replace

from tests.support.levers import Priced, capped

from inferplan.api.reasons import Reason
from inferplan.diagnose.bottlenecks import diagnose
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Observation
from inferplan.domain.serving import Origin, Setting
from inferplan.estimate.forecast import Place, Ratios
from inferplan.estimate.forecast_replicas import shared_load
from inferplan.estimate.forecast_steps import StepForecast
from inferplan.estimate.forecasting import forecast_of


def made(observation: Observation, *, queued: bool) -> tuple[StepForecast, Place]:
    forecast = forecast_of(observation, (), queued=queued)
    assert isinstance(forecast, StepForecast)
    return forecast, Place(forecast.ground.before, forecast.ground.model)


def shared(forecast: StepForecast, place: Place, share: float) -> Ratios:
    found = shared_load(forecast, (place, place), share)
    assert isinstance(found, Ratios)
    return found


def test_all_of_the_load_is_what_is_forecast_anyway() -> None:
    seen = capped()
    forecast, place = made(seen, queued=diagnose(seen).queued)
    assert shared(forecast, place, 1.0) == forecast.ratios(place, place)


def test_less_load_is_served_sooner_and_faster() -> None:
    seen = capped()
    for queued in (True, False):
        forecast, place = made(seen, queued=queued)
        half = shared(forecast, place, 0.5)
        assert half.itl is not None
        assert half.ttft is not None
        assert half.itl.middle < 1
        assert half.ttft.middle < (0.1 if queued else 1)  # the queue goes: 26 in flight under a cap of 32
        assert half.throughput.middle < 1


def test_what_is_not_the_step_model_says_nothing() -> None:
    _, place = made(capped(), queued=True)
    found = shared_load(Priced({}), (place, place), 0.5)  # type: ignore[arg-type]  # a test's own forecast
    assert isinstance(found, Missing)
    assert found.code is Reason.METRICS_MISSING


def test_a_place_that_has_no_forecast_has_none_with_more_replicas() -> None:
    forecast, place = made(capped(), queued=True)
    unsized = replace(place, config=place.config.with_settings({"kv_cache_dtype": Setting("somehow", Origin.ARGUMENT)}))
    assert isinstance(shared_load(forecast, (place, unsized), 0.5), Missing)
    assert isinstance(shared_load(forecast, (unsized, place), 0.5), Missing)
