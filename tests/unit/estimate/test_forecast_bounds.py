"""What other settings would do where only measured counts speak: nothing at least, in proportion at most."""

from collections.abc import Sequence
from dataclasses import replace
from math import exp, sqrt

import numpy as np
import pytest
from tests.support.build import LLAMA, a, an

from inferplan.api.reasons import Reason
from inferplan.api.values import Source
from inferplan.domain.architecture import DenseMLP, Layer, LinearAttention
from inferplan.domain.lever import LimitKey
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Observation
from inferplan.domain.serving import Origin, Setting, SettingValue
from inferplan.estimate.bounds_today import Today, measured_today
from inferplan.estimate.forecast import Outlook, Place, Ratios, Span
from inferplan.estimate.forecast_bounds import BoundedForecast
from inferplan.estimate.memory_observed import Ground, ground_of

FULL = {"kv_cache_usage": 0.99, "num_requests_running": 20.0, "num_requests_waiting": 60.0}
SAME = Span(1.0, None, 1.0)
QUEUE: dict[str, float | None] = {"num_requests_waiting": 400.0}
MEASURED = ("num_requests_running", "num_requests_waiting", "kv_cache_usage", "kv_cache_tokens")


def bounded(observation: Observation | None = None) -> BoundedForecast:
    seen = observation or an.observation(load=QUEUE)
    ground, today = ground_of(seen, seen.config), measured_today(seen)
    assert isinstance(ground, Ground)
    assert isinstance(today, Today)
    return BoundedForecast(ground, today, "the GPU is not known")


def place(forecast: BoundedForecast, doubt: float = 0.0, **settings: SettingValue) -> Place:
    changes = {key: Setting(value, Origin.ARGUMENT) for key, value in settings.items()}
    return Place(forecast.ground.before.with_settings(changes), LLAMA, doubt)


def ratios(forecast: BoundedForecast, after: Place) -> Ratios:
    found = forecast.ratios(place(forecast), after)
    assert isinstance(found, Ratios), found
    return found


def outlook(forecast: BoundedForecast, at: Place | None = None, **moves: Sequence[float]) -> Outlook:
    named = {LimitKey[name]: np.array(values, dtype=np.float64) for name, values in moves.items()}
    found = forecast.outlook(at or place(forecast), named)
    assert isinstance(found, Outlook), found
    return found


def test_a_cache_holds_as_many_more_as_it_is_larger() -> None:
    today = Today(running=32.0, waiting=0.0, usage=0.3, tokens=400_000.0, cap=32.0)
    assert today.fits(np.array([400_000.0, 800_000.0])).tolist() == [pytest.approx(96.0), pytest.approx(192.0)]


def test_preempted_requests_tell_of_a_full_cache_that_no_sample_saw() -> None:
    calm, preempting = (bounded(an.observation(load={**QUEUE, "preemptions_per_second": rate})) for rate in (0.0, 0.1))
    assert ratios(calm, place(calm, max_batch_size=64)).throughput.high == pytest.approx(2.0)
    assert ratios(preempting, place(preempting, max_batch_size=64)).throughput.high == 1.0


def test_a_cache_that_is_full_today_may_be_as_full() -> None:
    today = Today(running=20.0, waiting=60.0, usage=0.99, tokens=400_000.0, cap=32.0)
    assert today.fits(np.array([400_000.0, 800_000.0])).tolist() == [pytest.approx(20.0), pytest.approx(40.0)]


def test_a_cache_that_nothing_uses_holds_a_request_a_token() -> None:
    assert Today(1.0, 0.0, 0.0, 1000.0, 32.0).fits(np.array([1000.0])).tolist() == [900.0]


def test_what_was_measured_is_taken_as_it_is() -> None:
    found = measured_today(an.observation(load=QUEUE))
    assert found == Today(running=32.0, waiting=400.0, usage=0.3, tokens=400_000.0, cap=32.0, budget=8192.0)


STEADY: dict[str, float | None] = {
    "prompt_tokens_per_second": 5000.0,
    "requests_per_second": 2.0,
    "itl_mean_milliseconds": 50.0,
}


KEPT = 1 / (1 + (5000 / 2048 + 2) * 0.05)


def test_shorter_steps_cost_their_fixed_parts_and_no_more() -> None:
    forecast = bounded(an.observation(load=STEADY))
    found = ratios(forecast, place(forecast, max_num_batched_tokens=2048))
    assert found.throughput == Span(pytest.approx(KEPT), None, 1.0)
    assert found.itl == Span(pytest.approx(0.25), None, pytest.approx(1 / KEPT))


@pytest.mark.parametrize(("waiting", "longest", "low"), [(0.0, 4096.0, 0.5), (0.0, 1000.0, 1.0), (12.0, 1000.0, 0.25)])
def test_steps_are_no_longer_than_the_longest_prompt_where_nothing_queues(
    waiting: float, longest: float, low: float
) -> None:
    load = {**STEADY, "num_requests_waiting": waiting, "prompt_tokens_max": longest}
    forecast = bounded(an.observation(load=load))
    found = ratios(forecast, place(forecast, max_num_batched_tokens=2048)).itl
    assert found == Span(pytest.approx(low), None, pytest.approx(1.0 if low == 1.0 else 1 / KEPT))


@pytest.mark.parametrize(
    ("budget", "then", "most"),
    [(8192, 32768, (1024 + 8192) / (256 + 8192)), (64, 256, (1024 + 64) / (256 + 64)), (8192, 8192, 1.0)],
)
def test_longer_steps_save_their_fixed_part_and_no_more(budget: int, then: int, most: float) -> None:
    load = {**QUEUE, "tokens_per_step": float(budget)}
    forecast = bounded(an.observation(load=load, settings={"max_num_batched_tokens": budget, "max_batch_size": 32}))
    found = ratios(forecast, place(forecast, max_num_batched_tokens=then, max_batch_size=64))
    assert found.throughput == Span(1.0, None, pytest.approx(most))


def test_without_the_time_of_a_step_shorter_ones_may_cost_in_proportion() -> None:
    forecast = bounded(an.observation(load={**STEADY, "itl_mean_milliseconds": None}))
    assert ratios(forecast, place(forecast, max_num_batched_tokens=2048)).throughput.low == pytest.approx(0.25)


def test_with_speculation_a_step_is_longer_than_the_time_between_tokens() -> None:
    settings = {"speculative_config": '{"method": "ngram", "num_speculative_tokens": 4}'}
    forecast = bounded(an.observation(load=STEADY, settings=settings))
    assert ratios(forecast, place(forecast, max_num_batched_tokens=2048)).throughput.low == pytest.approx(0.25)


def test_what_prompts_take_of_the_time_a_larger_batch_does_not_give_back() -> None:
    half = {**QUEUE, "itl_mean_milliseconds": 100.0, "itl_p50_milliseconds": 50.0}
    forecast = bounded(an.observation(load=half))
    found = ratios(forecast, place(forecast, max_batch_size=64))
    assert found.throughput == Span(1.0, None, pytest.approx(1 / 0.75))
    assert found.itl == Span(pytest.approx(1.5), None, pytest.approx(2.0))


def test_a_smaller_batch_loses_no_more_than_it_must() -> None:
    half = {**QUEUE, "itl_mean_milliseconds": 100.0, "itl_p50_milliseconds": 50.0}
    forecast = bounded(an.observation(load=half))
    found = ratios(forecast, place(forecast, max_batch_size=16))
    assert found.throughput == Span(pytest.approx(1 / 1.5), None, 1.0)
    assert found.itl == Span(pytest.approx(0.5), None, pytest.approx(0.75))


def test_where_the_queue_grows_as_many_run_as_may() -> None:
    growing = {"num_requests_waiting": 4.0, "requests_per_second": 2.0, "arrivals_per_second": 3.0}
    forecast = bounded(an.observation(load=growing))
    assert ratios(forecast, place(forecast, max_batch_size=64)).throughput.high == pytest.approx(2.0)


def test_percentiles_lie_between_no_effect_and_one_in_proportion() -> None:
    half = {**QUEUE, "itl_mean_milliseconds": 100.0, "itl_p50_milliseconds": 50.0}
    forecast = bounded(an.observation(load=half))
    found = forecast.ratios(place(forecast), place(forecast, max_batch_size=64), (95,))
    assert isinstance(found, Ratios)
    assert found.tails[95] == Span(1.0, None, pytest.approx(2.0))


def test_a_larger_batch_and_shorter_steps_each_keep_their_end() -> None:
    forecast = bounded(an.observation(load={**QUEUE, **STEADY}))
    found = forecast.ratios(place(forecast), place(forecast, max_batch_size=64, max_num_batched_tokens=2048), (99,))
    assert isinstance(found, Ratios)
    assert found.throughput == Span(pytest.approx(KEPT), None, pytest.approx(2.0))
    assert found.itl == Span(pytest.approx(0.25), None, pytest.approx(2.0 / KEPT))
    assert found.tails[99] == Span(pytest.approx(0.25), None, pytest.approx(2.0))


def test_an_unknown_cap_is_none_and_an_idle_engine_runs_one() -> None:
    found = measured_today(
        an.observation(load={"num_requests_running": 0.2}, drop=("max_batch_size", "max_num_batched_tokens"))
    )
    assert found == Today(running=1.0, waiting=12.0, usage=0.3, tokens=400_000.0, cap=float("inf"))


@pytest.mark.parametrize("name", MEASURED)
def test_every_count_is_needed(name: str) -> None:
    found = measured_today(an.observation(load={name: None}))
    assert found == Missing(Reason.METRICS_MISSING, "not measured")


def test_the_same_configuration_does_the_same() -> None:
    forecast = bounded()
    assert ratios(forecast, place(forecast)) == Ratios(SAME, SAME, None)


def test_twice_the_cap_is_between_nothing_and_twice() -> None:
    forecast = bounded()
    found = ratios(forecast, place(forecast, max_batch_size=64))
    assert found.throughput == Span(1.0, None, pytest.approx(2.0))
    assert found.itl == found.throughput
    assert found.ttft is None


def test_half_the_cap_is_between_half_and_nothing() -> None:
    forecast = bounded()
    assert ratios(forecast, place(forecast, max_batch_size=16)).throughput == Span(pytest.approx(0.5), None, 1.0)


def test_a_cap_runs_no_more_than_there_are() -> None:
    forecast = bounded(an.observation())
    assert ratios(forecast, place(forecast, max_batch_size=512)).throughput.high == pytest.approx(44 / 32)


def test_a_cap_runs_no_more_than_the_cache_holds() -> None:
    forecast = bounded()
    most = ratios(forecast, place(forecast, max_batch_size=512)).throughput.high
    assert 0.95 * 96 / 32 < most < 96 / 32  # the cap itself takes memory: graphs, sampling


def test_a_cache_of_half_as_wide_values_holds_twice_as_many() -> None:
    forecast = bounded(an.observation(load=FULL))
    found = ratios(forecast, place(forecast, kv_cache_dtype="fp8", max_batch_size=64))
    assert found.throughput.low == 1.0
    assert found.throughput.high == pytest.approx(2.0, rel=0.01)


def test_a_doubt_widens_both_ends() -> None:
    forecast = bounded()
    found = ratios(forecast, place(forecast, 0.2, max_batch_size=64)).throughput
    assert found == Span(pytest.approx(exp(-1.2816 * 0.2)), None, pytest.approx(2 * exp(1.2816 * 0.2)))


def test_percentiles_of_the_time_between_tokens_are_bounded_as_the_mean_is() -> None:
    forecast = bounded()
    found = forecast.ratios(place(forecast), place(forecast, max_batch_size=64), (50, 95))
    assert isinstance(found, Ratios)
    assert found.tails == {50: found.itl, 95: found.itl}
    middle = outlook(forecast, SEQUENCES=(64,))
    assert middle.itl_tail(95.0).tolist() == middle.itl.tolist()


@pytest.mark.parametrize(
    ("tokens", "budget", "ratio"),
    [
        (7000.0, 16_384, 9216 / 8704 * 8192 / 7000),  # steps are full of prompts: they save a fixed part
        (7000.0, 4096, 0.5),
        (6144.0, 16_384, 9216 / 8704 * 8192 / 6144),  # three quarters on average: full but for those without prompts
        (6143.0, 16_384, 1.0),
        (500.0, 16_384, 1.0),  # nothing is held back by steps that are not full
        (500.0, 4096, 0.5),  # and a smaller budget may hold back in any case
        (None, 16_384, 1.0),
    ],
)
def test_more_tokens_of_a_step_may_help_where_steps_are_full(tokens: float | None, budget: int, ratio: float) -> None:
    forecast = bounded(an.observation(load=QUEUE | {"tokens_per_step": tokens}))
    found = ratios(forecast, place(forecast, max_num_batched_tokens=budget)).throughput
    assert (found.low, found.high) == (pytest.approx(min(1.0, ratio)), pytest.approx(max(1.0, ratio)))


def test_an_unknown_budget_holds_nothing_back() -> None:
    forecast = bounded(an.observation(load=QUEUE | {"tokens_per_step": 9e9}, drop=("max_num_batched_tokens",)))
    assert outlook(forecast, TOKENS=(2048, 8192)).throughput.tolist() == [1.0, 1.0]


def test_an_outlook_is_the_middle_of_the_bounds() -> None:
    found = outlook(bounded(), SEQUENCES=(16, 32, 64))
    assert found.running.tolist() == [16.0, 32.0, 64.0]
    assert found.throughput.tolist() == [pytest.approx(sqrt(0.5)), 1.0, pytest.approx(sqrt(2.0))]
    assert found.itl.tolist() == found.throughput.tolist()
    assert found.ttft.tolist() == [1.0, 1.0, pytest.approx(sqrt(1 - 32 / QUEUE["num_requests_waiting"]))]
    assert found.starts.tolist() == [True] * 3
    assert not found.saturated.any()
    assert found.cache_tokens.tolist() == pytest.approx([400_000.0] * 3, rel=0.01)


def test_more_cache_never_lowers_what_runs() -> None:
    forecast = bounded(an.observation(load=FULL))
    found = outlook(forecast, UTILIZATION=(0.2, 0.6, 0.8, 0.9), SEQUENCES=(512,) * 4)
    assert found.starts.tolist() == [False, True, True, True]
    assert sorted(found.running) == list(found.running)
    assert found.running[0] == 1.0
    assert found.running[3] > found.running[1] > 1.0


def test_an_unknown_cap_bounds_nothing() -> None:
    forecast = bounded(an.observation(load=QUEUE, drop=("max_batch_size",)))
    assert outlook(forecast).running.tolist() == [pytest.approx(96.0, rel=0.01)]


def test_caps_and_caches_of_all_ranks_count() -> None:
    """Four ranks with a cap of 32 each, 100 requests in all: no cap holds them back."""
    load = {"num_requests_running": 100.0, "num_requests_waiting": 0.0, "kv_cache_tokens": 1_600_000.0}
    forecast = bounded(an.observation(load=load, settings={"data_parallel_size": 4, "gpu_memory_utilization": 0.9}))
    assert outlook(forecast).running.tolist() == [100.0]
    assert outlook(forecast).cache_tokens[0] > 1_600_000
    assert ratios(forecast, place(forecast, max_batch_size=64)).throughput == SAME
    assert ratios(forecast, place(forecast, max_batch_size=5)).throughput == Span(pytest.approx(0.2), None, 1.0)


def test_a_forecast_says_what_it_rests_on() -> None:
    forecast = bounded()
    assert (forecast.source, forecast.windows) == (Source.MEASURED_HERE, 0)
    assert forecast.basis == (
        "A step takes at most in proportion to its batch, and at least as long as before; how much in between is"
        " not known: the GPU is not known."
    )


def test_a_place_that_is_not_sized_has_no_bounds() -> None:
    forecast = bounded()
    unsized = place(forecast, quantization="unheard of")
    for found in (
        forecast.outlook(unsized, {}),
        forecast.ratios(unsized, place(forecast)),
        forecast.ratios(place(forecast), unsized),
    ):
        assert isinstance(found, Missing)
        assert found.code is Reason.SETTING_UNKNOWN


def test_a_cache_without_a_layout_has_no_bounds() -> None:
    forecast = bounded()
    states = a.model(layers=(Layer(LinearAttention(16, 32, 128, 128, 4), DenseMLP(14_336)),) * 32)
    old = replace(place(forecast), config=replace(forecast.ground.before, version="0.9.2"), card=states)
    found = forecast.outlook(old, {})
    assert isinstance(found, Missing)
    assert found.code is Reason.MODEL_UNSUPPORTED
