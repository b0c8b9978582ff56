"""The load by hour, as the instance's status keeps it: written when it moved, not each hour. Pure."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from inferplan.api.load_status import LoadBandStatus, LoadStatus
from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import History, LoadBand
from inferplan.domain.units import significant

_DIGITS = 3

_MOVED = 0.2
"""A band is written anew when one of its numbers moved by more: it is a mean of three days, and one hour of noise moves
it by a third of itself.
"""

_SMALL = 0.01
"""Requests, or requests per second, below which a change is none: next to nothing runs."""

_TREND_MOVED_PERCENT = 5.0

_PASSING = frozenset({Reason.PROMETHEUS_ERROR, Reason.METRICS_STALE})


def load_status(history: History | Missing, stored: object) -> LoadStatus | None:
    """The load to show: what the status holds, unless the history says something else.

    Args:
        history: Past hours; while the source cannot be read, what is stored stays.
        stored: status.load as the API server has it.
    """
    kept = _read(stored)
    if isinstance(history, Missing):
        return kept if history.code in _PASSING else None
    new = _status(history)
    return kept if kept is not None and _says_the_same(kept, new) else new


def _read(stored: object) -> LoadStatus | None:
    """The stored load; None where there is none that this version can read."""
    try:
        return LoadStatus.model_validate(stored) if isinstance(stored, Mapping) else None
    except ValidationError:
        return None


def _status(history: History) -> LoadStatus:
    trend = history.trend_per_day
    return LoadStatus(
        hours=len(history.windows),
        trend_percent_per_day=None if trend is None else round(100.0 * trend, 1),
        bands=tuple(_band(band) for band in history.bands),
    )


def _band(band: LoadBand) -> LoadBandStatus:
    return LoadBandStatus(
        hour=band.hour,
        num_requests_running=_rounded(band.num_requests_running),
        requests_per_second=_rounded(band.requests_per_second),
        prompt_tokens_mean=_rounded(band.prompt_tokens_mean),
        generation_tokens_mean=_rounded(band.generation_tokens_mean),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else significant(value, _DIGITS)


def _says_the_same(one: LoadStatus, other: LoadStatus) -> bool:
    bands, others = one.bands, other.bands
    if [band.hour for band in bands] != [band.hour for band in others]:
        return False
    if not _close(one.trend_percent_per_day, other.trend_percent_per_day, _TREND_MOVED_PERCENT):
        return False
    return all(_same_band(_numbers(band), _numbers(new)) for band, new in zip(bands, others, strict=True))


def _numbers(band: LoadBandStatus) -> dict[str, Any]:
    return band.model_dump(exclude={"hour"})


def _same_band(one: Mapping[str, float | None], other: Mapping[str, float | None]) -> bool:
    return all(
        _close(value, other[key], max(_SMALL, _MOVED * max(value or 0.0, other[key] or 0.0)))
        for key, value in one.items()
    )


def _close(one: float | None, other: float | None, allowed: float) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= allowed
