"""Past hours of all pods of a source, as they were read: one row a pod, one plane an hour. Pure."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from inferplan.domain.measurement import MEASURED_MAX
from inferplan.observe.history_queries import COLUMNS, STEP_SECONDS
from inferplan.observe.pod_names import deployment_of, stateful_set_of
from inferplan.observe.prometheus_types import RangeAnswer, Series
from inferplan.observe.series_labels import KEY_LABEL, SeriesLabels

Labels = frozenset[tuple[str, str]]
Owner = tuple[str, str, str]
"""Namespace, kind and name of a workload; of a pod "Pod"; of what is nobody's, kind and name are empty."""

_COLUMN = {name: index for index, name in enumerate(COLUMNS)}


@dataclass(frozen=True)
class Row:
    """One series group: a pod, or what a source has in its place.

    Attributes:
        labels: Its labels.
        name: Pod, or `instance` where the source has no pods.
        values: Hours by columns, the oldest hour first; NaN where there is none, infinite where what came cannot be.
    """

    labels: Mapping[str, str]
    name: str
    values: NDArray[np.float64]


@dataclass(frozen=True)
class HourTable:
    """The newest `hours` hours.

    Attributes:
        newest: Its newest hour, as hours since 1970 at which it ended.
        hours: How many hours it holds.
        series: What labels are called.
        read: Hours that were read, whether anything was found in them or not.
        values: Hours by columns, by labels.
    """

    newest: int
    hours: int
    series: SeriesLabels = field(default_factory=SeriesLabels)
    read: frozenset[int] = frozenset()
    values: Mapping[Labels, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def oldest(self) -> int:
        """Its oldest hour."""
        return self.newest - self.hours + 1

    def moved_to(self, newest: int) -> "HourTable":
        """The table with another newest hour; what falls out of it is forgotten, rows with nothing left too."""
        shift = newest - self.newest
        moved = ((labels, _shifted(values, shift)) for labels, values in self.values.items())
        kept = {labels: values for labels, values in moved if not np.isnan(values).all()}
        read = frozenset(hour for hour in self.read if newest - self.hours < hour <= newest)
        return replace(self, newest=newest, read=read, values=kept)

    def next_span(self, longest: int) -> tuple[int, int] | None:
        """First and last hour of what is to be read next, the newest first; None when nothing is missing."""
        missing = [hour for hour in range(self.oldest, self.newest + 1) if hour not in self.read]
        if not missing:
            return None
        return min(hour for hour in missing if hour > missing[-1] - longest), missing[-1]

    def with_answers(self, span: tuple[int, int], answers: Iterable[RangeAnswer], *, complete: bool) -> "HourTable":
        """The table with the answers for a span of hours, which then count as read if the answers were complete."""
        values = {labels: array.copy() for labels, array in self.values.items()}
        for answer in answers:
            for series in answer.series:
                self._enter(values, series)
        hours = range(span[0], span[1] + 1) if complete else ()
        return replace(self, read=self.read | frozenset(hours), values=values)

    def _enter(self, values: dict[Labels, NDArray[np.float64]], series: Series) -> None:
        column = _COLUMN.get(series.labels.get(KEY_LABEL, ""))
        if column is None:
            return
        labels = frozenset((name, text) for name, text in series.labels.items() if name != KEY_LABEL and text)
        array = values.setdefault(labels, np.full((self.hours, len(COLUMNS)), np.nan))
        for at, value in series.points:
            hour, rest = divmod(at, STEP_SECONDS)
            if rest == 0 and self.oldest <= hour <= self.newest:
                array[int(hour) - self.oldest, column] = value if 0 <= value <= MEASURED_MAX else math.inf

    @cached_property
    def rows(self) -> Mapping[Owner, tuple[Row, ...]]:
        """Rows by who may own them: each under its pod, under the workloads that its name fits, and its namespace."""
        found: dict[Owner, list[Row]] = {}
        for labels, values in self.values.items():
            plain = dict(labels)
            pod = plain.get(self.series.pod, "")
            row = Row(plain, pod or plain.get("instance", ""), values)
            for kind, name in _owners(pod):
                found.setdefault((plain.get(self.series.namespace, ""), kind, name), []).append(row)
        return {owner: tuple(sorted(rows, key=_order)) for owner, rows in found.items()}


def _order(row: Row) -> tuple[str, list[tuple[str, str]]]:
    """The same order whatever Prometheus' was: sums of floats depend on it."""
    return row.name, sorted(row.labels.items())


def _owners(pod: str) -> list[tuple[str, str]]:
    workloads = (("Pod", pod or None), ("Deployment", deployment_of(pod)), ("StatefulSet", stateful_set_of(pod)))
    return [("", ""), *((kind, name) for kind, name in workloads if name is not None)]


def _shifted(values: NDArray[np.float64], hours: int) -> NDArray[np.float64]:
    """The rows for a table whose newest hour is later by `hours`, or earlier."""
    moved = np.full_like(values, np.nan)
    size = len(values)
    if abs(hours) < size:
        moved[max(0, -hours) : size - max(0, hours)] = values[max(0, hours) : size - max(0, -hours)]
    return moved
