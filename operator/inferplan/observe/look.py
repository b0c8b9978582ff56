"""One look at all fresh replicas: each value over them, measured or missing with its reason. Pure.

Numbers are never made to fit: what cannot be true (a share of 30, a negative rate, buckets that fall) is Missing.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import MEASURED_MAX, Measured, Measurement, Missing
from inferplan.domain.readings import Gauge, Histogram, Readings, ReplicaReadings
from inferplan.observe.histograms import merged, percentile_of, share_above
from inferplan.observe.look_values import (
    MILLISECONDS,
    Unit,
    all_good,
    contradictory,
    first_contradiction,
    longest,
    missing,
    percentile_source,
)
from inferplan.observe.metric_kinds import SHARE_MAX, SHARES
from inferplan.observe.metric_names import MetricNames
from inferplan.observe.spread import FAILED_ENDS, rate_of

_SHARE = "share"

_INSTEAD = {"kv_usage": "kv_used", "prefix_hits": "prefix_hit_share", "accepted_tokens": "accepted_share"}
"""What some engines tell in a key's place."""

NO_TIME = Missing(
    Reason.METRICS_MISSING,
    'one page gives no rates: take a second one later, or add a line "# scraped-at: TIME" to it',
)
"""Only pages give no time; a Prometheus always does."""

IDLE = Missing(Reason.IDLE, "no request finished in the window")


@dataclass(frozen=True)
class Look:
    """Fresh replicas, at least one, and how to take them together.

    Attributes:
        readings: What was read.
        names: Series of the engine's version.
        replicas: The fresh ones of its replicas.
    """

    readings: Readings
    names: MetricNames
    replicas: tuple[ReplicaReadings, ...]

    def gauge_mean(self, key: str, unit: str) -> Measurement:
        """Mean over time and replicas."""
        return self._gauge(key, unit, lambda gauge: gauge.mean, fmean)

    def gauge_peak(self, key: str, unit: str) -> Measurement:
        """Highest of any replica at any time."""
        return self._gauge(key, unit, lambda gauge: gauge.peak, max, "_peak")

    def gauge_p99(self, key: str, unit: str) -> Measurement:
        """99th percentile over time, of the highest replica."""
        gauges = self._gauges(key)
        if not isinstance(gauges, Missing) and all(gauge.p99 is None for gauge in gauges):
            return missing("too few samples for a percentile over time")
        return self._gauge(key, unit, lambda gauge: gauge.p99, max, "_p99")

    def part_mean(self, key: str, part: str, unit: str) -> Measurement:
        """Mean over replicas of one part of a split gauge; a part that a replica does not show is 0 there."""
        splits = self._splits(key)
        if isinstance(splits, Missing):
            return splits
        found = all_good((split.get(part, 0.0) for split in splits), fmean)
        return self._number(found, unit, self._source(key), self._gauge_window)

    def rate(self, key: str, unit: str) -> Measurement:
        """Increase per second and replica. A replica without the series has not counted anything yet."""
        found = self._rates(key)
        if isinstance(found, Missing):
            return found
        value = all_good(found, math.fsum) / (self._timed or len(found))
        return self._number(value, unit, self._source(key), self._window)

    def quotient(self, part: str, *wholes: str) -> Measurement:
        """The share that one counter is of another, or of several together, over all replicas."""
        totals = []
        for key in (part, *wholes):
            rates = self._rates(key)
            if isinstance(rates, Missing):
                return rates
            totals.append(all_good(rates, math.fsum))
        named = " + ".join(map(self._source, wholes))
        source = f"{self._source(part)} / {f'({named})' if len(wholes) > 1 else named}"
        return self._share(totals[0], all_good(totals[1:], math.fsum), source)

    def share_told(self, key: str) -> Measurement | None:
        """Mean over time and replicas of a gauge that tells a share itself; None where no replica has it."""
        return self.gauge_mean(key, _SHARE) if any(key in replica.gauges for replica in self.replicas) else None

    def is_counted(self, key: str) -> bool:
        """Whether any replica has a counter."""
        return any(rate_of(replica, key) is not None for replica in self.replicas)

    def ended_badly(self) -> Measurement:
        """Share of finished requests that ended by error or abort, where they are counted by how they ended."""
        splits, rates = self._splits("requests"), self._rates("requests")
        if isinstance(rates, Missing):
            return rates
        if isinstance(splits, Missing):
            return Missing(Reason.NOT_EXPOSED, "the engine does not count how its requests ended")
        failed = [value for split in splits for name, value in split.items() if name in FAILED_ENDS]
        every = [value for split in splits for value in split.values()]
        source = f"abort and error of {self._source('requests')}"
        return self._share(all_good(failed, math.fsum), all_good(every, math.fsum), source)

    def mean(self, key: str, unit: Unit) -> Measurement:
        """Mean of what a histogram saw."""
        histogram = self._merged(key)
        if isinstance(histogram, Missing):
            return histogram
        source = self.readings.sources.get(f"{key}_mean") or f"mean of {self._source(key)}"
        if histogram.total == 0 and unit is MILLISECONDS:
            return contradictory(f"{source}: {histogram.count:g} were counted, and all took no time")
        return self._number(histogram.total / histogram.count * unit.per_own, unit.name, source, self._window)

    def percentile(self, key: str, percent: int, unit: Unit) -> Measurement:
        """Percentile of what a histogram saw, with the bounds of its bucket. In the last bucket it is Missing."""
        histogram = self._merged(key)
        if isinstance(histogram, Missing):
            return histogram
        found = percentile_of(histogram.buckets, percent / 100)
        if found is None:
            return missing(f"no buckets of {getattr(self.names, key) or key}")
        low, high = found.low * unit.per_own, found.high * unit.per_own
        if math.isinf(found.high):
            why = f"p{percent} lies above {low:g} {unit.name}, the histogram's last bound"
            return Missing(Reason.ABOVE_LAST_BUCKET, why, at_least=low)
        source = percentile_source(self._source(key), percent)
        return self._number(found.value * unit.per_own, unit.name, source, self._window, (low, high))

    def share_above(self, key: str, target: float, unit: Unit) -> Measurement:
        """Share of what a histogram saw that lies above a target, with the bounds that its buckets leave."""
        histogram = self._merged(key)
        if isinstance(histogram, Missing):
            return histogram
        found = share_above(histogram.buckets, target / unit.per_own)
        if found is None and histogram.buckets:
            why = f"{target:g} {unit.name} lies above the histogram's last bound, and so do observations"
            return Missing(Reason.ABOVE_LAST_BUCKET, why)
        if found is None:
            return missing(f"no buckets of {getattr(self.names, key) or key}")
        source = f"share above {target:g} {unit.name} of {self._source(key)}"
        return self._number(found.value, _SHARE, source, self._window, (found.low, found.high))

    def kv_cache_tokens(self) -> Measurement:
        """Tokens of the smallest replica's KV cache."""
        wrong = self._impossible("kv_tokens")
        if wrong is not None:
            return wrong
        sizes = [replica.kv_cache_tokens for replica in self.replicas if replica.kv_cache_tokens]
        if not sizes:
            known = self.names.cache_info or self.names.kv_tokens
            code = Reason.METRICS_MISSING if known else self._not_exposed("kv_tokens").code
            return Missing(code, "the engine does not report its KV cache's size")
        key = "cache_info" if self.names.cache_info is not None else "kv_tokens"
        return self._number(all_good(sizes, min), "tokens", self._source(key), None)

    def data_parallel_ranks(self) -> Measurement:
        """Schedulers of one replica, where a label of its series tells them apart; mean over replicas."""
        told = [float(replica.ranks) for replica in self.replicas if replica.ranks is not None]
        if not told:
            return missing("no label of the engine's series tells schedulers apart")
        return self._number(fmean(told), "ranks", f"ranks in {self._source('running')}", None)

    def uptime(self) -> Measurement:
        """Time since the youngest replica's process started."""
        wrong = self._impossible("process_start")
        if wrong is not None:
            return wrong
        found = [replica.uptime_seconds for replica in self.replicas if replica.uptime_seconds is not None]
        if not found:
            return missing("it is not known when the process started")
        return self._number(all_good(found, min), "s", self._source("process_start"), None)

    def restarts(self) -> Measurement:
        """Starts of engine processes within the window, of all replicas."""
        if not self._timed:
            return NO_TIME
        total = sum(replica.restarts for replica in self.replicas)
        return self._number(float(total), "restarts", self._source("process_start"), self._window)

    def gpu_share(self, key: str) -> Measurement:
        """A share of time that the DCGM exporter tells, mean over replicas."""
        if not any(key in replica.gauges for replica in self.replicas):
            return missing("no series of the DCGM exporter")
        return self._gauge(key, _SHARE, lambda gauge: gauge.mean, fmean)

    def _gauge(
        self,
        key: str,
        unit: str,
        pick: Callable[[Gauge], float | None],
        join: Callable[[Iterable[float]], float],
        suffix: str = "",
    ) -> Measurement:
        gauges = self._gauges(key)
        if isinstance(gauges, Missing):
            return gauges
        found = tuple(value for gauge in gauges if (value := pick(gauge)) is not None)
        source = self.readings.sources.get(key + suffix) or self._source(key)
        above = next((value for value in found if unit == _SHARE and value > SHARE_MAX), None)
        if above is not None:
            return contradictory(f"{source} is {above:g}, which is no share")
        value = all_good(found, join)
        return self._number(min(value, 1.0) if unit == _SHARE else value, unit, source, self._gauge_window)

    def _gauges(self, key: str) -> list[Gauge] | Missing:
        found = [replica.gauges[key] for replica in self.replicas if key in replica.gauges]
        return self._impossible(key) or found or self._absent(key)

    def _rates(self, key: str) -> list[float] | Missing:
        found = [rate for replica in self.replicas if (rate := rate_of(replica, key)) is not None]
        return self._impossible(key) or found or self._absent(key, counted=True)

    def _splits(self, key: str) -> list[Mapping[str, float]] | Missing:
        found = [split for replica in self.replicas if (split := replica.split(key))]
        return self._impossible(key) or found or self._absent(key)

    def _impossible(self, key: str) -> Missing | None:
        """A sample that cannot be, of any replica: what others give beside it is no mean of anything."""
        found = next((each for each in self.replicas if key in each.impossible), None)
        if found is None:
            return None
        kind = _SHARE if key in SHARES else "measured value"
        why = f"a sample is {found.impossible[key]:g}, which is no {kind}"
        return contradictory(f"{self._source(key)} of {found.name}: {why}")

    def _merged(self, key: str) -> Histogram | Missing:
        """A histogram of all replicas together that has seen something; taken together once for all its numbers."""
        if key not in self._together:
            self._together[key] = self._merge(key)
        return self._together[key]

    @cached_property
    def _together(self) -> dict[str, Histogram | Missing]:
        return {}

    def _merge(self, key: str) -> Histogram | Missing:
        found = {replica.name: replica.histograms[key] for replica in self.replicas if key in replica.histograms}
        impossible = self._impossible(key)
        if impossible is not None:
            return impossible
        if not found:
            return self._absent(key, counted=True)
        wrong = first_contradiction(found)
        if wrong is not None:
            return contradictory(f"{self._source(key)}{wrong}")
        together = merged(tuple(found.values()))
        return together if together.count > 0 else IDLE

    def _share(self, part: float, whole: float, source: str) -> Measurement:
        if whole == 0 and part == 0:
            rates = self._rates("requests")
            finished = not isinstance(rates, Missing) and any(rate > 0 for rate in rates)
            return missing(f"{source}: nothing was counted, although requests finished") if finished else IDLE
        share = part / whole if whole > 0 and part >= 0 else math.nan
        if not share <= SHARE_MAX:
            return contradictory(f"{source} is {part:g} of {whole:g}, which is no share")
        return self._number(min(share, 1.0), _SHARE, source, self._window)

    def _absent(self, key: str, *, counted: bool = False) -> Missing:
        """Why nothing came: the version has no such series, one page gives no rates, or the series is not there."""
        name = getattr(self.names, key) or getattr(self.names, _INSTEAD.get(key, key))
        if name is None:
            return self._not_exposed(key)
        return NO_TIME if counted and not self._timed else missing(f"no series of {name}")

    def _not_exposed(self, key: str) -> Missing:
        if key in self.names.newer or _INSTEAD.get(key) in self.names.newer:
            return Missing(Reason.NOT_EXPOSED_BY_VERSION, "the engine's version has no such series")
        return Missing(Reason.NOT_EXPOSED, "no release of the engine has such a series")

    def _number(
        self, value: float, unit: str, source: str, window: int | None, bounds: tuple[float, float] | None = None
    ) -> Measurement:
        if not 0 <= value <= MEASURED_MAX:
            return contradictory(f"{source} is {value:g}, which is no measured value")
        low, high = bounds if bounds is not None else (None, None)
        return Measured(value, unit, source, window, low, high, self._age)

    def _source(self, key: str) -> str:
        return self.readings.sources.get(key) or getattr(self.names, key, None) or key

    @cached_property
    def _timed(self) -> int:
        """Replicas whose counters cover a known time."""
        return sum(replica.seconds is not None for replica in self.replicas)

    @cached_property
    def _window(self) -> int | None:
        seconds = longest(self.replicas)
        return None if seconds is None else max(1, round(seconds))

    @cached_property
    def _gauge_window(self) -> int | None:
        """The window that was asked for, as far as it was covered; None for values of the moment."""
        asked = self.readings.window_seconds
        return None if self._window is None or asked <= 0 else min(self._window, asked)

    @cached_property
    def _age(self) -> float:
        """Age of the newest sample of all; clocks that differ by seconds make it no less than 0."""
        return max(0.0, min(replica.age_seconds for replica in self.replicas))
