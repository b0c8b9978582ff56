"""From past hours of an instance's pods to its `History`: bands, windows, trend. Pure; no input is an exception."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inferplan.domain.measurement import MEASURED_MAX
from inferplan.domain.observation import History, HourlyWindow, LoadBand
from inferplan.observe.history_queries import COLUMNS, PRESENT_MINUTES, STEP_SECONDS
from inferplan.observe.history_table import Row

Numbers = NDArray[np.float64]

LEAST_PRESENT = 0.5
"""Of an hour of one replica: with less, an hour was not measured."""

TREND_SPAN_HOURS = 36
"""A trend of less than a day and a half is the day's own course."""

TREND_PAIRS = 6
"""Pairs of hours, a day or more apart, that a trend is at least the median of."""

_DAY = 24
_LEAST_EVENTS = 0.5 / STEP_SECONDS
"""Events per second: a rate of less than one event an hour is a remnant of extrapolation."""

_MILLISECONDS = 1e3
_TREND_DIGITS = 4


@dataclass(frozen=True)
class Pods:
    """What runs now: pods by name, with the time at which each one's engine started, Unix seconds; None: unknown."""

    started: Mapping[str, float | None]

    def ran_since(self, name: str, since: float) -> bool:
        """Whether this pod runs now and has since then."""
        started = self.started.get(name)
        return started is not None and started <= since


@dataclass(frozen=True)
class _Total:
    """All replicas together, by hour; NaN where nothing was measured. Counters are increases per second."""

    replicas: Numbers
    columns: Mapping[str, Numbers]

    def mean(self, key: str) -> Numbers:
        """Mean of a histogram's values."""
        return _ratio(self.columns[f"{key}_sum"], self.columns[f"{key}_count"], _LEAST_EVENTS)

    def per_replica(self, column: str) -> Numbers:
        """A sum over replicas for one of them."""
        return _ratio(self.columns[column], self.replicas, LEAST_PRESENT)


def history_of(rows: Sequence[Row], pods: Pods, newest: int, source: str) -> History | None:
    """What the rows say of one instance; None where no hour was measured.

    Args:
        rows: Of its pods, those that are gone included.
        pods: Those that run now.
        newest: Hour of the rows' last values, as hours since 1970 at which it ended.
        source: Where the rows come from.
    """
    names, values = _by_replica(rows)
    if not names:
        return None
    present, total = _present(values), _total(values)
    ended = np.arange(newest - values.shape[1] + 1, newest + 1) * STEP_SECONDS
    measured = [int(hour) for hour in np.flatnonzero(total.replicas >= LEAST_PRESENT)]
    if not measured:
        return None
    there = [[name for name, share in zip(names, present[:, hour], strict=True) if share > 0] for hour in measured]
    same = [
        all(pods.ran_since(name, float(ended[hour]) - STEP_SECONDS) for name in those)
        for hour, those in zip(measured, there, strict=True)
    ]
    return History(
        bands=_bands(total, ended, measured),
        windows=_windows(total, ended, measured, same),
        trend_per_day=_trend(total.columns["requests"], measured),
        source=source,
    )


def _by_replica(rows: Sequence[Row]) -> tuple[tuple[str, ...], Numbers]:
    """Names, and one plane a name: two rows of one pod are the same, scraped twice, or follow each other."""
    planes: dict[str, Numbers] = {}
    for row in rows:
        planes[row.name] = np.fmax(planes[row.name], row.values) if row.name in planes else row.values
    return tuple(planes), np.stack(tuple(planes.values())) if planes else np.empty((0, 0, len(COLUMNS)))


def _present(values: Numbers) -> Numbers:
    """Share of each hour that each replica was there."""
    minutes = values[:, :, COLUMNS.index("present")]
    return np.clip(np.nan_to_num(minutes, posinf=0.0) / PRESENT_MINUTES, 0.0, 1.0)


def _total(values: Numbers) -> _Total:
    present = _present(values)
    columns = {name: values[:, :, index] for index, name in enumerate(COLUMNS)}
    weighed = {name: columns[name] * np.where(present > 0, present, np.nan) for name in ("running", "waiting")}
    return _Total(present.sum(axis=0), {name: _sum(column) for name, column in (columns | weighed).items()})


def _sum(column: Numbers) -> Numbers:
    """Sum over replicas of what is there; NaN where nothing is, or one of them told what cannot be (infinite)."""
    there = np.isfinite(column)
    known = there.any(axis=0) & ~np.isinf(column).any(axis=0)
    return np.where(known, np.where(there, column, 0.0).sum(axis=0), np.nan)


def _ratio(top: Numbers, bottom: Numbers, least: float) -> Numbers:
    enough = bottom >= least  # NaN is not
    return np.where(enough, top, np.nan) / np.where(enough, bottom, 1.0)


def _windows(
    total: _Total, ended: NDArray[np.int64], hours: Sequence[int], same: Sequence[bool]
) -> tuple[HourlyWindow, ...]:
    plain = {
        "num_requests_running": total.per_replica("running"),
        "num_requests_waiting": total.per_replica("waiting"),
        "requests_per_second": total.per_replica("requests"),
        "prompt_tokens_mean": total.mean("prompt_tokens"),
        "generation_tokens_mean": total.mean("generation_tokens"),
        "itl_mean_milliseconds": total.mean("itl") * _MILLISECONDS,
        "ttft_mean_milliseconds": total.mean("ttft") * _MILLISECONDS,
    }
    return tuple(
        HourlyWindow(float(ended[hour]), own, **{key: _number(column[hour]) for key, column in plain.items()})
        for hour, own in zip(hours, same, strict=True)
    )


def _bands(total: _Total, ended: NDArray[np.int64], hours: Sequence[int]) -> tuple[LoadBand, ...]:
    """By the hour of the day in which an hour began."""
    of_day: dict[int, list[int]] = {}
    for hour in hours:
        of_day.setdefault(int(ended[hour] // STEP_SECONDS - 1) % _DAY, []).append(hour)
    return tuple(_band(total, of_day[hour], hour) for hour in sorted(of_day))


def _band(total: _Total, hours: Sequence[int], hour: int) -> LoadBand:
    columns = {name: column[list(hours)] for name, column in total.columns.items()}
    return LoadBand(
        hour=hour,
        samples=len(hours),
        num_requests_running=_mean(columns["running"]),
        requests_per_second=_mean(columns["requests"]),
        prompt_tokens_mean=_quotient(columns, "prompt_tokens"),
        generation_tokens_mean=_quotient(columns, "generation_tokens"),
    )


def _mean(column: Numbers) -> float | None:
    there = column[np.isfinite(column)]
    return _number(there.mean()) if there.size else None


def _quotient(columns: Mapping[str, Numbers], key: str) -> float | None:
    """A histogram's mean over several hours: each hour counts as much as it has observations."""
    total, count = columns[f"{key}_sum"], columns[f"{key}_count"]
    both = np.isfinite(total) & np.isfinite(count)
    return _number(_ratio(total[both].sum(), count[both].sum(), _LEAST_EVENTS))


def _number(value: np.float64 | Numbers) -> float | None:
    number = float(value)
    return number if 0 <= number <= MEASURED_MAX else None  # NaN is not


def _trend(requests: Numbers, hours: Sequence[int]) -> float | None:
    """The median slope over pairs of the same hour of different days (Theil and Sen's), relative to each pair's mean.

    The same hour bears the day's own course, the median bears outliers. Of the pairs the busier half counts: one
    request more is a great change of a quiet hour, and none of the load.
    """
    there = {hour: float(requests[hour]) for hour in hours if np.isfinite(requests[hour])}
    if not there or max(there) - min(there) < TREND_SPAN_HOURS:
        return None
    least = max(float(np.median(list(there.values()))), _LEAST_EVENTS)
    changes = [change for pair in _same_hours(there) if (change := _change_per_day(pair, least)) is not None]
    return round(float(np.median(changes)), _TREND_DIGITS) if len(changes) >= TREND_PAIRS else None


def _same_hours(rates: Mapping[int, float]) -> Iterator[tuple[float, float, int]]:
    """Rate before, rate after, and the days between them."""
    for hour, rate in rates.items():
        for before in range(hour - _DAY, -1, -_DAY):
            if before in rates:
                yield rates[before], rate, (hour - before) // _DAY


def _change_per_day(pair: tuple[float, float, int], least: float) -> float | None:
    before, after, days = pair
    mean = (before + after) / 2
    return (after - before) / mean / days if mean >= least else None
