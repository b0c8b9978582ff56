"""The client on a real Prometheus that scrapes itself, native histograms included."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import pairwise

import pytest
import yaml
from tests.support.prometheus_client import client

from inferplan.observe.prometheus import HttpPrometheus, PrometheusError, clock_skew_seconds
from inferplan_lab import binaries
from inferplan_lab.processes import Process, free_port

DEADLINE_SECONDS = 60.0
NATIVE = 'prometheus_http_request_duration_seconds{handler="/metrics"}'


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("prometheus")
    address = f"127.0.0.1:{free_port()}"
    scraping = {"scrape_interval": "1s", "scrape_native_histograms": True}
    jobs = [{"job_name": "self", "static_configs": [{"targets": [address]}]}]
    configuration = folder / "prometheus.yaml"
    configuration.write_text(yaml.safe_dump({"global": scraping, "scrape_configs": jobs}), encoding="utf-8")
    program = binaries.ensure(("prometheus",), print)["prometheus"]
    process = Process("prometheus", folder, detached=False)
    flags = (f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}", "--log.level=warn")
    process.start((str(program), *flags, f"--web.listen-address={address}"))
    yield f"http://{address}"
    process.stop()


@pytest.fixture
async def prometheus(url: str) -> AsyncIterator[HttpPrometheus]:
    """Scraped four times: a rate can be formed."""
    async with client(url, timeout_seconds=30) as found:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await _scraped(found)
        yield found


async def _scraped(prometheus: HttpPrometheus) -> None:
    while True:
        with suppress(PrometheusError):  # it starts
            if (await prometheus.query(f"histogram_count({NATIVE}) > 3")).samples:
                return
        await asyncio.sleep(0.2)


async def test_a_vector_has_its_time_and_its_labels(prometheus: HttpPrometheus) -> None:
    answer = await prometheus.query("up")
    (sample,) = answer.samples
    assert (sample.labels["job"], sample.value) == ("self", 1.0)
    skew = clock_skew_seconds(answer, time.time())
    assert skew is not None
    assert -30 < skew <= 0  # the same clock, before the answer's way


async def test_a_range_has_a_point_each_step(prometheus: HttpPrometheus) -> None:
    now = time.time()
    (series,) = (await prometheus.query_range("up", now - 2, now, 1)).series
    times = [at for at, _ in series.points]
    assert times[-1] == pytest.approx(now, abs=0.01)
    assert all(later - earlier == pytest.approx(1.0) for earlier, later in pairwise(times))


async def test_a_native_histogram_says_what_prometheus_says_of_it(prometheus: HttpPrometheus) -> None:
    then = f"{time.time() - 0.5:.3f}"
    (sample,) = (await prometheus.query(f"{NATIVE} @ {then}")).samples
    assert sample.histogram is not None
    points = sample.histogram.cumulated()
    (count,) = (await prometheus.query(f"histogram_count({NATIVE} @ {then})")).samples
    (median,) = (await prometheus.query(f"histogram_quantile(0.5, {NATIVE} @ {then})")).samples
    assert points[-1] == (math.inf, count.value)
    upper = next(at for at, (_, below) in enumerate(points) if below >= count.value / 2)
    assert points[upper - 1][0] <= median.value <= points[upper][0]


@pytest.mark.parametrize(
    ("promql", "told"),
    [
        ("up{", r"refuses the query \(bad_data\)"),
        ("1", "no instant vector"),
        ('"text"', "no instant vector"),
        ("up[5m]", "no instant vector"),
        ("vector(1) or label_replace(vector(2), 'x', '(', 'y', '(')", r"refuses the query \((bad_data|execution)\)"),
    ],
)
async def test_what_is_no_vector_is_refused(prometheus: HttpPrometheus, promql: str, told: str) -> None:
    with pytest.raises(PrometheusError, match=told):
        await prometheus.query(promql)


async def test_more_than_eleven_thousand_steps_are_refused(prometheus: HttpPrometheus) -> None:
    with pytest.raises(PrometheusError, match="bad_data"):
        await prometheus.query_range("up", 0, 11_002, 1)
