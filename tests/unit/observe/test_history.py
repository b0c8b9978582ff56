"""One reader for a source: few queries, whatever the number of instances; what fails is said and tried again."""

import asyncio
from dataclasses import dataclass, field

import pytest
from tests.support.hours import NEWEST, NOW, FakeHours, PastHour, wanted

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import History
from inferplan.observe.history import (
    JITTER_SECONDS,
    LOOKBACK_HOURS,
    RETRY_SECONDS,
    SELECTIONS,
    SETTLE_SECONDS,
    HistoryClock,
    HistoryReader,
)
from inferplan.observe.history_queries import STEP_SECONDS
from inferplan.observe.meter import Wanted
from inferplan.observe.series_labels import SeriesLabels

POD = "llama-7d9f5c8b6d-x2x9p"
GONE = "llama-5c8b7d9f6d-b2x9p"
DAYS = tuple(range(NEWEST - 71, NEWEST + 1))


@dataclass
class Time:
    now: float = NOW
    monotonic: float = 50.0

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.monotonic += seconds


@dataclass
class Setup:
    """A reader with its Prometheus and clock."""

    prometheus: FakeHours = field(default_factory=FakeHours)
    time: Time = field(default_factory=Time)
    labels: SeriesLabels = field(default_factory=SeriesLabels)
    lookback_hours: int = LOOKBACK_HOURS

    def __post_init__(self) -> None:
        clock = HistoryClock(lambda: self.time.now, lambda: self.time.monotonic, lambda _low, high: high / 2)
        self.reader = HistoryReader(self.prometheus, "default", clock, self.labels, self.lookback_hours)

    async def read(self, asked: Wanted) -> History | Missing:
        return await self.reader.read(asked)

    async def history(self, asked: Wanted) -> History:
        found = await self.read(asked)
        assert isinstance(found, History), found
        return found


async def test_a_day_is_there_at_the_first_look_and_three_some_hours_later() -> None:
    setup = Setup()
    setup.prometheus.put(POD, DAYS)
    hours = []
    for _ in range(6):
        hours.append(len((await setup.history(wanted())).windows))
        setup.time.passes(STEP_SECONDS)
    # With each new hour, of which this pod has none, 12 older ones; at last one of the 72 falls out each hour.
    assert hours == [24, 36, 48, 60, 68, 67]


async def test_a_fleet_costs_what_one_instance_costs() -> None:
    setup = Setup()
    for number in range(20):
        setup.prometheus.put(f"llama{number}-7d9f5c8b6d-x2x9p", DAYS)
    for number in range(20):
        await setup.history(wanted(f"llama{number}", pods=(f"llama{number}-7d9f5c8b6d-x2x9p",)))
    assert len(setup.prometheus.asked) == 6


async def test_instances_that_ask_at_once_wait_for_one_reading() -> None:
    setup = Setup()
    setup.prometheus.put(POD, DAYS)
    found = await asyncio.gather(*(setup.history(wanted()) for _ in range(10)))
    assert len(setup.prometheus.asked) == 6
    assert all(history is found[0] for history in found)


async def test_within_the_hour_nothing_is_asked() -> None:
    setup = Setup()
    setup.prometheus.put(POD, DAYS)
    first = await setup.history(wanted())
    setup.time.passes(STEP_SECONDS - 1_000.0)  # the full hour; its samples may still be under way
    assert await setup.history(wanted()) is first
    setup.time.passes(SETTLE_SECONDS + JITTER_SECONDS)
    await setup.history(wanted())
    assert len(setup.prometheus.asked) == 12


async def test_when_all_is_read_an_hour_costs_three_queries() -> None:
    setup = Setup()
    setup.prometheus.put(POD, DAYS)
    for _ in range(6):
        await setup.history(wanted())
        setup.time.passes(STEP_SECONDS)
    setup.prometheus.asked.clear()
    await setup.history(wanted())
    assert [(first, last) for first, last, _ in setup.prometheus.asked] == [(NEWEST + 6, NEWEST + 6)] * 3


async def test_pods_that_are_gone_count_for_their_workload_alone() -> None:
    setup = Setup()
    setup.prometheus.put(POD, (NEWEST,))
    setup.prometheus.put(GONE, (NEWEST - 5,))
    setup.prometheus.put("llama-8b-7d9f5c8b6d-x2x9p", DAYS)  # another Deployment's
    setup.prometheus.put(GONE, DAYS, namespace="other")
    found = await setup.history(wanted())
    assert [(window.ended_at / STEP_SECONDS, window.same_pods) for window in found.windows] == [
        (NEWEST - 5, False),
        (NEWEST, True),
    ]


async def test_a_stateful_sets_pods() -> None:
    setup = Setup()
    setup.prometheus.put("llama-0", (NEWEST,))
    setup.prometheus.put("llama-1", (NEWEST,))
    setup.prometheus.put("llama-1-0", DAYS)
    found = await setup.history(wanted(kind="StatefulSet", pods=("llama-0",)))
    assert len(found.windows) == 1
    assert found.bands[0].requests_per_second == 4.0  # of llama-1, too, though it is gone


async def test_a_pod_that_runs_counts_whatever_its_name() -> None:
    setup = Setup()
    setup.prometheus.put("odd", (NEWEST,))
    assert len((await setup.history(wanted(pods=("odd",)))).windows) == 1


async def test_a_selector_picks_with_and_without_a_workload() -> None:
    setup = Setup()
    setup.prometheus.put(POD, (NEWEST,), app="a")
    setup.prometheus.put(GONE, (NEWEST - 1,), app="b")
    for kind in ("Deployment", None):
        found = await setup.history(wanted(kind=kind, selector={"app": "a"}))
        assert [window.ended_at for window in found.windows] == [NEWEST * STEP_SECONDS]
    assert all('app!=""' in query for _, _, query in setup.prometheus.asked)


async def test_without_a_workload_no_pod_is_known_to_run_what_runs_now() -> None:
    setup = Setup()
    setup.prometheus.put(POD, (NEWEST,), app="a")
    found = await setup.history(wanted(kind=None, selector={"app": "a"}))
    assert not found.windows[0].same_pods


async def test_of_two_models_under_one_selector_the_served_one_counts() -> None:
    setup = Setup()
    setup.prometheus.put(POD, (NEWEST,), app="a", model_name="llama")
    setup.prometheus.put("other-7d9f5c8b6d-x2x9p", (NEWEST,), app="a", model_name="qwen")
    names = {"llama": 2.0, "unknown": 4.0}
    for name, rate in names.items():
        found = await setup.history(wanted(kind=None, selector={"app": "a"}, model_names=frozenset((name,))))
        assert found.bands[0].requests_per_second == rate


async def test_more_sets_of_labels_than_are_read_are_refused() -> None:
    setup = Setup()
    for number in range(SELECTIONS):
        setup.prometheus.put(POD, (NEWEST,), **{f"l{number}": "x"})
        await setup.history(wanted(selector={f"l{number}": "x"}))
    found = await setup.read(wanted(selector={"one_more": "x"}))
    assert isinstance(found, Missing)
    assert "4 different sets of labels" in found.reason
    assert len(setup.prometheus.asked) == 6 * SELECTIONS


async def test_a_label_that_is_none_is_refused() -> None:
    found = await Setup().read(wanted(selector={'a"} or up{b="': "x"}))
    assert isinstance(found, Missing)
    assert found.reason.startswith("spec.metrics.selector: ")


async def test_a_source_with_other_labels() -> None:
    setup = Setup(labels=SeriesLabels("ns", "pod_name"))
    setup.prometheus.put("ignored", (NEWEST,), ns="serving", pod_name=POD)
    assert len((await setup.history(wanted())).windows) == 1


async def test_past_hours_can_be_switched_off() -> None:
    setup = Setup(lookback_hours=0)
    found = await setup.read(wanted())
    assert found == Missing(Reason.METRICS_MISSING, 'past hours of Prometheus "default" are switched off')
    assert setup.prometheus.asked == []


async def test_without_any_hour_it_says_so() -> None:
    found = await Setup().read(wanted())
    assert found == Missing(Reason.METRICS_MISSING, 'no past hour of it was measured in Prometheus "default"')


async def test_a_prometheus_that_fails_is_said_and_tried_again_later() -> None:
    setup = Setup()
    setup.prometheus.put(POD, DAYS)
    setup.prometheus.fails = "it could not be asked"
    found = await setup.read(wanted())
    assert found == Missing(Reason.PROMETHEUS_ERROR, 'past hours in Prometheus "default": it could not be asked')
    await setup.read(wanted())
    assert len(setup.prometheus.asked) == 1
    setup.prometheus.fails = None
    setup.time.passes(RETRY_SECONDS + JITTER_SECONDS)
    assert len((await setup.history(wanted())).windows) == 18  # smaller parts after the failure: 6 hours, then 12


async def test_an_answer_that_is_too_large_is_asked_for_in_parts() -> None:
    setup = Setup()
    setup.prometheus.put(POD, DAYS)
    setup.prometheus.most_hours = 3
    asked = []
    for _ in range(4):
        await setup.read(wanted())
        asked.append([last - first + 1 for first, last, _ in setup.prometheus.asked])
        setup.prometheus.asked.clear()
        setup.time.passes(RETRY_SECONDS + JITTER_SECONDS)
    assert asked == [[12], [6], [3, 3, 3, 6], [3, 3, 3, 6]]


async def test_what_was_read_stays_when_prometheus_fails() -> None:
    setup = Setup()
    setup.prometheus.put(POD, DAYS)
    before = await setup.history(wanted())
    setup.prometheus.fails = "it could not be asked"
    setup.time.passes(STEP_SECONDS + JITTER_SECONDS)
    after = await setup.history(wanted())
    assert after.windows == before.windows


async def test_what_came_with_a_warning_is_read_again() -> None:
    """Thanos and Mimir warn where a part of the data could not be read."""
    setup = Setup()
    setup.prometheus.put(POD, DAYS)
    setup.prometheus.warnings = 1
    assert len((await setup.history(wanted())).windows) == 12
    setup.prometheus.asked.clear()
    setup.prometheus.warnings = 0
    setup.time.passes(RETRY_SECONDS + JITTER_SECONDS)
    assert len((await setup.history(wanted())).windows) == 24
    assert setup.prometheus.asked[0][:2] == (NEWEST - 11, NEWEST)


@pytest.mark.parametrize("jump", [-1e9, -STEP_SECONDS, 0.0, 1e8, 3e9])
async def test_a_clock_that_jumps_is_no_exception(jump: float) -> None:
    setup = Setup()
    setup.prometheus.put(POD, DAYS)
    await setup.history(wanted())
    setup.time.now += jump
    setup.time.monotonic += 2 * STEP_SECONDS
    await setup.read(wanted())
    setup.time.now -= jump
    setup.time.monotonic += 2 * STEP_SECONDS
    assert len((await setup.history(wanted())).windows) >= 12


async def test_a_reading_that_is_cancelled_leaves_the_next_one_its_turn() -> None:
    setup = Setup()
    setup.prometheus.put(POD, DAYS)
    setup.prometheus.hangs = True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await setup.read(wanted())
    setup.prometheus.hangs = False
    assert len((await setup.history(wanted())).windows) == 24


async def test_evidence_names_the_engines_series() -> None:
    setup = Setup()
    setup.prometheus.put(POD, {NEWEST: PastHour()})
    source = (await setup.history(wanted())).source
    assert "avg_over_time(vllm:num_requests_running[1h])" in source
    assert source.endswith('each hour for 72 h in Prometheus "default"')
