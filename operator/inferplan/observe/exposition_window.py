"""What one or two /metrics pages say: gauges of the moment, and counters over the time between. Pure."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Measured, Measurement, Missing

Sample = tuple[str, Mapping[str, str], float]
"""Name, labels and value."""

_START = "process_start_time_seconds"
_SAME_START_SECONDS = 1.0  # the start time is printed with six digits or so; a restart moves it by more


class ScrapeError(ValueError):
    """A page that cannot be used; the message says what is wrong with it."""


@dataclass(frozen=True)
class Scrape:
    """One /metrics page.

    Attributes:
        samples: Its samples, in the order of the page.
        scraped_at: When it was taken, Unix seconds; None when it does not say.
    """

    samples: tuple[Sample, ...]
    scraped_at: float | None = None

    def of(self, names: Sequence[str], suffix: str = "") -> tuple[str, tuple[Sample, ...]] | None:
        """The first name that the page has, and its samples."""
        for name in names:
            found = tuple(sample for sample in self.samples if sample[0] == name + suffix)
            if found:
                return name, found
        return None

    def total(self, name: str) -> float:
        """Sum of a counter's series; 0 when it has none yet."""
        return math.fsum(value for sample, _, value in self.samples if sample == name)

    def buckets(self, name: str) -> dict[float, float]:
        """Cumulated counts of a histogram by upper bound, summed over its series."""
        sums: dict[float, float] = {}
        for sample, labels, value in self.samples:
            if sample == f"{name}_bucket":
                bound = float(labels.get("le", "nan"))
                sums[bound] = sums.get(bound, 0.0) + value
        return dict(sorted(sums.items()))

    @property
    def started_at(self) -> float | None:
        """When the process started, Unix seconds."""
        return next((value for name, _, value in self.samples if name == _START), None)

    @property
    def engines(self) -> int:
        """How many engines the page carries (data parallelism), 1 where it does not tell them apart."""
        labels = {labels["engine"] for name, labels, _ in self.samples if "engine" in labels and "running" in name}
        return max(1, len(labels))


_EMPTY = Scrape(())


@dataclass(frozen=True)
class Window:
    """One or two pages, and the time that their counters cover.

    Attributes:
        after: The page, or the later one.
        earlier: The earlier page, None when there is one page only.
        seconds: Time that the counters cover, or why no rate follows from them.
    """

    after: Scrape
    earlier: Scrape | None
    seconds: float | Missing

    def mean_gauge(self, names: Sequence[str], unit: str) -> Measurement:
        """Mean over engines, and over both pages where there are two."""
        return self._gauge(names, unit, lambda values: math.fsum(values) / len(values), "mean")

    def highest_gauge(self, names: Sequence[str], unit: str) -> Measurement:
        """Highest of all engines and pages."""
        return self._gauge(names, unit, max, "highest")

    def lowest_gauge(self, names: Sequence[str], unit: str) -> Measurement:
        """Lowest of all engines and pages."""
        return self._gauge(names, unit, min, "lowest")

    def _gauge(
        self, names: Sequence[str], unit: str, join: Callable[[Sequence[float]], float], how: str
    ) -> Measurement:
        found = self.after.of(names)
        if found is None:
            return _absent(names)
        name, samples = found
        values = [value for _, _, value in samples]
        if self.earlier is None or isinstance(self.seconds, Missing):
            return _measured(join(values), unit, name)
        values += [value for sample, _, value in self.earlier.samples if sample == name]
        return _measured(join(values), unit, f"{name}, {how} of two pages", _whole(self.seconds))

    def rate(self, names: Sequence[str], unit: str) -> Measurement:
        """Increase of a counter per second and engine."""
        found = self.after.of(names)
        if found is None:
            return _absent(names)
        name, _ = found
        if isinstance(self.seconds, Missing):
            return self.seconds
        rise = self.after.total(name) - (self.earlier or _EMPTY).total(name)
        return _measured(
            rise / self.seconds / self.after.engines, unit, f"{name}, {self._covered}", _whole(self.seconds)
        )

    def histogram_mean(self, names: Sequence[str], unit: str, scale: float = 1.0) -> Measurement:
        """Mean of what a histogram saw in the window, times `scale`."""
        found = self.after.of(names, "_count")
        if found is None:
            return _absent(names)
        name, _ = found
        if isinstance(self.seconds, Missing):
            return self.seconds
        before = self.earlier or _EMPTY
        count = self.after.total(f"{name}_count") - before.total(f"{name}_count")
        if count <= 0:
            return _nothing_seen(name)
        mean = (self.after.total(f"{name}_sum") - before.total(f"{name}_sum")) / count
        if not 0 < mean < math.inf:
            return Missing(Reason.METRICS_MISSING, f"{name}_sum and {name}_count do not fit together")
        return _measured(mean * scale, unit, f"{name} sum/count, {self._covered}", _whole(self.seconds))

    def percentile(self, names: Sequence[str], percent: int, unit: str, scale: float = 1.0) -> Measurement:
        """Percentile by linear interpolation within its bucket, as PromQL's histogram_quantile does.

        Above the largest finite bucket nothing is known, so it is Missing there and not that bound.
        """
        found = self.after.of(names, "_bucket")
        if found is None:
            return _absent(names)
        name, _ = found
        if isinstance(self.seconds, Missing):
            return self.seconds
        earlier = (self.earlier or _EMPTY).buckets(name)
        counts = {bound: count - earlier.get(bound, 0.0) for bound, count in self.after.buckets(name).items()}
        total = counts.get(math.inf, 0.0)
        if total <= 0:
            return _nothing_seen(name)
        value = _interpolated(counts, total * percent / 100)
        if value is None:
            return Missing(Reason.METRICS_MISSING, f"p{percent} of {name} lies above its largest bucket")
        return _measured(value * scale, unit, f"{name} p{percent}, {self._covered}", _whole(self.seconds))

    @property
    def _covered(self) -> str:
        return "since the process started" if self.earlier is None else "between two pages"


def window_of(scrapes: Sequence[Scrape], interval_seconds: float | None) -> Window:
    """Puts one or two pages into their time.

    Raises:
        ScrapeError: Neither one nor two pages; or the time between two is not known or not positive.
    """
    match tuple(scrapes):
        case (only,):
            return Window(only, None, _uptime(only))
        case (earlier, later):
            seconds = _between(earlier, later, interval_seconds)
            return Window(later, earlier, _restarted(earlier, later) or seconds)
        case _:
            raise ScrapeError(f"one or two pages are read, not {len(scrapes)}")


def _uptime(scrape: Scrape) -> float | Missing:
    if scrape.scraped_at is None:
        why = 'one page gives no rates: take a second one later, or add a line "# scraped-at: TIME" to it'
        return Missing(Reason.METRICS_MISSING, why)
    if scrape.started_at is None:
        return Missing(Reason.METRICS_MISSING, f"one page without {_START} gives no rates")
    uptime = scrape.scraped_at - scrape.started_at
    if uptime < 1:
        return Missing(Reason.METRICS_MISSING, f"# scraped-at lies before {_START}, or less than a second after it")
    return uptime


def _between(earlier: Scrape, later: Scrape, interval_seconds: float | None) -> float:
    if interval_seconds is not None:
        seconds = interval_seconds
    elif earlier.scraped_at is None or later.scraped_at is None:
        raise ScrapeError(
            'the time between the two pages is not known: give --interval, or a line "# scraped-at: TIME" in both'
        )
    else:
        seconds = later.scraped_at - earlier.scraped_at
    if not 1 <= seconds < math.inf:
        raise ScrapeError(f"the second page must be at least 1 s younger than the first, not {seconds:g} s")
    return seconds


def _restarted(earlier: Scrape, later: Scrape) -> Missing | None:
    """Counters start again with the process; a rate over that would be made up."""
    starts = (earlier.started_at, later.started_at)
    moved = None not in starts and abs((starts[1] or 0.0) - (starts[0] or 0.0)) > _SAME_START_SECONDS
    counters = {name for name, _, _ in earlier.samples if name.endswith(("_total", "_count"))}
    if moved or any(later.total(name) < earlier.total(name) for name in counters if ":" in name):
        return Missing(Reason.METRICS_MISSING, "the process restarted between the two pages, so there are no rates")
    return None


def _interpolated(counts: Mapping[float, float], rank: float) -> float | None:
    below_bound, below_count = 0.0, 0.0
    for bound, count in counts.items():
        if count >= rank and count > below_count:
            if math.isinf(bound):
                return None
            return below_bound + (bound - below_bound) * (rank - below_count) / (count - below_count)
        below_bound, below_count = bound, count
    return None


def _whole(seconds: float) -> int:
    return max(1, round(seconds))


def _measured(value: float, unit: str, source: str, window_seconds: int | None = None) -> Measurement:
    try:
        return Measured(value, unit, source, window_seconds)
    except ValueError:
        return Missing(Reason.METRICS_MISSING, f"{source} is {value:g}, which is no measured value")


def _absent(names: Sequence[str]) -> Missing:
    if not names:
        return Missing(Reason.METRICS_MISSING, "the engine has no such series")
    return Missing(Reason.METRICS_MISSING, f"{' or '.join(names)} is not on the page")


def _nothing_seen(name: str) -> Missing:
    return Missing(Reason.METRICS_MISSING, f"{name} counted nothing in that time")
