"""Every page that the real vLLM gave (tests/scrapes) is read."""

from pathlib import Path

from inferplan.api.values import Engine
from inferplan.domain.measurement import Measured
from inferplan.observe.exposition import parse_scrape, readings_of
from inferplan.observe.metric_names import metric_names
from inferplan.observe.reduce import reduce

FOLDER = Path(__file__).parents[2] / "scrapes"
WITHOUT_SERIES = {"no-stats"}  # --disable-log-stats: the page is about the process only
WITHOUT_TIME = {"kv-pressure-one-page"}  # the shared page, as it was given
NAMES = metric_names(Engine.VLLM, "0.32.0")


def test_every_page_tells_its_load_and_cache_and_none_contradicts_itself() -> None:
    files = sorted(FOLDER.glob("*/*.txt"))
    assert files
    for file in files:
        page = parse_scrape(file.read_text("utf-8"))
        found = reduce(readings_of(Engine.VLLM, {"pod": [page]}), NAMES, (), history_min_seconds=0)
        metrics = found.metrics
        load = (metrics.num_requests_running, metrics.num_requests_waiting, metrics.kv_cache_usage)
        measured = [isinstance(entry, Measured) for entry in (*load, metrics.kv_cache_tokens)]
        assert measured == [file.parent.name not in WITHOUT_SERIES] * 4, file
        assert "MetricsContradictory" not in {getattr(entry, "code", "") for entry in vars(metrics).values()}, file
        assert page.started_at is not None
        assert (page.scraped_at is None) == (file.parent.name in WITHOUT_TIME), file
