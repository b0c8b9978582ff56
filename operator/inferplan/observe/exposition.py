"""The text of an engine's /metrics page → Metrics. Pure: the text comes in, nothing is fetched.

One page gives the values of the moment. Counters and histograms give rates only over a known time: between two
pages of the same process, or since its start when the page says when it was taken (`# scraped-at:` comment line).
Where neither is known, the value is Missing with its reason.

Names come from `metric_names`. One replica is one engine: with data
parallelism a page carries several, told apart by the label `engine`, and means are over them.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from prometheus_client.parser import text_string_to_metric_families

from inferplan.api.instance import SLO, SLOMetric
from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.diagnose.slo import slo_name
from inferplan.domain.measurement import Measured, Measurement, Missing
from inferplan.domain.observation import Metrics
from inferplan.observe.exposition_window import Scrape, ScrapeError, Window, window_of
from inferplan.observe.metric_names import MetricNames, metric_names

_SCRAPED_AT = re.compile(r"^# scraped-at: *(\S+) *$", re.MULTILINE)
_MILLISECONDS = 1000.0
_TOKENS_MAX = 10**12  # no cache comes near


_OLDEST = "0.8.5"
"""A page does not say its version: names of a current release are tried first, then those of this one."""


@dataclass(frozen=True)
class _Names:
    """Every name that one engine's releases have had for a metric, newest first."""

    newest: MetricNames
    oldest: MetricNames

    def of(self, name: str) -> tuple[str, ...]:
        """Spellings of one field of MetricNames; empty where the engine has no such series."""
        spellings = (getattr(self.newest, name), getattr(self.oldest, name))
        return tuple(dict.fromkeys(spelling for spelling in spellings if spelling is not None))

    def latency(self, metric: SLOMetric) -> tuple[str, ...]:
        """Spellings of a latency's histogram."""
        return self.of(metric.value)


def parse_scrape(text: str) -> Scrape:
    """Reads a page in the Prometheus text format.

    Raises:
        ScrapeError: The text is no such page, or its `# scraped-at:` line is no time.
    """
    try:
        samples = tuple(
            (sample.name, dict(sample.labels), float(sample.value))
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if math.isfinite(sample.value)  # NaN says that nothing is known, as absence does
        )
    except (ValueError, KeyError, IndexError) as error:
        raise ScrapeError(f"not a page in the Prometheus text format: {error}") from None
    if not samples:
        raise ScrapeError("not a page in the Prometheus text format: it has no samples")
    return Scrape(samples, _scraped_at(text))


def metrics_of(
    engine: Engine, scrapes: Sequence[Scrape], *, interval_seconds: float | None = None, slo: tuple[SLO, ...] = ()
) -> Metrics:
    """Measurements out of one page, or of two of the same process in the order of time.

    Args:
        engine: Whose names to look for.
        scrapes: One or two pages.
        interval_seconds: Time between two pages, where they do not say it.
        slo: Targets whose percentiles are wanted.

    Raises:
        ScrapeError: Neither one nor two pages, or the time between two is not known or not positive.
    """
    names = _Names(metric_names(engine, None), metric_names(engine, _OLDEST))
    window = window_of(scrapes, interval_seconds)
    itl = names.of("itl")
    return Metrics(
        num_requests_running=window.mean_gauge(names.of("running"), "requests"),
        num_requests_waiting=window.mean_gauge(names.of("waiting"), "requests"),
        kv_cache_usage=window.highest_gauge(names.of("kv_usage"), "share"),
        preemptions_per_second=window.rate(names.of("preemptions"), "preemptions/s"),
        kv_cache_tokens=_kv_cache_tokens(names, window),
        requests_per_second=window.rate(names.of("requests"), "requests/s"),
        prompt_tokens_mean=window.histogram_mean(names.of("prompt_tokens"), "tokens"),
        generation_tokens_mean=window.histogram_mean(names.of("generation_tokens"), "tokens"),
        ttft_mean_milliseconds=window.histogram_mean(names.of("ttft"), "ms", _MILLISECONDS),
        itl_mean_milliseconds=window.histogram_mean(itl, "ms", _MILLISECONDS),
        itl_p99_milliseconds=window.percentile(itl, 99, "ms", _MILLISECONDS),
        slo_milliseconds=tuple((slo_name(target), _target(names, window, target)) for target in slo),
    )


def _target(names: _Names, window: Window, slo: SLO) -> Measurement:
    return window.percentile(names.latency(slo.metric), slo.percentile, "ms", _MILLISECONDS)


def _kv_cache_tokens(names: _Names, window: Window) -> Measurement:
    """Tokens that the KV cache of one engine holds, the smallest of several."""
    if names.of("kv_tokens"):
        return window.lowest_gauge(names.of("kv_tokens"), "tokens")
    infos = [labels for name, labels, _ in window.after.samples if name in names.of("cache_info")]
    sizes = [size for size in map(_size_tokens, infos) if size is not None]
    if not sizes:
        return Missing(Reason.METRICS_MISSING, "the page does not say how many tokens the KV cache holds")
    return Measured(float(min(sizes)), "tokens", names.of("cache_info")[0])


def _size_tokens(labels: Mapping[str, str]) -> int | None:
    """Blocks times tokens per block, the attention layers' own block size where it is told. 64 x 128 = 8,192."""
    size = labels.get("effective_attention_block_size", "")
    size = size if size.isdecimal() else labels.get("block_size", "")
    blocks = labels.get("num_gpu_blocks", "")
    tokens = int(blocks) * int(size) if blocks.isdecimal() and size.isdecimal() else 0
    return tokens if 0 < tokens < _TOKENS_MAX else None


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
