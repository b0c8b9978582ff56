"""A replica's /metrics pages in the order of time. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from inferplan.observe.scrape import CLOCKS_AGREE_SECONDS, Scrape, ScrapeError

__all__ = ["Scrape", "ScrapeError", "TimedPages", "check_models", "ordered", "restarted"]

_SECONDS_MIN = 1.0
"""Rates over less say nothing."""

_SAME_LOOK_SECONDS = 1e-3

_SAME_START_SECONDS = 1.0
"""The start time is printed with six digits or so; a restart moves it by more."""

_GIVEN_FIT = 0.1
"""Part by which the interval that a person gives may differ from what pages say: nobody takes them on the second."""


@dataclass(frozen=True)
class TimedPages:
    """A replica's pages in the order of time.

    Attributes:
        pages: The pages, at least one.
        gaps: Seconds from each to the next.
        notes: What a reader should know of them.
    """

    pages: tuple[Scrape, ...]
    gaps: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float | None:
        """Time from the first to the last; None for a single page."""
        return math.fsum(self.gaps) if self.gaps else None

    def of_models(self, wanted: frozenset[str] | None) -> "TimedPages":
        """Without the series of other models, where a page has several.

        Raises:
            ScrapeError: A page has several, and which one is wanted is not known, or it has none of those.
        """
        return replace(self, pages=tuple(_of_models(page, wanted) for page in self.pages))

    @property
    def models(self) -> frozenset[str]:
        """Names of the models that its series are of; none where no label tells one."""
        return frozenset[str]().union(*map(_models, self.pages))


def check_models(replicas: Iterable[TimedPages], wanted: frozenset[str] | None) -> tuple[str, ...]:
    """Notes on the model that all pages are of; none where it is the wanted one, or no label tells it.

    Args:
        replicas: Each replica's pages, other models' series left out.
        wanted: Names under which the engine serves; None where they are not known.

    Raises:
        ScrapeError: They are of several: numbers of two models say nothing together.
    """
    found = frozenset[str]().union(*(replica.models for replica in replicas))
    several = found - (wanted or frozenset())
    if len(found) > 1 and several:
        raise ScrapeError(f"the pages are of several models, {_listed(found)}: give those of one")
    if wanted is None or not several:
        return ()
    return (f"the pages are of the model {_listed(found)}, and {_listed(wanted)} is what the configuration serves",)


def ordered(pages: Sequence[Scrape], interval_seconds: float | None) -> TimedPages:
    """Puts the pages of one replica into their time.

    Two that were taken within a second are one look: the later counts. One that is cut off is none beside a whole
    one: a counter that is missing on it would look as if it stood still.

    Args:
        pages: In the order of time.
        interval_seconds: From each to the next, where they do not say it themselves.

    Raises:
        ScrapeError: There is none; the time between two is not known, not positive, or not the one that is given; two
            are of different processes.
    """
    if not pages:
        raise ScrapeError("there is no page")
    gaps = tuple(_gap(*pair, interval_seconds, number) for number, pair in enumerate(pairwise(pages), 2))
    whole = _without_cut_off(TimedPages(tuple(pages), gaps))
    if whole.gaps and math.fsum(whole.gaps) < _SECONDS_MIN:
        note = "all pages were taken within a second, so the last one counts"
        return TimedPages((whole.pages[-1],), notes=(*whole.notes, note))
    for (earlier, later), gap in zip(pairwise(whole.pages), whole.gaps, strict=True):
        _check_process(earlier, later, gap)
    return whole


def restarted(earlier: Scrape, later: Scrape) -> bool:
    """Whether the later page says that its process started at another time than the earlier one's."""
    starts = earlier.started_at, later.started_at
    return None not in starts and abs((starts[1] or 0.0) - (starts[0] or 0.0)) > _SAME_START_SECONDS


def _check_process(earlier: Scrape, later: Scrape, gap: float) -> None:
    """A process that took the place of another started after the other one's page.

    A Service in front of several pods gives pages of each of them in turn.
    """
    if not restarted(earlier, later):
        return
    known = later.scraped_at - gap if later.scraped_at is not None else None
    taken = earlier.scraped_at if earlier.scraped_at is not None else known
    if taken is None:
        raise ScrapeError(
            "two pages are of processes that started at different times: whether one took the other's place is known"
            ' only with a line "# scraped-at: TIME" in each'
        )
    if (later.started_at or 0.0) < taken - CLOCKS_AGREE_SECONDS:
        raise ScrapeError(
            "the pages are of different processes: one had started long before the other's page was taken, so it did"
            " not take its place. Give pages of one pod, each pod's under its name"
        )


def _without_cut_off(timed: TimedPages) -> TimedPages:
    """The whole pages; where there are none the last one alone."""
    pages = timed.pages
    if not any(page.cut_off for page in pages):
        return timed
    taken = tuple(accumulate(timed.gaps, initial=0.0))
    kept = [at for at, page in enumerate(pages) if not page.cut_off] or [len(pages) - 1]
    gaps = tuple(taken[later] - taken[earlier] for earlier, later in pairwise(kept))
    notes = []
    if len(kept) < len(pages):
        notes.append(
            f"{len(pages) - len(kept)} of {len(pages)} pages end inside of a comment: cut off, they are left out"
        )
    if pages[kept[-1]].cut_off:
        notes.append("the page ends inside of a comment: it is cut off, and what followed is not known")
    return TimedPages(tuple(pages[at] for at in kept), gaps, tuple(notes))


def _gap(earlier: Scrape, later: Scrape, interval_seconds: float | None, number: int) -> float:
    """Seconds between two pages: what they say themselves, else what is given."""
    told = None if earlier.scraped_at is None or later.scraped_at is None else later.scraped_at - earlier.scraped_at
    seconds, least = (told, _SAME_LOOK_SECONDS) if told is not None else (interval_seconds, _SECONDS_MIN)
    if seconds is None:
        raise ScrapeError(
            'the time between the pages is not known: give --interval, or a line "# scraped-at: TIME" in each'
        )
    if not least <= seconds < math.inf:
        raise ScrapeError(f"page {number} must be at least 1 s younger than the one before, not {seconds:g} s")
    if interval_seconds is not None and not abs(interval_seconds - seconds) <= _GIVEN_FIT * seconds + _SECONDS_MIN:
        raise ScrapeError(
            f"page {number} says that it was taken {seconds:g} s after the one before, and {interval_seconds:g} s were"
            " given: leave the interval out, or correct one of them"
        )
    return seconds


def _of_models(page: Scrape, wanted: frozenset[str] | None) -> Scrape:
    found = _models(page)
    if len(found) <= 1:
        return page
    if wanted is None:
        raise ScrapeError(f"a page has series of several models, {_listed(found)}, and which one is meant is not known")
    if not found & wanted:
        raise ScrapeError(f"a page has series of several models, {_listed(found)}, but none of {_listed(wanted)}")
    others = found - wanted
    return replace(page, samples=tuple(entry for entry in page.samples if entry[1].get("model_name") not in others))


def _models(page: Scrape) -> frozenset[str]:
    return frozenset(labels["model_name"] for _, labels, _ in page.samples if "model_name" in labels)


def _listed(names: frozenset[str]) -> str:
    return ", ".join(f'"{name}"' for name in sorted(names))
