"""Reads past hours of all instances of a source: a few range queries an hour for the whole fleet."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import History
from inferplan.observe.history_queries import STEP_SECONDS, history_queries
from inferplan.observe.history_table import HourTable, Row
from inferplan.observe.hours import Pods, history_of
from inferplan.observe.meter import Wanted
from inferplan.observe.prometheus import Prometheus, PrometheusError
from inferplan.observe.series_labels import KUBERNETES_LABELS, SeriesLabels

LOOKBACK_HOURS = 72
"""Three days: the least from which a trend compares an hour with two others of its kind. A week would read 250 million
samples more of 1,500 pods that are scraped every 15 s, for bands that the next rollout or release makes old.
"""

SPAN_HOURS = 12
"""Hours of one range query: of 1,500 pods, an answer of about 4 MB."""

SPANS = 2
"""Spans that are read at once. The newest come first: a day at the first look, three days four hours later."""

SETTLE_SECONDS = 120.0
"""A past hour's last samples have arrived by then, over a remote write too."""

JITTER_SECONDS = 300.0
RETRY_SECONDS = 300.0

SELECTIONS = 4
"""Sets of selector labels that are read, beside none: each is a reading of its own."""


@dataclass(frozen=True)
class HistoryClock:
    """Time and chance.

    Attributes:
        now: Unix seconds.
        monotonic: Seconds that never go back.
        uniform: A number between two others.
    """

    now: Callable[[], float]
    monotonic: Callable[[], float]
    uniform: Callable[[float, float], float]


class HistoryReader:
    """Past hours of one source's instances. Never raises: what cannot be read is Missing with its reason.

    Args:
        prometheus: The source.
        name: Its name, for people.
        clock: Time and chance.
        labels: What the source calls the labels that tell whose a series is.
        lookback_hours: Hours that are kept; none at all with 0.
    """

    def __init__(
        self,
        prometheus: Prometheus,
        name: str,
        clock: HistoryClock,
        labels: SeriesLabels = KUBERNETES_LABELS,
        lookback_hours: int = LOOKBACK_HOURS,
    ) -> None:
        self._prometheus = prometheus
        self._name = name
        self._clock = clock
        self._labels = labels
        self._lookback_hours = lookback_hours
        self._readings: dict[tuple[str, ...], _Hours] = {}

    async def read(self, wanted: Wanted) -> History | Missing:
        """The hours before, of the pods that run and of those of the same workload that are gone."""
        if self._lookback_hours == 0:
            return Missing(Reason.METRICS_MISSING, f'past hours of Prometheus "{self._name}" are switched off')
        reading = self._reading(wanted.selector)
        if isinstance(reading, Missing):
            return reading
        problem = await reading.refresh()
        found = reading.history(wanted, f'{self._source(wanted)} in Prometheus "{self._name}"')
        if found is not None:
            return found
        if problem is not None:
            return Missing(Reason.PROMETHEUS_ERROR, f'past hours in Prometheus "{self._name}": {problem}')
        return Missing(Reason.METRICS_MISSING, f'no past hour of it was measured in Prometheus "{self._name}"')

    def _reading(self, selector: Mapping[str, str]) -> "_Hours | Missing":
        """The hours that are grouped by the selector's labels, too."""
        extra = tuple(sorted(selector.keys() - set(self._labels.group())))
        if extra in self._readings:
            return self._readings[extra]
        if extra and len(self._readings.keys() - {()}) >= SELECTIONS:
            told = f"past hours are read for {SELECTIONS} different sets of labels in spec.metrics.selector at most"
            return Missing(Reason.METRICS_MISSING, told)
        try:
            queries = history_queries(self._labels, extra)
        except ValueError as error:
            return Missing(Reason.METRICS_MISSING, f"spec.metrics.selector: {error}")
        newest = _newest_hour(self._clock.now())
        table = HourTable(newest, self._lookback_hours, self._labels)
        return self._readings.setdefault(extra, _Hours(self._prometheus, self._clock, queries, table))

    def _source(self, wanted: Wanted) -> str:
        """What was asked, with the names of the engine that runs."""
        names = wanted.names
        rates = (names.requests, names.prompt_tokens, names.generation_tokens, names.ttft, names.itl)
        told = [f"avg_over_time({name}[1h])" for name in (names.running, names.waiting)]
        told += [f"rate({name}[1h])" for name in rates if name is not None]
        return f"{', '.join(told)} each hour for {self._lookback_hours} h"


@dataclass
class _Hours:
    """One table and the queries that fill it."""

    prometheus: Prometheus
    clock: HistoryClock
    queries: tuple[str, ...]
    table: HourTable
    span_hours: int = SPAN_HOURS
    due: float | None = None
    problem: str | None = None
    told: dict[object, History | None] = field(default_factory=dict)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def refresh(self) -> str | None:
        """Reads what is missing, if it is time; gives what went wrong the last time. One at a time: others wait."""
        async with self.turn:
            if self.due is None or self.clock.monotonic() >= self.due:
                await self._read()
            return self.problem

    async def _read(self) -> None:
        self.told.clear()
        self.table = self.table.moved_to(_newest_hour(self.clock.now()))
        self.problem = None
        for _ in range(SPANS):
            span = self.table.next_span(self.span_hours)
            if span is not None and self.problem is None:
                self.problem = await self._read_span(span)
        wait = self._until_next_hour() if self.problem is None else RETRY_SECONDS
        self.due = self.clock.monotonic() + wait + self.clock.uniform(0.0, JITTER_SECONDS)

    async def _read_span(self, span: tuple[int, int]) -> str | None:
        """Reads one span and says what went wrong; one that fails is asked for in smaller parts the next time."""
        start, end = (float(hour * STEP_SECONDS) for hour in span)
        ask = self.prometheus.query_range
        try:  # one after the other: nobody waits for them as for the present
            answers = [await ask(query, start, end, STEP_SECONDS) for query in self.queries]
        except PrometheusError as error:
            self.span_hours = max(1, self.span_hours // 2)
            return str(error)
        whole = not any(answer.warnings for answer in answers)
        # Of a large fleet it takes a good part of a second, in which looks at the present must go on.
        self.table = await asyncio.to_thread(self.table.with_answers, span, answers, complete=whole)
        self.span_hours = min(SPAN_HOURS, 2 * self.span_hours)
        return None if whole else "it warned that a part of its data could not be read"

    def _until_next_hour(self) -> float:
        return STEP_SECONDS - (self.clock.now() - SETTLE_SECONDS) % STEP_SECONDS

    def history(self, wanted: Wanted, source: str) -> History | None:
        """What the table says of one instance; remembered until the table is read anew."""
        pods = {pod.name: None if pod.started is None else pod.started.timestamp() for pod in wanted.pods}
        workload = (wanted.workload.kind, wanted.workload.name) if wanted.workload is not None else None
        selector = frozenset(wanted.selector.items())
        key = (wanted.namespace, workload, selector, wanted.model_names, frozenset(pods.items()), source)
        if key not in self.told:
            rows = self._rows(wanted)
            self.told[key] = history_of(rows, Pods(pods), self.table.newest, source)
        return self.told[key]

    def _rows(self, wanted: Wanted) -> tuple[Row, ...]:
        """Rows of the workload's pods, those that are gone included; without a workload, those of the selector."""
        table, namespace = self.table.rows, wanted.namespace
        if wanted.workload is None:
            picked = _picked(table.get((namespace, "", ""), ()), wanted.selector)
            served = tuple(row for row in picked if row.labels.get("model_name") in (wanted.model_names or ()))
            return served or picked
        owners = [(namespace, wanted.workload.kind, wanted.workload.name)]
        owners += [(namespace, "Pod", pod.name) for pod in wanted.pods]
        rows = {id(row): row for owner in owners for row in table.get(owner, ())}
        return _picked(tuple(rows.values()), wanted.selector)


def _picked(rows: tuple[Row, ...], selector: Mapping[str, str]) -> tuple[Row, ...]:
    return tuple(row for row in rows if selector.items() <= row.labels.items())


def _newest_hour(now: float) -> int:
    """The last hour that is over, and whose samples have arrived."""
    return int((now - SETTLE_SECONDS) // STEP_SECONDS)
