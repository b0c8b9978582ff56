"""Which windows are kept, and that an instance's own measurements bring the estimate to it."""

from dataclasses import replace

import pytest
from tests.support.build import a, metrics

from inferplan.api.values import Engine
from inferplan.domain.hardware import from_catalogue
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import HourlyWindow, Metrics
from inferplan.estimate.calibration import Calibration
from inferplan.estimate.learning import (
    POINTS_MAX,
    OperatingPoint,
    learn,
    operating_point,
    past_points,
    remembered,
    with_past,
)
from inferplan.estimate.load import Load
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.result import Interval
from inferplan.estimate.speed import StepTimeEstimator

SITUATION = EstimateInput(
    a.config(max_num_batched_tokens=8192, max_batch_size=256, tensor_parallel_size=1),
    from_catalogue("NVIDIA-H100-80GB-HBM3", 1),
    a.model(),
)
SEEN: dict[str, float | None] = {
    "num_requests_running": 32.0,
    "num_requests_waiting": 0.0,
    "prompt_tokens_mean": 1000.0,
    "generation_tokens_mean": 200.0,
    "itl_mean_milliseconds": 14.0,
    "ttft_mean_milliseconds": 120.0,
}


def point(running: float = 32.0, itl: float | None = 14.0, at: str = "2026-11-26T00:00:00Z") -> OperatingPoint:
    return OperatingPoint(running, 1000.0, 200.0, itl, 120.0, at)


def seen(**changes: float | None) -> Metrics:
    return metrics(**(SEEN | changes))


def itl(calibration: Calibration | None, running: float) -> float:
    told = StepTimeEstimator(calibration=calibration).performance(SITUATION, Load(running, None, 1000.0, 200.0))
    assert not isinstance(told, Missing)
    assert isinstance(told.itl_milliseconds, Interval)
    return told.itl_milliseconds.expected


def test_a_look_gives_a_point() -> None:
    assert operating_point(seen(), "2026-11-26T00:00:00Z") == point()


@pytest.mark.parametrize(
    "changes",
    [
        {"num_requests_running": None},
        {"prompt_tokens_mean": None},
        {"generation_tokens_mean": None},
        {"num_requests_running": 0.01},  # idle: the means are those of a handful of requests
        {"itl_mean_milliseconds": None, "ttft_mean_milliseconds": None},
    ],
)
def test_a_look_without_load_or_latency_gives_none(changes: dict[str, float | None]) -> None:
    assert isinstance(operating_point(seen(**changes), "2026-11-26T00:00:00Z"), Missing)


@pytest.mark.parametrize("waiting", [None, 3.0])
def test_a_queue_says_nothing_of_the_engines_ttft(waiting: float | None) -> None:
    found = operating_point(seen(num_requests_waiting=waiting), "2026-11-26T00:00:00Z")
    assert isinstance(found, OperatingPoint)
    assert found.ttft_milliseconds is None
    assert found.itl_milliseconds == 14.0


def test_the_same_load_with_the_same_latency_changes_nothing() -> None:
    kept = (point(),)
    assert remembered(kept, point(running=35.0, itl=14.6, at="2026-11-26T01:00:00Z")) == kept


def test_the_same_load_with_another_latency_takes_the_place() -> None:
    newer = point(itl=20.0, at="2026-11-26T01:00:00Z")
    assert remembered((point(), point(running=4.0)), newer) == (newer, point(running=4.0))


def test_a_latency_that_is_measured_at_last_takes_the_place() -> None:
    newer = point(at="2026-11-26T01:00:00Z")
    assert remembered((point(itl=None),), newer) == (newer,)
    assert remembered((point(itl=None),), point(itl=None, at="2026-11-26T01:00:00Z")) == (point(itl=None),)


def test_another_load_is_a_new_point() -> None:
    assert len(remembered((point(),), point(running=64.0, at="2026-11-26T01:00:00Z"))) == 2


def test_the_oldest_makes_room() -> None:
    points: tuple[OperatingPoint, ...] = ()
    for hour in range(POINTS_MAX + 3):
        points = remembered(points, point(running=2.0**hour, at=f"2026-11-26T{hour:02d}:00:00Z"))
    assert len(points) == POINTS_MAX
    assert min(each.observed_at for each in points) == "2026-11-26T03:00:00Z"


def past(
    running: float, ended_at: float = 1_795_651_200.0, *, same: bool = True, **changes: float | None
) -> HourlyWindow:
    seen: dict[str, float | None] = SEEN | {"num_requests_running": running} | changes
    return HourlyWindow(ended_at, same, requests_per_second=2.0, **seen)


def test_past_hours_are_points_the_newest_first() -> None:
    found = past_points([past(4.0), past(32.0, 1_795_654_800.0)])
    assert found == (point(at="2026-11-26T01:00:00Z"), point(running=4.0))


@pytest.mark.parametrize(
    "window",
    [
        past(32.0, same=False),  # measured on another image, or with other arguments
        past(0.01),
        past(32.0, prompt_tokens_mean=None),
        past(32.0, generation_tokens_mean=0.2),
        past(32.0, itl_mean_milliseconds=None, ttft_mean_milliseconds=None),
        past(32.0, itl_mean_milliseconds=0.0, ttft_mean_milliseconds=0.0),
        past(2e6),  # more than the status takes
        past(32.0, prompt_tokens_mean=1e9),
    ],
)
def test_past_hours_that_teach_nothing(window: HourlyWindow) -> None:
    assert past_points([window]) == ()


def test_a_past_hour_with_a_queue_says_nothing_of_the_engines_ttft() -> None:
    (found,) = past_points([past(32.0, num_requests_waiting=3.0)])
    assert (found.itl_milliseconds, found.ttft_milliseconds) == (14.0, None)


def test_past_hours_fill_the_loads_that_no_look_has_seen() -> None:
    kept = (point(at="2026-11-26T02:00:00Z"),)
    earlier = (point(running=33.0, itl=99.0), point(running=4.0), point(running=4.1))
    assert with_past(kept, earlier) == (point(running=4.0), *kept)


def test_past_hours_push_nothing_out() -> None:
    kept = tuple(point(running=2.0**number) for number in range(POINTS_MAX))
    assert with_past(kept, [point(running=0.1, at="2026-11-27T00:00:00Z")]) == kept
    assert len(with_past(kept[:3], kept)) == POINTS_MAX


def test_the_same_past_hours_again_change_nothing() -> None:
    hours = [point(running=1.2**number, at=f"2026-11-26T{number % 24:02d}:00:00Z") for number in range(40)]
    first = with_past((point(running=9.0),), hours)
    assert with_past(first, hours) == first


def test_one_window_brings_the_estimate_to_what_was_measured() -> None:
    plain = itl(None, 32.0)
    found = learn(SITUATION, [replace(point(itl=1.3 * plain), ttft_milliseconds=None)])
    assert isinstance(found, Calibration)
    assert itl(found, 32.0) == pytest.approx(1.3 * plain, rel=0.04)
    assert itl(found, 64.0) > 1.15 * itl(None, 64.0)


def test_a_calibrated_estimate_is_narrower_and_says_so() -> None:
    found = learn(SITUATION, [point(itl=itl(None, 32.0))])
    assert isinstance(found, Calibration)
    load = Load(64.0, None, 1000.0, 200.0)
    plain = StepTimeEstimator().performance(SITUATION, load)
    told = StepTimeEstimator(calibration=found).performance(SITUATION, load)
    assert not isinstance(plain, Missing)
    assert not isinstance(told, Missing)
    assert isinstance(plain.itl_milliseconds, Interval)
    assert isinstance(told.itl_milliseconds, Interval)
    width, narrow = (each.high / each.low for each in (plain.itl_milliseconds, told.itl_milliseconds))
    assert narrow < width
    assert told.source == "calibratedHere"


def test_nothing_is_learned_without_points() -> None:
    assert isinstance(learn(SITUATION, []), Missing)


def test_nothing_is_learned_of_what_is_not_modelled() -> None:
    retired = replace(SITUATION, config=a.config(Engine.TGI, "3.0.0"))
    assert isinstance(learn(retired, [point()]), Missing)


def test_speculation_is_held_as_it_was_measured() -> None:
    speculating = replace(SITUATION, config=a.config(speculative_config='{"method": "ngram"}'))
    load = Load(32.0, None, 1000.0, 200.0)
    assert isinstance(StepTimeEstimator().performance(speculating, load), Missing)
    found = learn(speculating, [point(itl=0.5 * itl(None, 32.0))])  # two tokens per step
    assert isinstance(found, Calibration)
    told = StepTimeEstimator(calibration=found).performance(speculating, load)
    assert not isinstance(told, Missing)
    assert isinstance(told.itl_milliseconds, Interval)
    assert told.itl_milliseconds.expected == pytest.approx(0.5 * itl(None, 32.0), rel=0.06)
    assert any("it was measured with" in sentence for sentence in told.assumptions)
