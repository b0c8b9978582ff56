"""Where `inferplan plan` gets its measurements: scrape files, or a Prometheus."""

import asyncio
from collections.abc import Sequence

from inferplan.api.reasons import Reason
from inferplan.cli.documents import read_text
from inferplan.cli.errors import BadInputError
from inferplan.cli.inputs import Inputs
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Metrics
from inferplan.observe.exposition import metrics_of, parse_scrape
from inferplan.observe.exposition_window import Scrape, ScrapeError

FILES_MAX = 2


def from_files(inputs: Inputs, files: Sequence[str], interval_seconds: float | None) -> tuple[Metrics, float | None]:
    """Measurements out of one or two scrape files, and when the last one was taken, where it says so.

    Raises:
        BadInputError: A file cannot be read, or the time between two is not known.
    """
    if len(files) > FILES_MAX:
        raise BadInputError(f"--metrics: one or two files of the same pod, not {len(files)}")
    scrapes = [_scrape(name) for name in files]
    try:
        metrics = metrics_of(inputs.spec.engine, scrapes, interval_seconds=interval_seconds, slo=inputs.spec.slo)
    except ScrapeError as error:
        raise BadInputError(f"--metrics {' '.join(files)}: {error}") from None
    return metrics, scrapes[-1].scraped_at


def from_prometheus(inputs: Inputs, url: str) -> Metrics:
    """Measurements of spec.metrics.selector's series over spec.metrics.windowSeconds.

    Raises:
        BadInputError: The URL is none, nothing says which series are the instance's, Prometheus gives no answer or
            has no such series. Not exit code 1: that means findings.
    """
    if not url.startswith(("http://", "https://")):
        raise BadInputError(f'--prometheus: "{url}" is no URL; it starts with http:// or https://')
    if not inputs.spec.metrics.selector:
        raise BadInputError(
            "--prometheus needs spec.metrics.selector: without a cluster the names of the pods are not known"
        )
    from inferplan.cli.ask_prometheus import ask  # noqa: PLC0415  its HTTP client takes 0.2 s to import

    found = asyncio.run(ask(inputs, url.rstrip("/")))
    if isinstance(found, Missing):
        raise BadInputError(f"--prometheus {url}: {found.reason}")
    return found


def nothing() -> Metrics:
    """No source was named."""
    why = Missing(Reason.METRICS_MISSING, "no metrics were given: use --metrics FILE or --prometheus URL")
    return Metrics(
        num_requests_running=why, num_requests_waiting=why, kv_cache_usage=why, preemptions_per_second=why,
        kv_cache_tokens=why,
    )  # fmt: skip


def _scrape(name: str) -> Scrape:
    try:
        return parse_scrape(read_text(name))
    except ScrapeError as error:
        raise BadInputError(f"--metrics {name}: {error}") from None
