"""The pages of one replica → its readings. Pure."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise

from inferplan.api.values import Engine
from inferplan.domain.readings import Gauge, Histogram, ReplicaReadings
from inferplan.observe.counters import Appearance, Family, Rise, counter_on, distinct, histogram_on, rise
from inferplan.observe.exposition_window import TimedPages, restarted
from inferplan.observe.metric_kinds import (
    ALL_GAUGES,
    COUNTERS,
    GAUGES,
    HISTOGRAMS,
    MEANS,
    RANK_LABELS,
    SHARES,
    SPLITS,
    all_cache_tokens,
    created_name,
    highest,
    is_off,
    is_possible,
)
from inferplan.observe.metric_names import KEYS, spellings
from inferplan.observe.scrape import Scrape

_UPTIME_MIN_SECONDS = 1.0
_PREFIXES = {Engine.VLLM: "vllm:", Engine.SGLANG: "sglang:", Engine.TGI: "tgi_"}
_HISTOGRAM_PARTS = ("_bucket", "_sum", "_count")
_EMPTY = Scrape(())


@cache
def _names(engine: Engine, key: str) -> tuple[str, ...]:
    """What the engine's releases have called a series, newest first."""
    own = ("process_", _PREFIXES[engine])
    return tuple(name for name in spellings(key) if name.startswith(own))


@dataclass(frozen=True)
class ReplicaPages:
    """One replica's pages, and how to read them.

    Attributes:
        name: The replica.
        engine: Whose series to look for.
        timed: The pages, with the time between them.
        since_start: Whether a single page gives rates since the process started.
    """

    name: str
    engine: Engine
    timed: TimedPages
    since_start: bool

    def readings(self) -> ReplicaReadings:
        """What the pages say."""
        return ReplicaReadings(
            name=self.name,
            seconds=self._seconds,
            ranks=self._ranks,
            uptime_seconds=self._uptime,
            restarts=self._restarts,
            gauges={key: gauge for key in (*GAUGES, *MEANS) if (gauge := self._gauge(key)) is not None},
            rates=self._rates(),
            splits={key: parts for key in SPLITS if (parts := self._split(key))},
            histograms=self._histograms,
            growth=self._growth,
            kv_cache_tokens=self._kv_cache_tokens,
            cache_labels=self._cache_labels,
            impossible=self._impossible,
        )

    @property
    def sources(self) -> Mapping[str, str]:
        """The series behind each key that the pages have, and what was made of it."""
        return {key: self._source(key, name) for key, name in self._found.items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the readings should know."""
        torn = sorted(self._found[key] for key in self._torn)
        if not torn:
            return ()
        others = f" and {len(torn) - 1} others" if len(torn) > 1 else ""
        return (f"{self.name}: one of its pages lacks {torn[0]}{others}, so what they counted is not known",)

    def _source(self, key: str, name: str) -> str:
        count = len(self.timed.pages)
        pages = "two pages" if count == 2 else f"{count} pages"  # noqa: PLR2004  as people say it
        if key in COUNTERS or key in HISTOGRAMS:
            return f"{name}, between {pages}" if count > 1 else f"{name}, since the process started"
        return f"{name}, {pages}" if count > 1 and key in (*ALL_GAUGES, *SPLITS) else name

    @cached_property
    def _found(self) -> Mapping[str, str]:
        """The spelling of each key that is in use: the first that the newest of the pages has."""
        found = {key: self._spelling(key) for key in KEYS}
        return {key: name for key, name in found.items() if name is not None}

    def _spelling(self, key: str) -> str | None:
        suffix = "_count" if key in HISTOGRAMS else ""
        names = _names(self.engine, key)
        return next((name for page in reversed(self.timed.pages) for name in names if page.series(name + suffix)), None)

    @property
    def _last(self) -> Scrape:
        return self.timed.pages[-1]

    @cached_property
    def _impossible(self) -> Mapping[str, float]:
        """The first sample of each key, on any page and of any rank, that cannot be."""
        found = ((key, next(self._wrong_samples(key), None)) for key in self._found)
        return {key: sample for key, sample in found if sample is not None}

    def _wrong_samples(self, key: str) -> Iterator[float]:
        names = [self._found[key] + suffix for suffix in (_HISTOGRAM_PARTS if key in HISTOGRAMS else ("",))]
        samples = (value for page in self.timed.pages for name in names for _, value in page.series(name))
        return (value for value in samples if not is_possible(key, value))

    @cached_property
    def _uptime(self) -> float | None:
        started, taken = self._last.started_at, self._last.scraped_at
        if started is None or taken is None:
            return None
        return taken - started if taken >= started else None

    @cached_property
    def _seconds(self) -> float | None:
        """Time that counters cover."""
        if self.timed.seconds is not None:
            return self.timed.seconds
        known = self.since_start and self._uptime is not None and self._uptime >= _UPTIME_MIN_SECONDS
        return self._uptime if known else None

    @cached_property
    def _counted(self) -> tuple[Scrape, ...]:
        """Pages that counters are read from: before a single one comes the empty one at the process' start."""
        return self.timed.pages if len(self.timed.pages) > 1 else (_EMPTY, *self.timed.pages)

    @cached_property
    def _restarted(self) -> tuple[bool, ...]:
        """For each gap between pages, whether the process says that it started anew."""
        return tuple(restarted(*pair) for pair in pairwise(self._counted))

    @cached_property
    def _families(self) -> Mapping[str, tuple[Family, ...]]:
        """Each counter and histogram on each page.

        Those with an impossible sample are left out: it would pass for a restart.
        """
        keys = [key for key in (*COUNTERS, *HISTOGRAMS) if key in self._found and key not in self._impossible]
        read = {key: histogram_on if key in HISTOGRAMS else counter_on for key in keys}
        return {key: tuple(read[key](page, self._found[key]) for page in self._counted) for key in keys}

    @cached_property
    def _torn(self) -> frozenset[str]:
        """Counters and histograms that a page lacks although they had counted before it was taken."""
        if len(self.timed.pages) == 1:
            return frozenset()
        return frozenset(key for key, families in self._families.items() if not self._is_told(key, families))

    def _is_told(self, key: str, families: tuple[Family, ...]) -> bool:
        name = self._found[key]
        appearance = Appearance(f"{name}_count" if key in HISTOGRAMS else name, created_name(key, name))
        return appearance.is_told(self._counted, families, self._restarted)

    @cached_property
    def _rises(self) -> Mapping[str, Rise]:
        """What each counter and histogram rose by; nothing where the time is not known."""
        if self._seconds is None:
            return {}
        told = {key: families for key, families in self._families.items() if key not in self._torn}
        rises = {key: rise(families, self._restarted) for key, families in told.items()}
        return {key: risen for key, risen in rises.items() if risen.by}

    @property
    def _restarts(self) -> int:
        told = {gap for gap, restarted in enumerate(self._restarted) if restarted}
        return len(told.union(*(risen.falls for risen in self._rises.values())))

    def _rates(self) -> Mapping[str, float]:
        seconds = self._seconds or 1.0
        return {key: risen.total() / seconds for key, risen in self._rises.items() if key in COUNTERS}

    @cached_property
    def _histograms(self) -> Mapping[str, Histogram]:
        found = {key: risen.histogram() for key, risen in self._rises.items() if key in HISTOGRAMS}
        return {key: histogram for key, histogram in found.items() if histogram is not None}

    def _split(self, key: str) -> Mapping[str, float]:
        """A counter's rate by its label, or the mean of a gauge's parts."""
        label = SPLITS[key]
        if key in COUNTERS:
            risen = self._rises.get(key)
            if risen is None:
                return {}
            seconds = self._seconds or 1.0
            return {value: risen.total(label, value) / seconds for value in risen.values(label)}
        return self._gauge_parts(key, label)

    def _gauge_parts(self, key: str, label: str) -> Mapping[str, float]:
        sums: dict[str, float] = {}
        pages = [found for page in self.timed.pages if (found := distinct(page.series(self._found.get(key, ""))))]
        for page in pages:
            for identity, value in page.items():
                part = dict(identity).get(label, "")
                sums[part] = sums.get(part, 0.0) + value
        return {part: total / len(pages) for part, total in sums.items()}

    def _gauge(self, key: str) -> Gauge | None:
        """Mean and highest over the pages; of ranks the sum, of shares the highest."""
        over_ranks = highest if key in SHARES else sum
        series = (distinct(page.series(self._found.get(key, ""))) for page in self.timed.pages)
        values = [value for found in series if found and not is_off(key, value := over_ranks(found.values()))]
        return Gauge(sum(values) / len(values), highest(values)) if values else None

    @property
    def _growth(self) -> float | None:
        """From the first page to the last; since its start, when nothing was in flight, where there is only one."""
        first, last = self.timed.pages[0], self.timed.pages[-1]
        before, after = 0.0 if first is last else self._in_flight(first), self._in_flight(last)
        return None if self._seconds is None or before is None or after is None else after - before

    def _in_flight(self, page: Scrape) -> float | None:
        keys = ("running", "waiting", "swapped")
        *needed, swapped = (distinct(page.series(self._found.get(key, ""))) for key in keys)
        values = (value for found in (*needed, swapped) for value in found.values())
        return math.fsum(values) if all(needed) else None

    @property
    def _ranks(self) -> int | None:
        running = self._last.series(self._found.get("running", ""))
        told = {rank for labels, _ in running if any(rank := tuple(labels.get(label) for label in RANK_LABELS))}
        return len(told) or None

    @property
    def _infos(self) -> Mapping[tuple[str | None, ...], Mapping[str, str]]:
        """Labels of the info gauge on the cache, by rank."""
        series = self._last.series(self._found.get("cache_info", ""))
        return {tuple(labels.get(label) for label in RANK_LABELS): labels for labels, _ in series}

    @property
    def _cache_labels(self) -> Mapping[str, str]:
        return next(iter(self._infos.values()), {})

    @property
    def _kv_cache_tokens(self) -> float | None:
        stated = distinct(self._last.series(self._found.get("kv_tokens", "")))
        return all_cache_tokens(self._infos.values(), stated.values())
