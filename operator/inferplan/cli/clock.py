"""Where the command line takes its time from."""

from datetime import UTC, datetime


def now() -> datetime:
    """The present time."""
    return datetime.now(UTC)  # noqa: TID251  this is where time comes in for the commands


def timestamp(moment: datetime) -> str:
    """RFC 3339 as Kubernetes writes it: 2026-03-01T12:00:00Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
