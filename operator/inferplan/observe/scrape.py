"""One /metrics page as it was parsed. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from inferplan.domain.measurement import MEASURED_MAX

Sample = tuple[str, Mapping[str, str], float]
"""Name, labels and value."""

Series = tuple[tuple[Mapping[str, str], float], ...]
"""Labels and value of all samples of one name."""


CLOCKS_AGREE_SECONDS = 10.0
"""Clocks of an engine's machine and of whoever asks it differ by seconds at most."""


class ScrapeError(ValueError):
    """A page that cannot be used; the message says what is wrong with it, in one line."""


@dataclass(frozen=True)
class Scrape:
    """One /metrics page.

    Attributes:
        samples: Its samples, in the order of the page.
        scraped_at: When it was taken, Unix seconds; None when it does not say.
        cut_off: Whether it ends in the middle of a comment: its samples are whole, but more of them followed.
    """

    samples: tuple[Sample, ...]
    scraped_at: float | None = None
    cut_off: bool = False

    @cached_property
    def by_name(self) -> Mapping[str, Series]:
        """The samples of each name."""
        found: dict[str, list[tuple[Mapping[str, str], float]]] = {}
        for name, labels, value in self.samples:
            found.setdefault(name, []).append((labels, value))
        return {name: tuple(series) for name, series in found.items()}

    def series(self, name: str) -> Series:
        """The samples of one name; none where the page does not have it."""
        return self.by_name.get(name, ())

    @property
    def started_at(self) -> float | None:
        """When the process started, Unix seconds; None where it does not say it, or says what cannot be."""
        told = next((value for _, value in self.series("process_start_time_seconds")), math.nan)
        latest = math.inf if self.scraped_at is None else self.scraped_at + CLOCKS_AGREE_SECONDS
        return told if 0 < told <= min(latest, MEASURED_MAX) else None
