"""The text of an engine's /metrics page → samples; pages of replicas → `Readings`. Pure: the text comes in.

One page gives the values of the moment. Counters and histograms give rates only over a known time: between pages of
the same pod, or since its process started when the only page says when it was taken (`# scraped-at:` comment line).

Both Prometheus' text format and OpenMetrics are read; exemplars and timestamps are passed over. Only series whose
name some engine has for a key of `MetricNames` are kept: 1,500 pods' pages of 600 lines a minute are one operator's.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache

from inferplan.api.values import Engine
from inferplan.domain.readings import Readings
from inferplan.observe.exposition_window import check_models, ordered
from inferplan.observe.metric_kinds import COUNTERS, HISTOGRAMS, created_name
from inferplan.observe.metric_names import KEYS, spellings, without_colon
from inferplan.observe.replica_pages import ReplicaPages
from inferplan.observe.scrape import Sample, Scrape, ScrapeError

PAGE_MAX_CHARACTERS = 16 * 1024**2
"""A large vLLM page has 1 MiB; beyond this it is something else."""

PAGES_MIN_SECONDS = 10
"""Pages have exact counters, so that less time says something than samples of a Prometheus need. An engine that is not
idle makes some hundred steps in it."""

_SCRAPED_AT = re.compile(r"^# scraped-at: *(\S+) *$", re.MULTILINE)
_LAST_LINE = re.compile(r"# EOF|# scraped-at:.*")
"""Comments behind which nothing follows: OpenMetrics' end, and our own line."""

_STRING = r'"(?:[^"\\\n]|\\.)*+"'
_LABELS = rf"[ \t]*+(?:(?:[A-Za-z_][A-Za-z0-9_]*+|{_STRING})[ \t]*+=[ \t]*+{_STRING}[ \t]*+,?[ \t]*+)*+"
_SERIES_TEXT = rf"([A-Za-z_:][A-Za-z0-9_:]*+)(?:[ \t]*+\{{({_LABELS})\}})?"
_SERIES = re.compile(_SERIES_TEXT)
_VALUE = r"(?P<value>[^ \t#]++)(?:[ \t]++[^ \t#]++)?[ \t]*+(?:#.*+)?"
_LINE = re.compile(rf"(?P<series>{_SERIES_TEXT})[ \t]*+(?<=[ \t}}]){_VALUE}")
_QUOTED_NAME = re.compile(rf"\{{[ \t]*+{_STRING}[ \t]*+,?{_LABELS}\}}[ \t]*+{_VALUE}")
"""A name in quotes, as Prometheus 3 allows: none of ours."""

_ONE_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*+)[ \t]*+=[ \t]*+"((?:[^"\\\n]|\\.)*+)"')
_ESCAPE = re.compile(r"\\(.)")
_SHOWN_MAX = 60


def _kept_names() -> Mapping[str, str]:
    suffixes = dict.fromkeys(HISTOGRAMS, ("_bucket", "_sum", "_count"))
    names = [name + suffix for key in KEYS for name in spellings(key) for suffix in suffixes.get(key, ("",))]
    names += [created_name(key, name) for key in (*COUNTERS, *HISTOGRAMS) for name in spellings(key)]
    engines = {without_colon(name): name for name in reversed(names)}
    return {name: engines[without_colon(name)] for name in names}


_KEPT = _kept_names()
"""The engine's own name of each series that is read, by how a page spells it: with its colon, or without one, as
Python's client library does in OpenMetrics."""


def parse_scrape(text: str) -> Scrape:
    """Reads a page.

    Raises:
        ScrapeError: The text is no such page, is cut off inside of a sample or far too large, or its `# scraped-at:`
            line is no time.
    """
    if len(text) > PAGE_MAX_CHARACTERS:
        raise ScrapeError(f"not a page in the Prometheus text format: larger than {PAGE_MAX_CHARACTERS // 1024**2} MiB")
    samples: list[Sample] = []
    some = False
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line[0] == "#":
            continue
        sample = _sample(line, number)
        some = True
        if sample is not None:
            samples.append(sample)
    if not some:
        raise ScrapeError("not a page in the Prometheus text format: it has no samples")
    if line and line[0] != "#":  # what stands behind the last newline
        raise ScrapeError(
            "not a whole page in the Prometheus text format: its last line has no end and may lack digits; if it does"
            " not, end it with a newline"
        )
    return Scrape(tuple(samples), _scraped_at(text), cut_off=bool(line) and _LAST_LINE.fullmatch(line) is None)


def _sample(line: str, number: int) -> Sample | None:
    """The line's sample; None where nobody reads its series."""
    text, _, value = line.rpartition(" ")
    if not (text.endswith("}") or " " not in text) or " # " in text:  # a time or an exemplar stands behind the value
        text, value = "", ""
    series = _series(text)
    if series is None:
        match = _LINE.fullmatch(line)
        text, value = (match["series"], match["value"]) if match is not None else ("", "")
        series = _series(text)
    read = _number(value)
    if series is None or read is None:
        if _QUOTED_NAME.fullmatch(line):
            return None
        shown = line if len(line) <= _SHOWN_MAX else line[:_SHOWN_MAX] + "…"
        raise ScrapeError(f"not a page in the Prometheus text format: line {number} is {shown!r}")
    name, labels = series
    return (name, labels, read) if labels is not None else None


_Named = tuple[str, Mapping[str, str] | None]


def _series(text: str) -> _Named | None:
    """Name and labels, None for those that nobody reads; None where the text is no series."""
    return _cached_series(text) if len(text) <= _CACHED_MAX else _read_series(text)


_CACHED_MAX = 512  # characters; longer ones are info gauges, one a page


def _read_series(text: str) -> _Named | None:
    match = _SERIES.fullmatch(text)
    if match is None:
        return None
    name = _KEPT.get(match[1])
    return (name, _labels(match[2] or "")) if name is not None else (match[1], None)


_cached_series = lru_cache(maxsize=16_384)(_read_series)
"""Pods of one model have the same series: the labels of later pages are those of the first, and cost no memory."""


def _labels(text: str) -> dict[str, str]:
    labels = dict(_ONE_LABEL.findall(text))
    if "\\" in text:
        return {name: _ESCAPE.sub(_unescaped, value) for name, value in labels.items()}
    return labels


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


def _number(text: str) -> float | None:
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _scraped_at(text: str) -> float | None:
    match = _SCRAPED_AT.search(text)
    if match is None:
        return None
    try:
        moment = datetime.fromisoformat(match.group(1))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ScrapeError(
            f'"# scraped-at: {match.group(1)}" is no time with a zone, such as 2026-03-01T12:00:00Z'
        ) from None
    return moment.timestamp()


def readings_of(
    engine: Engine,
    pages: Mapping[str, Sequence[Scrape]],
    interval_seconds: float | None = None,
    *,
    model_names: frozenset[str] | None = None,
    since_start: bool = True,
) -> Readings:
    """What the pages of each replica say, in the spellings of every release of the engine.

    Args:
        engine: Whose series to look for.
        pages: By replica, at least one page each, in the order of time.
        interval_seconds: Time between consecutive pages, where their scraped-at lines do not say it.
        model_names: Values of the label model_name that count; None where they are not known.
        since_start: Whether a replica's only page gives rates since its process started, if no replica has more.

    Raises:
        ScrapeError: The time between pages is not known or not positive, pages are of several processes or models.
    """
    timed = {name: ordered(scrapes, interval_seconds) for name, scrapes in sorted(pages.items())}
    ready = {name: own.of_models(model_names) for name, own in timed.items()}
    of_model = check_models(ready.values(), model_names)
    since_start = since_start and all(len(own.pages) == 1 for own in ready.values())
    replicas = [ReplicaPages(name, engine, own, since_start) for name, own in ready.items()]
    between = max((own.seconds for own in ready.values() if own.seconds is not None), default=0.0)
    sources = {key: source for replica in replicas for key, source in replica.sources.items()}
    notes = [note for replica in replicas for note in (*replica.timed.notes, *replica.notes)]
    every = tuple(dict.fromkeys((*of_model, *notes)))
    return Readings(round(between), tuple(replica.readings() for replica in replicas), sources, every)
