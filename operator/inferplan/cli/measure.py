"""Where `inferplan plan` gets its measurements: scrape files, or a Prometheus."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from inferplan.api.reasons import Reason
from inferplan.cli.documents import read_text
from inferplan.cli.errors import BadInputError
from inferplan.cli.inputs import Inputs
from inferplan.domain.measurement import Missing
from inferplan.domain.serving import ServingConfig
from inferplan.observe.exposition import PAGES_MIN_SECONDS, parse_scrape, readings_of
from inferplan.observe.meter import served_names
from inferplan.observe.metric_names import metric_names
from inferplan.observe.reduce import Measurements, reduce
from inferplan.observe.reduce import nothing as no_measurements
from inferplan.observe.scrape import Scrape, ScrapeError

FILES_MAX = 512
"""Pages that are read: far more than a person takes by hand."""

_NAMED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9._]{0,252})=(.+)", re.DOTALL)
_SOURCE_NAME = re.compile(r"[a-z0-9][-a-z0-9]*")
_ONLY = "pod"
"""The replica's name where the command line gives none."""


def from_files(
    inputs: Inputs, config: ServingConfig, files: Sequence[str], interval_seconds: float | None
) -> tuple[Measurements, float | None]:
    """Measurements out of scrape files, and when the last one was taken, where it says so.

    Args:
        inputs: The instance.
        config: What serves: its version's series and its model's name are looked for.
        files: `FILE` for pages of one pod in the order of time, or `NAME=FILE` for pages of several.
        interval_seconds: Time between consecutive pages of a pod, where they do not say it.

    Raises:
        BadInputError: A file cannot be read, or the time between two is not known.
    """
    if len(files) > FILES_MAX:
        raise BadInputError(f"--metrics: at most {FILES_MAX} files, not {len(files)}")
    pages = {name: [_scrape(file) for file in named] for name, named in _by_replica(files).items()}
    try:
        readings = readings_of(inputs.spec.engine, pages, interval_seconds, model_names=served_names(config))
    except ScrapeError as error:
        raise BadInputError(f"--metrics {' '.join(files)}: {error}") from None
    names = metric_names(inputs.spec.engine, config.version)
    times = [scrape.scraped_at for scrapes in pages.values() for scrape in scrapes if scrape.scraped_at is not None]
    found = reduce(readings, names, inputs.spec.slo, history_min_seconds=PAGES_MIN_SECONDS)
    return found, max(times, default=None)


def from_prometheus(inputs: Inputs, config: ServingConfig, place: str) -> Measurements:
    """Measurements of spec.metrics.selector's series over spec.metrics.windowSeconds.

    Args:
        inputs: The instance.
        config: What serves.
        place: URL of a Prometheus, or the name of a source of INFERPLAN_PROMETHEUS_SOURCES, which may need to log in.

    Raises:
        BadInputError: There is no such source, nothing says which series are the instance's, Prometheus gives no
            answer or has no such series. Not exit code 1: that means findings.
    """
    if not place.startswith(("http://", "https://")) and _SOURCE_NAME.fullmatch(place) is None:
        raise BadInputError(f'--prometheus: "{place}" is no URL (http:// or https://), nor the name of a source')
    if not inputs.spec.metrics.selector:
        raise BadInputError(
            "--prometheus needs spec.metrics.selector: without a cluster the names of the pods are not known"
        )
    from inferplan.cli.ask_prometheus import ask  # noqa: PLC0415  its HTTP client takes 0.2 s to import

    found = asyncio.run(ask(inputs, config, place))
    if isinstance(found, Missing):
        raise BadInputError(f"--prometheus {place}: {found.reason}")
    return found


def nothing(inputs: Inputs) -> Measurements:
    """No source was named."""
    why = Missing(Reason.METRICS_MISSING, "no metrics were given: use --metrics FILE or --prometheus URL")
    return no_measurements(why, inputs.spec.slo)


def _by_replica(files: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Files by the replica that they belong to, in the order of the command line.

    Raises:
        BadInputError: Some have a name, and some do not.
    """
    found: dict[str, list[str]] = {}
    for text in files:
        name, file = _named(text)
        found.setdefault(name or "", []).append(file)
    if "" in found and len(found) > 1:
        raise BadInputError(
            f"--metrics {found[''][0]}: other pages are named (NAME=FILE), so each needs its pod's name"
        )
    return {name or _ONLY: named for name, named in found.items()}


def _named(text: str) -> tuple[str | None, str]:
    """NAME=FILE taken apart; a file that exists under the whole text is meant itself."""
    match = _NAMED.fullmatch(text)
    if match is None or _exists(text):
        return None, text
    return match[1], match[2]


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):
        return False


def _scrape(name: str) -> Scrape:
    try:
        return parse_scrape(read_text(name))
    except ScrapeError as error:
        raise BadInputError(f"--metrics {name}: {error}") from None
