"""Pages of /metrics of one engine → what was seen of it. Pure; knows no framework."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from inferplan.api.instance import InstanceSpec
from inferplan.observe.exposition import parse_scrape, readings_of
from inferplan.observe.metric_names import metric_names, spellings
from inferplan.observe.reduce import HISTORY_MIN_SECONDS, reduce
from inferplan.observe.scrape import Scrape
from inferplan.web.memory import Sighting

_NAME_MAX = 256  # a model's id


def read_page(text: str, taken_at: datetime | None) -> Scrape:
    """One page.

    Args:
        text: Its text.
        taken_at: When it was taken; None where only the page itself may say it.

    Raises:
        ScrapeError: It is no such page.
    """
    page = parse_scrape(text)
    return page if taken_at is None else replace(page, scraped_at=taken_at.timestamp())


def sighting_of_pages(
    spec: InstanceSpec, pages: Sequence[Scrape], interval_seconds: float | None, source: str, version: str | None
) -> Sighting:
    """What the pages say together.

    Args:
        spec: The engine, and the targets that are wanted.
        pages: Pages of one process in the order of time, at least one.
        interval_seconds: Time between two pages that do not say when they were taken.
        source: Where the pages come from, for people.
        version: The engine's version; None where it is not known.

    Raises:
        ScrapeError: The pages do not fit together.
    """
    named = frozenset({spec.model.id}) if spec.model is not None and spec.model.id is not None else None
    readings = readings_of(spec.engine, {spec.engine.value: tuple(pages)}, interval_seconds, model_names=named)
    names = metric_names(spec.engine, spec.engine_version or version)
    found = reduce(readings, names, spec.slo, history_min_seconds=0)
    taken = pages[-1].scraped_at
    return Sighting(
        source=source,
        metrics=found.metrics,
        observed_at=None if taken is None else datetime.fromtimestamp(taken, UTC),
        replica_metrics=found.replica_metrics,
        replicas=found.replicas,
        version=version,
        model=_served_name(pages[-1]),
        notes=(*found.notes, *_short(pages)),
    )


def _short(pages: Sequence[Scrape]) -> tuple[str, ...]:
    first, last = pages[0].scraped_at, pages[-1].scraped_at
    if first is None or last is None or not 0 < last - first < HISTORY_MIN_SECONDS:
        return ()
    return (f"all of it was seen within {last - first:.0f} s, which says more about chance than about load",)


def _served_name(page: Scrape) -> str | None:
    """The name under which the engine serves its model; None where it tells none, or several."""
    running = spellings("running")
    names = {labels.get("model_name", "") for name, labels, _ in page.samples if name in running}
    name = names.pop() if len(names) == 1 else ""
    return name if 1 <= len(name) <= _NAME_MAX else None
