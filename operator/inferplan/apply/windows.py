"""Maintenance windows: whether one is open, and when the next one opens. Pure.

A window opens by a cron expression of five fields in its own time zone and stays open for its duration, which is a time
that passes: a window of four hours that opens at 1 a.m. in the night in which clocks go forward closes at 6 a.m. An
opening that the clocks leave out comes right after (as Debian's cron has it; cronsim follows it).
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from inferplan.api.apply import MaintenanceWindow


def unreadable_window(windows: Iterable[MaintenanceWindow]) -> str | None:
    """The first one that cannot be read: its field, its value and what is allowed; None where all can."""
    for number, window in enumerate(windows):
        place = f"spec.apply.maintenanceWindows[{number}]"
        try:
            zone = _zone(window)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return f'{place}.timeZone: "{window.time_zone}" is no IANA time zone, such as "Europe/Berlin"'
        try:
            next(CronSim(window.schedule, datetime(2000, 1, 1, tzinfo=zone)))
        except (CronSimError, StopIteration):
            return (
                f'{place}.schedule: "{window.schedule}" is no time that comes: minute, hour, day of month, month, day'
                ' of week, such as "0 2 * * *"'
            )
    return None


def closes_at(windows: Iterable[MaintenanceWindow], now: datetime) -> datetime | None:
    """When the last of the windows that are open closes, UTC; None where none is open.

    Args:
        windows: Readable ones (`unreadable_window`).
        now: The present time, with its zone.
    """
    open_now = (_last_opening(window, now) + timedelta(seconds=window.duration_seconds) for window in windows)
    return max((closing for closing in open_now if closing > now), default=None)


def opens_at(windows: Iterable[MaintenanceWindow], now: datetime) -> datetime | None:
    """When the next window opens, UTC; None where there are no windows."""
    return min((_next_opening(window, now) for window in windows), default=None)


def _last_opening(window: MaintenanceWindow, now: datetime) -> datetime:
    """The latest opening until now, now included."""
    local = (now.astimezone(UTC) + timedelta(seconds=1)).astimezone(_zone(window))  # keeps which of two hours it is
    return next(CronSim(window.schedule, local, reverse=True)).astimezone(UTC)


def _next_opening(window: MaintenanceWindow, now: datetime) -> datetime:
    return next(CronSim(window.schedule, now.astimezone(_zone(window)))).astimezone(UTC)


def _zone(window: MaintenanceWindow) -> ZoneInfo:
    return ZoneInfo(window.time_zone)
