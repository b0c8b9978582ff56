"""When a plan may be applied."""

from datetime import UTC, datetime, timedelta

import pytest

from inferplan.api.apply import MaintenanceWindow
from inferplan.apply.windows import closes_at, opens_at, unreadable_window

HOURS = 3600


def window(schedule: str, zone: str = "Etc/UTC", hours: float = 4) -> MaintenanceWindow:
    return MaintenanceWindow(schedule=schedule, time_zone=zone, duration_seconds=int(hours * HOURS))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NIGHTLY = window("0 2 * * *")


@pytest.mark.parametrize(
    ("now", "closing"),
    [
        ("2026-03-02T01:59:59", None),
        ("2026-03-02T02:00:00", "2026-03-02T06:00:00"),
        ("2026-03-02T05:59:59", "2026-03-02T06:00:00"),
        ("2026-03-02T06:00:00", None),
    ],
)
def test_a_window_is_open_from_its_start_until_its_end(now: str, closing: str | None) -> None:
    assert closes_at((NIGHTLY,), utc(now)) == (utc(closing) if closing else None)


def test_the_next_opening() -> None:
    assert opens_at((NIGHTLY,), utc("2026-03-02T02:00:00")) == utc("2026-03-03T02:00:00")
    assert opens_at((NIGHTLY, window("30 1 * * 6")), utc("2026-03-06T12:00:00")) == utc("2026-03-07T01:30:00")
    assert opens_at((), utc("2026-03-02T02:00:00")) is None
    assert closes_at((), utc("2026-03-02T02:00:00")) is None


def test_of_windows_that_overlap_the_last_closing_counts() -> None:
    assert closes_at((NIGHTLY, window("0 5 * * *", hours=2)), utc("2026-03-02T05:30:00")) == utc("2026-03-02T07:00:00")


def test_a_zone_shifts_with_its_summer_time() -> None:
    berlin = window("0 2 * * *", "Europe/Berlin", hours=1)
    assert closes_at((berlin,), utc("2026-01-15T01:30:00")) == utc("2026-01-15T02:00:00")
    assert closes_at((berlin,), utc("2026-07-15T00:30:00")) == utc("2026-07-15T01:00:00")
    # 29 March 2026: 2 a.m. does not come, the window opens at 3 a.m. summer time, which is 1 a.m. UTC
    assert closes_at((berlin,), utc("2026-03-29T01:30:00")) == utc("2026-03-29T02:00:00")
    # 25 October 2026: 2 a.m. comes twice, and the window opens once
    openings = {opens_at((berlin,), utc("2026-10-24T12:00:00") + timedelta(hours=hour)) for hour in range(24)}
    assert len(openings) == 2  # that of the 25th and that of the 26th


def test_an_hour_that_comes_twice_has_its_openings_twice() -> None:
    hourly = MaintenanceWindow(schedule="0 * * * *", time_zone="Europe/Berlin", duration_seconds=600)
    for hour in ("00", "01"):  # 2 a.m. in summer time, and again in winter time
        assert closes_at((hourly,), datetime.fromisoformat(f"2026-10-25T{hour}:05:00Z")) is not None
        assert closes_at((hourly,), datetime.fromisoformat(f"2026-10-25T{hour}:15:00Z")) is None


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (window("0 2 * * *", "Mars/Base"), 'apply.maintenanceWindows[1].timeZone: "Mars/Base" is no IANA time zone'),
        (window("0 2 * * *", "../etc/passwd"), "is no IANA time zone"),
        (window("61 2 * * *"), 'apply.maintenanceWindows[1].schedule: "61 2 * * *" is no time that comes'),
        (window("0 0 30 2 *"), "is no time that comes"),
        (window("a b c d e"), "is no time that comes"),
    ],
)
def test_a_window_that_cannot_be_read_is_told(bad: MaintenanceWindow, told: str) -> None:
    assert unreadable_window((NIGHTLY,)) is None
    assert told in (unreadable_window((NIGHTLY, bad)) or "")
