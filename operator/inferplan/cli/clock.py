"""Where the command line takes its time from."""

from datetime import UTC, datetime


def now() -> datetime:
    """The present time."""
    return datetime.now(UTC)  # noqa: TID251  this is where time comes in for the commands
