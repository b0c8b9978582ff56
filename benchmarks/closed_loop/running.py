"""What a run of an engine gives, whichever engine it is."""

from dataclasses import dataclass
from datetime import datetime

from inferplan_lab.load.summary import Summary


class NotStartedError(Exception):
    """The engine did not come up. ``str`` is its last word."""


@dataclass(frozen=True)
class Window:
    """When pages are taken, in seconds of load.

    Attributes:
        warm_up: before the first.
        seconds: from the first to the last.
        count: pages.
    """

    warm_up: float
    seconds: float
    count: int = 4

    @property
    def pages(self) -> tuple[float, ...]:
        """The seconds, evenly apart."""
        return tuple(self.warm_up + self.seconds * number / (self.count - 1) for number in range(self.count))


@dataclass(frozen=True)
class Run:
    """One load on one configuration.

    Attributes:
        pages: /metrics, each with the time on top.
        seen: what the clients got between the first and the last page.
        others: share of the machine's cores that other programs took meanwhile; 0 in virtual time.
    """

    pages: tuple[str, ...]
    seen: Summary
    others: float = 0.0


def stamped(page: str, at: datetime) -> str:
    """A page with its time on top, as `inferplan plan --metrics` reads it.

    Args:
        page: as the engine gave it.
        at: in UTC.
    """
    return f"# scraped-at: {at.isoformat(timespec='milliseconds').replace('+00:00', 'Z')}\n{page}"
