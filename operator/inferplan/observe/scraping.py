"""Measures without a Prometheus: the pods' own /metrics pages, fetched at each look, and the rates between them.

Pages are kept in memory only, for as long as the window. After a restart of the operator the first look has one page of
each pod, so only gauges; the next one has rates.
"""

import asyncio
from dataclasses import replace
from typing import Protocol

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import History
from inferplan.domain.readings import Readings
from inferplan.observe.engine_pages import PageError
from inferplan.observe.exposition import parse_scrape, readings_of
from inferplan.observe.meter import WINDOWS, Wanted
from inferplan.observe.reduce import HISTORY_MIN_SECONDS
from inferplan.observe.scrape import Scrape, ScrapeError
from inferplan.observe.target import Pod

PODS_MAX = 64
"""Pods of one instance whose pages are fetched: of more, the first by name stand for the others."""

PAGES_PER_WINDOW = 8
"""Pages of a pod that are kept: with one in each eighth of the window, peaks are seen and memory stays bounded."""

NO_HOURS = Missing(Reason.METRICS_MISSING, "pages that the operator fetches itself give no hours before the window")


FIRST_PAGES = Missing(
    Reason.METRICS_MISSING, "the pods' /metrics pages were fetched for the first time; rates follow from the next ones"
)
"""A single moment of a queue says nothing of the load."""


class Pages(Protocol):
    """Fetches an engine's page."""

    async def page(self, address: str, port: int) -> str:
        """Its text.

        Raises:
            PageError: There is none.
        """
        ...


class ScrapeMeter:
    """Fetches pages of pods. Implements `Meter`.

    Args:
        pages: Fetches a page.
    """

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._kept: dict[str, tuple[Scrape, ...]] = {}

    @property
    def least_seconds(self) -> float:
        """Counters on pages are exact, but gauges are moments: a plan rests on as much as with a Prometheus."""
        return HISTORY_MIN_SECONDS

    async def readings(self, wanted: Wanted) -> Readings | Missing:
        """What the pods' pages say, those of earlier looks within the window included."""
        asked = wanted.pods[:PODS_MAX]
        found = await asyncio.gather(*(self._look(pod, wanted) for pod in asked))
        failed = [why for why in found if isinstance(why, str)]
        pages = {pod.name: kept for pod, kept in zip(asked, found, strict=True) if not isinstance(kept, str)}
        self._forget(wanted)
        if not pages:
            return Missing(
                Reason.METRICS_MISSING,
                f"no pod gives its /metrics page: {failed[0] if failed else 'there is no ready one'}",
            )
        try:
            read = readings_of(wanted.engine, pages, model_names=wanted.model_names, since_start=False)
        except ScrapeError as error:
            return Missing(Reason.METRICS_CONTRADICTORY, f"the pods' /metrics pages: {error}")
        if all(replica.seconds is None for replica in read.replicas):
            return FIRST_PAGES
        left_out = (f"{len(wanted.pods) - PODS_MAX} more pods were not asked",) if len(wanted.pods) > PODS_MAX else ()
        return replace(read, window_seconds=wanted.window_seconds, notes=(*read.notes, *failed, *left_out))

    async def history(self, wanted: Wanted) -> History | Missing:
        """None: pages live as long as the window."""
        del wanted
        return NO_HOURS

    async def _look(self, pod: Pod, wanted: Wanted) -> tuple[Scrape, ...] | str:
        """The pod's pages within the window, the new one last; or why there is none."""
        try:
            text = await self._pages.page(pod.address, wanted.port)
            page = replace(parse_scrape(text), scraped_at=wanted.now.timestamp())
        except (PageError, ScrapeError) as error:
            return f"pod {pod.name}: {error}"
        if page.cut_off:
            return f"pod {pod.name}: its /metrics page is cut off: it ends inside of a comment"
        kept = kept_pages((*self._kept.get(pod.uid, ()), page), wanted.window_seconds)
        self._kept[pod.uid] = kept
        return kept

    def _forget(self, wanted: Wanted) -> None:
        """Drops pods that no look has asked for since a day: theirs are gone, and the longest window is as long."""
        now = wanted.now.timestamp()
        for uid in [uid for uid, pages in self._kept.items() if now - _taken(pages[-1]) > WINDOWS[-1]]:
            del self._kept[uid]


def kept_pages(pages: tuple[Scrape, ...], window_seconds: int) -> tuple[Scrape, ...]:
    """The pages within the window, in the order of time, all but the last as far apart as the window's eighth."""
    newest = _taken(pages[-1])
    within = [page for page in pages[:-1] if 0 < newest - _taken(page) <= window_seconds]
    kept: list[Scrape] = []
    for page in within:
        if not kept or _taken(page) - _taken(kept[-1]) >= window_seconds / PAGES_PER_WINDOW:
            kept.append(page)
    return (*kept, pages[-1])


def _taken(page: Scrape) -> float:
    return page.scraped_at or 0.0
