"""Counters and histograms over several pages: what each rose by, starts of the process mended. Pure."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile, islice, pairwise

from inferplan.domain.readings import Histogram
from inferplan.observe.scrape import CLOCKS_AGREE_SECONDS, Scrape, Series

Identity = frozenset[tuple[str, str]]
"""Labels of a series, without those that only tell its parts or copies apart."""

Part = str | float
"""What a histogram consists of: "count", "sum", and its buckets by their upper bound. A counter is one "count"."""

Family = Mapping[Identity, Mapping[Part, float]]
"""All series of one counter or histogram on one page."""

_COPIES = frozenset({"tp_rank", "pp_rank", "moe_ep_rank"})
"""Labels of SGLang's workers that work on the same requests and, if all of them are asked, tell the same."""


@dataclass(frozen=True)
class Rise:
    """What a counter or histogram rose by from the first page to the last.

    Attributes:
        by: Increase of each part of each series.
        falls: Numbers of the gaps between pages in which a part fell: its process started anew.
    """

    by: Family
    falls: frozenset[int]

    def total(self, label: str | None = None, value: str | None = None) -> float:
        """A counter's increase, of all series or of those where a label has a value."""
        chosen = (parts for identity, parts in self.by.items() if label is None or (label, value) in identity)
        return sum(parts["count"] for parts in chosen)

    def values(self, label: str) -> tuple[str, ...]:
        """The values that a label has in any of the series."""
        return tuple(sorted({found for identity in self.by for name, found in identity if name == label}))

    def histogram(self) -> Histogram | None:
        """All series of a histogram together; None where the page gives no count."""
        sums: dict[Part, float] = {}
        for parts in self.by.values():
            for part, increase in parts.items():
                sums[part] = sums.get(part, 0.0) + increase
        if "count" not in sums:
            return None
        buckets = sorted((bound, count) for bound, count in sums.items() if isinstance(bound, float))
        return Histogram(sums["count"], sums.get("sum", math.nan), tuple(buckets))


def rise(families: Sequence[Family], restarted: Sequence[bool]) -> Rise:
    """As Prometheus does: what falls started again at 0, so its increase is the later value.

    A series that was not there before counted from 0: engines create some with their first event (whether this one did
    is told by `Appearance`). Parts of one histogram start again together. 48, 3, 10 is a rise of 10.

    Args:
        families: The same counter or histogram on each page, in the order of time.
        restarted: For each gap between two, whether the process is known to have started anew.
    """
    last = dict(families[0])
    total: dict[Identity, dict[Part, float]] = {}
    falls: set[int] = set()
    for gap, family in enumerate(families[1:]):
        for identity, parts in family.items():
            before = last.get(identity, {})
            fell = any(part in before and value < before[part] for part, value in parts.items())
            base: Mapping[Part, float] = {} if fell or restarted[gap] else before
            sums = total.setdefault(identity, {})
            for part, value in parts.items():
                sums[part] = sums.get(part, 0.0) + value - base.get(part, 0.0)
            falls |= {gap} if fell else set()
        last |= family
    return Rise(total, frozenset(falls))


@dataclass(frozen=True)
class Appearance:
    """Whether series that a page does not have, and the next one has, were created between the two.

    Attributes:
        series: A name that a page with the metric has: the counter's own, or a histogram's count.
        created: Name of the gauges that tell when each series was created, which not every engine has.
    """

    series: str
    created: str

    def is_told(self, pages: Sequence[Scrape], families: Sequence[Family], restarted: Sequence[bool]) -> bool:
        """Whether all of a metric's series that came later began at 0, and none is gone.

        A page that was cut off between two lines lacks what had counted for days. A series began at 0 if it was created
        after the page before; where that is not told, if that page has others of its metric or what follows it.

        Args:
            pages: Pages of a replica, at least two.
            families: The metric on each of them.
            restarted: For each gap between two, whether the process started anew: then all begins at 0.
        """
        known = set(families[0])
        for (earlier, later), family, anew in zip(pairwise(pages), families[1:], restarted, strict=True):
            new = family.keys() - known
            if new and not anew and not self._between(earlier, later, new, known=bool(known)):
                return False
            known |= new
        return bool(families[-1])

    def _between(self, earlier: Scrape, later: Scrape, new: Collection[Identity], *, known: bool) -> bool:
        created = distinct(later.series(self.created))
        taken = earlier.scraped_at
        told = [created[identity] for identity in new if identity in created] if taken is not None else []
        if any(at < (taken or 0.0) - CLOCKS_AGREE_SECONDS for at in told):
            return False
        return len(told) == len(new) or known or self._goes_beyond(earlier, later)

    def _goes_beyond(self, earlier: Scrape, later: Scrape) -> bool:
        """Whether the earlier page has anything of what follows the metric on the later one."""
        following = islice(dropwhile(lambda name: name != self.series, later.by_name), 1, None)
        return any(name in earlier.by_name for name in following)


def counter_on(page: Scrape, name: str) -> Family:
    """A counter's series."""
    return _family((("count", page.series(name)),))


def histogram_on(page: Scrape, name: str) -> Family:
    """A histogram's series."""
    buckets = ((_bound(labels), ((labels, value),)) for labels, value in page.series(f"{name}_bucket"))
    return _family((("count", page.series(f"{name}_count")), ("sum", page.series(f"{name}_sum")), *buckets))


def distinct(series: Series) -> Mapping[Identity, float]:
    """Values by labels; of copies the highest."""
    return {identity: parts["count"] for identity, parts in _family((("count", series),)).items()}


def _family(parts: Iterable[tuple[Part, Series]]) -> Family:
    found: dict[Identity, dict[Part, float]] = {}
    for part, series in parts:
        for labels, value in series:
            entry = found.setdefault(_identity(labels), {})
            entry[part] = value if part not in entry else max(entry[part], value)
    return found


def _identity(labels: Mapping[str, str]) -> Identity:
    return frozenset(item for item in labels.items() if item[0] != "le" and item[0] not in _COPIES)


def _bound(labels: Mapping[str, str]) -> float:
    try:
        return float(labels.get("le", ""))
    except ValueError:
        return math.nan
