"""One set of queries serves everybody for a cycle; a failure does for a moment."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from tests.support.hours import FakeHours, wanted
from tests.support.prometheus import FakePrometheus, vllm_series

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.domain.readings import Readings
from inferplan.observe.fleet import (
    CONCURRENT,
    CYCLE_SECONDS,
    FAILURE_SECONDS,
    FORGET_SECONDS,
    FleetReader,
    PodIdentity,
    Snapshot,
)
from inferplan.observe.fleet_meter import FleetMeter
from inferplan.observe.fleet_part import Asked
from inferplan.observe.fleet_queries import LABELS_LENGTH, LABELS_MAX
from inferplan.observe.history import HistoryClock, HistoryReader
from inferplan.observe.prometheus_types import Answer, PrometheusError, RangeAnswer
from inferplan.observe.series_labels import KUBERNETES_LABELS

QUERIES = 15
START = 1_800_000_000.0


@dataclass
class Source:
    """A Prometheus whose answers take a turn of the event loop, and a clock that the test moves.

    Attributes:
        data: What it holds.
        ahead_seconds: How far its clock is ahead of ours.
        slow_seconds: How long each answer takes, by our clock.
        warnings: Warnings of each answer.
        hangs: Whether nothing is ever answered.
        at_once: Most queries that were under way at the same time.
        namespaces: Namespaces of all instances.
        hung: Set once a query hangs.
    """

    data: FakePrometheus = field(default_factory=lambda: FakePrometheus(vllm_series(["llama-0"])))
    ahead_seconds: float = 0.0
    slow_seconds: float = 0.0
    warnings: int = 0
    hangs: bool = False
    at_once: int = 0
    now: float = START
    namespaces: frozenset[str] = frozenset()
    hung: asyncio.Event = field(default_factory=asyncio.Event)
    _running: int = 0

    async def query(self, promql: str) -> Answer:
        self._running += 1
        self.at_once = max(self.at_once, self._running)
        try:
            await asyncio.sleep(0)
            if self.hangs:
                self.hung.set()
                await asyncio.Event().wait()
            evaluated_at = self.now + self.ahead_seconds
            self.now += self.slow_seconds
            return Answer(self.data.answer(promql), evaluated_at, self.warnings)
        finally:
            self._running -= 1

    async def query_range(self, promql: str, start: float, end: float, step_seconds: float) -> RangeAnswer:
        raise PrometheusError(f"nobody asks for the past here: {promql} {start} {end} {step_seconds}")

    def reader(self) -> FleetReader:
        return FleetReader(
            self,
            KUBERNETES_LABELS,
            lambda: datetime.fromtimestamp(self.now, UTC),
            lambda: self.now - START,
            namespaces=lambda: self.namespaces,
        )

    @property
    def asked(self) -> int:
        return len(self.data.asked)


def part(snapshot: Snapshot, **selector: str) -> Readings | Missing:
    return snapshot.readings(
        Asked("serving", selector, (PodIdentity("llama-0", "10.0.0.1"),), None, "vllm:num_requests_running")
    )


def readings(snapshot: Snapshot) -> Readings:
    found = part(snapshot)
    assert isinstance(found, Readings), found
    return found


async def test_hundreds_that_ask_at_once_share_one_reading() -> None:
    source = Source()
    reader = source.reader()
    found = await asyncio.gather(*(reader.read(900) for _ in range(500)))
    assert source.asked == QUERIES
    assert source.at_once == CONCURRENT
    assert all(snapshot is found[0] for snapshot in found)


@pytest.mark.parametrize(("seconds", "asked"), [(CYCLE_SECONDS - 1, QUERIES), (CYCLE_SECONDS, 2 * QUERIES)])
async def test_a_reading_serves_for_a_cycle(seconds: float, asked: int) -> None:
    source = Source()
    reader = source.reader()
    await reader.read(900)
    source.now += seconds
    await reader.read(900)
    assert source.asked == asked


async def test_each_window_is_a_reading_of_its_own() -> None:
    source = Source()
    reader = source.reader()
    await asyncio.gather(reader.read(900), reader.read(60), reader.read(900))
    assert source.asked == 2 * QUERIES
    assert source.at_once == CONCURRENT  # of all windows together


async def test_a_failure_serves_for_a_moment_and_not_longer() -> None:
    source = Source()
    source.data.fails = "no whole answer within 10 s"
    reader = source.reader()
    found = await asyncio.gather(*(reader.read(900) for _ in range(500)), return_exceptions=True)
    assert {str(error) for error in found} == {"no whole answer within 10 s"}
    assert all(isinstance(error, PrometheusError) for error in found)
    assert source.asked <= CONCURRENT  # the first failure ends the rest
    source.data.fails = None
    source.now += FAILURE_SECONDS - 0.1
    with pytest.raises(PrometheusError):
        await reader.read(900)
    source.now += 0.2
    assert readings(await reader.read(900)).replicas


async def test_a_failure_keeps_what_may_pass() -> None:
    source = Source()

    async def query(promql: str) -> Answer:
        raise PrometheusError(f"busy: {promql[:5]}", passing=True)

    source.query = query  # type: ignore[method-assign]
    reader = source.reader()
    for _ in range(2):
        with pytest.raises(PrometheusError, match="busy: label") as error:
            await reader.read(900)
        assert error.value.passing


async def test_whoever_waits_goes_on_when_the_one_who_asks_is_gone() -> None:
    source = Source(hangs=True)
    reader = source.reader()
    first, second = asyncio.create_task(reader.read(900)), asyncio.create_task(reader.read(900))
    await source.hung.wait()
    source.hangs = False
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    assert readings(await second).replicas


async def test_a_new_label_is_asked_for_at_once_and_from_then_on() -> None:
    source = Source()
    reader = source.reader()
    assert isinstance(part(await reader.read(900), job="x"), Missing)
    snapshot = await reader.read(900, frozenset({"job"}))
    assert source.asked == 2 * QUERIES
    found = part(snapshot, job="x")
    assert isinstance(found, Missing)
    assert "one too many" not in found.reason
    assert await reader.read(900) is snapshot
    assert "job, engine" in source.data.asked[-1]


async def test_labels_are_limited_and_forgotten_when_nobody_uses_them() -> None:
    source = Source()
    reader = source.reader()
    many = frozenset(f"label_{number:02d}" for number in range(LABELS_MAX + 1))
    snapshot = await reader.read(900, many)
    assert snapshot.table.scope.extra == tuple(sorted(many))[:LABELS_MAX]
    left_out = part(snapshot, **{max(many): "x"})
    assert isinstance(left_out, Missing)
    assert f"{LABELS_MAX} different labels" in left_out.reason
    source.now += FORGET_SECONDS
    assert (await reader.read(900, frozenset({max(many)}))).table.scope.extra == (max(many),)


async def test_labels_have_so_many_characters_together() -> None:
    fitting = frozenset({"a" * 128, "b" * 128, "c" * 128, "d" * 128})
    reader = Source().reader()
    snapshot = await reader.read(900, fitting | {"e"})
    assert snapshot.table.scope.extra == tuple(sorted(fitting))
    left_out = part(snapshot, e="x")
    assert isinstance(left_out, Missing)
    assert f"of {LABELS_LENGTH} characters together" in left_out.reason


async def test_a_label_that_cannot_be_used_is_not_asked_for() -> None:
    snapshot = await Source().reader().read(900, frozenset({'x"} or vector(1)', "le", "engine", "pod"}))
    assert snapshot.table.scope.extra == ("engine",)
    refused = part(snapshot, le="1")
    assert isinstance(refused, Missing)
    assert 'spec.metrics.selector: "le" cannot be used' in refused.reason


async def test_buckets_that_a_target_needs_are_read_from_then_on() -> None:
    source = Source()
    reader = source.reader()
    before = readings(await reader.read(900)).replicas[0].histograms["e2e"]
    assert (before.mean, before.buckets) == (4.0, ())
    snapshot = await reader.read(900, histograms=frozenset({"e2e", "ttft"}))
    assert len(readings(snapshot).replicas[0].histograms["e2e"].buckets) == 3
    assert await reader.read(900, histograms=frozenset({"ttft"})) is snapshot
    assert source.asked == 2 * QUERIES


@pytest.mark.parametrize(
    ("before", "after", "readings_made"),
    [
        ({"a"}, {"a", "b"}, 2),  # b was not asked for
        ({"a", "b"}, {"a"}, 1),
        (set(), {"a"}, 1),  # all were asked for
        ({"a"}, set(), 2),
    ],
)
async def test_a_new_namespace_is_asked_for_at_once(before: set[str], after: set[str], readings_made: int) -> None:
    source = Source(namespaces=frozenset(before))
    reader = source.reader()
    await reader.read(900)
    source.namespaces = frozenset(after)
    await reader.read(900)
    assert source.asked == readings_made * QUERIES


async def test_ages_go_on_while_a_reading_is_used_again() -> None:
    source = Source()
    snapshot = await source.reader().read(900)
    source.now += 40
    assert readings(snapshot).replicas[0].age_seconds == 45.0


async def test_an_old_reading_is_forgotten_when_another_window_is_read() -> None:
    source = Source()
    reader = source.reader()
    first = await reader.read(60)
    source.now += 2 * CYCLE_SECONDS + 1
    await reader.read(900)
    assert await reader.read(60) is not first
    assert reader._windows[900].snapshot is not None


@pytest.mark.parametrize(
    ("ahead", "notes"),
    [
        (0.0, ()),
        (60.0, ()),
        (90.0, ("Prometheus' clock is 90 s ahead of the operator's",)),
        (-90.0, ("Prometheus' clock is 90 s behind the operator's",)),
    ],
)
async def test_a_clock_that_differs_is_noted(ahead: float, notes: tuple[str, ...]) -> None:
    assert readings(await Source(ahead_seconds=ahead).reader().read(900)).notes == notes


@pytest.mark.parametrize(("ahead", "told"), [(301.0, "301 s ahead of"), (-86_400.0, "86400 s behind")])
async def test_a_wrong_clock_is_an_error(ahead: float, told: str) -> None:
    with pytest.raises(PrometheusError, match=f"its clock is {told} the operator's"):
        await Source(ahead_seconds=ahead).reader().read(900)


async def test_a_slow_answer_is_no_wrong_clock() -> None:
    assert readings(await Source(slow_seconds=100.0).reader().read(900)).notes == ()


async def test_data_that_could_not_be_read_are_noted() -> None:
    found = readings(await Source(warnings=1).reader().read(900))
    assert found.notes == ("Prometheus warned that a part of its data could not be read",)


async def test_uptime_is_by_the_sources_clock() -> None:
    source = Source(ahead_seconds=50.0)
    labels = {"namespace": "serving", "pod": "llama-0", "instance": "llama-0:8000"}
    source.data.series["process_start_time_seconds"] = [(labels, START - 550.0)]
    assert readings(await source.reader().read(900)).replicas[0].uptime_seconds == pytest.approx(600.0)


async def meter_says(change: Callable[[Source], object]) -> Readings | Missing:
    source = Source()
    change(source)
    hours = HistoryClock(lambda: source.now, lambda: source.now, lambda low, _: low)
    meter = FleetMeter("team", source.reader(), HistoryReader(FakeHours(), "team", hours))
    return await meter.readings(replace(wanted(pods=("llama-0",)), targets=frozenset({"e2e"})))


async def test_the_meter_gives_the_part_of_the_workloads_pods() -> None:
    found = await meter_says(lambda _: None)
    assert isinstance(found, Readings)
    assert [replica.name for replica in found.replicas] == ["llama-0"]
    assert found.replicas[0].histograms["e2e"].buckets


async def test_the_meter_never_raises() -> None:
    failed = await meter_says(lambda source: setattr(source.data, "fails", "it refuses access (HTTP status 403)"))
    assert failed == Missing(Reason.PROMETHEUS_ERROR, 'Prometheus "team": it refuses access (HTTP status 403)')
    empty = await meter_says(lambda source: source.data.series.clear())
    assert isinstance(empty, Missing)
    assert empty.code is Reason.METRICS_MISSING
    assert empty.reason.endswith('has namespace="serving", pod=~"llama-0" in Prometheus "team"')
