"""Bands, windows and trend of past hours, with their arithmetic; gaps, rollouts and garbage."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.hours import PastHour, range_answer

from inferplan.domain.observation import History
from inferplan.observe.history_queries import COLUMNS, STEP_SECONDS
from inferplan.observe.history_table import HourTable, Row
from inferplan.observe.hours import Pods, history_of
from inferplan.observe.prometheus_types import RangeAnswer, Series
from inferplan.observe.series_labels import KEY_LABEL

NEWEST = 24 * 20_000  # midnight: the newest hour is the day's last, 23
HOURS = 72
RUNNING = "llama-7d9f5c8b6d-x2x9p"
OTHER = "llama-7d9f5c8b6d-c4h7k"


def table(*pods: tuple[str, dict[int, PastHour]]) -> HourTable:
    """Hours are counted back from the newest, 0."""
    labelled = [
        ({"namespace": "serving", "pod": name}, {NEWEST - ago: told for ago, told in hours.items()})
        for name, hours in pods
    ]
    span = (NEWEST - HOURS + 1, NEWEST)
    return HourTable(NEWEST, HOURS).with_answers(span, [range_answer(labelled, COLUMNS, span)], complete=True)


def rows(*pods: tuple[str, dict[int, PastHour]]) -> tuple[Row, ...]:
    return table(*pods).rows.get(("serving", "", ""), ())


def told(*pods: tuple[str, dict[int, PastHour]], started_ago: float | None = 1_000.0) -> History:
    """What the pods' hours say, where RUNNING and OTHER started some hours before the newest one's end."""
    started = None if started_ago is None else (NEWEST - started_ago) * STEP_SECONDS
    found = history_of(rows(*pods), Pods({RUNNING: started, OTHER: started}), NEWEST, "the queries")
    assert found is not None
    return found


def test_one_hour_of_one_pod() -> None:
    found = told((RUNNING, {0: PastHour(running=8.0, waiting=0.25, requests=2.0, ttft=0.1, itl=0.012)}))
    window = found.windows[0]
    assert window.ended_at == NEWEST * STEP_SECONDS
    assert window.same_pods
    assert (window.num_requests_running, window.num_requests_waiting, window.requests_per_second) == (8.0, 0.25, 2.0)
    assert (window.prompt_tokens_mean, window.generation_tokens_mean) == (500.0, 200.0)
    assert window.itl_mean_milliseconds == pytest.approx(12.0)
    assert window.ttft_mean_milliseconds == pytest.approx(100.0)
    assert [(band.hour, band.samples, band.requests_per_second) for band in found.bands] == [(23, 1, 2.0)]
    assert found.trend_per_day is None
    assert found.source == "the queries"


def test_windows_are_per_replica_and_bands_of_all() -> None:
    hours = {0: PastHour(running=8.0, requests=2.0)}, {0: PastHour(running=4.0, requests=1.0)}
    found = told((RUNNING, hours[0]), (OTHER, hours[1]))
    assert (found.windows[0].num_requests_running, found.windows[0].requests_per_second) == (6.0, 1.5)
    assert (found.bands[0].num_requests_running, found.bands[0].requests_per_second) == (12.0, 3.0)


@pytest.mark.parametrize("odd", [math.inf, -1.0, math.nan])
def test_an_hour_in_which_one_replica_told_an_impossible_number_has_none_of_any(odd: float) -> None:
    found = told((RUNNING, {0: PastHour(running=8.0), 1: PastHour()}), (OTHER, {0: PastHour(running=odd)}))
    assert [window.num_requests_running is None for window in found.windows] == [False, True]
    assert found.windows[-1].requests_per_second is not None


def test_means_count_requests_not_replicas() -> None:
    """3 requests of 100 tokens beside 1 of 500: (300 + 500) / 4 = 200."""
    found = told(
        (RUNNING, {0: PastHour(requests=3.0, prompt=100.0)}), (OTHER, {0: PastHour(requests=1.0, prompt=500.0)})
    )
    assert found.windows[0].prompt_tokens_mean == pytest.approx(200.0)
    assert found.bands[0].prompt_tokens_mean == pytest.approx(200.0)


def test_two_pods_that_follow_each_other_are_one_replica() -> None:
    """Half an hour each, 8 running: 8 at once, not 16; each did one request per second of the whole hour."""
    half = {0: PastHour(running=8.0, present=30.0, requests=1.0)}
    found = told(("llama-5c8b7d9f6d-b2x9p", half), (RUNNING, half))
    assert found.bands[0].num_requests_running == 8.0
    assert found.windows[0].num_requests_running == 8.0
    assert found.windows[0].requests_per_second == 2.0


def test_a_pod_that_is_gone_makes_the_hour_not_its_successors() -> None:
    gone = ("llama-5c8b7d9f6d-b2x9p", {2: PastHour(), 1: PastHour(present=10.0)})
    found = told(gone, (RUNNING, {1: PastHour(present=50.0), 0: PastHour()}), started_ago=1.9)
    assert [window.same_pods for window in found.windows] == [False, False, True]


@pytest.mark.parametrize(("started_ago", "same"), [(1.0, True), (0.999, False), (None, False)])
def test_a_pod_that_kept_its_name_through_a_restart_is_another(started_ago: float | None, same: bool) -> None:
    found = told((RUNNING, {0: PastHour()}), started_ago=started_ago)
    assert [window.same_pods for window in found.windows] == [same]


def test_the_same_pod_scraped_twice_counts_once() -> None:
    twice = [({"namespace": "serving", "pod": RUNNING, "job": job}, {NEWEST: PastHour(running=8.0)}) for job in "ab"]
    span = (NEWEST, NEWEST)
    both = HourTable(NEWEST, HOURS).with_answers(span, [range_answer(twice, COLUMNS, span)], complete=True)
    found = history_of(both.rows["serving", "Pod", RUNNING], Pods({}), NEWEST, "")
    assert found is not None
    assert found.bands[0].num_requests_running == 8.0


def test_a_band_is_the_mean_of_the_same_hour_of_several_days() -> None:
    found = told((RUNNING, {0: PastHour(requests=1.0), 24: PastHour(requests=3.0), 1: PastHour(requests=9.0)}))
    assert [(band.hour, band.samples, band.requests_per_second) for band in found.bands] == [(22, 1, 9.0), (23, 2, 2.0)]


def test_hours_that_were_hardly_measured_are_left_out() -> None:
    found = told((RUNNING, {0: PastHour(), 1: PastHour(present=20.0)}))
    assert len(found.windows) == 1


def test_an_hour_without_requests_has_no_lengths() -> None:
    window = told((RUNNING, {0: PastHour(running=0.0, requests=0.0)})).windows[0]
    assert window.requests_per_second == 0.0
    assert window.prompt_tokens_mean is None
    assert window.itl_mean_milliseconds is None


def test_no_rows_and_no_hours_are_no_history() -> None:
    assert history_of((), Pods({}), NEWEST, "") is None
    assert history_of(rows((RUNNING, {0: PastHour(present=5.0)})), Pods({}), NEWEST, "") is None


def day_and_night(ago: int) -> float:
    return 10.0 if (ago // 12) % 2 else 2.0


def test_a_trend_is_told_from_the_days_own_course() -> None:
    """Each hour of the last day has 10 % more a day: 0.1 / (1 - 0.1 * days ago), 0.105 to 0.133."""
    hours = {ago: PastHour(requests=day_and_night(ago) * (1.0 - 0.1 * ago / 24)) for ago in range(72)}
    assert told((RUNNING, hours)).trend_per_day == pytest.approx(0.118, abs=0.01)


def test_a_steady_load_has_no_trend_whatever_the_day_does() -> None:
    hours = {ago: PastHour(requests=day_and_night(ago)) for ago in range(72)}
    assert told((RUNNING, hours)).trend_per_day == 0.0


def test_one_wild_hour_makes_no_trend() -> None:
    hours = {ago: PastHour(requests=5.0) for ago in range(72)} | {3: PastHour(requests=5_000.0)}
    assert told((RUNNING, hours)).trend_per_day == 0.0


def test_growth_of_a_flat_load_is_what_it_is() -> None:
    """10 requests per second, one more each day: of pairs around 9, the busier half of them."""
    hours = {ago: PastHour(requests=10.0 - ago / 24) for ago in range(72)}
    assert told((RUNNING, hours)).trend_per_day == pytest.approx(1.0 / 9.0, rel=0.03)


def test_one_request_more_in_a_quiet_hour_is_no_trend() -> None:
    """Eleven hours of the day have hardly any load, and twice as much of it each day."""
    hours = {ago: PastHour(requests=8.0 if ago % 24 < 13 else 0.04 / 2 ** (ago // 24)) for ago in range(72)}
    assert told((RUNNING, hours)).trend_per_day == 0.0


@pytest.mark.parametrize("hours", [24, 36])
def test_a_day_and_a_half_is_the_least_for_a_trend(hours: int) -> None:
    assert told((RUNNING, {ago: PastHour() for ago in range(hours)})).trend_per_day is None


def test_an_idle_instance_has_no_trend() -> None:
    assert told((RUNNING, {ago: PastHour(requests=0.0) for ago in range(72)})).trend_per_day is None


ANY = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, 1e-300, 1e15, -1.0, 60.0])
TIMES = st.floats(allow_nan=False, allow_infinity=False) | st.integers(NEWEST - 80, NEWEST + 2).map(
    lambda hour: float(hour * STEP_SECONDS)
)
SERIES = st.builds(
    lambda pod, column, points: Series({"namespace": "serving", "pod": pod, KEY_LABEL: column}, tuple(points)),
    st.sampled_from([RUNNING, OTHER, "llama-0", ""]),
    st.sampled_from([*COLUMNS, "nonsense", ""]),
    st.lists(st.tuples(TIMES, ANY), max_size=30),
)


@given(st.lists(SERIES, max_size=40), st.integers(-200, 200), st.none() | st.floats(allow_nan=True))
def test_whatever_prometheus_says_is_no_exception(series: list[Series], moved: int, started: float | None) -> None:
    span = (NEWEST - HOURS + 1, NEWEST)
    found = HourTable(NEWEST, HOURS).with_answers(span, [RangeAnswer(tuple(series))], complete=True)
    found = found.moved_to(NEWEST + moved)
    for some in found.rows.values():
        history = history_of(some, Pods({RUNNING: started}), found.newest, "")
        if history is None:
            continue
        numbers = [value for part in (*history.bands, *history.windows) for value in vars(part).values()]
        numbers.append(history.trend_per_day)
        assert all(math.isfinite(value) for value in numbers if value is not None)
        assert len(history.windows) <= HOURS
        assert len({band.hour for band in history.bands}) == len(history.bands) <= 24
