"""Reads all instances of a Prometheus at once: one set of queries for each window and cycle, shared by whoever asks."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from inferplan.domain.measurement import Missing
from inferplan.domain.readings import Readings
from inferplan.observe.fleet_part import Asked, PodIdentity, Taken, part_of
from inferplan.observe.fleet_queries import LABELS_LENGTH, LABELS_MAX, ON_DEMAND, Scope, fleet_queries, label_problem
from inferplan.observe.fleet_table import FleetTable
from inferplan.observe.prometheus_types import Answer, Prometheus, PrometheusError
from inferplan.observe.series_labels import SeriesLabels

__all__ = ["CYCLE_SECONDS", "FleetReader", "PodIdentity", "Snapshot"]

CYCLE_SECONDS = 60.0
"""An answer serves everybody for so long: Prometheus itself scrapes once to four times in it."""

FAILURE_SECONDS = 10.0
"""A failure serves everybody for so long: 500 instances would otherwise wait for 500 timeouts, one after the other."""

FORGET_SECONDS = 3_600.0
"""A label that nobody has selected by for so long is no longer grouped by; so with buckets."""

CONCURRENT = 2
"""Queries at once, of all windows: while one is evaluated another is read, and memory holds two answers at most."""

SKEW_NOTED_SECONDS = 60.0
SKEW_MAX_SECONDS = 300.0
"""Clocks of a cluster agree to seconds. From five minutes' difference on nothing that depends on age can be told."""


class FleetReader:
    """Present readings of one source's instances.

    Args:
        prometheus: The source.
        conventions: What it calls the labels of namespace and pod.
        clock: Present time.
        monotonic: Seconds that never go back.
        cycle_seconds: How long an answer serves everybody.
        namespaces: Namespaces of all instances; empty where they are not known.
    """

    def __init__(
        self,
        prometheus: Prometheus,
        conventions: SeriesLabels,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        cycle_seconds: float = CYCLE_SECONDS,
        namespaces: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        self._prometheus = prometheus
        self._conventions = conventions
        self._clock = clock
        self._monotonic = monotonic
        self._cycle_seconds = cycle_seconds
        self._namespaces = namespaces
        self._labels: dict[str, float] = {}
        self._demanded: dict[str, float] = {}
        self._windows: dict[int, _Window] = {}
        self._turn = asyncio.Semaphore(CONCURRENT)

    async def read(
        self, window_seconds: int, labels: frozenset[str] = frozenset(), histograms: frozenset[str] = frozenset()
    ) -> "Snapshot":
        """All series of the source over this window, as they were less than a cycle ago; everybody shares one reading.

        Args:
            window_seconds: One of a few (`meter.WINDOWS`): each is a set of queries of its own.
            labels: Labels that a selector wants to pick by. Beyond `LABELS_MAX` of all selectors together or
                `LABELS_LENGTH`, and where a name cannot be used, the snapshot says so when it is asked for such an
                instance.
            histograms: Histograms of which a percentile is wanted, beyond those that are always read with buckets.

        Raises:
            PrometheusError: A query failed, now or a moment ago, or its clock is wrong.
        """
        self._ask_for(labels, histograms)
        window = self._windows.setdefault(window_seconds, _Window())
        async with window.turn:
            now = self._monotonic()
            if window.failed is not None and now - window.failed_at < FAILURE_SECONDS:
                raise PrometheusError(str(window.failed), passing=window.failed.passing)
            snapshot = window.snapshot
            if snapshot is None or not self._serves(snapshot, now):
                snapshot = await self._renew(window, window_seconds)
            return snapshot

    def _ask_for(self, labels: frozenset[str], histograms: frozenset[str]) -> None:
        """Remembers what is wanted beyond what always is: labels, as many as may be, and buckets."""
        now = self._monotonic()
        self._labels = _recent(self._labels, now)
        self._demanded = {**_recent(self._demanded, now), **dict.fromkeys(histograms & set(ON_DEMAND), now)}
        for name in sorted(labels - set(Scope(0, self._conventions).group)):
            length = sum(map(len, self._labels)) + len(name)
            fits = name in self._labels or (len(self._labels) < LABELS_MAX and length <= LABELS_LENGTH)
            if fits and label_problem(name, self._conventions) is None:
                self._labels[name] = now

    def _scope(self, window_seconds: int) -> Scope:
        extra, demanded = tuple(sorted(self._labels)), frozenset(self._demanded)
        return Scope(window_seconds, self._conventions, extra, self._namespaces(), demanded)

    def _serves(self, snapshot: "Snapshot", now: float) -> bool:
        """Whether a snapshot is young enough and has all that is asked for by now."""
        old, new = snapshot.table.scope, self._scope(0)
        covered = not old.asked_namespaces or (bool(new.namespaces) and new.namespaces <= old.asked_namespaces)
        enough = set(new.extra) <= set(old.extra) and new.demanded <= old.demanded
        return now - snapshot.read_at < self._cycle_seconds and covered and enough

    async def _renew(self, window: "_Window", window_seconds: int) -> "Snapshot":
        for other in self._windows.values():
            other.drop_after(self._monotonic() - 2 * self._cycle_seconds)
        try:
            window.snapshot = await self._read(self._scope(window_seconds))
        except PrometheusError as error:
            window.failed, window.failed_at = error, self._monotonic()
            raise
        window.failed = None
        return window.snapshot

    async def _read(self, scope: Scope) -> "Snapshot":
        """Asks for everything. The first failure ends the rest."""
        told = _Told()
        table = FleetTable(scope)
        problem: PrometheusError | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                for query in fleet_queries(scope):
                    tasks.create_task(self._enter(query, table, told))
        except* PrometheusError as errors:
            problem = next(error for error in errors.exceptions if isinstance(error, PrometheusError))
        if problem is not None:
            raise problem
        read_at = self._monotonic()
        skew = told.skew_seconds
        return Snapshot(table, self._clock().timestamp() + skew, read_at, self._monotonic, told.notes())

    async def _enter(self, query: str, table: FleetTable, told: "_Told") -> None:
        async with self._turn:
            before = self._clock().timestamp()
            answer = await self._prometheus.query(query)
            told.enter(answer, before, self._clock().timestamp())
            # Thirty thousand series take a tenth of a second, in which others must go on.
            await asyncio.to_thread(table.enter, answer.samples)


def _recent(wanted: dict[str, float], now: float) -> dict[str, float]:
    """What somebody has wanted within the last hour, and when."""
    return {name: at for name, at in wanted.items() if now - at < FORGET_SECONDS}


@dataclass
class _Window:
    """What is known of one window."""

    snapshot: "Snapshot | None" = None
    failed: PrometheusError | None = None
    failed_at: float = 0.0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def drop_after(self, oldest: float) -> None:
        """Forgets a snapshot that is older."""
        if self.snapshot is not None and self.snapshot.read_at < oldest:
            self.snapshot = None


@dataclass
class _Told:
    """What the answers tell beside their series."""

    warnings: int = 0
    skew_seconds: float = 0.0

    def enter(self, answer: Answer, before: float, after: float) -> None:
        """One answer to a query that took from `before` to `after` by our clock.

        Raises:
            PrometheusError: Its clock is wrong.
        """
        self.warnings += answer.warnings
        at = answer.evaluated_at
        if at is None:
            return
        skew = min(0.0, at - before) + max(0.0, at - after)
        if abs(skew) > SKEW_MAX_SECONDS:
            raise PrometheusError(f"its clock is {_skew(skew)} the operator's")
        self.skew_seconds = max(self.skew_seconds, skew, key=abs)

    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know."""
        parts = ("Prometheus warned that a part of its data could not be read",) if self.warnings else ()
        clock = f"Prometheus' clock is {_skew(self.skew_seconds)} the operator's"
        return (*parts, clock) if abs(self.skew_seconds) > SKEW_NOTED_SECONDS else parts


def _skew(seconds: float) -> str:
    return f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'}"


@dataclass(frozen=True)
class Snapshot:
    """All of a source's series over one window.

    Attributes:
        table: The series.
        taken_at: When the last of them was read, by the source's clock, Unix seconds.
        read_at: The same by `monotonic`.
        monotonic: Seconds that never go back.
        notes: Notes on all of it.
    """

    table: FleetTable
    taken_at: float
    read_at: float
    monotonic: Callable[[], float]
    notes: tuple[str, ...] = ()

    def readings(self, asked: Asked) -> Readings | Missing:
        """One instance's part; ages are those of the present moment."""
        late = max(0.0, self.monotonic() - self.read_at)
        return part_of(self.table, asked, Taken(self.taken_at + late, late, self.notes))
