"""What other settings would do, by the calibrated step model: ratios that hang together, and how sure they are."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import exp, log, prod, sqrt

import numpy as np
import pytest
from tests.support.build import LLAMA, a, an

from inferplan.api.instance import WorkloadSpec
from inferplan.api.reasons import Reason
from inferplan.api.values import Source
from inferplan.domain.hardware import from_catalogue
from inferplan.domain.lever import LimitKey
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.observation import Observation
from inferplan.domain.serving import Origin, Setting, SettingValue
from inferplan.estimate.calibration import Calibration
from inferplan.estimate.forecast import Outlook, Place, Ratios, Span
from inferplan.estimate.forecast_steps import StepForecast
from inferplan.estimate.forecast_today import TOGETHER_MOST, prompts_together, queue_left
from inferplan.estimate.forecasting import forecast_of
from inferplan.estimate.learning import OperatingPoint
from inferplan.estimate.speed_constants import Multipliers

SEEN: dict[str, float | None] = {
    "prompt_tokens_mean": 1000.0,
    "generation_tokens_mean": 300.0,
    "itl_mean_milliseconds": 14.0,
    "requests_per_second": 2.0,
}
H100 = from_catalogue("NVIDIA-H100-80GB-HBM3", 1)
NOISE_ALONE = exp(1.2816 * 0.06)
"""End of the 80 % interval where only the noise of two means is uncertain."""


def made(
    observation: Observation | None = None, points: Sequence[OperatingPoint] = (), *, queued: bool = True
) -> StepForecast:
    seen = observation or an.observation(load=SEEN)
    found = forecast_of(replace(seen, accelerator=H100), points, queued=queued)
    assert isinstance(found, StepForecast), found
    return found


def serving(**load: float | None) -> StepForecast:
    return made(an.serving(SEEN | load), queued=False)


def place(forecast: StepForecast, doubt: float = 0.0, card: ModelCard = LLAMA, **settings: SettingValue) -> Place:
    changes = {key: Setting(value, Origin.ARGUMENT) for key, value in settings.items()}
    return Place(forecast.ground.before.with_settings(changes), card, doubt)


def ratios(forecast: StepForecast, before: Place, after: Place) -> Ratios:
    found = forecast.ratios(before, after)
    assert isinstance(found, Ratios), found
    return found


def outlook(forecast: StepForecast, at: Place | None = None, **moves: Sequence[float]) -> Outlook:
    named = {LimitKey[name]: np.array(values, dtype=np.float64) for name, values in moves.items()}
    found = forecast.outlook(at or place(forecast), named)
    assert isinstance(found, Outlook), found
    return found


def spans(found: Ratios) -> tuple[Span, Span, Span]:
    assert found.itl is not None
    assert found.ttft is not None
    return found.throughput, found.itl, found.ttft


def expected(span: Span) -> float:
    assert span.expected is not None
    return span.expected


def width(span: Span) -> float:
    return log(span.high / span.low)


def point(running: float, itl: float) -> OperatingPoint:
    return OperatingPoint(running, 1000.0, 300.0, itl, None, "2026-11-26T00:00:00Z")


def test_a_configuration_against_itself_is_as_it_was_with_the_noise_of_measuring() -> None:
    forecast = made()
    for span in spans(ratios(forecast, place(forecast), place(forecast))):
        assert span == Span(pytest.approx(1 / NOISE_ALONE), 1.0, pytest.approx(NOISE_ALONE))


def test_ratios_along_a_chain_multiply() -> None:
    forecast = made()
    chain = [place(forecast, max_batch_size=cap) for cap in (32, 48, 128)]
    steps = [spans(ratios(forecast, *pair)) for pair in pairwise(chain)]
    whole = spans(ratios(forecast, chain[0], chain[2]))
    for number in range(3):
        assert expected(whole[number]) == pytest.approx(prod(expected(step[number]) for step in steps))


def test_a_change_and_its_way_back_undo_each_other() -> None:
    forecast = made()
    there = spans(ratios(forecast, place(forecast), place(forecast, max_batch_size=64)))
    back = spans(ratios(forecast, place(forecast, max_batch_size=64), place(forecast)))
    for one, other in zip(there, back, strict=True):
        assert expected(one) * expected(other) == pytest.approx(1.0)
        assert width(one) == pytest.approx(width(other))


def test_a_higher_cap_behind_a_queue_serves_more_slower_and_sooner() -> None:
    forecast = made()
    throughput, itl, ttft = spans(ratios(forecast, place(forecast), place(forecast, max_batch_size=64)))
    assert 1.1 < expected(throughput) < 44 / 32  # no more than in proportion to those that run
    assert 1.0 < expected(itl) < 44 / 32
    assert expected(ttft) < 0.5  # nothing waits any more
    assert throughput.low < expected(throughput) < throughput.high


def test_an_outlook_says_what_ratios_say() -> None:
    forecast = made()
    found = outlook(forecast, SEQUENCES=(32, 64))
    told = spans(ratios(forecast, place(forecast), place(forecast, max_batch_size=64)))
    for values, span in zip((found.throughput, found.itl, found.ttft), told, strict=True):
        assert values[1] / values[0] == pytest.approx(expected(span))


def test_more_cache_never_lowers_what_runs() -> None:
    forecast = made(an.observation(load=SEEN | {"num_requests_waiting": 400.0, "kv_cache_tokens": None}))
    found = outlook(forecast, UTILIZATION=(0.2, 0.5, 0.7, 0.9), SEQUENCES=(512,) * 4)
    assert found.starts.tolist() == [False, True, True, True]  # weights are 15 of 16 GiB
    assert sorted(found.cache_tokens) == list(found.cache_tokens)
    assert sorted(found.running) == list(found.running)
    assert found.running[1] < found.running[3] < 432


def test_a_limit_that_is_not_moved_stays() -> None:
    forecast = made()
    plain, named = outlook(forecast), outlook(forecast, SEQUENCES=(32,), TOKENS=(256,), CONTEXT=(8192,))
    assert forecast.ground.before.integer("max_num_batched_tokens") == 8192
    assert plain.running.tolist() == named.running.tolist() == [32.0]
    assert outlook(forecast, TOKENS=(8192,), CONTEXT=(8192,)).itl.tolist() == plain.itl.tolist()
    assert named.itl[0] != plain.itl[0]


def test_more_windows_narrow_the_interval() -> None:
    few = made()
    expected_at = {running: float(outlook(few, SEQUENCES=(running,)).itl[0]) * 1e3 for running in (2, 8, 16, 64, 128)}
    many = made(points=[point(running, itl) for running, itl in expected_at.items()])
    assert (few.windows, many.windows) == (1, 6)
    one, other = (ratios(each, place(each), place(each, max_batch_size=44)) for each in (few, many))
    assert width(other.throughput) < width(one.throughput)
    assert width(spans(other)[1]) < width(spans(one)[1])


def test_a_calibration_without_directions_is_as_unsure_as_none() -> None:
    plain = replace(made(), calibration=None)
    without = replace(plain, calibration=Calibration(Multipliers(), 1))
    told = [ratios(each, place(each), place(each, max_batch_size=44)) for each in (plain, without)]
    assert told[0] == told[1]


def test_a_doubt_widens_the_interval_and_moves_nothing() -> None:
    forecast = made()
    sure, unsure = (
        ratios(forecast, place(forecast), place(forecast, doubt, max_batch_size=44)) for doubt in (0.0, 0.3)
    )
    for one, other in zip(spans(sure), spans(unsure), strict=True):
        assert expected(one) == expected(other)
        assert other.low < one.low < one.high < other.high
    assert width(unsure.throughput) > 2 * 1.2816 * 0.3


def test_another_checkpoint_runs_another_model() -> None:
    forecast = made()
    half = place(forecast, card=a.model(num_layers=16))
    throughput, itl, _ = spans(ratios(forecast, place(forecast), half))
    assert expected(throughput) > 1.5
    assert expected(itl) < 0.7


def queueing(ttft: float | None) -> StepForecast:
    return made(an.observation(load=SEEN | {"ttft_mean_milliseconds": ttft}))


def test_a_queue_is_as_long_as_the_measured_ttft_says() -> None:
    found = outlook(queueing(3000.0), SEQUENCES=(32, 24))
    own = found.ttft - found.queue
    assert found.ttft[0] == pytest.approx(3.0)
    assert 0.01 < own[0] < 0.3
    unmeasured = outlook(queueing(None), SEQUENCES=(32, 24))
    assert (unmeasured.ttft - unmeasured.queue).tolist() == pytest.approx(own.tolist())
    assert found.queue[1] / found.queue[0] == pytest.approx(unmeasured.queue[1] / unmeasured.queue[0])


def test_a_ttft_that_leaves_no_wait_is_no_queue() -> None:
    assert outlook(queueing(1.0)).queue.tolist() == [0.0]


def test_more_places_leave_less_of_a_queue_and_fewer_more() -> None:
    forecast = queueing(3000.0)
    found = outlook(forecast, SEQUENCES=(16, 32, 33, 40, 44, 128))
    assert found.queue[1] == pytest.approx(3.0, rel=0.1)
    assert found.queue[0] > 2 * found.queue[1]
    assert sorted(found.queue, reverse=True) == list(found.queue)
    # One more place serves 2 % more: requests that come at today's rate would wait about as long as now.
    assert found.queue[2] > 0.9 * found.queue[1]
    assert 0 < found.queue[5] < 0.2 * found.queue[1]


def test_a_queue_is_told_as_by_its_cases() -> None:
    forecast = queueing(3000.0)
    found = outlook(forecast, SEQUENCES=(32, 64))
    told = spans(ratios(forecast, place(forecast), place(forecast, max_batch_size=64)))[2]
    assert expected(told) == pytest.approx(found.ttft[1] / found.ttft[0])
    assert told.low < expected(told) < told.high < 1.0


def test_what_is_left_of_a_queue_at_a_lower_load() -> None:
    """64 places, 95 % busy: 0.95^10.4 / 0.05 over 0.98^10.4 / 0.02."""
    found = queue_left(np.array([0.5, 0.95, 0.98, 1.0, 1.3]), np.array([64.0]))
    power = sqrt(130.0) - 1.0
    assert found[1] == pytest.approx(0.95**power / 0.05 / (0.98**power / 0.02))
    assert found[1] == pytest.approx(0.29, abs=0.005)
    assert found[2:].tolist() == [pytest.approx(1.0)] * 3
    assert found[0] < 1e-3


def tailed(itl: float, chunk: float, share: float) -> Outlook:
    one = np.ones(1)
    starts = np.ones(1, dtype=bool)
    return Outlook(starts, one, one, one, itl * one, one, ~starts, chunk * one, share * one, 0 * one)


@pytest.mark.parametrize(
    ("percentile", "milliseconds"),
    [
        (95, 50.0),  # one step in ten has a chunk: twice as many as one in twenty
        (90, 50.0),
        (80, 10.0),  # half of one in five
        (50, 10.0),
        (86, 10.0 + 40.0 * (2 * 0.1 / 0.14 - 1)),  # just about as many: between the two
    ],
)
def test_a_percentile_is_a_step_with_a_chunk_where_enough_steps_have_one(percentile: int, milliseconds: float) -> None:
    assert tailed(0.014, 0.040, 0.1).itl_tail(percentile)[0] * 1e3 == pytest.approx(milliseconds)


def test_a_step_without_a_chunk_takes_no_less_than_nothing() -> None:
    assert tailed(0.014, 0.040, 1.0).itl_tail(50)[0] == pytest.approx(0.040)


def test_smaller_chunks_shorten_the_tail_more_than_the_mean() -> None:
    forecast = made()
    after = place(forecast, max_num_batched_tokens=256)
    found = forecast.ratios(place(forecast), after, (50, 99))
    assert isinstance(found, Ratios)
    assert expected(found.tails[99]) < 0.7
    assert expected(found.tails[99]) < expected(spans(found)[1])
    assert expected(found.tails[50]) > 1.0  # every other token waits for a chunk now
    assert found.tails[99].low < expected(found.tails[99]) < found.tails[99].high
    assert set(found.tails) == {50, 99}
    assert ratios(forecast, place(forecast), after).tails == {}


def test_a_percentile_that_may_jump_is_told_from_both_sides() -> None:
    """Where about one step in twenty has a chunk, p95 is one with a chunk or one without: nobody knows which."""
    forecast = made()
    shares = {percentile: outlook(forecast).chunk_share[0] / (1 - percentile / 100) for percentile in range(50, 99)}
    near = min(shares, key=lambda percentile: abs(shares[percentile] - 0.75))
    found = forecast.ratios(place(forecast), place(forecast, max_batch_size=40), (near, 50))
    assert isinstance(found, Ratios)
    assert width(found.tails[near]) > width(found.tails[50])


def preempting(rate: float = 0.5, prefill: float = 400.0) -> StepForecast:
    """A cap of 512 over a cache that holds about 350 of 540 requests, preempted every two seconds."""
    load = {
        "num_requests_running": 340.0,
        "num_requests_waiting": 200.0,
        "itl_mean_milliseconds": 40.0,
        "kv_cache_usage_mean": None,
    }
    lost = {"preemptions_per_second": rate, "prefill_time_mean_milliseconds": prefill}
    return made(an.observation(load=SEEN | load | lost, settings={"max_batch_size": 512}))


def test_what_preempted_requests_cost_is_won_where_the_cap_keeps_them_out() -> None:
    lossy, calm = preempting(), preempting(rate=0.0)
    gains = [ratios(each, place(each), place(each, max_batch_size=256)).throughput for each in (lossy, calm)]
    assert expected(gains[0]) == pytest.approx(expected(gains[1]) / 0.8)  # 0.5 / s x 0.4 s: a fifth of the time
    assert width(gains[0]) > width(gains[1])
    kept = outlook(lossy, SEQUENCES=(512, 256)), outlook(calm, SEQUENCES=(512, 256))
    assert kept[0].itl[0] == pytest.approx(kept[1].itl[0] / 0.8)
    assert kept[0].itl[1] == kept[1].itl[1]


def test_a_storm_of_preemptions_takes_no_more_than_half() -> None:
    storm, calm = outlook(preempting(rate=9.0)), outlook(preempting(rate=0.0))
    assert storm.throughput[0] == pytest.approx(0.5 * calm.throughput[0])


@pytest.mark.parametrize("name", ["preemptions_per_second", "prefill_time_mean_milliseconds"])
def test_preemptions_that_are_not_measured_cost_nothing(name: str) -> None:
    lossy = preempting()
    metrics = replace(lossy.observation.metrics, **{name: Missing(Reason.METRICS_MISSING, "not measured")})
    blind = replace(lossy, observation=replace(lossy.observation, metrics=metrics))
    assert outlook(blind).throughput[0] == outlook(preempting(rate=0.0)).throughput[0]


def test_the_caps_of_all_ranks_together_overfill_a_cache() -> None:
    """Two ranks of 300 want 540 requests in flight; the cache of both holds fewer, so some are preempted."""
    ranks = {"data_parallel_size": 2, "max_batch_size": 300}
    load = {"num_requests_running": 340.0, "num_requests_waiting": 400.0, "kv_cache_tokens": None}
    lost = {"preemptions_per_second": 0.5, "prefill_time_mean_milliseconds": 400.0}
    settings: dict[str, SettingValue] = {**ranks, "gpu_memory_utilization": 0.5}
    lossy = made(an.observation(load=SEEN | load | lost, settings=settings))
    calm = made(an.observation(load=SEEN | load, settings=settings))
    found = outlook(lossy)
    assert 300 < found.running[0] < 600
    assert found.throughput[0] == pytest.approx(0.8 * outlook(calm).throughput[0])


def test_in_an_open_loop_what_comes_is_served() -> None:
    forecast = serving()
    told = ratios(forecast, place(forecast), place(forecast, max_batch_size=64))
    assert told.throughput == Span(1.0, 1.0, 1.0)
    assert outlook(forecast, SEQUENCES=(32, 64, 256)).throughput.tolist() == [600.0] * 3  # 2 / s x 300 tokens


def test_in_an_open_loop_preemptions_cost_time_and_no_throughput() -> None:
    lost = {"preemptions_per_second": 0.5, "prefill_time_mean_milliseconds": 400.0}
    lossy, calm = (made(an.serving(SEEN | each, settings={"max_batch_size": 512}), queued=False) for each in (lost, {}))
    assert outlook(lossy).throughput.tolist() == [600.0]
    assert outlook(lossy).itl[0] == pytest.approx(outlook(calm).itl[0] / 0.8)


def test_a_cap_that_does_not_serve_what_comes_is_saturated() -> None:
    forecast = serving()
    found = outlook(forecast, SEQUENCES=(32, 2))
    assert found.saturated.tolist() == [False, True]
    told = ratios(forecast, place(forecast), place(forecast, max_batch_size=2)).throughput
    assert expected(told) == pytest.approx(found.throughput[1] / 600.0)
    assert told.low < expected(told) < 0.5


def test_in_an_open_loop_a_case_that_may_not_serve_is_told() -> None:
    """The fewest places that are expected to serve 2 requests per second may be too few."""
    forecast = serving(itl_mean_milliseconds=24.0)
    caps = range(8, 20)
    found = outlook(forecast, SEQUENCES=tuple(caps))
    least = min(cap for cap, saturated in zip(caps, found.saturated, strict=True) if not saturated)
    told = ratios(forecast, place(forecast), place(forecast, max_batch_size=least)).throughput
    assert expected(told) == pytest.approx(1.0)
    assert told.low < 1 / NOISE_ALONE
    assert told.high == pytest.approx(NOISE_ALONE)


def test_a_forecast_says_what_it_rests_on() -> None:
    forecast = made()
    assert (forecast.source, forecast.windows) == (Source.CALIBRATED_HERE, 1)
    assert forecast.basis == (
        "The step model, calibrated on one window of this instance, at 44.0 requests in flight (if more come"
        " only as fast as today, they wait less instead), 1000 tokens in, 300 out."
    )
    several = made(points=[point(2.0, 6.0)])
    assert several.windows == 2
    assert "calibrated on 2 windows of this instance" in several.basis
    plain = made(an.observation(load=SEEN | {"itl_mean_milliseconds": None}))
    assert (plain.source, plain.windows) == (Source.ROOFLINE, 0)
    assert plain.basis.startswith("The step model, not calibrated, at 44.0 requests in flight")


def test_a_forecast_is_no_better_than_its_load() -> None:
    forecast = made()
    declared = replace(forecast, seen=replace(forecast.seen, source=Source.RULE_OF_THUMB))
    assert declared.source is Source.RULE_OF_THUMB


UNSIZED: dict[str, SettingValue] = {"quantization": "unheard of"}
UNTIMED: dict[str, SettingValue] = {"speculative_config": '{"method": "ngram"}'}


def test_a_place_whose_memory_is_not_sized_has_no_forecast() -> None:
    forecast = made()
    today, other = place(forecast), place(forecast, **UNSIZED)
    assert isinstance(forecast.outlook(other, {}), Missing)
    found = forecast.ratios(other, today), forecast.ratios(today, other)
    assert [isinstance(each, Missing) and each.code for each in found] == [Reason.SETTING_UNKNOWN] * 2


def test_a_place_whose_speed_is_not_known_has_no_forecast() -> None:
    forecast = replace(made(), calibration=None)
    today, other = place(forecast), place(forecast, **UNTIMED)
    for found in (forecast.outlook(other, {}), forecast.ratios(today, other), forecast.ratios(other, today)):
        assert isinstance(found, Missing)
        assert found.code is Reason.SETTING_UNKNOWN


def shared(share: float, **settings: SettingValue) -> StepForecast:
    """Measured with prefix caching off; the owner says what prompts share."""
    told = WorkloadSpec(prefix_share=share) if share else None
    load: dict[str, float | None] = {
        **SEEN,
        "prompt_tokens_mean": 3000.0,
        "num_requests_running": 30.0,
        "num_requests_waiting": 34.0,
    }
    return made(an.observation(load=load, settings={"enable_prefix_caching": False} | settings, declared=told))


def test_prefixes_that_are_declared_are_worth_between_nothing_and_all() -> None:
    forecast = shared(0.7)
    off, on = place(forecast), place(forecast, enable_prefix_caching=True)
    found = ratios(forecast, off, on)
    expected = found.throughput.expected
    assert expected is not None
    assert expected > 1.15
    assert 0.9 < found.throughput.low < 1.0 < expected < found.throughput.high
    itl, ttft = found.itl, found.ttft
    assert itl is not None
    assert ttft is not None
    assert itl.low < 0.9
    assert itl.high > 1.0
    assert ttft.high > 1.0


def test_more_that_is_shared_is_worth_more() -> None:
    gains = []
    for share in (0.2, 0.5, 0.9):
        forecast = shared(share)
        found = ratios(forecast, place(forecast), place(forecast, enable_prefix_caching=True))
        gains.append(found.throughput.expected or 0.0)
    assert gains == sorted(gains)


def test_a_measured_share_is_held_constant() -> None:
    """The hits were measured, so no interval is wider for them, and other limits find as many."""
    load = SEEN | {"prefix_cache_hit_share": 0.5, "num_requests_waiting": 32.0}
    seen = an.observation(load=load, settings={"enable_prefix_caching": True})
    forecast = made(seen)
    assert (forecast.seen.load.prefix_share, forecast.seen.share_declared) == (0.5, False)
    owner = made(replace(seen, declared=WorkloadSpec(prefix_share=0.9)))
    up = [ratios(one, place(one), place(one, max_batch_size=64)) for one in (forecast, owner)]
    assert up[0] == up[1]
    none = made(an.observation(load=load | {"prefix_cache_hit_share": 0.0}, settings={"enable_prefix_caching": True}))
    assert ratios(none, place(none), place(none, max_batch_size=64)) != up[0]


def test_percentiles_know_the_declared_share_too() -> None:
    forecast = shared(0.7)
    found = forecast.ratios(place(forecast), place(forecast, enable_prefix_caching=True), (50, 95))
    assert isinstance(found, Ratios)
    assert all(found.tails[each].low <= 1.0 <= found.tails[each].high for each in (50, 95))


def steps(chunk: float, share: float, itl: float) -> Outlook:
    """Steps of which a share takes a chunk longer; seconds."""
    one, none, yes = np.ones(1), np.zeros(1), np.ones(1, dtype=bool)
    return Outlook(yes, one, one, one, one * itl, one, ~yes, one * chunk, one * share, none)


@pytest.mark.parametrize(
    ("measured", "together"),
    [
        ({"itl_p95_milliseconds": 110.0}, 1.0),  # as modelled: steps of 10 ms, one in fifteen 100 ms longer
        ({"itl_p95_milliseconds": 10.0}, 3.0),  # one in 45 is longer: the 95th percentile lies below
        ({"itl_p95_milliseconds": None, "itl_p99_milliseconds": 310.0}, 3.0),
        ({"itl_p95_milliseconds": None, "itl_p99_milliseconds": 9e3}, 6.7),  # as near as it comes: beyond, none is left
        ({"itl_p95_milliseconds": None, "itl_p99_milliseconds": None}, 1.0),
        ({"itl_p95_milliseconds": 10.0, "itl_mean_milliseconds": None}, 1.0),
    ],
)
def test_a_percentile_tells_how_many_prompts_share_a_step(measured: dict[str, float | None], together: float) -> None:
    seen = an.serving({"itl_mean_milliseconds": 1e3 * (0.010 + 0.1 / 15), **measured}).metrics
    found = prompts_together(steps(0.1, 1 / 15, 0.010 + 0.1 / 15), seen)
    assert found == pytest.approx(together, rel=0.15)
    assert 1 <= found <= TOGETHER_MOST


def test_without_chunks_nothing_is_together() -> None:
    seen = an.serving({"itl_mean_milliseconds": 10.0, "itl_p95_milliseconds": 90.0}).metrics
    assert prompts_together(steps(0.0, 0.0, 0.010), seen) == 1.0
